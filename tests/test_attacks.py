"""The attacks on classes, against the oracle; what counters them; what is said where one cannot be run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import oracle_attacks as oracle
import pytest
import test_vectors as vectors
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle import Rows
from server import made, remake, several
from tries import tries

from sqlanon.attacks import ATTACKS, Outcome, attack, parse_attack
from sqlanon.attacks.catalogue import (
    BackgroundKnowledge,
    CategoricalSimilarity,
    DeFinetti,
    Homogeneity,
    Identity,
    KnownDistribution,
    Minimality,
    ProbabilisticInference,
    SensitiveVariance,
    Skewness,
    ValuePrediction,
)
from sqlanon.attacks.composition import Composition
from sqlanon.attacks.kinds import Attack, ClassAttack
from sqlanon.attacks.outside import Linkage
from sqlanon.check import check
from sqlanon.engines import Engine, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Hierarchy, Tabled, Width
from sqlanon.models import MODELS, exact
from sqlanon.reading import parse_model

HOSTILE = '"; DROP TABLE t; --'
TINY = Fraction(1, 10**12)  # the one tolerance that the design states
KINDS = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE PRECISION",
    date: "DATE",
    Decimal: "DECIMAL(18, 3)",
    bool: "BOOLEAN",
}


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def load(engine: Engine, name: str, rows: Rows, missing: Mapping[str, str] | None = None) -> None:
    """A table of the rows; a column's type is that of its values, and `missing` where it has none (else a number)."""
    empty = {c: (missing or {}).get(c, "BIGINT") for c in rows[0]}
    of = {c: next((KINDS[type(r[c])] for r in rows if r[c] is not None), empty[c]) for c in rows[0]}
    made(engine, name, of, rows)


def attacked(
    engine: Engine, keys: Sequence[str], sensitive: Sequence[str], *attacks: Attack, **more: Any
) -> tuple[Outcome, ...]:
    found = attack(engine, Origin(relation="t"), quasi_identifiers=keys, sensitive=sensitive, attacks=attacks, **more)
    return found.outcomes


# -- against the oracle ------------------------------------------------------------------------------------------------

CATEGORY = {"u": "1", "v": "1", "w": "2", "x": "2", "y": "3"}
TREE = Tabled(tuple((value, category, "*") for value, category in CATEGORY.items()))


@dataclass(frozen=True)
class Example:
    """A table with a sensitive text `s` and a sensitive number or day `m`."""

    rows: Rows
    keys: tuple[str, ...]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    keys = tuple(f"q{i}" for i in range(draw(st.integers(1, 3))))
    domains: list[list[Any]] = [["a", "b", None], [-1, 0, 7, None], [date(2020, 1, 1), date(2021, 5, 6), None]]
    columns = {key: st.sampled_from(draw(st.sampled_from(domains))) for key in keys}
    columns["s"] = st.sampled_from([*"uvwxy"[: draw(st.integers(1, 5))], None])
    days = [date(1969, 12, 30), date(1970, 1, 1), date(1970, 1, 3), None]
    floats, decimals = [0.1, 0.2, 0.7, 0.8, -0.3, 1e200, None], [Decimal("0.1"), Decimal("0.35"), Decimal("0.6"), None]
    columns["m"] = st.sampled_from(draw(st.sampled_from([days, floats, decimals, [-3, 2, 3, 10**18, None]])))
    cells = draw(st.lists(st.tuples(*columns.values()), min_size=1, max_size=14))
    return Example([dict(zip(columns, row, strict=True)) for row in cells], keys)


def place(value: Any) -> Fraction:
    """Where a number or a day stands, as people write it."""
    return Fraction(value.toordinal()) if isinstance(value, date) else Fraction(str(value))


SHARES = st.sampled_from([0.2, 0.25, 0.3, 1 / 3, 0.4, 0.5, 0.6, 2 / 3, 0.75, 0.9])


