"""The relations that take part in an attack, read so that none of their own names, types or collations matter.

A working table holds what a question needs of a relation under our own names, for as long as the question lasts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlanon import query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.words import is_range
from sqlanon.errors import SpecError
from sqlanon.query import Query, Text

_PREFIX = "sqlanon attack: "

# A quasi-identifier's column in a relation, or the two columns of its bounds.
Cell = str | tuple[str, str]
Cells = Mapping[str, Cell]
_BOUNDED = ("integer", "decimal", "float", "date", "timestamp")


class Unfit(SpecError):
    """An attack that was asked for cannot be run on what there is; the message names what is missing."""


@dataclass(frozen=True)
class Known:
    """A relation that an attacker holds: people with names, a whole population, or another release.

    `columns`: the quasi-identifiers that it knows, with the names of its columns; without it, those of the same name.
    `person`: its column, and that of the attacked relation, that tell who is who; only the data holder has the second.
    `quasi_identifiers`: those of another release, where it has more than it shares; `closed`: those whose published
    bounds are both in what they hold (from ≤ value ≤ to), not as others' (from ≤ value < to); None where nobody knows.
    """

    origin: Origin
    columns: Mapping[str, str] = field(default_factory=dict)
    person: tuple[str, str] | None = None
    quasi_identifiers: tuple[str, ...] = ()
    closed: frozenset[str] | None = None


@dataclass(frozen=True)
class Relation:
    """A relation with the columns that it really has. `where`: the argument that named it, for messages.

    `closed`: the quasi-identifiers whose published bounds are both in what they hold; None where nobody knows, and then
    all but the `half_open` ones are read so: no record is lost by that.
    """

    engine: Engine
    origin: Origin
    columns: Mapping[str, Column]
    where: str
    closed: frozenset[str] | None = None
    half_open: frozenset[str] = frozenset()

    @staticmethod
    def of(
        engine: Engine, origin: Origin, where: str, closed: Collection[str] | None = None,
        half_open: Collection[str] = (),
    ) -> Relation:  # fmt: skip
        """Looks a relation up. Raises `SpecError` where it is not there."""
        there = {found.name: found for found in engine.columns(origin)}
        known = None if closed is None else frozenset(closed)
        return Relation(engine, origin, there, where, known, frozenset(half_open))

    def require(self, names: Sequence[str], where: str | None = None) -> None:
        """Raises `SpecError` for a name that is no column of the relation."""
        for name in names:
            if name not in self.columns:
                told = f"the relation {self.origin} has no such column"
                raise SpecError(told, where=where or self.where, found=name, allowed=self.columns)

    def cells(self, quasi_identifiers: Sequence[str]) -> dict[str, Cell]:
        """The quasi-identifiers by name; `age_from` and `age_to`, published bounds, are the two of `age`."""
        names, found = set(quasi_identifiers), dict[str, Cell]()
        for name in quasi_identifiers:
            stem = name.removesuffix("_from").removesuffix("_to")
            ends = (f"{stem}_from", f"{stem}_to")
            kinds = {self.columns[end].family for end in ends if end in names}
            paired = stem not in names and set(ends) <= names and len(kinds) == 1 and kinds <= set(_BOUNDED)
            found |= {stem: ends} if paired else {name: name}
        return found

    def rows(self, names: Mapping[str, Cell]) -> Query:
        """The step `source`: cells of the relation under the names that are their keys here."""
        self.require([name for cell in names.values() for name in ([cell] if isinstance(cell, str) else cell)])
        read = ", ".join(f"{self._read(cell)} AS {self._quoted(label)}" for label, cell in names.items())
        text = f"SELECT {read}\nFROM {self.engine.origin(self.origin)} AS s"
        return Query(()).then("source", Text(text), f"what is asked of {self.where}", inline=True)

    def _quoted(self, name: str) -> str:
        return self.engine.rendered(query.identifier(name))

    def guessed(self, cells: Cells) -> frozenset[str]:
        """The quasi-identifiers with bounds of which nobody knows whether the upper one is in what they hold."""
        bounded = {name for name, cell in cells.items() if self._bounds(cell) and name not in self.half_open}
        return frozenset(bounded) if self.closed is None else frozenset()

    def _bounds(self, cell: Cell) -> tuple[str, str] | None:
        """How the two ends of published bounds, or of the engine's own range, are read; None for a plain column."""
        if not isinstance(cell, str):
            lower, upper = (f"s.{self._quoted(name)}" for name in cell)
            return lower, upper
        if not is_range(self.columns[cell].type):
            return None
        return f"struct_extract(s.{self._quoted(cell)}, 'lower')", f"struct_extract(s.{self._quoted(cell)}, 'upper')"

    def _is_closed(self, cell: Cell) -> bool:
        name = cell if isinstance(cell, str) else cell[0].removesuffix("_from")
        return name not in self.half_open if self.closed is None else name in self.closed

    def _read(self, cell: Cell) -> str:
        """A column, or published bounds as the label that they would be."""
        bounds = self._bounds(cell)
        if bounds is None:
            return self._plain(str(cell))
        lower, upper = bounds
        last = "]" if self._is_closed(cell) else ")"
        text = f"'[' || CAST({lower} AS VARCHAR) || ', ' || CAST({upper} AS VARCHAR) || '{last}'"
        missing, alone = f"{lower} IS NULL OR {upper} IS NULL", f"CAST({lower} AS VARCHAR)"
        return f"CASE WHEN {missing} THEN '*' WHEN {lower} = {upper} THEN {alone} ELSE {text} END"

    def _plain(self, name: str) -> str:
        """A column as its values are read by people: what looks different is different (as a plan reads its source)."""
        read, found = f"s.{self._quoted(name)}", self.columns[name]
        if found.family == "float":
            return f"CASE WHEN {read} = 0 THEN 0 ELSE {read} END"  # -0.0 is 0.0
        if found.family in ("text", "other"):
            return f'CAST({read} AS VARCHAR) COLLATE "C"'
        return read


class Workings:
    """Working tables of one attack; `close` drops them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._made: list[str] = []

    def table(self, name: str, what: Query) -> str:
        """Makes a working table and returns its name."""
        full = f"{_PREFIX}{name}"
        self.engine.temporary(f"work out {name}", full, what)
        if full not in self._made:
            self._made.append(full)
        return full

    def close(self) -> None:
        self.engine.drop_temporary(*self._made)


@contextmanager
def workings(engine: Engine) -> Iterator[Workings]:
    """Working tables that are gone afterwards, whatever happens."""
    made = Workings(engine)
    try:
        yield made
    finally:
        made.close()
