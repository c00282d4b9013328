"""The p-sensitive family and θ: how many values or categories a class has, and how they are spread."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Grouping, Measure
from sqlanon.models.model import Model, exact, require


class _Sensitivity(Model):
    """What the p-sensitive family shares: at least p of something in every class, and k-anonymity where k is given."""

    column: str
    p: int
    k: int | None

    monotone_with_suppression = True
    worst: ClassVar[Literal["min", "max"]] = "min"
    free = frozenset({"p", "k"})

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"persons"}) if self.k else frozenset()

    def _limits(self) -> None:
        require(self.p >= 1, "p must be at least 1")
        require(self.k is None or self.k >= 1, "k must be at least 1")

    def counted(self) -> Mapping[str, Measure]:
        """The measures of the subclass."""
        raise NotImplementedError

    def condition(self) -> str:
        """The condition of the subclass, without k."""
        raise NotImplementedError

    def measures(self) -> Mapping[str, Measure]:
        return {**self.counted(), "size": measures.class_size()}

    def holds(self) -> str:
        return f"{self.condition()} and $size >= {self.k}" if self.k else self.condition()

    @property
    def bound(self) -> float:
        return self.p


@dataclass(frozen=True)
class PSensitivity(_Sensitivity):
    """Every class has at least p different sensitive values; with k, at least k records (persons) too.

    Measure: different values. Source: Truta & Vinay 2006, p-sensitive k-anonymity; the same as distinct l-diversity.
    Leaves: similar values, and how frequent they are. Raises `ValueError` for p or k below 1.
    """

    column: str
    p: int
    k: int | None = None

    name: ClassVar[str] = "p-sensitivity"

    def __post_init__(self) -> None:
        self._limits()

    def counted(self) -> Mapping[str, Measure]:
        return {"distinct": measures.distinct(self.column)}

    def value(self) -> str:
        return "$distinct"

    def condition(self) -> str:
        return f"$distinct >= {self.p}"


@dataclass(frozen=True)
class PPlusSensitivity(_Sensitivity):
    """Every class has sensitive values of at least p different categories; with k, at least k records (persons) too.

    Measure: different categories: ancestors at `level` of the column's hierarchy; a missing value is a category of its
    own. Source: Sun et al. 2008, p⁺-sensitive k-anonymity. Leaves: how the records are spread over the categories.
    Raises `ValueError` for p, k or level below 1.
    """

    column: str
    p: int
    k: int | None = None
    level: int = 1

    name: ClassVar[str] = "p-plus-sensitivity"
    requires = "hierarchy"

    def __post_init__(self) -> None:
        self._limits()
        require(self.level >= 1, "level is a level of the hierarchy, at least 1")

    def counted(self) -> Mapping[str, Measure]:
        return {"categories": measures.groups_present(self.column, Grouping(self.level))}

    def value(self) -> str:
        return "$categories"

    def condition(self) -> str:
        return f"$categories >= {self.p}"


@dataclass(frozen=True)
class PAlphaSensitivity(_Sensitivity):
    """Every class has at least p different sensitive values with a total weight of at least alpha; with k, k records.

    Measure: the total weight. A value of the i-th of m categories (ancestors at `level`, the most sensitive first in
    the hierarchy) weighs (i − 1)/(m − 1); a missing value weighs 0. Summed over the different values of a class, or
    (`weight: record`) over its records: the paper allows both readings. Source: Sun et al. 2011, (p,α)-sensitive
    k-anonymity. Leaves: classes of many values of one insensitive category. Raises `ValueError` for limits.
    """

    column: str
    p: int
    alpha: float
    k: int | None = None
    level: int = 1
    weight: Literal["value", "record"] = "value"

    name: ClassVar[str] = "p-alpha-sensitivity"
    requires = "hierarchy"
    free = frozenset({"p", "alpha", "k"})

    def __post_init__(self) -> None:
        self._limits()
        require(self.alpha >= 0, "alpha is a total weight, at least 0")
        require(self.level >= 1, "level is a level of the hierarchy, at least 1")
        require(self.weight in ("value", "record"), "weight is value or record")

    def counted(self) -> Mapping[str, Measure]:
        by = Grouping(self.level)
        return {
            "distinct": measures.distinct(self.column),
            "weight": measures.weight(self.column, by, self.weight == "record"),
            "steps": measures.group_steps(self.column, by),
        }

    def value(self) -> str:
        return "cast($weight as double) / nullif($steps, 0)"

    def condition(self) -> str:
        alpha = exact(self.alpha)
        weight = f"$steps > 0 and $weight * {alpha.denominator} >= {alpha.numerator} * $steps"
        return f"$distinct >= {self.p} and {weight}"

    @property
    def bound(self) -> float:
        return self.alpha


@dataclass(frozen=True)
class ExtendedPSensitivity(_Sensitivity):
    """Every class keeps p different values after each is replaced by the `protected` node of the hierarchy above it.

    Measure: different values after that. A protected node is a category that nobody may learn (all cancers); a value
    belongs to the lowest one above it, else it stays itself. Source: Campan, Truta & Cooper 2010, extended p-sensitive
    k-anonymity. Leaves: how frequent the values are. Raises `ValueError` for p or k below 1, or no protected node.
    """

    column: str
    p: int
    protected: tuple[str, ...]
    k: int | None = None

    name: ClassVar[str] = "extended-p-sensitivity"
    requires = "hierarchy"

    def __post_init__(self) -> None:
        self._limits()
        require(len(self.protected) > 0, "protected names at least one node of the hierarchy")

    def counted(self) -> Mapping[str, Measure]:
        return {"groups": measures.groups_present(self.column, Grouping(protected=self.protected))}

    def value(self) -> str:
        return "$groups"

    def condition(self) -> str:
        return f"$groups >= {self.p}"


@dataclass(frozen=True)
class BalancedPPlusSensitivity(_Sensitivity):
    """Every class has at least p categories, whose numbers of records differ by at most b.

    Measure: the largest difference between two categories that occur in a class. Source: Anjum et al. 2018, balanced
    p⁺-sensitive k-anonymity; its text was not available, so this is the reading of the reference: p⁺, and counts within
    b (0 strict, 1 relaxed). Leaves: which values. Raises `ValueError` for p, k, level below 1 or b below 0.
    """

    column: str
    p: int
    b: int = 1
    k: int | None = None
    level: int = 1

    name: ClassVar[str] = "balanced-p-plus-sensitivity"
    # Equal counts become unequal when classes with different categories are united.
    monotone = False
    monotone_with_suppression = False
    worst: ClassVar[Literal["min", "max"]] = "max"
    requires = "hierarchy"
    free = frozenset({"p", "b", "k"})

    def __post_init__(self) -> None:
        self._limits()
        require(self.b >= 0, "b must be at least 0")
        require(self.level >= 1, "level is a level of the hierarchy, at least 1")

    def counted(self) -> Mapping[str, Measure]:
        by = Grouping(self.level)
        return {
            "categories": measures.groups_present(self.column, by),
            "imbalance": measures.group_imbalance(self.column, by),
        }

    def value(self) -> str:
        return "$imbalance"

    def condition(self) -> str:
        return f"$categories >= {self.p} and $imbalance <= {self.b}"

    @property
    def bound(self) -> float:
        return self.b


@dataclass(frozen=True)
class ThetaSensitivity(Model):
    """The sensitive values of every class are spread: the variance V of their ranks by frequency is at least θ.

    Measure: V = Σ f(i) i²/N − (Σ f(i) i/N)² for frequencies f(1) ≥ f(2) ≥ …; θ = mu · (k² − 1)/12, which a class of k
    different values reaches with mu = 1. `theta: n` takes the class's own size N for k, and reports 12 V/(N² − 1)
    against mu. k comes from the k-anonymity of the same list where it is not given. Decided in whole numbers. Source:
    Khan et al. 2020, definition 10 (at least θ). Leaves: V is no order of diversity ((3,1,1) has more than (2,2,1)), so
    the promise implies only what `implied` says, for classes of exactly k records: the worst confidence in a value and
    the least number of different values; `details` gives what was measured. How a partition gets there: `repair` unites
    classes (merge), deals the values out (round-robin), or lets records change their class (swap; paper: Algorithm 1);
    with `noise`, records of nobody fill what is missing. Raises `ValueError` for mu outside (0, 1], k below 1, noise
    without exchanges.
    """

    column: str
    mu: float = 0.6
    theta: Literal["k", "n"] = "k"
    k: int | None = None
    repair: Literal["merge", "round-robin", "swap", "paper"] = "merge"
    noise: bool = False

    name: ClassVar[str] = "theta-sensitivity"
    monotone = False
    worst: ClassVar[Literal["min", "max"]] = "min"
    free = frozenset({"mu", "k"})

    def __post_init__(self) -> None:
        require(0 < self.mu <= 1, "mu is a share above 0 and at most 1")
        require(self.theta in ("k", "n"), "theta is k or n")
        require(self.k is None or self.k >= 1, "k must be at least 1")
        require(not self.noise or self.repair in ("swap", "paper"), "noise belongs to repair swap or paper")

    @property
    def parameters(self) -> dict[str, object]:
        return {key: value for key, value in super().parameters.items() if key not in ("repair", "noise")}

    def measures(self) -> Mapping[str, Measure]:
        return {
            "spread": measures.spread(self.column), "records": measures.class_records(),
            "top": measures.top_count(self.column), "distinct": measures.distinct(self.column),
        }  # fmt: skip

    def value(self) -> str:
        if self.theta == "k":
            return "cast($spread as double) / ($records * $records)"
        own = "cast($records as double) * $records"
        return f"case when $records = 1 then 1 else 12 * cast($spread as double) / ({own} * ({own} - 1)) end"

    def holds(self) -> str:
        mu, squared = exact(self.mu), "cast($records as decimal(38, 0)) * $records"
        full = f"{(self.k or 1) ** 2 - 1}" if self.theta == "k" else f"({squared} - 1)"
        return f"12 * $spread * {mu.denominator} >= {mu.numerator} * {full} * ({squared})"

    def details(self) -> Mapping[str, tuple[str, Literal["min", "max"]]]:
        return {"worst_confidence": ("cast($top as double) / $records", "max"), "least_distinct": ("$distinct", "min")}

    def implied(self) -> Mapping[str, float]:
        if self.theta != "k" or self.k is None:
            return {}
        top = implied_top(self.k, exact(self.mu))
        return {"class_size": self.k, "worst_confidence": top / self.k, "least_distinct": self.k - top + 1}

    @property
    def bound(self) -> float:
        return self.mu * ((self.k or 1) ** 2 - 1) / 12 if self.theta == "k" else self.mu


def implied_top(k: int, mu: Fraction) -> int:
    """The most records with one value in a class of k that satisfies θ(k, mu).

    Among all classes with a top frequency f, (f, 1, …, 1) has the largest V, since moving a record to a value that is
    not there yet raises V; and it falls with f. It has k − f + 1 values.
    """

    def satisfies(top: int) -> bool:
        values = k - top + 1
        first = top + values * (values + 1) // 2 - 1
        second = top + values * (values + 1) * (2 * values + 1) // 6 - 1
        return 12 * (k * second - first * first) >= mu * (k * k - 1) * k * k

    return bisect.bisect_left(range(2, k + 1), True, key=lambda top: not satisfies(top)) + 1
