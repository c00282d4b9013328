"""What would be published, what was, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlanon.recoding.lines import dimensions
from sqlanon.refreshing import Refreshed, Standing
from sqlanon.showing.measures import models, totals, utility
from sqlanon.showing.terminal import escape, number, out, table

if TYPE_CHECKING:
    from sqlanon.check import Check
    from sqlanon.comparison import Comparison
    from sqlanon.life import Verified
    from sqlanon.planning import Planned
    from sqlanon.register import Logged
    from sqlanon.release import Release


def plan(planned: Planned) -> None:
    """What would be published."""
    found, source = planned.to_dict(), planned.plan.source
    if found["levels"] is not None:
        made = table("What each quasi-identifier becomes", "column", "level", "of", "hierarchy")
        for name, level in found["levels"].items():
            made.add_row(escape(name), str(level), str(source.height(name)), source.hierarchy(name).name)
    elif found["linked"] is not None:
        made = table("Two linked tables, identity not protected (anatomy)", "column", "published")
        for name in source.quasi_identifiers:
            made.add_row(escape(name), "as it is")
    else:
        made = table(f"What covers the values of a class ({found['method']})", "column", "published as")
        for dimension in dimensions(source):
            made.add_row(escape(dimension.name), escape(dimension.shown))
    out.print(made)
    out.print()
    out.print(models(found["models"], "What was promised, and what the plan comes to"))
    out.print()
    _transforms(planned)
    out.print(counts(found))
    if planned.usefulness:
        utility(planned.usefulness)
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def _transforms(planned: Planned) -> None:
    for transform in planned.plan.source.spec.transforms:
        out.print(f"{', '.join(transform.touched)}: {transform.told}.", markup=False)


def comparison(found: Comparison) -> None:
    """The ways of recoding side by side; the least loss is set off."""
    for ways, rows, what in ((found.sample, found.sample_rows, "a sample of"), (found.whole, found.rows, "all")):
        if not ways:
            continue
        title = f"Ways of recoding, on {what} {rows:,} records (GCP and loss: 0 nothing lost, 1 everything)"
        made = table(title, "way", "GCP", "loss", "classes", "records each", "suppressed", "seconds")
        least = min((way.gcp for way in ways if way.gcp is not None), default=None)
        for way in ways:
            numbers = (way.gcp, way.loss, way.classes, way.average_class_size, way.suppressed, way.seconds)
            best = "bold" if way.gcp is not None and way.gcp == least else None
            made.add_row(way.name, *map(number, numbers), style=best)
        out.print(made)
        out.print()
        for way in ways:
            if way.problem:
                out.print(f"[yellow]{way.name}:[/] {escape(way.problem)}")


def counts(found: dict[str, Any]) -> str:
    """Records, classes, usefulness and cost of a plan or release, in sentences."""
    share = found["suppressed"] / found["rows_in"] if found["rows_in"] else 0
    took = f"{found['seconds']:.2f} s"
    if found["nodes"] is not None:
        took = f"{found['nodes_checked']:,} of {found['nodes']:,} transformations counted in {took}"
    moved = f" {found['swaps']:,} pairs of records swapped, {found['noise_rows']:,} records of nobody added."
    more = moved if found["swaps"] or found["noise_rows"] else ""
    of_somebody = found["rows_out"] - found["noise_rows"]
    return (
        f"{of_somebody:,} of {found['rows_in']:,} records in {found['classes']:,} classes;"
        f" {found['suppressed']:,} suppressed ({share:.2%}).{more}\n"
        f"Usefulness: {totals(found['utility'])}.\n"
        f"{took}."
    )


def release(made: Release) -> None:
    """What was published."""
    found = made.to_dict()
    out.print(models(found["models"], "Measured on the published rows"))
    out.print()
    _transforms(made.planned)
    out.print(counts(found))
    if made.planned.usefulness:
        utility(made.planned.usefulness)
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    if isinstance(made, Refreshed):
        out.print(f"Refreshed from version {made.before}, with {'its' if made.frozen else 'a new'} plan.", markup=False)
    out.print(
        f"[bold green]Published[/] {escape(made.name)} version {made.entry.version} as {made.entry.kind}:"
        f" {escape(made.location)}"
    )


def verified(found: Verified) -> None:
    """What a release comes to today."""
    entry = found.entry
    out.print(models(found.to_dict()["models"], f"{entry.name} version {entry.version}: {found.rows:,} records"))
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    if entry.expired:
        out.print("[yellow]Note:[/] this release has expired; withdraw it")


def releases(found: Sequence[Standing]) -> None:
    """The register as a table."""
    made = table("Releases", "name", "version", "status", "as", "records", "released", "expires", "where")
    for one in found:
        e = one.entry
        expires = "–" if e.expires_at is None else f"{e.expires_at:%Y-%m-%d}{' (expired)' if e.expired else ''}"
        made.add_row(
            escape(e.name),
            str(e.version),
            f"{e.status}{', stale' if one.stale else ''}",
            e.kind,
            f"{e.rows_out:,}",
            f"{e.released_at:%Y-%m-%d %H:%M}",
            expires,
            escape(e.location),
        )
    out.print(made if found else "There are no releases here.")
    for one in found:
        if one.refresh_recommended:
            out.print(f"{one.entry.name}: its source has changed; sqlanon refresh publishes it again.", markup=False)


def log(found: Sequence[Logged]) -> None:
    """The audit log as a table."""
    made = table("Who did what, the latest first (UTC)", "at", "by", "did", "name", "version", "how")
    for line in found:
        at = f"{line.at:%Y-%m-%d %H:%M:%S}"
        made.add_row(at, escape(line.by), line.action, escape(line.name), str(line.version), escape(line.detail))
    out.print(made if found else "Nothing was released here.")


def demo(directory: Path, file: Path, before: Check, made: Release, after: Check, page: Path) -> None:
    """The example, step by step."""
    keys, database = before.quasi_identifiers, directory / "clinic.duckdb"
    out.print(
        f"[bold]1. The table[/]  {directory / 'patients.csv'}: {before.rows:,} hospital stays. Names are in it, but"
    )
    out.print(
        f"   leave them out and {before.classes:,} combinations of {', '.join(keys)} still tell most people apart."
    )
    out.print(f"[bold]2. The spec[/]   {file}: what each column is, and what must hold. Open it, it is short.\n")
    ways = made.planned.to_dict()["nodes"]
    out.print(f"[bold]3. The plan[/]   the least loss that satisfies every model, of {ways:,} ways.\n")
    plan(made.planned)
    out.print(f"\n[bold]4. The release[/]  table {made.name} in {database}, measured again on its own rows first.\n")
    compared = table("Before and after", "measure", "patients.csv", made.name)
    for one, two in zip(before.to_dict()["models"], after.to_dict()["models"], strict=True):
        words = [str(value) for value in one["parameters"].values()]
        compared.add_row(" ".join([one["model"], *words]), number(one["value"]), number(two["value"]))
    out.print(compared)
    out.print(
        f"\n[bold]5. The report[/]   {page}: open it; it is for who signs the release, and tells no small number."
    )
    url = f"duckdb:///{database}"
    out.print("\n[bold]Next[/]")
    for line in (
        f"sqlanon plan {file} --sql            # the SQL that a DBA can review",
        f"sqlanon verify {made.name} --db {url}   # measure it again, any time",
        "edit the spec (k: 10, or t: 0.25) and run: " + f"sqlanon release {file} --db {url}",
        "sqlanon init YOUR.csv -o spec.yaml   # a spec for your own table",
    ):
        out.print(f"  {line}", markup=False)


_BAR, _MOST_ROWS = 30, 40
