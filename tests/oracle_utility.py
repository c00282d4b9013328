"""The oracle of usefulness: every measure by its definition, record by record, slowly and so that it can be seen.

A record is a pair: the source's row and the row that was published of it, or None where it was left out. A column knows
its domain and what each label covers; nothing here knows how a release was made. Shares are exact fractions; only
logarithms, roots and correlations are floating point. Definitions: shared/reference/models.md, sections 1.5 and 5.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

Row = Mapping[str, Any]
Record = tuple[Row, Row | None]
STAR = "*"


@dataclass(frozen=True)
class Column:
    """A quasi-identifier: its `domain` in order; for each label the values it `covers`; its level, of `height`.

    `mapped`: for each label the values that the hierarchy maps to it. `numbers`: the domain's values as numbers, where
    the column is one of quantities.
    """

    name: str
    domain: Sequence[Any]
    covers: Mapping[Any, frozenset[Any]]
    mapped: Mapping[Any, frozenset[Any]]
    levels: Mapping[Any, int]
    height: int
    ordered: bool = False
    numbers: Mapping[Any, Fraction] | None = None
    weight: int = 1


def kept(records: Sequence[Record], columns: Sequence[Column]) -> list[Record]:
    """The records in classes: with a published row that is not `*` everywhere, unless all are."""
    published = [row for _, row in records if row is not None]
    stars = [row for row in published if all(row[c.name] == STAR for c in columns)]
    if len(stars) == len(published):
        return [record for record in records if record[1] is not None]
    return [record for record in records if record[1] is not None and record[1] not in stars]


def suppressed(records: Sequence[Record], columns: Sequence[Column]) -> int:
    """The records that are in no class."""
    return len(records) - len(kept(records, columns))


def classes(records: Sequence[Record], columns: Sequence[Column]) -> Counter[tuple[Any, ...]]:
    """The classes by their labels, and their sizes."""
    return Counter(tuple(row[c.name] for c in columns) for _, row in kept(records, columns) if row is not None)


def labels(records: Sequence[Record], columns: Sequence[Column], column: Column) -> list[Any]:
    """The label of every record in a class."""
    return [row[column.name] for _, row in kept(records, columns) if row is not None]


# -- losses ------------------------------------------------------------------------------------------------------------


def mean_cost(
    records: Sequence[Record], columns: Sequence[Column], column: Column, cost: Mapping[Any, Any]
) -> Fraction:
    """The mean cost of a label over all records, 1 for a suppressed one."""
    costs = [cost[label] for label in labels(records, columns, column)]
    return Fraction(sum(costs) + suppressed(records, columns), len(records))


def ncp(column: Column, label: Any) -> Fraction:
    """(max − min) ÷ range over what a label covers; for categories leaves ÷ domain if there is more than one leaf."""
    covered, everything = column.covers[label], len(column.domain)
    if len(covered) == 1:
        return Fraction(0)
    if len(covered) == everything:
        return Fraction(1)
    if column.numbers:
        inside = [column.numbers[value] for value in covered if value in column.numbers]
        width = max(column.numbers.values()) - min(column.numbers.values())
        if inside and width:
            return Fraction(max(inside) - min(inside), width)
    return Fraction(len(covered), everything)


def losses_of(
    records: Sequence[Record], columns: Sequence[Column], column: Column, cost: Callable[[Column, Any], Fraction]
) -> Fraction:
    """The mean cost of the labels that occur."""
    told = set(labels(records, columns, column))
    return mean_cost(records, columns, column, {label: cost(column, label) for label in told})


def losses(records: Sequence[Record], columns: Sequence[Column], column: Column) -> dict[str, Any]:
    """What one column lost."""
    domain = len(column.domain)
    leaves = {label: len(covered) for label, covered in column.covers.items()}
    costs = {
        "ncp": {label: ncp(column, label) for label in leaves},
        "iloss": {label: Fraction(n - 1, max(domain - 1, 1)) for label, n in leaves.items()},
        "domain_share": {label: Fraction(n, domain) for label, n in leaves.items()},
        "precision": {label: Fraction(level, column.height) for label, level in column.levels.items()},
    }
    found: dict[str, Any] = {kind: mean_cost(records, columns, column, cost) for kind, cost in costs.items()}
    return found | entropy(records, columns, column)


def entropy(records: Sequence[Record], columns: Sequence[Column], column: Column) -> dict[str, float]:
    """−Σ over all cells log2(records with the original value ÷ records mapped to the published label)."""
    values = Counter(row[column.name] for row, _ in records)
    in_classes = kept(records, columns)
    bits = most = 0.0
    for record in records:
        own = values[record[0][column.name]]
        most += math.log2(len(records) / own)
        together = len(records)
        if record in in_classes and record[1] is not None:
            together = sum(values[value] for value in column.mapped[record[1][column.name]])
        bits += math.log2(together / own)
    return {"entropy": bits, "normalized_entropy": bits / most if most else 0.0}


def totals(records: Sequence[Record], columns: Sequence[Column]) -> dict[str, float]:
    """The losses of all columns together."""
    found, weights = [losses(records, columns, c) for c in columns], [c.weight for c in columns]

    def mean(kind: str) -> float:
        return float(sum(w * lost[kind] for w, lost in zip(weights, found, strict=True))) / sum(weights)

    logs = sum(w * math.log(1 + lost["iloss"]) for w, lost in zip(weights, found, strict=True)) / sum(weights)
    return {
        "gcp": float(sum(lost["ncp"] for lost in found) / len(found)), "iloss": mean("iloss"),
        "precision": mean("precision"), "loss": math.exp(logs) - 1,
        "entropy": sum(w * lost["entropy"] for w, lost in zip(weights, found, strict=True)),
        "normalized_entropy": mean("normalized_entropy"),
    }  # fmt: skip


# -- classes -----------------------------------------------------------------------------------------------------------


def discernibility(records: Sequence[Record], columns: Sequence[Column]) -> int:
    """Σ |E|², and n for each suppressed record."""
    squares = sum(size**2 for size in classes(records, columns).values())
    return squares + len(records) * suppressed(records, columns)


def average_class_size(records: Sequence[Record], columns: Sequence[Column]) -> Fraction:
    """Records ÷ classes; the suppressed ones are one more class."""
    return Fraction(len(records), len(classes(records, columns)) + (suppressed(records, columns) > 0))


def ambiguity(records: Sequence[Record], columns: Sequence[Column]) -> Fraction:
    """The mean number of combinations of values that a record's labels cover."""
    everything = math.prod(len(c.domain) for c in columns)
    total = suppressed(records, columns) * everything
    for key, size in classes(records, columns).items():
        total += size * math.prod(len(c.covers[label]) for c, label in zip(columns, key, strict=True))
    return Fraction(total, len(records))


