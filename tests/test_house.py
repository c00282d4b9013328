"""The house rules: which room may import which, who may import what, and what no file may hold."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A room's floor; a module without a line of its own lives on the floor of its package.
FLOORS = {
    "sqlanon.errors": 0,
    "sqlanon.defaults": 0,
    "sqlanon.telling": 0,
    "sqlanon.shown": 0,
    "sqlanon.udfs": 0,
    "sqlanon.sql": 0,
    "sqlanon.translation": 1,
    "sqlanon.portable": 6,
    "sqlanon.spelling": 5,
    "sqlanon.generating": 5,
    "sqlanon.serving": 12,
    "sqlanon.annotations": 1,
    "sqlanon.query": 1,
    "sqlanon.rules": 1,
    "sqlanon.margins": 1,
    "sqlanon.lineage": 2,
    "sqlanon.tracing": 7,  # knows engines and specs
    "sqlanon.executing": 11,
    "sqlanon.completing": 7,
    "sqlanon.measures": 2,
    "sqlanon.patterns": 2,
    "sqlanon.uniqueness": 2,
    "sqlanon.hierarchies": 2,
    "sqlanon.functions": 2,
    "sqlanon.calls": 2,
    "sqlanon.measuring": 3,
    "sqlanon.engines": 3,
    "sqlanon.models": 4,
    "sqlanon.reading": 5,
    "sqlanon.spec": 5,
    "sqlanon.combinations": 5,
    "sqlanon.presets": 5,
    "sqlanon.contradictions": 5,
    "sqlanon.policies": 5,
    "sqlanon.predicting": 5,
    "sqlanon.plan": 6,
    "sqlanon.suda": 6,
    "sqlanon.verify": 6,
    "sqlanon.recoding": 8,
    "sqlanon.recoding.transforms": 4,  # what a transform is, as models are models
    "sqlanon.recoding.perturbation": 4,
    "sqlanon.recoding.microaggregation": 4,
    "sqlanon.recoding.catalogue": 4,
    "sqlanon.planning": 9,
    "sqlanon.preparing": 8,
    "sqlanon.check": 7,
    "sqlanon.register": 7,
    "sqlanon.installing": 7,
    "sqlanon.linked": 8,
    "sqlanon.profiling": 7,
    "sqlanon.prediction": 7,
    "sqlanon.thresholds": 7,
    "sqlanon.blanking": 7,
    "sqlanon.gates": 7,
    "sqlanon.removal": 7,
    "sqlanon.statistics": 7,
    "sqlanon.exploring": 7,
    "sqlanon.flow": 10,
    "sqlanon.utility": 7,
    "sqlanon.risk": 7,
    "sqlanon.safe_harbor": 7,
    "sqlanon.attacks": 7,
    "sqlanon.attacks.kinds": 5,  # what an attack is, as models are models
    "sqlanon.attacks.labels": 5,
    "sqlanon.attacks.relations": 5,
    "sqlanon.attacks.catalogue": 6,
    "sqlanon.attacks.matching": 6,
    "sqlanon.pictures": 11,
    "sqlanon.publication": 4,
    "sqlanon.relating": 10,
    "sqlanon.judging": 10,
    "sqlanon.publishers": 10,
    "sqlanon.release": 10,
    "sqlanon.refreshing": 10,
    "sqlanon.remembering": 6,
    "sqlanon.statements": 6,
    "sqlanon.comparison": 10,
    "sqlanon.life": 10,
    "sqlanon.auditing": 10,
    "sqlanon.together": 3,
    "sqlanon.composing": 8,
    "sqlanon.ledger": 9,
    "sqlanon.demo": 11,
    "sqlanon.report": 11,
    "sqlanon.showing": 11,
    "sqlanon": 12,
    "sqlanon.verbs": 12,
    "sqlanon.cli": 12,
    "sqlanon.__main__": 12,
}

# Who imports somebody of the same floor, and why that is right.
SAME_FLOOR = {
    ("sqlanon.showing.statements", "sqlanon.executing"),  # shows what it came to
    ("sqlanon.serving", "sqlanon"),  # calls public names
    ("sqlanon", "sqlanon.verbs"),  # which are public
    ("sqlanon.cli.measures", "sqlanon.verbs"),
    ("sqlanon.query", "sqlanon.translation"),  # what it renders for Postgres
    ("sqlanon.__main__", "sqlanon.cli"),  # `python -m sqlanon` is the console script
    ("sqlanon.reading", "sqlanon.presets"),  # a preset stands in the place of a model
    ("sqlanon.spec", "sqlanon.presets"),
    ("sqlanon.spec", "sqlanon.reading"),  # what is read, and how YAML is read as such
    ("sqlanon.spec", "sqlanon.predicting"),  # and what it says of predictions and rules
    *(("sqlanon.predicting", f"sqlanon.{room}") for room in ("policies", "reading")),
    ("sqlanon.spec", "sqlanon.policies"),  # a policy is part of a spec
    ("sqlanon.policies", "sqlanon.reading"),
    ("sqlanon.thresholds", "sqlanon.prediction"),  # thresholds per record, beside what others read
    ("sqlanon.planning", "sqlanon.thresholds"),
    ("sqlanon.publishers", "sqlanon.judging"),  # each form of a release is judged on its own rows
    ("sqlanon.publishers", "sqlanon.relating"),  # and several tables together
    *(("sqlanon.release", f"sqlanon.{room}") for room in ("judging", "publishers", "relating")),
    ("sqlanon.refreshing", "sqlanon.release"),  # a refresh is a release
    ("sqlanon.check", "sqlanon.thresholds"),
    *(("sqlanon.blanking", f"sqlanon.{room}") for room in ("removal", "exploring", "prediction")),  # as a step
    ("sqlanon.planning", "sqlanon.blanking"),
    *(("sqlanon.gates", f"sqlanon.{room}") for room in ("blanking", "exploring", "prediction", "statistics")),
    ("sqlanon.ledger", "sqlanon.planning"),  # where a spec's source is
    ("sqlanon.planning", "sqlanon.gates"),  # what would be published, judged by the spec's rules
    ("sqlanon.flow.risks", "sqlanon.blanking"),
    ("sqlanon.removal", "sqlanon.prediction"),  # what is too well predicted, and blanked
    ("sqlanon.statistics", "sqlanon.prediction"),  # the records that both read
    ("sqlanon.exploring", "sqlanon.prediction"),  # exploring puts the three together
    ("sqlanon.exploring", "sqlanon.removal"),
    ("sqlanon.exploring", "sqlanon.statistics"),
    ("sqlanon.spec", "sqlanon.contradictions"),
    ("sqlanon.linked", "sqlanon.recoding.outcome"),  # what an Anatomy came to
    ("sqlanon.check", "sqlanon.utility"),  # a relation's usefulness is one of its measures
}

ONLY_IN = {
    "sqlglot": {
        "sqlanon.query",
        "sqlanon.translation",
        "sqlanon.calls",
        *(f"sqlanon.lineage.{room}" for room in ("reading", "resolver", "scopes")),
    },
    "duckdb": {"sqlanon.engines.duckdb"},
    "psycopg": {"sqlanon.engines.client"},
    "typer": {
        "sqlanon.cli",
        *(
            f"sqlanon.cli.{room}"
            for room in (
                "options",
                "releases",
                "measures",
                "flows",
                "audits",
                "servers",
                "specs",
                "reports",
                "statements",
            )
        ),
    },
    # two read specs, one proposes them, and a statement is read into the nodes of one
    "yaml": {
        "sqlanon.reading",
        "sqlanon.spec",
        "sqlanon.profiling",
        *(f"sqlanon.statements.{room}" for room in ("reading", "values", "options", "declaring", "filing", "hana")),
    },
    "rich": {f"sqlanon.showing.{room}" for room in ("terminal", "releases", "measures", "flows", "statements")},
    "prompt_toolkit": {"sqlanon.cli.shell"},
    "matplotlib": {"sqlanon.pictures"},
    "networkx": {"sqlanon.pictures"},
    # Frames come and go through the engine; nobody works on them.
    **{name: set[str]() for name in ("pandas", "polars", "pyarrow")},
    "altair": {"sqlanon.report.drawing", "sqlanon.report.charts", "sqlanon.report.flows", "sqlanon.report.lattices"},
    "jinja2": {"sqlanon.report.page", "sqlanon.showing.notebooks"},
    "scipy": {"sqlanon.uniqueness"},  # root finding and special functions of the estimators
}

# Where packages are downloaded from; in two parts, so that this file holds none of them.
REGISTRIES = [
    a + b
    for a, b in (
        ("py", "pi.org"), ("python", "hosted"), ("npm", "js"), ("crates", ".io"), ("proxy.golang", ".org"),
        ("anaconda", ".org"), ("ruby", "gems.org"), ("repo.maven", ".apache"), ("index", ".crates"),
    )
]  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its name, with its file."""
    found = {}
    for package, folder in (("sqlanon.udfs", "udfs"), ("sqlanon.sql", "sql"), ("sqlanon", "sqlanon")):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = file
    return found


