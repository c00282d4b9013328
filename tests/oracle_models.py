"""The oracle of the models beyond the classic ones: each by its definition, over plain rows, in exact fractions.

As in `oracle`: None is a value, rows are dicts and not empty, `m_per_class` gives every class its value; None stands
for a value that is missing, which never holds. Definitions: shared/reference/models.md, sections 1.2, 2 and 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

from oracle import Key, Rows, classes, distribution, frequencies

# The paths of a hierarchy: value, ancestors, root.
Paths = Sequence[tuple[str, ...]]


def variance(counts: Sequence[int]) -> Fraction:
    """V of a class with these frequencies: the variance of the ranks, the most frequent value being the first."""
    ranks = [Fraction(rank) for rank, count in enumerate(sorted(counts, reverse=True), 1) for _ in range(count)]
    mean = sum(ranks) / len(ranks)
    return sum(((rank - mean) ** 2 for rank in ranks), Fraction(0)) / len(ranks)


def theta_per_class(rows: Rows, by: Sequence[str], sensitive: str) -> dict[Key, Fraction]:
    return {key: variance(frequencies(members, sensitive)) for key, members in classes(rows, by).items()}


def groups_per_class(
    rows: Rows, by: Sequence[str], sensitive: str, group: Mapping[str, str]
) -> dict[Key, Counter[str | None] | None]:
    """The records of each class in each group of values; None where a value belongs to no group."""
    found: dict[Key, Counter[str | None] | None] = {}
    for key, members in classes(rows, by).items():
        values = [row[sensitive] for row in members]
        known = all(value is None or value in group for value in values)
        found[key] = Counter(None if v is None else group[v] for v in values) if known else None
    return found


def at_level(paths: Paths, level: int) -> dict[str, str]:
    return {path[0]: path[level] for path in paths}


def protected(paths: Paths, nodes: Sequence[str]) -> dict[str, str]:
    return {path[0]: next((node for node in path if node in nodes), path[0]) for path in paths}


def weight_per_class(
    rows: Rows, by: Sequence[str], sensitive: str, paths: Paths, level: int, per_record: bool
) -> dict[Key, Fraction | None]:
    """The total weight (i - 1)/(m - 1) of a class's values (records); a missing value weighs nothing."""
    group = at_level(paths, level)
    order = list(dict.fromkeys(group.values()))
    found: dict[Key, Fraction | None] = {}
    for key, members in classes(rows, by).items():
        values = [row[sensitive] for row in members] if per_record else list({row[sensitive] for row in members})
        if len(order) < 2 or any(v is not None and v not in group for v in values):
            found[key] = None
        else:
            places = (order.index(group[v]) for v in values if v is not None)
            found[key] = sum((Fraction(place, len(order) - 1) for place in places), Fraction(0))
    return found


def number(value: Any) -> Fraction | None:
    """A value as an exact number of ten decimals; a date as its day; nothing for what no such number can hold."""
    if value is None:
        return None
    if isinstance(value, date):
        return Fraction(value.toordinal())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return None if abs(exact) >= 10**18 else Fraction(exact.quantize(Decimal("1e-10"), ROUND_HALF_UP))


def span_per_class(rows: Rows, by: Sequence[str], sensitive: str) -> dict[Key, Fraction | None]:
    found: dict[Key, Fraction | None] = {}
    for key, members in classes(rows, by).items():
        present = [n for n in (number(row[sensitive]) for row in members) if n is not None]
        found[key] = max(present) - min(present) if present else None
    return found


def near_per_class(
    rows: Rows, by: Sequence[str], sensitive: str, epsilon: Fraction, relative: bool
) -> dict[Key, Fraction]:
    """The largest share of a class that is near one of its records; missing values are near each other alone."""
    found = {}
    for key, members in classes(rows, by).items():
        numbers = [number(row[sensitive]) for row in members]

        def near(x: Fraction | None, y: Fraction | None) -> bool:
            if x is None or y is None:
                return x is None and y is None
            return abs(y - x) <= (epsilon * abs(x) if relative else epsilon)

        found[key] = Fraction(max(sum(near(x, y) for y in numbers) for x in numbers), len(members))
    return found


def leaves(paths: Paths, node: str) -> set[str]:
    return {path[0] for path in paths if node in path}


def breach_per_class(
    rows: Rows, by: Sequence[str], sensitive: str, guard: str, paths: Paths
) -> dict[Key, Fraction | None]:
    """The largest breach probability of a person of the class (Xiao & Tao 2006)."""
    known = {label for path in paths for label in path}
    found: dict[Key, Fraction | None] = {}
    for key, members in classes(rows, by).items():
        if any(v is not None and v not in known for row in members for v in (row[sensitive], row[guard])):
            found[key] = None
            continue
        worst = Fraction(0)
        for person in members:
            guarded = leaves(paths, person[guard]) if person[guard] is not None else set()
            shares = [
                Fraction(len(leaves(paths, row[sensitive]) & guarded), len(leaves(paths, row[sensitive])))
                for row in members
                if row[sensitive] is not None
            ]
            worst = max(worst, sum(shares, Fraction(0)) / len(members))
        found[key] = worst
    return found


def log_ratio_per_class(rows: Rows, by: Sequence[str], sensitive: str, reference: Rows) -> dict[Key, float]:
    """max |log2(q / p)| over all values of the reference; infinite where one of them, or of the class, is absent."""
    p = distribution(reference, sensitive)
    found = {}
    for key, members in classes(rows, by).items():
        q = distribution(members, sensitive)
        found[key] = max(abs(math.log2(q[v] / p[v])) for v in p) if q.keys() == p.keys() else math.inf
    return found


def population_per_class(rows: Rows, by: Sequence[str], population: Rows) -> dict[Key, int]:
    people = Counter(tuple(row[column] for column in by) for row in population)
    return {key: people[key] for key in classes(rows, by)}


def small_share(rows: Rows, by: Sequence[str], m: int, entity: str | None = None) -> Fraction:
    """The share of the records (persons) in classes of fewer than m."""
    sizes = [len(x) if entity is None else len({row[entity] for row in x}) for x in classes(rows, by).values()]
    return Fraction(sum(size for size in sizes if size < m), sum(sizes))


def least_support(rows: Rows, column: str, m: int) -> int | None:
    """The least number of records that hold a set of up to m items that some record holds."""
    supports: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        items = sorted({item for item in row[column] or () if item})
        for size in range(1, m + 1):
            supports.update(combinations(items, size))
    return min(supports.values(), default=None)
