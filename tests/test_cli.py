"""The command line as people and programs call it: exit statuses, what is printed where, and every command's effect."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet
import pytest
import yaml

from sqlanon import register
from sqlanon.cli import main

DB = ("--db", "duckdb:///clinic.duckdb")
FORMS = {"table": "as: table", "view": "as: view", **{f: f"as: file, path: out.{f}" for f in ("parquet", "duckdb")}}


class Ran(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> Any:
        """The one JSON object that stands alone on standard output."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def words(self) -> str:
        """Standard output, however the lines are broken."""
        return " ".join(self.out.split())


Cli = Callable[..., Ran]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        capfd.readouterr()
        return Ran(main(list(words)), *capfd.readouterr())

    return run


def spec(publish: str = "as: table", k: int = 5, source: str = "people") -> None:
    """Writes a spec for the table `people`."""
    Path("spec.yaml").write_text(
        f"source: {source}\ncolumns:\n  id: identifier\n"
        "  age: {role: quasi-identifier, hierarchy: {width: [10, 40]}}\n"
        "  zip: {role: quasi-identifier, hierarchy: {mask: 5}, type: text}\n  disease: sensitive\n  note: insensitive\n"
        f"privacy: [{{model: k-anonymity, k: {k}}}, {{model: l-diversity, column: disease, l: 2, kind: entropy}}]\n"
        f"recoding: {{method: full-domain, suppression: 0.05}}\npublish: {{name: out, {publish}}}\n"
    )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small database, in which many ages and diseases are missing, to be copied."""
    file = tmp_path_factory.mktemp("people") / "clinic.duckdb"
    with duckdb.connect(str(file)) as made:
        made.execute(
            "CREATE TABLE people AS SELECT i AS id, CASE WHEN i % 9 > 0 THEN 20 + i * 7 % 40 END AS age, '1' || lpad("
            "(i * 13 % 60)::VARCHAR, 4, '0') AS zip, CASE WHEN i % 11 > 0 THEN 'd' || i % 5 END AS disease,"
            " i * 3 % 17 AS note FROM range(400) r(i)"
        )
    return file


@pytest.fixture
def clinic(cli: Cli, people: Path) -> Cli:
    """The same in a folder with that database and a spec for it."""
    shutil.copy(people, "clinic.duckdb")
    spec()
    return cli


def rows(sql: str, file: str = "clinic.duckdb") -> list[tuple[Any, ...]]:
    with duckdb.connect(file) as made:
        return made.sql(sql).fetchall()


def released(form: str) -> Counter[tuple[Any, ...]]:
    """The published rows, in no order."""
    if form == "duckdb":
        return Counter(rows("FROM out", "out.duckdb"))
    return Counter(duckdb.sql("FROM 'out.parquet'").fetchall() if form == "parquet" else rows("FROM out"))


FAILURES = [
    (1, "release spec.yaml", "k = 401 is larger than the table"),
    (1, "plan spec.yaml", "nothing was published"),
    (2, "plan", "SPEC"),
    (2, "check people", "--qi"),
    (2, "plam spec.yaml", "did you mean 'plan'"),
    (2, "plan spec.yaml --jsom", "--json"),
    (2, "plan spec.yaml --time-limit soon", "--time-limit"),
    (2, "plan spek.yaml", "did you mean 'spec.yaml'?"),
    (2, "check peple --qi age", "did you mean 'people'?"),
    (2, "check people --qi aeg", "did you mean 'age'?"),
    (2, "check people --qi age --model k-anonimity(k=2)", "did you mean 'k-anonymity'?"),
    (2, "init people -o spec.yaml", "was not touched"),
    (2, "verify out", "there is no release 'out'"),
    (2, "verify out.parquet", "there is no file out.parquet"),
    (3, "check broken.parquet --qi a", "the engine failed"),
    (3, "releases --db duckdb:///broken.duckdb", "open the database"),
    (3, "release spec.yaml --db duckdb:///.", "open the database"),
    (2, "releases --db mysql://here", "--db"),
    (2, "release spec.yaml --db duckdb://", "in memory would be gone"),
]


@pytest.mark.parametrize(("status", "line", "told"), FAILURES, ids=[line for _, line, _ in FAILURES])
def test_a_failure_is_one_sentence_and_one_object(status: int, line: str, told: str, clinic: Cli) -> None:
    spec(k=401)
    Path("broken.parquet").write_bytes(b"PAR1 no PAR1")
    Path("broken.duckdb").write_bytes(b"no database" * 1000)
    words = line.split(" ") + ([] if "--db" in line else list(DB))
    ran, machine = clinic(*words), clinic(*words, "--json")
    assert (ran.status, machine.status) == (status, status)
    assert machine.said["exit_status"] == status
    assert set(machine.said) >= {"error", "message", "models"}
    assert ran.out == ""
    assert ran.err.startswith("sqlanon: ")
    for text in (ran.err, machine.said["message"]):
        assert told.lower() in text.lower()
        assert not re.search("Traceback|internal error", text)
    assert rows("SELECT count(*) FROM people") == [(400,)]


@pytest.mark.parametrize(("form", "source"), [*zip(FORMS, ["people", "people.csv"] * 2, strict=True)])
def test_the_sql_of_a_plan_runs_by_itself_and_makes_the_released_rows(form: str, source: str, clinic: Cli) -> None:
    rows("COPY people TO 'people.csv'")
    spec(FORMS[form], source=source)
    printed = clinic("plan", "spec.yaml", *DB, "--sql")
    assert (printed.status, printed.err) == (0, "")
    Path("other").mkdir()
    shutil.copy("clinic.duckdb", "other/clinic.duckdb")  # a name is part of the SQL
    with duckdb.connect("other/clinic.duckdb" if source == "people" else ":memory:") as fresh:
        made = Counter(fresh.execute(printed.out).fetchall())
        if form in ("table", "view"):
            made = Counter(fresh.sql("FROM out").fetchall())
    assert clinic("plan", "spec.yaml", *DB, "--sql", "--json").said["sql"] == printed.out.rstrip("\n")
    assert clinic("release", "spec.yaml", *DB, "--json").status == 0
    assert made == released(form)
    assert sum(made.values()) > 300


def test_missing_values_are_values_of_their_own(cli: Cli) -> None:
    Path("t.csv").write_text("a,s\n" + "1,x\n" * 3 + ",y\n" * 4 + ",\n")
    found = cli("check", "t.csv", "--qi", "a", "--sensitive", "s", "--json").said
    assert (found["rows"], found["classes"]) == (8, 2)
    told = {m["model"]: m["value"] for m in found["models"] if m["parameters"].get("kind") in (None, "distinct")}
    assert (told["k-anonymity"], told["l-diversity"]) == (3, 1)
    text = "source: t.csv\ncolumns: {a: quasi-identifier, s: sensitive}\nprivacy: [{model: k-anonymity, k: 3}]\n"
    text += "recoding: {method: full-domain}\n"
    Path("s.yaml").write_text(f"{text}publish: {{name: out, as: file}}\n")
    assert cli("release", "s.yaml", "--json").status == 0
    assert released("parquet") == {(1, "x"): 3, (None, "y"): 4, (None, None): 1}


def test_a_plan_changes_nothing(clinic: Cli) -> None:
    before = {p.name: p.read_bytes() for p in Path().iterdir()}
    for words in ("plan spec.yaml", "plan spec.yaml --sql", "check people --qi age", "init people", "releases"):
        assert clinic(*words.split(), *DB).status == 0
        assert {p.name: p.read_bytes() for p in Path().iterdir()} == before


READING = ["plan spec.yaml", "check people.csv --qi age", "init people.csv", "releases", "verify out", "withdraw out"]


@pytest.mark.parametrize("words", READING)
def test_a_command_that_publishes_nothing_makes_no_database(words: str, clinic: Cli) -> None:
    rows("COPY people TO 'people.csv'")
    spec(source="people.csv")
    clinic(*words.split(), "--db", "duckdb:///typo.duckdb")
    assert not Path("typo.duckdb").exists()


def test_a_proposed_spec_runs_from_another_folder_too(clinic: Cli) -> None:
    Path("data").mkdir()
    Path("specs").mkdir()
    rows("COPY people TO 'data/people.csv'")
    assert clinic("init", "data/people.csv", "-o", "specs/people.yaml").status == 0
    assert clinic("plan", "specs/people.yaml").status == 0


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the spec that was proposed before."""
    return tmp_path_factory.mktemp("proposals")


