"""sqlanon's figures for Adult equal pyCANON's, wherever pyCANON follows the literature.

`data/pycanon_adult.json` is what pyCANON 1.3.6 says (`benchmarks/measures.py figures`). It departs from the literature
in recursive (c,l)-diversity (it sorts ascending), δ-disclosure (it skips absent values and takes the natural logarithm)
and enhanced β-likeness (it gives a number where no β can hold), and cuts entropy l-diversity to a whole number.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from shared import ADULT, needs_shared

import sqlanon
from sqlanon.check import check
from sqlanon.engines import Origin

FIGURES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "pycanon_adult.json").read_text())


@needs_shared
@pytest.mark.parametrize("figures", FIGURES, ids=lambda f: f"{'+'.join(f['quasi_identifiers'])} {f['sensitive']}")
def test_the_figures_for_adult_are_those_of_pycanon(figures: dict[str, Any]) -> None:
    name = figures["sensitive"]
    with sqlanon.connect() as engine:
        found = check(
            engine, Origin(file=ADULT / "adult.csv", delimiter=";"), quasi_identifiers=figures["quasi_identifiers"],
            sensitive=[name],
        )  # fmt: skip
    told = {
        " ".join([m["model"], *(str(m["parameters"][k]) for k in ("kind", "distance") if k in m["parameters"])]): m[
            "value"
        ]
        for m in found.to_dict()["models"]
    }
    assert told["k-anonymity"] == figures["k"]
    assert told["l-diversity distinct"] == figures["l_diversity"]
    assert math.floor(told["l-diversity entropy"] + 1e-9) == figures["entropy_l_diversity"]
    assert told["alpha-k-anonymity"] == pytest.approx(figures["alpha_k_anonymity"][0], abs=1e-12)
    assert told["beta-likeness basic"] == pytest.approx(figures["basic_beta_likeness"], rel=1e-9)
    distance = "ordered" if name == "age" else "equal"
    assert told[f"t-closeness {distance}"] == pytest.approx(figures["t_closeness"], abs=1e-9)
    assert told["beta-likeness enhanced"] is None
    assert told["delta-disclosure"] is None
