"""Generalization hierarchies: level 0 is the value, the last level `*`, and every level a function of the one below.

Two kinds. *Computed* hierarchies (`width`, `mask`, `date`) are SQL expressions over the value. *Tabled* ones (`csv`,
`tree`, `order`) are rows `(value, level 1, …, *)` that are joined. A missing value stays missing up to the last level.
A value that no finite interval can hold (an infinity, NaN, a date outside the years 1 to 9999, a number whose bin has
no exact bounds) is generalised to `*` at once: every value lies inside its own generalization.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from sqlanon import query
from sqlanon.errors import SpecError
from sqlanon.query import Expression, fragment

STAR = "*"
Rows = tuple[tuple[str, ...], ...]
Bounds = tuple[Expression, Expression]


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


class Hierarchy:
    """What all hierarchies share. `families` are the column types that it can generalise."""

    name: ClassVar[str]
    families: ClassVar[tuple[str, ...]] = ("integer", "decimal", "float", "text", "boolean", "date", "timestamp")
    has_bounds: ClassVar[bool] = False
    categories: ClassVar[bool] = False  # whether its inner nodes are categories of values

    @property
    def height(self) -> int | None:
        """The last level, at which everything is `*`; None where only the rows can tell."""
        raise NotImplementedError

    def label(self, value: Expression, level: int, family: str) -> Expression:
        """The generalization of `value` at a level above 0 and below the last, as text. Computed hierarchies only."""
        raise NotImplementedError

    def bounds(self, value: Expression, level: int, family: str) -> Bounds:
        """The same as a half-open interval [lower, upper) in the column's own type. `width` and `date` only."""
        raise NotImplementedError

    def rows(self, base: Path) -> Rows | None:
        """`(value, level 1, …, *)` of a tabled hierarchy; None for a computed one. Raises `SpecError`."""
        return None


@dataclass(frozen=True)
class Suppress(Hierarchy):
    """The value or nothing: what a quasi-identifier without a hierarchy gets."""

    name: ClassVar[str] = "suppress"

    @property
    def height(self) -> int:
        return 1


@dataclass(frozen=True)
class Width(Hierarchy):
    """Nested bins of numbers (or of days): [lower, lower + width), aligned at 0 (at 1970-01-01)."""

    widths: tuple[Decimal, ...]

    name: ClassVar[str] = "width"
    families: ClassVar[tuple[str, ...]] = ("integer", "decimal", "float", "date", "timestamp")
    has_bounds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(len(self.widths) > 0, "width needs at least one bin width")
        _require(all(w.is_finite() and w > 0 for w in self.widths), "bin widths are numbers above 0")
        for narrow, wide in zip(self.widths, self.widths[1:], strict=False):
            _require(wide > narrow and wide % narrow == 0, f"{wide} is no multiple of {narrow}: bins must nest")

    @property
    def height(self) -> int:
        return len(self.widths) + 1

    def label(self, value: Expression, level: int, family: str) -> Expression:
        lower, upper = self._interval(value, level, family)
        text = "'[' || cast($lower as varchar) || ', ' || cast($upper as varchar) || ')'"
        return _held(value, family, self.widths[0], fragment(text, lower=lower, upper=upper), STAR)

    def bounds(self, value: Expression, level: int, family: str) -> Bounds:
        ends = self._interval(value, level, family)
        if family == "float":
            ends = (fragment("cast($e as double)", e=ends[0]), fragment("cast($e as double)", e=ends[1]))
        return _held(value, family, self.widths[0], ends[0], None), _held(value, family, self.widths[0], ends[1], None)

    def _interval(self, value: Expression, level: int, family: str) -> Bounds:
        width = self.widths[level - 1]
        if family in ("date", "timestamp"):
            _require(width == width.to_integral_value(), "the widths of a date's bins are whole days")
            return _day_bin(value, int(width))
        return _float_bin(value, width) if family == "float" else _exact_bin(value, width, family, self.widths[0])


