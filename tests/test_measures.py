"""The measures as the engine computes them: the planner's SQL and the verifier's numpy, against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import oracle
import pytest
import test_vectors as vectors
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made, remake, several
from tries import tries

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.measuring import Measured, Reference, Rows, measured
from sqlanon.models import (
    AlphaKAnonymity,
    AverageRisk,
    BetaLikeness,
    KAnonymity,
    LDiversity,
    Model,
    TCloseness,
    Verdict,
    exact,
    judgement,
    parts,
    verdicts,
)
from sqlanon.query import Query, fragment
from sqlanon.verify import Published, verify

Row = dict[str, Any]
TINY = 1e-12  # the one tolerance that the design states
LISTED = ("u", "-3", "x")
CLASSIC = {KAnonymity, LDiversity, AlphaKAnonymity, TCloseness, BetaLikeness, AverageRisk}  # the others: test_models


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


# -- random tables ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A table, the part of it that is published, and what the measures have to know about the sensitive column."""

    rows: list[Row]
    reference: list[Row]
    keys: tuple[str, ...] = ("q0",)
    entity: str | None = None
    levels: Mapping[Any, tuple[str, ...]] | None = None
    order: tuple[str, ...] = ()
    weighted: bool = False


@st.composite
def examples(draw: st.DrawFn) -> Example:
    texts, numbers = st.sampled_from(["a", "b", "c", None]), st.sampled_from([-1, 0, 7, None])
    keys = tuple(f"q{i}" for i in range(draw(st.integers(1, 3))))
    domain = draw(st.sampled_from([["u", "v", "w", "x", "y"], [-3, 0, 2, 10, 11]]))
    columns = {key: draw(st.sampled_from([texts, numbers])) for key in keys}
    columns |= {"s": st.sampled_from([*domain[: draw(st.integers(1, 5))], None]), "p": st.sampled_from("ABCDEF")}
    cells = draw(st.lists(st.tuples(*columns.values()), min_size=1, max_size=14))
    reference = [dict(zip(columns, row, strict=True)) for row in cells]
    classes = list(oracle.classes(reference, keys))
    kept = draw(st.sets(st.sampled_from(classes), min_size=1))
    rows = [row for row in reference if tuple(row[key] for key in keys) in kept]
    order = tuple(map(str, draw(st.permutations(domain)))) if draw(st.booleans()) else ()
    entity = "p" if draw(st.booleans()) else None
    return Example(rows, reference, keys, entity, draw(trees(domain)), order, draw(st.booleans()))


@st.composite
def trees(draw: st.DrawFn, domain: Sequence[Any]) -> dict[Any, tuple[str, ...]]:
    """Every value's ancestors, level by level up to the root; a missing value hangs under the root by itself."""
    height = draw(st.integers(1, 3))
    paths = {value: (str(value),) for value in domain}
    for level in range(1, height):
        above = {path[-1]: f"{level}:{draw(st.integers(0, 2))}" for path in paths.values()}
        paths = {value: (*path, above[path[-1]]) for value, path in paths.items()}
    paths[None] = tuple(f"missing {level}" for level in range(height))
    return {value: (*path[1:], "*") for value, path in paths.items()}


# -- the two ways to measure --------------------------------------------------------------------------------


def load(engine: Engine, name: str, rows: Sequence[Row], like: Sequence[Row] = ()) -> None:
    """A table of the rows; columns are text or numbers as their values are (or those of rows `like` them)."""
    kinds = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE PRECISION"}
    known = [*rows, *like]
    of = {name: next((kinds[type(r[name])] for r in known if r.get(name) is not None), "VARCHAR") for name in rows[0]}
    made(engine, name, of, rows)


def prepare(engine: Engine, example: Example, models: Sequence[Model]) -> tuple[Query, Measured]:
    """Tables of the example's rows, and the planner's chain over them."""
    steps, names, tree = Query(()), ["published", "everything"], None
    for name, rows in zip(names, (example.rows, example.reference), strict=True):
        load(engine, name, rows, example.reference)
        listed = ", ".join(engine.rendered(query.identifier(column)) for column in rows[0])
        counted = f'SELECT {listed}, count(*) AS "how many" FROM {name} GROUP BY {listed}'
        remake(engine, f"weighted_{name}", f"AS {counted}")
    if example.levels:
        height = len(next(iter(example.levels.values())))
        paths = ((str(v), *path[:-1]) for v, path in example.levels.items() if v is not None)
        steps = Query((query.values("tree of s", [f"node {level} of s" for level in range(height)], paths),))
        tree = ("tree of s", height)
    weight = "how many" if example.weighted else None
    published, everything = [f"weighted_{name}" if weight else name for name in names]
    wanted = [m for model in models for m in model.measures().values() if m.column or m.name == "class_size"]
    rows = Rows(published, example.keys, entity=example.entity, weight=weight)
    chain = measured(rows, wanted, {"s": Reference(everything, weight, example.order, tree)})
    return steps.join(chain.query), chain


