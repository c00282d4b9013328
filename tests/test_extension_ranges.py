"""The ranges of the extension contain their value, do not overlap, and nest, to the ends of their types."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hospital import extended
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tries import tries

from sqlanon.engines.duckdb import DuckDB
from sqlanon.hierarchies import Mask
from sqlanon.query import Query, fragment, literal

STEPS = ["day", "month", "quarter", "year", "decade", "century"]  # each inside the next; a week is inside none
INT4, INT8 = 2**31, 2**63


@pytest.fixture(scope="module")
def ask(database: str) -> Iterator[psycopg.Connection[Any]]:
    extended(database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def duckdb() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


def one(ask: psycopg.Connection[Any], sql: str, **values: object) -> Any:
    row = ask.execute(sql.encode(), values).fetchone()
    assert row is not None
    return row[0]


def around(end: int) -> st.SearchStrategy[int]:
    """Whole numbers: all, near 0, and near the two ends of a type."""
    return st.one_of(
        st.integers(-end, end - 1), st.integers(-30, 30), st.integers(end - 40, end - 1), st.integers(-end, -end + 40)
    )


NUMBERS = {
    "generalize_int4range(%(v)s::int4, {}::int4)": (around(INT4), st.integers(1, 1000), 7),
    "generalize_int8range(%(v)s::int8, {}::int8)": (around(INT8), st.integers(1, 10**15), 7),
    "generalize_numrange(%(v)s::numeric, {}::numeric)": (
        st.one_of(st.decimals(allow_nan=False), st.decimals(-9, 9, places=3), st.just(Decimal("NaN"))),
        st.decimals("0.001", "1e20", places=3), 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", NUMBERS)
@settings(max_examples=tries(150), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_a_range_of_numbers_contains_its_value_and_is_one_of_a_partition(
    ask: psycopg.Connection[Any], call: str, data: st.DataObject
) -> None:
    values, widths, times = NUMBERS[call]
    value, other, width = data.draw(values), data.draw(values), data.draw(widths)
    kind = call.split("::")[1].split(",")[0]
    small, large = f"sqlanon.{call.format('%(w)s')}", f"sqlanon.{call.format(f'(%(w)s::numeric * {times})')}"
    theirs = small.replace("%(v)s", "%(o)s")
    assert one(ask, f"SELECT {small} @> %(v)s::{kind}", v=value, w=width)
    assert one(ask, f"SELECT {small} <@ {large}", v=value, w=width)
    assert one(ask, f"SELECT {small} = {theirs} OR NOT {small} && {theirs}", v=value, o=other, w=width)
    if kind != "numeric" and abs(value) < 2**30:
        assert one(ask, f"SELECT upper({small}) - lower({small}) = %(w)s", v=value, w=width)


@pytest.mark.parametrize(("call", "expected"), [
    ("generalize_int4range(-5, 10)", "[-10,0)"), ("generalize_int4range(2147483647, 10)", "[2147483640,)"),
    ("generalize_int4range(-2147483648, 10)", "(,-2147483640)"), ("generalize_int4range(2147483647,"
        " 2147483647)", "[2147483647,)"),
    ("generalize_int8range(9223372036854775807, 10)", "[9223372036854775800,)"),
    ("generalize_int8range(-9223372036854775808, 9223372036854775807)", "(,-9223372036854775807)"),
    ("generalize_numrange(9.7, 10)", "[0,10)"), ("generalize_numrange(3000000000, 7)", "[2999999996,3000000003)"),
    ("generalize_numrange(-0.3, 0.25)", "[-0.5,-0.25)"), ("generalize_numrange('NaN', 1)", "[NaN,NaN]"),
    ("generalize_numrange('-Infinity', 1)", "[-Infinity,-Infinity]"),
    ("generalize_daterange('2024-02-29', 'quarter')", "[2024-01-01,2024-04-01)"),
    ("generalize_daterange('2024-12-31', 'week')", "[2024-12-30,2025-01-06)"),
    ("generalize_daterange('0001-06-01 BC', 'decade')", '["0001-01-01 BC",0010-01-01)'),
    ("generalize_daterange('1999-12-31', 'century')", "[1900-01-01,2000-01-01)"),
    ("generalize_daterange('infinity', 'year')", "[infinity,infinity]"),
    ("generalize_daterange('4713-11-30 BC', 'month')", '["4713-11-01 BC","4713-12-01 BC")'),
    ("generalize_daterange('4714-11-24 BC', 'year')", '(,"4713-01-01 BC")'),
    ("generalize_daterange('5874897-12-31', 'day')", "[5874897-12-31,)"),
    ("generalize_tsrange('2024-02-29 23:59:59.9', 'hour')", '["2024-02-29 23:00:00","2024-03-01 00:00:00")'),
    ("generalize_tsrange('294276-12-31 23:59:59.999999', 'second')", '["294276-12-31 23:59:59",)'),
    ("generalize_tsrange('4714-11-24 BC', 'century')", '(,"4701-01-01 00:00:00 BC")'),
    ("generalize_tsrange('-infinity', 'day')", "[-infinity,-infinity]"),
    ("mask('47001', 2)", "470**"), ("mask('Ünï', 9, 'x')", "xxx"), ("mask('', 3)", ""), ("mask('abc', 0)", "abc"),
])  # fmt: skip
def test_worked_examples(ask: psycopg.Connection[Any], call: str, expected: str) -> None:
    assert one(ask, f"SELECT sqlanon.{call}::text") == expected


@settings(max_examples=tries(200), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.integers(-2451507, 2145031948), st.integers(-800, 800), st.sampled_from(["spread", "low", "high", "now"]))
def test_a_range_of_dates_contains_its_date_and_is_one_of_a_partition(
    ask: psycopg.Connection[Any], anywhere: int, near: int, where: str
) -> None:
    place = {"spread": anywhere, "low": -2451507 + abs(near), "high": 2145031948 - abs(near), "now": near * 40}[where]
    date, then = "(date '2000-01-01' + %(v)s::int)", f"(date '2000-01-01' + {min(place + 1, 2145031948)})"
    for step, coarser in zip([*STEPS, "week", "day"], [*STEPS[1:], "century", "week", "week"], strict=True):
        mine = f"sqlanon.generalize_daterange({date}, '{step}')"
        told = one(
            ask, f"SELECT ARRAY[{mine} @> {date}, '{step}' IN ('week', 'century') OR {mine} <@"
            f" sqlanon.generalize_daterange({date}, '{coarser}'),"
            f" {mine} = sqlanon.generalize_daterange({then}, '{step}') OR"
            f" {mine} -|- sqlanon.generalize_daterange({then}, '{step}')]", v=place,
        )  # fmt: skip
        assert told == [True] * 3, (step, place)


@settings(max_examples=tries(150), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.integers(0, 10**12), st.sampled_from(["4714-11-24 BC", "2000-01-01", "1969-12-30", "294276-12-19 10:13:20"]))
def test_a_range_of_timestamps_contains_its_moment_and_nests(
    ask: psycopg.Connection[Any], microseconds: int, start: str
) -> None:
    moment = f"(timestamp '{start}' + %(v)s * interval '1 microsecond')"
    steps = ["second", "minute", "hour", *STEPS]
    for step, coarser in zip([*steps, "week", "day"], [*steps[1:], "century", "week", "week"], strict=True):
        mine = f"sqlanon.generalize_tsrange({moment}, '{step}')"
        told = one(
            ask, f"SELECT ARRAY[{mine} @> {moment}, '{step}' IN ('week', 'century') OR {mine} <@"
            f" sqlanon.generalize_tsrange({moment}, '{coarser}')]", v=microseconds,
        )  # fmt: skip
        assert told == [True] * 2, (step, microseconds, start)


@pytest.mark.parametrize("call", [
    "generalize_int4range(NULL, 10)", "generalize_int8range(NULL, 10)", "generalize_numrange(NULL, 10)",
    "generalize_daterange(NULL, 'day')", "generalize_tsrange(NULL, 'day')", "mask(NULL, 3)", "mask('x', NULL)",
])  # fmt: skip
def test_what_is_missing_stays_missing(ask: psycopg.Connection[Any], call: str) -> None:
    assert one(ask, f"SELECT sqlanon.{call} IS NULL")


@pytest.mark.parametrize("call", [
    "generalize_int4range(1, 0)", "generalize_int4range(1, -2)", "generalize_int8range(1, 0)",
    "generalize_numrange(1, 0)",
    "generalize_numrange(1, 'NaN')", "generalize_numrange(1, 'Infinity')", "generalize_daterange('2020-01-01', 'eon')",
    "generalize_daterange('2020-01-01', 'hour')", "generalize_tsrange('2020-01-01', 'days; DROP')",
])  # fmt: skip
def test_a_width_or_step_that_is_none_is_refused(ask: psycopg.Connection[Any], call: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        one(ask, f"SELECT sqlanon.{call}")


@settings(max_examples=tries(60), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.text(alphabet="aZ0*é' \\", max_size=8), st.integers(1, 9))
def test_a_mask_is_that_of_the_hierarchy(ask: psycopg.Connection[Any], duckdb: DuckDB, text: str, level: int) -> None:
    hidden = Mask(9).label(literal(text), level, "text")
    ((expected,),) = duckdb.run("mask", Query(()).then("made", fragment("select $x as x", x=hidden)))
    assert one(ask, "SELECT sqlanon.mask(%(t)s, %(n)s)", t=text, n=level) == expected
