"""Models against identity disclosure: how well a record hides among others, in the table or in the population."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.models.model import Model, exact, require


@dataclass(frozen=True)
class KAnonymity(Model):
    """Every class has at least k records, or k persons where the spec names an entity.

    Measure: class size. Source: Samarati & Sweeney 1998. Leaves: everything about the sensitive values; a class may
    share one (homogeneity). Raises `ValueError` for k below 1.
    """

    k: int

    name: ClassVar[str] = "k-anonymity"
    monotone_with_suppression = True
    reads = frozenset({"persons"})
    free = frozenset({"k"})
    worst: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        require(self.k >= 1, "k must be at least 1")

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
class AverageRisk(Model):
    """The average re-identification risk of the published records, classes ÷ records (persons), is at most `risk`.

    Measure: one number for the table, Σ_E N_E · (1/N_E) / n. Source: the prosecutor risk Rc of El Emam 2013. Leaves:
    single classes of one record, where others are large; combine it with k. Raises `ValueError` for a risk outside
    (0, 1].
    """

    risk: float

    name: ClassVar[str] = "average-risk"
    # Suppression may take large classes' records away in one transformation and not in a more general one.
    monotone = False
    reads = frozenset({"persons"})
    free = frozenset({"risk"})
    scope: ClassVar[Literal["class", "table"]] = "table"

    def __post_init__(self) -> None:
        require(0 < self.risk <= 1, "risk is a share above 0 and at most 1")

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


@dataclass(frozen=True)
class MUniqueness(Model):
    """At most a given share of the published records (persons) are in classes of fewer than m.

    Measure: that share, 0..1. With m = 2 it is sample uniqueness. Source: the size thresholds of disclosure control
    (Skinner & Elliot 2002; the re-identification risk Ra of El Emam 2013 with threshold 1/m). Leaves: the records
    within the share, whoever they are. Raises `ValueError` for m below 2 and a share outside [0, 1].
    """

    m: int
    share: float

    name: ClassVar[str] = "m-uniqueness"
    # Suppression may take large classes away in one transformation and not in a more general one.
    monotone = False
    reads = frozenset({"persons"})
    free = frozenset({"share"})
    scope: ClassVar[Literal["class", "table"]] = "table"

    def __post_init__(self) -> None:
        require(self.m >= 2, "m must be at least 2")
        require(0 <= self.share <= 1, "share is a share from 0 to 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return f"cast(coalesce(sum($size) filter (where $size < {self.m}), 0) as double) / sum($size)"

    def holds(self) -> str:
        share = exact(self.share)
        small = f"coalesce(sum($size) filter (where $size < {self.m}), 0)"
        return f"{small} * {share.denominator} <= {share.numerator} * sum($size)"

    @property
    def bound(self) -> float:
        return self.share


@dataclass(frozen=True)
class SampleUniqueness(Model):
    """At most a given share of the published records (persons) is alone in its class.

    Measure: #{N_E = 1} / n, 0..1. Source: Skinner & Elliot 2002. Leaves: small classes above one, and whether the
    unique records are unique in the population. Raises `ValueError` for a share outside [0, 1].
    """

    share: float

    name: ClassVar[str] = "sample-uniqueness"
    monotone = False
    reads = frozenset({"persons"})
    free = frozenset({"share"})
    scope: ClassVar[Literal["class", "table"]] = "table"

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share is a share from 0 to 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return MUniqueness(2, self.share).value()

    def holds(self) -> str:
        return MUniqueness(2, self.share).holds()

    @property
    def bound(self) -> float:
        return self.share


@dataclass(frozen=True)
class PopulationUniqueness(Model):
    """At most a given share of the population is estimated to be unique on the published quasi-identifiers.

    Measure: estimated population uniques / `population`, 0..1, from the histogram of class sizes; `estimator` zayatz,
    pitman, snb, or dankar, which chooses among them by the sampling fraction. An estimate that fails never holds.
    Source: Zayatz 1991, Hoshino 2001, Chen & McNulty 1998, Dankar et al. 2012. Leaves: it is an estimate about a random
    sample of the population, and not a guarantee. A view cannot re-check it. Raises `ValueError` for a share outside
    [0, 1], a population below 1.
    """

    share: float
    population: int
    estimator: Literal["dankar", "zayatz", "pitman", "snb"] = "dankar"

    name: ClassVar[str] = "population-uniqueness"
    monotone = False
    reads = frozenset({"persons"})
    free = frozenset({"share"})
    scope: ClassVar[Literal["class", "table"]] = "table"
    in_views: ClassVar[bool] = False
    estimated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share is a share from 0 to 1")
        require(self.population >= 1, "population is the number of people in it, at least 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def estimate(self, sizes: Mapping[int, int]) -> float:
        from sqlanon.uniqueness import ESTIMATORS

        sample = sum(size * classes for size, classes in sizes.items())
        return (
            ESTIMATORS[self.estimator](sizes, self.population) / self.population
            if sample <= self.population
            else math.nan
        )

    @property
    def bound(self) -> float:
        return self.share


@dataclass(frozen=True)
class KMap(Model):
    """Every class of the release matches at least k records of the population table on the quasi-identifiers.

    Measure: population records with the class's generalised quasi-identifiers. Source: Sweeney 2002 (k-map). The
    population is recoded like the release. Leaves: everything about the sensitive values; and it is as good as the
    population table. Raises `ValueError` for k below 1.
    """

    k: int

    name: ClassVar[str] = "k-map"
    monotone_with_suppression = True
    worst: ClassVar[Literal["min", "max"]] = "min"
    reads = frozenset({"population"})
    free = frozenset({"k"})

    def __post_init__(self) -> None:
        require(self.k >= 1, "k must be at least 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"population": measures.population()}

    def value(self) -> str:
        return "$population"

    def holds(self) -> str:
        return f"$population >= {self.k}"

    @property
    def bound(self) -> float:
        return self.k


@dataclass(frozen=True)
class DeltaPresence(Model):
    """Whoever is in the population table is in the release with a probability from `minimum` to `maximum`.

    Measure: records of the class / population records with its quasi-identifiers; the largest is told. Population
    classes without a released record have 0, which a minimum above 0 forbids (they count as one violating class).
    Source: Nergiz, Atzori & Clifton 2007. Leaves: the sensitive values. Raises `ValueError` for bounds outside [0, 1]
    or in the wrong order.
    """

    maximum: float
    minimum: float = 0

    name: ClassVar[str] = "delta-presence"
    reads = frozenset({"population"})
    free = frozenset({"minimum", "maximum"})

    def __post_init__(self) -> None:
        require(0 <= self.maximum <= 1, "maximum is a probability from 0 to 1")
        require(0 <= self.minimum <= 1, "minimum is a probability from 0 to 1")
        require(self.minimum <= self.maximum, "minimum is at most maximum")

    @property
    def monotone(self) -> bool:  # type: ignore[override]
        return self.minimum == 0

    def measures(self) -> Mapping[str, Measure]:
        return {
            "records": measures.class_records(), "population": measures.population(),
            "all": measures.population_classes(),
        }  # fmt: skip

    def value(self) -> str:
        return "cast($records as double) / nullif($population, 0)"

    def holds(self) -> str:
        least, most = exact(self.minimum), exact(self.maximum)
        return (
            f"$population > 0 and $records * {most.denominator} <= {most.numerator} * $population"
            f" and $records * {least.denominator} >= {least.numerator} * $population"
        )

    def whole(self) -> str | None:
        return "count(*) filter (where $population > 0) = max($all)" if self.minimum > 0 else None

    @property
    def bound(self) -> float:
        return self.maximum


@dataclass(frozen=True)
class KMAnonymity(Model):
    """Every set of up to m items that occurs in a record of the set-valued column occurs in at least k records.

    Measure: the least support of an itemset, records. Source: Terrovitis, Mamoulis & Kalnis 2008 (k^m-anonymity). An
    attacker who knows up to m of a person's items finds at least k records. The column is a list, or a text with a
    `separator` between items; missing items are none. Leaves: an attacker who knows more than m items, or items that a
    person does not have. Deleting records lowers supports, so suppression does not help. Raises `ValueError` for k
    below 1, m outside 1 to 6, a separator of more than one character.
    """

    column: str
    k: int
    m: int
    separator: str | None = None

    name: ClassVar[str] = "k-m-anonymity"
    monotone = False
    scope: ClassVar[Literal["class", "table"]] = "table"
    worst: ClassVar[Literal["min", "max"]] = "min"
    requires = "set"
    free = frozenset({"k"})

    def __post_init__(self) -> None:
        require(self.k >= 1, "k must be at least 1")
        require(1 <= self.m <= 6, "m is a number of items from 1 to 6")
        require(self.separator is None or len(self.separator) == 1, "separator is one character")

    def measures(self) -> Mapping[str, Measure]:
        return {"itemsets": measures.itemsets(self.column, self.m, self.separator)}

    def value(self) -> str:
        support = "select sum(itemset_count) as support from $itemsets where exists (select 1 from $kept where $match)"
        return f"(select min(support) from ({support} group by $itemsets_set) as supports)"

    def holds(self) -> str:
        return f"count(*) >= 0 and coalesce({self.value()}, {self.k}) >= {self.k}"

    @property
    def bound(self) -> float:
        return self.k
