"""Releases on Postgres, by the roles they are for: what each may see, and what stands whatever goes wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from psycopg import errors
from server import as_role, execute, fetch, made
from test_release import KINDS, NAME, Case, cases
from tries import tries

import sqlanon
from sqlanon import life, register
from sqlanon.cli import main
from sqlanon.engines import Engine, publishing
from sqlanon.engines.duckdb import DuckDB
from sqlanon.engines.postgres import Postgres
from sqlanon.errors import EngineError, ModelNotMet, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load

QI = "quasi-identifier"
SPEC: dict[str, Any] = {
    "source": "raw.patients",
    "columns": {
        "id": "identifier", "name": "drop", "age": {"role": QI, "hierarchy": {"width": [10, 20]}},
        "zip": {"role": QI, "hierarchy": {"mask": 5}}, "disease": "sensitive", "ward": "insensitive",
    },
    "privacy": [{"model": "k-anonymity", "k": 3}],
    "recoding": {"suppression": 0.2, "levels": {"age": 0, "zip": 1}},
    "publish": {"name": "patients", "grant": ["reader"]},
}  # fmt: skip
RARE = "99999"  # the zip of somebody who is suppressed


@pytest.fixture
def clinic(fresh: str) -> Iterator[str]:
    """A database with a source that `holder` has, and a publisher who may read it: its URL, for the superuser."""
    execute(
        fresh,
        "REVOKE TEMP ON DATABASE fresh FROM PUBLIC",
        "GRANT CREATE, TEMP ON DATABASE fresh TO publisher",
        "GRANT TEMP ON DATABASE fresh TO reader",  # so that it can try functions of its own
        "CREATE SCHEMA raw AUTHORIZATION holder",
        "CREATE TABLE raw.patients (id int, name text, age int, zip text, disease text, ward text)",
        f"INSERT INTO raw.patients SELECT i, '{NAME}', 30 + i % 3, '4700' || i % 2, 'flu' || i % 4, 'w' || i % 5"
        " FROM generate_series(1, 60) AS i",
        f"INSERT INTO raw.patients VALUES (61, '{NAME}', 81, '{RARE}', 'rare', 'w')",
        "ALTER TABLE raw.patients OWNER TO holder",
        "ANALYZE raw.patients",
        "GRANT USAGE ON SCHEMA raw TO publisher",
        "GRANT SELECT ON raw.patients TO publisher",
    )
    yield fresh
    execute(fresh, "DROP OWNED BY publisher, holder, reader, stranger CASCADE")


def published(url: str, role: str = "publisher", **publish: Any) -> sqlanon.Release:
    spec = load({**SPEC, "publish": {**SPEC["publish"], **publish}})
    with sqlanon.connect(as_role(url, role)) as engine:
        return release(spec, engine)


@pytest.mark.parametrize("copies", [1, 20])  # equal records one by one, and once with their number
def test_lists_of_texts_that_look_different_are_in_different_classes_whatever_their_collation(
    clinic: str, copies: int
) -> None:
    execute(
        clinic,
        "CREATE COLLATION raw.careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE TABLE raw.t (q text[] COLLATE raw.careless, s text[] COLLATE raw.careless)",
        "INSERT INTO raw.t VALUES ('{Flu}', '{x}'), ('{flu}', '{x}')",
        f"INSERT INTO raw.t SELECT '{{cold}}', CASE i % 2 WHEN 0 THEN '{{X}}'::text[] ELSE '{{x}}' END"
        f" FROM generate_series(1, {2 * copies}) AS i",
        "GRANT SELECT ON raw.t TO publisher",
    )
    diverse = {"model": "l-diversity", "column": "s", "l": 2}
    spec = {"source": "raw.t", "columns": {"q": QI, "s": "sensitive"}, "publish": {"name": "t"}}
    spec |= {
        "privacy": [{"model": "k-anonymity", "k": 2}, diverse],
        "recoding": {"suppression": 0.5, "levels": {"q": 0}},
    }
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        done = release(load(spec), engine)
    assert (done.planned.plan.counted is not None) is (copies > 1)
    expected = Counter({("{cold}", "{X}"): copies, ("{cold}", "{x}"): copies})
    assert Counter(fetch(as_role(clinic, "publisher"), "SELECT * FROM releases.t")) == expected


def test_persons_whose_identifiers_are_written_in_several_ways_are_not_counted_several_times(clinic: str) -> None:
    execute(
        clinic,
        "CREATE EXTENSION citext SCHEMA public",
        "CREATE TABLE raw.t (who public.citext, q int)",
        "INSERT INTO raw.t VALUES ('a@x', 1), ('A@X', 1), ('b@x', 1), ('B@x', 1)",
        "GRANT SELECT ON raw.t TO publisher",
    )
    whole: dict[str, Any] = {
        "source": "raw.t", "entity": "who", "columns": {"who": "identifier", "q": QI}, "publish": {"name": "t"},
        "privacy": [{"model": "k-anonymity", "k": 3}], "recoding": {"levels": {"q": 0}},
    }  # fmt: skip
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        with pytest.raises(SpecError, match="one person may be written in several ways"):
            release(load(whole), engine)
        lower = {"query": "SELECT lower(who::text) AS who, q FROM raw.t"}
        with pytest.raises(ModelNotMet):  # they are two
            release(load({**whole, "source": lower}), engine)
        with pytest.raises(SpecError, match="one person may be written in several ways"):
            sqlanon.risk("raw.t", quasi_identifiers=["q"], entity="who", engine=engine)


# -- the same releases -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Engine, Engine]]:
    with DuckDB() as there, there.one_thread(), sqlanon.connect(database, superuser=True) as here:
        yield there, here


def tried(engine: Engine, case: Case, form: str) -> sqlanon.Release | None:
    """The case's release on one engine, or None where nothing can be released."""
    kind = engine.kind_of("rel")
    if kind:
        life.withdraw(engine, "rel")
    declared = {**{name: KINDS[name][0] for name in case.names}, "s": "VARCHAR", "p": "VARCHAR"}
    item = "t" if engine.name == "duckdb" else "public.t"
    engine.run("empty", f"DROP TABLE IF EXISTS {item}")
    columns = ", ".join(f'"{name}" {of}' for name, of in declared.items())
    engine.run("make", f"CREATE TABLE {item} ({columns})")
    for row in case.rows:
        engine.run("fill", f"INSERT INTO {item} VALUES ({', '.join('?' * len(row))})", row)
    spec = {"source": item, **case.spec, "publish": {"name": "rel", "as": form}}
    with suppress(ModelNotMet, SpecError):
        return release(load(spec), engine)
    return None


