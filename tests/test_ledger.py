"""The ledger and its gate: which releases are put together, for whom, and what stops a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from server import as_role, execute, made
from test_postgres_release import clinic as clinic

import sqlanon
from sqlanon import life
from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load
from sqlanon.together import Together

QI = "quasi-identifier"
AGE, ILL = 'a"ge', "i'll"
SPEC: dict[str, Any] = {
    "source": "people",
    "columns": {"who": "identifier", AGE: {"role": QI, "hierarchy": {"width": [10]}},
                "zip": {"role": QI, "hierarchy": {"mask": 4}}, ILL: "sensitive"},
    "privacy": [{"model": "k-anonymity", "k": 4}],
}  # fmt: skip
AGES, ZIPS = {AGE: 0, "zip": 4}, {AGE: 2, "zip": 0}  # one column as it is, the other not at all
ROWS = [{"who": f"p{i}", AGE: 30 + i % 5, "zip": f"470{i % 4}", ILL: f"ill {i % 3}"} for i in range(60)]


def spec(name: str, levels: dict[str, int], ledger: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    publish = {
        "name": name,
        **({"ledger": ledger} if ledger else {}),
        **{key.rstrip("_"): v for key, v in more.items()},
    }
    return {**SPEC, "recoding": {"levels": levels}, "publish": publish}


@pytest.fixture
def people(either: Engine) -> Engine:
    """The people, of whom three are of one age and zip: one of each illness."""
    for entry in sqlanon.register.entries(either):
        if entry.status == "published":
            life.withdraw(either, entry.name)
    either.run(
        "end", "DROP TABLE IF EXISTS public.people" if either.name == "postgres" else "DROP TABLE IF EXISTS people"
    )
    made(either, "people made", {"who": "VARCHAR", AGE: "INTEGER", "zip": "VARCHAR", ILL: "VARCHAR"}, ROWS)
    schema = "public." if either.name == "postgres" else ""
    either.run("make", f'CREATE TABLE {schema}people AS SELECT * FROM "people made"')
    return either


@pytest.mark.parametrize("form", ["table", "view"])
def test_a_release_that_tells_too_much_with_another_is_stopped(people: Engine, form: str) -> None:
    sqlanon.release(spec("ages", AGES, as_=form), people)
    for bound, told in (({"candidates": 4}, "3 candidates against 4"), ({"values": 4}, "3 values of i'll against 4"),
                        ({"invariance": 3}, "no m-invariance")):  # fmt: skip
        with pytest.raises(ModelNotMet, match=r"together with ages version [0-9]+: ") as stopped:
            sqlanon.release(spec("zips", ZIPS, bound, as_=form), people)
        assert told in str(stopped.value)
        assert people.kind_of("zips") is None
    sqlanon.release(spec("zips", ZIPS, {"candidates": 3, "values": 3}, as_=form), people)
    (line,) = sqlanon.ledger(people).lines
    (left,) = line.left
    assert line.holds
    assert (left.targets, left.candidates, left.values, left.few, left.invariance) == (60, 3, 3, 0, None)
    assert sqlanon.ledger(people, bounds=Together(candidates=4)).lines[0].broken == ("3 candidates against 4",)


@pytest.mark.parametrize("form", ["table", "view"])
def test_the_version_that_is_replaced_is_weighed_too(people: Engine, form: str) -> None:
    sqlanon.release(spec("it", AGES, as_=form), people)
    with pytest.raises(ModelNotMet, match=r"together with it version [0-9]+: 3 candidates"):
        sqlanon.release(spec("it", ZIPS, {"candidates": 4}, as_=form), people)
    assert sqlanon.release(spec("it", AGES, {"candidates": 12, "values": 3}, as_=form), people).entry.kind == form
    assert sqlanon.ledger(people).lines == ()  # one release stands


def test_what_nobody_can_tell_is_no_safety(people: Engine) -> None:
    sqlanon.release(spec("ages", AGES), people)
    sqlanon.release(spec("zips", ZIPS), people)
    for column, value, told in (("made", '{"transforms": [{}]}', "changed before"),
                                ("made", '{"cells_blanked_at_most": 10}', "are blank"),
        ("made", '{"related": {"tables": []}}', "link it with other tables"),
                                ("made", "{}", ""), ("spec", "", "keeps no spec")):  # fmt: skip
        people.run("change", f"UPDATE sqlanon.release SET {column} = ? WHERE status = 'published'", [value])
        (line,) = sqlanon.ledger(people).lines
        assert told in (line.reason or "")
        assert line.holds == (told == "")
    with pytest.raises(ModelNotMet, match="the ledger cannot tell"):
        sqlanon.release(spec("more", ZIPS, {"candidates": 2}), people)
    with pytest.raises(ReleaseError, match="no release 'zip'"):
        sqlanon.ledger(people, ["zip"])


def test_another_source_is_another_line(people: Engine) -> None:
    sqlanon.release(spec("ages", AGES), people)
    schema = "public." if people.name == "postgres" else ""
    people.run("make", f"DROP TABLE IF EXISTS {schema}others")
    people.run("make", f"CREATE TABLE {schema}others AS SELECT * FROM people" if not schema else
               "CREATE TABLE public.others AS SELECT * FROM public.people")  # fmt: skip
    sqlanon.release({**spec("zips", ZIPS, {"candidates": 50}), "source": "others"}, people)
    assert sqlanon.ledger(people).lines == ()
    people.run("end", f"DROP TABLE {schema}others" if people.name == "duckdb" else "SELECT 1")


def test_files_are_for_everybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"duckdb:///{tmp_path / 'a.duckdb'}"
    with sqlanon.connect(url) as engine:
        made(engine, "people", {"who": "VARCHAR", AGE: "INTEGER", "zip": "VARCHAR", ILL: "VARCHAR"}, ROWS)
        for name, levels, ending in (("ages", AGES, "parquet"), ("zips", ZIPS, "duckdb")):
            more: dict[str, Any] = {"as_": "file", "path": str(tmp_path / f"{name}.{ending}")}
            sqlanon.release(spec(name, levels, {"candidates": 3}, **more), engine)
        with pytest.raises(ModelNotMet, match=r"publish it as \.parquet"):
            sqlanon.release(spec("more", AGES, {"candidates": 3}), engine)
    assert main(["ledger", "--db", url, "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert {one["name"] for one in line["releases"]} == {"zips", "ages"}
    assert (line["left"][0]["candidates"], line["holds"]) == (3, True)
    assert main(["ledger", "ages", "--candidates", "4", "--db", url]) == 1
    assert "3 candidates against 4" in capsys.readouterr().out
    assert main(["ledger", "ages", "--values", "1", "--db", url]) == 2
    (tmp_path / "ages.parquet").unlink()
    assert main(["ledger", "--db", url]) == 1
    assert "there is no file" in capsys.readouterr().out


def test_an_audience_is_whoever_can_read_both(clinic: str) -> None:
    """Two roles put nothing together; a member of both does; what is granted to nobody yet may come to everybody."""
    source = {"source": "raw.patients", "columns": {
        "id": "identifier", "name": "drop", "age": {"role": QI, "hierarchy": {"width": [10]}},
        "zip": {"role": QI, "hierarchy": {"mask": 5}}, "disease": "sensitive", "ward": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": 3}]}  # fmt: skip

    def published(name: str, levels: dict[str, int], *roles: str, **more: Any) -> None:
        recoding = {"levels": levels, "suppression": 0.2}
        publish = {"name": name, "grant": list(roles), "ledger": {"candidates": 20}}
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            sqlanon.release({**source, "recoding": recoding, "publish": {**publish, **more}}, engine)

    published("ages", {"age": 0, "zip": 5}, "reader")
    published("zips", {"age": 2, "zip": 0}, "stranger")
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert sqlanon.ledger(engine).lines == ()
    execute(clinic, 'CREATE ROLE "bo\'th" LOGIN', 'GRANT reader, stranger TO "bo\'th"')
    try:
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            (line,) = sqlanon.ledger(engine).lines
            assert (line.audience, line.left[0].candidates) == (("reader", "stranger"), 10)
            assert not line.holds
        with pytest.raises(ModelNotMet, match=r"together with (ages|zips) version 1, "):
            published("zips", {"age": 2, "zip": 0}, "stranger")
    finally:
        execute(clinic, 'DROP ROLE "bo\'th"')
    published("zips", {"age": 2, "zip": 0}, "stranger")
    with pytest.raises(ModelNotMet, match="together with"):
        published("all", {"age": 2, "zip": 0})  # nobody knows who will get it
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert sqlanon.ledger(engine).lines == ()


def test_who_leaves_the_source_while_it_is_published_is_not_published_unweighed(clinic: str) -> None:
    """Counted records are those of the plan: the ledger would find nobody in the source whom they could give away."""
    execute(
        clinic,
        "CREATE TABLE raw.t AS SELECT i / 20 AS a, i / 20 AS b FROM generate_series(0, 39) AS i UNION ALL SELECT 0, 1",
        "GRANT SELECT ON raw.t TO publisher",
    )

    def published(name: str, levels: dict[str, int], leaving: str = "", **more: Any) -> None:
        def tell(told: str, _: float | None) -> None:
            if leaving and told == "writing the table":
                execute(clinic, leaving)

        whole = {"source": "raw.t", "columns": {"a": QI, "b": QI}, "privacy": [{"model": "k-anonymity", "k": 4}],
                 "recoding": {"levels": levels}, "publish": {"name": name, **more}}  # fmt: skip
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            assert release(load(whole), engine, tell=tell).planned.plan.counted is not None

    published("one", {"a": 0, "b": 1})
    published("other", {"a": 1, "b": 0})
    bound = {"ledger": {"candidates": 4}}
    with pytest.raises(ModelNotMet, match="1 candidates against 4"):
        published("other", {"a": 1, "b": 0}, **bound)
    with pytest.raises(ModelNotMet, match="the source has changed since it was planned"):
        published("other", {"a": 1, "b": 0}, "DELETE FROM raw.t WHERE a < b", **bound)
    published("one", {"a": 0, "b": 1})
    published("other", {"a": 1, "b": 0}, **bound)


def test_the_bounds_of_a_spec_are_read_and_refused_by_their_place() -> None:
    with pytest.raises(SpecError, match="one of candidates, values and invariance"):
        sqlanon.load(spec("x", AGES, {}) | {"publish": {"name": "x", "ledger": {}}})
    with pytest.raises(SpecError, match="at least 2"):
        sqlanon.load(spec("x", AGES, {"values": 1}))
    assert sqlanon.load(spec("x", AGES, {"values": 2})).publish.ledger == Together(values=2)  # type: ignore[union-attr]


def test_labels_are_read_by_the_hierarchy_of_their_own_release(people: Engine) -> None:
    """Two releases whose trees call the same places by the same labels, and mean others."""
    trees = [{"A": ["4700", "4701"], "B": ["4702", "4703"]}, {"A": ["4700", "4702"], "B": ["4701", "4703"]}]
    for name, tree in zip(("one", "two"), trees, strict=True):
        columns = {**SPEC["columns"], "zip": {"role": QI, "hierarchy": {"tree": tree}}}
        sqlanon.release({**spec(name, {AGE: 2, "zip": 1}), "columns": columns}, people)
    (line,) = sqlanon.ledger(people).lines
    assert line.left[0].candidates == 15  # one zip of four


@pytest.mark.parametrize("represent", ["label", "bounds"])
def test_partitions_are_measured_too(represent: str) -> None:
    """Two partitions of one table; everybody is in a class of both, whose boxes may hold him too."""
    with sqlanon.connect() as engine:
        made(engine, "people", {"who": "VARCHAR", AGE: "INTEGER", "zip": "VARCHAR", ILL: "VARCHAR"}, ROWS)
        columns = {**SPEC["columns"], AGE: {"role": QI, "represent": represent}, "zip": QI}
        for name, method in (("one", "hilbert"), ("two", "mondrian")):
            told = {**spec(name, {}), "columns": columns, "recoding": {"method": method}}
            sqlanon.release(told, engine)
        (line,) = sqlanon.ledger(engine).lines
    assert line.reason is None
    assert line.left[0].targets == 60
    assert 1 <= (line.left[0].candidates or 0) <= 60


def test_related_tables_have_no_ledger_yet_and_say_so() -> None:
    other = {"name": "visits", "source": "visits", "columns": {"who": "identifier", AGE: QI, ILL: "sensitive"}}
    with pytest.raises(SpecError, match="ledger: this is not there yet for related tables"):
        sqlanon.load({**spec("x", AGES, {"values": 2}), "entity": "who", "related": [other]})


def test_what_one_release_promised_of_all_stops_another_that_promises_nothing(people: Engine) -> None:
    sqlanon.release(spec("ages", AGES, {"candidates": 4}), people)
    with pytest.raises(ModelNotMet, match="3 candidates against 4"):
        sqlanon.release(spec("zips", ZIPS), people)
    related = {
        "entity": "who",
        "related": [{"name": "more", "source": "people", "columns": {**SPEC["columns"], AGE: "drop"},
                     "levels": {"zip": 4}}],
    }  # fmt: skip
    with pytest.raises(ModelNotMet, match="numbers that link it with other tables"):
        sqlanon.release({**spec("persons", AGES), **related}, people)
    sqlanon.release(spec("ages", AGES), people)  # its own promise is its publisher's to take back
    sqlanon.release(spec("zips", ZIPS), people)
