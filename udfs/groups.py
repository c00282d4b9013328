"""The best way to cut a sequence into groups of k or more: a dynamic programme over a stream of blocks.

*What is done*: records stand in an order (along a space-filling curve); the sequence is cut into runs of at least k
persons so that the sum over all runs of records × Σ weight · width is least, where a run's width in a column is the
distance between its lowest and its highest place, at most `span`. A run of 2k persons or more never costs less than its
two parts, so runs of k … 2k − 1 are enough: O(n · k) for n persons.
*Exactness*: all in whole numbers. The stream's hand-over between blocks is exact: the last 2k − 2 persons and the costs
up to each of them go along, so the result does not depend on where the blocks end. Of equally good cuts the one with
the shortest last run is taken, so the result is the same everywhere.
*Source*: Ghinita, Karras, Kalnis, Mamoulis, "Fast data anonymization with low information loss", VLDB 2007 (the
optimal one-dimensional partitioning).
*Raises*: ValueError where fewer than k persons stand in the sequence; its message holds no value of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_NEVER = 1 << 61
# Cells of a block's table of costs, persons × lengths; bounds the memory.
_CELLS = 2_000_000


@dataclass(frozen=True)
class Block:
    """Rows in their order: places [rows, columns], records of each row, and persons where they are counted (0 or 1).

    Without `persons` every record counts as one, and a row's records may come to different groups; with them a row
    stays whole. All blocks of a stream are of one sort.
    """

    places: Ints
    records: Ints
    persons: Ints | None = None


@dataclass(frozen=True)
class Loss:
    """What a run costs per record: per column its width, at most `span`, times a weight.

    `whole`: columns in which any width at all counts as the whole span.
    """

    span: int
    weights: tuple[int, ...]
    whole: tuple[bool, ...]


@dataclass(frozen=True)
class Pieces:
    """Which rows are in which group, with how many of their records; in the order of rows and groups, from 0."""

    rows: Ints
    groups: Ints
    records: Ints


def best(blocks: Iterable[Block], k: int, loss: Loss) -> Pieces:
    """The cheapest groups of at least k persons each.

    No cut into groups of at least k persons costs less: of records, or, with `persons`, of persons each with the rows
    that follow. A person's records may lie at places far apart, but rows are never parted from the person before them.
    """
    if k < 1:
        raise ValueError("k must be at least 1")
    stream = iter(blocks)
    first = next(stream, None)
    if first is None:
        raise ValueError("the sequence is empty")
    rows = _Divisible(k) if first.persons is None else _Whole()
    lengths = np.concatenate(list(_forward(rows.units(chain([first], stream)), k, loss)) or [np.empty(0, np.int64)])
    return rows.pieces(_starts(lengths, k))


def _starts(lengths: Ints, k: int) -> Ints:
    """Where the groups of the best cut begin, from the length of the last group of every beginning of the sequence."""
    at = len(lengths)
    if at < k:
        raise ValueError("fewer than k persons stand in the sequence")
    starts = []
    while at > 0:
        at -= int(lengths[at - 1])
        starts.append(at)
    return np.array(starts[::-1], dtype=np.int64)


# -- rows and the units that are grouped -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Units:
    """What is grouped: a record, or a person with the records up to the next one. A stretch per column, and records."""

    low: Ints
    high: Ints
    records: Ints

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, part: slice) -> _Units:
        return _Units(self.low[part], self.high[part], self.records[part])

    def then(self, other: _Units) -> _Units:
        """These, and others after them."""
        pairs = ((self.low, other.low), (self.high, other.high), (self.records, other.records))
        return _Units(*(np.concatenate(pair) for pair in pairs))


@dataclass
class _Divisible:
    """Rows whose records are units of their own, the first 3k − 2 of each: more of them change nothing.

    In a row of so many the best cut gives at most k − 1 records to the group before and to the group after it, and at
    least k are left that cost nothing; the records beyond 3k − 2 join these.
    """

    k: int
    copies: list[Ints] = field(default_factory=list)
    records: list[Ints] = field(default_factory=list)

    def units(self, blocks: Iterable[Block]) -> Iterator[_Units]:
        for block in blocks:
            copies = np.minimum(block.records, 3 * self.k - 2)
            self.copies.append(copies)
            self.records.append(block.records)
            places = np.repeat(block.places, copies, axis=0)
            yield _Units(places, places, np.ones(len(places), dtype=np.int64))

    def pieces(self, starts: Ints) -> Pieces:
        copies, records = np.concatenate(self.copies), np.concatenate(self.records)
        ends = np.cumsum(copies)
        begins = ends - copies
        points = np.union1d(begins, starts)
        rows, groups = (np.searchsorted(of, points, side="right") - 1 for of in (begins, starts))
        lengths = np.diff(points, append=ends[-1])
        last = np.append(starts[1:], ends[-1])
        inner = (starts[groups] >= begins[rows]) & (last[groups] <= ends[rows])
        # A row's inner groups are published alike, so they are one; it takes in the records that were left out.
        heads = np.flatnonzero(~(inner & np.roll(inner, 1) & (rows == np.roll(rows, 1))) | (points == 0))
        lengths = np.add.reduceat(lengths, heads)
        rows, groups, inner = rows[heads], groups[heads], inner[heads]
        lengths[inner] += (records - copies)[rows[inner]]
        return Pieces(rows, groups, lengths)


@dataclass
class _Whole:
    """Rows that stay whole; those without a person of their own go with the person before them (the first, after)."""

    persons: list[Ints] = field(default_factory=list)
    records: list[Ints] = field(default_factory=list)

    def units(self, blocks: Iterable[Block]) -> Iterator[_Units]:
        held: _Units | None = None  # the last person's, who may have more; before the first person, all rows
        begun = False
        for block in blocks:
            counted = block.persons if block.persons is not None else np.ones(len(block.records), dtype=np.int64)
            self.persons.append(counted)
            self.records.append(block.records)
            starts, rows = np.flatnonzero(counted), _Units(block.places, block.places, block.records)
            if held is not None:
                starts, rows = starts + len(held), held.then(rows)
            starts = np.append(0, starts) if begun else np.append(0, starts[1:]) if len(starts) else starts
            if not len(starts):
                held = rows
                continue
            begun = True
            low, high = np.minimum.reduceat(rows.low, starts), np.maximum.reduceat(rows.high, starts)
            found = _Units(low, high, np.add.reduceat(rows.records, starts))
            yield found[:-1]
            held = found[-1:]
        if held is not None and begun:
            yield held

    def pieces(self, starts: Ints) -> Pieces:
        units = np.maximum(np.cumsum(np.concatenate(self.persons)) - 1, 0)
        groups = np.searchsorted(starts, units, side="right") - 1
        return Pieces(np.arange(len(units)), groups, np.concatenate(self.records))


# -- the dynamic programme ---------------------------------------------------------------------------------------------


def _forward(units: Iterable[_Units], k: int, loss: Loss) -> Iterator[Ints]:
    """For every beginning of the sequence, the length of its last run in the best cut; block by block."""
    size = max(k, min(1 << 16, _CELLS // k))
    before: _Units | None = None
    # The least costs of the beginnings that end at the last 2k − 1 units; nothing has been cut at the start.
    costs = np.full(2 * k - 1, _NEVER, dtype=np.int64)
    costs[-1] = 0
    for block in units:
        for at in range(0, len(block), size):
            part = block[at : at + size]
            known = part if before is None else before.then(part)
            lengths, costs = _cut(costs, _runs(known, len(part), k, loss), k)
            before = known[max(len(known) - (2 * k - 2), 0) :] if k > 1 else known[:0]
            yield lengths


def _cut(before: Ints, runs: Ints, k: int) -> tuple[Ints, Ints]:
    """The lengths of the last runs, and the costs of the last beginnings, counted from the least of them."""
    count = len(runs)
    costs = np.concatenate([before, np.empty(count, dtype=np.int64)])
    # Row j: what the beginnings cost that lie k, k + 1, … units before the end of unit j.
    step = costs.strides[0]
    earlier = np.lib.stride_tricks.as_strided(costs[k - 1 :], shape=(count, k), strides=(step, -step))
    lengths = np.empty(count, dtype=np.int64)
    # A run has k units or more, so the costs of k ends depend only on what came before them.
    for at in range(0, count, k):
        some = earlier[at : at + k] + runs[at : at + k]
        lengths[at : at + k] = some.argmin(axis=1)
        costs[2 * k - 1 + at : 2 * k - 1 + at + k] = np.minimum(some.min(axis=1), _NEVER)
    left = costs[count:]
    return lengths + k, np.where(left < _NEVER, left - left.min(), _NEVER)


def _runs(units: _Units, count: int, k: int, loss: Loss) -> Ints:
    """What the runs of k … 2k − 1 units cost that end at each of the last `count`: [count, k]."""
    every = len(units)
    history = every - count
    widths = np.zeros((k, count), dtype=np.int64)
    for column, (weight, whole) in enumerate(zip(loss.weights, loss.whole, strict=True)):
        low, high = _small(units.low[:, column], units.high[:, column])
        top, bottom, length = high, low, 1
        while length < min(k, every):
            more = min(length, min(k, every) - length)
            top = np.maximum(top[:-more], top[more:])
            bottom = np.minimum(bottom[:-more], bottom[more:])
            length += more
        for row in range(k):
            if k + row > every:
                break
            first = max(history, k + row - 1)
            width = (top - bottom)[first - (k + row - 1) :].astype(np.int64)
            width = np.where(width > 0, loss.span, 0) if whole else np.minimum(width, loss.span)
            widths[row, first - history :] += width * weight
            top = np.maximum(top[:-1], high[k + row :])
            bottom = np.minimum(bottom[:-1], low[k + row :])
    so_far = np.concatenate([[0], np.cumsum(units.records)])
    costs = np.full((k, count), _NEVER, dtype=np.int64)
    for row in range(min(k, every - k + 1)):
        first = max(history, k + row - 1)
        records = so_far[first + 1 :] - so_far[first - (k + row - 1) : every - (k + row - 1)]
        costs[row, first - history :] = widths[row, first - history :] * records
    return np.ascontiguousarray(costs.T)


def _small(low: Ints, high: Ints) -> tuple[npt.NDArray[np.int32] | Ints, npt.NDArray[np.int32] | Ints]:
    """Both ends counted from the least low one, in 32 bits where they fit: that halves the work."""
    if not len(low):
        return low, high
    least = low.min()
    low, high = low - least, high - least
    return (low.astype(np.int32), high.astype(np.int32)) if int(high.max()) < 1 << 31 else (low, high)
