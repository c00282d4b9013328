"""Where a spec meets its source: the columns are looked up, the best recoding is found, the plan compiled.

Changes nothing but working tables of its own connection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlanon import blanking, gates, thresholds
from sqlanon.blanking import Blanked
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.linked import second_name
from sqlanon.models import ValuePrediction, Verdict, k_of
from sqlanon.plan import Plan, Source, compile_plan, resolve
from sqlanon.portable import require_portable
from sqlanon.preparing import prepared, secret_key
from sqlanon.presets import PRESETS
from sqlanon.query import Query, table
from sqlanon.recoding.anatomy import anatomized, values
from sqlanon.recoding.cells import blanked
from sqlanon.recoding.levels import at_levels
from sqlanon.recoding.local import partition
from sqlanon.recoding.optimum import optimum
from sqlanon.recoding.outcome import Linked, Outcome
from sqlanon.rules import Judged
from sqlanon.shown import Shown
from sqlanon.spec import Spec
from sqlanon.telling import Tell, silent
from sqlanon.tracing import origin_at, traced, untold
from sqlanon.tracing import origin_of as origin_of
from sqlanon.utility import Recoded, Utility, measure

_DRAWN = "what is drawn is drawn anew by every plan and release; with SQLANON_KEY set, transforms draw the same again"
_RELATED = (
    "this is the plan of the first table by itself; related tables are planned and judged together when they are"
    " released, and their levels may be higher"
)
_PLANNER = "sqlanon.sqlanon_"  # with a schema, it is a call that the server answered without a key


@dataclass(frozen=True)
class Planned(Shown):
    """A plan with what it would publish: counts, verdicts of the planner, usefulness, and what the search cost."""

    plan: Plan
    outcome: Outcome
    engine: str
    seconds: float
    notes: tuple[str, ...] = ()
    usefulness: Utility | None = None
    blanked: tuple[Blanked, ...] = ()
    rules: tuple[Judged, ...] = ()

    @property
    def rows_in(self) -> int:
        """Records of the source."""
        return self.outcome.rows

    @property
    def suppressed(self) -> int:
        """Records of the source that are left out, or published with `*` in every quasi-identifier."""
        return self.outcome.suppressed

    @property
    def classes(self) -> int:
        """Equivalence classes that are kept."""
        return self.outcome.classes

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What the models come to on the classes that are kept."""
        return self.outcome.verdicts

    @property
    def utility(self) -> Mapping[str, float]:
        """The usefulness that is known without another pass over the source, by name."""
        return self.outcome.utility

    @property
    def holds(self) -> bool:
        return all(v.holds for v in self.verdicts)

    @property
    def rows_out(self) -> int:
        """Records that are published, those of nobody among them."""
        kept = self.rows_in if self.plan.suppressed == "star" else self.rows_in - self.suppressed
        return kept + self.outcome.noise

    def sql(self, engine: Engine) -> str:
        """The statements that make the release, as they run; by themselves too where no function of ours has a part."""
        publish = self.plan.source.spec.publish
        path = [*([engine.schema] if engine.can("grant") else []), publish.name] if publish else []
        name = engine.rendered(table(*path)) if publish else ""
        kind = publish.as_ if publish else "file"
        head = [
            f"-- {publish.name if publish else 'a plan without a release'}: " + "; ".join(map(str, self.plan.models)),
            f"-- {self._made()}",
            f"-- {self.rows_out} of {self.rows_in} records in {self.classes} classes when this was planned",
        ]
        head += [f"-- not in this statement: {one}" for one in self.blanked]
        live = publish is not None and publish.live
        once = self.plan.recoded.counted
        counted = [(once.table, once.filled)] if once and self.plan.counted and not live else []
        made = self.plan.query if live else shuffled(self.plan, engine)
        working = (*self.plan.source.working, *counted)
        before = "".join(f"{engine.creating(name, filled)}\n" for name, filled in working)
        called = f"{before}{self.plan.recoded.script}"
        if _PLANNER in called:
            head.append("-- the functions sqlanon.sqlanon_… are those of sqlanon's udfs.sql, in this server")
        if "sqlanon_" in called.lower().replace(_PLANNER, "").replace("sqlanon_key", ""):
            head.append("-- the functions sqlanon_… are those of sqlanon.functions, with the key of this run")
            if engine.where_functions_run:
                head.append("-- they are called with the key before their arguments, so it does not run by itself")
        if " is filled by sqlanon." in self.plan.recoded.script:
            head.append("-- tables that a function fills are made by no statement here, so it does not run by itself")
        told = "\n".join(" ".join(line.splitlines()) for line in head)
        script = f"{self.plan.recoded.script}\n" if self.plan.recoded.script else ""
        statement = f"CREATE TABLE {name} AS\n{engine.rendered(made)}" if kind == "table" else engine.rendered(made)
        if publish and publish.live:
            statement = engine.view_statement(path, made, kind)
        return f"{told}\n{engine.alone(f'{before}{script}{statement};{self._second(engine)}')}"

    def _second(self, engine: Engine) -> str:
        """The statement that makes the second relation of an Anatomy."""
        publish, linked = self.plan.source.spec.publish, self.outcome.linked
        if linked is None or publish is None:
            return ""
        second = second_name(publish.name)
        name = engine.rendered(table(*[engine.schema] * engine.can("grant"), second))
        return f"\nCREATE TABLE {name} AS\n{engine.rendered(values_shuffled(linked, engine))};"

    def _made(self) -> str:
        """How it was made, in a line."""
        if self.outcome.linked is not None:
            return "Anatomy, which does not protect identity: two tables, linked by the number of a group"
        if self.plan.levels is None:
            ties = "the key in the variable sqlanon_key" if self.engine == "duckdb" else "a key that is drawn each time"
            return f"partition: {self.plan.source.spec.recoding.method}; ties by {ties}"
        return "levels: " + ", ".join(f"{column} {level}" for column, level in self.plan.levels.items())

    def _utility(self) -> dict[str, Any]:
        """What was measured, and what the plan knows; a partition knows its penalty by another definition."""
        measured = self.usefulness.to_dict() if self.usefulness else {}
        known = dict(self.utility)
        if measured and self.plan.levels is None:
            known.pop("gcp", None)
        return measured | known

    def to_dict(self) -> dict[str, Any]:
        publish, search = self.plan.source.spec.publish, self.outcome.search
        return {
            "release": publish.name if publish else None,
            "engine": self.engine,
            "method": self.plan.source.spec.recoding.method,
            "levels": None if self.plan.levels is None else dict(self.plan.levels),
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "suppressed": self.suppressed,
            "transforms": [transform.to_dict() for transform in self.plan.source.spec.transforms],
            "noise_rows": self.outcome.noise,
            "swaps": self.outcome.swaps,
            "cells_blanked": self.outcome.cells,
            "linked": second_name(publish.name) if publish and self.outcome.linked else None,
            "classes": self.classes,
            "utility": self._utility(),
            "models": [v.to_dict() for v in self.verdicts],
            "nodes": search.nodes if search else None,
            "nodes_checked": search.checked if search else None,
            "gap": search.gap if search else None,
            "seconds": round(self.seconds, 3),
            "fingerprint": self.plan.fingerprint,
            "notes": list(self.notes),
            **({"blanked": [one.to_dict() for one in self.blanked]} if self.blanked else {}),
            **({"rules": [rule.to_dict() for rule in self.rules]} if self.rules else {}),
        }


