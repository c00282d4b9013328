"""Models against attribute disclosure that look at a class alone: how many and how evenly its sensitive values are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.models.model import Model, exact, require


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
        require(self.l >= 1, "l must be at least 1")
        require(self.kind == "entropy" or float(self.l).is_integer(), f"l of {self.kind} l-diversity is a whole number")
        require(self.kind in ("distinct", "entropy", "recursive"), "kind is distinct, entropy or recursive")
        if self.kind == "recursive":
            require(self.c is not None and self.c > 0, "recursive l-diversity needs c, a number above 0")
        else:
            require(self.c is None, "c belongs to recursive l-diversity only")

    @property
    def free(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"c"}) if self.kind == "recursive" else frozenset({"l"})

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
    free = frozenset({"alpha", "k"})

    def __post_init__(self) -> None:
        require(0 < self.alpha <= 1, "alpha is a share above 0 and at most 1")
        require(self.k is None or self.k >= 1, "k must be at least 1")

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"persons"}) if self.k else frozenset()

    def measures(self) -> Mapping[str, Measure]:
        top = measures.top_count(self.column, self.values)
        return {"top": top, "records": measures.class_records(), "size": measures.class_size()}

    def value(self) -> str:
        return "cast($top as double) / $records"

    def holds(self) -> str:
        alpha = exact(self.alpha)
        share = f"$top * {alpha.denominator} <= {alpha.numerator} * $records"
        return f"{share} and $size >= {self.k}" if self.k else share

    @property
    def bound(self) -> float:
        return self.alpha
