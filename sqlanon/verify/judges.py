"""Every model by its definition, with numpy over what was read back: dense where the planner is sparse.

A judge gives a value per class (one for the whole table) and which classes hold.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from itertools import accumulate, combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlanon.hierarchies import STAR
from sqlanon.models import (
    TOLERANCE,
    AlphaKAnonymity,
    AverageRisk,
    BalancedPPlusSensitivity,
    BetaLikeness,
    DeltaDisclosure,
    DeltaPresence,
    EpsilonMAnonymity,
    ExtendedPSensitivity,
    KAnonymity,
    KEAnonymity,
    KMAnonymity,
    KMap,
    LDiversity,
    Model,
    MUniqueness,
    PAlphaSensitivity,
    PersonalisedPrivacy,
    PPlusSensitivity,
    PSensitivity,
    SafePub,
    SampleUniqueness,
    TCloseness,
    ThetaSensitivity,
    ValuePrediction,
    exact,
)
from sqlanon.udfs import earth_mover
from sqlanon.verify import predictions
from sqlanon.verify.evidence import Evidence, Floats, Histogram, Ints

_Judged = tuple[Floats, NDArray[np.bool_]]


def _k_anonymity(model: KAnonymity, evidence: Evidence) -> _Judged:
    return evidence.persons.astype(float), evidence.persons >= model.k


def _l_diversity(model: LDiversity, evidence: Evidence) -> _Judged:
    cells = evidence.cells
    if model.kind == "distinct":
        distinct = np.bincount(cells.classes)
        return distinct.astype(float), distinct >= model.l
    if model.kind == "entropy":
        share = cells.counts / cells.sizes[cells.classes]
        nats = evidence.per_class(-share * np.log(share))
        return np.exp(nats), nats >= math.log(model.l) - 1e-12
    pairs = [(int(ranked[0]), int(ranked[int(model.l) - 1 :].sum())) for ranked, _ in evidence.ranked()]
    c = exact(model.c or 0)
    values = np.array([top / tail if tail else math.inf for top, tail in pairs])
    return values, np.array([top * c.denominator < c.numerator * tail for top, tail in pairs], dtype=bool)


def _alpha_k(model: AlphaKAnonymity, evidence: Evidence) -> _Judged:
    cells, alpha = evidence.cells, exact(model.alpha)
    listed = np.array([not model.values or label in model.values for label in cells.labels])
    top = np.zeros(len(cells.sizes), dtype=np.int64)
    np.maximum.at(top, cells.classes, np.where(listed[cells.values], cells.counts, 0))
    holds = top * alpha.denominator <= alpha.numerator * cells.sizes
    if model.k:
        holds = holds & (evidence.persons >= model.k)
    return top / cells.sizes, holds


def _t_closeness(model: TCloseness, evidence: Evidence) -> _Judged:
    cells, table = evidence.cells, evidence.cells.table
    placed = {"hierarchical": _in_tree, "ordered": _in_order}.get(model.distance, lambda _: True)
    if (table == 0).any() or not placed(evidence):
        return np.full(len(cells.sizes), np.nan), np.zeros(len(cells.sizes), dtype=bool)
    if model.distance == "equal":
        found = [earth_mover.equal(block, table) for block in evidence.dense()]
    elif model.distance == "ordered":
        order = _order(evidence)
        found = [earth_mover.ordered(block[:, order], table[order]) for block in evidence.dense()]
    else:
        parents = _parents(evidence)
        found = [earth_mover.hierarchical(block, table, parents) for block in evidence.dense()]
    distances = np.concatenate(found) if found else np.empty(0)
    return distances, distances <= model.t + 1e-12


def _order(evidence: Evidence) -> Ints:
    given = evidence.published.orders.get(evidence.column, ())
    place = {value: number for number, value in enumerate(given)}
    numbers = range(len(evidence.cells.labels))
    if not given:
        return np.array(numbers, dtype=np.int64)
    return np.array(sorted(numbers, key=lambda n: place.get(str(evidence.cells.labels[n]), -1)), dtype=np.int64)


def _in_order(evidence: Evidence) -> bool:
    given = evidence.published.orders.get(evidence.column, ())
    return not given or all(label is None or label in given for label in evidence.cells.labels)


def _in_tree(evidence: Evidence) -> bool:
    known = {row[0] for row in evidence.published.trees[evidence.column]}
    return all(label is None or label in known for label in evidence.cells.labels)


def _parents(evidence: Evidence) -> list[Ints]:
    """For each level, the number of each node's parent; missing values hang under the root by themselves."""
    rows = evidence.published.trees[evidence.column]
    height = len(rows[0]) - 1
    parents: list[Ints] = []
    nodes: list[str | None] = list(evidence.cells.labels)
    for level in range(height):
        above = {row[level]: row[level + 1] for row in rows}
        upper = [None if node is None else above[node] for node in nodes]
        distinct: list[str | None] = list(dict.fromkeys(upper)) if level + 1 < height else [STAR]
        number = {label: i for i, label in enumerate(distinct)}
        parents.append(np.array([number[label] if level + 1 < height else 0 for label in upper], dtype=np.int64))
        nodes = distinct
    return parents


