"""Predictions of a sensitive value, and models of where data flows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sqlanon.cli.options import (
    Db,
    Delimiter,
    Json,
    ShowErrors,
    Source,
    app,
    names,
    origin_named,
)
from sqlanon.defaults import STATES
from sqlanon.errors import SpecError
from sqlanon.showing.terminal import show, telling


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
    from sqlanon import margins, pictures, policies, prediction, removal
    from sqlanon.engines import connect
    from sqlanon.exploring import explore
    from sqlanon.prediction import Target
    from sqlanon.showing import flows as shown

    agreed = policies.load(policy) if policy else None
    target = Target(column, margins.margin(margin) if margin else None,
                    prediction.threshold(threshold, threshold_column, agreed, above=above))  # fmt: skip
    way = removal.method(remove)
    with connect(db, read_only=True) as engine:
        with telling(as_json) as tell:
            tell("measuring", None)
            origin = origin_named(source, delimiter)
            known = [found.name for found in engine.columns(origin)]
            found = explore(
                engine, origin, target, names(fields, known), all_subsets=all_subsets, remove=way, seed=seed,
                original=origin_named(original, delimiter) if original else None, rules=rule,
                base=policy.parent if policy else Path(),
            )  # fmt: skip
        if plot is not None:
            pictures.bars(found, plot)
        show(found, as_json, shown.predicted)
    if found.blocked:
        raise typer.Exit(1)


@app.command()
def flow(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model, a YAML file (or OPERANDO's XML).")],
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 if a rule blocks.")] = False,
    dot: Annotated[bool, typer.Option("--dot", help="Print the states for Graphviz, and nothing else.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print the states for Mermaid, and nothing else.")] = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the states into this SVG or PNG.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most states.")] = STATES,
    db: Db = None,
    as_json: Json = False,
    show_engine_errors: ShowErrors = False,
) -> None:
    """The data-flow privacy model: states, risk transitions, violations, rules."""
    from sqlanon import pictures
    from sqlanon.engines import connect
    from sqlanon.flow import drawing
    from sqlanon.flow import model as flow_model
    from sqlanon.flow.risks import assess
    from sqlanon.showing import flows as shown

    read = flow_model.load(model)
    if gate and not read.rules:
        raise SpecError("a gate without rules lets everything pass; write rules into the model", where="--gate")
    with connect(db, read_only=True) as engine:
        with telling(as_json or dot or mermaid) as tell:
            found = assess(read, engine, limit=limit, tell=tell)
        if picture is not None:
            pictures.states(found, picture)
        if (dot or mermaid) and not as_json:
            sys.stdout.write(drawing.dot(found) if dot else drawing.mermaid(found))
        else:
            show(found, as_json, shown.flow)
    if gate and found.blocked:
        raise typer.Exit(1)
