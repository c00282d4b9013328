"""Where usefulness is asked for: `plan`, `release`, `check`, in Python and on the command line; what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pytest
from server import remake, several, working_tables
from test_utility import table

import sqlanon
from sqlanon import demo
from sqlanon.cli import main
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Date, Hierarchy, Mask, Order, Tree, Width
from sqlanon.utility import Against, Recoded, Utility, compared, measure

BEFORE, AFTER = Origin(relation="before"), Origin(relation="after")
SECRET = "Meyer; DROP TABLE before"


@pytest.fixture
def engine(either: Engine) -> Engine:
    return either


def measured(engine: Engine, *columns: Recoded, **more: Any) -> Utility:
    return measure(engine, AFTER, BEFORE, columns=columns, **{"queries": 0, **more})


def one(
    engine: Engine, kind: str, values: Sequence[Any], labels: Sequence[Any], hierarchy: Hierarchy | None, **more: Any
) -> Utility:
    """The usefulness of one column's labels, which have a type of their own."""
    published = more.pop("published", "VARCHAR")
    table(engine, "before", {"x": kind}, [[value] for value in values])
    table(engine, "after", {"x": published}, [[label] for label in labels])
    recoded = Recoded("x", hierarchy, hierarchy.rows(Path())) if hierarchy else Recoded("x")
    return measured(engine, recoded, **more)


# -- every kind of column ----------------------------------------------------------------------------------------------


def test_dates_are_measured_in_their_calendar(engine: Engine) -> None:
    days = [date(2024, 1, 1), date(2024, 1, 31), date(2024, 3, 1), date(2024, 12, 31)]
    months = ["2024-01", "2024-01", "2024-03", "2024-12"]
    told = one(engine, "DATE", days, months, Date(("month", "year")))
    assert told.losses.columns["x"].ncp == pytest.approx(2 / 4 * 30 / 365)
    assert told.losses.precision == pytest.approx(1 / 3)
    times = [datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 18), datetime(2024, 1, 2), datetime(2024, 1, 3)]
    told = one(engine, "TIMESTAMP", times, ["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-03"], Date(("day",)))
    assert told.losses.columns["x"].ncp == pytest.approx(2 / 4 * 12 / 42)


def test_masked_numbers_are_codes_and_no_quantities(engine: Engine) -> None:
    told = one(engine, "INTEGER", [11, 12, 29, 30], ["1*", "1*", "2*", "*"], Mask(2))
    assert told.losses.columns["x"].ncp == pytest.approx((2 / 4 + 2 / 4 + 0 + 1) / 4)
    shift = told.distribution_shift["x"]
    assert shift is not None and shift.earth_mover is None


def test_an_order_of_categories_orders_their_shift_whether_recoded_or_sensitive(engine: Engine) -> None:
    sizes = Order(("S", "M", "L", "XL"))
    told = one(engine, "VARCHAR", ["S", "M", "L", "XL"], ["S..M", "S..M", "L", "L"], sizes)
    shift = told.distribution_shift["x"]
    assert shift is not None and shift.earth_mover == pytest.approx(1 / 4 / 3)
    marks = Order(("3", "1", "2"))
    told = one(engine, "INTEGER", [1, 2, 3], ["3", "3", "3"], marks)
    shift = told.distribution_shift["x"]
    assert shift is not None and shift.earth_mover == pytest.approx((1 / 3 + 2 / 3) / 2), "an order beats the numbers"
    table(engine, "before", {"x": "INTEGER", "s": "VARCHAR"}, [[1, "S"], [1, "M"], [1, "L"], [1, "XL"]])
    table(engine, "after", {"x": "INTEGER", "s": "VARCHAR"}, [[1, "S"], [1, "M"], [1, "L"], [1, "L"]])
    shift = measured(engine, Recoded("x"), sensitive={"s": sizes}).distribution_shift["s"]
    assert shift is not None and (shift.total_variation, shift.earth_mover) == pytest.approx((1 / 4, 1 / 4 / 3))


