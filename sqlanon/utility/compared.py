"""A release held against its source: each is read once, and what is asked of both is asked of two working tables.

| working table | one row per | columns |
| --- | --- | --- |
| source | combination of quasi-identifiers and sensitive values that occurs | numbers of the values, records |
| release | combination of published labels and sensitive values that occurs | numbers of the labels, records |
| combinations | combination of quasi-identifiers, in a total order | numbers of the values, records, `place` |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sqlanon import query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Order, Suppress
from sqlanon.query import Expression, Query, Text, column, fragment, named
from sqlanon.utility.covering import (
    Cover,
    Covering,
    Ints,
    Recoded,
    Values,
    amount,
    floats,
    ints,
    is_quantity,
    sums,
    text_of,
)

_SOURCE, _RELEASE = "sqlanon utility source", "sqlanon utility release"
_CODED_SOURCE, _CODED_RELEASE = "sqlanon utility coded source", "sqlanon utility coded release"
_COMBINATIONS = "sqlanon utility combinations"

# Combinations of the source that Python holds at a time.
BLOCK = 1_000_000


@dataclass(frozen=True)
class Compared:
    """Covers, sensitive columns and classes of a release. Works as long as the working tables are there.

    `classes`: [quasi-identifiers, classes], each class's labels; `sizes`: its records. Records that stand in the
    release with `*` in every quasi-identifier, beside others, are suppressed ones and no class: they are `starred`.
    """

    engine: Engine
    covers: tuple[Cover, ...]
    sensitive: tuple[Values, ...]
    classes: Ints
    sizes: Ints
    starred: int

    @property
    def records(self) -> int:
        """Records of the source."""
        return int(self.covers[0].values.records.sum())

    @property
    def released(self) -> int:
        """Records of the release."""
        return int(self.sizes.sum()) + self.starred

    @property
    def suppressed(self) -> int:
        """Records that the release lacks or holds with `*` in every quasi-identifier."""
        return self.starred + max(self.records - self.released, 0)

    @property
    def columns(self) -> tuple[Values, ...]:
        """The values of the quasi-identifiers, then of the sensitive columns."""
        return (*(cover.values for cover in self.covers), *self.sensitive)

    def published(self, i: int) -> Ints:
        """Records in classes, per label of the i-th quasi-identifier."""
        return sums(self.classes[i], self.sizes, len(self.covers[i]))

    def combinations(self) -> Iterator[tuple[Ints, Ints]]:
        """The combinations of the source's values in their order, block by block: [columns, combinations], records."""
        table, names = query.table(_COMBINATIONS), [f"c{i}" for i in range(len(self.covers))]
        ((rows,),) = self.engine.run("count the combinations", fragment("select count(*) from $t", t=table))
        for first in range(0, rows, BLOCK):
            sql = f"select $c, n from $t where place >= {first} and place < {first + BLOCK} order by place"
            found = self.engine.arrays(
                "read the combinations", fragment(sql, c=[column(name) for name in names], t=table)
            )
            yield np.stack([ints(found[name]) for name in names]), ints(found["n"])

    def labels(self, i: int, wanted: Sequence[int]) -> dict[int, str]:
        """What some published labels of the i-th quasi-identifier are called, for who may tell them; "" if missing."""
        recoded = self.covers[i].recoded
        keys = [
            fragment("cast($k as varchar)", k=column(key))
            for key in (("k0",) if len(_keys(i, recoded)) == 1 else ("k0", "k1"))
        ]
        told = keys[0] if len(keys) == 1 else fragment("'[' || $a || ', ' || $b || ')'", a=keys[0], b=keys[1])
        return self._called(_tables(i)[1], "label", told, wanted)

    def values(self, i: int, wanted: Sequence[int]) -> dict[int, str]:
        """What some values of the i-th column are called, for who may tell them; "" if missing."""
        if i < len(self.covers):
            return self._called(_tables(i)[0], "code", fragment("cast(value as varchar)"), wanted)
        return self._called(f"sqlanon utility column {i}", "code", column("key"), wanted)

    def _called(self, table: str, number: str, told: Expression, wanted: Sequence[int]) -> dict[int, str]:
        if not wanted:
            return {}
        found = self.engine.run(
            "read the names of labels",
            fragment("select $n, coalesce($told, '') from $t where $n in ($w)", n=column(number), told=told,
                     t=query.table(table), w=[query.literal(int(place)) for place in wanted]),
        )  # fmt: skip
        return {int(place): str(text) for place, text in found}

    def finer(self, i: int, level: int, family: str) -> list[tuple[str, str, int]]:
        """The labels of a level and of the one below it, each pair with its records of the source."""
        recoded, table = self.covers[i].recoded, query.table(_tables(i)[0])
        if recoded.rows:
            above = {row[0]: (row[level - 1], row[level]) for row in recoded.rows}
            text = query.text_of(column("value"), family)
            lines = self.engine.run(
                "read the values of the source",
                fragment("select $x, records from $t where value is not null and records > 0", x=text, t=table),
            )
            found: dict[tuple[str, str], int] = {}
            for value, records in lines:
                if value in above:
                    found[above[value]] = found.get(above[value], 0) + int(records)
            return [(*pair, records) for pair, records in found.items()]
        parts = [recoded.hierarchy.label(column("value"), at, family) for at in (level - 1, level)]
        asked = fragment("select $a as finer, $b as coarser, cast(sum(records) as bigint) from $t"
                         " where value is not null group by $a, $b", a=parts[0], b=parts[1], t=table)  # fmt: skip
        return [(str(a), str(b), int(n)) for a, b, n in self.engine.run("count finer labels", asked)]

    def pair(self, one: int, two: int, *, after: bool) -> tuple[Ints, Ints, Ints]:
        """Records per pair of values of two of the columns; `after`: per pair of labels, starred records left out."""
        sql = "select $a as one, $b as two, cast(sum(n) as bigint) as records from $t where $kept group by $a, $b"
        a, b = (column(f"{'t' if i >= len(self.covers) else 'g' if after else 'c'}{i}") for i in (one, two))
        table, kept = query.table(_CODED_RELEASE if after else _CODED_SOURCE), query.literal(True)
        if after and self.starred:
            stars = [fragment("$g = $s", g=column(f"g{i}"), s=c.everything) for i, c in enumerate(self.covers)]
            kept = fragment("not ($all)", all=query.every(stars))
        found = self.engine.arrays(
            "count pairs of values", fragment(f"{sql} order by one, two", a=a, b=b, t=table, kept=kept)
        )
        return ints(found["one"]), ints(found["two"]), ints(found["records"])


