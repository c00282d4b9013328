"""`sqlanon risk` and `sqlanon presets` as people and programs call them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_cli import Cli, cli

__all__ = ["cli"]  # the fixture

PEOPLE = "age,zip,who,name\n" + "".join(f"{20 + i % 9},{10000 + i % 4},p{i % 30},n{i}\n" for i in range(40))


@pytest.fixture
def people(cli: Cli) -> Cli:
    Path("people.csv").write_text(PEOPLE)
    Path("everybody.csv").write_text(PEOPLE.replace(",", ";") + PEOPLE.replace(",", ";").split("\n", 1)[1])
    return cli


def said(cli: Cli, *words: str) -> Any:
    ran = cli("risk", "people.csv", *words, "--json")
    assert (ran.status, ran.err) == (0, "")
    return ran.said


def test_risk_tells_machines_what_it_tells_people(people: Cli) -> None:
    told = said(people, "--qi", "age,zip", "--population-size", "4000", "--suda")
    assert (told["rows"], told["classes"], told["threshold"]) == (40, 36, 0.2)
    assert told["population"]["size"] == 4000
    assert [one["estimator"] for one in told["population"]["estimates"]] == ["zayatz", "pitman", "snb", "dankar"]
    words = people("risk", "people.csv", "--qi", "age,zip", "--population-size", "4000", "--suda").words
    for word in ("prosecutor", "journalist", "marketer", "zayatz", "What each column costs", "What some columns tell",
                 "SUDA2", "an estimate from the population's size"):  # fmt: skip
        assert word in words, word
    assert "holds" not in words, "a risk judges nothing"


def test_a_population_may_be_a_file_or_a_table(people: Cli) -> None:
    Path("everybody.csv").write_text(PEOPLE + PEOPLE.split("\n", 1)[1])
    told = said(people, "--qi", "age,zip", "--population", "everybody.csv")
    assert (told["journalist"]["highest"], told["population"]["size"]) == (0.5, 80)
    assert told["population"]["uniques"] == told["population"]["sample_uniques"] == 0
    assert "Counted: 0 are unique in the population" in people(
        "risk", "people.csv", "--qi", "age,zip", "--population", "everybody.csv"
    ).words  # fmt: skip


def test_a_delimiter_is_for_both_files(people: Cli) -> None:
    Path("people.csv").write_text(PEOPLE.replace(",", ";"))
    told = said(people, "--qi", "age,zip", "--population", "everybody.csv", "--delimiter", ";")
    assert told["population"]["size"] == 80


def test_persons_are_counted_where_there_is_an_entity(people: Cli) -> None:
    told = said(people, "--qi", "zip", "--entity", "who")
    assert (told["units"], told["rows"]) == ("persons", 40)
    assert "persons in 40 records" in people("risk", "people.csv", "--qi", "zip", "--entity", "who").words


def test_safe_harbor_stands_alone_or_beside_the_risks(people: Cli) -> None:
    alone = said(people, "--safe-harbor")
    assert set(alone) == {"source", "safe_harbor"}
    assert alone["safe_harbor"]["items"][0]["status"] == "found"
    both = said(people, "--safe-harbor", "--qi", "age")
    assert both["safe_harbor"] == alone["safe_harbor"]
    assert both["prosecutor"]
    assert "found name: by its name (40)" in people("risk", "people.csv", "--safe-harbor").words


@pytest.mark.parametrize(("words", "told"), [
    ([], "nothing to measure"),
    (["--qi", "agee"], "did you mean 'age'?"),
    (["--qi", "age", "--threshold", "2"], "above 0 and at most 1"),
    (["--qi", "age", "--population-size", "39"], "the population (39) is smaller than the sample (40)"),
    (["--qi", "age", "--population", "nobody.csv"], "there is no such file"),
    (["--qi", "age", "--suda"], "two quasi-identifiers"),
])  # fmt: skip
def test_a_wrong_call_is_a_sentence_and_status_2(words: list[str], told: str, people: Cli) -> None:
    ran = people("risk", "people.csv", *words)
    assert (ran.status, ran.out) == (2, "")
    assert told in ran.err
    assert people("risk", "people.csv", *words, "--json").said["exit_status"] == 2


def test_presets_are_listed_and_told(cli: Cli) -> None:
    every = cli("presets", "--json").said["presets"]
    assert len(every) == 12
    listed = cli("presets")
    assert listed.status == 0
    for one in every:
        assert one["preset"] in listed.out
        assert cli("presets", one["preset"], "--json").said == one
        words = cli("presets", one["preset"]).words
        for sentence in (*one["sources"], *one["notes"], *one["also"], *one["leaves"]):
            assert sentence in words
    wrong = cli("presets", "hipaa")
    assert wrong.status == 2
    assert "there is no such preset" in wrong.err
