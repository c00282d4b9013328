"""The forms of a release: each is staged, judged on its own rows, put in place with its line in the register, or not.

A release table is made under a staging name, in the transaction that will show it, and renamed when it was judged.
Nothing that was published before is lost before the new release stands.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlanon import linked, query, register, relating
from sqlanon.composing import Seen
from sqlanon.engines import Engine, Origin
from sqlanon.errors import ReleaseError
from sqlanon.judging import Job
from sqlanon.ledger import gate
from sqlanon.planning import Planned, values_shuffled
from sqlanon.preparing import secret_key
from sqlanon.recoding.catalogue import IDENTITY
from sqlanon.verify import Measured


def _staged(name: str) -> str:
    """The name under which a relation is made and judged."""
    return f"{name} (staged by sqlanon)"


def _publish_table(job: Job) -> tuple[Measured, register.Entry]:
    def make(path: Sequence[str]) -> None:
        job.engine.create_table("write the release", path, job.rows(), secret_key())

    return _publish_staged(job, "table", make)


def _publish_materialized(job: Job) -> tuple[Measured, register.Entry]:
    """A materialized view of a name of its own, in the place of the one before: it is never refreshed as it stands."""

    def make(path: Sequence[str]) -> None:
        job.engine.create_view("write the release", path, job.plan.query, "materialized view")

    return _publish_staged(job, "materialized view", make)


def _publish_staged(job: Job, kind: str, make: Callable[[Sequence[str]], None]) -> tuple[Measured, register.Entry]:
    """What is made under a staging name, judged there, and put in place."""
    engine, name = job.engine, job.publish.name
    path = [engine.schema, _staged(name)]
    with engine.transaction():
        job.stage()
        job.tell(f"writing the {kind}", None)
        make(path)
        engine.hand_over(path, kind, job.terms.owner)
        item = engine.rendered(query.table(*path))
        measured = job.judge(item)
        entry = job.entry(measured, f"{engine.schema}.{name}", item)
        _open(job, path, entry, measured)
        _put(job, entry)
        job.clear()
    return measured, entry


def _open(job: Job, path: Sequence[str], entry: register.Entry, measured: Measured) -> None:
    """Tells readers what they see, and lets them, and nobody else, see it."""
    _tell(job, path, entry, measured)
    job.engine.protect(path, entry.kind, job.terms.grants)


def _tell(job: Job, path: Sequence[str], entry: register.Entry, measured: Measured) -> None:
    """What was done to each column, and which release it is."""
    for column, text in job.comments(measured.rows).items():
        job.engine.comment(path, column, text)
    job.engine.label(path, "table" if entry.kind == "file" else entry.kind, register.label(entry))


def _put(job: Job, entry: register.Entry) -> None:
    """Puts what was judged in the place of the version before, and writes the register."""
    engine, name = job.engine, job.publish.name
    _drop_previous(engine, name)
    engine.rename([engine.schema, _staged(name)], name, entry.kind)
    register.write(engine, entry, job.terms.action)


def publish_linked(job: Job) -> tuple[Measured, register.Entry]:
    """The two tables of an Anatomy, both or none."""
    engine, how = job.engine, job.planned.outcome.linked
    if how is None:
        raise ValueError("an Anatomy has a second relation")
    names = (job.publish.name, linked.second_name(job.publish.name))
    stages, key = [_staged(name) for name in names], secret_key()
    with engine.transaction():
        job.tell("writing the tables", None)
        for stage, rows in zip(stages, (job.rows(), values_shuffled(how, engine)), strict=True):
            engine.create_table("write the release", [engine.schema, stage], rows, key)
            engine.hand_over([engine.schema, stage], "table", job.terms.owner)
        first, second = (engine.rendered(query.table(engine.schema, stage)) for stage in stages)
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
            engine.protect([engine.schema, name], "table", job.terms.grants)
        for column, text in job.comments(measured.rows).items():
            if column != how.group:
                engine.comment([engine.schema, names[0]], column, text)
        register.write(engine, entry, job.terms.action)
    return measured, entry


def publish_related(
    jobs: Sequence[Job], tables: Sequence[relating.Table], k: int
) -> list[tuple[Planned, Measured, register.Entry]]:
    """Several tables about the same persons; call it in the transaction in which they were planned."""
    engine, names, staged = jobs[0].engine, [job.publish.name for job in jobs], []
    relating.number(engine, secrets.token_hex(16), k)
    for job, table in zip(jobs, tables, strict=True):
        path = [engine.schema, _staged(job.publish.name)]
        job.tell("writing the tables", None)
        made = relating.numbered(table, engine.rendered(query.table(*path)))
        shuffled = engine.shuffled(relating.rows(engine, table), made.planned.plan.published)
        engine.create_table("write the release", path, shuffled, secret_key())
        engine.hand_over(path, "table", job.terms.owner)
        staged.append(made)
    jobs[0].tell("verifying the published rows", None)
    persons, measured = relating.classes(engine, staged, k), relating.judged(engine, staged, k)
    if persons.small or not persons.number or not all(found.holds for found in measured):
        raise ReleaseError("the made tables do not hold what was planned; nothing was published")
    done = []
    for job, made, found in zip(jobs, staged, measured, strict=True):
        planned = relating.done(made, found)
        facts = {"related": {"tables": names, "person": made.entity}}
        done.append((planned, found, _beside(replace(job, planned=planned), found, made.item, facts)))
    return done


def _beside(job: Job, found: Measured, item: str, facts: Mapping[str, object]) -> register.Entry:
    """Puts one of several tables in place, once all of them were judged."""
    engine, name, path = job.engine, job.publish.name, [job.engine.schema, _staged(job.publish.name)]
    seen = Seen(name, Origin(query=f"SELECT * FROM {item}"), ())
    gate(engine, job.spec, seen, facts, job.terms.source, job.terms.grants)
    entry = replace(job.entry(found, f"{engine.schema}.{name}", item), made=json.dumps({**job.made(), **facts}))
    _open(job, path, entry, found)
    told = "a number in the place of the person, drawn for this release alone"
    engine.comment(path, job.spec.entity or "", told)
    _put(job, entry)
    return entry


def _publish_view(job: Job) -> tuple[Measured, register.Entry]:
    engine, name = job.engine, job.publish.name
    with engine.transaction():
        job.stage()
        _drop_previous(engine, name)
        engine.create_view("create the view", [engine.schema, name], job.plan.query)
        engine.hand_over([engine.schema, name], "view", job.terms.owner)
        item = engine.rendered(query.table(engine.schema, name))
        measured = job.judge(item)
        entry = job.entry(measured, f"{engine.schema}.{name}", item)
        _open(job, [engine.schema, name], entry, measured)
        register.write(engine, entry, job.terms.action)
        job.clear()
    return measured, entry


def _publish_file(job: Job) -> tuple[Measured, register.Entry]:
    """A fresh file beside its final name, judged there, then put in place in one step."""
    path = Path(job.spec.resolve(job.publish.path or "")).absolute()
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    job.stage()
    try:
        measured, entry = (_write_parquet if path.suffix == ".parquet" else _write_database)(job, part, path)
        job.clear()
        _put_in_place(job, part, path, entry)
    finally:
        for left in (part, part.with_name(part.name + ".wal"), part.with_name(part.name + ".facts.parquet")):
            left.unlink(missing_ok=True)
    return measured, entry


def _put_in_place(job: Job, part: Path, path: Path, entry: register.Entry) -> None:
    """Renames a judged file to its name, between the writing of its line in the register and the commit of that line.

    The file that stood there before is kept until the commit, and comes back where it fails.
    """
    engine = job.engine
    if not engine.persistent:
        part.replace(path)
        return
    before = part.with_name(part.name + ".before")
    try:
        with engine.transaction():
            register.write(engine, entry, job.terms.action)
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


def _write_database(job: Job, part: Path, path: Path) -> tuple[Measured, register.Entry]:
    engine, name = job.engine, job.publish.name
    with engine.attached(part, create=True) as catalog, engine.transaction():
        job.tell("writing the file", None)
        engine.create_table("write the release", [catalog, "main", name], job.rows(), secret_key())
        item = engine.rendered(query.table(catalog, "main", name))
        measured = job.judge(item)
        entry = job.entry(measured, str(path), item)
        _tell(job, [catalog, "main", name], entry, measured)
        register.write(engine, entry, catalog=catalog)
    return measured, entry


def _write_parquet(job: Job, part: Path, path: Path) -> tuple[Measured, register.Entry]:
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


PUBLISHERS: dict[str, Callable[[Job], tuple[Measured, register.Entry]]] = {
    "table": _publish_table,
    "view": _publish_view,
    "materialized view": _publish_materialized,
    "file": _publish_file,
}


def _drop_previous(engine: Engine, name: str) -> None:
    kind, before = engine.kind_of(name), register.current(engine, name)
    if before:
        linked.drop(engine, before)
    if kind:
        engine.drop([engine.schema, name], kind)
