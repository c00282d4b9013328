"""value-prediction as a privacy model: planner's SQL and verifier's numpy against the oracle, in specs and in check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import oracle_prediction as oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shared import needs_shared, read
from test_prediction import QUICK, Row, load, plainly, tables
from tries import tries

import sqlanon
from sqlanon import life
from sqlanon.engines import Engine, Origin
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.models import ValuePrediction, Verdict
from sqlanon.reading import parse_model
from sqlanon.spec import load as read_spec
from sqlanon.verify import Published, verify


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


# -- against the oracle ------------------------------------------------------------------------------------------------


def expected(
    rows: Sequence[Row], keys: Sequence[str], margin: Any, threshold: oracle.Threshold, above: bool, observer: str
) -> tuple[int, bool, int, int, float]:
    """Value, holds, violating classes, their records (or those of who finds more), the largest share of a class."""
    classes: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(rows):
        classes.setdefault(tuple(row[key] for key in keys), []).append(i)
    bad = set(oracle.violations(rows, keys, "v", margin, threshold, above))
    broken = [members for members in classes.values() if bad & {*members}]
    others = 0
    if observer == "any":
        subsets = [chosen for size in range(len(keys) + 1) for chosen in combinations(keys, size)]
        others = max(len(oracle.violations(rows, chosen, "v", margin, threshold, above)) for chosen in subsets)
    worst = max(max(len(bad & {*members}) for members in classes.values()), others)
    there = [row for row in rows if row["v"] is not None]
    highest = max((oracle.risk(rows, keys, "v", margin, row) for row in there), default=Fraction(0))
    found = max(sum(map(len, broken)), others)
    return worst, not bad and not others, max(len(broken), 1 if others else 0), found, float(highest)


def by_check(engine: Engine, origin: Origin, keys: Sequence[str], model: ValuePrediction) -> Verdict:
    found = sqlanon.check(str(origin), quasi_identifiers=keys, models=[model], engine=engine)
    return found.verdicts[0]


def by_verifier(engine: Engine, origin: Origin, keys: Sequence[str], model: ValuePrediction) -> Verdict:
    """The verifier is given each record's threshold beside the record, as a release does."""
    item = f'(SELECT *, CAST(t AS DECIMAL(20, 18)) AS "{model.guard or "unused"}" FROM "{origin}")'
    return verify(engine, Published(item, tuple(keys), None, "nowhere", {}, {}), [model]).verdicts[0]


@pytest.mark.parametrize("judge", [by_check, by_verifier])
@QUICK
@given(tables(), st.sampled_from(["0", "1/2", "2/3", "0.75", "0.9", "1"]), st.booleans(), st.booleans(),
       st.sampled_from(["any", "all"]), st.sampled_from([("f",), ("f", "g"), ("g",)]))  # fmt: skip
def test_planner_and_verifier_find_what_the_oracle_finds(
    engine: Engine, judge: Callable[..., Verdict], made: tuple[list[Row], dict[str, str], Any], constant: str,
    above: bool, personal: bool, observer: Any, keys: tuple[str, ...],
) -> None:  # fmt: skip
    rows, kinds, near = made
    if not rows:
        return
    origin = load(engine, rows, {**kinds, "t": "DECIMAL(18, 12)"})
    said = (lambda row: Fraction(row["t"])) if personal else (lambda _: Fraction(constant))
    model = ValuePrediction(
        "v", margin=None if near is None else str(near), threshold=None if personal else constant,
        threshold_column="t" if personal else None, above=above, observer=observer,
    )  # fmt: skip
    found = judge(engine, origin, keys, model)
    value, holds, classes, records, highest = expected(rows, keys, plainly(near), said, above, observer)
    assert (found.value, found.holds, found.classes_violating, found.rows_violating) == (value, holds, classes, records)
    assert found.bound == 0
    assert found.details["highest_share"] == pytest.approx(highest, abs=1e-15)


