"""What a report must not tell: small numbers, the values of a few, and what differences would give back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made
from tries import tries

import sqlanon
from sqlanon.engines import Engine
from sqlanon.report.markdown import markdown
from sqlanon.report.minimum import Bin, Cell, by_size, by_width, edges, in_order
from sqlanon.report.page import html

QUICK = settings(
    deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def duck() -> Iterator[Engine]:
    with sqlanon.connect() as found, found.one_thread():
        yield found


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


# -- the rule ----------------------------------------------------------------------------------------------------------

Numbers = st.integers(0, 60)


@given(one=Numbers, other=Numbers, least=st.integers(1, 12))
@settings(QUICK, max_examples=tries(400))
def test_no_number_that_is_told_is_small_and_no_difference_of_two(one: int, other: int, least: int) -> None:
    cell = Cell(least, least)
    told = [cell.count(one), cell.count(other)]
    assert (told[0] is None) == (0 < one < least)
    for number in told:
        assert number is None or number == 0 or number >= least
    if None not in told:
        difference = abs(told[0] - told[1])  # type: ignore[operator]
        assert difference == 0 or difference >= least
    assert cell.count(one) is None or abs(cell.count(one) - one) <= least // 2  # type: ignore[operator]


@given(part=Numbers, more=Numbers, least=st.integers(2, 12))
@settings(QUICK, max_examples=tries(400))
def test_a_share_gives_no_small_number_back(part: int, more: int, least: int) -> None:
    cell, whole = Cell(least, least), part + more
    share, told = cell.share(part, whole), cell.count(whole)
    if share is not None and told:
        assert round(share * told) == 0 or round(share * told) >= least


Counts = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12)


@given(counts=Counts, least=st.integers(1, 6), ordered=st.booleans())
@settings(QUICK, max_examples=tries(400))
def test_bins_hold_everything_and_nothing_small_and_are_named_by_what_is_not(
    counts: list[tuple[int, int]], least: int, ordered: bool
) -> None:
    cell = Cell(least, least)
    own = [Bin.of(f"value {i}", *pair, cell) for i, pair in enumerate(counts)]
    found = (in_order if ordered else by_size)(own, cell)
    for one in found:
        assert cell.enough(one.before, one.after)
        for named in re.findall(r"value (\d+)", one.label):
            before, after = counts[int(named)]
            assert max(before, after) >= least and cell.enough(before, after), one.label
    if found:
        assert sum(b.before for b in found) == sum(b for b, _ in counts)
        assert sum(b.after for b in found) == sum(a for _, a in counts)


@given(
    values=st.dictionaries(st.integers(-999_983, 999_983).map(lambda n: n + 0.123), st.integers(1, 9), min_size=1),
    missing=st.integers(0, 9), least=st.integers(1, 8),
)  # fmt: skip
@settings(QUICK, max_examples=tries(200))
def test_edges_of_numbers_are_round_and_no_extreme_is_one(values: dict[float, int], missing: int, least: int) -> None:
    cell, numbers = Cell(least, least), sorted(values)
    records = [values[number] for number in numbers]
    at = edges(numbers, records)
    if not at:
        return
    assert not {*at} & {*numbers}
    found = by_width(numbers, records, records, at, [f"{edge:g}" for edge in at], (missing, missing), cell)
    assert all(cell.enough(one.before, one.after) for one in found)
    if found:
        assert sum(one.before for one in found) == sum(records) + missing
        assert found[-1].label.endswith(" and up") or found[-1].label == "all"


# -- whole reports -----------------------------------------------------------------------------------------------------

TYPES = {
    "who": "VARCHAR", "age": "INTEGER", "town": "VARCHAR", "born": "DATE", "disease": "VARCHAR", "pay": "INTEGER",
    "ward": "VARCHAR", "stage": "VARCHAR",
}  # fmt: skip
# What only a few have: none of it may be read in a report, in any form.
PLANTED = ("RAREtown", "RAREdisease", "RAREward", "RAREstage", "NAMED", "7654321", "9876543", "1834", "1835", "2199")
BAD = ["gout", "RAREdisease"]
TOWNS = {"Aachen": "West", "Bonn": "West", "Cottbus": "East", "Dresden": "East", "RAREtown": "RAREtowns"}


def people(rng: Random, rows: int, least: int = 5) -> list[Row]:
    """Common people, and among them a few whom a rare value gives away."""
    found = [
        {
            "who": f"NAMED{rng.randrange(rows)}", "age": rng.randrange(20, 60), "town": rng.choice([*TOWNS][:4]),
            "born": date(rng.randrange(1950, 2000), rng.randrange(1, 13), 1),
            "disease": rng.choice(["flu", "cold", "gout"]), "pay": rng.choice([1000, 2000, 3000]),
            "ward": rng.choice(["north", "south"]),
            "stage": rng.choice(["one", "two", "three"]),
        }
        for _ in range(rows)
    ]  # fmt: skip
    planted: dict[str, list[Any]] = {
        "town": ["RAREtown"], "disease": ["RAREdisease"], "ward": ["RAREward"], "stage": ["RAREstage"],
        "age": [7654321], "pay": [9876543, 98765430], "born": [date(1834, 5, 17), date(1835, 1, 1), date(2199, 12, 31)],
    }  # fmt: skip
    for column, values in planted.items():
        for row in rng.sample(found, rng.randrange(1, min(least, rows))):
            row[column] = rng.choice(values)
    return found


def asked(rng: Random, entity: bool) -> dict[str, Any]:
    """A spec of any kind, whose hierarchies name the rare values too."""
    towns = {region: [town for town, of in TOWNS.items() if of == region] for region in dict.fromkeys(TOWNS.values())}
    method = rng.choice(["full-domain", "full-domain", "mondrian", "hilbert"])
    full = method == "full-domain"
    age: Any = {"width": [10, 40]} if full or rng.random() < 0.5 else None
    return {
        "source": "planted", **({"entity": "who"} if entity else {}),
        "columns": {
            "who": "identifier",
            "age": {"role": "quasi-identifier", **({"hierarchy": age} if age else {})},
            "town": {"role": "quasi-identifier", "hierarchy": {"tree": towns}},
            "born": {"role": "quasi-identifier", "hierarchy": {"date": ["year", "decade"]}} if full else "insensitive",
            "disease": {"role": "sensitive", "hierarchy": {"tree": {"mild": ["flu", "cold"], "bad": BAD}}},
            "pay": rng.choice(["sensitive", "insensitive"]), "ward": "insensitive",
            "stage": {"role": "sensitive", "hierarchy": {"order": ["one", "two", "three", "RAREstage"]}},
        },
        "privacy": [
            {"model": "k-anonymity", "k": rng.choice([1, 2, 3, 6])},
            {"model": "alpha-k-anonymity", "column": "disease", "alpha": 1, "values": ["RAREdisease"]},
            {"model": "t-closeness", "column": "stage", "distance": "ordered", "t": 1},
            *([{"model": "t-closeness", "column": "disease", "distance": "hierarchical", "t": 1}] if full else []),
        ],
        "recoding": {
            "method": method, "suppression": rng.choice([0.1, 0.3]),
            **({"suppressed": rng.choice(["drop", "star"])} if full else {}),
        },
    }  # fmt: skip


COUNTS = {"rows_in", "rows_out", "suppressed", "noise_rows", "swaps", "rows_violating", "records", "violations",
          "violations_before", "violations_after"}  # fmt: skip
SIZES = {"smallest", "median", "largest"}


def numbers(part: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every number of a report with the key that it stands under."""
    if isinstance(part, dict):
        for name, inner in part.items():
            yield from numbers(inner, name)
    elif isinstance(part, list):
        for inner in part:
            yield from numbers(inner, key)
    else:
        yield key, part


