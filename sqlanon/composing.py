"""What a person's classes in several releases have in common, computed against the source: exact, not estimated.

A target is a record of the source; its class in a release is whatever released cells can hold its quasi-identifiers
(see `attacks.matching`). Who knows a person's quasi-identifiers and has all releases can rule out every sensitive value
that one of them does not allow (Ganta, Kasiviswanathan & Smith 2008), and everybody who is not in all of the same
classes. Does not see: what an observer knows beside quasi-identifiers; releases that are not there any more; persons
who are not in the source any more, or whose quasi-identifiers were others then; which values of a class are likelier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlanon.attacks import labels
from sqlanon.attacks.matching import Side, overlaps, side
from sqlanon.attacks.relations import Relation, Workings, workings
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Rows
from sqlanon.query import Expression, Part, Query, column, every, fragment, table
from sqlanon.together import Left


@dataclass(frozen=True)
class Seen:
    """A release as its readers have it.

    `closed`: the quasi-identifiers whose published bounds are both in what they hold; `half_open`: those of a hierarchy
    whose upper bound is not. `hierarchies`: what the labels of quasi-identifiers hold, where they do not say it.
    """

    name: str
    origin: Origin
    quasi_identifiers: tuple[str, ...]
    closed: frozenset[str] = frozenset()
    half_open: frozenset[str] = frozenset()
    hierarchies: Mapping[str, Rows] = field(default_factory=dict)


def compose(
    engine: Engine,
    source: Origin,
    releases: Sequence[Seen],
    *,
    sensitive: Sequence[str],
    entity: str | None = None,
) -> tuple[Left, ...]:
    """What two or more releases leave together, for each sensitive column that all of them publish, or for none.

    Raises `SpecError` where cells cannot be compared, `EngineError`.
    """
    if len(releases) < 2:
        raise SpecError("two releases of one source are needed", where="ledger")
    outer = Relation.of(engine, source, "the source")
    seen = [
        (one, Relation.of(engine, one.origin, f"release {one.name!r}", one.closed, one.half_open)) for one in releases
    ]
    columns = [name for name in sensitive if all(name in relation.columns for _, relation in seen)]
    known = _Known(engine, outer, seen, entity)
    return tuple(_worst(known, name) for name in columns) or (known.left(None),)


def _worst(known: _Known, name: str) -> Left:
    """What all releases leave; where a person's value has changed, also what each smaller set of them leaves.

    A value that changed is ruled out by the releases before or after, and could hide what the others tell together.
    """
    left = known.left(name)
    if not left.moved or len(known.seen) < 3:
        return left
    for out in range(len(known.seen)):
        fewer = replace(known, seen=[one for i, one in enumerate(known.seen) if i != out])
        left = left.with_(_worst(fewer, name))
    return left


@dataclass(frozen=True)
class _Known:
    engine: Engine
    source: Relation
    seen: Sequence[tuple[Seen, Relation]]
    entity: str | None

    def left(self, name: str | None) -> Left:
        with workings(self.engine) as work:
            sides = [
                side(work, relation, relation.cells(one.quasi_identifiers), labelled=True, more=name)
                for one, relation in self.seen
            ]
            shared = {cell for one in sides for cell in one.cells}
            self.source.require(sorted(shared))
            people = side(work, self.source, {n: n for n in sorted(shared)}, labelled=False, more=self.entity)
            found = [
                overlaps(work, people, one, shown.hierarchies, f"the source and {one.where}")
                for one, (shown, _) in zip(sides, self.seen, strict=True)
            ]
            classes = [
                work.table(f"classes {i}", _classes(met.table, one))
                for i, (met, one) in enumerate(zip(found, sides, strict=True))
            ]
            left = self._people(work, people, classes, name)
            return left if name is None else self._values(work, people, sides, classes, left)

    def _people(self, work: Workings, people: Side, classes: Sequence[str], name: str | None) -> Left:
        """Who shares all classes of a target: the same set of them in every release, which is also no release."""
        steps, joins, signs = Query(()), "", []
        parts: dict[str, Part] = {"people": table(people.table), "fine": table(people.fine)}
        for i, made in enumerate(classes):
            sql = "select l, array_agg(r order by r) as s from $c group by l"
            steps = steps.then(f"sign {i}", fragment(sql, c=table(made)), "the classes that can hold each target")
            joins += f" left join $s{i} as s{i} on s{i}.l = p.id"
            parts[f"s{i}"] = table(f"sign {i}")
            signs.append(f"s{i}.s")
        there = " + ".join(f"case when {sign} is null then 0 else 1 end" for sign in signs)
        counted = "count(distinct p.more)" if self.entity else "cast(sum(p.n) as bigint)"
        of = "$fine" if self.entity else "$people"
        sql = (
            f"select {there} as releases, {counted} as candidates, cast(sum(p.n) as bigint) as records from {of} as p"
            f"{joins} group by {', '.join(signs)}, {there}"
        )
        steps = steps.then("shared", fragment(sql, parts), "who shares all classes")
        told = fragment(
            "select cast(coalesce(sum(records), 0) as bigint), min(candidates) from shared where releases >= 2"
        )
        ((targets, candidates),) = self.engine.run("compose the releases", steps.then("told", told))
        return Left(name, int(targets), None if candidates is None else int(candidates))

    def _values(self, work: Workings, people: Side, sides: Sequence[Side], classes: Sequence[str], left: Left) -> Left:
        """The values that all releases of a target allow, and whether each allows the same."""
        steps, read = Query(()), _read(sides)
        for i, (one, made) in enumerate(zip(sides, classes, strict=True)):
            sql = "select distinct c.l as id, $more as more from $c as c join $fine as v on v.id = c.r"
            allowed = fragment(sql, c=table(made), fine=table(one.fine), more=read)
            steps = steps.then(f"allowed {i}", allowed, "the sensitive values that a release allows each target")
        parts: dict[str, Part] = {f"a{i}": table(f"allowed {i}") for i in range(len(sides))}
        parts |= {"people": table(people.table)}
        everything = " union all ".join(f"select id, more from $a{i}" for i in range(len(sides)))
        present = " union all ".join(f"select distinct id from $a{i}" for i in range(len(sides)))
        steps = steps.then("present", fragment(f"select id, count(*) as n from ({present}) as x group by id", parts))
        counted = f"select id, more, count(*) as n from ({everything}) as x group by id, more"
        steps = steps.then("counted", fragment(counted, parts), "in how many of its releases a target may have a value")
        kept = (
            "select p.id as id, count(*) filter (where c.n = p.n) as kept, count(*) as known from present as p"
            " join counted as c on c.id = p.id where p.n >= 2 group by p.id"
        )
        steps = steps.then("kept", fragment(kept), "the values that all of a target's releases allow")
        sql = (
            "select min(k.kept) filter (where k.kept > 0),"
            " cast(coalesce(sum(p.n) filter (where k.kept = 1), 0) as bigint),"
            " cast(coalesce(sum(p.n) filter (where k.kept = 0), 0) as bigint),"
            " cast(coalesce(sum(p.n) filter (where k.kept < k.known), 0) as bigint)"
            " from kept as k join $people as p on p.id = k.id"
        )
        ((values, few, moved, signatures),) = self.engine.run(
            "compose the releases", steps.then("told", fragment(sql, parts))
        )
        least, repeated = zip(*(self._unique(one) for one in sides), strict=True)
        return replace(
            left, values=None if values is None else int(values), few=int(few), moved=int(moved),
            signatures=int(signatures), least=min(least), repeated=sum(repeated),
        )  # fmt: skip

    def _unique(self, one: Side) -> tuple[int, int]:
        """The least number of values of a class, and the number of classes in which a value is in several records."""
        sql = "select id, count(*) as n, max(n) as most from $fine group by id"
        steps = Query(()).then("held", fragment(sql, fine=table(one.fine)), "how often values are in a class")
        told = fragment("select coalesce(min(n), 0), count(*) filter (where most > 1) from held")
        return self._told(steps, told)

    def _told(self, steps: Query, told: Expression) -> tuple[int, int]:
        ((first, second),) = self.engine.run("compose the releases", steps.then("told", told))
        return int(first), int(second)


def _read(sides: Sequence[Side]) -> Expression:
    """How a sensitive value is read so that those of all releases compare; as text where their types do not."""
    kinds = {one.more for one in sides}
    plain = len(kinds) == 1 or kinds <= {"integer", "decimal", "float"}
    return fragment("$c" if plain else "cast($c as varchar)", c=column("more", "v"))


def _classes(met: str, one: Side) -> Query:
    """The pairs of a target and a class; a class of starred records only for who is in no other.

    Whose record has a class of its own is not among the starred ones, so that their values are none of his.
    """
    read = [column(cell, "b") for name, cell in one.cells.items() if one.reads_labels(name)]
    whole = bool(read) and len(read) == len(one.cells)
    starred = (
        every(fragment("$c in ($stars)", c=cell, stars=labels.STARS) for cell in read) if whole else fragment("false")
    )
    sql = (
        "select m.l as l, m.r as r, case when coalesce($starred, false) then 1 else 0 end as starred"
        " from $met as m join $t as b on b.id = m.r"
    )
    steps = Query(()).then("matched", fragment(sql, starred=starred, met=table(met), t=table(one.table)))
    sql = "select l, r, starred, min(starred) over (partition by l) as best from matched"
    steps = steps.then("beside", fragment(sql))
    return steps.then("classes", fragment("select l, r from beside where starred = best"))
