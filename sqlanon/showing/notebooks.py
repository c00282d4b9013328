"""What a result looks like in a notebook: a verdict, tables, bars. No script, for notebooks take them out; no style of
its own beyond attributes, so that it takes the colours of whatever page it is on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, singledispatch
from typing import TYPE_CHECKING, Any

from sqlanon.attacks import Attacked
from sqlanon.auditing import Audited
from sqlanon.check import Check
from sqlanon.comparison import Comparison
from sqlanon.exploring import Explored
from sqlanon.life import Verified
from sqlanon.planning import Planned
from sqlanon.prediction import Risk as Predicted
from sqlanon.recoding.lines import dimensions
from sqlanon.refreshing import Refreshed
from sqlanon.release import Release
from sqlanon.risk import Risk
from sqlanon.showing.measures import totals
from sqlanon.showing.releases import counts
from sqlanon.showing.terminal import number, printable, share
from sqlanon.utility import Utility

if TYPE_CHECKING:
    import jinja2

MOST_ROWS = 20


@dataclass(frozen=True)
class Bar:
    """A share as a bar with its number; a bad one is drawn as such."""

    share: float | None
    told: str
    bad: bool = False

    @property
    def width(self) -> float:
        """Of 100."""
        known = self.share is not None and math.isfinite(self.share)
        return 100 * min(max(self.share or 0.0, 0.0), 1.0) if known else 0.0


Row = tuple["str | Bar", ...]


@dataclass(frozen=True)
class Table:
    """Rows under their heads."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]
    more: int = 0


@dataclass(frozen=True)
class Sheet:
    """What is shown of one result. `holds` is None where nothing was judged, and then `said` says what it is."""

    title: str
    holds: bool | None
    said: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


def html(result: object) -> str:
    """A result as a piece of HTML; whatever is in it is text."""
    return _template().render(sheet=sheet(result))


