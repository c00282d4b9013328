"""What a change does to the statistics of a table: every number of a field before, after, and how far it moved.

The statistics are those of Commons Math 3.6.1's DescriptiveStatistics, which the paper reports (Neumann, Grace, Burns
& Surridge 2019; reference: models, 3.5): variance, skewness and kurtosis are the sample's, and a percentile stands at
position p(n + 1)/100. They are worked out from sums of powers of the distance from the mean, which every engine adds
up alike and which lose nothing to a large mean; a percentile is read from the sorted values themselves. Missing
values do not count. Where a statistic has no meaning it is None: everything but n, sum and sumsq of no values, the
geometric mean unless all values are positive, skewness below 3 values, kurtosis below 4. As there, the variance of
one value is 0, and so are skewness and kurtosis where all values are equal (there: where the variance is below
1e-19).

*Leaves*: what a model trained on the rows would lose; fields that are not numbers on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.margins import NUMERIC
from sqlanon.prediction import Records
from sqlanon.query import Query, column, fragment, named, table
from sqlanon.rules import PERCENTILES, STATISTICS, percentile_name

Number = float | None


# -- one relation ------------------------------------------------------------------------------------------------------


def describe(
    engine: Engine, records: Records, fields: Sequence[str], percentiles: Sequence[Fraction] = PERCENTILES
) -> dict[str, dict[str, Number]]:
    """All statistics of each field of a relation. Raises `EngineError`."""
    if not fields:
        return {}
    (row,) = engine.run("add up the powers", _powers(records, fields))
    width = len(row) // len(fields)
    found = {}
    for i, name in enumerate(fields):
        found[name] = _from_powers(*row[i * width : (i + 1) * width])
        found[name] |= _percentiles(engine, records, name, percentiles, int(row[i * width]))
    return found


def _powers(records: Records, fields: Sequence[str]) -> Query:
    """One row: per field n, least, greatest, sum, sum of squares, mean, the central powers, the sum of logarithms."""
    values = {
        f"v{i}": fragment("cast($x as double)", x=column(name, records.relation)) for i, name in enumerate(fields)
    }
    steps = records.query.then("numbers", query.select([named(v, n) for n, v in values.items()], records.relation))
    means = [fragment(f"sum({v}) / nullif(count({v}), 0) as m{v}") for v in values]
    steps = steps.then("means", query.select(means, "numbers"))
    sums = ", ".join(
        f"count({v}), min({v}), max({v}), sum({v}), sum({v} * {v}), max(m{v}), sum({v} - m{v}),"
        f" sum(({v} - m{v}) * ({v} - m{v})), sum(({v} - m{v}) * ({v} - m{v}) * ({v} - m{v})),"
        f" sum(({v} - m{v}) * ({v} - m{v}) * ({v} - m{v}) * ({v} - m{v})), sum(case when {v} > 0 then ln({v}) end)"
        for v in values
    )
    return steps.then("powers", fragment(f"select {sums} from numbers cross join means"))


def _from_powers(
    n: int, least: Number, greatest: Number, total: Number, squares: Number, near: Number, first: Number,
    second: Number, third: Number, fourth: Number, logs: Number,
) -> dict[str, Number]:  # fmt: skip
    """The statistics of n values from sums of powers of their distance from `near`, their mean but for rounding."""
    if not n or near is None or first is None or second is None or third is None or fourth is None:
        return dict.fromkeys(STATISTICS) | {"n": 0.0, "sum": 0.0, "sumsq": 0.0}
    off = first / n
    two = max(second - n * off**2, 0.0)
    three = third - 3 * off * second + 2 * n * off**3
    four = fourth - 4 * off * third + 6 * off**2 * second - 3 * n * off**4
    flat, positive = least == greatest, least is not None and least > 0
    found: dict[str, Number] = {
        "n": float(n), "min": least, "max": greatest, "sum": total, "sumsq": squares, "mean": near + off,
        "geometric_mean": math.exp(logs / n) if positive and logs is not None else None,
        "quadratic_mean": math.sqrt(squares / n) if squares is not None else None,
        "variance": 0.0 if flat else two / (n - 1), "population_variance": 0.0 if flat else two / n,
        "std": 0.0 if flat else math.sqrt(two / (n - 1)),
        "skewness": _skewness(n, two, three, flat), "kurtosis": _kurtosis(n, two, four, flat),
    }  # fmt: skip
    return {name: value if value is not None and math.isfinite(value) else None for name, value in found.items()}


def _skewness(n: int, two: float, three: float, flat: bool) -> Number:
    if n < 3 or flat or not two:
        return 0.0 if n >= 3 else None
    deviation = math.sqrt(two / (n - 1))
    return n / ((n - 1) * (n - 2)) * three / deviation**3


def _kurtosis(n: int, two: float, four: float, flat: bool) -> Number:
    if n < 4 or flat or not two:
        return 0.0 if n >= 4 else None
    scaled = n * (n + 1) / ((n - 1) * (n - 2) * (n - 3)) * four / (two / (n - 1)) ** 2
    return scaled - 3 * (n - 1) ** 2 / ((n - 2) * (n - 3))


def _percentiles(
    engine: Engine, records: Records, name: str, percentiles: Sequence[Fraction], n: int
) -> dict[str, Number]:
    """The values at p(n + 1)/100, between their neighbours in proportion; the ends where that is beyond them."""
    if not n or not percentiles:
        return {percentile_name(p): None for p in percentiles}
    at = {p: min(max(p * (n + 1) / 100, Fraction(1)), Fraction(n)) for p in percentiles}
    ranks = sorted({rank for place in at.values() for rank in (math.floor(place), math.ceil(place))})
    read = ", ".join(f"min(v) filter (where upto >= {rank})" for rank in ranks)
    steps = records.query.then(
        "counted", fragment("select cast($x as double) as v, count(*) as n from $r where $x is not null group by $x",
                            x=column(name, records.relation), r=table(records.relation)),
    ).then(
        "ranked", fragment("select v, sum(n) over (order by v rows between unbounded preceding and current row) as upto"
                           " from counted"),
    )  # fmt: skip
    (row,) = engine.run("find the percentiles", steps.then("percentiles", fragment(f"select {read} from ranked")))
    value = dict(zip(ranks, row, strict=True))
    return {percentile_name(p): _between(value, place) for p, place in at.items()}


def _between(value: Mapping[int, float], place: Fraction) -> Number:
    lower, upper = value[math.floor(place)], value[math.ceil(place)]
    found = lower + float(place - math.floor(place)) * (upper - lower)
    return found if math.isfinite(found) else None


def correlations(engine: Engine, records: Records, fields: Sequence[str]) -> dict[tuple[str, str], Number]:
    """Pearson's correlation of each pair of fields over the records that have both; None where one does not vary."""
    pairs = [(one, two) for i, one in enumerate(fields) for two in fields[i + 1 :]]
    return {(one, two): _correlation(*_products(engine, records, one, two)) for one, two in pairs}


