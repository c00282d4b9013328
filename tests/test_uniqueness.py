"""Population uniqueness, the risk of a record and SafePub's parameters: worked vectors, exact oracles, odd samples."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator
from fractions import Fraction

import oracle_risk as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vectors import vector
from tries import tries

from sqlanon.uniqueness import (
    ESTIMATORS,
    _rising,
    dankar,
    expected,
    expected_records_below,
    expected_risk,
    pitman,
    pitman_parameters,
    safepub_beta,
    safepub_k,
    shlosser,
    snb,
    zayatz,
)

SIZES = st.dictionaries(st.integers(1, 9), st.integers(1, 25), min_size=1, max_size=6)
TIMES = st.fractions(1, 20, max_denominator=10)


def sizes_of(name: str) -> dict[int, int]:
    return dict(vector(name)["rows"])


def records(sizes: dict[int, int]) -> int:
    return sum(size * count for size, count in sizes.items())


# -- the worked vectors ------------------------------------------------------------------------------------------------


def test_zayatz_finds_the_uniques_of_the_vector() -> None:
    sizes, wanted = sizes_of("pop-uniq-zayatz"), vector("pop-uniq-zayatz")["expected"]
    assert zayatz(sizes, 20) == pytest.approx(wanted["estimated_population_uniques"], rel=1e-12)
    assert zayatz(sizes, 20) / 20 == pytest.approx(wanted["fraction"], rel=1e-12)
    assert zayatz(sizes, 40) == pytest.approx(wanted["N=40"], rel=1e-12)


def test_pitman_finds_the_uniques_of_the_vector() -> None:
    found = pitman(sizes_of("pop-uniq-pitman"), 10_000)
    assert found == pytest.approx(vector("pop-uniq-pitman")["expected"]["estimated_population_uniques"], rel=1e-9)


def test_shlosser_finds_the_classes_of_the_vector() -> None:
    found = shlosser(sizes_of("shlosser-sh3"), vector("shlosser-sh3")["params"]["q"])
    assert found == pytest.approx(vector("shlosser-sh3")["expected"]["K_hat"], rel=1e-12)


def test_the_expected_sample_classes_are_those_of_the_vector_and_of_a_direct_sum() -> None:
    asked, wanted = vector("pop-uniq-snb")["params"], vector("pop-uniq-snb")["expected"]
    found = expected(asked["K"], asked["pi"], asked["alpha"], asked["beta"])
    assert found == pytest.approx((wanted["E_S1"], wanted["E_S2"]), rel=1e-12)
    direct = oracle.slide_negative_binomial(asked["K"], asked["pi"], asked["alpha"], asked["beta"])
    assert found == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize("place", [0, 1])
def test_dankar_takes_the_estimator_of_the_vector(place: int) -> None:
    sizes = sizes_of("pop-uniq-snb-dankar")
    wanted = vector("pop-uniq-snb-dankar")["expected"]["results"][place]
    size = wanted["N"]
    assert shlosser(sizes, 535 / size) == pytest.approx(wanted["K"], rel=1e-9)
    assert snb(sizes, size) == pytest.approx(wanted["snb"], rel=1e-9)
    assert zayatz(sizes, size) == pytest.approx(wanted["zayatz"], rel=1e-9)
    found = dankar(sizes, size)
    assert (found.model, found.estimate) == (wanted["dankar_model"].lower(), pytest.approx(wanted["dankar"], rel=1e-9))


def test_dankar_takes_pitman_up_to_a_tenth_of_the_population() -> None:
    sizes = sizes_of("pop-uniq-snb-dankar")
    assert dankar(sizes, 10_000).model == "pitman"
    assert dankar(sizes, 5350).model == "pitman", "exactly a tenth"
    assert dankar(sizes, 5349).model != "pitman"


def safepub_cases() -> list[tuple[float, float]]:
    return [(2, 1e-6), (1, 1e-6), (1.5, 1e-6), (1, 1e-5), (1, 1e-4), (2, 1e-5), (0.5, 1e-4), (1, 1e-2), (2, 1e-2)]


@pytest.mark.parametrize(("epsilon", "delta"), safepub_cases())
def test_safepub_finds_the_k_and_beta_of_the_vector(epsilon: float, delta: float) -> None:
    wanted = vector("safepub")["expected"][f"eps={epsilon},delta={delta}"]
    assert safepub_k(epsilon, delta) == wanted["k_minimal"]
    assert safepub_beta(epsilon) == pytest.approx(wanted["beta"], rel=1e-15)


def test_every_case_of_the_safepub_vector_is_checked() -> None:
    assert set(vector("safepub")["expected"]) == {f"eps={e},delta={d}" for e, d in safepub_cases()}


# -- against the oracle ------------------------------------------------------------------------------------------------


@given(SIZES, TIMES)
@settings(max_examples=tries(300), deadline=None)
def test_zayatz_equals_exact_hypergeometric_probabilities(sizes: dict[int, int], times: Fraction) -> None:
    population = math.ceil(records(sizes) * times)
    assert zayatz(sizes, population) == pytest.approx(float(oracle.zayatz(sizes, population)), rel=1e-11)


@given(SIZES, st.fractions(Fraction(1, 100), Fraction(99, 100), max_denominator=100))
@settings(max_examples=tries(200), deadline=None)
def test_shlosser_equals_its_formula_in_fractions(sizes: dict[int, int], fraction: Fraction) -> None:
    assert shlosser(sizes, float(fraction)) == pytest.approx(float(oracle.shlosser(sizes, fraction)), rel=1e-9)


@pytest.mark.parametrize("fraction", [Fraction(1, 10**9), Fraction(1, 10**6), 1 - Fraction(1, 10**6)])
def test_shlosser_loses_no_digits_at_its_edges(fraction: Fraction) -> None:
    for sizes in ({1: 10, 2: 5, 3: 3}, {1: 3, 50: 2}, {1: 1}):
        assert shlosser(sizes, float(fraction)) == pytest.approx(float(oracle.shlosser(sizes, fraction)), rel=1e-9)


@given(SIZES)
@settings(max_examples=tries(60), deadline=None)
def test_pitman_is_where_the_likelihood_is_greatest(sizes: dict[int, int]) -> None:
    def profile(alpha: float) -> float:
        thetas = (records(sizes) * math.exp(power / 4) - alpha for power in range(-40, 16))
        return max(oracle.pitman_likelihood(sizes, theta, alpha) for theta in thetas)

    within, edges = max(map(profile, (0.1, 0.3, 0.5, 0.7, 0.9))), max(profile(1e-6), profile(1 - 1e-6))
    found = pitman_parameters(sizes)
    if found is None:
        assert within <= edges + 0.05 or sum(sizes.values()) < 2
        return
    best = max(within, edges)
    theta, alpha = found
    greatest = oracle.pitman_likelihood(sizes, theta, alpha)
    assert greatest >= best - 1e-9
    for near_alpha, near in ((alpha * 1.01, theta), (alpha * 0.99, theta), (alpha, theta + 0.01 * (theta + alpha)),
                             (alpha, theta - 0.01 * (theta + alpha))):  # fmt: skip
        if near_alpha < 1:
            assert greatest >= oracle.pitman_likelihood(sizes, near, near_alpha) - 1e-9


@pytest.mark.parametrize("start", [0.1, 7.5, 99_999.0, 100_001.0, 1e7, 1e12])
@pytest.mark.parametrize("step", [0.0, 1e-6, 0.3, 0.5, 0.99, 1.0])
def test_a_ratio_of_gammas_loses_nothing_where_they_are_large(start: float, step: float) -> None:
    # Γ(x + s + 1) / Γ(x + 1) = (x + s) / x · Γ(x + s) / Γ(x), whatever way the two are computed.
    assert _rising(start + 1, step) == pytest.approx(_rising(start, step) * (start + step) / start, rel=1e-11)
    assert _rising(start, 0.5) * _rising(start + 0.5, 0.5) == pytest.approx(start, rel=1e-11)


def test_pitman_finds_the_parameters_of_the_vector() -> None:
    wanted = vector("pop-uniq-pitman")["expected"]
    found = pitman_parameters(sizes_of("pop-uniq-pitman"))
    assert found == (pytest.approx(wanted["theta"], rel=1e-8), pytest.approx(wanted["alpha"], rel=1e-8))


def test_pitman_has_no_answer_where_the_sizes_are_more_even_than_its_model() -> None:
    assert math.isnan(pitman({5: 100}, 10_000))
    assert math.isnan(pitman({1: 100}, 10_000)), "all unique: the likelihood has no maximum"
    assert math.isnan(pitman({100: 1}, 10_000))


@pytest.mark.parametrize("alpha", [0.3, 1.5, 6.0])
@pytest.mark.parametrize("beta", [0.1, 0.4, 0.75])
def test_snb_solves_its_equations_and_is_near_the_truth_on_its_own_model(alpha: float, beta: float) -> None:
    chance = random.Random(f"{alpha} {beta}")
    classes, fraction, drawn, population, alone = 20_000, 0.4, dict[int, int](), 0, 0
    for _ in range(classes):
        shape = chance.gammavariate(alpha, (1 - beta) / beta)
        size = 1 + poisson(shape, chance)
        population, alone = population + size, alone + (size == 1)
        sampled = sum(chance.random() < fraction for _ in range(size))
        drawn[sampled] = drawn.get(sampled, 0) + 1
    drawn.pop(0, None)
    found = snb(drawn, population)
    assert not math.isnan(found)
    if alpha < 5:  # Shlosser's number of classes is good there, and the rest follows from it
        assert abs(found - alone) < 0.12 * alone + 60


def poisson(rate: float, chance: random.Random) -> int:
    """Knuth's way, in parts so that no exponential underflows."""
    found = 0
    while rate > 0:
        part = min(rate, 30.0)
        limit, product = math.exp(-part), chance.random()
        while product > limit:
            found += 1
            product *= chance.random()
        rate -= part
    return found


