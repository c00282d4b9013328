"""What every chart of a report has in common: its data, its looks, its words.

Colours are names of the page's style (`var(--after)`), so that one drawing serves light, dark and paper. Fields have
names of our own: the name of a column or a value is only ever data or a text in quotes, and is never evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlanon.report.words import finite, shortened

if TYPE_CHECKING:
    import altair as alt

Facts = Mapping[str, Any]

BEFORE, AFTER, BAD, GOOD, CHOSEN, INK, MUTED, RULE, SOFT, PAPER = (
    f"var(--{name})" for name in ("before", "after", "bad", "good", "chosen", "ink", "muted", "rule", "soft", "paper")
)
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Chart:
    """One chart: its Vega-Lite specification, and what it shows in words, for who does not see it."""

    name: str
    spec: dict[str, Any]
    words: str


def made(name: str, chart: alt.Chart | alt.LayerChart, words: str, height: int) -> Chart:
    """The finished specification: as wide as its place, silent for screen readers, who get the words and the table."""
    sized = chart.properties(width="container", height=height)
    return Chart(name, sized.configure(**_looks()).to_dict(validate=False), words)


def layered(*charts: alt.Chart | None) -> alt.LayerChart:
    """Charts one upon the other, the last on top."""
    import altair as alt

    return alt.LayerChart(layer=[chart for chart in charts if chart is not None])


def _looks() -> dict[str, Any]:
    text = {"labelColor": INK, "titleColor": MUTED, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400}
    lines = {"domainColor": RULE, "tickColor": RULE, "gridColor": RULE, "gridOpacity": 0.7}
    return {
        "aria": False, "background": "transparent", "font": _FONT, "padding": 4,
        "axis": {**text, **lines, "labelLimit": 230, "labelPadding": 5, "titlePadding": 8},
        "axisX": {"grid": False}, "axisY": {"domain": False, "ticks": False},
        "view": {"stroke": None}, "text": {"color": INK, "fontSize": 12}, "bar": {"cornerRadiusEnd": 1},
    }  # fmt: skip


def chart_of(rows: Iterable[Facts]) -> alt.Chart:
    """A chart of some rows, of which each field has a name of ours."""
    import altair as alt

    found: alt.Chart = alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))
    return found


def down(labels: Sequence[object]) -> alt.Y:
    """One line for each label. Two may look alike once they are shortened, so a line is told by its place `at`."""
    import altair as alt

    return alt.Y("at:O", title=None, axis=alt.Axis(labelExpr=named(labels, 44)))


def named(labels: Sequence[object], most: int) -> str:
    """An expression of Vega that gives the label at the place of a tick; the labels are in it as text only."""
    return f"{json.dumps([shortened(label, most) for label in labels])}[toNumber(datum.value)]"


def across(values: Iterable[object], title: str | None) -> alt.X:
    """Shares, from 0 to a little beyond the largest, so that a number has room behind its bar."""
    import altair as alt

    high = max((found for value in values if (found := finite(value)) is not None), default=0)
    axis = alt.Axis(
        format="~%", tickCount=5, labelOverlap=True, labelSeparation=6, labelExpr="datum.value > 1 ? '' : datum.label"
    )
    return alt.X("value:Q", title=title, scale=alt.Scale(domain=[0, max(high * 1.25, 0.01)]), axis=axis)
