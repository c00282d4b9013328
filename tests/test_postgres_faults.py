"""Whatever ends a release or a refresh on Postgres, and wherever: what was published stands, whole and in the register.

The client is killed, the server's process is ended or killed, the connection is lost, the disk is full, two publish at
once; then the previous version is read by its readers as before, no stage is left, and register and reality agree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from server import ROLES, as_role, execute, fetch, started
from test_postgres_release import OURS, READ, SPEC, Dying, clinic, published, standing, until

import sqlanon
from sqlanon import refreshing
from sqlanon.engines.postgres import Postgres
from sqlanon.errors import EngineError, ReleaseError
from sqlanon.release import release
from sqlanon.spec import load

__all__ = ["clinic"]

# Commands in processes that are forked once everything is loaded and has run before. An order is the number of the
# statement from `begin` on before which the child kills itself (statements that only read are not counted), and the
# words of the command.
FORKING = """
import json, os, signal, sys
import sqlanon
from sqlanon import cli
from sqlanon.engines.postgres import Postgres
run, warm = Postgres.run, set()
answers = os.fdopen(os.dup(1), "w", buffering=1)
null = os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
for line in sys.stdin:
    number, words = json.loads(line)
    if words[0] not in warm:
        warm.add(words[0])
        cli.main(["verify", "patients", *words[2:]])
        if words[0] == "release":
            cli.main(["plan", *words[1:]])
    child = os.fork()
    if child == 0:
        left = [number, False]
        def counted(self, step, *given):
            left[1] = left[1] or step == "begin"
            if left[1] and not step.startswith(("read", "digest")):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            return run(self, step, *given)
        Postgres.run = counted
        os.dup2(null, 2)
        os._exit(cli.main(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)
"""


@pytest.fixture(scope="module")
def command() -> Iterator[Callable[[int, list[str]], int]]:
    """Runs a command that is killed before a statement; its exit status."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", FORKING], text=True, stdin=pipe, stdout=pipe) as process:

        def run(number: int, words: list[str]) -> int:
            assert process.stdin and process.stdout
            print(json.dumps([number, words]), file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield run


def grow(url: str) -> None:
    """More of what is there, so that the next version is another one."""
    execute(url, "INSERT INTO raw.patients SELECT id, name, 30, '47000', disease, ward FROM raw.patients LIMIT 3")


def failure(work: Callable[[], object]) -> EngineError | None:
    """How it failed, if it did."""
    try:
        work()
    except EngineError as error:
        return error
    return None


# Every second statement of each, so that none is left out of both.
@pytest.mark.parametrize(("action", "form", "first"), [("release", "table", 0), ("refresh", "materialized view", 1)])
def test_a_client_that_is_killed_before_a_statement_leaves_what_was_published(
    clinic: str, tmp_path: Path, command: Any, action: str, form: str, first: int
) -> None:
    published(clinic, **{"as": form})
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps({**SPEC, "publish": {**SPEC["publish"], "as": form}}))
    words = [action, str(spec) if action == "release" else "patients", "--db", as_role(clinic, "publisher")]
    grow(clinic)
    before, number, kept = standing(clinic), first, 0
    while command(number, words) == -signal.SIGKILL:
        until(lambda: not fetch(clinic, OURS))
        now = standing(clinic)
        assert now == before or now[0] == 63, number  # killed after the commit: the new version stands, whole
        assert len(fetch(as_role(clinic, "reader"), READ)) == now[0]
        before, number, kept = now, number + 2, kept + (now[0] == 60)
    assert kept >= 8
    assert standing(clinic)[0] == 63


def test_a_server_process_that_is_ended_before_any_statement_of_a_refresh_leaves_what_was_published(
    clinic: str,
) -> None:
    published(clinic)
    grow(clinic)
    before, number = standing(clinic), 0
    while (told := ended(clinic, number)) is not None:
        assert "no connection to the server" in told or "look with" in told, told
        assert standing(clinic) == before, told
        number += 1
    assert number >= 18
    assert standing(clinic)[0] == 63


def ended(clinic: str, number: int) -> str | None:
    with Dying(as_role(clinic, "publisher"), clinic, number) as engine:
        error = failure(lambda: refreshing.refresh(engine, "patients"))
        return f"{engine.last}: {error}" if error else None


class Killing(Postgres):
    """A connection whose server process is killed (-9) while, or just before, it runs the first statement of a step."""

    def __init__(self, url: str, step: str, kill: Callable[[int], None]) -> None:
        self.fatal, self.kill, self.waiting = step, kill, True
        super().__init__(url)

    def run(self, step: str, *given: Any) -> Any:
        if self.waiting and step == self.fatal:
            self.waiting = False
            self.kill(self.client.connection.info.backend_pid)
        return super().run(step, *given)


