"""CALL sqlanon.release: the whole job inside the server, as whoever calls, with what a client would have published."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, python_of
from test_server_functions import plain

import sqlanon
from sqlanon import generating, installing, sql
from sqlanon.engines.inside import without_files
from sqlanon.errors import SpecError
from sqlanon.spec import load

SCRIPT = (Path(sql.__file__).parent / "inside.sql").read_text(encoding="utf-8")
UDFS = (Path(sql.__file__).parent / "udfs.sql").read_text(encoding="utf-8")
QI, SECRET = "quasi-identifier", "Meyer-4711"
HOSTILE = '"; DROP TABLE raw.patients; --\n$s'
SPEC: dict[str, Any] = {
    "source": "raw.patients",
    "columns": {
        "id": "identifier", "name": "drop", "age": {"role": QI, "hierarchy": {"width": [10, 20]}},
        "seen": {"role": QI, "hierarchy": {"date": ["month", "year"]}}, HOSTILE: "sensitive", "cost": "sensitive",
    },
    "privacy": [{"model": "k-anonymity", "k": 3}, {"model": "l-diversity", "column": HOSTILE, "l": 2},
                {"model": "t-closeness", "column": "cost", "t": 0.9, "distance": "ordered"}],
    "recoding": {"method": "full-domain", "suppression": 0.2},
    "publish": {"name": "patients", "grant": ["reader"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(server: NoopExecutor, database: str) -> Iterator[str]:
    """A database with the procedure, and a publisher who may call it."""
    python_of(server)
    execute(
        database,
        "CREATE EXTENSION plpython3u",
        SCRIPT,
        "GRANT CREATE, TEMP ON DATABASE test_inside TO publisher",
        "GRANT USAGE, CREATE ON SCHEMA sqlanon TO publisher",
        "GRANT EXECUTE ON PROCEDURE sqlanon.release, sqlanon.run TO publisher",
        "GRANT EXECUTE ON FUNCTION sqlanon.released, sqlanon.refreshed, sqlanon.plan, sqlanon.execute TO publisher",
        "GRANT USAGE ON SCHEMA sqlanon TO stranger",
        "CREATE SCHEMA raw AUTHORIZATION holder",
        "GRANT USAGE ON SCHEMA raw TO publisher",
    )
    yield database
    while _OPEN:
        _OPEN.popitem()[1].close()
    execute(database, *(f"DROP OWNED BY {role} CASCADE" for role in ("publisher", "holder", "reader", "stranger")))


@pytest.fixture
def clinic(prepared: str) -> Iterator[str]:
    """The same with a source that the publisher may read: its URL, for the superuser."""
    name = HOSTILE.replace('"', '""')
    execute(
        prepared,
        "DROP TABLE IF EXISTS raw.patients",
        f'CREATE TABLE raw.patients (id int, name text, age int, seen date, "{name}" text, cost numeric(8, 2))',
        f"INSERT INTO raw.patients SELECT i, '{SECRET}', 30 + i % 23, date '2020-01-31' + i * 5, 'flu' || i % 4,"
        " CASE WHEN i % 9 > 0 THEN i % 7 * 10.5 END FROM generate_series(1, 90) AS i",
        "ALTER TABLE raw.patients OWNER TO holder",
        "GRANT SELECT ON raw.patients TO publisher",
    )
    yield prepared
    execute(prepared, "DROP SCHEMA IF EXISTS releases CASCADE", "DROP TABLE IF EXISTS sqlanon.release")


# A session per role: each reads the package once.
_OPEN: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}


def session(url: str, role: str = "publisher") -> psycopg.Connection[tuple[Any, ...]]:
    """The session of a role."""
    if role not in _OPEN:
        _OPEN[role] = psycopg.connect(as_role(url, role), autocommit=True)
    return _OPEN[role]


def call(url: str, spec: Any, role: str = "publisher", what: str = "CALL sqlanon.release(%s)") -> dict[str, Any]:
    """What a statement on a spec gives a role."""
    text = spec if isinstance(spec, str) else json.dumps(spec)
    (found,) = session(url, role).execute(what.encode(), [text]).fetchone() or (None,)
    return dict(found)


@contextmanager
def ended(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The publisher's session, whose settings are those of a new one afterwards."""
    yield session(url)
    session(url).execute("RESET ALL")


