"""Whatever goes wrong, the previous release stands, nothing half-made is shown, and no message holds a cell value."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

import sqlanon
import sqlanon_start
from sqlanon import register
from sqlanon.cli import main
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError, SqlanonError
from sqlanon.showing import releases

releasing = importlib.import_module("sqlanon.release")  # `sqlanon.release` is the function
FORMS = {"table": "as: table", "view": "as: view", **{f: f"as: file, path: out.{f}" for f in ("parquet", "duckdb")}}
OURS = [("sqlanon", "audit_log"), ("sqlanon", "release")]
COLUMNS = ["age", "zip", "disease", "note"]
CELL = "Alice Meyer"
RELEASE = ["release", "spec.yaml", "--db", "duckdb:///people.duckdb"]

# Releases in processes that are forked once everything is loaded. An order is a folder, the step of publishing before
# which the child kills itself (-1: none; steps that only read are not counted), and the size beyond which it can write
# no file (0: none). The answers are the child's process id, then its exit status.
FORKING = """
import importlib, json, os, resource, signal, sys
import sqlanon
from sqlanon import cli
from sqlanon.engines.duckdb import DuckDB
releasing = importlib.import_module("sqlanon.release")
step, left, plans = DuckDB._step, [-2], {}
def planned(*given, **more):
    left[0] = number
    return plans[folder]
def counted(self, name):
    left[0] -= not name.startswith(("read", "digest"))
    if left[0] == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, name)
def redirect(number, file):
    os.dup2(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
answers = os.fdopen(os.dup(1), "w", buffering=1)
redirect(1, os.devnull)
for line in sys.stdin:
    folder, number, limit = json.loads(line)
    os.chdir(folder)
    if folder not in plans:
        with sqlanon.connect("duckdb:///people.duckdb") as engine:
            plans[folder] = sqlanon.plan("spec.yaml", engine)
        cli.main(["verify", "out", *sys.argv[3:]])
        sys.stdout.flush()
    child = os.fork()
    if child == 0:
        redirect(1, "../out")
        redirect(2, "../err")
        if number >= 0:
            releasing.make, DuckDB._step = planned, counted
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        status = cli.main(sys.argv[1:])
        sys.stdout.flush()
        os._exit(status)
    print(child, file=answers)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)
"""


def people(folder: Path, rows: int, form: str) -> Path:
    """A new folder with a database, a spec, a first release, and reasons for a second one."""
    folder.mkdir()
    with duckdb.connect(str(folder / "people.duckdb")) as new:
        new.execute(
            "CREATE TABLE people AS SELECT i AS id, (hash(i) % 40)::INT AS age, lpad((hash(i + 1) % 300)::VARCHAR, 5,"
            f" '0') AS zip, 'd' || hash(i + 2) % 12 AS disease, hash(i + 3) % 1000 AS note FROM range({rows}) r(i)"
        )
    spec = folder / "spec.yaml"
    spec.write_text(
        "source: people\ncolumns:\n  id: identifier\n"
        "  age: {role: quasi-identifier, hierarchy: {width: [5, 10, 20, 40]}}\n"
        "  zip: {role: quasi-identifier, hierarchy: {mask: 5}}\n  disease: sensitive\n  note: insensitive\n"
        "privacy:\n  - {model: k-anonymity, k: 5}\n  - {model: l-diversity, column: disease, l: 2, kind: distinct}\n"
        f"recoding: {{method: full-domain, suppression: 0.05}}\npublish: {{name: out, {FORMS[form]}}}\n"
    )
    with connect(folder) as engine:
        sqlanon.release(spec, engine)
        engine.run("go on", "DELETE FROM people WHERE id % 50 = 0")  # so that the next release is another one
    return folder


def connect(folder: Path) -> DuckDB:
    """The database of a folder; what is so small is read by one thread, which is quicker."""
    engine = sqlanon.connect(f"duckdb:///{folder / 'people.duckdb'}")
    engine.run("set the threads", "SET threads = 1")
    return engine


Made = Callable[[int, str], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Folders as `people` makes them, to be copied: each is made once."""
    return cache(lambda rows, form: people(tmp_path_factory.mktemp("made") / form, rows, form))


class State(NamedTuple):
    """What there is to be read: digests and bytes that tell whether it is the same as before."""

    source: str
    released: str
    versions: list[int]
    file: bytes | None


