"""Scripts: statements of sqlanon among an engine's own SQL, run one after the other.

The whole script is read before anything of it is run. Ordinary SQL goes to the engine as it stands, byte for byte; a
declaration becomes the spec that a file of YAML would be, and is planned, judged and published as that is.

By default each statement is a transaction by itself, unless the script has begun one; then a release is a part of that,
and one that fails takes the whole of it back. With `single_transaction` the whole script is one: it reads the source as
it was when the script began, and nothing stays of it if one statement fails. Files are outside of all transactions, so
that statements which publish, refresh or withdraw one are refused there, before anything is run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

from sqlanon import life, register, statements
from sqlanon.check import Check, check
from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.answers import Relation
from sqlanon.errors import EngineError, ReleaseError, SpecError, SqlanonError
from sqlanon.life import Verified
from sqlanon.planning import Planned, make
from sqlanon.refreshing import Refreshed, Standing, kept_of, refresh, standing
from sqlanon.register import Entry
from sqlanon.release import Release, release
from sqlanon.spec import Source, Spec
from sqlanon.statements import (
    CheckOf,
    Declare,
    Explain,
    OfRelease,
    Ordinary,
    Refresh,
    Show,
    Statement,
    Verify,
    Withdraw,
)  # fmt: skip
from sqlanon.statements.scanning import tokens
from sqlanon.telling import Tell, silent
from sqlanon.tracing import spelled, trace

_WRITING = (Declare, Refresh, Withdraw)
_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}


@dataclass(frozen=True)
class Listed:
    """What the register says of releases; of one by its name, with the statement that declares it."""

    standing: tuple[Standing, ...]
    declaration: str | None = None

    def to_dict(self) -> dict[str, Any]:
        told = {"releases": [one.to_dict() for one in self.standing]}
        return told if self.declaration is None else {**told, "declaration": self.declaration}

    def _repr_html_(self) -> str:
        """A table for a notebook, and the statement."""
        entries = [one.entry for one in self.standing]
        rows = [(e.name, e.version, e.status, e.kind, e.rows_out, e.released_at, e.expires_at) for e in entries]
        heads = ("name", "version", "status", "as", "records", "released", "expires")
        shown = Relation(tuple(Column(name, "", "") for name in heads), tuple(rows))._repr_html_()
        return shown + (Sql(self.declaration)._repr_html_() if self.declaration else "")


@dataclass(frozen=True)
class Sql:
    """The SQL of a plan."""

    text: str

    def to_dict(self) -> dict[str, Any]:
        return {"sql": self.text}

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


Result = Relation | int | Sql | Planned | Check | Release | Verified | Entry | Listed | None

_KINDS: tuple[tuple[type, str], ...] = (
    (Relation, "rows"), (int, "changed"), (Sql, "sql"), (Planned, "plan"), (Check, "check"), (Refreshed, "refreshed"),
    (Release, "released"), (Verified, "verified"), (Entry, "withdrawn"), (Listed, "releases"),
)  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What one statement of a script came to, or why it failed; `seconds` of the clock."""

    statement: Statement
    result: Result = None
    failed: SqlanonError | None = field(default=None, compare=False)
    seconds: float = 0.0

    @property
    def kind(self) -> str:
        """In a word what the result is; `done` for a statement that gives none."""
        return "failed" if self.failed else next((n for t, n in _KINDS if isinstance(self.result, t)), "done")

    @property
    def exit_status(self) -> int:
        """0 done and all models hold, 1 a model does not hold, 2 spec or usage, 3 the engine failed."""
        if self.failed is not None:
            return self.failed.exit_status
        return 1 if isinstance(self.result, Check | Verified) and self.result.holds is False else 0

    def to_dict(self) -> dict[str, Any]:
        at = self.statement.at
        told: dict[str, Any] = {"line": at.line, "column": at.column, "kind": self.kind}
        if self.failed is not None:
            error = {"error": type(self.failed).__name__, "message": str(self.failed)}
            return told | error | {"exit_status": self.failed.exit_status}
        if isinstance(self.result, int):
            return told | {"changed": self.result}
        return told if self.result is None else told | {"result": self.result.to_dict()}


def execute(
    engine: Engine, script: str, *, single_transaction: bool = False, keep_going: bool = False, base: Path = Path(),
    tell: Tell = silent,
) -> Iterator[Done]:  # fmt: skip
    """Runs a script; what each statement came to, as soon as it has. Stops at the first that failed, or does not hold.

    `keep_going`: goes on with the next statement. `base` is the folder from which files are named. A failure is the
    last that is given, and not raised, except for what is wrong before anything is run. Raises `SpecError`.
    """
    if keep_going and single_transaction:
        raise SpecError("a script in one transaction stops at its first error; leave --keep-going out", where="usage")
    found = _read(script, engine, base)
    if single_transaction:
        for one in found:
            _within(engine, one)
    yield from _ran(engine, found, single_transaction, keep_going, tell)


