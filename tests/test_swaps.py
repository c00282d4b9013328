"""Plans applied in the database: what comes out is read back and held against the plan by code of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import made as table
from server import with_threads, working_tables
from tries import tries

from sqlanon.engines import Engine
from sqlanon.query import Query
from sqlanon.recoding import swaps
from sqlanon.recoding.swaps import Partition, Rule
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_plans import Histogram, Plan, plan_paper, plan_swap, settled

Row = tuple[Any, ...]
NASTY = '"; DROP TABLE x; --'
NAMES = (
    ("person", "zip", "group", "disease", "number"),
    (NASTY, "$n", 'a"b', "line\nbreak", "record"),
    ("class", "Value", "slot", "place", "records"),
)


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def partition(engine: Engine, rows: Sequence[Row], names: Sequence[str] = NAMES[0]) -> Partition:
    """A table of (person, zip, class, disease, number) as a partition."""
    kinds = ("BIGINT", "VARCHAR", "BIGINT", "VARCHAR", "BIGINT")
    declared = dict(zip(names, kinds, strict=True))
    table(engine, "people", declared, [dict(zip(names, row, strict=True)) for row in rows])
    return Partition(Query(()), "people", tuple(names), names[2], names[3], names[4])


def read(engine: Engine, made: Partition, key: str = "key", *, keep: bool = False) -> list[Row]:
    with engine.functions(key):
        engine.temporary("make it", "made", made.query)
    if not keep:
        swaps.drop(engine, made)
    return engine.run("read it", "SELECT * FROM made")


def order(value: str | None) -> tuple[bool, str]:
    return value is not None, value or ""


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Up to five classes, with missing values, and records numbered in an order that has nothing to do with them."""
    diseases = st.sampled_from([None, "a", "b", "'; --", "d", "e"]) | st.just("a")
    classes = draw(st.lists(st.lists(diseases, min_size=1, max_size=7), min_size=1, max_size=5))
    cells = [(c, disease) for c, members in enumerate(classes) for disease in members]
    numbers = draw(st.permutations(range(1, len(cells) + 1)))
    return [(i, f"zip {i % 3}", c, d, n) for i, ((c, d), n) in enumerate(zip(cells, numbers, strict=True))]


thetas = st.builds(Theta, st.integers(2, 5), st.sampled_from([exact("0.6"), exact("0.9")]))


@settings(max_examples=tries(20), deadline=None)
@given(tables(), st.sampled_from(NAMES))
def test_the_histogram_counts_the_values_of_each_class_missing_ones_too(
    engine: Engine, rows: list[Row], names: Sequence[str]
) -> None:
    found = swaps.histogram(engine, partition(engine, rows, names))
    values = sorted({row[3] for row in rows}, key=order)
    expected = Counter((row[2], values.index(row[3])) for row in rows)
    assert counted(found) == expected
    assert found.domain == len(values)


@settings(max_examples=tries(20), deadline=None)
@given(tables(), thetas, st.sampled_from(["records", "values"]), st.sampled_from(NAMES), st.booleans())
def test_exchanges_give_the_classes_the_values_that_the_plan_says_and_leave_the_rest(
    engine: Engine, rows: list[Row], theta: Theta, kind: Any, names: Sequence[str], paper: bool
) -> None:
    made = partition(engine, rows, names)
    before = swaps.histogram(engine, made)
    plan = plan_paper(before, theta, noise=False) if paper else plan_swap(before, theta)
    after = read(engine, swaps.applied(engine, made, plan, exchange=kind))

    values = sorted({row[3] for row in rows}, key=order)
    assert Counter((row[2], values.index(row[3])) for row in after) == counted(plan.outcome(before))
    assert Counter(row[3] for row in after) == Counter(row[3] for row in rows)
    old, new = ({row[0]: row for row in table} for table in (rows, after))
    assert old.keys() == new.keys() and len(after) == len(rows)
    changed = [person for person in old if old[person] != new[person]]
    assert len(changed) == plan.moves()[0][:, 2].sum() <= 2 * plan.swaps
    stays = 3 if kind == "records" else 2
    for person in changed:
        at = [i for i in range(5) if old[person][i] != new[person][i]]
        assert at == [5 - stays]


def counted(histogram: Histogram) -> dict[tuple[int, int], int]:
    pairs = zip(histogram.classes.tolist(), histogram.values.tolist(), strict=True)
    return dict(zip(pairs, histogram.counts.tolist(), strict=True))


@settings(max_examples=tries(20), deadline=None)
@given(tables(), thetas)
def test_what_is_suppressed_and_merged_is_what_the_plan_says(engine: Engine, rows: list[Row], theta: Theta) -> None:
    made = partition(engine, rows)
    before = swaps.histogram(engine, made)
    plan = settled(plan_swap(before, theta), before, theta)
    after = read(engine, swaps.applied(engine, made, plan, exchange="records"))
    values = sorted({row[3] for row in rows}, key=order)
    numbers = sorted({row[2] for row in after})
    found = Counter((numbers.index(row[2]), values.index(row[3])) for row in after)
    assert found == counted(plan.outcome(before))
    assert {row[0] for row in after} <= {row[0] for row in rows} and len(after) == len({row[0] for row in after})