def _products(engine: Engine, records: Records, one: str, two: str) -> tuple[Any, ...]:
    pairs = fragment(
        "select cast($x as double) as x, cast($y as double) as y from $r where $x is not null and $y is not null",
        x=column(one, records.relation), y=column(two, records.relation), r=table(records.relation),
    )  # fmt: skip
    means = fragment("select sum(x) / nullif(count(*), 0) as mx, sum(y) / nullif(count(*), 0) as my from pairs")
    products = fragment(
        "select count(*), sum(x - mx), sum(y - my), sum((x - mx) * (x - mx)), sum((y - my) * (y - my)),"
        " sum((x - mx) * (y - my)), max(x) - min(x), max(y) - min(y) from pairs cross join means"
    )
    steps = records.query.then("pairs", pairs).then("means", means).then("products", products)
    (row,) = engine.run("correlate two fields", steps)
    return row


def _correlation(n: int, x: Number, y: Number, xx: Number, yy: Number, xy: Number, wx: Number, wy: Number) -> Number:
    if n < 2 or not wx or not wy or x is None or y is None or xx is None or yy is None or xy is None:
        return None
    spread = (xx - x * x / n) * (yy - y * y / n)
    if not (spread > 0 and math.isfinite(spread)):
        return None
    return max(-1.0, min(1.0, (xy - x * y / n) / math.sqrt(spread)))


# -- two relations -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shift:
    """How the mean of a field moved in the classes of some other fields.

    `classes` have a value before; `emptied` of them have none after; `moved` have another mean. `largest` and `average`
    are over the absolute moves of those with values on both sides, the average weighted by the records before.
    """

    classes: int
    emptied: int
    moved: int
    largest: Number
    average: Number

    def to_dict(self) -> dict[str, Any]:
        return {
            "classes": self.classes, "emptied": self.emptied, "moved": self.moved, "largest": self.largest,
            "average": self.average,
        }  # fmt: skip


def differences(before: Mapping[str, Number], after: Mapping[str, Number]) -> dict[str, Number]:
    """After less before, per statistic; None where either has no meaning.

    Engines add up in any order, so what differs by no more than 1e-12 of itself is rounding, and is told as 0.
    """
    return {name: _difference(value, after.get(name)) for name, value in before.items()}


