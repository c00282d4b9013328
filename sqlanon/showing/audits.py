"""What an audit found, and what several releases tell together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlanon.showing.terminal import escape, number, out, table

if TYPE_CHECKING:
    from sqlanon.auditing import Audited
    from sqlanon.ledger import Ledger


def audited(found: Audited) -> None:
    """Findings and notes, each with its object, and what could not be seen."""
    made = table(f"Audit of {found.url}: {found.releases} releases", "rule", "object", "what", "see")
    for one in found.found:
        style = "bold red" if one.level == "finding" else "dim"
        made.add_row(f"[{style}]{one.rule}[/]", escape(one.object), escape(one.told), escape(one.why))
    for column in made.columns:
        column.justify = "left"
    if found.found:
        out.print(made)
    for unseen in found.unseen:
        out.print(f"[yellow]Not seen:[/] {escape(unseen)}")
    sources = ", ".join(map(escape, found.sources)) or "not known"
    out.print(f"Sources: {sources}.")
    if found.clean:
        out.print("[green]No finding.[/] What was not seen may hold one.")
    else:
        out.print(f"[bold red]{len(found.findings)} findings.[/] The SQL that mends them: sqlanon audit URL --fix")


def ledger(found: Ledger) -> None:
    """Each set of releases that somebody has: what it leaves, which bounds it breaks."""
    for line in found.lines:
        names = ", ".join(f"{name} {version}" for name, version in line.releases)
        audience = ", ".join(line.audience) or "everybody who can open the file"
        made = table(f"{names}, of {line.source}, for {audience}", "column", "targets", "candidates", "values left",
                     "one left", "changed", "m")  # fmt: skip
        for one in line.left:
            numbers = (one.targets, one.candidates, one.values, one.few, one.moved, one.invariance)
            made.add_row(escape(one.column or "none"), *map(number, numbers))
        if line.left:
            out.print(made)
        if line.reason:
            out.print(f"[bold red]Not known[/] what {escape(names)} tell together: {escape(line.reason)}")
        for told in line.broken:
            out.print(f"[bold red]Not kept:[/] {escape(told)}")
        if line.gone:
            gone = ", ".join(f"{name} {version}" for name, version in line.gone)
            out.print(f"[yellow]Not weighed:[/] {escape(gone)}, which readers may have kept")
    if not found.lines:
        out.print("Nobody has two releases of one source.")