def _exact_bin(value: Expression, width: Decimal, family: str, finest: Decimal) -> Bounds:
    """Integers and decimals, in whole steps of the finest width's last digit: exact on every engine, whatever the sign.

    With y = floor(x · 10^d), the bin of width n / 10^d starts at (y − y mod n) / 10^d, the remainder made non-negative.
    """
    digits = _decimals(finest)
    steps = int(width.scaleb(digits))
    # Within these limits y, its remainder plus a width, and both bounds stay in a bigint.
    kind = "bigint" if steps <= 10**17 and not digits else "decimal(38, 0)"
    # A decimal's floor below its least whole number may not fit its type, so negative ones are rounded up and stepped.
    below = "case when ceil($x) > $x then 1 else 0 end"
    floor = f"case when $x >= 0 then cast(floor($x) as {kind}) else cast(ceil($x) as {kind}) - {below} end"
    y = fragment(f"cast($x as {kind})" if family == "integer" else floor, x=value)
    if digits:
        y = fragment("$y * $s", y=y, s=10**digits)
    if digits and family != "integer":
        part = fragment(f"case when $x >= 0 then $x - floor($x) else $x - ceil($x) + {below} end", x=value)
        y = fragment("$y + cast(floor($part * $s) as decimal(38, 0))", y=y, part=part, s=10**digits)
    lower = fragment("$y - ($y % $n + $n) % $n", y=y, n=steps)
    upper = fragment("$lower + $n", lower=lower, n=steps)
    if not digits:
        return lower, upper
    scaled, unit = f"cast($e * $unit as decimal(38, {_decimals(width)}))", query.literal(Decimal(1).scaleb(-digits))
    return fragment(scaled, e=lower, unit=unit), fragment(scaled, e=upper, unit=unit)


def _float_bin(value: Expression, width: Decimal) -> Bounds:
    """Binary floats: the bin number may be off by one after division, so it is held against the published bounds."""
    number = fragment("cast(floor($x / cast($w as double)) as decimal(18, 0))", x=value, w=_number(width))
    edge = fragment("cast($n * $w as double)", n=number, w=_number(width))
    above = fragment("cast(($n + 1) * $w as double)", n=number, w=_number(width))
    fixed = fragment(
        "$n + case when $x < $edge then -1 when $x >= $above then 1 else 0 end",
        n=number,
        x=value,
        edge=edge,
        above=above,
    )
    kind = f"decimal(38, {_decimals(width)})"
    lower = fragment(f"cast($n * $w as {kind})", n=fixed, w=_number(width))
    upper = fragment(f"cast(($n + 1) * $w as {kind})", n=fixed, w=_number(width))
    return lower, upper


def _day_bin(value: Expression, width: int) -> Bounds:
    days = fragment("cast($x as date) - cast('1970-01-01' as date)", x=value)
    lower = fragment("cast($x as date) - cast(($d % $w + $w) % $w as integer)", x=value, d=days, w=width)
    return lower, fragment("$lower + $w", lower=lower, w=width)


def _number(width: Decimal) -> Expression:
    return query.literal(int(width) if width == width.to_integral_value() else width.normalize())


def _decimals(width: Decimal) -> int:
    return max(0, -int(width.normalize().as_tuple().exponent))


def _held(value: Expression, family: str, finest: Decimal, held: Expression, otherwise: str | None) -> Expression:
    """`held` where every level's bin has exact bounds, else `otherwise`; a missing value stays missing."""
    if family in ("date", "timestamp"):
        inside = "cast($x as date) between cast('0001-01-01' as date) and cast('9999-12-31' as date)"
    elif family == "float":
        # 10^15 bins on either side of 0: bin number, bounds and their decimals are exact in a double and a decimal(18).
        limit = query.literal(Decimal(10) ** 15 * min(finest, Decimal(10) ** 12))
        inside = f"$x between -cast({limit.sql('duckdb')} as double) and cast({limit.sql('duckdb')} as double)"
    else:
        most = "9e18" if family == "integer" else "1e18"
        inside = f"cast($x as double) between -{most} and {most}"
    sql = f"case when {inside} then $held when $x is not null then $otherwise end"
    return fragment(sql, x=value, held=held, otherwise=otherwise)


@dataclass(frozen=True)
class Mask(Hierarchy):
    """Level n hides the last n characters; at level `characters`, everything."""

    characters: int

    name: ClassVar[str] = "mask"
    families: ClassVar[tuple[str, ...]] = ("text", "integer")

    def __post_init__(self) -> None:
        _require(1 <= self.characters <= 100, "mask is a number of characters from 1 to 100")

    @property
    def height(self) -> int:
        return self.characters

    def label(self, value: Expression, level: int, family: str) -> Expression:
        text = "left($x, greatest(length($x) - $n, 0)) || repeat('*', least(length($x), $n))"
        return fragment(text, x=fragment("cast($x as varchar)", x=value), n=level)


