"""The verbs of the contract: what a program says to sqlanon, on a spec, a relation or an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from sqlanon import life
from sqlanon.attacks import Attack, Attacked, Known, parse_attack
from sqlanon.attacks import attack as _attack
from sqlanon.auditing import Audited
from sqlanon.auditing import audit as _audit
from sqlanon.check import Check
from sqlanon.check import check as _check
from sqlanon.comparison import Comparison
from sqlanon.comparison import compare as _compare
from sqlanon.defaults import MINIMUM_CELL, SAMPLE_ROWS
from sqlanon.engines import Engine, Origin, connect
from sqlanon.exploring import Explored, explore
from sqlanon.flow.model import FlowModel
from sqlanon.flow.model import load as _load_flow
from sqlanon.flow.risks import Assessment
from sqlanon.flow.risks import assess as _assess
from sqlanon.flow.states import LIMIT
from sqlanon.hierarchies import Hierarchy
from sqlanon.ledger import Ledger
from sqlanon.ledger import ledger as _ledger
from sqlanon.margins import margin as _margin
from sqlanon.models import Model
from sqlanon.planning import Planned
from sqlanon.planning import make as _make
from sqlanon.planning import with_usefulness as _with_usefulness
from sqlanon.policies import Policy
from sqlanon.policies import load as _load_policy
from sqlanon.prediction import Target
from sqlanon.prediction import threshold as _threshold
from sqlanon.publication import Publish
from sqlanon.reading import parse_model
from sqlanon.refreshing import Refreshed
from sqlanon.refreshing import refresh as _refresh
from sqlanon.release import Release
from sqlanon.release import release as _release
from sqlanon.removal import Method
from sqlanon.removal import method as _method
from sqlanon.report import Report
from sqlanon.report import report as _report
from sqlanon.risk import Risk
from sqlanon.risk import risk as _risk
from sqlanon.safe_harbor import SafeHarbor
from sqlanon.safe_harbor import safe_harbor as _safe_harbor
from sqlanon.spec import FILE_ENDINGS, Spec, load
from sqlanon.together import Together
from sqlanon.utility import Described

__all__ = [
    "anonymize",
    "assess",
    "attack",
    "audit",
    "check",
    "compare",
    "ledger",
    "plan",
    "predict",
    "refresh",
    "release",
    "report",
    "risk",
    "safe_harbor",
]

Frame = TypeVar("Frame")
AnySpec = Spec | str | Path | Mapping[str, Any]


def _spec(spec: AnySpec) -> Spec:
    return spec if isinstance(spec, Spec) else load(spec)


def plan(spec: AnySpec, engine: Engine, *, utility: bool = False) -> Planned:
    """What would be published: levels, counts, verdicts, usefulness, SQL. Changes nothing.

    `utility` adds what takes another pass over the source: query errors, shifts, divergence. Raises `SpecError`,
    `ModelNotMet` where no transformation satisfies the models, `EngineError`.
    """
    with engine.working():
        planned = _make(_spec(spec), engine)
        return _with_usefulness(planned, engine) if utility else planned


def compare(spec: AnySpec, engine: Engine, *, sample: int = SAMPLE_ROWS) -> Comparison:
    """The ways of recoding side by side, on about so many records drawn at random and on all. Changes nothing.

    Raises `SpecError`, `EngineError`; a way that cannot do what the spec asks says why in its `problem`.
    """
    return _compare(_spec(spec), engine, sample=sample)


def release(spec: AnySpec, engine: Engine, *, utility: bool = False) -> Release:
    """Publishes if, and only if, every model holds on what was made. `utility` as in `plan`.

    Raises `SpecError`, `ModelNotMet` (nothing was published), `EngineError`, `ReleaseError`.
    """
    return _release(_spec(spec), engine, utility=utility)


def refresh(name: str, engine: Engine, *, anew: bool = False, utility: bool = False) -> Refreshed:
    """Publishes a release again from its source as it is now; until then, and if it fails, the version before stands.

    Levels are kept unless `anew`. Raises `SpecError` (the source has drifted), `ModelNotMet`, `EngineError`,
    `ReleaseError`.
    """
    return _refresh(engine, name, anew=anew, utility=utility)


def check(
    relation: object,
    *,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    models: Sequence[Model | str] = (),
    engine: Engine | None = None,
    hierarchies: Mapping[str, Hierarchy] | None = None,
    population: object | None = None,
    against: object | None = None,
    spec: AnySpec | None = None,
    queries: int = 1000,
) -> Check:
    """Measures a table or view (by name), a file (by path) or a pandas, polars or Arrow frame.

    `population` is the table that the records are from, in one of the same forms, for k-map and δ-presence.

    Without `models`, every measure that the columns allow is reported and nothing is judged. A model may be written as
    on the command line: `"l-diversity(column=disease, l=3)"`. `against` the source that the relation was made from, its
    usefulness is measured, with so many COUNT `queries`. A `spec` tells what is not given: quasi-identifiers, sensitive
    columns, hierarchies, weights and k. Raises `SpecError`, `EngineError`.
    """
    wanted = [parse_model(model) if isinstance(model, str) else model for model in models]
    by = _spec(spec) if spec is not None else None
    used, known = engine or connect(), Described.by(by) if by else Described()
    try:
        told = known.and_given(quasi_identifiers, sensitive, hierarchies or {}, wanted)
        released = told.read(used, _origin(relation, used))
        source = None if against is None else told.against(told.read(used, _origin(against, used)), queries)
        return _check(
            used, released, quasi_identifiers=told.quasi_identifiers, sensitive=told.sensitive, models=wanted,
            hierarchies=told.hierarchies, against=source,
            population=None if population is None else _origin(population, used),
            policy=by.policy.seen_from_here(by.base) if by and by.policy else None,
        )  # fmt: skip
    finally:
        if engine is None:
            used.close()


def attack(
    relation: object,
    *,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    attacks: Sequence[Attack | str] = (),
    every: bool = False,
    engine: Engine | None = None,
    hierarchies: Mapping[str, Hierarchy] | None = None,
    external: object | None = None,
    population: object | None = None,
    others: Sequence[object] = (),
) -> Attacked:
    """Runs the known attacks against a table, view, file or frame; without `attacks`, all that there is enough for.

    The columns of a release of the register need not be named. An attack may be written as on the command line:
    `"skewness(ratio=2)"`. `external` is a table of people, `population` one of everybody, `others` are releases of the
    same source: by name, path or frame, or as `Known`, which says what their columns are called. What is reported is
    information: nothing is judged. Raises `SpecError`, `EngineError`, `ReleaseError`.
    """
    wanted = [parse_attack(one) if isinstance(one, str) else one for one in attacks]
    with ExitStack() as stack:
        used = engine or stack.enter_context(connect())
        known = _remembered(relation, used, stack)
        found = _attack(
            used, known.origin if known else _origin(relation, used),
            quasi_identifiers=quasi_identifiers or (known.quasi_identifiers if known else ()),
            sensitive=sensitive or (known.sensitive if known else ()), attacks=wanted, every=every,
            hierarchies={**(known.hierarchies if known else {}), **(hierarchies or {})},
            external=_known(external, used), population=_known(population, used),
            others=[_other(one, used, stack) for one in others], closed=known.closed if known else None,
        )  # fmt: skip
        notes = (*found.notes, _PERSONS) if known and known.persons else found.notes
        return replace(found, source=str(relation), notes=notes) if known else found


_PERSONS = "classes count records here; the release's own k counts persons, of whom a class may hold fewer"


def _remembered(relation: object, engine: Engine, stack: ExitStack) -> life.Remembered | None:
    """What the register (or a released file) says of a relation that is a release."""
    return stack.enter_context(life.remembered(engine, str(relation))) if isinstance(relation, str | Path) else None


def _known(relation: object | None, engine: Engine) -> Known | None:
    return relation if isinstance(relation, Known) or relation is None else Known(_origin(relation, engine))


def _other(relation: object, engine: Engine, stack: ExitStack) -> Known:
    if isinstance(relation, Known):
        return relation
    known = _remembered(relation, engine, stack)
    if known is None:
        return Known(_origin(relation, engine))
    return Known(known.origin, quasi_identifiers=known.quasi_identifiers, closed=known.closed)


def risk(
    relation: object,
    *,
    quasi_identifiers: Sequence[str],
    entity: str | None = None,
    population: object = None,
    population_size: int | None = None,
    threshold: float = 0.2,
    subsets: int | None = 3,
    suda: bool = False,
    suda_size: int | None = None,
    engine: Engine | None = None,
) -> Risk:
    """How likely it is that somebody finds a person in a table or view, a file or a frame, and which columns cost most.

    `population` is a table, file or frame of everybody, `population_size` how many they are; without either, only the
    prosecutor's risk is told. The other arguments are those of `sqlanon.risk.risk`. Raises `SpecError`, `EngineError`.
    """
    used = engine or connect()
    try:
        everybody = None if population is None else _origin(population, used)
        return _risk(
            used, _origin(relation, used), quasi_identifiers=quasi_identifiers, entity=entity, population=everybody,
            population_size=population_size, threshold=threshold, subsets=subsets, suda=suda, suda_size=suda_size,
        )  # fmt: skip
    finally:
        if engine is None:
            used.close()


def predict(
    relation: object,
    *,
    column: str,
    fields: Sequence[str],
    margin: Decimal | float | str | timedelta | None = None,
    threshold: Fraction | Decimal | float | str | None = None,
    threshold_column: str | None = None,
    policy: Policy | str | Path | None = None,
    above: bool = False,
    all_subsets: bool = False,
    remove: Method | None = None,
    seed: int = 0,
    original: object | None = None,
    rules: Sequence[str] = (),
    engine: Engine | None = None,
) -> Explored:
    """How well a sensitive column of a table, view, file or frame can be predicted from some fields. Changes nothing.

    `policy` is a policy or the YAML file of one. Rules are judged, and nothing is raised where one blocks: see
    `blocked`. Raises `SpecError`, `EngineError`.
    """
    agreed = _load_policy(Path(policy)) if isinstance(policy, str | Path) else policy
    when = _threshold(threshold, threshold_column, agreed, above=above)
    target = Target(column, None if margin is None else _margin(margin), when)
    used = engine or connect()
    try:
        return explore(
            used, _origin(relation, used), target, fields, all_subsets=all_subsets, remove=_method(remove), seed=seed,
            original=None if original is None else _origin(original, used), rules=rules,
            base=Path(policy).parent if isinstance(policy, str | Path) else Path(),
        )  # fmt: skip
    finally:
        if engine is None:
            used.close()


def report(
    what: object,
    *,
    engine: Engine | None = None,
    spec: AnySpec | None = None,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    minimum_cell: int = MINIMUM_CELL,
    compare: bool = False,
    flow: FlowModel | str | Path | Mapping[str, Any] | None = None,
    predict: Mapping[str, str | float | None] | None = None,
) -> Report:
    """The facts for who signs a release: about a release (by name, or as `release` gave it), a spec, or a relation.

    A relation (by name, path or frame) needs a `spec` or its `quasi_identifiers` and `sensitive` columns. Nothing that
    fewer than `minimum_cell` people would stand behind is told. `compare` plans every way of recoding beside; `flow` is
    a data-flow model to draw; `predict` maps columns to margins. See `sqlanon.report`. Raises `SpecError`,
    `ModelNotMet` where a spec allows no release, `EngineError`, `ReleaseError`.
    """
    by = _spec(spec) if spec is not None else None
    asked = {name: None if near is None else str(near) for name, near in (predict or {}).items()}
    drawn = _load_flow(flow) if flow is not None and not isinstance(flow, FlowModel) else flow
    used = engine or connect()
    try:
        about, planned = _reported(what, used)
        return _report(
            used, about, spec=by, quasi_identifiers=quasi_identifiers, sensitive=sensitive, minimum_cell=minimum_cell,
            comparing=compare, flow=drawn, predict=asked, planned=planned,
        )  # fmt: skip
    finally:
        if engine is None:
            used.close()


def _reported(what: object, engine: Engine) -> tuple[str | Path | Spec | Origin, Planned | None]:
    """What a report is about, and the plan that it comes from where that is at hand."""
    if isinstance(what, Release):
        return what.entry.location if what.entry.kind == "file" else what.name, what.planned
    if isinstance(what, Planned):
        return what.plan.source.spec, None
    if isinstance(what, Mapping):
        return load(what), None
    return (what, None) if isinstance(what, str | Path | Spec | Origin) else (engine.register(what), None)


def safe_harbor(relation: object, *, engine: Engine | None = None) -> SafeHarbor:
    """HIPAA Safe Harbor's 18 identifiers on a table or view, a file or a frame. Raises `SpecError`, `EngineError`."""
    used = engine or connect()
    try:
        return _safe_harbor(used, _origin(relation, used))
    finally:
        if engine is None:
            used.close()


