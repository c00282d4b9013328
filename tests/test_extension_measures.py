"""The functions of the extension measure what `sqlanon check` and the oracle measure, whatever columns are called."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import oracle
import psycopg
import pytest
from hospital import extended
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import errors
from server import execute, fetch
from tries import tries

import sqlanon
from sqlanon.check import check
from sqlanon.engines import Engine, Origin

HOSTILE = ['a"; DROP TABLE t; --', "it's", "new\nline", "$1 $parts", "%s %I {x}", "Ünïcödé", "k1", "v", "n", "select"]
CELLS: dict[str, list[Any]] = {
    "text": ["a", "A", "", "'; DROP TABLE t; --", "$1", "ä"], "integer": [0, -1, 3, 2**31 - 1],
    "numeric": [Decimal("1.5"), Decimal("1.50"), Decimal("-2")],
    "numeric(9, 3)": [Decimal("1.500"), Decimal("-0.001")],
    "double precision": [0.1, -0.0, 0.0, 1e300, math.nan, math.inf],
    "boolean": [True, False], "date": [date(2020, 2, 29), date(1, 1, 1)],
    "timestamp": [datetime(2020, 1, 1, 1), datetime(1969, 1, 1)],
    "uuid": ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"],
    "integer[]": [[1], [1, 2], []], "text[] COLLATE public.careless": [["a"], ["A"], ["a", None]],
    "public.grade": ["low", "High"], "public.amount": [1, 2], "char(3)": ["a", "ab"],
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(database: str) -> Iterator[Engine]:
    extended(database)
    execute(
        database,
        "CREATE COLLATION public.careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TYPE public.grade AS ENUM ('low', 'High')",
        "CREATE DOMAIN public.positive AS integer", "CREATE DOMAIN public.amount AS public.positive CHECK (VALUE > 0)",
    )  # fmt: skip
    with sqlanon.connect(database) as found:
        yield found


def quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def table(engine: Engine, name: str, columns: dict[str, str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in `public`, in the place of an earlier one; its quoted name."""
    item = f"public.{quoted(name)}"
    engine.run("make", f"DROP TABLE IF EXISTS {item}")
    engine.run("make", f"CREATE TABLE {item} ({', '.join(f'{quoted(n)} {kind}' for n, kind in columns.items())})")
    for row in rows:
        engine.run("fill", f"INSERT INTO {item} VALUES ({', '.join('?' * len(row))})", row)
    return item


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    """Names, types and rows of up to four columns, with missing values and ties."""
    names = draw(st.lists(st.sampled_from(HOSTILE), min_size=2, max_size=4, unique=True))
    kinds = [draw(st.sampled_from(list(CELLS))) for _ in names]
    cells = [st.sampled_from([None, *CELLS[kind]]) for kind in kinds]
    return names, kinds, draw(st.lists(st.tuples(*cells), max_size=14))


def same(mine: Any, theirs: Any) -> bool:
    if mine is None or theirs is None:
        return mine is None and theirs is None
    return math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-12)


