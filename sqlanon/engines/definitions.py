"""What the names in a query mean to an engine: its relations, the definitions of views, functions that users made."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlanon.query import Expression, Query, Text

_STEP = "read the catalog"
# `CREATE VIEW name (columns) AS`, as DuckDB keeps it; names may hold anything but are quoted then.
_NAME = r'(?:"(?:[^"]|"")*"|[^\s"(.,)]+)'
_DEFINITION = re.compile(
    rf"CREATE (?:SECURE )?(?:TEMP(?:ORARY)? )?VIEW {_NAME}(?:\.{_NAME})* (?:\({_NAME}(?:, {_NAME})*\) )?AS (.*?);?\s*",
    re.DOTALL,
)


@dataclass(frozen=True)
class Defined:
    """A table or view as a name in a query means it; `definition` is the SELECT of a view, None for a table."""

    path: tuple[str, ...]
    columns: tuple[str, ...]
    definition: str | None = None


class _Asking(ABC):
    @abstractmethod
    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""


class DefinedByDuckDB(_Asking):
    """DuckDB's catalogue. Letters of both cases are one in its names."""

    def plainly(self, text: str) -> str:
        """A SELECT as DuckDB itself has read it, so that nobody else's reading of comments or quotes counts."""
        ((read,),) = self.run("read the query", "SELECT json_deserialize_sql(json_serialize_sql(?))", [text])
        return str(read)

    def defined(self, parts: Sequence[str], home: Sequence[str] = ()) -> Defined | None:
        """What a name means in a query, or in the view `home`; None where that is nothing, or more than one thing."""
        sql = (
            "SELECT database_name, schema_name, table_name, NULL FROM duckdb_tables()"
            " WHERE lower(table_name) = lower(?) UNION ALL"
            " SELECT database_name, schema_name, view_name, sql FROM duckdb_views()"
            " WHERE NOT internal AND lower(view_name) = lower(?) ORDER BY ALL"
        )
        here = "SELECT current_database(), current_schemas(true)"
        ((current, schemas),) = self.run(_STEP, here)
        around = {("temp", "main"), *((current, schema) for schema in schemas), *([(home[0], home[1])] if home else [])}
        found = [
            row for row in self.run(_STEP, sql, [parts[-1], parts[-1]]) if _may_be(row[:2], parts[:-1], around, current)
        ]
        if len(found) != 1:
            return None
        ((*path, view),) = found
        names = "SELECT column_name FROM duckdb_columns() WHERE (database_name, schema_name, table_name) = (?, ?, ?)"
        columns = tuple(name for (name,) in self.run(_STEP, f"{names} ORDER BY column_index", path))
        if view is None or "() AS __duckdb_source_" in view:  # a data frame under a name
            return Defined(tuple(path), columns)
        read = _DEFINITION.fullmatch(view)
        return Defined(tuple(path), columns, read[1] if read else "")

    def made_functions(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of functions that users made, and those of them that take the place of DuckDB's own."""
        sql = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE {}internal"
        made, own = (frozenset(name for (name,) in self.run(_STEP, sql.format(which))) for which in ("NOT ", ""))
        return made, made & own


def _may_be(at: Sequence[str], parts: Sequence[str], around: set[tuple[str, str]], current: str) -> bool:
    """Whether a relation in this catalog and schema can be meant by a name with these parts before it."""
    catalog, schema = (word.lower() for word in at)
    given = [part.lower() for part in parts]
    if not given:
        return (catalog, schema) in {(c.lower(), s.lower()) for c, s in around}
    if len(given) == 1:
        return (schema == given[0] and catalog in (current.lower(), "temp")) or (catalog, schema) == (given[0], "main")
    return given == [catalog, schema]


class DefinedByServer(_Asking):
    """Postgres's catalogue. A query is read as the server writes it: every name qualified, every * spelled out."""

    @abstractmethod
    def _select(self, text: str) -> str:
        """A query as a FROM item in which every name is qualified by the server itself."""

    def plainly(self, text: str) -> str:
        """A SELECT as the server itself has read it."""
        return self._select(text).removeprefix("(").removesuffix("\n)")

    def defined(self, parts: Sequence[str], home: Sequence[str] = ()) -> Defined | None:
        """What a qualified name means; a name alone is one of this session's own tables."""
        sql = (
            "SELECT c.oid::int8, n.nspname::text, c.relname::text, CASE WHEN c.relkind IN ('v', 'm')"
            " THEN pg_get_viewdef(c.oid) END FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relname = ? AND n.nspname !~ '^information_schema$'"
            " AND CASE WHEN ?::text IS NULL THEN n.oid = pg_my_temp_schema() ELSE n.nspname = ? END"
            " AND (n.oid = pg_my_temp_schema() OR n.nspname !~ '^pg_')"
        )
        schema = parts[-2] if len(parts) > 1 else None
        found = self.run(_STEP, sql, [parts[-1], schema, schema])
        if len(found) != 1:
            return None
        ((oid, *path, view),) = found
        names = "SELECT attname::text FROM pg_attribute WHERE attrelid = ? AND attnum > 0 AND NOT attisdropped"
        columns = tuple(name for (name,) in self.run(_STEP, f"{names} ORDER BY attnum", [oid]))
        return Defined((path[0], path[1]), columns, view)

    def made_functions(self) -> tuple[frozenset[str], frozenset[str]]:
        """None: in what the server writes, a function that is not its own has its schema before its name."""
        return frozenset(), frozenset()
