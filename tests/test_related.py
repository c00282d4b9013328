"""Related tables about the same persons: whoever knows a person's records in all tables finds at least k persons."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import as_role, execute, fetch, made
from tries import tries

import sqlanon
from sqlanon import life, register
from sqlanon.engines import Engine
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load

QI = "quasi-identifier"
SPEC: dict[str, Any] = {
    "source": "persons",
    "entity": "pid",
    "columns": {"pid": "identifier", "age": {"role": QI, "hierarchy": {"width": [2, 4]}}, "town": QI},
    "privacy": [{"model": "k-anonymity", "k": 2}],
    "recoding": {"suppression": 0.5},
    "publish": {"name": "persons_out"},
    "related": [{
        "name": "visits_out", "source": "visits", "key": "who",
        "columns": {"who": "identifier", "month": {"role": QI, "hierarchy": {"width": [3, 6]}}, "disease": "sensitive",
                    "ward": "insensitive"},
        "privacy": [{"model": "l-diversity", "column": "disease", "kind": "distinct", "l": 2}],
    }],
}  # fmt: skip
PERSONS = {"pid": "BIGINT", "age": "BIGINT", "town": "VARCHAR"}
VISITS = {"who": "INTEGER", "month": "BIGINT", "disease": "VARCHAR", "ward": "VARCHAR"}
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    with sqlanon.connect(url, superuser=True) as found, found.one_thread():
        yield found


def fill(engine: Engine, persons: Rows, visits: Rows) -> None:
    for name, declared, rows in (("persons", PERSONS, persons), ("visits", VISITS, visits)):
        made(engine, name, declared, [dict(zip(declared, row, strict=True)) for row in rows])


def read(engine: Engine, name: str) -> Rows:
    return engine.run("read", f"SELECT * FROM {engine.schema}.{name}")


def gone(engine: Engine) -> None:
    if register.current(engine, "persons_out"):
        life.withdraw(engine, "persons_out")


def oracle(persons: Rows, visits: Rows, k: int, l: int) -> str | None:  # noqa: E741
    """What is wrong with the published rows, as somebody sees it who knows all quasi-identifiers of a person."""
    known: dict[Any, Any] = {number: ((age, town), Counter()) for number, age, town in persons}
    if len(known) != len(persons):
        return "a person occurs twice"
    for number, month, _, _ in visits:
        known[number][1][month] += 1
    seen = {number: (own, frozenset(months.items())) for number, (own, months) in known.items()}
    alike = Counter(seen.values())
    if any(size < k for size in alike.values()):
        return "a person is one of fewer than k"
    values = defaultdict(set)
    for number, month, disease, _ in visits:
        values[seen[number], month].add(disease)
    return "too few diseases" if any(len(found) < l for found in values.values()) else None


@st.composite
def tables(draw: st.DrawFn) -> tuple[Rows, Rows]:
    number = draw(st.integers(2, 14))
    cells = st.tuples(st.sampled_from([None, 0, 1, 5]), st.sampled_from(["a", "a", None]))
    persons = [(100 - i, *draw(cells)) for i in range(number)]
    visit = st.tuples(
        st.sampled_from([100 - i for i in range(number)]), st.sampled_from([0, 1, 4, None]),
        st.sampled_from(["x", "y", "z", None]), st.sampled_from(["w1", "w2"]),
    )  # fmt: skip
    return persons, draw(st.lists(visit, min_size=1, max_size=20))


@given(tables(), st.integers(1, 3), st.integers(1, 2))
@settings(max_examples=tries(50), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_released_holds_for_who_knows_all_records_of_a_person(
    engine: Engine,
    data: tuple[Rows, Rows],
    k: int,
    l: int,  # noqa: E741
) -> None:
    fill(engine, *data)
    gone(engine)
    visits = {**SPEC["related"][0], "privacy": [{**SPEC["related"][0]["privacy"][0], "l": l}]}
    spec = {**SPEC, "privacy": [{"model": "k-anonymity", "k": k}], "related": [visits]}
    try:
        found = release(load(spec), engine)
    except ModelNotMet:
        assert engine.kind_of("persons_out") is None and engine.kind_of("visits_out") is None
        return
    persons, seen = read(engine, "persons_out"), read(engine, "visits_out")
    assert oracle(persons, seen, k, l) is None
    assert sorted(number for number, *_ in persons) == list(range(1, len(persons) + 1)), "numbers are dense"
    assert len(persons) >= len(data[0]) / 2
    # Whoever is in, is in with all records; nobody's values are another's.
    own = Counter(Counter((d, w) for who, _, d, w in data[1] if who == pid).__repr__() for pid, *_ in data[0])
    out = Counter(Counter((d, w) for who, _, d, w in seen if who == number).__repr__() for number, *_ in persons)
    assert sum(out.values()) == len(persons) and set(map(_sorted, out)) <= set(map(_sorted, own))
    assert found.to_dict()["related"][0]["release"] == "visits_out"
    assert all(life.verify(engine, name).holds for name in ("persons_out", "visits_out"))


def _sorted(text: str) -> str:
    return "".join(sorted(text))


PEOPLE = [(i, 20 + i % 2, "a") for i in range(12)]
SEEN = [(i, i % 2, "xyz"[j + i % 2], f"w{i % 3}") for i in range(12) for j in range(2)]


def test_numbers_are_no_keys_of_the_source_and_drawn_anew_for_each_release(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLANON_KEY", "the same")
    gone(engine)
    people = [(i, 20, f"t{i // 2}") for i in range(400)]
    fill(engine, people, [(i, 1, "x", "w") for i in range(400)])
    spec = {**SPEC, "related": [{**SPEC["related"][0], "privacy": []}]}
    drawn = []
    for _ in range(2):
        release(load(spec), engine)
        drawn.append({(number, town) for number, _, town in read(engine, "persons_out")})
    assert drawn[0] != drawn[1]
    for rows in drawn:
        assert {number for number, _ in rows} == set(range(1, 401))
        close = sum(abs(number - 1 - 2 * int(town[1:])) < 20 for number, town in rows)
        assert close < 120, "the numbers follow the keys of the source"


def test_a_person_who_is_alone_by_his_visits_alone_is_left_out_of_all_tables(engine: Engine) -> None:
    gone(engine)
    fill(engine, PEOPLE, [*SEEN, (3, 1, "x", "only")])
    related = [{**SPEC["related"][0], "privacy": [], "levels": {"month": 0}}]
    spec = {**SPEC, "recoding": {"suppression": 0.1, "levels": {"age": 0, "town": 0}}, "related": related}
    made_ = release(load(spec), engine)
    assert len(read(engine, "persons_out")) == 11
    assert len(read(engine, "visits_out")) == 22
    assert "11 persons in 2 classes by their records in all tables" in made_.notes
    with pytest.raises(ModelNotMet, match="1 of 12 persons are in classes of fewer than 2"):
        release(load({**spec, "recoding": {**spec["recoding"], "suppression": 0.05}}), engine)


def test_related_tables_are_replaced_withdrawn_and_refreshed_together(engine: Engine) -> None:
    gone(engine)
    fill(engine, PEOPLE, SEEN)
    release(load(SPEC), engine)
    again = sqlanon.refresh("visits_out", engine)
    assert [one.entry.version - again.entry.version for one in again.related] == [0]
    names = ("persons_out", "visits_out")  # other tests of this database have others
    assert [{e.name: e.status for e in reversed(register.entries(engine))}[name] for name in names] == ["published"] * 2
    before = [read(engine, name) for name in names]
    engine.run("add", "INSERT INTO visits VALUES (99, 1, 'x', 'w')")
    with pytest.raises(ReleaseError, match="1 records of 'visits_out' are about nobody whom the first table knows"):
        sqlanon.refresh("persons_out", engine)
    assert [read(engine, name) for name in names] == before
    life.withdraw(engine, "visits_out")
    assert [engine.kind_of(name) for name in names] == [None, None]


def test_a_failure_in_the_last_table_publishes_none(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    gone(engine)
    fill(engine, PEOPLE, SEEN)
    write = register.write

    def failing(used: Engine, entry: register.Entry, *more: Any, **others: Any) -> None:
        if entry.name == "visits_out":
            raise ReleaseError("the second one fails")
        write(used, entry, *more, **others)

    monkeypatch.setattr(register, "write", failing)
    with pytest.raises(ReleaseError, match="the second one fails"):
        release(load(SPEC), engine)
    assert [engine.kind_of(name) for name in ("persons_out", "visits_out")] == [None, None]
    assert register.current(engine, "persons_out") is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"entity": None}, "related tables need `entity:`"),
    ({"privacy": [{"model": "average-risk", "risk": 0.2}]}, "related tables need k-anonymity"),
    ({"publish": {"name": "o", "as": "view"}}, "related tables are published as tables"),
    ({"publish": {"name": "visits_out"}}, "two tables cannot have one name"),
    ({"recoding": {"method": "mondrian"}}, "persons are put into classes by all their tables at once"),
    ({"recoding": {"suppressed": "star"}}, "persons of related tables are left out whole"),
    ({"publish": {"name": "o", "ledger": {"candidates": 3}}}, "publish.ledger: this is not there yet"),
    ({"population": "others"}, "this is not there yet for related tables"),
    ({"related": [{**SPEC["related"][0], "key": "nobody"}]}, "columns has no such identifier column"),
    ({"related": [{**SPEC["related"][0], "columns": {"who": "identifier"}}]}, "at least one column must be a quasi"),
    ({"related": [{"name": "v", "sauce": "x"}]}, "did you mean 'source'"),
]


@pytest.mark.parametrize(("more", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_related_tables_need_is_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        load({key: value for key, value in {**SPEC, **more}.items() if value is not None})


def test_a_published_column_may_not_be_called_as_the_persons(engine: Engine) -> None:
    gone(engine)
    fill(engine, PEOPLE, SEEN)
    made(engine, "persons", {"pid_FROM": "BIGINT", "pid": "BIGINT"}, [{"pid_FROM": i, "pid": 1} for i in range(12)])
    columns = {"pid_FROM": "identifier", "pid": {"role": QI, "hierarchy": {"width": [2]}, "represent": "bounds"}}
    spec = {**SPEC, "entity": "pid_FROM", "columns": columns, "related": [{**SPEC["related"][0], "privacy": []}]}
    with pytest.raises(SpecError, match="would have the name of another column"):
        release(load(spec), engine)


@pytest.mark.parametrize("name", ['"; DROP TABLE persons; --', "it's", "a\nb", "person", "class", "code"])
def test_hostile_names_are_only_names(engine: Engine, name: str) -> None:
    gone(engine)
    quoted = '"{}"'.format(name.replace('"', '""'))
    rows = [{f"{name} id": i, name: i % 2} for i in range(8)]
    made(engine, "persons", {f"{name} id": "BIGINT", name: "BIGINT"}, rows)
    made(engine, f"{name} seen", {name: "BIGINT", "told": "BIGINT"}, [{name: i, "told": i % 2} for i in range(8)])
    spec: dict[str, Any] = {
        "source": "persons", "entity": f"{name} id", "columns": {f"{name} id": "identifier", name: QI},
        "privacy": [{"model": "k-anonymity", "k": 2}], "publish": {"name": f"{name} out"},
        "related": [{"name": f"{name} more", "source": f"{name} seen", "key": name,
                     "columns": {name: "identifier", "told": QI}}],
    }  # fmt: skip
    release(load(spec), engine)
    for out in ("out", "more"):
        relation = '"{}"'.format(f"{name} {out}".replace('"', '""'))
        assert engine.run("read", f"SELECT count(*) FROM {engine.schema}.{relation}") == [(8,)]
    assert engine.run("read", f"SELECT count({quoted}) FROM persons") == [(8,)]
    life.withdraw(engine, f"{name} more")
    assert engine.kind_of(f"{name} out") is None


def test_roles_read_all_related_tables_and_nothing_else(fresh: str) -> None:
    execute(
        fresh, "GRANT CREATE, TEMP ON DATABASE fresh TO publisher", "CREATE SCHEMA raw",
        "CREATE TABLE raw.persons AS SELECT i::bigint AS pid, (20 + i % 2)::bigint AS age, 'a'::varchar AS town"
        " FROM generate_series(1, 12) AS i",
        "CREATE TABLE raw.visits AS SELECT pid AS who, pid % 2 AS month, 'd' || (pid / 2) % 3 AS disease, 'w' AS ward"
        " FROM raw.persons", "GRANT USAGE ON SCHEMA raw TO publisher",
        "GRANT SELECT ON ALL TABLES IN SCHEMA raw TO publisher",
    )  # fmt: skip
    spec = {**SPEC, "source": "raw.persons", "publish": {"name": "persons_out", "grant": ["reader"]},
            "related": [{**SPEC["related"][0], "source": "raw.visits"}]}  # fmt: skip
    with sqlanon.connect(as_role(fresh, "publisher")) as engine:
        made_ = release(load(spec), engine)
        assert json.loads(made_.related[0].entry.grants) == ["reader"]
    joined = "SELECT count(*) FROM releases.persons_out JOIN releases.visits_out ON pid = who"
    assert fetch(as_role(fresh, "reader"), joined) == [(12,)]
    comments = "SELECT col_description('releases.visits_out'::regclass, 1)"
    assert fetch(fresh, comments) == [("a number in the place of the person, drawn for this release alone",)]
    execute(fresh, *(f"DROP OWNED BY {role} CASCADE" for role in ("publisher", "reader")))


def test_what_is_not_there_yet_is_refused_before_anything_is_read() -> None:
    pandas = pytest.importorskip("pandas")
    with DuckDB() as engine, pytest.raises(SpecError, match="usefulness and data frames are not there yet"):
        release(load(SPEC), engine, utility=True)
    with pytest.raises(SpecError, match="not there yet for related tables"):
        sqlanon.anonymize(pandas.DataFrame({"pid": [1], "age": [1], "town": ["a"]}), SPEC)


def test_a_person_without_a_key_is_refused_and_no_key_is_printed() -> None:
    with DuckDB() as engine:
        fill(engine, [*PEOPLE, (None, 20, "a")], SEEN)
        with pytest.raises(ReleaseError, match="about nobody"):
            release(load(SPEC), engine)
