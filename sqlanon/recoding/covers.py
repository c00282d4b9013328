"""What is published for a class: for each quasi-identifier one value that covers every record of the class.

| column | a class of one value | of several | with a missing value or one without end among others |
| --- | --- | --- | --- |
| interval | the value | `[a, b]`, both ends in it | `*` |
| run | the value | `a..b` in the order, `*` for all of it | `*` |
| tree | the value | the label of the lowest common ancestor | `*` |
| single | the value | `*` | `*` |

A class of missing values only publishes a missing value. With `represent: bounds`, `NAME_from` and `NAME_to` hold the
least and the greatest value (`from` ≤ value ≤ `to`), or the half-open interval of the ancestor where the hierarchy has
intervals (`from` ≤ value < `to`, equal for a value itself); where the table above says `*`, and for missing values,
both are missing. `range` holds the same two in one value. Nothing below a column's least level (`min`) is published.

`cost` of a cell is its normalised certainty penalty: (b − a) / (most − least) for intervals and runs, (leaves − 1) /
(all leaves − 1) for trees, 0 or 1 for single columns, 1 for `*`. Their mean over all cells, weighted by column, is the
global certainty penalty, `gcp` (Xu et al. 2006; Ghinita et al. 2007), 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlanon import query
from sqlanon.errors import SpecError
from sqlanon.plan import no_clash, published_names
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import lines, records
from sqlanon.recoding.lines import Dimension
from sqlanon.recoding.partition import Encoded, classes
from sqlanon.recoding.working import relation, working_name

# No stretch is one value that may be published: the least level of its column forbids it.
_NEVER = fragment("false")

# A class's cost is kept in whole parts, so that their sum is the same in whatever order it is taken.
_PARTS = 10**9


@dataclass(frozen=True)
class Published:
    """A partition that is ready to be published.

    `keys`: the published quasi-identifier columns, by quasi-identifier (two for one that is published as bounds).
    `classes`: different published combinations; `gcp`: the global certainty penalty of all records; `squares`: Σ |E|².
    """

    encoded: Encoded
    keys: Mapping[str, tuple[str, ...]]
    classes: int
    least: int
    squares: int
    gcp: float

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All published quasi-identifier columns, in order."""
        return tuple(label for labels in self.keys.values() for label in labels)

    def recoded(self) -> Query:
        """The steps `source` … `recoded`: every record with what is published of it, and its entity where one is named.

        They read the working tables, and give the same rows each time they are run.
        """
        told = list(zip(_columns(self.encoded), self.labels, strict=True))
        return records.steps(self.encoded, told, "recoded", "every record, with what covers its class")

    def noise(self, failing: str) -> int:
        """Records of nobody, but for those in the classes in that table."""
        work, source = self.encoded.work, self.encoded.source
        if "noise" not in work.held:
            return 0
        kept = fragment(
            "select count(*) from $n as n join $p as p on $c = p.class where not exists (select 1 from $f as f where"
            " $met)", n=relation("noise"), p=relation("published"), c=column(records.class_of(source), "n"),
            f=query.table(failing), met=self._met(),
        )  # fmt: skip
        return int(work.ask(kept, "count the records of nobody")[0])

    def _met(self) -> Expression:
        """Whether a class of `published`, p, is the class f."""
        return query.every(
            fragment("$a is not distinct from $b", a=column(own, "p"), b=column(label, "f"))
            for own, label in zip(_columns(self.encoded), self.labels, strict=True)
        )

    def penalty(self, failing: str) -> float:
        """The global certainty penalty where the records of the classes in that table are lost altogether."""
        kept = fragment(
            "select coalesce(cast(sum(records) as bigint), 0),"
            " coalesce(cast(sum(cast(records as decimal(38, 0)) * cost) as double), 0)"
            " from $p as p where not exists (select 1 from $f as f where $met)",
            p=relation("published"), f=query.table(failing), met=self._met(),
        )  # fmt: skip
        rows, cost = self.encoded.work.ask(kept, "add up what is lost")
        return (float(cost) / _PARTS + self.encoded.records - int(rows)) / self.encoded.records


