"""The spec: one short file that says what each column is and which privacy models must hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml

from sqlanon import predicting
from sqlanon.annotations import keep_limits, keys_of
from sqlanon.contradictions import beside, contradictions, nobody, private, repairs
from sqlanon.errors import SpecError
from sqlanon.hierarchies import HIERARCHIES, Csv, Hierarchy, Tree
from sqlanon.models import (  # fmt: skip
    MODELS,
    KAnonymity,
    Model,
    SafePub,
    ValuePrediction,
    column_of,
    complete,
    guard_of,
    k_of,
)
from sqlanon.policies import Policy, Predicted
from sqlanon.presets import Asked, expanded
from sqlanon.publication import Publish
from sqlanon.reading import (
    Place,
    Problem,
    Reader,
    Representer,
    compose,
    composed,
    models_and_hierarchies,
    object_schema,
    path_text,
    together,
)
from sqlanon.recoding.transforms import Transform
from sqlanon.rules import Rule, parse, problems

T = TypeVar("T")

FILE_ENDINGS = tuple(
    e + z for e in (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".ndjson") for z in ("", ".gz", ".zst")
)

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
        keep_limits(self)
        if [self.table, self.file, self.query].count(None) != 2:
            raise ValueError("a source is one of table, file and query")
        if self.query is not None:  # the line break at the end of a block in YAML says nothing
            object.__setattr__(self, "query", self.query.strip(" \t\r\n\f\v"))
        if self.delimiter is not None and self.file is None:
            raise ValueError("delimiter belongs to a file only")
        if self.file is not None and self.delimiter is None and not _IS_FILE.fullmatch(self.file):
            raise ValueError(f"file must name a delimiter or end in one of {' '.join(FILE_ENDINGS)}")

    @staticmethod
    def short_key(text: str) -> str:
        """Which key a text alone stands for."""
        return "file" if "/" in text or _IS_FILE.fullmatch(text) else "table"


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
        keep_limits(self)
        if self.hierarchy is not None and self.role not in ("quasi-identifier", "sensitive"):
            raise ValueError(f"hierarchy belongs to a quasi-identifier or a sensitive column, and this is {self.role}")
        for key, unset in (("min", None), ("max", None), ("weight", 1), ("represent", "label")):
            if getattr(self, key) != unset and self.role != "quasi-identifier":
                raise ValueError(f"{key} belongs to a quasi-identifier, and this is {self.role}")
        if self.represent != "label" and self.hierarchy is not None and not self.hierarchy.has_bounds:
            kinds = " or ".join(name for name, kind in HIERARCHIES.items() if kind.has_bounds)
            raise ValueError(f"represent {self.represent} needs a hierarchy of kind {kinds}")
        if self.height is not None and max(self.min or 0, self.max or 0) > self.height:
            key = "max" if self.max is not None and self.max > self.height else "min"
            raise ValueError(f"{key} must be at most {self.height}, the last level of this column")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min must be at most max, which is {self.max}")

    @staticmethod
    def short_key(text: str) -> str:
        """Which key a text alone stands for."""
        return "role"

    @property
    def height(self) -> int | None:
        """The last level, at which nothing is left; None where only a file can tell."""
        return self.hierarchy.height if self.hierarchy else 1


Recoder = Literal["full-domain", "hilbert", "mondrian", "anatomy"]


@dataclass(frozen=True)
class Recoding:
    """How the table is made coarser, and which usefulness is kept."""

    method: Annotated[
        Recoder | None,
        "full-domain: one level per column for the whole table; hilbert: classes along a space-filling curve; "
        "mondrian: disjoint boxes; anatomy: two linked tables, quasi-identifiers as they are and sensitive values by "
        "group, which protects no identity. Without it hilbert, but full-domain for views and where only that will do.",
    ] = None
    suppression: Annotated[float, "The share of records that may be left out.", {"minimum": 0, "maximum": 1}] = 0
    suppressed: Annotated[
        Literal["drop", "star", "cell"],
        "drop: leave these out; star: publish * in their quasi-identifiers; cell: blank one value if that keeps one.",
    ] = "drop"
    loss: Annotated[
        Literal["loss", "average-class-size", "discernibility", "precision", "entropy", "height"] | None,
        "The measure of lost usefulness that full-domain keeps small; loss if not given.",
    ] = None
    levels: Annotated[
        Mapping[str, int] | None, "The level of every quasi-identifier, for full-domain; nothing is searched."
    ] = None
    time_limit: Annotated[float, "Seconds for the search; then the best so far counts.", {"exclusiveMinimum": 0}] = 60
    order: Annotated[
        Literal["splits", "gray", "hilbert"] | None,
        "The order of the records, for hilbert: splits follow the data, the curves divide space evenly.",
    ] = None
    groups: Annotated[
        Literal["best", "even"] | None, "How the order is cut, for hilbert: with least loss, or evenly in plain SQL."
    ] = None
    deal: Annotated[
        str | None,
        "A sensitive column whose values are dealt out along the order, for hilbert: little is to unite, more is lost.",
        _NAMED,
    ] = None
    cuts: Annotated[
        Literal["strict", "relaxed"] | None,
        "For mondrian: strict keeps records with equal values together, in disjoint boxes; relaxed may part them.",
    ] = None

    def __post_init__(self) -> None:
        keep_limits(self)
        for key, method in self._given.items():
            if method != self.asked:
                raise ValueError(f"{key} belongs to method {method}, and this is {self.asked}")

    @property
    def asked(self) -> Recoder | None:
        """The method that is given, or that one of the other keys belongs to."""
        return self.method or next(iter(self._given.values()), None)

    @property
    def _given(self) -> dict[str, Recoder]:
        belongs: dict[str, Recoder] = {
            "loss": "full-domain", "levels": "full-domain", "order": "hilbert", "groups": "hilbert", "deal": "hilbert",
            "cuts": "mondrian",
        }  # fmt: skip
        return {key: method for key, method in belongs.items() if getattr(self, key) is not None}

    def settled(self, default: Recoder) -> Recoding:
        """The same with the method that counts; by `default` where none is asked for."""
        method = self.asked or default
        return replace(self, method=method, loss=(self.loss or "loss") if method == "full-domain" else None)


@dataclass(frozen=True, kw_only=True)
class Related:
    """A table with records of the same persons, such as their visits: released with the others, or not at all."""

    name: Annotated[str, "The name of its release.", _NAMED]
    source: Annotated[Source, "Where the records are: a table, a file or a query."]
    key: Annotated[str | None, "The identifier of whom a record is about; the entity's name if not given."] = None
    columns: Annotated[Mapping[str, Column], "Every column of the source, in the order of the release."]
    privacy: Annotated[tuple[Model, ...], "Models over its own columns; k counts for all tables together."] = ()
    levels: Annotated[Mapping[str, int] | None, "The level of every quasi-identifier; nothing is searched."] = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What each column of a table is, which privacy models must hold, and what is published under which name."""

    source: Annotated[Source, "Where the records are: a table, a file or a query."]
    entity: Annotated[str | None, "The identifier of whom a record is about; k then counts persons."] = None
    population: Annotated[
        Source | None,
        "The population that the records are from, with the same quasi-identifiers: for k-map and δ-presence.",
    ] = None
    columns: Annotated[Mapping[str, Column], "Every column of the source, in the order of the release."]
    privacy: Annotated[tuple[Model, ...], "The models that must hold on what is published."]
    transforms: Annotated[tuple[Transform, ...], "What is done to values, in turn, before they are recoded."] = ()
    recoding: Annotated[Recoding, "How the table is made coarser."] = field(default_factory=Recoding)
    publish: Annotated[Publish | None, "What is published; without it there is only a plan."] = None
    related: Annotated[
        tuple[Related, ...], "Further tables about the same persons, released together; classes are of all of them."
    ] = ()
    policy: Annotated[Policy | None, "What the persons agreed to; for predict and flow, which measure it."] = None
    predictions: Annotated[
        Mapping[str, Predicted], "When each sensitive column counts as predicted, for rules that ask how often."
    ] = field(default_factory=dict)
    rules: Annotated[tuple[str, ...], "What stops the release: IF … THEN block."] = ()
    base: Path = field(default=Path(), metadata={"outside": True})  # the folder of the file
    presets: tuple[str, ...] = field(default=(), metadata={"outside": True})  # those that models came from
    blanked: tuple[Model, ...] = field(default=(), metadata={"outside": True})  # models that the search leaves out

    def __post_init__(self) -> None:
        asked = tuple(model.preset for model in self.privacy if isinstance(model, Asked))
        if asked:
            object.__setattr__(self, "presets", asked)
            object.__setattr__(self, "privacy", expanded(self.privacy, self.sensitive))
        if wrong := list(self.contradictions(vars(self))):
            raise together([SpecError(p, where=path_text(w), found=f, allowed=a) for w, p, f, a in wrong])
        object.__setattr__(self, "privacy", complete(self.privacy))
        default: Recoder = "full-domain" if any(_only_full_domain(vars(self))) else "hilbert"
        object.__setattr__(self, "recoding", self.recoding.settled(default))

    @staticmethod
    def contradictions(parts: Mapping[str, Any]) -> Iterator[Problem]:
        """What does not fit together, as far as the parts of a spec could be read."""
        return _contradictions(parts)

    @property
    def tables(self) -> tuple[Spec, ...]:
        """A spec for each of its tables, this one first; the others have its k, its form and its readers."""
        return (replace(self, related=()), *(_alone(vars(self), one) for one in self.related))

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

    @property
    def scored(self) -> tuple[ValuePrediction, ...]:
        """The `predictions` as models that are measured, and not promised."""
        return predicting.scored(self.predictions, self.policy)

    @property
    def parsed(self) -> tuple[Rule, ...]:
        """The rules."""
        return tuple(parse(text, predicting.known(vars(self))) for text in self.rules)

    def resolve(self, path: str) -> str:
        """A path of the spec, seen from the folder of its file; addresses such as s3://… stay as they are."""
        return path if "://" in path else str(self.base / path)

    def _with(self, *roles: str) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.role in roles)


