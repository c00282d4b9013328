"""What can be measured on a relation: the shapes of the product, and the chain of steps that computes them.

| relation | one row per | columns |
| --- | --- | --- |
| `recoded` (or any rows) | record | after recoding |
| `distributions` | class × sensitive value that occurs in it | `class_count`; where asked `class_records`, \
`table_count`, `table_total`, `frequency_rank` |
| `classes` | equivalence class | quasi-identifiers, `class_records`, `class_size` (persons where there is an entity) |
| `measured` | class | `classes` and one column per measure |

A `Measure` is one number per class: an aggregate over that class's rows of `distributions` (or of `classes`). All the
measures that are asked for share one chain, and so one pass over the records. `distributions` is sparse: values that
do not occur in a class have no row, and the distances below account for them in closed form. A missing value is a
value, equal to itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from sqlanon import query
from sqlanon.query import Expression, Query, column, fragment, fresh, named

# Names that the chain gives to its own columns; each gets underscores where a column of the user's is called so.
_OWN = """
    class_records class_size class_count table_value ranked_value table_count table_total frequency_rank value_rank
    cumulative_count cumulative_sum ranks share before next_rank next_before passed_share passed_rank passed_sum
    from_class moved missing
"""


@dataclass(frozen=True)
class Measure:
    """One number per equivalence class.

    `sql` is an aggregate in house SQL over one class's rows of `distributions` (of `classes` where `column` is None);
    its `$names` are the columns listed in this module. `distance` names a measure that needs steps of its own.
    """

    name: str
    sql: str = ""
    column: str | None = None
    distance: str | None = None

    @property
    def label(self) -> str:
        return f"{self.name} of {self.column}" if self.column else self.name


def class_size() -> Measure:
    """Records (persons where there is an entity) in the class; k-anonymity's k (Samarati & Sweeney 1998)."""
    return Measure("class_size")


def distinct(of: str) -> Measure:
    """Different sensitive values in the class (Machanavajjhala et al. 2007, distinct l-diversity)."""
    return Measure("distinct", "count(*)", of)


def entropy(of: str) -> Measure:
    """Shannon entropy of the class's sensitive values, in nats (Machanavajjhala et al. 2007, definition 4.1)."""
    sql = "ln(sum($class_count)) - sum($class_count * ln($class_count)) / sum($class_count)"
    return Measure("entropy", sql, of)


def top_count(of: str, values: tuple[str, ...] = ()) -> Measure:
    """Records with the most frequent sensitive value, or the most frequent of the listed `values`."""
    if not values:
        return Measure("top_count", "max($class_count)", of)
    listed = ", ".join(query.literal(value).sql("duckdb") for value in values)
    sql = f"coalesce(max($class_count) filter (where cast($value as varchar) in ({listed})), 0)"
    return Measure(f"top_count among {_short(values)}", sql, of)


def _short(values: tuple[str, ...]) -> str:
    """A name for a list of values that no other list has."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def tail_count(of: str, rank: int) -> Measure:
    """Records with the `rank`-th most frequent value or a rarer one: r_l + … + r_m of recursive (c,l)-diversity."""
    sql = f"coalesce(sum($class_count) filter (where $frequency_rank >= {rank}), 0)"
    return Measure(f"tail_count from {rank}", sql, of)


def distance(of: str, kind: str) -> Measure:
    """Earth mover's distance of class and table, 0..1 (Li et al. 2007): `equal`, `ordered` or `hierarchical`."""
    if kind == "equal":
        surplus = "greatest($class_count * $table_total - coalesce($table_count, 0) * $class_records, 0)"
        sql = f"sum({surplus}) / cast(max($class_records * $table_total) as double)"
        return Measure("equal distance", sql, of)
    return Measure(f"{kind} distance", column=of, distance=kind)


_GAIN = (
    "(cast($class_count * $table_total - $table_count * $class_records as double)"
    " / nullif($table_count * $class_records, 0))"
)


def gain(of: str) -> Measure:
    """max (q − p) / p over the values present; missing where a value is unknown to the table (Cao & Karras 2012)."""
    return Measure("gain", f"case when min(coalesce($table_count, 0)) > 0 then max({_GAIN}) end", of)


