"""The ledger: what the releases of one source tell one audience, all of them together, and the bound that blocks one.

Each release keeps its models; what a reader of several can put together is no model's business. The ledger groups the
releases that stand by their source, as the register calls it, and by who may read them, and measures on the source what
they leave of each person (see `composing`). What it cannot measure it says, and never takes for safe.

Does not see: releases that were superseded or withdrawn, of which readers may have kept copies (they are listed); files
and tables that were handed on; the same records under another source's name or in another database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlanon import query, register
from sqlanon.composing import Seen, compose
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, ModelNotMet, ReleaseError, SpecError
from sqlanon.planning import origin_of
from sqlanon.register import Entry
from sqlanon.remembering import recall
from sqlanon.spec import Spec
from sqlanon.together import Left, Together

_EVERYBODY = "PUBLIC"


@dataclass(frozen=True)
class Line:
    """Releases of one source that one audience has, and what they leave; `reason` says why that is not known.

    `broken`: bounds of the releases' own specs that are not kept. `gone`: versions of them that stand no more.
    """

    source: str
    audience: tuple[str, ...]
    releases: tuple[tuple[str, int], ...]
    left: tuple[Left, ...] = ()
    reason: str | None = None
    broken: tuple[str, ...] = ()
    gone: tuple[tuple[str, int], ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is known what they leave, and every bound is kept."""
        return self.reason is None and not self.broken

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "audience": list(self.audience),
            "releases": [{"name": name, "version": version} for name, version in self.releases],
            "left": [one.to_dict() for one in self.left],
            "reason": self.reason,
            "broken": list(self.broken),
            "gone": [{"name": name, "version": version} for name, version in self.gone],
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Ledger:
    """Every set of releases of one source that somebody has."""

    lines: tuple[Line, ...]

    @property
    def holds(self) -> bool:
        return all(line.holds for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, "lines": [line.to_dict() for line in self.lines]}


def ledger(engine: Engine, names: Sequence[str] = (), *, bounds: Together | None = None) -> Ledger:
    """What the releases of each source tell each audience together; with `names`, only sets with one of these.

    Judged by `bounds`, and by those of the releases' specs. Raises `ReleaseError` where a name is no release,
    `EngineError`.
    """
    known = register.entries(engine)
    standing = [entry for entry in known if entry.status == "published"]
    for name in names:
        register.require(engine, name)
    if standing:
        engine.trusts_register()
    lines = []
    with engine.working():
        for source in sorted({entry.source for entry in standing if entry.source}):
            own = [entry for entry in standing if entry.source == source]
            for audience, seen in _audiences(engine, own):
                if len(seen) > 1 and (not names or any(entry.name in names for entry in seen)):
                    lines.append(_line(engine, source, audience, seen, known, bounds))
    return Ledger(tuple(lines))


def _line(
    engine: Engine, source: str, audience: tuple[str, ...], seen: Sequence[Entry], known: Sequence[Entry],
    bounds: Together | None,
) -> Line:  # fmt: skip
    names = {entry.name for entry in seen}
    gone = tuple((e.name, e.version) for e in known if e.name in names and e.status != "published")
    releases = tuple((entry.name, entry.version) for entry in seen)
    try:
        spec = _spec(seen[0])
        with ExitStack() as stack:
            shown = [_seen(engine, entry, stack) for entry in seen]
            left = _measured(engine, spec, shown)
    except (SpecError, ReleaseError) as error:
        return Line(source, audience, releases, reason=str(error), gone=gone)
    except EngineError as error:
        if "42501" not in error.kind:
            raise
        return Line(source, audience, releases, reason="this role may not read them, or the source", gone=gone)
    wanted = [bounds, *(publish.ledger for e in seen if (publish := _spec(e).publish))]
    broken = dict.fromkeys(told for bound in wanted if bound for one in left for told in one.breaks(bound))
    return Line(source, audience, releases, left, broken=tuple(broken), gone=gone)


