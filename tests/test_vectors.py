"""The worked vectors of shared/vectors/models.json, against the oracle and the earth mover's distances.

The vectors live outside the repository; without them these tests are skipped and say so.

A measure is named here as `check --json` names it: the model, then the parameter that distinguishes it.
`table(name)` gives what any implementation needs to measure a vector, `worst_values(name)` and
`class_values(name)` what it must find.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import oracle
import pytest

from sqlanon.udfs.earth_mover import equal, hierarchical, ordered

Values = dict[str, float]


class Table(NamedTuple):
    """A vector as a table to be measured, and what the vector expects, as it stands in the file."""

    rows: list[dict[str, Any]]
    quasi_identifiers: list[str]
    sensitive: str
    expected: dict[str, Any]


# -- reading the vectors ------------------------------------------------------------------------------------


def shared_folder() -> Path:
    """$SQLANON_SHARED or the folder `shared` beside the repository; it need not be there."""
    return Path(os.environ.get("SQLANON_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def vector(name: str) -> dict[str, Any]:
    """The vector with this id; skips the test that asks where there are no vectors."""
    path = shared_folder() / "vectors" / "models.json"
    if not path.is_file():
        pytest.skip(f"the worked vectors are absent: {path} (set SQLANON_SHARED to the folder that holds vectors/)")
    vectors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {found["id"]: found for found in vectors}[name]


def table(name: str) -> Table:
    """The vector as one row per record; a vector in another shape is unfolded."""
    found = vector(name)
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    if name == "t-ordered-li07":
        rows = [{"class": row["class"], "value": value} for row in rows for value in row["values_k"]]
    elif name == "risk-models":
        rows = [{"class": i, "value": None} for i, row in enumerate(rows) for _ in range(row["f_sample_class"])]
    elif name == "quality-metrics":
        return Table(rows, ["age*", "sex*"], "age", found["expected"])
    elif name == "k-map":
        return Table(rows, ["q_sample"], "q_sample", found["expected"])
    quasi_identifier, sensitive = rows[0]
    return Table(rows, [quasi_identifier], sensitive, found["expected"])


def reference(name: str) -> list[dict[str, Any]]:
    """The rows whose distribution the classes are compared with."""
    if name == "t-ordered-li07":
        return [{"value": value} for value in vector(name)["params"]["domain"]]
    return table(name).rows


def levels(name: str) -> dict[str, tuple[str, ...]]:
    """The ancestors of every value of the domain from level 1 to the root."""
    if name == "t-hier-4a":
        return {value: (str(category), "*") for value, category in vector("attacks-4a")["params"]["categories"].items()}
    return {value: tuple(ancestors) for value, ancestors in vector(name)["params"]["hierarchy"].items()}


# -- what a vector expects ----------------------------------------------------------------------------------


def worst_values(name: str) -> Values:
    """The expected worst value over all classes, by measure."""
    expected = table(name).expected
    match name:
        case "classic-4a":
            found = expected["table"]
            return {
                "k-anonymity": found["k"],
                "l-diversity distinct": found["distinct_l"],
                "l-diversity entropy": found["entropy_l"],
                **{f"l-diversity recursive {rank}": c for rank, c in _recursive_bounds(found["recursive"])},
                "alpha-k-anonymity": found["alpha"],
                "t-closeness equal": found["t_equal"],
                "beta-likeness basic": found["basic_beta"],
            }
        case "p-family-4a" | "p-family-4b":
            return {"k-anonymity": expected["k"], "l-diversity distinct": expected["p"]}
        case "k-map":
            return {"k-anonymity": expected["k_anonymity"]}
        case "t-hier-4a" | "t-hier-li07":
            return {"t-closeness hierarchical": expected["t"]}
        case "t-ordered-li07":
            return {"t-closeness ordered": expected["P1_3_4_5"]}
        case "risk-models":
            return {
                "average-risk": expected["average_reid_risk"],
                "k-anonymity": 1 / expected["prosecutor"]["pRb"],
            }
        case "quality-metrics":
            return {"discernibility": expected["discernibility"], "average-class-size": expected["AECS"]}
    raise LookupError(name)


def class_values(name: str) -> dict[str, Values]:
    """The expected value of every class, by measure."""
    expected = table(name).expected
    match name:
        case "classic-4a":
            columns = {
                "k-anonymity": "size",
                "l-diversity distinct": "distinct",
                "l-diversity entropy": "entropy_l",
                "alpha-k-anonymity": "top_share",
                "t-closeness equal": "t_equal",
                "beta-likeness basic": "beta",
                "beta-likeness enhanced margin": "enhanced_margin",
            }
            return {
                **{label: _column(expected["per_ec"], column) for label, column in columns.items()},
                **{f"l-diversity recursive {rank}": _recursive_ratios(expected["per_ec"], rank) for rank in (2, 3, 4)},
            }
        case "attacks-4a":
            columns = {"l-diversity distinct": "distinct", "alpha-k-anonymity": "top_share"}
            lifts = _column(expected["per_ec"], "max_lift")
            return {
                **{label: _column(expected["per_ec"], column) for label, column in columns.items()},
                # the lift is q/p, the gain (q - p)/p
                "beta-likeness basic": {key: lift - 1 for key, lift in lifts.items()},
            }
        case "t-hier-4a" | "t-hier-li07":
            return {"t-closeness hierarchical": expected["emd"]}
        case "t-ordered-li07":
            # "P1_3_4_5" is class P1 with its values
            return {"t-closeness ordered": {key.split("_")[0]: distance for key, distance in expected.items()}}
    raise LookupError(name)


def _column(per_class: dict[str, dict[str, float]], column: str) -> Values:
    return {key: found[column] for key, found in per_class.items()}


def _recursive_ratios(per_class: dict[str, dict[str, Values]], rank: int) -> Values:
    """A class with fewer than l = `rank` values has no entry: no c is large enough for it."""
    return {key: found["rec_c_for_l"].get(str(rank), math.inf) for key, found in per_class.items()}


def _recursive_bounds(sentence: str) -> list[tuple[int, float]]:
    """l and the least c of "l=2: holds iff c>1.0 ; l=3: holds iff c>2.0 (...)"."""
    return [(int(rank), float(c)) for rank, c in re.findall(r"l=(\d+): holds iff c>(\d+\.\d+)", sentence)]


# -- the oracle ---------------------------------------------------------------------------------------------


def oracle_arguments(name: str, measure: str) -> dict[str, Any]:
    """The arguments of the oracle's function for this measure of this vector."""
    found = table(name)
    arguments: dict[str, Any] = {"rows": found.rows, "quasi_identifiers": found.quasi_identifiers}
    if measure.startswith(("l-diversity", "alpha-k", "t-closeness", "beta-likeness")):
        arguments["sensitive"] = found.sensitive
    if measure.startswith("l-diversity recursive"):
        arguments["l"] = int(measure.split()[-1])
    if measure.startswith(("t-closeness", "beta-likeness")):
        arguments["reference"] = reference(name)
    if measure == "t-closeness hierarchical":
        arguments["levels"] = levels(name)
    return arguments