def kl_divergence(records: Sequence[Record], columns: Sequence[Column]) -> float | None:
    """Σ p log2(p ÷ p*) over the combinations that occur; p* by going over all classes for each."""
    n, p = len(records), Counter(tuple(row[c.name] for c in columns) for row, _ in records)
    told = 0.0
    for combination, count in p.items():
        density = Fraction(suppressed(records, columns), n * math.prod(len(c.domain) for c in columns))
        for key, size in classes(records, columns).items():
            areas = [c.covers[label] for c, label in zip(columns, key, strict=True)]
            if all(value in area for value, area in zip(combination, areas, strict=True)):
                density += Fraction(size, n * math.prod(map(len, areas)))
        if density == 0:
            return None
        told += count / n * math.log2(Fraction(count, n) / density)
    return told


# -- queries -----------------------------------------------------------------------------------------------------------


def query(
    records: Sequence[Record], columns: Sequence[Column], wanted: Mapping[str, frozenset[Any]]
) -> tuple[int, int, Fraction]:
    """What a COUNT query finds in the source, and its two estimates from the classes."""
    count = sum(all(row[name] in values for name, values in wanted.items()) for row, _ in records)
    overlap, uniform = 0, Fraction(0)
    for key, size in classes(records, columns).items():
        share = Fraction(size)
        for column, label in zip(columns, key, strict=True):
            if column.name in wanted:
                covered = column.covers[label]
                share *= Fraction(len(covered & wanted[column.name]), len(covered))
        overlap += size if share else 0
        uniform += share
    return count, overlap, uniform


# -- shifts ------------------------------------------------------------------------------------------------------------


