"""Transforms that change single values: rounding, top and bottom coding, rank swapping, PRAM, noise.

Each is a frozen dataclass and compiles to steps over numbered records. Rounding and coding are functions of one value
and may stand in a view. The others draw: they belong into a table, once, because a reader of a view that draws anew
averages the noise away, and one whose draws are fixed by a function lets every reader call it and take the noise off
(design, section 3). What is drawn depends on the key, a stream named for the transform and its column, and the number
of the record (udfs/draws.py): not on threads or the order of the source. Steps that draw need `engine.functions(key)`.

A missing value stays missing (PRAM alone moves it, as a value like any other). A number that is not finite has no
rounding and no noise, and becomes missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

import numpy as np

from sqlanon import query
from sqlanon.annotations import keep_limits
from sqlanon.errors import SpecError
from sqlanon.functions import normal, uniform
from sqlanon.query import Expression, Query, column, fragment, named
from sqlanon.recoding.transforms import NUMBERS, Records, Transform, joined

_LARGEST = "1.7976931348623157e308"  # every finite double is within


_COLUMN = "The column that it changes."


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


def _exact(number: Decimal) -> Expression:
    return query.literal(int(number) if number == number.to_integral_value() else number.normalize())


def _finite(value: Expression, then: Expression) -> Expression:
    return fragment(f"case when abs($x) <= {_LARGEST} then $then end", x=value, then=then)


def _whole(value: Expression) -> Expression:
    """A double rounded to a bigint; missing beyond what a bigint holds."""
    return fragment("case when abs($x) < 9e18 then cast(floor($x + 0.5) as bigint) end", x=value)


@dataclass(frozen=True)
class Rounding(Transform):
    """Numbers to the nearest multiple of `base`, halves up; exact for integers and decimals.

    Leaves: what many share is still shared, what is far out still stands alone. Raises `ValueError` for a base that is
    no number above 0.
    """

    column: Annotated[str, _COLUMN]
    base: Annotated[Decimal, "What is published is a multiple of it.", {"exclusiveMinimum": 0}]

    name: ClassVar[str] = "rounding"
    families: ClassVar[tuple[str, ...]] = NUMBERS
    in_views: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require(self.base.is_finite(), "base is a number above 0")
        keep_limits(self)

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        return f"rounded to multiples of {self.base}"

    def steps(self, records: Records) -> Records:
        family, x = records.columns[self.column], column(self.column)
        if family == "float":
            result = self._of_float(x)
        elif family == "integer" and self.base == self.base.to_integral_value():
            result = _nearest(fragment("cast($x as bigint)", x=x), self.base)
        else:
            result, family = _nearest(x, self.base), "decimal"
        return records.replacing(f"{self.column} rounded", self.column, result, self.told, family)

    def _of_float(self, x: Expression) -> Expression:
        """Missing where the nearest multiple may be beyond all doubles; no number on the way is beyond them."""
        base = Fraction(self.base)
        n, d = float(base.numerator), float(base.denominator)
        most, least = (float(_LARGEST) - n) / d * (1 - 1e-12), n / d * 1e-9
        nearest = fragment("floor($x * $d / $n + 0.5) * $n / $d", n=n, d=d, x=x)
        return fragment(
            "case when abs($x) <= $most then case when abs($x) < $least then 0 else $nearest end end",
            x=x, most=most, least=least, nearest=nearest,
        )  # fmt: skip


def _in_range(x: Expression, f: Expression) -> Expression:
    """x · f for f > 0; 0 where that is as good as nothing, missing where no double holds it."""
    return fragment(
        f"case when abs($x) < 1e-300 / least($f, 1) then 0 when abs($x) <= {_LARGEST} / greatest($f, 1)"
        " then $x * $f end", x=x, f=f,
    )  # fmt: skip


def _nearest(x: Expression, base: Decimal) -> Expression:
    rest = fragment("($x % $b + $b) % $b", x=x, b=_exact(base))
    return fragment("$x - $r + case when 2 * $r >= $b then $b else 0 end", x=x, r=rest, b=_exact(base))


@dataclass(frozen=True)
class Coding(Transform):
    """Top and bottom coding: what is above `top` becomes `top`, what is below `bottom` becomes `bottom`.

    Infinities count as above or below; a float that is no number becomes missing. Leaves: everything between the
    bounds. Raises `ValueError` where there is no bound, or the bottom is not below the top.
    """

    column: Annotated[str, _COLUMN]
    bottom: Annotated[Decimal | date | None, "What is below it becomes it; a number or a date."] = None
    top: Annotated[Decimal | date | None, "What is above it becomes it; a number or a date."] = None

    name: ClassVar[str] = "coding"
    families: ClassVar[tuple[str, ...]] = (*NUMBERS, "date")
    in_views: ClassVar[bool] = True

    def __post_init__(self) -> None:
        given = [bound for bound in (self.bottom, self.top) if bound is not None]
        _require(bool(given), "coding needs a bottom, a top or both")
        _require(len({isinstance(bound, date) for bound in given}) == 1, "the bounds are numbers or dates alike")
        _require(all(not isinstance(b, Decimal) or b.is_finite() for b in given), "the bounds are finite")
        if self.bottom is not None and self.top is not None:
            _require(self.bottom < self.top, "the bottom is below the top")  # type: ignore[operator]

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        bounds = (("bottom", self.bottom), ("top", self.top))
        return "coded at " + " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)

    def steps(self, records: Records) -> Records:
        family, x = records.columns[self.column], column(self.column)
        dated = isinstance(self.bottom if self.top is None else self.top, date)
        if dated != (family == "date"):
            raise SpecError("the bounds are not of the column's type", where=self.name, found=family)
        result = x
        for bound, beyond in ((self.top, ">"), (self.bottom, "<")):
            if bound is not None:
                limit = _bound(bound)
                result = fragment(f"case when $x {beyond} $b then $b else $rest end", x=x, b=limit, rest=result)
        if family == "float":
            result = fragment("case when $x <= cast('Infinity' as double) then $y end", x=x, y=result)
        if family == "integer" and any(not _is_whole(bound) for bound in (self.bottom, self.top)):
            family = "decimal"
        return records.replacing(f"{self.column} coded", self.column, result, self.told, family)


def _is_whole(bound: Decimal | date | None) -> bool:
    return not isinstance(bound, Decimal) or bound == bound.to_integral_value()


def _bound(bound: Decimal | date) -> Expression:
    if isinstance(bound, date):
        return fragment("cast($d as date)", d=bound.isoformat())
    return _exact(bound)


@dataclass(frozen=True)
class RankSwapping(Transform):
    """Records exchange their values in pairs, with partners whose ranks differ by at most the `share` of all ranks.

    The column's values, and so all statistics about it alone, are what they were; its relation to the others weakens
    with the share. Ranks are cut into runs of ⌊share·n⌋ + 1 from a keyed start, and paired at random within each; the
    odd one keeps its value. Doing it again with the same draws undoes it. Source: Moore 1996, "Controlled data-swapping
    techniques for masking public use microdata sets", there with one pass over the ranks. Leaves: the values
    themselves, outliers too. Raises `ValueError` for a share outside (0, 1].
    """

    column: Annotated[str, _COLUMN]
    share: Annotated[
        float, "The share of all ranks within which values are exchanged.", {"exclusiveMinimum": 0, "maximum": 1}
    ]

    name: ClassVar[str] = "rank-swapping"
    families: ClassVar[tuple[str, ...]] = (*NUMBERS, "date", "timestamp", "text", "boolean")
    reason: ClassVar[str] = "a view would pair its records anew when others arrive, and old and new could be compared"

    def __post_init__(self) -> None:
        keep_limits(self)

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        return f"values exchanged in pairs of ranks within {self.share:g} of all"

    def steps(self, records: Records) -> Records:
        share, draws = Fraction(repr(self.share)), f"{self.name} of {self.column}"
        ranked = fragment(
            "select $n as record_number, $x as own_value, row_number() over (order by $x, $n) - 1 as own_rank,"
            " count(*) over () as ranks from $there where $x is not null",
            n=column(records.number), x=column(self.column), there=query.table(records.relation),
        )  # fmt: skip
        records, ranks = records.aside(f"ranks of {self.column}", ranked, "the records in the order of their values")
        width = fragment(
            "cast((ranks * $n - ranks * $n % $d) / $d as bigint) + 1", n=share.numerator, d=share.denominator
        )
        cut = fragment(
            "select record_number, own_value, (own_rank + $s - (own_rank + $s) % $w) / $w as own_run, $draw as draw"
            " from $ranks", w=width, draw=uniform(draws, column("record_number")), ranks=query.table(ranks),
            s=fragment("cast(floor($u * $w) as bigint)", u=uniform(f"{draws}: start", 0), w=width),
        )  # fmt: skip
        records, runs = records.aside(f"runs of {self.column}", cut, f"runs within {self.share:g} of all ranks")
        over = "over (partition by own_run order by draw, record_number)"
        paired = fragment(
            f"select record_number, own_value, row_number() {over} % 2 as odd, lead(own_value) {over} as later_value,"
            f" lag(own_value) {over} as earlier_value from $runs", runs=query.table(runs),
        )  # fmt: skip
        records, pairs = records.aside(f"pairs of {self.column}", paired)
        swapped = fragment("case when odd = 1 then coalesce(later_value, own_value) else earlier_value end")
        return joined(records, pairs, self.column, swapped, self.told)


Probabilities = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Pram(Transform):
    """The post-randomisation method: a value stays or is drawn anew, with known probabilities.

    Either `keep`: a value stays with this probability, else it is that of a record drawn from all; the expected
    frequencies are the table's own, and a missing value is a value. Or a `matrix`: for each text, the probabilities of
    what it becomes; texts without a row stay, and frequencies change as the matrix says unless it is `invariant`. Who
    knows the matrix can estimate the true frequencies. Source: Gouweleeuw, Kooiman, Willenborg & de Wolf 1998, "Post
    randomisation for statistical disclosure control". Leaves: a value that is likely kept is likely true. Raises
    `ValueError` where neither or both are given, or a row of the matrix is no distribution.
    """

    column: Annotated[str, _COLUMN]
    keep: Annotated[float | None, "The probability that a value stays.", {"minimum": 0, "exclusiveMaximum": 1}] = None
    matrix: Annotated[Probabilities | None, "For each text, the probabilities of what it becomes."] = None

    name: ClassVar[str] = "pram"
    families: ClassVar[tuple[str, ...]] = (*NUMBERS, "date", "timestamp", "text", "boolean")

    def __post_init__(self) -> None:
        _require((self.keep is None) != (self.matrix is None), "pram needs either keep or a matrix")
        keep_limits(self)
        for row in (self.matrix or {}).values():
            _require(all(0 <= p <= 1 for p in row.values()), "matrix holds probabilities, from 0 to 1")
            _require(abs(sum(row.values()) - 1) <= 1e-12, "matrix: the probabilities of a row sum to 1")

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        return (
            "each value changed as a matrix of probabilities says"
            if self.keep is None
            else (f"each value kept with probability {self.keep:g}, else drawn anew")
        )

    def steps(self, records: Records) -> Records:
        return self._by_matrix(records) if self.matrix is not None else self._by_keeping(records)

    def _by_keeping(self, records: Records) -> Records:
        draws, number = f"{self.name} of {self.column}", column(records.number)
        there, x = query.table(records.relation), column(self.column)
        drawn = fragment(
            "select $n as record_number, $x as own_value, $kept as kept,"
            " cast(floor($other * count(*) over ()) as bigint) + 1 as other_number from $there",
            n=number, x=x, there=there, other=uniform(f"{draws}: other", number),
            kept=fragment("$u < $p", u=uniform(draws, number), p=self.keep),
        )  # fmt: skip
        records, step = records.aside(
            f"draws for {self.column}", drawn, "does it stay, and whose value is drawn if not"
        )
        chosen = fragment(
            "select d.record_number, case when d.kept then d.own_value else $other end as chosen from $draws as d"
            " join $there as r on $n = d.other_number",
            other=column(self.column, "r"), n=column(records.number, "r"), draws=query.table(step), there=there,
        )  # fmt: skip
        records, step = records.aside(f"chosen for {self.column}", chosen)
        return joined(records, step, self.column, column("chosen"), self.told)

    def _by_matrix(self, records: Records) -> Records:
        if records.columns[self.column] != "text":
            raise SpecError("a matrix is about texts", where=self.name, found=records.columns[self.column])
        rows = [row for of, to in (self.matrix or {}).items() for row in _cumulated(of, to)]
        table = f"matrix of {self.column}"
        values = query.values(
            table, ("own_value", "new_value", "from_draw", "to_draw"), rows, "what becomes of a value"
        )
        records = replace(records, chain=records.chain.join(Query((values,))))
        drawn = fragment(
            "select $n as record_number, $x as own_value, $u as draw from $there", n=column(records.number),
            x=column(self.column), u=uniform(f"{self.name} of {self.column}", column(records.number)),
            there=query.table(records.relation),
        )  # fmt: skip
        records, step = records.aside(f"draws for {self.column}", drawn)
        chosen = fragment(
            "select d.record_number, case when m.own_value is null then d.own_value else m.new_value end as chosen"
            " from $draws as d left join $matrix as m on m.own_value = d.own_value"
            " and d.draw >= cast(m.from_draw as double) and d.draw < cast(m.to_draw as double)",
            draws=query.table(step), matrix=query.table(table),
        )  # fmt: skip
        records, step = records.aside(f"chosen for {self.column}", chosen)
        return joined(records, step, self.column, column("chosen"), self.told)


def _cumulated(of: str, to: Mapping[str, float]) -> list[tuple[str, str, float, float]]:
    """One row per possible outcome: the run of draws for which it comes. The last one takes all that is left."""
    likely = [(value, p) for value, p in to.items() if p > 0]
    ends = [*np.cumsum([p for _, p in likely])[:-1].tolist(), 1.0]
    return [(of, value, start, end) for (value, _), start, end in zip(likely, [0.0, *ends], ends, strict=False)]


def invariant(matrix: Probabilities, frequencies: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """The matrix followed by a second one that brings the expected frequencies back to those given (Kooiman et al.
    1997).

    With P the matrix and f the frequencies, the second is q(k → j) = P(j → k)·f(j) / Σ P(l → k)·f(l). Values without a
    row stay. Raises `ValueError` for a value of the matrix without a frequency.
    """
    labels = list(dict.fromkeys([*matrix, *(to for row in matrix.values() for to in row)]))
    _require(all(label in frequencies for label in labels), "every value of the matrix needs a frequency")
    first = np.array([[matrix.get(of, {of: 1.0}).get(to, 0.0) for to in labels] for of in labels])
    joint = np.array([float(frequencies[label]) for label in labels])[:, np.newaxis] * first
    arriving = joint.sum(axis=0)
    second = np.divide(joint.T, arriving[:, np.newaxis], out=np.eye(len(labels)), where=arriving[:, np.newaxis] > 0)
    both = first @ second
    both = both / both.sum(axis=1, keepdims=True)
    return {of: dict(zip(labels, row.tolist(), strict=True)) for of, row in zip(labels, both, strict=True)}


Distribution = Literal["normal", "laplace", "uniform"]


def _noise(distribution: Distribution, stream: str, number: Expression) -> Expression:
    """What `_of_draw` makes its noise of."""
    return (normal if distribution == "normal" else uniform)(stream, number)


def _of_draw(distribution: Distribution, draw: Expression) -> Expression:
    """Noise of mean 0 and standard deviation 1 from a draw that stands in a column."""
    if distribution == "normal":
        return draw
    if distribution == "uniform":
        return fragment("(2 * $u - 1) * sqrt(cast(3 as double))", u=draw)
    return fragment("case when $u < 0.5 then ln(2 * $u) else -ln(2 - 2 * $u) end / sqrt(cast(2 as double))", u=draw)


@dataclass(frozen=True)
class AdditiveNoise(Transform):
    """value + noise of mean 0 and the standard deviation `scale`, in the column's unit (days for dates).

    Integers and dates get whole noise. Source: Kim 1986. Leaves: outliers stay outliers unless the scale is large; it
    is no differential privacy (Mironov 2012). Raises `ValueError` for a scale that is no number above 0.
    """

    column: Annotated[str, _COLUMN]
    scale: Annotated[float, "The noise's standard deviation, in the column's unit.", {"exclusiveMinimum": 0}]
    distribution: Annotated[Distribution, "How the noise is distributed."] = "normal"

    name: ClassVar[str] = "additive-noise"
    families: ClassVar[tuple[str, ...]] = (*NUMBERS, "date")

    def __post_init__(self) -> None:
        keep_limits(self)
        _require(self.scale < float("inf"), "scale is a number above 0")
        _require(self.distribution in ("normal", "laplace", "uniform"), "distribution is normal, laplace or uniform")

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        return f"{self.distribution} noise of standard deviation {self.scale:g} added"

    def steps(self, records: Records) -> Records:
        x, family = column(self.column), records.columns[self.column]
        records, draw = _drawn(records, self.distribution, f"{self.name} of {self.column}")
        noise = fragment("$scale * $z", scale=self.scale, z=_of_draw(self.distribution, draw))
        whole = fragment("cast(floor($e + 0.5) as bigint)", e=noise)
        if family == "integer":
            parts = {"x": x, "e": noise, "w": whole}
            value = fragment("case when abs(cast($x as double) + $e) < 9e18 then cast($x as bigint) + $w end", parts)
        elif family == "date":
            inside = "$x between cast('0001-01-01' as date) and cast('9999-12-31' as date) and abs($e) < 1000000"
            value = fragment(f"case when {inside} then $x + cast($w as integer) end", x=x, e=noise, w=whole)
        else:
            double, family = fragment("cast($x as double)", x=x), "float"
            # Not every engine adds what is beyond all doubles.
            value = fragment(f"case when abs($x) <= {_LARGEST} - abs($e) then $x + $e end", x=double, e=noise)
        return records.replacing(f"{self.column} with noise", self.column, value, self.told, family)


def _drawn(records: Records, distribution: Distribution, stream: str) -> tuple[Records, Expression]:
    """The records with a helping column of draws, which the next step leaves out."""
    (name,) = records.own("draw")
    drawn = named(_noise(distribution, stream, column(records.number)), name)
    cells = [*map(column, (*records.columns, records.number)), drawn]
    return records.then("drawn", query.select(cells, records.relation)), column(name)


@dataclass(frozen=True)
class MultiplicativeNoise(Transform):
    """value · exp(s·z − s²/2) with normal z: the factor is log-normal, has mean 1, and `scale` s is that of its
    logarithm.

    Signs and zeros stay; the noise grows with the value. Source: Kim & Winkler 2003. Leaves: zeros, signs and orders of
    magnitude. Raises `ValueError` for a scale that is no number above 0.
    """

    column: Annotated[str, _COLUMN]
    scale: Annotated[float, "The standard deviation of the factor's logarithm.", {"exclusiveMinimum": 0}]

    name: ClassVar[str] = "multiplicative-noise"
    families: ClassVar[tuple[str, ...]] = NUMBERS

    def __post_init__(self) -> None:
        keep_limits(self)
        _require(self.scale < float("inf"), "scale is a number above 0")

    @property
    def touched(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def told(self) -> str:
        return f"multiplied by log-normal noise of mean 1 and scale {self.scale:g}"

    def steps(self, records: Records) -> Records:
        family = records.columns[self.column]
        records, draw = _drawn(records, "normal", f"{self.name} of {self.column}")
        exponent = fragment("$s * $z - $h", s=self.scale, z=draw, h=self.scale * self.scale / 2)
        factor = fragment("exp(least(greatest($e, -600), 600))", e=exponent)
        double = fragment("cast($x as double)", x=column(self.column))
        product = _in_range(double, factor)
        value = _whole(product) if family == "integer" else product
        after = "integer" if family == "integer" else "float"
        return records.replacing(f"{self.column} with noise", self.column, value, self.told, after)
