"""Reads a data flow diagram in the XML of OPERANDO's privacy modelling (its `dfd`) into the form of our own file.

Roles and actors become actors, records name the kinds of fields (ei, qi, sensitive), each datastore gets the fields
that flow into it or out of it. The XML holds no permissions: nobody may read anything until some are added. Form:
OPERANDOH2020/op-privacy-modelling, docs/dataflow.md and simpleflow.xml (reference: models, 3.6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sqlanon.errors import SpecError
from sqlanon.flow.model import SUBJECT

_KINDS = {"ei": "identifier", "qi": "quasi-identifier", "sensitive": "sensitive"}


def read(file: Path) -> dict[str, Any]:
    """The diagram as a mapping of our own form. Raises `SpecError` for what is no such diagram."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise SpecError("this file cannot be read as text in UTF-8", where=str(file)) from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SpecError("a diagram declares no document type and no entities", where=str(file))
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        line, at = error.position
        raise SpecError("this is not XML", where=f"{file}:{line}:{at + 1}") from None
    if root.tag.lower() not in ("dfd", "model") or root.find("flow") is None:
        raise SpecError("the diagram has no flow", where=str(file), found=root.tag, allowed=("dfd",))
    return _model(root, file)


def _model(root: Element, file: Path) -> dict[str, Any]:
    diagram = root.find("flow")
    parts = [] if diagram is None else list(diagram)
    labels = {_text(part, "id", file) or _label(part, file): _label(part, file) for part in parts}
    labels |= {label: label for label in labels.values()}
    stores = [_label(part, file) for part in parts if part.tag == "datastore"]
    flows = [flow for part in parts for flow in _flows(part, labels, file)]
    actors = [_label(part, file) for part in parts if part.tag == "actor"]
    actors += [name for role in root.iter("role") if (name := _text(role, "name", file))]
    kinds = _kinds(root)
    schemas: dict[str, dict[str, str]] = {store: {} for store in stores}
    for flow in flows:
        for end in (flow["from"], flow["to"]):
            if end in schemas:
                schemas[end] |= {name: kinds.get(name, "insensitive") for name in flow["fields"]}
    return {
        "actors": [name for name in dict.fromkeys(actors) if name != SUBJECT and name not in stores],
        "stores": {name: {"fields": fields} for name, fields in schemas.items()},
        "flows": flows,
    }


def _text(node: Element, tag: str, file: Path) -> str | None:
    found = node.find(tag)
    return found.text.strip() if found is not None and found.text and found.text.strip() else None


def _label(node: Element, file: Path) -> str:
    found = _text(node, "label", file)
    if found is None:
        raise SpecError(f"a part of the flow ({node.tag}) has no label", where=str(file))
    return found


def _kinds(root: Element) -> dict[str, str]:
    """The kind of each field, by its name as the flows write it: alone or with its record's before it."""
    found = {}
    for record in root.iter("records"):
        name = (record.findtext("name") or "").strip()
        for one in record.iter("field"):
            field, kind = (one.findtext("name") or "").strip(), (one.findtext("type") or "").strip().lower()
            if field:
                found[field] = found[f"{name}.{field}"] = _KINDS.get(kind, "insensitive")
    return found


def _flows(part: Element, labels: dict[str, str], file: Path) -> list[dict[str, Any]]:
    found = []
    for flow in part.findall("flow"):
        to, order = _text(flow, "to", file), _text(flow, "sequence", file)
        where = f"{file}: the flow from {_label(part, file)}"
        if to not in labels:
            raise SpecError("it leads nowhere that is declared", where=where, found=to, allowed=labels)
        if order is None or not order.isdecimal() or len(order) > 9:
            raise SpecError("its sequence is a whole number", where=where, found=order)
        fields = [field.text.strip() for field in flow.iter("field") if field.text and field.text.strip()]
        if not fields:
            raise SpecError("it carries no field", where=where)
        purpose = _text(flow, "purpose", file)
        made = {"order": int(order), "from": _label(part, file), "to": labels[to], "fields": fields}
        found.append({**made, "purpose": purpose} if purpose else made)
    return found