def gains_above(of: str, beta: Fraction) -> Measure:
    """Values whose (q − p) / p is above beta, in whole numbers; values unknown to the table are among them."""
    above = (
        f"(cast($class_count as decimal(38, 0)) * $table_total - $table_count * $class_records) * {beta.denominator}"
        f" <= cast($table_count as decimal(38, 0)) * $class_records * {beta.numerator}"
    )
    return Measure(f"gains above {beta}", f"count(*) filter (where ($table_count > 0 and {above}) is not true)", of)


def gain_beyond_log(of: str) -> Measure:
    """Values whose (q − p) / p is more than −ln p: what enhanced β-likeness forbids for every β."""
    sql = f"count(*) filter (where ({_GAIN} <= -ln(cast($table_count as double) / $table_total) + 1e-12) is not true)"
    return Measure("gain_beyond_log", sql, of)


@dataclass(frozen=True)
class Rows:
    """A relation of records and what its columns are for. `weight`: how many records a row stands for (else one)."""

    relation: str
    keys: tuple[str, ...]
    entity: str | None = None
    weight: str | None = None


@dataclass(frozen=True)
class Reference:
    """Where the table's own distribution of a sensitive column is read from, and how its values are arranged.

    `relation` holds the records (or weighted rows) before suppression; `order` ranks values for the ordered distance
    (else their own order, missing first); `tree` is (relation, height): a step with the value and its ancestors.
    """

    relation: str
    weight: str | None = None
    order: tuple[str, ...] = ()
    tree: tuple[str, int] | None = None


@dataclass(frozen=True)
class Measured:
    """The chain that ends in `measured`, and the column in which each measure stands there."""

    query: Query
    columns: Mapping[str, Expression] = field(default_factory=dict)

    def at(self, measure: Measure) -> Expression:
        return self.columns[measure.label]


def measured(rows: Rows, measures: Iterable[Measure], references: Mapping[str, Reference]) -> Measured:
    """The steps `distributions …`, `classes`, `measured` over the step or table that `rows` names."""
    return _Chain(rows, tuple(dict.fromkeys(measures)), references).build()


def count(rows: Rows) -> Expression:
    """How many records: `count(*)`, or the sum of the weights; always a bigint."""
    return fragment("cast(sum($w) as bigint)", w=column(rows.weight)) if rows.weight else fragment("count(*)")


