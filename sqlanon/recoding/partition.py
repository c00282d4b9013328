"""What all partitions share: the combinations of quasi-identifiers with their counts, and the classes made of them.

A partition puts every record into a class of at least k records (k persons where an entity is named) and publishes, for
each quasi-identifier, one value that covers all of the class. It works on whole numbers throughout:

| working table | one row per | columns |
| --- | --- | --- |
| `line i`, `code i` | value of the i-th quasi-identifier | see `lines` |
| `combinations` | combination that occurs, of quasi-identifiers and what stands `beside` them | `id`, `word n` (which \
values, packed), `place i`, `beside j`, `records`, `persons` |
| `pieces` | combination × class | `id`, `class`, `first`, `records`: how many of its records, and from which on |
| `classes` | class | `class`, `records`, `low i`, `high i`: the places between which the class lies |
| `published` | class | `class`, `records`, the published columns, `cost` |

Beside the quasi-identifiers stands the person, where an entity is named, and whatever else is to stay together. `id`
numbers the combinations from 1 along the space-filling curve, in Gray order.

*Persons*. A person who is at several combinations is counted at one of them, the first in the order of the key; records
whose entity is missing count as one person together. So a class has at least the persons that it counts.

*Ties*. Records that agree on all quasi-identifiers may go to different classes. Which ones do is decided by MD5 over a
secret key and the record, never by a value alone, so that the algorithm's way cannot be followed backwards
(minimality attack, Wong et al. 2007). Everything else is totally ordered by the quasi-identifiers themselves: the same
rows give the same classes whatever their order and the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import EngineError, ModelNotMet, SpecError
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import lines
from sqlanon.recoding.lines import Dimension, Word
from sqlanon.recoding.working import Work, relation, working_name


@dataclass(frozen=True)
class Encoded:
    """A source in whole numbers, and counts of what there is.

    `beside`: the columns that stand beside the quasi-identifiers in a combination. `turns`: the numbers of the
    quasi-identifiers in the order in which they take turns on the curve. `span`: places from one end of a line to the
    other. `words`: where in which word the values of each quasi-identifier stand.
    """

    work: Work
    source: Source
    dimensions: tuple[Dimension, ...]
    beside: tuple[str, ...]
    turns: tuple[int, ...]
    span: int
    words: tuple[Word, ...]
    combinations: int
    records: int
    persons: int

    @property
    def places(self) -> list[str]:
        """The columns of places, in the order of the quasi-identifiers."""
        return [f"place {i}" for i in range(len(self.dimensions))]

    @property
    def packed(self) -> list[str]:
        """The columns of words."""
        return [f"word {number}" for number in range(self.words[-1].number + 1)]

    @property
    def weights(self) -> tuple[int, ...]:
        """The columns' weights in whole numbers, the largest 256 where they differ."""
        given = [dimension.weight for dimension in self.dimensions]
        if len(set(given)) == 1:
            return (1,) * len(given)
        return tuple(max(round(256 * weight / max(given)), 1) for weight in given)

    @property
    def entity(self) -> str | None:
        """The column that says who a record is about, where k counts persons."""
        return self.source.spec.entity

    def close(self) -> None:
        """Drops the working tables."""
        self.work.close()

    def require(self, k: int) -> None:
        """Raises `ModelNotMet` where not even one class of the whole table has k records (persons)."""
        if self.persons < k:
            of = "persons" if self.entity else "records"
            raise ModelNotMet(f"k = {k} is larger than the table of {self.persons} {of}; nothing was published")


def encode(
    engine: Engine, source: Source, key: str, *, dimensions: Sequence[Dimension] = (), beside: Sequence[str] = ()
) -> Encoded:
    """Reads the source once and encodes it. `dimensions` stand for those of the spec where they are given.

    `key` decides, in secret, about records that agree on all quasi-identifiers. Raises `SpecError` where the source has
    no rows, a value no hierarchy knows, or more than 62 quasi-identifiers, `EngineError`.
    """
    work, wanted = Work(engine), tuple(dimensions) or lines.dimensions(source)
    if len(wanted) > lines.MOST:
        problem = f"a partition has at most {lines.MOST} quasi-identifiers"
        raise SpecError(problem, where="columns", found=str(len(wanted)))
    entity = source.spec.entity
    more = tuple(dict.fromkeys([*([entity] if entity else []), *beside]))
    try:
        work.secret("key", key, "the secret key of the ties")
        _find(work, source, wanted, more)
        counted = fragment("select coalesce(cast(sum(records) as bigint), 0) from $f", f=relation("found"))
        records = int(work.ask(counted, "count the records")[0])
        if records == 0:
            raise SpecError("the source has no rows; nothing can be released", where="source")
        many = [lines.seen(work, i, dimension.name) for i, dimension in enumerate(wanted)]
        span = lines.span(max([*many, *(len(d.rows or ()) for d in wanted)]))
        for i, dimension in enumerate(wanted):
            lines.draw(work, i, dimension, lines.values(i), span, len(wanted))
        turns, packed = lines.by_spread(work, len(wanted)), lines.words(many)
        sort = lines.narrow(lines.furthest(span, max(many)))
        for i, dimension in enumerate(wanted):
            lines.encode(work, i, dimension.name, packed[i], turns.index(i), len(wanted), sort)
        kinds = [source.family(name) for name in more]
        _combine(work, packed, kinds, lines.narrow(records), persons=entity is not None)
        work.drop("found", *(f"seen {i}" for i in range(len(wanted))))
        total = "select count(*), cast(sum(persons) as bigint) from $c"
        combinations, persons = work.ask(fragment(total, c=relation("combinations")), "count the combinations")
        return Encoded(work, source, wanted, more, turns, span, tuple(packed), int(combinations), records, int(persons))
    except BaseException:
        work.close()
        raise


