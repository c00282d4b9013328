"""The terminal itself: tables, numbers, progress; a name from outside is shown as text and never as an instruction."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich import markup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sqlanon.errors import EngineError
from sqlanon.telling import Tell, silent

out = Console(highlight=False, soft_wrap=True)


err = Console(stderr=True, highlight=False)


def escape(text: str) -> str:
    """A name from outside, so that neither rich nor the terminal takes any of it for an instruction."""
    return markup.escape(printable(text))


def printable(text: str) -> str:
    """The text with every control character spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def complain(error: Exception | None, *, words: bool | None = None) -> None:
    """What went wrong, on standard error, and an engine's own words, which may quote cells, only with `words`.

    Without them it is told how to see them, unless `words` is None. Every control character is spelt out.
    """
    err.print("[bold red]sqlanon:[/] ", end="")
    _said(str(error))
    if isinstance(error, EngineError) and words:
        _said(error.engine_text)
    elif isinstance(error, EngineError) and error.engine_text and words is not None:
        err.print("The engine's own words may quote cells; see them with --show-engine-errors.", style="dim")


def _said(text: str) -> None:
    err.print("\n".join(map(printable, text.split("\n"))), markup=False, soft_wrap=True)


@contextmanager
def telling(as_json: bool) -> Iterator[Tell]:
    """A progress bar on a terminal; silence for machines."""
    if as_json or not err.is_terminal:
        yield silent
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def tell(what: str, done: float | None) -> None:
            progress.update(task, description=what, total=None if done is None else 1.0, completed=done or 0.0)

        yield tell


def print_json(found: dict[str, Any]) -> None:
    """One JSON object on one line of standard output."""
    sys.stdout.write(json.dumps(found, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def show(found: Any, as_json: bool, people: Callable[[Any], None]) -> None:
    """A result for machines (`to_dict`) or for people."""
    if as_json:
        print_json(found.to_dict())
    else:
        people(found)


def number(value: object) -> str:
    """A number as a person reads it; a missing one is a dash."""
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def table(title: str, *columns: str) -> Table:
    """An empty table; the first column is words, the others are numbers."""
    made = Table(
        title=Text(printable(title), style="bold"), title_justify="left", header_style="dim", box=None, pad_edge=False
    )
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return made


def share(value: float | None) -> str:
    """A share as a person reads it; what is above 0 is never shown as 0."""
    if value is None:
        return "–"
    return f"{value:.2%}" if value == 0 or value >= 0.00005 else f"{value:.2g}"
