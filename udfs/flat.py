"""The planners as a database calls them: relations of whole numbers in, rows of whole numbers out.

A relation comes as bytes, row by row, eight bytes per number, the most significant first, which is what `int8send`
gives: `string_agg(int8send(a) || int8send(b), ''::bytea ORDER BY …)`. Beside the client, where it comes as blocks of a
stream, the same functions are called without their `packed`. Answers leave the server in blocks, an array per column.

What is done and what it leaves is told where each of them is made: exchanges and noise in `theta_plans`, groups along a
sequence in `groups`, ranks on a curve in `curves`, distances of a hierarchy in `earth_mover`.
*Raises*: ValueError for bytes or lists whose lengths do not fit; its message holds no value of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sqlanon.udfs.curves import hilbert
from sqlanon.udfs.earth_mover import hierarchical
from sqlanon.udfs.groups import Block, Loss, best
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_plans import Histogram, Plan, plan_paper, plan_swap

Numbers = Sequence[int]
Ints = npt.NDArray[np.int64]
Stream = Iterable[Ints]
Lists = Iterator[tuple[list[int], ...]]

LEAVES = 1
ARRIVES = 2
NOISE = 3
UNMET = 4
SWAPS = 5
_ROWS = 1 << 16  # of an answer that stand together


# -- exchanges and noise -----------------------------------------------------------------------------------------------


def swaps(
    repair: str, k: int, mu: str, of: str, noise: bool, domain: int, histogram: Stream, implausible: Stream
) -> tuple[Ints, ...]:
    """What lifts the classes of a histogram to θ: columns of action, class, value and records.

    `repair` is `swap` or `paper`; `mu` a number or fraction as text; `histogram` has rows of class, value and records,
    `implausible` of the class and value of noise that must not be made. Actions: records of a class and value that
    LEAVE it or ARRIVE there, in all exchanges together; a record of NOISE, one per row; a class that stays UNMET, about
    which nothing can be done; and one row that tells how many SWAPS there are.
    """
    planners: dict[str, Callable[..., Plan]] = {"swap": plan_swap, "paper": plan_paper}
    if repair not in planners:
        raise ValueError("repair is swap or paper")
    theta = Theta(k, exact(mu), "n" if of == "n" else "k")
    banned = frozenset(map(tuple, _together(implausible, 2).tolist()))
    classes, values, counts = _together(histogram, 3).T
    plan = planners[repair](Histogram(classes, values, counts, domain), theta, noise=noise, implausible=banned)
    leaving, arriving = plan.moves()
    alone = np.repeat(plan.noise * np.array([1, 1, 0]) + np.array([0, 0, 1]), plan.noise[:, 2], axis=0)
    unmet = np.array([[number, 0, 0] for number in plan.unmet], dtype=np.int64).reshape(-1, 3)
    told = (leaving, arriving, alone, unmet, np.array([[0, 0, plan.swaps]]))
    actions = np.repeat(np.array([LEAVES, ARRIVES, NOISE, UNMET, SWAPS]), [len(rows) for rows in told])
    return actions, *np.ascontiguousarray(np.concatenate(told).T)


def packed_swaps(
    repair: str, k: int, mu: str, of: str, noise: bool, domain: int, histogram: bytes, implausible: bytes
) -> Lists:
    """What lifts the classes of a histogram to θ: action, class, value and records.

    Actions: records that leave (1) or arrive (2), noise (3), classes that stay unmet (4), the number of swaps (5).
    """
    found = swaps(repair, k, mu, of, noise, domain, [_unpacked(histogram, 3)], [_unpacked(implausible, 2)])
    return _listed(found)


# -- groups along a sequence -------------------------------------------------------------------------------------------


def cut(k: int, span: int, weights: Numbers, whole: Sequence[bool], by_person: bool, rows: Stream) -> tuple[Ints, ...]:
    """The cheapest cut of a sequence of rows into groups of at least k: columns of row (from 1), group and records.

    `rows` has records, persons and a place per column. Groups are of persons, or (not `by_person`) of records.
    """
    columns = len(weights)
    if len(whole) != columns:
        raise ValueError("every column has a weight, and is whole or not")
    blocks = (Block(b[:, 2:], np.ascontiguousarray(b[:, 0]), b[:, 1].copy() if by_person else None) for b in rows)
    found = best(blocks, k, Loss(span, tuple(weights), tuple(whole)))
    return found.rows + 1, found.groups, found.records


def packed_cut(k: int, span: int, weights: Numbers, whole: Sequence[bool], by_person: bool, rows: bytes) -> Lists:
    """The cheapest cut of a sequence of rows into groups of at least k: row (from 1), group and records."""
    return _listed(cut(k, span, weights, whole, by_person, [_unpacked(rows, len(weights) + 2)]))


# -- ranks on a curve --------------------------------------------------------------------------------------------------


def ranks(bits: int, columns: int, rows: Stream) -> tuple[Ints, ...]:
    """The ranks of points on the Hilbert curve: columns of id and rank; `rows` has an id and a number per column."""
    found = [(block[:, 0], hilbert(block[:, 1:], bits)) for block in rows if len(block)]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True)) if found else (_NOTHING, _NOTHING)


def packed_ranks(bits: int, columns: int, rows: bytes) -> Lists:
    """The ranks of points on the Hilbert curve: id and rank."""
    return _listed(ranks(bits, columns, [_unpacked(rows, columns + 1)]))


_NOTHING = np.empty(0, dtype=np.int64)


# -- distances ---------------------------------------------------------------------------------------------------------


def hierarchical_distance(counts: Numbers, reference: Numbers, parents: Numbers, widths: Numbers) -> float:
    """The earth mover's distance of a class from its table over a hierarchy, 0 to 1.

    `counts` and `reference`: records of the class and of the table per value. `parents` lists the parent of each node,
    level after level from the leaves up; `widths` how many nodes each level has.
    """
    if sum(widths) != len(parents):
        raise ValueError("the widths of the levels add up to the number of parents")
    ends = np.cumsum([0, *widths]).tolist()
    levels = [_array(parents[start:end]) for start, end in pairwise(ends)]
    return float(hierarchical(_array(counts)[np.newaxis], _array(reference), levels)[0])


def _array(numbers: Numbers) -> Ints:
    return np.array(numbers, dtype=np.int64)


# -- relations ---------------------------------------------------------------------------------------------------------


def _unpacked(rows: bytes, columns: int) -> Ints:
    if len(rows) % (8 * columns):
        raise ValueError("a row has eight bytes for each of its numbers")
    return np.frombuffer(rows, dtype=">i8").reshape(-1, columns).astype(np.int64)


def _together(stream: Stream, columns: int) -> Ints:
    return np.concatenate([np.empty((0, columns), dtype=np.int64), *stream])


def _listed(columns: tuple[Ints, ...]) -> Lists:
    for start in range(0, len(columns[0]), _ROWS):
        yield tuple(column[start : start + _ROWS].tolist() for column in columns)
