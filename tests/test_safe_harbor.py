"""HIPAA Safe Harbor's 18 items: what each detector finds and leaves alone, and that no cell is told."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from server import made

import sqlanon
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.safe_harbor import RESTRICTED_ZIP3, RULES, SafeHarbor, safe_harbor

TODAY = date(2026, 6, 1)
LETTERS = "ABCDEFGHIJKLMNOPQR"


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def checked(engine: Engine, columns: dict[str, list[Any]], types: dict[str, str] | None = None) -> SafeHarbor:
    """The columns as a table; texts, unless a type is given or all values are whole numbers."""
    kinds = types or {}

    def kind(name: str) -> str:
        numbers = all(isinstance(value, int) for value in columns[name] if value is not None)
        return kinds.get(name, "BIGINT" if numbers else "VARCHAR")

    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    made(engine, "people", {name: kind(name) for name in columns}, rows)
    return safe_harbor(engine, Origin(relation="people"), today=TODAY)


def found(result: SafeHarbor) -> dict[str, list[tuple[str, str, int | None]]]:
    return {
        item.letter: [(one.column, one.why, one.records) for one in item.columns]
        for item in result.items
        if item.status == "found"
    }


def statuses(result: SafeHarbor) -> dict[str, str]:
    return {item.letter: item.status for item in result.items}


def test_the_list_has_the_18_items_in_order_each_with_a_rule() -> None:
    assert "".join(rule.letter for rule in RULES) == LETTERS
    assert all(len(rule.text.split()) > 3 for rule in RULES)
    assert {year: len(codes) for year, codes in RESTRICTED_ZIP3.items()} == {2000: 17, 2010: 14}


@pytest.mark.parametrize(("name", "letter"), [
    ("first_name", "A"), ("Nachname", "A"), ("patientName", "A"), ("next_of_kin", "A"), ("home address", "B"),
    ("city", "B"), ("COUNTY", "B"), ("latitude", "B"), ("phone", "D"), ("tel", "D"), ("fax", "E"), ("e-mail", "F"),
    ("SSN", "G"), ("mrn", "H"), ("patient_id", "H"), ("insurance_number", "I"), ("member_id", "I"), ("iban", "J"),
    ("account", "J"), ("passport_no", "K"), ("license_number", "K"), ("vin", "L"), ("license plate", "L"),
    ("imei", "M"), ("device_serial", "M"), ("homepage", "N"), ("ip_address", "O"), ("fingerprint", "P"),
    ("photo", "Q"), ("uuid", "R"),
])  # fmt: skip
def test_a_column_is_found_by_its_name(engine: Engine, name: str, letter: str) -> None:
    result = found(checked(engine, {name: [f"v{i}" for i in range(3)]}))
    assert (name, "by its name", 3) in result[letter]


@pytest.mark.parametrize("name", ["sex", "state", "country", "diagnosis", "race", "education", "ageing", "weight_kg",
                                  "marital_status", "icd_code", "country_code", "year"])  # fmt: skip
def test_a_column_that_may_stay_is_not_found(engine: Engine, name: str) -> None:
    result = checked(engine, {name: ["x", "y", "x", "y", None]})
    assert found(result) == {}
    assert set(statuses(result).values()) == {"not found"}
    assert result.holds is None, "that nothing is found is no proof"


@pytest.mark.parametrize(("value", "letter"), [
    ("mary@example.org", "F"), ("write to mary@example.org now", "F"), ("078-05-1120", "G"), ("ssn 078-05-1120.", "G"),
    ("https://example.org/mary", "N"), ("10.0.0.17", "O"), ("from 10.0.0.17", "O"), ("2001:db8::1", "O"),
    ("(415) 555-0132", "D"), ("call +49 30 1234567", "D"), ("DE89 3704 0044 0532 0130 00", "J"),
    ("4111 1111 1111 1111", "J"), ("1HGCM82633A004352", "L"), ("00:1B:44:11:3A:B7", "M"), ("2020-03-14", "C"),
    ("seen on 2020-03-14 by", "C"), ("14.03.2020", "C"), ("2020-03", "C"), ("2020-Q1", "C"), ("20200314", "C"),
    ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "R"),
])  # fmt: skip
def test_contents_are_found_whatever_the_column_is_called(engine: Engine, value: str, letter: str) -> None:
    result = checked(engine, {"x": [value, value, None]})
    assert letter in found(result)
    assert found(result)[letter][0][2] == 2
    assert result.holds is False


@pytest.mark.parametrize("value", ["hello", "2020", "12", "2010-2019", "C34.1", "1.5", "n/a", "3-4 times", "[20, 40)"])
def test_contents_that_may_stay_are_not_found(engine: Engine, value: str) -> None:
    assert found(checked(engine, {"x": [value, value, None]})) == {}


@pytest.mark.parametrize(("value", "finer", "small"), [
    ("94110", True, False), ("94110-1234", True, False), ("941", False, False), ("941**", False, False),
    ("036", False, True), ("036**", False, True), ("03601", True, True), ("000", False, False), ("*****", False, False),
    ("9****", False, False), ("205**", False, True), ("063", False, True),
])  # fmt: skip
def test_the_zip_rule_lets_three_digits_stay_where_enough_people_live(
    engine: Engine, value: str, finer: bool, small: bool
) -> None:
    told = [why for _, why, _ in found(checked(engine, {"zip": [value] * 2})).get("B", [])]
    assert ("postal codes of more than three digits" in told) is finer
    assert ("areas of 20,000 people or fewer that are not 000" in told) is small


def test_the_zip_rule_knows_that_numbers_have_lost_their_zeros(engine: Engine) -> None:
    wrong = found(checked(engine, {"zip": [36, 941, 94110, None]}))["B"]
    assert [(why.split()[0], records) for _, why, records in wrong] == [("postal", 1), ("areas", 1)]
    assert "B" not in found(checked(engine, {"zip": [941, 100, 0]}))


def test_postal_codes_are_seen_under_another_name(engine: Engine) -> None:
    assert found(checked(engine, {"x": ["94110", "94111", "10001"]}))["B"][0][1].startswith("postal codes")


@pytest.mark.parametrize(("ages", "wrong"), [
    (["34", "89"], 0), (["34", "90"], 0), (["34", "90+"], 0), (["34", ">=90", ">=90"], 0), (["34", "91"], 1),
    (["90", "91"], 2), (["90-94", "95-99", "20"], 2), (["[80, 100)"], 0), (["97"], 1), ([34, 90, 90], 0),
    ([34, 102], 1),
])  # fmt: skip
def test_ages_over_89_are_one_category(engine: Engine, ages: list[Any], wrong: int) -> None:
    told = found(checked(engine, {"age": ages})).get("C", [])
    assert [records for _, _, records in told] == ([wrong] if wrong else [])


def test_ages_are_ages_only_by_their_name(engine: Engine) -> None:
    assert found(checked(engine, {"weight_kg": [91, 102, 91]})) == {}


@pytest.mark.parametrize(("years", "wrong"), [([1936, 1937, 1936], 2), ([1937, 1990], 0), ([1900], 1), ([36, 90], 0)])
def test_years_of_birth_that_tell_an_age_over_89_are_found(engine: Engine, years: list[int], wrong: int) -> None:
    told = found(checked(engine, {"birth_year": years})).get("C", [])
    assert [records for _, _, records in told] == ([wrong] if wrong else [])


def test_dates_are_years_where_all_are_a_first_of_january(engine: Engine) -> None:
    types = {"seen": "DATE", "left": "TIMESTAMP", "zoned": "TIMESTAMP WITH TIME ZONE"}
    years = {"seen": ["2020-01-01", "2021-01-01"], "left": ["2020-01-01", None], "zoned": [None, None]}
    assert "C" not in found(checked(engine, years, types))
    finer = {"seen": ["2020-01-01", "2021-01-02"], "left": ["2020-01-01 00:00:01", None],
             "zoned": ["2020-05-01 00:00:00+00", None]}  # fmt: skip
    assert found(checked(engine, finer, types))["C"] == [
        (name, "dates finer than a year", 1) for name in ("seen", "left", "zoned")
    ]


def test_an_infinite_date_is_no_failure(engine: Engine) -> None:
    assert "C" not in found(checked(engine, {"seen": ["infinity", "2020-01-01"]}, {"seen": "DATE"}))


def test_a_code_that_no_two_share_is_found_and_the_codes_of_categories_are_not(engine: Engine) -> None:
    result = found(checked(engine, {"x": [f"k{i}" for i in range(20)], "ward_code": [f"w{i % 3}" for i in range(20)]}))
    assert result == {"R": [("x", "no value occurs twice", 20)]}


def test_what_could_hide_an_identifier_cannot_be_checked(engine: Engine) -> None:
    long = "the patient came in with his brother and complained of a cough"
    told = statuses(checked(engine, {"remarks": [long, long]}))
    assert {told[letter] for letter in "ABCDEFGHIJKLMNOR"} == {"cannot be checked"}
    assert {told[letter] for letter in "PQ"} == {"not found"}
    told = statuses(checked(engine, {"scan": [b"\x00", b"\x01"]}, {"scan": "BLOB"}))
    assert {letter for letter in LETTERS if told[letter] == "cannot be checked"} == set("PQR")
    told = statuses(checked(engine, {"x": [["a"], ["b"]]}, {"x": "VARCHAR[]"}))
    assert told["A"] == told["D"] == "cannot be checked"
    told = statuses(checked(engine, {"x": [f"text {i % 60}" for i in range(120)]}))
    assert {letter for letter in LETTERS if told[letter] == "cannot be checked"} == {"A"}, "they may be names"
    assert statuses(checked(engine, {"pt_name": ["x", "y"]}))["A"] == "cannot be checked"


def test_suppressed_and_missing_values_are_no_identifiers(engine: Engine) -> None:
    assert found(checked(engine, {"name": ["*", "***", None, ""], "zip": ["*", None, "**", "*"]})) == {}
    assert set(statuses(checked(engine, {"name": [], "note": []})).values()) == {"not found"}


def test_no_cell_is_told_and_hostile_names_are_names(engine: Engine) -> None:
    hostile = '"; DROP TABLE people; --'
    secret = "mary.miller@example.org"
    result = checked(engine, {hostile: [secret, secret], "$s'\nfirst\nname": ["Zoe", "Zoe"]})
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert "miller" not in text
    assert "Zoe" not in text
    assert found(result)["F"] == [(hostile, "values like e-mail addresses", 2)]
    assert found(result)["A"][0][0] == "$s'\nfirst\nname"


def test_files_and_frames_are_checked_and_the_result_is_plain_data(tmp_path: Path) -> None:
    import pandas

    file = tmp_path / "people.csv"
    file.write_text("name,age\nMary,91\nJohn,95\n")
    told = sqlanon.safe_harbor(file).to_dict()
    assert (told["rows"], told["holds"], told["census"]) == (2, False, [2000, 2010])
    assert [item["letter"] for item in told["items"]] == list(LETTERS)
    assert told["items"][0]["columns"] == [{"column": "name", "why": "by its name", "records": 2}]
    frame = sqlanon.safe_harbor(pandas.read_csv(file)).to_dict()
    assert frame["items"] == told["items"]
    with pytest.raises(SpecError, match="no such file"):
        sqlanon.safe_harbor(tmp_path / "nobody.csv")
