"""The lattice in the engine: base frequencies, counted in one pass over the source and rolled up ever after.

`base` has one row per combination of quasi-identifiers, sensitive values (and persons) that occurs, with its count `n`
and, per quasi-identifier and level, the number of its label. A node is a GROUP BY over it; the source is read once.

The label numbers are digits of one number, each already times its place value, so that a class is their sum: one
whole number to group and join by, and not as many columns as there are quasi-identifiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import SpecError
from sqlanon.hierarchies import STAR
from sqlanon.measuring import Rows, measured
from sqlanon.models import (
    Verdict,
    estimated_verdict,
    every_class,
    every_table,
    histogram_of_sizes,
    judgement,
    needed,
    verdicts,
)
from sqlanon.plan import Counted, Source
from sqlanon.query import Expression, Query, Step, column, fragment, fresh, named
from sqlanon.recoding.objectives import Counts, Domain, Floats, Marginal, Node

_RAW, _BASE = "sqlanon base frequencies", "sqlanon base"
_PEOPLE_RAW, _PEOPLE = "sqlanon population frequencies", "sqlanon population"


# The largest class number: sums of its digits stay in a bigint.
_MOST = 2**62

# Above so many records, the sum of squared class sizes might not fit a 64-bit number.
_SQUARES = 3 * 10**9


@dataclass(frozen=True)
class _Place:
    """Where a quasi-identifier stands in a class number: which number (one may not hold all), place value, labels."""

    number: int
    value: int
    labels: int


@dataclass(frozen=True)
class Lattice:
    """The domains of the quasi-identifiers, and the base table that nodes are counted on.

    `digits`: per quasi-identifier and level, the column of the base table; None where every record has the same label.
    """

    engine: Engine
    source: Source
    raw: Counted
    domains: tuple[Domain, ...]
    records: int
    combinations: int
    carried: str
    numbers: tuple[str, ...]
    places: tuple[_Place, ...]
    digits: tuple[tuple[str | None, ...], ...]
    check_sql: str
    judging_sql: str
    sizes_sql: str

    def check(self, node: Node, detail: int) -> Counts:
        """Counts one node: records and classes that the models keep or suppress.

        Up to `detail` suppressed records, the suppressed records per column and label come along; beyond, None.
        """
        asked = f"WITH {self._node(node)} {self.check_sql}"
        found = list(self.engine.arrays("count a transformation", asked).values())
        numbers, (records, held, sure, *tables) = found[: len(self.numbers)], found[len(self.numbers) :]
        gone = ~held
        suppressed = int(records[gone].sum())
        sizes = records.astype(object) if self.records > _SQUARES else records
        kept = sizes[held]
        # A class that fails a monotone model holds, at every more specific transformation, a class that fails it.
        one_each = all(model.monotone for model in self.source.spec.privacy)
        certain = int(records[~sure].sum()) + (int(np.count_nonzero(sure & gone)) if one_each else 0)
        told = Counts(
            suppressed, len(kept), len(records), int(kept @ kept), int(sizes @ sizes),
            all(bool(column.all()) for column in tables) and self._estimates_hold(node), certain=certain,
        )  # fmt: skip
        if suppressed > detail:
            return told
        labels, certain_labels = (self._labels(node, numbers, records, rows) for rows in (gone, gone & ~sure))
        return replace(told, labels=labels, certain_labels=certain_labels)

    def _labels(self, node: Node, numbers: Sequence[Any], records: Any, rows: Any) -> list[Floats]:
        """Records per label and column, from the suppressed classes in `rows`."""
        weights, own = records[rows], [number[rows].astype(np.int64) for number in numbers]
        return [
            np.bincount(
                own[place.number] // place.value % place.labels, weights, len(d.marginals[level].records)
            ).astype(np.float64)
            for place, d, level in zip(self.places, self.domains, node, strict=True)
        ]

    def verdicts(self, node: Node) -> tuple[Verdict, ...]:
        """What every model comes to on the classes that the node keeps."""
        (row,) = self.engine.run("judge a transformation", f"WITH {self._node(node)} {self.judging_sql}")
        models = self.source.spec.privacy
        return verdicts(models, row, self._sizes(node) if any(m.estimated for m in models) else None)

    def _estimates_hold(self, node: Node) -> bool:
        """Whether the models that statistics decide hold on the classes that the node keeps."""
        models = [model for model in self.source.spec.privacy if model.estimated]
        return not models or all(estimated_verdict(m, self._sizes(node), 0).holds for m in models)

    def _sizes(self, node: Node) -> dict[int, int]:
        """How many kept classes have each size."""
        found = self.engine.run("read the class sizes", f"WITH {self._node(node)} {self.sizes_sql}")
        return {int(size): int(classes) for size, classes in found}

    def _node(self, node: Node) -> str:
        """The steps that give the base tables the node's class numbers under the names that the fixed part reads."""
        digits: list[list[str]] = [[] for _ in self.numbers]
        for place, levels, level in zip(self.places, self.digits, node, strict=True):
            digit = levels[level]
            if digit is not None:
                digits[place.number].append(digit)
        sums = ", ".join(f"{' + '.join(own) or '0'} AS {name}" for own, name in zip(digits, self.numbers, strict=True))
        made = f'node AS NOT MATERIALIZED (SELECT {self.carried}, {sums} FROM "{_BASE}")'
        if self.source.population is None:
            return made
        return f'{made}, people AS NOT MATERIALIZED (SELECT *, {sums} FROM "{_PEOPLE}")'

    @property
    def repeated(self) -> Counted | None:
        """The records of the source once, where most of any release are known by them to occur many times."""
        grouped, spec = {*self.source.quasi_identifiers, *self.source.sensitive}, self.source.spec
        known = not self.source.beside and grouped.issuperset(spec.published)
        return self.raw if known and self.combinations * 4 <= self.records else None

    def drop(self) -> None:
        """Drops the working tables; that of `repeated` stays, where there is one."""
        names = [_BASE, _PEOPLE, _PEOPLE_RAW, *map(_domain, range(len(self.domains)))]
        names += map(_shares, self.source.sensitive)
        self.engine.drop_temporary(*names, *[] if self.repeated else [_RAW])

    def labelled(self, i: int) -> str:
        """The working table of a quasi-identifier: `value`, `records` and, per level below the last, `code LEVEL`."""
        return _domain(i)


