"""Removal of violations: blanks as many sensitive values as it takes until none can be predicted too well.

Only the sensitive cell is blanked, never the record. Each set (see `prediction`) is planned on its histogram by a pure
function of `udfs/removal.py`, which sees ranks and counts and no value; the engine applies the plan by a join. With
several subsets of the fields, they are gone through until none of them has a violation: what is blanked for one
observer makes the sets of another smaller, and so may make new violations there. It ends, because each turn blanks at
least one value. Source: Neumann, Grace, Burns & Surridge 2019, Algorithm 2 (reference: models, 3.3).

*Leaves*: that a value is missing tells that it was easy to predict; who knows the method can guess that it was near
others of its set. Which of several like records is blanked follows from their other columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from sqlanon import query
from sqlanon.errors import SpecError
from sqlanon.prediction import CELLS, DEFAULT_THRESHOLD, Cells, Risk, judged
from sqlanon.query import Expression, Query, column, fragment, named, table
from sqlanon.udfs import removal
from sqlanon.udfs.removal import SMALL, Ints, Set

Method = Literal["iteration", "greedy", "minimum"]
METHODS: tuple[Method, ...] = ("iteration", "greedy", "minimum")


def method(word: str | None) -> Method | None:
    """The way that a word names. Raises `SpecError`."""
    found = next((known for known in METHODS if known == word), None)
    if found is None and word is not None:
        raise SpecError("there is no such way to remove", where="--remove", found=word, allowed=METHODS)
    return found


_SETS, _PLANNED = "sqlanon sets", "sqlanon planned"


@dataclass(frozen=True)
class Removal:
    """What was blanked: Nv is the violations `before` (per subset of the fields), Rv is `removed`.

    `beyond` counts the sets that were too large for an exact minimum and were planned greedily.
    """

    method: str
    before: tuple[Risk, ...]
    after: tuple[Risk, ...]
    removed: int
    beyond: int = 0

    @property
    def violations(self) -> int:
        """Nv, of the subset that has most."""
        return max((risk.violations for risk in self.before), default=0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method, "violations": self.violations, "removed": self.removed, "beyond": self.beyond,
            "before": [risk.to_dict() for risk in self.before], "after": [risk.to_dict() for risk in self.after],
        }  # fmt: skip


def remove(
    cells: Cells,
    subsets: Sequence[Sequence[str]],
    method: Method,
    *,
    seed: int = 0,
    default: Fraction = DEFAULT_THRESHOLD,
    known: Sequence[Risk] = (),
) -> Removal:
    """Blanks values in the counted cells until no observer of any of these subsets of the fields has a violation.

    `default` is the paper's t₀ where thresholds differ. `known` are the risks of these subsets in the cells as they
    are now, where somebody has measured all of them already. The cells say in `removed` how many records of each were
    blanked; `blanked` puts that into the records. Raises `EngineError`.
    """
    constant = cells.target.threshold.constant
    plan = _planner(method, constant if constant is not None else default, seed)
    before = tuple(known or (cells.risk(subset) for subset in subsets))
    if [risk.fields for risk in before] != [tuple(subset) for subset in subsets]:
        raise AssertionError("what is known is about other observers")
    left, beyond = list(before), 0
    while any(risk.violations for risk in left):
        for risk in left:
            if risk.violations:
                beyond += _remove(cells, risk.fields, plan)
        left = [cells.risk(subset) for subset in subsets]
    ((removed,),) = cells.engine.run(
        "count what was removed", fragment("select coalesce(sum(removed), 0) from $cells", cells=table(CELLS))
    )
    return Removal(method, before, tuple(left), int(removed), beyond if method == "minimum" else 0)


Plan = Callable[[Set], list[int]]


def _planner(method: Method, default: Fraction, seed: int) -> Plan:
    def plan(found: Set) -> list[int]:
        small = method == "minimum" and sum(found.counts) <= SMALL
        planned: list[int]
        if method == "iteration":
            planned = removal.iteration(found, default, str(seed))
        else:
            planned = removal.minimum(found) if small else removal.greedy(found)
        return planned

    return lru_cache(maxsize=100_000)(plan)  # small sets repeat


# -- one subset --------------------------------------------------------------------------------------------------------


def _remove(cells: Cells, fields: Sequence[str], plan: Plan) -> int:
    """One turn for one subset; returns how many sets were beyond the exact search."""
    engine = cells.engine
    try:
        engine.temporary("number the sets", _SETS, _numbered(cells, fields))
        found = engine.arrays("read the sets", fragment(
            'select "set", first, last, records, kind, violates from $sets order by cell', sets=table(_SETS)
        ))  # fmt: skip
        if not len(found["set"]):  # what was blanked for an observer before may have helped against this one too
            return 0
        taken, beyond = _planned(_thresholds(cells), found, cells.target.threshold.above, plan)
        chosen = np.flatnonzero(taken)
        if not len(chosen):
            raise AssertionError("a plan for a set with violations blanks at least one value")
        engine.numbers("write the plan", _PLANNED, {"cell": (chosen + 1).tolist(), "taken": taken[chosen].tolist()})
        engine.temporary("blank the values", CELLS, _applied(cells, fields))
        return beyond
    finally:
        engine.drop_temporary(_SETS, _PLANNED)


def _numbered(cells: Cells, fields: Sequence[str]) -> Query:
    """The cells of the violating sets in order, with the ranks of the cells within reach of each."""
    keys, own = cells.keys(fields), cells.thresholds
    lower, upper = cells.asked.line.frame
    by = {f"k{i}": node for i, node in enumerate([*keys, column("value"), *own])}
    order = ", ".join(f"${name}" for name in by)
    of = ", ".join(f"$k{i}" for i in range(len(keys)))
    upto, window = "over (partition by $keys order by value range between", "over (partition by $keys)"
    marked = fragment(
        f"select *, sum(case when violates then 1 else 0 end) {window} as violating,"
        f" count(*) {upto} unbounded preceding and {upper}) - 1 as last,"
        f" count(*) {window} - count(*) {upto} {lower} and unbounded following) as first from judged",
        keys=keys, reach=cells.asked.line.reach,
    )  # fmt: skip
    numbered = fragment(
        f'select *, {f"dense_rank() over (order by {of})" if keys else "1"} as "set",'
        f" row_number() over (order by {order}) as cell,"
        f" {'dense_rank() over (order by threshold)' if own else '1'} as kind from marked where violating > 0",
        by,
    )  # fmt: skip
    steps = cells.near(fields).then("judged", judged("near", cells.target.threshold))
    return steps.then("marked", marked).then("numbered", numbered)


def _thresholds(cells: Cells) -> list[tuple[int, int]]:
    """The different thresholds of the violating sets, in order."""
    constant = cells.target.threshold.constant
    if constant is not None:
        return [(constant.numerator, constant.denominator)]
    sql = "select distinct kind, cast(threshold as varchar) from $sets order by kind"
    rows = cells.engine.run("read the thresholds", fragment(sql, sets=table(_SETS)))
    return [(share.numerator, share.denominator) for share in (Fraction(text) for _, text in rows)]


def _planned(thresholds: Sequence[tuple[int, int]], found: dict[str, Any], above: bool, plan: Plan) -> tuple[Ints, int]:
    """How many records of each cell to blank; and how many sets were too large for an exact search."""
    first, last, records = (found[name].astype(np.int64) for name in ("first", "last", "records"))
    starts = np.flatnonzero(np.diff(found["set"], prepend=-1))
    ends = np.append(starts[1:], len(records))
    whole = removal.together(first, last, starts, ends)
    taken = np.where(found["violates"], records, 0) * np.repeat(whole, ends - starts)
    beyond = 0
    for start, end in zip(starts[~whole].tolist(), ends[~whole].tolist(), strict=True):
        part = slice(start, end)
        kinds = tuple(thresholds[kind - 1] for kind in found["kind"][part].tolist())
        one = Set(tuple(first[part].tolist()), tuple(last[part].tolist()), tuple(records[part].tolist()), kinds, above)
        beyond += sum(one.counts) > SMALL
        taken[part] = plan(one)
    return taken, beyond


def _applied(cells: Cells, fields: Sequence[str]) -> Query:
    """`cells` after the plan: what is taken from a cell of the subset is taken from its parts, one after the other."""
    shared = [*(node.name for node in cells.keys(fields)), "value", *(node.name for node in cells.thresholds)]
    others = cells.keys([name for name in cells.fields if name not in fields]) or [column("value")]
    by = {f"o{i}": node for i, node in enumerate(others)}
    order = ", ".join(f"${name}" for name in by)
    keys = [column(name) for name in shared]
    plan = fragment(
        "select s.*, p.taken from $s as s join $p as p on s.cell = p.cell", s=table(_SETS), p=table(_PLANNED)
    )
    kept = [column(name, CELLS) for name in (*(f"field {i}" for i in range(len(cells.fields))), "value", "infinite")]
    kept += [column(name, CELLS) for name in ("records", "removed", *(node.name for node in cells.thresholds))]
    joined = query.joined(
        query.select([*kept, fragment("coalesce(plan.taken, 0) as taken")], CELLS), "plan",
        query.every([query.same(shared, CELLS, "plan"), fragment("$v is not null", v=column("value", CELLS))]), "left",
    )  # fmt: skip
    before = fragment(
        f"select *, taken - (sum(records) over (partition by $keys order by {order}"
        " rows between unbounded preceding and current row) - records) as wanted from joined",
        by, keys=keys,
    )  # fmt: skip
    now = "cast(greatest(least(wanted, records), 0) as bigint)"
    names = [column(node.name) for node in kept if node.name not in ("records", "removed")]
    after = fragment(f"select $names, records - {now} as records, removed + {now} as removed from parts", names=names)
    return Query(()).then("plan", plan).then("joined", joined).then("parts", before).then("after", after)


# -- putting it into the records ---------------------------------------------------------------------------------------


def blanked(cells: Cells) -> Query:
    """The steps that end in the records with the removed values blanked, all other cells as they were.

    Reads the working table of the cells, so it runs while they are there. The records of a cell are alike in all that
    matters here; those that come first by their other columns are blanked.
    """
    records, asked, of = cells.records, cells.asked, cells.target.column
    taken = {*records.columns}
    place, value, threshold = (query.fresh(name, taken) for name in ("place", "value of the record", "its threshold"))
    rest = [name for name in records.columns if name not in (*cells.fields, of)] or [of]
    within = [column(name) for name in (*cells.fields, value)] + ([column(threshold)] if asked.threshold else [])
    order = ", ".join(f"$o{i}" for i in range(len(rest)))
    own = [column(name, records.relation) for name in records.columns]
    helping = [named(asked.value, value)] + ([named(asked.threshold, threshold)] if asked.threshold else [])
    valued = asked.joined(query.select([*own, *helping], records.relation))
    placed = fragment(
        f"select *, row_number() over (partition by $within order by {order}) as $place from valued",
        {f"o{i}": column(name) for i, name in enumerate(rest)}, within=within, place=query.identifier(place),
    )  # fmt: skip
    pairs = [(column(name, "placed"), key) for name, key in zip(cells.fields, _at(cells), strict=True)]
    pairs.append((column(value, "placed"), column("value", CELLS)))
    if asked.threshold:
        pairs.append((column(threshold, "placed"), column("threshold", CELLS)))
    on = query.every([fragment("$a is not distinct from $b", a=a, b=b) for a, b in pairs])
    # CASE alone would lose the digits that the column was declared with, on Postgres.
    cell = fragment(
        "nullif($x, case when $place <= coalesce($removed, 0) then $x end)",
        place=column(place, "placed"), removed=column("removed", CELLS), x=column(of, "placed"),
    )  # fmt: skip
    columns = [named(cell, of) if name == of else column(name, "placed") for name in records.columns]
    after = query.joined(query.select(columns, "placed"), CELLS, on, "left")
    return asked.steps.then("valued", valued).then("placed", placed).then("blanked", after)


def _at(cells: Cells) -> list[Expression]:
    return [column(f"field {i}", CELLS) for i in range(len(cells.fields))]