def refused(url: str, spec: Any, role: str = "publisher") -> psycopg.Error:
    """The error that a call ends with; nothing in it is a cell."""
    with pytest.raises(psycopg.Error) as caught:
        call(url, spec, role)
    diagnosis = caught.value.diag
    words = (str(caught.value), diagnosis.message_detail, diagnosis.message_hint, diagnosis.context)
    assert not any(SECRET in (word or "") for word in words)
    return caught.value


SHOWN = "SELECT md5(p::text), count(*) FROM releases.patients AS p GROUP BY 1 ORDER BY 1"
REGISTER = (
    "SELECT version, status, kind, location, rows_out, suppressed_at_most, classes, quasi_identifiers, counted,"
    " promises, utility, digest, made FROM sqlanon.release"
)


@pytest.mark.parametrize("form", ["table", "view"])
def test_what_is_published_and_registered_is_what_a_client_publishes(clinic: str, form: str) -> None:
    spec = {**SPEC, "publish": {**SPEC["publish"], "as": form}}
    told = call(clinic, spec)
    here = fetch(clinic, SHOWN), fetch(clinic, REGISTER)
    execute(clinic, f"DROP {form} releases.patients", "DROP TABLE sqlanon.release")
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        outside = sqlanon.release(load(spec), engine).to_dict()
    assert (fetch(clinic, SHOWN), fetch(clinic, REGISTER)) == here
    for timed in ("seconds", "fingerprint", "nodes_checked"):
        told.pop(timed), outside.pop(timed)
    assert told == json.loads(json.dumps(outside))
    assert here[0]
    assert fetch(as_role(clinic, "reader"), SHOWN) == here[0]


def test_a_plan_is_what_a_client_plans_and_nothing_is_left_of_it(clinic: str) -> None:
    told = call(clinic, SPEC, what="SELECT sqlanon.plan(%s)")
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        outside = sqlanon.plan(load(SPEC), engine).to_dict()
    assert {**told, "seconds": 0} == {**json.loads(json.dumps(outside)), "seconds": 0}
    assert fetch(clinic, "SELECT to_regclass('releases.patients')::text, to_regclass('sqlanon.release')::text") == [
        (None, None)
    ]


CHANGED: list[dict[str, Any]] = [
    {"transforms": [{"transform": "microaggregation", "columns": ["age"], "k": 3, "statistic": "mean"}]},
    {"recoding": {"method": "hilbert"}, "privacy": SPEC["privacy"][:2]},  # whose order is that of Mondrian's leaves
    {"recoding": {"method": "anatomy"}, "privacy": [{"model": "l-diversity", "column": HOSTILE, "l": 2}],
     "columns": {**SPEC["columns"], "cost": "insensitive"}},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGED, ids=["microaggregation", "hilbert", "anatomy"])
@pytest.mark.parametrize("functions", [False, True], ids=["alone", "with functions"])
def test_what_draws_groups_and_cuts_runs_inside_too(clinic: str, change: dict[str, Any], functions: bool) -> None:
    names = ", ".join(f.signature for f in generating.declared())
    if functions:
        execute(clinic, UDFS, f"GRANT EXECUTE ON FUNCTION {names} TO publisher")
    told = call(clinic, {**SPEC, **change})
    assert told["rows_out"] > 0
    assert all(model["holds"] for model in told["models"])
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert engine.can("functions") is functions
        outside = sqlanon.plan(load({**SPEC, **change}), engine).to_dict()
    assert (told["classes"], told["rows_out"]) == (outside["classes"], outside["rows_out"])
    where = "by sqlanon's functions on the server" if functions else "beside the client: the server has no such"
    assert any(f"were worked out {where}" in note for note in told["notes"])
    execute(clinic, f"DROP FUNCTION IF EXISTS {names}")


def test_a_spec_is_text_of_yaml_or_json(clinic: str) -> None:
    assert call(clinic, yaml.safe_dump(SPEC, sort_keys=False))["version"] == 1
    assert call(clinic, json.dumps(SPEC))["version"] == 2


def test_a_spec_that_does_not_hold_publishes_nothing_and_what_stood_stays(clinic: str) -> None:
    call(clinic, SPEC)
    before = fetch(clinic, SHOWN), fetch(clinic, REGISTER)
    error = refused(clinic, {**SPEC, "privacy": [{"model": "k-anonymity", "k": 91}]})
    assert error.sqlstate == "23514"
    assert "nothing was published" in str(error)
    assert (fetch(clinic, SHOWN), fetch(clinic, REGISTER)) == before


