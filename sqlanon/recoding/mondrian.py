"""Mondrian: the space of quasi-identifiers is cut in two, and each half again, while both halves keep k persons.

All partitions of one level are cut by one query, over the combinations with their counts: per partition and dimension a
histogram, in it the running count, and of all the cuts that leave k on both sides the one that saves most. A cut of a
dimension of width w into widths a and b, with m and n records, saves (m + n) · w − m · a − n · b of the loss (the paper
cuts the widest dimension at its median; this finds gaps and outliers, and was 25 % better on Adult).

*Strict*: a cut separates by value, so the classes are disjoint boxes of places. *Relaxed*: where no value separates k
from k, a leaf of 2k or more is shared out in the order of the space-filling key, so classes may overlap.

A dimension that cannot be cut in a partition cannot be cut in any part of it, so it is not looked at again. A partition
of many combinations is looked at in bins of places, cut between two of them; where no such cut leaves k on both sides,
it is looked at place by place. Where there are so many combinations that histograms of all dimensions would be large,
only the widest few are looked at.

Large tables are cut twice: first every 16th combination along the curve, down to partitions of some 64 of these, then
all of them, beginning with these partitions. What leaves k of the few on both sides leaves k of all.

*Order*. Each partition's number is twice the number of records that stand before it, plus one where it is turned round:
of its halves the one with the higher values comes first. So halves meet where they are nearest, as in a Gray code, and
the leaves stand in an order in which neighbours are near each other; `hilbert` groups records along it.

Source: LeFevre, DeWitt, Ramakrishnan, "Mondrian multidimensional k-anonymity", ICDE 2006. Leaves: everything about the
sensitive values; see `repair`.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlanon import query
from sqlanon.query import Expression, Query, Text, column, fragment
from sqlanon.recoding import lines
from sqlanon.recoding.partition import Encoded, even, order, whole_leaves
from sqlanon.recoding.working import relation

# Histogram rows of one level, at most: beyond it, fewer dimensions of each partition are looked at.
_ROWS = 2_000_000
# Bins of a dimension, and the combinations of a partition up to which it is looked at place by place.
_BINS = 32
_FEW = 128
# Beyond so many combinations, each 16th is cut first, down to partitions of 64 … 127 of them.
_MANY = 1 << 17
_EVERY = 16
_LEAST = 64


def strict(encoded: Encoded, k: int) -> None:
    """Makes `pieces` of disjoint boxes of at least k persons, and `nodes`. Raises as `split` does."""
    split(encoded, k, nodes=True)
    whole_leaves(encoded)
    encoded.work.drop("leaves")


def relaxed(encoded: Encoded, k: int) -> None:
    """Makes `pieces` of k … 2k − 1 persons; classes within one box of the strict ones overlap. Raises as `split`."""
    split(encoded, k)
    order(encoded, located(), in_parts=True)
    even(encoded, k)
    encoded.work.drop("leaves", "ordered")


def located() -> Expression:
    """Where each combination stands in the order of the leaves."""
    return fragment(
        "select id, cast(part // 2 as bigint) as place, case when part % 2 = 1 then -id else id end as along from $l",
        l=relation("leaves"),
    )  # fmt: skip


def split(encoded: Encoded, k: int, *, looks: int | None = None, nodes: bool = False) -> None:
    """Makes `leaves`: the partition (`part`) of every combination (`id`) when no partition can be cut any more.

    `looks`: how many dimensions of a partition are looked at in one level, the widest first; else as many as the number
    of combinations allows. With `nodes`, that table gets the stretch of the order that each partition fills which was
    cut (`first` … before `until`). Raises `ModelNotMet` where there are fewer than k persons in all, `EngineError`.
    """
    encoded.require(k)
    if encoded.combinations <= _MANY:
        levels = _Levels(encoded, k, looks, nodes=nodes)
        levels.begin()
    else:
        sketch = _Sketch(encoded, k, looks)
        sketch.begin()
        sketch.run()
        levels = _Levels(encoded, k, looks, nodes=nodes)
        levels.begin_with(sketch)
    levels.run()


_STATE = "their numbers, the dimensions that cannot be cut in them, and those to be looked at place by place"


class _Levels:
    """The levels of one run. `open`: the rows that may still be cut, `state`: their partitions.

    Odd and even levels have tables of their own, each made from the other's, so that two sets of statements do for all.
    """

    every = 1

    def __init__(self, encoded: Encoded, k: int, looks: int | None, *, nodes: bool = False) -> None:
        self.encoded, self.nodes, self.work, self.level = encoded, nodes, encoded.work, 1
        affordable = max(_ROWS * self.every // encoded.combinations, 1)
        self.looks = min(looks or affordable, len(encoded.dimensions))
        self.said: dict[tuple[str, int], Text] = {}
        self.persons = "persons" if encoded.entity else "records"
        self.least = {self.persons: k}
        self.counted = list(dict.fromkeys(["records", self.persons]))
        self.rows = [column(name) for name in (*self.counted, *encoded.places)]
        at = " ".join(f'when {i} then "{place}"' for i, place in enumerate(encoded.places))
        self.at = fragment(f"case dimension {at} end")
        self.sort = lines.narrow(2 * encoded.records + 1)

    def begin(self) -> None:
        """The whole table as one partition."""
        whole = f"select id, cast(0 as {self.sort}) as part, $rows from $c"
        opened = fragment(whole, rows=self.rows, c=relation("combinations"))
        self.work.make(self._name("open"), opened, "the table as one partition")
        self.work.make(self._name("state"), _start(self.sort), _STATE)
        self._empty()

    def begin_with(self, sketch: _Sketch) -> None:
        """The partitions that a sketch came to, with all that lies in them."""
        self.work.make(self._name("open"), sketch.descended(self.rows), "the table in the partitions of the sketch")
        firsts = Query(()).then("counted", fragment(
            "select part, cast(sum(records) as bigint) as records from $o group by part", o=self._at("open")
        ))  # fmt: skip
        self.work.make("firsts", firsts.then("firsts", fragment(
            "select part, cast(sum(records) over (order by part // 2 rows between unbounded preceding and current row)"
            " as bigint) - records as first from counted"
        )), "how many records stand before each of these partitions")  # fmt: skip
        state = "select part, first, cast(0 as bigint) as dead, cast(0 as bigint) as fine from $f"
        self.work.make(self._name("state"), fragment(state, f=relation("firsts")), _STATE)
        self._empty()
        if self.nodes:
            self.work.add("nodes", sketch.nodes_by_firsts(), "the partitions that were cut")
        self.work.drop("tree", "firsts")

    def _empty(self) -> None:
        """`leaves` and `nodes`, with nothing in them."""
        nothing = fragment("select id, part from $o where 1 = 0", o=self._at("open"))
        self.work.make("leaves", nothing, "the partitions that are cut no more")
        if self.nodes:
            none = fragment("select first, first as until from $s where 1 = 0", s=self._at("state"))
            self.work.make("nodes", none, "the partitions that were cut")

    def run(self) -> None:
        """Level after level, until no partition is open."""
        while self._parts():
            self._step()
        self.work.drop(self._name("open"), self._name("state"))

    def _step(self) -> None:
        """One level: the best cut of every open partition, and the halves."""
        looks, cuts = self._say("looks", self._looks), self._say("cuts", self._cuts)
        self.work.make(self._name("looks"), looks, "the dimensions of each partition that are looked at")
        self.work.make(self._name("cuts"), cuts, "the best cut of each partition, and what becomes of its halves")
        opened, state = (self._say(what, build) for what, build in (("open", self._opened), ("state", self._states)))
        self._keep()
        before = [self._name(what) for what in ("open", "state", "looks", "cuts")]
        self.level = 3 - self.level
        self.work.make(self._name("open"), opened, "the partitions that may be cut further")
        self.work.make(self._name("state"), state, _STATE)
        self.work.drop(*before)

    def _keep(self) -> None:
        """What a level leaves behind."""
        if self.nodes:
            self.work.add("nodes", self._say("nodes", self._cut), "the partitions that were cut")
        if self.work.ask(self._say("ends", self._closing), "count the partitions that are cut no more")[0]:
            self.work.add("leaves", self._say("closed", self._closed), "the partitions that are cut no more")

    def _say(self, what: str, build: Callable[[], Query | Expression]) -> Text:
        """The SQL of a statement at this level, rendered once."""
        place = (what, self.level)
        if place not in self.said:
            self.said[place] = Text(self.work.engine.rendered(build()))
        return self.said[place]

    def _name(self, what: str) -> str:
        return f"{what} {self.level}"

    def _at(self, what: str) -> Expression:
        return relation(self._name(what))

    def _parts(self) -> int:
        count = self._say("parts", lambda: fragment("select count(*) from $s", s=self._at("state")))
        return int(self.work.ask(count, "count the partitions")[0])

    def _looks(self) -> Query:
        """A row per partition and dimension: its ends (`low`, `high`), whether it is looked at in bins (`coarse`) …

        and whether there are `more` dimensions to look at.
        """
        ends: list[Expression] = [fragment(f"cast(sum({name}) as bigint) as all_{name}") for name in self.counted]
        for i, place in enumerate(self.encoded.places):
            ends.append(query.named(fragment("cast(min($p) as bigint)", p=column(place)), f"low {i}"))
            ends.append(query.named(fragment("cast(max($p) as bigint)", p=column(place)), f"high {i}"))
        counted = fragment("select part, count(*) as many, $e from $o group by part", e=ends, o=self._at("open"))
        told = [column(f"all_{name}") for name in self.counted]
        each = " union all ".join(
            f'select part, many, $told, {i} as dimension, "low {i}" as low, "high {i}" as high,'
            f" cast({dimension.weight!r} as double) as weight from ends"
            for i, dimension in enumerate(self.encoded.dimensions)
        )
        steps = Query(()).then("ends", counted).then("sides", fragment(each, told=told))
        dead, fine = (self._bit(mask) for mask in ("dead", "fine"))
        steps = steps.then("alive", fragment(
            "select e.part, $told, dimension, low, high, weight,"
            f" case when many > {_FEW} and {fine} = 0 then 1 else 0 end as coarse"
            f" from sides as e join $s as s on e.part = s.part where high > low and {dead} = 0",
            s=self._at("state"), told=told,
        ))  # fmt: skip
        if self.looks == len(self.encoded.places):
            return steps.then("looks", fragment("select *, 0 as more from alive"))
        widest = f"least(high - low, {self.encoded.span}) * weight desc, dimension"
        steps = steps.then("ranked", fragment(
            f"select *, row_number() over (partition by part order by {widest}) as rank,"
            f" case when count(*) over (partition by part) > {self.looks} then 1 else 0 end as more from alive"
        ))  # fmt: skip
        return steps.then("looks", fragment(
            f"select part, $told, dimension, low, high, weight, coarse, more from ranked where rank <= {self.looks}",
            told=told,
        ))  # fmt: skip

    def _bit(self, mask: str) -> str:
        """The bit of a row's `dimension` in a mask."""
        bits = " ".join(f"when {i} then ({mask} // {power}) % 2" for i, power in enumerate(self._powers()))
        return f"case dimension {bits} end"

    def _powers(self) -> list[int]:
        """The bit of each dimension in `dead`."""
        return [1 << i for i in range(len(self.encoded.places))]

    def _cuts(self) -> Query:
        steps = self._allowed()
        powers = " ".join(f"when {i} then {power}" for i, power in enumerate(self._powers()))
        power = f"cast(sum(case dimension {powers} end) as bigint)"
        pick = "dimension * 1099511627776 + at"
        steps = steps.then("most", fragment("select part, max(saved) as saved from allowed group by part"))
        steps = steps.then("picked", fragment(
            f"select allowed.part, min({pick}) as pick from allowed join most on allowed.part = most.part"
            " and allowed.saved = most.saved group by allowed.part"
        ))  # fmt: skip
        steps = steps.then("best", fragment(
            "select allowed.* from allowed join picked on allowed.part = picked.part and " + pick + " = pick"
        ))  # fmt: skip
        steps = steps.then("fruitful", fragment("select distinct part, dimension from allowed"))
        steps = steps.then("found", fragment(f"select part, {power} as found from fruitful group by part"))
        steps = steps.then("tried", fragment(
            f"select part, coalesce({power.replace('end)', 'end) filter (where coarse = 0)')}, 0) as tried,"
            f" coalesce({power.replace('end)', 'end) filter (where coarse = 1)')}, 0) as binned,"
            " max(more) as more from $looks group by part", looks=self._at("looks")
        ))  # fmt: skip
        # What bins could not cut is looked at again; only what no place cuts is known to stay whole in all parts.
        steps = steps.then("masks", fragment(
            "select t.part, more, tried - (tried & coalesce(found, 0)) as dead, binned - (binned & coalesce(found, 0))"
            " as fine from tried as t left join found on t.part = found.part"
        ))  # fmt: skip
        steps = steps.then("joined", fragment(
            "select s.part, s.dead + coalesce(m.dead, 0) as dead, coalesce(m.fine, 0) as fine, s.fine as fine_before,"
            " coalesce(more, 0) as more, 2 * first as start, s.part % 2 as turned, dimension, at,"
            " before_records as before, all_records - before_records as after,"
            f" {self._room('before_{}')} as left_room, {self._room('all_{0} - before_{0}')} as right_room"
            " from $s as s left join masks as m on s.part = m.part left join best as b on s.part = b.part",
            s=self._at("state"),
        ))  # fmt: skip
        return steps.then("cuts", fragment(
            "select part, dead, case when dimension is null then fine_before + fine else 0 end as fine, dimension, at,"
            " before + after as total, cast(start + case when dimension is null then turned when turned = 0 then 0"
            f" else 2 * after + 1 end as {self.sort}) as left_part,"
            f" cast(start + case when turned = 0 then 2 * before + 1 else 0 end as {self.sort}) as right_part,"
            " case when dimension is null then more = 1 or fine > 0 else left_room end as left_open,"
            " coalesce(right_room, false) as right_open from joined"
        ))  # fmt: skip

    def _room(self, count: str) -> str:
        """Whether so many can be cut again."""
        return "(" + " and ".join(f"{count.format(name)} >= {2 * least}" for name, least in self.least.items()) + ")"

    def _allowed(self) -> Query:
        """The cuts that leave k on both sides, and what each saves: after the place `at`, before the next one."""
        counted = [column(name) for name in self.counted]
        bins = f"case when coarse = 1 then ((place - low) * {_BINS}) // (high - low + 1) else place end as bin"
        steps = Query(()).then("spread", fragment(
            "select o.part, dimension, $at as place, coarse, low, high, $counted"
            " from $o as o join $l as l on o.part = l.part",
            at=self.at, counted=counted, o=self._at("open"), l=self._at("looks"),
        ))  # fmt: skip
        steps = steps.then("binned", fragment(f"select part, dimension, place, {bins}, $c from spread", c=counted))
        sums = [fragment(f"cast(sum({name}) as bigint) as {name}") for name in self.counted]
        steps = steps.then("histograms", fragment(
            "select part, dimension, bin, min(place) as first, max(place) as at, $sums from binned"
            " group by part, dimension, bin", sums=sums,
        ), kept=True)  # fmt: skip
        upto = "over (partition by part, dimension order by bin rows between unbounded preceding and current row)"
        running = [fragment(f"cast(sum({name}) {upto} as bigint) as before_{name}") for name in self.counted]
        steps = steps.then("running", fragment(
            "select part, dimension, at, $running,"
            " lead(first) over (partition by part, dimension order by bin) as next from histograms", running=running,
        ))  # fmt: skip
        span, before, total = self.encoded.span, "before_records", "all_records"
        saved = (
            f"{total} * least(high - low, {span}) - {before} * least(at - low, {span})"
            f" - ({total} - {before}) * least(high - next, {span})"
        )
        if any(dimension.weight != 1 for dimension in self.encoded.dimensions):
            saved = f"cast({saved} as double) * weight"
        enough = " and ".join(
            f"before_{name} >= {least} and all_{name} - before_{name} >= {least}" for name, least in self.least.items()
        )
        totals = [column(f"all_{name}") for name in self.counted]
        befores = [column(f"before_{name}") for name in self.counted]
        return steps.then("allowed", fragment(
            f"select r.part, r.dimension, at, $totals, $befores, {saved} as saved from running as r"
            " join $l as l on r.part = l.part and r.dimension = l.dimension"
            f" where {enough}",
            totals=totals, befores=befores, l=self._at("looks"),
        ))  # fmt: skip

    def _moved(self) -> Query:
        """Every open row in its half, and whether that may be cut `still`."""
        left = fragment("c.dimension is null or $at <= c.at", at=self.at)
        return Query(()).then("moved", fragment(
            "select id, case when $left then left_part else right_part end as part,"
            " case when $left then left_open else right_open end as still, $rows"
            " from $o as o join $c as c on o.part = c.part",
            left=left, rows=self.rows, o=self._at("open"), c=self._at("cuts"),
        ))  # fmt: skip

    def _cut(self) -> Expression:
        return fragment(
            "select first, first + total as until from $c as c join $s as s on c.part = s.part"
            " where dimension is not null", c=self._at("cuts"), s=self._at("state"),
        )  # fmt: skip

    def _closing(self) -> Expression:
        return fragment(
            "select count(*) from $c where not left_open or (dimension is not null and not right_open)",
            c=self._at("cuts"),
        )  # fmt: skip

    def _closed(self) -> Query:
        return self._moved().then("closed", fragment("select id, part from moved where not still"))

    def _opened(self) -> Query:
        return self._moved().then("still", fragment("select id, part, $rows from moved where still", rows=self.rows))

    def _states(self) -> Query:
        steps = Query(()).then("halves", fragment(
            "select left_part as part, dead, fine from $c where left_open union all"
            " select right_part, dead, fine from $c where right_open", c=self._at("cuts"),
        ))  # fmt: skip
        return steps.then("state", fragment("select part, cast(part // 2 as bigint) as first, dead, fine from halves"))