def publish(encoded: Encoded) -> Published:
    """Makes `published` from `pieces`, and `homes`, the class of every combination.

    Raises `SpecError` where a published column would have the name of another, `EngineError`.
    """
    keys = {d.name: published_names(d.name, d.represent) for d in encoded.dimensions}
    no_clash(encoded.source, keys)
    cover(encoded)
    labels = [column(name) for name in _columns(encoded)]
    steps = Query(()).then("merged", fragment(
        "select cast(sum(records) as bigint) as records, sum(cast(records as decimal(38, 0)) * cost) as cost from $p"
        " group by $labels",
        labels=labels, p=relation("published"),
    ))  # fmt: skip
    found = encoded.work.ask(
        steps.then("counts", fragment(
            "select count(*), min(records), cast(sum(records * records) as bigint),"
            f" cast(sum(cost) as double) / (cast(sum(records) as double) * {_PARTS}) from merged"
        )), "count the classes",
    )  # fmt: skip
    records.house(encoded)
    return Published(encoded, keys, int(found[0]), int(found[1]), int(found[2]), float(found[3]))


def cover(encoded: Encoded) -> None:
    """Makes `classes` from `pieces`, and `published`: what covers each. Raises `SpecError`, `EngineError`."""
    classes(encoded)
    for i, dimension in enumerate(encoded.dimensions):
        made = _cover(i, dimension)
        encoded.work.make(f"cover {i}", made, f"what covers each stretch of {dimension.name}")
    encoded.work.make("published", _published(encoded), "what is published for each class")
    encoded.work.drop(*(f"cover {i}" for i in range(len(encoded.dimensions))))


def alike(encoded: Encoded) -> Expression:
    """A row per `class` of `published`: the number of the classes that are published as it is (`alike`)."""
    return fragment(
        "select class, dense_rank() over (order by $labels) as alike from $p",
        labels=[column(name) for name in _columns(encoded)], p=relation("published"),
    )  # fmt: skip


def _width(dimension: Dimension) -> int:
    return len(published_names(dimension.name, dimension.represent))


def _columns(encoded: Encoded) -> list[str]:
    """The published columns as the working tables call them, out of the way of the user's names."""
    return [f"label {i} {j}" for i, d in enumerate(encoded.dimensions) for j in range(_width(d))]


# -- what covers a stretch ---------------------------------------------------------------------------------------------


def _cover(i: int, dimension: Dimension) -> Query:
    """A row per stretch (`low`, `high`) of the i-th line that some class has: its published values and its cost."""
    ends = fragment(
        "select distinct $l as low, $h as high from $c", l=column(f"low {i}"), h=column(f"high {i}"),
        c=relation("classes"),
    )  # fmt: skip
    alone = fragment("e.low = e.high")
    cases = _levels(dimension) if dimension.kind == "tree" else []
    if dimension.least:
        alone = fragment("(e.low = e.high and a.value is null)") if dimension.least < dimension.height else _NEVER
    made = [*_shown(dimension, alone, cases), _cost(dimension, alone, cases)]
    named = [query.named(shown, f"label {i} {j}") for j, shown in enumerate(made[:-1])]
    tree = fragment(
        "select e.low, e.high, $named, $cost as cost from ends as e join $a as a on e.low = a.place"
        " join $b as b on e.high = b.place", named=named, cost=made[-1], a=relation(lines.line(i)),
        b=relation(lines.line(i)),
    )  # fmt: skip
    return Query(()).then("ends", ends).then("cover", tree)


def _levels(dimension: Dimension) -> list[tuple[int, Expression]]:
    """The levels below `*` that may be published, and whether both ends of a stretch are in one node there."""
    return [
        (level, fragment("$a = $b", a=column(f"node {level}", "a"), b=column(f"node {level}", "b")))
        for level in range(max(dimension.least, 1), dimension.height)
    ]


