"""What a query was resolved to: base columns, and what each column of the result is computed from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from sqlanon.errors import SpecError


class Unresolved(SpecError):
    """Where a column of a query comes from cannot be told; the message names what stands in the way."""


def refuse(what: str) -> NoReturn:
    """Raises `Unresolved` with what stands in the way."""
    told = f"where the columns of this query come from cannot be told: {what}"
    raise Unresolved(told, where="source.query")


class Relation(Protocol):
    """A table or view of the catalogue, whose `definition` is the SELECT of a view as the engine keeps it."""

    @property
    def path(self) -> tuple[str, ...]:
        """Its whole name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in its order."""

    @property
    def definition(self) -> str | None:
        """The SELECT of a view; None for what holds its rows itself."""

    @property
    def generated(self) -> Mapping[str, str]:
        """The expressions of columns that are computed from other columns of the same row."""


@dataclass(frozen=True)
class Catalogue:
    """What there is in a database.

    `relation` gives what a name means, by its parts, seen from the view whose definition has it; None where there is
    nothing of that name, or more than one thing could be meant. `made`: the names of functions that users made.
    """

    relation: Callable[[tuple[str, ...], tuple[str, ...]], Relation | None]
    made: Collection[str] = ()


@dataclass(frozen=True, order=True)
class Base:
    """A column of a base table."""

    relation: tuple[str, ...]
    column: str

    def __str__(self) -> str:
        return ".".join((*self.relation[-2:], self.column))


Bases = frozenset[Base]
NONE: Bases = frozenset()


@dataclass(frozen=True)
class Output:
    """A column of a query's result: the base columns that its value is computed from.

    `bare`: the one base column that it is, under whatever name. `name` is None where the engine makes one up.
    """

    name: str | None
    computed: Bases
    bare: Base | None = None


@dataclass(frozen=True)
class Resolved:
    """What a query was resolved to: its outputs in order, what it touches beside, and what it makes equal.

    `spoken`: the base columns that are called `alias.column` in the query itself, by the two in small letters.
    """

    outputs: tuple[Output, ...]
    touched: Bases
    equal: tuple[Bases, ...] = ()
    spoken: Mapping[tuple[str, str], Bases] = field(default_factory=dict)

    def origins(self, output: Output) -> Bases:
        """The base columns that an output is computed from, and those that a condition of the query equates to them."""
        found, grown = set(output.computed), True
        while grown:
            more = {one for group in self.equal if group & found for one in group}
            grown, found = not more <= found, found | more
        return frozenset(found)

    @property
    def bases(self) -> Bases:
        """Every base column that has a part in the query."""
        return self.touched.union(*(one.computed for one in self.outputs), *self.equal, *self.spoken.values())

    def meant(self, name: str) -> Bases:
        """The base columns that `name`, `alias.name`, `relation.name` or `schema.relation.name` speaks of.

        Letters of both cases are one: what is told may be too much, never too little.
        """
        parts = lowered(name).split(".")
        found = self.spoken.get((".".join(parts[:-1]), parts[-1]), NONE)
        return found | {one for one in self.bases if _is(one, name)}


def _is(base: Base, name: str) -> bool:
    whole = [part for one in (*base.relation, base.column) for part in lowered(one).split(".")]
    wanted = lowered(name)
    return wanted == lowered(base.column) or any(".".join(whole[i:]) == wanted for i in range(len(whole) - 1))


def lowered(name: str) -> str:
    """A name in small letters, as databases have them: A to Z alone."""
    return "".join(c.lower() if c.isascii() else c for c in name)
