"""What both engines do alike with tables: name, rename, comment on what is published, forget what was worked with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar

from sqlanon import query
from sqlanon.engines import Origin, Owner
from sqlanon.engines.definitions import DefinedByDuckDB
from sqlanon.errors import EngineError
from sqlanon.query import Expression, Query, Text


class Relations(ABC):
    """The statements that are the same on every engine; how one is run is the engine's business.

    `held_in`: the schema of working tables; `forgetting`: the statement after which there is no key of an order.
    """

    held_in: ClassVar[str]
    forgetting: ClassVar[str]
    _working: set[str]

    @abstractmethod
    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""

    @abstractmethod
    def rendered(self, what: Query | Expression | Text) -> str:
        """The text of a query as it runs here."""

    @abstractmethod
    def origin(self, origin: Origin) -> str:
        """The FROM item that reads a source."""

    def own(self, name: str) -> str:
        """A name as a quoted identifier."""
        return self.rendered(query.identifier(name))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Whatever ends it, no working table that was made inside stays on the connection, and no key of an order."""
        before = set(self._working)
        try:
            yield
        finally:
            names = sorted(self._working - before)
            self._working = before
            for statement in (*map(self._dropping, names), self.forgetting):
                self._quietly(statement)

    def _quietly(self, statement: str) -> None:
        """Runs a statement at the end of all; what went wrong, or right, before it is what must be told."""
        with suppress(EngineError):
            self.run("drop working tables", statement)

    def drop_temporary(self, *names: str) -> None:
        """Drops working tables, those that there are."""
        for name in names:
            self.run("drop working tables", self._dropping(name))
            self._working.discard(name)

    def _dropping(self, name: str) -> str:
        return f"DROP TABLE IF EXISTS {self.held_in}.{self.own(name)}"

    def _at(self, path: Sequence[str]) -> str:
        return self.rendered(query.table(*path))

    def rename(self, path: Sequence[str], name: str, kind: str = "table") -> None:
        """Gives a table, or a materialized view, another name in its schema."""
        self.run("put the release in place", f"ALTER {kind.upper()} {self._at(path)} RENAME TO {self.own(name)}")

    def drop(self, path: Sequence[str], kind: str) -> None:
        """Drops a table or view."""
        self.run("take the release away", f"DROP {kind.upper()} IF EXISTS {self._at(path)}")

    def comment(self, path: Sequence[str], name: str, text: str) -> None:
        """What was done to a published column, where a reader of the table finds it."""
        at = self.rendered(query.column(name))
        self.run("comment on the release", f"COMMENT ON COLUMN {self._at(path)}.{at} IS {query.constant(text)}")

    def label(self, path: Sequence[str], kind: str, text: str) -> None:
        """A comment on a table or view as a whole."""
        self.run("comment on the release", f"COMMENT ON {kind.upper()} {self._at(path)} IS {query.constant(text)}")


class Roleless(Relations, DefinedByDuckDB):
    """An engine without roles: whoever may open the database may read and write it."""

    @abstractmethod
    def names(self, item: str) -> tuple[str, ...]:
        """The names of the columns of a FROM item."""

    @abstractmethod
    def digest(self, item: str, columns: Sequence[str]) -> str:
        """A digest of a relation's rows."""

    def hashed(self, text: str) -> str:
        """The SQL of a hash of a text."""
        return f"sha256({text})"

    def protect(self, path: Sequence[str], kind: str, roles: Sequence[str]) -> None:
        """Nothing: there are no rights to take away."""

    def hand_over(self, path: Sequence[str], kind: str, owner: Owner) -> None:
        """Nothing: there are no owners."""

    def closing(self, schema: str, *tables: str) -> AbstractContextManager[None]:
        """Nothing: nobody is given anything."""
        return nullcontext()

    def trusts_register(self) -> None:
        """Nothing: whoever writes the register may do everything here."""

    def readers(self, name: str) -> tuple[str, ...]:
        """None: there are no roles."""
        return ()

    def covers(self, origin: Origin, roles: Sequence[str]) -> None:
        """Nothing: there are no partitions."""

    def serves(self, owner: Owner, origins: Sequence[Origin]) -> None:
        """Nothing: a view reads what whoever reads it may read."""

    def named(self, origin: Origin) -> str:
        """What the register calls a source."""
        return str(origin.file.absolute()) if origin.file else origin.relation or origin.query or ""

    def state(self, origin: Origin) -> str | None:
        """A mark that changes when the source does: a digest of all of it, or a file's size and time of change.

        It misses a file that was changed and given its old size and time. None for a file that is not here.
        """
        if origin.file is None:
            item = self.origin(origin)
            return self.digest(item, self.names(item))
        return state_of(origin.file)


def state_of(file: Path) -> str | None:
    """A mark that changes when a file does: its size and time of change. None for a file that is not here."""
    if not file.is_file():
        return None
    told = file.stat()
    return f"file:{told.st_size}:{told.st_mtime_ns}"
