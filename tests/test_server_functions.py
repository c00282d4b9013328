"""Our functions in a server with plpython3u: generated from the same source, and the same results."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_postgresql.executors import NoopExecutor
from server import execute, fetch, python_of, url_of
from tries import tries

import sqlanon
from sqlanon import generating, sql
from sqlanon.errors import SpecError
from sqlanon.functions import FUNCTIONS
from sqlanon.installing import install
from sqlanon.udfs import curves, draws, earth_mover, groups, microaggregation
from sqlanon.udfs.theta import Theta
from sqlanon.udfs.theta_plans import Histogram, plan_paper, plan_swap

SCRIPT = (Path(sql.__file__).parent / "udfs.sql").read_text(encoding="utf-8")
QUICK = settings(max_examples=tries(40), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
KINDS = {f.name: [kind for _, kind in f.takes] for f in generating.declared()}
Server = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def connection(server: NoopExecutor, database: str) -> Iterator[Server]:
    python_of(server)
    execute(database, "CREATE EXTENSION plpython3u", SCRIPT)
    with psycopg.connect(database, autocommit=True) as found:
        yield found


def call(connection: Server, name: str, *arguments: object) -> list[tuple[Any, ...]]:
    """What a function of the server gives, as rows."""
    places = ", ".join(f"%s::{kind}" for kind in KINDS[name])
    return connection.execute(f"SELECT * FROM sqlanon.{name}({places})".encode(), arguments).fetchall()


# -- the file ----------------------------------------------------------------------------------------------------------


def plain(script: str) -> list[str]:
    """The script with its Python as trees: how a tree is written depends on the version of Python."""
    parts = script.split("$sqlanon$")
    bodies = (ast.dump(ast.parse("def f():\n" + textwrap.indent(body, "  "))) for body in parts[1::2])
    return [*parts[::2], *bodies]


def test_the_script_is_what_the_generator_makes_of_the_sources() -> None:
    assert plain(SCRIPT) == plain(generating.script()), "run python -m sqlanon.generating"


def test_every_function_of_house_sql_is_there_a_keyed_one_with_its_key_first() -> None:
    made = {function.name: function for function in generating.declared()}
    for function in FUNCTIONS:
        assert len(made[function.name].takes) == len(function.takes) + function.keyed
        assert made[function.name].call is function.one


def test_only_what_calculates_with_arrays_needs_numpy_and_nothing_needs_sqlanon() -> None:
    needing = {f.name for f in generating.declared() if "numpy" in generating.source(f.call)}
    assert {f.name for f in generating.declared()} - needing == {"sqlanon_uniform", "sqlanon_normal", "sqlanon_mean"}
    assert not any("sqlanon" in generating.source(f.call).replace("sqlanon key", "").replace("sqlanon draws", "")
                   for f in generating.declared())  # fmt: skip


# -- the same results --------------------------------------------------------------------------------------------------


@QUICK
@given(st.text("aé😀'\\ ", min_size=1), st.text("xy\n$", max_size=4), st.integers(-(2**63), 2**63 - 1))
def test_draws_are_those_of_python_to_the_last_bit(connection: Server, key: str, stream: str, number: int) -> None:
    assert call(connection, "sqlanon_uniform", key, stream, number) == [(draws.uniform(key, stream, number),)]
    assert call(connection, "sqlanon_normal", key, stream, number) == [(draws.normal(key, stream, number),)]


numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@QUICK
@given(st.lists(numbers, max_size=20))
def test_means_are_those_of_python(connection: Server, values: list[float]) -> None:
    assert call(connection, "sqlanon_mean", values) == [(microaggregation.mean(values),)]


@QUICK
@given(st.integers(1, 4), st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=30))
def test_groups_of_near_points_are_those_of_python(connection: Server, k: int, points: list[tuple[int, int]]) -> None:
    given_ = [[float(a), float(b)] for a, b in points]
    assert call(connection, "sqlanon_mdav", k, given_) == [(microaggregation.mdav(k, given_),)]


@QUICK
@given(st.data(), st.integers(1, 5), st.integers(1, 3), st.booleans())
def test_the_best_cut_of_a_sequence_is_that_of_python(
    connection: Server, data: st.DataObject, k: int, columns: int, counted: bool
) -> None:
    rows = data.draw(
        st.lists(st.lists(st.integers(0, 20), min_size=columns, max_size=columns), min_size=5, max_size=20)
    )
    records = data.draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows)))
    persons = [1, *data.draw(st.lists(st.integers(0, 1), min_size=len(rows) - 6, max_size=len(rows) - 6)), *[1] * 5][
        : len(rows)
    ] if len(rows) > 5 else [1] * len(rows)  # fmt: skip
    weights, whole = [*range(1, columns + 1)], [i == 1 for i in range(columns)]
    block = groups.Block(np.array(rows), np.array(records), np.array(persons) if counted else None)
    found = groups.best([block], k, groups.Loss(15, tuple(weights), tuple(whole)))
    given_ = packed((a, b, *row) for a, b, row in zip(records, persons, rows, strict=True))
    told = call(connection, "sqlanon_groups", k, 15, weights, whole, counted, given_)
    assert unlisted(told) == [
        (row + 1, group, count) for row, group, count in zip(found.rows, found.groups, found.records, strict=True)
    ]


def packed(rows: Iterable[Sequence[int]]) -> bytes:
    """A relation as the server's functions take it."""
    return b"".join(number.to_bytes(8, "big", signed=True) for row in rows for number in row)


