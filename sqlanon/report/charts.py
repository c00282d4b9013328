"""The charts of a report as Vega-Lite, by Altair: each from a part of the report's facts, None where there is nothing.

Colours are names of the page's style (`var(--after)`), so that one drawing serves light, dark and paper. Fields have
names of our own: a column's or a value's name is only ever data, and is never read as an expression.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlanon.report.words import finite, number, share, shortened

if TYPE_CHECKING:
    import altair as alt

Facts = Mapping[str, Any]

MOST_NODES, MOST_LABELS, MOST_EDGES, WRITTEN = 600, 60, 260, 9
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_BEFORE, _AFTER, _BAD, _MUTED, _INK = (f"var(--{name})" for name in ("before", "after", "bad", "muted", "ink"))
_STATES = ("chosen", "holds", "fails", "implied", "not counted")
_STEPS = (0.1, 0.3, 0.5, 0.7)


@dataclass(frozen=True)
class Chart:
    """One chart: its specification, and what it shows in words, for who does not see it."""

    name: str
    spec: dict[str, Any]
    words: str


def _made(name: str, chart: alt.LayerChart | alt.Chart, words: str, height: int | None = None) -> Chart:
    """The finished specification: as wide as its place, silent for screen readers, who get the words and the table."""
    sized = chart.properties(width="container", **({} if height is None else {"height": height}))
    told = sized.configure(**_config()).to_dict(validate=False)
    return Chart(name, told, words)


def _config() -> dict[str, Any]:
    text = {"labelColor": _INK, "titleColor": _MUTED, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 400}
    lines = {"domainColor": "var(--rule)", "tickColor": "var(--rule)", "gridColor": "var(--rule)", "gridOpacity": 0.7}
    return {
        "aria": False, "background": "transparent", "font": _FONT, "padding": 4,
        "axis": {**text, **lines, "labelLimit": 230, "labelPadding": 5, "titlePadding": 8},
        "axisX": {"grid": False}, "axisY": {"domain": False, "ticks": False},
        "view": {"stroke": None}, "text": {"color": _INK, "fontSize": 12},
        "bar": {"cornerRadiusEnd": 1},
    }  # fmt: skip


def _data(rows: Iterable[Facts]) -> alt.InlineData:
    import altair as alt

    return alt.InlineData(values=[dict(row) for row in rows])


def class_sizes(classes: Facts | None, k: float | None) -> Chart | None:
    """Records by the size of their class; classes below k are set off by colour and said in words."""
    import altair as alt

    bins = (classes or {}).get("bins") or []
    if not bins:
        return None
    rows = [
        {"label": span(one), "records": one["records"] or 0, "classes": number(one["classes"]),
         "small": bool(k and one["to"] is not None and one["to"] < k)}
        for one in bins
    ]  # fmt: skip
    chart = alt.Chart(_data(rows)).mark_bar().encode(
        alt.X("label:N", sort=None, title="records that look alike (class size)", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
        alt.Y("records:Q", title="records", axis=alt.Axis(tickCount=5)),
        color=alt.condition("datum.small", alt.value(_BAD), alt.value(_AFTER)),
        tooltip=[alt.Tooltip("label:N", title="class size"), alt.Tooltip("records:Q", format=","), "classes:N"],
    )  # fmt: skip
    most = max(bins, key=lambda one: one["records"] or 0)
    return _made(
        "class-sizes", chart, f"Bar chart of records by class size; most records are in classes of {span(most)}.", 260
    )


def span(one: Facts) -> str:
    """The sizes that a bin of the histogram covers."""
    low, high = one["from"], one["to"]
    return f"{low:,} or more" if high is None else f"{low:,}" if low == high else f"{low:,}–{high:,}"


def pairs(name: str, rows: Sequence[tuple[str, object, object]], words: str, title: str | None = None) -> Chart | None:
    """Shares before and after as two bars for each line."""
    import altair as alt

    known = [(label, both) for label, *both in rows if any(finite(value) is not None for value in both)]
    told = [
        {"at": at, "line": shortened(label, 60), "when": when, "value": finite(value), "told": share(value)}
        for at, (label, both) in enumerate(known) for when, value in zip(("before", "after"), both, strict=True)
    ]  # fmt: skip
    if not told:
        return None
    offset = alt.YOffset("when:N", sort=["before", "after"])
    across = _across([row["value"] for row in told], title)
    plain = alt.Chart(_data(told)).encode(_down([label for label, _ in known]), across, yOffset=offset)
    bars = plain.mark_bar().encode(color=_when(), tooltip=["line:N", "when:N", alt.Tooltip("told:N", title="share")])
    texts = plain.mark_text(align="left", dx=4).encode(text="told:N")
    return _made(name, bars + texts, words, 46 * len(known) + 10)


def _down(labels: Sequence[object]) -> alt.Y:
    """One line for each label. Two may look alike once they are shortened, so a line is told by its place."""
    import altair as alt

    return alt.Y("at:O", title=None, axis=alt.Axis(labelExpr=_named(labels, 44)))


def _named(labels: Sequence[object], most: int) -> str:
    """An expression of Vega that gives the label at the place of a tick; the labels are in it as text only."""
    return f"{json.dumps([shortened(label, most) for label in labels])}[toNumber(datum.value)]"


def _across(values: Iterable[object], title: str | None) -> alt.X:
    """Shares, from 0 to a little beyond the largest."""
    import altair as alt

    high = max((found for value in values if (found := finite(value)) is not None), default=0)
    axis = alt.Axis(
        format="~%", tickCount=5, labelOverlap=True, labelSeparation=6,
        labelExpr="datum.value > 1 ? '' : datum.label",
    )  # fmt: skip
    return alt.X("value:Q", title=title, scale=alt.Scale(domain=[0, max(high * 1.25, 0.01)]), axis=axis)


def _when() -> alt.Color:
    import altair as alt

    return alt.Color("when:N", scale=alt.Scale(domain=["before", "after"], range=[_BEFORE, _AFTER]), legend=None)


def risks(risk: Facts | None) -> Chart | None:
    """Who could be found, before and after."""
    if not risk:
        return None
    rows = [
        (words, inside(risk.get("before"), *path), inside(risk.get("after"), *path))
        for words, path in RISKS
    ]  # fmt: skip
    return pairs("risk", rows, "Bar chart of the risk of being found, before and after, for each kind of attacker.")


RISKS = (
    ("Prosecutor: records at risk", ("prosecutor", "at_risk_share")),
    ("Prosecutor: highest risk", ("prosecutor", "highest")),
    ("Prosecutor: average risk", ("prosecutor", "average")),
    ("Journalist: records at risk", ("journalist", "at_risk_share")),
    ("Journalist: highest risk", ("journalist", "highest")),
    ("Journalist: average risk", ("journalist", "average")),
    ("Marketer: records matched rightly", ("marketer",)),
    ("Records that are one of a kind", ("unique_share",)),
)


def inside(facts: object, *path: str) -> object:
    """What stands at the end of a path of names, None where one is missing; of an attacker, the average risk."""
    for name in path:
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts.get("average") if isinstance(facts, Mapping) else facts


def predictions(found: Sequence[Facts] | None) -> Chart | None:
    """Records whose sensitive value can be predicted, before and after, per column."""
    rows = [
        (f"{one['column']} from {', '.join(one['fields'])}", one["share_before"], one["share_after"])
        for one in found or ()
    ]
    return pairs(
        "predictions", rows, "Bar chart of the records whose sensitive value can be predicted, before and after."
    )


def _bars(name: str, rows: Sequence[Facts], words: str, title: str) -> Chart | None:
    """One bar for each line: `line`, `value` (a share), `bad`."""
    import altair as alt

    known = [row for row in rows if finite(row["value"]) is not None]
    if not known:
        return None
    told = [
        {**row, "at": at, "line": shortened(row["line"], 80), "told": share(row["value"])}
        for at, row in enumerate(known)
    ]
    across = _across([row["value"] for row in known], title)
    plain = alt.Chart(_data(told)).encode(_down([row["line"] for row in known]), across)
    bars = plain.mark_bar(size=15).encode(
        color=alt.condition("datum.bad", alt.value(_BAD), alt.value(_AFTER)),
        tooltip=["line:N", alt.Tooltip("told:N", title="share")],
    )
    return _made(name, bars + plain.mark_text(align="left", dx=4).encode(text="told:N"), words, 27 * len(known) + 10)


def attacks(found: Sequence[Facts] | None) -> Chart | None:
    """The share of the records that each attack breaches."""
    rows = [
        {"line": f"{one['attack']}{' of ' + one['column'] if one['column'] else ''}", "value": one["share"], "bad": bool(one["breached"])}
        for one in found or ()
    ]  # fmt: skip
    return _bars("attacks", rows, "Bar chart of the share of records that each attack breaches.", "records breached")


def fields(found: Facts | None) -> Chart | None:
    """Which fields predict a sensitive column, the most dangerous sets first."""
    sets = sorted((found or {}).get("subsets") or (), key=lambda one: -(finite(one["share"]) or 0))[:25]
    rows = [
        {"line": ", ".join(one["fields"]) or "nothing", "value": one["share"], "bad": bool(one["share"])}
        for one in sets
    ]
    return _bars(
        "fields",
        rows,
        "Bar chart of the share of records that can be predicted from each set of fields.",
        "records predicted",
    )


def distribution(column: Facts, at: int) -> Chart | None:
    """A column's values before (broad, pale) and after (narrow, dark), in shares; upright bars where they have an order."""
    import altair as alt

    found = column.get("distribution")
    if not found or not found["labels"]:
        return None
    labels = found["labels"][:MOST_LABELS]
    before, after = (_shares(found[when]) for when in ("before", "after"))
    rows = [
        {"at": i, "full": shortened(label, 80), "before": b, "after": a}
        for i, (label, b, a) in enumerate(zip(labels, before, after, strict=False))
    ]
    upright = found["kind"] == "ordered"
    layers = [_layer(rows, when, labels, upright) for when in ("before", "after")]
    words = f"Bar chart of the values of {shortened(column['name'])} before and after."
    return _made(f"distribution-{at}", alt.layer(*layers), words, 150 if upright else max(60, 22 * len(rows)))


