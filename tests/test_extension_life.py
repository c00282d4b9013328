"""The schema `sqlanon` by the roles it is for: who may do what, what the catalog tells, how releases end, dumps."""

from __future__ import annotations

import json
import time
from typing import Any

import psycopg
import pytest
from hospital import (
    PRIVATE,
    QI,
    SPEC,
    SQL,
    connected,
    extended,
    published,
    publishing,
    verified,
)
from psycopg import errors
from server import as_role, execute, fetch

from sqlanon import life
from sqlanon.release import release
from sqlanon.spec import load

WAYS = ["nothing", "install", "extension"]
VIEWS = ("releases", "models", "columns", "findings")
TABLES = ("release", "audit_log", "hierarchy", "setting", "finding")
DENIED = errors.InsufficientPrivilege


# -- who may do what ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_publisher_publishes_replaces_verifies_and_withdraws(hospital: str, way: str) -> None:
    publishing(hospital, way)
    for version in (1, 2):
        assert published(hospital).entry.version == version
    assert len(fetch(as_role(hospital, "stranger"), "SELECT * FROM releases.patients")) == 60  # who was granted it
    with pytest.raises(DENIED):
        fetch(as_role(hospital, "reader"), "SELECT * FROM releases.patients")
    with connected(hospital, "publisher") as engine:
        assert life.verify(engine, "patients").holds
        life.withdraw(engine, "patients")
    assert fetch(hospital, "SELECT status FROM sqlanon.release ORDER BY version") == [("superseded",), ("withdrawn",)]
    assert fetch(hospital, "SELECT to_regclass('releases.patients')") == [(None,)]


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_publisher_writes_the_register_and_rewrites_nothing(hospital: str, way: str) -> None:
    publishing(hospital, way)
    published(hospital)
    publisher = as_role(hospital, "publisher")
    for forbidden in (
        "UPDATE sqlanon.release SET promises = '[]'", "DELETE FROM sqlanon.release", "TRUNCATE sqlanon.release",
        "ALTER TABLE sqlanon.release ADD x int", "DROP TABLE sqlanon.audit_log", "UPDATE sqlanon.audit_log SET"
            " by = 'x'",
        "DELETE FROM sqlanon.audit_log", "INSERT INTO sqlanon.finding VALUES (now(), '', '', '', '')",
        "INSERT INTO sqlanon.setting VALUES ('a', 'b')", "CREATE TABLE sqlanon.mine (a int)", "DROP FUNCTION"
            " sqlanon.verify",
        "CREATE FUNCTION sqlanon.mine() RETURNS int RETURN 1", "SELECT sqlanon.append_only()",
    ):  # fmt: skip
        with pytest.raises((DENIED, errors.FeatureNotSupported)):
            execute(publisher, forbidden)


@pytest.mark.parametrize("way", WAYS[1:])
def test_a_reader_sees_the_catalog_and_nothing_else(hospital: str, way: str) -> None:
    publishing(hospital, way)
    published(hospital)
    reader = as_role(hospital, "reader")
    for view in VIEWS[:3]:
        assert fetch(reader, f"SELECT count(*) > 0 FROM sqlanon.{view}") == [(True,)]
        for write in (f"DELETE FROM sqlanon.{view}", f"UPDATE sqlanon.{view} SET name = 'x'"):
            with pytest.raises((DENIED, errors.ObjectNotInPrerequisiteState)):
                execute(reader, write)
    told = str([fetch(reader, f"SELECT t::text FROM sqlanon.{view} AS t") for view in VIEWS[:3]])
    for hidden in (
        "raw",
        "recheck",
        PRIVATE,
        "holder",
        *[d for (d,) in fetch(hospital, "SELECT digest FROM sqlanon.release")],
    ):
        assert hidden not in told
    functions = fetch(
        hospital, "SELECT proname FROM pg_proc WHERE pronamespace = 'sqlanon'::regnamespace"
        " AND has_function_privilege('reader', oid, 'EXECUTE')",
    )  # fmt: skip
    assert functions == [("changed_since",)]  # which the view calls in his name
    forbidden = [
        *(f"SELECT * FROM sqlanon.{table}" for table in (*TABLES, "findings")), "SELECT * FROM raw.patients",
        "SELECT sqlanon.verify('patients')", "SELECT sqlanon.withdraw('patients')", "CREATE TABLE releases.mine"
            " (a int)",
        "SELECT histogram_bounds FROM sqlanon.release, pg_stats", "INSERT INTO sqlanon.audit_log VALUES (now(),"
            " '', '', '', 1, '')",
    ]  # fmt: skip
    for statement in forbidden:
        with pytest.raises(DENIED):
            execute(reader, statement)


