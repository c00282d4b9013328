"""Value prediction in SQL against the oracle, on the worked vectors, at the margin, and against hostile input."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import oracle_prediction as oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import made, remake, working_tables
from shared import needs_shared, read
from tries import tries

from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.exploring import Explored, explore
from sqlanon.margins import margin, share
from sqlanon.policies import Policy, Preference
from sqlanon.prediction import Target, Threshold, cells, records_of

Row = dict[str, Any]
QUICK = settings(max_examples=tries(120), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEWER = settings(QUICK, max_examples=tries(40))


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def load(engine: Engine, rows: Sequence[Row], kinds: dict[str, str], name: str = "t") -> Origin:
    """A table of the rows, with these types."""
    made(engine, name, kinds, rows)
    return Origin(relation=name)


def measured(engine: Engine, origin: Origin, column: str, fields: Sequence[str], **asked: Any) -> Explored:
    threshold = asked.pop("threshold", Threshold(Fraction(9, 10)))
    near = asked.pop("near", None)
    target = Target(column, None if near is None else margin(near), threshold)
    return explore(engine, origin, target, fields, all_subsets=True, **asked)


def counts(found: Explored) -> dict[frozenset[str], int]:
    return {frozenset(row.risk.fields): row.risk.violations for row in found.subsets}


# -- the oracle on random tables ---------------------------------------------------------------------------------------

START = datetime(2020, 2, 29, 23, 30)
# The type of the sensitive column, its values, and the margins that somebody may ask for.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "BIGINT": ([-3, 0, 2, 4, 9, 2**62], [0, 1, 2, Decimal("2.5"), 100]),
    "DECIMAL(9, 2)": ([Decimal("0.10"), Decimal("0.35"), Decimal("0.60"), Decimal("-7")], [0, Decimal("0.25"), 1]),
    "DOUBLE": ([0.1, 0.2, 0.3, 0.7, 70.1, 75.1, 1e12, 1e-12], [0, Decimal("0.1"), Decimal("0.5"), 5]),
    "DATE": ([date(2020, 2, 28), date(2020, 2, 29), date(2020, 3, 1), date(2021, 1, 1)],
             ["0d", "1d", "2d", "12h", "1w"]),
    "TIMESTAMP": ([START, START + timedelta(seconds=1), START + timedelta(hours=1), START + timedelta(days=1)],
                  ["0s", "1s", "0.5s", "60min", "1d"]),
    "VARCHAR": (["a", "A", "b", ""], [None, 0]),
    "BOOLEAN": ([True, False], [None]),
}  # fmt: skip
TIMES = {"w": 604800, "d": 86400, "h": 3600, "min": 60, "s": 1}


def plainly(near: Any) -> Any:
    """A margin as the oracle takes it."""
    if not isinstance(near, str):
        return near or 0
    found = margin(near)
    return timedelta(seconds=float(found.size) * TIMES[found.unit or "s"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], dict[str, str], Any]:
    kind = draw(st.sampled_from(list(VALUES)))
    domain, margins = VALUES[kind]
    shares = st.sampled_from([0, 1, Decimal("0.5"), Decimal("0.75"), Decimal("0.9"), Decimal("0.333333333333")])
    columns = {
        "f": st.sampled_from(["x", "X", "y", None]), "g": st.sampled_from([1, 2, None]),
        "v": st.sampled_from([*domain[: draw(st.integers(1, len(domain)))], None]), "t": shares,
    }  # fmt: skip
    rows = draw(st.lists(st.fixed_dictionaries(columns), min_size=0, max_size=14))
    kinds = {"f": "VARCHAR", "g": "INTEGER", "v": kind, "t": draw(st.sampled_from(["DECIMAL(18, 12)", "DOUBLE"]))}
    return rows, kinds, draw(st.sampled_from(margins))


@QUICK
@given(tables(), st.sampled_from(["0", "1/2", "2/3", "0.75", "0.9", "1"]), st.booleans(), st.booleans())
def test_every_count_of_every_subset_is_the_oracles(
    engine: Engine, made: tuple[list[Row], dict[str, str], Any], constant: str, above: bool, personal: bool
) -> None:
    rows, kinds, near = made
    origin = load(engine, rows, kinds)
    threshold = Threshold(column="t", above=above) if personal else Threshold(share(constant), above=above)
    found = measured(engine, origin, "v", ["f", "g"], near=near, threshold=threshold)
    said = (lambda row: Fraction(row["t"])) if personal else (lambda _: Fraction(constant))
    assert (found.rows, found.missing) == (len(rows), sum(row["v"] is None for row in rows))
    assert len(found.subsets) == 4
    for row in found.subsets:
        risk = row.risk
        there = [r for r in rows if r["v"] is not None]
        shares = [oracle.risk(rows, risk.fields, "v", plainly(near), r) for r in there]
        violating = oracle.violations(rows, risk.fields, "v", plainly(near), said, above)
        assert risk.records == len(there)
        assert risk.violations == len(violating)
        assert risk.sets == len({tuple(r[f] for f in risk.fields) for r in there})
        assert risk.sets_violating == len({tuple(rows[i][f] for f in risk.fields) for i in violating})
        assert risk.highest == (float(max(shares)) if shares else None)
        assert list(risk.tenths) == [sum(min(int(s * 10), 9) == tenth for s in shares) for tenth in range(10)]


@FEWER
@given(tables())
def test_the_average_costs_are_those_over_all_orders_and_add_up(
    engine: Engine, made: tuple[list[Row], dict[str, str], Any]
) -> None:
    rows, kinds, near = made
    rows = [{**row, "h": i % 2} for i, row in enumerate(rows)]
    found = measured(engine, load(engine, rows, {**kinds, "h": "INTEGER"}), "v", ["f", "g", "h"], near=near)
    of = counts(found)
    for cost in found.costs:
        assert cost.average == oracle.average_cost(of, ["f", "g", "h"], cost.field)
        assert cost.alone == of[frozenset([cost.field])] - of[frozenset()]
        assert cost.last == of[frozenset("fgh")] - of[frozenset("fgh") - {cost.field}]
    assert sum(cost.average for cost in found.costs) == of[frozenset("fgh")] - of[frozenset()]
    ordered = [(-row.risk.violations, len(row.risk.fields)) for row in found.subsets]
    assert ordered == sorted(ordered)


# -- the worked vectors ------------------------------------------------------------------------------------------------


def vector(name: str) -> dict[str, Any]:
    return {found["id"]: found for found in read("vectors/models.json")}[name]


def load_vector(engine: Engine, name: str) -> Origin:
    found = vector(name)
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    kinds = {c: {str: "VARCHAR", int: "INTEGER", float: "DOUBLE"}[type(rows[0][c])] for c in found["columns"]}
    return load(engine, rows, kinds)


@needs_shared
def test_the_sets_of_table_2_have_3_and_4_violations(engine: Engine) -> None:
    expected = vector("jisa-table2")["expected"]
    origin, target = load_vector(engine, "jisa-table2"), Target("weight", margin(5), Threshold(Fraction(3, 4)))
    for name in ("s1", "s2"):
        one = Origin(query=f"SELECT * FROM t WHERE set = '{name}'")
        (row,) = explore(engine, one, target, ["set"]).subsets
        assert row.risk.violations == expected["violations"][name]
        assert row.risk.highest == float(max(map(Fraction, expected["risk"][name])))
    both = explore(engine, origin, target, ["set"]).worst
    assert (both.violations, both.sets, both.sets_violating) == (7, 2, 2)


@needs_shared
@pytest.mark.parametrize("threshold", ["0.9", "0.7"])
def test_table_3_has_0_2_and_4_violations(engine: Engine, threshold: str) -> None:
    expected = vector("jisa-table3")["expected"]
    origin = load_vector(engine, "jisa-table3")
    found = measured(engine, origin, "weight", ["age", "height"], near=5, threshold=Threshold(share(threshold)))
    names = {"none": (), "height": ("height",), "age": ("age",), "age+height": ("age", "height")}
    of = {row.risk.fields: row.risk for row in found.subsets}
    for name, fields in names.items():
        assert of[fields].violations == expected[name][f"violations@{threshold}"], name
        assert of[fields].highest == float(max(map(Fraction, expected[name]["risk"])))


@needs_shared
def test_a_fundamentalist_adds_a_violation(engine: Engine) -> None:
    origin = load_vector(engine, "jisa-personal-threshold")
    found = explore(engine, origin, Target("weight", margin(5), Threshold(column="threshold")), ["age"])
    assert found.worst.violations == vector("jisa-personal-threshold")["expected"]["violations_F={age}"]


@needs_shared
def test_the_count_is_not_monotone_so_that_the_worst_subset_is_not_all_fields(engine: Engine) -> None:
    found = measured(engine, load_vector(engine, "jisa-count-not-monotone"), "weight", ["a", "b"], near=5,
                     threshold=Threshold(share(0.7)))  # fmt: skip
    of, expected = counts(found), vector("jisa-count-not-monotone")["expected"]
    assert of[frozenset("a")] == expected["violations_F={a}"]
    assert of[frozenset("ab")] == expected["violations_F={a,b}"]
    # With the one value of `a`, knowing it is knowing nothing, so that nothing known is as bad and has fewer fields.
    assert found.worst.fields == ()


# -- exactly at the margin and at the threshold ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DOUBLE", "DECIMAL(9, 1)", "FLOAT"])
@pytest.mark.parametrize(("pair", "inside"), [((70.1, 75.1), True), ((0.1, 5.1), True), ((70.1, 75.2), False)])
def test_the_margin_is_a_closed_decimal_interval(engine: Engine, kind: str, pair: Any, inside: bool) -> None:
    origin = load(engine, [{"v": pair[0], "f": 1}, {"v": pair[1], "f": 1}], {"f": "INTEGER", "v": kind})
    found = explore(engine, origin, Target("v", margin(5), Threshold(Fraction(1))), ["f"])
    assert found.worst.violations == (2 if inside else 0)


def test_the_ends_of_bigint_have_a_place(engine: Engine) -> None:
    ends = [-(2**63), -(2**63) + 5, 2**63 - 1, 2**63 - 6]
    origin = load(engine, [{"v": v, "f": i // 2} for i, v in enumerate(ends)], {"f": "INTEGER", "v": "BIGINT"})
    found = explore(engine, origin, Target("v", margin(5), Threshold(Fraction(1))), ["f"])
    assert found.worst.violations == 4


@pytest.mark.parametrize(
    ("values", "near", "violations"),
    [
        ("date '1970-01-01' + 2000000000, date '1970-01-01'", "1d", 0),
        ("timestamp_ns '2020-01-01', timestamp_ns '2020-01-01 00:00:01'", "1s", 2),
        ("timestamp_s '2020-01-01', timestamp_s '2020-01-01 00:00:02'", "1s", 0),
        ("{'a': 1}, {'a': 2}, {'a': 1}", None, 2),
        ("[1, NULL], [1, NULL], [2]", None, 2),
        ("'a'::BLOB, 'b'::BLOB, 'b'::BLOB", None, 2),
        ("uuid '00000000-0000-0000-0000-000000000001', uuid '00000000-0000-0000-0000-000000000002'", None, 0),
    ],
)
def test_values_of_unusual_types_have_a_place_or_are_categories(
    engine: Engine, values: str, near: str | None, violations: int
) -> None:
    if engine.name != "duckdb":
        pytest.skip("types of DuckDB's")
    remake(engine, "t", f"AS SELECT 1 AS f, unnest([{values}]) AS v")
    target = Target("v", margin(near) if near else None, Threshold(Fraction(2, 3)))
    assert explore(engine, Origin(relation="t"), target, ["f"]).worst.violations == violations


@pytest.mark.parametrize("size", [10, 30, 1000])
def test_nine_tenths_is_nine_tenths(engine: Engine, size: int) -> None:
    """0.9 as a binary fraction is more than 9/10, and 9 of 10 must be a violation all the same."""
    rows = [{"v": 0 if i < size * 9 // 10 else 100 * i, "f": 1, "t": 0.9} for i in range(size)]
    origin = load(engine, rows, {"f": "INTEGER", "v": "INTEGER", "t": "DOUBLE"})
    for threshold in (Threshold(share(0.9)), Threshold(column="t"), Threshold(policy=Policy())):
        found = explore(engine, origin, Target("v", margin(5), threshold), ["f"])
        assert found.worst.violations == size * 9 // 10
    above = explore(engine, origin, Target("v", margin(5), Threshold(share(0.9), above=True)), ["f"])
    assert above.worst.violations == 0


def test_two_thirds_as_a_float_is_not_more_than_two_thirds(engine: Engine) -> None:
    origin = load(engine, [{"v": v, "f": 1, "t": 2 / 3} for v in (1, 1, 9)], {"f": "INT", "v": "INT", "t": "DOUBLE"})
    assert explore(engine, origin, Target("v", margin(0), Threshold(column="t")), ["f"]).worst.violations == 2


def test_labels_of_a_release_group_as_they_are(engine: Engine) -> None:
    rows = [{"age": label, "v": v} for label, v in (("20-29", 1), ("20-29", 2), ("*", 1), (None, 9), (None, 9))]
    found = explore(engine, load(engine, rows, {"age": "VARCHAR", "v": "INT"}), Target("v", margin(1)), ["age"])
    assert (found.worst.sets, found.worst.violations) == (3, 5)


def test_texts_that_look_different_are_different_whatever_the_collation(engine: Engine) -> None:
    remake(engine, "t", "(f VARCHAR COLLATE NOCASE, v VARCHAR COLLATE NOCASE)")
    engine.run("fill", "INSERT INTO t VALUES ('a', 'x'), ('A', 'X'), ('a', 'X')")
    found = explore(engine, Origin(relation="t"), Target("v"), ["f"])
    assert (found.worst.sets, found.worst.violations) == (2, 1)


# -- hostile and wrong input -------------------------------------------------------------------------------------------

HOSTILE = ['"; DROP TABLE t; --', "it's", "$keys", "a\nb", "value", "records", "field 0", "threshold", "near", "place",
           "value of the record", "infinite", "SELECT"]  # fmt: skip


@pytest.mark.parametrize(("field", "column"), list(itertools.pairwise(HOSTILE)))
def test_any_name_is_a_name(engine: Engine, field: str, column: str) -> None:
    rows = [{field: i % 2, column: 10 * (i % 3), "t.x": 0.5} for i in range(12)]
    kinds = {field: "INTEGER", column: "INTEGER", "t.x": "DOUBLE"}
    origin = load(engine, rows, kinds, name='h "x"')
    target = Target(column, margin(1), Threshold(column="t.x"))
    found = explore(engine, origin, target, [field], all_subsets=True, remove="greedy")
    said = [oracle.violations(rows, row.risk.fields, column, 1, lambda _: Fraction(1, 2)) for row in found.subsets]
    assert [row.risk.violations for row in found.subsets] == [len(violating) for violating in said]
    engine.run("look", 'SELECT count(*) FROM "h ""x"""')


