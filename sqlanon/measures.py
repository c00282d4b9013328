"""What can be measured on a relation, and the shapes of the relations. `chain` computes what is named here.

| relation | one row per | columns |
| --- | --- | --- |
| `recoded` (or any rows) | record | after recoding |
| `distributions` | class × sensitive value that occurs in it | `class_count`; where asked `class_records`, \
`table_count`, `table_total`, `table_distinct`, `frequency_rank` |
| `distributions … by …` | class × group of sensitive values that occurs in it | `class_count`, `value_count`, \
`group_place`, `groups`, `unknown` |
| `classes` | equivalence class | quasi-identifiers, `class_records`, `class_size` (persons where there is an entity) |
| `measured` | class | `classes` and one column per measure |

A `Measure` is one number per class: an aggregate over that class's rows of `distributions` (or of `classes`). All the
measures that are asked for share one chain, and so one pass over the records. `distributions` is sparse: values that
do not occur in a class have no row, and the distances account for them in closed form. A missing value is a value,
equal to itself.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction

from sqlanon import query
from sqlanon.margins import Margin


@dataclass(frozen=True)
class Grouping:
    """How sensitive values are taken together: by their ancestor at a `level` of the hierarchy, or `protected` nodes.

    Under protected nodes, a value belongs to the lowest of them that is above it or is itself, and else stays itself.
    """

    level: int | None = None
    protected: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"level {self.level}" if self.level is not None else f"protected nodes {_short(self.protected)}"


@dataclass(frozen=True)
class Measure:
    """One number per equivalence class.

    `sql` is an aggregate in house SQL over one class's rows of `distributions` (of `classes` where `column` is None),
    or of `distributions … by …` where there is a `grouping`; its `$names` are the columns listed in this module.
    `steps` names a measure that needs steps of its own, with its `arguments`.
    """

    name: str
    sql: str = ""
    column: str | None = None
    grouping: Grouping | None = None
    steps: str | None = None
    arguments: tuple[object, ...] = ()

    @property
    def label(self) -> str:
        by = f" by {self.grouping}" if self.grouping else ""
        return f"{self.name} of {self.column}{by}" if self.column else self.name


def class_size() -> Measure:
    """Records (persons where there is an entity) in the class; k-anonymity's k (Samarati & Sweeney 1998)."""
    return Measure("class_size")


def class_records() -> Measure:
    """Records in the class, whoever they are about."""
    return Measure("class_records")


def population() -> Measure:
    """Records of the population table that share the class's quasi-identifiers; 0 where there is none."""
    return Measure("population", steps="population")


def population_classes() -> Measure:
    """Equivalence classes of the population table: the same number for every class."""
    return Measure("population_classes", steps="population")


def distinct(of: str) -> Measure:
    """Different sensitive values in the class (Machanavajjhala et al. 2007, distinct l-diversity)."""
    return Measure("distinct", "count(*)", of)


def entropy(of: str) -> Measure:
    """Shannon entropy of the class's sensitive values, in nats (Machanavajjhala et al. 2007, definition 4.1)."""
    sql = "greatest(ln(sum($class_count)) - sum($class_count * ln($class_count)) / sum($class_count), 0)"
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


def spread(of: str) -> Measure:
    """N² · V of the class, a whole number: V is the variance of its values' ranks by frequency (Khan et al. 2020).

    With frequencies f(1) ≥ … ≥ f(d) and N = Σ f, N² · V = N · Σ f(i) i² − (Σ f(i) i)².
    """
    counted = "cast($class_count as decimal(38, 0))"
    ranked = f"sum({counted} * $frequency_rank)"
    squared = f"sum({counted} * $frequency_rank * $frequency_rank)"
    return Measure("spread", f"sum({counted}) * {squared} - {ranked} * {ranked}", of)


def span(of: str) -> Measure:
    """The largest sensitive value of the class less its smallest; missing ones are left out (Zhang et al. 2007)."""
    return Measure("span", "max($number) - min($number)", of)


def neighbours(of: str, epsilon: Fraction, relative: bool) -> Measure:
    """The most records of the class whose value is within ε of one record's, itself included (Li, Tao, Xiao 2008).

    Absolute: [x − ε, x + ε]; relative: [x − ε|x|, x + ε|x|]. Records without a value are near each other alone.
    """
    kind = "relative" if relative else "absolute"
    return Measure(f"neighbours within {epsilon} {kind}", column=of, steps="neighbours", arguments=(epsilon, relative))