@pytest.mark.parametrize("way", WAYS)
def test_a_stranger_can_do_nothing_with_the_schema(hospital: str, way: str) -> None:
    publishing(hospital, way)
    published(hospital, grant=["reader"])
    stranger = as_role(hospital, "stranger")
    there = [name for (name,) in fetch(hospital, "SELECT relname FROM pg_class WHERE relnamespace ="
                                                 " 'sqlanon'::regnamespace"
                                       " AND relkind IN ('r', 'v')")]  # fmt: skip
    assert "release" in there
    for statement in (
        *(f"SELECT * FROM sqlanon.{name}" for name in there), "SELECT * FROM releases.patients", "DROP SCHEMA sqlanon",
        "CREATE TABLE sqlanon.mine (a int)", "CREATE TABLE releases.mine (a int)", "GRANT USAGE ON SCHEMA"
            " sqlanon TO stranger",
        *(["SELECT sqlanon.mask('x', 1)", "SELECT sqlanon.withdraw('patients')"] if way != "nothing" else []),
    ):  # fmt: skip
        with pytest.raises(DENIED):
            execute(stranger, statement)


@pytest.mark.parametrize("way", WAYS[1:])
def test_the_audit_log_is_only_ever_written_to_and_in_ones_own_name(hospital: str, way: str) -> None:
    publishing(hospital, way)
    line = (
        "INSERT INTO sqlanon.audit_log (at, by, action, name, version, detail)"
        " VALUES ('2001-01-01', 'somebody', 'x', 'y', 1, '')"
    )
    execute(as_role(hospital, "publisher"), line)
    ((by, age),) = fetch(hospital, "SELECT by, now() AT TIME ZONE 'UTC' - at FROM sqlanon.audit_log")
    assert by == "publisher" and age.total_seconds() < 60
    for change in (
        "UPDATE sqlanon.audit_log SET by = 'x'",
        "DELETE FROM sqlanon.audit_log",
        "TRUNCATE sqlanon.audit_log",
    ):
        with pytest.raises(DENIED, match="only ever written to"):
            execute(hospital, change)
    execute(hospital, line)  # its owner, as a restore does
    assert fetch(hospital, "SELECT by FROM sqlanon.audit_log ORDER BY 1") == [("publisher",), ("somebody",)]


# -- what the catalog tells --------------------------------------------------------------------------------------------


def test_the_catalog_tells_what_was_published(hospital: str) -> None:
    publishing(hospital, "install")
    made = published(hospital)
    published(hospital, name='a; "b"\n$c', grant=[], expires=None)
    published(hospital, name="long " * 20, grant=[])
    reader = as_role(hospital, "reader")
    execute(hospital, "UPDATE sqlanon.release SET expires_at = '2020-01-01' WHERE name = 'patients'")
    rows = fetch(
        reader, "SELECT name, version, status, rows_out, expired, quasi_identifiers FROM sqlanon.releases ORDER BY 1"
    )
    assert rows == [
        ('a; "b"\n$c', 1, "published", 60, False, ["age", "zip"]),
        ("long " * 20, 1, "published", 60, False, ["age", "zip"]),
        ("patients", 1, "published", 60, True, ["age", "zip"]),
    ]  # fmt: skip
    told = fetch(reader, 'SELECT model, "column", parameters, value, bound, holds FROM sqlanon.models WHERE'
                         ' name = \'patients\''
                 " ORDER BY place")  # fmt: skip
    expected = [(v.model, v.column, dict(v.parameters), v.value, v.bound, v.holds) for v in made.verdicts]
    assert [(*row[:3], float(row[3]), float(row[4]), row[5]) for row in told] == expected
    for name in ("patients", 'a; "b"\n$c', "long " * 20):
        with psycopg.connect(reader) as connection:
            columns = connection.execute(
                'SELECT "column", type, role, method, level, levels FROM sqlanon.columns WHERE name = %s ORDER BY 1',
                [name],
            ).fetchall()
        expected = {
            "age": ("integer", "quasi-identifier", "width hierarchy, level 0 of 3", 0, 3),
            "disease": ("character varying", "sensitive", "published as it is", None, None),
            "ward": ("character varying", "insensitive", "published as it is", None, None),
            "zip": ("text", "quasi-identifier", "mask hierarchy, level 1 of 5", 1, 5),
        }
        found = {column: (kind, role, method[: len(expected[column][2])], *levels)
                 for column, kind, role, method, *levels in columns}  # fmt: skip
        assert found == expected


