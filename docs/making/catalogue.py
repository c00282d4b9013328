"""Models, attacks, hierarchies, transforms, presets and rules, from their docstrings and their schemas."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, cast

from making.specs import parameters
from making.text import NOTE, cell, code, escaped, paragraphs, table
from sqlanon import auditing, uniqueness
from sqlanon import rules as of_rules
from sqlanon.attacks import ATTACKS
from sqlanon.hierarchies import HIERARCHIES
from sqlanon.models import MODELS
from sqlanon.presets import PRESETS
from sqlanon.recoding import objectives
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.spec import schema
from sqlanon.uniqueness import ESTIMATORS

_GENERIC = "The parameter "


def _own(kind: str) -> dict[str, Mapping[str, Any]]:
    """The schemas of models or transforms, by name."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in schema()["$defs"][kind]["oneOf"]:
        name = one["properties"].get(kind, {}).get("const")
        if name:
            found[name] = {**one, "properties": {k: v for k, v in one["properties"].items() if k != kind}}
    return found


def _parameters(found: Mapping[str, Any]) -> str:
    rows = [(name, what, told if not told.startswith(_GENERIC) else "") for name, what, told in parameters(found)]
    if not rows:
        return ""
    said = any(told for _, _, told in rows)
    head = ("parameter", "what stands there", "says") if said else ("parameter", "what stands there")
    return table(head, [row if said else row[:2] for row in rows])


def _scope(model: type[Any]) -> str:
    told = {
        "class": "judged class by class",
        "table": "one number for the whole table",
        "column": "judged on the column as a whole",
    }.get(str(getattr(model, "scope", "class")), str(getattr(model, "scope", "")))
    more = [told]
    if not getattr(model, "in_views", True):
        more.append("not for views")
    if getattr(model, "estimated", False):
        more.append("an estimate")
    return ", ".join(more)


def models() -> str:
    """The catalogue of privacy models."""
    parts = [
        f"# Privacy models\n\n{NOTE}A model is a measure over a relation, with a bound. In a spec:"
        " `- {model: NAME, parameter: value}` under `privacy:`; on the command line: `--model 'NAME(parameter=value)'`."
        " Each text says what is measured, where the definition is from, and what the model *leaves*: what it does not"
        " protect against. A bound is kept exactly: a tie holds, anything worse does not. A missing value is a value,"
        " equal to itself.\n\n[The models compared in plain words](../explanation/models-compared.md) helps to"
        " choose.\n\n"
    ]
    schemas = _own("model")
    rooms: dict[str, list[tuple[str, type[Any]]]] = {}
    for name, model in MODELS.items():
        rooms.setdefault(model.__module__, []).append((name, model))
    for room, found in rooms.items():
        about = inspect.getdoc(sys.modules[room]) or ""
        parts.append(f"## {_title(room)}\n\n{escaped(' '.join(about.split(chr(10) * 2)[0].split()))}\n\n")
        for name, model in found:
            parts.append(f"### {name}\n\n{paragraphs(model)}\n\n*{_scope(model).capitalize()}.*"
                         f" In Python: `sqlanon.{model.__name__}`.\n\n{_parameters(schemas[name])}\n")  # fmt: skip
    parts.append(_estimators())
    return "".join(parts)


_TITLES = {
    "identity": "Identity: who is it?",
    "diversity": "Diversity of sensitive values",
    "sensitivity": "The p-sensitive family and θ",
    "nearness": "Nearness of numbers, and wishes of persons",
    "prediction": "Prediction",
    "closeness": "Closeness to the whole table",
    "mechanism": "A mechanism",
}


def _title(room: str) -> str:
    last = room.rsplit(".", 1)[1]
    return _TITLES.get(last, last.capitalize())


def _estimators() -> str:
    rows = [(f"`{name}`", cell(escaped(inspect.getdoc(getattr(uniqueness, name)) or ""))) for name in ESTIMATORS]
    return "## Estimators of population uniqueness\n\n" + table(("estimator", "is"), rows)


def attacks() -> str:
    """The catalogue of attacks."""
    parts = [
        f"# Attacks\n\n{NOTE}`sqlanon attack SOURCE --attack 'NAME(parameter=value)'`; without `--attack`, all"
        " that there"
        " is enough for; with `--all`, the others too, with their defaults. What is told: how many records and classes"
        " are breached, from which parameter on, and a model that counters it. A breach is information, unless"
        " `--fail-on-breach` is given. [What each attack is](../explanation/attacks.md), in plain words.\n\n"
    ]
    for name, attack in ATTACKS.items():
        rows = [
            (code(field.name), code(str(field.default)) if field.default is not MISSING else "**required**")
            for field in fields(cast(Any, attack))
        ]
        told = paragraphs(attack)
        paper = getattr(attack, "paper", "")
        undecidable = getattr(attack, "sentence", "")
        parts.append(f"## {name}\n\n{told}\n\n")
        if paper and paper not in told:
            parts.append(f"Paper: {escaped(paper)}.\n\n")
        if undecidable:
            parts.append(f"The table alone cannot tell; what is said instead: {escaped(undecidable)}\n\n")
        parts.append(table(("parameter", "default"), rows) + "\n" if rows else "")
    return "".join(parts)


