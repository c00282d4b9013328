"""Exchanges and noise in the database: what comes out is read back and held against the plan by code of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import made as table
from server import with_threads, working_tables
from tries import tries

from sqlanon.engines import Engine
from sqlanon.models import ThetaSensitivity
from sqlanon.planning import source_of
from sqlanon.query import Text
from sqlanon.recoding.exchanges import Exchange
from sqlanon.recoding.partition import encode
from sqlanon.recoding.records import class_of
from sqlanon.spec import load
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_plans import Histogram, Plan, plan_paper, plan_swap

Row = tuple[Any, ...]
NASTY = '"; DROP TABLE x; --'
NAMES = (
    ("person", "room", "age", "disease"),
    (NASTY, "$n", "line\nbreak", 'a"b'),
    ("class", "place", "records", "Value"),
)
QUICK = settings(max_examples=tries(20), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


@contextmanager
def exchanging(
    engine: Engine, rows: Sequence[Row], model: ThetaSensitivity, *, key: str = "key", names: Sequence[str] = NAMES[0]
) -> Iterator[Exchange]:
    """A table of (person, class, age, disease) whose classes are made by hand, ready for the exchanges of a model."""
    kinds = dict(zip(names, ("BIGINT", "BIGINT", "BIGINT", "VARCHAR"), strict=True))
    table(engine, "people", kinds, [dict(zip(names, row, strict=True)) for row in rows])
    roles = dict(zip(names, ("drop", "quasi-identifier", "quasi-identifier", "sensitive"), strict=True))
    roles[names[0]] = "insensitive"
    spec = load({"source": "people", "columns": roles, "privacy": [{"model": "k-anonymity", "k": 2}]})
    with engine.working():
        encoded = encode(engine, source_of(spec, engine), key, beside=[names[3]])
        first = Text('SELECT id, "place 0" AS class, CAST(0 AS bigint) AS first, records FROM "sqlanon combinations"')
        encoded.work.make("pieces", first, "the classes")
        yield Exchange(encoded, model, key)


def wanted(theta: Theta, repair: Any, *, noise: bool = False, column: str = "disease") -> ThetaSensitivity:
    return ThetaSensitivity(column, mu=float(theta.mu), k=theta.k, repair=repair, noise=noise)


def held(engine: Engine) -> Counter[tuple[int, int, str | None]]:
    """How many records of each class, age and disease there are, by the pieces; classes and ages by their rank."""
    told = (
        'SELECT dense_rank() OVER (ORDER BY p.class) - 1, dense_rank() OVER (ORDER BY c."place 1") - 1, c."beside 0",'
        ' p.records FROM "sqlanon pieces" AS p JOIN "sqlanon combinations" AS c ON p.id = c.id'
    )
    found: Counter[tuple[int, int, str | None]] = Counter()
    for number, age, disease, records in engine.run("read", told):
        assert records > 0
        found[number, age, disease] += records
    return found


def invented(engine: Engine, exchange: Exchange) -> list[Row]:
    """The records of nobody, the rank of the class first."""
    home = class_of(exchange.encoded.source)
    found = engine.run("read", f'SELECT * FROM "sqlanon noise" ORDER BY "{home}"')
    names = engine.names('"sqlanon noise"')
    assert names[0] == home
    homes = [number for (number,) in engine.run("read", 'SELECT DISTINCT class FROM "sqlanon pieces" ORDER BY 1')]
    return [(homes.index(number), *cells) for number, *cells in found]


def order(value: str | None) -> tuple[bool, str]:
    return value is not None, value or ""


def histogram(rows: Sequence[Row]) -> tuple[Histogram, list[str | None]]:
    values = sorted({row[3] for row in rows}, key=order)
    counted = Counter((row[1], values.index(row[3])) for row in rows)
    cells = [(c, v, n) for (c, v), n in counted.items()]
    classes, numbers, counts = (np.array(column) for column in zip(*cells, strict=True))
    return Histogram(classes, numbers, counts, len(values)), values


def per_class(found: Histogram, values: Sequence[str | None]) -> Counter[tuple[int, str | None]]:
    pairs = zip(found.classes.tolist(), (values[v] for v in found.values.tolist()), strict=True)
    return Counter(dict(zip(pairs, found.counts.tolist(), strict=True)))


def summed(records: Counter[Any], by: Callable[[Any], Any]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for cell, many in records.items():
        found[by(cell)] += many
    return found


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Up to five classes, numbered from 0, with missing values and few ages, so that some records are alike."""
    diseases = st.sampled_from([None, "a", "b", "'; --", "d", "e"]) | st.just("a")
    classes = draw(st.lists(st.lists(diseases, min_size=1, max_size=7), min_size=1, max_size=5))
    cells = [(c, disease) for c, members in enumerate(classes) for disease in members]
    return [(i, c, draw(st.integers(0, 2)), disease) for i, (c, disease) in enumerate(cells)]


thetas = st.builds(Theta, st.integers(2, 5), st.sampled_from([exact("0.6"), exact("0.9")]))


