"""sqlanon anonymizes tables inside the database that holds them.

    >>> import sqlanon
    >>> spec = sqlanon.load("patients.yaml")
    >>> with sqlanon.connect("duckdb:///clinic.duckdb") as engine:
    ...     sqlanon.release(spec, engine)

Glossary, one word per idea. *Quasi-identifier*: a column that others may know. *Equivalence class*: the records that
share every published quasi-identifier. *Hierarchy*, *level*: how a value becomes coarser, step by step. *Node*: one
level per quasi-identifier. *Model*: a measure over a relation with a bound. *Verdict*: what a model came to. *Plan*:
the named queries that make the released rows. *Release*: what was published after its own measures were within
bounds. *Entity*: who a record is about. *Register*: the table of releases. *Observer*: somebody who has some fields of
a record. *Violation*: a record whose sensitive value an observer can predict as surely as its threshold, or surer.
*Risk transition*: a step in a data flow from which on an actor could do so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from sqlanon.check import Check
from sqlanon.check import check as _check
from sqlanon.engines import Origin, connect
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import EngineError, ModelNotMet, NotPortable, ReleaseError, SpecError, SqlanonError
from sqlanon.exploring import Explored, explore
from sqlanon.flow.model import FlowModel
from sqlanon.flow.model import load as _load_flow
from sqlanon.flow.risks import Assessment
from sqlanon.flow.risks import assess as _assess
from sqlanon.flow.states import LIMIT
from sqlanon.hierarchies import Csv, Date, Hierarchy, Mask, Order, Tree, Width
from sqlanon.margins import margin as _margin
from sqlanon.models import (
    AlphaKAnonymity,
    AverageRisk,
    BetaLikeness,
    KAnonymity,
    LDiversity,
    Model,
    TCloseness,
    Verdict,
)
from sqlanon.planning import Planned
from sqlanon.planning import make as _make
from sqlanon.policies import Policy
from sqlanon.policies import load as _load_policy
from sqlanon.prediction import Target
from sqlanon.prediction import threshold as _threshold
from sqlanon.release import Release, version
from sqlanon.release import release as _release
from sqlanon.removal import Method
from sqlanon.removal import method as _method
from sqlanon.spec import FILE_ENDINGS, Publish, Spec, load, parse_model, schema

__all__ = [
    "AlphaKAnonymity", "Assessment", "AverageRisk", "BetaLikeness", "Check", "Csv", "Date", "DuckDB", "EngineError",
    "Explored", "Hierarchy", "KAnonymity", "LDiversity", "Mask", "Model", "ModelNotMet", "NotPortable", "Order",
    "Planned", "Policy", "Release", "ReleaseError", "Spec", "SpecError", "SqlanonError", "TCloseness", "Tree",
    "Verdict", "Width", "anonymize", "assess", "check", "connect", "load", "plan", "predict", "release", "schema",
]  # fmt: skip

__version__ = version()

Frame = TypeVar("Frame")
AnySpec = Spec | str | Path | Mapping[str, Any]


def _spec(spec: AnySpec) -> Spec:
    return spec if isinstance(spec, Spec) else load(spec)


def plan(spec: AnySpec, engine: DuckDB) -> Planned:
    """What would be published: levels, counts, verdicts, usefulness, SQL. Changes nothing.

    Raises `SpecError`, `ModelNotMet` where no transformation satisfies the models, `EngineError`.
    """
    return _make(_spec(spec), engine)


def release(spec: AnySpec, engine: DuckDB) -> Release:
    """Publishes if, and only if, every model holds on what was made.

    Raises `SpecError`, `ModelNotMet` (nothing was published), `EngineError`, `ReleaseError`.
    """
    return _release(_spec(spec), engine)


def check(
    relation: object,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str] = (),
    models: Sequence[Model | str] = (),
    engine: DuckDB | None = None,
    hierarchies: Mapping[str, Hierarchy] | None = None,
) -> Check:
    """Measures a table or view (by name), a file (by path) or a pandas, polars or Arrow frame.

    Without `models`, every measure that the columns allow is reported and nothing is judged. A model may be written as
    on the command line: `"l-diversity(column=disease, l=3)"`. Raises `SpecError`, `EngineError`.
    """
    wanted = [parse_model(model) if isinstance(model, str) else model for model in models]
    used = engine or connect()
    try:
        return _check(
            used, _origin(relation, used), quasi_identifiers=quasi_identifiers, sensitive=sensitive, models=wanted,
            hierarchies=hierarchies,
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
    engine: DuckDB | None = None,
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


def assess(
    model: FlowModel | str | Path | Mapping[str, Any], engine: DuckDB | None = None, *, limit: int = LIMIT
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


def _origin(relation: object, engine: DuckDB) -> Origin:
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
