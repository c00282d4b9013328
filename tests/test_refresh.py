"""A release made again from its source as it is now: what is kept, what is refused, and what stands if it fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server import execute, fetch, with_threads

import sqlanon
from sqlanon import life, refreshing, register
from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.remembering import keep, recall
from sqlanon.spec import load

QI = "quasi-identifier"
SECRET = "Alice Meyer"
SPEC: dict[str, Any] = {
    "source": "people",
    "columns": {
        "id": "identifier", "age": {"role": QI, "hierarchy": {"width": [5, 10, 20]}},
        "town": {"role": QI, "hierarchy": {"tree": {"north": ["a", "b"], "south": ["c", "d"]}}},
        "disease": "sensitive",
    },
    "privacy": [{"model": "k-anonymity", "k": 3}],
    "recoding": {"method": "full-domain", "suppression": 0.1},
    "publish": {"name": "out"},
}  # fmt: skip


@pytest.fixture(params=["duckdb", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each engine with a table of people; on Postgres in the user's search path."""
    url = f"duckdb:///{tmp_path / 'people.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("fresh")
    with sqlanon.connect(url, superuser=True) as found:
        with_threads(found, 1)  # for so few rows it is quicker
        public = "public." if found.name == "postgres" else ""
        series = "generate_series(0, 59)" if found.name == "postgres" else "range(60)"
        found.run("make", f"CREATE TABLE {public}people (id integer, age integer, town varchar, disease varchar)")
        found.run(
            "fill",
            f"INSERT INTO {public}people SELECT i, 20 + i % 3 + 40 * (i % 2), CASE WHEN i % 2 = 0 THEN 'a' ELSE 'c'"
            f" END, 'd' || i % 4 FROM {series} AS r (i)",
        )
        yield found


def people(engine: Engine) -> str:
    return "public.people" if engine.name == "postgres" else "people"


def rows(engine: Engine) -> list[tuple[Any, ...]]:
    return sorted(engine.run("read", f"SELECT * FROM {engine.schema}.out"), key=str)


def add(engine: Engine, *values: str, copies: int = 1) -> None:
    """More people; each value is the tail of a row: age, town, disease."""
    for value in values * copies:
        engine.run("add", f"INSERT INTO {people(engine)} VALUES (1000, {value})")
    settle(engine)


def settle(engine: Engine) -> None:
    """Lets Postgres count what was written; it does so now and then, and when a connection ends."""
    if engine.name == "postgres":
        engine.run("count", "SELECT pg_stat_force_next_flush()")
        engine.run("count", "SELECT 1")


def state(engine: Engine) -> list[Any]:
    return [rows(engine), [(e.version, e.status) for e in register.entries(engine)], len(register.logged(engine))]


FORMS = ["table", "view", "materialized view"]


@pytest.mark.parametrize("form", FORMS)
def test_a_refresh_publishes_what_the_source_holds_now_with_the_same_levels(engine: Engine, form: str) -> None:
    if not engine.can("materialized_view") and form == "materialized view":
        with pytest.raises(SpecError, match="a materialized view is not there yet on duckdb"):
            release(load({**SPEC, "publish": {"name": "out", "as": form}}), engine)
        return
    first = release(load({**SPEC, "publish": {"name": "out", "as": form}}), engine)
    add(engine, "21, 'b', 'd1'", "22, 'b', 'd2'", copies=4)
    assert len(rows(engine)) == (60 if form != "view" else 68)
    second = sqlanon.refresh("out", engine)
    assert (second.entry.version, second.before, second.frozen, second.entry.kind) == (2, 1, True, form)
    assert second.planned.plan.levels == first.planned.plan.levels
    assert len(rows(engine)) == 68
    assert [(e.version, e.status) for e in register.entries(engine)] == [(2, "published"), (1, "superseded")]
    assert life.verify(engine, "out").holds
    told = second.to_dict()
    assert (told["previous_version"], told["frozen"], told["version"]) == (1, True, 2)


def test_levels_are_planned_again_only_when_that_is_asked(engine: Engine) -> None:
    first = release(load(SPEC), engine)
    assert first.planned.plan.levels == {"age": 0, "town": 0}
    add(engine, *(f"{20 + i}, 'b', 'd1'" for i in range(20)))
    before = state(engine)
    with pytest.raises(ModelNotMet, match="the levels are those of version 1: plan them anew with --anew"):
        sqlanon.refresh("out", engine)
    assert state(engine) == before
    anew = sqlanon.refresh("out", engine, anew=True)
    assert (anew.frozen, anew.entry.version) == (False, 2)
    assert anew.planned.plan.levels != first.planned.plan.levels
    assert life.verify(engine, "out").holds


