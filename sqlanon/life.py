"""The life of a release after it was published: measured again, attacked, withdrawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlanon import linked, query, register
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, ReleaseError, SpecError
from sqlanon.hierarchies import Hierarchy, Tabled
from sqlanon.models import MODELS, Model, Verdict, column_of
from sqlanon.recoding.catalogue import IDENTITY
from sqlanon.recoding.outcome import Linked
from sqlanon.register import Entry
from sqlanon.shown import Shown
from sqlanon.verify import Published
from sqlanon.verify import verify as measure


@dataclass(frozen=True)
class Verified(Shown):
    """What a release comes to today. `unchanged` is None where the digest cannot or (views) need not be compared."""

    entry: Entry
    unchanged: bool | None
    rows: int
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return self.unchanged is not False and bool(self.verdicts) and all(v.holds for v in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "release": self.entry.name,
            "version": self.entry.version,
            "holds": self.holds,
            "unchanged": self.unchanged,
            "expired": self.entry.expired,
            "rows": self.rows,
            "models": [v.to_dict() for v in self.verdicts],
            "notes": list(self.notes),
        }


def verify(engine: Engine, name: str) -> Verified:
    """Measures a release again on the rows that are there now; `name` may be the path of a released file.

    The rows of a table or file must be those that were judged (by digest). Every model that the rows alone can decide
    is measured anew; where persons were counted, or the source is out of reach, the verdict on the same rows stands.
    Raises `ReleaseError`, `EngineError`.
    """
    with opened(engine, name) as (entry, item):
        if entry.kind != "file":
            engine.trusts_register()
        recheck = json.loads(entry.recheck)
        models = tuple(_model(promise) for promise in json.loads(entry.promises))
        keys = tuple(json.loads(entry.quasi_identifiers))
        if entry.kind == "view":
            published = _published(f"({recheck['staged']})", keys, recheck)
            found = measure(engine, published, models)
            return Verified(entry, None, found.rows, found.verdicts, ())
        unchanged = _unchanged(engine, item, entry)
        for beside in _together(engine, entry) if entry.kind == "table" else ():  # what all of them promise together
            if beside.name != entry.name:
                other = engine.rendered(query.table(engine.schema, beside.name))
                unchanged = unchanged and _unchanged(engine, other, beside)
        if (second := linked.of(entry)) is not None:
            return _both(engine, item, entry, models, second, unchanged)
        return _again(engine, item, entry, keys, models, recheck, unchanged)


def _published(item: str, keys: tuple[str, ...], recheck: dict[str, Any]) -> Published:
    orders = {name: tuple(values) for name, values in recheck.get("orders", {}).items()}
    trees = {name: tuple(map(tuple, rows)) for name, rows in recheck.get("trees", {}).items()}
    reference, population = recheck.get("reference") or item, recheck.get("population")
    return Published(item, keys, recheck.get("entity"), reference, orders, trees, population)


def _again(
    engine: Engine, item: str, entry: Entry, keys: tuple[str, ...], models: tuple[Model, ...],
    recheck: dict[str, Any], unchanged: bool | None,
) -> Verified:  # fmt: skip
    """Table or file: what the rows decide is measured, what they cannot decide stands if the rows are the same."""
    notes = [] if unchanged else ["the rows are not those that were judged" if unchanged is False else _OTHER_VERSION]
    promised = {model: _verdict(p) for model, p in zip(models, json.loads(entry.promises), strict=True)}
    out_of_reach = {"guard"} | ({"persons"} if entry.counted == "persons" else set())
    reached = [m for m in models if not m.reads & out_of_reach]
    beside = {"table": recheck.get("reference"), "population": recheck.get("population")}
    here = [m for m in reached if not m.reads & beside.keys()]
    compared = [m for m in reached if m not in here and all(beside[what] for what in m.reads & beside.keys())]
    plain = _published(item, keys, {**recheck, "entity": None, "reference": None, "population": None})
    found = measure(engine, plain, here)
    told = dict(zip(here, found.verdicts, strict=True))
    if compared:
        try:
            again = measure(engine, _published(item, keys, {**recheck, "entity": None}), compared)
            told |= dict(zip(compared, again.verdicts, strict=True))
        except (EngineError, SpecError):
            notes.append("the source or the population cannot be read, so comparisons with it stand as judged")
    standing = [m for m in models if m not in told]
    if standing and unchanged:
        told |= {model: promised[model] for model in standing}
        notes.append(f"as judged at the release, on the same rows: {', '.join(m.name for m in standing)}")
    elif standing:
        lost = {m: Verdict(m.name, column_of(m), m.parameters, None, m.bound, False, 0, 0) for m in standing}
        told |= lost
        notes.append("what the rows alone cannot decide does not hold any more")
    return Verified(entry, unchanged, found.rows, tuple(told[model] for model in models), tuple(notes))


def _both(
    engine: Engine, item: str, entry: Entry, models: tuple[Model, ...], told: dict[str, Any], unchanged: bool | None
) -> Verified:
    """An Anatomy: every model on the groups, as the second relation tells their values."""
    how = Linked(told["group"], told["sensitive"], told["records"])
    if engine.kind_of(told["relation"]) != "table":
        return Verified(entry, False, 0, (), ("the second table is gone",))
    second = engine.rendered(query.table(engine.schema, told["relation"]))
    found = measure(engine, _published(linked.records_of(engine, how, second), (how.group,), {}), models)
    same = linked.told(engine, how, entry.name, second)["digest"] == told["digest"]
    if not (same and linked.agree(engine, how, item, second)):
        unchanged = None if unchanged is None else False
    notes = (IDENTITY,) if unchanged else ("the rows are not those that were judged", IDENTITY)
    return Verified(entry, unchanged, found.rows, found.verdicts, notes)


_OTHER_VERSION = "the digest was made by another version of the engine and cannot be compared"


def _unchanged(engine: Engine, item: str, entry: Entry) -> bool | None:
    made = entry.digest.rsplit(":", 2)[0]
    now = engine.digest(item, engine.names(item))
    return now == entry.digest if now.rsplit(":", 2)[0] == made else None


def _model(promise: dict[str, Any]) -> Model:
    parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in promise["parameters"].items()}
    column = {"column": promise["column"]} if promise["column"] else {}
    return MODELS[promise["model"]](**column, **parameters)


def _verdict(promise: dict[str, Any]) -> Verdict:
    return Verdict(**promise)


@contextmanager
def opened(engine: Engine, name: str) -> Iterator[tuple[Entry, str]]:
    """The entry of a release and the FROM item of its rows; a file is opened for as long as it is needed."""
    file = Path(name) if name.endswith((".parquet", ".duckdb")) else None
    entry = None if file else register.require(engine, name)
    if entry is not None and entry.kind != "file":
        yield entry, engine.rendered(query.table(engine.schema, entry.name))
        return
    file = file or Path(entry.location if entry else name)
    if not file.is_file():
        raise ReleaseError(f"there is no file {file}", exit_status=2)
    if file.suffix == ".parquet":
        yield _parquet_entry(engine, file), engine.reader(file)
        return
    with engine.attached(file) as catalog:
        inside = [e for e in register.entries(engine, catalog) if e.status == "published"]
        if not inside:
            raise ReleaseError(f"{file} holds no release", exit_status=2)
        yield inside[0], engine.rendered(query.table(catalog, "main", inside[0].name))


def _parquet_entry(engine: Engine, file: Path) -> Entry:
    facts = engine.parquet_facts(file)
    if facts is None:
        raise ReleaseError(f"{file} is no release of sqlanon", exit_status=2)
    told = json.loads(facts)
    del told["expired"]
    recheck = told.pop("recheck", {})
    for key in register.JSON:
        told[key] = json.dumps(told[key])
    for key in ("released_at", "expires_at", "withdrawn_at"):
        told[key] = datetime.fromisoformat(told[key]) if told[key] else None
    return Entry(**told, recheck=json.dumps(recheck))


@dataclass(frozen=True)
class Remembered:
    """A release as a relation, with what its entry says of it: what an attack needs to know.

    `persons`: whether its k counts persons, whom the published rows do not tell apart. `closed`: the quasi-identifiers
    whose published bounds are both in what they hold.
    """

    origin: Origin
    quasi_identifiers: tuple[str, ...]
    sensitive: tuple[str, ...]
    hierarchies: dict[str, Hierarchy]
    persons: bool
    closed: frozenset[str] = frozenset()


@contextmanager
def remembered(engine: Engine, name: str) -> Iterator[Remembered | None]:
    """The release of this name (or at this path) for as long as it is needed; None where it is no release.

    Raises `ReleaseError` for the path of a file that is not there, `EngineError`.
    """
    if not is_release(engine, name):
        yield None
        return
    with opened(engine, name) as (entry, item):
        if linked.of(entry):
            raise SpecError(
                "an Anatomy is two tables, and attacks read one; name its columns", where="attack", found=name
            )
        promised = [promise["column"] for promise in json.loads(entry.promises)]
        recheck = json.loads(entry.recheck)
        trees = {column: tuple(map(tuple, rows)) for column, rows in recheck.get("trees", {}).items()}
        yield Remembered(
            Origin(query=f"SELECT * FROM {item} AS s"),
            tuple(json.loads(entry.quasi_identifiers)),
            tuple(dict.fromkeys(column for column in promised if column)),
            {column: Tabled(rows) for column, rows in trees.items() if column not in recheck.get("orders", {})},
            entry.counted == "persons",
            frozenset(recheck.get("closed", ())),
        )


def is_release(engine: Engine, name: str) -> bool:
    """Whether there is a published release of this name, or a released file at this path."""
    if register.current(engine, name) is not None:
        return True
    file = Path(name)
    if not file.is_file():
        return False
    if file.suffix == ".parquet":
        return engine.parquet_facts(file) is not None
    if file.suffix != ".duckdb":
        return False
    with engine.attached(file) as catalog:
        return any(e.status == "published" for e in register.entries(engine, catalog))


def _together(engine: Engine, entry: Entry) -> list[Entry]:
    """A release and those that were released with it, about the same persons, and still are."""
    told = json.loads(entry.made).get("related")
    found = [register.current(engine, name) for name in told["tables"]] if told else [entry]
    beside = [(one, json.loads(one.made).get("related") or told) for one in found if one is not None]
    return [one for one, its in beside if its is None or its["tables"] == told["tables"]]


def withdraw(engine: Engine, name: str) -> Entry:
    """Takes a release away and says so in the register, in one transaction; related tables go together.

    Raises `ReleaseError`, `EngineError`.
    """
    entry = register.require(engine, name)
    with engine.transaction():
        register.create(engine)  # what an earlier version made has no audit log
        for one in _together(engine, entry):
            register.mark(engine, one.name, "withdrawn")
            register.log(engine, "withdrawn", one)
            if one.kind != "file":
                linked.drop(engine, one)
                engine.drop([engine.schema, one.name], one.kind)
    if entry.kind == "file":
        Path(entry.location).unlink(missing_ok=True)
    return entry
