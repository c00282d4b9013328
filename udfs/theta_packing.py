"""Classes of k from a block of records, so that all meet θ with the least noise: the partition follows the values.

`pack` gets the records per value of a block (or of the whole table) and gives each class its share of every value; the
database then deals the records out in their order. Two ways to deal, the first that does is taken:

- *even*: every value as evenly as can be, as the descending-frequency round-robin does. With m classes and E = Σ max(0,
  f − m), each class has ⌊E/m⌋ or ⌈E/m⌉ records beyond the first of a value: no partition's worst class has fewer.
- *packed*: every value once per class as far as it goes, and the E extra records in runs of one value per class. It is
  *less* diverse than even, but has a higher V: given its distinct values, a class's V is greatest when all its repeats
  are of one value. Where θ refuses the even classes it is this or noise; `theta.implied` tells what it is worth.

*Source*: the first is theorem 1.4 B of the reference (round-robin is optimal for the worst number of repeats); the
second attains the lower bound of `theta.noise_lower_bound` up to the remainders of the runs.
*Leaves*: what θ leaves. The packed way makes the top value of a class as sure as θ allows, 5/14 for k = 14 and μ = 0.6.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sqlanon.udfs.theta import Theta, implied, least_noise, noise_lower_bound
from sqlanon.udfs.theta_plans import Histogram, Ints

_ENOUGH = 4  # noise for so many classes more than the bound's is not worth another try


@dataclass(frozen=True)
class Packed:
    """Records per class and value, without the noise, and the noise as rows (class, value, 1)."""

    histogram: Histogram
    noise: Ints


def pack(counts: Sequence[int], theta: Theta, *, noise: bool = False, tries: int = 32) -> Packed | None:
    """Classes of at least k, as many as n / k allows, that all meet θ; None where neither way finds such.

    `counts`: records per value; values without records can still become noise. Without noise the sizes differ by at
    most one, so Σ |class|² is the least there is; with noise, classes have k tuples, a few of them one more. `tries`:
    how many numbers of classes are tried beyond the least that the lower bound allows. Works on a dense table of
    classes and values, so a block is to have no more than some million pairs of them.
    """
    found = np.asarray(counts, dtype=np.int64)
    n = int(found.sum())
    promised = implied(theta.k, theta)
    if n < theta.k or promised is None or promised.distinct > len(found):
        return None
    bound = noise_lower_bound(counts, theta) if noise else None
    best: Packed | None = None
    for groups in [n // theta.k] if bound is None else _groups((n + bound) // theta.k, n // theta.k, tries):
        for deal in (_even, _packed):
            dealt = _checked(deal(found, groups, theta), found, groups, theta, noise)
            if dealt is not None and (best is None or len(dealt.noise) < len(best.noise)):
                best = dealt
            if best is not None and len(best.noise) <= (bound or 0) + _ENOUGH * theta.k:
                return best
    return best


def _groups(least: int, without: int, tries: int) -> Iterator[int]:
    """The numbers of classes to try: the bound's and few more; few less, some of them beyond k; then more and more."""
    yield from range(least, least + 4)
    yield from range(least - 1, max(without, least - 9), -1)
    yield from range(least + 4, least + tries)


def _even(counts: Ints, groups: int, theta: Theta) -> Ints:
    """Records per class and value, every value spread as evenly as can be; heavy values first."""
    dealt = np.zeros((groups, len(counts)), dtype=np.int64)
    sizes = np.zeros(groups, dtype=np.int64)
    for value in np.argsort(-counts, kind="stable"):
        dealt[:, value] = counts[value] // groups
        dealt[_smallest(sizes, int(counts[value] % groups)), value] += 1
        sizes += dealt[:, value]
    return dealt


def _packed(counts: Ints, groups: int, theta: Theta) -> Ints:
    """Every value once per class as far as it goes; what is beyond, in runs of one value per class."""
    dealt = np.zeros((groups, len(counts)), dtype=np.int64)
    heavy = np.flatnonzero(counts > groups)
    dealt[:, heavy] = 1
    for number, (value, length) in enumerate(_runs(counts - groups, heavy, groups, theta)):
        dealt[number, value] += length
    sizes = dealt.sum(axis=1)
    for value in np.argsort(-counts, kind="stable"):
        if 0 < counts[value] <= groups:
            chosen = _smallest(sizes, int(counts[value]))
            dealt[chosen, value] = 1
            sizes[chosen] += 1
    return dealt


