"""The databases that sqlanon runs in. An engine knows queries, errors and I/O; never specs, models or plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlanon.errors import SpecError, nearest
from sqlanon.query import Expression, Query, Text

if TYPE_CHECKING:
    import numpy

    from sqlanon.engines.answers import Relation
    from sqlanon.engines.definitions import Defined
    from sqlanon.functions import Planner, Rows

    Arrays = dict[str, numpy.ndarray[Any, Any]]
    Block = Mapping[str, numpy.ndarray[Any, Any]]


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


@dataclass(frozen=True)
class Owner:
    """Whom a release belongs to: a `role` made for that, or None where it is whoever publishes; the `note` says so."""

    role: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Called:
    """Where a planner was run, in words (none if there is but one way); the `query`, if the database called it."""

    where: str = ""
    query: Text | None = None


class Engine(Protocol):
    """What sqlanon asks of a database. Engines differ in I/O, roles and functions, not in what privacy is.

    Every method raises `EngineError`, which names the step and the kind of failure and holds none of the engine's own
    words; what one engine cannot do raises `SpecError` before anything is run.
    """

    name: str
    dialect: str

    @property
    def version(self) -> str:
        """The version of the database."""

    @property
    def persistent(self) -> bool:
        """Whether what is published here outlives the process."""

    @property
    def url(self) -> str:
        """Where the database is, without a password."""

    @property
    def user(self) -> str:
        """Who works here, as the register tells it."""

    @property
    def schema(self) -> str:
        """The schema in which releases stand."""

    def can(self, ability: str) -> bool:
        """What this engine is able to do: `secure_view`, `materialized_view`, `file`, `grant`, and rooms of sqlanon."""

    def close(self) -> None:
        """Ends the connection."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def one_thread(self) -> AbstractContextManager[None]:
        """For many small queries, which threads would only slow down."""

    def rendered(self, what: Query | Expression | Text) -> str:
        """The text of a query as it runs here."""

    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a query and returns its rows: numbers per class, domains, catalog facts. `?` stands for a parameter."""

    def arrays(self, step: str, what: Query | Expression | Text | str) -> Arrays:
        """The same as one array per column, masked where values are missing."""

    def columns(self, origin: Origin) -> tuple[Column, ...]:
        """The columns of a source, in its order. Raises `SpecError` where it is not there."""

    def names(self, item: str) -> tuple[str, ...]:
        """The names of the columns of a FROM item."""

    def origin(self, origin: Origin) -> str:
        """The FROM item that reads a source."""

    def reader(self, file: Path) -> str:
        """The FROM item that reads a file."""

    def reads(self, origin: Origin, name: str) -> bool:
        """Whether a source reads the relation of this name in the schema where releases are, through views too."""

    def register(self, frame: object) -> Origin:
        """Makes a pandas, polars or Arrow frame readable under a name of its own."""

    def frame(self, relation: str, like: object) -> Any:
        """A relation as a frame of the same kind as `like`."""

    def transaction(self) -> AbstractContextManager[None]:
        """All of it or nothing, whatever ends it; within a transaction that is open, a part of that."""

    @property
    def opened(self) -> str:
        """Whether a transaction is `open` or has `failed`; else nothing."""

    def sql(self, text: str) -> Any:
        """Runs a script in which statements of sqlanon stand among the engine's own; what its last one came to."""

    def statement(self, text: str) -> Relation | int | None:
        """Runs one statement of an analyst's as it stands: its rows, how many it changed, or None."""

    def temporary(self, step: str, name: str, what: Query | Expression | Text) -> None:
        """A working table of this connection, seen by nobody else; it takes the place of one of the same name."""

    def working(self) -> AbstractContextManager[None]:
        """Whatever ends it, no working table that was made inside stays on the connection, and no key of an order."""

    def hashed(self, text: str) -> str:
        """The SQL of a hash of a text that tells nothing of it, as long as a part of it is secret."""

    def secret(self, step: str, name: str, key: str) -> Text:
        """A working table of one row, `key`, and the query that makes it wherever the key was set: it holds no key."""

    def creating(self, name: str, what: Query | Expression | Text, *, again: bool = False) -> str:
        """The statements that make a working table; `again`: one of that name is there, and may be read to make it."""

    def alone(self, statements: str) -> str:
        """Statements with all that they need around them to run by themselves, in anybody's session."""

    def append(self, step: str, name: str, what: Query | Expression | Text) -> None:
        """More rows for a working table."""

    def load(self, step: str, name: str, blocks: Iterable[Block]) -> None:
        """A working table of arrays, a block of rows after the other; all blocks have the same columns and types."""

    def numbers(self, step: str, name: str, columns: Mapping[str, Sequence[int] | numpy.ndarray[Any, Any]]) -> None:
        """A working table of numbers that were worked out here, such as a plan of exchanges; columns equally long."""

    def functions(self, key: str, *, vectorised: bool | None = None) -> AbstractContextManager[None]:
        """Our own functions on this connection, the keyed ones with this key; they are gone at the end."""

    def called(
        self, step: str, name: str, planner: Planner, constants: Sequence[object], rows: Sequence[Rows]
    ) -> Called:
        """A working table of the rows that a planner gives for constants and relations, the same wherever it is run."""

    @property
    def where_functions_run(self) -> str:
        """Who works out our own functions, where that may be one or the other; else nothing."""

    def drop_temporary(self, *names: str) -> None:
        """Drops working tables, those that there are."""

    def publisher(self, roles: Sequence[str], owner: str | None = None) -> Owner:
        """Refuses to publish as or for somebody who should not, and tells whose the release will be.

        `owner` is the role that is asked for. Raises `SpecError`, `ReleaseError`.
        """

    def covers(self, origin: Origin, roles: Sequence[str]) -> None:
        """Refuses a source that is part of a greater table, or has parts that these roles read. Raises `SpecError`."""

    def serves(self, owner: Owner, origins: Sequence[Origin]) -> None:
        """Refuses an owner of a view who may not read what the view reads. Raises `SpecError`."""

    def plainly(self, text: str) -> str:
        """A SELECT as the engine itself has read it."""

    def defined(self, parts: Sequence[str], home: Sequence[str] = ()) -> Defined | None:
        """What a name means in a query, or in the view `home`; None where that is nothing, or more than one thing."""

    def computes(self, relation: str) -> bool:
        """Whether columns of a table or view may be computed from others: it is a view, or some are generated."""

    def made_functions(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of functions that users made, and those of them that take the place of the engine's own."""

    def named(self, origin: Origin) -> str:
        """What the register calls a source: its schema and name, its path, or its query."""

    def state(self, origin: Origin) -> str | None:
        """A mark that is another one when the source has changed; the engine says what it can miss. None: unknown."""

    def create_table(self, step: str, path: Sequence[str], what: Query, key: str) -> None:
        """A table of the rows of `what`; `key` is the one that `shuffled` orders by."""

    def shuffled(self, what: Query, columns: Sequence[str], number: str | None = None) -> Query:
        """The same rows in the keyed order; equal rows cannot be told apart. Each stands for `number` rows, or one."""

    def view_statement(self, path: Sequence[str], what: Query, kind: str = "view") -> str:
        """The statement that makes a view which a reader's predicates cannot see through, or a materialized view."""

    def create_view(self, step: str, path: Sequence[str], what: Query, kind: str = "view") -> None:
        """Such a view. Raises `ReleaseError` where the engine has none."""

    def rename(self, path: Sequence[str], name: str, kind: str = "table") -> None:
        """Gives a table, or a materialized view, another name in its schema."""

    def hand_over(self, path: Sequence[str], kind: str, owner: Owner) -> None:
        """Gives a table or view to its owner. Raises `SpecError` where he may not have it."""

    def drop(self, path: Sequence[str], kind: str) -> None:
        """Drops a table or view."""

    def protect(self, path: Sequence[str], kind: str, roles: Sequence[str]) -> None:
        """Lets nobody write, not even the owner, and these roles and the owner alone read."""

    def closing(self, schema: str, *tables: str) -> AbstractContextManager[None]:
        """While a schema and tables in it are made: afterwards nobody but their maker has a right on them."""

    def trusts_register(self) -> None:
        """Refuses a superuser, unless forced, before SQL that a publisher left in the register is run."""

    def readers(self, name: str) -> tuple[str, ...]:
        """The roles, beside its owner, that may read the table or view of this name where releases are."""

    def comment(self, path: Sequence[str], name: str, text: str) -> None:
        """What was done to a published column, where a reader of the table finds it."""

    def label(self, path: Sequence[str], kind: str, text: str) -> None:
        """A comment on a table or view as a whole."""

    def labelled(self, name: str, catalog: str | None = None) -> str | None:
        """The comment on the table or view of this name where releases are."""

    def relations(self, catalog: str) -> set[str]:
        """The names of all tables and views of an attached file, outside sqlanon's own schema."""

    def kind_of(self, name: str, schema: str | None = None, catalog: str | None = None) -> str | None:
        """`table`, `view`, `materialized view` or None: what stands under a name where releases are published."""

    def attached(self, path: Path, *, create: bool = False) -> AbstractContextManager[str]:
        """A database file under a catalog name: read only, or (`create`) a new one."""

    def export_parquet(self, step: str, what: Query | Text, path: Path, facts: str, key: str) -> None:
        """Writes a Parquet file whose metadata carries the manifest."""

    def parquet_facts(self, path: Path) -> str | None:
        """The manifest of a Parquet file that `export_parquet` wrote, or None."""

    def digest(self, item: str, columns: Sequence[str], number: str | None = None) -> str:
        """A digest of a relation's rows, whatever their order: it changes when any cell or the number of rows does.

        Each row stands for as many as its column `number` says, or for one.
        """


def require(engine: Engine, ability: str, told: str) -> None:
    """Refuses what this engine has no part of yet, before anything is run. Raises `SpecError`."""
    if not engine.can(ability):
        raise SpecError(f"{told} is not there yet on {engine.name}; nothing was run", where="--db")


def connect(url: str | None = None, *, create: bool = True, read_only: bool = False, superuser: bool = False) -> Engine:
    """The engine behind a URL: `duckdb:///path.db`, `postgresql://…`, or None for DuckDB in memory.

    A DuckDB database that is not there yet is made, unless `create` is False; `read_only` shares the file with other
    readers. `superuser` lets a superuser of Postgres publish. Raises `SpecError`, `EngineError`.
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
    if scheme in ("postgresql", "postgres"):
        from sqlanon.engines.postgres import Postgres

        return Postgres(url, superuser=superuser)
    allowed = ("duckdb:///path.duckdb", "postgresql://user@host/database")
    raise SpecError("no engine for this URL", where="--db", found=f"{scheme}:…", allowed=allowed)
