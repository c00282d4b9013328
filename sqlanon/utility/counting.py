"""How well COUNT queries can be answered from a release: random conjunctive predicates over the quasi-identifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlanon.utility.compared import Compared
from sqlanon.utility.covering import Cover, Floats, Ints, Values

Bools = NDArray[np.bool_]

# A query asks for at least this share of all combinations of values, drawn evenly on a logarithmic scale.
_DECADES = 3
# Where the kinds by selectivity end: the share of the source's records that a query counts.
SELECTIVITIES = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class CountQuery:
    """`SELECT count(*) WHERE column IN values AND …` over some columns (by number), drawn around a record.

    Of a column with an order a run of its values is asked for, of another column a random set, so that `share` of its
    values are; the record's own value is always among them, so that no query counts nothing. A missing value is asked
    for only by itself.
    """

    columns: tuple[int, ...]
    record: tuple[int, ...]
    share: float
    seed: tuple[int, int]

    def wanted(self, i: int, values: Values) -> Bools:
        """Which values of the i-th column are asked for; the same whenever it is called."""
        random, own, size = np.random.default_rng((*self.seed, i)), self.record[i], len(values)
        first = int(values.missing)
        asked = np.zeros(size, dtype=bool)
        if own >= first and values.ordered:
            length = max(1, round(self.share * (size - first)))
            start = int(random.integers(max(first, own - length + 1), min(own, size - length) + 1))
            asked[start : start + length] = True
        elif own >= first:
            asked[first:] = random.random(size - first) < self.share
        asked[own] = True
        return asked


def draw(compared: Compared, queries: int, seed: int) -> list[CountQuery]:
    """So many queries over 1, 2, …, m, 1, … columns; the same for the same data and seed."""
    random, width = np.random.default_rng(seed), len(compared.covers)
    ranks, shares = random.integers(0, compared.records, queries), 10.0 ** (-_DECADES * random.random(queries))
    chosen = [tuple(sorted(random.permutation(width)[: 1 + i % width].tolist())) for i in range(queries)]
    records, before = np.zeros((width, queries), dtype=np.int64), 0
    for codes, counts in compared.combinations():
        ends = before + np.cumsum(counts)
        here = (ranks >= before) & (ranks < ends[-1])
        records[:, here] = codes[:, np.searchsorted(ends, ranks[here], side="right")]
        before = int(ends[-1])
    return [
        CountQuery(columns, tuple(record), float(share) ** (1 / len(columns)), (seed, number))
        for number, (columns, record, share) in enumerate(zip(chosen, records.T.tolist(), shares, strict=True))
    ]


# [bit, byte]: whether the bit is set in the byte, so that records per byte become records per bit.
_BITS = (np.arange(256) >> np.arange(8)[:, np.newaxis] & 1).astype(np.float64)


def counted(codes: Ints, records: Ints, queries: Sequence[Mapping[int, Bools]]) -> Ints:
    """How many of these records each of at most 64 queries counts; `codes` are [columns, combinations].

    A query is a bit: one look-up per column tells of a combination which queries ask for it.
    """
    asking = np.full(len(records), 2**64 - 1, dtype="<u8")
    for i in sorted({i for wanted in queries for i in wanted}):
        asking &= _bits([wanted.get(i) for wanted in queries])[codes[i]]
    weights, places = records.astype(np.float64), asking.view("u1").reshape(-1, 8).T
    found = np.concatenate([_BITS @ np.bincount(byte, weights, 256) for byte in places])
    return found[: len(queries)].astype(np.int64)


def _bits(wanted: Sequence[Bools | None]) -> NDArray[np.uint64]:
    """Per value, a bit for each query that asks for it or does not look at the column."""
    bits = np.zeros(next(len(asked) for asked in wanted if asked is not None), dtype=np.uint64)
    for bit, asked in enumerate(wanted):
        bits |= np.uint64(1 << bit) * (np.uint64(1) if asked is None else asked.astype(np.uint64))
    return bits


def estimated(covers: Sequence[Cover], classes: Ints, sizes: Ints, wanted: Mapping[int, Bools]) -> tuple[int, float]:
    """What the classes let one count: all records of each class that overlaps the query, and evenly spread ones.

    The second takes of each class the share of its values that are asked for, column by column.
    """
    share = np.ones(len(sizes))
    for i, asked in wanted.items():
        cover = covers[i]
        share *= (cover.among(asked) / cover.leaves)[classes[i]]
    return int(sizes[share > 0].sum()), float(share @ sizes)


@dataclass(frozen=True)
class Errors:
    """Mean and median of |estimate − count| ÷ count."""

    mean: float
    median: float


@dataclass(frozen=True)
class Slice:
    """The queries of one kind: how many, and how far off both estimates are. `kind` is what they share."""

    kind: Mapping[str, float]
    queries: int
    overlap: Errors
    uniform: Errors

    def to_dict(self) -> dict[str, object]:
        """What they share, then the numbers."""
        errors = {"overlap": dict(vars(self.overlap)), "uniform": dict(vars(self.uniform))}
        return {**self.kind, "queries": self.queries, **errors}


@dataclass(frozen=True)
class QueryError:
    """The relative errors of random COUNT queries (LeFevre et al. 2006; Xiao & Tao 2006).

    `overlap` counts every class that overlaps the predicate, as Khan et al. (2020) do, so that it never counts too few
    of what was published; `uniform` takes the share of the class's values that are asked for. Suppressed records are
    counted by neither. `by_selectivity` goes by the share of the source's records that a query really counts.
    """

    seed: int
    total: Slice
    by_dimensionality: tuple[Slice, ...]
    by_selectivity: tuple[Slice, ...]

    def to_dict(self) -> dict[str, object]:
        """All numbers; `up_to` is the upper end of a kind of selectivity."""
        return {
            **self.total.to_dict(), "seed": self.seed,
            "by_dimensionality": [kind.to_dict() for kind in self.by_dimensionality],
            "by_selectivity": [kind.to_dict() for kind in self.by_selectivity],
        }  # fmt: skip


def query_error(compared: Compared, queries: int, seed: int) -> QueryError | None:
    """The errors of so many random queries; None where none are asked for."""
    if not queries:
        return None
    asked, values = draw(compared, queries, seed), [cover.values for cover in compared.covers]

    def wanted(some: Sequence[CountQuery]) -> list[Mapping[int, Bools]]:
        return [{i: one.wanted(i, values[i]) for i in one.columns} for one in some]

    groups = [asked[first : first + 64] for first in range(0, queries, 64)]
    counts = np.zeros(queries, dtype=np.int64)
    for codes, records in compared.combinations():
        counts += np.concatenate([counted(codes, records, wanted(group)) for group in groups])
    told = [
        estimated(compared.covers, compared.classes, compared.sizes, one) for group in groups for one in wanted(group)
    ]
    errors = np.abs(np.array(told, dtype=np.float64).T - counts) / counts
    widths, shares = np.array([len(one.columns) for one in asked]), counts / compared.records
    return QueryError(
        seed, _slice({}, errors, np.ones(queries, dtype=bool)),
        tuple(_slice({"columns": width}, errors, widths == width) for width in np.unique(widths).tolist()),
        tuple(
            _slice({"up_to": upper}, errors, there)
            for lower, upper in zip((0.0, *SELECTIVITIES), SELECTIVITIES, strict=False)
            if (there := (shares > lower) & (shares <= upper)).any()
        ),
    )  # fmt: skip


def _slice(kind: Mapping[str, float], errors: Floats, which: Bools) -> Slice:
    overlap, uniform = (Errors(float(np.mean(e[which])), float(np.median(e[which]))) for e in errors)
    return Slice(kind, int(which.sum()), overlap, uniform)