@settings(max_examples=tries(20), deadline=None)
@given(tables(), thetas, st.sampled_from(NAMES))
def test_noise_takes_the_label_of_its_class_a_value_that_it_lacks_and_is_counted(
    engine: Engine, rows: list[Row], theta: Theta, names: Sequence[str]
) -> None:
    # Labelled, and the label of one class is missing.
    rows = [(i, f"zip of {c}" if c != 1 else None, c, d, n) for i, _, c, d, n in rows]
    made = partition(engine, rows, names)
    plan = plan_swap(swaps.histogram(engine, made), theta, noise=True, window=0)
    exchanged = swaps.applied(engine, made, plan, exchange="records")
    after = read(engine, swaps.with_noise(exchanged, (names[1],)) if len(plan.noise) else exchanged)
    real, noise = [row for row in after if row[4] is not None], [row for row in after if row[4] is None]
    assert Counter(real) == Counter(rows) and len(noise) == plan.noise_records
    values = sorted({row[3] for row in rows}, key=order)
    assert Counter((row[2], values.index(row[3]), 1) for row in noise) == Counter(map(tuple, plan.noise.tolist()))
    held = {(row[2], row[3]) for row in rows}
    for person, label, number, disease, _ in noise:
        assert person is None and (number, disease) not in held
        assert label == (f"zip of {number}" if number != 1 else None)


def test_drawn_columns_of_noise_hold_values_of_the_table_and_depend_on_the_key_only(engine: Engine) -> None:
    rows = [(i, f"zip {i}", i // 4, "abcd"[(i // 4) % 4], i + 1) for i in range(200)]
    made = partition(engine, rows)
    theta = Theta(4, exact(0.6))
    plan = plan_paper(swaps.histogram(engine, made), theta)
    step = swaps.with_noise(swaps.applied(engine, made, Plan(noise=plan.noise), exchange="records"), (), drawn=("zip",))
    found = []
    for key, threads in (("one", 1), ("one", 4), ("two", 2)):
        with_threads(engine, threads)
        noise = [row for row in read(engine, step, key, keep=True) if row[4] is None]
        assert len(noise) == plan.noise_records > 50
        assert {row[1] for row in noise} <= {row[1] for row in rows} and len({row[1] for row in noise}) > 30
        found.append(Counter(noise))
    swaps.drop(engine, made)
    assert found[0] == found[1] != found[2]


def test_rules_tell_where_a_value_is_plausible(engine: Engine) -> None:
    rows = [(1, "m", 0, "a", 1), (2, "m", 0, "b", 2), (3, "f", 1, "a", 3), (4, "m", 1, "c", 4), (5, None, 2, "c", 5)]
    made = partition(engine, rows)
    values = ["a", "b", "c"]
    assert swaps.histogram(engine, made).domain == len(values)
    found = swaps.implausible(engine, made, [Rule("c", "zip", ("f",)), Rule("never there", "zip", ("f",))])
    assert found == {(0, 2), (2, 2)}


def test_which_of_equal_records_is_taken_follows_their_numbers(engine: Engine) -> None:
    rows = [(1, "", 0, "a", 9), (2, "", 0, "a", 2), (3, "", 1, "b", 5), (4, "", 1, "c", 1)]
    made = partition(engine, rows)
    plan = plan_swap(swaps.histogram(engine, made), Theta(2, exact(0.6)))
    after = read(engine, swaps.applied(engine, made, plan, exchange="records"))
    assert {row[0]: row[2] for row in after} == {1: 0, 2: 1, 3: 0, 4: 1}


def test_records_move_to_near_classes_where_there_is_a_choice(engine: Engine) -> None:
    surplus, lack = [(0, "a"), (10, "a")], [(1, "b"), (11, "b")]
    cells = [(c, v) for c, v in surplus for _ in range(2)] + [(c, v) for c, v in lack for _ in range(2)]
    cells += [(c, "xy"[c % 2]) for c in range(12) if c not in (0, 1, 10, 11)]
    rows = [(i, "", c, v, 100 - i) for i, (c, v) in enumerate(sorted(cells))]
    made = partition(engine, rows)
    swaps.histogram(engine, made)
    values = sorted({v for _, v in cells})
    a, b = values.index("a"), values.index("b")
    plan = Plan(exchanges=np.array([[0, a, 11, b], [10, a, 1, b]]))  # as far apart as can be
    after = read(engine, swaps.applied(engine, made, plan, exchange="records"))
    moved = {(old[2], new[2]) for old, new in zip(sorted(rows), sorted(after), strict=True) if old[2] != new[2]}
    assert moved == {(0, 1), (10, 11), (1, 0), (11, 10)}


def test_classes_that_are_not_numbered_from_0_are_refused(engine: Engine) -> None:
    made = partition(engine, [(1, "", 0, "a", 1), (2, "", 2, "a", 2)])
    with pytest.raises(ValueError, match="every class holds at least one record"):
        swaps.histogram(engine, made)


def test_the_working_tables_are_gone_at_the_end(engine: Engine) -> None:
    made = partition(engine, [(i, "", i // 3, "a" if i < 5 else "b", i) for i in range(9)])
    plan = plan_paper(swaps.histogram(engine, made), Theta(3, exact(0.6)))
    swaps.applied(engine, made, plan, exchange="values")
    swaps.drop(engine, made)
    assert [name for name in working_tables(engine) if name.startswith("sqlanon")] == []
