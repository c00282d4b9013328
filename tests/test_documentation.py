"""The documentation is true: its commands run, its reference is whole, its links lead somewhere, it builds."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from documents import ROOT, Block, Reader, blocks, of_server, pages
from pytest_postgresql.executors import NoopExecutor
from server import _database, execute, fetch, url_of

import sqlanon
from sqlanon import demo, installing
from sqlanon.cli import main

sys.path.insert(0, str(ROOT / "docs"))
import making
from making import errors, objects
from making.commands import commands

# With its levels written down nothing is searched, and with fewer persons more is left out: the same, but quick.
QUICK = demo.SPEC.replace("loss: loss}", "loss: loss, levels: {age: 4, sex: 0, zip: 3, country: 3, admitted: 3}}")
SMALL = QUICK.replace("suppression: 0.02", "suppression: 0.5").replace("t: 0.3}", "t: 0.9}")
THOROUGH = os.environ.get("SQLANON_THOROUGH") == "1"
POSTGRES = re.compile(r"postgresql://\w+@/clinic|title=\"as ")


@cache
def reference() -> dict[str, str]:
    return making.pages()


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo of fewer persons, with its release."""
    folder = tmp_path_factory.mktemp("example")
    demo.write(folder, patients=800)
    (folder / "patients.yaml").write_text(SMALL, encoding="utf-8")
    database = f"duckdb:///{folder / 'clinic.duckdb'}"
    assert main(["release", str(folder / "patients.yaml"), "--db", database]) == 0
    return folder


@pytest.fixture
def clinic(server: NoopExecutor) -> Iterator[NoopExecutor]:
    """The server with an empty database `clinic`, and without the roles of the page afterwards."""
    before = {name for (name,) in fetch(url_of(server, "postgres"), "SELECT rolname FROM pg_roles")}
    with _database(server, "clinic"):
        yield server
        made = {name for (name,) in fetch(url_of(server, "postgres"), "SELECT rolname FROM pg_roles")} - before
        for role in made | {"publisher"}:
            execute(url_of(server, "clinic"), f"DROP OWNED BY {role} CASCADE")
    execute(url_of(server, "postgres"), *(f"DROP ROLE {role}" for role in made))


PREPARED = {"docs/explanation/engines.md"}  # pages that speak of a server on which something stands already


def prepared(url: Callable[[str], str]) -> None:
    """A table `patients`, of which `publisher` has released `patients_release`."""
    with sqlanon.connect(url("postgres"), superuser=True) as engine:
        installing.install(engine, roles=True, plpython=False)
    execute(
        url("postgres"),
        "CREATE TABLE patients AS SELECT i AS patient_id, 20 + i % 4 AS age, '4700' || i % 2 AS zip,"
        " CASE i / 4 % 3 WHEN 0 THEN 'flu' WHEN 1 THEN 'asthma' ELSE 'stroke' END AS disease,"
        " DATE '1980-01-01' + i AS born FROM generate_series(0, 399) AS i",
        "GRANT sqlanon_publisher TO publisher",
        "GRANT SELECT ON patients TO publisher",
    )
    spec = {
        "source": "patients",
        "columns": {"patient_id": "identifier", "age": "quasi-identifier", "zip": "quasi-identifier",
                    "disease": "sensitive", "born": "drop"},
        "privacy": [{"model": "k-anonymity", "k": 5}],
        "recoding": {"method": "full-domain"},
        "publish": {"name": "patients_release"},
    }  # fmt: skip
    with sqlanon.connect(url("publisher")) as engine:
        sqlanon.release(spec, engine)


PAGES = {name: blocks(name, text) for name, text in pages().items()}
RUN = [name for name, found in PAGES.items() if any(block.language in ("bash", "python", "sql") for block in found)]


# What one page shows as another does, and what takes long: in an everyday run the other's is enough.
SELDOM = {
    "README.md": r"sqlanon (init|report|verify)",  # the analyst's tutorial
    "docs/tutorials/analyst.md": r"python|sqlanon report",  # README; how-to/report
    "docs/tutorials/officer.md": r"sqlanon report",
    "docs/how-to/report.md": r"sqlanon report patients\.csv",
}


def on_postgres(found: list[Block]) -> bool:
    return any(block.language != "text" and POSTGRES.search(block.text + block.info) for block in found)


@pytest.mark.parametrize("page", [page for page in RUN if not on_postgres(PAGES[page])])
def test_what_a_page_says_can_be_done(page: str, example: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path, example, whole=THOROUGH)
    if page in SELDOM and not THOROUGH:
        reader.seldom = re.compile(SELDOM[page])
    assert reader.follow(PAGES[page]) == []


