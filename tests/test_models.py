"""The models beyond the classic ones: planner's SQL and verifier's numpy, against the oracle and the vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import oracle
import oracle_models as definition
import pytest
import test_vectors as vectors
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made, remake, several
from tries import tries

from sqlanon.engines import Engine
from sqlanon.measuring import Rows, arrange, measured
from sqlanon.models import (
    BalancedPPlusSensitivity,
    DeltaDisclosure,
    DeltaPresence,
    EpsilonMAnonymity,
    ExtendedPSensitivity,
    KAnonymity,
    KEAnonymity,
    KMAnonymity,
    KMap,
    Model,
    MUniqueness,
    PAlphaSensitivity,
    PersonalisedPrivacy,
    PPlusSensitivity,
    PSensitivity,
    SampleUniqueness,
    ThetaSensitivity,
    Verdict,
    column_of,
    complete,
    exact,
    judgement,
    needed,
    verdicts,
)
from sqlanon.models.sensitivity import implied_top
from sqlanon.query import Query
from sqlanon.verify import Published, verify

Row = dict[str, Any]
TINY = 1e-12  # the one tolerance that the design states

# Most sensitive category first. One label stands at two levels, for the same values.
PATHS = (
    ("hiv", "infection", "grave", "*"), ("tb", "infection", "grave", "*"), ("cancer", "tumour", "grave", "*"),
    ("asthma", "lung", "light", "*"), ("flu", "lung", "light", "*"), ("caries", "teeth", "teeth", "*"),
)  # fmt: skip
LEAVES = [path[0] for path in PATHS]
NODES = list(dict.fromkeys(label for path in PATHS for label in path))


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


@dataclass(frozen=True)
class Example:
    """Published rows, the table before suppression, the population; the kind of the numeric column `v`."""

    rows: list[Row]
    reference: list[Row]
    population: list[Row]
    keys: tuple[str, ...] = ("q0",)
    kind: str = "BIGINT"
    entity: str | None = None
    weighted: bool = False


NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "BIGINT": st.sampled_from([-5, 0, 1, 2, 4, 6, 100, None]),
    "DOUBLE PRECISION": st.sampled_from([0.1, 0.2, 0.3, -0.3, 1e6 + 0.7, 1e6 + 5.7, math.inf, math.nan, None]),
    "DATE": st.sampled_from([date(2020, 1, 1) + timedelta(days=d) for d in (0, 1, 5, 6, 400)] + [None]),
}


@st.composite
def examples(draw: st.DrawFn) -> Example:
    keys = tuple(f"q{i}" for i in range(draw(st.integers(1, 2))))
    kind = draw(st.sampled_from(sorted(NUMBERS)))
    columns: dict[str, st.SearchStrategy[Any]] = {key: st.sampled_from(["a", "b", None]) for key in keys}
    columns |= {
        "s": st.sampled_from([*LEAVES[: draw(st.integers(1, 6))], None]), "v": NUMBERS[kind],
        "node": st.sampled_from([*NODES[: draw(st.integers(1, len(NODES)))], None]),
        "g": st.sampled_from([*NODES, None]), "p": st.sampled_from("ABCDEF"),
        "items": st.sampled_from([None, [], ["x"], ["x", "y"], ["y", "x", "x"], ["x", "y", "z"], ["z", None, ""]]),
    }  # fmt: skip
    reference = [dict(zip(columns, row, strict=True)) for row in draw(
        st.lists(st.tuples(*columns.values()), min_size=1, max_size=12))]  # fmt: skip
    found = list(oracle.classes(reference, keys))
    kept = draw(st.sets(st.sampled_from(found), min_size=1))
    rows = [row for row in reference if tuple(row[key] for key in keys) in kept]
    others = draw(st.lists(st.tuples(*(columns[key] for key in keys)), max_size=8))
    population = [{key: row[key] for key in keys} for row in draw(st.sampled_from([reference, rows[:1]]))]
    population += [dict(zip(keys, row, strict=True)) for row in others]
    entity = "p" if draw(st.booleans()) else None
    return Example(rows, reference, population, keys, kind, entity, draw(st.booleans()))


def load(engine: Engine, name: str, example: Example, rows: Sequence[Row]) -> None:
    kinds = {"v": example.kind, "items": "VARCHAR[]"}
    columns = list(rows[0])
    made(engine, name, {column: kinds.get(column, "VARCHAR") for column in columns}, rows)
    names = ", ".join(columns)
    remake(engine, f"weighted_{name}", f"AS SELECT {names}, count(*) AS n FROM {name} GROUP BY {names}")


def planned(engine: Engine, example: Example, *models: Model) -> tuple[Verdict, ...]:
    for name, rows in (("rows", example.rows), ("reference", example.reference), ("people", example.population)):
        load(engine, name, example, rows)
    before, weight = ("weighted_", "n") if example.weighted else ("", None)
    steps, references = Query(()), {}
    families = {"BIGINT": "integer", "DOUBLE PRECISION": "float", "DATE": "date"}
    for of in dict.fromkeys(filter(None, map(column_of, models))):
        made, references[of] = arrange(
            of, needed(models), relation=f"{before}reference", weight=weight, rows=PATHS,
            family=families[example.kind] if of == "v" else "text",
        )  # fmt: skip
        steps = steps.join(made)
    rows = Rows(f"{before}rows", example.keys, example.entity, weight, f"{before}people", weight)
    chain = measured(rows, needed(models), references)
    (row,) = engine.run("judge", steps.join(chain.query).then("judgement", judgement(models, chain)))
    return verdicts(models, row)


def verified(engine: Engine, example: Example, *models: Model) -> tuple[Verdict, ...]:
    for name, rows in (("rows", example.rows), ("reference", example.reference), ("people", example.population)):
        load(engine, name, example, rows)
    trees = dict.fromkeys(("s", "node"), PATHS)
    return verify(
        engine, Published("rows", example.keys, example.entity, "reference", {}, trees, "people"), models
    ).verdicts


BOTH = pytest.mark.parametrize("judge", [planned, verified])
Judge = Callable[..., tuple[Verdict, ...]]


# -- what the oracle expects -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What a model comes to by the oracle: a value per class (None: missing), and which classes hold."""

    model: Model
    values: Mapping[Any, Any]
    holds: Callable[[Any], bool]
    missing: bool = False


