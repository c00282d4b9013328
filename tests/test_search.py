"""The search for the optimal full-domain transformation, against all transformations, one by one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import product
from random import Random
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tries import tries

from sqlanon.models import AlphaKAnonymity, AverageRisk, KAnonymity, LDiversity, Model, TCloseness
from sqlanon.recoding.full_domain import Found, Search
from sqlanon.recoding.objectives import OBJECTIVES, Counts, Domain, Floats, Marginal, Node, objective

Column = tuple[tuple[int, ...], ...]  # per level above 0, the label of each value; the last level is one label
Class = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """Records of value numbers and a sensitive value, and how each column's values become coarser."""

    records: tuple[tuple[tuple[int, ...], str], ...]
    columns: tuple[Column, ...]
    keeps: Callable[[Class, Table], bool]
    whole: Callable[[list[Class]], bool] = lambda kept: True
    ranges: tuple[tuple[int, int], ...] = ()
    weights: tuple[float, ...] = ()
    foretold: bool = False  # whether a count also tells what is certain of all nodes below

    @cached_property
    def sensitive(self) -> list[dict[str, str]]:
        return [{"s": s} for _, s in self.records]

    def label(self, column: int, level: int, value: int) -> int:
        return value if level == 0 else self.columns[column][level - 1][value]

    def labels(self, node: Node) -> list[tuple[int, ...]]:
        return [tuple(self.label(i, level, values[i]) for i, level in enumerate(node)) for values, _ in self.records]

    def split(self, node: Node) -> tuple[list[Class], list[int]]:
        """The classes that are kept, and the numbers of the records that are suppressed."""
        rows = [
            {"q": label, "s": s, "i": i}
            for i, (label, (_, s)) in enumerate(zip(self.labels(node), self.records, strict=True))
        ]
        classes = oracle.classes(rows, ["q"]).values()
        kept = [found for found in classes if self.keeps(found, self)]
        inside = {row["i"] for found in kept for row in found}
        return kept, [i for i in range(len(rows)) if i not in inside]

    def check(self, node: Node) -> Counts:
        sizes = Counter(self.labels(node)).values()
        kept, suppressed = self.split(node)
        squares = sum(size**2 for size in sizes)
        holds = bool(kept) and self.whole(kept)
        per_label = self.suppressed(node, suppressed)
        found = Counts(
            len(suppressed), len(kept), len(sizes), sum(len(c) ** 2 for c in kept), squares, holds, per_label
        )
        if not self.foretold:
            return found
        below = [set(self.split(lower)[1]) for lower in product(*(range(level + 1) for level in node))]
        always = self.suppressed(node, sorted(set.intersection(*below)))
        return replace(found, certain=min(map(len, below)), certain_labels=always)

    def suppressed(self, node: Node, gone: list[int]) -> list[Floats]:
        labels, marginals = self.labels(node), [d.marginals[level] for d, level in zip(self.domains, node, strict=True)]
        found = [Counter(labels[i][column] for i in gone) for column in range(len(node))]
        return [
            np.array([float(count[label]) for label in range(len(marginal.records))])
            for count, marginal in zip(found, marginals, strict=True)
        ]

    @cached_property
    def domains(self) -> tuple[Domain, ...]:
        found = []
        for i, column in enumerate(self.columns):
            leaves = len(column[0])
            marginals = []
            for level in range(len(column) + 1):
                cover = Counter(self.label(i, level, value) for value in range(leaves))
                records = Counter(self.label(i, level, values[i]) for values, _ in self.records)
                numbers = range(max(cover) + 1)
                marginals.append(Marginal(*(np.array([float(c[n]) for n in numbers]) for c in (records, cover))))
            least, most = self.ranges[i] if self.ranges else (0, len(column))
            found.append(
                Domain(f"q{i}", tuple(marginals), leaves, least, most, self.weights[i] if self.weights else 1.0)
            )
        return tuple(found)

    def cost(self, kind: str, node: Node) -> float:
        """An objective by its definition, record by record."""
        kept, gone = self.split(node)
        n = len(self.records)
        if kind == "discernibility":
            return oracle.discernibility([row for c in kept for row in c], ["q"], len(gone)) if kept else n * len(gone)
        if kind == "average-class-size":
            return n / (len(kept) + bool(gone))
        weights = self.weights or (1.0,) * len(node)
        means = [math.fsum(self.cells(kind, i, level, set(gone))) / n for i, level in enumerate(node)]
        if kind == "loss":
            logs = [weight * math.log1p(mean) for weight, mean in zip(weights, means, strict=True)]
            return math.expm1(math.fsum(logs) / math.fsum(weights))
        whole = math.fsum(weight * mean for weight, mean in zip(weights, means, strict=True))
        return {"precision": whole / math.fsum(weights), "height": whole, "entropy": whole * n}[kind]

    def cells(self, kind: str, i: int, level: int, gone: set[int]) -> list[float]:
        """What the cells of one column cost at a level; a suppressed one costs as much as a cell can."""
        leaves, height, n = len(self.columns[i][0]), len(self.columns[i]), len(self.records)
        cover = Counter(self.label(i, level, value) for value in range(leaves))
        here = [self.label(i, level, values[i]) for values, _ in self.records]
        often, alone = Counter(here), Counter(values[i] for values, _ in self.records)
        found = []
        for record, label in enumerate(here):
            bits = math.log2(alone[self.records[record][0][i]])
            out = record in gone
            found.append(
                {
                    "loss": 1.0 if out else (cover[label] - 1) / max(leaves - 1, 1),
                    "precision": 1.0 if out else level / height,
                    "height": float(height if out else level),
                    "entropy": math.log2(n if out else often[label]) - bits,
                }[kind]
            )
        return found

    def nodes(self) -> list[Node]:
        return list(product(*(range(d.lowest, d.highest + 1) for d in self.domains)))

    def best(self, kind: str, limit: int) -> tuple[float, Node] | None:
        """The cheapest feasible node; of equal ones the lowest sum of levels, then the lowest levels in order."""
        counts = {node: self.check(node) for node in self.nodes()}
        costs = {
            node: self.cost(kind, node)
            for node, found in counts.items()
            if found.suppressed <= limit and found.kept_classes and found.table_models_hold
        }
        least = min(costs.values(), default=None)
        if least is None:
            return None
        ties = [node for node, cost in costs.items() if cost <= least + 1e-11 * max(abs(least), 1e-3)]
        return least, min(ties, key=lambda node: (sum(node), node))


