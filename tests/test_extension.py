"""The extension and `sqlanon install`: the same objects, for the roles they are for, through dumps and upgrades."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hospital import GROUPS, SPEC, SQL, connected, extended, installed, psql, published, publishing
from psycopg import errors
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, url_of

import sqlanon
from sqlanon import installing, life
from sqlanon.cli import main
from sqlanon.errors import EngineError, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load

# -- the same objects --------------------------------------------------------------------------------------------------

CATALOG = {
    "columns": "SELECT c.relname, c.relkind, c.reloptions, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod),"
    " a.attnotnull, pg_get_expr(d.adbin, d.adrelid) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE n.nspname = 'sqlanon'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(c.oid) FROM pg_constraint AS c"
    " WHERE connamespace = 'sqlanon'::regnamespace",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'sqlanon'",
    "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'sqlanon'::regnamespace",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "comments": "SELECT i.type, i.identity, d.description FROM pg_description AS d, LATERAL"
    " pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i WHERE i.schema = 'sqlanon' OR i.identity LIKE"
    " 'sqlanon.%'",
    "rights": "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'sqlanon'::regnamespace UNION ALL"
    " SELECT oid::regprocedure::text, proacl::text FROM pg_proc WHERE pronamespace = 'sqlanon'::regnamespace UNION ALL"
    " SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname IN ('sqlanon', 'releases')",
    "settings": "SELECT * FROM sqlanon.setting",
}  # fmt: skip


def objects(url: str, *but: str) -> dict[str, list[str]]:
    """Everything in the schema, as the catalog has it."""
    with psycopg.connect(url, options="-c search_path=pg_catalog") as connection:
        return {
            name: sorted(map(str, connection.execute(sql.encode()).fetchall()))
            for name, sql in CATALOG.items() if name not in but
        }  # fmt: skip


@pytest.fixture(scope="module")
def wanted(server: NoopExecutor) -> dict[str, list[str]]:
    """What a fresh CREATE EXTENSION makes."""
    from server import _database

    with _database(server, "wanted"):
        url = url_of(server, "wanted")
        extended(url)
        psql(url, "sqlanon_roles.sql", "sqlanon_rights.sql")
        found = objects(url)
        execute(url, *(f"DROP OWNED BY {role} CASCADE" for role in GROUPS))
    execute(url_of(server, "postgres"), *(f"DROP ROLE {role}" for role in GROUPS))
    return found


def test_the_catalog_that_is_compared_is_not_empty(wanted: dict[str, list[str]]) -> None:
    assert all(wanted.values())
    assert len(wanted["functions"]) >= 20


def test_an_upgrade_of_the_extension_makes_what_a_fresh_one_has(hospital: str, wanted: dict[str, list[str]]) -> None:
    extended(hospital, "VERSION '0.1.0'")
    assert fetch(hospital, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'sqlanon'::regnamespace") == [(0,)]
    execute(hospital, "INSERT INTO sqlanon.release VALUES ('r', 1, 'published', 'table', 'releases.r', 'f',"
                      " '{}', 9, 10, 2,"
            " '[]', 'records', '[]', '{}', 'd', '{}', '2026-01-01', 'me', NULL, NULL, '{}')")  # fmt: skip
    execute(hospital, "ALTER EXTENSION sqlanon UPDATE")
    psql(hospital, "sqlanon_roles.sql", "sqlanon_rights.sql")
    assert objects(hospital) == wanted
    assert fetch(hospital, "SELECT name, rows_out FROM sqlanon.releases") == [("r", 9)]


def test_install_makes_what_the_extension_has_and_again_changes_nothing(
    hospital: str, wanted: dict[str, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", hospital, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == {"url": told["url"], "version": "0.2.0", "before": None, "changed": True, "roles": list(GROUPS)}
    assert objects(hospital) == wanted
    for words, changed in ((["--no-roles"], False), ([], False)):
        assert main(["install", hospital, "--json", *words]) == 0
        assert json.loads(capfd.readouterr().out)["changed"] is changed
        assert objects(hospital) == wanted
    assert main(["install", hospital]) == 0
    assert "was there already, and nothing changed" in capfd.readouterr().out


def test_the_script_that_is_printed_makes_the_same_in_psql(
    hospital: str, wanted: dict[str, list[str]], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["install", hospital, "--sql"]) == 0
    text = capfd.readouterr().out
    assert fetch(hospital, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sqlanon'") == [(0,)]
    (tmp_path / "install.sql").write_text(text)
    psql(hospital, str(tmp_path / "install.sql"))
    assert objects(hospital) == wanted
    assert main(["install", hospital, "--sql", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sql"].count("CREATE FUNCTION") == 0


def test_a_register_that_a_publisher_made_is_taken_over_and_he_publishes_on(
    hospital: str, wanted: dict[str, list[str]]
) -> None:
    publishing(hospital, "nothing")
    assert published(hospital).entry.version == 1
    done = installed(hospital)
    assert (done.before, done.version) == ("0.1.0", "0.2.0")
    found = objects(hospital, "rights")
    assert found == {name: rows for name, rows in wanted.items() if name != "rights"}
    assert published(hospital).entry.version == 2
    assert fetch(hospital, "SELECT version, status FROM sqlanon.releases ORDER BY 1") == [
        (1, "superseded"),
        (2, "published"),
    ]
    assert installed(hospital).before == "0.2.0"


def test_who_published_may_have_any_name(hospital: str) -> None:
    role = 'a"; DROP ROLE stranger; --'
    quoted = '"{}"'.format(role.replace('"', '""'))
    execute(hospital, f"CREATE ROLE {quoted} LOGIN", f"GRANT CREATE, TEMP ON DATABASE fresh TO {quoted}",
            f"GRANT USAGE ON SCHEMA raw TO {quoted}", f"GRANT SELECT ON raw.patients TO {quoted}")  # fmt: skip
    try:
        for version in (1, 2):
            url = hospital.replace("//postgres@", f"//{quote(role)}@")
            with sqlanon.connect(url) as engine:
                assert release(load(SPEC), engine).entry.version == version
            installed(hospital)
        assert fetch(hospital, "SELECT DISTINCT released_by FROM sqlanon.releases") == [(role,)]
    finally:
        execute(hospital, f"DROP OWNED BY {quoted} CASCADE", f"DROP ROLE {quoted}")


def test_the_register_of_a_client_is_that_of_the_extension(hospital: str, wanted: dict[str, list[str]]) -> None:
    """Column by column: what an older client does not know has a default, so that it writes on."""
    extended(hospital)
    execute(hospital, "CREATE SCHEMA kept")
    script = (SQL / "register.sql").read_text()
    for statement in script.replace("EXISTS sqlanon", "EXISTS kept").split(";"):
        if statement.strip():
            execute(hospital, statement)
    columns = (
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef FROM pg_attribute AS a"
        " WHERE a.attrelid = '{}'::regclass AND a.attnum > 0 ORDER BY a.attnum"
    )
    listed = "SELECT relname FROM pg_class WHERE relnamespace = 'kept'::regnamespace AND relkind = 'r'"
    tables = [name for (name,) in fetch(hospital, listed)]
    assert "release" in tables
    for name in tables:
        client, server = (fetch(hospital, columns.format(f"{schema}.{name}")) for schema in ("kept", "sqlanon"))
        assert [row[:3] for row in server[: len(client)]] == [row[:3] for row in client]
        assert all(has_default for *_, has_default in server[len(client) :])


REGISTER = "CREATE TABLE sqlanon.release (name text)"
HOSTILE = {
    "CREATE TABLE sqlanon.other (a int)": "relation other",
    "CREATE FUNCTION sqlanon.k_anonymity(regclass, name[]) RETURNS bigint RETURN 9": "function k_anonymity",
    f"{REGISTER}|CREATE TRIGGER t BEFORE INSERT ON sqlanon.release EXECUTE FUNCTION public.t()": "trigger t",
    f"{REGISTER}|CREATE RULE r AS ON UPDATE TO sqlanon.release DO INSTEAD NOTHING": "rule r",
    "CREATE TABLE sqlanon.release (name text DEFAULT public.f())": "default",
    "CREATE TABLE sqlanon.release (name text, more text GENERATED ALWAYS AS (public.f()) STORED)": "default",
    "CREATE VIEW sqlanon.release AS SELECT 1 AS name": "relation release",
    f"{REGISTER}|CREATE POLICY p ON sqlanon.release": "policy p",
    f"{REGISTER}|CREATE INDEX ON sqlanon.release (public.f())": "index",
    f"{REGISTER}|CREATE TABLE public.child () INHERITS (sqlanon.release)": "inheritance",
    "CREATE TYPE sqlanon.name AS ENUM ('x')": "type name",
    "CREATE TABLE sqlanon.release (name text CHECK (name <> ''))": "constraint release_name_check",
    "CREATE TABLE sqlanon.audit_log (at timestamp)": "relation audit_log",
}


def test_a_schema_that_holds_what_is_not_sqlanons_is_refused(hospital: str) -> None:
    stranger = as_role(hospital, "stranger")
    execute(hospital, "GRANT CREATE ON DATABASE fresh TO stranger", "GRANT CREATE ON SCHEMA public TO stranger")
    execute(stranger, "CREATE FUNCTION public.f() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'x' $$",
            "CREATE FUNCTION public.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'")  # fmt: skip
    for hostile, told in HOSTILE.items():
        execute(stranger, "CREATE SCHEMA sqlanon", *hostile.split("|"))
        before = fetch(hospital, "SELECT count(*) FROM pg_class")
        with pytest.raises(ReleaseError, match=re.escape(f"what sqlanon did not make ({told})")) as caught:
            installed(hospital)
        assert caught.value.exit_status == 2
        assert fetch(hospital, "SELECT count(*) FROM pg_class") == before
        execute(stranger, "DROP SCHEMA sqlanon CASCADE")


def test_what_a_superuser_put_beside_it_stays_his(hospital: str) -> None:
    execute(hospital, "CREATE SCHEMA sqlanon", "CREATE FUNCTION sqlanon.sqlanon_mean(float8[]) RETURNS float8 RETURN 1",
            "CREATE PROCEDURE sqlanon.release(text) LANGUAGE sql AS 'SELECT 1'",
            "REVOKE ALL ON ALL ROUTINES IN SCHEMA sqlanon FROM PUBLIC")  # fmt: skip
    assert installed(hospital).before is None
    mine = "SELECT has_function_privilege('sqlanon_publisher', 'sqlanon.release(text)', 'EXECUTE')"
    assert fetch(hospital, mine) == [(False,)]
    assert fetch(hospital, "SELECT sqlanon.sqlanon_mean('{2}')") == [(1.0,)]


def test_install_is_refused_where_the_extension_is_and_where_a_newer_one_is(
    hospital: str, capfd: pytest.CaptureFixture[str]
) -> None:
    extended(hospital)
    assert main(["install", hospital, "--json"]) == 2
    assert "ALTER EXTENSION sqlanon UPDATE" in json.loads(capfd.readouterr().out)["message"]
    execute(hospital, "DROP EXTENSION sqlanon")
    installed(hospital)
    execute(hospital, "UPDATE sqlanon.setting SET value = '99.0'")
    with pytest.raises(ReleaseError, match=r"version 99\.0 is installed there"):
        installed(hospital)
    with sqlanon.connect() as engine, pytest.raises(SpecError, match="only a server with roles"):
        installing.install(engine)


def test_an_installation_that_fails_leaves_nothing(hospital: str) -> None:
    execute(hospital, "CREATE ROLE sqlanon_owner LOGIN")  # who could log in as it would own every release
    with pytest.raises(EngineError, match="42710"):
        installed(hospital)
    assert fetch(hospital, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('sqlanon', 'releases')") == [(0,)]
    execute(hospital, "ALTER ROLE sqlanon_owner NOLOGIN")
    execute(hospital, "CREATE VIEW public.audit_log AS SELECT 1 AS a")  # of the same name elsewhere
    assert installed(hospital).version == "0.2.0"


def test_an_ordinary_role_installs_without_roles_and_nobody_else_gets_anything(hospital: str) -> None:
    execute(hospital, "GRANT CREATE, TEMP ON DATABASE fresh TO publisher")
    with connected(hospital, "publisher") as engine:
        with pytest.raises(SpecError, match="--no-roles"):
            installing.install(engine)
        assert installing.install(engine, roles=False).roles == ()
    assert published(hospital).entry.version == 1
    with connected(hospital, "publisher") as engine:
        assert life.verify(engine, "patients").holds
    assert fetch(as_role(hospital, "publisher"), "SELECT bool_and(holds) FROM sqlanon.verify('patients')") == [(True,)]
    installed(hospital)  # by another: what is there stays its first installer's
    assert fetch(hospital, "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace ="
                 " 'sqlanon'::regnamespace") == [("publisher",)]  # fmt: skip
    execute(hospital, "GRANT sqlanon_reader TO reader")
    assert len(fetch(as_role(hospital, "reader"), "SELECT * FROM sqlanon.releases")) == 1


def test_a_role_that_may_make_roles_installs_all_of_it_and_is_no_superuser(hospital: str) -> None:
    execute(hospital, "CREATE ROLE dba LOGIN CREATEROLE", "GRANT CREATE ON DATABASE fresh TO dba")
    try:
        with connected(hospital, "dba") as engine:
            assert installing.install(engine).roles == GROUPS
        execute(as_role(hospital, "dba"), "GRANT sqlanon_publisher TO publisher")
        assert published(hospital).entry.version == 1
        assert len(fetch(as_role(hospital, "stranger"), "SELECT * FROM releases.patients")) == 60
        with pytest.raises(errors.InsufficientPrivilege):
            fetch(as_role(hospital, "dba"), "SELECT * FROM raw.patients")
    finally:
        execute(hospital, "DROP SCHEMA sqlanon, releases CASCADE", "DROP OWNED BY dba", "DROP ROLE dba")


def test_a_schema_of_releases_that_a_stranger_owns_is_refused(hospital: str) -> None:
    execute(hospital, "CREATE SCHEMA releases AUTHORIZATION stranger")
    with pytest.raises(EngineError, match="42501"):
        installed(hospital)
    assert fetch(hospital, "SELECT count(*) FROM pg_namespace WHERE nspname = 'sqlanon'") == [(0,)]


def test_a_schema_of_somebody_elses_is_not_built_upon(hospital: str) -> None:
    execute(hospital, "CREATE SCHEMA sqlanon AUTHORIZATION stranger")
    for do in (lambda: extended(hospital), lambda: installed(hospital)):
        with pytest.raises((errors.InsufficientPrivilege, EngineError), match=r"belongs to somebody else|42501"):
            do()
    assert fetch(hospital, "SELECT count(*) FROM pg_class WHERE relnamespace = 'sqlanon'::regnamespace") == [(0,)]


# -- every function ----------------------------------------------------------------------------------------------------


def test_every_function_says_what_it_does_and_does_no_more(hospital: str) -> None:
    extended(hospital)
    found = fetch(
        hospital, "SELECT p.proname, l.lanname, l.lanpltrusted OR l.lanname = 'sql', p.provolatile, p.proisstrict,"
        " p.proparallel, p.prosecdef, p.proconfig, p.proleakproof, p.prorettype = 'trigger'::regtype, p.oid,"
        " (SELECT count(*) FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) WHERE grantee <>"
        " p.proowner),"
        " obj_description(p.oid, 'pg_proc') FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'sqlanon'::regnamespace",
    )  # fmt: skip
    immutable = {"generalize_int4range", "generalize_int8range", "generalize_numrange", "generalize_daterange",
                 "generalize_tsrange", "first_of", "mask", "relation_of", "listed"}  # fmt: skip
    volatile = {"withdraw", "refresh", "append_only", "written_by"}
    reads_catalog_alone = {"relation_named", "published", "released_together"}
    for (
        name,
        language,
        trusted,
        volatility,
        strict,
        parallel,
        definer,
        config,
        leakproof,
        trigger,
        _,
        others,
        told,
    ) in found:
        assert trusted and language in ("sql", "plpgsql"), name
        assert volatility == (b"i" if name in immutable else b"v" if name in volatile else b"s").decode(), name
        assert strict or trigger or name == "class_sizes", name  # whose entity may be missing
        assert parallel == ("s" if name in immutable | reads_catalog_alone else "u" if name in volatile else "r"), name
        assert not definer and not leakproof, name
        assert "search_path=pg_catalog, pg_temp" in config, name
        assert others == 0, name
        assert told, name
    assert len(found) >= 20
    extension = fetch(
        hospital, "SELECT extrelocatable, extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'sqlanon'"
    )
    assert extension == [(False, "sqlanon")]


def test_what_stands_in_public_is_not_captured_when_the_extension_is_made(
    hospital: str, wanted: dict[str, list[str]]
) -> None:
    hostile = (
        "CREATE FUNCTION public.evil(text, text) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'captured'; END $$",
        *(f"CREATE OPERATOR public.{o} (FUNCTION = public.evil, LEFTARG = text, RIGHTARG ="
          f" text)" for o in ("=", "<>", "~", "!~*")),
        "CREATE OPERATOR public.<> (FUNCTION = public.evil_v, LEFTARG = varchar, RIGHTARG = varchar)",
        "CREATE FUNCTION public.format(varchar, integer, varchar) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'captured'; END $$",
        "CREATE FUNCTION public.octet_length(varchar) RETURNS integer LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'captured'; END $$",
        "ALTER DATABASE fresh SET search_path = public, pg_catalog",
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT ALL ON"
            " TABLES TO PUBLIC",
    )  # fmt: skip
    execute(hospital, "CREATE FUNCTION public.evil_v(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'captured'; END $$", *hostile)  # fmt: skip
    extended(hospital)
    psql(hospital, "sqlanon_roles.sql", "sqlanon_rights.sql")
    assert objects(hospital) == wanted
    execute(hospital, "DROP EXTENSION sqlanon", "DROP SCHEMA sqlanon")
    installed(hospital)
    assert objects(hospital) == wanted
    depends = (
        "SELECT count(*) FROM pg_depend WHERE refobjid IN ('public.evil'::regproc, 'public.evil_v'::regproc)"
        " AND deptype = 'n'"
    )
    assert fetch(hospital, f"{depends} AND classid <> 'pg_operator'::regclass") == [(0,)]
