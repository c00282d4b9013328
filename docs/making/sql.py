"""The objects that sqlanon brings into a Postgres server, from the scripts that make them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from making.text import NOTE, cell, code, escaped, table

_COMMENT = re.compile(
    r"^COMMENT ON (FUNCTION|PROCEDURE|VIEW|TABLE) (sqlanon\.[\w\"]+)(\([^)]*\))? IS\s+((?:'(?:[^']|'')*'\s*)+);", re.M
)
_MADE = re.compile(
    r"^CREATE (?:OR REPLACE )?(FUNCTION|PROCEDURE) (sqlanon\.[\w\"]+)\s*\(([^;]*?)\)\s*(?:\n?\s*RETURNS\s+([^\n]+))?\n?"
    r"\s*(?:LANGUAGE|RETURNS|AS)", re.M | re.S,
)  # fmt: skip

SCRIPTS = {
    "Measures, catalog and the life of a release": (
        "sqlanon--0.1.0--0.2.0.sql",
        "Made by `CREATE EXTENSION sqlanon` or `sqlanon install URL`. No function is SECURITY DEFINER; each"
        " reads with the"
        " rights of its caller. A release's readers need none of them.",
    ),
    "The whole job in the server": (
        "inside.sql",
        "Made by `sqlanon install URL --plpython`, where the server has plpython3u and its Python can import sqlanon."
        " Nobody may call them until EXECUTE is granted.",
    ),
    "Functions that draw, group and plan": (
        "udfs.sql",
        "Made by the same. The planner calls them; nobody else needs to. They give the same as ours do beside"
        " the client.",
    ),
}


def _script(name: str) -> str:
    return (resources.files("sqlanon.sql") / name).read_text(encoding="utf-8")


def commented(name: str) -> Iterator[tuple[str, str, str, str]]:
    """Kind, name, types and meaning of what a script makes, as its own comments tell."""
    for kind, item, types, told in _COMMENT.findall(_script(name)):
        text = "".join(re.findall(r"'((?:[^']|'')*)'", told)).replace("''", "'")
        yield kind.lower(), item.replace('"', ""), types, text


def page() -> str:
    """The page of SQL objects."""
    parts = [
        f"# In Postgres, from psql\n\n{NOTE}What stands in the schema `sqlanon` of a server that was prepared (see"
        " [the tutorial of the DBA](../tutorials/dba.md)). Releases stand in the schema `releases`. Who may do"
        " what is in"
        " [Security](../about/security.md#who-may-do-what-on-postgres).\n\n"
    ]
    for title, (name, about) in SCRIPTS.items():
        found = list(commented(name))
        parts.append(f"## {title}\n\n{about}\n\n")
        for kinds, caption in ((("view", "table"), "relation"), (("function", "procedure"), "function")):
            rows = [
                (code(item + types), cell(escaped(told)))
                for kind, item, types, told in found
                if kind in kinds and not told.startswith("internal:")
            ]
            parts.append(table((caption, "is"), rows) + "\n" if rows else "")
    parts.append("Functions whose comment says that they are internal are left out; `\\df sqlanon.*` lists all.\n")
    return "".join(parts)
