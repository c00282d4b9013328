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
from sqlanon.margins import line
from sqlanon.measuring import Measured, Reference, arrange, measured
from sqlanon.measuring import Rows as Records
from sqlanon.models import Model, ValuePrediction, column_of, every_class, every_table, guard_of, needed
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
    `working`: the working tables that were made of the source before anything was planned, in turn, with what fills
    them; `origin` is then the last one. `untouched` is the FROM item of the source as it is, before any transform.
    `blanked` are models whose cells are blanked in what the other models let through; `spec` does not have them,
    `promised` does.
    """

    spec: Spec
    origin: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Rows]
    population: str | None = None
    working: tuple[tuple[str, Query | Text], ...] = ()
    untouched: str = ""
    blanked: tuple[ValuePrediction, ...] = ()
    promised: tuple[Model, ...] = ()

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
        named = [self.spec.entity, *map(guard_of, (*self.spec.privacy, *self.blanked, *self.spec.scored))]
        return tuple(dict.fromkeys(name for name in named if name and name not in self.spec.published))

    @property
    def predicted(self) -> tuple[ValuePrediction, ...]:
        """What rules may ask about: the predictions, and the models that promise something of them."""
        return (*self.spec.scored, *(m for m in self.promised if isinstance(m, ValuePrediction)))

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
        told = "only the columns that the spec names"
        return self._reading("source", self.origin, self.step_columns, told, known=known)

    @property
    def step_columns(self) -> tuple[str, ...]:
        """The columns of the step `source`, in the order of the spec."""
        names = [name for name in self.spec.columns if name in (*self.spec.published, *self.carried)]
        return (*names, *(name for name in self.carried if name not in self.spec.columns))

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
                tests.append(f'(s.{read} IS NULL OR CAST(s.{read} AS VARCHAR) COLLATE "C" IN ({listed}))')
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
        own, found = query.identifier(name).sql("duckdb"), self.columns[name]
        role = self.spec.columns[name].role if name in self.spec.columns else None
        read = f"s.{own}"
        if found.type.endswith("[]") and self._is_set(name):
            return read
        if found.family == "float":
            plain = f"CASE WHEN {read} = 0 THEN 0 ELSE {read} END"  # -0.0 is 0.0
        elif "ENUM" in found.type or (found.family == "other" and role in ("quasi-identifier", "sensitive")):
            # The type of an ENUM lists values that were suppressed; a list of texts has a collation, too.
            plain = f'CAST({read} AS VARCHAR) COLLATE "C"'
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
            family=self.family(name), type_=self.columns[name].type,
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
    source = Source(spec, item, there, rows, population, untouched=item)
    for name, declared in spec.columns.items():
        _check_column(source, name, declared, there[name])
    check_models(source)
    if population is not None:
        check_population(source.quasi_identifiers, there, {found.name: found for found in people})
    source.trees()  # raises where a model's level or node is not in its hierarchy
    return source


def transformed(source: Source, item: str, columns: Sequence[Column]) -> Source:
    """The source with other values in its columns, read from `item`; `columns` are those of it that are read.

    Raises `SpecError` where a hierarchy or a model does not go with what a column has become.
    """
    found = replace(source, origin=item, columns={column.name: column for column in columns})
    for name in source.spec.published:
        _check_column(found, name, replace(source.spec.columns[name], type=None), found.columns[name])
    check_models(found)
    return found


def check_models(source: Source) -> None:
    """Refuses a model over a column that is not what it needs. Raises `SpecError`."""
    for model in source.spec.privacy:
        check_column(model, source.columns, {name: c.hierarchy for name, c in source.spec.columns.items()})


def check_column(
    model: Model, columns: Mapping[str, Column], hierarchies: Mapping[str, Hierarchy | None], where: str = "privacy"
) -> None:
    """Refuses a model over a column that is not what it needs: ordered, a number, a set, with a hierarchy.

    Raises `SpecError`.
    """
    name = column_of(model)
    if name is not None and isinstance(model, ValuePrediction):
        line(columns[name], model.reach)
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
class Counted:
    """Equal records of the source once: a working table, the steps that fill it, and its column of their `number`."""

    table: str
    filled: Query
    number: str


@dataclass(frozen=True)
class Recoded:
    """How every record is recoded: the steps that end in `recoded`, and the published columns of each quasi-identifier.

    `levels`: the level of each quasi-identifier, where it is the same for the whole table. `script`: the statements
    that make the working tables which the steps read, where they read any. `repeated`: other steps to it, for where
    most records are known to occur many times and nothing is read beside what is published: from equal records of the
    source that were `counted` already, with a column `number` that tells how many records each row stands for.
    """

    steps: Query
    keys: Mapping[str, tuple[str, ...]]
    levels: Mapping[str, int] | None = None
    script: str = ""
    counted: Counted | None = None
    repeated: Query | None = None
    number: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """All published quasi-identifier columns, in order."""
        return tuple(label for labels in self.keys.values() for label in labels)


def no_clash(source: Source, keys: Mapping[str, Sequence[str]]) -> None:
    """Refuses a published name that another column of the source has, published or not. Raises `SpecError`."""
    taken = [label.lower() for labels in keys.values() for label in labels]
    for name, labels in keys.items():
        others = {other.lower() for other in source.spec.columns if other != name}
        for label in labels:
            if label.lower() in others or taken.count(label.lower()) > 1:
                problem = "a published column would have the name of another column"
                raise SpecError(problem, where="columns", found=label)


def published_names(name: str, represent: str) -> tuple[str, ...]:
    """The published columns of a quasi-identifier."""
    return (f"{name}_from", f"{name}_to") if represent == "bounds" else (name,)


@dataclass(frozen=True)
class Plan:
    """What would be published: the steps, and what their columns are.

    `keys` are the published quasi-identifier columns (two for one that is published as bounds), `published` all columns
    of the release in order, `chain` the steps up to `recoded` and `failing`. `equal`: the chain over equal records.
    """

    source: Source
    recoded: Recoded
    suppressed: str
    published: tuple[str, ...]
    chain: Query
    stars: Mapping[str, Expression]
    equal: Query | None = None
    number: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        return self.recoded.labels

    @property
    def levels(self) -> Mapping[str, int] | None:
        return self.recoded.levels

    @property
    def query(self) -> Query:
        """The steps that end in the released rows."""
        return self._released(self.published)

    @property
    def counted(self) -> Query | None:
        """The same with equal rows once and their `number` beside them, where that is known to be much less."""
        return self._released((*self.published, self.number), self.equal, "equal") if self.equal else None

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
        return self.source.promised or self.source.spec.privacy

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the steps and the promises, in their rendered form."""
        facts: dict[str, object] = {
            "sql": query.render(self.query, "duckdb"), "models": [str(m) for m in self.models],
        }  # fmt: skip
        facts |= {"script": self.recoded.script} if self.recoded.script else {}
        if self.source.spec.transforms:
            facts["transforms"] = [transform.to_dict() for transform in self.source.spec.transforms]
        return "sha256:" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def compile_plan(source: Source, recoded: Recoded, suppressed: str, *, failing: Expression | None = None) -> Plan:
    """The plan that publishes a source as it is recoded; `suppressed` is drop or star. Raises `SpecError`.

    `failing`: the classes outside a bound, where they were looked up before; else the plan's own steps find them.
    """
    published = tuple(label for name in source.spec.published for label in recoded.keys.get(name, (name,)))
    starred, labelled = suppressed == "star", [(name, label) for name in recoded.keys for label in recoded.keys[name]]
    stars = {label: _star(source, name) for name, label in labelled} if starred else {}
    number = recoded.number or query.fresh("records", published)
    if failing is not None:
        chain = recoded.steps.then("failing", failing, "the classes outside a bound")
        return Plan(source, recoded, suppressed, published, chain, stars, None, number)
    judged = judging(source, recoded)
    chain = outside(judged.query, source.spec.privacy, judged, starred=starred)
    equal = _equal(source, recoded, published, starred=starred)
    return Plan(source, recoded, suppressed, published, chain, stars, equal, number)


