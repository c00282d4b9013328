"""Models about values that are near each other: as numbers, or under a node that a person wants guarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.models.model import Model, exact, require


@dataclass(frozen=True)
class KEAnonymity(Model):
    """Every class has at least k different numbers, and they span at least e.

    Measure: the largest value less the smallest, in the column's unit (days for dates). Source: Zhang et al. 2007,
    (k,e)-anonymity. Missing values count as a value and do not span. Leaves: values that crowd together within the
    span. Raises `ValueError` for k below 1 or e below 0.
    """

    column: str
    k: int
    e: float

    name: ClassVar[str] = "k-e-anonymity"
    monotone_with_suppression = True
    worst: ClassVar[Literal["min", "max"]] = "min"
    requires = "number"
    free = frozenset({"k", "e"})

    def __post_init__(self) -> None:
        require(self.k >= 1, "k must be at least 1")
        require(self.e >= 0, "e is a span, at least 0")

    def measures(self) -> Mapping[str, Measure]:
        return {"distinct": measures.distinct(self.column), "span": measures.span(self.column)}

    def value(self) -> str:
        return "$span"

    def holds(self) -> str:
        e = exact(self.e)
        return f"$distinct >= {self.k} and $span * {e.denominator} >= {e.numerator}"

    @property
    def bound(self) -> float:
        return self.e


@dataclass(frozen=True)
class EpsilonMAnonymity(Model):
    """No value of a class has more than 1/m of the class's records within ε of it.

    Measure: the largest share of a class near one of its values: [x − ε, x + ε], or (`kind: relative`) [x − ε|x|,
    x + ε|x|], ends included, in exact decimals of ten digits (days for dates). Source: Li, Tao & Xiao 2008,
    (ε,m)-anonymity. Missing values are near each other alone. Leaves: what lies just beyond ε. Raises `ValueError` for
    epsilon below 0 (relative: 1 or more), m below 1.
    """

    column: str
    epsilon: float
    m: int
    kind: Literal["absolute", "relative"] = "absolute"

    name: ClassVar[str] = "epsilon-m-anonymity"
    # {5, 100} and {4, 6} hold for ε = 1, m = 2; their union does not.
    monotone = False
    requires = "number"
    free = frozenset({"m"})

    def __post_init__(self) -> None:
        require(self.kind in ("absolute", "relative"), "kind is absolute or relative")
        require(self.epsilon >= 0, "epsilon is a margin, at least 0")
        require(self.kind == "absolute" or self.epsilon < 1, "epsilon of a relative margin is below 1")
        require(
            self.epsilon < 1e18 and (exact(self.epsilon) * 10**10).denominator == 1, "epsilon has at most ten decimals"
        )
        require(self.m >= 1, "m must be at least 1")

    def measures(self) -> Mapping[str, Measure]:
        near = measures.neighbours(self.column, exact(self.epsilon), self.kind == "relative")
        return {"near": near, "records": measures.class_records()}

    def value(self) -> str:
        return "cast($near as double) / $records"

    def holds(self) -> str:
        return f"$near * {self.m} <= $records"

    @property
    def bound(self) -> float:
        return 1 / self.m


@dataclass(frozen=True)
class PersonalisedPrivacy(Model):
    """Nobody is learnt, with more than the given probability, to have a value under the node that they want guarded.

    Measure: per person, the share of the class's records whose sensitive value lies under the person's guarding node
    (`guard`, a column that is not published; missing: no wish); the largest is told. A published value that is itself a
    node counts with the share of its leaves under the guard. Source: Xiao & Tao 2006, the primary case of breach
    probability. Leaves: what is certain from outside knowledge. Raises `ValueError` for a breach outside [0, 1].
    """

    column: str
    guard: str
    breach: float

    name: ClassVar[str] = "personalised-privacy"
    # A union can bring more of what is guarded into a class than it brings records.
    monotone = False
    requires = "hierarchy"
    reads = frozenset({"guard"})
    free = frozenset({"breach"})

    def __post_init__(self) -> None:
        require(0 <= self.breach <= 1, "breach is a probability from 0 to 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"breach": measures.breach(self.column, self.guard)}

    def value(self) -> str:
        return "$breach"

    def holds(self) -> str:
        return f"$breach <= {self.breach!r} + 1e-12"

    @property
    def bound(self) -> float:
        return self.breach