def sql(engine: Engine, script: str, *, base: Path = Path()) -> Result:
    """Runs a script, and stops at the first error: what its last statement came to.

    Raises `SpecError`, `ModelNotMet`, `EngineError`, `ReleaseError`, which begin with line and column.
    """
    last: Result = None
    for one in _read(script, engine, base):
        last = _told(engine, one, silent)
    return last


def _read(script: str, engine: Engine, base: Path) -> list[Statement]:
    """The statements of a script, with files that are measured seen from its folder."""
    found = statements.parse(script, engine.dialect, base=base)
    return [replace(one, relation=_seen(one.relation, base)) if isinstance(one, CheckOf) else one for one in found]


def _seen(source: Source, base: Path) -> Source:
    if source.file is None or "://" in source.file:
        return source
    return replace(source, file=str(base / source.file))


class _Stopped(Exception):
    """Ends a transaction that is not to stay."""


def _ran(engine: Engine, found: Sequence[Statement], together: bool, keep_going: bool, tell: Tell) -> Iterator[Done]:
    done: list[Done] = []
    try:
        with engine.transaction() if together else nullcontext():
            for one in found:
                last = _done(engine, one, tell, together)
                if last.exit_status and not keep_going:
                    done.append(last)
                    raise _Stopped
                if together:
                    done.append(last)  # it is not done before all of it is
                else:
                    yield last
    except _Stopped:
        pass
    yield from done


def _done(engine: Engine, one: Statement, tell: Tell, together: bool) -> Done:
    started = time.monotonic()
    try:
        result = _told(engine, one, tell, together=together)
    except SqlanonError as error:
        return Done(one, None, error, time.monotonic() - started)
    return Done(one, result, None, time.monotonic() - started)


def _told(engine: Engine, one: Statement, tell: Tell, *, together: bool = False) -> Result:
    """What a statement comes to; errors begin with its place in the script.

    What fails in a transaction of the script's own takes it back: part of a release could be left in it.
    """
    before = engine.opened and not together
    try:
        return _result(engine, one, tell)
    except SqlanonError as error:
        if before and isinstance(one, _WRITING) and engine.opened:
            error.args = (f"{error}; the open transaction was rolled back",)
            engine.statement("ROLLBACK")
        error.at(_place(one, error))
        raise


def _place(one: Statement, error: SqlanonError) -> str:
    """Line and column of what went wrong, as near as they are known."""
    inner = error.place if isinstance(error, EngineError) and isinstance(one, Ordinary) else None
    if inner is None or not isinstance(one, Ordinary):
        return f"{one.at.line}:{one.at.column}"
    line, column = inner
    return f"{one.begins.line + line - 1}:{column + one.begins.column - 1 if line == 1 else column}"


def _result(engine: Engine, one: Statement, tell: Tell) -> Result:
    if isinstance(one, Ordinary):
        return engine.statement(one.text)
    if engine.opened == "failed":
        raise SpecError("the open transaction has failed; ROLLBACK ends it")
    if engine.opened:
        _no_file(engine, one)
    if isinstance(one, OfRelease | Show) and one.name is not None:
        one = replace(one, name=_called(engine, one.name))
    if isinstance(one, OfRelease):
        _formed(engine, one)
    for kind, work in _WORK.items():
        if isinstance(one, kind):
            return work(engine, one, tell)
    raise TypeError(type(one).__name__)


def _called(engine: Engine, name: str) -> str:
    """The name of a release without the schema of releases before it."""
    schema, _, last = name.rpartition(".")
    return last if schema == engine.schema and register.current(engine, name) is None else name


def _placed(engine: Engine, one: Declare) -> Declare:
    """A declaration whose name has no schema before it. Raises `SpecError` for another than that of releases."""
    publish = one.spec.publish
    if not one.qualified or publish is None:
        return one
    schema, _, name = publish.name.rpartition(".")
    if schema != engine.schema or publish.as_ == "file":
        allowed = () if publish.as_ == "file" else (engine.schema,)
        raise SpecError("releases stand in a schema of their own; leave this one out", found=schema, allowed=allowed)
    return replace(one, spec=replace(one.spec, publish=replace(publish, name=name)), qualified=False)


