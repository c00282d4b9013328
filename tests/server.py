"""A private PostgreSQL server for the tests: started once per test session (and worker), in a folder of its own.

The server refuses to run as root, so as root every one of its programs runs under the user that Debian's package made
(`postgres`), in a folder outside of pytest's own, which nobody else may enter. It listens on a socket in that folder
and nowhere else. Where no server is installed, the tests that need one are skipped.
"""

from __future__ import annotations

import compileall
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlglot
from psycopg import sql
from pytest_postgresql.executors import NoopExecutor
from pytest_postgresql.janitor import DatabaseJanitor

import sqlanon
from sqlanon.engines import Engine

_OPTIONS = (
    "-F -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c autovacuum=off"
    " -c jit=off -c max_connections=30"
)
_UNPRIVILEGED = "postgres"

# Roles belong to the whole server: whose the source is, who publishes, who may read releases, who may do nothing.
ROLES = ("holder", "publisher", "reader", "stranger")


def _programs() -> Path | None:
    """Where initdb and pg_ctl are; None where no server is installed."""
    known = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]), reverse=True)
    found = shutil.which("initdb")
    folders = [Path(path) for path in known] + ([Path(found).parent] if found else [])
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _as_nobody_special() -> list[str]:
    """What stands before a command so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    asked = subprocess.run(["id", _UNPRIVILEGED], capture_output=True, check=False)
    if asked.returncode or not shutil.which("runuser"):
        pytest.skip(f"as root, the server needs runuser and the user {_UNPRIVILEGED}, under which it can run")
    return ["runuser", "-u", _UNPRIVILEGED, "--"]


def _with_extension(programs: Path, folder: Path) -> Path:
    """The programs in a tree of their own whose extensions are the server's and ours, so that nothing is installed.

    A server finds its files from where it stands: its programs are copied, what belongs to them is linked.
    """
    asked = subprocess.run(
        [programs / "pg_config", "--bindir", "--sharedir", "--pkglibdir"], capture_output=True, text=True, check=False
    )
    found = [Path(line) for line in asked.stdout.splitlines()] if asked.returncode == 0 else []
    if len(found) != 3:
        return programs
    top = os.path.commonpath(found)
    binaries, shared, libraries = (folder / "tree" / path.relative_to(top) for path in found)
    binaries.mkdir(parents=True)
    (shared / "extension").mkdir(parents=True)
    libraries.parent.mkdir(parents=True, exist_ok=True)
    for name in ("postgres", "initdb", "pg_ctl"):
        shutil.copy2(found[0] / name, binaries / name)
    libraries.symlink_to(found[2])
    for file in found[1].iterdir():
        if file.name != "extension":
            (shared / file.name).symlink_to(file)
    ours = Path(__file__).resolve().parents[1] / "sql"
    for file in (*(found[1] / "extension").iterdir(), *ours.glob("sqlanon*")):
        (shared / "extension" / file.name).unlink(missing_ok=True)
        shutil.copy2(file, shared / "extension" / file.name)
    return binaries


@pytest.fixture(scope="session")
def server() -> Iterator[NoopExecutor]:
    """The server, running; its superuser is `postgres`."""
    with running() as folder:
        found = NoopExecutor(
            host=str(folder), port=5432, user="postgres", dbname="tests", options="", maintenance_dbname="postgres"
        )
        execute(url_of(found, "postgres"), *(f"CREATE ROLE {role} LOGIN" for role in ROLES))
        yield found


def _quickest() -> str:
    """Where the data of the server is: in memory, where there is enough of that, for every database is written anew."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30 else "/tmp"


@contextmanager
def started(options: str = _OPTIONS) -> Iterator[str]:
    """A server for something else than tests: the URL of its database, for the superuser."""
    with running(options) as folder:
        yield f"postgresql://postgres@/postgres?host={folder}"


