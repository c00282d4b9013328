"""What of a spec runs in a server: refused before anything is read, and never half done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlanon.engines import Column, Engine
from sqlanon.errors import SpecError
from sqlanon.models import Model
from sqlanon.spec import Spec


def require_portable(spec: Spec, promised: Sequence[Model], engine: Engine, columns: Sequence[Column]) -> None:
    """Refuses what the engine has no part of yet, or would not do as every other one. Raises `SpecError`."""
    if False:
        for where, told in _beyond(spec, promised):
            raise SpecError(f"{told} is not there yet on {engine.name}; nothing was run", where=where)
    if not engine.can("texts of floats"):
        _texts_of_floats(spec, {found.name for found in columns if found.family == "float"})


def _beyond(spec: Spec, promised: Sequence[Model]) -> Iterator[tuple[str, str]]:
    """Where a spec asks for more than the recoding of whole columns, and what that is."""
    if spec.recoding.method != "full-domain":
        yield "recoding.method", f"recoding by {spec.recoding.method}, unlike full-domain,"
    if spec.recoding.suppressed == "cell":
        yield "recoding.suppressed", "the suppression of single cells"
    if spec.transforms:
        yield "transforms", "a transform of values"
    if any(column.represent == "range" for column in spec.columns.values()):
        yield "columns", "represent: range (a range with two named ends)"


def _texts_of_floats(spec: Spec, floats: set[str]) -> None:
    """Refuses, for an engine that writes 1.0 as 1, what reads floating-point numbers as texts."""
    for name in floats & spec.columns.keys():
        declared = spec.columns[name]
        starred = spec.recoding.suppressed == "star" and declared.role == "quasi-identifier"
        listed = declared.hierarchy is not None and declared.hierarchy.rows(Path(spec.base)) is not None
        if starred or listed:
            raise SpecError(
                f"floating-point numbers have no texts that are the same on every engine, as"
                f" {'a tabled hierarchy' if listed else 'suppressed: star'} needs them; cast the column to numeric in"
                " a `query:` or a view", where=f"columns.{name}",
            )  # fmt: skip
