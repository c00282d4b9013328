"""The ways of recoding side by side, so that a person can choose: on a sample of the source, and on all of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlanon import query
from sqlanon.defaults import SAMPLE_ROWS
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.planning import make_from, source_of, with_usefulness
from sqlanon.query import Text, fragment
from sqlanon.shown import Shown
from sqlanon.spec import Recoding, Spec
from sqlanon.telling import Tell, silent

_SAMPLE = "sqlanon comparison sample"

# The ways by name: the keys of `recoding` that make them what they are.
WAYS: dict[str, dict[str, Any]] = {
    "full-domain": {"method": "full-domain"},
    "mondrian": {"method": "mondrian", "cuts": "strict"},
    "mondrian, relaxed": {"method": "mondrian", "cuts": "relaxed"},
    "hilbert": {"method": "hilbert"},
    "hilbert, plain SQL": {"method": "hilbert", "order": "gray", "groups": "even"},
}


@dataclass(frozen=True)
class Way:
    """What one way of recoding came to; without numbers where it has none to give, and then `problem` says why.

    `gcp`: global certainty penalty, 0 nothing lost, 1 everything; `loss`: ARX's; both by the same definition for all
    ways, suppressed records included. `seconds`: for the plan, without the measuring of what it loses.
    """

    name: str
    recoding: dict[str, Any]
    gcp: float | None = None
    loss: float | None = None
    classes: int | None = None
    average_class_size: float | None = None
    suppressed: int | None = None
    seconds: float | None = None
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Comparison(Shown):
    """The ways on a sample (empty where the source is no larger) and on all records of the source."""

    release: str | None
    engine: str
    sample_rows: int
    sample: tuple[Way, ...]
    rows: int
    whole: tuple[Way, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "engine": self.engine,
            "sample": {"rows": self.sample_rows, "ways": [way.to_dict() for way in self.sample]},
            "whole": {"rows": self.rows, "ways": [way.to_dict() for way in self.whole]},
        }


def compare(spec: Spec, engine: Engine, *, sample: int = SAMPLE_ROWS, tell: Tell = silent) -> Comparison:
    """Plans a spec in every way, on about `sample` records drawn at random and on all. Changes nothing.

    What the spec says of suppression stays; its method is one among others. Raises `SpecError`, `EngineError`.
    """
    if sample < 0:
        raise SpecError("this is a number of records, 0 for no sample", where="--sample", found=str(sample))
    with engine.working():
        source = source_of(spec, engine)
        counted = fragment("select count(*) from source")
        ((rows,),) = engine.run("count the source", source.step().then("counted", counted))
        some: tuple[Way, ...] = ()
        drawn = 0
        if 0 < sample < rows:
            text = Text(f"SELECT * FROM {source.origin} AS s WHERE random() < {sample / rows!r}")
            engine.temporary("draw a sample", _SAMPLE, text)
            item = engine.rendered(query.table(_SAMPLE))
            ((drawn,),) = engine.run("count the sample", Text(f"SELECT count(*) FROM {item}"))
            some = tuple(_ways(spec, engine, item, f"a sample of {drawn}", tell))
        whole = tuple(_ways(spec, engine, None, "all records", tell))
    return Comparison(spec.publish.name if spec.publish else None, engine.name, int(drawn), some, int(rows), whole)


def _ways(spec: Spec, engine: Engine, item: str | None, told: str, tell: Tell) -> Iterator[Way]:
    for number, (name, keys) in enumerate(WAYS.items()):
        tell(f"{name} on {told}", number / len(WAYS))
        with engine.working():
            yield _way(spec, engine, item, name, keys)


def _way(spec: Spec, engine: Engine, item: str | None, name: str, keys: dict[str, Any]) -> Way:
    given, started = spec.recoding, time.monotonic()
    try:
        recoding = Recoding(suppression=given.suppression, suppressed=given.suppressed, time_limit=given.time_limit,
                            **keys)  # fmt: skip
        source = source_of(replace(spec, recoding=recoding), engine)
        if item is not None:
            source = replace(source, origin=item)
        planned = make_from(source, engine)
        seconds = time.monotonic() - started
        found = with_usefulness(planned, engine).usefulness
    except (ModelNotMet, SpecError) as error:
        return Way(name, keys, problem=getattr(error, "problem", str(error)))
    return Way(
        name, keys, found.losses.gcp if found else None, found.losses.loss if found else None, planned.classes,
        planned.utility["average_class_size"], planned.suppressed, round(seconds, 3),
    )  # fmt: skip
