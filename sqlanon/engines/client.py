"""A connection from outside, through psycopg 3: the only importer of psycopg."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq
from psycopg.types.numeric import NumericLoader

from sqlanon.engines.postgres_words import hint
from sqlanon.errors import EngineError


class _Number(NumericLoader):
    """Whole numbers as int, as DuckDB gives its sums; all else as Decimal."""

    def load(self, data: Any) -> Any:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else super().load(data)


class Client:
    """One connection to a server; what it is asked and why is the business of `Postgres`."""

    def __init__(self, url: str) -> None:
        with self.failing("connect to the server"):
            self.connection = psycopg.connect(url, autocommit=True, application_name="sqlanon", prepare_threshold=None)
        self.connection.adapters.register_loader("numeric", _Number)

    @property
    def number(self) -> int:
        """The version of the server as a number."""
        return int(self.connection.info.server_version)

    @property
    def url(self) -> str:
        """Where the database is, without a password."""
        info = self.connection.info
        return f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}"

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return bool(self.connection.closed)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.info.transaction_status != pq.TransactionStatus.IDLE

    @property
    def failed(self) -> bool:
        """Whether the transaction that is open has failed."""
        return self.connection.info.transaction_status == pq.TransactionStatus.INERROR

    @contextmanager
    def attempt(self, step: str) -> Iterator[None]:
        """A part of a transaction: what fails in it is undone, and the rest goes on."""
        self.rows(step, "SAVEPOINT attempt")
        try:
            yield
        except EngineError:
            with suppress(EngineError):  # what went wrong before is what must be told
                self.rows(step, "ROLLBACK TO SAVEPOINT attempt")
            raise
        self.rows(step, "RELEASE SAVEPOINT attempt")

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    @contextmanager
    def failing(self, step: str) -> Iterator[None]:
        """Every failure of the server becomes an `EngineError` that holds none of the server's words."""
        try:
            yield
        except psycopg.Error as error:
            kind = f"{type(error).__name__} {error.sqlstate}" if error.sqlstate else type(error).__name__
            lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
            told = hint(error.sqlstate) if error.sqlstate or lost else ""
            found = EngineError(step, kind, str(error), told)
            found.position = int(error.diag.statement_position or 0)
            raise found from None

    def rows(self, step: str, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement, in which `?` stands for a parameter."""
        numbers = iter(range(1, len(parameters) + 1))
        if parameters:
            text = re.sub(r"\?", lambda _: f"${next(numbers)}", text)
        with self.failing(step), psycopg.RawCursor(self.connection) as cursor:
            cursor.execute(text.encode(), list(parameters) or None)
            return cursor.fetchall() if cursor.description is not None else []

    def described(self, step: str, text: str) -> list[tuple[str, int, int]]:
        """Name, type and type modifier of each column of a query, which is not run."""
        with self.failing(step):
            for result in (
                self.connection.pgconn.prepare(b"", text.encode()),
                self.connection.pgconn.describe_prepared(b""),
            ):
                if result.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result)
        return [((result.fname(i) or b"").decode(), result.ftype(i), result.fmod(i)) for i in range(result.nfields)]

    def told(self, step: str, text: str) -> tuple[list[tuple[str, int]] | None, list[tuple[Any, ...]], int | None]:
        """Runs one statement of an analyst's: its columns with their types, its rows, or how many rows it changed."""
        try:
            with self.failing(step):
                prepared = self.connection.pgconn.prepare(b"", text.encode())  # refuses more than one
                if prepared.status != pq.ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(prepared)
                with self.connection.cursor() as cursor:
                    cursor.execute(text.encode())
                    if cursor.description is None:
                        return None, [], cursor.rowcount if cursor.rowcount >= 0 else None
                    return [(one.name, one.type_code) for one in cursor.description], cursor.fetchall(), None
        except EngineError as error:
            error.place = _place(text, error)
            raise

    def one_statement(self, step: str, before: str, query: str) -> None:
        """Runs `before` and a query of the user's together, which are one statement or none."""
        with self.failing(step):
            result = self.connection.pgconn.exec_params(f"{before}{query}\n".encode(), [])
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.errors.error_from_result(result)

    def binary(self, step: str, text: str) -> bytearray | None:
        """The rows of a query as Postgres copies them; None where nothing is copied."""
        data = bytearray()
        with (
            self.failing(step),
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY (\n{text}\n) TO STDOUT (FORMAT binary)".encode()) as copy,
        ):
            for block in copy:
                data += block
        return data

    def copy_in(self, step: str, item: str, rows: Iterable[Sequence[object]]) -> None:
        """More rows for a table, as data: no statement holds them."""
        with (
            self.failing(step),
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY {item} FROM STDIN".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def copy_packed(self, step: str, item: str, packed: bytes) -> None:
        """More rows for a table, in Postgres's own binary form."""
        with (
            self.failing(step),
            self.connection.cursor() as cursor,
            cursor.copy(f"COPY {item} FROM STDIN (FORMAT binary)".encode()) as copy,
        ):
            copy.write(packed)

    def fetched(self, step: str, text: str, many: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one after the other, of which so many are here at a time."""
        with self.failing(step), self.connection.cursor(name="sqlanon rows", withhold=True) as cursor:
            cursor.itersize = many
            cursor.execute(text.encode(), binary=True)
            yield from cursor


def _place(text: str, error: EngineError) -> tuple[int, int] | None:
    """The line and column of the character of a statement at which the server says that it went wrong."""
    if not error.position:
        return None
    before = text[: error.position - 1]
    return before.count("\n") + 1, error.position - 1 - (before.rfind("\n") + 1) + 1
