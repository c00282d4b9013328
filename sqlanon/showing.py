"""What people see in a terminal: results as tables and sentences; for machines, one JSON object.

A name from outside is shown as text: neither rich nor the terminal takes any of it for an instruction.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import markup
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sqlanon.check import Check
from sqlanon.life import Verified
from sqlanon.planning import Planned, Tell, silent
from sqlanon.register import Entry
from sqlanon.release import Release
from sqlanon.utility import Utility

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)


def escape(text: str) -> str:
    """A name from outside, so that neither rich nor the terminal takes any of it for an instruction."""
    return markup.escape(printable(text))


def printable(text: str) -> str:
    """The text with every control character spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def telling(as_json: bool) -> Iterator[Tell]:
    """A progress bar on a terminal; silence for machines."""
    if as_json or not err.is_terminal:
        yield silent
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def tell(what: str, done: float | None) -> None:
            progress.update(task, description=what, total=None if done is None else 1.0, completed=done or 0.0)

        yield tell


def print_json(found: dict[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(found, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def show(found: Any, as_json: bool, people: Callable[[Any], None]) -> None:
    """A result for machines (`to_dict`) or for people."""
    if as_json:
        print_json(found.to_dict())
    else:
        people(found)


def number(value: object) -> str:
    """A number as a person reads it; a missing one is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def table(title: str, *columns: str) -> Table:
    """An empty table; the first column is words, the others are numbers."""
    made = Table(
        title=Text(printable(title), style="bold"), title_justify="left", header_style="dim", box=None, pad_edge=False
    )
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return made


def models(verdicts: list[dict[str, Any]], title: str) -> Table:
    """Verdicts as a table."""
    judged = any(v["holds"] is not None for v in verdicts)
    made = table(title, "model", "measured", *(("bound", "classes off", "records off", "") if judged else ()))
    for v in verdicts:
        words = [f"{key} {value}" for key, value in v["parameters"].items()]
        name = " ".join(
            filter(
                None, [v["model"], f"of {v['column']}" if v["column"] else "", f"({', '.join(words)})" if words else ""]
            )
        )
        row: list[str | Text] = [escape(name), number(v["value"])]
        if judged:
            verdict = Text("holds", style="green") if v["holds"] else Text("does not hold", style="bold red")
            row += [number(v["bound"]), number(v["classes_violating"]), number(v["rows_violating"]), verdict]
        made.add_row(*row)
    return made


def plan(planned: Planned) -> None:
    """What would be published."""
    found, source = planned.to_dict(), planned.plan.source
    made = table("What each quasi-identifier becomes", "column", "level", "of", "hierarchy")
    for name, level in found["levels"].items():
        made.add_row(escape(name), str(level), str(source.height(name)), source.hierarchy(name).name)
    out.print(made)
    out.print()
    out.print(models(found["models"], "What was promised, and what the plan comes to"))
    out.print()
    out.print(counts(found))
    if planned.usefulness:
        utility(planned.usefulness)
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def counts(found: dict[str, Any]) -> str:
    """Records, classes, usefulness and cost of a plan or release, in sentences."""
    share = found["suppressed"] / found["rows_in"] if found["rows_in"] else 0
    return (
        f"{found['rows_out']:,} of {found['rows_in']:,} records in {found['classes']:,} classes;"
        f" {found['suppressed']:,} suppressed ({share:.2%}).\n"
        f"Usefulness: {totals(found['utility'])}.\n"
        f"{found['nodes_checked']:,} of {found['nodes']:,} transformations counted in {found['seconds']:.2f} s."
    )


def totals(told: dict[str, Any]) -> str:
    """The usefulness of the whole, number by number."""
    single = {name: value for name, value in told.items() if isinstance(value, float)}
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in single.items())


def utility(found: Utility) -> None:
    """How useful a release still is, in tables."""
    shifts = found.distribution_shift
    columns = table("What each column lost (0 nothing, 1 everything), and how far its distribution moved", "column",
                    "NCP", "ILoss", "levels", "entropy", "moved", "in order")  # fmt: skip
    for name in shifts:
        lost, shift = found.losses.columns.get(name), shifts[name]
        losses = (lost.ncp, lost.iloss, lost.precision, lost.normalized_entropy) if lost else (None,) * 4
        moved = (shift.total_variation, shift.earth_mover) if shift else (None, None)
        columns.add_row(escape(name), *map(number, (*losses, *moved)))
    out.print()
    out.print(columns)
    if found.query_error:
        out.print()
        errors = found.query_error
        made = table("COUNT queries: relative error, counting every class that overlaps or its share", "queries",
                     "", "overlap: mean", "median", "share: mean", "median")  # fmt: skip
        kinds = [("all", errors.total)]
        kinds += [(f"columns asked about: {part.kind['columns']}", part) for part in errors.by_dimensionality]
        kinds += [(f"up to {100 * part.kind['up_to']:g} % of the records", part) for part in errors.by_selectivity]
        for kind, part in kinds:
            both = (part.overlap.mean, part.overlap.median, part.uniform.mean, part.uniform.median)
            made.add_row(kind, *map(number, (part.queries, *both)))
        out.print(made)
    pairs = sorted(found.correlation_shift.pairs, key=lambda pair: -pair.change)[:5]
    if pairs:
        out.print()
        made = table("The pairs of columns that changed most", "columns", "measure", "before", "after")
        for pair in pairs:
            names = " and ".join(map(escape, pair.columns))
            made.add_row(names, pair.measure.replace("_", " "), number(pair.before), number(pair.after))
        out.print(made)


def release(made: Release) -> None:
    """What was published."""
    found = made.to_dict()
    out.print(models(found["models"], "Measured on the published rows"))
    out.print()
    out.print(counts(found))
    if made.planned.usefulness:
        utility(made.planned.usefulness)
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    out.print(
        f"[bold green]Published[/] {escape(made.name)} version {made.entry.version} as {made.entry.kind}:"
        f" {escape(made.location)}"
    )


def check(found: Check) -> None:
    """What was measured."""
    out.print(models(found.to_dict()["models"], f"{found.source}: {found.rows:,} records in {found.classes:,} classes"))
    if found.utility:
        useful = found.utility
        out.print(
            f"\nAgainst its source of {useful.records:,} records, of which {useful.suppressed:,} are suppressed."
            f"\nUsefulness: {totals(useful.to_dict())}."
        )
        utility(useful)


def verified(found: Verified) -> None:
    """What a release comes to today."""
    entry = found.entry
    out.print(models(found.to_dict()["models"], f"{entry.name} version {entry.version}: {found.rows:,} records"))
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    if entry.expired:
        out.print("[yellow]Note:[/] this release has expired; withdraw it")


def releases(found: Sequence[Entry]) -> None:
    """The register as a table."""
    made = table("Releases", "name", "version", "status", "as", "records", "released", "expires", "where")
    for e in found:
        expires = "–" if e.expires_at is None else f"{e.expires_at:%Y-%m-%d}{' (expired)' if e.expired else ''}"
        made.add_row(
            escape(e.name),
            str(e.version),
            e.status,
            e.kind,
            f"{e.rows_out:,}",
            f"{e.released_at:%Y-%m-%d %H:%M}",
            expires,
            escape(e.location),
        )
    out.print(made if found else "There are no releases here.")


def demo(directory: Path, file: Path, before: Check, made: Release, after: Check) -> None:
    """The example, step by step."""
    keys, database = before.quasi_identifiers, directory / "clinic.duckdb"
    out.print(
        f"[bold]1. The table[/]  {directory / 'patients.csv'}: {before.rows:,} hospital stays. Names are in it, but"
    )
    out.print(
        f"   leave them out and {before.classes:,} combinations of {', '.join(keys)} still tell most people apart."
    )
    out.print(f"[bold]2. The spec[/]   {file}: what each column is, and what must hold. Open it, it is short.\n")
    out.print(
        f"[bold]3. The plan[/]   the least loss that satisfies every model, of {made.planned.found.nodes:,} ways.\n"
    )
    plan(made.planned)
    out.print(f"\n[bold]4. The release[/]  table {made.name} in {database}, measured again on its own rows first.\n")
    compared = table("Before and after", "measure", "patients.csv", made.name)
    for one, two in zip(before.to_dict()["models"], after.to_dict()["models"], strict=True):
        words = [str(value) for value in one["parameters"].values()]
        compared.add_row(" ".join([one["model"], *words]), number(one["value"]), number(two["value"]))
    out.print(compared)
    url = f"duckdb:///{database}"
    out.print("\n[bold]Next[/]")
    for line in (
        f"sqlanon plan {file} --sql            # the SQL that a DBA can review",
        f"sqlanon verify {made.name} --db {url}   # measure it again, any time",
        "edit the spec (k: 10, or t: 0.25) and run: " + f"sqlanon release {file} --db {url}",
        "sqlanon init YOUR.csv -o spec.yaml   # a spec for your own table",
    ):
        out.print(f"  {line}", markup=False)
