"""YAML into dataclasses, as their annotations want it; every problem with its line, its word and the nearest right one.

What a file may hold is said once, by the annotations of dataclasses: `Annotated[type, "description", {limits}]`.
Reading and the editor's JSON Schema both follow them, so a new model or key needs no line here. A class may say which
of its keys a text alone stands for (`short_key`, and `short_keys` if it may be one of several), and what contradicts
itself in its parts (`contradictions`).
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, is_dataclass
from datetime import date
from decimal import Decimal
from functools import reduce
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError, nearest
from sqlanon.hierarchies import HIERARCHIES, Hierarchy
from sqlanon.models import MODELS, Model
from sqlanon.presets import PRESETS, Asked
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.recoding.transforms import Transform

T = TypeVar("T")
Place = tuple[str | int, ...]  # the keys and positions that lead to a value
Problem = tuple[Place, str, str | None, Iterable[str]]  # where, what is wrong, the word found, the words allowed

_TAG = "tag:yaml.org,2002:"
_TEXT = _TAG + "str"
NULL = _TAG + "null"
_DATE = _TAG + "timestamp"
_KINDS = {
    "str": "text", "int": "a whole number", "float": "a decimal number", "bool": "true or false",
    "null": "nothing", "timestamp": "a date", "seq": "a list", "map": "a mapping",
}  # fmt: skip
_SCALARS: dict[Any, tuple[str, tuple[str, ...]]] = {
    str: ("text", ("str",)), int: ("a whole number", ("int",)), bool: ("true or false", ("bool",)),
    float: ("a number", ("int", "float")), Decimal: ("a number", ("int", "float")),
}  # fmt: skip
_UNREAD: Any = object()  # stands for a value in which something is wrong
_MOST_VALUES = 1_000_000  # aliases of aliases could expand a short file without end


class Loader(yaml.SafeLoader):
    """Safe YAML, in which dates are text as they are written, and 1e-3 is a number."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in (_TAG + "timestamp", _TAG + "value")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))
_PLAIN = cast(Any, Loader(""))


class Representer(yaml.representer.SafeRepresenter):
    """Python values as nodes."""


Representer.add_multi_representer(dict, lambda r, value: r.represent_dict(value))
Representer.add_multi_representer(str, lambda r, value: r.represent_str(str(value)))
Representer.add_multi_representer(PurePath, lambda r, value: r.represent_str(str(value)))
Representer.add_representer(Decimal, lambda r, value: r.represent_scalar(_TAG + "float", str(value)))


def _kind(node: Node) -> str:
    return _KINDS.get(node.tag.removeprefix(_TAG), f"a value tagged {node.tag}")


def _items(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key.value: (key, value) for key, value in node.value}


def _optional(hint: Any) -> Any:
    """The X of `X | None`, else None."""
    args = get_args(hint)
    return reduce(operator.or_, (a for a in args if a is not NoneType)) if NoneType in args else None


