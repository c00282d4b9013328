"""Whose columns a query gives out: the spec of a query, held against the base columns that its outputs come from.

A spec may give roles to base columns of its query too, by `name`, `relation.name` or the query's `alias.name`. Then an
output that is one of them, under whatever name, has that role; one that is computed from quasi-identifiers is a
quasi-identifier itself. What an identifier is computed into is published under no other role, unless that is declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, SpecError
from sqlanon.lineage import Bases, Catalogue, Output, Resolved, Unresolved, resolve
from sqlanon.models import Model, column_of
from sqlanon.spec import Column, Spec
from sqlanon.spec import Source as Where


def origin_of(spec: Spec) -> Origin:
    """Where the spec says that the rows are, seen from the folder of its file."""
    return origin_at(spec, spec.source)


def origin_at(spec: Spec, source: Where) -> Origin:
    """The same of any source that a spec names."""
    text = tuple(name for name, column in spec.columns.items() if column.type == "text")
    file = Path(spec.resolve(source.file)) if source.file else None
    return Origin(relation=source.table, file=file, query=source.query, delimiter=source.delimiter, text_columns=text)


_SECRET = ("identifier", "drop")


def resolved(engine: Engine, query: str) -> Resolved:
    """The base columns of each output of a query, under the names that the engine gives them.

    Raises `Unresolved`, `SpecError` where it is no SELECT, `EngineError`.
    """
    columns = engine.columns(Origin(query=query))
    made, instead = engine.made_functions()
    if instead:
        told = f"the function {min(instead)} of this database stands in the place of the engine's own"
        raise Unresolved(told, where="source.query")
    try:
        text = engine.plainly(query)
    except EngineError:
        raise Unresolved("the engine does not tell how it reads this query", where="source.query") from None
    found = resolve(text, engine.dialect, Catalogue(engine.defined, made))
    names = [column.name for column in found.outputs]
    if len(names) != len(columns) or any(
        known is not None and known.lower() != column.name.lower() for known, column in zip(names, columns, strict=True)
    ):
        raise Unresolved("it gives other columns than its text says", where="source.query")
    outputs = tuple(replace(one, name=column.name) for one, column in zip(found.outputs, columns, strict=True))
    return replace(found, outputs=outputs)


def spelled(spec: Spec, engine: Engine) -> Spec:
    """The spec with its columns as the source spells them, where the engine takes letters of both cases for one.

    Raises `SpecError` where a column is named twice in letters of another case.
    """
    if engine.dialect != "duckdb":
        return spec
    there = [column.name for column in engine.columns(origin_of(spec))]
    names = {
        name: next((known for known in there if known.lower() == name.lower()), name)
        for name in spec.columns
        if name not in there
    }
    for i, (name, known) in enumerate(names.items()):
        if known != name and known in (*spec.columns, *list(names.values())[:i]):
            raise SpecError(
                f"{known!r} is named twice: letters of both cases are one here", where="columns", found=name
            )
    if all(name == known for name, known in names.items()):
        return spec
    recoding = _respelled(spec.recoding, names)
    if recoding.levels is not None:
        recoding = replace(recoding, levels={names.get(n, n): level for n, level in recoding.levels.items()})
    return replace(
        spec, recoding=recoding, entity=names.get(spec.entity, spec.entity) if spec.entity is not None else None,
        columns={names.get(name, name): column for name, column in spec.columns.items()},
        privacy=tuple(_respelled(model, names) for model in spec.privacy),
        transforms=tuple(_respelled(transform, names) for transform in spec.transforms),
        predictions={names.get(name, name): predicted for name, predicted in spec.predictions.items()},
    )  # fmt: skip


_NAMING = ("column", "columns", "deal", "guard", "threshold_column")


def _respelled(part: Any, names: Mapping[str, str]) -> Any:
    """A part of a spec with other spellings in the keys that name columns."""
    changed: dict[str, Any] = {}
    for key in {field.name for field in fields(part)} & {*_NAMING}:
        said = getattr(part, key)
        if isinstance(said, str):
            changed[key] = names.get(said, said)
        elif isinstance(said, tuple):
            changed[key] = tuple(names.get(one, one) for one in said)
    return replace(part, **changed)


def traced(spec: Spec, engine: Engine) -> Spec:
    """The spec of a query with roles for its outputs alone, where it gives roles to base columns too.

    Where the origin of the columns cannot be told, the spec stays as it is; so does one whose source is no query, but
    columns of a view, and generated ones of a table, are held against those that they are made of.
    Raises `SpecError` where an output would be published as insensitive and comes from an identifier, a
    quasi-identifier or a sensitive column, or where a base column's role cannot be given to an output; `EngineError`.
    """
    query = spec.source.query
    try:
        if spec.source.table is not None and engine.computes(spec.source.table):
            _Traced(spec, resolved(engine, f"SELECT * FROM {engine.origin(origin_of(spec))}")).open()
        found = resolved(engine, query) if query is not None else None
    except Unresolved:
        return spec
    return spec if found is None else _Traced(spec, found).spec()


def untold(spec: Spec, engine: Engine) -> str | None:
    """What is not known of the spec of a query, of which `traced` makes nothing; None where its origins can be told."""
    try:
        for one in spec.tables:
            if one.source.query is not None:
                resolved(engine, one.source.query)
    except Unresolved as error:
        return f"{error.problem}; nobody has looked whether it gives out an identifier under another name"
    return None


def trace(spec: Spec, engine: Engine) -> None:
    """Refuses the spec of a query unless the origin of every output is known and fits its role: for statements.

    An output that comes from an identifier must itself be declared one, or dropped; an output that comes from a
    quasi-identifier must be one, or not be published. Raises `Unresolved`, `SpecError`, `EngineError`.
    """
    for one in spec.tables:
        if one.source.query is not None:
            made = _Traced(one, resolved(engine, one.source.query))
            made.strict()
            made.spec()


@dataclass(frozen=True)
class _Traced:
    given: Spec
    found: Resolved

    @property
    def outputs(self) -> Mapping[str, Output]:
        return {one.name or "": one for one in self.found.outputs}

    def elsewhere(self) -> dict[str, Bases]:
        """The columns that the spec names and the query does not give out, with the base columns they speak of."""
        return {name: self.found.meant(name) for name in self.given.columns if name not in self.outputs}

    def declared(self) -> list[tuple[str, str, Bases]]:
        """Whatever gives a role to base columns: its name, the role, the columns."""
        spoken = {name: self.own(name) for name in self.given.columns if name in self.outputs} | self.elsewhere()
        return [(name, self.given.columns[name].role, bases) for name, bases in spoken.items()]

    def own(self, name: str) -> Bases:
        """The base columns that an output's role is about: the one that it is, and those of its name that it is of.

        Where something else is published under the name of a base column, the role is about both, but for insensitive.
        """
        output = self.outputs[name]
        named = frozenset(one for one in output.computed if one.column.lower() == name.lower())
        if not named and self.given.columns[name].role != "insensitive":
            named = self.found.meant(name)
        return named | frozenset(one for one in output.computed if one == output.bare)

    def behind(self, name: str, roles: Sequence[str]) -> str | None:
        """What has one of these roles and is behind an output, under another name; None where nothing is."""
        origins = self.found.origins(self.outputs[name])
        found = (other for other, role, bases in self.declared() if role in roles and other != name and bases & origins)
        return next(found, None)

    def strict(self) -> None:
        for name, column in self.given.columns.items():
            if name not in self.outputs or column.role in _SECRET:
                continue
            self.refuse(name, column.role, ("identifier",), "an identifier is published under no name")
            if column.role != "quasi-identifier":
                self.refuse(name, column.role, ("quasi-identifier",), "others know it under any name")

    def refuse(self, name: str, role: str, roles: Sequence[str], told: str) -> None:
        if (behind := self.behind(name, roles)) is not None:
            raise SpecError(
                f"this output comes from the {self.given.columns[behind].role} {behind!r}: {told}",
                where=f"columns.{name}", found=role, allowed=(*roles, "drop"),
            )  # fmt: skip

    def open(self) -> None:
        """Refuses what would be published as insensitive and comes from something else."""
        for name, column in self.given.columns.items():
            if name in self.outputs and column.role == "insensitive":
                self.refuse(name, column.role, ("identifier",), "an identifier is published under no name")
                self.refuse(name, column.role, ("quasi-identifier",), "others know it under any name")
                self.refuse(name, column.role, ("sensitive",), "it is as sensitive under any name")

    def spec(self) -> Spec:
        self.open()
        away = self.elsewhere()
        if not away:
            return self.given
        if unknown := [name for name, bases in away.items() if not bases]:
            raise SpecError(
                "neither the query nor what it reads has such a column", where="columns", found=unknown[0],
                allowed=sorted({*self.outputs, *(one.column for one in self.found.bases)}),
            )  # fmt: skip
        columns = {
            name: self.given.columns[name] if name in self.given.columns else self.role_of(name)
            for name in self.outputs
        }
        known = {name: column for name, column in columns.items() if column is not None}
        return self.with_columns(known, away)

    def role_of(self, name: str) -> Column | None:
        """The role of an output that the spec does not name, by what it comes from; None where nothing was said."""
        origins = self.found.origins(self.outputs[name])
        mine = self.outputs[name].bare
        of: dict[str, list[tuple[str, Bases]]] = {}
        for declared, role, bases in self.declared():
            if bases & origins:
                of.setdefault(role, []).append((declared, bases))
        for role in _SECRET:
            for declared, bases in of.get(role, ()):
                if mine is not None and mine in bases and declared.rpartition(".")[2].lower() == name.lower():
                    return self.given.columns[declared]
                told = (
                    f"this output comes from {declared!r}, which is not published; declare it {role}, or leave it out"
                )
                raise SpecError(f"{told} of the query", where=f"columns.{name}", allowed=_SECRET)
        roles = [role for role in ("quasi-identifier", "sensitive") if role in of]
        if len(roles) > 1:
            told = "this output comes from a quasi-identifier and from a sensitive column; declare what it is"
            raise SpecError(told, where=f"columns.{name}", allowed=roles)
        if roles:
            same = [declared for declared, bases in of[roles[0]] if mine is not None and mine in bases]
            return replace(self.given.columns[same[0]]) if same else Column(roles[0])
        open_: Bases = frozenset().union(*(bases for _, bases in of.get("insensitive", ())))
        return Column("insensitive") if origins and origins <= open_ else None

    def with_columns(self, columns: Mapping[str, Column], away: Mapping[str, Bases]) -> Spec:
        """The spec with roles for outputs, and what it says of base columns said of the outputs that they are."""
        names = {
            name: [out for out, one in self.outputs.items() if one.bare is not None and one.bare in bases]
            for name, bases in away.items()
        }
        privacy = [made for model in self.given.privacy for made in _about(model, names)]
        entity = self.given.entity
        if entity is not None and names.get(entity):
            entity = names[entity][0]
        return replace(self.given, columns=dict(columns), privacy=tuple(dict.fromkeys(privacy)), entity=entity)


def _about(model: Model, names: Mapping[str, Sequence[str]]) -> Iterator[Model]:
    """A model, about each output that the column which it names is published as."""
    column = column_of(model)
    if column is None or column not in names:
        yield model
        return
    changed: dict[str, Any] = {}
    for name in names[column]:
        changed["column"] = name
        yield replace(model, **changed)  # type: ignore[type-var]
