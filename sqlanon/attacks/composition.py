"""Releases of one source put together, without a key of the records: what all of them allow a person.

Ganta, Kasiviswanathan & Smith 2008 called it the intersection attack. A combination is one class of every release such
that every two of them can hold one person at once; what is left are the sensitive values that all its classes hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Literal

from sqlanon.attacks.kinds import NO_FACTS, Attack, Facts, Reached, Start, require, word
from sqlanon.attacks.matching import Side, overlaps, same_values
from sqlanon.attacks.relations import Workings
from sqlanon.hierarchies import Rows
from sqlanon.query import Part, Query, column, every, fragment, table


@dataclass(frozen=True)
class Composition(Attack):
    """Releases of one source are put together: the sensitive values that all of them allow a person are fewer than m.

    Cells of two releases may hold one person if they overlap. `through` cells: every combination of classes that can
    hold one person at once, whether or not there is such a person. `through` targets: the people of the external table,
    each with all values of the classes that can hold them. A person's value must be the same in all releases; where no
    value is left, nobody with one value is in all of them, and that is no breach. Source: Ganta et al. 2008; Xiao & Tao
    2007.
    """

    column: str | None = None
    m: int = 2
    through: Literal["cells", "targets"] = "cells"

    name: ClassVar[str] = "composition"
    paper: ClassVar[str] = "Ganta et al. 2008; Xiao & Tao 2007"

    def __post_init__(self) -> None:
        require(self.m >= 2, "m must be at least 2")
        require(self.through in ("cells", "targets"), "through is cells or targets")

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("sensitive", "others", *(("external",) if self.through == "targets" else ()))

    def start(self, worst: float) -> Start:
        return Start("m", ">", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"m-invariance(column={word(self.column or '')}, m={self.m})"


def through_cells(
    attack: Composition, work: Workings, sides: Sequence[Side], hierarchies: Mapping[str, Rows]
) -> Reached:
    """The combinations of classes that leave 1 to m − 1 values; records and classes are those of the first release."""
    steps, notes = _combinations(work, sides, hierarchies)
    names = [f"c{i}" for i in range(len(sides))]
    joins = "join $v0 as v0 on v0.id = c.c0"
    values: dict[str, Part] = {f"v{i}": table(one.fine) for i, one in enumerate(sides)}
    for i in range(1, len(sides)):
        joins += f" join $v{i} as v{i} on v{i}.id = c.c{i} and $same{i}"
        values[f"same{i}"] = same_values(sides, "v0", f"v{i}")
    kept = fragment(
        f"select $names, count(*) as n from combinations as c {joins} group by $names",
        {**values, "names": [column(name, "c") for name in names]},
    )
    steps = steps.then("kept", kept, "how many sensitive values each combination leaves")
    sql = (
        "select (select min(n) from kept), (select count(*) from combinations),"
        " (select count(*) from kept where n < $m), count(*), cast(coalesce(sum(a.n), 0) as bigint) from $t as a"
        " where a.id in (select c0 from kept where n < $m)"
    )
    told = fragment(sql, m=attack.m, t=table(sides[0].table))
    ((worst, all_combinations, breached, classes, records),) = work.engine.run("compose", steps.then("told", told))
    details = {"combinations": int(all_combinations), "combinations_breached": int(breached)}
    return Reached(worst, int(classes), int(records), details=details, notes=notes)


def _combinations(
    work: Workings, sides: Sequence[Side], hierarchies: Mapping[str, Rows]
) -> tuple[Query, tuple[str, ...]]:
    """`combinations`: one class of every release, every two of which overlap."""
    found = {
        (i, j): overlaps(work, sides[i], sides[j], hierarchies, f"{sides[i].where} and {sides[j].where}")
        for i, j in combinations(range(len(sides)), 2)
    }
    notes = tuple(dict.fromkeys(note for one in found.values() for note in one.notes))
    picked, joins = ["o0_1.l as c0", "o0_1.r as c1"], "from $o0_1 as o0_1"
    for j in range(2, len(sides)):
        joins += f" join $o0_{j} as o0_{j} on o0_{j}.l = o0_1.l"
        for i in range(1, j):
            joins += f" join $o{i}_{j} as o{i}_{j} on o{i}_{j}.l = o0_{i}.r and o{i}_{j}.r = o0_{j}.r"
        picked.append(f"o0_{j}.r as c{j}")
    parts = {f"o{i}_{j}": table(one.table) for (i, j), one in found.items()}
    made = fragment(f"select {', '.join(picked)} {joins}", parts)
    return Query(()).then("combinations", made, "one class of every release, that can hold one person at once"), notes


def through_targets(
    attack: Composition, work: Workings, people: Side, sides: Sequence[Side], hierarchies: Mapping[str, Rows]
) -> Reached:
    """The people of an external table to whom all releases together leave 1 to m − 1 values."""
    found = [overlaps(work, people, one, hierarchies, f"{people.where} and {one.where}") for one in sides]
    steps, first = Query(()), found[0].table
    for i, (one, met) in enumerate(zip(sides, found, strict=True)):
        sql = "select distinct m.l as id, v.more as more from $found as m join $fine as v on v.id = m.r"
        allowed = fragment(sql, found=table(met.table), fine=table(one.fine))
        steps = steps.then(f"allowed {i}", allowed, "the sensitive values that a release allows each person")
    joins = "from $a0 as a0"
    allowed_by: dict[str, Part] = {f"a{i}": table(f"allowed {i}") for i in range(len(sides))}
    for i in range(1, len(sides)):
        joins += f" join $a{i} as a{i} on a{i}.id = a0.id and $same{i}"
        allowed_by[f"same{i}"] = same_values(sides, "a0", f"a{i}")
    steps = steps.then("kept", fragment(f"select a0.id as id, count(*) as n {joins} group by a0.id", allowed_by))
    there = every(fragment(f"p.id in (select id from $a{i})", allowed_by) for i in range(len(sides)))
    sql = (
        "select min(v.n), cast(coalesce(sum(p.n) filter (where v.n < $m), 0) as bigint), cast(sum(p.n) as bigint),"
        " cast(coalesce(sum(p.n) filter (where $there), 0) as bigint),"
        " cast(coalesce(sum(p.n) filter (where v.n = 1), 0) as bigint),"
        " (select count(distinct f.r) from $found as f join kept as v on v.id = f.l where v.n < $m)"
        " from $people as p left join kept as v on v.id = p.id"
    )
    told = fragment(sql, m=attack.m, there=there, found=table(first), people=table(people.table))
    ((worst, records, total, matched, learnt, classes),) = work.engine.run("compose", steps.then("told", told))
    details = {"matched": int(matched), "learnt": int(learnt), "columns": list(people.cells)}
    notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
    return Reached(worst, int(classes), int(records), int(total), details=details, notes=notes)