@pytest.mark.parametrize("source", ["raw.patients", "raw.seen", {"query": "SELECT * FROM raw.seen WHERE id > 0"}])
def test_the_catalog_tells_what_is_stale_as_the_command_does(hospital: str, source: Any) -> None:
    refreshing = pytest.importorskip("sqlanon.refreshing")
    publishing(hospital, "install")
    execute(hospital, "CREATE VIEW raw.seen AS SELECT * FROM raw.patients", "GRANT SELECT ON raw.seen TO publisher")
    with connected(hospital, "publisher") as engine:
        release(load({**SPEC, "source": source}), engine)
    told = []
    for change in ("SELECT 1", "INSERT INTO raw.patients VALUES (99, 30, '47001', 'flu1', 'w')", "DROP VIEW raw.seen"):
        execute(hospital, change)
        time.sleep(0.05)
        rows = fetch(as_role(hospital, "reader"), "SELECT stale, refresh_recommended FROM sqlanon.releases")
        with connected(hospital, "publisher") as engine:
            (standing,) = refreshing.standing(engine)
        assert rows == [(standing.stale, standing.refresh_recommended)], change
        told.append(rows[0][0])
    assert told == [False, True, True if source == "raw.patients" else None]


def test_hierarchies_and_settings_are_rows_that_make_sense(hospital: str) -> None:
    extended(hospital)
    execute(hospital, "INSERT INTO sqlanon.hierarchy VALUES ('place', '47001', '{470**,*}'), ('place', '', '{*}')")
    for row in ("('', 'x', '{*}')", "('a', 'x', '{}')", "('a', 'x', '{a,NULL}')", "('a', 'x',"
        " '{{a},{b}}')", "('a', NULL, '{*}')",
                "('place', '', '{*}')", "('a', 'x', '[0:0]={a}')"):  # fmt: skip
        with pytest.raises(errors.IntegrityError):
            execute(hospital, f"INSERT INTO sqlanon.hierarchy VALUES {row}")
    for name in ("SQLANON_KEY", "password", "salt of dates"):
        with pytest.raises(errors.CheckViolation):
            execute(hospital, f"INSERT INTO sqlanon.setting VALUES ('{name}', 'x')")


