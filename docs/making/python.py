"""The public names of the package, with their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from typing import Any

import sqlanon
from making.text import NOTE, code, escaped, paragraphs, table
from sqlanon.models import MODELS


def signature(name: str, found: Any) -> str:
    """How it is called."""
    try:
        told = str(inspect.signature(found))
    except (TypeError, ValueError):
        return name
    told = re.sub(r"\bsqlanon\.[a-z_.]+\.", "", told).replace("'", "")
    if len(told) > 90:
        told = "(\n    " + ",\n    ".join(_parts(told)) + "\n)" + _returned(told)
    return f"{name}{told}"


def _parts(told: str) -> list[str]:
    """The parameters of a signature."""
    inner, depth, parts = told[1 : told.rindex(")")], 0, [""]
    for sign in inner:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _returned(told: str) -> str:
    return told[told.rindex(")") + 1 :]


def section(name: str) -> str:
    """One public name."""
    found = getattr(sqlanon, name)
    parts = [f"### {name}\n\n"]
    parts.append(f"```text\n{signature(name, found)}\n```\n\n{paragraphs(found)}\n\n")
    if inspect.isclass(found) and not issubclass(found, Exception):
        members = [
            (
                code(member),
                escaped(" ".join((inspect.getdoc(getattr(found, member, None)) or "").split("\n\n")[0].split())),
            )
            for member in vars(found)
            if not member.startswith("_")
            and (callable(getattr(found, member)) or isinstance(vars(found)[member], property))
        ]
        told = [(member, text) for member, text in members if text]
        parts.append(table(("member", "is"), told) + "\n" if told else "")
    return "".join(parts)


def page() -> str:
    """The page of the Python interface."""
    models = {kind.__name__ for kind in MODELS.values()}
    names = [name for name in sqlanon.__all__ if name not in models]
    groups = {
        "Functions": [name for name in names if name[0].islower()],
        "Errors": [name for name in names if name.endswith("Error") or name in ("ModelNotMet", "NotPortable")],
    }
    groups["Results, specs and parts"] = [n for n in names if not any(n in found for found in groups.values())]
    parts = [
        f"# Python\n\n{NOTE}Every result has `.to_dict()`, equal to the `--json` output of the command of the"
        " same name."
        " Relations are named, or given as a path or as a pandas, polars or Arrow frame.\n\n"
    ]
    for title, found in groups.items():
        parts.append(f"## {title}\n\n" + "".join(section(name) for name in sorted(found)))
    rows = [(code(kind.__name__), f"[{name}](models.md#{name})") for name, kind in MODELS.items()]
    parts.append("## Models\n\n" + table(("class", "model"), rows))
    return "".join(parts)
