"""The register: one row per release and version, written with it; facts about what was published, never data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata, resources
from typing import Any

from sqlanon.engines import Engine
from sqlanon.errors import ReleaseError

SCHEMA, TABLE = "sqlanon", "release"

# The columns that hold JSON which a reader may see.
JSON = ("versions", "quasi_identifiers", "promises", "utility", "made")


@dataclass(frozen=True)
class Entry:
    """A row of the register; `promises`, `utility`, `quasi_identifiers`, `versions`, `recheck` and `made` are JSON."""

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

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self)
        for key in JSON:
            found[key] = json.loads(found[key])
        del found["recheck"]
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


def _table(catalog: str | None) -> str:
    return f"{catalog}.{SCHEMA}.{TABLE}" if catalog else f"{SCHEMA}.{TABLE}"


def exists(engine: Engine, catalog: str | None = None) -> bool:
    """Whether the database (or the attached one) holds a register."""
    return engine.kind_of(TABLE, SCHEMA, catalog) == "table"


def create(engine: Engine, catalog: str | None = None) -> None:
    """The register's own table, where it is not there yet."""
    if exists(engine, catalog):
        return
    script = (resources.files("sqlanon.sql") / "register.sql").read_text()
    if catalog:
        script = script.replace("EXISTS sqlanon", f"EXISTS {catalog}.sqlanon")
    for statement in script.split(";"):
        if statement.strip():
            engine.run("create the register", statement)


def entries(engine: Engine, catalog: str | None = None) -> list[Entry]:
    """Every version of every release, the newest first."""
    if not exists(engine, catalog):
        return []
    names = ", ".join(field.name for field in fields(Entry))
    rows = engine.run(
        "read the register", f"SELECT {names} FROM {_table(catalog)} ORDER BY released_at DESC, name, version DESC"
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


def write(engine: Engine, entry: Entry, catalog: str | None = None) -> None:
    """Adds a version, after superseding the one before; call it in the transaction of the release."""
    create(engine, catalog)
    mark(engine, entry.name, "superseded", catalog)
    values: Sequence[object] = list(asdict(entry).values())
    places = ", ".join("?" * len(values))
    engine.run("write the register", f"INSERT INTO {_table(catalog)} VALUES ({places})", values)


def mark(engine: Engine, name: str, status: str, catalog: str | None = None) -> None:
    """Gives the published version of a release another status."""
    withdrawn = now() if status == "withdrawn" else None
    engine.run(
        "write the register",
        f"UPDATE {_table(catalog)} SET status = ?, withdrawn_at = ? WHERE name = ? AND status = 'published'",
        [status, withdrawn, name],
    )


def version() -> str:
    """The version of sqlanon that is installed."""
    return metadata.version("sqlanon")
