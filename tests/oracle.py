"""The oracle: every measure by its definition, over plain rows, slowly and so that it can be seen to be right.

Rows are dicts. None is a value like any other and equal to itself. Shares are exact fractions; only the
logarithms (entropy, enhanced beta-likeness) are floating point. Rows must not be empty.

Each measure `m` has `m_per_class`, {class: value of that class}, and `m`, the worst value over all classes.
Measures that compare a class with the table take `reference`, the rows of that table; by default it is the
table that the classes come from. Definitions: shared/reference/models.md, sections 4 and 5.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, TypeVar

Row = Mapping[str, Any]
Rows = Sequence[Row]
Key = tuple[Any, ...]
Number = Fraction | float
Distribution = Mapping[Any, Fraction]
Levels = Mapping[Any, tuple[Any, ...]]
T = TypeVar("T")

ZERO = Fraction(0)


# -- classes and distributions ------------------------------------------------------------------------------


def classes(rows: Rows, quasi_identifiers: Sequence[str]) -> dict[Key, list[Row]]:
    """The equivalence classes: the rows that agree on all quasi-identifiers."""
    found: dict[Key, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[column] for column in quasi_identifiers), []).append(row)
    return found


def frequencies(rows: Iterable[Row], column: str) -> list[int]:
    """How many rows hold each value that occurs, most frequent first: r1 >= r2 >= ... >= rm."""
    return sorted(Counter(row[column] for row in rows).values(), reverse=True)


def distribution(rows: Rows, column: str) -> dict[Any, Fraction]:
    """The share of the rows that hold each value that occurs."""
    return {value: Fraction(count, len(rows)) for value, count in Counter(row[column] for row in rows).items()}


def differences(q: Distribution, p: Distribution) -> dict[Any, Fraction]:
    """q - p of every value that occurs in either distribution."""
    return {value: q.get(value, ZERO) - p.get(value, ZERO) for value in {*q, *p}}


def total(amounts: Iterable[Fraction]) -> Fraction:
    """The sum, 0 where there is nothing to add."""
    return sum(amounts, ZERO)


def in_order(values: Iterable[Any]) -> list[Any]:
    """The distinct values in ascending order, None first."""
    return sorted(set(values), key=lambda value: (value is not None, value))


# -- k-anonymity --------------------------------------------------------------------------------------------


def k_anonymity_per_class(rows: Rows, quasi_identifiers: Sequence[str], entity: str | None = None) -> dict[Key, int]:
    """The records of each class or, where an entity is named, the persons (Sweeney 2002)."""
    return {
        key: len(members) if entity is None else len({row[entity] for row in members})
        for key, members in classes(rows, quasi_identifiers).items()
    }


def k_anonymity(rows: Rows, quasi_identifiers: Sequence[str], entity: str | None = None) -> int:
    """The size of the smallest class."""
    return min(k_anonymity_per_class(rows, quasi_identifiers, entity).values())


# -- l-diversity --------------------------------------------------------------------------------------------


def distinct_l_per_class(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> dict[Key, int]:
    """The distinct sensitive values of each class (Machanavajjhala et al. 2007)."""
    return {key: len(frequencies(members, sensitive)) for key, members in classes(rows, quasi_identifiers).items()}


def distinct_l(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> int:
    """The fewest distinct sensitive values of any class."""
    return min(distinct_l_per_class(rows, quasi_identifiers, sensitive).values())


def entropy_l_per_class(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> dict[Key, float]:
    """exp of the entropy of the sensitive values of each class, in nats (Machanavajjhala et al. 2007)."""
    return {
        key: math.exp(-math.fsum(q * math.log(q) for q in distribution(members, sensitive).values()))
        for key, members in classes(rows, quasi_identifiers).items()
    }


def entropy_l(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> float:
    """exp of the least entropy of any class."""
    return min(entropy_l_per_class(rows, quasi_identifiers, sensitive).values())


def entropy_l_holds(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, l: int | Fraction) -> bool:  # noqa: E741
    """Whether every class has an entropy of at least ln l, decided in whole numbers, so that a tie holds.

    -sum f/n ln(f/n) >= ln l, multiplied by n and put into exp, is n**n >= l**n * product of f**f.
    """
    return all(
        len(members) ** len(members) >= l ** len(members) * math.prod(f**f for f in frequencies(members, sensitive))
        for members in classes(rows, quasi_identifiers).values()
    )


def recursive_per_class(
    rows: Rows,
    quasi_identifiers: Sequence[str],
    sensitive: str,
    l: int,  # noqa: E741
) -> dict[Key, Number]:
    """r1 / (r_l + ... + r_m) of each class; inf with fewer than l values (Machanavajjhala et al. 2007).

    Recursive (c,l)-diversity holds where it is strictly less than c.
    """

    def ratio(r: list[int]) -> Number:
        return Fraction(r[0], sum(r[l - 1 :])) if len(r) >= l else math.inf

    return {key: ratio(frequencies(members, sensitive)) for key, members in classes(rows, quasi_identifiers).items()}


def recursive(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, l: int) -> Number:  # noqa: E741
    """The largest r1 / (r_l + ... + r_m) of any class."""
    return max(recursive_per_class(rows, quasi_identifiers, sensitive, l).values())


# -- (alpha,k)-anonymity ------------------------------------------------------------------------------------


def alpha_per_class(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> dict[Key, Fraction]:
    """The share of the most frequent sensitive value of each class (Wong et al. 2006)."""
    return {
        key: max(distribution(members, sensitive).values()) for key, members in classes(rows, quasi_identifiers).items()
    }


def alpha(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str) -> Fraction:
    """The largest share of a sensitive value in any class."""
    return max(alpha_per_class(rows, quasi_identifiers, sensitive).values())


# -- t-closeness --------------------------------------------------------------------------------------------


def t_equal_per_class(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None
) -> dict[Key, Fraction]:
    """Half the sum of |q - p| of each class (Li et al. 2007, equal ground distance)."""

    def distance(q: Distribution, p: Distribution) -> Fraction:
        return total(abs(difference) for difference in differences(q, p).values()) / 2

    return _against_table(distance, rows, quasi_identifiers, sensitive, reference)


def t_equal(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None) -> Fraction:
    """The largest distance of any class from the table, values equally far apart."""
    return max(t_equal_per_class(rows, quasi_identifiers, sensitive, reference).values())


def t_ordered_per_class(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None
) -> dict[Key, Fraction]:
    """1/(m-1) sum_i |sum_{j<=i} (q_j - p_j)| of each class over the m values of the reference (Li et al. 2007).

    A class value that the reference does not hold has no place in the order and raises ValueError.
    """

    def distance(q: Distribution, p: Distribution) -> Fraction:
        if not q.keys() <= p.keys():
            raise ValueError("a class holds a value that the reference does not hold")
        if len(p) == 1:
            return ZERO
        difference = differences(q, p)
        moved = accumulate(difference[value] for value in in_order(p))
        return total(abs(amount) for amount in moved) / (len(p) - 1)

    return _against_table(distance, rows, quasi_identifiers, sensitive, reference)


def t_ordered(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None) -> Fraction:
    """The largest distance of any class from the table, values as far apart as their ranks."""
    return max(t_ordered_per_class(rows, quasi_identifiers, sensitive, reference).values())


def t_hierarchical_per_class(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, levels: Levels, reference: Rows | None = None
) -> dict[Key, Fraction]:
    """The sum of height/H * min(pos, neg) over the inner nodes, of each class (Li et al. 2007).

    `levels` gives each value its ancestors from level 1 to the root.
    """

    def distance(q: Distribution, p: Distribution) -> Fraction:
        return _hierarchical_distance(q, p, levels)

    return _against_table(distance, rows, quasi_identifiers, sensitive, reference)


def t_hierarchical(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, levels: Levels, reference: Rows | None = None
) -> Fraction:
    """The largest distance of any class from the table, values as far apart as their lowest common ancestor is high."""
    return max(t_hierarchical_per_class(rows, quasi_identifiers, sensitive, levels, reference).values())


def _hierarchical_distance(q: Distribution, p: Distribution, levels: Levels) -> Fraction:
    """extra(leaf) = p - q, extra(node) = the sum over its leaves; each inner node levels out its children."""
    # a node is the path from it to the root, so that equal labels in different places are different nodes
    difference = differences(q, p)
    paths = [(value, *levels[value]) for value in difference]
    height_of_root = len(paths[0]) - 1
    if len({path[-1] for path in paths}) > 1 or {len(path) for path in paths} != {height_of_root + 1}:
        raise ValueError("the values do not share one root at one height")

    def extra(node: Key, height: int) -> Fraction:
        return total(-difference[path[0]] for path in paths if path[height:] == node)

    cost = ZERO
    for height in range(1, height_of_root + 1):
        for node in {path[height:] for path in paths}:
            children = {path[height - 1 :] for path in paths if path[height:] == node}
            extras = [extra(child, height - 1) for child in children]
            positive, negative = total(e for e in extras if e > 0), total(-e for e in extras if e < 0)
            cost += Fraction(height, height_of_root) * min(positive, negative)
    return cost


# -- beta-likeness ------------------------------------------------------------------------------------------


def beta_basic_per_class(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None
) -> dict[Key, Number]:
    """The largest gain (q - p)/p over the values that occur in each class (Cao, Karras 2012).

    A value that the reference does not hold is an infinite gain.
    """

    def largest(q: Distribution, p: Distribution) -> Number:
        return max(_gain(q[value], p.get(value, ZERO)) for value in q)

    return _against_table(largest, rows, quasi_identifiers, sensitive, reference)


def beta_basic(rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None) -> Number:
    """The largest gain of any value in any class."""
    return max(beta_basic_per_class(rows, quasi_identifiers, sensitive, reference).values())


def beta_enhanced_margin_per_class(
    rows: Rows, quasi_identifiers: Sequence[str], sensitive: str, reference: Rows | None = None
) -> dict[Key, float]:
    """The least -ln p - (q - p)/p over the values that occur in each class; negative breaks the enhanced bound."""

    def least(q: Distribution, p: Distribution) -> float:
        return min(-math.log(p[v]) - _gain(q[v], p[v]) if v in p else -math.inf for v in q)

    return _against_table(least, rows, quasi_identifiers, sensitive, reference)


def beta_enhanced_holds(
    rows: Rows,
    quasi_identifiers: Sequence[str],
    sensitive: str,
    beta: Number,
    reference: Rows | None = None,
) -> bool:
    """Whether (q - p)/p <= min(beta, -ln p) for every value that occurs in every class (Cao, Karras 2012).

    Only p = 1 can tie with -ln p, which is irrational for every other share; there both sides are exactly 0.
    """
    margins = beta_enhanced_margin_per_class(rows, quasi_identifiers, sensitive, reference)
    return beta_basic(rows, quasi_identifiers, sensitive, reference) <= beta and min(margins.values()) >= 0


def _gain(q: Fraction, p: Fraction) -> Number:
    return (q - p) / p if p else math.inf


# -- risk and utility ---------------------------------------------------------------------------------------


def average_risk(rows: Rows, quasi_identifiers: Sequence[str]) -> Fraction:
    """The mean over the records of 1 / class size, which is classes / records (El Emam 2013)."""
    return Fraction(len(classes(rows, quasi_identifiers)), len(rows))


def discernibility(rows: Rows, quasi_identifiers: Sequence[str], suppressed: int = 0) -> int:
    """The sum of squared class sizes, plus the records of the source once per suppressed record.

    `rows` are the released records. (Bayardo, Agrawal 2005.)
    """
    released = sum(size**2 for size in k_anonymity_per_class(rows, quasi_identifiers).values())
    return released + suppressed * (len(rows) + suppressed)


def average_class_size(rows: Rows, quasi_identifiers: Sequence[str]) -> Fraction:
    """Records per class."""
    return Fraction(len(rows), len(classes(rows, quasi_identifiers)))


def normalized_average_class_size(rows: Rows, quasi_identifiers: Sequence[str], k: int) -> Fraction:
    """Records per class, over k: 1 is the best that k allows (LeFevre et al. 2006, C_AVG)."""
    return average_class_size(rows, quasi_identifiers) / k


# -- a class against the table ------------------------------------------------------------------------------


def _against_table(
    measure: Callable[[Distribution, Distribution], T],
    rows: Rows,
    quasi_identifiers: Sequence[str],
    sensitive: str,
    reference: Rows | None,
) -> dict[Key, T]:
    """`measure` of each class's distribution q and the table's distribution p."""
    p = distribution(rows if reference is None else reference, sensitive)
    return {
        key: measure(distribution(members, sensitive), p) for key, members in classes(rows, quasi_identifiers).items()
    }
