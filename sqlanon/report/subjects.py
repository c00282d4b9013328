"""What a report is about: a release, a plan, or any relation, with all that is known of how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlanon import blanking, life, linked, planning, query, register
from sqlanon.check import check
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, ReleaseError, SpecError
from sqlanon.hierarchies import Hierarchy, Suppress
from sqlanon.models import MODELS, Model, Verdict, guard_of
from sqlanon.planning import Planned
from sqlanon.register import Entry
from sqlanon.remembering import Kept, recall
from sqlanon.spec import FILE_ENDINGS, Spec, load
from sqlanon.telling import Tell
from sqlanon.utility import Described, Recoded

STAGED = "sqlanon reported rows"

Kind = Literal["release", "plan", "relation"]


@dataclass(frozen=True)
class Subject:
    """One thing to report on, for as long as its context is open.

    `rows` are the published (or planned) records, `keys`, `sensitive` and `open` their columns by role. `before` is the
    source where it can be read, else `unread` says why not. `public` is how SQL by itself names the rows, `entity` the
    column of persons in `rows`. `verdicts` go with `models`, one by one. `apart`: an Anatomy, whose sensitive values
    stand in a second relation. `notes`: what has to be known beside the verdict.
    """

    engine: Engine
    kind: Kind
    title: str
    rows: Origin
    keys: tuple[str, ...]
    sensitive: tuple[str, ...]
    models: tuple[Model, ...]
    verdicts: tuple[Verdict, ...]
    holds: bool | None
    open: tuple[str, ...] = ()
    name: str | None = None
    public: str | None = None
    unpublic: str = "nothing is published under a name"
    reference: str | None = None
    spec: Spec | None = None
    levels: Mapping[str, int] | None = None
    before: Origin | None = None
    unread: str = "no source is known"
    entity: str | None = None
    planned: Planned | None = None
    entry: Entry | None = None
    population: Origin | None = None
    unchanged: bool | None = None
    apart: bool = False
    notes: tuple[str, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def records(self) -> int | None:
        """The published records."""
        if self.planned is not None:
            return self.planned.rows_out
        return self.entry.rows_out if self.entry else self.told.get("rows")

    @property
    def persons(self) -> bool:
        """Whether its k counts persons."""
        return self.spec.entity is not None if self.spec else bool(self.entry and self.entry.counted == "persons")

    @property
    def noise(self) -> int:
        """The records of nobody."""
        return self._chance("noise", "noise_rows")

    @property
    def swaps(self) -> int:
        """The pairs of records that exchanged their values."""
        return self._chance("swaps", "swaps")

    def _chance(self, planned: str, kept: str) -> int:
        """A number of the plan, else as the register keeps it."""
        if self.planned is not None:
            return int(getattr(self.planned.outcome, planned))
        return int(json.loads(self.entry.made).get(kept, 0)) if self.entry else 0

    @property
    def recoded(self) -> tuple[Recoded, ...]:
        """The quasi-identifiers of the source and how they are published; none where no spec tells."""
        if self.spec is None:
            return ()
        return tuple(_recoded(self.spec, name, self.levels) for name in self.spec.quasi_identifiers)

    @property
    def hierarchies(self) -> dict[str, Hierarchy]:
        """The hierarchies of the spec's columns."""
        columns = self.spec.columns if self.spec else {}
        return {name: column.hierarchy for name, column in columns.items() if column.hierarchy is not None}


def _recoded(spec: Spec, name: str, levels: Mapping[str, int] | None) -> Recoded:
    declared = spec.columns[name]
    hierarchy = declared.hierarchy or Suppress()
    made = Recoded(name, hierarchy, hierarchy.rows(Path(spec.base)), declared.represent, declared.weight)
    if levels is None:
        return made
    level, starred = levels[name], spec.recoding.suppressed == "star" and levels[name] < made.height
    stands = (level, made.height) if starred else (level,)
    return Recoded(name, hierarchy, made.rows, declared.represent, declared.weight, stands)


# -- opening -----------------------------------------------------------------------------------------------------------


@contextmanager
def subject(
    engine: Engine, what: str | Path | Spec | Origin, spec: Spec | None, quasi_identifiers: Sequence[str],
    sensitive: Sequence[str], tell: Tell,
) -> Iterator[Subject]:  # fmt: skip
    """What is meant by a name, a path or a spec. Raises `SpecError`, `ModelNotMet`, `EngineError`, `ReleaseError`."""
    by_hand = bool(quasi_identifiers or sensitive or spec)
    if isinstance(what, Spec) or (str(what).lower().endswith((".yaml", ".yml")) and not by_hand):
        with _plan(engine, what if isinstance(what, Spec) else load(Path(str(what))), tell) as found:
            yield found
    elif not by_hand and not isinstance(what, Origin) and life.is_release(engine, str(what)):
        with _release(engine, str(what), tell) as found:
            yield found
    elif not by_hand:
        known = register.entries(engine)
        names = sorted({e.name for e in known if e.status == "published"})
        gone = any(e.name == str(what) and e.status == "withdrawn" for e in known)
        raise SpecError(
            "this release was withdrawn; there is nothing to report on" if gone
            else "this is no release and no spec; for any other relation give --spec, or --qi and --sensitive",
            where="NAME", found=str(what), allowed=names,
        )  # fmt: skip
    else:
        yield _relation(engine, what, spec, quasi_identifiers, sensitive, tell)