class _Chain:
    """Builds one chain. Its own columns are set in as `$parts`, so that no column of the user's is mistaken for one."""

    def __init__(self, rows: Rows, wanted: tuple[Measure, ...], references: Mapping[str, Reference]) -> None:
        self.rows, self.wanted, self.references = rows, wanted, references
        self.sensitive = tuple(dict.fromkeys(m.column for m in wanted if m.column is not None))
        taken = {*rows.keys, *self.sensitive, rows.entity or "", rows.weight or ""}
        self.names = {name: fresh(name, taken) for name in _OWN.split()}
        self.own: dict[str, query.Part] = {name: column(label) for name, label in self.names.items()}
        self.keys = [column(key) for key in rows.keys]
        self.query = Query(())
        self.columns: dict[str, Expression] = {}

    def build(self) -> Measured:
        for of in self.sensitive:
            self._distributions(of)
        steps = [self._classes()]
        steps += [self._aggregates(of) for of in self.sensitive if of != self._with_classes and self._plain(of)]
        steps += [self._distance(measure) for measure in self.wanted if measure.distance]
        self._join(steps)
        return Measured(self.query, self.columns)

    @property
    def _with_classes(self) -> str | None:
        """The sensitive column whose distributions give the classes too, so that the records are not grouped again."""
        return None if self.rows.entity else next(iter(self.sensitive), None)

    def _plain(self, of: str) -> list[Measure]:
        return [m for m in self.wanted if m.column == of and not m.distance]

    def _make(self, sql: str, own: str | None = None, **parts: query.Part) -> Expression:
        """A fragment with this chain's names set in; `own` names its column."""
        tree = fragment(sql, {**self.own, "keys": self.keys, **parts})
        return named(tree, self.names[own]) if own else tree

    def _step(self, name: str, sql: str, comment: str = "", **parts: query.Part) -> str:
        self.query = self.query.then(name, self._make(sql, None, **parts), comment)
        return name

    def _distributions(self, of: str) -> None:
        """`distributions of s`: one row per class and value that occurs in it, with what its measures read."""
        read = " ".join(m.sql for m in self.wanted if m.column == of)
        compared = "$table" in read or any(m.distance for m in self.wanted if m.column == of)
        source = self._step(
            f"histogram of {of}",
            "select $keys, $value, $n from $rows group by $keys, $value",
            f"how often each value of {of} occurs in each class",
            value=column(of), n=named(count(self.rows), self.names["class_count"]),
            rows=query.table(self.rows.relation),
        )  # fmt: skip
        if compared:
            self._reference(of)
            source = self._step(
                f"shares of {of}",
                "select * from $h left join $r on $value is not distinct from $table_value cross join $t",
                "beside how often the value occurs in the whole table",
                h=query.table(source), r=query.table(f"reference of {of}"), t=query.table(f"total of {of}"),
                value=column(of),
            )  # fmt: skip
        more: list[Expression] = []
        if compared:
            more.append(self._make("cast(sum($class_count) over (partition by $keys) as bigint)", "class_records"))
        if "$frequency_rank" in read:
            ranked = "row_number() over (partition by $keys order by $class_count desc, $value)"
            more.append(self._make(ranked, "frequency_rank", value=column(of)))
        sql = "select *, $more from $source" if more else "select * from $source"
        self._step(f"distributions of {of}", sql, more=more, source=query.table(source))

    def _reference(self, of: str) -> None:
        reference = self.references[of]
        weighted = Rows(reference.relation, (), weight=reference.weight)
        self._step(
            f"reference of {of}",
            "select $value, $n from $rows group by $s",
            f"the values of {of} in the whole table, before suppression",
            s=column(of), value=named(column(of), self.names["table_value"]),
            n=named(count(weighted), self.names["table_count"]), rows=query.table(reference.relation),
        )  # fmt: skip
        total = self._make("cast(sum($table_count) as bigint)", "table_total")
        self._step(f"total of {of}", "select $total from $r", total=total, r=query.table(f"reference of {of}"))

    def _classes(self) -> str:
        """`classes`: their sizes, and the measures of the sensitive column whose distributions they are read from."""
        sizes, source = [named(count(self.rows), self.names["class_records"])], self.rows.relation
        of = self._with_classes
        if self.rows.entity:
            # Records whose entity is missing may all be about one person, so together they count as one.
            persons = "count(distinct $e) + max(case when $e is null then 1 else 0 end)"
            sizes.append(self._make(persons, "class_size", e=column(self.rows.entity)))
        elif of:
            sizes = [
                named(self._make("cast(sum($class_count) as bigint)"), self.names["class_size"]),
                *self._measures(of),
            ]
            source = f"distributions of {of}"
        what = "the equivalence classes: records that share every quasi-identifier"
        self._step(
            "classes", "select $keys, $sizes from $rows group by $keys", what, sizes=sizes, rows=query.table(source)
        )
        for own in ("class_records", "class_size"):
            there = own if self.rows.entity else ("class_size" if of else "class_records")
            self.columns[own] = column(self.names[there], "classes")
        if of:
            self._stands(of, "classes")
        return "classes"

    def _measures(self, of: str) -> list[Expression]:
        return [named(self._make(m.sql, value=column(of)), self._label(m)) for m in self._plain(of)]

    def _stands(self, of: str, step: str) -> None:
        self.columns |= {m.label: column(self._label(m), step) for m in self._plain(of)}

    def _label(self, measure: Measure) -> str:
        return fresh(measure.label, {*self.rows.keys, *self.names.values()})

    def _aggregates(self, of: str) -> str:
        """`measures of s`: aggregates over each class's rows of `distributions of s`."""
        sql = "select $keys, $columns from $d group by $keys"
        step = self._step(f"measures of {of}", sql, columns=self._measures(of), d=query.table(f"distributions of {of}"))
        self._stands(of, step)
        return step

    def _distance(self, measure: Measure) -> str:
        step = (self._ordered if measure.distance == "ordered" else self._hierarchical)(measure)
        self.columns[measure.label] = column(self._label(measure), step)
        return step

    def _join(self, steps: list[str]) -> None:
        keys = [column(key, "classes") for key in self.rows.keys]
        wanted = list({node.sql(): node for node in self.columns.values()}.values())
        tree = query.select([*keys, *wanted], "classes")
        for step in steps[1:]:
            # Left, so that a class without a measure is still a class: what is missing never holds.
            tree = query.joined(tree, step, query.same(self.rows.keys, "classes", step), "left")
        self.query = self.query.then("measured", tree, "every measure of every class")
        self.columns = {label: column(node.name) for label, node in self.columns.items()}

    def _ordered(self, measure: Measure) -> str:
        """Σ |Q_i − P_i| / (m − 1) over the m ranks of the table, in closed form over the ranks present in a class.

        Between two present ranks Q stands still while P grows, so the sum over the stretch needs only prefix sums of P
        and the rank at which P passes Q; that rank is a running maximum over both, sorted by share.
        """
        of = measure.column or ""
        prefix = self._prefix_sums(of)
        upto = "rows between unbounded preceding and current row"
        window = "over (partition by $keys order by $value_rank"
        placed = self._step(
            f"placed {of}",
            "select $keys, $class_records, $table_total, $value_rank, $ranks, $share, $before, $rank, $after from $d"
            " left join $p on $value is not distinct from $ranked_value",
            "each class's cumulative share at the ranks that occur in it, and the stretch up to the next one",
            value=column(of), d=query.table(f"distributions of {of}"), p=query.table(prefix),
            share=self._make(f"cast(sum($class_count) {window} {upto}) as double) / $class_records", "share"),
            before=self._make("$cumulative_sum - $cumulative_count", "before"),
            rank=self._make(f"coalesce(lead($value_rank) {window}), $ranks + 1)", "next_rank"),
            after=self._make(
                f"coalesce(lead($cumulative_sum - $cumulative_count) {window}), (select max($cumulative_sum) from $p))",
                "next_before", p=query.table(prefix),
            ),
        )  # fmt: skip
        passed = self._passed(of, placed, prefix)
        upto_rank = "greatest(least(coalesce($passed_rank, 0), $next_rank - 1), $value_rank - 1)"
        upto_sum = "greatest(least(coalesce($passed_sum, 0), $next_before), $before)"
        stretch = (
            f"$share * (2 * {upto_rank} - $value_rank - $next_rank + 2)"
            f" + cast($before + $next_before - 2 * {upto_sum} as double) / $table_total"
        )
        known = "count($value_rank) = count(*)"
        distance = f"(sum({stretch}) + cast(min($before) as double) / max($table_total)) / greatest(max($ranks) - 1, 1)"
        result = self._make(f"case when {known} then greatest({distance}, 0) end")
        return self._step(
            f"{measure.name} of {of}", "select $keys, $d from $placed left join $passed on $share = $at group by $keys",
            "earth mover's distance where values in order are 1 / (m - 1) apart",
            d=named(result, self._label(measure)), placed=query.table(placed), passed=query.table(passed),
            at=self.own["passed_share"],
        )  # fmt: skip

    def _prefix_sums(self, of: str) -> str:
        """One row per value of the table in its order: rank, cumulative count, and the sum of those so far."""
        running = (
            "cast(sum($what) over (order by $value_rank rows between unbounded preceding and current row) as bigint)"
        )
        by = query.position(column(self.names["table_value"]), self.references[of].order)
        ranked = self._step(
            f"ranks of {of}", "select $v, $table_count, $rank from $r", f"the values of {of} in their order",
            v=self._make("$table_value", "ranked_value"), r=query.table(f"reference of {of}"),
            rank=self._make("row_number() over (order by $by nulls first)", "value_rank", by=by),
        )  # fmt: skip
        cumulated = self._step(
            f"cumulated {of}", "select $ranked_value, $value_rank, $c, $m from $r", r=query.table(ranked),
            c=self._make(running, "cumulative_count", what=self.own["table_count"]),
            m=self._make("count(*) over ()", "ranks"),
        )  # fmt: skip
        total = self._make(running, "cumulative_sum", what=self.own["cumulative_count"])
        return self._step(f"prefix sums of {of}", "select *, $s from $r", s=total, r=query.table(cumulated))

    def _passed(self, of: str, placed: str, prefix: str) -> str:
        """For each share that a class reaches: the last rank whose cumulative table share is not above it."""
        shares = self._step(
            f"share points of {of}",
            "select distinct $at, 1 as $c, cast(null as bigint) as $r, cast(null as bigint) as $s from $placed"
            " union all select cast($cumulative_count as double) / (select $table_total from $t), 0, $value_rank,"
            " $cumulative_sum from $prefix",
            at=self._make("$share", "passed_share"), c=self._name("from_class"), r=self._name("passed_rank"),
            s=self._name("passed_sum"), placed=query.table(placed), prefix=query.table(prefix),
            t=query.table(f"total of {of}"),
        )  # fmt: skip
        over = "over (order by $passed_share, $from_class rows between unbounded preceding and current row)"
        running = self._step(
            f"running ranks of {of}", "select $passed_share, $from_class, $r, $s from $p", p=query.table(shares),
            r=self._make(f"max($passed_rank) {over}", "passed_rank"),
            s=self._make(f"max($passed_sum) {over}", "passed_sum"),
        )  # fmt: skip
        sql = "select $passed_share, $passed_rank, $passed_sum from $p where $from_class = 1"
        return self._step(f"passed ranks of {of}", sql, p=query.table(running))

    def _name(self, own: str) -> Expression:
        return query.identifier(self.names[own])

    def _hierarchical(self, measure: Measure) -> str:
        """Σ over inner nodes of height / H · min(positive, negative extras of the children), level by level.

        min(pos, neg) = Σ children max(q − p, 0) + min(p − q of the node, 0): children that do not occur in the class
        need no row. All in integers scaled by class_records · table_total.
        """
        of = measure.column or ""
        relation, height = self.references[of].tree or ("", 0)
        nodes = [f"node {level} of {of}" for level in range(height)]
        counts = [f"table_count {level} of {of}" for level in range(height)]
        whole = [
            named(self._make("cast(sum($table_count) over (partition by $n) as bigint)", n=column(node)), count)
            for node, count in zip(nodes[1:], counts[1:], strict=True)
        ]
        tree = self._step(
            f"tree counts of {of}",
            "select $v, $nodes, $whole from $r left join $t"
            " on cast($table_value as varchar) is not distinct from $leaf",
            f"how often each node of the hierarchy of {of} occurs in the whole table",
            v=self._make("$table_value", "ranked_value"), nodes=[column(node) for node in nodes[1:]], whole=whole,
            r=query.table(f"reference of {of}"), t=query.table(relation), leaf=column(nodes[0]),
        )  # fmt: skip
        own = [*self.keys, self._make("$class_records"), self._make("$table_total")]
        level = self._step(
            f"level 0 of {of}",
            "select $kept, $nodes, $counts, $class_count, $table_count, 0 as $moved,"
            " case when $table_count is null then 1 else 0 end as $missing from $d"
            " left join $t on $value is not distinct from $ranked_value",
            kept=own, nodes=[column(node) for node in nodes[1:]], counts=[column(name) for name in counts[1:]],
            moved=self._name("moved"), missing=self._name("missing"), value=column(of),
            d=query.table(f"distributions of {of}"), t=query.table(tree),
        )  # fmt: skip
        child = "sum(greatest($class_count * $table_total - $table_count * $class_records, 0))"
        node = "least(max($upper) * max($class_records) - sum($class_count) * max($table_total), 0)"
        for depth in range(1, height + 1):
            stay = [column(name) for name in (*nodes[depth:], *counts[depth:])]
            upper = column(counts[depth]) if depth < height else self._make("$table_total")
            level = self._step(
                f"level {depth} of {of}",
                "select $kept, $stay, $f, $p, $m, $u from $level group by $kept, $stay", kept=own, stay=stay,
                f=self._make("cast(sum($class_count) as bigint)", "class_count"),
                p=self._make("$upper", "table_count", upper=upper),
                m=self._make(f"cast(sum($moved) + {depth} * ({child} + {node}) as bigint)", "moved", upper=upper),
                u=self._make("cast(sum($missing) as bigint)", "missing"), level=query.table(level),
            )  # fmt: skip
        share = f"cast($moved as double) / ({height} * $class_records * $table_total)"
        result = self._make(f"case when $missing = 0 then {share} end")
        return self._step(
            f"{measure.name} of {of}", "select $keys, $d from $level",
            "earth mover's distance where values are apart by the height of their lowest common ancestor",
            d=named(result, self._label(measure)), level=query.table(level),
        )  # fmt: skip
