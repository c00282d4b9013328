"""Which combinations of cells of two relations can hold one person at once; no key of the records is needed.

Per column, the pairs of cells that can hold one value: exactly, or through what a label holds. Then column by column
over the prefixes of combinations that there are, so that what cannot match is dropped before it multiplies. Cells with
`*` can hold everything; a missing value is a value, equal to itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlanon import query
from sqlanon.attacks import labels
from sqlanon.attacks.relations import Cell, Cells, Relation, Unfit, Workings
from sqlanon.hierarchies import Rows
from sqlanon.query import Expression, Query, column, fragment, named, table

_NUMBERS, _DAYS, _TEXTS = {"integer", "decimal", "float"}, {"date", "timestamp"}, {"text", "other"}
_NOT_FINITE = {"inf", "-inf", "nan", "Infinity", "-Infinity", "NaN", "infinity", "-infinity"}
_MOMENT = r"\d{4}-\d\d-\d\d[ T].*"


@dataclass(frozen=True)
class Side:
    """A working table of distinct combinations: `id`, a column per quasi-identifier, and `n`, how many records.

    `cells`: the working table's column for each quasi-identifier; `families`: its type. `labelled`: whether texts are
    labels of a release, and not values. `fine`: the same before one more column, of the type `more`, was put together.
    `single`: the columns of binary numbers of four bytes. `guessed`: those of bounds that were read as closed.
    """

    table: str
    fine: str
    cells: Mapping[str, str]
    families: Mapping[str, str]
    labelled: bool
    where: str
    more: str | None = None
    single: frozenset[str] = frozenset()
    guessed: frozenset[str] = frozenset()

    def reads_labels(self, name: str) -> bool:
        return self.labelled and self.families[name] in _TEXTS


def side(work: Workings, relation: Relation, columns: Cells, *, labelled: bool, more: str | None = None) -> Side:
    """The combinations of a relation's columns, in one scan; `more` is a column to be kept beside them in `fine`."""
    cells = {name: f"a{i}" for i, name in enumerate(columns)}
    own = [column(cell) for cell in cells.values()]
    kept = [column("more")] if more else []
    read: dict[str, Cell] = {cells[name]: origin for name, origin in columns.items()} | ({"more": more} if more else {})
    counted = fragment("select $own, count(*) as n from source group by $own", own=[*own, *kept])
    ranked = fragment("select $id, $all, n from counted", id=named(_rank(own), "id"), all=[*own, *kept])
    fine = work.table(f"{relation.where}, in full", relation.rows(read).then("counted", counted).then("ranked", ranked))
    whole = fragment("select id, $own, cast(sum(n) as bigint) as n from $t group by id, $own", own=own, t=table(fine))
    families = {
        name: "text" if isinstance(origin, tuple) else relation.columns[origin].family
        for name, origin in columns.items()
    }
    single = frozenset(n for n, c in columns.items() if isinstance(c, str) and relation.columns[c].type == "FLOAT")
    made = work.table(relation.where, Query(()).then("combinations", whole))
    kind = relation.columns[more].family if more else None
    guessed = relation.guessed(columns)
    return Side(made, fine, cells, families, labelled, relation.where, kind, single, guessed)


def same_values(sides: Sequence[Side], left: str, right: str) -> Expression:
    """Whether the further columns of two sides hold one value; as text where their types do not compare."""
    kinds = {one.more for one in sides}
    plain = len(kinds) == 1 or kinds <= _NUMBERS
    read = "$l is not distinct from $r" if plain else "cast($l as varchar) is not distinct from cast($r as varchar)"
    return fragment(read, l=column("more", left), r=column("more", right))


# -- what kind of values a column holds --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attribute:
    """A quasi-identifier that two relations share, and how their cells are compared.

    same: equal values. number, day, moment: intervals. text: equal texts and masks. leaf: the values under a label.
    """

    name: str
    nature: Literal["same", "number", "day", "moment", "text", "leaf"]
    left: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    rows: Rows = ()
    kind: str = ""