def planned(engine: Engine, example: Example, *models: Model) -> tuple[Verdict, ...]:
    steps, chain = prepare(engine, example, models)
    (row,) = engine.run("judge", steps.then("judgement", judgement(models, chain)))
    return verdicts(models, row)


def verified(engine: Engine, example: Example, *models: Model) -> tuple[Verdict, ...]:
    load(engine, "published", example.rows, example.reference)
    load(engine, "everything", example.reference)
    paths = tuple((str(v), *path) for v, path in (example.levels or {}).items() if v is not None)
    orders = {"s": example.order} if example.order else {}
    relation = Published("published", example.keys, example.entity, "everything", orders, {"s": paths})
    return verify(engine, relation, models).verdicts


BOTH = pytest.mark.parametrize("judge", [planned, verified])
Judge = Callable[..., tuple[Verdict, ...]]


# -- what the oracle expects --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What a model comes to by the oracle: its value per class (of the table: under ""), and which of them hold."""

    model: Model
    values: Mapping[Any, oracle.Number]
    holds: Callable[[Any], bool]


def in_place(example: Example) -> Example:
    """The example with its sensitive values numbered in the order of the list, which is what the oracle sorts by."""
    place = {None if value == "None" else value: i for i, value in enumerate(example.order)}
    moved = [
        [{**row, "s": None if row["s"] is None else place[str(row["s"])]} for row in rows]
        for rows in (example.rows, example.reference)
    ]
    return replace(example, rows=moved[0], reference=moved[1])


def expectations(example: Example, near: Callable[..., float], whole: Callable[[], int]) -> Iterator[Expected]:
    """One model of every kind, with bounds that lie on the oracle's own values as often as beside them."""
    rows, by, s, all_rows = example.rows, example.keys, "s", example.reference
    classes = oracle.classes(rows, by)

    sizes, k = oracle.k_anonymity_per_class(rows, by, example.entity), whole()
    yield Expected(KAnonymity(k), sizes, lambda key: sizes[key] >= k)
    distinct, least = oracle.distinct_l_per_class(rows, by, s), whole()
    yield Expected(LDiversity(s, least), distinct, lambda key: distinct[key] >= least)
    entropy, even = oracle.entropy_l_per_class(rows, by, s), whole()
    yield Expected(
        LDiversity(s, even, "entropy"), entropy, lambda key: oracle.entropy_l_holds(classes[key], by, s, even)
    )
    most = max(1.0, near(entropy))
    yield Expected(LDiversity(s, most, "entropy"), entropy, lambda key: math.log(entropy[key]) >= math.log(most) - TINY)
    rank = whole()
    ratio = oracle.recursive_per_class(rows, by, s, rank)
    c = near(ratio)
    yield Expected(LDiversity(s, rank, "recursive", c), ratio, lambda key: ratio[key] < exact(c))
    share = oracle.alpha_per_class(rows, by, s)
    alpha = near(share, highest=1)
    yield Expected(AlphaKAnonymity(s, alpha), share, lambda key: share[key] <= exact(alpha))
    among = {
        key: max(Fraction(sum(str(row[s]) == value for row in found), len(found)) for value in LISTED)
        for key, found in classes.items()
    }
    other = near(among, highest=1)
    yield Expected(AlphaKAnonymity(s, other, values=LISTED), among, lambda key: among[key] <= exact(other))
    ranked = in_place(example) if example.order else example
    distances: dict[Any, Mapping[Any, oracle.Number]] = {
        "equal": oracle.t_equal_per_class(rows, by, s, all_rows),
        "ordered": oracle.t_ordered_per_class(ranked.rows, by, s, ranked.reference),
        "hierarchical": oracle.t_hierarchical_per_class(rows, by, s, example.levels or {}, all_rows),
    }
    for kind, values in distances.items():
        t = near(values, highest=1)
        yield Expected(TCloseness(s, t, kind), values, lambda key, v=values, t=t: float(v[key]) <= t + TINY)
    gain = oracle.beta_basic_per_class(rows, by, s, all_rows)
    beta = near(gain)
    yield Expected(BetaLikeness(s, beta), gain, lambda key: float(gain[key]) <= beta + TINY)
    margin = oracle.beta_enhanced_margin_per_class(rows, by, s, all_rows)
    capped = {key: gain[key] if margin[key] >= -TINY else math.inf for key in gain}
    yield Expected(BetaLikeness(s, beta, "enhanced"), capped, lambda key: float(capped[key]) <= beta + TINY)
    mean = Fraction(len(sizes), sum(sizes.values()))
    risk = near({"": mean}, highest=1)
    yield Expected(AverageRisk(risk), {"": mean}, lambda key: mean <= exact(risk))