Near = Callable[[Mapping[Any, Any]], float]


def _sensitivities(example: Example, near: Near, whole: Callable[[], int]) -> Iterator[Expected]:
    rows, by = example.rows, example.keys
    sizes = oracle.k_anonymity_per_class(rows, by, example.entity)
    distinct = oracle.distinct_l_per_class(rows, by, "s")
    p, k = whole(), whole()
    yield Expected(PSensitivity("s", p, k), distinct, lambda key: distinct[key] >= p and sizes[key] >= k)
    for of in ("s", "node"):
        for level in (1, 2):
            groups = definition.groups_per_class(rows, by, of, definition.at_level(PATHS, level))
            values = {key: None if c is None else len(c) for key, c in groups.items()}
            yield Expected(
                PPlusSensitivity(of, p, None, level), values,
                lambda key, v=values: v[key] is not None and v[key] >= p,
            )  # fmt: skip
            off = {key: None if c is None else max(c.values()) - min(c.values()) for key, c in groups.items()}
            b = whole() - 1
            yield Expected(
                BalancedPPlusSensitivity(of, p, b, k, level), off,
                lambda key, v=values, o=off, b=b: (
                    v[key] is not None and v[key] >= p and o[key] <= b and sizes[key] >= k
                ),
            )  # fmt: skip
            for how in ("value", "record"):
                heavy = definition.weight_per_class(rows, by, of, PATHS, level, how == "record")
                of_values, alpha = oracle.distinct_l_per_class(rows, by, of), near(heavy)
                yield Expected(
                    PAlphaSensitivity(of, p, alpha, None, level, how), heavy,  # type: ignore[arg-type]
                    lambda key, h=heavy, a=alpha, d=of_values: (
                        h[key] is not None and h[key] >= exact(a) and d[key] >= p
                    ),
                )  # fmt: skip
    nodes = ("grave", "hiv", "teeth")
    extended = definition.groups_per_class(rows, by, "s", definition.protected(PATHS, nodes))
    left = {key: None if c is None else len(c) for key, c in extended.items()}
    yield Expected(ExtendedPSensitivity("s", p, nodes), left, lambda key: left[key] is not None and left[key] >= p)


