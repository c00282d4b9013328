"""The columns of a report: what was done to each, examples, and how its values were and are spread.

Where the source can be read, it is held against the release once, and everything is told of what that counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from sqlanon.hierarchies import Suppress
from sqlanon.report.minimum import Bin, Cell, by_size, by_width, digits, edges, in_order
from sqlanon.report.subjects import Subject
from sqlanon.utility import labels_of
from sqlanon.utility.compared import Compared, comparing
from sqlanon.utility.covering import Cover, Values
from sqlanon.utility.losses import losses
from sqlanon.utility.shifts import correlation_shift, distribution_shift, spread

_MOST_NAMES = 400  # of a nominal column, the most frequent ones are asked for


@dataclass(frozen=True)
class Shown:
    """What the comparison with the source came to: per column its distribution and more, and totals."""

    columns: Mapping[str, dict[str, Any]]
    correlations: dict[str, Any] | None
    utility: Mapping[str, float | None]
    rows_in: int
    rows_out: int
    suppressed: int
    why: Mapping[str, str] = field(default_factory=dict)


def compared(subject: Subject, cell: Cell) -> Shown:
    """Holds the published rows against the source. Reads each once. Raises `SpecError`, `EngineError`."""
    if subject.before is None:
        raise ValueError(subject.unread)
    kinds = {found.name: found.family for found in subject.engine.columns(subject.before)}
    sensitive = {n: subject.hierarchies.get(n) for n in subject.sensitive if n in kinds}
    with comparing(subject.engine, subject.rows, subject.before, subject.recoded, sensitive) as found:
        shifts = distribution_shift(found)
        cell = cell.knowing(found.records, found.released, found.suppressed)
        lost = losses([labels_of(cover, found.published(i)) for i, cover in enumerate(found.covers)], found.suppressed)
        columns: dict[str, dict[str, Any]] = {}
        why: dict[str, str] = {}
        for i, values in enumerate(found.columns):
            name = values.name
            keyed = i < len(found.covers)
            spread_ = _quasi(found, i, cell, kinds[name]) if keyed else _plain(found, i, cell, kinds[name])
            shift = shifts.get(name)
            if spread_ is None:
                why[name] = _WHOLLY if keyed and _wholly(found.covers[i]) else FEW
            columns[name] = {
                "distribution": spread_, "shift": cell.coarse(shift.total_variation, found.records) if shift else None,
                "loss": cell.coarse(lost.columns[name].iloss, found.records) if keyed else 0.0,
                "examples": _examples(found, i, cell, kinds[name]) if keyed else [],
            }  # fmt: skip
        totals = {"loss": lost.loss, "gcp": lost.gcp, "precision": lost.precision, "iloss": lost.iloss,
                  "normalized_entropy": lost.normalized_entropy}  # fmt: skip
        return Shown(
            columns, _correlations(found), {k: cell.coarse(v, found.records) for k, v in totals.items()},
            found.records, found.released, found.suppressed, why,
        )  # fmt: skip


_WHOLLY = "every value is published as *"
FEW = "it would take fewer records than the minimum cell to tell any value from the others"


def _correlations(found: Compared) -> dict[str, Any] | None:
    """How each pair of columns goes together, in the source and in the release."""
    shift = correlation_shift(found)
    names = [values.name for values in found.columns]
    if len(names) < 2:
        return None
    size = range(len(names))
    measure: list[list[str | None]] = [[None for _ in size] for _ in size]
    before, after = ([[1.0 if i == j else None for i in size] for j in size] for _ in range(2))
    largest = 0.0
    for pair in shift.pairs:
        if pair.measure == "spearman":
            continue
        i, j = (names.index(name) for name in pair.columns)
        largest = max(largest, pair.change)
        for a, b in ((i, j), (j, i)):
            measure[a][b], before[a][b], after[a][b] = pair.measure, digits(pair.before, 3), digits(pair.after, 3)
    return {"columns": names, "measure": measure, "before": before, "after": after, "largest_shift": digits(largest, 3)}


# -- distributions -----------------------------------------------------------------------------------------------------


def _quasi(found: Compared, i: int, cell: Cell, family: str) -> dict[str, Any] | None:
    """A quasi-identifier by its published labels where no two share a value, else by what they cover, evenly."""
    cover, published = found.covers[i], found.published(i)
    kept = [label for label in range(len(cover)) if label != cover.everything or published[label]]
    if _wholly(cover):
        return None
    codes = np.concatenate([cover.code[cover.label == label] for label in kept]) if kept else np.zeros(0, dtype=int)
    apart = len(np.unique(codes)) == len(codes)
    raw = cover.values.quantity and (isinstance(cover.recoded.hierarchy, Suppress) or cover.recoded.levels == (0,))
    if not apart or raw or cover.everything in kept:
        return _by_value(found, i, cover.values, spread(cover, published), cell, family)
    before = {label: int(cover.values.records[cover.code[cover.label == label]].sum()) for label in kept}
    lost = int(cover.values.records.sum()) - sum(before.values())
    least, _ = cover.ends()
    order = (
        sorted(kept, key=lambda label: (np.isfinite(least[label]), least[label], label))
        if cover.values.ordered
        else kept
    )
    counts = {label: (before[label], int(published[label])) for label in order}
    return _named(found.labels(i, _frequent(counts, cell)), counts, lost, cover.values.ordered, cell)


def _wholly(cover: Cover) -> bool:
    """Whether every published label is the one that stands for everything."""
    return len(cover) == 1 and cover.everything == 0


def _plain(found: Compared, i: int, cell: Cell, family: str) -> dict[str, Any] | None:
    """A column that is published as it is."""
    values = found.columns[i]
    released = values.released if values.released is not None else np.zeros(len(values), dtype=np.int64)
    return _by_value(found, i, values, released.astype(np.float64), cell, family)


def _by_value(found: Compared, i: int, values: Values, after: Any, cell: Cell, family: str) -> dict[str, Any] | None:
    """Numbers and dates in bins of round width, other values by their names."""
    if values.quantity:
        return numbers_in_bins(values.numbers, values.records, after, cell, dates=family in ("date", "timestamp"))
    counts = {code: (int(n), round(float(m))) for code, (n, m) in enumerate(zip(values.records, after, strict=True))}
    return _named(found.values(i, _frequent(counts, cell)), counts, 0, values.ordered, cell)


def _frequent(counts: Mapping[int, tuple[int, int]], cell: Cell) -> list[int]:
    """The places whose names may be told, the most frequent ones."""
    able = [place for place, (n, m) in counts.items() if cell.enough(n, m) and (n or m)]
    return sorted(able, key=lambda place: -counts[place][0])[:_MOST_NAMES]


def _named(
    names: Mapping[int, str], counts: Mapping[int, tuple[int, int]], lost: int, ordered: bool, cell: Cell
) -> dict[str, Any] | None:
    """Bins by name; `lost` records of the source have no published label."""
    bins = [
        Bin.of(names.get(place, "") or ("missing" if place in names else ""), *pair, cell)
        for place, pair in counts.items()
    ]
    if ordered:
        joined = [*bins, Bin("", "", lost, 0)] if lost else bins
        made = in_order(joined, cell)
    else:
        made = by_size([*bins, Bin("", "", lost, 0)] if lost else bins, cell)
    return distribution(made, cell, ordered=ordered)


def numbers_in_bins(
    numbers: Any, before: Any, after: Any, cell: Cell, *, dates: bool, sourced: bool = True
) -> dict[str, Any] | None:
    """A distribution over bins of round width. Numbers are in their order; NaN is missing."""
    known = ~np.isnan(numbers)
    own, was, now = (np.asarray(x)[known] for x in (numbers, before, after))
    order = np.argsort(own, kind="stable")
    own, was, now = own[order], was[order], now[order]
    missing = (float(np.asarray(before)[~known].sum()), float(np.asarray(after)[~known].sum()))
    at, names = _dates(own, was) if dates else _numbers(own, was)
    if not at:
        return None
    made = by_width(own.tolist(), was.tolist(), now.tolist(), at, names, missing, cell)
    return distribution(made, cell, ordered=True, sourced=sourced)


def distribution(bins: Sequence[Bin], cell: Cell, *, ordered: bool, sourced: bool = True) -> dict[str, Any] | None:
    """Bins as a report tells them; None where there are none, or one that says nothing."""
    if not bins or [one.first for one in bins] in (["all"], ["other"]):
        return None
    before = [cell.count(one.after if cell.few_lost and _few(one, cell) else one.before) for one in bins]
    return {
        "kind": "ordered" if ordered else "nominal", "labels": [one.label for one in bins],
        "before": before if sourced else None,
        "after": [cell.count(one.after) for one in bins],
    }  # fmt: skip


def _few(one: Bin, cell: Cell) -> bool:
    """Whether few records of a bin were left out, which the difference would tell together with the release."""
    return 0 < one.before - one.after < cell.records and cell.enough(one.after) and one.after > 0


def _numbers(own: Any, records: Any) -> tuple[list[float], list[str]]:
    at = edges(own.tolist(), records.tolist())
    return at, [f"{edge:.12g}" for edge in at]


_DAY = 86_400.0


def _dates(own: Any, records: Any) -> tuple[list[float], list[str]]:
    """Edges of dates: days, months, quarters, years or decades, whatever is wide enough for a dozen of them."""
    at = edges(own.tolist(), records.tolist(), bins=12)
    if not at:
        return [], []
    first, last = (
        datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=max(min(x, 2.5e11), -6.2e10)) for x in (at[0], at[-1])
    )
    days = (last - first).total_seconds() / _DAY
    months = next((m for m in (1, 3, 12, 60, 120, 600) if days / (30.4 * m) <= 16), 1200)
    if days < 45:
        return at, [(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=x)).strftime("%Y-%m-%d") for x in at]
    found: list[datetime] = []
    place = (first.year * 12 + first.month - 1) // months * months + months
    while place <= last.year * 12 + last.month - 1 or not found:
        found.append(datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC))
        place += months
    return [(d - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() for d in found], [
        d.strftime("%Y-%m-%d") for d in found
    ]


# -- examples ----------------------------------------------------------------------------------------------------------


def _examples(found: Compared, i: int, cell: Cell, family: str) -> list[dict[str, str]]:
    """Up to three labels that are told, each with one of the next finer level; made from generalizations only."""
    cover, recoded = found.covers[i], found.covers[i].recoded
    if recoded.levels is None or recoded.represent != "label":
        return []
    level = min(recoded.levels)
    if level == 0 or level >= recoded.height:
        return [] if level == 0 else [{"before": "any value", "after": "*"}]
    published = found.published(i)
    counts = {label: (int(cover.mapped[label]), int(published[label])) for label in range(len(cover))}
    often = [label for label in _frequent(counts, cell) if counts[label][1] and label != cover.everything][:3]
    names = found.labels(i, often)
    if level == 1:
        return [{"before": "a single value", "after": names[label]} for label in often if names.get(label)]
    finer: dict[str, tuple[int, str]] = {}
    for below, above, records in found.finer(i, level, family):
        if cell.enough(records) and (records, below) > finer.get(above, (0, "")):
            finer[above] = (records, below)
    pairs = [(finer[names[label]][1], names[label]) for label in often if names.get(label) in finer]
    return [{"before": before, "after": after} for before, after in pairs]