def _layer(rows: Sequence[Facts], when: str, labels: Sequence[object], upright: bool) -> alt.Chart:
    """The bars of one side: those of after are narrower, and stand before those of before."""
    import altair as alt

    band = alt.RelativeBandSize(0.9 if when == "before" else 0.42)
    shares = alt.Axis(format="~%", tickCount=4)
    tips = [alt.Tooltip("full:N", title="value"), *(alt.Tooltip(f"{w}:Q", format=".1%") for w in ("before", "after"))]
    bars = alt.Chart(_data(rows))
    if upright:
        axis = alt.Axis(labelExpr=_named(labels, 20), labelAngle=-40, labelOverlap=True, labelLimit=90)
        return bars.mark_bar(color=f"var(--{when})", width=band).encode(
            alt.X("at:O", title=None, axis=axis), alt.Y(f"{when}:Q", title=None, axis=shares), tooltip=tips
        )
    across = alt.X(f"{when}:Q", title=None, axis=shares)
    return bars.mark_bar(color=f"var(--{when})", height=band).encode(_down(labels), across, tooltip=tips)


def _shares(counts: Sequence[float | None]) -> list[float | None]:
    total = sum(count or 0 for count in counts)
    return [None if count is None else count / total if total else 0.0 for count in counts]


def correlations(found: Facts | None) -> tuple[Chart, ...]:
    """How strongly columns hang together, as one map before and one after."""
    if not found or not found["columns"]:
        return ()
    signed = any((finite(v) or 0) < 0 for when in ("before", "after") for row in found[when] for v in row)
    return tuple(_heat(found, when, signed) for when in ("before", "after"))


