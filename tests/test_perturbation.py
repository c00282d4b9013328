"""Transforms of single values: against plain Python, on random tables, with missing and monstrous values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import made, remake, with_threads
from tries import tries

from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.query import Query
from sqlanon.recoding.perturbation import (
    AdditiveNoise,
    Coding,
    MultiplicativeNoise,
    Pram,
    RankSwapping,
    Rounding,
    invariant,
)
from sqlanon.recoding.transforms import Records, Transform, numbered, perturbed
from sqlanon.udfs import draws

NASTY = '"; DROP TABLE x; --$n'
INF, NAN = float("inf"), float("nan")


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def table(engine: Engine, columns: dict[str, tuple[str, Sequence[Any]]]) -> Records:
    """A table of columns with their types, as numbered records."""
    rows = list(zip(*(values for _, values in columns.values()), strict=True))
    declared = {name: kind for name, (kind, _) in columns.items()}
    made(engine, "things", declared, [dict(zip(columns, row, strict=True)) for row in rows])
    return numbered(Query(()), "things", engine.columns(Origin(relation="things")), len(rows))


def run(engine: Engine, records: Records, *transforms: Transform, key: str = "key") -> list[tuple[Any, ...]]:
    with engine.functions(key):
        engine.temporary("make it", "made", perturbed(records, transforms).query)
    return engine.run("read it", "SELECT * FROM made")


def changed(
    engine: Engine, kind: str, values: Sequence[Any], transform: Callable[[str], Transform], key: str = "key"
) -> list[Any]:
    """What becomes of the values of one column with a nasty name, in their own order."""
    records = table(engine, {NASTY: (kind, values), "place": ("INTEGER", range(len(values)))})
    found = run(engine, records, transform(NASTY), key=key)
    assert len(found) == len(values)
    return [value for value, _ in sorted(found, key=lambda row: row[1])]


def number_of(values: Sequence[Any]) -> list[int]:
    """The record number of each row of `changed`: by value, missing first, then by place."""
    order = sorted(range(len(values)), key=lambda i: (values[i] is not None, _sortable(values[i]), i))
    return [order.index(i) + 1 for i in range(len(values))]


def _sortable(value: Any) -> Any:
    if isinstance(value, float):
        return (math.isnan(value), 0 if math.isnan(value) else value)
    return 0 if value is None else value


# -- rounding and coding --------------------------------------------------------------------------------------------

bases = st.sampled_from([Decimal(w) for w in ("1", "2", "5", "10", "1000", "0.5", "0.25", "0.1", "7")])
integers = st.lists(st.none() | st.integers(-130, 130) | st.integers(-(10**12), 10**12), min_size=1, max_size=8)
decimals = st.lists(st.none() | st.decimals(-9999, 9999, places=3), min_size=1, max_size=8)
floats = st.lists(
    st.none() | st.floats(-1e6, 1e6) | st.sampled_from([INF, -INF, NAN, 0.25, -0.5, 1e300]), min_size=1, max_size=8
)


def nearest(x: Decimal, base: Decimal) -> Decimal:
    return (x / base + Decimal("0.5")).to_integral_value(ROUND_FLOOR) * base


@settings(max_examples=tries(20), deadline=None)
@given(integers, bases)
def test_integers_are_rounded_to_the_nearest_multiple_halves_up(
    engine: Engine, values: list[Any], base: Decimal
) -> None:
    found = changed(engine, "BIGINT", values, lambda c: Rounding(c, base))
    assert [x if x is None else Decimal(x) for x in found] == [
        x if x is None else nearest(Decimal(x), base) for x in values
    ]


def test_small_integers_do_not_overflow_their_type(engine: Engine) -> None:
    kind, values = ("TINYINT", [127, -128]) if engine.name == "duckdb" else ("SMALLINT", [32767, -32768])
    assert changed(engine, kind, values, lambda c: Rounding(c, Decimal(10))) == [round(x, -1) for x in values]


@settings(max_examples=tries(20), deadline=None)
@given(decimals, bases)
def test_decimals_are_rounded_exactly(engine: Engine, values: list[Any], base: Decimal) -> None:
    found = changed(engine, "DECIMAL(12, 3)", values, lambda c: Rounding(c, base))
    assert found == [x if x is None else nearest(x, base) for x in values]


@settings(max_examples=tries(20), deadline=None)
@given(floats, bases)
def test_floats_are_rounded_to_the_double_nearest_the_multiple_and_what_is_not_finite_is_missing(
    engine: Engine, values: list[Any], base: Decimal
) -> None:
    found = changed(engine, "DOUBLE", values, lambda c: Rounding(c, base))
    for x, y in zip(values, found, strict=True):
        if x is None or not math.isfinite(x):
            assert y is None
        else:
            assert abs(y - x) <= float(base) / 2 * (1 + 1e-9) + abs(x) * 1e-15
            steps = round(y / float(base))
            assert abs(x) > 1e15 or y == float(steps * base)


@settings(max_examples=tries(20), deadline=None)
@given(floats, st.sampled_from([(None, Decimal(5)), (Decimal("-0.5"), None), (Decimal(0), Decimal("2.5"))]))
def test_what_lies_beyond_a_bound_becomes_the_bound(
    engine: Engine, values: list[Any], bounds: tuple[Decimal | None, Decimal | None]
) -> None:
    bottom, top = bounds
    found = changed(engine, "DOUBLE", values, lambda c: Coding(c, bottom, top))
    for x, y in zip(values, found, strict=True):
        if x is None or (math.isnan(x) and top is None):
            assert y is None
        elif math.isnan(x):
            assert y in (None, float(top or 0))
        else:
            low, high = float(bottom) if bottom is not None else x, float(top) if top is not None else x
            assert y == (low if x < low else min(x, high))


def test_dates_are_coded_by_dates(engine: Engine) -> None:
    days = [date(1900, 1, 1), date(2000, 5, 6), None, date(2050, 1, 1)]
    found = changed(engine, "DATE", days, lambda c: Coding(c, date(1930, 1, 1), date(2010, 1, 1)))
    assert found == [date(1930, 1, 1), date(2000, 5, 6), None, date(2010, 1, 1)]
    with pytest.raises(SpecError, match="not of the column's type"):
        changed(engine, "DATE", days, lambda c: Coding(c, top=Decimal(3)))


def test_integers_are_coded_as_integers(engine: Engine) -> None:
    found = changed(engine, "INTEGER", [1, 89, 90, 120, None], lambda c: Coding(c, top=Decimal(89)))
    assert found == [1, 89, 89, 89, None] and all(x is None or type(x) is int for x in found)


# -- rank swapping --------------------------------------------------------------------------------------------------

swapped_values = st.lists(st.none() | st.integers(0, 12), min_size=1, max_size=30)


@settings(max_examples=tries(20), deadline=None)
@given(swapped_values, st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0]), st.sampled_from(["key", "other"]))
def test_ranks_are_swapped_in_pairs_and_not_further_than_the_share(
    engine: Engine, values: list[Any], share: float, key: str
) -> None:
    found = changed(engine, "INTEGER", values, lambda c: RankSwapping(c, share), key)
    assert Counter(found) == Counter(values)
    assert [x is None for x in found] == [x is None for x in values]
    # Whatever way equal values are ranked, a value came from a rank within reach.
    ordered = sorted(x for x in values if x is not None)
    reach = int(Decimal(repr(share)) * len(ordered))
    for x, y in zip(values, found, strict=True):
        if x is not None and x != y:
            ranks = [[i for i, z in enumerate(ordered) if z == w] for w in (x, y)]
            assert min(abs(i - j) for i in ranks[0] for j in ranks[1]) <= reach


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_different_values_are_swapped_in_pairs_twice_is_as_before_and_most_move(engine: Engine, share: float) -> None:
    values = np.random.default_rng(1).permutation(600).tolist()
    once = changed(engine, "INTEGER", values, lambda c: RankSwapping(c, share))
    partner = dict(zip(values, once, strict=True))
    assert all(partner[partner[x]] == x for x in values)
    assert 0 < max(abs(x - y) for x, y in partner.items()) <= share * 600
    assert sum(x == y for x, y in partner.items()) <= 600 / (share * 600) + 2  # at most one per run


@pytest.mark.parametrize(("kind", "values"), [
    ("VARCHAR", ["b", "a", None, "$x", "'"]), ("DATE", [date(2000, 1, d) for d in range(1, 6)]),
    ("DOUBLE", [0.5, INF, NAN, None, -1.0]), ("BOOLEAN", [True, False, None, True, False]),
])  # fmt: skip
def test_ranks_of_every_kind_are_swapped(engine: Engine, kind: str, values: list[Any]) -> None:
    found = changed(engine, kind, values, lambda c: RankSwapping(c, 1.0))
    assert Counter(map(str, found)) == Counter(map(str, values))


# -- PRAM -----------------------------------------------------------------------------------------------------------


@settings(max_examples=tries(20), deadline=None)
@given(st.lists(st.none() | st.sampled_from("abc'"), min_size=1, max_size=12), st.sampled_from([0.0, 0.3, 0.9]))
def test_pram_keeps_a_value_or_takes_that_of_a_drawn_record(engine: Engine, values: list[Any], keep: float) -> None:
    found = changed(engine, "VARCHAR", values, lambda c: Pram(c, keep))
    number = number_of(values)
    by_number = dict(zip(number, values, strict=True))
    stream = f"pram of {NASTY}"
    for x, y, n in zip(values, found, number, strict=True):
        other = math.floor(draws.uniform("key", f"{stream}: other", n) * len(values)) + 1
        assert y == (x if draws.uniform("key", stream, n) < keep else by_number[other])


def test_pram_by_keeping_leaves_the_expected_frequencies(engine: Engine) -> None:
    values = ["a"] * 12000 + ["b"] * 6000 + [None] * 2000
    found = Counter(changed_many(engine, values, Pram("value", 0.6)))
    for value, before in Counter(values).items():
        deviation = math.sqrt(20000 * 0.25)
        assert abs(found[value] - before) < 4 * deviation
    both = Counter(zip(values, changed_many(engine, values, Pram("value", 0.6)), strict=True))
    assert abs(both["a", "a"] / 12000 - (0.6 + 0.4 * 0.6)) < 0.02


def changed_many(engine: Engine, values: Sequence[Any], transform: Transform) -> list[Any]:
    """The same for many values, which are told apart by a column that is left alone."""
    kind = "VARCHAR" if isinstance(values[0], str) else "DOUBLE PRECISION" if isinstance(values[0], float) else "BIGINT"
    read = f"unnest(CAST(? AS {kind}[])) AS value, unnest(CAST(? AS BIGINT[])) AS place"
    engine.run("make", "DROP TABLE IF EXISTS many")
    engine.run("make", f"CREATE TEMP TABLE many AS SELECT {read}", [list(values), list(range(len(values)))])
    records = numbered(Query(()), "many", engine.columns(Origin(relation="many")), len(values))
    return [value for value, _ in sorted(run(engine, records, transform), key=lambda row: row[1])]


MATRIX = {"a": {"a": 0.7, "b": 0.2, "'; --": 0.1}, "b": {"b": 0.5, "c": 0.5}}


@settings(max_examples=tries(20), deadline=None)
@given(st.lists(st.none() | st.sampled_from(["a", "b", "c", "'; --"]), min_size=1, max_size=12))
def test_a_matrix_says_what_becomes_of_a_value(engine: Engine, values: list[Any]) -> None:
    found = changed(engine, "VARCHAR", values, lambda c: Pram(c, matrix=MATRIX))
    for x, y, n in zip(values, found, number_of(values), strict=True):
        u = draws.uniform("key", f"pram of {NASTY}", n)
        expected, passed = x, 0.0
        for value, p in MATRIX.get(x or "", {}).items():
            passed += p
            if u < passed:
                expected = value
                break
        assert y == expected


def test_a_matrix_gives_the_marginals_that_it_says_and_an_invariant_one_those_of_before(engine: Engine) -> None:
    values = ["a"] * 9000 + ["b"] * 6000 + ["c"] * 3000 + ["'; --"] * 2000
    before = Counter(values)
    kept = invariant(MATRIX, before)
    for matrix, expected in (
        (MATRIX, {"a": 6300, "b": 1800 + 3000, "c": 3000 + 3000, "'; --": 900 + 2000}),
        (kept, before),
    ):
        found = Counter(changed_many(engine, values, Pram("value", matrix=matrix)))
        assert all(abs(found[v] - n) < 4 * math.sqrt(20000 * 0.25) for v, n in expected.items())
    changing = sum(before[v] * (1 - row[v]) for v, row in kept.items())
    assert changing > 3000  # the frequencies are kept, and not because everything stays


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any), min_size=3, max_size=3),
       st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any))  # fmt: skip
def test_invariant_matrices_keep_every_frequency_in_expectation(rows: list[list[int]], counts: list[int]) -> None:
    shares = ([p / sum(row) for p in row] for row in rows)
    matrix = {of: dict(zip("xyz", row, strict=True)) for of, row in zip("xyz", shares, strict=True)}
    frequencies = dict(zip("xyz", counts, strict=True))
    kept = invariant(matrix, frequencies)
    for to in "xyz":
        assert sum(frequencies[of] * kept[of][to] for of in "xyz") == pytest.approx(frequencies[to], abs=1e-9)
    assert all(sum(row.values()) == pytest.approx(1) and min(row.values()) >= 0 for row in kept.values())
    Pram("c", matrix=kept)


# -- noise ----------------------------------------------------------------------------------------------------------


@settings(max_examples=tries(20), deadline=None)
@given(floats, st.sampled_from(["normal", "laplace", "uniform"]), st.sampled_from([0.1, 3.0]))
def test_noise_is_what_the_draws_of_the_record_say(
    engine: Engine, values: list[Any], distribution: Any, scale: float
) -> None:
    found = changed(engine, "DOUBLE", values, lambda c: AdditiveNoise(c, scale, distribution))
    for x, y, n in zip(values, found, number_of(values), strict=True):
        if x is None or not math.isfinite(x):
            assert y is None
            continue
        stream = f"additive-noise of {NASTY}"
        u = draws.uniform("key", stream, n)
        noise = {
            "normal": draws.normal("key", stream, n),
            "uniform": (2 * u - 1) * math.sqrt(3),
            "laplace": (math.log(2 * u) if u < 0.5 else -math.log(2 - 2 * u)) / math.sqrt(2),
        }[distribution]
        assert y == pytest.approx(x + scale * noise, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("distribution", ["normal", "laplace", "uniform"])
def test_noise_has_mean_0_and_the_deviation_that_it_says(engine: Engine, distribution: Any) -> None:
    noise = np.array(changed_many(engine, [10.0] * 20000, AdditiveNoise("value", 5, distribution))) - 10
    assert abs(noise.mean()) < 0.15 and abs(noise.std() - 5) < 0.15
    kurtosis = ((noise / noise.std()) ** 4).mean()
    assert abs(kurtosis - {"normal": 3, "laplace": 6, "uniform": 1.8}[distribution]) < 0.7


def test_integers_and_dates_get_whole_noise(engine: Engine) -> None:
    large = 2**60 + 1
    found = changed(engine, "BIGINT", [large, 0, None, 2**63 - 1], lambda c: AdditiveNoise(c, 40))
    assert all(x is None or type(x) is int for x in found) and found[2] is None
    assert 0 < abs(found[0] - large) < 400 and found[3] is None  # what a bigint cannot hold is missing
    days = [date(2000, 1, 1)] * 50 + [None]
    found = changed(engine, "DATE", days, lambda c: AdditiveNoise(c, 10))
    assert found[-1] is None and all(type(day) is date for day in found[:-1])
    assert len(set(found)) > 10 and max(abs(day - days[0]) for day in found[:-1]) < timedelta(days=60)


def test_factors_have_mean_1_and_leave_signs_and_zeros(engine: Engine) -> None:
    found = np.array(changed_many(engine, [100.0] * 20000, MultiplicativeNoise("value", 0.3)))
    assert abs(found.mean() - 100) < 1 and abs(np.log(found).std() - 0.3) < 0.01
    values = [0.0, -2.0, 3.0, None, INF, NAN]
    found = changed(engine, "DOUBLE", values, lambda c: MultiplicativeNoise(c, 0.3))
    assert found[0] == 0 and found[1] < 0 < found[2] and found[3:] == [None] * 3
    found = changed(engine, "INTEGER", [1000, None], lambda c: MultiplicativeNoise(c, 0.1))
    assert type(found[0]) is int and 500 < found[0] < 1500


# -- all of them ----------------------------------------------------------------------------------------------------

DRAWING = (
    RankSwapping("income", 0.1),
    Pram("town", 0.5),
    Pram("town", matrix={"x": {"x": 0.5, "y": 0.5}}),
    AdditiveNoise("income", 10),
    MultiplicativeNoise("income", 0.1),
)
FIXED = (Rounding("income", Decimal(10)), Coding("income", top=Decimal(500)))


def towns(engine: Engine) -> Records:
    random = np.random.default_rng(2)
    return table(engine, {
        "income": ("DOUBLE", random.integers(0, 900, 300).astype(float).tolist()),
        "town": ("VARCHAR", random.choice(["x", "y", "z"], 300).tolist()),
        "draw": ("INTEGER", list(range(300))),
    })  # fmt: skip


@pytest.mark.parametrize("transform", DRAWING, ids=lambda t: t.name)
def test_draws_do_not_depend_on_threads_or_the_order_of_the_source_but_on_the_key(
    engine: Engine, transform: Transform
) -> None:
    records = towns(engine)
    with_threads(engine, 1)
    first = Counter(run(engine, records, transform))
    with_threads(engine, 4)
    engine.run("turn", "CREATE TEMP TABLE turned AS SELECT * FROM things ORDER BY draw DESC")
    remake(engine, "things", "AS SELECT * FROM turned")
    engine.run("clear", "DROP TABLE turned")
    assert Counter(run(engine, records, transform)) == first
    assert Counter(run(engine, records, transform, key="other")) != first


@pytest.mark.parametrize("transform", [*DRAWING, *FIXED], ids=lambda t: t.name)
def test_only_the_named_column_changes_and_no_record_is_lost(engine: Engine, transform: Transform) -> None:
    records = towns(engine)
    names = list(records.columns)
    before = {row[2]: row for row in engine.run("read", "SELECT * FROM things")}
    after = {row[2]: row for row in run(engine, records, transform)}
    assert before.keys() == after.keys()
    places = {i for n in before for i in range(3) if before[n][i] != after[n][i]}
    assert places == {names.index(transform.touched[0])}


def test_transforms_follow_one_another(engine: Engine) -> None:
    found = run(engine, towns(engine), *DRAWING, *FIXED)
    assert len(found) == 300 and all(income <= 500 and income % 10 == 0 for income, _, _ in found)


@pytest.mark.parametrize("transform", DRAWING, ids=lambda t: t.name)
def test_a_view_takes_no_transform_that_draws(engine: Engine, transform: Transform) -> None:
    assert not transform.in_views and transform.reason
    with pytest.raises(SpecError, match=f"{transform.name} cannot stand in a view: a view would"):
        perturbed(towns(engine), [transform], view=True)


@pytest.mark.parametrize("transform", FIXED, ids=lambda t: t.name)
def test_a_view_may_round_and_code(engine: Engine, transform: Transform) -> None:
    made = perturbed(towns(engine), [transform], view=True).query
    assert "sqlanon_" not in engine.rendered(made).lower()


def test_a_column_that_is_not_there_or_of_another_kind_is_an_error_that_says_so(engine: Engine) -> None:
    with pytest.raises(SpecError, match="did you mean 'income'"):
        perturbed(towns(engine), [Rounding("incme", Decimal(1))])
    with pytest.raises(SpecError, match="cannot change the column 'town'; found 'text'"):
        perturbed(towns(engine), [Rounding("town", Decimal(1))])
    with pytest.raises(SpecError, match="a matrix is about texts"):
        perturbed(towns(engine), [Pram("income", matrix=MATRIX)])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Rounding("c", Decimal(0)), "base must be greater than 0"),
        (lambda: Rounding("c", Decimal("NaN")), "base is a number above 0"),
        (lambda: Coding("c"), "a bottom, a top or both"),
        (lambda: Coding("c", Decimal(3), Decimal(2)), "below the top"),
        (lambda: Coding("c", Decimal(3), date(2000, 1, 1)), "alike"),
        (lambda: Coding("c", top=Decimal("Infinity")), "finite"),
        (lambda: RankSwapping("c", 0), "share must be greater than 0"),
        (lambda: RankSwapping("c", NAN), "share must be"),
        (lambda: Pram("c"), "either keep or a matrix"),
        (lambda: Pram("c", 1.0), "keep must be less than 1"),
        (lambda: Pram("c", matrix={"a": {"a": 0.5, "b": 0.4}}), "sum to 1"),
        (lambda: Pram("c", matrix={"a": {"a": 1.5, "b": -0.5}}), "from 0 to 1"),
        (lambda: invariant({"a": {"b": 1.0}}, {"a": 1}), "needs a frequency"),
        (lambda: AdditiveNoise("c", 0), "scale must be greater than 0"),
        (lambda: AdditiveNoise("c", INF), "scale is a number above 0"),
        (lambda: AdditiveNoise("c", 1, "cauchy"), "distribution is"),  # type: ignore[arg-type]
        (lambda: MultiplicativeNoise("c", NAN), "scale must be greater than 0"),
    ],
)
def test_parameters_without_meaning_are_refused(wrong: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        wrong()