@settings(QUICK, max_examples=tries(50))
@given(
    st.lists(
        st.fixed_dictionaries({
            "f": st.sampled_from([11, 12, 21, 35]), "g": st.sampled_from(["x", "y"]),
            "v": st.sampled_from([1, 2, 9, None]),
        }), min_size=1, max_size=10,
    ),
    st.sampled_from(["1/2", "2/3", "1"]), st.sampled_from([0, 1]), st.booleans(), st.sampled_from([0, 0.5]),
    st.sampled_from(["full-domain", "hilbert"]),
)  # fmt: skip
@example(
    [{"f": 11, "g": g, "v": v} for g, v in (("x", 1), ("x", 1), ("y", 1), ("y", 9))], "2/3", 0, False, 0, "hilbert"
)
def test_what_a_plan_publishes_holds_by_the_oracle_and_a_refusal_is_right(
    engine: Engine, rows: list[Row], threshold: str, margin: int, everybody: bool, suppression: float,
    method: str,
) -> None:  # fmt: skip
    load(engine, rows, {"f": "INTEGER", "g": "VARCHAR", "v": "BIGINT"}, "source")
    method = method if engine.name == "duckdb" else "full-domain"
    everybody = everybody and method == "full-domain"
    spec = read_spec({
        "source": "source", "columns": {
            "f": {"role": "quasi-identifier", "hierarchy": {"width": [10]}}, "g": "quasi-identifier", "v": "sensitive",
        },
        "privacy": [{"model": "value-prediction", "column": "v", "margin": margin, "threshold": threshold,
                     "observer": "any" if everybody else "all"}],
        "recoding": {"suppression": suppression, "method": method}, "publish": {"name": "made"},
    })  # fmt: skip
    limit, observer = (lambda _: Fraction(threshold)), "any" if everybody else "all"
    try:
        planned = sqlanon.plan(spec, engine)
    except ModelNotMet:
        generalised = [{**row, "f": "*", "g": "*"} for row in rows]
        assert not expected(generalised, ["f", "g"], margin, limit, False, observer)[1]
        return
    if planned.rows_out == 0:
        return
    sqlanon.release(spec, engine)
    names = ["f", "g", "v"]
    out = [
        dict(zip(names, row, strict=True)) for row in engine.run("read", f"SELECT f, g, v FROM {engine.schema}.made")
    ]
    assert len(out) == planned.rows_out >= len(rows) * (1 - suppression)
    assert planned.verdicts[0].holds is expected(out, ["f", "g"], margin, limit, False, observer)[1] is True


@pytest.mark.parametrize("judge", [by_check, by_verifier])
@pytest.mark.parametrize(("margin", "observer", "most"), [("1", "all", 3), ("1", "any", 3), ("0", "any", 2)])
def test_values_that_are_equal_and_printed_in_two_ways_are_one_value(
    engine: Engine, judge: Callable[..., Verdict], margin: str, observer: Any, most: int
) -> None:
    values = (("x", 0.0), ("x", 0.0), ("x", 1.0), ("y", -0.0), ("y", 5.0), ("y", 2.0), ("y", 4.0))
    origin = load(
        engine, [{"f": f, "v": v, "t": 0} for f, v in values], {"f": "VARCHAR", "v": "DOUBLE", "t": "INTEGER"}
    )
    model = ValuePrediction("v", margin=margin, threshold="2/3", observer=observer)
    found = judge(engine, origin, ["f"], model)
    assert (found.value, found.rows_violating) == (most, 3)


def test_a_value_without_a_place_on_the_line_is_a_violation_and_so_holds_nowhere(engine: Engine) -> None:
    rows = [{"f": "x", "v": v, "t": 1} for v in (1.0, 50.0, 90.0, 130.0, float("inf"))]
    origin = load(engine, rows, {"f": "VARCHAR", "v": "DOUBLE", "t": "INTEGER"})
    model = ValuePrediction("v", margin=5, threshold="0.9")
    for judge in (by_check, by_verifier):
        found = judge(engine, origin, ["f"], model)
        assert (found.value, found.holds) == (1, False)


