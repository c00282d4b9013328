"""A report as Markdown: for a merge request, a wiki, a mail. Names from outside are text, and never an instruction."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlanon.report import Report
from sqlanon.report.words import share

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$-])")
_MOST_NODES = 20


def markdown(found: Report) -> str:
    """The whole report as Markdown text."""
    parts = [
        _head(found), _models(found), _columns(found), _risk(found), _attacks(found), _predictions(found),
        _correlations(found), _search(found), _methods(found), _flow(found), _limits(found), _standards(found),
        _again(found), _missing(found),
    ]  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def _text(value: object) -> str:
    """Anything as Markdown text on one line; a number as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    plain = "".join(c if c.isprintable() else " " for c in str(value))
    return _SPECIAL.sub(r"\\\1", plain)


def _few(value: object, found: Report) -> str:
    """A number of records, where nothing means few."""
    return f"fewer than {found.rounding}" if value is None else _text(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _code(text: str, language: str) -> Iterator[str]:
    """A block of code; its fence is longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    yield from (f"{fence}{language}", *text.rstrip("\n").split("\n"), fence, "")


def _head(found: Report) -> Iterator[str]:
    yield f"# {_text(found.title)}"
    yield ""
    made = [f"source {_text(found.source)}", _text(found.engine), f"made {_text(found.made_at)}"]
    made += [f"by {_text(found.made_by)}"] if found.made_by else []
    made += [f"version {found.version}"] if found.version else []
    yield ", ".join([*made, f"sqlanon {_text(found.sqlanon)}"]) + "."
    yield ""
    yield from (f"- {_text(sentence)}" for sentence in found.summary["sentences"])
    yield ""


def _models(found: Report) -> Iterator[str]:
    yield "## What was promised, and measured"
    yield ""
    rows = [
        (_text(m["model"]), _text(m["column"] or ""), _text(m["bound"]), _text(m["value"]), _text(m["margin"]),
         {True: "holds", False: "**does not hold**", None: "not asked"}[m["holds"]]) for m in found.models
    ]  # fmt: skip
    yield from _table(("model", "column", "bound", "worst group", "margin", ""), rows)
    for m in found.models:
        yield f"**{_text(m['model'])}{' of ' + _text(m['column']) if m['column'] else ''}.** {_text(m['meaning'])}"
        yield f"Against: {_text(m['protects_against'])}. Not against: {_text(m['not_against'])}. ({_text(m['paper'])})"
        if m["note"]:
            yield f"Note: {_text(m['note'])}."
        yield ""
        if m["sql"]:
            yield from _code(m["sql"], "sql")


def _columns(found: Report) -> Iterator[str]:
    yield "## What was done to each column"
    yield ""
    rows = [
        (_text(c["name"]), _text(c["role"]), _text(c["how"]), _share(c["loss"]),
         "; ".join(f"{_text(e['before'])} → {_text(e['after'])}" for e in c["examples"]))
        for c in found.columns
    ]  # fmt: skip
    yield from _table(("column", "role", "what was done", "lost", "examples"), rows)
    for c in found.columns:
        if c["distribution"]:
            yield from _distribution(c, found)


def _distribution(column: Mapping[str, Any], found: Report) -> Iterator[str]:
    shown = column["distribution"]
    yield f"### {_text(column['name'])}"
    yield ""
    before = shown["before"] or [None] * len(shown["labels"])
    rows = [
        (_text(label), _few(was, found) if shown["before"] else "–", _few(now, found))
        for label, was, now in zip(shown["labels"], before, shown["after"], strict=True)
    ]
    yield from _table(("value", "records before", "records after"), rows)


def _risk(found: Report) -> Iterator[str]:
    yield "## Finding a person"
    yield ""
    if found.classes:
        c = found.classes
        yield (
            f"Groups: smallest {_few(c['smallest'], found)}, median {_few(c['median'], found)}, mean"
            f" {_text(c['mean'])}, largest {_few(c['largest'], found)} {found.risk['units']}."
        )  # fmt: skip
        yield ""
        rows = [(f"{b['from']}–{b['to']}", _text(b["classes"]), _few(b["records"], found)) for b in c["bins"]]
        yield from _table(("size", "groups", found.risk["units"]), rows)
    least = f"above {share(1 / found.minimum_cell)}"
    told: list[tuple[str, ...]] = []
    for name, when in (("before", found.risk["before"]), ("after", found.risk["after"])):
        for who in ("prosecutor", "journalist"):
            if when and when[who]:
                s = when[who]
                highest = least if s["highest"] is None else _share(s["highest"])
                told.append((name, who, highest, _share(s["average"]), _share(s["at_risk_share"])))
    yield from _table(("", "attacker", "highest risk", "average", f"records above {found.risk['threshold']:.0%}"), told)
    if found.risk["note"]:
        yield f"{_text(found.risk['note'])}."
        yield ""


def _attacks(found: Report) -> Iterator[str]:
    yield "## Attacks"
    yield ""
    rows = [
        (_text(a["attack"]), _text(a["column"] or ""), "breached" if a["breached"] else "withstood",
         _few(a["records"], found), _share(a["share"]), _text(a["counter"])) for a in found.attacks or [] if a["ran"]
    ]  # fmt: skip
    yield from _table(("attack", "column", "", "records", "share", "what stops it"), rows)
    idle = [f"{_text(a['attack'])} ({_text(a['reason'])})" for a in found.attacks or [] if not a["ran"]]
    if idle:
        yield f"Not tried: {'; '.join(idle)}."
        yield ""


def _predictions(found: Report) -> Iterator[str]:
    if not found.value_prediction:
        return
    yield "## Predicting a value"
    yield ""
    rows = [
        (_text(p["column"]), _text(p["margin"]), _text(p["threshold"]), _share(p["share_before"]),
         _share(p["share_after"]), _few(p["violations_after"], found)) for p in found.value_prediction
    ]  # fmt: skip
    yield from _table(("column", "margin", "threshold", "before", "after", "records after"), rows)
    if found.fields:
        known = [(", ".join(map(_text, s["fields"])) or "nothing", _few(s["violations"], found), _share(s["share"]))
                for s in found.fields["subsets"][:_MOST_NODES]]  # fmt: skip
        yield from _table(("who knows", "records", "share"), known)


def _correlations(found: Report) -> Iterator[str]:
    if not found.correlations:
        return
    yield "## How columns go together"
    yield ""
    names, c = found.correlations["columns"], found.correlations
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    rows = [
        (_text(names[j]), _text(names[i]), _text((c["measure"][i][j] or "").replace("_", " ")),
         _text(c["before"][i][j]), _text(c["after"][i][j])) for i, j in pairs
    ]  # fmt: skip
    yield from _table(("", "", "measure", "before", "after"), rows)


def _search(found: Report) -> Iterator[str]:
    if not found.search:
        return
    yield "## The search"
    yield ""
    s = found.search
    yield f"{_text(s['counted'])} of {_text(s['total'])} transformations were counted; the others follow from these."
    yield ""
    able = [n for n in s["nodes"] if n["state"] == "holds"]
    able.sort(key=lambda n: (not n["chosen"], n["loss"]))
    rows = [(" ".join(map(str, n["levels"])), _text(n["loss"]), _share(n["suppressed_share"]),
             "chosen" if n["chosen"] else "") for n in able[:_MOST_NODES]]  # fmt: skip
    yield from _table((f"levels of {', '.join(map(_text, s['columns']))}", "loss", "left out", ""), rows)


def _methods(found: Report) -> Iterator[str]:
    if not found.methods:
        return
    yield "## Ways of recoding"
    yield ""
    rows = [(_text(w["name"]), _text(w["gcp"]), _text(w["loss"]), _text(w["classes"]), _share(w["suppressed_share"]),
             _text(w["problem"] or ("chosen" if w["chosen"] else ""))) for w in found.methods["ways"]]  # fmt: skip
    yield from _table(("way", "gcp", "loss", "groups", "left out", ""), rows)


def _flow(found: Report) -> Iterator[str]:
    if not found.flow:
        return
    yield "## Where the data flow"
    yield ""
    rows = [(_text(t["from"]), _text(t["to"]), _text(t["label"]), "risk" if t["risk"] else "")
            for t in found.flow["transitions"]]  # fmt: skip
    yield from _table(("from", "to", "step", ""), rows)


def _limits(found: Report) -> Iterator[str]:
    yield "## What this does not protect against"
    yield ""
    yield from (f"- **{_text(one['title'])}.** {_text(one['text'])}" for one in found.limits)
    yield ""


def _standards(found: Report) -> Iterator[str]:
    yield "## Beside standards and guidance"
    yield ""
    yield "An aid for an assessment, and no certificate."
    yield ""
    rows = [(_text(s["standard"]), _text(s["section"]), _text(s["asks"]), _text(s["answer"]), _text(s["evidence"]))
            for s in found.standards]  # fmt: skip
    yield from _table(("standard", "section", "asks", "answer", "evidence"), rows)


def _again(found: Report) -> Iterator[str]:
    yield "## To make it again"
    yield ""
    if found.reproduce["spec"]:
        yield from _code(found.reproduce["spec"], "yaml")
    yield from _code("\n".join(found.reproduce["commands"]), "bash")
    if found.history:
        rows = [(_text(h["at"]), _text(h["by"]), _text(h["action"]), _text(h["version"]), _text(h["detail"]))
                for h in found.history]  # fmt: skip
        yield from _table(("at", "by", "what", "version", ""), rows)


def _missing(found: Report) -> Iterator[str]:
    if found.missing:
        yield "## What is not here"
        yield ""
        yield from (f"- {_text(one['part'])}: {_text(one['why'])}" for one in found.missing)
        yield ""
