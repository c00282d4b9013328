"""What the lattice counts of a transformation is what counting the records by hand gives."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import search_of
from tries import tries

import sqlanon
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.planning import make, source_of
from sqlanon.recoding.lattice import Lattice, build
from sqlanon.recoding.objectives import Separable, objective
from sqlanon.spec import load

K = 2


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with sqlanon.connect() as made:
        yield made


def source(engine: DuckDB, names: list[str], kind: str, rows: list[tuple[Any, ...]]) -> None:
    engine.run("make", f"CREATE OR REPLACE TABLE records ({', '.join(f'{name} {kind}' for name in names)})")
    places = ", ".join("?" * len(names))
    engine.connection.executemany(f"INSERT INTO records VALUES ({places})", rows)


def spec(names: list[str], hierarchy: dict[str, Any], **recoding: Any) -> sqlanon.Spec:
    quasi = {name: {"role": "quasi-identifier", "hierarchy": hierarchy} for name in names}
    models = [{"model": "k-anonymity", "k": K}]
    return load(
        {
            "source": {"table": "records"},
            "columns": quasi,
            "privacy": models,
            "recoding": {"method": "full-domain", **recoding},
        }
    )


def label(value: int | None, level: int) -> Any:
    """Level 1 and 2: bins of 10 and 100; level 3: everything."""
    if level == 3:
        return "*"
    lower = (value or 0) // 10**level * 10**level
    return value if value is None or level == 0 else f"[{lower}, {lower + 10**level})"


def assert_counted(lattice: Lattice, rows: list[tuple[int | None, ...]], node: tuple[int, ...]) -> None:
    recoded = [tuple(map(label, row, node)) for row in rows]
    classes = Counter(recoded)
    gone = [key for key in recoded if classes[key] < K]
    counts = lattice.check(node, len(rows))
    kept = [size for size in classes.values() if size >= K]
    assert (counts.suppressed, counts.kept_classes, counts.classes) == (len(gone), len(kept), len(classes))
    assert (counts.kept_squares, counts.squares) == (sum(n * n for n in kept), sum(n * n for n in classes.values()))
    assert counts.certain == len(gone)
    for i, (labels, certain) in enumerate(zip(counts.labels or [], counts.certain_labels or [], strict=True)):
        known = sorted({key[i] for key in recoded}, key=lambda x: (x is not None, x or 0))
        assert list(labels) == list(certain) == [sum(key[i] == x for key in gone) for x in known]


@pytest.mark.parametrize("width", [1, 3, 4, 9], ids=["one digit", "31 bits", "63 bits", "two numbers"])
def test_classes_and_suppressed_labels_are_counted_as_by_hand_however_many_combinations_there_are(
    engine: DuckDB, width: int
) -> None:
    draw = random.Random(width)
    names = [f"q{i}" for i in range(width)]
    rows = [tuple(draw.choice([None, *range(-300, 700)]) for _ in names) for _ in range(1500)]
    rows += draw.choices(rows, k=300)
    source(engine, names, "INTEGER", rows)
    lattice = build(engine, source_of(spec(names, {"width": [10, 100]}), engine))
    assert len(lattice.numbers) == (2 if width == 9 else 1)
    for node in {(0,) * width, (3,) * width, *(tuple(draw.choices(range(4), k=width)) for _ in range(12))}:
        assert_counted(lattice, rows, node)


STARRED = st.lists(st.tuples(*[st.sampled_from(["*", "**", "a*", "ab", "a", "", None])] * 2), min_size=2, max_size=12)
TREE = {"x": ["*", "ab"], "y": ["**", "a*", "a", ""]}


@pytest.mark.parametrize("hierarchy", [{"mask": 2}, {"tree": TREE}], ids=str)
@given(rows=STARRED)
@settings(max_examples=tries(25), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_value_that_is_literally_a_star_misleads_neither_bound_nor_search(
    engine: DuckDB, hierarchy: dict[str, Any], rows: list[tuple[str | None, ...]]
) -> None:
    source(engine, ["a", "b"], "VARCHAR", rows)
    wanted = spec(["a", "b"], hierarchy, suppression=0.5)
    lattice = build(engine, source_of(wanted, engine))
    goal = objective("loss", lattice.domains, len(rows))
    assert isinstance(goal, Separable)
    nodes = list(itertools.product(*(range(d.highest + 1) for d in lattice.domains)))
    for low, high in itertools.product(nodes, nodes):
        if all(x <= y for x, y in zip(low, high, strict=True)):
            assert goal.bound(low) <= goal.bound(high) + 1e-12
    costs = []
    for node in nodes:
        counts = lattice.check(node, len(rows))
        if counts.suppressed <= len(rows) // 2 and counts.kept_classes:
            costs.append(goal.with_penalties(node, goal.penalties(node, counts.labels or [])))
    if costs:
        assert search_of(make(wanted, engine)).value == pytest.approx(min(costs), rel=1e-9, abs=1e-12)


def test_values_that_no_hierarchy_knows_are_counted_and_not_shown(engine: DuckDB) -> None:
    source(engine, ["a"], "VARCHAR", [("ab",), ("Bob",), ("Bob",), ("Eve",), (None,)])
    with pytest.raises(SpecError, match="2 values in 3 rows are not in the hierarchy") as failed:
        make(spec(["a"], {"tree": TREE}), engine)
    assert "Bob" not in str(failed.value)