def _beta(model: BetaLikeness, evidence: Evidence) -> _Judged:
    cells = evidence.cells
    table = cells.table[cells.values] / max(cells.table.sum(), 1)
    share = cells.counts / cells.sizes[cells.classes]
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (share - table) / table
        limit = -np.log(table)
    if model.kind == "enhanced":
        gain = np.where(gain <= limit + 1e-12, gain, np.inf)
    worst = np.full(len(cells.sizes), -np.inf)
    np.maximum.at(worst, cells.classes, gain)
    broken = gain > model.beta
    near = np.isfinite(gain) & (np.abs(gain - model.beta) <= 1e-6 * (1 + model.beta))
    broken[near] = [_gains(cells, int(cell), exact(model.beta) + TOLERANCE) for cell in np.flatnonzero(near)]
    return worst, evidence.per_class(broken.astype(float)) == 0


def _gains(cells: Histogram, cell: int, beta: Fraction) -> bool:
    """Whether a cell's share gains more than beta, in whole numbers."""
    table, records = int(cells.table[cells.values[cell]]), int(cells.sizes[cells.classes[cell]])
    surplus = int(cells.counts[cell]) * int(cells.table.sum()) - table * records
    return surplus * beta.denominator > table * records * beta.numerator


def _average_risk(model: AverageRisk, evidence: Evidence) -> _Judged:
    classes, persons = len(evidence.persons), int(evidence.persons.sum())
    if not classes:
        return np.empty(0), np.empty(0, dtype=bool)
    risk = exact(model.risk)
    return np.array([classes / persons]), np.array([classes * risk.denominator <= risk.numerator * persons])


def _small_classes(m: int, share: float, evidence: Evidence) -> _Judged:
    persons = evidence.persons
    if not len(persons):
        return np.empty(0), np.empty(0, dtype=bool)
    small, everyone, limit = int(persons[persons < m].sum()), int(persons.sum()), exact(share)
    return np.array([small / everyone]), np.array([small * limit.denominator <= limit.numerator * everyone])


def _m_uniqueness(model: MUniqueness, evidence: Evidence) -> _Judged:
    return _small_classes(model.m, model.share, evidence)


def _sample_uniqueness(model: SampleUniqueness, evidence: Evidence) -> _Judged:
    return _small_classes(2, model.share, evidence)


def _k_map(model: KMap, evidence: Evidence) -> _Judged:
    people, _ = evidence.population
    return people.astype(float), people >= model.k


def _delta_presence(model: DeltaPresence, evidence: Evidence) -> _Judged:
    people, _ = evidence.population
    least, most = exact(model.minimum), exact(model.maximum)
    with np.errstate(divide="ignore", invalid="ignore"):
        presence = np.where(people > 0, evidence.records / people, np.nan)
    pairs = zip(evidence.records.tolist(), people.tolist(), strict=True)
    return presence, np.array([n > 0 and least <= Fraction(r, n) <= most for r, n in pairs], dtype=bool)


