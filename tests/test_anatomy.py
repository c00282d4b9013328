"""Anatomy, read back by code of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from server import made, with_threads, working_tables
from tries import tries

import sqlanon
from sqlanon import life, planning
from sqlanon.engines import Engine, Origin
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
def engine(either: Engine) -> Engine:
    return either


def records(engine: Engine, rows: Sequence[Row], names: Sequence[str] = NAMES) -> Records:
    """A table of three text columns and a number."""
    kinds = ("VARCHAR", "VARCHAR", "VARCHAR", "INTEGER")
    made(engine, "things", dict(zip(names, kinds, strict=True)), [dict(zip(names, row, strict=True)) for row in rows])
    return numbered(Query(()), "things", engine.columns(Origin(relation="things")))


values = st.sampled_from(["a", "b", None, "'; --"]) | st.just("a")
tables = st.lists(st.tuples(values, values, values), min_size=1, max_size=24).map(
    lambda rows: [(*row, i) for i, row in enumerate(rows)]
)


# -- Anatomy ----------------------------------------------------------------------------------------------------------


def split(engine: Engine, there: Records, l: int, key: str = "key") -> tuple[list[Row], list[Row]]:  # noqa: E741
    """The two relations."""
    parts = anatomize(engine, there, NAMES[2], l, "own group")
    with engine.functions(key):
        engine.temporary("make it", "both", parts)
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*NAMES, "own group")]
    others, group = ", ".join([*quoted[:2], *quoted[3:]]), f"{quoted[4]}, {quoted[2]}"
    quasi = engine.run("read", f'SELECT {others} FROM "both"')
    return quasi, engine.run("read", f'SELECT {group}, count(*) FROM "both" GROUP BY {group}')


@settings(max_examples=tries(15), deadline=None, phases=[Phase.generate])
@given(tables, st.integers(2, 4))
def test_groups_have_l_different_values_and_link_no_record_to_one(engine: Engine, rows: list[Row], l: int) -> None:  # noqa: E741
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


def test_who_shares_a_group_depends_on_the_key_and_not_on_threads(engine: Engine) -> None:
    rows = [("q", str(i), "abcd"[i % 4], i) for i in range(200)]
    found = []
    for threads, key in ((1, "one"), (4, "one"), (2, "two")):
        with_threads(engine, threads)
        found.append(tuple(map(sorted, split(engine, records(engine, rows), 3, key))))
    assert found[0] == found[1] and found[0][0] != found[2][0]


def test_anatomy_is_refused_where_it_has_no_meaning(engine: Engine) -> None:
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
def things(either: Engine) -> Iterator[Engine]:
    records(either, [(str(i % 7), f"'{i}'", "abcd"[i % 4] if i % 9 else None, i) for i in range(103)])
    yield either
    if either.kind_of("rel"):
        life.withdraw(either, "rel")


def commented(engine: Engine) -> set[str]:
    """The tables that tell of a column that identity is not protected."""
    sql = {
        "duckdb": "SELECT table_name FROM duckdb_columns() WHERE comment LIKE '%identity%'",
        "postgres": "SELECT c.relname FROM pg_description AS d JOIN pg_class AS c ON c.oid = d.objoid"
        " WHERE d.objsubid > 0 AND d.description LIKE '%identity%'",
    }
    return {name for (name,) in engine.run("read", sql[engine.name])}


def both(engine: Engine) -> tuple[list[Row], list[Row]]:
    at = engine.schema
    return engine.run("read", f"SELECT * FROM {at}.rel"), engine.run("read", f"SELECT * FROM {at}.rel_sensitive")


def test_two_linked_tables_are_published_and_tell_no_record_its_value(things: Engine) -> None:
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
    assert commented(things) == {"rel", "rel_sensitive"}
    assert [name for name in working_tables(things) if name.startswith("sqlanon")] == []


def test_an_anatomy_is_shown_with_its_columns_as_they_are(things: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    show.plan(planning.make(load(spec()), things))
    told = capsys.readouterr().out
    assert "identity not protected" in told and told.count("as it is") == 1
    assert "covers" not in told and "least" not in told.split("promised")[0]


def test_an_anatomy_is_verified_replaced_and_withdrawn_as_one(things: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    release(load(spec()), things)
    found = life.verify(things, "rel")
    assert found.holds and found.unchanged and found.rows == 103
    release(load(spec(2)), things)
    assert max(Counter(row[2] for row in both(things)[0]).values()) == 3  # 103 records in 51 groups
    with pytest.raises(ModelNotMet, match="l = 5 is impossible"):
        release(load(spec(5)), things)
    assert life.verify(things, "rel").holds
    at = f"{things.schema}.rel_sensitive"
    things.run("change", f"UPDATE {at} SET records = records + 1 WHERE group_id_ = 1")
    assert not life.verify(things, "rel").holds
    things.run("gone", f"ALTER TABLE {at} RENAME TO other")
    assert not life.verify(things, "rel").holds
    things.run("back", f"ALTER TABLE {things.schema}.other RENAME TO rel_sensitive")
    life.withdraw(things, "rel")
    assert things.kind_of("rel") is things.kind_of("rel_sensitive") is None


def test_another_release_of_the_name_takes_the_second_table_away(things: Engine) -> None:
    release(load(spec()), things)
    plain = {**spec(), "recoding": {"method": "full-domain"}, "privacy": [{"model": "k-anonymity", "k": 2}]}
    release(load(plain), things)
    assert things.kind_of("rel") == "table" and things.kind_of("rel_sensitive") is None


def test_somebody_elses_second_table_is_not_touched(things: Engine) -> None:
    at = f"{things.schema}.rel_sensitive"
    things.run("make", f"CREATE SCHEMA IF NOT EXISTS {things.schema}")
    things.run("make", f"CREATE TABLE {at} AS SELECT 1 AS x")
    with pytest.raises(ReleaseError, match="no part of this release"):
        release(load(spec()), things)
    assert things.run("read", f"SELECT * FROM {at}") == [(1,)] and things.kind_of("rel") is None
    things.run("clear", f"DROP TABLE {at}")


def test_the_same_key_makes_the_same_groups(things: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for key, threads in (("one", 1), ("one", 2), ("two", 2)):
        monkeypatch.setenv("SQLANON_KEY", key)
        with_threads(things, threads)
        release(load(spec()), things)
        found.append([sorted(rows, key=str) for rows in both(things)])
    assert found[0] == found[1] != found[2]


def test_the_printed_sql_makes_both_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    things = sqlanon.connect()
    records(things, [(str(i % 7), f"'{i}'", "abcd"[i % 4] if i % 9 else None, i) for i in range(103)])
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
