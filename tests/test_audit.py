"""The audit on a server with real roles: a clean server has no finding; what is planted is found, and what is printed
mends it, twice over, whatever things are called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, url_of
from test_postgres_release import clinic as clinic
from test_postgres_release import published, until

import sqlanon
from sqlanon.auditing import RULES, Audited, audit, store
from sqlanon.cli import main
from sqlanon.engines.postgres import Postgres
from sqlanon.errors import ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load


def q(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def text(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


# Everything is called as badly as it can be.
READER, GROUP, PUBLISHER, OWNER = (f"{word} \"; DROP TABLE x; --'$$ %s\n?" for word in ("rd", "gr", "pb", "ow"))
SCHEMA, TABLE, NAME, VIEW, ODD = (f"{word} '\"$$;\n%I ? {{0}}" for word in ("raw", "patients", "rel", "view", "odd"))
BIRTH, ILL = 'bi"rth\n%s', "ill'; --"
RAW = f"{q(SCHEMA)}.{q(TABLE)}"
DATABASE = "hos\"pital'; --\n"
SPEC: dict[str, Any] = {
    "source": f"{SCHEMA}.{TABLE}",
    "columns": {
        "id": "identifier",
        BIRTH: {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}},
        ILL: "sensitive",
        "ward": "insensitive",
    },
    "privacy": [{"model": "k-anonymity", "k": 3}],
    "recoding": {"suppression": 0.2, "levels": {BIRTH: 1}},
}


@pytest.fixture(scope="module")
def hospital(server: NoopExecutor) -> Iterator[str]:
    """A database where the publisher has released a table and a view to the reader: its URL, for the superuser."""
    admin = url_of(server, "postgres")
    roles = (READER, GROUP, PUBLISHER, OWNER)
    execute(
        admin, f"CREATE DATABASE {q(DATABASE)} TEMPLATE template0", *(f"CREATE ROLE {q(role)} LOGIN" for role in roles)
    )
    parts = psycopg.conninfo.conninfo_to_dict(admin)
    url = psycopg.conninfo.make_conninfo("", **{**parts, "dbname": DATABASE})
    try:
        execute(
            url,
            f"REVOKE TEMP ON DATABASE {q(DATABASE)} FROM PUBLIC",
            f"GRANT CREATE, TEMP ON DATABASE {q(DATABASE)} TO {q(PUBLISHER)}",
            f"CREATE SCHEMA {q(SCHEMA)} AUTHORIZATION {q(OWNER)}",
            f"CREATE TABLE {RAW} (id int, {q(BIRTH)} int, {q(ILL)} text, ward text)",
            f"INSERT INTO {RAW} SELECT i, 30 + i % 7, 'flu' || i % 4, 'w' || i FROM generate_series(1, 200) AS i",
            f"ALTER TABLE {RAW} OWNER TO {q(OWNER)}",
            f"GRANT USAGE ON SCHEMA {q(SCHEMA)} TO {q(PUBLISHER)}",
            f"GRANT SELECT ON {RAW} TO {q(PUBLISHER)}",
        )
        with Postgres(user(url, PUBLISHER)) as engine:
            for name, form in ((NAME, "table"), (VIEW, "view")):
                release(load({**SPEC, "publish": {"name": name, "as": form, "grant": [READER]}}), engine)
        yield url
    finally:
        execute(admin, f"DROP DATABASE {q(DATABASE)} WITH (FORCE)", *(f"DROP ROLE {q(role)}" for role in roles),
                "DROP ROLE IF EXISTS sqlanon_owner")  # fmt: skip


def user(url: str, role: str) -> str:
    return psycopg.conninfo.make_conninfo(url, user=role)


def audited(url: str, **more: Any) -> Audited:
    with Postgres(url) as engine:
        return audit(engine, **more)


def rules(found: Audited) -> set[str]:
    return {one.rule for one in found.findings}


BASE = {"explain-counts", "owner-login", "same-database"}


def test_a_server_where_releases_are_made_as_they_should_be_has_no_finding(clinic: str) -> None:
    published(clinic)
    published(clinic, name="seen", **{"as": "view"})
    for role in ("postgres", "publisher"):
        found = audited(as_role(clinic, role))
        assert found.findings == ()
        assert {one.rule for one in found.found} == {*BASE, "temp-right"}
        assert (found.clean, found.releases, found.sources) == (True, 2, ("raw.patients",))


def test_a_role_that_may_nothing_audits_too_and_says_what_it_could_not_see(hospital: str) -> None:
    found = audited(user(hospital, GROUP))
    assert found.clean
    told = "\n".join(found.unseen)
    assert "register" in told and "order was not measured" in told and "settings" in told
    assert found.sources == (RAW_SHOWN,)  # the view hangs on it, which everybody sees
    execute(hospital, f"GRANT SELECT ON {RAW} TO {q(READER)}")
    try:
        assert rules(audited(user(hospital, GROUP))) == {"raw-grant"}
    finally:
        execute(hospital, f"REVOKE ALL ON {RAW} FROM {q(READER)}")


RAW_SHOWN = RAW
A_RELEASE, A_VIEW = f"releases.{q(NAME)}", f"releases.{q(VIEW)}"
RD, GR, PB, OW = map(q, (READER, GROUP, PUBLISHER, OWNER))
DB = q(DATABASE)
F, L = f"sqlanon.{q(ODD)}", f"public.{q(ODD)}"
HEX = f"SELECT length('{'0' * 32}')"
FUNCTION = "(a int) RETURNS int LANGUAGE {} AS {}"
MADE = "CREATE TABLE releases.odd AS SELECT 1 AS a"

# What is planted for each rule, and what is to be done afterwards beside what the audit prints.
PLANTED: dict[str, tuple[list[str], list[str]]] = {
    "raw-grant": ([f"GRANT SELECT ON {RAW} TO {RD}"], []),
    "raw-grant of a column": ([f"GRANT SELECT ({q(ILL)}) ON {RAW} TO {RD}"], []),
    "raw-grant through a group": (
        [f"GRANT SELECT ON {RAW} TO {GR}", f"GRANT {GR} TO {RD}"],
        [f"REVOKE ALL ON {RAW} FROM {GR}"],
    ),
    "raw-grant through two groups": (
        ["CREATE ROLE ward NOLOGIN", f"GRANT SELECT ON {RAW} TO ward", f"GRANT ward TO {GR}", f"GRANT {GR} TO {RD}"],
        [f"REVOKE ALL ON {RAW} FROM ward", "DROP ROLE ward", f"REVOKE {GR} FROM {RD}"],
    ),
    "raw-grant handed on": (
        [
            f"GRANT USAGE ON SCHEMA {q(SCHEMA)} TO {GR}",
            f"GRANT SELECT ON {RAW} TO {GR} WITH GRANT OPTION",
            f"SET ROLE {GR}; GRANT SELECT ON {RAW} TO {RD}",
        ],
        [f"REVOKE ALL ON {RAW} FROM {GR} CASCADE", f"REVOKE ALL ON SCHEMA {q(SCHEMA)} FROM {GR}"],
    ),
    "raw-public": ([f"GRANT SELECT ON {RAW} TO PUBLIC"], []),
    "partition-grant": (
        [f"CREATE TABLE {q(SCHEMA)}.{q(ODD)} () INHERITS ({RAW})", f"GRANT SELECT ON {q(SCHEMA)}.{q(ODD)} TO {RD}"],
        [f"DROP TABLE {q(SCHEMA)}.{q(ODD)}"],
    ),
    "reads-everything": ([f"GRANT pg_read_all_data TO {RD}"], []),
    "reads-statistics": (
        [f"GRANT pg_monitor TO {GR}", f"GRANT {GR} TO {RD}"],
        [f"REVOKE pg_monitor FROM {GR}", f"REVOKE {GR} FROM {RD}"],
    ),
    "reader-attributes": ([f"ALTER ROLE {RD} BYPASSRLS CREATEROLE REPLICATION"], []),
    "release-public": ([f"GRANT SELECT ON {A_RELEASE} TO PUBLIC", f"GRANT SELECT (ward) ON {A_VIEW} TO PUBLIC"], []),
    "release-write": ([f"GRANT UPDATE (ward) ON {A_VIEW} TO {GR}", f"GRANT TRUNCATE ON {A_RELEASE} TO {RD}"], []),
    "private-grant": (
        [
            "GRANT SELECT (recheck) ON sqlanon.release TO PUBLIC",
            f"GRANT ALL ON sqlanon.release TO {RD}",
            "GRANT DELETE ON sqlanon.audit_log TO stranger",
        ],
        [],
    ),
    "schema-create": (
        [
            "GRANT CREATE ON SCHEMA releases TO PUBLIC",
            f"GRANT CREATE ON SCHEMA {q(SCHEMA)} TO {RD}",
            "GRANT CREATE ON SCHEMA sqlanon TO stranger",
        ],
        [],
    ),
    "database-create": ([f"GRANT CREATE ON DATABASE {DB} TO PUBLIC"], []),
    "default-privileges": (
        [
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {PB} GRANT SELECT ON TABLES TO PUBLIC",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {PB} IN SCHEMA releases GRANT ALL ON TABLES TO {GR}",
        ],
        [],
    ),
    "raw-default-privileges": (
        [f"ALTER DEFAULT PRIVILEGES FOR ROLE {OW} IN SCHEMA {q(SCHEMA)} GRANT SELECT ON TABLES TO {RD}"],
        [],
    ),
    "function-public": ([f"CREATE FUNCTION {F} {FUNCTION.format('sql', text('SELECT a'))}"], [f"DROP FUNCTION {F}"]),
    "missing-barrier": ([f"ALTER VIEW {A_VIEW} SET (security_barrier = false)"], []),
    "security-invoker": ([f"ALTER VIEW {A_VIEW} SET (security_invoker = on)"], []),
    "two-views": (
        [
            f"CREATE VIEW releases.odd WITH (security_barrier) AS SELECT ward FROM {RAW}",
            f"GRANT SELECT ON releases.odd TO {RD}",
        ],
        ["DROP VIEW releases.odd"],
    ),
    "owner-superuser": (
        [f"ALTER VIEW {A_VIEW} OWNER TO postgres", f"ALTER TABLE {A_RELEASE} OWNER TO postgres"],
        [f"ALTER VIEW {A_VIEW} OWNER TO {PB}", f"ALTER TABLE {A_RELEASE} OWNER TO {PB}"],
    ),
    "owner-bypassrls": ([f"ALTER ROLE {PB} BYPASSRLS"], []),
    "owner-of-source": ([f"ALTER VIEW {A_VIEW} OWNER TO {OW}"], [f"ALTER VIEW {A_VIEW} OWNER TO {PB}"]),
    "reader-owns": ([f"GRANT {PB} TO {RD}"], []),
    "reader-of-owner": ([f"GRANT {OW} TO {RD}"], []),
    "release-trigger": (
        [
            f"CREATE FUNCTION {L}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            f"CREATE TRIGGER {q(ODD)} BEFORE INSERT ON {A_RELEASE} FOR EACH ROW EXECUTE FUNCTION {L}()",
        ],
        [f"DROP FUNCTION {L}()"],
    ),
    "release-rule": ([f"CREATE RULE {q(ODD)} AS ON INSERT TO {A_RELEASE} DO INSTEAD NOTHING"], []),
    "release-child": ([f"CREATE TABLE public.{q(ODD)} () INHERITS ({A_RELEASE})"], [f"DROP TABLE public.{q(ODD)}"]),
    "publication": (
        [f"CREATE PUBLICATION {q(ODD)} FOR TABLE {RAW}", "CREATE PUBLICATION every FOR ALL TABLES"],
        [f"DROP PUBLICATION {q(ODD)}"],
    ),
    "publication-schema": (
        [f"CREATE PUBLICATION {q(ODD)} FOR TABLES IN SCHEMA {q(SCHEMA)}"],
        [f"DROP PUBLICATION {q(ODD)}"],
    ),
    "foreign-secret": (
        [
            f"CREATE FOREIGN DATA WRAPPER {q(ODD)}",
            f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)} OPTIONS (password 'x')",
            f"CREATE FOREIGN TABLE public.{q(ODD)} (a int) SERVER {q(ODD)} OPTIONS (api_key 'x')",
        ],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "foreign-mapping": (
        [
            f"CREATE FOREIGN DATA WRAPPER {q(ODD)}",
            f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)}",
            f"GRANT USAGE ON FOREIGN SERVER {q(ODD)} TO {RD}",
            f"CREATE USER MAPPING FOR PUBLIC SERVER {q(ODD)}",
            f"CREATE USER MAPPING FOR {RD} SERVER {q(ODD)}",
        ],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "secret-setting": (
        [
            f"ALTER DATABASE {DB} SET sqlanon.key = 'x'",
            f"ALTER ROLE {GR} SET my.salt = 'x'",
            f"ALTER ROLE {GR} IN DATABASE {DB} SET my.password = 'x'",
        ],
        [],
    ),
    "secret-view": (
        [
            "CREATE VIEW releases.keyed WITH (security_barrier) AS"
            f" SELECT md5(ward || 'peppered-with-x') AS a FROM {RAW}"
        ],
        ["DROP VIEW releases.keyed"],
    ),
    "secret-function": (
        [
            f"CREATE FUNCTION {F} {FUNCTION.format('plpgsql', text(_BODY))}"
            for _BODY in ["DECLARE salt text := 'x1x2x3x4'; BEGIN RETURN 1; END"]
        ]
        + [f"REVOKE ALL ON FUNCTION {F} FROM PUBLIC"],
        [f"DROP FUNCTION {F}"],
    ),
    "release-gone": (
        [f"ALTER TABLE {A_RELEASE} RENAME TO elsewhere", "ALTER TABLE releases.elsewhere SET SCHEMA public"],
        [
            "UPDATE sqlanon.release SET status = 'published', withdrawn_at = NULL",
            "ALTER TABLE public.elsewhere SET SCHEMA releases",
            f"ALTER TABLE releases.elsewhere RENAME TO {q(NAME)}",
        ],
    ),
    "release-replaced": ([f"COMMENT ON TABLE {A_RELEASE} IS 'mine'"], []),
    "no-release": (
        [MADE, f"GRANT SELECT ON releases.odd TO {RD}", "GRANT SELECT (a) ON releases.odd TO PUBLIC"],
        ["DROP TABLE releases.odd"],
    ),
    "staged": ([f"CREATE TABLE releases.{q(ODD[:10] + ' (staged by sqlanon)')} AS SELECT 1 AS a"], []),
    "row-order": (
        [
            f"CREATE TEMP TABLE copy AS SELECT * FROM {A_RELEASE}; DELETE FROM {A_RELEASE};"
            f" INSERT INTO {A_RELEASE} SELECT * FROM copy ORDER BY {q(ILL)}"
        ],
        [],
    ),
}
NO_FIX = {"secret-view", "secret-function", "release-replaced"}


ALONE = {
    "raw-grant",
    "raw-grant through a group",
    "raw-grant through two groups",
    "raw-grant handed on",
    "owner-superuser",
    "owner-of-source",
    "reader-of-owner",
    "release-gone",
    "release-replaced",
    "row-order",
}
SECOND = {
    "reads-statistics",
    "release-rule",
    "release-trigger",
    "release-child",
    "owner-bypassrls",
    "missing-barrier",
    "security-invoker",
    "foreign-mapping",
    "publication-schema",
    "two-views",
    "secret-view",
    "secret-function",
    "reader-owns",
    "staged",
}
TOGETHER = [[name] for name in PLANTED if name in ALONE]
TOGETHER += [[n for n in PLANTED if n in SECOND], [n for n in PLANTED if n not in ALONE | SECOND]]


@pytest.mark.parametrize("planted", TOGETHER, ids=lambda names: f"{names[0]}{' and more' * (len(names) > 1)}")
def test_what_is_planted_is_found_and_what_is_printed_mends_it(hospital: str, planted: list[str]) -> None:
    wanted = {name.split()[0] for name in planted}
    comment = fetch(hospital, f"SELECT obj_description({text(A_RELEASE)}::regclass)")[0][0]
    for name in planted:
        execute(hospital, *PLANTED[name][0])
    try:
        found = audited(hospital)
        assert wanted - rules(found) == set()
        assert len(found.found) == len({(one.rule, one.object, one.told) for one in found.found})
        execute(hospital, found.script, found.script)  # and again: nothing that was mended fails
        again = audited(hospital)
        assert rules(again) == wanted & NO_FIX, again.findings
        assert {one.fix for one in again.findings} <= {None}
    finally:
        for name in planted:
            execute(hospital, *PLANTED[name][1])
        execute(hospital, f"COMMENT ON TABLE {A_RELEASE} IS {text(comment)}")


# What is to be known, or decided; the statements that are printed for some of them are tried too.
NOTED: dict[str, tuple[list[str], list[str]]] = {
    "reader-superuser": ([f"GRANT SELECT ON {A_RELEASE} TO postgres"], [f"REVOKE ALL ON {A_RELEASE} FROM postgres"]),
    "sees-all": ([f"GRANT pg_read_all_data TO {GR}"], [f"REVOKE pg_read_all_data FROM {GR}"]),
    "owner-writes": ([f"GRANT INSERT ON {A_RELEASE} TO {PB}"], []),
    "grant-option": ([f"GRANT SELECT ON {A_RELEASE} TO {RD} WITH GRANT OPTION"], []),
    "schema-public": (["GRANT USAGE ON SCHEMA releases TO PUBLIC"], []),
    "public-create": (["GRANT CREATE ON SCHEMA public TO PUBLIC"], []),
    "temp-right": ([f"GRANT TEMP ON DATABASE {DB} TO PUBLIC"], []),
    "definer-function": (
        [f"CREATE FUNCTION {F} {FUNCTION.format('sql', text('SELECT 1'))} SECURITY DEFINER"],
        [f"DROP FUNCTION {F}"],
    ),
    "leakproof-function": (
        [f"CREATE FUNCTION public.{q(ODD[::-1])} {FUNCTION.format('sql', text('SELECT 1'))} LEAKPROOF"],
        [f"DROP FUNCTION public.{q(ODD[::-1])}"],
    ),
    "materialized-view": (
        [f"CREATE MATERIALIZED VIEW releases.kept AS SELECT ward FROM {RAW}"],
        ["DROP MATERIALIZED VIEW releases.kept"],
    ),
    "table-owner-of-source": ([f"ALTER TABLE {A_RELEASE} OWNER TO {OW}"], [f"ALTER TABLE {A_RELEASE} OWNER TO {PB}"]),
    "owner-login": ([], [f"ALTER TABLE {A_RELEASE} OWNER TO {PB}", f"ALTER TABLE {A_VIEW} OWNER TO {PB}"]),
    "publisher-writes": ([f"GRANT INSERT, UPDATE ({q(ILL)}) ON {RAW} TO {PB}"], []),
    "extended-statistics": (
        [f"CREATE STATISTICS public.{q(ODD)} ON {q(BIRTH)}, {q(ILL)} FROM {RAW}"],
        [f"DROP STATISTICS public.{q(ODD)}"],
    ),
    "row-security": (
        [f"ALTER TABLE {RAW} ENABLE ROW LEVEL SECURITY"],
        [f"ALTER TABLE {RAW} DISABLE ROW LEVEL SECURITY"],
    ),
    "event-trigger": (
        [
            f"CREATE FUNCTION {L}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
            f"CREATE EVENT TRIGGER {q(ODD)} ON ddl_command_end EXECUTE FUNCTION {L}()",
        ],
        [f"DROP EVENT TRIGGER {q(ODD)}", f"DROP FUNCTION {L}()"],
    ),
    "release-publication": ([f"CREATE PUBLICATION {q(ODD)} FOR TABLE {A_RELEASE}"], [f"DROP PUBLICATION {q(ODD)}"]),
    "foreign-source": (
        [
            f"CREATE FOREIGN DATA WRAPPER {q(ODD)}",
            f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)}",
            f"CREATE FOREIGN TABLE {q(SCHEMA)}.{q(ODD)} (a int) SERVER {q(ODD)}",
        ],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "secret-other-function": (
        [f"CREATE FUNCTION public.{q(ODD + ILL)} {FUNCTION.format('sql', text(HEX))}"],
        [f"DROP FUNCTION public.{q(ODD + ILL)}"],
    ),
    "closed-no-release": ([MADE], ["DROP TABLE releases.odd"]),
    "same-database": ([], []),
    "explain-counts": ([], []),
}


def test_what_is_to_be_known_is_a_note_and_what_is_printed_for_it_mends_it(hospital: str) -> None:
    for statements, _ in NOTED.values():
        execute(hospital, *statements)
    try:
        found = audited(hospital, sources=[f"{SCHEMA}.{ODD}"])
        assert set(NOTED) <= {one.rule for one in found.found if one.level == "note"}
        for one in found.found:
            if one.level == "note" and one.fix:
                execute(hospital, one.fix, one.fix)
        mended = {one.rule for one in found.found if one.level == "note" and one.fix}
        assert mended & {one.rule for one in audited(hospital, sources=[f"{SCHEMA}.{ODD}"]).found} == set()
        assert mended == {"owner-writes", "grant-option", "schema-public", "public-create", "temp-right",
                          "definer-function",
                          "leakproof-function", "table-owner-of-source", "owner-login", "publisher-writes",
                          "release-publication"}  # fmt: skip
    finally:
        for _, afterwards in NOTED.values():
            execute(hospital, *afterwards)


def test_the_owner_of_a_source_may_be_granted_its_release(hospital: str) -> None:
    execute(hospital, f"GRANT SELECT ON {A_RELEASE} TO {OW}")
    found = audited(hospital)
    execute(hospital, f"REVOKE ALL ON {A_RELEASE} FROM {OW}")
    assert found.clean
    assert "owner-reads" in {one.rule for one in found.found}


def test_an_untrusted_language_for_everybody_is_found(hospital: str) -> None:
    if not fetch(hospital, "SELECT FROM pg_available_extensions WHERE name = 'plpython3u'"):
        pytest.skip("the server has no plpython3u")
    execute(
        hospital,
        "CREATE EXTENSION plpython3u",
        f"CREATE FUNCTION {L} {FUNCTION.format('plpython3u', text('return 1'))}",
    )
    try:
        found = audited(hospital)
        assert rules(found) == {"untrusted-function"}
        execute(hospital, found.script, found.script)
        assert audited(hospital).clean
    finally:
        execute(hospital, "DROP EXTENSION plpython3u CASCADE")


def test_a_key_in_the_settings_of_the_server_is_found(hospital: str) -> None:
    with psycopg.connect(hospital, autocommit=True) as connection:
        connection.execute("SET sqlanon.key = 'x'")
        connection.execute("ALTER SYSTEM SET sqlanon.key = 'very secret'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        until(lambda: rules(audited(hospital)) == {"secret-file-setting"})
        found = audited(hospital)
        assert "very secret" not in json.dumps(found.to_dict()) + found.script
        for _ in range(2):  # as psql runs it, line by line
            execute(hospital, *found.script.splitlines()[1:])
        until(lambda: audited(hospital).clean)
    finally:
        execute(hospital, "ALTER SYSTEM RESET sqlanon.key", "SELECT pg_reload_conf()")


def test_an_expired_release_is_found_and_ended(clinic: str) -> None:
    published(clinic, expires="1h")
    execute(clinic, "UPDATE sqlanon.release SET expires_at = released_at - interval '1 hour'")
    found = audited(clinic)
    assert rules(found) == {"release-expired"}
    execute(clinic, found.script, found.script)
    assert audited(clinic).clean
    assert fetch(clinic, "SELECT status, withdrawn_at IS NOT NULL FROM sqlanon.release") == [("withdrawn", True)]
    assert fetch(clinic, "SELECT to_regclass('releases.patients')") == [(None,)]


@pytest.mark.parametrize("cells", ["i / 10", "-i", "md5((i / 20)::text)"])
def test_the_order_of_rows_is_measured(hospital: str, cells: str) -> None:
    """Sorted cells, falling ones, and equal cells beside each other in no order of theirs; then in a random order."""
    made = f"SELECT md5(i::text) AS other, {cells} AS shown FROM generate_series(1, 300) AS i"
    for order, expected in (("i", {"row-order"}), ("random()", set())):
        execute(hospital, f"CREATE TABLE releases.odd AS SELECT * FROM ({made} ORDER BY {order}) AS t",
                f"ALTER TABLE releases.odd OWNER TO {PB}")  # fmt: skip
        try:
            assert rules(audited(hospital)) == expected
        finally:
            execute(hospital, "DROP TABLE releases.odd")


def test_the_order_of_the_source_is_found_in_a_release_that_kept_it(hospital: str) -> None:
    kept = f"CREATE TABLE releases.odd AS SELECT ward FROM {RAW}"  # as anybody would
    execute(hospital, kept, f"ALTER TABLE releases.odd OWNER TO {PB}")
    try:
        (found,) = audited(hospital).findings
    finally:
        execute(hospital, "DROP TABLE releases.odd")
    assert found.rule == "row-order"
    assert "follows that of" in found.told
    assert "w1" not in json.dumps(found.to_dict())


# -- the faces ---------------------------------------------------------------------------------------------------------


def test_the_command_tells_prints_and_stores(clinic: str, capsys: pytest.CaptureFixture[str]) -> None:
    published(clinic)
    assert main(["audit", clinic]) == 0
    assert "No finding." in capsys.readouterr().out
    execute(clinic, "GRANT SELECT ON raw.patients TO reader")
    assert main(["audit", "--db", clinic, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in told["findings"]] == ["raw-grant"]
    assert told["findings"][0]["fix"] == "REVOKE ALL ON TABLE raw.patients FROM reader CASCADE;"
    with sqlanon.connect(clinic) as engine:
        assert told == sqlanon.audit(engine).to_dict()
        with pytest.raises(ReleaseError, match="sqlanon install"):
            store(engine, audit(engine))
    assert main(["audit", clinic]) == 1
    assert "1 findings" in capsys.readouterr().out
    execute(clinic, "CREATE TABLE sqlanon.finding (at timestamp, rule text, object text, told text, fix text)")
    assert [main(["audit", clinic, "--fix", "--store"]) for _ in "12"] == [1, 1]
    assert fetch(clinic, "SELECT rule, object FROM sqlanon.finding WHERE fix LIKE '%raw%'") == [
        ("raw-grant", "raw.patients for reader")
    ]
    capsys.readouterr()
    assert main(["audit", clinic, "--fix"]) == 1
    execute(clinic, capsys.readouterr().out)
    assert main(["audit", clinic, "--fix"]) == 0
    assert capsys.readouterr().out == ""


def test_a_source_that_is_not_there_and_no_database_are_refused(clinic: str) -> None:
    with pytest.raises(SpecError, match="no such table"):
        audited(clinic, sources=["raw.patient"])
    assert main(["audit"]) == 2
    assert main(["audit", clinic, "--db", clinic]) == 2


def test_a_raw_table_that_no_register_names_can_be_named(clinic: str) -> None:
    published(clinic)
    execute(clinic, "CREATE TABLE raw.other (a int)", "GRANT SELECT ON raw.other TO reader")
    assert audited(clinic).clean
    for name in ("raw.other", "other"):
        assert rules(audited(clinic, sources=[name])) == {"raw-grant"}


def test_a_duckdb_file_that_everybody_may_read_is_found(tmp_path: Path) -> None:
    file = tmp_path / "cli\nnic'; --.duckdb"
    spec = {**SPEC, "source": "raw", "publish": {"name": "r"}}
    with sqlanon.connect(f"duckdb:///{file}") as engine:
        engine.run("make", f"CREATE TABLE raw AS SELECT i AS id, 30 + i % 3 AS {q(BIRTH)}, 'x' AS {q(ILL)}, 'w' AS ward"
                   " FROM range(60) AS r(i)")  # fmt: skip
        release(load(spec), engine)
        release(load({**spec, "publish": {"name": "v", "as": "view"}}), engine)
    for mode, found, notes in ((0o644, {"open-file"}, set()), (0o640, set(), {"open-file"}), (0o600, set(), set())):
        file.chmod(mode)
        with sqlanon.connect(f"duckdb:///{file}", read_only=True) as engine:
            told = audit(engine)
        assert rules(told) == found
        assert {one.rule for one in told.found if one.level == "note"} == notes | {"view-in-file", "raw-beside-release"}
    file.chmod(0o600)
    with sqlanon.connect(f"duckdb:///{file}") as engine:
        engine.run("drop", "DROP TABLE r")
        engine.run("end", "UPDATE sqlanon.release SET expires_at = released_at - INTERVAL 1 HOUR")
        told = audit(engine)
        ended = [
            one for one in told.findings if one.rule != "open-file"
        ]  # the log beside the file is as open as DuckDB makes it
        assert {one.rule for one in ended} == {"release-gone", "release-expired"}
        for one in ended * 2:
            engine.run("mend", one.fix or "")
        assert rules(audit(engine)) <= {"open-file"}


def test_every_rule_is_planted() -> None:
    measured = {"release-gone", "release-replaced", "no-release", "staged", "row-order"}
    elsewhere = {"untrusted-function", "secret-file-setting"}
    named = {level: {rule.name for rule in RULES if rule.level == level} for level in ("finding", "note")}
    assert {name.split()[0] for name in PLANTED} == (named["finding"] | measured) - elsewhere
    assert set(NOTED) | {"owner-reads"} == named["note"] | {"closed-no-release"}
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.says.endswith(".") and rule.why for rule in RULES)