def assert_as_expected(found: Verdict, expected: Expected, sizes: Mapping[Any, int]) -> None:
    worst = (min if expected.model.worst == "min" else max)(expected.values.values())
    value = None if math.isinf(worst) else pytest.approx(float(worst), rel=1e-9, abs=1e-9)
    broken = [key for key in expected.values if not expected.holds(key)]
    if expected.model.scope == "table" and broken:
        broken = list(sizes)
    told = (found.value, found.holds, found.classes_violating, found.rows_violating)
    assert told == (value, not broken, len(broken), sum(sizes[key] for key in broken)), expected.model


@given(st.data())
@settings(max_examples=tries(100), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_planner_verifier_and_oracle_agree_on_every_model_on_its_bound_and_beside_it(
    engine: Engine, data: st.DataObject
) -> None:
    example = data.draw(examples())

    def near(values: Mapping[Any, oracle.Number], highest: float = math.inf) -> float:
        """A bound above 0: the value of some class, as a person can write it, or one of no class."""
        found = sorted({float(value) for value in values.values() if 0 < value <= min(highest, 1e9)})
        return data.draw(st.sampled_from([*found, 0.35, 1.0]))

    expected = list(expectations(example, near, lambda: data.draw(st.integers(1, 4))))
    models = list(dict.fromkeys(e.model for e in expected))
    assert {type(model) for model in models} == CLASSIC
    sizes = oracle.k_anonymity_per_class(example.rows, example.keys)
    for judge in (planned, verified):
        told = dict(zip(models, judge(engine, example, *models), strict=True))
        for one in expected:
            assert_as_expected(told[one.model], one, sizes)


# -- one at a time ------------------------------------------------------------------------------------------


def rows_of(*rows: tuple[Any, Any, Any], names: Sequence[str] = ("q0", "s", "p")) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in rows]


@BOTH
def test_records_without_a_known_person_are_one_person(engine: Engine, judge: Judge) -> None:
    rows = rows_of((1, "x", None), (1, "y", None), (1, "x", "A"), (2, "x", None), (2, "x", "B"))

    assert oracle.k_anonymity(rows, ["q0"], "p") == 2
    found = judge(engine, Example(rows, rows, entity="p"), KAnonymity(2), AverageRisk(0.5))
    assert [(v.value, v.holds) for v in found] == [(2, True), (0.5, True)]


@BOTH
def test_the_classes_that_are_too_small_for_the_k_of_alpha_k_are_counted(engine: Engine, judge: Judge) -> None:
    rows = rows_of((1, "x", "A"), (1, "y", "B"), (2, "x", "C"), (2, "y", "D"), (2, "z", "E"))

    (found,) = judge(engine, Example(rows, rows), AlphaKAnonymity("s", 0.5, 3))
    assert (found.holds, found.classes_violating, found.rows_violating) == (False, 1, 2)


@BOTH
def test_two_lists_of_sensitive_values_that_read_alike_are_two_measures(engine: Engine, judge: Judge) -> None:
    rows = rows_of((1, "a", "A"), (1, "a", "B"), (1, "c", "C"))
    models = AlphaKAnonymity("s", 0.5, values=("a, b",)), AlphaKAnonymity("s", 0.5, values=("a", "b"))

    assert [v.holds for v in judge(engine, Example(rows, rows), *models)] == [True, False]


@pytest.mark.parametrize("value", ["line\nbreak", "back\\slash\t", "it's", '"', "a\u2028b", "a\x0cb", "$s", "?", "é"])
@BOTH
def test_a_listed_value_is_counted_whatever_characters_it_holds(engine: Engine, judge: Judge, value: str) -> None:
    rows = rows_of((1, value, "A"), (1, value, "B"), (1, "c", "C"))

    (found,) = judge(engine, Example(rows, rows), AlphaKAnonymity("s", 0.5, values=(value,)))
    assert (found.value, found.holds) == (pytest.approx(2 / 3), False)


@pytest.mark.parametrize("distance", ["equal", "ordered", "hierarchical"])
@BOTH
def test_a_class_with_a_value_that_the_table_does_not_hold_is_never_close(
    engine: Engine, judge: Judge, distance: Any
) -> None:
    known, strange = rows_of((1, "u", "A"), (1, "v", "B")), rows_of((1, "w", "A"), (1, "w", "B"))
    example = Example(strange, known, levels=dict.fromkeys(["u", "v", "w", None], ("*",)))

    assert not judge(engine, example, TCloseness("s", 0.4, distance))[0].holds


def test_the_verifier_does_not_quote_a_value_that_the_hierarchy_does_not_know(engine: Engine) -> None:
    rows = rows_of((1, "Alice Meyer", "A"), (1, "u", "B"))
    words = ""
    try:
        told = verified(engine, Example(rows, rows, levels={"u": ("*",)}), TCloseness("s", 0.9, "hierarchical"))
    except Exception as error:
        words = repr(error)
    else:
        assert not told[0].holds
    assert "Alice Meyer" not in words


