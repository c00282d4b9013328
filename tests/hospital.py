"""A hospital's database on the private server, prepared for publishers in each of the ways there are."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from server import _programs, as_role, execute, fetch

import sqlanon
from sqlanon import installing
from sqlanon.engines import Engine
from sqlanon.release import release
from sqlanon.spec import load

SQL = Path(__file__).resolve().parents[1] / "sql"
QI = "quasi-identifier"
SPEC: dict[str, Any] = {
    "source": "raw.patients",
    "columns": {
        "id": "identifier", "age": {"role": QI, "hierarchy": {"width": [10, 20]}},
        "zip": {"role": QI, "hierarchy": {"mask": 5}}, "disease": "sensitive", "ward": "insensitive",
    },
    "privacy": [
        {"model": "k-anonymity", "k": 3}, {"model": "l-diversity", "column": "disease", "l": 2},
        {"model": "l-diversity", "column": "disease", "l": 2, "kind": "entropy"},
        {"model": "l-diversity", "column": "disease", "l": 2, "kind": "recursive", "c": 3},
        {"model": "t-closeness", "column": "disease", "t": 0.5},
    ],
    "recoding": {"suppression": 0.2, "levels": {"age": 0, "zip": 1}},
    "publish": {"name": "patients", "grant": ["stranger"], "expires": "90d"},
}  # fmt: skip
GROUPS = ("sqlanon_owner", "sqlanon_publisher", "sqlanon_reader")
PRIVATE = "999999"  # a zip that is suppressed


@pytest.fixture
def hospital(fresh: str) -> Iterator[str]:
    """A database with a source that `holder` has, and a publisher who may read it: its URL, for the superuser."""
    execute(
        fresh,
        "REVOKE TEMP ON DATABASE fresh FROM PUBLIC",
        "GRANT TEMP ON DATABASE fresh TO publisher",
        "CREATE SCHEMA raw AUTHORIZATION holder",
        "CREATE TABLE raw.patients (id int, age int, zip text, disease text, ward text)",
        "INSERT INTO raw.patients SELECT i, 30 + i % 3, '4700' || i % 2, 'flu' || i % 4, 'w' || i % 5"
        " FROM generate_series(1, 60) AS i",
        f"INSERT INTO raw.patients VALUES (61, 81, '{PRIVATE}', 'rare', 'w')",
        "ALTER TABLE raw.patients OWNER TO holder",
        "GRANT USAGE ON SCHEMA raw TO publisher",
        "GRANT SELECT ON raw.patients TO publisher",
    )
    yield fresh
    execute(fresh, "DROP OWNED BY publisher, holder, reader, stranger CASCADE")
    groups = [name for (name,) in fetch(fresh, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'sqlanon%'")]
    execute(fresh, *(f"DROP OWNED BY {role} CASCADE" for role in groups), *(f"DROP ROLE {role}" for role in groups))


def extended(url: str, version: str = "") -> None:
    """CREATE EXTENSION, where the server of the tests could be given ours."""
    if not fetch(url, "SELECT 1 FROM pg_available_extensions WHERE name = 'sqlanon'"):
        pytest.skip("without pg_config, nobody knows where the extensions of the server are")
    execute(url, f"CREATE EXTENSION sqlanon {version}")


def program(name: str) -> str:
    """A program of the installation that the server is of."""
    folder = _programs()
    return str(folder / name) if folder and (folder / name).exists() else name


def psql(url: str, *files: str) -> None:
    """What a DBA does: the scripts of `sql/` (or others), through psql."""
    for file in files:
        words = ["-Xq", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", str(SQL / file)]
        subprocess.run([program("psql"), *words], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def connected(url: str, role: str = "postgres") -> Iterator[Engine]:
    with sqlanon.connect(as_role(url, role), superuser=role == "postgres") as engine:
        yield engine


def installed(url: str, *, roles: bool = True) -> installing.Installed:
    with connected(url) as engine:
        return installing.install(engine, roles=roles)


def publishing(url: str, way: str) -> None:
    """A server on which `publisher` may publish, prepared in one of three ways."""
    if way == "nothing":
        execute(url, "GRANT CREATE ON DATABASE fresh TO publisher")
    elif way == "install":
        installed(url)
    else:
        extended(url)
        psql(url, "sqlanon_roles.sql", "sqlanon_rights.sql")
    if way != "nothing":
        execute(url, "GRANT sqlanon_publisher TO publisher", "GRANT sqlanon_reader TO reader",
                "GRANT SELECT ON raw.patients TO sqlanon_owner")  # fmt: skip


def published(url: str, **publish: Any) -> sqlanon.Release:
    with connected(url, "publisher") as engine:
        return release(load({**SPEC, "publish": {**SPEC["publish"], **publish}}), engine)


def verified(url: str, name: str = "patients") -> dict[str, Any]:
    with psycopg.connect(as_role(url, "publisher")) as connection:
        rows = connection.execute("SELECT concat_ws(' ', model, parameters ->> 'kind'), holds, value, note FROM"
                                  " sqlanon.verify(%s)",
                                  [name]).fetchall()  # fmt: skip
    return {row[0]: row[1:] for row in rows}