class _Sketch(_Levels):
    """The levels of some of the combinations. `tree`: the cuts of each level, to be made of all."""

    every = _EVERY  # one combination of so many

    def __init__(self, encoded: Encoded, k: int, looks: int | None) -> None:
        super().__init__(encoded, k, looks)
        self.depth = 0
        self.least["rows"] = _LEAST
        self.counted.append("rows")
        self.rows.append(column("rows"))

    def begin(self) -> None:
        """Each 16th combination, in one partition."""
        told = [column(name) for name in (*self.counted[:-1], *self.encoded.places)]
        opened = fragment(
            f"select id, cast(0 as {self.sort}) as part, $told, 1 as rows from $c where id % {self.every} = 0",
            told=told, c=relation("combinations"),
        )  # fmt: skip
        self.work.make(self._name("open"), opened, "some of the table as one partition")
        self.work.make(self._name("state"), _start(self.sort), _STATE)
        none = "select 0 as level, part, 0 as dimension, first as at, part as left_part, part as right_part, first,"
        none += " first as until from $s where 1 = 0"
        self.work.make("tree", fragment(none, s=self._at("state")), "the cuts, level by level")

    def _keep(self) -> None:
        self.depth += 1
        cuts = fragment(
            f"select {self.depth} as level, c.part, dimension, at, left_part, right_part, first, first + total as until"
            " from $c as c join $s as s on c.part = s.part where dimension is not null",
            c=self._at("cuts"), s=self._at("state"),
        )  # fmt: skip
        self.work.add("tree", cuts, "the cuts, level by level")

    def descended(self, rows: list[Expression]) -> Query:
        """Every combination in the partition that the cuts lead it to."""
        steps = Query(()).then("level 0", fragment(
            f"select id, cast(0 as {self.sort}) as part, $rows from $c", rows=rows, c=relation("combinations")
        ))  # fmt: skip
        for level in range(1, self.depth + 1):
            step = fragment(
                "select id, case when t.part is null then l.part when $at <= t.at then left_part else right_part end"
                f" as part, $rows from $l as l left join $t as t on l.part = t.part and t.level = {level}",
                at=self.at, rows=rows, l=query.table(f"level {level - 1}"), t=relation("tree"),
            )  # fmt: skip
            steps = steps.then(f"level {level}", step)
        return steps

    def nodes_by_firsts(self) -> Query:
        """The partitions that were cut, by how many records stand before them and before what follows them."""
        steps = Query(()).then("starts", fragment(
            "select cast(part // 2 as bigint) as start, first from $f union all"
            f" select until, {self.encoded.records} from (select max(until) as until from $t) as t",
            f=relation("firsts"), t=relation("tree"),
        ))  # fmt: skip
        return steps.then("nodes", fragment(
            "select a.first, b.first as until from $t as t join starts as a on t.first = a.start"
            " join starts as b on t.until = b.start", t=relation("tree"),
        ))  # fmt: skip


def _start(sort: str) -> Expression:
    """The state of one partition."""
    return fragment(
        f"select cast(0 as {sort}) as part, cast(0 as bigint) as first, cast(0 as bigint) as dead,"
        " cast(0 as bigint) as fine"
    )
