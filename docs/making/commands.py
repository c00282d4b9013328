"""The command line, from its parser: every command, argument and option."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer

from making.text import NOTE, cell, code, table
from sqlanon.cli import app

GROUPS = {
    "The main way": ("demo", "init", "plan", "release", "verify"),
    "Judging": ("check", "risk", "attack", "predict", "report", "presets"),
    "The life of releases": ("releases", "refresh", "withdraw", "ledger", "audit", "install"),
    "Statements and specs": ("sql", "spec", "schema"),
    "Systems": ("flow",),
}


@cache
def commands() -> dict[str, Any]:
    """The commands by name, as the parser has them."""
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def ordered() -> list[tuple[str, list[str]]]:
    """The groups of commands; what is in none stands in one of its own."""
    known = commands()
    groups = [(title, [name for name in names if name in known]) for title, names in GROUPS.items()]
    others = [name for name in known if not any(name in names for _, names in groups)]
    return [(title, names) for title, names in [*groups, ("Others", others)] if names]


def spelled(parameter: Any) -> str:
    """An option as it is typed, or an argument by its name."""
    if parameter.param_type_name == "argument":
        name = str(parameter.metavar or parameter.name.upper())
        return name if parameter.required or name.startswith("[") else f"[{name}]"
    words = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return words if parameter.is_flag else f"{words} {parameter.metavar or wants(parameter)}"


def wants(parameter: Any) -> str:
    """The kind of value that an option takes."""
    kind = parameter.type_descriptor.annotation
    names = {int: "NUMBER", float: "NUMBER", str: "TEXT"}
    inner = getattr(kind, "__args__", ())
    found = next((names[one] for one in (kind, *inner) if one in names), "PATH")
    return found


def described(parameter: Any) -> str:
    """What an option does, whether it must be given, and what stands where it is not."""
    told = [parameter.help or ""]
    default = parameter.default
    if parameter.required:
        told.append("**Required.**")
    elif default not in (None, False, [], ()) and not callable(default) and not getattr(parameter, "is_flag", False):
        told.append(f"Default: `{default}`.")
    return cell(" ".join(filter(None, told)))


def usage(name: str, command: Any) -> str:
    """The line that `--help` begins with."""
    arguments = [spelled(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join(["sqlanon", name, *arguments, "[OPTIONS]"])


def section(name: str, command: Any) -> str:
    """One command."""
    rows = [(code(spelled(p)), described(p)) for p in command.params]
    help_text = " ".join((command.help or "").split())
    return f"### {name}\n\n{help_text}\n\n```text\n{usage(name, command)}\n```\n\n" + table(("option", "does"), rows)


def page() -> str:
    """The page of all commands."""
    known = commands()
    parts = [
        "# Commands\n\n",
        NOTE,
        "`--json` prints one JSON object on standard output and nothing else there ([its shapes](json.md))."
        " `--db` names"
        " the database everywhere; without it, DuckDB works in memory and reads files.\n\n"
        "| exit status | means |\n| --- | --- |\n| 0 | done, and all models hold |\n| 1 | a model does not hold,"
        " or a rule,"
        " an audit or a ledger found something; nothing was published |\n| 2 | the spec or the call is wrong;"
        " nothing was"
        " run |\n| 3 | the engine failed; what was published before is as it was |\n\n",
    ]
    for title, names in ordered():
        parts.append(f"## {title}\n\n")
        parts += [section(name, known[name]) + "\n" for name in names]
    return "".join(parts)