def test_values_that_a_file_shows_as_another_type_are_still_the_same(engine: Engine) -> None:
    prices = [Decimal("1.50"), Decimal("2.00"), None]
    assert one(engine, "DECIMAL(10, 2)", prices, [1.5, 2.0, None], None, published="DOUBLE").losses.loss == 0
    assert one(engine, "INTEGER", [1, 2, None], [1.0, 2.0, None], None, published="DOUBLE").losses.loss == 0
    days = [date(2024, 1, 1), None]
    assert one(engine, "DATE", days, days, None, published="TIMESTAMP").losses.loss == 0
    ages = Tree({"young": [1, 2], "old": [70]})
    assert one(engine, "INTEGER", [1, 2, 70], [1.0, 2.0, 70.0], ages, published="DOUBLE").losses.loss == 0


def test_signed_zeros_infinities_and_not_a_number_have_their_places(engine: Engine) -> None:
    odd = [0.0, -0.0, float("inf"), float("nan"), None, 4.0]
    told = one(engine, "DOUBLE", odd, ["0.0", "0.0", "inf", "nan", None, "4.0"], None)
    assert told.losses.loss == told.losses.gcp == told.losses.entropy == told.kl_divergence == 0
    told = one(engine, "DOUBLE", odd, ["[0, 2)", "[0, 2)", "*", "*", None, "[4, 6)"], Width((Decimal(2),)))
    assert told.losses.gcp == pytest.approx(2 / 6), "what no interval can hold is *, and * is everything"
    json.dumps(told.to_dict(), allow_nan=False)


def test_a_label_that_stands_at_two_levels_is_taken_for_the_lower_one(engine: Engine) -> None:
    regions = Tree({"Berlin": {"Berlin": ["Mitte", "Wedding"]}, "Hessen": {"Kassel": ["Kassel"]}})
    told = one(engine, "VARCHAR", ["Mitte", "Wedding", "Kassel"], ["Berlin", "Berlin", "Kassel"], regions)
    assert told.losses.precision == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)


def test_bounds_of_every_type_hold_their_values(engine: Engine) -> None:
    for kind, values, ends, width in (
        ("DOUBLE", [-0.0, 0.5, 3.0], [(-0.0, 2.0), (0.0, 2.0), (3.0, 3.0)], "DOUBLE"),
        ("DECIMAL(6, 2)", [Decimal("0.1"), Decimal("1.9"), Decimal(3)], [(0, 2), (0, 2), (3, 3)], "DECIMAL(38, 0)"),
        ("DATE", [date(2024, 1, 1), date(2024, 1, 9), date(2024, 2, 1)],
         [(date(2024, 1, 1), date(2024, 1, 31))] * 2 + [(date(2024, 2, 1), date(2024, 2, 29))], "DATE"),
        ("INTEGER", [0, 1, 9], [(0, 2), (0, 2), (9, 9)], "VARCHAR"),
    ):  # fmt: skip
        table(engine, "before", {"x": kind}, [[value] for value in values])
        table(engine, "after", {"x_from": width, "x_to": width}, ends)
        told = measured(engine, Recoded("x", represent="bounds"))
        assert told.ambiguity == pytest.approx((2 + 2 + 1) / 3), kind
        assert told.kl_divergence == pytest.approx(0, abs=1e-12)


def test_bounds_know_what_is_missing_from_what_is_everything(engine: Engine) -> None:
    table(engine, "before", {"age": "INTEGER", "sex": "VARCHAR"}, [[3, "f"], [4, "f"], [None, "m"], [9, "m"]])
    ends = {"age_from": "BIGINT", "age_to": "BIGINT", "sex": "VARCHAR"}
    table(engine, "after", ends, [[2, 6, "f"], [2, 6, "f"], [None, None, "m"], [9, 9, "m"]])
    age = Recoded("age", Width((Decimal(4), Decimal(8))), represent="bounds")
    told = measured(engine, age, Recoded("sex"))
    assert told.losses.columns["age"].ncp == pytest.approx(2 / 4 * 1 / 6), "a missing age is published as it is"
    assert told.suppressed == 0
    table(engine, "after", ends, [[2, 6, "f"], [2, 6, "f"], [None, None, "*"], [9, 9, "m"]])
    told = measured(engine, age, Recoded("sex"))
    assert told.suppressed == 1, "with * in every other column, it is a starred record"
    table(engine, "before", {"age": "INTEGER", "sex": "VARCHAR"}, [[3, "f"], [4, "f"], [5, "m"], [9, "m"]])
    table(engine, "after", ends, [[2, 6, "f"], [2, 6, "f"], [None, None, "m"], [9, 9, "m"]])
    told = measured(engine, age, Recoded("sex"))
    assert told.losses.columns["age"].ncp == pytest.approx((2 * 2 / 6 + 1) / 4), "nothing is missing: it is everything"