def shuffled(plan: Plan, engine: Engine) -> Query:
    """The steps that fill a table or file, in the keyed order."""
    if plan.counted is None:
        return engine.shuffled(plan.query, plan.published)
    return engine.shuffled(plan.counted, plan.published, plan.number)


def values_shuffled(linked: Linked, engine: Engine) -> Query:
    """The steps that fill the second relation of an Anatomy, in the keyed order."""
    return engine.shuffled(values(linked), (linked.group, linked.sensitive, linked.records))


def source_of(spec: Spec, engine: Engine, frame: object | None = None) -> Source:
    """The spec held against its source. Raises `SpecError` for anything that was not declared, `EngineError`."""
    return _held(spec if frame is not None else traced(spec, engine), engine, frame)


def _held(spec: Spec, engine: Engine, frame: object | None) -> Source:
    promised, spec = spec.privacy, blanking.searched(spec)
    origin = engine.register(frame) if frame is not None else origin_of(spec)
    columns, item = engine.columns(origin), engine.origin(origin)
    require_portable(spec, engine, columns)
    if spec.population is not None:
        people = origin_at(spec, spec.population)
        source = resolve(spec, origin, item, columns, engine.origin(people), engine.columns(people))
    else:
        source = resolve(spec, origin, item, columns)
    if any(isinstance(model, ValuePrediction) for model in (*promised, *spec.scored)):
        source = thresholds.with_predictions(engine, source, promised)
    return prepared(source, engine)


def population_of(spec: Spec) -> Origin | None:
    """Where the spec says that the population is, if it names one."""
    return origin_at(spec, spec.population) if spec.population else None


def make(
    spec: Spec, engine: Engine, *, frame: object | None = None, known: bool = False, tell: Tell = silent
) -> Planned:
    """The best plan for a spec. Raises `SpecError`, `EngineError`, `ModelNotMet` where no recoding will do.

    `known`: `traced` was asked already where its columns come from. The working tables that a plan reads are there as
    long as the `working` of the engine around this call.
    """
    started = time.monotonic()
    tell("reading the source", None)
    source = _held(spec, engine, frame) if known else source_of(spec, engine, frame)
    unknown = filter(None, [untold(spec, engine)]) if frame is None else ()
    planned = make_from(source, engine, tell)
    return replace(planned, seconds=time.monotonic() - started, notes=(*unknown, *planned.notes))