@pytest.mark.parametrize("page", [page for page in RUN if on_postgres(PAGES[page])])
def test_what_a_page_says_of_postgres_can_be_done(
    page: str, example: Path, tmp_path: Path, clinic: NoopExecutor
) -> None:
    if page in PREPARED:
        prepared(of_server(clinic))
    reader = Reader(tmp_path, example, url=of_server(clinic))
    assert reader.follow(PAGES[page]) == []


def test_every_spec_and_every_part_of_one_is_valid(tmp_path: Path) -> None:
    """A block with a source and columns is a whole spec; another one whose keys are a spec's is put into the demo's."""
    base, schema, seen = yaml.safe_load(demo.SPEC), sqlanon.schema(), 0
    validator = jsonschema.Draft202012Validator(schema)
    for found in PAGES.values():
        for block in found:
            read = yaml.safe_load(block.text) if block.language == "yaml" else None
            if not isinstance(read, dict) or not set(read) <= set(schema["properties"]):
                continue
            whole = read if {"source", "columns"} <= set(read) else {**base, **read}
            assert validator.is_valid(whole), f"{block}: the schema refuses it"
            if whole is not read and "columns" in read:
                whole["columns"] = {**base["columns"], **read["columns"]}
            (tmp_path / "hierarchies").mkdir(exist_ok=True)
            (tmp_path / "spec.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
            try:
                sqlanon.load(tmp_path / "spec.yaml")
            except sqlanon.SpecError as error:
                pytest.fail(f"{block}: {error}")
            seen += 1
    assert seen > 15


# -- the reference is whole --------------------------------------------------------------------------------------------


def test_every_command_and_option_stands_in_the_reference() -> None:
    text = reference()["reference/cli.md"]
    for name, command in commands().items():
        section = re.search(rf"^### {name}$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, name
        words = [word for one in command.params for word in (*one.opts, *one.secondary_opts) if word.startswith("--")]
        assert [word for word in words if not re.search(rf"`[^`]*{word}\b", section[1])] == [], name


def test_no_page_names_a_command_or_an_option_that_there_is_not() -> None:
    known = {word for command in commands().values() for one in command.params for word in one.opts} | {"--help"}
    others = {"--strict", "--extra", "--no-deps"}
    for name, text in pages().items():
        if "theta_paper" in name:
            continue
        ours = "\n".join(line for line in text.splitlines() if "sqlanon" in line or line.strip().startswith("--"))
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", ours)) <= known | others, name
        fenced = "\n".join(block.text for block in PAGES[name] if block.language in ("bash", "text"))
        assert set(re.findall(r"^sqlanon ([a-z]+)", fenced, re.MULTILINE)) <= set(commands()), name


def test_every_model_attack_transform_hierarchy_preset_and_estimator_stands_in_the_reference() -> None:
    from sqlanon.attacks import ATTACKS
    from sqlanon.hierarchies import HIERARCHIES
    from sqlanon.models import MODELS
    from sqlanon.presets import PRESETS
    from sqlanon.recoding.catalogue import TRANSFORMS
    from sqlanon.recoding.objectives import OBJECTIVES
    from sqlanon.uniqueness import ESTIMATORS

    kinds = {"models": MODELS, "attacks": ATTACKS, "hierarchies": HIERARCHIES, "presets": PRESETS,
             "transforms": TRANSFORMS}  # fmt: skip
    for page, names in kinds.items():
        headings = set(re.findall(r"^##+ (.+)$", reference()[f"reference/{page}.md"], re.MULTILINE))
        assert [name for name in names if name not in headings] == [], page
    index = pages()["docs/reference/index.md"]
    everything = [*MODELS, *ATTACKS, *HIERARCHIES, *PRESETS, *TRANSFORMS, *OBJECTIVES, *ESTIMATORS]
    assert [name for name in everything if f"`{name}`" not in index] == []
    assert [name for name in commands() if f"`sqlanon {name}" not in index] == []


def test_every_word_of_a_statement_stands_in_the_reference() -> None:
    from sqlanon import statements

    words, text = statements.keywords(), pages()["docs/reference/statements.md"]
    said = [*words.options, *words.models, *words.transforms, *words.hierarchies]
    assert [word for word in said if f'"{word}"' not in text] == []
    assert [start for start in words.starts if start.split()[0] not in text] == []


def test_every_attack_and_model_is_explained_in_plain_words() -> None:
    from sqlanon.attacks import ATTACKS
    from sqlanon.models import MODELS

    for page, names in (("attacks", ATTACKS), ("models-compared", MODELS)):
        text = pages()[f"docs/explanation/{page}.md"]
        assert [name for name in names if f"`{name}`" not in text] == [], page


def keys_in(schema: Any) -> Iterator[str]:
    """Every key that a schema names, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from keys_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from keys_in(inner)


def test_every_key_of_a_spec_stands_in_the_reference() -> None:
    told = "".join(reference()[f"reference/{page}.md"] for page in ("spec", "models", "hierarchies", "transforms"))
    missing = {
        key for key in keys_in(sqlanon.schema()) if f"`{key}`" not in told and f"`{key.replace('_', '-')}`" not in told
    }
    assert missing <= {"model", "transform", "preset", "groups", "values"}  # said in the text above their tables
    assert "unnamed" not in told


def test_every_public_name_stands_in_the_reference() -> None:
    text = reference()["reference/python.md"]
    assert [name for name in sqlanon.__all__ if f"### {name}\n" not in text and f"`{name}`" not in text] == []


def test_every_environment_variable_that_is_read_stands_in_the_reference() -> None:
    text = pages()["docs/reference/environment.md"]
    for file in [*(ROOT / "sqlanon").rglob("*.py"), *(ROOT / "tests").glob("*.py")]:
        read = re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", file.read_text(encoding="utf-8"))
        assert [name for name in read if f"`{name}`" not in text and name != "PATH"] == [], file


def test_every_error_that_is_raised_stands_in_the_reference() -> None:
    """As many as a plain search for their classes finds, but those whose sentence is put together elsewhere."""
    text = reference()["reference/errors.md"]
    for kind in errors.CLASSES:
        assert f"### {kind}\n" in text
    told = {(one.room, one.line) for one in errors.every()}
    for room, _, source in errors.rooms():
        raised = len(re.findall(r"raise (?:SpecError|ReleaseError|ModelNotMet|NotPortable|SqlanonError)\(", source))
        assert raised < 2 or len([line for place, line in told if place == room]) >= raised * 0.5, room


WRONG = [
    ["plan", "nowhere.yaml"], ["plan", "bad.yaml"], ["check", "patients.csv", "--qi", "aeg"],
    ["check", "patients.csv", "--qi", "age", "--model", "k-anonimity(k=3)"], ["verify", "nothing"], ["plant"],
    ["release", "patients.yaml"], ["check", "patients.csv", "--qi", "age", "--db", "mysql://here"],
    ["flow", "flow.yaml", "--gate"], ["audit"], ["withdraw", "x", "--db", "duckdb:///clinic.duckdb"],
    ["risk", "patients.csv", "--qi", "age", "--suda"],
]  # fmt: skip


def test_errors_that_are_met_are_sentences_of_the_reference(
    example: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(example, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    bad = demo.SPEC.replace("zip:        {role", "zip:        {roel").replace("k: 5}", "k: 0}")
    Path("bad.yaml").write_text(bad, encoding="utf-8")
    Path("flow.yaml").write_text("actors: [a]\nstores: {s: {fields: {x: sensitive}}}\nflows: []\n", encoding="utf-8")
    patterns = [errors.pattern(one.sentence) for one in errors.every()]
    for words in WRONG:
        assert main(words) in (2, 3), words
        for line in capfd.readouterr().err.strip().splitlines():
            known = any(pattern.search(line) for pattern in patterns)
            assert known or "No such command" in line or "Missing" in line, (words, line)


# -- the objects of --json ---------------------------------------------------------------------------------------------


def paths_of(found: Any, path: str = "") -> Iterator[str]:
    """The paths of an object, as the page of objects writes them."""
    if isinstance(found, dict):
        for key, inner in found.items():
            yield from paths_of(inner, f"{path}.{key}" if path else key)
    elif isinstance(found, list) and found:
        for inner in found:
            yield from paths_of(inner, f"{path}[]")
    else:
        yield path


QI = "age,sex,zip"
IN_CLINIC = ("--db", "duckdb:///clinic.duckdb")
ASKED = {
    "init": ("init", "patients.csv"),
    "plan": ("plan", "patients.yaml"),
    "plan --sql": ("plan", "patients.yaml", "--sql"),
    "release": ("release", "patients.yaml", *IN_CLINIC),
    "refresh": ("refresh", "patients_release", *IN_CLINIC),
    "verify": ("verify", "patients_release", *IN_CLINIC),
    "releases": ("releases", *IN_CLINIC),
    "releases --log": ("releases", "--log", *IN_CLINIC),
    "check": ("check", "patients_release", "--spec", "patients.yaml", "--against", "patients.csv", "--queries", "20",
              *IN_CLINIC),
    "risk": ("risk", "patients.csv", "--qi", QI, "--population-size", "100000", "--suda"),
    "risk --safe-harbor": ("risk", "patients.csv", "--safe-harbor"),
    "presets": ("presets",),
    "attack": ("attack", "patients_release", *IN_CLINIC),
    "predict": ("predict", "patients.csv", "--column", "weight_kg", "--margin", "5", "--fields", "age,sex",
                "--all-subsets", "--remove", "greedy", "--rule", "IF removed(weight_kg) > 5 THEN block"),
    "ledger": ("ledger", *IN_CLINIC),  # of two releases: see below
    "audit": ("audit", "duckdb:///clinic.duckdb"),
    "flow": ("flow", "flow.yaml"),
    "spec": ("spec", "patients.yaml", "--to-sql"),
    "sql": ("sql", "-c", "SHOW ANONYMIZED RELEASES; SELECT 1 AS n; SELECT 1 FROM nowhere", *IN_CLINIC),
    "error": ("check", "patients.csv", "--qi", "aeg"),
    "withdraw": ("withdraw", "patients_release", *IN_CLINIC),
}  # fmt: skip


def test_the_objects_of_every_command_are_those_of_the_reference(
    example: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(example, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    assert set(commands()) <= {name.split()[0] for name in objects.described()["commands"]}
    (flow,) = [block for block in PAGES["docs/tutorials/designer.md"] if block.title == "flow.yaml"]
    Path("flow.yaml").write_text(flow.text, encoding="utf-8")
    Path("other.yaml").write_text(SMALL.replace("patients_release", "other_release"), encoding="utf-8")
    assert main(["release", "other.yaml", *IN_CLINIC, "--json"]) == 0
    capfd.readouterr()
    for name, words in ASKED.items():
        main([*words, "--json"])
        compare(name, yaml.safe_load(capfd.readouterr().out))


def test_the_object_of_an_installation_is_that_of_the_reference(
    clinic: NoopExecutor, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", url_of(clinic, "clinic"), "--json"]) == 0
    compare("install", yaml.safe_load(capfd.readouterr().out))


def test_the_object_of_a_report_is_that_of_the_reference() -> None:
    compare("report", yaml.safe_load((ROOT / "tests" / "data" / "report.json").read_text(encoding="utf-8")))


def compare(name: str, told: Any) -> None:
    """Every key of an object is described, and every key that is described at the top of it is there."""
    described = list(objects.paths(objects.described()["commands"][name]))
    patterns = [objects.pattern(path) for path in described]
    found = set(paths_of(told))
    unknown = [path for path in found if not any(pattern.fullmatch(path) for pattern in patterns)]
    empty = {path for path in unknown if any(one.startswith((f"{path}[]", f"{path}.")) for one in described)}
    assert [path for path in unknown if path not in empty] == [], name
    tops = {re.split(r"[.\[]", path)[0] for path in described}
    assert tops - {re.split(r"[.\[]", path)[0] for path in found} <= {"models", "rules", "utility"}, name


# -- links and the build -----------------------------------------------------------------------------------------------


def test_every_relative_link_leads_somewhere() -> None:
    generated = {*reference(), "about/changelog.md", "about/security.md"}
    for name, text in pages().items():
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            file = (ROOT / name).parent / link
            made = (ROOT / name).parent.joinpath(link).resolve()
            inside = str(made.relative_to(ROOT / "docs")) if made.is_relative_to(ROOT / "docs") else ""
            assert file.exists() or inside in generated, f"{name}: {link}"


def test_the_first_command_of_the_readme_installs_every_package() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "sqlanon").rglob("__init__.py")}
    assert rooms | {"sqlanon.udfs", "sqlanon.sql"} == set(told["packages"])
    for package, patterns in told["package-data"].items():
        folder = ROOT / told["package-dir"].get(package, package.replace(".", "/"))
        assert all(any(folder.glob(pattern)) for pattern in patterns), package


def test_the_site_builds_without_warnings_and_fetches_nothing(tmp_path: Path) -> None:
    mkdocs = pytest.importorskip("mkdocs.commands.build")
    from mkdocs.config import load_config

    mkdocs.build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    built = list(tmp_path.rglob("*.html"))
    assert len(built) > 40
    for file in built:
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"?(https?://[^\s\">]+)", file.read_text())
        assert fetched == [], file
