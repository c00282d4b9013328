"""The report's numbers, held against the definitions row by row, on both engines; and its words and files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import oracle
import oracle_attacks
import oracle_prediction
import oracle_risk
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made
from tries import tries

import sqlanon
from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.report.markdown import markdown
from sqlanon.report.page import html

Row = dict[str, Any]
QUICK = settings(
    deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
QI = ("age", "zip", "sex")
TYPES = {"who": "VARCHAR", "age": "INTEGER", "zip": "VARCHAR", "sex": "VARCHAR", "disease": "VARCHAR", "pay": "INTEGER"}


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def table(rng: Random, rows: int) -> list[Row]:
    """People with what is common and what is rare, and missing values."""
    return [
        {
            "who": f"P{rng.randrange(max(rows // 2, 1))}", "age": rng.choice([None, *range(20, 60)]),
            "zip": rng.choice(["10115", "10117", "10243", "20095", None]), "sex": rng.choice("FFMM") if rng.random() < 0.98 else None,
            "disease": rng.choice(["flu", "flu", "cold", "asthma", None]), "pay": rng.choice([None, 10, 20, 20, 30, 90]),
        }
        for _ in range(rows)
    ]  # fmt: skip


def spec(k: int, *, entity: bool = False, suppression: float = 0.3, **more: Any) -> dict[str, Any]:
    """What the tests plan: levels by hierarchy, k-anonymity and two values per class."""
    return {
        "source": "people", **({"entity": "who"} if entity else {}),
        "columns": {
            "who": "identifier", "age": {"role": "quasi-identifier", "hierarchy": {"width": [10, 20, 40]}},
            "zip": {"role": "quasi-identifier", "hierarchy": {"mask": 5}}, "sex": "quasi-identifier",
            "disease": "sensitive", "pay": "insensitive",
        },
        "privacy": [{"model": "k-anonymity", "k": k}, {"model": "l-diversity", "column": "disease", "kind": "distinct", "l": 2}],
        "recoding": {"method": "full-domain", "suppression": suppression}, **more,
    }  # fmt: skip


def label(name: str, level: int, height: int, value: Any) -> Any:
    """A value at a level, by hand."""
    if level == height:
        return "*"
    if level == 0 or value is None:
        return value
    return oracle_attacks.width((10, 20, 40)[level - 1])(value) if name == "age" else oracle_attacks.mask(level)(value)


def released(rows: Sequence[Row], levels: dict[str, int], k: int, entity: bool) -> list[Row]:
    """What a plan with these levels publishes."""
    heights = {"age": 4, "zip": 5, "sex": 1}
    recoded = [{**row, **{n: label(n, levels[n], heights[n], row[n]) for n in QI}} for row in rows]
    kept = []
    for members in oracle.classes(recoded, QI).values():
        size = len({row["who"] for row in members}) if entity else len(members)
        if size >= k and len({row["disease"] for row in members}) >= 2:
            kept += members
    return kept


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Row], int, bool]:
    rng = Random(draw(st.integers(0, 10**9)))
    return table(rng, draw(st.integers(12, 60))), draw(st.integers(1, 4)), draw(st.booleans())


@settings(QUICK, max_examples=tries(12))
@given(case=cases())
def test_every_number_is_what_the_rows_say(engine: Engine, case: tuple[list[Row], int, bool]) -> None:
    rows, k, entity = case
    made(engine, "people", TYPES, rows)
    try:
        found = sqlanon.report(spec(k, entity=entity), engine=engine, minimum_cell=1, predict={"pay": 5})
    except sqlanon.ModelNotMet:
        return
    told, unit = found.to_dict(), "who" if entity else None
    kept = released(rows, told["summary"]["levels"], k, entity)
    assert told["summary"] | {
        "rows_in": len(rows), "rows_out": len(kept), "suppressed": len(rows) - len(kept),
        "classes": len(oracle.classes(kept, QI)),
    } == told["summary"]  # fmt: skip
    k_told, l_told = (m["value"] for m in told["models"])
    assert (k_told, l_told) == (oracle.k_anonymity(kept, QI, unit), oracle.distinct_l(kept, QI, "disease"))
    _risks(told, rows, kept, unit)
    _distributions(told, rows, kept)
    _attacks(told, kept)
    _predictions(told, rows, kept)


def near(number: float | None, exact: Fraction | float, digits: int) -> bool:
    """Whether a told number is the exact one, to so many digits."""
    return number is not None and float(f"{float(exact):.{digits}g}") == pytest.approx(number, rel=1e-9, abs=1e-12)


def _risks(told: dict[str, Any], rows: list[Row], kept: list[Row], unit: str | None) -> None:
    assert told["risk"]["units"] == ("persons" if unit else "records")
    for when, of in (("before", rows), ("after", kept)):
        sizes = oracle_risk.classes(of, QI, unit)
        above, highest, average = oracle_risk.prosecutor(sizes, Fraction(1, 5))
        found = told["risk"][when]
        total = sum(sizes.values())
        assert near(found["prosecutor"]["at_risk_share"], above, 4)
        assert near(found["prosecutor"]["highest"], highest, 4)
        assert near(found["prosecutor"]["average"], average, 3)
        assert near(found["unique_share"], Fraction(sum(1 for n in sizes.values() if n == 1), total), 4)
    after = sorted(oracle_risk.classes(kept, QI, unit).values())
    shown = told["classes"]
    assert (shown["smallest"], shown["largest"]) == (after[0], after[-1])
    assert shown["median"] == after[(len(after) - 1) // 2]
    for one in shown["bins"]:
        inside = [n for n in after if one["from"] <= n <= one["to"]]
        assert (one["classes"], one["records"]) == (len(inside), sum(inside))
    assert sum(one["records"] for one in shown["bins"]) == sum(after)


def _distributions(told: dict[str, Any], rows: list[Row], kept: list[Row]) -> None:
    heights = {"age": 4, "zip": 5, "sex": 1}
    for column in told["columns"]:
        name, shown = column["name"], column["distribution"]
        level = told["summary"]["levels"].get(name, 0)
        if shown is None or name == "pay" or (name == "age" and level == 0):
            continue
        was = Counter(label(name, level, heights.get(name, 9), row[name]) for row in rows)
        now = Counter(row[name] for row in kept)
        for text, before, after in zip(shown["labels"], shown["before"], shown["after"], strict=True):
            key = None if text == "missing" else text
            if text != "other" and not text.startswith("other ("):
                assert (before, after) == (was[key], now[key]), (name, text)
        assert (sum(shown["before"]), sum(shown["after"])) == (len(rows), len(kept))
    for name in ("age", "pay"):
        shown = next(c["distribution"] for c in told["columns"] if c["name"] == name)
        if shown is not None:
            assert (sum(shown["before"]), sum(shown["after"])) == (len(rows), len(kept))


def _attacks(told: dict[str, Any], kept: list[Row]) -> None:
    judges = {
        "identity": oracle_attacks.identity(5), "homogeneity": oracle_attacks.homogeneity("disease"),
        "skewness": oracle_attacks.skewness("disease", kept, Fraction(2)),
        "background-knowledge": oracle_attacks.negation("disease", 1),
        "probabilistic-inference": oracle_attacks.inference("disease", Fraction(1, 2)),
    }  # fmt: skip
    for one in told["attacks"]:
        if one["attack"] in judges and one["column"] in (None, "disease"):
            found = oracle_attacks.on_classes(kept, QI, judges[one["attack"]])
            records = found.records(kept, QI)
            assert (one["records"], one["classes"]) == (records, len(found.breached)), one["attack"]
            assert near(one["share"], Fraction(records, len(kept)), 4)


def _predictions(told: dict[str, Any], rows: list[Row], kept: list[Row]) -> None:
    (one,) = told["value_prediction"]
    limit = Fraction(9, 10)
    for when, of in (("before", rows), ("after", kept)):
        found = oracle_prediction.violations(of, QI, "pay", 5, lambda _: limit)
        assert one[f"violations_{when}"] == len(found)
    for subset in told["fields"]["subsets"]:
        found = oracle_prediction.violations(kept, subset["fields"], "pay", 5, lambda _: limit)
        assert subset["violations"] == len(found), subset["fields"]
