"""The same spec on DuckDB and on Postgres: the same classes, published values, measures and register rows."""

from __future__ import annotations

import math
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pytest_postgresql.executors import NoopExecutor
from server import execute, fetch, python_of
from sqlglot import exp
from tries import tries

import sqlanon
from sqlanon import generating, life, query
from sqlanon.engines import Engine
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.functions import PLANNERS
from sqlanon.spec import load
from sqlanon.translation import written

QI = "quasi-identifier"
Row = tuple[Any, ...]

COLUMNS = {
    "id": "INTEGER", "age": "INTEGER", "weight": "DOUBLE PRECISION", "fee": "DECIMAL(9, 2)", "zip": "VARCHAR",
    "born": "DATE", "since": "TIMESTAMP", "grade": "VARCHAR", "ill": "VARCHAR", "who": "INTEGER",
}  # fmt: skip
WEIGHTS = [None, 0.0, -0.0, 1.0, 2.5, 3.0, 1e15, 1e16, -1e300, 5e-324, math.inf, math.nan, 0.1 + 0.2]
BORN = [
    None,
    date(100, 1, 1),
    date(1969, 12, 31),
    date(2000, 2, 29),
    date(9000, 12, 31),
    *(date(1980, m, 1) for m in range(1, 9)),
]
ROLES: dict[str, Any] = {
    "id": "drop", "who": "drop", "ill": "sensitive", "grade": "insensitive",
    "age": QI, "weight": QI, "zip": {"role": QI, "hierarchy": {"mask": 5}}, "fee": "insensitive", "born": "insensitive",
    "since": "insensitive",
}  # fmt: skip
WIDE = {
    **ROLES, "fee": {"role": QI, "represent": "bounds"}, "since": QI,
    "born": {"role": QI, "hierarchy": {"date": ["month", "year"]}},
}  # fmt: skip
TREE = {"tree": {"lung": ["flu", "cold"], "other": ["ms", "'; --", "\u00e4hm"]}}