@contextmanager
def running(options: str = _OPTIONS) -> Iterator[Path]:
    """A private server as long as it is needed: the folder of its socket. Skips where none can run."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    before = _as_nobody_special()
    folder, quick = (Path(tempfile.mkdtemp(prefix="sqlanon-postgres-", dir=there)) for there in ("/tmp", _quickest()))
    try:
        programs = _with_extension(programs, folder)
        if before:
            for made in (folder, quick):
                shutil.chown(made, _UNPRIVILEGED)
        data = str(quick / "data")
        environment = {**os.environ, "PYTHONPATH": str(folder / "python")}  # see `python_of`

        def program(name: str, *arguments: str) -> None:
            ran = subprocess.run(
                [*before, str(programs / name), *arguments], cwd="/", capture_output=True, text=True, check=False,
                env=environment,
            )  # fmt: skip
            assert ran.returncode == 0, f"{name} failed: {ran.stderr}"

        # Texts are sorted as in a dictionary by default, and not as we need them.
        sorted_so = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        program("initdb", "--no-sync", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", *sorted_so)
        # Its output goes to a file: a pipe would stay open as long as the server runs.
        where = f"{options} -c listen_addresses= -c unix_socket_directories={folder}"
        program("pg_ctl", "-w", "-D", data, "-l", str(folder / "log"), "-o", where, "start")
        try:
            yield folder
        finally:
            program("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        for made in (folder, quick):
            shutil.rmtree(made, ignore_errors=True)


# What sqlanon needs in the server's own Python; and this package, of which `sql` and `udfs` stand beside it.
_PACKAGES = ("numpy", "numpy.libs", "sqlglot", "yaml", "_yaml")
_UNREAD = shutil.ignore_patterns("tests", "f2py", "include", "*.pyi", "*.a", "*.h")
_ROOT = Path(sqlanon.__file__).resolve().parents[1]


def _readable(path: Path) -> bool:
    return path.stat().st_mode & 0o444 == 0o444


def _linked(here: str, there: str) -> None:
    """The same file in a folder that the server's user may read; a copy where it cannot be the same."""
    if _readable(Path(here)):
        with suppress(OSError):
            os.link(here, there)
            return
    shutil.copy2(here, there)


