"""The privacy models: each a measure over a relation, with a bound. Models are data; one planner compiles them all.

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
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.query import Expression, fragment, table


def exact(number: float) -> Fraction:
    """The number that a person wrote: 0.2 is 1/5, not the nearest binary fraction."""
    return Fraction(repr(number))


# Where a bound cannot be written as an exact number, a class that is off by no more than this still holds.
TOLERANCE = Fraction(1, 10**12)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


class Model:
    """What all models share. Subclasses are frozen dataclasses; their fields are the model's parameters."""

    name: ClassVar[str]
    monotone: ClassVar[bool] = True
    monotone_with_suppression: bool = False
    scope: ClassVar[Literal["class", "table"]] = "class"
    worst: ClassVar[Literal["min", "max"]] = "max"

    def measures(self) -> Mapping[str, Measure]:
        """The measures that `value` and `holds` read, by the name of their `$part`."""
        raise NotImplementedError

    def value(self) -> str:
        """The number of one class (of the whole table for scope `table`), in house SQL."""
        raise NotImplementedError

    def holds(self) -> str:
        """The condition on one class (on the whole table for scope `table`), in house SQL."""
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


@dataclass(frozen=True)
class KAnonymity(Model):
    """Every class has at least k records, or k persons where the spec names an entity.

    Measure: class size. Source: Samarati & Sweeney 1998. Leaves: everything about the sensitive values; a class may
    share one (homogeneity). Raises `ValueError` for k below 1.
    """

    k: int

    name: ClassVar[str] = "k-anonymity"
    monotone_with_suppression = True
    worst: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        _require(self.k >= 1, "k must be at least 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return "$size"

    def holds(self) -> str:
        return f"$size >= {self.k}"

    @property
    def bound(self) -> float:
        return self.k


@dataclass(frozen=True)
class LDiversity(Model):
    """Every class holds at least l well-represented sensitive values, in one of three senses (`kind`).

    distinct: at least l different values. entropy: entropy ≥ ln l, reported as exp(entropy). recursive:
    r1 < c · (r_l + … + r_m) for descending frequencies r, strict, reported as r1 / (r_l + … + r_m) against c.
    Source: Machanavajjhala et al. 2007, definitions 3.1, 4.1, 4.2. Leaves: skewness and similarity of values; shares
    are over records, also where an entity is named. Raises `ValueError` for l below 1, c missing or not positive.
    """

    column: str
    l: float  # noqa: E741 - the field's own name
    kind: Literal["distinct", "entropy", "recursive"] = "distinct"
    c: float | None = None

    name: ClassVar[str] = "l-diversity"

    def __post_init__(self) -> None:
        _require(self.l >= 1, "l must be at least 1")
        _require(
            self.kind == "entropy" or float(self.l).is_integer(), f"l of {self.kind} l-diversity is a whole number"
        )
        _require(self.kind in ("distinct", "entropy", "recursive"), "kind is distinct, entropy or recursive")
        if self.kind == "recursive":
            _require(self.c is not None and self.c > 0, "recursive l-diversity needs c, a number above 0")
        else:
            _require(self.c is None, "c belongs to recursive l-diversity only")

    @property
    def monotone_with_suppression(self) -> bool:  # type: ignore[override]
        return self.kind == "distinct"

    @property
    def worst(self) -> Literal["min", "max"]:  # type: ignore[override]
        return "max" if self.kind == "recursive" else "min"

    def measures(self) -> Mapping[str, Measure]:
        if self.kind == "recursive":
            return {"top": measures.top_count(self.column), "tail": measures.tail_count(self.column, int(self.l))}
        return {"measure": (measures.distinct if self.kind == "distinct" else measures.entropy)(self.column)}

    def value(self) -> str:
        return {
            "distinct": "$measure",
            "entropy": "exp($measure)",
            "recursive": "cast($top as double) / nullif($tail, 0)",
        }[self.kind]

    def holds(self) -> str:
        if self.kind == "distinct":
            return f"$measure >= {int(self.l)}"
        if self.kind == "entropy":
            return f"$measure >= {math.log(self.l)!r} - 1e-12"
        c = exact(self.c or 0)
        return f"$top * {c.denominator} < {c.numerator} * $tail"

    @property
    def bound(self) -> float:
        return self.c if self.kind == "recursive" and self.c is not None else self.l


@dataclass(frozen=True)
class AlphaKAnonymity(Model):
    """No sensitive value (of the listed ones, if any are) has a share above alpha in a class; with k, k-anonymity too.

    Measure: the largest share. Source: Wong et al. 2006, (α,k)-anonymity. Leaves: what the share is in the table
    (skewness). Raises `ValueError` for alpha outside (0, 1] and k below 1.
    """

    column: str
    alpha: float
    k: int | None = None
    values: tuple[str, ...] = ()

    name: ClassVar[str] = "alpha-k-anonymity"

    def __post_init__(self) -> None:
        _require(0 < self.alpha <= 1, "alpha is a share above 0 and at most 1")
        _require(self.k is None or self.k >= 1, "k must be at least 1")

    def measures(self) -> Mapping[str, Measure]:
        top = measures.top_count(self.column, self.values)
        return {"top": top, "records": Measure("class_records"), "size": measures.class_size()}

    def value(self) -> str:
        return "cast($top as double) / $records"

    def holds(self) -> str:
        alpha = exact(self.alpha)
        share = f"$top * {alpha.denominator} <= {alpha.numerator} * $records"
        return f"{share} and $size >= {self.k}" if self.k else share

    @property
    def bound(self) -> float:
        return self.alpha


@dataclass(frozen=True)
class TCloseness(Model):
    """The sensitive values of every class are at most t away from those of the whole table.

    Measure: earth mover's distance, 0..1: `equal` (½ Σ|q − p|), `ordered` (neighbours in order are 1/(m−1) apart),
    `hierarchical` (height of the lowest common ancestor / H). Source: Li et al. 2007. The table is the one before
    suppression. Leaves: identity, without k. Raises `ValueError` for t outside [0, 1].
    """

    column: str
    t: float
    distance: Literal["equal", "ordered", "hierarchical"] = "equal"

    name: ClassVar[str] = "t-closeness"

    def __post_init__(self) -> None:
        _require(0 <= self.t <= 1, "t is a distance from 0 to 1")
        _require(self.distance in ("equal", "ordered", "hierarchical"), "distance is equal, ordered or hierarchical")

    def measures(self) -> Mapping[str, Measure]:
        return {"distance": measures.distance(self.column, self.distance)}

    def value(self) -> str:
        return "$distance"

    def holds(self) -> str:
        return f"$distance <= {self.t!r} + 1e-12"

    @property
    def bound(self) -> float:
        return self.t


@dataclass(frozen=True)
class BetaLikeness(Model):
    """No sensitive value gains more than beta in relative share: (q − p) / p ≤ beta; enhanced: ≤ min(beta, −ln p).

    Measure: the largest gain over the values present in the class. Source: Cao & Karras 2012, definitions 2 and 3.
    The table is the one before suppression. Where a value exceeds −ln p, no beta holds and the reported value is
    missing. Leaves: negative gain (absent values). Raises `ValueError` for beta not above 0.
    """

    column: str
    beta: float
    kind: Literal["basic", "enhanced"] = "basic"

    name: ClassVar[str] = "beta-likeness"

    def __post_init__(self) -> None:
        _require(self.beta > 0, "beta is a number above 0")
        _require(self.kind in ("basic", "enhanced"), "kind is basic or enhanced")

    def measures(self) -> Mapping[str, Measure]:
        found = {
            "gain": measures.gain(self.column),
            "above": measures.gains_above(self.column, exact(self.beta) + TOLERANCE),
        }
        return found if self.kind == "basic" else {**found, "beyond": measures.gain_beyond_log(self.column)}

    def value(self) -> str:
        return "$gain" if self.kind == "basic" else "case when $beyond = 0 then $gain end"

    def holds(self) -> str:
        return "$above = 0" if self.kind == "basic" else "$above = 0 and $beyond = 0"

    @property
    def bound(self) -> float:
        return self.beta


@dataclass(frozen=True)
class AverageRisk(Model):
    """The average re-identification risk of the published records, classes ÷ records (persons), is at most `risk`.

    Measure: one number for the table, Σ_E N_E · (1/N_E) / n. Source: the prosecutor risk Rc of El Emam 2013. Leaves:
    single classes of one record, where others are large; combine it with k. Raises `ValueError` for a risk outside
    (0, 1].
    """

    risk: float

    name: ClassVar[str] = "average-risk"
    # Suppression may take large classes' records away in one transformation and not in a more general one.
    monotone: ClassVar[bool] = False
    scope: ClassVar[Literal["class", "table"]] = "table"

    def __post_init__(self) -> None:
        _require(0 < self.risk <= 1, "risk is a share above 0 and at most 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return "cast(count(*) as double) / sum($size)"

    def holds(self) -> str:
        risk = exact(self.risk)
        return f"count(*) * {risk.denominator} <= {risk.numerator} * sum($size)"

    @property
    def bound(self) -> float:
        return self.risk


MODELS: dict[str, type[Model]] = {
    model.name: model for model in (KAnonymity, LDiversity, AlphaKAnonymity, TCloseness, BetaLikeness, AverageRisk)
}


def parts(model: Model, measured: measures.Measured) -> dict[str, Expression]:
    """The `$parts` of a model's SQL: the columns of `measured` that its measures stand in."""
    return {name: measured.at(measure) for name, measure in model.measures().items()}


def needed(models: Sequence[Model]) -> list[Measure]:
    """The measures that the models ask a chain for; the number of records of a class is always there."""
    return [m for model in models for m in model.measures().values() if m.column or m.name == "class_size"]


def every_class(models: Sequence[Model], measured: measures.Measured) -> list[Expression]:
    """The conditions under which a class is kept: those of all models that speak of classes."""
    return [fragment(model.holds(), **parts(model, measured)) for model in models if model.scope == "class"]


def every_table(models: Sequence[Model], measured: measures.Measured, relation: str) -> list[Expression]:
    """The conditions on the kept classes together, which stand in `relation`: those of the models about a table."""
    return [
        fragment(f"(select ({model.holds()}) is true from $kept)", parts(model, measured), kept=table(relation))
        for model in models
        if model.scope == "table"
    ]


def judgement(models: Sequence[Model], measured: measures.Measured, relation: str = "measured") -> Expression:
    """One row over `measured`: rows, classes, and per model its value, violating classes and violating rows.

    Columns: `total_records`, `total_classes`, then `value_i`, `classes_i`, `rows_i` for the i-th model.
    """
    records = measured.columns["class_records"]
    columns = [
        fragment("cast(coalesce(sum($r), 0) as bigint) as total_records", r=records),
        fragment("count(*) as total_classes"),
    ]
    for index, model in enumerate(models):
        found = parts(model, measured)
        if model.scope == "table":
            failed = f"case when ({model.holds()}) then 0 else 1 end"
            columns += [
                fragment(f"cast({model.value()} as double) as value_{index}", **found),
                fragment(f"count(*) * {failed} as classes_{index}", **found),
                fragment(f"cast(coalesce(sum($r), 0) as bigint) * {failed} as rows_{index}", **found, r=records),
            ]
            continue
        value, failed = model.value(), f"({model.holds()}) is not true"
        complete = f"case when count(*) = count({value}) then {model.worst}({value}) end"
        columns += [
            fragment(f"cast({complete} as double) as value_{index}", **found),
            fragment(f"count(*) filter (where {failed}) as classes_{index}", **found),
            fragment(
                f"cast(coalesce(sum($r) filter (where {failed}), 0) as bigint) as rows_{index}", **found, r=records
            ),
        ]
    return fragment("select $columns from $measured", columns=columns, measured=table(relation))


def verdicts(models: Sequence[Model], row: Sequence[Any], *, judged: bool = True) -> tuple[Verdict, ...]:
    """The verdicts in the one row that `judgement` selects."""
    total, _, *numbers = row
    return tuple(
        verdict(model, *numbers[3 * i : 3 * i + 3], judged=judged, empty=not total) for i, model in enumerate(models)
    )


@dataclass(frozen=True)
class Verdict:
    """What one model came to on one relation. `value` is None where it is missing or infinite, which never holds."""

    model: str
    column: str | None
    parameters: dict[str, object]
    value: float | None
    bound: float | None
    holds: bool | None
    classes_violating: int
    rows_violating: int

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def verdict(
    model: Model, value: float | None, classes: int, rows: int, *, judged: bool = True, empty: bool = False
) -> Verdict:
    """A verdict from a judgement's numbers; nothing holds on an empty relation. `judged=False`: the value only."""
    finite = None if value is None or not math.isfinite(value) else value
    if finite is not None and model.worst == "min" and finite.is_integer() and not isinstance(model.bound, float):
        finite = int(finite)
    parameters = model.parameters
    if not judged:
        free = {"k", "l", "t", "alpha", "beta", "risk"} - ({"l"} if parameters.get("kind") == "recursive" else set())
        parameters = {key: v for key, v in parameters.items() if key not in free | {"c"}}
    return Verdict(
        model.name, column_of(model), parameters, finite, model.bound if judged else None,
        (classes == 0 and not empty) if judged else None, classes if judged else 0, rows if judged else 0,
    )  # fmt: skip
