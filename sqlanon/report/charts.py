"""The bars and maps of a report: each from a part of its facts, None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlanon.report.drawing import (
    AFTER,
    BAD,
    BEFORE,
    INK,
    PAPER,
    Chart,
    Facts,
    across,
    chart_of,
    down,
    layered,
    made,
    named,
)
from sqlanon.report.words import finite, number, share, shortened

if TYPE_CHECKING:
    import altair as alt

MOST_LABELS, MOST_LEVEL, MOST_SETS, WRITTEN = 60, 4, 25, 9
STEPS = (0.1, 0.3, 0.5, 0.7)
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


def class_sizes(classes: Facts | None, k: float | None) -> Chart | None:
    """Records by the size of their class; classes below k are set off by colour."""
    import altair as alt

    bins = (classes or {}).get("bins") or []
    if not bins:
        return None
    rows = [
        {
            "at": at,
            "size": span(one),
            "records": finite(one["records"]),
            "classes": number(one["classes"]),
            "bad": _below(one, k),
        }
        for at, one in enumerate(bins)
    ]
    axis = alt.Axis(labelExpr=named([row["size"] for row in rows], 40), labelAngle=0, labelOverlap=True)
    chart = chart_of(rows).mark_bar().encode(
        alt.X("at:O", title="records that look alike (class size)", axis=axis),
        alt.Y("records:Q", title="records", axis=alt.Axis(tickCount=5)),
        color=alt.condition("datum.bad", alt.value(BAD), alt.value(AFTER)),
        tooltip=[alt.Tooltip("size:N", title="class size"), alt.Tooltip("records:Q", format=","), "classes:N"],
    )  # fmt: skip
    most = span(max(bins, key=lambda one: one["records"] or 0))
    return made("class-sizes", chart, f"Bar chart of records by class size; most are in classes of {most}.", 260)


def _below(one: Facts, k: float | None) -> bool:
    return k is not None and one["to"] is not None and one["to"] < k


def span(one: Facts) -> str:
    """The sizes that a bin of the histogram covers."""
    low, high = one["from"], one["to"]
    return f"{low:,} or more" if high is None else f"{low:,}" if low == high else f"{low:,}–{high:,}"


def risks(risk: Facts | None, least: int = 1) -> Chart | None:
    """Who could be found, before and after; a highest risk that is hidden is above 1 in the least cell, and told so."""
    if not risk:
        return None
    beyond = {
        (words, when): 1 / least for words, path in RISKS for when in ("before", "after")
        if path[-1] == "highest" and inside(risk[when], path[0]) is not None and inside(risk[when], *path) is None
    }  # fmt: skip
    rows = [(words, inside(risk["before"], *path), inside(risk["after"], *path)) for words, path in RISKS]
    words = "Bar chart of the risk of being found, before and after, for each kind of attacker."
    return _pairs("risk", rows, words, beyond)


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
    words = "Bar chart of the records whose sensitive value can be predicted, before and after."
    return _pairs("predictions", rows, words)


def _pairs(
    name: str, rows: Sequence[tuple[str, object, object]], words: str,
    beyond: Mapping[tuple[str, str], float] | None = None,
) -> Chart | None:  # fmt: skip
    """Shares before and after as two bars for each line; those of `beyond` are somewhere above what is drawn."""
    import altair as alt

    more = beyond or {}
    sides = [
        (label, when, finite(value) if finite(value) is not None else more.get((label, when)), (label, when) in more)
        for label, *both in rows for when, value in zip(("before", "after"), both, strict=True)
    ]  # fmt: skip
    shown = {label for label, _, value, _ in sides if value is not None}
    known = [row for row in rows if row[0] in shown]
    places = {label: at for at, (label, *_) in enumerate(known)}
    told: list[dict[str, Any]] = [
        {"at": places[label], "line": shortened(label, 60), "when": when, "value": value,
         "told": f"{'above ' * above}{share(value)}"}
        for label, when, value, above in sides if value is not None
    ]  # fmt: skip
    if not told:
        return None
    colour = alt.Color("when:N", scale=alt.Scale(domain=["before", "after"], range=[BEFORE, AFTER]), legend=None)
    plain = chart_of(told).encode(
        down([label for label, *_ in known]), across([row["value"] for row in told], None),
        yOffset=alt.YOffset("when:N", sort=["before", "after"]),
    )  # fmt: skip
    tips = ["line:N", "when:N", alt.Tooltip("told:N", title="share")]
    bars = plain.mark_bar().encode(color=colour, tooltip=tips)
    return made(name, layered(bars, _written(plain)), words, 46 * len(known) + 10)


def _written(plain: alt.Chart) -> alt.Chart:
    """The number behind each bar."""
    found: alt.Chart = plain.mark_text(align="left", dx=4).encode(text="told:N")
    return found


def attacks(found: Sequence[Facts] | None) -> Chart | None:
    """The share of the records that each attack breaches."""
    rows = [
        (f"{one['attack']}{' of ' + one['column'] if one['column'] else ''}", one["share"], bool(one["breached"]))
        for one in found or ()
    ]
    words = "Bar chart of the share of records that each attack breaches."
    return _bars("attacks", rows, words, "records breached")


def fields(found: Facts | None) -> Chart | None:
    """Which fields predict a sensitive column, the worst sets first; those that predict nothing are left out."""
    sets = [one for one in (found or {}).get("subsets") or () if finite(one["share"])]
    worst = sorted(sets, key=lambda one: -one["share"])[:MOST_SETS]
    rows = [(", ".join(one["fields"]) or "nothing", one["share"], True) for one in worst]
    words = "Bar chart of the share of records that can be predicted from each set of fields."
    return _bars("fields", rows, words, "records predicted")


def _bars(name: str, rows: Sequence[tuple[str, object, bool]], words: str, title: str) -> Chart | None:
    """One bar for each line; a bad one is set off by colour."""
    import altair as alt

    known = [row for row in rows if finite(row[1]) is not None]
    if not known:
        return None
    told = [
        {"at": at, "line": shortened(label, 80), "value": value, "told": share(value), "bad": bad}
        for at, (label, value, bad) in enumerate(known)
    ]
    plain = chart_of(told).encode(down([row[0] for row in known]), across([row[1] for row in known], title))
    bars = plain.mark_bar(size=15).encode(
        color=alt.condition("datum.bad", alt.value(BAD), alt.value(AFTER)),
        tooltip=["line:N", alt.Tooltip("told:N", title="share")],
    )
    return made(name, layered(bars, _written(plain)), words, 27 * len(known) + 10)


def distribution(column: Facts, at: int) -> Chart | None:
    """A column's values before (broad, pale) and after (narrow, dark), in shares; upright where they have an order."""
    found = column.get("distribution")
    if not found or not any(count is not None for when in ("before", "after") for count in found[when] or ()):
        return None
    labels = found["labels"][:MOST_LABELS]
    before, after = (_shares(found[when] or [None] * len(labels)) for when in ("before", "after"))
    rows = [
        {"at": i, "full": shortened(label, 80), "before": b, "after": a}
        for i, (label, b, a) in enumerate(zip(labels, before, after, strict=False))
    ]
    upright = found["kind"] == "ordered"
    sides = [when for when in ("before", "after") if any(row[when] is not None for row in rows)]
    layers = layered(*(_side(rows, when, labels, upright=upright) for when in sides))
    words = f"Bar chart of the values of {shortened(column['name'])} before and after."
    return made(f"distribution-{at}", layers, words, 150 if upright else max(60, 22 * len(rows)))


