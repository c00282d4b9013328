"""θ in exact numbers: the paper's vectors, its lemmas, what θ implies, the noise that it needs, packed classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import needs_shared, read
from tries import tries

from sqlanon.udfs import theta as t
from sqlanon.udfs.theta import Theta, exact, implied
from sqlanon.udfs.theta_packing import Packed, pack

VECTORS = {case["id"]: case for case in read("vectors/models.json") if "id" in case}
MUS = ("0.5", "0.6", "0.7", "0.8", "0.9")
frequencies = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def by_definition(counts: Sequence[int]) -> Fraction:
    """V as the variance of ranks, record by record."""
    ranks = [rank for rank, count in enumerate(sorted(counts, reverse=True), start=1) for _ in range(count)]
    mean = Fraction(sum(ranks), len(ranks))
    return sum(((rank - mean) ** 2 for rank in ranks), Fraction(0)) / len(ranks)


@cache
def partitions(n: int, largest: int | None = None) -> tuple[tuple[int, ...], ...]:
    """All ways to write n as a sum of descending whole numbers."""
    if n == 0:
        return ((),)
    top = min(n, largest or n)
    return tuple((first, *rest) for first in range(top, 0, -1) for rest in partitions(n - first, first))


# -- the paper ----------------------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("name", ["theta-table-4a", "theta-table-4b", "theta-table-8a", "theta-table-8b"])
def test_the_tables_of_the_paper_have_their_variances_and_violations(name: str) -> None:
    case = VECTORS[name]
    classes: dict[str, Counter[str]] = {}
    for number, value in case["rows"]:
        classes.setdefault(number, Counter())[value] += 1
    theta = Theta(case["params"]["k"], exact(case["params"]["mu"]))
    assert {c: float(t.variance(v.values())) for c, v in classes.items()} == case["expected"]["variance"]
    assert [c for c, v in classes.items() if not theta.met(v.values())] == case["expected"]["violating"]


@needs_shared
def test_the_threshold_is_the_share_mu_of_the_variance_of_k_different_values() -> None:
    expected = VECTORS["theta-full-diverse"]["expected"]
    for (k,) in VECTORS["theta-full-diverse"]["rows"]:
        assert float(t.variance([1] * k)) == pytest.approx(expected["variance_full"][str(k)], abs=1e-12)
        assert float(t.threshold(k, 0.6)) == pytest.approx(expected["theta"][str(k)], abs=1e-12)
        assert t.threshold(k, 1) == t.variance([1] * k)


@needs_shared
def test_a_more_even_class_can_have_the_lower_variance() -> None:
    expected = VECTORS["theta-not-schur"]["expected"]["variance"]
    found = {str(tuple(row[0])): float(t.variance(row[0])) for row in VECTORS["theta-not-schur"]["rows"]}
    assert found == pytest.approx(expected, abs=1e-12)
    assert t.variance((3, 1, 1)) > t.variance((2, 2, 1))


@needs_shared
def test_two_classes_that_hold_can_be_united_to_one_that_does_not() -> None:
    case = VECTORS["theta-not-monotone"]
    theta = Theta(5, exact(case["params"]["mu"]))
    one, other = (Counter(v for c, v in case["rows"] if c == name) for name in "AB")
    assert theta.met(one.values()) and theta.met(other.values()) and not theta.met((one + other).values())


@needs_shared
def test_the_metrics_of_the_paper() -> None:
    expected = VECTORS["theta-metrics"]["expected"]
    sizes = [size for (size,) in VECTORS["theta-metrics"]["rows"]]
    assert t.discernibility(sizes) == expected["dcp"]
    assert t.least_discernibility(12, 4) == expected["dcp_exact_min_n12"] == expected["dcp_baseline_n_times_k"]
    assert float(t.average_class_size(sizes, 4)) == expected["cavg"]
    assert t.least_discernibility(10, 2) == VECTORS["theta-metrics-paper-example"]["expected"]["baseline"]


@needs_shared
def test_the_headline_of_the_paper_is_below_what_can_be_attained() -> None:
    case = VECTORS["theta-headline"]
    n, expected = case["params"]["n"], case["expected"]
    without = {str(k): t.least_discernibility(n, k) - n * k for k in case["params"]["k"]}
    allowed = {str(k): t.least_discernibility(n, k, noise=True) - n * k for k in case["params"]["k"]}
    assert without == expected["min_excess_no_noise"] and allowed == expected["min_excess_with_noise_allowed"]
    assert expected["paper_avg"] < sum(allowed.values()) / len(allowed) == expected["avg_with_noise"]


# -- V and its lemmas ---------------------------------------------------------------------------------------------


@given(frequencies)
def test_the_variance_is_the_variance_of_the_ranks(counts: list[int]) -> None:
    assert t.variance(counts) == by_definition(counts)


@given(frequencies, st.integers(1, 12), st.sampled_from(MUS), st.sampled_from(["k", "n"]))
def test_theta_is_decided_in_whole_numbers(counts: list[int], k: int, mu: str, of: str) -> None:
    theta = Theta(k, exact(mu), of)  # type: ignore[arg-type]
    n = k if of == "k" else sum(counts)
    difference = by_definition(counts) - Fraction(mu) * (n * n - 1) / 12
    assert theta.met(counts) == (difference >= 0)
    assert (theta.margin(counts) > 0) == (difference > 0)


def test_a_tie_with_theta_holds_whatever_floating_point_says() -> None:
    counts = (3, 1, 1, 1, 1, 1, 1)
    size, first, second = (
        9,
        sum(f * i for i, f in enumerate(counts, 1)),
        sum(f * i * i for i, f in enumerate(counts, 1)),
    )
    assert second / size - (first / size) ** 2 < 0.7 * (9 * 9 - 1) / 12  # what floating point says
    assert Theta(9, exact(0.7)).margin(counts) == 0 and Theta(9, exact(0.7)).met(counts)
    assert not Theta(9, exact("0.7000000001")).met(counts)


@given(frequencies)
def test_lemma_b_a_unit_of_a_repeated_value_as_a_new_value_raises_the_variance(counts: list[int]) -> None:
    for at, count in enumerate(counts):
        if count > 1:
            moved = [*counts[:at], count - 1, *counts[at + 1 :], 1]
            assert by_definition(moved) > by_definition(counts)


@given(frequencies)
def test_lemma_c_one_more_tuple_with_a_new_value_raises_the_variance(counts: list[int]) -> None:
    assert by_definition([*counts, 1]) > by_definition(counts)


@pytest.mark.parametrize("n", range(2, 21))
def test_different_values_only_are_the_one_greatest_variance(n: int) -> None:
    best = max(partitions(n), key=t.variance)
    assert best == (1,) * n and sum(t.variance(p) == t.variance(best) for p in partitions(n)) == 1


# -- what θ implies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 31))
def test_the_greatest_variance_of_so_many_values_is_that_of_all_partitions(n: int) -> None:
    best: dict[int, int] = {}
    for p in partitions(n):
        first, second = sum(f * i for i, f in enumerate(p, 1)), sum(f * i * i for i, f in enumerate(p, 1))
        best[len(p)] = max(best.get(len(p), -1), n * second - first * first)
    assert {d: t.most_variance(n, d) for d in best} == {d: Fraction(v, n * n) for d, v in best.items()}


@pytest.mark.parametrize("mu", MUS)
@pytest.mark.parametrize("k", range(2, 23, 4))
def test_what_theta_implies_is_the_worst_of_all_partitions_also_of_classes_above_k(k: int, mu: str) -> None:
    theta = Theta(k, exact(mu))
    for n in (k, k + 1, k + 5):
        held = [p for p in partitions(n) if theta.met(p)]
        found = implied(n, theta)
        assert found is not None
        assert (found.top_frequency, found.distinct) == (max(p[0] for p in held), min(map(len, held)))
        assert found.confidence == Fraction(max(p[0] for p in held), n)


@needs_shared
@pytest.mark.parametrize("mu", MUS)
def test_what_theta_implies_is_what_the_reference_counted(mu: str) -> None:
    for k, expected in VECTORS["theta-implied-alpha"]["expected"][mu].items():
        theta = Theta(int(k), exact(mu))
        found = implied(int(k), theta)
        assert found is not None
        assert found.top_frequency == expected["max_top_frequency"] and found.distinct == expected["min_distinct"]
        assert sum(theta.met(p) for p in partitions(int(k))) == expected["n_partitions_ok"]


def test_a_class_too_small_for_theta_is_promised_nothing() -> None:
    assert implied(2, Theta(9, exact(0.6))) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Theta(0, exact(0.6)), "k must be at least 1"),
        (lambda: Theta(4, Fraction(0)), "mu is a share"),
        (lambda: Theta(4, exact("1.01")), "mu is a share"),
        (lambda: Theta(4, exact(1), "m"), "for k or for n"),  # type: ignore[arg-type]
        (lambda: t.variance([]), "at least one record"),
        (lambda: t.most_variance(3, 4), "at most as many as records"),
        (lambda: t.least_discernibility(3, 4), "fewer records than k"),
    ],
)
def test_arguments_without_meaning_are_refused(wrong: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()  # type: ignore[operator]


# -- noise --------------------------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("mu", MUS)
def test_the_lower_bounds_of_noise_are_those_of_the_reference(mu: str) -> None:
    case = VECTORS["theta-noise-lower-bound"]
    counts = [count for (count,) in case["rows"]]
    found = {k: t.noise_lower_bound(counts, Theta(int(k), exact(mu))) for k in case["expected"][mu]}
    assert found == {k: row["noise>="] for k, row in case["expected"][mu].items()}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any), st.integers(2, 6), st.sampled_from(MUS))
def test_the_lower_bound_is_the_first_number_that_fits_its_condition(counts: list[int], k: int, mu: str) -> None:
    theta, n = Theta(k, exact(mu)), sum(counts)
    least = implied(k, theta)
    assert least is not None
    fits = (
        z
        for z in range(k * n + k)
        if (n + z) % k == 0 and sum(min(f, (n + z) // k) for f in counts) + z >= least.distinct * ((n + z) // k)
    )
    assert t.noise_lower_bound(counts, theta) == next(fits)


@given(frequencies, st.integers(2, 9), st.sampled_from(MUS), st.integers(0, 12))
def test_the_least_noise_of_a_class_is_found_by_adding_tuples_one_by_one(
    counts: list[int], k: int, mu: str, available: int
) -> None:
    theta = Theta(k, exact(mu))
    enough = (z for z in range(available + 1) if by_definition([*counts, *[1] * z]) >= theta.bound(0))
    assert t.least_noise(counts, theta, available) == next(enough, None)


@pytest.mark.parametrize("k", range(2, 15))
def test_noise_alone_lifts_every_class_of_k_with_fewer_than_k_tuples(k: int) -> None:
    theta = Theta(k, exact("0.88"))
    assert max(t.least_noise(p, theta, k) or 0 for p in partitions(k)) <= k - 1


@given(st.lists(st.integers(1, 12), min_size=2, max_size=6), st.integers(2, 4))
def test_full_diversity_needs_as_much_noise_as_the_most_frequent_value_asks_for(counts: list[int], k: int) -> None:
    n, z = sum(counts), t.full_diversity_noise(counts, k)
    groups = (n + z) // k
    assert groups >= max(counts) or n + z < k * max(counts) + k  # a class per record of the most frequent value
    assert z == 0 or (n + z - 1) // k < max(counts)  # with one tuple less there is none for one of its records


# -- packing ------------------------------------------------------------------------------------------------------


def shapes(packed: Packed) -> list[list[int]]:
    """The value counts of every class, its noise included."""
    counts = packed.histogram.per_class()
    for number, value, many in packed.noise.tolist():
        assert value not in counts[number], "noise must have a value that the class lacks"
        counts[number][value] = many
    return [list(c.values()) for c in counts]


@settings(max_examples=tries(150))
@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=8),
    st.integers(2, 7),
    st.sampled_from(MUS),
    st.booleans(),
)
def test_packed_classes_hold_every_record_once_and_meet_theta(counts: list[int], k: int, mu: str, noise: bool) -> None:
    theta = Theta(k, exact(mu))
    packed = pack(counts, theta, noise=noise)
    if packed is None:
        return
    assert packed.histogram.totals.tolist() == counts
    assert all(theta.met(shape) and sum(shape) >= k for shape in shapes(packed))
    sizes = [sum(shape) for shape in shapes(packed)]
    if noise:
        bound = t.noise_lower_bound(counts, theta)
        # A class of exactly k allows no less than the bound.
        assert bound is not None and (len(packed.noise) >= bound or max(sizes) > k)
    else:
        assert len(packed.noise) == 0 and t.discernibility(sizes) == t.least_discernibility(sum(counts), k)


@cache
def fewest_repeats(counts: tuple[int, ...], sizes: tuple[int, ...]) -> float:
    """The repeats of the worst class, of the best of all ways to give classes of these sizes their records."""
    if not sizes:
        return 0
    best = float("inf")
    for pick in combinations_with_replacement(range(len(counts)), sizes[0]):
        share = Counter(pick)
        left = tuple(sorted(count - share[value] for value, count in enumerate(counts)))
        if left[0] >= 0:
            best = min(best, max(sizes[0] - len(share), fewest_repeats(left, sizes[1:])))
    return best


@settings(max_examples=tries(120), deadline=None)
@given(st.lists(st.integers(1, 4), min_size=3, max_size=5), st.integers(2, 4), st.sampled_from(MUS))
def test_the_even_way_has_the_fewest_repeats_in_its_worst_class(counts: list[int], k: int, mu: str) -> None:
    n = sum(counts)
    groups = n // k
    if groups < 1 or n > 12:
        return
    sizes = tuple(n // groups + (i < n % groups) for i in range(groups))
    best = fewest_repeats(tuple(sorted(counts)), sizes)
    extra = sum(max(0, c - groups) for c in counts)
    assert best == -(-extra // groups)
    packed = pack(counts, Theta(k, exact("0.01")))
    if packed is not None:  # μ of nearly 0 refuses classes of one value only
        worst = max(sum(c.values()) - len(c) for c in packed.histogram.per_class())
        assert worst == best


@needs_shared
@pytest.mark.parametrize(("k", "excess"), [(2, 0), (4, 10), (6, 28), (8, 54), (10, 0), (12, 130)])
def test_adult_can_be_packed_without_noise_at_the_exact_floor(k: int, excess: int) -> None:
    counts = [count for (count,) in VECTORS["theta-noise-lower-bound"]["rows"]]
    packed = pack(counts, Theta(k, exact(0.6)))
    assert packed is not None and len(packed.noise) == 0
    assert t.discernibility(packed.histogram.sizes.tolist()) - 160150 * k == excess
    assert packed.histogram.below(Theta(k, exact(0.6))) == []


@needs_shared
@pytest.mark.parametrize("k", [14, 16, 18, 20])
def test_where_adult_needs_noise_it_is_within_a_hundredth_of_the_lower_bound(k: int) -> None:
    counts = [count for (count,) in VECTORS["theta-noise-lower-bound"]["rows"]]
    theta = Theta(k, exact(0.6))
    packed, bound = pack(counts, theta, noise=True), t.noise_lower_bound(counts, theta)
    assert pack(counts, theta) is None
    assert packed is not None and bound is not None and abs(len(packed.noise) - bound) <= bound / 100
    assert all(theta.met(shape) and sum(shape) >= k for shape in shapes(packed))


def test_what_cannot_be_packed_is_not() -> None:
    assert pack([3, 2], Theta(6, exact(0.6))) is None  # fewer records than k
    assert pack([30, 30], Theta(6, exact(0.6)), noise=True) is None  # fewer values than θ needs
    assert pack([], Theta(6, exact(0.6)), noise=True) is None


def test_equally_good_classes_are_spread_over_the_order() -> None:
    packed = pack([8, 8, 4, 4], Theta(3, exact(0.6)))
    assert packed is not None
    with_third = np.unique(packed.histogram.classes[packed.histogram.values == 2])
    assert with_third.tolist() == [0, 2, 4, 6]
