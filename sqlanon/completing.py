"""What can be said next in a statement: relations and columns that there are, our words, models and parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlanon.engines import Engine
from sqlanon.errors import EngineError
from sqlanon.statements import keywords


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words with which statements begin, and that they hold, in the engine's SQL and in ours.
WORDS = _words(
    """
    SELECT FROM WHERE JOIN LEFT ON USING GROUP BY HAVING ORDER LIMIT AS WITH UNION ALL DISTINCT INSERT INTO VALUES
    UPDATE SET DELETE CREATE OR REPLACE TABLE VIEW MATERIALIZED DROP ALTER GRANT REVOKE BEGIN COMMIT ROLLBACK EXPLAIN
    COPY AND
    NOT NULL IS IN LIKE BETWEEN CASE WHEN THEN ELSE END CAST EXISTS ANONYMIZED ANONYMIZATION CHECK OF REFRESH VERIFY
    WITHDRAW SHOW RELEASES FILE
    """
)
_WORD = re.compile(r"[\w.\"-]*\Z")
_INSIDE = re.compile(r"\b(\w+)\s*\([^()]*\Z")


@dataclass(frozen=True)
class Known:
    """The relations of a database, with their columns."""

    relations: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def columns(self) -> set[str]:
        """The names of all columns."""
        return {name for names in self.relations.values() for name in names}


def known(engine: Engine) -> Known:
    """What there is in a database that somebody may name; nothing while a transaction has failed."""
    sql = (
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY table_schema, table_name,"
        " ordinal_position"
    )
    found: dict[str, list[str]] = {}
    with suppress(EngineError):
        for schema, name, column in engine.run("read the catalog", sql):
            at = str(name) if schema in ("main", "public") else f"{schema}.{name}"
            found.setdefault(at, []).append(str(column))
    return Known(found)


def completions(before: str, there: Known) -> Iterator[tuple[str, str]]:
    """What the word before the cursor could become, and what that is; nothing where the word is not begun."""
    word = (_WORD.search(before) or [""])[0]
    if not word:
        return
    inside = _INSIDE.search(before)
    start = word.lower()
    for said, kind in _candidates(inside[1].lower() if inside else "", there):
        if said.lower().startswith(start) and said != word:
            yield said, kind


def _candidates(call: str, there: Known) -> Iterator[tuple[str, str]]:
    ours = keywords()
    calls = {**ours.models, **ours.transforms}
    yield from ((parameter, f"of {call}") for parameter in calls.get(call, ()))
    yield from ((name, "table") for name in there.relations)
    yield from ((f"{table.rpartition('.')[2]}.{name}", "column") for table, c in there.relations.items() for name in c)
    yield from ((name, "column") for name in sorted(there.columns))
    yield from ((name, "model") for name in ours.models)
    yield from ((name, "transform") for name in ours.transforms)
    yield from ((name, "option") for name in (*ours.options, *ours.hierarchies))
    yield from ((word, "word") for word in WORDS)
