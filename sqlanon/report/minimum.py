"""The minimum cell: what a report may say of a number of records or persons, so that it can leave the house.

A number from 1 to least − 1 is not told. Every other one is rounded to a multiple of the least: then no difference of
told numbers is a small number (the rule of the NHS's hospital statistics: below 5 nothing, else to the nearest 5).
Shares and means are made of the rounded numbers, so that they give nothing more back. Where persons have several
records, the least number of records is the least number of persons times the most records of one person: so many
records are of at least as many persons as asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise


@dataclass(frozen=True)
class Cell:
    """The minimum cell in `persons` (records, where nobody has several) and in `records`. Raises `ValueError` below 1.

    With 1 nothing is hidden or rounded. `few_lost`: the records of the source and of the release, where so few were
    left out that their number is not told; then all is told as if the source had as many as the release.
    """

    persons: int
    records: int
    few_lost: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.persons <= self.records:
            raise ValueError("the minimum cell is a number of persons of at least 1, and of no fewer records")

    def knowing(self, came: int, left: int, lost: int) -> Cell:
        """The same, for a source and a release of so many records."""
        few = 0 < lost < self.records
        return replace(self, few_lost=(came, left)) if few else self

    def count(self, number: int | None) -> int | None:
        """A number of records as it may be told: None for few, else rounded."""
        if self.few_lost and number == self.few_lost[0]:
            number = self.few_lost[1]
        if not number:
            return number
        if number < self.records:
            return None
        return (number + self.records // 2) // self.records * self.records

    def share(self, part: int | None, whole: int | None) -> float | None:
        """The share of some records in others, of the rounded numbers; None where there are few."""
        told, all_ = (None if n is None else self.count(n) for n in (part, whole))
        return None if told is None or not all_ else digits(min(told / all_, 1.0), 4)

    def mean(self, whole: int | None, parts: int) -> float | None:
        """Records per part, of the rounded number."""
        told = None if whole is None else self.count(whole)
        return None if told is None or not parts else digits(told / parts, 3)

    def coarse(self, mean: float | None, whole: int | None, most: int = 3) -> float | None:
        """A mean over so many records, to multiples of what the least number of them can make of it.

        A loss is nearly the share of the records that were left out, and a shift that of those that moved: exact, they
        would give a small number back.
        """
        if mean is None or not whole or not math.isfinite(mean):
            return None
        if self.records == 1:
            return digits(mean, most)
        if mean > 1:  # no mean of shares, but a sum
            return digits(mean, 2)
        step = self.records / whole
        return digits(min(round(mean / step) * step, 1.0), most)

    def size(self, number: int | None) -> int | None:
        """The size of one class: None for a small one, else exact, since nothing is taken from it."""
        return None if number is None or 0 < number < self.persons else number

    def enough(self, *numbers: float) -> bool:
        """Whether each is none or not small."""
        return all(number <= 0 or number >= self.records for number in numbers)


def digits(number: float | None, most: int) -> float | None:
    """A number to so many significant digits; None where it is not finite."""
    if number is None or not math.isfinite(number):
        return None
    return float(f"{number:.{most}g}")


# -- bins --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bin:
    """Records of the source and of the release under one name; without a name of its own, both ends are empty.

    `lower`, `upper`: whether something without a name was united with it at that end.
    """

    first: str
    last: str
    before: int
    after: int
    values: int = 1
    lower: bool = False
    upper: bool = False

    @staticmethod
    def of(name: str, before: int, after: int, cell: Cell, values: int = 1) -> Bin:
        """A bin by its name where it has enough records of source or release to tell it, else without one."""
        told = name if cell.enough(before, after) and (before or after) else ""
        return Bin(told, told, before, after, values)

    def with_(self, other: Bin) -> Bin:
        """This and the next one in their order."""
        return Bin(
            self.first or other.first, other.last or self.last, self.before + other.before, self.after + other.after,
            self.values + other.values, self.lower or not self.first, other.upper or not other.last,
        )  # fmt: skip

    def renamed(self, name: str) -> Bin:
        """The same by another name."""
        return Bin(name, name, self.before, self.after, self.values)

    @property
    def label(self) -> str:
        """The name, or from which to which one; open where what lies there is too little to be named."""
        if not self.first or not self.last:
            return "other"
        told = self.first if self.first == self.last else f"{self.first} … {self.last}"
        return f"{'below, ' * self.lower}{told}{', and above' * self.upper}"


def in_order(bins: Sequence[Bin], cell: Cell, most: int = 20) -> list[Bin]:
    """Neighbours united until none holds few records and there are at most so many; empty where that leaves none."""
    made: list[Bin] = []
    for one in bins:
        small = made and not cell.enough(made[-1].before, made[-1].after)
        if small:
            made[-1] = made[-1].with_(one)
        else:
            made.append(one)
    while len(made) > 1 and not cell.enough(made[-1].before, made[-1].after):
        made[-2:] = [made[-2].with_(made[-1])]
    while len(made) > most:
        at = min(range(len(made) - 1), key=lambda i: made[i].before + made[i + 1].before)
        made[at : at + 2] = [made[at].with_(made[at + 1])]
    return made if all(cell.enough(one.before, one.after) for one in made) else []


def by_size(bins: Sequence[Bin], cell: Cell, most: int = 12) -> list[Bin]:
    """The most frequent ones by name, all others together; empty where the others would be few and nothing joins them.

    A name is told only where its records are not few.
    """
    ranked = sorted(bins, key=lambda one: (-one.before, -one.after, one.label))
    named = [one for one in ranked if one.first and cell.enough(one.before, one.after) and (one.before or one.after)][
        :most
    ]
    told = {id(one) for one in named}
    rest = [one for one in ranked if id(one) not in told]
    while named and rest and not cell.enough(sum(o.before for o in rest), sum(o.after for o in rest)):
        rest.append(named.pop())
    if not rest:
        return named
    values, before, after = (sum(getattr(o, key) for o in rest) for key in ("values", "before", "after"))
    if not cell.enough(before, after):
        return []
    if not before and not after:
        return named
    name = f"other ({values} values)" if values > 1 else "other"
    return [*named, Bin(name, name, before, after, values)]


def by_width(
    numbers: Sequence[float], before: Sequence[float], after: Sequence[float], edges: Sequence[float],
    names: Sequence[str], missing: tuple[float, float], cell: Cell,
) -> list[Bin]:  # fmt: skip
    """Numbers in bins between edges that are round; the first and the last are open, so no extreme is told.

    `names` are the edges as they are written. Missing values join the first bin where they are few.
    """
    sums = [[0.0, 0.0, 0.0] for _ in range(len(edges) + 1)]
    for number, was, now in zip(numbers, before, after, strict=True):
        place = sum(edge <= number for edge in edges)
        for i, amount in enumerate((was, now, 1)):
            sums[place][i] += amount
    ends = [
        "below " + names[0],
        *(f"{a} to {b}" for a, b in pairwise(names)),
        f"{names[-1]} and up",
    ]
    made = [
        Bin(end, end, round(was), round(now), round(values)) for end, (was, now, values) in zip(ends, sums, strict=True)
    ]
    lost = Bin("missing", "missing", round(missing[0]), round(missing[1]))
    if not any(missing):
        return _between(made, names, cell)
    rest = _between(made, names, cell)
    if rest and lost.before and cell.enough(lost.before, lost.after):
        return [lost, *rest]
    first = replace(made[0], before=made[0].before + lost.before, after=made[0].after + lost.after)
    return _between([first, *made[1:]], names, cell)


def _between(bins: Sequence[Bin], names: Sequence[str], cell: Cell) -> list[Bin]:
    """United bins of numbers by their outer edges."""
    found = []
    for one in in_order([b for b in bins if b.before or b.after], cell):
        low = None if one.first.startswith("below ") else one.first.removesuffix(" and up").split(" to ")[0]
        high = None if one.last.endswith(" and up") else one.last.removeprefix("below ").split(" to ")[-1]
        told = f"{low} to {high}" if low and high else f"{low} and up" if low else f"below {high}" if high else "all"
        found.append(one.renamed(told))
    return found


def edges(numbers: Sequence[float], records: Sequence[float], bins: int = 12) -> list[float]:
    """Round numbers about evenly apart over the middle 90 % of the records; none where all are about one number."""
    total, seen, low, high = sum(records), 0.0, None, None
    for number, count in zip(numbers, records, strict=True):
        seen += count
        low = number if low is None and seen >= 0.05 * total else low
        high = number if high is None and seen >= 0.95 * total else high
    if low is None or high is None or not high > low:
        return []
    step = _round_step((high - low) / bins)
    first = math.floor(low / step) + 1
    return [float(f"{place * step:.12g}") for place in range(first, math.floor(high / step) + 1)] or [
        float(f"{first * step:.12g}")
    ]


def _round_step(width: float) -> float:
    """1, 2 or 5 times a power of ten, at least so wide."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= width * (1 - 1e-9))