_DATE_LEVELS = ("day", "month", "quarter", "year", "decade", "century")
_MONTHS = {"month": "1 month", "quarter": "3 month", "year": "1 year"}


@dataclass(frozen=True)
class Date(Hierarchy):
    """Calendar levels of a date or timestamp, each coarser: day, month, quarter, year, decade, century."""

    levels: tuple[str, ...]

    name: ClassVar[str] = "date"
    families: ClassVar[tuple[str, ...]] = ("date", "timestamp")
    has_bounds: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(len(self.levels) > 0, "date needs at least one level")
        for level in self.levels:
            _require(level in _DATE_LEVELS, f"{level!r} is no level of a date; allowed: {', '.join(_DATE_LEVELS)}")
        places = [_DATE_LEVELS.index(level) for level in self.levels]
        _require(places == sorted(set(places)), f"the levels of a date grow coarser: {', '.join(_DATE_LEVELS)}")

    @property
    def height(self) -> int:
        return len(self.levels) + 1

    def label(self, value: Expression, level: int, family: str) -> Expression:
        sql = {
            "day": "cast($day as varchar)",
            "month": "$year || '-' || lpad(cast(extract(month from $day) as varchar), 2, '0')",
            "quarter": "$year || '-Q' || cast(extract(quarter from $day) as varchar)",
            "year": "$year",
            "decade": "left($year, 3) || '0-' || left($year, 3) || '9'",
            "century": "left($year, 2) || '00-' || left($year, 2) || '99'",
        }[self.levels[level - 1]]
        day = fragment("cast($x as date)", x=value)
        year = fragment("lpad(cast(extract(year from $day) as varchar), 4, '0')", day=day)
        return _held(value, "date", Decimal(1), fragment(sql, day=day, year=year), STAR)

    def bounds(self, value: Expression, level: int, family: str) -> Bounds:
        step, day = self.levels[level - 1], fragment("cast($x as date)", x=value)
        if step == "day":
            lower, upper = day, fragment("$day + 1", day=day)
        elif step in _MONTHS:
            lower = fragment(f"cast(date_trunc('{step}', $day) as date)", day=day)
            upper = fragment(f"cast(date_trunc('{step}', $day) + interval '{_MONTHS[step]}' as date)", day=day)
        else:
            years = 10 if step == "decade" else 100
            year = fragment(f"extract(year from $day) - extract(year from $day) % {years}", day=day)
            first = "lpad(cast($y as varchar), 4, '0') || '-01-01'"
            # The first decade and century hold no year 0: their lower bound is the first date there is.
            lower = fragment(f"cast(case when $y = 0 then '0001-01-01' else {first} end as date)", y=year)
            upper = fragment(f"cast(cast($y + {years} as varchar) || '-01-01' as date)", y=year)
            upper = fragment(
                "case when $y + $n > 9999 then cast('9999-12-31' as date) + 1 else $u end", y=year, n=years, u=upper
            )
        return _held(value, "date", Decimal(1), lower, None), _held(value, "date", Decimal(1), upper, None)


@dataclass(frozen=True)
class Csv(Hierarchy):
    """A file of lines `value;level1;level2;…`, as users of ARX have them; `*` is added as the last level.

    `kept` are its lines, where a release remembers them: then the file is read no more.
    """

    path: str
    kept: Rows = field(default=(), metadata={"outside": True})

    name: ClassVar[str] = "csv"
    categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(bool(self.path), "csv needs the path of a file")

    @property
    def height(self) -> None:
        return None

    def rows(self, base: Path) -> Rows:
        if self.kept:
            return _checked(self.kept, "the hierarchy of the release")
        file = base / self.path
        found: list[tuple[str, ...]] = []
        ends: list[int] = [0]
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                reader = csv.reader(lines, delimiter=";", strict=True)
                for row in reader:
                    if row:
                        found.append(tuple(row))
                        ends.append(reader.line_num)
        except (OSError, UnicodeError, csv.Error) as error:
            place = f" at line {ends[-1] + 1}" if isinstance(error, csv.Error) else ""
            raise SpecError(f"the hierarchy cannot be read{place} ({type(error).__name__})", where=str(file)) from None
        return _checked(found, str(file), ends[1:])


