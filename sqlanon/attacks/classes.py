"""Attacks on classes: all that are about one sensitive column share one class × value histogram, and so one scan.

source ▸ cells (class × value, counted) ▸ wide (beside them: categories, how many are near) ▸ the chain of `measures` ▸
judged. Python receives one row of numbers per sensitive column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlanon import query
from sqlanon.attacks.catalogue import CategoricalSimilarity, Identity, ValuePrediction
from sqlanon.attacks.kinds import NO_FACTS, ClassAttack, Facts, Reached, SensitiveAttack
from sqlanon.attacks.relations import Relation
from sqlanon.hierarchies import Rows
from sqlanon.margins import Line
from sqlanon.measuring import Reference, measured, windows
from sqlanon.measuring import Rows as Records
from sqlanon.models import judgement, needed
from sqlanon.query import Expression, Query, column, fragment, named, table

# Types whose values a margin can be about.
NUMBERS = ("integer", "decimal", "float", "date")


@dataclass(frozen=True)
class Sizes:
    """The relation as a whole: its records, its classes, and the size of its smallest class."""

    records: int
    classes: int
    smallest: int


def sizes(relation: Relation, keys: Sequence[str]) -> Sizes:
    """One scan of the quasi-identifiers. Raises `SpecError` for a relation without records."""
    own = {f"q{i}": name for i, name in enumerate(keys)}
    counted = fragment("select $keys, count(*) as n from source group by $keys", keys=[column(key) for key in own])
    asking = relation.rows(own).then("classes", counted)
    whole = "select cast(coalesce(sum(n), 0) as bigint), count(*), coalesce(min(n), 0) from classes"
    ((records, classes, smallest),) = relation.engine.run("count the classes", asking.then("sizes", fragment(whole)))
    return Sizes(int(records), int(classes), int(smallest))


def identity(attack: Identity, relation: Relation, keys: Sequence[str]) -> Reached:
    """The classes below k; needs no sensitive column."""
    own = {f"q{i}": name for i, name in enumerate(keys)}
    chain = measured(Records("source", tuple(own)), needed([attack]), {})
    asking = relation.rows(own).join(chain.query).then("judged", judgement([attack], chain))
    ((_, _, worst, classes, records),) = relation.engine.run("measure the classes", asking)
    return Reached(worst, int(classes), int(records))


def reach(
    attacks: Sequence[SensitiveAttack], relation: Relation, keys: Sequence[str], of: str, rows: Rows | None
) -> list[Reached | str]:
    """All attacks on one sensitive column, in one statement; a sentence where its hierarchy lacks values."""
    local = [replace(attack, column="s") for attack in attacks]  # type: ignore[type-var]
    own = {f"q{i}": name for i, name in enumerate(keys)}
    family = relation.columns[of].family
    steps = relation.rows({**own, "s": of}).join(_cells(list(own), local, family, rows))
    references = dict.fromkeys(["s", *_beside(local)], Reference("wide", "n"))
    chain = measured(Records("wide", tuple(own), weight="n"), needed(local), references)
    steps = steps.join(chain.query).then("judged", judgement(local, chain))
    levels = list(dict.fromkeys(a.level for a in local if isinstance(a, CategoricalSimilarity)))
    steps = _facts(steps, levels)
    (row,) = relation.engine.run(f"attack {of}", steps)
    return list(_read(row, local, levels, rows))


def _beside(attacks: Sequence[ClassAttack]) -> list[str]:
    """The columns beside the histogram that the attacks read."""
    found = [a.category for a in attacks if isinstance(a, CategoricalSimilarity)]
    found += [a.near for a in attacks if isinstance(a, ValuePrediction)]
    return list(dict.fromkeys(found))


def _cells(keys: Sequence[str], attacks: Sequence[ClassAttack], family: str, rows: Rows | None) -> Query:
    own = [column(key) for key in keys]
    counted = fragment("select $keys, s, count(*) as n from source group by $keys, s", keys=own)
    steps = Query(()).then("cells", counted, "how often each sensitive value occurs in each class")
    margins = {a.near: a.margin or 0 for a in attacks if isinstance(a, ValuePrediction)}
    if margins:
        placed = fragment("select $keys, s, n, $place from cells", keys=own, place=named(_place(family), "place"))
        steps = steps.then("placed", placed, "numbers and days as exact decimals")
    shown = [*own, column("s"), column("n"), *(named(_near(margin, own), near) for near, margin in margins.items())]
    levels = {a.category: a.level for a in attacks if isinstance(a, CategoricalSimilarity)}
    source = "placed" if margins else "cells"
    if not rows or not levels:
        return steps.then("wide", query.select(shown, source), "and what is beside them")
    labels = [f"level {level}" for level in levels.values()]
    body = ((row[0], *(row[level] for level in levels.values())) for row in rows)
    steps = steps.join(Query((query.values("tree", ["leaf", *labels], body, "the hierarchy of the column"),)))
    # A missing value needs no row of the hierarchy: it is a category of its own.
    unknown = fragment("case when s is not null and leaf is null then 1 else 0 end")
    shown += [named(column(label), category) for label, category in zip(labels, levels, strict=True)]
    tree = query.select([*shown, named(unknown, "unknown")], source)
    return steps.then("wide", query.joined(tree, "tree", fragment("cast(s as varchar) = leaf"), "left"))


def _place(family: str) -> Expression:
    """A number (a day, as days since 1970) as a decimal that a margin can be added to exactly; missing where none can.

    Floats go through their text, which is what people read: 0.8 − 0.1 is 0.7.
    """
    if family == "date":
        inside = "s between cast('0001-01-01' as date) and cast('9999-12-31' as date)"
        return fragment(f"case when {inside} then cast(s - cast('1970-01-01' as date) as decimal(38, 12)) end")
    read = "cast(s as varchar)" if family == "float" else "s"
    return fragment(f"case when cast(s as double) between -1e15 and 1e15 then cast({read} as decimal(38, 12)) end")


def _near(margin: float, keys: Sequence[Expression]) -> Expression:
    """How many records of the class are within the margin of the value; what has no place is near to itself only."""
    near = windows.within(keys, Line("$x", Decimal(repr(margin))), value=column("place"), records=column("n"))
    return fragment("case when place is null then n else $near end", near=near)


def _facts(steps: Query, levels: Sequence[int]) -> Query:
    """The judged row; beside it per level of categories the largest category's records, and the unknown values."""
    if not levels:
        return steps
    parts = []
    for level in levels:
        name = f"records of category {level}"
        whole = fragment("select sum(n) as t from wide group by $c", c=column(f"category {level}"))
        steps = steps.then(name, whole)
        parts.append(fragment("(select cast(max(t) as bigint) from $w)", w=table(name)))
    unknown = fragment("(select count(distinct s) from wide where unknown = 1)")
    return steps.then("told", query.select([fragment("judged.*"), *parts, unknown], "judged"))


def _read(
    row: Sequence[Any], attacks: Sequence[ClassAttack], levels: Sequence[int], rows: Rows | None
) -> Iterator[Reached | str]:
    total, _, *numbers = row
    end = 3 * len(attacks)
    unknown = numbers[-1] if levels else 0
    largest = dict(zip(levels, numbers[end : end + len(levels)], strict=True))
    for i, attack in enumerate(attacks):
        worst, classes, records = numbers[3 * i : 3 * i + 3]
        facts = NO_FACTS
        if isinstance(attack, CategoricalSimilarity) and unknown:
            yield f"the hierarchy lacks {unknown} of the values"
            continue
        if isinstance(attack, CategoricalSimilarity) and rows:
            facts = Facts(Fraction(int(largest[attack.level]), int(total)), len(rows[0]) - 1)
        yield Reached(worst, int(classes), int(records), facts=facts)
