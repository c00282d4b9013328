"""Policies: what people said becomes thresholds in SQL, by the matrix, within the clamp; nothing unknown is let by."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import oracle_prediction as oracle
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_prediction import load
from tries import tries

import sqlanon
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.exploring import explore
from sqlanon.margins import margin
from sqlanon.policies import Clamp, Matrix, Missing, Pair, Policy, Preference, Sensitivity, Table
from sqlanon.prediction import Target, Threshold

WORDS = ["unconcerned", "pragmatist", "fundamentalist"]
LEVELS: dict[Any, Fraction] = {"low": Fraction(0), "medium": Fraction(1, 2), "high": Fraction(1)}
MATRIX = {("unconcerned", False): "0.95", ("unconcerned", True): "0.9", ("pragmatist", False): "0.9",
          ("pragmatist", True): "0.7", ("fundamentalist", False): "0.7", ("fundamentalist", True): "0.5"}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


def expected(word: str | None, said: Any, low: str = "0", high: str = "1", start: str = "0.5") -> Fraction:
    """The threshold by the printed matrix."""
    level = LEVELS.get(said, said) if said is not None else LEVELS["low"]
    found = Fraction(MATRIX[word or "pragmatist", Fraction(level) >= Fraction(start)])
    return min(max(found, Fraction(low)), Fraction(high))


ROWS = st.lists(st.fixed_dictionaries({
    "f": st.sampled_from(["x", None]), "v": st.sampled_from([1, 2, 50, None]), "p": st.sampled_from([*WORDS, None]),
    "s": st.sampled_from([*LEVELS, None]), "n": st.sampled_from([Decimal("0"), Decimal("0.49"), Decimal("0.5"), None]),
}), max_size=12)  # fmt: skip


@settings(max_examples=tries(50), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from(["s", "n", "both", "none"]), st.sampled_from([("0", "1"), ("0.6", "0.8")]),
       st.sampled_from(["beside", "table"]))  # fmt: skip
def test_each_record_is_held_against_its_own_persons_threshold(
    engine: DuckDB, rows: list[dict[str, Any]], kind: str, clamp: tuple[str, str], place: str
) -> None:
    kinds = {"f": "VARCHAR", "v": "INTEGER", "p": "VARCHAR", "s": "VARCHAR", "n": "DECIMAL(4, 2)", "id": "INTEGER"}
    rows = [{**row, "id": i} for i, row in enumerate(rows)]
    said = {"s": Sensitivity(column="s"), "n": Sensitivity(column="n"), "both": Sensitivity("high"), "none": None}[kind]
    policy = Policy(
        preference=Preference(column="p"), sensitivity={"v": said} if said else {}, clamp=Clamp(*map(Decimal, clamp)),
        table=Table("id", table="policies") if place == "table" else None,
    )  # fmt: skip
    # In a table of its own, a person may have no row, which is as if the row held nothing.
    load(engine, [r for r in rows if r["p"] or r["s"] or r["n"] is not None], kinds, "policies")
    origin = load(engine, rows, kinds if place == "beside" else {k: kinds[k] for k in ("f", "v", "id")})
    found = explore(engine, origin, Target("v", margin(1), Threshold(policy=policy)), ["f"], all_subsets=True)
    words = {"s": lambda r: r["s"], "n": lambda r: r["n"], "both": lambda _: "high", "none": lambda _: None}[kind]
    for row in found.subsets:
        violating = oracle.violations(rows, row.risk.fields, "v", 1, lambda r: expected(r["p"], words(r), *clamp))
        assert row.risk.violations == len(violating)


def test_the_defaults_are_the_papers_where_it_prints_them() -> None:
    policy = Policy()
    assert policy.threshold("pragmatist", Decimal(0)) == Fraction(9, 10)
    assert policy.threshold("pragmatist", Decimal(1)) == Fraction(7, 10)
    assert policy.threshold("fundamentalist", Decimal(0)) == Fraction(7, 10)
    for (word, sensitive), share in MATRIX.items():
        assert policy.threshold(word, Decimal(int(sensitive))) == Fraction(share)  # type: ignore[arg-type]
    assert policy.constant("v") == Fraction(9, 10)


def test_what_a_record_does_not_say_may_be_decided_otherwise(engine: DuckDB) -> None:
    rows = [{"f": 1, "v": v, "p": None} for v in (1, 1, 1, 9)]
    origin = load(engine, rows, {"f": "INT", "v": "INT", "p": "VARCHAR"})
    for missing, violations in ((Missing(), 0), (Missing("fundamentalist"), 3)):
        policy = Policy(preference=Preference(column="p"), missing=missing)
        found = explore(engine, origin, Target("v", margin(0), Threshold(policy=policy)), ["f"])
        assert found.worst.violations == violations


@pytest.mark.parametrize("word", ["Pragmatist", "", "secret words"])
def test_a_word_that_nobody_knows_is_never_taken_for_a_mild_one(engine: DuckDB, word: str) -> None:
    kinds = {"f": "INT", "v": "INT", "p": "VARCHAR"}
    origin = load(engine, [{"f": 1, "v": 1, "p": word}, {"f": 1, "v": 1, "p": "pragmatist"}], kinds)
    for policy in (Policy(preference=Preference(column="p")), Policy(sensitivity={"v": Sensitivity(column="p")})):
        with pytest.raises(
            SpecError, match=r"[12] records have a word or number that the policy does not know"
        ) as caught:
            explore(engine, origin, Target("v", margin(1), Threshold(policy=policy)), ["f"])
        assert not word or word not in str(caught.value).split("allowed")[0]


@pytest.mark.parametrize("number", ["1.5", "-0.1", "'nan'"])
def test_a_sensitivity_beyond_0_to_1_is_refused(engine: DuckDB, number: str) -> None:
    engine.run("make", f"CREATE OR REPLACE TABLE t AS SELECT 1 AS f, 2 AS v, CAST({number} AS DOUBLE) AS s")
    policy = Policy(sensitivity={"v": Sensitivity(column="s")})
    with pytest.raises(SpecError, match="1 records have a word or number"):
        explore(engine, sqlanon.engines.Origin(relation="t"), Target("v", margin(1), Threshold(policy=policy)), ["f"])


def test_a_person_with_two_policies_is_refused(engine: DuckDB) -> None:
    load(
        engine, [{"id": 1, "p": "pragmatist"}, {"id": 1, "p": "unconcerned"}], {"id": "INT", "p": "VARCHAR"}, "policies"
    )
    origin = load(engine, [{"id": 1, "f": 1, "v": 1}], {"id": "INT", "f": "INT", "v": "INT"})
    policy = Policy(preference=Preference(column="p"), table=Table("id", table="policies"))
    target = Target("v", margin(1), Threshold(policy=policy))
    with pytest.raises(SpecError, match="1 rows of the policy table are about a person who has one already"):
        explore(engine, origin, target, ["f"])
    wrong = Policy(preference=Preference(column="q"), table=Table("id", table="policies"))
    with pytest.raises(SpecError, match="the policy table has no such column; found 'q'"):
        explore(engine, origin, Target("v", margin(1), Threshold(policy=wrong)), ["f"])
    lost = Policy(preference=Preference(column="p"), table=Table("person", table="policies"))
    with pytest.raises(SpecError, match="the records lack the key of the policies; found 'person'"):
        explore(engine, origin, Target("v", margin(1), Threshold(policy=lost)), ["f"])


# -- in the spec -------------------------------------------------------------------------------------------------------

SPEC = """
source: people.csv
columns:
  id: identifier
  age: quasi-identifier
  weight: sensitive
  kind: insensitive
