"""How many people are unique in a population of which only a sample is there: estimates from the sample's class sizes.

Every estimator reads the histogram of the sample, `sizes` (class size → number of classes of it), and the number of
records of the population (persons where classes count persons), and gives the estimated number of population uniques.
What no estimator may do is give a number that cannot be right: it is NaN where its equations have no solution, more
than one, or one outside 0 … N − (n − S₁), since a record that shares its class in the sample is not unique in the
population. A sample that is the whole population has exactly its own uniques.

Definitions and worked vectors: Zayatz 1991; Hoshino 2001 (Pitman); Chen & Keller-McNulty 1998 (slide negative
binomial); Haas & Stokes 1998 (Shlosser); Dankar et al. 2012. ARX's SNB and Shlosser have two slips in their formulas
(multiplication for division, a missing pair of parentheses); the formulas here are the derived ones. All are models of
how people are distributed: none sees what an attacker knows. Also here: SafePub's parameters, and the expected risk of
a record when only the size of the population is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product

import numpy as np

Sizes = Mapping[int, int]

NONE = float("nan")

# A solution of an estimator's equations is one when both sides agree to this share.
_CONVERGED = 1e-9


@dataclass(frozen=True)
class Dankar:
    """What Dankar's rule came to: the number of population uniques, and the estimator that it was taken from."""

    estimate: float
    model: str


@dataclass(frozen=True)
class _Sample:
    """A checked histogram: `classes` u, `records` n, `uniques` S₁ and the fraction π = n / N."""

    sizes: dict[int, int]
    population: int

    @property
    def classes(self) -> int:
        return sum(self.sizes.values())

    @property
    def records(self) -> int:
        return sum(size * count for size, count in self.sizes.items())

    @property
    def uniques(self) -> int:
        return self.sizes.get(1, 0)

    @property
    def fraction(self) -> float:
        return self.records / self.population


def _sample(sizes: Sizes, population: int) -> _Sample:
    """Raises `ValueError` for sizes below 1, counts below 0, and a population smaller than the sample."""
    # In order, so that equal histograms give equal numbers to the last bit.
    kept = {int(size): int(count) for size, count in sorted(sizes.items()) if count != 0}
    if any(size < 1 for size in kept):
        raise ValueError("a class has at least one record")
    if any(count < 0 for count in kept.values()):
        raise ValueError("a number of classes is not negative")
    found = _Sample(kept, int(population))
    if found.population < found.records:
        raise ValueError(f"the population ({population}) is smaller than the sample ({found.records})")
    return found


def _estimate(sizes: Sizes, population: int, estimator: Callable[[_Sample], float]) -> float:
    """What an estimator says, where it can be right."""
    sample = _sample(sizes, population)
    if not sample.sizes:
        return NONE
    if sample.records == sample.population:
        return float(sample.uniques)
    with np.errstate(all="ignore"):
        found = float(estimator(sample))
    most = sample.population - (sample.records - sample.uniques)
    return found if math.isfinite(found) and 0 <= found <= most * (1 + 1e-12) else NONE


# -- Zayatz ------------------------------------------------------------------------------------------------------------


def zayatz(sizes: Sizes, population: int) -> float:
    """Estimated population uniques after Zayatz 1991: S₁ · P(population unique | sample unique) · N / n.

    P by Bayes from the sample's own class sizes as those of the population, with hypergeometric sampling. Reads high
    for small samples. Raises `ValueError` for a population smaller than the sample.
    """
    return _estimate(sizes, population, _zayatz)


def _zayatz(sample: _Sample) -> float:
    n, whole = sample.records, sample.population
    weight, at, ratio = 0.0, 1, 1.0
    # h(K) / h(1), where h(K) = P(one record of a class of K is drawn), is K · Π_{i<K} (N − n − i + 1) / (N − i).
    for size, count in sorted(sample.sizes.items()):
        while at < size and ratio:
            upto = min(size, at + 100_000)
            steps = np.arange(at, upto, dtype=np.float64)
            ratio *= float(np.prod(np.maximum(whole - n - steps + 1, 0) / (whole - steps)))
            at = upto
        weight += count * size * ratio
        if ratio == 0:
            break
    return sample.uniques * sample.uniques / weight * whole / n if weight else 0.0


# -- Pitman ------------------------------------------------------------------------------------------------------------


