"""What stands around releases, and what several of them tell together."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from sqlanon.cli.options import Db, Json, ShowErrors, Superuser, app
from sqlanon.errors import SpecError
from sqlanon.showing.terminal import show


@app.command()
def audit(
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="postgresql://user@host/database or duckdb:///path.duckdb")
    ] = None,
    source: Annotated[
        list[str], typer.Option("--source", help="A raw table that the register does not name; repeatable.")
    ] = [],  # noqa: B006
    fix: Annotated[
        bool, typer.Option("--fix", help="Print the SQL that mends the findings, and nothing else.")
    ] = False,
    store: Annotated[bool, typer.Option("--store", help="Put what was found into sqlanon.finding.")] = False,
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Looks for ways to more than was released: grants, owners, settings, order of rows. Exit 1 on a finding."""
    if (url is None) == (db is None):
        raise SpecError("name one database: sqlanon audit URL", where="usage")
    from sqlanon import auditing
    from sqlanon.engines import connect
    from sqlanon.showing import audits as shown

    with connect(url or db, read_only=not store, create=False) as engine:
        found = auditing.audit(engine, sources=source)
        if store:
            auditing.store(engine, found)
    if fix:
        sys.stdout.write(json.dumps({"sql": found.script}) + "\n" if as_json else found.script)
    else:
        show(found, as_json, shown.audited)
    if not found.clean:
        raise typer.Exit(1)


@app.command()
def ledger(
    name: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Only what these releases tell with others.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option("--candidates", min=2, help="At least so many share all classes of a person.")
    ] = None,
    values: Annotated[
        int | None, typer.Option("--values", min=2, help="At least so many sensitive values are left for a person.")
    ] = None,
    invariance: Annotated[int | None, typer.Option("--invariance", min=2, help="m-invariance, with this m.")] = None,
    db: Db = None,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What the releases of one source tell one audience together. Exit 1 where a bound is not kept, or not known."""
    from sqlanon.engines import connect
    from sqlanon.ledger import ledger as measure
    from sqlanon.showing import audits as shown
    from sqlanon.together import Together

    given = candidates or values or invariance
    bounds = Together(candidates, values, invariance) if given else None
    with connect(db, create=False, superuser=superuser) as engine:
        found = measure(engine, name or [], bounds=bounds)
    show(found, as_json, shown.ledger)
    if not found.holds:
        raise typer.Exit(1)
