"""Whether the order of the rows of a release table tells something: rows are read in it, and can be put together by it.

What stands on a table's first pages is compared with what a random order would be. The rows are the distinct ones,
since equal rows may well lie together. Three tests: the correlation of position and rank of each column; whether equal
cells lie together; and, where a source has cells that occur once in both, the correlation of the two positions. What is
told is a column and how strong it is, never a cell. A false alarm is rarer than one in a million columns; with fewer
than 27 rows nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlanon import query
from sqlanon.auditing.rules import Finding
from sqlanon.auditing.scene import Relation, Scene
from sqlanon.engines import Engine
from sqlanon.errors import EngineError

_PAGES = 500  # about 4 MB of a table
_SIGMAS = 5.0  # of a correlation, whose standard deviation under a random order is 1 / sqrt(n - 1)
_FLAT = 9.0  # the least variance that the number of equal neighbours is taken to have
_WHY = "L12; leaks 19"

_ORDERED = """
WITH first AS (SELECT {cell} AS c, t.ctid AS at, row_number() OVER (PARTITION BY t::text ORDER BY t.ctid) AS copy
  FROM {item} AS t WHERE t.ctid < '({pages},0)'::tid),
placed AS (SELECT c, row_number() OVER (ORDER BY at) AS p, rank() OVER (ORDER BY c) AS r FROM first WHERE copy = 1),
beside AS (SELECT p, r, lag(r) OVER (ORDER BY p) AS before FROM placed),
sizes AS (SELECT r, count(*) AS n FROM placed GROUP BY r)
SELECT (SELECT count(*) FROM beside), (SELECT corr(p, r) FROM beside),
  (SELECT count(*) FROM beside WHERE r = before), (SELECT sum(n::float8 * (n - 1)) FROM sizes)
"""
_TOGETHER = """
WITH a AS (SELECT {cell} AS c, min(t.ctid) AS at FROM {item} AS t WHERE t.ctid < '({pages},0)'::tid
  GROUP BY 1 HAVING count(*) = 1),
b AS (SELECT {cell} AS c, min(t.ctid) AS at FROM {source} AS t WHERE t.ctid < '({pages},0)'::tid
  GROUP BY 1 HAVING count(*) = 1),
both_ AS (SELECT rank() OVER (ORDER BY a.at) AS p, rank() OVER (ORDER BY b.at) AS q FROM a JOIN b ON a.c = b.c)
SELECT count(*), corr(p, q) FROM both_
"""


def judge(engine: Engine, scene: Scene) -> tuple[list[Finding], list[str]]:
    """What the order of released tables tells, and which of them this role could not read."""
    found: list[Finding] = []
    unseen: list[str] = []
    for release in scene.releases:
        if release.kind not in ("r", "m"):
            continue
        try:
            found += _of(engine, release, scene)
        except EngineError as error:
            if "42501" not in error.kind:
                raise
            unseen.append(f"the rows of {release.item}, whose order was not measured: this role may not read them")
    return found, unseen


def _of(engine: Engine, release: Relation, scene: Scene) -> Iterator[Finding]:
    words = [word for column, kind in _columns(engine, release) for word in _alone(engine, release, column, kind)]
    words += [word for source in scene.sources for word in _with(engine, release, source)]
    if words:
        fix = _mixed(release) if release.kind == "r" else None
        yield Finding("row-order", "finding", release.item, f"the order of its rows {'; '.join(words)}", fix, _WHY)


def _columns(engine: Engine, relation: Relation) -> list[tuple[str, str]]:
    """The quoted name of every column, and how it is read so that it can be sorted."""
    sql = (
        "SELECT quote_ident(a.attname), CASE WHEN t.typcategory IN ('N', 'D', 'T', 'B') THEN ''"
        " ELSE '::text COLLATE \"C\"' END FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid"
        f" WHERE a.attrelid = {relation.oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    )
    return [(str(name), str(read)) for name, read in engine.run("read the columns", sql)]


def _alone(engine: Engine, release: Relation, column: str, read: str) -> Iterator[str]:
    sql = _ORDERED.format(cell=f"t.{column}{read}", item=f"ONLY {release.item}", pages=_PAGES)
    ((rows, correlation, equal, pairs),) = engine.run("measure the order of rows", sql)
    if _strong(rows, correlation):
        yield f"follows {column} (correlation {correlation:.2f})"
        return
    expected = float(pairs or 0) / max(rows, 1)
    if rows and equal - expected > (_SIGMAS + 1) * max(expected, _FLAT) ** 0.5:
        yield f"has equal cells of {column} lying together"


def _with(engine: Engine, release: Relation, source: Relation) -> Iterator[str]:
    """The two orders compared, by every column and by all columns that are in both under one name and type."""
    if source.kind not in ("r", "m") or not _readable(engine, source):
        return
    both = [one for one in _columns(engine, release) if one in _columns(engine, source)]
    cells = [f"t.{name}::text" for name, _ in both] + (
        [f"ROW({', '.join(f't.{n}' for n, _ in both)})::text"] * (len(both) > 1)
    )
    for cell in cells:
        sql = _TOGETHER.format(cell=cell, item=f"ONLY {release.item}", source=f"ONLY {source.item}", pages=_PAGES)
        ((rows, correlation),) = engine.run("measure the order of rows", sql)
        if _strong(rows, correlation):
            yield f"follows that of {source.item} (correlation {correlation:.2f})"
            return


def _readable(engine: Engine, relation: Relation) -> bool:
    reads = f"has_table_privilege({relation.oid}, 'SELECT') AND NOT relrowsecurity"
    sql = f"SELECT {reads} FROM pg_class WHERE oid = {relation.oid}"
    return bool(engine.run("read the rights", sql)[0][0])


def _strong(rows: int, correlation: float | None) -> bool:
    return rows > 1 and correlation is not None and abs(correlation) > _SIGMAS / (rows - 1) ** 0.5


def _mixed(release: Relation) -> str:
    """The rows put in again in a random order, all or none; readers see the old ones until the new are there."""
    item, copy = release.item, "pg_temp.sqlanon_rows_in_another_order"
    body = (
        f"BEGIN LOCK TABLE {item} IN EXCLUSIVE MODE;"
        f" CREATE TEMP TABLE sqlanon_rows_in_another_order AS SELECT * FROM {item};"
        f" DELETE FROM {item}; INSERT INTO {item} SELECT * FROM {copy} ORDER BY pg_catalog.gen_random_uuid();"
        f" IF (SELECT count(*) FROM {item}) <> (SELECT count(*) FROM {copy}) THEN"
        f" RAISE EXCEPTION 'rows were lost; nothing was changed'; END IF; DROP TABLE {copy}; END"
    )
    return f"DO {query.constant(body)};"