def _spec(entry: Entry) -> Spec:
    """The spec that the register keeps. Raises `SpecError` where it keeps none."""
    kept = recall(entry.spec)
    if kept is None:
        raise SpecError(f"the register keeps no spec of {entry.name!r}, so that nobody can tell what its cells hold")
    return kept.tables[entry.name][0] if kept.spec.related else kept.spec


def _measured(engine: Engine, spec: Spec, shown: Sequence[Seen]) -> tuple[Left, ...]:
    return compose(engine, origin_of(spec), shown, sensitive=spec.sensitive, entity=spec.entity)


def _read(seen: Seen, spec: Spec) -> Seen:
    """A release with what its own spec says that its labels hold."""
    quasi = {name: column.hierarchy for name, column in spec.columns.items() if column.role == "quasi-identifier"}
    rows = {n: found for n, h in quasi.items() if h and (found := h.rows(spec.base)) is not None}
    half_open = frozenset(name for name, hierarchy in quasi.items() if hierarchy and hierarchy.has_bounds)
    return replace(seen, hierarchies=rows, half_open=half_open)


def _seen(engine: Engine, entry: Entry, stack: ExitStack, replaced: str | None = None) -> Seen:
    """A release as it stands; a view that is just being `replaced`, as its query.

    Raises `SpecError` where its cells do not follow from its source's.
    """
    followed(entry.name, json.loads(entry.made))
    closed = frozenset(json.loads(entry.recheck).get("closed", ()))
    keys = tuple(json.loads(entry.quasi_identifiers))
    if replaced is not None and entry.location.endswith(".duckdb") and entry.kind == "file":
        told = "a .duckdb file cannot be read while another release is written; publish it as .parquet"
        raise SpecError(told, where="ledger", found=entry.name)
    before = entry.kind == "view" and entry.name == replaced
    item = f"({json.loads(entry.recheck)['staged']}) AS s" if before else _item(engine, entry, stack)
    seen = Seen(f"{entry.name}, version {entry.version}", Origin(query=f"SELECT * FROM {item}"), keys, closed)
    return _read(seen, _spec(entry))


def followed(name: str, made: Mapping[str, Any]) -> None:
    """Raises `SpecError` for a release whose cells do not follow from those of the source, so that nobody is found."""
    told = {
        "transforms": "its values were changed before they were recoded",
        "cells_blanked_at_most": "some of its cells are blank",
        "related": "its persons have numbers that link it with other tables",
        "linked": "it is two tables, and its quasi-identifiers are as they were",
    }
    for key, why in told.items():
        if made.get(key):
            raise SpecError(f"what {name!r} tells with others is not known: {why}", where="ledger")


def _item(engine: Engine, entry: Entry, stack: ExitStack) -> str:
    if entry.kind != "file":
        return engine.rendered(query.table(engine.schema, entry.name))
    file = Path(entry.location)
    if not file.is_file():
        raise ReleaseError(f"there is no file {file}", exit_status=2)
    if file.suffix == ".parquet":
        return engine.reader(file)
    return engine.rendered(query.table(stack.enter_context(engine.attached(file)), "main", entry.name))


# -- who has what ------------------------------------------------------------------------------------------------------


def _audiences(engine: Engine, entries: Sequence[Entry]) -> Iterator[tuple[tuple[str, ...], list[Entry]]]:
    """Sets of releases that somebody has, each with the roles that it is granted to; none within another."""
    if not engine.can("grant"):
        yield (), list(entries)
        return
    readers = {entry.name: _readers(engine, entry) for entry in entries}
    sets = {}
    for names in _had(engine, readers):
        had = [entry for entry in entries if entry.name in names]
        sets[frozenset(names)] = had
    for names, had in sets.items():
        if not any(names < other for other in sets):
            yield tuple(sorted({role for entry in had for role in readers[entry.name]})), had


