"""Earth mover's distances between classes and table in closed form, over sparse distributions (Li et al. 2007)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlanon import query
from sqlanon.measures import Measure
from sqlanon.query import column, named

if TYPE_CHECKING:
    from sqlanon.measuring.chain import Chain


def ordered(chain: Chain, measure: Measure) -> str:
    """Σ |Q_i − P_i| / (m − 1) over the m ranks of the table, in closed form over the ranks present in a class.

    Between two present ranks Q stands still while P grows, so the sum over the stretch needs only prefix sums of P
    and the rank at which P passes Q; that rank is a running maximum over both, sorted by share.
    """
    of = measure.column or ""
    prefix = _prefix_sums(chain, of)
    upto = "rows between unbounded preceding and current row"
    window = "over (partition by $keys order by $value_rank"
    placed = chain.step(
        f"placed {of}",
        "select $keys, $class_records, $table_total, $value_rank, $ranks, $share, $before, $rank, $after from $d"
        " left join $p on $value is not distinct from $ranked_value",
        "each class's cumulative share at the ranks that occur in it, and the stretch up to the next one",
        value=column(of), d=query.table(f"distributions of {of}"), p=query.table(prefix),
        share=chain.make(f"cast(sum($class_count) {window} {upto}) as double) / $class_records", "share"),
        before=chain.make("$cumulative_sum - $cumulative_count", "before"),
        rank=chain.make(f"coalesce(lead($value_rank) {window}), $ranks + 1)", "next_rank"),
        after=chain.make(
            f"coalesce(lead($cumulative_sum - $cumulative_count) {window}), (select max($cumulative_sum) from $p))",
            "next_before", p=query.table(prefix),
        ),
    )  # fmt: skip
    passed = _passed(chain, of, placed, prefix)
    upto_rank = "greatest(least(coalesce($passed_rank, 0), $next_rank - 1), $value_rank - 1)"
    upto_sum = "greatest(least(coalesce($passed_sum, 0), $next_before), $before)"
    stretch = (
        f"$share * (2 * {upto_rank} - $value_rank - $next_rank + 2)"
        f" + cast($before + $next_before - 2 * {upto_sum} as double) / $table_total"
    )
    known = "count($value_rank) = count(*)"
    distance = f"(sum({stretch}) + cast(min($before) as double) / max($table_total)) / greatest(max($ranks) - 1, 1)"
    result = chain.make(f"case when {known} then greatest({distance}, 0) end")
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $d from $placed left join $passed on $share = $at group by $keys",
        "earth mover's distance where values in order are 1 / (m - 1) apart",
        d=named(result, chain.label(measure)), placed=query.table(placed), passed=query.table(passed),
        at=chain.own["passed_share"],
    )  # fmt: skip


def _prefix_sums(chain: Chain, of: str) -> str:
    """One row per value of the table in its order: rank, cumulative count, and the sum of those so far."""
    running = "cast(sum($what) over (order by $value_rank rows between unbounded preceding and current row) as bigint)"
    by = query.position(column(chain.names["table_value"]), chain.references[of].order)
    # A value that the given order does not know has no place: then no class has a distance.
    unknown = "max(case when $by is null and $table_value is not null then 1 else 0 end) over ()"
    ranked = chain.step(
        f"ranks of {of}", "select $v, $table_count, $rank from $r", f"the values of {of} in their order",
        v=chain.make("$table_value", "ranked_value"), r=query.table(f"reference of {of}"),
        rank=chain.make(
            f"case when {unknown} = 0 then row_number() over (order by $by nulls first) end", "value_rank", by=by
        ),
    )  # fmt: skip
    cumulated = chain.step(
        f"cumulated {of}", "select $ranked_value, $value_rank, $c, $m from $r", r=query.table(ranked),
        c=chain.make(running, "cumulative_count", what=chain.own["table_count"]),
        m=chain.make("count(*) over ()", "ranks"),
    )  # fmt: skip
    total = chain.make(running, "cumulative_sum", what=chain.own["cumulative_count"])
    return chain.step(f"prefix sums of {of}", "select *, $s from $r", s=total, r=query.table(cumulated))


def _passed(chain: Chain, of: str, placed: str, prefix: str) -> str:
    """For each share that a class reaches: the last rank whose cumulative table share is not above it."""
    shares = chain.step(
        f"share points of {of}",
        "select distinct $at, 1 as $c, cast(null as bigint) as $r, cast(null as bigint) as $s from $placed"
        " union all select cast($cumulative_count as double) / (select $table_total from $t), 0, $value_rank,"
        " $cumulative_sum from $prefix",
        at=chain.make("$share", "passed_share"), c=chain.name("from_class"), r=chain.name("passed_rank"),
        s=chain.name("passed_sum"), placed=query.table(placed), prefix=query.table(prefix),
        t=query.table(f"total of {of}"),
    )  # fmt: skip
    over = "over (order by $passed_share, $from_class rows between unbounded preceding and current row)"
    running = chain.step(
        f"running ranks of {of}", "select $passed_share, $from_class, $r, $s from $p", p=query.table(shares),
        r=chain.make(f"max($passed_rank) {over}", "passed_rank"),
        s=chain.make(f"max($passed_sum) {over}", "passed_sum"),
    )  # fmt: skip
    sql = "select $passed_share, $passed_rank, $passed_sum from $p where $from_class = 1"
    return chain.step(f"passed ranks of {of}", sql, p=query.table(running))


def hierarchical(chain: Chain, measure: Measure) -> str:
    """Σ over inner nodes of height / H · min(positive, negative extras of the children), level by level.

    min(pos, neg) = Σ children max(q − p, 0) + min(p − q of the node, 0): children that do not occur in the class
    need no row. All in integers scaled by class_records · table_total.
    """
    of = measure.column or ""
    relation, height = chain.references[of].tree or ("", 0)
    nodes = [f"node {level} of {of}" for level in range(height)]
    counts = [f"table_count {level} of {of}" for level in range(height)]
    whole = [
        named(chain.make("cast(sum($table_count) over (partition by $n) as bigint)", n=column(node)), count)
        for node, count in zip(nodes[1:], counts[1:], strict=True)
    ]
    # A value that the hierarchy does not know has no place: then no class has a distance.
    unknown = "max(case when $leaf is null and $table_value is not null then 1 else 0 end) over ()"
    tree = chain.step(
        f"tree counts of {of}",
        "select $v, $nodes, $whole, $u from $r left join $t"
        " on cast($table_value as varchar) is not distinct from $leaf",
        f"how often each node of the hierarchy of {of} occurs in the whole table",
        v=chain.make("$table_value", "ranked_value"), nodes=[column(node) for node in nodes[1:]], whole=whole,
        r=query.table(f"reference of {of}"), t=query.table(relation), leaf=column(nodes[0]),
        u=chain.make(unknown, "unknown", leaf=column(nodes[0])),
    )  # fmt: skip
    own = [*chain.keys, chain.make("$class_records"), chain.make("$table_total")]
    level = chain.step(
        f"level 0 of {of}",
        "select $kept, $nodes, $counts, $class_count, $table_count, 0 as $moved,"
        " case when $table_count is null or $unknown > 0 then 1 else 0 end as $missing from $d"
        " left join $t on $value is not distinct from $ranked_value",
        kept=own, nodes=[column(node) for node in nodes[1:]], counts=[column(name) for name in counts[1:]],
        moved=chain.name("moved"), missing=chain.name("missing"), value=column(of),
        d=query.table(f"distributions of {of}"), t=query.table(tree),
    )  # fmt: skip
    child = "sum(greatest($class_count * $table_total - $table_count * $class_records, 0))"
    node = "least(max($upper) * max($class_records) - sum($class_count) * max($table_total), 0)"
    for depth in range(1, height + 1):
        stay = [column(name) for name in (*nodes[depth:], *counts[depth:])]
        upper = column(counts[depth]) if depth < height else chain.make("$table_total")
        level = chain.step(
            f"level {depth} of {of}",
            "select $kept, $stay, $f, $p, $m, $u from $level group by $kept, $stay", kept=own, stay=stay,
            f=chain.make("cast(sum($class_count) as bigint)", "class_count"),
            p=chain.make("$upper", "table_count", upper=upper),
            m=chain.make(f"cast(sum($moved) + {depth} * ({child} + {node}) as bigint)", "moved", upper=upper),
            u=chain.make("cast(sum($missing) as bigint)", "missing"), level=query.table(level),
        )  # fmt: skip
    share = f"cast($moved as double) / ({height} * $class_records * $table_total)"
    result = chain.make(f"case when $missing = 0 then {share} end")
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $d from $level",
        "earth mover's distance where values are apart by the height of their lowest common ancestor",
        d=named(result, chain.label(measure)), level=query.table(level),
    )  # fmt: skip
