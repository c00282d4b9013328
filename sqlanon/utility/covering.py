"""What published labels cover: one relation per quasi-identifier, label → values, made inside the engine.

A label covers the values that its hierarchy maps to it, at the lowest level that has the label (at the level that was
chosen, where that is known); `*` covers everything; an interval that no level has covers the values inside it, and
`first..last` of an order those from one to the other. Both ends belong to `[a, b]`, and to bounds where there is no
hierarchy: they are values of the source. Where values hold dots too, a run covers what any reading of it covers. The
*values* of a column are the lines of its tabled hierarchy, else the different values of the source. Values and labels
go by numbers here: Python receives counts of them, never a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from sqlanon import query
from sqlanon.engines import Column, Engine
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Mask, Order, Rows, Suppress
from sqlanon.plan import ORDERED
from sqlanon.query import Expression, Query, column, fragment, named

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Represent = Literal["label", "bounds", "range"]

NUMBERS = ("integer", "decimal", "float")
_MOST = "1.7e308"


@dataclass(frozen=True)
class Recoded:
    """A quasi-identifier of the source, and how it was published.

    `rows` are those of a tabled hierarchy. `represent`: published under its own name as labels or as the engine's
    range, or as the columns `NAME_from` and `NAME_to` (from ≤ value < to, without a hierarchy from ≤ value ≤ to; equal
    for a value itself; both missing for everything). `weight` counts in `iloss`, `loss`, `precision` and `entropy`.
    `levels`: those at which its labels may stand; None where nobody knows, and then a label's level is the lowest one
    at which the hierarchy has it.
    """

    name: str
    hierarchy: Hierarchy = field(default_factory=Suppress)
    rows: Rows | None = None
    represent: Represent = "label"
    weight: float = 1.0
    levels: tuple[int, ...] | None = None

    @property
    def height(self) -> int:
        """The last level, at which every value is `*`."""
        return len(self.rows[0]) - 1 if self.rows else cast(int, self.hierarchy.height)

    @property
    def below(self) -> tuple[int, ...]:
        """The levels under the last one at which a label may stand, as far as the hierarchy can make them."""
        allowed = range(self.height) if self.levels is None else self.levels
        bounded = self.represent == "label" or self.hierarchy.has_bounds
        return tuple(level for level in allowed if level < self.height and (level == 0 or bounded))

    @property
    def published(self) -> tuple[str, ...]:
        """The columns of the release."""
        return (f"{self.name}_from", f"{self.name}_to") if self.represent == "bounds" else (self.name,)


@dataclass(frozen=True)
class Values:
    """A column's values in their order, one element each: records of the source, and the value as a number.

    `numbers` are NaN for what is no number; dates are seconds. `ordered`: the order means something. `quantity`: they
    are numbers. `missing`: the first one is the missing value. `released`: records of the release, for a column that is
    published as it is.
    """

    name: str
    records: Ints
    numbers: Floats
    ordered: bool
    quantity: bool
    missing: bool
    released: Ints | None = None

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True)
class Cover:
    """A quasi-identifier: its values, its published labels, and which label covers which value.

    Per label: `levels` (NaN where no level has it) and `mapped`, the records of the source that the hierarchy maps to
    it. `label`, `code`: the relation, sorted. `everything`: the label of the last level; `certain`: it is nothing else.
    """

    recoded: Recoded
    values: Values
    levels: Floats
    mapped: Ints
    label: Ints
    code: Ints
    everything: int | None = None
    certain: bool = False

    def __len__(self) -> int:
        return len(self.levels)

    @cached_property
    def starts(self) -> Ints:
        """Where each label's values begin in the relation; every label has some."""
        return np.searchsorted(self.label, np.arange(len(self)))

    @cached_property
    def leaves(self) -> Ints:
        """How many values each label covers."""
        return np.diff(self.starts, append=len(self.label))

    def among(self, asked: NDArray[np.bool_]) -> Ints:
        """How many of the values that each label covers are asked for."""
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        found: Ints = np.add.reduceat(asked[self.code].view(np.uint8), self.starts, dtype=np.int64)
        return found

    def ends(self) -> tuple[Floats, Floats]:
        """The least and the greatest number that each label covers; NaN where it covers none."""
        numbers = self.values.numbers[self.code]
        known = ~np.isnan(numbers)
        least, greatest = np.full(len(self), np.inf), np.full(len(self), -np.inf)
        np.minimum.at(least, self.label[known], numbers[known])
        np.maximum.at(greatest, self.label[known], numbers[known])
        none = np.isinf(least)
        least[none] = greatest[none] = np.nan
        return least, greatest


def ints(array: Any) -> Ints:
    """A column of the engine's as whole numbers."""
    return np.ma.filled(array, -1).astype(np.int64)


