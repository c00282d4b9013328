"""The utility report against the oracle and Commons Math's own numbers, also where floating point loses most."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import oracle_prediction as oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import remake
from shared import needs_shared
from test_prediction import load, load_vector, vector
from tries import tries

from sqlanon.engines import Engine
from sqlanon.prediction import records_of
from sqlanon.rules import NAMES, PERCENTILES, percentile_name
from sqlanon.statistics import compare, correlations, describe

QUICK = settings(max_examples=tries(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.one_of(st.integers(-5, 5), st.sampled_from([0.5, 1e9 + 0.25, 1e9 + 0.5, -1e-3, 1e9]))


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def told(engine: Engine, values: list[float | None], kind: str = "DOUBLE") -> dict[str, float | None]:
    origin = load(engine, [{"v": v} for v in values], {"v": kind})
    return describe(engine, records_of(engine, origin), ["v"])["v"]


@needs_shared
def test_the_statistics_are_those_of_commons_math(engine: Engine) -> None:
    origin = load_vector(engine, "jisa-statistics")
    found = describe(engine, records_of(engine, origin), ["weight"])["weight"]
    for name, expected in vector("jisa-statistics")["expected"].items():
        assert found[name] == pytest.approx(expected, abs=1e-9), name


@QUICK
@given(st.lists(st.one_of(st.none(), NUMBERS), max_size=12))
def test_every_statistic_is_the_oracles(engine: Engine, values: list[float | None]) -> None:
    there = [v for v in values if v is not None]
    found = told(engine, values)
    assert set(found) == set(NAMES)
    if not there:
        assert found == {name: 0.0 if name in ("n", "sum", "sumsq") else None for name in NAMES}
        return
    for name, expected in oracle.describe(there).items():
        assert found[name] == (None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9)), name
    for percent in PERCENTILES:
        expected = oracle.percentile(there, float(percent))
        assert found[percentile_name(percent)] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_large_mean_costs_nothing(engine: Engine) -> None:
    """By raw sums of powers, the variance of these would be lost: 1e9 squared leaves no room for 0.0625."""
    values = [1e9 + x for x in (4.0, 7.0, 13.0, 16.0)]
    found = told(engine, list(values))
    expected = oracle.describe(values)
    for name in ("variance", "std", "skewness", "kurtosis"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
    assert found["variance"] == 30.0


@pytest.mark.parametrize("value", [0, 7, 0.1, 1e-12, -3e8])
def test_equal_values_vary_by_nothing(engine: Engine, value: float) -> None:
    found = told(engine, [value] * 7)
    assert [found[name] for name in ("variance", "std", "skewness", "kurtosis")] == [0.0] * 4
    assert found["median"] == found["p5"] == found["p95"] == value


def test_a_geometric_mean_needs_positive_values(engine: Engine) -> None:
    assert told(engine, [2, 8])["geometric_mean"] == pytest.approx(4)
    assert told(engine, [0, 8])["geometric_mean"] is None
    assert told(engine, [-2, 8])["geometric_mean"] is None


def test_what_is_not_finite_is_told_as_missing_and_not_as_a_number(engine: Engine) -> None:
    remake(engine, "t", "AS SELECT v::DOUBLE AS v FROM (VALUES ('1'), ('2'), ('nan'), ('inf')) AS x (v)")
    from sqlanon.engines import Origin

    found = describe(engine, records_of(engine, Origin(relation="t")), ["v"])["v"]
    assert found["n"] == 4
    assert all(v is None or math.isfinite(v) for v in found.values())
    assert found["mean"] is found["variance"] is found["max"] is None


@QUICK
@given(st.lists(st.tuples(st.one_of(st.none(), NUMBERS), st.one_of(st.none(), st.integers(-3, 3))), max_size=10))
def test_correlations_are_over_the_records_that_have_both(engine: Engine, pairs: list[tuple[Any, Any]]) -> None:
    origin = load(engine, [{"x": x, "y": y} for x, y in pairs], {"x": "DOUBLE", "y": "INTEGER"})
    found = correlations(engine, records_of(engine, origin), ["x", "y"])["x", "y"]
    expected = oracle.correlation([(x, y) for x, y in pairs if x is not None and y is not None])
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_what_changed_is_told_as_difference_and_share_of_what_was(engine: Engine) -> None:
    kinds = {"f": "VARCHAR", "v": "INTEGER", "w": "INTEGER", "label": "INTEGER"}
    rows = [{"f": f, "v": v, "w": v * v, "label": 1} for f, v in (("a", 1), ("a", 3), ("b", 10), (None, 5), (None, 7))]
    before = records_of(engine, load(engine, rows, kinds, "before"))
    changed = [{**row, "v": None if row["v"] in (3, 10) else row["v"], "label": "*"} for row in rows]
    after = records_of(engine, load(engine, changed, {**kinds, "label": "VARCHAR"}, "after"))
    found = compare(engine, before, after, ["v", "w", "label"], ["f"])
    assert found.skipped == ("label",)
    assert found.difference("n", "v") == -2
    assert found.difference("mean", "v") == pytest.approx(13 / 3 - 26 / 5)
    assert found.relative("mean", "v") == pytest.approx((13 / 3 - 26 / 5) / (26 / 5))
    assert found.difference("kurtosis", "v") is None
    assert found.relative("mean", "w") == 0
    shift = found.shifts["v"]
    # a: 2 to 1; b: emptied; missing: 6 and 6, a class like any other
    assert (shift.classes, shift.emptied, shift.moved, shift.largest) == (3, 1, 1, 1.0)
    assert shift.average == pytest.approx((2 * 1 + 2 * 0) / 4)
    one, two = found.correlations["v", "w"]
    assert one == pytest.approx(oracle.correlation([(v, v * v) for v in (1, 3, 10, 5, 7)]))
    assert two == pytest.approx(oracle.correlation([(v, v * v) for v in (1, 5, 7)]))
    told = found.to_dict()["fields"]["v"]["mean"]
    assert set(told) == {"before", "after", "difference", "relative"}


@pytest.mark.parametrize(("percent", "expected"), [(1, 70.0), (25, 70.75), (50, 73.0), (75, 77.0), (99, 80.0)])
def test_a_percentile_stands_at_p_times_n_plus_1(engine: Engine, percent: int, expected: float) -> None:
    origin = load(engine, [{"v": v} for v in (70, 80, 71, 72, 74, 76)], {"v": "INTEGER"})
    found = describe(engine, records_of(engine, origin), ["v"], [Fraction(percent)])["v"]
    assert found[percentile_name(Fraction(percent))] == expected