def _domain(i: int) -> str:
    return f"sqlanon domain {i}"


def _shares(name: str) -> str:
    return f"sqlanon shares of {name}"


def build(engine: Engine, source: Source) -> Lattice:
    """Reads the source once and encodes it, in working tables that `drop` takes away.

    Raises `SpecError` where it has no rows or a value that no hierarchy knows.
    """
    names = source.quasi_identifiers
    grouped = tuple(dict.fromkeys([*names, *source.sensitive, *source.beside]))
    n = fresh("n", grouped)
    frequencies = "select $g, count(*) as $n from $rows group by $g"

    def counted_in(name: str, columns: Sequence[str]) -> Expression:
        return fragment(frequencies, g=[column(x) for x in columns], n=query.identifier(n), rows=query.table(name))

    read = Counted(_RAW, source.step().then("base", counted_in("source", grouped)), n)
    engine.temporary("read the source", _RAW, read.filled)
    if (people := source.people()).steps:
        engine.temporary("read the people", _PEOPLE_RAW, people.then("base", counted_in("people", names)))
    counted = fragment("select cast(coalesce(sum($n), 0) as bigint) from $raw", n=column(n), raw=query.table(_RAW))
    ((records,),) = engine.run("count the records", counted)
    if records == 0:
        raise SpecError("the source has no rows; nothing can be released", where="source")
    _large_enough(engine, source, n, int(records))
    domains = tuple(_encode(engine, source, i, name, n) for i, name in enumerate(names))
    _known_sensitive(engine, source)
    for name in source.sensitive:
        shares = fragment("select $s, cast(sum($n) as bigint) as $m from $raw group by $s",
                          s=column(name), n=column(n), m=query.identifier(n), raw=query.table(_RAW))  # fmt: skip
        engine.temporary("count the sensitive values", _shares(name), shares)
    carried = tuple(dict.fromkeys([*source.sensitive, *source.beside, n]))
    places = _places(domains, apart=any(m.steps == "observers" for m in needed(source.spec.privacy)))
    digits = _base(engine, source, domains, places, carried, n)
    engine.drop_temporary(_PEOPLE_RAW)
    numbers = tuple(fresh(f"class {i}", grouped) for i in range(1 + max(place.number for place in places)))
    ((combinations,),) = engine.run("count the combinations", fragment("select count(*) from $b", b=query.table(_BASE)))
    return Lattice(
        engine, source, read, domains, int(records), int(combinations), _listed(engine, carried),
        tuple(_listed(engine, [name]) for name in numbers), places, digits, *_questions(engine, source, numbers, n),
    )  # fmt: skip


