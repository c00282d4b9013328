"""What a model is: measures over a relation, with a bound; and how models are judged together, in one pass.

A model names its measures, the number that it reports per class (`value`), and the condition under which a class
holds (`holds`), both in house SQL over `measured`, whose columns are set in as `$parts`. Conditions compare integers
where they can; elsewhere one tolerance of 1e-12 decides ties in favour of the class (design, section 6.7), and a
missing or infinite value never holds.

`monotone`: if every class of a table holds, every union of its classes does, so without suppression an infeasible
transformation refutes all that are more specific. `monotone_with_suppression`: if a class holds, every class that
contains it does, whatever it is joined with. Only this carries over to suppression: a class that holds can be united
with one that does not, and fall with it (an even class joined with many equal values is no longer entropy-diverse).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any, ClassVar, Literal, cast

from sqlanon.measures import Grouping, Measure
from sqlanon.measuring import Measured
from sqlanon.measuring.neighbourhoods import item_columns
from sqlanon.measuring.predictions import most_found
from sqlanon.query import Expression, Part, column, fragment, named, same, table


def exact(number: float) -> Fraction:
    """The number that a person wrote: 0.2 is 1/5, not the nearest binary fraction."""
    return Fraction(repr(number))


# Where a bound cannot be written as an exact number, a class that is off by no more than this still holds.
TOLERANCE = Fraction(1, 10**12)


def require(condition: bool, sentence: str) -> None:
    """Raises `ValueError` with the sentence where a parameter is out of its limits."""
    if not condition:
        raise ValueError(sentence)


class Model:
    """What all models share. Subclasses are frozen dataclasses; their fields are the model's parameters.

    `scope`: whether it speaks of every class or of the table as a whole. `worst`: which end of the values is the worst.
    `requires`: what the column must be (`order`, `number`, `hierarchy`, `set`). `reads`: what beyond the published rows
    decides (`persons`, `table`, `population`, `guard`). `free`: the parameters that are bounds, and so tell nothing
    where nothing is judged. `in_views`: whether a view can re-check it. `estimated`: decided by statistics over the
    class sizes (`estimate`), not by SQL.
    """

    name: ClassVar[str]
    monotone: bool = True
    monotone_with_suppression: bool = False
    scope: ClassVar[Literal["class", "table"]] = "class"
    worst: ClassVar[Literal["min", "max"]] = "max"
    requires: str | None = None
    reads: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    in_views: ClassVar[bool] = True
    estimated: ClassVar[bool] = False

    def measures(self) -> Mapping[str, Measure]:
        """The measures that `value` and `holds` read, by the name of their `$part`."""
        raise NotImplementedError

    def value(self) -> str:
        """The number of one class (of the whole table for scope `table`), in house SQL."""
        raise NotImplementedError

    def holds(self) -> str:
        """The condition on one class (on the whole table for scope `table`), in house SQL."""
        raise NotImplementedError

    def whole(self) -> str | None:
        """A further condition on the kept classes together, of a model whose scope is the class."""
        return None

    def whole_rows(self) -> str:
        """How many records break the further condition, where that is known."""
        return "0"

    def details(self) -> Mapping[str, tuple[str, Literal["min", "max"]]]:
        """Further numbers per class that belong in a report, with the end that is told."""
        return {}

    def implied(self) -> Mapping[str, float]:
        """What the promise implies by itself, whatever the table is."""
        return {}

    def estimate(self, sizes: Mapping[int, int]) -> float:
        """The number of an `estimated` model for a histogram of class sizes; NaN where there is none."""
        raise NotImplementedError

    @property
    def bound(self) -> float:
        """What the value is held against."""
        raise NotImplementedError

    @property
    def parameters(self) -> dict[str, object]:
        """What distinguishes this model in a report: its fields without the column, unset ones left out."""
        found = {key: value for key, value in asdict(self).items() if key != "column"}  # type: ignore[call-overload]
        return {key: list(v) if isinstance(v, tuple) else v for key, v in found.items() if v not in (None, ())}

    def __str__(self) -> str:
        words = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) not in (None, ())]  # type: ignore[arg-type]
        return f"{self.name}({', '.join(words)})"


def column_of(model: Model) -> str | None:
    """The sensitive column that a model is about, or None."""
    return getattr(model, "column", None)


def guard_of(model: Model) -> str | None:
    """The column that says what each person wants to be guarded by, or None."""
    return getattr(model, "guard", None)


def groupings(models: Sequence[Model], column: str) -> tuple[Grouping, ...]:
    """The groupings of a column's values that the models need."""
    found = (m.grouping for model in models for m in model.measures().values() if m.column == column)
    return tuple(dict.fromkeys(g for g in found if g is not None))