def judging(source: Source, recoded: Recoded) -> Measured:
    """The steps that measure the classes of recoded records; they end in `measured`."""
    people = "recoded people" if source.population is not None else None
    records = Records("recoded", recoded.labels, entity=source.spec.entity, population=people)
    judged = measured(records, needed(source.spec.privacy), source.references("source"))
    return replace(judged, query=recoded.steps.join(judged.query))


def _equal(source: Source, recoded: Recoded, published: tuple[str, ...], *, starred: bool) -> Query | None:
    """The chain up to `failing` over `equal`: equal records once, with their number. The source is read once."""
    if recoded.repeated is None:
        return None
    people, number = "recoded people" if source.population is not None else None, recoded.number
    rows = Records("equal", recoded.labels, entity=source.spec.entity, population=people, weight=number)
    total = named(fragment("cast(sum($n) as bigint)", n=column(number)), number)
    once = fragment("select $c, $n from recoded group by $c", c=[column(name) for name in published], n=total)
    base = recoded.repeated.then("equal", once, "equal records once, with their number")
    judged = measured(rows, needed(source.spec.privacy), source.references("equal", number))
    return outside(base.join(judged.query), source.spec.privacy, judged, starred=starred)


def outside(chain: Query, models: tuple[Model, ...], judged: Measured, *, starred: bool = False) -> Query:
    """The step `failing`: what is not proved to hold is in it, so that a missing measure suppresses its class.

    `starred`: with a column that is true in every row, for where records are looked up in it from the left.
    """
    held = every_class(models, judged)
    whole = every_table(models, judged, "passing")
    if whole:
        passing = query.select([fragment("*")], "measured", where=query.every(held))
        chain = chain.then("passing", passing, "the classes within every bound")
    flag = [named(query.literal(True), query.fresh("failed", judged.keys))] if starred else []
    told = fragment("($all) is not true", all=query.every([*held, *whole]))
    tree = query.select([*map(column, judged.keys), *flag], "measured", where=told)
    also = "; all of them, unless the models about the whole table hold too" if whole else ""
    return chain.then("failing", tree, f"the classes outside a bound{also}")


def _star(source: Source, name: str) -> Expression:
    return query.literal(STAR if source.spec.columns[name].represent == "label" else None)
