"""Numbers and foreign text as a report writes them."""

from __future__ import annotations

import math
from datetime import datetime

_JOINERS = "\u200c\u200d"  # invisible, yet part of how Persian and Hindi are spelt


def legible(text: object) -> str:
    """Text from outside with everything that is invisible, or that turns the reading direction, spelt out."""
    return "".join(c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in str(text))


def lines(text: object) -> str:
    """The same for text of several lines, which it keeps."""
    return "\n".join(legible(line.expandtabs(2)) for line in str(text).split("\n"))


def shortened(text: object, most: int = 40) -> str:
    """The same, with its middle left out where it is longer than a chart has room for."""
    told = legible(text)
    return told if len(told) <= most else f"{told[: most - most // 3 - 1]}…{told[-(most // 3) :]}"


def finite(value: object) -> float | None:
    """A number, or None for whatever is none: no NaN and no infinity is ever drawn or judged."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def number(value: object) -> str:
    """A number as a person reads it; a missing one is a dash, anything else is text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value))
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return legible(value)
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}" if 1e-4 <= abs(value) < 1e6 else f"{value:,.0f}" if abs(value) >= 1e6 else f"{value:.2g}"


def share(value: object) -> str:
    """A share in percent; what is above 0 is never written as 0 %, what is below 1 never as 100 %."""
    found = finite(value)
    if found is None:
        return "–"
    if 0 < found < 0.0001:
        return "< 0.01 %"
    if 0.9999 < found < 1:
        return "> 99.99 %"
    return f"{100 * found:.2f}".rstrip("0").rstrip(".") + " %"


def count(value: object, minimum: int) -> str:
    """How many; None is a count that the minimum cell hides."""
    return f"fewer than {minimum}" if value is None else number(value)


def signed(value: object) -> str:
    """A number with its sign, as a margin has one."""
    found = finite(value)
    return number(value) if found is None or found == 0 else f"{'+' if found > 0 else '−'}{number(abs(found))}"


def moment(text: object) -> str:
    """A point in time as a person reads it; what is none is written as it is."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return legible(text)
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".strip()