# -- models as conditions on a class --------------------------------------------------------------------------


def top(found: Class) -> int:
    return oracle.frequencies(found, "s")[0]


def distance(found: Class, table: Table) -> Fraction:
    q, p = oracle.distribution(found, "s"), oracle.distribution(table.sensitive, "s")
    return oracle.total(abs(d) for d in oracle.differences(q, p).values()) / 2


CONDITIONS: dict[str, tuple[Model, Callable[[Class, Table], bool]]] = {
    "k": (KAnonymity(3), lambda found, _: len(found) >= 3),
    "distinct l": (LDiversity("s", 2), lambda found, _: len(oracle.frequencies(found, "s")) >= 2),
    "entropy l": (
        LDiversity("s", 2, "entropy"),
        lambda found, _: oracle.entropy_l_holds([{**r, "c": 1} for r in found], ["c"], "s", 2),
    ),
    "recursive l": (
        LDiversity("s", 2, "recursive", 2),
        lambda found, _: top(found) < 2 * sum(oracle.frequencies(found, "s")[1:]),
    ),
    "alpha": (AlphaKAnonymity("s", 0.5), lambda found, _: 2 * top(found) <= len(found)),
    "t": (TCloseness("s", 0.3), lambda found, table: distance(found, table) <= Fraction(3, 10)),
}


def monotone(model: Model, limit: int) -> bool:
    """Whether a model lets the search prune at this limit, as the model itself declares."""
    return model.monotone_with_suppression or (model.monotone and limit == 0)


@st.composite
def tables(draw: st.DrawFn, keeps: Callable[[Class, Table], bool], **more: Any) -> Table:
    columns = []
    for _ in range(draw(st.integers(1, 3))):
        values = draw(st.integers(1, 5))
        levels: list[tuple[int, ...]] = [tuple(range(values))]
        for _ in range(draw(st.integers(0, 2))):
            joined = [draw(st.integers(0, max(levels[-1]))) for _ in range(max(levels[-1]) + 1)]
            number = {label: i for i, label in enumerate(sorted(set(joined)))}
            levels.append(tuple(number[joined[label]] for label in levels[-1]))
        columns.append((*levels[1:], (0,) * values))
    record = st.tuples(st.tuples(*(st.integers(0, len(c[0]) - 1) for c in columns)), st.sampled_from("aaabc"))
    records = tuple(draw(st.lists(record, min_size=2, max_size=14)))
    ranges = tuple((draw(st.integers(0, len(c))), len(c)) for c in columns) if draw(st.booleans()) else ()
    weights = tuple(draw(st.sampled_from([0.5, 1.0, 3.0])) for _ in columns) if draw(st.booleans()) else ()
    foretold = draw(st.booleans())
    return Table(records, tuple(columns), keeps, ranges=ranges, weights=weights, foretold=foretold, **more)


def searched(table: Table, kind: str, limit: int, monotone: bool, time_limit: float = 1) -> tuple[Found | None, int]:
    """What is found, and how often a node was checked."""
    asked: list[Node] = []

    def check(node: Node) -> Counts:
        asked.append(node)
        return table.check(node)

    goal = objective(kind, table.domains, len(table.records))
    found = Search(table.domains, goal, limit, monotone, check, time_limit).run()
    assert len(asked) == len(set(asked)) <= len(table.nodes())
    assert found is None or found.checked == len(asked)
    return found, len(asked)


def assert_optimal(table: Table, kind: str, limit: int, monotone: bool) -> None:
    found, _ = searched(table, kind, limit, monotone)
    best = table.best(kind, limit)
    assert (found is None) == (best is None)
    if found and best:
        assert (found.value, found.gap) == (pytest.approx(best[0], rel=1e-9, abs=1e-9), 0)
        assert found.node == best[1]
        assert found.nodes == len(table.nodes())