def audit(engine: Engine, *, sources: Sequence[str] = ()) -> Audited:
    """Ways to more than was released, around the releases of a database: grants, owners, settings, order of rows.

    Changes nothing, and says what this role could not see. `sources`: raw tables that the register does not name.
    Raises `SpecError`, `EngineError`.
    """
    return _audit(engine, sources=sources)


def ledger(engine: Engine, names: Sequence[str] = (), *, bounds: Together | None = None) -> Ledger:
    """What the releases of one source tell one audience, all of them together; measured on the source.

    `names`: only sets with one of these releases. `bounds`: judge by these too. Raises `ReleaseError`, `EngineError`.
    """
    return _ledger(engine, names, bounds=bounds)


def assess(
    model: FlowModel | str | Path | Mapping[str, Any], engine: Engine | None = None, *, limit: int = LIMIT
) -> Assessment:
    """What a data-flow model comes to: its states, what nobody agreed to, its risk transitions, its rules.

    Beyond `limit` states, the potential reads of each actor are built together; no risk transition is lost by that.
    Nothing is raised where a rule blocks: see `blocked`. Raises `SpecError`, `ModelNotMet` where a flow's spec allows
    no release, `EngineError`.
    """
    read = model if isinstance(model, FlowModel) else _load_flow(model)
    used = engine or connect()
    try:
        return _assess(read, used, limit=limit)
    finally:
        if engine is None:
            used.close()