def check(found: sqlanon.Report, least: int, page: bool = True) -> None:
    """No planted value in any form; no small number of records, nor one by subtraction or from a share."""
    told = found.to_dict()
    for text in (json.dumps(told, ensure_ascii=False), markdown(found), html(found) if page else ""):
        assert [word for word in PLANTED if word in text.replace(",", "")] == []
    listed = {key: [n for k, n in numbers(told) if k == key and n is not None] for key in (*COUNTS, *SIZES)}
    for column in told["columns"]:
        shown = column["distribution"]
        if shown:
            assert {len(shown["labels"])} == {len(shown[key]) for key in ("before", "after") if shown[key] is not None}
            listed.setdefault("cells", []).extend([*(shown["before"] or []), *shown["after"]])
    assert all(n is not None for n in listed.get("cells", []))
    for key, found_ in listed.items():
        assert [n for n in found_ if 0 < n < least] == [], key
        if key in COUNTS | {"cells"} and key != "records":
            assert [n for n in found_ if n % found.rounding] == [], key
    whole = told["summary"]["rows_in"] or told["summary"]["rows_out"]
    for key, share in numbers(told):
        if key.endswith("share") and isinstance(share, float) and whole:
            assert not 0.5 < share * whole < least - 0.5, key
    for one in told["models"]:
        if one["model"] in ("k-anonymity", "k-m-anonymity"):
            assert one["value"] is None or one["value"] >= least
    for moment in ("before", "after"):
        risk = told["risk"][moment]
        assert risk is None or (risk["prosecutor"]["highest"] or 0) <= 1 / least


