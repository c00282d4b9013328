"""The spec: one short file that says what each column is and which privacy models must hold; read and judged here.

What the file may hold is said once, by the annotations of the dataclasses: those below, the models and the
hierarchies. Reading and the editor's JSON Schema both follow them, so a new model needs no line here.
Files are read as YAML nodes, which know their line and column; a mapping from Python becomes nodes without places.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path, PurePath
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sqlanon.errors import SpecError, nearest
from sqlanon.hierarchies import HIERARCHIES, Csv, Hierarchy, Tree
from sqlanon.models import MODELS, Model, column_of

T = TypeVar("T")
Place = tuple[str | int, ...]  # the keys and positions that lead to a value
Problem = tuple[Place, str, str | None, Iterable[str]]  # where, what is wrong, the word found, the words allowed

FILE_ENDINGS = tuple(
    e + z for e in (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson") for z in ("", ".gz", ".zst")
)

# Limits stand in annotations in the words of JSON Schema; these are their sentences and tests.
_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("must be at least {}", operator.ge),
    "maximum": ("must be at most {}", operator.le),
    "exclusiveMinimum": ("must be greater than {}", operator.gt),
    "minLength": ("must not be empty", lambda text, least: len(text.strip()) >= least),
    "pattern": ("must be like {}", lambda text, pattern: re.fullmatch(pattern, text) is not None),
}


class _Key(NamedTuple):
    """One key of a mapping in the file, which is one field of a dataclass."""

    name: str
    hint: Any
    about: dict[str, Any]
    default: Any


def _keys(kind: Any) -> dict[str, _Key]:
    """The keys of a dataclass by their name in the file, from its fields and annotations."""
    return _derived(kind)


@cache
def _derived(kind: Any) -> dict[str, _Key]:
    hints, found = get_type_hints(kind, include_extras=True), {}
    for f in fields(kind):
        if f.metadata.get("outside"):  # set by `load`, not by the file
            continue
        hint, about = hints[f.name], {}
        if get_origin(hint) is Annotated:
            text, *limits = hint.__metadata__
            hint, about = hint.__origin__, {"description": text, **(limits[0] if limits else {})}
        default = f.default if f.default_factory is MISSING else None
        found[f.name.strip("_").replace("_", "-")] = _Key(f.name, hint, about, default)
    return found


def _keep_limits(of: Any) -> None:
    """Raise ValueError where a value is beyond the limits in its annotation."""
    for key, (name, _, about, _) in _keys(type(of)).items():
        value = getattr(of, name)
        for word, (sentence, within) in _LIMITS.items():
            if value is not None and word in about and not within(value, about[word]):
                raise ValueError(f"{key} {sentence.format(about.get('examples', [about[word]])[0])}")


_NAMED = {"minLength": 1}
_IS_FILE = re.compile(rf".*({'|'.join(map(re.escape, FILE_ENDINGS))})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Source:
    """Where the records are: a table, a file or a query. As text alone: a file if it looks like one, else a table."""

    table: Annotated[str | None, "A table or a view.", _NAMED] = None
    file: Annotated[str | None, "A file, relative to the folder of the spec.", _NAMED] = None
    query: Annotated[str | None, "A SELECT, run as it stands.", _NAMED] = None
    delimiter: Annotated[str | None, "Between values.", {"pattern": r"^[^\r\n]$", "examples": [";"]}] = None

    def __post_init__(self) -> None:
        _keep_limits(self)
        if [self.table, self.file, self.query].count(None) != 2:
            raise ValueError("a source is one of table, file and query")
        if self.delimiter is not None and self.file is None:
            raise ValueError("delimiter belongs to a file only")
        if self.file is not None and self.delimiter is None and not _IS_FILE.fullmatch(self.file):
            raise ValueError(f"file must name a delimiter or end in one of {' '.join(FILE_ENDINGS)}")


@dataclass(frozen=True)
class Column:
    """What a column is, and how it may become coarser. As text alone: the role."""

    role: Annotated[
        Literal["identifier", "quasi-identifier", "sensitive", "insensitive", "drop"],
        "identifier: names a person, never published; quasi-identifier: known to others, recoded; sensitive: must not "
        "be learnt, judged by the models; insensitive: published as it is; drop: left out.",
    ]
    hierarchy: Annotated[Hierarchy | None, "How values become coarser, level by level."] = None
    represent: Annotated[
        Literal["label", "bounds", "range"], "How intervals are published: one text, two columns of bounds, one range."
    ] = "label"
    min: Annotated[int | None, "The least level.", {"minimum": 0}] = None
    max: Annotated[int | None, "The highest level.", {"minimum": 0}] = None
    weight: Annotated[float, "How much its precision counts, against other columns.", {"exclusiveMinimum": 0}] = 1
    type: Annotated[
        Literal["integer", "decimal", "float", "text", "boolean", "date", "timestamp"] | None,
        "The family of the source column's type; a changed type stops the plan.",
    ] = None

    def __post_init__(self) -> None:
        _keep_limits(self)
        if self.hierarchy is not None and self.role not in ("quasi-identifier", "sensitive"):
            raise ValueError(f"hierarchy belongs to a quasi-identifier or a sensitive column, and this is {self.role}")
        for key, unset in (("min", None), ("max", None), ("weight", 1), ("represent", "label")):
            if getattr(self, key) != unset and self.role != "quasi-identifier":
                raise ValueError(f"{key} belongs to a quasi-identifier, and this is {self.role}")
        if self.represent != "label" and not (self.hierarchy and self.hierarchy.has_bounds):
            kinds = " or ".join(name for name, kind in HIERARCHIES.items() if kind.has_bounds)
            raise ValueError(f"represent {self.represent} needs a hierarchy of kind {kinds}")
        if self.height is not None and max(self.min or 0, self.max or 0) > self.height:
            key = "max" if self.max is not None and self.max > self.height else "min"
            raise ValueError(f"{key} must be at most {self.height}, the last level of this column")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min must be at most max, which is {self.max}")

    @property
    def height(self) -> int | None:
        """The last level, at which nothing is left; None where only a file can tell."""
        return self.hierarchy.height if self.hierarchy else 1


@dataclass(frozen=True)
class Recoding:
    """How the table is made coarser, and which usefulness is kept."""

    method: Annotated[Literal["full-domain"], "full-domain: one level per column for the whole table."] = "full-domain"
    suppression: Annotated[float, "The share of records that may be left out.", {"minimum": 0, "maximum": 1}] = 0
    suppressed: Annotated[Literal["drop", "star"], "Leave these out, or publish * in their quasi-identifiers."] = "drop"
    loss: Annotated[
        Literal["loss", "average-class-size", "discernibility", "precision", "entropy", "height"],
        "The measure of lost usefulness that is kept small.",
    ] = "loss"
    levels: Annotated[Mapping[str, int] | None, "The level of every quasi-identifier; nothing is searched."] = None
    time_limit: Annotated[float, "Seconds for the search; then the best so far counts.", {"exclusiveMinimum": 0}] = 60

    def __post_init__(self) -> None:
        _keep_limits(self)


_LASTING = {"pattern": "^[1-9][0-9]{0,4}[hdw]$", "examples": ["90d, 12h or 4w"]}
_RELEASE_FILE = {
    "pattern": r"^(?:[^\n]*[/\\])?[^/\\\n]+\.(parquet|duckdb)$",
    "examples": ["NAME.parquet or NAME.duckdb"],
}


@dataclass(frozen=True)
class Publish:
    """Under which name, in which form and for whom the result is published."""

    name: Annotated[str, "The name of the release.", _NAMED]
    as_: Annotated[Literal["table", "view", "file"], "The form of the release."] = "table"
    path: Annotated[str | None, "The file, relative to the folder of the spec; else NAME.parquet.", _RELEASE_FILE] = (
        None
    )
    grant: Annotated[tuple[str, ...], "The roles that may read it."] = ()
    expires: Annotated[str | None, "Hours, days or weeks after which it is withdrawn.", _LASTING] = None

    def __post_init__(self) -> None:
        _keep_limits(self)
        if self.path is not None and self.as_ != "file":
            raise ValueError("path belongs to as: file only")
        if self.as_ == "file" and self.path is None:
            if re.search(r"[/\\]", self.name):
                raise ValueError("name holds a slash, so that path is needed")
            object.__setattr__(self, "path", f"{self.name}.parquet")

    @property
    def lifetime(self) -> timedelta | None:
        """The time after which the release expires."""
        hours = {"h": 1, "d": 24, "w": 168}
        return timedelta(hours=int(self.expires[:-1]) * hours[self.expires[-1]]) if self.expires else None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What each column of a table is, which privacy models must hold, and what is published under which name."""

    source: Annotated[Source, "Where the records are: a table, a file or a query."]
    entity: Annotated[str | None, "The identifier of whom a record is about; k then counts persons."] = None
    columns: Annotated[Mapping[str, Column], "Every column of the source, in the order of the release."]
    privacy: Annotated[tuple[Model, ...], "The models that must hold on what is published."]
    recoding: Annotated[Recoding, "How the table is made coarser."] = field(default_factory=Recoding)
    publish: Annotated[Publish | None, "What is published; without it there is only a plan."] = None
    base: Path = field(default=Path(), metadata={"outside": True})  # the folder of the file

    def __post_init__(self) -> None:
        if wrong := list(_contradictions(vars(self))):
            raise _together([SpecError(p, where=_path(w), found=f, allowed=a) for w, p, f, a in wrong])

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The columns that name a person; never published."""
        return self._with("identifier")

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        """The columns that others may know, in the order of the file."""
        return self._with("quasi-identifier")

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The columns that nobody should learn about a person."""
        return self._with("sensitive")

    @property
    def published(self) -> tuple[str, ...]:
        """The columns of the release, in the order of the file."""
        return self._with("quasi-identifier", "sensitive", "insensitive")

    def resolve(self, path: str) -> str:
        """A path of the spec, seen from the folder of its file; addresses such as s3://… stay as they are."""
        return path if "://" in path else str(self.base / path)

    def _with(self, *roles: str) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.role in roles)


