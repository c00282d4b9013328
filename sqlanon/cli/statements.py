"""SQL with statements of sqlanon in it: scripts, single statements, and the interactive shell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlanon.cli.options import Db, Json, ShowErrors, Superuser, app
from sqlanon.errors import SpecError
from sqlanon.showing.terminal import print_json

if TYPE_CHECKING:
    from sqlanon.executing import Done


@app.command()
def sql(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A script; - is standard input. Without it, a shell.")
    ] = None,
    command: Annotated[
        str | None, typer.Option("-c", "--command", metavar="STATEMENT", help="Run this, and no file.")
    ] = None,
    db: Db = None,
    single_transaction: Annotated[
        bool, typer.Option("--single-transaction", help="All of the script, or nothing of it.")
    ] = False,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a statement that failed.")] = False,
    no_history: Annotated[
        bool, typer.Option("--no-history", help="The shell keeps no file of what was typed.")
    ] = False,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> int:
    """Runs SQL in which releases are declared: CREATE ANONYMIZED …, CHECK ANONYMIZATION … beside the engine's own."""
    if file is not None and command is not None:
        raise SpecError("a file and a statement are one too many", where="--command")
    if file is None and command is None and sys.stdin.isatty() and not as_json:
        return _shell(db, superuser, no_history, show_engine_errors)
    from sqlanon.engines import connect
    from sqlanon.showing import statements as shown

    script = command if command is not None else _script(file)
    base = file.parent if file is not None and str(file) != "-" else Path()
    with connect(db, superuser=superuser) as engine:
        ran = shown.stepwise(
            engine, script, as_json, single_transaction=single_transaction, keep_going=keep_going, base=base
        )
        return _json(ran, show_engine_errors) if as_json else _people(ran, show_engine_errors, keep_going)


def _script(file: Path | None) -> str:
    """The text of a script. Raises `SpecError` where it cannot be read."""
    if file is None or str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the script cannot be read ({type(error).__name__})", where="FILE", found=str(file)) from None


def _json(ran: Iterator[Done], show_engine_errors: bool) -> int:
    from sqlanon.showing import statements as shown

    done = list(ran)
    status = next((one.exit_status for one in done if one.exit_status), 0)
    for one in done:
        if one.failed is not None:
            shown.failed(one, words=show_engine_errors)
    print_json({"results": [one.to_dict() for one in done], "exit_status": status})
    return status


def _people(ran: Iterator[Done], show_engine_errors: bool, keep_going: bool) -> int:
    from sqlanon.showing import statements as shown

    status = 0
    for one in ran:
        if one.failed is not None and not keep_going:
            raise one.failed
        shown.done(one, words=show_engine_errors)
        status = status or one.exit_status
    return status


def _shell(db: str | None, superuser: bool, no_history: bool, show_engine_errors: bool) -> int:
    from sqlanon.cli.shell import Shell
    from sqlanon.engines import connect

    with connect(db, superuser=superuser) as engine:
        return Shell(engine, history=not no_history, words=show_engine_errors).run()