NAMES = ["n", "v", "number", "records", "persons", "class", "the value", "the count", "CLASS_SIZE", 'a"b', "a\nb"]


@pytest.mark.parametrize("name", NAMES)
@BOTH
def test_a_quasi_identifier_may_have_any_name(engine: Engine, judge: Judge, name: str) -> None:
    cells = [(5, "u", "A"), (5, "u", "B"), (5, "u", "C"), (5, "v", "D"), (9, "u", "E"), (9, "v", "F")]
    rows = rows_of(*cells, names=(name, "s", "p"))
    models = KAnonymity(1), LDiversity("s", 1, "entropy"), TCloseness("s", 1, "ordered")

    found = judge(engine, Example(rows, rows, keys=(name,)), *models)
    of_oracle = [
        oracle.k_anonymity(rows, [name]),
        oracle.entropy_l(rows, [name], "s"),
        oracle.t_ordered(rows, [name], "s"),
    ]
    assert [v.value for v in found] == pytest.approx([float(value) for value in of_oracle])


@pytest.mark.parametrize("records", [1000, 102_730, 1_000_000])
def test_a_gain_exactly_on_beta_holds_also_in_a_large_table(engine: Engine, records: int) -> None:
    remake(engine, "published", f"AS SELECT (i = 0)::INT AS q0, (i = 0)::INT AS s FROM {several(engine, records)}")
    model = BetaLikeness("s", records - 1)
    chain = measured(Rows("published", ("q0",)), model.measures().values(), {"s": Reference("published")})
    (row,) = engine.run("judge", chain.query.then("judgement", judgement((model,), chain)))

    assert verdicts((model,), row)[0].holds
    assert verify(engine, Published("published", ("q0",), None, "published", {}, {}), (model,)).holds


# -- the worked vectors -------------------------------------------------------------------------------------

MODEL_OF: dict[str, Model] = {
    "k-anonymity": KAnonymity(1),
    "l-diversity distinct": LDiversity("s", 1),
    "l-diversity entropy": LDiversity("s", 1, "entropy"),
    **{f"l-diversity recursive {rank}": LDiversity("s", rank, "recursive", 1) for rank in (2, 3, 4)},
    "alpha-k-anonymity": AlphaKAnonymity("s", 1),
    "t-closeness equal": TCloseness("s", 1),
    "t-closeness ordered": TCloseness("s", 1, "ordered"),
    "t-closeness hierarchical": TCloseness("s", 1, "hierarchical"),
    "beta-likeness basic": BetaLikeness("s", 1),
    "average-risk": AverageRisk(1),
}


def example_of(name: str, measure: str) -> Example:
    """A vector as an example whose sensitive column is `s`."""
    found = vectors.table(name)
    rows = [{**{key: row[key] for key in found.quasi_identifiers}, "s": row[found.sensitive]} for row in found.rows]
    reference = [{"s": row[found.sensitive]} for row in vectors.reference(name)]
    levels = vectors.levels(name) if measure == "t-closeness hierarchical" else None
    return Example(rows, reference, tuple(found.quasi_identifiers), levels=levels)


@pytest.mark.parametrize(("name", "measure"), [pair for pair in vectors.WORST if pair[1] in MODEL_OF])
@BOTH
def test_the_engine_finds_the_worst_value_of_the_vector(engine: Engine, judge: Judge, name: str, measure: str) -> None:
    (verdict,) = judge(engine, example_of(name, measure), MODEL_OF[measure])

    assert verdict.value == vectors.close(vectors.worst_values(name)[measure])


@pytest.mark.parametrize(("name", "measure"), [pair for pair in vectors.PER_CLASS if pair[1] in MODEL_OF])
def test_the_engine_finds_the_value_of_every_class_of_the_vector(engine: Engine, name: str, measure: str) -> None:
    example, model = example_of(name, measure), MODEL_OF[measure]
    steps, chain = prepare(engine, example, [model])
    columns = [query.column(example.keys[0]), fragment(f"{model.value()} as v", **parts(model, chain))]
    found = engine.run("measure", steps.then("values", query.select(columns, "measured")))

    values = {key: math.inf if value is None else value for key, value in found}
    assert values == vectors.close(vectors.class_values(name)[measure])


@BOTH
def test_the_engine_holds_enhanced_beta_likeness_at_2_and_not_below_the_largest_gain(
    engine: Engine, judge: Judge
) -> None:
    example = example_of("classic-4a", "beta-likeness basic")
    models = BetaLikeness("s", 2, "enhanced"), BetaLikeness("s", 1.99, "enhanced")

    assert [v.holds for v in judge(engine, example, *models)] == [True, False]