@pytest.mark.parametrize(("change", "state", "told"), [
    ({"source": "nobody"}, "22023", "there is no such table"),
    ({"surprise": 1}, "22023", "surprise"),
    ({"publish": {"name": "patients", "grant": ["nobody"]}}, "22023", "no such role"),
    ({"source": {"query": f"SELECT ('{SECRET}'::text)::int AS id FROM raw.patients"}}, "22P02", "does not fit"),
    ({"source": {"query": "SELECT * FROM raw.patients; DROP TABLE raw.patients"}}, "22023", "no SELECT"),
    ({"source": {"query": "DELETE FROM raw.patients RETURNING *"}}, "22023", "no SELECT"),
])  # fmt: skip
def test_what_is_wrong_is_an_error_of_its_own_state(clinic: str, change: dict[str, Any], state: str, told: str) -> None:
    error = refused(clinic, {**SPEC, **change})
    assert (error.sqlstate, told in str(error)) == (state, True), error
    assert fetch(clinic, "SELECT count(*) FROM raw.patients") == [(90,)]


@pytest.mark.parametrize("text", ["", "[", "- a", "'", "a: &x [*x]", "x: \x01", f"{SECRET}: ["])
def test_a_text_that_is_no_spec_is_told_and_not_quoted(clinic: str, text: str) -> None:
    assert refused(clinic, text).sqlstate == "22023"


FILES: list[dict[str, Any]] = [
    {"source": {"file": "/etc/hostname.csv"}},
    {"population": {"file": "/etc/people.csv"}},
    {"columns": {**SPEC["columns"], "age": {"role": QI, "hierarchy": {"csv": "/etc/passwd"}}}},
    {"publish": {"name": "patients", "as": "file", "path": "/tmp/patients.duckdb"}},
    {"publish": {"name": "patients", "as": "file"}},
    {"policy": {"table": {"key": "id", "file": "/etc/words.csv"}}},
]


@pytest.mark.parametrize("change", FILES, ids=lambda change: next(iter(change)))
def test_no_file_of_the_server_is_read_or_written(clinic: str, change: dict[str, Any]) -> None:
    error = refused(clinic, {**SPEC, **change})
    assert error.sqlstate == "22023"


def test_a_file_in_any_part_of_a_spec_is_found() -> None:
    without_files(load(SPEC))
    for change in FILES[:4]:
        with pytest.raises(SpecError, match="no file"):
            without_files(load({**SPEC, **change}))


# -- who may, and with which rights ------------------------------------------------------------------------------------


def test_only_who_was_granted_to_may_call(clinic: str) -> None:
    assert refused(clinic, SPEC, "stranger").sqlstate == "42501"
    told = "SELECT proname::text, prosecdef, has_function_privilege('stranger', oid, 'EXECUTE') FROM pg_proc"
    rows = fetch(clinic, f"{told} WHERE pronamespace = 'sqlanon'::regnamespace ORDER BY 1")
    assert rows == [(name, False, False) for name in ("execute", "plan", "refreshed", "release", "released", "run")]


def test_a_caller_has_no_rights_but_his_own(clinic: str) -> None:
    execute(clinic, "REVOKE SELECT ON raw.patients FROM publisher")
    assert refused(clinic, SPEC).sqlstate == "42501"
    execute(clinic, "GRANT SELECT ON raw.patients TO publisher", "ALTER TABLE raw.patients ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY hiding ON raw.patients USING (id < 50)")  # fmt: skip
    assert refused(clinic, SPEC).sqlstate == "42501", "a policy would hide rows"


def test_a_superuser_does_not_publish_unless_he_forces_it(clinic: str) -> None:
    assert "is a superuser" in str(refused(clinic, SPEC, "postgres"))
    forced = call(clinic, SPEC, "postgres", "CALL sqlanon.release(%s, superuser => true)")
    assert forced["version"] == 1


# -- statements --------------------------------------------------------------------------------------------------------

