"""Results that a notebook shows as tables and bars.

A result lives on a low floor and knows nothing of pictures. The room that draws them is upstairs; its name is all that
is known here, and it is entered when a notebook asks, as the public names of the house are.
"""

from __future__ import annotations

from importlib import import_module

_DRAWING = "sqlanon.showing.notebooks"


class Shown:
    """A result with a picture of its own in Jupyter and the like; its `repr` elsewhere."""

    def _repr_html_(self) -> str:
        found: str = import_module(_DRAWING).html(self)
        return found
