"""Measures any relation there is: a table, a view, a file, a data frame; released by sqlanon or by somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Order
from sqlanon.measures import Reference, Rows, measured
from sqlanon.models import (
    AlphaKAnonymity,
    AverageRisk,
    BetaLikeness,
    KAnonymity,
    LDiversity,
    Model,
    TCloseness,
    Verdict,
    column_of,
    judgement,
    needed,
    verdicts,
)
from sqlanon.plan import ORDERED, check_distance
from sqlanon.query import Query
from sqlanon.utility import Against, Utility


@dataclass(frozen=True)
class Check:
    """What was measured on one relation. `holds` is None where nothing was asked to hold."""

    source: str
    rows: int
    classes: int
    quasi_identifiers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    holds: bool | None
    utility: Utility | None = None

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
    engine: DuckDB,
    origin: Origin,
    *,
    quasi_identifiers: Sequence[str],
    sensitive: Sequence[str] = (),
    models: Sequence[Model] = (),
    hierarchies: Mapping[str, Hierarchy] | None = None,
    base: Path = Path(),
    against: Against | None = None,
) -> Check:
    """Measures a relation, in one pass over its rows for all models; without models, reports every measure there is.

    The relation itself is the table that distances compare with; `against` its source, its usefulness is told too.
    Raises `SpecError`, `EngineError`.
    """
    columns = {found.name: found for found in engine.columns(origin)}
    asked = [name for name in map(column_of, models) if name]
    _there(columns, {"--qi": quasi_identifiers, "--sensitive": sensitive, "--model": asked})
    if not quasi_identifiers:
        raise SpecError("at least one quasi-identifier is needed", where="--qi", allowed=columns)
    arranged = dict(hierarchies or {})
    wanted = tuple(models) or _every(columns, sensitive, arranged)
    for model in wanted:
        if not (isinstance(model, TCloseness) and isinstance(arranged.get(model.column), Order)):
            check_distance(model, columns)
    steps, references = _arranged(wanted, arranged, base)
    used = tuple(dict.fromkeys([*quasi_identifiers, *(name for name in map(column_of, wanted) if name)]))
    read = ", ".join(f"s.{engine.sql(query.identifier(name))}" for name in used)
    source = Query(()).then("source", query.Text(f"SELECT {read}\nFROM {engine.origin(origin)} AS s"), inline=True)
    chain = measured(Rows("source", tuple(quasi_identifiers)), needed(wanted), references)
    asking = source.join(steps).join(chain.query).then("judged", judgement(wanted, chain))
    (row,) = engine.run("measure the relation", asking)
    found = verdicts(wanted, row, judged=bool(models))
    holds = all(v.holds for v in found) if models else None
    useful = against.measure(engine, origin, quasi_identifiers, sensitive) if against else None
    return Check(str(origin), int(row[0]), int(row[1]), tuple(quasi_identifiers), found, holds, useful)


def _there(columns: Mapping[str, Column], named: Mapping[str, Sequence[str]]) -> None:
    for where, names in named.items():
        for name in names:
            if name not in columns:
                raise SpecError("the relation has no such column", where=where, found=name, allowed=columns)


def _every(
    columns: Mapping[str, Column], sensitive: Sequence[str], arranged: Mapping[str, Hierarchy]
) -> tuple[Model, ...]:
    """A model for every measure that the columns allow; their bounds are not looked at."""
    found: list[Model] = [KAnonymity(1), AverageRisk(1)]
    for name in sensitive:
        found += [LDiversity(name, 1, "distinct"), LDiversity(name, 1, "entropy"), LDiversity(name, 2, "recursive", 1)]
        found += [AlphaKAnonymity(name, 1), TCloseness(name, 1, "equal")]
        hierarchy = arranged.get(name)
        if columns[name].family in ORDERED or isinstance(hierarchy, Order):
            found.append(TCloseness(name, 1, "ordered"))
        if hierarchy is not None and not isinstance(hierarchy, Order):
            found.append(TCloseness(name, 1, "hierarchical"))
        found += [BetaLikeness(name, 1, "basic"), BetaLikeness(name, 1, "enhanced")]
    return tuple(found)


def _arranged(
    models: Sequence[Model], hierarchies: Mapping[str, Hierarchy], base: Path
) -> tuple[Query, dict[str, Reference]]:
    """The steps that hold the hierarchies of sensitive columns, and how each column's values are compared."""
    steps, references = Query(()), dict[str, Reference]()
    for name in dict.fromkeys(column_of(model) for model in models):
        if name is None:
            continue
        hierarchy = hierarchies.get(name)
        rows = hierarchy.rows(base) if hierarchy and not isinstance(hierarchy, Order) else None
        tree = None
        if rows:
            height = len(rows[0]) - 1
            labels = [f"node {level} of {name}" for level in range(height)]
            steps = steps.join(Query((query.values(f"tree of {name}", labels, (row[:height] for row in rows)),)))
            tree = (f"tree of {name}", height)
        elif any(isinstance(m, TCloseness) and m.column == name and m.distance == "hierarchical" for m in models):
            raise SpecError("a hierarchical distance needs the column's hierarchy", where="--hierarchy", found=name)
        references[name] = Reference("source", None, hierarchy.values if isinstance(hierarchy, Order) else (), tree)
    return steps, references