# -- the life of a release, from psql ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS[1:])
def test_verify_measures_what_sql_can_and_says_what_it_cannot(hospital: str, way: str) -> None:
    publishing(hospital, way)
    made = published(hospital)
    found = verified(hospital)
    assert {name: holds for name, (holds, *_) in found.items()} == dict.fromkeys(
        (
            "digest",
            "k-anonymity",
            "l-diversity distinct",
            "l-diversity entropy",
            "l-diversity recursive",
            "t-closeness",
        ),
        True,
    )
    values = {f"{v.model} {v.parameters.get('kind', '')}".strip(): v.value for v in made.verdicts}
    for name, (_, value, note) in list(found.items())[1:]:
        assert value == pytest.approx(values[name], rel=1e-12), name
        assert note.startswith("as judged at the release" if name == "t-closeness" else "measured on the rows"), name
    execute(hospital, "GRANT INSERT, UPDATE ON releases.patients TO publisher")
    execute(as_role(hospital, "publisher"), "UPDATE releases.patients SET ward = 'other' WHERE ctid = '(0,1)'")
    found = verified(hospital)
    assert {name for name, (holds, *_) in found.items() if not holds} == {"digest", "t-closeness"}
    execute(as_role(hospital, "publisher"), "INSERT INTO releases.patients SELECT age, 'lonely', disease, ward FROM"
            " releases.patients LIMIT 1")  # fmt: skip
    assert not any(holds for holds, *_ in verified(hospital).values())
    execute(hospital, "DROP TABLE releases.patients")
    assert {holds for holds, *_ in verified(hospital).values()} == {False}


CHANGES = [
    "UPDATE {} SET disease = 'flu0'", "DELETE FROM {} WHERE ctid = '(0,1)'",
    "INSERT INTO {0} SELECT * FROM {0} LIMIT 1",
    "UPDATE {} SET zip = zip || ctid::text WHERE ctid < '(0,9)'", "UPDATE {} SET disease = NULL",
    "UPDATE {} SET disease = 'flu' || (ctid::text::point)[1]::int % 2", "DELETE FROM {}",
    "ALTER TABLE {} ADD more int", "ALTER TABLE {} RENAME COLUMN ward TO other",
    "UPDATE {} SET disease = CASE WHEN ctid < '(0,40)' THEN 'flu1' ELSE disease END",
]  # fmt: skip


@pytest.mark.parametrize("form", ["table", "materialized view"])
def test_sql_never_says_that_a_model_holds_where_the_command_says_that_it_does_not(hospital: str, form: str) -> None:
    publishing(hospital, "install")
    for change in ["SELECT 1 FROM {} LIMIT 1", *(CHANGES if form == "table" else [])]:
        published(hospital, **{"as": form})
        execute(hospital, change.format("releases.patients"))
        with connected(hospital, "publisher") as engine:
            theirs = life.verify(engine, "patients")
        digest, *models = verified(hospital).values()
        assert digest[0] is theirs.unchanged, change
        assert [holds for holds, *_ in models if holds is None] == [], change
        for (holds, value, note), verdict in zip(models, theirs.verdicts, strict=True):
            assert verdict.holds or not holds, (change, verdict.model)
            if note.startswith("measured"):
                assert holds is verdict.holds, (change, verdict.model)
                assert (value is None) is (verdict.value is None), (change, verdict.model)
                assert value is None or value == pytest.approx(verdict.value, rel=1e-12), (change, verdict.model)


def test_verify_promises_nothing_of_a_view(hospital: str) -> None:
    publishing(hospital, "install")
    published(hospital, **{"as": "view"})
    found = verified(hospital)
    assert {holds for holds, *_ in found.values()} == {None}
    assert all("sqlanon verify" in note for *_, note in found.values())


def test_where_persons_are_counted_sql_does_not_count_records_instead(hospital: str) -> None:
    publishing(hospital, "install")
    with connected(hospital, "publisher") as engine:
        release(load({**SPEC, "entity": "id"}), engine)
    assert verified(hospital)["k-anonymity"][0] is True
    assert verified(hospital)["k-anonymity"][2].startswith("as judged")
    execute(hospital, "UPDATE releases.patients SET ward = 'other'")
    assert verified(hospital)["k-anonymity"][0] is False


NAMES = ['a"; DROP TABLE sqlanon.release; --', "it's", "both ' and \"", "back\\slash",
         "new\nline", "tab\tand\rreturn", "$1 %s %I",
         "Ünïcödé …", "x" * 80, "ä" * 40]  # fmt: skip


