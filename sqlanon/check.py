"""Measures any relation there is: a table, a view, a file, a data frame; released by sqlanon or by somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlanon import query, thresholds
from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.words import plainly
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Order
from sqlanon.measuring import Reference, Rows, arrange, measured
from sqlanon.models import (
    AlphaKAnonymity,
    AverageRisk,
    BalancedPPlusSensitivity,
    BetaLikeness,
    DeltaDisclosure,
    DeltaPresence,
    KAnonymity,
    KEAnonymity,
    KMap,
    LDiversity,
    Model,
    PAlphaSensitivity,
    PPlusSensitivity,
    PSensitivity,
    SampleUniqueness,
    TCloseness,
    ThetaSensitivity,
    Verdict,
    column_of,
    complete,
    guard_of,
    histogram_of_sizes,
    judgement,
    needed,
    verdicts,
)
from sqlanon.plan import NUMBERS, ORDERED, check_column, check_population
from sqlanon.policies import Policy
from sqlanon.presets import expanded
from sqlanon.query import Query, fragment
from sqlanon.shown import Shown
from sqlanon.utility import Against, Utility


@dataclass(frozen=True)
class Check(Shown):
    """What was measured on one relation. `holds` is None where nothing was asked to hold."""

    source: str
    rows: int
    classes: int
    quasi_identifiers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    holds: bool | None
    utility: Utility | None = None
    models: tuple[Model, ...] = ()  # what was measured, in the order of the verdicts

    def to_dict(self) -> dict[str, Any]:
        told = {
            "source": self.source,
            "rows": self.rows,
            "classes": self.classes,
            "quasi_identifiers": list(self.quasi_identifiers),
            "holds": self.holds,
            "models": [v.to_dict() for v in self.verdicts],
        }
        return told | ({"utility": self.utility.to_dict()} if self.utility else {})


def check(
    engine: Engine,
    origin: Origin,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str] = (),
    models: Sequence[Model] = (),
    hierarchies: Mapping[str, Hierarchy] | None = None,
    population: Origin | None = None,
    base: Path = Path(),
    against: Against | None = None,
    policy: Policy | None = None,
) -> Check:
    """Measures a relation; without models, reports every measure there is.

    One pass over its rows per sensitive column (the quasi-identifiers are grouped with each), one more for a column of
    guarding nodes or of sets, and one over the population table. The relation itself is the table that distances
    compare with; `against` its source, its usefulness is told too. A `policy` gives the
    thresholds of value-prediction. Raises `SpecError`, `EngineError`.
    """
    columns = {found.name: found for found in engine.columns(origin)}
    item, known = engine.origin(origin), expanded(models, sensitive)
    if thresholds.asked(known):
        _there(columns, {"--model": [n for m in thresholds.asked(known) for n in (m.column, m.threshold_column) if n]})
        item, columns = thresholds.beside(engine, item, columns, known, policy, base)
    named = [name for model in known for name in (column_of(model), guard_of(model)) if name]
    _there(columns, {"--qi": quasi_identifiers, "--sensitive": sensitive, "--model": named})
    if not quasi_identifiers:
        raise SpecError("at least one quasi-identifier is needed", where="--qi", allowed=columns)
    arranged = dict(hierarchies or {})
    wanted = (
        _complete(expanded(models, sensitive))
        if models
        else _every(columns, sensitive, arranged, population is not None)
    )
    for model in wanted:
        check_column(model, columns, arranged, "--model" if models else "--sensitive")
        if "population" in model.reads and population is None:
            raise SpecError(f"{model.name} needs the population table", where="--population")
    asked = tuple(dict.fromkeys([*quasi_identifiers, *(n for m in wanted for n in (column_of(m), guard_of(m)) if n)]))
    raw = {n for m in wanted if (n := column_of(m)) and (m.requires == "set" or columns[n].family == "float")}
    steps = Query(()).then("source", reading(engine, item, asked, columns, raw), inline=True)
    if population is not None:
        people = {found.name: found for found in engine.columns(population)}
        check_population(quasi_identifiers, columns, people)
        steps = steps.then(
            "people", reading(engine, engine.origin(population), quasi_identifiers, people, raw), inline=True
        )
    found = _measure(
        engine, origin, tuple(quasi_identifiers), wanted, steps, arranged, columns, base, judged=bool(models)
    )
    return replace(found, utility=against.measure(engine, origin, quasi_identifiers, sensitive)) if against else found


def _complete(models: Sequence[Model]) -> tuple[Model, ...]:
    try:
        return complete(models)
    except ValueError as error:
        raise SpecError(str(error), where="--model") from None


def reading(
    engine: Engine, item: str, names: Sequence[str], columns: Mapping[str, Column], raw: Set[str]
) -> query.Text:
    """The columns as people read them; those in `raw` as they are, whose numbers or items are measured."""
    own = {name: engine.rendered(query.identifier(name)) for name in names}
    read = {name: f"s.{own[name]}" if name in raw else plainly(f"s.{own[name]}", columns[name]) for name in names}
    listed = ", ".join(f"{read[name]} AS {own[name]}" for name in names)
    return query.Text(f"SELECT {listed}\nFROM {item} AS s")


def _measure(
    engine: Engine, origin: Origin, keys: tuple[str, ...], wanted: tuple[Model, ...], steps: Query,
    hierarchies: Mapping[str, Hierarchy], columns: Mapping[str, Column], base: Path, *, judged: bool,
) -> Check:  # fmt: skip
    """Runs what was asked, once it is known to make sense."""
    there = any(step.name == "people" for step in steps.steps)
    if there:
        _large_enough(engine, steps)
    references: dict[str, Reference] = {}
    for name in dict.fromkeys(filter(None, map(column_of, wanted))):
        hierarchy = hierarchies.get(name)
        order = hierarchy.values if isinstance(hierarchy, Order) else ()
        rows = hierarchy.rows(base) if hierarchy and not order else None
        made, references[name] = arrange(
            name, needed(wanted), relation="source", order=order, rows=rows, family=columns[name].family,
            type_=columns[name].type,
        )  # fmt: skip
        steps = steps.join(made)
    chain = measured(Rows("source", keys, population="people" if there else None), needed(wanted), references)
    steps = steps.join(chain.query)
    (row,) = engine.run("measure the relation", steps.then("judged", judgement(wanted, chain)))
    sizes = None
    if any(model.estimated for model in wanted):
        counted = engine.run("count the class sizes", steps.then("sizes", histogram_of_sizes(chain)))
        sizes = {int(size): int(classes) for size, classes in counted}
    found = verdicts(wanted, row, sizes, judged=judged)
    holds = all(v.holds for v in found) if judged else None
    return Check(str(origin), int(row[0]), int(row[1]), keys, found, holds, models=tuple(wanted))


def _large_enough(engine: Engine, steps: Query) -> None:
    """Refuses a population table that has fewer records than the relation, which cannot be a sample of it."""
    counted = fragment("select (select count(*) from source), (select count(*) from people)")
    ((records, people),) = engine.run("count the population", steps.then("counted", counted))
    if people < records:
        raise SpecError(
            f"the population table has {people} records, fewer than the {records} of the sample", where="--population"
        )


def _there(columns: Mapping[str, Column], named: Mapping[str, Sequence[str]]) -> None:
    for where, names in named.items():
        for name in names:
            if name not in columns:
                raise SpecError("the relation has no such column", where=where, found=name, allowed=columns)


def _every(
    columns: Mapping[str, Column], sensitive: Sequence[str], arranged: Mapping[str, Hierarchy], population: bool
) -> tuple[Model, ...]:
    """A model for every measure that the columns allow; their bounds are not looked at."""
    found: list[Model] = [KAnonymity(1), AverageRisk(1), SampleUniqueness(1)]
    found += [KMap(1), DeltaPresence(1)] if population else []
    for name in sensitive:
        found += [LDiversity(name, 1, "distinct"), LDiversity(name, 1, "entropy"), LDiversity(name, 2, "recursive", 1)]
        found += [AlphaKAnonymity(name, 1), PSensitivity(name, 1), ThetaSensitivity(name, 1, k=1)]
        hierarchy = arranged.get(name)
        if hierarchy is not None and hierarchy.categories:
            found += [PPlusSensitivity(name, 1), PAlphaSensitivity(name, 1, 0), BalancedPPlusSensitivity(name, 1)]
        if columns[name].family in NUMBERS:
            found.append(KEAnonymity(name, 1, 0))
        found.append(TCloseness(name, 1, "equal"))
        if columns[name].family in ORDERED or isinstance(hierarchy, Order):
            found.append(TCloseness(name, 1, "ordered"))
        if hierarchy is not None and hierarchy.categories:
            found.append(TCloseness(name, 1, "hierarchical"))
        found += [BetaLikeness(name, 1, "basic"), BetaLikeness(name, 1, "enhanced"), DeltaDisclosure(name, 1)]
    return tuple(found)
