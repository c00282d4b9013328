"""Where a plan meets an engine: what may be published is looked up, planned, and handed to its publisher.

What is judged is what is published. A release table is made under a staging name, in the transaction that will show it,
measured on its own rows by the verifier, and put in place with its line in the register, or rolled back. Nothing that
was published before is lost before the new release stands.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlanon import linked, register
from sqlanon.engines import Engine, require
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.judging import Job, Starred, Terms
from sqlanon.models import Verdict, k_of
from sqlanon.planning import Planned, drop_instead, make, origin_of, population_of, with_usefulness
from sqlanon.publication import Publish
from sqlanon.publishers import PUBLISHERS, publish_linked, publish_related
from sqlanon.relating import related
from sqlanon.shown import Shown
from sqlanon.spec import Spec
from sqlanon.telling import Tell, silent
from sqlanon.tracing import traced
from sqlanon.verify import Measured


@dataclass(frozen=True)
class Release(Shown):
    """What was published: the plan, the verifier's measures of the published rows, and the line in the register."""

    planned: Planned
    measured: Measured
    entry: register.Entry
    seconds: float
    notes: tuple[str, ...] = ()
    related: tuple[Release, ...] = ()

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def location(self) -> str:
        return self.entry.location

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        return self.measured.verdicts

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.planned.to_dict(),
            "rows_out": self.measured.rows,
            "classes": self.measured.classes,
            "models": [v.to_dict() for v in self.verdicts],
            "seconds": round(self.seconds, 3),
            "fingerprint": self.entry.fingerprint,
            "version": self.entry.version,
            "published": self.entry.kind,
            "location": self.entry.location,
            "owner": self.entry.owner or None,
            "notes": [*self.planned.notes, *self.notes],
            **({"related": [one.to_dict() for one in self.related]} if self.related else {}),
        }


def release(
    spec: Spec, engine: Engine, *, frame: object | None = None, utility: bool = False, tell: Tell = silent,
    action: str = "released", readers: tuple[str, ...] | None = None,
) -> Release:  # fmt: skip
    """Publishes a spec's source if, and only if, every model holds on what was made.

    With `utility`, the whole usefulness of what the plan makes is measured first. The audit log tells `action`;
    `readers` are the roles that may read the release, those of `grant:` if not given. Raises `SpecError`,
    `ModelNotMet` (nothing was published), `EngineError`, `ReleaseError`.
    """
    started = time.monotonic()
    if spec.related:
        if utility or frame is not None:
            told = "usefulness and data frames are not there yet for related tables"
            raise SpecError(told, where="--utility" if utility else "related")
        return _together(spec, engine, action, tell)
    publish = _target(spec, engine, frame, readers)
    terms = replace(_terms(spec, publish, engine, frame, readers), whole=spec)
    spec = spec if frame is not None else traced(spec, engine)
    with engine.working():
        job = _Asked(spec, publish, engine, frame, utility, tell, replace(terms, action=action))
        planned, measured, entry = job.done()
    notes = (terms.owner.note,) if terms.owner.note else ()
    return Release(planned, measured, entry, time.monotonic() - started, notes)


def _together(spec: Spec, engine: Engine, action: str, tell: Tell) -> Release:
    """All tables of a spec about the same persons, in one transaction. Raises as `release` does."""
    started, jobs = time.monotonic(), []
    tables, stands = spec.tables, action == "refreshed" and engine.can("grant")
    readers = [engine.readers(one.publish.name) if stands and one.publish else None for one in tables]
    targets = [(one, _target(one, engine, None, who)) for one, who in zip(tables, readers, strict=True)]
    terms = [
        replace(_terms(one, publish, engine, None, who), action=action, whole=spec)
        for (one, publish), who in zip(targets, readers, strict=True)
    ]
    types = {publish.name: own.types for (_, publish), own in zip(targets, terms, strict=True)}
    terms = [replace(own, types=types) for own in terms]
    with engine.working(), engine.transaction():
        planned, persons = related(spec, engine, tell)
        for (one, publish), table, own in zip(targets, planned, terms, strict=True):
            jobs.append(Job(one, publish, engine, table.planned, tell, own))
        made = publish_related(jobs, planned, k_of(spec.privacy) or 1)
    seconds, note = time.monotonic() - started, terms[0].owner.note
    several = f"{persons.number - persons.small} persons in {persons.classes} classes by their records in all tables"
    notes = (several, *([note] if note else []))
    first, *others = (Release(*one, seconds, notes) for one in made)
    return replace(first, related=tuple(others))