@cache
def packages() -> frozenset[str]:
    return frozenset(m.rpartition(".")[0] for m in modules()) - {"sqlanon", ""}


@cache
def text(module: str) -> str:
    return modules()[module].read_text(encoding="utf-8")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(text(module))


@cache
def imports(module: str) -> frozenset[tuple[str, int]]:
    """What a module imports, wherever in it, as the modules that are really meant, with the line."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if inner in modules() else node.module or "", node.lineno)


def floor(module: str) -> int | None:
    """The floor of a module: its own, or its package's (where that is not the whole house)."""
    if module in FLOORS:
        return FLOORS[module]
    package = module.rpartition(".")[0]
    return FLOORS.get(package) if package != "sqlanon" else None


def test_the_walk_sees_the_product() -> None:
    assert {"sqlanon", "sqlanon.cli", "sqlanon.engines.duckdb", "sqlanon.udfs.earth_mover"} <= set(modules())
    assert ("sqlanon.errors", "sqlanon.query") in {(name, m) for m in modules() for name, _ in imports(m)}


@pytest.mark.parametrize("module", modules())
def test_a_room_imports_only_from_lower_floors(module: str) -> None:
    here = floor(module)
    assert here is not None, f"{module} has no floor: give it one in FLOORS"
    wrong = []
    for name, line in imports(module):
        if name.split(".")[0] != "sqlanon":
            continue
        there = floor(name)
        if there is None:
            wrong.append(f"{module}:{line} imports {name}, which has no floor")
        elif there > here or (there == here and not _one_package(module, name) and (module, name) not in SAME_FLOOR):
            wrong.append(f"{module}:{line} (floor {here}) imports {name} (floor {there})")
    assert not wrong, "\n".join(wrong)


