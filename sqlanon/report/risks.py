"""The risks of a report: classes and their sizes, who could be found, what attacks breach, what can be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlanon.attacks import Outcome, attack
from sqlanon.combinations import Combinations
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, SpecError
from sqlanon.exploring import MOST_FIELDS, explore, subsets
from sqlanon.margins import NUMERIC, margin
from sqlanon.models import ValuePrediction
from sqlanon.prediction import DEFAULT_THRESHOLD, Target, Threshold, cells, records_of
from sqlanon.report.meanings import attack_in_words
from sqlanon.report.minimum import Cell, digits
from sqlanon.report.subjects import Subject
from sqlanon.risk import journalist_of, marketer_of, prosecutor_of

THRESHOLD = 0.2

# Above so many classes, only the observer of all fields is asked what can be predicted.
MOST_CLASSES = 50_000

# Up to so many columns every subset of them is an observer; of more, those of few columns and of nearly all.
_ALL_SUBSETS, _FEW = 5, 2
_MANY = 5_000  # classes, from which on few is one


@dataclass(frozen=True)
class Sizes:
    """How many classes have which size, in records or persons, and the risks that follow."""

    sizes: Mapping[int, int]
    units: str
    scenarios: dict[str, Any]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return sum(self.sizes.values())

    @property
    def total(self) -> int:
        """The records in them (persons, each once per class)."""
        return sum(size * count for size, count in self.sizes.items())

    def with_persons(self, least: int | None, cell: Cell) -> Sizes:
        """Where records were counted and the smallest class is known to have so many persons, the risk in it."""
        if least is None or self.units == "persons":
            return self
        highest = _highest(min(least, min(self.sizes)), cell)
        told = {**self.scenarios, "prosecutor": {**self.scenarios["prosecutor"], "highest": highest}}
        return Sizes(self.sizes, self.units, told)


def sizes(
    engine: Engine, origin: Origin, keys: Sequence[str], entity: str | None, population: Origin | None, cell: Cell
) -> Sizes:
    """Reads a relation once, and its population. Raises `SpecError`, `EngineError`."""
    with Combinations(engine, origin, keys, entity) as found:
        own = found.histogram(keys)
        matched = found.beside(population, where="population") if population is not None else None
    # Persons were counted, so that the minimum cell is one of persons.
    least = Cell(cell.persons, cell.persons, cell.few_lost) if entity else cell
    total = sum(size * count for size, count in own.items())
    scenario = prosecutor_of(own, THRESHOLD)
    told: dict[str, Any] = {
        "prosecutor": {
            "at_risk_share": least.share(scenario.records, total), "highest": _highest(min(own), least),
            "average": _average(sum(own.values()), total, least),
        },
        "journalist": None, "marketer": None, "unique_share": least.share(own.get(1, 0), total),
    }  # fmt: skip
    if matched is not None and not matched.missing:
        journalist = journalist_of(matched, total, THRESHOLD)
        told["journalist"] = {
            "at_risk_share": least.share(journalist.records, total),
            "highest": _highest(round(1 / journalist.highest), least), "average": digits(journalist.average, 3),
        }  # fmt: skip
        told["marketer"] = {"average": digits(float(marketer_of(matched, total)), 3)}
    return Sizes(own, "persons" if entity else "records", told)


def _highest(smallest: int, cell: Cell) -> float | None:
    """The risk in the smallest class; None where that is too small to be told, and so the risk is above 1 ÷ least."""
    return None if smallest < cell.persons else digits(1 / smallest, 4)


def _average(classes: int, total: int, cell: Cell) -> float | None:
    told = cell.count(total)
    return None if not told else digits(min(classes / told, 1.0), 3)


def classes(found: Sizes, cell: Cell) -> dict[str, Any] | None:
    """The sizes of the published classes, in bins that hold no few records."""
    least = Cell(cell.persons, cell.persons, cell.few_lost)
    if least.count(found.total) is None:
        return None
    listed = sorted(found.sizes.items())
    bins = _bins(listed, least)
    half, seen, median = found.classes / 2, 0, listed[-1][0]
    for size, count in listed:
        seen += count
        if seen >= half:
            median = size
            break
    return {
        "smallest": least.size(listed[0][0]), "median": least.size(median),
        "mean": least.mean(found.total, found.classes), "largest": least.size(listed[-1][0]), "bins": bins,
        "units": found.units,
    }  # fmt: skip


def _edges(largest: int) -> list[int]:
    """1, 2, 5, 10, 20, 50 … up to above the largest."""
    found, power = [1], 1
    while found[-1] <= largest:
        found += [2 * power, 5 * power, 10 * power]
        power *= 10
    return found


def _bins(listed: Sequence[tuple[int, int]], cell: Cell) -> list[dict[str, Any]]:
    edges, made = _edges(listed[-1][0]), list[list[int]]()
    for low, high in pairwise(edges):
        inside = [(size, count) for size, count in listed if low <= size < high]
        if not inside:
            continue
        own = [low, high - 1, sum(count for _, count in inside), sum(size * count for size, count in inside)]
        if made and not cell.enough(made[-1][3]):
            made[-1] = [made[-1][0], own[1], made[-1][2] + own[2], made[-1][3] + own[3]]
        else:
            made.append(own)
    if len(made) > 1 and not cell.enough(made[-1][3]):
        last = made.pop()
        made[-1] = [made[-1][0], last[1], made[-1][2] + last[2], made[-1][3] + last[3]]
    return [{"from": low, "to": high, "classes": count, "records": cell.count(n)} for low, high, count, n in made]


# -- attacks -----------------------------------------------------------------------------------------------------------


def attacks(subject: Subject, cell: Cell, predicted: Sequence[Target]) -> list[dict[str, Any]]:
    """The known attacks on the published rows, with their defaults. Raises `SpecError`, `EngineError`."""
    from sqlanon.attacks.catalogue import ValuePrediction as Predicting

    kinds = {found.name: found.family for found in subject.engine.columns(subject.rows)}
    asked = [
        Predicting(column=one.column, margin=float(one.margin.size))
        for one in predicted
        if one.margin is not None and one.margin.unit is None and kinds.get(one.column) in NUMERIC
    ]
    found = attack(
        subject.engine, subject.rows, quasi_identifiers=subject.keys, sensitive=subject.sensitive, attacks=asked,
        every=True, hierarchies=subject.hierarchies, base=_base(subject),
        closed=() if subject.levels is not None else None,
    )  # fmt: skip
    return [_attacked(one, cell) for one in found.outcomes]


def _attacked(one: Outcome, cell: Cell) -> dict[str, Any]:
    reached = one.reached
    records = cell.count(reached.records) if reached else None
    parameters = {k: v for k, v in one.attack.parameters.items() if not isinstance(v, list)}
    counter, reason = one.countered_by, one.reason
    if one.attack.name == "sensitive-variance" and cell.size(getattr(one.attack, "k", None)) is None:
        # Its k is the size of the smallest class, unless one was asked for.
        parameters, counter = {key: v for key, v in parameters.items() if key != "k"}, None
        reason = reason and "needs k: the smallest class is too small to have one"
    return {
        "attack": one.attack.name, "what": attack_in_words(one.attack.name), "column": one.column,
        "parameters": parameters, "ran": reached is not None, "reason": reason, "records": records,
        "share": cell.share(reached.records, one.records) if reached else None,
        "classes": reached.classes if reached and records is not None else None, "breached": one.breached,
        "counter": counter, "paper": one.attack.paper,
    }  # fmt: skip


def _base(subject: Subject) -> Any:
    from pathlib import Path

    return Path(subject.spec.base) if subject.spec else Path()


# -- predictions -------------------------------------------------------------------------------------------------------


def targets(subject: Subject, asked: Mapping[str, str | None]) -> list[Target]:
    """What is asked to be predicted: by hand, by models and `predictions` of the spec, else the sensitive columns.

    Without a margin a guess must be exact. Raises `SpecError` for a column that is not there.
    """
    found: dict[tuple[str, str], Target] = {}
    for name, near in asked.items():
        if name not in subject.sensitive and name not in subject.open:
            raise SpecError("no such published sensitive column", where="--predict", found=name,
                            allowed=(*subject.sensitive, *subject.open))  # fmt: skip
        found[name, str(near)] = Target(name, margin(near) if near else None, Threshold(DEFAULT_THRESHOLD))
    known = [
        m for m in (*subject.models, *(subject.spec.scored if subject.spec else ())) if isinstance(m, ValuePrediction)
    ]
    for model in known:
        if not isinstance(model.limit, str) and model.column in (*subject.sensitive, *subject.open):
            limit = Threshold(model.limit, above=model.above)
            found.setdefault((model.column, str(model.margin)), Target(model.column, model.reach, limit))
    if not found:
        return [Target(name, None, Threshold(DEFAULT_THRESHOLD)) for name in subject.sensitive]
    return list(found.values())


def predictions(
    subject: Subject, wanted: Iterable[Target], cell: Cell, missing: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """What an observer of all quasi-identifiers can predict, in the source and in the published rows."""
    told = []
    for target in wanted:
        try:
            told.append(_predicted(subject, target, cell))
        except (SpecError, EngineError) as error:
            reason = getattr(error, "problem", str(error))
            missing.append({"part": f"value_prediction of {target.column}", "why": str(reason)})
    return told


def _predicted(subject: Subject, target: Target, cell: Cell) -> dict[str, Any]:
    after = explore(subject.engine, subject.rows, target, subject.keys).worst
    before = None
    if subject.before is not None and subject.spec is not None:
        before = explore(subject.engine, subject.before, target, subject.spec.quasi_identifiers).worst
    return {
        "column": target.column, "margin": str(target.margin) if target.margin else "0",
        "threshold": str(target.threshold.constant), "fields": list(after.fields),
        "violations_before": cell.count(before.violations) if before else None,
        "violations_after": cell.count(after.violations),
        "share_before": cell.share(before.violations, before.records) if before else None,
        "share_after": cell.share(after.violations, after.records),
    }  # fmt: skip


def fields(subject: Subject, target: Target, cell: Cell, among: int) -> dict[str, Any]:
    """What observers of subsets of the published columns can predict: of all, or of few and of nearly all columns.

    `whole` says which. Raises `SpecError`, `EngineError`.
    """
    keys = subject.keys
    if len(keys) > MOST_FIELDS:
        raise SpecError(f"more than {MOST_FIELDS} published columns are too many to explore: sqlanon predict --fields")
    if among > MOST_CLASSES:
        raise SpecError(f"more than {MOST_CLASSES:,} classes: sqlanon predict --all-subsets measures every observer")
    whole = len(keys) <= _ALL_SUBSETS
    few = _FEW if among <= _MANY else 1
    wanted = [one for one in subsets(keys) if whole or len(one) <= few or len(one) >= len(keys) - 1]
    with cells(subject.engine, records_of(subject.engine, subject.rows), keys, target) as counted:
        found = sorted((counted.risk(one) for one in wanted), key=lambda risk: (-risk.violations, len(risk.fields)))
    return {
        "column": target.column, "margin": str(target.margin) if target.margin else "0",
        "threshold": str(target.threshold.constant), "whole": whole,
        "subsets": [
            {"fields": list(risk.fields), "violations": cell.count(risk.violations),
             "share": cell.share(risk.violations, risk.records)} for risk in found
        ],
    }  # fmt: skip