# -- the vectors -------------------------------------------------------------------------------------------------------


def vector(name: str) -> dict[str, Any]:
    return {found["id"]: found for found in read("vectors/models.json")}[name]


@needs_shared
@pytest.mark.parametrize("judge", [by_check, by_verifier])
@pytest.mark.parametrize("threshold", ["0.9", "0.7"])
def test_the_model_finds_the_violations_of_the_papers_table(
    engine: Engine, judge: Callable[..., Verdict], threshold: str
) -> None:
    table = vector("jisa-table3")
    rows = [{**dict(zip(("age", "height", "v"), row, strict=True)), "t": 0} for row in table["rows"]]
    origin = load(engine, rows, {"age": "VARCHAR", "height": "VARCHAR", "v": "BIGINT", "t": "INTEGER"})
    found = {name: said[f"violations@{threshold}"] for name, said in table["expected"].items()}
    everybody = ValuePrediction("v", margin=5, threshold=threshold)
    assert judge(engine, origin, ["age", "height"], everybody).value == max(found.values())
    for name in ("age", "height"):
        assert judge(engine, origin, [name], everybody).value == max(found["none"], found[name])


@needs_shared
@pytest.mark.parametrize("judge", [by_check, by_verifier])
def test_the_model_finds_what_each_person_allows(engine: Engine, judge: Callable[..., Verdict]) -> None:
    table = vector("jisa-personal-threshold")
    rows = [dict(zip(("age", "height", "v", "t"), row, strict=True)) for row in table["rows"]]
    origin = load(engine, rows, {"age": "VARCHAR", "height": "VARCHAR", "v": "BIGINT", "t": "DECIMAL(3, 2)"})
    model = ValuePrediction("v", margin=5, threshold_column="t")
    assert judge(engine, origin, ["age"], model).value == table["expected"]["violations_F={age}"]


def test_the_observer_of_fewer_columns_may_find_more(engine: Engine) -> None:
    rows = [{"a": "a", "b": b, "v": v, "t": 0} for b, v in (("x", 70), ("x", 70), ("y", 70), ("y", 100))]
    origin = load(engine, rows, {"a": "VARCHAR", "b": "VARCHAR", "v": "BIGINT", "t": "INTEGER"})
    everybody, one = (ValuePrediction("v", margin=0, threshold="0.7", observer=o) for o in ("any", "all"))
    for judge in (by_check, by_verifier):
        assert judge(engine, origin, ["a", "b"], one).value == 2
        assert judge(engine, origin, ["a", "b"], everybody).value == 3
        assert judge(engine, origin, ["a"], everybody).value == 3


# -- in a spec ---------------------------------------------------------------------------------------------------------


# Releases by this method are made on every engine there is.
FULL = {"method": "full-domain"}


def lasting(engine: Engine, name: str, what: str) -> None:
    """A table that a release, or a view that is one, may read."""
    item = name if engine.name == "duckdb" else f"public.{name}"
    engine.run("make", f"DROP TABLE IF EXISTS {item} CASCADE")
    engine.run("make", f"CREATE TABLE {item} {what}")


def patients(engine: Engine) -> None:
    lasting(engine, "patients", """AS SELECT * FROM (VALUES
        ('n', 'a', 'x', 70, 'pragmatist', 0.95), ('n', 'a', 'x', 80, 'pragmatist', 0.95),
        ('n', 'a', 'y', 70, 'fundamentalist', 0.6), ('n', 'a', 'y', 100, NULL, 0.6),
        ('n', 'b', 'y', 90, 'unconcerned', 0.6), ('n', 'b', 'y', 60, 'pragmatist', 0.6))
        AS v(who, a, b, w, said, t)""")  # fmt: skip


