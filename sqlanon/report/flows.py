"""Where data go, as a page shows it: the steps that differ, and a picture of a flow that is small enough for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlanon.report.drawing import AFTER, BAD, SOFT, Chart, Facts, chart_of, layered, made
from sqlanon.report.words import shortened

if TYPE_CHECKING:
    import altair as alt

MOST_STATES = 30


@dataclass(frozen=True)
class Step:
    """What somebody does in a flow, from however many states: how often, and how often it is a risk."""

    label: str
    times: int
    risks: int


def steps(flow: Facts) -> list[Step]:
    """The different steps of a flow, those that are a risk first, each as often as there is a state to do it in."""
    all_, risky = Counter[str](), Counter[str]()
    for one in flow["transitions"]:
        all_[one["label"]] += 1
        risky[one["label"]] += bool(one["risk"])
    found = [Step(label, times, risky[label]) for label, times in all_.items()]
    return sorted(found, key=lambda step: -step.risks)


def counted(texts: Sequence[str]) -> list[tuple[str, int]]:
    """The different texts, the most frequent first, with how often each stands there."""
    return Counter(texts).most_common()


def picture(flow: Facts | None) -> Chart | None:
    """The states from left to right, and the steps between them; a risk is a broken line. None for a large flow."""
    import altair as alt

    states = (flow or {}).get("states") or ()
    if not 1 < len(states) <= MOST_STATES or (flow or {}).get("svg"):
        return None
    places = _placed(states)
    nodes = [{**places[one["id"]], "label": shortened(one["label"], 22)} for one in states]
    lines = [
        {**places[one["from"]], "x2": places[one["to"]]["x"], "y2": places[one["to"]]["y"], "risk": bool(one["risk"]),
         "label": shortened(one["label"], 80)}
        for one in (flow or {})["transitions"] if one["from"] in places and one["to"] in places
    ]  # fmt: skip
    edge = max(place["x"] for place in places.values()) + 0.6
    across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.6, edge]))
    up = alt.Y("y:Q", axis=None, scale=alt.Scale(padding=30))
    points = chart_of(nodes).encode(across, up, tooltip=["label:N"])
    deepest = max(Counter(place["x"] for place in places.values()).values())
    chart = layered(
        _lines(lines, across, up), points.mark_point(filled=True, opacity=1, size=130, color=AFTER),
        points.mark_text(dy=-16).encode(text="label:N"),
    )  # fmt: skip
    return made("flow", chart, "Picture of the data flow; its steps are in the table below.", 70 + 60 * deepest)


def _placed(states: Sequence[Facts]) -> dict[str, dict[str, float]]:
    """Each state at its depth, evenly above and below the others of that depth."""
    depths: dict[int, list[str]] = {}
    for one in states:
        depths.setdefault(one["depth"], []).append(one["id"])
    return {
        name: {"x": depth, "y": (len(names) - 1) / 2 - place}
        for depth, names in depths.items()
        for place, name in enumerate(names)
    }


def _lines(lines: Sequence[Facts], across: alt.X, up: alt.Y) -> alt.Chart | None:
    import altair as alt

    if not lines:
        return None
    found: alt.Chart = chart_of(lines).mark_rule(strokeWidth=2).encode(
        across, up, alt.X2("x2:Q"), alt.Y2("y2:Q"), tooltip=["label:N"],
        color=alt.condition("datum.risk", alt.value(BAD), alt.value(SOFT)),
        strokeDash=alt.condition("datum.risk", alt.value([6, 4]), alt.value([1, 0])),
    )  # fmt: skip
    return found
