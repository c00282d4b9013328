"""What an engine answers to an analyst's own statement: rows, as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

from sqlanon.engines import Column

_SHOWN = 20  # rows that a notebook or a prompt shows


@dataclass(frozen=True)
class Relation:
    """The rows that a statement gave, in their order. `typed`: whether their types are DuckDB's."""

    described: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    typed: bool = False

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.described]

    @property
    def types(self) -> list[str]:
        """The types of the columns, in the engine's words."""
        return [column.type for column in self.described]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        return list(self.rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row; None where there is none."""
        return self.rows[0] if self.rows else None

    def df(self) -> Any:
        """The rows as a pandas frame, which needs pandas."""
        return self._framed("df")

    def pl(self) -> Any:
        """The rows as a polars frame, which needs polars and pyarrow."""
        return self._framed("pl")

    def arrow(self) -> Any:
        """The rows as an Arrow table, which needs pyarrow."""
        return self._framed("to_arrow_table")

    def _framed(self, how: str) -> Any:
        """Through a DuckDB in memory, which knows all kinds of frames."""
        import numpy

        from sqlanon.engines.duckdb import DuckDB

        cells = {f"c{i}": numpy.empty(len(self.rows), dtype=object) for i in range(len(self.described))}
        for i, column in enumerate(cells.values()):
            column[:] = [row[i] for row in self.rows]
        with DuckDB() as engine:
            read = ", ".join(
                (f"CAST({name} AS {column.type})" if self.typed else name) + f" AS {engine.own(column.name)}"
                for name, column in zip(cells, self.described, strict=True)
            )
            return engine.framed(cells, read, how)

    def to_dict(self) -> dict[str, Any]:
        return {"columns": self.columns, "types": self.types, "rows": [[_plain(c) for c in row] for row in self.rows]}

    def __repr__(self) -> str:
        shown = [[_spelt(cell) for cell in row] for row in (self.columns, *self.rows[:_SHOWN])]
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in shown]
        return "\n".join([*lines, self.size])

    @property
    def size(self) -> str:
        """How many rows there are, and how many of them are shown."""
        number = len(self.rows)
        more = f", of which {_SHOWN} are shown" if number > _SHOWN else ""
        return f"({number} {'row' if number == 1 else 'rows'}{more})"

    def _repr_html_(self) -> str:
        """A table for a notebook, of its first rows."""
        head = _line(self.columns, "th")
        body = "".join(_line([_told(cell) for cell in row], "td") for row in self.rows[:_SHOWN])
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{escape(self.size)}</p>"


def _line(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _told(cell: object) -> str:
    """A cell as it is shown: a missing value is nothing to be mistaken for a text."""
    return "NULL" if cell is None else str(cell)


def _spelt(cell: object) -> str:
    """A cell on one line, in which nothing is an instruction to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in _told(cell))


def _plain(cell: Any) -> Any:
    """A cell as JSON has it; what JSON has no word for as text."""
    if isinstance(cell, list | tuple):
        return [_plain(one) for one in cell]
    if isinstance(cell, dict):
        return {str(key): _plain(one) for key, one in cell.items()}
    if cell is None or isinstance(cell, bool | int | str) or (isinstance(cell, float) and isfinite(cell)):
        return cell
    return str(cell)
