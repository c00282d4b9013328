"""What `CALL sqlanon.release(…)`, `sqlanon.execute(…)` and their like do in a server: the job, as whoever calls.

Nothing is raised here: what went wrong is given back as a `Failure`, in our own words and with an SQLSTATE, so that no
traceback, which the server would log, can hold a cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlanon
from sqlanon import register, statements
from sqlanon.annotations import keys_of
from sqlanon.engines.inside import Inside, Plpy, without_files
from sqlanon.errors import EngineError, ModelNotMet, NotPortable, ReleaseError, SpecError, SqlanonError
from sqlanon.executing import Done
from sqlanon.executing import execute as execute_script
from sqlanon.reading import Reader, composed
from sqlanon.refreshing import kept_of
from sqlanon.spec import Spec

# As the standard and the server have them: a parameter, a feature, a check, the state of an object, an internal error.
_STATES: tuple[tuple[type[Exception], str], ...] = (
    (SpecError, "22023"), (NotPortable, "0A000"), (ModelNotMet, "23514"), (ReleaseError, "55000"),
)  # fmt: skip
_INTERNAL = "XX000"


@dataclass(frozen=True)
class Failure:
    """Why nothing was done: one of our sentences, an SQLSTATE, and for a model that does not hold its verdicts."""

    told: str
    state: str
    detail: str = ""

    @property
    def more(self) -> dict[str, str]:
        """What `plpy.error` takes beside the message."""
        return {"sqlstate": self.state, **({"detail": self.detail} if self.detail else {})}


def release(plpy: Plpy, spec: str, path: str, *, superuser: bool = False) -> str | Failure:
    """Publishes what a spec, as text of YAML or JSON, says: what `release --json` prints, as text."""
    return _served(lambda: sqlanon.release(_given(spec), Inside(plpy, path, superuser=superuser)))


def refresh(plpy: Plpy, name: str, path: str, *, superuser: bool = False) -> str | Failure:
    """Publishes a release again from its source as it is now: what `refresh --json` prints, as text."""

    def again() -> sqlanon.Refreshed:
        engine = Inside(plpy, path, superuser=superuser)
        without_files(kept_of(register.require(engine, name)).spec)
        return sqlanon.refresh(name, engine)

    return _served(again)


def execute(plpy: Plpy, text: str, path: str, *, superuser: bool = False) -> str | Failure:
    """Runs statements of sqlanon, all or none: an object with a list of results, as `sql --json` prints it."""
    return _served(lambda: _Executed(tuple(_executed(Inside(plpy, path, superuser=superuser), text))))


@dataclass(frozen=True)
class _Executed:
    done: tuple[Done, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"results": [one.to_dict() for one in self.done]}


def _executed(engine: Inside, text: str) -> Iterator[Done]:
    """What each statement came to; nothing is run where one is not ours, or names a file. Raises `SqlanonError`."""
    for one in statements.parse(text, engine.dialect):
        _ours(engine, one)
    for done in execute_script(engine, text):
        if done.failed is not None:
            raise done.failed
        yield done


def _ours(engine: Inside, one: statements.Statement) -> None:
    try:
        if isinstance(one, statements.Ordinary):
            raise SpecError("only statements of sqlanon are run by this function; say the others by themselves")
        without_files(one)
        if isinstance(one, statements.Declare) and one.spec.publish is not None and one.spec.publish.as_ == "file":
            raise SpecError("inside the server no file is written", where="publish.as", found="file")
        if isinstance(one, statements.Refresh) and (entry := register.current(engine, one.name)) is not None:
            without_files(kept_of(entry).spec)
        if isinstance(one, statements.Refresh | statements.Verify | statements.Withdraw):
            _in_tables(engine, one.name)
        if isinstance(one, statements.CheckOf) and one.relation.table is not None:
            _in_tables(engine, one.relation.table)
        if isinstance(one, statements.Declare | statements.Refresh | statements.Withdraw):
            _steady(engine)
    except SqlanonError as error:
        error.at(str(one.at))
        raise


def _in_tables(engine: Inside, name: str) -> None:
    """Refuses a release that is a file, whatever the register says of its place: it would be the server's."""
    for called in (name, name.removeprefix(f"{engine.schema}.")):
        entry = register.current(engine, called)
        if called.endswith((".parquet", ".duckdb")) or (entry is not None and entry.kind == "file"):
            raise SpecError("inside the server no file is read, written or taken away", found=name)


def _steady(engine: Inside) -> None:
    """Refuses a transaction in which the source could change between what is planned and what is published."""
    ((how,),) = engine.run("read the settings", "SELECT current_setting('transaction_isolation')")
    if how not in ("repeatable read", "serializable"):
        told = "what publishes needs BEGIN ISOLATION LEVEL REPEATABLE READ around it, or CALL sqlanon.run(…)"
        raise SpecError(f"{told}: the source may change while it is read", found=how)


def plan(plpy: Plpy, spec: str, path: str) -> str | Failure:
    """What would be published: what `plan --json` prints, as text."""
    return _served(lambda: sqlanon.plan(_given(spec), Inside(plpy, path, superuser=False)))


def _given(text: str) -> Spec:
    """The spec in a text, which names no file of the server's. Raises `SpecError`."""
    wanted = _read(text)
    without_files(wanted)
    if wanted.publish is not None and wanted.publish.as_ == "file":
        raise SpecError("inside the server no file is written", where="publish.as", found="file")
    return wanted


def _served(work: Callable[[], Any]) -> str | Failure:
    try:
        return json.dumps(work().to_dict(), allow_nan=False)
    except SqlanonError as error:
        return Failure(str(error), _state(error), _detail(error))
    except Exception as error:  # a fault of ours, whose words nobody has looked at
        return Failure(f"sqlanon failed ({type(error).__name__}); nothing was done", _INTERNAL)


def _read(text: str) -> Spec:
    """The spec in a text of YAML or JSON. Raises `SpecError` as `load` does."""
    try:
        return Reader("spec", composed(text, "spec", keys_of(Spec))).finish(Spec)
    except RecursionError:
        raise SpecError("this is nested too deeply", where="spec") from None


def _state(error: SqlanonError) -> str:
    if isinstance(error, EngineError):  # the server's own
        word = error.kind.split()[-1]
        return word if len(word) == 5 and word.isalnum() and word.isupper() | word.isdigit() else _INTERNAL
    return next((state for kind, state in _STATES if isinstance(error, kind)), _INTERNAL)


def _detail(error: SqlanonError) -> str:
    """The verdicts, or the rules that block, as JSON."""
    if not isinstance(error, ModelNotMet):
        return ""
    told = {"models": [v.to_dict() for v in error.models], "rules": [r.to_dict() for r in error.rules]}
    return json.dumps({name: found for name, found in told.items() if found}) if any(told.values()) else ""
