"""Lineage: which base columns an output is computed from, held against what changes when a base column's cells do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import made
from tries import tries

from sqlanon.engines import Engine
from sqlanon.errors import SpecError
from sqlanon.lineage import Resolved, Unresolved
from sqlanon.planning import make
from sqlanon.spec import Column, load
from sqlanon.tracing import resolved, trace, traced

PEOPLE = {"id": "integer", "name": "varchar", "age": "integer", "zip": "varchar", "cost": "integer"}
VISITS = {"id": "integer", "pid": "integer", "ward": "varchar", "cost": "integer"}
TABLES = {"people": PEOPLE, "visits": VISITS}


@pytest.fixture(scope="module")
def tables(either: Engine) -> Iterator[Engine]:
    """An engine with the two tables and two views of them."""
    for name, columns in TABLES.items():
        made(either, name, columns)
        refill(either, 0, name)
    either.run("make", "CREATE TEMP VIEW named AS SELECT name AS called, age + 1 AS older FROM people WHERE cost > 1")
    either.run(
        "make",
        "CREATE TEMP VIEW twice (a, b) AS SELECT called, older FROM named UNION ALL SELECT ward, pid FROM visits",
    )
    yield either
    either.run("drop", "DROP VIEW twice")
    either.run("drop", "DROP VIEW named")


def told(found: Resolved) -> dict[str, str]:
    """The outputs with their base columns, in short."""
    return {
        str(one.name): " ".join(sorted(f"{base.relation[-1]}.{base.column}" for base in one.computed))
        for one in found.outputs
    }


QUERIES = {
    "SELECT * FROM people": {name: f"people.{name}" for name in PEOPLE},
    "SELECT p.name AS n, upper(zip) AS z, age + cost AS s, 1 AS c FROM people AS p":
        {"n": "people.name", "z": "people.zip", "s": "people.age people.cost", "c": ""},
    "SELECT p.name, v.cost AS price FROM people p LEFT JOIN visits v ON v.pid = p.id WHERE p.age > 1":
        {"name": "people.name", "price": "visits.cost"},
    "SELECT id, name, ward FROM people JOIN visits USING (id)":
        {"id": "people.id visits.id", "name": "people.name", "ward": "visits.ward"},
    "WITH a AS (SELECT age AS x, name FROM people), b (y) AS (SELECT x * 2 FROM a) SELECT y, name FROM a, b":
        {"y": "people.age", "name": "people.name"},
    "SELECT s.n FROM (SELECT name AS n, age FROM people) AS s": {"n": "people.name"},
    "SELECT name AS x FROM people UNION SELECT ward FROM visits": {"x": "people.name visits.ward"},
    "SELECT ward AS x FROM visits EXCEPT SELECT name FROM people": {"x": "visits.ward"},
    "SELECT age, (SELECT max(v.cost) FROM visits v WHERE v.pid = p.id) AS most FROM people p":
        {"age": "people.age", "most": "people.id visits.cost visits.pid"},
    "SELECT zip, row_number() OVER (PARTITION BY zip ORDER BY name) AS n FROM people":
        {"zip": "people.zip", "n": "people.name people.zip"},
    "SELECT zip, rank() OVER w AS n FROM people WINDOW w AS (ORDER BY age)": {"zip": "people.zip", "n": "people.age"},
    "SELECT zip, count(*) AS n, sum(cost) FILTER (WHERE age > 1) AS s FROM people GROUP BY zip":
        {"zip": "people.zip", "n": "", "s": "people.age people.cost"},
    "SELECT CASE WHEN age > 1 THEN name ELSE zip END AS c FROM people": {"c": "people.age people.name people.zip"},
    "SELECT called, older FROM named": {"called": "people.name", "older": "people.age"},
    "SELECT * FROM twice": {"a": "people.name visits.ward", "b": "people.age visits.pid"},
    "SELECT EXISTS (SELECT 1 FROM visits v WHERE v.pid = p.id) AS seen FROM people p": {"seen": "people.id visits.pid"},
    "SELECT age IN (SELECT pid FROM visits) AS seen FROM people": {"seen": "people.age visits.pid"},
    "SELECT x FROM (SELECT name AS x, zip FROM people ORDER BY age LIMIT 2) AS s ORDER BY 1": {"x": "people.name"},
    'SELECT "name" AS "a ""b", name /* , zip */ AS c -- , age\nFROM people':
        {'a "b': "people.name", "c": "people.name"},
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_the_base_columns_of_every_output_are_told(tables: Engine, query: str) -> None:
    found = told(resolved(tables, query))
    if "USING" in query and tables.name == "postgres":  # which says that it is the first of the two, and they are equal
        found["id"] += " visits.id"
    assert found == QUERIES[query]


def test_letters_of_both_cases_are_one_wherever_the_engine_has_them_so(tables: Engine) -> None:
    swapped = 'WITH People AS (SELECT name AS "age", age AS "name" FROM people) SELECT age, name FROM PEOPLE'
    found = {one.name: {base.column for base in one.computed} for one in resolved(tables, swapped).outputs}
    assert found["age"] == {"name"} and "age" in found["name"]
    quoted = 'WITH "People" AS (SELECT name AS age FROM people) SELECT age FROM people'
    (output,) = resolved(tables, quoted).outputs
    assert {base.column for base in output.computed} == {"age" if tables.name == "postgres" else "name"}


def test_a_generated_column_comes_from_those_that_it_is_made_of(tables: Engine) -> None:
    made = "CREATE TEMP TABLE made_of (name varchar, low varchar GENERATED ALWAYS AS (lower(name))"
    tables.run("make", made + (" STORED)" if tables.name == "postgres" else ", again varchar AS (low || 'x'))"))
    try:
        for output in resolved(tables, "SELECT * FROM made_of").outputs:
            assert "name" in {base.column for base in output.computed}
            assert output.bare is not None and output.bare.column == output.name
        spec = spec_of("SELECT low FROM made_of", **{"made_of.name": "identifier", "low": "quasi-identifier"})
        with pytest.raises(SpecError, match="comes from the identifier"):
            trace(spec, tables)
        columns: dict[str, Any] = {"name": "quasi-identifier", "low": "insensitive", "again": "drop"}
        wanted = load({"source": "made_of", "columns": columns, "privacy": [{"model": "k-anonymity", "k": 2}]})
        with pytest.raises(SpecError, match="comes from the quasi-identifier 'name'"):
            traced(wanted, tables)
        traced(replace(wanted, columns={**wanted.columns, "low": Column("sensitive")}), tables)
    finally:
        tables.run("drop", "DROP TABLE made_of")


def test_the_second_of_two_columns_of_one_name_is_known_by_the_name_that_the_engine_makes_up(tables: Engine) -> None:
    if tables.name == "postgres":
        pytest.skip("which refuses a name that two columns have, and makes up none")
    query = "SELECT zip_1, zip FROM (SELECT zip, name AS zip, age AS zip_1 FROM people) AS s"
    computed = [{base.column for base in one.computed} for one in resolved(tables, query).outputs]
    assert "name" in computed[0] and "zip" in computed[1]


def test_only_a_column_that_is_passed_on_as_it_is_is_bare(tables: Engine) -> None:
    found = resolved(tables, "SELECT called AS x, older FROM named")
    assert [one.bare.column if one.bare else None for one in found.outputs] == ["name", None]


def test_what_conditions_groups_and_orders_touch_is_told(tables: Engine) -> None:
    query = (
        "SELECT p.zip, count(*) AS n FROM people p JOIN visits v ON v.pid = p.id WHERE p.age > 1 GROUP BY p.zip"
        " HAVING max(v.cost) > 0 ORDER BY min(p.name)"
    )
    touched = {f"{b.relation[-1]}.{b.column}" for b in resolved(tables, query).touched}
    assert touched == {"visits.pid", "people.id", "people.age", "people.zip", "visits.cost", "people.name"}


def test_columns_that_a_condition_equates_are_one_in_another_guise(tables: Engine) -> None:
    for condition in ("v.ward = p.name", "p.age > 0 AND (p.name = v.ward OR p.age = 1)", "v.ward IN (p.name)",
                      "v.ward IS NOT DISTINCT FROM p.name", "v.ward IN (SELECT name FROM people)",
                      "NOT v.ward <> p.name", "(v.ward <> p.name) IS FALSE", "v.ward LIKE p.name"):  # fmt: skip
        found = resolved(tables, f"SELECT v.ward AS w FROM people p, visits v WHERE {condition}")
        assert {base.column for base in found.outputs[0].computed} == {"ward"}
        assert {base.column for base in found.origins(found.outputs[0])} == {"ward", "name"}, condition


REFUSED = {
    "SELECT p FROM people AS p": "whole row|the type",
    "SELECT random() AS r FROM people": "is not known to depend on its arguments alone",
    "SELECT row_number() OVER () AS r FROM people": "without an ORDER BY",
    "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r WHERE a < 3) SELECT a FROM r": "RECURSIVE",
    "SELECT current_setting('TimeZone') AS x FROM people": "is not known to depend",
    "SELECT p.name, x FROM people p, LATERAL (SELECT p.age AS x) AS l": "LATERAL|no column",
    "SELECT g FROM generate_series(1, 3) AS s(g)": "table function|GENERATESERIES|UNNEST",
}
REFUSED_ON = {
    "duckdb": {
        "SELECT COLUMNS('a.*') FROM people": "COLUMNS",
        "SELECT * FROM read_csv('/etc/passwd')": "table function read_csv",
        "SELECT * FROM query('SELECT name FROM people')": "table function",
        "SELECT * FROM people POSITIONAL JOIN visits": "POSITIONAL JOIN",
        "SELECT name FROM people UNION BY NAME SELECT ward AS name FROM visits": "BY NAME",
        "SELECT list_transform([1], lambda x: x) AS l FROM people": "transform|lambda|cannot be read",
        "SELECT {'a': name}.a AS f FROM people": "field|struct",
        "SELECT rowid AS r FROM people": "no column",
        'SELECT current_date AS d FROM (SELECT name AS "current_date" FROM people) AS s': "'current_date' is a column",
        "SELECT getvariable('x') AS r FROM people": "is not known to depend",
        "SELECT name FROM people USING SAMPLE 3": "sample",
    },
    "postgres": {
        "SELECT (p).name AS n FROM (SELECT p FROM people AS p) AS s": "whole row|the type|field",
        "SELECT ctid::text AS r FROM people": "no column",
        "SELECT query_to_xml('SELECT name FROM people', true, true, '') AS x FROM people": "is not known to depend",
        "SELECT pg_read_file('/etc/passwd') AS x FROM people": "is not known to depend",
        "SELECT name FROM people TABLESAMPLE SYSTEM (10)": "sample",
        "SELECT relname FROM pg_class": "no table or view",
        "SELECT public.spy(age) AS s FROM people": "function of a schema|cannot|failed",
        "SELECT age OPERATOR(public.<<<) cost AS s FROM people": "operator of a schema|cannot",
    },
}  # fmt: skip


def test_what_cannot_be_resolved_is_refused_by_its_name(tables: Engine) -> None:
    if tables.name == "postgres":
        body = "LANGUAGE sql AS $$SELECT max(name)::int FROM people$$"
        body = "LANGUAGE sql AS 'SELECT 1'"
        tables.run("make", f"CREATE OR REPLACE FUNCTION public.spy(int) RETURNS int {body}")
        tables.run("make", f"CREATE OR REPLACE FUNCTION public.spy(int, int) RETURNS int {body}")
        tables.run("make", "CREATE OPERATOR public.<<< (LEFTARG = int, RIGHTARG = int, FUNCTION = public.spy)")
    for query, words in {**REFUSED, **REFUSED_ON[tables.name]}.items():
        with pytest.raises(SpecError, match=words):
            resolved(tables, query)


UNITS = {
    "SELECT date_trunc(zip, DATE '2020-02-02') AS d FROM people": "zip",
    "SELECT date_trunc(w, DATE '2020-02-02') AS d FROM (SELECT name AS w FROM people) AS s": "name",
    "SELECT date_part(zip, DATE '2020-02-02') AS d FROM people": "zip",
}


@pytest.mark.parametrize("query", UNITS)
def test_a_column_in_the_place_of_the_word_of_a_unit_is_no_word(tables: Engine, query: str) -> None:
    if tables.name == "duckdb" and "date_trunc" in query:
        with pytest.raises(Unresolved, match="is a column everywhere"):
            resolved(tables, query)
        return
    assert {base.column for base in resolved(tables, query).outputs[0].computed} == {UNITS[query]}


def test_functions_that_users_made_are_refused_and_none_takes_the_place_of_the_engines_own(tables: Engine) -> None:
    if tables.name != "duckdb":
        pytest.skip("in what the server writes, such a function has its schema before its name")
    tables.run("make", "CREATE MACRO spy(a) AS (SELECT max(name) FROM people)")
    with pytest.raises(Unresolved, match="spy"):
        resolved(tables, "SELECT spy(age) AS x FROM people")
    for stolen in ("upper", '"+"'):
        tables.run("make", f"CREATE MACRO {stolen}(a, b := 1) AS (SELECT max(name) FROM people)")
        with pytest.raises(Unresolved, match="in the place of the engine's own"):
            resolved(tables, "SELECT upper(zip) AS x FROM people")
        tables.run("drop", f"DROP MACRO {stolen}")
    tables.run("drop", "DROP MACRO spy")


# -- the oracle: what changes when the cells of a base column do -------------------------------------------------------

VALUES = ["age", "cost", "age + cost", "CASE WHEN age > 1 THEN cost END", "coalesce(age, 0)", "length(name)",
          "(SELECT max(v.cost) FROM visits v WHERE v.pid = p.age)", "sum(cost) OVER (PARTITION BY zip)",
          "rank() OVER (ORDER BY name)", "(SELECT count(*) FROM visits v WHERE v.ward = p.name)",
          "CASE WHEN EXISTS (SELECT 1 FROM visits v WHERE v.pid = p.cost) THEN 1 ELSE 0 END"]  # fmt: skip
AGGREGATES = ["count(*)", "sum(age)", "min(name)", "count(DISTINCT cost)", "max(CASE WHEN age > 1 THEN zip END)"]
WHERE = ["", " WHERE age > 1", " WHERE name = zip", " WHERE age IN (SELECT pid FROM visits)",
         " WHERE EXISTS (SELECT 1 FROM visits v WHERE v.pid = p.id AND v.cost > 1)"]  # fmt: skip


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A SELECT over people, at times with visits, in one of several shapes."""
    where = draw(st.sampled_from(WHERE))
    kind = draw(st.sampled_from(["plain", "group", "join", "with", "union", "view"]))
    one, other = draw(st.sampled_from(VALUES)), draw(st.sampled_from(VALUES))
    if kind == "group":
        key, many = draw(st.sampled_from(["zip", "age"])), draw(st.sampled_from(AGGREGATES))
        return f"SELECT {key} AS a, {many} AS b FROM people AS p{where} GROUP BY {key}"
    if kind == "join":
        how = draw(st.sampled_from(["JOIN", "LEFT JOIN", "FULL JOIN"]))
        on = draw(st.sampled_from(["ON q.pid = r.age", "ON q.ward = r.name", "USING (id)", "USING (id, cost)"]))
        return f"SELECT name AS a, ward AS b, r.age AS c FROM people AS r {how} visits AS q {on}"
    if kind == "with":
        return f"WITH w AS (SELECT {one} AS x, {other} AS y FROM people AS p{where}) SELECT y AS a, x AS b FROM w"
    if kind == "union":
        word = draw(st.sampled_from(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]))
        return f"SELECT {one} AS a, age AS b FROM people AS p{where} {word} SELECT cost, pid FROM visits"
    if kind == "view":
        return "SELECT older AS a, (SELECT min(b) FROM twice WHERE a = called) AS b FROM named"
    return f"SELECT {one} AS a, {other} AS b FROM people AS p{where}"


