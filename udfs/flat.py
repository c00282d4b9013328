"""The planners as a database calls them: flat lists of whole numbers in, rows of whole numbers out.

What is done and what it leaves is told where each of them is made: exchanges and noise in `theta_plans`, groups along a
sequence in `groups`, distances of a hierarchy in `earth_mover`.
*Raises*: ValueError for lists whose lengths do not fit; its message holds no value of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sqlanon.udfs.earth_mover import hierarchical
from sqlanon.udfs.groups import Block, Loss, best
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_plans import Histogram, Plan, plan_paper, plan_swap

Numbers = Sequence[int]


def swap_plan(
    repair: str, k: int, mu: str, of: str, noise: bool, domain: int, classes: Numbers, values: Numbers, counts: Numbers,
    implausible: Numbers,
) -> list[tuple[str, int, int, int | None, int | None, int]]:  # fmt: skip
    """What lifts the classes of a histogram to θ: rows of (action, class, value, other class, other value, records).

    Actions: `exchange`, in their order, `noise`, and `unmet`, a class about which nothing can be done. `repair` is
    `swap` or `paper`; `mu` a number or fraction as text; `implausible` lists class, value, class, value, … of noise
    that must not be made.
    """
    planners: dict[str, Callable[..., Plan]] = {"swap": plan_swap, "paper": plan_paper}
    if repair not in planners or len(implausible) % 2:
        raise ValueError("repair is swap or paper, and implausible lists pairs")
    histogram = Histogram(_array(classes), _array(values), _array(counts), domain)
    theta = Theta(k, exact(mu), "n" if of == "n" else "k")
    pairs = frozenset(zip(implausible[::2], implausible[1::2], strict=True))
    plan = planners[repair](histogram, theta, noise=noise, implausible=pairs)
    told: list[tuple[str, int, int, int | None, int | None, int]] = []
    told += [("exchange", c, a, b, v, 1) for c, a, b, v in plan.exchanges.tolist()]
    told += [("noise", c, v, None, None, n) for c, v, n in plan.noise.tolist()]
    return told + [("unmet", int(c), 0, None, None, 0) for c in plan.unmet]


def sequence_groups(
    k: int, span: int, weights: Numbers, whole: Sequence[bool], places: Numbers, records: Numbers, persons: Numbers
) -> list[tuple[int, int, int]]:
    """The cheapest cut of a sequence of rows into groups of at least k: rows of (row, group, records).

    `places` has one number per row and column, row by row; `persons` is empty where records are counted.
    """
    rows, columns = len(records), len(weights)
    if len(places) != rows * columns or len(whole) != columns or len(persons) not in (0, rows):
        raise ValueError("there is one place per row and column, and one number of records and persons per row")
    counted = _array(persons) if len(persons) else None
    block = Block(_array(places).reshape(rows, columns), _array(records), counted)
    found = best([block], k, Loss(span, tuple(weights), tuple(whole)))
    return list(zip(found.rows.tolist(), found.groups.tolist(), found.records.tolist(), strict=True))


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


def _array(numbers: Numbers) -> npt.NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)
