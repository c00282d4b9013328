"""The interactive shell: statements are typed, completed, run and shown. The only importer of prompt_toolkit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from sqlanon.completing import Known, completions, known
from sqlanon.engines import Engine
from sqlanon.errors import SpecError, SqlanonError
from sqlanon.showing import statements as shown
from sqlanon.showing.terminal import complain, err, out, printable
from sqlanon.statements.splitting import split

MOST = 200  # rows of one result that are shown
HELP = r"""A statement ends with ; and may have several lines. Beside the engine's own SQL there are
  CREATE [OR REPLACE] ANONYMIZED {TABLE | VIEW | FILE} name AS {SELECT … | TABLE t | FILE 'f'} WITH (k = 5, …);
  EXPLAIN ANONYMIZATION …;   CHECK ANONYMIZATION OF …;   SHOW ANONYMIZED RELEASES;   SHOW ANONYMIZATION OF name;
  REFRESH ANONYMIZED name;   VERIFY ANONYMIZED name;     WITHDRAW ANONYMIZED name;
and for the shell itself
  \d         tables and views          \d name    the columns of one
  \timing    how long statements take, on or off
  \?         this help                 \q         ends the shell, as Ctrl-D does
Ctrl-C takes back what is being typed, or stops what is running; the shell goes on."""


def history_file() -> Path:
    """Where statements are kept from one session to the next: in the user's folder for the state of programs."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "sqlanon" / "history"


def private(file: Path) -> Path:
    """The file, made so that nobody else reads it: what was typed holds literals."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    file.chmod(0o600)
    return file


def complete(text: str, dialect: str) -> bool:
    """Whether what was typed is whole: statements that have ended, or a command of the shell."""
    if not text.strip() or text.lstrip().startswith("\\"):
        return True
    try:  # whether one more word would be a statement by itself
        return len(list(split(f"{text}\nx", dialect))) > len(list(split(text, dialect)))
    except SpecError:  # a text or a comment has no end yet
        return False


class Words(Completer):
    """What there is in the database and in the language; read anew after each statement."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.there: Known | None = None

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """The words that begin as the one before the cursor does."""
        if self.there is None:
            self.there = known(self.engine)
        before = document.text_before_cursor
        begun = document.get_word_before_cursor(WORD=True)
        begun = begun.rpartition("(")[2].rpartition(",")[2]
        for said, kind in completions(before, self.there):
            yield Completion(said, start_position=-len(begun), display_meta=kind)


class Shell:
    """One session at a terminal. `history`: keep what was typed; `words`: show the engine's own words of errors."""

    def __init__(self, engine: Engine, *, history: bool = True, words: bool = False, **terminal: Any) -> None:
        self.engine, self.words, self.timing = engine, words, False
        self.completer = Words(engine)
        kept: History = InMemoryHistory()
        self.kept = False
        if history:
            with suppress(OSError):  # who has no folder of his own has a shell all the same
                kept, self.kept = FileHistory(str(private(history_file()))), True
        self.session: PromptSession[str] = PromptSession(
            history=kept, completer=self.completer, complete_while_typing=False, multiline=True,
            key_bindings=self._keys(), auto_suggest=AutoSuggestFromHistory(), prompt_continuation="    … ", **terminal,
        )  # fmt: skip

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter", filter=~is_searching)
        def _(event: KeyPressEvent) -> None:
            if complete(event.current_buffer.text, self.engine.dialect):
                event.current_buffer.validate_and_handle()
            else:
                event.current_buffer.insert_text("\n")

        return keys

    @property
    def prompt(self) -> str:
        """Where one is, and whether a transaction is open (*) or has failed (!)."""
        mark = {"": "", "open": "*", "failed": "!"}[self.engine.opened]
        return f"{printable(self.engine.url.rpartition('/')[2] or self.engine.name)}{mark}> "

    def run(self) -> int:
        """Reads and runs until the end is asked for."""
        out.print(rf"sqlanon on {self.engine.name} {self.engine.version}; \? for help, \q to leave.")
        if self.kept:
            told = f"What you type is kept in {history_file()}, with the literals in it; --no-history keeps nothing."
            out.print(told, style="dim", markup=False)
        while True:
            try:
                text = self.session.prompt(self.prompt)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return 0
            if text.strip().rstrip(";").strip() in ("\\q", "exit", "quit"):
                return 0
            self.answer(text)

    def answer(self, text: str) -> None:
        """Runs what was typed and shows what it came to; nothing that goes wrong ends the shell."""
        try:
            if text.lstrip().startswith("\\"):
                self.command(text.strip().rstrip(";").split())
            else:
                self.statements(text)
        except SqlanonError as error:
            complain(error)
        except KeyboardInterrupt:
            out.print("interrupted", style="dim")
        except Exception as error:  # a fault of ours, whose words nobody has looked at
            err.print(f"[bold red]sqlanon:[/] this failed ({type(error).__name__}), and the fault is sqlanon's own")
        self.completer.there = None

    def statements(self, text: str) -> None:
        for one in shown.stepwise(self.engine, text):
            shown.done(one, most=MOST, took=self.timing, words=self.words)

    def command(self, words: list[str]) -> None:
        """A command of the shell itself. Raises `SpecError` for one that there is not."""
        if words[0] == "\\timing":
            self.timing = not self.timing
            out.print(f"timing is {'on' if self.timing else 'off'}", style="dim")
        elif words[0] == "\\d":
            self.describe(" ".join(words[1:]).strip('"'))
        elif words[0] == "\\?":
            out.print(HELP, markup=False)
        else:
            raise SpecError("no such command", found=words[0], allowed=("\\d", "\\timing", "\\?", "\\q"))

    def describe(self, name: str) -> None:
        """The tables and views, or the columns of one. Raises `SpecError`."""
        there = known(self.engine).relations
        if not name:
            shown.names("tables and views", there)
            return
        found = next((columns for at, columns in there.items() if at.lower() == name.lower()), None)
        if found is None:
            raise SpecError("there is no such table or view", found=name, allowed=there)
        shown.names(name, dict.fromkeys(found, ()))
