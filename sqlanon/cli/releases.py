"""Releases: the example, a first spec, plan, release, and what becomes of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sqlanon.cli.options import (
    Db,
    Delimiter,
    Json,
    ShowErrors,
    Source,
    SpecFile,
    Superuser,
    TimeLimit,
    Usefulness,
    app,
    origin_named,
)
from sqlanon.cli.reports import Format, save, written
from sqlanon.defaults import SAMPLE_ROWS
from sqlanon.errors import SpecError, SqlanonError
from sqlanon.showing.terminal import out, print_json, show, telling

if TYPE_CHECKING:
    from sqlanon.engines import Engine
    from sqlanon.spec import Spec


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the example.")] = Path("sqlanon-demo"),
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """The main job on an example, in one command: patients, their spec, plan, release, checks, and the report."""
    from sqlanon import demo as example
    from sqlanon.check import check as check_relation
    from sqlanon.engines import Origin, connect
    from sqlanon.planning import origin_of
    from sqlanon.release import release as publish
    from sqlanon.report import report as gather
    from sqlanon.showing import releases as shown
    from sqlanon.spec import load

    with telling(as_json) as tell:
        tell("making 20,000 patients", None)
        file = example.write(directory)
    spec, database = load(file), directory / "clinic.duckdb"
    with connect(f"duckdb:///{database}") as engine:
        keys, sensitive = spec.quasi_identifiers, spec.sensitive
        before = check_relation(engine, origin_of(spec), quasi_identifiers=keys, sensitive=sensitive)
        with telling(as_json) as tell:
            made = publish(spec, engine, tell=tell)
        after = check_relation(
            engine, Origin(relation=made.name), quasi_identifiers=made.planned.plan.keys, sensitive=sensitive
        )
        with telling(as_json) as tell:
            told = gather(engine, made.name, planned=made.planned, tell=tell)
    page = directory / "report.html"
    save(written(told, Format.html), page)
    if as_json:
        found = {"before": before.to_dict(), "release": made.to_dict(), "after": after.to_dict()}
        print_json({**found, "report": str(page)})
        return
    shown.demo(directory, file, before, made, after, page)


@app.command()
def init(
    source: Source,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the spec here.")] = None,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Profiles a source and proposes a spec that runs, saying why."""
    if output is not None and output.exists():
        raise SpecError("the file is there already, and was not touched", where="--output", found=str(output))
    from sqlanon import profiling
    from sqlanon.engines import connect

    with connect(db, read_only=True) as engine, telling(as_json) as tell:
        origin = origin_named(source, delimiter)
        # The spec names its source as seen from its own folder.
        named = os.path.relpath(source, output.parent) if output is not None and origin.file is not None else source
        text = profiling.propose(profiling.profile(engine, origin, tell=tell), source_text=named, name=_name(source))
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        print_json({"source": source, "spec": text, "written": str(output) if output else None})
    elif output is None:
        sys.stdout.write(text)
    else:
        out.print(f"{output} is written; read it, then: sqlanon plan {output}", markup=False)


def _name(source: str) -> str:
    from sqlanon.spec import FILE_ENDINGS

    last = Path(source).name
    return (last.split(".")[0] if last.lower().endswith(FILE_ENDINGS) else last.rsplit(".", 1)[-1]) or "source"