def _spreads(example: Example, near: Near, whole: Callable[[], int]) -> Iterator[Expected]:
    rows, by = example.rows, example.keys
    variances, sizes = definition.theta_per_class(rows, by, "s"), oracle.k_anonymity_per_class(rows, by)
    mu, k = min(near({0: 0.5, 1: 0.6, 2: 1.0}), 1.0), whole()
    yield Expected(
        ThetaSensitivity("s", mu, "k", k), variances,
        lambda key: variances[key] >= exact(mu) * Fraction(k * k - 1, 12),
    )  # fmt: skip
    full = {key: Fraction(size * size - 1, 12) for key, size in sizes.items()}
    share = {key: variances[key] / full[key] if full[key] else Fraction(1) for key in variances}
    yield Expected(ThetaSensitivity("s", mu, "n"), share, lambda key: share[key] >= exact(mu))
    spans, distinct = definition.span_per_class(rows, by, "v"), oracle.distinct_l_per_class(_named(rows), by, "v")
    e, least = near(spans), whole()
    yield Expected(
        KEAnonymity("v", least, e), spans,
        lambda key: spans[key] is not None and spans[key] >= exact(e) and distinct[key] >= least,
    )  # fmt: skip
    for kind, epsilon in (("absolute", 5.0), ("absolute", 0.1), ("relative", 0.5), ("relative", 0.05)):
        most, m = definition.near_per_class(rows, by, "v", exact(epsilon), kind == "relative"), whole()
        yield Expected(
            EpsilonMAnonymity("v", epsilon, m, kind), most,  # type: ignore[arg-type]
            lambda key, most=most, m=m: most[key] * m <= 1,
        )  # fmt: skip


def _named(rows: Sequence[Row]) -> list[Row]:
    """Values under one name where they are one value to the engine: NaN equals itself."""
    return [{**row, "v": "NaN" if isinstance(row["v"], float) and math.isnan(row["v"]) else row["v"]} for row in rows]


def _comparisons(example: Example, near: Near, whole: Callable[[], int]) -> Iterator[Expected]:
    rows, by = example.rows, example.keys
    ratios = definition.log_ratio_per_class(rows, by, "s", example.reference)
    delta = near({key: r for key, r in ratios.items() if math.isfinite(r)}) or 1.0
    yield Expected(DeltaDisclosure("s", delta), ratios, lambda key: ratios[key] < delta - TINY)
    for of in ("s", "node"):
        breaches = definition.breach_per_class(rows, by, of, "g", PATHS)
        most = min(near(breaches), 1.0)
        yield Expected(
            PersonalisedPrivacy(of, "g", most), breaches,
            lambda key, b=breaches, m=most: b[key] is not None and float(b[key]) <= m + TINY,
        )  # fmt: skip
    people = definition.population_per_class(rows, by, example.population)
    k, records = whole(), oracle.k_anonymity_per_class(rows, by)
    yield Expected(KMap(k), people, lambda key: people[key] >= k)
    presence = {key: Fraction(records[key], people[key]) if people[key] else None for key in people}
    high, low = min(near(presence), 1.0), 0.1
    everywhere = len(oracle.classes(example.population, by))
    for least in (0.0, low):
        if least <= high:
            yield Expected(
                DeltaPresence(high, least), presence,
                lambda key, least=least: presence[key] is not None and exact(least) <= presence[key] <= exact(high),
                missing=least > 0 and sum(n > 0 for n in people.values()) < everywhere,
            )  # fmt: skip