def _contradictions(parts: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not fit together, as far as the parts of a spec could be read."""
    columns, privacy, recoding = (parts.get(name) for name in ("columns", "privacy", "recoding"))
    if isinstance(privacy, tuple) and any(isinstance(model, Asked) for model in privacy):
        yield from _presets(parts)
        return
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

    if isinstance(policy := parts.get("policy"), Policy):
        yield from (
            (("policy", *place), told, word, allowed) for place, told, word, allowed in policy.problems(columns)
        )
    if isinstance(entity := parts.get("entity"), str):
        yield from named(("entity",), entity, "identifier")
    models = privacy if isinstance(privacy, tuple) else ()
    meant = _completed(models)
    for i, model in enumerate(models):
        if isinstance(model, Model) and meant[i] in meant[:i]:
            yield ("privacy", i), f"this says the same as privacy[{meant.index(meant[i])}]", None, ()
        about = column_of(model)
        if about is None:
            continue
        yield from named(("privacy", i, "column"), about, "sensitive")
        if model.requires == "hierarchy" and about in known and not isinstance(known[about].hierarchy, Csv | Tree):
            key, found = ("distance", "hierarchical") if hasattr(model, "distance") else ("column", about)
            yield ("privacy", i, key), f"needs a hierarchy of kind tree or csv at column {about!r}", found, ()
    yield from _ingredients(parts, tuple(m for m in models if isinstance(m, Model)), known)
    if isinstance(related := parts.get("related"), tuple) and related:
        yield from beside(parts, related, lambda one: _alone({"base": Path(), **parts}, one))
    yield from contradictions(parts, models, columns)
    for name in scored if isinstance(scored := parts.get("predictions"), Mapping) else ():
        yield from named(("predictions", name), name, "sensitive")
    yield from problems(parts.get("rules"), predicting.known(parts))
    if not isinstance(recoding, Recoding):
        return
    if recoding.asked in ("hilbert", "mondrian"):
        for place, problem, word in _only_full_domain(parts):
            yield place, f"{problem}; method {recoding.asked} cannot do that, full-domain can", word, ()
    if recoding.deal is not None:
        yield from named(("recoding", "deal"), recoding.deal, "sensitive")
    method = recoding.asked or ("full-domain" if any(_only_full_domain(parts)) else "hilbert")
    yield from _bounds(known) if method == "full-domain" else ()
    yield from repairs(method, recoding, models)
    if parts.get("entity") is not None:
        yield from nobody(models)
    if recoding.levels is None:
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


def _completed(models: tuple[Model, ...]) -> tuple[Model, ...]:
    """The models with what they take from each other, where that is there."""
    try:
        return complete(models)
    except ValueError:
        return models


def _alone(parts: Mapping[str, Any], table: Related) -> Spec:
    """The spec of a related table by itself."""
    k = KAnonymity(k_of(parts["privacy"]) or 1)
    privacy = table.privacy if k_of(table.privacy) else (k, *table.privacy)
    publish = parts.get("publish")
    recoding = Recoding(method="full-domain", suppression=parts["recoding"].suppression, levels=table.levels)
    return Spec(
        source=table.source, entity=table.key or parts["entity"], columns=table.columns, privacy=privacy,
        recoding=recoding, publish=replace(publish, name=table.name) if publish else None, base=parts["base"],
    )  # fmt: skip


def _bounds(columns: Mapping[str, Column]) -> Iterator[Problem]:
    """Bounds that full-domain recoding has no intervals for."""
    for name, column in columns.items():
        if column.represent != "label" and column.hierarchy is None:
            kinds = " or ".join(kind for kind, hierarchy in HIERARCHIES.items() if hierarchy.has_bounds)
            told = f"{column.represent} needs a hierarchy of kind {kinds}; without one, method hilbert or mondrian"
            yield ("columns", name, "represent"), told, column.represent, ("label",)


def _only_full_domain(parts: Mapping[str, Any]) -> Iterator[tuple[Place, str, str | None]]:
    """What no partition can do: where it stands, what it is, and the word."""
    publish, privacy, columns = (parts.get(name) for name in ("publish", "privacy", "columns"))
    if isinstance(publish, Publish) and publish.live:
        yield ("publish", "as"), "a view computes its classes when it is read", publish.as_
    if parts.get("related"):
        yield ("related",), "persons are put into classes by all their tables at once", None
    for i, model in enumerate(privacy if isinstance(privacy, tuple) else ()):
        if isinstance(model, SafePub) or (isinstance(model, Model) and "population" in model.reads):
            yield ("privacy", i), f"{model.name} needs levels that are the same for everybody", model.name
        if isinstance(model, ValuePrediction) and model.observer == "any" and not model.remove:
            told = (
                "classes can be united for who knows all their columns (observer: all), or their cells blanked (remove)"
            )
            yield ("privacy", i), f"value-prediction speaks of any observer: {told}", "any"
    for name, column in (columns if isinstance(columns, Mapping) else {}).items():
        highest = column.max if isinstance(column, Column) else None
        if highest is not None and highest != column.height:
            yield ("columns", name, "max"), "a highest level keeps a class from being published as *", str(highest)


def _presets(parts: Mapping[str, Any]) -> Iterator[Problem]:
    """What does not fit together once presets are replaced by their models; told at the list of models."""
    columns = parts.get("columns")
    known = columns if isinstance(columns, Mapping) else {}
    sensitive = [n for n, c in known.items() if isinstance(c, Column) and c.role == "sensitive"]
    models = tuple(model for model in parts["privacy"] if isinstance(model, Model))
    try:
        found = expanded(models, sensitive)
    except SpecError as error:
        yield ("privacy",), error.problem, None, ()
        return
    if not found:
        yield ("privacy",), "the preset asks for no model that a release can be judged by; add one", None, MODELS
        return
    for place, problem, word, allowed in _contradictions({**parts, "privacy": found}):
        yield (("privacy",) if place[:1] == ("privacy",) else place), problem, word, allowed


def _ingredients(
    parts: Mapping[str, Any], models: tuple[Model, ...], columns: Mapping[str, Column]
) -> Iterator[Problem]:
    """What models need beside their columns: a population, guards, a k, a form of release."""
    publish, view = parts.get("publish"), "a view cannot re-check this model when it is read; publish a table or a file"
    for i, model in enumerate(models):
        if "population" in model.reads and parts.get("population") is None:
            yield ("privacy", i), f"{model.name} needs `population:`, the table that the records are from", None, ()
        if isinstance(model, ValuePrediction):
            yield from predicting.ingredients(parts, i, model)
            continue
        guard = guard_of(model)
        if guard is not None and guard not in (parts.get("columns") or {}):
            yield ("privacy", i, "guard"), "columns has no such column", guard, columns
        elif guard is not None and guard in columns and columns[guard].role in ("quasi-identifier", "sensitive"):
            yield ("privacy", i, "guard"), f"a guarding node cannot be a {columns[guard].role}", guard, ()
        if isinstance(publish, Publish) and publish.live and not model.in_views:
            yield ("publish", "as"), f"{model.name}: {view}", publish.as_, ("table", "file")
        if isinstance(model, SafePub):
            yield from private(parts, i, models, columns)
    try:
        complete(models)
    except ValueError as error:
        yield ("privacy",), str(error), None, ()


def load(spec: str | Path | Mapping[str, Any]) -> Spec:
    """The spec in a file, or in a mapping of the same form. Raises SpecError with all problems and their places."""
    try:
        if isinstance(spec, Mapping):
            return Reader("", Representer(sort_keys=False).represent_data(dict(spec))).finish(Spec)
        return replace(Reader(str(spec), compose(Path(spec), keys_of(Spec))).finish(Spec), base=Path(spec).parent)
    except yaml.representer.RepresenterError as error:
        found = type(error.args[1]).__name__
        raise SpecError("a spec holds only text, numbers, true, false, lists and dicts", found=found) from None
    except RecursionError:
        raise SpecError("this is nested too deeply", where=None if isinstance(spec, Mapping) else str(spec)) from None


def read(text: str, name: str) -> Spec:
    """The spec in the text of a file, which messages call `name`. Raises as `load`."""
    try:
        return Reader(name, composed(text, name, keys_of(Spec))).finish(Spec)
    except RecursionError:
        raise SpecError("this is nested too deeply", where=name) from None


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file, with which editors complete, explain and check it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "The spec of sqlanon"}
    return {**head, **object_schema(Spec), "$defs": models_and_hierarchies()}
