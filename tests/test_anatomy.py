"""Cell suppression and Anatomy, read back by code of its own."""

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


# -- cell suppression -------------------------------------------------------------------------------------------------


def slow_blanks(rows: list[Row], k: int) -> list[Row]:
    """The greedy choice, row by row: the column that brings most failing records into classes of k, again and again."""
    found, blanked = list(rows), [False] * len(rows)
    while True:
        sizes = Counter(row[:3] for row in found)
        failing = [i for i, row in enumerate(found) if sizes[row[:3]] < k]
        best: list[int] = []
        column = 0
        for c in range(3):
            pool = [i for i in range(len(found)) if i in failing or found[i][c] is None]
            together = Counter(without(found[i], c) for i in pool)
            saved = [
                i for i in failing
                if not blanked[i] and found[i][c] is not None and together[without(found[i], c)] >= k
            ]  # fmt: skip
            if len(saved) > len(best):
                best, column = saved, c
        if not best:
            return found
        for i in best:
            found[i] = (*found[i][:column], None, *found[i][column + 1 :])
            blanked[i] = True


def without(row: Row, column: int) -> Row:
    return row[:column] + row[column + 1 : 3]


@settings(max_examples=25, deadline=None)
@given(tables, st.integers(2, 5))
def test_blanks_are_the_greedy_choice_and_keep_records_in_classes_of_k(engine: DuckDB, rows: list[Row], k: int) -> None:
    made = blank_cells(engine, records(engine, rows), NAMES[:3], k)
    engine.temporary("make it", "made", made.records.query)
    cells.drop(engine)
    found = sorted(engine.run("read it", "SELECT * FROM made"), key=lambda row: row[3])
    assert found == slow_blanks(rows, k)
    changed = [(a, b) for a, b in zip(rows, found, strict=True) if a != b]
    assert made.cells == len(changed)
    for before, after in changed:
        assert sum(x != y for x, y in zip(before, after, strict=True)) == 1 and None in after
    before, sizes = Counter(row[:3] for row in rows), Counter(row[:3] for row in found)
    assert made.failing == sum(n for n in sizes.values() if n < k)
    for was, row in zip(rows, found, strict=True):
        assert sizes[row[:3]] >= k or row == was  # a blank that keeps nobody is not made
        assert before[was[:3]] < k or row == was  # nor one in a class that is large enough


def test_a_blank_saves_a_record_that_differs_in_one_value(engine: DuckDB) -> None:
    rows = [("x", "y", "z", 0), ("x", "y", "z", 1), ("x", "q", "z", 2), ("x", "r", "z", 3), ("o", "o", "o", 4)]
    made = blank_cells(engine, records(engine, rows), NAMES[:3], 2)
    engine.temporary("make it", "made", made.records.query)
    cells.drop(engine)
    assert (made.cells, made.failing) == (2, 1)
    assert sorted(engine.run("read it", "SELECT * FROM made"), key=lambda row: row[3])[2:4] == [
        ("x", None, "z", 2), ("x", None, "z", 3),
    ]  # fmt: skip


def test_a_blanked_record_joins_those_that_miss_the_value_anyway(engine: DuckDB) -> None:
    rows = [("x", None, "z", 0), ("x", None, "z", 1), ("x", "y", "z", 2)]
    made = blank_cells(engine, records(engine, rows), NAMES[:3], 2)
    engine.temporary("make it", "made", made.records.query)
    cells.drop(engine)
    assert (made.cells, made.failing) == (1, 0)
    assert Counter(row[:3] for row in engine.run("read it", "SELECT * FROM made")) == {("x", None, "z"): 3}


def test_a_column_to_blank_must_be_there(engine: DuckDB) -> None:
    with pytest.raises(SpecError, match="no such column"):
        blank_cells(engine, records(engine, [("a", "b", "c", 1)]), ("nowhere",), 2)
    assert not cells.IN_VIEWS and cells.REASON


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