@contextmanager
def comparing(
    engine: Engine, released: Origin, source: Origin, columns: Sequence[Recoded],
    sensitive: Mapping[str, Hierarchy | None],
) -> Iterator[Compared]:  # fmt: skip
    """Reads both relations and finds what covers what; the working tables are gone at the end.

    Raises `SpecError` for columns that are not there, values that no hierarchy knows, labels that cover nothing and a
    source without rows; `EngineError`.
    """
    before, after = ({c.name: c for c in engine.columns(origin)} for origin in (source, released))
    _there(before, after, columns, sensitive)
    own = [_tables(i) for i in range(len(columns))]
    kinds = {name: f"sqlanon utility column {len(columns) + i}" for i, name in enumerate(sensitive)}
    made = [_SOURCE, _RELEASE, _CODED_SOURCE, _CODED_RELEASE, _COMBINATIONS, *kinds.values()]
    try:
        _read(engine, (source, released), columns, [*sensitive], (before, after))
        ((rows,),) = engine.run("count the combinations", fragment("select count(*) from $t", t=query.table(_SOURCE)))
        if not rows:
            raise SpecError("the source has no rows", where="--against")
        covers = tuple(
            Covering(engine, c, (before[c.name], after[c.published[0]]), source=(_SOURCE, f"q{i}"),
                     release=(_RELEASE, _keys(i, c)), tables=own[i]).build()
            for i, c in enumerate(columns)
        )  # fmt: skip
        others = tuple(
            _others(engine, table, f"s{i}", name, (before[name], after[name]), sensitive[name])
            for i, (name, table) in enumerate(kinds.items())
        )
        _code(engine, covers, own, kinds, (before, after))
        yield _classes(engine, covers, others)
    finally:
        engine.drop_temporary(*made, *(table for tables in own for table in tables))


def _tables(i: int) -> tuple[str, str]:
    return f"sqlanon utility values {i}", f"sqlanon utility labels {i}"


def _keys(i: int, recoded: Recoded) -> tuple[str, ...]:
    return (f"r{i}",) if recoded.represent == "label" else (f"r{i} lower", f"r{i} upper")