def state(folder: Path, form: str, reading: DuckDB | None = None) -> State:
    """What is published; fails unless the register agrees with it and nothing else is there to be read."""
    left = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    assert left <= {"people.duckdb", "people.duckdb.wal", "spec.yaml", "out.parquet", "out.duckdb"}, left
    file = folder / f"out.{form}"
    with nullcontext(reading) if reading else connect(folder) as engine:
        found = sorted((s, n) for c, s, n, _ in engine._relations() if c not in ("system", "temp"))
        assert found == [("main", "out")] * (not file.exists()) + [("main", "people"), *OURS]
        entries = sorted(register.entries(engine), key=lambda e: e.version)
        assert [e.status for e in entries] == ["superseded"] * (len(entries) - 1) + ["published"]
        if form == "parquet":
            now, told = engine.digest(engine.reader(file), COLUMNS), engine.parquet_facts(file)
            assert json.loads(told or "{}")["digest"] == now, "the file is not what it says"
        elif form == "duckdb":
            with engine.attached(file) as catalog:
                now, (entry,) = engine.digest(f"{catalog}.main.out", COLUMNS), register.entries(engine, catalog)
                assert entry.digest == now, "the file is not what it says"
        else:
            now = engine.digest("main.out", COLUMNS)
        assert form == "view" or now == entries[-1].digest, "the register and the release disagree"
        source, versions = engine.digest("people", ["id", *COLUMNS]), [e.version for e in entries]
    return State(source, now, versions, file.read_bytes() if file.exists() else None)


def restore(kept: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)


def looked(folder: Path, form: str, reading: DuckDB | None = None) -> State | str:
    """What is published, or what is wrong with it."""
    try:
        return state(folder, form, reading)
    except AssertionError as error:
        return str(error).splitlines()[0]


def problem(now: State | str, expected: State) -> str | None:
    """What is wrong with what is published, if it is not this."""
    if isinstance(now, str):
        return now
    return None if now == expected else f"versions {now.versions}"


Ran = tuple[int, str, str]  # the exit status, standard output and standard error of a release
Fork = Callable[..., Ran]