def _one_package(module: str, name: str) -> bool:
    """Whether two modules are parts of one package, which is one room; the house itself is none."""
    room = next((p for p in packages() if module == p or module.startswith(f"{p}.")), None)
    return room is not None and (name == room or name.startswith(f"{room}."))


def test_no_module_imports_itself_by_a_detour() -> None:
    typing_only = {(m, n) for m in modules() for n in _for_types_alone(m)}
    graph = {m: {n for n, _ in imports(m) if n in modules() and (m, n) not in typing_only} - {m} for m in modules()}
    lazy = {
        ("sqlanon.engines.duckdb", "sqlanon.engines.words"),  # what its types and errors are called in our words
        ("sqlanon.engines.answers", "sqlanon.engines.duckdb"),  # through which rows become frames
        ("sqlanon.engines", "sqlanon.engines.postgres"),
        ("sqlanon.engines", "sqlanon.engines.duckdb"),  # `connect` picks the engine, only when it is called
        ("sqlanon.flow.model", "sqlanon.flow.operando"),  # another form of the same file, only when one is read
    }
    graph = {m: {n for n in found if (m, n) not in lazy} for m, found in graph.items()}
    while leaves := [m for m, found in graph.items() if not found & graph.keys()]:
        graph = {m: found for m, found in graph.items() if m not in leaves}
    assert not graph, f"these import each other: {sorted(graph)}"


