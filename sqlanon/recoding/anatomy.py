"""Anatomy: two linked relations in place of generalisation, quasi-identifiers as they are and sensitive values by
group.

*Source*: Xiao & Tao, "Anatomy: Simple and Effective Privacy Preservation", VLDB 2006; the grouping is theirs in outcome
(groups of l or more records, all values of a group different), in one window instead of a loop over buckets.
*Leaves*: see `WARNING`. A model that is checked on the join of the two relations must know that a record is linked to
all values of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.functions import uniform
from sqlanon.query import Query, column, fragment, fresh, named
from sqlanon.recoding.transforms import Records

IN_VIEWS = False
REASON = "a view would deal its records anew when others arrive, and a person's groups could be intersected"
WARNING = (
    "Anatomy does not protect identity: the quasi-identifiers are published as they are, so everybody who knows a"
    " person can find the record and learn that the person is in the table. Only the sensitive value is hidden, among"
    " those of its group; correlations between quasi-identifiers and sensitive values can be learned from all groups"
    " together and used against a single one (deFinetti attack, Kifer 2009)."
)


@dataclass(frozen=True)
class Anatomy:
    """The two relations as queries: `quasi` has a row per record and its group's number, `sensitive` a row per group
    and value with a count. Both must be made by the same run of the keyed functions."""

    quasi: Query
    sensitive: Query
    group: str
    warning: str = WARNING


def anatomize(engine: Engine, records: Records, published: Sequence[str], sensitive: str, l: int) -> Anatomy:  # noqa: E741
    """Groups of at least `l` records with different values of the sensitive column, so no value has a share above 1/l.

    Possible if, and only if, no value has more than n/l records. Records are dealt in the order of their values, and of
    a keyed draw within a value, to m = ⌊n/l⌋ groups in turn; as no value has more than m records, none comes twice into
    a group. Group numbers are drawn too. Needs `engine.functions(key)` when the queries run. Raises `SpecError` for a
    column that is not there, `ModelNotMet` with the numbers where it is impossible, `EngineError`.
    """
    for name in (*published, sensitive):
        if name not in records.columns:
            raise SpecError("there is no such column", where="anatomy", found=name, allowed=records.columns)
    if sensitive in published:
        raise SpecError("the sensitive column must not be published beside the records", where="anatomy")
    if l < 2:
        raise SpecError("l is at least 2", where="anatomy", found=str(l))
    _eligible(engine, records, sensitive, l)
    records, grouped, number = _dealt(records, sensitive, l)
    group = fresh("group_id", records.columns)
    parts = {"g": named(column(number), group), "t": query.table(grouped)}
    quasi = fragment("select $p, $g from $t", parts, p=[column(name) for name in published])
    counted = fragment(
        "select $g, $s, count(*) as $n from $t group by $number, $s", parts, number=column(number),
        s=column(sensitive), n=query.identifier(fresh("records", (group, sensitive))),
    )  # fmt: skip
    one, other = records.aside("quasi-identifiers", quasi), records.aside("sensitive values", counted)
    return Anatomy(one[0].chain, other[0].chain, group)


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