def _listed(engine: Engine, names: Sequence[str]) -> str:
    return ", ".join(engine.rendered(column(name)) for name in names)


def _places(domains: Sequence[Domain], *, apart: bool) -> tuple[_Place, ...]:
    """Each quasi-identifier's digit, with room for all its labels; a further number begins where one is full.

    `apart`: each has a number of its own, for models that look at some of the quasi-identifiers only.
    """
    found: list[_Place] = []
    number, value = 0, 1
    for domain in domains:
        labels = max(len(marginal.records) for marginal in domain.marginals[domain.lowest : domain.highest + 1])
        if value * labels > _MOST or (apart and found):
            number, value = number + 1, 1
        found.append(_Place(number, value, labels))
        value *= labels
    return tuple(found)


def _large_enough(engine: Engine, source: Source, n: str, records: int) -> None:
    """Refuses a population table that has fewer records than the source, which cannot be a sample of it."""
    if source.population is None:
        return
    counted = fragment("select cast(coalesce(sum($n), 0) as bigint) from $p", n=column(n), p=query.table(_PEOPLE_RAW))
    ((people,),) = engine.run("count the population", counted)
    if people < records:
        raise SpecError(
            f"the population table has {people} records, fewer than the source's {records}", where="population"
        )


def _seen(source: Source, name: str, n: str) -> Expression:
    """Each value of a quasi-identifier with its records in the source; a value of the population alone has none."""
    parts = {"x": column(name), "n": column(n), "raw": query.table(_RAW), "people": query.table(_PEOPLE_RAW)}
    if source.population is None:
        return fragment("select $x as value, cast(sum($n) as bigint) as records from $raw group by $x", parts)
    both = "select $x as value, $n as records from $raw union all select $x, 0 from $people"
    return fragment(f"select value, cast(sum(records) as bigint) as records from ({both}) as b group by value", parts)


def _encode(engine: Engine, source: Source, i: int, name: str, n: str) -> Domain:
    """One table per quasi-identifier: its values, the number of each value's label per level, and the marginals."""
    height, declared = source.height(name), source.spec.columns[name]
    labels = [f"label {level}" for level in range(1, height)]
    steps = _labelled(Query((Step("seen", _seen(source, name, n)),)), source, name, labels)
    ranked = [
        named(
            fragment("cast(dense_rank() over (order by $x nulls first) - 1 as integer)", x=column(x)), f"code {level}"
        )
        for level, x in enumerate(["value", *labels])
    ]
    stars = [named(fragment(f"coalesce($x = '{STAR}', false)", x=column(x)), f"star {x}") for x in labels]
    told = [column("unknown"), *(column(f"leaves {x}") for x in labels if name in source.rows), *stars, *ranked]
    kept = [*map(column, ["value", "records", *labels]), fragment("value is null as missing"), *told]
    # Nobody of the population matches what is never published.
    known = fragment("not unknown or records > 0") if source.population is not None else None
    encoded = query.select(kept, "labelled", where=known)
    engine.temporary(f"encode {name}", _domain(i), steps.then("encoded", encoded))
    marginals, leaves = _marginals(engine, source, i, name, height)
    lowest, highest = declared.min or 0, height if declared.max is None else declared.max
    forced = source.spec.recoding.levels
    if forced is not None:
        lowest = highest = forced[name]
    return Domain(name, marginals, leaves, lowest, highest, declared.weight)