def _for_types_alone(module: str) -> set[str]:
    """What a module imports under TYPE_CHECKING, so not when it runs."""
    if "TYPE_CHECKING" not in text(module):
        return set()
    blocks = [n for n in ast.walk(tree(module)) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    return {
        f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules() else str(node.module)
        for block in blocks for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }  # fmt: skip


def test_every_exception_for_the_same_floor_is_in_use() -> None:
    used = {(module, name) for module in modules() for name, _ in imports(module)}
    assert used >= SAME_FLOOR, sorted(SAME_FLOOR - used)


def test_an_engine_knows_no_models() -> None:
    known = {n for m in modules() if m.startswith("sqlanon.engines") for n, _ in imports(m) if n.startswith("sqlanon")}
    lower = {"sqlanon.query", "sqlanon.errors", "sqlanon.functions", "sqlanon.calls", "sqlanon.translation"}
    assert {n for n in known if not n.startswith(("sqlanon.engines", "sqlanon.udfs"))} <= lower, known


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_in_its_own_room(library: str) -> None:
    users = {m for m in modules() for name, _ in imports(m) if name.split(".")[0] == library}
    assert users <= ONLY_IN[library], users


def test_user_defined_functions_need_the_standard_library_and_numpy_only() -> None:
    needed = {n.split(".")[0] for m in modules() if m.startswith("sqlanon.udfs") for n, _ in imports(m)}
    assert needed <= {*sys.stdlib_module_names, "numpy", "sqlanon"}, needed


@pytest.mark.parametrize("module", modules())
def test_no_file_has_more_than_500_lines(module: str) -> None:
    assert len(text(module).splitlines()) <= 500


@pytest.mark.parametrize("module", modules())
def test_no_room_has_a_name_that_says_nothing(module: str) -> None:
    assert not {"utils", "util", "base", "core", "helpers", "helper", "manager", "common"} & set(module.split("."))


@pytest.mark.parametrize("module", modules())
def test_every_module_and_public_name_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(tree(module)), f"{module} has no docstring"
    public = [
        node
        for node in tree(module).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    silent = [f"{modules()[module]}:{node.lineno} {node.name}" for node in public if not ast.get_docstring(node)]
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize("module", [name for name in modules() if not name.endswith("__main__")])
def test_all_names_only_what_exists_and_each_name_once(module: str) -> None:
    found = importlib.import_module(module)
    names = list(getattr(found, "__all__", ()))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(found, name)] == []


def test_the_names_of_the_contract_are_public() -> None:
    names = importlib.import_module("sqlanon").__all__
    assert {"anonymize", "check", "connect", "load", "plan", "release"} <= set(names)


def test_a_public_name_is_for_a_program_what_it_is_for_a_type_checker() -> None:
    (block,) = [node for node in tree("sqlanon").body if isinstance(node, ast.If)]
    told = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    house = importlib.import_module("sqlanon")
    assert set(told) == set(house.__all__)
    for name, room in told.items():
        assert getattr(house, name) is getattr(importlib.import_module(str(room)), name)


def test_a_public_name_is_no_module_although_a_module_has_its_name() -> None:
    names = [name for name in importlib.import_module("sqlanon").__all__ if f"sqlanon.{name}" in modules()]
    assert {"check", "plan", "release"} <= set(names)
    first = "__import__('sqlanon.' + name); assert callable(getattr(sqlanon, name)), name"
    last = f"assert callable(getattr(sqlanon, name)); {first}"
    for order in (first, last):  # the module first, and the name first
        code = f"import sqlanon\nfor name in {names}: {order}"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_importing_sqlanon_is_light() -> None:
    heavy = ("pandas", "polars", "pyarrow", "typer", "rich", "scipy", "psycopg", "matplotlib", "networkx", "duckdb",
             "numpy", "sqlglot", "yaml", "altair", "jinja2")  # fmt: skip
    code = f"import sys, sqlanon; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "[]"


def test_the_help_needs_no_engine() -> None:
    heavy = ("duckdb", "psycopg", "sqlglot", "numpy", "scipy", "yaml")
    code = f"""
import atexit, sys
atexit.register(lambda: print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr))
import sqlanon_start
sys.argv = ["sqlanon", "--help"]
sqlanon_start.run()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stderr.strip() == "[]"


def test_no_file_of_the_repository_names_a_package_registry() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so that nobody can tell which files are committed")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert Path(__file__).resolve() in files
    texts = {file: file.read_bytes().lower() for file in files}
    wrong = [
        f"{file.relative_to(ROOT)}: {host}" for file in files for host in REGISTRIES if host.encode() in texts[file]
    ]
    assert not wrong, "\n".join(wrong)
