"""What of a spec runs in a server: refused before anything is read, and never half done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlanon.engines import Column, Engine
from sqlanon.errors import SpecError
from sqlanon.spec import Spec


def require_portable(spec: Spec, engine: Engine, columns: Sequence[Column]) -> None:
    """Refuses what the engine has no type for, or would not do as every other one. Raises `SpecError`."""
    if not engine.can("ranges"):
        for name, column in spec.columns.items():
            if column.represent == "range":
                raise SpecError(
                    f"{engine.name} has no type for a value with two named ends that all columns could have; publish"
                    f" bounds, {name}_from and {name}_to", where=f"columns.{name}.represent", found="range",
                    allowed=("label", "bounds"),
                )  # fmt: skip
    one_spelling(spec.entity, columns, "entity")
    if not engine.can("texts of floats"):
        _texts_of_floats(spec, {found.name for found in columns if found.family == "float"})


def one_spelling(entity: str | None, columns: Sequence[Column], where: str) -> None:
    """Refuses persons whose identifiers are equal to their type and look different: one would count several times.

    Raises `SpecError`.
    """
    if any(found.name == entity and found.type.rsplit(".", 1)[-1] == "citext" for found in columns):
        told = "one person may be written in several ways in a column of type citext; read lower(…) of it in a query"
        raise SpecError(told, where=where, found=entity)


def _texts_of_floats(spec: Spec, floats: set[str]) -> None:
    """Refuses sensitive floating-point numbers that are looked up as texts, on an engine that writes 1.0 as 1."""
    for name in floats & spec.columns.keys():
        declared = spec.columns[name]
        if declared.role == "sensitive" and declared.hierarchy and declared.hierarchy.rows(Path(spec.base)) is not None:
            raise SpecError(
                "floating-point numbers have no texts that are the same on every engine, as a tabled hierarchy of"
                " sensitive values needs them; cast the column to numeric in a `query:` or a view",
                where=f"columns.{name}",
            )
