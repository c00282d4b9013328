"""What the register says of releases and what stands there: the same on every engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlanon import linked, query, register
from sqlanon.auditing.rules import Finding
from sqlanon.auditing.scene import Scene
from sqlanon.engines import Engine

_LABEL = "released by sqlanon, "
_KINDS = {"v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE"}


def judge(
    engine: Engine, entries: Sequence[register.Entry], labelled: Callable[[str], str | None]
) -> Iterator[Finding]:
    """Releases that have expired, are gone, or are not what was published; `labelled` tells the comment of each."""
    for entry in (e for e in entries if e.status == "published" and e.kind != "file"):
        name = f"release {engine.rendered(query.identifier(entry.name))}"
        stands = engine.kind_of(entry.name)
        if stands is None:
            told = f"version {entry.version} is published, says the register, and nothing stands there"
            yield Finding("release-gone", "finding", name, told, _ended(engine, entry), "leaks 25")
        elif labelled(entry.name) != register.label(entry):
            told = f"what stands there is not version {entry.version} of the register; look at it, and release again"
            yield Finding("release-replaced", "finding", name, told, None, "leaks 25")
        elif entry.expired:
            told = f"version {entry.version} has expired, and can still be read"
            yield Finding("release-expired", "finding", name, told, _withdrawn(engine, entry), "leaks 23")


def _ended(engine: Engine, entry: register.Entry) -> str:
    now = "CAST(current_timestamp AS TIMESTAMP)" if engine.name == "duckdb" else "pg_catalog.timezone('UTC', now())"
    return (
        f"UPDATE sqlanon.release SET status = 'withdrawn', withdrawn_at = {now}"
        f" WHERE name = {query.constant(entry.name)} AND version = {entry.version} AND status = 'published';"
    )


def _withdrawn(engine: Engine, entry: register.Entry) -> str:
    other = linked.of(entry)
    names = [(entry.name, entry.kind), *([(other["relation"], "table")] if other else [])]
    drops = [
        f"DROP {kind.upper()} IF EXISTS {engine.rendered(query.table(engine.schema, name))};" for name, kind in names
    ]
    return "\n".join(["BEGIN;", *drops, _ended(engine, entry), "COMMIT;"])


def strangers(engine: Engine, scene: Scene) -> Iterator[Finding]:
    """Relations of the schema of releases that are none: left behind, or put there by somebody; on servers."""
    ours: dict[str, register.Entry] = {}
    for entry in scene.entries or ():
        if entry.status == "published":
            other = linked.of(entry)
            ours |= dict.fromkeys((entry.name, *([other["relation"]] if other else [])), entry)
    known = {engine.rendered(query.table(engine.schema, name)): entry for name, entry in ours.items()}
    for relation in scene.left:
        told = "it was left behind when a release was made, and was never judged"
        fix = f"DROP {_KINDS.get(relation.kind, 'TABLE')} IF EXISTS {relation.item};"
        yield Finding("staged", "finding", relation.item, told, fix, "leaks 24")
    for relation in scene.releases:
        item = engine.rendered(query.table(relation.schema, relation.name))
        if item not in known and (scene.entries is not None or not (relation.label or "").startswith(_LABEL)):
            yield from _stranger(engine, relation.oid, relation.item)


def _stranger(engine: Engine, oid: int, item: str) -> Iterator[Finding]:
    sql = (
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)::text) END"
        f" FROM (SELECT relacl, relowner FROM pg_class WHERE oid = {oid} UNION ALL SELECT t.attacl, c.relowner FROM"
        f" pg_attribute AS t JOIN pg_class AS c ON c.oid = t.attrelid WHERE t.attrelid = {oid}) AS c (acl, owner),"
        " aclexplode(c.acl) AS a WHERE a.grantee <> c.owner ORDER BY 1"
    )
    roles = [role for (role,) in engine.run("read the grants", sql)]
    if roles:
        fix = "\n".join(f"REVOKE ALL ON TABLE {item} FROM {role} CASCADE;" for role in roles)
        told = f"it is no release, was never judged, and is open to {', '.join(roles)}"
        yield Finding("no-release", "finding", item, told, fix, "leaks 24, 25")
    else:
        told = "it is no release; nobody but its owner may read it"
        yield Finding("closed-no-release", "note", item, told, None, "leaks 24")
