"""Records that change places between the classes of a partition, so that θ holds in more of them; and noise.

What is exchanged is planned by a function (udfs/theta_plans.py) over the histogram of classes and values; the database
applies the plan to `pieces`, combination by combination: which of the records that agree on all quasi-identifiers and
the value go, only the key tells. Records stay true, and the classes that they come to are covered anew, so what is lost
is width. Noise tuples take the published quasi-identifiers of their class, a value that the class lacks, and in every
other column the value of a record drawn by the key, independently; they are about nobody.

*Plausible*: a value is no noise in a class if, for some quasi-identifier of categories, no record with that value lies
in the stretch that the class covers (no pregnancies in a class of men). *Source*: Khan et al. 2020, Algorithm 1.
*Leaves*: exchanges and noise follow the sensitive values, so who knows the algorithm learns a little from their traces.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlanon import query
from sqlanon.functions import SWAPS, Rows, uniform
from sqlanon.models import ThetaSensitivity, k_of
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import records
from sqlanon.recoding.partition import Encoded, classes, keyed
from sqlanon.recoding.working import relation
from sqlanon.udfs import flat

_SO_FAR = "rows between unbounded preceding and current row"


@dataclass(frozen=True)
class Exchanged:
    """What was done: records that changed their class (two per swap, less where one was moved twice), and noise."""

    swaps: int
    noise: int
    unmet: int


def asked(source: Source) -> ThetaSensitivity | None:
    """The θ-sensitivity of the spec that wants more than classes united."""
    return next((m for m in source.spec.privacy if isinstance(m, ThetaSensitivity) and m.repair != "merge"), None)


def exchange(encoded: Encoded, model: ThetaSensitivity, key: str) -> Exchanged:
    """Changes `pieces` by the exchanges that the model's `repair` plans, and makes `noise` where it is to be `on`.

    The model's column stands beside the quasi-identifiers. Raises `EngineError`.
    """
    return Exchange(encoded, model, key).run()


class Exchange:
    """One run. `numbers of classes`, `numbers of values`: both from 0, in their orders. `plan`: `udfs.flat.swaps`."""

    def __init__(self, encoded: Encoded, model: ThetaSensitivity, key: str) -> None:
        self.encoded, self.model, self.key, self.work = encoded, model, key, encoded.work
        self.value = f"beside {encoded.beside.index(model.column)}"

    def run(self) -> Exchanged:
        self.plan()
        done = self.done()
        if done.swaps:
            self.move()
        if done.noise:
            self.add_noise()
        self.work.drop("plan", "numbers of classes", "numbers of values")
        return done

    def move(self) -> None:
        """`pieces` after the exchanges that are planned."""
        self.work.make("pieces", self._moved(), "which records of each combination are in which class")

    def _number(self) -> None:
        made = fragment(
            "select class, cast(row_number() over (order by class) - 1 as bigint) as number from (select distinct class"
            " from $p) as p", p=relation("pieces"),
        )  # fmt: skip
        self.work.make("numbers of classes", made, "the classes, numbered in their order")
        made = fragment(
            "select value, cast(row_number() over (order by value nulls first) - 1 as bigint) as number"
            " from (select distinct $v as value from $c) as c", v=column(self.value), c=relation("combinations"),
        )  # fmt: skip
        self.work.make("numbers of values", made, f"the values of {self.model.column}, numbered in their order")

    def _whole(self) -> Query:
        """The step `whole`: the records of each combination in each class, with the numbers of class and value."""
        return Query(()).then("whole", fragment(
            "select p.id, n.number as class, v.number as value, cast(sum(p.records) as bigint) as records from $p as p"
            " join $c as c on p.id = c.id join $n as n on p.class = n.class"
            " join $v as v on $own is not distinct from v.value group by p.id, n.number, v.number",
            p=relation("pieces"), c=relation("combinations"), n=relation("numbers of classes"),
            v=relation("numbers of values"), own=column(self.value, "c"),
        ))  # fmt: skip

    # -- what is planned ---------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Makes `plan`, again and again until all noise in it is known to be plausible."""
        self._number()
        counted = self._whole().then("counted", fragment(
            "select class, value, cast(sum(records) as bigint) as records from whole group by class, value"
        ))  # fmt: skip
        self.work.make("histogram", counted, f"the values of {self.model.column} in each class")
        self.work.make("asked", self._classes_of("select number as class from $n where 1 = 0"), "no class as yet")
        none = self._classes_of("select number as class, number as value from $n where 1 = 0")
        self.work.make("implausible", none, "noise that must not be made")
        self._planned()
        while self.model.noise and self._new():
            self._planned()
        self.work.drop("histogram", "asked", "implausible")

    def _classes_of(self, sql: str) -> Expression:
        return fragment(sql, n=relation("numbers of classes"))

    def _planned(self) -> None:
        model, k = self.model, self.model.k or k_of(self.encoded.source.spec.privacy) or 1
        constants = (model.repair, k, str(model.mu), model.theta, model.noise, self._many("numbers of values"))
        pair = ("class", "value")
        histogram = Rows(relation("histogram"), (*pair, "records"), pair, self._many("histogram"))
        banned = Rows(relation("implausible"), pair, pair, self._many("implausible"))
        self.work.call("plan", SWAPS, constants, [histogram, banned], "what leaves, what arrives, and noise")

    def _many(self, name: str) -> int:
        (many,) = self.work.ask(fragment("select count(*) from $t", t=relation(name)), f"count: {name}")
        return int(many)

    def _new(self) -> bool:
        """Whether noise came to classes that were not asked about before; they are, now."""
        found = fragment(
            "select distinct p.class from $p as p left join $a as a on p.class = a.class"
            f" where p.action = {flat.NOISE} and a.class is null", p=relation("plan"), a=relation("asked"),
        )  # fmt: skip
        self.work.make("new", found, "classes with noise, about which nothing was asked")
        there = self._many("new") > 0
        if there:
            classes(self.encoded)
            self.work.add("implausible", self._unlike(), "noise that must not be made")
            self.work.add("asked", fragment("select class from $n", n=relation("new")), "what was asked about")
        self.work.drop("new")
        return there

    def _unlike(self) -> Expression:
        """The pairs of class and value, by number, that noise must not make in the new classes."""
        inside = [
            fragment(
                "exists (select 1 from $c as c where $own is not distinct from v.value and $p >= $low and $p <= $high)",
                c=relation("combinations"), own=column(self.value, "c"), p=column(place, "c"),
                low=column(f"low {i}", "s"), high=column(f"high {i}", "s"),
            )
            for i, place in enumerate(self.encoded.places)
            if self.encoded.dimensions[i].kind != "interval"
        ]  # fmt: skip
        return fragment(
            "select n.number as class, v.number as value from $a as a join $n as n on a.class = n.number"
            " join $s as s on n.class = s.class cross join $v as v where not ($inside)", inside=query.every(inside),
            a=relation("new"), n=relation("numbers of classes"), s=relation("classes"), v=relation("numbers of values"),
        )  # fmt: skip

    def done(self) -> Exchanged:
        """What is planned, counted."""
        count = "cast(coalesce(sum(records) filter (where action = {}), 0) as bigint)"
        told = fragment(
            f"select {count.format(flat.SWAPS)}, {count.format(flat.NOISE)},"
            f" count(*) filter (where action = {flat.UNMET}) from $p", p=relation("plan"),
        )  # fmt: skip
        swaps, noise, unmet = self.work.ask(told, "count what is planned")
        return Exchanged(int(swaps), int(noise), int(unmet))

    # -- what is done ------------------------------------------------------------------------------------------------

    def _moved(self) -> Query:
        """`pieces` after the exchanges: what leaves a class and value is laid out beside what arrives with that value.

        Both are in the order of the classes, so that records move no further than they must.
        """
        steps = self._whole().then("placed", fragment(
            "select w.*, l.records as asked,"
            " cast(sum(w.records) over (partition by w.class, w.value order by $tie, w.id"
            f" {_SO_FAR}) as bigint) - w.records as start from whole as w join $l as l on w.class = l.class"
            f" and w.value = l.value where l.action = {flat.LEAVES}",
            tie=keyed([fragment("cast(w.id as varchar)")]), l=relation("plan"),
        ))  # fmt: skip
        steps = steps.then("taken", fragment(
            "select id, class, value, least(records, asked - start) as records from placed where start < asked"
        ))  # fmt: skip
        laid = f"cast(sum(records) over (partition by value order by class {{}}{_SO_FAR}) as bigint) - records as start"
        steps = steps.then("laid", fragment(f"select *, {laid.format(', id ')} from taken"))
        arriving = f"select *, {laid.format('')} from $a where action = {flat.ARRIVES}"
        steps = steps.then("slots", fragment(arriving, a=relation("plan")))
        steps = steps.then("moved", fragment(
            "select l.id, a.class, least(l.start + l.records, a.start + a.records) - greatest(l.start, a.start)"
            " as records from laid as l join slots as a on l.value = a.value and l.start < a.start + a.records"
            " and a.start < l.start + l.records"
        ))  # fmt: skip
        steps = steps.then("left", fragment(
            "select w.id, w.class, w.records - coalesce(t.records, 0) as records from whole as w left join taken as t"
            " on w.id = t.id and w.class = t.class"
        ))  # fmt: skip
        steps = steps.then("together", fragment("select * from left union all select * from moved"))
        steps = steps.then("summed", fragment(
            "select t.id, n.class, cast(sum(t.records) as bigint) as records from together as t join $n as n"
            " on t.class = n.number where t.records > 0 group by t.id, n.class", n=relation("numbers of classes"),
        ))  # fmt: skip
        return steps.then("pieces", fragment(
            f"select id, class, cast(sum(records) over (partition by id order by class {_SO_FAR}) as bigint) - records"
            " as first, records from summed"
        ))  # fmt: skip

    def add_noise(self) -> None:
        """`noise`: a row per tuple, with its `class` and all columns that a record carries beside its class."""
        tuples = fragment(
            "select cast(row_number() over (order by class, value) as bigint) as number, class, value from $p"
            f" where action = {flat.NOISE}", p=relation("plan"),
        )  # fmt: skip
        self.work.make("tuples", tuples, "the records of nobody, numbered")
        steps, cells = Query(()), list[Expression]()
        tree = fragment(
            "select $nothing from drawn as t join $n as n on t.class = n.number join $v as v on t.value = v.number",
            nothing=[], n=relation("numbers of classes"), v=relation("numbers of values"),
        )  # fmt: skip
        source, taken = self.encoded.source, records.carried(self.encoded.source)
        theirs = (self.model.column, self.encoded.entity)
        drawn = [
            query.named(uniform(f"noise of {self.model.column}: {name}", column("number")), f"draw {place}")
            for place, name in enumerate(taken) if name not in theirs
        ]  # fmt: skip
        steps = steps.then("drawn", query.select([fragment("*"), *drawn], relation("tuples")))
        for place, name in enumerate(taken):
            if name in theirs:
                missing = fragment("(select $x from source where 1 = 0)", x=column(name))  # in its type
                cell = column("value", "v") if name == self.model.column else missing
                steps = steps.join(source.step())
            else:
                steps = steps.join(self._pool(source, place, name))
                pool = f"pool {place}"
                u = column(f"draw {place}", "t")
                at = fragment("floor($u * $m) >= $s and floor($u * $m) < $s + $r", u=u, m=column("most", pool),
                              s=column("start", pool), r=column("records", pool))  # fmt: skip
                tree, cell = query.joined(tree, pool, at), column("drawn", pool)
            cells.append(query.named(cell, name))
        number = query.named(column("class", "n"), records.class_of(source))
        made = steps.then("noise", query.selecting(tree, [number, *cells]))
        with self.work.engine.functions(self.key):
            self.work.make("noise", made, "records of nobody, by class")
        self.work.drop("tuples")

    def _pool(self, source: Source, place: int, name: str) -> Query:
        """The step `pool i`: the values of a column, each with the stretch of places that its records take."""
        counted = fragment("select $x as drawn, count(*) as records from source group by $x", x=column(name))
        laid = fragment(
            f"select *, cast(sum(records) over (order by drawn nulls first {_SO_FAR}) as bigint) - records as start,"
            " cast(sum(records) over () as bigint) as most from $c", c=query.table(f"counted {place}"),
        )  # fmt: skip
        return source.step().then(f"counted {place}", counted).then(f"pool {place}", laid)
