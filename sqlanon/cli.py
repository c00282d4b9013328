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
from sqlanon import life, margins, pictures, policies, prediction, presets, profiling, register, removal, showing
from sqlanon.attacks import Known, parse_attack
from sqlanon.check import check as check_relation
from sqlanon.engines import Origin
from sqlanon.errors import EngineError, ModelNotMet, SpecError, SqlanonError
from sqlanon.exploring import explore
from sqlanon.flow import drawing
from sqlanon.flow import model as flow_model
from sqlanon.flow.risks import assess
from sqlanon.flow.states import LIMIT
from sqlanon.hierarchies import Csv
from sqlanon.planning import make, origin_of
from sqlanon.prediction import Target
from sqlanon.release import release as publish
from sqlanon.risk import risk as measure_risk
from sqlanon.safe_harbor import safe_harbor as check_identifiers
from sqlanon.showing import err, out
from sqlanon.spec import FILE_ENDINGS, load, parse_model, schema

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
Population = Annotated[
    str | None, typer.Option("--population", help="The table or file that the records are from: for k-map, presence.")
]
Delimiter = Annotated[str | None, typer.Option("--delimiter", help="What separates the values of a CSV source.")]
Hierarchies = Annotated[
    list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A column's hierarchy (csv); repeatable.")
]


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
        with showing.telling(as_json or sql) as tell:
            planned = make(_spec(spec, time_limit), engine, tell=tell)
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
                made = publish(wanted, engine, tell=tell)
        except KeyboardInterrupt:
            raise SqlanonError("interrupted; nothing was published") from None
        showing.show(made, as_json, showing.release)


