"""The verifier: measures a published relation on its own rows, from the definitions, sharing no code with the planner.

It reads back one number per class and sensitive value (never a row), and computes every model over these histograms
with numpy: dense where the planner is sparse, cumulative where it is closed. A release is judged by these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlanon import query
from sqlanon.engines.duckdb import DuckDB
from sqlanon.hierarchies import STAR, Rows
from sqlanon.models import (
    TOLERANCE,
    AlphaKAnonymity,
    AverageRisk,
    BetaLikeness,
    KAnonymity,
    LDiversity,
    Model,
    TCloseness,
    Verdict,
    column_of,
    exact,
    verdict,
)
from sqlanon.udfs import earth_mover

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Cells of a dense block of classes × values; bounds the memory that a distance takes.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Published:
    """A relation to be verified: its FROM item, its quasi-identifier columns, and the entity where it holds one.

    `reference` is the FROM item whose distribution of sensitive values the distances compare with; `orders` and `trees`
    say how a column's values are arranged.
    """

    item: str
    keys: tuple[str, ...]
    entity: str | None
    reference: str
    orders: Mapping[str, tuple[str, ...]]
    trees: Mapping[str, Rows]


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
class Measured:
    """What was read back: records, classes, the classes' sizes in records and in persons, and the verdicts."""

    rows: int
    classes: int
    sizes: Ints
    verdicts: tuple[Verdict, ...]

    @property
    def holds(self) -> bool:
        return all(v.holds for v in self.verdicts)


def verify(engine: DuckDB, published: Published, models: Sequence[Model]) -> Measured:
    """Every model's verdict on a published relation. Raises `EngineError`; nothing holds on an empty relation."""
    records, persons = _sizes(engine, published)
    histograms = {name: _histogram(engine, published, name) for name in dict.fromkeys(map(column_of, models)) if name}
    verdicts = []
    for model in models:
        name = column_of(model)
        histogram = histograms[name] if name else None
        values, holds = _JUDGES[type(model)](model, _Evidence(records, persons, histogram, published, name or ""))
        verdicts.append(_verdict(model, values, holds, histogram.sizes if histogram else records))
    return Measured(int(records.sum()), len(records), records, tuple(verdicts))


def _verdict(model: Model, values: Floats, holds: NDArray[np.bool_], sizes: Ints) -> Verdict:
    broken = ~holds
    if len(values) == 0:
        return verdict(model, None, 0, 0, empty=True)
    worst = float((np.min if model.worst == "min" else np.max)(values)) if np.isfinite(values).all() else None
    rows = int(sizes[broken].sum()) if len(holds) == len(sizes) else int(sizes.sum() if broken.any() else 0)
    classes = int(broken.sum()) if len(holds) == len(sizes) else (len(sizes) if broken.any() else 0)
    return verdict(model, worst, classes, rows)


# -- reading back ------------------------------------------------------------------------------------------------------


def _list(engine: DuckDB, names: Sequence[str]) -> str:
    """Columns of the relation `p`, always by that name: a column may be called like anything here."""
    return ", ".join(engine.sql(query.column(name, "p")) for name in names)


def _sizes(engine: DuckDB, published: Published) -> tuple[Ints, Ints]:
    """Records and persons per class, in the order of the classes' numbers in the histograms."""
    keys, persons = _list(engine, published.keys), "count(*)"
    if published.entity:
        # Records whose entity is missing may all be about one person, so together they count as one.
        who = _list(engine, [published.entity])
        persons = f"count(DISTINCT {who}) + (count(*) > count({who}))::INTEGER"
    sql = (
        f"SELECT count(*)::BIGINT AS records, ({persons})::BIGINT AS persons FROM {published.item} AS p"
        f" GROUP BY {keys} ORDER BY {keys}"
    )
    found = engine.arrays("read back the classes", sql)
    return found["records"].astype(np.int64), found["persons"].astype(np.int64)