def _tables(example: Example, near: Near, whole: Callable[[], int]) -> Iterator[Expected]:
    rows, by = example.rows, example.keys
    for m, model in ((2, SampleUniqueness), (3, MUniqueness)):
        share = definition.small_share(rows, by, m, example.entity)
        bound = min(near({"": share}), 1.0)
        made = model(bound) if model is SampleUniqueness else MUniqueness(m, bound)
        yield Expected(made, {"": share}, lambda key, s=share, b=bound: s <= exact(b))
    for m in (1, 2, 3):
        support, k = definition.least_support(rows, "items", m), whole()
        yield Expected(KMAnonymity("items", k, m), {"": support}, lambda key, s=support, k=k: s is None or s >= k)


def assert_as_expected(found: Verdict, expected: Expected, sizes: Mapping[Any, int]) -> None:
    values = list(expected.values.values())
    finite = all(v is not None and math.isfinite(v) for v in values)
    worst = (min if expected.model.worst == "min" else max)(values) if finite else None
    broken = [key for key in expected.values if not expected.holds(key)]
    if expected.model.scope == "table" and broken:
        broken = list(sizes)
    classes = max(len(broken), 1) if expected.missing else len(broken)
    value = None if worst is None else pytest.approx(float(worst), rel=1e-9, abs=1e-9)
    told = (found.value, found.holds, found.classes_violating, found.rows_violating)
    assert told == (value, classes == 0, classes, sum(sizes[key] for key in broken)), expected.model


