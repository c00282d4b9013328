"""Spec and column types → named steps. Pure: the same input gives the same bytes, and `plan --sql` prints what runs.

source ▸ (hierarchies) ▸ recoded ▸ distributions, classes, measured ▸ failing ▸ released
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.engines.words import in_parquet
from sqlanon.errors import SpecError
from sqlanon.hierarchies import STAR, Hierarchy, Order, Rows, Suppress
from sqlanon.measuring import Measured, Reference, arrange, measured
from sqlanon.measuring import Rows as Records
from sqlanon.models import Model, column_of, every_class, every_table, guard_of, needed
from sqlanon.query import Expression, Query, Text, column, fragment, named
from sqlanon.spec import Column as Declared
from sqlanon.spec import Spec

# Types whose values have an order of their own, and those whose values are numbers of something.
ORDERED = ("integer", "decimal", "float", "date", "timestamp")
NUMBERS = ("integer", "decimal", "float", "date")


@dataclass(frozen=True)
class Source:
    """A spec held against the columns that its source really has. `rows` are its tabled hierarchies, by column.

    `population` is the FROM item of the population table, whose columns are called as the quasi-identifiers are;
    `drawn_from` the one that `origin` is a random sample of, where it is.
    """

    spec: Spec
    origin: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Rows]
    population: str | None = None
    drawn_from: str = ""

    @property
    def quasi_identifiers(self) -> tuple[str, ...]:
        return self.spec.quasi_identifiers

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The sensitive columns that a model is about."""
        return tuple(dict.fromkeys(name for name in map(column_of, self.spec.privacy) if name))

    @property
    def carried(self) -> tuple[str, ...]:
        """The columns that models need and nobody publishes: who a record is about, what a person wants guarded."""
        named = [self.spec.entity, *map(guard_of, self.spec.privacy)]
        return tuple(dict.fromkeys(name for name in named if name and name not in self.spec.published))

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns beside quasi-identifiers and sensitive ones that the models' measures read."""
        named = [self.spec.entity, *map(guard_of, self.spec.privacy)]
        return tuple(dict.fromkeys(n for n in named if n and n not in (*self.quasi_identifiers, *self.sensitive)))

    def hierarchy(self, name: str) -> Hierarchy:
        return self.spec.columns[name].hierarchy or Suppress()

    def height(self, name: str) -> int:
        """The last level of a quasi-identifier, at which every value is `*`."""
        rows = self.rows.get(name)
        return len(rows[0]) - 1 if rows else cast(int, self.hierarchy(name).height)

    def family(self, name: str) -> str:
        return self.columns[name].family

    def step(self, *, known: bool = False) -> Query:
        """The step `source`: only the columns that the spec names and does not drop.

        `known`: without the records whose sensitive value has no place among those that a distance knows. There are
        none when a release is planned; in a view they may arrive later.
        """
        names = [name for name in self.spec.columns if name in (*self.spec.published, *self.carried)]
        return self._reading("source", self.origin, names, "only the columns that the spec names", known=known)

    @property
    def reference(self) -> str:
        """The FROM item of the sensitive values before suppression, as they are read for the release too."""
        listed = ", ".join(map(self._plain, self.sensitive))
        return f"(SELECT {listed}\nFROM {self.origin} AS s{self._known()})" if listed else self.origin

    def _known(self) -> str:
        tests = []
        for name, reference in self.references("").items():
            values = reference.order or (tuple(row[0] for row in self.rows[name]) if reference.tree else ())
            if values:
                read, listed = query.identifier(name).sql("duckdb"), ", ".join(map(query.constant, values))
                tests.append(f"(s.{read} IS NULL OR CAST(s.{read} AS VARCHAR) IN ({listed}))")
        return "\nWHERE " + " AND ".join(tests) if tests else ""

    def people(self) -> Query:
        """The step `people`: the quasi-identifiers of the population table; nothing where there is none."""
        if self.population is None:
            return Query(())
        return self._reading("people", self.population, self.quasi_identifiers, "the population table")

    def _reading(self, step: str, item: str, names: Sequence[str], comment: str, *, known: bool = False) -> Query:
        listed, where = ", ".join(self._plain(name) for name in names), self._known() if known else ""
        return Query(()).then(step, Text(f"SELECT {listed}\nFROM {item} AS s{where}"), comment, inline=True)

    def _plain(self, name: str) -> str:
        """A column as its values are read by people: what looks different is different, and types tell no values."""
        own, found, role = query.identifier(name).sql("duckdb"), self.columns[name], self.spec.columns[name].role
        read = f"s.{own}"
        if found.type.endswith("[]") and self._is_set(name):
            return read
        if found.family == "float":
            plain = f"CASE WHEN {read} = 0 THEN 0 ELSE {read} END"  # -0.0 is 0.0
        elif "ENUM" in found.type or (found.family == "other" and role in ("quasi-identifier", "sensitive")):
            plain = f"CAST({read} AS VARCHAR)"  # the type of an ENUM lists values that were suppressed
        elif found.family == "text":
            plain = f'CAST({read} AS VARCHAR) COLLATE "C"'  # whatever the column, the query or the view says
        elif found.type == "numeric":  # of Postgres, where 1.5 and 1.50 are equal, and are told apart as text
            plain = f"trim_scale({read})"
        elif (kept := in_parquet(found.type)) and self._to_parquet:
            plain = f"CAST({read} AS {kept})"  # what is judged is what the file will hold
        else:
            return read
        return f"{plain} AS {own}"

    @property
    def _to_parquet(self) -> bool:
        publish = self.spec.publish
        return publish is not None and (publish.path or "").endswith(".parquet")

    def _is_set(self, name: str) -> bool:
        return any(column_of(model) == name and model.requires == "set" for model in self.spec.privacy)

    def trees(self) -> Query:
        """The steps that arrange the values of sensitive columns: their trees, groups and nodes."""
        steps = Query(())
        for name in self.sensitive:
            steps = steps.join(self._arranged(name, "", None)[0])
        return steps

    def references(self, relation: str, weight: str | None = None) -> dict[str, Reference]:
        """Where each sensitive column's distribution in the whole table is read from."""
        return {name: self._arranged(name, relation, weight)[1] for name in self.sensitive}

    def _arranged(self, name: str, relation: str, weight: str | None) -> tuple[Query, Reference]:
        hierarchy = self.hierarchy(name)
        order = hierarchy.values if isinstance(hierarchy, Order) else ()
        return arrange(
            name, needed(self.spec.privacy), relation=relation, weight=weight, order=order, rows=self.rows.get(name),
            family=self.family(name),
        )  # fmt: skip