def _there(
    before: Mapping[str, Column],
    after: Mapping[str, Column],
    columns: Sequence[Recoded],
    sensitive: Mapping[str, object],
) -> None:
    if not columns:
        raise SpecError("at least one quasi-identifier is needed", where="--qi")
    for name in (*(c.name for c in columns), *sensitive):
        if name not in before:
            raise SpecError("the source has no such column", where="--against", found=name, allowed=before)
    for name in (*(label for c in columns for label in c.published), *sensitive):
        if name not in after:
            raise SpecError("the release has no such column", where="--against", found=name, allowed=after)
    for c in columns:
        found = before[c.name]
        if not isinstance(c.hierarchy, Suppress) and found.family not in c.hierarchy.families:
            raise SpecError(
                f"a {c.hierarchy.name} hierarchy cannot generalise a column of type {found.type}", where=c.name,
                found=found.family, allowed=c.hierarchy.families,
            )  # fmt: skip


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(
    engine: Engine, origins: tuple[Origin, Origin], columns: Sequence[Recoded], sensitive: Sequence[str],
    types: tuple[Mapping[str, Column], Mapping[str, Column]],
) -> None:  # fmt: skip
    """One pass over the source and one over the release: the combinations that occur, and their records."""
    before, after = types
    values = {f"q{i}": _plain(engine, before[c.name]) for i, c in enumerate(columns)}
    labels = {
        key: read for i, c in enumerate(columns)
        for key, read in zip(_keys(i, c), _published(engine, c, before[c.name], after), strict=True)
    }  # fmt: skip
    texts = {
        f"r{i}": text_of(column(f"r{i}"), after[c.name], before[c.name])
        for i, c in enumerate(columns) if c.represent == "label"
    }  # fmt: skip
    for table, origin, read, there in ((_SOURCE, origins[0], values, before), (_RELEASE, origins[1], labels, after)):
        read |= {f"s{i}": _plain(engine, there[name]) for i, name in enumerate(sensitive)}
        listed = ", ".join(f'{sql} AS "{name}"' for name, sql in read.items())
        steps = Query(()).then("read", Text(f"SELECT {listed}\nFROM {engine.origin(origin)} AS s"), inline=True)
        keys = [column(name) for name in read]
        keyed = query.select([named(texts.get(name, column(name)), name) for name in read], "read")
        steps = steps.then("keyed", keyed, inline=True)
        grouped = fragment("select $k, count(*) as n from keyed group by $k", k=keys)
        engine.temporary(f"read {origin}", table, steps.then("grouped", grouped))


def _plain(engine: Engine, found: Column) -> str:
    """A column as its values are read by people: what looks different is different."""
    read = f"s.{engine.rendered(query.identifier(found.name))}"
    if found.family == "float":
        return f"CASE WHEN {read} = 0 THEN 0 ELSE {read} END"  # -0.0 is 0.0
    return f'CAST({read} AS VARCHAR) COLLATE "C"' if found.family in ("text", "other") else read


def _published(engine: Engine, c: Recoded, value: Column, after: Mapping[str, Column]) -> list[str]:
    """How the label, or the two bounds, of a quasi-identifier are read from the release."""
    if c.represent == "label":
        return [_plain(engine, after[c.name])]
    if c.represent == "range":
        return [f"struct_extract(s.{engine.rendered(query.identifier(c.name))}, '{end}')" for end in ("lower", "upper")]
    # A file in which all bounds are missing has them as texts.
    ends = [(_plain(engine, after[name]), after[name].family) for name in c.published]
    return [f"CAST({read} AS {value.type})" if family == "text" else read for read, family in ends]