def pitman(sizes: Sizes, population: int) -> float:
    """Estimated population uniques after Hoshino 2001: Γ(θ + 1) / Γ(θ + α) · N^α with Pitman's θ, α by likelihood.

    Meant for small fractions (n ≤ N / 10). NaN where the likelihood has no maximum with 0 < α < 1: all classes are of
    one record, there is one class, or the sizes are more even than the model can be. Raises `ValueError` for a
    population smaller than the sample.
    """
    return _estimate(sizes, population, _pitman)


def _pitman(sample: _Sample) -> float:
    found = pitman_parameters(sample.sizes)
    if found is None:
        return NONE
    theta, alpha = found
    return _rising(theta + alpha, 1 - alpha) * math.pow(sample.population, alpha)


def _rising(start: float, step: float) -> float:
    """Γ(start + step) / Γ(start) for 0 ≤ step ≤ 1."""
    from scipy import special

    if start < 1e5:
        return float(special.poch(start, step))
    # Two logarithms of Γ would lose what they have in common.
    first = step * (step - 1) / (2 * start)
    second = step * (step - 1) * (step - 2) * (3 * step - 1) / (24 * start**2)
    return math.pow(start, step) * (1 + first + second)


def pitman_parameters(sizes: Sizes) -> tuple[float, float] | None:
    """Pitman's θ and α of greatest likelihood for a sample, or None where there is no maximum with 0 < α < 1."""
    from scipy import optimize

    sample = _sample(sizes, sum(size * count for size, count in sizes.items()))
    if sample.classes < 2 or sample.classes == sample.records:
        return None
    low, high = 1e-9, 1 - 1e-9
    if not _alpha_score(sample, low) > 0 > _alpha_score(sample, high):
        return None
    alpha, told = optimize.brentq(
        lambda a: _alpha_score(sample, a), low, high, xtol=1e-15, rtol=1e-14, full_output=True, disp=False
    )
    theta = _theta(sample, alpha)
    return (theta, float(alpha)) if told.converged and math.isfinite(theta) else None


def _alpha_score(sample: _Sample, alpha: float) -> float:
    """∂/∂α of the log-likelihood where θ is best for this α: Σ_{i<u} i / (θ + iα) − Σ_j S_j Σ_{i<j} 1 / (i − α)."""
    from scipy import special

    theta, steps = _theta(sample, alpha), sample.classes - 1
    if not math.isfinite(theta):
        return NONE
    gained = (steps - theta / alpha * _reciprocals(theta / alpha + 1, steps)) / alpha
    if theta > 1e3 * alpha * sample.classes:
        # The two terms are nearly equal there; the series of i / (θ + iα) in iα / θ loses nothing.
        first, second = steps * (steps + 1) / 2, steps * (steps + 1) * (2 * steps + 1) / 6
        gained = first / theta - alpha * second / theta**2 + (alpha * first) ** 2 / theta**3
    size, count = (np.array(list(part), dtype=np.float64) for part in (sample.sizes, sample.sizes.values()))
    return gained - float(np.sum(count * (special.digamma(size - alpha) - special.digamma(1 - alpha))))


def _theta(sample: _Sample, alpha: float) -> float:
    """The θ that is best for an α: Σ_{i<u} 1 / (θ + iα) = Σ_{i<n} 1 / (θ + i)."""
    from scipy import optimize

    def score(logarithm: float) -> float:
        above = math.exp(logarithm)  # θ + α, which is positive however near to −α the best θ is
        return _reciprocals(above / alpha, sample.classes - 1) / alpha - _reciprocals(
            above - alpha + 1, sample.records - 1
        )

    low, high = math.log(alpha) - 40.0, math.log(sample.records) + 60.0
    if not score(low) > 0 > score(high):
        return NONE
    found, told = optimize.brentq(score, low, high, xtol=1e-14, rtol=1e-14, full_output=True, disp=False)
    return float(math.exp(found) - alpha) if told.converged else NONE


def _reciprocals(first: float, terms: int) -> float:
    """Σ_{i<terms} 1 / (first + i), for first > 0, without loss where first is large."""
    from scipy import special

    last = first + terms
    if first < 1e4:
        return float(special.digamma(last) - special.digamma(first))
    return math.log1p(terms / first) + (1 / first - 1 / last) / 2 + (1 / first**2 - 1 / last**2) / 12


# -- slide negative binomial -------------------------------------------------------------------------------------------


