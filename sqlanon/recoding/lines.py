"""A quasi-identifier as a line: every value at a whole-numbered place, so that a class covers a stretch of it.

Four kinds. An *interval* column (numbers, dates and timestamps without a hierarchy) stands in the order of its values,
apart as the values are (`spacing: scale`) or evenly (`rank`). A *run* column stands in the order that an `order`
hierarchy gives, evenly. A *tree* column (every other hierarchy) stands so that each node's values are neighbours, and
the gap between two neighbours is what their lowest common ancestor costs: leaves(node) − 1. A *single* column (no
hierarchy, no order) stands evenly in the order of its values, and any two values cost as much as all.

Values that nothing but `*` covers together with another (a missing value, NaN and the infinities, dates outside the
years 1 to 9999, what the first level of a hierarchy already stars) stand `apart`: beyond the end, a whole span away
from everything, and from each other up to a hundred of them.

The table of a line has one row per value: `value` itself, its `place`, its `rank` among the places, its `share` of the
way from the first value to the last (0..1), `apart`, `label` (the value as text), its rank in few bits, `coarse`, for
the space-filling key, and for trees `node 1`, `cost 1`, … (the label of each level and what a class that is published
with it costs, 0..1). `code i` is the same in numbers only, for joins with many rows: `value`, `place`, the rank as its
part of a `word` that tells several columns apart at once, and the coarse rank's bits as its part of the `curve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlanon import query
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Mask, Order, Rows
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding.working import Work, relation

# Places from one end of a line to the other, unless a column has so many values that they would crowd.
SPAN = 1 << 20
_CROWD = 16  # places per value, at least
_APART = 100  # values that stand apart from each other too
MOST = 62  # bits of a bigint that is never negative: of the space-filling key, and so columns, at most

# Numbers this near to 0 stand at it.
_NOTHING = "1e-270"

_ENDLESS = ("NaN", "Infinity", "-Infinity")

Kind = Literal["interval", "run", "tree", "single"]


@dataclass(frozen=True)
class Dimension:
    """A quasi-identifier as the partitions see it. `rows` are the lines of a tabled hierarchy.

    `represent`: how a class's stretch is published, `label`, `bounds` or `range`; `weight`: how much its precision
    counts, against other columns; `least`: the lowest level of its hierarchy that may be published; `spacing`: how far
    apart the values of an interval column stand.
    """

    name: str
    family: str
    hierarchy: Hierarchy | None = None
    rows: Rows | None = None
    represent: str = "label"
    weight: float = 1.0
    least: int = 0
    spacing: Literal["scale", "rank"] = "scale"

    @property
    def kind(self) -> Kind:
        """How values are placed and what covers several of them."""
        if isinstance(self.hierarchy, Order) and not self.least:
            return "run"
        if self.hierarchy is not None:
            return "tree"
        return "interval" if self.family in ("integer", "decimal", "float", "date", "timestamp") else "single"

    @property
    def shown(self) -> str:
        """What a class of several values is published as, in words."""
        if self.represent == "bounds":
            return f"{self.name}_from and {self.name}_to"
        words = {"interval": "[least, greatest]", "run": "first..last in its order",
                 "tree": "lowest common ancestor", "single": "*"}  # fmt: skip
        return "range" if self.represent == "range" else words[self.kind]

    @property
    def height(self) -> int:
        """The last level of a tree, at which everything is `*`; 1 for other kinds."""
        if self.kind != "tree" or self.hierarchy is None:
            return 1
        return len(self.rows[0]) - 1 if self.rows else self.hierarchy.height or 1


def dimensions(source: Source) -> tuple[Dimension, ...]:
    """The quasi-identifiers of a spec held against its source, in the order of the spec.

    Raises `SpecError` for a highest level: a class may need to be published as `*`.
    """
    declared = source.spec.columns
    for name in source.quasi_identifiers:
        highest = declared[name].max
        if highest is not None and highest < source.height(name):
            problem = "a partition may have to publish `*`, the last level; leave max out, or use full-domain"
            raise SpecError(problem, where=f"columns.{name}.max", found=str(highest))
    return tuple(
        Dimension(
            name, source.family(name), declared[name].hierarchy, source.rows.get(name), declared[name].represent,
            declared[name].weight, declared[name].min or 0,
        )
        for name in source.quasi_identifiers
    )  # fmt: skip


def line(i: int) -> str:
    """The name of the working table of the i-th quasi-identifier's line."""
    return f"line {i}"