ORACLE_WORST: dict[str, Callable[..., oracle.Number]] = {
    "k-anonymity": oracle.k_anonymity,
    "l-diversity distinct": oracle.distinct_l,
    "l-diversity entropy": oracle.entropy_l,
    "l-diversity recursive 2": oracle.recursive,
    "l-diversity recursive 3": oracle.recursive,
    "alpha-k-anonymity": oracle.alpha,
    "t-closeness equal": oracle.t_equal,
    "t-closeness ordered": oracle.t_ordered,
    "t-closeness hierarchical": oracle.t_hierarchical,
    "beta-likeness basic": oracle.beta_basic,
    "average-risk": oracle.average_risk,
    "discernibility": oracle.discernibility,
    "average-class-size": oracle.average_class_size,
}

ORACLE_PER_CLASS: dict[str, Callable[..., dict[oracle.Key, Any]]] = {
    "k-anonymity": oracle.k_anonymity_per_class,
    "l-diversity distinct": oracle.distinct_l_per_class,
    "l-diversity entropy": oracle.entropy_l_per_class,
    "l-diversity recursive 2": oracle.recursive_per_class,
    "l-diversity recursive 3": oracle.recursive_per_class,
    "l-diversity recursive 4": oracle.recursive_per_class,
    "alpha-k-anonymity": oracle.alpha_per_class,
    "t-closeness equal": oracle.t_equal_per_class,
    "t-closeness ordered": oracle.t_ordered_per_class,
    "t-closeness hierarchical": oracle.t_hierarchical_per_class,
    "beta-likeness basic": oracle.beta_basic_per_class,
    "beta-likeness enhanced margin": oracle.beta_enhanced_margin_per_class,
}

WORST = [
    *[
        ("classic-4a", measure)
        for measure in (
            "k-anonymity",
            "l-diversity distinct",
            "l-diversity entropy",
            "l-diversity recursive 2",
            "l-diversity recursive 3",
            "alpha-k-anonymity",
            "t-closeness equal",
            "beta-likeness basic",
        )
    ],
    ("p-family-4a", "k-anonymity"),
    ("p-family-4a", "l-diversity distinct"),
    ("p-family-4b", "k-anonymity"),
    ("p-family-4b", "l-diversity distinct"),
    ("k-map", "k-anonymity"),
    ("t-hier-4a", "t-closeness hierarchical"),
    ("t-hier-li07", "t-closeness hierarchical"),
    ("t-ordered-li07", "t-closeness ordered"),
    ("risk-models", "average-risk"),
    ("risk-models", "k-anonymity"),
    ("quality-metrics", "discernibility"),
    ("quality-metrics", "average-class-size"),
]

PER_CLASS = [
    *[
        ("classic-4a", measure)
        for measure in ORACLE_PER_CLASS
        if measure not in ("t-closeness ordered", "t-closeness hierarchical")
    ],
    ("attacks-4a", "l-diversity distinct"),
    ("attacks-4a", "alpha-k-anonymity"),
    ("attacks-4a", "beta-likeness basic"),
    ("t-hier-4a", "t-closeness hierarchical"),
    ("t-hier-li07", "t-closeness hierarchical"),
    ("t-ordered-li07", "t-closeness ordered"),
]


