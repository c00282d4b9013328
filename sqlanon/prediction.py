"""How well a sensitive value can be predicted from the fields that an observer has.

For a record with value v, its *set* S is the records with the same values in the observer's fields and a value that is
there; its *share* is m / |S|, where m counts the records of S whose value is within the margin of v, the record itself
among them. The record is a *violation* where its share is at least its threshold (above it, if asked so). Source:
Neumann, Grace, Burns & Surridge, Journal of Internet Services and Applications 10:1, 2019, Algorithm 1 (reference:
models, 3.1, 3.2). The count is not monotone: more fields can lower it, so every subset of the fields is measured.

| relation | one row per | columns |
| --- | --- | --- |
| `cells` | combination of all fields × value × threshold that occurs | `field i`, `value`, `threshold`, `records`, \
`removed` (what `removal` has blanked) |
| `near`, `judged` | the same for a subset of the fields | and `near` (m), `size` (\\|S\\|), `violates`, `tenth` |
| `sets` | set | `size`, `violations`, `highest` (the largest m) |

`cells` is made once, in one pass over the records; each subset rolls it up and runs one window over the result.
Nothing is compared as a binary float: numbers lie on a decimal line, times on one of whole microseconds, thresholds
are fractions.

As a privacy model `value-prediction(column, margin, threshold)`: its measures per class are `violations` and
`highest` of `sets`, over `distributions of COLUMN` with `class_count` for `records` (functions `near`, `judged` and
`sets`, given those names); it holds where violations = 0. It is not monotone, with or without suppression: the union
of two classes without violations may have some, and the reverse.

*Leaves*: who the record is about; values that are rare in S; what the missing values would have been.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlanon import policies, query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.margins import NUMERIC, Line, Margin, digits_of, line, share, unbounded
from sqlanon.measuring import windows
from sqlanon.policies import Policy
from sqlanon.query import Expression, Query, Text, column, fragment, named, table

# The paper's default threshold: of a pragmatist, for a normal field.
DEFAULT_THRESHOLD = Fraction(9, 10)
BINS = 10

CELLS = "sqlanon cells"


# -- what is asked -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Threshold:
    """When a share is a violation: one share for all, a column that holds each record's, or a policy."""

    constant: Fraction | None = None
    column: str | None = None
    policy: Policy | None = None
    above: bool = False  # only what is above it is a violation, as the paper's glossary has it

    def __post_init__(self) -> None:
        if [self.constant, self.column, self.policy].count(None) != 2:
            raise ValueError("a threshold is one of constant, column and policy")

    def to_dict(self) -> dict[str, Any]:
        said = self.column or (self.policy.to_dict() if self.policy else str(self.constant))
        return {"threshold": said, "comparison": ">" if self.above else ">="}


def threshold(
    constant: Fraction | Decimal | float | str | None = None, column: str | None = None, policy: Policy | None = None,
    *, above: bool = False,
) -> Threshold:  # fmt: skip
    """One of a share, a column and a policy; none is the paper's default, 0.9. Raises `SpecError`."""
    if [constant, column, policy].count(None) < 2:
        raise SpecError("a threshold is one share, a column or a policy", where="threshold")
    if column is None and policy is None:
        return Threshold(DEFAULT_THRESHOLD if constant is None else share(constant), above=above)
    return Threshold(column=column, policy=policy, above=above)


@dataclass(frozen=True)
class Target:
    """The sensitive column that somebody tries to predict, how near counts as a hit, and when that is too sure."""

    column: str
    margin: Margin | None = None
    threshold: Threshold = Threshold(DEFAULT_THRESHOLD)


# -- the steps, in SQL -------------------------------------------------------------------------------------------------


def near(
    relation: str, keys: Sequence[Expression], reach: Line, *, value: Expression, records: Expression,
    more: Sequence[Expression] = (),
) -> Expression:  # fmt: skip
    """`near`: for each row of a histogram, the records of its set within reach of its value, and those of the set."""
    return fragment(
        "select $keys, $more, $records as records, $near as near, $size as size from $relation",
        keys=list(keys), more=list(more), records=records, relation=table(relation),
        near=windows.within(keys, reach, value=value, records=records), size=windows.size(keys, records),
    )  # fmt: skip


