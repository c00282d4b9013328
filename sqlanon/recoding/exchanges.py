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

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sqlanon import query
from sqlanon.functions import uniform
from sqlanon.models import ThetaSensitivity, k_of
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import records
from sqlanon.recoding.partition import Encoded, classes, keyed
from sqlanon.recoding.working import Columns, relation
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_plans import Histogram, Ints, Plan, plan_paper, plan_swap

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
    return _Exchange(encoded, model, key).run()


class _Exchange:
    """One run. `numbers of classes`, `numbers of values`: both from 0, in their orders."""

    def __init__(self, encoded: Encoded, model: ThetaSensitivity, key: str) -> None:
        self.encoded, self.model, self.key, self.work = encoded, model, key, encoded.work
        self.value = f"beside {encoded.beside.index(model.column)}"

    def run(self) -> Exchanged:
        self._number()
        plan = self._planned(self._histogram())
        leaving, arriving = plan.moves()
        if len(leaving):
            self._load("leaving", ("class", "value", "records"), leaving)
            self._load("arriving", ("class", "value", "records"), arriving)
            self.work.make("pieces", self._moved(), "which records of each combination are in which class")
            self.work.drop("leaving", "arriving")
        if len(plan.noise):
            self._noise(plan.noise)
        self.work.drop("numbers of classes", "numbers of values")
        return Exchanged(plan.swaps, plan.noise_records, len(plan.unmet))

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

    def _histogram(self) -> Histogram:
        counted = self._whole().then("counted", fragment(
            "select class, value, cast(sum(records) as bigint) as records from whole group by class, value"
        ))  # fmt: skip
        found = self.work.read(counted, f"count the values of {self.model.column} in each class")
        sized = fragment("select count(*) from $v", v=relation("numbers of values"))
        (domain,) = self.work.ask(sized, f"count the values of {self.model.column}")
        return Histogram(found["class"], found["value"], found["records"], int(domain))

    def _planned(self, histogram: Histogram) -> Plan:
        model, spec = self.model, self.encoded.source.spec
        k = model.k or k_of(spec.privacy) or 1
        theta, planner = Theta(k, exact(model.mu), model.theta), self._planner()
        plan = planner(histogram, theta, frozenset())
        known: set[int] = set()
        implausible: set[tuple[int, int]] = set()
        while new := {int(number) for number in plan.noise[:, 0]} - known:
            implausible |= self._implausible(new)
            known |= new
            plan = planner(histogram, theta, frozenset(implausible))
        return plan

    def _planner(self) -> Callable[[Histogram, Theta, frozenset[tuple[int, int]]], Plan]:
        planners: dict[str, Callable[..., Plan]] = {"paper": plan_paper, "swap": plan_swap}
        plan, noise = planners[self.model.repair], self.model.noise
        return lambda histogram, theta, implausible: plan(histogram, theta, noise=noise, implausible=implausible)

    def _implausible(self, numbers: Iterable[int]) -> set[tuple[int, int]]:
        """The pairs of class and value, by number, that noise must not make."""
        classes(self.encoded)
        self._load("asked", ("number",), np.array(sorted(numbers), dtype=np.int64).reshape(-1, 1))
        inside = [
            fragment(
                "exists (select 1 from $c as c where $own is not distinct from v.value and $p >= $low and $p <= $high)",
                c=relation("combinations"), own=column(self.value, "c"), p=column(place, "c"),
                low=column(f"low {i}", "s"), high=column(f"high {i}", "s"),
            )
            for i, place in enumerate(self.encoded.places)
            if self.encoded.dimensions[i].kind != "interval"
        ]  # fmt: skip
        unlike = fragment(
            "select n.number as class, v.number as value from $a as a join $n as n on a.number = n.number"
            " join $s as s on n.class = s.class cross join $v as v where not ($inside)", inside=query.every(inside),
            a=relation("asked"), n=relation("numbers of classes"), s=relation("classes"),
            v=relation("numbers of values"),
        )  # fmt: skip
        found = self.work.read(unlike, f"look where the values of {self.model.column} are plausible")
        self.work.drop("asked")
        return set(zip(found["class"].tolist(), found["value"].tolist(), strict=True))

    def _load(self, name: str, names: tuple[str, ...], rows: Ints) -> None:
        def blocks() -> Iterator[Columns]:
            yield {label: np.ascontiguousarray(rows[:, place]) for place, label in enumerate(names)}

        self.work.load(name, blocks(), f"the plan: {name}", f"sqlanon.udfs.theta_plans.plan_{self.model.repair}")

    # -- what is done ------------------------------------------------------------------------------------------------

    def _moved(self) -> Query:
        """`pieces` after the exchanges: what leaves a class and value is laid out beside what arrives with that value.

        Both are in the order of the classes, so that records move no further than they must.
        """
        steps = self._whole().then("placed", fragment(
            "select w.*, l.records as asked,"
            " cast(sum(w.records) over (partition by w.class, w.value order by $tie, w.id"
            f" {_SO_FAR}) as bigint) - w.records as start from whole as w join $l as l on w.class = l.class"
            " and w.value = l.value", tie=keyed([fragment("cast(w.id as varchar)")]), l=relation("leaving"),
        ))  # fmt: skip
        steps = steps.then("taken", fragment(
            "select id, class, value, least(records, asked - start) as records from placed where start < asked"
        ))  # fmt: skip
        laid = f"cast(sum(records) over (partition by value order by class {{}}{_SO_FAR}) as bigint) - records as start"
        steps = steps.then("laid", fragment(f"select *, {laid.format(', id ')} from taken"))
        steps = steps.then("slots", fragment(f"select *, {laid.format('')} from $a", a=relation("arriving")))
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

    def _noise(self, planned: Ints) -> None:
        """`noise`: a row per tuple, with its `class` and all columns that a record carries beside its class."""
        tuples = np.repeat(planned[:, :2], planned[:, 2], axis=0)
        self._load("tuples", ("number", "class", "value"), np.column_stack([np.arange(1, len(tuples) + 1), tuples]))
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