def _find(work: Work, source: Source, dimensions: Sequence[Dimension], beside: Sequence[str]) -> None:
    """`found`: the combinations, and how many records have each."""
    columns = [query.named(column(d.name), f"value {i}") for i, d in enumerate(dimensions)]
    columns += [query.named(column(name), f"beside {j}") for j, name in enumerate(beside)]
    group = [column(name) for name in (*(d.name for d in dimensions), *beside)]
    made = query.select([*columns, fragment("count(*) as records")], "source", group=group)
    work.make("found", source.step().then("found", made), "the combinations that occur, with their records")


def _combine(work: Work, packed: Sequence[Word], beside: Sequence[str], sort: str, *, persons: bool) -> None:
    """`combinations`, in the order of the curve; counts are numbers of that `sort`, `beside` are families."""
    count = len(packed)
    others = [column(f"beside {j}") for j in range(len(beside))]
    texts = [query.text_of(other, family) for other, family in zip(others, beside, strict=True)]
    drawn = [keyed(texts), *others] if others else []
    tree = fragment("select $nothing from $found as f", nothing=[], found=relation("found"))
    columns, numbers = [column("records", "f"), *(column(node.name, "f") for node in others)], []
    for i in range(count):
        name = working_name(lines.code(i))
        on = fragment("$v is not distinct from $l", v=column(f"value {i}", "f"), l=column("value", name))
        tree = query.joined(tree, name, on)
        columns.append(query.named(column("place", name), f"place {i}"))
        numbers.append((column("word", name), column("curve", name)))
    names = [f"word {number}" for number in range(packed[-1].number + 1)]
    for number, name in enumerate(names):
        parts = [word for (word, _), place in zip(numbers, packed, strict=True) if place.number == number]
        columns.append(query.named(query.added(parts), name))
    mixed = query.named(query.added([curve for _, curve in numbers]), "key")
    steps = Query(()).then("interleaved", query.selecting(tree, [*columns, mixed]), kept=True)
    words, places = ([column(name) for name in some] for some in (names, [f"place {i}" for i in range(count)]))
    kept = [column("records"), *words, *places, *others]
    for shift in (1, 2, 4, 8, 16, 32) if count > 1 else ():
        # Each bit becomes the parity of those above it: the place of a word in the reflected Gray code. One column
        # alone stands in its own order, which the code would break.
        step = fragment("select $kept, xor(key, (key >> $s)) as key from $earlier",
                        kept=kept, s=shift, earlier=query.table(steps.steps[-1].name))  # fmt: skip
        steps = steps.then(f"reflected {shift}", step, kept=shift == 4)  # else 64 times the first key in one expression
    along = [column("key"), *words]
    first = fragment(
        f"cast(case when row_number() over (partition by $p order by $by) = 1 then 1 else 0 end as {sort}) as persons",
        p=column("beside 0"), by=along,
    )  # fmt: skip
    numbered = fragment(f"cast(row_number() over (order by $by) as {sort}) as id", by=[*along, *drawn])
    told = [numbered, fragment(f"cast(records as {sort}) as records"), *words, *places, *others]
    told.append(first if persons else fragment(f"cast(records as {sort}) as persons"))
    work.make("combinations", steps.then("combinations", query.select(told, steps.steps[-1].name)),
              "the combinations in whole numbers, along the curve")  # fmt: skip


def keyed(values: Sequence[Expression]) -> Expression:
    """MD5 over the key and the values, which are texts: an order that tells nothing to those who have not the key."""
    drawn = fragment("(select key from $k)", k=relation("key"))
    for value in values:
        drawn = fragment("$d || '|' || coalesce($v, '')", d=drawn, v=value)
    return fragment("md5($d)", d=drawn)