def violates(threshold: Threshold) -> Expression:
    """The condition on a row of `near`, in whole numbers and decimals."""
    limit = column("threshold") if threshold.constant is None else threshold.constant
    return windows.violates(column("near"), column("size"), limit, above=threshold.above)


_TENTH = f"least(floor(cast({BINS} * near as double) / size), {BINS - 1})"
_TENTHS = ", ".join(
    f"coalesce(sum(records) filter (where tenth = {i}), 0) as tenth_{i}" for i in range(BINS)
)  # one text, so that it is parsed once
_TOTALS = ", ".join(f"cast(coalesce(sum(tenth_{i}), 0) as bigint)" for i in range(BINS))


def judged(relation: str, threshold: Threshold) -> Expression:
    """`judged`: `near`, and of each row whether its records are violations and which tenth their share is in."""
    sql = f"select *, $violates as violates, {_TENTH} as tenth from $relation"
    return fragment(sql, violates=violates(threshold), relation=table(relation))


def sets(relation: str, keys: Sequence[Expression]) -> Expression:
    """`sets`: per set its size, its violations, its largest share, and how many records have which share, in tenths."""
    return fragment(
        "select $keys, size, coalesce(sum(records) filter (where violates), 0) as violations, max(near) as highest,"
        f" {_TENTHS} from $relation group by $keys, size",
        keys=list(keys), relation=table(relation),
    )  # fmt: skip


def _totals(relation: str) -> Expression:
    return fragment(
        "select cast(coalesce(sum(size), 0) as bigint), count(*), cast(coalesce(sum(violations), 0) as bigint),"
        f" count(*) filter (where violations > 0), max(cast(highest as double) / size), {_TOTALS} from $relation",
        relation=table(relation),
    )  # fmt: skip


# -- measuring ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Risk:
    """What an observer of some fields comes to: records with a value, sets, violations, and how sure of how many.

    `highest` is the largest share, None where no record has a value; `tenths[i]` counts the records whose share is from
    i/10 up to below (i + 1)/10, the last one up to 1.
    """

    fields: tuple[str, ...]
    records: int
    sets: int
    violations: int
    sets_violating: int
    highest: float | None
    tenths: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "fields": list(self.fields), "records": self.records, "sets": self.sets, "violations": self.violations,
            "sets_violating": self.sets_violating, "highest": self.highest, "tenths": list(self.tenths),
        }  # fmt: skip


@dataclass(frozen=True)
class Records:
    """Where the records are: steps that end in `relation`, the types of its columns, and the folder of its files."""

    query: Query
    relation: str
    columns: Mapping[str, Column]
    base: Path = Path()


@dataclass(frozen=True)
class Asking:
    """A target, resolved: the steps up to the records, and each record's value and threshold as expressions.

    `threshold` is None where one holds for all; `on` joins the policy table where there is one.
    """

    line: Line
    steps: Query
    value: Expression
    infinite: Expression
    threshold: Expression | None
    on: Expression | None

    def joined(self, tree: Expression) -> Expression:
        """A SELECT from the records, with the policies beside them where that is needed."""
        return tree if self.on is None else query.joined(tree, policies.TABLE, self.on, "left")


