"""A release made again from its source as it is now, by the spec that the register keeps; and whether that is due.

The new version is planned, judged and put in place as any release is, in one transaction: whoever reads meanwhile reads
the version before or the new one. What fails leaves the version before. A source that is not what it was declared to be
(a column more or less, another type, a value that no hierarchy knows) is refused.

On Postgres, a reader whose REPEATABLE READ transaction began before the swap and who had not read the release yet sees
the new table, and none of its rows: they are newer than what he may see. Readers in READ COMMITTED, as by default, see
one version or the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlanon import register
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, ModelNotMet, ReleaseError, SpecError
from sqlanon.planning import origin_of
from sqlanon.register import Entry
from sqlanon.release import Release, release
from sqlanon.remembering import Kept, recall
from sqlanon.spec import Spec
from sqlanon.telling import Tell, silent


@dataclass(frozen=True)
class Refreshed(Release):
    """A release that took the place of another version; `frozen` says whether the levels were kept."""

    before: int = 0
    frozen: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "previous_version": self.before, "frozen": self.frozen}


def refresh(engine: Engine, name: str, *, anew: bool = False, utility: bool = False, tell: Tell = silent) -> Refreshed:
    """Publishes a release again from what its source holds now; the roles that may read it may read the new version.

    Where the release has one level per column for the whole table, these levels are kept, so that two versions differ
    by their records alone; `anew` plans them again. Levels that a spec names are always kept.

    Two versions of one release, read by the same people, tell who came and went: `attack NAME --with OTHER` says what.

    Raises `SpecError` where the source is no more what the spec declares, `ModelNotMet` where a model would not hold,
    `EngineError`, `ReleaseError`; the version before then stands as it was.
    """
    entry = register.require(engine, name)
    kept = kept_of(entry)
    _drifted(engine, kept)
    frozen = kept.levels is not None and not anew
    try:
        made = release(
            kept.frozen if frozen else kept.spec, engine, utility=utility, tell=tell, action="refreshed",
            readers=_readers(engine, entry),
        )  # fmt: skip
    except ModelNotMet as error:
        if not frozen:
            raise
        told = f"{error}; the levels are those of version {entry.version}: plan them anew with --anew"
        raise ModelNotMet(told, error.models, error.rules) from None
    return Refreshed(
        made.planned, made.measured, made.entry, made.seconds, made.notes, made.related, entry.version, frozen
    )


def kept_of(entry: Entry) -> Kept:
    """What the register keeps of a release, to make it again. Raises `ReleaseError` where it keeps no spec."""
    try:
        kept = recall(entry.spec)
    except (SpecError, KeyError, ValueError):
        kept = None
    if kept is None:
        told = f"the register keeps no spec of {entry.name!r} that could be used; release it again from its spec"
        raise ReleaseError(told, exit_status=2)
    return kept


def _readers(engine: Engine, entry: Entry) -> tuple[str, ...] | None:
    """Who may read a release at this moment, whatever its spec says: rights that were taken away stay away."""
    return engine.readers(entry.name) if engine.can("grant") and entry.kind != "file" else None


def _drifted(engine: Engine, kept: Kept) -> None:
    """Refuses a source whose columns are not those that were released from. Raises `SpecError`."""
    for spec, types in kept.tables.values():
        _same(engine, spec, types)


def _same(engine: Engine, spec: Spec, types: Mapping[str, str]) -> None:
    origin = origin_of(spec)
    now = {column.name: column.type for column in engine.columns(origin)}
    for what, names in (("new", now.keys() - types.keys()), ("missing", types.keys() - now.keys())):
        if names:
            told = f"the source has drifted: {what} since the release: {', '.join(map(repr, sorted(names)))}"
            raise SpecError(f"{told}; change the spec and release from it", where="columns")
    for name, kind in now.items():
        if kind != types[name]:
            told = f"the source has drifted: the column is of type {kind}, and was of type {types[name]}"
            raise SpecError(f"{told}; look at the spec and release from it", where=f"columns.{name}")


@dataclass(frozen=True)
class Standing:
    """A line of the register as it stands today.

    `stale`: whether the source has changed since it was read for the release, by the mark that the engine keeps of it
    (`Engine.state` says what that can miss); None where nobody can tell, or for a version that is not published.
    """

    entry: Entry
    stale: bool | None = None

    @property
    def refresh_recommended(self) -> bool:
        """Whether a refresh would publish something newer: stale, not expired, and with a spec to do it by."""
        return self.stale is True and self.entry.kind != "view" and not self.entry.expired and bool(self.entry.spec)

    def to_dict(self) -> dict[str, Any]:
        return {**self.entry.to_dict(), "stale": self.stale, "refresh_recommended": self.refresh_recommended}


def standing(engine: Engine) -> list[Standing]:
    """Every version of every release, the newest first, and whether its source has changed since.

    Raises `EngineError`.
    """
    known: dict[Origin, str | None] = {}
    return [Standing(entry, _stale(engine, entry, known)) for entry in register.entries(engine)]


def _stale(engine: Engine, entry: Entry, known: dict[Origin, str | None]) -> bool | None:
    if entry.status != "published" or not entry.source_state or not entry.spec:
        return None
    try:
        kept = recall(entry.spec)
        origin = origin_of(kept.tables[entry.name][0]) if kept else None
        if origin is not None and origin not in known:
            known[origin] = engine.state(origin)
        now = known[origin] if origin is not None else None
    except (EngineError, SpecError, KeyError, ValueError):  # the source is gone, or out of reach for who asks
        return None
    return None if now is None else now != entry.source_state