def shlosser(sizes: Sizes, fraction: float) -> float:
    """Estimated number of classes of the population: the modified Shlosser estimator Sh3 of Haas & Stokes 1998.

    `fraction` is the sampled share of the records, above 0 and at most 1. NaN where the sample says nothing. Raises
    `ValueError` for another fraction.
    """
    _require_fraction(fraction)
    sample = _sample(sizes, sum(size * count for size, count in sizes.items()))
    uniques = sample.uniques
    if not sample.sizes:
        return NONE
    if uniques == 0 or fraction == 1:
        return float(sample.classes)
    size, count = (np.array(list(part), dtype=np.float64) for part in (sample.sizes, sample.sizes.values()))
    left = math.log1p(-fraction)
    unseen = np.exp(size * left)
    drawn = np.sum(size * fraction**2 * np.exp((size - 1) * math.log1p(-(fraction**2))) * count)
    # (1 − q)^i · ((1 + q)^i − 1) = (1 − q²)^i · (1 − (1 + q)^−i), which neither overflows nor loses digits.
    again = np.sum(np.exp(size * math.log1p(-(fraction**2))) * -np.expm1(-size * math.log1p(fraction)) * count)
    ratio = np.sum(unseen * count) / np.sum(size * fraction * np.exp((size - 1) * left) * count)
    return float(sample.classes + uniques * (drawn / again) * ratio**2)


def snb(sizes: Sizes, population: int) -> float:
    """Estimated population uniques after Chen & Keller-McNulty 1998: K · β^α of the slide negative binomial model.

    Population class sizes are 1 + NB(α, β), K of them (Shlosser's Sh3), and the sample takes each record with
    probability n / N; α and β are where the expected numbers of sample classes of one and of two records are those
    that are there. NaN without either, and where the equations have no solution or several. Raises `ValueError` for a
    population smaller than the sample.
    """
    return _estimate(sizes, population, _snb)


def _snb(sample: _Sample) -> float:
    classes, pairs = shlosser(sample.sizes, sample.fraction), sample.sizes.get(2, 0)
    if not (sample.uniques and pairs and math.isfinite(classes)):
        return NONE
    found: list[float] = []
    for alpha, beta in _solutions(classes, sample.fraction, sample.uniques, pairs):
        estimate = classes * beta**alpha
        if not any(math.isclose(estimate, other, rel_tol=1e-6) for other in found):
            found.append(estimate)
    return found[0] if len(found) == 1 else NONE


def expected(classes: float, fraction: float, alpha: float, beta: float) -> tuple[float, float]:
    """Expected numbers of sample classes of one and of two records in the slide negative binomial model."""
    rest = (1 - fraction) * (1 - beta)
    seen = 1 - rest
    power = math.exp(alpha * (math.log(beta) - math.log(seen)))
    one = classes * fraction * power * (1 + alpha * rest / seen)
    two = classes * fraction**2 * alpha * power * (1 - beta) * (2 - (1 - alpha) * rest) / (2 * seen**2)
    return one, two


