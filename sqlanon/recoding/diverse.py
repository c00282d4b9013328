"""Diverse groups: the values of a sensitive column dealt out along the curve, so that little is left to repair (θ-RR).

The order is cut into blocks of m · k records. In a block the records are ordered by how often their value occurs in it,
the most frequent first, and dealt out in turn to the block's classes, as many as hold k records each. Because the heavy
values come first, the extra copies of all values go round in turn too: with m classes of k records each, and E = Σ
max(0, f − m) over the frequencies f of the block, E duplicates are the fewest there can be, and every class has ⌊E / m⌋
or ⌈E / m⌉ of them. No partition of the block has fewer in its worst class (models, section 1.4, theorem B).

A block with a class that fails is joined with a neighbour and dealt out again, until all hold or one block is left.

The price is spread: the records of a class lie anywhere in their block. Ties between values are broken by MD5 over a
secret key; but the grouping follows the sensitive values, so who knows the algorithm learns a little from it
(minimality attack, Wong et al. 2007). Where an entity is named, its persons are not looked at: `repair` does.

Works on the combinations of quasi-identifiers and value, with their counts: no record is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlanon import query
from sqlanon.measuring import Rows, measured
from sqlanon.models import Model, column_of, every_class, needed
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding.hilbert import Order, arrange
from sqlanon.recoding.partition import Encoded, keyed
from sqlanon.recoding.repair import pairs
from sqlanon.recoding.working import relation, working_name


def diverse(
    encoded: Encoded, k: int, of: str, models: Sequence[Model] = (), *, m: int = 2, order: Order | None = None
) -> int:
    """Makes `pieces`, classes of k … 2k − 1 records, diverse in the column `of`, which stands beside; the blocks.

    The blocks of m · k records grow where a class fails one of the `models` about that column. Raises `ModelNotMet`
    where there are fewer than k records, `ValueError` where the column does not stand beside, `EngineError`.
    """
    if of not in encoded.beside:
        raise ValueError("the column whose values are dealt out must stand beside the quasi-identifiers")
    encoded.require(k)
    arrange(encoded, k, order)
    return _Dealing(encoded, k, of, tuple(model for model in models if _looked_at(model, of)), m).run()


class _Dealing:
    """One run. `parts`: combination × block; `blocks`: which they belong to now; `dealt`: combination × class."""

    def __init__(self, encoded: Encoded, k: int, of: str, models: tuple[Model, ...], m: int) -> None:
        self.encoded, self.k, self.of, self.work, self.models = encoded, k, of, encoded.work, models
        self.count = max(encoded.records // (m * k), 1)
        self.value = f"beside {encoded.beside.index(of)}"
        self.home, self.weight = (query.fresh(name, [of]) for name in ("home", "records"))

    def run(self) -> int:
        """Deals, and joins the blocks that fail, until none does or one is left. How many there are at the end."""
        self._numbers()
        self.work.make("parts", self._parts(), "the combinations along the curve, block by block")
        self.work.drop("ordered")
        blocks = fragment("select distinct block, block as home from $p", p=relation("parts"))
        self.work.make("blocks 1", blocks, "which blocks are dealt out together")
        level, left = 1, self.count
        while True:
            self.work.make("dealt", self._dealt(f"blocks {level}"), "the records of each combination in each class")
            if left == 1 or not self._judge():
                break
            self.work.make(
                f"blocks {level + 1}", self._joined(f"blocks {level}"), "which blocks are dealt out together"
            )
            self.work.drop(f"blocks {level}")
            level += 1
            asked = fragment("select count(distinct home) from $b", b=relation(f"blocks {level}"))
            left = int(self.work.ask(asked, "count the blocks")[0])
        self.work.make("pieces", self._pieces(), "which records of each combination are in which class")
        gone = ("numbers", "parts", "dealt", "failing", "table of values", f"blocks {level}")
        self.work.drop(*(name for name in gone if name in self.work.held))
        return left

    def _numbers(self) -> None:
        """`numbers`: 0, 1, … up to the records of the largest combination."""
        (most,) = self.work.ask(fragment("select max(records) from $o", o=relation("ordered")), "count the records")
        places = range(len(str(int(most))))
        digits = query.values("digits", ["digit"], ((digit,) for digit in range(10)))
        joins = " ".join(f"join digits as d{place} on true" for place in places[1:])
        total = " + ".join(f"{10**place} * d{place}.digit" for place in places)
        sql = f"select cast({total} as bigint) as number from digits as d0 {joins} where {total} < {int(most)}"
        self.work.make("numbers", Query((digits,)).then("numbers", fragment(sql)), "whole numbers from 0")

    def _begin(self, block: str) -> str:
        """The record at which a block begins: they are as even as can be."""
        return f"cast(({block} * {self.encoded.records} + {self.count - 1}) // {self.count} as bigint)"

    def _parts(self) -> Query:
        records, count = self.encoded.records, self.count
        steps = Query(()).then("counted", fragment(
            "select id, at, records, cast(sum(records) over (order by at rows between unbounded preceding and current"
            " row) as bigint) - records as start from $o", o=relation("ordered"),
        ))  # fmt: skip
        steps = steps.then("spanned", fragment(
            f"select *, cast((start * {count}) // {records} as bigint) as earliest,"
            f" cast(((start + records - 1) * {count}) // {records} as bigint) as latest from counted"
        ))  # fmt: skip
        steps = steps.then("placed", fragment(
            "select id, at, start, start + records as until, earliest + number as block from spanned"
            " join $n as n on number <= latest - earliest", n=relation("numbers"),
        ))  # fmt: skip
        return steps.then("parts", fragment(
            f"select p.id, at, block, $v as value, least(until, {self._begin('(block + 1)')})"
            f" - greatest(start, {self._begin('block')}) as records from placed as p join $c as c on p.id = c.id",
            v=column(self.value, "c"), c=relation("combinations"),
        ))  # fmt: skip

    def _dealt(self, blocks: str) -> Query:
        """Row j of a block goes to its class j mod m; a combination of r records has r rows that follow each other."""
        steps = Query(()).then("housed", fragment(
            "select id, at, p.block, value, records, home from $p as p join $b as b on p.block = b.block",
            p=relation("parts"), b=relation(blocks),
        ))  # fmt: skip
        steps = steps.then("weighed", fragment(
            "select *, cast(sum(records) over (partition by home, value) as bigint) as often,"
            " cast(sum(records) over (partition by home) as bigint) as total from housed"
        ))  # fmt: skip
        steps = steps.then("laid", fragment(
            f"select *, cast(greatest(total // {self.k}, 1) as bigint) as classes,"
            " cast(sum(records) over (partition by home order by often desc, $tie, value nulls first, at, block"
            " rows between unbounded preceding and current row) as bigint) - records as place from weighed",
            tie=keyed([query.text_of(column("value"), self.encoded.source.family(self.of))]),
        ))  # fmt: skip
        steps = steps.then("rows", fragment(
            "select id, value, home, (place + number) % classes as turn,"
            " cast((records - number - 1) // classes as bigint) + 1 as records"
            " from laid join $n as n on number < least(records, classes)", n=relation("numbers"),
        ))  # fmt: skip
        return steps.then("dealt", fragment(
            f"select id, value, home, {self._begin('home')} + turn as class, cast(sum(records) as bigint) as records"
            " from rows group by id, value, home, turn"
        ))  # fmt: skip

    def _judge(self) -> int:
        """`failing`: the blocks with a class that does not hold; how many there are."""
        if not self.models:
            return 0
        if "table of values" not in self.work.held:
            table = fragment(
                "select value as $s, cast(sum(records) as bigint) as $n from $p group by value",
                s=query.identifier(self.of), n=query.identifier(self.weight), p=relation("parts"),
            )  # fmt: skip
            self.work.make("table of values", table, f"the values of {self.of} in the whole table")
        rows = fragment(
            "select class as $h, value as $s, cast(sum(records) as bigint) as $n from $d group by class, value",
            h=query.identifier(self.home), s=query.identifier(self.of), n=query.identifier(self.weight),
            d=relation("dealt"),
        )  # fmt: skip
        reference = self.encoded.source.references("", self.weight)[self.of]
        where = {self.of: replace(reference, relation=working_name("table of values"))}
        chain = measured(Rows("rows", (self.home,), weight=self.weight), needed(self.models), where)
        steps = self.encoded.source.trees().then("rows", rows).join(chain.query)
        steps = steps.then("bad", fragment(
            "select $h as class from measured where ($all) is not true", h=column(self.home),
            all=query.every(every_class(self.models, chain)),
        ))  # fmt: skip
        self.work.make("failing", steps.then("failing", fragment(
            "select distinct home from $d as d join bad as b on d.class = b.class", d=relation("dealt")
        )), "the blocks with a class that does not hold")  # fmt: skip
        return int(self.work.ask(fragment("select count(*) from $f", f=relation("failing")), "count the blocks")[0])

    def _joined(self, blocks: str) -> Query:
        """Each block that fails with the smaller of its neighbours; as in `repair`, in pairs."""
        steps = Query(()).then("sized", fragment(
            "select home, cast(sum(records) as bigint) as records from $d group by home", d=relation("dealt")
        ))  # fmt: skip
        steps = steps.then("met", fragment(
            "select s.home, f.home is null as held, records + lag(records) over (order by s.home) as loss"
            " from sized as s left join $f as f on s.home = f.home", f=relation("failing"),
        ))  # fmt: skip
        steps = steps.then("losses", fragment("select *, lead(loss) over (order by home) as loss_after from met"))
        return pairs(steps).then("blocks", fragment(
            "select block, place as home from $b as b join placed as p on b.home = p.home", b=relation(blocks)
        ))  # fmt: skip

    def _pieces(self) -> Expression:
        return fragment(
            "select id, class, cast(sum(records) over (partition by id order by class rows between unbounded preceding"
            " and current row) as bigint) - records as first, records from $d", d=relation("dealt"),
        )  # fmt: skip


def _looked_at(model: Model, of: str) -> bool:
    """Whether the values of a class and the whole table's alone decide a model."""
    return column_of(model) == of and model.scope == "class" and not model.reads & {"population", "guard"}
