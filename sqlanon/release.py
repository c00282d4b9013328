"""Where a plan meets an engine: stage, judge, publish, register.

What is judged is what is published. A release table is made under a staging name, in the transaction that will show it,
measured on its own rows by the verifier, and put in place with its line in the register, or rolled back. Where persons
are counted, and for a view, a working copy is judged that carries the entity, and a digest proves that the published
rows are the same. Nothing that was published before is lost before the new release stands.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlanon import blanking, gates, linked, query, register
from sqlanon.engines import Engine, require
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.hierarchies import Order
from sqlanon.models import Verdict, k_of
from sqlanon.plan import Plan
from sqlanon.planning import Planned, drop_instead, make, origin_of, shuffled, values_shuffled, with_usefulness
from sqlanon.preparing import secret_key
from sqlanon.query import Query
from sqlanon.recoding.catalogue import IDENTITY
from sqlanon.spec import Publish, Spec
from sqlanon.telling import Tell, silent
from sqlanon.verify import COUNTED, Measured, Published, counted, verify

_STAGED = blanking.STAGED


@dataclass(frozen=True)
class Release:
    """What was published: the plan, the verifier's measures of the published rows, and the line in the register."""

    planned: Planned
    measured: Measured
    entry: register.Entry
    seconds: float

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
        }


def release(
    spec: Spec, engine: Engine, *, frame: object | None = None, utility: bool = False, tell: Tell = silent
) -> Release:
    """Publishes a spec's source if, and only if, every model holds on what was made.

    With `utility`, the whole usefulness of what the plan makes is measured first. Raises `SpecError`, `ModelNotMet`
    (nothing was published), `EngineError`, `ReleaseError`.
    """
    started = time.monotonic()
    publish = _target(spec, engine, frame)
    with engine.working():
        planned, measured, entry = _released(spec, publish, engine, frame, utility, tell)
    return Release(planned, measured, entry, time.monotonic() - started)


def _released(
    spec: Spec, publish: Publish, engine: Engine, frame: object | None, utility: bool, tell: Tell
) -> tuple[Planned, Measured, register.Entry]:
    planned = make(spec, engine, frame=frame, tell=tell)
    if planned.rows_out == 0 or planned.classes == 0:
        raise ModelNotMet("every record would be suppressed; nothing was published", planned.verdicts)
    publisher = _publish_linked if planned.outcome.linked else _PUBLISHERS[publish.as_]
    planned = with_usefulness(planned, engine, tell) if utility else planned
    try:
        measured, entry = publisher(_Job(spec, publish, engine, planned, tell))
    except _Starred:
        planned = drop_instead(planned)
        planned = with_usefulness(planned, engine, tell) if utility else planned
        measured, entry = publisher(_Job(spec, publish, engine, planned, tell))
    return planned, measured, entry


class _Starred(Exception):
    """The class of starred records broke a model; the release is made again without it."""


def _target(spec: Spec, engine: Engine, frame: object | None) -> Publish:
    """Where to publish, once it is clear that nothing of somebody else's stands there."""
    publish = spec.publish
    if publish is None:
        raise SpecError(
            "the spec says not where to publish", where="publish", allowed=("name, as: table | view | file",)
        )
    engine.publisher(publish.grant)
    if publish.as_ == "file":
        require(engine, "file", "publishing a file")
        _free_file(engine, Path(spec.resolve(publish.path or "")), publish.name)
        return publish
    if publish.as_ == "view" and spec.recoding.suppressed == "star":
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


