"""Which values of a set must be blanked so that none of it can be predicted too well any more.

*What a set is*: the records that an observer cannot tell apart, as a histogram of cells. A cell is a value with a
threshold; cells stand in the order of their values. `counts[i]` are the records of cell i; the cells from `first[i]` to
`last[i]` are those within reach of its value; `thresholds[i]` is (numerator, denominator). No value is needed, and none
is given. With m the records within reach and S all records of the set, a record is a violation where m / S is at least
its threshold (above it for `above`). Blanked values leave the set: they count in no m and no S.

*Result*: per cell, how many of its records to blank. Records of one cell are alike, so it does not matter which.
All three ways end without a violation, because each step blanks at least one record and an empty set has none.

*Source*: Neumann, Grace, Burns & Surridge, Journal of Internet Services and Applications 10:1, 2019, Algorithm 2
(reference: models, 3.3); `greedy` and `minimum` are its deterministic and its exact form.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Records of a violating set up to which the exact minimum is searched; all 2**20 ways to blank them may be looked at.
SMALL = 20


@dataclass(frozen=True)
class Set:
    """One set as a histogram; see the module."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    counts: tuple[int, ...]
    thresholds: tuple[tuple[int, int], ...]
    above: bool = False

    @cached_property
    def _ends(self) -> tuple[Ints, Ints]:
        return np.array(self.first, dtype=np.int64), np.array(self.last, dtype=np.int64) + 1

    @cached_property
    def _kinds(self) -> tuple[list[tuple[int, int]], Ints]:
        """The different thresholds, and which one each cell has."""
        kinds = list(dict.fromkeys(self.thresholds))
        place = {kind: i for i, kind in enumerate(kinds)}
        return kinds, np.array([place[t] for t in self.thresholds], dtype=np.int64)

    def near(self, left: Ints) -> Ints:
        """Per cell, the records within reach of its value when these are left; also for many ways (rows) at once."""
        upto = np.zeros((*left.shape[:-1], left.shape[-1] + 1), dtype=np.int64)
        np.cumsum(left, axis=-1, out=upto[..., 1:])
        first, end = self._ends
        found: Ints = upto[..., end] - upto[..., first]
        return found

    def violating(self, left: Ints, near: Ints) -> npt.NDArray[np.bool_]:
        """The cells whose records are violations."""
        kinds, of = self._kinds
        size = int(left.sum())
        least = np.array([least_violation(*kind, size, self.above) for kind in kinds], dtype=np.int64)
        found: npt.NDArray[np.bool_] = (left > 0) & (near >= least[of])
        return found


def least_violation(top: int, bottom: int, size: int, above: bool) -> int:
    """The least m that is a violation in a set of this size under the threshold top / bottom, in whole numbers."""
    return top * size // bottom + 1 if above else -(-top * size // bottom)


def iteration(found: Set, default: Fraction, seed: str) -> list[int]:
    """The paper's: while there are violations V, blank max(1, |V| − ⌈t|S|⌉ + 1) of them, drawn at random.

    t is the `default` threshold. The draw follows from the seed and the set alone, in no order of sets.
    """
    draw, left = random.Random(f"{seed}:{found}"), np.array(found.counts, dtype=np.int64)
    while (cells := np.flatnonzero(found.violating(left, found.near(left)))).size:
        violations, size = int(left[cells].sum()), int(left.sum())
        wanted = min(max(1, violations - ceil(default * size) + 1), violations)
        for cell in draw.sample(cells.tolist(), wanted, counts=left[cells].tolist()):
            left[cell] -= 1
    return _removed(found, left)


def greedy(found: Set) -> list[int]:
    """Blanks one record with the highest share among the violations after the other; ties: the lowest cell."""
    left = np.array(found.counts, dtype=np.int64)
    while (violating := found.violating(left, near := found.near(left))).any():
        left[np.where(violating, near, -1).argmax()] -= 1
    return _removed(found, left)


def minimum(found: Set) -> list[int]:
    """Blanks as few records as can be; ties: more from lower cells. Raises `ValueError` for sets beyond `SMALL`."""
    records = sum(found.counts)
    if records > SMALL:
        raise ValueError(f"an exact minimum is searched in sets of up to {SMALL} records")
    for removed in range(records):
        least = [least_violation(*threshold, records - removed, found.above) for threshold in found.thresholds]
        if (way := _Search(found, least).way(removed)) is not None:
            return way
    return list(found.counts)


def _removed(found: Set, left: Ints) -> list[int]:
    return [count - int(rest) for count, rest in zip(found.counts, left, strict=True)]


class _Search:
    """A way to blank a given number of records, cell by cell; the size of what is left, and so `least`, is given.

    Keeping records only ever brings others nearer to their `least`, so that a way is given up at its first violation.
    """

    def __init__(self, found: Set, least: Sequence[int]) -> None:
        self.found, self.least = found, least
        self.near, self.kept = [0] * len(least), [0] * len(least)
        self.after = [sum(found.counts[i:]) for i in range(len(least) + 1)]

    def way(self, budget: int) -> list[int] | None:
        """Per cell how many to blank, `budget` of them in all; None if there is no way without a violation."""
        if not self._place(0, budget):
            return None
        return [count - kept for count, kept in zip(self.found.counts, self.kept, strict=True)]

    def _place(self, cell: int, budget: int) -> bool:
        if budget > self.after[cell]:
            return False
        if cell == len(self.least):
            return True
        count, first, last = self.found.counts[cell], self.found.first[cell], self.found.last[cell]
        for kept in range(max(count - budget, 0), count + 1):
            self.kept[cell] = kept
            self._keep(first, last, kept)
            good = all(self.near[i] < self.least[i] for i in range(first, cell + 1) if self.kept[i])
            if good and self._place(cell + 1, budget - (count - kept)):
                return True
            self._keep(first, last, -kept)
        self.kept[cell] = 0
        return False

    def _keep(self, first: int, last: int, kept: int) -> None:
        for i in range(first, last + 1):
            self.near[i] += kept


def together(first: Ints, last: Ints, starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
    """For each set (its cells from `starts` to `ends`), whether all its values are within reach of each other.

    There every share is 1 however many are blanked, so that just the violations themselves must go.
    """
    whole = ends - starts
    reached = np.minimum.reduceat(last, starts) == whole - 1 if len(starts) else np.empty(0, dtype=bool)
    return reached & (np.maximum.reduceat(first, starts) == 0) if len(starts) else reached
