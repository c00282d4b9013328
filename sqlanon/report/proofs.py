"""The models of a report: what was promised and measured, in words for everybody, and the SQL that measures it."""

from __future__ import annotations

import math
import re
from typing import Any

from sqlanon import query
from sqlanon.check import reading
from sqlanon.hierarchies import Order
from sqlanon.measuring import Reference, Rows, arrange, measured
from sqlanon.models import Model, Verdict, column_of, guard_of, judgement, needed
from sqlanon.query import Query, column, named
from sqlanon.report.meanings import meaning_of
from sqlanon.report.minimum import Cell, digits
from sqlanon.report.subjects import Subject

# Models whose value is a number of records or persons, and those whose value is a share of the records.
_COUNTS = ("k-anonymity", "k-map", "k-m-anonymity", "safepub", "balanced-p-plus-sensitivity", "value-prediction")
_SHARES = ("sample-uniqueness", "m-uniqueness")


def models(subject: Subject, cell: Cell) -> list[dict[str, Any]]:
    """One entry per model, in the order of the spec. Changes nothing, and runs nothing."""
    return [_told(subject, model, one, cell) for model, one in zip(subject.models, subject.verdicts, strict=True)]


def _told(subject: Subject, model: Model, found: Verdict, cell: Cell) -> dict[str, Any]:
    value = shown(found, cell, rows=subject.records)
    sql, note = proof(subject, model)
    if found.value is not None and value is None:
        note = "; ".join(filter(None, [f"the value is a number of fewer than {cell.persons}, and is not told", note]))
    records = cell.count(found.rows_violating)
    hidden = records is None
    words = meaning_of(model, found, persons=subject.persons)
    return {
        "model": found.model, "column": found.column, "parameters": _parameters(found),
        "value": value, "bound": found.bound, "holds": found.holds, "margin": _margin(model, value, found.bound),
        "classes_violating": None if hidden or found.holds is None else found.classes_violating,
        "rows_violating": None if found.holds is None else records,
        "meaning": words.meaning, "protects_against": words.protects, "not_against": words.leaves,
        "paper": words.paper, "sql": sql, "note": note,
    }  # fmt: skip


def shown(found: Verdict, cell: Cell, *, rows: int | None = None) -> float | None:
    """The worst class's value as a report may tell it: no small number, no exact difference of two cells."""
    value = found.value
    if value is None or not math.isfinite(value):
        return None
    if found.model in _COUNTS:
        return cell.size(int(value))
    if found.model in _SHARES and (rows is None or 0 < round(value * rows) < cell.persons):
        return 0.0 if value == 0 else None
    if found.model == "k-e-anonymity":  # the least and the greatest value of a class are somebody's
        return _floor(value)
    return value if isinstance(value, int) else digits(value, 6)


def _floor(value: float) -> float:
    """Rounded down to two digits."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / unit + 1e-9) * unit:.2g}")


def _margin(model: Model, value: float | None, bound: float | None) -> float | None:
    """How far the value is on the right side of the bound; negative where it is beyond."""
    if value is None or bound is None:
        return None
    return digits(value - bound if model.worst == "min" else bound - value, 6)


def _parameters(found: Verdict) -> dict[str, Any]:
    """The parameters, without values of the source that a model names."""
    return {key: f"{len(v)} values" if isinstance(v, list) else v for key, v in found.parameters.items()}


# -- the SQL -----------------------------------------------------------------------------------------------------------


def proof(subject: Subject, model: Model) -> tuple[str | None, str | None]:
    """The statement that measures a model on the published relation by itself, or why there is none; and a note.

    It selects `value`, `classes_violating` and `rows_violating`.
    """
    if reason := _silent(subject, model):
        return None, reason
    item = subject.public or ""
    columns = {found.name: found for found in subject.engine.columns(subject.rows)}
    of = column_of(model)
    asked = tuple(dict.fromkeys([*subject.keys, *([of] if of else [])]))
    raw = {of} if of and (model.requires == "set" or columns[of].family == "float") else set()
    steps = Query(()).then(
        "source", reading(subject.engine, item, asked, columns, raw), "the published rows", inline=True
    )
    relation, note = "source", None
    if "table" in model.reads and subject.reference is not None:
        relation = "table before suppression"
        steps = steps.then(relation, query.Text(f"SELECT * FROM {subject.reference} AS r"), inline=True)
    elif "table" in model.reads and subject.kind != "relation":
        note = "compares with the published rows, where the value compares with the source"
    if "persons" in model.reads and subject.persons:
        note = "counts records: no published column tells persons apart, and k counts persons"
        if subject.kind != "relation":
            note = "the value counts persons; the SQL counts records, since no published column tells persons apart"
    references: dict[str, Reference] = {}
    if of:
        made, references[of] = arrange(
            of, needed([model]), relation=relation, family=columns[of].family, type_=columns[of].type
        )
        steps = steps.join(made)
    chain = measured(Rows("source", subject.keys), needed([model]), references)
    steps = steps.join(chain.query).then("judged", judgement([model], chain))
    told = [named(column(f"{a}_0"), b) for a, b in
            (("value", "value"), ("classes", "classes_violating"), ("rows", "rows_violating"))]  # fmt: skip
    return _without_folders(subject.engine.rendered(steps.then("told", query.select(told, "judged")))), note


_READ = re.compile(r"(\bread_\w+\()'(?:[^']|'')*[/\\]((?:[^'/\\]|'')*)'")


def _without_folders(sql: str) -> str:
    """Files by their names alone: where they lie is nobody's business outside. Run it in the folder of the file."""
    return _READ.sub(r"\1'\2'", sql)


def _silent(subject: Subject, model: Model) -> str | None:
    """Why a model's SQL does not stand in the report."""
    of = column_of(model)
    hierarchy = subject.hierarchies.get(of or "")
    if subject.public is None:
        return subject.unpublic
    if model.estimated:
        return "decided by statistics over the class sizes, not by SQL"
    if "population" in model.reads:
        return "compares with the population table, recoded as the release is; sqlanon verify measures it"
    if "guard" in model.reads or guard_of(model):
        return "reads a column that is not published"
    lists = any(isinstance(value, list | tuple) and value for value in model.parameters.values())
    tree = model.requires == "hierarchy" or any(m.grouping or m.steps in ("hierarchical", "breach")
                                                for m in model.measures().values())  # fmt: skip
    if lists or tree or (isinstance(hierarchy, Order) and "table" in model.reads):
        return "its SQL would hold the values of a hierarchy, which a report leaves out; sqlanon verify measures it"
    if "table" in model.reads and subject.reference and subject.spec and subject.spec.source.query:
        return "it compares with the source's own query, which may name values; sqlanon verify measures it"
    if "table" in model.reads and " IN (" in (subject.reference or ""):
        return "its SQL would hold the values of a hierarchy, which a report leaves out; sqlanon verify measures it"
    return None
