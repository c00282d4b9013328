"""Which class each record is in: the way back from combinations to records, with nothing kept per record.

A combination that is in one class takes all its records there: the source is joined with `homes`. The records of a
combination that is in several (`shared`) are ranked by MD5 over the key and all that the record tells beside its
quasi-identifiers; a piece of the combination takes the ranks from its `first` on. Equal records may be ranked either
way, and nobody can tell.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlanon import query
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, column, fragment
from sqlanon.recoding.partition import Encoded, keyed
from sqlanon.recoding.working import relation, working_name


def house(encoded: Encoded, told: Sequence[str] = ()) -> None:
    """`homes`: what is `told` of each combination that is in one class; `shared`: the others.

    `told` are columns of `published`; without them it is the number of the class. Raises `EngineError`.
    """
    values = [column(f"value {i}", "c") for i in range(len(encoded.dimensions))]
    values += [column(f"beside {j}", "c") for j in range(len(encoded.beside))]
    tree = fragment("select $n from $c as c join $p as p on c.id = p.id", n=[], c=relation("combinations"),
                    p=relation("pieces"))  # fmt: skip
    shown = [column("class", "p")]
    if told:
        published = working_name("published")
        tree = query.joined(tree, published, fragment("p.class = $b", b=column("class", published)))
        shown = [column(name, published) for name in told]
    homes = query.filtered(query.selecting(tree, [*values, *shown]), [fragment("p.records = c.records")])
    encoded.work.make("homes", homes, "what is published for each combination" if told else "the class of each")
    shared = Query(()).then("several", fragment("select distinct id from $p where first > 0", p=relation("pieces")))
    shared = shared.then("shared", fragment(
        "select c.id, $values from $c as c join several as s on c.id = s.id", values=values, c=relation("combinations")
    ))  # fmt: skip
    encoded.work.make("shared", shared, "the combinations whose records are in several classes")


def carried(source: Source) -> list[str]:
    """The columns of a record beside its quasi-identifiers: what is published, and what models read."""
    beside = {*source.spec.published, *source.carried} - {*source.quasi_identifiers}
    return [name for name in source.spec.columns if name in beside]


def steps(encoded: Encoded, told: Sequence[tuple[str, str]], name: str, comment: str) -> Query:
    """The steps from `source` to `name`: every record, what it carries, and what is told of its class.

    `told`: columns of `homes` (and of `published`, or of `pieces` for the number of the class), and what they are to be
    called. The steps read working tables, and give the same rows each time they are run. Where there is `noise`, its
    records are among them.
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
        homes = working_name("homes")
        alone = query.select([*self._carried("source"), *self._told(homes)], "source")
        alone = query.joined(alone, homes, self._same(homes))
        made = self.encoded.source.step()
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

    def _told(self, there: str) -> list[Expression]:
        return [query.named(column(own, there), label) for own, label in self.told]

    def _same(self, home: str) -> Expression:
        pairs = [(d.name, f"value {i}") for i, d in enumerate(self.encoded.dimensions)]
        pairs += [(name, f"beside {j}") for j, name in enumerate(self.encoded.beside)]
        return query.every(
            fragment("$x is not distinct from $y", x=column(name, "source"), y=column(own, home)) for name, own in pairs
        )

    def _ranked(self) -> Expression:
        shared, others = working_name("shared"), self._carried("source")
        rank = fragment(
            "cast(row_number() over (partition by $id order by $drawn, $text) - 1 as bigint) as $rank",
            id=column("id", shared), drawn=keyed(others), rank=query.identifier(self.rank),
            text=[fragment("cast($x as varchar)", x=other) for other in others],
        )  # fmt: skip
        told = [*self._carried("source"), query.named(column("id", shared), self.number), rank]
        return query.joined(query.select(told, "source"), shared, self._same(shared))

    @property
    def names(self) -> list[str]:
        """The columns of the last step."""
        return [*self.carried, *(label for _, label in self.told)]

    def noise(self) -> Expression:
        """The records of nobody, with what is told of their class."""
        noise, published = working_name("noise"), working_name("published")
        number = column(class_of(self.encoded.source), noise)
        if [own for own, _ in self.told] == ["class"]:
            return query.select([*self._carried(noise), query.named(number, self.told[0][1])], noise)
        tree = query.select([*self._carried(noise), *self._told(published)], noise)
        return query.joined(tree, published, fragment("$a = $b", a=number, b=column("class", published)))

    def _divided(self) -> Expression:
        pieces, published = working_name("pieces"), working_name("published")
        numbered = [own for own, _ in self.told] == ["class"]
        tree = query.select([*self._carried("ranked"), *self._told(pieces if numbered else published)], "ranked")
        within = fragment(
            "$n = $id and $r >= $f and $r < $f + $m", n=column(self.number, "ranked"), r=column(self.rank, "ranked"),
            id=column("id", pieces), f=column("first", pieces), m=column("records", pieces),
        )  # fmt: skip
        tree = query.joined(tree, pieces, within)
        if numbered:
            return tree
        on = fragment("$a = $b", a=column("class", pieces), b=column("class", published))
        return query.joined(tree, published, on)
