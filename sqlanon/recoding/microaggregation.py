"""Microaggregation: groups of k similar records share one value per column, the group's mean, median or mode.

MDAV (udfs/microaggregation.py) is quadratic, so the records are first cut into blocks: halved at the median of one
column after the other until a block has fewer than twice its size, as a k-d tree does, all blocks of a level in one
query. The function then sees the scaled coordinates of one block at a time, inside the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from sqlanon import query
from sqlanon.annotations import keep_limits
from sqlanon.errors import SpecError
from sqlanon.query import Expression, column, fragment, named
from sqlanon.recoding.transforms import NUMBERS, Records, Transform

Statistic = Literal["mean", "median", "mode"]
_LARGEST = "1.7976931348623157e308"
_LEVELS = 12  # halvings where nobody knows how many records there are: enough for two million in blocks of 512


@dataclass(frozen=True)
class Microaggregation(Transform):
    """Groups of k to 2k − 1 records by the `columns` together; each record gets its group's `statistic` per column.

    mean: of numbers, as a double, and of dates, rounded down to a day; median: the lower one, a value that occurs;
    mode: the most frequent value, the least among equally frequent ones. Distances are taken after scaling each column
    by the range of its middle nine tenths; texts count by their place in their order. Records are grouped with records
    that miss the same columns; where fewer than k do, their values in these columns become missing altogether.

    With all quasi-identifiers among the `columns`, the result is k-anonymous. Source: Domingo-Ferrer & Torra 2005.
    Leaves: what the members of a group share, and a group's mean, which with few members tells an outlier. It is no
    function of one record, so no view can have it. Raises `ValueError` for k below 2, no columns, or a block smaller
    than k.
    """

    columns: Annotated[tuple[str, ...], "The columns that it changes, together."]
    k: Annotated[int, "The least number of records that share their values.", {"minimum": 2}]
    statistic: Annotated[Statistic, "What a group's records become, per column."] = "mean"
    block: Annotated[int, "Groups are sought among so many near records at a time."] = 512

    name: ClassVar[str] = "microaggregation"
    families: ClassVar[tuple[str, ...]] = (*NUMBERS, "date", "text")
    reason: ClassVar[str] = "a view would group its records anew when others arrive, and old and new could be compared"

    def __post_init__(self) -> None:
        keep_limits(self)
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError("columns are one or more, each once")
        if self.statistic not in ("mean", "median", "mode"):
            raise ValueError("statistic is mean, median or mode")
        if self.block < self.k:
            raise ValueError("block must hold at least one group of k")

    @property
    def touched(self) -> tuple[str, ...]:
        return self.columns

    @property
    def told(self) -> str:
        return f"the {self.statistic} of groups of at least {self.k} near records"

    def steps(self, records: Records) -> Records:
        if self.statistic == "mean" and any(records.columns[name] == "text" for name in self.columns):
            raise SpecError("texts have no mean", where=self.name, found="mean", allowed=("median", "mode"))
        before = records
        records, members = _grouped(self, *_blocks(self, *_scaled(self, records)))
        records, aggregated = _aggregated(self, records, members, before)
        cells = [
            named(column(f"new {self.columns.index(label)}", "a"), label)
            if label in self.columns
            else column(label, "r")
            for label in (*records.columns, records.number)
        ]
        tree = fragment(
            "select $cells from $there as r left join $members as m on m.record_number = $n"
            " left join $groups as a on a.block = m.block and a.member_group = m.member_group",
            cells=cells, there=query.table(before.relation), members=query.table(members),
            groups=query.table(aggregated), n=column(records.number, "r"),
        )  # fmt: skip
        families = dict.fromkeys(self.columns, "float") if self.statistic == "mean" else {}
        families = {name: f for name, f in families.items() if records.columns[name] != "date"}
        return replace(records, relation=before.relation).then("microaggregated", tree, self.told, **families)


def _value(records: Records, name: str) -> Expression:
    """A column's values; numbers that are not finite are missing."""
    x = column(name)
    return fragment(f"case when abs($x) <= {_LARGEST} then $x end", x=x) if records.columns[name] == "float" else x


def _position(records: Records, name: str) -> Expression:
    """A value as a number."""
    family, x = records.columns[name], _value(records, name)
    if family == "text":
        return fragment("case when $x is not null then cast(dense_rank() over (order by $x) as double) end", x=x)
    if family == "date":
        return fragment("cast($x - cast('1970-01-01' as date) as double)", x=x)
    if family == "float":  # halves, so that no difference is beyond a double; what is as good as nothing is nothing
        return fragment("case when abs($x) < 1e-270 then 0 else cast($x as double) / 2 end", x=x)
    return fragment("cast($x as double)", x=x)