@pytest.fixture(scope="module")
def fork() -> Iterator[Fork]:
    """Runs a release to which something happens."""
    command, pipe = [sys.executable, "-c", FORKING, *RELEASE, "--json"], subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as process:

        def run(folder: Path, step: int = -1, limit: int = 0, after: float = 0, send: int = signal.SIGKILL) -> Ran:
            assert process.stdin and process.stdout
            print(json.dumps([str(folder), step, limit]), file=process.stdin, flush=True)
            child = int(process.stdout.readline())
            if after:
                time.sleep(after)
                with suppress(ProcessLookupError):  # it may have ended
                    os.kill(child, send)
            status = int(process.stdout.readline())
            out, err = ((folder.parent / name).read_text() for name in ("out", "err"))
            assert "Traceback" not in out + err
            return status, out, err

        yield run


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose release takes a while."""
    return people(tmp_path_factory.mktemp("large") / "now", 40_000, "table")


def test_a_release_that_is_killed_at_any_moment_leaves_a_whole_release(large: Path, fork: Fork) -> None:
    assert fork(large)[0] == 0  # the first one is slower
    started = time.monotonic()
    assert fork(large)[0] == 0
    seconds, killed, before = time.monotonic() - started, 0, state(large, "table")
    for moment in range(12):
        status, *_ = fork(large, after=seconds * (moment + 0.5) / 12)
        now = state(large, "table")
        assert now.source == before.source, "the source was changed"
        assert now == before or len(now.versions) == len(before.versions) + 1
        killed, before = killed + (status == -signal.SIGKILL), now
        seconds *= 1 if status else 0.8  # it had ended already
    assert killed >= 6, f"only {killed} of 12 were killed before they had ended"


# A file and its line in the register cannot be written in one step: the commit may stand between them, and no more.
UNAVOIDABLE = {"parquet": 1, "duckdb": 1}


@pytest.mark.parametrize("form", ["table", "parquet", "duckdb"])  # a view is one transaction, as a table is
def test_a_release_that_is_killed_before_any_step_leaves_a_whole_release(
    form: str, tmp_path: Path, made: Made, fork: Fork
) -> None:
    kept, folder = made(600, form), tmp_path / "now"
    restore(kept, folder)
    before, wrong, step = state(folder, form), {}, 0
    while fork(folder, step)[0] == -signal.SIGKILL:
        now = looked(folder, form)
        if isinstance(now, State) and len(now.versions) == 2:  # a whole new release is as good
            before = now
        if found := problem(now, before):
            wrong[step] = found
            restore(kept, folder)
        step += 1
    assert step > 5
    assert len(state(folder, form).versions) > 1  # the last one was not killed
    assert len(wrong) <= UNAVOIDABLE.get(form, 0), f"killed before a step of {step}: {wrong}"


def moments(steps: list[str]) -> list[int]:
    """The steps that are something else to fail at: what only reads is read once between one write and the next."""
    found, seen = [], set[str]()
    for number, name in enumerate(steps):
        if not name.startswith("read "):
            seen.clear()
        if name not in seen:
            seen.add(name)
            found.append(number)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_failure_at_any_step_publishes_nothing(
    form: str, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, folder = made(600, form), tmp_path / "now"
    restore(kept, folder)
    before, wrong, fatal = state(folder, form), dict[str, str | None](), -1
    with connect(folder) as engine:
        planned = sqlanon.plan(folder / "spec.yaml", engine)
    monkeypatch.setattr(releasing, "make", lambda *given, **more: planned)
    asked, step, error = list[str](), DuckDB._step, BaseException()

    def failing(self: DuckDB, name: str) -> Any:
        asked.append(name)
        if len(asked) == fatal + 1:
            raise error
        return step(self, name)

    def released() -> BaseException | None:
        """What a release ends with that fails before the step `fatal`."""
        with connect(folder) as engine, monkeypatch.context() as patched:
            asked.clear()
            patched.setattr(DuckDB, "_step", failing)
            try:
                sqlanon.release(folder / "spec.yaml", engine)
            except (KeyboardInterrupt, sqlanon.EngineError) as raised:
                return raised
        return None

    assert released() is None
    steps = list(asked)
    restore(kept, folder)
    reading = connect(folder)
    for tried, number in enumerate(moments(steps)):
        fatal, error = number, sqlanon.EngineError("a step", "IOException") if tried % 2 else KeyboardInterrupt()
        raised = released()  # while the file is open from the last look, which is quicker
        reading.close()  # the last connection: what is read now was on the disk
        reading = connect(folder)
        assert asked[number] == steps[number]
        other = f"{error!r} became {raised!r}" if type(raised) is not type(error) else None
        left = [p.name for p in folder.iterdir() if p.name.startswith(".")]
        if (found := problem(looked(folder, form, reading), before)) or left or other:
            wrong[f"{number} {asked[number]}"] = found or other
            reading.close()
            restore(kept, folder)
            reading = connect(folder)
    reading.close()
    assert len(moments(steps)) > 10
    assert len(wrong) <= UNAVOIDABLE.get(form, 0), wrong


def test_an_interrupted_release_says_so_and_publishes_nothing(large: Path, fork: Fork) -> None:
    wait, status, err = 0.6, 0, ""
    while "nothing was published" not in err and wait > 0.03:
        before = state(large, "table")
        status, out, err = fork(large, after=wait, send=signal.SIGINT)
        wait /= 2  # where it was done before the signal came
    assert state(large, "table") == before
    assert status == 3
    assert "interrupted; nothing was published" in err
    assert "interrupted" in json.loads(out)["message"]


def test_whoever_interrupts_at_the_last_moment_is_told_what_is_true(large: Path, fork: Fork) -> None:
    started = time.monotonic()
    assert fork(large)[0] == 0
    seconds = time.monotonic() - started
    for moment in range(8):
        before = state(large, "table").versions[-1]
        status, _, err = fork(large, after=seconds * (0.75 + moment / 24), send=signal.SIGINT)
        published = state(large, "table").versions[-1] - before
        assert ("nothing was published" in err) <= (published == 0)
        assert ("was published before" in err) <= (published == 1)
        assert published == 1 or status == 3


def test_an_interrupt_after_the_release_does_not_deny_it(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restore(made(600, "table"), tmp_path / "now")
    monkeypatch.chdir(tmp_path / "now")
    monkeypatch.setattr(releases, "release", lambda _: signal.raise_signal(signal.SIGINT))
    assert main(RELEASE) != 0
    assert state(tmp_path / "now", "table").versions == [1, 2]
    assert "nothing was published" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("form", "limit"),
    [("table", 20_000), ("table", 400_000), ("view", 4_096), ("parquet", 20_000), ("parquet", 60_000),
     ("duckdb", 8_192), ("duckdb", 300_000)],
)  # fmt: skip
def test_a_full_disk_leaves_the_previous_release(form: str, limit: int, tmp_path: Path, made: Made, fork: Fork) -> None:
    restore(made(20_000, form), folder := tmp_path / "now")
    before = state(folder, form)
    status, out, _ = fork(folder, limit=limit)
    assert (status, "the disk is full; nothing was published" in json.loads(out)["message"]) == (3, True)
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
    assert state(folder, form) == before
    with connect(folder) as engine:
        assert sqlanon.release(folder / "spec.yaml", engine).entry.version == 2


def test_of_two_publishers_one_is_told_who_holds_the_lock(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(made(600, "table"), tmp_path / "now")
    monkeypatch.chdir(tmp_path / "now")
    make, seconds = releasing.make, []

    def meanwhile(*given: Any, **more: Any) -> Any:
        words = [str(Path(sys.executable).with_name("sqlanon")), *RELEASE, "--json"]
        seconds.append(subprocess.run(words, capture_output=True, text=True, timeout=60))
        return make(*given, **more)

    monkeypatch.setattr(releasing, "make", meanwhile)
    assert main(RELEASE) == 0
    assert state(tmp_path / "now", "table").versions == [1, 2]
    (second,) = seconds
    assert second.returncode == 3
    assert f"locked by another process (PID {os.getpid()})" in second.stderr
    assert f"(PID {os.getpid()})" in json.loads(second.stdout)["message"]
    assert "Traceback" not in second.stderr


def parquet(file: Path) -> bytes:
    duckdb.sql(f"SELECT i AS id, i % 50 AS age, '{CELL}' AS disease FROM range(5000) r(i)").write_parquet(str(file))
    return file.read_bytes()


SNIFFED = "id,age,disease\n" + "".join(f"{i},{i % 50},d{i % 4}\n" for i in range(21_000))  # more than 20,480
UNREADABLE: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "late": ("s.csv", lambda _: f"{SNIFFED}21000,{CELL},d1\n".encode()),
    "ragged": ("s.csv", lambda _: f"{SNIFFED}21000,1,{CELL},x,y\n".encode()),
    "not utf-8": ("s.csv", lambda _: f"id,age,disease\n1,2,{CELL} M\xfcller\n".encode("latin-1")),
    "truncated": ("s.parquet", lambda folder: parquet(folder / "whole")[:-1000]),
    "garbage": ("s.parquet", lambda _: CELL.encode() * 1000),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_source_that_cannot_be_read_ends_in_a_sentence_without_its_cells(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content = UNREADABLE[kind]
    (tmp_path / name).write_bytes(content(tmp_path))
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"source: {name}\ncolumns: {{id: identifier, age: quasi-identifier, disease: sensitive}}\n"
        "privacy: [{model: k-anonymity, k: 2}]\npublish: {name: out, as: file}\n"
    )
    monkeypatch.chdir(tmp_path)
    for line in ("release spec.yaml", "release spec.yaml --json", f"check {name} --qi age --json", f"init {name}"):
        assert main(line.split()) == 3, line
        out, err = capfd.readouterr()
        assert "the engine failed" in err
        assert CELL.split()[0] not in out + err
        assert not out or json.loads(out)["exit_status"] == 3
    with sqlanon.connect() as engine, pytest.raises(sqlanon.EngineError) as caught:
        sqlanon.release(spec, engine)
    assert CELL.split()[0] not in "".join(traceback.format_exception(caught.value))
    assert not (tmp_path / "out.parquet").exists()


STARTING = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import sqlanon_start
print("here", flush=True)
sqlanon_start.run()
"""


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_an_interrupt_while_the_program_loads_is_told_in_one_line(moment: float) -> None:
    command = [sys.executable, "-c", STARTING, "schema", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(moment)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err) in [(3, "sqlanon: interrupted\n"), (0, "")]
    assert json.loads(out)["message" if process.returncode else "$schema"]


