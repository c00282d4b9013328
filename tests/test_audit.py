"""The audit on a server with real roles: a clean server has no finding; what is planted is found, and what is printed
mends it, twice over, whatever things are called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, url_of
from test_postgres_release import clinic as clinic
from test_postgres_release import published

import sqlanon
from sqlanon import register
from sqlanon.auditing import RULES, Audited, audit, store
from sqlanon.auditing.rules import Finding
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
    "columns": {"id": "identifier", BIRTH: {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}},
                ILL: "sensitive", "ward": "insensitive"},
    "privacy": [{"model": "k-anonymity", "k": 3}],
    "recoding": {"suppression": 0.2, "levels": {BIRTH: 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def hospital(server: NoopExecutor) -> Iterator[str]:
    """A database where the publisher has released a table and a view to the reader: its URL, for the superuser."""
    admin = url_of(server, "postgres")
    roles = (READER, GROUP, PUBLISHER, OWNER)
    execute(admin, f"CREATE DATABASE {q(DATABASE)} TEMPLATE template0", *(f"CREATE ROLE {q(role)} LOGIN" for role in roles))
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
FUNCTION = "(a int) RETURNS int LANGUAGE {} AS {}"
MADE = "CREATE TABLE releases.odd AS SELECT 1 AS a"

# What is planted for each rule, and what is to be done afterwards beside what the audit prints.
PLANTED: dict[str, tuple[list[str], list[str]]] = {
    "raw-grant": ([f"GRANT SELECT ON {RAW} TO {RD}"], []),
    "raw-grant of a column": ([f"GRANT SELECT ({q(ILL)}) ON {RAW} TO {RD}"], []),
    "raw-grant through a group": ([f"GRANT SELECT ON {RAW} TO {GR}", f"GRANT {GR} TO {RD}"], [f"REVOKE ALL ON {RAW} FROM {GR}"]),
    "raw-grant through two groups": (
        ["CREATE ROLE ward NOLOGIN", f"GRANT SELECT ON {RAW} TO ward", f"GRANT ward TO {GR}", f"GRANT {GR} TO {RD}"],
        [f"REVOKE ALL ON {RAW} FROM ward", "DROP ROLE ward", f"REVOKE {GR} FROM {RD}"],
    ),
    "raw-grant handed on": (
        [f"GRANT USAGE ON SCHEMA {q(SCHEMA)} TO {GR}", f"GRANT SELECT ON {RAW} TO {GR} WITH GRANT OPTION", f"SET ROLE {GR}; GRANT SELECT ON {RAW} TO {RD}"],
        [f"REVOKE ALL ON {RAW} FROM {GR} CASCADE", f"REVOKE ALL ON SCHEMA {q(SCHEMA)} FROM {GR}"],
    ),
    "raw-public": ([f"GRANT SELECT ON {RAW} TO PUBLIC"], []),
    "partition-grant": (
        [f"CREATE TABLE {q(SCHEMA)}.{q(ODD)} () INHERITS ({RAW})", f"GRANT SELECT ON {q(SCHEMA)}.{q(ODD)} TO {RD}"],
        [f"DROP TABLE {q(SCHEMA)}.{q(ODD)}"],
    ),
    "reads-everything": ([f"GRANT pg_read_all_data TO {RD}"], []),
    "reads-statistics": ([f"GRANT pg_monitor TO {GR}", f"GRANT {GR} TO {RD}"], [f"REVOKE pg_monitor FROM {GR}", f"REVOKE {GR} FROM {RD}"]),
    "reader-attributes": ([f"ALTER ROLE {RD} BYPASSRLS CREATEROLE REPLICATION"], []),
    "release-public": ([f"GRANT SELECT ON {A_RELEASE} TO PUBLIC", f"GRANT SELECT (ward) ON {A_VIEW} TO PUBLIC"], []),
    "release-write": ([f"GRANT UPDATE (ward) ON {A_VIEW} TO {GR}", f"GRANT TRUNCATE ON {A_RELEASE} TO {RD}"], []),
    "private-grant": (["GRANT SELECT (recheck) ON sqlanon.release TO PUBLIC", f"GRANT ALL ON sqlanon.release TO {RD}"], []),
    "schema-create": (["GRANT CREATE ON SCHEMA releases TO PUBLIC", f"GRANT CREATE ON SCHEMA {q(SCHEMA)} TO {RD}"], []),
    "database-create": ([f"GRANT CREATE ON DATABASE {DB} TO PUBLIC"], []),
    "default-privileges": (
        [f"ALTER DEFAULT PRIVILEGES FOR ROLE {PB} GRANT SELECT ON TABLES TO PUBLIC",
         f"ALTER DEFAULT PRIVILEGES FOR ROLE {PB} IN SCHEMA releases GRANT ALL ON TABLES TO {GR}"], []),
    "raw-default-privileges": (
        [f"ALTER DEFAULT PRIVILEGES FOR ROLE {OW} IN SCHEMA {q(SCHEMA)} GRANT SELECT ON TABLES TO {RD}"], []),
    "function-public": ([f"CREATE FUNCTION {F} {FUNCTION.format('sql', text('SELECT a'))}"], [f"DROP FUNCTION {F}"]),
    "missing-barrier": ([f"ALTER VIEW {A_VIEW} SET (security_barrier = false)"], []),
    "security-invoker": ([f"ALTER VIEW {A_VIEW} SET (security_invoker = on)"], []),
    "two-views": (
        [f"CREATE VIEW releases.odd WITH (security_barrier) AS SELECT ward FROM {RAW}", f"GRANT SELECT ON releases.odd TO {RD}"],
        ["DROP VIEW releases.odd"],
    ),
    "owner-superuser": ([f"ALTER VIEW {A_VIEW} OWNER TO postgres", f"ALTER TABLE {A_RELEASE} OWNER TO postgres"],
                        [f"ALTER VIEW {A_VIEW} OWNER TO {PB}", f"ALTER TABLE {A_RELEASE} OWNER TO {PB}"]),
    "owner-bypassrls": ([f"ALTER ROLE {PB} BYPASSRLS"], []),
    "owner-of-source": ([f"ALTER VIEW {A_VIEW} OWNER TO {OW}"], [f"ALTER VIEW {A_VIEW} OWNER TO {PB}"]),
    "reader-owns": ([f"GRANT {PB} TO {RD}"], []),
    "reader-of-owner": ([f"GRANT {OW} TO {RD}"], []),
    "release-trigger": (
        [f"CREATE FUNCTION {L}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
         f"CREATE TRIGGER {q(ODD)} BEFORE INSERT ON {A_RELEASE} FOR EACH ROW EXECUTE FUNCTION {L}()"],
        [f"DROP FUNCTION {L}()"],
    ),
    "release-rule": ([f"CREATE RULE {q(ODD)} AS ON INSERT TO {A_RELEASE} DO INSTEAD NOTHING"], []),
    "release-child": ([f"CREATE TABLE public.{q(ODD)} () INHERITS ({A_RELEASE})"], [f"DROP TABLE public.{q(ODD)}"]),
    "publication": ([f"CREATE PUBLICATION {q(ODD)} FOR TABLE {RAW}", "CREATE PUBLICATION every FOR ALL TABLES"],
                    [f"DROP PUBLICATION {q(ODD)}"]),
    "publication-schema": ([f"CREATE PUBLICATION {q(ODD)} FOR TABLES IN SCHEMA {q(SCHEMA)}"], [f"DROP PUBLICATION {q(ODD)}"]),
    "foreign-secret": (
        [f"CREATE FOREIGN DATA WRAPPER {q(ODD)}", f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)} OPTIONS (password 'x')",
         f"CREATE FOREIGN TABLE public.{q(ODD)} (a int) SERVER {q(ODD)} OPTIONS (api_key 'x')"],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "foreign-mapping": (
        [f"CREATE FOREIGN DATA WRAPPER {q(ODD)}", f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)}",
         f"GRANT USAGE ON FOREIGN SERVER {q(ODD)} TO {RD}", f"CREATE USER MAPPING FOR PUBLIC SERVER {q(ODD)}",
         f"CREATE USER MAPPING FOR {RD} SERVER {q(ODD)}"],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "secret-setting": (
        [f"ALTER DATABASE {DB} SET sqlanon.key = 'x'", f"ALTER ROLE {GR} SET my.salt = 'x'",
         f"ALTER ROLE {GR} IN DATABASE {DB} SET my.password = 'x'"], []),
    "secret-view": (
        [f"CREATE VIEW releases.odd WITH (security_barrier) AS SELECT md5(ward || 'peppered-with-x') AS a FROM {RAW}"],
        ["DROP VIEW releases.odd"],
    ),
    "secret-function": (
        [f"CREATE FUNCTION {F} {FUNCTION.format('plpgsql', text(_BODY))}" for _BODY in
         ["DECLARE salt text := 'x1x2x3x4'; BEGIN RETURN 1; END"]] + [f"REVOKE ALL ON FUNCTION {F} FROM PUBLIC"],
        [f"DROP FUNCTION {F}"],
    ),
    "release-gone": ([f"ALTER TABLE {A_RELEASE} RENAME TO elsewhere", "ALTER TABLE releases.elsewhere SET SCHEMA public"],
                     ["UPDATE sqlanon.release SET status = 'published', withdrawn_at = NULL",
                      "ALTER TABLE public.elsewhere SET SCHEMA releases", f"ALTER TABLE releases.elsewhere RENAME TO {q(NAME)}"]),
    "release-replaced": ([f"COMMENT ON TABLE {A_RELEASE} IS 'mine'"], []),
    "no-release": ([MADE, f"GRANT SELECT ON releases.odd TO {RD}", "GRANT SELECT (a) ON releases.odd TO PUBLIC"],
                   ["DROP TABLE releases.odd"]),
    "staged": ([f"CREATE TABLE releases.{q(ODD[:10] + ' (staged by sqlanon)')} AS SELECT 1 AS a"], []),
    "row-order": (
        [f"CREATE TEMP TABLE copy AS SELECT * FROM {A_RELEASE}; DELETE FROM {A_RELEASE};"
         f" INSERT INTO {A_RELEASE} SELECT * FROM copy ORDER BY {q(ILL)}"], []),
}  # fmt: skip
NO_FIX = {"secret-view", "secret-function", "release-replaced"}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found_and_what_is_printed_mends_it(hospital: str, planted: str) -> None:
    rule = planted.split()[0]
    statements, afterwards = PLANTED[planted]
    comment = fetch(hospital, f"SELECT obj_description('{A_RELEASE.replace(chr(39), chr(39) * 2)}'::regclass)")[0][0]
    assert audited(hospital).findings == ()
    execute(hospital, *statements)
    try:
        found = audited(hospital)
        assert rule in rules(found), found.found
        (first, *_) = mine = [one for one in found.findings if one.rule == rule]
        assert first.told and first.why and len(mine) == len({(one.object, one.told) for one in mine})
        if rule in NO_FIX:
            assert "nothing that can be run mends this" in found.script
            return
        execute(hospital, found.script, found.script)  # and again: nothing that was mended fails
        again = audited(hospital)
        assert again.findings == (), again.findings
    finally:
        execute(hospital, *afterwards, f"COMMENT ON TABLE {A_RELEASE} IS {text(comment)}")


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
        [f"CREATE FUNCTION {L} {FUNCTION.format('sql', text('SELECT 1'))} SECURITY DEFINER"], [f"DROP FUNCTION {L}"]),
    "leakproof-function": (
        [f"CREATE FUNCTION {L} {FUNCTION.format('sql', text('SELECT 1'))} LEAKPROOF"], [f"DROP FUNCTION {L}"]),
    "materialized-view": ([f"CREATE MATERIALIZED VIEW releases.odd AS SELECT ward FROM {RAW}"],
                          ["DROP MATERIALIZED VIEW releases.odd"]),
    "table-owner-of-source": ([f"ALTER TABLE {A_RELEASE} OWNER TO {OW}"], [f"ALTER TABLE {A_RELEASE} OWNER TO {PB}"]),
    "owner-login": ([], [f"ALTER TABLE {A_RELEASE} OWNER TO {PB}", f"ALTER TABLE {A_VIEW} OWNER TO {PB}"]),
    "owner-reads": ([f"GRANT SELECT ON {A_RELEASE} TO {OW}"], [f"REVOKE ALL ON {A_RELEASE} FROM {OW}"]),
    "publisher-writes": ([f"GRANT INSERT, UPDATE ({q(ILL)}) ON {RAW} TO {PB}"], []),
    "extended-statistics": ([f"CREATE STATISTICS public.{q(ODD)} ON {q(BIRTH)}, {q(ILL)} FROM {RAW}"],
                            [f"DROP STATISTICS public.{q(ODD)}"]),
    "row-security": ([f"ALTER TABLE {RAW} ENABLE ROW LEVEL SECURITY"], [f"ALTER TABLE {RAW} DISABLE ROW LEVEL SECURITY"]),
    "event-trigger": (
        [f"CREATE FUNCTION {L}() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
         f"CREATE EVENT TRIGGER {q(ODD)} ON ddl_command_end EXECUTE FUNCTION {L}()"],
        [f"DROP EVENT TRIGGER {q(ODD)}", f"DROP FUNCTION {L}()"],
    ),
    "release-publication": ([f"CREATE PUBLICATION {q(ODD)} FOR TABLE {A_RELEASE}"], [f"DROP PUBLICATION {q(ODD)}"]),
    "foreign-source": (
        [f"CREATE FOREIGN DATA WRAPPER {q(ODD)}", f"CREATE SERVER {q(ODD)} FOREIGN DATA WRAPPER {q(ODD)}",
         f"CREATE FOREIGN TABLE public.{q(ODD)} (a int) SERVER {q(ODD)}"],
        [f"DROP FOREIGN DATA WRAPPER {q(ODD)} CASCADE"],
    ),
    "secret-other-function": ([f"CREATE FUNCTION {L} {FUNCTION.format('sql', text(chr(39).join(['SELECT length(', '0' * 32, ')'])))}"],
                              [f"DROP FUNCTION {L}"]),
    "closed-no-release": ([MADE], ["DROP TABLE releases.odd"]),
    "same-database": ([], []),
    "explain-counts": ([], []),
}  # fmt: skip


@pytest.mark.parametrize("rule", NOTED)
def test_what_is_to_be_known_is_a_note_and_what_is_printed_for_it_mends_it(hospital: str, rule: str) -> None:
    statements, afterwards = NOTED[rule]
    execute(hospital, *statements)
    try:
        more = {"sources": [f"public.{ODD}"]} if rule == "foreign-source" else {}
        found = audited(hospital, **more)
        mine = [one for one in found.found if one.rule == rule]
        assert mine and {one.level for one in mine} == {"note"}
        if fixes := [one.fix for one in mine if one.fix]:
            execute(hospital, *fixes, *fixes)
            assert rule not in {one.rule for one in audited(hospital).found}
    finally:
        execute(hospital, *afterwards)


def test_every_rule_is_planted() -> None:
    measured = {"release-gone", "release-replaced", "no-release", "staged", "row-order"}
    elsewhere = {"untrusted-function", "secret-file-setting"}
    named = {level: {rule.name for rule in RULES if rule.level == level} for level in ("finding", "note")}
    assert {name.split()[0] for name in PLANTED} == (named["finding"] | measured) - elsewhere
    assert set(NOTED) == named["note"] | {"closed-no-release"}
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.says.endswith(".") and rule.why for rule in RULES)
