"""The pictures of a choice: every transformation that was looked at, and what each way would have lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlanon.report.drawing import AFTER, BAD, CHOSEN, GOOD, RULE, SOFT, Chart, Facts, chart_of, layered, made
from sqlanon.report.words import finite, shortened

if TYPE_CHECKING:
    import altair as alt

MOST_NODES, MOST_LINES, BROAD = 250, 180, 26
# How each state is drawn: by shape and by colour, so that neither is needed to tell it.
_MARKS: Mapping[str, tuple[str, str, int]] = {
    "chosen": (CHOSEN, "diamond", 330), "lowest": (GOOD, "square", 130), "holds": (GOOD, "circle", 90),
    "fails": (BAD, "cross", 80),
    "implied": (SOFT, "circle", 60), "not counted": (SOFT, "circle", 40),
}  # fmt: skip

MARKS_SAID = {
    "chosen": "chosen", "lowest": "lowest that holds", "holds": "holds", "fails": "does not hold",
    "implied": "follows from others", "not counted": "not counted",
}  # fmt: skip


def lattice(search: Facts | None) -> Chart | None:
    """Every transformation that was looked at: upwards more is generalized; its state is shape and colour."""
    import altair as alt

    nodes = nodes_shown(search)
    if not nodes:
        return None
    placed = _placed(nodes)
    ranks = Counter(one["sum"] for one in nodes)
    size = min(1.0, BROAD / max(ranks.values()))
    rows = [
        {
            **place,
            "told": levels(one),
            "why": one.get("why") or MARKS_SAID[one["mark"]],
            "state": one["mark"],
            "size": size * _MARKS[one["mark"]][2],
        }
        for place, one in zip(placed, nodes, strict=True)
    ]
    rows.sort(key=lambda row: row["state"] == "chosen")  # what is drawn last is on top
    points = chart_of(rows).mark_point(filled=True, opacity=1).encode(
        alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-1.06, 1.06])),
        alt.Y("y:Q", title="levels generalized, in sum", axis=alt.Axis(tickMinStep=1)),
        **_marks(),
        tooltip=[alt.Tooltip("told:N", title="levels"), alt.Tooltip("why:N", title="state")],
    )  # fmt: skip
    words = f"Picture of {len(nodes):,} transformations by how much they generalize; the chosen one is a diamond."
    return made("lattice", layered(_lines(nodes, placed), points), words, min(480, max(180, 44 * len(ranks))))


def _marks() -> dict[str, Any]:
    import altair as alt

    names = list(_MARKS)
    colours, shapes = ([mark[part] for mark in _MARKS.values()] for part in (0, 1))
    return {
        "color": alt.Color("state:N", scale=alt.Scale(domain=names, range=colours), legend=None),
        "shape": alt.Shape("state:N", scale=alt.Scale(domain=names, range=shapes), legend=None),
        "size": alt.Size("size:Q", scale=None, legend=None),
    }


def nodes_shown(search: Facts | None) -> list[Facts]:
    """The nodes of a picture with their `mark`: all, or where they are many the counted ones; always the chosen one."""
    nodes = list((search or {}).get("nodes") or ())
    if len(nodes) > MOST_NODES:
        counted = [one for one in nodes if one["chosen"] or one["state"] in ("holds", "fails")]
        nodes = sorted(counted, key=lambda one: (not one["chosen"], one["state"] == "fails", one["sum"]))[:MOST_NODES]
    lowest = _lowest((search or {}).get("nodes") or ())
    marked = ({**one, "mark": _mark(one, lowest)} for one in nodes)
    return sorted(marked, key=lambda one: (one["sum"], one["levels"]))


def _lowest(nodes: Sequence[Facts]) -> set[tuple[int, ...]]:
    """The frontier: transformations that hold, while no one that generalizes one column by a level less is known to."""
    holding = {tuple(one["levels"]) for one in nodes if one["state"] == "holds" or one["chosen"]}
    return {key for key in holding if holding.isdisjoint(_below(key))}


def _below(key: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(*key[:i], key[i] - 1, *key[i + 1 :]) for i in range(len(key))]


def _mark(node: Facts, lowest: set[tuple[int, ...]]) -> str:
    """What is known of a transformation, in a word."""
    if node["chosen"]:
        return "chosen"
    if node["state"] == "holds" and tuple(node["levels"]) in lowest:
        return "lowest"
    return node["state"] if node["state"] in _MARKS else "not counted"


def levels(node: Facts) -> str:
    """The levels of a transformation as one line."""
    return ", ".join(map(str, node["levels"]))


def _placed(nodes: Sequence[Facts]) -> list[dict[str, Any]]:
    """Where each node stands: its rank upwards, evenly beside the others of its rank."""
    ranks: dict[int, list[int]] = {}
    for i, one in enumerate(nodes):
        ranks.setdefault(one["sum"], []).append(i)
    widest = max(map(len, ranks.values()))
    found: list[dict[str, Any]] = [{} for _ in nodes]
    for rank, members in ranks.items():
        for place, i in enumerate(members):
            found[i] = {"x": (2 * place - len(members) + 1) / max(widest - 1, 1), "y": rank}
    return found


def _lines(nodes: Sequence[Facts], placed: Sequence[Facts]) -> alt.Chart | None:
    """Lines between transformations that differ by one level; none where they would cover the picture."""
    import altair as alt

    where = {tuple(one["levels"]): at for one, at in zip(nodes, placed, strict=True)}
    lines = [
        {**at, "x2": up["x"], "y2": up["y"]}
        for key, at in where.items()
        for i in range(len(key))
        if (up := where.get((*key[:i], key[i] + 1, *key[i + 1 :]))) is not None
    ]
    if not 0 < len(lines) <= MOST_LINES:
        return None
    places = (alt.X("x:Q", axis=None), alt.X2("x2:Q"), alt.Y("y:Q"), alt.Y2("y2:Q"))
    found: alt.Chart = chart_of(lines).mark_rule(color=RULE).encode(*places)
    return found


def tradeoff(search: Facts | None) -> Chart | None:
    """What the transformations that hold lose, against the records that they leave out."""
    rows = [
        _point(levels(one), one["suppressed_share"], one["loss"], chosen=one["chosen"], label=False)
        for one in (search or {}).get("nodes") or ()
        if one["state"] == "holds" or one["chosen"]
    ]
    words = "Scatter of the transformations that hold: records left out across, information lost upwards."
    return _scatter("tradeoff", rows, words, "records left out", "information lost")


def methods(found: Facts | None) -> Chart | None:
    """The ways of recoding: what each loses, against the risk that it leaves."""
    rows = [
        _point(one["name"], one.get("risk"), loss(one), chosen=one["chosen"], label=True)
        for one in (found or {}).get("ways") or ()
    ]
    words = "Scatter of the ways of recoding: average risk across, information lost upwards."
    return _scatter("methods", rows, words, "average risk", "information lost")


def loss(way: Facts) -> object:
    """What a way of recoding loses, by whichever measure it was told."""
    return way["gcp"] if way.get("gcp") is not None else way.get("loss")


def _point(name: object, across: object, up: object, *, chosen: bool, label: bool) -> dict[str, Any]:
    told = shortened(name) if label else "chosen" if chosen else ""
    return {"x": finite(across), "y": finite(up), "name": shortened(name), "label": told, "chosen": bool(chosen)}


def _scatter(name: str, points: Sequence[Facts], words: str, across: str, up: str) -> Chart | None:
    import altair as alt

    rows = [row for row in points if row["x"] is not None and row["y"] is not None]
    rows = sorted(rows, key=lambda row: not row["chosen"])[:MOST_NODES][::-1]  # the chosen one on top
    if len(rows) < 2:
        return None
    wide = max(1.25 * max(row["x"] for row in rows), 0.01)
    axis = alt.Axis(format="~%", tickCount=5, labelOverlap=True, labelSeparation=6)
    plain = chart_of(rows).encode(
        alt.X("x:Q", title=across, scale=alt.Scale(domain=[0, wide]), axis=axis), alt.Y("y:Q", title=up, axis=axis)
    )
    points_ = plain.mark_point(filled=True, opacity=0.9).encode(
        color=alt.condition("datum.chosen", alt.value(CHOSEN), alt.value(AFTER)),
        shape=alt.Shape("chosen:N", scale=alt.Scale(domain=[True, False], range=["diamond", "circle"]), legend=None),
        size=alt.condition("datum.chosen", alt.value(230), alt.value(70)),
        tooltip=[
            "name:N",
            alt.Tooltip("x:Q", title=across, format=".2~%"),
            alt.Tooltip("y:Q", title=up, format=".2~%"),
        ],
    )
    return made(name, layered(points_, *_names(rows)), words, 300)


# Beside a point on the left half, beside one on the right half, above, below.
_LOOKS: tuple[dict[str, Any], ...] = (
    {"align": "left", "dx": 10}, {"align": "right", "dx": -10}, {"align": "center", "dy": -14},
    {"align": "center", "dy": 17},
)  # fmt: skip


def _names(rows: Sequence[Facts]) -> list[alt.Chart]:
    """The points' names: from the lowest point below, beside and above in turn, so that neighbours stay legible."""
    named = sorted((row for row in rows if row["label"]), key=lambda row: (row["y"], row["x"]))
    half = max((row["x"] for row in rows), default=0) / 2
    looks: dict[int, list[Facts]] = {}
    for turn, row in enumerate(named):
        looks.setdefault((3, int(row["x"] > half), 2)[turn % 3], []).append(row)
    return [
        chart_of(some).mark_text(limit=130, **_LOOKS[look]).encode(x="x:Q", y="y:Q", text="label:N")
        for look, some in looks.items()
    ]