def test_a_release_of_any_name_is_verified_and_withdrawn(hospital: str) -> None:
    publishing(hospital, "install")
    column = "ward"
    for name in NAMES:
        before, column = column, name.encode()[:60].decode(errors="ignore")
        old, new = ('"{}"'.format(one.replace('"', '""')) for one in (before, column))
        execute(hospital, f"ALTER TABLE raw.patients RENAME COLUMN {old} TO {new}")
        spec = json.loads(json.dumps(SPEC).replace('"ward"', json.dumps(column)))
        with connected(hospital, "publisher") as engine:
            release(load({**spec, "publish": {"name": name}}), engine)
        assert {holds for holds, *_ in verified(hospital, name).values()} == {True}
        with psycopg.connect(as_role(hospital, "publisher")) as connection:
            with pytest.raises(errors.FeatureNotSupported) as caught, connection.transaction():
                connection.execute("SELECT sqlanon.refresh(%s)", [name])
            assert "sqlanon refresh" in str(caught.value.diag.message_hint)
            assert connection.execute("SELECT sqlanon.withdraw(%s)", [name]).fetchone() == (1,)
        assert fetch(hospital, "SELECT count(*) FROM pg_class WHERE relnamespace = 'releases'::regnamespace") == [(0,)]
    told = fetch(hospital, "SELECT name, version, status, withdrawn_at IS NOT NULL FROM sqlanon.release")
    assert sorted(told) == sorted((name, 1, "withdrawn", True) for name in NAMES)
    logged = fetch(hospital, "SELECT name, by FROM sqlanon.audit_log WHERE action = 'withdrawn'")
    assert sorted(logged) == sorted((name, "publisher") for name in NAMES)


def test_what_the_documentation_shows_from_psql_runs(hospital: str) -> None:
    publishing(hospital, "install")
    published(hospital, name="patients_release")
    execute(hospital, "CREATE TABLE public.patients (age int, zip text, disease text, patient_id int, born date)",
            "INSERT INTO public.patients SELECT i % 2, '47001', 'd' || i % 3, i, '2020-02-29' FROM"
            " generate_series(1, 20) AS i",
            "GRANT SELECT ON public.patients TO publisher")  # fmt: skip
    page = (SQL.parent / "docs" / "explanation" / "engines.md").read_text()
    statements = page.split('```sql title="as publisher"\n', 1)[1].split("```", 1)[0]
    assert statements.count("sqlanon.") >= 10
    execute(as_role(hospital, "publisher"), statements)
    assert fetch(hospital, "SELECT status FROM sqlanon.releases") == [("withdrawn",)]


def test_an_anatomy_is_verified_and_withdrawn_as_two_tables(hospital: str) -> None:
    publishing(hospital, "install")
    spec = {
        **SPEC,
        "privacy": [{"model": "l-diversity", "column": "disease", "l": 3}],
        "recoding": {"method": "anatomy"},
    }
    spec["columns"] = {**SPEC["columns"], "age": QI, "zip": QI}
    with connected(hospital, "publisher") as engine:
        release(load(spec), engine)
    assert {holds for holds, *_ in verified(hospital).values()} == {True}
    second = fetch(hospital, "SELECT relname FROM pg_class WHERE relname = 'patients_sensitive'")
    assert second == [("patients_sensitive",)]
    execute(hospital, "DELETE FROM releases.patients_sensitive WHERE disease = 'flu1'")
    assert {holds for holds, *_ in verified(hospital).values()} == {False}
    execute(as_role(hospital, "publisher"), "SELECT sqlanon.withdraw('patients')")
    assert fetch(hospital, "SELECT count(*) FROM pg_class WHERE relnamespace = 'releases'::regnamespace") == [(0,)]


