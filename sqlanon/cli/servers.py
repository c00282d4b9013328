"""Servers: what is installed there."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from sqlanon.cli.options import Json, ShowErrors, app
from sqlanon.showing.terminal import out, print_json


@app.command()
def install(
    url: Annotated[str, typer.Argument(metavar="URL", help="postgresql://user@host/database")],
    no_roles: Annotated[
        bool, typer.Option("--no-roles", help="Create no group roles; those that are there get their rights.")
    ] = False,
    plpython: Annotated[
        bool, typer.Option("--plpython", help="Also what runs in the server's Python; needs a superuser.")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the script that would run, and nothing else.")] = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Puts the register, the catalog and the functions for psql into a Postgres server, or brings them up to date."""
    from sqlanon import installing
    from sqlanon.engines import connect

    with connect(url, superuser=True) as engine:
        if sql:
            script = installing.script(engine, installing.state(engine), roles=not no_roles, plpython=plpython)
            text = f"BEGIN;\n{script}COMMIT;\n"
            sys.stdout.write(json.dumps({"sql": text}) + "\n" if as_json else text)
            return
        found = installing.install(engine, roles=not no_roles, plpython=plpython)
    if as_json:
        print_json(found.to_dict())
        return
    told = {None: "is installed", found.version: "was there already, and nothing changed"}
    did = told.get(found.before, f"is installed, in the place of {found.before}")
    out.print(f"sqlanon {found.version} {did} in {found.url}.", markup=False)
    out.print(f"Group roles: {', '.join(found.roles) or 'none'}.", markup=False)
    if plpython:
        warning = "Nobody may call what runs in the server's Python yet; GRANT EXECUTE to publishers, to nobody else."
        out.print(warning, markup=False)