@st.composite
def pairs(draw: st.DrawFn, example: Example) -> list[tuple[ClassAttack, oracle.Judge]]:
    """Every attack on classes with drawn parameters, and the oracle's judgement with the same."""
    rows, k = example.rows, min(map(len, oracle.classes(example.rows, example.keys).values()))
    share, whole, ratio = draw(SHARES), draw(st.integers(0, 4)), draw(st.sampled_from([1.25, 1.5, 2, 3, 3.5]))
    margin, mu = draw(st.sampled_from([0, 0.1, 0.25, 2, 5])), draw(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1]))
    near = oracle.prediction("m", exact(margin), exact(share), place)
    return [
        (Identity(whole + 2), oracle.identity(whole + 2)),
        (Homogeneity("s"), oracle.homogeneity("s")),
        (CategoricalSimilarity("s", share), oracle.categorical_similarity("s", CATEGORY.get, exact(share))),
        (CategoricalSimilarity("s"), oracle.categorical_similarity("s", CATEGORY.get, Fraction(1))),
        (SensitiveVariance("s", mu, max(k, 2)), oracle.sensitive_variance("s", exact(mu), max(k, 2))),
        (SensitiveVariance("s", mu, whole + 2), oracle.sensitive_variance("s", exact(mu), whole + 2)),
        (Skewness("s", ratio), oracle.skewness("s", rows, exact(ratio))),
        (Skewness("s", beta=ratio - 1), oracle.relative_gain("s", rows, exact(ratio - 1) + TINY)),
        (BackgroundKnowledge("s", whole), oracle.negation("s", whole)),
        (BackgroundKnowledge("s", whole, share), oracle.belief("s", whole, exact(share))),
        (BackgroundKnowledge("s", whole, 1), oracle.belief("s", whole, Fraction(1))),
        (KnownDistribution("s", share), oracle.known_distribution("s", rows, exact(share) + TINY)),
        (ProbabilisticInference("s", share), oracle.inference("s", exact(share))),
        (Homogeneity("m"), oracle.homogeneity("m")),
        (ValuePrediction("m", margin, share), near),
    ]  # fmt: skip


