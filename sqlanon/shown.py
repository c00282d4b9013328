"""Results that a notebook shows as tables and bars.

A result lives on a low floor and knows nothing of pictures: whoever draws it is named from above (`draw_with`), and is
read only when something is shown.
"""

from __future__ import annotations

from collections.abc import Callable

Draw = Callable[[object], str]

_drawing: list[Draw] = []


class Shown:
    """A result with a picture of its own in Jupyter and the like; its `repr` elsewhere."""

    def _repr_html_(self) -> str | None:
        return _drawing[-1](self) if _drawing else None


def draw_with(draw: Draw) -> None:
    """Names who draws results from now on."""
    _drawing[:] = [draw]
