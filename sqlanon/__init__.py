"""sqlanon anonymizes tables inside the database that holds them.

    >>> import sqlanon
    >>> spec = sqlanon.load("patients.yaml")
    >>> with sqlanon.connect("duckdb:///clinic.duckdb") as engine:
    ...     sqlanon.release(spec, engine)

Glossary, one word per idea. *Quasi-identifier*: a column that others may know. *Equivalence class*: the records that
share every published quasi-identifier. *Hierarchy*, *level*: how a value becomes coarser, step by step. *Node*: one
level per quasi-identifier. *Model*: a measure over a relation with a bound. *Verdict*: what a model came to. *Plan*:
the named queries that make the released rows. *Release*: what was published after its own measures were within
bounds. *Entity*: who a record is about. *Register*: the table of releases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlanon.check import Check
from sqlanon.check import check as _check
from sqlanon.engines import Origin, connect
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import EngineError, ModelNotMet, NotPortable, ReleaseError, SpecError, SqlanonError
from sqlanon.hierarchies import Csv, Date, Hierarchy, Mask, Order, Tree, Width
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
from sqlanon.release import Release, version
from sqlanon.release import release as _release
from sqlanon.risk import Risk
from sqlanon.risk import risk as _risk
from sqlanon.safe_harbor import SafeHarbor
from sqlanon.safe_harbor import safe_harbor as _safe_harbor
from sqlanon.spec import FILE_ENDINGS, Publish, Spec, load, parse_model, schema

__all__ = [
    "AlphaKAnonymity", "AverageRisk", "BetaLikeness", "Check", "Csv", "Date", "DuckDB", "EngineError", "Hierarchy",
    "KAnonymity", "LDiversity", "Mask", "Model", "ModelNotMet", "NotPortable", "Order", "Planned", "Release",
    "ReleaseError", "Risk", "SafeHarbor", "Spec", "SpecError", "SqlanonError", "TCloseness", "Tree", "Verdict", "Width",
    "anonymize", "check", "connect", "load", "plan", "release", "risk", "safe_harbor", "schema",
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
    engine: DuckDB | None = None,
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


def safe_harbor(relation: object, *, engine: DuckDB | None = None) -> SafeHarbor:
    """HIPAA Safe Harbor's 18 identifiers on a table or view, a file or a frame. Raises `SpecError`, `EngineError`."""
    used = engine or connect()
    try:
        return _safe_harbor(used, _origin(relation, used))
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
