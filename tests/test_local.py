"""Local recoding as a spec asks for it: plan and release of partitions, read back by code that knows no partition."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_partitions import KINDS, covers_value, quick
from test_repair import SENSITIVE, holds

import sqlanon
from sqlanon import comparison
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.models import KAnonymity, Model, ThetaSensitivity
from sqlanon.release import Release
from sqlanon.spec import Column, Publish, Recoding, Spec, load
from sqlanon.spec import Source as Where

Row = dict[str, Any]

WAYS = [
    {"method": "hilbert"}, {"method": "hilbert", "order": "gray", "groups": "even"}, {"order": "hilbert"},
    {"deal": "s"}, {"method": "mondrian"}, {"cuts": "relaxed"},
]  # fmt: skip
REPAIRS = ["merge", "round-robin", "swap", "paper"]


@dataclass(frozen=True)
class Case:
    """Rows of quasi-identifiers, a sensitive value, a person and a number of their own, and what is asked for."""

    kinds: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    spec: Spec

    @property
    def names(self) -> tuple[str, ...]:
        return (*(f"q{i}" for i in range(len(self.kinds))), "s", "who", "number")

    @property
    def records(self) -> list[Row]:
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kinds = tuple(draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=2)))
    cells = [st.sampled_from(KINDS[kind].values) for kind in kinds]
    told = st.tuples(*cells, st.sampled_from(["u", "u", "v", "w", "x", None]), st.sampled_from([*"ABCDEFG", None]))
    rows = [(*row, number) for number, row in enumerate(draw(st.lists(told, min_size=1, max_size=24)))]
    models: list[Model] = [KAnonymity(draw(st.integers(1, 4)))]
    way = dict(draw(st.sampled_from(WAYS)))
    if draw(st.booleans()):
        models.append(draw(st.sampled_from(SENSITIVE)))
        if isinstance(models[-1], ThetaSensitivity) and "deal" not in way:
            allowed = [
                r for r in REPAIRS if r != "round-robin" or not (way.get("method") == "mondrian" or "cuts" in way)
            ]
            models[-1] = dataclasses.replace(models[-1], repair=draw(st.sampled_from(allowed)))
    recoding = Recoding(
        suppression=draw(st.sampled_from([0, 0, 0.3])), suppressed=draw(st.sampled_from(["drop", "star"])), **way
    )
    quasi = {
        f"q{i}": Column("quasi-identifier", KINDS[kind].hierarchy, KINDS[kind].represent)
        for i, kind in enumerate(kinds)
    }
    others = {"s": Column("sensitive"), "who": Column("identifier"), "number": Column("insensitive")}
    spec = Spec(
        source=Where(table="people"), entity="who" if draw(st.booleans()) else None, columns={**quasi, **others},
        privacy=tuple(models), recoding=recoding, publish=Publish("out"), base=Path(),
    )  # fmt: skip
    return Case(kinds, rows, spec)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with sqlanon.connect() as found, found.one_thread():
        yield found


def insert(engine: DuckDB, rows: Sequence[Sequence[Any]]) -> None:
    marks = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
    engine.run("fill", f"INSERT INTO people VALUES {marks}", [cell for row in rows for cell in row])


def fill(engine: DuckDB, case: Case) -> None:
    types = [KINDS[kind].type for kind in case.kinds] + ["VARCHAR", "VARCHAR", "INTEGER"]
    made = ", ".join(f"{name} {kind}" for name, kind in zip(case.names, types, strict=True))
    engine.run("make", f"CREATE OR REPLACE TABLE people ({made})")
    insert(engine, case.rows)


def read(engine: DuckDB) -> list[Row]:
    names = [name for name, *_ in engine.run("describe", "DESCRIBE out")]
    return [dict(zip(names, row, strict=True)) for row in engine.run("read", "FROM out")]


def tried(engine: DuckDB, case: Case) -> Release | None:
    fill(engine, case)
    try:
        return sqlanon.release(case.spec, engine)
    except ModelNotMet:
        return None


def labels_of(case: Case, name: str) -> tuple[str, ...]:
    bounds = case.spec.columns[name].represent == "bounds"
    return (f"{name}_from", f"{name}_to") if bounds else (name,)


def classes(case: Case, rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        key = str([row[label] for i in range(len(case.kinds)) for label in labels_of(case, f"q{i}")])
        found.setdefault(key, []).append(row)
    return found


def starred(case: Case, row: Row) -> bool:
    return all(row[label] in ("*", None) for i in range(len(case.kinds)) for label in labels_of(case, f"q{i}"))


@quick(40)
@given(case=cases())
def test_what_is_released_satisfies_its_models_and_every_value_is_true(engine: DuckDB, case: Case) -> None:
    made = tried(engine, case)
    if made is None:
        return
    truth, found = {row["number"]: row for row in case.records}, read(engine)
    assert max(Counter(row["number"] for row in found).values()) == 1
    lost = [number for number in truth if number not in {row["number"] for row in found}]
    stars = sum(starred(case, row) for row in found) if case.spec.recoding.suppressed == "star" else 0
    assert len(lost) <= Fraction(str(case.spec.recoding.suppression)) * len(truth)
    assert made.planned.suppressed - len(lost) in (0, *range(stars + 1))
    for row in found:
        true = truth[row["number"]]
        assert row["s"] == true["s"]
        for i, kind in enumerate(case.kinds):
            shown = tuple(row[label] for label in labels_of(case, f"q{i}"))
            assert covers_value(kind, shown, true[f"q{i}"]) or starred(case, row), (kind, shown)
    for members in classes(case, found).values():
        known = [{**row, "who": truth[row["number"]]["who"]} for row in members]
        for model in case.spec.privacy:
            assert holds(model, known, case.records, entity=case.spec.entity is not None), model
    assert made.planned.to_dict()["levels"] is None


@quick(15)
@given(case=cases())
def test_a_plan_says_what_a_release_does_and_changes_nothing(engine: DuckDB, case: Case) -> None:
    fill(engine, case)
    before = engine.run("list", "SELECT table_name FROM duckdb_tables() ORDER BY ALL")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SQLANON_KEY", "the same for both")
            planned = sqlanon.plan(case.spec, engine).to_dict()
            assert engine.run("list", "SELECT table_name FROM duckdb_tables() ORDER BY ALL") == before
            made = sqlanon.release(case.spec, engine).to_dict()
    except ModelNotMet:
        return
    assert {planned[key] for key in ("rows_in", "suppressed", "classes")} == {
        made[key] for key in ("rows_in", "suppressed", "classes")
    } or case.spec.recoding.suppressed == "star"
    if case.spec.recoding.suppressed == "drop":
        assert [m["value"] for m in planned["models"]] == pytest.approx([m["value"] for m in made["models"]])


# -- θ, noise ----------------------------------------------------------------------------------------------------------

THETA = {
    "source": {"table": "people"},
    "columns": {"age": "quasi-identifier", "sex": "quasi-identifier", "s": "sensitive", "note": "insensitive"},
    "privacy": [{"model": "k-anonymity", "k": 4}],
    "publish": {"name": "out"},
}


def theta(engine: DuckDB, rows: Sequence[tuple[Any, ...]], **more: Any) -> list[Row]:
    engine.run("make", "CREATE OR REPLACE TABLE people (age INTEGER, sex VARCHAR, s VARCHAR, note INTEGER)")
    insert(engine, rows)
    model = {"model": "theta-sensitivity", "column": "s", "mu": 0.6, **more}
    sqlanon.release({**THETA, "privacy": [*THETA["privacy"], model]}, engine)
    return read(engine)


ROWS = [(20 + 2 * i, "fm"[i % 2], "uuvwxyuz"[(i * 3) % 8], i) for i in range(32)]


@pytest.mark.parametrize("repair", REPAIRS)
def test_without_noise_every_record_is_there_once_with_its_own_value(engine: DuckDB, repair: str) -> None:
    found = theta(engine, ROWS, repair=repair)
    assert Counter((row["s"], row["note"]) for row in found) == Counter((s, note) for *_, s, note in ROWS)


@pytest.mark.parametrize("repair", ["swap", "paper"])
def test_noise_fills_what_no_exchange_can_and_is_counted(engine: DuckDB, repair: str) -> None:
    rows = [(i, "f", "u" if i % 2 else "vwxy"[i // 2 % 4], i) for i in range(16)]
    found = theta(engine, rows, repair=repair, noise=True)
    assert len(found) > len(rows)
    made = sqlanon.release({**THETA, "privacy": [*THETA["privacy"], {
        "model": "theta-sensitivity", "column": "s", "mu": 0.6, "repair": repair, "noise": True}]}, engine)  # fmt: skip
    told = made.to_dict()
    assert (told["rows_in"], told["rows_out"], told["suppressed"]) == (16, 16 + told["noise_rows"], 0)
    assert any("nobody" in note for note in told["notes"])
    assert made.entry.to_dict()["made"]["noise_rows"] == told["noise_rows"] > 0
    counts = Counter(row["s"] for row in found)
    assert all(counts[value] >= number for value, number in Counter(row[2] for row in rows).items())


def test_noise_is_refused_where_persons_are_counted_since_nobody_would_count_as_one() -> None:
    model = {"model": "theta-sensitivity", "column": "s", "mu": 0.6, "repair": "swap"}
    columns = {**THETA["columns"], "who": "identifier"}
    spec = {**THETA, "columns": columns, "entity": "who"}
    sqlanon.load({**spec, "privacy": [*THETA["privacy"], model]})
    with pytest.raises(SpecError, match="a record of nobody would count as a person"):
        sqlanon.load({**spec, "privacy": [*THETA["privacy"], {**model, "noise": True}]})


def test_noise_is_plausible_where_it_stands(engine: DuckDB) -> None:
    men = [(40, "m", "u", i) for i in range(8)]
    women = [(40, "f", "pvw"[i % 3], i) for i in range(9)]
    found = theta(engine, [*men, *women, *((40, "m", v, 0) for v in "vw")], repair="swap", noise=True)
    assert not [row for row in found if row["sex"] == "m" and row["s"] == "p"]


def test_exchanges_without_noise_leave_to_unions_what_they_cannot_do(engine: DuckDB) -> None:
    rows = [(i, "f", "u" if i % 2 else "vwxy"[i // 2 % 4], i) for i in range(16)]
    assert {row["age"] for row in theta(engine, rows, repair="swap")} == {"[0, 7]", "[8, 15]"}
    rows = [(i, "f", "u" if i else "v", i) for i in range(16)]
    with pytest.raises(ModelNotMet, match="no partition satisfies"):
        theta(engine, rows, repair="swap")


def test_a_published_column_called_as_a_working_one_changes_nothing(engine: DuckDB) -> None:
    engine.run("make", "CREATE OR REPLACE TABLE people (age INTEGER, class VARCHAR, home INTEGER)")
    engine.run("fill", "INSERT INTO people SELECT i, 'x', i FROM range(16) AS r (i)")
    sqlanon.release({"source": {"table": "people"}, "columns": {
        "age": "quasi-identifier", "class": "sensitive", "home": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": 4}], "publish": {"name": "out"}}, engine)  # fmt: skip
    assert sorted(((row["age"], row["home"]) for row in read(engine)), key=lambda row: row[1]) == [
        (f"[{i // 4 * 4}, {i // 4 * 4 + 3}]", i) for i in range(16)
    ]


@pytest.mark.parametrize("way", [{"order": "gray", "groups": "even"}, {"cuts": "strict"}, {"cuts": "relaxed"}])
def test_the_printed_sql_of_a_partition_makes_the_rows_of_the_release(
    engine: DuckDB, monkeypatch: pytest.MonkeyPatch, way: dict[str, str]
) -> None:
    monkeypatch.setenv("SQLANON_KEY", "the key of this test")
    engine.run("make", "CREATE OR REPLACE TABLE people (age INTEGER, sex VARCHAR, s VARCHAR, note INTEGER)")
    engine.run("fill", "INSERT INTO people SELECT i % 11, 'f', ['u', 'v'][i % 2 + 1], i FROM range(30) AS r (i)")
    of = {"model": "l-diversity", "column": "s", "l": 2}
    spec = {**THETA, "privacy": [*THETA["privacy"], of], "recoding": way}
    text = sqlanon.plan(spec, engine).sql(engine)
    assert "the key of this test" not in text and "sqlanon_…" not in text and "by itself" not in text
    sqlanon.release(spec, engine)
    released = engine.run("read", "SELECT * FROM out")
    engine.connection.execute("DROP TABLE out; SET VARIABLE sqlanon_key = 'the key of this test'")
    engine.connection.execute(text)
    assert engine.run("read", "SELECT * FROM out") == released
    engine.connection.execute("DROP TABLE out; RESET VARIABLE sqlanon_key")
    for (name,) in engine.run("look", "SELECT table_name FROM duckdb_tables() WHERE temporary"):
        engine.connection.execute(f'DROP TABLE temp."{name}"')


def test_the_printed_sql_says_where_it_does_not_run_by_itself(engine: DuckDB) -> None:
    engine.run("make", "CREATE OR REPLACE TABLE people AS SELECT i AS age, 'f' AS sex, 'u' AS s, i AS note"
               " FROM range(12) AS r (i)")  # fmt: skip
    spec = {**THETA, "recoding": {"groups": "best"}}
    assert "it does not run by itself" in sqlanon.plan(spec, engine).sql(engine)


def test_one_column_alone_is_cut_in_its_own_order(engine: DuckDB) -> None:
    engine.run("make", "CREATE OR REPLACE TABLE people AS SELECT i AS age, 'x' AS s FROM range(12) AS r (i)")
    spec = {**THETA, "columns": {"age": "quasi-identifier", "s": "sensitive"}}
    for order in ("splits", "gray", "hilbert"):
        sqlanon.release({**spec, "recoding": {"order": order}}, engine)
        assert Counter(row["age"] for row in read(engine)) == {"[0, 3]": 4, "[4, 7]": 4, "[8, 11]": 4}


def test_a_release_whose_columns_were_renamed_is_not_the_one_that_was_judged(engine: DuckDB) -> None:
    theta(engine, ROWS)
    assert sqlanon.life.verify(engine, "out").holds
    for one, other in (("age", "old"), ("sex", "age"), ("old", "sex")):
        engine.run("rename", f"ALTER TABLE out RENAME COLUMN {one} TO {other}")
    assert not sqlanon.life.verify(engine, "out").holds


# -- what a spec may say -----------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "source": {"table": "people"}, "columns": {"a": "quasi-identifier", "s": "sensitive"},
    "privacy": [{"model": "k-anonymity", "k": 2}], "publish": {"name": "r"},
}  # fmt: skip


def told(**more: Any) -> dict[str, Any]:
    return {**SMALL, **more}


def test_the_method_is_hilbert_unless_only_full_domain_will_do() -> None:
    assert load(SMALL).recoding.method == "hilbert"
    assert load(told(publish={"name": "r", "as": "view"})).recoding.method == "full-domain"
    assert load(told(recoding={"levels": {"a": 0}})).recoding.method == "full-domain"
    assert load(told(recoding={"loss": "discernibility"})).recoding.method == "full-domain"
    assert load(told(recoding={"cuts": "relaxed"})).recoding.method == "mondrian"
    people = {"population": {"table": "p"}, "privacy": [{"model": "k-map", "k": 2}]}
    assert load(told(**people)).recoding.method == "full-domain"


REPAIRED = {"model": "theta-sensitivity", "column": "s", "repair": "swap"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"recoding": {"method": "hilbert", "levels": {"a": 0}}}, "levels belongs to method full-domain"),
        ({"recoding": {"method": "mondrian", "order": "gray"}}, "order belongs to method hilbert"),
        ({"recoding": {"cuts": "strict", "deal": "s"}}, "belongs to method"),
        ({"recoding": {"method": "mondrian"}, "publish": {"name": "r", "as": "view"}}, "full-domain can"),
        ({"recoding": {"deal": "a"}}, "role sensitive"),
        ({"recoding": {"method": "hilbrt"}}, "hilbert"),
        ({"privacy": [*SMALL["privacy"], {**REPAIRED}], "publish": {"name": "r", "as": "view"}}, "in a partition only"),
        ({"privacy": [*SMALL["privacy"], {**REPAIRED, "repair": "round-robin"}], "recoding": {"method": "mondrian"}},
         "dealt out along the curve"),
        ({"privacy": [*SMALL["privacy"], {**REPAIRED, "repair": "merge", "noise": True}]}, "noise belongs to repair"),
        ({"columns": {"a": {"role": "quasi-identifier", "represent": "bounds"}, "s": "sensitive"},
          "recoding": {"method": "full-domain"}}, "without one, method hilbert or mondrian"),
    ],
)  # fmt: skip
def test_what_no_partition_can_do_is_refused_where_it_stands(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        load(told(**more))


# -- side by side ------------------------------------------------------------------------------------------------------


def test_the_ways_stand_side_by_side_and_say_why_they_cannot(engine: DuckDB) -> None:
    engine.run(
        "make", "CREATE OR REPLACE TABLE people AS SELECT (i * 7) % 199 AS age, ['f', 'm'][1 + i % 2] AS sex,"
        " ['u', 'v', 'w', 'x', 'y'][1 + i % 5] AS s, i AS note FROM range(400) AS r (i)"
    )  # fmt: skip
    before = engine.run("list", "SELECT table_name FROM duckdb_tables() ORDER BY ALL")
    found = sqlanon.compare(THETA, engine, sample=200)
    assert engine.run("list", "SELECT table_name FROM duckdb_tables() ORDER BY ALL") == before
    told = found.to_dict()
    assert set(told) == {"release", "engine", "sample", "whole"}
    assert (told["whole"]["rows"], 120 < told["sample"]["rows"] < 280) == (400, True)
    ways = {way["name"]: way for way in told["whole"]["ways"]}
    assert list(ways) == list(comparison.WAYS) == [way["name"] for way in told["sample"]["ways"]]
    assert all(way["problem"] is None and 0 <= way["gcp"] <= 1 for way in ways.values())
    assert ways["hilbert"]["gcp"] < ways["full-domain"]["gcp"]
    planned = sqlanon.plan({**THETA, "recoding": {"method": "mondrian"}}, engine).to_dict()
    assert (ways["mondrian"]["classes"], ways["mondrian"]["suppressed"]) == (planned["classes"], 0)
    moved = {**THETA, "privacy": [*THETA["privacy"], {**REPAIRED, "mu": 0.6}]}
    found = sqlanon.compare(moved, engine, sample=0)
    assert found.sample == ()
    problems = {way.name: way.problem for way in found.whole}
    assert "partition only" in (problems.pop("full-domain") or "")
    assert set(problems.values()) == {None}


# -- what goes wrong on the way ----------------------------------------------------------------------------------------

# Releases of the same spec, the first in the process itself, all others in one that is forked from it and dies before
# the step that it is told. The answers: how many steps the first took, then the exit status of each other.
DIES = """
import os, sys
import sqlanon
from contextlib import contextmanager
from sqlanon.engines.duckdb import DuckDB
step, at, count = DuckDB._step, 0, 0
@contextmanager
def dying(self, name):
    global count
    count += 1
    if count == at:
        os._exit(9)
    with step(self, name):
        yield
