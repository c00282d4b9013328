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

from collections.abc import Iterator
from typing import Literal

import numpy as np

from sqlanon import query
from sqlanon.query import column, fragment
from sqlanon.recoding import lines, mondrian
from sqlanon.recoding.partition import Encoded, even, order
from sqlanon.recoding.working import Columns, relation, working_name
from sqlanon.udfs import curves, groups

Order = Literal["splits", "gray", "hilbert"]
Groups = Literal["best", "even"]

# Rows that are held outside the database at a time.
_BLOCK = 1 << 18
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
        _best(encoded, k)
    else:
        even(encoded, k)
    encoded.work.drop("ordered")


def arrange(encoded: Encoded, k: int, by: Order | None = None) -> None:
    """Makes `ordered`: the combinations in one of the orders."""
    chosen = by or ("splits" if encoded.combinations <= _MANY else "gray")
    if len(encoded.dimensions) == 1:
        chosen = "gray"  # which is the order of its values
    {"splits": _splits, "gray": _gray, "hilbert": _hilbert}[chosen](encoded, k)


def _gray(encoded: Encoded, k: int) -> None:
    """The combinations are numbered in the order of the Gray code."""
    located = "select id, cast(id as bigint) as place, 0 as along from $c"
    order(encoded, fragment(located, c=relation("combinations")))


def _splits(encoded: Encoded, k: int) -> None:
    """Leaves of half a group are small enough for the order; smaller ones change it little and take longer."""
    mondrian.split(encoded, max(k // 2, 1))
    order(encoded, mondrian.located())
    encoded.work.drop("leaves")


def _hilbert(encoded: Encoded, k: int) -> None:
    encoded.work.load("curve", _ranks(encoded), "the ranks on the Hilbert curve", "sqlanon.udfs.curves.hilbert")
    order(encoded, fragment("select id, rank as place, id as along from $c", c=relation("curve")))
    encoded.work.drop("curve")


def _ranks(encoded: Encoded) -> Iterator[Columns]:
    """Block by block, the number and the rank on the curve of each combination."""
    turns = encoded.turns
    tree = fragment("select $nothing from $c as c", nothing=[], c=relation("combinations"))
    told = [column("id", "c")]
    for i in turns:
        name = working_name(lines.line(i))
        tree = query.joined(tree, name, fragment("$a = $b", a=column(f"place {i}", "c"), b=column("place", name)))
        told.append(query.named(column("coarse", name), f"coarse {i}"))
    for first in range(1, encoded.combinations + 1, _BLOCK):
        block = [fragment(f"c.id >= {first}"), fragment(f"c.id < {first + _BLOCK}")]
        found = encoded.work.read(query.filtered(query.selecting(tree, told), block), "read the ranks")
        coarse = np.stack([found[f"coarse {i}"] for i in turns], axis=1)
        yield {"id": found["id"], "rank": curves.hilbert(coarse, lines.bits(len(encoded.dimensions)))}


def _best(encoded: Encoded, k: int) -> None:
    """`pieces` by the dynamic programme."""
    loss = groups.Loss(encoded.span, encoded.weights, tuple(d.kind == "single" for d in encoded.dimensions))
    found = groups.best(_stream(encoded), k, loss)
    encoded.work.load("cut", _cut(found), "the cheapest groups along the order", "sqlanon.udfs.groups.best")
    first = "cast(sum(c.records) over (partition by c.at order by c.class) - c.records as bigint) as first"
    made = fragment(
        f"select id, class, {first}, c.records from $c as c join $o as o on c.at = o.at",
        c=relation("cut"), o=relation("ordered"),
    )  # fmt: skip
    encoded.work.make("pieces", made, "which records of each combination are in which class")
    encoded.work.drop("cut")


def _stream(encoded: Encoded) -> Iterator[groups.Block]:
    """The combinations in their order, block by block."""
    told = [column(name) for name in ("records", "persons", *encoded.places)]
    for first in range(1, encoded.combinations + 1, _BLOCK):
        block = fragment(
            f"select $told from $o where at >= {first} and at < {first + _BLOCK} order by at",
            told=told, o=relation("ordered"),
        )  # fmt: skip
        found = encoded.work.read(block, "read the places in their order")
        places = np.stack([found[name].astype(np.int64) for name in encoded.places], axis=1)
        persons = found["persons"].astype(np.int64) if encoded.entity else None
        yield groups.Block(places, found["records"].astype(np.int64), persons)


def _cut(found: groups.Pieces) -> Iterator[Columns]:
    for first in range(0, len(found.rows), _BLOCK):
        part = slice(first, first + _BLOCK)
        yield {"at": found.rows[part] + 1, "class": found.groups[part], "records": found.records[part]}