def test_an_interrupt_is_not_lost_where_python_tidies_up_after_an_import() -> None:
    """What a callback of a weak reference raises is printed and forgotten: that of an import's lock is called `cb`."""
    told: dict[str, Any] = {"signal": signal}
    text = "def cb():\n    signal.raise_signal(signal.SIGINT)\n"
    exec(compile(text, "<frozen importlib._bootstrap>", "exec"), told)
    before = signal.signal(signal.SIGINT, sqlanon_start.interrupt)
    try:
        told["cb"]()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


LEFT = """
    SELECT table_name FROM duckdb_tables() WHERE temporary
    UNION ALL SELECT 'key' WHERE getvariable('sqlanon_key') IS NOT NULL
"""


@pytest.mark.parametrize(("second", "k", "error"), [("z", 2, SpecError), ("y", 99, ModelNotMet), ("y", 2, None)])
@pytest.mark.parametrize("form", ["", *FORMS])
def test_nothing_of_ours_stays_on_a_connection_of_the_callers(
    tmp_path: Path, form: str, second: str, k: int, error: type[SqlanonError] | None
) -> None:
    place = {"as": form} if form in ("", "table", "view") else {"as": "file", "path": str(tmp_path / f"out.{form}")}
    quasi = {"role": "quasi-identifier", "hierarchy": {"tree": {"g": ["x", "y"]}}}
    spec = {
        "source": "t", "entity": "p", "columns": {"a": "quasi-identifier", "b": quasi, "p": "identifier"},
        "privacy": [{"model": "k-anonymity", "k": k}], **({"publish": {"name": "rel", **place}} if form else {}),
    }  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT i AS a, unnest(['x', ?]) AS b, i AS p FROM range(9) AS r (i)", [second]
        )
        with pytest.raises(error) if error else nullcontext():
            (sqlanon.release if form else sqlanon.plan)(spec, DuckDB(connection=connection))
        assert connection.execute(LEFT).fetchall() == []