# -- publishing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """One release in the making."""

    spec: Spec
    publish: Publish
    engine: Engine
    planned: Planned
    tell: Tell

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    @property
    def separate(self) -> bool:
        """Whether the judged rows need something beside them that is not published."""
        source = self.plan.source
        return bool(source.carried or source.blanked or source.spec.rules) or self.publish.as_ == "view"

    def stage(self) -> None:
        """A working copy of the released rows with what is needed beside them."""
        if self.separate:
            self.tell("staging", None)
            if blanking.stage(self.engine, self.plan) != self.planned.blanked:
                raise ReleaseError("the source has changed since it was planned; nothing was published")

    def clear(self) -> None:
        """Drops the working copy."""
        if self.separate:
            self.engine.drop_temporary(_STAGED)

    def rows(self) -> Query:
        """The steps that fill what is published, in the keyed order."""
        if not self.separate:
            return shuffled(self.plan, self.engine)
        columns = [query.column(name) for name in self.plan.published]
        made = Query(()).then("released", query.select(columns, _STAGED))
        return self.engine.shuffled(made, self.plan.published)

    def judge(self, item: str) -> Measured:
        """The verifier's measures of what was made; raises `ModelNotMet` unless every model holds on it."""
        self.tell("verifying the published rows", None)
        judged = self.engine.sql(query.table(_STAGED)) if self.separate else item
        rows = self._published(judged)
        if self.once:
            rows = counted(self.engine, rows, self.plan.published, self.plan.number)
        measured = verify(self.engine, rows, self.plan.models)
        measured = replace(measured, verdicts=blanking.told(measured.verdicts, self.planned.blanked))
        if not measured.holds:
            broken = ModelNotMet(_broken(measured.verdicts), measured.verdicts)
            raise _Starred if self.plan.suppressed == "star" else broken
        if self.plan.suppressed != "star":
            _agree(self.planned.verdicts, measured.verdicts)
        if blocking := [rule for rule in gates.judge(self.engine, self.plan, self.planned.blanked) if rule.blocks]:
            told = "; ".join(map(str, blocking))
            raise ModelNotMet(f"a rule blocks the release ({told}); nothing was published", measured.verdicts, blocking)
        if self.separate and self._digest(judged) != self._digest(item):
            raise ReleaseError("the published rows are not the ones that were judged; nothing was published")
        return measured

    @property
    def once(self) -> bool:
        """Whether the published rows are read back but once, equal ones together: most are known to be equal."""
        return self.plan.counted is not None and not self.separate

    def _digest(self, item: str) -> str:
        counted = (self.engine.sql(query.table(COUNTED)), self.plan.published, self.plan.number)
        return self.engine.digest(*(counted if self.once else (item, self.plan.published)))

    def _published(self, item: str) -> Published:
        """What the verifier needs to know of the released rows; nothing of how they were computed."""
        source = self.plan.source
        columns = source.spec.columns
        arranged = {n: columns[n].hierarchy for n in source.sensitive}
        orders = {n: hierarchy.values for n, hierarchy in arranged.items() if isinstance(hierarchy, Order)}
        trees = {n: rows for n, rows in source.rows.items() if n in source.sensitive}
        people = self.plan.population
        population = f"({self.engine.sql(people)})" if people else None
        return Published(item, self.plan.keys, self.spec.entity, source.reference, orders, trees, population)

    def entry(self, measured: Measured, location: str, item: str) -> register.Entry:
        """The line for the register: facts, with the number of suppressed records made coarse."""
        planned, engine = self.planned, self.engine
        k = k_of(self.plan.models) or 0
        versions = {"sqlanon": register.version(), engine.name: engine.version, "sqlglot": query.version()}
        facts = [planned.plan.fingerprint, json.dumps(versions, sort_keys=True)]
        made, lifetime = register.now(), self.publish.lifetime
        return register.Entry(
            name=self.publish.name, version=register.next_version(engine, self.publish.name), status="published",
            kind=self.publish.as_, location=location,
            fingerprint="sha256:" + hashlib.sha256("\n".join(facts).encode()).hexdigest(),
            versions=json.dumps(versions), rows_out=measured.rows,
            suppressed_at_most=register.coarse(planned.suppressed, k), classes=measured.classes,
            quasi_identifiers=json.dumps(self.plan.keys), counted="persons" if self.spec.entity else "records",
            promises=json.dumps([v.to_dict() for v in measured.verdicts]),
            utility=json.dumps({name: float(f"{planned.utility[name]:.3g}") for name in self._kept_measures()}),
            digest=self._digest(item), recheck=self._recheck(), released_at=made, released_by=engine.user,
            expires_at=made + lifetime if lifetime else None, made=json.dumps(self.made()),
        )  # fmt: skip

    def made(self) -> dict[str, Any]:
        """What was done to the values beside recoding, as far as a reader may know it: never a key."""
        outcome, k = self.planned.outcome, k_of(self.plan.models) or 0
        told: dict[str, Any] = {
            "transforms": [transform.to_dict() for transform in self.spec.transforms],
            "noise_rows": outcome.noise, "swaps": outcome.swaps,
            "cells_blanked_at_most": register.coarse(outcome.cells, k) if outcome.cells else 0,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}

    def _kept_measures(self) -> list[str]:
        """The totals that the register keeps, which anybody who reads the release may know."""
        named = ("loss", "precision", "gcp", self.spec.recoding.loss or "gcp", "discernibility", "average_class_size",
                 "normalized_average_class_size")  # fmt: skip
        return [name for name in dict.fromkeys(n.replace("-", "_") for n in named) if name in self.planned.utility]

    def _recheck(self) -> str:
        """What `verify` needs later, as far as a reader may know it: a file tells nothing of its source."""
        closed = {"closed": self._closed()} if self._closed() else {}
        if self.publish.as_ == "file":
            return json.dumps(closed)
        needed = self._published("")
        told: dict[str, Any] = {
            # What was drawn is drawn no more: comparisons with it then stand as judged.
            "reference": None if self.plan.source.working else needed.reference, "orders": needed.orders,
            "trees": needed.trees, "population": needed.population, **closed,
        }  # fmt: skip
        if self.publish.as_ == "view":
            told |= {"staged": self.engine.sql(self.plan.staged), "entity": self.spec.entity}
        return json.dumps(told)

    def _closed(self) -> list[str]:
        """The quasi-identifiers whose published bounds are both in what they hold: a partition's, of no hierarchy."""
        columns = self.plan.source.spec.columns
        names = self.plan.source.quasi_identifiers if self.plan.levels is None else ()
        return [n for n in names if columns[n].represent != "label" and columns[n].hierarchy is None]

    def _recoded(self, name: str) -> tuple[str, ...]:
        """How a quasi-identifier was recoded."""
        source, hierarchy = self.plan.source, self.plan.source.spec.columns[name].hierarchy
        cells = self.planned.outcome.cells
        blanks = ["missing in some records, to keep them: one value of a record at most"] * bool(cells)
        if self.plan.levels is not None:
            level = f"level {self.plan.levels[name]} of {source.height(name)}"
            return (f"{source.hierarchy(name).name} hierarchy", level, *blanks)
        if self.planned.outcome.linked:
            return ("as it is",)
        kind = f"{hierarchy.name} hierarchy" if hierarchy else "without a hierarchy"
        return (kind, "local recoding: what covers the values of its class", *blanks)

    def comments(self) -> dict[str, str]:
        """What was done to each published quasi-identifier or transformed column, for a reader of the release."""
        source = self.plan.source
        told: dict[str, str] = {}
        for name, declared in source.spec.columns.items():
            words = [transform.told for transform in source.spec.transforms if name in transform.touched]
            labels = self.plan.recoded.keys.get(name, (name,))
            if declared.role == "quasi-identifier":
                words = ["quasi-identifier", *words, *self._recoded(name)]
            elif words:
                words = [declared.role, *words]
            if words:
                told |= {label: ", ".join(words) for label in labels if label in self.plan.published}
        plain = {name: column.role for name, column in source.spec.columns.items() if name not in told}
        return told | {name: f"{plain[name]}, published as it is" for name in plain if name in self.plan.published}


