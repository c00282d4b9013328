"""The second relation of an Anatomy: where it stands, what it says, and whether it goes with the first.

The first has a row per record with its group's number, the second a row per group and sensitive value with a count. The
models are judged on what both tell together: the groups are the classes, their values the second relation's.
"""

from __future__ import annotations

import json
from typing import Any

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ReleaseError
from sqlanon.recoding.outcome import Linked
from sqlanon.register import Entry, label


def second_name(name: str) -> str:
    """The name of the second relation of a release."""
    return f"{name}_sensitive"


def told(engine: Engine, linked: Linked, name: str, item: str) -> dict[str, str]:
    """What the register keeps of the second relation, whose rows are in `item`."""
    columns = [linked.group, linked.sensitive, linked.records]
    return {"relation": second_name(name), **vars(linked), "digest": engine.digest(item, columns)}


def of(entry: Entry) -> dict[str, Any] | None:
    """What the register knows of a release's second relation; None where it has none."""
    found: dict[str, Any] | None = json.loads(entry.made).get("linked")
    return found


def records_of(engine: Engine, linked: Linked, item: str) -> str:
    """A FROM item with a row per record: its group and one of the group's values, as often as the second one says."""
    group, sensitive, count = (
        engine.rendered(query.column(name, "v")) for name in (linked.group, linked.sensitive, linked.records)
    )
    return f"(SELECT {group}, {sensitive} FROM {item} AS v, generate_series(1, {count}) AS r)"


def agree(engine: Engine, linked: Linked, first: str, second: str) -> bool:
    """Whether every group has as many records in the first relation as in the second. Raises `EngineError`."""
    group, count = (engine.rendered(query.column(name, "p")) for name in (linked.group, linked.records))
    sql = (
        f"WITH a AS (SELECT {group} AS g, count(*) AS n FROM {first} AS p GROUP BY {group}),"
        f" b AS (SELECT {group} AS g, CAST(sum({count}) AS BIGINT) AS n FROM {second} AS p GROUP BY {group})"
        " SELECT count(*) FROM a FULL JOIN b ON a.g = b.g WHERE a.n IS DISTINCT FROM b.n"
    )
    ((different,),) = engine.run("compare the two relations", sql)
    return bool(different == 0)


def free(engine: Engine, name: str, ours: Entry | None) -> None:
    """Refuses a name of a second relation under which something else stands. Raises `ReleaseError`."""
    own = (of(ours) or {}).get("relation") if ours else None
    if engine.kind_of(name) and (ours is None or own != name or engine.labelled(name) != label(ours)):
        raise ReleaseError(f"{name!r} is no part of this release; nothing was touched", exit_status=2)


def drop(engine: Engine, entry: Entry) -> None:
    """Takes the second relation of a release away, if it is still the one that was published. Raises `EngineError`."""
    found = of(entry)
    if found and engine.labelled(found["relation"]) == label(entry):
        engine.drop([engine.schema, found["relation"]], "table")
