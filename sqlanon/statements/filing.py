"""A spec as the YAML file that says it, as a person would write it: short forms, a column and a model a line."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError
from sqlanon.hierarchies import HIERARCHIES, Csv, Hierarchy
from sqlanon.models import Model
from sqlanon.presets import Asked
from sqlanon.recoding.transforms import Transform
from sqlanon.spec import Spec
from sqlanon.statements.writing import asked, by_itself, short, unusual

_WIDTH = 110
_OPEN = ("columns", "privacy", "related", "transforms", "rules")  # an item a line, however short they are
_TAG = "tag:yaml.org,2002:"


class _Dumper(yaml.SafeDumper):
    """Safe YAML in which texts of several lines stand as such, and all but plain words is in quotes."""

    def text(self, text: str) -> ScalarNode:
        plain = re.fullmatch(r"[./]{0,3}[A-Za-z_][A-Za-z0-9_]*([-./]+[A-Za-z0-9_]+)*", text)
        style = "|" if "\n" in text else None if plain else '"'
        return self.represent_scalar(_TAG + "str", text, style=style)

    def decimal(self, value: Decimal) -> ScalarNode:
        text = format(value, "f")
        return self.represent_scalar(_TAG + ("float" if "." in text else "int"), text)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Lists stand further in than the key that they belong to."""
        super().increase_indent(flow, False)


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(Decimal, _Dumper.decimal)


def file_of(spec: Spec) -> str:
    """The text of the file, with which `load` makes the same spec again; paths stay as they are.

    Raises `SpecError` for a hierarchy that only a release remembers.
    """
    node = _Dumper(io.StringIO(), sort_keys=False).represent_data(_spec(spec))
    if not isinstance(node, MappingNode):
        raise TypeError("a spec is a mapping")
    node.flow_style = False
    for key, value in node.value:
        _styled(value, len(key.value) + 2, opened=key.value in _OPEN)
    return _text(node)


def _styled(node: Node, indent: int, *, opened: bool = False) -> None:
    """Decides what stands on one line: what fits, and holds no text of several lines."""
    if not isinstance(node, CollectionNode):
        return
    _flow(node)
    fits = not node.value or (not opened and indent + len(_text(node)) <= _WIDTH and not _lines(node))
    node.flow_style = fits
    for inner in node.value:
        if isinstance(node, MappingNode):
            _styled(inner[1], indent + len(inner[0].value) + 2)
        else:
            _styled(inner, indent + 2)


def _text(node: Node) -> str:
    return str(yaml.serialize(node, Dumper=_Dumper, width=math.inf, allow_unicode=True))


def _all(node: Node) -> Iterator[Node]:
    """A node and all in it."""
    yield node
    if not isinstance(node, ScalarNode):
        for inner in node.value:
            for one in inner if isinstance(inner, tuple) else (inner,):
                yield from _all(one)


def _flow(node: Node) -> None:
    for one in _all(node):
        if isinstance(one, CollectionNode):
            one.flow_style = True


def _lines(node: Node) -> bool:
    """Whether a text of several lines is in it."""
    return any(isinstance(one, ScalarNode) and "\n" in one.value for one in _all(node))


def _spec(spec: Spec) -> dict[str, Any]:
    """A spec as mappings and lists, in the order of its keys."""
    said = short(spec)
    found = {key: plain(value) for key, value in unusual(said).items()}
    found["privacy"] = [plain(model) for model in asked(spec)]
    if spec.publish is not None and spec.publish.path == f"{spec.publish.name}.parquet":
        found["publish"].pop("path", None)
    return found


def plain(value: Any) -> Any:
    """A value of a spec as its file has it."""
    if isinstance(value, Asked):
        return {"preset": value.preset}
    if isinstance(value, Hierarchy):
        if type(value) not in HIERARCHIES.values() or (isinstance(value, Csv) and value.kept):
            raise SpecError("a hierarchy that a release remembers has no spelling: name its file", where=value.name)
        first, *more = keys_of(type(value))
        content = {key: plain(one) for key, one in unusual(value).items()}
        return {value.name: content if any(key in content for key in more) else content[first]}
    if isinstance(value, Model | Transform):
        return {"model" if isinstance(value, Model) else "transform": value.name, **_keys(value)}
    if is_dataclass(value):
        alone = by_itself(value)
        return _keys(value) if alone is None else plain(alone)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _keys(value: Any) -> dict[str, Any]:
    return {key: plain(one) for key, one in unusual(value).items()}
