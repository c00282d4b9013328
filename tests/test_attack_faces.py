"""Attacks as people and programs run them: on releases of the register, on files and frames, from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pandas
import pytest
import yaml

import sqlanon
from sqlanon import Known, Origin, demo
from sqlanon.attacks import ATTACKS
from sqlanon.cli import main
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ReleaseError, SpecError
from sqlanon.hierarchies import Csv, Tabled
from sqlanon.models import exact

FORMS = {
    "released": {"as": "table"}, "seen": {"as": "view"}, "lent": {"as": "file", "path": "l.parquet"},
    "kept": {"as": "file", "path": "k.duckdb"},
}  # fmt: skip
LEVELS = {"age": 4, "sex": 0, "zip": 3, "country": 2, "admitted": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with fewer patients, and its release in every form."""
    made = tmp_path_factory.mktemp("demo")
    spec = demo.write(made, patients=8000)
    told = yaml.safe_load(spec.read_text())
    with sqlanon.connect(f"duckdb:///{made / 'clinic.duckdb'}") as engine:
        engine.run("load", f"CREATE TABLE patients AS FROM read_csv('{made / 'patients.csv'}')")
        for name, form in FORMS.items():
            told["recoding"] |= {"levels": LEVELS, "suppression": 0.2}
            told |= {"publish": {"name": name, **form}, "source": {"table": "patients"}}
            file = made / f"{name}.yaml"
            file.write_text(yaml.safe_dump(told, sort_keys=False))
            sqlanon.release(file, engine)
    return made


@pytest.fixture
def engine(folder: Path) -> Iterator[DuckDB]:
    with sqlanon.connect(f"duckdb:///{folder / 'clinic.duckdb'}", read_only=True) as found:
        yield found


# -- releases ----------------------------------------------------------------------------------------------------------


def test_a_release_resists_what_its_models_promise(folder: Path, engine: DuckDB) -> None:
    promised = {m.name: m for m in sqlanon.load(folder / "released.yaml").privacy}
    found = sqlanon.attack(
        "released", engine=engine, external="patients",
        hierarchies={"country": Csv(str(folder / "hierarchies/country.csv"))},
        attacks=["identity(k=5)", "homogeneity", "background-knowledge(b=1)", "linkage(k=5)", "categorical-similarity"],
    )  # fmt: skip
    assert {name: model.bound for name, model in promised.items()} == {
        "k-anonymity": 5, "l-diversity": 3, "t-closeness": 0.3,
    }  # fmt: skip
    assert [o.breached for o in found.outcomes] == [False] * 5
    assert not found.breached
    linkage = found.outcomes[3].to_dict()
    assert linkage["details"]["rate"] <= 1 / 5
    assert linkage["details"]["matched"] > 0.8 * linkage["records"] > 0


def test_a_release_resists_the_similarity_that_its_t_closeness_excludes(engine: DuckDB) -> None:
    """A category of share P can reach P + t · height / 2 at most: the tree has diseases, categories and a root."""
    whole = sqlanon.attack("released", engine=engine, attacks=["categorical-similarity"]).outcomes[0]
    assert whole.reached is not None and whole.reached.facts.largest_share is not None
    most = whole.reached.facts.largest_share + exact(0.3) * Fraction(whole.reached.facts.height or 0, 2)
    tau = float(round(most, 4)) + 0.01  # the distances were from the source, of which the release is a part
    (outcome,) = sqlanon.attack("released", engine=engine, attacks=[f"categorical-similarity(tau={tau})"]).outcomes
    assert outcome.breached is False
    assert re.fullmatch(r"t-closeness\(column=disease, distance=hierarchical, t=0\.\d+\)", outcome.countered_by or "")


@pytest.mark.parametrize("name", ["released", "seen", "lent", "kept", "l.parquet", "k.duckdb"])
def test_a_release_knows_its_columns_in_every_form(folder: Path, engine: DuckDB, name: str) -> None:
    source = str(folder / name) if "." in name else name
    found = sqlanon.attack(source, engine=engine, attacks=["identity", "homogeneity"])
    assert found.source == source
    assert found.quasi_identifiers == tuple(LEVELS)
    assert found.sensitive == ("disease",)
    assert [o.breached for o in found.outcomes] == [False, False]