@given(seed=st.integers(0, 10**9), entity=st.booleans(), least=st.sampled_from([3, 5, 10]))
@settings(QUICK, max_examples=tries(8))
def test_a_plan_s_report_tells_nothing_of_a_few(duck: Engine, seed: int, entity: bool, least: int) -> None:
    rng, engine = Random(seed), duck
    made(engine, "planted", TYPES, people(rng, rng.randrange(30, 90), least))
    try:
        found = sqlanon.report(asked(rng, entity), engine=engine, minimum_cell=least)
    except sqlanon.ModelNotMet:
        return
    check(found, least)


def test_a_release_s_report_tells_nothing_of_a_few(tmp_path: Path) -> None:
    rng = Random(12)
    with sqlanon.connect(f"duckdb:///{tmp_path / 'r.duckdb'}") as engine:
        made(engine, "planted", TYPES, people(rng, 80))
        wanted = {**asked(Random(2), True), "publish": {"name": "released"}}
        wanted["privacy"] = [{"model": "k-anonymity", "k": 5}, {"model": "p-sensitivity", "column": "disease", "p": 1}]
        sqlanon.release(wanted, engine)
        check(sqlanon.report("released", engine=engine), 5)
        engine.run("lose the source", "DROP TABLE planted")
        check(sqlanon.report("released", engine=engine), 5, page=False)


def test_a_relation_s_report_tells_nothing_of_a_few(engine: Engine) -> None:
    rng = Random(5)
    made(engine, "planted", TYPES, people(rng, 60))
    columns = {"quasi_identifiers": ["age", "town", "born"], "sensitive": ["disease", "pay", "stage"]}
    check(sqlanon.report("planted", engine=engine, **columns), 5)
    made(engine, "few", TYPES, people(rng, 3))
    check(sqlanon.report("few", engine=engine, quasi_identifiers=["ward"], sensitive=["disease"]), 5, page=False)


def test_no_folder_of_a_file_stands_in_a_report(tmp_path: Path) -> None:
    folder = tmp_path / "RAREfolder's"
    folder.mkdir()
    source = folder / "planted.csv"
    rows = people(Random(4), 60)
    source.write_text("\n".join([",".join(TYPES), *(",".join(str(v) for v in row.values()) for row in rows)]))
    wanted = asked(Random(2), False) | {"source": str(source)}
    wanted["privacy"] = [{"model": "k-anonymity", "k": 2}, {"model": "t-closeness", "column": "pay", "t": 1}]
    wanted["columns"] = {**wanted["columns"], "pay": "sensitive"}
    wanted["recoding"] = {"method": "full-domain", "suppression": 0.3}
    with sqlanon.connect() as engine:
        plan = sqlanon.report(wanted, engine=engine)
        alone = sqlanon.report(str(source), engine=engine, quasi_identifiers=["age"], sensitive=["pay"])
    for found in (plan, alone):
        for text in (json.dumps(found.to_dict(), ensure_ascii=False), markdown(found), html(found)):
            assert "RAREfolder" not in text and "planted.csv" in text


@pytest.mark.parametrize(("most", "told"), [(1, 5), (2, 10), (7, 50), (37, 250)])
def test_how_many_records_the_one_person_with_the_most_has_is_not_told(most: int, told: int) -> None:
    rows = people(Random(6), 400)
    for i, row in enumerate(rows):
        row["who"] = "NAMED" if i < most else f"NAMED{i}"
    with sqlanon.connect() as engine:
        made(engine, "planted", TYPES, rows)
        wanted = asked(Random(2), True) | {"privacy": [{"model": "k-anonymity", "k": 2}]}
        assert sqlanon.report(wanted, engine=engine).rounding == told


def test_no_loss_and_no_shift_gives_back_how_few_were_left_out(engine: Engine) -> None:
    """Three of 203 records are left out, and nothing else is lost: every mean would be 3 / 203."""
    rows = [{**row, "ward": ("north", "south")[i % 2], "disease": ("flu", "cold")[i // 2 % 2]}
            for i, row in enumerate(people(Random(8), 203))]  # fmt: skip
    for row in rows[:3]:
        row["ward"] = "RAREward"
    made(engine, "planted", {name: TYPES[name] for name in ("ward", "disease")}, [
        {name: row[name] for name in ("ward", "disease")} for row in rows
    ])  # fmt: skip
    wanted = {
        "source": "planted", "columns": {"ward": "quasi-identifier", "disease": "sensitive"},
        "privacy": [{"model": "k-anonymity", "k": 5}], "recoding": {"method": "full-domain", "suppression": 0.2},
    }  # fmt: skip
    told = sqlanon.report(wanted, engine=engine).to_dict()
    assert told["summary"]["suppressed"] is None and told["search"]["nodes"]
    means = [n for key, n in numbers(told) if key in ("loss", "shift", "gcp", "iloss", "precision") and n and n < 1]
    assert [n for n in means if round(n * 203) % 5] == []
