"""Generalization on the engine: every value lies inside its own, levels nest, and mistakes are told without values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tries import tries

from sqlanon import query
from sqlanon.engines.duckdb import DuckDB
from sqlanon.engines.words import family_of
from sqlanon.errors import SpecError
from sqlanon.hierarchies import STAR, Csv, Date, Hierarchy, Mask, Order, Tree, Width
from sqlanon.query import Query, column, fragment, named

QUICK = settings(
    max_examples=tries(60),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
NAME = "Alice Meyer"  # must never be told


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


Levels = list[tuple[str | None, Any, Any]]  # label, lower and upper bound of level 1, 2, … below the last


def generalized(engine: DuckDB, hierarchy: Hierarchy, kind: str, values: Sequence[Any]) -> list[Levels]:
    """The levels of every value, as the engine makes them; bounds of dates are days since 1970-01-01."""
    family = family_of(kind)
    engine.run("make", f"CREATE OR REPLACE TABLE source (i INTEGER, x {kind})")
    places = ", ".join(f"(?, ?::{kind})" for _ in values)
    texts = [None if value is None else str(value) for value in values]
    engine.run("fill", f"INSERT INTO source VALUES {places}", [cell for pair in enumerate(texts) for cell in pair])
    columns, levels = [], range(1, hierarchy.height or 0)
    for level in levels:
        columns.append(named(hierarchy.label(column("x"), level, family), f"label {level}"))
        ends = hierarchy.bounds(column("x"), level, family) if hierarchy.has_bounds else (query.literal(None),) * 2
        if family in ("date", "timestamp"):
            ends = tuple(fragment("$e - cast('1970-01-01' as date)", e=end) for end in ends)  # type: ignore[assignment]
        columns += [named(end, f"{which} {level}") for which, end in zip(("lower", "upper"), ends, strict=True)]
    made = query.select([column("i"), *columns], "source")
    rows = sorted(engine.run("generalise", made))
    assert len(rows) == len(values)
    return [[row[3 * level - 2 : 3 * level + 1] for level in levels] for row in rows]


def assert_nested(values: Sequence[Any], levels: Sequence[Levels]) -> None:
    """A missing value stays missing; who shares a label (or bounds) at a level shares it at the next."""
    for value, found in zip(values, levels, strict=True):
        for label, lower, upper in found:
            assert (label is None) == (value is None)
            assert (lower is None) == (upper is None) == (label in (None, STAR))
    for part in (slice(0, 1), slice(1, 3)):
        for level in range(len(levels[0]) - 1):
            above: dict[Any, Any] = {}
            for found in levels:
                assert above.setdefault(found[level][part], found[level + 1][part]) == found[level + 1][part]


def ends(label: str) -> tuple[str, str]:
    return re.fullmatch(r"\[(.+), (.+)\)", label).groups()  # type: ignore[union-attr, return-value]


def nested_widths(first: Sequence[str]) -> st.SearchStrategy[tuple[Decimal, ...]]:
    def made(least: str, factors: list[int]) -> tuple[Decimal, ...]:
        widths = [Decimal(least)]
        for factor in factors:
            widths.append(widths[-1] * factor)
        return tuple(widths)

    return st.builds(made, st.sampled_from(first), st.lists(st.integers(2, 10), max_size=2))


def assert_exactly_inside(engine: DuckDB, kind: str, widths: tuple[Decimal, ...], values: Sequence[Any]) -> None:
    """Label and bounds say the same interval, as wide as asked for, and the value lies in it."""
    levels = generalized(engine, Width(widths), kind, values)
    assert_nested(values, levels)
    for value, found in zip(values, levels, strict=True):
        for width, (label, lower, upper) in zip(widths, found, strict=True):
            if value is None or (label == STAR and abs(value) > (10**18 - 1 if "DECIMAL" in kind else 9 * 10**18)):
                continue
            assert label != STAR, value
            assert [Decimal(end) for end in ends(label or "")] == [lower, upper]
            assert lower <= Decimal(value) < upper
            assert upper - lower == width
            assert lower % width == 0


WHOLE = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-100, 100),
    st.sampled_from([9 * 10**18, -9 * 10**18, 9 * 10**18 - 1, 92 * 10**17, -92 * 10**17, None]),
)


@given(nested_widths(["1", "2", "5", "7", "10", "0.5", "2.5", "1000"]), st.lists(WHOLE, min_size=1, max_size=12))
@QUICK
def test_a_whole_number_lies_in_its_bin(engine: DuckDB, widths: tuple[Decimal, ...], values: list[int | None]) -> None:
    assert_exactly_inside(engine, "BIGINT", widths, values)


@pytest.mark.parametrize("bits", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("signed", [True, False])
def test_the_ends_of_every_type_of_whole_numbers_have_a_bin(engine: DuckDB, bits: int, signed: bool) -> None:
    name = {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT", 128: "HUGEINT"}[bits]
    half = 2 ** (bits - 1)
    values = [-half, -half + 1, -1, 0, half - 1] if signed else [0, 1, 2 * half - 1, half]
    widths = (Decimal(1), Decimal(10), Decimal(40), Decimal(1000))
    assert_exactly_inside(engine, name if signed else f"U{name}", widths, values)


def test_a_bin_as_wide_as_the_numbers_are_large_does_not_break_the_engine(engine: DuckDB) -> None:
    assert_exactly_inside(engine, "BIGINT", (Decimal(10**18), Decimal(5 * 10**18)), [9 * 10**18, -9 * 10**18, 1, None])


DECIMALS = ["DECIMAL(9,2)", "DECIMAL(18,4)", "DECIMAL(20,15)", "DECIMAL(38,10)", "DECIMAL(38,20)"]


@pytest.mark.parametrize("kind", DECIMALS)
@given(nested_widths(["0.1", "0.25", "1", "0.125", "10"]), st.data())
@settings(QUICK, max_examples=tries(20))
def test_a_decimal_lies_in_its_bin(engine: DuckDB, kind: str, widths: tuple[Decimal, ...], data: st.DataObject) -> None:
    digits, scale = map(int, re.findall(r"\d+", kind))
    beside = data.draw(st.integers(-1, 1))
    most = 10 ** min(digits, 18 + scale) - 10**scale  # the ends have a test of their own
    with localcontext(prec=60):
        near_edge = st.integers(-50, 50).map(lambda n: n * widths[0] - Decimal(beside).scaleb(-scale))
        anywhere = st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-scale))
        values = data.draw(st.lists(st.one_of(st.none(), near_edge, anywhere), min_size=1, max_size=8))
        assert_exactly_inside(engine, kind, widths, [None if v is None else round(v, scale) for v in values])


@pytest.mark.parametrize("kind", ["DECIMAL(38,0)", "DECIMAL(38,10)", "DECIMAL(38,20)", "DECIMAL(18,4)"])
def test_the_ends_of_every_type_of_decimals_have_a_bin_or_are_a_star(engine: DuckDB, kind: str) -> None:
    digits, scale = map(int, re.findall(r"\d+", kind))
    value = Decimal("9" * (digits - scale) + "." + "9" * scale)
    assert_exactly_inside(engine, kind, (Decimal("0.5"), Decimal(10)), [value, value.copy_negate()])


def floats(widths: Sequence[Decimal]) -> st.SearchStrategy[float]:
    """Any float, or one on or beside the edge of a bin."""
    place = st.one_of(st.integers(-100, 100), st.integers(-(10**10), 10**10))
    edge = st.builds(lambda n, width: float(n * width), place, st.sampled_from(widths))
    beside = st.builds(math.nextafter, edge, st.sampled_from([math.inf, -math.inf]))
    return st.one_of(edge, beside, st.floats(-1e6, 1e6), st.floats())


SPECIAL = [math.inf, -math.inf, math.nan, 1e300, -1e300, -0.0, 0.0, 5e-324, 0.1 + 0.2, 1e12, -1e12, None]


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
@given(nested_widths(["0.1", "0.25", "1", "0.01", "10", "3"]), st.data())
@QUICK
def test_a_float_lies_in_its_bin(engine: DuckDB, kind: str, widths: tuple[Decimal, ...], data: st.DataObject) -> None:
    values: list[float | None] = [*data.draw(st.lists(floats(widths), max_size=10)), *SPECIAL]
    if kind == "FLOAT":
        single = st.one_of(st.floats(width=32), st.floats(-1000, 1000, width=32))
        values = [*data.draw(st.lists(single, max_size=10)), 0.0, -0.0, math.inf, math.nan, None]
    values = [v for v in values if v is None or not 1e12 < abs(v) < 1e20]  # those have a test of their own
    levels = generalized(engine, Width(widths), kind, values)

    assert_nested(values, levels)
    for value, found in zip(values, levels, strict=True):
        for width, (label, lower, upper) in zip(widths, found, strict=True):
            if value is None or label == STAR:
                assert value is None or not abs(value) <= 1e12
                continue
            low, high = ends(label or "")
            assert [float(low), float(high)] == [lower, upper]
            assert float(low) <= value < float(high)
            assert Decimal(high) - Decimal(low) == width


def test_levels_nest_also_for_floats_whose_narrow_bins_have_no_exact_bounds(engine: DuckDB) -> None:
    values = [sign * step * 10.0**power for sign in (1, -1) for step in (1, 2, 5) for power in range(11, 19)]
    assert_nested(values, generalized(engine, Width((Decimal("0.25"), Decimal("2.5"), Decimal(50))), "DOUBLE", values))


DATES = st.one_of(
    st.dates().map(str),
    st.sampled_from(["infinity", "-infinity", "0001-01-01", "9999-12-31", "0044-03-15 (BC)", "10000-01-01"]),
    st.sampled_from(["1969-12-31", "1970-01-01", "2000-02-29", "1999-12-31", "0009-12-31", "0099-12-31", "9990-01-01"]),
    st.none(),
)
ENDS = ["infinity", "-infinity", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59"]
MOMENTS = st.one_of(st.datetimes().map(str), st.sampled_from(ENDS), st.none())
FINITE = re.compile(r"\d{4}-\d\d-\d\d(?! \(BC\))")


def days(engine: DuckDB, texts: Sequence[str | None]) -> list[int | None]:
    ((found,),) = engine.run("days", "SELECT [x::DATE - DATE '1970-01-01' for x in ?::VARCHAR[]]", [texts])
    return list(found)


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP"])
@given(nested_widths(["1", "7", "30", "100000"]), st.data())
@settings(QUICK, max_examples=tries(40))
def test_a_date_lies_in_its_bin_of_days(
    engine: DuckDB, kind: str, widths: tuple[Decimal, ...], data: st.DataObject
) -> None:
    values = data.draw(st.lists(DATES if kind == "DATE" else MOMENTS, min_size=1, max_size=10))
    levels = generalized(engine, Width(widths), kind, values)

    assert_nested(values, levels)
    for value, found in zip(values, levels, strict=True):
        for width, (label, lower, upper) in zip(widths, found, strict=True):
            if value is None or label == STAR:
                assert value is None or not FINITE.match(value)
                continue
            own, *bounds = days(engine, [value[:10] if kind == "TIMESTAMP" else value, *ends(label or "")])
            assert bounds == [lower, upper]
            assert lower <= own < upper
            assert upper - lower == width
            assert lower % width == 0


LEVELS = ("day", "month", "quarter", "year", "decade", "century")


def covers(step: str, label: str, day: date) -> bool:
    """Whether a day lies in the period that a label names, read as a person reads it."""
    if step in ("decade", "century"):
        first, last = label.split("-")
        return len(label) == 9 and int(first) <= day.year <= int(last) == int(first) + (9 if step == "decade" else 99)
    month = str(day)[:7]
    written = {"day": str(day), "month": month, "quarter": f"{month[:4]}-Q{(day.month + 2) // 3}", "year": month[:4]}
    return label == written[step]


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP"])
@given(st.sets(st.sampled_from(LEVELS), min_size=1), st.data())
@QUICK
def test_a_date_lies_in_its_period(engine: DuckDB, kind: str, chosen: set[str], data: st.DataObject) -> None:
    steps = tuple(step for step in LEVELS if step in chosen)
    values = data.draw(st.lists(DATES if kind == "DATE" else MOMENTS, min_size=1, max_size=10))
    levels = generalized(engine, Date(steps), kind, values)

    assert_nested(values, levels)
    for value, found in zip(values, levels, strict=True):
        for step, (label, lower, upper) in zip(steps, found, strict=True):
            if value is None or label == STAR:
                assert value is None or not FINITE.match(value)
                continue
            day = datetime.fromisoformat(value[:10]).date()
            assert covers(step, label or "", day)
            first = day.toordinal() - date(1970, 1, 1).toordinal()
            assert lower <= first < upper
            inside = [date.fromordinal(n + date(1970, 1, 1).toordinal()) for n in (lower, upper - 1)]
            assert all(covers(step, label or "", end) for end in inside)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(st.integers(1, 6), st.lists(st.one_of(st.none(), WORDS), min_size=1, max_size=12))
@example(100, ["x" * 300, "", "**", "a*", "e\u0301\U0001f469\u200d\U0001f680"])
@QUICK
def test_a_mask_hides_one_character_more_at_each_level(
    engine: DuckDB, characters: int, values: list[str | None]
) -> None:
    levels = generalized(engine, Mask(characters), "VARCHAR", values)

    for value, found in zip(values, levels, strict=True):
        expected = [
            None if value is None else value[: max(len(value) - n, 0)] + "*" * min(n, len(value))
            for n in range(1, characters)
        ]
        assert [label for label, *_ in found] == expected


def test_a_mask_of_whole_numbers_masks_their_digits(engine: DuckDB) -> None:
    levels = generalized(engine, Mask(3), "INTEGER", [-12, 0, 47110])

    assert [[label for label, *_ in found] for found in levels] == [["-1*", "-**"], ["*", "*"], ["4711*", "471**"]]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
@QUICK
def test_a_table_of_values_reaches_the_engine_as_it_is(engine: DuckDB, rows: list[tuple[str, str]]) -> None:
    steps = Query((query.values("hierarchy of x", ("value", "label"), rows),))

    found = engine.run("read", steps.then("all", fragment("select * from $t", t=query.table("hierarchy of x"))))
    assert sorted(found) == sorted(rows)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """A tree and, for every value, the categories above it, nearest first."""
    leaves: dict[str, tuple[str, ...]] = {}

    def grow(above: tuple[str, ...], deeper: int) -> Any:
        if not deeper or not draw(st.booleans()):
            names = [f"{''.join(above)}v{i}" for i in range(draw(st.integers(1, 3)))]
            leaves.update(dict.fromkeys(names, above))
            return names
        names = [f"{''.join(above)}c{i}" for i in range(draw(st.integers(1, 3)))]
        return {name: grow((name, *above), deeper - 1) for name in names}

    return {f"c{i}": grow((f"c{i}",), draw(st.integers(0, 2))) for i in range(draw(st.integers(1, 3)))}, leaves


@given(trees())
@QUICK
def test_a_tree_names_every_category_above_a_value_in_order(made: tuple[Any, dict[str, tuple[str, ...]]]) -> None:
    tree, leaves = made
    rows = {row[0]: row[1:] for row in Tree(tree).rows(Path())}

    assert rows.keys() == leaves.keys()
    for value, above in leaves.items():
        assert tuple(label for label in rows[value] if label != value) == (*above, STAR)
        assert len(rows[value]) == Tree(tree).height


@given(st.integers(2, 40), st.lists(st.integers(2, 4), max_size=3))
@QUICK
def test_a_value_lies_in_its_run_of_an_order(count: int, factors: list[int]) -> None:
    values, groups = tuple(f"v{i}" for i in range(count)), []
    for factor in factors:
        groups.append((groups or [1])[-1] * factor)
    order = Order(values, tuple(groups))
    rows = order.rows(Path())

    assert [row[0] for row in rows] == list(values)
    for place, (_, *labels, last) in enumerate(rows):
        assert (len(labels) + 1, last) == (order.height, STAR)
        for size, label in zip(order.sizes, labels, strict=True):
            first, *_, final = label.split("..") * 2
            assert values.index(first) <= place <= values.index(final) < values.index(first) + size


def read(folder: Path, content: bytes) -> Any:
    (folder / "hierarchy.csv").write_bytes(content)
    return Csv("hierarchy.csv").rows(folder)


@pytest.mark.parametrize(
    "content",
    [b"a;x\nb;x\n", b"a;x;*\r\nb;x;*\r\n", "\ufeffa;x\nb;x\n".encode(), b"\na;x\n\nb;x", b'"a";"x"\n"b";x\n'],
    ids=["plain", "with star and CRLF", "byte order mark", "empty lines", "quoted"],
)
def test_a_file_of_lines_is_read_as_arx_writes_it(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == (("a", "x", "*"), ("b", "x", "*"))


BAD_FILES = [
    (b"", "empty"),
    (b"\n\n", "empty"),
    (b"%s\n", "line 1"),
    (b"a;x\n%s;y\n%s;z\n", "line 3 repeats the value of line 2"),
    (b"a;x\n\n\n%s;y\n\n%s;z\n", "line 6 repeats the value of line 4"),
    (b"a;x\n%s;y;z\n", "line 2"),
    (b"a;x\n%s\n", "line 2"),
    (b"a;%s;x\nb;%s;y\n", "lines 1 and 2"),
    (b"a;%s;x\n\nb;%s;y\n", "lines 1 and 3"),
    (b"a;%s\xe9\n", "read"),
    ("Alice Meyer;x\n".encode("utf-16"), "read"),
    (b'a;x\nb;"%s\nc;x\n', "line 2"),
    (b'a;x\nb;"' + b"%s" * 20_000, "2"),
    (b"a,x\n%s,x\n", "line 1"),
]


@pytest.mark.parametrize(("content", "told"), BAD_FILES, ids=range(len(BAD_FILES)))
def test_a_bad_file_is_refused_by_line_and_without_a_value(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(SpecError) as failed:
        read(tmp_path, content.replace(b"%s", NAME.encode()))
    assert told in str(failed.value)
    assert "Alice" not in str(failed.value)
    assert "hierarchy.csv" in str(failed.value)


MISTAKES: list[Callable[[], Any]] = [
    lambda: Tree({"a": [NAME], "b": [NAME]}).rows(Path()),
    lambda: Tree({"a": {"x": [NAME]}, "b": {"x": ["c"]}}).rows(Path()),
    lambda: Order((NAME, "b", NAME)),
    lambda: Csv("nowhere.csv").rows(Path(NAME).parent),
]
MISTAKEN = ["tree that repeats", "tree that does not nest", "order that repeats", "file that is not there"]


@pytest.mark.parametrize("made", MISTAKES, ids=MISTAKEN)
def test_what_repeats_or_does_not_nest_is_refused_without_a_value(made: Callable[[], Any]) -> None:
    with pytest.raises((SpecError, ValueError), match=r"repeats|agree|twice|cannot be read") as failed:
        made()
    assert NAME not in str(failed.value)