@settings(max_examples=tries(100), deadline=None)
@given(query=queries(), seed=st.integers(0, 10**6))
def test_an_output_that_changes_with_a_base_column_is_computed_from_it_or_it_is_touched(
    tables: Engine, query: str, seed: int
) -> None:
    for table in TABLES:
        refill(tables, seed, table)
    found = resolved(tables, query)
    before = by_column(tables, query, len(found.outputs))
    for table, column in [(table, column) for table, columns in TABLES.items() for column in columns]:
        refill(tables, seed, table, column)
        after = by_column(tables, query, len(found.outputs))
        refill(tables, seed, table)
        for output, old, new in zip(found.outputs, before, after, strict=True):
            known = {(b.relation[-1], b.column) for b in output.computed | found.touched}
            assert old == new or (table, column) in known, (query, output.name, table, column)


def refill(engine: Engine, seed: int, table: str, changed: str = "") -> None:
    """Other rows in a table, under the views that are there; those of one column are others again."""
    draw, other, columns = random.Random(f"{seed}{table}"), random.Random(seed), TABLES[table]
    rows = [
        [other.choice(_OTHER[kind]) if name == changed else usual for name, kind, usual in cells]
        for cells in [[(n, kind, draw.choice(_USUAL[kind])) for n, kind in columns.items()] for _ in range(5)]
    ]
    engine.run("empty", f"DELETE FROM {table}")
    written = ", ".join(f"({', '.join(['NULL' if cell is None else repr(cell) for cell in row])})" for row in rows)
    engine.run("fill", f"INSERT INTO {table} VALUES {written}")


