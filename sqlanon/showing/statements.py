"""What the statements of a script came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from sqlanon.check import Check
from sqlanon.engines import Engine
from sqlanon.engines.answers import Relation
from sqlanon.executing import Done, Listed, Sql, execute
from sqlanon.life import Verified
from sqlanon.planning import Planned
from sqlanon.register import Entry
from sqlanon.release import Release
from sqlanon.showing import measures, releases
from sqlanon.showing.terminal import complain, out, printable, telling
from sqlanon.telling import Tell, silent

_NUMBERS = {"integer", "decimal", "float"}


def stepwise(engine: Engine, script: str, as_json: bool = False, **how: Any) -> Iterator[Done]:
    """Runs a script; progress is told while a statement runs, and not while what it came to is shown."""
    told: list[Tell] = [silent]
    ran = execute(engine, script, tell=lambda what, done: told[0](what, done), **how)
    while True:
        with telling(as_json) as told[0]:
            one = next(ran, None)
        if one is None:
            return
        yield one


def done(found: Done, *, most: int | None = None, took: bool = False, words: bool = False) -> None:
    """What one statement came to; of rows at `most` so many, with `took` how long it was, `words`: the engine's."""
    result = found.result
    if found.failed is not None:
        failed(found, words=words)
    elif isinstance(result, Relation):
        rows(result, most)
    elif isinstance(result, int):
        out.print(f"{result:,} {'row' if result == 1 else 'rows'} changed", style="dim")
    elif isinstance(result, Sql):
        out.print(result.text, markup=False)
    elif isinstance(result, Planned):
        releases.plan(result)
    elif isinstance(result, Release):
        releases.release(result)
    elif isinstance(result, Check):
        measures.check(result)
    elif isinstance(result, Verified):
        releases.verified(result)
    elif isinstance(result, Listed):
        listed(result)
    elif isinstance(result, Entry):
        out.print(f"{result.name} version {result.version} is withdrawn.", markup=False)
    else:
        out.print("done", style="dim")
    if took:
        out.print(f"{found.seconds:.3f} s", style="dim")


def failed(found: Done, *, words: bool = False) -> None:
    """Why a statement failed; the engine's own words, which may quote cells, only when they are asked for."""
    complain(found.failed, words=words)


def listed(found: Listed) -> None:
    """What the register says of releases."""
    releases.releases(found.standing)
    if found.declaration is not None:
        out.print(found.declaration, markup=False)


def names(title: str, found: Mapping[str, Sequence[str]]) -> None:
    """Tables with their columns, or columns alone."""
    made = Table(title=Text(printable(title), style="bold"), title_justify="left", box=None, show_header=False)
    for name, columns in found.items():
        made.add_row(Text(printable(name)), Text(printable(", ".join(columns)), style="dim"))
    out.print(made)


def rows(found: Relation, most: int | None = None) -> None:
    """Rows as a table; a missing value is set off, and no cell is taken for an instruction to the terminal."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in found.described:
        side = "right" if column.family in _NUMBERS else "left"
        made.add_column(Text(printable(column.name)), justify="right" if side == "right" else "left", overflow="fold")
    for row in found.rows[:most]:
        made.add_row(*(Text("NULL", style="dim italic") if c is None else Text(printable(str(c))) for c in row))
    if found.described:
        out.print(made)
    number = len(found)
    more = f", of which {most:,} are shown" if most is not None and number > most else ""
    out.print(f"({number:,} {'row' if number == 1 else 'rows'}{more})", style="dim")
