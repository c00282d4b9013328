"""Whatever goes wrong, the previous release stands, nothing half-made is shown, and no message holds a cell value."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlanon
from sqlanon import register
from sqlanon.engines.duckdb import DuckDB

releasing = importlib.import_module("sqlanon.release")  # `sqlanon.release` is the function
FORMS = {"table": "as: table", "view": "as: view", "parquet": "as: file, path: out.parquet",
         "duckdb": "as: file, path: out.duckdb"}  # fmt: skip
DATABASE = "people.duckdb"
CELL = "Alice Meyer"

# The command line in a process of its own, which says when the libraries are loaded and the work begins.
READY = "import sys; from sqlanon.cli import main; print('ready', flush=True); sys.exit(main(sys.argv[1:]))"
LIMITED = """
import resource, sys
from sqlanon.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""
HOLDING = """
import importlib, sys
from sqlanon.cli import main
releasing = importlib.import_module("sqlanon.release")
make = releasing.make
def wait(*given, **more):
    planned = make(*given, **more)
    print("ready", flush=True)
    sys.stdin.readline()
    return planned
releasing.make = wait
sys.exit(main(sys.argv[1:]))
"""
# Reads step numbers; for each, a child releases and is killed before that step of the publishing.
KILLED = """
import importlib, os, signal, sys
import sqlanon
from sqlanon.engines.duckdb import DuckDB
releasing = importlib.import_module("sqlanon.release")
make, step = releasing.make, DuckDB._step
left = [10**9]
def planned(*given, **more):
    found = make(*given, **more)
    left[0] = number
    return found
def counted(self, name):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, name)
releasing.make, DuckDB._step = planned, counted
for line in sys.stdin:
    number = int(line)
    child = os.fork()
    if child == 0:
        with sqlanon.connect("duckdb:///people.duckdb") as engine:
            sqlanon.release("spec.yaml", engine)
        os._exit(0)
    print(os.WIFSIGNALED(os.waitpid(child, 0)[1]), flush=True)
"""


def people(folder: Path, rows: int, form: str) -> Path:
    """A folder with a database, a spec, and a first release of it; returns the spec."""
    with duckdb.connect(str(folder / DATABASE)) as made:
        made.execute(
            "CREATE TABLE people AS SELECT i AS id, (hash(i) % 40)::INT AS age, lpad((hash(i + 1) % 300)::VARCHAR, 5,"
            f" '0') AS zip, 'd' || hash(i + 2) % 12 AS disease, hash(i + 3) % 1000 AS note FROM range({rows}) r(i)"
        )
    spec = folder / "spec.yaml"
    spec.write_text(
        "source: people\ncolumns:\n  id: identifier\n"
        "  age: {role: quasi-identifier, hierarchy: {width: [5, 10, 20, 40]}}\n"
        "  zip: {role: quasi-identifier, hierarchy: {mask: 5}}\n  disease: sensitive\n  note: insensitive\n"
        "privacy:\n  - {model: k-anonymity, k: 5}\n  - {model: l-diversity, column: disease, l: 2, kind: distinct}\n"
        f"recoding: {{suppression: 0.05}}\npublish: {{name: out, {FORMS[form]}}}\n"
    )
    with sqlanon.connect(f"duckdb:///{folder / DATABASE}") as engine:
        sqlanon.release(spec, engine)
    return spec


