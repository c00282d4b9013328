"""The databases that sqlanon runs in. An engine knows queries, errors and I/O; never specs, models or plans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlanon.errors import SpecError, nearest

if TYPE_CHECKING:
    from sqlanon.engines.duckdb import DuckDB


@dataclass(frozen=True)
class Column:
    """A column as the engine has it: its `type` in the engine's words and its `family` in ours.

    Families: integer, decimal, float, text, boolean, date, timestamp, other.
    """

    name: str
    type: str
    family: str


@dataclass(frozen=True)
class Origin:
    """Where rows come from: a table or view by name, a file, a query, or a frame that the engine holds under a name."""

    relation: str | None = None
    file: Path | None = None
    query: str | None = None
    delimiter: str | None = None
    text_columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.relation or (str(self.file) if self.file else "query")


def connect(url: str | None = None, *, create: bool = True, read_only: bool = False) -> DuckDB:
    """The engine behind a URL: `duckdb:///path.db`, or None for DuckDB in memory. Raises `SpecError`, `EngineError`.

    A database that is not there yet is made, unless `create` is False. `read_only` shares the file with other readers.
    """
    from sqlanon.engines.duckdb import DuckDB

    if url is None or url in ("duckdb://", "duckdb:///", "duckdb:///:memory:"):
        return DuckDB(None)
    if url.startswith("duckdb:///"):
        path = Path(url.removeprefix("duckdb:///"))
        if (read_only or not create) and not path.exists():
            near = nearest(path.name, [p.name for p in path.parent.glob("*.d*b*")])
            raise SpecError("there is no such database", where="--db", found=str(path), suggestion=near)
        return DuckDB(str(path), read_only=read_only)
    scheme = url.split(":", 1)[0]
    raise SpecError("no engine for this URL", where="--db", found=f"{scheme}:…", allowed=("duckdb:///path.duckdb",))