def test_a_release_that_counts_persons_says_that_its_classes_count_records(engine: DuckDB) -> None:
    (note,) = sqlanon.attack("released", engine=engine, attacks=["identity"]).notes
    assert note.startswith("classes count records here; the release's own k counts persons")
    assert sqlanon.attack("patients", quasi_identifiers=["age"], engine=engine, attacks=["identity"]).notes == ()


def test_the_tree_of_a_release_gives_its_categories(engine: DuckDB) -> None:
    (outcome,) = sqlanon.attack("released", engine=engine, attacks=["categorical-similarity(tau=0.01)"]).outcomes
    assert outcome.breached is True


def test_what_is_named_goes_before_what_the_release_says(engine: DuckDB) -> None:
    found = sqlanon.attack("released", engine=engine, quasi_identifiers=["age"], sensitive=["weight_kg"])
    assert (found.quasi_identifiers, found.sensitive) == (("age",), ("weight_kg",))


def test_two_releases_of_one_source_are_put_together(engine: DuckDB) -> None:
    found = sqlanon.attack("released", engine=engine, others=["seen"], attacks=["composition", "composition(m=30)"])
    same, all_values = (o.to_dict() for o in found.outcomes)
    assert same["breached"] is False  # the same classes twice leave what one of them holds
    assert same["details"]["combinations"] == found.classes
    assert all_values["records_breached"] == found.rows


def test_the_data_holder_knows_who_is_who(engine: DuckDB) -> None:
    person = Known(Origin(relation="patients"), {"age": "age", "zip": "zip"}, ("patient_id", "patient_id"))
    arguments: dict[str, Any] = {"quasi_identifiers": ["age", "zip"], "attacks": ["linkage"], "engine": engine}
    known, unknown = (
        sqlanon.attack("patients", external=external, **arguments).outcomes[0].to_dict()["details"]
        for external in (person, Known(Origin(relation="patients"), {"age": "age", "zip": "zip"}))
    )
    ((combinations, records),) = engine.run(
        "count", "SELECT count(*), sum(n) FROM (SELECT count(*) n FROM patients GROUP BY age, zip)"
    )
    assert unknown["rate"] == pytest.approx(combinations / records)
    own = "SELECT count(*) OVER (PARTITION BY age, zip, patient_id) / count(*) OVER (PARTITION BY age, zip) AS r"
    ((expected,),) = engine.run("count", f"SELECT avg(r) FROM ({own} FROM patients)")
    assert known["rate"] == pytest.approx(expected)
    assert (known["rate_is"], unknown["rate_is"]) == ("exact", "upper bound")


@pytest.mark.parametrize("represent", ["label", "bounds", "range"])
def test_published_bounds_and_ranges_hold_what_labels_hold(tmp_path: Path, represent: str) -> None:
    columns = {
        "age": {"role": "quasi-identifier", "hierarchy": {"width": [10]}, "represent": represent},
        "born": {"role": "quasi-identifier", "hierarchy": {"date": ["month", "year"]}, "represent": represent},
        "s": "sensitive",
    }
    with sqlanon.connect() as engine:
        engine.run("make", "CREATE TABLE t AS SELECT CASE WHEN i > 1 THEN (i * 7) % 40 END AS age, i % 3 AS s,"
                   " DATE '2020-01-01' + (i * 5 % 90)::INT AS born FROM range(60) r(i)")  # fmt: skip
        spec = {
            "source": {"table": "t"}, "columns": columns, "privacy": [{"model": "k-anonymity", "k": 1}],
            "recoding": {"levels": {"age": 1, "born": 1}}, "publish": {"name": "r"},
        }  # fmt: skip
        sqlanon.release(spec, engine)
        found = sqlanon.attack("r", engine=engine, sensitive=["s"], external="t", attacks=["linkage"])
        # A missing bound may be that of a suppressed record, so that it holds every age: January's two are for all.
        beside = 0 if represent == "label" else 2
        classes = "SELECT month(born) AS m, count(*) AS n FROM t WHERE age IS NOT NULL GROUP BY m, age // 10"
        each = f"CASE WHEN m = 1 THEN n / (n + {beside}) ELSE 1 END"
        ((known,),) = engine.run("count", f"SELECT sum({each}) FROM ({classes})")
    details = found.outcomes[0].to_dict()["details"]
    assert details["columns"] == ["age", "born"]
    assert details["matched"] == 60
    assert details["rate"] == pytest.approx((known + 1) / 60)