def span(most: int) -> int:
    """Places from end to end where the column with most values has `most`."""
    found = SPAN
    while found < most * _CROWD:
        found *= 2
    return found


def bits(columns: int) -> int:
    """Bits per column of the space-filling key."""
    return max(min(MOST // columns, 20), 1)


def draw(work: Work, i: int, dimension: Dimension, values: Query, length: int, columns: int) -> None:
    """Makes the table of the i-th of so many `columns`, from a row per `value` that occurs in the step `seen`.

    Raises `SpecError` where a value is not in the column's hierarchy, `EngineError`.
    """
    placed = {"interval": _interval, "run": _run, "tree": _tree, "single": _single}[dimension.kind](dimension, values)
    if dimension.rows is not None:
        _known(work, dimension, placed)
    nodes = [column(f"{word} {level}") for level in range(1, dimension.height) for word in ("node", "cost")]
    label = query.named(query.text_of(column("value"), dimension.family), "label")
    told = [column("value"), _place(dimension, length), column("share"), column("apart"), label, *nodes]
    steps = placed.then("drawn", query.select(told, "placed"))
    most = (1 << bits(columns)) - 1
    steps = steps.then("ranked", fragment(
        "select *, cast(row_number() over (order by place) - 1 as bigint) as rank,"
        " cast(count(*) over () as bigint) as ranks from drawn"
    ))  # fmt: skip
    made = steps.then("line", fragment(
        f"select *, cast((rank * {most}) // greatest(ranks - 1, 1) as bigint) as coarse from ranked"
    ))  # fmt: skip
    work.make(line(i), made, f"the values of {dimension.name} in their places")


def by_spread(work: Work, columns: int) -> tuple[int, ...]:
    """The columns' numbers, those whose records are spread widest over their coarse ranks first.

    On the curve the first column turns least often; with the widest there, neighbours differ least (on Adult, 4 to 9 %
    less was lost than in the order of the spec). Whole numbers decide, and then the order of the spec.
    """
    widths = []
    for i in range(columns):
        sums = fragment(
            "select cast(sum(records) as decimal(38, 0)), cast(sum(records * coarse) as decimal(38, 0)),"
            " cast(sum(cast(records as decimal(38, 0)) * coarse * coarse) as decimal(38, 0)) from $s as s join $l as l"
            " on s.value is not distinct from l.value",
            s=relation(f"seen {i}"), l=relation(line(i)),
        )  # fmt: skip
        count, total, squares = (int(number) for number in work.ask(sums, "measure the spread"))
        widths.append(count * squares - total * total)
    return tuple(sorted(range(columns), key=lambda i: -widths[i]))


@dataclass(frozen=True)
class Word:
    """Where the ranks of a column stand: in which word, and how many bits from its end."""

    number: int
    shift: int


def words(many: Sequence[int]) -> list[Word]:
    """Room for the ranks of columns of so `many` values, in as few words as hold them one after the other."""
    found: list[Word] = []
    number = shift = 0
    for count in many:
        wide = max((count - 1).bit_length(), 1)
        if shift + wide > MOST:
            number, shift = number + 1, 0
        found.append(Word(number, shift))
        shift += wide
    return found


def encode(work: Work, i: int, name: str, word: Word, turn: int, columns: int, sort: str) -> None:
    """Makes `code i` of the column `name`, which has that `turn` on the curve; its places are numbers of that sort."""
    made = fragment(
        f"select value, cast(place as {sort}) as place, (rank << {word.shift}) as word, $curve as curve from $l",
        curve=spread(turn, columns, column("coarse")), l=relation(line(i)),
    )  # fmt: skip
    work.make(code(i), made, f"the values of {name} in numbers")


def code(i: int) -> str:
    """The name of the working table of the i-th quasi-identifier's numbers."""
    return f"code {i}"


def narrow(most: int) -> str:
    """The smallest sort of whole number that holds numbers up to `most`."""
    return "integer" if most < 1 << 31 else "bigint"


def furthest(length: int, many: int) -> int:
    """The greatest place that a value of a line of that `length` with so `many` values may have."""
    return length * (2 + _APART) + many


def spread(turn: int, columns: int, coarse: Expression) -> Expression:
    """The bits of a coarse rank, `columns` apart; those of the column whose `turn` is 0 stand highest in each group."""
    terms = [f"((($c >> {bit}) & 1) << {bit * columns + columns - 1 - turn})" for bit in range(bits(columns))]
    return fragment(f"cast({' + '.join(terms)} as bigint)", c=coarse)


def _place(dimension: Dimension, length: int) -> Expression:
    """`place`, from `number` (the value's number among those of its sort), `many` of them and `share`.

    Rounding may let two shares meet, so the number is added: a place belongs to one value only.
    """
    apart = f"{length} * (2 + least(number, {_APART})) + number"
    along = "coalesce(cast(floor(share * (" + str(length) + " - many)) as bigint), 0) + number"
    even = f"number * ({length} // greatest(many - 1, 1))"
    scaled = dimension.kind == "tree" or (dimension.kind == "interval" and dimension.spacing == "scale")
    return fragment(f"cast(case when apart then {apart} else {along if scaled else even} end as bigint) as place")


_NUMBERED = (
    "cast(row_number() over (partition by apart order by $by nulls first) - 1 as bigint) as number,"
    " cast(count(*) over (partition by apart) as bigint) as many"
)


def _interval(dimension: Dimension, values: Query) -> Query:
    """Numbers and dates: their share of the way is (x − least) / (most − least), or of the ranks."""
    family = dimension.family
    x = {"date": "value - cast('1970-01-01' as date)", "timestamp": "extract(epoch from value)"}.get(family, "value")
    apart = fragment("select value, $apart as apart from seen", apart=_endless(family))
    sql = f"select value, apart, {_NUMBERED}, case when not apart then cast({x} as double) end as x from sorted"
    numbered = fragment(sql, by=column("value"))
    # Halves, so that no difference of two numbers is beyond what a double holds; what is as good as nothing is nothing,
    # since no engine divides it alike.
    half = f"case when abs(x) < {_NOTHING} then 0 else x / 2 end as x"
    halved = fragment(f"select value, apart, number, many, {half} from numbered")
    ends = "x - min(x) over () as way, max(x) over () - min(x) over () as whole"
    measured = fragment(f"select value, apart, number, many, {ends} from halved")
    way = "case when way < whole * 1e-18 then 0 else way / nullif(whole, 0) end"
    if dimension.spacing == "rank":
        way = "cast(number as double) / greatest(many - 1, 1)"
    shared = fragment(f"select value, apart, number, many, coalesce({way}, 0) as share from measured")
    steps = values.then("sorted", apart).then("numbered", numbered).then("halved", halved)
    return steps.then("measured", measured).then("placed", shared)


def _endless(family: str) -> Expression:
    """Whether no finite interval holds `value`."""
    if family == "float":
        endless = [f"cast('{word}' as double)" for word in _ENDLESS]
        return fragment(f"(value is null or value in ({', '.join(endless)}))")
    if family in ("date", "timestamp"):
        first, last = "cast('0001-01-01' as date)", "cast('9999-12-31' as date)"
        return fragment(f"(value is null or not (cast(value as date) between {first} and {last}))")
    return fragment("(value is null)")


def _single(dimension: Dimension, values: Query) -> Query:
    sorted_ = fragment("select value, (value is null) as apart from seen")
    numbered = fragment(f"select value, apart, {_NUMBERED} from sorted", by=column("value"))
    return values.then("sorted", sorted_).then("numbered", numbered).then("placed", _evenly())


def _evenly() -> Expression:
    return fragment(
        "select value, apart, number, many, cast(number as double) / greatest(many - 1, 1) as share from numbered"
    )


def _run(dimension: Dimension, values: Query) -> Query:
    """The places of all values that the order names, so that a run's ends tell how long it is."""
    order = dimension.hierarchy.values if isinstance(dimension.hierarchy, Order) else ()
    listed = query.values("listed", ("number", "leaf"), enumerate(order))
    numbered = fragment(
        "select value, leaf, value is null as apart, coalesce(number, 0) as number,"
        f" case when value is null then 1 else {len(order)} end as many"
        " from seen left join listed on $text = leaf", text=query.text_of(column("value"), dimension.family),
    )  # fmt: skip
    shared = fragment(
        "select value, leaf, apart, number, many, cast(number as double) / greatest(many - 1, 1) as share from numbered"
    )
    return Query((*values.steps, listed)).then("numbered", numbered).then("placed", shared)


def _tree(dimension: Dimension, values: Query) -> Query:
    """Leaves in an order that keeps the values of every node together; gaps as wide as what their union costs."""
    levels = range(1, dimension.height)
    nodes = [column(f"node {level}") for level in levels]
    starred = fragment("$n = '*'", n=nodes[0]) if nodes else fragment("false")
    if dimension.rows is not None:
        rows = ((number, *row[: dimension.height]) for number, row in enumerate(together(dimension.rows)))
        listed = query.values("listed", ("number", "leaf", *(f"node {level}" for level in levels)), rows)
        steps = Query((*values.steps, listed)).then(
            "leaves", fragment("select number, leaf, $s as apart, $nodes from listed", s=starred, nodes=nodes)
        )
    else:
        steps = _computed(dimension, values, starred)
    steps = _gaps(_counted(steps, nodes), nodes)
    kept = [column(name) for level in levels for name in (f"node {level}", f"cost {level}")]
    # The values that the tree stars stand after the missing one.
    shown = fragment(
        "select value, leaf, coalesce(apart, true) as apart, coalesce(many, 1) as many, coalesce(share, 0) as share,"
        " case when leaf is null then 0 when apart then number + 1 else number end as number, $kept"
        " from seen left join spaced on $same", kept=kept, same=_leaf_of(dimension),
    )  # fmt: skip
    return steps.then("placed", shown)


def _leaf_of(dimension: Dimension) -> Expression:
    value = column("value")
    return fragment("$v = leaf", v=query.text_of(value, dimension.family) if dimension.rows is not None else value)


def _computed(dimension: Dimension, values: Query, starred: Expression) -> Query:
    """The leaves of a hierarchy that is an expression: the values that occur."""
    hierarchy, levels = dimension.hierarchy, range(1, dimension.height)
    if hierarchy is None:
        raise ValueError("a tree needs a hierarchy")
    labels = [
        query.named(hierarchy.label(column("value"), level, dimension.family), f"node {level}") for level in levels
    ]
    nodes = [column(f"node {level}") for level in levels]
    leaf = query.named(column("value"), "leaf")
    labelled = query.select([leaf, *labels], "seen", where=fragment("value is not null"))
    # Masked texts of different lengths are neighbours by value, but not in one node.
    by = [*reversed(nodes), column("leaf")] if isinstance(hierarchy, Mask) else [column("leaf")]
    apart = fragment("select leaf, $s as apart, $nodes from labelled", nodes=nodes, s=starred)
    number = "cast(row_number() over (partition by apart order by $by) - 1 as bigint) as number"
    steps = values.then("labelled", labelled).then("sorted", apart)
    return steps.then("leaves", fragment(f"select *, {number} from sorted", by=by))


def _counted(steps: Query, nodes: list[Expression]) -> Query:
    """Beside each leaf: how many leaves each of its nodes has, and the nodes of the leaf before it."""
    more = []
    for level, node in enumerate(nodes, start=1):
        leaves, before = (query.identifier(f"{word} {level}") for word in ("leaves", "before"))
        more.append(fragment("cast(count(*) over (partition by apart, $n) as bigint) as $c", n=node, c=leaves))
        more.append(fragment("lag($n) over (partition by apart order by number) as $b", n=node, b=before))
    many = "cast(count(*) over (partition by apart) as bigint) as many"
    sql = f"select number, leaf, apart, {many}, $nodes, $more from leaves"
    return steps.then("counted", fragment(sql, nodes=nodes, more=more))


def _gaps(steps: Query, nodes: list[Expression]) -> Query:
    """`share`: the sum of the gaps so far over that of all; `cost n`: what a class at level n costs."""
    levels = range(1, len(nodes) + 1)
    whens = " ".join(f'when "node {level}" = "before {level}" then "leaves {level}" - 1' for level in levels)
    first = "lag(leaf) over (partition by apart order by number) is null"
    costs = [
        query.named(fragment("cast($n - 1 as double) / greatest(many - 1, 1)", n=column(f"leaves {level}")),
                    f"cost {level}")
        for level in levels
    ]  # fmt: skip
    gap = f"case when {first} then 0 {whens} else many - 1 end as gap"
    gapped = fragment(f"select number, leaf, apart, many, {gap}, $kept from counted", kept=[*nodes, *costs])
    so_far = "sum(gap) over (partition by apart order by number rows between unbounded preceding and current row)"
    share = f"cast({so_far} as double) / nullif(cast(sum(gap) over (partition by apart) as double), 0) as share"
    return steps.then("gapped", gapped).then("spaced", fragment(f"select *, {share} from gapped"))


def together(rows: Rows) -> list[tuple[str, ...]]:
    """The lines of a tabled hierarchy in the order of the file, moved so that the values of a node are neighbours."""
    first: list[dict[str, int]] = [{} for _ in rows[0]]
    for number, row in enumerate(rows):
        for level, label in enumerate(row):
            first[level].setdefault(label, number)
    return sorted(rows, key=lambda row: [first[level][label] for level, label in reversed(list(enumerate(row)))])


def _known(work: Work, dimension: Dimension, placed: Query) -> None:
    """Refuses values that a tabled hierarchy does not name; they are told by number only."""
    unknown = placed.then("unknown", fragment("select count(*) from placed where leaf is null and value is not null"))
    (values,) = work.ask(unknown, f"look up the values of {dimension.name}")
    if values:
        raise SpecError(
            f"{values} value{'s' * (values > 1)} {'are' if values > 1 else 'is'} not in the hierarchy; list them with:"
            f" SELECT DISTINCT {work.engine.rendered(column(dimension.name))} FROM the source",
            where=f"columns.{dimension.name}",
        )


def seen(work: Work, i: int, name: str) -> int:
    """Makes `seen i`, the values of the i-th quasi-identifier that occur, with their records; how many there are."""
    made = fragment(
        "select $v as value, cast(sum(records) as bigint) as records from $f group by $v", v=column(f"value {i}"),
        f=relation("found"),
    )  # fmt: skip
    counted = fragment("select count(*) from $s", s=work.make(f"seen {i}", made, f"the values of {name} that occur"))
    return int(work.ask(counted, "count the values")[0])


def values(i: int) -> Query:
    """The step `seen`: the values of the i-th quasi-identifier that occur."""
    return Query(()).then("seen", fragment("select value from $s", s=relation(f"seen {i}")))