def attribute(work: Workings, name: str, left: Side, right: Side, rows: Rows | None) -> Attribute:
    """How a column's cells are compared. Raises `Unfit` where a label cannot be read, or types do not compare."""
    typed = {side.families[name] for side in (left, right) if not side.reads_labels(name)}
    if typed & _NUMBERS and typed & _DAYS:
        raise Unfit(f"the types of {name!r} cannot be compared: {', '.join(sorted(typed))}", where=left.where)
    if not rows and not left.reads_labels(name) and not right.reads_labels(name):
        return Attribute(name, _typed(typed), kind="date")
    # Beside texts that are values only what looks generalised is not what it says.
    plain = not rows and bool(typed & _TEXTS)
    lefts, rights = _labels(work, left, name, plain), _labels(work, right, name, plain)
    if rows:
        return Attribute(name, "leaf", lefts, rights, rows=rows)
    found = {*lefts, *rights} - set(labels.STARS)
    nature = _labelled(name, found, typed, left.where)
    kind = {"number": _kind(found, typed), "moment": "timestamp"}.get(nature, "date")
    return Attribute(name, nature, lefts, rights, kind=kind)


def _labels(work: Workings, side: Side, name: str, plain: bool) -> tuple[str, ...]:
    """The distinct labels of a column of a release; with `plain` only those that look like intervals, masks or runs."""
    if not side.reads_labels(name):
        return ()
    own = column(side.cells[name])
    looks = "left($c, 1) in ('[', '{') or right($c, 1) = '*' or $c like '%..%'"
    shown = fragment(looks if plain else "$c is not null", c=own)
    asking = fragment(
        "select distinct $c as v from $t where $shown order by 1", c=own, t=table(side.table), shown=shown
    )
    return tuple(v for (v,) in work.engine.run("read the labels", asking))


def _typed(typed: set[str]) -> Literal["same", "day", "text"]:
    if len(typed) == 1 or typed <= _NUMBERS:
        return "same"
    return "day" if typed <= _DAYS else "text"


def _labelled(name: str, found: set[str], typed: set[str], where: str) -> Literal["number", "day", "moment", "text"]:
    """What labels are about, from themselves and from the values that they stand beside."""
    masked = any(labels.mask(label) for label in found)
    intervals = [label for label in found if labels.is_interval(label)]
    if typed & _NUMBERS and not masked:
        _read_all(name, found - _NOT_FINITE, labels.number_span, where)
        return "number"
    if typed & _DAYS:
        return _timed(name, found, where)
    if intervals and (typed or masked):
        told = f"{name!r} holds intervals, and is text elsewhere; read it as numbers or dates there"
        raise Unfit(told, where=where)
    if intervals and labels.number_span(intervals[0]) is not None:
        _read_all(name, found - _NOT_FINITE, labels.number_span, where)
        return "number"
    times = not typed and found and all(map(labels.moment_span, found))
    if intervals or (times and not all(map(labels.number_span, found))):
        return _timed(name, found, where)
    _no_runs(name, found, where)
    return "text"


def _timed(name: str, found: set[str], where: str) -> Literal["day", "moment"]:
    """Whether labels of days are to be read to the day or to the microsecond."""
    foreign = {label for label in found if re.fullmatch(_MOMENT, label) and not labels.is_moment(label)}
    _read_all(name, found - foreign - _NOT_FINITE, labels.moment_span, where)
    return "moment" if any(map(labels.is_moment, found)) else "day"


def _no_runs(name: str, found: set[str], where: str) -> None:
    """Refuses what may be runs of an order: read as values, they would hold nobody, and the attack look weaker."""
    runs = sum(map(labels.may_be_run, found))
    if runs:
        told = f"{runs} labels of {name!r} look like runs of an order (first..last); the column's hierarchy tells"
        raise Unfit(f"{told} what they hold", where=where, allowed=(f"--hierarchy {name}=FILE",))


def _read_all(name: str, found: Iterable[str], span: Callable[[str], object], where: str) -> None:
    """Raises `Unfit` where a label cannot be read."""
    count = sum(1 for label in found if span(label) is None)
    if count:
        told = f"{count} labels of {name!r} cannot be read; the column's hierarchy tells what they hold"
        raise Unfit(told, where=where, allowed=(f"--hierarchy {name}=FILE",))


