"""MDAV: groups of at least k points that are near each other, for microaggregation.

*Source*: Domingo-Ferrer & Torra, "Ordinal, Continuous and Heterogeneous k-Anonymity Through Microaggregation", Data
Mining and Knowledge Discovery 11, 2005: maximum distance to the average vector, fixed group size.
*Shapes*: points [records][coordinates], scaled by the caller; the result is a group number per record, in their order.
*Cost*: O(n² / k), so that it is for blocks of some hundred or thousand records.
*Raises*: ValueError for k below 1, or coordinates that are not finite: such a point is near to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def mdav(k: int, points: Sequence[Sequence[float]]) -> list[int]:
    """Group numbers from 0; every group has k to 2k − 1 points, or is the only one.

    While 3k points are left: the one farthest from their mean takes its k − 1 nearest, then the one farthest from it
    does. Among equally far points the first is taken, so the order of the points decides and must be the caller's own.
    """
    if k < 1:
        raise ValueError("k must be at least 1")
    if not len(points):
        return []
    found = np.array(points, dtype=np.float64).reshape(len(points), -1)
    if not np.isfinite(found).all():
        raise ValueError("coordinates are finite numbers")
    groups = np.zeros(len(found), dtype=np.int64)
    left, number = np.arange(len(found)), 0
    while len(left) >= 2 * k:
        seeds = [left[_farthest(found[left], found[left].mean(axis=0))]]
        if len(left) >= 3 * k:
            seeds.append(left[_farthest(found[left], found[seeds[0]])])
        for seed in seeds:
            members = _nearest(found[left], found[seed], k)
            groups[left[members]] = number
            left, number = np.delete(left, members), number + 1
    groups[left] = number
    numbers: list[int] = groups.tolist()
    return numbers


def mean(values: Sequence[float]) -> float | None:
    """The mean, the same whatever the order: the sum is rounded once. None for no values."""
    return math.fsum(values) / len(values) if values else None


def _distances(points: Floats, to: Floats) -> Floats:
    squares: Floats = ((points - to) ** 2).sum(axis=1)
    return squares


def _farthest(points: Floats, to: Floats) -> int:
    return int(np.argmax(_distances(points, to)))


def _nearest(points: Floats, to: Floats, many: int) -> Ints:
    order: Ints = np.argsort(_distances(points, to), kind="stable")[:many]
    return order