def _broken(verdicts: tuple[Verdict, ...]) -> str:
    broken = [v for v in verdicts if not v.holds]
    told = "; ".join(
        f"{v.model}{f' of {v.column}' if v.column else ''}: {_number(v.value)} against {_number(v.bound)},"
        f" {v.classes_violating} classes, {v.rows_violating} records"
        for v in broken
    )
    return f"the made release does not hold ({told}); nothing was published"


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"


def _agree(planned: tuple[Verdict, ...], measured: tuple[Verdict, ...]) -> None:
    """Planner and verifier must come to the same numbers in their two ways; if not, one is wrong."""
    for theirs, ours in zip(planned, measured, strict=True):
        numbers = [math.nan if v.value is None else v.value for v in (theirs, ours)]
        missing = [math.isnan(number) for number in numbers]
        if missing != [True, True] and not math.isclose(*numbers, rel_tol=1e-9, abs_tol=1e-9):
            raise ReleaseError(
                f"planner and verifier disagree on {ours.model}: {_number(theirs.value)} and {_number(ours.value)}"
                " (has the source changed meanwhile?); nothing was published"
            )


def _publish_table(job: _Job) -> tuple[Measured, register.Entry]:
    engine, name = job.engine, job.publish.name
    stage = f"{name} (staged by sqlanon)"
    with engine.transaction():
        job.stage()
        job.tell("writing the table", None)
        engine.create_table("write the release", [engine.schema, stage], job.rows(), secret_key())
        item = engine.sql(query.table(engine.schema, stage))
        measured = job.judge(item)
        entry = job.entry(measured, f"{engine.schema}.{name}", item)
        _drop_previous(engine, name)
        engine.rename([engine.schema, stage], name)
        for column, text in job.comments().items():
            engine.comment([engine.schema, name], column, text)
        engine.label([engine.schema, name], "table", register.label(entry))
        engine.protect([engine.schema, name], "table", job.publish.grant)
        register.write(engine, entry)
        job.clear()
    return measured, entry


