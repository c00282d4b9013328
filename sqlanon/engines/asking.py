"""An analyst's own statements: run as they are, as the analyst's session has it, beside sqlanon's work.

A transaction that a statement has begun stays open: what sqlanon does then is a part of it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from typing import Any, ClassVar, Literal

from sqlanon.engines import Column
from sqlanon.engines.answers import Relation
from sqlanon.engines.postgres_words import family_of as family_of_postgres
from sqlanon.engines.words import family_of
from sqlanon.errors import EngineError, SpecError
from sqlanon.query import Expression, Query, Text

_STEP = "run the statement"
_BEFORE = re.compile(r"[\s\u200b\ufeff]+|--[^\r\n]*|/\*")  # white space, as DuckDB has it, and comments
_MARK = re.compile(r"/\*|\*/")


class Asked:
    """An engine that is spoken to in SQL."""

    def sql(self, text: str) -> Any:
        """Runs a script in which statements of sqlanon stand among the engine's own; what its last one came to.

        Rows as a `Relation`, how many rows were changed, a `Release`, a `Check`, a plan, … Stops at the first error.
        Raises `SpecError`, `ModelNotMet`, `EngineError`, `ReleaseError`, which begin with line and column.
        """
        # An engine knows no specs: it leads to the public door, which is there whenever an engine is.
        return import_module("sqlanon").execute(self, text)


Open = Literal["", "open", "failed"]  # a transaction


class AskedDuckDB(Asked, ABC):
    """DuckDB, which says nothing of its transactions: they are told by the statements that begin and end them."""

    connection: Any
    _open: bool = False

    @abstractmethod
    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""

    @abstractmethod
    def _step(self, step: str) -> AbstractContextManager[None]:
        """Every failure becomes an `EngineError`."""

    @property
    def opened(self) -> Open:
        """Whether a transaction is open here."""
        return "open" if self._open else ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, whatever ends it; within a transaction that is open, a part of that."""
        if self._open:
            yield
            return
        self.run("begin", "BEGIN TRANSACTION")
        self._open = True
        try:
            yield
        except BaseException:
            self._open = False
            with suppress(EngineError):  # what went wrong before is what must be told
                self.run("roll back", "ROLLBACK")
            raise
        self._open = False
        self.run("commit", "COMMIT")

    def statement(self, text: str) -> Relation | int | None:
        """Runs one statement as it stands: its rows, how many it changed, or None."""
        lead = text[: _start(text)]  # from which DuckDB's places do not count, or do so wrongly
        try:
            with self._step(_STEP):
                found = self.connection.extract_statements(text[len(lead) :])
            if len(found) != 1:
                raise SpecError("this is not one statement")
            with self._step(_STEP):
                result = self.connection.execute(found[0])
                described, rows = result.description, result.fetchall()
        except EngineError as error:
            error.place = _after(lead, _marked(error.engine_text))
            raise
        kind = found[0].type.name
        if kind == "TRANSACTION":
            self._open = re.match(r"(BEGIN|START)\b", text[len(lead) :], re.I) is not None
        if kind in ("CREATE", "SET", "TRANSACTION", "ATTACH", "DETACH", "LOAD", "DROP", "ALTER"):
            return None
        if [(name, str(what)) for name, what, *_ in described or ()] == [("Count", "BIGINT")] and kind != "SELECT":
            return int(rows[0][0]) if rows else 0
        columns = [Column(name, str(what), family_of(str(what))) for name, what, *_ in described or ()]
        return Relation(tuple(columns), tuple(rows), typed=True) if columns else None

    def framed(self, cells: dict[str, Any], read: str, how: str) -> Any:
        """Arrays as a frame, by DuckDB's own method of that name."""
        with self._step("return the data frame"):
            self.connection.register("sqlanon_block", cells)
            return getattr(self.connection.sql(f"SELECT {read} FROM sqlanon_block"), how)()


def _marked(text: str) -> tuple[int, int] | None:
    """The line and column that DuckDB's words mark with a caret; the column is 1 where it cuts the line off."""
    found = re.search(r"^LINE (\d+): (.*)\n( *)\^", text, re.MULTILINE)
    if found is None:
        return None
    before = len(f"LINE {found[1]}: ")
    return int(found[1]), 1 if found[2].startswith("...") else max(1, len(found[3]) - before + 1)


def _bare(text: str) -> str:
    """A statement without its comments, which nest, and with nothing in its texts."""
    text, found = re.sub(r"'(?:[^']|'')*'", "''", text), 1
    text = re.sub(r"--[^\n]*", " ", text)
    while found:
        text, found = re.subn(r"/\*(?:(?!/\*|\*/).)*\*/", " ", text, flags=re.DOTALL)
    return text.strip()


