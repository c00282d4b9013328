"""Microaggregation against MDAV written down slowly, and what must hold of its classes whatever the groups are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import made, with_threads
from tries import tries

from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.query import Query
from sqlanon.recoding.microaggregation import Microaggregation
from sqlanon.recoding.transforms import Records, numbered, perturbed
from sqlanon.udfs.microaggregation import mdav, mean

Row = tuple[Any, ...]
NASTY = '"; DROP TABLE x; --$n'
STATISTICS = ("mean", "median", "mode")


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def records(engine: Engine, rows: Sequence[Row], *kinds: str, size: int | None = None) -> Records:
    """A table of (nasty name, other, place)."""
    declared = {NASTY: kinds[0], "other": kinds[1], "place": "INTEGER"}
    made(engine, "things", declared, [dict(zip(declared, row, strict=True)) for row in rows])
    return numbered(Query(()), "things", engine.columns(Origin(relation="things")), size)


def run(engine: Engine, there: Records, by: Microaggregation) -> list[Row]:
    with engine.functions("key"):
        engine.temporary("make it", "made", perturbed(there, [by]).query)
    return sorted(engine.run("read it", "SELECT * FROM made"), key=lambda row: row[2])


# -- MDAV, slowly ---------------------------------------------------------------------------------------------------

Point = tuple[float, ...]


def slow_mdav(k: int, points: Sequence[Point]) -> list[frozenset[int]]:
    """The groups, as the paper's steps have them; among equally far points the first."""

    def distance(a: Point, b: Point) -> float:
        return sum((x - y) * (x - y) for x, y in zip(a, b, strict=True))

    def farthest(left: list[int], to: Point) -> int:
        return max(left, key=lambda i: (distance(points[i], to), -i))

    def take(left: list[int], seed: Point) -> frozenset[int]:
        group = frozenset(sorted(left, key=lambda i: (distance(points[i], seed), i))[:k])
        left[:] = [i for i in left if i not in group]
        return group

    left, groups = list(range(len(points))), []
    while len(left) >= 3 * k:
        middle = tuple(sum(points[i][d] for i in left) / len(left) for d in range(len(points[0])))
        one = farthest(left, middle)
        other = farthest(left, points[one])
        groups += [take(left, points[one]), take(left, points[other])]
    if len(left) >= 2 * k:
        middle = tuple(sum(points[i][d] for i in left) / len(left) for d in range(len(points[0])))
        groups.append(take(left, points[farthest(left, middle)]))
    return [*groups, frozenset(left)]


coordinates = st.tuples(st.integers(-9, 9).map(float), st.sampled_from([0.0, 0.5, 7.25]))


@given(st.lists(coordinates, min_size=1, max_size=30), st.integers(1, 5))
def test_mdav_groups_as_its_steps_say(points: list[Point], k: int) -> None:
    found: dict[int, set[int]] = {}
    for i, group in enumerate(mdav(k, points)):
        found.setdefault(group, set()).add(i)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, slow_mdav(k, points)))
    assert all(k <= len(group) < 2 * k for group in found.values()) or len(found) == 1


def test_mdav_needs_a_k_and_finite_points() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        mdav(0, [(1.0,)])
    with pytest.raises(ValueError, match="finite"):
        mdav(2, [(1.0,), (math.nan,)])
    assert mdav(2, []) == []


@given(st.lists(st.floats(-1e6, 1e6), max_size=8), st.randoms())
def test_a_mean_does_not_depend_on_the_order(values: list[float], random: Any) -> None:
    turned = values[:]
    random.shuffle(turned)
    assert mean(values) == mean(turned)
    assert (mean(values) is None) == (not values)


# -- in the database --------------------------------------------------------------------------------------------------


def scaled(values: Sequence[float]) -> list[float]:
    """Divided by the range of the middle nine tenths, or the whole range, or 1."""
    ordered, tail = sorted(values), len(values) // 20
    spread = (ordered[-1 - tail] - ordered[tail]) or (ordered[-1] - ordered[0]) or 1.0
    return [x / spread for x in values]


numbers = st.integers(-20, 20) | st.sampled_from([0, 0, 100])
rows_of_numbers = st.lists(st.tuples(numbers, st.sampled_from([0.0, 0.25, 3.5, -8.0])), min_size=2, max_size=25)