def _either(hint: Any) -> tuple[Any, ...]:
    """The scalars of `X | Y`; none where the hint is no such union."""
    return get_args(hint) if isinstance(hint, UnionType) else ()


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def path_text(place: Place) -> str:
    """A place as people write it: `columns.age.hierarchy`."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w-]+", part) else json.dumps(part, ensure_ascii=not part.isprintable())
            text += f".{word}" if text else word
    return text


def together(errors: list[SpecError]) -> SpecError:
    """Several problems as one, a line each; its attributes are those of the first."""
    found = errors[0]
    if len(errors) > 1:
        found = SpecError("\n".join(map(str, errors)))
        vars(found).update({name: vars(errors[0])[name] for name in ("where", "found", "allowed", "suggestion")})
    return found


class Reader:
    """Reads nodes as their annotations want them, and notes every problem with its place."""

    def __init__(self, origin: str, root: Node, marked: bool = True) -> None:
        self.origin, self.root, self.marked = origin, root, marked
        self.problems: list[tuple[tuple[int, int], SpecError]] = []
        self.constructor = yaml.constructor.SafeConstructor()
        self.sizes: dict[int, int] = {}  # of nodes that were surveyed; 0 while that goes on

    def finish(self, kind: type[T]) -> T:
        """The root as an instance of `kind`, or one SpecError with all problems, first line first."""
        try:
            self.survey(self.root, ())
            found = self.build(self.root, kind, ())
        except yaml.MarkedYAMLError as error:  # `<<` with something that cannot be merged
            raise _not_yaml(self.origin, error) from None
        if self.problems:
            raise self.failure()
        return cast(T, found)

    def failure(self) -> SpecError:
        return together([error for _, error in sorted(self.problems, key=operator.itemgetter(0))])

    def note(self, node: Node, place: Place, problem: str, found: str | None = None, allowed: Iterable[str] = (),
             suggestion: str | None = None) -> Any:  # fmt: skip
        mark = node.start_mark
        at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        where = self.where(node, place)
        found = found if found is None or len(found) <= 60 else found[:59] + "…"
        self.problems.append((at, SpecError(problem, where=where, found=found, allowed=allowed, suggestion=suggestion)))
        return _UNREAD

    def where(self, node: Node, place: Place) -> str | None:
        """A place as messages tell it: the file with line and column, and the path of keys."""
        mark = node.start_mark
        origin = f"{self.origin}:{mark.line + 1}:{mark.column + 1}" if mark and self.marked else self.origin
        return ": ".join(filter(None, (origin, path_text(place)))) or None

    def unfit(self, node: Node, place: Place, needs: str, allowed: Iterable[str] = ()) -> Any:
        """Note that a node is of the wrong kind."""
        text = node.value if isinstance(node, ScalarNode) and node.value else None
        problem, quoted = f"needs {needs}, not {_kind(node)}", None
        if text and node.tag != _TEXT and needs.startswith("text"):
            problem, quoted = f"{problem}; write it in quotes", json.dumps(text, ensure_ascii=False)
        return self.note(node, place, problem, text, allowed, quoted)

    def survey(self, node: Node, place: Place) -> int:
        """Check what holds for every node (tags, keys, loops), merge `<<`, and count what aliases expand to."""
        if id(node) in self.sizes:
            if not self.sizes[id(node)]:
                self.note(node, place, "this holds itself, through an alias")
                raise self.failure()
            return self.sizes[id(node)]
        self.sizes[id(node)] = 0
        size, tag = 1, node.tag
        if isinstance(node, ScalarNode):
            given = node.start_mark and tag not in (_TEXT, _PLAIN.resolve(ScalarNode, node.value, (True, False)))
            if given or "\0" in node.value:
                self.note(node, place, "tags and zero bytes have no place in a spec", tag if given else None)
        elif tag not in (_TAG + "map", _TAG + "seq"):
            self.note(node, place, "tags have no place in a spec", tag)
        if isinstance(node, SequenceNode):
            size += sum(self.survey(item, (*place, i)) for i, item in enumerate(node.value))
        elif isinstance(node, MappingNode):
            seen: dict[str, Node] = {}
            for key, value in node.value:
                if not isinstance(key, ScalarNode):
                    self.unfit(key, place, "text as a key")
                    raise self.failure()
                inner = (*place, key.value)
                if key.tag not in (_TEXT, _TAG + "merge"):
                    self.unfit(key, inner, "text as a key")
                if key.value in seen:
                    first = seen[key.value].start_mark if self.marked else None
                    line = f", first in line {first.line + 1}" if first else ""
                    self.note(key, inner, f"this key is given twice{line}", key.value)
                if "\0" in key.value:
                    self.note(key, inner, "zero bytes have no place in a spec")
                seen[key.value] = key
                size += self.survey(value, inner)
            self.constructor.flatten_mapping(node)
        if size > _MOST_VALUES:
            self.note(node, place, f"aliases expand this to more than {_MOST_VALUES:,} values")
            raise self.failure()
        self.sizes[id(node)] = size
        return size

    def read(self, node: Node, hint: Any, place: Place) -> Any:
        """The value of a node, as its annotation wants it."""
        if (rest := _optional(hint)) is not None:
            return None if node.tag == NULL else self.read(node, rest, place)
        if hint is Model:
            return self.model(node, place)
        if hint is Transform:
            return self.transform(node, place)
        if hint is Hierarchy:
            return self.hierarchy(node, place)
        if is_dataclass(hint):
            return self.build(node, hint, place)
        if hint in _SCALARS:
            return self.scalar(node, hint, place)
        if either := _either(hint):
            if date in either and node.tag in (_TEXT, _DATE):
                return self.day(node, place)
            scalars = [one for one in either if one is not date]
            fits = (one for one in scalars if node.tag.removeprefix(_TAG) in _SCALARS[one][1])
            return self.scalar(node, next(fits, scalars[0]), place)
        args = get_args(hint)
        if get_origin(hint) is Literal:
            if not isinstance(node, ScalarNode) or not node.value:
                return self.unfit(node, place, "one of the allowed words", args)
            return node.value if node.value in args else self.note(node, place, "not a word for this", node.value, args)
        if get_origin(hint) is tuple:
            if isinstance(node, SequenceNode):
                return tuple(self.read(item, args[0], (*place, i)) for i, item in enumerate(node.value))
            alone = isinstance(node, ScalarNode) and node.tag != NULL
            return (self.read(node, args[0], place),) if alone else self.unfit(node, place, "a list")
        if _is_mapping(hint):
            if not isinstance(node, MappingNode):
                return self.unfit(node, place, "a mapping")
            return {name: self.read(value, args[1], (*place, name)) for name, (_, value) in _items(node).items()}
        return self.plain(node, place)

    def scalar(self, node: Node, hint: Any, place: Place) -> Any:
        needs, tags = _SCALARS[hint]
        if node.tag.removeprefix(_TAG) not in tags:
            return self.unfit(node, place, needs)
        if hint is str:
            return node.value
        try:
            value = self.constructor.construct_object(node)
            if math.isfinite(value):
                return Decimal(str(value)) if hint is Decimal else value
        except (ValueError, OverflowError):
            pass
        return self.note(node, place, "needs a finite number, and not one of thousands of digits", node.value)

    def day(self, node: Node, place: Place) -> Any:
        try:
            return date.fromisoformat(node.value)
        except ValueError:
            return self.note(node, place, "needs a number, or a date like 2000-12-31", node.value)

    def plain(self, node: Node, place: Place) -> Any:
        """Mappings, lists and text as they stand, for what has its own form, such as a tree."""
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            items = _items(node).items()
            return {name: None if v.tag == NULL else self.plain(v, (*place, name)) for name, (_, v) in items}
        return self.scalar(node, str, place)

    def model(self, node: Node, place: Place) -> Any:
        if not isinstance(node, MappingNode):
            return self.unfit(node, place, "a mapping such as {model: k-anonymity, k: 5}")
        return self.preset(node, place) if "preset" in _items(node) else self.one_of(MODELS, "model", node, place)

    def transform(self, node: Node, place: Place) -> Any:
        if not isinstance(node, MappingNode):
            return self.unfit(node, place, "a mapping such as {transform: rounding, column: income, base: 1000}")
        return self.one_of(TRANSFORMS, "transform", node, place)

    def one_of(self, kinds: Mapping[str, Any], key: str, node: MappingNode, place: Place) -> Any:
        """`{KEY: NAME, …}` as the dataclass of that name."""
        _, name = _items(node).get(key, (node, None))
        if name is None:
            typo = next((word for word in _items(node) if nearest(word, [key])), None)
            return self.note(node, place, f"the key {key!r} is missing", typo, kinds, key if typo else None)
        if not isinstance(name, ScalarNode) or name.value not in kinds:
            found = name.value if isinstance(name, ScalarNode) else _kind(name)
            return self.note(name, (*place, key), f"there is no such {key}", found, kinds)
        return self.build(node, kinds[name.value], place, skip=key)

    def preset(self, node: Node, place: Place) -> Any:
        """`{preset: NAME}`, in the place of a model."""
        for key, (at, _) in _items(node).items():
            if key != "preset":
                return self.note(at, (*place, key), "a preset has no parameters", key, ("preset",))
        name = _items(node)["preset"][1]
        if not isinstance(name, ScalarNode) or name.value not in PRESETS:
            found = name.value if isinstance(name, ScalarNode) else _kind(name)
            return self.note(name, (*place, "preset"), "there is no such preset", found, PRESETS)
        return Asked(name.value)

    def hierarchy(self, node: Node, place: Place) -> Any:
        """`{KIND: content}`; the content is that of the first field, or all fields by name."""
        if not isinstance(node, MappingNode) or len(_items(node)) != 1:
            return self.unfit(node, place, "one kind with its content, such as {width: [5, 10]}", HIERARCHIES)
        [(name, (key, content))] = _items(node).items()
        if name not in HIERARCHIES:
            return self.note(key, (*place, name), "there is no such hierarchy", name, HIERARCHIES)
        first, *more = keys_of(HIERARCHIES[name])
        short = "" if more and isinstance(content, MappingNode) else first
        return self.build(content, HIERARCHIES[name], (*place, name), short=short)

    def build(self, node: Node, kind: Any, place: Place, skip: str = "", short: str = "") -> Any:
        """A dataclass from a mapping, or from the value of its one key `short`, if nothing in it is wrong."""
        keys, before, parts = keys_of(kind), len(self.problems), {}
        if hasattr(kind, "short_key") and isinstance(node, ScalarNode):
            short = kind.short_key(node.value)
        if not short and not isinstance(node, MappingNode):
            return self.unfit(node, place, "a mapping", keys)
        items = {short: (node, node)} if short else _items(node)
        missing = {key for key in keys if keys[key].default is MISSING}
        for given, (at, value) in items.items():
            inner = place if short else (*place, given)
            name = given if given in keys else given.replace("_", "-")
            if skip and given == skip:
                continue
            missing -= {name, nearest(given, keys)}
            if name not in keys and at.tag == _TEXT:  # any other tag was noted by `survey`
                self.note(at, inner, "there is no such key", given, [*filter(None, [skip]), *keys])
            elif name in keys and keys[name].name in parts:
                self.note(at, inner, "this key is given twice, in two spellings", given)
            elif name in keys:
                parts[keys[name].name] = self.read(value, keys[name].hint, inner)
        for name in (key for key in keys if key in missing):
            self.note(node, place, f"the key {name!r} is missing")
        for wrong in kind.contradictions(parts) if hasattr(kind, "contradictions") else ():
            self.note(self.at(wrong[0]), *wrong)
        if len(self.problems) > before:
            return _UNREAD
        try:
            return kind(**parts)
        except ValueError as error:  # its sentence begins with the key that it is about, if it is about one
            about = re.match(r"[\w-]*", str(error))[0]  # type: ignore[index]
            value, inner = (items[about][1], (*place, about)) if about in items and not short else (node, place)
            return self.note(value, inner, str(error), value.value if isinstance(value, ScalarNode) else None)

    def at(self, place: Place) -> Node:
        """The node at a place, or the nearest above it."""
        node = self.root
        for part in place:
            if isinstance(node, MappingNode) and part in _items(node):
                node = _items(node)[str(part)][1]
            elif isinstance(node, SequenceNode) and isinstance(part, int):
                node = node.value[part]
        return node


def compose(path: Path, allowed: Iterable[str]) -> MappingNode:
    """The nodes of a file. No message quotes its text, since somebody will name a file of data by mistake."""
    name = str(path) if str(path).isprintable() else ascii(str(path))
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
        raise SpecError("there is no such file", where=name, suggestion=nearest(path.name, there)) from None
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a file"
        raise SpecError(f"this file cannot be read: {reason}", where=name[:200]) from None
    return composed(text, name, allowed)


def composed(text: bytes | str, name: str, allowed: Iterable[str]) -> MappingNode:
    """The nodes of a text, which messages call `name` and never quote."""
    try:
        root = Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, error) from None
    except (ValueError, yaml.YAMLError):
        raise SpecError("this file cannot be read: it is no text in UTF-8", where=name[:200]) from None
    if not isinstance(root, MappingNode):
        found = f"a spec is a mapping, not {_kind(root)}" if root else "the file is empty"
        raise SpecError(found, where=f"{name}:1:1", allowed=allowed)
    return root


def _not_yaml(name: str, error: yaml.MarkedYAMLError) -> SpecError:
    mark = error.problem_mark or error.context_mark
    problem = ", ".join(filter(None, (error.context, error.problem)))
    problem += "; indent with spaces" if r"\t" in problem else ""
    return SpecError(
        f"this is not YAML: {problem}", where=f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    )


def parse_model(text: str) -> Model:
    """A model as the command line writes it: `l-diversity(column="a b", l=3)`; lists are in square brackets.

    The name of a preset stands for its models.
    """
    return Asked(text.strip()) if text.strip() in PRESETS else parse_call(text, MODELS, "model")


def parse_call(text: str, kinds: Mapping[str, type[T]], what: str) -> T:
    """`NAME(KEY=VALUE, …)` as the dataclass of that name; `what` the kinds are called. Raises `SpecError`."""
    call = re.fullmatch(r"\s*([^\s()]+)\s*(?:\((.*)\)\s*)?", text, re.DOTALL)
    if call is None:
        article = "an" if what[0] in "aeiou" else "a"
        raise SpecError(f"{article} {what} is written NAME(KEY=VALUE, …)", found=text, allowed=kinds)
    if call[1] not in kinds:
        raise SpecError(f"there is no such {what}", where=text, found=call[1], allowed=kinds)
    quoted = r"""("(?:[^"\\]|\\.)*"|'[^']*')"""
    try:
        inner = re.sub(quoted + "|=", lambda found: found[1] or ": ", call[2] or "")
        body = Loader("{" + inner + "}").get_single_node()
    except (yaml.YAMLError, RecursionError):
        body = None
    if body is None or any(value.tag == NULL for _, value in body.value):
        problem = "parameters are written KEY=VALUE, with commas between and unusual words in quotes"
        raise SpecError(problem, where=text, found=call[2], allowed=keys_of(kinds[call[1]]))
    return Reader(text, body, marked=False).finish(kinds[call[1]])


