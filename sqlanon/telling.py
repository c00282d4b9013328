"""How a long piece of work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

# A sentence, and how far the work is (0..1) where that is known.
Tell = Callable[[str, float | None], None]


def silent(_: str, __: float | None) -> None:
    """Tells nobody."""
