"""Specs as statements, and statements as specs: the same, said in YAML and in SQL."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sqlanon.cli.options import Json, app
from sqlanon.errors import SpecError


@app.command()
def spec(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A spec, or a statement with --from-sql; - reads it.")],
    to_sql: Annotated[bool, typer.Option("--to-sql", help="The statement that says the spec.")] = False,
    from_sql: Annotated[bool, typer.Option("--from-sql", help="The spec that a statement says.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write it here.")] = None,
    postgres: Annotated[
        bool, typer.Option("--postgres", help="Bare names of the statement are in lower case, as in Postgres.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A spec as SQL, or SQL as a spec: neither way loses anything. Paths in it stay as they are."""
    if to_sql == from_sql:
        raise SpecError("say --to-sql for a spec, or --from-sql for a statement", where="usage")
    from sqlanon import spec as specs
    from sqlanon import statements

    text = _text(file)
    if from_sql:
        found = statements.file_of(statements.spec_of(text, "postgres" if postgres else "duckdb"))
    else:
        found = statements.written(specs.read(text, "standard input" if file == "-" else file))
    if output is not None:
        _write(output, found)
    if as_json:
        sys.stdout.write(json.dumps({"sql" if to_sql else "spec": found}, ensure_ascii=False) + "\n")
    elif output is None:
        sys.stdout.write(found)


def _text(file: str) -> str:
    """A file, or what comes in. A file that is no text is not quoted."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SpecError(f"this file cannot be read: {reason}", where=file[:200]) from None


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"this file cannot be written: {error.strerror}", where=str(file)[:200]) from None