def _kind(found: set[str], typed: set[str]) -> str:
    """The engine's type for the bounds of intervals: exact, unless the values are binary."""
    spans = (labels.number_span(label) for label in found)
    bounds = [end for span in spans if span for end in span[:2]]
    digits = max((len(end.partition(".")[2]) for end in bounds), default=0)
    whole = max((len(end.partition(".")[0].lstrip("-")) for end in bounds), default=0)
    return "double" if "float" in typed or whole + digits > 38 else f"decimal(38, {digits})"


# -- the pairs of one column -------------------------------------------------------------------------------------------


def pairs(of: Attribute, left: Side, right: Side) -> Query:
    """The pairs (`l`, `r`) of cells of one column that can hold one value."""
    steps = Query(())
    for word, taking in (("left", left), ("right", right)):
        cells = fragment("select distinct $c as v from $t", c=column(taking.cells[of.name]), t=table(taking.table))
        steps = steps.then(f"{word} cells", cells)
    parts: list[tuple[str, str, str]] = []  # two steps, and when their rows l and r match
    if of.nature == "leaf":
        for word, there in (("left", of.left), ("right", of.right)):
            steps = steps.join(_leaves(word, there, of.rows))
        parts.append(("left leaves", "right leaves", "l.leaf is not distinct from r.leaf"))
    else:
        texts = "cast(l.v as varchar) is not distinct from cast(r.v as varchar)"
        parts.append(("left cells", "right cells", texts))
    for word, there in (("left", of.left), ("right", of.right)):
        stars = [star for star in labels.STARS if star in there]
        if stars:
            picked = fragment("select v from $t where v in ($stars)", t=table(f"{word} cells"), stars=stars)
            steps = steps.then(f"{word} stars", picked)
            names = ("left stars", "right cells") if word == "left" else ("left cells", "right stars")
            parts.append((*names, "true"))
    spans = of.nature in ("number", "day", "moment")
    for more, part in _spans(of, left, right) if spans else _masks(of) if of.nature == "text" else ():
        steps, parts = steps.join(more), [*parts, *part]
    return _union(steps, parts)


def _union(steps: Query, parts: Sequence[tuple[str, str, str]]) -> Query:
    for i, (left, right, match) in enumerate(parts):
        sql = f"select l.v as l, r.v as r from $left as l join $right as r on {match}"
        steps = steps.then(f"part {i}", fragment(sql, left=table(left), right=table(right)))
    together = " union ".join(f"select distinct l, r from $p{i}" for i in range(len(parts)))
    return steps.then("pairs", fragment(together, {f"p{i}": table(f"part {i}") for i in range(len(parts))}))


def _leaves(word: str, there: Sequence[str], rows: Rows) -> Query:
    """`leaves`: each cell and the values under it; what the hierarchy does not know is its own only value."""
    pairs = labels.leaves(there, rows) if there else []
    own = fragment("select v, cast(v as varchar) as leaf from $t", t=table(f"{word} cells"))
    if not pairs:
        return Query(()).then(f"{word} leaves", own)
    steps = Query((query.values(f"{word} hierarchy", ("label", "leaf"), pairs),))
    sql = "select v, coalesce(h.leaf, v) as leaf from $t left join $h as h on v = h.label"
    known = fragment(sql, t=table(f"{word} cells"), h=table(f"{word} hierarchy"))
    return steps.then(f"{word} leaves", known)


Part = tuple[Query, list[tuple[str, str, str]]]


_READ = {"number": labels.number_span, "day": labels.day_span, "moment": labels.moment_span}

# How a form is held against the lower end of another, and by which column: only of intervals is the end not in it.
_UPPER = {"points": ("<=", "low"), "read": ("<=", "low"), "intervals": ("<", "high"), "closed": ("<=", "high")}


