"""Files and data frames for a server that reads none of ours: read by DuckDB beside the client, copied for a session.

The copy is a temporary table, which nobody else can read and which ends with the connection. A type is carried over
exactly or not at all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.engines.relations import Relations
from sqlanon.errors import SpecError
from sqlanon.query import Text
from sqlanon.translation import short

if TYPE_CHECKING:
    from sqlanon.engines.duckdb import DuckDB

# DuckDB's types in Postgres's words; what has no line, such as a HUGEINT or a list, has no like there.
_TYPES = {
    "TINYINT": "smallint", "SMALLINT": "smallint", "UTINYINT": "smallint", "INTEGER": "integer", "USMALLINT": "integer",
    "BIGINT": "bigint", "UINTEGER": "bigint", "FLOAT": "real", "DOUBLE": "double precision", "VARCHAR": "text",
    "ENUM": "text", "UUID": "uuid", "BOOLEAN": "boolean", "DATE": "date", "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp", "TIMESTAMP_MS": "timestamp", "TIMESTAMP_NS": "timestamp", "TIME": "time",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
}  # fmt: skip
# And back; anything else comes as text.
_BACK = {
    "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT", "real": "FLOAT", "double precision": "DOUBLE",
    "uuid": "UUID", "boolean": "BOOLEAN", "date": "DATE", "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME", "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
_HELD = "sqlanon_held"
_BLOCK = 20_000  # rows that Python holds at a time


class Receiving(Relations):
    """What a connection does to read files and frames; how it asks the server is the business of `Postgres`."""

    _received: dict[tuple[object, ...], str]

    @abstractmethod
    def columns(self, origin: Origin) -> tuple[Column, ...]:
        """The columns of a source."""

    @abstractmethod
    def _copy_in(self, step: str, item: str, rows: Iterable[Sequence[object]]) -> None:
        """Copies rows into a table."""

    def register(self, frame: object) -> Origin:
        """A copy of a pandas, polars or Arrow frame under a name of its own; it ends with the connection."""
        from sqlanon.engines.duckdb import DuckDB

        with DuckDB() as reader:
            return Origin(relation=self._receive(reader, reader.register(frame), "the frame"))

    def received(self, origin: Origin) -> str:
        """The FROM item that reads a copy of a file; the file is read once, unless it changes."""
        from sqlanon.engines.duckdb import DuckDB

        file = origin.file or Path()
        now = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else ()
        known = (
            file.absolute(),
            origin.delimiter,
            origin.text_columns,
            *now,
        )
        name = self._received.get(known)
        if name is None or not self._stands(name):
            with DuckDB() as reader:
                name = self._received[known] = self._receive(reader, origin, f"the file {file}")
        return self.rendered(query.table("pg_temp", name))

    def _stands(self, name: str) -> bool:
        """Whether a copy is still there: what was made in a transaction goes where that is rolled back."""
        item = self.rendered(query.table("pg_temp", name))
        return bool(self.run("read the catalog", "SELECT to_regclass(?) IS NOT NULL", [item])[0][0])

    def _receive(self, reader: DuckDB, origin: Origin, told: str) -> str:
        found = reader.columns(origin)
        types = [_type_of(column, told) for column in found]
        reader.temporary(f"read {told}", _HELD, Text(f"SELECT * FROM {reader.origin(origin)}"))
        _whole_microseconds(reader, found, told)
        ((number,),) = self.run("read the catalog", "SELECT count(*) FROM pg_class WHERE relname LIKE 'sqlanon copy %'")
        name = f"sqlanon copy {number + len(self._received) + 1}"
        while self._stands(name):
            name += "_"
        named = [self.rendered(query.identifier(short(column.name))) for column in found]
        declared = ", ".join(f"{label} {kind}" for label, kind in zip(named, types, strict=True))
        item = self.rendered(query.table("pg_temp", name))
        self.run(f"copy {told}", f"CREATE TEMP TABLE {self.rendered(query.identifier(name))} ({declared})")
        self._copy_in(f"copy {told}", item, _rows(reader, found, told))
        self.run(f"copy {told}", f"ANALYZE {item}")
        return name

    def frame(self, relation: str, like: object) -> Any:
        """A relation as a frame of the same kind as `like`; types that DuckDB has no like of come as texts."""
        import numpy as np

        from sqlanon.engines.duckdb import DuckDB

        origin = Origin(relation=relation)
        found = self.columns(origin)
        read = [f"CAST(s.{self.rendered(query.identifier(column.name))} AS text)" for column in found]
        item = self.rendered(query.table(*self._path(relation)))
        rows = self.run("read the relation", f"SELECT {', '.join(read)} FROM {item} AS s")
        texts = {f"c{i}": np.array([row[i] for row in rows], dtype=object) for i in range(len(found))}
        cast = ", ".join(
            f"CAST(c{i} AS {_back(column)}) AS {query.identifier(column.name).sql('duckdb')}"
            for i, column in enumerate(found)
        )
        with DuckDB() as writer:
            writer.load("make the frame", "texts", [texts])
            writer.temporary("make the frame", "made", Text(f"SELECT {cast} FROM texts"))
            return writer.frame("made", like)

    @abstractmethod
    def _path(self, name: str) -> tuple[str, str]:
        """The schema and name of a table or view."""


def _type_of(column: Column, told: str) -> str:
    word = "ENUM" if column.type.startswith("ENUM") else column.type
    kind = column.type.lower().replace("decimal", "numeric") if column.family == "decimal" else _TYPES.get(word)
    if kind is None:
        raise SpecError(
            f"{told} has a column of a type that Postgres has no like of; make it text or another type first",
            where=column.name, found=column.type.split("(")[0],
        )  # fmt: skip
    return kind


def _rows(reader: DuckDB, found: Sequence[Column], told: str) -> Iterator[tuple[Any, ...]]:
    """All rows as texts, block by block."""
    read = ", ".join(f"CAST({reader.rendered(query.column(c.name))} AS VARCHAR)" for c in found)
    ((rows,),) = reader.run(f"read {told}", f"SELECT count(*) FROM {_HELD}")
    for first in range(0, rows, _BLOCK):
        part = f"rowid >= {first} AND rowid < {first + _BLOCK}"
        yield from reader.run(f"read {told}", f"SELECT {read} FROM {_HELD} WHERE {part}")


def _whole_microseconds(reader: DuckDB, found: Sequence[Column], told: str) -> None:
    """Refuses times of nanoseconds, which Postgres would round."""
    for column in found:
        if column.type == "TIMESTAMP_NS":
            at = reader.rendered(query.column(column.name))
            finer = f"SELECT count(*) FROM {_HELD} WHERE isfinite({at}) AND epoch_ns({at}) % 1000 <> 0"
            if reader.run("look at the times", finer)[0][0]:
                raise SpecError(f"{told} has times of nanoseconds, and Postgres none", where=column.name)


def _back(column: Column) -> str:
    if column.family == "decimal" and "(" in column.type:
        return column.type.replace("numeric", "DECIMAL")
    return "DOUBLE" if column.family == "decimal" else _BACK.get(column.type, "VARCHAR")