def _declare(engine: Engine, one: Declare, tell: Tell) -> Release:
    one = _placed(engine, one)
    name = one.spec.publish.name if one.spec.publish else ""
    if not one.replace and register.current(engine, name) is not None:
        told = "there is a release of this name; CREATE OR REPLACE ANONYMIZED makes its next version"
        raise SpecError(told, found=name)
    return release(_traced(engine, one), engine, tell=tell)


def _traced(engine: Engine, one: Declare) -> Spec:
    """The spec of a declaration, whose columns are spelled as the engine has them, and known to their origin."""
    spec = spelled(one.spec, engine)
    trace(spec, engine)
    return spec


def _explain(engine: Engine, one: Explain, tell: Tell) -> Planned | Sql:
    with engine.working():
        planned = make(_traced(engine, _placed(engine, one.declared)), engine, tell=tell)
        return Sql(planned.sql(engine)) if one.form == "sql" else planned


def _check(engine: Engine, one: CheckOf, tell: Tell) -> Check:
    keys, sensitive, hierarchies = one.quasi_identifiers, one.sensitive, one.hierarchies
    if not keys and one.relation.table is not None:
        entry = register.current(engine, one.relation.table)
        if entry is not None:
            with life.remembered(engine, one.relation.table) as known:
                if known is not None:
                    keys, sensitive = known.quasi_identifiers, sensitive or known.sensitive
                    hierarchies = {**known.hierarchies, **hierarchies}
    if not keys:
        raise SpecError("QUASI_IDENTIFIERS are needed: the columns that others may know", where="quasi_identifiers")
    return check(
        engine, _origin(one.relation), quasi_identifiers=keys, sensitive=sensitive, models=one.models,
        hierarchies=hierarchies, population=_origin(one.population) if one.population else None,
    )  # fmt: skip


def _origin(source: Source) -> Origin:
    file = Path(source.file) if source.file else None
    return Origin(relation=source.table, file=file, query=source.query, delimiter=source.delimiter)


def _formed(engine: Engine, one: OfRelease) -> None:
    """Refuses a release that is not of the form that the statement says. Raises `SpecError`."""
    entry = register.current(engine, one.name) if one.form is not None else None
    if entry is not None and entry.kind != one.form:
        told = f"{one.name} is not released in this form"
        raise SpecError(told, found=one.form, allowed=(entry.kind,))


def _refresh(engine: Engine, one: Refresh, tell: Tell) -> Refreshed:
    return refresh(engine, one.name, anew=one.anew, tell=tell)


def _verify(engine: Engine, one: Verify, tell: Tell) -> Verified:
    return life.verify(engine, one.name)


def _withdraw(engine: Engine, one: Withdraw, tell: Tell) -> Entry:
    return life.withdraw(engine, one.name)


def _show(engine: Engine, one: Show, tell: Tell) -> Listed:
    declaration = None
    if one.name is not None:
        entry = register.require(engine, one.name)
        with suppress(ReleaseError, SpecError):  # the register keeps no spec of it, or shows it to publishers alone
            declaration = statements.written(kept_of(entry).spec)
    found = standing(engine)
    return Listed(tuple(each for each in found if one.name in (None, each.entry.name)), declaration)


_WORK: Mapping[type, Callable[[Engine, Any, Tell], Result]] = {
    Declare: _declare, Explain: _explain, CheckOf: _check, Refresh: _refresh, Verify: _verify, Withdraw: _withdraw,
    Show: _show,
}  # fmt: skip


# -- one transaction ---------------------------------------------------------------------------------------------------


def _within(engine: Engine, one: Statement) -> None:
    """Refuses what cannot be a part of one transaction. Raises `SpecError` with its place."""
    try:
        if isinstance(one, Ordinary):
            first, after = [*(t.said.upper() for t in islice(tokens(one.text, engine.dialect), 2)), ""][:2]
            if first in _TRANSACTION or (first, after) == ("PREPARE", "TRANSACTION"):
                raise SpecError("the script is one transaction; it may not begin or end one")
        else:
            _no_file(engine, one)
    except SpecError as error:
        error.at(f"{one.at.line}:{one.at.column}")
        raise


def _no_file(engine: Engine, one: Statement) -> None:
    """Refuses what makes or takes away a file: no transaction takes that back. Raises `SpecError`."""
    if isinstance(one, Declare):
        file = one.spec.publish is not None and one.spec.publish.as_ == "file"
    elif isinstance(one, Refresh | Withdraw):
        entry = register.current(engine, one.name)
        file = entry is not None and entry.kind == "file"
    else:
        return
    if file:
        raise SpecError("a released file is outside of transactions; run this statement by itself")
