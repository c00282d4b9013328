"""Spec and column types → named steps. Pure: the same input gives the same bytes, and `plan --sql` prints what runs.

source ▸ (hierarchies) ▸ recoded ▸ distributions, classes, measured ▸ failing ▸ released
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import STAR, Hierarchy, Order, Rows, Suppress
from sqlanon.measures import Measured, Reference, measured
from sqlanon.measures import Rows as Records
from sqlanon.models import Model, column_of, every_class, every_table, needed
from sqlanon.query import Expression, Query, Text, column, fragment, named
from sqlanon.spec import Column as Declared
from sqlanon.spec import Spec

# Types whose values have an order of their own.
ORDERED = ("integer", "decimal", "float", "date", "timestamp")


@dataclass(frozen=True)
class Source:
    """A spec held against the columns that its source really has. `rows` are its tabled hierarchies, by column."""

    spec: Spec
    origin: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Rows]

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        return self.spec.quasi_identifiers

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The sensitive columns that a model is about."""
        return tuple(dict.fromkeys(m.column for m in self.spec.privacy if hasattr(m, "column")))

    def hierarchy(self, name: str) -> Hierarchy:
        return self.spec.columns[name].hierarchy or Suppress()

    def height(self, name: str) -> int:
        """The last level of a quasi-identifier, at which every value is `*`."""
        rows = self.rows.get(name)
        return len(rows[0]) - 1 if rows else cast(int, self.hierarchy(name).height)

    def family(self, name: str) -> str:
        return self.columns[name].family

    def step(self) -> Query:
        """The step `source`: only the columns that the spec names and does not drop."""
        names = [
            n for n, c in self.spec.columns.items() if c.role not in ("drop", "identifier") or n == self.spec.entity
        ]
        listed = ", ".join(self._plain(name) for name in names)
        return Query(()).then(
            "source",
            Text(f"SELECT {listed}\nFROM {self.origin} AS s"),
            "only the columns that the spec names",
            inline=True,
        )

    def _plain(self, name: str) -> str:
        """A column as its values are read by people: what looks different is different, and types tell no values."""
        own, found, role = query.identifier(name).sql("duckdb"), self.columns[name], self.spec.columns[name].role
        read = f"s.{own}"
        if found.family == "float":
            plain = f"CASE WHEN {read} = 0 THEN 0 ELSE {read} END"  # -0.0 is 0.0
        elif "ENUM" in found.type or (found.family == "other" and role in ("quasi-identifier", "sensitive")):
            plain = f"CAST({read} AS VARCHAR)"  # the type of an ENUM lists values that were suppressed
        elif found.family == "text":
            plain = f'CAST({read} AS VARCHAR) COLLATE "binary"'  # whatever the column, the query or the view says
        else:
            return read
        return f"{plain} AS {own}"

    def trees(self) -> Query:
        """A step per sensitive column whose hierarchy a distance needs: the value and its ancestors below the root."""
        steps = Query(())
        for name in self.sensitive:
            if name in self.rows and self._measures_tree(name):
                height = len(self.rows[name][0]) - 1
                labels = [f"node {level} of {name}" for level in range(height)]
                rows = (row[:height] for row in self.rows[name])
                steps = steps.join(Query((query.values(f"tree of {name}", labels, rows, f"the hierarchy of {name}"),)))
        return steps

    def _measures_tree(self, name: str) -> bool:
        return any(
            getattr(m, "distance", None) == "hierarchical" and m.column == name
            for m in self.spec.privacy
            if hasattr(m, "column")
        )

    def references(self, relation: str, weight: str | None = None) -> dict[str, Reference]:
        """Where each sensitive column's distribution in the whole table is read from."""
        return {name: self._reference(name, relation, weight) for name in self.sensitive}

    def _reference(self, name: str, relation: str, weight: str | None) -> Reference:
        hierarchy = self.hierarchy(name)
        tree = (f"tree of {name}", len(self.rows[name][0]) - 1) if self._measures_tree(name) else None
        return Reference(relation, weight, hierarchy.values if isinstance(hierarchy, Order) else (), tree)


def resolve(spec: Spec, origin: Origin, item: str, columns: tuple[Column, ...], *, collated: bool = False) -> Source:
    """Holds the spec against the source, and denies what was not declared. Raises `SpecError`.

    Every column of the source must be named, every named column must be there, with the declared type if one is
    declared, and its hierarchy must be able to generalise that type.
    """
    there = {found.name: found for found in columns}
    missing = [name for name in spec.columns if name not in there]
    if missing:
        raise SpecError(f"the source {origin} has no such column", where="columns", found=missing[0], allowed=there)
    unnamed = [name for name in there if name not in spec.columns]
    if unnamed:
        names = ", ".join(repr(name) for name in unnamed)
        raise SpecError(
            f"the source has columns that the spec does not name: {names}; give each a role (drop leaves it out)",
            where="columns",
        )
    if not spec.quasi_identifiers:
        raise SpecError("no column is a quasi-identifier", where="columns")
    rows = {name: tabled for name in spec.columns if (tabled := _rows(spec, name)) is not None}
    source = Source(spec, item, there, rows)
    for name, declared in spec.columns.items():
        _check_column(source, name, declared, there[name])
    for model in spec.privacy:
        check_distance(model, there, spec.columns)
    return source