def rows(seed: int, many: int = 60) -> list[Row]:
    """Records with ties, missing values and numbers that are hard to write."""
    r = Random(seed)
    ages = [None, -3, *range(20, 20 + r.choice([4, 40]))]
    return [
        (
            i, r.choice(ages), r.choice(WEIGHTS), r.choice([None, Decimal("-1.25"), Decimal(2), Decimal("3.50")]),
            r.choice([None, "", "12345", "12346", "123", "47001"]), r.choice(BORN),
            r.choice([None, f"2020-01-0{r.randint(1, 9)} 10:0{r.randint(0, 9)}:00.5"]), r.choice("abc"),
            r.choice(["flu", "cold", "ms", "'; --", "\u00e4hm"]), r.choice([None, *range(many // 2)]),
        )
        for i in range(many)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Engine, Engine]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQLANON_KEY", "the key of this test")
        with DuckDB() as there, there.one_thread(), sqlanon.connect(database, superuser=True) as here:
            assert not here.can("functions")  # which it remembers, when there are some
            yield there, here


@pytest.fixture(scope="module")
def once(both: tuple[Engine, Engine]) -> Callable[[str, str], Made | None]:
    """What each way releases on the one engine or the other, which is made once: `releases.rel` may be of another."""
    return cache(lambda name, way: made(next(e for e in both if e.name == name), rows(len(way)), WAYS[way]))


def filled(engine: Engine, told: list[Row]) -> str:
    """The source on an engine; its name."""
    item = "t" if engine.name == "duckdb" else "public.t"
    declared = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    engine.run("empty", f"DROP TABLE IF EXISTS {item}")
    engine.run("make", f"CREATE TABLE {item} ({declared})")
    lists = ", ".join(f"unnest(CAST(? AS {kind}[]))" for kind in COLUMNS.values())
    engine.run("fill", f"INSERT INTO {item} SELECT {lists}", [[*cells] for cells in zip(*told, strict=True)])
    return item


def released(engine: Engine, told: list[Row], spec: dict[str, Any]) -> sqlanon.Release | None:
    if engine.kind_of("rel"):
        life.withdraw(engine, "rel")
    made = {"source": filled(engine, told), "columns": ROLES, "publish": {"name": "rel"}, **spec}
    with suppress(ModelNotMet):
        return sqlanon.release(load(made), engine)
    return None


@dataclass(frozen=True)
class Made:
    """A release as it was told, registered and read, verified; the names and rows of its relations."""

    told: dict[str, Any]
    entry: dict[str, Any]
    names: tuple[str, ...]
    rows: dict[str, list[Row]]


def made(engine: Engine, told: list[Row], spec: dict[str, Any]) -> Made | None:
    """What a spec releases of the rows; None where no release of them meets its models."""
    done = released(engine, told, spec)
    if done is None:
        return None
    found, entry = done.to_dict(), done.entry.to_dict()
    names = ("rel", *([found["linked"]] if found["linked"] else []))
    rows = {name: engine.run("read", f"SELECT * FROM {engine.schema}.{name}") for name in names}
    assert life.verify(engine, "rel").holds
    return Made(found, entry, engine.names(f"{engine.schema}.rel"), rows)


OF_ENGINES = ("draws and groups of near records", "the release belongs to", *(planner.told for planner in PLANNERS))


def rounded(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: rounded(value) for key, value in told.items()}
    if isinstance(told, list):
        return [rounded(value) for value in told if not str(value).startswith(OF_ENGINES)]
    return float(f"{told:.10g}") if isinstance(told, float) else told


OWN = ("owner", "engine", "seconds", "fingerprint", "location", "version")


def same(there: Made | None, here: Made | None) -> bool:
    """Whether both engines release, the same; that one does and the other not, or another thing, is an error."""
    assert (there is None) == (here is None)
    if there is None or here is None:
        return False
    found = [{key: value for key, value in made.told.items() if key not in OWN} for made in (there, here)]
    assert rounded(found[1]) == rounded(found[0])
    for key in ("name", "rows_in", "rows_out", "suppressed", "models"):
        assert rounded(here.entry.get(key)) == rounded(there.entry.get(key))
    assert [*here.rows] == [*there.rows]
    for name, told in there.rows.items():
        assert numbers(here.rows[name]) == numbers(told)
    return True


def numbers(told: list[Row]) -> Counter[str]:
    """The rows, each so often. Whole decimal numbers are read as int from Postgres."""
    return Counter(repr(row).replace("Decimal('2.00')", "2").replace("Decimal('2')", "2") for row in told)


K: dict[str, Any] = {"model": "k-anonymity", "k": 4}
L: dict[str, Any] = {"model": "l-diversity", "column": "ill", "l": 2}


def theta(repair: str, *, noise: bool = False) -> list[dict[str, Any]]:
    return [K, {"model": "theta-sensitivity", "column": "ill", "mu": 0.4, "repair": repair, "noise": noise}]


def drawn(**transform: Any) -> dict[str, Any]:
    return {"privacy": [K], "transforms": [transform], "recoding": {"method": "hilbert"}}


def near(statistic: str) -> dict[str, Any]:
    columns = ["age", "born"] if statistic == "mean" else ["age", "grade"]
    return drawn(transform="microaggregation", columns=[*columns, "weight"], k=3, statistic=statistic, block=32)


STARRED = {"suppressed": "star", "suppression": 0.5}
WAYS: dict[str, dict[str, Any]] = {
    "hilbert": {"privacy": [K], "columns": WIDE},
    "gray, even groups": {"privacy": [K], "recoding": {"method": "hilbert", "groups": "even", "order": "gray"}},
    "hilbert's curve": {"privacy": [K], "recoding": {"method": "hilbert", "order": "hilbert"}},
    "strict": {"privacy": [K, L], "recoding": {"method": "mondrian", "suppression": 0.3}},
    "relaxed": {"privacy": [K], "recoding": {"method": "mondrian", "cuts": "relaxed"}},
    "dealt": {"privacy": [K, L], "recoding": {"method": "hilbert", "deal": "ill"}},
    "united": {"privacy": [K, {"model": "t-closeness", "column": "ill", "t": 0.3}], "recoding": {"suppression": 0.5}},
    "united by a tree": {
        "privacy": [K, {"model": "t-closeness", "column": "ill", "t": 0.3, "distance": "hierarchical"}],
        "columns": {**ROLES, "ill": {"role": "sensitive", "hierarchy": TREE}},
    },
    "persons": {"privacy": [K], "entity": "who", "columns": {**ROLES, "who": "identifier"}},
    "cells": {"privacy": [K], "recoding": {"method": "hilbert", "suppressed": "cell", "suppression": 0.9}},
    "full-domain, cells": {
        "privacy": [K], "columns": {**ROLES, "weight": "drop"},
        "recoding": {"method": "full-domain", "suppressed": "cell", "suppression": 0.9},
    },
    "starred": {"privacy": [K], "columns": {**ROLES, "fee": QI, "born": QI}, "recoding": STARRED},
    "full-domain, starred floats": {
        "privacy": [{"model": "k-anonymity", "k": 2}],
        "columns": {name: role if name in ("weight", "ill") else "drop" for name, role in ROLES.items()},
        "recoding": {"method": "full-domain", "suppressed": "star", "suppression": 0.9, "levels": {"weight": 0}},
    },
    "exchanged": {"privacy": theta("swap"), "recoding": {"suppression": 0.5}},
    "exchanged, with noise": {"privacy": theta("paper", noise=True), "recoding": {"suppression": 0.5}},
    "round-robin": {"privacy": theta("round-robin"), "recoding": {"suppression": 0.5}},
    "anatomy": {
        "privacy": [L], "recoding": {"method": "anatomy"},
        "columns": {**WIDE, "fee": QI, "zip": QI, "born": QI},
    },
    "rounding and coding": {
        "privacy": [K], "recoding": {"method": "mondrian", "cuts": "relaxed"},
        "transforms": [
            {"transform": "rounding", "column": "weight", "base": 2},
            {"transform": "coding", "column": "age", "top": 30},
        ],
    },
    "rank swapping": drawn(transform="rank-swapping", column="ill", share=0.3),
    "post-randomisation": drawn(transform="pram", column="grade", keep=0.5),
    "a matrix": drawn(transform="pram", column="grade", matrix={"a": {"a": 0.5, "b": 0.5}}),
    "noise": drawn(transform="additive-noise", column="age", scale=3.0, distribution="laplace"),
    "noise of dates": drawn(transform="additive-noise", column="born", scale=30.0),
    "factors": drawn(transform="multiplicative-noise", column="age", scale=0.2),
    "means": near("mean"),
    "medians": near("median"),
    "modes": near("mode"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_every_method_makes_the_same_release_on_both_engines(once: Callable[[str, str], Made | None], way: str) -> None:
    assert same(once("duckdb", way), once("postgres", way))


@given(way=st.sampled_from([*WAYS]), seed=st.integers(0, 10**6), many=st.integers(1, 60))
@settings(max_examples=tries(24), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_random_tables_are_released_alike(both: tuple[Engine, Engine], way: str, seed: int, many: int) -> None:
    with suppress(SpecError):
        same(*[made(engine, rows(seed, many), WAYS[way]) for engine in both])


# -- functions in the server -------------------------------------------------------------------------------------------

INSTALLED = """
CREATE OR REPLACE FUNCTION sqlanon.{name}({takes}) RETURNS {gives} LANGUAGE plpython3u IMMUTABLE STRICT AS $f$
{body}
$f$"""
SCALAR = """
import hashlib, statistics
secret = hashlib.blake2b(key.encode(), digest_size=64, person=b"sqlanon key").digest()
name = len(stream.encode()).to_bytes(8, "little") + stream.encode()
made = hashlib.blake2b(name, key=secret, digest_size=64, person=b"sqlanon draws")
made.update((number // 8).to_bytes(8, "little", signed=True))
bits = int.from_bytes(made.digest()[8 * (number % 8):8 * (number % 8) + 8], "little")
u = ((bits >> 12) + 0.5) * 2.0 ** -52
return {}"""
BY_ROW = """
def near(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b))
groups, left, number = [0] * len(points), list(range(len(points))), 0
while len(left) >= 2 * k:
    middle = [sum(points[i][d] for i in left) / len(left) for d in range(len(points[0]))]
    seeds = [max(left, key=lambda i: near(points[i], middle))]
    if len(left) >= 3 * k:
        seeds.append(max(left, key=lambda i: near(points[i], points[seeds[0]])))
    for seed in seeds:
        for i in sorted(left, key=lambda i: near(points[i], points[seed]))[:k]:
            groups[i] = number
            left.remove(i)
        number += 1
for i in left:
    groups[i] = number
return groups"""
FUNCTIONS = [
    INSTALLED.format(name="sqlanon_uniform", takes="key text, stream text, number bigint", gives="float8",
                     body=SCALAR.format("u")),
    INSTALLED.format(name="sqlanon_normal", takes="key text, stream text, number bigint", gives="float8",
                     body=SCALAR.format("statistics.NormalDist().inv_cdf(u)")),
    INSTALLED.format(name="sqlanon_mdav", takes="k bigint, points float8[]", gives="bigint[]", body=BY_ROW),
    INSTALLED.format(name="sqlanon_mean", takes="numbers float8[]", gives="float8",
                     body="import math\nreturn math.fsum(numbers) / len(numbers)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def installed(server: NoopExecutor, database: str, both: tuple[Engine, Engine]) -> str:
    """The database with functions of sqlanon in it, of which the engine of `both` learnt before that there are none.

    All but the planners are written anew here.
    """
    assert not both[1].can("functions")
    python_of(server)
    execute(database, "CREATE EXTENSION IF NOT EXISTS plpython3u", "CREATE SCHEMA IF NOT EXISTS sqlanon", *FUNCTIONS)
    execute(database, *(generating.statements(f) for f in generating.declared() if f.call in [p.one for p in PLANNERS]))
    return database


@pytest.mark.parametrize(
    "way", ["exchanged, with noise", "anatomy", "rank swapping", "noise", "means", "hilbert's curve"]
)
def test_functions_in_the_server_come_to_the_same(
    once: Callable[[str, str], Made | None], installed: str, way: str
) -> None:
    told = rows(len(way))
    with sqlanon.connect(installed, superuser=True) as here:
        assert here.can("functions")
        assert same(once("duckdb", way), made(here, told, WAYS[way]))
        spec = {"source": "public.t", "columns": ROLES, **WAYS[way], "publish": {"name": "rel"}}
        notes = sqlanon.plan(spec, here).notes
        assert any("by sqlanon's functions on the server" in note for note in notes)


def test_functions_of_somebody_else_or_with_other_results_do_not_get_the_key(installed: str) -> None:
    wrong = INSTALLED.format(name="sqlanon_mean", takes="numbers float8[]", gives="float8", body="return 0.0")
    theirs = "CREATE FUNCTION sqlanon.sqlanon_mean(n float8[]) RETURNS float8 LANGUAGE sql AS 'SELECT 0.2::float8'"
    owned = "ALTER FUNCTION sqlanon.sqlanon_mean(float8[]) OWNER TO stranger"
    failing = INSTALLED.format(name="sqlanon_mean", takes="numbers float8[]", gives="float8", body="raise ValueError")
    for statements in ([wrong], [failing], [FUNCTIONS[3], owned], ["DROP FUNCTION sqlanon.sqlanon_mean", theirs]):
        execute(installed, *statements)
        with sqlanon.connect(installed, superuser=True) as engine:
            assert not engine.can("functions")
    execute(installed, "DROP FUNCTION sqlanon.sqlanon_mean", FUNCTIONS[3])


def test_the_key_of_the_functions_is_in_no_statement(
    server: NoopExecutor, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a key that nobody may see"
    monkeypatch.setenv("SQLANON_KEY", key)
    execute(installed, "ALTER DATABASE test_two_engines SET log_statement = 'all'")
    with sqlanon.connect(installed, superuser=True) as engine:
        engine.run("log", "SET log_min_messages = 'log'")
        for way in ("exchanged, with noise", "noise"):
            assert released(engine, rows(4), WAYS[way]) is not None
        listed = engine.run("look", "SELECT name || setting FROM pg_settings")
        statements = engine.run("look", "SELECT query FROM pg_stat_activity")
        register = engine.run("look", "SELECT row_to_json(r)::text FROM sqlanon.release AS r")
        life.withdraw(engine, "rel")
    logged = (Path(str(server.host)) / "log").read_text(errors="replace")
    assert "CREATE TEMP TABLE" in logged
    assert not any(key in str(row) for row in (*listed, *statements, *register)) and key not in logged


# -- scripts and sessions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["strict", "relaxed", "gray, even groups", "full-domain, cells", "rounding and coding"])
def test_a_printed_script_runs_in_psql_by_itself(
    both: tuple[Engine, Engine], once: Callable[[str, str], Made | None], database: str, way: str
) -> None:
    released = once("postgres", way)
    assert released is not None
    filled(both[1], rows(len(way)))
    spec = load({"source": "public.t", "columns": ROLES, "publish": {"name": "by_hand"}, **WAYS[way]})
    text = sqlanon.plan(spec, both[1]).sql(both[1])
    ran = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database], input=text, capture_output=True,
                         text=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    columns = [name for name, role in spec.columns.items() if role.role == "quasi-identifier"]
    places = [released.names.index(name) for name in columns]
    wanted = [tuple(row[place] for place in places) for row in released.rows["rel"]]
    found = both[1].run("read", f"SELECT {', '.join(columns)} FROM releases.by_hand")
    execute(database, "DROP TABLE releases.by_hand")
    assert Counter(map(repr, found)) == Counter(map(repr, wanted))


def test_the_settings_of_a_session_are_sized_and_set_back(database: str) -> None:
    with sqlanon.connect(database, superuser=True) as engine:
        sql = "SELECT name, setting FROM pg_settings WHERE context = 'user' AND name <> 'application_name'"
        ours = dict(engine.run("look", sql))
        assert int(ours["work_mem"]) >= 128 * 1024 and int(ours["max_parallel_workers_per_gather"]) >= 4
        assert float(ours["hash_mem_multiplier"]) >= 2
        engine.restore()  # type: ignore[attr-defined]
        assert dict(engine.run("look", sql)) == {**dict(fetch(database, sql)), "client_encoding": "UTF8"}


class Remembering(DuckDB):
    """DuckDB that keeps every tree of which a working table was made."""

    def __init__(self) -> None:
        super().__init__()
        self.trees: list[Any] = []

    def temporary(self, step: str, name: str, what: Any) -> None:
        bodies = [one.body for one in what.steps] if isinstance(what, query.Query) else [what]
        self.trees += [body for body in bodies if not isinstance(body, query.Text)]
        super().temporary(step, name, what)


@pytest.fixture(scope="module")
def remembered() -> list[Any]:
    """The trees of four releases, in their order."""
    with Remembering() as engine, engine.one_thread():
        for way in ("strict", "full-domain, cells", "exchanged, with noise", "anatomy"):
            released(engine, rows(7), WAYS[way])
    return engine.trees


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_a_statement_is_rendered_without_being_changed(remembered: list[Any], dialect: str) -> None:
    """No tree is copied before it is rendered: what rewrote one in place would change what runs next."""
    assert len({type(node) for tree in remembered for node in tree.walk()}) > 30, "too little of the language"
    for tree in remembered:
        before = tree.copy()
        text = query._rendered(tree, dialect, True)  # anew, whatever was rendered before
        assert tree == before
        assert query._rendered(tree, dialect, True) == text
        assert query.render(tree, dialect) == text[0]


def test_what_was_rendered_is_found_again_by_all_that_a_statement_says(remembered: list[Any]) -> None:
    texts: dict[str, str] = {}
    for tree in remembered:
        text, _ = query._rendered(tree, "duckdb", False)
        assert texts.setdefault(written(tree), text) == text
        assert written(tree.copy()) == written(tree)
    assert len({*texts.values()}) == len(texts) > 10
    for tree in remembered[::10]:
        for node in tree.walk():
            if isinstance(node, exp.Identifier | exp.Literal):
                before, said = written(tree), node.this
                node.set("this", f"{said} ")
                assert written(tree) != before
                node.set("this", said)
                assert written(tree) == before
