"""The figures of theta_paper.py as a page and a plot: `python benchmarks/theta_report.py docs` makes them anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
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


def cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def table(result: Row, head: list[str], of: Callable[[Row], list[Any]]) -> str:
    """One line per k."""
    lines = [f"| k | {' | '.join(head)} |", "| --: |" + " --: |" * len(head)]
    lines += [f"| {k} | {' | '.join(map(cell, of(row)))} |" for k, row in result["k"].items()]
    return "\n".join(lines)


def each(row: Row, *path: str, only: tuple[str, ...] = METHODS) -> list[Any]:
    """A figure of every method; nothing where the method cannot be done."""
    found = []
    for name in only:
        value: Any = row["methods"][name]
        failed = value["note"]
        for key in path:
            value = value[key]
        found.append(f"({cell(value)})" if failed else value)
    return found


def page(result: Row) -> str:
    """The page."""
    ks, rows = list(result["k"]), result["rows"]
    floors = [row["floor"] for row in result["k"].values()]
    allowed = [row["floor_with_noise"] for row in result["k"].values()]
    first, some = result["k"][ks[min(1, len(ks) - 1)]], ks[min(1, len(ks) - 1)]
    even = [k for k, row in result["k"].items() if not row["methods"]["round-robin"]["note"]]
    exact = [k for k in even if result["k"][k]["methods"]["round-robin"]["excess"] == result["k"][k]["floor"]]
    noisy = [k for k, row in result["k"].items() if row["methods"]["packed"]["noise"]]
    off = max(
        (abs(result["k"][k]["methods"]["packed"]["noise"] / result["k"][k]["noise_bound"] - 1) for k in noisy),
        default=0,
    )
    return f"""# θ-sensitive k-anonymity: the paper's experiment, done again

Made by `python benchmarks/theta_paper.py`; the figures are in [theta_paper.json](theta_paper.json).

![figures](theta_paper.svg)

## What was done

Khan et al., "θ-Sensitive k-Anonymity", Electronics 9(5):716, 2020, publish {
        rows:,} records of "Adult" with a zip code, for
k = 2, 4, …, 20 and μ = {
        result["mu"]
    }. No public table of that size has been found, and Adult has no zip. Here Adult's 30,162
records are bootstrapped to {rows:,}; the zip is synthesised, independent of everything else. Quasi-identifiers:
{", ".join(result["keys"])}; sensitive: occupation, {len(result["values"])} values, the rarest with {
        min(result["values"])
    } records. All methods publish the
ranges of a class's records, every quasi-identifier in the order of its hierarchy.

| method | what it is |
| --- | --- |
| plain | classes of k in Gray order of the quasi-identifiers, whatever their sensitive values: no θ |
| paper | Algorithm 1 on these classes, its printed defects put right, whole records exchanged, noise on |
| swap | the repair with a two-way check on these classes, noise where no exchange helps |
| round-robin | θ-RR: blocks of the order, dealt by descending frequency; blocks that fail are united and dealt again |
| packed | blocks dealt so that θ holds with the least noise; in one block, and with noise, only where nothing works without |
| p+ | p⁺-sensitive k-anonymity with p = 3 categories; it does not ask for θ |

A figure in parentheses is that of a method that could not make all classes meet θ.

## What the paper claims, what can be attained, and why

1. **The discernibility penalty (DCP, Σ |class|²) is on average {
        PAPER_AVERAGE
    } above n·k.** Every class has k records or more, so it is
   at least {sum(floors) / len(floors):.1f} above on average over these k without noise, and {
        sum(allowed) / len(allowed):.1f} with noise; {PAPER_AVERAGE} is below both, so
   records must have been left out, or classes below k. The floor itself can be attained: round-robin is exactly on it for
   k = {", ".join(exact) or "none"}, without noise and without a class that misses θ.
