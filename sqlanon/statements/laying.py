"""Statements as they are laid out: what fits on a line stays on one, the rest is an item a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 100


@dataclass(frozen=True)
class Doc:
    """A piece of a statement: a head, perhaps items in parentheses after it, and what follows them."""

    head: str
    items: tuple[Doc, ...] | None = None
    tail: str = ""

    @property
    def flat(self) -> str:
        """All of it on one line."""
        inner = "" if self.items is None else f"({', '.join(item.flat for item in self.items)})"
        return f"{self.head}{inner}{self.tail}"

    def laid(self, indent: int = 0, used: int = 0) -> str:
        """As many lines as it takes; `used` characters of the last line are needed by what follows."""
        flat = self.flat
        if not self.items or (indent + len(flat) + used <= WIDTH and "\n" not in flat):
            return flat
        inner = ",\n".join(" " * (indent + 2) + item.laid(indent + 2, 1) for item in self.items)
        return f"{self.head}(\n{inner}\n{' ' * indent}){self.tail}"


def doc(head: str, items: Iterable[Doc] | None = None, tail: str = "") -> Doc:
    """A piece with its items."""
    return Doc(head, None if items is None else tuple(items), tail)
