"""SUDA2's scores as the engine counts them, against all subsets of all records; the worked vector; edges."""

from __future__ import annotations

import math
from collections.abc import Sequence

import oracle_risk as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_measures import load
from test_risk import Row, measured, tables
from test_vectors import vector
from tries import tries

from sqlanon.combinations import CODED, Combinations
from sqlanon.engines import Engine, Origin
from sqlanon.suda import Levels, dis_of, file_dis, suda_scores


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def scores(engine: Engine, rows: Sequence[Row], keys: Sequence[str], most: int) -> list[int]:
    """The score of every row, read back through the coded combinations."""
    load(engine, "people", [{**row, "row number": i} for i, row in enumerate(rows)])
    with Combinations(engine, Origin(relation="people"), keys) as found, Levels(found, most) as levels:
        asked = levels.scored()
        names = ", ".join(f'd{i}.value AS "v{i}"' for i in range(len(keys)))
        joins = " ".join(f'JOIN "sqlanon values {i}" AS d{i} ON d{i}.code = c."key {i}"' for i in range(len(keys)))
        text = f'SELECT {names}, s.score FROM ({engine.rendered(asked)}) AS s JOIN "{CODED}" AS c USING (id) {joins}'
        told = {tuple(row[:-1]): row[-1] for row in engine.run("read the scores", text)}
    return [told.get(tuple(row[key] for key in keys), 0) for row in rows]


@given(tables(("a", "b", "c", "d", "e")), st.integers(1, 4))
@settings(max_examples=tries(80), deadline=None)
def test_suda_scores_every_record_as_all_of_its_minimal_uniques_say(
    engine: Engine, table: tuple[list[Row], tuple[str, ...]], most: int
) -> None:
    rows, keys = table
    if len(keys) < 2:
        return
    most = min(most, len(keys) - 1)
    wanted = oracle.suda(rows, keys, most)
    assert scores(engine, rows, keys, most) == wanted
    with Combinations(engine, Origin(relation="people"), keys) as found:
        made = suda_scores(found, oracle.histogram(rows, keys), size=most, fraction=0.1, threshold=0.15)
    whole, each = oracle.dis(rows, keys, wanted, 0.1)
    assert made.dis == pytest.approx(whole)
    assert {one.score: one.records for one in made.scores} == {score: wanted.count(score) for score in set(wanted)}
    for one in made.scores:
        assert one.dis == pytest.approx(each[wanted.index(one.score)])
    assert made.above == sum(value >= 0.15 for value in each)
    uniques = [columns for found in oracle.minimal_uniques(rows, keys, most) for columns in found]
    assert made.sets == {size: sum(len(c) == size for c in uniques) for size in range(1, most + 1)}
    points = {key: sum(math.factorial(len(keys) - len(c)) for c in uniques if key in c) for key in keys}
    assert made.contributions == pytest.approx({key: points[key] / (sum(wanted) or 1) for key in keys})
    assert list(made.contributions.values()) == sorted(made.contributions.values(), reverse=True)


def test_suda_scores_the_vector(engine: Engine) -> None:
    found = vector("suda2")
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    keys, wanted, fraction = found["columns"], found["expected"], found["params"]["sampling_fraction"]
    assert scores(engine, rows, keys, 3) == wanted["suda_score"] == oracle.suda(rows, keys, 3)
    minimal = oracle.minimal_uniques(rows, keys, 3)
    assert [{frozenset(text.split("+")) for text in each} for each in wanted["msu"]] == minimal
    with Combinations(engine, Origin(relation="people"), keys) as there:
        made = suda_scores(there, oracle.histogram(rows, keys), fraction=fraction)
    assert made.dis == pytest.approx(wanted["DIS_file"], rel=1e-12)
    of = {one.score: one.dis for one in made.scores}
    assert [of[score] for score in wanted["suda_score"]] == pytest.approx(wanted["dis_suda_sdcMicro"], rel=1e-12)
    assert (made.uniques, made.pairs, made.size, made.assumed) == (5, 1, 3, False)


@pytest.mark.parametrize("early", [0, 10**12])
def test_leaving_out_known_uniques_early_or_late_gives_the_same_scores(
    engine: Engine, early: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlanon.suda._EARLY", early)
    rows = [{"a": i % 7, "b": i % 5, "c": i % 3, "d": (i * i) % 11, "e": i % 2} for i in range(40)]
    keys = ["a", "b", "c", "d", "e"]
    assert scores(engine, rows, keys, 4) == oracle.suda(rows, keys, 4)


def test_a_table_without_uniques_has_no_scores(engine: Engine) -> None:
    found = measured(engine, [{"a": 1, "b": 2}] * 3, ["a", "b"], suda=True).suda
    assert found
    assert (found.dis, found.above, [(s.score, s.records, s.dis) for s in found.scores]) == (0, 0, [(0, 3, 0)])
    assert set(found.contributions.values()) == {0}
    assert (found.fraction, found.assumed) == (0.01, True)


def test_the_dis_of_a_sample_that_is_everybody_is_certain() -> None:
    assert file_dis(5, 3, 1.0) == 1
    assert file_dis(0, 3, 0.5) == 0
    assert dis_of(6, {6: 2, 2: 1}, 3, 1.0, 4) == 1