def check_distance(model: Model, columns: Mapping[str, Column], declared: Mapping[str, Declared] | None = None) -> None:
    """Refuses an ordered distance over values that have no order. Raises `SpecError`."""
    name = column_of(model)
    if name is None or getattr(model, "distance", None) != "ordered":
        return
    hierarchy = declared[name].hierarchy if declared else None
    if columns[name].family not in ORDERED and not isinstance(hierarchy, Order):
        raise SpecError(
            f"an ordered distance needs numbers, dates or an `order` hierarchy, and {name!r} is {columns[name].type}",
            where="privacy", found="ordered", allowed=("equal", "hierarchical"),
        )  # fmt: skip


def _rows(spec: Spec, name: str) -> Rows | None:
    hierarchy = spec.columns[name].hierarchy
    return hierarchy.rows(Path(spec.base)) if hierarchy else None


def _check_column(source: Source, name: str, declared: Declared, found: Column) -> None:
    where = f"columns.{name}"
    if declared.type is not None and declared.type != found.family:
        raise SpecError(
            f"the column is of type {found.type} ({found.family}), not {declared.type} as declared", where=where
        )
    hierarchy = declared.hierarchy
    if hierarchy is None:
        return
    if found.family not in hierarchy.families:
        raise SpecError(
            f"a {hierarchy.name} hierarchy cannot generalise a column of type {found.type}", where=where,
            found=found.family, allowed=hierarchy.families,
        )  # fmt: skip
    if declared.represent != "label" and not hierarchy.has_bounds:
        raise SpecError(f"represent: {declared.represent} needs a width or date hierarchy", where=where)
    if declared.role == "quasi-identifier":
        height = source.height(name)
        for key, level in (("min", declared.min), ("max", declared.max)):
            if level is not None and level > height:
                raise SpecError(f"{key} is level {level}, but the hierarchy ends at level {height}", where=where)