def rounded(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: rounded(value) for key, value in told.items()}
    if isinstance(told, list):
        return [rounded(value) for value in told]
    return float(f"{told:.10g}") if isinstance(told, float) else told


ENGINES_OWN = ("engine", "seconds", "fingerprint", "location", "version", "owner")


@given(cases())
@settings(max_examples=tries(15), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_the_same_spec_releases_the_same_rows_on_both_engines(both: tuple[Engine, Engine], case: Case) -> None:
    form = "view" if case.form == "view" else "table"
    there, here = (tried(engine, case, form) for engine in both)
    assert (there is None) == (here is None)
    if there is None or here is None:
        assert both[1].kind_of("rel") is None
        return
    assert here.notes[0].startswith("the release belongs to postgres")
    told = [
        {k: v for k, v in {**found.to_dict(), "notes": found.planned.notes}.items() if k not in ENGINES_OWN}
        for found in (there, here)
    ]
    assert rounded(told[1]) == rounded(told[0])
    rows = [engine.run("read", f"SELECT * FROM {engine.schema}.rel") for engine in both]
    assert Counter(rows[1]) == Counter(rows[0])
    case.assert_released(rows[1], case.rows, here)
    assert life.verify(both[1], "rel").holds
    for number, row in enumerate(case.later if form == "view" else [], start=1):
        both[1].run("insert", f"INSERT INTO public.t VALUES ({', '.join('?' * len(row))})", row)
        shown = both[1].run("read", "SELECT * FROM releases.rel")
        case.assert_released(shown, [*case.rows, *case.later[:number]], here)


def test_bounds_numbers_and_ordered_values_are_the_same_on_both_engines(both: tuple[Engine, Engine]) -> None:
    spec = {
        "columns": {
            "f": {"role": QI, "hierarchy": {"width": [0.1, 10]}, "represent": "bounds"},
            "d": {"role": QI, "hierarchy": {"width": [0.25, 1]}}, "when": {"role": QI, "hierarchy": {"date": ["day"]}},
            "n": QI, "grade": {"role": "sensitive", "hierarchy": {"order": ["low", "mid", "High"]}},
        },
        "privacy": [{"model": "t-closeness", "column": "grade", "t": 0.9, "distance": "ordered"}],
        "recoding": {"levels": {"f": 1, "d": 1, "when": 1, "n": 0}},
    }  # fmt: skip
    kinds = {
        "f": "DOUBLE PRECISION",
        "d": "DECIMAL(9, 3)",
        "when": "TIMESTAMP",
        "n": "DECIMAL(9, 3)",
        "grade": "VARCHAR",
    }
    rows = []
    for i, f in enumerate([0.1, 0.3, -0.0, -0.05, 1e9 + 0.1, 123456789.123, float("inf"), float("nan"), None] * 2):
        rows.append(dict(zip(kinds, (f, f"{i - 4}.{i:03d}", f"2020-01-0{i % 9 + 1} 10:00", f"{i % 2}.5",
                                     ["low", "mid", "High"][i % 3]), strict=True)))  # fmt: skip
    found = []
    for engine in both:
        made(engine, "numbers", kinds, rows)
        release(load({"source": "numbers", **spec, "publish": {"name": "numbers_out"}}), engine)
        found.append(engine.run("read", f"SELECT * FROM {engine.schema}.numbers_out"))
        life.withdraw(engine, "numbers_out")
    assert Counter(map(str, found[1])) == Counter(map(str, found[0]))


def test_what_postgres_has_no_type_for_is_refused_before_anything_is_run(both: tuple[Engine, Engine]) -> None:
    made(both[1], "few", {"f": "INTEGER", "s": "VARCHAR"}, [{"f": 1, "s": "x"}])
    spec: dict[str, Any] = {"source": "few", "columns": {"f": {"role": QI, "represent": "range"}, "s": "sensitive"},
                            "privacy": [{"model": "k-anonymity", "k": 1}], "publish": {"name": "rel"}}  # fmt: skip
    with pytest.raises(SpecError, match="publish bounds, f_from and f_to") as caught:
        sqlanon.plan(spec, both[1])
    assert caught.value.where == "columns.f.represent"


def test_sensitive_floating_point_numbers_that_are_looked_up_as_texts_are_refused(both: tuple[Engine, Engine]) -> None:
    made(both[1], "floats", {"f": "INTEGER", "s": "DOUBLE PRECISION"}, [{"f": 1, "s": 1.0}])
    tabled = {"f": QI, "s": {"role": "sensitive", "hierarchy": {"order": ["1.0", "2.0"]}}}
    spec: dict[str, Any] = {"source": "floats", "columns": tabled, "privacy": [{"model": "k-anonymity", "k": 1}],
                            "publish": {"name": "rel"}}  # fmt: skip
    with pytest.raises(SpecError, match="a tabled hierarchy of sensitive values needs them"):
        sqlanon.plan(spec, both[1])


# -- who may do what ---------------------------------------------------------------------------------------------------

READ = "SELECT * FROM releases.patients"
REFUSED = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState, errors.WrongObjectType)