def _spans(of: Attribute, left: Side, right: Side) -> Iterator[Part]:
    """Numbers, days and times: points and intervals, each form against each other as one plain condition."""
    forms: dict[str, list[str]] = {}
    for word, taking, there in (("left", left, of.left), ("right", right, of.right)):
        labelled = taking.reads_labels(of.name)
        steps = _label_spans(word, of, there) if labelled else _value_spans(word, of, taking)
        own = [step.name.removeprefix(f"{word} ") for step in steps.steps]
        forms[word] = [form for form in own if form in _UPPER]
        yield steps, []
    single = "read" in (*forms["left"], *forms["right"])
    met = [(one, two) for one in forms["left"] for two in forms["right"] if _meet({one, two}, single)]
    yield Query(()), [(f"left {one}", f"right {two}", _meeting(one, two)) for one, two in met]


def _meet(forms: set[str], single: bool) -> bool:
    """Numbers of four bytes meet the ends of closed intervals as they read, and everything else as they are.

    0.1 of four bytes is above the number 0.1; its label is `0.1` all the same, at an end that belongs to the interval.
    """
    return "closed" in forms if "read" in forms else not (single and forms == {"points", "closed"})


def _meeting(one: str, two: str) -> str:
    """Whether something of form `one`, l, and something of form `two`, r, hold a value together."""
    if _UPPER[one] == _UPPER[two] == _UPPER["points"]:
        return "l.low = r.low"
    (left, beyond_left), (right, beyond_right) = _UPPER[one], _UPPER[two]
    return f"r.low {left} l.{beyond_left} and l.low {right} r.{beyond_right}"


def _value_spans(word: str, of: Attribute, taking: Side) -> Query:
    """What values are, as points; a day among times is all of its times."""
    cells, there = table(f"{word} cells"), "from $t where v is not null"
    if of.nature == "moment" and taking.families[of.name] == "date":
        known = "v between cast('0001-01-01' as date) and cast('9999-12-31' as date)"
        whole = f"select v, cast(v as timestamp) as low, cast(v + 1 as timestamp) as high from $t where {known}"
        return Query(()).then(f"{word} intervals", fragment(whole, t=cells))
    point = "v" if of.nature == "number" else f"cast(v as {of.kind})"
    steps = Query(()).then(f"{word} points", fragment(f"select v, {point} as low {there}", t=cells))
    if of.name not in taking.single:
        return steps
    read = f"select v, cast(cast(v as varchar) as double) as low {there}"
    return steps.then(f"{word} read", fragment(read, t=cells))


def _label_spans(word: str, of: Attribute, there: Sequence[str]) -> Query:
    """What labels hold: points, half-open intervals and closed ones."""
    rows: dict[str, list[tuple[str, str, str]]] = {"points": [], "intervals": [], "closed": []}
    for label in there:
        if span := _READ[of.nature](label):
            low, high, closed = span
            form = "points" if low == high else "closed" if closed else "intervals"
            rows[form].append((label, low, high))
    steps = Query(())
    for form, found in rows.items():
        if found:
            text = query.values(f"{word} {form} as text", ("v", "first", "beyond"), found)
            sql = f"select v, cast(first as {of.kind}) as low, cast(beyond as {of.kind}) as high from $t"
            steps = steps.join(Query((text,))).then(f"{word} {form}", fragment(sql, t=table(text.name)))
    return steps


def _masks(of: Attribute) -> Iterator[Part]:
    """Masks hold every text of their length that begins with what they show, and the masks that show more of it."""
    for word, other, there in (("left", "right", of.left), ("right", "left", of.right)):
        masks = [(label, *mask, len(mask[0])) for label in there if (mask := labels.mask(label))]
        if not masks:
            continue
        shapes = sorted({(length, shown) for _, _, length, shown in masks})
        steps = Query((
            query.values(f"{word} masks", ("v", "visible", "length", "shown"), masks),
            query.values(f"{word} shapes", ("length", "shown"), shapes),
        ))  # fmt: skip
        steps = steps.join(_texts(other, of.right if word == "left" else of.left))
        cut = fragment(
            "select t.v as v, s.length as length, s.shown as shown, left(t.visible, s.shown) as visible"
            " from $t as t join $s as s on t.length = s.length and t.shown >= s.shown",
            t=table(f"{other} texts"), s=table(f"{word} shapes"),
        )  # fmt: skip
        steps = steps.then(f"{other} cut for {word}", cut)
        match = "l.length = r.length and l.shown = r.shown and l.visible = r.visible"
        names = (f"{word} masks", f"{other} cut for {word}")
        yield steps, [(*(names if word == "left" else names[::-1]), match)]


