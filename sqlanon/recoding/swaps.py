"""Plans of exchanges, noise, suppression and merging (udfs/theta_plans.py), applied in the database by joins.

The histogram goes out, records per class and sensitive value; a plan comes back, in numbers of classes and values. The
database numbers the records of each class and value in their keyed order and joins them to the plan's numbered items,
so no record is looked at outside it, and which of equal records is taken only the key tells.

*Leaves*: exchanged values are untrue for their records; exchanged records stay true, but their classes must be labelled
after the exchange, and are wider. Noise is records of nobody: count them (`Plan.noise_records`) and say so. Exchanges
and noise exist in tables only: a view would draw and deal them anew over rows that have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.functions import uniform
from sqlanon.query import Expression, Query, column, every, fragment, named
from sqlanon.udfs.theta_plans import Histogram, Ints, Plan

Kind = Literal["records", "values"]


@dataclass(frozen=True)
class Partition:
    """Records and their classes: the step or table `relation` after `chain`, with these `columns` and no others.

    `group`: the column with the class's number, from 0 in the order of the quasi-identifiers, without gaps. `value`:
    the sensitive column. `number`: a different whole number per record, in keyed order, so that it tells nothing.
    """

    chain: Query
    relation: str
    columns: tuple[str, ...]
    group: str
    value: str
    number: str

    @property
    def query(self) -> Query:
        """The records, with all their columns."""
        tree = query.select([column(name) for name in self.columns], self.relation)
        return self.chain.then(query.fresh("records", {step.name for step in self.chain.steps}), tree)

    def table(self, what: str) -> str:
        """The working table of this kind for this sensitive column: values, leaving, arriving, …"""
        return f"sqlanon {what} of {self.value}"

    def then(self, what: str, body: Expression, comment: str = "") -> Partition:
        """The partition after one more step, in which all its columns are still there."""
        name = query.fresh(f"{what} of {self.value}", {step.name for step in self.chain.steps} | {self.relation})
        return replace(self, chain=self.chain.then(name, body, comment), relation=name)


@dataclass(frozen=True)
class Rule:
    """A sensitive value that is plausible only where some record of the class has one of these texts in `column`."""

    value: str
    column: str
    among: tuple[str, ...]


def histogram(engine: Engine, partition: Partition) -> Histogram:
    """Records per class and value, the values numbered in their order, missing first. Raises `EngineError`.

    Raises ValueError where the classes are not numbered from 0 without gaps.
    """
    there, value = query.table(partition.relation), column(partition.value)
    numbers = fragment(
        "select $value as value, row_number() over (order by $value nulls first) - 1 as number from $there"
        " group by $value", value=value, there=there,
    )  # fmt: skip
    step = f"number the values of {partition.value}"
    engine.temporary(step, partition.table("values"), partition.chain.then("values", numbers))
    counted = fragment(
        "select cast($g as bigint) as class, cast(v.number as bigint) as value, count(*) as records from $there as p"
        " join $values as v on $s is not distinct from v.value group by $g, v.number",
        g=column(partition.group, "p"), s=column(partition.value, "p"), there=there, values=_table(partition, "values"),
    )  # fmt: skip
    found = engine.arrays(f"count the values of {partition.value}", partition.chain.then("counted", counted))
    sized = fragment("select count(*) from $values", values=_table(partition, "values"))
    ((domain,),) = engine.run(step, sized)
    classes, values, counts = (np.ma.getdata(found[name]).astype(np.int64) for name in ("class", "value", "records"))
    return Histogram(classes, values, counts, int(domain))


def implausible(engine: Engine, partition: Partition, rules: Iterable[Rule]) -> frozenset[tuple[int, int]]:
    """The pairs of a class and a value that noise must not make, by the rules; to be asked after `histogram`."""
    pairs: set[tuple[int, int]] = set()
    for rule in rules:
        unlike = fragment(
            "select cast($g as bigint), cast(max(v.number) as bigint) from $there as p join $values as v"
            " on cast(v.value as varchar) = $value group by $g"
            " having count(*) filter (where cast($c as varchar) in ($among)) = 0",
            g=column(partition.group, "p"), c=column(rule.column, "p"), among=list(rule.among), value=rule.value,
            there=query.table(partition.relation), values=_table(partition, "values"),
        )  # fmt: skip
        step = f"look where the values of {partition.value} are plausible"
        pairs |= {(int(g), int(v)) for g, v in engine.run(step, partition.chain.then("unlike", unlike))}
    return frozenset(pairs)


def applied(engine: Engine, partition: Partition, plan: Plan, *, exchange: Kind) -> Partition:
    """The partition after the plan's exchanges, suppressions and mergings; its working tables are made here.

    `exchange`: records change their class, as in the paper, or only their sensitive values change, and the records are
    no longer true. Without noise, the sensitive values of all records together are what they were. Raises
    `EngineError`.
    """
    leaving, arriving = plan.moves()
    if len(leaving):
        shared = "class" if exchange == "values" else "value"
        _load(engine, partition, "leaving", ("class", "value", "records"), leaving)
        slots = _slots(arriving, 0 if shared == "class" else 1)
        _load(engine, partition, "arriving", ("class", "value", "slot"), slots)
        partition = _exchanged(partition, shared)
    if len(plan.suppressed):
        _load(engine, partition, "suppressed", ("class", "value", "records"), plan.suppressed)
        partition = _suppressed(partition)
    if len(plan.merged):
        _load(engine, partition, "merged", ("class", "into_class"), plan.merged)
        partition = _merged(partition)
    if len(plan.noise):
        tuples = np.repeat(plan.noise[:, :2], plan.noise[:, 2], axis=0)
        numbered = np.column_stack([np.arange(1, len(tuples) + 1), tuples])
        _load(engine, partition, "noise", ("tuple", "class", "value"), numbered)
    return partition


def drop(engine: Engine, partition: Partition) -> None:
    """Drops the working tables."""
    kinds = ("values", "leaving", "arriving", "suppressed", "merged", "noise")
    engine.drop_temporary(*(partition.table(kind) for kind in kinds))


def _table(partition: Partition, what: str) -> Expression:
    return query.table(partition.table(what))


def _load(engine: Engine, partition: Partition, what: str, names: Sequence[str], rows: Ints) -> None:
    columns = {name: np.ascontiguousarray(rows[:, place]) for place, name in enumerate(names)}
    engine.numbers(f"plan the exchanges of {partition.value}", partition.table(what), columns)


def _slots(arriving: Ints, by: int) -> Ints:
    """One row per record that arrives, numbered from 1 within its class (`by` 0) or its value (`by` 1)."""
    rows = np.repeat(arriving[:, :2], arriving[:, 2], axis=0)
    rows = rows[np.argsort(rows[:, by], kind="stable")]
    first = np.flatnonzero(np.diff(rows[:, by], prepend=-1))
    base = np.repeat(first, np.diff(np.append(first, len(rows))))
    return np.column_stack([rows, np.arange(len(rows)) - base + 1])


def _placed(partition: Partition) -> Partition:
    """A step `placed`: every record's number, class and value, and its place among those of its class and value."""
    placed = fragment(
        "select $n as record, cast($g as bigint) as class, v.number as value,"
        " row_number() over (partition by $g, v.number order by $n) as place from $there as p"
        " join $values as v on $s is not distinct from v.value",
        n=column(partition.number, "p"), g=column(partition.group, "p"), s=column(partition.value, "p"),
        there=query.table(partition.relation), values=_table(partition, "values"),
    )  # fmt: skip
    return partition.then(f"{partition.relation}, placed", placed, "the place of every record in its class and value")