def unlisted(blocks: list[tuple[Any, ...]]) -> list[tuple[int, ...]]:
    """The rows of an answer that came as arrays of columns."""
    return [row for block in blocks for row in zip(*block, strict=True)]


@QUICK
@given(st.data(), st.sampled_from(["swap", "paper"]), st.sampled_from(["k", "n"]), st.booleans())
def test_plans_of_swaps_and_noise_are_those_of_python(
    connection: Server, data: st.DataObject, repair: str, of: Any, noise: bool
) -> None:
    domain = data.draw(st.integers(2, 6))
    counted = st.dictionaries(st.integers(0, domain - 1), st.integers(1, 5), min_size=1)
    table = data.draw(st.lists(counted, min_size=1, max_size=8))
    cells = [(c, v, n) for c, counts in enumerate(table) for v, n in counts.items()]
    classes, values, counts = (list(column) for column in zip(*cells, strict=True))
    k, mu = data.draw(st.integers(2, 5)), data.draw(st.sampled_from(["0.6", "9/10", "1"]))
    banned = data.draw(st.lists(st.tuples(st.integers(0, len(table) - 1), st.integers(0, domain - 1)), max_size=3))
    histogram = Histogram(np.array(classes), np.array(values), np.array(counts), domain)
    planner = {"swap": plan_swap, "paper": plan_paper}[repair]
    plan = planner(histogram, Theta(k, Fraction(mu), of), noise=noise, implausible=frozenset(banned))
    told = unlisted(call(connection, "sqlanon_swaps", repair, k, mu, of, noise, domain, packed(cells), packed(banned)))
    after = Counter({(c, v): n for c, v, n in cells})
    for action, c, v, n in told:
        after[c, v] += {1: -n, 2: n, 3: n}.get(action, 0)
    expected = plan.outcome(histogram)
    pairs = zip(expected.classes.tolist(), expected.values.tolist(), strict=True)
    assert +after == dict(zip(pairs, expected.counts.tolist(), strict=True))
    assert [(c, v, n) for a, c, v, n in told if a == 3] == [tuple(row) for row in plan.noise.tolist()]
    assert [row[1] for row in told if row[0] == 4] == list(plan.unmet)
    assert [row[3] for row in told if row[0] == 5] == [plan.swaps]


@QUICK
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 7), st.integers(0, 7), st.integers(0, 7)), max_size=9))
def test_ranks_on_the_curve_are_those_of_python(connection: Server, points: list[tuple[int, ...]]) -> None:
    expected = curves.hilbert(np.array([point[1:] for point in points], dtype=np.int64).reshape(-1, 3), 3).tolist()
    told = unlisted(call(connection, "sqlanon_ranks", 3, 3, packed(points)))
    assert told == [(point[0], rank) for point, rank in zip(points, expected, strict=True)]


