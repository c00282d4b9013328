"""The search with the engine's own counts equals counting every transformation, for every model with suppression."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import search_of
from tries import tries

import sqlanon
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet
from sqlanon.planning import make, source_of
from sqlanon.recoding.lattice import build
from sqlanon.recoding.objectives import Separable, objective
from sqlanon.spec import load

K = {"model": "k-anonymity", "k": 2}
PROMISES = {
    "k": [K],
    "distinct": [{"model": "l-diversity", "column": "s", "l": 2}],
    "entropy": [{"model": "l-diversity", "column": "s", "kind": "entropy", "l": 1.8}],
    "recursive and k": [K, {"model": "l-diversity", "column": "s", "kind": "recursive", "l": 2, "c": 2}],
    "alpha and k": [K, {"model": "alpha-k-anonymity", "column": "s", "alpha": 0.5}],
    "t and k": [K, {"model": "t-closeness", "column": "s", "t": 0.3}],
    "beta": [{"model": "beta-likeness", "column": "s", "beta": 1}],
    "distinct and k": [{"model": "k-anonymity", "k": 3}, {"model": "l-diversity", "column": "s", "l": 2}],
    "average risk and k": [K, {"model": "average-risk", "risk": 0.3}],
}
LOSSES = ["loss", "discernibility", "average-class-size"]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with sqlanon.connect() as made:
        yield made


def spec(models: list[dict[str, Any]], suppression: float, loss: str) -> sqlanon.Spec:
    return load(
        {
            "source": {"table": "records"},
            "columns": {
                "a": {"role": "quasi-identifier", "hierarchy": {"width": [2, 4]}},
                "b": {"role": "quasi-identifier", "hierarchy": {"tree": {"x": ["p", "q"], "y": ["r", "s"]}}},
                "s": "sensitive",
            },
            "privacy": models,
            "recoding": {"method": "full-domain", "suppression": suppression, "loss": loss},
        }
    )


ROWS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 7), st.none()), st.sampled_from(["p", "q", "r", "s", None]), st.sampled_from("uvw")
    ),
    min_size=1,
    max_size=14,
)


@pytest.mark.parametrize("promise", PROMISES)
@given(rows=ROWS, suppression=st.sampled_from([0, 0.2, 0.5, 1]), loss=st.sampled_from(LOSSES))
@settings(max_examples=tries(50), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_plan_is_the_best_of_all_transformations(
    engine: DuckDB, promise: str, rows: list[tuple[Any, ...]], suppression: float, loss: str
) -> None:
    engine.run("make", "CREATE OR REPLACE TABLE records (a INTEGER, b VARCHAR, s VARCHAR)")
    for row in rows:
        engine.run("fill", "INSERT INTO records VALUES (?, ?, ?)", row)
    wanted = spec(PROMISES[promise], suppression, loss)

    lattice = build(engine, source_of(wanted, engine))
    goal = objective(loss, lattice.domains, len(rows))
    limit = int(suppression * len(rows) + 1e-9)
    values = []
    for node in itertools.product(*(range(d.highest + 1) for d in lattice.domains)):
        counts = lattice.check(node, len(rows))
        if counts.suppressed <= limit and counts.table_models_hold and counts.kept_classes:
            penalties = goal.penalties(node, counts.labels or []) if isinstance(goal, Separable) else None
            values.append(goal.value(counts) if penalties is None else goal.with_penalties(node, penalties))

    try:
        found = search_of(make(wanted, engine))
    except ModelNotMet:
        assert not values
    else:
        assert found.value == pytest.approx(min(values), rel=1e-9, abs=1e-12)
        assert found.gap == 0
