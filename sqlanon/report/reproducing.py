"""How to make it again: the spec without anything that could be a value, and the commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlanon.annotations import keys_of
from sqlanon.hierarchies import Date, Hierarchy, Mask, Width
from sqlanon.models import Model
from sqlanon.report.subjects import Subject
from sqlanon.spec import Column, Spec

_LEFT_OUT = "left out: it names values"


def reproduce(subject: Subject) -> dict[str, Any]:
    """The spec as text, and the commands that make, verify and report the same again; `URL` is the reader's to know."""
    own, at = shlex.quote(subject.name or "NAME"), "--db URL"
    commands = {
        "release": [f"sqlanon verify {own} {at}", f"sqlanon attack {own} {at}", f"sqlanon refresh {own} {at}",
                    f"sqlanon report {own} {at} -o report.html"],
        "plan": [f"sqlanon plan SPEC.yaml {at} --utility", f"sqlanon release SPEC.yaml {at}"],
        "relation": [f"sqlanon check {own} --qi {shlex.quote(','.join(subject.keys))} {at}"],
    }  # fmt: skip
    return {"spec": written(subject.spec) if subject.spec else None, "commands": commands[subject.kind]}


def written(spec: Spec) -> str:
    """A spec as YAML that holds names, roles and numbers: no tree, list of values, query or rule."""
    lines = ["source: " + _flow(_source(spec))]
    lines += [f"entity: {_flow(spec.entity)}"] if spec.entity else []
    lines += ["population: " + _flow("another relation")] if spec.population else []
    lines += ["columns:", *(f"  {_flow(name)}: {_flow(_column(column))}" for name, column in spec.columns.items())]
    lines += ["privacy:", *(f"  - {_flow(_model(model))}" for model in (*spec.privacy, *spec.blanked))]
    if spec.transforms:
        lines += ["transforms:", *(f"  - {_flow({'transform': one.name, '…': _LEFT_OUT})}" for one in spec.transforms)]
    lines += ["recoding: " + _flow(_set(spec.recoding))]
    lines += ["rules: " + _flow(f"{len(spec.rules)} rules, left out")] if spec.rules else []
    if spec.publish:
        told = _set(spec.publish) | {"name": spec.publish.name, "as": spec.publish.as_}
        told |= {"path": _name(spec.publish.path)} if spec.publish.path else {}
        lines += ["publish: " + _flow(told)]
    return "\n".join([*lines, ""])


def _flow(value: object) -> str:
    """JSON is YAML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _source(spec: Spec) -> object:
    source = spec.source
    return source.table or (_name(source.file) if source.file else {"query": "left out: it may name values"})


def _column(column: Column) -> object:
    told = {key: value for key, value in _set(column).items() if key not in ("role", "hierarchy")}
    whole = {"role": column.role, **({"hierarchy": _hierarchy(column.hierarchy)} if column.hierarchy else {}), **told}
    return whole if len(whole) > 1 else column.role


def _hierarchy(hierarchy: Hierarchy) -> object:
    if isinstance(hierarchy, Width):
        return {"width": [int(w) if w == int(w) else float(w) for w in hierarchy.widths]}
    if isinstance(hierarchy, Mask):
        return {"mask": hierarchy.characters}
    if isinstance(hierarchy, Date):
        return {"date": list(hierarchy.levels)}
    path = getattr(hierarchy, "path", None)
    return {hierarchy.name: _name(path) if path else _LEFT_OUT}


def _name(path: str) -> str:
    """A file's name without its folders, which are nobody's business outside."""
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _model(model: Model) -> dict[str, object]:
    usual = {f.name: f.default for f in fields(model)}  # type: ignore[arg-type]
    told = {key: value for key, value in model.parameters.items() if value != usual.get(key)}
    column = {"column": model.column} if hasattr(model, "column") else {}
    return {"model": model.name, **column, **{k: _LEFT_OUT if isinstance(v, list) else v for k, v in told.items()}}


def _set(value: Any) -> dict[str, object]:
    """The keys of a dataclass that are plain and not as they are without being said."""
    usual = {f.name: f.default for f in fields(value)}
    found = {
        key: getattr(value, name)
        for key, (name, *_) in keys_of(type(value)).items()
        if getattr(value, name) != usual.get(name)
    }
    return {
        key: dict(v) if isinstance(v, Mapping) else list(v) if isinstance(v, tuple) else v
        for key, v in found.items() if isinstance(v, str | int | float | tuple | Mapping)
    }  # fmt: skip