def _over(z: Expression, s: Expression) -> Expression:
    """z / s for s > 0, without a number on the way that some engine would not hold; 0 where z is missing."""
    beyond = "case when $z > 0 then 1e150 else -1e150 end"
    far = f"case when $s < 1e150 then case when abs($z) > $s * 1e150 then {beyond} else $z / $s end else $z / $s end"
    return fragment(f"coalesce(case when abs($z) < $s * 1e-18 then 0 else {far} end, 0)", z=z, s=s)


def _scaled(by: Microaggregation, records: Records) -> tuple[Records, str]:
    """A step with each record's number, values, coordinates, and which of its columns are missing, as a number."""
    many = range(len(by.columns))
    own, at = [column(f"own {i}") for i in many], [column(f"at {i}") for i in many]
    values = [named(_value(records, name), f"own {i}") for i, name in enumerate(by.columns)]
    values += [named(_position(records, name), f"at {i}") for i, name in enumerate(by.columns)]
    placed = fragment(
        "select $n as record_number, $v from $t", n=column(records.number), v=values, t=query.table(records.relation)
    )
    records, positions = records.aside("positions", placed, "the columns as numbers")
    ranks = [named(fragment("row_number() over (order by $z nulls last)", z=z), f"rank {i}") for i, z in enumerate(at)]
    ranks += [named(fragment("count($z) over ()", z=z), f"present {i}") for i, z in enumerate(at)]
    records, ranked = records.aside("ranks", fragment("select *, $r from $t", r=ranks, t=query.table(positions)))
    spreads = fragment("select $s from $t", s=[named(_spread(i), f"spread {i}") for i in many], t=query.table(ranked))
    records, spread = records.aside("spreads", spreads, "the range of the middle nine tenths")
    scaled = [named(_over(z, column(f"spread {i}")), f"scaled {i}") for i, z in enumerate(at)]
    missing = query.literal(0)
    for i, value in enumerate(own):
        missing = fragment("$m + case when $v is null then $bit else 0 end", m=missing, v=value, bit=2**i)
    tree = fragment(
        "select record_number, $own, $scaled, cast($m as bigint) as block from $t cross join $s",
        own=own, scaled=scaled, m=missing, t=query.table(positions), s=query.table(spread),
    )  # fmt: skip
    return records.aside("scaled", tree, "comparable coordinates; records that miss the same columns come together")


def _spread(i: int) -> Expression:
    """From the 5th to the 95th of a hundred; the whole range where these are the same; 1 where that is nothing."""
    end = "max($z) filter (where $r = $n - ($n - $n % 20) / 20)"
    start = "max($z) filter (where $r = 1 + ($n - $n % 20) / 20)"
    sql = f"coalesce(nullif({end} - {start}, 0), nullif(max($z) - min($z), 0), 1)"
    return fragment(sql, z=column(f"at {i}"), r=column(f"rank {i}"), n=column(f"present {i}"))


