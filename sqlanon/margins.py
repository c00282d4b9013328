"""How near is near: margins as people write them, and the line on which a column's values lie.

Nothing is compared as a binary float: numbers lie on a decimal line with room for the margin's own decimals, because a
window's frame rounds its ends to those of the values; times lie on one of whole microseconds. So the closed interval of
a margin is exact. Floats are read as they are printed, at twelve decimals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Protocol

from sqlanon.errors import SpecError

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "min": 60, "s": 1}
NUMERIC = ("integer", "decimal", "float")
_SCALE = 12  # decimals of a float on the line: differences below the one tolerance of the house


@dataclass(frozen=True)
class Margin:
    """How far a guess may be off and still hit: a number of the column's unit, or a time (`unit`), 0 for categories."""

    size: Decimal
    unit: str | None = None

    def __post_init__(self) -> None:
        if not self.size.is_finite() or self.size < 0:
            raise ValueError("a margin is a finite number, at least 0")
        if self.unit is not None and self.unit not in _UNITS:
            raise ValueError(f"the unit of a margin is one of {', '.join(_UNITS)}")

    def __str__(self) -> str:
        return f"{self.size.normalize():f}{self.unit or ''}"

    @property
    def microseconds(self) -> int:
        """A time as microseconds. Raises `ValueError` where that is no whole number."""
        exact = Fraction(self.size) * _UNITS[self.unit or "s"] * 1_000_000
        if exact.denominator != 1:
            raise ValueError("a margin in time is a whole number of microseconds")
        return exact.numerator


def margin(given: Margin | Decimal | float | str | timedelta) -> Margin:
    """A margin as a person writes it: 5, 0.5, "30d", "12h". Raises `SpecError`."""
    if isinstance(given, Margin):
        return given
    if isinstance(given, timedelta):
        return Margin(Decimal(given // timedelta(microseconds=1)) / 1_000_000, "s")
    parts = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([a-z]*)\s*", str(given))
    try:
        if parts is None:
            raise ValueError("a margin is a number, for times with a unit")
        return Margin(Decimal(parts[1]), parts[2] or None)
    except (ValueError, InvalidOperation):
        raise SpecError(
            "a margin is a number, at least 0, with a unit for dates and times", where="margin", found=str(given)[:60],
            allowed=("5", "0.5", *(f"1{unit}" for unit in _UNITS)),
        ) from None  # fmt: skip


def share(given: Fraction | Decimal | float | str, where: str = "threshold") -> Fraction:
    """A threshold as it was written, exactly: 0.9 is 9/10; "2/3" may be said. Raises `SpecError` outside 0 to 1."""
    try:
        found = given if isinstance(given, Fraction) else Fraction(str(given))
        if 0 <= found <= 1 and found.denominator <= 10**18:
            return found
    except (ValueError, ZeroDivisionError):
        pass
    raise SpecError("a threshold is a share from 0 to 1", where=where, found=str(given)[:60])


# -- the line on which values lie --------------------------------------------------------------------------------------


class Found(Protocol):
    """What is known of a column: its name, its type in the engine's words, the family of that in ours."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def family(self) -> str: ...


@dataclass(frozen=True)
class Kind:
    """A column that is known without an engine."""

    name: str
    type: str
    family: str


@dataclass(frozen=True)
class Line:
    """Where values lie and how far is near: `value` in SQL over `$x`, `reach` in its unit (None: equal only).

    `finite` is the condition under which a value has a place on the line.
    """

    value: str
    reach: Decimal | None = None
    finite: str = "true"

    @property
    def frame(self) -> tuple[str, str]:
        """The two ends of the window's frame, as house SQL over `$reach`."""
        near = self.reach is not None
        return ("$reach preceding", "$reach following") if near else ("current row", "current row")


_TIMES = {
    "date": "cast($x - cast('1970-01-01' as date) as decimal(38, 0)) * 86400000000",
    "timestamp": "cast(cast($x as date) - cast('1970-01-01' as date) as decimal(38, 0)) * 86400000000"
    " + cast(extract(hour from $x) as bigint) * 3600000000 + cast(extract(minute from $x) as bigint) * 60000000"
    " + cast(extract(microsecond from $x) as bigint)",
}


# A decimal of Postgres may be no number, or infinite; its order has both after all numbers.
_A_NUMBER = "abs($x) < 1e39"


def line(found: Found, wanted: Margin | None) -> Line:
    """The line of a column and a margin. Raises `SpecError` where they do not go together."""
    where = f"margin of {found.name}"
    ordered = found.family in NUMERIC or found.family in _TIMES
    if wanted is None and ordered:
        raise SpecError(
            f"say how near counts as known: {found.name!r} is {found.type}; 0 is only the value", where=where
        )
    if wanted is None or wanted.size == 0:
        return Line("$x")
    if not ordered:
        raise SpecError(
            f"a margin needs numbers, dates or times, and this is {found.type}", where=where, allowed=("0",)
        )
    if (found.family in _TIMES) is not (wanted.unit is not None):
        what = "needs a unit" if found.family in _TIMES else "has no unit"
        raise SpecError(f"a margin on {found.type} {what}", where=where, found=str(wanted), allowed=_UNITS)
    return _time(found, wanted) if found.family in _TIMES else _number(found, wanted, where)


def _time(found: Found, wanted: Margin) -> Line:
    kind = found.family
    finite = f"$x <> cast('infinity' as {kind}) and $x <> cast('-infinity' as {kind})"
    try:
        return Line(f"cast({_TIMES[kind]} as decimal(38, 0))", Decimal(wanted.microseconds), finite)
    except ValueError as error:
        raise SpecError(str(error), where=f"margin of {found.name}", found=str(wanted)) from None


def _number(found: Found, wanted: Margin, where: str) -> Line:
    """Numbers as decimals that hold both the values and the margin: a frame rounds its ends to the values' decimals."""
    if unbounded(found):  # as it is: nothing is rounded on such a line
        return Line("$x", wanted.size, _A_NUMBER)
    decimals = max(-int(wanted.size.normalize().as_tuple().exponent), 0)
    digits, own = digits_of(found)
    scale = max(decimals, own)
    if digits - own + scale > 38 or (found.family == "float" and decimals > _SCALE):
        raise SpecError("the margin has too many decimals for this column", where=where, found=str(wanted))
    # A float is read as it is printed, which is the number that was written; its binary neighbours are off the margin.
    read = "cast($x as varchar)" if found.family == "float" else "$x"
    finite = {"float": "abs($x) < 1e25", "decimal": _A_NUMBER}.get(found.family, "true")
    return Line(f"cast({read} as decimal(38, {scale}))", wanted.size, finite)


def unbounded(found: Found) -> bool:
    """Whether a decimal has as many digits as it needs: Postgres's numeric, where no digits were declared."""
    return found.family == "decimal" and re.search(r"\d", found.type) is None


def digits_of(found: Found) -> tuple[int, int]:
    """All digits and decimals of a numeric type; of an integer or a float, those of its line."""
    if found.family == "decimal":
        digits, scale = [*(re.findall(r"\d+", found.type) or ["28", "10"]), "0"][:2]
        return int(digits), int(scale)
    return (37, _SCALE) if found.family == "float" else (38 if "HUGE" in found.type else 20, 0)
