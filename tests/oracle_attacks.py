"""The oracle of the attacks: each by its predicate, over plain rows, slowly and so that it can be seen to be right.

Rows are dicts; None is a value like any other, equal to itself. Shares are exact fractions. What a label can hold is
found by trying every value of a small domain: a label holds those that its hierarchy maps to it, and `*` holds all.
Definitions: shared/reference/models.md, section 1.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

from oracle import Key, Row, Rows, classes, distribution, frequencies

Judge = Callable[[Rows], tuple[Fraction, bool]]


class Found(NamedTuple):
    """What an attack on classes comes to: the value of each class, and which classes are breached."""

    values: dict[Key, Fraction]
    breached: set[Key]

    def records(self, rows: Rows, by: Sequence[str]) -> int:
        return sum(len(members) for key, members in classes(rows, by).items() if key in self.breached)


def on_classes(rows: Rows, by: Sequence[str], judge: Judge) -> Found:
    """The judgement of every class by itself."""
    judged = {key: judge(members) for key, members in classes(rows, by).items()}
    return Found(
        {key: value for key, (value, _) in judged.items()}, {key for key, (_, breached) in judged.items() if breached}
    )


# -- attacks on classes ------------------------------------------------------------------------------------------------


def identity(k: int) -> Judge:
    """N < k."""
    return lambda members: (Fraction(len(members)), len(members) < k)


def homogeneity(s: str) -> Judge:
    """All have one value."""
    return lambda members: (Fraction(len({row[s] for row in members})), len({row[s] for row in members}) == 1)


def categorical_similarity(s: str, category: Callable[[Any], Any], tau: Fraction) -> Judge:
    """A category has a share of at least tau."""

    def judge(members: Rows) -> tuple[Fraction, bool]:
        top = max(Counter(category(row[s]) for row in members).values())
        return Fraction(top, len(members)), Fraction(top, len(members)) >= tau

    return judge


def variance(members: Rows, s: str) -> Fraction:
    """The variance of the ranks of the records' values, the most frequent value having rank 1."""
    ranks = [rank for rank, count in enumerate(frequencies(members, s), start=1) for _ in range(count)]
    mean = Fraction(sum(ranks), len(ranks))
    return sum(((rank - mean) ** 2 for rank in ranks), Fraction(0)) / len(ranks)


def sensitive_variance(s: str, mu: Fraction, k: int) -> Judge:
    """V < mu (k² − 1) / 12."""
    return lambda members: (variance(members, s), variance(members, s) < mu * (k * k - 1) / 12)


def lift(s: str, everybody: Rows) -> Callable[[Rows], Fraction]:
    """The largest q / p."""
    p = distribution(everybody, s)
    return lambda members: max(q / p[value] for value, q in distribution(members, s).items())


def skewness(s: str, everybody: Rows, ratio: Fraction) -> Judge:
    """q / p ≥ ratio."""
    return lambda members: (lift(s, everybody)(members), lift(s, everybody)(members) >= ratio)


def relative_gain(s: str, everybody: Rows, beta: Fraction) -> Judge:
    """(q − p) / p > beta."""
    return lambda members: (lift(s, everybody)(members) - 1, lift(s, everybody)(members) - 1 > beta)


def negation(s: str, b: int) -> Judge:
    """Some b values can be ruled out so that one is left, or there are no more than b."""
    return lambda members: (Fraction(len({row[s] for row in members})), len({row[s] for row in members}) - b <= 1)


def belief(s: str, b: int, c: Fraction) -> Judge:
    """The confidence in the most frequent value once the b next ones are ruled out."""

    def judge(members: Rows) -> tuple[Fraction, bool]:
        first, *others = frequencies(members, s)
        confidence = Fraction(first, first + sum(others[b:]))
        return confidence, confidence >= c

    return judge


def known_distribution(s: str, everybody: Rows, gain: Fraction) -> Judge:
    """The largest q − p is above the bound."""
    p = distribution(everybody, s)

    def judge(members: Rows) -> tuple[Fraction, bool]:
        largest = max(q - p[value] for value, q in distribution(members, s).items())
        return largest, largest > gain

    return judge


def inference(s: str, alpha: Fraction) -> Judge:
    """The largest share is above alpha."""
    return lambda members: (
        max(distribution(members, s).values()),
        max(distribution(members, s).values()) > alpha,
    )


def prediction(s: str, margin: Fraction, threshold: Fraction, place: Callable[[Any], Fraction]) -> Judge:
    """The largest share of the class that is within the margin of a record's value; missing is near to missing."""

    def near(one: Any, other: Any) -> bool:
        if one is None or other is None:
            return one is other
        return abs(place(one) - place(other)) <= margin

    def judge(members: Rows) -> tuple[Fraction, bool]:
        most = max(sum(near(row[s], other[s]) for other in members) for row in members)
        return Fraction(most, len(members)), Fraction(most, len(members)) >= threshold

    return judge


# -- labels ------------------------------------------------------------------------------------------------------------