def _heat(found: Facts, when: str, signed: bool) -> Chart:
    import altair as alt

    names = [shortened(name, 18) for name in found["columns"]]
    rows = [
        {"row": i, "column": j, "one": names[i], "other": names[j], "value": finite(found[when][i][j]), "told": number(_rounded(found[when][i][j]))}
        for i in range(len(names)) for j in range(len(names))
    ]  # fmt: skip
    steps = [*(-step for step in reversed(_STEPS)), *_STEPS] if signed else list(_STEPS)
    colours = [
        *([f"var(--cold-{i})" for i in range(len(_STEPS), 0, -1)] if signed else ()),
        *[f"var(--heat-{i})" for i in range(len(_STEPS) + 1)],
    ]
    text = _named(names, 18)
    plain = alt.Chart(_data(rows)).encode(
        alt.X("column:O", title=None, axis=alt.Axis(labelExpr=text, labelAngle=-45, labelLimit=100, domain=False, ticks=False)),
        alt.Y("row:O", title=None, axis=alt.Axis(labelExpr=text, labelLimit=100)),
    )  # fmt: skip
    cells = plain.mark_rect(stroke="var(--paper)", strokeWidth=1).encode(
        color=alt.condition("isValid(datum.value)", alt.Color("value:Q", scale=alt.Scale(type="threshold", domain=steps, range=colours), legend=None), alt.value("transparent")),
        tooltip=["one:N", "other:N", alt.Tooltip("told:N", title="strength")],
    )  # fmt: skip
    words = f"Heat map of how strongly each pair of columns hangs together {when}; the numbers are in the table."
    if len(names) > WRITTEN:
        return _made(f"correlations-{when}", cells, words, max(260, 12 * len(names)))
    dark = f"abs(datum.value) >= {_STEPS[2]}"
    texts = plain.mark_text(fontSize=11).encode(
        text="told:N", color=alt.condition(dark, alt.value("var(--on-heat)"), alt.value(_INK))
    )
    return _made(f"correlations-{when}", cells + texts, words, 36 * len(names) + 20)


