"""What an audit found, and what several releases tell together."""

from __future__ import annotations

from sqlanon.auditing import Audited
from sqlanon.showing.terminal import escape, out, table


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
