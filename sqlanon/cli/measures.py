"""Measures of any relation: models, attacks, risks; and what presets ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqlanon.cli.options import (
    Db,
    Delimiter,
    Hierarchies,
    Json,
    Population,
    ShowErrors,
    Source,
    app,
    equal,
    names,
    origin_named,
    separated,
    split,
)
from sqlanon.errors import SpecError
from sqlanon.showing.terminal import print_json, show, telling


@app.command()
def check(
    source: Source,
    qi: Annotated[list[str], typer.Option("--qi", help="Quasi-identifiers: a,b or repeated.")] = [],  # noqa: B006
    sensitive: Annotated[list[str], typer.Option("--sensitive", help="A sensitive column; may be repeated.")] = [],  # noqa: B006
    model: Annotated[
        list[str], typer.Option("--model", help="e.g. 'l-diversity(column=s, l=3)', or a preset; repeatable.")
    ] = [],  # noqa: B006
    hierarchy: Annotated[
        list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A column's hierarchy (csv); repeatable.")
    ] = [],  # noqa: B006
    population: Population = None,
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
    from sqlanon.check import check as check_relation
    from sqlanon.engines import connect
    from sqlanon.hierarchies import Csv
    from sqlanon.reading import parse_model
    from sqlanon.showing import measures as shown
    from sqlanon.spec import load
    from sqlanon.utility import Described

    models = [parse_model(text) for text in model]
    hierarchies = {name: Csv(file) for name, _, file in (text.partition("=") for text in hierarchy)}
    by = load(spec) if spec else None
    known = Described.by(by) if by else Described()
    with connect(db, read_only=True) as engine:
        with telling(as_json) as tell:
            tell("measuring", None)
            origin = origin_named(source, delimiter)
            keys = names(qi, [column.name for column in engine.columns(origin)])
            known = known.and_given(keys, sensitive, hierarchies, models)
            before = known.read(engine, origin_named(against, delimiter)) if against else None
            found = check_relation(
                engine, known.read(engine, origin), quasi_identifiers=known.quasi_identifiers,
                sensitive=known.sensitive, models=models, hierarchies=known.hierarchies,
                against=known.against(before, queries) if before else None,
                population=origin_named(population, None) if population else None,
                policy=by.policy.seen_from_here(by.base) if by and by.policy else None,
            )  # fmt: skip
        show(found, as_json, shown.check)
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
    from sqlanon.attacks import Known, parse_attack
    from sqlanon.engines import connect
    from sqlanon.hierarchies import Csv
    from sqlanon.showing import measures as shown
    from sqlanon.verbs import attack as run_attacks

    wanted = [parse_attack(text) for text in attacks]
    person = equal(external_person) if external_person else None
    with connect(db, read_only=True) as engine, telling(as_json) as tell:
        tell("attacking", None)
        attacked = origin_named(source, delimiter) if delimiter else source
        found = run_attacks(
            attacked, quasi_identifiers=split(qi, attacked, engine), sensitive=sensitive, attacks=wanted, every=every,
            engine=engine, hierarchies={name: Csv(file) for name, file in map(equal, hierarchy)}, others=other,
            external=Known(origin_named(external, None), dict(map(equal, external_qi)), person) if external else None,
            population=Known(origin_named(population, None), dict(map(equal, population_qi))) if population else None,
        )  # fmt: skip
    show(found, as_json, shown.attacked)
    if fail_on_breach and found.breached:
        raise typer.Exit(1)


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
    from sqlanon.engines import connect
    from sqlanon.risk import risk as measure_risk
    from sqlanon.safe_harbor import safe_harbor as check_identifiers
    from sqlanon.showing import measures as shown

    if not qi and not safe_harbor:
        raise SpecError("nothing to measure", where="usage", allowed=("--qi", "--safe-harbor"))
    with connect(db, read_only=True) as engine:
        with telling(as_json) as tell:
            tell("measuring", None)
            origin = origin_named(source, delimiter)
            known = [column.name for column in engine.columns(origin)]
            found = identifiers = None
            if qi:
                everybody = origin_named(population, separated(population, delimiter)) if population else None
                found = measure_risk(
                    engine, origin, quasi_identifiers=names(qi, known), entity=entity, population=everybody,
                    population_size=population_size, threshold=threshold, subsets=subsets, suda=suda,
                    suda_size=suda_size,
                )  # fmt: skip
            if safe_harbor:
                identifiers = check_identifiers(engine, origin)
        if as_json:
            listed = {"safe_harbor": identifiers.to_dict()} if identifiers else {}
            print_json({**(found.to_dict() if found else {"source": str(origin)}), **listed})
            return
        shown.risk(found, identifiers)


@app.command("presets")
def show_presets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A preset; without it, all of them.")] = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """What laws, guidance and papers ask for, as models; with a name, what it expands to and its source."""
    from sqlanon import presets
    from sqlanon.showing import measures as shown

    if name is not None:
        chosen = presets.preset(name)
        if as_json:
            print_json(chosen.to_dict())
        else:
            shown.preset(chosen)
    elif as_json:
        print_json({"presets": [one.to_dict() for one in presets.PRESETS.values()]})
    else:
        shown.presets(list(presets.PRESETS.values()))