def state(folder: Path, form: str) -> tuple[Any, ...]:
    """What is published and what the register says, once it is sure that the two agree and that nothing else is there."""
    left = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    assert left <= {DATABASE, f"{DATABASE}.wal", "spec.yaml", "out.parquet", "out.duckdb"}, left
    with sqlanon.connect(f"duckdb:///{folder / DATABASE}") as engine:
        relations = sorted((s, n) for c, s, n, _ in engine._relations() if c not in ("system", "temp"))
        wanted = [("main", "people"), ("sqlanon", "release")] + ([("main", "out")] if form in ("table", "view") else [])
        assert relations == sorted(wanted)
        facts = sorted((e.version, e.status, e.digest) for e in register.entries(engine))
        assert [status for _, status, _ in facts] == ["superseded"] * (len(facts) - 1) + ["published"]
        file = folder / f"out.{form}"
        if form == "parquet":
            now = engine.digest(engine.reader(file), ["age", "zip", "disease", "note"])
            assert json.loads(engine.parquet_facts(file) or "{}")["digest"] == now, "the file is not what it says"
        elif form == "duckdb":
            with engine.attached(file) as catalog:
                now = engine.digest(f"{catalog}.main.out", ["age", "zip", "disease", "note"])
                (entry,) = register.entries(engine, catalog)
                assert entry.digest == now, "the file is not what it says"
        else:
            now = engine.digest("main.out", ["age", "zip", "disease", "note"])
        assert now == facts[-1][2], "the register and the release disagree"
        source = engine.digest("people", ["id", "age", "zip", "disease", "note"])
    return source, facts, file.read_bytes() if file.exists() else None