@given(st.data())
@settings(max_examples=tries(60), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_the_engine_and_the_oracle_agree_on_every_attack_and_a_counter_that_holds_stops_it(
    engine: Engine, data: st.DataObject
) -> None:
    example = data.draw(examples())
    drawn = data.draw(pairs(example))
    assert {type(one) for one, _ in drawn} == {kind for kind in ATTACKS.values() if issubclass(kind, ClassAttack)}
    load(engine, "t", example.rows)
    outcomes = attacked(engine, example.keys, ["s", "m"], *(one for one, _ in drawn), hierarchies={"s": TREE})
    told = {outcome.attack: outcome for outcome in outcomes}
    for one, judge in drawn:
        found = oracle.on_classes(example.rows, example.keys, judge)
        assert_found(told[one], one, found, example)
    if data.draw(st.integers(0, 2)) == 0:
        assert_countered(engine, example, outcomes)


def assert_found(outcome: Outcome, one: ClassAttack, found: oracle.Found, example: Example) -> None:
    reached = outcome.reached
    assert reached is not None, outcome.reason
    worst = (min if one.worst == "min" else max)(found.values.values())
    assert reached.worst == pytest.approx(float(worst), rel=1e-9, abs=1e-9), one
    assert reached.classes == len(found.breached), one
    assert reached.records == found.records(example.rows, example.keys), one
    assert outcome.breached is bool(found.breached), one
    assert (outcome.records, outcome.classes) == (len(example.rows), len(found.values))


def assert_countered(engine: Engine, example: Example, outcomes: Sequence[Outcome]) -> None:
    """Where the counter holds, nothing is breached; where both say the same, it holds if nothing is breached."""
    named = [(o, o.countered_by) for o in outcomes if o.countered_by and o.countered_by.split("(")[0] in KNOWN]
    models = list(dict.fromkeys(parse_model(text) for _, text in named))
    found = check(
        engine, Origin(relation="t"), quasi_identifiers=example.keys, models=models, hierarchies={"s": TREE, "m": TREE}
    )
    holds = dict(zip(models, (v.holds for v in found.verdicts), strict=True))
    for outcome, text in named:
        if holds[parse_model(text)]:
            assert not outcome.breached, (outcome.attack, text)
        elif isinstance(outcome.attack, EQUIVALENT) and (outcome.to_dict()["parameters"].get("c") is None):
            assert outcome.breached, (outcome.attack, text)


KNOWN = tuple(name for name in MODELS if name not in ("k-map", "delta-presence"))
EQUIVALENT = (Identity, Homogeneity, BackgroundKnowledge, ProbabilisticInference)


AROUND = [
    (Identity(), "k"), (CategoricalSimilarity("s"), "tau"), (SensitiveVariance("s"), "mu"), (Skewness("s"), "ratio"),
    (Skewness("s", beta=1), "beta"), (BackgroundKnowledge("s"), "b"), (BackgroundKnowledge("s", 1, 0.5), "c"),
    (KnownDistribution("s"), "gain"), (ProbabilisticInference("s"), "alpha"), (ValuePrediction("m", 1), "threshold"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "parameter"), AROUND, ids=str)
def test_the_breach_starts_where_it_is_said_to_start(engine: Engine, given: Any, parameter: str) -> None:
    cells = [
        ("a", "u", 1),
        ("a", "u", 2),
        ("a", "x", 5),
        ("a", "y", 8),
        ("b", "w", 1),
        ("b", "x", 4),
        ("b", "y", 7),
        ("b", "u", 9),
    ]
    load(engine, "t", [dict(zip("qsm", row, strict=True)) for row in cells])

    def run(one: Attack) -> Outcome:
        (outcome,) = attacked(engine, ["q"], ["s", "m"], one, hierarchies={"s": TREE})
        return outcome

    ((start),) = run(given).starts
    assert start.parameter == parameter
    whole = parameter in ("k", "b")
    for side in (-1, 1):
        value = int(start.value) + side if whole else round(start.value + side * 1e-6, 6)
        expected = {"<": value < start.value, "<=": value <= start.value, ">": value > start.value,
                    ">=": value >= start.value}[start.relation]  # fmt: skip
        assert run(replace(given, **{parameter: value})).breached is expected, value
    if whole:
        assert run(replace(given, **{parameter: int(start.value)})).breached is ("=" in start.relation)


def test_a_table_of_one_record_is_breached_by_everything_but_skewness_and_distribution(engine: Engine) -> None:
    load(engine, "t", [{"q": None, "s": None}])
    outcomes = attack(
        engine, Origin(relation="t"), quasi_identifiers=["q"], sensitive=["s"], hierarchies={"s": TREE}
    ).outcomes
    breached = {o.attack.name: o.breached for o in outcomes if o.reached}
    resisted = {"skewness", "known-distribution"}
    variance = next(o for o in outcomes if o.attack.name == "sensitive-variance")
    assert variance.reason == "needs k: the smallest class has one record, and theta(1) is 0"
    assert breached == {name: name not in resisted for name in breached}
    assert set(breached) == resisted | {
        "identity", "homogeneity", "categorical-similarity", "background-knowledge", "probabilistic-inference",
    }  # fmt: skip


def test_a_class_that_is_off_by_less_than_a_float_can_tell_is_judged_exactly(engine: Engine) -> None:
    remake(engine, "t", f"AS SELECT 1 AS q, (i < 300000)::INT AS s FROM {several(engine, 1_000_000)}")
    for alpha, breached in ((0.7, False), (0.6999999999999999, True)):
        (outcome,) = attacked(engine, ["q"], ["s"], ProbabilisticInference("s", alpha))
        assert outcome.breached is breached


def test_numbers_beyond_any_margin_are_near_to_themselves_only(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "m": value} for value in (math.inf, -math.inf, math.nan, 1e300, 1e300, None)])
    (outcome,) = attacked(engine, ["q"], ["m"], ValuePrediction("m", 1e15, 0.5))
    assert outcome.reached is not None
    assert outcome.reached.worst == pytest.approx(2 / 6)


# -- the worked vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (Homogeneity("sa"), "homogeneity"),
        (CategoricalSimilarity("sa"), "categorical_similarity(share=1)"),
        (CategoricalSimilarity("sa", 0.5), "categorical_similarity(share>=0.5)"),
        (SensitiveVariance("sa", 0.6), "sensitive_variance"),
        (Skewness("sa", 2), "skewness(lift>=2)"),
        (Skewness("sa", beta=1), "skewness(lift>2)"),
        (ProbabilisticInference("sa", 0.4), "probabilistic(alpha>0.4)"),
        (BackgroundKnowledge("sa", 2), "background_knowledge(negate 2 distinct)"),
    ],
    ids=str,
)
def test_the_attacks_breach_the_classes_of_the_vector(engine: Engine, given: Any, key: str) -> None:
    found = vectors.vector("attacks-4a")
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    load(engine, "t", rows)
    tree = Tabled(tuple((value, str(category), "*") for value, category in found["params"]["categories"].items()))
    (outcome,) = attacked(engine, ["ec"], ["sa"], given, hierarchies={"sa": tree})
    assert outcome.reached is not None
    assert outcome.reached.classes == len(found["expected"][key])
    assert outcome.reached.records == 4 * len(found["expected"][key])


