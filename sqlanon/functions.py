"""The functions that sqlanon brings into a database: one source each (udfs/), called by name in house SQL.

A keyed function gets the key when it is put on a connection (`engine.functions(key)`), so that the key stands in no SQL
text, plan, setting or log. None is ever called by a view: a reader would have to be let run it, and could take the
noise off again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlanon.query import Expression, Part, fragment
from sqlanon.udfs import draws, flat, microaggregation


@dataclass(frozen=True)
class Function:
    """A function with its types in the words that DuckDB and Postgres share.

    `one` is called per row. `many`, where there is one, gets an array per argument and gives an array, and must come to
    the same. A `keyed` function has the key as its first argument, which SQL does not pass.
    """

    name: str
    takes: tuple[str, ...]
    gives: str
    one: Callable[..., Any]
    many: Callable[..., Any] | None = None
    keyed: bool = False


_DRAWN = ("varchar", "bigint")
FUNCTIONS = (
    Function("sqlanon_uniform", _DRAWN, "double", draws.uniform, draws.uniforms, keyed=True),
    Function("sqlanon_normal", _DRAWN, "double", draws.normal, draws.normals, keyed=True),
    Function("sqlanon_mdav", ("bigint", "double[][]"), "bigint[]", microaggregation.mdav),
    Function("sqlanon_mean", ("double[]",), "double", microaggregation.mean),
)


@dataclass(frozen=True)
class Planner:
    """A function of relations that gives a relation, all of whole numbers; `told` is what it works out, in words.

    `takes`: names and types of its constants, in Postgres's words; `reads`: the relations that follow them; `gives`:
    the columns of the answer. `many` gets each relation as a stream of blocks [rows, columns] and gives an array per
    column. `one` is the same for a server (see `udfs.flat`): a relation is bytes, and blocks of lists come back.
    """

    name: str
    told: str
    takes: tuple[tuple[str, str], ...]
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    many: Callable[..., Any]
    one: Callable[..., Any]

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """Names and types of all that it takes on a server."""
        return (*self.takes, *((relation, "bytea") for relation in self.reads))


def _typed(words: str) -> tuple[tuple[str, str], ...]:
    """`name type, name type` as pairs."""
    name_and_type = (part.split() for part in words.split(","))
    return tuple((name, kind) for name, kind in name_and_type)


SWAPS = Planner(
    "sqlanon_swaps", "exchanges and noise",
    _typed("repair text, k bigint, mu text, of_what text, noise boolean, domain bigint"), ("histogram", "implausible"),
    ("action", "class", "value", "records"), flat.swaps, flat.packed_swaps,
)  # fmt: skip
GROUPS = Planner(
    "sqlanon_groups", "the cheapest groups along the order",
    _typed("k bigint, span bigint, weights bigint[], whole boolean[], by_person boolean"), ("ordered",),
    ("at", "class", "records"), flat.cut, flat.packed_cut,
)  # fmt: skip
RANKS = Planner(
    "sqlanon_ranks", "the ranks on the Hilbert curve", _typed("bits bigint, coordinates bigint"), ("points",),
    ("id", "rank"), flat.ranks, flat.packed_ranks,
)  # fmt: skip
PLANNERS = (SWAPS, GROUPS, RANKS)


@dataclass(frozen=True)
class Rows:
    """Rows for a planner: `columns` of a FROM item, whole numbers all, in the order of the columns `by`.

    `many`: how many there are. `numbered`: `by` is one column that numbers them from 1, so that they can be read block
    by block.
    """

    relation: Expression
    columns: tuple[str, ...]
    by: tuple[str, ...]
    many: int
    numbered: bool = False


def uniform(stream: str, number: Part) -> Expression:
    """A keyed draw between 0 and 1 for the record of this number."""
    return fragment("sqlanon_uniform($stream, $number)", stream=stream, number=number)


def normal(stream: str, number: Part) -> Expression:
    """A keyed draw from the standard normal distribution for the record of this number."""
    return fragment("sqlanon_normal($stream, $number)", stream=stream, number=number)


def through_arrow(many: Callable[..., Any], arguments: int) -> Callable[..., Any]:
    """A function of arrays as one of Arrow columns. DuckDB counts the parameters, so it has as many as it takes."""

    def call(*columns: Any) -> Any:
        return many(*(column.to_numpy() for column in columns))

    of: dict[int, Callable[..., Any]] = {1: lambda a: call(a), 2: lambda a, b: call(a, b)}
    return of[arguments]
