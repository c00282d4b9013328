"""Distributions of single columns, counted by themselves: of columns that are published as they are, and of relations
without a source.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.engines.words import plainly
from sqlanon.plan import ORDERED
from sqlanon.query import Text
from sqlanon.report.columns import distribution, numbers_in_bins
from sqlanon.report.minimum import Bin, Cell, by_size
from sqlanon.report.subjects import Subject
from sqlanon.utility.covering import amount, floats, ints

_MOST_NAMES = 400


def counted(subject: Subject, name: str, before: Origin | None, cell: Cell) -> dict[str, Any]:
    """A column's `distribution`, and its `shift` where there is a source, which has it by the same name.

    Reads each relation once. Raises `EngineError`.
    """
    engine = subject.engine
    here = next(found for found in engine.columns(subject.rows) if found.name == name)
    there = next((found for found in engine.columns(before) if found.name == name), None) if before else None
    if here.family in ORDERED and (there is None or there.family in ORDERED):
        found = engine.arrays(f"count the numbers of {name}", Text(_both(subject, here, there, before, numbers=True)))
        was, now = ints(found["b"]), ints(found["a"])
        dates = here.family in ("date", "timestamp")
        told = numbers_in_bins(floats(found["v"]), was, now, cell, dates=dates, sourced=before is not None)
        return {"distribution": told, "shift": _shift(was, now, cell) if before else None}
    both = _both(subject, here, there, before, numbers=False)
    listed = (
        "SELECT v, b, a, count(*) OVER () AS d, CAST(sum(b) OVER () AS BIGINT) AS tb,"
        f" CAST(sum(a) OVER () AS BIGINT) AS ta FROM ({both}) AS c ORDER BY b DESC, a DESC, v LIMIT {_MOST_NAMES}"
    )
    rows = engine.run(f"count the values of {name}", Text(listed))
    if not rows:
        return {"distribution": None, "shift": None}
    bins = [Bin.of("missing" if v is None else str(v), int(b), int(a), cell) for v, b, a, *_ in rows]
    _, _, _, values, all_before, all_after = rows[0]
    rest = int(all_before) - sum(b.before for b in bins), int(all_after) - sum(b.after for b in bins)
    if values > len(bins):
        bins.append(Bin("", "", *rest, values=int(values) - len(bins)))
    made = by_size(bins, cell)
    whole = len(bins) == values
    sides = (np.array([b.before for b in bins]), np.array([b.after for b in bins]))
    shift = _shift(*sides, cell) if before and whole else None
    return {"distribution": distribution(made, cell, ordered=False, sourced=before is not None), "shift": shift}


def _both(subject: Subject, here: Column, there: Column | None, before: Origin | None, *, numbers: bool) -> str:
    """One row per value `v`: records of the source `b`, of the published rows `a`; without a source the same."""
    engine = subject.engine
    sides = [(here, subject.rows, "0" if there else "count(*)", "count(*)")]
    sides += [(there, before, "count(*)", "0")] if there and before else []
    parts = []
    for column, origin, b, a in sides:
        own = engine.rendered(query.column(column.name, "s"))
        read = engine.rendered(amount(query.column(column.name, "s"), column.family)) if numbers else (
            f'CAST({plainly(own, column)} AS VARCHAR) COLLATE "C"')  # fmt: skip
        parts.append(f"SELECT {read} AS v, {b} AS b, {a} AS a FROM {engine.origin(origin)} AS s GROUP BY 1")
    union = " UNION ALL ".join(parts)
    return f"SELECT v, CAST(sum(b) AS BIGINT) AS b, CAST(sum(a) AS BIGINT) AS a FROM ({union}) AS u GROUP BY v"


def _shift(before: Any, after: Any, cell: Cell) -> float | None:
    """½ Σ |q − p|."""
    if not before.sum() or not after.sum():
        return None
    return cell.coarse(float(np.abs(before / before.sum() - after / after.sum()).sum() / 2), int(before.sum()))
