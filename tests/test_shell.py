"""`sqlanon sql`: scripts and statements on the command line, and the interactive shell."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import sqlanon
from sqlanon.cli import main
from sqlanon.cli.shell import Shell, complete, history_file, private
from sqlanon.completing import Known, completions
from sqlanon.engines import Engine

SECRET = "Meyer-4711"
FILL = "CREATE TABLE patients AS SELECT i AS id, 20 + i % 40 AS age, 'd' || i % 3 AS disease FROM range(120) t(i);\n"
MADE = (
    "CREATE ANONYMIZED TABLE coarse AS TABLE patients\n  WITH (k = 3, identifiers = (id), sensitive = (disease),"
    " quasi_identifiers = (age width (10, 20)), method = 'full-domain');\n"
)


@pytest.fixture
def clinic(tmp_path: Path) -> str:
    """The URL of a database file."""
    return f"duckdb:///{tmp_path}/clinic.duckdb"


# -- scripts -----------------------------------------------------------------------------------------------------------


def test_a_script_is_run_and_told_as_one_json_object(
    clinic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sql"
    script.write_text(f"{FILL}{MADE}SELECT count(*) AS n FROM coarse;\nSHOW ANONYMIZED RELEASES", encoding="utf-8")
    assert main(["sql", str(script), "--db", clinic, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["exit_status"] == 0
    assert [one["kind"] for one in told["results"]] == ["done", "released", "rows", "releases"]
    assert told["results"][2]["result"] == {"columns": ["n"], "types": ["BIGINT"], "rows": [[120]]}
    assert (told["results"][1]["line"], told["results"][1]["column"]) == (2, 1)


STATUSES = [
    ("SELECT 1 AS a", 0),
    ("CREATE OR REPLACE ANONYMIZED TABLE coarse AS TABLE patients WITH (k = 500, identifiers = (id),"
     " sensitive = (disease), quasi_identifiers = (age width (10)), method = 'full-domain')", 1),
    ("CHECK ANONYMIZATION OF patients WITH (k = 2, quasi_identifiers = (id))", 1),
    ("CREATE ANONYMIZED TABLE x AS TABLE nobody WITH (k = 5, quasi_identifiers = (a))", 2),
    ("CREATE ANONYMIZED TABLE x", 2),
    ("SELECT nix", 3),
]  # fmt: skip


def test_the_exit_status_is_that_of_the_first_failure(clinic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "-c", f"{FILL}{MADE}", "--db", clinic]) == 0
    for statement, status in STATUSES:
        assert main(["sql", "-c", statement, "--db", clinic]) == status, statement
    capsys.readouterr()
    assert main(["sql", "-c", "SELECT nix; SELECT 1 AS a", "--db", clinic, "--keep-going", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in told["results"]] == ["failed", "rows"]
    assert main(["sql", "-c", "SELECT 1", "script.sql", "--db", clinic]) == 2
    assert main(["sql", "missing.sql", "--db", clinic]) == 2


def test_a_script_may_begin_with_a_mark_of_its_encoding_and_have_lines_of_any_kind(
    clinic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.sql"
    script.write_bytes(b"\xef\xbb\xbfSHOW ANONYMIZED RELEASES;\r\n-- x\r\n;;\r\nSELECT\r\n  1 AS a -- end")
    assert main(["sql", str(script), "--db", clinic, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["results"]
    assert [(one["line"], one["column"], one["kind"]) for one in told] == [(1, 1, "releases"), (4, 1, "rows")]


def test_the_engines_own_words_are_shown_only_when_asked_for(clinic: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["sql", "-c", f"SELECT CAST('{SECRET}' AS integer)", "--db", clinic]
    assert main(wrong) == 3
    seen = capsys.readouterr()
    assert SECRET not in seen.out + seen.err and "1:" in seen.err and "ConversionException" in seen.err
    for how in ([], ["--json"]):
        assert main([*wrong, "--show-engine-errors", *how]) == 3
        seen = capsys.readouterr()
        assert SECRET in seen.err and SECRET not in seen.out


def test_a_script_comes_from_standard_input_and_is_one_transaction_when_asked(
    clinic: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{FILL}SELECT nix"))
    assert main(["sql", "--db", clinic, "--single-transaction"]) == 3
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n FROM duckdb_tables()"))
    assert main(["sql", "-", "--db", clinic, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["result"]["rows"] == [[0]]


def test_cells_that_hold_instructions_to_a_terminal_are_spelt_out(
    clinic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", "-c", "SELECT chr(27) || '[31mred' AS \"[bold]a\", NULL AS b", "--db", clinic]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\\x1b[31mred" in shown and "[bold]a" in shown and "NULL" in shown


# -- what is typed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "whole"), [
    ("SELECT 1;", True), ("SELECT 1", False), ("SELECT ';", False), ("SELECT ';';", True), ("SELECT 1; -- x", True),
    ("SELECT 1 -- ;", False), ("SELECT (1;", False), ("SELECT 1; SELECT", False), ("", True), ("\\d", True),
    ("/* ;", False), ('SELECT ";', False), ("CREATE ANONYMIZED TABLE a AS TABLE b\n WITH (k = 3);", True),
])  # fmt: skip
def test_a_statement_is_whole_when_it_has_ended(text: str, whole: bool) -> None:
    assert complete(text, "duckdb") is whole


def said(before: str) -> list[str]:
    there = Known({"patients": ("age", "zip"), "raw.visits": ("ward",)})
    return [word for word, _ in completions(before, there)]


def test_tables_columns_words_models_and_their_parameters_are_completed() -> None:
    assert said("SELECT * FROM pat")[:3] == ["patients", "patients.age", "patients.zip"]
    assert said("SELECT patients.z") == ["patients.zip"]
    assert said("SELECT * FROM raw.") == ["raw.visits"]
    assert said("CREATE ANON") == ["ANONYMIZED", "ANONYMIZATION"]
    assert "l_diversity" in said("WITH (k = 3, l_di")
    assert said("WITH (l_diversity(disease, ki")[0] == "kind"
    assert "quasi_identifiers" in said("WITH (k = 3, quas")
    assert said("SELECT ") == []


@pytest.fixture
def engine() -> Iterator[Engine]:
    with sqlanon.connect() as found:
        found.sql(FILL)
        yield found


def typed(engine: Engine, text: str, **how: Any) -> Shell:
    """A shell into which something was typed, until the end."""
    with create_pipe_input() as pipe:
        pipe.send_text(text)
        shell = Shell(engine, history=False, input=pipe, output=DummyOutput(), **how)
        assert shell.run() == 0
    return shell


def test_what_is_typed_over_several_lines_is_run_and_what_is_wrong_is_told(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(engine, "SELECT count(*) AS n\nFROM patients\n;\nSELECT nix;\n\\timing\nSELECT 7 AS seven;\n\\q\n")
    seen = capsys.readouterr()
    assert "120" in seen.out and "seven" in seen.out and "timing is on" in seen.out and " s\n" in seen.out
    assert "1:8: run the statement: the engine failed (BinderException)" in seen.err


def test_ctrl_c_takes_back_what_is_typed_and_ctrl_d_ends_the_shell(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(engine, "DELETE FROM patients\x03SELECT count(*) AS n FROM patients;\n\x04")
    assert "120" in capsys.readouterr().out


def test_the_prompt_tells_of_an_open_transaction(engine: Engine) -> None:
    shell = typed(engine, "\\q\n")
    assert shell.prompt == "duckdb> "
    shell.answer("BEGIN;")
    assert shell.prompt == "duckdb*> "
    shell.answer("ROLLBACK;")
    assert shell.prompt == "duckdb> "


def test_the_shell_describes_completes_and_helps(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    shell = typed(engine, "\\d\n\\d patients\n\\d nobody\n\\x\n\\?\n\x04")
    seen = capsys.readouterr()
    assert "patients" in seen.out and "disease" in seen.out and "CREATE [OR REPLACE] ANONYMIZED" in seen.out
    assert "there is no such table or view" in seen.err and "no such command" in seen.err
    found = shell.completer.get_completions(Document("SELECT count(di"), CompleteEvent())
    assert [(one.text, one.start_position) for one in found] == [("disease", -2), ("DISTINCT", -2)]
    shell.answer("CREATE TABLE dinner (a int);")
    found = shell.completer.get_completions(Document("SELECT * FROM din"), CompleteEvent())
    assert "dinner" in [one.text for one in found]


def test_what_was_typed_is_kept_where_nobody_else_reads_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = history_file()
    private(file).write_text("", encoding="utf-8")
    file.chmod(0o644)
    with create_pipe_input() as pipe:
        pipe.send_text(f"SELECT '{SECRET}' AS s;\n\\q\n")
        assert Shell(engine, input=pipe, output=DummyOutput()).run() == 0
    assert SECRET in file.read_text(encoding="utf-8")
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert oct(file.parent.stat().st_mode & 0o777) == "0o700"
    assert "with the literals in it" in capsys.readouterr().out
    file.unlink()
    typed(engine, f"SELECT '{SECRET}' AS s;\n\\q\n")
    assert not file.exists()


def test_who_has_no_folder_for_a_history_has_a_shell_without_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with create_pipe_input() as pipe:
        pipe.send_text("SELECT 7 AS seven;\n\\q\n")
        assert Shell(engine, input=pipe, output=DummyOutput()).run() == 0
    seen = capsys.readouterr().out
    assert "seven" in seen and "is kept in" not in seen


class Broken(Shell):
    """A shell in which running a statement fails as only a fault of ours can."""

    def statements(self, text: str) -> None:
        raise ValueError(SECRET)


def test_not_even_a_fault_of_our_own_ends_the_shell_and_its_words_are_not_shown(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_pipe_input() as pipe:
        pipe.send_text("SELECT 1;\n\\timing\n\\q\n")
        assert Broken(engine, history=False, input=pipe, output=DummyOutput()).run() == 0
    seen = capsys.readouterr()
    assert "ValueError" in seen.err and SECRET not in seen.err and "timing is on" in seen.out


def test_at_a_real_terminal_statements_are_typed_and_answered(clinic: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-m", "sqlanon", "sql", "--db", clinic]
    shell = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    try:
        until(ours, "clinic.duckdb>")
        os.write(ours, b"SELECT 6 * 7 AS answer;\r")
        assert "42" in until(ours, "(1 row)")
        os.write(ours, b"SELECT nothing\r  FROM")
        os.write(ours, b"\x03")
        os.write(ours, b"SELECT 'still' || ' here' AS s;\r")
        until(ours, "still here")
        os.write(ours, b"\\q\r")
        assert shell.wait(timeout=30) == 0
    finally:
        shell.kill()
        os.close(ours)


def until(terminal: int, words: str, seconds: float = 60) -> str:
    """What a terminal shows until these words are there; a question for the cursor's place is answered."""
    seen, end = "", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < end, seen
        if select.select([terminal], [], [], 0.2)[0]:
            part = os.read(terminal, 65536).decode(errors="replace")
            if "\x1b[6n" in part:
                os.write(terminal, b"\x1b[1;1R")
            seen += part
    return seen
