"""What people see in a terminal: results as tables and sentences; for machines, one JSON object.

A name from outside is shown as text: neither rich nor the terminal takes any of it for an instruction.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from sqlanon.presets import Preset
from sqlanon.register import Entry
from sqlanon.release import Release
from sqlanon.risk import Risk
from sqlanon.safe_harbor import SafeHarbor
from sqlanon.suda import Suda

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)

SHOWN_SUBSETS = 15


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
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def counts(found: dict[str, Any]) -> str:
    """Records, classes, usefulness and cost of a plan or release, in sentences."""
    share = found["suppressed"] / found["rows_in"] if found["rows_in"] else 0
    utility = ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in found["utility"].items())
    return (
        f"{found['rows_out']:,} of {found['rows_in']:,} records in {found['classes']:,} classes;"
        f" {found['suppressed']:,} suppressed ({share:.2%}).\n"
        f"Usefulness: {utility}.\n"
        f"{found['nodes_checked']:,} of {found['nodes']:,} transformations counted in {found['seconds']:.2f} s."
    )


def release(made: Release) -> None:
    """What was published."""
    found = made.to_dict()
    out.print(models(found["models"], "Measured on the published rows"))
    out.print()
    out.print(counts(found))
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    out.print(
        f"[bold green]Published[/] {escape(made.name)} version {made.entry.version} as {made.entry.kind}:"
        f" {escape(made.location)}"
    )


def check(found: Check) -> None:
    """What was measured."""
    out.print(models(found.to_dict()["models"], f"{found.source}: {found.rows:,} records in {found.classes:,} classes"))


def share(value: float | None) -> str:
    """A share as a person reads it; what is above 0 is never shown as 0."""
    if value is None:
        return "–"
    return f"{value:.2%}" if value == 0 or value >= 0.00005 else f"{value:.2g}"


def risk(found: Risk | None, identifiers: SafeHarbor | None) -> None:
    """Who could be found, and what makes it so."""
    if found is not None:
        _scenarios(found)
        _columns(found)
        if found.suda is not None:
            _suda(found.suda)
        for note in found.notes:
            out.print(f"[yellow]Note:[/] {escape(note)}")
    if identifiers is not None:
        _safe_harbor(identifiers)


def _scenarios(found: Risk) -> None:
    of = f"{found.persons:,} persons in {found.rows:,} records" if found.persons else f"{found.rows:,} records"
    above = f"above {found.threshold:g}"
    made = table(
        f"{found.source}: {of}, {found.classes:,} classes", "attacker", above, "", "highest", "average", "from"
    )
    for name, one in (("prosecutor", found.prosecutor), ("journalist", found.journalist)):
        if one is not None:
            made.add_row(
                name, f"{one.records:,}", share(one.above), number(one.highest), number(one.average), one.method
            )
    if found.marketer is not None and found.journalist is not None:
        made.add_row("marketer", "–", "–", "–", number(found.marketer), found.journalist.method)
    out.print(made)
    out.print(f"Unique in the sample: {found.uniques:,} {found.units} ({share(found.uniques / found.size)}).\n")
    everybody = found.population
    if everybody is None:
        return
    title = f"Unique in a population of {everybody.size:,} (the sample is {share(everybody.fraction)} of it)"
    made = table(title, "estimator", "uniques", "of the population")
    for guess in everybody.estimates:
        name = f"{guess.estimator}'s rule: {guess.model}" if guess.model else guess.estimator
        uniques = guess.uniques
        made.add_row(
            name, number(uniques) if uniques is None or uniques < 100 else f"{uniques:,.0f}", share(guess.share)
        )
    out.print(made)
    if everybody.uniques is not None:
        ours = f"{everybody.sample_uniques:,} of them in the sample"
        out.print(f"Counted: {everybody.uniques:,} are unique in the population, {ours}.")
    out.print()


def _columns(found: Risk) -> None:
    made = table("What each column costs: how far it falls without it", "column", "average risk", "at risk", "unique")
    for cost in found.costs:
        made.add_row(escape(cost.column), number(cost.average_risk), share(cost.above), f"{cost.uniques:,}")
    out.print(made)
    out.print()
    if not found.subsets:
        return
    few = f", the first {SHOWN_SUBSETS} of {len(found.subsets):,}" if len(found.subsets) > SHOWN_SUBSETS else ""
    made = table(
        f"What some columns tell apart{few}", "columns", "combinations", "average risk", "pairs apart", "unique"
    )
    for one in found.subsets[:SHOWN_SUBSETS]:
        names = escape(", ".join(one.columns))
        numbers = number(one.average_risk), share(one.separation), f"{one.uniques:,}"
        made.add_row(names, f"{one.combinations:,}", *numbers)
    out.print(made)
    out.print()


def _suda(found: Suda) -> None:
    taken = "assumed" if found.assumed else "known"
    made = table(
        f"Special uniques (SUDA2, sets of up to {found.size} columns)", "column", "share of the scores",
    )  # fmt: skip
    for name, part in found.contributions.items():
        made.add_row(escape(name), share(part))
    out.print(made)
    sets = ", ".join(f"{count:,} of {size}" for size, count in found.sets.items())
    out.print(
        f"Minimal unique sets of columns: {sets}. Highest score {max((s.score for s in found.scores), default=0):,}.\n"
        f"DIS of the file {number(found.dis)} ({found.uniques:,} uniques, {found.pairs:,} pairs, sampling fraction"
        f" {number(found.fraction)}, {taken}); {found.above:,} records at {found.threshold:g} or above.\n"
    )


def _safe_harbor(found: SafeHarbor) -> None:
    made = table(f"HIPAA Safe Harbor: {found.source}, {found.rows:,} records", "identifier", "", "where")
    made.columns[1].justify = made.columns[2].justify = "left"
    style = {"found": "bold red", "not found": "green", "cannot be checked": "yellow"}
    for item in found.items:
        where = "; ".join(
            f"{one.column}: {one.why}" + (f" ({one.records:,})" if one.records else "") for one in item.columns
        )
        made.add_row(f"{item.letter}  {item.title}", Text(item.status, style=style[item.status]), escape(where))
    out.print(made)
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def presets(found: Sequence[Preset]) -> None:
    """All presets, a line each."""
    made = table("Presets", "name", "what", "models")
    made.columns[1].justify = made.columns[2].justify = "left"
    for one in found:
        made.add_row(one.name, one.title, "; ".join(_model(model) for model in one.models) or "none")
    out.print(made)
    out.print("sqlanon presets NAME shows its source, its rounding and what it leaves open.")


def _model(model: Mapping[str, Any]) -> str:
    words = [f"{key}={'…' if key == 'column' else value}" for key, value in model.items() if key != "model"]
    return escape(f"{model['model']}({', '.join(words)})")


def preset(found: Preset) -> None:
    """What one preset asks for, where that is from, and what it leaves open."""
    out.print(f"[bold]{found.name}[/]  {found.title}\n")
    lines = {
        "Models": [_model(model) for model in found.models] or ["none"],
        "Source": found.sources,
        "Note": found.notes,
        "Also": found.also,
        "Leaves open": found.leaves,
    }
    for word, told in lines.items():
        for line in told:
            out.print(f"[dim]{word:<12}[/]{line if word == 'Models' else escape(line)}")


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
