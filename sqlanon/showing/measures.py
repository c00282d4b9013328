"""What was measured of a relation: models, usefulness, risks, attacks, presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from sqlanon.showing.terminal import escape, number, out, share, table

if TYPE_CHECKING:
    from sqlanon.attacks import Attacked
    from sqlanon.check import Check
    from sqlanon.presets import Preset
    from sqlanon.risk import Risk
    from sqlanon.safe_harbor import SafeHarbor
    from sqlanon.suda import Suda
    from sqlanon.utility import Utility

SHOWN_SUBSETS = 15


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


def attacked(found: Attacked) -> None:
    """What the attacks learnt: how much each breaches, where that starts, and which model counters it."""
    title = f"{found.source}: {found.rows:,} records in {found.classes:,} classes"
    made = table(title, "attack", "records breached", "of", "classes breached", "breach starts at", "countered by")
    outcomes = [outcome.to_dict() for outcome in found.outcomes]
    for told in outcomes:
        if not told["ran"]:
            continue
        starts = "; ".join(f"{s['parameter']} {s['relation']} {number(s['value'])}" for s in told["starts"])
        style = "bold red" if told["breached"] else "green"
        made.add_row(
            escape(_called(told)), Text(number(told["records_breached"]), style=style), number(told["records"]),
            number(told["classes_breached"]), starts or "–", escape(told["countered_by"] or "–"),
        )  # fmt: skip
    out.print(made)
    for told in outcomes:
        if "rate" in told["details"]:
            found_rate = told["details"]
            share = f"{found_rate['rate']:.2%} ({found_rate['rate_is']})"
            out.print(f"Re-identification rate {share}; {found_rate['unique']:,} people have one candidate only.")
        for note in told["notes"]:
            out.print(f"[yellow]Note:[/] {escape(_called(told))}: {escape(note)}")
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    for told in outcomes:
        if not told["ran"]:
            out.print(f"[dim]Not run:[/] {escape(_called(told))}: {escape(told['reason'])}")


def _called(told: dict[str, Any]) -> str:
    """An attack as a line calls it."""
    words = ", ".join(f"{key} {value}" for key, value in told["parameters"].items())
    return " ".join(filter(None, [told["attack"], told["column"] and f"of {told['column']}", words and f"({words})"]))


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
