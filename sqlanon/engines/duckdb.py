"""DuckDB 2: the embedded engine. The only importer of duckdb."""

from __future__ import annotations

import getpass
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from sqlanon import query
from sqlanon.engines import Called, Column, Origin, Owner
from sqlanon.engines.asking import AskedDuckDB
from sqlanon.engines.planners import beside
from sqlanon.engines.relations import Roleless
from sqlanon.engines.words import family_of, hint
from sqlanon.errors import EngineError, ReleaseError, SpecError, nearest
from sqlanon.functions import FUNCTIONS, Function, Planner, Rows, through_arrow
from sqlanon.query import Expression, Query, Text

if TYPE_CHECKING:
    import numpy

_READERS = {".csv": "read_csv", ".tsv": "read_csv", ".txt": "read_csv", ".parquet": "read_parquet"} | dict.fromkeys(
    (".json", ".jsonl", ".ndjson"), "read_json"
)
_PRIVATE_SCHEMA = "sqlanon"

# Where the tables and the views are; in one question, since one costs more than what it is about.
_LISTED = (
    "SELECT database_name AS catalog, schema_name AS schema, table_name AS name, 'table' AS kind FROM duckdb_tables()"
    " UNION ALL"
    " SELECT database_name, schema_name, view_name, 'view' FROM duckdb_views() WHERE NOT internal"
)