@contextmanager
def _plan(engine: Engine, spec: Spec, tell: Tell) -> Iterator[Subject]:
    if spec.related:
        raise SpecError(
            "a spec of related tables is reported table by table, by the name of each release", where="spec"
        )
    planned = planning.make(spec, engine, tell=tell)
    plan, source = planned.plan, planned.plan.source
    tell("staging the planned rows", None)
    blanking.stage(engine, plan, STAGED)
    publish, second = spec.publish, planned.outcome.linked
    named = publish is not None and publish.as_ != "file" and second is None
    path = [*([engine.schema] if engine.can("grant") else []), publish.name] if publish else []
    beside = second.sensitive if second else None
    people = plan.population
    try:
        yield Subject(
            engine, "plan", f"Plan of {publish.name}" if publish else "Plan", Origin(relation=STAGED),
            spec.quasi_identifiers if second else plan.keys,
            tuple(n for n in spec.sensitive if n != beside), plan.models, planned.verdicts, planned.holds,
            open=_open(spec), name=publish.name if publish else None,
            public=engine.rendered(query.table(*path)) if named else None,
            unpublic=_ANATOMY if second else "nothing is published under a name", spec=spec, levels=plan.levels,
            reference=None if source.working else source.reference,
            before=Origin(query=f"SELECT * FROM {source.untouched} AS s"),
            entity=spec.entity if spec.entity in source.carried else None, planned=planned,
            population=Origin(query=engine.rendered(people)) if people else None, apart=second is not None,
        )  # fmt: skip
    finally:
        engine.drop_temporary(STAGED)


_ANATOMY = "the release is two linked tables, and its models are about both together: sqlanon verify measures them"


def _open(spec: Spec) -> tuple[str, ...]:
    return tuple(name for name in spec.published if spec.columns[name].role == "insensitive")


@contextmanager
def _release(engine: Engine, name: str, tell: Tell) -> Iterator[Subject]:
    tell("verifying the release", None)
    verified = life.verify(engine, name)
    with life.opened(engine, name) as (entry, item):
        there = register.current(engine, entry.name)
        kept, lost = _kept(entry if entry.spec else there or entry)
        spec = _own(kept.spec, entry.name) if kept else None
        before, unread = _source(engine, spec) if spec else (None, lost)
        recheck, second = json.loads(entry.recheck), linked.of(entry)
        promised = [promise["column"] for promise in json.loads(entry.promises) if promise["column"]]
        columns = engine.names(item)
        sensitive = spec.sensitive if spec else tuple(dict.fromkeys(promised))
        people = recheck.get("population")
        yield Subject(
            engine, "release", f"Release {entry.name}", Origin(query=f"SELECT * FROM {item} AS s"),
            _known(entry, spec, columns), tuple(n for n in sensitive if n in columns),
            _models(verified.verdicts), verified.verdicts, verified.holds, open=_open(spec) if spec else (),
            name=entry.name, public=None if second else item, unpublic=_ANATOMY, spec=spec,
            reference=recheck.get("reference"), levels=_levels(kept, entry.name), before=before, unread=unread,
            entry=entry, population=Origin(query=people[1:-1]) if people and before else None,
            unchanged=_state(engine, spec, entry) if before and spec else None, apart=second is not None,
            notes=(*_ended(engine, entry), *verified.notes),
        )  # fmt: skip


def _known(entry: Entry, spec: Spec | None, columns: Sequence[str]) -> tuple[str, ...]:
    """What outsiders know of the published rows; in an Anatomy its quasi-identifiers, and not the group's number."""
    keys: list[str] = json.loads(entry.quasi_identifiers)
    if linked.of(entry) is None:
        return tuple(keys)
    known = spec.quasi_identifiers if spec else columns
    return tuple(name for name in known if name in columns and name not in keys) or tuple(keys)


def _ended(engine: Engine, entry: Entry) -> Iterator[str]:
    """Why a release is not to be used any more, though its rows may be as they were."""
    if entry.expired and entry.expires_at:
        yield f"the release has expired, on {entry.expires_at:%Y-%m-%d}"
    own = [one for one in register.entries(engine) if one.name == entry.name]
    if entry.kind == "file" and own and not any(
        one.status == "published" and one.version == entry.version for one in own
    ):  # fmt: skip
        newer = next((one.version for one in own if one.status == "published"), None)
        yield "the release was withdrawn" if newer is None else f"the release was superseded, by version {newer}"


