"""The oracle of the risks: every measure by its definition, over plain rows, slowly and so that it can be seen right.

Rows are dicts; None is a value like any other and equal to itself. Shares are exact fractions; only estimators and DIS
are floating point. Definitions: shared/reference/models.md, section 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]
Key = tuple[Any, ...]


def classes(rows: Rows, keys: Sequence[str], entity: str | None = None) -> dict[Key, int]:
    """Each class and its size: records, or different persons; all records without a person count as one."""
    members: dict[Key, list[Any]] = {}
    for place, row in enumerate(rows):
        who = row[entity] if entity else place
        members.setdefault(tuple(row[key] for key in keys), []).append(who)
    return {key: len(set(found)) for key, found in members.items()}


def histogram(rows: Rows, keys: Sequence[str], entity: str | None = None) -> dict[int, int]:
    return dict(Counter(classes(rows, keys, entity).values()))


def prosecutor(sizes: Mapping[Key, int], threshold: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """Ra, Rb, Rc: a record's risk is one by the size of its class."""
    risks = [Fraction(1, size) for size in sizes.values() for _ in range(size)]
    return Fraction(sum(r > threshold for r in risks), len(risks)), max(risks), sum(risks, Fraction(0)) / len(risks)


def journalist(
    sizes: Mapping[Key, int], population: Mapping[Key, int], threshold: Fraction
) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Ra, Rb, Rc and the marketer's risk: the size is that of the class in the population."""
    risks = [Fraction(1, population[key]) for key, size in sizes.items() for _ in range(size)]
    marketer = sum(risks, Fraction(0)) / len(risks)
    average = max(Fraction(len(sizes), sum(population[key] for key in sizes)), marketer)
    return Fraction(sum(r > threshold for r in risks), len(risks)), max(risks), average, marketer


def separation(rows: Rows, keys: Sequence[str]) -> Fraction | None:
    """The share of the pairs of records that differ somewhere in these columns."""
    pairs = list(combinations([tuple(row[key] for key in keys) for row in rows], 2))
    return Fraction(sum(one != other for one, other in pairs), len(pairs)) if pairs else None


def minimal_uniques(rows: Rows, keys: Sequence[str], most: int) -> list[set[frozenset[str]]]:
    """Per record its minimal sample uniques of up to `most` columns: unique there, and on no proper subset."""

    def alone(row: Row, columns: frozenset[str]) -> bool:
        return sum(all(other[c] == row[c] for c in columns) for other in rows) == 1

    found = []
    for row in rows:
        every = [frozenset(c) for size in range(1, most + 1) for c in combinations(keys, size)]
        unique = {columns for columns in every if alone(row, columns)}
        found.append({columns for columns in unique if not any(smaller < columns for smaller in unique)})
    return found


def suda(rows: Rows, keys: Sequence[str], most: int) -> list[int]:
    """Per record the sum of (ATT − |MSU|)! over its minimal sample uniques."""
    return [sum(math.factorial(len(keys) - len(c)) for c in found) for found in minimal_uniques(rows, keys, most)]


def dis(rows: Rows, keys: Sequence[str], scores: Sequence[int], fraction: float) -> tuple[float, list[float]]:
    """DIS of the file, and per record as sdcMicro scales it."""
    sizes = classes(rows, keys).values()
    ones, twos = sum(size == 1 for size in sizes), sum(size == 2 for size in sizes)
    if not ones:
        return 0.0, [0.0] * len(rows)
    whole = fraction * ones / (fraction * ones + 2 * (1 - fraction) * twos)
    q = 1 + (8 - len(keys)) / 20
    a = sum(score**-q for score in scores if score)
    return whole, [1 / (1 + (ones / whole - ones) / (score**q * a)) if score else 0.0 for score in scores]


def zayatz(sizes: Mapping[int, int], population: int) -> Fraction:
    """S₁ · P(population unique | sample unique) · N / n, with exact hypergeometric probabilities."""
    n, u = sum(size * count for size, count in sizes.items()), sum(sizes.values())

    def one_of(size: int) -> Fraction:
        ways = size * math.comb(population - size, n - 1) if population - size >= n - 1 else 0
        return Fraction(ways, math.comb(population, n))

    whole = sum((Fraction(count, u) * one_of(size) for size, count in sizes.items()), Fraction(0))
    ones = sizes.get(1, 0)
    return ones * (Fraction(ones, u) * one_of(1) / whole) * Fraction(population, n) if whole else Fraction(0)


def pitman_likelihood(sizes: Mapping[int, int], theta: float, alpha: float) -> float:
    """The logarithm of Pitman's sampling formula, without what does not depend on θ and α."""
    n, u = sum(size * count for size, count in sizes.items()), sum(sizes.values())
    found = math.fsum(math.log(theta + i * alpha) for i in range(1, u))
    found -= math.fsum(math.log(theta + i) for i in range(1, n))
    return found + math.fsum(
        count * math.fsum(math.log(i - alpha) for i in range(1, size)) for size, count in sizes.items()
    )


def slide_negative_binomial(classes: float, fraction: float, alpha: float, beta: float) -> tuple[float, float]:
    """Expected sample classes of one and of two records, summed over the population class sizes 1 + NB(α, β)."""
    expected = [0.0, 0.0]
    for x in range(3000):
        log = math.lgamma(alpha + x) - math.lgamma(alpha) - math.lgamma(x + 1)
        there = classes * math.exp(log + alpha * math.log(beta) + x * math.log1p(-beta))
        for drawn in (1, 2):
            if x + 1 >= drawn:
                rest = x + 1 - drawn
                expected[drawn - 1] += there * math.comb(x + 1, drawn) * fraction**drawn * (1 - fraction) ** rest
    return expected[0], expected[1]


def shlosser(sizes: Mapping[int, int], q: Fraction) -> Fraction:
    """Haas & Stokes 1998, Sh3, in fractions."""
    first = sum((i * q**2 * (1 - q**2) ** (i - 1) * s for i, s in sizes.items()), Fraction(0))
    second = sum(((1 - q) ** i * ((1 + q) ** i - 1) * s for i, s in sizes.items()), Fraction(0))
    third = sum(((1 - q) ** i * s for i, s in sizes.items()), Fraction(0))
    fourth = sum((i * q * (1 - q) ** (i - 1) * s for i, s in sizes.items()), Fraction(0))
    return sum(sizes.values()) + sizes.get(1, 0) * first / second * (third / fourth) ** 2


def population_classes(size: int, fraction: float, terms: int = 20_000) -> list[tuple[int, float]]:
    """F and P(F | f) of the negative binomial model, F from f on."""
    found, chance = [], fraction**size
    for extra in range(terms):
        found.append((size + extra, chance))
        chance *= (size + extra) / (extra + 1) * (1 - fraction)
    return found


def safepub_delta(k: int, epsilon: float, to: int) -> float:
    """δ(k): the greatest P(Bin(n, β) > γn) over ⌈k/γ − 1⌉ ≤ n ≤ `to`, each summed term by term."""
    with localcontext() as context:
        context.prec = 50  # a γn beside a whole number decides whether a term counts
        power = Decimal(repr(epsilon)).exp()
        beta = float(1 - 1 / power)
        gamma = Fraction((power - 1 + (1 - 1 / power)) / power)
    worst = 0.0
    for n in range(max(math.ceil(k / gamma - 1), 0), to + 1):
        terms = (math.comb(n, j) * beta**j * (1 - beta) ** (n - j) for j in range(n + 1) if j > gamma * n)
        worst = max(worst, math.fsum(terms))
    return worst