def spec(model: Mapping[str, Any], **more: Any) -> sqlanon.Spec:
    return read_spec({
        "source": "patients", "columns": {
            "who": "identifier", "a": "quasi-identifier", "b": "quasi-identifier", "w": "sensitive", "said": "drop",
            "t": "drop",
        },
        "privacy": [{"model": "k-anonymity", "k": 2}, {"model": "value-prediction", "column": "w", **model}],
        "recoding": FULL, "publish": {"name": "made"}, **more,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ({"margin": 5, "threshold": 0.8}, {}),
        ({"margin": 5}, {}),
        ({"margin": 5, "threshold": "policy"}, {"policy": {"preference": {"column": "said"}}}),
        ({"margin": 5, "threshold": "policy"}, {"policy": {"preference": "pragmatist", "sensitivity": {"w": "high"}}}),
        ({"margin": 5, "threshold-column": "t"}, {}),
    ],
)
def test_a_release_may_promise_it_and_verify_says_so_again(
    engine: Engine, model: dict[str, Any], more: dict[str, Any]
) -> None:
    patients(engine)
    made = sqlanon.release(spec(model, **more), engine)
    assert made.verdicts[1].holds
    assert made.verdicts[1].to_dict()["parameters"]["margin"] == 5
    again = life.verify(engine, "made")
    assert again.holds
    assert {"threshold of w", "said", "t"}.isdisjoint(dict.fromkeys(made.planned.plan.published))
    per_record = "threshold-column" in model or model.get("threshold") == "policy"
    assert bool(again.notes) is per_record  # what each person said is not published, so that the verdict stands


def test_a_release_with_a_stricter_person_is_made_coarser(engine: Engine) -> None:
    patients(engine)
    policy = {"preference": {"column": "said"}, "sensitivity": {"w": "high"}}  # fundamentalists: 0.5
    found = sqlanon.plan(spec({"margin": 5, "threshold": "policy"}, policy=policy), engine)
    assert found.holds
    assert sum((found.plan.levels or {}).values()) > 0
    plain = sqlanon.plan(spec({"margin": 5, "threshold": "0.9"}), engine)
    assert sum((plain.plan.levels or {}).values()) == 0


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        ({"margin": 5, "threshold": 1.5}, {}, "threshold"),
        ({"margin": -1}, {}, "margin"),
        ({"margin": "5 parsecs"}, {}, "margin"),
        ({"margin": 5, "threshold": "policy"}, {}, "policy"),
        ({"margin": 5, "threshold-column": "tt"}, {}, "did you mean 't'"),
        ({"margin": 5, "threshold": 0.5, "threshold-column": "t"}, {}, "instead"),
        ({}, {}, "say how near counts"),
        ({"margin": "3d"}, {}, "no unit"),
        ({"margin": 5, "observer": "anybody"}, {}, "did you mean 'any'"),
        ({"margin": 5, "threshold-column": "t"}, {"publish": {"name": "made", "as": "view"}}, "view"),
        ({"margin": 5, "remove": "greedy"}, {"publish": {"name": "made", "as": "view"}}, "view"),
        ({"margin": 5, "remove": "greedy"}, {"recoding": {**FULL, "suppressed": "star"}}, "dropped"),
        ({"margin": 5, "seed": 3}, {}, "iteration"),
        ({"margin": 5}, {"recoding": {"method": "hilbert"}}, "speaks of any observer"),
        ({"margin": 5, "threshold": "policy"}, {"policy": {"preference": {"column": "who"}}}, "does not know"),
    ],
)
def test_bad_input_is_a_spec_error(engine: Engine, model: dict[str, Any], more: dict[str, Any], told: str) -> None:
    patients(engine)
    with pytest.raises(SpecError, match=told):
        sqlanon.plan(spec(model, **more), engine)


