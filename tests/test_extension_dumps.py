"""The extension among other things: dumps, the audit, its own removal, PGXS and the package."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hospital import GROUPS, SQL, connected, program, psql, published, publishing, verified
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, url_of
from test_extension_life import DENIED, TABLES, VIEWS, WAYS

# -- dumps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "custom"])
@pytest.mark.parametrize("way", WAYS[1:])
def test_what_is_kept_goes_through_a_dump(
    hospital: str, server: NoopExecutor, tmp_path: Path, way: str, form: str
) -> None:
    publishing(hospital, way)
    published(hospital)
    execute(hospital, "INSERT INTO sqlanon.hierarchy VALUES ('place', '47001', '{470**,*}')",
            "INSERT INTO sqlanon.setting VALUES ('contact', 'dpo')",
            "INSERT INTO sqlanon.finding VALUES ('2026-01-01', 'r', 'o', 't', 'f')",
            "INSERT INTO sqlanon.audit_log (at, by, action, name, version, detail) VALUES ('2026-01-01', 'x',"
            " 'release', 'p', 1, '')")  # fmt: skip
    reads = [f"SELECT t::text FROM sqlanon.{name} AS t ORDER BY 1" for name in (*TABLES, *VIEWS[1:])]
    reads += ["SELECT proname, proacl::text FROM pg_proc WHERE pronamespace = 'sqlanon'::regnamespace ORDER BY 1, 2",
              "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'sqlanon'::regnamespace AND"
              " relkind <> 'i'"
              " AND relname NOT LIKE 'pg_%' ORDER BY 1", "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
                                                         " ORDER BY 1",
              "SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname IN ('sqlanon', 'releases') ORDER BY"
              " 1"]  # fmt: skip
    before = [sorted(map(str, fetch(hospital, sql))) for sql in reads]
    dump = tmp_path / "dump"
    subprocess.run([program("pg_dump"), "-d", hospital, "-F", form[0], "-f", str(dump)], check=True)
    execute(url_of(server, "postgres"), "CREATE DATABASE restored TEMPLATE template0")
    restored = url_of(server, "restored")
    try:
        if form == "plain":
            psql(restored, str(dump))
        else:
            subprocess.run([program("pg_restore"), "--exit-on-error", "-d", restored, str(dump)], check=True)
        after = [sorted(map(str, fetch(restored, sql))) for sql in reads]
        assert [pair for pair in zip(reads, before, after, strict=True) if pair[1] != pair[2]] == []
        execute(restored, "GRANT TEMP ON DATABASE restored TO publisher")
        assert {holds for holds, *_ in verified(restored).values()} == {True}
        execute(as_role(restored, "publisher"), "SELECT sqlanon.withdraw('patients')")
        with pytest.raises(DENIED):
            execute(restored, "DELETE FROM sqlanon.audit_log")
    finally:
        execute(url_of(server, "postgres"), "DROP DATABASE restored WITH (FORCE)")


@pytest.mark.parametrize("way", WAYS[1:])
def test_the_audit_finds_nothing_in_what_is_installed(hospital: str, way: str) -> None:
    auditing = pytest.importorskip("sqlanon.auditing")
    publishing(hospital, way)
    published(hospital)
    with connected(hospital) as engine:
        found = auditing.audit(engine)
        auditing.store(engine, found)
    ours = [
        (one.rule, one.object, one.told) for one in found.found if "sqlanon" in one.object or "releases" in one.object
    ]
    assert ours == []
    stored = fetch(as_role(hospital, "publisher"), "SELECT count(*) FROM sqlanon.findings")
    assert stored == [(len(found.found),)]


def test_releases_outlive_the_extension(hospital: str) -> None:
    publishing(hospital, "extension")
    published(hospital)
    execute(hospital, "DROP EXTENSION sqlanon")
    assert fetch(hospital, "SELECT count(*) FROM releases.patients") == [(60,)]


# -- the package of the extension --------------------------------------------------------------------------------------


def test_the_tests_of_the_extension_pass_as_pgxs_runs_them(server: NoopExecutor, tmp_path: Path) -> None:
    asked = subprocess.run([program("pg_config"), "--pgxs"], capture_output=True, text=True, check=False)
    if asked.returncode or not Path(asked.stdout.strip()).exists() or not shutil.which("make"):
        pytest.skip("PGXS is not installed (Debian: apt-get install postgresql-server-dev-all make)")
    shutil.copytree(SQL, tmp_path / "sql")
    ran = subprocess.run(
        ["make", "-C", str(tmp_path / "sql"), "installcheck", f"PGHOST={server.host}", f"PGPORT={server.port}",
         f"PG_CONFIG={program('pg_config')}",
         "PGUSER=postgres"],
        capture_output=True, text=True, check=False, env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PGUSER": "postgres",
        "PGHOST": str(server.host), "PGPORT": str(server.port)},
    )  # fmt: skip
    diffs = tmp_path / "sql" / "regression.diffs"
    assert ran.returncode == 0, diffs.read_text() if diffs.exists() else ran.stdout + ran.stderr
    groups = fetch(url_of(server, "contrib_regression"), "SELECT rolname FROM pg_roles WHERE rolname LIKE 'sqlanon%'")
    assert groups == []
    execute(url_of(server, "postgres"), "DROP DATABASE contrib_regression")


def test_the_package_describes_itself_as_it_is() -> None:
    told = json.loads((SQL / "META.json").read_text())
    project = (SQL.parent / "pyproject.toml").read_text()
    control = dict(line.split(" = ", 1) for line in (SQL / "sqlanon.control").read_text().splitlines() if " = " in line)
    version = control["default_version"].strip("'")
    assert f'version = "{version}"' in project
    assert told["version"] == told["provides"]["sqlanon"]["version"] == version
    assert told["license"] == {"Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
    assert 'license = "Apache-2.0"' in project
    assert {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"} <= told.keys()
    assert told["meta-spec"] == {"version": "1.0.0", "url": "https://pgxn.org/meta/spec.txt"}
    assert (SQL / told["provides"]["sqlanon"]["file"]).is_file()
    assert {"superuser": "false", "relocatable": "false", "schema": "sqlanon"}.items() <= control.items()
    makefile = (SQL / "Makefile").read_text()
    assert [file.name for file in sorted(SQL.glob("sqlanon*.sql")) if file.name not in makefile] == []
    assert GROUPS[0] in (SQL / "sqlanon_roles.sql").read_text()
