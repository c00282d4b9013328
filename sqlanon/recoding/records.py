"""Which class each record is in: the way back from combinations to records, with nothing kept per record.

A combination that is in one class takes all its records there: the source is joined with `homes`, by the codes of its
values, and these with what is told of the class. The records of a combination that is in several (`shared`) are ranked
by MD5 over the key and all that the record tells beside its quasi-identifiers; a piece of the combination takes the
ranks from its `first` on. Equal records may be ranked either way, and nobody can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlanon import query
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding import lines
from sqlanon.recoding.partition import Encoded, keyed
from sqlanon.recoding.working import relation, working_name


def house(encoded: Encoded) -> None:
    """`homes`: the class of each combination that is in one; `shared`: the others. Raises `EngineError`."""
    known = [column(name, "c") for name in (*encoded.packed, *(f"beside {j}" for j in range(len(encoded.beside))))]
    homes = fragment(
        "select $known, class from $c as c join $p as p on c.id = p.id where p.records = c.records",
        known=known, c=relation("combinations"), p=relation("pieces"),
    )  # fmt: skip
    encoded.work.make("homes", homes, "the class of each combination")
    shared = Query(()).then("several", fragment("select distinct id from $p where first > 0", p=relation("pieces")))
    shared = shared.then("shared", fragment(
        "select c.id, $known from $c as c join several as s on c.id = s.id", known=known, c=relation("combinations")
    ))  # fmt: skip
    encoded.work.make("shared", shared, "the combinations whose records are in several classes")


def carried(source: Source) -> list[str]:
    """The columns of a record beside its quasi-identifiers: what is published, and what models read."""
    beside = {*source.spec.published, *source.carried} - {*source.quasi_identifiers}
    return [name for name in dict.fromkeys((*source.spec.columns, *source.carried)) if name in beside]


def steps(encoded: Encoded, told: Sequence[tuple[str, str]], name: str, comment: str) -> Query:
    """The steps from `source` to `name`: every record, what it carries, and what is told of its class.

    `told`: columns of `published`, or the number of the `class` alone, and what they are to be called. The steps read
    working tables, and give the same rows each time they are run. Where there is `noise`, its records are among them.
    """
    (shared,) = encoded.work.ask(fragment("select count(*) from $s", s=relation("shared")), "count what is shared")
    steps = _Steps(encoded, told)
    if "noise" not in encoded.work.held:
        return steps.build(name, comment, shared=bool(shared))
    made = steps.build(of_persons := f"{name}, of persons", comment, shared=bool(shared))
    made = made.then(
        of_nobody := f"{name}, of nobody", steps.noise(), "noise, and what is told of its class", inline=True
    )
    both = fragment(
        "select $n from $persons union all select $n from $nobody", n=[column(label) for label in steps.names],
        persons=query.table(of_persons), nobody=query.table(of_nobody),
    )  # fmt: skip
    return made.then(name, both, comment, inline=True)


def class_of(source: Source) -> str:
    """The column of `noise` that tells the class, out of the way of what a record carries."""
    return query.fresh("class", carried(source))


class _Steps:
    def __init__(self, encoded: Encoded, told: Sequence[tuple[str, str]]) -> None:
        self.encoded, self.told = encoded, told
        self.carried = carried(encoded.source)
        taken = {*self.carried, *encoded.source.quasi_identifiers}
        self.number, self.rank = (query.fresh(name, taken) for name in ("combination", "rank"))

    def build(self, name: str, comment: str, *, shared: bool) -> Query:
        made = self.encoded.source.step()
        homes = working_name("homes")
        alone = self._labelled(self._known(homes), self._carried("source"), column("class", homes))
        if not shared:
            return made.then(name, alone, comment, inline=True)
        made = made.then("ranked", self._ranked(), "records that agree on all quasi-identifiers, in a keyed order")
        made = made.then("undivided", alone, "the others, and what is told of their class", inline=True)
        made = made.then("divided", self._divided(), "these, and what is told of the class of each", inline=True)
        names = [column(label) for label in self.names]
        both = fragment("select $names from undivided union all select $names from divided", names=names)
        return made.then(name, both, comment, inline=True)

    def _carried(self, there: str) -> list[Expression]:
        return [column(name, there) for name in self.carried]

    def _known(self, home: str) -> Expression:
        """The source, each record joined with the row of its combination by the codes of its values."""
        tree, parts = fragment("select $nothing from source", nothing=[]), [list[Expression]() for _ in self._words]
        for i, (dimension, word) in enumerate(zip(self.encoded.dimensions, self.encoded.words, strict=True)):
            code = working_name(lines.code(i))
            on = fragment("$x is not distinct from $v", x=column(dimension.name, "source"), v=column("value", code))
            tree = query.joined(tree, code, on)
            parts[word.number].append(column("word", code))
        same = [
            fragment("$sum = $w", sum=query.added(ranks), w=column(name, home))
            for ranks, name in zip(parts, self._words, strict=True)
        ]
        same += [
            fragment("$x is not distinct from $y", x=column(name, "source"), y=column(f"beside {j}", home))
            for j, name in enumerate(self.encoded.beside)
        ]
        return query.joined(tree, home, query.every(same))

    @property
    def _words(self) -> list[str]:
        return self.encoded.packed

    def _labelled(self, tree: Expression, kept: Sequence[Expression], number: Expression) -> Expression:
        """What is `kept` of the rows of `tree`, and what is told of the class with this number."""
        if [own for own, _ in self.told] == ["class"]:
            ((_, label),) = self.told
            return query.selecting(tree, [*kept, query.named(number, label)])
        published = working_name("published")
        on = fragment("$a = $b", a=number, b=column("class", published))
        told = [query.named(column(own, published), label) for own, label in self.told]
        return query.selecting(query.joined(tree, published, on), [*kept, *told])

    def _ranked(self) -> Expression:
        shared, others = working_name("shared"), self._carried("source")
        families = map(self.encoded.source.family, self.carried)
        texts = [query.text_of(other, family) for other, family in zip(others, families, strict=True)]
        rank = fragment(
            "cast(row_number() over (partition by $id order by $drawn, $text) - 1 as bigint) as $rank",
            id=column("id", shared), drawn=keyed(texts), rank=query.identifier(self.rank),
            text=texts,
        )  # fmt: skip
        told = [*self._carried("source"), query.named(column("id", shared), self.number), rank]
        return query.selecting(self._known(shared), told)

    @property
    def names(self) -> list[str]:
        """The columns of the last step."""
        return [*self.carried, *(label for _, label in self.told)]

    def noise(self) -> Expression:
        """The records of nobody, with what is told of their class."""
        noise = working_name("noise")
        tree, number = (
            fragment("select $nothing from $n", nothing=[], n=query.table(noise)),
            class_of(self.encoded.source),
        )
        return self._labelled(tree, self._carried(noise), column(number, noise))

    def _divided(self) -> Expression:
        pieces = working_name("pieces")
        within = fragment(
            "$n = $id and $r >= $f and $r < $f + $m", n=column(self.number, "ranked"), r=column(self.rank, "ranked"),
            id=column("id", pieces), f=column("first", pieces), m=column("records", pieces),
        )  # fmt: skip
        tree = query.joined(fragment("select $nothing from ranked", nothing=[]), pieces, within)
        return self._labelled(tree, self._carried("ranked"), column("class", pieces))