_USUAL: dict[str, list[Any]] = {"integer": [None, 0, 1, 2], "varchar": [None, "a", "b", "1"]}
_OTHER: dict[str, list[Any]] = {"integer": [0, 3, 4], "varchar": ["b", "2", "c"]}


def by_column(engine: Engine, query: str, width: int) -> list[list[str]]:
    """The cells of each output, whatever the order of the rows."""
    rows = engine.run("ask", query)
    return [sorted(repr(row[i]) for row in rows) for i in range(width)]


# -- what a spec says of them ------------------------------------------------------------------------------------------

QI = {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}}


def spec_of(query: str, **columns: Any) -> Any:
    return load({"source": {"query": query}, "columns": columns, "privacy": [{"model": "k-anonymity", "k": 2}]})


WRONG = [
    ("SELECT name, name AS n, age FROM people", {"name": "identifier", "n": "insensitive", "age": QI}, True),
    ("SELECT name, upper(name) AS n, age FROM people", {"name": "identifier", "n": "insensitive", "age": QI}, True),
    ("SELECT name, upper(name) AS n, age FROM people", {"name": "identifier", "n": "sensitive", "age": QI}, False),
    ("SELECT upper(name) AS n, age FROM people", {"name": "identifier", "n": "insensitive", "age": QI}, True),
    ("SELECT upper(p.name) AS n, age FROM people p", {"p.name": "identifier", "n": "insensitive", "age": QI}, True),
    ("SELECT upper(name) AS n, age FROM people", {"people.name": "drop", "age": QI}, True),
    ("SELECT called AS n, older FROM named", {"name": "identifier", "n": "insensitive", "older": QI}, True),
    ("SELECT v.ward, p.age FROM people p JOIN visits v ON v.ward = p.name",
     {"p.name": "identifier", "ward": "insensitive", "age": QI}, True),
    ("SELECT age, age + 1 AS older FROM people", {"age": QI, "older": "insensitive"}, True),
    ("SELECT age, age + 1 AS older FROM people", {"age": QI, "older": "sensitive"}, False),
    ("SELECT age, cost, cost AS c FROM people", {"age": QI, "cost": "sensitive", "c": "insensitive"}, True),
    ("SELECT age, age + cost AS c FROM people", {"age": QI, "cost": "sensitive"}, True),
    ("SELECT name AS n, zip AS name, age FROM people", {"name": "identifier", "n": "insensitive", "age": QI}, True),
]  # fmt: skip


