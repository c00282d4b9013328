"""The command line: the public names in a terminal. Parses, calls, shows; no logic of its own."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import markup
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import sqlanon
from sqlanon import life, profiling, register
from sqlanon.check import check as check_relation
from sqlanon.engines import Origin
from sqlanon.errors import EngineError, ModelNotMet, SpecError, SqlanonError
from sqlanon.hierarchies import Csv
from sqlanon.planning import Planned, Tell, make, origin_of, silent
from sqlanon.release import release as publish
from sqlanon.spec import FILE_ENDINGS, load, parse_model, schema

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anonymize tables inside the database that holds them: declare, plan, release, verify.",
    epilog="Exit status: 0 done and all models hold, 1 a model does not hold (nothing published), 2 spec or usage,"
    " 3 the engine failed.",
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False)

Db = Annotated[str | None, typer.Option("--db", metavar="URL", help="duckdb:///path.duckdb; default: in memory.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, and nothing else there.")]
ShowErrors = Annotated[
    bool, typer.Option("--show-engine-errors", help="Show the engine's own words, which may quote cell values.")
]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a YAML file.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A table or view of the database, or a file.")]
TimeLimit = Annotated[float | None, typer.Option("--time-limit", min=0.001, help="Seconds for the search.")]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="What separates the values of a CSV source.")]


def escape(text: str) -> str:
    """A name from outside, so that neither rich nor the terminal takes any of it for an instruction."""
    return markup.escape(_printable(text))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# -- showing -----------------------------------------------------------------------------------------------------------


@contextmanager
def _telling(as_json: bool) -> Iterator[Tell]:
    """A progress bar on a terminal; silence for machines."""
    if as_json or not err.is_terminal:
        yield silent
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def tell(what: str, done: float | None) -> None:
            progress.update(task, description=what, total=None if done is None else 1.0, completed=done or 0.0)

        yield tell


def _print_json(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def _show(found: Any, as_json: bool, people: Callable[[Any], None]) -> None:
    if as_json:
        _print_json(found.to_dict())
    else:
        people(found)


def _number(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _table(title: str, *columns: str) -> Table:
    made = Table(
        title=Text(_printable(title), style="bold"), title_justify="left", header_style="dim", box=None, pad_edge=False
    )
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return made


def _models(verdicts: list[dict[str, Any]], title: str) -> Table:
    judged = any(v["holds"] is not None for v in verdicts)
    made = _table(title, "model", "measured", *(("bound", "classes off", "records off", "") if judged else ()))
    for v in verdicts:
        words = [f"{key} {value}" for key, value in v["parameters"].items()]
        name = " ".join(
            filter(
                None, [v["model"], f"of {v['column']}" if v["column"] else "", f"({', '.join(words)})" if words else ""]
            )
        )
        row: list[str | Text] = [escape(name), _number(v["value"])]
        if judged:
            verdict = Text("holds", style="green") if v["holds"] else Text("does not hold", style="bold red")
            row += [_number(v["bound"]), _number(v["classes_violating"]), _number(v["rows_violating"]), verdict]
        made.add_row(*row)
    return made


def _show_plan(planned: Planned) -> None:
    found, source = planned.to_dict(), planned.plan.source
    made = _table("What each quasi-identifier becomes", "column", "level", "of", "hierarchy")
    for name, level in found["levels"].items():
        made.add_row(escape(name), str(level), str(source.height(name)), source.hierarchy(name).name)
    out.print(made)
    out.print()
    out.print(_models(found["models"], "What was promised, and what the plan comes to"))
    out.print()
    out.print(_counts(found))
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")


def _counts(found: dict[str, Any]) -> str:
    share = found["suppressed"] / found["rows_in"] if found["rows_in"] else 0
    utility = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in found["utility"].items())
    return (
        f"{found['rows_out']:,} of {found['rows_in']:,} records in {found['classes']:,} classes;"
        f" {found['suppressed']:,} suppressed ({share:.2%}).\n"
        f"Usefulness: {utility}.\n"
        f"{found['nodes_checked']:,} of {found['nodes']:,} transformations counted in {found['seconds']:.2f} s."
    )


# -- commands ----------------------------------------------------------------------------------------------------------


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put the example.")] = Path("sqlanon-demo"),
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """The main job on an example, in one command: patients, their spec, plan, release, check before and after."""
    from sqlanon import demo as example

    with _telling(as_json) as tell:
        tell("making 20,000 patients", None)
        file = example.write(directory)
    spec, database = load(file), directory / "clinic.duckdb"
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        keys, sensitive = spec.quasi_identifiers, spec.sensitive
        before = check_relation(engine, origin_of(spec), quasi_identifiers=keys, sensitive=sensitive)
        with _telling(as_json) as tell:
            made = publish(spec, engine, tell=tell)
        after = check_relation(
            engine, Origin(relation=made.name), quasi_identifiers=made.planned.plan.keys, sensitive=sensitive
        )
    if as_json:
        _print_json({"before": before.to_dict(), "release": made.to_dict(), "after": after.to_dict()})
        return
    out.print(
        f"[bold]1. The table[/]  {directory / 'patients.csv'}: {before.rows:,} hospital stays. Names are in it, but"
    )
    out.print(
        f"   leave them out and {before.classes:,} combinations of {', '.join(keys)} still tell most people apart."
    )
    out.print(f"[bold]2. The spec[/]   {file}: what each column is, and what must hold. Open it, it is short.\n")
    out.print(
        f"[bold]3. The plan[/]   the least loss that satisfies every model, of {made.planned.found.nodes:,} ways.\n"
    )
    _show_plan(made.planned)
    out.print(f"\n[bold]4. The release[/]  table {made.name} in {database}, measured again on its own rows first.\n")
    compared = _table("Before and after", "measure", "patients.csv", made.name)
    for one, two in zip(before.to_dict()["models"], after.to_dict()["models"], strict=True):
        words = [str(value) for value in one["parameters"].values()]
        compared.add_row(" ".join([one["model"], *words]), _number(one["value"]), _number(two["value"]))
    out.print(compared)
    url = f"duckdb:///{database}"
    out.print("\n[bold]Next[/]")
    for line in (
        f"sqlanon plan {file} --sql            # the SQL that a DBA can review",
        f"sqlanon verify {made.name} --db {url}   # measure it again, any time",
        "edit the spec (k: 10, or t: 0.25) and run: " + f"sqlanon release {file} --db {url}",
        "sqlanon init YOUR.csv -o spec.yaml   # a spec for your own table",
    ):
        out.print(f"  {line}", markup=False)


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
    with sqlanon.connect(db, read_only=True) as engine, _telling(as_json) as tell:
        origin = _origin(source, delimiter)
        # The spec names its source as seen from its own folder.
        named = os.path.relpath(source, output.parent) if output is not None and origin.file is not None else source
        text = profiling.propose(profiling.profile(engine, origin, tell=tell), source_text=named, name=_name(source))
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if as_json:
        _print_json({"source": source, "spec": text, "written": str(output) if output else None})
    elif output is None:
        sys.stdout.write(text)
    else:
        out.print(f"{output} is written; read it, then: sqlanon plan {output}", markup=False)


def _name(source: str) -> str:
    return Path(source).name.split(".")[0] or "source"


def _origin(source: str, delimiter: str | None) -> Origin:
    file = delimiter is not None or source.lower().endswith(FILE_ENDINGS)
    return Origin(file=Path(source), delimiter=delimiter) if file else Origin(relation=source)


@app.command()
def plan(
    spec: SpecFile,
    db: Db = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL that makes the release, and nothing else.")] = False,
    time_limit: TimeLimit = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What would be published: levels, measures, usefulness, cost. Changes nothing."""
    with sqlanon.connect(db, read_only=True) as engine:
        with _telling(as_json or sql) as tell:
            planned = make(_spec(spec, time_limit), engine, tell=tell)
        if sql:
            text = planned.sql(engine)
            sys.stdout.write(json.dumps({"sql": text}) + "\n" if as_json else text + "\n")
        else:
            _show(planned, as_json, _show_plan)