# -- few records, other ones, none -------------------------------------------------------------------------------------


def test_a_release_of_nothing_lost_everything(engine: Engine) -> None:
    told = one(engine, "INTEGER", [1, 1, 2], [], None, queries=20, k=2)
    assert (told.suppressed, told.losses.loss, told.losses.gcp, told.losses.precision) == (3, 1, 1, 1)
    assert told.classes.discernibility == 9
    assert told.distribution_shift == {"x": None}
    assert told.query_error is not None
    assert told.query_error.total.overlap.mean == told.query_error.total.uniform.median == 1
    json.dumps(told.to_dict(), allow_nan=False)


def test_one_record_that_is_published_lost_nothing(engine: Engine) -> None:
    told = one(engine, "VARCHAR", ["a"], ["a"], None, queries=5)
    assert told.losses.loss == told.losses.normalized_entropy == told.kl_divergence == 0
    assert told.ambiguity == 1
    assert told.query_error is not None and told.query_error.total.overlap.mean == 0


def test_invented_records_are_counted_and_no_record_is_suppressed(engine: Engine) -> None:
    told = one(engine, "INTEGER", [1, 2], [1, 2, 2], None, k=1)
    assert (told.records, told.released, told.suppressed) == (2, 3, 0)
    assert told.classes.average_class_size == 1.5
    assert told.losses.entropy == 0


def test_the_divergence_is_infinite_where_nothing_published_covers_a_record(engine: Engine) -> None:
    assert one(engine, "INTEGER", [1, 2], [1, 1], None).kl_divergence is None


def test_an_empty_source_is_refused(engine: Engine) -> None:
    with pytest.raises(SpecError, match="the source has no rows"):
        one(engine, "INTEGER", [], [], None)
    with pytest.raises(SpecError, match="the source has no rows"):
        one(engine, "VARCHAR", [], [], Tree({"a": ["b"]}))


# -- the same whenever it is asked -------------------------------------------------------------------------------------


def test_the_same_seed_tells_the_same_and_blocks_change_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    remake(engine, "before", f"AS SELECT i % 17 AS a, i % 5 AS b, i % 3 AS c FROM {several(engine, 200)}")
    remake(engine, "after", "AS SELECT CASE WHEN a < 9 THEN a::VARCHAR ELSE '*' END AS a, b, c FROM before")
    columns = [Recoded("a"), Recoded("b"), Recoded("c")]
    first = measured(engine, *columns, queries=100, seed=5).to_dict()
    assert measured(engine, *columns, queries=100, seed=5).to_dict() == first
    assert measured(engine, *columns, queries=100, seed=6).to_dict() != first
    monkeypatch.setattr(compared, "BLOCK", 7)
    assert measured(engine, *columns, queries=100, seed=5).to_dict() == first


def test_no_working_table_is_left(engine: Engine) -> None:
    one(engine, "INTEGER", [1, 2], [1, 2], None)
    with pytest.raises(SpecError):
        one(engine, "INTEGER", [1, 2], ["1", SECRET], None)
    assert not [name for name in working_tables(engine) if name.startswith("sqlanon")]


# -- names and values from outside -------------------------------------------------------------------------------------

HOSTILE = (
    '"; DROP TABLE before; --',
    "a'b",
    "new\nline",
    "$s",
    "q0",
    "n",
    "value",
    "select",
    "r0",
    "k0",
    "label",
    "s0",
)