@app.command()
def plan(
    spec: SpecFile,
    db: Db = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that makes the release, and nothing else.")] = False,
    utility: Usefulness = False,
    compare: Annotated[bool, typer.Option("--compare", help="The ways of recoding side by side.")] = False,
    sample: Annotated[int, typer.Option("--sample", min=0, help="Records of the sample to compare on.")] = SAMPLE_ROWS,
    time_limit: TimeLimit = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What would be published: levels or partition, measures, usefulness, cost. Changes nothing."""
    if compare and (sql or utility):
        raise SpecError("--compare stands alone: it measures every way, and prints no SQL", where="--compare")
    from sqlanon.engines import connect
    from sqlanon.showing import releases as shown

    if compare:
        from sqlanon.comparison import compare as compare_ways

        with connect(db, read_only=True) as engine, telling(as_json) as tell:
            found = compare_ways(_spec(spec, time_limit), engine, sample=sample, tell=tell)
        show(found, as_json, shown.comparison)
        return
    from sqlanon.planning import make, with_usefulness

    with connect(db, read_only=True) as engine, engine.working():
        with telling(as_json or sql) as tell:
            planned = make(_spec(spec, time_limit), engine, tell=tell)
            if utility and not sql:
                planned = with_usefulness(planned, engine, tell)
        if sql:
            text = planned.sql(engine)
            sys.stdout.write(json.dumps({"sql": text}) + "\n" if as_json else text + "\n")
        else:
            show(planned, as_json, shown.plan)


def _spec(file: Path, time_limit: float | None) -> Spec:
    from dataclasses import replace

    from sqlanon.spec import load

    spec = load(file)
    return replace(spec, recoding=replace(spec.recoding, time_limit=time_limit)) if time_limit else spec


@app.command()
def release(
    spec: SpecFile,
    db: Db = None,
    utility: Usefulness = False,
    time_limit: TimeLimit = None,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Publishes if, and only if, every model holds on what was made."""
    from sqlanon.engines import connect
    from sqlanon.release import release as publish
    from sqlanon.showing import releases as shown

    wanted = _spec(spec, time_limit)
    with connect(db, superuser=superuser) as engine:
        if wanted.publish is not None and wanted.publish.as_ != "file" and not engine.persistent:
            raise SpecError(
                f"a {wanted.publish.as_} in a database in memory would be gone at once", where="--db",
                allowed=("--db duckdb:///path.duckdb", "publish: {as: file}"),
            )  # fmt: skip
        name = wanted.publish.name if wanted.publish else ""
        with _interruptible(engine, name, _file(wanted)), telling(as_json) as tell:
            made = publish(wanted, engine, utility=utility, tell=tell)
        show(made, as_json, shown.release)


@contextmanager
def _interruptible(engine: Engine, name: str, file: Path | None = None) -> Iterator[None]:
    """Tells somebody who interrupts whether it was before or after the release: it goes on for a moment then."""
    from sqlanon import register

    def stands() -> tuple[int, int] | None:
        try:
            entry = register.current(engine, name)
        except SqlanonError:
            return None
        return entry.version if entry else 0, file.stat().st_ino if file and file.exists() else 0

    before = stands()
    try:
        yield
    except KeyboardInterrupt:
        now = stands()
        told = "nothing was published" if now == before else f"{name!r} was published before that"
        if before is None or now is None:
            told = "look with `sqlanon releases` whether it was published"
        raise SqlanonError(f"interrupted; {told}") from None


def _file(spec: Spec) -> Path | None:
    """The file that a spec publishes."""
    return Path(spec.resolve(spec.publish.path)) if spec.publish and spec.publish.path else None


@app.command()
def refresh(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release.")],
    anew: Annotated[bool, typer.Option("--anew", help="Plan the levels again; without it, they are kept.")] = False,
    db: Db = None,
    utility: Usefulness = False,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Publishes a release again from its source as it is now; the version before stands until then."""
    from sqlanon import refreshing
    from sqlanon.engines import connect
    from sqlanon.showing import releases as shown

    with connect(db, create=False, superuser=superuser) as engine:
        with _interruptible(engine, name), telling(as_json) as tell:
            made = refreshing.refresh(engine, name, anew=anew, utility=utility, tell=tell)
        show(made, as_json, shown.release)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release, or the path of a released file.")],
    db: Db = None,
    superuser: Superuser = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Measures a release again, on the rows that are there now."""
    from sqlanon import life
    from sqlanon.engines import connect
    from sqlanon.showing import releases as shown

    with connect(db, read_only=True, superuser=superuser) as engine:
        found = life.verify(engine, name)
        show(found, as_json, shown.verified)
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def releases(
    db: Db = None,
    log: Annotated[bool, typer.Option("--log", help="Who released, refreshed and withdrew what, and when.")] = False,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Every release of a database, with its versions, and whether its source has changed since."""
    from sqlanon import refreshing, register
    from sqlanon.engines import connect
    from sqlanon.showing import releases as shown

    with connect(db, read_only=True) as engine:
        if log:
            lines = register.logged(engine)
        else:
            found = refreshing.standing(engine)
    if log:
        if as_json:
            print_json({"log": [line.to_dict() for line in lines]})
        else:
            shown.log(lines)
    elif as_json:
        print_json({"releases": [one.to_dict() for one in found]})
    else:
        shown.releases(found)


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release.")],
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Takes a release away; the register keeps the fact."""
    from sqlanon import life
    from sqlanon.engines import connect

    with connect(db, create=False) as engine:
        entry = life.withdraw(engine, name)
    if as_json:
        print_json({"release": entry.name, "version": entry.version, "status": "withdrawn"})
    else:
        out.print(f"{entry.name} version {entry.version} is withdrawn.", markup=False)


@app.command("schema")
def show_schema(as_json: Json = False) -> None:
    """The JSON Schema of the spec, for editors."""
    from sqlanon.spec import schema

    sys.stdout.write(json.dumps(schema(), indent=None if as_json else 2, ensure_ascii=False) + "\n")
