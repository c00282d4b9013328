"""The command line: the public names in a terminal. Parses, calls, shows; no logic of its own."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

import sqlanon
from sqlanon import life, profiling, register, showing
from sqlanon.check import check as check_relation
from sqlanon.engines import Origin
from sqlanon.errors import EngineError, ModelNotMet, SpecError, SqlanonError
from sqlanon.hierarchies import Csv
from sqlanon.planning import make, origin_of, with_usefulness
from sqlanon.release import release as publish
from sqlanon.showing import err, out
from sqlanon.spec import FILE_ENDINGS, load, parse_model, schema
from sqlanon.utility import Known

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anonymize tables inside the database that holds them: declare, plan, release, verify.",
    epilog="Exit status: 0 done and all models hold, 1 a model does not hold (nothing published), 2 spec or usage,"
    " 3 the engine failed.",
)
Db = Annotated[str | None, typer.Option("--db", metavar="URL", help="duckdb:///path.duckdb; default: in memory.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, and nothing else there.")]
ShowErrors = Annotated[
    bool, typer.Option("--show-engine-errors", help="Show the engine's own words, which may quote cell values.")
]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a YAML file.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A table or view of the database, or a file.")]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", min=0.001, help="Seconds for the search.")]
Usefulness = Annotated[
    bool, typer.Option("--utility", help="Measure the whole usefulness: query errors, shifts, divergence and more.")
]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="What separates the values of a CSV source.")]


# -- commands ----------------------------------------------------------------------------------------------------------


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the example.")] = Path("sqlanon-demo"),
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """The main job on an example, in one command: patients, their spec, plan, release, check before and after."""
    from sqlanon import demo as example

    with showing.telling(as_json) as tell:
        tell("making 20,000 patients", None)
        file = example.write(directory)
    spec, database = load(file), directory / "clinic.duckdb"
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        keys, sensitive = spec.quasi_identifiers, spec.sensitive
        before = check_relation(engine, origin_of(spec), quasi_identifiers=keys, sensitive=sensitive)
        with showing.telling(as_json) as tell:
            made = publish(spec, engine, tell=tell)
        after = check_relation(
            engine, Origin(relation=made.name), quasi_identifiers=made.planned.plan.keys, sensitive=sensitive
        )
    if as_json:
        showing.print_json({"before": before.to_dict(), "release": made.to_dict(), "after": after.to_dict()})
        return
    showing.demo(directory, file, before, made, after)


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
    with sqlanon.connect(db, read_only=True) as engine, showing.telling(as_json) as tell:
        origin = _origin(source, delimiter)
        # The spec names its source as seen from its own folder.
        named = os.path.relpath(source, output.parent) if output is not None and origin.file is not None else source
        text = profiling.propose(profiling.profile(engine, origin, tell=tell), source_text=named, name=_name(source))
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        showing.print_json({"source": source, "spec": text, "written": str(output) if output else None})
    elif output is None:
        sys.stdout.write(text)
    else:
        out.print(f"{output} is written; read it, then: sqlanon plan {output}", markup=False)


def _name(source: str) -> str:
    return Path(source).name.split(".")[0] or "source"


_IS_CSV = re.compile(r"\.[ct]sv(\.gz|\.zst)?$")


def _origin(source: str, delimiter: str | None) -> Origin:
    """A file where it looks like one, or where a delimiter is given; files of other kinds than CSV have none."""
    known = source.lower().endswith(FILE_ENDINGS)
    own = None if known and not _IS_CSV.search(source.lower()) else delimiter
    return Origin(file=Path(source), delimiter=own) if known or delimiter is not None else Origin(relation=source)


@app.command()
def plan(
    spec: SpecFile,
    db: Db = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that makes the release, and nothing else.")] = False,
    utility: Usefulness = False,
    time_limit: TimeLimit = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What would be published: levels, measures, usefulness, cost. Changes nothing."""
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json or sql) as tell:
            planned = make(_spec(spec, time_limit), engine, tell=tell)
            if utility and not sql:
                planned = with_usefulness(planned, engine, tell)
        if sql:
            text = planned.sql(engine)
            sys.stdout.write(json.dumps({"sql": text}) + "\n" if as_json else text + "\n")
        else:
            showing.show(planned, as_json, showing.plan)


def _spec(file: Path, time_limit: float | None) -> sqlanon.Spec:
    from dataclasses import replace

    spec = load(file)
    return replace(spec, recoding=replace(spec.recoding, time_limit=time_limit)) if time_limit else spec


