"""What a released label can hold: everything, an interval of numbers or of time, or the texts under a mask.

The labels are those of `hierarchies`: `*`, `[a, b)`, `123**`, `2020-01-31`, `2020-01`, `2020-Q1`, `2020`, `2020-2029`,
`2000-2099`; those of partitions, `[a, b]` with both ends in it; and an engine's own range as text, which is read
as if its upper end were in it: nobody knows, and no record may be lost. What stands at the levels of a tabled
hierarchy (csv, tree, order), and between the ends of a run `a..b`, only its rows can tell. Pure text; nothing here
knows an engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

from sqlanon.hierarchies import STAR, Rows

# A missing bound is that of a suppressed record, of a missing value, or of a value that no interval could hold.
STARS = (STAR, "{'lower': NULL, 'upper': NULL}")

RUN = ".."  # between the ends of a run of an order

# from ≤ value < to; or from ≤ value ≤ to, where `closed`: one value if both are equal
Span = tuple[str, str, bool]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_DAY = r"-?\d{4,6}-\d\d-\d\d(?: \(BC\)| BC)?"
_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?"
_INTERVALS = (r"\[(%s), ?(%s)(\)|\])", r"\{'lower': (%s), 'upper': (%s)(\})")
_FIRST, _BEYOND = "0001-01-01", "10000-01-01"  # the days that hierarchies put into intervals end here


def number_span(label: str) -> Span | None:
    """The numbers that a label holds: one number, or an interval."""
    ends = _ends(label, _NUMBER) or ((label, label, True) if re.fullmatch(_NUMBER, label) else None)
    return (_plain(ends[0]), _plain(ends[1]), ends[2]) if ends else None


def day_span(label: str) -> Span | None:
    """The days that a label holds, as a half-open interval; a day alone holds itself."""
    ends = _ends(label, _DAY)
    if not ends:
        return _calendar(label)
    lower, upper = (_bound(end) for end in ends[:2])
    if lower == upper:
        return _calendar(lower)
    try:
        return (lower, _next(upper) if ends[2] else upper, False)
    except ValueError:  # no day of the calendar
        return None


def moment_span(label: str) -> Span | None:
    """The times that a label holds, to the microsecond: one time, an interval, or the days that `day_span` reads."""
    ends = _ends(label, _MOMENT) or ((label, label, True) if re.fullmatch(_MOMENT, label) else None)
    return (_micro(ends[0]), _micro(ends[1]), ends[2]) if ends else day_span(label)


def is_moment(label: str) -> bool:
    """Whether a label is one time or an interval of times, and not of days."""
    return _ends(label, _MOMENT) is not None or re.fullmatch(_MOMENT, label) is not None


def _ends(label: str, of: str) -> Span | None:
    for form in _INTERVALS:
        found = re.fullmatch(form % (of, of), label)
        if found:
            return found[1], found[2], found[3] != ")"
    return None


def _plain(number: str) -> str:
    return format(Decimal(number), "f")


def _micro(moment: str) -> str:
    """A time without what is finer than a microsecond."""
    whole, _, part = moment.partition(".")
    return f"{whole}.{part[:6]}" if part else whole


def _bound(day: str) -> str:
    """A day as the engines read it; what is beyond the years 1 to 9999 ends there."""
    if day.startswith("-") or day.endswith("BC") or day.endswith("(BC)") or day.startswith("0000"):
        return _FIRST
    return day if len(day) == len(_FIRST) else _BEYOND


def _next(day: str) -> str:
    return day if day == _BEYOND else _after(*map(int, day.split("-")))


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
    return _iso(first), _iso(last + 1), False


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
    r"(\d{4})-(\d\d)-(\d\d)": lambda y, m, d: (date(y, m, d).isoformat(), _after(y, m, d), False),
    r"(\d{4})-(\d\d)": lambda y, m: (date(y or 1, m, 1).isoformat(), _iso(y, m + 1), False),
    r"(\d{4})-Q([1-4])": lambda y, q: (_iso(y, 3 * q - 2), _iso(y, 3 * q + 1), False),
    r"(\d{4})": lambda y: (_iso(y), _iso(y + 1), False),
    r"(\d{4})-(\d{4})": _years,
}


def is_interval(label: str) -> bool:
    """Whether a label is an interval of numbers, days or times, whatever the type of its column is."""
    return any(_ends(label, of) is not None for of in (_NUMBER, _DAY, _MOMENT))


def mask(label: str) -> tuple[str, int] | None:
    """The characters that a mask shows and how many it has in all: `12***` is ("12", 5)."""
    return (label.rstrip(STAR), len(label)) if label.endswith(STAR) and label != STAR else None


def may_be_run(label: str) -> bool:
    """Whether a label may be a run `first..last` of an order, which only the order can tell from a value."""
    return RUN in label and mask(label) is None


def leaves(labels: Iterable[str], rows: Rows) -> list[tuple[str, str]]:
    """The values under the labels of a column by a tabled hierarchy, as pairs (label, value).

    A column of one level is read at the levels at which all of its labels stand; any other column at all levels. A
    label `first..last` also holds the rows from one to the other, wherever the rows are an order or no level has it.
    """
    there = set(labels) - {STAR}
    levels = range(len(rows[0]))
    whole = [level for level in levels if there <= {row[level] for row in rows}]
    pairs = [(row[level], row[0]) for row in rows for level in whole or levels if row[level] in there]
    known = set() if _is_order(rows) else {label for label, _ in pairs}
    runs = (pair for label in sorted(there - known) for pair in _run(label, rows))
    return list(dict.fromkeys([*pairs, *runs]))


def _run(label: str, rows: Rows) -> list[tuple[str, str]]:
    """The rows of a run, by the ends that its label names; of every pair of ends, where values hold dots too."""
    places = {row[0]: place for place, row in enumerate(rows)}
    found: list[tuple[str, str]] = []
    for at in range(len(label)):
        if label.startswith(RUN, at):
            first, last = (places.get(end) for end in (label[:at], label[at + len(RUN) :]))
            if first is not None and last is not None and first < last:
                found += [(label, row[0]) for row in rows[first : last + 1]]
    return found


def _is_order(rows: Rows) -> bool:
    """Whether every inner label is the run of the neighbours that have it, as an order names them."""
    for level in range(1, len(rows[0]) - 1):
        for label, group in groupby(rows, key=lambda row: row[level]):
            names = [row[0] for row in group]
            if label != (names[0] if len(names) == 1 else f"{names[0]}{RUN}{names[-1]}"):
                return False
    return True