def _spec(file: Path, time_limit: float | None) -> sqlanon.Spec:
    from dataclasses import replace

    spec = load(file)
    return replace(spec, recoding=replace(spec.recoding, time_limit=time_limit)) if time_limit else spec


@app.command()
def release(
    spec: SpecFile,
    db: Db = None,
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
            with _telling(as_json) as tell:
                made = publish(wanted, engine, tell=tell)
        except KeyboardInterrupt:
            raise SqlanonError("interrupted; nothing was published") from None
        _show(made, as_json, _show_release)


def _show_release(made: sqlanon.Release) -> None:
    found = made.to_dict()
    out.print(_models(found["models"], "Measured on the published rows"))
    out.print()
    out.print(_counts(found))
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    out.print(
        f"[bold green]Published[/] {escape(made.name)} version {made.entry.version} as {made.entry.kind}:"
        f" {escape(made.location)}"
    )


@app.command()
def check(
    source: Source,
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b or repeated.")],
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; may be repeated.")] = [],  # noqa: B006
    model: Annotated[list[str], typer.Option("--model", help="e.g. 'l-diversity(column=s, l=3)'; repeatable.")] = [],  # noqa: B006
    hierarchy: Annotated[
        list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A sensitive column's hierarchy (csv).")
    ] = [],  # noqa: B006
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Measures any relation: the models that are asked for, or every measure."""
    models = [parse_model(text) for text in model]
    hierarchies = {name: Csv(file) for name, _, file in (text.partition("=") for text in hierarchy)}
    with sqlanon.connect(db, read_only=True) as engine:
        with _telling(as_json) as tell:
            tell("measuring", None)
            origin = _origin(source, delimiter)
            known = [column.name for column in engine.columns(origin)]
            found = check_relation(
                engine, origin, quasi_identifiers=_names(qi, known), sensitive=sensitive, models=models,
                hierarchies=hierarchies,
            )  # fmt: skip
        _show(found, as_json, _show_check)
    if found.holds is False:
        raise typer.Exit(1)


def _names(words: list[str], known: list[str]) -> list[str]:
    """`a,b` as two names, unless a column is called just so."""
    found = [[word] if word in known else [part.strip() for part in word.split(",")] for word in words]
    return [name for names in found for name in names]


def _show_check(found: sqlanon.Check) -> None:
    out.print(
        _models(found.to_dict()["models"], f"{found.source}: {found.rows:,} records in {found.classes:,} classes")
    )


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
        _show(found, as_json, _show_verified)
    if not found.holds:
        raise typer.Exit(1)


def _show_verified(found: life.Verified) -> None:
    entry = found.entry
    out.print(_models(found.to_dict()["models"], f"{entry.name} version {entry.version}: {found.rows:,} records"))
    for note in found.notes:
        out.print(f"[yellow]Note:[/] {escape(note)}")
    if entry.expired:
        out.print("[yellow]Note:[/] this release has expired; withdraw it")


@app.command()
def releases(db: Db = None, as_json: Json = False, show_engine_errors: ShowErrors = False) -> None:
    """Every release of a database, with its versions."""
    with sqlanon.connect(db, read_only=True) as engine:
        found = register.entries(engine)
    if as_json:
        _print_json({"releases": [entry.to_dict() for entry in found]})
        return
    made = _table("Releases", "name", "version", "status", "as", "records", "released", "expires", "where")
    for e in found:
        expires = "–" if e.expires_at is None else f"{e.expires_at:%Y-%m-%d}{' (expired)' if e.expired else ''}"
        made.add_row(
            escape(e.name),
            str(e.version),
            e.status,
            e.kind,
            f"{e.rows_out:,}",
            f"{e.released_at:%Y-%m-%d %H:%M}",
            expires,
            escape(e.location),
        )
    out.print(made if found else "There are no releases here.")


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
        _print_json({"release": entry.name, "version": entry.version, "status": "withdrawn"})
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
    told = "\n".join(_printable(line) for line in str(error).split("\n"))
    err.print(told, markup=False, soft_wrap=True)
    if isinstance(error, EngineError):
        if verbose:
            err.print(error.engine_text, markup=False, soft_wrap=True)
        elif error.engine_text:
            err.print("The engine's own words may quote cells; see them with --show-engine-errors.", style="dim")
    if as_json:
        models = [verdict.to_dict() for verdict in error.models] if isinstance(error, ModelNotMet) else []
        _print_json({"error": type(error).__name__, "message": str(error), "exit_status": status, "models": models})
    return status


def run() -> None:
    """The entry point of the console script."""
    sys.exit(main())
