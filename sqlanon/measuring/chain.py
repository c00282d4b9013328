"""The chain of steps that computes measures: histograms ▸ distributions ▸ classes ▸ measured.

Each sensitive column is grouped with the quasi-identifiers once; everything that is measured of it, and the reference
distribution where the relation is its own reference, is read from that histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sqlanon import query
from sqlanon.margins import Line
from sqlanon.measures import Grouping, Measure
from sqlanon.measuring import distances, neighbourhoods, predictions
from sqlanon.measuring.reference import Reference, group_columns
from sqlanon.query import Expression, Query, column, fragment, fresh, named

# Names that the chain gives to its own columns; each gets underscores where a column of the user's is called so.
_OWN = """
    class_records class_size class_count table_value ranked_value table_count table_total table_distinct frequency_rank
    value_rank cumulative_count cumulative_sum ranks share before next_rank next_before passed_share passed_rank
    passed_sum from_class moved missing number population population_classes value_count group_label
    group_place groups unknown near at_most below kind guard known transaction item
    itemset_count
"""


@dataclass(frozen=True)
class Rows:
    """A relation of records and what its columns are for. `weight`: how many records a row stands for (else one).

    `population` is a relation of population records with the same key columns.
    """

    relation: str
    keys: tuple[str, ...]
    entity: str | None = None
    weight: str | None = None
    population: str | None = None
    population_weight: str | None = None


@dataclass(frozen=True)
class Measured:
    """The chain that ends in `measured`, the column in which each measure stands there, and relations beside it.

    `observed`: where the predictions of any observer are counted, and the line on which the values lie there.
    """

    query: Query
    keys: tuple[str, ...]
    columns: Mapping[str, Expression] = field(default_factory=dict)
    relations: Mapping[str, str] = field(default_factory=dict)
    observed: Mapping[str, tuple[str, Line]] = field(default_factory=dict)

    def at(self, measure: Measure) -> Expression:
        return self.columns[measure.label]


def measured(rows: Rows, measures: Iterable[Measure], references: Mapping[str, Reference]) -> Measured:
    """The steps `distributions …`, `classes`, `measured` over the step or table that `rows` names."""
    return Chain(rows, tuple(dict.fromkeys(measures)), references).build()


def count(rows: Rows) -> Expression:
    """How many records: `count(*)`, or the sum of the weights; always a bigint."""
    return fragment("cast(sum($w) as bigint)", w=column(rows.weight)) if rows.weight else fragment("count(*)")


class Chain:
    """Builds one chain. Its own columns are set in as `$parts`, so that no column of the user's is mistaken for one."""

    def __init__(self, rows: Rows, wanted: tuple[Measure, ...], references: Mapping[str, Reference]) -> None:
        self.rows, self.wanted, self.references = rows, wanted, references
        self.sensitive = tuple(
            dict.fromkeys(m.column for m in wanted if m.column is not None and m.steps != "itemsets")
        )
        guards = {str(a) for m in wanted if m.steps in _READS_MORE for a in m.arguments}
        taken = {
            *rows.keys,
            *self.sensitive,
            *guards,
            rows.entity or "",
            rows.weight or "",
            rows.population_weight or "",
        }
        self.names = {name: fresh(name, taken) for name in _OWN.split()}
        self.own: dict[str, query.Part] = {name: column(label) for name, label in self.names.items()}
        self.keys = [column(key) for key in rows.keys]
        self.query = Query(())
        self.columns: dict[str, Expression] = {}
        self.relations: dict[str, str] = {}
        self.observed: dict[str, tuple[str, Line]] = {}

    def build(self) -> Measured:
        for of in self.sensitive:
            self._distributions(of)
        joined = [self._classes()]
        joined += [self._aggregates(of, None) for of in self.sensitive if of != self._with_classes and self._plain(of)]
        grouped = dict.fromkeys((m.column, m.grouping) for m in self.wanted if m.grouping and m.column)
        joined += [self._grouped(str(of), by) for of, by in grouped if by]
        for measure in self.wanted:
            if measure.steps in _STEPS:
                joined.append(self._with_steps(measure))
            elif measure.steps == "itemsets":
                self.relations[measure.label] = neighbourhoods.itemsets(self, measure)
            elif measure.steps == "observers":
                self.observed[measure.label] = predictions.observers(self, measure)
        joined += [self._population()] if any(m.steps == "population" for m in self.wanted) else []
        self._join(joined)
        return Measured(self.query, self.rows.keys, self.columns, self.relations, self.observed)

    # -- what the steps are made with --------------------------------------------------------------------------------

    def make(self, sql: str, own: str | None = None, **parts: query.Part) -> Expression:
        """A fragment with this chain's names set in; `own` names its column."""
        tree = fragment(sql, {**self.own, "keys": self.keys, **parts})
        return named(tree, self.names[own]) if own else tree

    def step(self, name: str, sql: str, comment: str = "", **parts: query.Part) -> str:
        """Adds a step, unless a measure before needed the same one; its name."""
        if all(step.name != name for step in self.query.steps):
            self.query = self.query.then(name, self.make(sql, None, **parts), comment)
        return name

    def name(self, own: str) -> Expression:
        return query.identifier(self.names[own])

    def label(self, measure: Measure) -> str:
        """The name of the column in which a measure stands."""
        return fresh(measure.label, {*self.rows.keys, *self.names.values()})

    # -- the steps -----------------------------------------------------------------------------------------------------

    @property
    def _with_classes(self) -> str | None:
        """The sensitive column whose distributions give the classes too, so that the records are not grouped again."""
        return None if self.rows.entity else next(iter(self.sensitive), None)

    def _plain(self, of: str, by: Grouping | None = None) -> list[Measure]:
        return [m for m in self.wanted if m.column == of and m.grouping == by and not m.steps]

    def _distributions(self, of: str) -> None:
        """`distributions of s`: one row per class and value that occurs in it, with what its measures read."""
        read = " ".join(m.sql for m in self.wanted if m.column == of and not m.grouping)
        compared = "$table" in read or any(
            m.steps in ("ordered", "hierarchical") for m in self.wanted if m.column == of
        )
        source = self.step(
            f"histogram of {of}",
            "select $keys, $value, $n from $rows group by $keys, $value",
            f"how often each value of {of} occurs in each class",
            value=column(of), n=named(count(self.rows), self.names["class_count"]),
            rows=query.table(self.rows.relation),
        )  # fmt: skip
        if compared:
            self._reference(of)
            source = self.step(
                f"shares of {of}",
                "select * from $h left join $r on $value is not distinct from $table_value cross join $t",
                "beside how often the value occurs in the whole table",
                h=query.table(source), r=query.table(f"reference of {of}"), t=query.table(f"total of {of}"),
                value=column(of),
            )  # fmt: skip
        more: list[Expression] = []
        if compared or any(m.steps == "neighbours" for m in self.wanted if m.column == of):
            more.append(self.make("cast(sum($class_count) over (partition by $keys) as bigint)", "class_records"))
        if "$frequency_rank" in read:
            ranked = "row_number() over (partition by $keys order by $class_count desc, $value)"
            more.append(self.make(ranked, "frequency_rank", value=column(of)))
        if "$number" in read or any(m.steps == "neighbours" for m in self.wanted if m.column == of):
            more.append(named(_number(column(of), self.references[of].family), self.names["number"]))
        sql = "select *, $more from $source" if more else "select * from $source"
        self.step(f"distributions of {of}", sql, more=more, source=query.table(source))

    def _reference(self, of: str) -> None:
        reference = self.references[of]
        own = reference.relation == self.rows.relation
        weighted = Rows(reference.relation, (), weight=self.names["class_count"] if own else reference.weight)
        self.step(
            f"reference of {of}",
            "select $value, $n from $rows group by $s",
            f"the values of {of} in the whole table, before suppression",
            s=column(of), value=named(column(of), self.names["table_value"]),
            n=named(count(weighted), self.names["table_count"]),
            rows=query.table(f"histogram of {of}" if own else reference.relation),
        )  # fmt: skip
        total = self.make("cast(sum($table_count) as bigint)", "table_total")
        self.step(
            f"total of {of}", "select $total, $distinct from $r", total=total,
            distinct=self.make("count(*)", "table_distinct"), r=query.table(f"reference of {of}"),
        )  # fmt: skip

    def _classes(self) -> str:
        """`classes`: their sizes, and the measures of the sensitive column whose distributions they are read from."""
        sizes, source = [named(count(self.rows), self.names["class_records"])], self.rows.relation
        of = self._with_classes
        if self.rows.entity:
            # Records whose entity is missing may all be about one person, so together they count as one.
            persons = "count(distinct $e) + max(case when $e is null then 1 else 0 end)"
            sizes.append(self.make(persons, "class_size", e=column(self.rows.entity)))
        elif of:
            sizes = [
                named(self.make("cast(sum($class_count) as bigint)"), self.names["class_size"]),
                *self._measures(of, None),
            ]
            source = f"distributions of {of}"
        what = "the equivalence classes: records that share every quasi-identifier"
        self.step(
            "classes", "select $keys, $sizes from $rows group by $keys", what, sizes=sizes, rows=query.table(source)
        )
        for own in ("class_records", "class_size"):
            there = own if self.rows.entity else ("class_size" if of else "class_records")
            self.columns[own] = column(self.names[there], "classes")
        if of:
            self._stands(of, None, "classes")
        return "classes"

    def _measures(self, of: str, by: Grouping | None) -> list[Expression]:
        return [named(self.make(m.sql, value=column(of)), self.label(m)) for m in self._plain(of, by)]

    def _stands(self, of: str, by: Grouping | None, step: str) -> None:
        self.columns |= {m.label: column(self.label(m), step) for m in self._plain(of, by)}

    def _aggregates(self, of: str, by: Grouping | None) -> str:
        """`measures of s`: aggregates over each class's rows of `distributions of s`."""
        subject = f"{of} by {by}" if by else of
        step = self.step(
            f"measures of {subject}", "select $keys, $columns from $d group by $keys", columns=self._measures(of, by),
            d=query.table(f"distributions of {subject}"),
        )  # fmt: skip
        self._stands(of, by, step)
        return step

    def _grouped(self, of: str, by: Grouping) -> str:
        """`distributions of s by …`: one row per class and group of values, a value without a group being its own."""
        groups = self.references[of].groups[by]
        leaf, label, place = (column(name, groups) for name in group_columns(of, by))
        count = fragment(
            "(select max($p) + 1 as $n from $g) as t", p=place, n=self.name("groups"), g=query.table(groups)
        )
        joined = self.step(
            f"grouped {of} by {by}",
            "select $keys, $class_count, $label as $l, coalesce($place, 0) as $p, $groups,"
            " case when $value is not null and $leaf is null then 1 else 0 end as $u"
            " from $h left join $g on cast($value as varchar) = $leaf cross join $count",
            value=column(of, f"histogram of {of}"), h=query.table(f"histogram of {of}"), g=query.table(groups),
            leaf=leaf, label=label, place=place, l=self.name("group_label"), p=self.name("group_place"),
            u=self.name("unknown"), count=count,
        )  # fmt: skip
        self.step(
            f"distributions of {of} by {by}",
            "select $keys, $group_label, $records, $values, $p, $n, $u from $joined group by $keys, $group_label",
            f"how often each group of values of {of} occurs in each class", joined=query.table(joined),
            records=self.make("cast(sum($class_count) as bigint)", "class_count"),
            values=self.make("count(*)", "value_count"), p=self.make("max($group_place)", "group_place"),
            n=self.make("max($groups)", "groups"), u=self.make("max($unknown)", "unknown"),
        )  # fmt: skip
        return self._aggregates(of, by)

    def _with_steps(self, measure: Measure) -> str:
        step = _STEPS[measure.steps or ""](self, measure)
        self.columns[measure.label] = column(self.label(measure), step)
        return step

    def _population(self) -> str:
        """`population`: how many records of the population table share each class's quasi-identifiers."""
        relation, weight = self.rows.population or "", self.rows.population_weight
        counted = self.step(
            "population classes", "select $keys, $n from $p group by $keys",
            "how many of the population share each combination of quasi-identifiers", p=query.table(relation),
            n=named(count(Rows(relation, (), weight=weight)), self.names["population"]),
        )  # fmt: skip
        keys = [column(key, "classes") for key in self.rows.keys]
        step = self.step(
            "population", "select $mine, coalesce($population, 0) as $n, (select count(*) from $c) as $all from classes"
            " left join $c on $same", mine=keys, c=query.table(counted), n=self.name("population"),
            all=self.name("population_classes"), same=query.same(self.rows.keys, "classes", counted),
        )  # fmt: skip
        self.columns |= {name: column(self.names[name], step) for name in ("population", "population_classes")}
        return step

    def _join(self, steps: list[str]) -> None:
        keys = [column(key, "classes") for key in self.rows.keys]
        wanted = list({node.sql(): node for node in self.columns.values()}.values())
        tree = query.select([*keys, *wanted], "classes")
        for step in dict.fromkeys(steps[1:]):
            # Left, so that a class without a measure is still a class: what is missing never holds.
            tree = query.joined(tree, step, query.same(self.rows.keys, "classes", step), "left")
        self.query = self.query.then("measured", tree, "every measure of every class")
        self.columns = {label: column(node.name) for label, node in self.columns.items()}


def _number(value: Expression, family: str) -> Expression:
    """A value as an exact decimal (a date as its day), so that a margin's ends are where they are said to be.

    What a decimal cannot hold (infinities, NaN, 10^18 and beyond) has no number.
    """
    sql = {
        "date": "cast($x as date) - cast('1970-01-01' as date)",
        "float": "cast($x as varchar)",  # its shortest text, since a cast would bring the binary fraction's digits in
    }.get(family, "$x")
    inside = "abs(cast($x as double)) < 1e18" if family != "date" else "$x is not null"
    return fragment(f"case when {inside} then cast({sql} as decimal(38, 10)) end", x=value)


_STEPS: dict[str, Callable[[Chain, Measure], str]] = {
    "ordered": distances.ordered,
    "hierarchical": distances.hierarchical,
    "neighbours": neighbourhoods.neighbours,
    "breach": neighbourhoods.breach,
    "predictable": predictions.predictable,
}

# Steps whose arguments name columns beside the keys and the sensitive ones.
_READS_MORE = ("breach", "predictable", "observers")
