"""PostgreSQL 14 and later: a server with roles. It is reached by a `Client`, or from inside (`inside.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sqlanon import query
from sqlanon.engines import Column, Origin, wire
from sqlanon.engines.answering import Answering
from sqlanon.engines.asking import AskedServer
from sqlanon.engines.definitions import DefinedByServer
from sqlanon.engines.postgres_words import family_of
from sqlanon.engines.publishing import KEY, Publishing
from sqlanon.engines.receiving import Receiving
from sqlanon.errors import EngineError, SpecError
from sqlanon.query import Expression, Query, Text

if TYPE_CHECKING:
    import numpy

    from sqlanon.engines.client import Client
    from sqlanon.engines.inside import Spi

# Nothing is decided by how the session of the user, role or database happens to be set.
_SETTINGS = {
    "search_path": "pg_catalog, pg_temp",
    "row_security": "off",  # a policy that would hide rows is an error
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "transform_null_equals": "off",
    "jit": "off",
    # The planner knows nothing of how many classes expressions make, and would sort texts where hashing is far faster.
    "enable_sort": "off",
    # Every join of ours has something to hash, which the planner takes for far rarer than it is.
    "enable_nestloop": "off",
    # What goes back from a worker is classes, far fewer than the planner thinks; small tables get no workers anyway.
    "parallel_tuple_cost": "0.001",
    "parallel_setup_cost": "100",
    "default_transaction_isolation": "repeatable read",
    "client_min_messages": "warning",
}
# At least so much for each sort and hash, and so many workers for a scan of the source, unless the session has more.
_LEAST = {"work_mem": (128 * 1024, "kB"), "hash_mem_multiplier": (2, ""), "max_parallel_workers_per_gather": (4, "")}
_PRIVATE_SCHEMA = "sqlanon"
_DRAWN_KEY = "CAST(gen_random_uuid() AS text) || CAST(gen_random_uuid() AS text)"  # strong random bits, on the server
_FIRST_OF_USERS = 16384  # types below this number are the server's own, which nobody renames
_FETCHED = 64  # rows that are here at a time, of a query whose rows may be lists of many numbers


class Postgres(AskedServer, Answering, Publishing, Receiving, DefinedByServer):
    """One connection. `superuser` lets a superuser publish, who can read and write whatever roles may not.

    Every failure of the server becomes an `EngineError` with its SQLSTATE, which holds none of the server's words.
    """

    name = "postgres"
    dialect = "postgres"
    persistent = True
    held_in, forgetting = "pg_temp", f'DROP TABLE IF EXISTS pg_temp."{KEY}"'
    # With which our procedures run in the server.
    settings: ClassVar = {**_SETTINGS, **{name: f"{least}{unit}" for name, (least, unit) in _LEAST.items()}}

    client: Client | Spi

    def __init__(self, url: str, *, superuser: bool = False) -> None:
        from sqlanon.engines.client import Client

        self._begin(Client(url), superuser)
        try:
            self._set_up()
        except BaseException:
            self.client.close()
            raise

    def _begin(self, client: Client | Spi, superuser: bool) -> None:
        self.client, self.forced = client, superuser
        self._working: set[str] = set()
        self._counted = 0
        self._before: list[tuple[str, str]] = []
        self._ours: list[tuple[str, str]] = []
        self._received: dict[tuple[object, ...], str] = {}
        self._types: dict[int, tuple[str, str]] = {}

    def _set_up(self) -> None:
        if self.client.number < 140000:
            raise SpecError("PostgreSQL 14 or later is needed", where="--db", found=self.version)
        # Before anything else, so that no function or operator in the path of the session is called instead.
        ((self._path_before,),) = self.run("read the settings", "SHOW search_path")
        self._before.append(("search_path", self._path_before))
        self.run("set the session", f"SET search_path = {_SETTINGS['search_path']}")
        ((encoding,),) = self.run("read the settings", "SHOW server_encoding")
        if encoding != "UTF8":
            raise SpecError("the database must be encoded in UTF8", where="--db", found=encoding)
        self._ours = [*{**_SETTINGS, **self._sizes()}.items()]
        sql = "SELECT n, current_setting(n) FROM unnest(?::text[]) AS s (n)"
        found = dict(self.run("read the settings", sql, [[name for name, _ in self._ours if name != "search_path"]]))
        self._before += [*found.items()]
        self._set(self._ours)

    def _sizes(self) -> dict[str, str]:
        """Memory and workers: at least so many, unless the session has more."""
        sql = "SELECT name, setting::float8 FROM pg_settings WHERE name = ANY(?)"
        found = dict(self.run("read the settings", sql, [list(_LEAST)]))
        return {name: f"{max(found[name], least):.10g}{unit}" for name, (least, unit) in _LEAST.items()}

    def restore(self) -> None:
        """Sets back what this set on the connection, which may be one that a pooler gives to somebody else next."""
        with suppress(EngineError):
            self._set(self._before, "restore the session")
        self._before.clear()

    @property
    def version(self) -> str:
        number = self.client.number
        return f"{number // 10000}.{number % 10000}"

    @property
    def url(self) -> str:
        return self.client.url

    @cached_property
    def user(self) -> str:
        return str(self.run("read the role", "SELECT session_user")[0][0])

    def can(self, ability: str) -> bool:
        """What runs on Postgres beside `check`, `risk`, `plan` and `release`; `functions` of ours on the server."""
        if ability == "functions":
            return self.functions_on_server
        return ability in {"grant", "secure_view", "materialized_view"}

    def close(self) -> None:
        if not self.client.closed:
            self.restore()
        self.client.close()

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Small queries get no parallel workers here anyway."""
        yield

    # -- asking ------------------------------------------------------------------------------------------------

    def rendered(self, what: Query | Expression | Text) -> str:
        return query.render(what, self.dialect)

    def _text(self, what: Query | Expression | Text | str) -> str:
        return what if isinstance(what, str) else query.render(what, self.dialect, pretty=False)

    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        return self.client.rows(step, self._text(self.answered(step, what)), parameters)

    def tried(self, text: str) -> list[tuple[Any, ...]] | None:
        step = "try the functions"
        with suppress(EngineError), self.client.attempt(step) if self.client.in_transaction else nullcontext():
            return self.client.rows(step, text)
        return None

    def described(self, step: str, text: str) -> list[tuple[str, int, int]]:
        """Name, type and type modifier of each column of a query, which is not run."""
        return self.client.described(step, text)

    def types(self, oids: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The name and kind of types in the catalog."""
        asked = set(oids)
        if new := sorted(asked - self._types.keys()):
            sql = "SELECT oid, typname, typtype FROM pg_type WHERE oid = ANY(?)"
            found = {int(oid): (name, kind) for oid, name, kind in self.run("read the types", sql, [new])}
            self._types |= {oid: told for oid, told in found.items() if oid < _FIRST_OF_USERS}
            return {oid: told for oid, told in (found | self._types).items() if oid in asked}
        return {oid: self._types[oid] for oid in asked}

    def arrays(self, step: str, what: Query | Expression | Text | str) -> dict[str, numpy.ndarray[Any, Any]]:
        text = self._text(self.answered(step, what))
        found = self.described(step, text)
        types = self.types(oid for _, oid, _ in found)
        kinds = [types[oid][0] for _, oid, _ in found]
        if "numeric" in kinds:  # as floating point, as DuckDB gives them
            read = ", ".join(
                f"{self.rendered(query.column(name, 'a'))}{'::float8' if kind == 'numeric' else ''}"
                for (name, *_), kind in zip(found, kinds, strict=True)
            )
            text = f"SELECT {read} FROM (\n{text}\n) AS a"
            kinds = ["float8" if kind == "numeric" else kind for kind in kinds]
        names = [name for name, *_ in found]
        columns = self._copied(step, text, kinds) if wire.FIXED.issuperset(kinds) else None
        return dict(zip(names, columns or wire.listed(self.run(step, text), kinds), strict=True))

    def _copied(self, step: str, text: str, kinds: Sequence[str]) -> list[numpy.ndarray[Any, Any]] | None:
        data = self.client.binary(step, text)
        return None if data is None else wire.fixed(data, kinds)

    def columns(self, origin: Origin) -> tuple[Column, ...]:
        found = self.described(f"read the columns of {origin}", f"SELECT * FROM {self.origin(origin)} AS s")
        types = self.types(oid for _, oid, _ in found)
        words = self.run(
            "read the types",
            "SELECT format_type(t, m) FROM unnest(?::oid[], ?::int[]) WITH ORDINALITY AS u (t, m, i) ORDER BY i",
            [[oid for _, oid, _ in found], [modifier for _, _, modifier in found]],
        )
        return tuple(
            Column(name, str(word), family_of(*types[oid]))
            for (name, oid, _), (word,) in zip(found, words, strict=True)
        )

    def names(self, item: str) -> tuple[str, ...]:
        return tuple(name for name, *_ in self.described("read the columns", f"SELECT * FROM {item} AS s"))

    def origin(self, origin: Origin) -> str:
        if origin.query is not None:
            return self._select(origin.query)
        if origin.file is not None:
            return self.received(origin)
        return self.rendered(query.table(*self._path(origin.relation or "")))

    def _view(self, text: str) -> str:
        """A query of the user's as a view of this session, made in the user's own search path: one SELECT, no more."""
        self._counted += 1
        name = f"sqlanon source {self._counted}"
        self._set_path(self._path_before)
        try:
            made = f"CREATE TEMP VIEW {self.rendered(query.identifier(name))} AS\n"
            self.client.one_statement("read the query of the source", made, text.strip().rstrip(";"))
        except EngineError as error:
            state = error.kind.split()[-1]
            if state[:2] in ("42", "0A") and state != "42501":  # its words, or what it asks for
                raise SpecError(
                    "the query of the source is no SELECT that the server can read", where="source.query"
                ) from None
            raise
        finally:
            self._set_path(_SETTINGS["search_path"])
        return name

    def _set_path(self, path: str) -> None:
        with suppress(EngineError):  # in a transaction that has failed, the rollback sets it back
            self.run("set the session", "SELECT set_config('search_path', ?, false)", [path])

    def _select(self, text: str) -> str:
        """A query of the user's as a FROM item in which every name is qualified by the server itself."""
        name = self._view(text)
        item = self.rendered(query.identifier(name))
        ((read,),) = self.run("read the query of the source", "SELECT pg_get_viewdef(?::regclass)", [f"pg_temp.{item}"])
        self.run("read the query of the source", f"DROP VIEW pg_temp.{item}")
        return f"({str(read).rstrip().rstrip(';')}\n)"

    def reader(self, file: Path) -> str:
        return self.received(Origin(file=file))

    def _path(self, name: str) -> tuple[str, str]:
        """The schema and name of a table or view; `schema.name` is understood, else the user's search path decides."""
        known = self._relations()
        for parts in (tuple(name.split(".")), (name,)):
            for fold in (str, str.lower):
                found = [p for p in known if [*map(fold, p[-len(parts) :])] == [*map(fold, parts)]]
                if found:
                    return found[0]
        names = sorted({n for s, n in known if s != _PRIVATE_SCHEMA})
        raise SpecError("there is no such table or view", where="source", found=name, allowed=names[:20])

    def _relations(self) -> list[tuple[str, str]]:
        """Schema and name of everything that may be looked into; what is in the user's path comes first."""
        sql = (
            "WITH n AS MATERIALIZED (SELECT oid, nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'USAGE')"
            " AND (oid = pg_my_temp_schema() OR nspname !~ '^(pg_|information_schema$)'))"
            " SELECT n.nspname, c.relname FROM pg_class AS c JOIN n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')"
        )
        path = [part.strip().strip('"') for part in self._path_before.replace('"$user"', self.user).split(",")]
        places = {schema: place for place, schema in enumerate(path)}

        def place(row: tuple[str, str]) -> tuple[int, str, str]:
            return (-1 if row[0].startswith("pg_temp") else places.get(row[0], len(path)), *row)

        return sorted(((str(s), str(n)) for s, n in self.run("read the catalog", sql)), key=place)

    def roots(self, origin: Origin) -> list[str]:
        if origin.file is not None:
            return []
        if origin.query is None:
            sql = "SELECT to_regclass(?)::text"
            return [str(self.run("explain the source", sql, [self.origin(origin)])[0][0])]
        sql = (
            "SELECT DISTINCT d.refobjid::regclass::text FROM pg_rewrite AS r JOIN pg_depend AS d ON d.objid = r.oid"
            " AND d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
            " WHERE r.ev_class = ?::regclass AND d.refobjid <> r.ev_class ORDER BY 1"
        )
        item = f"pg_temp.{self.own(self._view(origin.query))}"
        found = [str(name) for (name,) in self.run("explain the source", sql, [item])]
        self.run("explain the source", f"DROP VIEW {item}")
        return found

    def in_transaction(self) -> bool:
        return self.client.in_transaction

    def reads(self, origin: Origin, name: str) -> bool:
        if origin.file is not None:
            return False
        if origin.query is not None:
            made = self._view(origin.query)
            start = f"pg_temp.{self.rendered(query.identifier(made))}"
        else:
            start = self.origin(origin)
        sql = (
            "WITH RECURSIVE under (oid) AS (SELECT ?::regclass::oid UNION SELECT d.refobjid FROM under"
            " JOIN pg_rewrite AS r ON r.ev_class = under.oid JOIN pg_depend AS d ON d.objid = r.oid"
            " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass)"
            " SELECT count(*) FROM under WHERE oid = to_regclass(?)"
        )
        target = self.rendered(query.table(self.schema, name))
        ((found,),) = self.run("explain the source", sql, [start, target])
        if origin.query is not None:
            self.run("explain the source", f"DROP VIEW {start}")
        return bool(found)

    def attempt(self, step: str) -> AbstractContextManager[None]:
        return self.client.attempt(step)

    # -- making ------------------------------------------------------------------------------------------------

    def temporary(self, step: str, name: str, what: Query | Expression | Text) -> None:
        text, there = self._text(self.answered(step, what)), name in self._working
        made = f"{name} (new)" if there else name  # what is made may read what it replaces
        self._working.add(made)
        self.run(step, f"CREATE TEMP TABLE {self.own(made)} AS {text}")
        if there:
            self.run(step, f"DROP TABLE IF EXISTS pg_temp.{self.own(name)}")
            self.run(step, f"ALTER TABLE pg_temp.{self.own(made)} RENAME TO {self.own(name)}")
            self._working.discard(made)
        self.run(step, f"ANALYZE pg_temp.{self.own(name)}")  # nobody else does, for a working table

    def creating(self, name: str, what: Query | Expression | Text, *, again: bool = False) -> str:
        item, new = self.own(name), self.own(f"{name} (new)" if again else name)
        made = f"CREATE TEMP TABLE {new} AS\n{self.rendered(what)};\nANALYZE {new};"
        return f"{made}\nDROP TABLE {item};\nALTER TABLE {new} RENAME TO {item};" if again else made

    def alone(self, statements: str) -> str:
        """In a transaction with our settings, and with a key of its own for ties and the order of rows."""
        settings = "".join(f"SET LOCAL {name} = {value};\n" for name, value in self._settings_of_scripts())
        key = f"CREATE TEMP TABLE {self.own(KEY)} ON COMMIT DROP AS\nSELECT {_DRAWN_KEY} AS key;\n"
        schema = self.own(self.schema)
        if f"{schema}." in statements:
            settings += f"CREATE SCHEMA IF NOT EXISTS {schema};\n"
        return f"BEGIN;\n{settings}{key}{statements}\nCOMMIT;"

    def _settings_of_scripts(self) -> Iterator[tuple[str, str]]:
        """Those that decide what statements do, or whether they are fast."""
        for name, value in _SETTINGS.items():
            if name not in ("client_encoding", "client_min_messages", "default_transaction_isolation"):
                yield name, value if name == "search_path" else query.constant(value)

    def secret(self, step: str, name: str, key: str) -> Text:
        self.set_key(key)
        made = Text(f"SELECT key FROM pg_temp.{self.own(KEY)}")
        self.temporary(step, name, made)
        return made

    def set_key(self, key: str) -> None:
        """The key in a working table of one row, sent as data: no statement, parameter, setting or log holds it."""
        item = f"pg_temp.{self.own(KEY)}"
        self.run("set the key", f"DROP TABLE IF EXISTS {item}")
        self.run("set the key", f"CREATE TEMP TABLE {self.own(KEY)} (key text)")
        self._copy_in("set the key", item, [(key,)])

    def _copy_in(self, step: str, item: str, rows: Iterable[Sequence[object]]) -> None:
        self.client.copy_in(step, item, rows)

    def _copy_packed(self, step: str, item: str, packed: bytes) -> None:
        self.client.copy_packed(step, item, packed)

    def fetched(self, step: str, what: Query) -> Iterator[tuple[Any, ...]]:
        return self.client.fetched(step, self._text(what), _FETCHED)

    def filled(self, step: str, name: str, declared: Mapping[str, str], rows: Iterable[Sequence[object]]) -> None:
        item = f"pg_temp.{self.own(name)}"
        self._working.add(name)
        columns = ", ".join(f"{self.own(label)} {kind}" for label, kind in declared.items())
        self.run(step, f"CREATE TEMP TABLE {self.own(name)} ({columns})")
        self._copy_in(step, item, rows)
        self.run(step, f"ANALYZE {item}")

    def indexed(self, step: str, name: str, by: str) -> None:
        self.run(step, f"CREATE UNIQUE INDEX ON pg_temp.{self.own(name)} ({self.own(by)})")

    def drop_temporary(self, *names: str) -> None:
        if names:
            items = ", ".join(f"{self.held_in}.{self.own(name)}" for name in names)
            self.run("drop working tables", f"DROP TABLE IF EXISTS {items}")
        self._working.difference_update(names)

    def append(self, step: str, name: str, what: Query | Expression | Text) -> None:
        text = query.render(what, self.dialect, pretty=False)
        self.run(step, f"INSERT INTO pg_temp.{self.own(name)} {text}")

    def load(self, step: str, name: str, blocks: Iterable[Mapping[str, numpy.ndarray[Any, Any]]]) -> None:
        item, made = self.own(name), False
        self._working.add(name)
        self.run(step, f"DROP TABLE IF EXISTS pg_temp.{item}")
        for block in blocks:
            if not made:
                declared = ", ".join(f"{self.own(label)} {wire.declared(cells)}" for label, cells in block.items())
                self.run(step, f"CREATE TEMP TABLE {item} ({declared})")
                made = True
            if (packed := wire.packed([*block.values()])) is not None:
                self._copy_packed(step, f"pg_temp.{item}", packed)
                continue
            rows = zip(*(cells.tolist() for cells in block.values()), strict=True)
            self._copy_in(step, f"pg_temp.{item}", rows)
        self.run(step, f"ANALYZE pg_temp.{item}")

    def numbers(self, step: str, name: str, columns: Mapping[str, Sequence[int] | numpy.ndarray[Any, Any]]) -> None:
        import numpy as np

        cells = {
            label: values if isinstance(values, np.ndarray) else np.array(values, dtype=np.int64)
            for label, values in columns.items()
        }
        self.load(step, name, [cells])

    # -- what a server has nothing of ----------------------------------------------------------------------------

    def relations(self, catalog: str) -> set[str]:
        raise _NO_FILES

    def attached(self, path: Path, *, create: bool = False) -> Any:
        raise _NO_FILES

    def export_parquet(self, step: str, what: Query | Text, path: Path, facts: str, key: str) -> None:
        raise _NO_FILES

    def parquet_facts(self, path: Path) -> str | None:
        raise _NO_FILES


_NO_FILES = SpecError("Postgres reads and writes no files of yours; a released file is read by DuckDB, without --db")
