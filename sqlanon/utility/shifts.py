"""How far single columns and pairs of columns are from what they were.

A label stands for the values that it covers, evenly; its number is the middle between the least and the greatest of
them. Records that are published with `*` in every quasi-identifier are left out, but for the sensitive columns alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sqlanon.udfs import earth_mover
from sqlanon.utility.compared import Compared
from sqlanon.utility.covering import Cover, Floats, Ints, Values


@dataclass(frozen=True)
class Shift:
    """Distances, 0..1, of a column's distribution in the release from that in the source.

    `total_variation`: ½ Σ |q − p|. `earth_mover`: the ordered distance of t-closeness (Li et al. 2007), neighbours in
    order 1 ÷ (values − 1) apart; None for columns without an order.
    """

    total_variation: float
    earth_mover: float | None

    def to_dict(self) -> dict[str, object]:
        """Both numbers."""
        return dict(vars(self))


def distribution_shift(compared: Compared) -> dict[str, Shift | None]:
    """The shift of every quasi-identifier and sensitive column; None where no record of it was published."""
    found = {c.values.name: _shift(c.values, spread(c, compared.published(i))) for i, c in enumerate(compared.covers)}
    for values in compared.sensitive:
        if values.released is not None:
            found[values.name] = _shift(values, values.released.astype(np.float64))
    return found


def spread(cover: Cover, published: Ints) -> Floats:
    """The records of each label, spread evenly over the values that it covers."""
    each = published / cover.leaves
    spread: Floats = np.bincount(cover.code, each[cover.label], len(cover.values)).astype(np.float64)
    return spread


def _shift(values: Values, released: Floats) -> Shift | None:
    if not released.sum() > 0:
        return None
    block, reference = released[np.newaxis], values.records
    ordered = float(earth_mover.ordered(block, reference)[0]) if values.ordered else None
    return Shift(float(earth_mover.equal(block, reference)[0]), ordered)


# -- pairs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Association:
    """How two columns go together, in the source and in the release; a column without variation goes with nothing: 0.

    `measure`: `pearson` and `spearman` (two numbers; records in which one is missing are left out), `cramers_v` (two
    categories; corrected for bias, Bergsma 2013), `correlation_ratio` (a category and a number: η, the root of the
    share of the number's variance that lies between the categories).
    """

    columns: tuple[str, str]
    measure: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """|after − before|."""
        return abs(self.after - self.before)

    def to_dict(self) -> dict[str, object]:
        """Names and numbers."""
        told = {"measure": self.measure, "before": self.before, "after": self.after, "change": self.change}
        return {"columns": list(self.columns), **told}


@dataclass(frozen=True)
class CorrelationShift:
    """All pairs of quasi-identifiers and sensitive columns; `largest` change, None where there is no pair."""

    pairs: tuple[Association, ...]

    @property
    def largest(self) -> float | None:
        """The largest change of all pairs."""
        return max((pair.change for pair in self.pairs), default=None)

    def to_dict(self) -> dict[str, object]:
        """The largest change, and every pair."""
        return {"largest": self.largest, "pairs": [pair.to_dict() for pair in self.pairs]}


def correlation_shift(compared: Compared) -> CorrelationShift:
    """Every pair of columns, measured in the source and in the release."""
    columns = compared.columns
    middles = [(least + greatest) / 2 for least, greatest in (cover.ends() for cover in compared.covers)]
    found: list[Association] = []
    for one, two in combinations(range(len(columns)), 2):
        names, measured = (columns[one].name, columns[two].name), []
        for after in (False, True):
            a, b, records = compared.pair(one, two, after=after)
            numbers = [
                (middles[i] if after and i < len(middles) else columns[i].numbers)[places]
                if columns[i].quantity else None
                for i, places in ((one, a), (two, b))
            ]  # fmt: skip
            measured.append(_association((a, b), numbers, records.astype(np.float64)))
        before, afterwards = measured
        found += [Association(names, kind, before[kind], afterwards[kind]) for kind in before]
    return CorrelationShift(tuple(found))


def _association(places: tuple[Ints, Ints], numbers: list[Floats | None], records: Floats) -> Mapping[str, float]:
    """The measures of one pair, from its counted pairs of values."""
    one, two = numbers
    if one is not None and two is not None:
        known = ~(np.isnan(one) | np.isnan(two))
        one, two, records = one[known], two[known], records[known]
        ranked = (_ranks(one, records), _ranks(two, records))
        return {"pearson": _pearson(one, two, records), "spearman": _pearson(*ranked, records)}
    if one is None and two is None:
        return {"cramers_v": _cramers_v(*places, records)}
    kinds, values = (places[0], two) if one is None else (places[1], one)
    return {"correlation_ratio": _correlation_ratio(kinds, values, records)} if values is not None else {}


def _pearson(one: Floats, two: Floats, records: Floats) -> float:
    total = records.sum()
    if not total > 0:
        return 0.0
    a, b = one - (records @ one) / total, two - (records @ two) / total
    spread = math.sqrt((records @ a**2) * (records @ b**2))
    if np.ptp(one) == 0 or np.ptp(two) == 0 or not spread > 0:
        return 0.0
    return min(max(float(records @ (a * b)) / spread, -1.0), 1.0)


def _ranks(values: Floats, records: Floats) -> Floats:
    """Each value's rank among the records, ties at their middle."""
    _, place = np.unique(values, return_inverse=True)
    counts = np.bincount(place, weights=records)
    return (np.cumsum(counts) - counts / 2)[place]


def _cramers_v(one: Ints, two: Ints, records: Floats) -> float:
    """√(φ̃² ÷ min(r̃ − 1, c̃ − 1)), where φ̃² = max(0, χ²/n − (r − 1)(c − 1)/(n − 1)) and r̃ = r − (r − 1)²/(n − 1)."""
    rows, columns = np.bincount(one, weights=records), np.bincount(two, weights=records)
    total, r, c = records.sum(), int((rows > 0).sum()), int((columns > 0).sum())
    if total < 2 or r < 2 or c < 2:
        return 0.0
    # χ²/n = Σ n_ij² ÷ (n_i n_j) − 1: pairs that do not occur add nothing.
    phi = float((records / rows[one]) @ (records / columns[two])) - 1
    phi = max(phi - (r - 1) * (c - 1) / (total - 1), 0.0)
    least = min(r - (r - 1) ** 2 / (total - 1), c - (c - 1) ** 2 / (total - 1)) - 1
    return min(math.sqrt(phi / least), 1.0) if least > 0 else 0.0


def _correlation_ratio(kinds: Ints, values: Floats, records: Floats) -> float:
    known = ~np.isnan(values)
    kinds, values, records = kinds[known], values[known], records[known]
    total = records.sum()
    if len(np.unique(kinds)) < 2 or np.ptp(values) == 0:
        return 0.0
    apart = values - (records @ values) / total
    sizes = np.bincount(kinds, weights=records)
    means = np.bincount(kinds, weights=records * apart) / np.maximum(sizes, 1)
    return min(math.sqrt(float(sizes @ means**2) / float(records @ apart**2)), 1.0)
