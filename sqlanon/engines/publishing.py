"""Publishing in Postgres: tables and views in a schema of their own, whose roles read them and nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlanon import query
from sqlanon.engines.postgres_words import family_of
from sqlanon.errors import ReleaseError, SpecError
from sqlanon.query import Expression, Query, Text
from sqlanon.translation import short

KEY = "sqlanon key of the order"
_KINDS = {"r": "table", "p": "table", "f": "table", "v": "view", "m": "view"}


class Publishing:
    """What a connection does to publish; how it asks the server is the business of `Postgres`."""

    schema = "releases"
    forced: bool

    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""
        raise NotImplementedError

    def sql(self, what: Query | Expression | Text) -> str:
        """The text of a query as it runs here."""
        raise NotImplementedError

    def described(self, step: str, text: str) -> list[tuple[str, int, int]]:
        """Name, type and type modifier of each column of a query, which is not run."""
        raise NotImplementedError

    def types(self, oids: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The name and kind of types in the catalog."""
        raise NotImplementedError

    def set_key(self, key: str) -> None:
        """Puts the key of the order where `shuffled` reads it."""
        raise NotImplementedError

    @property
    def version(self) -> str:
        """The version of the server."""
        raise NotImplementedError

    def own(self, name: str) -> str:
        """A name as a quoted identifier."""
        return self.sql(query.identifier(name))

    def publisher(self, roles: Sequence[str]) -> None:
        """Refuses a superuser, unless forced, and roles to grant to that are not there or are superusers."""
        known = dict(self.run("read the roles", "SELECT rolname::text, rolsuper FROM pg_roles"))
        ((me,),) = self.run("read the role", "SELECT current_user::text")
        if known[me] and not self.forced:
            raise ReleaseError(
                f"{me!r} is a superuser, whose releases and views could read everything; publish as a role that has"
                " SELECT on the source and CREATE on the database, or force it with --superuser", exit_status=2,
            )  # fmt: skip
        for role in roles:
            if role not in known:
                names = [name for name in known if not name.startswith("pg_")]
                raise SpecError("there is no such role", where="publish.grant", found=role, allowed=sorted(names))

    def _in_schema(self) -> None:
        """The schema of releases, where it is not there yet; nobody but its owner may look into it."""
        if not self.run("read the catalog", "SELECT 1 FROM pg_namespace WHERE nspname = ?", [self.schema]):
            self.run("create the schema of releases", f"CREATE SCHEMA {self.own(self.schema)}")

    def create_table(self, step: str, path: Sequence[str], what: Query, key: str) -> None:
        self._in_schema()
        self.set_key(key)
        self.run(step, f"CREATE TABLE {self._at(path)} AS\n{self.sql(what)}")

    def shuffled(self, what: Query, columns: Sequence[str], number: str | None = None) -> Query:
        *earlier, last = what.steps
        made = Query((*earlier, replace(last, inline=True)))
        # As texts, which every type has: the working tables that tell the types may be gone when a script is printed.
        read = [f"CAST({self.sql(query.column(name, 'a'))} AS text)" for name in columns]
        key = f"(SELECT key FROM pg_temp.{self.own(KEY)})"
        ordered = (
            f"SELECT *\nFROM {self.sql(query.table(last.name))} AS a\n"
            f"ORDER BY hash_record_extended(ROW({', '.join([key, *read])}), 0)"
        )
        made = made.then("shuffled", Text(ordered), "in a keyed order, so that no position tells where a row came from")
        names = ", ".join(self.sql(query.column(name)) for name in columns)
        if number is None:
            return made
        copies = self.own(query.fresh("copy", (*columns, number)))
        repeated = f"FROM shuffled CROSS JOIN LATERAL generate_series(1, {self.own(number)}) AS c ({copies})"
        return made.then("repeated", Text(f"SELECT {names}\n{repeated}"), "each as often as it occurs")

    def _hashable(self, text: str, columns: Sequence[str]) -> list[str]:
        """Columns of the relation `a` in types that have a hash: what has none is read as text."""
        found = self.described("read the columns", text)
        types = self.types(oid for _, oid, _ in found)
        plain = {name for name, oid, _ in found if family_of(*types[oid]) != "other"}
        read = {name: self.sql(query.column(name, "a")) for name in columns}
        return [read[name] if name in plain else f"CAST({read[name]} AS text)" for name in columns]

    def view_statement(self, path: Sequence[str], what: Query) -> str:
        """A barrier: the reader's predicates are never run on rows that the view hides."""
        return f"CREATE VIEW {self._at(path)} WITH (security_barrier=true) AS\n{self.sql(what)}"

    def create_view(self, step: str, path: Sequence[str], what: Query) -> None:
        self._in_schema()
        self.run(step, self.view_statement(path, what))

    def rename(self, path: Sequence[str], name: str) -> None:
        self.run("put the release in place", f"ALTER TABLE {self._at(path)} RENAME TO {self.own(name)}")

    def drop(self, path: Sequence[str], kind: str) -> None:
        self.run("take the release away", f"DROP {kind.upper()} IF EXISTS {self._at(path)}")

    def protect(self, path: Sequence[str], kind: str, roles: Sequence[str]) -> None:
        """Takes away what default privileges gave, and the owner's own right to write; lets `roles` read."""
        item = self._at(path)
        sql = (
            "SELECT DISTINCT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END"
            " FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = ?::regclass AND a.grantee <> c.relowner"
        )
        step = "grant"
        for (role,) in self.run("read the grants", sql, [item]):
            self.run(step, f"REVOKE ALL ON {item} FROM {'PUBLIC' if role is None else self.own(role)}")
        self.run(step, f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON {item} FROM CURRENT_USER")
        for role in map(self.own, roles):
            self.run(step, f"GRANT USAGE ON SCHEMA {self.own(self.schema)} TO {role}")
            self.run(step, f"GRANT SELECT ON {item} TO {role}")

    def _at(self, path: Sequence[str]) -> str:
        return self.sql(query.table(*path))

    def comment(self, path: Sequence[str], name: str, text: str) -> None:
        at = self.sql(query.column(name))
        self.run("comment on the release", f"COMMENT ON COLUMN {self._at(path)}.{at} IS {query.constant(text)}")

    def label(self, path: Sequence[str], kind: str, text: str) -> None:
        self.run("comment on the release", f"COMMENT ON {kind.upper()} {self._at(path)} IS {query.constant(text)}")

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
        many = self.sql(query.column(number, "a")) if number else ""
        rows, times = (f"sum({many})::bigint", f"::numeric * {many}") if number else ("count(*)", "")
        sql = f"SELECT {rows}, sum(hash_record_extended(ROW({read}), 0){times})::text FROM {item} AS a"
        ((records, total),) = self.run("digest the rows", sql)
        return f"postgres-{self.version.split('.')[0]}:{records}:{total}"
