"""Releases that are judged by what can be predicted: the same rows on both engines, and what only Postgres has."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import oracle_prediction as oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import as_role, execute, fetch, made, working_tables
from test_postgres_release import ENGINES_OWN, SPEC, clinic, rounded

import sqlanon
from sqlanon import life
from sqlanon.cli import main
from sqlanon.engines import Engine, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.exploring import explore
from sqlanon.margins import margin
from sqlanon.models import ValuePrediction
from sqlanon.prediction import Target

__all__ = ["clinic"]  # a fixture

Row = dict[str, Any]
QI = "quasi-identifier"
DAY = date(2020, 2, 28)
# The type of the sensitive column, its values, and the margins that somebody may ask for.
VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    "BIGINT": ([1, 2, 7, 30], [0, 1, 5]),
    "DECIMAL(9, 2)": ([Decimal("0.10"), Decimal("0.35"), Decimal("0.60"), Decimal("-7")], [0, "0.25"]),
    "DOUBLE PRECISION": ([0.0, -0.0, 0.1, 0.3, 70.1, 75.1], [0, "0.2", 5]),
    "DATE": ([DAY, DAY + timedelta(1), DAY + timedelta(40)], ["1d", "2d"]),
    "TIMESTAMP": ([f"{DAY} 23:30:00", f"{DAY} 23:30:01", f"{DAY} 10:00:00"], ["0s", "1s", "1d"]),
    "VARCHAR": (["a", "A", "b", "ä", ""], [None]),
}


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Engine, Engine]]:
    with DuckDB() as there, there.one_thread(), sqlanon.connect(database, superuser=True) as here:
        yield there, here


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Row], dict[str, str], dict[str, Any]]:
    """Records, the types of their columns, and a spec without source and publish."""
    kind = draw(st.sampled_from(list(VALUES)))
    domain, margins = VALUES[kind]
    columns = {
        "f": st.sampled_from(["x", "X", "_", "ä", None]), "g": st.sampled_from([11, 12, 27, None]),
        "w": st.sampled_from([*domain, None]), "said": st.sampled_from(["unconcerned", "fundamentalist", None]),
        "note": st.sampled_from(["b", "B", "a", "A", "é", " a", None]), "much": st.sampled_from([-0.5, 0.0, 2e9, None]),
    }  # fmt: skip
    rows = draw(st.lists(st.fixed_dictionaries(columns), min_size=draw(st.integers(1, 15)), max_size=24))
    kinds = {"f": "VARCHAR", "g": "INTEGER", "w": kind, "said": "VARCHAR", "note": "VARCHAR"}
    model = {
        "model": "value-prediction", "column": "w", "margin": draw(st.sampled_from(margins)),
        "threshold": draw(st.sampled_from(["policy", "0.5", "2/3"])), "observer": draw(st.sampled_from(["any", "all"])),
        "above": draw(st.booleans()), "remove": draw(st.sampled_from(["greedy", "minimum", "iteration", None])),
    }  # fmt: skip
    spec = {
        "columns": {"f": QI, "g": {"role": QI, "hierarchy": {"width": [10]}}, "w": "sensitive", "said": "drop",
                    "note": "insensitive", "much": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": draw(st.sampled_from([1, 2]))},
                    {key: value for key, value in model.items() if value is not None}],
        "recoding": {"method": "full-domain", "suppression": draw(st.sampled_from([0, 0.5, 1]))},
        "policy": {"preference": {"column": "said"}},
        "rules": [f"IF violations(w) > {draw(st.integers(0, 9))} THEN block"],
    }  # fmt: skip
    return rows, {**kinds, "much": "DOUBLE PRECISION"}, spec


def tried(
    engine: Engine, rows: Sequence[Row], kinds: Mapping[str, str], spec: dict[str, Any]
) -> sqlanon.Release | None:
    """The release on one engine, or None where nothing can be released."""
    if engine.kind_of("guessed"):
        life.withdraw(engine, "guessed")
    made(engine, "people", kinds, rows)
    with suppress(ModelNotMet):
        return sqlanon.release({"source": "people", **spec, "publish": {"name": "guessed"}}, engine)
    return None


@given(cases())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_the_same_cells_are_blanked_and_the_same_rules_block_on_both_engines(
    both: tuple[Engine, Engine], case: tuple[list[Row], dict[str, str], dict[str, Any]]
) -> None:
    there, here = (tried(engine, *case) for engine in both)
    assert (there is None) == (here is None)
    if there is None or here is None:
        assert both[1].kind_of("guessed") is None
        return
    told = [
        {k: v for k, v in {**found.to_dict(), "notes": found.planned.notes}.items() if k not in ENGINES_OWN}
        for found in (there, here)
    ]
    assert rounded(told[1]) == rounded(told[0])
    rows = [engine.run("read", f"SELECT * FROM {engine.schema}.guessed") for engine in both]
    assert Counter(map(str, rows[1])) == Counter(map(str, rows[0]))
    assert life.verify(both[1], "guessed").holds
    assert working_tables(both[1]) == []


@pytest.mark.parametrize("method", ["greedy", "minimum", "iteration"])
def test_of_hundreds_of_records_the_same_cells_are_blanked(both: tuple[Engine, Engine], method: str) -> None:
    draw = random.Random(method)
    kinds = {"f": "VARCHAR", "g": "INTEGER", "h": "BOOLEAN", "w": "DOUBLE PRECISION", "said": "VARCHAR",
             "note": "VARCHAR"}  # fmt: skip
    rows = [
        {"f": draw.choice("xXyä"), "g": draw.randrange(12), "h": draw.random() < 0.5,
         "w": draw.choice([None, 0.0, -0.0, *(draw.randrange(400) / 10 for _ in range(3))]),
         "said": draw.choice(["unconcerned", "fundamentalist", None]), "note": draw.choice(["b", "B", "a", "é", " a"])}
        for _ in range(300)
    ]  # fmt: skip
    spec = {
        "columns": {"f": QI, "g": {"role": QI, "hierarchy": {"width": [5]}}, "h": QI, "w": "sensitive",
                    "said": "drop", "note": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": 3},
                    {"model": "value-prediction", "column": "w", "margin": "2.5", "threshold": "policy",
                     "remove": method, "seed": 3 if method == "iteration" else 0}],
        "recoding": {"method": "full-domain", "suppression": 0.1},
        "policy": {"preference": {"column": "said"}, "sensitivity": {"w": "high"}},
    }  # fmt: skip
    there, here = (tried(engine, rows, kinds, spec) for engine in both)
    assert there and here
    assert here.planned.blanked == there.planned.blanked
    assert 0 < here.planned.blanked[0].removed < here.planned.blanked[0].values
    found = [engine.run("read", f"SELECT * FROM {engine.schema}.guessed") for engine in both]
    assert Counter(map(str, found[1])) == Counter(map(str, found[0]))


# -- what only Postgres has --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgres(both: tuple[Engine, Engine]) -> Engine:
    return both[1]


MODEL = {"model": "value-prediction", "column": "w", "margin": 5, "threshold": "0.75", "remove": "greedy"}
AS_IT_IS = {"columns": {"f": QI, "w": "sensitive", "c": "insensitive"}, "privacy": [MODEL],
            "recoding": {"method": "full-domain", "levels": {"f": 0}}}  # fmt: skip


@pytest.mark.parametrize("kind", ["NUMERIC", "NUMERIC(9, 2)"])
@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_decimal_that_is_no_number_is_a_violation_and_is_not_called_safe(
    postgres: Engine, kind: str, value: str
) -> None:
    if (kind, value) == ("NUMERIC(9, 2)", "Infinity"):
        return  # a column with digits holds none
    made(postgres, "people", {"f": "TEXT", "w": kind}, [{"f": "x", "w": w} for w in ("1", "50", "90", "130", value)])
    (found,) = sqlanon.check(
        "people", quasi_identifiers=["f"], models=[ValuePrediction("w", margin=5)], engine=postgres
    ).verdicts
    assert (found.value, found.holds) == (1, False)
    with pytest.raises(SpecError, match="1 records hold a value that is infinite"):
        explore(postgres, Origin(relation="people"), Target("w", margin(5)), ["f"])


def test_a_numeric_without_declared_digits_is_not_rounded_at_the_margin(postgres: Engine) -> None:
    values = ["1", "6", "20", "25.0000000000000000000001", "1e30", "1000000000000000000000000000005"]
    made(postgres, "people", {"f": "TEXT", "w": "NUMERIC"}, [{"f": str(i // 2), "w": w} for i, w in enumerate(values)])
    model = ValuePrediction("w", margin=5, threshold="1", observer="all")
    (found,) = sqlanon.check("people", quasi_identifiers=["f"], models=[model], engine=postgres).verdicts
    assert (found.value, found.classes_violating, found.rows_violating) == (2, 2, 4)


def test_a_threshold_of_more_digits_is_read_downwards(postgres: Engine) -> None:
    """0.66666666666666666666 is less than 2/3; rounded to 18 decimals it would be more."""
    rows = [{"f": "x", "w": w, "t": "0.66666666666666666666"} for w in (1, 1, 9)]
    made(postgres, "people", {"f": "TEXT", "w": "INT", "t": "NUMERIC"}, rows)
    model = ValuePrediction("w", margin=0, threshold_column="t")
    (found,) = sqlanon.check("people", quasi_identifiers=["f"], models=[model], engine=postgres).verdicts
    assert found.value == 2


def test_columns_keep_their_types_where_cells_are_blanked(postgres: Engine) -> None:
    kinds = {"f": "VARCHAR(7)", "w": "NUMERIC(7, 1)", "c": "CHAR(3)"}
    made(postgres, "people", kinds, [{"f": "x", "w": w, "c": "c"} for w in (1, 2, 3, 50)])
    types = []
    for model in (MODEL, {**MODEL, "threshold": 1, "above": True, "remove": None}):
        privacy = [{key: value for key, value in model.items() if value is not None}]
        sqlanon.release({"source": "people", **AS_IT_IS, "privacy": privacy, "publish": {"name": "typed"}}, postgres)
        types.append([(c.name, c.type) for c in postgres.columns(Origin(relation="releases.typed"))])
    assert types[0] == types[1]


def test_texts_that_look_different_are_different_whatever_the_collation(postgres: Engine) -> None:
    kinds = {"f": "VARCHAR COLLATE public.careless", "w": "VARCHAR COLLATE public.careless", "c": "TEXT"}
    careless = "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
    postgres.run("make", f"CREATE COLLATION IF NOT EXISTS public.careless {careless}")
    rows = [{"f": f, "w": w, "c": str(i)} for i, (f, w) in enumerate(
        [("a", "x"), ("a", "X"), ("A", "x"), ("A", "x"), ("A", "y"), ("b", "z"), ("b", None)])]  # fmt: skip
    made(postgres, "people", kinds, rows)
    model = {**MODEL, "margin": 0, "threshold": "0.6"}
    told = sqlanon.release({"source": "people", **AS_IT_IS, "privacy": [model], "publish": {"name": "cared"}}, postgres)
    out = [dict(zip("fwc", row, strict=True)) for row in postgres.run("read", "SELECT f, w, c FROM releases.cared")]
    for fields in ((), ("f",)):
        assert oracle.violations(out, fields, "w", 0, lambda _: Fraction(3, 5)) == []
    assert told.planned.blanked[0].violations == len(oracle.violations(rows, ("f",), "w", 0, lambda _: Fraction(3, 5)))
    assert sum(row["w"] is None for row in out) == 1 + told.planned.blanked[0].removed


@pytest.mark.parametrize("bound", [1, 5])
def test_a_rule_is_judged_before_a_view_is_published(postgres: Engine, bound: int) -> None:
    postgres.run("make", "DROP TABLE IF EXISTS public.watched CASCADE")
    postgres.run("make", "CREATE TABLE public.watched AS SELECT 'x' AS f, 'c' AS c, unnest(ARRAY[1, 2, 3, 90]) AS w")
    spec = {"source": "watched", **AS_IT_IS, "privacy": [{"model": "k-anonymity", "k": 2}],
            "predictions": {"w": {"margin": 5, "threshold": 0.75}}, "publish": {"name": "window", "as": "view"},
            "rules": [f"IF violations(w) > {bound} THEN block"]}  # fmt: skip
    if bound == 1:
        with pytest.raises(ModelNotMet, match="a rule blocks"):
            sqlanon.release(spec, postgres)
        assert postgres.kind_of("window") is None
        return
    (rule,) = sqlanon.release(spec, postgres).planned.rules
    assert rule.numbers == {"violations(w)": 3}
    assert len(postgres.run("read", "SELECT * FROM releases.window")) == 4


def test_policies_are_found_by_a_key_that_their_table_sorts_in_another_way(postgres: Engine) -> None:
    postgres.run("make", "DROP TABLE IF EXISTS public.agreed")
    postgres.run("make", 'CREATE TABLE public.agreed (f TEXT COLLATE "POSIX", said TEXT)')
    postgres.run("fill", "INSERT INTO public.agreed VALUES ('x', 'fundamentalist')")
    made(
        postgres,
        "people",
        {"f": "TEXT", "w": "INT", "c": "TEXT"},
        [{"f": "x", "w": w, "c": "c"} for w in (1, 2, 3, 90)],
    )
    policy = {"preference": {"column": "said"}, "table": {"key": "f", "table": "agreed"}}
    spec = {"source": "people", **AS_IT_IS, "privacy": [{**MODEL, "threshold": "policy"}], "policy": policy,
            "publish": {"name": "agreed_to"}}  # fmt: skip
    assert sqlanon.release(spec, postgres).planned.blanked[0].violations == 3


def test_a_publisher_without_rights_on_the_server_publishes_what_was_blanked(
    clinic: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    execute(clinic, "UPDATE raw.patients SET disease = 'flu0' WHERE age = 30")
    model = {"model": "value-prediction", "column": "disease", "threshold": "0.9", "remove": "greedy"}
    spec = {**SPEC, "privacy": [*SPEC["privacy"], model], "rules": ["IF removed(disease) > 20 THEN block"]}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert main(["release", str(tmp_path / "spec.yaml"), "--db", as_role(clinic, "publisher"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    reader, read = as_role(clinic, "reader"), "SELECT count(*), count(*) - count(disease) FROM releases.patients"
    assert fetch(reader, read) == [(60, told["blanked"][0]["removed"])]
    assert 0 < told["blanked"][0]["removed"] <= 20
    assert main(["verify", "patients", "--db", as_role(clinic, "publisher")]) == 0
    asked = 'value-prediction(column=disease, threshold="0.9")'
    check = ["check", "releases.patients", "--qi", "age", "--qi", "zip", "--model", asked, "--db", reader]
    assert main(check) == 0
    execute(clinic, "INSERT INTO raw.patients SELECT 99, 'n', 30, '47000', 'flu0', 'w' FROM generate_series(1, 9)")
    assert main(["release", str(tmp_path / "spec.yaml"), "--db", as_role(clinic, "publisher")]) == 1
    assert fetch(reader, read) == [(60, told["blanked"][0]["removed"])]
