"""What becomes of a source before it is recoded: the transforms of its spec, and the sample of a SafePub release.

The source itself is never changed. Transforms of one value alone (rounding, coding) stand in its place as a query, so
that a view can have them. As soon as one draws or looks at other records, all are applied once, in turn, into a working
table of this connection: what is planned, judged and published is then the same draw.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlanon import query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.models import SafePub
from sqlanon.plan import Source, transformed
from sqlanon.query import Query, Text
from sqlanon.recoding.transforms import Records, Transform, numbered, perturbed

# The working tables of the transformed records, and of those that a differentially private release is drawn from.
TRANSFORMED, SAMPLE = "sqlanon transformed", "sqlanon sample"


def secret_key() -> str:
    """The key of all that is drawn and of the row order: from the environment, else drawn for once and forgotten."""
    return os.environ.get("SQLANON_KEY") or secrets.token_hex(16)


def prepared(source: Source, engine: Engine) -> Source:
    """The source as it is planned: with its transforms applied, then sampled where its models ask for that.

    Raises `SpecError` for a column that a transform, or afterwards its hierarchy, cannot change, and `EngineError`.
    """
    transforms = source.spec.transforms
    if transforms and source.population is not None:
        source = _alike(source, transforms, engine)
    if transforms and all(transform.in_views for transform in transforms):
        source = _in_place(source, transforms, engine)
    elif transforms:
        source = _once(source, transforms, engine)
    model = next((m for m in source.spec.privacy if isinstance(m, SafePub)), None)
    return _sampled(source, model, engine) if model else source


def _in_place(source: Source, transforms: Sequence[Transform], engine: Engine) -> Source:
    """A query in the place of the source."""
    records = Records(source.step(), "source", _families(source.columns, source.step_columns))
    item = _item(perturbed(records, transforms).query, engine)
    return transformed(source, item, engine.columns(Origin(query=f"SELECT * FROM {item} AS s")))


def _alike(source: Source, transforms: Sequence[Transform], engine: Engine) -> Source:
    """The population with its quasi-identifiers changed alike, by transforms of one value: no others are here."""
    keys = source.quasi_identifiers
    people = Records(source.people(), "people", _families(source.columns, keys))
    shared = [transform for transform in transforms if set(transform.touched) & set(keys)]
    return replace(source, population=_item(perturbed(people, shared, view=True).query, engine))


def _once(source: Source, transforms: Sequence[Transform], engine: Engine) -> Source:
    """A working table of the transformed records, made in one go."""
    chain, columns = source.step(), [source.columns[name] for name in source.step_columns]
    counted = chain.then("counted", query.fragment("select count(*) from source"))
    ((size,),) = engine.run("count the records", counted)
    made = perturbed(numbered(chain, "source", columns, int(size)), transforms).query
    with engine.functions(secret_key()):
        engine.temporary("transform the source", TRANSFORMED, made)
    item = engine.rendered(query.table(TRANSFORMED))
    found = transformed(source, item, engine.columns(Origin(query=f"SELECT * FROM {item} AS s")))
    return replace(found, working=((TRANSFORMED, made),))


def _sampled(source: Source, model: SafePub, engine: Engine) -> Source:
    """Draws each record with the mechanism's probability into a working table, once for plan and release."""
    drawn = Text(f"SELECT * FROM {source.origin} AS s WHERE random() < {model.sampling!r}")
    engine.temporary("draw the sample", SAMPLE, drawn)
    return replace(source, origin=engine.rendered(query.table(SAMPLE)), working=(*source.working, (SAMPLE, drawn)))


def _families(columns: Mapping[str, Column], names: Sequence[str]) -> dict[str, str]:
    return {name: columns[name].family for name in names}


def _item(made: Query, engine: Engine) -> str:
    return f"(\n{engine.rendered(Query(tuple(replace(step, inline=True) for step in made.steps)))}\n)"