def models_and_hierarchies() -> dict[str, Any]:
    """The schemas of the unions that annotations name: models and transforms by name, hierarchies by their one key."""
    hierarchies = []
    for name, kind in HIERARCHIES.items():
        first, *more = (_shape(key.hint) for key in keys_of(kind).values())
        content = {"description": _meaning(kind), **({"anyOf": [first, object_schema(kind)]} if more else first)}
        hierarchies.append(_closed({name: content}, [name], _meaning(kind)))
    models, transforms = _by_name("model", MODELS), _by_name("transform", TRANSFORMS)
    asked = _closed(
        {"preset": {"enum": list(PRESETS), "description": "Its name."}},
        ["preset"],
        "What a law, guidance or paper asks for, as models.",
    )
    return {
        "model": {"oneOf": [*models, asked]}, "hierarchy": {"oneOf": hierarchies}, "transform": {"oneOf": transforms},
    }  # fmt: skip


def _by_name(key: str, kinds: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [object_schema(kind, {key: {"const": name, "description": _meaning(kind)}}) for name, kind in kinds.items()]


def _meaning(kind: Any) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _closed(properties: dict[str, Any], required: list[str], description: str) -> dict[str, Any]:
    closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"description": description, **closed}


def object_schema(kind: Any, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The schema of a dataclass, and of the text that may stand for it."""
    properties, keys = dict(more or {}), keys_of(kind)
    for name, (_, hint, about, default) in keys.items():
        described = {"description": f"The parameter {name} of {getattr(kind, 'name', kind.__name__)}.", **about}
        default = {"default": default} if isinstance(default, str | int | float) else {}
        for spelling in (name, name.replace("-", "_")):
            properties[spelling] = {**_shape(hint), **described, **default}
    found = _closed(properties, [*(more or {}), *(n for n in keys if keys[n].default is MISSING)], _meaning(kind))
    if not hasattr(kind, "short_key"):
        return found
    shorts = getattr(kind, "short_keys", (kind.short_key(""),))
    return {"anyOf": [*(_shape(keys[short].hint) for short in shorts), found]}


def _shape(hint: Any) -> dict[str, Any]:
    """The schema of an annotation."""
    if (rest := _optional(hint)) is not None:
        return {"anyOf": [_shape(rest), {"type": "null"}]}
    if hint is date:
        return {"type": "string", "format": "date"}
    if hint in (Model, Hierarchy, Transform):
        return {"$ref": f"#/$defs/{hint.__name__.lower()}"}
    if is_dataclass(hint):
        return object_schema(hint)
    if either := _either(hint):
        return {"anyOf": [_shape(one) for one in either]}
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is tuple:
        item = _shape(get_args(hint)[0])
        many = {"type": "array", "items": item}
        return many if "$ref" in item else {"anyOf": [item, many]}
    if _is_mapping(hint):
        return {"type": "object", "additionalProperties": _shape(get_args(hint)[1])}
    names = {int: "integer", float: "number", Decimal: "number", str: "string", bool: "boolean"}
    return {"type": names[hint]} if hint in names else {}