def _histogram(engine: DuckDB, published: Published, name: str) -> Histogram:
    """The counts of one sensitive column. Values that the reference lacks get table count 0."""
    value, keys = _list(engine, [name]), _list(engine, published.keys)
    sql = (
        f"WITH cells AS (SELECT dense_rank() OVER (ORDER BY {keys}) - 1 AS class, {value} AS v, count(*)::BIGINT AS n"
        f" FROM {published.item} AS p GROUP BY {keys}, {value}),"
        f" here AS (SELECT {value} AS v, count(*)::BIGINT AS n FROM {published.reference} AS p GROUP BY {value}),"
        " everywhere AS (SELECT v, n FROM here UNION ALL SELECT DISTINCT c.v, 0 FROM cells AS c"
        " WHERE NOT EXISTS (SELECT 1 FROM here AS h WHERE h.v IS NOT DISTINCT FROM c.v)),"
        " numbered AS (SELECT v, n, row_number() OVER (ORDER BY v NULLS FIRST) - 1 AS number FROM everywhere)"
    )
    joined = (
        "SELECT c.class, a.number, c.n AS counted FROM cells AS c JOIN numbered AS a ON a.v IS NOT DISTINCT FROM c.v"
    )
    cells = engine.arrays(f"read back the values of {name}", f"{sql} {joined}")
    labels = f"{sql} SELECT v::VARCHAR AS label, n FROM numbered ORDER BY number"
    rows = engine.run(f"read back the values of {name}", labels)
    classes, values, counts = (cells[key].astype(np.int64) for key in ("class", "number", "counted"))
    table = np.array([n for _, n in rows], dtype=np.int64)
    return Histogram(classes, values, counts, table, tuple(v for v, _ in rows))


# -- judging -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evidence:
    records: Ints
    persons: Ints
    histogram: Histogram | None
    published: Published
    column: str

    @property
    def cells(self) -> Histogram:
        if self.histogram is None:
            raise ValueError("the model needs a sensitive column")
        return self.histogram

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


_Judged = tuple[Floats, NDArray[np.bool_]]


def _k_anonymity(model: KAnonymity, evidence: _Evidence) -> _Judged:
    return evidence.persons.astype(float), evidence.persons >= model.k


def _l_diversity(model: LDiversity, evidence: _Evidence) -> _Judged:
    cells = evidence.cells
    if model.kind == "distinct":
        distinct = np.bincount(cells.classes)
        return distinct.astype(float), distinct >= model.l
    if model.kind == "entropy":
        share = cells.counts / cells.sizes[cells.classes]
        nats = evidence.per_class(-share * np.log(share))
        return np.exp(nats), nats >= math.log(model.l) - 1e-12
    pairs = [(int(ranked[0]), int(ranked[int(model.l) - 1 :].sum())) for ranked, _ in evidence.ranked()]
    c = exact(model.c or 0)
    values = np.array([top / tail if tail else math.inf for top, tail in pairs])
    return values, np.array([top * c.denominator < c.numerator * tail for top, tail in pairs], dtype=bool)


def _alpha_k(model: AlphaKAnonymity, evidence: _Evidence) -> _Judged:
    cells, alpha = evidence.cells, exact(model.alpha)
    listed = np.array([not model.values or label in model.values for label in cells.labels])
    top = np.zeros(len(cells.sizes), dtype=np.int64)
    np.maximum.at(top, cells.classes, np.where(listed[cells.values], cells.counts, 0))
    holds = top * alpha.denominator <= alpha.numerator * cells.sizes
    if model.k:
        holds = holds & (evidence.persons >= model.k)
    return top / cells.sizes, holds


