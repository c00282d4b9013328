"""The register: one row per release and version, written with it; facts about what was published, never data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import Field, asdict, dataclass, fields, replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ReleaseError

SCHEMA, TABLE, LOG = "sqlanon", "release", "audit_log"

# The columns that hold JSON which a reader may see, and those that publishers alone may.
JSON = ("versions", "quasi_identifiers", "promises", "utility", "made")
PRIVATE = ("recheck", "source", "grants", "source_state", "spec")


@dataclass(frozen=True)
class Logged:
    """A line of the audit log: who did what with a release, and when (UTC)."""

    at: datetime
    by: str
    action: str
    name: str
    version: int
    detail: str

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class Entry:
    """A row of the register; `promises`, `utility`, `quasi_identifiers`, `versions`, `recheck` and `made` are JSON.

    `owner` is the role that has the release, empty where there are no roles. `source`, `grants`, `source_state` and
    `spec` are for publishers alone, as `recheck` is: they stand in no `to_dict` and in no released file.
    """

    name: str
    version: int
    status: str
    kind: str
    location: str
    fingerprint: str
    versions: str
    rows_out: int
    suppressed_at_most: int
    classes: int
    quasi_identifiers: str
    counted: str
    promises: str
    utility: str
    digest: str
    recheck: str
    released_at: datetime
    released_by: str
    expires_at: datetime | None = None
    withdrawn_at: datetime | None = None
    made: str = "{}"
    owner: str = ""
    source: str = ""
    grants: str = "[]"
    source_state: str = ""
    spec: str = ""

    @property
    def outside(self) -> Entry:
        """The same without what is for publishers alone, for a file that leaves the house."""
        return replace(self, source="", grants="[]", source_state="", spec="")

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self)
        for key in JSON:
            found[key] = json.loads(found[key])
        for key in PRIVATE:
            del found[key]
        for key in ("released_at", "expires_at", "withdrawn_at"):
            found[key] = found[key].isoformat(timespec="seconds") if found[key] else None
        return {**found, "expired": self.expired}


def label(entry: Entry) -> str:
    """The comment by which a published table or view is known to be the one in the register."""
    return f"released by sqlanon, version {entry.version}, {entry.fingerprint}"


def now() -> datetime:
    """The time of day in UTC, to the second."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def coarse(suppressed: int, k: int) -> int:
    """A number of suppressed records, rounded up so that it does not tell the size of a suppressed class."""
    step = max(k, 10)
    return -(-suppressed // step) * step


def _at(table: str, catalog: str | None = None) -> str:
    return f"{catalog}.{SCHEMA}.{table}" if catalog else f"{SCHEMA}.{table}"


def exists(engine: Engine, catalog: str | None = None) -> bool:
    """Whether the database (or the attached one) holds a register."""
    return engine.kind_of(TABLE, SCHEMA, catalog) == "table"


def create(engine: Engine, catalog: str | None = None) -> None:
    """The register's own tables, where they are not there yet; a file gets no audit log.

    What an earlier version made gets the columns that it lacks. Raises `EngineError`.
    """
    if exists(engine, catalog):
        lacking = _lacking(engine, catalog)
        for column in lacking:
            told = f"ADD COLUMN {column.name} VARCHAR DEFAULT {query.constant(column.default)}"
            engine.run("bring the register up to date", f"ALTER TABLE {_at(TABLE, catalog)} {told}")
        if not lacking:
            return
    script = (resources.files("sqlanon.sql") / "register.sql").read_text()
    if catalog:
        script = script.replace("EXISTS sqlanon", f"EXISTS {catalog}.sqlanon")
    with engine.closing(SCHEMA, TABLE, LOG) if not catalog else nullcontext():
        for statement in script.split(";"):
            if statement.strip() and not (catalog and f"sqlanon.{LOG}" in statement):
                engine.run("create the register", statement)


def _lacking(engine: Engine, catalog: str | None) -> list[Field[Any]]:
    """The columns that a register of an earlier version has not."""
    there = engine.names(_at(TABLE, catalog))
    return [column for column in fields(Entry) if column.name not in there]


def entries(engine: Engine, catalog: str | None = None) -> list[Entry]:
    """Every version of every release, the newest first."""
    if not exists(engine, catalog):
        return []
    lacking = {column.name: f"{query.constant(column.default)} AS " for column in _lacking(engine, catalog)}
    names = ", ".join(f"{lacking.get(field.name, '')}{field.name}" for field in fields(Entry))
    rows = engine.run(
        "read the register", f"SELECT {names} FROM {_at(TABLE, catalog)} ORDER BY released_at DESC, name, version DESC"
    )
    return [Entry(*row) for row in rows]


def current(engine: Engine, name: str, catalog: str | None = None) -> Entry | None:
    """The published version of a release, or None."""
    found = (e for e in entries(engine, catalog) if e.name == name and e.status == "published")
    return next(found, None)


def next_version(engine: Engine, name: str) -> int:
    """The number that the next release of this name gets."""
    return 1 + max((e.version for e in entries(engine) if e.name == name), default=0)


def require(engine: Engine, name: str) -> Entry:
    """The published version of a release. Raises `ReleaseError` with the names that there are."""
    entry = current(engine, name)
    if entry is None:
        names = sorted({e.name for e in entries(engine) if e.status == "published"})
        there = f"published are: {', '.join(names)}" if names else "nothing is published there"
        raise ReleaseError(f"there is no release {name!r} in {engine.url}; {there}", exit_status=2)
    return entry


def write(engine: Engine, entry: Entry, action: str = "released", catalog: str | None = None) -> None:
    """Adds a version, after superseding the one before; call it in the transaction of the release.

    What was done is told in the audit log, and in a file (`catalog`) nothing that is for publishers alone.
    """
    create(engine, catalog)
    mark(engine, entry.name, "superseded", catalog)
    values: Sequence[object] = list(asdict(entry.outside if catalog else entry).values())
    names, places = ", ".join(field.name for field in fields(Entry)), ", ".join("?" * len(values))
    engine.run("write the register", f"INSERT INTO {_at(TABLE, catalog)} ({names}) VALUES ({places})", values)
    if not catalog:
        log(engine, action, entry)


def mark(engine: Engine, name: str, status: str, catalog: str | None = None) -> None:
    """Gives the published version of a release another status."""
    withdrawn = now() if status == "withdrawn" else None
    engine.run(
        "write the register",
        f"UPDATE {_at(TABLE, catalog)} SET status = ?, withdrawn_at = ? WHERE name = ? AND status = 'published'",
        [status, withdrawn, name],
    )


def log(engine: Engine, action: str, entry: Entry) -> None:
    """A line of the audit log; call it in the transaction of what it tells, which it then shares the end of."""
    readers = json.loads(entry.grants)
    detail = ", ".join([f"as {entry.kind}", *([f"read by {', '.join(readers)}"] if readers else [])])
    values = [now(), engine.user, action, entry.name, entry.version, detail]
    sql = f'INSERT INTO {_at(LOG)} ("at", "by", action, name, version, detail) VALUES (?, ?, ?, ?, ?, ?)'
    engine.run("write the audit log", sql, values)


def logged(engine: Engine) -> list[Logged]:
    """The audit log, the latest first."""
    if engine.kind_of(LOG, SCHEMA) != "table":
        return []
    sql = f'SELECT "at", "by", action, name, version, detail FROM {_at(LOG)} ORDER BY "at" DESC, name, version DESC'
    return [Logged(*row) for row in engine.run("read the audit log", sql)]


def version() -> str:
    """The version of sqlanon that is installed."""
    from importlib import metadata

    return metadata.version("sqlanon")