def _others(
    engine: Engine, table: str, own: str, name: str, types: tuple[Column, Column], order: Hierarchy | None
) -> Values:
    """A column that is published as it is: its values in both relations, by number in their order."""
    steps, places = Query(()), order.values if isinstance(order, Order) else ()
    for step, relation, (mine, theirs) in (("old", _SOURCE, types), ("new", _RELEASE, types[::-1])):
        counts = "cast(sum(n) as bigint) as before, cast(0 as bigint) as after"
        counts = counts if step == "old" else "cast(0 as bigint) as before, cast(sum(n) as bigint) as after"
        steps = steps.then(step, fragment(
            f"select $text, $number, {counts} from $t group by $s", t=query.table(relation), s=column(own),
            text=named(text_of(column(own), mine, theirs), "key"),
            number=named(amount(column(own), mine.family if is_quantity(order, mine.family) else ""), "number"),
        ))  # fmt: skip
    steps = steps.then("both", fragment("select * from old union all select * from new"))
    summed = "max(number) as number, cast(sum(before) as bigint) as before, cast(sum(after) as bigint) as after"
    steps = steps.then("counted", fragment(f"select key, {summed} from both group by key"))
    kept = "select key, number, before, after, $place as place from counted"
    tree = fragment(kept, place=column("position") if places else query.literal(0))
    if places:
        lines = query.values("places", ["value", "position"], ((value, at) for at, value in enumerate(places)))
        steps, tree = Query((lines, *steps.steps)), query.joined(tree, "places", fragment("key = value"), "left")
    ordered = "case when key is null then 0 else 1 end, number nulls first, place nulls first, key"
    coded = fragment(f"select *, row_number() over (order by {ordered}) - 1 as code from placed")
    engine.temporary(f"read the values of {name}", table, steps.then("placed", tree).then("coded", coded))
    absent = "case when key is null then 1 else 0 end as absent"
    counted = fragment(f"select number, before, after, {absent} from $t order by code", t=query.table(table))
    found = engine.arrays(f"count the values of {name}", counted)
    quantity = is_quantity(order, types[0].family)
    return Values(
        name, ints(found["before"]), floats(found["number"]), quantity or bool(places), quantity,
        bool(found["absent"].any()), ints(found["after"]),
    )  # fmt: skip


# -- numbering ---------------------------------------------------------------------------------------------------------


def _code(
    engine: Engine, covers: Sequence[Cover], own: Sequence[tuple[str, str]], kinds: Mapping[str, str],
    types: tuple[Mapping[str, Column], Mapping[str, Column]],
) -> None:  # fmt: skip
    """The two working tables with numbers in place of values and labels, and the source's combinations in order."""
    for table, made, (mine, theirs) in ((_SOURCE, _CODED_SOURCE, types), (_RELEASE, _CODED_RELEASE, types[::-1])):
        tree, columns = query.select([], table), [column("n", table)]
        for i, (cover, (values, labels)) in enumerate(zip(covers, own, strict=True)):
            if table == _SOURCE:
                # A line of the hierarchy that the source lacks has no value.
                there = fragment("$r > 0", r=column("records", values))
                on = query.every([_same(column(f"q{i}", table), column("value", values)), there])
                tree, number = query.joined(tree, values, on), column("code", values)
            else:
                keys = enumerate(_keys(i, cover.recoded))
                on = query.every(_same(column(key, table), column(f"k{end}", labels)) for end, key in keys)
                tree, number = query.joined(tree, labels, on), column("label", labels)
            columns.append(named(number, f"{'c' if table == _SOURCE else 'g'}{i}"))
        for i, (name, kind) in enumerate(kinds.items()):
            text = text_of(column(f"s{i}", table), mine[name], theirs[name])
            tree = query.joined(tree, kind, _same(text, column("key", kind)))
            columns.append(named(column("code", kind), f"t{len(covers) + i}"))
        engine.temporary("number the values", made, query.selecting(tree, columns))
    names = [f"c{i}" for i in range(len(covers))]
    summed = fragment("select $c, cast(sum(n) as bigint) as n from $t group by $c", c=[column(c) for c in names],
                      t=query.table(_CODED_SOURCE))  # fmt: skip
    placed = fragment(f"select *, row_number() over (order by {', '.join(names)}) - 1 as place from summed")
    engine.temporary("order the combinations", _COMBINATIONS, Query(()).then("summed", summed).then("placed", placed))


def _same(one: Expression, two: Expression) -> Expression:
    return fragment("$a is not distinct from $b", a=one, b=two)


def _classes(engine: Engine, covers: tuple[Cover, ...], others: tuple[Values, ...]) -> Compared:
    """The classes of the release, and apart from them the records that it holds with `*` everywhere."""
    names = [f"g{i}" for i in range(len(covers))]
    sql = f"select $g, cast(sum(n) as bigint) as n from $t group by $g order by {', '.join(names)}"
    grouped = fragment(sql, g=[column(name) for name in names], t=query.table(_CODED_RELEASE))
    found = engine.arrays("count the classes", grouped)
    classes, sizes = np.stack([ints(found[name]) for name in names]), ints(found["n"])
    suppressed = np.zeros(len(sizes), dtype=bool)
    if len(sizes) > 1 and any(c.certain or c.recoded.levels is not None for c in covers):
        stars = np.array([-1 if c.everything is None else c.everything for c in covers])
        suppressed = (classes == stars[:, np.newaxis]).all(axis=0)
    return Compared(engine, covers, others, classes[:, ~suppressed], sizes[~suppressed], int(sizes[suppressed].sum()))