@dataclass(frozen=True)
class Cells:
    """The histogram of a relation over all fields, its values and thresholds, in a working table; see `cells`.

    `rows` are the records, `missing` those of them without a value.
    """

    engine: Engine
    records: Records
    asked: Asking
    fields: tuple[str, ...]
    target: Target
    rows: int
    missing: int

    def keys(self, fields: Sequence[str]) -> list[Expression]:
        """The columns of `cells` in which these fields stand."""
        return [column(f"field {self.fields.index(name)}") for name in fields]

    @property
    def thresholds(self) -> list[Expression]:
        """The column that holds the thresholds, if they differ."""
        return [] if self.target.threshold.constant is not None else [column("threshold")]

    def near(self, fields: Sequence[str]) -> Query:
        """The steps `subset` and `near` for some of the fields."""
        keys, more = self.keys(fields), [column("value"), *self.thresholds]
        rolled = fragment(
            "select $keys, $more, cast(sum(records) as bigint) as records from $cells where value is not null"
            " and records > 0 group by $keys, $more",
            keys=keys, more=more, cells=table(CELLS),
        )  # fmt: skip
        found = near("subset", keys, self.asked.line, value=column("value"), records=column("records"), more=more)
        return Query(()).then("subset", rolled).then("near", found)

    def risk(self, fields: Sequence[str]) -> Risk:
        """The risk of an observer who has these fields. Raises `EngineError`."""
        steps = self.near(fields).then("judged", judged("near", self.target.threshold))
        steps = steps.then("sets", sets("judged", self.keys(fields)))
        ((records, count, violations, violating, highest, *tenths),) = self.engine.run(
            "measure what can be predicted", steps.then("totals", _totals("sets"))
        )
        return Risk(tuple(fields), records, count, violations, violating, highest, tuple(tenths))


def records_of(engine: Engine, origin: Origin, base: Path = Path()) -> Records:
    """The records of a table, view, file or frame. Raises `SpecError` where it is not there."""
    found = {c.name: c for c in engine.columns(origin)}
    listed = ", ".join(_plain(engine.rendered(query.identifier(name)), c) for name, c in found.items())
    steps = Query(()).then("source", Text(f"SELECT {listed}\nFROM {engine.origin(origin)} AS s"), inline=True)
    return Records(steps, "source", found, base)


def _plain(own: str, found: Column) -> str:
    """A column as people read it: texts that look different are different, whatever the column's collation."""
    return f'CAST(s.{own} AS VARCHAR) COLLATE "C" AS {own}' if found.family == "text" else f"s.{own}"


@contextmanager
def cells(engine: Engine, records: Records, fields: Sequence[str], target: Target) -> Iterator[Cells]:
    """Counts the records once, over all fields, values and thresholds; the table is dropped at the end.

    Raises `SpecError` for a column that is not there, a margin that does not fit it, values that are infinite and
    thresholds that are missing or outside 0 to 1; `EngineError`.
    """
    asked = asking(engine, records, fields, target)
    made = {**{f"field {i}": column(name, records.relation) for i, name in enumerate(fields)}, "value": asked.value}
    made |= {"infinite": asked.infinite} | ({} if asked.threshold is None else {"threshold": asked.threshold})
    columns = [named(node, name) for name, node in made.items()]
    counted = [fragment("count(*) as records"), fragment("cast(0 as bigint) as removed")]
    tree = query.select([*columns, *counted], records.relation, group=list(made.values()))
    try:
        engine.temporary("count the records", CELLS, asked.steps.then("cells", asked.joined(tree)))
        rows, missing = _facts(engine, target)
        yield Cells(engine, records, asked, tuple(fields), target, rows, missing)
    finally:
        engine.drop_temporary(CELLS)


def asking(engine: Engine, records: Records, fields: Sequence[str], target: Target) -> Asking:
    """Resolves a target against its records. Raises `SpecError`."""
    _there(records, fields, target)
    reach = line(records.columns[target.column], target.margin)
    said, on, threshold = per_record(engine, records, target)
    at = column(target.column, records.relation)
    finite = fragment(reach.finite, x=at)
    value = fragment(f"case when $f then {reach.value} end", f=finite, x=at)
    infinite = fragment("$x is not null and ($f) is not true", x=at, f=finite)
    return Asking(reach, records.query.join(said), value, infinite, threshold, on)


def _there(records: Records, fields: Sequence[str], target: Target) -> None:
    asked = {"fields": [*fields], "column": [target.column], "threshold": [target.threshold.column or target.column]}
    for where, names in asked.items():
        for name in names:
            if name not in records.columns:
                raise SpecError("the relation has no such column", where=where, found=name, allowed=records.columns)
    if len(set(fields)) < len(fields):
        raise SpecError("a field is named twice", where="fields")
    if target.column in fields:
        raise SpecError("who has the value need not predict it", where="fields", found=target.column)