@pytest.mark.parametrize("form", ["table", "view"])
def test_a_role_that_was_granted_reads_the_release_and_nothing_else(clinic: str, form: str) -> None:
    published(clinic, **{"as": form})
    reader, stranger = as_role(clinic, "reader"), as_role(clinic, "stranger")
    assert len(fetch(reader, READ)) == 60
    for forbidden in (
        "SELECT * FROM raw.patients", "SELECT * FROM sqlanon.release", "INSERT INTO releases.patients DEFAULT VALUES",
        "UPDATE releases.patients SET ward = 'x'", "DELETE FROM releases.patients", "TRUNCATE releases.patients",
        "CREATE TABLE releases.mine (a int)", "DROP TABLE releases.patients",
    ):  # fmt: skip
        with pytest.raises(REFUSED):
            execute(reader, forbidden)
    assert fetch(reader, "SELECT count(*) FROM pg_stats WHERE tablename = 'patients' AND schemaname = 'raw'") == [(0,)]
    for statement in (READ, "SELECT * FROM raw.patients", "SELECT * FROM sqlanon.release"):
        with pytest.raises(errors.InsufficientPrivilege):
            execute(stranger, statement)
    with pytest.raises(REFUSED):  # not even its owner writes, unless he gives himself the right
        execute(as_role(clinic, "publisher"), "UPDATE releases.patients SET ward = 'x'")