def release():
    with sqlanon.connect("duckdb:///d.duckdb") as engine:
        DuckDB._step = dying
        sqlanon.release("spec.yaml", engine)
    DuckDB._step = step
release()
print(count, flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        at, count = int(line), 0
        release()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_process_that_dies_leaves_the_release_before_it(tmp_path: Path) -> None:
    spec = {**THETA, "privacy": [*THETA["privacy"], {**REPAIRED, "mu": 0.6}]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    with sqlanon.connect(f"duckdb:///{tmp_path / 'd.duckdb'}") as engine:
        theta(engine, ROWS, repair="swap")
        before = engine.run("read", "SELECT * FROM out ORDER BY note")
        engine.run("go on", "DELETE FROM people WHERE note < 4")
    command, pipe = [sys.executable, "-c", DIES], subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin and process.stdout
        steps = int(process.stdout.readline())
        assert steps > 100
        with sqlanon.connect(f"duckdb:///{tmp_path / 'd.duckdb'}") as engine:
            after = engine.run("read", "SELECT * FROM out ORDER BY note")
            engine.run("go on", "INSERT INTO people SELECT age, sex, s, note - 100 FROM people")
        assert len(before) == len(after) + 4
        for at in range(10, steps, steps // 6):
            print(at, file=process.stdin, flush=True)
            assert int(process.stdout.readline()) == 9
            with sqlanon.connect(f"duckdb:///{tmp_path / 'd.duckdb'}") as engine:
                assert engine.run("read", "SELECT * FROM out ORDER BY note") == after
                assert sqlanon.life.verify(engine, "out").holds
                tables = engine.run("list", "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL")
                assert tables == [("main", "out"), ("main", "people"), ("sqlanon", "audit_log"), ("sqlanon", "release")]