@pytest.mark.parametrize(
    ("column", "fields", "near", "threshold", "told"),
    [
        ("w", ["f"], 5, {}, "no such column"),
        ("v", ["F", "g"], 5, {}, "no such column"),
        ("v", ["f", "f"], 5, {}, "twice"),
        ("v", ["v"], 5, {}, "need not predict"),
        ("v", ["f"], None, {}, "how near counts as known"),
        ("v", ["f"], "5d", {}, "has no unit"),
        ("d", ["f"], 5, {}, "needs a unit"),
        ("d", ["f"], "0.0000001s", {}, "whole number of microseconds"),
        ("f", ["v"], 5, {}, "needs numbers, dates or times"),
        ("v", ["f"], "1e-13", {}, "too many decimals"),
        ("v", ["f"], 5, {"column": "no"}, "no such column"),
        ("v", ["f"], 5, {"column": "f"}, "holds numbers"),
        ("v", ["f"], 5, {"column": "t"}, "2 records have a threshold that is missing or outside 0 to 1"),
        ("v", ["f"], 5, {"policy": Policy(preference=Preference(column="f"))}, "a word or number that the policy"),
        ("v", ["f"], 5, {"policy": Policy(preference=Preference(column="v"))}, "a preference is a word"),
        ("v", ["f"], 5, {"policy": Policy(preference=Preference(column="x"))}, "no such column"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_sentence(
    engine: Engine, column: str, fields: list[str], near: Any, threshold: dict[str, Any], told: str
) -> None:
    rows = [{"f": "secret", "g": 1, "v": 1.5, "d": date(2020, 1, 1), "t": t} for t in (0.5, 1.1, None)]
    origin = load(engine, rows, {"f": "VARCHAR", "g": "INT", "v": "DOUBLE", "d": "DATE", "t": "DOUBLE"})
    target = Target(column, None if near is None else margin(near), Threshold(**threshold or {"constant": Fraction(1)}))
    with pytest.raises(SpecError, match=told) as caught:
        explore(engine, origin, target, fields)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("kind", "value"), [("DOUBLE", "'nan'"), ("DOUBLE", "'-inf'"), ("FLOAT", "'inf'"),
                                             ("DATE", "'infinity'"), ("TIMESTAMP", "'-infinity'"),
                                             ("DOUBLE", "1e300")])  # fmt: skip
def test_what_is_no_number_is_refused_and_not_called_safe(engine: Engine, kind: str, value: str) -> None:
    remake(engine, "t", f"AS SELECT 1 AS f, CAST({value} AS {kind}) AS v")
    near = "1d" if kind in ("DATE", "TIMESTAMP") else 5
    with pytest.raises(SpecError, match="1 records hold a value that is infinite") as caught:
        explore(engine, Origin(relation="t"), Target("v", margin(near)), ["f"])
    assert "300" not in str(caught.value)


@pytest.mark.parametrize("given", ["-1", "nan", "inf", "5 apples", "", "1y"])
def test_a_margin_is_a_finite_number(given: str) -> None:
    with pytest.raises(SpecError, match="a margin is a number"):
        margin(given)


@pytest.mark.parametrize("given", ["-0.1", "1.0000001", "nan", "inf", "x", "1/0", 2])
def test_a_threshold_is_a_share(given: str) -> None:
    with pytest.raises(SpecError, match="a share from 0 to 1"):
        share(given)


def test_too_many_fields_are_refused_before_anything_runs(engine: Engine) -> None:
    fields = [f"f{i}" for i in range(13)]
    origin = load(engine, [], {**dict.fromkeys(fields, "INT"), "v": "INT"})
    with pytest.raises(SpecError, match="more than 12 fields"):
        measured(engine, origin, "v", fields, near=1)


def test_the_working_tables_are_gone_at_the_end_also_after_an_error(engine: Engine) -> None:
    origin = load(engine, [{"f": 1, "v": 2.0}], {"f": "INT", "v": "DOUBLE"})
    with pytest.raises(ZeroDivisionError), cells(engine, records_of(engine, origin), ["f"], Target("v", margin(1))):
        raise ZeroDivisionError
    explore(engine, origin, Target("v", margin(1)), ["f"], all_subsets=True, remove="minimum")
    assert working_tables(engine) == []