def _texts(word: str, there: Sequence[str]) -> Query:
    """Every cell as a text that shows all of itself, and the masks among them."""
    read = "cast(v as varchar)"
    sql = f"select v, {read} as visible, length({read}) as length, length({read}) as shown from $t where v is not null"
    whole = fragment(sql, t=table(f"{word} cells"))
    masks = [(label, *mask, len(mask[0])) for label in there if (mask := labels.mask(label))]
    if not masks:
        return Query(()).then(f"{word} texts", whole)
    steps = Query((query.values(f"{word} masks", ("v", "visible", "length", "shown"), masks),))
    steps = steps.then(f"{word} whole texts", whole)
    both = "select v, visible, length, shown from $w union all select v, visible, length, shown from $m"
    return steps.then(f"{word} texts", fragment(both, w=table(f"{word} whole texts"), m=table(f"{word} masks")))


# -- all columns together ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Overlaps:
    """A working table of the pairs (`l`, `r`) of combinations that can hold one person, and what it is unsure of."""

    table: str
    notes: tuple[str, ...] = ()


def overlaps(work: Workings, left: Side, right: Side, hierarchies: Mapping[str, Rows], name: str) -> Overlaps:
    """Which combinations of two relations can hold one person at once, by all the columns that both have.

    Raises `Unfit` where they share none, where a label cannot be read, and where no label holds any value.
    """
    shared = [n for n in left.cells if n in right.cells]
    if not shared:
        raise Unfit("no quasi-identifier is known there", where=left.where, allowed=right.cells)
    attributes = [attribute(work, n, left, right, hierarchies.get(n)) for n in shared]
    guessed = [n for n in shared if n in left.guessed | right.guessed]
    notes = [
        f"the bounds of {n!r} are read as from ≤ value ≤ to; its hierarchy tells where they are not" for n in guessed
    ]
    weights: dict[str, float] = {}
    for i, of in enumerate(attributes):
        if of.nature != "same":
            made = work.table(f"pairs {i} of {name}", pairs(of, left, right))
            weights[made], told = _counted(work, made, of, left, right)
            notes += told
    fuzzy = [of for of in attributes if of.nature != "same"]
    ordered = sorted(zip(weights, fuzzy, strict=True), key=lambda pair: weights[pair[0]])
    exact = [of.name for of in attributes if of.nature == "same"]
    return Overlaps(work.table(f"overlaps of {name}", _combined(left, right, exact, ordered)), tuple(notes))


def _counted(work: Workings, made: str, of: Attribute, left: Side, right: Side) -> tuple[float, list[str]]:
    """The share of all pairs that match; a note where labels hold nothing of the other side, `Unfit` where none do."""
    parts: dict[str, query.Part] = {"m": table(made), "lt": table(left.table), "rt": table(right.table)}
    cells = {"left": (column(left.cells[of.name]), left), "right": (column(right.cells[of.name]), right)}
    for word, (cell, side) in cells.items():
        real = [fragment("$c is not null", c=cell)]
        if side.reads_labels(of.name):
            real.append(fragment("$c not in ($stars)", c=cell, stars=labels.STARS))
        parts |= {word: cell, f"{word}_real": query.every(real)}
    both = [(column("l"), left), (column("r"), right)]
    real = [fragment("$c is not null", c=c) for c, _ in both]
    real += [fragment("$c not in ($stars)", c=c, stars=labels.STARS) for c, one in both if one.reads_labels(of.name)]
    sql = (
        "select count(*), (select count(distinct $left) from $lt), (select count(distinct $right) from $rt),"
        " (select count(distinct $left) from $lt where $left_real),"
        " (select count(distinct $right) from $rt where $right_real),"
        " count(distinct l) filter (where $real), count(distinct r) filter (where $real) from $m"
    )
    asked = fragment(sql, {**parts, "real": query.every(real)})
    ((matched, lefts, rights, *numbers),) = work.engine.run("count the pairs", asked)
    return matched / max(lefts * rights, 1), _unsure(of, left, right, *map(int, numbers))


