"""What can go wrong, in sentences: a cause, a place, a way out; never a cell value.

Every error carries its exit status (design contract): 1 a model does not hold and nothing was published,
2 the spec or the call is wrong, 3 the engine failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol


def nearest(word: object, allowed: Iterable[str]) -> str | None:
    """The allowed word that is most like `word`, or None where nothing is near."""
    found = difflib.get_close_matches(str(word).lower(), {a.lower(): a for a in allowed}, n=1, cutoff=0.6)
    return next((a for a in allowed if a.lower() == found[0]), None) if found else None


class HasDict(Protocol):
    """A result that gives itself as JSON-like data."""

    def to_dict(self) -> dict[str, object]: ...


class SqlanonError(Exception):
    """The root of all errors that sqlanon raises on purpose."""

    exit_status = 3

    def at(self, place: str) -> None:
        """Says where in a script it went wrong, before all else."""
        self.args = (f"{place}: {self}",)


class SpecError(SqlanonError):
    """The spec, a name in it, or the call is wrong; nothing was run.

    Attributes: `where` (file, line and path, or the argument), `found`, `allowed` (words), `suggestion`.
    """

    exit_status = 2

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        found: str | None = None,
        allowed: Iterable[str] = (),
        suggestion: str | None = None,
    ) -> None:
        self.problem, self.where, self.found = problem, where, found
        self.allowed = tuple(allowed)
        self.suggestion = suggestion or (nearest(found, self.allowed) if found is not None else None)
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        parts = [f"{self.where}: {self.problem}" if self.where else self.problem]
        if self.found is not None:
            parts.append(f"found {self.found!r}")
        if self.allowed:
            parts.append("allowed: " + ", ".join(self.allowed))
        if self.suggestion:
            parts.append(f"did you mean {self.suggestion!r}?")
        return "; ".join(parts)


class ModelNotMet(SqlanonError):
    """A privacy model does not hold on what was made, or a rule blocks it; nothing was published.

    Attributes: `models`, the verdicts as in `check --json`, where there are any, and the `rules` that block.
    """

    exit_status = 1

    def __init__(self, problem: str, models: Sequence[HasDict] = (), rules: Sequence[HasDict] = ()) -> None:
        self.models, self.rules = tuple(models), tuple(rules)
        super().__init__(problem)


class EngineError(SqlanonError):
    """The database failed. The engine's own text may hold cell values, so it is kept off the message and the chain.

    Attributes: `step` (what was being done), `kind` (the engine's error class or SQLSTATE), `engine_text`
    (the engine's words, shown only with `--show-engine-errors`), `place` (line and column in an analyst's own
    statement, where the engine tells them).
    """

    place: tuple[int, int] | None = None
    position: int = 0  # of a character, from 1

    def __init__(self, step: str, kind: str, engine_text: str = "", hint: str = "") -> None:
        self.step, self.kind, self.engine_text = step, kind, engine_text
        super().__init__(f"{step}: the engine failed ({kind})" + (f"; {hint}" if hint else ""))


class ReleaseError(SqlanonError):
    """A release could not be published, found or taken back; what was published before is as it was."""

    def __init__(self, problem: str, *, exit_status: int = 3) -> None:
        self.exit_status = exit_status
        super().__init__(problem)


class NotPortable(SqlanonError):
    """A query holds something outside the vocabulary that is proved equal on every engine."""