def test_columns_may_be_called_like_anything(engine: Engine) -> None:
    kinds = dict.fromkeys((*HOSTILE, "it's sensitive"), "INTEGER")
    rows = [[(i * (j + 3)) % 5 for j in range(len(kinds))] for i in range(20)]
    table(engine, "before", kinds, rows)
    table(engine, "after", kinds, rows)
    told = measured(engine, *(Recoded(name) for name in HOSTILE), sensitive=["it's sensitive"], queries=30)
    assert told.losses.loss == told.kl_divergence == 0
    assert told.query_error is not None and told.query_error.total.overlap.mean == 0
    assert set(told.distribution_shift) == set(kinds)
    ends = {f"{name}_{end}": "INTEGER" for name in HOSTILE for end in ("from", "to")}
    table(engine, "after", ends, [[cell for cell in row[:-1] for _ in range(2)] for row in rows])
    told = measured(engine, *(Recoded(name, represent="bounds") for name in HOSTILE))
    assert told.losses.loss == told.kl_divergence == 0


def test_values_and_labels_may_be_anything(engine: Engine) -> None:
    values = ["*", "'; DROP TABLE before; --", "", " ", "$q", "a\nb", None]
    told = one(engine, "VARCHAR", values, values, None)
    assert told.losses.gcp == pytest.approx(1 / 7), "a value that is * may be everything"
    paths = Tree({"o'clock": {"": ["a\nb", "$q"]}, "*": {"x": ["y"]}})
    told = one(engine, "VARCHAR", ["a\nb", "$q", "y"], ["", "", "y"], paths)
    assert told.losses.columns["x"].iloss == pytest.approx(2 / 3 * 1 / 2)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_labels_that_cover_nothing_are_counted_by_column_and_never_told(engine: Engine) -> None:
    with pytest.raises(SpecError, match="2 published labels of 'x' cover no value") as failed:
        one(engine, "INTEGER", [1, 2], ["1", SECRET, "Schmidt"], None)
    assert SECRET not in str(failed.value) and "Schmidt" not in str(failed.value)
    with pytest.raises(SpecError, match="1 published label of 'x' covers no value"):
        one(engine, "INTEGER", [1, 2], [None, "1"], None)
    with pytest.raises(SpecError, match="1 published label"):
        one(engine, "VARCHAR", ["a"], ["b"], Tree({"c": ["a", "b"]}))
    table(engine, "before", {"x": "INTEGER"}, [[1]])
    table(engine, "after", {"x_from": "INTEGER", "x_to": "INTEGER"}, [[5, 7]])
    with pytest.raises(SpecError, match="1 published label"):
        measured(engine, Recoded("x", represent="bounds"))


def test_values_that_the_hierarchy_does_not_know_are_counted_and_never_told(engine: Engine) -> None:
    with pytest.raises(SpecError, match="1 value of the source is not in the hierarchy") as failed:
        one(engine, "VARCHAR", ["a", SECRET], ["a", "*"], Tree({"c": ["a"]}))
    assert SECRET not in str(failed.value)


def test_what_is_not_there_is_named_with_the_nearest_that_is(engine: Engine) -> None:
    table(engine, "before", {"age": "INTEGER"}, [[1]])
    table(engine, "after", {"aeg": "INTEGER"}, [[1]])
    with pytest.raises(SpecError, match=r"the release has no such column; found 'age'.*did you mean 'aeg'"):
        measured(engine, Recoded("age"))
    with pytest.raises(SpecError, match=r"the source has no such column; found 'aeg'.*did you mean 'age'"):
        measured(engine, Recoded("aeg"))
    with pytest.raises(SpecError, match="at least one quasi-identifier"):
        measured(engine)
    for number in ("queries", "seed"):
        with pytest.raises(SpecError, match=rf"{number}: this is a whole number, 0 or more; found '-1'"):
            measured(engine, Recoded("age"), **{number: -1})
    with pytest.raises(SpecError, match=r"a mask hierarchy cannot generalise a column of type (DATE|date)"):
        one(engine, "DATE", [date(2024, 1, 1)], ["*"], Mask(3))
    with pytest.raises(SpecError, match="the source has no such column; found 'x_from'"):
        Against(BEFORE).measure(engine, AFTER, ["x_from"], [])