def _difference(one: Number, two: Number) -> Number:
    if one is None or two is None:
        return None
    return 0.0 if abs(two - one) <= 1e-12 * max(abs(one), abs(two)) else two - one


@dataclass(frozen=True)
class Change:
    """The statistics of each field before and after, correlations of pairs, and shifts of means within classes.

    `skipped` are the fields that are numbers on one side only.
    """

    before: Mapping[str, Mapping[str, Number]]
    after: Mapping[str, Mapping[str, Number]]
    correlations: Mapping[tuple[str, str], tuple[Number, Number]]
    shifts: Mapping[str, Shift]
    skipped: tuple[str, ...] = ()

    def difference(self, statistic: str, field: str) -> Number:
        """After less before; None where either has no meaning."""
        return differences(self.before[field], self.after[field]).get(statistic)

    def relative(self, statistic: str, field: str) -> Number:
        """The difference by the size of what was before; None where that is nothing, unless nothing changed."""
        moved, was = self.difference(statistic, field), self.before[field].get(statistic)
        if moved is None or was is None:
            return None
        return moved / abs(was) if was else (0.0 if moved == 0 else None)

    def to_dict(self) -> dict[str, Any]:
        fields = {
            name: {
                statistic: {
                    "before": value, "after": self.after[name].get(statistic),
                    "difference": self.difference(statistic, name), "relative": self.relative(statistic, name),
                }
                for statistic, value in found.items()
            }
            for name, found in self.before.items()
        }  # fmt: skip
        pairs = [
            {"fields": list(pair), "before": one, "after": two, "difference": _difference(one, two)}
            for pair, (one, two) in self.correlations.items()
        ]
        shifts = {name: shift.to_dict() for name, shift in self.shifts.items()}
        return {"fields": fields, "correlations": pairs, "shifts": shifts, "skipped": list(self.skipped)}


def compare(
    engine: Engine, before: Records, after: Records, fields: Sequence[str], keys: Sequence[str] = (),
    percentiles: Sequence[Fraction] = PERCENTILES,
) -> Change:  # fmt: skip
    """The statistics of two versions of a table; `keys` make the classes in which the fields' means are followed.

    A class is found again by its values in `keys`, which must stand as they are on both sides. Raises `EngineError`.
    """
    numbers = [n for n in fields if _numeric(before, n) and _numeric(after, n)]
    one, two = (describe(engine, side, numbers, percentiles) for side in (before, after))
    first, second = (correlations(engine, side, numbers) for side in (before, after))
    shifts = {n: _shift(engine, before, after, n, keys) for n in numbers if keys and n not in keys}
    skipped = tuple(n for n in fields if n not in numbers and (_numeric(before, n) or _numeric(after, n)))
    return Change(one, two, {pair: (first[pair], second[pair]) for pair in first}, shifts, skipped)


def _numeric(records: Records, name: str) -> bool:
    return name in records.columns and records.columns[name].family in NUMERIC


_BEFORE, _AFTER = "sqlanon means before", "sqlanon means after"


def _shift(engine: Engine, before: Records, after: Records, name: str, keys: Sequence[str]) -> Shift:
    try:
        for place, side in ((_BEFORE, before), (_AFTER, after)):
            engine.temporary("find the classes' means", place, _means(side, name, keys))
        names = [f"key {i}" for i in range(len(keys))]
        tree = fragment(
            "select count(*), count(*) filter (where b.n is null or b.n = 0), count(*) filter (where a.m <> b.m),"
            " max(abs(a.m - b.m)), sum(abs(a.m - b.m) * a.n) / nullif(sum(case when b.m is not null then a.n end), 0)"
            " from $one as a left join $two as b on $on where a.n > 0",
            one=table(_BEFORE), two=table(_AFTER), on=query.same(names, "a", "b"),
        )  # fmt: skip
        ((classes, emptied, moved, largest, average),) = engine.run("compare the classes' means", tree)
        return Shift(classes, emptied, moved, largest, average)
    finally:
        engine.drop_temporary(_BEFORE, _AFTER)


def _means(records: Records, name: str, keys: Sequence[str]) -> Query:
    own = [column(key, records.relation) for key in keys]
    value = fragment("cast($x as double)", x=column(name, records.relation))
    columns = [named(node, f"key {i}") for i, node in enumerate(own)]
    columns += [fragment("count($v) as n", v=value), fragment("sum($v) / nullif(count($v), 0) as m", v=value)]
    return records.query.then("class means", query.select(columns, records.relation, group=own))