@dataclass(frozen=True)
class _Asked:
    """A release that was asked for, of which it is known where its columns come from, before there is a plan for it."""

    spec: Spec
    publish: Publish
    engine: Engine
    frame: object | None
    utility: bool
    tell: Tell
    terms: Terms

    def done(self) -> tuple[Planned, Measured, register.Entry]:
        """Plans and publishes; without the starred records where their class breaks a model."""
        planned = make(self.spec, self.engine, frame=self.frame, known=True, tell=self.tell)
        if planned.rows_out == 0 or planned.classes == 0:
            raise ModelNotMet("every record would be suppressed; nothing was published", planned.verdicts)
        try:
            return self._published(planned)
        except Starred:
            return self._published(drop_instead(planned))

    def _published(self, planned: Planned) -> tuple[Planned, Measured, register.Entry]:
        if self.utility:
            planned = with_usefulness(planned, self.engine, self.tell)
        publisher = publish_linked if planned.outcome.linked else PUBLISHERS[self.publish.as_]
        job = Job(self.spec, self.publish, self.engine, planned, self.tell, self.terms)
        return (planned, *publisher(job))


def _terms(
    spec: Spec, publish: Publish, engine: Engine, frame: object | None, readers: tuple[str, ...] | None
) -> Terms:
    """Whose the release will be, and what its source is like before it is read. Raises `SpecError`, `ReleaseError`."""
    grants = publish.grant if readers is None else readers
    owner = engine.publisher(grants, publish.owner)
    if frame is not None:
        return Terms(owner, grants)
    origin = origin_of(spec)
    types = {column.name: column.type for column in engine.columns(origin)}
    state = engine.state(origin)  # before any row is read: what changes meanwhile is told, and not missed
    engine.covers(origin, grants)
    if publish.live:
        people = population_of(spec)
        engine.serves(owner, [origin, people] if people else [origin])
    return Terms(owner, grants, engine.named(origin), state, types)


def _target(spec: Spec, engine: Engine, frame: object | None = None, readers: tuple[str, ...] | None = None) -> Publish:
    """Where to publish, once it is clear that nothing of somebody else's stands there."""
    publish = spec.publish
    if publish is None:
        raise SpecError(
            "the spec says not where to publish", where="publish", allowed=("name, as: table | view | file",)
        )
    engine.publisher(publish.grant if readers is None else readers, publish.owner)
    if publish.as_ == "materialized view":
        require(engine, "materialized_view", "a materialized view")
    if publish.as_ == "file":
        require(engine, "file", "publishing a file")
        _free_file(engine, Path(spec.resolve(publish.path or "")), publish.name)
        return publish
    if publish.live and spec.recoding.suppressed == "star":
        raise SpecError(
            "a view cannot vouch for the class of starred records; use drop, or a table", where="recoding.suppressed"
        )
    stands, ours = engine.kind_of(publish.name), register.current(engine, publish.name)
    if spec.recoding.method == "anatomy":
        linked.free(engine, linked.second_name(publish.name), ours)
    if stands and frame is None and engine.reads(origin_of(spec), publish.name):
        raise SpecError("a release may not replace its own source", where="publish.name", found=publish.name)
    if stands and (ours is None or engine.labelled(publish.name) != register.label(ours)):
        raise ReleaseError(f"{publish.name!r} is a {stands} that is no release; nothing was touched", exit_status=2)
    return publish


def _free_file(engine: Engine, path: Path, name: str) -> None:
    if not path.parent.is_dir():
        raise SpecError("there is no such folder", where="publish.path", found=str(path.parent))
    if path.exists() and not _is_release(engine, path, name):
        raise ReleaseError(f"the file {path} is no release of sqlanon; it was not touched", exit_status=2)


def _is_release(engine: Engine, path: Path, name: str) -> bool:
    """Whether a file is a release and nothing else."""
    if path.suffix == ".parquet":
        return engine.parquet_facts(path) is not None
    with engine.attached(path) as catalog:
        inside = [e for e in register.entries(engine, catalog) if e.kind == "file"]
        known = [e for e in inside if engine.labelled(e.name, catalog) == register.label(e)]
        return engine.relations(catalog) == {e.name for e in known} == {name}