def _taken(placed: str, planned: Expression, shared: str) -> Expression:
    """The records that a table of (class, value, records) asks for: the first of each class and value.

    Slots follow the classes, as what arrives does, so that records move no further than they must.
    """
    return fragment(
        "select p.record, p.class, p.value, row_number() over (partition by $by order by p.class, p.record) as slot"
        " from $placed as p join $planned as l on l.class = p.class and l.value = p.value and p.place <= l.records",
        placed=query.table(placed), planned=planned, by=column(shared, "p"),
    )  # fmt: skip


def _exchanged(partition: Partition, shared: str) -> Partition:
    """Each leaving record takes what arrives at its slot: a value of its class, or a class for its value."""
    step = _placed(partition)
    chain = step.chain.then(
        leaving := f"leaving of {partition.value}", _taken(step.relation, _table(partition, "leaving"), shared),
        "the records that the plan moves, the first of each class and value in the keyed order",
    )  # fmt: skip
    moved = fragment(
        "select l.record, a.class, v.value from $leaving as l join $arriving as a on $here = $there"
        " and l.slot = a.slot join $values as v on v.number = a.value",
        leaving=query.table(leaving), arriving=_table(partition, "arriving"), values=_table(partition, "values"),
        here=column(shared, "l"), there=column(shared, "a"),
    )  # fmt: skip
    chain = chain.then(to := f"moved of {partition.value}", moved, "and where to, or with which value")
    changed, into = (partition.value, "value") if shared == "class" else (partition.group, "class")
    columns = [
        named(
            fragment("case when m.record is null then $x else $y end", x=column(name, "p"), y=column(into, "m")), name
        )
        if name == changed
        else column(name, "p")
        for name in partition.columns
    ]
    tree = fragment(
        "select $columns from $there as p left join $moved as m on m.record = $n",
        columns=columns, there=query.table(partition.relation), moved=query.table(to), n=column(partition.number, "p"),
    )  # fmt: skip
    return replace(partition, chain=chain).then("exchanged", tree, "the records after the exchanges")