def _everyone_present(model: Model, evidence: Evidence) -> bool:
    """Whether no population class is without a released record, where a minimum presence above 0 forbids that."""
    people, everywhere = evidence.population
    return not (isinstance(model, DeltaPresence) and model.minimum > 0) or int((people > 0).sum()) == everywhere


def _k_m(model: KMAnonymity, evidence: Evidence) -> _Judged:
    supports: Counter[tuple[str, ...]] = Counter()
    for value, records in evidence.sets:
        listed = value.split(model.separator) if isinstance(value, str) and model.separator else value or ()
        items = sorted({str(item) for item in listed if item is not None and str(item) != ""})
        for size in range(1, model.m + 1):
            for chosen in combinations(items, size):
                supports[chosen] += records
    if not supports:
        return np.empty(0), np.empty(0, dtype=bool)
    least = min(supports.values())
    return np.array([float(least)]), np.array([least >= model.k])


def _at_least(counts: Floats | Ints, least: int, k: int | None, evidence: Evidence) -> _Judged:
    holds = np.asarray(counts) >= least
    return np.asarray(counts, dtype=float), holds & (evidence.persons >= k) if k else holds


def _p_sensitivity(model: PSensitivity, evidence: Evidence) -> _Judged:
    return _at_least(np.bincount(evidence.cells.classes), model.p, model.k, evidence)


def _categories(evidence: Evidence, group: Mapping[str, str]) -> list[Counter[str | None] | None]:
    """Per class, the records of each group of values; None where a value has no group."""
    cells = evidence.cells
    found: list[Counter[str | None] | None] = [Counter() for _ in cells.sizes]
    for number, value, records in zip(
        cells.classes.tolist(), cells.values.tolist(), cells.counts.tolist(), strict=True
    ):
        label, here = cells.labels[value], found[number]
        if label is not None and label not in group:
            found[number] = None
        elif here is not None:
            here[None if label is None else group[label]] += records
    return found


def _at_level(evidence: Evidence, level: int) -> dict[str, str]:
    return {row[0]: row[level] for row in evidence.published.trees[evidence.column]}


def _p_plus(model: PPlusSensitivity, evidence: Evidence) -> _Judged:
    found = _categories(evidence, _at_level(evidence, model.level))
    return _at_least(np.array([np.nan if c is None else len(c) for c in found]), model.p, model.k, evidence)


def _extended_p(model: ExtendedPSensitivity, evidence: Evidence) -> _Judged:
    rows = evidence.published.trees[evidence.column]
    group = {row[0]: next((label for label in row if label in model.protected), row[0]) for row in rows}
    found = _categories(evidence, group)
    return _at_least(np.array([np.nan if c is None else len(c) for c in found]), model.p, model.k, evidence)


def _balanced(model: BalancedPPlusSensitivity, evidence: Evidence) -> _Judged:
    found = _categories(evidence, _at_level(evidence, model.level))
    off = np.array([np.nan if c is None else max(c.values()) - min(c.values()) for c in found])
    enough = np.array([c is not None and len(c) >= model.p for c in found], dtype=bool) & (off <= model.b)
    return off, enough & (evidence.persons >= model.k) if model.k else enough


def _p_alpha(model: PAlphaSensitivity, evidence: Evidence) -> _Judged:
    cells, group, alpha = evidence.cells, _at_level(evidence, model.level), exact(model.alpha)
    place = {label: i for i, label in enumerate(dict.fromkeys(group.values()))}
    steps = len(place) - 1
    weights = np.array([np.nan if v is not None and v not in group else 0 if v is None else place[group[v]]
                        for v in cells.labels])  # fmt: skip
    total = evidence.per_class(weights[cells.values] * (cells.counts if model.weight == "record" else 1))
    if steps <= 0:
        return np.full(len(total), np.nan), np.zeros(len(total), dtype=bool)
    heavy = np.array([math.isfinite(w) and Fraction(int(w), steps) >= alpha for w in total], dtype=bool)
    holds = heavy & (np.bincount(cells.classes) >= model.p)
    return total / steps, holds & (evidence.persons >= model.k) if model.k else holds


