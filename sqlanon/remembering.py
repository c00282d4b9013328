"""A spec as the register keeps it: by itself, so that a release can be refreshed when its file is gone.

Paths of sources are made whole, and files of hierarchies are kept with their lines. Nothing that is secret can be in a
spec. What cannot be read back exactly as it was is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Csv, Hierarchy, Rows
from sqlanon.models import Model
from sqlanon.recoding.transforms import Transform
from sqlanon.spec import Column as Declared
from sqlanon.spec import Source, Spec, load


@dataclass(frozen=True)
class Kept:
    """What the register keeps of a release's making: its spec, the levels that were chosen, the types of its source.

    Where the spec has several tables, the types are by the name of each.
    """

    spec: Spec
    levels: Mapping[str, int] | None
    types: Mapping[str, Any]

    @property
    def tables(self) -> dict[str, tuple[Spec, Mapping[str, str]]]:
        """The spec of each table, and the types of its source, by the name of its release."""
        named = {one.publish.name if one.publish else "": one for one in self.spec.tables}
        return {name: (one, self.types[name] if self.spec.related else self.types) for name, one in named.items()}

    @property
    def frozen(self) -> Spec:
        """The spec with the levels that were chosen, where there are any."""
        if self.levels is None:
            return self.spec
        return replace(self.spec, recoding=replace(self.spec.recoding, method="full-domain", levels=self.levels))


def keep(spec: Spec, levels: Mapping[str, int] | None, types: Mapping[str, Any]) -> str:
    """A spec as text for the register; empty where it would be read back as another one."""
    whole = _by_itself(spec)
    told = {
        "spec": _written(whole), "levels": None if levels is None else dict(levels), "types": dict(types),
        "lines": [_lines(whole.columns), *(_lines(one.columns) for one in whole.related)],
    }  # fmt: skip
    try:
        text = json.dumps(told, ensure_ascii=False)
        found = recall(text)
    except (SpecError, TypeError, ValueError):
        return ""
    return text if found is not None and _same(found.spec, whole) else ""


def recall(text: str) -> Kept | None:
    """What `keep` kept; None where nothing was. Raises `SpecError` where another version of sqlanon kept it."""
    if not text:
        return None
    told = json.loads(text, parse_float=Decimal)
    spec = load(told["spec"])
    first, *others = ({name: tuple(map(tuple, rows)) for name, rows in lines.items()} for lines in told["lines"])
    related = tuple(
        replace(one, columns=_with(one.columns, lines)) for one, lines in zip(spec.related, others, strict=True)
    )
    return Kept(replace(spec, columns=_with(spec.columns, first), related=related), told["levels"], told["types"])


def _lines(columns: Mapping[str, Declared]) -> dict[str, list[list[str]]]:
    """The lines of the files of hierarchies, where they are known."""
    hierarchies = {name: column.hierarchy for name, column in columns.items()}
    return {name: list(map(list, h.kept)) for name, h in hierarchies.items() if isinstance(h, Csv)}


def _with(columns: Mapping[str, Declared], lines: Mapping[str, Rows]) -> dict[str, Declared]:
    """The same columns with these lines in the place of files."""
    return {
        name: replace(column, hierarchy=replace(column.hierarchy, kept=lines[name]))
        if isinstance(column.hierarchy, Csv) and name in lines
        else column
        for name, column in columns.items()
    }


def _read(columns: Mapping[str, Declared], base: Path) -> dict[str, Declared]:
    """The same columns with the lines of their files."""
    files = {name: column.hierarchy for name, column in columns.items()}
    return _with(columns, {name: file.rows(base) for name, file in files.items() if isinstance(file, Csv)})


def _same(one: Spec, other: Spec) -> bool:
    plain = [replace(spec, base=Path(), presets=()) for spec in (one, other)]
    return plain[0] == plain[1]


def _by_itself(spec: Spec) -> Spec:
    """The same spec with whole paths, and with the lines of its hierarchies."""
    publish = spec.publish
    if publish is not None and publish.path is not None:
        publish = replace(publish, path=_whole(spec, publish.path))
    population = _source(spec, spec.population) if spec.population else None
    source, policy = _source(spec, spec.source), spec.policy.seen_from_here(spec.base) if spec.policy else None
    base = Path(spec.base)
    related = tuple(
        replace(one, source=_source(spec, one.source), columns=_read(one.columns, base)) for one in spec.related
    )
    return replace(
        spec, columns=_read(spec.columns, base), source=source, population=population, publish=publish, policy=policy,
        related=related, base=Path(),
    )  # fmt: skip


def _source(spec: Spec, source: Source) -> Source:
    return replace(source, file=_whole(spec, source.file)) if source.file else source


def _whole(spec: Spec, path: str) -> str:
    return path if "://" in path else str(Path(spec.resolve(path)).absolute())


def _written(value: Any) -> Any:
    """A value of a spec as its file would have it."""
    if isinstance(value, Hierarchy):
        content = _keys(value)
        first, *more = keys_of(type(value))
        return {value.name: content if more else content[first]}
    if isinstance(value, Model):
        return {"model": value.name, **_keys(value)}
    if isinstance(value, Transform):
        return {"transform": value.name, **_keys(value)}
    if is_dataclass(value):
        return _keys(value)
    if isinstance(value, Mapping):
        return {str(key): _written(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_written(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value


def _keys(value: Any) -> dict[str, Any]:
    """The keys of a dataclass that are not as they are without being said."""
    usual = {f.name: f.default for f in fields(value)}
    return {
        key: _written(getattr(value, name))
        for key, (name, *_) in keys_of(type(value)).items()
        if getattr(value, name) is not None and getattr(value, name) != usual[name]
    }
