"""What there is to look at on a server: the releases, what they are made from, and what this role cannot see of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlanon import register
from sqlanon.auditing.rules import SCENE, worded
from sqlanon.engines import Engine
from sqlanon.errors import EngineError, SpecError

_STAGED = "(staged by sqlanon)"


@dataclass(frozen=True)
class Relation:
    """A relation of the server: `item` is its quoted name, `label` its comment.

    `names` are the ways in which the text of a query calls it.
    """

    oid: int
    schema: str
    name: str
    kind: str
    item: str
    label: str | None

    @property
    def names(self) -> tuple[str, str]:
        always = ".".join('"{}"'.format(part.replace('"', '""')) for part in (self.schema, self.name))
        return self.item, always


@dataclass(frozen=True)
class Scene:
    """The releases and their sources; `entries` is the register, None where this role may not read it.

    `left`: what the making of a release left behind, and is to be dropped whoever may read it.
    """

    releases: tuple[Relation, ...]
    sources: tuple[Relation, ...]
    entries: tuple[register.Entry, ...] | None
    unseen: tuple[str, ...]
    left: tuple[Relation, ...] = ()

    @property
    def sql(self) -> str:
        """What every rule may read, as the start of a query."""
        oids = {
            "releases": ",".join(str(one.oid) for one in self.releases),
            "sources": ",".join(str(one.oid) for one in self.sources),
        }
        return worded(SCENE, **oids)


def look(engine: Engine, sources: Sequence[str] = ()) -> Scene:
    """What there is; `sources` are tables, as `schema.name`, that are raw although the register does not say so.

    Raises `SpecError` where one of them is not there, `EngineError`.
    """
    known = {relation.oid: relation for relation in _relations(engine)}
    entries, unseen = _entries(engine)
    stand = [r for r in known.values() if r.schema == engine.schema]
    left = tuple(r for r in stand if _STAGED in r.name)
    releases = [r for r in stand if r not in left]
    roots = {_named(name, known.values()).oid for name in sources}
    roots |= _told(entries or (), known.values()) | _under(engine, releases)
    family = {oid for oid in _family(engine, roots) if oid in known} - {r.oid for r in stand}
    missing = [*unseen]
    if not family and releases:
        missing.append("what the releases are made from is not known; name it with --source")
    return Scene(tuple(releases), tuple(known[oid] for oid in sorted(family)), entries, tuple(missing), left)


def _relations(engine: Engine) -> list[Relation]:
    sql = (
        "SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text,"
        " format('%I.%I', n.nspname, c.relname),"
        " obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')"
        " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'sqlanon') ORDER BY 1"
    )
    return [Relation(*row) for row in engine.run("read the catalog", sql)]


def _entries(engine: Engine) -> tuple[tuple[register.Entry, ...] | None, tuple[str, ...]]:
    try:
        return tuple(register.entries(engine)), ()
    except EngineError as error:
        if "42501" not in error.kind:
            raise
    return None, (
        "the register: this role may not read sqlanon.release, so expired and lost releases, and what tables are made"
        " from, are not known",
    )


def _told(entries: Iterable[register.Entry], known: Iterable[Relation]) -> set[int]:
    """The relations that the register names as what published releases are made from."""
    told = []
    for entry in (e for e in entries if e.status == "published"):
        recheck = json.loads(entry.recheck)
        told += [recheck.get(key) or "" for key in ("reference", "population", "staged")]
        told.append(str(getattr(entry, "source", "") or ""))
    text = "\n".join(told)
    return {r.oid for r in known if any(_is_in(name, text) for name in r.names) or r.name in told}


def _is_in(name: str, text: str) -> bool:
    return name in text and re.search(rf'(?<![\w".$]){re.escape(name)}(?![\w"$])', text) is not None


def _named(name: str, known: Iterable[Relation]) -> Relation:
    relations = list(known)
    for spelt in (
        [r for r in relations if name in (*r.names, f"{r.schema}.{r.name}")],
        [r for r in relations if r.name == name],
    ):
        if spelt:
            return spelt[0]
    raise SpecError(
        "there is no such table or view", where="--source", found=name, allowed=[r.item for r in relations][:20]
    )


def _under(engine: Engine, releases: Iterable[Relation]) -> set[int]:
    """What released views read, directly or through other views."""
    start = Scene(tuple(releases), (), None, ()).sql
    return {int(oid) for (oid,) in engine.run("read the catalog", f"{start} SELECT DISTINCT oid::bigint FROM under")}


def _family(engine: Engine, roots: Iterable[int]) -> set[int]:
    """Relations with everything that they inherit from or that inherits from them, and what views among them read."""
    listed = ",".join(map(str, roots))
    sql = (
        f"WITH RECURSIVE f (oid) AS (SELECT unnest('{{{listed}}}'::oid[]) UNION SELECT n.oid FROM f"
        " CROSS JOIN LATERAL (SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = f.oid UNION ALL"
        " SELECT i.inhparent FROM pg_inherits AS i WHERE i.inhrelid = f.oid UNION ALL"
        " SELECT d.refobjid FROM pg_rewrite AS w JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND"
        " d.objid = w.oid WHERE w.ev_class = f.oid AND d.refclassid = 'pg_class'::regclass) AS n (oid))"
        " SELECT oid::bigint FROM f"
    )
    return {int(oid) for (oid,) in engine.run("read the catalog", sql)}