def _theta(model: ThetaSensitivity, evidence: Evidence) -> _Judged:
    mu, values, holds = exact(model.mu), [], []
    for counts, _ in evidence.ranked():
        frequencies = counts.tolist()
        n = sum(frequencies)
        mean = Fraction(sum(i * f for i, f in enumerate(frequencies, 1)), n)
        variance = Fraction(sum(i * i * f for i, f in enumerate(frequencies, 1)), n) - mean * mean
        size = n if model.theta == "n" else model.k or 1
        full = Fraction(size * size - 1, 12)
        holds.append(variance >= mu * full)
        values.append(float(variance) if model.theta == "k" else float(variance / full) if full else 1.0)
    return np.array(values), np.array(holds, dtype=bool)


def _theta_details(_: Model, evidence: Evidence) -> dict[str, float | None]:
    cells = evidence.cells
    top = np.zeros(len(cells.sizes), dtype=np.int64)
    np.maximum.at(top, cells.classes, cells.counts)
    return {
        "worst_confidence": float((top / cells.sizes).max()), "least_distinct": float(np.bincount(cells.classes).min())
    }  # fmt: skip


_TEN_DIGITS = Decimal("1e-10")


def _numbers(evidence: Evidence) -> list[Decimal | None]:
    """The values as numbers of ten decimals, dates as days; None for what is none."""
    return [_number(label) for label in evidence.cells.labels]


def _number(label: str | None) -> Decimal | None:
    if label is None:
        return None
    try:
        number = Decimal(label)
    except InvalidOperation:
        return Decimal(date.fromisoformat(label).toordinal()) if re.fullmatch(r"\d{4}-\d\d-\d\d", label) else None
    if not number.is_finite() or abs(number) >= Decimal(10) ** 18:
        return None
    with localcontext(prec=60):
        return number.quantize(_TEN_DIGITS, ROUND_HALF_UP)


def _by_class(evidence: Evidence) -> list[list[tuple[Decimal | None, int]]]:
    """Per class, its numbers with their records."""
    cells, numbers = evidence.cells, _numbers(evidence)
    found: list[list[tuple[Decimal | None, int]]] = [[] for _ in cells.sizes]
    for number, value, records in zip(
        cells.classes.tolist(), cells.values.tolist(), cells.counts.tolist(), strict=True
    ):
        found[number].append((numbers[value], records))
    return found


def _k_e(model: KEAnonymity, evidence: Evidence) -> _Judged:
    least, spans = Decimal(repr(model.e)), []
    for pairs in _by_class(evidence):
        present = [number for number, _ in pairs if number is not None]
        spans.append(max(present) - min(present) if present else None)
    distinct = np.bincount(evidence.cells.classes, minlength=len(spans)) if spans else np.empty(0)
    holds = np.array(
        [s is not None and s >= least and d >= model.k for s, d in zip(spans, distinct, strict=True)], dtype=bool
    )
    return np.array([np.nan if s is None else float(s) for s in spans]), holds


def _epsilon_m(model: EpsilonMAnonymity, evidence: Evidence) -> _Judged:
    epsilon, near = Decimal(repr(model.epsilon)), []
    for pairs in _by_class(evidence):
        ordered = sorted((n, records) for n, records in pairs if n is not None)
        values, counts = [n for n, _ in ordered], [0, *accumulate(records for _, records in ordered)]
        most = sum(records for n, records in pairs if n is None)
        with localcontext(prec=60):
            for value in values:
                margin = epsilon if model.kind == "absolute" else epsilon * abs(value)
                inside = counts[bisect_right(values, value + margin)] - counts[bisect_left(values, value - margin)]
                most = max(most, inside)
        near.append(most)
    sizes = evidence.cells.sizes
    holds = np.array([n * model.m <= size for n, size in zip(near, sizes.tolist(), strict=True)], dtype=bool)
    return np.array(near) / sizes if near else np.empty(0), holds


