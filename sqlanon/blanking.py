"""Removal as a step of a release: sensitive cells that somebody could predict are blanked before anything is judged.

A model `value-prediction` with `remove` takes no part in the search for the least loss: whatever is published, its
cells are blanked until no observer that the model speaks of has a violation (`removal`). That is done in a working
copy of the released rows, from which they are judged and published; only the cell is blanked, never the record. All
other models are judged after it, so that one of the same column (l-diversity, t-closeness) may refuse what is left:
a blank is a value of its own to them, and to a distance one that the source may lack.

*Leaves*: as `removal`: that a value is missing tells that it was easy to predict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlanon import removal
from sqlanon.engines import Engine, Origin
from sqlanon.exploring import subsets
from sqlanon.measuring import Rows, measured
from sqlanon.models import KAnonymity, ValuePrediction, Verdict, histogram_of_sizes, judgement, needed, verdicts
from sqlanon.plan import Plan
from sqlanon.prediction import Target, Threshold, cells, records_of
from sqlanon.spec import Spec

STAGED = "sqlanon staged"


@dataclass(frozen=True)
class Blanked:
    """What removal did for one model: Nv, the `violations` of who found most before it, and Rv, the cells `removed`.

    `values` are the cells that were there before.
    """

    model: ValuePrediction
    violations: int
    removed: int
    values: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "column": self.model.column, "method": self.model.remove, "violations": self.violations,
            "removed": self.removed, "values": self.values,
        }  # fmt: skip

    def __str__(self) -> str:
        share = self.removed / self.values if self.values else 0
        return (
            f"{self.removed:,} of {self.values:,} values of {self.model.column} ({share:.1%}) are blanked, for"
            f" {self.violations:,} violations ({self.model.remove})"
        )


def searched(spec: Spec) -> Spec:
    """The spec as the search reads it: without the models that blank what they do not allow."""
    others = tuple(m for m in spec.privacy if not (isinstance(m, ValuePrediction) and m.remove))
    blanked = tuple(m for m in spec.privacy if m not in others)
    return replace(spec, privacy=others or (KAnonymity(1),), blanked=blanked) if blanked else spec


def stage(engine: Engine, plan: Plan, name: str = STAGED) -> tuple[Blanked, ...]:
    """A working copy of the released rows with what models need beside them, its cells blanked where that was asked.

    Raises `SpecError`, `EngineError`.
    """
    engine.temporary("stage the release", name, plan.staged)
    found: list[Blanked] = []
    for of in dict.fromkeys(model.column for model in plan.source.blanked):
        found += _free(engine, plan, name, [model for model in plan.source.blanked if model.column == of])
    return tuple(found)


@contextmanager
def staged(engine: Engine, plan: Plan, name: str = STAGED) -> Iterator[tuple[Blanked, ...]]:
    """The working copy for as long as it is needed."""
    try:
        yield stage(engine, plan, name)
    finally:
        engine.drop_temporary(name)


def _free(engine: Engine, plan: Plan, name: str, models: Sequence[ValuePrediction]) -> list[Blanked]:
    """Blanks one column until no model of it has a violation: what is blanked for one may bring violations of another.

    Each turn blanks at least one cell, and a column without values has no violation.
    """
    found = {model: _remove(engine, plan, name, model) for model in models}
    turn = list(found.values())
    while len(models) > 1 and any(one.removed for one in turn):
        turn = [_remove(engine, plan, name, model) for model in models]
        found = {one.model: replace(found[one.model], removed=found[one.model].removed + one.removed) for one in turn}
    return list(found.values())


def _remove(engine: Engine, plan: Plan, name: str, model: ValuePrediction) -> Blanked:
    records, fields = records_of(engine, Origin(relation=name)), plan.keys
    observers = subsets(fields) if model.observer == "any" else [fields]
    with cells(engine, records, fields, target(model)) as counted:
        made = removal.remove(counted, observers, model.remove or "greedy", seed=model.seed)
        if any(risk.violations for risk in made.after):
            raise AssertionError("removal ends without a violation")
        if made.removed:
            engine.temporary("blank the values", name, removal.blanked(counted))
        return Blanked(model, made.violations, made.removed, counted.rows - counted.missing)


def target(model: ValuePrediction) -> Target:
    """What a model asks, of records that have each one's threshold beside them."""
    constant = None if isinstance(model.limit, str) else model.limit
    return Target(model.column, model.reach, Threshold(constant, model.guard, above=model.above))


# -- what the models come to afterwards --------------------------------------------------------------------------------


def judged(engine: Engine, plan: Plan, name: str = STAGED) -> tuple[Verdict, ...]:
    """What every model of the plan comes to on the working copy. Raises `EngineError`."""
    models, spec = plan.models, plan.source.spec
    source = replace(plan.source, spec=replace(spec, privacy=models))
    people, steps = plan.population, source.step(known=True).join(source.trees())
    steps = steps.join(people) if people else steps
    rows = Rows(name, plan.keys, spec.entity, population=people.steps[-1].name if people else None)
    chain = measured(rows, needed(models), source.references("source"))
    steps = steps.join(chain.query)
    (row,) = engine.run("judge what was blanked", steps.then("judged", judgement(models, chain)))
    sizes = engine.run("count the class sizes", steps.then("sizes", histogram_of_sizes(chain)))
    return verdicts(models, row, {int(size): int(classes) for size, classes in sizes})


def told(verdicts: Iterable[Verdict], blanked: Iterable[Blanked]) -> tuple[Verdict, ...]:
    """The verdicts, with what was blanked among the details of the models that asked for it."""
    of = {(one.model.column, str(one.model.parameters)): one for one in blanked}
    found = []
    for verdict in verdicts:
        one = of.get((verdict.column or "", str(verdict.parameters))) if verdict.model == ValuePrediction.name else None
        more = {"violations_before": one.violations, "blanked": one.removed} if one else {}
        found.append(replace(verdict, details={**verdict.details, **more}))
    return tuple(found)