class DuckDB(AskedDuckDB, Roleless):
    """One connection. `path` None is a database in memory, gone with the process.

    Every failure of the engine becomes an `EngineError` that names the step and the kind of failure and holds none of
    the engine's own words, which may quote cells.
    """

    name = "duckdb"
    dialect = "duckdb"
    schema = "main"
    connection: duckdb.DuckDBPyConnection
    held_in, forgetting = "temp", "RESET VARIABLE sqlanon_key"

    def __init__(
        self, path: str | None = None, connection: duckdb.DuckDBPyConnection | None = None, *, read_only: bool = False
    ) -> None:
        self.path = Path(path).absolute() if path else None
        self._owned = connection is None
        self._frames = 0
        self._working: set[str] = set()
        self._headed: set[tuple[object, ...]] = set()  # files as they were when they had a header
        with self._step("open the database"):
            self.connection = connection or duckdb.connect(str(self.path or ":memory:"), read_only=read_only)
            if self._owned:
                # Python's variables must not be readable as tables, and the order of a source is never kept.
                self.connection.execute(
                    "SET python_enable_replacements = false; SET preserve_insertion_order = false;"
                    " SET enable_progress_bar = false"
                )

    @property
    def version(self) -> str:
        return str(duckdb.__version__)

    @property
    def persistent(self) -> bool:
        """Whether what is published here outlives the process (or belongs to a connection of the caller's)."""
        return self.path is not None or not self._owned

    @property
    def url(self) -> str:
        return f"duckdb:///{self.path}" if self.path else "duckdb://"

    @property
    def user(self) -> str:
        """Who works here: DuckDB has no users of its own."""
        return getpass.getuser()

    def can(self, ability: str) -> bool:
        """Everything but roles and what needs them; `secure_view` from DuckDB 2 on."""
        known = {"secure_view": int(self.version.split(".")[0]) >= 2, "grant": False, "materialized_view": False}
        return known.get(ability, True)

    def close(self) -> None:
        """Ends the connection; a process that leaves one open prints noise when it ends."""
        if self._owned:
            self.connection.close()

    def __enter__(self) -> DuckDB:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        try:
            yield
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except (duckdb.Error, OSError) as error:
            raise EngineError(step, type(error).__name__, str(error), hint(str(error))) from None
        except RuntimeError as error:
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise EngineError(step, type(error).__name__, str(error)) from None

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """For many small queries, which threads would only slow down; the number is set back at the end."""
        ((threads,),) = self.run("read the settings", "SELECT current_setting('threads')")
        self.run("set the threads", "SET threads = 1")
        try:
            yield
        finally:
            self.connection.execute(f"SET threads = {int(threads)}")

    def _quietly(self, statement: str) -> None:
        with suppress(duckdb.Error):
            self.connection.execute(statement)

    # -- asking ------------------------------------------------------------------------------------------------

    def rendered(self, what: Query | Expression | Text) -> str:
        return query.render(what, self.dialect)

    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a query and returns its rows: numbers per class, domains, catalog facts. Raises `EngineError`."""
        text = what if isinstance(what, str) else query.render(what, self.dialect, pretty=False)
        with self._step(step):
            return self.connection.execute(text, list(parameters) or None).fetchall()

    def arrays(self, step: str, what: Query | Expression | Text | str) -> dict[str, numpy.ndarray[Any, Any]]:
        """The same as one array per column."""
        text = what if isinstance(what, str) else self.rendered(what)
        with self._step(step):
            return self.connection.execute(text).fetchnumpy()

    def columns(self, origin: Origin) -> tuple[Column, ...]:
        """The columns of a source, in its order. Raises `SpecError` where it is not there, else `EngineError`."""
        ((collation,),) = self.run("read the settings", "SELECT current_setting('default_collation')")
        if collation:
            raise SpecError(
                "texts must compare exactly; set default_collation = ''", where="engine", found=str(collation)
            )
        self._found(origin)
        self._named_by_a_header(origin)
        found = self.run(f"read the columns of {origin}", f"DESCRIBE SELECT * FROM {self.origin(origin)}")
        return tuple(Column(name, str(kind), family_of(str(kind))) for name, kind, *_ in found)

    def names(self, item: str) -> tuple[str, ...]:
        """The names of the columns of a FROM item."""
        return tuple(name for name, *_ in self.run("read the columns", f"DESCRIBE SELECT * FROM {item}"))

    def origin(self, origin: Origin) -> str:
        """The FROM item that reads a source."""
        if origin.query is not None:
            return self._select(origin.query)
        if origin.file is not None:
            return self._reader(origin.file, origin)
        catalog, schema, name = self._path(origin.relation or "")
        return self.rendered(query.table(catalog, schema, name))

    def _select(self, text: str) -> str:
        """A query of the user's as a FROM item, once it is known to be one SELECT and nothing else."""
        try:
            statements = self.connection.extract_statements(text)
        except duckdb.Error:
            raise SpecError("the query of the source cannot be parsed", where="source.query") from None
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise SpecError("the query of a source is one SELECT", where="source.query")
        return f"({text.strip().rstrip(';')}\n)"

    def reader(self, file: Path) -> str:
        """The FROM item that reads a file."""
        return self._reader(file, Origin(file=file))

    def _reader(self, file: Path, origin: Origin) -> str:
        ending = file.with_suffix("").suffix if file.suffix.lower() in (".gz", ".zst") else file.suffix
        reader = "read_csv" if origin.delimiter else _READERS.get(ending.lower())
        if reader is None:
            raise SpecError("no reader for this kind of file", where="source", found=file.suffix, allowed=_READERS)
        options = [query.constant(str(file.absolute()))]
        if reader == "read_csv":
            options += ["header = true"] + ([f"delim = {query.constant(origin.delimiter)}"] if origin.delimiter else [])
            if origin.text_columns:
                options.append(
                    "types = {" + ", ".join(f"{query.constant(c)}: 'VARCHAR'" for c in origin.text_columns) + "}"
                )
        return f"{reader}({', '.join(options)})"

    def _named_by_a_header(self, origin: Origin) -> None:
        """Refuses a CSV whose first line is data by its types: its cells would be taken, and told, for column names."""
        if origin.file is None or not self.origin(origin).startswith("read_csv("):
            return
        with self._step(f"look at {origin}"):
            state = origin.file.stat()
        looked = (str(origin.file.absolute()), state.st_mtime_ns, state.st_size, origin.delimiter)
        if looked in self._headed:
            return
        delimiter = f", delim = {query.constant(origin.delimiter)}" if origin.delimiter else ""
        sql = f"SELECT HasHeader, Columns FROM sniff_csv({query.constant(str(origin.file.absolute()))}{delimiter})"
        ((header, columns),) = self.run(f"read the first lines of {origin}", sql)
        if not header and any(column["type"] != "VARCHAR" for column in columns):
            raise SpecError("the first line of the file is data, and not the names of its columns", where="source")
        self._headed.add(looked)

    def _found(self, origin: Origin) -> None:
        if origin.file is not None:
            if not origin.file.exists():
                near = nearest(origin.file.name, [p.name for p in origin.file.parent.glob("*")])
                raise SpecError("there is no such file", where="source", found=str(origin.file), suggestion=near)
            if not origin.file.is_file():
                raise SpecError("this is not a file", where="source", found=str(origin.file))

    def _path(self, name: str) -> tuple[str, str, str]:
        """The catalog, schema and name of a table or view; `schema.name` and `catalog.schema.name` are understood."""
        known = [(c, s, n) for c, s, n, _ in self._relations()]
        wanted = [tuple(name.split(".")), (name,)]
        for parts in wanted:
            exact = [path for path in known if tuple(path[-len(parts) :]) == parts]
            loose = [p for p in known if tuple(w.lower() for w in p[-len(parts) :]) == tuple(w.lower() for w in parts)]
            if exact or loose:
                return (exact or loose)[0]
        names = sorted({n for _, s, n in known if s != _PRIVATE_SCHEMA})
        raise SpecError("there is no such table or view", where="source", found=name, allowed=names[:20])

    def _relations(self) -> list[tuple[str, str, str, str]]:
        """Catalog, schema, name and kind (table, view) of everything there is; what is in front is found first."""
        found = sorted(self._listed(), key=lambda row: (row[0] != row[4], row[1] != "main", row))
        return [(catalog, schema, name, kind) for catalog, schema, name, kind, _ in found]

    def _listed(self) -> list[tuple[Any, ...]]:
        """The same in no order, each with the catalog that is in front."""
        return self.run("read the catalog", f"SELECT *, current_database() FROM ({_LISTED})")

    def reads(self, origin: Origin, name: str) -> bool:
        """Whether a source reads the relation of this name in the schema where releases are, through views too."""
        if origin.file is not None:
            return False
        own = f"main.{name}".lower()
        reading = f"SELECT * FROM {self.origin(origin)}"
        plan = self.run("explain the source", f"EXPLAIN (FORMAT json) {reading}")[0][1]
        tables = [found.lower() for found in re.findall(r'"Table": "((?:[^"\\]|\\.)*)"', str(plan))]
        # A plan tells nothing of what is under a secure view; the names of tables do.
        tables += [found.replace('"', "").lower() for found in self.connection.get_table_names(reading)]
        if origin.relation is not None:
            tables.append(".".join(self._path(origin.relation)).lower())
        return any(found == name.lower() or found.endswith(own) for found in tables) or name.lower() in self._views(
            reading
        )

    def _views(self, text: str) -> set[str]:
        """The views that a query could read, by the words in it and in the views themselves: rather too many."""
        listed = "SELECT lower(view_name), sql FROM duckdb_views() WHERE NOT internal"
        views, found, unread = dict(self.run("read the catalog", listed)), set[str](), [text]
        while unread:
            plain = re.sub(r"'(?:[^']|'')*'", " ", unread.pop().lower())
            words = {quoted.replace('""', '"') or bare for quoted, bare in re.findall(r'"((?:[^"]|"")*)"|(\w+)', plain)}
            unread += [views[name] for name in words & views.keys() - found]
            found |= words & views.keys()
        return found

    def register(self, frame: object) -> Origin:
        """Makes a pandas, polars or Arrow frame readable under a name of its own, without a copy where possible."""
        self._frames += 1
        name = f"frame_{self._frames}"
        with self._step("read the data frame"):
            self.connection.register(name, frame)
        return Origin(relation=name)

    def frame(self, relation: str, like: object) -> Any:
        """A relation as a frame of the same kind as `like`. For the caller's own result, not for sqlanon's work."""
        module = type(like).__module__.split(".")[0]
        with self._step("return the data frame"):
            found = self.connection.sql(f"SELECT * FROM {self.rendered(query.table(relation))}")
            if module == "polars":
                return found.pl()
            return found.to_arrow_table() if module == "pyarrow" else found.df()

    # -- making ------------------------------------------------------------------------------------------------

    def temporary(self, step: str, name: str, what: Query | Expression | Text) -> None:
        """A working table of this connection, seen by nobody else."""
        text = query.render(what, self.dialect, pretty=False)
        self._working.add(name)
        self.run(step, f"CREATE OR REPLACE TEMP TABLE {self.rendered(query.identifier(name))} AS {text}")

    def creating(self, name: str, what: Query | Expression | Text, *, again: bool = False) -> str:
        made = f"CREATE {'OR REPLACE ' * again}TEMP TABLE {self.rendered(query.identifier(name))} AS"
        return f"{made}\n{self.rendered(what)};"

    def alone(self, statements: str) -> str:
        return statements

    def secret(self, step: str, name: str, key: str) -> Text:
        """A working table of one row, `key`, and the query that makes it wherever the key was set: it holds no key."""
        self.run("set the key", "SET VARIABLE sqlanon_key = ?", [key])
        made = Text("SELECT getvariable('sqlanon_key') AS key")
        self.temporary(step, name, made)
        return made

    def append(self, step: str, name: str, what: Query | Expression | Text) -> None:
        """More rows for a working table."""
        text = query.render(what, self.dialect, pretty=False)
        self.run(step, f"INSERT INTO temp.{self.rendered(query.identifier(name))} {text}")

    def load(self, step: str, name: str, blocks: Iterable[Mapping[str, numpy.ndarray[Any, Any]]]) -> None:
        """A working table of arrays, a block of rows after the other; all blocks have the same columns and types."""
        item, making = self.rendered(query.identifier(name)), "CREATE OR REPLACE TEMP TABLE {} AS"
        self._working.add(name)
        for block in blocks:
            with self._step(step):
                self.connection.register("sqlanon_block", dict(block))
                try:
                    self.connection.execute(f"{making.format(item)} SELECT * FROM sqlanon_block")
                finally:
                    self.connection.unregister("sqlanon_block")
            making = "INSERT INTO temp.{}"

    def numbers(self, step: str, name: str, columns: Mapping[str, Sequence[int] | numpy.ndarray[Any, Any]]) -> None:
        """A working table of numbers that were worked out here, such as a plan of exchanges; columns equally long."""
        self._frames += 1
        held = f"sqlanon_numbers_{self._frames}"
        with self._step(step):
            self.connection.register(held, {label: _numbers(values) for label, values in columns.items()})
        try:
            self.temporary(step, name, query.fragment("select * from $held", held=query.table(held)))
        finally:
            with self._step(step):
                self.connection.unregister(held)

    @contextmanager
    def functions(self, key: str, *, vectorised: bool | None = None) -> Iterator[None]:
        """Our own functions on this connection, the keyed ones with this key; they are gone at the end.

        `vectorised`: many rows at once through Arrow; by default where pyarrow is there. The results are the same.
        """
        arrow = bool(find_spec("pyarrow")) if vectorised is None else vectorised
        # Made by a cursor of its own: a transaction that fails would take them away and leave their names behind.
        with self._step("make the functions"):
            maker = self.connection.cursor()
        made: list[str] = []
        try:
            for function in FUNCTIONS:
                with self._step("make the functions"):
                    _make(maker, function, key, vectorised=arrow and function.many is not None)
                made.append(function.name)
            yield
        finally:
            for name in made:
                maker.remove_function(name)
            maker.close()

    def called(
        self, step: str, name: str, planner: Planner, constants: Sequence[object], rows: Sequence[Rows]
    ) -> Called:
        beside(self, step, name, planner, constants, rows)
        return Called()

    @property
    def where_functions_run(self) -> str:
        return ""

    def publisher(self, roles: Sequence[str], owner: str | None = None) -> Owner:
        """Refuses roles: DuckDB has none. Raises `SpecError`."""
        for key, asked in (("grant", list(roles)), ("owner", owner)):
            if asked:
                told = f"DuckDB has no roles; leave {key} out, or publish a file"
                raise SpecError(told, where=f"publish.{key}")
        return Owner()

    def create_table(self, step: str, path: Sequence[str], what: Query, key: str) -> None:
        """A table of the rows of `what`; `key` is the one that `shuffled` orders by."""
        self.run("set the order", "SET VARIABLE sqlanon_key = ?", [key])
        self.run(step, f"CREATE TABLE {self._at(path)} AS\n{self.rendered(what)}")

    def shuffled(self, what: Query, columns: Sequence[str], number: str | None = None) -> Query:
        """The same rows in the keyed order; equal rows cannot be told apart. Each stands for `number` rows, or one."""
        *earlier, last = what.steps
        names = ", ".join(self.rendered(query.column(name)) for name in columns)
        item = self.rendered(query.table(last.name))
        ordered = f"SELECT *\nFROM {item}\nORDER BY hash(getvariable('sqlanon_key'), {names})"
        comment = "in a keyed order, so that no position tells where a row came from"
        made = Query((*earlier, replace(last, inline=True))).then("shuffled", Text(ordered), comment)
        if number is None:
            return made
        copies = self.rendered(query.identifier(query.fresh("copy", (*columns, number))))
        repeated = f"SELECT *, unnest(range({self.rendered(query.column(number))})) AS {copies}\n  FROM shuffled"
        return made.then("repeated", Text(f"SELECT {names}\nFROM (\n  {repeated}\n)"), "each as often as it occurs")

    def create_view(self, step: str, path: Sequence[str], what: Query, kind: str = "view") -> None:
        """A secure view: the reader's predicates are never run on rows that the view hides. Needs DuckDB 2."""
        if not self.can("secure_view"):
            raise ReleaseError(
                f"DuckDB {self.version} has no secure views, which a published view needs; publish a table or a file"
            )
        self.run(step, self.view_statement(path, what, kind))

    def view_statement(self, path: Sequence[str], what: Query, kind: str = "view") -> str:
        if kind != "view":
            raise SpecError("DuckDB has no materialized views; publish a table", where="publish.as", found=kind)
        return f"CREATE SECURE VIEW {self._at(path)} AS\n{self.rendered(what)}"

    def labelled(self, name: str, catalog: str | None = None) -> str | None:
        """The comment on the table or view of this name where releases are."""
        sql = (
            "SELECT comment FROM (SELECT database_name, schema_name, table_name AS name, comment FROM duckdb_tables()"
            " UNION ALL SELECT database_name, schema_name, view_name, comment FROM duckdb_views())"
            " WHERE database_name = coalesce(?, current_database()) AND schema_name = 'main' AND lower(name) = ?"
        )
        found = self.run("read the catalog", sql, [catalog, name.lower()])
        return found[0][0] if found else None

    def relations(self, catalog: str) -> set[str]:
        """The names of all tables and views of an attached file, outside sqlanon's own schema."""
        return {name for c, schema, name, _ in self._relations() if c == catalog and schema != _PRIVATE_SCHEMA}

    def kind_of(self, name: str, schema: str | None = None, catalog: str | None = None) -> str | None:
        """`table`, `view` or None: what stands under a name where releases are published."""
        there = (schema or self.schema, name.lower())
        found = (
            kind
            for own, place, named, kind, here in self._listed()
            if own == (catalog or here) and (place, named.lower()) == there
        )
        return next(found, None)

    @contextmanager
    def attached(self, path: Path, *, create: bool = False) -> Iterator[str]:
        """A database file under a catalog name: read only, or (`create`) a new one."""
        catalog = f"sqlanon_file_{secrets.token_hex(4)}"
        mode = "" if create else " (READ_ONLY)"
        self.run("open the file", f"ATTACH {query.constant(str(path))} AS {catalog}{mode}")
        try:
            yield catalog
        finally:
            with self._step("close the file"):
                self.connection.execute(f"DETACH {catalog}")

    def export_parquet(self, step: str, what: Query | Text, path: Path, facts: str, key: str) -> None:
        """Writes a Parquet file whose metadata carries the manifest under the key `sqlanon`."""
        self.run("set the order", "SET VARIABLE sqlanon_key = ?", [key])
        # Rows are written in the order in which they come, which is the keyed one but for the threads' turns.
        options = f"FORMAT parquet, PRESERVE_ORDER false, KV_METADATA {{sqlanon: {query.constant(facts)}}}"
        self.run(step, f"COPY (\n{self.rendered(what)}\n) TO {query.constant(str(path))} ({options})")

    def parquet_facts(self, path: Path) -> str | None:
        """The manifest of a Parquet file that `export_parquet` wrote, or None."""
        sql = (
            f"SELECT decode(value) FROM parquet_kv_metadata({query.constant(str(path))}) WHERE decode(key) = 'sqlanon'"
        )
        found = self.run("read the manifest", sql)
        return found[0][0] if found else None

    def digest(self, item: str, columns: Sequence[str], number: str | None = None) -> str:
        """A digest of a relation's rows, whatever their order: it changes when a cell, a name or their number does."""
        names = ", ".join([query.constant(repr(list(columns))), *(self.rendered(query.column(n)) for n in columns)])
        many = self.rendered(query.column(number)) if number else ""
        rows, times = (f"sum({many})::BIGINT", f" * {many}") if number else ("count(*)", "")
        sql = f"SELECT {rows}, sum(hash({names})::HUGEINT{times})::VARCHAR FROM {item}"
        ((records, total),) = self.run("digest the rows", sql)
        return f"duckdb-{self.version}:{records}:{total}"


def _make(connection: duckdb.DuckDBPyConnection, function: Function, key: str, *, vectorised: bool) -> None:
    first = (key,) if function.keyed else ()
    call: Callable[..., Any] = partial(function.one, *first)
    if vectorised and function.many is not None:
        call = through_arrow(partial(function.many, *first), len(function.takes))
    kind = "arrow" if vectorised else "native"
    connection.create_function(function.name, call, list(function.takes), function.gives, type=kind)  # type: ignore[call-overload]


def _numbers(values: Sequence[int] | numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    import numpy

    return values if isinstance(values, numpy.ndarray) else numpy.array(values, dtype=numpy.int64)
