"""Postgres as an engine: types, names, connections; the same check and the same risk as DuckDB has."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import as_role, execute, made
from tries import tries

import sqlanon
from sqlanon import query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import EngineError, SpecError
from sqlanon.query import fragment

Row = dict[str, Any]

# -- the same measures -------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "text": ("VARCHAR", st.sampled_from(["a", "B", "b", "é", "Z", "", " ", "a'b", 'x"y', "a\\b", "l\ne"])),
    "integer": ("BIGINT", st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1])),
    "decimal": ("DECIMAL(12, 3)", st.sampled_from([Decimal("-1.500"), Decimal(0), Decimal("1.5"), Decimal("1.501")])),
    "float": ("DOUBLE PRECISION", st.sampled_from([-math.inf, -0.0, 0.0, 0.1, 1e15, 1e16, math.inf, math.nan])),
    "boolean": ("BOOLEAN", st.booleans()),
    "date": ("DATE", st.sampled_from([date(1, 1, 1), date(1969, 12, 31), date(2020, 2, 29), date(9999, 12, 31)])),
    "timestamp": ("TIMESTAMP", st.sampled_from([datetime(1969, 12, 31, 23, 59), datetime(2020, 1, 1, 0, 0, 0, 5)])),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, str], list[Row]]:
    """Two quasi-identifiers, a sensitive column and a person, of any type, with missing values and ties."""
    names = {"Q one": draw(st.sampled_from(sorted(KINDS))), "q2": draw(st.sampled_from(sorted(KINDS)))}
    names |= {"s": draw(st.sampled_from(sorted(KINDS))), "who": "text"}
    cells = [st.none() | KINDS[kind][1] for kind in names.values()]
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=12))
    rows += draw(st.lists(st.sampled_from(rows), max_size=12))
    return {name: KINDS[kind][0] for name, kind in names.items()}, [dict(zip(names, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Engine, Engine]]:
    with DuckDB() as there, there.one_thread(), sqlanon.connect(database) as here:
        yield there, here


def on_both(both: tuple[Engine, Engine], declared: Mapping[str, str], rows: Sequence[Row], **asked: Any) -> list[Any]:
    """What check and risk tell on each engine."""
    told: list[Any] = []
    for engine in both:
        made(engine, "t", declared, rows)
        found = sqlanon.check("t", quasi_identifiers=["Q one", "q2"], sensitive=["s"], engine=engine, **asked)
        persons = sqlanon.risk("t", quasi_identifiers=["Q one", "q2"], entity="who", engine=engine)
        told.append({"check": found.to_dict(), "persons": persons.to_dict()})
    return told


def rounded(told: Any) -> Any:
    """Floating-point sums are added up in another order on each engine, and may differ in their last digits."""
    if isinstance(told, dict):
        return {key: rounded(value) for key, value in told.items()}
    if isinstance(told, list):
        return [rounded(value) for value in told]
    return float(f"{told:.12g}") if isinstance(told, float) else told


@given(tables())
@settings(max_examples=tries(20), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_check_and_risk_tell_the_same_on_both_engines_whatever_the_types(
    both: tuple[Engine, Engine], table: tuple[dict[str, str], list[Row]]
) -> None:
    there, here = on_both(both, *table)
    assert rounded(here) == rounded(there)
    json.dumps(here, allow_nan=False)


def test_models_are_judged_alike_on_both_engines(both: tuple[Engine, Engine]) -> None:
    rows = [{"Q one": i % 3, "q2": "ab"[i % 2], "s": "xyz"[i * i % 3], "who": str(i)} for i in range(30)]
    models = ["k-anonymity(k=5)", "l-diversity(column=s, l=2, kind=entropy)", "t-closeness(column=s, t=0.3)"]
    declared = {"Q one": "BIGINT", "q2": "VARCHAR", "s": "VARCHAR", "who": "VARCHAR"}
    there, here = on_both(both, declared, rows, models=models)
    assert rounded(here) == rounded(there)


# -- types and names ---------------------------------------------------------------------------------------------------


@pytest.fixture
def engine(fresh: str) -> Any:
    with sqlanon.connect(fresh) as found:
        yield found


def test_types_have_their_families(fresh: str, engine: Engine) -> None:
    execute(
        fresh,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN age AS smallint CHECK (VALUE > 0)",
        "CREATE TABLE t (a age, b mood, c numeric(5, 2), d numeric, e real, f double precision, g varchar(3),"
        " h char(3), i uuid, j boolean, k date, l timestamp, m timestamptz, n text[], o jsonb, p interval,"
        " q bytea, r int8)",
    )
    families = {c.name: c.family for c in engine.columns(Origin(relation="t"))}
    assert families == {
        "a": "integer", "b": "text", "c": "decimal", "d": "decimal", "e": "float", "f": "float", "g": "text",
        "h": "text", "i": "text", "j": "boolean", "k": "date", "l": "timestamp", "m": "other", "n": "other",
        "o": "other", "p": "other", "q": "other", "r": "integer",
    }  # fmt: skip
    assert engine.columns(Origin(relation="t"))[2] == Column("c", "numeric(5,2)", "decimal")


def test_values_that_look_different_are_different_and_equal_ones_are_one_class(fresh: str, engine: Engine) -> None:
    execute(
        fresh,
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE COLLATION careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        'CREATE TABLE t (m mood, l text[], z timestamptz, n numeric, c text COLLATE "careless", j jsonb,'
        ' s text[] COLLATE "careless")',
        "INSERT INTO t VALUES ('sad', '{a,NULL}', '2020-01-01 00:00+01', 1.5, 'Ann', '{\"a\": 1}', '{Ann}'), ('sad',"
        " '{a,NULL}', '2019-12-31 23:00+00', 1.50, 'ann', '{\"a\":   1}', '{ann}'),"
        " (NULL, NULL, NULL, 'NaN', NULL, NULL, NULL)",
    )
    for column, classes in {"m": 2, "l": 2, "z": 2, "n": 2, "c": 3, "j": 2, "s": 3}.items():
        assert sqlanon.check("t", quasi_identifiers=[column], engine=engine).classes == classes, column


def test_two_long_names_that_begin_alike_stay_two_names(engine: Engine) -> None:
    one, other = "x" * 62 + "ä", "x" * 62 + "ö"  # 64 bytes
    tree = fragment("select 1 as $a, 2 as $b", a=query.identifier(one), b=query.identifier(other))
    steps = query.Query(()).then(one, tree).then(other, fragment("select 3 as c"))
    asked = fragment("select a.$a, a.$b, b.c from $one as a cross join $other as b", a=query.column(one),
                     b=query.column(other), one=query.table(one), other=query.table(other))  # fmt: skip
    assert engine.run("ask", steps.then("asked", asked)) == [(1, 2, 3)]


NAMES = ['"; DROP TABLE t; --', "it's", "l\nne", "$s", "%s", "?", "é" * 31, "SELECT", "sqlanon_uniform(", "{x}", "a.b"]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_of_tables_schemas_and_columns_are_only_names(fresh: str, engine: Engine, name: str) -> None:
    quoted = '"{}"'.format(name.replace('"', '""'))
    execute(
        fresh,
        f"CREATE SCHEMA {quoted}",
        f"CREATE TABLE {quoted}.{quoted} ({quoted} text, s text)",
        f"INSERT INTO {quoted}.{quoted} SELECT 'a', i::text FROM generate_series(1, 4) AS i",
        f'ALTER DATABASE fresh SET search_path = {quoted}, "$user"',
    )
    with sqlanon.connect(fresh) as here:
        found = sqlanon.check(name, quasi_identifiers=[name], sensitive=["s"], engine=here)
        risk = sqlanon.risk(name, quasi_identifiers=[name, "s"], suda=True, engine=here)
    assert (found.rows, found.classes, risk.uniques) == (4, 1, 4)


# -- where rows come from ----------------------------------------------------------------------------------------------


def test_the_search_path_of_the_user_decides_which_table_is_meant_and_no_function(fresh: str) -> None:
    execute(
        fresh,
        "CREATE SCHEMA mine",
        "CREATE TABLE public.t AS SELECT 1 AS q",
        "CREATE TABLE mine.t AS SELECT i AS q FROM generate_series(1, 3) AS i",
        "CREATE FUNCTION mine.count() RETURNS bigint LANGUAGE sql AS 'SELECT 99::bigint'",
        "CREATE FUNCTION mine.length(varchar) RETURNS int LANGUAGE sql AS 'SELECT 99'",
        "ALTER DATABASE fresh SET search_path = mine, public",
    )
    with sqlanon.connect(fresh) as engine:
        assert sqlanon.check("t", quasi_identifiers=["q"], engine=engine).rows == 3
        assert sqlanon.check("public.t", quasi_identifiers=["q"], engine=engine).rows == 1
        assert "mine.t" in engine.origin(Origin(query="SELECT q FROM t"))
        assert engine.run("ask", fragment("select length(cast('a' as varchar))")) == [(1,)]


@pytest.mark.parametrize(
    "text",
    ["SELECT 1 AS a; DROP TABLE t", "DELETE FROM t RETURNING 1", "WITH x AS (DELETE FROM t RETURNING 1) SELECT 1 AS a",
     "SELECT * FROM nowhere", "SELECT a FROM", "SELECT 1) AS x; --", "CREATE TABLE u (a int)", "VACUUM"],
)  # fmt: skip
def test_a_query_is_one_select_and_nothing_else(fresh: str, engine: Engine, text: str) -> None:
    execute(fresh, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    with pytest.raises(SpecError, match="no SELECT that the server can read"):
        engine.columns(Origin(query=text))
    assert engine.run("look", "SELECT count(*) FROM public.t") == [(1,)]
    assert engine.run("look", "SELECT current_setting('search_path')") == [("pg_catalog, pg_temp",)]


def test_row_level_security_that_would_hide_rows_is_an_error(fresh: str) -> None:
    execute(
        fresh,
        "CREATE TABLE t AS SELECT i AS q FROM generate_series(1, 4) AS i",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY few ON t USING (q > 2)",
        "GRANT SELECT ON t TO reader",
    )
    with sqlanon.connect(as_role(fresh, "reader")) as engine, pytest.raises(EngineError) as caught:
        sqlanon.check("t", quasi_identifiers=["q"], engine=engine)
    assert "42501" in caught.value.kind and "row-level security" in str(caught.value)


def test_the_rows_of_partitions_and_children_are_read_through_their_parent(fresh: str, engine: Engine) -> None:
    execute(
        fresh,
        "CREATE TABLE p (q int) PARTITION BY RANGE (q)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (5) TO (9)",
        "INSERT INTO p SELECT generate_series(0, 8)",
        "CREATE TABLE i (q int)",
        "CREATE TABLE j () INHERITS (i)",
        "INSERT INTO i VALUES (1)",
        "INSERT INTO j VALUES (2)",
    )  # fmt: skip
    assert [sqlanon.check(name, quasi_identifiers=["q"], engine=engine).rows for name in "pi"] == [9, 2]


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_failure_of_the_server_tells_no_cell_and_its_sqlstate(fresh: str, engine: Engine) -> None:
    execute(fresh, "CREATE TABLE s (a text)", "INSERT INTO s VALUES ('Alice Meyer')",
            "CREATE VIEW t AS SELECT a::int AS a FROM s")  # fmt: skip
    with pytest.raises(EngineError) as caught:
        sqlanon.check("t", quasi_identifiers=["a"], engine=engine)
    assert "22P02" in str(caught.value)
    assert "Alice" not in f"{caught.value}{caught.value.__cause__}" and "Alice" in caught.value.engine_text
    assert caught.value.__suppress_context__


def test_a_password_is_in_no_message(fresh: str) -> None:
    url = "postgresql://nobody:geheim@127.0.0.1:1/none"
    with pytest.raises(EngineError) as caught:
        sqlanon.connect(url)
    assert "geheim" not in f"{caught.value} {caught.value.engine_text}"
    with sqlanon.connect(fresh.replace("postgres@", "postgres:geheim@")) as engine:
        assert "geheim" not in engine.url


def test_a_lost_connection_is_told(fresh: str, engine: Engine) -> None:
    ((pid,),) = engine.run("look", "SELECT pg_backend_pid()")
    execute(fresh, f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(EngineError, match="no connection to the server"):
        engine.run("ask", "SELECT 1")


def test_working_tables_are_replaced_and_gone_at_the_end(engine: Engine) -> None:
    with engine.working():
        engine.temporary("make", "w w", fragment("select 1 as a"))
        engine.temporary("make", "w w", fragment("select a + 1 as a from $w", w=query.table("w w")))
        engine.append("more", "w w", fragment("select 7 as a"))
        assert sorted(engine.run("ask", fragment("select a from $w", w=query.table("w w")))) == [(2,), (7,)]
        engine.secret("set", "key", "geheim")
    assert engine.run("look", "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()") == [(0,)]


def test_arrays_are_those_of_duckdb(engine: Engine) -> None:
    sql = (
        "SELECT CAST(i AS BIGINT) AS i, CAST(i AS DOUBLE PRECISION) / 4 AS f, i > 1 AS b, SUM(i) OVER () AS n,"
        " CASE WHEN i > 1 THEN i END AS some, CAST(i AS VARCHAR) AS t FROM (VALUES (1), (2), (3)) AS v (i) ORDER BY i"
    )
    with DuckDB() as other:
        there = other.arrays("ask", sql)
    here = engine.arrays("ask", sql)
    for name, cells in there.items():
        assert here[name].tolist() == cells.tolist(), name
    assert engine.arrays("ask", "SELECT 1 AS a WHERE false")["a"].tolist() == []


def test_a_join_on_possibly_missing_values_is_hashed_or_merged_and_never_a_nested_loop(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.run("make", f"CREATE TEMP TABLE {name} AS SELECT NULLIF(i, 5) AS a, i::text AS b"
                           " FROM generate_series(1, 3000) AS i")  # fmt: skip
    joined = fragment("select count(*) from one join two on $s", s=query.same(["a", "b"], "one", "two"))
    plan = "\n".join(line for (line,) in engine.run("explain", f"EXPLAIN {engine.rendered(joined)}"))
    assert "Nested Loop" not in plan
    assert engine.run("ask", joined) == [(3000,)]


@pytest.mark.parametrize(("one", "other", "same"), [
    ("1::int4", "1::int8", True), ("1::int4", "1::numeric", True), ("1.50::numeric", "1.5::numeric", True),
    ("0.0::float8", "-0.0::float8", True), ("'NaN'::float8", "'NaN'::float8", True), ("'NaN'::numeric", "1", False),
    ("'a'::varchar", "'a'::text", True), ("NULL::int", "NULL::int8", True), ("NULL::int", "0::int", False),
    ("'2020-01-01'::date", "'2020-01-01'::timestamp", True), ("0.1::float4", "0.1::float8", False),
])  # fmt: skip
def test_a_hashed_join_finds_what_the_null_safe_one_finds(engine: Engine, one: str, other: str, same: bool) -> None:
    text = engine.rendered(query.same(["v"], "a", "b"))
    asked = f"SELECT count(*) FROM (SELECT {one} AS v) AS a JOIN (SELECT {other} AS v) AS b ON {text}"
    assert engine.run("ask", asked) == [(int(same),)]
