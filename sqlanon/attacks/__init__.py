"""The known attacks, run against any relation or release: what they breach, where it starts, and what counters them.

    >>> with sqlanon.connect("duckdb:///clinic.duckdb") as engine:
    ...     found = sqlanon.attack("patients_release", engine=engine)

Attacks on classes share the class × value histogram of their sensitive column: two scans of the quasi-identifiers and
one per sensitive column, whatever is asked (a million records, five quasi-identifiers, two sensitive columns: 1.0 CPU
second, where a GROUP BY of the same columns and one sensitive column takes 0.23; benchmarks/attacks.py). An attack with
a table from outside scans it and the relation once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sqlanon.attacks import classes, outside
from sqlanon.attacks.catalogue import (
    BackgroundKnowledge,
    CategoricalSimilarity,
    DeFinetti,
    Homogeneity,
    Identity,
    KnownDistribution,
    Minimality,
    ProbabilisticInference,
    SensitiveVariance,
    Skewness,
    ValuePrediction,
)
from sqlanon.attacks.composition import Composition, through_cells, through_targets
from sqlanon.attacks.kinds import Attack, Reached, SensitiveAttack, Start, Undecidable
from sqlanon.attacks.matching import side
from sqlanon.attacks.outside import Journalist, Linkage, Membership
from sqlanon.attacks.relations import Known, Relation, Unfit, Workings, workings
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Rows
from sqlanon.reading import parse_call
from sqlanon.shown import Shown

__all__ = ["ATTACKS", "Attack", "Attacked", "Known", "Outcome", "attack", "parse_attack"]

ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (
        Identity, Homogeneity, CategoricalSimilarity, SensitiveVariance, Skewness, BackgroundKnowledge,
        KnownDistribution, ProbabilisticInference, ValuePrediction, Linkage, Journalist, Membership, Composition,
        Minimality, DeFinetti,
    )
}  # fmt: skip


def parse_attack(text: str) -> Attack:
    """An attack as the command line writes it: `skewness(ratio=2)`, `homogeneity`. Raises `SpecError`."""
    return parse_call(text, ATTACKS, "attack")


@dataclass(frozen=True)
class Outcome:
    """What one attack came to. Without `reached` it was not run, and `reason` says what is missing.

    `records` and `classes` are what it is about: those of the relation, or the people of the table from outside.
    """

    attack: Attack
    column: str | None
    records: int
    classes: int
    reached: Reached | None = None
    reason: str | None = None

    @property
    def breached(self) -> bool | None:
        """Whether a record or a class is breached; None where the attack was not run."""
        return None if self.reached is None else self.reached.records > 0 or self.reached.classes > 0

    def to_dict(self) -> dict[str, Any]:
        found, ran = self.reached or Reached(None, 0, 0), self.reached is not None
        return {
            "attack": self.attack.name,
            "column": self.column,
            "parameters": self.attack.parameters,
            "ran": ran,
            "reason": self.reason,
            "breached": self.breached,
            "records": self.records,
            "classes": self.classes,
            "records_breached": found.records if ran else None,
            "classes_breached": found.classes if ran else None,
            "records_share": found.records / self.records if ran and self.records else None,
            "classes_share": found.classes / self.classes if ran and self.classes else None,
            "worst": found.worst,
            "starts": [asdict(start) for start in self.starts],
            "details": dict(found.details),
            "notes": list(found.notes),
            "countered_by": self.countered_by,
            "paper": self.attack.paper,
        }

    @property
    def starts(self) -> tuple[Start, ...]:
        """Where the breach starts."""
        return self.attack.starts(self.reached) if self.reached else ()

    @property
    def countered_by(self) -> str | None:
        """A model, with a bound, that stops the attack."""
        if self.reached:
            return self.attack.countered_by(self.reached.facts)
        return None


@dataclass(frozen=True)
class Attacked(Shown):
    """What all attacks came to on one relation. `breached`: whether one that was run breaches anything."""

    source: str
    rows: int
    classes: int
    quasi_identifiers: tuple[str, ...]
    sensitive: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    @property
    def breached(self) -> bool:
        return any(outcome.breached for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "rows": self.rows,
            "classes": self.classes,
            "quasi_identifiers": list(self.quasi_identifiers),
            "sensitive": list(self.sensitive),
            "breached": self.breached,
            "attacks": [outcome.to_dict() for outcome in self.outcomes],
            "notes": list(self.notes),
        }


def attack(
    engine: Engine,
    origin: Origin,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str] = (),
    attacks: Sequence[Attack] = (),
    every: bool = False,
    hierarchies: Mapping[str, Hierarchy] | None = None,
    external: Known | None = None,
    population: Known | None = None,
    others: Sequence[Known] = (),
    base: Path = Path(),
    closed: Collection[str] | None = None,
) -> Attacked:
    """Runs attacks against a relation; without `attacks` all of them, with `every` all others too, with their defaults.

    `hierarchies`: of sensitive columns, for their categories, and of quasi-identifiers, for what labels hold.
    `closed`: those whose published bounds are both in what they hold; without it all are read so whose hierarchy is not
    given. `external`: people with names; `population`: everybody; `others`: further releases of the same source.
    Classes count records, also where one person has several. What was asked for by name and cannot be run is an error;
    of all attacks, those that cannot be run say what is missing. Raises `SpecError`, `EngineError`.
    """
    given = hierarchies or {}
    half_open = frozenset(name for name, hierarchy in given.items() if hierarchy.has_bounds)
    relation = Relation.of(engine, origin, "source", closed, half_open)
    relation.require(list(quasi_identifiers), "--qi")
    relation.require(list(sensitive), "--sensitive")
    relation.require([name for one in attacks if (name := getattr(one, "column", None))], "--attack")
    if not quasi_identifiers:
        raise SpecError("at least one quasi-identifier is needed", where="--qi", allowed=relation.columns)
    keys = tuple(dict.fromkeys(quasi_identifiers))
    whole = classes.sizes(relation, keys)
    if not whole.records:
        raise SpecError("the relation holds no record", where="source")
    rows = {name: found for name, h in given.items() if (found := h.rows(base)) is not None}
    categories = frozenset(name for name in rows if given[name].categories)
    learnt = tuple(dict.fromkeys(sensitive))
    setting = _Setting(engine, relation, keys, learnt, rows, categories, whole, external, population, tuple(others))
    asked = list(dict.fromkeys(one for named in attacks for one in setting.spread(named)))
    names = {one.name for one in attacks}
    more = [one for one in setting.defaults() if one.name not in names] if every or not attacks else []
    outcomes = _run(setting, [(one, True) for one in asked] + [(one, False) for one in more])
    places = {name: place for place, name in enumerate(ATTACKS)}
    told = tuple(sorted(outcomes, key=lambda outcome: places[outcome.attack.name])) if more else tuple(outcomes)
    return Attacked(str(origin), whole.records, whole.classes, keys, setting.sensitive, told)


@dataclass(frozen=True)
class _Setting:
    """What the attacks are run on, and what they have."""

    engine: Engine
    relation: Relation
    keys: tuple[str, ...]
    sensitive: tuple[str, ...]
    rows: Mapping[str, Rows]
    categories: frozenset[str]
    whole: classes.Sizes
    external: Known | None
    population: Known | None
    others: tuple[Known, ...]

    def defaults(self) -> Iterator[Attack]:
        """Every attack with its defaults."""
        for kind in ATTACKS.values():
            yield from self.spread(kind())
        if self.external:
            yield from self.spread(Composition(through="targets"))

    def spread(self, given: Attack) -> Iterator[Attack]:
        """One attack per sensitive column where it is about one and names none, with the k of the relation."""
        named = any(f.name == "column" for f in fields(given))  # type: ignore[arg-type]
        spread = [given]
        if named and getattr(given, "column", None) is None and self.sensitive:
            spread = [replace(given, column=name) for name in self.sensitive]  # type: ignore[type-var]
        for one in spread:
            own = isinstance(one, SensitiveVariance) and one.k is None and self.whole.smallest > 1
            yield replace(one, k=self.whole.smallest) if own else one  # type: ignore[type-var]

    def lacks(self, one: Attack) -> str | None:
        """What the attack needs and there is not."""
        column = getattr(one, "column", None)
        there = {
            "sensitive": column is not None,
            "hierarchy": column in self.categories,
            "external": self.external is not None,
            "population": self.population is not None,
            "others": bool(self.others),
        }
        for need in one.needs:
            if not there[need]:
                return _NEEDS[need].format(column=column)
        if isinstance(one, CategoricalSimilarity) and one.level >= len(self.rows[one.of][0]) - 1:
            return f"level {one.level} of the hierarchy of {one.of!r} holds everything"
        if isinstance(one, SensitiveVariance) and one.k is None:
            return "needs k: the smallest class has one record, and theta(1) is 0"
        if isinstance(one, ValuePrediction):
            family = self.relation.columns[one.of].family
            if family not in classes.NUMBERS:
                return f"needs numbers or dates, and {one.of!r} is {family}"
            if one.margin is None:
                return "needs a margin, in the unit of the column: value-prediction(margin=5)"
        return None


_NEEDS = {
    "sensitive": "needs a sensitive column (--sensitive)",
    "hierarchy": "needs the hierarchy of {column!r}, for its categories (--hierarchy)",
    "external": "needs an external table that names people (--external)",
    "population": "needs a population table (--population)",
    "others": "needs another release of the same source (--with)",
}


def _run(setting: _Setting, asked: Sequence[tuple[Attack, bool]]) -> list[Outcome]:
    """Runs what can be run, those on one sensitive column together; what was asked by name must run."""
    came = dict[Attack, Reached | str]()
    able = list[Attack]()
    for one, _ in asked:
        reason = one.sentence if isinstance(one, Undecidable) else setting.lacks(one)
        if reason:
            came[one] = reason
        else:
            able.append(one)
    for together in _together(able):
        came |= zip(together, _reach(setting, together), strict=True)
    for one, by_name in asked:
        told = came[one]
        if by_name and isinstance(told, str) and not isinstance(one, Undecidable):
            raise SpecError(told, where=str(one))
    return [_outcome(setting, one, came[one]) for one, _ in asked]


def _together(able: Sequence[Attack]) -> list[tuple[Attack, ...]]:
    """The attacks that share a statement: those on the classes by one sensitive column."""
    groups: dict[object, list[Attack]] = {}
    for one in able:
        groups.setdefault(one.of if isinstance(one, SensitiveAttack) else one, []).append(one)
    return [tuple(group) for group in groups.values()]


def _reach(setting: _Setting, together: Sequence[Attack]) -> list[Reached | str]:
    """What attacks came to; a sentence where one cannot be run on these relations."""
    first = together[0]
    if isinstance(first, SensitiveAttack):
        sharing = [one for one in together if isinstance(one, SensitiveAttack)]
        return classes.reach(sharing, setting.relation, setting.keys, first.of, setting.rows.get(first.of))
    try:
        if isinstance(first, Identity):
            return [classes.identity(first, setting.relation, setting.keys)]
        with workings(setting.engine) as work:
            return [_compose(first, setting, work) if isinstance(first, Composition) else _meet(first, setting, work)]
    except Unfit as error:
        return [str(error)]


def _meet(one: Attack, setting: _Setting, work: Workings) -> Reached:
    """An attack with an external or a population table."""
    linking = isinstance(one, Linkage)
    known, where = (setting.external, "--external") if linking else (setting.population, "--population")
    if known is None:
        raise ValueError(f"{one.name} needs {where}")
    other = Relation.of(setting.engine, known.origin, where)
    cells = setting.relation.cells(setting.keys)
    met = outside.meet(work, setting.relation, cells, known, other, setting.rows)
    if isinstance(one, Linkage):
        return outside.linkage(one, met, truth=known.person is not None)
    if isinstance(one, Journalist):
        return outside.journalist(one, met)
    if isinstance(one, Membership):
        return outside.membership(one, met)
    raise TypeError(f"{one.name} is no attack with a table from outside")


def _compose(one: Composition, setting: _Setting, work: Workings) -> Reached:
    """The relation and all other releases together."""
    cells = setting.relation.cells(setting.keys)
    sides = [side(work, setting.relation, cells, labelled=True, more=one.column)]
    for number, known in enumerate(setting.others, start=1):
        ends = (known.closed, setting.relation.half_open)
        other = Relation.of(setting.engine, known.origin, f"--with ({number})", *ends)
        if one.column not in other.columns:
            raise Unfit(f"{known.origin} has no column {one.column!r}", where=other.where)
        names = known.quasi_identifiers or tuple(name for name in setting.keys if name in other.columns)
        own = dict(known.columns) or other.cells(names)
        sides.append(side(work, other, own, labelled=True, more=one.column))
    if one.through == "cells":
        return through_cells(one, work, sides, setting.rows)
    if setting.external is None:
        raise ValueError("targets need an external table")
    outer = Relation.of(setting.engine, setting.external.origin, "--external")
    all_cells = {name: cell for one in sides for name, cell in one.cells.items()}
    columns = outside.shared(setting.external, outer, all_cells, "--external-qi")
    people = side(work, outer, columns, labelled=False)
    return through_targets(one, work, people, sides, setting.rows)


def _outcome(setting: _Setting, one: Attack, came: Reached | str) -> Outcome:
    column, records, among = getattr(one, "column", None), setting.whole.records, setting.whole.classes
    if isinstance(came, str):
        return Outcome(one, column, records, among, reason=came)
    records = records if came.records_in is None else came.records_in
    among = among if came.classes_in is None else came.classes_in
    return Outcome(one, column, records, among, came)