def floats(array: Any) -> Floats:
    """A column of the engine's as doubles, NaN where missing."""
    return np.ma.filled(np.ma.asarray(array).astype(np.float64), np.nan)


def sums(places: Ints, amounts: Ints, length: int) -> Ints:
    """Whole-number sums of the amounts per place."""
    found = np.zeros(length, dtype=np.int64)
    np.add.at(found, places, amounts)
    return found


# -- numbers -----------------------------------------------------------------------------------------------------------


def is_quantity(hierarchy: Hierarchy | None, family: str) -> bool:
    """Whether a column's values are numbers, dates or times, and neither masked like codes nor put in an order."""
    return family in ORDERED and not isinstance(hierarchy, Mask | Order)


def amount(value: Expression, family: str) -> Expression:
    """A value as a double (a date or time in seconds); missing where that is not finite, or it is no quantity."""
    if family not in ORDERED:
        return fragment("cast(null as double)")
    sql = "cast($x as double)" if family in NUMBERS else "cast(extract(epoch from $x) as double)"
    most = f"cast('{_MOST}' as double)"
    return fragment(f"case when {sql} between -{most} and {most} then {sql} end", x=value)


def amount_of(text: str, family: str) -> float | None:
    """The same of a line in a tabled hierarchy."""
    try:
        if family in NUMBERS:
            found = float(text)
        else:
            found = (datetime.fromisoformat(text).replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None
    return found if abs(found) <= float(_MOST) else None


def text_of(value: Expression, mine: Column, theirs: Column) -> Expression:
    """A value as the text by which two relations agree on it: numbers (times) of two types as doubles (timestamps)."""
    if mine.type != theirs.type:
        if {mine.family, theirs.family} <= {*NUMBERS}:
            value = fragment("cast($x as double)", x=value)
        elif {mine.family, theirs.family} == {"date", "timestamp"}:
            value = fragment("cast($x as timestamp)", x=value)
    as_double = mine.family == "float" or (mine.type != theirs.type and {mine.family, theirs.family} <= {*NUMBERS})
    return query.text_of(value, "float" if as_double else mine.family)


# -- covering ----------------------------------------------------------------------------------------------------------


class Covering:
    """Builds the cover of one quasi-identifier from the source's column `q` and the release's keys `r`.

    A *key* is a label, or the two bounds of an interval: the columns `k0` and `k1`. The working tables `values` and
    `labels` number the values (`code`) and the labels (`label`); whoever builds covers drops them at the end.
    """

    def __init__(
        self, engine: Engine, recoded: Recoded, types: tuple[Column, Column], *, source: tuple[str, str],
        release: tuple[str, tuple[str, ...]], tables: tuple[str, str],
    ) -> None:  # fmt: skip
        self.engine, self.recoded, self.types, self.tables = engine, recoded, types, tables
        self.is_label = recoded.represent == "label"
        self.family = "text" if types[0].family == "other" else types[0].family
        self.quantity = is_quantity(recoded.hierarchy, self.family)
        self.keys = ("k0",) if self.is_label else ("k0", "k1")
        self.source, self.q = query.table(source[0]), column(source[1])
        self.release, self.r = query.table(release[0]), [column(name) for name in release[1]]
        self.parts: dict[str, query.Part] = {
            "values": query.table(tables[0]), "labels": query.table(tables[1]), "k": [column(key) for key in self.keys],
        }  # fmt: skip

    def build(self) -> Cover:
        """The cover. Raises `SpecError` for values no hierarchy knows and for labels that cover no value."""
        name, (values, labels) = self.recoded.name, self.tables
        self.engine.temporary(f"read the values of {name}", values, self._valued())
        absent = "case when value is null and records > 0 then 1 else 0 end as absent"
        here = self._arrays(f"select records, number, unknown, {absent} from $values order by code")
        if lost := int(ints(here["unknown"]).sum()):
            are = "s of the source are" if lost > 1 else " of the source is"
            raise SpecError(f"{lost} value{are} not in the hierarchy", where=name)
        self.engine.temporary(f"look up the labels of {name}", labels, self._labelled())
        there = self._arrays("select level, everything from $labels order by label")
        covers = self.engine.arrays(f"cover the values of {name}", self._covering())
        records, label, code = ints(here["records"]), ints(covers["label"]), ints(covers["code"])
        mapped = sums(label, records[code], len(there["level"]))
        if lost := int((mapped == 0).sum()):
            raise SpecError(
                f"{lost} published label{'s' * (lost > 1)} of {name!r} cover{'s' * (lost == 1)} no value of the source:"
                " neither a value of it nor a label of its hierarchy", where="--against",
            )  # fmt: skip
        ordered = self.quantity or isinstance(self.recoded.hierarchy, Order)
        known = Values(name, records, floats(here["number"]), ordered, self.quantity, bool(here["absent"].any()))
        made = Cover(self.recoded, known, floats(there["level"]), mapped, label, code)
        stars = np.flatnonzero(ints(there["everything"]))
        return self._with_everything(made, int(stars[0])) if len(stars) else made

    def _with_everything(self, cover: Cover, star: int) -> Cover:
        """The level of the label that stands for all values, and what is mapped to it."""
        recoded, certain = self.recoded, bool(np.isnan(cover.levels[star]))
        last = recoded.levels is None or recoded.height in recoded.levels
        if certain and recoded.levels is not None and recoded.below:
            # Below the last level, only what no interval can hold is published as *.
            (level,) = recoded.below
            cover.levels[star] = level
            if self.is_label:
                sql = "select coalesce(cast(sum(records) as bigint), 0) from $values where $key = '*'"
                ((starred,),) = self.engine.run("count what is *", self._make(sql, key=column(f"k0 at {level}")))
                cover.mapped[star] = starred or cover.mapped[star]
        elif certain:
            cover.levels[star] = recoded.height
        return replace(cover, everything=star if last else None, certain=certain and last)

    def _make(self, sql: str, **more: query.Part) -> Expression:
        return fragment(sql, self.parts, **more)

    def _arrays(self, sql: str) -> dict[str, Any]:
        return self.engine.arrays(f"count the labels of {self.recoded.name}", self._make(sql))

    def _valued(self) -> Query:
        """`values`: the values in order, with `records`, `number`, `code` and the key at each level."""
        seen = fragment("select $q as value, cast(sum(n) as bigint) as records from $t group by $q",
                        q=self.q, t=self.source)  # fmt: skip
        steps = Query(()).then("seen", seen)
        if self.recoded.rows and self.is_label:
            return self._tabled(steps, self.recoded.rows)
        value, hierarchy = column("value"), self.recoded.hierarchy
        keys: list[Expression] = []
        for level in self.recoded.below:
            if self.is_label:
                own = text_of(value, *self.types) if level == 0 else hierarchy.label(value, level, self.family)
                made = [own]
            else:
                made = [value, value] if level == 0 else list(hierarchy.bounds(value, level, self.family))
            keys += [named(x, f"{key} at {level}") for key, x in zip(self.keys, made, strict=True)]
        sql = (
            "select value, records, $number, row_number() over (order by value nulls first) - 1 as code,"
            " 0 as unknown, $keys from seen"
        )
        return steps.then("coded", self._make(sql, number=self._number(value), keys=keys))

    def _number(self, value: Expression) -> Expression:
        return named(amount(value, self.family if self.quantity else ""), "number")

    def _tabled(self, steps: Query, rows: Rows) -> Query:
        """The values are the lines of the hierarchy, and missing ones where the source has any."""
        inner = [f"k0 at {level}" for level in range(1, self.recoded.height)]
        amounts = [amount_of(row[0], self.family) if self.quantity else None for row in rows]
        lines = (
            (row[0], place, known, *row[1:-1]) for place, (row, known) in enumerate(zip(rows, amounts, strict=True))
        )
        steps = steps.join(Query((query.values("lines", ["leaf", "place", "amount", *inner], lines),)))
        sql = "select *, $own from seen full join lines on $text = leaf"
        text = query.text_of(column("value"), self.types[0].family)
        joined = fragment(sql, own=self._number(column("value")), text=text)
        filled = fragment(
            "select value, leaf, place, coalesce(records, 0) as records, coalesce(number, cast(amount as double))"
            " as number, $inner from joined", inner=[column(name) for name in inner],
        )  # fmt: skip
        # A value that the source lacks has no type but that of its line.
        line = text_of(column("number"), *self.types) if self._as_double else column("leaf")
        own = fragment("coalesce($seen, $line, leaf)", seen=text_of(column("value"), *self.types), line=line)
        order = "case when leaf is null then 0 else 1 end, number nulls first, place nulls first"
        sql = (
            f"select value, records, number, row_number() over (order by {order}) - 1 as code,"
            " case when leaf is null and value is not null then 1 else 0 end as unknown, $keys from filled"
        )
        keys = [named(own, "k0 at 0"), *(column(name) for name in inner)]
        return steps.then("joined", joined).then("filled", filled).then("coded", fragment(sql, keys=keys))

    @property
    def _as_double(self) -> bool:
        """Whether the source's and the release's numbers are compared as doubles."""
        mine, theirs = self.types
        return mine.type != theirs.type and {mine.family, theirs.family} <= {*NUMBERS}

    def _levels(self) -> Query:
        """`levels`: at each level, its keys and the values that they are mapped from; everything stands at none."""
        steps = Query(())
        for level in self.recoded.below:
            keys = [named(column(f"{key} at {level}"), key) for key in self.keys]
            made = "select $level as level, $keys, code from $values where ($everything) is not true"
            everything = self._everything(level) if self.is_label else query.literal(False)
            steps = steps.then(f"level {level}", self._make(made, level=level, keys=keys, everything=everything))
        if not steps.steps:
            value = text_of(column("value"), *self.types) if self.is_label else column("value")
            none = [named(value, key) for key in self.keys]
            steps = steps.then(
                "level 0", self._make("select 0 as level, $none, code from $values where false", none=none)
            )
        every = " union all ".join(f'select * from "{step.name}"' for step in steps.steps)
        return steps.then("levels", fragment(every))

    def _everything(self, level: int) -> Expression:
        """Whether a label of this level stands for all values: `*` does, as far as a reader can know.

        Whoever knows the level can tell it from a value that is called so, and from a category that is within another.
        """
        if self.recoded.levels is None:
            return fragment("$k = '*'", k=column(f"k0 at {level}"))
        above = range(level, self.recoded.height if self.recoded.rows else level + 1)
        stars = [fragment("$k = '*'", k=column(f"k0 at {upper}")) for upper in above]
        return query.every(stars) if level else query.literal(False)

    def _labelled(self) -> Query:
        """`labels`: the published keys with their lowest level, by number; `everything` where a key may mean that."""
        keys = [named(r, key) for r, key in zip(self.r, self.keys, strict=True)]
        published = fragment("select distinct $keys from $t", keys=keys, t=self.release)
        lowest = self._make("select $k, min(level) as level from levels group by $k")
        own = [column(key, "published") for key in self.keys]
        everything = "$a = '*'" if self.is_label else "$a is null and $b is null"
        order = "$a nulls first" if self.is_label else "$a nulls first, $b nulls first"
        sql = (
            f"select $own, level, case when {everything} then 1 else 0 end as everything,"
            f" row_number() over (order by {order}) - 1 as label from published"
        )
        match = query.same(self.keys, "published", "lowest")
        labels = query.joined(fragment(sql, own=own, a=own[0], b=own[-1]), "lowest", match, "left")
        return self._levels().then("published", published).then("lowest", lowest).then("labels", labels)

    def _covering(self) -> Query:
        """`label`, `code`: which label covers which value."""
        labels = self.tables[1]
        match = query.every([
            query.same(self.keys, labels, "levels"),
            fragment("$a = $b", a=column("level", labels), b=column("level", "levels")),
        ])  # fmt: skip
        mapped = query.joined(query.select([column("label"), column("code")], labels), "levels", match)
        stars = "select label, code from $labels cross join $values where level is null and everything = 1"
        steps = self._levels().then("mapped", mapped).then("stars", self._make(stars))
        parts, between = "select * from mapped union all select * from stars", self._between()
        if between is not None:
            steps = steps.then("ends", between)
            inside = "select label, v.code as code from ends join $values as v on v.code between first and last"
            steps = steps.then("inside", self._make(inside))
        elif not self.is_label:
            last = "<=" if isinstance(self.recoded.hierarchy, Suppress) else "<"
            inside = f"select label, code from $labels join $values on value >= k0 and (value {last} k1 or value = k0)"
            steps = steps.then("inside", self._make(f"{inside} where level is null and everything = 0"))
        if not self.is_label or between is not None:
            parts += " union select * from inside"
        steps = steps.then("covers", fragment(parts))
        return steps.then("sorted", fragment("select label, code from covers order by label, code"))

    def _between(self) -> Expression | None:
        """Labels that name two values, `[a, b]` or `a..b`, with the numbers of these values; None where none can."""
        if not self.is_label or self.recoded.levels is not None:
            return None
        own = {"a": column("k0 at 0", "a"), "b": column("k0 at 0", "b")}
        if isinstance(self.recoded.hierarchy, Order):
            sql = "select a.code as first, b.code as last, $a || '..' || $b as run from $values as a join $values as b"
            runs = self._make(f"{sql} on a.code < b.code", **own)
            return fragment("select label, first, last from $labels join ($r) as r on k0 = run", self.parts, r=runs)
        if not self.quantity or not isinstance(self.recoded.hierarchy, Suppress):
            return None
        # Neither numbers nor times hold a comma.
        return self._make(
            "select l.label as label, a.code as first, b.code as last from $labels as l"
            " join $values as a on split_part(l.k0, ', ', 1) = '[' || $a"
            " join $values as b on split_part(l.k0, ', ', 2) = $b || ']' where l.level is null", **own,
        )  # fmt: skip
