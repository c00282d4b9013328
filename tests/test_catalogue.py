"""Every model of the catalogue in a release from end to end: what holds is published, what does not is not.

What is published is read back by plain Python and held against the oracle's definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import oracle
import oracle_models as definition
import pytest

import sqlanon
from sqlanon import life
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError

TREE = {"grave": {"infection": ["hiv", "tb"], "tumour": ["cancer"]}, "light": {"lung": ["asthma", "flu"]}}
PATHS = (
    ("hiv", "infection", "grave", "*"), ("tb", "infection", "grave", "*"), ("cancer", "tumour", "grave", "*"),
    ("asthma", "lung", "light", "*"), ("flu", "lung", "light", "*"),
)  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDB]:
    """600 patients, and the 2,400 people that they are from."""
    with sqlanon.connect(f"duckdb:///{tmp_path / 'clinic.duckdb'}") as found, found.one_thread():
        found.run(
            "make",
            """CREATE TABLE patients AS SELECT i AS id, (i * 37) % 60 AS age, (i * 11) % 7 AS ward,
            ['hiv', 'tb', 'cancer', 'asthma', 'flu'][1 + (i * i + i // 7) % 5] AS disease, (i * 7919) % 100 AS pay,
            CASE WHEN i % 9 = 0 THEN 'infection' WHEN i % 11 = 0 THEN 'lung' END AS guard,
            [['a', 'b'], ['b', 'c'], ['a', 'b', 'c']][1 + i % 3] AS drugs FROM range(600) AS r(i)""",
        )
        found.run(
            "make", "CREATE TABLE people AS SELECT (i * 37) % 60 AS age, (i * 11) % 7 AS ward FROM range(2400) AS r(i)"
        )
        yield found


def spec(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "source": "patients",
        "columns": {
            "id": "identifier", "age": {"role": "quasi-identifier", "hierarchy": {"width": [5, 10, 20, 60]}},
            "ward": "quasi-identifier", "pay": "sensitive",
            "disease": {"role": "sensitive", "hierarchy": {"tree": TREE}},
            "guard": "drop", "drugs": "sensitive",
        },
        "privacy": list(models),
        "recoding": {"method": "full-domain", "suppression": 0.05},
        "publish": {"name": "out"},
        **more,
    }  # fmt: skip


def rows(engine: DuckDB) -> list[dict[str, Any]]:
    columns = [name for name, *_ in engine.run("describe", "DESCRIBE out")]
    return [dict(zip(columns, row, strict=True)) for row in engine.run("read", "FROM out")]


KEYS = ("age", "ward")
Rows = list[dict[str, Any]]


def groups(found: Rows, group: dict[str, str]) -> list[Any]:
    """The records per group of diseases in every class."""
    return [c for c in definition.groups_per_class(found, KEYS, "disease", group).values() if c is not None]


def worst(measure: Any, found: Rows, *more: Any) -> Any:
    """The least value of a measure of the oracle over all classes."""
    return min(measure(found, KEYS, *more).values())


LEVEL, GRAVE = definition.at_level(PATHS, 1), definition.protected(PATHS, ["grave"])
HOLD: list[tuple[dict[str, Any], Callable[[Rows], bool]]] = [
    ({"model": "p-sensitivity", "column": "disease", "p": 4, "k": 5},
     lambda r: oracle.distinct_l(r, KEYS, "disease") >= 4 and oracle.k_anonymity(r, KEYS) >= 5),
    ({"model": "p-plus-sensitivity", "column": "disease", "p": 3},
     lambda r: all(len(c) >= 3 for c in groups(r, LEVEL))),
    ({"model": "p-alpha-sensitivity", "column": "disease", "p": 3, "alpha": 1.5},
     lambda r: worst(definition.weight_per_class, r, "disease", PATHS, 1, False) >= 1.5),
    ({"model": "extended-p-sensitivity", "column": "disease", "p": 2, "protected": ["grave"]},
     lambda r: all(len(c) >= 2 for c in groups(r, GRAVE))),
    ({"model": "balanced-p-plus-sensitivity", "column": "disease", "p": 2, "b": 30},
     lambda r: all(max(c.values()) - min(c.values()) <= 30 for c in groups(r, LEVEL))),
    ({"model": "theta-sensitivity", "column": "disease", "mu": 0.5, "k": 4},
     lambda r: worst(definition.theta_per_class, r, "disease") >= Fraction(1, 2) * 15 / 12),
    ({"model": "k-e-anonymity", "column": "pay", "k": 5, "e": 40},
     lambda r: worst(definition.span_per_class, r, "pay") >= 40),
    ({"model": "epsilon-m-anonymity", "column": "pay", "epsilon": 5, "m": 3},
     lambda r: max(definition.near_per_class(r, KEYS, "pay", Fraction(5), False).values()) * 3 <= 1),
    ({"model": "delta-disclosure", "column": "disease", "delta": 2},
     lambda r: max(definition.log_ratio_per_class(r, KEYS, "disease", r).values()) < 2),
    ({"model": "sample-uniqueness", "share": 0.01}, lambda r: definition.small_share(r, KEYS, 2) <= 0.01),
    ({"model": "m-uniqueness", "m": 5, "share": 0.02}, lambda r: definition.small_share(r, KEYS, 5) <= 0.02),
    ({"model": "k-m-anonymity", "column": "drugs", "k": 100, "m": 2},
     lambda r: (definition.least_support(r, "drugs", 2) or 0) >= 100),
]  # fmt: skip


@pytest.mark.parametrize(("model", "holds"), HOLD, ids=[model["model"] for model, _ in HOLD])
def test_a_release_satisfies_its_model_when_it_is_read_back(engine: DuckDB, model: dict[str, Any], holds: Any) -> None:
    made = sqlanon.release(spec(model), engine)

    assert made.verdicts[0].holds
    assert len(rows(engine)) >= 570
    assert holds(rows(engine))
    again = life.verify(engine, "out")
    assert (again.holds, again.unchanged) == (True, True)


BREAK = [
    {"model": "p-plus-sensitivity", "column": "disease", "p": 4},
    {"model": "theta-sensitivity", "column": "disease", "mu": 1, "k": 60},
    {"model": "k-e-anonymity", "column": "pay", "k": 5, "e": 1000},
    {"model": "epsilon-m-anonymity", "column": "pay", "epsilon": 90, "m": 3},
    {"model": "delta-disclosure", "column": "pay", "delta": 0.001},
    {"model": "k-m-anonymity", "column": "drugs", "k": 300, "m": 3},
    {"model": "personalised-privacy", "column": "disease", "guard": "guard", "breach": 0.01},
    {"model": "k-map", "k": 2401},
    {"model": "population-uniqueness", "share": 0, "population": 600, "estimator": "zayatz"},
]


@pytest.mark.parametrize("model", BREAK, ids=[model["model"] for model in BREAK])
def test_nothing_is_published_where_a_model_cannot_hold(engine: DuckDB, model: dict[str, Any]) -> None:
    engine.run("spread", "CREATE OR REPLACE TABLE patients AS SELECT * REPLACE (id % 600 AS age) FROM patients")
    with pytest.raises(ModelNotMet):
        sqlanon.release(spec(model, population="people", recoding={"levels": {"age": 1, "ward": 0}}), engine)
    assert engine.kind_of("out") is None


def test_a_release_is_a_k_map_although_it_is_not_k_anonymous(engine: DuckDB) -> None:
    engine.run("thin", "DELETE FROM patients WHERE id % 6 <> 0")
    made = sqlanon.release(spec({"model": "k-map", "k": 4}, population="people"), engine)
    people = [dict(zip(KEYS, row, strict=True)) for row in engine.run("read", _recoded(made, "people"))]
    found = definition.population_per_class(rows(engine), KEYS, people)

    assert min(found.values()) == made.verdicts[0].value >= 4
    assert oracle.k_anonymity(rows(engine), KEYS) < 4
    assert life.verify(engine, "out").holds


def _recoded(made: sqlanon.Release, table: str) -> str:
    """The quasi-identifiers of a table at the levels of a release, in SQL of its own."""
    level = made.planned.plan.levels
    width = [1, 5, 10, 20, 60, None][level["age"]]
    lower = f"(age // {width}) * {width}"
    age = {1: "age", None: "'*'"}.get(width, f"'[' || {lower} || ', ' || ({lower} + {width}) || ')'")
    return f"SELECT {age}, {'ward' if level['ward'] == 0 else chr(39) + '*' + chr(39)} FROM {table}"


def test_presence_in_the_release_stays_within_its_bounds(engine: DuckDB) -> None:
    made = sqlanon.release(
        spec({"model": "delta-presence", "minimum": 0.1, "maximum": 0.5}, population="people", recoding={}), engine
    )
    people = [dict(zip(KEYS, row, strict=True)) for row in engine.run("read", _recoded(made, "people"))]
    by_class = definition.population_per_class(rows(engine), KEYS, people)
    sizes = oracle.k_anonymity_per_class(rows(engine), KEYS)

    assert all(0.1 <= sizes[key] / by_class[key] <= 0.5 for key in sizes)
    assert by_class.keys() == oracle.classes(people, KEYS).keys()


def test_the_guarding_nodes_are_kept_and_not_published(engine: DuckDB) -> None:
    model = {"model": "personalised-privacy", "column": "disease", "guard": "guard", "breach": 0.6}
    made = sqlanon.release(spec(model), engine)

    assert made.verdicts[0].holds and "guard" not in rows(engine)[0]
    assert life.verify(engine, "out").holds  # the rows are the same, so what was judged stands
    engine.run("change", "UPDATE out SET disease = 'hiv'")
    assert not life.verify(engine, "out").holds


def test_a_view_judges_new_rows_by_the_new_models_too(engine: DuckDB) -> None:
    models = ({"model": "k-anonymity", "k": 2}, {"model": "theta-sensitivity", "column": "disease", "mu": 0.5},
              {"model": "p-plus-sensitivity", "column": "disease", "p": 2})  # fmt: skip
    sqlanon.release(spec(*models, publish={"name": "out", "as": "view"}), engine)
    before = len(rows(engine))
    engine.run("arrive", "INSERT INTO patients SELECT 1000 + i, 59, 100, 'hiv', 1, NULL, [] FROM range(50) AS r(i)")

    found = rows(engine)
    wards = {row["ward"] for row in found}
    assert "100" not in map(str, wards) or len(found) == before
    assert all(v >= Fraction(1, 2) * 3 / 12 for v in definition.theta_per_class(found, KEYS, "disease").values())


def test_a_model_that_needs_statistics_is_refused_in_a_view(engine: DuckDB) -> None:
    model = {"model": "population-uniqueness", "share": 0.5, "population": 100_000}
    with pytest.raises(SpecError, match="a view cannot re-check this model"):
        sqlanon.release(spec(model, publish={"name": "out", "as": "view"}), engine)


def test_population_uniqueness_is_judged_by_the_published_classes(engine: DuckDB) -> None:
    model = {"model": "population-uniqueness", "share": 0.05, "population": 100_000}
    made = sqlanon.release(spec(model), engine)

    assert made.verdicts[0].holds and made.verdicts[0].value is not None
    assert made.planned.verdicts[0].value == pytest.approx(made.verdicts[0].value)


def safepub(**more: Any) -> dict[str, Any]:
    told = spec(
        {"model": "safepub", "epsilon": 1, "delta": 0.01}, recoding={"levels": {"age": 3, "ward": 1}, "suppression": 1}
    )
    told["columns"] = {
        **dict.fromkeys(told["columns"], "drop"),
        "age": told["columns"]["age"],
        "ward": "quasi-identifier",
    }
    return {**told, **more}


def test_a_safepub_release_is_a_random_sample_without_small_classes(engine: DuckDB) -> None:
    sizes = set()
    for _ in range(3):
        made = sqlanon.release(safepub(), engine)
        classes = oracle.k_anonymity_per_class(rows(engine), KEYS)
        assert min(classes.values()) >= 21 == made.verdicts[0].bound
        assert made.verdicts[0].implied == {"sampling": pytest.approx(0.6321205588), "k": 21}
        sizes.add(len(rows(engine)))
    assert all(300 < size < 460 for size in sizes)
    assert engine.run("look", "SELECT count(*) FROM duckdb_tables() WHERE temporary")[0][0] == 0


def test_the_sql_of_a_safepub_plan_draws_the_sample_itself(engine: DuckDB) -> None:
    sql = sqlanon.plan(safepub(), engine).sql(engine)
    engine.connection.execute(sql)
    assert 300 < len(rows(engine)) < 460


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recoding": {"suppression": 1}}, "levels that are fixed without looking"),
        ({"recoding": {"levels": {"age": 3, "ward": 1}, "suppression": 0.1}}, "suppression: 1"),
        ({"entity": "id"}, "no entity can be named"),
        ({"privacy": [{"model": "safepub", "epsilon": 1, "delta": 0.01}, {"model": "average-risk", "risk": 1}]},
         "other models decide by the data"),
        ({"publish": {"name": "out", "as": "view"}}, "a view cannot re-check"),
    ],
)  # fmt: skip
def test_what_would_break_the_proof_of_safepub_is_refused(engine: DuckDB, change: dict[str, Any], said: str) -> None:
    told = safepub(**change)
    if "entity" in change:
        told["columns"]["id"] = "identifier"
    with pytest.raises(SpecError, match=said):
        sqlanon.release(told, engine)


def test_a_sensitive_column_is_refused_beside_safepub(engine: DuckDB) -> None:
    told = safepub()
    told["columns"]["pay"] = "insensitive"
    with pytest.raises(SpecError, match="every published column is a quasi-identifier"):
        sqlanon.plan(told, engine)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"model": "k-e-anonymity", "column": "disease", "k": 2, "e": 1}, "needs numbers or dates, and 'disease'"),
        ({"model": "k-m-anonymity", "column": "disease", "k": 2, "m": 1}, "needs a list, or a text and its separator"),
        ({"model": "p-plus-sensitivity", "column": "pay", "p": 2}, "hierarchy of kind tree or csv"),
        ({"model": "p-plus-sensitivity", "column": "disease", "p": 2, "level": 3}, "levels of categories from 1 to 2"),
        ({"model": "extended-p-sensitivity", "column": "disease", "p": 2, "protected": ["infektion"]},
         "did you mean 'infection'"),
        ({"model": "k-map", "k": 2}, "needs `population:`"),
        ({"model": "theta-sensitivity", "column": "disease"}, "theta-sensitivity needs k"),
        ({"model": "personalised-privacy", "column": "disease", "guard": "guards", "breach": 1}, "mean 'guard'"),
        ({"model": "personalised-privacy", "column": "disease", "guard": "age", "breach": 1}, "cannot be a quasi"),
        ({"model": "t-closeness", "column": "disease", "t": 1.1}, "t is a distance from 0 to 1"),
        ({"model": "l-diversity", "column": "disease", "l": 0}, "l must be at least 1"),
        ({"model": "delta-disclosure", "column": "disease", "delta": 0}, "delta is a number above 0"),
        ({"model": "delta-presence", "minimum": 0.5, "maximum": 0.1}, "minimum is at most maximum"),
        ({"model": "epsilon-m-anonymity", "column": "pay", "epsilon": 1, "m": 2, "kind": "relative"}, "below 1"),
        ({"model": "safepub", "epsilon": 0, "delta": 0.1}, "epsilon is a number above 0"),
    ],
)  # fmt: skip
def test_a_model_that_makes_no_sense_here_is_a_clear_error(engine: DuckDB, model: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        sqlanon.plan(spec(model), engine)


def test_a_population_that_is_smaller_than_the_sample_is_refused(engine: DuckDB) -> None:
    engine.run("thin", "DELETE FROM people WHERE age <> 1")
    with pytest.raises(SpecError, match="fewer than the source's 600"):
        sqlanon.plan(spec({"model": "k-map", "k": 2}, population="people"), engine)
    with pytest.raises(SpecError, match="fewer than the 600 of the sample"):
        sqlanon.check("patients", quasi_identifiers=["age"], models=["k-map(k=2)"], engine=engine, population="people")


def test_a_population_without_the_columns_or_with_other_types_is_refused(engine: DuckDB) -> None:
    engine.run("make", "CREATE TABLE others AS SELECT age::VARCHAR AS age, ward AS room FROM people")
    for names, said in ((["age"], "the source's is BIGINT"), (["ward"], "no such column")):
        with pytest.raises(SpecError, match=said):
            sqlanon.check(
                "patients", quasi_identifiers=names, models=["k-map(k=2)"], engine=engine, population="others"
            )


def test_check_reports_every_measure_and_takes_every_model(engine: DuckDB) -> None:
    tree = sqlanon.Tree(TREE)
    found = sqlanon.check(
        "patients", quasi_identifiers=["age"], sensitive=["disease", "pay"], engine=engine, population="people",
        hierarchies={"disease": tree},
    )  # fmt: skip
    told = {(m["model"], m["column"]) for m in found.to_dict()["models"]}
    for name in ("theta-sensitivity", "delta-disclosure", "p-sensitivity"):
        assert {(name, "disease"), (name, "pay")} <= told
    assert {("p-plus-sensitivity", "disease"), ("k-e-anonymity", "pay"), ("k-map", None)} <= told
    asked = [
        "population-uniqueness(share=1, population=9999)", "k-m-anonymity(column=drugs, k=2, m=2)",
        "personalised-privacy(column=disease, guard=guard, breach=1)",
        "theta-sensitivity(column=disease, theta=n, mu=0.1)",
    ]  # fmt: skip
    judged = sqlanon.check(
        "patients", quasi_identifiers=["age"], models=asked, engine=engine, hierarchies={"disease": tree}
    )
    assert len(judged.verdicts) == 4 and judged.holds


def test_a_changed_release_is_found_out(engine: DuckDB) -> None:
    sqlanon.release(spec({"model": "p-plus-sensitivity", "column": "disease", "p": 3}), engine)
    engine.run("change", "UPDATE out SET disease = 'flu'")
    found = life.verify(engine, "out")
    assert (found.holds, found.unchanged) == (False, False)


def test_a_release_is_not_made_of_a_population_that_is_gone(engine: DuckDB) -> None:
    sqlanon.release(spec({"model": "k-map", "k": 2}, population="people"), engine)
    engine.run("lose", "DROP TABLE people")
    found = life.verify(engine, "out")
    assert found.holds and any("cannot be read" in note for note in found.notes)
    with pytest.raises((SpecError, ReleaseError), match="no such table"):
        sqlanon.release(spec({"model": "k-map", "k": 2}, population="people"), engine)


def test_a_preset_stands_for_its_models_and_tells_its_source(engine: DuckDB) -> None:
    made = sqlanon.release(spec({"preset": "hipaa-expert"}), engine)

    told = {(v.model, v.column, v.bound) for v in made.verdicts}
    diverse = {("l-diversity", name, 2) for name in ("pay", "disease", "drugs")}
    assert told == {("k-anonymity", None, 12), ("average-risk", None, 0.05), *diverse}
    assert oracle.k_anonymity(rows(engine), KEYS) >= 12
    assert any("45 CFR 164.514(b)(1)" in note for note in made.planned.notes)
    assert life.verify(engine, "out").holds


def test_check_judges_by_a_preset(engine: DuckDB) -> None:
    found = sqlanon.check(
        "patients", quasi_identifiers=["age", "ward"], sensitive=["pay"], models=["cms-11"], engine=engine
    )
    assert [(v.model, v.bound, v.holds) for v in found.verdicts] == [("k-anonymity", 11, False)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"preset": "hipaa-experts"}, "did you mean 'hipaa-expert'"),
        ({"preset": "cms-11", "k": 3}, "a preset has no parameters"),
        ({"preset": "hipaa-safe-harbor"}, "asks for no model that a release can be judged by"),
        ({"preset": "dp-safepub"}, "safepub needs recoding.levels"),
        ({"preset": 7}, "there is no such preset"),
    ],
)
def test_a_preset_that_makes_no_sense_here_is_a_clear_error(engine: DuckDB, entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        sqlanon.plan(spec(entry), engine)
