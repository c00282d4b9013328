"""What a source may be, and what it may never tell."""

from __future__ import annotations

from pathlib import Path

import pytest

import sqlanon
from sqlanon.cli import main


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