@pytest.mark.parametrize("form", FORMS)
def test_a_release_lives_from_init_to_withdrawal(form: str, clinic: Cli, proposals: Path) -> None:
    if not (kept := proposals / "proposed.yaml").exists():  # the same for every form
        assert clinic("init", "people", "-o", "proposed.yaml", *DB).status == 0
        assert clinic("plan", "proposed.yaml", *DB).status == 0
        shutil.copy("proposed.yaml", kept)
    proposed = yaml.safe_load(kept.read_text())
    proposed["publish"] = yaml.safe_load(f"{{name: out, {FORMS[form]}}}")
    Path("mine.yaml").write_text(yaml.safe_dump(proposed, sort_keys=False))
    before = rows("FROM people ORDER BY id")
    for version in (1, 2):
        assert clinic("release", "mine.yaml", *DB, "--json").said["version"] == version
        checked = clinic("verify", "out", *DB, "--json")
        assert (checked.status, checked.said["holds"]) == (0, True)
        assert checked.said["unchanged"] is (None if form == "view" else True)
        assert checked.said["rows"] == sum(released(form).values()) > 0
    told = clinic("releases", *DB, "--json").said["releases"]
    assert [(e["version"], e["status"]) for e in told] == [(2, "published"), (1, "superseded")]
    assert clinic("withdraw", "out", *DB, "--json").said["status"] == "withdrawn"
    assert clinic("verify", "out", *DB).status == 2 == clinic("withdraw", "out", *DB).status
    assert "withdrawn" in clinic("releases", *DB).words
    assert not Path(f"out.{form}").exists()
    assert {name for (name,) in rows("SHOW TABLES")} == {"people"}
    assert rows("FROM people ORDER BY id") == before


