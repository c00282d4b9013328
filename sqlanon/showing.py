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
from sqlanon.exploring import Explored
from sqlanon.flow.risks import Assessment
from sqlanon.life import Verified
from sqlanon.planning import Planned, Tell, silent
from sqlanon.register import Entry
from sqlanon.release import Release
from sqlanon.rules import Judged
from sqlanon.statistics import Utility

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


_BAR, _MOST_ROWS = 20, 40


def predicted(found: Explored) -> None:
    """What can be predicted from which fields, as bars, with each field's cost and what removal would do."""
    measured = found.rows - found.missing
    title = f"{found.source}: {found.target.column} of {measured:,} records, predicted from"
    made = table(title, "fields", "violations", "", "sets", "highest share", *(["removed"] if found.removal else []))
    most = max(found.worst.violations, 1)
    for row in found.subsets[:_MOST_ROWS]:
        risk = row.risk
        bar = Text("█" * round(_BAR * risk.violations / most), style="red" if risk.violations else "green")
        cells: list[str | Text] = [escape(", ".join(risk.fields)) or "nothing", number(risk.violations), bar]
        cells.append(number(risk.sets))
        cells += [number(risk.highest), *([number(row.removed)] if found.removal else [])]
        made.add_row(*cells)
    made.columns[2].justify, made.columns[2].no_wrap = "left", True
    out.print(made)
    if len(found.subsets) > _MOST_ROWS:
        out.print(f"… and {len(found.subsets) - _MOST_ROWS:,} more; see them with --json")
    if found.costs:
        out.print()
        costs = table("What each field costs, in violations", "field", "alone", "beside all others", "on average")
        for cost in found.costs:
            costs.add_row(escape(cost.field), number(cost.alone), number(cost.last), number(float(cost.average)))
        out.print(costs)
    if found.removal:
        share = found.removal.removed / measured if measured else 0
        out.print(
            f"\nRemoval ({found.removal.method}) blanks {found.removal.removed:,} values ({share:.2%}); none is left."
        )
        if found.removal.beyond:
            out.print(f"{found.removal.beyond:,} sets were too large for an exact minimum and were planned greedily.")
    if found.utility:
        out.print()
        utility(found.utility)
    _rules(found.rules)


def utility(found: Utility) -> None:
    """The statistics before and after, per field."""
    for name, before in found.before.items():
        made = table(f"Statistics of {name}", "statistic", "before", "after", "difference", "relative")
        for statistic, value in before.items():
            relative = found.relative(statistic, name)
            made.add_row(
                statistic.replace("_", " "), number(value), number(found.after[name][statistic]),
                number(found.difference(statistic, name)), "–" if relative is None else f"{relative:+.2%}",
            )  # fmt: skip
        out.print(made)


def _rules(rules: Sequence[Judged]) -> None:
    for rule in rules:
        verdict = "[bold red]blocks[/]" if rule.blocks else "[green]lets it pass[/]"
        out.print(f"{verdict}: {escape(str(rule))}{' (what is unknown blocks)' if rule.unknown else ''}")


def flow(found: Assessment) -> None:
    """What a data-flow model comes to."""
    states = found.states
    name = escape(found.model.name or "the model")
    potential = sum(t.potential for t in states.transitions)
    out.print(
        f"[bold]{name}[/]: {len(states.states):,} states, {len(states.transitions):,} transitions"
        f" ({potential:,} of them potential reads).\n"
    )
    if states.violations:
        made = table("What nobody agreed to", "transition", "flow", "why")
        told = {(t.action, t.actor, t.place, t.flow, t.violations): t for t in states.violations}
        for t in [*told.values()][:_MOST_ROWS]:
            what = f"{t.action} by {t.actor}" + (f", {t.place}" if t.place else "") + f": {', '.join(t.fields)}"
            made.add_row(
                escape(what), "potential" if t.flow is None else str(t.flow + 1), escape("; ".join(t.violations))
            )
        out.print(made, "")
    made = table("Risk transitions", "actor", "could predict", "from", "violations", "of", "highest share")
    for danger in found.dangers[:_MOST_ROWS]:
        risk = danger.risk
        made.add_row(
            escape(danger.actor), escape(danger.field), escape(", ".join(danger.fields)) or "nothing",
            "no data at hand" if risk is None else number(risk.violations), number(risk.records if risk else None),
            number(risk.highest if risk else None),
        )  # fmt: skip
    out.print(made if found.dangers else "There is no risk transition.")
    if len(found.dangers) > _MOST_ROWS:
        out.print(f"… and {len(found.dangers) - _MOST_ROWS:,} more; see them with --json")
    for (actor, field), danger in found.worst.items():
        if danger.risk:
            out.print(
                f"Worst for {escape(field)} with {escape(actor)}: {escape(', '.join(danger.fields)) or 'no field'},"
                f" {danger.violations:,} violations."
            )
    for note in states.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    _rules(found.rules)
