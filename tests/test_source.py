"""What a source may be, and what it may never tell."""

from __future__ import annotations

from pathlib import Path

import pytest

import sqlanon
from sqlanon.cli import main
from sqlanon.engines import Origin
from sqlanon.hierarchies import Order, Tree
from sqlanon.models import TCloseness
from sqlanon.risk import risk


def test_the_first_record_of_a_file_without_a_header_is_not_told_as_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text("Alice Meyer,34,flu\nBob,35,cold\n")
    assert main(["check", str(tmp_path / "p.csv"), "--qi", "age"]) == 2
    said = capsys.readouterr()
    assert "first line" in said.err
    assert "Alice" not in said.err + said.out


def test_a_file_of_texts_alone_keeps_its_first_line_as_names(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sex,ill\nF,flu\nM,flu\n")
    assert sqlanon.check(tmp_path / "p.csv", quasi_identifiers=["sex"]).rows == 2


def test_a_database_is_measured_while_others_read_it(tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'd.duckdb'}"
    with sqlanon.connect(url) as engine:
        engine.run("make", "CREATE TABLE people AS SELECT 1 AS a FROM range(9)")
    with sqlanon.connect(url, read_only=True):
        assert main(["check", "people", "--qi", "a", "--db", url, "--json"]) == 0


LOOKS = {
    "collation": "SELECT a COLLATE NOCASE AS a, 'x' AS s FROM (VALUES ('Bob'), ('bob'), ('BOB')) AS v (a)",
    "interval": "SELECT unnest([INTERVAL '1 month', INTERVAL '30 days']) AS a, 'x' AS s",
    "zero": "SELECT unnest([0.0::DOUBLE, '-0.0']) AS a, 'x' AS s",
}


@pytest.mark.parametrize("kind", LOOKS)
def test_what_looks_different_is_no_class_whoever_measures_it(kind: str) -> None:
    with sqlanon.connect() as engine:
        engine.run("make", f"CREATE TABLE t AS {LOOKS[kind]}")
        found = sqlanon.check("t", quasi_identifiers=["a"], models=["k-anonymity(k=2)"], engine=engine)
        assert (found.holds, found.verdicts[0].value) == (False, 1)
        assert risk(engine, Origin(relation="t"), quasi_identifiers=["a"]).prosecutor.highest == 1


@pytest.mark.parametrize("distance", ["hierarchical", "ordered"])
def test_a_value_that_the_hierarchy_does_not_know_has_no_distance(distance: str) -> None:
    arranged = Order(("u", "v", "w")) if distance == "ordered" else Tree({"g": ["u", "v"], "h": ["w"]})
    model = TCloseness("s", 1, distance)
    with sqlanon.connect() as engine:
        for value, holds in (("w", True), ("new", False), (None, True)):
            engine.run("make", "CREATE OR REPLACE TABLE t (a INTEGER, s VARCHAR)")
            engine.run("fill", "INSERT INTO t VALUES (1, 'u'), (1, 'v'), (2, 'u'), (3, ?)", [value])
            given = {"quasi_identifiers": ["a"], "models": [model], "hierarchies": {"s": arranged}}
            found = sqlanon.check("t", engine=engine, **given)
            assert (found.holds, found.verdicts[0].value is not None) == (holds, holds)