# -- files and frames --------------------------------------------------------------------------------------------------


def test_a_frame_is_attacked_with_frames() -> None:
    release = pandas.DataFrame({"age": ["[20, 30)", "[20, 30)", "[30, 40)"], "s": ["flu", "flu", "hiv"]})
    people = pandas.DataFrame({"name": ["Ann", "Bob"], "years": [25, 31]})
    found = sqlanon.attack(
        release, quasi_identifiers=["age"], sensitive=["s"], attacks=["homogeneity", "composition", "membership"],
        others=[pandas.DataFrame({"age": ["[25, 35)"], "s": ["flu"]})],
        population=pandas.DataFrame({"age": [21, 22, 35]}),
    )  # fmt: skip
    assert [o.to_dict()["records_breached"] for o in found.outcomes] == [3, 2, 3]
    with sqlanon.connect() as engine:
        known = Known(engine.register(people), {"age": "years"})
        linked = sqlanon.attack(release, quasi_identifiers=["age"], attacks=["linkage"], external=known, engine=engine)
    assert linked.to_dict()["attacks"][0]["details"] == {
        "rate": 0.75, "rate_is": "upper bound", "expected": 1.5, "unique": 1, "matched": 2, "columns": ["age"],
    }  # fmt: skip


def test_the_source_is_not_changed_and_no_working_table_is_left(engine: DuckDB) -> None:
    before = engine.digest("patients", ["patient_id", "age", "zip", "disease"])
    sqlanon.attack(
        "patients", engine=engine, quasi_identifiers=["age", "sex"], sensitive=["disease"], external="patients",
        population="patients", others=["patients"],
    )  # fmt: skip
    assert engine.digest("patients", ["patient_id", "age", "zip", "disease"]) == before
    assert engine.run("list", "SELECT table_name FROM duckdb_tables() WHERE temporary") == []


# -- errors ------------------------------------------------------------------------------------------------------------