def _labelled(steps: Query, source: Source, name: str, labels: Sequence[str]) -> Query:
    """The step `labelled`: every value that was seen with its labels; `unknown` to a tabled hierarchy, or not."""
    if name in source.rows:
        height = len(labels) + 1
        lines = query.values("lines", ["leaf", *labels], (row[:height] for row in source.rows[name]))
        leaves = [named(fragment("count(*) over (partition by $x)", x=column(x)), f"leaves {x}") for x in labels]
        hierarchy = query.select([fragment("*"), *leaves], "lines")
        unknown = named(fragment("leaf is null and value is not null"), "unknown")
        columns = [column(x) for x in ("value", "records", *labels, *(f"leaves {x}" for x in labels))]
        there = fragment("$v = leaf", v=query.text_of(column("value"), source.family(name)))
        joined = query.joined(query.select([*columns, unknown], "seen"), "hierarchy", there, "left")
        return steps.join(Query((lines, Step("hierarchy", hierarchy)))).then("labelled", joined)
    own, declared = source.hierarchy(name), source.spec.columns[name]
    # Published as bounds, values without an interval have no bounds, like missing ones, and share their class.
    shown = "$x" if declared.represent == "label" else "nullif($x, '*')"
    made = [
        named(fragment(shown, x=own.label(column("value"), level, source.family(name))), label)
        for level, label in enumerate(labels, start=1)
    ]
    known = [column("value"), column("records"), named(query.literal(False), "unknown")]
    return steps.then("labelled", query.select([*known, *made], "seen"))


def _marginals(engine: Engine, source: Source, i: int, name: str, height: int) -> tuple[tuple[Marginal, ...], int]:
    """Per level and label: records, and leaves covered: lines of a tabled hierarchy, else values of the source."""
    tabled = source.rows.get(name)
    labels = [f"label {level}" for level in range(1, height)]
    asked = ["records", "missing", "unknown", *(f"code {level}" for level in range(height))]
    asked += [f"star {label}" for label in labels] + [f"leaves {label}" for label in labels if tabled is not None]
    found = engine.arrays(f"count the labels of {name}", query.select([*map(column, asked)], _domain(i)))
    told = {label: np.ma.filled(numbers, 1) for label, numbers in found.items()}
    records = told["records"].astype(np.float64)
    if told["unknown"].any():
        raise _unknown(engine, name, int(told["unknown"].sum()), int(records[told["unknown"]].sum()))
    leaves = len(tabled) + int(told["missing"].any()) if tabled is not None else int(np.count_nonzero(records))
    everything = Marginal(np.array([records.sum()]), np.array([float(leaves)]))
    marginals, root = [everything], np.ones(len(records), dtype=bool)
    for level in reversed(range(height)):
        code = told[f"code {level}"]
        covered = np.bincount(code, records > 0).astype(np.float64)
        if level and tabled is not None:
            covered[code] = told[f"leaves label {level}"]
        # What is `*` here and at every level above stands for everything; a value that is just called so does not.
        root &= told[f"star label {level}"] if level else False
        covered[code[root]] = leaves
        marginals.append(Marginal(np.bincount(code, records).astype(np.float64), covered))
    return tuple(reversed(marginals)), leaves


def _unknown(engine: Engine, name: str, values: int, rows: int) -> SpecError:
    return SpecError(
        f"{values} value{'s' * (values > 1)} in {rows} row{'s' * (rows > 1)} are not in the hierarchy;"
        f" list them with: SELECT DISTINCT {engine.rendered(column(name))} FROM the source", where=f"columns.{name}",
    )  # fmt: skip