@given(st.integers(1, 150), st.floats(0.03, 1))
@settings(max_examples=tries(60), deadline=None)
def test_the_expected_risk_is_the_sum_over_all_population_classes(size: int, fraction: float) -> None:
    direct = math.fsum(chance / whole for whole, chance in oracle.population_classes(size, fraction))
    assert expected_risk(size, fraction) == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize("fraction", [1e-12, 1e-6, 0.01, 0.05, 0.3, 0.499999, 0.5, 0.500001, 0.9, 1 - 1e-12, 1.0])
def test_the_expected_risk_falls_with_the_size_and_stays_between_its_limits(fraction: float) -> None:
    sizes = [*range(1, 200), 10**3, 10**4, 10**6, 10**8]
    found = [expected_risk(size, fraction) for size in sizes]
    assert all(math.isfinite(value) for value in found)
    assert found == sorted(found, reverse=True)
    for size, value in zip(sizes, found, strict=True):
        # Jensen: 1 / E(F) is less; and F ≥ f.
        assert fraction / size * (1 - 1e-12) <= value <= 1 / size * (1 + 1e-12)
        if size > 1:
            assert value <= fraction / (size - 1) * (1 + 1e-9), "E(1 / F) is below the unbiased (f − 1) / (F − 1) bound"


