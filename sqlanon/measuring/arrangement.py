"""How the values of a sensitive column are arranged for what is measured: in an order, a tree, groups, nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlanon import query
from sqlanon.errors import SpecError, nearest
from sqlanon.hierarchies import Rows
from sqlanon.measures import Grouping, Measure
from sqlanon.measuring.reference import Reference, group_columns, node_columns
from sqlanon.query import Query

# A node's label, for how many of its leaves each other node stands.
Pair = tuple[str, str, float]


def arrange(
    of: str,
    wanted: Iterable[Measure],
    *,
    relation: str,
    weight: str | None = None,
    order: tuple[str, ...] = (),
    rows: Rows | None = None,
    family: str = "text",
    type_: str = "",
) -> tuple[Query, Reference]:
    """The steps that hold what measures of one column need of its hierarchy, and the reference that names them.

    `relation` holds the table before suppression. Raises `SpecError` where a hierarchy is needed and there is none, or
    has no such level or node.
    """
    mine = [m for m in wanted if m.column == of]
    steps, groups = Query(()), {}
    tree = nodes = None
    if any(m.steps == "hierarchical" for m in mine):
        height = len(_needed(rows, of)[0]) - 1
        labels = [f"node {level} of {of}" for level in range(height)]
        values = query.values(
            f"tree of {of}", labels, (row[:height] for row in _needed(rows, of)), f"the hierarchy of {of}"
        )
        steps, tree = steps.join(Query((values,))), (f"tree of {of}", height)
    for grouping in dict.fromkeys(m.grouping for m in mine if m.grouping):
        name = f"groups of {of} by {grouping}"
        found = grouped(_needed(rows, of), grouping, of)
        columns = group_columns(of, grouping)
        steps = steps.join(Query((query.values(name, columns, found, f"the groups of the values of {of}"),)))
        groups[grouping] = name
    if any(m.steps == "breach" for m in mine):
        nodes = f"nodes of {of}"
        values = query.values(
            nodes, node_columns(of), covered(_needed(rows, of)), "the share of each node below each other one"
        )
        steps = steps.join(Query((values,)))
    return steps, Reference(relation, weight, order, tree, groups, nodes, family, type_)


def _needed(rows: Rows | None, of: str) -> Rows:
    if rows is None:
        raise SpecError("a model needs the column's hierarchy (tree or csv)", where="--hierarchy", found=of)
    return rows


def grouped(rows: Rows, grouping: Grouping, of: str) -> list[tuple[str, str, int]]:
    """(value, label of its group, place of the group from 0 in the order of the hierarchy) for every value.

    Raises `SpecError` for a level that the hierarchy has not below its root, and a node that it does not know.
    """
    if grouping.level is not None:
        if not 1 <= grouping.level < len(rows[0]) - 1:
            raise SpecError(
                f"the hierarchy of {of!r} has levels of categories from 1 to {len(rows[0]) - 2}", where="level",
                found=str(grouping.level),
            )  # fmt: skip
        labels = [row[grouping.level] for row in rows]
    else:
        known = {label for row in rows for label in row}
        if unknown := [node for node in grouping.protected if node not in known]:
            raise SpecError(
                f"the hierarchy of {of!r} has no such node", where="protected", found=unknown[0],
                suggestion=nearest(unknown[0], known),
            )  # fmt: skip
        protected = set(grouping.protected)
        labels = [next((label for label in row if label in protected), row[0]) for row in rows]
    places = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return [(row[0], label, places[label]) for row, label in zip(rows, labels, strict=True)]


def covered(rows: Rows) -> list[Pair]:
    """(node, guarding node, share of the node's leaves that are under the guarding node), where that is above 0.

    Raises `SpecError` where one label stands for different sets of values at two levels.
    """
    leaves = leaves_of(rows)
    found = []
    for row in rows:
        for node in dict.fromkeys(row):
            for guard in dict.fromkeys(row):
                found.append((node, guard, len(leaves[node] & leaves[guard]) / len(leaves[node])))
    return list(dict.fromkeys(found))


def leaves_of(rows: Sequence[Sequence[str]]) -> dict[str, frozenset[str]]:
    """The values under each node, by its label; the same label at two levels must stand for the same values."""
    found: dict[tuple[int, str], set[str]] = {}
    for row in rows:
        for level, label in enumerate(row):
            found.setdefault((level, label), set()).add(row[0])
    told: dict[str, frozenset[str]] = {}
    for (_, label), values in found.items():
        if told.setdefault(label, frozenset(values)) != values:
            raise SpecError("a label of the hierarchy stands for different values at two levels", where="hierarchy")
    return told
