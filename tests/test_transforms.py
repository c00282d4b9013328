"""Transforms that a spec names: how they are read, what is refused, and what stands in the release, read back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tries import tries

import sqlanon
from sqlanon import life, planning
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet, SpecError, SqlanonError
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.release import release
from sqlanon.spec import load, schema

NASTY = "\"; DROP TABLE x; --$n\n'"
FORMS = ("table", "view", "out.duckdb", "out.parquet")
QI = "quasi-identifier"
Rows = list[tuple[Any, ...]]

ROUNDING = {"transform": "rounding", "column": "income", "base": 1000}
CODING = {"transform": "coding", "column": "age", "top": 90}
NOISE = {"transform": "additive-noise", "column": "income", "scale": 50}
FACTOR = {"transform": "multiplicative-noise", "column": "income", "scale": 0.1}
SWAP = {"transform": "rank-swapping", "column": "income", "share": 0.1}
PRAM = {"transform": "pram", "column": "town", "keep": 0.7}
MEAN = {"transform": "microaggregation", "columns": ["age", "income"], "k": 5, "statistic": "mean"}
DRAWING = (NOISE, FACTOR, SWAP, PRAM, MEAN)

SPEC = """\
source: people
columns:
  id: identifier
  age: {role: quasi-identifier, hierarchy: {width: [5, 20]}}
  town: sensitive
  income: insensitive
  born: drop
transforms:
  - {transform: rounding, column: income, base: 1000}
  - {transform: coding, column: age, top: 90}
privacy:
  - {model: k-anonymity, k: 2}
