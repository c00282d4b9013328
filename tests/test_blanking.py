"""Removal as a step of a release: what is published holds by the oracle, and nothing but the cells was changed."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import oracle_prediction as oracle
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server import working_tables
from test_prediction import QUICK, Row, load
from tries import tries

import sqlanon
from sqlanon import life
from sqlanon.engines import Engine
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet
from sqlanon.spec import load as read_spec

KINDS = {"f": "VARCHAR", "g": "INTEGER", "w": "BIGINT", "d": "VARCHAR", "said": "VARCHAR", "id": "INTEGER"}
LEVELS = {"method": "full-domain", "levels": {"f": 0, "g": 0}}
AS_IT_IS = {**LEVELS, "suppression": 1}
SHARES = {"pragmatist": Fraction(9, 10), "fundamentalist": Fraction(7, 10), "unconcerned": Fraction(19, 20)}


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def spec(model: dict[str, Any], *others: dict[str, Any], **more: Any) -> sqlanon.Spec:
    return read_spec({
        "source": "people", "columns": {
            "f": "quasi-identifier", "g": "quasi-identifier", "w": "sensitive", "d": "sensitive", "said": "drop",
            "id": "insensitive",
        },
        "privacy": [*others, {"model": "value-prediction", "column": "w", "remove": "greedy", **model}],
        "recoding": {"method": "full-domain"}, "policy": {"preference": {"column": "said"}},
        "publish": {"name": "made"}, **more,
    })  # fmt: skip


def published(engine: Engine, name: str = "made") -> list[Row]:
    names = ["f", "g", "w", "d", "id"]
    return [
        dict(zip(names, row, strict=True))
        for row in engine.run("read", f"SELECT f, g, w, d, id FROM {engine.schema}.{name}")
    ]


@st.composite
def people(draw: st.DrawFn) -> list[Row]:
    columns = {
        "f": st.sampled_from(["x", "y", None]), "g": st.sampled_from([1, 2]), "w": st.sampled_from([1, 2, 7, 30, None]),
        "d": st.sampled_from(["p", "q"]), "said": st.sampled_from([*SHARES, None]),
    }  # fmt: skip
    rows = draw(st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=16))
    return [{**row, "id": i} for i, row in enumerate(rows)]


@settings(QUICK, max_examples=tries(15))
@given(people(), st.sampled_from(["greedy", "minimum", "iteration"]), st.sampled_from(["any", "all"]),
       st.sampled_from(["policy", "0.5", "2/3"]), st.sampled_from([0, 1, 5]), st.booleans())  # fmt: skip
def test_a_release_has_no_violation_by_the_oracle_and_all_else_is_as_it_was(
    engine: Engine, rows: list[Row], method: str, observer: str, threshold: str, margin: int, above: bool
) -> None:
    load(engine, rows, KINDS, "people")
    asked = {"margin": margin, "threshold": threshold, "remove": method, "observer": observer, "above": above}
    made = sqlanon.release(spec(asked, recoding=AS_IT_IS), engine)
    out, was = published(engine), {row["id"]: row for row in rows}
    said = (lambda row: SHARES[was[row["id"]]["said"] or "pragmatist"]) if threshold == "policy" else (
        lambda _: Fraction(threshold))  # fmt: skip
    every = [c for n in range(3) for c in combinations(("f", "g"), n)] if observer == "any" else [("f", "g")]
    assert [oracle.violations(out, fields, "w", margin, said, above) for fields in every] == [[] for _ in every]
    assert {row["id"]: {**row, "w": was[row["id"]]["w"], "said": was[row["id"]]["said"]} for row in out} == was
    assert all(row["w"] in (None, was[row["id"]]["w"]) for row in out)
    blanked = sum(row["w"] is None for row in out) - sum(row["w"] is None for row in rows)
    (told,) = made.to_dict()["blanked"]
    before = max(len(oracle.violations(rows, fields, "w", margin, said, above)) for fields in every)
    assert (told["removed"], told["violations"]) == (blanked, before)
    assert made.verdicts[0].details["blanked"] == blanked
    assert sqlanon.plan(spec(asked, recoding=AS_IT_IS), engine).to_dict()["blanked"] == [told]


@settings(QUICK, max_examples=tries(40))
@given(people(), st.sampled_from([1, 2]))
def test_other_models_of_the_column_are_judged_after_it_and_may_refuse(
    engine: Engine, rows: list[Row], least: int
) -> None:
    load(engine, rows, KINDS, "people")
    diverse = {"model": "l-diversity", "column": "w", "kind": "distinct", "l": least}
    wanted = spec({"margin": 1, "threshold": "0.5"}, diverse, recoding=AS_IT_IS)
    if engine.kind_of("made"):
        life.withdraw(engine, "made")
    try:
        planned = sqlanon.plan(wanted, engine)
        sqlanon.release(wanted, engine)
    except ModelNotMet:
        assert engine.kind_of("made") is None
        return
    assert planned.holds
    out = published(engine)
    values = {(row["f"], row["g"]): {r["w"] for r in out if (r["f"], r["g"]) == (row["f"], row["g"])} for row in out}
    assert all(len(found) >= least for found in values.values())


def example(engine: Engine) -> None:
    rows = [
        {"f": f, "g": g, "w": w, "d": d, "said": None, "id": i}
        for i, (f, g, w, d) in enumerate([
            ("x", 1, 70, "p"), ("x", 1, 71, "q"), ("x", 1, 72, "p"), ("x", 1, 100, "q"), ("y", 1, 30, "p"),
            ("y", 1, 50, "q"), ("y", 1, 60, "p"), ("y", 2, 90, "p"), ("y", 2, 110, "p"), ("y", 2, 10, "q"),
        ])
    ]  # fmt: skip
    load(engine, rows, KINDS, "people")


def test_a_refusal_says_what_does_not_hold_and_leaves_what_was_published(engine: Engine) -> None:
    example(engine)
    sqlanon.release(spec({"margin": 5, "threshold": "0.75"}, recoding=LEVELS), engine)
    before = published(engine)
    assert Counter(row["w"] is None for row in before)[True] == 1
    close = {"model": "t-closeness", "column": "w", "t": 1}
    with pytest.raises(ModelNotMet, match="t-closeness of w"):
        sqlanon.release(spec({"margin": 5, "threshold": "0.75"}, close, recoding=LEVELS), engine)
    assert published(engine) == before
    assert life.verify(engine, "made").holds


def test_two_models_of_one_column_hold_together(engine: Engine) -> None:
    example(engine)
    other = {"model": "value-prediction", "column": "w", "margin": 30, "threshold": "0.8", "remove": "greedy"}
    made = sqlanon.release(spec({"margin": 5, "threshold": "0.75"}, other, recoding=LEVELS), engine)
    assert [v.holds for v in made.verdicts] == [True, True]
    out = published(engine)
    for margin, share in ((5, Fraction(3, 4)), (30, Fraction(4, 5))):
        for fields in ((), ("f",), ("g",), ("f", "g")):
            assert oracle.violations(out, fields, "w", margin, lambda _, share=share: share) == []
    assert sum(one["removed"] for one in made.to_dict()["blanked"]) == sum(row["w"] is None for row in out)


def test_a_column_of_one_value_is_emptied_and_the_release_says_so(engine: Engine) -> None:
    load(engine, [{"f": "x", "g": 1, "w": 5, "d": "p", "said": None, "id": i} for i in range(6)], KINDS, "people")
    made = sqlanon.release(spec({"margin": 0, "threshold": "0.9"}, recoding=AS_IT_IS), engine)
    assert {row["w"] for row in published(engine)} == {None}
    assert made.planned.notes[-1] == "6 of 6 values of w (100.0%) are blanked, for 6 violations (greedy)"


def counted_by(entity: str, **publish: Any) -> sqlanon.Spec:
    """Three persons at least in each class, and the cells of those blanked who could be predicted too well."""
    columns = {
        "f": "quasi-identifier", "g": "quasi-identifier", "w": "sensitive", "d": "sensitive", "said": "drop",
        entity: "identifier",
    }  # fmt: skip
    return spec(
        {"margin": 5, "threshold": "policy"}, {"model": "k-anonymity", "k": 3}, entity=entity, columns=columns,
        publish={"name": "kept", **publish}, policy={"preference": "pragmatist", "sensitivity": {"w": "high"}},
    )  # fmt: skip


def test_in_a_file_the_manifest_tells_what_was_blanked(tmp_path: Path) -> None:
    with DuckDB() as engine:
        example(engine)
        sqlanon.release(counted_by("id", **{"as": "file", "path": str(tmp_path / "kept.parquet")}), engine)
        facts = json.loads(engine.parquet_facts(tmp_path / "kept.parquet") or "")
        (promise,) = [p for p in facts["promises"] if p["model"] == "value-prediction"]
        read = engine.run("read", f"SELECT count(*) - count(w) FROM '{tmp_path / 'kept.parquet'}'")
        assert read == [(promise["details"]["blanked"],)]
        assert promise["details"]["blanked"] > 0
        assert life.verify(engine, str(tmp_path / "kept.parquet")).holds


def test_where_persons_are_counted_the_register_tells_what_was_blanked(engine: Engine) -> None:
    example(engine)
    entry = sqlanon.release(counted_by("id"), engine).entry
    (promise,) = [p for p in json.loads(entry.promises) if p["model"] == "value-prediction"]
    read = engine.run("read", f"SELECT count(*) - count(w) FROM {engine.schema}.kept")
    assert read == [(promise["details"]["blanked"],)]
    assert promise["details"]["blanked"] > 0
    assert life.verify(engine, "kept").holds


@pytest.mark.parametrize("method", ["hilbert", "mondrian", "full-domain"])
def test_it_works_after_every_method(engine: Engine, method: str) -> None:
    example(engine)
    diverse = {"model": "l-diversity", "column": "d", "kind": "distinct", "l": 2}
    wanted = spec({"margin": 5, "threshold": "policy"}, {"model": "k-anonymity", "k": 3}, diverse,
                  recoding={"method": method, "suppression": 0.4})  # fmt: skip
    made = sqlanon.release(wanted, engine)
    out = published(engine)
    for fields in ((), ("f",), ("g",), ("f", "g")):
        assert oracle.violations(out, fields, "w", 5, lambda _: SHARES["pragmatist"]) == []
    assert all(v.holds for v in made.verdicts)
    assert [v.model for v in made.verdicts] == ["k-anonymity", "l-diversity", "value-prediction"]
    assert made.to_dict()["blanked"][0]["removed"] == sum(row["w"] is None for row in out)


def test_a_frame_is_anonymized_alike() -> None:
    frame = pd.DataFrame({"f": ["x"] * 4, "g": [1] * 4, "w": [100, 70, 71, 72], "d": ["p"] * 4, "said": [None] * 4,
                          "id": range(4)})  # fmt: skip
    out = sqlanon.anonymize(frame.astype({"said": "string"}), spec({"margin": 5, "threshold": "0.75"}))
    assert sorted(out["w"].dropna()) == [71, 72, 100]


def test_usefulness_is_that_of_what_is_published(engine: Engine) -> None:
    example(engine)
    measured = engine.name == "duckdb"
    planned = sqlanon.plan(spec({"margin": 0, "threshold": "0.1"}), engine, utility=measured)
    assert planned.blanked[0].removed > 0
    assert (planned.usefulness is not None) is measured
    assert working_tables(engine) == []


def test_the_sql_of_a_plan_says_what_is_not_in_it(engine: Engine) -> None:
    example(engine)
    planned = sqlanon.plan(spec({"margin": 5, "threshold": "0.75"}, recoding=LEVELS), engine)
    assert "-- not in this statement: 1 of 10 values of w (10.0%) are blanked" in planned.sql(engine)
