"""Explores which fields make a sensitive value predictable: violations for every subset of them, and each one's cost.

The paper tries what happens when a field is removed (Neumann, Grace, Burns & Surridge 2019, section 6); here all
subsets are measured, because their counts follow no order (reference: models, 3.4), and each field is charged with
what it adds: with all other fields, alone, and on average over all orders in which fields may become known (Shapley's
value, whose sum is the difference between all fields and none).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

from sqlanon import removal, statistics
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.margins import NUMERIC
from sqlanon.prediction import CELLS, Cells, Records, Risk, Target, cells, records_of
from sqlanon.query import column, fragment, table
from sqlanon.removal import Method, Removal
from sqlanon.rules import NAMES, Judged, Known, Number, parse
from sqlanon.shown import Shown
from sqlanon.statistics import Change

# 2 ** 12 windows over the records is what somebody may still want to wait for.
MOST_FIELDS = 12


@dataclass(frozen=True)
class Row:
    """One subset of the fields: its risk and, where removal was asked for, what it costs an observer of just these.

    `moved` are the differences (after less before) of the sensitive column's statistics, where it is a number.
    """

    risk: Risk
    removed: int | None = None
    moved: Mapping[str, Number] | None = None

    def to_dict(self) -> dict[str, Any]:
        moved = {} if self.moved is None else {"moved": dict(self.moved)}
        return {**self.risk.to_dict(), "removed": self.removed, **moved}


@dataclass(frozen=True)
class Cost:
    """Violations that a field brings: `alone` (less none), `last` (all less all others), and on `average`, exactly."""

    field: str
    alone: int
    last: int
    average: Fraction

    def to_dict(self) -> dict[str, Any]:
        return {"field": self.field, "alone": self.alone, "last": self.last, "average": float(self.average)}


@dataclass(frozen=True)
class Explored(Shown):
    """What can be predicted of one column: subsets worst first, the fields' costs, what removal would do, the rules."""

    source: str
    target: Target
    rows: int
    missing: int
    fields: tuple[str, ...]
    subsets: tuple[Row, ...]
    costs: tuple[Cost, ...] = ()
    removal: Removal | None = None
    utility: Change | None = None
    rules: tuple[Judged, ...] = ()

    @property
    def worst(self) -> Risk:
        """The subset with most violations; of several, the one with fewest fields."""
        return self.subsets[0].risk

    @property
    def blocked(self) -> bool:
        """Whether a rule blocks."""
        return any(rule.blocks for rule in self.rules)

    def ask(self, function: str, words: Sequence[str]) -> Number:
        """What a rule asks; see `rules`."""
        worst = self.worst
        if function == "removed":
            return self.removal.removed if self.removal else None
        if function in ("violations", "share", "risk"):
            share = worst.violations / worst.records if worst.records else None
            highest = max((row.risk.highest or 0.0 for row in self.subsets), default=None)
            return {"violations": worst.violations, "share": share, "risk": highest}[function]
        if self.utility is None or function == "policy_violations":
            return 0 if function == "policy_violations" else None
        return told(self.utility, function, *words)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source, "column": self.target.column, "rows": self.rows, "missing": self.missing,
            "margin": str(self.target.margin) if self.target.margin else "0", **self.target.threshold.to_dict(),
            "fields": list(self.fields), "subsets": [row.to_dict() for row in self.subsets],
            "costs": [cost.to_dict() for cost in self.costs],
            "removal": self.removal.to_dict() if self.removal else None,
            "utility": self.utility.to_dict() if self.utility else None,
            "rules": [rule.to_dict() for rule in self.rules], "blocked": self.blocked,
        }  # fmt: skip


def told(utility: Change, function: str, statistic: str, field: str) -> Number:
    """What `before`, `after`, `delta` and `relative` come to; None where the field is no number on both sides."""
    if field not in utility.before:
        return None
    sides = {"before": utility.before, "after": utility.after}
    if function in sides:
        return sides[function][field].get(statistic)
    return (utility.difference if function == "delta" else utility.relative)(statistic, field)