SLOW = settings(max_examples=tries(50), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


@pytest.mark.parametrize("kind", OBJECTIVES)
@given(st.data())
@SLOW
def test_the_optimum_is_that_of_all_transformations(kind: str, data: st.DataObject) -> None:
    table = data.draw(tables(CONDITIONS["k"][1]))
    assert_optimal(table, kind, data.draw(st.integers(0, len(table.records))), monotone=True)


@pytest.mark.parametrize("condition", CONDITIONS)
@given(st.data())
@settings(SLOW, max_examples=tries(100))
def test_the_optimum_is_found_for_every_model_with_and_without_suppression(condition: str, data: st.DataObject) -> None:
    model, keeps = CONDITIONS[condition]
    table = data.draw(tables(keeps))
    kind, limit = data.draw(st.sampled_from(OBJECTIVES)), data.draw(st.integers(0, len(table.records)))
    assert_optimal(table, kind, limit, monotone(model, limit))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_class_that_holds_is_found_below_a_union_that_does_not(condition: str) -> None:
    """Only of k-anonymity and distinct l-diversity does a union that fails mean that all of its parts fail."""
    model, keeps = CONDITIONS[condition]
    records = [(0, "a"), (0, "b"), *[(1, "a")] * 4, *[(2, "b")] * 4]
    table = Table(tuple(((value,), s) for value, s in records), (((0, 0, 1), (0, 0, 0)),), keeps)
    assert_optimal(table, "loss", 8, monotone(model, 8))


def test_a_search_ends_also_where_everything_may_be_suppressed() -> None:
    records = (((0, 0, 3), "c"), ((1, 0, 0), "a"), ((0, 0, 2), "a"), ((1, 0, 3), "a"))
    columns = (((0, 0, 0),), ((0,),), ((0, 1, 0, 0), (0, 0, 0, 0)))
    table = Table(records, columns, CONDITIONS["k"][1], weights=(0.5, 0.5, 3.0))
    assert_optimal(table, "loss", 4, monotone=True)


@given(st.data())
@SLOW
def test_a_model_about_the_whole_table_is_searched_without_pruning(data: st.DataObject) -> None:
    table = data.draw(
        tables(lambda found, _: True, whole=lambda kept: 3 * len(kept) <= sum(map(len, kept)) or len(kept) == 1)
    )
    assert_optimal(table, data.draw(st.sampled_from(OBJECTIVES)), 0, AverageRisk.monotone)


@given(st.data())
@SLOW
def test_what_is_not_monotone_is_searched_without_pruning(data: st.DataObject) -> None:
    table = data.draw(tables(lambda found, _: len(found) % 3 != 1))
    limit = data.draw(st.integers(0, len(table.records)))
    assert_optimal(table, data.draw(st.sampled_from(OBJECTIVES)), limit, monotone=False)


@given(st.data())
@SLOW
def test_the_time_limit_gives_a_feasible_node_and_a_gap_that_bounds_the_optimum(data: st.DataObject) -> None:
    table, kind = data.draw(tables(CONDITIONS["k"][1])), data.draw(st.sampled_from(OBJECTIVES))
    limit = data.draw(st.integers(0, len(table.records)))
    found, _ = searched(table, kind, limit, monotone=True, time_limit=1e-9)
    best = table.best(kind, limit)

    assert (found is None) == (best is None)
    if found and best:
        assert found.counts.suppressed <= limit
        assert found.value == pytest.approx(table.cost(kind, found.node), rel=1e-9, abs=1e-9)
        assert 0 <= found.gap <= 1
        assert found.value * (1 - found.gap) <= best[0] * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_no_node_but_the_most_general_is_counted_after_the_time_limit(kind: str) -> None:
    table = wide(columns=6, levels=4, records=200)
    found, asked = searched(table, kind, 150, monotone=True, time_limit=0)
    assert found is not None
    assert (found.node, asked) == ((3,) * 6, 1)


# -- beyond what can be enumerated ----------------------------------------------------------------------------


def wide(columns: int, levels: int, records: int) -> Table:
    """Skewed columns of 2 ** levels values that halve level by level."""
    chance, values = Random(7), 2 ** (levels - 1)
    steps = tuple(tuple(value >> level for value in range(values)) for level in range(1, levels))
    made = tuple((tuple(int(values * chance.random() ** 3) for _ in range(columns)), "a") for _ in range(records))
    return Table(made, (steps,) * columns, CONDITIONS["k"][1])


@pytest.mark.parametrize("kind", ["loss", "discernibility"])
def test_fifteen_columns_of_four_levels_are_not_enumerated(kind: str) -> None:
    table = wide(15, 4, 60)
    asked: list[Node] = []

    def check(node: Node) -> Counts:
        asked.append(node)
        return table.check(node)

    goal = objective(kind, table.domains, 60)
    found = Search(table.domains, goal, 3, True, check, time_limit=1.5).run()

    assert found is not None
    assert found.nodes == 4**15
    assert len(asked) == len(set(asked)) == found.checked < 20_000
    assert table.check(found.node).suppressed <= 3
    assert 0 <= found.gap < 1