def _rounded(value: object) -> float | None:
    found = finite(value)
    return None if found is None else round(found, 2)


def lattice(search: Facts | None) -> Chart | None:
    """Every transformation that was looked at: upwards more is generalized; its state is shape and colour."""
    import altair as alt

    nodes = nodes_shown(search)
    if not nodes:
        return None
    placed = _placed(nodes)
    rows = [{**node, "told": levels(one), "state": state(one)} for node, one in zip(placed, nodes, strict=True)]
    colour = alt.Scale(domain=list(_STATES), range=["var(--chosen)", "var(--good)", _BAD, "var(--soft)", "var(--soft)"])
    shape = alt.Scale(domain=list(_STATES), range=["diamond", "circle", "cross", "circle", "circle"])
    size = alt.Scale(domain=list(_STATES), range=[330, 90, 80, 60, 40])
    points = alt.Chart(_data(rows)).mark_point(filled=True, opacity=1).encode(
        alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-1.06, 1.06])), alt.Y("y:Q", title="levels generalized, in sum", axis=alt.Axis(tickMinStep=1)),
        color=alt.Color("state:N", scale=colour, legend=None), shape=alt.Shape("state:N", scale=shape, legend=None),
        size=alt.Size("state:N", scale=size, legend=None), tooltip=[alt.Tooltip("told:N", title="levels"), "state:N"],
    )  # fmt: skip
    words = f"Picture of {len(nodes):,} transformations by how much they generalize; the chosen one is a diamond."
    ranks = len({row["y"] for row in rows})
    lines = _edges(nodes, placed)
    chart = alt.layer(*([lines] if lines is not None else []), points)
    return _made("lattice", chart, words, min(480, max(180, 44 * ranks)))


def nodes_shown(search: Facts | None) -> list[Facts]:
    """The nodes of a picture: those with a measured state first, the chosen one always."""
    nodes = list((search or {}).get("nodes") or ())
    if len(nodes) > MOST_NODES:
        nodes.sort(key=lambda one: (not one["chosen"], one["state"] not in ("holds", "fails"), one["sum"]))
    return sorted(nodes[:MOST_NODES], key=lambda one: (one["sum"], one["levels"]))


def state(node: Facts) -> str:
    """What is known of a transformation, in a word."""
    return "chosen" if node["chosen"] else node["state"] if node["state"] in _STATES else "not counted"


def levels(node: Facts) -> str:
    """The levels of a transformation as one line."""
    return ", ".join(map(str, node["levels"]))


