"""Anatomy, read back by code of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlanon.engines import Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.query import Query
from sqlanon.recoding import anatomy, cells
from sqlanon.recoding.anatomy import anatomize
from sqlanon.recoding.cells import blank_cells
from sqlanon.recoding.transforms import Records, numbered

Row = tuple[Any, ...]
NAMES = ('"; DROP TABLE x; --', "$k", "group_id", "records")


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


def records(engine: DuckDB, rows: Sequence[Row], names: Sequence[str] = NAMES) -> Records:
    """A table of three text columns and a number."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    kinds = ("VARCHAR", "VARCHAR", "VARCHAR", "INTEGER")
    declared = ", ".join(f"{name} {kind}" for name, kind in zip(quoted, kinds, strict=True))
    engine.run("make", f"CREATE OR REPLACE TABLE things ({declared})")
    places = ", ".join("(?, ?, ?, ?)" for _ in rows)
    engine.run("fill", f"INSERT INTO things VALUES {places}", [cell for row in rows for cell in row])
    return numbered(Query(()), "things", engine.columns(Origin(relation="things")))


values = st.sampled_from(["a", "b", None, "'; --"]) | st.just("a")
tables = st.lists(st.tuples(values, values, values), min_size=1, max_size=24).map(
    lambda rows: [(*row, i) for i, row in enumerate(rows)]
)


# -- Anatomy ----------------------------------------------------------------------------------------------------------


def split(engine: DuckDB, made: Records, l: int, key: str = "key") -> tuple[list[Row], list[Row]]:  # noqa: E741
    """The two relations."""
    parts = anatomize(engine, made, (NAMES[0], NAMES[1], NAMES[3]), NAMES[2], l)
    with engine.functions(key):
        engine.temporary("make it", "quasi", parts.quasi)
        engine.temporary("make it", "sensitive", parts.sensitive)
    return engine.run("read", "SELECT * FROM quasi"), engine.run("read", "SELECT * FROM sensitive")


@settings(max_examples=25, deadline=None)
@given(tables, st.integers(2, 4))
def test_groups_have_l_different_values_and_link_no_record_to_one(engine: DuckDB, rows: list[Row], l: int) -> None:  # noqa: E741
    counts = Counter(row[2] for row in rows)
    if len(rows) < l or max(counts.values()) * l > len(rows):
        with pytest.raises(ModelNotMet, match=rf"has {max(counts.values())} of {len(rows)} records"):
            split(engine, records(engine, rows), l)
        return
    quasi, sensitive = split(engine, records(engine, rows), l)
    assert Counter(row[:3] for row in quasi) == Counter((row[0], row[1], row[3]) for row in rows)
    groups = {number: Counter({v: n for g, v, n in sensitive if g == number}) for number, *_ in sensitive}
    assert sum(groups.values(), Counter()) == counts
    assert set(groups) == set(range(1, len(rows) // l + 1))
    sizes = Counter(row[3] for row in quasi)
    for number, held in groups.items():
        assert sizes[number] == held.total() >= l
        assert set(held.values()) == {1} and len(held) >= l  # no value is surer than 1/l


def test_who_shares_a_group_depends_on_the_key_and_not_on_threads(engine: DuckDB) -> None:
    rows = [("q", str(i), "abcd"[i % 4], i) for i in range(200)]
    found = []
    for threads, key in ((1, "one"), (4, "one"), (2, "two")):
        engine.run("set", f"SET threads = {threads}")
        found.append(tuple(map(sorted, split(engine, records(engine, rows), 3, key))))
    assert found[0] == found[1] and found[0][0] != found[2][0]


def test_anatomy_says_that_identity_is_not_protected(engine: DuckDB) -> None:
    parts = anatomize(engine, records(engine, [("a", "b", "c", 1), ("a", "b", "d", 2)]), (NAMES[0],), NAMES[2], 2)
    assert "does not protect identity" in parts.warning
    assert not anatomy.IN_VIEWS and anatomy.REASON
    assert parts.group == "group_id_"  # the source has a column of this name


def test_anatomy_is_refused_where_it_would_publish_the_value_or_has_no_meaning(engine: DuckDB) -> None:
    made = records(engine, [("a", "b", "c", 1), ("a", "b", "d", 2)])
    with pytest.raises(SpecError, match="must not be published"):
        anatomize(engine, made, (NAMES[2],), NAMES[2], 2)
    with pytest.raises(SpecError, match="no such column"):
        anatomize(engine, made, ("nowhere",), NAMES[2], 2)
    with pytest.raises(SpecError, match="l is at least 2"):
        anatomize(engine, made, (NAMES[0],), NAMES[2], 1)
