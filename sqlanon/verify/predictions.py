"""Value prediction by its definition: sorted values, running sums, exact numbers, for every subset of the columns."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sqlanon.models import ValuePrediction
from sqlanon.verify.evidence import Evidence, Floats, Ints, Places

_EPOCH = datetime(1970, 1, 1)
_TWELVE = Decimal("1e-12")
_FAR = Decimal("1e25")


def judge(model: ValuePrediction, evidence: Evidence) -> tuple[Floats, NDArray[np.bool_]]:
    """Per class the violations of who knows all its columns; where others find more, that number."""
    places = _of(evidence)
    bad = places.counts * _violations(model, places, places.classes)[0]
    found = np.bincount(places.classes, weights=bad, minlength=len(evidence.records))
    return np.maximum(found, most(model, evidence)), found == 0


def most(model: ValuePrediction, evidence: Evidence) -> int:
    """The violations of the observer of any of the columns who finds most."""
    if model.observer == "all":
        return 0
    places, found = _of(evidence), 0
    for size in range(len(places.keys) + 1):
        for chosen in combinations(range(len(places.keys)), size):
            bad, _ = _violations(model, places, _numbered(places, chosen))
            found = max(found, int(places.counts[bad].sum()))
    return found


def details(model: ValuePrediction, evidence: Evidence) -> dict[str, float | None]:
    """The largest share of a class."""
    places = _of(evidence)
    shares = _violations(model, places, places.classes)[1]
    return {"highest_share": float(shares.max(initial=0.0))}


def _of(evidence: Evidence) -> Places:
    if evidence.places is None:
        raise ValueError("the model needs a sensitive column")
    return evidence.places


def _numbered(places: Places, chosen: tuple[int, ...]) -> Ints:
    """The number of the set that each cell belongs to, for an observer of the chosen columns."""
    if not chosen:
        return np.zeros(len(places.counts), dtype=np.int64)
    return np.unique(places.keys[list(chosen)], axis=1, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _violations(model: ValuePrediction, places: Places, sets: Ints) -> tuple[NDArray[np.bool_], Floats]:
    """Which cells are violations in these sets, and the share of each."""
    rank, first, last = _reach(model, places.labels, places.family)
    there = rank[places.values] >= 0
    missing = np.array([label is None for label in places.labels], dtype=bool)[places.values]
    width, counts = len(first) + 1, np.where(missing, 0, places.counts)
    sums = np.bincount(sets, weights=counts).astype(np.int64)
    at = sets * width + np.where(there, rank[places.values], 0)
    order = np.argsort(at[there], kind="stable")
    lines, upto = at[there][order], np.concatenate([[0], np.cumsum(counts[there][order])])
    near = np.zeros(len(at), dtype=np.int64)
    own = rank[places.values[there]]
    low = np.searchsorted(lines, sets[there] * width + first[own], "left")
    high = np.searchsorted(lines, sets[there] * width + last[own], "right")
    near[there] = upto[high] - upto[low]
    size = sums[sets]
    share = np.divide(near, size, out=np.zeros(len(at)), where=size > 0)
    return ~missing & ~(there & _safe(model, places, near, size)), np.where(missing, 0.0, share)


def _safe(model: ValuePrediction, places: Places, near: Ints, size: Ints) -> NDArray[np.bool_]:
    """Whether a cell's share is known to be below its threshold, in whole numbers."""
    limits = [_threshold(model, text) for text in places.thresholds]
    asked, which = np.unique(np.stack([places.limits, size]), axis=1, return_inverse=True)
    most = np.array([_most(limits[kind], of, model.above) for kind, of in asked.T.tolist()], dtype=np.int64)
    return near <= most[which.reshape(-1)] if len(near) else np.zeros(0, dtype=bool)


def _most(limit: Fraction | None, size: int, above: bool) -> int:
    """The most records of a set that may be near one of them; -1 where nobody knows."""
    if limit is None:
        return -1
    whole, rest = divmod(limit.numerator * size, limit.denominator)
    return whole if above or rest else whole - 1


def _threshold(model: ValuePrediction, text: str | None) -> Fraction | None:
    if isinstance(model.limit, Fraction):
        return model.limit
    try:
        found = None if text is None else Fraction(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return found if found is not None and 0 <= found <= 1 else None


@lru_cache(maxsize=8)
def _reach(model: ValuePrediction, labels: tuple[str | None, ...], family: str) -> tuple[Ints, Ints, Ints]:
    """The rank of each label on the line (-1 where it has none), and of each rank the first and last within reach."""
    margin = model.reach
    if margin is None or margin.size == 0:
        ranks = np.array([-1 if label is None else i for i, label in enumerate(labels)], dtype=np.int64)
        everywhere = np.arange(len(labels), dtype=np.int64)
        return ranks, everywhere, everywhere
    width = Fraction(margin.microseconds) if margin.unit else Fraction(margin.size)
    numbers = [_place(label, family) for label in labels]
    line = sorted({number for number in numbers if number is not None})
    ranks = np.array([-1 if n is None else bisect_left(line, n) for n in numbers], dtype=np.int64)
    first = np.array([bisect_left(line, n - width) for n in line], dtype=np.int64)
    last = np.array([bisect_right(line, n + width) - 1 for n in line], dtype=np.int64)
    return ranks, first, last


def _place(label: str | None, family: str) -> Fraction | None:
    """A value as it is printed, exactly; a time as microseconds since 1970; None for what has no place."""
    if label is None:
        return None
    try:
        if family in ("date", "timestamp"):
            since = (datetime.combine(date.fromisoformat(label), datetime.min.time()) if family == "date"
                     else datetime.fromisoformat(label)) - _EPOCH  # fmt: skip
            return Fraction((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
        number = Decimal(label)
        if family == "float":
            number = number.quantize(_TWELVE, ROUND_HALF_UP) if abs(number) < _FAR else Decimal("NaN")
        return Fraction(number) if number.is_finite() else None
    except (ValueError, ArithmeticError):
        return None