def make_from(source: Source, engine: Engine, tell: Tell = silent) -> Planned:
    """The best plan for a source whose spec was held against it. Raises as `make` does."""
    spec, started = source.spec, time.monotonic()
    outcome = recode(engine, source, tell)
    if spec.recoding.suppressed == "cell":
        tell("blanking cells", None)
        outcome = blanked(engine, source, outcome)
    suppressed = spec.recoding.suppressed
    compiled = compile_plan(source, outcome.recoded, suppressed, failing=outcome.failing)
    if outcome.linked is not None:  # the records are published without their values, which stand beside their group
        open_ = [name for name in compiled.published if name != outcome.linked.sensitive]
        compiled = replace(compiled, published=(*open_, outcome.linked.group))
    notes = tuple(f"preset {name}: {told}" for name in spec.presets for told in PRESETS[name].told)
    notes += (_DRAWN,) if source.working else ()
    notes += (_RELATED,) if spec.related else ()
    notes += tuple(filter(None, [engine.where_functions_run])) if _drawn(source, outcome) else ()
    made = Planned(compiled, outcome, engine.name, time.monotonic() - started, (*notes, *outcome.notes))
    return completed(made, engine)


def _drawn(source: Source, outcome: Outcome) -> bool:
    """Whether functions of ours had a part."""
    transformed = any(not transform.in_views for transform in source.spec.transforms)
    return transformed or bool(outcome.noise) or outcome.linked is not None


def completed(planned: Planned, engine: Engine) -> Planned:
    """The same plan with what its models blank, what they all come to then, and what its rules say to it.

    Raises `SpecError`, `EngineError`.
    """
    plan = planned.plan
    if not plan.source.blanked and not plan.source.spec.rules:
        return planned
    with blanking.staged(engine, plan) as blanked:
        verdicts = blanking.told(blanking.judged(engine, plan), blanked) if blanked else planned.verdicts
        rules = gates.judge(engine, plan, blanked)
    notes = (
        *planned.notes,
        *map(str, blanked),
        *(f"a rule blocks the release: {rule}" for rule in rules if rule.blocks),
    )
    outcome = replace(planned.outcome, verdicts=verdicts)
    return replace(planned, outcome=outcome, blanked=blanked, rules=rules, notes=notes)


def recode(engine: Engine, source: Source, tell: Tell = silent) -> Outcome:
    """A source recoded by the method of its spec. Raises as `make` does."""
    if source.spec.recoding.method == "full-domain":
        return optimum(engine, source, tell)
    if source.spec.recoding.method == "anatomy":
        return anatomized(engine, source, secret_key())
    return partition(engine, source, secret_key(), tell)


def with_usefulness(planned: Planned, engine: Engine, tell: Tell = silent) -> Planned:
    """The same plan with its whole usefulness: what it would publish, held against the source. Reads both once.

    Raises `EngineError`, and `SpecError` where the source has changed meanwhile.
    """
    tell("measuring the usefulness", None)
    with blanking.staged(engine, planned.plan) if planned.plan.source.blanked else nullcontext():
        return _with_usefulness(planned, engine)


def _with_usefulness(planned: Planned, engine: Engine) -> Planned:
    plan, source = planned.plan, planned.plan.source
    if (whole := planned.outcome.whole) is not None:  # a blank is told as a record that is left out
        plan = compile_plan(source, whole.recoded, "drop", failing=whole.failing)
    columns = []
    for name in source.quasi_identifiers:
        declared, height = source.spec.columns[name], source.height(name)
        level = plan.levels[name] if plan.levels is not None else None
        levels = (
            None if level is None else (level, height) if plan.suppressed == "star" and level < height else (level,)
        )
        columns.append(
            Recoded(name, source.hierarchy(name), source.rows.get(name), declared.represent, declared.weight, levels)
        )
    made = Origin(relation=blanking.STAGED) if source.blanked else Origin(query=engine.rendered(plan.query))
    held = partial(
        measure, engine, made, columns=columns, k=k_of(plan.models),
        sensitive={n: source.spec.columns[n].hierarchy for n in source.spec.sensitive if n in plan.published},
    )  # fmt: skip
    before, now = (Origin(query=f"SELECT * FROM {item} AS s") for item in (source.untouched, source.origin))
    if not source.spec.transforms:
        return replace(planned, usefulness=held(now))
    try:
        return replace(planned, usefulness=held(before))
    except SpecError:  # a label of transformed values may cover no value of the source
        return replace(planned, usefulness=held(now), notes=(*planned.notes, _AGAINST_TRANSFORMED))


_AGAINST_TRANSFORMED = (
    "usefulness is told against the transformed values: some published labels cover no value that the source has"
)


def drop_instead(planned: Planned) -> Planned:
    """The same plan with suppressed records dropped, for where the starred class does not satisfy a model."""
    before, outcome = planned.plan, planned.outcome
    if before.levels is not None:
        outcome = replace(outcome, recoded=at_levels(before.source, before.levels, counted=before.recoded.counted))
    compiled = compile_plan(before.source, outcome.recoded, "drop", failing=outcome.failing)
    note = "the class of starred records does not satisfy every model, so they were dropped"
    return replace(planned, plan=compiled, outcome=outcome, notes=(*planned.notes, note))
