"""What transforms work on and what they share: numbered records, and steps that change some of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from sqlanon import query
from sqlanon.engines import Column
from sqlanon.errors import SpecError
from sqlanon.query import Expression, Query, column, fragment, fresh, named

NUMBERS = ("integer", "decimal", "float")


@dataclass(frozen=True)
class Records:
    """The step or table `relation` after `chain`: its columns with their families, and the one that numbers the rows.

    `number`: whole numbers from 1, a different one per record, the same for the same table whatever the engine does.
    Transforms of one value alone need none, and it is empty. `size`: how many records there are, where that is known.
    """

    chain: Query
    relation: str
    columns: Mapping[str, str]
    number: str = ""
    size: int | None = None

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.columns, *filter(None, [self.number]))

    @property
    def query(self) -> Query:
        """The records, with all their columns but the number."""
        tree = query.select([column(name) for name in self.columns], self.relation)
        return self.chain.then(fresh("records", {step.name for step in self.chain.steps}), tree)

    def then(self, step: str, body: Expression, comment: str = "", **families: str) -> Records:
        """The records after one more step with the same columns; `families` are those that changed."""
        name = fresh(step, {s.name for s in self.chain.steps} | {self.relation})
        return replace(
            self, chain=self.chain.then(name, body, comment), relation=name, columns={**self.columns, **families}
        )

    def replacing(self, step: str, name: str, value: Expression, comment: str, family: str | None = None) -> Records:
        """One more step in which a column has another value; everything else stays."""
        cells = [named(value, label) if label == name else column(label) for label in self._all]
        families = {name: family} if family else {}
        return self.then(step, query.select(cells, self.relation), comment, **families)

    def aside(self, step: str, body: Expression, comment: str = "") -> tuple[Records, str]:
        """The same records with one more step before them, and that step's name."""
        name = fresh(step, {s.name for s in self.chain.steps} | {self.relation})
        return replace(self, chain=self.chain.then(name, body, comment)), name

    def own(self, *names: str) -> list[str]:
        """Names for helping columns that no column here has."""
        return [fresh(name, (*self.columns, self.number)) for name in names]


def numbered(chain: Query, relation: str, columns: Iterable[Column], size: int | None = None) -> Records:
    """Numbers the records by all their columns; only equal records, which nobody can tell apart, are ranked at will.

    Texts are taken to compare exactly; what has no family is ordered by how it is written (1 month is not 30 days).
    """
    there = {found.name: found.family for found in columns}
    name = fresh("record_number", there)
    order = ", ".join(f"$c{place} nulls first" for place in range(len(there)))
    body = fragment(
        f"select *, row_number() over (order by {order}) as $n from $there",
        {f"c{place}": _ordered(label, there[label]) for place, label in enumerate(there)}
        | {"n": query.identifier(name)},
        there=query.table(relation),
    )
    records = Records(chain, relation, there, name, size)
    return records.then("numbered", body, "every record has a number of its own; equal records are ranked at will")


def _ordered(name: str, family: str) -> Expression:
    return fragment("cast($x as varchar)", x=column(name)) if family == "other" else column(name)


class Transform:
    """What all transforms share. `families`: the types it can change; `in_views`, and the `reason` why not."""

    name: ClassVar[str]
    families: ClassVar[tuple[str, ...]]
    in_views: ClassVar[bool] = False
    reason: ClassVar[str] = "a view would draw again at every reading, and its readers could average the noise away"

    @property
    def touched(self) -> tuple[str, ...]:
        """The columns that it changes."""
        raise NotImplementedError

    @property
    def told(self) -> str:
        """What it does to a value, for a reader of the release: the parameters, never a key."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The transform as the spec has it; what is not set is left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"transform": self.name, **{name: _plain(v) for name, v in values.items() if v is not None}}

    def steps(self, records: Records) -> Records:
        """The records after the transform, whose columns are known to be there and of a right family."""
        raise NotImplementedError


def perturbed(records: Records, transforms: Sequence[Transform], *, view: bool = False) -> Records:
    """The records after all transforms, one after the other.

    Raises `SpecError` for a column that is not there, a type that a transform cannot change, and, with `view`, for a
    transform that no view may have.
    """
    for place, transform in enumerate(transforms):
        where = f"transforms[{place}]: {transform.name}"
        if view and not transform.in_views:
            raise SpecError(f"{transform.name} cannot stand in a view: {transform.reason}", where="publish.as")
        for name in transform.touched:
            if name not in records.columns:
                raise SpecError("there is no such column", where=where, found=name, allowed=records.columns)
            if records.columns[name] not in transform.families:
                raise SpecError(
                    f"{transform.name} cannot change the column {name!r}", where=where,
                    found=records.columns[name], allowed=transform.families,
                )  # fmt: skip
        try:
            records = transform.steps(records)
        except SpecError as error:
            raise SpecError(error.problem, where=where, found=error.found, allowed=error.allowed) from None
    return records


def _plain(value: object) -> object:
    """A parameter as JSON has it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def joined(records: Records, aside: str, name: str, value: Expression, comment: str) -> Records:
    """A step in which a column is `value`, read from a step beside the records that has their `record_number`.

    The column is missing where that step has no such record.
    """
    made = fragment("select record_number, $v as new_value from $aside", v=value, aside=query.table(aside))
    records, step = records.aside(f"new values of {name}", made)
    cells = [
        named(column("new_value", "m"), label) if label == name else column(label, "r")
        for label in (*records.columns, records.number)
    ]
    tree = fragment(
        "select $cells from $there as r left join $step as m on m.record_number = $n",
        cells=cells, there=query.table(records.relation), step=query.table(step), n=column(records.number, "r"),
    )  # fmt: skip
    return records.then(f"{name} replaced", tree, comment)