def parts(model: Model, measured: Measured, kept: str = "measured") -> dict[str, Part]:
    """The `$parts` of a model's SQL: the columns of `measured` that its measures stand in.

    A measure that is a relation stands under its name; its set, count, and its match with the classes in `kept` beside.
    """
    found: dict[str, Part] = {}
    for name, measure in model.measures().items():
        if measure.steps == "itemsets":
            relation, size = measured.relations[measure.label], int(str(measure.arguments[0]))
            found[name] = table(relation)
            found[f"{name}_set"] = list(item_columns(measure.column or "", size))
            found["match"] = same(measured.keys, relation, kept)
            found["kept"] = table(kept)
        elif measure.steps == "observers":
            cells, reach = measured.observed[measure.label]
            found[name] = most_found(measure, cells, measured.keys, reach, same(measured.keys, cells, kept), kept)
        else:
            found[name] = measured.at(measure)
    return found


def needed(models: Sequence[Model]) -> list[Measure]:
    """The measures that the models ask a chain for; the number of records of a class is always there."""
    return [m for model in models for m in model.measures().values() if m.name != "class_records"]


def every_class(models: Sequence[Model], measured: Measured) -> list[Expression]:
    """The conditions under which a class is kept: those of all models that speak of classes."""
    return [fragment(model.holds(), parts(model, measured)) for model in models if model.scope == "class"]


def every_table(models: Sequence[Model], measured: Measured, relation: str) -> list[Expression]:
    """The conditions on the kept classes together, which stand in `relation`; not those of estimated models."""
    found = [(m, m.holds() if m.scope == "table" else m.whole()) for m in models if not m.estimated]
    return [
        fragment(f"(select ({sql}) is true from $all_kept)", parts(m, measured, relation), all_kept=table(relation))
        for m, sql in found
        if sql
    ]


def judgement(models: Sequence[Model], measured: Measured, relation: str = "measured") -> Expression:
    """One row over `measured`: rows, classes, and per model its value, violating classes and rows, and its details.

    Columns: `total_records`, `total_classes`, then `value_i`, `classes_i`, `rows_i`, `detail_i_…` for the i-th model.
    """
    records = measured.columns["class_records"]
    columns = [
        fragment("cast(coalesce(sum($r), 0) as bigint) as total_records", r=records),
        fragment("count(*) as total_classes"),
    ]
    once: list[Expression] = []  # what is one number for the whole table, and asked for several times
    for index, model in enumerate(models):
        found = parts(model, measured, relation)
        for name in (name for name, measure in model.measures().items() if measure.steps == "observers"):
            once.append(named(cast(Expression, found[name]), f"most found {index}"))
            found[name] = column(f"most found {index}", "once")
        columns += _judged(model, {**found, "r": records}, index)
    told = fragment("select $once", once=once) if once else None
    beside = " cross join ($told) as once" if once else ""
    return fragment(f"select $columns from $measured{beside}", columns=columns, measured=table(relation), told=told)


