"""Records in the order of a space-filling curve, cut into groups of k … 2k − 1 persons.

Orders, each total and the same whatever the order of the rows: `gray`, the rank of the interleaved bits in the
reflected Gray code (plain SQL); `hilbert`, the rank on the Hilbert curve (a function of `udfs`; hardly better on
Adult); `splits`, the leaves of a greedy Mondrian in their reflected order and the Gray order inside a leaf (plain SQL).
`splits` follows the data, where the curves divide space evenly: with the best groups it lost 5 % less than Gray at
k = 2 and 14 % less at k = 50 on Adult. It takes about four times as long, so it is the default up to a million
combinations.

Groups: `best`, the cheapest cut of the sequence (a dynamic programme of `udfs` over a stream of places: O(n · k)), or
`even`, ⌊n / k⌋ groups with the remainder spread over all (plain SQL, for a script that needs nothing but SQL).

Classes may overlap in the space of quasi-identifiers; `mondrian.strict` makes disjoint ones. Source: Ghinita et al.,
"Fast data anonymization with low information loss", VLDB 2007. Leaves: everything about the sensitive values; see
`repair`.
"""

from __future__ import annotations

from typing import Literal

from sqlanon import query
from sqlanon.functions import GROUPS, RANKS, Rows
from sqlanon.query import column, fragment
from sqlanon.recoding import lines, mondrian
from sqlanon.recoding.partition import Encoded, even, order
from sqlanon.recoding.working import relation, working_name

Order = Literal["splits", "gray", "hilbert"]
Groups = Literal["best", "even"]

# Up to so many combinations the order of splits pays.
_MANY = 1_000_000
# Beyond so many persons per group, the best cut would take too long: its time grows with k.
_MOST = 1000


def hilbert(encoded: Encoded, k: int, *, order: Order | None = None, groups: Groups = "best") -> None:
    """Makes `pieces`: which records of each combination are in which class.

    Without an `order` it is `splits`, or `gray` where there are more than a million combinations. Above k = 1000 the
    groups are even. Raises `ModelNotMet` where there are fewer than k persons, `EngineError`.
    """
    encoded.require(k)
    arrange(encoded, k, order)
    if groups == "best" and k <= _MOST:
        best(encoded, k)
    else:
        even(encoded, k)
    encoded.work.drop("ordered")


def arrange(encoded: Encoded, k: int, by: Order | None = None) -> None:
    """Makes `ordered`: the combinations in one of the orders."""
    chosen = by or ("splits" if encoded.combinations <= _MANY else "gray")
    if len(encoded.dimensions) == 1:
        chosen = "gray"  # which is the order of its values
    if chosen == "splits":
        _splits(encoded, k)
    else:
        {"gray": _gray, "hilbert": _hilbert}[chosen](encoded)


def _gray(encoded: Encoded) -> None:
    """The combinations are numbered in the order of the Gray code."""
    located = "select id, cast(id as bigint) as place, 0 as along from $c"
    order(encoded, fragment(located, c=relation("combinations")))


def _splits(encoded: Encoded, k: int) -> None:
    """Leaves of half a group are small enough for the order; smaller ones change it little and take longer."""
    mondrian.split(encoded, max(k // 2, 1))
    order(encoded, mondrian.located())
    encoded.work.drop("leaves")


def _hilbert(encoded: Encoded) -> None:
    work, columns = encoded.work, [f"coarse {i}" for i in encoded.turns]
    tree, told = fragment("select $nothing from $c as c", nothing=[], c=relation("combinations")), [column("id", "c")]
    for i, coarse in zip(encoded.turns, columns, strict=True):
        name = working_name(lines.line(i))
        tree = query.joined(tree, name, fragment("$a = $b", a=column(f"place {i}", "c"), b=column("place", name)))
        told.append(query.named(column("coarse", name), coarse))
    work.make("points", query.selecting(tree, told), "the combinations as points of space")
    points = Rows(relation("points"), ("id", *columns), ("id",), encoded.combinations, numbered=True)
    constants = (lines.bits(len(columns)), len(columns))
    work.call("curve", RANKS, constants, [points], "the ranks on the Hilbert curve")
    order(encoded, fragment("select id, rank as place, id as along from $c", c=relation("curve")))
    work.drop("points", "curve")


def best(encoded: Encoded, k: int) -> None:
    """Makes `pieces` of `ordered`, by the dynamic programme."""
    whole = [dimension.kind == "single" for dimension in encoded.dimensions]
    constants = (k, encoded.span, encoded.weights, whole, encoded.entity is not None)
    columns = ("records", "persons", *encoded.places)
    ordered = Rows(relation("ordered"), columns, ("at",), encoded.combinations, numbered=True)
    encoded.work.call("cut", GROUPS, constants, [ordered], "the cheapest groups along the order")
    first = "cast(sum(c.records) over (partition by c.at order by c.class) - c.records as bigint) as first"
    made = fragment(
        f"select id, class, {first}, c.records from $c as c join $o as o on c.at = o.at",
        c=relation("cut"), o=relation("ordered"),
    )  # fmt: skip
    encoded.work.make("pieces", made, "which records of each combination are in which class")
    encoded.work.drop("cut")