NAME = '"' + HOSTILE.replace('"', '""') + '"'
DECLARED = f"""
    -- what psql says
    CREATE ANONYMIZED TABLE patients AS TABLE raw.patients WITH (
      k = 3, l_diversity({NAME}, 2), t_closeness(cost, 0.9, distance => 'ordered'),
      identifiers = (id), dropped = (name),
      quasi_identifiers = (age width (10, 20), seen date (month, year)), sensitive = ({NAME}, cost),
      method = 'full-domain', suppression = 0.2, grant = (reader));"""


def said(url: str, text: str, role: str = "publisher", what: str = "CALL sqlanon.run(%s)") -> list[dict[str, Any]]:
    """What statements come to for a role."""
    return list(call(url, text, role, what)["results"])


def test_a_statement_from_psql_publishes_what_its_spec_publishes(clinic: str) -> None:
    ((made),) = said(clinic, DECLARED)
    here = fetch(clinic, SHOWN)
    assert (made["line"], made["kind"], here != []) == (3, "released", True)
    execute(clinic, "DROP TABLE releases.patients", "DROP TABLE sqlanon.release")
    told = call(clinic, SPEC)
    assert fetch(clinic, SHOWN) == here
    for timed in ("seconds", "fingerprint", "nodes_checked"):
        told.pop(timed), made["result"].pop(timed)
    assert {**made["result"], "levels": dict(sorted(told["levels"].items()))} == told


def test_statements_are_run_one_after_the_other_all_or_none(clinic: str) -> None:
    found = said(
        clinic, f"{DECLARED} VERIFY ANONYMIZED patients; REFRESH ANONYMIZED patients; SHOW ANONYMIZED RELEASES"
    )
    assert [one["kind"] for one in found] == ["released", "verified", "refreshed", "releases"]
    before = fetch(clinic, SHOWN), fetch(clinic, REGISTER)
    with pytest.raises(psycopg.errors.CheckViolation, match=r"1:31: .*nothing was published"):
        said(
            clinic,
            "WITHDRAW ANONYMIZED patients; CREATE ANONYMIZED TABLE more AS TABLE raw.patients WITH (k = 91,"
            f" identifiers = (id, name), quasi_identifiers = (age), sensitive = ({NAME}, cost), dropped = (seen))",
        )
    assert (fetch(clinic, SHOWN), fetch(clinic, REGISTER)) == before


def test_what_reads_runs_in_a_select_and_what_publishes_in_a_transaction_that_stands_still(clinic: str) -> None:
    select = "SELECT sqlanon.execute(%s)"
    ((planned),) = said(clinic, f"EXPLAIN ANONYMIZATION {DECLARED}", what=select)
    assert (planned["kind"], planned["result"]["release"]) == ("plan", "patients")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"3:5: .*REPEATABLE READ"):
        said(clinic, DECLARED, what=select)
    assert fetch(clinic, "SELECT to_regclass('releases.patients')::text") == [(None,)]
    with ended(clinic) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert said(clinic, DECLARED, what=select)[0]["kind"] == "released"
        connection.execute("ROLLBACK")
    assert fetch(clinic, "SELECT to_regclass('releases.patients')::text") == [(None,)]