def _judged(model: Model, found: Mapping[str, Part], index: int) -> list[Expression]:
    """One model's columns of the judgement."""
    if model.estimated:  # the numbers come from `estimate`
        return [fragment(f"cast(null as double) as value_{index}"), *_violating("0", "0", index, found)]
    if model.scope == "table":
        failed = f"case when ({model.holds()}) then 0 else 1 end"
        told = fragment(f"cast({model.value()} as double) as value_{index}", found)
        return [
            told,
            *_violating(f"count(*) * {failed}", f"cast(coalesce(sum($r), 0) as bigint) * {failed}", index, found),
        ]
    value, failed = model.value(), f"({model.holds()}) is not true"
    complete = f"case when count(*) = count({value}) then {model.worst}({value}) end"
    classes = f"count(*) filter (where {failed})"
    if whole := model.whole():  # what is missing from the table counts as one class
        classes = f"greatest({classes}, case when ({whole}) then 0 else 1 end)"
    rows = f"greatest(cast(coalesce(sum($r) filter (where {failed}), 0) as bigint), {model.whole_rows()})"
    details = [
        fragment(f"cast({end}({sql}) as double) as detail_{index}_{place}", found)
        for place, (sql, end) in enumerate(model.details().values())
    ]
    return [
        fragment(f"cast({complete} as double) as value_{index}", found),
        *_violating(classes, rows, index, found),
        *details,
    ]


def _violating(classes: str, rows: str, index: int, found: Mapping[str, Part]) -> list[Expression]:
    return [fragment(f"{classes} as classes_{index}", found), fragment(f"{rows} as rows_{index}", found)]


def verdicts(
    models: Sequence[Model], row: Sequence[Any], sizes: Mapping[int, int] | None = None, *, judged: bool = True
) -> tuple[Verdict, ...]:
    """The verdicts in the one row that `judgement` selects; `sizes` are for the models that are estimated."""
    total, classes, *numbers = row
    found, at = [], 0
    for model in models:
        told, details = numbers[at : at + 3], dict(zip(model.details(), numbers[at + 3 :], strict=False))
        at += 3 + len(model.details())
        if model.estimated:
            found.append(estimated_verdict(model, sizes or {}, int(total), judged=judged))
        else:
            found.append(verdict(model, *told, judged=judged, empty=not classes, details=details))
    return tuple(found)


def histogram_of_sizes(measured: Measured, relation: str = "measured") -> Expression:
    """One row per size of a class: how many classes have it."""
    size = measured.columns.get("class_size", measured.columns["class_records"])
    return fragment("select $s, count(*) from $m group by $s", s=size, m=table(relation))


@dataclass(frozen=True)
class Verdict:
    """What one model came to on one relation. `value` is None where it is missing or infinite, which never holds.

    `details`: further measured numbers; `implied`: what the promise means by itself.
    """

    model: str
    column: str | None
    parameters: dict[str, object]
    value: float | None
    bound: float | None
    holds: bool | None
    classes_violating: int
    rows_violating: int
    details: dict[str, float | None] = field(default_factory=dict)
    implied: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        told = asdict(self)
        return {key: value for key, value in told.items() if key not in ("details", "implied") or value}


def verdict(
    model: Model, value: float | None, classes: int, rows: int, *, judged: bool = True, empty: bool = False,
    details: Mapping[str, float | None] | None = None,
) -> Verdict:  # fmt: skip
    """A verdict from a judgement's numbers; nothing holds on an empty relation. `judged=False`: the value only."""
    finite = None if value is None or not math.isfinite(value) else value
    if finite is not None and finite.is_integer() and not isinstance(model.bound, float):
        finite = int(finite)
    parameters = model.parameters
    if not judged:
        parameters = {key: v for key, v in parameters.items() if key not in model.free}
    return Verdict(
        model.name, column_of(model), parameters, finite, model.bound if judged else None,
        (classes == 0 and not empty) if judged else None, classes if judged else 0, rows if judged else 0,
        dict(details or {}), dict(model.implied()) if judged else {},
    )  # fmt: skip


def estimated_verdict(model: Model, sizes: Mapping[int, int], rows: int, *, judged: bool = True) -> Verdict:
    """The verdict of a model that statistics decide; an estimate that fails never holds."""
    value = model.estimate(sizes) if sizes else math.nan
    held = math.isfinite(value) and value <= model.bound
    classes = sum(sizes.values())
    return verdict(model, value, 0 if held else max(classes, 1), 0 if held else rows, judged=judged, empty=not sizes)
