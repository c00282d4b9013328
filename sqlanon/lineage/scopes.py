"""What names can mean at one place of a query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sqlanon.lineage.columns import NONE, Bases, Output, refuse
from sqlanon.lineage.constructs import PARTS

Node = exp.Expr


@dataclass(frozen=True)
class Rows:
    """The columns of a sub-query, and what its rows are ordered by."""

    columns: tuple[Output, ...]
    ordered: Bases = NONE

    @property
    def computed(self) -> Bases:
        """What its columns are computed from."""
        return NONE.union(*(one.computed for one in self.columns))


@dataclass(frozen=True)
class Source:
    """One FROM item under the names by which it is referred to; `hidden`: columns that * leaves out, for USING."""

    path: tuple[str, ...]
    rows: Rows
    hidden: frozenset[str] = frozenset()


@dataclass
class Scope:
    """What names can mean at one place of a query."""

    sources: list[Source]
    named: Mapping[str, Rows]  # common table expressions
    home: tuple[str, ...]  # the view whose definition this is
    outer: Scope | None = None
    aliases: dict[str, Bases] = field(default_factory=dict)
    windows: dict[str, tuple[Bases, bool]] = field(default_factory=dict)  # what they read, and whether they are ordered

    @property
    def ordered(self) -> Bases:
        """What the rows of its items are ordered by."""
        return NONE.union(*(source.rows.ordered for source in self.sources))


def only(node: Node, kind: str) -> None:
    """Refuses a node that has a part which nobody looks at."""
    if more := sorted(key for key, value in node.args.items() if value and key not in PARTS[kind]):
        refuse(f"{kind.lower()} with {more[0].rstrip('_').replace('_', ' ')}")


def here(node: Node) -> Iterator[Node]:
    """A condition and its parts, without those of its sub-queries."""
    yield node
    for one in node.iter_expressions():
        if not isinstance(one, exp.Query):
            yield from here(one)