# Steps before the records are counted, the condition that joins their last one, and each record's threshold.
_PerRecord = tuple[Query, Expression | None, Expression | None]


def per_record(engine: Engine, records: Records, target: Target) -> _PerRecord:
    """The steps, the join and the expression of each record's threshold; no expression where one holds for all."""
    given = target.threshold
    if given.column is not None:
        return Query(()), None, _column_threshold(records.columns[given.column], records.relation)
    if given.policy is None:
        return Query(()), None, None
    if given.policy.table is not None:
        return _with_table(engine, records, given.policy, target.column)
    wrong = next(iter(given.policy.problems(records.columns)), None)
    if wrong is not None:
        place, problem, word, allowed = wrong
        raise SpecError(problem, where=".".join(("policy", *map(str, place))), found=word, allowed=allowed)
    families = {name: c.family for name, c in records.columns.items()}
    return Query(()), None, policies.threshold(given.policy, target.column, records.relation, families)


def _with_table(engine: Engine, records: Records, policy: Policy, of: str) -> _PerRecord:
    key = policy.table.key if policy.table else ""
    if policy.table is None or key not in records.columns:
        raise SpecError(
            "the records lack the key of the policies", where="policy.table.key", found=key, allowed=records.columns
        )
    origin = policy.table.origin(records.base)
    there = {c.name: c for c in engine.columns(origin)}
    said = policies.said(policy, engine.origin(origin), there)
    once = fragment("select count($k), count(distinct $k) from $t", k=column(key), t=table(policies.TABLE))
    ((rows, persons),) = engine.run("read the policies", said.then("persons", once))
    if rows != persons:
        raise SpecError(
            f"{rows - persons} rows of the policy table are about a person who has one already",
            where="policy.table.key", found=key,
        )  # fmt: skip
    families = {name: c.family for name, c in there.items()}
    on = policies.beside(policy, records.relation)
    return said, on, policies.threshold(policy, of, policies.TABLE, families)


def _column_threshold(found: Column, relation: str) -> Expression:
    """A column of thresholds, exactly; a float is read at twelve decimals, downwards: 2/3 stays at most 2/3."""
    read = {
        "decimal": "cast($t as decimal(20, 18))",
        "integer": "cast($t as decimal(20, 18))",
        "float": "cast(cast(floor($t * 1000000000000) as decimal(18, 0)) * 0.000000000001 as decimal(20, 18))",
    }.get(found.family)
    if unbounded(found):  # read downwards, too
        read = "cast(floor($t * 1000000000000000000) * 0.000000000000000001 as decimal(20, 18))"
    if read is None:
        raise SpecError("a column of thresholds holds numbers", where="threshold", found=found.family, allowed=NUMERIC)
    if found.family == "decimal" and digits_of(found)[1] > 18:
        raise SpecError("a column of thresholds has at most 18 decimals", where="threshold", found=found.type)
    return fragment(f"case when $t >= 0 and $t <= 1 then {read} end", t=column(found.name, relation))


def _facts(engine: Engine, target: Target) -> tuple[int, int]:
    per_record = target.threshold.constant is None
    bad = "coalesce(sum(records) filter (where value is not null and threshold is null), 0)" if per_record else "0"
    sql = (
        "select coalesce(sum(records), 0), coalesce(sum(records) filter (where value is null), 0),"
        f" coalesce(sum(records) filter (where infinite), 0), {bad} from $cells"
    )
    ((rows, missing, infinite, without),) = engine.run("read the counts", fragment(sql, cells=table(CELLS)))
    if infinite:
        raise SpecError(f"{infinite} records hold a value that is infinite, no number, or beyond 1e25", where="column",
                        found=target.column)  # fmt: skip
    if without:
        policy = target.threshold.policy
        what = (
            "a word or number that the policy does not know"
            if policy
            else "a threshold that is missing or outside 0 to 1"
        )
        raise SpecError(f"{without} records have {what}", where="policy" if policy else "threshold",
                        allowed=(*policies.WORDS, *policies.LEVELS) if policy else ())  # fmt: skip
    return int(rows), int(missing)