def _side(rows: Sequence[Facts], when: str, labels: Sequence[object], *, upright: bool) -> alt.Chart:
    """The bars of one side: those of after are narrower, and stand before those of before."""
    import altair as alt

    band = alt.RelativeBandSize(0.9 if when == "before" else 0.42)
    shares, bars = alt.Axis(format="~%", tickCount=4), chart_of(rows)
    tips = [alt.Tooltip("full:N", title="value"), *(alt.Tooltip(f"{w}:Q", format=".1%") for w in ("before", "after"))]
    if upright:
        angle = -40 if len(labels) > MOST_LEVEL else 0
        axis = alt.Axis(labelExpr=named(labels, 20), labelAngle=angle, labelOverlap=True, labelLimit=90)
        places = (alt.X("at:O", title=None, axis=axis), alt.Y(f"{when}:Q", title=None, axis=shares))
        found: alt.Chart = bars.mark_bar(color=f"var(--{when})", width=band).encode(*places, tooltip=tips)
        return found
    places = (alt.X(f"{when}:Q", title=None, axis=shares), down(labels))
    found = bars.mark_bar(color=f"var(--{when})", height=band).encode(*places, tooltip=tips)
    return found


def _shares(counts: Sequence[object]) -> list[float | None]:
    known = [finite(count) for count in counts]
    total = sum(count or 0 for count in known)
    return [None if count is None else count / total if total else 0.0 for count in known]


