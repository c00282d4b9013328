"""What was read back of a published relation: class sizes and histograms of classes × values; never a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlanon.hierarchies import Rows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Class numbers with the guarding nodes that occur in them; values of a set-valued column with their records.
Guards = tuple[tuple[int, str | None], ...]
Sets = tuple[tuple[Any, int], ...]

# Cells of a dense block of classes × values; bounds the memory that a distance takes.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Published:
    """A relation to be verified: its FROM item, its quasi-identifier columns, and the entity where it holds one.

    `reference` is the FROM item whose distribution of sensitive values the distances compare with; `orders` and `trees`
    say how a column's values are arranged; `population` is the FROM item of the population, recoded alike. `number`:
    the column that tells how many published rows each row of the item stands for, where it is not one.
    """

    item: str
    keys: tuple[str, ...]
    entity: str | None
    reference: str
    orders: Mapping[str, tuple[str, ...]]
    trees: Mapping[str, Rows]
    population: str | None = None
    number: str | None = None


@dataclass(frozen=True)
class Histogram:
    """Classes × values of one sensitive column, sparse: class number, value number, count; and the table's counts."""

    classes: Ints
    values: Ints
    counts: Ints
    table: Ints
    labels: tuple[str | None, ...]

    @property
    def sizes(self) -> Ints:
        return np.bincount(self.classes, weights=self.counts).astype(np.int64)


@dataclass(frozen=True)
class Places:
    """Classes × values × thresholds of one sensitive column, sparse: what an observer of some columns may know.

    `keys[i]` numbers the values of the i-th quasi-identifier, `classes` the classes, `values` the values in `labels`,
    `limits` the thresholds in `thresholds`; `counts` are records. `family` is the column's kind of type.
    """

    keys: Ints
    classes: Ints
    values: Ints
    limits: Ints
    counts: Ints
    labels: tuple[str | None, ...]
    thresholds: tuple[str | None, ...]
    family: str


@dataclass(frozen=True)
class Evidence:
    """What a judge may look at."""

    records: Ints
    persons: Ints
    histogram: Histogram | None
    published: Published
    column: str
    people: tuple[Ints, int] | None = None
    guards: Guards | None = None
    sets: Sets = ()
    places: Places | None = None

    @property
    def cells(self) -> Histogram:
        if self.histogram is None:
            raise ValueError("the model needs a sensitive column")
        return self.histogram

    @property
    def population(self) -> tuple[Ints, int]:
        """Population records per class, and the number of the population's classes."""
        if self.people is None:
            raise ValueError("the model needs a population table")
        return self.people

    def per_class(self, numbers: Floats | Ints) -> Floats:
        """Sums of a number per cell over the classes."""
        sums = np.bincount(self.cells.classes, weights=numbers, minlength=len(self.cells.sizes))
        return sums.astype(np.float64)

    def ranked(self) -> Iterator[tuple[Ints, int]]:
        """Per class, its counts from the most frequent value down."""
        order = np.lexsort((-self.cells.counts, self.cells.classes))
        ends = np.flatnonzero(np.diff(self.cells.classes[order], append=-1)) + 1
        start = 0
        for number, end in enumerate(ends):
            yield self.cells.counts[order[start:end]], number
            start = int(end)

    def dense(self) -> Iterator[Floats]:
        """Blocks of whole classes × all values of the table."""
        cells, width = self.cells, max(len(self.cells.table), 1)
        step = max(_BLOCK // width, 1)
        order = np.argsort(cells.classes, kind="stable")
        classes = cells.classes[order]
        for first in range(0, len(cells.sizes), step):
            here = order[np.searchsorted(classes, first) : np.searchsorted(classes, first + step)]
            block = np.zeros((min(step, len(cells.sizes) - first), width))
            block[cells.classes[here] - first, cells.values[here]] = cells.counts[here]
            yield block