def python_of(server: NoopExecutor) -> None:
    """Gives the server's Python what sqlanon needs: copies, since the server's user may not read ours.

    Skips where the server has no plpython3u, or one of another version of Python.
    """
    folder = Path(str(server.host)) / "python"
    programs = _programs()
    if programs is None or not list(programs.parent.glob("lib/plpython3.so")):
        pytest.skip("the server has no plpython3u (Debian: apt-get install postgresql-plpython3-15)")
    if not folder.exists():
        made = folder.with_name("python being made")
        for name in _PACKAGES:
            found = importlib.util.find_spec(name.split(".")[0])
            assert found and found.origin, f"{name} is not installed"
            there = Path(found.origin).parents[1] / name
            if there.exists():  # numpy of another system brings no libraries of its own
                shutil.copytree(there, made / name, ignore=_UNREAD, copy_function=_linked)
        for package in ("sqlglot", "sqlanon"):  # whose versions are told in the register
            for metadata in Path(sqlglot.__file__).parents[1].glob(f"{package}-*.dist-info"):
                shutil.copytree(metadata, made / metadata.name)
        shutil.copytree(_ROOT / "sqlanon", made / "sqlanon", ignore=shutil.ignore_patterns("udfs", "sql"))
        for room in ("udfs", "sql"):
            shutil.copytree(_ROOT / room, made / "sqlanon" / room)
        # The server's user may write nothing here: what is not compiled now would be compiled by every connection.
        compileall.compile_dir(made, quiet=1, stripdir=made, prependdir=folder)
        for path in (made, *made.rglob("*")):
            if path.is_dir() or not _readable(path):
                path.chmod(0o755 if path.is_dir() else 0o644)
        made.rename(folder)
    with psycopg.connect(url_of(server, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS plpython3u")
        body = "'import sys; return list(sys.version_info[:2])'"
        connection.execute(f"CREATE FUNCTION pg_temp.asked() RETURNS int[] LANGUAGE plpython3u AS {body}".encode())
        (version,) = connection.execute("SELECT pg_temp.asked()").fetchone() or ([],)
    if version != [*sys.version_info[:2]]:
        pytest.skip(f"the server's Python is {version}, so that what is installed for ours does not run there")


def execute(url: str, *statements: str) -> None:
    """Runs statements as somebody without sqlanon would, on a connection of their own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def fetch(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows that somebody without sqlanon gets."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def url_of(server: NoopExecutor, name: str, user: str = "postgres") -> str:
    """The URL of a database of the server, for a role."""
    return f"postgresql://{user}@/{name}?host={server.host}&port={server.port}"


class _Copying(DatabaseJanitor):
    """Copies the files of the empty database, which takes half as long as to write them all into the log."""

    def _build_create_database_sql(self) -> sql.Composed:
        return super()._build_create_database_sql() + sql.SQL(" STRATEGY file_copy")


def _database(server: NoopExecutor, name: str) -> DatabaseJanitor:
    programs = _programs()
    version = programs.parent.name if programs else ""
    janitor = _Copying if version.isdigit() and int(version) >= 15 else DatabaseJanitor
    return janitor(user=server.user, host=server.host, port=server.port, dbname=name, template_dbname="template0")


@pytest.fixture(scope="module")
def database(server: NoopExecutor, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database for the tests of one module: its URL, for the superuser."""
    name = request.module.__name__
    with _database(server, name):
        yield url_of(server, name)


@pytest.fixture
def fresh(server: NoopExecutor) -> Iterator[str]:
    """An empty database for one test: its URL, for the superuser."""
    with _database(server, "fresh"):
        yield url_of(server, "fresh")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def either(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The one engine, then the other: what is measured on both must be what the oracle says."""
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    with sqlanon.connect(url, superuser=True) as found, found.one_thread():
        yield found


def made(engine: Engine, name: str, declared: Mapping[str, str], rows: Sequence[Mapping[str, Any]] = ()) -> None:
    """A table of rows that lives as long as the connection, in the place of an earlier one; types as both know them."""
    quoted = ['"{}"'.format(column.replace('"', '""')) for column in declared]
    listed = ", ".join(f"{column} {kind}" for column, kind in zip(quoted, declared.values(), strict=True))
    item = '"{}"'.format(name.replace('"', '""'))
    remake(engine, item, f"({listed})")
    places = ", ".join(f"({', '.join('?' * len(declared))})" for _ in rows)
    if rows:
        cells = [row[column] for row in rows for column in declared]
        engine.run("fill", f"INSERT INTO {item} VALUES {places}", cells)


def remake(engine: Engine, item: str, what: str) -> None:
    """`CREATE TABLE item what`, in the place of an earlier one; DuckDB's words DOUBLE and NOCASE are known to both."""
    engine.run("make", f"DROP TABLE IF EXISTS {item}")
    if engine.name == "duckdb":
        engine.run("make", f"CREATE TABLE {item} {what}")
        return
    if "NOCASE" in what:
        careless = "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        engine.run("make", f"CREATE COLLATION IF NOT EXISTS public.careless {careless}")
    known = re.sub(r"\bDOUBLE\b(?! PRECISION)", "DOUBLE PRECISION", what).replace("NOCASE", "public.careless")
    known = re.sub(r"\bBLOB\b", "BYTEA", known)
    engine.run("make", f"CREATE TEMP TABLE {item} {known}")


def with_threads(engine: Engine, number: int) -> None:
    """So many threads on DuckDB; a server has its own."""
    if engine.name == "duckdb":
        engine.run("set the threads", f"SET threads = {number}")


def working_tables(engine: Engine) -> list[str]:
    """The names of the working tables that are left on a connection; tables of the tests are no sqlanon's."""
    tables = {
        "duckdb": "SELECT table_name FROM duckdb_tables() WHERE temporary",
        "postgres": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname LIKE 'sqlanon%'",
    }
    return [name for (name,) in engine.run("look", tables[engine.name])]


def several(engine: Engine, number: int) -> str:
    """The whole numbers from 0 up to `number` as a FROM item `r` with the column `i`."""
    series = f"generate_series(0, {number} - 1)" if engine.name == "postgres" else f"range({number})"
    return f"{series} AS r(i)"


def as_role(url: str, role: str) -> str:
    """The same database for another role."""
    return url.replace("//postgres@", f"//{role}@")
