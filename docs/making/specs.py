"""The spec and the flow model, from their JSON Schemas: every key with its kind, its default and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from making.text import NOTE, cell, code, table
from sqlanon.flow.model import FlowModel
from sqlanon.reading import object_schema
from sqlanon.spec import schema

Schema = Mapping[str, Any]
_LINKS = {"model": "models.md", "hierarchy": "hierarchies.md", "transform": "transforms.md"}


def alternatives(found: Schema) -> Iterator[Schema]:
    """A schema without its unions: each thing that may stand there."""
    inner = found.get("anyOf") or found.get("oneOf")
    if not inner:
        yield found
        return
    for one in inner:
        yield from alternatives(one)


def keys(found: Schema) -> dict[str, Schema]:
    """The keys of the objects that may stand there; other spellings with `_` are left out."""
    told: dict[str, Schema] = {}
    for one in alternatives(found):
        for name, inner in one.get("properties", {}).items():
            if "_" not in name or name.replace("_", "-") not in one["properties"]:
                told.setdefault(name, inner)
    return told


def kind(found: Schema) -> str:
    """What may stand there, in words."""
    words: list[str] = []
    for one in alternatives(found):
        if "$ref" in one:
            name = one["$ref"].rsplit("/", 1)[1]
            word = f"[a {name}]({_LINKS[name]})"
        elif "enum" in one:
            word = ", ".join(code(str(value)) for value in one["enum"])
        elif "const" in one:
            word = code(str(one["const"]))
        elif one.get("type") == "array":
            word = f"list of {kind(one['items'])}" if one.get("items") else "list"
        elif one.get("type") == "object":
            inner = one.get("additionalProperties")
            word = f"mapping to {kind(inner)}" if isinstance(inner, Mapping) else "mapping of the keys below"
        elif one.get("type") == "null":
            continue
        else:
            word = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes or no"}.get(
                str(one.get("type")), "nested mapping"
            )
        words.append(word)
    return " or ".join(dict.fromkeys(words))


def limits(found: Schema) -> str:
    """The least, the greatest, the form and the default, where there are any."""
    told = []
    for one in [found, *alternatives(found)]:
        for key, text in (("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}")):
            if key in one:
                told.append(text.format(one[key]))
        told += [f"e.g. {code(str(example))}" for example in one.get("examples", ())]
    if "default" in found:
        default = str(found["default"])
        told.append(f"default {code(default.lower() if isinstance(found['default'], bool) else default)}")
    return ", ".join(dict.fromkeys(told))


def rows(found: Schema, required: set[str]) -> Iterator[tuple[str, str, str]]:
    """A row per key of an object."""
    for name, inner in keys(found).items():
        told = cell(str(inner.get("description", "")))
        more = limits(inner)
        yield (
            f"`{name}`" + (" **required**" if name in required else ""),
            kind(inner),
            f"{told} {f'({more})' if more else ''}".strip(),
        )


def required(found: Schema) -> set[str]:
    """The keys that every object that may stand there needs."""
    return {name for one in alternatives(found) for name in one.get("required", ())}


def values(found: Schema) -> Schema:
    """What the keys of a mapping, or the items of a list, stand for; else the thing itself."""
    for one in alternatives(found):
        if isinstance(one.get("additionalProperties"), Mapping):
            return values(one["additionalProperties"])
        if isinstance(one.get("items"), Mapping):
            return values(one["items"])
    return found


def sections(found: Schema, path: str, depth: int) -> Iterator[str]:
    """A section per object below the top."""
    for name, inner in keys(found).items():
        below, place = values(inner), f"{path}.{name}" if path else name
        if not keys(below) or (name == "source" and path):
            continue
        about = str(inner.get("description", ""))
        yield f"{'#' * depth} `{place}`\n\n{about}\n\n"
        yield table(("key", "what stands there", "says"), rows(below, required(below))) + "\n"
        yield from sections(below, place, min(depth + 1, 4))


def page() -> str:
    """The page of the spec."""
    found = schema()
    head = (
        f"# The spec\n\n{NOTE}{found['description']} Every column of the source is named; what is not named, or not"
        " known, stops the plan. Paths are relative to the folder of the file. `sqlanon schema` prints the JSON"
        " Schema from"
        " which this page is made, for editors that complete and check YAML.\n\nA key with a hyphen may be"
        " written with an"
        " underscore. Every problem of a file is told at once, each with its line, its column, what was found, what is"
        " allowed and the nearest right word.\n\n## The whole\n\n"
    )
    return (
        head
        + table(("key", "what stands there", "says"), rows(found, required(found)))
        + "\n"
        + "".join(sections(found, "", 2))
    )


def flow_page() -> str:
    """The page of the flow model."""
    found = object_schema(FlowModel)
    return (
        f"# Flow models\n\n{NOTE}{found['description']} The file that `sqlanon flow` reads. Its rules are in"
        " [rules](rules.md).\n\n"
        + table(("key", "what stands there", "says"), rows(found, required(found)))
        + "\n"
        + "".join(sections(found, "", 2))
    )


def parameters(found: Schema) -> list[tuple[str, str, str]]:
    """The parameters of one model, transform or hierarchy."""
    return list(rows(found, required(found)))