@app.command()
def release(
    spec: SpecFile,
    db: Db = None,
    utility: Usefulness = False,
    time_limit: TimeLimit = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Publishes if, and only if, every model holds on what was made."""
    wanted = _spec(spec, time_limit)
    with sqlanon.connect(db) as engine:
        if wanted.publish is not None and wanted.publish.as_ != "file" and not engine.persistent:
            raise SpecError(
                f"a {wanted.publish.as_} in a database in memory would be gone at once", where="--db",
                allowed=("--db duckdb:///path.duckdb", "publish: {as: file}"),
            )  # fmt: skip
        try:
            with showing.telling(as_json) as tell:
                made = publish(wanted, engine, utility=utility, tell=tell)
        except KeyboardInterrupt:
            raise SqlanonError("interrupted; nothing was published") from None
        showing.show(made, as_json, showing.release)


@app.command()
def check(
    source: Source,
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b or repeated.")] = [],  # noqa: B006
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; may be repeated.")] = [],  # noqa: B006
    model: Annotated[list[str], typer.Option("--model", help="e.g. 'l-diversity(column=s, l=3)'; repeatable.")] = [],  # noqa: B006
    hierarchy: Annotated[
        list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A column's hierarchy (csv); repeatable.")
    ] = [],  # noqa: B006
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="SOURCE", help="What SOURCE was made from: its usefulness is measured too."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(
            "--spec", metavar="FILE", help="The spec it was made by: columns, hierarchies and k come from it."
        ),
    ] = None,
    queries: Annotated[
        int, typer.Option("--queries", min=0, metavar="N", help="How many random COUNT queries are tried.")
    ] = 1000,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Measures any relation: the models that are asked for, or every measure; against its source, its usefulness."""
    models = [parse_model(text) for text in model]
    hierarchies = {name: Csv(file) for name, _, file in (text.partition("=") for text in hierarchy)}
    known = Known.by(load(spec)) if spec else Known()
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json) as tell:
            tell("measuring", None)
            origin = _origin(source, delimiter)
            keys = _names(qi, [column.name for column in engine.columns(origin)])
            known = known.and_given(keys, sensitive, hierarchies, models)
            before = known.read(engine, _origin(against, delimiter)) if against else None
            found = check_relation(
                engine, known.read(engine, origin), quasi_identifiers=known.quasi_identifiers,
                sensitive=known.sensitive, models=models, hierarchies=known.hierarchies,
                against=known.against(before, queries) if before else None,
            )  # fmt: skip
        showing.show(found, as_json, showing.check)
    if found.holds is False:
        raise typer.Exit(1)


def _names(words: list[str], known: list[str]) -> list[str]:
    """`a,b` as two names, unless a column is called just so."""
    found = [[word] if word in known else [part.strip() for part in word.split(",")] for word in words]
    return [name for names in found for name in names]


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release, or the path of a released file.")],
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Measures a release again, on the rows that are there now."""
    with sqlanon.connect(db, read_only=True) as engine:
        found = life.verify(engine, name)
        showing.show(found, as_json, showing.verified)
    if not found.holds:
        raise typer.Exit(1)


@app.command()
def releases(db: Db = None, as_json: Json = False, show_engine_errors: ShowErrors = False) -> None:
    """Every release of a database, with its versions."""
    with sqlanon.connect(db, read_only=True) as engine:
        found = register.entries(engine)
    if as_json:
        showing.print_json({"releases": [entry.to_dict() for entry in found]})
        return
    showing.releases(found)


@app.command()
def withdraw(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A release.")],
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Takes a release away; the register keeps the fact."""
    with sqlanon.connect(db, create=False) as engine:
        entry = life.withdraw(engine, name)
    if as_json:
        showing.print_json({"release": entry.name, "version": entry.version, "status": "withdrawn"})
    else:
        out.print(f"{entry.name} version {entry.version} is withdrawn.", markup=False)


@app.command("schema")
def show_schema(as_json: Json = False) -> None:
    """The JSON Schema of the spec, for editors."""
    sys.stdout.write(json.dumps(schema(), indent=None if as_json else 2, ensure_ascii=False) + "\n")


# -- failing -----------------------------------------------------------------------------------------------------------


_INTERRUPTED = 130  # how the CLI library tells of Ctrl-C
_STOPPED = SqlanonError("interrupted")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit status; every failure is a sentence, and holds no cell value."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json, verbose = "--json" in words, "--show-engine-errors" in words
    if not out.is_terminal:
        out.width = 500  # nobody reads it by the screen, so no name is broken
    try:
        status = app(args=words, standalone_mode=False, prog_name="sqlanon")
        sys.stdout.flush()
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(status) if isinstance(status, int) else 0
    except SystemExit:
        return 0  # rich ends so when the reader of a pipe has gone away
    except SqlanonError as error:
        return _failed(error, error.exit_status, as_json, verbose)
    except typer.Exit as error:
        interrupted = error.exit_code == _INTERRUPTED
        return _failed(_STOPPED, 3, as_json, verbose) if interrupted else int(error.exit_code)
    except typer.exceptions.TyperException as error:
        told = error.format_message() if hasattr(error, "format_message") else str(error)
        if not told.strip():
            return 2  # the help was shown instead
        told = re.sub(r"\(Possible options: (.*)\)", r"did you mean \1?", told)
        return _failed(SpecError(told, where="usage"), 2, as_json, verbose)
    except (KeyboardInterrupt, typer.Abort):
        return _failed(_STOPPED, 3, as_json, verbose)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        told = f"internal error: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}; please report it"
        if verbose:
            traceback.print_exc()
        return _failed(SqlanonError(told), 3, as_json, verbose)


def _failed(error: SqlanonError, status: int, as_json: bool, verbose: bool) -> int:
    err.print("[bold red]sqlanon:[/] ", end="")
    told = "\n".join(showing.printable(line) for line in str(error).split("\n"))
    err.print(told, markup=False, soft_wrap=True)
    if isinstance(error, EngineError):
        if verbose:
            err.print(error.engine_text, markup=False, soft_wrap=True)
        elif error.engine_text:
            err.print("The engine's own words may quote cells; see them with --show-engine-errors.", style="dim")
    if as_json:
        models = [verdict.to_dict() for verdict in error.models] if isinstance(error, ModelNotMet) else []
        showing.print_json(
            {"error": type(error).__name__, "message": str(error), "exit_status": status, "models": models}
        )
    return status


def run() -> None:
    """The entry point of the console script."""
    sys.exit(main())
