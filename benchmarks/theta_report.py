"""The figures of theta_paper.py as a page and a plot: `python benchmarks/theta_report.py docs` makes them anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

METHODS = ("plain", "paper", "swap", "round-robin", "packed", "p+")
COLOURS = dict(zip(METHODS, ("#8a8a8a", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00"), strict=True))
MARKS = dict(zip(METHODS, "sovD^x", strict=True))
PAPER_AVERAGE, PAPER_NOISE = 47.2, 6  # Table 11 of the paper, and its most noise tuples at any k
Row = dict[str, Any]


def write(result: Row, folder: Path) -> None:
    """theta_paper.md and theta_paper.svg from the figures."""
    (folder / "theta_paper.md").write_text(page(result), encoding="utf-8")
    plot(result, folder / "theta_paper.svg")


# -- the page -----------------------------------------------------------------------------------------------------


def cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def table(result: Row, head: list[str], of: Callable[[Row], list[Any]]) -> str:
    """One line per k."""
    lines = [f"| k | {' | '.join(head)} |", "| --: |" + " --: |" * len(head)]
    lines += [f"| {k} | {' | '.join(map(cell, of(row)))} |" for k, row in result["k"].items()]
    return "\n".join(lines)


def figure_of(row: Row, name: str, *path: str) -> Any:
    value: Any = row["methods"][name]
    for key in path:
        value = value[key]
    return value


def each(row: Row, *path: str, only: tuple[str, ...] = METHODS) -> list[Any]:
    """A figure of every method, in parentheses where the method did not do what it should."""
    found = []
    for name in only:
        value = figure_of(row, name, *path)
        found.append(f"({cell(value)})" if row["methods"][name]["note"] else value)
    return found


def promised(row: Row, what: str) -> Any:
    return (row["implied"] or {}).get(what)


def page(result: Row) -> str:
    """The page: the template with its figures set in."""
    by_k = result["k"]
    some = "4" if "4" in by_k else next(iter(by_k))
    noisy = [k for k, row in by_k.items() if row["methods"]["packed"]["noise"]]
    off = [abs(by_k[k]["methods"]["packed"]["noise"] / by_k[k]["noise_bound"] - 1) for k in noisy]
    every = list(METHODS)
    noisy_methods = ("paper", "swap", "round-robin", "packed")

    def exact(name: str) -> str:
        found = [
            k for k, r in by_k.items() if not r["methods"][name]["note"] and figure_of(r, name, "excess") == r["floor"]
        ]
        return ", ".join(k for k in found if not by_k[k]["methods"][name]["noise"]) or "none"

    def mean(what: str) -> str:
        return f"{sum(row[what] for row in by_k.values()) / len(by_k):.1f}"

    def of(*path: str) -> str:
        return table(result, every, lambda row: each(row, *path))

    def beside(first: str, get: Callable[[Row], Any], *path: str) -> str:
        return table(result, [first, *every], lambda row: [get(row), *each(row, *path)])

    template = Template(Path(__file__).with_name("theta_paper.template.md").read_text(encoding="utf-8"))
    return template.substitute(
        rows=cell(result["rows"]), keys=", ".join(result["keys"]), values=len(result["values"]),
        p_plus=cell(sum(figure_of(row, "p+", "excess") for row in by_k.values()) / len(by_k)),
        rarest=min(result["values"]), floor=mean("floor"), floor_with_noise=mean("floor_with_noise"),
        exact=exact("round-robin"), packed_exact=exact("packed"), some=some,
        paper_noise=cell(figure_of(by_k[some], "paper", "noise")),
        swap_noise=cell(figure_of(by_k[some], "swap", "noise")) if figure_of(by_k[some], "swap", "noise") else "none",
        noisy=noisy[0] if noisy else "—", off=f"{100 * max(off, default=0):.2f}",
        excess=beside("floor", lambda row: row["floor"], "excess"), c_avg=of("c_avg"), violating=of("violating"),
        noise=table(
            result, ["lower bound", *noisy_methods, "exchanges: paper", "exchanges: swap"],
            lambda row: [row["noise_bound"], *each(row, "noise", only=noisy_methods),
                         *each(row, "swaps", only=("paper", "swap"))],
        ),
        confidence=beside("promised", lambda row: promised(row, "confidence"), "confidence"),
        distinct=beside("promised", lambda row: promised(row, "distinct"), "distinct"),
        overlap=of("error", "overlap_median"), uniform=of("error", "uniform_median"), middle=middle(result),
        selectivity=by_selectivity(result), gcp=of("gcp"), seconds=of("seconds"),
    )  # fmt: skip


def middle(result: Row) -> str:
    return "10" if "10" in result["k"] else next(iter(result["k"]))


def by_selectivity(result: Row) -> str:
    methods = result["k"][middle(result)]["methods"]
    lines = [f"| share of the records | queries | {' | '.join(METHODS)} |", "| --: |" + " --: |" * (1 + len(METHODS))]
    for place, band in enumerate(methods["plain"]["by_selectivity"]):
        figures = [methods[name]["by_selectivity"][place]["uniform"] for name in METHODS]
        span = f"{100 * band['from']:g}–{100 * band['to']:g} %"
        lines.append(f"| {span} | {band['queries']} | {' | '.join(map(cell, figures))} |")
    return "\n".join(lines)


# -- the plot -----------------------------------------------------------------------------------------------------


def plot(result: Row, file: Path) -> None:
    """Six small figures with one legend."""
    mpl.rcParams.update({"svg.hashsalt": "theta", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 3, figsize=(12.5, 7), layout="constrained")
    dcp, noise, sure, error, selectivity, seconds = axes.flat
    lines(dcp, result, "DCP − n·k", "excess", only=METHODS[1:])
    dashed(
        dcp,
        result,
        lambda row: row["floor"],
        "dashed: the least there is\ndotted: paper's average, 47.2",
        (0.56, 0.17),
    )
    dcp.axhline(PAPER_AVERAGE, color="k", lw=0.8, ls=":")
    lines(noise, result, "noise tuples", "noise", only=("paper", "swap", "round-robin", "packed"))
    dashed(
        noise,
        result,
        lambda row: row["noise_bound"],
        "dashed: lower bound,\nclasses of k\ndotted: the paper's most, 6",
        (0.03, 0.6),
    )
    noise.axhline(PAPER_NOISE, color="k", lw=0.8, ls=":")
    lines(sure, result, "largest share of one value in a class", "confidence")
    dashed(
        sure, result, lambda row: promised(row, "confidence"), "dashed: what θ promises for classes of k", (0.03, 0.8)
    )
    lines(error, result, "query error (median, classes by their share)", "error", "uniform_median")
    lines(seconds, result, "CPU seconds", "seconds")
    by_band(selectivity, result)
    for axis in (dcp, noise):
        axis.set_yscale("symlog", linthresh=10)
        axis.set_ylim(bottom=0)
    for axis in (error, selectivity, seconds):
        axis.set_yscale("log")
    figure.legend(*sure.get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS), frameon=False)
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def lines(axis: Any, result: Row, title: str, *path: str, only: tuple[str, ...] = METHODS) -> None:
    """A line per method over k; hollow marks where the method did not make all classes meet θ."""
    ks = [int(k) for k in result["k"]]
    for name in only:
        values = [figure_of(row, name, *path) for row in result["k"].values()]
        axis.plot(ks, values, color=COLOURS[name], marker=MARKS[name], ms=4, lw=1.3, label=name, fillstyle="full")
        failed = [
            (k, v) for k, v, row in zip(ks, values, result["k"].values(), strict=True) if row["methods"][name]["note"]
        ]
        if failed and MARKS[name] != "x":
            axis.plot(*zip(*failed, strict=True), color=COLOURS[name], marker=MARKS[name], ms=4, lw=0, mfc="w")
    axis.set_title(title, loc="left")
    axis.set_xlabel("k (hollow: classes miss θ)")
    axis.set_xticks(ks)


def dashed(axis: Any, result: Row, of: Callable[[Row], Any], says: str, at: tuple[float, float]) -> None:
    axis.plot([int(k) for k in result["k"]], [of(row) for row in result["k"].values()], "k--", lw=1)
    axis.annotate(says, at, xycoords="axes fraction", va="top", fontsize=7)


def by_band(axis: Any, result: Row) -> None:
    methods = result["k"][middle(result)]["methods"]
    for name in METHODS:
        bands = methods[name]["by_selectivity"]
        places = range(len(bands))
        values = [band["uniform"] for band in bands]
        axis.plot(places, values, color=COLOURS[name], marker=MARKS[name], ms=4, lw=1.3)
    axis.set_xticks(places, [f"{100 * b['from']:g}–{100 * b['to']:g}" for b in bands])
    axis.set_title(f"query error by selectivity, k = {middle(result)}", loc="left")
    axis.set_xlabel("records that meet the query, %")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write(json.loads((target / "theta_paper.json").read_text(encoding="utf-8")), target)