# -- the faces ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with a few of its patients, and three releases of it: a database, a file with ranges, a CSV."""
    home = tmp_path_factory.mktemp("demo")
    demo.write(home, patients=1000)
    lines = (home / "patients.csv").read_text().splitlines(keepends=True)
    (home / "patients.csv").write_text("".join(lines[:1200]))
    levels = "{age: 4, sex: 0, zip: 4, country: 3, admitted: 3}"
    text = (
        (home / "patients.yaml").read_text().replace("loss: loss}", f"loss: loss, suppression: 1, levels: {levels}}}")
    )
    text = text.replace("suppression: 0.02, ", "").replace(
        "width: [5, 10, 20, 40]}", "width: [5, 10, 20, 40]}, REPRESENT"
    )
    (home / "patients.yaml").write_text(text.replace(", REPRESENT", ""))
    for represent in ("bounds", "range"):
        (home / f"{represent}.yaml").write_text(text.replace("REPRESENT", f"represent: {represent}"))
    with sqlanon.connect(f"duckdb:///{home / 'clinic.duckdb'}") as engine:
        for name in ("patients", "bounds", "range"):
            spec = sqlanon.load(home / f"{name}.yaml")
            assert spec.publish is not None
            sqlanon.release(replace(spec, publish=replace(spec.publish, name=name)), engine)
        engine.run("write", f"COPY patients TO '{home / 'released.csv'}'")
    return home


