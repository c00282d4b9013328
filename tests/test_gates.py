"""Rules of a spec: parsed with it, judged on what would be published, and stopping the release by themselves."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import oracle_prediction as oracle
import pytest
from server import working_tables
from test_prediction import load

import sqlanon
from sqlanon import life
from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.spec import load as read_spec

ROWS = [
    {"age": a, "weight": w, "said": s, "word": "x", "who": i}
    for i, (a, w, s) in enumerate([
        (20, 70, None), (20, 71, "fundamentalist"), (20, 72, None), (20, 100, None), (30, 60, None),
        (30, 61, "unconcerned"),
    ])
]  # fmt: skip
KINDS = {"age": "INTEGER", "weight": "BIGINT", "said": "VARCHAR", "word": "VARCHAR", "who": "INTEGER"}


@pytest.fixture
def engine(either: Engine) -> Engine:
    """The one engine, then the other, with the people and without a release."""
    load(either, ROWS, KINDS, "people")
    if either.kind_of("made"):
        life.withdraw(either, "made")
    return either


def spec(*rules: str, models: tuple[dict[str, Any], ...] = (), **more: Any) -> sqlanon.Spec:
    return read_spec({
        "source": "people", "columns": {
            "age": "quasi-identifier", "weight": "sensitive", "said": "drop", "word": "insensitive", "who": "drop",
        },
        "privacy": [{"model": "k-anonymity", "k": 2}, *models], "rules": list(rules),
        "predictions": {"weight": {"margin": 5, "threshold": 0.75}}, "publish": {"name": "made"}, **more,
        "recoding": {"method": "full-domain", **more.get("recoding", {})},
    })  # fmt: skip


REMOVING = {"model": "value-prediction", "column": "weight", "margin": 5, "threshold": 0.75, "remove": "greedy"}


@pytest.mark.parametrize(
    ("rule", "more", "blocks"),
    [
        ("violations(weight) > 4", {}, True),
        ("violations(weight) > 5", {}, False),
        ("share(weight) >= 5/6", {}, True),
        ("risk(weight) < 1", {}, False),
        ("violations(weight) > 5 OR abs(delta(mean, weight)) > 0.5", {}, False),
        ("removed(weight) > 0", {}, False),
        ("removed(weight) > 0", {"models": (REMOVING,)}, True),
        ("violations(weight) > 0", {"models": (REMOVING,)}, False),
        ("abs(delta(mean, weight)) > 0.5", {"models": (REMOVING,)}, True),
        ("after(n, weight) = 3", {"models": (REMOVING,)}, True),
        ("before(n, weight) <> 6", {"models": (REMOVING,)}, False),
        ("relative(mean, weight) > 0", {"recoding": {"suppression": 0.5, "levels": {"age": 0}}}, False),
        ("violations(weight) = 6", {"policy": {"preference": {"column": "said"}, "sensitivity": {"weight": "high"}},
                                    "predictions": {"weight": {"margin": 40}}}, True),
    ],
)  # fmt: skip
def test_a_rule_blocks_the_release_with_its_numbers_or_lets_it_pass(
    engine: Engine, rule: str, more: dict[str, Any], blocks: bool
) -> None:
    wanted = spec(f"IF {rule} THEN block", **more)
    told = sqlanon.plan(wanted, engine)
    assert [found.blocks for found in told.rules] == [blocks]
    if not blocks:
        assert sqlanon.release(wanted, engine).to_dict()["rules"] == told.to_dict()["rules"]
        return
    with pytest.raises(ModelNotMet, match=r"a rule blocks the release \(IF .* = .*nothing was published") as caught:
        sqlanon.release(wanted, engine)
    assert [found.to_dict() for found in caught.value.rules] == told.to_dict()["rules"]
    assert engine.kind_of("made") is None
    assert working_tables(engine) == []


def test_a_rule_may_ask_about_a_model_that_blanks_without_more_being_said(engine: Engine) -> None:
    wanted = spec("IF removed(weight) > 100 THEN block", models=(REMOVING,), predictions={})
    (rule,) = sqlanon.release(wanted, engine).planned.rules
    assert rule.numbers == {"removed(weight)": 3}


def test_the_violations_that_a_rule_asks_for_are_the_oracles(engine: Engine) -> None:
    by = [oracle.violations(ROWS, fields, "weight", 5, lambda _: Fraction(3, 4)) for fields in ((), ("age",))]
    (judged,) = sqlanon.plan(spec("IF violations(weight) > 100 THEN block"), engine).rules
    assert judged.numbers == {"violations(weight)": max(map(len, by))}


def test_what_was_published_before_stays_when_a_rule_blocks(engine: Engine) -> None:
    sqlanon.release(spec(), engine)
    made = f"SELECT * FROM {engine.schema}.made ORDER BY age, weight"
    before = engine.run("read", made)
    with pytest.raises(ModelNotMet):
        sqlanon.release(spec("IF violations(weight) > 1 THEN block"), engine)
    assert engine.run("read", made) == before


def test_what_is_unknown_blocks(engine: Engine) -> None:
    """A quasi-identifier that was generalised to labels has no mean any more."""
    wanted = spec("IF abs(delta(mean, age)) > 1 THEN block", recoding={"levels": {"age": 1}})
    assert [(rule.blocks, rule.unknown) for rule in sqlanon.plan(wanted, engine).rules] == [(True, True)]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("IF violations(wieght) > 1 THEN block", r"rules\[0\]: rule, character 15: .*'wieght'.*did you mean 'weight'"),
        ("IF delta(mean, hight) > 1 THEN block", r"rules\[0\]: .*no such field; found 'hight'"),
        ("IF delta(mean, said) > 1 THEN block", r"no such field; found 'said'"),
        ("IF policy_violations() > 1 THEN block", r"found 'policy_violations'"),
        ("IF violations(weight, doctor) > 1 THEN block", r"no such actor"),
        ("IF violations(weight) THEN block", r"needs a comparison"),
    ],
)
def test_a_wrong_rule_is_a_wrong_spec(rule: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        spec(rule)


def test_a_statistic_of_a_text_is_refused_by_its_type(engine: Engine) -> None:
    with pytest.raises(
        SpecError, match=r"statistic of 'word', which is (VARCHAR|character varying); .*allowed: age, weight"
    ):
        sqlanon.plan(spec("IF delta(mean, word) > 1 THEN block"), engine)


def test_a_prediction_of_what_is_not_sensitive_is_refused() -> None:
    with pytest.raises(SpecError, match="of role sensitive, and this is quasi-identifier; found 'age'"):
        spec(predictions={"age": {"margin": 1}})


def test_the_command_exits_with_1_and_tells_rule_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "people.csv").write_text("age,weight\n20,70\n20,71\n20,72\n")
    file = tmp_path / "spec.yaml"
    file.write_text("""source: people.csv
columns: {age: quasi-identifier, weight: sensitive}
privacy: [{model: k-anonymity, k: 2}]
predictions: {weight: {margin: 5}}
rules:
  - IF violations(weight) > 2 THEN block
publish: {name: made, as: file}
""")
    assert main(["release", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["rules"] == [{
        "rule": "IF violations(weight) > 2 THEN block", "blocks": True, "unknown": False,
        "numbers": {"violations(weight)": 3},
    }]  # fmt: skip
    assert not (tmp_path / "made.parquet").exists()
    assert main(["plan", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"] == told["rules"]
    file.write_text(file.read_text().replace("violations(weight)", "violations(wait)"))
    assert main(["release", str(file)]) == 2
    assert "spec.yaml:6:5: rules[0]" in capsys.readouterr().err
