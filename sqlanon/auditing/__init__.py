"""The audit: what stands around releases and lets somebody read, or learn, more than was released.

Every rule is in the catalogues `grants` and `objects`, or in a room of its own where it measures: `order`, `lives`,
`files`. Nothing is changed. Catalogs are read as whoever connects, who need be nobody special; what that role could not
see is said. The audit sees one database, and nothing of copies, backups, logs, pg_hba.conf or the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlanon import query, register
from sqlanon.auditing import files, lives, order
from sqlanon.auditing.grants import GRANTS
from sqlanon.auditing.objects import OBJECTS
from sqlanon.auditing.rules import Finding, Rule
from sqlanon.auditing.scene import Scene, look
from sqlanon.engines import Engine
from sqlanon.errors import ReleaseError, SpecError
from sqlanon.shown import Shown

RULES: tuple[Rule, ...] = (*GRANTS, *OBJECTS)


@dataclass(frozen=True)
class Audited(Shown):
    """What an audit found, what it looked at, and what it could not see."""

    url: str
    engine: str
    releases: int
    sources: tuple[str, ...]
    found: tuple[Finding, ...]
    unseen: tuple[str, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What must be mended; not the notes."""
        return tuple(one for one in self.found if one.level == "finding")

    @property
    def clean(self) -> bool:
        """Whether there is no finding. That something could not be seen is no finding."""
        return not self.findings

    @property
    def script(self) -> str:
        """The statements that mend the findings, each of which may be run twice; comments hold what none mends."""
        lines = []
        for one in self.findings:
            lines.append(f"-- {one.rule}: {_plain(one.object)}: {_plain(one.told)}")
            lines.append(one.fix if one.fix is not None else "-- nothing that can be run mends this")
        return "".join(f"{line}\n" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "engine": self.engine,
            "clean": self.clean,
            "releases": self.releases,
            "sources": list(self.sources),
            "findings": [one.to_dict() for one in self.findings],
            "notes": [one.to_dict() for one in self.found if one.level == "note"],
            "unseen": list(self.unseen),
        }


def _plain(text: str) -> str:
    """Text on one line of a comment: no name can end it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def audit(engine: Engine, *, sources: Sequence[str] = ()) -> Audited:
    """Looks for ways to more than was released, and changes nothing.

    `sources` are raw tables that the register does not name. Raises `SpecError` where one is not there, `EngineError`.
    """
    if engine.name == "duckdb":
        return _of_file(engine, sources)
    scene = look(engine, sources)
    version = int(engine.version.split(".")[0])
    found = [one for rule in RULES if rule.since <= version for one in _asked(engine, scene, rule)]
    measured, unread = order.judge(engine, scene)
    labels = {engine.rendered(query.identifier(release.name)): release.label for release in scene.releases}
    found += lives.judge(engine, scene.entries or (), lambda name: labels.get(engine.rendered(query.identifier(name))))
    found += [*lives.strangers(engine, scene), *measured]
    unseen = [*scene.unseen, *unread, *_hidden(engine)]
    items = tuple(source.item for source in scene.sources)
    return Audited(engine.url, engine.name, len(scene.releases), items, _sorted(found), tuple(unseen))


def _of_file(engine: Engine, sources: Sequence[str]) -> Audited:
    if sources:
        raise SpecError("every table of a DuckDB file is as open as the file; name none", where="--source")
    entries = register.entries(engine)
    path = engine.url.removeprefix("duckdb:///")
    file = Path(path) if engine.persistent and path else None
    found = [*files.judge(engine, file, entries), *lives.judge(engine, entries, engine.labelled)]
    published = sum(entry.status == "published" for entry in entries)
    return Audited(engine.url, engine.name, published, (), _sorted(found), ())


def _sorted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda one: one.level))


def _asked(engine: Engine, scene: Scene, rule: Rule) -> list[Finding]:
    rows = engine.run(f"audit: {rule.name}", f"{scene.sql}{rule.sql}")
    return [Finding(rule.name, rule.level, str(item), str(told), fix, rule.why) for item, told, fix in rows]


def _hidden(engine: Engine) -> list[str]:
    """What this role's rights, and one connection, do not show."""
    sql = (
        "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
        " pg_has_role('pg_read_all_settings', 'MEMBER'), (SELECT count(*) FROM pg_database WHERE datallowconn AND NOT"
        " datistemplate)"
    )
    ((superuser, settings, databases),) = engine.run("read the rights", sql)
    hidden = []
    if not (superuser or settings):
        hidden.append("settings that are shown to superusers and pg_read_all_settings only")
    if databases > 1:
        hidden.append(f"the other {databases - 1} databases of the server; roles and their settings are shared")
    return hidden


def store(engine: Engine, audited: Audited) -> None:
    """Puts what was found into `sqlanon.finding`, in the place of what was found before.

    Raises `ReleaseError` where that table is not there, `EngineError`.
    """
    if engine.kind_of("finding", "sqlanon") != "table":
        raise ReleaseError("there is no table sqlanon.finding; `sqlanon install` makes it", exit_status=2)
    with engine.transaction():
        engine.run("store the findings", "DELETE FROM sqlanon.finding")
        for one in audited.found:
            values = [register.now(), one.rule, one.object, one.told, one.fix]
            names = "at, rule, object, told, fix"
            engine.run("store the findings", f"INSERT INTO sqlanon.finding ({names}) VALUES (?, ?, ?, ?, ?)", values)
