"""The states of a model as text that other tools draw: Graphviz's dot and Mermaid.

Solid edges are flows, dashed ones potential reads, dotted ones what nobody agreed to: policy violations, and risk
transitions with their number of violations (`?` where no data are at hand); one with no violation is dashed. Only the
worst of an actor's risk transitions from a state is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlanon.flow.risks import Assessment
from sqlanon.flow.states import Transition

Style = Literal["solid", "dashed", "dotted"]
_MOST_NAMES = 4


@dataclass(frozen=True)
class Edge:
    """One edge as it is drawn; `weight` is the score of a risk transition."""

    source: str
    target: str
    label: str
    style: Style
    weight: str | None = None


def edges(found: Assessment) -> Iterator[Edge]:
    """All edges: the transitions, then the risk transitions to a node of what becomes known."""
    for transition in found.states.transitions:
        style: Style = "dotted" if transition.violations else ("dashed" if transition.potential else "solid")
        yield Edge(str(transition.source), str(transition.target), _label(transition), style)
    drawn: set[tuple[str, str, int]] = set()
    for danger in found.dangers:
        for state in danger.states:
            if (danger.actor, danger.field, state) not in drawn:
                drawn.add((danger.actor, danger.field, state))
                weight = "?" if danger.violations is None else str(danger.violations)
                style = "dashed" if danger.violations == 0 else "dotted"
                yield Edge(str(state), f"{danger.actor}: {danger.field}", f"{weight} violations", style, weight)


def _label(transition: Transition) -> str:
    names = transition.fields
    listed = ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
    place = f" → {transition.place}" if transition.action in ("create", "anon", "disclose") else ""
    place = f" ← {transition.place}" if transition.action in ("read", "delete") and transition.place else place
    return f"{transition.action} {transition.actor}{place}: {listed}"


def nodes(found: Assessment) -> dict[str, str]:
    """The nodes in order, with their labels: the states by number, then what can become known to whom."""
    made = {str(number): str(number) for number in range(len(found.states.states))}
    for edge in edges(found):
        if edge.target not in made:
            actor, _, field = edge.target.partition(": ")
            made[edge.target] = f"{actor} knows {field}"
    return made


def dot(found: Assessment) -> str:
    """The system in Graphviz's language."""
    lines = ["digraph states {", "  rankdir=TB; node [shape=circle];"]
    lines += [
        f"  {_quoted(n)} [label={_quoted(t)}{'' if n.isdigit() else ', shape=box'}];" for n, t in nodes(found).items()
    ]
    for edge in edges(found):
        weight = ", color=red, fontcolor=red" if edge.style == "dotted" else ""
        ends = f"{_quoted(edge.source)} -> {_quoted(edge.target)}"
        lines.append(f"  {ends} [label={_quoted(edge.label)}, style={edge.style}{weight}];")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in text)
    return '"{}"'.format(plain.replace("\\", "\\\\").replace('"', '\\"'))


def mermaid(found: Assessment) -> str:
    """The system as a Mermaid flowchart, which has one kind of broken line: violations are marked by their colour."""
    number = {name: f"n{i}" for i, name in enumerate(nodes(found))}
    shape = {True: ('(("', '"))'), False: ('["', '"]')}
    lines = ["flowchart TD"]
    for name, label in nodes(found).items():
        opened, closed = shape[name.isdigit()]
        lines.append(f"  {number[name]}{opened}{_plain(label)}{closed}")
    red = []
    for i, edge in enumerate(edges(found)):
        arrow = "-->" if edge.style == "solid" else "-.->"
        lines.append(f'  {number[edge.source]} {arrow}|"{_plain(edge.label)}"| {number[edge.target]}')
        red += [str(i)] if edge.style == "dotted" else []
    lines += [f"  linkStyle {','.join(red)} stroke:red,color:red"] if red else []
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Text in which Mermaid finds nothing of its own."""
    return "".join(c if c.isalnum() or c in " .,:_-→←?" else f"#{ord(c)};" for c in text)