Label = Callable[[Any], Any]  # a value's label at one level


def width(step: int) -> Label:
    """`[20, 30)`, aligned at 0."""

    def label(value: int | None) -> str | None:
        lower = None if value is None else value // step * step
        return None if lower is None else f"[{lower}, {lower + step})"

    return label


def mask(hidden: int) -> Label:
    """`12***`."""

    def label(value: str | None) -> str | None:
        if value is None:
            return None
        seen = max(len(value) - hidden, 0)
        return value[:seen] + "*" * (len(value) - seen)

    return label


def quarter(value: date | None) -> str | None:
    """`2020-Q1`."""
    return None if value is None else f"{value.year}-Q{(value.month + 2) // 3}"


def month(value: date | None) -> str | None:
    """`2020-01`."""
    return None if value is None else f"{value.year}-{value.month:02}"


def year(value: date | None) -> str | None:
    """`2020`."""
    return None if value is None else str(value.year)


def tabled(rows: Sequence[Sequence[str]], level: int) -> Label:
    """The label in a row of a hierarchy."""
    found = {row[0]: row[level] for row in rows}
    return lambda value: None if value is None else found[value]


def itself(value: Any) -> Any:
    """Level 0."""
    return value


def held(cell: Any, label: Label, domain: Iterable[Any]) -> set[Any]:
    """The values of the domain that a cell can hold."""
    return {value for value in domain if cell == "*" or label(value) == cell}


# -- attacks with something from outside -------------------------------------------------------------------------------


class Column(NamedTuple):
    """A quasi-identifier: all the values that there are, and how a release labels them."""

    domain: tuple[Any, ...]
    label: Label


def can_hold(cells: Row, person: Row, columns: Mapping[str, Column]) -> bool:
    """Whether a released record can be about somebody with these values."""
    return all(cells[name] == "*" or cells[name] == column.label(person[name]) for name, column in columns.items())


def candidates(release: Rows, person: Row, columns: Mapping[str, Column]) -> list[int]:
    """The records of the release that can be the person's."""
    return [i for i, row in enumerate(release) if can_hold(row, person, columns)]


def reidentified(release: Rows, people: Rows, columns: Mapping[str, Column], who: str | None) -> Fraction:
    """The mean over the people of own records among the candidates / candidates; of 1 / candidates without `who`."""
    total = Fraction(0)
    for person in people:
        found = candidates(release, person, columns)
        if found:
            own = 1 if who is None else sum(release[i][who] == person[who] for i in found if person[who] is not None)
            total += Fraction(own, len(found))
    return total / len(people)


def population_of(release: Rows, population: Rows, columns: Mapping[str, Column]) -> dict[Key, tuple[int, int]]:
    """N and F of each class: its records, and the people whom its cells can hold."""
    by = list(columns)
    return {
        key: (len(members), sum(can_hold(members[0], person, columns) for person in population))
        for key, members in classes(release, by).items()
    }


def presence(sizes: Mapping[Key, tuple[int, int]], person: Row, columns: Mapping[str, Column]) -> Fraction:
    """The highest N / F of the classes that can hold the person; 0 where none can."""
    there = (key for key in sizes if can_hold(dict(zip(columns, key, strict=True)), person, columns))
    return max((Fraction(*sizes[key]) for key in there), default=Fraction(0))


def together(cells: Sequence[Row], releases: Sequence[Mapping[str, Column]]) -> bool:
    """Whether every two of these records can be about one person: their cells hold a value of the domain together."""
    return all(
        held(one[name], columns[name].label, columns[name].domain)
        & held(other[name], more[name].label, more[name].domain)
        for i, (one, columns) in enumerate(zip(cells, releases, strict=True))
        for other, more in list(zip(cells, releases, strict=True))[i + 1 :]
        for name in columns
        if name in more
    )


def composed(
    tables: Sequence[Rows], releases: Sequence[Mapping[str, Column]], s: str
) -> dict[tuple[Key, ...], set[Any]]:
    """The sensitive values that each combination of classes leaves, for those that can hold one person at once."""
    grouped = [classes(rows, list(columns)) for rows, columns in zip(tables, releases, strict=True)]
    found = {}
    for combination in product(*grouped):
        cells = [dict(zip(columns, key, strict=True)) for columns, key in zip(releases, combination, strict=True)]
        if together(cells, releases):
            left = [{row[s] for row in group[key]} for group, key in zip(grouped, combination, strict=True)]
            found[combination] = set.intersection(*left)
    return found


def allowed(tables: Sequence[Rows], releases: Sequence[Mapping[str, Column]], person: Row, s: str) -> set[Any] | None:
    """The sensitive values that all releases allow a person; None where one of them cannot hold the person."""
    sets = []
    for rows, columns in zip(tables, releases, strict=True):
        known = {name: column for name, column in columns.items() if name in person}
        sets.append({row[s] for row in rows if can_hold(row, person, known)})
    return set.intersection(*sets) if all(sets) else None