def test_a_view_with_one_threshold_judges_again_when_it_is_read(engine: Engine) -> None:
    patients(engine)
    publish = {"name": "glass", "as": "view"}
    sqlanon.release(spec({"margin": 5, "threshold": 0.8}, publish=publish), engine)
    view = f"{engine.schema}.glass"
    assert len(engine.run("read", f"SELECT * FROM {view}")) == 6
    source = "patients" if engine.name == "duckdb" else "public.patients"
    engine.run("change", f"UPDATE {source} SET w = 100 WHERE a = 'a' AND b = 'y'")
    assert engine.run("read", f"SELECT * FROM {view} WHERE a = 'a' AND b = 'y'") == []
    engine.run("gone", f"DROP VIEW {view}")


def test_a_check_may_be_asked_as_on_the_command_line(engine: Engine) -> None:
    patients(engine)
    asked = 'value-prediction(column=w, margin=40, threshold="2/3", observer=all)'
    (found,) = sqlanon.check("patients", quasi_identifiers=["a", "b"], models=[asked], engine=engine).verdicts
    assert found.to_dict() == {
        "model": "value-prediction", "column": "w",
        "parameters": {"margin": 40, "threshold": "2/3", "observer": "all"}, "value": 2, "bound": 0, "holds": False,
        "classes_violating": 3, "rows_violating": 6, "details": {"highest_share": 1.0},
    }  # fmt: skip
    with pytest.raises(SpecError, match="only a spec has one"):
        sqlanon.check(
            "patients", quasi_identifiers=["a"], models=["value-prediction(column=w,margin=1,threshold=policy)"],
            engine=engine,
        )  # fmt: skip


def test_hostile_names_are_names(engine: Engine) -> None:
    names = ['"; DROP TABLE x; --', "k0", "g", "$margin", "near", "place of n", "n"]
    kinds = dict.fromkeys(names, "VARCHAR") | {"n": "BIGINT"}
    rows = [dict(zip(names, (*"abcdef", v), strict=True)) for v in (1, 2, 40)]
    origin = load(engine, rows, kinds, "strange")
    model = ValuePrediction("n", margin=1, threshold="0.5")
    found = sqlanon.check(str(origin), quasi_identifiers=names[:6], models=[model], engine=engine)
    assert found.verdicts[0].value == 2
    keys = tuple(names[:6])
    assert verify(engine, Published('"strange"', keys, None, "x", {}, {}), [model]).verdicts[0].value == 2


def test_the_parameters_that_are_told_make_the_same_model() -> None:
    for text in ("margin=30d,threshold=1/3", "margin=0.1", "threshold=0.12345678901234567890,above=true",
                 "remove=iteration,seed=4,observer=all,threshold_column=limit"):  # fmt: skip
        model = parse_model(f"value-prediction(column=w,{text})")
        assert ValuePrediction(column="w", **model.parameters).parameters == model.parameters
    assert ValuePrediction("w", margin=Decimal("5.0")).reach == ValuePrediction("w", margin=5).reach


def test_policies_may_stand_in_a_table_of_their_own(engine: Engine) -> None:
    patients(engine)
    source, policies = ("patients", "policies") if engine.name == "duckdb" else ("public.patients", "public.policies")
    engine.run("number", f"UPDATE {source} SET who = 'p' || w")
    lasting(engine, "policies", "AS SELECT 'p100' AS who, 'fundamentalist' AS kind")
    policy = {
        "preference": {"column": "kind"},
        "table": {"key": "who", "table": "policies"},
        "sensitivity": {"w": "high"},
    }
    sqlanon.release(spec({"margin": 15, "threshold": "policy", "observer": "all"}, policy=policy), engine)
    rows = [
        {"a": a, "b": b, "v": w, "t": Fraction(1, 2) if w == 100 else Fraction(7, 10)}
        for a, b, w in engine.run("read", f"SELECT a, b, w FROM {engine.schema}.made")
    ]
    assert oracle.violations(rows, ["a", "b"], "v", 15, lambda row: row["t"]) == []
    engine.run("twice", f"INSERT INTO {policies} SELECT * FROM {policies}")
    with pytest.raises(SpecError, match="about a person who has one already"):
        sqlanon.plan(spec({"margin": 35, "threshold": "policy"}, policy=policy), engine)