2. **At most {
        PAPER_NOISE
    } noise tuples at any k.** Not with this algorithm: Algorithm 1, read as charitably as can be, needs
   {first["methods"]["paper"]["noise"]:,} tuples at k = {
        some
    } on this table, because its donors must already be above θ, and few are. The two-way repair needs
   {
        first["methods"]["swap"][
            "noise"
        ]:,} there. And not on these values: for classes of exactly k there is a lower bound, and from k = {
        noisy[0] if noisy else "—"
    } on it is in the
   thousands. `packed` is within {100 * off:.2f} % of it{
        " (it may be below: a few of its classes have k + 1 tuples or more)" if noisy else ""
    }. Noise is never
   needed as such, it is the price of classes of exactly k: larger classes need less of it, or none.
3. **Its privacy.** θ is no order of diversity. With k = 12 and μ = 0.6 the evenest classes that these values allow, (2, 2, 2, 1, 1, 1, 1,
   1, 1), are refused, and (4, 1, 1, 1, 1, 1, 1, 1, 1) are accepted, in which the top value is twice as sure; that is why round-robin
   fails from there on and `packed`, which piles the repeats on one value per class, does not. What θ promises is in
   the table below, and it is what a person should look at; asking for (α, k)-anonymity or l-diversity gets it without the
   detour. Larger classes are promised less: θ is taken for k, not for their size.
4. **"Implies ε-differential privacy"**: no. Nothing in it is random; noise tuples are decided by the records.
5. **Few query errors.** What keeps the DCP at its floor costs width: exchanging whole records, or dealing blocks, mixes records
   that are far apart. DCP does not see that, the queries do: compare plain with the others below.

## Discernibility: DCP − n·k

{table(result, ["floor", *METHODS], lambda row: [row["floor"], *each(row, "excess")])}

The floor is without noise. C_AVG, records per class over k (1 at best; noise counts as records):

{table(result, list(METHODS), lambda row: each(row, "c_avg"))}

## Noise tuples and exchanges

{
        table(
            result,
            ["lower bound", "paper", "swap", "round-robin", "packed", "exchanges: paper", "exchanges: swap"],
            lambda row: [
                row["noise_bound"],
                *each(row, "noise", only=("paper", "swap", "round-robin", "packed")),
                *each(row, "swaps", only=("paper", "swap")),
            ],
        )
    }

The lower bound is for classes of exactly k; below k it is what fills the last class.

## Classes that miss θ

{table(result, list(METHODS), lambda row: each(row, "violating"))}

## What θ promises, and what the worst class is

The largest share of one value in a class (how sure a guess can be), θ's promise for classes of exactly k first:

{
        table(
            result,
            ["promised", *METHODS],
            lambda row: [(row["implied"] or {}).get("confidence"), *each(row, "confidence")],
        )
    }

The fewest different values in a class:

{table(result, ["promised", *METHODS], lambda row: [(row["implied"] or {}).get("distinct"), *each(row, "distinct")])}

## Query error

1,000 random queries, ranges over two to four quasi-identifiers; |estimate − truth| / truth, median. A class counts whole as
soon as it overlaps the query (as in the paper):

{table(result, list(METHODS), lambda row: each(row, "error", "overlap_median"))}

A class counts by the share of its box that overlaps:

{table(result, list(METHODS), lambda row: each(row, "error", "uniform_median"))}

By selectivity, k = {_middle(result)}, by the share of the box:

{_by_selectivity(result)}

The width behind it, the mean share of a quasi-identifier's range that a class covers (GCP):

{table(result, list(METHODS), lambda row: each(row, "gcp"))}

## Time

CPU seconds of both cores, from the ordered table to the finished classes:

