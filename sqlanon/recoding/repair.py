"""Any model on any partition: classes that fail are united with the nearest, or left to be suppressed.

Round after round, all at once in the database: every class that fails names the neighbour in the order of the classes
with which a union loses least; of the unions that are named, those that are cheapest where they meet are made, so that
no class is drawn into two. Only united classes are measured again. The classes grow fewer, so it ends: when all hold,
or with one class that cannot.

`boxes`: where the classes are disjoint boxes of a Mondrian and are to stay so, a class that fails is united with all of
the partition that it was cut from last.

Suppression: a failing class stays as it is, and will be suppressed, where uniting it would lose more than suppressing
all its records and the limit allows.

Only sums over classes are looked at, never who is in them; but the unions follow from sensitive values, so who knows
the algorithm learns a little from them (minimality attack, Wong et al. 2007). What depends on the whole table or on a
population is judged by the verifier alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlanon import query
from sqlanon.errors import ModelNotMet
from sqlanon.measuring import Measured, Rows, measured
from sqlanon.models import Model, Verdict, every_class, judgement, needed, verdicts
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import covers, records
from sqlanon.recoding.partition import Encoded, classes
from sqlanon.recoding.working import relation, working_name


@dataclass(frozen=True)
class Repaired:
    """What a repair came to: rounds of unions, classes before and after, records that are left to be suppressed."""

    rounds: int
    before: int
    after: int
    suppressed: int


def smallest(models: Sequence[Model]) -> int:
    """The fewest records of a class that can hold, as far as the models' parameters tell: where a partition starts."""
    found = [getattr(model, name, None) for model in models for name in ("k", "l", "p")]
    return max([1, *(int(-(-number // 1)) for number in found if isinstance(number, int | float))])


def repair(encoded: Encoded, models: Sequence[Model], *, limit: int = 0, boxes: bool = False) -> Repaired:
    """Changes `pieces` until every class holds, but for classes with `limit` records at most.

    Raises `ModelNotMet` with the verdicts where one class of all records that are left fails too, `EngineError`.
    """
    judged = tuple(model for model in models if model.scope == "class" and "population" not in model.reads)
    return _Repair(encoded, judged, limit, boxes).run()


def pairs(steps: Query) -> Query:
    """The step `placed`, after the step `losses`: every `home` with the `place` that it shares with whom it is paired.

    `losses` tells what a union of each home with the one before it loses (`loss`), and with the one after it
    (`loss_after`), and whether it is `held`. Each that is not names the cheaper of its sides; of the named sides, those
    are taken that are cheaper than the named sides next to them (of equal ones the first), so that unions are pairs.
    """
    steps = steps.then("named", fragment(
        "select *, not held and loss is not null and (loss_after is null or loss <= loss_after) as this_side,"
        " not held and loss_after is not null and (loss is null or loss_after < loss) as that_side from losses"
    ))  # fmt: skip
    steps = steps.then("asked", fragment(
        "select home, case when this_side or coalesce(lag(that_side) over (order by home), false) then loss end"
        " as asked from named"
    ))  # fmt: skip
    steps = steps.then("beside", fragment(
        "select home, asked, lag(asked) over (order by home) as asked_before, lead(asked) over (order by home)"
        " as asked_after from asked"
    ))  # fmt: skip
    steps = steps.then("joining", fragment(
        "select home, coalesce(asked is not null and (asked_before is null or asked < asked_before)"
        " and (asked_after is null or asked <= asked_after), false) as joins from beside"
    ))  # fmt: skip
    return steps.then("placed", fragment(
        "select home, max(case when not joins then home end) over (order by home rows between unbounded preceding"
        " and current row) as place from joining"
    ))  # fmt: skip


class _Repair:
    """One run. `members`: class × values, with records; `unions n`: the classes of round n; `belongs n`: whose class.

    `unions` have their first class (`home`), their `last`, `records`, `low i`, `high i`, and `held`, which is missing
    where it is not known.
    """

    def __init__(self, encoded: Encoded, models: tuple[Model, ...], limit: int, boxes: bool) -> None:
        self.encoded, self.models, self.limit, self.boxes = encoded, models, limit, boxes
        self.work, self.round, self.rounds, self.source = encoded.work, 0, 0, encoded.source
        self.read = (*self.source.sensitive, *self.source.beside)
        self.home, self.count = (query.fresh(name, self.read) for name in ("home", "members"))
        self.ends = [f"{end} {i}" for i in range(len(encoded.dimensions)) for end in ("low", "high")]

    def run(self) -> Repaired:
        """Rounds until all hold, then the pieces in their new classes."""
        classes(self.encoded)
        self._start()
        before = self._number("unions", "count(*)")
        self._judge()
        while True:
            while self._failing():
                self._give_up()
                if self._failing():
                    self.rounds += 1
                    self._unite()
                    self._judge()
            self._apply()
            if self._all_alike_hold():
                break
        after, suppressed = (self._number("unions", "count(*)"), self._number("given up", "sum(records)"))
        self.work.drop(*(name for name in self.work.held if name.split()[0] in ("unions", "belongs", "members")))
        self.work.drop("given up", *(f"table of {name}" for name in self.source.sensitive))
        return Repaired(self.rounds, before, after, suppressed)

    def _name(self, what: str) -> str:
        return f"{what} {self.round}" if what in ("unions", "belongs") else what

    def _at(self, what: str) -> Expression:
        return relation(self._name(what))

    def _next(self, unions: Query, belongs: Query | Expression) -> None:
        """The tables of the next round, made from this one's."""
        before = (self._name("unions"), self._name("belongs"))
        self.round += 1
        self.work.make(self._name("unions"), unions, "the classes, and whether each holds")
        self.work.make(self._name("belongs"), belongs, "which of them each first class belongs to")
        self.work.drop(*before)

    def _number(self, what: str, sql: str, where: str = "true") -> int:
        asked = fragment(f"select cast(coalesce({sql}, 0) as bigint) from $t where {where}", t=self._at(what))
        return int(self.work.ask(asked, "count the classes")[0])

    def _failing(self) -> int:
        return self._number("unions", "count(*)", "not held")

    # -- what is judged ----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        records.house(self.encoded)
        taken, read = (*self.read, *records.carried(self.source)), [column(name) for name in self.read]
        number = query.fresh("class", taken)
        steps = records.steps(self.encoded, [("class", number)], "assigned", "every record, and its class")
        counted = fragment("count(*) as $n", n=query.identifier(self.count))
        group = [column(number), *read]
        members = query.select([query.named(column(number), self.home), *read, counted], "assigned", group=group)
        self.work.make("members", steps.then("members", members), "how many records of each class have which values")
        for name in self.source.sensitive:
            table = fragment("select $s, cast(sum($n) as bigint) as $m from $t group by $s", s=column(name),
                             n=column(self.count), m=query.identifier(self.count), t=relation("members"))  # fmt: skip
            self.work.make(f"table of {name}", table, f"the values of {name} in the whole table")
        ends = [column(name) for name in self.ends]
        unions = fragment("select class as home, class as last, records, $e, cast(null as boolean) as held from $c",
                          e=ends, c=relation("classes"))  # fmt: skip
        self.work.make(self._name("unions"), unions, "the classes, and whether each holds")
        own = fragment("select class, class as home from $c", c=relation("classes"))
        self.work.make(self._name("belongs"), own, "which of them each first class belongs to")
        none = fragment("select home, records from $u where 1 = 0", u=self._at("unions"))
        self.work.make("given up", none, "the classes that are left to be suppressed")

    def _chain(self, homes: Query) -> tuple[Query, Measured]:
        """The steps that measure the classes in the step `homes` (`class`, `home`); they end in `measured`."""
        told = [column(name, "m") for name in (*self.read, self.count)]
        rows = fragment("select h.home as $home, $told from $m as m join homes as h on m.$home = h.class",
                        home=query.identifier(self.home), told=told, m=relation("members"))  # fmt: skip
        where = {
            name: replace(reference, relation=working_name(f"table of {name}"))
            for name, reference in self.source.references("", self.count).items()
        }
        chain = measured(Rows("rows", (self.home,), self.source.spec.entity, self.count), needed(self.models), where)
        return self.source.trees().join(homes).then("rows", rows).join(chain.query), chain

    def _held(self, chain: Measured, name: str) -> list[Expression]:
        """Columns of `measured`: which class under that name, and whether it `holds`."""
        holds = fragment("($all) is true", all=query.every(every_class(self.models, chain)))
        return [query.named(column(self.home), name), query.named(holds, "holds")]

    def _judge(self) -> None:
        """`held` of the classes for which it is not known."""
        unknown = fragment(
            "select b.class, b.home from $b as b join $u as u on b.home = u.home where held is null",
            b=self._at("belongs"), u=self._at("unions"),
        )  # fmt: skip
        steps, chain = self._chain(Query(()).then("homes", unknown))
        steps = steps.then("judged", query.select(self._held(chain, "home"), "measured"))
        ends = [column(name) for name in self.ends]
        known = fragment(
            "select u.home, last, records, $e, coalesce(held, holds, false) as held from $u as u left join judged as j"
            " on u.home = j.home", e=ends, u=self._at("unions"),
        )  # fmt: skip
        self._next(steps.then("unions", known), fragment("select class, home from $b", b=self._at("belongs")))

    # -- what is united ----------------------------------------------------------------------------------------------

    def _width(self, high: str, low: str) -> str:
        """What a record costs between two ends, as `hilbert` counts it; `{i}` stands for the column's number."""
        span, terms = self.encoded.span, []
        for i, (dimension, weight) in enumerate(zip(self.encoded.dimensions, self.encoded.weights, strict=True)):
            wide = f"({high.format(i=i)} - {low.format(i=i)})"
            whole, part = f"case when {wide} > 0 then {span} else 0 end", f"least({wide}, {span})"
            terms.append(f"{weight} * {whole if dimension.kind == 'single' else part}")
        return " + ".join(terms)

    def _losses(self) -> Query:
        """The step `losses`: what each class loses in a union with the one before it and the one after it."""
        along = "over (order by home)"
        own = self._width('"high {i}"', '"low {i}"')
        before = ", ".join(f'lag("{name}") {along} as "before {name}"' for name in self.ends)
        wide = self._width('greatest("high {i}", "before high {i}")', 'least("low {i}", "before low {i}")')
        union = f"cast(records + before_records as double) * ({wide})"
        steps = Query(()).then("priced", fragment(f"select *, cast(records as double) * ({own}) as own from $u",
                                                  u=self._at("unions")))  # fmt: skip
        steps = steps.then("met", fragment(
            f"select *, lag(records) {along} as before_records, lag(own) {along} as before_own, {before} from priced"
        ))  # fmt: skip
        steps = steps.then("lost", fragment(
            f"select home, records, held, own, {union} - own - before_own as loss from met"
        ))  # fmt: skip
        return steps.then("losses", fragment(f"select *, lead(loss) {along} as loss_after from lost"))

    def _give_up(self) -> None:
        """Leaves classes to be suppressed that would lose more in a union, as far as the limit goes."""
        left = self.limit - self._number("given up", "sum(records)") if self.limit else 0
        if left <= 0:
            return
        whole = sum(self.encoded.weights) * self.encoded.span
        least = "coalesce(least(coalesce(loss, loss_after), coalesce(loss_after, loss)), 9e300)"
        saved = f"{least} - ({whole} * cast(records as double) - own) as saved"
        steps = self._losses().then("saved", fragment(f"select home, records, {saved} from losses where not held"))
        steps = steps.then("so_far", fragment(
            "select home, records, sum(records) over (order by saved desc, home rows between unbounded preceding and"
            " current row) as total from saved where saved > 0"
        ))  # fmt: skip
        gone = steps.then("gone", fragment(f"select home, records from so_far where total <= {left}"))
        self.work.add("given up", gone, "the classes that are left to be suppressed")
        kept = fragment(
            "select * from $u as u where not exists (select 1 from $g as g where g.home = u.home)",
            u=self._at("unions"), g=relation("given up"),
        )  # fmt: skip
        self._next(Query(()).then("unions", kept), fragment("select class, home from $b", b=self._at("belongs")))

    def _unite(self) -> None:
        """Unions of classes that fail with others; where none can be made, what is left cannot hold."""
        steps = self._in_boxes() if self.boxes else self._with_neighbours()
        least = {"low": "min", "high": "max"}
        ends = [fragment(f'{least[end.split()[0]]}("{end}") as $e', e=query.identifier(end)) for end in self.ends]
        united = fragment(
            "select min(home) as home, max(last) as last, cast(sum(records) as bigint) as records, $e,"
            " case when count(*) = 1 then max(case when held then 1 else 0 end) = 1 end as held from grouped"
            " group by place", e=ends,
        )  # fmt: skip
        belongs = steps.then("homes", fragment("select home, min(home) over (partition by place) as new from grouped"))
        belongs = belongs.then("belongs", fragment(
            "select class, coalesce(h.new, b.home) as home from $b as b left join homes as h on b.home = h.home",
            b=self._at("belongs"),
        ))  # fmt: skip
        before = self._number("unions", "count(*)")
        self._next(steps.then("unions", united), belongs)
        if self._number("unions", "count(*)") == before:
            raise self._refused()

    def _with_neighbours(self) -> Query:
        """The step `grouped`: the classes, those that are to be united under one `place`."""
        return pairs(self._losses()).then("grouped", fragment(
            "select u.*, p.place from $u as u join placed as p on u.home = p.home", u=self._at("unions")
        ))  # fmt: skip

    def _in_boxes(self) -> Query:
        """The step `grouped`, where a class that fails is united with all of the smallest partition around it."""
        steps = Query(()).then("along", fragment(
            "select home, last, held, lead(home) over (order by home) as following from $u", u=self._at("unions")
        ))  # fmt: skip
        steps = steps.then("around", fragment(
            'select f.home, max(n."first") as "first", min(n.until) as until from along as f join $n as n'
            ' on n."first" <= f.home and n.until > f.last and (n."first" < f.home or n.until > f.following)'
            " where not f.held group by f.home", n=relation("nodes"),
        ))  # fmt: skip
        steps = steps.then("asked", fragment('select distinct "first", until from around'))
        steps = steps.then("least", fragment(
            'select * from asked as a where not exists (select 1 from asked as b where b."first" >= a."first"'
            ' and b.until <= a.until and (b."first" > a."first" or b.until < a.until))'
        ))  # fmt: skip
        return steps.then("grouped", fragment(
            'select u.*, coalesce(l."first", u.home) as place from $u as u left join least as l'
            ' on l."first" <= u.home and l.until > u.home', u=self._at("unions"),
        ))  # fmt: skip

    def _refused(self) -> ModelNotMet:
        """What the classes that are left come to when they cannot be united any more."""
        left = fragment("select b.class, b.home from $b as b join $u as u on b.home = u.home where not held",
                        b=self._at("belongs"), u=self._at("unions"))  # fmt: skip
        rows = Query(()).then("homes", left)
        steps, chain = self._chain(rows)
        (row,) = self.work.engine.run("judge what is left", steps.then("answer", judgement(self.models, chain)))
        found: tuple[Verdict, ...] = verdicts(self.models, row)
        broken = "; ".join(
            f"{v.model}{f' of {v.column}' if v.column else ''}: {v.value:.6g} against {v.bound:.6g}" for v in found
            if not v.holds and v.value is not None and v.bound is not None
        )  # fmt: skip
        records = self._number("unions", "sum(records)", "not held")
        return ModelNotMet(
            f"no partition satisfies {'; '.join(map(str, self.models))}: one class of {records} records is left that"
            f" does not hold ({broken}), and {self.limit} may be suppressed; nothing was published", found,
        )  # fmt: skip

    # -- what becomes of it ------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        """`pieces` in their new classes; those of a combination that follow each other in a class are one again."""
        moved = fragment(
            "select p.id, b.home as class, p.first, p.records from $p as p join $b as b on p.class = b.class",
            p=relation("pieces"), b=self._at("belongs"),
        )  # fmt: skip
        steps = Query(()).then("moved", moved).then("whole", fragment(
            "select id, class, min(first) as first, cast(sum(records) as bigint) as records,"
            " max(first + records) as until from moved group by id, class"
        ))  # fmt: skip
        made = steps.then("pieces", fragment(
            "select id, class, first, records from whole where until - first = records union all"
            " select m.id, m.class, m.first, m.records from moved as m join whole as w on m.id = w.id"
            " and m.class = w.class where w.until - w.first <> w.records"
        ))  # fmt: skip
        self.work.make("pieces", made, "which records of each combination are in which class")
        if "noise" in self.work.held:
            self.work.make("noise", self._noise(), "records of nobody, by class")

    def _noise(self) -> Expression:
        """The records of nobody in their new classes."""
        kept, number = [column(name, "n") for name in records.carried(self.source)], records.class_of(self.source)
        return fragment(
            "select b.home as $as, $kept from $n as n join $b as b on $c = b.class", kept=kept, n=relation("noise"),
            b=self._at("belongs"), c=column(number, "n"), **{"as": query.identifier(number)},
        )  # fmt: skip

    def _all_alike_hold(self) -> bool:
        """Whether classes that are published alike hold together; those that do not are taken up again."""
        gone = self._number("given up", "count(*)")
        if not gone and all(model.monotone for model in self.models):
            return True
        covers.cover(self.encoded)
        steps = Query(()).then("alike", covers.alike(self.encoded))
        homes = fragment("select b.class, a.alike as home from $b as b join alike as a on b.home = a.class",
                         b=self._at("belongs"))  # fmt: skip
        steps, chain = self._chain(steps.then("homes", homes))
        steps = steps.then("judged", query.select(self._held(chain, "alike"), "measured"))
        ends = [column(name, "u") for name in self.ends]
        known = fragment(
            "select u.home, u.last, u.records, $e, j.holds as held from $u as u join alike as a on u.home = a.class"
            " join judged as j on a.alike = j.alike", e=ends, u=self._at("unions"),
        )  # fmt: skip
        self._next(steps.then("unions", known), fragment("select class, home from $b", b=self._at("belongs")))
        return not self._failing()
