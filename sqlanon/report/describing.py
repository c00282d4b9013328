"""A report in words: the summary, what was done to each column, repairs, history, the flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlanon import register
from sqlanon.engines import Engine
from sqlanon.flow import drawing
from sqlanon.flow.model import FlowModel
from sqlanon.flow.risks import assess
from sqlanon.report.minimum import Cell
from sqlanon.report.subjects import Subject
from sqlanon.report.words import share


def sentences(about: Subject, told: dict[str, Any], risk: dict[str, Any] | None, cell: Cell) -> list[str]:
    """Three to six sentences that a newcomer understands."""
    return [*_what(about, told), *_judged(about), *_cost(about, told, cell), *_risks(about, risk, cell), *_hidden(cell)]


def _count(number: int | None, cell: Cell, what: str = "records") -> str:
    return (
        f"fewer than {cell.records} {what}" if number is None else f"{'about ' * (cell.records > 1)}{number:,} {what}"
    )


def _what(about: Subject, told: dict[str, Any]) -> list[str]:
    rows = told["rows_out"]
    many = "a few records" if rows is None else f"{rows:,} records"
    groups = f" in {told['classes']:,} group{'s' * (told['classes'] > 1)}" if told["classes"] else ""
    kind = {
        "release": f"The release “{about.name}” holds",
        "plan": "The plan would publish",
        "relation": f"The relation “{about.name}” holds",
    }[about.kind]
    return [f"{kind} {many}{groups}; people of one group look the same in {_listed(about.keys)}."]


def _listed(names: tuple[str, ...]) -> str:
    quoted = [f"“{name}”" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _judged(about: Subject) -> list[str]:
    asked = [one for one in about.verdicts if one.holds is not None]
    notes = [f"{note[0].upper()}{note[1:].removesuffix('.')}." for note in about.notes]
    if not asked and about.notes:
        return notes
    if not asked:
        return ["No model was asked to hold; every measure that the columns allow is told."]
    broken = sum(1 for one in asked if not one.holds)
    names = ", ".join(dict.fromkeys(one.model for one in asked))
    if broken:
        many = "The promise does" if len(asked) == 1 else f"{broken} of {len(asked)} promises do{'es' * (broken == 1)}"
        return [f"{many} not hold ({names}): see the models.", *notes]
    if about.holds is False:
        return [
            f"What was measured is within the bounds ({names}), but does not count as a promise that is kept.",
            *notes,
        ]
    where = "on the rows that would be published" if about.kind == "plan" else "on the published rows themselves"
    where += ", as far as these alone decide it" * any("as judged at the release" in note for note in about.notes)
    every = "The promise holds" if len(asked) == 1 else f"{'Both' if len(asked) == 2 else 'All'} promises hold"
    if about.holds is None:
        every = f"Of what could be judged, {every[0].lower()}{every[1:]}"
    return [f"{every}, measured {where}: {names}.", *notes]


def _cost(about: Subject, told: dict[str, Any], cell: Cell) -> list[str]:
    loss = told["utility"].get("loss")
    lost = told["suppressed"]
    if not told["counted"]:
        return []
    left = (
        "No record was left out" if lost == 0 else f"{_count(lost, cell).capitalize()} were left out to keep the rest"
    )
    precise = (
        f"; the columns lost {loss:.0%} of their precision (0 % is nothing, 100 % all)" if loss is not None else ""
    )
    return [f"{left}{precise}."]


def _risks(about: Subject, risk: dict[str, Any] | None, cell: Cell) -> list[str]:
    if risk is None:
        return []
    highest, average = risk["prosecutor"]["highest"], risk["prosecutor"]["average"]
    most = f"at most {highest:.1%}" if highest is not None else f"above {share(1 / cell.persons)} for some people"
    exact = about.entity is not None or not about.persons  # a mean over records is not one over persons
    mean = f", {average:.2%} on average" if average is not None and exact else ""
    return [
        f"Somebody who knows a person and all these columns finds the right record with a probability of {most}{mean}."
    ]


def _hidden(cell: Cell) -> list[str]:
    if cell.persons == 1:
        return ["This report hides no small number: it tells of single records, and is not for handing over."]
    most = f" Since a person may have several records, that takes {cell.records} records." * (
        cell.records > cell.persons
    )
    return [
        f"This report tells nothing that fewer than {cell.persons} people would stand behind, and rounds numbers of"
        f" records to multiples of {cell.records}.{most}"
    ]


# -- columns -----------------------------------------------------------------------------------------------------------


def told_columns(about: Subject, shown: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What was done to each column of the source, in the order of the spec."""
    names = list(about.spec.columns) if about.spec else [*about.keys, *about.sensitive]
    return [_column(about, name, shown.get(name, {})) for name in names]