def predictable(
    of: str, margin: Margin | None, threshold: Fraction | str, above: bool, what: str = "violations"
) -> Measure:
    """The records of the class whose value can be predicted as surely as their threshold, or surer (Neumann 2019).

    `threshold` is one share, or the column that holds each record's. `what` is told: the `violations`, or the largest
    `share` of the class within the margin of one of its values. See `prediction`; a value without a place on the line
    (infinite, beyond 1e25) and a value without a threshold are violations.
    """
    limit = f"above {threshold}" if above else str(threshold)
    return Measure(
        f"{what} within {margin or 0} at {limit}", column=of, steps="predictable",
        arguments=(margin, threshold, above, what),
    )  # fmt: skip


def predictable_by_any(of: str, margin: Margin | None, threshold: Fraction | str, above: bool) -> Measure:
    """Not a number but a relation: one row per observer of some of the quasi-identifiers, with its `violations`."""
    return Measure(
        f"observers within {margin or 0} at {'above ' * above}{threshold}", column=of, steps="observers",
        arguments=(margin, threshold, above),
    )  # fmt: skip


def groups_present(of: str, grouping: Grouping) -> Measure:
    """Different groups of sensitive values in the class; missing where a value is unknown to the hierarchy."""
    return Measure("groups", "case when max($unknown) = 0 then count(*) end", of, grouping)


def top_group_count(of: str, grouping: Grouping) -> Measure:
    """Records in the class's most frequent group of sensitive values; missing where a value is unknown."""
    return Measure("top group count", "case when max($unknown) = 0 then max($class_count) end", of, grouping)


def group_imbalance(of: str, grouping: Grouping) -> Measure:
    """The most frequent group's records less the rarest present group's; missing where a value is unknown."""
    sql = "case when max($unknown) = 0 then max($class_count) - min($class_count) end"
    return Measure("group imbalance", sql, of, grouping)


def weight(of: str, grouping: Grouping, per_record: bool) -> Measure:
    """Σ (i − 1) over the class's distinct values (records), i being the place of the value's group.

    The most sensitive group is the first. Divided by (number of groups − 1) it is the weight of (p,α)-sensitivity (Sun
    et al. 2011). A missing value weighs 0.
    """
    counted = "$class_count" if per_record else "$value_count"
    sql = f"case when max($unknown) = 0 then sum({counted} * $group_place) end"
    return Measure(f"weight per {'record' if per_record else 'value'}", sql, of, grouping)


def group_steps(of: str, grouping: Grouping) -> Measure:
    """Number of groups − 1: what weights are divided by."""
    return Measure("group steps", "max($groups) - 1", of, grouping)


def distance(of: str, kind: str) -> Measure:
    """Earth mover's distance of class and table, 0..1 (Li et al. 2007): `equal`, `ordered` or `hierarchical`."""
    if kind == "equal":
        surplus = "greatest($class_count * $table_total - coalesce($table_count, 0) * $class_records, 0)"
        sql = f"sum({surplus}) / cast(max($class_records * $table_total) as double)"
        return Measure("equal distance", sql, of)
    return Measure(f"{kind} distance", column=of, steps=kind)


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


def log_ratio(of: str) -> Measure:
    """max |log₂(q / p)| over all values of the table; missing (for infinite) where one does not occur in the class.

    Source: Brickell & Shmatikov 2008, δ-disclosure privacy, which speaks of every value of the table.
    """
    ratio = "cast($class_count as double) * $table_total / nullif(cast($table_count as double) * $class_records, 0)"
    present = "count(*) = max($table_distinct) and min(coalesce($table_count, 0)) > 0"
    return Measure("log ratio", f"case when {present} then max(abs(ln({ratio}))) / ln(2) end", of)


def breach(of: str, guard: str) -> Measure:
    """The largest share of the class's records whose value lies under one record's guarding node (Xiao & Tao 2006).

    A value that is itself a node counts with the share of its leaves that lie under the guarding node. Missing where a
    value or a guarding node is unknown to the hierarchy.
    """
    return Measure(f"breach by {guard}", column=of, steps="breach", arguments=(guard,))


def itemsets(of: str, size: int, separator: str | None = None) -> Measure:
    """Not a number but a relation: class × set of up to `size` items of a set-valued column, with its records.

    The column is a list, or a text whose items are parted by `separator`.
    """
    return Measure(f"itemsets up to {size}", column=of, steps="itemsets", arguments=(size, separator))