def _publish_linked(job: _Job) -> tuple[Measured, register.Entry]:
    """The two tables of an Anatomy, both or none."""
    engine, how = job.engine, job.planned.outcome.linked
    if how is None:
        raise ValueError("an Anatomy has a second relation")
    names = (job.publish.name, linked.second_name(job.publish.name))
    stages, key = [f"{name} (staged by sqlanon)" for name in names], secret_key()
    with engine.transaction():
        job.tell("writing the tables", None)
        for stage, rows in zip(stages, (job.rows(), values_shuffled(how, engine)), strict=True):
            engine.create_table("write the release", [engine.schema, stage], rows, key)
        first, second = (engine.sql(query.table(engine.schema, stage)) for stage in stages)
        measured = job.judge(linked.records_of(engine, how, second))
        if not linked.agree(engine, how, first, second):
            raise ReleaseError("the two tables do not go together; nothing was published")
        facts = {"linked": linked.told(engine, how, names[0], second), "warning": IDENTITY}
        entry = replace(
            job.entry(measured, f"{engine.schema}.{names[0]}", first), made=json.dumps({**job.made(), **facts})
        )
        _drop_previous(engine, names[0])
        for stage, name in zip(stages, names, strict=True):
            engine.rename([engine.schema, stage], name)
            engine.comment([engine.schema, name], how.group, f"links {names[0]} and {names[1]}. {IDENTITY}")
            engine.label([engine.schema, name], "table", register.label(entry))
        for column, text in job.comments().items():
            if column != how.group:
                engine.comment([engine.schema, names[0]], column, text)
        register.write(engine, entry)
    return measured, entry