def said(capfd: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command prints as JSON."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.fixture(scope="module")
def labelled(folder: Path) -> dict[str, Any]:
    """The whole usefulness of the demo's plan."""
    with sqlanon.connect() as engine:
        return sqlanon.plan(folder / "patients.yaml", engine, utility=True).to_dict()


def same(one: Mapping[str, Any], two: Mapping[str, Any]) -> None:
    """Equal numbers, in nested objects too."""
    assert set(one) == set(two)
    for name, value in one.items():
        if isinstance(value, dict):
            same(value, two[name])
        elif isinstance(value, list):
            assert len(value) == len(two[name])
            for a, b in zip(value, two[name], strict=True):
                assert a == b if isinstance(a, str) else same(a, b) is None
        else:
            assert two[name] == (pytest.approx(value) if isinstance(value, float) else value), name


def test_check_against_the_source_tells_what_the_plan_told(
    folder: Path, labelled: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    plan = said(capfd, "plan", folder / "patients.yaml", "--utility")
    same(plan["utility"], labelled["utility"])
    spec = ("--spec", folder / "patients.yaml", "--against", folder / "patients.csv")
    database = ("--db", f"duckdb:///{folder / 'clinic.duckdb'}")
    for found in (
        said(capfd, "check", "patients", *spec, *database),
        said(capfd, "check", folder / "released.csv", *spec),
    ):
        same(plan["utility"], found["utility"])
        assert found["quasi_identifiers"] == ["age", "sex", "zip", "country", "admitted"]
        assert {m["column"] for m in found["models"]} == {None, "disease"}
    assert plan["suppressed"] == plan["utility"]["suppressed"] > 0


@pytest.mark.parametrize("represent", ["bounds", "range"])
def test_intervals_are_as_useful_as_the_labels_they_stand_for(
    folder: Path, labelled: dict[str, Any], represent: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("--spec", folder / f"{represent}.yaml", "--against", folder / "patients.csv")
    told = said(capfd, "check", represent, *words, "--db", f"duckdb:///{folder / 'clinic.duckdb'}")
    same(labelled["utility"], told["utility"])


def test_release_tells_its_whole_usefulness_and_the_register_keeps_the_totals_only(
    folder: Path, labelled: dict[str, Any], tmp_path: Path
) -> None:
    spec = sqlanon.load(folder / "patients.yaml")
    assert spec.publish is not None
    publish = replace(spec.publish, as_="file", path=str(tmp_path / "out.parquet"))
    with sqlanon.connect() as engine:
        made = sqlanon.release(replace(spec, publish=publish), engine, utility=True)
    told = made.to_dict()["utility"]
    same(told, labelled["utility"])
    assert told["query_error"]["queries"] == 1000
    assert json.loads(made.entry.utility).keys() == {
        "loss", "precision", "gcp", "discernibility", "average_class_size", "normalized_average_class_size",
    }  # fmt: skip


def test_a_release_whose_starred_class_is_dropped_tells_the_usefulness_of_what_is_published() -> None:
    with sqlanon.connect() as engine:
        rows = [["a", "x"], ["a", "y"], ["b", "x"], ["c", "x"]]
        table(engine, "people", {"q": "VARCHAR", "s": "VARCHAR"}, rows)
        spec = {
            "source": "people", "columns": {"q": "quasi-identifier", "s": "sensitive"},
            "privacy": [{"model": "l-diversity", "column": "s", "l": 2}],
            "recoding": {"suppression": 1, "suppressed": "star", "levels": {"q": 0}}, "publish": {"name": "out"},
        }  # fmt: skip
        made = sqlanon.release(spec, engine, utility=True)
        assert made.planned.notes
        told = made.planned.usefulness
        assert told is not None
        assert (told.released, told.suppressed) == (2, 2)


def test_hierarchies_of_the_command_line_do_as_well_as_a_spec(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "age.csv").write_text("".join(f"{age};{age // 10}x;*\n" for age in range(20, 40)))
    (tmp_path / "before.csv").write_text("age,sex,ill\n20,m,a\n25,m,b\n33,f,a\n38,m,c\n")
    (tmp_path / "after.csv").write_text("age,sex,ill\n2x,m,a\n2x,m,b\n3x,*,a\n3x,*,c\n")
    words = (
        "check",
        tmp_path / "after.csv",
        "--qi",
        "age,sex",
        "--sensitive",
        "ill",
        "--against",
        tmp_path / "before.csv",
    )
    told = said(
        capfd, *words, "--hierarchy", f"age={tmp_path / 'age.csv'}", "--queries", 50, "--model", "k-anonymity(k=2)"
    )
    assert told["utility"]["discernibility_baseline"] == 8
    assert told["utility"]["query_error"]["queries"] == 50
    assert told["utility"]["columns"]["age"]["domain_share"] == 0.5
    assert main([str(word) for word in words]) == 2
    assert "2 published labels of 'age'" in capfd.readouterr().err
    assert main([str(word) for word in (*words, "--hierarchy", f"age={tmp_path / 'age.csv'}")]) == 0
    out = capfd.readouterr().out
    for words_in_it in (
        "What each column lost",
        "COUNT queries",
        "pairs of columns",
        "Against its source of 4 records",
    ):
        assert words_in_it in out


def test_codes_that_a_spec_calls_texts_keep_their_zeros(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "before.csv").write_text("zip\n01234\n01239\n09999\n")
    (tmp_path / "after.csv").write_text("zip\n01234\n01239\n*\n")
    (tmp_path / "spec.yaml").write_text(
        "source: before.csv\ncolumns: {zip: {role: quasi-identifier, type: text, hierarchy: {mask: 5}}}\n"
        "privacy: [{model: k-anonymity, k: 1}]\n"
    )
    words = ("check", tmp_path / "after.csv", "--spec", tmp_path / "spec.yaml", "--against", tmp_path / "before.csv")
    assert said(capfd, *words)["utility"]["gcp"] == pytest.approx(1 / 3)


def test_frames_are_held_against_frames(folder: Path) -> None:
    frame = pandas.read_csv(folder / "patients.csv", parse_dates=["admitted"])
    made = sqlanon.anonymize(frame, folder / "patients.yaml")
    found = sqlanon.check(made, spec=folder / "patients.yaml", against=frame, queries=10)
    assert found.utility is not None
    with sqlanon.connect() as engine:
        planned = sqlanon.plan(folder / "patients.yaml", engine)
    assert found.utility.losses.loss == pytest.approx(planned.utility["loss"])
    assert found.to_dict()["utility"] == found.utility.to_dict()
    assert "utility" not in sqlanon.check(made, quasi_identifiers=["age"]).to_dict()