def tamper(form: str, change: str) -> None:
    """Changes a cell that is no quasi-identifier, or adds a row that is there already."""
    if form == "parquet":
        table = pyarrow.parquet.read_table("out.parquet")  # with the manifest
        kept = table if change == "added" else table.slice(1)
        pyarrow.parquet.write_table(pyarrow.concat_tables([kept, table.slice(1, 1)]), "out.parquet")
    else:
        edit = {"changed": "UPDATE out SET note = 99 WHERE rowid = 3", "added": "INSERT INTO out FROM out LIMIT 1"}
        rows(edit[change], "clinic.duckdb" if form == "table" else "out.duckdb")


@pytest.mark.parametrize("change", ["changed", "added"])
@pytest.mark.parametrize("form", ["table", "parquet", "duckdb"])
def test_a_tampered_release_is_found_out(form: str, change: str, clinic: Cli) -> None:
    spec(FORMS[form])
    assert clinic("release", "spec.yaml", *DB).status == 0
    names = [("out", *DB)] + ([] if form == "table" else [(f"out.{form}",)])
    assert [clinic("verify", *name).status for name in names] == [0] * len(names)
    tamper(form, change)
    for name in names:
        ran, machine = clinic("verify", *name), clinic("verify", *name, "--json")
        assert (ran.status, machine.status) == (1, 1)
        assert (machine.said["unchanged"], machine.said["holds"]) == (False, False)
        assert "not those that were judged" in ran.words


@pytest.mark.parametrize("form", FORMS)
def test_verify_and_the_register_name_the_same_version(form: str, clinic: Cli) -> None:
    spec(FORMS[form])
    for version in (1, 2):
        clinic("release", "spec.yaml", *DB)
        assert clinic("releases", *DB, "--json").said["releases"][0]["version"] == version
        assert clinic("verify", "out", *DB, "--json").said["version"] == version


def test_a_file_that_is_no_release_is_not_verified_and_not_replaced(clinic: Cli) -> None:
    rows("COPY people TO 'out.parquet'")
    rows("CREATE TABLE t AS SELECT 1", "out.duckdb")
    for form in ("parquet", "duckdb"):
        before = Path(f"out.{form}").read_bytes()
        spec(FORMS[form])
        assert clinic("verify", f"out.{form}").status == 2
        assert clinic("release", "spec.yaml", *DB).status == 2
        assert Path(f"out.{form}").read_bytes() == before


