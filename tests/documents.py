"""The pages of the documentation and what is in them, run as a reader would run it: block by block, in one process.

What a fence may say:

- bash: `sqlanon` lines run through the program's own entry, others by a shell; `# exits with N` behind a line is the
  status that it must have; what installs is not run, for a test has no network;
- yaml, csv or sql with title="NAME.ending": a file of the page's folder;
- sql with title="as ROLE": run on Postgres as that role; `-- fails: WORDS` behind a statement: it must, so;
- python: run in the page's folder;
- text with title="prints": lines that the block before must have printed (with SQLANON_THOROUGH=1 their figures too, on
  the whole example); text alone is not looked at.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
from server import url_of

from sqlanon import demo
from sqlanon.cli import main

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INSTALL = re.compile(r"\s*(?:#.*\n)*(?:python3? -m venv|pip |uv |apt |git clone|make -C sql|.*mkdocs )")
URL = re.compile(r"postgresql://(\w+)@/clinic\b")
_MARKS = str.maketrans("", "", "│─┃━┏┓┗┛├┤")


class Block(NamedTuple):
    """A fenced block of a page: where, in which language, with which words behind it, and what it holds."""

    page: str
    line: int
    language: str
    info: str
    text: str

    @property
    def title(self) -> str:
        found = re.search(r'title="([^"]*)"', self.info)
        return found[1] if found else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> dict[str, str]:
    """Every page that is written by hand, by its place in the repository."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def blocks(page: str, text: str) -> list[Block]:
    """The fenced blocks of a page, in order; those in lists and notes lose their indent."""
    return [
        Block(
            page,
            text[: m.start()].count("\n") + 1,
            m[2],
            m[3],
            "\n".join(line[len(m[1]) :] for line in m[4].split("\n")),
        )
        for m in FENCE.finditer(text)
    ]


class Reader:
    """Somebody who does what a page says, in a folder that holds the files of the demo.

    `sqlanon demo DIR` copies the `example`; the `whole` one has all its persons. That command is tested in test_docs.
    """

    def __init__(
        self, folder: Path, example: Path, *, whole: bool = False, url: Callable[[str], str] | None = None
    ) -> None:
        self.folder, self.example, self.whole, self.url, self.printed = folder, example, whole, url, ""
        self.seldom: re.Pattern[str] | None = None  # what is run with SQLANON_THOROUGH=1 only
        self._demo(folder)

    def _demo(self, folder: Path) -> int:
        shutil.copytree(self.example, folder, dirs_exist_ok=True)
        if self.whole:
            demo.write(folder)
        return 0

    def follow(self, found: list[Block]) -> list[str]:
        """Runs the blocks one after the other; what went wrong, in sentences."""
        wrong = []
        with contextlib.chdir(self.folder):
            for block in found:
                try:
                    wrong += [f"{block}: {told}" for told in self._done(block)]
                except Exception as error:
                    wrong.append(f"{block}: {type(error).__name__}: {error}\n{block.text}")
        return wrong

    def _done(self, block: Block) -> Iterator[str]:
        if self.seldom and block.language == "python" and self.seldom.search("python"):
            return
        if block.language == "bash" and not INSTALL.match(block.text):
            self.printed = ""
            yield from self._shell(block.text)
        elif block.language == "python":
            self.printed = self._said(lambda: exec(compile(block.text, str(block), "exec"), {"__name__": "page"}))
        elif block.language == "sql" and block.title.startswith("as "):
            yield from self._asked(block.title.split()[1].rstrip(","), block.text)
        elif block.language in ("yaml", "sql", "csv") and "." in block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "text" and block.title == "prints":
            printed = _plain(self.printed, self.whole)
            yield from (f"does not print {line!r}: {self.printed}" for line in block.text.splitlines()
                        if _plain(line, self.whole) not in printed)  # fmt: skip

    def _shell(self, text: str) -> Iterator[str]:
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(URL.sub(lambda m: self._place(m[1]), line), comments=True)
            if not words:
                continue
            expected = int(found[1]) if (found := re.search(r"# exits with (\d)", line)) else 0
            if words[0] == "cd":
                os.chdir(words[1])
                continue
            if self.seldom and self.seldom.search(line):
                continue
            status = self._called(words) if words[0] == "sqlanon" else self._run(words, line)
            if status != expected:
                yield f"`{line.strip()}` exits with {status}, not {expected}:\n{self.printed[-1500:]}"

    def _called(self, words: list[str]) -> int:
        """One command of ours, in this process."""
        if words[1] == "demo":
            return self._demo(Path(words[2] if len(words) > 2 else "sqlanon-demo"))
        target = words[words.index(">") + 1] if ">" in words else None
        status: list[int] = []
        said = self._said(lambda: status.append(main(words[1 : words.index(">") if target else None])))
        if target:
            Path(target).write_text(said, encoding="utf-8")
        self.printed += said
        return status[0]

    def _run(self, words: list[str], line: str) -> int:
        """Whatever else a shell knows."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        command = URL.sub(lambda m: shlex.quote(self._place(m[1])), line)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, check=False, env=environment
        )
        self.printed += ran.stdout + ran.stderr
        return ran.returncode

    def _place(self, role: str) -> str:
        assert self.url is not None, "this page needs a server"
        return self.url(role)

    def _said(self, call: Callable[[], object]) -> str:
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            call()
        return told.getvalue()

    def _asked(self, role: str, text: str) -> Iterator[str]:
        """SQL as a role of the server."""
        with psycopg.connect(self._place(role), autocommit=True) as connection:
            statement: list[str] = []
            for line in text.splitlines():
                statement.append(line)
                if re.search(r";\s*(--.*)?$", line):
                    yield from _tried(connection, "\n".join(statement))
                    statement = []
            assert not "".join(statement).strip(), f"a statement without its end: {statement}"


def _tried(connection: psycopg.Connection, statement: str) -> Iterator[str]:
    """A statement that must run, or must not."""
    fails = re.search(r"-- fails: (.*)$", statement)
    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        if not fails or fails[1] not in str(error):
            yield f"{statement}: {error}"
    else:
        if fails:
            yield f"{statement}: does not fail"


def _plain(text: str, figures: bool) -> str:
    """A text without what only a screen needs; with its figures, or with a sign for each."""
    words = " ".join(text.translate(_MARKS).split())
    return words if figures else re.sub(r"[\d.,]*\d", "#", words)


def of_server(server: object) -> Callable[[str], str]:
    """Where the pages' database `clinic` is, for each role."""
    return lambda role: url_of(server, "clinic", role)  # type: ignore[arg-type]
