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
from sqlanon.planning import with_usefulness as _with_usefulness
from sqlanon.release import Release, version
from sqlanon.release import release as _release
from sqlanon.spec import FILE_ENDINGS, Publish, Spec, load, parse_model, schema
from sqlanon.utility import Known, Utility

__all__ = [
    "AlphaKAnonymity", "AverageRisk", "BetaLikeness", "Check", "Csv", "Date", "DuckDB", "EngineError", "Hierarchy",
    "KAnonymity", "LDiversity", "Mask", "Model", "ModelNotMet", "NotPortable", "Order", "Planned", "Release",
    "ReleaseError", "Spec", "SpecError", "SqlanonError", "TCloseness", "Tree", "Utility", "Verdict", "Width",
    "anonymize", "check", "connect", "load", "plan", "release", "schema",
]  # fmt: skip

__version__ = version()

Frame = TypeVar("Frame")
AnySpec = Spec | str | Path | Mapping[str, Any]


def _spec(spec: AnySpec) -> Spec:
    return spec if isinstance(spec, Spec) else load(spec)


def plan(spec: AnySpec, engine: DuckDB, *, utility: bool = False) -> Planned:
    """What would be published: levels, counts, verdicts, usefulness, SQL. Changes nothing.

    `utility` adds what takes another pass over the source: query errors, shifts, divergence. Raises `SpecError`,
    `ModelNotMet` where no transformation satisfies the models, `EngineError`.
    """
    planned = _make(_spec(spec), engine)
    return _with_usefulness(planned, engine) if utility else planned


def release(spec: AnySpec, engine: DuckDB, *, utility: bool = False) -> Release:
    """Publishes if, and only if, every model holds on what was made. `utility` as in `plan`.

    Raises `SpecError`, `ModelNotMet` (nothing was published), `EngineError`, `ReleaseError`.
    """
    return _release(_spec(spec), engine, utility=utility)


def check(
    relation: object,
    *,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    models: Sequence[Model | str] = (),
    engine: DuckDB | None = None,
    hierarchies: Mapping[str, Hierarchy] | None = None,
    against: object | None = None,
    spec: AnySpec | None = None,
    queries: int = 1000,
) -> Check:
    """Measures a table or view (by name), a file (by path) or a pandas, polars or Arrow frame.

    Without `models`, every measure that the columns allow is reported and nothing is judged. A model may be written as
    on the command line: `"l-diversity(column=disease, l=3)"`. `against` the source that the relation was made from, its
    usefulness is measured, with so many COUNT `queries`. A `spec` tells what is not given: quasi-identifiers, sensitive
    columns, hierarchies, weights and k. Raises `SpecError`, `EngineError`.
    """
    wanted = [parse_model(model) if isinstance(model, str) else model for model in models]
    used, known = engine or connect(), Known.by(_spec(spec)) if spec is not None else Known()
    try:
        told = known.and_given(quasi_identifiers, sensitive, hierarchies or {}, wanted)
        released = told.read(used, _origin(relation, used))
        source = None if against is None else told.against(told.read(used, _origin(against, used)), queries)
        return _check(
            used, released, quasi_identifiers=told.quasi_identifiers, sensitive=told.sensitive, models=wanted,
            hierarchies=told.hierarchies, against=source,
        )  # fmt: skip
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