def _contradictions(parts: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not fit together, as far as the parts of a spec could be read."""
    columns, privacy, recoding = (parts.get(name) for name in ("columns", "privacy", "recoding"))
    if privacy == ():
        yield ("privacy",), "at least one model is needed", None, MODELS
    if not isinstance(columns, Mapping):
        return
    known = {name: column for name, column in columns.items() if isinstance(column, Column)}
    quasi = [name for name, column in known.items() if column.role == "quasi-identifier"]
    complete = len(known) == len(columns)
    if complete and not quasi:
        yield ("columns",), "at least one column must be a quasi-identifier", None, ()
    if "" in columns:
        yield ("columns", ""), "a column needs a name", None, ()

    def named(place: Place, name: str, role: str) -> Iterator[Problem]:
        if name not in columns:
            there = [n for n, c in known.items() if c.role == role]
            yield place, f"columns has no such {role} column", name, there or columns
        elif name in known and known[name].role != role:
            there = [n for n, c in known.items() if c.role == role]
            yield place, f"must be the name of a column of role {role}, and this is {known[name].role}", name, there

    if isinstance(entity := parts.get("entity"), str):
        yield from named(("entity",), entity, "identifier")
    models = privacy if isinstance(privacy, tuple) else ()
    for i, model in enumerate(models):
        if isinstance(model, Model) and model in models[:i]:
            yield ("privacy", i), f"this says the same as privacy[{models.index(model)}]", None, ()
        about = column_of(model)
        if about is None:
            continue
        yield from named(("privacy", i, "column"), about, "sensitive")
        hierarchical = getattr(model, "distance", None) == "hierarchical"
        if hierarchical and about in known and not isinstance(known[about].hierarchy, Csv | Tree):
            problem = f"needs a hierarchy of kind tree or csv at column {about!r}"
            yield ("privacy", i, "distance"), problem, "hierarchical", ()
    if not isinstance(recoding, Recoding) or recoding.levels is None:
        return
    for name, level in recoding.levels.items():
        yield from named(("recoding", "levels", name), name, "quasi-identifier")
        least, highest = 0, None
        if name in known:
            least, highest = known[name].min or 0, known[name].height if known[name].max is None else known[name].max
        if level < least or (highest is not None and level > highest):
            limits = f"at least {least}" if highest is None else f"from {least} to {highest}"
            yield ("recoding", "levels", name), f"this column's level must be {limits}", str(level), ()
    for name in quasi:
        if name not in recoding.levels:
            yield ("recoding", "levels"), f"the level of quasi-identifier {name!r} is missing", None, ()


_TAG = "tag:yaml.org,2002:"
_TEXT = _TAG + "str"
_NULL = _TAG + "null"
_KINDS = {
    "str": "text", "int": "a whole number", "float": "a decimal number", "bool": "true or false",
    "null": "nothing", "timestamp": "a date", "seq": "a list", "map": "a mapping",
}  # fmt: skip
_SCALARS: dict[Any, tuple[str, tuple[str, ...]]] = {
    str: ("text", ("str",)), int: ("a whole number", ("int",)), bool: ("true or false", ("bool",)),
    float: ("a number", ("int", "float")), Decimal: ("a number", ("int", "float")),
}  # fmt: skip
_SHORT: dict[Any, Callable[[str], str]] = {  # which key a text alone stands for
    Column: lambda text: "role",
    Source: lambda text: "file" if "/" in text or _IS_FILE.fullmatch(text) else "table",
}
_UNREAD: Any = object()  # stands for a value in which something is wrong
_MOST_VALUES = 1_000_000  # aliases of aliases could expand a short file without end


class _Loader(yaml.SafeLoader):
    """Safe YAML, in which dates are text as they are written, and 1e-3 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in (_TAG + "timestamp", _TAG + "value")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver(_TAG + "float", _EXPONENT, list("-+0123456789"))
_PLAIN = cast(Any, _Loader(""))


class _Representer(yaml.representer.SafeRepresenter):
    """Python values as nodes."""


_Representer.add_multi_representer(dict, lambda r, value: r.represent_dict(value))
_Representer.add_multi_representer(str, lambda r, value: r.represent_str(str(value)))
_Representer.add_multi_representer(PurePath, lambda r, value: r.represent_str(str(value)))
_Representer.add_representer(Decimal, lambda r, value: r.represent_scalar(_TAG + "float", str(value)))


def _kind(node: Node) -> str:
    return _KINDS.get(node.tag.removeprefix(_TAG), f"a value tagged {node.tag}")


def _items(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key.value: (key, value) for key, value in node.value}


def _optional(hint: Any) -> Any:
    """The X of `X | None`, else None."""
    args = get_args(hint)
    return next(a for a in args if a is not NoneType) if NoneType in args else None


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _path(place: Place) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if re.fullmatch(r"[\w-]+", part) else json.dumps(part, ensure_ascii=not part.isprintable())
            text += f".{word}" if text else word
    return text


def _together(errors: list[SpecError]) -> SpecError:
    """Several problems as one, a line each; its attributes are those of the first."""
    found = errors[0]
    if len(errors) > 1:
        found = SpecError("\n".join(map(str, errors)))
        vars(found).update({name: vars(errors[0])[name] for name in ("where", "found", "allowed", "suggestion")})
    return found


class _Reader:
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
        return _together([error for _, error in sorted(self.problems, key=operator.itemgetter(0))])

    def note(self, node: Node, place: Place, problem: str, found: str | None = None, allowed: Iterable[str] = (),
             suggestion: str | None = None) -> Any:  # fmt: skip
        mark = node.start_mark
        at = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        origin = f"{self.origin}:{at[0]}:{at[1]}" if mark and self.marked else self.origin
        where = ": ".join(filter(None, (origin, _path(place)))) or None
        found = found if found is None or len(found) <= 60 else found[:59] + "…"
        self.problems.append((at, SpecError(problem, where=where, found=found, allowed=allowed, suggestion=suggestion)))
        return _UNREAD

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
            return None if node.tag == _NULL else self.read(node, rest, place)
        if hint is Model:
            return self.model(node, place)
        if hint is Hierarchy:
            return self.hierarchy(node, place)
        if is_dataclass(hint):
            return self.build(node, hint, place)
        if hint in _SCALARS:
            return self.scalar(node, hint, place)
        args = get_args(hint)
        if get_origin(hint) is Literal:
            if not isinstance(node, ScalarNode) or not node.value:
                return self.unfit(node, place, "one of the allowed words", args)
            return node.value if node.value in args else self.note(node, place, "not a word for this", node.value, args)
        if get_origin(hint) is tuple:
            if isinstance(node, SequenceNode):
                return tuple(self.read(item, args[0], (*place, i)) for i, item in enumerate(node.value))
            alone = isinstance(node, ScalarNode) and node.tag != _NULL
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

    def plain(self, node: Node, place: Place) -> Any:
        """Mappings, lists and text as they stand, for what has its own form, such as a tree."""
        if isinstance(node, SequenceNode):
            return [self.plain(item, (*place, i)) for i, item in enumerate(node.value)]
        if isinstance(node, MappingNode):
            items = _items(node).items()
            return {name: None if v.tag == _NULL else self.plain(v, (*place, name)) for name, (_, v) in items}
        return self.scalar(node, str, place)

    def model(self, node: Node, place: Place) -> Any:
        if not isinstance(node, MappingNode):
            return self.unfit(node, place, "a mapping such as {model: k-anonymity, k: 5}")
        _, name = _items(node).get("model", (node, None))
        if name is None:
            typo = next((key for key in _items(node) if nearest(key, ["model"])), None)
            return self.note(node, place, "the key 'model' is missing", typo, MODELS, "model" if typo else None)
        if not isinstance(name, ScalarNode) or name.value not in MODELS:
            found = name.value if isinstance(name, ScalarNode) else _kind(name)
            return self.note(name, (*place, "model"), "there is no such model", found, MODELS)
        return self.build(node, MODELS[name.value], place, skip="model")

    def hierarchy(self, node: Node, place: Place) -> Any:
        """`{KIND: content}`; the content is that of the first field, or all fields by name."""
        if not isinstance(node, MappingNode) or len(_items(node)) != 1:
            return self.unfit(node, place, "one kind with its content, such as {width: [5, 10]}", HIERARCHIES)
        [(name, (key, content))] = _items(node).items()
        if name not in HIERARCHIES:
            return self.note(key, (*place, name), "there is no such hierarchy", name, HIERARCHIES)
        first, *more = _keys(HIERARCHIES[name])
        short = "" if more and isinstance(content, MappingNode) else first
        return self.build(content, HIERARCHIES[name], (*place, name), short=short)

    def build(self, node: Node, kind: Any, place: Place, skip: str = "", short: str = "") -> Any:
        """A dataclass from a mapping, or from the value of its one key `short`, if nothing in it is wrong."""
        keys, before, parts = _keys(kind), len(self.problems), {}
        if kind in _SHORT and isinstance(node, ScalarNode):
            short = _SHORT[kind](node.value)
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
        for wrong in _contradictions(parts) if kind is Spec else ():
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


def load(spec: str | Path | Mapping[str, Any]) -> Spec:
    """The spec in a file, or in a mapping of the same form. Raises SpecError with all problems and their places."""
    try:
        if isinstance(spec, Mapping):
            return _Reader("", _Representer(sort_keys=False).represent_data(dict(spec))).finish(Spec)
        return replace(_Reader(str(spec), _compose(Path(spec))).finish(Spec), base=Path(spec).parent)
    except yaml.representer.RepresenterError as error:
        found = type(error.args[1]).__name__
        raise SpecError("a spec holds only text, numbers, true, false, lists and dicts", found=found) from None
    except RecursionError:
        raise SpecError("this is nested too deeply", where=None if isinstance(spec, Mapping) else str(spec)) from None


def _compose(path: Path) -> MappingNode:
    """The nodes of a file. No message quotes its text, since somebody will name a file of data by mistake."""
    name = str(path) if str(path).isprintable() else ascii(str(path))
    try:
        root = _Loader(path.read_bytes()).get_single_node()
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
        raise SpecError("there is no such file", where=name, suggestion=nearest(path.name, there)) from None
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(name, error) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SpecError(f"this file cannot be read: {reason}", where=name[:200]) from None
    if not isinstance(root, MappingNode):
        found = f"a spec is a mapping, not {_kind(root)}" if root else "the file is empty"
        raise SpecError(found, where=f"{name}:1:1", allowed=_keys(Spec))
    return root


def _not_yaml(name: str, error: yaml.MarkedYAMLError) -> SpecError:
    mark = error.problem_mark or error.context_mark
    problem = ", ".join(filter(None, (error.context, error.problem)))
    problem += "; indent with spaces" if r"\t" in problem else ""
    return SpecError(
        f"this is not YAML: {problem}", where=f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    )


def parse_model(text: str) -> Model:
    """A model as the command line writes it: `l-diversity(column="a b", l=3)`; lists are in square brackets."""
    call = re.fullmatch(r"\s*([^\s()]+)\s*(?:\((.*)\)\s*)?", text, re.DOTALL)
    if call is None:
        raise SpecError("a model is written NAME(KEY=VALUE, …)", found=text, allowed=MODELS)
    if call[1] not in MODELS:
        raise SpecError("there is no such model", where=text, found=call[1], allowed=MODELS)
    quoted = r"""("(?:[^"\\]|\\.)*"|'[^']*')"""
    try:
        body = _Loader(
            "{" + re.sub(quoted + "|=", lambda found: found[1] or ": ", call[2] or "") + "}"
        ).get_single_node()
    except (yaml.YAMLError, RecursionError):
        body = None
    if body is None or any(value.tag == _NULL for _, value in body.value):
        keys = _keys(MODELS[call[1]])
        problem = "parameters are written KEY=VALUE, with commas between and unusual words in quotes"
        raise SpecError(problem, where=text, found=call[2], allowed=keys)
    return _Reader(text, body, marked=False).finish(MODELS[call[1]])


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file, with which editors complete, explain and check it."""
    hierarchies = []
    for name, kind in HIERARCHIES.items():
        first, *more = (_shape(key.hint) for key in _keys(kind).values())
        content = {"description": _meaning(kind), **({"anyOf": [first, _object(kind)]} if more else first)}
        hierarchies.append(_closed({name: content}, [name], _meaning(kind)))
    models = [_object(kind, {"model": {"const": name, "description": _meaning(kind)}}) for name, kind in MODELS.items()]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "The spec of sqlanon"}
    return {**head, **_object(Spec), "$defs": {"model": {"oneOf": models}, "hierarchy": {"oneOf": hierarchies}}}


def _meaning(kind: Any) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _closed(properties: dict[str, Any], required: list[str], description: str) -> dict[str, Any]:
    closed = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"description": description, **closed}


def _object(kind: Any, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The schema of a dataclass, and of the text that may stand for it."""
    properties, keys = dict(more or {}), _keys(kind)
    for name, (_, hint, about, default) in keys.items():
        described = {"description": f"The parameter {name} of {getattr(kind, 'name', kind.__name__)}.", **about}
        default = {"default": default} if isinstance(default, str | int | float) else {}
        for spelling in (name, name.replace("-", "_")):
            properties[spelling] = {**_shape(hint), **described, **default}
    found = _closed(properties, [*(more or {}), *(n for n in keys if keys[n].default is MISSING)], _meaning(kind))
    return {"anyOf": [_shape(keys[_SHORT[kind]("")].hint), found]} if kind in _SHORT else found


def _shape(hint: Any) -> dict[str, Any]:
    """The schema of an annotation."""
    if (rest := _optional(hint)) is not None:
        return {"anyOf": [_shape(rest), {"type": "null"}]}
    if hint in (Model, Hierarchy):
        return {"$ref": f"#/$defs/{hint.__name__.lower()}"}
    if is_dataclass(hint):
        return _object(hint)
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