def _t_closeness(model: TCloseness, evidence: _Evidence) -> _Judged:
    cells, table = evidence.cells, evidence.cells.table
    if (table == 0).any() or (model.distance == "hierarchical" and not _in_tree(evidence)):
        return np.full(len(cells.sizes), np.nan), np.zeros(len(cells.sizes), dtype=bool)
    if model.distance == "equal":
        found = [earth_mover.equal(block, table) for block in evidence.dense()]
    elif model.distance == "ordered":
        order = _order(evidence)
        found = [earth_mover.ordered(block[:, order], table[order]) for block in evidence.dense()]
    else:
        parents = _parents(evidence)
        found = [earth_mover.hierarchical(block, table, parents) for block in evidence.dense()]
    distances = np.concatenate(found) if found else np.empty(0)
    return distances, distances <= model.t + 1e-12


def _order(evidence: _Evidence) -> Ints:
    given = evidence.published.orders.get(evidence.column, ())
    place = {value: number for number, value in enumerate(given)}
    numbers = range(len(evidence.cells.labels))
    if not given:
        return np.array(numbers, dtype=np.int64)
    return np.array(sorted(numbers, key=lambda n: place.get(str(evidence.cells.labels[n]), -1)), dtype=np.int64)


def _in_tree(evidence: _Evidence) -> bool:
    known = {row[0] for row in evidence.published.trees[evidence.column]}
    return all(label is None or label in known for label in evidence.cells.labels)


def _parents(evidence: _Evidence) -> list[Ints]:
    """For each level, the number of each node's parent; missing values hang under the root by themselves."""
    rows = evidence.published.trees[evidence.column]
    height = len(rows[0]) - 1
    parents: list[Ints] = []
    nodes: list[str | None] = list(evidence.cells.labels)
    for level in range(height):
        above = {row[level]: row[level + 1] for row in rows}
        upper = [None if node is None else above[node] for node in nodes]
        distinct: list[str | None] = list(dict.fromkeys(upper)) if level + 1 < height else [STAR]
        number = {label: i for i, label in enumerate(distinct)}
        parents.append(np.array([number[label] if level + 1 < height else 0 for label in upper], dtype=np.int64))
        nodes = distinct
    return parents


def _beta(model: BetaLikeness, evidence: _Evidence) -> _Judged:
    cells = evidence.cells
    table = cells.table[cells.values] / max(cells.table.sum(), 1)
    share = cells.counts / cells.sizes[cells.classes]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (share - table) / table
        limit = -np.log(table)
    if model.kind == "enhanced":
        gain = np.where(gain <= limit + 1e-12, gain, np.inf)
    worst = np.full(len(cells.sizes), -np.inf)
    np.maximum.at(worst, cells.classes, gain)
    broken = gain > model.beta
    near = np.isfinite(gain) & (np.abs(gain - model.beta) <= 1e-6 * (1 + model.beta))
    broken[near] = [_gains(cells, int(cell), exact(model.beta) + TOLERANCE) for cell in np.flatnonzero(near)]
    return worst, evidence.per_class(broken.astype(float)) == 0


def _gains(cells: Histogram, cell: int, beta: Fraction) -> bool:
    """Whether a cell's share gains more than beta, in whole numbers."""
    table, records = int(cells.table[cells.values[cell]]), int(cells.sizes[cells.classes[cell]])
    surplus = int(cells.counts[cell]) * int(cells.table.sum()) - table * records
    return surplus * beta.denominator > table * records * beta.numerator


def _average_risk(model: AverageRisk, evidence: _Evidence) -> _Judged:
    classes, persons = len(evidence.persons), int(evidence.persons.sum())
    if not classes:
        return np.empty(0), np.empty(0, dtype=bool)
    risk = exact(model.risk)
    return np.array([classes / persons]), np.array([classes * risk.denominator <= risk.numerator * persons])


_JUDGES: dict[type[Model], Callable[[Any, _Evidence], _Judged]] = {
    KAnonymity: _k_anonymity,
    LDiversity: _l_diversity,
    AlphaKAnonymity: _alpha_k,
    TCloseness: _t_closeness,
    BetaLikeness: _beta,
    AverageRisk: _average_risk,
}