@pytest.fixture(scope="module")
def crashing() -> Iterator[str]:
    """A server of its own: when one of its processes is killed, it starts all of them again."""
    with started() as url:
        execute(
            url, *(f"CREATE ROLE {role} LOGIN" for role in ROLES), "GRANT CREATE ON DATABASE postgres TO publisher",
            "CREATE SCHEMA raw",
            "CREATE TABLE raw.patients (id int, name text, age int, zip text, disease text, ward text)",
            "INSERT INTO raw.patients SELECT i, 'n', 30 + i % 3, '4700' || i % 2, 'flu' || i % 4, 'w' || i % 5"
            " FROM generate_series(1, 60) AS i", "GRANT USAGE ON SCHEMA raw TO publisher",
            "GRANT SELECT ON raw.patients TO publisher",
        )  # fmt: skip
        published(url)
        yield url


@pytest.mark.parametrize("step", ["write the release", "put the release in place", "write the audit log", "commit"])
def test_a_server_process_that_is_killed_takes_the_server_down_and_leaves_what_was_published(
    crashing: str, step: str
) -> None:
    before = standing(crashing)
    execute(crashing, "CHECKPOINT")  # what these servers have not written yet, they may lose

    def kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    for refreshed in (False, True):
        with Killing(as_role(crashing, "publisher"), step, kill) as engine, pytest.raises(EngineError):
            refreshing.refresh(engine, "patients") if refreshed else release(load(SPEC), engine)
        until(lambda: answers(crashing))
        assert standing(crashing) == before
    with sqlanon.connect(as_role(crashing, "publisher")) as engine:
        assert refreshing.refresh(engine, "patients").measured.rows == 60


def answers(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        return fetch(url, "SELECT 1") == [(1,)]
    return False


@pytest.mark.parametrize("step", ["write the release", "write the register", "commit"])
def test_a_lost_connection_leaves_what_was_published(clinic: str, step: str) -> None:
    published(clinic)
    before = standing(clinic)
    with Killing(as_role(clinic, "publisher"), step, lambda _: None) as engine:

        def cut(_: int) -> None:
            with socket.socket(fileno=os.dup(engine.client.connection.fileno())) as line:
                line.shutdown(socket.SHUT_RDWR)

        engine.kill = cut
        with pytest.raises(EngineError, match=r"no connection to the server|look with"):
            refreshing.refresh(engine, "patients")
    until(lambda: not fetch(clinic, OURS))
    assert standing(clinic) == before


@pytest.fixture
def small() -> Iterator[Path]:
    """A disk of 4 MB that the server may write to."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="sqlanon-small-", dir="/tmp"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        if mounted.returncode:
            pytest.skip("no small disk can be mounted here")
        (folder / "space").mkdir()
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "space", "postgres")
        yield folder / "space"
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
        folder.rmdir()


@pytest.mark.parametrize("where", ["default_tablespace", "temp_tablespaces"])
@pytest.mark.parametrize("form", ["table", "materialized view"])
def test_a_full_disk_leaves_what_was_published(clinic: str, small: Path, where: str, form: str) -> None:
    published(clinic, **{"as": form})
    before = standing(clinic)
    execute(clinic, f"CREATE TABLESPACE small LOCATION '{small}'", "GRANT CREATE ON TABLESPACE small TO publisher",
            f"ALTER ROLE publisher SET {where} = small",
            "INSERT INTO raw.patients SELECT i, 'n', 30, '47000', 'flu' || i, repeat('w', 100)"
            " FROM generate_series(1, 40000) AS i")  # fmt: skip
    try:
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            error = failure(lambda: refreshing.refresh(engine, "patients"))
        if error is None:
            assert (where, form) == ("temp_tablespaces", "table")  # which needs no working copy
        else:
            assert "DiskFull" in str(error), str(error)
            assert standing(clinic) == before
    finally:
        execute(clinic, "ALTER ROLE publisher RESET ALL", "DROP SCHEMA IF EXISTS releases, sqlanon CASCADE",
                "DROP TABLESPACE small")  # fmt: skip


def test_of_two_who_refresh_at_once_the_register_tells_who_did(clinic: str) -> None:
    published(clinic)
    told: list[str] = []

    def work(number: int) -> None:
        try:
            with sqlanon.connect(as_role(clinic, "publisher")) as engine:
                made = refreshing.refresh(engine, "patients") if number % 2 else release(load(SPEC), engine)
            told.append(f"version {made.entry.version}")
        except (EngineError, ReleaseError) as error:
            told.append(str(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [word for word in told if word.startswith("version")]
    assert done, told
    assert all(word in done or "try again" in word for word in told), told
    assert standing(clinic)[0] == 60
    assert fetch(clinic, "SELECT count(*) FROM sqlanon.audit_log") == [(len(done) + 1,)]
    assert fetch(clinic, "SELECT count(*) FROM sqlanon.release") == [(len(done) + 1,)]