def begin(folder: Path, *words: str, code: str = READY) -> subprocess.Popen[str]:
    """A command line in a process of its own, once it is ready."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=folder, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ran(folder: Path, *words: str) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of the console script."""
    script = Path(sys.executable).with_name("sqlanon")
    done = subprocess.run([script, *words], cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


RELEASE = ("release", "spec.yaml", "--db", f"duckdb:///{DATABASE}", "--json")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A database whose release takes a while, with a first release in it, and the seconds that another one takes."""
    folder = tmp_path_factory.mktemp("large")
    people(folder, 300_000, "table")
    process, started = begin(folder, *RELEASE), time.monotonic()
    out, _ = process.communicate(timeout=120)
    assert json.loads(out)["version"] == 2
    return folder, time.monotonic() - started


def test_a_release_that_is_killed_at_any_moment_leaves_a_whole_release(large: tuple[Path, float]) -> None:
    folder, seconds = large
    killed = 0
    for moment in range(12):
        before = state(folder, "table")
        process = begin(folder, *RELEASE)
        time.sleep(seconds * (moment + 0.5) / 12)
        process.kill()
        process.communicate()
        after = state(folder, "table")
        assert after[0] == before[0], "the source was changed"
        if process.returncode == -signal.SIGKILL:
            killed += 1
        assert after == before or after[1][-1][0] == before[1][-1][0] + 1
    assert killed >= 6, f"only {killed} of 12 were killed before they had ended"


@pytest.mark.parametrize("form", FORMS)
def test_a_release_that_is_killed_before_any_step_leaves_a_whole_release(form: str, tmp_path: Path) -> None:
    people(tmp_path, 600, form)
    before = state(tmp_path, form)
    kept = tmp_path.with_name("kept")
    shutil.copytree(tmp_path, kept)
    pipe = subprocess.PIPE
    wrong, step = [], 0
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, text=True, stdin=pipe, stdout=pipe) as zygote:
        assert zygote.stdin is not None
        assert zygote.stdout is not None
        while True:
            zygote.stdin.write(f"{step}\n")
            zygote.stdin.flush()
            if zygote.stdout.readline() != "True\n":
                break
            try:
                assert state(tmp_path, form) == before
            except AssertionError as error:
                wrong.append(f"killed before step {step}: {str(error).splitlines()[0]}")
            shutil.rmtree(tmp_path)
            shutil.copytree(kept, tmp_path)
            step += 1
        zygote.stdin.close()
    assert step > 10
    assert state(tmp_path, form)[1][-1][0] == 2  # the last child was not killed
    assert not wrong, "\n".join(wrong)


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> Iterator[list[str]]:
    """The engine fails before its `number`th step; yields the steps that it was asked for."""
    asked: list[str] = []
    step = DuckDB._step

    def counted(self: DuckDB, name: str) -> Any:
        asked.append(name)
        if len(asked) == number + 1:
            raise error
        return step(self, name)

    with monkeypatch.context() as patched:
        patched.setattr(DuckDB, "_step", counted)
        yield asked


@pytest.mark.parametrize("error", [KeyboardInterrupt(), sqlanon.EngineError("a step", "IOException")], ids=type)
@pytest.mark.parametrize("form", FORMS)
def test_a_failure_at_any_step_publishes_nothing(
    form: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = people(tmp_path, 600, form)
    kept = tmp_path.with_name("kept")
    shutil.copytree(tmp_path, kept)
    before, wrong, number = state(tmp_path, form), [], 0
    with sqlanon.connect(f"duckdb:///{tmp_path / DATABASE}") as engine:
        planned = sqlanon.plan(spec, engine)
    monkeypatch.setattr(releasing, "make", lambda *given, **more: planned)
    while True:
        with sqlanon.connect(f"duckdb:///{tmp_path / DATABASE}") as engine:
            with failing(monkeypatch, number, error) as asked:
                try:
                    sqlanon.release(spec, engine)
                except type(error):
                    pass
                else:
                    break
        hidden = [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
        try:
            assert state(tmp_path, form) == before
            assert not hidden, f"left behind: {hidden}"
        except AssertionError as found:
            wrong.append(f"before step {number} ({asked[-1]}): {str(found).splitlines()[0]}")
            shutil.rmtree(tmp_path)
            shutil.copytree(kept, tmp_path)
        number += 1
    assert number > 10
    assert not wrong, "\n".join(wrong)


def test_an_interrupted_release_says_so_and_publishes_nothing(large: tuple[Path, float]) -> None:
    folder, seconds = large
    before, share, done = state(folder, "table"), 0.5, (0, "", "")
    while done[0] == 0 and share > 0.05:
        process = begin(folder, *RELEASE)
        time.sleep(seconds * share)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        done, share = (process.returncode, out, err), share / 2
        if process.returncode == 0:  # it was done before the signal came
            before = state(folder, "table")
    assert state(folder, "table") == before
    assert done[0] == 3
    assert "interrupted; nothing was published" in done[2]
    assert "interrupted" in json.loads(done[1])["message"]


def test_an_interrupt_after_the_release_does_not_deny_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sqlanon import cli

    people(tmp_path, 600, "table")
    monkeypatch.chdir(tmp_path)

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_show_release", interrupted)
    assert cli.main(list(RELEASE[:-1])) != 0
    assert len(state(tmp_path, "table")[1]) == 2
    assert "nothing was published" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "limit"),
    [("table", 20_000), ("table", 400_000), ("view", 4_096), ("parquet", 20_000), ("parquet", 60_000),
     ("duckdb", 8_192), ("duckdb", 300_000)],
)  # fmt: skip
def test_a_full_disk_leaves_the_previous_release(form: str, limit: int, tmp_path: Path) -> None:
    people(tmp_path, 20_000, form)
    before = state(tmp_path, form)
    words = [sys.executable, "-c", LIMITED, str(limit), *RELEASE]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3
    assert "the disk is full; nothing was published" in json.loads(done.stdout)["message"]
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert state(tmp_path, form) == before
    assert ran(tmp_path, *RELEASE)[0] == 0
    assert len(state(tmp_path, form)[1]) == 2


def test_of_two_publishers_at_once_the_second_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    people(tmp_path, 600, "table")
    first = begin(tmp_path, *RELEASE, code=HOLDING)
    for words in (RELEASE, RELEASE[:-1], ("releases", *RELEASE[2:]), ("verify", "out", *RELEASE[2:-1])):
        status, out, err = ran(tmp_path, *words)
        assert status == 3
        assert "locked by another process" in err
        assert f"PID {first.pid}" in err
        assert out == "" or str(first.pid) in json.loads(out)["message"]
    out, _ = first.communicate("go on\n", timeout=60)
    assert first.returncode == 0
    assert json.loads(out)["version"] == 2
    assert len(state(tmp_path, "table")[1]) == 2


def source(folder: Path, kind: str) -> str:
    """A file that cannot be read to its end, and its name."""
    if kind == "late":  # the sniffer reads 20,480 rows, and finds only numbers
        rows = "".join(f"{i},{i % 50},d{i % 4}\n" for i in range(21_000))
        (folder / "s.csv").write_text(f"id,age,disease\n{rows}21000,{CELL},d1\n")
    elif kind == "ragged":
        rows = "".join(f"{i},{i % 50},d{i % 4}\n" for i in range(21_000))
        (folder / "s.csv").write_text(f"id,age,disease\n{rows}21000,1,{CELL},x,y\n")
    elif kind == "not utf-8":
        (folder / "s.csv").write_bytes(f"id,age,disease\n1,2,{CELL} M\xfcller\n".encode("latin-1"))
    elif kind == "truncated":
        duckdb.sql(f"SELECT i AS id, i % 50 AS age, '{CELL}' || i AS disease FROM range(5000) r(i)").write_parquet(
            str(folder / "s.parquet")
        )
        whole = (folder / "s.parquet").read_bytes()
        (folder / "s.parquet").write_bytes(whole[: len(whole) // 2])
    elif kind == "garbage":
        (folder / "s.parquet").write_bytes(CELL.encode() * 1000)
    return "s.csv" if (folder / "s.csv").exists() else "s.parquet"


@pytest.mark.parametrize("kind", ["late", "ragged", "not utf-8", "truncated", "garbage"])
def test_a_source_that_cannot_be_read_ends_in_a_sentence_without_its_cells(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from sqlanon.cli import main

    name = source(tmp_path, kind)
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"source: {name}\ncolumns: {{id: identifier, age: quasi-identifier, disease: sensitive}}\n"
        "privacy: [{model: k-anonymity, k: 2}]\npublish: {name: out, as: file}\n"
    )
    for words in (["release", str(spec)], ["release", str(spec), "--json"], ["plan", str(spec)],
                  ["check", str(tmp_path / name), "--qi", "age", "--sensitive", "disease"],
                  ["init", str(tmp_path / name)]):  # fmt: skip
        assert main(words) == 3, words
        out, err = capfd.readouterr()
        assert "the engine failed" in err
        assert CELL.split()[0] not in out + err
        assert "internal error" not in err
        assert not out or json.loads(out)["exit_status"] == 3
    with sqlanon.connect() as engine, pytest.raises(sqlanon.EngineError) as caught:
        sqlanon.release(spec, engine)
    assert CELL.split()[0] not in "".join(traceback.format_exception(caught.value))
    assert not (tmp_path / "out.parquet").exists()


def test_a_missing_source_is_a_mistake_in_the_spec_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("a\n1\n")
    spec = tmp_path / "my.yaml"
    for named, near in (("patiens.csv", "patients.csv"), ("patients", None)):
        spec.write_text(f"source: {named}\ncolumns: {{a: quasi-identifier}}\nprivacy: [{{model: k-anonymity, k: 1}}]\n")
        status, out, err = ran(tmp_path, "plan", "my.yaml", "--json")
        assert (status, json.loads(out)["error"]) == (2, "SpecError")
        assert near is None or f"did you mean '{near}'?" in err
    status, _, err = ran(tmp_path, "plan", "mi.yaml")
    assert (status, "did you mean 'my.yaml'?" in err) == (2, True)


@pytest.mark.parametrize("kind", ["garbage", "folder"])
def test_what_is_no_database_is_refused_and_left_as_it_is(kind: str, tmp_path: Path) -> None:
    people(tmp_path, 600, "table")
    wrong = tmp_path / "wrong.duckdb"
    wrong.write_bytes(b"no database" * 1000) if kind == "garbage" else wrong.mkdir()
    status, out, err = ran(tmp_path, "release", "spec.yaml", "--db", "duckdb:///wrong.duckdb", "--json")
    assert (status, json.loads(out)["error"]) == (3, "EngineError")
    assert "open the database" in err
    assert list(wrong.iterdir()) == [] if kind == "folder" else wrong.read_bytes() == b"no database" * 1000