@pytest.mark.parametrize("form", FORMS)
def test_an_expired_release_is_flagged(form: str, clinic: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    spec(f"{FORMS[form]}, expires: 2h")
    assert clinic("release", "spec.yaml", *DB).status == 0
    for hours, expired in ((1, False), (2, True)):
        later = register.now() + timedelta(hours=hours)
        monkeypatch.setattr(register, "now", lambda later=later: later)
        assert [e["expired"] for e in clinic("releases", *DB, "--json").said["releases"]] == [expired]
        assert ("(expired)" in clinic("releases", *DB).words) is expired
        assert clinic("verify", "out", *DB, "--json").said["expired"] is expired
        assert ("has expired" in clinic("verify", "out", *DB).words) is expired


AGE, ILL, TABLE, OUT = 'age "q"; DROP TABLE t; -- \'[/]', "[bold]ill[/x]", "a'b\"; [/red] $x {y}", "out'\" [/red] --"
HOSTILE = {
    "plan": ["plan", "s.yaml", *DB],
    "plan --sql": ["plan", "s.yaml", "--sql", *DB],
    "release": ["release", "s.yaml", *DB],
    "check": ["check", TABLE, "--qi", AGE, "--sensitive", ILL, "--model", "k-anonymity(k=2)", *DB],
    "risk": ["risk", TABLE, "--qi", AGE, "--qi", ILL, "--suda", "--safe-harbor", "--population", TABLE, *DB],
    "init": ["init", TABLE, *DB],
    "verify": ["verify", OUT, *DB],
    "releases": ["releases", *DB],
    "withdraw": ["withdraw", OUT, *DB],
}


@pytest.fixture(scope="module")
def released_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what `hostile` has made before."""
    return tmp_path_factory.mktemp("hostile")


def hostile(cli: Cli, kept: Path, *more: str) -> None:
    """A table whose names are made to break SQL, YAML and the markup of the terminal, released once."""
    if (there := kept / "-".join(more).encode().hex()).exists():
        shutil.copytree(there, ".", dirs_exist_ok=True)
        return
    named = {AGE: "i % 7", ILL: "'d' || i % 3", **dict.fromkeys(more, "'w' || i % 2")}
    listed = ", ".join(f'{value} AS "{name.replace(chr(34), chr(34) * 2)}"' for name, value in named.items())
    rows(f'CREATE TABLE "{TABLE.replace(chr(34), chr(34) * 2)}" AS SELECT {listed} FROM range(210) r(i)')
    columns: dict[str, Any] = {AGE: {"role": "quasi-identifier", "hierarchy": {"width": [2]}}, ILL: "sensitive"}
    columns |= dict.fromkeys(more, "quasi-identifier")
    models = [{"model": "k-anonymity", "k": 2}, {"model": "l-diversity", "column": ILL, "kind": "distinct", "l": 2}]
    told = {"source": {"table": TABLE}, "columns": columns, "privacy": models, "publish": {"name": OUT}}
    Path("s.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    assert cli("release", "s.yaml", *DB, "--json").status == 0
    shutil.copytree(".", there)


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["people", "machines"])
@pytest.mark.parametrize("command", HOSTILE)
def test_no_name_breaks_a_command(command: str, json: list[str], cli: Cli, released_once: Path) -> None:
    hostile(cli, released_once, "Ü\u202e🙂 ⅷ")
    ran = cli(*HOSTILE[command], *json)
    assert (ran.status, ran.err) == (0, "")
    assert not json or ran.said


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred"])
def test_a_line_break_or_an_escape_code_in_a_name_does_no_harm(name: str, cli: Cli, released_once: Path) -> None:
    hostile(cli, released_once, name)
    for command, words in HOSTILE.items():
        ran = cli(*words)
        assert (ran.status, ran.err) == (0, "")
        assert "\x1b" not in ran.out or command in ("init", "plan --sql")  # SQL and YAML hold names as they are


def script(*words: str) -> subprocess.Popen[str]:
    """The console script in a process of its own, without a terminal."""
    file, pipe = Path(sys.executable).with_name("sqlanon"), subprocess.PIPE
    return subprocess.Popen([file, *words], text=True, stdout=pipe, stderr=pipe)


def test_the_console_script_shows_no_colours_and_no_progress_without_a_terminal(clinic: Cli) -> None:
    with script("release", "spec.yaml", *DB) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not {"\x1b", "\r"} & {*out, *err}
    others = [["plan", "spec.yaml", *DB, "--json"], ["plan", "nothing.yaml"]]
    run = f"from sqlanon.cli import main; assert [main(words) for words in {others}] == [0, 2]"
    both = subprocess.run([sys.executable, "-c", run], text=True, capture_output=True, timeout=60, check=False)
    assert both.returncode == 0
    assert both.stdout.startswith("{")
    assert "nothing.yaml" in both.stderr
    assert not {"\x1b", "\r"} & {*both.stdout, *both.stderr}


def test_a_reader_that_goes_away_is_no_failure(clinic: Cli) -> None:
    with script("plan", "spec.yaml", *DB) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def test_names_are_not_broken_where_the_output_is_no_terminal(clinic: Cli) -> None:
    name = "patients_of_the_northern_district_2025"
    Path("spec.yaml").write_text(Path("spec.yaml").read_text().replace("name: out", f"name: {name}"))
    assert clinic("release", "spec.yaml", *DB).status == 0
    assert name in clinic("releases", *DB).out