@QUICK
@given(tables(), thetas, st.sampled_from(NAMES), st.booleans())
def test_exchanges_give_the_classes_the_values_that_the_plan_says_and_leave_the_rest(
    engine: Engine, rows: list[Row], theta: Theta, names: Sequence[str], paper: bool
) -> None:
    before, values = histogram(rows)
    plan = plan_paper(before, theta, noise=False) if paper else plan_swap(before, theta)
    model = wanted(theta, "paper" if paper else "swap", column=names[3])
    with exchanging(engine, rows, model, names=names) as exchange:
        old = held(engine)
        assert summed(old, lambda cell: (cell[0], cell[2])) == per_class(before, values)
        done = exchange.run()
        assert (done.swaps, done.noise, done.unmet) == (plan.swaps, 0, len(plan.unmet))
        new = held(engine)
    assert summed(new, lambda cell: (cell[0], cell[2])) == per_class(plan.outcome(before), values)
    assert summed(new, lambda cell: cell[1:]) == summed(old, lambda cell: cell[1:]), "records stay true, but for places"
    assert (old - new).total() == plan.moves()[0][:, 2].sum() <= 2 * plan.swaps


@QUICK
@given(tables(), thetas, st.sampled_from(NAMES), st.booleans())
def test_noise_has_a_value_that_its_class_lacks_and_is_counted(
    engine: Engine, rows: list[Row], theta: Theta, names: Sequence[str], paper: bool
) -> None:
    before, values = histogram(rows)
    plan = (plan_paper if paper else plan_swap)(before, theta, noise=True)
    model = wanted(theta, "paper" if paper else "swap", noise=True, column=names[3])
    with exchanging(engine, rows, model, names=names) as exchange:
        done = exchange.run()
        noise = invented(engine, exchange) if done.noise else []
        after = summed(held(engine), lambda cell: (cell[0], cell[2]))
        place = list(engine.names('"sqlanon noise"')).index(names[3]) if noise else 0
    assert done.noise == len(noise) == plan.noise_records
    added = Counter((row[0], row[place]) for row in noise)
    assert added == Counter((c, values[v]) for c, v, _ in plan.noise.tolist())
    assert not added.keys() & after.keys()
    assert +(after + added) == per_class(plan.outcome(before), values)


def test_the_cells_of_noise_are_cells_of_the_table_and_depend_on_the_key_only(engine: Engine) -> None:
    rows = [(1000 + i, i // 4, i, "abcd"[(i // 4) % 4]) for i in range(200)]
    model = wanted(Theta(4, exact(0.6)), "paper", noise=True)
    found = []
    for key, threads in (("one", 1), ("one", 4), ("two", 2)):
        with_threads(engine, threads)
        with exchanging(engine, rows, model, key=key) as exchange:
            done = exchange.run()
            noise = invented(engine, exchange)
            persons = list(engine.names('"sqlanon noise"')).index("person")
        drawn = {row[persons] for row in noise}
        assert len(noise) == done.noise > 50
        assert drawn <= {row[0] for row in rows} and len(drawn) > 30
        found.append(Counter(noise))
    assert found[0] == found[1] != found[2]


def test_which_of_the_records_with_one_value_moves_only_the_key_tells(engine: Engine) -> None:
    rows = [(age, 0, age, "a") for age in range(6)] + [(10, 1, 90, "b"), (11, 1, 91, "c"), (12, 1, 92, "d")]
    model = wanted(Theta(3, exact(0.6)), "swap")
    moved = []
    for key in [*"abcd", "a"]:
        with exchanging(engine, rows, model, key=key) as exchange:
            assert exchange.run().swaps > 0
            moved.append(frozenset(age for number, age, value in held(engine) if number == 1 and value == "a"))
    assert moved[0] == moved[-1] and len(set(moved)) > 1


def test_records_move_to_near_classes_where_there_is_a_choice(engine: Engine) -> None:
    surplus, lack = [(0, "a"), (10, "a")], [(1, "b"), (11, "b")]
    cells = [(c, v) for c, v in surplus for _ in range(2)] + [(c, v) for c, v in lack for _ in range(2)]
    cells += [(c, "xy"[c % 2]) for c in range(12) if c not in (0, 1, 10, 11)]
    rows = [(i, c, i, v) for i, (c, v) in enumerate(sorted(cells))]
    values = sorted({v for _, v in cells})
    a, b = values.index("a"), values.index("b")
    leaving, arriving = Plan(exchanges=np.array([[0, a, 11, b], [10, a, 1, b]])).moves()  # as far apart as can be
    with exchanging(engine, rows, wanted(Theta(2, exact(0.6)), "swap")) as exchange:
        exchange.plan()
        planned = [(1, *row) for row in leaving.tolist()] + [(2, *row) for row in arriving.tolist()]
        columns = zip(("action", "class", "value", "records"), zip(*planned, strict=True), strict=True)
        engine.numbers("plan it", "sqlanon plan", {name: np.array(cells) for name, cells in columns})
        exchange.move()
        homes = {age: number for number, age, _ in held(engine)}
    old = [row[1] for row in rows]
    assert {(old[age], number) for age, number in homes.items() if old[age] != number} == {
        (0, 1), (10, 11), (1, 0), (11, 10)
    }  # fmt: skip


def test_the_working_tables_are_gone_at_the_end(engine: Engine) -> None:
    rows = [(i, i // 3, i, "a" if i < 5 else "b") for i in range(9)]
    with exchanging(engine, rows, wanted(Theta(3, exact(0.6)), "paper", noise=True)) as exchange:
        exchange.run()
    assert [name for name in working_tables(engine) if name.startswith("sqlanon")] == []