_Cases = list[tuple[int, Expression]]


def _shown(dimension: Dimension, alone: Expression, cases: _Cases) -> list[Expression]:
    if dimension.represent != "label":
        lower, upper = _bounds(dimension, alone, cases)
        return [lower, upper] if dimension.represent == "bounds" else [query.interval(lower, upper)]
    if dimension.kind == "tree":
        nodes = [(held, column(f"node {level}", "a")) for level, held in cases]
        return [_case([(alone, column("label", "a")), *nodes], query.literal("*"))]
    several = {
        "interval": "'[' || a.label || ', ' || b.label || ']'" if not dimension.least else "'*'",
        "run": "case when a.share = 0 and b.share = 1 then '*' else a.label || '..' || b.label end",
        "single": "'*'",
    }[dimension.kind]
    return [fragment(f"case when $alone then a.label when b.apart then '*' else {several} end", alone=alone)]


def _case(cases: list[tuple[Expression, Expression]], otherwise: Expression) -> Expression:
    """The first `then` whose condition holds, else `otherwise`."""
    for held, then in reversed(cases):
        otherwise = fragment("case when $held then $then else $otherwise end", held=held, then=then,
                             otherwise=otherwise)  # fmt: skip
    return otherwise


def _bounds(dimension: Dimension, alone: Expression, cases: _Cases) -> tuple[Expression, Expression]:
    """The ends of what covers a stretch: values for an interval column, an ancestor's where there is a hierarchy."""
    value, last = column("value", "a"), column("value", "b")
    if dimension.kind == "interval":
        shown = f"case when $alone or {'false' if dimension.least else 'not b.apart'} then $x end"
        return fragment(shown, alone=alone, x=value), fragment(shown, alone=alone, x=last)
    hierarchy = dimension.hierarchy
    if hierarchy is None or not hierarchy.has_bounds:
        raise SpecError(
            f"represent: {dimension.represent} needs numbers, dates, or a hierarchy of intervals",
            where=f"columns.{dimension.name}",
        )  # fmt: skip
    found = [(held, hierarchy.bounds(value, level, dimension.family)) for level, held in cases]
    lower, upper = (
        _case([(alone, value), *((held, ends[side]) for held, ends in found)], query.literal(None)) for side in (0, 1)
    )
    return lower, upper


def _cost(dimension: Dimension, alone: Expression, cases: _Cases) -> Expression:
    one, nothing = fragment("cast(1 as double)"), fragment("cast(0 as double)")
    found = [(alone, nothing), (column("apart", "b"), one)]
    if dimension.kind == "tree":
        return _case([*found, *((held, column(f"cost {level}", "a")) for level, held in cases)], one)
    whole = dimension.kind == "single" or dimension.least
    return _case(found, one if whole else fragment("b.share - a.share"))


def _published(encoded: Encoded) -> Expression:
    """`published`: the classes with what covers them."""
    tree = fragment("select $nothing from $c as c", nothing=[], c=relation("classes"))
    told, costs = [column("class", "c"), column("records", "c")], []
    for i, dimension in enumerate(encoded.dimensions):
        name = working_name(f"cover {i}")
        on = fragment("$l = $a and $h = $b", l=column(f"low {i}", "c"), h=column(f"high {i}", "c"),
                      a=column("low", name), b=column("high", name))  # fmt: skip
        tree = query.joined(tree, name, on)
        told += [column(f"label {i} {j}", name) for j in range(_width(dimension))]
        costs.append(fragment("$w * $c", w=dimension.weight, c=column("cost", name)))
    total = query.added(costs)
    whole = sum(dimension.weight for dimension in encoded.dimensions)
    cost = f"cast(floor($t / cast($w as double) * {_PARTS} + 0.5) as bigint) as cost"
    return query.selecting(tree, [*told, fragment(cost, t=total, w=whole)])