privacy: [{model: k-anonymity, k: 2}]
policy:
"""


def spec(tmp_path: Path, policy: str) -> sqlanon.Spec:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC + "".join(f"  {line}\n" for line in policy.splitlines()), encoding="utf-8")
    return sqlanon.load(file)


def test_a_whole_policy_is_read_from_the_spec(tmp_path: Path) -> None:
    text = """preference: {column: kind}
sensitivity: {weight: high, age: 0.3}
thresholds: {pragmatist: {normal: 0.85, sensitive: 0.65}}
clamp: {min: 0.6, max: 0.9}
missing: {preference: fundamentalist}
services: [care, billing]
actors: doctor"""
    policy = spec(tmp_path, text).policy
    assert policy is not None
    assert policy.preference == Preference(column="kind")
    assert policy.sensitivity == {"weight": Sensitivity("high"), "age": Sensitivity(number=Decimal("0.3"))}
    assert policy.thresholds == Matrix(pragmatist=Pair(Decimal("0.85"), Decimal("0.65")))
    assert (policy.services, policy.actors) == (("care", "billing"), ("doctor",))
    assert policy.threshold("fundamentalist", Decimal(1)) == Fraction(6, 10)
    assert policy.threshold("unconcerned", Decimal(0)) == Fraction(9, 10)
    jsonschema.validate(yaml.safe_load((tmp_path / "spec.yaml").read_text()), sqlanon.schema())
    assert spec(tmp_path, "preference: unconcerned").policy == Policy(preference=Preference("unconcerned"))


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("preference: pragmatic", r":10:15: policy.preference: not a word for this; found 'pragmatic'; .*pragmatist"),
        (
            "preference: {column: kid}",
            r":10:24: policy.preference.column: there is no such column; .*'kind'",
        ),
        ("sensitivity: {wieght: high}", r":10:25: policy.sensitivity.wieght: there is no such column to be sensitive"),
        ("sensitivity: {weight: 1.5}", r":10:25: policy.sensitivity.weight.*: number must be at most 1"),
        ("sensitivity: {weight: hihg}", r"found 'hihg'.*did you mean 'high'"),
        ("thresholds: {pragmatist: {normal: 1.2, sensitive: 0.5}}", r":10:37: .*normal must be at most 1; found '1.2'"),
        ("thresholds: {pragmatist: {normal: 0.9}}", r"the key 'sensitive' is missing"),
        ("clamp: {min: 0.9, max: 0.5}", r"min must be at most max, which is 0.5"),
        ("clamp: {min: -1}", r"min must be at least 0; found '-1'"),
        ("table: {key: id}", "a policy table is one of table and file"),
        ("table: {key: person, table: p}", r"policy.table.key: there is no such column; found 'person'"),
        ("servicse: [care]", r"there is no such key; found 'servicse'; .*did you mean 'services'"),
    ],
)
def test_a_wrong_policy_is_told_with_line_and_word(tmp_path: Path, policy: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        spec(tmp_path, policy)