def _start(text: str) -> int:
    """Where a statement begins: after white space and comments, which nest."""
    here, depth = 0, 0
    while found := (_MARK.search if depth else _BEFORE.match)(text, here):
        here = found.end()
        depth += 1 if found[0] == "/*" else -1 if found[0] == "*/" else 0
    return here if not depth else len(text)


def _after(lead: str, place: tuple[int, int] | None) -> tuple[int, int] | None:
    """A place in a text that has `lead` before it."""
    if place is None:
        return None
    line, column = place
    return lead.count("\n") + line, column + (len(lead) - lead.rfind("\n") - 1 if line == 1 else 0)


class AskedServer(Asked, ABC):
    """A server, whose session has settings of ours while sqlanon works, and the analyst's own for his statements."""

    client: Any
    settings: ClassVar[dict[str, str]]
    _before: list[tuple[str, str]]
    _ours: list[tuple[str, str]]
    _path_before: str
    _theirs = False  # the open transaction was begun by a statement, so that its end gives back the analyst's settings
    _back = False

    @abstractmethod
    def run(
        self, step: str, what: Query | Expression | Text | str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""

    @abstractmethod
    def types(self, oids: Any) -> dict[int, tuple[str, str]]:
        """The name and kind of types in the catalog."""

    @property
    def opened(self) -> Open:
        """Whether a transaction is open here, and whether it has failed."""
        if not self.client.in_transaction:
            return ""
        return "failed" if self.client.failed else "open"

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; everything in it sees the source as it was when it began.

        Within a transaction that is open, a part of that, which must see the source so too. Raises `SpecError`.
        """
        if self.client.in_transaction:
            ((how,),) = self.run("read the settings", "SELECT current_setting('transaction_isolation')")
            if how not in ("repeatable read", "serializable"):
                told = "the open transaction may see the source change; begin it with ISOLATION LEVEL REPEATABLE READ"
                raise SpecError(told, found=how)
            yield
            return
        self.run("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            yield
        except BaseException:
            with suppress(EngineError):  # what went wrong before is what must be told
                self.run("roll back", "ROLLBACK")
            raise
        try:
            self.run("commit", "COMMIT")
        except EngineError as error:
            told = "look with `sqlanon releases` whether it was published" if self.client.closed else ""
            raise EngineError("commit", error.kind, error.engine_text, told) from None

    def statement(self, text: str) -> Relation | int | None:
        """Runs one statement as it stands, in the analyst's own session: its rows, how many it changed, or None."""
        if not hasattr(self.client, "told"):
            raise SpecError("inside the server only statements of sqlanon are run")
        if re.match(r"COPY\b.*\b(STDIN|STDOUT)\b", _bare(text[_start(text) :]), re.I | re.DOTALL):
            raise SpecError(
                "COPY with STDIN or STDOUT speaks to a client that has the data, as psql; it is not run here"
            )
        failed, before = self.opened == "failed", self.opened
        if not failed:
            self._set(self._before)
        try:
            described, rows, changed = self.client.told(_STEP, text)
        finally:
            self._theirs = self.opened != "" and (self._theirs or before == "")
            with suppress(EngineError):  # in a transaction that has failed, the rollback sets it back
                if not failed or self._back:
                    self._remember()
                self._set(self._ours)
            self._back = self._theirs
        if described is None:
            return None if changed is None else int(changed)
        types = self.types(oid for _, oid in described)
        columns = [Column(name, types[oid][0], family_of_postgres(*types[oid])) for name, oid in described]
        return Relation(tuple(columns), tuple(rows))

    def _remember(self) -> None:
        """The settings as the analyst's statement has left them, to be given back for the next."""
        ((self._path_before,),) = self.run("read the settings", "SHOW search_path")
        # Before anything else, so that no function or operator in the path of the session is called instead.
        self.run("set the session", f"SET search_path = {self.settings['search_path']}")
        names = [name for name, _ in self._before if name != "search_path"]
        sql = "SELECT n, current_setting(n) FROM unnest(?::text[]) AS s (n)"
        found = dict(self.run("read the settings", sql, [names]))
        self._before = [(name, found.get(name, self._path_before)) for name, _ in self._before]

    def _set(self, settings: Sequence[tuple[str, str]], step: str = "set the session") -> None:
        """Sets several at once; the path last, so that the server's own functions are called."""
        if not settings:
            return
        ordered = sorted(settings, key=lambda one: one[0] == "search_path")
        sql = "SELECT " + ", ".join(["pg_catalog.set_config(?, ?, false)"] * len(ordered))
        self.run(step, sql, [word for setting in ordered for word in setting])
