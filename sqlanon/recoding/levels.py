"""Every record at one level per quasi-identifier, the same for the whole table: full-domain recoding as steps.

source ▸ (hierarchies) ▸ recoded
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlanon import query
from sqlanon.hierarchies import STAR
from sqlanon.plan import Counted, Recoded, Source, no_clash
from sqlanon.query import Expression, Query, column, fragment, named


def at_levels(
    source: Source, levels: Mapping[str, int], *, starred: bool = False, counted: Counted | None = None
) -> Recoded:
    """The records of a source at the given levels; `starred`: `*` will stand beside their values, which are texts then.

    `counted`: its equal records once, where most are known to occur many times. Raises `SpecError` where a published
    column would have the name of another.
    """
    keys = {
        name: tuple(_published(source, name, levels[name], "source", starred=starred))
        for name in source.quasi_identifiers
    }
    no_clash(source, keys)
    beside = source.trees().join(_labels(source, levels)).join(source.people())
    if source.population is not None:
        people = _recoded(source, levels, "people", starred)
        beside = beside.then("recoded people", people, "the population, generalised alike")
    steps, told = source.step(known=True).join(beside), "every record, generalised"
    made = steps.then("recoded", _recoded(source, levels, "source", starred), told, inline=True)
    if counted is None:
        return Recoded(made, keys, dict(levels))
    number = query.fresh("records", (*source.spec.columns, *(label for labels in keys.values() for label in labels)))
    listed = [*map(column, source.spec.published), named(column(counted.number), number)]
    once = Query(()).then("distinct", query.select(listed, counted.table), "equal records of the source once")
    again = once.join(beside).then("recoded", _recoded(source, levels, "distinct", starred, number), told, inline=True)
    return Recoded(made, keys, dict(levels), counted=counted, repeated=again, number=number)


def _labels(source: Source, levels: Mapping[str, int]) -> Query:
    """A step per tabled hierarchy in use: each value and its label at the chosen level."""
    steps = Query(())
    for name, level in levels.items():
        if name in source.rows and 0 < level < source.height(name):
            pairs = [(row[0], row[level]) for row in source.rows[name]]
            comment = f"the hierarchy of {name} at level {level}"
            steps = steps.join(Query((query.values(f"hierarchy of {name}", ("value", "label"), pairs, comment),)))
    return steps


def _recoded(
    source: Source, levels: Mapping[str, int], relation: str, starred: bool, number: str | None = None
) -> Expression:
    """The records of `source`, or `distinct` with their `number`, or the quasi-identifiers of `people`, at levels."""
    columns: list[Expression] = []
    if relation == "source":
        columns += [column(name, relation) for name in source.carried]
    for name, declared in source.spec.columns.items():
        if declared.role == "quasi-identifier":
            made = _published(source, name, levels[name], relation, starred=starred)
            columns += [named(expression, label) for label, expression in made.items()]
        elif declared.role in ("sensitive", "insensitive") and relation != "people":
            columns.append(column(name, relation))
    columns += [column(number, relation)] if number else []
    tree = query.select(columns, relation)
    tabled = [name for name, level in levels.items() if name in source.rows and 0 < level < source.height(name)]
    for name in tabled:
        step = f"hierarchy of {name}"
        read = query.text_of(column(name, relation), source.family(name))
        on = fragment("$x = $v", x=read, v=column("value", step))
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
        return {name: query.text_of(value, family) if starred else value}
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