def _known_sensitive(engine: Engine, source: Source) -> None:
    """Every sensitive value must be in the hierarchy or order that a distance compares it by."""
    for name, reference in source.references(_RAW).items():
        known = reference.order or (tuple(row[0] for row in source.rows[name]) if reference.tree else ())
        if not known:
            continue
        leaf = fresh("leaf", source.spec.columns)
        values = query.values("known", [leaf], ((value,) for value in known))
        steps = Query((values,)).then("unknown", fragment(
            "select count(distinct $s) from $raw left join known on $text = $leaf"
            " where $leaf is null and $s is not null",
            leaf=column(leaf), s=column(name), raw=query.table(_RAW),
            text=query.text_of(column(name), source.family(name)),
        ))  # fmt: skip
        ((unknown,),) = engine.run(f"look up the values of {name}", steps)
        if unknown:
            raise SpecError(
                f"{unknown} value{'s' * (unknown > 1)} of the source are not in the hierarchy", where=f"columns.{name}"
            )


def _base(
    engine: Engine,
    source: Source,
    domains: Sequence[Domain],
    places: Sequence[_Place],
    carried: tuple[str, ...],
    n: str,
) -> tuple[tuple[str | None, ...], ...]:
    """The base tables: the digits of every level that the search may use; the column of each level's digit."""
    kind = "integer" if all(place.value * place.labels < 2**31 for place in places) else "bigint"
    made: list[Expression] = []
    digits: list[tuple[str | None, ...]] = []
    for i, (domain, place) in enumerate(zip(domains, places, strict=True)):
        own: list[str | None] = []
        for level in range(domain.height + 1):
            if level == domain.height or not domain.lowest <= level <= domain.highest:
                own.append(None)
                continue
            label, digit = fresh(f"digit {i} at {level}", carried), f"cast(cast($code as bigint) * $value as {kind})"
            made.append(named(fragment(digit, code=column(f"code {level}", _domain(i)), value=place.value), label))
            own.append(engine.rendered(column(label)))
        digits.append(tuple(own))
    for what, base, raw, names in (("source", _BASE, _RAW, carried), ("population", _PEOPLE, _PEOPLE_RAW, (n,))):
        if what == "source" or source.population is not None:
            kept = [column(name, "r") for name in names]
            tree = fragment("select $n from $raw as r", n=kept, raw=query.table(raw))
            for i, domain in enumerate(domains):
                on = fragment("$v is not distinct from $d", v=column(domain.name, "r"), d=column("value", _domain(i)))
                tree = query.joined(tree, _domain(i), on)
            engine.temporary(f"encode the {what}", base, query.selecting(tree, [*kept, *made]))
    return tuple(digits)


def _questions(engine: Engine, source: Source, numbers: tuple[str, ...], n: str) -> tuple[str, str, str]:
    """The fixed parts of the questions about a node, over the steps `node` and `people` that differ.

    The first is answered per class: its numbers, its records, whether it is held, whether its failure is for good, and
    where there are models about the whole table, whether they hold on what is kept.
    """
    models = source.spec.privacy
    references = {name: replace(r, relation=_shares(name)) for name, r in source.references("", n).items()}
    people = "people" if source.population is not None else None
    chain = measured(Rows("node", numbers, source.spec.entity, n, people, n), needed(models), references)
    steps = source.trees().join(chain.query)
    closed = [model for model in models if model.monotone_with_suppression]
    told = [*map(column, numbers), named(chain.columns["class_records"], "class's records")]
    told += [named(fragment("($all) is true", all=query.every(every_class(some, chain))), name)
             for name, some in (("held", models), ("sure", closed))]  # fmt: skip
    kept = fragment("select * from measured where $held", held=query.every(every_class(models, chain)))
    steps = steps.then("kept", kept)
    whole = every_table(models, chain, "kept")
    if whole:
        told.append(named(query.every(whole), "whole"))
    checking = steps.then("answer", query.select(told, "measured"))
    judging = steps.then("answer", judgement(models, chain, "kept"))
    sizing = steps.then("answer", histogram_of_sizes(chain, "kept"))
    check, judge, sizes = (
        f"SELECT * FROM ({query.render(question, engine.dialect, pretty=False)}) AS answer"
        for question in (checking, judging, sizing)
    )
    return check, judge, sizes