def test_default_privileges_and_public_get_nothing(clinic: str) -> None:
    execute(
        as_role(clinic, "publisher"),
        "CREATE SCHEMA releases",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA releases GRANT ALL ON TABLES TO PUBLIC, stranger",
        "GRANT USAGE ON SCHEMA releases TO stranger",
    )
    published(clinic)
    with pytest.raises(errors.InsufficientPrivilege):
        execute(as_role(clinic, "stranger"), READ)
    assert len(fetch(as_role(clinic, "reader"), READ)) == 60


def test_default_privileges_give_nobody_the_register_or_a_schema(clinic: str) -> None:
    """Where no DBA prepared the server, the publisher makes both, and his own defaults may let anybody in."""
    every = ("TABLES TO PUBLIC, stranger", "SCHEMAS TO PUBLIC, stranger")
    execute(as_role(clinic, "publisher"), *(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {what}" for what in every))
    published(clinic)
    for statement in ("SELECT spec FROM sqlanon.release", "DELETE FROM sqlanon.audit_log", READ,
                      "CREATE TABLE sqlanon.mine (i int)", "CREATE TABLE releases.mine (i int)"):  # fmt: skip
        with pytest.raises(errors.InsufficientPrivilege):
            execute(as_role(clinic, "stranger"), statement)
    others = (
        "SELECT c.relname FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relnamespace IN"
        " ('sqlanon'::regnamespace, 'releases'::regnamespace) AND a.grantee NOT IN (c.relowner, 'reader'::regrole)"
    )
    assert fetch(clinic, others) == []
    assert len(fetch(as_role(clinic, "reader"), READ)) == 60
    published(clinic)  # the maker still writes


LEAK = (
    "CREATE FUNCTION pg_temp.leak(anyelement, {}) RETURNS boolean LANGUAGE plpgsql COST 0.0001 {} AS"
    " $$ BEGIN RAISE NOTICE 'saw %', $2; RETURN true; END $$"
)


@pytest.mark.parametrize("volatility", ["VOLATILE", "IMMUTABLE"])
@pytest.mark.parametrize("form", ["table", "view"])
def test_a_function_of_the_readers_sees_released_rows_only(clinic: str, form: str, volatility: str) -> None:
    published(clinic, **{"as": form})
    saw: list[str] = []
    with psycopg.connect(as_role(clinic, "reader"), autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: saw.append(notice.message_primary or ""))
        connection.execute(LEAK.format("text", volatility).encode())
        for column in ("zip", "disease"):
            connection.execute(f"SELECT * FROM releases.patients WHERE pg_temp.leak(age, {column})".encode())
    assert any("flu" in word for word in saw)
    assert not any(word in told for told in saw for word in (RARE[:4], "rare", NAME))


@pytest.mark.parametrize("form", ["table", "view"])
def test_an_error_of_the_readers_tells_nothing_of_what_is_suppressed(clinic: str, form: str) -> None:
    published(clinic, **{"as": form})
    for hidden in ("1 / (age - 81) IS NOT NULL", "1 / (length(ward) - 1) IS NOT NULL"):
        assert len(fetch(as_role(clinic, "reader"), f"{READ} WHERE {hidden}")) == 60
    with pytest.raises(errors.DivisionByZero):
        execute(as_role(clinic, "reader"), f"{READ} WHERE 1 / (age - 31) IS NOT NULL")


def test_a_superuser_does_not_publish_unless_it_is_forced(clinic: str, tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(ReleaseError, match="'postgres' is a superuser") as caught:
        published(clinic, "postgres")
    assert caught.value.exit_status == 2
    assert fetch(clinic, "SELECT nspname FROM pg_namespace WHERE nspname IN ('releases', 'sqlanon')") == []
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    assert main(["release", str(tmp_path / "spec.yaml"), "--db", clinic]) == 2
    assert main(["release", str(tmp_path / "spec.yaml"), "--db", clinic, "--superuser", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["location"] == "releases.patients"
    execute(clinic, "DROP SCHEMA releases, sqlanon CASCADE")


def test_roles_that_are_not_there_are_told_before_anything_runs(clinic: str) -> None:
    with pytest.raises(SpecError) as caught:
        published(clinic, grant=["raeder"])
    assert (caught.value.where, caught.value.suggestion) == ("publish.grant", "reader")
    with pytest.raises(SpecError, match="no such role"):
        published(clinic, grant=["reader; DROP TABLE raw.patients"])


def test_who_may_not_read_the_source_or_create_anything_publishes_nothing(clinic: str) -> None:
    with pytest.raises(SpecError, match="no such table or view"):
        published(clinic, "stranger")
    execute(clinic, "REVOKE CREATE ON DATABASE fresh FROM publisher")
    with pytest.raises(EngineError, match="permission denied"):
        published(clinic)


def test_a_publisher_without_columns_of_the_source_is_refused(clinic: str) -> None:
    execute(
        clinic, "REVOKE SELECT ON raw.patients FROM publisher", "GRANT SELECT (age, zip) ON raw.patients TO publisher"
    )
    with pytest.raises(EngineError, match="42501"):
        published(clinic)


# -- what a release is -------------------------------------------------------------------------------------------------


def test_the_register_tells_what_was_released_and_by_whom(clinic: str) -> None:
    first, second = published(clinic), published(clinic)
    assert (first.entry.version, second.entry.version) == (1, 2)
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        statuses = {entry.version: entry.status for entry in register.entries(engine)}
        assert statuses == {1: "superseded", 2: "published"}
        assert register.current(engine, "patients") == second.entry
        found = life.verify(engine, "patients")
        assert (found.holds, found.unchanged, found.rows) == (True, True, 60)
        assert second.entry.released_by == "publisher"
        life.withdraw(engine, "patients")
        assert engine.kind_of("patients") is None
    assert fetch(clinic, "SELECT status FROM sqlanon.release ORDER BY version") == [("superseded",), ("withdrawn",)]


def test_a_release_is_attacked_by_its_name_and_told_from_its_source(clinic: str) -> None:
    published(clinic)
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        known = sqlanon.attack("patients", sensitive=["disease"], engine=engine)
        assert (known.source, known.quasi_identifiers, known.rows) == ("patients", ("age", "zip"), 60)
        found = sqlanon.predict("releases.patients", column="disease", fields=["age", "zip"], engine=engine)
        assert (found.rows, found.worst.fields) == (60, ("age", "zip"))


def test_a_changed_release_is_found_by_its_digest(clinic: str) -> None:
    published(clinic)
    execute(
        clinic, "UPDATE releases.patients SET ward = 'other' WHERE ctid IN (SELECT min(ctid) FROM releases.patients)"
    )
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert life.verify(engine, "patients").unchanged is False


def test_a_table_of_somebody_elses_is_not_replaced(clinic: str) -> None:
    execute(as_role(clinic, "publisher"), "CREATE SCHEMA releases", "CREATE TABLE releases.patients AS SELECT 1 AS a")
    with pytest.raises(ReleaseError, match="is a table that is no release"):
        published(clinic)
    assert fetch(clinic, READ) == [(1,)]


@pytest.mark.parametrize("form", ["table", "view"])
def test_a_release_does_not_replace_what_its_own_source_reads(clinic: str, form: str) -> None:
    published(clinic, **{"as": form})
    execute(as_role(clinic, "publisher"), "CREATE VIEW releases.over AS SELECT * FROM releases.patients")
    columns = {name: "drop" if name != "age" else QI for name in ("age", "zip", "disease", "ward")}
    for source in ("releases.over", "releases.patients", {"query": "SELECT * FROM releases.over"}):
        spec = {**SPEC, "source": source, "columns": columns, "recoding": {}}
        with sqlanon.connect(as_role(clinic, "publisher")) as engine, pytest.raises(SpecError, match="its own source"):
            release(load(spec), engine)


def test_every_published_column_has_a_comment_that_says_what_was_done(clinic: str) -> None:
    sql = (
        "SELECT a.attname::text, col_description(a.attrelid, a.attnum) FROM pg_attribute AS a"
        " WHERE a.attrelid = 'releases.patients'::regclass AND a.attnum > 0"
    )
    for form in ("table", "view"):
        published(clinic, **{"as": form})
        told = dict(fetch(clinic, sql))
        share = "; at most 15% of the records left out"  # 10 of 70, where 1 of 61 would tell of one person
        assert told == {
            "age": f"quasi-identifier, width hierarchy, level 0 of 3{share}",
            "zip": f"quasi-identifier, mask hierarchy, level 1 of 5{share}",
            "disease": f"sensitive, published as it is{share}", "ward": f"insensitive, published as it is{share}",
        }  # fmt: skip


def test_the_rows_stand_in_an_order_of_the_key_and_not_of_the_source(clinic: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("SQLANON_KEY", "one")
    published(clinic)
    first = fetch(clinic, READ)
    execute(clinic, "CREATE TABLE raw.other AS SELECT * FROM raw.patients ORDER BY id DESC",
            "TRUNCATE raw.patients", "INSERT INTO raw.patients SELECT * FROM raw.other")  # fmt: skip
    published(clinic)
    assert fetch(clinic, READ) == first
    monkeypatch.setenv("SQLANON_KEY", "two")
    published(clinic)
    assert fetch(clinic, READ) != first and Counter(fetch(clinic, READ)) == Counter(first)


def test_the_key_is_in_no_log_setting_catalog_or_plan(clinic: str, server: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SQLANON_KEY", "very-secret-key")
    for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_parameter_max_length = -1"):
        execute(clinic, f"ALTER DATABASE fresh SET {setting}")
    published(clinic)
    log = (Path(server.host) / "log").read_text(errors="replace")
    assert 'CREATE TABLE "releases"' in log and "very-secret-key" not in log
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert "very-secret-key" not in sqlanon.plan(SPEC, engine).sql(engine)
    dumped = fetch(clinic, "SELECT * FROM sqlanon.release") + fetch(clinic, "SELECT * FROM pg_db_role_setting")
    assert "very-secret-key" not in str(dumped)


HOSTILE = ['"; DROP TABLE raw.patients; --', "it's", "a\nb", "$s %s ?", "é" * 30]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_releases_columns_and_values_are_only_names(clinic: str, name: str) -> None:
    quoted = '"{}"'.format(name.replace('"', '""'))
    literal = "'{}'".format(name.replace("'", "''"))
    rows = f"SELECT {literal}::text AS {quoted}, i % 2 AS s FROM generate_series(1, 8) AS i"
    execute(clinic, f"CREATE TABLE raw.odd AS {rows}", "GRANT SELECT ON raw.odd TO publisher")
    hierarchy = {"tree": {f"{name}!": [name]}}
    spec = {"source": "raw.odd", "columns": {name: {"role": QI, "hierarchy": hierarchy}, "s": "sensitive"},
            "privacy": [{"model": "k-anonymity", "k": 2}], "recoding": {"levels": {name: 1}},
            "publish": {"name": name, "grant": ["reader"]}}  # fmt: skip
    for form in ("table", "view"):
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            release(load({**spec, "publish": {**spec["publish"], "as": form}}), engine)
            assert life.verify(engine, name).holds
        assert fetch(as_role(clinic, "reader"), f"SELECT DISTINCT {quoted} FROM releases.{quoted}") == [(f"{name}!",)]
    assert fetch(clinic, "SELECT count(*) FROM raw.patients") == [(61,)]


# -- whatever goes wrong -----------------------------------------------------------------------------------------------


def standing(url: str) -> tuple[int, str, str]:
    """What stands: rows of the release, its comment, and the fingerprint of the published version in the register."""
    ((rows, told, entry, staged),) = fetch(
        url,
        "SELECT (SELECT count(*) FROM releases.patients), obj_description('releases.patients'::regclass),"
        " (SELECT format('released by sqlanon, version %s, %s', version, fingerprint) FROM sqlanon.release"
        " WHERE status = 'published'),"
        " ARRAY(SELECT relname::text FROM pg_class WHERE relname LIKE '%staged%' AND relpersistence = 'p')",
    )
    assert told == entry, "register and reality agree"
    assert staged == []
    return rows, told, entry


def test_a_model_that_does_not_hold_leaves_what_was_published(clinic: str) -> None:
    published(clinic)
    before = standing(clinic)
    spec = {**SPEC, "privacy": [{"model": "k-anonymity", "k": 30}]}
    with sqlanon.connect(as_role(clinic, "publisher")) as engine, pytest.raises(ModelNotMet):
        release(load(spec), engine)
    assert standing(clinic) == before


@pytest.mark.parametrize("form", ["table", "view"])
def test_a_server_process_that_dies_before_any_step_leaves_what_was_published(clinic: str, form: str) -> None:
    """Ends the publisher's server process before each statement of publishing, one after the other."""
    published(clinic, **{"as": form})
    spec = load({**SPEC, "publish": {**SPEC["publish"], "as": form}})
    before, steps = standing(clinic), 0
    while (told := dying(clinic, spec, steps)) is not None:
        assert "no connection to the server" in told or "look with" in told, told
        assert standing(clinic) == before, told
        steps += 1
    assert steps >= 12
    assert standing(clinic)[1] != before[1]


def dying(clinic: str, spec: Any, steps: int) -> str | None:
    """What is told where the server's process ends before that statement; None where publishing has fewer of them."""
    with Dying(as_role(clinic, "publisher"), clinic, steps) as engine:
        try:
            release(spec, engine)
        except EngineError as error:
            return f"{engine.last}: {error}"
    return None


class Dying(Postgres):
    """A connection whose server process is ended before the n-th statement from `begin` on that does not only read."""

    def __init__(self, url: str, superuser_url: str, after: int) -> None:
        self.left, self.killer, self.last, self.begun = after, superuser_url, "", False
        super().__init__(url)

    def run(self, step: str, *given: Any) -> Any:
        self.begun = self.begun or step == "begin"
        self.last = f"{step}: {str(given[0])[:60]}"
        if self.begun and not step.startswith(("read", "digest")):
            if self.left == 0:
                pid = self.client.connection.info.backend_pid
                with psycopg.connect(self.killer, autocommit=True) as killer:  # the server itself looks every 100 ms
                    killer.execute("SELECT pg_terminate_backend(%s)", [pid])
                    there = "SELECT FROM pg_stat_activity WHERE pid = %s"
                    until(lambda: killer.execute(there, [pid]).fetchone() is None)
            self.left -= 1
        return super().run(step, *given)


def test_a_killed_client_and_a_reader_who_takes_long_leave_what_was_published(clinic: str, tmp_path: Path) -> None:
    published(clinic)
    before = standing(clinic)
    (tmp_path / "spec.yaml").write_text(json.dumps(SPEC))
    words = ["release", str(tmp_path / "spec.yaml"), "--db", as_role(clinic, "publisher")]
    with psycopg.connect(as_role(clinic, "reader")) as reader:
        rows = reader.execute(READ.encode()).fetchall()  # and the transaction stays open
        with subprocess.Popen([sys.executable, "-m", "sqlanon", *words]) as client:
            try:
                until(lambda: bool(fetch(clinic, f"{OURS} AND wait_event_type = 'Lock'")))
            finally:
                client.send_signal(signal.SIGKILL)
        assert reader.execute(READ.encode()).fetchall() == rows
    until(lambda: not fetch(clinic, OURS))
    assert standing(clinic) == before


OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'sqlanon' AND datname = current_database()"


def until(happened: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_of_two_publishers_at_once_one_wins_and_the_register_agrees(clinic: str) -> None:
    published(clinic)
    told: list[str] = []

    def publish() -> None:
        try:
            told.append(f"version {published(clinic).entry.version}")
        except (EngineError, ReleaseError) as error:
            told.append(str(error))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(word.startswith("version") for word in told), told
    assert all(word.startswith("version") or "try again" in word for word in told), told
    assert standing(clinic)[0] == 60


def test_a_statement_that_takes_too_long_leaves_what_was_published(clinic: str, monkeypatch: Any) -> None:
    published(clinic)
    monkeypatch.setattr(publishing, "TURN", 10_000)
    before = standing(clinic)
    with psycopg.connect(as_role(clinic, "reader")) as reader:
        reader.execute(READ.encode())
        execute(clinic, "ALTER ROLE publisher SET statement_timeout = '1s'")
        try:
            with pytest.raises(EngineError, match="statement_timeout"):
                published(clinic)
        finally:
            execute(clinic, "ALTER ROLE publisher RESET statement_timeout")
    assert standing(clinic) == before


def test_records_that_occur_many_times_are_counted_once_and_published_as_often(both: tuple[Engine, Engine]) -> None:
    found = []
    for engine in both:
        rows = [{"a": i % 4, "s": f"s{i % 3}"} for i in range(240)]
        made(engine, "many", {"a": "INTEGER", "s": "VARCHAR"}, rows)
        spec = load({
            "source": "many", "columns": {"a": {"role": QI, "hierarchy": {"width": [2]}}, "s": "sensitive"},
            "privacy": [{"model": "k-anonymity", "k": 100}, {"model": "l-diversity", "column": "s", "l": 3}],
            "recoding": {"method": "full-domain"}, "publish": {"name": "many_out"},
        })  # fmt: skip
        told = release(spec, engine)
        assert told.planned.plan.counted is not None
        assert (life.verify(engine, "many_out").unchanged, told.measured.rows, told.measured.classes) == (True, 240, 2)
        found.append(engine.run("read", f"SELECT * FROM {engine.schema}.many_out"))
        life.withdraw(engine, "many_out")
        script = sqlanon.plan(spec, engine).sql(engine).replace("many_out", "by_hand")
        assert "sqlanon base frequencies" in script
        if engine.name == "duckdb":
            engine.run("set the key", "SET VARIABLE sqlanon_key = 'k'")
            engine.run("run the script", script)
            found.append(engine.run("read", "SELECT * FROM by_hand"))
    assert Counter(found[0]) == Counter(found[1]) == Counter(found[2])