{table(result, list(METHODS), lambda row: each(row, "seconds"))}
"""


def _middle(result: Row) -> str:
    return "10" if "10" in result["k"] else next(iter(result["k"]))


def _by_selectivity(result: Row) -> str:
    methods = result["k"][_middle(result)]["methods"]
    lines = [f"| share of the records | queries | {' | '.join(METHODS)} |", "| --: |" + " --: |" * (1 + len(METHODS))]
    for place, band in enumerate(methods["plain"]["by_selectivity"]):
        figures = [methods[name]["by_selectivity"][place]["uniform"] for name in METHODS]
        span = f"{100 * band['from']:g}–{100 * band['to']:g} %"
        lines.append(f"| {span} | {band['queries']} | {' | '.join(map(cell, figures))} |")
    return "\n".join(lines)


# -- the plot -----------------------------------------------------------------------------------------------------------


def plot(result: Row, file: Path) -> None:
    """Six small figures with one legend."""
    mpl.rcParams.update({"svg.hashsalt": "theta", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.8), layout="constrained")
    ks = [int(k) for k in result["k"]]

    def lines(axis: Any, title: str, *path: str, only: tuple[str, ...] = METHODS) -> None:
        for name in only:
            points = []
            for k, row in zip(ks, result["k"].values(), strict=True):
                value: Any = row["methods"][name]
                for key in path:
                    value = value[key]
                if not row["methods"][name]["note"]:
                    points.append((k, value))
            axis.plot(*zip(*points, strict=True), color=COLOURS[name], marker=MARKS[name], ms=4, lw=1.3, label=name)
        axis.set_title(title, loc="left")
        axis.set_xlabel("k")
        axis.set_xticks(ks)

    dcp, noise, sure, error, selectivity, seconds = axes.flat
    lines(dcp, "DCP − n·k", "excess", only=METHODS[1:])
    dcp.plot(ks, [row["floor"] for row in result["k"].values()], "k--", lw=1, label="least there is")
    dcp.axhline(PAPER_AVERAGE, color="k", lw=0.8, ls=":", label="paper's average, 47.2")
    dcp.set_yscale("symlog", linthresh=10)
    lines(noise, "noise tuples", "noise", only=("paper", "swap", "round-robin", "packed"))
    noise.plot(ks, [row["noise_bound"] for row in result["k"].values()], "k--", lw=1)
    noise.axhline(PAPER_NOISE, color="k", lw=0.8, ls=":")
    noise.annotate(
        "lower bound (dashed), paper's most: 6 (dotted)", (0.02, 0.97), xycoords="axes fraction", va="top", fontsize=7
    )
    noise.set_yscale("symlog", linthresh=10)
    lines(sure, "largest share of one value in a class", "confidence")
    sure.plot(ks, [(row["implied"] or {}).get("confidence") for row in result["k"].values()], "k--", lw=1)
    sure.annotate(
        "dashed: what θ promises for classes of k", (0.02, 0.6), xycoords="axes fraction", va="top", fontsize=7
    )
    lines(error, "query error, median (classes counted by share)", "error", "uniform_median")
    lines(seconds, "CPU seconds", "seconds")
    methods = result["k"][_middle(result)]["methods"]
    for name in METHODS:
        bands = methods[name]["by_selectivity"]
        points = [(100 * (band["from"] + band["to"]) / 2, band["uniform"]) for band in bands]
        selectivity.plot(*zip(*points, strict=True), color=COLOURS[name], marker=MARKS[name], ms=4, lw=1.3)
    selectivity.set_title(f"query error by selectivity, k = {_middle(result)}", loc="left")
    selectivity.set_xlabel("records that meet the query, % (middle of the band)")
    selectivity.set_xscale("log")
    for axis in (error, selectivity):
        axis.set_yscale("log")
    figure.legend(*dcp.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False)
    sure_only = [handle for handle in sure.get_legend_handles_labels()[0][:1]]
    dcp.legend(sure_only, ["plain (no θ): in the other figures"], frameon=False, fontsize=7, loc="center right")
    figure.savefig(file, metadata={"Date": None, "Creator": None})
    plt.close(figure)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(json.loads((folder / "theta_paper.json").read_text(encoding="utf-8")), folder)
