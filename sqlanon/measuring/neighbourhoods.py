"""Measures that look from one record at the others of its class: values nearby, guarding nodes, sets of items."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from sqlanon import query
from sqlanon.margins import Line
from sqlanon.measures import Measure
from sqlanon.measuring import windows
from sqlanon.measuring.reference import node_columns
from sqlanon.query import Expression, column, fragment, named

if TYPE_CHECKING:
    from sqlanon.measuring.chain import Chain


def neighbours(chain: Chain, measure: Measure) -> str:
    """The most records of a class near one of them, by an exact window over the class's distinct values."""
    epsilon, relative = cast(tuple[Fraction, bool], measure.arguments)
    of = measure.column or ""
    near = _relative(chain, of, epsilon) if relative else _absolute(chain, of, epsilon)
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $m from $near group by $keys",
        "the most records whose value is near one record's",
        m=named(chain.make("max($near)"), chain.label(measure)), near=query.table(near),
    )  # fmt: skip


def _decimal(number: Fraction) -> str:
    """A number that a person wrote in decimals, in decimals."""
    return query.literal(Decimal(number.numerator) / Decimal(number.denominator)).sql("duckdb")


def _absolute(chain: Chain, of: str, epsilon: Fraction) -> str:
    reach = Line("$x", Decimal(epsilon.numerator) / Decimal(epsilon.denominator))
    near = windows.within(
        chain.keys, reach, value=column(chain.names["number"]), records=column(chain.names["class_count"])
    )
    return chain.step(
        f"values within {epsilon} of {of}", "select $keys, $near from $d", near=named(near, chain.names["near"]),
        d=query.table(f"distributions of {of}"),
    )  # fmt: skip


def _relative(chain: Chain, of: str, epsilon: Fraction) -> str:
    """Values and both ends of each one's neighbourhood in one order; running sums at the ends give what is between."""
    less, more = _decimal(1 - epsilon), _decimal(1 + epsilon)
    points = chain.step(
        f"ends within {epsilon} of {of}",
        "select $keys, $number, $number as $p, $class_count, 1 as $k from $d union all"
        " select $keys, $number, least($low, $high), 0, 0 from $d where $number is not null union all"
        " select $keys, $number, greatest($low, $high), 0, 2 from $d where $number is not null",
        low=chain.make(f"$number * {less}"), high=chain.make(f"$number * {more}"),
        p=chain.name("at_most"), k=chain.name("kind"), d=query.table(f"distributions of {of}"),
    )  # fmt: skip
    running = "sum($class_count) over (partition by $keys order by $at_most, $kind rows between unbounded preceding"
    summed = chain.step(
        f"running ends within {epsilon} of {of}",
        "select $keys, $number, $kind, $class_count, $at_most, $below from $p",
        p=query.table(points), below=chain.make(f"cast({running} and current row) as bigint)", "below"),
    )  # fmt: skip
    inside = "max($below) filter (where $kind = 2) - max($below) filter (where $kind = 0)"
    alone = "sum($class_count) filter (where $kind = 1)"
    return chain.step(
        f"values within {epsilon} of {of} relatively", "select $keys, $near from $s group by $keys, $number",
        near=chain.make(f"cast(coalesce({inside}, {alone}) as bigint)", "near"), s=query.table(summed),
    )  # fmt: skip


def breach(chain: Chain, measure: Measure) -> str:
    """Per class and guarding node, the records under it; the largest share over the class's guarding nodes."""
    of, guard = measure.column or "", str(measure.arguments[0])
    keys, pairs, histogram = chain.rows.keys, chain.references[of].nodes or "", f"histogram of {of}"
    node, wanted, share = (column(name, pairs) for name in node_columns(of))
    asked = chain.step(
        f"guards of {of} by {guard}",
        "select $keys, $g, case when $guard is null or cast($guard as varchar) in (select $wanted from $pairs) then 1"
        " else 0 end as $known from $rows group by $keys, $guard",
        f"the nodes that the persons of each class want {of} to be guarded by", guard=column(guard),
        g=named(fragment("cast($x as varchar)", x=column(guard)), chain.names["guard"]), known=chain.name("known"),
        wanted=wanted, pairs=query.table(pairs), rows=query.table(chain.rows.relation),
    )  # fmt: skip
    covered = chain.step(
        f"covered by {guard} of {of}",
        "select $mine, $at, min($known) as $k, sum($class_count) as $n, sum($class_count * coalesce($share, 0)) as $c,"
        " max(case when $value is null or cast($value as varchar) in (select $node from $pairs) then 0 else 1 end)"
        " as $u"
        " from $asked join $h on $same left join $pairs on cast($value as varchar) = $node and $at = $wanted"
        " group by $mine, $at",
        mine=[column(key, asked) for key in keys], at=column(chain.names["guard"], asked), value=column(of, histogram),
        asked=query.table(asked), k=chain.name("known"), n=chain.name("class_records"), c=chain.name("moved"),
        u=chain.name("missing"), h=query.table(histogram), same=query.same(keys, asked, histogram), node=node,
        wanted=wanted, share=share, pairs=query.table(pairs),
    )  # fmt: skip
    worst = "max(case when $guard is null then 0 else cast($moved as double) / $class_records end)"
    result = chain.make(f"case when min($known) = 1 and max($missing) = 0 then {worst} end")
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $b from $c group by $keys",
        "the largest share of a class that lies under one of its guarding nodes",
        b=named(result, chain.label(measure)), c=query.table(covered),
    )  # fmt: skip


