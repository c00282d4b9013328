"""What is told is true: help texts, JSON Schema, the objects that commands print; see test_documentation."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sqlanon import demo
from sqlanon.cli import app, main

COMMANDS: dict[str, Callable[..., Any]] = {
    found.name or found.callback.__name__: found.callback for found in app.registered_commands if found.callback
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the demo with fewer persons, also in the folder in which `sqlanon demo` puts them."""
    demo.write(tmp_path, patients=3000)
    (tmp_path / "sqlanon-demo").symlink_to(tmp_path, target_is_directory=True)
    return tmp_path


EVERY_COMMAND = {
    "demo", "init", "plan", "release", "check", "risk", "presets", "attack", "predict", "flow", "verify", "releases",
    "withdraw", "refresh", "schema", "audit", "ledger", "install", "report", "spec", "sql",
}  # fmt: skip


# -- the help texts ----------------------------------------------------------------------------------------------------


def options(command: str) -> set[str]:
    """The long options of a command, from its own declaration."""
    declared = getattr(COMMANDS[command], "__annotations__", {})
    source = Path(sys.modules[COMMANDS[command].__module__].__file__ or "").read_text(encoding="utf-8")
    body = source[source.index(f"def {COMMANDS[command].__name__}(") :].split(") -> None:", 1)[0]
    shared = {"Db": "--db", "Json": "--json", "ShowErrors": "--show-engine-errors", "TimeLimit": "--time-limit",
              "Delimiter": "--delimiter", "Population": "--population", "Usefulness": "--utility",
              "Superuser": "--superuser"}  # fmt: skip
    used = {option for name, option in shared.items() if name in map(str, declared.values())}
    return used | set(re.findall(r'"(--[a-z-]+)"', body))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_names_its_options(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    out, err = capfd.readouterr()
    words = " ".join(out.replace("│", " ").split())
    sentence = " ".join((COMMANDS[command].__doc__ or "").split(".")[0].split())
    assert len(sentence.split()) > 3
    assert sentence in words
    assert f"Usage: sqlanon {command}" in words
    assert "--json" in options(command)
    assert [option for option in options(command) if option not in words] == []
    assert err == ""


def test_the_help_lists_every_command_and_the_exit_statuses(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert set(COMMANDS) == EVERY_COMMAND
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", out)] == []
    assert "1 a model does not hold" in " ".join(out.split())
    main([])
    bare, err = capfd.readouterr()
    assert bare.strip() == out.strip()
    assert "usage: \n" not in err, "a failure without a reason"


# -- the schema, the demo and the objects of the contract --------------------------------------------------------------


def test_the_schema_that_is_printed_accepts_the_spec_of_the_demo_and_no_other(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for words in (["schema"], ["schema", "--json"]):
        assert main(words) == 0
        out, err = capfd.readouterr()
        told = json.loads(out)
        assert err == ""
        assert ("\n" in out.rstrip("\n")) is (words == ["schema"])
        jsonschema.Draft202012Validator.check_schema(told)
        validator = jsonschema.Draft202012Validator(told)
        good = yaml.safe_load(demo.SPEC)
        assert validator.is_valid(good)
        for key, value in (("sauce", 1), ("privacy", [{"model": "k-anonymity"}]), ("columns", {"age": "quasi"}),
                           ("publish", {"name": "x", "as": "tabel"})):  # fmt: skip
            assert not validator.is_valid({**good, key: value})


NUMBER, COUNT, TEXT = {"type": "number"}, {"type": "integer", "minimum": 0}, {"type": "string"}
NULLABLE, HOLDS = {"type": ["number", "null"]}, {"type": ["boolean", "null"]}


def shape(**keys: Any) -> dict[str, Any]:
    return {"type": "object", "properties": keys, "required": list(keys)}


MODELS = {"type": "array", "minItems": 1, "items": shape(
    model=TEXT, column={"type": ["string", "null"]}, parameters={"type": "object"}, value=NULLABLE, bound=NULLABLE,
    holds=HOLDS, classes_violating=COUNT, rows_violating=COUNT)}  # fmt: skip
ERRORS = shape(mean=NUMBER, median=NUMBER)
SHORT = shape(
    loss=NUMBER, precision=NUMBER, gcp=NUMBER, iloss=NUMBER, entropy=NUMBER, normalized_entropy=NUMBER,
    discernibility=NUMBER, discernibility_baseline=NUMBER, average_class_size=NUMBER,
    normalized_average_class_size=NUMBER, ncp={"type": "object", "additionalProperties": NUMBER},
)  # fmt: skip
SLICES = {"type": "array", "minItems": 1, "items": shape(queries=COUNT, overlap=ERRORS, uniform=ERRORS)}
LONG = {"allOf": [SHORT, shape(
    ambiguity=NUMBER, kl_divergence=NULLABLE, suppressed=COUNT,
    columns={"type": "object", "additionalProperties": shape(
        ncp=NUMBER, iloss=NUMBER, domain_share=NUMBER, precision=NULLABLE, entropy=NUMBER, normalized_entropy=NUMBER)},
    query_error=shape(queries=COUNT, seed=COUNT, overlap=ERRORS, uniform=ERRORS, by_dimensionality=SLICES,
                      by_selectivity=SLICES),
    distribution_shift={"type": "object", "additionalProperties": shape(total_variation=NUMBER, earth_mover=NULLABLE)},
    correlation_shift=shape(largest=NUMBER, pairs={"type": "array", "minItems": 1, "items": shape(
        columns={"type": "array", "items": TEXT}, before=NUMBER, after=NUMBER, change=NUMBER,
        measure={"enum": ["pearson", "spearman", "cramers_v", "correlation_ratio"]})}),
)]}  # fmt: skip
CHECK = shape(source=TEXT, rows=COUNT, classes=COUNT, quasi_identifiers={"type": "array", "items": TEXT}, holds=HOLDS,
              models=MODELS)  # fmt: skip
PLAN = shape(
    release=TEXT, engine={"const": "duckdb"}, method={"const": "full-domain"}, rows_in=COUNT, rows_out=COUNT,
    levels={"type": "object", "additionalProperties": COUNT}, suppressed=COUNT, noise_rows={"const": 0},
    swaps={"const": 0}, classes=COUNT, models=MODELS, nodes_checked=COUNT, seconds=NUMBER,
    fingerprint={"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
    utility=SHORT,
)  # fmt: skip


def said(capfd: pytest.CaptureFixture[str], status: int, *words: str) -> Any:
    """The one object that a command prints, and nothing else."""
    assert main([*words, "--json"]) == status
    out, err = capfd.readouterr()
    assert (out.count("\n"), err) == (1, "")
    return json.loads(out)


def test_the_demo_runs_twice_in_a_folder_and_prints_the_objects_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "here"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert re.findall(r"^(\d)\. (The \w+)", out, re.MULTILINE) == [
        ("1", "The table"), ("2", "The spec"), ("3", "The plan"), ("4", "The release"),
        ("5", "The report"),
    ]  # fmt: skip
    levels = "{age: 4, sex: 0, zip: 3, country: 3, admitted: 3}"  # nothing to search, to be quick
    monkeypatch.setattr(demo, "SPEC", demo.SPEC.replace("loss: loss}", f"loss: loss, levels: {levels}}}"))
    told = said(capfd, 0, "demo", "here")
    assert told["release"]["version"] == 2
    assert "patients_release" in Path(told["report"]).read_text(encoding="utf-8")
    plan = said(capfd, 0, "plan", "here/patients.yaml")
    jsonschema.validate(plan, PLAN)
    jsonschema.validate(told["release"], PLAN)
    for key in ("levels", "rows_in", "rows_out", "suppressed", "classes", "utility", "nodes_checked"):
        assert plan[key] == told["release"][key], key
    assert [m["value"] for m in plan["models"]] == pytest.approx([m["value"] for m in told["release"]["models"]])
    assert plan["levels"] == yaml.safe_load(levels)
    assert plan["rows_in"] == plan["rows_out"] + plan["suppressed"]
    assert [m["holds"] for m in plan["models"]] == [True] * 3
    assert [m["parameters"] for m in plan["models"]][:2] == [{"k": 5}, {"l": 3, "kind": "entropy"}]
    for moment in ("before", "after"):
        jsonschema.validate(told[moment], CHECK)
        assert {(m["bound"], m["holds"]) for m in told[moment]["models"]} == {(None, None)}
    assert told["before"]["models"][0]["value"] == 1
    assert told["after"]["models"][0]["value"] >= 5


def test_usefulness_is_told_in_the_shape_of_the_contract(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (folder / "patients.yaml").read_text()
    text = text.replace("suppression: 0.02", "suppression: 0.5").replace("t: 0.3}", "t: 0.9}")  # of fewer persons
    levels = "{age: 4, sex: 0, zip: 3, country: 3, admitted: 3}"
    (folder / "patients.yaml").write_text(text.replace("loss: loss}", f"loss: loss, levels: {levels}}}"))
    database = ("--db", f"duckdb:///{folder / 'usefulness.duckdb'}")
    for words in (("plan", folder / "patients.yaml", "--utility"),
                  ("release", folder / "patients.yaml", "--utility", *database),
                  ("check", "patients_release", "--spec", folder / "patients.yaml", "--against",
                   folder / "patients.csv", "--queries", "100", *database)):  # fmt: skip
        found = said(capfd, 0, *map(str, words))
        jsonschema.validate(found, CHECK if words[0] == "check" else PLAN)
        jsonschema.validate(found["utility"], LONG)
        assert set(found["utility"]["distribution_shift"]) == {"age", "sex", "zip", "country", "admitted", "disease"}


def test_check_reports_every_measure_that_the_columns_allow(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("check", str(folder / "patients.csv"), "--qi", "age,sex", "--sensitive", "disease", "--sensitive", "zip")
    (folder / "tree.csv").write_text("".join(f"{d.name};{d.ward};*\n" for d in demo.DISEASES))
    found = said(capfd, 0, *words, "--hierarchy", f"disease={folder / 'tree.csv'}")
    jsonschema.validate(found, CHECK)
    assert found["holds"] is None
    told = {
        (m["model"], m["column"], m["parameters"].get("kind", m["parameters"].get("distance"))) for m in found["models"]
    }
    assert ("k-anonymity", None, None) in told
    for column, distances in (("disease", ("equal", "hierarchical")), ("zip", ("equal", "ordered"))):
        kinds = ("distinct", "entropy", "recursive")
        assert {("l-diversity", column, kind) for kind in kinds} <= told
        assert {("beta-likeness", column, kind) for kind in ("basic", "enhanced")} <= told
        assert {d for m, c, d in told if m == "t-closeness" and c == column} == set(distances)
    judged = said(capfd, 1, *words, "--model", "k-anonymity(k=100000)", "--model", "l-diversity(column=zip, l=1)")
    jsonschema.validate(judged, CHECK)
    assert judged["holds"] is False
    assert [m["holds"] for m in judged["models"]] == [False, True]
    assert judged["models"][0]["rows_violating"] == judged["rows"]