@pytest.mark.parametrize(
    ("given", "column"),
    [
        (Homogeneity("sa"), "distinct"), (ProbabilisticInference("sa"), "top_share"),
        (CategoricalSimilarity("sa"), "top_category_share"), (SensitiveVariance("sa"), "variance"),
        (Skewness("sa"), "max_lift"),
    ],
    ids=str,
)  # fmt: skip
def test_the_worst_value_is_that_of_the_vector(engine: Engine, given: Any, column: str) -> None:
    found = vectors.vector("attacks-4a")
    load(engine, "t", [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]])
    tree = Tabled(tuple((value, str(category), "*") for value, category in found["params"]["categories"].items()))
    (outcome,) = attacked(engine, ["ec"], ["sa"], given, hierarchies={"sa": tree})
    values = [of[column] for of in found["expected"]["per_ec"].values()]
    assert outcome.reached is not None
    assert outcome.reached.worst == vectors.close((min if given.worst == "min" else max)(values))


@pytest.mark.parametrize(
    ("name", "margin", "threshold", "keys", "classes"),
    [
        ("jisa-table2", 5, 0.75, ["set"], 2), ("jisa-table3", 5, 0.9, ["age", "height"], 2),
        ("(eps,m)", 1, 0.6, ["g"], 0),
    ],
)  # fmt: skip
def test_value_prediction_breaches_the_classes_of_the_vector(
    engine: Engine, name: str, margin: float, threshold: float, keys: list[str], classes: int
) -> None:
    found = vectors.vector(name)
    load(engine, "t", [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]])
    (outcome,) = attacked(engine, keys, [found["columns"][-1]], ValuePrediction(None, margin, threshold))
    assert outcome.reached is not None
    assert outcome.reached.classes == classes


# -- what is said ------------------------------------------------------------------------------------------------------


def test_without_attacks_all_are_told_and_what_is_missing_is_named(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "s": "u", "m": 3.5}, {"q": 2, "s": "v", "m": 4.5}])
    found = attack(engine, Origin(relation="t"), quasi_identifiers=["q"], sensitive=["s", "m"])
    reasons = {(o.attack.name, o.column): o.reason for o in found.outcomes if o.reason}
    assert {o.attack.name for o in found.outcomes} == set(ATTACKS)
    assert reasons[("categorical-similarity", "s")] == "needs the hierarchy of 's', for its categories (--hierarchy)"
    assert reasons[("value-prediction", "s")] == "needs numbers or dates, and 's' is text"
    assert reasons[("value-prediction", "m")] == "needs a margin, in the unit of the column: value-prediction(margin=5)"
    assert reasons[("linkage", None)] == "needs an external table that names people (--external)"
    assert reasons[("journalist", None)] == reasons[("membership", None)] == "needs a population table (--population)"
    assert reasons[("composition", "s")] == "needs another release of the same source (--with)"
    for undecidable in (Minimality(), DeFinetti()):
        assert reasons[(undecidable.name, None)] == undecidable.sentence
        assert undecidable.sentence.startswith("not decidable on the table")
    told = found.to_dict()
    assert told["breached"] is True
    not_run = [one for one in told["attacks"] if not one["ran"]]
    assert {one["breached"] for one in not_run} == {one["records_breached"] for one in not_run} == {None}


def test_all_attacks_keep_the_parameters_of_those_that_are_named(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "s": "u"}, {"q": 2, "s": "v"}])
    asked = [Identity(17), Skewness(ratio=7)]
    found = attack(
        engine, Origin(relation="t"), quasi_identifiers=["q"], sensitive=["s"], attacks=asked, every=True
    ).outcomes
    assert [o.attack for o in found if o.attack.name in ("identity", "skewness")] == [Identity(17), Skewness("s", 7)]
    assert [o.attack.name for o in found] == sorted((o.attack.name for o in found), key=list(ATTACKS).index)