PEOPLE = Origin(relation="patients")
PATIENTS = {"quasi_identifiers": ["age"], "sensitive": ["disease"]}


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"external": "patiens"}, SpecError, "no such table or view.*did you mean 'patients'"),
        ({"external": Known(PEOPLE, {"agee": "age"})}, SpecError, "--external-qi: .*did you mean 'age'"),
        ({"external": Known(PEOPLE, {"age": "agee"})}, SpecError, "--external-qi: .*did you mean 'age'"),
        ({"external": Known(PEOPLE, {}, ("id", "patient_id"))}, SpecError, "--external: .*found 'id'"),
        ({"external": "nobody"}, SpecError, "nobody holds no record"),
        ({"external": "strangers"}, SpecError, "no column of strangers is called like a quasi-identifier"),
        ({"population": "few"}, SpecError, "the population holds fewer people than the relation has records in"),
        ({"others": ["strangers"]}, SpecError, "strangers has no column 'disease'"),
        ({"attacks": ["linkage"], "external": "days"}, SpecError, "the types of 'age' cannot be compared"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(folder: Path, more: dict[str, Any], error: type[Exception], words: str) -> None:
    with sqlanon.connect() as engine:
        engine.run("load", f"CREATE TABLE patients AS FROM read_csv('{folder / 'patients.csv'}')")
        engine.run("make", "CREATE TABLE nobody AS SELECT age FROM patients WHERE false")
        engine.run("make", "CREATE TABLE strangers AS SELECT 1 AS x")
        engine.run("make", "CREATE TABLE few AS SELECT age FROM patients LIMIT 10")
        engine.run("make", "CREATE TABLE days AS SELECT DATE '2020-01-01' AS age")
        kind = {"external": "linkage", "population": "journalist", "others": "composition"}
        asked = {"attacks": [kind[next(iter(more))]]} if "attacks" not in more else {}
        with pytest.raises(error, match=words):
            sqlanon.attack("patients", engine=engine, **{**PATIENTS, **asked, **more})


def test_a_released_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with sqlanon.connect(f"duckdb:///{tmp_path / 'd.duckdb'}") as engine:
        engine.run("make", "CREATE TABLE t AS SELECT 1 AS a, 2 AS s")
        spec = {
            "source": {"table": "t"}, "columns": {"a": "quasi-identifier", "s": "sensitive"},
            "privacy": [{"model": "k-anonymity", "k": 1}],
            "publish": {"name": "r", "as": "file", "path": str(tmp_path / "r.parquet")},
        }  # fmt: skip
        sqlanon.release(spec, engine)
        (tmp_path / "r.parquet").unlink()
        with pytest.raises(ReleaseError, match="there is no file"):
            sqlanon.attack("r", engine=engine)


def test_a_label_whose_hierarchy_is_unknown_is_never_called_safe(engine: DuckDB) -> None:
    with pytest.raises(SpecError, match=r"no value of 'country' is in both.*--hierarchy country=FILE"):
        sqlanon.attack("released", engine=engine, external="patients", attacks=["linkage"])
    found = sqlanon.attack("released", engine=engine, external="patients")
    linkage = next(o for o in found.outcomes if o.attack.name == "linkage")
    assert linkage.breached is None and "--hierarchy country=FILE" in (linkage.reason or "")


def test_labels_that_hold_nobody_are_told(engine: DuckDB) -> None:
    found = sqlanon.attack(
        pandas.DataFrame({"c": ["west", "atlantis"]}), quasi_identifiers=["c"], attacks=["linkage"],
        external=pandas.DataFrame({"c": ["de", "fr"]}),
        hierarchies={"c": Tabled((("de", "west", "*"), ("fr", "west", "*")))},
    )  # fmt: skip
    assert found.outcomes[0].to_dict()["notes"] == ["1 of the 2 labels of 'c' hold no value of the other relation"]


# -- the command line --------------------------------------------------------------------------------------------------

Ran = tuple[int, str, str]


@pytest.fixture
def cli(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    monkeypatch.chdir(folder)

    def run(*words: str) -> Ran:
        capfd.readouterr()
        return main(["attack", *words]), *capfd.readouterr()

    return run


DB = ("--db", "duckdb:///clinic.duckdb")
NULLABLE = {"type": ["number", "null"]}
OUTCOME = {
    "attack": {"enum": list(ATTACKS)}, "column": {"type": ["string", "null"]}, "parameters": {"type": "object"},
    "ran": {"type": "boolean"}, "reason": {"type": ["string", "null"]}, "breached": {"type": ["boolean", "null"]},
    "records": {"type": "integer"}, "classes": {"type": "integer"}, "records_breached": NULLABLE,
    "classes_breached": NULLABLE, "records_share": NULLABLE, "classes_share": NULLABLE, "worst": NULLABLE,
    "starts": {"type": "array"}, "details": {"type": "object"}, "notes": {"type": "array"},
    "countered_by": {"type": ["string", "null"]}, "paper": {"type": "string"},
}  # fmt: skip
ATTACKED = {
    "source": {"type": "string"}, "rows": {"type": "integer"}, "classes": {"type": "integer"},
    "quasi_identifiers": {"type": "array"}, "sensitive": {"type": "array"}, "breached": {"type": "boolean"},
    "attacks": {"type": "array", "items": {
        "type": "object", "properties": OUTCOME, "required": list(OUTCOME), "additionalProperties": False}},
    "notes": {"type": "array", "items": {"type": "string"}},
}  # fmt: skip


def test_the_command_prints_the_object_that_python_returns(cli: Callable[..., Ran], engine: DuckDB) -> None:
    status, out, err = cli("released", *DB, "--json")
    told = json.loads(out)
    assert (status, err, out.count("\n")) == (0, "", 1)
    shape = {"type": "object", "properties": ATTACKED, "required": list(ATTACKED), "additionalProperties": False}
    jsonschema.validate(told, shape)
    assert told == sqlanon.attack("released", engine=engine).to_dict()
    assert [one["attack"] for one in told["attacks"] if one["ran"]] == list(ATTACKS)[:8]


def test_the_table_tells_what_was_breached_and_what_was_not_run(cli: Callable[..., Ran]) -> None:
    status, out, err = cli("patients", *DB, "--qi", "age,zip", "--sensitive", "disease", "--external", "patients")
    words = " ".join(out.split())
    assert (status, err) == (0, "")
    assert re.search(
        r"homogeneity of disease [\d,]+ [\d,]+ [\d,]+ – l-diversity\(column=disease, kind=distinct, l=2\)", words
    )
    assert re.search(r"identity \(k 5\) [\d,]+ [\d,]+ [\d,]+ k > 1 k-anonymity\(k=5\)", words)
    assert re.search(r"Re-identification rate [\d.]+% \(upper bound\); [\d,]+ people have one candidate only\.", words)
    assert "Not run: membership (dmin 0, dmax 0.5): needs a population table (--population)" in words
    assert "Not run: minimality: not decidable on the table" in words


def test_a_breach_is_information_unless_it_is_asked_to_fail(cli: Callable[..., Ran]) -> None:
    words = ("patients", *DB, "--qi", "age", "--sensitive", "disease", "--attack", "identity(k=1000000)")
    assert cli(*words)[0] == 0
    assert cli(*words, "--fail-on-breach")[0] == 1
    assert cli("released", *DB, "--attack", "identity(k=5)", "--fail-on-breach")[0] == 0


def test_all_options_together(cli: Callable[..., Ran]) -> None:
    status, out, _ = cli(
        "released", *DB, "--attack", "linkage(k=3)", "--all", "--hierarchy", "country=hierarchies/country.csv",
        "--external", "patients.csv", "--external-qi", "age", "--external-qi", "country=country",
        "--external-person", "patient_id=disease", "--population", "patients", "--population-qi", "sex",
        "--with", "seen", "--with", "l.parquet", "--json",
    )  # fmt: skip
    told = {(one["attack"], one["parameters"].get("through")): one for one in json.loads(out)["attacks"]}
    assert status == 0
    assert told["linkage", None]["details"]["columns"] == ["age", "country"]
    assert told["linkage", None]["parameters"] == {"k": 3}
    assert told["linkage", None]["details"]["rate_is"] == "exact"
    assert told["linkage", None]["details"]["rate"] == 0  # no disease is a patient
    assert told["membership", None]["ran"] and told["journalist", None]["details"]["columns"] == ["sex"]
    assert told["composition", "cells"]["ran"] and told["composition", "targets"]["ran"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["patients.csv"], 2, "--qi: at least one quasi-identifier is needed"),
        (["nothing.csv", "--qi", "a"], 2, "there is no such file"),
        (["relesed", *DB], 2, "did you mean 'released'"),
        (["released", *DB, "--attack", "homogenity"], 2, "did you mean 'homogeneity'"),
        (["released", *DB, "--attack", "linkage"], 2, "needs an external table"),
        (["released", *DB, "--external", "patients", "--external-qi", "agee", "--all"], 2, "did you mean 'age'"),
        (["released", *DB, "--hierarchy", "disease=none.csv"], 2, "the hierarchy cannot be read"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    cli: Callable[..., Ran], words: list[str], status: int, message: str
) -> None:
    found, out, err = cli(*words)
    assert (found, out) == (status, "")
    assert message in " ".join(err.split())
