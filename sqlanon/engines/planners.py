"""Planners where the engine's own process is: their relations are read, block by block, and their answer is loaded.

That is beside the client, for a server without sqlanon's functions, and the only way for an embedded engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.functions import Planner, Rows
from sqlanon.query import Expression, column, fragment

_BLOCK = 1 << 18  # rows that are held outside the database at a time
Array = np.ndarray[Any, np.dtype[np.int64]]


def beside(
    engine: Engine, step: str, name: str, planner: Planner, constants: Sequence[object], rows: Sequence[Rows]
) -> None:
    """Makes a working table of the rows that a planner gives. Raises `EngineError`, and what the planner raises."""
    found = planner.many(*constants, *(stream(engine, step, one) for one in rows))
    engine.load(step, name, _blocks(dict(zip(planner.gives, found, strict=True))))


def stream(engine: Engine, step: str, rows: Rows) -> Iterator[Array]:
    """The rows in their order, as blocks [rows, columns]."""
    for asked in _parts(rows):
        found = engine.arrays(step, asked)
        yield np.stack([np.ma.getdata(found[name]).astype(np.int64) for name in rows.columns], axis=1)


def _parts(rows: Rows) -> Iterator[Expression]:
    told, by = [column(name) for name in rows.columns], [column(name) for name in rows.by]
    tree = fragment("select $told from $r order by $by", told=told, r=rows.relation, by=by)
    if not rows.numbered:
        yield tree
        return
    for first in range(1, rows.many + 1, _BLOCK):
        within = fragment(f"$at >= {first} and $at < {first + _BLOCK}", at=column(*rows.by))
        yield query.filtered(tree, [within])


def _blocks(columns: Mapping[str, Array]) -> Iterator[Mapping[str, Array]]:
    many = len(next(iter(columns.values())))
    for first in range(0, max(many, 1), _BLOCK):
        yield {name: np.ascontiguousarray(found[first : first + _BLOCK]) for name, found in columns.items()}