def _personalised(model: PersonalisedPrivacy, evidence: Evidence) -> _Judged:
    rows = evidence.published.trees[evidence.column]
    under: dict[str, set[str]] = {}
    for row in rows:
        for label in row:
            under.setdefault(label, set()).add(row[0])
    cells = evidence.cells
    members: list[list[tuple[str | None, int]]] = [[] for _ in cells.sizes]
    for number, value, records in zip(
        cells.classes.tolist(), cells.values.tolist(), cells.counts.tolist(), strict=True
    ):
        members[number].append((cells.labels[value], records))
    worst = [0.0] * len(members)
    for number, guard in evidence.guards or ():
        worst[number] = max(worst[number], _breach(members[number], guard, under), key=lambda x: (math.isnan(x), x))
    for number, pairs in enumerate(members):
        if any(label is not None and label not in under for label, _ in pairs):
            worst[number] = math.nan
    breaches = np.array(worst)
    return breaches, breaches <= model.breach + 1e-12


def _breach(members: list[tuple[str | None, int]], guard: str | None, under: Mapping[str, set[str]]) -> float:
    """The share of a class's records that lie under a guarding node."""
    if guard is None:
        return 0.0
    if guard not in under:
        return math.nan
    covered = sum(
        records * len(under[label] & under[guard]) / len(under[label])
        for label, records in members
        if label is not None and label in under
    )
    return covered / sum(records for _, records in members)


def _delta_disclosure(model: DeltaDisclosure, evidence: Evidence) -> _Judged:
    cells, present = evidence.cells, np.bincount(evidence.cells.classes)
    if (cells.table == 0).any():
        return np.full(len(cells.sizes), np.inf), np.zeros(len(cells.sizes), dtype=bool)
    share, table = cells.counts / cells.sizes[cells.classes], cells.table[cells.values] / cells.table.sum()
    worst = np.zeros(len(cells.sizes))
    np.maximum.at(worst, cells.classes, np.abs(np.log2(share / table)))
    worst[present < len(cells.table)] = np.inf
    return worst, worst < model.delta - 1e-12


def _safepub(model: SafePub, evidence: Evidence) -> _Judged:
    return evidence.persons.astype(float), evidence.persons >= model.k


JUDGES: dict[type[Model], Callable[[Any, Evidence], _Judged]] = {
    KAnonymity: _k_anonymity,
    KMap: _k_map,
    KMAnonymity: _k_m,
    AverageRisk: _average_risk,
    SampleUniqueness: _sample_uniqueness,
    MUniqueness: _m_uniqueness,
    DeltaPresence: _delta_presence,
    LDiversity: _l_diversity,
    AlphaKAnonymity: _alpha_k,
    PSensitivity: _p_sensitivity,
    PPlusSensitivity: _p_plus,
    PAlphaSensitivity: _p_alpha,
    ExtendedPSensitivity: _extended_p,
    BalancedPPlusSensitivity: _balanced,
    ThetaSensitivity: _theta,
    KEAnonymity: _k_e,
    EpsilonMAnonymity: _epsilon_m,
    PersonalisedPrivacy: _personalised,
    TCloseness: _t_closeness,
    BetaLikeness: _beta,
    DeltaDisclosure: _delta_disclosure,
    SafePub: _safepub,
    ValuePrediction: predictions.judge,
}

# What must be true of the classes together, and what else is told of them.
WHOLE: dict[type[Model], Callable[[Any, Evidence], bool]] = {
    DeltaPresence: _everyone_present, ValuePrediction: lambda model, evidence: not predictions.most(model, evidence),
}  # fmt: skip
WHOLE_ROWS: dict[type[Model], Callable[[Any, Evidence], int]] = {ValuePrediction: predictions.most}
DETAILS: dict[type[Model], Callable[[Any, Evidence], dict[str, float | None]]] = {
    ThetaSensitivity: _theta_details, ValuePrediction: predictions.details,
}  # fmt: skip

# Models that look at each quasi-identifier apart.
PLACED: frozenset[type[Model]] = frozenset({ValuePrediction})
