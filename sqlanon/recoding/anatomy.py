"""Anatomy: two linked relations in place of generalisation, quasi-identifiers as they are and sensitive values by
group.

*Source*: Xiao & Tao, "Anatomy: Simple and Effective Privacy Preservation", VLDB 2006; the grouping is theirs in outcome
(groups of l or more records, all values of a group different), in one window instead of a loop over buckets.
*Leaves*: see `catalogue.IDENTITY`. A model that is checked on the join of the two relations must know that a record is
linked to all values of its group.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.functions import uniform
from sqlanon.models import LDiversity, judgement, verdicts
from sqlanon.plan import Recoded, Source, judging
from sqlanon.query import Query, column, fragment, fresh, named
from sqlanon.recoding.catalogue import IDENTITY
from sqlanon.recoding.outcome import Linked, Outcome
from sqlanon.recoding.transforms import Records, numbered
from sqlanon.recoding.working import Work, relation


def anatomized(engine: Engine, source: Source, key: str) -> Outcome:
    """The records of a source with the number of each one's group, in a working table that stays; nothing is recoded.

    The groups are made for the largest l of the spec's l-diversity models, all about one column. Raises `ModelNotMet`
    where that is impossible, `EngineError`.
    """
    models = [model for model in source.spec.privacy if isinstance(model, LDiversity)]
    least, sensitive = max(math.ceil(model.l) for model in models), models[0].column
    chain, work = source.step(), Work(engine)
    counted = chain.then("counted", fragment("select count(*) from source"))
    ((size,),) = engine.run("count the records", counted)
    records = numbered(chain, "source", [source.columns[name] for name in source.step_columns], int(size))
    group = fresh("group_id", source.spec.columns)
    with engine.functions(key):
        work.make("anatomy", anatomize(engine, records, sensitive, least, group), "every record and its group")
    everything = fragment("select * from $t", t=relation("anatomy"))
    recoded = Recoded(Query(()).then("recoded", everything, "every record and its group", inline=True),
                      {group: (group,)}, script=work.script())  # fmt: skip
    judged = judging(source, replace(recoded, steps=source.trees().join(recoded.steps)))
    (row,) = engine.run("judge the groups", judged.query.then("judged", judgement(source.spec.privacy, judged)))
    linked = Linked(group, sensitive, fresh("records", (group, sensitive)))
    return Outcome(
        recoded, int(row[0]), 0, int(row[1]), verdicts(source.spec.privacy, row),
        {"average_class_size": int(row[0]) / int(row[1])}, notes=(IDENTITY,), linked=linked,
        failing=query.select([column(group)], relation("anatomy"), where=query.literal(False)),
    )  # fmt: skip


def values(linked: Linked) -> Query:
    """The second relation, a row per group and sensitive value, with how many records of the group have it."""
    tree = fragment(
        "select $g, $s, count(*) as $n from $t group by $g, $s", g=column(linked.group), s=column(linked.sensitive),
        n=query.identifier(linked.records), t=relation("anatomy"),
    )  # fmt: skip
    return Query(()).then("released", tree, "what occurs in each group; which record has it is not told")


def anatomize(engine: Engine, records: Records, sensitive: str, l: int, group: str) -> Query:  # noqa: E741
    """The records with the number of their `group`: of at least `l` with different values, so no share is above 1/l.

    Possible if, and only if, no value has more than n/l records. Records are dealt in the order of their values, and of
    a keyed draw within a value, to m = ⌊n/l⌋ groups in turn; as no value has more than m records, none comes twice into
    a group. Group numbers are drawn too. Needs `engine.functions(key)` when the query runs. Raises `SpecError` for a
    column that is not there, `ModelNotMet` with the numbers where it is impossible, `EngineError`.
    """
    if sensitive not in records.columns:
        raise SpecError("there is no such column", where="anatomy", found=sensitive, allowed=records.columns)
    if l < 2:
        raise SpecError("l is at least 2", where="anatomy", found=str(l))
    _eligible(engine, records, sensitive, l)
    names = [column(name) for name in records.columns]
    records, grouped, number = _dealt(records, sensitive, l)
    tree = query.select([*names, named(column(number), group)], grouped)
    return records.chain.then(fresh("anatomy", {step.name for step in records.chain.steps}), tree)


def _eligible(engine: Engine, records: Records, sensitive: str, l: int) -> None:  # noqa: E741
    counted = fragment(
        "select count(*) as records from $t group by $s", s=column(sensitive), t=query.table(records.relation)
    )
    totals = fragment("select cast(coalesce(sum(records), 0) as bigint), coalesce(max(records), 0) from counts")
    found = records.chain.then("counts", counted).then("totals", totals)
    ((n, most),) = engine.run(f"count the values of {sensitive}", found)
    if n < l or most * l > n:
        raise ModelNotMet(
            f"Anatomy with l = {l} is impossible: the most frequent value of {sensitive!r} has {most} of {n} records,"
            f" and may have {n // l}; nothing was made"
        )


def _dealt(records: Records, sensitive: str, l: int) -> tuple[Records, str, str]:  # noqa: E741
    """A step with the records and the number of each one's group, and the names of both."""
    number, value = column(records.number), column(sensitive)
    draw, deal, group = records.own("draw", "deal", "group_number")
    drawn = fragment(
        "select *, $u as $d from $t", u=uniform(f"anatomy of {sensitive}", number), d=query.identifier(draw),
        t=query.table(records.relation),
    )  # fmt: skip
    records, step = records.aside("drawn", drawn)
    names = [column(name) for name in records.columns]
    place = fragment("row_number() over (order by $s nulls first, $d, $n) - 1", s=value, d=column(draw), n=number)
    groups = fragment("cast((count(*) over () - count(*) over () % $l) / $l as bigint)", l=l)
    dealt = fragment(
        "select $c, $p % $m as $deal from $t", c=names, p=place, m=groups, deal=query.identifier(deal),
        t=query.table(step),
    )  # fmt: skip
    records, step = records.aside("dealt", dealt, "the records in the order of their values, to the groups in turn")
    distinct = fragment("select distinct $deal as deal from $t", deal=column(deal), t=query.table(step))
    records, deals = records.aside("deals", distinct)
    labels = fragment(
        "select deal, row_number() over (order by $u, deal) as label from $t",
        u=uniform(f"anatomy of {sensitive}: groups", column("deal")), t=query.table(deals),
    )  # fmt: skip
    records, labelled = records.aside("labels", labels, "the groups in a drawn order")
    grouped = fragment(
        "select $c, l.label as $g from $t as d join $labels as l on l.deal = $deal",
        c=[column(name, "d") for name in records.columns], g=query.identifier(group), t=query.table(step),
        labels=query.table(labelled), deal=column(deal, "d"),
    )  # fmt: skip
    return (*records.aside("grouped", grouped), group)