def test_the_variance_has_the_k_of_the_table_unless_it_is_given(engine: Engine) -> None:
    load(engine, "t", [{"q": i // 4, "s": str(min(i, 3))} for i in range(8)])
    own, given = attacked(engine, ["q"], ["s"], SensitiveVariance(), SensitiveVariance(k=3))
    assert (own.attack, given.attack) == (SensitiveVariance("s", k=4), SensitiveVariance("s", k=3))


def test_an_attack_without_a_column_is_run_on_every_sensitive_one(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "s": "u", "m": 3}, {"q": 1, "s": "v", "m": 3}])
    outcomes = attacked(engine, ["q"], ["s", "m"], Homogeneity())
    assert [(o.column, o.breached) for o in outcomes] == [("s", False), ("m", True)]


def test_a_value_that_the_hierarchy_lacks_is_no_category_and_is_not_quoted(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "s": "Alice Meyer"}, {"q": 1, "s": "u"}])
    with pytest.raises(SpecError, match="the hierarchy lacks 1 of the values") as caught:
        attacked(engine, ["q"], ["s"], CategoricalSimilarity(), hierarchies={"s": TREE})
    assert "Alice" not in repr(caught.value)
    found = attack(engine, Origin(relation="t"), quasi_identifiers=["q"], sensitive=["s"], hierarchies={"s": TREE})
    reasons = {o.attack.name: o.reason for o in found.outcomes}
    assert reasons["categorical-similarity"] == "the hierarchy lacks 1 of the values"
    assert reasons["homogeneity"] is None


def test_an_unknown_measure_breaches() -> None:
    class Unsure(Homogeneity):
        def breached(self) -> str:
            return "cast(null as boolean)"

    with DuckDB() as engine:
        load(engine, "t", [{"q": 1, "s": "u"}, {"q": 1, "s": "v"}])
        (outcome,) = attacked(engine, ["q"], ["s"], Unsure("s"))
    assert outcome.breached is True


NAMES = [HOSTILE, "n", "s", "q0", "source", "category 1", "near 5", 'a"b', "a\nb", "$s", "CLASS_SIZE", "Größe"]


@pytest.mark.parametrize("name", NAMES)
def test_columns_may_have_any_name(engine: Engine, name: str) -> None:
    key, s = name, f"{name} of s"
    cells = [(1, "u"), (1, "u"), (2, "u"), (2, "v"), (2, "w")]
    load(engine, "t", [dict(zip((key, s), row, strict=True)) for row in cells])
    outcomes = attacked(
        engine,
        [key],
        [s],
        Homogeneity(s),
        CategoricalSimilarity(s),
        Skewness(s, 1.5),
        Identity(3),
        hierarchies={s: TREE},
    )
    assert [o.to_dict()["records_breached"] for o in outcomes] == [2, 2, 5, 2]
    assert parse_model(outcomes[0].countered_by or "").column == s  # type: ignore[attr-defined]
    assert engine.run("count", "SELECT count(*) FROM t") == [(5,)]


def test_texts_are_told_apart_whatever_the_collation_of_their_column_says(engine: Engine) -> None:
    remake(engine, "t", "(q INT, s VARCHAR COLLATE NOCASE)")
    engine.run("fill", "INSERT INTO t VALUES (1, 'a'), (1, 'A')")
    assert attacked(engine, ["q"], ["s"], Homogeneity())[0].breached is False


def test_a_zero_with_a_sign_is_no_other_value(engine: Engine) -> None:
    load(engine, "t", [{"q": 0.0, "s": 0.0}, {"q": -0.0, "s": -0.0}])
    identity, homogeneity = attacked(engine, ["q"], ["s"], Identity(2), Homogeneity())
    assert (identity.breached, homogeneity.breached) == (False, True)


