"""Where a sensitive column's distribution in the whole table stands, and which steps arrange its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlanon.measures import Grouping


@dataclass(frozen=True)
class Reference:
    """Where the table's own distribution of a sensitive column is read from, and how its values are arranged.

    `relation` holds the records (or weighted rows) before suppression; `order` ranks values for the ordered distance
    (else their own order, missing first); `tree` is (relation, height): a step with the value and its ancestors.
    `groups` gives the step of each grouping (value, label, place from 0, number of groups), `nodes` the step of all
    pairs of nodes of the hierarchy (node, guarding node, share covered); `family` is the column's kind of type,
    `type` that in the engine's words.
    """

    relation: str
    weight: str | None = None
    order: tuple[str, ...] = ()
    tree: tuple[str, int] | None = None
    groups: Mapping[Grouping, str] = field(default_factory=dict)
    nodes: str | None = None
    family: str = "text"
    type: str = ""


def group_columns(of: str, grouping: Grouping) -> tuple[str, str, str]:
    """The columns of the step of a grouping: the value, its group's label, the group's place."""
    return f"value of {of} by {grouping}", f"group of {of} by {grouping}", f"place of {of} by {grouping}"


def node_columns(of: str) -> tuple[str, str, str]:
    """The columns of the step of all pairs of nodes: the node, the guarding node, the share of the node under it."""
    return f"node of {of}", f"guarding node of {of}", f"covered share of {of}"
