"""The report's numbers, held against the definitions row by row, on both engines; and its words and files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import oracle
import oracle_attacks
import oracle_prediction
import oracle_risk
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import execute, made
from tries import tries

import sqlanon
import sqlanon.planning
from sqlanon import life
from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.report import charts, page
from sqlanon.report.markdown import markdown

Row = dict[str, Any]
QUICK = settings(
    deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
QI = ("age", "zip", "sex")
TYPES = {"who": "VARCHAR", "age": "INTEGER", "zip": "VARCHAR", "sex": "VARCHAR", "disease": "VARCHAR", "pay": "INTEGER"}


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def table(rng: Random, rows: int) -> list[Row]:
    """People with what is common and what is rare, and missing values."""
    return [
        {
            "who": f"P{rng.randrange(max(rows // 2, 1))}", "age": rng.choice([None, *range(20, 60)]),
            "zip": rng.choice(["10115", "10117", "10243", "20095", None]),
            "sex": rng.choice("FFMM") if rng.random() < 0.98 else None,
            "disease": rng.choice(["flu", "flu", "cold", "asthma", None]),
            "pay": rng.choice([None, 10, 20, 20, 30, 90]),
        }
        for _ in range(rows)
    ]  # fmt: skip


def spec(k: int, *, entity: bool = False, suppression: float = 0.3, **more: Any) -> dict[str, Any]:
    """What the tests plan: levels by hierarchy, k-anonymity and two values per class."""
    return {
        "source": "people", **({"entity": "who"} if entity else {}),
        "columns": {
            "who": "identifier", "age": {"role": "quasi-identifier", "hierarchy": {"width": [10, 20, 40]}},
            "zip": {"role": "quasi-identifier", "hierarchy": {"mask": 5}}, "sex": "quasi-identifier",
            "disease": "sensitive", "pay": "insensitive",
        },
        "privacy": [
            {"model": "k-anonymity", "k": k}, {"model": "l-diversity", "column": "disease", "kind": "distinct", "l": 2},
        ],
        "recoding": {"method": "full-domain", "suppression": suppression}, **more,
    }  # fmt: skip


def label(name: str, level: int, height: int, value: Any) -> Any:
    """A value at a level, by hand."""
    if level == height:
        return "*"
    if level == 0 or value is None:
        return value
    return oracle_attacks.width((10, 20, 40)[level - 1])(value) if name == "age" else oracle_attacks.mask(level)(value)


def released(rows: Sequence[Row], levels: dict[str, int], k: int, entity: bool) -> list[Row]:
    """What a plan with these levels publishes."""
    heights = {"age": 4, "zip": 5, "sex": 1}
    recoded = [{**row, **{n: label(n, levels[n], heights[n], row[n]) for n in QI}} for row in rows]
    kept = []
    for members in oracle.classes(recoded, QI).values():
        size = len({row["who"] for row in members}) if entity else len(members)
        if size >= k and len({row["disease"] for row in members}) >= 2:
            kept += members
    return kept


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Row], int, bool]:
    rng = Random(draw(st.integers(0, 10**9)))
    return table(rng, draw(st.integers(12, 60))), draw(st.integers(1, 4)), draw(st.booleans())


@settings(QUICK, max_examples=tries(8))
@given(case=cases())
def test_every_number_is_what_the_rows_say(engine: Engine, case: tuple[list[Row], int, bool]) -> None:
    rows, k, entity = case
    made(engine, "people", TYPES, rows)
    try:
        found = sqlanon.report(spec(k, entity=entity), engine=engine, minimum_cell=1, predict={"pay": 5})
    except sqlanon.ModelNotMet:
        return
    told, unit = found.to_dict(), "who" if entity else None
    kept = released(rows, told["summary"]["levels"], k, entity)
    assert told["summary"] | {
        "rows_in": len(rows), "rows_out": len(kept), "suppressed": len(rows) - len(kept),
        "classes": len(oracle.classes(kept, QI)),
    } == told["summary"]  # fmt: skip
    k_told, l_told = (m["value"] for m in told["models"])
    assert (k_told, l_told) == (oracle.k_anonymity(kept, QI, unit), oracle.distinct_l(kept, QI, "disease"))
    _risks(told, rows, kept, unit)
    _distributions(told, rows, kept)
    _attacks(told, kept)
    _predictions(told, rows, kept)


def near(number: float | None, exact: Fraction | float, digits: int) -> bool:
    """Whether a told number is the exact one, to so many digits."""
    return number is not None and float(f"{float(exact):.{digits}g}") == pytest.approx(number, rel=1e-9, abs=1e-12)


def _risks(told: dict[str, Any], rows: list[Row], kept: list[Row], unit: str | None) -> None:
    assert told["risk"]["units"] == ("persons" if unit else "records")
    for when, of in (("before", rows), ("after", kept)):
        sizes = oracle_risk.classes(of, QI, unit)
        above, highest, average = oracle_risk.prosecutor(sizes, Fraction(1, 5))
        found = told["risk"][when]
        total = sum(sizes.values())
        assert near(found["prosecutor"]["at_risk_share"], above, 4)
        assert near(found["prosecutor"]["highest"], highest, 4)
        assert near(found["prosecutor"]["average"], average, 3)
        assert near(found["unique_share"], Fraction(sum(1 for n in sizes.values() if n == 1), total), 4)
    after = sorted(oracle_risk.classes(kept, QI, unit).values())
    shown = told["classes"]
    assert (shown["smallest"], shown["largest"]) == (after[0], after[-1])
    assert shown["median"] == after[(len(after) - 1) // 2]
    for one in shown["bins"]:
        inside = [n for n in after if one["from"] <= n <= one["to"]]
        assert (one["classes"], one["records"]) == (len(inside), sum(inside))
    assert sum(one["records"] for one in shown["bins"]) == sum(after)


def _distributions(told: dict[str, Any], rows: list[Row], kept: list[Row]) -> None:
    heights = {"age": 4, "zip": 5, "sex": 1}
    for column in told["columns"]:
        name, shown = column["name"], column["distribution"]
        level = told["summary"]["levels"].get(name, 0)
        if shown is None or name == "pay" or (name == "age" and level == 0):
            continue
        was = Counter(label(name, level, heights.get(name, 9), row[name]) for row in rows)
        now = Counter(row[name] for row in kept)
        for text, before, after in zip(shown["labels"], shown["before"], shown["after"], strict=True):
            key = None if text == "missing" else text
            if text != "other" and not text.startswith("other ("):
                assert (before, after) == (was[key], now[key]), (name, text)
        assert (sum(shown["before"]), sum(shown["after"])) == (len(rows), len(kept))
    for name in ("age", "pay"):
        shown = next(c["distribution"] for c in told["columns"] if c["name"] == name)
        if shown is not None:
            assert (sum(shown["before"]), sum(shown["after"])) == (len(rows), len(kept))


def _attacks(told: dict[str, Any], kept: list[Row]) -> None:
    judges = {
        "identity": oracle_attacks.identity(5), "homogeneity": oracle_attacks.homogeneity("disease"),
        "skewness": oracle_attacks.skewness("disease", kept, Fraction(2)),
        "background-knowledge": oracle_attacks.negation("disease", 1),
        "probabilistic-inference": oracle_attacks.inference("disease", Fraction(1, 2)),
    }  # fmt: skip
    for one in told["attacks"]:
        if one["attack"] in judges and one["column"] in (None, "disease"):
            found = oracle_attacks.on_classes(kept, QI, judges[one["attack"]])
            records = found.records(kept, QI)
            assert (one["records"], one["classes"]) == (records, len(found.breached)), one["attack"]
            assert near(one["share"], Fraction(records, len(kept)), 4)


def _predictions(told: dict[str, Any], rows: list[Row], kept: list[Row]) -> None:
    (one,) = told["value_prediction"]
    limit = Fraction(9, 10)
    for when, of in (("before", rows), ("after", kept)):
        found = oracle_prediction.violations(of, QI, "pay", 5, lambda _: limit)
        assert one[f"violations_{when}"] == len(found)
    for subset in told["fields"]["subsets"]:
        found = oracle_prediction.violations(kept, subset["fields"], "pay", 5, lambda _: limit)
        assert subset["violations"] == len(found), subset["fields"]


# -- the SQL that proves -----------------------------------------------------------------------------------------------

MODELS = [
    "k-anonymity(k=2)", "average-risk(risk=1)", "sample-uniqueness(share=1)", "m-uniqueness(m=3, share=1)",
    "l-diversity(column=disease, kind=distinct, l=1)", "l-diversity(column=disease, kind=entropy, l=1)",
    "l-diversity(column=disease, kind=recursive, c=50, l=2)", "alpha-k-anonymity(column=disease, alpha=1)",
    "p-sensitivity(column=disease, p=1)", "theta-sensitivity(column=disease, mu=0.6, k=1)",
    "t-closeness(column=disease, distance=equal, t=1)", "t-closeness(column=pay, distance=ordered, t=1)",
    "beta-likeness(column=disease, kind=basic, beta=50)", "k-e-anonymity(column=pay, k=1, e=0)",
    "epsilon-m-anonymity(column=pay, epsilon=5, m=1)",
    "value-prediction(column=pay, margin=5, threshold=1, above=true)",
]  # fmt: skip


def test_the_sql_of_every_model_runs_by_itself_and_gives_the_value(engine: Engine) -> None:
    rng = Random(3)
    made(engine, "people", TYPES, table(rng, 80))
    columns = {**spec(2)["columns"], "pay": "sensitive"}
    levels = {"age": 3, "zip": 4, "sex": 1}  # nothing to search, to be quick
    wanted = spec(2, columns=columns, privacy=[_model(text) for text in MODELS])
    wanted["recoding"] = {"method": "full-domain", "suppression": 0.3, "levels": levels}
    found = sqlanon.report(wanted | {"publish": {"name": "proved"}}, engine=engine, minimum_cell=1)
    # What is planned is put where the SQL looks for it, on a connection of our own.
    with engine.working():
        planned = sqlanon.planning.make(sqlanon.load(wanted), engine)
        engine.temporary("publish", "kept", planned.plan.query)
        _proved(engine, found)
    assert [m["holds"] for m in found.models] == [v.holds for v in planned.verdicts]
    assert sum(m["sql"] is not None for m in found.models) == len(MODELS)


def _proved(engine: Engine, found: sqlanon.Report) -> None:
    for one in found.models:
        sql = one["sql"].replace('"main"."proved"', '"kept"').replace('"releases"."proved"', '"kept"')
        ((value, classes, rows),) = engine.run("prove", sql.replace('FROM "proved"', 'FROM "kept"'))
        told = one["value"]
        if one["model"] == "k-e-anonymity":
            assert told <= value
        else:
            assert float(f"{value:.6g}") == pytest.approx(told, rel=1e-9), one["model"]
        assert (classes, rows) == (one["classes_violating"], one["rows_violating"])


def _model(text: str) -> dict[str, Any]:
    from sqlanon.reading import parse_model

    model = parse_model(text)
    told = {k: str(v) if k in ("margin", "threshold") else v for k, v in model.parameters.items()}
    return {"model": model.name, **({"column": model.column} if hasattr(model, "column") else {}), **told}


# -- releases ----------------------------------------------------------------------------------------------------------


def patients(folder: Path, **publish: Any) -> tuple[Path, Path]:
    """A source in a database, and the file of its spec."""
    database, file = folder / "clinic.duckdb", folder / "people.yaml"
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        made(engine, "people", TYPES, table(Random(1), 200))
    file.write_text(json.dumps(spec(5, publish={"name": "released", **publish})), encoding="utf-8")
    return database, file


@pytest.mark.parametrize("as_", ["table", "view", "file"])
def test_a_release_is_reported_by_its_name_and_without_its_source(
    tmp_path: Path, as_: str, capfd: pytest.CaptureFixture[str]
) -> None:
    database, file = patients(tmp_path, **{"as": as_})
    db = ["--db", f"duckdb:///{database}"]
    assert main(["release", str(file), *db]) == 0
    capfd.readouterr()
    assert main(["report", "released", *db, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["kind"], told["version"], told["holds"]) == ("release", 1, True)
    assert told["columns"][1]["distribution"]["before"] is not None
    assert all(m["sql"] for m in told["models"])
    assert told["history"] == [] if as_ == "file" else [h["action"] for h in told["history"]] == ["released"]
    assert [one["why"] for one in told["missing"] if one["part"] == "search"] == [
        "the register does not keep how the levels were searched; report the spec to see it"
    ]
    if as_ == "view":
        return
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        engine.run("lose the source", "DROP TABLE people")
        lost = sqlanon.report("released", engine=engine).to_dict()
    assert lost["risk"]["before"] is None and lost["correlations"] is None
    assert [c["distribution"]["before"] for c in lost["columns"] if c["distribution"]][:1] == [None]
    assert "the source cannot be read any more" in {one["why"] for one in lost["missing"]}
    assert lost["holds"] is True


_TWO = {"model": "l-diversity", "column": "disease", "kind": "distinct", "l": 2}


@pytest.mark.parametrize("more", [
    {"recoding": {"method": "mondrian", "suppression": 0}}, {"recoding": {"method": "hilbert", "suppression": 0}},
    {"recoding": {"method": "full-domain", "suppression": 0.2, "suppressed": "star"}},
    {"recoding": {"method": "full-domain", "suppression": 0.2, "suppressed": "cell"}},
    {"recoding": {"method": "anatomy"}, "privacy": [_TWO]},
    {"transforms": [{"transform": "rounding", "column": "pay", "base": 10}]},
])  # fmt: skip
def test_every_way_of_recoding_is_reported(either: Engine, more: dict[str, Any]) -> None:
    engine = either
    if engine.name != "duckdb" and more.get("recoding", {}).get("method") != "mondrian":
        pytest.skip("the parts that differ by engine are measured above; the ways are the same")
    made(engine, "people", TYPES, table(Random(7), 120))
    found = sqlanon.report(spec(3) | more, engine=engine)
    told = found.to_dict()
    assert told["classes"] and told["attacks"] and told["limits"] and told["standards"]
    assert [one for one in told["missing"] if "failed" in one["why"]] == []
    for text in (markdown(found), json.dumps(told, allow_nan=False)):
        assert "disease" in text


def test_a_release_on_postgres_is_reported_by_its_name(fresh: str) -> None:
    listed = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    execute(
        fresh, f"CREATE TABLE public.people ({listed})",
        "INSERT INTO public.people SELECT 'P' || i, 20 + i % 40, '1011' || i % 3, substr('FM', 1 + i % 2, 1),"
        " (ARRAY['flu', 'cold', 'gout'])[1 + i / 7 % 3], i % 5 * 10 FROM generate_series(1, 200) AS i",
    )  # fmt: skip
    with sqlanon.connect(fresh, superuser=True) as engine:
        sqlanon.release(spec(5, source="public.people", publish={"name": "released"}), engine)
        found = sqlanon.report("released", engine=engine)
        sql = [one["sql"] for one in found.models]
        assert [engine.run("prove", text)[0][0] for text in sql] == [one["value"] for one in found.models]
    assert (found.kind, found.version, found.holds) == ("release", 1, True)
    assert found.risk["before"] and found.correlations and len(found.history) == 1


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_format_is_told_by_the_ending_and_json_is_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "people.csv"
    rows = table(Random(2), 40)
    source.write_text(
        "\n".join([",".join(TYPES), *(",".join("" if v is None else str(v) for v in r.values()) for r in rows)])
    )
    words = ["report", str(source), "--qi", "age,zip", "--sensitive", "disease"]
    assert main([*words, "-o", str(tmp_path / "r.md")]) == 0
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("# Relation ")
    assert main([*words, "-o", str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    capfd.readouterr()
    assert main([*words, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert main([*words, "--format", "json", "-o", str(tmp_path / "r.json")]) == 0
    saved = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert {**saved, "made_at": ""} == {**told, "made_at": ""}
    assert told["holds"] is None and told["kind"] == "relation"


@pytest.mark.parametrize(("words", "said"), [
    (["nosuch"], "this is no release and no spec"),
    (["people.csv", "--qi", "nosuch"], "the relation has no such column"),
    (["people.csv", "--qi", "age", "-o", "r.doc"], "the format is not known"),
    (["people.csv", "--qi", "age", "-o", "no/such/folder/r.md"], "the file cannot be written"),
    (["people.csv", "--qi", "age", "--predict", "nosuch=3"], "no such published sensitive column"),
    (["people.csv", "--qi", "age", "--spec", "nosuch.yaml"], "nosuch.yaml"),
])  # fmt: skip
def test_what_cannot_be_reported_is_said_and_ends_with_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("age,disease\n" + "30,SECRETflu\n" * 8)
    assert main(["report", *words]) == 2
    told = capfd.readouterr().err
    assert said in told and "SECRET" not in told


def test_hostile_names_are_text_in_markdown(engine: Engine) -> None:
    hostile = ["a|b\n# c", "`x` [y](z)", "<script>", '"; DROP TABLE x; --']
    rows = [dict.fromkeys(hostile, "v") for _ in range(12)]
    made(engine, "hostile", dict.fromkeys(hostile, "VARCHAR"), rows)
    found = sqlanon.report("hostile", engine=engine, quasi_identifiers=hostile[:3], sensitive=hostile[3:])
    plain = re.sub(r"^```.*?^```$", "", markdown(found), flags=re.MULTILINE | re.DOTALL)
    assert "<script>" not in plain and "\n# c" not in plain and "[y](z)" not in plain


# -- what must not be taken for a promise ------------------------------------------------------------------------------


def _said(found: sqlanon.Report) -> tuple[str, str]:
    """The state of the verdict, and everything that stands at the top."""
    first = page.verdict(found.to_dict())
    return first.state, " ".join([first.said, first.more, *found.summary["sentences"]])


def test_records_of_one_person_are_no_k_of_persons(either: Engine) -> None:
    one = [{**row, "who": "P1", "age": 30, "zip": "10115", "sex": "F"} for row in table(Random(1), 12)]
    made(either, "one_person", TYPES, one)
    made(either, "nameless", {n: t for n, t in TYPES.items() if n != "who"}, [
        {n: v for n, v in row.items() if n != "who"} for row in one
    ])  # fmt: skip
    by = sqlanon.load(spec(5, entity=True))
    for name in ("one_person", "nameless"):
        found = sqlanon.report(name, engine=either, spec=by)
        state, said = _said(found)
        assert (state, found.holds) == ("unknown", None) and "Not judged" in said and "k-anonymity" in said
        after = found.risk["after"]
        assert after is None or after["prosecutor"]["highest"] is None, "one person hides among nobody"
        assert "The promise holds" not in said and "at most 8" not in said
    # Where records are counted, the same rows do keep their promise.
    assert sqlanon.report("nameless", engine=either, spec=sqlanon.load(spec(5))).holds is True


def test_the_risk_of_persons_is_not_told_of_records_where_no_k_of_persons_was_verified(engine: Engine) -> None:
    rows = [{**row, "who": f"P{i // 10}", "age": 30 + i // 10 % 2 * 20} for i, row in enumerate(table(Random(3), 200))]
    made(engine, "people", TYPES, rows)
    wanted = spec(5, entity=True, publish={"name": "unbounded"}) | {"privacy": [_TWO]}
    sqlanon.release(wanted, engine)
    found = sqlanon.report("unbounded", engine=engine)
    assert found.risk["after"] is None and "risk after" in {one["part"] for one in found.missing}
    assert "finds the right record" not in _said(found)[1]


def test_a_release_that_changed_expired_or_was_replaced_says_so_at_the_top(tmp_path: Path) -> None:
    database, file = patients(tmp_path)
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(file, engine)
        assert _said(sqlanon.report("released", engine=engine))[0] == "holds"
        engine.run("let it expire", "UPDATE sqlanon.release SET expires_at = TIMESTAMP '2020-01-02 00:00:00'")
        state, said = _said(sqlanon.report("released", engine=engine))
        assert state == "fails" and "has expired, on 2020-01-02" in said
        engine.run("change a row", "UPDATE released SET pay = 77 WHERE pay = 10")
        found = sqlanon.report("released", engine=engine)
        state, said = _said(found)
        assert (state, found.holds) == ("fails", False)
        assert "The rows are not those that were judged." in said and "promise holds" not in said
        assert found.models[0]["value"] is not None, "the rows that are there were measured"


def test_a_file_that_was_withdrawn_or_superseded_says_so_at_the_top(tmp_path: Path) -> None:
    database, file = patients(tmp_path, **{"as": "file", "path": str(tmp_path / "released.parquet")})
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(file, engine)
        old = tmp_path / "old.parquet"
        old.write_bytes((tmp_path / "released.parquet").read_bytes())
        assert _said(sqlanon.report(str(old), engine=engine))[0] == "holds"
        sqlanon.release(file, engine)
        state, said = _said(sqlanon.report(str(old), engine=engine))
        assert state == "fails" and "superseded, by version 2" in said
        life.withdraw(engine, "released")
        state, said = _said(sqlanon.report(str(old), engine=engine))
        assert state == "fails" and "was withdrawn" in said


def test_an_anatomy_is_found_by_what_is_published_as_it_is(tmp_path: Path) -> None:
    database, _ = patients(tmp_path)
    wanted = spec(5, publish={"name": "apart"}) | {"recoding": {"method": "anatomy"}, "privacy": [_TWO]}
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        planned = sqlanon.report(wanted, engine=engine)
        sqlanon.release(wanted, engine)
        for found in (planned, sqlanon.report("apart", engine=engine)):
            assert found.summary["classes"] == len(oracle.classes(table(Random(1), 200), QI))
            assert (
                found.risk["after"]["prosecutor"]["highest"] is None and "group_id" not in found.summary["sentences"][0]
            )
            why = {one["part"]: one["why"] for one in found.missing}
            assert "second table" in why["value_prediction"]


def test_records_of_nobody_are_told_by_the_release_s_name_too(tmp_path: Path) -> None:
    database, file = patients(tmp_path)
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(file, engine)
        assert sqlanon.report("released", engine=engine).repairs is None
        made_ = '{"noise_rows": 40, "swaps": 10}'
        engine.run("as a release with θ keeps it", f"UPDATE sqlanon.release SET made = '{made_}'")
        found = sqlanon.report("released", engine=engine)
        assert (found.repairs["noise_rows"], found.repairs["swaps"]) == (40, 10)
        assert {"Records of nobody", "Exchanged values"} <= {one["title"] for one in found.limits}


def test_what_is_not_known_of_the_source_is_no_small_number(tmp_path: Path) -> None:
    database, file = patients(tmp_path)
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(file, engine)
        engine.run("lose the source", "DROP TABLE people")
        found = sqlanon.report("released", engine=engine)
    assert found.summary["counted"] is False and "left out" not in _said(found)[1]
    text = page.html(found)
    assert text.count("not known</dd>") == 2 and "fewer than 5</dd>" not in text.partition('id="promises"')[0]


def test_a_hidden_highest_risk_is_drawn_as_what_is_known_of_it(engine: Engine) -> None:
    made(engine, "people", TYPES, table(Random(9), 200))
    found = sqlanon.report(spec(5), engine=engine).to_dict()
    assert found["risk"]["before"]["prosecutor"]["highest"] is None
    drawn = charts.risks(found["risk"], 5)
    assert drawn is not None
    text = json.dumps(drawn.spec)
    assert '"told": "above 20 %"' in text


def test_a_report_that_hides_nothing_says_so(engine: Engine) -> None:
    made(engine, "people", TYPES, table(Random(9), 60))
    words = {"quasi_identifiers": ["age"], "sensitive": ["disease"]}
    bare = sqlanon.report("people", engine=engine, minimum_cell=1, **words)
    assert "hides no small number" in _said(bare)[1] and "No small number is hidden here" in page.html(bare)
    usual = sqlanon.report("people", engine=engine, **words)
    assert "hides no small number" not in _said(usual)[1] and "No small number is hidden" not in page.html(usual)
    coarse = sqlanon.report("people", engine=engine, minimum_cell=50, **words)
    assert "above 2 % for some people" in _said(coarse)[1]


def test_a_withdrawn_release_is_said_to_be_withdrawn(tmp_path: Path) -> None:
    database, file = patients(tmp_path)
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(file, engine)
        life.withdraw(engine, "released")
        with pytest.raises(sqlanon.SpecError, match="was withdrawn"):
            sqlanon.report("released", engine=engine)


def test_k_of_persons_is_told_of_persons_beside_classes_of_records(tmp_path: Path) -> None:
    database, _ = patients(tmp_path)
    wanted = spec(2, entity=True, publish={"name": "of_persons"})
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        sqlanon.release(wanted, engine)
        found = sqlanon.report("of_persons", engine=engine)
    first = found.models[0]
    assert "those of 1 other persons" in first["meaning"] and "the value counts persons" in first["note"]
    assert found.classes["units"] == "records" and found.risk["note"]
    text = page.html(found)
    assert "k-anonymity counts persons" in text and "after: records are counted" in text
    assert "as far as these alone decide it" in _said(found)[1]