@QUICK
@given(st.data())
def test_distances_over_a_hierarchy_are_those_of_python(connection: Server, data: st.DataObject) -> None:
    leaves, inner = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3))
    counts = data.draw(st.lists(st.integers(0, 9), min_size=leaves, max_size=leaves).filter(any))
    reference = [n + data.draw(st.integers(0, 5)) for n in counts]
    parents = [data.draw(st.lists(st.integers(0, inner - 1), min_size=leaves, max_size=leaves)), [0] * inner]
    expected = earth_mover.hierarchical(np.array([counts]), np.array(reference), [np.array(p) for p in parents])[0]
    joined = [node for level in parents for node in level]
    told = call(connection, "sqlanon_hierarchical_distance", counts, reference, joined, [leaves, inner])
    assert told == [(float(expected),)]


def test_nothing_comes_of_nothing_and_an_error_tells_no_value(connection: Server) -> None:
    for name, kinds in KINDS.items():
        if not next(f for f in generating.declared() if f.name == name).gives.startswith("TABLE"):
            assert call(connection, name, *[None] * len(kinds)) == [(None,)]
    with pytest.raises(psycopg.Error, match="draws need a key"):
        call(connection, "sqlanon_uniform", "", "secret stream", 1)
    with pytest.raises(psycopg.Error) as caught:
        call(connection, "sqlanon_mdav", 1, [[4711.0], [float("nan")]])
    assert "4711" not in str(caught.value)


# -- what a DBA asks ---------------------------------------------------------------------------------------------------


def test_every_function_says_what_it_is_and_nobody_may_call_it_until_he_is_granted_to(
    server: NoopExecutor, connection: Server
) -> None:
    told = connection.execute(
        "SELECT p.proname, p.provolatile, p.proisstrict, p.proparallel, p.prosecdef, p.proconfig,"
        " obj_description(p.oid, 'pg_proc') IS NOT NULL, has_function_privilege('stranger', p.oid, 'EXECUTE')"
        " FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'sqlanon'"
    ).fetchall()
    path = ["search_path=pg_catalog, pg_temp"]
    assert sorted(told) == [(name, "i", True, "s", False, path, True, False) for name in sorted(KINDS)]


def test_the_script_can_be_run_again(connection: Server) -> None:
    connection.execute(SCRIPT.encode())
    assert call(connection, "sqlanon_mean", [1.0, 2.0]) == [(1.5,)]


def test_a_publisher_draws_in_the_server_what_he_would_draw_beside_it(server: NoopExecutor, connection: Server) -> None:
    url = url_of(server, connection.info.dbname, "publisher")
    granted = (f"GRANT EXECUTE ON FUNCTION {f.signature} TO publisher" for f in generating.declared())
    execute(url_of(server, connection.info.dbname), "GRANT USAGE ON SCHEMA sqlanon TO publisher", *granted)
    found = fetch(url, "SELECT sqlanon.sqlanon_uniform('key', 'age', i) FROM generate_series(-20, 20) AS i")
    assert [value for (value,) in found] == [draws.uniform("key", "age", i) for i in range(-20, 21)]


# -- installed ---------------------------------------------------------------------------------------------------------


def test_an_installation_puts_them_there_if_asked_and_grants_them_to_nobody(server: NoopExecutor, fresh: str) -> None:
    python_of(server)
    ours = ("SELECT count(*), bool_or(has_function_privilege('public', p.oid, 'EXECUTE')) FROM pg_proc AS p"
            " JOIN pg_language AS l ON l.oid = p.prolang WHERE l.lanname = 'plpython3u' AND p.proname <> 'asked'"
            " AND p.pronamespace = to_regnamespace('sqlanon')")  # fmt: skip
    with sqlanon.connect(fresh, superuser=True) as engine:
        install(engine, roles=False)
        assert fetch(fresh, ours) == [(0, None)]
        for _ in range(2):
            install(engine, roles=False, plpython=True)
            assert fetch(fresh, ours) == [(len(KINDS) + 4, False)]
    execute(fresh, "SET LOCAL client_min_messages = warning", "DROP SCHEMA sqlanon, releases CASCADE")
    execute(fresh, "GRANT CREATE ON DATABASE fresh TO publisher")
    with (
        sqlanon.connect(fresh.replace("postgres@", "publisher@")) as engine,
        pytest.raises(SpecError, match="only a superuser"),
    ):
        install(engine, roles=False, plpython=True)
    assert fetch(fresh, "SELECT to_regnamespace('sqlanon')::text") == [(None,)]