@app.command()
def check(
    source: Source,
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b or repeated.")],
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; may be repeated.")] = [],  # noqa: B006
    model: Annotated[list[str], typer.Option("--model", help="e.g. 'l-diversity(column=s, l=3)'; repeatable.")] = [],  # noqa: B006
    hierarchy: Annotated[
        list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A sensitive column's hierarchy (csv).")
    ] = [],  # noqa: B006
    population: Population = None,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Measures any relation: the models that are asked for, or every measure."""
    models = [parse_model(text) for text in model]
    hierarchies = {name: Csv(file) for name, _, file in (text.partition("=") for text in hierarchy)}
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json) as tell:
            tell("measuring", None)
            origin = _origin(source, delimiter)
            known = [column.name for column in engine.columns(origin)]
            found = check_relation(
                engine, origin, quasi_identifiers=_names(qi, known), sensitive=sensitive, models=models,
                hierarchies=hierarchies, population=_origin(population, None) if population else None,
            )  # fmt: skip
        showing.show(found, as_json, showing.check)
    if found.holds is False:
        raise typer.Exit(1)


@app.command()
def attack(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A release, a table or view, or a file.")],
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b; a release knows its own.")] = [],  # noqa: B006
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; repeatable.")] = [],  # noqa: B006
    attacks: Annotated[list[str], typer.Option("--attack", help="e.g. 'skewness(ratio=2)'; repeatable.")] = [],  # noqa: B006
    every: Annotated[bool, typer.Option("--all", help="All other attacks too, with their defaults.")] = False,
    hierarchy: Hierarchies = [],  # noqa: B006
    external: Annotated[str | None, typer.Option("--external", help="A table that names people, to link with.")] = None,
    external_qi: Annotated[
        list[str], typer.Option("--external-qi", metavar="NAME=COLUMN", help="Its column for a quasi-identifier.")
    ] = [],  # noqa: B006
    external_person: Annotated[
        str | None, typer.Option("--external-person", metavar="COLUMN=COLUMN", help="Who is who, there and in SOURCE.")
    ] = None,
    population: Annotated[str | None, typer.Option("--population", help="A table that holds everybody.")] = None,
    population_qi: Annotated[
        list[str], typer.Option("--population-qi", metavar="NAME=COLUMN", help="Its column for a quasi-identifier.")
    ] = [],  # noqa: B006
    other: Annotated[list[str], typer.Option("--with", help="Another release of the same source; repeatable.")] = [],  # noqa: B006
    fail_on_breach: Annotated[
        bool, typer.Option("--fail-on-breach", help="Exit with 1 if anything is breached.")
    ] = False,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Runs the known attacks against a relation or a release, and says what they learnt; a breach is information."""
    wanted = [parse_attack(text) for text in attacks]
    person = _equal(external_person) if external_person else None
    with sqlanon.connect(db, read_only=True) as engine, showing.telling(as_json) as tell:
        tell("attacking", None)
        attacked = _origin(source, delimiter) if delimiter else source
        found = sqlanon.attack(
            attacked, quasi_identifiers=_split(qi, attacked, engine), sensitive=sensitive, attacks=wanted, every=every,
            engine=engine, hierarchies={name: Csv(file) for name, file in map(_equal, hierarchy)}, others=other,
            external=Known(_origin(external, None), dict(map(_equal, external_qi)), person) if external else None,
            population=Known(_origin(population, None), dict(map(_equal, population_qi))) if population else None,
        )  # fmt: skip
    showing.show(found, as_json, showing.attacked)
    if fail_on_breach and found.breached:
        raise typer.Exit(1)


def _equal(text: str) -> tuple[str, str]:
    """`a=b` as two names; a name alone stands for both."""
    left, equal, right = text.partition("=")
    return left, right if equal else left


def _split(words: list[str], source: str | Origin, engine: sqlanon.DuckDB) -> list[str]:
    """`a,b` as two names, unless a column of the source is called just so."""
    if not any("," in word for word in words):
        return words
    origin = source if isinstance(source, Origin) else _origin(source, None)
    return _names(words, [column.name for column in engine.columns(origin)])


@app.command()
def predict(
    source: Source,
    column: Annotated[str, typer.Option("--column", help="The sensitive column that somebody tries to predict.")],
    fields: Annotated[list[str], typer.Option("--fields", help="What the observer has: a,b or repeated.")],
    margin: Annotated[str | None, typer.Option("--margin", help="How near counts: 5, 0.5; for dates 30d, 12h.")] = None,
    threshold: Annotated[str | None, typer.Option("--threshold", help="A share for all, e.g. 0.9 (default).")] = None,
    threshold_column: Annotated[
        str | None, typer.Option("--threshold-column", help="A column of each record's threshold.")
    ] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="A YAML file with a policy, e.g. a spec.")] = None,
    above: Annotated[bool, typer.Option("--above", help="Only shares above the threshold are violations.")] = False,
    all_subsets: Annotated[bool, typer.Option("--all-subsets", help="Every subset of the fields.")] = False,
    remove: Annotated[
        str | None, typer.Option("--remove", help="Work out removal: iteration, greedy or minimum.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of what iteration draws at random.")] = 0,
    original: Annotated[
        str | None, typer.Option("--original", metavar="SOURCE", help="Compare statistics with this table or file.")
    ] = None,
    rule: Annotated[list[str], typer.Option("--rule", help="IF … THEN block; repeatable; exit 1 if one blocks.")] = [],  # noqa: B006
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw bars into this SVG or PNG.")] = None,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """How well a sensitive value can be predicted, from which fields, and what stops that. Changes nothing."""
    agreed = policies.load(policy) if policy else None
    target = Target(column, margins.margin(margin) if margin else None,
                    prediction.threshold(threshold, threshold_column, agreed, above=above))  # fmt: skip
    way = removal.method(remove)
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json) as tell:
            tell("measuring", None)
            origin = _origin(source, delimiter)
            known = [found.name for found in engine.columns(origin)]
            found = explore(
                engine, origin, target, _names(fields, known), all_subsets=all_subsets, remove=way, seed=seed,
                original=_origin(original, delimiter) if original else None, rules=rule,
                base=policy.parent if policy else Path(),
            )  # fmt: skip
        if plot is not None:
            pictures.bars(found, plot)
        showing.show(found, as_json, showing.predicted)
    if found.blocked:
        raise typer.Exit(1)


@app.command()
def flow(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model, a YAML file (or OPERANDO's XML).")],
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if a rule blocks.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="Print the states for Graphviz, and nothing else.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the states for Mermaid, and nothing else.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the states into this SVG or PNG.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most states.")] = LIMIT,
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """The data-flow privacy model: states, risk transitions, violations, rules."""
    read = flow_model.load(model)
    if gate and not read.rules:
        raise SpecError("a gate without rules lets everything pass; write rules into the model", where="--gate")
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json or dot or mermaid) as tell:
            found = assess(read, engine, limit=limit, tell=tell)
        if picture is not None:
            pictures.states(found, picture)
        if (dot or mermaid) and not as_json:
            sys.stdout.write(drawing.dot(found) if dot else drawing.mermaid(found))
        else:
            showing.show(found, as_json, showing.flow)
    if gate and found.blocked:
        raise typer.Exit(1)


def _names(words: list[str], known: list[str]) -> list[str]:
    """`a,b` as two names, unless a column is called just so."""
    found = [[word] if word in known else [part.strip() for part in word.split(",")] for word in words]
    return [name for names in found for name in names]


@app.command()
def risk(
    source: Source,
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b or repeated.")] = [],  # noqa: B006
    entity: Annotated[str | None, typer.Option("--entity", help="Who a record is about: persons are counted.")] = None,
    population: Annotated[
        str | None, typer.Option("--population", metavar="RELATION", help="A table or file of the whole population.")
    ] = None,
    population_size: Annotated[
        int | None, typer.Option("--population-size", min=1, help="How many the population has, without a table of it.")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", help="Above this risk a record is at risk.")] = 0.2,
    subsets: Annotated[int, typer.Option("--subsets", help="Subsets of up to so many columns; 0 for none.")] = 3,
    suda: Annotated[bool, typer.Option("--suda", help="Score special uniques (SUDA2).")] = False,
    suda_size: Annotated[
        int | None, typer.Option("--suda-size", min=1, help="Columns of a unique set, at most.")
    ] = None,
    safe_harbor: Annotated[bool, typer.Option("--safe-harbor", help="HIPAA Safe Harbor's 18 identifiers.")] = False,
    db: Db = None,
    delimiter: Delimiter = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """Who could be found in a relation, how likely, and which columns make it so; judges nothing."""
    if not qi and not safe_harbor:
        raise SpecError("nothing to measure", where="usage", allowed=("--qi", "--safe-harbor"))
    with sqlanon.connect(db, read_only=True) as engine:
        with showing.telling(as_json) as tell:
            tell("measuring", None)
            origin = _origin(source, delimiter)
            known = [column.name for column in engine.columns(origin)]
            found = identifiers = None
            if qi:
                everybody = _origin(population, _separated(population, delimiter)) if population else None
                found = measure_risk(
                    engine, origin, quasi_identifiers=_names(qi, known), entity=entity, population=everybody,
                    population_size=population_size, threshold=threshold, subsets=subsets, suda=suda,
                    suda_size=suda_size,
                )  # fmt: skip
            if safe_harbor:
                identifiers = check_identifiers(engine, origin)
        if as_json:
            listed = {"safe_harbor": identifiers.to_dict()} if identifiers else {}
            showing.print_json({**(found.to_dict() if found else {"source": str(origin)}), **listed})
            return
        showing.risk(found, identifiers)


def _separated(source: str, delimiter: str | None) -> str | None:
    """The delimiter is for text files; a population may be a table."""
    return delimiter if source.lower().endswith((".csv", ".tsv", ".txt")) else None


@app.command("presets")
def show_presets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A preset; without it, all of them.")] = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What laws, guidance and papers ask for, as models; with a name, what it expands to and its source."""
    if name is not None:
        chosen = presets.preset(name)
        if as_json:
            showing.print_json(chosen.to_dict())
        else:
            showing.preset(chosen)
    elif as_json:
        showing.print_json({"presets": [one.to_dict() for one in presets.PRESETS.values()]})
    else:
        showing.presets(list(presets.PRESETS.values()))


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
