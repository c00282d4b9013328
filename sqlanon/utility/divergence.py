"""How far a release is from its source as a distribution over combinations of values: the Kullback-Leibler divergence.

Values that the same labels cover cannot be told apart by the release; they form one *cell*. The divergence needs the
release's density only once per combination of cells, and of the classes only those whose labels cover such a cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sqlanon.utility.compared import Compared
from sqlanon.utility.covering import Cover, Floats, Ints

# Combinations that are held against the classes at a time, and classes per step of that: what bounds the memory.
_POINTS, _CLASSES = 512, 8192


def kl_divergence(compared: Compared) -> float | None:
    """Σ p(x) log2(p(x) ÷ p*(x)) over the source's combinations x, in bits, 0 at best (Kifer & Gehrke 2006).

    p is the source's distribution; p* spreads the records of each class evenly over the combinations of values that its
    labels cover, and suppressed records over all there are. None (infinite) where nothing published covers a record of
    the source.
    """
    cells = [_cells(cover) for cover in compared.covers]
    points, weights, own = _points(compared, cells)
    density = _density(compared, cells, points)
    if not (np.isfinite(density) & (density > 0)).all():
        return None
    told = (own - math.fsum(weights * np.log2(density))) / compared.records - math.log2(compared.records)
    return max(told, 0.0)


@dataclass(frozen=True)
class _Cells:
    """One column's cells: `of` each value; the labels of cell c are `labels[starts[c] : starts[c + 1]]`."""

    of: Ints
    labels: Ints
    starts: Ints

    def covering(self, cells: Ints) -> tuple[Ints, Ints]:
        """The labels that cover these cells, and for each the place of its cell among them."""
        lengths = self.starts[cells + 1] - self.starts[cells]
        places = np.repeat(np.arange(len(cells)), lengths)
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.labels[self.starts[cells][places] + offsets], places


def _cells(cover: Cover) -> _Cells:
    order = np.lexsort((cover.label, cover.code))
    labels, ends = cover.label[order], np.searchsorted(cover.code[order], np.arange(len(cover.values) + 1))
    known: dict[bytes, int] = {}
    of = [known.setdefault(labels[start:end].tobytes(), len(known)) for start, end in pairwise(ends.tolist())]
    parts = [np.frombuffer(key, dtype=np.int64) for key in known]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    return _Cells(np.array(of, dtype=np.int64), np.concatenate([np.empty(0, dtype=np.int64), *parts]), starts)


def _points(compared: Compared, cells: list[_Cells]) -> tuple[Ints, Floats, float]:
    """The combinations of cells in order: [columns, combinations] and their records; Σ n log2 n of the values'."""
    found, counts, own = [], [], []
    for codes, records in compared.combinations():
        own.append(math.fsum(records * np.log2(records)))
        one, amounts = _distinct(np.stack([c.of[row] for c, row in zip(cells, codes, strict=True)]), records)
        found.append(one)
        counts.append(amounts)
    points, weights = _distinct(np.concatenate(found, axis=1), np.concatenate(counts))
    return points, weights.astype(np.float64), math.fsum(own)


def _distinct(rows: Ints, amounts: Ints) -> tuple[Ints, Ints]:
    """The different columns of a matrix in lexicographic order, and the sums of their amounts."""
    key, most = np.zeros(rows.shape[1], dtype=np.int64), 1
    for row in rows:
        size = int(row.max()) + 1
        if most > 2**62 // size:
            _, key = np.unique(key, return_inverse=True)
            most = int(key.max()) + 1
        key, most = key * size + row, most * size
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    total = np.zeros(len(first), dtype=np.int64)
    np.add.at(total, place, amounts)
    return rows[:, first], total


def _density(compared: Compared, cells: list[_Cells], points: Ints) -> Floats:
    """p* of each combination of cells."""
    covers, classes = compared.covers, compared.classes
    records = float(compared.sizes.sum() + compared.suppressed)
    weights = compared.sizes / records
    for cover, labels in zip(covers, classes, strict=True):
        weights = weights / cover.leaves[labels]
    everywhere = compared.suppressed / records
    for cover in covers:
        everywhere /= len(cover.values)
    found = np.full(points.shape[1], everywhere)
    for first in range(0, points.shape[1], _POINTS):
        here = slice(first, first + _POINTS)
        present = [np.unique(row, return_inverse=True) for row in points[:, here]]
        near = np.arange(len(weights))
        for cover, cell, labels, (some, _) in zip(covers, cells, classes, present, strict=True):
            hit = np.zeros(len(cover), dtype=bool)
            hit[cell.covering(some)[0]] = True
            near = near[hit[labels[near]]]
        for start in range(0, len(near), _CLASSES):
            some_classes = near[start : start + _CLASSES]
            found[here] += weights[some_classes] @ _inside(cells, classes[:, some_classes], present)
    return found


def _inside(cells: list[_Cells], classes: Ints, present: list[tuple[Ints, Ints]]) -> NDArray[np.bool_]:
    """[classes, combinations]: whether a class's labels cover a combination in every column."""
    inside = np.ones((classes.shape[1], len(present[0][1])), dtype=bool)
    for cell, labels, (some, places) in zip(cells, classes, present, strict=True):
        used, number = np.unique(labels, return_inverse=True)
        covering, of = cell.covering(some)
        at = np.searchsorted(used, covering)
        known = at < len(used)
        known[known] = used[at[known]] == covering[known]
        grid = np.zeros((len(used), len(some)), dtype=bool)
        grid[at[known], of[known]] = True
        inside &= grid[number][:, places]
    return inside