def explore(
    engine: Engine, origin: Origin, target: Target, fields: Sequence[str], *, all_subsets: bool = False,
    remove: Method | None = None, seed: int = 0, original: Origin | None = None, rules: Sequence[str] = (),
    base: Path = Path(),
) -> Explored:  # fmt: skip
    """Measures a table, view, file or frame, for one observer of all fields or for every subset of them.

    Changes nothing: what `remove` would blank is worked out and reported, also to the rules. Statistics are compared
    with those of the `original`, else of the table itself before removal. `base` is the folder of a policy's file.
    Raises `SpecError`, `EngineError`.
    """
    records = records_of(engine, origin, base)
    before = records_of(engine, original) if original else None
    asked = [n for n in (target.column, *fields) if n in records.columns]
    known = Known((target.column,), tuple(asked), (), NAMES)
    parsed = [parse(text, known, "--rule") for text in rules]
    if all_subsets and len(fields) > MOST_FIELDS:
        raise SpecError(
            f"the subsets of more than {MOST_FIELDS} fields are too many", where="fields", found=str(len(fields))
        )
    wanted = subsets(fields) if all_subsets else [tuple(fields)]
    with cells(engine, records, fields, target) as counted:
        was = _described(counted, remove)
        rows = [_row(counted, subset, remove, seed, was) for subset in wanted]
        found, utility = _whole(counted, [row.risk for row in rows], remove, seed, before)
        costs = _costs(fields, {frozenset(row.risk.fields): row.risk.violations for row in rows}) if all_subsets else ()
        rows.sort(key=lambda row: (-row.risk.violations, len(row.risk.fields), wanted.index(row.risk.fields)))
        made = Explored(
            str(origin), target, counted.rows, counted.missing, tuple(fields), tuple(rows), costs, found, utility
        )  # fmt: skip
    return replace(made, rules=tuple(rule.judge(made) for rule in parsed))


def subsets(fields: Sequence[str]) -> list[tuple[str, ...]]:
    """All subsets of the fields, from none to all."""
    return [found for size in range(len(fields) + 1) for found in combinations(fields, size)]


def _described(counted: Cells, remove: Method | None) -> Mapping[str, Number] | None:
    """The statistics of the sensitive column as it is, where it is a number and something may be removed."""
    of = counted.target.column
    if remove is None or counted.records.columns[of].family not in NUMERIC:
        return None
    return statistics.describe(counted.engine, counted.records, [of], ())[of]


def _row(
    counted: Cells, subset: tuple[str, ...], remove: Method | None, seed: int, was: Mapping[str, Number] | None
) -> Row:
    """The risk of one observer, and what removal for this one alone would cost; `was` are the statistics before."""
    risk, of = counted.risk(subset), counted.target.column
    if remove is None:
        return Row(risk)
    removed, now = 0, was
    if risk.violations:
        removed = removal.remove(counted, [subset], remove, seed=seed, known=[risk]).removed
        now = statistics.describe(counted.engine, _after(counted), [of], ())[of] if was is not None else None
        _restore(counted)
    return Row(risk, removed, None if was is None or now is None else statistics.differences(was, now))


def _whole(
    counted: Cells, risks: Sequence[Risk], remove: Method | None, seed: int, before: Records | None
) -> tuple[Removal | None, Change | None]:
    """What removal for all observers together does, whose `risks` are known, and the statistics after it and before."""
    if remove is None and before is None:
        return None, None
    observers = [risk.fields for risk in risks]
    found = removal.remove(counted, observers, remove, seed=seed, known=risks) if remove else None
    compared = [counted.target.column, *counted.fields]
    after = _after(counted) if found else counted.records
    keys = counted.fields if before is None else ()
    return found, statistics.compare(counted.engine, before or counted.records, after, compared, keys)


def _after(counted: Cells) -> Records:
    """The records with what was removed blanked; as the cells stand now."""
    return replace(counted.records, query=removal.blanked(counted), relation="blanked")


def _restore(counted: Cells) -> None:
    """The cells as they were before anything was removed."""
    names = ["value", "infinite", *(node.name for node in counted.thresholds)]
    kept = [*counted.keys(counted.fields), *map(column, names)]
    whole = fragment(
        "select $kept, records + removed as records, cast(0 as bigint) as removed from $cells",
        kept=kept,
        cells=table(CELLS),
    )
    counted.engine.temporary("put the values back", CELLS, whole)


def _costs(fields: Sequence[str], violations: Mapping[frozenset[str], int]) -> tuple[Cost, ...]:
    every, size = frozenset(fields), len(fields)
    costs = []
    for name in fields:
        average = Fraction(0)
        for rest in map(frozenset, subsets([other for other in fields if other != name])):
            weight = Fraction(factorial(len(rest)) * factorial(size - len(rest) - 1), factorial(size))
            average += weight * (violations[rest | {name}] - violations[rest])
        alone = violations[frozenset([name])] - violations[frozenset()]
        costs.append(Cost(name, alone, violations[every] - violations[every - {name}], average))
    return tuple(sorted(costs, key=lambda cost: -cost.average))
