"""Cell suppression: a record of a class that fails keeps all its quasi-identifiers but one, and is not dropped.

*Measure*: every model of the spec, on the classes after the blanking. *Leaves*: a blank says that the record was rare
with its value; who knows the algorithm can rule out the values with which it would have been kept as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.measuring import Measured, Rows, measured
from sqlanon.models import Verdict, every_class, histogram_of_sizes, judgement, k_of, needed, verdicts
from sqlanon.plan import Recoded, Source
from sqlanon.query import Expression, Query, column, fragment, fresh, identifier, named
from sqlanon.recoding.outcome import Outcome
from sqlanon.recoding.working import Work, relation, working_name
from sqlanon.utility.losses import classes

NOTE = (
    "records of classes that fail were kept with one value blanked where that brings them into a class that holds;"
    " loss counts them as left out"
)
UNDONE = "with blanked cells, a model about the whole table would not hold, so the records were dropped"


def blanked(engine: Engine, source: Source, outcome: Outcome) -> Outcome:
    """The same recoding, with at most one quasi-identifier blanked in records of classes that fail.

    Greedy: of all quasi-identifiers, the one with which most records come into classes that hold is blanked in exactly
    these records; then the next, until none saves any. Ties go to the earlier one. Missing values are values, so a
    blanked record joins those that miss the value anyway, and the class of both must hold. Works on combinations with
    counts; the working tables stay, for the steps that recode every record. Raises `EngineError`.
    """
    work = Work(engine)
    before = _Cells.of(source, outcome.recoded, work)
    cells = before
    while (best := cells.best()) is not None:
        cells = cells.without(best)
    judged = cells.judged()
    if not judged.cells or not all(verdict.holds for verdict in judged.verdicts):
        work.close()
        return replace(outcome, notes=(*outcome.notes, UNDONE)) if judged.cells else outcome
    return _told(source, outcome, cells, judged, cells.recoded(before))


@dataclass(frozen=True)
class _Judged:
    """What is kept: records, classes, the sum of squared sizes, verdicts; and how many records got a blank."""

    records: int
    classes: int
    squares: int
    verdicts: tuple[Verdict, ...]
    cells: int


def _told(source: Source, outcome: Outcome, cells: _Cells, judged: _Judged, recoded: Recoded) -> Outcome:
    suppressed = outcome.rows - judged.records
    sizes = classes(
        judged.squares, judged.classes, records=outcome.rows, suppressed=suppressed, k=k_of(source.spec.privacy)
    ).to_dict()  # fmt: skip
    known: dict[str, Any] = {**outcome.utility, **{name: value for name, value in sizes.items() if value is not None}}
    return replace(
        outcome, recoded=recoded, suppressed=suppressed, classes=judged.classes, verdicts=judged.verdicts,
        utility=known, failing=query.select([column(x) for x in cells.labels], cells.item, where=column(cells.fails)),
        cells=judged.cells, whole=outcome, notes=(*outcome.notes, NOTE),
    )  # fmt: skip


@dataclass(frozen=True)
class _Cells:
    """A working table with a row per published combination, sensitive values and what else models read.

    `groups`: the labels of each quasi-identifier. Beside labels and `beside`: `number` of the class before any blank,
    `records`, `blank` (which quasi-identifier has one, or none), `fails`.
    """

    source: Source
    steps: Recoded
    work: Work
    groups: tuple[tuple[str, ...], ...]
    beside: tuple[str, ...]
    number: str
    records: str
    blank: str
    fails: str
    round: int = 0

    @staticmethod
    def of(source: Source, recoded: Recoded, work: Work) -> _Cells:
        """The combinations before any blank, each with whether its class fails."""
        beside = tuple(dict.fromkeys([*source.sensitive, *source.beside]))
        taken = [*recoded.labels, *beside]
        number, records, blank, fails = (fresh(name, taken) for name in ("class number", "records", "blank", "fails"))
        groups = tuple(recoded.keys.values())
        found = _Cells(source, recoded, work, groups, beside, number, records, blank, fails)
        found._count()
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        return self.steps.labels

    @property
    def name(self) -> str:
        return f"cells {self.round}"

    @property
    def item(self) -> str:
        return working_name(self.name)

    def _count(self) -> None:
        grouped = [column(name) for name in (*self.labels, *self.beside)]
        counted = fragment("select $g, count(*) as $n from recoded group by $g", g=grouped, n=identifier(self.records))
        self.work.make("cells counted", self.source.trees().join(self.steps.steps).then("counted", counted),
                       "the published combinations, with their records")  # fmt: skip
        # The distribution before any suppression is the one that distances compare with.
        shares = fragment("select $s, count(*) as $n from source group by $s", n=identifier(self.records),
                          s=[column(name) for name in self.source.sensitive] or [query.literal(0)])  # fmt: skip
        if self.source.sensitive:
            self.work.make("cells shares", self.source.step().then("shares", shares), "the sensitive values of all")
        chain, held = self._holding(Query(()), working_name("cells counted"))
        labels = [column(name, "c") for name in self.labels]
        places = ", ".join(f"$l{i} nulls first" for i in range(len(labels)))
        tree = fragment(
            f"select $all, dense_rank() over (order by {places}) as $number, $n, cast(null as integer) as $blank,"
            " h.held is null as $fails from $c as c left join $h as h on $same",
            {f"l{i}": label for i, label in enumerate(labels)}
            | {"all": [column(name, "c") for name in (*self.labels, *self.beside)], "number": identifier(self.number),
               "n": column(self.records, "c"), "blank": identifier(self.blank), "fails": identifier(self.fails),
               "c": relation("cells counted"), "h": query.table(held), "same": query.same(self.labels, "c", "h")},
        )  # fmt: skip
        self.work.make(self.name, chain.then("cells", tree), "whose classes fail")

    def _holding(self, chain: Query, rows: str) -> tuple[Query, str]:
        """The steps that end in the classes of `rows` that hold, and that step's name."""
        found = self._measured(rows)
        models = self.source.spec.privacy
        held = fragment("($all) is true", all=query.every(every_class(models, found)))
        kept = query.select([*map(column, self.labels), named(query.literal(True), "held")], "measured", where=held)
        return chain.join(self.source.trees()).join(found.query).then("holding", kept), "holding"

    def _measured(self, rows: str) -> Measured:
        references = self.source.references(working_name("cells shares"), self.records)
        named_rows = Rows(rows, self.labels, self.source.spec.entity, self.records)
        return measured(named_rows, needed(self.source.spec.privacy), references)

    def _saved(self, i: int) -> Query:
        """The steps that end in `saved`: the classes, by number, that hold after blanks in the i-th of them."""
        absent = [fragment("$x is null", x=column(label)) for label in self.groups[i]]
        missing = query.every(absent)
        cells = [
            named(_nothing(column(name)), name) if name in self.groups[i] else column(name)
            for name in (*self.labels, *self.beside)
        ]
        # A class whose value is missing anyway has nothing to blank.
        wanting = query.select(
            [*cells, column(self.number), column(self.records), named(query.literal(True), "wanting")], self.item,
            where=fragment("$f and not ($m)", f=column(self.fails), m=missing),
        )  # fmt: skip
        there = query.select(
            [*map(column, (*self.labels, *self.beside, self.number, self.records)),
             named(query.literal(False), "wanting")], self.item, where=missing,
        )  # fmt: skip
        both = fragment("select * from wanting union all select * from there")
        chain = Query(()).then("wanting", wanting).then("there", there).then("pooled", both)
        chain, held = self._holding(chain, "pooled")
        # Those that miss the value anyway come into a class that holds, too.
        tree = fragment(
            "select distinct $n as saved, p.wanting from pooled as p join $h as h on $same",
            n=column(self.number, "p"), h=query.table(held), same=query.same(self.labels, "p", "h"),
        )  # fmt: skip
        return chain.then("saved", tree)

    def best(self) -> int | None:
        """The quasi-identifier whose blanks save most records; None where none saves any."""
        counted = fragment(
            "select cast(coalesce(sum($r), 0) as bigint) from $c as c join saved on $n = saved.saved"
            " where saved.wanting",
            r=column(self.records, "c"), c=query.table(self.item), n=column(self.number, "c"),
        )  # fmt: skip
        saved = [
            int(self.work.ask(self._saved(i).then("records", counted), "count what a blank saves")[0])
            for i in range(len(self.groups))
        ]
        best = max(range(len(saved)), key=lambda i: (saved[i], -i))
        return best if saved[best] else None

    def without(self, i: int) -> _Cells:
        """The table after the blanks in the i-th quasi-identifier."""
        after = replace(self, round=self.round + 1)
        hit, held = fragment("saved.wanting is true"), fragment("saved.saved is not null")
        cells = [
            named(fragment("case when $hit then null else $x end", hit=hit, x=column(name, "c")), name)
            if name in self.groups[i] else column(name, "c")
            for name in (*self.labels, *self.beside)
        ]  # fmt: skip
        number = column(self.number, "c")
        cells += [number, column(self.records, "c")]
        tree = fragment(
            "select $cells, case when $hit then $i else $b end as $blank, $f and not ($held) as $fails from $c as c"
            " left join saved on $n = saved.saved", cells=cells, hit=hit, held=held, i=i, n=number,
            c=query.table(self.item),
            b=column(self.blank, "c"), blank=identifier(self.blank), f=column(self.fails, "c"),
            fails=identifier(self.fails),
        )  # fmt: skip
        self.work.make(after.name, self._saved(i).then("cells", tree), "one more value blanked")
        self.work.drop(*[self.name] * (self.round > 0))  # the first one tells what the labels were
        return after

    def judged(self) -> _Judged:
        """What the models come to on the classes that are kept."""
        models, everything = self.source.spec.privacy, [*map(column, (*self.labels, *self.beside, self.records))]
        kept = query.select(everything, self.item, where=fragment("not $f", f=column(self.fails)))
        chain = Query(()).then("kept cells", kept)
        found = self._measured("kept cells")
        steps = chain.join(self.source.trees()).join(found.query)
        engine = self.work.engine
        (row,) = engine.run("judge the blanked classes", steps.then("judged", judgement(models, found)))
        sizes = {}
        if any(model.estimated for model in models):
            counted = engine.run("read the class sizes", steps.then("sizes", histogram_of_sizes(found)))
            sizes = {int(size): int(many) for size, many in counted}
        squares = fragment("select cast(coalesce(sum(cast($r as decimal(38, 0)) * $r), 0) as bigint) from measured",
                           r=found.columns["class_records"])  # fmt: skip
        ((square,),) = engine.run("square the sizes of the classes", steps.then("squares", squares))
        blanks = fragment("select cast(coalesce(sum($r), 0) as bigint) from $c where $b is not null",
                          r=column(self.records), c=query.table(self.item), b=column(self.blank))  # fmt: skip
        ((cells,),) = engine.run("count the blanks", blanks)
        return _Judged(int(row[0]), int(row[1]), int(square), verdicts(models, row, sizes), int(cells))

    def recoded(self, before: _Cells) -> Recoded:
        """Every record, with the blank of its class."""
        tree = fragment(
            "select distinct $labels, $blank from $c as c join $b as b on $n = $m where $blank is not null",
            labels=[column(name, "b") for name in self.labels], blank=column(self.blank, "c"),
            c=query.table(self.item), b=query.table(before.item), n=column(self.number, "c"),
            m=column(self.number, "b"),
        )  # fmt: skip
        self.work.make("blanks", tree, "the classes with a blank, as they were, and where it is")
        steps, script = self.steps.steps.steps, [self.steps.script, self.work.script()]
        whole = Query((*steps[:-1], replace(steps[-1], name="recoded whole")))
        blank, place = (
            column(self.blank, working_name("blanks")),
            {label: i for i, labels in enumerate(self.groups) for label in labels},
        )
        cells = []
        for name in (*self.source.carried, *_published(self.source, self.steps)):
            x = column(name, "recoded whole")
            cells.append(x if name not in place else named(
                fragment("case when $b = $i then null else $x end", b=blank, i=place[name], x=x), name
            ))  # fmt: skip
        on = query.same(self.labels, "recoded whole", working_name("blanks"))
        tree = query.joined(query.select(cells, "recoded whole"), working_name("blanks"), on, "left")
        made = whole.then("recoded", tree, "one value blanked where that keeps a record", inline=True)
        return replace(self.steps, steps=made, script="\n".join(filter(None, script)))


def _nothing(x: Expression) -> Expression:
    """A missing value of the type of x."""
    return fragment("case when false then $x end", x=x)


def _published(source: Source, recoded: Recoded) -> Sequence[str]:
    return [label for name in source.spec.published for label in recoded.keys.get(name, (name,))]