def _readers(engine: Engine, entry: Entry) -> frozenset[str]:
    """Whom a release was granted to; everybody, where it was granted to nobody yet: nobody knows who will get it."""
    found = {*json.loads(entry.grants), *engine.readers(entry.name)}
    return frozenset(found or {_EVERYBODY})


_HAD = """
SELECT array_agg(DISTINCT g.name ORDER BY g.name) FROM pg_roles AS m
JOIN (SELECT unnest(?::text[]) AS name, unnest(?::text[]) AS role) AS g ON g.role = 'PUBLIC'
  OR (to_regrole(quote_ident(g.role)) IS NOT NULL AND pg_has_role(m.oid, to_regrole(quote_ident(g.role)), 'MEMBER'))
WHERE NOT m.rolsuper AND m.rolname !~ '^pg_' GROUP BY m.oid
"""


def _had(engine: Engine, readers: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """The releases that each role can read: granted to it, or to a role that it can become."""
    pairs = [(name, role) for name, roles in readers.items() for role in sorted(roles)]
    found = engine.run("read the roles", _HAD, [[name for name, _ in pairs], [role for _, role in pairs]])
    return [frozenset(names) for (names,) in found]


# -- the gate ----------------------------------------------------------------------------------------------------------


def gate(
    engine: Engine, spec: Spec, new: Seen, made: Mapping[str, Any], source: str, grants: Sequence[str],
    unchanged: Callable[[], bool] = lambda: True,
) -> None:  # fmt: skip
    """Stops a release that would tell too much together with those that stand, the one that it replaces among them.

    `new`: the rows that were made. The bounds are its own and those of the others, whose promise is about all; one that
    is replaced promises no more, and is weighed all the same. `unchanged`: whether the source, on which this is
    measured, still has the rows that were made from it. Raises `ModelNotMet` where a bound of `publish.ledger` is not
    kept, or where nobody can tell.
    """
    own = spec.publish.ledger if spec.publish else None
    standing = [e for e in register.entries(engine) if e.status == "published" and source and e.source == source]
    if own is None and not any('"ledger"' in entry.spec for entry in standing):
        return
    try:
        others = _others(engine, standing, new.name, source, grants)
        promised = [_bound(entry) for entry in others if entry.name != new.name]
        bounds = [bound for bound in (own, *promised) if bound]
        if not others or not bounds:
            return
        followed(new.name, made)
        if not unchanged():
            raise SpecError("the source has changed since it was planned", where="ledger")
        with ExitStack() as stack:
            shown = [_read(new, spec), *(_seen(engine, entry, stack, new.name) for entry in others)]
            left = _measured(engine, spec, shown)
    except (SpecError, ReleaseError) as error:
        raise ModelNotMet(f"the ledger cannot tell what the release adds ({error}); nothing was published") from None
    broken = dict.fromkeys(told for bound in bounds for one in left for told in one.breaks(bound))
    if broken:
        names = ", ".join(f"{entry.name} version {entry.version}" for entry in others)
        raise ModelNotMet(f"together with {names}: {'; '.join(broken)} (publish.ledger); nothing was published")


def _bound(entry: Entry) -> Together | None:
    """What a standing release promised of all releases together; nothing where it keeps no spec."""
    if not entry.spec:
        return None
    publish = _spec(entry).publish
    return publish.ledger if publish else None


def _others(engine: Engine, own: Sequence[Entry], name: str, source: str, grants: Sequence[str]) -> list[Entry]:
    """Those of the source's standing releases that somebody who gets the new one has, or had until now."""
    if not source:
        raise SpecError("the source has no name in the register", where="ledger")
    if not own or not engine.can("grant"):
        return list(own)
    new = ""  # no release is called so
    readers = {entry.name: _readers(engine, entry) for entry in own} | {new: frozenset(grants or [_EVERYBODY])}
    had = {other for names in _had(engine, readers) if new in names for other in names}
    return [entry for entry in own if entry.name in had or entry.name == name]