def test_related_tables_are_verified_and_withdrawn_together(hospital: str) -> None:
    publishing(hospital, "install")
    execute(hospital, "CREATE TABLE raw.visits AS SELECT id AS who, id % 2 AS month, disease FROM raw.patients",
            "GRANT SELECT ON raw.visits TO publisher")  # fmt: skip
    visits = {"name": "visits", "source": "raw.visits", "key": "who", "privacy": [],
              "columns": {"who": "identifier", "month": {"role": QI, "hierarchy": {"width": [2]}},
                          "disease": "sensitive"}}  # fmt: skip
    spec = {**SPEC, "entity": "id", "privacy": [{"model": "k-anonymity", "k": 2}], "related": [visits],
            "recoding": {"suppression": 0.5}}  # fmt: skip
    for name in ("patients", "visits"):
        with connected(hospital, "publisher") as engine:
            release(load(spec), engine)
        assert {holds for holds, *_ in verified(hospital).values()} == {True}
        execute(hospital, f"DELETE FROM releases.{name} WHERE ctid = '(0,1)'")
        assert [verified(hospital, one)["digest"][0] for one in ("patients", "visits")] == [False, False]
        assert verified(hospital)["k-anonymity"][0] is False
        execute(as_role(hospital, "publisher"), f"SELECT sqlanon.withdraw('{name}')")
        assert fetch(hospital, "SELECT name FROM sqlanon.releases WHERE status = 'published'") == []
        assert fetch(hospital, "SELECT count(*) FROM pg_class WHERE relnamespace = 'releases'::regnamespace") == [(0,)]
    withdrawn = "SELECT DISTINCT name, version, detail FROM sqlanon.audit_log WHERE action = 'withdrawn' ORDER BY 1, 2"
    assert fetch(hospital, withdrawn) == [
        (name, version, "as table, read by stranger") for name in ("patients", "visits") for version in (1, 2)
    ]


@pytest.mark.parametrize("form", ["table", "view", "materialized view"])
def test_withdraw_in_sql_leaves_what_the_command_leaves(hospital: str, form: str) -> None:
    publishing(hospital, "install")
    left = []
    for way in ("command", "sql"):
        published(hospital, name=f"by_{way}", **{"as": form})
        if way == "sql":
            assert fetch(as_role(hospital, "publisher"), "SELECT sqlanon.withdraw('by_sql')") == [(1,)]
        else:
            with connected(hospital, "publisher") as engine:
                life.withdraw(engine, "by_command")
        left.append(
            fetch(
                hospital, "SELECT r.version, status, kind, withdrawn_at - released_at < '1 minute', l.by,"
                          " l.action, l.detail,"
                " l.at = withdrawn_at, to_regclass('releases.' || name) FROM sqlanon.release AS r JOIN"
                " sqlanon.audit_log AS l"
                f" USING (name) WHERE name = 'by_{way}' AND l.action <> 'released'",
            )
        )  # fmt: skip
    line = ("publisher", "withdrawn", f"as {form}, read by stranger", True)
    assert left[0] == left[1] == [(1, "withdrawn", form, True, *line, None)]
    with pytest.raises(errors.NoDataFound):
        execute(hospital, "SELECT sqlanon.withdraw('by_sql')")


def test_what_is_no_release_is_not_withdrawn(hospital: str) -> None:
    publishing(hospital, "install")
    published(hospital)
    execute(as_role(hospital, "publisher"), "DROP TABLE releases.patients", "CREATE TABLE releases.patients (mine int)")
    for call in ("withdraw", "verify"):
        with pytest.raises(errors.ObjectNotInPrerequisiteState, match="nothing was touched"):
            execute(as_role(hospital, "publisher"), f"SELECT sqlanon.{call}('patients')")
    assert fetch(hospital, "SELECT status FROM sqlanon.release") == [("published",)]
    execute(hospital, "DROP TABLE releases.patients", "CREATE ROLE another LOGIN")
    try:
        execute(as_role(hospital, "publisher"), "SELECT sqlanon.withdraw('patients')")  # it is gone already
        published(hospital)
        execute(hospital, "GRANT sqlanon_publisher TO reader")
        execute(hospital, "ALTER TABLE releases.patients OWNER TO postgres")
        with pytest.raises(DENIED):
            execute(as_role(hospital, "reader"), "SELECT sqlanon.withdraw('patients')")
        assert fetch(hospital, "SELECT status FROM sqlanon.release WHERE version = 2") == [("published",)]
        assert fetch(hospital, "SELECT count(*) FROM releases.patients") == [(60,)]
    finally:
        execute(hospital, "DROP ROLE another", "REVOKE sqlanon_publisher FROM reader")
