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
from sqlanon.udfs import draws, microaggregation


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
