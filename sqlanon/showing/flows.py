"""What can be predicted, and where data flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from sqlanon.showing.terminal import escape, number, out, table

if TYPE_CHECKING:
    from sqlanon.exploring import Explored
    from sqlanon.flow.risks import Assessment
    from sqlanon.rules import Judged
    from sqlanon.statistics import Change

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
        changes(found.utility)
    _rules(found.rules)


def changes(found: Change) -> None:
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
