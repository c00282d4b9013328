"""Anatomy, read back by code of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import sqlanon
from sqlanon import life, planning
from sqlanon.engines import Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.query import Query
from sqlanon.recoding.anatomy import anatomize
from sqlanon.recoding.transforms import Records, numbered
from sqlanon.release import release
from sqlanon.showing import releases as show
from sqlanon.spec import load

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
    parts = anatomize(engine, made, NAMES[2], l, "own group")
    with engine.functions(key):
        engine.temporary("make it", "both", parts)
    quasi = engine.run("read", f'SELECT * EXCLUDE ("{NAMES[2]}") FROM "both"')
    return quasi, engine.run("read", f'SELECT "own group", "{NAMES[2]}", count(*) FROM "both" GROUP BY ALL')


@settings(max_examples=25, deadline=None, phases=[Phase.generate])
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


def test_anatomy_is_refused_where_it_has_no_meaning(engine: DuckDB) -> None:
    made = records(engine, [("a", "b", "c", 1), ("a", "b", "d", 2)])
    with pytest.raises(SpecError, match="no such column"):
        anatomize(engine, made, "nowhere", 2, "g")
    with pytest.raises(SpecError, match="l is at least 2"):
        anatomize(engine, made, NAMES[2], 1, "g")


# -- the release -------------------------------------------------------------------------------------------------------

QI = "quasi-identifier"


def spec(l: int = 3, **more: Any) -> dict[str, Any]:  # noqa: E741
    columns = {NAMES[0]: QI, NAMES[1]: "insensitive", NAMES[2]: "sensitive", NAMES[3]: "drop"}
    privacy = [{"model": "l-diversity", "column": NAMES[2], "l": l}]
    known = {"source": "things", "columns": columns, "privacy": privacy, "recoding": {"method": "anatomy"}}
    return {**known, "publish": {"name": "rel"}, **more}


@pytest.fixture
def things() -> Iterator[DuckDB]:
    with sqlanon.connect() as engine:
        records(engine, [(str(i % 7), f"'{i}'", "abcd"[i % 4] if i % 9 else None, i) for i in range(103)])
        yield engine


def both(engine: DuckDB) -> tuple[list[Row], list[Row]]:
    return engine.run("read", "SELECT * FROM rel"), engine.run("read", "SELECT * FROM rel_sensitive")


def test_two_linked_tables_are_published_and_tell_no_record_its_value(things: DuckDB) -> None:
    made = release(load(spec()), things)
    first, second = both(things)
    source = things.run("read", "SELECT * FROM things")
    assert Counter(row[:2] for row in first) == Counter(row[:2] for row in source)
    assert sum((Counter({value: n}) for _, value, n in second), Counter()) == Counter(row[2] for row in source)
    sizes = Counter(row[2] for row in first)
    for group, size in sizes.items():
        held = {value: n for g, value, n in second if g == group}
        assert sum(held.values()) == size and len(held) >= 3 and max(held.values()) * 3 <= size
    told = made.to_dict()
    assert (told["method"], told["linked"], told["levels"]) == ("anatomy", "rel_sensitive", None)
    assert (told["rows_out"], told["classes"]) == (103, len(sizes)) == (103, 34)
    assert any("does not protect identity" in note for note in told["notes"])
    assert "does not protect identity" in made.entry.to_dict()["made"]["warning"]
    comments = things.run("read", "SELECT table_name, comment FROM duckdb_columns() WHERE comment LIKE '%identity%'")
    assert {name for name, _ in comments} == {"rel", "rel_sensitive"}
    assert things.run("list", "SELECT table_name FROM duckdb_tables() WHERE temporary") == []


def test_an_anatomy_is_shown_with_its_columns_as_they_are(things: DuckDB, capsys: pytest.CaptureFixture[str]) -> None:
    show.plan(planning.make(load(spec()), things))
    told = capsys.readouterr().out
    assert "identity not protected" in told and told.count("as it is") == 1
    assert "covers" not in told and "least" not in told.split("promised")[0]


def test_an_anatomy_is_verified_replaced_and_withdrawn_as_one(things: DuckDB, monkeypatch: pytest.MonkeyPatch) -> None:
    release(load(spec()), things)
    found = life.verify(things, "rel")
    assert found.holds and found.unchanged and found.rows == 103
    release(load(spec(2)), things)
    assert max(Counter(row[2] for row in both(things)[0]).values()) == 3  # 103 records in 51 groups
    with pytest.raises(ModelNotMet, match="l = 5 is impossible"):
        release(load(spec(5)), things)
    assert life.verify(things, "rel").holds
    things.run("change", "UPDATE rel_sensitive SET records = records + 1 WHERE group_id_ = 1")
    assert not life.verify(things, "rel").holds
    things.run("gone", "ALTER TABLE rel_sensitive RENAME TO other")
    assert not life.verify(things, "rel").holds
    things.run("back", "ALTER TABLE other RENAME TO rel_sensitive")
    life.withdraw(things, "rel")
    assert things.kind_of("rel") is things.kind_of("rel_sensitive") is None


def test_another_release_of_the_name_takes_the_second_table_away(things: DuckDB) -> None:
    release(load(spec()), things)
    plain = {**spec(), "recoding": {"method": "full-domain"}, "privacy": [{"model": "k-anonymity", "k": 2}]}
    release(load(plain), things)
    assert things.kind_of("rel") == "table" and things.kind_of("rel_sensitive") is None


def test_somebody_elses_second_table_is_not_touched(things: DuckDB) -> None:
    things.run("make", "CREATE TABLE rel_sensitive AS SELECT 1 AS x")
    with pytest.raises(ReleaseError, match="no part of this release"):
        release(load(spec()), things)
    assert things.run("read", "SELECT * FROM rel_sensitive") == [(1,)] and things.kind_of("rel") is None


def test_the_same_key_makes_the_same_groups(things: DuckDB, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for key, threads in (("one", 1), ("one", 2), ("two", 2)):
        monkeypatch.setenv("SQLANON_KEY", key)
        things.run("set", f"SET threads = {threads}")
        release(load(spec()), things)
        found.append([sorted(rows, key=str) for rows in both(things)])
    assert found[0] == found[1] != found[2]


def test_the_printed_sql_makes_both_tables(things: DuckDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLANON_KEY", "key")
    text = sqlanon.plan(spec(), things).sql(things)
    with things.functions("key"):
        things.run("run the script", text)
    by_hand = [sorted(rows, key=str) for rows in both(things)]
    things.run("clear", 'DROP TABLE rel; DROP TABLE rel_sensitive; DROP TABLE temp."sqlanon anatomy"')
    release(load(spec()), things)
    assert [sorted(rows, key=str) for rows in both(things)] == by_hand


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"privacy": [{"model": "k-anonymity", "k": 2}]}, "Anatomy does not protect identity"),
        ({"privacy": [{"model": "t-closeness", "column": NAMES[2], "t": 0.5}]}, "promises l-diversity alone"),
        ({"privacy": [{"model": "l-diversity", "column": NAMES[2], "l": 1}]}, "l must be at least 2"),
        ({"publish": {"name": "rel", "as": "view"}}, "cannot be a view: a view would deal its records anew"),
        ({"publish": {"name": "rel", "as": "file"}}, "publishes two tables, and no file"),
        ({"recoding": {"method": "anatomy", "suppression": 0.1}}, "leaves no record out"),
        ({"recoding": {"method": "anatomy", "loss": "entropy"}}, "loss belongs to method full-domain"),
        ({"population": "things"}, "leave population out"),
        ({"entity": NAMES[3], "columns": {**spec()["columns"], NAMES[3]: "identifier"}}, "leave entity out"),
        ({"columns": {**spec()["columns"], NAMES[1]: "sensitive"}}, "hides one sensitive column"),
        ({"columns": {**spec()["columns"], NAMES[0]: {"role": QI, "min": 1}}}, "quasi-identifiers as they are"),
    ],
)
def test_what_anatomy_cannot_promise_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load({**spec(), **change})
