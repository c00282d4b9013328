"""`sqlanon predict` and its Python face: what is printed, exit statuses, files, frames."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas
import polars
import pytest

import sqlanon
from sqlanon.cli import main
from sqlanon.policies import Policy, Preference

TABLE = """age,height,weight,kind,limit
30-40,180-200,100,pragmatist,0.9
30-40,180-200,102,pragmatist,0.9
20-30,180-200,110,pragmatist,0.9
20-30,180-200,111,fundamentalist,0.7
20-30,160-180,80,pragmatist,0.9
20-30,160-180,110,pragmatist,0.9
"""
Run = Callable[..., tuple[int, str, str]]
ASKED = ("--column", "weight", "--margin", "5", "--fields", "age,height")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `sqlanon predict t.csv …` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text(TABLE)
    Path("policy.yaml").write_text("policy: {preference: {column: kind}}\n")

    def ran(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        return (main(["predict", "t.csv", *words]), *capfd.readouterr())

    return ran


def said(run: Run, *words: str, status: int = 0) -> dict[str, Any]:
    found, out, err = run(*words, "--json")
    assert (found, out.count("\n"), err) == (status, 1, "")
    told: dict[str, Any] = json.loads(out)
    return told


def violations(told: dict[str, Any]) -> dict[tuple[str, ...], int]:
    return {tuple(row["fields"]): row["violations"] for row in told["subsets"]}


def test_every_subset_is_told_with_its_cost_and_what_removal_would_do(run: Run) -> None:
    status, out, _ = run(*ASKED, "--all-subsets", "--remove", "greedy")
    words = " ".join(out.split())
    assert status == 0
    assert "t.csv: weight of 6 records, predicted from" in words
    assert "age, height 4 ████████████████████ 3 1 4" in words
    assert "age 2 4 3 height 0 2 1" in words, "what each field costs"
    assert "Removal (greedy) blanks 4 values (66.67%); none is left." in words
    assert "mean 102.2 95 -7.167 -7.01%" in words
    told = said(run, *ASKED, "--all-subsets", "--remove", "minimum")
    assert violations(told) == {("age", "height"): 4, ("age",): 2, (): 0, ("height",): 0}
    assert told["removal"]["removed"] == 4
    assert told["subsets"][0]["moved"]["n"] == -4
    assert told["utility"]["fields"]["weight"]["n"] == {"before": 6, "after": 2, "difference": -4, "relative": -4 / 6}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), 4), (("--threshold", "1/2"), 6), (("--above",), 4), (("--threshold", "1", "--above"), 0),
        (("--threshold-column", "limit"), 4), (("--policy", "policy.yaml"), 4),
    ],
)  # fmt: skip
def test_thresholds_are_for_all_or_of_a_column_or_of_a_policy(run: Run, words: tuple[str, ...], expected: int) -> None:
    assert violations(said(run, *ASKED, *words)) == {("age", "height"): expected}
    if words[:1] in (("--threshold-column",), ("--policy",)):
        alone = said(run, "--column", "weight", "--margin", "5", "--fields", "age", *words)
        assert violations(alone) == {("age",): 3}


def test_rules_stop_with_status_1_and_their_numbers(run: Run) -> None:
    rule = ("--rule", "IF violations(weight) > 3 THEN block")
    status, out, _ = run(*ASKED, *rule)
    assert status == 1
    assert "blocks: IF violations(weight) > 3 THEN block: violations(weight) = 4" in out
    told = said(run, *ASKED, *rule, status=1)
    assert told["blocked"] and told["rules"][0]["numbers"] == {"violations(weight)": 4}
    assert run(*ASKED, "--rule", "IF violations(weight) > 4 THEN block")[0] == 0
    status, _, err = run(*ASKED, "--rule", "IF violations(age) > 4 THEN block")
    assert status == 2 and "--rule: rule, character 15: there is no such sensitive field" in err
    # Nothing to compare with: the difference is unknown, and what is unknown does not pass.
    assert run(*ASKED, "--rule", "IF delta(mean, weight) > 100 THEN block")[0] == 1
    assert run(*ASKED, "--remove", "greedy", "--rule", "IF delta(mean, weight) > 100 THEN block")[0] == 0
    assert run(*ASKED, "--remove", "greedy", "--rule", "IF removed(weight) > 3 THEN block")[0] == 1


def test_statistics_can_be_compared_with_another_table(run: Run) -> None:
    Path("before.csv").write_text(TABLE.replace(",110,", ",120,"))
    told = said(run, *ASKED, "--original", "before.csv")
    mean = told["utility"]["fields"]["weight"]["mean"]
    assert mean["difference"] == pytest.approx(-20 / 6)
    assert told["removal"] is None


def test_bars_are_drawn(run: Run) -> None:
    for name, head in (("bars.svg", b"<?xml"), ("bars.png", b"\x89PNG")):
        assert run(*ASKED, "--all-subsets", "--plot", name)[0] == 0
        assert Path(name).read_bytes().startswith(head)
    svg = Path("bars.svg").read_text()
    assert "age, height" in svg and "violations among 6 records" in svg
    status, _, err = run(*ASKED, "--plot", "no/such/folder.svg")
    assert status == 2 and "the picture cannot be written" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--column", "wieght", "--margin", "5", "--fields", "age"), "found 'wieght'"),
        (("--column", "weight", "--fields", "age"), "say how near counts as known"),
        ((*ASKED, "--threshold", "1.5"), "a threshold is a share from 0 to 1; found '1.5'"),
        ((*ASKED, "--threshold", "0.5", "--policy", "policy.yaml"), "one share, a column or a policy"),
        ((*ASKED, "--policy", "t.csv"), "a spec is a mapping"),
        ((*ASKED, "--remove", "gredy"), "did you mean 'greedy'?"),
        ((*ASKED, "--plot", "x.gif"), "an SVG or a PNG"),
    ],
)
def test_what_is_wrong_is_told_with_status_2(run: Run, words: tuple[str, ...], told: str) -> None:
    status, out, err = run(*words)
    assert status == 2 and told in err
    assert "111" not in err + out.replace(TABLE, "")


def test_python_takes_files_and_frames_and_gives_what_json_gives(run: Run) -> None:
    asked: dict[str, Any] = {"column": "weight", "fields": ["age", "height"], "margin": 5, "all_subsets": True}
    told = said(run, *ASKED, "--all-subsets")
    assert sqlanon.predict("t.csv", **asked).to_dict() == told
    for frame in (pandas.read_csv("t.csv"), polars.read_csv("t.csv")):
        found = sqlanon.predict(frame, **asked, rules=["IF share(weight) > 0.5 THEN block"])
        assert violations(found.to_dict()) == violations(told)
        assert found.blocked
    policy = Policy(preference=Preference(column="kind"))
    for given in (policy, "policy.yaml", Path("policy.yaml")):
        assert sqlanon.predict("t.csv", **{**asked, "fields": ["age"]}, policy=given).worst.violations == 3


def test_dates_take_margins_of_time(run: Run) -> None:
    frame = pandas.DataFrame({"f": [1, 1, 1, 1], "born": pandas.to_datetime(["2000-01-01", "2000-01-31", "2000-02-01",
                                                                             "2001-01-01"])})  # fmt: skip
    for near in ("30d", timedelta(days=30)):
        found = sqlanon.predict(frame, column="born", fields=["f"], margin=near, threshold="0.75")
        assert found.worst.violations == 1, "only the middle one is within 30 days of both its neighbours"


def test_predicting_changes_nothing_and_shares_the_database_with_other_readers(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'a.duckdb'}"
    with sqlanon.connect(url) as engine:
        engine.run("make", "CREATE TABLE t AS SELECT i % 2 AS f, i AS v FROM range(10) r(i)")
    before = (tmp_path / "a.duckdb").read_bytes()
    with sqlanon.connect(url, read_only=True) as reader:
        found = sqlanon.predict(
            "t", column="v", fields=["f"], margin=9, all_subsets=True, remove="greedy", engine=reader
        )
        assert found.worst.violations == 10
    assert (tmp_path / "a.duckdb").read_bytes() == before