@settings(max_examples=tries(15), deadline=None)
@given(rows_of_numbers, st.integers(2, 4), st.sampled_from(STATISTICS))
def test_every_record_gets_its_groups_statistic(
    engine: Engine, cells: list[tuple[int, float]], k: int, statistic: Any
) -> None:
    rows = sorted((*pair, i) for i, pair in enumerate(cells))  # the order in which records are numbered
    found = {row[2]: row for row in run(
        engine, records(engine, rows, "BIGINT", "DOUBLE"), Microaggregation((NASTY, "other"), k, statistic)
    )}  # fmt: skip
    points = list(zip(*(scaled([float(row[c]) for row in rows]) for c in (0, 1)), strict=True))
    for group in slow_mdav(k, points):
        for column in (0, 1):
            values = sorted(rows[i][column] for i in group)
            expected = None
            if len(group) >= k:
                counts = Counter(values)
                expected = {
                    "mean": math.fsum(values) / len(values),
                    "median": values[(len(values) - 1) // 2],
                    "mode": min(v for v in values if counts[v] == max(counts.values())),
                }[statistic]
            assert [found[rows[i][2]][column] for i in group] == [expected] * len(group)


kinds = st.sampled_from([
    ("DATE", st.none() | st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    ("DOUBLE", st.none() | st.sampled_from([math.inf, -math.inf, math.nan, 0.5, -3.0, 1e300])),
    ("VARCHAR", st.none() | st.sampled_from(["a", "b", "'", "$z"])),
    ("DECIMAL(9, 2)", st.none() | st.decimals(-999, 999, places=2)),
    ("INTEGER", st.none() | st.integers(-2, 2)),
])  # fmt: skip


@settings(max_examples=tries(15), deadline=None)
@given(st.data(), st.integers(2, 4), st.sampled_from(STATISTICS), st.sampled_from([4, 8, 512]))
def test_whatever_the_groups_are_no_class_has_fewer_than_k_and_every_record_is_there_once(
    engine: Engine, data: st.DataObject, k: int, statistic: Any, block: int
) -> None:
    (one, some), (other, more) = data.draw(kinds), data.draw(kinds)
    if statistic == "mean" and "VARCHAR" in (one, other):
        statistic = "mode"
    cells = data.draw(st.lists(st.tuples(some, more), min_size=1, max_size=40))
    rows = [(*pair, i) for i, pair in enumerate(cells)]
    made = records(engine, rows, one, other, size=len(rows))
    found = run(engine, made, Microaggregation((NASTY, "other"), k, statistic, block=max(block, k)))
    assert [row[2] for row in found] == list(range(len(rows)))
    for pattern in set(map(lacking, rows)):
        alike = [after for before, after in zip(rows, found, strict=True) if lacking(before) == pattern]
        values = Counter(str(row[:2]) for row in alike)
        if sum(values.values()) >= k:
            assert min(values.values()) >= k
        else:
            assert list(values) == [str((None, None))]
    for before, after in zip(rows, found, strict=True):
        there = [value for value, missing in zip(after, lacking(before), strict=False) if missing]
        assert there == [None] * len(there)
        if all(value is not None for value in after):
            for column in (0, 1):
                known = [row[column] for row in rows if not lacking(row)[column]]
                low, high = min(known), max(known)
                if statistic == "mean":  # a mean is a double, also of decimals
                    low, high = float(low), float(high)
                assert low <= after[column] <= high


def lacking(row: Row) -> tuple[bool, bool]:
    """Which of the two columns are missing; what is not finite has no mean."""
    one, other = (x is None or (isinstance(x, float) and not math.isfinite(x)) for x in row[:2])
    return one, other


def test_blocks_are_halved_until_they_are_small_and_groups_stay_near(engine: Engine) -> None:
    random = np.random.default_rng(4)
    centres = random.integers(0, 20, (400, 1)) * 1000.0
    rows = [(float(c), float(c) / 7, i) for i, (c,) in enumerate((centres + random.random((400, 1))).tolist())]
    by = Microaggregation((NASTY, "other"), 3, "mean", block=8)
    before = None
    for threads in (1, 4):
        with_threads(engine, threads)
        found = run(engine, records(engine, rows, "DOUBLE", "DOUBLE", size=400), by)
        assert min(Counter(row[:2] for row in found).values()) >= 3
        loss = sum((a[0] - b[0]) ** 2 for a, b in zip(rows, found, strict=True))
        whole = sum((a[0] - np.mean([r[0] for r in rows])) ** 2 for a in rows)
        assert loss < 0.02 * whole
        assert before in (None, found)
        before = found


def test_dates_and_decimals_have_means(engine: Engine) -> None:
    days = [date(2000, 1, 1) + timedelta(days=d) for d in (0, 1, 3)]
    rows = [(day, f"{i}.10", i) for i, day in enumerate(days)]
    found = run(engine, records(engine, rows, "DATE", "DECIMAL(4, 2)"), Microaggregation((NASTY, "other"), 3))
    assert {row[0] for row in found} == {date(2000, 1, 2)}
    assert {row[1] for row in found} == {3.30 / 3}  # the exact sum, divided once


def test_microaggregation_is_refused_where_it_has_no_meaning(engine: Engine) -> None:
    made = records(engine, [(1, "a", 1)], "INTEGER", "VARCHAR")
    with pytest.raises(SpecError, match="texts have no mean; found 'mean'; allowed: median, mode"):
        run(engine, made, Microaggregation(("other",), 2))
    with pytest.raises(SpecError, match="cannot stand in a view: a view would group its records anew"):
        perturbed(made, [Microaggregation(("other",), 2, "mode")], view=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Microaggregation(("a",), 1), "at least 2"),
        (lambda: Microaggregation((), 3), "one or more"),
        (lambda: Microaggregation(("a", "a"), 3), "each once"),
        (lambda: Microaggregation(("a",), 3, "best"), "mean, median or mode"),  # type: ignore[arg-type]
        (lambda: Microaggregation(("a",), 3, block=2), "at least one group"),
    ],
)
def test_parameters_without_meaning_are_refused(wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