def _unsure(
    of: Attribute, left: Side, right: Side, lefts: int, rights: int, held_left: int, held_right: int
) -> list[str]:
    """What is told of labels that hold nothing; cells are counted without the missing ones and those with `*`."""
    if not (lefts and rights):
        return []
    if not held_left and of.nature == "text":
        told = f"no value of {of.name!r} is in both; where it holds labels, its hierarchy tells what they hold"
        raise Unfit(told, where=right.where, allowed=(f"--hierarchy {of.name}=FILE",))
    sides = ((left, lefts, held_left), (right, rights, held_right))
    unread = "; where they are no values, its hierarchy tells what they hold" if of.nature == "text" else ""
    return [
        f"{known - held} of the {known} labels of {of.name!r} hold no value of the other relation{unread}"
        for one, known, held in sides
        if one.reads_labels(of.name) and held < known
    ]


def _combined(left: Side, right: Side, exact: Sequence[str], fuzzy: Sequence[tuple[str, Attribute]]) -> Query:
    """Prefix by prefix of the right side's columns: `p0` for those compared exactly, then one column at a time."""
    known: list[Expression] = [column(right.cells[name]) for name in exact]
    ranks = [named(_rank(known), "p0")]
    for i, (_, of) in enumerate(fuzzy):
        known.append(column(right.cells[of.name]))
        ranks.append(named(_rank(known), f"p{i + 1}"))
    prefixes = fragment("select id, $all, $ranks from $t", all=known, ranks=ranks, t=table(right.table))
    steps = Query(()).then("prefixes", prefixes, "every prefix of the right side's combinations, numbered")
    firsts = fragment("select distinct p0, $own from prefixes", own=[column(right.cells[name]) for name in exact])
    steps = steps.then("first", firsts if exact else fragment("select distinct p0 from prefixes"))
    both = [(column(left.cells[name], "a"), column(right.cells[name], "b")) for name in exact]
    match = query.every(fragment("$l is not distinct from $r", l=a, r=b) for a, b in both)
    sql = "select a.id as id, b.p0 as p from $left as a join first as b on $match"
    steps = steps.then("reached 0", fragment(sql, left=table(left.table), match=match))
    for i, (made, of) in enumerate(fuzzy):
        cell = column(right.cells[of.name])
        here, there = column(f"p{i}"), column(f"p{i + 1}")
        longer = fragment("select distinct $p as p, $c as v, $q as q from prefixes", p=here, c=cell, q=there)
        steps = steps.then(f"next {i}", longer)
        step = (
            "select c.id as id, t.q as p from $reached as c join $left as a on a.id = c.id"
            " join $pairs as m on $cell is not distinct from m.l"
            " join $next as t on t.p = c.p and t.v is not distinct from m.r"
        )
        steps = steps.then(f"reached {i + 1}", fragment(
            step, reached=table(f"reached {i}"), left=table(left.table), pairs=table(made),
            cell=column(left.cells[of.name], "a"), next=table(f"next {i}"),
        ))  # fmt: skip
    last = len(fuzzy)
    sql = "select c.id as l, b.id as r from $reached as c join prefixes as b on $p = c.p"
    return steps.then("overlaps", fragment(sql, reached=table(f"reached {last}"), p=column(f"p{last}", "b")))


def _rank(known: Sequence[Expression]) -> Expression:
    """The number of a combination of cells; 1 where there is no cell."""
    parts = {f"k{i}": cell for i, cell in enumerate(known)}
    order = ", ".join(f"${name}" for name in parts)
    return fragment(f"dense_rank() over (order by {order})", parts) if known else query.literal(1)
