"""Publishing in Postgres: tables and views in a schema of their own, whose roles read them and nobody else."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlanon import query
from sqlanon.engines.ownership import Ownership
from sqlanon.engines.postgres_words import family_of
from sqlanon.errors import EngineError
from sqlanon.query import Query, Text
from sqlanon.translation import short

KEY = "sqlanon key of the order"
_KINDS = {"r": "table", "p": "table", "f": "table", "v": "view", "m": "materialized view"}
TURN = 200  # milliseconds
PATIENCE = 60  # seconds until a publisher gives way to a reader


class Publishing(Ownership):
    """What a connection does to publish; how it asks the server is the business of `Postgres`."""

    @abstractmethod
    def described(self, step: str, text: str) -> list[tuple[str, int, int]]:
        """Name, type and type modifier of each column of a query, which is not run."""

    @abstractmethod
    def types(self, oids: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The name and kind of types in the catalog."""

    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @abstractmethod
    def attempt(self, step: str) -> AbstractContextManager[None]:
        """A part of a transaction: what fails in it is undone, and the rest goes on."""

    @abstractmethod
    def set_key(self, key: str) -> None:
        """Puts the key of the order where `shuffled` reads it."""

    @property
    @abstractmethod
    def version(self) -> str:
        """The version of the server."""

    def _in_schema(self) -> None:
        """The schema of releases, where it is not there yet; nobody but its owner may look into it."""
        if not self.run("read the catalog", "SELECT 1 FROM pg_namespace WHERE nspname = ?", [self.schema]):
            with self.closing(self.schema):
                self.run("create the schema of releases", f"CREATE SCHEMA {self.own(self.schema)}")

    def create_table(self, step: str, path: Sequence[str], what: Query, key: str) -> None:
        self._in_schema()
        self.set_key(key)
        self.run(step, f"CREATE TABLE {self._at(path)} AS\n{self.rendered(what)}")

    def shuffled(self, what: Query, columns: Sequence[str], number: str | None = None) -> Query:
        made = self._ordered(what, columns, [f"(SELECT key FROM pg_temp.{self.own(KEY)})"])
        names = ", ".join(self.rendered(query.column(name)) for name in columns)
        if number is None:
            return made
        copies = self.own(query.fresh("copy", (*columns, number)))
        repeated = f"FROM shuffled CROSS JOIN LATERAL generate_series(1, {self.own(number)}) AS c ({copies})"
        return made.then("repeated", Text(f"SELECT {names}\n{repeated}"), "each as often as it occurs")

    def _ordered(self, what: Query, columns: Sequence[str], key: Sequence[str]) -> Query:
        """The rows in an order of a key and their content: equal rows cannot be told apart."""
        *earlier, last = what.steps
        made = Query((*earlier, replace(last, inline=True)))
        # As texts, which every type has: the working tables that tell the types may be gone when a script is printed.
        read = [f"CAST({self.rendered(query.column(name, 'a'))} AS text)" for name in columns]
        ordered = (
            f"SELECT *\nFROM {self.rendered(query.table(last.name))} AS a\n"
            f"ORDER BY hash_record_extended(ROW({', '.join([*key, *read])}), 0)"
        )
        told = "in a keyed order" if key else "in an order of their content"
        return made.then("shuffled", Text(ordered), f"{told}, so that no position tells where a row came from")

    def _hashable(self, text: str, columns: Sequence[str]) -> list[str]:
        """Columns of the relation `a` in types that have a hash: what has none is read as text."""
        found = self.described("read the columns", text)
        types = self.types(oid for _, oid, _ in found)
        plain = {name for name, oid, _ in found if family_of(*types[oid]) != "other"}
        read = {name: self.rendered(query.column(name, "a")) for name in columns}
        return [read[name] if name in plain else f"CAST({read[name]} AS text)" for name in columns]

    def hashed(self, text: str) -> str:
        """The SQL of a hash of a text."""
        return f"encode(sha256(convert_to({text}, 'UTF8')), 'hex')"

    def view_statement(self, path: Sequence[str], what: Query, kind: str = "view") -> str:
        """A barrier: the reader's predicates are never run on rows that the view hides.

        A materialized view hides nothing: it holds the released rows, in an order that depends on their content alone.
        """
        if kind == "view":
            return f"CREATE VIEW {self._at(path)} WITH (security_barrier=true) AS\n{self.rendered(what)}"
        names = [name for name, *_ in self.described("read the columns", self.rendered(what))]
        made = self.rendered(self._ordered(what, names, []))
        return f"CREATE MATERIALIZED VIEW {self._at(path)} AS\n{made}"

    def create_view(self, step: str, path: Sequence[str], what: Query, kind: str = "view") -> None:
        self._in_schema()
        self.run(step, self.view_statement(path, what, kind))

    def drop(self, path: Sequence[str], kind: str) -> None:
        """Drops what stands; in a transaction it waits for its readers in short turns, so that others can read too.

        A reader who comes while somebody waits for a lock waits behind him: no turn is longer than `TURN`.
        """
        if not self.in_transaction():
            return super().drop(path, kind)
        step, until = "take the release away", time.monotonic() + PATIENCE
        self.run(step, f"SET LOCAL lock_timeout = {TURN}")
        while True:
            try:
                with self.attempt(step):
                    super().drop(path, kind)
                break
            except EngineError as error:
                if "55P03" not in error.kind or time.monotonic() > until:
                    raise
            time.sleep(TURN / 1000)
        self.run(step, "SET LOCAL lock_timeout TO DEFAULT")

    def labelled(self, name: str, catalog: str | None = None) -> str | None:
        sql = "SELECT obj_description(to_regclass(?), 'pg_class')"
        ((found,),) = self.run("read the catalog", sql, [self._at([self.schema, name])])
        return str(found) if found is not None else None

    def kind_of(self, name: str, schema: str | None = None, catalog: str | None = None) -> str | None:
        sql = (
            "SELECT c.relkind::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = ? AND c.relname = ?"
        )
        found = self.run("read the catalog", sql, [schema or self.schema, short(name)])
        return _KINDS.get(found[0][0], "object") if found else None

    def digest(self, item: str, columns: Sequence[str], number: str | None = None) -> str:
        """Of the rows in any order; comparable as long as the server's major version is the same."""
        named = f"{query.constant(repr(list(columns)))}::text"
        read = ", ".join([named, *self._hashable(f"SELECT * FROM {item}", columns)])
        many = self.rendered(query.column(number, "a")) if number else ""
        rows, times = (f"sum({many})::bigint", f"::numeric * {many}") if number else ("count(*)", "")
        sql = f"SELECT {rows}, sum(hash_record_extended(ROW({read}), 0){times})::text FROM {item} AS a"
        ((records, total),) = self.run("digest the rows", sql)
        return f"postgres-{self.version.split('.')[0]}:{records}:{total}"