@given(tables(), st.integers(1, 2))
@settings(max_examples=tries(35), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_check_in_sql_tells_what_the_command_tells(
    engine: Engine, case: tuple[list[str], list[str], list[tuple[Any, ...]]], keys: int
) -> None:
    names, kinds, rows = case
    item = table(engine, "t", dict(zip(names, kinds, strict=True)), rows)
    quasi, sensitive = names[:keys], names[keys:]
    told = engine.run(
        "check", 'SELECT * FROM sqlanon."check"(?::regclass, ?::name[], ?::name[])', [item, quasi, sensitive]
    )
    found = check(engine, Origin(relation="public.t"), quasi_identifiers=quasi, sensitive=sensitive)
    there = [(v.model, v.column, v.parameters.get("kind", v.parameters.get("distance"))) for v in found.verdicts]
    assert [row[:3] for row in told] == there
    assert [(row, v.value) for row, v in zip(told, found.verdicts, strict=True) if not same(row[3], v.value)] == []


@given(st.lists(st.tuples(*[st.sampled_from([None, "x", "y"])] * 2, st.sampled_from([None, "p", "q", "r"]),
                          st.sampled_from([None, 1, 2, 3, 5])), max_size=16))  # fmt: skip
@settings(max_examples=tries(100), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_k_l_and_t_are_those_of_the_oracle(engine: Engine, cells: list[tuple[Any, ...]]) -> None:
    names = ["a", "b", 'per"son', "s"]
    item = table(engine, "o", dict(zip(names, ["text", "text", "text", "integer"], strict=True)), cells)
    rows = [dict(zip(names, row, strict=True)) for row in cells]
    quasi = ["a", "b"]
    asked = {
        "k_anonymity(?::regclass, ?::name[])": oracle.k_anonymity,
        "k_anonymity(?::regclass, ?::name[], 'per\"son')": lambda r, q: oracle.k_anonymity(r, q, 'per"son'),
        "l_diversity(?::regclass, ?::name[], 's')": lambda r, q: oracle.distinct_l(r, q, "s"),
        "l_diversity(?::regclass, ?::name[], 's', 'entropy')": lambda r, q: oracle.entropy_l(r, q, "s"),
        "l_diversity(?::regclass, ?::name[], 's', 'recursive')": lambda r, q: oracle.recursive(r, q, "s", 2),
        "l_diversity(?::regclass, ?::name[], 's', 'recursive', 3)": lambda r, q: oracle.recursive(r, q, "s", 3),
        "t_closeness(?::regclass, ?::name[], 's')": lambda r, q: oracle.t_equal(r, q, "s"),
        "t_closeness(?::regclass, ?::name[], 's', 'ordered')": lambda r, q: oracle.t_ordered(r, q, "s"),
    }  # fmt: skip
    for call, by_definition in asked.items():
        ((value,),) = engine.run("measure", f"SELECT sqlanon.{call}", [item, quasi])
        expected = by_definition(rows, quasi) if rows else None
        if expected is None or math.isinf(expected):
            assert value is None, call
        else:
            assert value == pytest.approx(float(expected), rel=1e-12, abs=1e-12), call


def test_recursive_diversity_is_decided_in_whole_numbers(engine: Engine) -> None:
    item = table(engine, "ratio", {"a": "integer", "s": "text"}, [(1, "x")] * 3 + [(1, "y"), (2, "x"), (2, "y")])
    measured = "SELECT beyond_c FROM sqlanon.sensitive_measures(?::regclass, '{a}', 's', '{}', ?, ?)"
    close = Decimal("3.0000000000000000000001")
    for rank, c, beyond in ((2, Decimal(3), 1), (2, close, 0), (2, Decimal(1), 2), (3, Decimal(9), 2)):
        assert engine.run("measure", measured, [item, rank, c]) == [(beyond,)], (rank, c)


def test_persons_in_several_spellings_are_not_counted_as_several(database: str, engine: Engine) -> None:
    execute(
        database,
        "CREATE COLLATION public.either_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE public.spelled (a int, who text COLLATE public.either_case)",
        "INSERT INTO public.spelled VALUES (1, 'x@y'), (1, 'X@Y')",
    )
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="one person may be written in several ways"):
        execute(database, "SELECT sqlanon.k_anonymity('public.spelled', '{a}', 'who')")
    assert fetch(database, "SELECT sqlanon.k_anonymity('public.spelled', '{a}')") == [(2,)]


@pytest.mark.parametrize(("call", "state"), [
    ("k_anonymity('public.few', '{}')", "22023"), ("k_anonymity('public.few', '{nope}')", "42703"),
    ("k_anonymity('public.few', '{ctid}')", "42703"), ("k_anonymity('public.few', ARRAY[NULL]::name[])", "42703"),
    ("k_anonymity('public.few', '{a}', 'nope')", "42703"), ("k_anonymity('public.few_pkey', '{a}')", "42P01"),
    ("k_anonymity(0::oid::regclass, '{a}')", "42P01"), ("l_diversity('public.few', '{a}', 's', 'other')", "22023"),
    ("l_diversity('public.few', '{a}', 's', 'recursive', 0)", "22023"), ("t_closeness('public.few', '{a}', 's',"
        " 'hierarchical')", "22023"),
    ("t_closeness('public.few', '{a}', 's', 'ordered')", "42804"), ("check('public.few', '{a}', '{nope}')", "42703"),
    ("verify('nope')", "P0002"), ("withdraw('nope')", "P0002"), ("refresh('nope')", "P0002"),
    ("mask('x', -1)", "22023"), ("mask('x', 1, 'ab')", "22023"),
])  # fmt: skip
def test_bad_input_is_a_clear_error_that_holds_no_cell(database: str, engine: Engine, call: str, state: str) -> None:
    execute(database, "CREATE TABLE IF NOT EXISTS public.few (a int PRIMARY KEY, s text)")
    execute(database, "INSERT INTO public.few VALUES (1, 'secret cell') ON CONFLICT DO NOTHING")
    with pytest.raises(psycopg.Error) as caught:
        execute(database, f"SELECT sqlanon.{call}")
    assert caught.value.sqlstate == state
    assert "secret cell" not in str(caught.value)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_a_name(database: str, engine: Engine, name: str) -> None:
    table(engine, name, {name: "integer", "s": "text"}, [(1, "x"), (1, "y")])
    item = f"{quoted(name)}.{quoted(name)}"
    execute(database, f"CREATE SCHEMA {quoted(name)}", f"ALTER TABLE public.{quoted(name)} SET SCHEMA {quoted(name)}")
    for call, expected in (
        ("k_anonymity(?::regclass, ARRAY[?::name])", 2), ("k_anonymity(?::regclass, '{s}', ?::name)", 1),
        ("l_diversity(?::regclass, ARRAY[?::name], 's')", 2), ("t_closeness(?::regclass, '{s}', ?::name)", 0),
        ("t_closeness(?::regclass, '{s}', ?::name, 'ordered')", 0),
    ):  # fmt: skip
        assert engine.run("measure", f"SELECT sqlanon.{call}", [item, name]) == [(expected,)]
    assert engine.run(
        "check", "SELECT count(*) FROM sqlanon.check(?::regclass, '{s}', ARRAY[?::name])", [item, name]
    ) == [(15,)]
    for call in ("verify", "withdraw", "refresh"):
        with pytest.raises(errors.NoDataFound), psycopg.connect(database) as connection:
            connection.execute(f"SELECT sqlanon.{call}(%s)".encode(), [name])
    assert engine.run("look", "SELECT count(*) FROM sqlanon.release") == [(0,)]


def test_nothing_of_somebody_elses_is_called_instead(database: str, engine: Engine) -> None:
    item = table(engine, "captured", {"a": "integer", "s": "integer"}, [(1, 1), (1, 2), (2, 1), (2, 1)])
    hostile = [
        f"CREATE FUNCTION {schema}.{name} RETURNS {kind} LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        f" 'captured'; END $$"
        for schema in ("public", "pg_temp")
        for name, kind in (
            ("left(text, integer)", "text"), ("mod(bigint, bigint)", "bigint"), ("format(text, text)", "text"),
            ("equal(integer, integer)", "boolean"), ("ln(float8)", "float8"),
            ("quote_ident(name)", "text"), ("string_agg(text)", "text"), ("repeat(text, integer)", "text"),
            ("length(text)", "integer"), ("width_bucket(bigint, bigint[])", "integer"),
        )
    ]  # fmt: skip
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in (
            "SET search_path = pg_temp, public, pg_catalog", *hostile,
            "CREATE OPERATOR public.= (FUNCTION = public.equal, LEFTARG = integer, RIGHTARG = integer)",
            "CREATE TEMP TABLE pg_attribute (attname name)", "CREATE TEMP TABLE pg_class (oid oid)",
            "CREATE TEMP TABLE pg_type (oid oid)", "CREATE TEMP TABLE pg_namespace (oid oid)",
        ):  # fmt: skip
            connection.execute(statement.encode())
        for call, expected in (
            ("k_anonymity('public.captured', '{a}')", 2), ("l_diversity('public.captured', '{a}', 's')", 1),
            ("t_closeness('public.captured', '{a}', 's', 'ordered')", 0.25), ("mask('abc', 2)", "a**"),
            ("generalize_int4range(7, 5)::text", "[5,10)"),
        ):  # fmt: skip
            assert connection.execute(f"SELECT sqlanon.{call}".encode()).fetchone() == (expected,)
    execute(database, "DROP OPERATOR public.= (integer, integer)")
    assert item == 'public."captured"'


def test_a_policy_that_would_hide_rows_is_an_error(database: str, engine: Engine) -> None:
    execute(
        database, "DROP TABLE IF EXISTS public.hidden", "CREATE TABLE public.hidden (a int, s int)",
        "INSERT INTO public.hidden VALUES (1, 1), (2, 1)", "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON public.hidden USING (a = 1)", "GRANT SELECT ON public.hidden TO reader",
        "GRANT USAGE ON SCHEMA sqlanon TO reader", "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sqlanon TO reader",
    )  # fmt: skip
    try:
        for call in ("k_anonymity('public.hidden', '{a}')", "l_diversity('public.hidden', '{a}', 's')"):
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                fetch(database.replace("//postgres@", "//reader@"), f"SELECT sqlanon.{call}")
    finally:
        execute(database, "DROP OWNED BY reader")