def _runs(extra: Ints, heavy: Ints, groups: int, theta: Theta) -> list[tuple[int, int]]:
    """For each class (some may get none) a heavy value and how many of its extra records, the values interleaved."""
    most = implied(theta.k, theta)
    longest = max(1, (most.top_frequency if most else 1) - 1)
    shortest = max(1, theta.k - len(extra))  # a class of k needs that many repeats where there are fewer values than k
    runs = {int(v): max(1, min(int(-(-extra[v] // longest)), int(extra[v] // shortest))) for v in heavy}
    spare = groups - sum(runs.values())
    while spare < 0 and any(many > 1 for many in runs.values()):
        # One run fewer where the others get the least longer for it.
        value = min((v for v in runs if runs[v] > 1), key=lambda v: (-(-extra[v] // (runs[v] - 1)), -runs[v], v))
        runs[value], spare = runs[value] - 1, spare + 1
    waiting = [(-extra[v] / many, v) for v, many in runs.items()]
    heapq.heapify(waiting)
    while spare > 0 and waiting:
        _, value = heapq.heappop(waiting)
        if extra[value] // (runs[value] + 1) >= shortest:
            runs[value], spare = runs[value] + 1, spare - 1
            heapq.heappush(waiting, (-extra[value] / runs[value], value))
    placed = [
        ((i + 0.5) / many, value, int(extra[value] // many) + (i < extra[value] % many))
        for value, many in runs.items()
        for i in range(many)
    ]
    return [(value, length) for _, value, length in sorted(placed)[:groups]]


def _smallest(sizes: Ints, many: int) -> Ints:
    """The `many` smallest classes; among equally small ones evenly spread, so that classes stay near in their order."""
    order = np.argsort(sizes, kind="stable")
    if many == 0:
        return order[:0]
    level = sizes[order[many - 1]]
    below, equal = order[sizes[order] < level], order[sizes[order] == level]
    left = many - len(below)
    return np.concatenate([below, equal[(np.arange(left) * len(equal)) // left]])


def _checked(dealt: Ints, counts: Ints, groups: int, theta: Theta, noise: bool) -> Packed | None:
    """What was dealt, filled up with noise, if all records are there and every class has k and meets θ."""
    if np.any(dealt.sum(axis=0) != counts):
        return None
    added = np.zeros_like(dealt)
    if noise:
        _fill(dealt, added, counts, np.maximum(theta.k - dealt.sum(axis=1), 0))
        _fill(dealt, added, counts, _still_needed(dealt + added, theta))
    whole = dealt + added
    sizes = whole.sum(axis=1)
    if np.any(sizes < theta.k) or (not noise and np.ptp(sizes) > 1) or np.any(_still_needed(whole, theta)):
        return None
    classes, values = np.nonzero(dealt)
    if len(np.unique(classes)) < groups:
        return None  # a class of noise alone would be about nobody
    places = np.argwhere(added)
    rows = np.column_stack([places, np.ones(len(places), dtype=np.int64)])
    return Packed(Histogram(classes, values, dealt[classes, values], len(counts)), rows)


def _still_needed(whole: Ints, theta: Theta) -> Ints:
    """The noise that each class needs to meet θ; more than there are values where none does."""
    ordered = -np.sort(-whole, axis=1)
    ranks = np.arange(1, whole.shape[1] + 1)
    sums = np.column_stack([ordered.sum(axis=1), ordered @ ranks, ordered @ (ranks * ranks)])
    _, example, at = np.unique(sums, axis=0, return_index=True, return_inverse=True)
    missed = np.array([not theta.met(ordered[row].tolist()) for row in example], dtype=bool)[at.ravel()]
    needed = np.zeros(len(whole), dtype=np.int64)
    shapes, at = np.unique(ordered[missed], axis=0, return_inverse=True)
    found = [least_noise(shape[shape > 0].tolist(), theta, int((shape == 0).sum())) for shape in shapes]
    lifted = np.array([whole.shape[1] + 1 if n is None else n for n in found], dtype=np.int64)
    needed[missed] = lifted[at.ravel()]
    return needed


def _fill(dealt: Ints, added: Ints, counts: Ints, missing: Ints) -> None:
    """Adds noise where it is missing: values that the class lacks, the table's most frequent ones first."""
    for value in np.argsort(-counts, kind="stable"):
        taking = (missing > 0) & (dealt[:, value] + added[:, value] == 0)
        added[taking, value] = 1
        missing = missing - taking