@pytest.mark.parametrize(("query", "columns", "always"), WRONG)
def test_a_column_that_slips_through_under_another_name_is_refused(
    tables: Engine, query: str, columns: dict[str, Any], always: bool
) -> None:
    spec = spec_of(query, **columns)
    with pytest.raises(SpecError, match="comes from"):
        trace(spec, tables)
    if always:
        with pytest.raises(SpecError, match="comes from"):
            traced(spec, tables)
    else:
        assert traced(spec, tables) == spec


def test_roles_of_base_columns_become_roles_of_outputs(tables: Engine) -> None:
    query = "SELECT p.name, age AS years, age + 1 AS older, cost AS price, zip AS plz FROM people p"
    spec = load({
        "source": {"query": query}, "entity": "p.name",
        "columns": {"p.name": "identifier", "age": QI, "cost": "sensitive", "people.zip": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": 2}, {"model": "l-diversity", "column": "cost", "l": 2}],
    })  # fmt: skip
    trace(spec, tables)
    found = traced(spec, tables)
    assert {name: column.role for name, column in found.columns.items()} == {
        "name": "identifier", "years": "quasi-identifier", "older": "quasi-identifier", "price": "sensitive",
        "plz": "insensitive",
    }  # fmt: skip
    assert found.columns["years"] == spec.columns["age"]
    assert found.columns["older"].hierarchy is None
    assert [getattr(model, "column", None) for model in found.privacy] == [None, "price"]
    assert found.entity == "name"


def test_an_output_that_nobody_spoke_of_is_denied_and_a_name_that_is_nowhere_is_told(tables: Engine) -> None:
    spec = spec_of("SELECT age AS years, zip FROM people", age=QI)
    assert list(traced(spec, tables).columns) == ["years"]
    with pytest.raises(SpecError, match="such a column"):
        traced(spec_of("SELECT age AS years FROM people", age=QI, nobody="identifier"), tables)


def test_a_spec_whose_query_cannot_be_resolved_stays_as_it_is_and_a_statement_is_refused(tables: Engine) -> None:
    spec = spec_of("SELECT age, random() AS r FROM people", age=QI, r="insensitive")
    assert traced(spec, tables) is spec
    with pytest.raises(Unresolved, match="is not known to depend"):
        trace(spec, tables)


def test_a_plan_of_a_query_that_cannot_be_resolved_says_that_nobody_has_looked(tables: Engine) -> None:
    query = "SELECT {} AS r, age FROM people"
    for value, told in (("random()", True), ("cost", False)):
        spec = spec_of(query.format(value), age={"role": "quasi-identifier"}, r="insensitive")
        with tables.working():
            planned = make(spec, tables)
        assert told == any("nobody has looked" in note for note in planned.notes)