def resolve(
    spec: Spec, origin: Origin, item: str, columns: tuple[Column, ...], population: str | None = None,
    people: tuple[Column, ...] = (),
) -> Source:  # fmt: skip
    """Holds the spec against the source, and denies what was not declared. Raises `SpecError`.

    Every column of the source must be named, every named column must be there, with the declared type if one is
    declared, and its hierarchy must be able to generalise that type. A population table (its FROM item, its columns)
    must hold every quasi-identifier in a type of the same family.
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
    source = Source(spec, item, there, rows, population)
    for name, declared in spec.columns.items():
        _check_column(source, name, declared, there[name])
    for model in spec.privacy:
        check_column(model, there, {name: c.hierarchy for name, c in spec.columns.items()})
    if population is not None:
        check_population(source.quasi_identifiers, there, {found.name: found for found in people})
    source.trees()  # raises where a model's level or node is not in its hierarchy
    return source


def check_column(
    model: Model, columns: Mapping[str, Column], hierarchies: Mapping[str, Hierarchy | None], where: str = "privacy"
) -> None:
    """Refuses a model over a column that is not what it needs: ordered, a number, a set, with a hierarchy.

    Raises `SpecError`.
    """
    name = column_of(model)
    if name is None or model.requires is None:
        return
    kind, hierarchy, found = columns[name], hierarchies.get(name), str(model)
    if model.requires == "order" and kind.family not in ORDERED and not isinstance(hierarchy, Order):
        raise SpecError(
            f"an ordered distance needs numbers, dates or an `order` hierarchy, and {name!r} is {kind.type}",
            where=where, found="ordered", allowed=("equal", "hierarchical"),
        )  # fmt: skip
    if model.requires == "number" and kind.family not in NUMBERS:
        raise SpecError(
            f"{model.name} needs numbers or dates, and {name!r} is {kind.type}",
            where=where,
            found=found,
            allowed=NUMBERS,
        )
    separated = getattr(model, "separator", None) is not None and kind.family == "text"
    if model.requires == "set" and not (kind.type.endswith("[]") or separated):
        raise SpecError(
            f"{model.name} needs a list, or a text and its separator, and {name!r} is {kind.type}",
            where=where,
            found=found,
        )
    if model.requires == "hierarchy" and not (hierarchy and hierarchy.categories):
        raise SpecError(
            f"{model.name} needs a hierarchy of kind tree or csv at column {name!r}", where=where, found=found
        )


def check_population(names: Sequence[str], columns: Mapping[str, Column], people: Mapping[str, Column]) -> None:
    """Refuses a population table without the quasi-identifiers, or with other types. Raises `SpecError`."""
    for name in names:
        if name not in people:
            raise SpecError(
                "the population table has no such column", where="population", found=name, allowed=sorted(people)
            )
        if people[name].family != columns[name].family:
            raise SpecError(
                f"the column {name!r} of the population table is {people[name].type}, and the source's is"
                f" {columns[name].type}", where="population",
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
    of the release in order, `judged` the chain that ends in `measured`. `equal`: the chain over equal records.
    """

    source: Source
    levels: Mapping[str, int]
    suppressed: str
    keys: tuple[str, ...]
    published: tuple[str, ...]
    judged: Measured
    chain: Query
    stars: Mapping[str, Expression]
    equal: Query | None = None
    number: str = ""

    @property
    def query(self) -> Query:
        """The steps that end in the released rows."""
        return self._released(self.published)

    @property
    def counted(self) -> Query | None:
        """The same with equal rows once and their `number` beside them, where that is known to be much less."""
        if self.equal is None:
            return None
        return self._released((*self.published, self.number), self.equal, "equal")

    @property
    def staged(self) -> Query:
        """The same rows, with what models need and nobody publishes beside them, for the verifier."""
        return self._released((*self.published, *self.source.carried))

    @property
    def population(self) -> Query | None:
        """The steps that end in the population, recoded as the release is."""
        if self.source.population is None:
            return None
        steps = self.chain.steps[: [step.name for step in self.chain.steps].index("recoded people") + 1]
        return Query(steps).then("recoded population", query.select(list(map(column, self.keys)), "recoded people"))

    def _released(self, names: tuple[str, ...], chain: Query | None = None, rows: str = "recoded") -> Query:
        chain, match = chain or self.chain, query.same(self.keys, rows, "failing")
        columns = [column(name, rows) for name in names]
        if not self.stars:
            # Not `exists` in the classes that hold: a record that matches nothing is found to do so faster.
            there = fragment("not exists (select 1 from failing where $m)", m=match)
            return chain.then("released", query.select(columns, rows, where=there), "what is published")
        failed = column(query.fresh("failed", self.keys), "failing")
        starred = [
            named(fragment("case when $f then $s else $x end", f=failed, x=x, s=self.stars[name]), name)
            if name in self.stars
            else x
            for name, x in zip(names, columns, strict=True)
        ]
        tree = query.joined(query.select(starred, rows), "failing", match, "left")
        return chain.then("released", tree, "what is published; the records of failing classes with * instead")

    @property
    def models(self) -> tuple[Model, ...]:
        return self.source.spec.privacy

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the steps and the promises, in their rendered form."""
        facts = {"sql": query.render(self.query, "duckdb"), "models": [str(m) for m in self.models]}
        return "sha256:" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def compile_plan(source: Source, levels: Mapping[str, int], suppressed: str, *, repeated: bool = False) -> Plan:
    """The plan that publishes a source at the given levels; `suppressed` is drop or star. Raises `SpecError`.

    `repeated`: most rows of the release occur many times, and nothing is read beside what is published.
    """
    keys = {
        name: _published(source, name, levels[name], "source", starred=suppressed == "star")
        for name in source.quasi_identifiers
    }
    _no_clash(source, keys)
    base = source.step(known=True).join(source.trees()).join(_labels(source, levels)).join(source.people())
    if source.population is not None:
        recoded = _recoded(source, levels, "people", suppressed == "star")
        base = base.then("recoded people", recoded, "the population, generalised alike")
    recoded = _recoded(source, levels, "source", suppressed == "star")
    base = base.then("recoded", recoded, "every record, generalised", inline=True)
    names = tuple(label for columns in keys.values() for label in columns)
    people = "recoded people" if source.population is not None else None
    records = Records("recoded", names, entity=source.spec.entity, population=people)
    judged = measured(records, needed(source.spec.privacy), source.references("source"))
    starred = suppressed == "star"
    chain = _failing(base.join(judged.query), source.spec.privacy, judged, names, starred=starred)
    published = tuple(label for name in source.spec.columns for label in _columns(source, name, keys))
    stars = {label: _star(source, name) for name, labels in keys.items() for label in labels} if starred else {}
    number = query.fresh("records", published)
    rows = replace(records, relation="equal", weight=number)
    equal = _equal(source, base, rows, published, starred=starred) if repeated else None
    return Plan(
        source, dict(levels), suppressed, names, published, replace(judged, query=base.join(judged.query)),
        chain, stars, equal, number,
    )  # fmt: skip


def _equal(source: Source, base: Query, rows: Records, published: tuple[str, ...], *, starred: bool) -> Query:
    """The chain up to `failing` over `equal`: equal records once, with their number. The source is read once."""
    listed, number = [column(name) for name in published], query.identifier(rows.weight or "")
    once = fragment("select $c, count(*) as $n from recoded group by $c", c=listed, n=number)
    base = base.then("equal", once, "equal records once, with their number")
    judged = measured(rows, needed(source.spec.privacy), source.references("equal", rows.weight))
    return _failing(base.join(judged.query), source.spec.privacy, judged, rows.keys, starred=starred)


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


def _recoded(source: Source, levels: Mapping[str, int], relation: str, starred: bool) -> Expression:
    """The records of `source`, or the quasi-identifiers of `people`, at the given levels."""
    columns: list[Expression] = []
    if relation == "source":
        columns += [column(name, relation) for name in source.carried]
    for name, declared in source.spec.columns.items():
        if declared.role == "quasi-identifier":
            made = _published(source, name, levels[name], relation, starred=starred)
            columns += [named(expression, label) for label, expression in made.items()]
        elif declared.role in ("sensitive", "insensitive") and relation == "source":
            columns.append(column(name, relation))
    tree = query.select(columns, relation)
    tabled = [name for name, level in levels.items() if name in source.rows and 0 < level < source.height(name)]
    for name in tabled:
        step = f"hierarchy of {name}"
        on = fragment("cast($x as varchar) = $v", x=column(name, relation), v=column("value", step))
        tree = query.joined(tree, step, on, side="left")
    # A value that the hierarchy does not know is never published: in a view it may arrive after the plan was made.
    known = [
        fragment("$x is null or $v is not null", x=column(name, relation), v=column("value", f"hierarchy of {name}"))
        for name in tabled
    ]
    return query.filtered(tree, known)


def _published(source: Source, name: str, level: int, relation: str, *, starred: bool) -> dict[str, Expression]:
    """The published columns of a quasi-identifier at a level, and the expressions that make them."""
    declared, value, family = source.spec.columns[name], column(name, relation), source.family(name)
    if declared.represent != "label":
        return _interval(source, name, level, relation)
    if level == source.height(name):
        return {name: query.literal(STAR)}
    if level == 0:
        return {name: fragment("cast($x as varchar)", x=value) if starred else value}
    if name in source.rows:
        return {name: column("label", f"hierarchy of {name}")}
    return {name: source.hierarchy(name).label(value, level, family)}


def _interval(source: Source, name: str, level: int, relation: str) -> dict[str, Expression]:
    """`NAME_from`, `NAME_to` (from ≤ value < to; equal for a value itself; both missing for all), or one range."""
    declared, value, family = source.spec.columns[name], column(name, relation), source.family(name)
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
