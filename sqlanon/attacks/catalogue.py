"""The attacks on classes, each as data. Predicates and their corrections: reference/models.md, section 1.6.

An attack on classes is a model turned round: it names its measures, the number that it reports per class (`value`) and
the condition under which a class is breached (`breached`), in house SQL over `measured`, so that all that are asked
share one class × value histogram per sensitive column. A missing value is a value like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.attacks.kinds import (
    NO_FACTS,
    ClassAttack,
    Facts,
    SensitiveAttack,
    Start,
    Undecidable,
    at_least,
    below,
    require,
)
from sqlanon.measures import Measure
from sqlanon.models import TOLERANCE, exact


@dataclass(frozen=True)
class Identity(ClassAttack):
    """The class of a person who is known to be in the table holds fewer than k records: N < k.

    Measure: class size, in records. Source: the prosecutor scenario of El Emam 2013; Samarati & Sweeney 1998. Does not
    see: what is learnt without singling anybody out; that one person may have several records.
    """

    k: int = 5

    name: ClassVar[str] = "identity"
    paper: ClassVar[str] = "Samarati & Sweeney 1998; El Emam 2013 (prosecutor)"
    worst: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        require(self.k >= 2, "k must be at least 2")

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return "$size"

    def breached(self) -> str:
        return f"$size < {self.k}"

    def start(self, worst: float) -> Start:
        return Start("k", ">", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"k-anonymity(k={self.k})"


@dataclass(frozen=True)
class Homogeneity(SensitiveAttack):
    """All records of a class have one sensitive value, so that whoever is in the class has it.

    Measure: distinct values; breached at one. Source: Machanavajjhala et al. 2007, section 2.1.
    """

    column: str | None = None

    name: ClassVar[str] = "homogeneity"
    paper: ClassVar[str] = "Machanavajjhala et al. 2007, section 2.1"
    worst: ClassVar[Literal["min", "max"]] = "min"

    def measures(self) -> Mapping[str, Measure]:
        return {"distinct": measures.distinct(self.of)}

    def value(self) -> str:
        return "$distinct"

    def breached(self) -> str:
        return "$distinct = 1"

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"l-diversity({self.about}, kind=distinct, l=2)"


@dataclass(frozen=True)
class CategoricalSimilarity(SensitiveAttack):
    """The sensitive values of a class differ, and nearly all mean the same: a category's share is at least tau.

    Categories are a level of the sensitive column's hierarchy; a missing value is a category of its own. Source: Khan
    et al. 2020 (there tau = 1, and 0.5 in an example); the similarity attack of Li et al. 2007. Counter: two categories
    (p⁺-sensitive) stop tau = 1; a smaller tau is stopped by the hierarchical t-closeness below
    (tau − P) · (level + 1) / height, where P is the largest share of a category in the table, since what a category
    has beyond P must be moved out of it.
    """

    column: str | None = None
    tau: float = 1
    level: int = 1

    name: ClassVar[str] = "categorical-similarity"
    needs: ClassVar[tuple[str, ...]] = ("sensitive", "hierarchy")
    paper: ClassVar[str] = "Khan et al. 2020; Li et al. 2007 (similarity)"

    def __post_init__(self) -> None:
        require(0 < self.tau <= 1, "tau is a share above 0 and at most 1")
        require(self.level >= 1, "level must be at least 1")

    @property
    def category(self) -> str:
        """The column of categories beside the histogram."""
        return f"category {self.level}"

    def measures(self) -> Mapping[str, Measure]:
        return {"top": measures.top_count(self.category), "records": Measure("class_records")}

    def value(self) -> str:
        return "cast($top as double) / $records"

    def breached(self) -> str:
        return at_least("$top", exact(self.tau), "$records")

    def start(self, worst: float) -> Start:
        return Start("tau", "<=", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str | None:
        if self.tau == 1 and self.level == 1:
            return f"p-plus-sensitivity({self.about}, p=2)"
        if facts.largest_share is None or facts.height is None:
            return None
        room = (exact(self.tau) - facts.largest_share) * (self.level + 1) / facts.height
        return f"t-closeness({self.about}, distance=hierarchical, t={below(room):f})" if 0 < room <= 1 else None


@dataclass(frozen=True)
class SensitiveVariance(SensitiveAttack):
    """The sensitive values of a class are too uneven: the variance of their frequency ranks V is below theta(k, mu).

    V = Σ f_i i² / N − (Σ f_i i / N)² for frequencies f_1 ≥ f_2 ≥ …; theta = mu (k² − 1) / 12; in whole numbers.
    `k`: that of the table, the size of its smallest class, where it is not given; at least 2, since theta(1) is 0.
    Source: Khan et al. 2020, definition 10, read as V < theta. V is no order of diversity: a more even class can have
    less of it.
    """

    column: str | None = None
    mu: float = 0.6
    k: int | None = None

    name: ClassVar[str] = "sensitive-variance"
    paper: ClassVar[str] = "Khan et al. 2020"
    worst: ClassVar[Literal["min", "max"]] = "min"

    def __post_init__(self) -> None:
        require(0 < self.mu <= 1, "mu is a number above 0 and at most 1")
        require(exact(self.mu).denominator <= 10**6, "mu has at most six decimals")
        require(self.k is None or self.k >= 2, "k must be at least 2")

    def measures(self) -> Mapping[str, Measure]:
        ranks, squares = "sum($class_count * $frequency_rank)", "sum($class_count * $frequency_rank * $frequency_rank)"
        return {
            "first": Measure("sum of ranks", ranks, self.of),
            "second": Measure("sum of squared ranks", squares, self.of),
            "records": Measure("class_records"),
        }

    def value(self) -> str:
        return "cast($records * $second - $first * $first as double) / (cast($records as double) * $records)"

    def breached(self) -> str:
        mu, k = exact(self.mu), self.k or 2
        theta = f"cast($records as decimal(38, 0)) * $records * {mu.numerator * (k * k - 1)}"
        return f"12 * {mu.denominator} * ($records * $second - $first * $first) < {theta}"

    def start(self, worst: float) -> Start:
        k = self.k or 2
        return Start("mu", ">", 12 * worst / (k * k - 1))

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"theta-sensitivity({self.about}, k={self.k}, mu={self.mu})"


@dataclass(frozen=True)
class Skewness(SensitiveAttack):
    """A sensitive value is more frequent in a class than in the table: q / p ≥ ratio, or (q − p) / p > beta.

    One of `ratio` (2 by default) and `beta`. The table is the relation itself. Source: Li et al. 2007, section 3.1; Cao
    & Karras 2012. A rare value cannot be in a small class without a large ratio.
    """

    column: str | None = None
    ratio: float | None = None
    beta: float | None = None

    name: ClassVar[str] = "skewness"
    paper: ClassVar[str] = "Li et al. 2007, section 3.1; Cao & Karras 2012"

    def __post_init__(self) -> None:
        require(self.ratio is None or self.beta is None, "beta and ratio say the same; give one")
        if self.beta is None and self.ratio is None:
            object.__setattr__(self, "ratio", 2)
        require(self.ratio is None or self.ratio > 1, "ratio is a number above 1")
        require(self.beta is None or self.beta > 0, "beta is a number above 0")

    def measures(self) -> Mapping[str, Measure]:
        if self.beta is not None:
            beta = exact(self.beta) + TOLERANCE
            return {"gain": measures.gain(self.of), "above": measures.gains_above(self.of, beta)}
        ratio = exact(self.ratio or 2)
        lift = "cast($class_count as double) * $table_total / (cast($table_count as double) * $class_records)"
        reached = (
            f"cast($class_count as decimal(38, 0)) * $table_total * {ratio.denominator}"
            f" >= cast($table_count as decimal(38, 0)) * $class_records * {ratio.numerator}"
        )
        return {
            "gain": Measure("lift", f"max({lift})", self.of),
            "above": Measure(f"lifts of {ratio}", f"count(*) filter (where {reached})", self.of),
        }

    def value(self) -> str:
        return "$gain"

    def breached(self) -> str:
        return "$above > 0"

    def start(self, worst: float) -> Start:
        return Start("ratio", "<=", worst) if self.beta is None else Start("beta", "<", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        beta = repr(self.beta) if self.beta is not None else f"{below(exact(self.ratio or 2) - 1):f}"
        return f"beta-likeness({self.about}, kind=basic, beta={beta})"


@dataclass(frozen=True)
class BackgroundKnowledge(SensitiveAttack):
    """Who can rule out any b sensitive values learns the one that is left: the class has at most b + 1 values.

    With `c`: who rules out the b most frequent values after the first believes the first with a confidence of
    f_1 / (N − f_2 − … − f_(b+1)) ≥ c. Source: Machanavajjhala et al. 2007, sections 2.2, 4.2; Martin et al. 2007.
    """

    column: str | None = None
    b: int = 1
    c: float | None = None

    name: ClassVar[str] = "background-knowledge"
    paper: ClassVar[str] = "Machanavajjhala et al. 2007, sections 2.2, 4.2"

    def __post_init__(self) -> None:
        require(self.b >= 0, "b must be at least 0")
        require(self.c is None or 0 < self.c <= 1, "c is a confidence above 0 and at most 1")

    @property
    def worst(self) -> Literal["min", "max"]:  # type: ignore[override]
        return "min" if self.c is None else "max"

    def measures(self) -> Mapping[str, Measure]:
        if self.c is None:
            return {"distinct": measures.distinct(self.of)}
        return {"top": measures.top_count(self.of), "tail": measures.tail_count(self.of, self.b + 2)}

    def value(self) -> str:
        return "$distinct" if self.c is None else "cast($top as double) / ($top + $tail)"

    def breached(self) -> str:
        if self.c is None:
            return f"$distinct <= {self.b + 1}"
        return at_least("$top", exact(self.c), "($top + $tail)")

    def start(self, worst: float) -> Start:
        return Start("b", ">=", worst - 1) if self.c is None else Start("c", "<=", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        if self.c is None or self.c == 1:
            return f"l-diversity({self.about}, kind=distinct, l={self.b + 2})"
        odds = below(exact(self.c) / (1 - exact(self.c)))
        return f"l-diversity({self.about}, kind=recursive, c={odds:f}, l={self.b + 2})"


@dataclass(frozen=True)
class KnownDistribution(SensitiveAttack):
    """Who knows the distribution p of the whole table gains confidence from a class: max (q − p) > gain.

    Measure: the largest gain of a value's share, 0..1. The table is the relation itself. Source: Li et al. 2007,
    section 3 (from the prior belief to the posterior).
    """

    column: str | None = None
    gain: float = 0.2

    name: ClassVar[str] = "known-distribution"
    paper: ClassVar[str] = "Li et al. 2007, section 3"

    def __post_init__(self) -> None:
        require(0 <= self.gain < 1, "gain is a share of at least 0 and below 1")

    def measures(self) -> Mapping[str, Measure]:
        more = "$class_count * $table_total - $table_count * $class_records"
        gain, whole = exact(self.gain) + TOLERANCE, "cast($class_records as decimal(38, 0)) * $table_total"
        above = f"cast({more} as decimal(38, 0)) * {gain.denominator} > {whole} * {gain.numerator}"
        share = f"cast({more} as double) / (cast($class_records as double) * $table_total)"
        return {
            "gain": Measure("gain of confidence", f"max({share})", self.of),
            "above": Measure(f"gains of confidence above {gain}", f"count(*) filter (where {above})", self.of),
        }

    def value(self) -> str:
        return "$gain"

    def breached(self) -> str:
        return "$above > 0"

    def start(self, worst: float) -> Start:
        return Start("gain", "<", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"t-closeness({self.about}, distance=equal, t={self.gain})"


@dataclass(frozen=True)
class ProbabilisticInference(SensitiveAttack):
    """The most frequent sensitive value of a class has a share above alpha: a guess is right that often.

    Source: Wong et al. 2006, (α,k)-anonymity. Does not see what the share is in the table (skewness).
    """

    column: str | None = None
    alpha: float = 0.5

    name: ClassVar[str] = "probabilistic-inference"
    paper: ClassVar[str] = "Wong et al. 2006"

    def __post_init__(self) -> None:
        require(0 < self.alpha < 1, "alpha is a share above 0 and below 1")

    def measures(self) -> Mapping[str, Measure]:
        return {"top": measures.top_count(self.of), "records": Measure("class_records")}

    def value(self) -> str:
        return "cast($top as double) / $records"

    def breached(self) -> str:
        return f"not ({at_least('($records - $top)', 1 - exact(self.alpha), '$records')})"

    def start(self, worst: float) -> Start:
        return Start("alpha", "<", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        return f"alpha-k-anonymity({self.about}, alpha={self.alpha})"


@dataclass(frozen=True)
class ValuePrediction(SensitiveAttack):
    """A number is guessed to within a margin: the share of a class that is that near to one of its values ≥ threshold.

    `margin` in the unit of the column (days for dates), closed at both ends, exact to 12 decimals. A missing value is
    near to missing ones only. Source: Li et al. 2008, (ε,m)-anonymity; Neumann et al. 2019 (JISA 10:1), algorithm 1,
    which leaves missing values out. Does not see a guess between the values, which may be near to more of them.
    """

    column: str | None = None
    margin: float | None = None
    threshold: float = 0.9

    name: ClassVar[str] = "value-prediction"
    paper: ClassVar[str] = "Li et al. 2008, (ε,m)-anonymity; Neumann et al. 2019"

    def __post_init__(self) -> None:
        require(self.margin is None or 0 <= self.margin <= 1e15, "margin is a number from 0 to 1e15")
        require(0 < self.threshold <= 1, "threshold is a share above 0 and at most 1")

    @property
    def near(self) -> str:
        """The column beside the histogram that says how many records of the class are near to a value."""
        return f"near {exact(self.margin or 0)}"

    def measures(self) -> Mapping[str, Measure]:
        return {"near": Measure("most near", "max($value)", self.near), "records": Measure("class_records")}

    def value(self) -> str:
        return "cast($near as double) / $records"

    def breached(self) -> str:
        return at_least("$near", exact(self.threshold), "$records")

    def start(self, worst: float) -> Start:
        return Start("threshold", "<=", worst)

    def countered_by(self, facts: Facts = NO_FACTS) -> str:
        m = math.floor(1 / exact(self.threshold)) + 1
        return f"epsilon-m-anonymity({self.about}, epsilon={self.margin}, m={m})"


# -- attacks on how a release was made ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minimality(Undecidable):
    """Whoever knows the algorithm and that it coarsens no more than it must learns why a class was coarsened.

    Source: Wong et al. 2007.
    """

    name: ClassVar[str] = "minimality"
    paper: ClassVar[str] = "Wong et al. 2007"
    sentence: ClassVar[str] = (
        "not decidable on the table: a release whose grouping depends on the sensitive value is open to it; disclose"
        " randomised tie-breaks, document the algorithm"
    )


@dataclass(frozen=True)
class DeFinetti(Undecidable):
    """A classifier learnt from the release itself tells whose a sensitive value of a bucket is. Source: Kifer 2009."""

    name: ClassVar[str] = "definetti"
    paper: ClassVar[str] = "Kifer 2009"
    sentence: ClassVar[str] = (
        "not decidable on the table: flag Anatomy output, whose buckets keep the quasi-identifiers exact"
    )