def _suppressed(partition: Partition) -> Partition:
    step = _placed(partition)
    gone = f"suppressed of {partition.value}"
    chain = step.chain.then(gone, _taken(step.relation, _table(partition, "suppressed"), "class"))
    tree = fragment(
        "select $columns from $there as p left join $gone as m on m.record = $n where m.record is null",
        columns=[column(name, "p") for name in partition.columns], there=query.table(partition.relation),
        gone=query.table(gone), n=column(partition.number, "p"),
    )  # fmt: skip
    return replace(partition, chain=chain).then("left", tree, "without the records that the plan suppresses")


def _merged(partition: Partition) -> Partition:
    joined = fragment("coalesce(m.into_class, $g)", g=column(partition.group, "p"))
    columns = [named(joined, n) if n == partition.group else column(n, "p") for n in partition.columns]
    tree = fragment(
        "select $columns from $there as p left join $merged as m on m.class = $g",
        columns=columns, there=query.table(partition.relation), merged=_table(partition, "merged"),
        g=column(partition.group, "p"),
    )  # fmt: skip
    return partition.then("merged", tree, "classes that only hold together share a number")


def with_noise(partition: Partition, keys: Sequence[str], *, drawn: Sequence[str] = ()) -> Partition:
    """The published records and the plan's noise: tuples with their class's `keys` and a value that the class lacks.

    `partition` is the relation after its classes are labelled: `keys` are the same for all records of a class. The
    `drawn` columns each take the value of a record of the whole table, by a keyed draw (needs `engine.functions(key)`);
    the other columns are missing. The tuples have no number, which is how they can be told apart until they are
    published.
    """
    there, group = query.table(partition.relation), column(partition.group, "p")
    labels = [named(column(key, "p"), f"key {place}") for place, key in enumerate(keys)]
    of_classes = fragment(
        "select distinct cast($g as bigint) as class, $labels from $there as p", g=group, labels=labels, there=there
    )
    labelled = f"labels for noise of {partition.value}"
    chain = partition.chain.then(labelled, of_classes, "the quasi-identifiers of each class")
    made = fragment(
        "select $nothing from $noise as t join $values as v on v.number = t.value"
        " join $labels as l on l.class = t.class",
        nothing=[], noise=_table(partition, "noise"), values=_table(partition, "values"), labels=query.table(labelled),
    )  # fmt: skip
    cells: dict[str, Expression] = {
        name: fragment("(select $x from $there where 1 = 0)", x=column(name), there=there)  # missing, in its type
        for name in partition.columns
    }
    cells |= {key: column(f"key {place}", "l") for place, key in enumerate(keys)}
    cells |= {partition.group: column("class", "t"), partition.value: column("value", "v")}
    for place, name in enumerate(drawn):
        chain, made, cells[name] = _drawn(partition, chain, made, place, name)
    tuples = query.selecting(made, [named(cell, name) for name, cell in cells.items()])
    chain = chain.then(noise := f"noise of {partition.value}", tuples, "tuples of nobody, with a value the class lacks")
    names = [column(name) for name in partition.columns]
    both = fragment(
        "select $n from $there union all select $n from $noise", n=names, there=there, noise=query.table(noise)
    )
    return replace(partition, chain=chain).then("with noise", both)


def _drawn(
    partition: Partition, chain: Query, made: Expression, place: int, name: str
) -> tuple[Query, Expression, Expression]:
    """The column of a drawn record beside each tuple: the one at place ⌊u·n⌋ + 1 of the n records."""
    pool = f"pool {place} of {partition.value}"
    listed = fragment(
        "select $x as drawn, row_number() over (order by $n) as place, count(*) over () as records from $there as p",
        x=column(name, "p"), n=column(partition.number, "p"), there=query.table(partition.relation),
    )  # fmt: skip
    at = fragment(
        "$place = cast(floor($u * $n) as bigint) + 1", place=column("place", pool), n=column("records", pool),
        u=uniform(f"noise of {partition.value}: {name}", column("tuple", "t")),
    )  # fmt: skip
    return chain.then(pool, listed), query.joined(made, pool, every([at])), column("drawn", pool)