def itemsets(chain: Chain, measure: Measure) -> str:
    """`itemsets of s`: one row per class and set of up to m different items, with the records that hold all of them.

    The items of a set stand in ascending order in the columns `item 1 of s` …, missing beyond the set's size. Missing
    items are none.
    """
    of, size = measure.column or "", int(cast(int, measure.arguments[0]))
    rows, places = chain.rows, item_columns(of, size)
    numbered = chain.step(
        f"transactions of {of}", "select $keys, $items, $w, $t from $rows", rows=query.table(rows.relation),
        items=column(of), t=chain.make("row_number() over ()", "transaction"),
        w=named(column(rows.weight) if rows.weight else query.literal(1), chain.names["class_count"]),
    )  # fmt: skip
    unnested = chain.step(
        f"items of {of}", "select $keys, $class_count, $transaction, unnest($items) as $item from $t",
        items=_split(column(of), cast(str | None, measure.arguments[1])), item=chain.name("item"),
        t=query.table(numbered),
    )  # fmt: skip
    single = chain.step(
        f"sets of 1 of {of}",
        "select distinct $keys, $class_count, $transaction, $x from $t"
        " where length(cast($item as varchar)) > 0",
        x=named(chain.make("cast($item as varchar)"), places[0].name), t=query.table(unnested),
    )  # fmt: skip
    levels = [single] + [_larger(chain, of, single, places[:n]) for n in range(2, size + 1)]
    unions = " union all ".join(f"select $keys, $class_count, $set{n} from $sets{n}" for n in range(size))
    found: dict[str, Any] = {f"sets{n}": query.table(level) for n, level in enumerate(levels)}
    found |= {f"set{n}": [*places[: n + 1], *(_missing(x) for x in places[n + 1 :])] for n in range(size)}
    every = chain.step(f"sets up to {size} of {of}", unions, **found)
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $set, $n from $e group by $keys, $set",
        f"how many records of each class hold each set of items of {of}", set=list(places),
        n=chain.make("cast(sum($class_count) as bigint)", "itemset_count"), e=query.table(every),
    )  # fmt: skip


def _split(items: Expression, separator: str | None) -> Expression:
    """A list of items, from a list or from a text with a separator."""
    if separator is None:
        return items
    escaped = f"[\\{separator}]" if separator in "\\]^-" else f"[{separator}]"
    return fragment("regexp_split_to_array(cast($x as varchar), $s)", x=items, s=escaped)


def item_columns(of: str, size: int) -> tuple[Expression, ...]:
    """The columns in which the items of a set stand."""
    return tuple(column(f"item {place} of {of}") for place in range(1, size + 1))


def _missing(item: Expression) -> Expression:
    return named(fragment("cast(null as varchar)"), item.name)


def _larger(chain: Chain, of: str, single: str, places: tuple[Expression, ...]) -> str:
    """The sets with one item more, which stands behind the others in their order."""
    smaller, more, transaction = f"sets of {len(places) - 1} of {of}", "one more", chain.names["transaction"]
    kept = [column(name, smaller) for name in (*chain.rows.keys, chain.names["class_count"], transaction)]
    item = column(places[0].name, more)
    return chain.step(
        f"sets of {len(places)} of {of}",
        "select $kept, $set, $new from $smaller join $single on $a = $b and $x > $last",
        kept=kept, set=[column(place.name, smaller) for place in places[:-1]], x=item,
        new=named(item, places[-1].name), smaller=query.table(smaller), single=query.table(single, alias=more),
        a=column(transaction, smaller), b=column(transaction, more), last=column(places[-2].name, smaller),
    )  # fmt: skip
