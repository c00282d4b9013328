"""Cell suppression: one value blanked keeps a record, or it is dropped; read back, and held against a slow greedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tries import tries

import sqlanon
from sqlanon import life
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.recoding.cells import UNDONE
from sqlanon.release import Release, release
from sqlanon.spec import load

QI = "quasi-identifier"
NAMES = ('"; DROP TABLE x; --', "class number", "$blank")
Row = tuple[Any, ...]  # three quasi-identifiers, the sensitive value, the person
Holds = Callable[[list[Row]], bool]


@pytest.fixture
def engine() -> Iterator[DuckDB]:
    with sqlanon.connect() as found:
        yield found


def table(engine: DuckDB, rows: list[Row]) -> None:
    quoted = ['"' + name.replace('"', '""') + '" VARCHAR' for name in NAMES]
    engine.run("make", f"CREATE OR REPLACE TABLE t ({', '.join(quoted)}, s VARCHAR, p INTEGER)")
    places = ", ".join("(?, ?, ?, ?, ?)" for _ in rows)
    engine.run("fill", f"INSERT INTO t VALUES {places}", [cell for row in rows for cell in row])


def spec(models: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    columns = {**dict.fromkeys(NAMES, QI), "s": "sensitive", "p": "identifier"}
    levels = {"method": "full-domain", "levels": dict.fromkeys(NAMES, 0)}
    recoding = {**levels, "suppression": 1, "suppressed": "cell", **more.pop("recoding", {})}
    return {
        "source": "t",
        "columns": columns,
        "privacy": models,
        "publish": {"name": "rel"},
        "recoding": recoding,
        **more,
    }


MODELS: dict[str, tuple[list[dict[str, Any]], dict[str, Any], Holds]] = {
    "two records": ([{"model": "k-anonymity", "k": 2}], {}, lambda rows: len(rows) >= 2),
    "three records": ([{"model": "k-anonymity", "k": 3}], {}, lambda rows: len(rows) >= 3),
    "two persons": (
        [{"model": "k-anonymity", "k": 2}], {"entity": "p"}, lambda rows: len({row[4] for row in rows}) >= 2,
    ),
    "two values": (
        [{"model": "l-diversity", "column": "s", "l": 2}], {}, lambda rows: len({row[3] for row in rows}) >= 2,
    ),
    "even values": (
        [{"model": "k-anonymity", "k": 2}, {"model": "alpha-k-anonymity", "column": "s", "alpha": 0.5}], {},
        lambda rows: len(rows) >= 2 and 2 * max(Counter(row[3] for row in rows).values()) <= len(rows),
    ),
}  # fmt: skip


def slow(rows: list[Row], holds: Holds) -> tuple[list[Row], int]:
    """The greedy choice, row by row; the rows that are kept, and how many got a blank."""
    found, blanked = list(rows), [False] * len(rows)

    def classes() -> dict[Row, list[int]]:
        made: dict[Row, list[int]] = {}
        for i, row in enumerate(found):
            made.setdefault(row[:3], []).append(i)
        return made

    def failing() -> list[int]:
        return [i for members in classes().values() if not holds([found[m] for m in members]) for i in members]

    while True:
        failed, best, column = failing(), list[int](), 0
        for c in range(3):
            pool: dict[Row, list[int]] = {}
            for i, row in enumerate(found):
                if row[c] is None or (i in failed and not blanked[i]):
                    pool.setdefault((*row[:c], None, *row[c + 1 : 3]), []).append(i)
            saved = [
                i for members in pool.values() if holds([found[m] for m in members]) for i in members
                if i in failed and found[i][c] is not None
            ]  # fmt: skip
            if len(saved) > len(best):
                best, column = saved, c
        if not best:
            break
        for i in best:
            found[i] = (*found[i][:column], None, *found[i][column + 1 :])
            blanked[i] = True
    lost = set(failing())
    return [row for i, row in enumerate(found) if i not in lost], sum(blanked)


values = st.sampled_from(["a", "b", None, "'; --"]) | st.just("a")
tables = st.lists(
    st.tuples(values, values, values, st.sampled_from(["u", "v", None]), st.integers(1, 4)), min_size=1, max_size=20
)


@pytest.mark.parametrize("wanted", MODELS)
@settings(max_examples=tries(50), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(rows=tables)
def test_a_blank_is_the_greedy_choice_and_every_class_holds(wanted: str, rows: list[Row]) -> None:
    models, more, holds = MODELS[wanted]
    kept, cells = slow(rows, holds)
    with sqlanon.connect() as engine:
        table(engine, rows)
        try:
            made = release(load(spec(models, **more)), engine)
        except ModelNotMet:
            # A transformation that keeps nobody before the blanking is none.
            assert not kept or not any(holds([r for r in rows if r[:3] == row[:3]]) for row in rows)
            return
        found = engine.run("read", "SELECT * FROM rel")
        assert Counter(found) == Counter(row[:4] for row in kept)
        told = made.to_dict()
        assert (told["cells_blanked"], told["suppressed"]) == (cells, len(rows) - len(kept))
        assert told["classes"] == len({row[:3] for row in kept})
        assert life.verify(engine, "rel").holds


PLAIN: list[Row] = [
    ("x", "y", "z", "u", 0), ("x", "y", "z", "v", 1), ("x", "q", "z", "u", 2), ("x", "r", "z", "v", 3),
    ("o", "o", "o", "u", 4),
]  # fmt: skip


def test_a_record_that_differs_in_one_value_is_kept_without_it_and_one_that_differs_in_all_is_dropped(
    engine: DuckDB,
) -> None:
    table(engine, PLAIN)
    made = release(load(spec([{"model": "k-anonymity", "k": 2}])), engine)
    assert Counter(engine.run("read", "SELECT * FROM rel")) == {
        ("x", "y", "z", "u"): 1, ("x", "y", "z", "v"): 1, ("x", None, "z", "u"): 1, ("x", None, "z", "v"): 1,
    }  # fmt: skip
    told = made.to_dict()
    assert (told["rows_out"], told["suppressed"], told["cells_blanked"]) == (4, 1, 2)
    assert any("one value blanked" in note for note in told["notes"])
    assert made.entry.to_dict()["made"] == {"cells_blanked_at_most": 10}
    comments = engine.run("read", "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'rel'")
    assert all(("missing in some records" in comment) == (name != "s") for name, comment in comments if comment)


def test_the_limit_counts_the_records_with_a_blank(engine: DuckDB) -> None:
    table(engine, PLAIN)
    for share, possible in ((0.6, True), (0.4, False)):
        wanted = load(spec([{"model": "k-anonymity", "k": 2}], recoding={"suppression": share}))
        if possible:
            assert release(wanted, engine).to_dict()["cells_blanked"] == 2
        else:
            with pytest.raises(ModelNotMet):
                release(wanted, engine)


def test_both_bounds_of_a_blanked_value_are_missing(engine: DuckDB) -> None:
    engine.run("make", "CREATE TABLE t AS SELECT unnest([1, 1, 12, 23]) AS a, unnest([1, 1, 5, 5]) AS b, 'v' AS s")
    bounds = {"role": QI, "hierarchy": {"width": [10]}, "represent": "bounds"}
    columns = {"a": bounds, "b": QI, "s": "sensitive"}
    recoding = {"levels": {"a": 1, "b": 0}, "method": "full-domain", "suppression": 1, "suppressed": "cell"}
    release(load({**spec([{"model": "k-anonymity", "k": 2}]), "columns": columns, "recoding": recoding}), engine)
    assert Counter(engine.run("read", "SELECT a_from, a_to, b FROM rel")) == {(0, 10, 1): 2, (None, None, 5): 2}


def test_a_model_about_the_whole_table_that_blanks_would_break_undoes_them(engine: DuckDB) -> None:
    rows: list[Row] = [("x", "y", "z", "u", i) for i in range(8)] + [PLAIN[2], PLAIN[3]]
    table(engine, rows)
    risk = [{"model": "k-anonymity", "k": 2}, {"model": "average-risk", "risk": 0.125}]
    made = release(load(spec(risk)), engine)
    assert UNDONE in made.to_dict()["notes"]
    assert (made.to_dict()["rows_out"], made.to_dict()["cells_blanked"]) == (8, 0)


@pytest.mark.parametrize("form", ["out.parquet", "out.duckdb"])
def test_files_hold_blanked_cells_too(engine: DuckDB, tmp_path: Path, form: str) -> None:
    table(engine, PLAIN)
    place = {"name": "rel", "as": "file", "path": str(tmp_path / form)}
    release(load(spec([{"model": "k-anonymity", "k": 2}], publish=place)), engine)
    with duckdb.connect(str(tmp_path / form) if form.endswith("duckdb") else ":memory:") as file:
        rows = file.execute(f"SELECT * FROM {'rel' if form.endswith('duckdb') else repr(str(tmp_path / form))}")
        assert sorted(row[1] or "" for row in rows.fetchall()) == ["", "", "y", "y"]


@pytest.mark.parametrize("method", ["mondrian", "hilbert"])
@settings(max_examples=tries(40), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(rows=tables)
def test_a_partition_may_blank_too_and_every_class_holds(method: str, rows: list[Row]) -> None:
    models = [{"model": "k-anonymity", "k": 2}, {"model": "alpha-k-anonymity", "column": "s", "alpha": 0.5}]
    with sqlanon.connect() as engine:
        table(engine, rows)
        made: list[Release | None] = []
        for suppressed in ("drop", "cell"):
            recoding = {"method": method, "suppression": 0.7, "suppressed": suppressed, "levels": None}
            try:
                made.append(release(load(spec(models, recoding=recoding)), engine))
            except ModelNotMet:
                made.append(None)
        assert made[0] is not None or made[1] is None
        if made[1] is None:
            return
        found = engine.run("read", "SELECT * FROM rel")
        for key in {row[:3] for row in found}:
            counts = Counter(row[3] for row in found if row[:3] == key)
            assert counts.total() >= 2 and 2 * max(counts.values()) <= counts.total()
        told = made[1].to_dict()
        assert len(found) == len(rows) - told["suppressed"]


def test_the_printed_sql_makes_the_same_release(engine: DuckDB) -> None:
    table(engine, PLAIN)
    wanted = load(spec([{"model": "k-anonymity", "k": 2}]))
    text = sqlanon.plan(wanted, engine).sql(engine)
    engine.run("run the script", text)
    by_hand = Counter(engine.run("read", "SELECT * FROM rel"))
    engine.run("clear", "DROP TABLE rel")
    assert by_hand.total() == 4
    with engine.working():
        release(wanted, engine)
    assert Counter(engine.run("read", "SELECT * FROM rel")) == by_hand
    assert "'q'" not in text  # no value of a rare record stands in the script


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"publish": {"name": "rel", "as": "view"}}, "cells cannot be blanked in a view: which value"),
        ({"population": "t", "privacy": [{"model": "k-map", "k": 2}]}, "k-map cannot be judged with blanked cells"),
        ({"privacy": [{"model": "k-m-anonymity", "column": "s", "k": 2, "m": 2, "separator": ","}]}, "be judged"),
        ({"privacy": [{"model": "theta-sensitivity", "column": "s", "mu": 0.5, "k": 3, "repair": "swap"}],
          "recoding": {"method": "hilbert", "suppressed": "cell"}}, "changed in another way"),
    ],
)  # fmt: skip
def test_where_no_cell_can_be_blanked_it_is_refused_with_the_reason(change: dict[str, Any], says: str) -> None:
    wanted = {**spec([{"model": "k-anonymity", "k": 2}]), **change}
    with pytest.raises(SpecError, match=says) as caught:
        load(wanted)
    assert "recoding.suppressed" in str(caught.value)
