"""What is released satisfies its models, as read back by the oracle; and nothing else ever gets out."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import floor
from pathlib import Path
from statistics import correlation
from typing import Any

import duckdb
import oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shared import search_of
from tries import tries

from sqlanon import life, register
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError, SqlanonError
from sqlanon.release import Release, release
from sqlanon.spec import load

FORMS = ("table", "view", "out.duckdb", "out.parquet")
NAME = "Alice Meyer"  # of somebody who must not be found
QI = "quasi-identifier"
K2 = [{"model": "k-anonymity", "k": 2}]
ONE = [{"model": "k-anonymity", "k": 1}]
PLAIN: dict[str, Any] = {"columns": {"a": QI, "s": "sensitive"}, "privacy": K2}
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def shared() -> Iterator[DuckDB]:
    with duckdb.connect() as connection:
        yield DuckDB(connection=connection)


@pytest.fixture
def engine(shared: DuckDB) -> DuckDB:
    emptied(shared)
    return shared


def emptied(engine: DuckDB) -> None:
    engine.run("empty", "DROP SCHEMA IF EXISTS sqlanon CASCADE; SET default_collation = ''")
    views = "SELECT view_name, 'view' FROM duckdb_views() WHERE NOT internal"
    for name, kind in engine.run("list", f"{views} UNION ALL SELECT table_name, 'table' FROM duckdb_tables()"):
        engine.drop(["main", name], kind)


def source(engine: DuckDB, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], name: str = "t") -> None:
    declared = ", ".join('"{}" {}'.format(column.replace('"', '""'), kind) for column, kind in columns.items())
    engine.run("make", f'CREATE OR REPLACE TABLE "{name}" ({declared})')
    places = ", ".join("(" + ", ".join("?" * len(columns)) + ")" for _ in rows)
    if rows:
        engine.run("fill", f'INSERT INTO "{name}" VALUES {places}', [cell for row in rows for cell in row])


def published(engine: DuckDB, spec: Mapping[str, Any], form: str, folder: Path, name: str = "rel") -> Release:
    place = {"as": "file", "path": str(folder / form)} if "." in form else {"as": form}
    recoding = {"method": "full-domain", **spec.get("recoding", {})}
    return release(load({"source": "t", **spec, "recoding": recoding, "publish": {"name": name, **place}}), engine)


def read(engine: DuckDB, form: str, folder: Path, select: str = "SELECT *", name: str = "rel") -> Rows:
    """The released rows, as a reader without sqlanon gets them."""
    quoted = '"{}"'.format(name.replace('"', '""'))
    if "." not in form:
        return engine.run("read", f"{select} FROM {quoted}")
    with duckdb.connect(str(folder / form) if form.endswith("duckdb") else ":memory:") as file:
        item = quoted if form.endswith("duckdb") else f"read_parquet('{folder / form}')"
        return file.execute(f"{select} FROM {item}").fetchall()


TREE = {"heart": ["u", "v"], "lung": ["x", "y"]}
LEVELS = {**{v: (branch, "*") for branch, values in TREE.items() for v in values}, None: ("none", "*")}
LANDS = {"de": "eu", "fr": "eu", "cn": "as"}


def binned(value: int, width: int) -> str:
    return f"[{value // width * width}, {value // width * width + width})"


def masked(value: str, level: int) -> str:
    return value[: max(len(value) - level, 0)] + "*" * min(level, len(value))


DAYS = [date(1999, 12, 31), date(2000, 1, 1), date(2000, 1, 2), None]
# type, values, hierarchy, the last level, and what a value becomes at a level between
KINDS: dict[str, tuple[str, list[Any], Any, int, Callable[[Any, int], str]]] = {
    "age": ("INTEGER", [-7, -1, 0, 4, 5, 9, 14, None], {"width": [5, 10]}, 3, lambda age, n: binned(age, 5 * n)),
    "zip": ("VARCHAR", ["10115", "10117", "20", "", None], {"mask": 3}, 3, masked),
    "born": ("DATE", DAYS, {"date": ["month", "year"]}, 3, lambda day, level: str(day)[: 10 - 3 * level]),
    "land": ("VARCHAR", [*LANDS, None], {"tree": {"eu": ["de", "fr"], "as": ["cn"]}}, 2, lambda land, _: LANDS[land]),
    "sex": ("VARCHAR", ["f", "m", None], None, 1, lambda sex, _: sex),
}


def told(name: str, **parameters: Any) -> dict[str, Any]:
    return {"model": name, **({} if name in ("k-anonymity", "average-risk") else {"column": "s"}), **parameters}


TREELIKE = told("t-closeness", t=0.2, distance="hierarchical")
# A model, and whether it holds on rows, by quasi-identifiers, against a reference, with so many persons per class.
MODELS: list[tuple[dict[str, Any], Callable[..., bool]]] = [
    *[(told("k-anonymity", k=k), lambda rows, by, ref, n, k=k: min(n.values()) >= k) for k in (1, 2, 3, 50)],
    (told("l-diversity", l=2), lambda rows, by, *_: oracle.distinct_l(rows, by, "s") >= 2),
    (told("l-diversity", l=2, kind="entropy"), lambda rows, by, *_: oracle.entropy_l_holds(rows, by, "s", 2)),
    (told("l-diversity", l=2, kind="recursive", c=2), lambda rows, by, *_: oracle.recursive(rows, by, "s", 2) < 2),
    (told("alpha-k-anonymity", alpha=0.5), lambda rows, by, *_: oracle.alpha(rows, by, "s") <= Fraction(1, 2)),
    (told("t-closeness", t=0.25), lambda rows, by, ref, _: oracle.t_equal(rows, by, "s", ref) <= Fraction(1, 4)),
    (TREELIKE, lambda rows, by, ref, _: oracle.t_hierarchical(rows, by, "s", LEVELS, ref) <= Fraction(1, 5)),
    (told("beta-likeness", beta=1), lambda rows, by, ref, _: oracle.beta_basic(rows, by, "s", ref) <= 1),
    (told("average-risk", risk=0.5), lambda rows, by, ref, n: 2 * len(n) <= sum(n.values())),
]


def tried(engine: DuckDB, case: Case, folder: Path) -> Release | None:
    emptied(engine)
    source(engine, {**{name: KINDS[name][0] for name in case.names}, "s": "VARCHAR", "p": "VARCHAR"}, case.rows)
    with suppress(ModelNotMet, SpecError):
        return published(engine, case.spec, case.form, folder)
    return None


def recoded(row: dict[str, Any], levels: Mapping[str, int], starred: bool) -> tuple[Any, ...]:
    """The published quasi-identifiers of a record, by the definitions of the hierarchies."""
    found = []
    for name, level in levels.items():
        value, (_, _, _, height, between) = row[name], KINDS[name]
        plain = str(value) if starred and value is not None else value
        found.append("*" if level == height else plain if value is None or level == 0 else between(value, level))
    return tuple(found)


@dataclass(frozen=True)
class Case:
    """A table, its quasi-identifiers, and what is asked of its release."""

    names: list[str]
    rows: Rows
    later: Rows
    chosen: list[tuple[dict[str, Any], Callable[..., bool]]]
    spec: dict[str, Any]
    form: str

    def assert_released(self, found: Rows, rows: Rows, made: Release) -> int:
        """Every class as a whole and recoded as told, the models on it by the oracle; how many rows are missing."""
        names, plan = self.names, made.planned.plan
        records = [dict(zip((*names, "s", "p"), row, strict=True)) for row in rows]
        star, starred = plan.suppressed == "star", ("*",) * len(names)
        recodings = [recoded(row, {name: plan.levels[name] for name in names}, star) for row in records]
        kept = {row[: len(names)] for row in found}
        gone = [key not in kept or (star and key == starred) for key in recodings]
        shown = [
            {**row, **dict(zip(names, starred if out else key, strict=True))}
            for row, key, out in zip(records, recodings, gone, strict=True)
            if star or not out
        ]
        assert Counter(found) == Counter(tuple(row[name] for name in (*names, "s")) for row in shown)
        persons = oracle.k_anonymity_per_class(shown, names, self.spec.get("entity"))
        for model, holds in self.chosen:
            assert not shown or holds(shown, names, records, persons), model
        return 0 if set(recodings) == {starred} else sum(gone)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    form = draw(st.sampled_from([*FORMS, "view"]))
    names = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3, unique=True))
    record = st.tuples(*map(st.sampled_from, [*(KINDS[name][1] for name in names), SECRETS, PERSONS]))
    quasi = {name: {"role": QI, "hierarchy": KINDS[name][2]} if KINDS[name][2] else QI for name in names}
    chosen = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique_by=lambda pair: str(pair[0])))
    recoding = {
        "suppression": draw(st.sampled_from([0, 0.1, 0.3, 0.5, 1])),
        "suppressed": "drop" if form == "view" else draw(st.sampled_from(["drop", "star"])),
        "loss": draw(st.sampled_from(["loss", "discernibility"])),
        "time_limit": 60,
    }
    columns = {**quasi, "s": {"role": "sensitive", "hierarchy": {"tree": TREE}}, "p": "identifier"}
    entity = {"entity": "p"} if draw(st.booleans()) else {}
    spec = {**entity, "columns": columns, "privacy": [model for model, _ in chosen], "recoding": recoding}
    rows, later = draw(st.lists(record, max_size=24)), draw(st.lists(record, min_size=1, max_size=9))
    rows *= draw(st.sampled_from([1, 1, 9]))  # few rows that occur many times are released in another way
    return Case(names, rows, later, chosen, spec, form)


SECRETS, PERSONS = ["u", "u", "v", "x", None], ["A", "B", "C", "D", "E", None]


@given(cases())
@settings(max_examples=tries(50), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_what_is_released_holds_and_a_view_also_later(shared: DuckDB, tmp_path_factory: Any, case: Case) -> None:
    folder = tmp_path_factory.mktemp("release")
    made = tried(shared, case, folder)
    if made is None:
        assert (shared.kind_of("rel"), list(folder.iterdir())) == (None, [])
        return
    missing = case.assert_released(read(shared, case.form, folder), case.rows, made)
    assert missing <= floor(Fraction(str(case.spec["recoding"]["suppression"])) * len(case.rows))
    assert (all(verdict.holds for verdict in made.verdicts), search_of(made.planned).gap) == (True, 0)
    assert Counter(shared.run("read", "SELECT * FROM t")) == Counter(case.rows)
    for number, row in enumerate(case.later if case.form == "view" else [], start=1):
        shared.run("insert", f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", row)
        case.assert_released(read(shared, "view", folder), [*case.rows, *case.later[:number]], made)


NOCASE = "SELECT a COLLATE NOCASE AS a, s FROM (VALUES ('Bob', 'x'), ('bob', 'x'), ('BOB', 'x')) AS v (a, s)"
ALIKE = {
    "column": f"CREATE TABLE t AS {NOCASE}",
    "view": f"CREATE VIEW t AS {NOCASE}",
    "query": "SELECT 1",
    "setting": f"CREATE TABLE t AS {NOCASE.replace('COLLATE NOCASE', '')}; SET default_collation = 'nocase'",
    "interval": "CREATE TABLE t AS SELECT unnest([INTERVAL '1 month', INTERVAL '30 days']) AS a, 'x' AS s",
    "zero": "CREATE TABLE t AS SELECT unnest([0.0::DOUBLE, '-0.0']) AS a, 'x' AS s",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ALIKE)
def test_what_looks_different_to_a_reader_is_no_class(engine: DuckDB, tmp_path: Path, kind: str, form: str) -> None:
    engine.run("make", ALIKE[kind])
    with suppress(SpecError, ModelNotMet):  # to refuse is safe, too
        published(engine, {**PLAIN, **({"source": {"query": NOCASE}} if kind == "query" else {})}, form, tmp_path)
        shown = [{"a": a} for a, _ in read(engine, form, tmp_path, "SELECT a::VARCHAR, s")]
        assert oracle.k_anonymity(shown, ["a"]) >= 2


EXACT = {
    "HUGEINT": "12345678901234567890123456",
    "TIMESTAMP_S": "2020-02-29 01:02:03",
    "TIMESTAMP_MS": "2020-02-29 01:02:03.123",
    "TIMESTAMP_NS": "2020-02-29 01:02:03.123456789",
    "TIME WITH TIME ZONE": "12:34:56+01",
    "BIT": "0101",
    "HUGEINT[]": "[12345678901234567890123456, 1]",
}


@pytest.mark.parametrize("role", [QI, "sensitive", "insensitive"])
@pytest.mark.parametrize("kind", EXACT)
def test_a_file_holds_the_very_values_of_every_type(engine: DuckDB, tmp_path: Path, kind: str, role: str) -> None:
    source(engine, {"a": "INTEGER", "x": kind, "p": "INTEGER"}, [])
    engine.run("fill", f"INSERT INTO t SELECT 1, '{EXACT[kind]}'::{kind}, unnest([1, 2, 3])")
    models = [*K2, told("t-closeness", t=0.5, column="x")] if role == "sensitive" else K2
    spec = {"entity": "p", "columns": {"a": QI, "x": role, "p": "identifier"}, "privacy": models}
    recoding = {"levels": {"a": 0, **({"x": 0} if role == QI else {})}}
    published(engine, {**spec, "recoding": recoding}, "out.parquet", tmp_path)
    assert read(engine, "out.parquet", tmp_path, "SELECT x::VARCHAR") == [(EXACT[kind],)] * 3


@pytest.mark.parametrize("form", FORMS)
def test_a_sensitive_interval_is_compared_as_it_is_read(engine: DuckDB, tmp_path: Path, form: str) -> None:
    source(engine, {"a": "INTEGER", "s": "INTERVAL"}, [])
    engine.run(
        "fill", "INSERT INTO t SELECT i % 2, unnest([INTERVAL '1 month', INTERVAL '30 days']) FROM range(8) AS r (i)"
    )
    made = published(engine, {**PLAIN, "privacy": [*K2, told("t-closeness", t=0.1)]}, form, tmp_path)
    assert [verdict.value for verdict in made.verdicts] == [8, 0]
    assert life.verify(engine, str(tmp_path / form) if "." in form else "rel").holds


@pytest.mark.parametrize("form", ["table", "view"])
def test_an_identifier_is_not_published_under_the_name_of_a_bound(engine: DuckDB, tmp_path: Path, form: str) -> None:
    source(engine, {"age_from": "VARCHAR", "age": "INTEGER", "s": "VARCHAR"}, [(NAME, 1, "x"), (NAME, 1, "y")])
    age = {"role": QI, "hierarchy": {"width": [5]}, "represent": "bounds"}
    columns = {"age_from": "identifier", "age": age, "s": "sensitive"}
    with suppress(SpecError):
        spec = {"entity": "age_from", "columns": columns, "privacy": [told("l-diversity", l=2)]}
        published(engine, spec, form, tmp_path)
        assert NAME not in str(read(engine, form, tmp_path))


def plain(engine: DuckDB, rows: Sequence[tuple[Any, ...]] = ((1, "x"), (1, "y"), (2, "x"), (2, "y"))) -> None:
    source(engine, {"a": "INTEGER", "s": "VARCHAR"}, rows)


NAMES = ['"; DROP TABLE x; --', "n", "v", "number", "the count", "the value", "leaf", "held", "a\nb", "select"]
PLACES = [*((name, "table") for name in NAMES), *((NAMES[0], form) for form in FORMS[1:])]


@pytest.mark.parametrize(("name", "form"), PLACES)
def test_columns_and_releases_may_have_any_name(engine: DuckDB, tmp_path: Path, name: str, form: str) -> None:
    long, odd = "x" * 300, "we\"ird 'rel'; --"
    source(engine, {"i": "INTEGER"}, [(1,)], name="x")
    source(engine, {name: "VARCHAR", "s": "VARCHAR"}, [(long, "u"), (long, "v"), ("b", "u"), ("b", None), ("c", "u")])
    ordered = {"role": "sensitive", "hierarchy": {"order": ["u", "v"]}}
    columns = {name: {"role": QI, "hierarchy": {"mask": 3}}, "s": ordered}
    privacy = [*K2, told("t-closeness", t=0.9, distance="ordered")]
    published(engine, {"columns": columns, "privacy": privacy, "recoding": {"suppression": 0.2}}, form, tmp_path, odd)

    found = Counter(read(engine, form, tmp_path, name=odd))
    assert found == Counter([(long, "u"), (long, "v"), ("b", "u"), ("b", None)])
    assert engine.run("read", "SELECT * FROM x") == [(1,)]


IMPOSSIBLE: dict[str, tuple[Rows, dict[str, Any], int, str]] = {
    "no rows": ([], {}, 2, "no rows"),
    "all suppressed": ([(1, "x"), (2, "y")], {"suppression": 1, "levels": {"a": 0}}, 2, "suppress"),
    "k too large": ([(1, "x"), (2, "y")], {}, 3, "k = 3 is larger than the table of 2 records"),
    "limit": ([(1, "x"), (2, "y"), (2, "z")], {"levels": {"a": 0}, "suppression": 0.3}, 2, "1 of 3"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_only_what_holds_replaces_the_previous_release(engine: DuckDB, tmp_path: Path, form: str, what: str) -> None:
    rows, recoding, k, told = IMPOSSIBLE[what]
    plain(engine)
    published(engine, PLAIN, form, tmp_path)
    source(engine, {"a": "INTEGER", "s": "VARCHAR"}, rows, name="other")
    before = read(engine, form, tmp_path)
    files = sorted(path.name for path in tmp_path.iterdir())
    spec = {**PLAIN, "source": "other", "recoding": recoding, "privacy": [{"model": "k-anonymity", "k": k}]}
    with pytest.raises((SpecError, ModelNotMet), match=told):
        published(engine, spec, form, tmp_path)

    assert read(engine, form, tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    made = published(engine, {**PLAIN, "privacy": [{"model": "k-anonymity", "k": 4}]}, form, tmp_path)
    assert Counter(read(engine, form, tmp_path)) == {("*", "x"): 2, ("*", "y"): 2}
    assert [entry.status for entry in register.entries(engine)] == ["published", "superseded"]
    assert made.entry.version == 2


@pytest.mark.parametrize("before", [False, True], ids=["never released", "release dropped by hand"])
@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
@pytest.mark.parametrize("form", ["table", "view"])
def test_a_foreign_relation_is_left_alone(engine: DuckDB, tmp_path: Path, form: str, kind: str, before: bool) -> None:
    plain(engine)
    if before:
        published(engine, PLAIN, form, tmp_path)
        engine.drop(["main", "rel"], form)
    engine.run("make", f"CREATE {kind} rel AS SELECT 'mine' AS mine")
    with pytest.raises(ReleaseError, match="rel"):
        published(engine, PLAIN, form, tmp_path)
    assert engine.run("read", "SELECT * FROM rel") == [("mine",)]


OWN = [("rel", "main.rel"), ("rel", "MAIN.REL"), ("rel", {"query": "SELECT * FROM rel"}), ("a.b", {"table": "a.b"})]


@pytest.mark.parametrize(("name", "own"), OWN)
@pytest.mark.parametrize("form", ["table", "view"])
def test_a_release_does_not_replace_its_source(engine: DuckDB, tmp_path: Path, name: str, own: Any, form: str) -> None:
    plain(engine)
    published(engine, PLAIN, form, tmp_path, name)
    before = sorted(read(engine, form, tmp_path, name=name))
    with pytest.raises(SqlanonError):
        published(engine, {**PLAIN, "source": own}, form, tmp_path, name)
    assert sorted(read(engine, form, tmp_path, name=name)) == before


@pytest.mark.parametrize("kind", ["VIEW", "SECURE VIEW"])
@pytest.mark.parametrize("form", ["table", "view"])
@pytest.mark.parametrize(
    "own", ["over", {"query": "WITH o AS (SELECT * FROM over) SELECT a, s FROM o WHERE s <> 'rel'"}]
)
def test_a_release_does_not_replace_what_is_under_a_view_of_its_source(
    engine: DuckDB, tmp_path: Path, own: Any, form: str, kind: str
) -> None:
    plain(engine)
    published(engine, PLAIN, form, tmp_path)
    engine.run("make", f"CREATE {kind} between AS SELECT * FROM rel WHERE s <> 'never'")
    engine.run("make", f'CREATE {kind} over AS SELECT b.a, b.s FROM "between" AS b')
    with pytest.raises(SpecError, match="own source"):
        published(engine, {**PLAIN, "source": own}, form, tmp_path)
    assert len(read(engine, form, tmp_path)) == 4
    assert published(engine, {**PLAIN, "source": own}, form, tmp_path, "other").name == "other"


@pytest.mark.parametrize("kind", ["database", "database with releases", "database of its name", "parquet", "text"])
def test_a_foreign_file_is_left_alone(engine: DuckDB, tmp_path: Path, kind: str) -> None:
    plain(engine)
    form = "out.duckdb" if "database" in kind else "out.parquet"
    if kind == "text":
        (tmp_path / form).write_text("precious")
    elif kind == "parquet":
        engine.run("write", f"COPY (SELECT 'precious' AS v) TO '{tmp_path / form}'")
    else:
        with DuckDB(str(tmp_path / form)) as other:
            other.run("make", "CREATE TABLE precious AS SELECT 'precious' AS v")
            if "releases" in kind:
                plain(other)
                published(other, PLAIN, "table", tmp_path)
            if "of its name" in kind:
                other.run("make", "ALTER TABLE precious RENAME TO rel")
                published(
                    other, {**PLAIN, "source": "rel", "columns": {"v": QI}, "privacy": ONE}, "x.parquet", tmp_path
                )
    before = (tmp_path / form).read_bytes()
    with pytest.raises(SqlanonError):
        published(engine, PLAIN, form, tmp_path)
    assert (tmp_path / form).read_bytes() == before


GUARDS: dict[str, list[dict[str, Any]]] = {
    "k": K2,
    "l": [told("l-diversity", l=2)],
    "k and t": [*K2, told("t-closeness", t=0.6)],
    "k and average": [*K2, told("average-risk", risk=0.5)],
}


@pytest.mark.parametrize("guard", GUARDS)
def test_a_reader_of_a_view_cannot_make_it_tell_of_suppressed_rows(engine: DuckDB, tmp_path: Path, guard: str) -> None:
    rows = [(str(10000 + i // 3), "xyz"[i % 3]) for i in range(300)] + [(str(20000 + i), NAME) for i in range(50)]
    source(engine, {"a": "VARCHAR", "s": "VARCHAR"}, rows)
    spec = {**PLAIN, "privacy": GUARDS[guard], "recoding": {"suppression": 0.2, "levels": {"a": 0}}}
    published(engine, spec, "view", tmp_path)
    seen, spy = set[str](), (["VARCHAR"], "BOOLEAN")
    engine.connection.create_function("spy", lambda value: not seen.add(value), *spy, side_effects=True)  # type: ignore
    assert len(engine.run("read", "SELECT * FROM rel WHERE spy(a) AND spy(s)")) == 300
    engine.connection.remove_function("spy")
    assert seen == {row[0] for row in rows[:300]} | set("xyz")
    asked = [f"CASE WHEN {test} THEN error('seen') ELSE true END" for test in ("a = '20007'", "length(s) > 1")]
    for predicate in (*asked, "1 // (a::INTEGER - 20007) IS NOT NULL"):
        assert engine.run("read", f"SELECT count(*) FROM rel WHERE {predicate}") == [(300,)]


def test_a_source_that_reads_differently_each_time_is_never_a_view(engine: DuckDB, tmp_path: Path) -> None:
    plain(engine, [(i // 4, str(i)) for i in range(400)])
    spec = {**PLAIN, "source": {"query": "SELECT * FROM t WHERE random() < 0.9"}, "recoding": {"suppression": 0.5}}
    with pytest.raises(SqlanonError):
        published(engine, spec, "view", tmp_path)
    assert engine.kind_of("rel") is None


@pytest.mark.parametrize("arranged", [{"tree": TREE}, {"order": ["u", "v", "x", "y"]}], ids=str)
def test_a_sensitive_value_that_arrives_in_a_view_unknown_to_its_hierarchy_is_not_shown(
    engine: DuckDB, tmp_path: Path, arranged: dict[str, Any]
) -> None:
    rows: Rows = [(a, s) for a in (1, 2) for s in ("u", "v", "x", None)]
    source(engine, {"a": "INTEGER", "s": "VARCHAR"}, rows)
    distance = "hierarchical" if "tree" in arranged else "ordered"
    columns = {"a": QI, "s": {"role": "sensitive", "hierarchy": arranged}}
    spec = {"columns": columns, "privacy": [*K2, told("t-closeness", t=0.4, distance=distance)]}
    published(engine, {**spec, "recoding": {"levels": {"a": 0}}}, "view", tmp_path)
    assert Counter(read(engine, "view", tmp_path)) == Counter(rows)
    engine.run("insert", "INSERT INTO t VALUES (1, 'new'), (2, 'new'), (3, 'new'), (3, 'new'), (1, 'y'), (2, 'y')")
    assert Counter(read(engine, "view", tmp_path)) == Counter([*rows, (1, "y"), (2, "y")])
    assert life.verify(engine, "rel").holds


@pytest.mark.parametrize("kind", ["VARCHAR", "ENUM ('Bob Suppressed', 'kept', 'Rare Disease', 'flu')"])
@pytest.mark.parametrize("form", ["table", "out.duckdb", "out.parquet"])
def test_what_was_dropped_or_suppressed_is_not_released(engine: DuckDB, tmp_path: Path, form: str, kind: str) -> None:
    secrets = ("Bob Suppressed", "Rare Disease", NAME, "0123-person")
    rows = [secrets, *(("kept", "flu", "n", f"p{i}") for i in range(50))]
    source(engine, {"a": kind, "s": kind, "name": "VARCHAR", "p": "VARCHAR"}, rows)
    columns = {"a": QI, "s": "sensitive", "name": "drop", "p": "identifier"}
    spec = {**PLAIN, "entity": "p", "columns": columns, "recoding": {"suppression": 0.1}}
    assert published(engine, spec, form, tmp_path).measured.rows == 50

    shown = str(engine.run("describe", "DESCRIBE rel")).encode() if form == "table" else (tmp_path / form).read_bytes()
    assert [secret for secret in secrets if secret.encode() in shown] == []


@pytest.mark.parametrize("form", ["table", "out.duckdb", "out.parquet"])
def test_no_position_tells_where_a_row_came_from(engine: DuckDB, tmp_path: Path, form: str) -> None:
    source(engine, {"a": "INTEGER", "s": "VARCHAR", "i": "INTEGER"}, [(i // 100, "x", i) for i in range(2000)])
    spec = {**PLAIN, "columns": {**PLAIN["columns"], "i": "insensitive"}}
    for _ in range(2):
        published(engine, spec, form, tmp_path)
        order = [row[2] for row in read(engine, form, tmp_path)]
        assert abs(correlation(order, range(2000))) < 0.1


@pytest.mark.parametrize("form", ["table", "out.duckdb", "out.parquet"])
def test_rows_that_occur_many_times_stand_together_where_the_key_puts_them(
    engine: DuckDB, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(engine, {"a": "INTEGER", "s": "VARCHAR"}, [(i // 10, "xy"[i % 2]) for i in range(4000)])
    spec = {**PLAIN, "privacy": [*K2, told("l-diversity", l=2)]}
    orders = []
    for key in ("one", "two", "one"):
        monkeypatch.setenv("SQLANON_KEY", key)
        assert published(engine, spec, form, tmp_path).planned.plan.counted is not None
        found = read(engine, form, tmp_path)
        assert Counter(found) == Counter({(a, s): 5 for a in range(400) for s in "xy"})
        order = [row for row, before in zip(found, [None, *found], strict=False) if row != before]
        assert len(order) == 800
        assert abs(correlation([a for a, _ in order], range(800))) < 0.15
        orders.append(order)
    assert orders[0] == orders[2] != orders[1]


CLUMSY: list[dict[str, Any]] = [
    {"source": {"query": "SELECT a::INTEGER AS a, s FROM t"}},
    {"columns": {"a": {"role": QI, "hierarchy": {"tree": {"g": ["de"]}}}, "s": "sensitive"}},
    {"privacy": [{"model": "k-anonymity", "k": 3}]},
]


@pytest.mark.parametrize("spec", CLUMSY, ids=["conversion", "unknown value", "model"])
def test_no_error_quotes_a_cell(engine: DuckDB, tmp_path: Path, spec: Any) -> None:
    source(engine, {"a": "VARCHAR", "s": "VARCHAR"}, [(NAME, "x"), (NAME, NAME)])
    with pytest.raises(SqlanonError) as failed:
        published(engine, {**PLAIN, **spec}, "table", tmp_path)
    assert NAME not in "".join(traceback.format_exception(failed.value))