def _blocks(by: Microaggregation, records: Records, step: str) -> tuple[Records, str]:
    """Halves blocks until they are below twice the size; the number of a block grows by a digit per level."""
    levels = _LEVELS if records.size is None else max(0, (records.size // by.block).bit_length() - 1)
    kept = [column(f"{what} {i}") for what in ("own", "scaled") for i in range(len(by.columns))]
    for level in range(levels):
        place = fragment(
            "row_number() over (partition by block order by $z, record_number)",
            z=column(f"scaled {level % len(by.columns)}"),
        )  # fmt: skip
        upper = "case when $n >= $enough and 2 * $place > $n then 1 else 0 end"
        halved = fragment(
            f"select record_number, $kept, 2 * block + {upper} as block from $t", kept=kept, t=query.table(step),
            n=fragment("count(*) over (partition by block)"), enough=2 * by.block, place=place,
        )  # fmt: skip
        records, step = records.aside("halves", halved, "blocks halved at the median of one column")
    return records, step


def _grouped(by: Microaggregation, records: Records, step: str) -> tuple[Records, str]:
    """A step with each record's number, block, group in the block, and values."""
    point = ", ".join(f"$z{i}" for i in range(len(by.columns)))
    listed = fragment(
        "select block, array_agg(record_number order by record_number) as numbers,"
        f" array_agg([{point}] order by record_number) as points from $t group by block",
        {f"z{i}": column(f"scaled {i}") for i in range(len(by.columns))} | {"t": query.table(step)},
    )
    records, lists = records.aside("lists", listed, "each block's points in the order of their numbers")
    unnested = fragment(
        "select block, unnest(numbers) as record_number, unnest(sqlanon_mdav($k, points)) as member_group from $t",
        k=by.k, t=query.table(lists),
    )  # fmt: skip
    records, groups = records.aside("groups", unnested, f"groups of at least {by.k} near points, by MDAV")
    tree = fragment(
        "select g.block, g.member_group, g.record_number, $own from $g as g join $t as s"
        " on s.record_number = g.record_number",
        own=[column(f"own {i}", "s") for i in range(len(by.columns))], g=query.table(groups), t=query.table(step),
    )  # fmt: skip
    return records.aside("members", tree)


def _aggregated(by: Microaggregation, records: Records, members: str, before: Records) -> tuple[Records, str]:
    """A step with one row per group: its value in each column; missing where the group has fewer than k members."""
    if by.statistic == "mean":
        means = [named(_mean(i, before.columns[name], by.k), f"new {i}") for i, name in enumerate(by.columns)]
        tree = fragment(
            "select block, member_group, $m from $t group by block, member_group", m=means, t=query.table(members)
        )
        records, step = records.aside("means", tree)
        floats = [before.columns[name] == "float" for name in by.columns]
        if not any(floats):
            return records, step
        cells = [
            named(fragment("sqlanon_mean($x)", x=x), x.name) if listed else x
            for x, listed in zip([column(f"new {i}") for i in range(len(by.columns))], floats, strict=True)
        ]
        rounded = query.select([column("block"), column("member_group"), *cells], step)
        return records.aside("means", rounded, "sums are rounded once, so that they are the same in any order")
    chosen: list[str] = []
    for i in range(len(by.columns)):
        records, ranked = _ranked(by.statistic, records, members, i)
        value = fragment("case when sum(members) >= $k then max(own_value) filter (where chosen) end", k=by.k)
        tree = fragment(
            "select block, member_group, $v from $t group by block, member_group",
            v=named(value, f"new {i}"), t=query.table(ranked),
        )  # fmt: skip
        records, step = records.aside(f"{by.statistic} {i}", tree)
        chosen.append(step)
    return _side_by_side(records, chosen)


def _mean(i: int, family: str, k: int) -> Expression:
    """The mean of a group; of floating-point numbers, the list that it is taken of."""
    x = column(f"own {i}")
    if family == "date":
        day = fragment("$x - cast('1970-01-01' as date)", x=x)
        mean = fragment(
            "cast('1970-01-01' as date) + cast(floor(cast(sum($d) as double) / count($x)) as integer)", d=day, x=x
        )
    elif family == "float":
        mean = fragment("array_agg($x) filter (where $x is not null)", x=x)
    else:
        mean = fragment("cast(sum($x) as double) / nullif(count($x), 0)", x=x)
    return fragment("case when count(*) >= $k and count($x) > 0 then $m end", k=k, x=x, m=mean)


def _ranked(statistic: Statistic, records: Records, members: str, i: int) -> tuple[Records, str]:
    """A step in which one row per group is `chosen`, and `members` sum up to the group's."""
    x, there = column(f"own {i}"), query.table(members)
    if statistic == "median":
        over = "over (partition by block, member_group"
        twice = fragment(f"2 * row_number() {over} order by $x, record_number)", x=x)
        tree = fragment(
            "select block, member_group, $x as own_value, 1 as members,"
            f" $twice in (count(*) {over}), count(*) {over}) + 1) as chosen from $t", x=x, twice=twice, t=there,
        )  # fmt: skip
        return records.aside(f"ordered {i}", tree)
    counted = fragment(
        "select block, member_group, $x as own_value, count(*) as members from $t group by block, member_group, $x",
        x=x, t=there,
    )  # fmt: skip
    records, counts = records.aside(f"counted {i}", counted)
    tree = fragment(
        "select block, member_group, own_value, members, row_number() over (partition by block, member_group"
        " order by members desc, own_value) = 1 as chosen from $t", t=query.table(counts),
    )  # fmt: skip
    return records.aside(f"ordered {i}", tree)


def _side_by_side(records: Records, steps: Sequence[str]) -> tuple[Records, str]:
    """One step with the columns of all, which have a row per group each."""
    first, *others = steps
    cells = [column("block", first), column("member_group", first)]
    cells += [column(f"new {i}", step) for i, step in enumerate(steps)]
    tree = query.select(cells, first)
    for step in others:
        tree = query.joined(tree, step, query.same(("block", "member_group"), first, step))
    return records.aside("chosen", tree)
