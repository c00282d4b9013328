"""θ-sensitive k-anonymity in whole numbers: what it measures, what it promises, what noise it cannot do without.

*What is measured*: a class's sensitive values are ranked by descending frequency, rank i weighs i, and V is the
variance of the ranks over the class's N records: V = Σ f(i)·i² / N − (Σ f(i)·i / N)². It depends on the frequencies
alone, so ties and the values themselves do not matter.
*Bound*: V ≥ θ = μ·(k² − 1) / 12, the share μ of the variance of k different values.
*Units*: squared ranks; 0 (one value) to (N² − 1) / 12 (all different).
*Source*: Khan, Tao, Anjum et al., "θ-Sensitive k-Anonymity", Electronics 9(5):716, 2020, definitions 9 and 10; its
formula compares a count of values with θ where its text and examples compare V, which is what is done here.
*Leaves*: V is no order of diversity. (3, 1, 1) has a higher V than the more even (2, 2, 1), so a class may be passed
although its top value is surer, and refused although it is more even; `implied` tells what θ really promises. θ is not
monotone: two classes that hold can be united to one that does not.
*Raises*: ValueError for arguments without meaning; its message holds no value of a table.

Everything is compared in whole numbers or fractions; a tie holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

Number = Fraction | float | int | str


def exact(number: Number) -> Fraction:
    """The number that a person wrote: 0.6 is 3/5, not the nearest binary fraction."""
    return number if isinstance(number, Fraction) else Fraction(str(number))


def _sums(frequencies: Iterable[int]) -> tuple[int, int, int]:
    """N, Σ f·i and Σ f·i² over the descending frequencies."""
    size = first = second = 0
    for rank, count in enumerate(sorted(frequencies, reverse=True), start=1):
        size, first, second = size + count, first + count * rank, second + count * rank * rank
    return size, first, second


def variance(frequencies: Iterable[int]) -> Fraction:
    """V of a class with these value frequencies, in any order (definition 9). Raises ValueError for an empty class."""
    size, first, second = _sums(frequencies)
    if size <= 0:
        raise ValueError("a class holds at least one record")
    return Fraction(size * second - first * first, size * size)


def threshold(k: int, mu: Number) -> Fraction:
    """θ(k, μ) = μ·(k² − 1) / 12, exactly (section 4 of the paper; μ of 0.5 to 0.9 there, 0.6 in its experiments)."""
    return Theta(k, exact(mu)).bound(k)


@dataclass(frozen=True)
class Theta:
    """The bound on V: the share `mu` of the variance of k different values, or (`of` "n") of as many as the class has.

    `of` "k" is the paper's, also for classes larger than k, whose top values may then be surer (see `implied`). Raises
    ValueError for k below 1 and mu outside (0, 1]: beyond 1 no class of k records could hold.
    """

    k: int
    mu: Fraction
    of: Literal["k", "n"] = "k"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError("k must be at least 1")
        if not 0 < self.mu <= 1:
            raise ValueError("mu is a share above 0 and at most 1")
        if self.of not in ("k", "n"):
            raise ValueError("theta is taken for k or for n, the size of the class")

    def bound(self, size: int) -> Fraction:
        """What V of a class of `size` records is held against."""
        n = self.k if self.of == "k" else size
        return self.mu * (n * n - 1) / 12

    def margin(self, frequencies: Iterable[int]) -> int:
        """V − θ of a class times a positive whole number: its sign is exact. Negative for an empty class."""
        size, first, second = _sums(frequencies)
        n = self.k if self.of == "k" else size
        above = 12 * (size * second - first * first) * self.mu.denominator
        return above - self.mu.numerator * (n * n - 1) * size * size if size else -1

    def met(self, frequencies: Iterable[int]) -> bool:
        """Whether V ≥ θ."""
        return self.margin(frequencies) >= 0


# -- what θ implies ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Implied:
    """What a class that meets θ is sure of: never more than `top_frequency` records with one value (a `confidence` of
    top_frequency / size for whoever guesses it), never fewer than `distinct` values."""

    size: int
    top_frequency: int
    distinct: int

    @property
    def confidence(self) -> Fraction:
        return Fraction(self.top_frequency, self.size)


@lru_cache(maxsize=1024)
def implied(size: int, theta: Theta) -> Implied | None:
    """The worst that θ allows in a class of `size` records, as (α, k)-anonymity and l-diversity would say it.

    Both are attained. None where no class of this size meets θ. The top frequency: every unit moved from a repeated
    value to a new one raises V (Lemma B), so V given the top frequency f is greatest for (f, 1, …, 1), and falls in f.
    The distinct values: see `most_variance`.
    """
    if not theta.met((1,) * size):
        return None
    low, high = 1, size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if theta.met((middle, *(1,) * (size - middle))) else (low, middle - 1)
    fewest, most = 1, size
    bound = theta.bound(size)
    while fewest < most:
        distinct = (fewest + most) // 2
        fewest, most = (fewest, distinct) if most_variance(size, distinct) >= bound else (distinct + 1, most)
    return Implied(size, low, fewest)


def most_variance(size: int, distinct: int) -> Fraction:
    """The greatest V of a class of `size` records with `distinct` values: that of a shape (size − (d − 1)·b, b, …, b).

    Proof. Take the conjugate: descending frequencies are columns of lengths 1 to d, at least one of them of length d,
    and N²·V = N·S2 − S1² with S1 = Σ j(j+1)/2 and S2 = Σ j(j+1)(2j+1)/6. (i) Two columns of lengths 2 ≤ i ≤ j < d:
    moving a cell from i to j changes N²·V by δ·(N·(i+j+1) − 2·S1 − δ), δ = j+1−i; if that is not positive, 2·S1/N is
    large enough for the split of j into j−1 and 1 to gain, (j−1)·(2·S1 − N·(j+1) − (j−1)). (ii) One such column of
    length j: the split gains, or, where there is a column of length 1, moving its cell to j gains, j·(N·(j+2) − 2·S1 −
    j), because 2·j − 1 < N; without a column of length 1 the mean rank is too high for the split not to gain. So a
    greatest V has columns of lengths 1 and d only. V is concave in b, so b is next to the peak of the parabola.
    (Checked against all partitions up to N = 30.) It grows with d, by Lemma B. Raises ValueError for d outside 1 …
    size.
    """
    if not 1 <= distinct <= size:
        raise ValueError("a class has at least one value and at most as many as records")
    if distinct == 1:
        return Fraction(0)
    first = distinct * (distinct + 1) // 2 - distinct
    second = distinct * (distinct + 1) * (2 * distinct + 1) // 6 - distinct
    peak = size * (second - 2 * first) // (2 * first * first)
    places = {min(max(b, 1), size // distinct) for b in (peak, peak + 1)}
    return max(Fraction(size * (size + b * second) - (size + b * first) ** 2, size * size) for b in places)


# -- noise ------------------------------------------------------------------------------------------------------


def least_noise(frequencies: Sequence[int], theta: Theta, available: int) -> int | None:
    """The fewest tuples with values that the class lacks that lift it to θ; None where `available` values do not do.

    Fresh values are the best that noise can do (Lemma B), and for θ of k each one raises V (Lemma C), so the first
    number that is enough is the least one.
    """
    for tuples in range(available + 1):
        if theta.met((*frequencies, *(1,) * tuples)):
            return tuples
    return None


def noise_lower_bound(counts: Sequence[int], theta: Theta) -> int | None:
    """The least noise z with which n records can fill classes of exactly k that all meet θ; a necessary condition.

    `counts`: records per value in the whole table. With m = (n + z) / k classes there are at most Σ min(f, m) + z pairs
    of a class and a value in it, and θ needs d_min per class. Both sides' difference grows with z. It bounds classes of
    exactly k only: larger classes may need less noise, or none, at the price of their size. None where θ cannot be met.
    """
    least = implied(theta.k, theta)
    total = sum(counts)
    if least is None or total <= 0:
        return None
    return _first_filling(counts, theta.k, lambda groups: (theta.k - least.distinct) * groups)


def full_diversity_noise(counts: Sequence[int], k: int) -> int:
    """The noise with which all classes of k or more can have different values only: max(0, k·f_max − n), attained."""
    return max(0, k * max(counts, default=0) - sum(counts))


def _first_filling(counts: Sequence[int], k: int, room: Callable[[int], int]) -> int:
    """k·m − n for the least m ≥ n / k whose repeats, Σ max(0, f − m), fit into `room(m)`."""
    total = sum(counts)
    low, high = -(-total // k), max(-(-total // k), *counts)
    while low < high:
        middle = (low + high) // 2
        fits = sum(count - middle for count in counts if count > middle) <= room(middle)
        low, high = (low, middle) if fits else (middle + 1, high)
    return k * low - total


# -- the paper's figures --------------------------------------------------------------------------------------------


def discernibility(sizes: Iterable[int]) -> int:
    """The paper's DCP (section 6): Σ |class|², at least n·k where every class has at least k records."""
    return sum(size * size for size in sizes)


def least_discernibility(n: int, k: int, *, noise: bool = False) -> int:
    """The least Σ |class|² that n records allow when every class has at least k; with `noise`, also over n + z tuples.

    Attained by ⌊n/k⌋ classes whose sizes differ by at most one. Raises ValueError for fewer than k records.
    """
    if n < k and not noise:
        raise ValueError("fewer records than k fill no class")

    def least(total: int) -> int:
        classes, size, rest = total // k, total // (total // k), total % (total // k)
        return (classes - rest) * size * size + rest * (size + 1) ** 2

    return min(least(total) for total in range(max(n, k), n + k)) if noise else least(n)


def average_class_size(sizes: Sequence[int], k: int) -> Fraction:
    """The paper's C_AVG: records per class over k; 1 at best."""
    return Fraction(sum(sizes), len(sizes) * k)
