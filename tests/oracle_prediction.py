"""The oracle of value prediction: every number by its definition, over plain rows, slowly and in exact fractions.

Rows are dicts, None is a missing value. `margin` is a number or a timedelta; 0 means equal. Definitions:
shared/reference/models.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, permutations
from typing import Any

Row = Mapping[str, Any]
Threshold = Callable[[Row], Fraction]


def exact(number: Any) -> Fraction:
    """The number that was written: 0.1 is 1/10."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def near(one: Any, other: Any, margin: Any) -> bool:
    """Whether a guess of one value is right for the other."""
    if not margin:
        return bool(one == other)
    if isinstance(one, (int, float, Decimal)):
        return abs(exact(one) - exact(other)) <= exact(margin)
    return bool(abs(one - other) <= margin)


def members(rows: Sequence[Row], fields: Sequence[str], column: str, row: Row) -> list[Row]:
    """The set of a record: those with a value that share its fields; a missing field is a value like any other."""
    return [r for r in rows if r[column] is not None and all(r[f] == row[f] for f in fields)]


def risk(rows: Sequence[Row], fields: Sequence[str], column: str, margin: Any, row: Row) -> Fraction:
    """The share of a record's set whose value is within the margin of its own."""
    inside = members(rows, fields, column, row)
    return Fraction(sum(near(r[column], row[column], margin) for r in inside), len(inside))


def violations(
    rows: Sequence[Row], fields: Sequence[str], column: str, margin: Any, threshold: Threshold, above: bool = False
) -> list[int]:
    """The positions of the records that are violations."""
    found = []
    for i, row in enumerate(rows):
        if row[column] is None:
            continue
        share = risk(rows, fields, column, margin, row)
        if share > threshold(row) or (share == threshold(row) and not above):
            found.append(i)
    return found


def without(rows: Sequence[Row], column: str, positions: Sequence[int]) -> list[Row]:
    """The rows with these values blanked."""
    return [{**row, column: None} if i in positions else row for i, row in enumerate(rows)]


def fewest(
    rows: Sequence[Row], fields: Sequence[str], column: str, margin: Any, threshold: Threshold, above: bool = False
) -> int:
    """The least number of values that must be blanked, found by trying all ways."""
    there = [i for i, row in enumerate(rows) if row[column] is not None]
    return next(
        size
        for size in range(len(there) + 1)
        for gone in combinations(there, size)
        if not violations(without(rows, column, gone), fields, column, margin, threshold, above)
    )


def average_cost(violations_of: Mapping[frozenset[str], int], fields: Sequence[str], field: str) -> Fraction:
    """What a field adds on average over all orders in which the fields become known."""
    gains = []
    for order in permutations(fields):
        before = frozenset(order[: order.index(field)])
        gains.append(violations_of[before | {field}] - violations_of[before])
    return Fraction(sum(gains), len(gains))


# -- statistics --------------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """The value at position p (n + 1) / 100 of the sorted values, between neighbours in proportion."""
    ordered = sorted(map(exact, values))
    place = exact(percent) * (len(ordered) + 1) / 100
    if place < 1:
        return float(ordered[0])
    if place >= len(ordered):
        return float(ordered[-1])
    lower = math.floor(place)
    return float(ordered[lower - 1] + (place - lower) * (ordered[lower] - ordered[lower - 1]))


def describe(values: Sequence[float]) -> dict[str, float | None]:
    """The statistics of at least one value, in exact fractions up to the last root."""
    x = [exact(v) for v in values]
    n = len(x)
    mean = sum(x, Fraction(0)) / n
    two, three, four = (sum(((v - mean) ** power for v in x), Fraction(0)) for power in (2, 3, 4))
    variance = two / (n - 1) if n > 1 else Fraction(0)
    skewness = kurtosis = None
    if n >= 3:
        skewness = n / ((n - 1) * (n - 2)) * float(three) / math.sqrt(variance) ** 3 if variance else 0.0
    if n >= 4:
        scale = Fraction(n * (n + 1), (n - 1) * (n - 2) * (n - 3))
        kurtosis = (
            float(scale * four / variance**2 - Fraction(3 * (n - 1) ** 2, (n - 2) * (n - 3))) if variance else 0.0
        )
    return {
        "n": float(n), "min": float(min(x)), "max": float(max(x)), "sum": float(sum(x)),
        "sumsq": float(sum(v * v for v in x)), "mean": float(mean),
        "geometric_mean": math.exp(sum(math.log(v) for v in x) / n) if min(x) > 0 else None,
        "quadratic_mean": math.sqrt(sum(v * v for v in x) / n), "variance": float(variance),
        "population_variance": float(two / n), "std": math.sqrt(variance), "skewness": skewness, "kurtosis": kurtosis,
    }  # fmt: skip


def correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Pearson's correlation; None where one of the two does not vary."""
    x, y = ([exact(v) for v in side] for side in zip(*pairs, strict=True)) if pairs else ([], [])
    if len(pairs) < 2 or len(set(x)) < 2 or len(set(y)) < 2:
        return None
    mx, my = sum(x) / len(x), sum(y) / len(y)
    xy = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return float(xy) / math.sqrt(sum((a - mx) ** 2 for a in x)) / math.sqrt(sum((b - my) ** 2 for b in y))