publish: {name: rel, as: view}
"""


@pytest.fixture
def engine() -> Iterator[DuckDB]:
    with sqlanon.connect() as found:
        yield found


def people(engine: DuckDB, n: int = 400, kind: str = "DECIMAL(12, 2)") -> Rows:
    """A table of n people; incomes are all different."""
    engine.run("make", f"CREATE OR REPLACE TABLE people (id INTEGER, age INTEGER, town VARCHAR, income {kind})")
    engine.run(
        "fill",
        "INSERT INTO people SELECT i, (hash(i) % 100)::INT, 'town ' || hash(i + 1) % 6, 37 * i + 11"
        f" FROM range({n}) r (i)",
    )
    return engine.run("read", "SELECT * FROM people")


def spec(*transforms: Any, **more: Any) -> dict[str, Any]:
    age = {"role": QI, "hierarchy": {"width": [5, 20]}}
    columns = {"id": "identifier", "age": age, "town": "sensitive", "income": "insensitive"}
    known = {"source": "people", "columns": columns, "privacy": [{"model": "k-anonymity", "k": 2}]}
    known["recoding"] = {"method": "full-domain"}
    return {**known, "publish": {"name": "rel"}, "transforms": list(transforms), **more}


def placed(form: str, folder: Path) -> dict[str, Any]:
    return {"name": "rel", **({"as": "file", "path": str(folder / form)} if "." in form else {"as": form})}


def read(engine: DuckDB, form: str = "table", folder: Path = Path()) -> Rows:
    """The released rows, as a reader without sqlanon gets them."""
    if "." not in form:
        return engine.run("read", "SELECT * FROM rel")
    with duckdb.connect(str(folder / form) if form.endswith("duckdb") else ":memory:") as file:
        return file.execute(
            f"SELECT * FROM {'rel' if form.endswith('duckdb') else repr(str(folder / form))}"
        ).fetchall()


def refused(given: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(given)
    return caught.value


# -- the spec ----------------------------------------------------------------------------------------------------------


CODED = "coding, column: age, top: 90"
# What stands instead of what in SPEC; the line and the word at which that is told; what is told; the right word.
WRONG = [
    (
        "transform: rounding",
        "transform: roundin",
        9,
        "roundin",
        "there is no such transform; found 'roundin'",
        "rounding",
    ),
    ("transform: rounding", "transfrom: rounding", 9, "{", "the key 'transform' is missing", "transform"),
    ("base: 1000", "bas: 1000", 9, "bas", "there is no such key; found 'bas'", "base"),
    ("base: 1000", "base: 0", 9, "0}", "base must be greater than 0", None),
    ("base: 1000", "base: many", 9, "many", "needs a number", None),
    ("column: income", "column: incme", 9, "incme", "columns has no such column; found 'incme'", "income"),
    ("column: income", "column: id", 9, "id,", "only what is published can be transformed, and this column is", None),
    ("column: income", "column: born", 9, "born", "can be transformed, and this column is drop", None),
    ("top: 90", "top: old", 10, "old", "needs a number, or a date like 2000-12-31", None),
    (", top: 90", "", 10, "{", "coding needs a bottom, a top or both", None),
    (
        CODED,
        "rounding, column: income, base: 5",
        10,
        "income",
        "transforms[0] is rounding of this column already",
        None,
    ),
    (CODED, "pram, column: town, keep: 1", 10, "1}", "keep must be less than 1", None),
    (CODED, "rank-swapping, column: age, share: 2", 10, "2}", "share must be at most", None),
    (CODED, "microaggregation, columns: [age], k: 1", 10, "1}", "k must be at least 2", None),
    (CODED, "microaggregation, columns: [age, agr], k: 3", 10, "agr", "no such column", "age"),
    (CODED, "microaggregation, columns: [age], k: 3, block: 2", 10, "2}", "block must hold at least one group", None),
    (CODED, "additive-noise, column: age, scale: 1, distribution: gauss", 10, "gauss", "not a word for this", None),
    (
        CODED,
        "additive-noise, column: age, scale: 1",
        13,
        "view",
        "additive-noise cannot stand in a view: a view w",
        None,
    ),
    (CODED, "rank-swapping, column: age, share: 0.1", 13, "view", "a view would pair its records anew", None),
]


@pytest.mark.parametrize(("old", "new", "line", "word", "problem", "suggestion"), WRONG)
def test_a_wrong_transform_is_refused_with_its_line_its_word_and_the_nearest_right_one(
    tmp_path: Path, old: str, new: str, line: int, word: str, problem: str, suggestion: str | None
) -> None:
    assert SPEC.count(old) == 1
    text, file = SPEC.replace(old, new), tmp_path / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    error = refused(file)
    assert str(error).startswith(f"{file}:{line}:{text.splitlines()[line - 1].rindex(word) + 1}: ")
    assert problem in str(error).splitlines()[0]
    assert error.suggestion == suggestion


def test_what_a_transform_says_of_itself_is_read_as_the_same_transform() -> None:
    every = [
        ROUNDING, {**CODING, "bottom": -0.5}, NOISE | {"distribution": "laplace"}, FACTOR, SWAP, MEAN | {"block": 64},
        {"transform": "pram", "column": "town", "matrix": {"a": {"a": 0.5, NASTY: 0.5}}},
    ]  # fmt: skip
    assert {one["transform"] for one in every} == set(TRANSFORMS)
    for one in every:
        (made,) = load(spec(one)).transforms
        assert load(spec(made.to_dict())).transforms == (made,)
        assert {key: value for key, value in made.to_dict().items() if key in one} == one
        assert made.told


def test_dates_may_be_written_as_dates_or_as_texts() -> None:
    for bound in (date(1930, 1, 2), "1930-01-02"):
        (made,) = load(spec({"transform": "coding", "column": "age", "bottom": bound})).transforms
        assert made.to_dict()["bottom"] == "1930-01-02"


def test_the_schema_accepts_every_transform_and_refuses_typing_errors() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    validator = jsonschema.Draft202012Validator(schema())
    for one in (ROUNDING, CODING, *DRAWING, {**CODING, "top": "2000-01-01"}):
        validator.validate(spec(one))
    for wrong in ({**ROUNDING, "bas": 1}, {**ROUNDING, "transform": "round"}, {**NOISE, "distribution": "cauchy"}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(spec(wrong))


def test_what_would_break_another_promise_is_refused() -> None:
    guarded = {"model": "personalised-privacy", "column": "town", "guard": "income", "breach": 0.5}
    assert "wants to be guarded by" in str(refused(spec(ROUNDING, privacy=[guarded])))
    aged = {**NOISE, "column": "age"}
    kmap = {"model": "k-map", "k": 2}
    assert "population table cannot be changed alike" in str(refused(spec(aged, privacy=[kmap], population="all")))
    assert load(spec(CODING, privacy=[kmap], population="all"))
    private = {"privacy": [{"model": "safepub", "epsilon": 1, "delta": 0.1}], "columns": {"age": QI}}
    private["recoding"] = {"suppression": 1, "levels": {"age": 0}}
    assert "one value alone" in str(refused(spec(aged, **private)))
    assert load(spec(CODING, **private))


# -- the release -------------------------------------------------------------------------------------------------------


def rounded(value: Decimal | None, base: Decimal) -> Decimal | None:
    """The nearest multiple, halves up."""
    return None if value is None else ((value / base + Decimal("0.5")).to_integral_value(ROUND_FLOOR)) * base


def shown(rows: Rows, width: int, base: Decimal, limits: tuple[int, int], k: int) -> Counter[Any]:
    """The released rows by the definitions: transformed, then generalised, then without the small classes."""
    found = []
    for age, income, town in rows:
        coded = None if age is None else min(max(age, limits[0]), limits[1])
        low = coded // width * width if coded is not None and width else None
        label = coded if low is None else f"[{low}, {low + width})"
        found.append((label, rounded(income, base), town))
    sizes = Counter(row[0] for row in found)
    return Counter(row for row in found if sizes[row[0]] >= k)


ages = st.none() | st.integers(-3, 12)
incomes = st.none() | st.decimals(-30, 30, places=2)
records = st.lists(st.tuples(ages, incomes, st.sampled_from(["a", "b", None, NASTY])), min_size=1, max_size=20)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=tries(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=records, later=records, width=st.sampled_from([0, 5]), base=st.sampled_from(["0.5", "2", "7"]),
       k=st.integers(1, 3))  # fmt: skip
def test_what_is_generalised_judged_and_published_is_the_transformed_value(
    tmp_path: Path, form: str, rows: Rows, later: Rows, width: int, base: str, k: int
) -> None:
    with sqlanon.connect() as engine:
        engine.run("make", 'CREATE TABLE t ("a\'g" INTEGER, i DECIMAL(9, 2), s VARCHAR)')
        fill(engine, rows)
        wanted = {
            "source": "t", "publish": placed(form, tmp_path), "privacy": [{"model": "k-anonymity", "k": k}],
            "columns": {"a'g": {"role": QI, "hierarchy": {"width": [5]}}, "i": "insensitive", "s": "sensitive"},
            "transforms": [
                {"transform": "rounding", "column": "i", "base": Decimal(base)},
                {"transform": "coding", "column": "a'g", "bottom": 0, "top": 9},
            ],
            "recoding": {"suppression": 1, "levels": {"a'g": 1 if width else 0}},
        }  # fmt: skip
        expected = shown(rows, width, Decimal(base), (0, 9), k)
        try:
            made = release(load(wanted), engine)
        except ModelNotMet:
            assert not expected
            return
        assert Counter(read(engine, form, tmp_path)) == expected
        assert made.to_dict()["transforms"] == [t.to_dict() for t in load(wanted).transforms]
        assert Counter(engine.run("read", "SELECT * FROM t")) == Counter(rows)
        if form == "view":
            fill(engine, later)
            now = shown([*rows, *later], width, Decimal(base), (0, 9), k)
            assert Counter(read(engine, form)) == now
            assert (life.verify(engine, "rel").rows, life.verify(engine, "rel").holds) == (now.total(), True)
        else:
            (tmp_path / form).unlink(missing_ok=True)


def fill(engine: DuckDB, rows: Sequence[tuple[Any, ...]]) -> None:
    places = ", ".join("(?, ?, ?)" for _ in rows)
    engine.run("fill", f"INSERT INTO t VALUES {places}", [cell for row in rows for cell in row])


@pytest.mark.parametrize("transform", DRAWING, ids=lambda t: t["transform"])
def test_the_same_key_makes_the_same_table_whatever_the_threads_and_the_order(
    engine: DuckDB, transform: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    people(engine)
    engine.run("turn", "CREATE TABLE turned AS SELECT * FROM people ORDER BY hash(id + 5)")
    made = {}
    for key, threads, source in (("one", 1, "people"), ("one", 2, "turned"), ("two", 2, "people")):
        monkeypatch.setenv("SQLANON_KEY", key)
        engine.run("set", f"SET threads = {threads}")
        release(load(spec(transform, source=source)), engine)
        made[key, threads] = Counter(read(engine))
    assert made["one", 1] == made["one", 2]
    assert (made["one", 1] == made["two", 2]) == (transform is MEAN)  # which draws nothing


def test_without_a_key_every_release_draws_anew_and_keeps_the_key_from_everything(
    engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(engine)
    monkeypatch.delenv("SQLANON_KEY", raising=False)
    found = []
    for _ in range(2):
        release(load(spec(NOISE)), engine)
        found.append(Counter(read(engine)))
    assert found[0] != found[1]
    monkeypatch.setenv("SQLANON_KEY", "s3cret key")
    made = release(load(spec(NOISE)), engine)
    everything = engine.run("read", "SELECT * FROM sqlanon.release")
    everything += engine.run("read", "SELECT comment, sql FROM duckdb_tables()")
    everything += engine.run("read", "SELECT comment FROM duckdb_columns()")
    assert "s3cret" not in f"{everything} {made.to_dict()} {made.planned.sql(engine)}"


def test_noise_has_its_scale_and_a_swap_keeps_every_value(engine: DuckDB) -> None:
    before = people(engine, 2000)
    release(load(spec(NOISE, PRAM)), engine)
    after = sorted(read(engine), key=lambda row: row[2])
    assert [type(row[2]) for row in after] == [float] * 2000
    total = sum((Decimal(row[2]) for row in after), Decimal(0)) - sum((row[3] for row in before), Decimal(0))
    assert 0 < abs(total) / 2000 < 5  # the mean of 2000 draws of 50
    release(load(spec(SWAP)), engine)
    swapped = engine.run("read", "SELECT income FROM rel")
    assert Counter(swapped) == Counter((row[3],) for row in before)
    pairs = {(row[1], row[2], row[3]) for row in before}
    exact = engine.run("read", "SELECT age, town, income FROM rel")
    assert len([row for row in exact if row in pairs]) < 400


def test_microaggregation_of_all_quasi_identifiers_is_k_anonymous_by_itself(engine: DuckDB) -> None:
    people(engine)
    both = {"id": "identifier", "age": QI, "town": "sensitive", "income": QI}
    levels = {"recoding": {"levels": {"age": 0, "income": 0}}, "privacy": [{"model": "k-anonymity", "k": 5}]}
    made = release(load(spec(MEAN, columns=both, **levels)), engine)
    found = read(engine)
    assert len(found) == 400 and min(Counter((age, income) for age, _, income in found).values()) >= 5
    assert made.to_dict()["suppressed"] == 0
    ages = [row[0] for row in engine.run("read", "SELECT age FROM people")]
    assert math.isclose(sum(age for age, _, _ in found), sum(ages), rel_tol=1e-9)  # means keep sums


def test_transforms_follow_one_another_and_types_follow_them(engine: DuckDB) -> None:
    people(engine)
    declared = {
        "id": "identifier", "age": {"role": QI, "type": "integer", "hierarchy": {"width": [5, 20]}},
        "town": "sensitive", "income": {"role": QI, "type": "decimal", "hierarchy": {"width": [1000, 5000]}},
    }  # fmt: skip
    noisy = [NOISE, {**ROUNDING, "base": 10}, {"transform": "coding", "column": "income", "bottom": 0, "top": 10000}]
    release(load(spec(*noisy, columns=declared, recoding={"suppression": 0.5})), engine)
    assert engine.run("types", "SELECT data_type FROM duckdb_columns() WHERE table_name = 'rel'") == [("VARCHAR",)] * 3
    for twice in (noisy, noisy[::-1]):
        release(load(spec(*twice)), engine)
        values = [row[2] for row in read(engine)]
        assert all(value % 10 == 0 for value in values) == (twice is noisy)
        assert (min(values) >= 0 and max(values) <= 10000) == (twice is noisy)


def test_a_column_that_a_transform_cannot_change_is_refused_with_its_type(engine: DuckDB) -> None:
    people(engine)
    for wrong, says in (
        ({**ROUNDING, "column": "town"}, r"transforms\[1\]: rounding: rounding cannot change the column 'town'; found"),
        ({**CODING, "top": "2000-01-01"}, r"transforms\[1\]: coding: the bounds are not of the column's type"),
        ({**MEAN, "columns": ["age", "town"]}, r"transforms\[1\]: microaggregation: texts have no mean"),
    ):
        with pytest.raises(SpecError, match=says):
            release(load(spec(NOISE, wrong)), engine)
    tree = {"role": QI, "hierarchy": {"tree": {"low": ["1", "2"]}}}
    columns = {"id": "identifier", "age": tree, "town": "sensitive", "income": "insensitive"}
    with pytest.raises(SpecError, match="not in the hierarchy"):
        release(load(spec(MEAN, columns=columns)), engine)


def test_a_mean_that_a_hierarchy_cannot_generalise_is_refused(engine: DuckDB) -> None:
    people(engine)
    masked = {"role": QI, "hierarchy": {"mask": 3}}
    columns = {"id": "identifier", "age": masked, "town": "sensitive", "income": "insensitive"}
    release(load(spec(columns=columns)), engine)
    with pytest.raises(SpecError, match="a mask hierarchy cannot generalise a column of type DOUBLE"):
        release(load(spec(MEAN, columns=columns)), engine)


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_any_name_are_transformed(engine: DuckDB, tmp_path: Path, form: str) -> None:
    engine.run("x", "CREATE TABLE x (i INTEGER)")
    odd = NASTY.replace('"', '""')
    engine.run(
        "make", f"CREATE TABLE t AS SELECT i AS \"{odd}\", i % 3 AS record_number, 'v' AS source FROM range(60) r (i)"
    )
    columns = {NASTY: "insensitive", "record_number": QI, "source": "sensitive"}
    named = {"transform": "rounding", "column": NASTY, "base": 20}
    drawn = [{"transform": "rank-swapping", "column": NASTY, "share": 0.5}] if form != "view" else []
    wanted = spec(named, *drawn, source="t", columns=columns, publish=placed(form, tmp_path))
    release(load(wanted), engine)
    found = Counter(row[0] for row in read(engine, form, tmp_path))
    assert found == {0: 10, 20: 20, 40: 20, 60: 10}
    assert engine.kind_of("x") == "table"


def test_a_model_that_does_not_hold_leaves_the_previous_release_and_no_working_table(engine: DuckDB) -> None:
    people(engine)
    release(load(spec(SWAP)), engine)
    before = Counter(read(engine))
    for failing in ([{"model": "k-anonymity", "k": 401}], [{"model": "l-diversity", "column": "town", "l": 50}]):
        with pytest.raises(ModelNotMet):
            release(load(spec(NOISE, privacy=failing)), engine)
        assert Counter(read(engine)) == before
    assert engine.run("list", "SELECT table_name FROM duckdb_tables() WHERE temporary") == []
    assert life.verify(engine, "rel").holds


def test_verify_names_no_working_table_that_is_gone(engine: DuckDB) -> None:
    people(engine)
    near = {"model": "t-closeness", "column": "town", "t": 0.9}
    models = [{"model": "k-anonymity", "k": 2}, near]
    release(load(spec(PRAM, privacy=models)), engine)
    ((recheck,),) = engine.run("read", "SELECT recheck FROM sqlanon.release WHERE status = 'published'")
    assert "sqlanon transformed" not in recheck
    found = life.verify(engine, "rel")
    assert found.holds and found.notes == ("as judged at the release, on the same rows: t-closeness",)
    release(load(spec(ROUNDING, privacy=models)), engine)
    found = life.verify(engine, "rel")
    assert found.holds and found.notes == ()  # measured again, on the source as a query changes it


@pytest.mark.parametrize("also", [[], [NOISE]], ids=["in place", "in a table"])
def test_a_population_is_changed_alike(engine: DuckDB, also: list[Any]) -> None:
    people(engine)
    engine.run("all", "CREATE TABLE everybody AS SELECT 95 AS age FROM range(7) UNION ALL SELECT age FROM people")
    wanted = spec(*also, CODING, privacy=[{"model": "k-map", "k": 5}], population="everybody")
    made = release(load({**wanted, "recoding": {"levels": {"age": 0}, "suppression": 1}}), engine)
    ages = Counter(min(row[0], 90) for row in engine.run("read", "SELECT age FROM everybody"))
    kept = {age for age, n in ages.items() if n >= 5}
    assert {row[0] for row in read(engine)} == kept and 90 in kept
    assert made.verdicts[0].value == min(ages[age] for age in kept)
    assert life.verify(engine, "rel").holds


def test_usefulness_is_told_against_the_values_as_they_were(engine: DuckDB) -> None:
    people(engine)
    low = {"transform": "coding", "column": "income", "top": 0}
    columns = {"id": "identifier", "age": QI, "town": "drop", "income": "sensitive"}
    planned = sqlanon.plan(spec(low, columns=columns), engine, utility=True)
    shift = planned.to_dict()["utility"]["distribution_shift"]["income"]
    assert shift["total_variation"] == 1 and not any("transformed values" in note for note in planned.notes)
    planned = sqlanon.plan(spec({**NOISE, "column": "age"}, recoding={"levels": {"age": 0}, "suppression": 1}), engine,
                           utility=True)  # fmt: skip
    assert any("told against the transformed values" in note for note in planned.notes)


def test_the_printed_sql_is_what_runs(engine: DuckDB, monkeypatch: pytest.MonkeyPatch) -> None:
    people(engine)
    monkeypatch.setenv("SQLANON_KEY", "key")
    for transforms in ([ROUNDING, CODING], [SWAP, NOISE, PRAM]):
        wanted = load(spec(*transforms))
        planned = planning.make(wanted, engine)
        engine.drop_temporary("sqlanon transformed")
        text = planned.sql(engine)
        assert ("sqlanon.functions" in text) == (SWAP in transforms)
        engine.run("clear", "DROP TABLE IF EXISTS rel")
        with engine.functions("key"):
            engine.run("run the script", text)
        by_hand = Counter(read(engine))
        engine.run("clear", 'DROP TABLE rel; DROP TABLE IF EXISTS temp."sqlanon transformed"')
        release(wanted, engine)
        assert Counter(read(engine)) == by_hand
        engine.run("clear", "DROP TABLE rel; DROP SCHEMA sqlanon CASCADE")


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_of_the_release_is_told_of_every_transform(engine: DuckDB, tmp_path: Path, form: str) -> None:
    people(engine)
    made = release(load(spec(ROUNDING, CODING, publish=placed(form, tmp_path))), engine)
    known = [t.to_dict() for t in load(spec(ROUNDING, CODING)).transforms]
    assert made.entry.to_dict()["made"] == {"transforms": known} == life_of(engine, form, tmp_path).to_dict()["made"]
    if "." not in form:
        told = dict(engine.run("read", "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'rel'"))
        assert told["income"] == "insensitive, rounded to multiples of 1000"
        assert told["age"].startswith("quasi-identifier, coded at top 90, width hierarchy, level ")
        assert told["town"] == "sensitive, published as it is"


def life_of(engine: DuckDB, form: str, folder: Path) -> Any:
    return life.verify(engine, str(folder / form) if "." in form else "rel").entry


def test_a_transform_changes_what_a_fingerprint_says(engine: DuckDB) -> None:
    people(engine)
    plans = [sqlanon.plan(spec(*t), engine).plan.fingerprint for t in ((), (NOISE,), ({**NOISE, "scale": 51},))]
    assert len(set(plans)) == 3


def test_safepub_draws_from_the_transformed_records(engine: DuckDB) -> None:
    people(engine, 3000)
    private = [{"model": "safepub", "epsilon": 1, "delta": 0.1}]
    columns = {"id": "identifier", "age": QI, "town": "drop", "income": "drop"}
    release(
        load(spec({**CODING, "top": 50}, privacy=private, columns=columns,
                  recoding={"suppression": 1, "levels": {"age": 0}})), engine,
    )  # fmt: skip
    found = [row[0] for row in read(engine)]
    assert max(found) == 50 and found.count(50) > 500


def test_no_error_of_a_transform_quotes_a_cell(engine: DuckDB) -> None:
    engine.run("make", "CREATE TABLE people AS SELECT i AS id, 3 AS age, 'Alice Meyer' AS town, 1 AS income"
               " FROM range(2) r (i)")  # fmt: skip
    for wrong, more in (
        ({"transform": "coding", "column": "town", "top": 3}, {}),
        (PRAM, {"privacy": [{"model": "k-anonymity", "k": 3}]}),
        (PRAM, {"columns": {"id": "identifier", "age": "insensitive", "income": "insensitive",
                            "town": {"role": QI, "hierarchy": {"tree": {"x": ["Bob"]}}}}}),
    ):  # fmt: skip
        with pytest.raises(SqlanonError) as caught:
            release(load(spec(wrong, **more)), engine)
        assert "Alice" not in str(caught.value)