def spread(records: Sequence[Record], columns: Sequence[Column], column: Column) -> dict[Any, Fraction]:
    """The share of each value in the classes, where a label stands evenly for all that it covers."""
    found = dict.fromkeys(column.domain, Fraction(0))
    told = labels(records, columns, column)
    for label in told:
        for value in column.covers[label]:
            found[value] += Fraction(1, len(column.covers[label]) * len(told))
    return found


def share(values: Sequence[Any], domain: Sequence[Any]) -> dict[Any, Fraction]:
    """The share of each value."""
    return {value: Fraction(values.count(value), len(values)) for value in domain}


def total_variation(p: Mapping[Any, Fraction], q: Mapping[Any, Fraction]) -> Fraction:
    """½ Σ |q − p|."""
    return sum((abs(q[value] - p[value]) for value in p), Fraction(0)) / 2


def earth_mover(p: Mapping[Any, Fraction], q: Mapping[Any, Fraction], order: Sequence[Any]) -> Fraction:
    """Σ |Σ (q − p)| ÷ (m − 1) over the values in order."""
    work = sum((abs(sum(q[v] - p[v] for v in order[: i + 1])) for i in range(len(order))), Fraction(0))
    return work / max(len(order) - 1, 1)


def pearson(pairs: Iterable[tuple[Fraction | None, Fraction | None]]) -> float:
    """The correlation of the pairs in which both numbers are there; 0 where one does not vary."""
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    if len({x for x, _ in known}) < 2 or len({y for _, y in known}) < 2:
        return 0.0
    mean_x, mean_y = Fraction(sum(x for x, _ in known), len(known)), Fraction(sum(y for _, y in known), len(known))
    together = sum((x - mean_x) * (y - mean_y) for x, y in known)
    apart = sum((x - mean_x) ** 2 for x, _ in known) * sum((y - mean_y) ** 2 for _, y in known)
    return float(together) / math.sqrt(apart)


def spearman(pairs: Iterable[tuple[Fraction | None, Fraction | None]]) -> float:
    """Pearson's correlation of the ranks; equal numbers share their mean rank."""
    known = [(x, y) for x, y in pairs if x is not None and y is not None]

    def rank(numbers: list[Any], number: Any) -> Fraction:
        return sum(n < number for n in numbers) + Fraction(numbers.count(number) + 1, 2)

    xs, ys = [x for x, _ in known], [y for _, y in known]
    return pearson([(rank(xs, x), rank(ys, y)) for x, y in known])


def cramers_v(pairs: Sequence[tuple[Any, Any]]) -> float:
    """Bias-corrected Cramér's V (Bergsma 2013) from the whole table of χ²."""
    n, rows, cols = len(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    r, c = len(rows), len(cols)
    if n < 2 or r < 2 or c < 2:
        return 0.0
    cells = Counter(pairs)
    chi = Fraction(0)
    for a, b in product(rows, cols):
        expected = Fraction(rows[a] * cols[b], n)
        chi += (cells[a, b] - expected) ** 2 / expected
    phi = max(chi / n - Fraction((r - 1) * (c - 1), n - 1), Fraction(0))
    least = min(r - Fraction((r - 1) ** 2, n - 1), c - Fraction((c - 1) ** 2, n - 1)) - 1
    return min(math.sqrt(phi / least), 1.0) if least > 0 else 0.0


def correlation_ratio(pairs: Sequence[tuple[Any, Fraction | None]]) -> float:
    """√(variance between the categories ÷ variance) over the pairs whose number is there; 0 without variation."""
    known = [(kind, number) for kind, number in pairs if number is not None]
    if len({kind for kind, _ in known}) < 2 or len({number for _, number in known}) < 2:
        return 0.0
    mean = Fraction(sum(number for _, number in known), len(known))
    groups: dict[Any, list[Fraction]] = {}
    for kind, number in known:
        groups.setdefault(kind, []).append(number)
    between = sum(len(group) * (Fraction(sum(group), len(group)) - mean) ** 2 for group in groups.values())
    return math.sqrt(between / sum((number - mean) ** 2 for _, number in known))


def middle(column: Column, label: Any) -> Fraction | None:
    """The number that a label stands for: halfway between the least and the greatest that it covers."""
    inside = [column.numbers[value] for value in column.covers[label] if value in (column.numbers or {})]
    return (min(inside) + max(inside)) / 2 if inside and column.numbers else None