@dataclass(frozen=True)
class Tree(Hierarchy):
    """Categories nested as mappings, with lists of values at the ends; shallow branches repeat the value upwards."""

    tree: Any

    name: ClassVar[str] = "tree"
    categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(isinstance(self.tree, Mapping) and len(self.tree) > 0, "tree is a mapping of categories")
        _require(any(True for _ in _leaves(self.tree)), "tree holds no value")

    @property
    def height(self) -> int:
        return max(len(path) for path in _leaves(self.tree))

    def rows(self, base: Path) -> Rows:
        height = self.height
        found = [(leaf, *[leaf] * (height - len(path) - 1), *path, STAR) for *path, leaf in _leaves(self.tree, True)]
        return _checked(found, "the tree")


def _leaves(node: Any, upward: bool = False, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths from the root to each value; with `upward`, nearest category first and the value last."""
    if isinstance(node, Mapping):
        for category, below in node.items():
            yield from _leaves(below, upward, (*above, str(category)))
    elif isinstance(node, (list, tuple)):
        for leaf in node:
            _require(not isinstance(leaf, (list, tuple, Mapping)), "a list in a tree holds values only")
            yield (*(reversed(above) if upward else above), str(leaf))
    else:
        _require(node is None, "a category of a tree holds a list of values or further categories")
        yield (*(reversed(above[:-1]) if upward else above[:-1]), above[-1])


@dataclass(frozen=True)
class Order(Hierarchy):
    """Values in their order; levels join runs of `groups` neighbours (2, 4, 8, … by default), named `first..last`."""

    values: tuple[str, ...]
    groups: tuple[int, ...] = ()

    name: ClassVar[str] = "order"

    def __post_init__(self) -> None:
        _require(len(self.values) > 1, "order needs at least two values")
        _require(len(set(self.values)) == len(self.values), "order names a value twice")
        for narrow, wide in zip((1, *self.groups), self.groups, strict=False):
            _require(wide > narrow and wide % narrow == 0, f"a group of {wide} does not hold whole groups of {narrow}")

    @property
    def sizes(self) -> tuple[int, ...]:
        if self.groups:
            return self.groups
        return tuple(2**power for power in range(1, 32) if 2**power < len(self.values))

    @property
    def height(self) -> int:
        return len(self.sizes) + 1

    def rows(self, base: Path) -> Rows:
        found = [
            (value, *(self._run(place, size) for size in self.sizes), STAR) for place, value in enumerate(self.values)
        ]
        return _checked(found, "the order")

    def _run(self, place: int, size: int) -> str:
        run = self.values[place - place % size : place - place % size + size]
        return run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}"


@dataclass(frozen=True)
class Tabled(Hierarchy):
    """A hierarchy by its rows, as a release remembers it; none of the forms of a spec."""

    table: Rows

    name: ClassVar[str] = "tabled"
    categories: ClassVar[bool] = True

    @property
    def height(self) -> int:
        return len(self.table[0]) - 1

    def rows(self, base: Path) -> Rows:
        return _checked(self.table, "the hierarchy of the release")


def _checked(found: Sequence[tuple[str, ...]], where: str, lines: Sequence[int] = ()) -> Rows:
    """The rows, once complete, unique and nested. Problems are told by line: a value might be somebody's."""
    if not found:
        raise SpecError("the hierarchy is empty", where=where)
    width = len(found[0])
    seen: dict[str, int] = {}
    above: dict[tuple[int, str], tuple[str, int]] = {}
    for line, row in zip(lines or range(1, len(found) + 1), found, strict=True):
        if len(row) != width or width < 2:
            raise SpecError(
                f"line {line} has {len(row)} levels where line 1 has {width}, or fewer than two", where=where
            )
        if seen.setdefault(row[0], line) != line:
            raise SpecError(f"line {line} repeats the value of line {seen[row[0]]}", where=where)
        for level, (label, upper) in enumerate(pairwise(row[1:]), start=1):
            known, first = above.setdefault((level, label), (upper, line))
            if known != upper:
                raise SpecError(
                    f"lines {first} and {line} agree at level {level} but not at level {level + 1}: levels must nest",
                    where=where,
                )
    starred = all(row[-1] == STAR for row in found)
    return tuple(found) if starred else tuple((*row, STAR) for row in found)


HIERARCHIES: dict[str, type[Hierarchy]] = {kind.name: kind for kind in (Width, Mask, Date, Csv, Tree, Order)}