def correlations(found: Facts | None) -> tuple[Chart, ...]:
    """How strongly columns hang together, as one map before and one after."""
    if not found or not found["columns"]:
        return ()
    return tuple(_heat(found, when) for when in ("before", "after"))


def signed(found: Facts) -> bool:
    """Whether some columns go against each other, so that a map needs two colours."""
    return any((finite(v) or 0) < -STEPS[0] for when in ("before", "after") for row in found[when] or () for v in row)


def _heat(found: Facts, when: str) -> Chart:
    import altair as alt

    names, values = found["columns"], found[when]
    rows = [
        {"row": i, "column": j, "one": shortened(one), "other": shortened(other), **_strength(values[i][j])}
        for i, one in enumerate(names)
        for j, other in enumerate(names)
    ]
    text, wide = named(names, 18), len(names)
    axis = alt.Axis(labelExpr=text, labelAngle=-45, labelLimit=100, domain=False, ticks=False)
    plain = chart_of(rows).encode(
        alt.X("column:O", title=None, axis=axis),
        alt.Y("row:O", title=None, axis=alt.Axis(labelExpr=text, labelLimit=100)),
    )
    colour = alt.Color("value:Q", scale=_heat_scale(two=signed(found)), legend=None)
    cells = plain.mark_rect(stroke=PAPER, strokeWidth=1).encode(
        color=alt.condition("isValid(datum.value)", colour, alt.value("transparent")),
        tooltip=["one:N", "other:N", alt.Tooltip("told:N", title="strength")],
    )
    words = f"Heat map of how strongly each pair of columns hangs together {when}; the numbers are in the table."
    if wide > WRITTEN:
        return made(f"correlations-{when}", cells, words, max(260, 12 * wide))
    dark = alt.condition(f"abs(datum.value) >= {STEPS[2]}", alt.value("var(--on-heat)"), alt.value(INK))
    texts = plain.mark_text(fontSize=11).encode(text="told:N", color=dark)
    return made(f"correlations-{when}", layered(cells, texts), words, 36 * wide + 20)


def _strength(value: object) -> Facts:
    found = finite(value)
    return {"value": found, "told": number(None if found is None else round(found, 2))}


def _heat_scale(*, two: bool) -> alt.Scale:
    """Five colours from nothing to everything; four more on the other side where there is one."""
    import altair as alt

    domain, colours = list(STEPS), [f"var(--heat-{i})" for i in range(5)]
    if two:
        domain = [*(-step for step in reversed(STEPS)), *domain]
        colours = [*(f"var(--cold-{i})" for i in (4, 3, 2, 1)), *colours]
    return alt.Scale(type="threshold", domain=domain, range=colours)