def _publish_view(job: _Job) -> tuple[Measured, register.Entry]:
    engine, name = job.engine, job.publish.name
    with engine.transaction():
        job.stage()
        _drop_previous(engine, name)
        engine.create_view("create the view", [engine.schema, name], job.plan.query)
        item = engine.sql(query.table(engine.schema, name))
        measured = job.judge(item)
        entry = job.entry(measured, f"{engine.schema}.{name}", item)
        for column, text in job.comments().items():
            engine.comment([engine.schema, name], column, text)
        engine.label([engine.schema, name], "view", register.label(entry))
        engine.protect([engine.schema, name], "view", job.publish.grant)
        register.write(engine, entry)
        job.clear()
    return measured, entry


def _publish_file(job: _Job) -> tuple[Measured, register.Entry]:
    """A fresh file beside its final name, judged there, then put in place in one step."""
    path = Path(job.spec.resolve(job.publish.path or "")).absolute()
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    job.stage()
    try:
        measured, entry = (_write_parquet if path.suffix == ".parquet" else _write_database)(job, part, path)
        job.clear()
        _put_in_place(job.engine, part, path, entry)
    finally:
        for left in (part, part.with_name(part.name + ".wal"), part.with_name(part.name + ".facts.parquet")):
            left.unlink(missing_ok=True)
    return measured, entry


def _put_in_place(engine: Engine, part: Path, path: Path, entry: register.Entry) -> None:
    """Renames a judged file to its name, between the writing of its line in the register and the commit of that line.

    The file that stood there before is kept until the commit, and comes back where it fails.
    """
    if not engine.persistent:
        part.replace(path)
        return
    before = part.with_name(part.name + ".before")
    try:
        with engine.transaction():
            register.write(engine, entry)
            if path.exists():
                os.link(path, before)
            part.replace(path)
    except BaseException:
        if before.exists():
            before.replace(path)
        elif not part.exists():
            path.unlink(missing_ok=True)
        raise
    finally:
        before.unlink(missing_ok=True)


def _write_database(job: _Job, part: Path, path: Path) -> tuple[Measured, register.Entry]:
    engine, name = job.engine, job.publish.name
    with engine.attached(part, create=True) as catalog, engine.transaction():
        job.tell("writing the file", None)
        engine.create_table("write the release", [catalog, "main", name], job.rows(), secret_key())
        item = engine.sql(query.table(catalog, "main", name))
        measured = job.judge(item)
        for column, text in job.comments().items():
            engine.comment([catalog, "main", name], column, text)
        entry = job.entry(measured, str(path), item)
        engine.label([catalog, "main", name], "table", register.label(entry))
        register.write(engine, entry, catalog)
    return measured, entry


def _write_parquet(job: _Job, part: Path, path: Path) -> tuple[Measured, register.Entry]:
    """Twice: the manifest in the file's metadata can only be known once the rows were judged."""
    engine, key = job.engine, secret_key()
    rows = part.with_name(part.name + ".facts.parquet")
    job.tell("writing the file", None)
    engine.export_parquet("write the release", job.rows(), rows, "{}", key)
    item = engine.reader(rows)
    measured = job.judge(item)
    entry = job.entry(measured, str(path), item)
    facts = entry.to_dict() | ({"recheck": json.loads(entry.recheck)} if entry.recheck != "{}" else {})
    engine.export_parquet("write the manifest", query.Text(f"SELECT * FROM {item}"), part, json.dumps(facts), key)
    if engine.digest(engine.reader(part), job.plan.published) != entry.digest:
        raise ReleaseError("the written file does not hold the rows that were judged; nothing was published")
    return measured, entry


_PUBLISHERS: dict[str, Callable[[_Job], tuple[Measured, register.Entry]]] = {
    "table": _publish_table, "view": _publish_view, "file": _publish_file,
}  # fmt: skip


def _drop_previous(engine: Engine, name: str) -> None:
    kind, before = engine.kind_of(name), register.current(engine, name)
    if before:
        linked.drop(engine, before)
    if kind:
        engine.drop([engine.schema, name], kind)
