"""Pictures in files, SVG or PNG: bars of what sets of fields make predictable, and the states of a data-flow model.

The only importer of matplotlib and networkx, which come with the extra `pictures` and are loaded when one is drawn. The
same result gives the same bytes in SVG.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlanon.errors import SpecError
from sqlanon.exploring import Explored
from sqlanon.flow.drawing import Edge, edges, nodes
from sqlanon.flow.risks import Assessment

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png")
MOST_BARS, MOST_STATES = 64, 80

_COLOURS = {"solid": "#333333", "dashed": "#888888", "dotted": "#c0392b"}


def bars(found: Explored, file: Path) -> None:
    """Violations per set of fields, worst first, and where it was worked out, the values that removal would blank.

    Raises `SpecError` for another format, or where the extra is not installed.
    """
    rows = found.subsets[:MOST_BARS]
    names = [", ".join(row.risk.fields) or "nothing" for row in rows]
    with _figure(file, 9, 1.5 + 0.35 * len(rows)) as axes:
        places = range(len(rows))
        drawn = axes.barh(places, [row.risk.violations for row in rows], color="#c0392b", label="violations")
        axes.bar_label(drawn, padding=3, fontsize=8)
        if found.removal:
            axes.barh(places, [row.removed or 0 for row in rows], height=0.3, color="#34495e", label="values removed")
            axes.legend()
        axes.set_yticks(list(places), [_plain(name) for name in names])
        axes.invert_yaxis()
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(f"violations among {found.rows - found.missing:,} records with a value")
        axes.set_title(_plain(f"{found.target.column} predicted from …"))


def states(found: Assessment, file: Path) -> None:
    """The states, layer by layer; dotted red edges are what nobody agreed to, with the scores of risk transitions.

    Raises `SpecError` for another format, more states than anybody can read, or where the extra is not installed.
    """
    if len(found.states.states) > MOST_STATES:
        raise SpecError(
            f"a picture of more than {MOST_STATES} states cannot be read; --limit {MOST_STATES} shows potential reads"
            " together, --dot and --mermaid give text", where="--picture", found=str(len(found.states.states)),
        )  # fmt: skip
    labels, drawn = nodes(found), list(edges(found))
    depth = _depths(labels, drawn)
    widest = max([list(depth.values()).count(layer) for layer in set(depth.values())])
    with _figure(file, max(8, 3.4 * widest), max(4, 2.1 * (1 + max(depth.values())))) as axes:
        _draw(axes, labels, drawn, depth)
        axes.set_title(_plain(found.model.name or "states"))
        axes.set_axis_off()


def _draw(axes: Axes, labels: dict[str, str], drawn: list[Edge], depth: dict[str, int]) -> None:
    import networkx

    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(labels)
    layers = {-layer: [n for n in labels if depth[n] == layer] for layer in sorted(set(depth.values()), reverse=True)}
    keys = [(edge.source, edge.target, graph.add_edge(edge.source, edge.target)) for edge in drawn]
    at = networkx.multipartite_layout(graph, subset_key=layers, align="horizontal")
    known = [name for name in labels if not name.isdigit()]
    plain = {name: _plain(text) for name, text in labels.items()}
    options: dict[str, Any] = {"G": graph, "pos": at, "ax": axes}
    states, colours = [n for n in labels if n.isdigit()], {"edgecolors": "#333333", "node_color": "#dfe6e9"}
    above = [networkx.draw_networkx_nodes(**options, nodelist=states, node_size=500, **colours)]
    colours = {"edgecolors": "#c0392b", "node_color": "#fadbd8"}
    above.append(networkx.draw_networkx_nodes(**options, nodelist=known, node_shape="s", node_size=500, **colours))
    texts = networkx.draw_networkx_labels(**options, labels=plain, font_size=8)
    for order, drawn_above in enumerate([*above, *texts.values()]):
        drawn_above.set_zorder(5 + order)  # no label of an edge hides a state
    for style, colour in _COLOURS.items():
        curve = "arc3,rad=0.3" if style == "dotted" else "arc3,rad=0.08"  # around what stands between
        which = [key for key, edge in zip(keys, drawn, strict=True) if edge.style == style]
        networkx.draw_networkx_edges(**options, edgelist=which, style=style, edge_color=colour, node_size=500,
                                     connectionstyle=curve, width=1.6 if style == "dotted" else 1.0)  # fmt: skip
        size = 8 if style == "dotted" else 6
        for place, told in _told(keys, drawn, style).items():
            networkx.draw_networkx_edge_labels(
                **options, edge_labels=told, connectionstyle=curve, rotate=False, label_pos=place, font_size=size,
                font_color=colour, bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
    axes.margins(0.2, 0.05)


# Where along the edges out of one state their labels stand, one after the other, so that they do not meet.
_ALONG = (0.62, 0.5, 0.38, 0.26, 0.74)


def _told(keys: list[Any], drawn: list[Edge], style: str) -> dict[float, dict[Any, str]]:
    """The labels of the edges of a style in two lines, by where they stand along the edge."""
    found: dict[float, dict[Any, str]] = {}
    number: dict[str, int] = {}
    for key, edge in zip(keys, drawn, strict=True):
        n = number[edge.source] = number.get(edge.source, -1) + 1
        if edge.style == style:
            found.setdefault(_ALONG[n % len(_ALONG)], {})[key] = _plain(edge.label).replace(": ", ":\n", 1)
    return found


def _depths(labels: dict[str, str], drawn: list[Edge]) -> dict[str, int]:
    """The layer of each node: how many steps it is from the first state; what becomes known stands below all states."""
    depth, ahead = {"0": 0}, ["0"]
    after: dict[str, list[str]] = {}
    for edge in drawn:
        after.setdefault(edge.source, []).append(edge.target)
    while ahead:
        here = ahead.pop(0)
        for name in after.get(here, []):
            if name not in depth and name.isdigit():
                depth[name] = depth[here] + 1
                ahead.append(name)
    lowest = max(depth.values()) + 1
    return {name: depth.get(name, lowest) for name in labels}


@contextmanager
def _figure(file: Path, width: float, height: float) -> Iterator[Axes]:
    """Axes to draw on; the file is written at the end."""
    if file.suffix.lower() not in FORMATS:
        raise SpecError("a picture is an SVG or a PNG", where=str(file), found=file.suffix, allowed=FORMATS)
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise SpecError(
            "pictures need matplotlib and networkx: pip install 'sqlanon[pictures]'", where=str(file)
        ) from None
    # Texts stay texts, and nothing of the moment is in the file.
    with matplotlib.rc_context({"svg.hashsalt": "sqlanon", "svg.fonttype": "none"}):
        figure = Figure(figsize=(min(width, 60), min(height, 60)), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure.add_subplot()
        date = {"Date": None} if file.suffix.lower() == ".svg" else None
        try:
            figure.savefig(file, dpi=120, metadata=date)
        except OSError as error:
            raise SpecError(f"the picture cannot be written: {error.strerror}", where=str(file)) from None


def _plain(text: str) -> str:
    """A name from outside as plain text: no control characters, and nothing that matplotlib would take for formulas."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")