def _solutions(classes: float, fraction: float, ones: int, twos: int) -> list[tuple[float, float]]:
    """Every (α, β) with α > 0 and 0 < β < 1 that a search from a grid of starts finds and that solves the equations."""
    from scipy import optimize, special

    def parameters(point: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
        return math.exp(max(min(point[0], 50.0), -50.0)), float(special.expit(max(min(point[1], 36.0), -50.0)))

    def off(point: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
        one, two = expected(classes, fraction, *parameters(point))
        return [one / ones - 1, two / twos - 1]

    found = []
    for alpha, beta in product((0.001, 0.05, 0.5, 2.0, 20.0), (0.0001, 0.01, 0.1, 0.5, 0.9)):
        told = optimize.root(off, [math.log(alpha), float(special.logit(beta))], method="hybr")
        inside = abs(told.x[0]) < 50 and -50 < told.x[1] < 36
        if inside and max(map(abs, off(told.x))) < _CONVERGED:
            found.append(parameters(told.x))
    return found


# -- Dankar's rule -----------------------------------------------------------------------------------------------------


def dankar(sizes: Sizes, population: int) -> Dankar:
    """Which estimator to believe (Dankar et al. 2012), and what it says.

    Up to a tenth of the population in the sample: Pitman. Above: the smaller of Zayatz and the slide negative
    binomial. Zayatz where the other has no estimate. Raises `ValueError` for a population smaller than the sample.
    """
    sample, plain = _sample(sizes, population), zayatz(sizes, population)
    small = 10 * sample.records <= sample.population
    name, other = ("pitman", pitman(sizes, population)) if small else ("snb", snb(sizes, population))
    believed = not math.isnan(other) and (small or not plain < other)
    return Dankar(other, name) if believed else Dankar(plain, "zayatz")


ESTIMATORS: dict[str, Callable[[Sizes, int], float]] = {
    "zayatz": zayatz,
    "pitman": pitman,
    "snb": snb,
    "dankar": lambda sizes, population: dankar(sizes, population).estimate,
}


# -- the risk of a record ----------------------------------------------------------------------------------------------


def expected_risk(size: int, fraction: float) -> float:
    """Expected 1 / F of a record whose sample class has f = `size` records and of whose population `fraction` is here.

    Franconi & Polettini 2004 (after Benedetti & Franconi 1998): F given f is negative binomial, f successes with
    probability π. E = π / f · ₂F₁(1, 1; f + 1; 1 − π); for f = 1, −π ln π / (1 − π). Raises `ValueError` for a fraction
    outside (0, 1] or a size below 1.
    """
    _require_fraction(fraction)
    if size < 1:
        raise ValueError("a class has at least one record")
    rest = 1 - fraction
    if size < 30 and rest > 0.5:
        # E(f + 1) = a / f − a · E(f) with a = π / (1 − π) < 1, so that no error grows; the series below would be slow.
        odds = fraction / rest
        found = -odds * math.log(fraction)
        for smaller in range(1, size):
            found = odds / smaller - odds * found
        return found
    # The series of ₂F₁ itself, since scipy's has no value for f of 100 and more and π of 0.05 and less.
    term, total, place = 1.0, 0.0, 0
    while total + term != total:
        total += term
        place += 1
        term *= place * rest / (size + place)
    return fraction / size * total


def expected_records_below(sizes: Sizes, fraction: float, limit: int) -> float:
    """Expected number of the sample's records whose class has fewer than `limit` records in the population.

    The same model as `expected_risk`. Raises `ValueError` for a fraction outside (0, 1].
    """
    from scipy import special

    _require_fraction(fraction)
    size, count = (np.array(list(part), dtype=np.float64) for part in (sizes, sizes.values()))
    below = np.where(size < limit, special.betainc(size, np.maximum(limit - size, 1), fraction), 0.0)
    return math.fsum((size * count * below).tolist())


def _require_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError("the sampled fraction is a share above 0 and at most 1")


# -- SafePub -----------------------------------------------------------------------------------------------------------

_GREATEST_EPSILON = 10.0


def safepub_beta(epsilon: float) -> float:
    """The share of records that SafePub samples for ε: β = 1 − e^−ε (Bild et al. 2018).

    Raises `ValueError` for an ε that is not above 0 and at most 10.
    """
    if not 0 < epsilon <= _GREATEST_EPSILON:
        raise ValueError(f"epsilon is above 0 and at most {_GREATEST_EPSILON:g}; more promises nothing")
    return -math.expm1(-epsilon)


def safepub_k(epsilon: float, delta: float) -> int:
    """The least class size k for which SafePub gives (ε, δ)-differential privacy (Bild et al. 2018, theorem 3).

    δ(k) is the greatest P(Bin(n, β) > γn) over n ≥ k / γ − 1, with γ = (e^ε − 1 + β) / e^ε. Between the n at which
    γn passes a whole number the probability rises, so only the last n before each counts: n = ⌈j / γ⌉ − 1 for j ≥ k.
    ARX returns k + 1. Raises `ValueError` for an ε outside (0, 10] or a δ outside (0, 1).
    """
    from scipy import special

    beta = safepub_beta(epsilon)
    if not 0 < delta < 1:
        raise ValueError("delta is a share above 0 and below 1")
    # γ = β (1 + e^−ε), so that the exponent of the Chernoff bound of the tail is this; beyond `most` it is below δ.
    exponent = beta * (1 + math.exp(-epsilon)) * math.log1p(math.exp(-epsilon)) - epsilon * math.exp(-2 * epsilon)
    most, gamma = math.ceil((-math.log(delta) / exponent + 1) * beta * (1 + math.exp(-epsilon))) + 1, _gamma(epsilon)
    for top in range(most, 0, -10_000):
        size = np.arange(top, max(top - 10_000, 0), -1)
        drawn = np.array([math.ceil(int(j) / gamma) - 1 for j in size])
        # P(Bin(n, β) ≥ j), and a little more, so that rounding never takes the lesser k.
        above = np.flatnonzero(special.betainc(size, drawn - size + 1, beta) * (1 + 1e-9) > delta)
        if above.size:
            return int(size[above[0]]) + 1
    return 1


def _gamma(epsilon: float) -> Fraction:
    """γ = 1 − e^−2ε to fifty digits, so that no rounding decides on which side of a whole number γn lies."""
    with localcontext() as context:
        context.prec = 60
        return Fraction(1 - (-2 * Decimal(repr(epsilon))).exp())