BINS = Width((Decimal(5),))
ERRORS: list[tuple[Mapping[str, Any], str]] = [
    ({"quasi_identifiers": ["zipp"]}, "--qi: the relation t has no such column; found 'zipp'.*did you mean 'zip'"),
    ({"quasi_identifiers": []}, "--qi: at least one quasi-identifier is needed"),
    ({"sensitive": ["illnes"]}, "--sensitive: .*found 'illnes'.*did you mean 'illness'"),
    ({"attacks": [Homogeneity("illnes")]}, "--attack: .*found 'illnes'.*did you mean 'illness'"),
    ({"attacks": [Homogeneity()], "sensitive": []}, r"homogeneity\(\): needs a sensitive column"),
    ({"attacks": [CategoricalSimilarity("illness")]}, "needs the hierarchy of 'illness'"),
    ({"attacks": [CategoricalSimilarity("illness", level=2)], "hierarchies": {"illness": TREE}}, "holds everything"),
    ({"attacks": [CategoricalSimilarity("illness")], "hierarchies": {"illness": BINS}}, "needs the hierarchy"),
    ({"attacks": [ValuePrediction("illness", 5)]}, "needs numbers or dates, and 'illness' is text"),
    ({"attacks": [ValuePrediction("zip")]}, "needs a margin, in the unit of the column"),
    ({"attacks": [Linkage()]}, "needs an external table that names people"),
    ({"attacks": [Composition("illness")]}, "needs another release of the same source"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_a_wrong_or_missing_ingredient_is_named(engine: Engine, more: Mapping[str, Any], words: str) -> None:
    load(engine, "t", [{"zip": 1, "illness": "u"}])
    arguments = {"quasi_identifiers": ["zip"], "sensitive": ["illness"], **more}
    with pytest.raises(SpecError, match=words):
        attack(engine, Origin(relation="t"), **arguments)


def test_an_empty_relation_is_refused(engine: Engine) -> None:
    remake(engine, "t", "(q INT, s INT)")
    with pytest.raises(SpecError, match="holds no record"):
        attacked(engine, ["q"], ["s"], Homogeneity())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("homogeneity", Homogeneity()),
        ("skewness(ratio=3)", Skewness(ratio=3)),
        ("skewness", Skewness(ratio=2)),
        ("skewness(column='a b', beta=0.5)", Skewness("a b", beta=0.5)),
        ("value-prediction(margin=5, threshold=0.9)", ValuePrediction(None, 5, 0.9)),
        ("composition(m=3, through=targets)", Composition(None, 3, "targets")),
    ],
)
def test_an_attack_is_read_as_the_command_line_writes_it(text: str, expected: Attack) -> None:
    assert parse_attack(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("homogenity", "there is no such attack.*did you mean 'homogeneity'"),
        ("skewness(ratio=2, beta=1)", "beta and ratio say the same"),
        ("skewness(ratio=1)", "ratio is a number above 1"),
        ("skewness(rato=2)", "there is no such key.*did you mean 'ratio'"),
        ("identity(k=1)", "k must be at least 2"),
        ("identity(k=1.5)", "needs a whole number"),
        ("known-distribution(gain=nan)", "needs a number|needs a finite number"),
        ("probabilistic-inference(alpha=1)", "alpha is a share above 0 and below 1"),
        ("categorical-similarity(tau=1.1)", "tau is a share"),
        ("sensitive-variance(mu=0.1234567)", "mu has at most six decimals"),
        ("value-prediction(margin=-1)", "margin is a number from 0"),
        ("background-knowledge(b=-1)", "b must be at least 0"),
        ("membership(dmin=0.5, dmax=0.2)", "dmin must be at most dmax"),
        ("composition(through=cell)", "not a word for this.*did you mean 'cells'"),
        ("", "an attack is written NAME"),
    ],
)
def test_a_wrong_attack_is_refused_with_the_nearest_right_word(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_attack(text)


def test_every_attack_says_what_it_is_from_where_and_what_counters_it() -> None:
    for name, kind in ATTACKS.items():
        assert kind.name == name
        assert kind.paper
        assert kind.__doc__ and len(kind.__doc__.split()) > 8


def test_hierarchies_that_have_no_rows_tell_no_categories(engine: Engine) -> None:
    load(engine, "t", [{"q": 1, "s": 12}, {"q": 1, "s": 13}])
    hierarchies: dict[str, Hierarchy] = {"s": BINS}
    found = attack(engine, Origin(relation="t"), quasi_identifiers=["q"], sensitive=["s"], hierarchies=hierarchies)
    reasons = {o.attack.name: o.reason for o in found.outcomes}
    assert reasons["categorical-similarity"] == "needs the hierarchy of 's', for its categories (--hierarchy)"
