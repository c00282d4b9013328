"""The risks as the engine counts them, against the oracle: attackers, columns, populations, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

import jsonschema
import oracle_risk as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import made, working_tables
from test_measures import load
from test_vectors import vector
from tries import tries

import sqlanon
from sqlanon import query
from sqlanon.combinations import CODED
from sqlanon.engines import Engine, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import EngineError, SpecError
from sqlanon.risk import Risk, Subset, risk
from sqlanon.uniqueness import ESTIMATORS, expected_records_below, expected_risk

Row = dict[str, Any]
HOSTILE = ('"; DROP TABLE people; --', "it's\n$s", "key 0")


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


@st.composite
def tables(draw: st.DrawFn, keys: Sequence[str] = ("a", "b", "c", "d")) -> tuple[list[Row], tuple[str, ...]]:
    """Rows with ties, missing values and persons, and some of their columns as quasi-identifiers."""
    used = tuple(keys[: draw(st.integers(1, len(keys)))])
    cells = [st.sampled_from(draw(st.sampled_from([["x", "y", None], [0, 1, 2, None], ["x"]]))) for _ in used]
    person = st.sampled_from(["p", "q", "r", "s", "t", None])
    found = draw(st.lists(st.tuples(*cells, person), min_size=1, max_size=14))
    return [dict(zip((*used, "who"), row, strict=True)) for row in found], used


def measured(engine: Engine, rows: Sequence[Row], keys: Sequence[str], **more: Any) -> Risk:
    load(engine, "people", rows)
    return risk(engine, Origin(relation="people"), quasi_identifiers=keys, **more)


# -- attackers ---------------------------------------------------------------------------------------------------------


@given(tables(), st.data(), st.booleans())
@settings(max_examples=tries(60), deadline=None)
def test_the_journalists_and_the_marketers_risks_are_those_of_the_population(
    engine: Engine, table: tuple[list[Row], tuple[str, ...]], data: st.DataObject, persons: bool
) -> None:
    rows, keys = table
    others = [{**data.draw(st.sampled_from(rows)), "who": f"other {i}"} for i in range(data.draw(st.integers(0, 8)))]
    numbers = any(isinstance(row[keys[0]], int) for row in rows)
    strange = [{**rows[0], keys[0]: 7 if numbers else "elsewhere", "who": "stranger"}]
    everybody = [*rows, *others, *strange]
    load(engine, "everybody", [{key: row[key] for key in (*keys, "who")} for row in everybody])
    entity, threshold = ("who" if persons else None), Fraction(1, 4)
    found = measured(engine, rows, keys, entity=entity, threshold=0.25, population=Origin(relation="everybody"))
    sizes, whole = oracle.classes(rows, keys, entity), oracle.classes(everybody, keys, entity)
    above, highest, average, marketer = map(float, oracle.journalist(sizes, whole, threshold))
    assert found.journalist and found.population
    one = found.journalist
    assert (one.above, one.highest, one.average) == (above, highest, pytest.approx(average, rel=1e-12))
    assert found.marketer == pytest.approx(marketer, rel=1e-12)
    assert found.population.size == sum(whole.values())
    assert found.population.uniques == sum(size == 1 for size in whole.values())
    assert found.population.sample_uniques == sum(size for key, size in sizes.items() if whole[key] == 1)


def test_the_risks_are_those_of_the_vector(engine: Engine) -> None:
    found = vector("risk-models")
    sample = [{"q": i} for i, (f, _) in enumerate(found["rows"]) for _ in range(f)]
    load(engine, "everybody", [{"q": i} for i, (_, whole) in enumerate(found["rows"]) for _ in range(whole)])
    threshold, wanted = found["params"]["tau"], found["expected"]
    made = measured(engine, sample, ["q"], threshold=threshold, population=Origin(relation="everybody"))
    one, other = made.prosecutor, made.journalist
    assert other
    assert [one.above, one.highest, one.average] == [wanted["prosecutor"][name] for name in ("pRa", "pRb", "pRc")]
    told = wanted["journalist"]
    assert [other.above, other.highest] == [told["jRa"], told["jRb"]]
    assert other.average == pytest.approx(told["jRc"], rel=1e-15)
    assert made.marketer == pytest.approx(told["marketer"], rel=1e-15)
    assert made.uniques / made.size == wanted["sample_uniques"]
    assert one.average == wanted["average_reid_risk"]


@given(tables(), st.integers(0, 60))
@settings(max_examples=tries(25), deadline=None)
def test_with_a_size_alone_the_risks_are_expectations_and_say_so(
    engine: Engine, table: tuple[list[Row], tuple[str, ...]], more: int
) -> None:
    rows, keys = table
    found = measured(engine, rows, keys, population_size=len(rows) + more, threshold=0.3)
    assert found.journalist and found.population
    sizes, fraction = oracle.histogram(rows, keys), len(rows) / (len(rows) + more)
    assert "estimate" in found.journalist.method
    assert any("expectations" in note for note in found.notes)
    below = expected_records_below(sizes, fraction, 4)
    assert found.journalist.above == pytest.approx(below / len(rows))
    average = math.fsum(expected_risk(size, fraction) * size * count for size, count in sizes.items()) / len(rows)
    assert found.journalist.average == found.marketer == pytest.approx(average)
    whole = round(1 / found.journalist.highest)
    assert expected_records_below(sizes, fraction, whole + 1) >= 0.5 > expected_records_below(sizes, fraction, whole)
    assert (found.population.uniques, found.population.sample_uniques) == (None, None)
    for one in found.population.estimates:
        estimate = ESTIMATORS[one.estimator](sizes, len(rows) + more)
        assert one.uniques == (None if math.isnan(estimate) else estimate)


def test_who_is_in_several_classes_is_taken_to_be_so_in_the_population(engine: Engine) -> None:
    rows = [{"q": f"{who}{visit}", "who": who} for who in "abcde" for visit in range(1 + (who == "a"))]
    found = measured(engine, rows, ["q"], entity="who", population_size=50)
    assert (found.size, found.persons, found.rows) == (6, 5, 6)
    assert found.population and found.journalist
    assert (found.population.size, found.population.fraction) == (50, 0.1)
    assert found.population.estimates[0].uniques == ESTIMATORS["zayatz"]({1: 6}, 60)
    assert found.journalist.average == pytest.approx(expected_risk(1, 0.1))
    assert any("a person is in 1.20 classes on average" in note for note in found.notes)
    with pytest.raises(SpecError, match=r"the population \(4\) is smaller than the sample \(5\)"):
        measured(engine, rows, ["q"], entity="who", population_size=4)


def test_a_sample_of_everybody_has_the_prosecutors_risks_for_the_journalist(engine: Engine) -> None:
    rows = [{"q": value} for value in "aabbbc"]
    found = measured(engine, rows, ["q"], population_size=6, threshold=0.4)
    assert found.journalist
    ours, theirs = found.prosecutor, found.journalist
    assert (ours.above, ours.highest) == (theirs.above, theirs.highest)
    assert theirs.average == pytest.approx(ours.average)


# -- columns -----------------------------------------------------------------------------------------------------------


@given(tables(), st.integers(0, 4), st.booleans(), st.sampled_from([0.05, 0.2, 0.3, 1 / 3, 0.5, 1.0]))
@settings(max_examples=tries(100), deadline=None)
def test_the_prosecutors_risks_the_subsets_and_the_costs_are_those_of_single_records(
    engine: Engine, table: tuple[list[Row], tuple[str, ...]], most: int, persons: bool, threshold: float
) -> None:
    rows, keys = table
    entity = "who" if persons else None
    found = measured(engine, rows, keys, entity=entity, subsets=most, threshold=threshold)
    whole = oracle.classes(rows, keys, entity)
    above, highest, average = oracle.prosecutor(whole, Fraction(repr(threshold)))
    one = found.prosecutor
    assert (one.above, one.highest, one.average) == (float(above), float(highest), pytest.approx(float(average)))
    assert one.records == above * sum(whole.values())
    assert (found.rows, found.classes, found.size) == (len(rows), len(whole), sum(whole.values()))
    assert found.uniques == ones(whole)
    assert found.persons == (len({row["who"] for row in rows}) if persons else None)
    assert found.units == ("persons" if persons else "records")
    assert (found.journalist, found.marketer, found.population) == (None, None, None)
    wanted = [names for size in range(1, most + 1) for names in combinations(keys, size)]
    assert sorted(subset.columns for subset in found.subsets) == sorted(wanted)
    for subset in found.subsets:
        check_subset(subset, rows, entity, threshold)
    order = [(-subset.distinction, -(subset.separation or 0), len(subset.columns)) for subset in found.subsets]
    assert order == sorted(order)
    for cost in found.costs:
        rest = oracle.classes(rows, [key for key in keys if key != cost.column], entity)
        less = Fraction(len(whole), sum(whole.values())) - Fraction(len(rest), sum(rest.values()))
        assert cost.average_risk == pytest.approx(float(less), abs=1e-12)
        assert cost.above == pytest.approx(
            float(above - oracle.prosecutor(rest, Fraction(repr(threshold)))[0]), abs=1e-12
        )
        assert cost.uniques == ones(whole) - ones(rest)
    assert {cost.column for cost in found.costs} == set(keys)
    assert [cost.average_risk for cost in found.costs] == sorted((c.average_risk for c in found.costs), reverse=True)


def ones(sizes: dict[oracle.Key, int]) -> int:
    return list(sizes.values()).count(1)


def check_subset(found: Subset, rows: list[Row], entity: str | None, threshold: float) -> None:
    sizes = oracle.classes(rows, found.columns, entity)
    assert (found.combinations, found.uniques) == (len(sizes), ones(sizes))
    assert found.distinction == found.average_risk == len(sizes) / sum(sizes.values())
    assert found.above == float(oracle.prosecutor(sizes, Fraction(repr(threshold)))[0])
    if entity is None:
        apart = oracle.separation(rows, found.columns)
        assert found.separation == (None if apart is None else float(apart))


# -- what must not happen ----------------------------------------------------------------------------------------------


def test_hostile_names_are_names(engine: Engine) -> None:
    rows = [
        {HOSTILE[0]: i % 3, HOSTILE[1]: i % 2, HOSTILE[2]: None, "n": i, "value": i, "records": 0} for i in range(9)
    ]
    load(engine, "everybody", rows)
    keys = [*HOSTILE, "value", "records", "n"]
    found = measured(engine, rows, keys, population=Origin(relation="everybody"), suda=True)
    assert (found.rows, found.uniques, found.quasi_identifiers) == (9, 9, tuple(keys))
    assert found.subsets[0].distinction == 1
    persons = measured(engine, rows, HOSTILE, entity="n", population=Origin(relation="everybody"))
    assert (persons.size, persons.population and persons.population.size) == (9, 9)


def test_no_working_table_is_left_behind(engine: Engine) -> None:
    load(engine, "everybody", [{"a": 1, "b": 1}])
    measured(engine, [{"a": 1, "b": 1}], ["a", "b"], suda=True, population=Origin(relation="everybody"))
    with pytest.raises(SpecError):
        measured(engine, [{"a": 1, "b": 1}] * 2, ["a", "b"], population=Origin(relation="everybody"))
    assert working_tables(engine) == []


def refused(engine: Engine, **more: Any) -> SpecError:
    rows = [{"a": 1, "b": "x", "who": "p"}, {"a": 1, "b": "y", "who": "q"}, {"a": 2, "b": "x", "who": "p"}]
    with pytest.raises(SpecError) as caught:
        measured(engine, rows, **{"keys": ["a", "b"], **more})
    return caught.value


def test_names_that_are_not_there_are_told_with_the_nearest(engine: Engine) -> None:
    error = refused(engine, keys=["a", "bb"])
    assert (error.where, error.found, error.suggestion) == ("--qi", "bb", "b")
    assert refused(engine, keys=[]).where == "--qi"
    assert refused(engine, entity="whom").suggestion == "who"
    assert "no quasi-identifier" in str(refused(engine, entity="a"))


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, math.nan, math.inf])
def test_a_threshold_is_a_risk(engine: Engine, threshold: float) -> None:
    assert "above 0 and at most 1" in str(refused(engine, threshold=threshold))


def test_a_population_that_cannot_be_the_samples_is_refused(engine: Engine) -> None:
    assert "the population (2) is smaller than the sample (3)" in str(refused(engine, population_size=2))
    load(engine, "everybody", [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1, "b": "y"}, {"a": 9, "b": "z"}])
    error = refused(engine, population=Origin(relation="everybody"))
    assert "1 of 3 classes have fewer records in the population than in the sample" in str(error)
    assert error.where == "--population"
    both = refused(engine, population=Origin(relation="everybody"), population_size=10)
    assert "not both" in str(both)


def test_a_population_of_other_columns_or_types_is_refused(engine: Engine) -> None:
    load(engine, "everybody", [{"a": 1, "c": "x"}])
    assert "the population has no such column" in str(refused(engine, population=Origin(relation="everybody")))
    load(engine, "everybody", [{"a": "1", "b": "x"}])
    assert "integer in the relation and text in the population" in str(
        refused(engine, population=Origin(relation="everybody"))
    )
    load(engine, "everybody", [{"a": 1.0, "b": "x"}, {"a": 1.0, "b": "y"}, {"a": 2.0, "b": "x"}])
    found = measured(engine, [{"a": 1, "b": "x"}], ["a", "b"], population=Origin(relation="everybody"))
    assert found.journalist and found.journalist.highest == 1, "numbers are compared as numbers"


def test_a_population_without_the_persons_counts_records_and_says_so(engine: Engine) -> None:
    load(engine, "everybody", [{"a": 1}, {"a": 1}])
    rows = [{"a": 1, "who": "p"}, {"a": 1, "who": "p"}]
    found = measured(engine, rows, ["a"], entity="who", population=Origin(relation="everybody"))
    assert found.journalist and found.journalist.highest == 0.5
    assert any("its records are counted" in note for note in found.notes)


def test_suda_and_subsets_have_limits_that_are_told(engine: Engine) -> None:
    assert "one record per person" in str(refused(engine, suda=True, entity="who"))
    assert "two quasi-identifiers" in str(refused(engine, suda=True, keys=["a"]))
    assert "not all of them" in str(refused(engine, suda=True, suda_size=2))
    assert "not negative" in str(refused(engine, subsets=-1))
    many = [f"c{i}" for i in range(20)]
    with pytest.raises(SpecError, match="more than 1,000 subsets of up to 4 columns"):
        measured(engine, [dict.fromkeys(many, 1)], many, subsets=4)
    with pytest.raises(SpecError, match="more than 1,000 sets"):
        measured(engine, [dict.fromkeys(many, 1)], many, subsets=0, suda=True, suda_size=4)
    more = [*many, "c20"]
    with pytest.raises(SpecError, match="up to 20 quasi-identifiers"):
        measured(engine, [dict.fromkeys(more, 1)], more, subsets=0, suda=True, suda_size=1)
    found = measured(engine, [dict.fromkeys(many, i) for i in (1, 2)], many, subsets=0, suda=True, suda_size=1).suda
    assert found and found.scores[0].score == 20 * math.factorial(19), "the greatest score that there is"


def test_an_empty_relation_has_no_risk(engine: Engine) -> None:
    made(engine, "nobody", {"a": "INTEGER"})
    with pytest.raises(SpecError, match="no rows"):
        risk(engine, Origin(relation="nobody"), quasi_identifiers=["a"])


def test_a_failure_of_the_engine_tells_no_cell(engine: Engine) -> None:
    engine.run(
        "make", "CREATE OR REPLACE TEMP VIEW broken AS SELECT CAST(x AS INTEGER) AS a FROM (VALUES ('Alice')) AS v (x)"
    )
    with pytest.raises(EngineError) as caught:
        risk(engine, Origin(relation="broken"), quasi_identifiers=["a"])
    assert "Alice" not in str(caught.value)
    assert working_tables(engine) == []


# -- Python ------------------------------------------------------------------------------------------------------------

NUMBER = {"type": "number"}
SCENARIO = {"type": ["object", "null"], "required": ["above", "highest", "average", "records", "method"]}
RISK = {
    "type": "object",
    "required": ["source", "rows", "units", "persons", "size", "classes", "quasi_identifiers", "threshold",
                 "prosecutor", "journalist", "marketer", "sample_uniques", "population", "subsets", "columns", "suda",
                 "notes"],
    "additionalProperties": False,
    "properties": {
        **{name: {} for name in ("source", "units", "persons", "marketer", "population", "suda", "notes")},
        "quasi_identifiers": {"type": "array"},
        **dict.fromkeys(("rows", "size", "classes", "threshold"), NUMBER),
        "prosecutor": SCENARIO, "journalist": SCENARIO,
        "sample_uniques": {"required": ["records", "share"]},
        "subsets": {"items": {"required": ["columns", "combinations", "distinction", "separation", "uniques",
                                           "average_risk", "above"]}},
        "columns": {"items": {"required": ["column", "average_risk", "above", "uniques"]}},
    },
}  # fmt: skip


def test_a_frame_is_measured_beside_a_frame_of_everybody_and_the_result_is_plain_data() -> None:
    import pandas

    sample = pandas.DataFrame({"age": [30, 30, 41], "zip": ["1", "1", None]})
    everybody = pandas.concat([sample, sample], ignore_index=True)
    found = sqlanon.risk(sample, quasi_identifiers=["age", "zip"], population=everybody, suda=True)
    told = found.to_dict()
    jsonschema.validate(told, RISK)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["prosecutor"]["highest"], told["journalist"]["highest"]) == (1, 0.5)
    assert told["population"]["estimates"][0]["estimator"] == "zayatz"
    sized = sqlanon.risk(sample, quasi_identifiers=["age"], population_size=1000, subsets=None).to_dict()
    jsonschema.validate(sized, RISK)
    json.dumps(sized, allow_nan=False)
    assert sized["subsets"] == []


def test_an_estimator_without_an_answer_is_null_and_never_a_number() -> None:
    import pandas

    found = sqlanon.risk(pandas.DataFrame({"a": [1, 2, 3]}), quasi_identifiers=["a"], population_size=100).to_dict()
    estimates = {one["estimator"]: one["uniques"] for one in found["population"]["estimates"]}
    assert estimates["pitman"] is None
    assert estimates["snb"] is None
    assert estimates["dankar"] == estimates["zayatz"]


def test_the_names_of_working_tables_are_quoted() -> None:
    assert '"' in DuckDB().rendered(query.table(CODED))