def order(encoded: Encoded, located: Expression, *, in_parts: bool = False) -> None:
    """`ordered`: the combinations one after the other (`at`, from 1).

    `located` gives each `id` the `place` of its part and where it stands `along` it; together they order totally. The
    sequence is one whole, part 0, unless what follows goes on `in_parts`.
    """
    kept = [column(name, "c") for name in ("id", "records", "persons", *encoded.places)]
    joined = fragment(
        "select $kept, l.place, l.along from $c as c join located as l on c.id = l.id", kept=kept,
        c=relation("combinations"),
    )  # fmt: skip
    part = fragment("place as part" if in_parts else "cast(0 as bigint) as part")
    told = [part, *(column(name) for name in ("id", "records", "persons", *encoded.places))]
    numbered = fragment(
        "select cast(row_number() over (order by place, along) as bigint) as at, $told from joined", told=told
    )
    steps = Query(()).then("located", located).then("joined", joined).then("ordered", numbered)
    encoded.work.make("ordered", steps, "the combinations in their order")


def whole_leaves(encoded: Encoded) -> None:
    """`pieces` where every leaf is a class as it stands."""
    made = fragment(
        "select l.id, cast(l.part // 2 as bigint) as class, cast(0 as bigint) as first, records"
        " from $l as l join $c as c on l.id = c.id", l=relation("leaves"), c=relation("combinations"),
    )  # fmt: skip
    encoded.work.make("pieces", made, "which records of each combination are in which class")


def even(encoded: Encoded, k: int) -> None:
    """`pieces`: each part of `ordered` shared out into ⌊persons / k⌋ groups, the remainder spread over all of them."""
    made = _even_persons(k) if encoded.entity else _even_records(k)
    encoded.work.make("pieces", made, "which records of each combination are in which class")


_SO_FAR = "over (partition by part order by at rows between unbounded preceding and current row)"


def _even_persons(k: int) -> Query:
    """Rows stay whole; those without a person of their own go with the person before them."""
    steps = Query(()).then("counted", fragment(
        f"select id, part, records, greatest(cast(sum(persons) {_SO_FAR} as bigint) - 1, 0) as number,"
        " cast(sum(persons) over (partition by part) as bigint) as total from $o", o=relation("ordered"),
    ))  # fmt: skip
    return steps.then("pieces", fragment(
        f"select id, part + cast((number * greatest(total // {k}, 1)) // total as bigint) as class,"
        " cast(0 as bigint) as first, records from counted"
    ))  # fmt: skip


def _even_records(k: int) -> Query:
    """Group g begins at record ⌈g · total / groups⌉; the groups that one combination fills are one, published alike.

    So a combination has up to three pieces: where it begins, what it fills, and where it ends.
    """
    steps = Query(()).then("counted", fragment(
        f"select id, part, records, cast(sum(records) {_SO_FAR} as bigint) - records as start,"
        " cast(sum(records) over (partition by part) as bigint) as total from $o", o=relation("ordered"),
    ))  # fmt: skip
    groups = f"cast(greatest(total // {k}, 1) as bigint) as groups"
    steps = steps.then("shared", fragment(f"select *, {groups} from counted"))
    steps = steps.then("placed", fragment(
        "select *, cast((start * groups) // total as bigint) as earliest,"
        " cast(((start + records - 1) * groups) // total as bigint) as latest from shared"
    ))  # fmt: skip
    begin = "cast(({} * total + groups - 1) // groups as bigint) - start"
    steps = steps.then("bounded", fragment(
        f"select *, {begin.format('(earliest + 1)')} as leave, {begin.format('latest')} as enter from placed"
    ))  # fmt: skip
    return steps.then("pieces", fragment(
        "select id, part + earliest as class, cast(0 as bigint) as first, least(leave, records) as records from bounded"
        " union all select id, part + earliest + 1, leave, enter - leave from bounded where latest > earliest + 1"
        " union all select id, part + latest, enter, records - enter from bounded where latest > earliest"
    ))  # fmt: skip


def classes(encoded: Encoded) -> None:
    """`classes`: the places between which each class lies, with what it holds.

    Raises `EngineError` where the pieces are not all the records, each once: that would be an error of sqlanon's own.
    """
    ends: list[Expression] = []
    for i, place in enumerate(encoded.places):
        ends.append(query.named(fragment("cast(min($p) as bigint)", p=column(place, "c")), f"low {i}"))
        ends.append(query.named(fragment("cast(max($p) as bigint)", p=column(place, "c")), f"high {i}"))
    made = fragment(
        "select class, cast(sum(p.records) as bigint) as records, $ends from $p as p join $c as c on p.id = c.id"
        " group by class", ends=ends, p=relation("pieces"), c=relation("combinations"),
    )  # fmt: skip
    encoded.work.make("classes", made, "the places between which each class lies")
    total = fragment("select coalesce(cast(sum(records) as bigint), 0) from $c", c=relation("classes"))
    (records,) = encoded.work.ask(total, "count the records in classes")
    if records != encoded.records:
        raise EngineError("make the classes", "records lost")