@given(SIZES, st.floats(0.01, 1), st.integers(1, 60))
@settings(max_examples=tries(100), deadline=None)
def test_the_expected_records_below_a_size_are_the_sum_of_their_chances(
    sizes: dict[int, int], fraction: float, limit: int
) -> None:
    direct = math.fsum(
        size * count * chance
        for size, count in sizes.items()
        for whole, chance in oracle.population_classes(size, fraction, 100)
        if whole < limit
    )
    assert expected_records_below(sizes, fraction, limit) == pytest.approx(direct, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 0.01), (0.5, 0.02), (1, 0.05), (1.7, 0.1), (math.log(2), 0.01),
                                                (3, 0.3)])  # fmt: skip
def test_safepub_k_is_the_least_that_a_search_over_all_n_allows(epsilon: float, delta: float) -> None:
    k = safepub_k(epsilon, delta)
    assert oracle.safepub_delta(k, epsilon, 300) <= delta
    assert k == 1 or oracle.safepub_delta(k - 1, epsilon, 300) > delta


def test_a_smaller_delta_never_needs_a_smaller_k() -> None:
    found = [safepub_k(1, 10.0**-power) for power in range(1, 16)]
    assert found == sorted(found)


# -- odd samples -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@given(st.dictionaries(st.integers(1, 10**6), st.integers(0, 10**6), max_size=6), st.integers(0, 10**9))
@settings(max_examples=tries(300), deadline=None)
def test_no_estimator_fails_or_says_what_cannot_be(sizes: dict[int, int], more: int) -> None:
    n = records(sizes)
    for name, estimator in ESTIMATORS.items():
        found = estimator(sizes, n + more)
        assert math.isnan(found) or 0 <= found <= (n + more - n + sizes.get(1, 0)) * (1 + 1e-9), name


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_sample_that_is_the_population_has_its_own_uniques(name: str) -> None:
    for sizes in ({1: 7, 2: 3}, {3: 5}, {1: 4}, {1: 1}):
        assert ESTIMATORS[name](sizes, records(sizes)) == sizes.get(1, 0)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_population_smaller_than_the_sample_is_a_clear_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"^the population \(9\) is smaller than the sample \(10\)$"):
        ESTIMATORS[name]({1: 3, 2: 2, 3: 1}, 9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_without_records_there_is_no_estimate(name: str) -> None:
    assert math.isnan(ESTIMATORS[name]({}, 100))
    assert math.isnan(ESTIMATORS[name]({3: 0}, 0))


def test_sizes_and_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        zayatz({0: 3}, 10)
    with pytest.raises(ValueError, match="not negative"):
        zayatz({1: -3}, 10)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1, math.nan, math.inf])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    for call in (lambda: shlosser({1: 3}, fraction), lambda: expected_risk(1, fraction),
                 lambda: expected_records_below({1: 3}, fraction, 5)):  # fmt: skip
        with pytest.raises(ValueError, match="share above 0 and at most 1"):
            call()


@pytest.mark.parametrize(("epsilon", "delta"), [(0, 0.1), (-1, 0.1), (11, 0.1), (math.nan, 0.1), (math.inf, 0.1),
                                                (1, 0), (1, 1), (1, -0.1), (1, math.nan)])  # fmt: skip
def test_safepub_refuses_parameters_that_promise_nothing(epsilon: float, delta: float) -> None:
    with pytest.raises(ValueError, match=r"epsilon is above 0|delta is a share"):
        safepub_k(epsilon, delta)