def hierarchies() -> str:
    """The kinds of hierarchies."""
    parts = [
        f"# Hierarchies\n\n{NOTE}How the values of a column become coarser, level by level; level 0 is the value"
        " itself,"
        " the last is `*`. A column without one has two levels: the value, or `*`. See"
        " [how to write hierarchies](../how-to/hierarchies.md).\n\n"
    ]
    by_key = {next(iter(one["properties"])): one for one in schema()["$defs"]["hierarchy"]["oneOf"]}
    for name, kind in HIERARCHIES.items():
        parts.append(f"## {name}\n\n{paragraphs(kind)}\n\n{_parameters(by_key[name])}\n")
    return "".join(parts)


def transforms() -> str:
    """The transforms, and the objectives of the search."""
    schemas = _own("transform")
    parts = [
        f"# Transforms and objectives\n\n{NOTE}What is done to values, in turn, before they are recoded:"
        " `transforms:` of the"
        " spec. See [how to use transforms](../how-to/transforms.md).\n\n## Transforms\n\n"
    ]
    for name, kind in TRANSFORMS.items():
        stands = "May stand in a view." if kind.in_views else f"Not in a view: {kind.reason}."
        parts.append(f"### {name}\n\n{paragraphs(kind)}\n\n*For columns of {', '.join(kind.families)}. {stands}*\n\n"
                     f"{_parameters(schemas[name])}\n")  # fmt: skip
    parts.append(f"## Objectives\n\n`recoding: {{loss: …}}`: what the search for full-domain levels keeps small.\n\n"
                 f"{paragraphs(objectives)}\n\n")  # fmt: skip
    return "".join(
        [*parts, table(("objective", "is"), [(f"`{name}`", OBJECTIVES[name]) for name in objectives.OBJECTIVES])]
    )


OBJECTIVES = {
    "loss": "how much of each column's domain a published label covers, averaged over records and columns; ARX's loss",
    "average-class-size": "records ÷ classes",
    "discernibility": "Σ |E|² over classes, n per suppressed record",
    "precision": "level ÷ height, averaged over the cells: 1 minus Sweeney's Prec",
    "entropy": "non-uniform entropy: the bits that the labels no longer tell",
    "height": "the sum of the levels",
}


def presets() -> str:
    """What laws, guidance and papers ask for."""
    parts = [
        f"# Presets\n\n{NOTE}What laws, guidance and papers ask for, as models. `- preset: NAME` in the place of"
        " a model,"
        " `sqlanon check … --model NAME`, `sqlanon presets NAME`. A preset is a starting point: it says what it leaves"
        " open, and whether it is right for you is for you, or for an expert, to judge.\n\n"
    ]
    for name, preset in PRESETS.items():
        parts.append(f"## {name}\n\n{preset.title}.\n\n")
        for title, lines in (("From", preset.sources), ("Notes", preset.notes), ("Also", preset.also),
                             ("Leaves open", preset.leaves)):  # fmt: skip
            parts.append(_listed(title, lines))
        if preset.models:
            shown = "\n".join(
                f"- {{{', '.join(f'{k}: {_shown(v)}' for k, v in model.items())}}}" for model in preset.models
            )
            parts.append(f"Its models:\n\n```text\n{shown}\n```\n\n")
        if preset.bounds:
            rows = [(risk, f"{bound:g}") for risk, bound in preset.bounds.items()]
            parts.append(table(("on", "bound"), rows) + "\n")
    return "".join(parts)


def _shown(value: object) -> str:
    return "each sensitive column" if value == "$sensitive" else str(value)


def _listed(title: str, lines: Iterable[str]) -> str:
    found = list(lines)
    return f"{title}:\n\n" + "\n".join(f"- {escaped(line)}" for line in found) + "\n\n" if found else ""


def rules() -> str:
    """The language of rules."""
    meanings = {
        "violations": "the most violations that any observer comes to (or this actor, in a flow model)",
        "share": "the same, as a share of the records with a value",
        "risk": "the surest prediction of one record, 0 to 1",
        "removed": "the values that removal blanks",
        "before": "a statistic of a field in the source",
        "after": "the same in what is published",
        "delta": "after less before",
        "relative": "delta ÷ before",
        "policy_violations": "transitions of a flow model that occur though nobody agreed to them",
        "abs": "a number without its sign",
    }
    rows = [(code(f"{name}({', '.join(takes)})"), meanings.get(name, "")) for name, takes in of_rules.FUNCTIONS.items()]
    words = ", ".join(f"`{name}`" for name in of_rules.NAMES)
    return (
        f"# Rules\n\n{NOTE}{paragraphs(of_rules)}\n\nRules stand under `rules:` of a spec or a flow model, and behind"
        " `--rule` of `sqlanon predict`. A rule that blocks gives the exit status 1 (`sqlanon flow`: with"
        " `--gate`).\n\n"
        + table(("function", "is"), rows)
        + f"\nStatistics: {words}; other percentiles as `p97.5`. Between them: `+ - * /`, `= != < <= > >=`, `AND`,"
        " `OR`, `NOT`, parentheses.\n"
    )


def audit_rules() -> str:
    """What the audit looks for."""
    rows = [(f"`{rule.name}`", rule.level, cell(escaped(rule.says))) for rule in auditing.RULES]
    return (
        f"# What the audit looks for\n\n{NOTE}`sqlanon audit URL` asks the catalogs of a Postgres database these"
        " questions."
        " A *finding* is a way to more than was released, and makes the exit status 1; a *note* is something to"
        " know, or to"
        " decide. `--fix` prints the SQL that mends what can be mended. Further findings are made on the order of rows"
        " and on the state of releases.\n\n" + table(("rule", "level", "looks for"), rows)
    )
