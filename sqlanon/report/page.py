"""The report as one page that needs nothing beside itself: it opens from a file, prints, and asks no network.

A strict content security policy is part of the page: no script runs but those whose digest it names, so that not even
a hole in the escaping would let a value of a table run. Whatever a chart shows stands in a table too.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

from sqlanon.report import charts, flows, lattices
from sqlanon.report.drawing import Chart, Facts
from sqlanon.report.words import count, finite, legible, lines, moment, number, share, shortened, signed

if TYPE_CHECKING:
    import jinja2


class Told(Protocol):
    """A report, as far as a page is concerned."""

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Verdict:
    """What a page says first: `state` is holds, fails or unknown; `said` is for reading aloud."""

    state: str
    said: str
    more: str


@dataclass(frozen=True)
class Section:
    """A part of the page. `lead` says what one sees and what would be bad; `part` is the fact that it needs."""

    name: str
    title: str
    lead: str
    part: str | None = None


SECTIONS = (
    Section("promises", "Promised and measured",
            "What was promised, beside what was measured on the rows themselves. A promise that does not hold would be"
            " bad: then nothing may be handed over.", "models"),
    Section("columns", "What was done to each column",
            "How each column was made coarser, or left out. A column that names people and is still published would be"
            " bad.", "columns"),
    Section("classes", "How many records look alike",
            "Records that share every published quasi-identifier form a class; a person hides among the others of it."
            " Tall bars at the left, in small classes, would be bad.", "classes"),
    Section("risk", "The risk of being found",
            "How likely it is that somebody picks out a person's record, before and after. An after bar that is as long"
            " as the one before would be bad: then nothing was gained.", "risk"),
    Section("predictions", "What can be predicted of a person",
            "How many records have a sensitive value that other fields give away, within a margin. Every record left"
            " after would be bad.", "value_prediction"),
    Section("attacks", "Attacks that were tried",
            "Known attacks, run against these rows. A breach is no broken promise, but it is what an attacker would"
            " learn; a breach that nobody expected would be bad.", "attacks"),
    Section("distributions", "What the values look like now",
            "The values of each column before and after. Where the two differ much, conclusions drawn from the"
            " release would be wrong.", None),
    Section("correlations", "What hangs together",
            "How strongly each pair of columns hangs together, before and after. A strong link that has turned weak"
            " would be bad for research.", "correlations"),
    Section("search", "How the solution was found",
            "Every way of generalizing that was looked at, least at the bottom. A chosen way (diamond) that stands far"
            " above the lowest one that holds would be bad: more was lost than had to be.", "search"),
    Section("methods", "Other ways that were compared",
            "What each way of recoding would lose, and which risk it would leave. A way to the lower left of the"
            " chosen one would be bad: it would have been better in both.", "methods"),
    Section("fields", "Which fields give a value away",
            "How many records' sensitive value can be predicted from each set of fields. A long bar for fields that"
            " many people know would be bad.", "fields"),
    Section("repairs", "What was moved and added",
            "Values that were swapped between records, and records of nobody that were added, so that the promises"
            " hold. Large shares would be bad for research.", "repairs"),
    Section("flow", "Where the data go",
            "Who gets the data, step by step. A step marked as a risk, from which on somebody could predict a sensitive"
            " value, would be bad.", "flow"),
    Section("limits", "What this does not protect against",
            "What stays possible although every promise holds. It would be bad to hand the data over to somebody who"
            " can do one of these.", "limits"),
    Section("standards", "What standards ask",
            "Questions of the usual standards, and what was measured that answers them. A question that is not answered"
            " is no breach, but somebody has to answer it.", "standards"),
    Section("history", "History",
            "Who did what with this release, the latest first. A line that nobody can explain would be bad.",
            "history"),
    Section("reproduce", "How to check this yourself",
            "The commands that measure everything on this page again. A different result would be bad: then the rows"
            " are not those of this report.", "reproduce"),
)  # fmt: skip

_PARTS = {section.part: section.title for section in SECTIONS if section.part}

# What is measured of these has to reach the bound; of all other models it must not go beyond it.
AT_LEAST = frozenset({
    "k-anonymity", "k-map", "k-m-anonymity", "k-e-anonymity", "l-diversity", "p-sensitivity", "p-plus-sensitivity",
    "p-alpha-sensitivity", "extended-p-sensitivity", "balanced-p-plus-sensitivity", "theta-sensitivity", "safepub",
})  # fmt: skip


def html(report: Told | Facts) -> str:
    """The page of a report, or of its `to_dict()`: HTML text of about a megabyte, most of it the scripts of charts."""
    facts = _slim(dict(report if isinstance(report, Mapping) else report.to_dict()))
    drawn, room = _drawn(facts), _room(facts.get("rounding") or facts["minimum_cell"])
    scripts = (*(_vendored() if drawn else ()), _text("page.js"))
    style = room.get_template("page.css").render()
    shown = [section for section in SECTIONS if _has(facts, section)]
    return room.get_template("page.html").render(
        report=facts, sections=shown, verdict=verdict(facts), missing=_missing(facts, shown), charts=drawn,
        specs={name: chart.spec for name, chart in drawn.items()}, scripts=scripts, style=style,
        policy=_policy(scripts, style), flow=_image(facts),
    )  # fmt: skip


MOST_SQL = 800_000  # characters of all SQL on a page


def _slim(facts: dict[str, Any]) -> dict[str, Any]:
    """The same without the SQL of the measures beyond the most that a page holds, which says so."""
    told, models = 0, []
    for model in facts.get("models") or ():
        told += len(model.get("sql") or "")
        over = told > MOST_SQL and model.get("sql")
        models.append({**model, "sql": None, "note": _ELSEWHERE} if over else model)
    return {**facts, "models": models}


_ELSEWHERE = "there is too much SQL for one page: --format md or json has that of this measure too"


def verdict(facts: Facts) -> Verdict:
    """The first thing that is said. Only if everything promised was measured, finite, and holds, does it say so."""
    models: Sequence[Facts] = facts.get("models") or ()
    unjudged = [model for model in models if model["holds"] is None]
    failing = [model for model in models if model["holds"] is not None and not holds(model)]
    told = facts.get("summary") or {}
    notes = " ".join(f"{note[0].upper()}{note[1:].removesuffix('.')}." for note in told.get("notes") or ())
    if (facts["holds"] is None and not failing) or (facts["holds"] is True and not models):
        said = "Not every promise was judged." if notes else "Nothing was judged."
        why = f"{notes} What was not judged is neither safe nor unsafe." if notes else _UNBOUND
        return Verdict("unknown", said, why)
    if failing or facts["holds"] is not True:
        return Verdict("fails", _failing(len(failing), len(models)), f"{notes} Do not hand these rows over.".strip())
    if told.get("expired") or "was withdrawn" in notes or "was superseded" in notes:
        return Verdict("fails", "This release is not to be used any more.", f"{notes} The promises hold on its rows.")
    if unjudged:
        open_ = f"{len(unjudged)} of {len(models)} promises could not be judged."
        return Verdict("unknown", open_, "What was not judged is neither safe nor unsafe.")
    many = "The promise holds." if len(models) == 1 else f"All {len(models)} promises hold."
    return Verdict("holds", many, _HELD[facts["kind"]])


def _failing(failing: int, models: int) -> str:
    if not failing:
        return "What was promised does not hold."
    return (
        "The promise does not hold."
        if models == 1
        else f"{failing} of {models} promises do{'es' * (failing == 1)} not hold."
    )


_UNBOUND = "No bound was set, so this page says neither safe nor unsafe."
_HELD = {
    "release": "This was measured on the very rows that were published.",
    "plan": "This is a plan: nothing was published yet. The rows will be measured again when they are.",
    "relation": "This was measured on the rows of the relation as they are.",
}


def holds(model: Facts) -> bool:
    """Whether a model holds, as far as a page may say so: no number that is none ever does.

    A report hides a measure that would tell a small count (None); who judged has seen it, so that the verdict stands.
    """
    return model["holds"] is True and (model["value"] is None or finite(model["value"]) is not None)


def gauge(model: Facts) -> dict[str, float | bool] | None:
    """Where the measure and the bound stand on a scale from 0 to 100, and on which side it is allowed."""
    value, bound = finite(model["value"]), finite(model["bound"])
    if value is None or bound is None or min(value, bound) < 0:
        return None
    most = 1.25 * max(value, bound) or 1.0
    return {"value": 100 * value / most, "bound": 100 * bound / most, "upwards": upwards(model), "most": most}


def upwards(model: Facts) -> bool:
    """Whether more is better."""
    return model["model"] in AT_LEAST


def _has(facts: Facts, section: Section) -> bool:
    if section.name == "distributions":
        return any(column.get("distribution") for column in facts.get("columns") or ())
    return bool(facts.get(section.part or ""))


def _missing(facts: Facts, shown: Sequence[Section]) -> list[tuple[str, str]]:
    """What is not on the page, and why; a part without a reason is named all the same."""
    told = [(_PARTS.get(one["part"], str(one["part"])), one["why"]) for one in facts.get("missing") or ()]
    known = {part for part, _ in told} | {section.title for section in shown}
    return told + [(title, "there is nothing to tell") for title in _PARTS.values() if title not in known]


def _drawn(facts: Facts) -> dict[str, Chart]:
    """Every chart of the page, by its name."""
    k = max((model["bound"] for model in facts.get("models") or () if model["model"] == "k-anonymity"), default=None)
    found = [
        charts.class_sizes(facts.get("classes"), finite(k)), charts.risks(facts.get("risk"), facts["minimum_cell"]),
        charts.predictions(facts.get("value_prediction")), charts.attacks(facts.get("attacks")),
        *(charts.distribution(column, at) for at, column in enumerate(facts.get("columns") or ())),
        *charts.correlations(facts.get("correlations")), lattices.lattice(facts.get("search")),
        lattices.tradeoff(facts.get("search")), lattices.methods(facts.get("methods")),
        charts.fields(facts.get("fields")), flows.picture(facts.get("flow")),
    ]  # fmt: skip
    return {chart.name: chart for chart in found if chart is not None}


def _image(facts: Facts) -> str | None:
    """The picture of the data flow as an image, in which no script can run."""
    svg = (facts.get("flow") or {}).get("svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" if svg else None


def _policy(scripts: Sequence[str], style: str) -> str:
    """What the browser may do with this page: run its own scripts, and nothing else."""
    allowed = " ".join(_digest(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return (resources.files("sqlanon.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _vendored() -> tuple[str, ...]:
    """The scripts that draw charts, in the order in which they need each other."""
    room = resources.files("sqlanon.report") / "vega"
    manifest = json.loads((room / "manifest.json").read_text(encoding="utf-8"))
    return tuple((room / one["file"]).read_text(encoding="utf-8") for one in manifest["files"])


@lru_cache(maxsize=16)
def _room(rounding: int) -> jinja2.Environment:
    """The templates for counts that are told as multiples of `rounding`; what comes from outside is escaped.

    Kept, because to compile them takes longer than to fill them in.
    """
    import jinja2

    room = jinja2.Environment(
        loader=jinja2.PackageLoader("sqlanon.report"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    room.policies["json.dumps_kwargs"] = {"allow_nan": False}  # a browser could not read it
    filters: dict[str, Callable[..., object]] = {
        "text": legible, "number": number, "share": share, "shortened": shortened, "signed": signed,
        "moment": moment, "lines": lines,
        "count": lambda value: count(value, rounding),
    }  # fmt: skip
    room.filters |= filters
    room.globals |= {
        "holds": holds, "finite": finite, "gauge": gauge, "upwards": upwards,
        "span": charts.span, "risks": charts.RISKS, "inside": charts.inside, "two_sided": charts.signed,
        "said_of": lattices.MARKS_SAID, "levels": lattices.levels, "nodes_shown": lattices.nodes_shown,
        "steps_of": flows.steps, "counted": flows.counted, "loss": lattices.loss,
    }  # fmt: skip
    return room
