"""The search of a report: the lattice with the transformations that were counted, and the ways of recoding."""

from __future__ import annotations

from itertools import product
from typing import Any

from sqlanon.comparison import Comparison, Way
from sqlanon.planning import Planned
from sqlanon.recoding.full_domain import Found, Seen
from sqlanon.recoding.objectives import Node
from sqlanon.report.minimum import Cell, digits

MOST_NODES = 2000


def lattice(planned: Planned, cell: Cell) -> dict[str, Any] | None:
    """The transformations: those that the engine counted, and what follows of the others where there are few.

    None where nothing was searched.
    """
    found = planned.outcome.search
    if found is None or not found.seen:
        return None
    rows = planned.rows_in
    counted = sorted(found.seen, key=lambda node: (node != found.node, sum(node), node))[:MOST_NODES]
    nodes = [_counted(node, found.seen[node], found, rows, cell) for node in counted]
    if found.nodes <= MOST_NODES:
        nodes += [_implied(node, found) for node in _all(found) if node not in found.seen]
    heights = dict(zip(planned.plan.source.quasi_identifiers, found.highest, strict=True))
    return {
        "kind": "lattice", "columns": list(heights), "heights": heights, "total": found.nodes,
        "counted": found.checked, "nodes": sorted(nodes, key=lambda one: (one["sum"], one["levels"])),
    }  # fmt: skip


def _all(found: Found) -> list[Node]:
    ends = zip(found.lowest, found.highest, strict=True)
    return [*product(*(range(low, high + 1) for low, high in ends))]


def _counted(node: Node, seen: Seen, found: Found, rows: int, cell: Cell) -> dict[str, Any]:
    return {
        "levels": list(node), "sum": sum(node), "state": "holds" if seen.holds else "fails",
        "loss": cell.coarse(seen.value, rows, 4), "suppressed_share": cell.share(seen.suppressed, rows),
        "chosen": node == found.node, "why": "counted",
    }  # fmt: skip


def _implied(node: Node, found: Found) -> dict[str, Any]:
    """What counting others says of a node: it must fail, it holds, or it could not have been better."""
    fails = any(seen.refutes and _below(node, one) for one, seen in found.seen.items())
    holds = any(seen.carries and _below(one, node) for one, seen in found.seen.items())
    why = "fails, as a more general one does" if fails else "holds, as a more specific one does" if holds else ""
    return {
        "levels": list(node), "sum": sum(node), "state": "implied", "loss": None, "suppressed_share": None,
        "chosen": False, "why": why or "costs more than the chosen one, whatever it suppresses",
    }  # fmt: skip


def _below(one: Node, other: Node) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def methods(found: Comparison, chosen: str, cell: Cell) -> dict[str, Any]:
    """The ways of recoding side by side, on all records, or on the sample where that alone has numbers."""
    listed, rows = (found.whole, found.rows) if any(w.gcp is not None for w in found.whole) else (
        found.sample, found.sample_rows)  # fmt: skip
    return {
        "sample": cell.count(found.sample_rows) if listed is found.sample else None,
        "ways": [_way(way, rows, chosen, cell) for way in listed],
    }  # fmt: skip


def _way(way: Way, rows: int, chosen: str, cell: Cell) -> dict[str, Any]:
    kept = None if way.classes is None or way.suppressed is None else rows - way.suppressed
    told = None if kept is None else cell.count(kept)
    return {
        "name": way.name, "gcp": cell.coarse(way.gcp, rows), "loss": cell.coarse(way.loss, rows),
        "classes": way.classes,
        "suppressed_share": None if way.suppressed is None else cell.share(way.suppressed, rows),
        "seconds": way.seconds, "risk": digits(min(way.classes / told, 1.0), 3) if way.classes and told else None,
        "chosen": way.name == chosen, "problem": way.problem,
    }  # fmt: skip