def _models(verdicts: Sequence[Verdict]) -> tuple[Model, ...]:
    """The models behind verdicts that a register keeps."""
    found = []
    for told in verdicts:
        parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in told.parameters.items()}
        found.append(MODELS[told.model](**({"column": told.column} if told.column else {}), **parameters))
    return tuple(found)


def _kept(entry: Entry) -> tuple[Kept | None, str]:
    """The spec that the register keeps, or why there is none to read."""
    try:
        kept = recall(entry.spec)
    except (SpecError, KeyError, ValueError):
        return None, "the register's spec was kept by another version of sqlanon"
    return kept, "the register keeps no spec of this release, so its source is not known"


def _own(spec: Spec, name: str) -> Spec:
    """The spec of the one table of this name."""
    return next((one for one in spec.tables if one.publish and one.publish.name == name), spec)


def _levels(kept: Kept | None, name: str) -> Mapping[str, int] | None:
    if kept is None:
        return None
    return kept.levels or _own(kept.spec, name).recoding.levels


def _source(engine: Engine, spec: Spec) -> tuple[Origin | None, str]:
    """The source where it is there and has the columns of the spec, or why it cannot be read."""
    origin = planning.origin_of(spec)
    try:
        there = {column.name for column in engine.columns(origin)}
        engine.run(
            "look whether the source can be read", query.Text(f"SELECT 1 FROM {engine.origin(origin)} AS s LIMIT 1")
        )
    except (SpecError, EngineError):
        return None, "the source cannot be read any more"
    lost = [name for name in (*spec.quasi_identifiers, *spec.sensitive) if name not in there]
    return (None, "the source has no more the columns that it had") if lost else (origin, "")


def _state(engine: Engine, spec: Spec, entry: Entry) -> bool | None:
    """Whether the source is as it was at the release; None where nobody knows."""
    now = engine.state(planning.origin_of(spec)) if entry.source_state else None
    return None if now is None else now == entry.source_state


def _relation(
    engine: Engine, what: str | Path | Origin, spec: Spec | None, quasi_identifiers: Sequence[str],
    sensitive: Sequence[str], tell: Tell,
) -> Subject:  # fmt: skip
    origin = what if isinstance(what, Origin) else _origin(str(what))
    origin = Described.by(spec).read(engine, origin) if spec else origin
    there = {column.name for column in engine.columns(origin)}
    keys, secret = tuple(quasi_identifiers), tuple(sensitive)
    models: tuple[Model, ...] = ()
    lost: tuple[Model, ...] = ()
    if spec is not None:
        own = [n for one in spec.quasi_identifiers for n in _published(spec, one)]
        keys, secret = keys or tuple(own), secret or tuple(n for n in spec.sensitive if n in there)
        beside = {"population", *(["persons"] if spec.entity else [])}  # without the source, persons are not told apart
        lost = tuple(m for m in spec.privacy if m.reads & beside or (guard_of(m) or "") not in {"", *there})
        models = tuple(m for m in spec.privacy if m not in lost)
    tell("measuring", None)
    arranged = {n: c.hierarchy for n, c in spec.columns.items() if c.hierarchy} if spec else {}
    found = check(
        engine, origin, quasi_identifiers=keys, sensitive=secret, models=models, hierarchies=arranged,
        base=Path(spec.base) if spec else Path(),
    )  # fmt: skip
    before, unread = _source(engine, spec) if spec else (None, "no source is known: give the spec")
    if before is not None and str(before) == str(origin):
        before, unread = None, "the relation is the source itself"
    open_ = ", ".join(m.name for m in lost)
    notes = (
        *([f"not judged, since the relation alone does not decide it: {open_}"] if lost else []),
        *(["comparisons are with the relation itself, and not with its source"]
          if any("table" in m.reads for m in models) else []),
    )  # fmt: skip
    called = origin.file.name if origin.file else str(origin)  # its folders are nobody's business outside
    return Subject(
        engine, "relation", f"Relation {called}", origin, keys, secret, found.models, found.verdicts,
        None if lost and found.holds else found.holds,
        open=tuple(n for n in _open(spec) if n in there) if spec else (), name=called,
        public=engine.origin(origin), spec=spec, before=before, unread=unread, notes=notes, told={"rows": found.rows},
        entity=spec.entity if spec and spec.entity in there else None,
    )  # fmt: skip


def _origin(text: str) -> Origin:
    return Origin(file=Path(text)) if text.lower().endswith(FILE_ENDINGS) else Origin(relation=text)


def _published(spec: Spec, name: str) -> tuple[str, ...]:
    return (f"{name}_from", f"{name}_to") if spec.columns[name].represent == "bounds" else (name,)


def read_error(error: ReleaseError | SpecError | EngineError) -> str:
    """Why a part of a report is missing, in one sentence without a cell value."""
    return str(getattr(error, "problem", error)).split("\n")[0]