def close(expected: Any) -> Any:
    """Equal up to the ten places that some vectors are printed with."""
    return pytest.approx(expected, rel=1e-12, abs=1e-10)


@pytest.mark.parametrize(("name", "measure"), WORST)
def test_the_oracle_finds_the_worst_value_of_the_vector(name: str, measure: str) -> None:
    found = ORACLE_WORST[measure](**oracle_arguments(name, measure))

    assert float(found) == close(worst_values(name)[measure])


@pytest.mark.parametrize(("name", "measure"), PER_CLASS)
def test_the_oracle_finds_the_value_of_every_class_of_the_vector(name: str, measure: str) -> None:
    found = ORACLE_PER_CLASS[measure](**oracle_arguments(name, measure))

    assert {key[0]: float(value) for key, value in found.items()} == close(class_values(name)[measure])


def test_every_value_read_from_a_vector_is_checked() -> None:
    assert {(name, measure) for name, _ in WORST for measure in worst_values(name)} == set(WORST)
    assert {(name, measure) for name, _ in PER_CLASS for measure in class_values(name)} == set(PER_CLASS)


def test_enhanced_beta_likeness_holds_at_2_and_not_below_the_largest_gain() -> None:
    rows, quasi_identifiers, sensitive, expected = table("classic-4a")

    assert (
        oracle.beta_enhanced_holds(rows, quasi_identifiers, sensitive, 2)
        is expected["table"]["enhanced_beta_ok_for_beta_2"]
    )
    assert not oracle.beta_enhanced_holds(rows, quasi_identifiers, sensitive, Fraction(199, 100))


def test_entropy_l_diversity_holds_up_to_the_expected_l_and_a_tie_holds() -> None:
    rows, quasi_identifiers, sensitive, expected = table("classic-4a")
    below = Fraction(expected["table"]["entropy_l"]) - Fraction(1, 10**9)
    uniform = [row for row in rows if expected["per_ec"][row["ec"]]["entropy_l"] == 4]

    assert oracle.entropy_l_holds(rows, quasi_identifiers, sensitive, below)
    assert not oracle.entropy_l_holds(rows, quasi_identifiers, sensitive, below + Fraction(2, 10**9))
    assert oracle.entropy_l_holds(uniform, quasi_identifiers, sensitive, 4)


def test_the_normalized_average_class_size_is_that_of_the_vector() -> None:
    found, k = table("quality-metrics"), vector("quality-metrics")["params"]["k"]

    assert oracle.normalized_average_class_size(found.rows, found.quasi_identifiers, k) == found.expected["CAVG"]


# -- the earth mover's distances ----------------------------------------------------------------------------


def dense(name: str, domain: Sequence[Any]) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The classes of a vector, their counts [classes, values] over `domain`, and those of the reference."""
    found = table(name)
    classes = oracle.classes(found.rows, found.quasi_identifiers)

    def counts(rows: oracle.Rows) -> list[int]:
        return [sum(row[found.sensitive] == value for row in rows) for value in domain]

    block = np.array([counts(members) for members in classes.values()])
    return [key[0] for key in classes], block, np.array(counts(reference(name)))


def parents(domain: Sequence[Any], above: dict[str, tuple[str, ...]]) -> list[npt.NDArray[np.int64]]:
    """Per inner level, the number of the parent of each node of the level below; a node is its path to the root."""
    paths = [(value, *above[value]) for value in domain]
    nodes = [list(dict.fromkeys(path[height:] for path in paths)) for height in range(len(paths[0]))]
    return [np.array([upper.index(node[1:]) for node in lower]) for lower, upper in pairwise(nodes)]


def earth_mover(name: str, measure: str) -> Values:
    """The distance of every class of a vector, by sqlanon.udfs.earth_mover."""
    is_tree = measure == "t-closeness hierarchical"
    domain = list(levels(name)) if is_tree else oracle.in_order(row[table(name).sensitive] for row in reference(name))
    classes, counts, of_reference = dense(name, domain)
    if is_tree:
        distances = hierarchical(counts, of_reference, parents(domain, levels(name)))
    else:
        distances = {"t-closeness equal": equal, "t-closeness ordered": ordered}[measure](counts, of_reference)
    return dict(zip(classes, distances.tolist(), strict=True))


DISTANCES = [(name, measure) for name, measure in PER_CLASS if measure.startswith("t-closeness")]


@pytest.mark.parametrize(("name", "measure"), DISTANCES)
def test_the_earth_mover_finds_the_distance_of_every_class_of_the_vector(name: str, measure: str) -> None:
    assert earth_mover(name, measure) == close(class_values(name)[measure])


@pytest.mark.parametrize(("name", "measure"), DISTANCES)
def test_the_earth_mover_equals_the_oracle_to_the_last_bit(name: str, measure: str) -> None:
    exact = ORACLE_PER_CLASS[measure](**oracle_arguments(name, measure))

    assert earth_mover(name, measure) == {key[0]: float(distance) for key, distance in exact.items()}
