"""A spec as the statement that says it: `spec_of(written(spec)) == spec`, and the plan is the same to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, get_args

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError
from sqlanon.hierarchies import HIERARCHIES, Csv, Hierarchy
from sqlanon.models import KAnonymity, Model
from sqlanon.presets import Asked, expand, expanded
from sqlanon.recoding.transforms import Transform
from sqlanon.spec import Column, Recoding, Related, Source, Spec
from sqlanon.statements.declaring import as_selected, query_of
from sqlanon.statements.laying import Doc, doc
from sqlanon.statements.options import ROLES, options
from sqlanon.statements.selecting import outputs
from sqlanon.statements.values import BY_NAME, NAMES, is_mapping, scalars, shown_text, spelled, words_of

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# Bare, these would be read as something else by a person, if not by the parser.
_RESERVED = (
    " all and any as asc both case cast check column create default desc distinct do else end except false fetch file"
    " for from grant group having in intersect into is like limit not null offset on or order primary query references"
    " select table then to true union unique user using values view when where window with "
)
_UNITS = {"h": "hour", "d": "day", "w": "week"}


def written(spec: Spec) -> str:
    """The statement, with its final `;`: CREATE ANONYMIZED …, or EXPLAIN ANONYMIZATION of what is not published.

    Paths stay as they are: read it with the spec's `base`. Raises `SpecError` for a hierarchy that only a release
    remembers, which nobody can say.
    """
    head = "EXPLAIN ANONYMIZATION AS"
    if spec.publish is not None:
        head = f"CREATE ANONYMIZED {spec.publish.as_.upper()} {_alone(spec.publish.name)} AS"
    found = [*_models(asked(spec)), *_columns(spec.columns, spec.source), *_options(short(spec))]
    lines = ",\n".join("  " + item.laid(2, 1) for item in found)
    return f"{head}\n{_whole(spec.source)}\nWITH (\n{lines}\n);\n"


def asked(spec: Spec) -> tuple[Model, ...]:
    """The models with the presets that they came from in the places of theirs."""
    models = list(spec.privacy)
    for preset in spec.presets:
        meant = list(expanded([Asked(preset)], spec.sensitive)) if expand(preset, spec.sensitive) else []
        places = [i for i in range(len(models)) if models[i : i + len(meant)] == meant]
        if meant and places:
            models[places[0] : places[0] + len(meant)] = [Asked(preset)]
    found = tuple(models)
    if spec.presets and (_presets(found) != spec.presets or expanded(found, spec.sensitive) != spec.privacy):
        # A preset adds no model that is there already, so that it says nothing new after all of them.
        return (*spec.privacy, *map(Asked, spec.presets))
    return found


def _presets(models: Sequence[Model]) -> tuple[str, ...]:
    return tuple(model.preset for model in models if isinstance(model, Asked))


def short(spec: Spec) -> Spec:
    """The spec without what is so by itself: the method, where it is the usual one, and the name of the file."""
    full = spec.recoding
    tried = (replace(full, method=None, loss=None), replace(full, loss=None), replace(full, method=None), full)
    found = next(one for one in tried if one is full or _settles(spec, one))
    copy = replace(spec)
    object.__setattr__(copy, "recoding", found)  # as it is said, not as it is settled
    return copy


def _settles(spec: Spec, recoding: Recoding) -> bool:
    """Whether a shorter recoding comes to that of the spec."""
    try:
        return replace(spec, recoding=recoding).recoding == spec.recoding
    except SpecError:
        return False


def _options(spec: Spec) -> Iterator[Doc]:
    """The options that have a name of their own, and are not as they are without being said."""
    for word, option in options().items():
        of = getattr(spec, option.section) if option.section else spec
        if of is None:
            continue
        key = keys_of(type(of))[option.key]
        value = getattr(of, key.name)
        if value in (None, (), {}) or value == key.default or _usual(spec, word, value):
            continue
        yield _named(f"{word} = ", said(value, key.hint, option.key))


def _usual(spec: Spec, word: str, value: Any) -> bool:
    """Whether it is the path that a file has by itself."""
    return word == "path" and spec.publish is not None and value == f"{spec.publish.name}.parquet"


def _named(head: str, value: Doc) -> Doc:
    return Doc(head + value.head, value.items, value.tail)


# -- columns, models, tables -------------------------------------------------------------------------------------------


def _columns(columns: Mapping[str, Column], source: Source) -> Iterator[Doc]:
    """The columns by their roles, where that gives them in their order; else one list with a role each."""
    runs = [(role, list(names)) for role, names in groupby(columns, lambda name: columns[name].role)]
    listed = [name for _, names in runs for name in names]
    order = as_selected(listed, outputs(source.query, "duckdb")) if source.query else listed
    if len({role for role, _ in runs}) == len(runs) and order == list(columns):
        lists = {role: word for word, role in ROLES.items()}
        for role, names in runs:
            yield doc(f"{lists[role]} = ", [_column(one, columns[one]) for one in names])
    else:
        items = [_column(one, column, spelled(column.role)) for one, column in columns.items()]
        yield doc("columns = ", items)


def _column(of: str, column: Column, role: str = "") -> Doc:
    head, items, tail = " ".join(filter(None, (name(of), role))), None, ""
    if column.hierarchy is not None:
        content = _hierarchy(column.hierarchy)
        head, items, tail = f"{head} {content.head}", content.items, content.tail
    for key, (field, hint, _, default) in keys_of(Column).items():
        value = getattr(column, field)
        if key not in ("role", "hierarchy") and value != default and value is not None:
            word = spelled(value) if isinstance(value, str) else said(value, hint, key).flat
            tail += f" {spelled(key)} {word}"
    return Doc(head, items, tail)


def _hierarchy(hierarchy: Hierarchy) -> Doc:
    if type(hierarchy) not in HIERARCHIES.values() or (isinstance(hierarchy, Csv) and hierarchy.kept):
        raise SpecError("a hierarchy that a release remembers has no spelling: name its file", where=hierarchy.name)
    (first, key), *more = keys_of(type(hierarchy)).items()
    value = getattr(hierarchy, key.name)
    content = _tree("tree", value) if hierarchy.name == "tree" else _named(f"{hierarchy.name} ", _listed(value, first))
    for word, key in more:
        if getattr(hierarchy, key.name) != key.default:
            content = replace(content, tail=f"{content.tail} {word} {_listed(getattr(hierarchy, key.name), word).flat}")
    return content


def _listed(value: Any, key: str) -> Doc:
    """The content of a hierarchy: one value alone, or several in parentheses. The levels of a date are words."""
    if not isinstance(value, tuple):
        return Doc(_scalar(value))
    return doc("", [Doc(one if key == "levels" else _scalar(one)) for one in value])


def _tree(head: str, node: Any) -> Doc:
    if isinstance(node, Mapping):
        plain = head != "tree" and all(below is None for below in node.values())
        return doc(f"{head} ", [_branch(str(word), below, plain=plain) for word, below in node.items()])
    return doc(f"{head} ", [Doc(text(str(leaf))) for leaf in node])


def _branch(word: str, below: Any, *, plain: bool) -> Doc:
    """A category of a tree. Where all branches are values, only NULL tells them from a list of values."""
    if below is None:
        return Doc(f"{text(word)} NULL" if plain else text(word))
    return _tree(text(word), below)


def _models(models: Sequence[Model]) -> Iterator[Doc]:
    for model in models:
        if isinstance(model, Asked):
            yield Doc(f"preset = {text(model.preset)}")
        elif isinstance(model, KAnonymity):
            yield Doc(f"k = {model.k}")
        else:
            yield call(model)


def call(model: Model | Transform) -> Doc:
    """A model or a transform as it is called: what it always needs by its place, the rest by its key."""
    items, placed = list[Doc](), True
    for key, (field, hint, _, default) in keys_of(type(model)).items():
        value = getattr(model, field)
        placed = placed and default is MISSING
        if not placed and (value is None or value == default):
            continue
        items.append(_named("" if placed else f"{spelled(key)} => ", said(value, hint, key)))
    return doc(spelled(model.name), items)


def _whole(source: Source) -> str:
    """The source of a declaration: a query as it stands, where it can stand so."""
    if source.query is not None and query_of(source.query) == source.query:
        return source.query
    return _source(source).flat


def _source(source: Source) -> Doc:
    if source.table is not None:
        return Doc(f"TABLE {name(source.table)}")
    if source.query is not None:
        return Doc(f"QUERY {text(source.query)}")
    delimiter = f" DELIMITER {text(source.delimiter)}" if source.delimiter is not None else ""
    return Doc(f"FILE {text(source.file or '')}{delimiter}")


def _related(table: Related) -> Doc:
    items = [*_models(table.privacy), *_columns(table.columns, table.source)]
    for word, option in options(Related).items():
        value = getattr(table, option.key)
        if value is not None:
            items.append(_named(f"{word} = ", said(value, option.hint, option.key)))
    return doc(f"{name(table.name)} AS {_source(table.source).flat} WITH ", items)


# -- values ------------------------------------------------------------------------------------------------------------


def said(value: Any, hint: Any, key: str) -> Doc:
    """A value as the annotation of its key has it read."""
    hint, *others = scalars(hint)
    if isinstance(value, Related):
        return _related(value)
    if isinstance(value, Model | Transform):
        return call(value)
    if isinstance(value, Source):
        return _source(value)
    if key == "expires":
        return Doc(_lasting(value))
    if is_dataclass(value):
        return _record(value)
    if isinstance(value, Mapping):
        return _mapping(value, get_args(hint)[1] if is_mapping(hint) else Any, key)
    if isinstance(value, tuple):
        return doc("", [said(one, get_args(hint)[0], key) for one in value])
    named = key in NAMES and isinstance(value, str) and not any(words_of(one) for one in (hint, *others))
    return Doc(name(value) if named else _scalar(value))


def unusual(value: Any) -> dict[str, Any]:
    """The keys of a dataclass that are not as they are without being said."""
    usual = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(value)}
    found = {key: (name, getattr(value, name)) for key, (name, *_) in keys_of(type(value)).items()}
    return {key: one for key, (name, one) in found.items() if one is not None and one != usual[name]}


def by_itself(value: Any) -> Any:
    """The scalar that says all of a dataclass, where one does; else None."""
    given = unusual(value)
    if not hasattr(value, "short_key") or len(given) != 1:
        return None
    [(key, one)] = given.items()
    return None if is_dataclass(one) or value.short_key(str(one)) != key else one


def _record(value: Any) -> Doc:
    """A dataclass by its keys; by a scalar alone where that says it."""
    keys, given = keys_of(type(value)), unusual(value)
    if (alone := by_itself(value)) is not None:
        return Doc(_scalar(alone))
    return doc("", [_named(f"{spelled(key)} => ", said(one, keys[key].hint, key)) for key, one in given.items()])


def _mapping(value: Mapping[Any, Any], hint: Any, key: str) -> Doc:
    write = name if key in BY_NAME else text
    inner = key if is_mapping(hint) else ""
    return doc("", [_named(f"{write(str(k))} => ", said(one, hint, inner)) for k, one in value.items()])


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        return repr(value)
    return text(value.isoformat() if isinstance(value, date) else str(value))


def _lasting(told: str) -> str:
    many, unit = told[:-1], _UNITS[told[-1]]
    return text(f"{many} {unit}{'' if many == '1' else 's'}")


def text(content: str) -> str:
    """A text in single quotes."""
    return f"'{shown_text(content)}'"


def name(path: str) -> str:
    """A name, bare where every engine reads it so: in lower case, and no word of SQL's own."""
    parts = path.split(".")
    plain = all(_PLAIN.fullmatch(part) and f" {part} " not in _RESERVED for part in parts)
    return path if plain else '"' + path.replace('"', '""') + '"'


def _alone(text: str) -> str:
    """A name that has no schema before it, although there may be a dot in it."""
    return '"' + text.replace('"', '""') + '"' if "." in text else name(text)
