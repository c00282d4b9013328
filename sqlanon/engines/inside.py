"""Inside the server: the same work through SPI, in the transaction and with the rights of whoever calls.

For `CALL sqlanon.release(…)`, which is written in plpython3u (`sql/inside.sql`). No file is read or written here: the
server's own files are none of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Literal, Protocol

from sqlanon.engines import Origin, wire
from sqlanon.engines.postgres import Postgres
from sqlanon.engines.postgres_words import hint
from sqlanon.errors import EngineError, SpecError

_BLOCK = 10_000  # rows that a statement brings in
_NUMERIC, _DATE = 1700, 1082
_TIMES = (1114, 1184)


class Plpy(Protocol):
    """What plpython3u gives every function as the module `plpy`."""

    SPIError: type[Exception]

    def execute(self, query: object, arguments: Sequence[object] | None = None) -> Any:
        """Runs a statement, or a prepared one."""

    def prepare(self, query: str, types: Sequence[str]) -> Any:
        """Prepares a statement."""

    def cursor(self, query: str) -> Any:
        """Opens a cursor on one query."""

    def subtransaction(self) -> AbstractContextManager[Any]:
        """What is undone as one."""

    def quote_nullable(self, text: str | None) -> str:
        """A text as a literal."""


class Spi:
    """The server's own interface in the place of a connection; see `Client`, which does the same from outside."""

    closed, in_transaction = False, True

    def __init__(self, plpy: Plpy) -> None:
        self.plpy = plpy

    @property
    def number(self) -> int:
        """The version of the server as a number."""
        return int(self.rows("read the version", "SELECT current_setting('server_version_num')")[0][0])

    @property
    def url(self) -> str:
        """The database, as somebody inside knows it."""
        ((user, name),) = self.rows("read the role", "SELECT current_user::text, current_database()::text")
        return f"postgresql://{user}@/{name}"

    @contextmanager
    def attempt(self, step: str) -> Iterator[None]:
        """A part of a transaction: what fails in it is undone, and the rest goes on."""
        with self.plpy.subtransaction():
            yield

    def close(self) -> None:
        """Nothing: the session is the caller's."""

    @contextmanager
    def failing(self, step: str) -> Iterator[None]:
        """Every failure of the server becomes an `EngineError` that holds none of the server's words."""
        try:
            yield
        except self.plpy.SPIError as error:
            state = str(getattr(error, "sqlstate", None) or "")
            raise EngineError(step, f"{type(error).__name__} {state}", str(error), hint(state)) from None

    def rows(self, step: str, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement, in which `?` stands for a parameter."""
        given = iter(parameters)
        if parameters:
            text = "".join(part + (self._literal(next(given)) if at else "") for part, at in _marked(text))
        with self.failing(step):
            found = self.plpy.execute(text)
            if not hasattr(found, "colnames") or not _has_rows(found):
                return []
            names = found.colnames()
            if len(set(names)) < len(names):  # rows are dicts: a name that occurs twice is there once
                names = [f"c{i}" for i in range(len(names))]
                found = self.plpy.execute(f"SELECT * FROM (\n{text}\n) AS r ({', '.join(names)})")
        return list(_tuples(found, names, found.coltypes()))

    def fetched(self, step: str, text: str, many: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one after the other, of which so many are here at a time; no two columns of one name."""
        names, types, _ = zip(*self.described(step, text), strict=True)
        with self.failing(step):
            cursor = self.plpy.cursor(text)
            try:
                while len(found := cursor.fetch(many)):
                    yield from _tuples(found, names, types)
            finally:
                cursor.close()

    def _literal(self, value: object) -> str:
        """A parameter as a literal, whose type the server works out as it does for one that is sent."""
        if value is None or isinstance(value, bool | int):
            return "NULL" if value is None else str(value).upper() if isinstance(value, bool) else f"({value})"
        if isinstance(value, list | tuple):
            cells = ", ".join(self._literal(cell) for cell in value)
            return f"ARRAY[{cells}]" if value else "'{}'"
        return self.plpy.quote_nullable(value.isoformat(" ") if isinstance(value, datetime) else str(value))

    def described(self, step: str, text: str) -> list[tuple[str, int, int]]:
        """Name, type and type modifier of each column of a query, of which no row is asked for."""
        with self.failing(step):
            found = self.plpy.execute(f"SELECT * FROM (\n{text}\n) AS d LIMIT 0")
            return list(zip(found.colnames(), found.coltypes(), found.coltypmods(), strict=True))

    def one_statement(self, step: str, before: str, query: str) -> None:
        """Runs `before` and a query of the user's together; a cursor opens on one query only, and runs nothing."""
        with self.failing(step):
            self.plpy.cursor(query).close()
            self.plpy.execute(f"{before}{query}\n")

    def binary(self, step: str, text: str) -> bytearray | None:
        """None: nothing is copied inside the server."""
        return None

    def copy_packed(self, step: str, item: str, packed: bytes) -> None:
        """More rows for a table of numbers, in Postgres's own binary form."""
        found = self.described(step, f"SELECT * FROM {item}")
        named = ", ".join(f"(SELECT typname::text FROM pg_type WHERE oid = {oid})" for _, oid, _ in found)
        columns = wire.fixed(bytearray(packed), self.rows(step, f"SELECT {named}")[0])
        if columns is None:
            raise ValueError("rows are packed where no number is missing")
        self.copy_in(step, item, zip(*(cells.tolist() for cells in columns), strict=True))

    def copy_in(self, step: str, item: str, rows: Iterable[Sequence[object]]) -> None:
        """More rows for a table, as data: no statement holds them."""
        found = self.described(step, f"SELECT * FROM {item}")
        oids = ", ".join(f"{oid}::oid::regtype::text" for _, oid, _ in found)
        types = self.rows(step, f"SELECT {oids}")[0]
        places = ", ".join(f"${i + 1}::text[]" for i in range(len(found)))
        names = [f"c{i}" for i in range(len(found))]
        cast = ", ".join(f"{name}::{kind}" for name, kind in zip(names, types, strict=True))
        with self.failing(step):
            made = self.plpy.prepare(
                f"INSERT INTO {item} SELECT {cast} FROM unnest({places}) AS r ({', '.join(names)})",
                ["text[]"] * len(found),
            )
            left = iter(rows)
            while block := list(islice(left, _BLOCK)):
                columns = zip(*block, strict=True)
                self.plpy.execute(made, [[_told(cell) for cell in column] for column in columns])


def _tuples(found: Any, names: Sequence[str], types: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """The rows of a result, as a client gets them."""
    loaders = [_LOADERS.get(oid) for oid in types]
    for row in found:
        yield tuple(_loaded(row[name], load) for name, load in zip(names, loaders, strict=True))


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a statement, each with whether a parameter follows."""
    *parts, last = text.split("?")
    yield from ((part, True) for part in parts)
    yield last, False


def _has_rows(found: Any) -> bool:
    try:
        found.colnames()
    except Exception:  # plpy.Error: the command gives no rows; it has no other word for that
        return False
    return True


def _told(cell: object) -> str | None:
    """A cell as the text by which the server reads it; numbers in lists."""
    if isinstance(cell, list | tuple):
        return "{" + ",".join(_told(one) or "NULL" for one in cell) + "}"
    return None if cell is None else str(cell)


def _number(value: Any) -> Any:
    """Whole numbers as int, as DuckDB gives its sums; all else as Decimal."""
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() else Decimal(text)


_LOADERS: dict[int, Callable[[Any], Any]] = {
    _NUMERIC: _number, _DATE: date.fromisoformat, **dict.fromkeys(_TIMES, datetime.fromisoformat),
}  # fmt: skip


def _loaded(value: Any, load: Callable[[Any], Any] | None) -> Any:
    """A cell as a client gets it: plpython gives times as texts."""
    return value if value is None or load is None else load(value)


class Inside(Postgres):
    """The server from inside. `path`: the caller's search path, by which the relations of a spec are found."""

    def __init__(self, plpy: Plpy, path: str, *, superuser: bool = False) -> None:
        self._begin(Spi(plpy), superuser)
        self._plpy, self._path_before = plpy, path

    @property
    def opened(self) -> Literal[""]:
        """None that is to be ended here: the transaction is the caller's."""
        return ""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing, within the transaction of whoever calls, and as isolated as that is."""
        with self._plpy.subtransaction():
            yield

    def _set_path(self, path: str) -> None:
        with suppress(EngineError):  # until the procedure ends, which sets it for itself
            self.run("set the session", "SELECT set_config('search_path', ?, true)", [path])

    def received(self, origin: Origin) -> str:
        raise _NO_FILES

    def register(self, frame: object) -> Origin:
        raise _NO_FILES


_NO_FILES = SpecError("inside the server no file is read or written; leave it to sqlanon outside")


def without_files(part: object) -> None:
    """Refuses a spec, or a part of one, that names a file: it would be the server's. Raises `SpecError`."""
    if isinstance(part, Mapping):
        part = tuple(part.values())
    if isinstance(part, Iterable) and not isinstance(part, str | bytes):
        for one in part:
            without_files(one)
    elif is_dataclass(part) and not isinstance(part, type):
        for field in fields(part):
            value = getattr(part, field.name)
            if field.name in ("file", "path") and value is not None:
                raise _NO_FILES
            if not field.metadata.get("outside"):
                without_files(value)