def _column(about: Subject, name: str, found: dict[str, Any]) -> dict[str, Any]:
    role = about.spec.columns[name].role if about.spec else "quasi-identifier" if name in about.keys else "sensitive"
    recoded = next((one for one in about.recoded if one.name == name), None)
    level = about.levels.get(name) if about.levels is not None and recoded else None
    return {
        "name": name,
        "role": role,
        "published": role not in ("identifier", "drop"),
        "how": _how(about, name, role, level),
        "level": level,
        "height": recoded.height if recoded else None,
        "loss": found.get("loss"),
        "suppressed_share": None,
        "examples": found.get("examples", []),
        "distribution": found.get("distribution"),
        "shift": found.get("shift"),
    }


_LEVELS = {
    "width": "in intervals",
    "mask": "with its last characters hidden",
    "date": "by a coarser part of the calendar",
    "csv": "by the categories of a file",
    "tree": "by categories",
    "order": "in runs of neighbouring values",
    "suppress": "as it is or not at all",
}


def _how(about: Subject, name: str, role: str, level: int | None) -> str:
    spec = about.spec
    if role == "identifier":
        return "Names a person: left out."
    if role == "drop":
        return "Left out."
    changed = [one.told for one in spec.transforms if name in one.touched] if spec else []
    first = f"Changed before anything else: {', '.join(changed)}. " if changed else ""
    if role == "insensitive":
        return f"{first}Published as it is; taken to be known to no outsider."
    if role == "sensitive":
        return f"{first}Published as it is; the models guard what groups tell of it."
    if spec is None:
        return "Taken as known to outsiders, as it is in the relation."
    kind = spec.columns[name].hierarchy.name if spec.columns[name].hierarchy else "suppress"  # type: ignore[union-attr]
    height = next(one.height for one in about.recoded if one.name == name)
    if level is None:
        way = "as it is" if spec.recoding.method == "anatomy" else "as coarse in each group as its members ask for"
        return f"{first}Known to outsiders: published {way}."
    if level == 0:
        return f"{first}Known to outsiders: published as it is (level 0 of {height})."
    if level == height:
        return f"{first}Known to outsiders: every value is published as * (level {level} of {height})."
    return f"{first}Known to outsiders: published {_LEVELS[kind]} (level {level} of {height})."


# -- repairs, history, flow --------------------------------------------------------------------------------------------


def repairs(about: Subject, rows: tuple[int | None, int, int | None], cell: Cell) -> dict[str, Any] | None:
    """What θ, swaps and noise did; None where nothing of it was asked for."""
    theta = next((one for one in about.verdicts if one.model == "theta-sensitivity" and one.holds is not None), None)
    noise, swaps = about.noise, about.swaps
    if theta is None and not noise and not swaps:
        return None
    value = None if theta is None or theta.value is None else float(f"{theta.value:.4g}")
    return {
        "theta": None
        if theta is None
        else {"value": value, "bound": theta.bound, "column": theta.column, "implied": dict(theta.implied)},
        "swaps": cell.count(swaps),
        "moved_share": cell.share(min(2 * swaps, rows[1]), rows[1]),
        "noise_rows": cell.count(noise),
        "noise_share": cell.share(noise, rows[1]),
    }


def histories(about: Subject) -> list[dict[str, Any]]:
    """The lines of the audit log about a release, the latest first."""
    if about.entry is None or about.entry.kind == "file":
        return []
    keys = ("at", "by", "action", "version", "detail")
    lines = [one.to_dict() for one in register.logged(about.engine) if one.name == about.name]
    return [{key: line[key] for key in keys} for line in lines]


def flow_of(model: FlowModel, engine: Engine, cell: Cell) -> dict[str, Any]:
    """The states of a data-flow model, its steps, and what nobody agreed to. Raises `SpecError`, `EngineError`."""
    found = assess(model, engine)
    names, edges = drawing.nodes(found), list(drawing.edges(found))
    depth = {"0": 0}
    for edge in edges:  # sources stand before their targets
        if edge.source in depth:
            depth.setdefault(edge.target, depth[edge.source] + 1)
    return {
        "states": [{"id": name, "label": label, "depth": depth.get(name, 0)} for name, label in names.items()],
        "transitions": [
            {"from": edge.source, "to": edge.target, "label": _weighed(edge, cell), "risk": edge.style == "dotted"}
            for edge in edges
        ],
        "violations": [violation for step in found.states.violations for violation in step.violations],
        "svg": None,
    }


def _weighed(edge: drawing.Edge, cell: Cell) -> str:
    """The label of an edge, its number of violations no small one."""
    if edge.weight is None or not edge.weight.isdigit():
        return edge.label
    told = cell.count(int(edge.weight))
    return f"fewer than {cell.records} violations" if told is None else f"{told} violations"