@cache
def _template() -> jinja2.Template:
    import jinja2

    room = jinja2.Environment(
        loader=jinja2.PackageLoader("sqlanon.showing"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    room.filters["text"] = printable
    return room.get_template("notebook.html")


@singledispatch
def sheet(result: object) -> Sheet:
    """What is shown of a result. Raises `TypeError` for what has no picture."""
    raise TypeError(f"a {type(result).__name__} has no picture")


def _table(caption: str, heads: str, rows: Iterable[Sequence[str | Bar]]) -> Table:
    told = tuple(tuple(row) for row in rows)
    return Table(caption, tuple(heads.split("|")), told[:MOST_ROWS], max(len(told) - MOST_ROWS, 0))


def _verdict(models: Sequence[Mapping[str, Any]]) -> tuple[bool | None, str]:
    """Whether everything promised holds, in words; nothing promised is no verdict."""
    judged = [model for model in models if model["holds"] is not None]
    failing = [model for model in judged if model["holds"] is not True]
    if not judged:
        return None, "Nothing was judged."
    if failing:
        many = f"{len(failing)} of {len(judged)} promises are not kept."
        return False, "The promise is not kept." if len(judged) == 1 else many
    return True, "The promise holds." if len(judged) == 1 else f"All {len(judged)} promises hold."


def _models(models: Sequence[Mapping[str, Any]], caption: str) -> Table:
    judged = any(model["holds"] is not None for model in models)
    rows = [(_called(model), number(model["value"]), *_judgement(model) * judged) for model in models]
    return _table(caption, "model|measured" + "|bound|verdict|not kept in" * judged, rows)


def _called(model: Mapping[str, Any]) -> str:
    """A model or an attack as a line calls it."""
    words = ", ".join(f"{key} {value}" for key, value in model["parameters"].items())
    name = model.get("model") or model["attack"]
    return " ".join(filter(None, [name, model["column"] and f"of {model['column']}", words and f"({words})"]))


def _judgement(model: Mapping[str, Any]) -> tuple[str, ...]:
    state = _said(model["holds"], "✓ holds", "✗ does not hold")
    off = f"{number(model['classes_violating'])} classes, {number(model['rows_violating'])} records"
    return number(model["bound"]), state, "–" if model["holds"] else off


def _said(good: object, yes: str, no: str) -> str:
    """A verdict in one line; what was not judged is neither."""
    return ("not judged" if good is None else yes if good is True else no).replace(" ", "\u00a0")


@sheet.register
def _(planned: Planned) -> Sheet:
    found = planned.to_dict()
    holds, said = _verdict(found["models"])
    return _made(planned, found, f"Plan of {found['release'] or 'a release'}", holds, f"{said} Nothing was published.")


@sheet.register
def _(made: Release) -> Sheet:
    found = made.to_dict()
    holds, said = _verdict(found["models"])
    before = f" in place of version {made.before}" if isinstance(made, Refreshed) else ""
    said = f"{said} Published as {made.entry.kind} {made.location}{before}."
    return _made(made.planned, found, f"{made.name}, version {made.entry.version}", holds, said)


def _made(planned: Planned, found: dict[str, Any], title: str, holds: bool | None, said: str) -> Sheet:
    tables = [_models(found["models"], "Promised and measured"), _columns(planned, found)]
    if planned.usefulness:
        tables += _lost(planned.usefulness)
    return Sheet(title, holds, said, (*counts(found).splitlines(), *found["notes"]), tuple(tables))


def _columns(planned: Planned, found: dict[str, Any]) -> Table:
    source = planned.plan.source
    if found["levels"] is None:
        shown = ((one.name, one.shown) for one in dimensions(source))
        return _table("What covers the values of a class", "column|published as", shown)
    heights = {name: source.height(name) for name in found["levels"]}
    rows = [
        (name, Bar(level / max(heights[name], 1), f"{level} of {heights[name]}"), source.hierarchy(name).name)
        for name, level in found["levels"].items()
    ]
    return _table("What each quasi-identifier becomes", "column|level|hierarchy", rows)


@sheet.register
def _(found: Check) -> Sheet:
    told = found.to_dict()
    holds, said = (None, "Nothing was judged.") if found.holds is None else _verdict(told["models"])
    tables = [_models(told["models"], "Measured"), *(_lost(found.utility) if found.utility else ())]
    line = f"{found.rows:,} records in {found.classes:,} classes of {', '.join(found.quasi_identifiers) or 'nothing'}."
    return Sheet(found.source, holds and found.holds, said, (line,), tuple(tables))


@sheet.register
def _(found: Verified) -> Sheet:
    told = found.to_dict()
    holds, said = _verdict(told["models"])
    if found.unchanged is False:
        holds, said = False, "Its rows are not those that were judged."
    if found.entry.expired:
        said = f"{said} This release has expired; withdraw it."
    title = f"{found.entry.name}, version {found.entry.version}, measured again"
    lines = (f"{found.rows:,} records.", *found.notes)
    good = holds and found.holds and not found.entry.expired
    return Sheet(title, good, said, lines, (_models(told["models"], "Measured today"),))


@sheet.register
def _(found: Risk) -> Sheet:
    scenarios = {"prosecutor": found.prosecutor, "journalist": found.journalist}
    rows = [
        (name, _share(one.above, bad=one.above > 0), _share(one.highest), _share(one.average))
        for name, one in scenarios.items()
        if one is not None
    ]
    costs = [
        (cost.column, _share(cost.average_risk), share(cost.above), f"{cost.uniques:,}")
        for cost in sorted(found.costs, key=lambda cost: -cost.average_risk)
    ]
    tables = (
        _table("Who could be found", "attacker|at risk|highest|average", rows),
        _table("What each column costs: how far it falls without it", "column|average risk|at risk|unique", costs),
    )
    above = f"at risk is what can be found with a chance above {share(found.threshold)}"
    lines = (f"{found.size:,} {found.units} in {found.classes:,} classes; {above}.", *found.notes)
    return Sheet(found.source, None, "Risks are told, not judged.", lines, tables)


def _share(value: float | None, *, bad: bool = False) -> Bar:
    return Bar(value, share(value), bad)


@sheet.register
def _(found: Attacked) -> Sheet:
    told = [outcome.to_dict() for outcome in found.outcomes]
    ran = [one for one in told if one["ran"]]
    rows = [
        (
            _called(one),
            _said(not one["breached"], "✓ no breach", "✗ breach"),
            _breached(one),
            one["countered_by"] or "–",
        )
        for one in ran
    ]
    breached = sum(bool(one["breached"]) for one in ran)
    said = f"{breached} of {len(ran)} attacks breach something. This is information: nothing was judged."
    unrun = tuple(f"Not run: {one['attack']}: {one['reason']}" for one in told if not one["ran"])
    table = _table("What the attacks learnt", "attack||records breached|countered by", rows)
    return Sheet(f"Attacks on {found.source}", None, said, (*found.notes, *unrun), (table,))


def _breached(one: Mapping[str, Any]) -> Bar:
    told = f"{number(one['records_breached'])} ({share(one['records_share'])})"
    return Bar(one["records_share"], told, bool(one["breached"]))


@sheet.register
def _(found: Utility) -> Sheet:
    lines = (
        f"{found.records:,} records, of which {found.suppressed:,} are suppressed.",
        f"{totals(found.to_dict())}.",
    )
    return Sheet("Usefulness", None, "What is left of the source.", lines, tuple(_lost(found)))


def _lost(found: Utility) -> list[Table]:
    rows: list[Row] = []
    for name, shift in found.distribution_shift.items():
        lost = found.losses.columns.get(name)
        parts = (lost.ncp if lost else None, shift.total_variation if shift else None)
        rows.append((name, *(Bar(part, number(part)) for part in parts)))
    caption = "What each column lost, and how far its values moved (0 nothing, 1 everything)"
    return [_table(caption, "column|lost|moved", rows)]


def _predicted(found: Predicted, records: int) -> Bar:
    part = found.violations / records if records else None
    return Bar(part, f"{found.violations:,} ({share(part)})", found.violations > 0)


@sheet.register
def _(found: Explored) -> Sheet:
    records = found.rows - found.missing
    rows = [
        (", ".join(row.risk.fields) or "nothing", _predicted(row.risk, records), number(row.risk.highest))
        for row in found.subsets
    ]
    most = max((float(abs(cost.average)) for cost in found.costs), default=0.0) or 1.0
    costs = [
        (cost.field, Bar(float(cost.average) / most, number(float(cost.average))), f"{cost.alone:,}", f"{cost.last:,}")
        for cost in found.costs
    ]
    tables = [_table(f"Records whose {found.target.column} can be predicted", "from|violations|highest share", rows)]
    if costs:
        tables.append(_table("What each field costs, in violations", "field|on average|alone|beside all others", costs))
    rules = tuple(f"{'✗ blocks' if rule.blocks else '✓ lets it pass'}: {rule}" for rule in found.rules)
    holds = not found.blocked if found.rules else None
    said = ("A rule blocks." if found.blocked else "The rules let it pass.") if found.rules else "No rule was given."
    return Sheet(f"{found.source}: {found.target.column}", holds, said, rules, tuple(tables))


@sheet.register
def _(found: Comparison) -> Sheet:
    both = [(found.sample, f"a sample of {found.sample_rows:,} records"), (found.whole, f"all {found.rows:,} records")]
    heads = "way|information lost (GCP)|classes|suppressed|seconds|"
    tables = [
        _table(f"Ways of recoding, on {what}", heads, [
            (way.name, Bar(way.gcp, number(way.gcp)), number(way.classes), number(way.suppressed), number(way.seconds),
             way.problem or "")
            for way in ways
        ])
        for ways, what in both if ways
    ]  # fmt: skip
    return Sheet("Ways of recoding", None, "What each way loses, to compare. Nothing was published.", (), tuple(tables))


@sheet.register
def _(found: Audited) -> Sheet:
    rows = [(one.level, one.rule, one.object, one.told) for one in found.found]
    said = "No finding. What was not seen may hold one." if found.clean else f"{len(found.findings)} findings."
    lines = tuple(f"Not seen: {one}" for one in found.unseen)
    tables = (_table("What was found", "|rule|object|what", rows),) if rows else ()
    return Sheet(f"Audit of {found.url}", found.clean and (None if found.unseen else True), said, lines, tables)