@given(st.data())
@settings(max_examples=tries(200), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_planner_verifier_and_oracle_agree_on_every_model_on_its_bound_and_beside_it(
    engine: Engine, data: st.DataObject
) -> None:
    example = data.draw(examples())

    def near(values: Mapping[Any, Any]) -> float:
        found = sorted({round(float(v), 10) for v in values.values() if v is not None and 0 < v < 1e9})
        return data.draw(st.sampled_from([*found, 0.35, 1.0]))

    kinds = (_sensitivities, _spreads, _comparisons, _tables)
    expected = [one for kind in kinds for one in kind(example, near, lambda: data.draw(st.integers(1, 4)))]
    picked = data.draw(st.lists(st.sampled_from(range(len(expected))), min_size=1, max_size=5, unique=True))
    expected = [expected[i] for i in picked]
    models = list(dict.fromkeys(e.model for e in expected))
    sizes = oracle.k_anonymity_per_class(example.rows, example.keys)
    for judge in (planned, verified):
        told = dict(zip(models, judge(engine, example, *models), strict=True))
        for one in expected:
            assert_as_expected(told[one.model], one, sizes)


# -- one at a time -----------------------------------------------------------------------------------------------------


def of_classes(rows: Sequence[tuple[Any, Any]], **more: Any) -> Example:
    """(class, sensitive value) pairs as an example."""
    made = [
        {"q0": key, "s": value, "v": None, "g": None, "items": None, "p": str(i)} for i, (key, value) in enumerate(rows)
    ]
    return Example(made, made, [{"q0": key} for key, _ in rows], **more)


def test_every_model_has_a_judge_of_its_own_and_says_what_it_leaves() -> None:
    from sqlanon.models import MODELS
    from sqlanon.verify.judges import JUDGES

    assert {model for model in MODELS.values() if not model.estimated} == set(JUDGES)
    wanted = ("Measure:", "Source:", "Leaves:", "Raises")
    short = [
        m.name for m in MODELS.values() if not all(word in (m.__doc__ or "") for word in wanted) and m.name not in OLD
    ]
    assert short == []


OLD = ("l-diversity",)  # its three kinds are told one by one


@pytest.fixture(scope="module")
def many(engine: Engine) -> None:
    """A table of one class of three million records."""
    remake(engine, "many", f"AS SELECT 'a' AS q0, (i % 3000)::VARCHAR AS s FROM {several(engine, 3_000_000)}")


@BOTH
@pytest.mark.usefixtures("many")
def test_theta_takes_more_than_the_largest_integers_of_the_engine(engine: Engine, judge: Judge) -> None:
    model = ThetaSensitivity("s", 0.5, "k", 4)
    if judge is planned:
        chain = measured(
            Rows("many", ("q0",)), needed([model]), {"s": arrange("s", needed([model]), relation="many")[1]}
        )
        (row,) = engine.run("judge", chain.query.then("judgement", judgement((model,), chain)))
        (found,) = verdicts((model,), row)
    else:
        (found,) = verify(engine, Published("many", ("q0",), None, "many", {}, {}), (model,)).verdicts
    assert (found.value, found.holds) == (pytest.approx((3000**2 - 1) / 12), True)


@pytest.mark.parametrize("k", range(2, 31))
def test_what_theta_implies_is_the_worst_of_all_classes_of_k_that_satisfy_it(k: int) -> None:
    def partitions(n: int, most: int) -> Iterator[tuple[int, ...]]:
        if n == 0:
            yield ()
        for first in range(min(n, most), 0, -1):
            yield from ((first, *rest) for rest in partitions(n - first, first))

    spread = [(counts, definition.variance(counts)) for counts in partitions(k, k)] if k <= 20 else []
    for mu in (Fraction(1, 2), Fraction(3, 5), Fraction(4, 5), Fraction(9, 10), Fraction(1)):
        top = implied_top(k, mu)
        assert definition.variance((top, *[1] * (k - top))) >= mu * Fraction(k * k - 1, 12)
        assert top == k or definition.variance((top + 1, *[1] * (k - top - 1))) < mu * Fraction(k * k - 1, 12)
        satisfying = [counts for counts, v in spread if v >= mu * Fraction(k * k - 1, 12)]
        if spread:
            assert (max(c[0] for c in satisfying), min(map(len, satisfying))) == (top, k - top + 1)


def test_theta_takes_its_k_from_the_k_anonymity_beside_it_and_is_refused_without() -> None:
    assert complete([KAnonymity(4), ThetaSensitivity("s")])[1] == ThetaSensitivity("s", k=4)
    assert complete([ThetaSensitivity("s", theta="n")]) == (ThetaSensitivity("s", theta="n"),)
    with pytest.raises(ValueError, match="theta-sensitivity needs k"):
        complete([ThetaSensitivity("s")])


@BOTH
def test_the_report_on_theta_tells_what_was_measured_and_what_is_implied(engine: Engine, judge: Judge) -> None:
    example = of_classes([(1, v) for v in "aabcd"] + [(2, v) for v in "abcde"])
    (found,) = judge(engine, example, ThetaSensitivity("s", 0.6, k=5))

    assert found.details == {"worst_confidence": pytest.approx(0.4), "least_distinct": 4}
    assert found.implied == {"class_size": 5, "worst_confidence": 0.4, "least_distinct": 4}
    assert found.to_dict()["details"] == found.details


@BOTH
def test_two_sensitive_columns_have_models_of_their_own(engine: Engine, judge: Judge) -> None:
    rows = [{"q0": 1, "s": s, "node": n, "v": v, "g": None, "items": None, "p": s} for s, n, v in
            (("hiv", "flu", 1), ("flu", "flu", 20), ("tb", "flu", 40))]  # fmt: skip
    example = Example(rows, rows, [{"q0": 1}] * 3)
    models = PPlusSensitivity("s", 2), PSensitivity("node", 2), KEAnonymity("v", 3, 39)

    assert [(v.value, v.holds) for v in judge(engine, example, *models)] == [(2, True), (1, False), (39, True)]


NAMES = [
    "group_label",
    "number",
    "near",
    "population",
    "item",
    "guard",
    "known",
    "transaction",
    'a"b',
    "$s",
    "a\nb",
    "place",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_the_name_that_a_step_would_use(engine: Engine, name: str) -> None:
    quoted = '"{}"'.format(name.replace('"', '""'))
    for role in ("key", "sensitive"):
        key, value = (quoted, "s") if role == "key" else ("q0", quoted)
        rows = "VALUES (1, 'hiv', 1), (1, 'flu', 7), (2, 'tb', 2)"
        remake(engine, "named", f"AS SELECT * FROM ({rows}) AS t({key}, {value}, w)")
        of, by = ("s", name) if role == "key" else (name, "q0")
        models = (
            PPlusSensitivity(of, 1),
            ThetaSensitivity(of, k=1),
            EpsilonMAnonymity("w", 6, 1),
            KMap(1),
            DeltaDisclosure(of, 9),
        )
        steps, references = Query(()), {}
        for column in (of, "w"):
            made_steps, references[column] = arrange(
                column, needed(models), relation="named", rows=PATHS, family="integer" if column == "w" else "text"
            )
            steps = steps.join(made_steps)
        chain = measured(Rows("named", (by,), population="named"), needed(models), references)
        (row,) = engine.run("judge", steps.join(chain.query).then("judgement", judgement(models, chain)))
        assert [v.value for v in verdicts(models, row)][:4] == [1, 0, 1, 1]


# -- the worked vectors ------------------------------------------------------------------------------------------------


CATEGORIES = {"HIV": "1", "Cancer": "1", "Hepatitis": "2", "Phthisis": "2", "Asthma": "3", "Obesity": "3",
              "Indigestion": "4", "Flu": "4"}  # fmt: skip


def of_vector(name: str) -> Example:
    found = vectors.vector(name)
    return of_classes([(row[0], row[1]) for row in found["rows"]])


@pytest.mark.parametrize("name", ["theta-table-4a", "theta-table-4b", "theta-table-8b", "theta-table-8a"])
@BOTH
def test_theta_finds_the_classes_that_violate_it_in_the_tables_of_the_paper(
    engine: Engine, judge: Judge, name: str
) -> None:
    expected = vectors.vector(name)["expected"]
    (found,) = judge(engine, of_vector(name), ThetaSensitivity("s", 0.6, k=4))

    assert found.classes_violating == len(expected["violating"])
    assert found.value == pytest.approx(min(expected["variance"].values()))
    assert found.bound == pytest.approx(0.75)


@BOTH
def test_two_classes_that_satisfy_theta_can_be_united_to_one_that_does_not(engine: Engine, judge: Judge) -> None:
    found = vectors.vector("theta-not-monotone")
    mu, k = found["params"]["mu"], found["params"]["k"]
    apart = of_classes([tuple(row) for row in found["rows"]])
    united = of_classes([("A+B", row[1]) for row in found["rows"]])

    assert [judge(engine, e, ThetaSensitivity("s", mu, k=k))[0].holds for e in (apart, united)] == [True, False]
    assert not ThetaSensitivity.monotone


def test_theta_of_a_class_of_different_values_and_what_it_implies_are_those_of_the_vectors() -> None:
    found = vectors.vector("theta-full-diverse")["expected"]
    for k, variance in found["variance_full"].items():
        assert float(definition.variance([1] * int(k))) == pytest.approx(variance)
        assert ThetaSensitivity("s", 0.6, k=int(k)).bound == pytest.approx(found["theta"][k])
    for mu, by_k in vectors.vector("theta-implied-alpha")["expected"].items():
        for k, told in by_k.items():
            top = implied_top(int(k), exact(float(mu)))
            assert (top, int(k) - top + 1) == (told["max_top_frequency"], told["min_distinct"]), (mu, k)


@pytest.mark.parametrize("name", ["p-family-4a", "p-family-4b"])
@BOTH
def test_the_p_family_finds_the_numbers_of_the_vectors(engine: Engine, judge: Judge, name: str) -> None:
    expected = vectors.vector(name)["expected"]
    rows = [(v, c, "*") for v, c in CATEGORIES.items()]
    example = of_vector(name)
    load(engine, "rows", example, example.rows)
    models = (
        PSensitivity("s", 3, 4), PPlusSensitivity("s", 2, 4), PAlphaSensitivity("s", 3, 1, 4),
        PAlphaSensitivity("s", 3, 1, 4, weight="record"), BalancedPPlusSensitivity("s", 2, 0),
    )  # fmt: skip
    if judge is planned:
        steps, reference = arrange("s", needed(models), relation="rows", rows=rows)
        chain = measured(Rows("rows", ("q0",)), needed(models), {"s": reference})
        (row,) = engine.run("judge", steps.join(chain.query).then("judgement", judgement(models, chain)))
        found = verdicts(models, row)
    else:
        found = verify(engine, Published("rows", ("q0",), None, "rows", {}, {"s": tuple(rows)}), models).verdicts
    counts = expected["category_counts"].values()
    off = max(max(c.values()) - min(c.values()) for c in counts)
    weights = [min(expected[f"weight_{kind}"].values()) for kind in ("distinct", "tuples")]

    assert [v.value for v in found] == [expected["p"], expected["p_plus"], *map(pytest.approx, weights), off]
    assert [v.holds for v in found] == [True, True, True, True, off == 0]


@BOTH
def test_the_numeric_models_find_the_numbers_of_the_vectors(engine: Engine, judge: Judge) -> None:
    def example(name: str) -> Example:
        rows = [{"q0": g, "v": v, "s": None, "p": "A", "items": None} for g, v in vectors.vector(name)["rows"]]
        return Example(rows, rows, [{"q0": "x"}])

    (span,) = judge(engine, example("(k,e)"), KEAnonymity("v", 3, 20))
    assert (span.value, span.holds) == (20, True)
    (near,) = judge(engine, example("(eps,m)"), EpsilonMAnonymity("v", 1, 2))
    assert (near.value, near.holds) == (0.5, True)
    united = [{**row, "q0": "G"} for row in example("(eps,m)").rows]
    (merged,) = judge(engine, Example(united, united, [{"q0": "x"}]), EpsilonMAnonymity("v", 1, 2))
    assert (merged.value, merged.holds) == (0.75, False)
    (relative,) = judge(engine, example("(eps,m)-relative"), EpsilonMAnonymity("v", 0.05, 2, "relative"))
    assert (relative.value, relative.holds) == (0.5, True)


@BOTH
def test_delta_disclosure_counts_absent_values(engine: Engine, judge: Judge) -> None:
    found = vectors.vector("delta-disclosure-absent")
    (verdict,) = judge(engine, of_vector("delta-disclosure-absent"), DeltaDisclosure("s", 3))
    assert (verdict.value, verdict.holds, verdict.classes_violating) == (None, False, 1)
    present = of_classes([tuple(row) for row in found["rows"]] + [("c2", "x")])
    assert judge(engine, present, DeltaDisclosure("s", 3))[0].value == pytest.approx(math.log2(0.5 / (2 / 9)))


@BOTH
def test_a_union_never_has_more_delta_since_an_absent_value_is_infinite(engine: Engine, judge: Judge) -> None:
    found = vectors.vector("delta-disclosure-present-only-not-monotone")
    apart = [tuple(row) for row in found["rows"]]
    united = [("A+B" if key in ("A", "B") else key, value) for key, value in apart]
    model = DeltaDisclosure("s", found["expected"]["A+B"] + 0.001)

    assert judge(engine, of_classes(apart), model)[0].classes_violating == 2  # A and the other lack a value
    assert judge(engine, of_classes(united), model)[0].classes_violating == 1


@BOTH
def test_a_ratio_of_exactly_delta_does_not_hold(engine: Engine, judge: Judge) -> None:
    example = of_classes([("a", v) for v in "xxyy"] + [("b", v) for v in "xyyyyyyy"])
    loose, tight = judge(engine, example, DeltaDisclosure("s", 1.0001), DeltaDisclosure("s", 1))
    assert [v.value for v in (loose, tight)] == pytest.approx([1, 1])
    assert [v.holds for v in (loose, tight)] == [True, False]


@BOTH
def test_population_models_find_the_numbers_of_the_vectors(engine: Engine, judge: Judge) -> None:
    rows = [{"q0": q, "s": None, "v": None, "p": "A", "items": None} for (q,) in vectors.vector("k-map")["rows"]]
    people = [{"q0": q} for q, n in (("A", 3), ("B", 5), ("C", 2)) for _ in range(n)]
    least, alone = judge(engine, Example(rows, rows, people), KMap(3), KAnonymity(2))
    assert (least.value, least.holds, alone.value) == (3, True, 1)

    table = vectors.vector("delta-presence")["rows"]
    rows = [{"q0": q, "s": None, "v": None, "p": "A", "items": None} for q, inside in table if inside]
    example = Example(rows, rows, [{"q0": q} for q, _ in table])
    wide, narrow = judge(engine, example, DeltaPresence(0.5), DeltaPresence(0.5, 0.1))
    assert (wide.value, wide.holds, narrow.holds) == (0.5, True, False)


@BOTH
def test_k_m_anonymity_finds_the_supports_of_the_vector(engine: Engine, judge: Judge) -> None:
    found = vectors.vector("k^m")
    rows = [{"q0": "x", "s": None, "v": None, "p": "A", "items": row[0]} for row in found["rows"]]
    told = judge(engine, Example(rows, rows, [{"q0": "x"}]), *(KMAnonymity("items", 3, m) for m in (1, 2, 3)))
    assert [v.value for v in told] == [found["expected"][f"min_support_m{m}"] for m in (1, 2, 3)]
    assert [v.holds for v in told] == [True, True, False]


@BOTH
def test_the_items_of_a_text_are_parted_by_its_separator(engine: Engine, judge: Judge) -> None:
    for separator in (";", "|", "^", "]", "\\", "-", "."):
        rows = [{"q0": "x", "s": separator.join(x), "v": None, "p": "A", "items": None} for x in ("ab", "abc", "ac")]
        (found,) = judge(engine, Example(rows, rows, [{"q0": "x"}]), KMAnonymity("s", 1, 2, separator))
        assert found.value == 1, separator


@BOTH
def test_personalised_privacy_finds_the_breach_of_the_vector(engine: Engine, judge: Judge) -> None:
    tree = (("flu", "respiratory", "*"), ("pneumonia", "respiratory", "*"), ("gastritis", "digestive", "*"))
    rows = [
        {"q0": 1, "s": s, "g": g, "v": None, "p": o, "items": None}
        for o, s, g in vectors.vector("personalised")["rows"]
    ]
    example, model = Example(rows, rows, [{"q0": 1}]), PersonalisedPrivacy("s", "g", 0.5)
    load(engine, "rows", example, rows)
    if judge is planned:
        steps, reference = arrange("s", needed([model]), relation="rows", rows=tree)
        chain = measured(Rows("rows", ("q0",)), needed([model]), {"s": reference})
        (row,) = engine.run("judge", steps.join(chain.query).then("judgement", judgement((model,), chain)))
        (found,) = verdicts((model,), row)
    else:
        (found,) = verify(engine, Published("rows", ("q0",), None, "rows", {}, {"s": tree}), (model,)).verdicts
    assert (found.value, found.holds) == (0.5, True)
