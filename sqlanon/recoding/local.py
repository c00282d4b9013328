"""Local recoding from the source to what is published: a partition, repaired for the models, covered, and measured.

The rooms behind it: `lines` (values in places), `partition` (combinations and classes), `mondrian` and `hilbert` (the
partitions), `diverse` (dealing values out), `exchanges` (records change classes for θ), `repair` (any model), `covers`
(what is published), `records` (the way back).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet
from sqlanon.measuring import Measured
from sqlanon.models import Model, ThetaSensitivity, Verdict, histogram_of_sizes, judgement, k_of, verdicts
from sqlanon.plan import Recoded, Source, judging, outside
from sqlanon.query import Query, fragment
from sqlanon.recoding import mondrian
from sqlanon.recoding.covers import Published, publish
from sqlanon.recoding.diverse import diverse
from sqlanon.recoding.exchanges import Exchanged, asked, exchange
from sqlanon.recoding.hilbert import Groups, Order, hilbert
from sqlanon.recoding.lines import Dimension
from sqlanon.recoding.outcome import Outcome, most_suppressed
from sqlanon.recoding.partition import Encoded, encode
from sqlanon.recoding.repair import Repaired, repair, smallest
from sqlanon.recoding.working import relation, working_name
from sqlanon.telling import Tell, silent
from sqlanon.utility.losses import classes


@dataclass(frozen=True)
class Way:
    """How a table is partitioned.

    `method`: strict or relaxed Mondrian, or groups along a curve; `order` and `groups` belong to the curve. `dealt`: a
    sensitive column whose values are dealt out along the curve in place of the groups. `exchanges`: the θ-sensitivity
    for which records change their class before classes are united.
    """

    method: Literal["strict", "relaxed", "hilbert"] = "hilbert"
    order: Order | None = None
    groups: Groups = "best"
    dealt: str | None = None
    exchanges: ThetaSensitivity | None = None

    def __post_init__(self) -> None:
        if self.dealt is not None and self.method != "hilbert":
            raise ValueError("values are dealt out along a curve: dealt belongs to method hilbert")


def way_of(source: Source) -> Way:
    """How the spec wants its table partitioned.

    Values are dealt out only where the spec asks for it: on Adult, classes united by the nearest lost half as much for
    3-diversity, a third for t = 0.4, and never more.
    """
    recoding, theta = source.spec.recoding, asked(source)
    exchanges = theta if theta and theta.repair != "round-robin" else None
    if recoding.method == "mondrian":
        return Way(recoding.cuts or "strict", exchanges=exchanges)
    dealt = theta.column if theta and theta.repair == "round-robin" else recoding.deal
    return Way("hilbert", recoding.order, recoding.groups or "best", dealt, exchanges)


def partition(engine: Engine, source: Source, key: str, tell: Tell = silent) -> Outcome:
    """The partition that a spec asks for, with what it comes to on the classes that are kept.

    Its working tables stay, for the steps that recode every record. Raises `ModelNotMet` where classes fail that hold
    more records than may be suppressed, `SpecError`, `EngineError`.
    """
    tell("partitioning the source", None)
    made = make(engine, source, way_of(source), key)
    try:
        tell("measuring the classes", None)
        return _outcome(source, made)
    except BaseException:
        made.close()
        raise


def _outcome(source: Source, made: Made) -> Outcome:
    published, encoded, models = made.published, made.published.encoded, source.spec.privacy
    work, failing = encoded.work, working_name("failing")
    recoded = Recoded(published.recoded(), published.keys)
    measuring = judging(source, replace(recoded, steps=source.trees().join(recoded.steps)))
    steps = measuring.query
    if not (measuring.relations or measuring.observed):  # else what stands beside the classes is counted anew
        work.make("measured", steps, "the measures of every class")
        steps = Query(()).then("measured", fragment("select * from $m", m=relation("measured")))
    starred = source.spec.recoding.suppressed == "star"
    work.make("failing", outside(steps, models, measuring, starred=starred), "the classes outside a bound")
    there = query.same(recoded.labels, "measured", failing)
    absent = fragment("not exists (select 1 from $f where $there)", f=relation("failing"), there=there)
    steps = steps.then("kept", query.select([fragment("*")], "measured", where=absent))
    rows, kept, told = _judged(encoded, steps, measuring, models)
    noise = published.noise(failing)
    limit, suppressed = most_suppressed(source.spec, encoded.records), encoded.records - (rows - noise)
    if suppressed > limit or not kept:
        raise _refused(made, models, suppressed, limit, told)
    sizes = fragment("select cast(coalesce(sum(cast($r as decimal(38, 0)) * $r), 0) as bigint) from kept",
                     r=measuring.columns["class_records"])  # fmt: skip
    (squares,) = work.ask(steps.then("squares", sizes), "square the sizes of the classes")
    counts = classes(int(squares), kept, records=encoded.records, suppressed=suppressed, k=k_of(models),
                     invented=noise)  # fmt: skip
    utility: dict[str, Any] = {"gcp": published.penalty(failing), **counts.to_dict()}
    return Outcome(
        replace(recoded, script=work.script()), encoded.records, suppressed, kept, told,
        {name: value for name, value in utility.items() if value is not None},
        failing=fragment("select * from $f", f=relation("failing")), noise=noise,
        swaps=made.exchanged.swaps if made.exchanged else 0, notes=_notes(made),
    )  # fmt: skip


def _judged(
    encoded: Encoded, steps: Query, measuring: Measured, models: Sequence[Model]
) -> tuple[int, int, tuple[Verdict, ...]]:
    """The records and classes in the step `kept`, and what every model comes to on them."""
    run = encoded.work.engine.run
    (row,) = run("judge the classes", steps.then("judged", judgement(models, measuring, "kept")))
    sizes = {}
    if any(model.estimated for model in models):
        counted = steps.then("sizes", histogram_of_sizes(measuring, "kept"))
        sizes = {int(size): int(many) for size, many in run("read the class sizes", counted)}
    return int(row[0]), int(row[1]), verdicts(models, row, sizes)


def _refused(
    made: Made, models: Sequence[Model], suppressed: int, limit: int, told: tuple[Verdict, ...]
) -> ModelNotMet:
    of = made.published.encoded.records
    return ModelNotMet(
        f"no partition satisfies {'; '.join(map(str, models))}: {suppressed} of {of} records are in classes that do not"
        f" hold, and {limit} may be suppressed; nothing was published", told,
    )  # fmt: skip


def _notes(made: Made) -> tuple[str, ...]:
    repaired, exchanged, told = made.repaired, made.exchanged, []
    if exchanged and (exchanged.swaps or exchanged.noise):
        told.append(
            f"{exchanged.swaps} pairs of records changed their classes with each other, and {exchanged.noise} records"
            " of nobody were added; both follow the sensitive values"
        )
    if repaired.rounds or repaired.suppressed:
        told.append(
            f"classes that did not hold were united with the nearest: {repaired.before} became {repaired.after}, and"
            f" {repaired.suppressed} records are left to be suppressed"
        )
    return (*told, *made.published.encoded.work.told)


@dataclass(frozen=True)
class Made:
    """A partition that is ready: what is published, and what the repair came to. `close` drops the working tables."""

    published: Published
    repaired: Repaired
    exchanged: Exchanged | None = None

    def close(self) -> None:
        """Drops the working tables; then `published.recoded()` reads nothing any more."""
        self.published.encoded.close()


def make(
    engine: Engine,
    source: Source,
    way: Way,
    key: str,
    *,
    models: Sequence[Model] = (),
    limit: int | None = None,
    dimensions: Sequence[Dimension] = (),
) -> Made:
    """Partitions a source so that every class satisfies the models, but for classes of `limit` records at most.

    `models` stand for those of the spec where they are given, `dimensions` for its quasi-identifiers. `key` decides, in
    secret, between records that are alike. Raises `SpecError`, `EngineError`, and `ModelNotMet` where nothing will do.
    """
    wanted = tuple(models) or source.spec.privacy
    beside = [way.dealt] if way.dealt else [way.exchanges.column] if way.exchanges else []
    encoded = encode(engine, source, key, dimensions=dimensions, beside=beside)
    try:
        allowed = most_suppressed(source.spec, encoded.records) if limit is None else limit
        try:
            done, exchanged = _classes(encoded, way, key, wanted, allowed)
        except ModelNotMet:
            if not allowed:
                raise
            # What was left to be suppressed may be what the others would have needed.
            done, exchanged = _classes(encoded, way, key, wanted, 0)
        return Made(publish(encoded), done, exchanged)
    except BaseException:
        encoded.close()
        raise


def _classes(
    encoded: Encoded, way: Way, key: str, models: Sequence[Model], limit: int
) -> tuple[Repaired, Exchanged | None]:
    """Makes `pieces` of classes that satisfy the models, but for classes of `limit` records at most."""
    # Where the models ask for more than there is, it is the repair that refuses, with the numbers.
    _partition(encoded, way, min(smallest(models), encoded.persons), models)
    exchanged = exchange(encoded, way.exchanges, key) if way.exchanges else None
    boxes = way.method == "strict" and exchanged is None
    return repair(encoded, models, limit=limit, boxes=boxes), exchanged


def _partition(encoded: Encoded, way: Way, k: int, models: Sequence[Model]) -> None:
    if way.dealt is not None:
        diverse(encoded, k, way.dealt, models, order=way.order)
    elif way.method == "hilbert":
        hilbert(encoded, k, order=way.order, groups=way.groups)
    else:
        {"strict": mondrian.strict, "relaxed": mondrian.relaxed}[way.method](encoded, k)
