"""How docstrings, tables and cells become Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def cell(text: str) -> str:
    """A text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """A text as code, also where it holds backticks or the sign that parts the cells of a table."""
    plain = " ".join(text.split())
    mark = "``" if "`" in plain else "`"
    pad = " " if "`" in plain else ""
    return f"{mark}{pad}{plain}{pad}{mark}".replace("|", "\\|") if plain else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a head."""
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def paragraphs(thing: object) -> str:
    """A docstring as Markdown: asterisks, brackets and angles stand for themselves."""
    text = inspect.getdoc(thing) or ""
    kept = [" ".join(part.split()) for part in text.split("\n\n")]
    return "\n\n".join(escaped(part) for part in kept)


def escaped(text: str) -> str:
    """Plain text whose signs mean nothing to Markdown; what stands in backticks stays."""
    parts = text.split("`")
    outside = [
        part.replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;").replace("[", "\\[") for part in parts[::2]
    ]
    parts[::2] = outside
    return "`".join(parts)


def first_sentence(text: str) -> str:
    """The sentence that a docstring begins with."""
    plain = " ".join(text.split("\n\n")[0].split())
    return plain.split(". ")[0].rstrip(".") + "." if plain else ""


NOTE = "*This page is made from the program itself when the documentation is built.*\n\n"
