"""The report for who signs a release, as a page, as Markdown or as JSON."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlanon.cli.options import Db, Delimiter, Json, ShowErrors, Superuser, app, names, origin_named
from sqlanon.defaults import MINIMUM_CELL
from sqlanon.errors import SpecError
from sqlanon.showing.terminal import out, print_json, telling

if TYPE_CHECKING:
    from sqlanon.report import Report


class Format(StrEnum):
    """How a report is written."""

    html = "html"
    md = "md"
    json = "json"


_ENDINGS = {".html": Format.html, ".htm": Format.html, ".md": Format.md, ".json": Format.json}


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release, a spec (.yaml), or any table, view or file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write it here; its ending tells the format.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="html, md or json; md if nothing tells it.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", metavar="FILE", help="The spec that a relation was made by.")
    ] = None,
    qi: Annotated[list[str], typer.Option("--qi", help="A relation's quasi-identifiers: a,b or repeated.")] = [],  # noqa: B006
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; may be repeated.")] = [],  # noqa: B006
    minimum_cell: Annotated[
        int, typer.Option("--minimum-cell", min=1, metavar="N", help="Nothing is told of fewer records or persons.")
    ] = MINIMUM_CELL,
    compare: Annotated[bool, typer.Option("--compare", help="Plan every way of recoding too, side by side.")] = False,
    flow: Annotated[Path | None, typer.Option("--flow", metavar="MODEL", help="A data-flow model to draw.")] = None,
    predict: Annotated[
        list[str], typer.Option("--predict", metavar="COLUMN=MARGIN", help="How near counts as known; repeatable.")
    ] = [],  # noqa: B006
    db: Db = None,
    delimiter: Delimiter = None,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What was promised, measured and done, what it costs, for who signs a release; no small number is told."""
    from sqlanon.engines import connect
    from sqlanon.flow import model as flow_model
    from sqlanon.report import report as gather
    from sqlanon.spec import load

    how = _format(output, Format.json if as_json else format_)
    by = load(spec) if spec else None
    drawn = flow_model.load(flow) if flow else None
    near = {column: margin or None for column, _, margin in (text.partition("=") for text in predict)}
    with connect(db, read_only=True, superuser=superuser) as engine, telling(as_json or output is None) as tell:
        about = origin_named(name, delimiter) if delimiter else name
        origin = origin_named(name, delimiter)
        keys = names(qi, [column.name for column in engine.columns(origin)]) if qi else []
        found = gather(
            engine, about, spec=by, quasi_identifiers=keys, sensitive=sensitive, minimum_cell=minimum_cell,
            comparing=compare, flow=drawn, predict=near, tell=tell,
        )  # fmt: skip
    _write(found, how, output, as_json)
    if found.holds is False:
        raise typer.Exit(1)


def _format(output: Path | None, asked: Format | None) -> Format:
    ending = _ENDINGS.get(output.suffix.lower()) if output else None
    if asked is None and output is not None and ending is None:
        raise SpecError("the format is not known", where="--output", found=output.suffix, allowed=_ENDINGS)
    return asked or ending or Format.md


def _write(found: Report, how: Format, output: Path | None, as_json: bool) -> None:
    """Into the file, else to standard output. Raises `SpecError` where the file cannot be written."""
    if how is Format.json and output is None:
        print_json(found.to_dict())
        return
    text = written(found, how)
    if output is None:
        sys.stdout.write(text)
        return
    save(text, output)
    if as_json:
        print_json(found.to_dict())
    else:
        out.print(f"{output} is written.", markup=False)


def written(found: Report, how: Format) -> str:
    """A report as text of one format."""
    if how is Format.json:
        import json

        return json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False, default=str) + "\n"
    if how is Format.md:
        from sqlanon.report.markdown import markdown

        return markdown(found)
    from sqlanon.report.page import html

    return html(found)


def save(text: str, file: Path) -> None:
    """Writes a file. Raises `SpecError` where that cannot be."""
    try:
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SpecError(
            f"the file cannot be written ({type(error).__name__})", where="--output", found=str(file)
        ) from None