@dataclass(frozen=True)
class Plan:
    """What would be published: the steps, and what their columns are.

    `keys` are the published quasi-identifier columns (two for one that is published as bounds), `published` all columns
    of the release in order, `judged` the chain that ends in `measured`.
    """

    source: Source
    levels: Mapping[str, int]
    suppressed: str
    keys: tuple[str, ...]
    published: tuple[str, ...]
    judged: Measured
    chain: Query
    stars: Mapping[str, Expression]

    @property
    def query(self) -> Query:
        """The steps that end in the released rows."""
        return self._released(self.published)

    @property
    def staged(self) -> Query:
        """The same rows, with the entity beside them where the spec names one, for the verifier to count persons."""
        entity = self.source.spec.entity
        return self._released((*self.published, entity) if entity else self.published)

    def _released(self, names: tuple[str, ...]) -> Query:
        match = query.same(self.keys, "recoded", "failing")
        columns = [column(name, "recoded") for name in names]
        if not self.stars:
            # Not `exists` in the classes that hold: a record that matches nothing is found to do so faster.
            there = fragment("not exists (select 1 from failing where $m)", m=match)
            return self.chain.then("released", query.select(columns, "recoded", where=there), "what is published")
        failed = column(query.fresh("failed", self.keys), "failing")
        starred = [
            named(fragment("case when $f then $s else $x end", f=failed, x=x, s=self.stars[name]), name)
            if name in self.stars
            else x
            for name, x in zip(names, columns, strict=True)
        ]
        tree = query.joined(query.select(starred, "recoded"), "failing", match, "left")
        return self.chain.then("released", tree, "what is published; the records of failing classes with * instead")

    @property
    def models(self) -> tuple[Model, ...]:
        return self.source.spec.privacy

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the steps and the promises, in their rendered form."""
        facts = {"sql": query.render(self.query, "duckdb"), "models": [str(m) for m in self.models]}
        return "sha256:" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def compile_plan(source: Source, levels: Mapping[str, int], suppressed: str) -> Plan:
    """The plan that publishes a source at the given levels; `suppressed` is drop or star. Raises `SpecError`."""
    base = source.step().join(source.trees()).join(_labels(source, levels))
    keys = {
        name: _published(source, name, levels[name], starred=suppressed == "star") for name in source.quasi_identifiers
    }
    _no_clash(source, keys)
    base = base.then("recoded", _recoded(source, levels, keys), "every record, generalised", inline=True)
    names = tuple(label for columns in keys.values() for label in columns)
    records = Records("recoded", names, entity=_entity(source))
    models = source.spec.privacy
    judged = measured(records, needed(models), source.references("source"))
    chain = _failing(base.join(judged.query), models, judged, names, starred=suppressed == "star")
    published = tuple(label for name in source.spec.columns for label in _columns(source, name, keys))
    stars = {label: _star(source, name) for name, labels in keys.items() for label in labels}
    return Plan(
        source, dict(levels), suppressed, names, published, Measured(base.join(judged.query), judged.columns),
        chain, stars if suppressed == "star" else {},
    )  # fmt: skip


def _failing(
    chain: Query, models: tuple[Model, ...], judged: Measured, names: tuple[str, ...], *, starred: bool
) -> Query:
    """The step `failing`: what is not proved to hold is in it, so that a missing measure suppresses its class."""
    held = every_class(models, judged)
    whole = every_table(models, judged, "passing")
    if whole:
        passing = query.select([fragment("*")], "measured", where=query.every(held))
        chain = chain.then("passing", passing, "the classes within every bound")
    flag = [named(query.literal(True), query.fresh("failed", names))] if starred else []
    outside = fragment("($all) is not true", all=query.every([*held, *whole]))
    tree = query.select([*map(column, names), *flag], "measured", where=outside)
    told = "; all of them, unless the models about the whole table hold too" if whole else ""
    return chain.then("failing", tree, f"the classes outside a bound{told}")


def _star(source: Source, name: str) -> Expression:
    return query.literal(STAR if source.spec.columns[name].represent == "label" else None)


def _entity(source: Source) -> str | None:
    return source.spec.entity


def _columns(source: Source, name: str, keys: Mapping[str, Mapping[str, Expression]]) -> tuple[str, ...]:
    role = source.spec.columns[name].role
    if role == "quasi-identifier":
        return tuple(keys[name])
    return (name,) if role in ("sensitive", "insensitive") else ()


def _no_clash(source: Source, keys: Mapping[str, Mapping[str, Expression]]) -> None:
    """Refuses a published name that another column of the source has, published or not."""
    others = {name: {other.lower() for other in source.spec.columns if other != name} for name in keys}
    clashing = [label for name, labels in keys.items() for label in labels if label.lower() in others[name]]
    labels = [label.lower() for made in keys.values() for label in made]
    clashing += [label for label in labels if labels.count(label) > 1]
    if clashing:
        raise SpecError("a published column would have the name of another column", where="columns", found=clashing[0])


def _labels(source: Source, levels: Mapping[str, int]) -> Query:
    """A step per tabled hierarchy in use: each value and its label at the chosen level."""
    steps = Query(())
    for name, level in levels.items():
        if name in source.rows and 0 < level < source.height(name):
            pairs = [(row[0], row[level]) for row in source.rows[name]]
            comment = f"the hierarchy of {name} at level {level}"
            steps = steps.join(Query((query.values(f"hierarchy of {name}", ("value", "label"), pairs, comment),)))
    return steps


def _recoded(source: Source, levels: Mapping[str, int], keys: Mapping[str, Mapping[str, Expression]]) -> Expression:
    columns: list[Expression] = []
    if source.spec.entity:
        columns.append(column(source.spec.entity, "source"))
    for name, declared in source.spec.columns.items():
        if declared.role == "quasi-identifier":
            columns += [named(expression, label) for label, expression in keys[name].items()]
        elif declared.role in ("sensitive", "insensitive"):
            columns.append(column(name, "source"))
    tree = query.select(columns, "source")
    tabled = [name for name, level in levels.items() if name in source.rows and 0 < level < source.height(name)]
    for name in tabled:
        step = f"hierarchy of {name}"
        on = fragment("cast($x as varchar) = $v", x=column(name, "source"), v=column("value", step))
        tree = query.joined(tree, step, on, side="left")
    # A value that the hierarchy does not know is never published: in a view it may arrive after the plan was made.
    known = [
        fragment("$x is null or $v is not null", x=column(name, "source"), v=column("value", f"hierarchy of {name}"))
        for name in tabled
    ]
    return query.filtered(tree, known)


def _published(source: Source, name: str, level: int, *, starred: bool) -> dict[str, Expression]:
    """The published columns of a quasi-identifier at a level, and the expressions that make them."""
    declared, value, family = source.spec.columns[name], column(name, "source"), source.family(name)
    if declared.represent != "label":
        return _interval(source, name, level)
    if level == source.height(name):
        return {name: query.literal(STAR)}
    if level == 0:
        return {name: fragment("cast($x as varchar)", x=value) if starred else value}
    if name in source.rows:
        return {name: column("label", f"hierarchy of {name}")}
    return {name: source.hierarchy(name).label(value, level, family)}


def _interval(source: Source, name: str, level: int) -> dict[str, Expression]:
    """`NAME_from`, `NAME_to` (from ≤ value < to; equal for a value itself; both missing for all), or one range."""
    declared, value, family = source.spec.columns[name], column(name, "source"), source.family(name)
    if level == source.height(name):
        kind = {"integer": "bigint", "date": "date", "timestamp": "date", "float": "double"}.get(
            family, "decimal(38, 10)"
        )
        lower = upper = fragment(f"cast(null as {kind})")
    elif level == 0:
        lower = upper = value
    else:
        lower, upper = source.hierarchy(name).bounds(value, level, family)
    if declared.represent == "bounds":
        return {f"{name}_from": lower, f"{name}_to": upper}
    return {name: query.interval(lower, upper)}
