"""Attacks with a table from outside: linkage with people who are named, and what a population tells of membership."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from sqlanon.attacks.kinds import NO_FACTS, Attack, Facts, Reached, Start, require
from sqlanon.attacks.matching import Overlaps, Side, overlaps, side
from sqlanon.attacks.relations import Cells, Known, Relation, Workings
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Rows
from sqlanon.models import exact
from sqlanon.query import Query, fragment, table


@dataclass(frozen=True)
class Linkage(Attack):
    """An external table that names people is matched with the relation: a person has fewer than k candidate records.

    Values match cells exactly, or through what a released label can hold. Reported too: the re-identification rate, the
    mean over the people of (their own records among the candidates) / candidates; where nobody can tell whose a record
    is, 1 / candidates is an upper bound of it. Source: Sweeney 2002; El Emam 2013 (marketer).
    """

    k: int = 2

    name: ClassVar[str] = "linkage"
    needs: ClassVar[tuple[str, ...]] = ("external",)
    paper: ClassVar[str] = "Sweeney 2002; El Emam 2013 (marketer)"

    def __post_init__(self) -> None:
        require(self.k >= 2, "k must be at least 2")

    def start(self, worst: float) -> Start:
        return Start("k", ">", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"k-anonymity(k={self.k})"


@dataclass(frozen=True)
class Journalist(Attack):
    """The cells of a class can hold fewer than k people of the population: F < k.

    Source: El Emam 2013 (journalist); Sweeney 2002 (k-map). The population must hold everybody in the relation.
    """

    k: int = 5

    name: ClassVar[str] = "journalist"
    needs: ClassVar[tuple[str, ...]] = ("population",)
    paper: ClassVar[str] = "El Emam 2013 (journalist); Sweeney 2002"

    def __post_init__(self) -> None:
        require(self.k >= 2, "k must be at least 2")

    def start(self, worst: float) -> Start:
        return Start("k", ">", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"k-map(k={self.k})"


@dataclass(frozen=True)
class Membership(Attack):
    """Whether somebody is in the relation at all: N / F of the class that can hold the person is outside [dmin, dmax].

    Records are people of the population; those whom no class can hold are certainly absent (0); of several classes that
    can hold a person the highest N / F counts. Source: Nergiz et al. 2007, δ-presence. The population must hold
    everybody in the relation.
    """

    dmin: float = 0
    dmax: float = 0.5

    name: ClassVar[str] = "membership"
    needs: ClassVar[tuple[str, ...]] = ("population",)
    paper: ClassVar[str] = "Nergiz et al. 2007"

    def __post_init__(self) -> None:
        require(0 <= self.dmin <= 1, "dmin is a share from 0 to 1")
        require(0 <= self.dmax <= 1, "dmax is a share from 0 to 1")
        require(self.dmin <= self.dmax, "dmin must be at most dmax")

    def starts(self, reached: Reached) -> tuple[Start, ...]:
        if reached.worst is None or reached.least is None:
            return ()
        return Start("dmax", "<", reached.worst), Start("dmin", ">", reached.least)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"delta-presence(minimum={self.dmin}, maximum={self.dmax})"


# -- meeting the other table -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meeting:
    """An outside table (`people`) and the relation (`records`), by the columns that both have, and their overlaps."""

    work: Workings
    people: Side
    records: Side
    found: Overlaps

    @property
    def tables(self) -> dict[str, Any]:
        """The `$parts` of what is asked of the two and of their overlaps."""
        made = {"people": self.people.table, "records": self.records.table, "found": self.found.table}
        return {part: table(name) for part, name in made.items()}

    def ask(self, step: str, steps: Query) -> list[tuple[Any, ...]]:
        return self.work.engine.run(step, steps)

    def one(self, step: str, sql: str, **parts: Any) -> tuple[Any, ...]:
        (row,) = self.work.engine.run(step, fragment(sql, {**self.tables, **parts}))
        return row


def shared(known: Known, relation: Relation, cells: Cells, option: str) -> dict[str, str]:
    """The columns of an outside relation by the quasi-identifiers that they are. Raises `SpecError`."""
    for name in known.columns:
        if name not in cells:
            raise SpecError("this is no quasi-identifier of the relation", where=option, found=name, allowed=cells)
    found = dict(known.columns) or {name: name for name in cells if name in relation.columns}
    relation.require(list(found.values()), option)
    if not found:
        told = f"no column of {relation.origin} is called like a quasi-identifier; say which is which: NAME=COLUMN"
        raise SpecError(told, where=option, allowed=cells)
    return found


def meet(
    work: Workings, relation: Relation, cells: Cells, known: Known, outside: Relation, hierarchies: Mapping[str, Rows]
) -> Meeting:
    """Puts an outside table and the relation together. Raises `SpecError`, `Unfit`."""
    columns = shared(known, outside, cells, f"{outside.where}-qi")
    theirs, ours = known.person or (None, None)
    people = side(work, outside, columns, labelled=False, more=theirs)
    records = side(work, relation, {name: cells[name] for name in columns}, labelled=True, more=ours)
    ((count,),) = work.engine.run("count the people", fragment("select count(*) from $p", p=table(people.table)))
    if not count:
        raise SpecError(f"{outside.origin} holds no record", where=outside.where)
    return Meeting(work, people, records, overlaps(work, people, records, hierarchies, outside.where))


# -- what is learnt ----------------------------------------------------------------------------------------------------

_CANDIDATES = (
    "select a.id as id, a.n as n, cast(coalesce(sum(b.n), 0) as bigint) as candidates from $people as a"
    " left join $found as m on m.l = a.id left join $records as b on b.id = m.r group by a.id, a.n"
)


def linkage(attack: Linkage, met: Meeting, *, truth: bool) -> Reached:
    """Candidates per person, in exact numbers. `truth`: whether both tables tell who is who."""
    linked = Query(()).then("linked", fragment(_CANDIDATES, met.tables), "the candidate records of each person")
    sql = "select candidates, cast(sum(n) as bigint) as n from linked group by candidates"
    rows = met.ask("count the candidates", linked.then("histogram", fragment(sql)))
    histogram = {int(candidates): int(n) for candidates, n in rows}
    people = sum(histogram.values())
    expected = sum((Fraction(n, c) for c, n in histogram.items() if c), Fraction(0))
    if truth:
        expected = _hits(met, linked)
    near = f"select count(distinct m.r) from $found as m join linked as a on a.id = m.l where a.candidates < {attack.k}"
    ((classes,),) = met.ask("count the classes", linked.then("near", fragment(near, met.tables)))
    details = {
        "rate": float(expected / people),
        "rate_is": "exact" if truth else "upper bound",
        "expected": float(expected),
        "unique": histogram.get(1, 0),
        "matched": people - histogram.get(0, 0),
        "columns": list(met.people.cells),
    }
    nobody = () if people > histogram.get(0, 0) else ("no record can be anybody's of the external table",)
    return Reached(
        min((c for c in histogram if c), default=None), int(classes),
        sum(n for c, n in histogram.items() if 0 < c < attack.k), people, _classes(met),
        details=details, notes=(*met.found.notes, *nobody),
    )  # fmt: skip


def _hits(met: Meeting, linked: Query) -> Fraction:
    """How many people a guess among the candidates finds, where their own records can be told."""
    own = (
        "select a.id as id, a.more as who, a.n as n, cast(sum(b.n) as bigint) as own from $fine_people as a"
        " join $fine_records as b on cast(a.more as varchar) = cast(b.more as varchar)"
        " join $found as m on m.l = a.id and m.r = b.id group by a.id, a.more, a.n"
    )
    parts = {**met.tables, "fine_people": table(met.people.fine), "fine_records": table(met.records.fine)}
    steps = linked.then("owned", fragment(own, parts), "how many of the candidates are the person's own")
    sql = "select o.own, c.candidates, sum(o.n) from owned as o join linked as c on c.id = o.id group by 1, 2"
    found = met.ask("count the own candidates", steps.then("hits", fragment(sql)))
    return sum((Fraction(int(n) * int(hits), int(candidates)) for hits, candidates, n in found), Fraction(0))


def _classes(met: Meeting) -> int:
    return int(met.one("count the classes", "select count(*) from $records")[0])


_PRESENCE = (
    "select b.id as id, b.n as records, cast(coalesce(sum(a.n), 0) as bigint) as people from $records as b"
    " left join $found as m on m.r = b.id left join $people as a on a.id = m.l group by b.id, b.n"
)


def _present(met: Meeting) -> Query:
    """Records and people of each class. Raises `SpecError` where the population does not hold everybody."""
    steps = Query(()).then("presence", fragment(_PRESENCE, met.tables), "the people whom each class can hold")
    missing = steps.then("missing", fragment("select count(*) from presence where people < records"))
    ((classes,),) = met.ask("compare with the population", missing)
    if classes:
        told = f"the population holds fewer people than the relation has records in {classes} classes"
        raise SpecError(f"{told}; it must hold everybody", where=met.people.where)
    return steps


def journalist(attack: Journalist, met: Meeting) -> Reached:
    """The classes that fewer than k people of the population can be in."""
    sql = (
        "select min(people), count(*) filter (where $low),"
        " cast(coalesce(sum(records) filter (where $low), 0) as bigint), cast(sum(records) as bigint), count(*)"
        " from presence"
    )
    asked = _present(met).then("told", fragment(sql, low=fragment(f"people < {attack.k}")))
    ((worst, classes, records, total, all_classes),) = met.ask("count the population", asked)
    details = {"columns": list(met.people.cells)}
    return Reached(
        int(worst), int(classes), int(records), int(total), int(all_classes), details=details, notes=met.found.notes
    )


def membership(attack: Membership, met: Meeting) -> Reached:
    """The people whose presence or absence is known better than the bounds allow."""
    most, least = exact(attack.dmax), exact(attack.dmin)
    above = fragment(f"p.records * {most.denominator} > {most.numerator} * p.people")
    under = fragment(f"p.records * {least.denominator} < {least.numerator} * p.people")
    absent = 1 if attack.dmin > 0 else 0
    each = (
        "select a.id as id, a.n as n, coalesce(max(cast(p.records as double) / p.people), 0) as share,"
        " coalesce(max(case when $above then 1 else 0 end), 0) as above,"
        f" min(case when p.id is null then {absent} when $under then 1 else 0 end) as under,"
        " max(case when p.id is null then 1 else 0 end) as outside from $people as a"
        " left join $found as m on m.l = a.id left join presence as p on p.id = m.r group by a.id, a.n"
    )
    sql = (
        "select max(share), min(share), cast(coalesce(sum(n) filter (where above + under > 0), 0) as bigint),"
        f" cast(sum(n) as bigint), count(*) filter (where outside = 1), count(*) filter (where outside * {absent} = 1),"
        " (select count(*) from presence as p where $above or p.id in ("
        "select m.r from $found as m join shares as s on s.id = m.l where s.under = 1)),"
        " (select count(*) from presence) from shares"
    )
    parts = {**met.tables, "above": above, "under": under}
    steps = _present(met).then("shares", fragment(each, parts), "the highest share that a person's classes have")
    ((worst, lowest, records, total, beyond, known_absent, classes, all_classes),) = met.ask(
        "measure the presence", steps.then("told", fragment(sql, parts))
    )
    return Reached(
        float(worst), int(classes) + int(known_absent), int(records), int(total), int(all_classes) + int(beyond),
        least=float(lowest), details={"columns": list(met.people.cells)}, notes=met.found.notes,
    )  # fmt: skip