def _placed(nodes: Sequence[Facts]) -> list[dict[str, float]]:
    """Where each node stands: its rank upwards, evenly beside the others of its rank."""
    ranks: dict[int, list[int]] = {}
    for i, one in enumerate(nodes):
        ranks.setdefault(one["sum"], []).append(i)
    widest = max(map(len, ranks.values()))
    found: list[dict[str, float]] = [{} for _ in nodes]
    for rank, members in ranks.items():
        for place, i in enumerate(members):
            step = (2 * place - len(members) + 1) / max(widest - 1, 1)
            found[i] = {"x": step, "y": rank}
    return found


def _edges(nodes: Sequence[Facts], placed: Sequence[dict[str, float]]) -> alt.Chart | None:
    """Lines between transformations that differ by one level; none where they would cover the picture."""
    import altair as alt

    where = {tuple(one["levels"]): at for one, at in zip(nodes, placed, strict=True)}
    lines = [
        {**at, "x2": up["x"], "y2": up["y"]}
        for key, at in where.items() for i in range(len(key))
        if (up := where.get((*key[:i], key[i] + 1, *key[i + 1 :]))) is not None
    ]  # fmt: skip
    if not 0 < len(lines) <= MOST_EDGES:
        return None
    rules = alt.Chart(_data(lines)).mark_rule(color="var(--rule)")
    return rules.encode(alt.X("x:Q", axis=None), alt.X2("x2:Q"), alt.Y("y:Q"), alt.Y2("y2:Q"))


def tradeoff(search: Facts | None) -> Chart | None:
    """What the transformations that hold lose, against the records that they leave out."""
    rows = [
        {"x": one["suppressed_share"], "y": one["loss"], "name": levels(one), "chosen": bool(one["chosen"]), "label": "chosen" if one["chosen"] else ""}
        for one in (search or {}).get("nodes") or ()
        if finite(one["loss"]) is not None and finite(one["suppressed_share"]) is not None and one["state"] == "holds"
    ]  # fmt: skip
    words = "Scatter of the transformations that hold: records left out across, information lost upwards."
    return _scatter(
        "tradeoff",
        sorted(rows[:MOST_NODES], key=lambda row: bool(row["chosen"])),
        words,
        "records left out",
        "information lost",
    )


def methods(found: Facts | None) -> Chart | None:
    """The ways of recoding: what each loses, against the risk that it leaves."""
    ways = (found or {}).get("ways") or ()
    rows = [
        {"x": one.get("risk"), "y": loss(one), "name": shortened(one["name"]), "chosen": bool(one["chosen"]), "label": shortened(one["name"])}
        for one in ways if finite(one.get("risk")) is not None and finite(loss(one)) is not None
    ]  # fmt: skip
    words = "Scatter of the ways of recoding: average risk across, information lost upwards."
    return _scatter("methods", rows, words, "average risk", "information lost")


def loss(way: Facts) -> object:
    """What a way of recoding loses, by whichever measure it was told."""
    return way["gcp"] if way.get("gcp") is not None else way.get("loss")


def _scatter(name: str, rows: Sequence[Facts], words: str, across: str, up: str) -> Chart | None:
    import altair as alt

    if len(rows) < 2:
        return None
    wide = max(max(row["x"] for row in rows) * 1.25, 0.01)
    plain = alt.Chart(_data(rows)).encode(
        alt.X("x:Q", title=across, scale=alt.Scale(domain=[0, wide]), axis=alt.Axis(format="~%", tickCount=5)),
        alt.Y("y:Q", title=up, axis=alt.Axis(format="~%", tickCount=5, grid=True)),
    )
    points = plain.mark_point(filled=True, opacity=0.9).encode(
        color=alt.condition("datum.chosen", alt.value("var(--chosen)"), alt.value(_AFTER)),
        shape=alt.Shape("chosen:N", scale=alt.Scale(domain=[True, False], range=["diamond", "circle"]), legend=None),
        size=alt.condition("datum.chosen", alt.value(230), alt.value(70)),
        tooltip=[
            "name:N",
            alt.Tooltip("x:Q", title=across, format=".2~%"),
            alt.Tooltip("y:Q", title=up, format=".2~%"),
        ],
    )
    return _made(
        name, points + plain.mark_text(align="left", dx=10, dy=-3, limit=130).encode(text="label:N"), words, 300
    )