def execute(engine: Engine, script: str) -> Any:
    """Runs a script of SQL with statements of sqlanon in it; what its last statement came to. As `engine.sql(script)`.

    Rows as a `Relation`, how many rows were changed, a `Release`, a `Check`, a `Planned`, … The first error ends it.
    Raises `SpecError`, `ModelNotMet`, `EngineError`, `ReleaseError`, which begin with line and column in the script.
    """
    from sqlanon.executing import sql

    return sql(engine, script)


def _origin(relation: object, engine: Engine) -> Origin:
    if isinstance(relation, Origin):
        return relation
    if isinstance(relation, Path) or (isinstance(relation, str) and relation.lower().endswith(FILE_ENDINGS)):
        return Origin(file=Path(relation))
    return Origin(relation=relation) if isinstance(relation, str) else engine.register(relation)


def anonymize(frame: Frame, spec: AnySpec) -> Frame:
    """The anonymized rows of a pandas, polars or Arrow frame, of the same kind; the spec's own `source` is not read.

    Raises `SpecError`, `ModelNotMet`, `EngineError`; then there is no result.
    """
    wanted = replace(_spec(spec), publish=Publish(name="anonymized"))
    with connect() as engine:
        _release(wanted, engine, frame=frame)
        result: Frame = engine.frame("anonymized", frame)
        return result