DRIFT = {
    "a new column": ["ALTER TABLE {} ADD COLUMN email varchar"],
    "a missing column": ["ALTER TABLE {} DROP COLUMN id"],
    "another type": ["ALTER TABLE {} ALTER COLUMN age TYPE bigint"],
    "another family": ["ALTER TABLE {} ALTER COLUMN age TYPE varchar"],
    "an unseen value": [f"INSERT INTO {{}} VALUES (61, 20, '{SECRET}', 'd1')"],
    "no table": ["DROP TABLE {}"],
}


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("how", DRIFT)
def test_a_source_that_has_drifted_is_refused_and_the_version_before_stands(
    engine: Engine, how: str, anew: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release(load(SPEC), engine)
    before = state(engine)
    for statement in DRIFT[how]:
        engine.run("drift", statement.format(people(engine)))
    with pytest.raises(SpecError) as caught:
        sqlanon.refresh("out", engine, anew=anew)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_status == 2
    assert state(engine) == before


def test_a_spec_is_kept_by_itself_whatever_becomes_of_its_files(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "town.csv").write_text("a;north\nb;north\nc;south\nd;south\n")
    (tmp_path / "specs" / "spec.yaml").write_text(
        json.dumps({**SPEC, "columns": {**SPEC["columns"], "town": {"role": QI, "hierarchy": {"csv": "town.csv"}}}})
    )
    release(load(tmp_path / "specs" / "spec.yaml"), engine)
    for file in (tmp_path / "specs").iterdir():
        file.unlink()
    add(engine, "21, 'a', 'd1'")
    assert sqlanon.refresh("out", engine).entry.version == 2


WIDE: list[dict[str, Any]] = [
    SPEC,
    {**SPEC, "entity": "id"},
    {**SPEC, "source": {"query": "SELECT * FROM people WHERE age > 0"}},
    {**SPEC, "source": {"file": "folder/a.txt", "delimiter": ";"}, "population": "all.csv"},
    {**SPEC, "publish": {"name": "o", "expires": "9d"}},
    {**SPEC, "publish": {"name": "o", "as": "view", "grant": ["a", "b"], "owner": "c"}},
    {**SPEC, "publish": {"name": "o", "as": "file", "path": "x/o.duckdb"}},
    {**SPEC, "privacy": [{"model": "k-anonymity", "k": 2}, {"model": "t-closeness", "column": "disease", "t": 0.3},
                         {"model": "l-diversity", "column": "disease", "l": 3, "kind": "recursive", "c": 1.7},
                         {"model": "theta-sensitivity", "column": "disease", "mu": 0.6, "k": 2}]},
    {**SPEC, "transforms": [{"transform": "rounding", "column": "age", "base": 2}]},
    {**SPEC, "columns": {**SPEC["columns"], "age": {"role": QI, "hierarchy": {"width": [0.1, 0.5]}, "min": 1,
                                                    "weight": 0.25, "represent": "bounds"}}},
    {**SPEC, "columns": {**SPEC["columns"], "age": {"role": QI, "hierarchy": {"order": {"values": ["x", "y", "z"],
                                                                                        "groups": [2]}}}}},
    {**SPEC, "columns": {**SPEC["columns"], "age": {"role": QI, "hierarchy": {"date": ["month", "year"]}}}},
]  # fmt: skip


def test_the_hierarchies_of_related_tables_are_kept_too(tmp_path: Path) -> None:
    (tmp_path / "town.csv").write_text("a;north\nb;north\nc;south\n")
    visits = {"name": "v", "source": "visits.csv", "columns": {"id": "identifier", "town": QI}}
    visits["columns"] = {"id": "identifier", "town": {"role": QI, "hierarchy": {"csv": "town.csv"}}}
    (tmp_path / "spec.yaml").write_text(json.dumps({**SPEC, "entity": "id", "related": [visits]}))
    text = keep(load(tmp_path / "spec.yaml"), None, {"out": {}, "v": {}})
    (tmp_path / "town.csv").unlink()
    kept = recall(text)
    assert kept is not None and list(kept.tables) == ["out", "v"]
    spec = kept.tables["v"][0]
    hierarchy = spec.columns["town"].hierarchy
    assert hierarchy is not None
    rows_of = hierarchy.rows(Path("elsewhere"))
    assert rows_of is not None and rows_of[2] == ("c", "south", "*")
    assert spec.source.file == str(tmp_path / "visits.csv")


@pytest.mark.parametrize("number", range(len(WIDE)))
def test_a_kept_spec_is_read_back_as_it_was(number: int) -> None:
    try:
        spec = load(WIDE[number])
    except SpecError:
        pytest.fail(f"the spec {number} of this test is wrong")
    found = recall(keep(spec, {"age": 1, "town": 0}, {"age": "integer"}))
    assert found is not None
    assert (found.levels, found.types) == ({"age": 1, "town": 0}, {"age": "integer"})
    plain = {"columns", "privacy", "transforms", "recoding", "entity", "policy", "rules"}
    assert {key: vars(found.spec)[key] for key in plain} == {key: vars(spec)[key] for key in plain}
    assert keep(found.spec, found.levels, found.types) == keep(spec, found.levels, found.types)


def test_what_the_register_keeps_for_publishers_is_in_no_json_and_in_no_released_file(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = release(load(SPEC), engine)
    assert made.entry.source in ("people", "public.people")
    told = json.dumps([one.to_dict() for one in refreshing.standing(engine)] + [made.to_dict()])
    assert "north" in made.entry.spec
    assert not {"source", "grants", "source_state", "spec", "recheck"} & made.entry.to_dict().keys()
    assert "north" not in told
    if engine.can("file"):
        for ending in ("duckdb", "parquet"):
            file = tmp_path / f"file.{ending}"
            publish = {"name": "filed", "as": "file", "path": str(file)}
            release(load({**SPEC, "publish": publish}), engine)
            data = file.read_bytes()
            assert b"north" not in data and b"source_state" not in data[:0] and b"duckdb:///" not in data
            if ending == "duckdb":
                with engine.attached(file) as catalog:
                    (entry,) = register.entries(engine, catalog)
                    assert (entry.spec, entry.source, entry.grants, entry.source_state) == ("", "", "[]", "")
                    assert "audit_log" not in engine.relations(catalog)
            add(engine, "21, 'a', 'd1'")
            again = sqlanon.refresh("filed", engine)
            assert again.location == str(file) and again.measured.rows > made.measured.rows


def test_a_release_is_stale_when_its_source_has_changed(engine: Engine) -> None:
    settle(engine)
    release(load(SPEC), engine)
    assert [(one.stale, one.refresh_recommended) for one in refreshing.standing(engine)] == [(False, False)]
    add(engine, "21, 'a', 'd1'")
    assert [(one.stale, one.refresh_recommended) for one in refreshing.standing(engine)] == [(True, True)]
    sqlanon.refresh("out", engine)
    assert [(o.entry.version, o.stale) for o in refreshing.standing(engine)] == [(2, False), (1, None)]
    engine.run("change", f"UPDATE {people(engine)} SET disease = 'd9' WHERE id = 1")
    settle(engine)
    assert refreshing.standing(engine)[0].stale is True
    engine.run("drop", f"DROP TABLE {people(engine)}")
    assert refreshing.standing(engine)[0].stale is None
    life.withdraw(engine, "out")
    assert refreshing.standing(engine)[0].stale is None


def test_a_release_of_a_file_is_stale_when_the_file_has_changed(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    lines = ["id,age,town,disease", *(f"{i},{20 + i % 2},a,d{i % 3}" for i in range(20))]
    file.write_text("\n".join(lines) + "\n")
    spec = {**SPEC, "source": {"file": str(file)}}
    made = release(load(spec), engine)
    assert made.entry.source == str(file)
    assert refreshing.standing(engine)[0].stale is False
    file.write_text("\n".join([*lines, "21,20,a,d1"]) + "\n")
    assert refreshing.standing(engine)[0].stale is True
    assert sqlanon.refresh("out", engine).measured.rows == 21
    file.unlink()
    assert refreshing.standing(engine)[0].stale is None
    if engine.name == "postgres":
        file.write_text("\n".join(lines) + "\n")
        with pytest.raises(SpecError, match="a view cannot read a file"):
            release(load({**spec, "publish": {"name": "out", "as": "view"}}), engine)


def test_an_expired_release_is_told_and_not_recommended_for_a_refresh(engine: Engine) -> None:
    release(load({**SPEC, "publish": {"name": "out", "expires": "1h"}}), engine)
    add(engine, "21, 'a', 'd1'")
    engine.run("wait", "UPDATE sqlanon.release SET expires_at = TIMESTAMP '2000-01-01 00:00:00'")
    (one,) = refreshing.standing(engine)
    assert (one.to_dict()["expired"], one.stale, one.refresh_recommended) == (True, True, False)


def test_the_log_tells_who_released_refreshed_and_withdrew_what(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    release(load(SPEC), engine)
    sqlanon.refresh("out", engine)
    with pytest.raises(ModelNotMet):
        release(load({**SPEC, "privacy": [{"model": "k-anonymity", "k": 99}]}), engine)
    life.withdraw(engine, "out")
    lines = register.logged(engine)
    assert sorted((line.version, line.action) for line in lines) == [
        (1, "released"),
        (2, "refreshed"),
        (2, "withdrawn"),
    ]
    assert {(line.by, line.name, line.detail) for line in lines} == {(engine.user, "out", "as table")}


def test_what_is_no_release_or_has_no_spec_cannot_be_refreshed(engine: Engine) -> None:
    with pytest.raises(ReleaseError, match="there is no release 'out'"):
        sqlanon.refresh("out", engine)
    release(load(SPEC), engine)
    for spec in ("", "{}", '{"spec": {}, "levels": null, "types": {}, "lines": [{}]}'):
        engine.run("forget", "UPDATE sqlanon.release SET spec = ?", [spec])
        with pytest.raises(ReleaseError, match="keeps no spec of 'out'") as caught:
            sqlanon.refresh("out", engine)
        assert caught.value.exit_status == 2


def test_refresh_and_the_log_have_their_commands(
    engine: Engine, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    release(load(SPEC), engine)
    url = engine.url if engine.name == "duckdb" else request.getfixturevalue("fresh")
    if engine.name == "duckdb":
        engine.close()
    force = ["--superuser"] if engine.name == "postgres" else []
    assert main(["refresh", "out", "--db", url, "--json", *force]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["release"], told["version"], told["previous_version"], told["frozen"]) == ("out", 2, 1, True)
    assert main(["refresh", "out", "--db", url, "--anew", *force]) == 0
    assert "Refreshed from version 2, with a new plan." in capsys.readouterr().out
    assert main(["releases", "--db", url, "--log", "--json"]) == 0
    assert [line["action"] for line in json.loads(capsys.readouterr().out)["log"]] == ["refreshed"] * 2 + ["released"]
    assert main(["releases", "--db", url, "--log"]) == 0
    assert "refreshed" in capsys.readouterr().out
    assert main(["releases", "--db", url, "--json"]) == 0
    assert [one["version"] for one in json.loads(capsys.readouterr().out)["releases"]] == [3, 2, 1]
    assert main(["refresh", "other", "--db", url, *force]) == 2


def test_a_release_of_a_frame_keeps_no_spec() -> None:
    pandas = pytest.importorskip("pandas")
    with sqlanon.connect() as engine:
        frame = pandas.DataFrame({"id": range(6), "age": [20] * 6, "town": ["a"] * 6, "disease": ["d"] * 6})
        made = release(load(SPEC), engine, frame=frame)
        assert (made.entry.spec, made.entry.source, refreshing.standing(engine)[0].stale) == ("", "", None)


def test_on_postgres_the_roles_that_may_read_are_those_of_the_version_before(fresh: str) -> None:
    people = "SELECT i AS id, 20 AS age, 'a'::varchar AS town, 'd'::varchar AS disease FROM generate_series(1, 9) AS i"
    execute(fresh, f"CREATE TABLE public.people AS {people}")  # fmt: skip
    with sqlanon.connect(fresh, superuser=True) as engine:
        release(load({**SPEC, "publish": {"name": "out", "grant": ["reader"]}}), engine)
        execute(fresh, "REVOKE SELECT ON releases.out FROM reader", "GRANT SELECT ON releases.out TO holder, PUBLIC")
        made = sqlanon.refresh("out", engine)
    assert json.loads(made.entry.grants) == ["holder"]
    granted = "SELECT has_table_privilege('{}', 'releases.out', 'SELECT')"
    assert [fetch(fresh, granted.format(role))[0][0] for role in ("reader", "holder", "stranger")] == [
        False, True, False,
    ]  # fmt: skip
    execute(fresh, "REVOKE ALL ON SCHEMA releases FROM holder, reader")


def test_a_register_of_an_earlier_version_is_read_and_brought_up_to_date(engine: Engine) -> None:
    sqlanon.release(load(SPEC), engine)
    for column in ("owner", "source", "grants", "source_state", "spec"):
        engine.run("as it was", f"ALTER TABLE sqlanon.release DROP COLUMN {column}")
    engine.run("as it was", "DROP TABLE sqlanon.audit_log")
    (entry,) = register.entries(engine)
    assert (entry.owner, entry.grants, entry.spec) == ("", "[]", "")
    assert life.verify(engine, "out").holds
    with pytest.raises(ReleaseError, match="keeps no spec"):
        sqlanon.refresh("out", engine)
    assert sqlanon.release(load(SPEC), engine).entry.version == 2
    assert register.current(engine, "out").spec != ""  # type: ignore[union-attr]
    assert [line.action for line in register.logged(engine)] == ["released"]
    for column in ("owner", "source", "grants", "source_state", "spec"):
        engine.run("as it was", f"ALTER TABLE sqlanon.release DROP COLUMN {column}")
    engine.run("as it was", "DROP TABLE sqlanon.audit_log")
    life.withdraw(engine, "out")
    assert [line.action for line in register.logged(engine)] == ["withdrawn"]