@pytest.mark.parametrize(("text", "told"), [
    ("SELECT 1", "only statements of sqlanon"), (f"{DECLARED} DROP TABLE raw.patients", "only statements of sqlanon"),
    ("CREATE ANONYMIZED TABLE p AS FILE '/etc/people.csv' WITH (k = 3, quasi_identifiers = (age))", "no file"),
    ("CREATE ANONYMIZED FILE p AS TABLE raw.patients WITH (k = 3, quasi_identifiers = (age))", "no file"),
    ("EXPLAIN ANONYMIZATION AS TABLE raw.patients WITH (k = 3, quasi_identifiers = (age tree '/etc/passwd'))",
     "no file"),
    ("CHECK ANONYMIZATION OF FILE '/etc/people.csv' WITH (quasi_identifiers = (age))", "no file"),
    ("CREATE ANONYMIZED TABLE p AS SELECT name AS n, age FROM raw.patients WITH (k = 3, identifiers = (name),"
     " quasi_identifiers = (age), insensitive = (n))", "comes from the identifier"),
    ("CREATE ANONYMIZED", "form of the release"),
])  # fmt: skip
def test_nothing_but_our_own_statements_is_run_and_no_file_is_read(clinic: str, text: str, told: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        said(clinic, text)
    assert (caught.value.sqlstate, told in str(caught.value)) == ("22023", True), str(caught.value)
    assert fetch(clinic, "SELECT count(*), to_regclass('releases.p')::text FROM raw.patients") == [(90, None)]


def test_a_release_that_the_register_calls_a_file_is_neither_read_nor_taken_away(clinic: str) -> None:
    said(clinic, DECLARED)
    execute(clinic, "UPDATE sqlanon.release SET kind = 'file', location = '/tmp/sqlanon-nobodys.parquet'")
    for text in ("WITHDRAW ANONYMIZED patients", "WITHDRAW releases.patients", "VERIFY ANONYMIZED patients",
                 "REFRESH ANONYMIZED patients", 'VERIFY ANONYMIZED "/etc/people.parquet"'):  # fmt: skip
        with pytest.raises(psycopg.Error, match="no file is") as caught:
            said(clinic, text)
        assert caught.value.sqlstate == "22023"
    assert fetch(clinic, "SELECT status FROM sqlanon.release") == [("published",)]


def test_only_who_was_granted_to_may_say_statements(clinic: str) -> None:
    for what in ("CALL sqlanon.run(%s)", "SELECT sqlanon.execute(%s)"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            said(clinic, "SHOW ANONYMIZED RELEASES", "stranger", what)


# -- the session and its transaction -----------------------------------------------------------------------------------


def test_the_session_is_left_as_it_was_and_its_search_path_finds_the_source(clinic: str) -> None:
    asked = (
        "SELECT array_agg(name || setting ORDER BY name) FROM pg_settings WHERE name !~ '^(transaction|plpgsql)'",
        "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    )
    with ended(clinic) as connection:
        connection.execute("SET search_path = raw; SET work_mem = '1MB'; SET DateStyle = 'German'")
        before = [connection.execute(text.encode()).fetchall() for text in asked]
        for source in ("patients", {"query": "SELECT * FROM patients -- all"}):
            connection.execute("CALL sqlanon.release(%s)", [json.dumps({**SPEC, "source": source})])
            assert [connection.execute(text.encode()).fetchall() for text in asked] == before
        with pytest.raises(psycopg.Error):
            connection.execute("CALL sqlanon.release('source: nobody')")
        assert [connection.execute(text.encode()).fetchall() for text in asked] == before


def test_within_a_transaction_the_source_must_stay_as_it_is_and_a_rollback_takes_all_back(clinic: str) -> None:
    with ended(clinic) as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            connection.execute("CALL sqlanon.release(%s)", [json.dumps(SPEC)])
        connection.execute("ROLLBACK")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("CALL sqlanon.release(%s)", [json.dumps(SPEC)])
        connection.execute("ROLLBACK")
    assert fetch(clinic, "SELECT to_regclass('releases.patients')::text, to_regclass('sqlanon.release')::text") == [
        (None, None)
    ]


def test_a_release_is_refreshed_from_inside_and_a_source_that_drifted_is_refused(clinic: str) -> None:
    first = call(clinic, SPEC)
    asked = "SELECT sqlanon.refreshed('patients', current_setting('search_path'), false)"
    with ended(clinic) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        ((again,),) = connection.execute(asked).fetchall()
        connection.execute("COMMIT")
        assert (again["version"], again["previous_version"]) == (first["version"] + 1, first["version"])
        execute(clinic, "ALTER TABLE raw.patients ADD COLUMN more text")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="the source has drifted"):
            connection.execute(asked)
        connection.execute("ROLLBACK")
    assert fetch(clinic, "SELECT count(*) FROM sqlanon.release") == [(again["version"],)]


def test_functions_of_the_callers_path_are_not_called_in_the_place_of_the_servers(clinic: str) -> None:
    execute(
        clinic,
        "DROP SCHEMA IF EXISTS trap CASCADE",
        "CREATE SCHEMA trap",
        "CREATE FUNCTION trap.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
        "CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT 'raw'::text$$",
        "CREATE FUNCTION trap.equal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT NULL::boolean'",
        "CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.equal)",
        "GRANT USAGE ON SCHEMA trap TO publisher",
    )
    with ended(clinic) as connection:
        connection.execute("SET search_path = trap, pg_catalog")
        found = connection.execute("CALL sqlanon.release(%s)", [json.dumps(SPEC)]).fetchone()
        assert found is not None
        assert found[0]["rows_in"] == 90


def test_the_same_rows_come_from_inside_as_from_outside(clinic: str) -> None:
    execute(clinic, "CREATE FUNCTION asked(query text) RETURNS text LANGUAGE plpython3u AS $$"
            " from sqlanon.engines.inside import Inside\n"
            " engine = Inside(plpy, 'public')\n"
            " arrays = {k: v.tolist() for k, v in engine.arrays('ask', query).items()}\n"
            " return repr((engine.run('ask', query), [c.family for c in engine.columns_of(query)], arrays))"
            "$$".replace("engine.columns_of(query)", "engine.columns(Origin(query=query))").replace(
                "import Inside\n", "import Inside\n from sqlanon.engines import Origin\n"))  # fmt: skip
    queries = [
        "SELECT 1 AS a, 2 AS a2, NULL::int AS b, 2.50::numeric AS c, 3::numeric AS d, sum(x), min(x)"
        " FROM (VALUES (1), (2)) AS v (x)",
        "SELECT true AS a, 0.1::float8 AS b, 'NaN'::float8 AS c, 'x''y\\z' AS d, '{1,2}'::int[] AS e, ''::text AS f",
        "SELECT date '2020-02-29' AS a, timestamp '2020-02-29 23:59:59.5' AS b, NULL::date AS c, 1::bigint AS d",
        "SELECT g AS a, g::text AS b FROM generate_series(1, 3) AS g ORDER BY g",
        "SELECT 1 AS a WHERE false",
    ]
    with sqlanon.connect(clinic, superuser=True) as engine, psycopg.connect(clinic, autocommit=True) as connection:
        for query in queries:
            arrays = {name: cells.tolist() for name, cells in engine.arrays("ask", query).items()}
            families = [column.family for column in engine.columns(sqlanon.Origin(query=query))]
            told = repr((engine.run("ask", query), families, arrays))
            assert connection.execute("SELECT asked(%s)", [query]).fetchone() == (told,)


# -- the script and the package ----------------------------------------------------------------------------------------


def test_the_script_is_what_the_generator_makes() -> None:
    assert generating.job() == SCRIPT, "run python -m sqlanon.generating"
    assert "inside" not in "".join(plain(UDFS))


def test_neither_a_client_nor_another_engine_is_needed_inside() -> None:
    asked = (
        "import sys, sqlanon, sqlanon.serving; print([m for m in ('psycopg', 'duckdb', 'typer') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
    assert sqlanon.DuckDB.name == "duckdb"
    with pytest.raises(AttributeError):
        sqlanon.Nothing  # noqa: B018


def test_where_sqlanon_is_installed_psql_refreshes_with_one_call(server: NoopExecutor, hospital: str) -> None:
    python_of(server)
    with sqlanon.connect(hospital, superuser=True) as engine:
        installing.install(engine, plpython=True)
    execute(
        hospital,
        "CREATE TABLE raw.ages AS SELECT i AS id, 30 + i % 3 AS age FROM generate_series(1, 60) AS i",
        "GRANT sqlanon_publisher TO publisher",
        "GRANT CREATE, TEMP ON DATABASE fresh TO publisher",
        "GRANT SELECT ON raw.ages TO publisher",
        "GRANT EXECUTE ON FUNCTION sqlanon.refreshed TO publisher",
    )
    publisher = as_role(hospital, "publisher")
    spec = {"source": "ages", "columns": {"id": "identifier", "age": QI}, "privacy": [{"model": "k-anonymity", "k": 3}],
            "recoding": {"method": "full-domain"}, "publish": {"name": "ages_out"}}  # fmt: skip
    with sqlanon.connect(f"{publisher}&options=-csearch_path%3Draw") as engine:
        sqlanon.release(spec, engine)
    execute(hospital, "DELETE FROM raw.ages WHERE id > 30")
    with psycopg.connect(publisher, autocommit=True) as connection:
        connection.execute("SET search_path = raw")
        with pytest.raises(psycopg.errors.ActiveSqlTransaction, match="must stay as it is"):
            connection.execute("SELECT sqlanon.refresh('ages_out')")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        ((told,),) = connection.execute("SELECT sqlanon.refresh('ages_out')").fetchall()
        connection.execute("COMMIT")
        assert (told["version"], told["rows_out"]) == (2, 30)
        assert connection.execute("SELECT count(*) FROM releases.ages_out").fetchone() == (30,)
