"""What a released label can hold: everything, an interval of numbers or of days, or the texts under a mask.

The labels are those of `hierarchies`: `*`, `[a, b)`, `123**`, `2020-01-31`, `2020-01`, `2020-Q1`, `2020`, `2020-2029`,
`2000-2099`, and an engine's own range as text. What stands at the levels of a tabled hierarchy (csv, tree, order) only
its rows can tell. Pure text; nothing here knows an engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal

from sqlanon.hierarchies import STAR, Rows

# A missing bound is that of a suppressed record, of a missing value, or of a value that no interval could hold.
STARS = (STAR, "{'lower': NULL, 'upper': NULL}")

Span = tuple[str, str]  # from ≤ value < to, or one value where both are equal

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DAY = r"-?\d{4,6}-\d\d-\d\d(?: \(BC\)| BC)?"
_INTERVALS = (r"\[(%s), ?(%s)\)", r"\{'lower': (%s), 'upper': (%s)\}")
_FIRST, _BEYOND = "0001-01-01", "10000-01-01"  # the days that hierarchies put into intervals end here


def number_span(label: str) -> Span | None:
    """The numbers that a label holds: one number, or an interval."""
    ends = _ends(label, _NUMBER) or ((label, label) if re.fullmatch(_NUMBER, label) else None)
    return (_plain(ends[0]), _plain(ends[1])) if ends else None


def day_span(label: str) -> Span | None:
    """The days that a label holds, as an interval; a day alone holds itself."""
    ends = _ends(label, _DAY)
    if ends:
        lower, upper = (_bound(end) for end in ends)
        return (lower, upper) if lower != upper else _calendar(lower)
    return _calendar(label)


def _ends(label: str, of: str) -> Span | None:
    for form in _INTERVALS:
        found = re.fullmatch(form % (of, of), label)
        if found:
            return found[1], found[2]
    return None


def _plain(number: str) -> str:
    return format(Decimal(number), "f")


def _bound(day: str) -> str:
    """A day as the engines read it; what is beyond the years 1 to 9999 ends there."""
    if day.startswith("-") or day.endswith("BC") or day.endswith("(BC)") or day.startswith("0000"):
        return _FIRST
    return day if len(day) == len(_FIRST) else _BEYOND


def _calendar(label: str) -> Span | None:
    """Day, month, quarter, year, decade and century, as the `date` hierarchy writes them."""
    for form, span in _CALENDAR.items():
        found = re.fullmatch(form, label)
        try:
            if found:
                return span(*map(int, found.groups()))
        except ValueError:  # a month 13, a 31st of February: text that only looks like a date
            return None
    return None


def _years(first: int, last: int) -> Span:
    years = last - first + 1
    if years not in (10, 100) or first % years:
        raise ValueError("neither a decade nor a century")
    return _iso(first), _iso(last + 1)


def _iso(year: int, month: int = 1) -> str:
    if month == 13:
        year, month = year + 1, 1
    if year < 1:
        return _FIRST
    return _BEYOND if year > 9999 else date(year, month, 1).isoformat()


def _after(year: int, month: int, day: int) -> str:
    this = date(year, month, day)
    return _BEYOND if this == date.max else (this + timedelta(days=1)).isoformat()


_CALENDAR: dict[str, Callable[..., Span]] = {
    r"(\d{4})-(\d\d)-(\d\d)": lambda y, m, d: (date(y, m, d).isoformat(), _after(y, m, d)),
    r"(\d{4})-(\d\d)": lambda y, m: (date(y or 1, m, 1).isoformat(), _iso(y, m + 1)),
    r"(\d{4})-Q([1-4])": lambda y, q: (_iso(y, 3 * q - 2), _iso(y, 3 * q + 1)),
    r"(\d{4})": lambda y: (_iso(y), _iso(y + 1)),
    r"(\d{4})-(\d{4})": _years,
}


def is_interval(label: str) -> bool:
    """Whether a label is an interval of numbers or days, whatever the type of its column is."""
    return _ends(label, _NUMBER) is not None or _ends(label, _DAY) is not None


def mask(label: str) -> tuple[str, int] | None:
    """The characters that a mask shows and how many it has in all: `12***` is ("12", 5)."""
    return (label.rstrip(STAR), len(label)) if label.endswith(STAR) and label != STAR else None


def leaves(labels: Iterable[str], rows: Rows) -> list[tuple[str, str]]:
    """The values under the labels of a column by a tabled hierarchy, as pairs (label, value).

    A column of one level is read at the levels at which all of its labels stand; any other column at all levels.
    """
    there = set(labels) - {STAR}
    levels = range(len(rows[0]))
    whole = [level for level in levels if there <= {row[level] for row in rows}]
    pairs = ((row[level], row[0]) for row in rows for level in whole or levels if row[level] in there)
    return list(dict.fromkeys(pairs))
