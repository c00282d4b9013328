"""The θ paper's experiment: a small run of it, its query error, and what the published figures must show."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from shared import ROOT, needs_shared, read

sys.path.insert(0, str(ROOT / "benchmarks"))
import theta_paper

from sqlanon.engines.duckdb import DuckDB
from sqlanon.udfs import theta as t
from sqlanon.udfs.theta import Theta, exact

ROWS = 3001
FIGURES = json.loads((ROOT / "docs" / "theta_paper.json").read_text(encoding="utf-8"))


@needs_shared
@pytest.mark.parametrize("k", [2, 4, 6])
def test_every_method_keeps_all_records_and_round_robin_is_on_the_exact_floor(k: int) -> None:
    found = theta_paper.data(ROWS)
    asked = theta_paper.queries(found, 20)
    with DuckDB() as engine:
        theta_paper.load(engine, found)
        for name, method in theta_paper.METHODS.items():
            done = method(engine, k, ROWS)
            figures = theta_paper.measured(engine, k, done, found, asked)  # ends the run where a record is lost
            assert figures["least"] >= k or name == "paper"
            if name in ("swap", "round-robin", "packed"):
                assert figures["violating"] == 0 and figures["noise"] == 0 and not figures["note"]
                assert figures["dcp"] == t.least_discernibility(ROWS, k)
            if name == "paper":
                assert figures["violating"] == 0


@needs_shared
def test_the_query_error_is_that_of_the_reference() -> None:
    case = next(case for case in read("vectors/models.json") if case.get("id") == "query-error")
    low, high, sizes = [], [], []
    for first, last, zip_, count in case["rows"]:
        low.append((first, zip_))
        high.append((last, zip_))
        sizes.append(count)
    boxes = theta_paper.boxes_of(np.array(low), np.array(high))
    expected = case["expected"]
    asked = theta_paper.Queries([{0: (35, 45), 1: (14, 14)}], np.array([expected["count_original"]]))
    whole, part = theta_paper.errors(boxes, np.array(sizes), asked)
    assert whole.tolist() == [expected["error_overlap"]]
    assert part.tolist() == pytest.approx([expected["error_uniform"]], abs=1e-12)


def test_the_published_round_robin_is_on_the_exact_floor_without_noise() -> None:
    rows = FIGURES["rows"]
    assert rows == 160150
    for k, excess in {"2": 0, "4": 10, "6": 28, "8": 54, "10": 0}.items():
        found = FIGURES["k"][k]["methods"]["round-robin"]
        assert t.least_discernibility(rows, int(k)) - rows * int(k) == excess == found["excess"]
        assert (found["violating"], found["noise"], found["note"]) == (0, 0, "")


def test_the_published_noise_is_within_a_hundredth_of_the_lower_bound() -> None:
    for k, row in FIGURES["k"].items():
        bound = t.noise_lower_bound(FIGURES["values"], Theta(int(k), exact(FIGURES["mu"])))
        found = row["methods"]["packed"]
        assert row["noise_bound"] == bound is not None
        assert found["violating"] == 0 and found["least"] >= int(k)
        if int(k) <= 12:
            assert found["noise"] == 0 and found["excess"] == row["floor"]
        else:
            assert abs(found["noise"] - bound) <= bound / 100


def test_the_published_page_is_made_of_the_published_figures() -> None:
    page = (ROOT / "docs" / "theta_paper.md").read_text(encoding="utf-8")

    def line(k: str, method: str) -> Any:
        return FIGURES["k"][k]["methods"][method]

    assert f"| 10 | 0 | 0 | {line('10', 'paper')['excess']:,} |" in page
    assert f"{line('4', 'paper')['noise']:,} tuples at k = 4" in page
    assert (ROOT / "docs" / "theta_paper.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
