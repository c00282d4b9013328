"""Profiling: what is counted, what is proposed, and that every proposal runs and tells no cell value."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from server import remake, several
from shared import ADULT, needs_shared

import sqlanon
from sqlanon import demo, planning, profiling, query
from sqlanon.engines import Engine, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Date, Mask, Width
from sqlanon.models import KAnonymity, LDiversity
from sqlanon.profiling import ColumnProfile, Profile, kind_of, profile, propose
from sqlanon.spec import Spec, load

HOSTILE = (
    "a: b", "a # c", 'x"y', "it's", "  sp", "- d", "? q", "[1]", "{a}", "null", "true", "1e-3", "2020-01-01", "<<", "=",
    "&a", "*b", "!t", "%", "@", "`", "tab\tx", "😀", "k" * 300, "n", "value", "records", "which", "word", "looks", "s",
    "label 0", "key: {a: b}  # x", "No", "~", ".5", "0x1f", "'", '"', "\\", "\x01", "\x7f", "é", "columns", "#", ": ",
    "...", "---", "$x", "?", "{{", "%s", "{0}", "a;b", "--", "/*",
)  # fmt: skip
BREAKS = ("li\nne", "car\rriage", "next\x85", "separator\u2028x")


@pytest.fixture
def engine(either: Engine) -> Engine:
    return either


@pytest.fixture
def duck() -> Iterator[DuckDB]:
    """For files, and for types that no other engine has."""
    with DuckDB() as found:
        yield found


def table(engine: Engine, select: str, rows: int = 300) -> Origin:
    """The table `t` of a query, or of columns over the numbers `i` from 0."""
    text = select if select.startswith("SELECT") else f"SELECT {select} FROM {several(engine, rows)}"
    if engine.name == "postgres":
        text = re.sub(r"\brange\((\d+)\)", r"generate_series(0, \1 - 1)", text).replace("uuid()", "gen_random_uuid()")
    remake(engine, "t", f"AS {text}")
    return Origin(relation="t")


def named(names: tuple[str, ...]) -> str:
    """Text columns with these names."""
    quoted = (query.identifier(name).sql("duckdb") for name in names)
    return ", ".join(f"'v' || ((i + {at}) % {at % 7 + 2}) AS {name}" for at, name in enumerate(quoted))


def written(folder: Path, text: str) -> Spec:
    file = folder / "proposed.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    return load(file)


def proposed(folder: Path, engine: Engine, origin: Origin, source: str = "t") -> tuple[Profile, str, Spec]:
    found = profile(engine, origin)
    text = propose(found, source_text=source, name="stays")
    return found, text, written(folder, text)


def runs(spec: Spec, engine: Engine, *, recoded: bool = True) -> bool:
    """Whether something can be published; the best of it is not searched for here. `recoded`: by the spec's method."""
    method = {} if recoded or engine.name == "duckdb" else {"method": "full-domain"}
    with engine.working():
        return planning.make(replace(spec, recoding=replace(spec.recoding, time_limit=1, **method)), engine).holds


def roles(spec: Spec) -> dict[str, str]:
    return {name: column.role for name, column in spec.columns.items()}


def reason(text: str, column: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(f"  {column}:"))
    return line.split("#", 1)[1]


def by_name(found: Profile) -> dict[str, ColumnProfile]:
    return {c.name: c for c in found.columns}


def entropy(values: Iterable[object]) -> float:
    """In nats."""
    counts = Counter(values)
    return -sum(n / counts.total() * math.log(n / counts.total()) for n in counts.values())


# -- what is counted


def test_the_numbers_of_a_column_are_those_of_plain_sql(engine: Engine) -> None:
    select = "SELECT CASE WHEN i % 10 > 0 THEN i % 7 END AS a, 'w' || (i % 30) AS b, ARRAY[i] AS c FROM range(200) r(i)"
    found = by_name(profile(engine, table(engine, select)))
    ((nulls, distinct, length),) = engine.run(
        "test", "SELECT count(*) - count(a), count(DISTINCT a), max(length(b)) FROM t"
    )
    assert (found["a"].nulls, found["a"].distinct, found["a"].rows) == (nulls, distinct, 200)
    assert found["a"].uniqueness == distinct / (200 - nulls)
    assert found["b"].length == length
    assert found["b"].entropy == pytest.approx(entropy(i % 30 for i in range(200)), abs=1e-9)
    assert (found["c"].family, found["c"].distinct) == ("other", 0)


def test_a_missing_value_counts_as_a_value_in_the_entropy(engine: Engine) -> None:
    (found,) = profile(engine, table(engine, "CASE WHEN i % 2 = 0 THEN 'x' END AS a", 100)).columns
    assert found.entropy == pytest.approx(math.log(2))
    assert found.distinct == 1


def test_the_uniqueness_of_a_pair_is_the_share_of_records_with_a_combination_of_their_own(engine: Engine) -> None:
    select = "SELECT i % 8 AS a, (i * i) % 9 AS age, i % 3 = 0 AS b, 'x' || i % 4 AS city FROM range(50) r(i)"
    found = profile(engine, table(engine, select))
    assert found.pairs
    for (left, right), unique in found.pairs.items():
        ((single,),) = engine.run(
            "test",
            f"SELECT count(*) FROM (SELECT count(*) AS n FROM t GROUP BY {left}, {right} HAVING count(*) = 1) AS x",
        )
        assert unique == single / 50


def test_pairs_are_counted_for_quasi_identifiers_only(engine: Engine) -> None:
    select = "SELECT i AS patient_id, i % 9 AS age, i % 2 AS sex, 'd' || i % 3 AS disease FROM range(50) r(i)"
    assert list(profile(engine, table(engine, select)).pairs) == [("age", "sex")]


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("e-mail addresses", "'p' || i || '@example.org'"),
        ("UUIDs", "uuid()::VARCHAR"),
        ("social security numbers", "(100 + i) || '-12-' || (1000 + i)"),
        ("IBANs", "'DE8937040044053201' || (1000 + i)"),
        ("IBANs", "'DE89 3704 0044 0532 01' || (10 + i % 80) || ' 00'"),
        ("IPv4 addresses", "'10.0.0.' || i"),
        ("IPv6 addresses", "'2001:db8::' || i"),
        ("credit card numbers", "'4111 1111 1111 ' || (1000 + i)"),
        ("credit card numbers", "'378282246310' || (100 + i)"),
        ("phone numbers", "'+49 30 ' || (100000 + i)"),
        ("phone numbers", "'(212) 555-' || (1000 + i)"),
        ("phone numbers", "'030/' || (100000 + i)"),
        ("URLs", "'https://example.org/' || i"),
        ("dates", "(DATE '2020-01-01' + i::INTEGER)::VARCHAR"),
        ("dates, day or month first", "(1 + i % 28) || '.03.' || (1950 + i % 50)"),
        ("postal codes", "(10000 + i)::VARCHAR"),
        ("postal codes", "'SW1A ' || (i % 10) || 'AA'"),
    ],
)
def test_a_pattern_is_found_by_the_share_of_the_values_that_have_it(engine: Engine, pattern: str, value: str) -> None:
    select = f"CASE WHEN i % 4 = 0 THEN NULL WHEN i % 4 = 1 THEN 'none' ELSE {value} END AS x"
    (found,) = profile(engine, table(engine, select, 80)).columns
    assert found.patterns == {pattern: pytest.approx(2 / 3)}


def test_words_and_numbers_have_no_pattern(engine: Engine) -> None:
    values = "('Alice'), ('<=50K'), ('11th'), ('12:30:45'), ('25-34'), ('1000000'), ('A 12'), ('-'), (''), ('3.5')"
    (found,) = profile(engine, table(engine, f"SELECT * FROM (VALUES {values}) v(x)")).columns
    assert found.patterns == {}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("patient_id patientId Kundennummer id_paciente customer\u00a0no patient", "a person's id"),
        ("SSN mrn medical_record_no Sozialversicherungsnummer Passport-No", "an official number"),
        ("email e-mail EMail Telefonnummer teléfono courriel ip_address IPAddress", "a contact or account"),
        ("name last_name Nachname prénom Nombre apellidos birth_name", "a person's name"),
        ("Straße street_address Adresse dirección", "an address"),
        ("age Alter Edad âge", "age"),
        ("birth_date Geburtsdatum date_de_naissance fecha_de_nacimiento dob", "birth"),
        ("zip ZIPCode PLZ code_postal código_postal postcode", "a postal code"),
        ("sex Gender Geschlecht sexe género", "sex"),
        ("marital-status Familienstand état_civil estado_civil", "marital status"),
        ("race ethnicity raza", "race or ethnicity"),
        ("country native-country Land pays país Staatsangehörigkeit", "a country"),
        ("city Ort ville ciudad Bundesland", "a place"),
        ("education Schulabschluss", "education"),
        ("occupation job Beruf métier profesión", "an occupation"),
        ("diagnosis Krankheit maladie enfermedad icd icd_10 income Gehalt salaire salary-class religion", "secret"),
        ("notes comments Bemerkungen remarques observaciones", "free text"),
        ("id uuid order_id", "an id"),
    ],
)
def test_names_are_understood_in_four_languages(names: str, kind: str) -> None:
    assert {name: kind_of(name) for name in names.split(" ")} == dict.fromkeys(names.split(" "), kind)


@pytest.mark.parametrize(
    "name", ["image", "language", "message", "island", "hospital_name", "num_children", "ward", "😀", ""]
)
def test_a_name_that_only_resembles_a_word_says_nothing(name: str) -> None:
    assert kind_of(name) is None


def test_the_members_of_an_enumeration_are_kept_out_of_profile_and_proposal(tmp_path: Path, duck: DuckDB) -> None:
    select = "'Alice Meyer'::ENUM('Alice Meyer', 'Bob') AS e, {'Bob Otto': i} AS s, i % 3 AS age"
    found, text, spec = proposed(tmp_path, duck, table(duck, select))
    assert [c.type for c in found.columns] == ["ENUM", "STRUCT", "BIGINT"]
    assert not re.search("Alice|Bob", text + json.dumps(found.to_dict()))
    assert roles(spec)["s"] == "drop"


def test_no_cell_value_stands_in_profile_or_proposal(tmp_path: Path, engine: Engine) -> None:
    select = """73911 + i % 3 AS a, 8675309.25 + i % 40 AS b, DATE '1987-03-29' + (i % 5)::INTEGER AS c,
        CASE WHEN i % 2 = 0 THEN 'Zanzibar' ELSE 'Quito' END AS city, 'Smith' || i % 60 AS person_name"""
    found, text, _ = proposed(tmp_path, engine, table(engine, select))
    told = text + json.dumps(found.to_dict())
    assert not re.search(r"7391\d|86753|1987|Zanzibar|Quito|Smith", told)


def test_a_source_without_rows_is_refused(engine: Engine) -> None:
    with pytest.raises(SpecError, match="no rows"):
        profile(engine, table(engine, "SELECT 1 AS a WHERE false"))


def test_the_work_is_told_while_it_goes_on(engine: Engine) -> None:
    told: list[float | None] = []
    profile(engine, table(engine, "SELECT 1 AS a"), tell=lambda _, share: told.append(share))
    assert told == sorted(told, key=lambda share: share or 0)
    assert len(told) == 4


def test_a_profile_is_json(engine: Engine) -> None:
    told = profile(engine, table(engine, "i % 9 AS age, i % 2 AS sex", 30)).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert (told["source"], told["rows"], len(told["columns"])) == ("t", 30, 2)
    assert told["pairs"] == [{"columns": ["age", "sex"], "unique": told["pairs"][0]["unique"]}]


def test_a_large_table_is_estimated_from_a_sample_and_says_so(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "EXACT_ROWS", 2_000)
    select = """SELECT i % 5000 AS patient_id, i % 90 AS age, 'w' || i % 6 AS ward, 'p' || i || '@x.org' AS contact,
        'd' || i % 12 AS disease FROM range(20000) r(i)"""
    found, text, spec = proposed(tmp_path, engine, table(engine, select))
    columns = by_name(found)
    assert columns["patient_id"].distinct == pytest.approx(5000, rel=0.1)
    assert columns["contact"].patterns == {"e-mail addresses": 1}
    assert columns["disease"].entropy == pytest.approx(math.log(12), rel=0.02)
    assert "estimated from a sample of 2,000" in text
    assert roles(spec)["contact"] == "identifier"
    assert spec.entity == "patient_id"
    assert runs(spec, engine, recoded=False)


# -- what is proposed


def test_the_proposal_for_the_demo_is_what_a_person_would_write(tmp_path: Path, duck: DuckDB) -> None:
    demo.write(tmp_path, patients=2_000)
    _, text, spec = proposed(tmp_path, duck, Origin(file=tmp_path / "patients.csv"), "patients.csv")
    assert (spec.source.file, spec.entity) == ("patients.csv", "patient_id")
    told = roles(spec)
    assert [n for n, role in told.items() if role == "identifier"] == ["patient_id", "name"]
    assert [n for n, role in told.items() if role == "sensitive"] == ["disease"]
    assert [n for n, role in told.items() if role == "drop"] == ["notes"]
    assert [str(w) for w in getattr(spec.columns["age"].hierarchy, "widths", ())] == ["5", "10", "20", "40"]
    assert spec.columns["zip"].hierarchy == Mask(5)
    assert spec.columns["zip"].type == "text"
    assert spec.columns["admitted"].hierarchy == Date(("month", "quarter", "year", "decade"))
    assert spec.columns["country"].hierarchy is None
    assert spec.privacy == (KAnonymity(5), LDiversity("disease", 2.0, "entropy"))
    assert spec.recoding.suppression == 0.02
    assert spec.publish is not None
    assert (spec.publish.name, spec.publish.as_) == ("stays_release", "file")
    assert all("#" in line for line in text.splitlines() if line.startswith("  "))
    assert runs(spec, duck)


@needs_shared
def test_the_proposal_for_a_file_with_a_delimiter_runs(tmp_path: Path, duck: DuckDB) -> None:
    file, (head, *lines) = tmp_path / "adult.csv", (ADULT / "adult.csv").read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([head, *lines[::6]]), encoding="utf-8")
    _, _, spec = proposed(tmp_path, duck, Origin(file=file, delimiter=";"), str(file))
    assert (spec.source.file, spec.source.delimiter) == (str(file), ";")
    assert spec.sensitive == ("salary-class",)
    assert len(spec.quasi_identifiers) == 8
    (_, diversity) = spec.privacy
    assert isinstance(diversity, LDiversity)
    assert 1 < diversity.l < 1.75  # what the two salary classes of the whole table come to
    assert runs(spec, duck)


@pytest.mark.parametrize(
    "select",
    [
        "SELECT * FROM (VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')) v(id, name, disease)",
        "SELECT * FROM (VALUES (1, 'a', 3.5), (2, 'b', 4.5), (3, 'c', 9.0)) v(k, w, x)",
        "SELECT 1 AS a",
        "NULL AS a, NULL::VARCHAR AS b",
        "ARRAY[i] AS a",
        "i AS patient_id, 'p' || i || '@x.de' AS mail",
        "i % 3 AS disease",
        "'x' AS disease, i % 3 AS age",
        "i % 2 AS patient_id, i % 7 AS age, 'd' || i % 4 AS diagnosis",
        "1e300::DOUBLE PRECISION * i * 1e5 AS a, (-1e300)::DOUBLE PRECISION * i AS b, 1e-300 * i AS c",
        "CASE WHEN i = 0 THEN 'inf'::DOUBLE WHEN i = 1 THEN '-inf' WHEN i < 9 THEN 'nan' ELSE i END AS a",
        "i::DECIMAL(38, 0) * 1000000000000000000000000000 AS a",
        "CASE WHEN i < 40 THEN 0 ELSE i * 997 END AS a, i % 2 = 0 AS b",
        "(-9223372036854775808)::BIGINT + i * 99999999999 AS a, i % 2 AS b",
    ],
)
def test_a_proposal_runs_where_there_is_little_to_work_with(tmp_path: Path, engine: Engine, select: str) -> None:
    _, _, spec = proposed(tmp_path, engine, table(engine, select))
    assert spec.quasi_identifiers
    assert runs(spec, engine)


def test_a_proposal_runs_on_every_type(tmp_path: Path, duck: DuckDB) -> None:
    select = """SELECT i AS n, NULL::INTEGER AS nothing, i % 2 = 0 AS flag, (i % 60 * 1.25)::DECIMAL(18, 2) AS price,
        i::DOUBLE AS number, i::DECIMAL(38, 20) AS fine, TIMESTAMP '2020-01-01' + to_days(i::INTEGER) AS at,
        TIMESTAMPTZ '2020-01-01 00:00:00+00' AS zoned, DATE '2020-01-01' + i::INTEGER AS day, [i] AS list,
        {'a': i} AS struct, MAP {'k': i} AS map, TIME '10:00' AS time, INTERVAL 1 DAY AS span, 'x'::BLOB AS bytes,
        '{"a": 1}'::JSON AS js, 'a'::ENUM('a', 'b') AS mood, uuid() AS u, TIMESTAMP_NS '2020-01-01 00:00:00' AS ns
        FROM range(150) r(i)"""
    found, _, spec = proposed(tmp_path, duck, table(duck, select))
    told = roles(spec)
    other = [c.name for c in found.columns if c.family == "other"]
    assert {"list", "struct", "map", "zoned", "time", "span", "bytes"} <= set(other)
    assert {told[name] for name in [*other, "nothing"]} == {"drop"}
    assert (told["n"], told["u"], told["flag"]) == ("identifier", "identifier", "sensitive")
    hierarchies = {name: type(spec.columns[name].hierarchy) for name in ("price", "number", "fine", "at", "day", "ns")}
    assert hierarchies == {"price": Width, "number": Width, "fine": Width, "at": Date, "day": Date, "ns": Date}
    assert runs(spec, duck)


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 14))
def test_a_proposal_runs_whatever_the_columns_are_called(tmp_path: Path, engine: Engine, start: int) -> None:
    names = tuple(n for n in HOSTILE[start : start + 14] if engine.name != "postgres" or len(n.encode()) < 64)
    _, _, spec = proposed(tmp_path, engine, table(engine, named(names)))
    assert tuple(spec.columns) == names
    assert runs(spec, engine, recoded=False)


def test_a_proposal_runs_on_names_with_line_breaks(tmp_path: Path, engine: Engine) -> None:
    _, _, spec = proposed(tmp_path, engine, table(engine, named(BREAKS)))
    assert tuple(spec.columns) == BREAKS
    assert runs(spec, engine, recoded=False)


def test_hostile_sensitive_entities_and_sources_survive_the_file(tmp_path: Path, engine: Engine) -> None:
    source = "sales: # of {2020}"
    table(engine, "i % 30 AS \"Patient: #\", i % 9 AS age, 'd' || i % 4 AS \"disease: {x}, 'y' # \"")
    engine.run("test", f"ALTER TABLE t RENAME TO {query.identifier(source).sql('duckdb')}")
    _, _, spec = proposed(tmp_path, engine, Origin(relation=source), source)
    assert (spec.source.table, spec.entity) == (source, "Patient: #")
    assert spec.privacy[1] == LDiversity("disease: {x}, 'y' # ", 2.0, "entropy")
    assert runs(spec, engine)


def test_a_column_that_is_known_to_be_shared_by_records_becomes_the_entity(tmp_path: Path, engine: Engine) -> None:
    select = "SELECT 'P' || (i % 40) AS mrn, i % 9 AS age FROM range(120) r(i)"
    _, text, spec = proposed(tmp_path, engine, table(engine, select))
    assert spec.entity == "mrn"
    assert "40 persons in 120 records" in text


@pytest.mark.parametrize(
    "value", ["i", "CASE WHEN i > 0 THEN i % 40 END"], ids=["one record each", "missing in some records"]
)
def test_an_identifier_that_could_not_count_persons_is_no_entity(tmp_path: Path, engine: Engine, value: str) -> None:
    _, _, spec = proposed(tmp_path, engine, table(engine, f"{value} AS patient_id, i % 9 AS age", 120))
    assert spec.entity is None
    assert roles(spec)["patient_id"] == "identifier"


@pytest.mark.parametrize(
    ("select", "role", "why"),
    [
        ("'p' || i || '@x.org'", "identifier", "100% of the values look like e-mail addresses"),
        ("CASE WHEN i % 10 = 0 THEN 'p@x.org' ELSE 'none' END", "drop", "10% of the values look like e-mail addresses"),
        ("'https://x.org/' || i", "drop", "100% of the values look like URLs"),
        ("i * 7", "identifier", "no value occurs twice"),
        ("'row ' || i", "identifier", "no value occurs twice"),
        ("'word ' || i % 150", "drop", "150 values"),
        ("NULL::VARCHAR", "drop", "no values"),
        ("ARRAY[i]", "drop", "no hierarchy makes values of type"),
        ("'w' || i % 5", "sensitive", "a guess"),
        ("i % 90 * 1.5", "quasi-identifier", "others may know it"),
    ],
)
def test_every_column_says_why_it_is_what_it_is(
    tmp_path: Path, engine: Engine, select: str, role: str, why: str
) -> None:
    _, text, spec = proposed(tmp_path, engine, table(engine, f"{select} AS x, i % 60 AS age", 200))
    assert roles(spec)["x"] == role
    assert why in reason(text, "x")


def test_the_secret_is_guessed_from_entropy_only_where_no_name_tells_it(tmp_path: Path, engine: Engine) -> None:
    select = "i % 9 AS age, 'a' || i % 3 AS few, 'b' || i % 12 AS more, 'c' || i % 30 AS city, {}"
    _, _, spec = proposed(tmp_path, engine, table(engine, select.format("true AS same")))
    assert spec.sensitive == ("more",)
    _, _, spec = proposed(tmp_path, engine, table(engine, select.format("i % 50 * 100 AS income")))
    assert spec.sensitive == ("income",)
    _, _, spec = proposed(tmp_path, engine, table(engine, "i % 9 AS age, 'c' || i % 30 AS city", 300))
    assert (spec.sensitive, spec.privacy) == ((), (KAnonymity(5),))


def test_no_more_diversity_is_asked_for_than_the_table_has(tmp_path: Path, engine: Engine) -> None:
    select = "SELECT i % 9 AS age, i % 25 = 0 AS hiv, 'd' || i % 9 AS disease, 'same' AS religion FROM range(300) r(i)"
    found, text, spec = proposed(tmp_path, engine, table(engine, select))
    diversity = {m.column: m.l for m in spec.privacy if isinstance(m, LDiversity)}
    assert diversity == {"disease": 2.0}
    assert text.count("# no model for one sensitive column") == 2
    assert math.exp(by_name(found)["hiv"].entropy) < 1.2
    assert runs(spec, engine)


@pytest.mark.parametrize(
    ("value", "widths"),
    [
        ("i % 98", [5, 10, 20, 40]),
        ("1900 + i % 98", [5, 10, 20, 40]),
        ("i % 98 * 1000", [5000, 10000, 20000, 40000]),
        ("i % 98 / 100.0", [0.05, 0.1, 0.2, 0.4]),
        ("(i % 98)::DOUBLE / 1000", [0.005, 0.01, 0.02, 0.04]),
        ("i % 12", [2, 4, 8]),
        ("i % 5", []),
        ("7", []),
        ("CASE WHEN i % 100 = 0 THEN i * 1000 ELSE i % 80 END", [5, 10, 50, 500]),
    ],
)
def test_widths_follow_where_most_values_lie_and_nest(
    tmp_path: Path, engine: Engine, value: str, widths: list[float]
) -> None:
    _, _, spec = proposed(tmp_path, engine, table(engine, f"{value} AS age, i % 2 AS sex", 1000))
    found = spec.columns["age"].hierarchy
    assert [float(w) for w in found.widths] == widths if isinstance(found, Width) else widths == []


def test_numbers_that_stand_for_something_else_get_no_bins(tmp_path: Path, engine: Engine) -> None:
    select = "SELECT i % 40 AS ward_id, 10000 + i % 80 AS zip, i % 60 AS age FROM range(1000) r(i)"
    _, _, spec = proposed(tmp_path, engine, table(engine, select))
    assert spec.columns["ward_id"].hierarchy is None
    assert spec.columns["zip"].hierarchy == Mask(5)
    assert spec.columns["zip"].type is None


def test_postal_codes_in_a_file_keep_their_zeros(tmp_path: Path, duck: DuckDB) -> None:
    # The reader of the file decides by the first rows, where all codes look like numbers.
    lines = (f"{99990 - n % 90 - n // 30_000 * 90_000:05d},{n % 60}\n" for n in range(31_000))
    (tmp_path / "people.csv").write_text("plz,age\n" + "".join(lines))
    found, _, spec = proposed(tmp_path, duck, Origin(file=tmp_path / "people.csv"), "people.csv")
    assert by_name(found)["plz"].length == 5
    assert (spec.columns["plz"].type, spec.columns["plz"].hierarchy) == ("text", Mask(5))
    assert runs(spec, duck)


def test_of_too_many_candidates_those_that_distinguish_most_are_kept(tmp_path: Path, engine: Engine) -> None:
    columns = ", ".join(f"(i * {at + 3}) % {at + 10} AS c{at}" for at in range(70))
    found, text, spec = proposed(tmp_path, engine, table(engine, f"{columns}", 2000))
    assert len(spec.quasi_identifiers) == 8
    assert len(found.pairs) == 28
    assert all(by_name(found)[name].distinct > 50 for name in spec.quasi_identifiers)
    assert "others may know 70 columns, too many" in reason(text, "c0")


@pytest.mark.parametrize(
    ("origin", "text", "source"),
    [
        (Origin(relation="t"), "t", "t"),
        (Origin(relation="main.t"), "main.t", "main.t"),
        (Origin(relation="a/b"), "a/b", {"table": "a/b"}),
        (Origin(relation="a.csv"), "a.csv", {"table": "a.csv"}),
        (Origin(relation="1e-3"), "1e-3", "1e-3"),
        (Origin(file=Path("x.parquet")), "../x.parquet", "../x.parquet"),
        (Origin(file=Path("x.CSV.gz")), "x.CSV.gz", "x.CSV.gz"),
        (Origin(file=Path("x"), delimiter="\t"), "x", {"file": "x", "delimiter": "\t"}),
        (Origin(query="SELECT *\nFROM t -- all"), "", {"query": "SELECT *\nFROM t -- all"}),
    ],
)
def test_the_source_is_written_so_that_it_is_found_again(
    tmp_path: Path, origin: Origin, text: str, source: Any
) -> None:
    column = ColumnProfile("age", "BIGINT", "integer", 9, 0, distinct=3)
    told = propose(Profile(origin, 9, (column,)), source_text=text, name="x")
    assert yaml.safe_load(told)["source"] == source
    found = written(tmp_path, told).source
    assert (found.table, found.query) == (origin.relation, origin.query)
    assert found.file == (text if origin.file else None)
    assert found.delimiter == origin.delimiter


def test_a_file_that_a_spec_could_not_read_is_refused_with_the_way_out(tmp_path: Path, duck: DuckDB) -> None:
    (tmp_path / "people.txt").write_text("age,sex\n1,2\n")
    found = profile(duck, Origin(file=tmp_path / "people.txt"))
    with pytest.raises(SpecError, match="needs a delimiter"):
        propose(found, source_text="people.txt", name="people")


@pytest.mark.parametrize(("persistent", "form"), [(False, "file"), (True, "table")])
@pytest.mark.parametrize("name", ["patients", "a/b: c\n#", "", "Ärzte"])
def test_the_release_gets_a_plain_name_and_stays_where_the_engine_stays(
    tmp_path: Path, persistent: bool, form: str, name: str
) -> None:
    column = ColumnProfile("age", "BIGINT", "integer", 9, 0, distinct=3)
    told = propose(Profile(Origin(relation="t"), 9, (column,), persistent=persistent), source_text="t", name=name)
    publish = written(tmp_path, told).publish
    assert publish is not None
    assert re.fullmatch(r"\w+_release", publish.name)
    assert publish.as_ == form


def test_the_same_source_gets_the_same_proposal(engine: Engine) -> None:
    origin = table(engine, named(HOSTILE[:20]), rows=5000)
    texts = {propose(profile(engine, origin), source_text="t", name="t") for _ in range(3)}
    assert len(texts) == 1


def test_a_proposal_for_the_types_of_postgres_runs(tmp_path: Path, fresh: str) -> None:
    with sqlanon.connect(fresh, superuser=True) as engine:
        engine.run("test", "CREATE TYPE public.mood AS ENUM ('Alice Meyer', 'Bob')")
        engine.run("test", """CREATE TABLE public.t AS SELECT i AS n, NULL::integer AS nothing, i % 2 = 0 AS flag,
            (i % 60 * 1.25)::numeric(18, 2) AS price, i::float8 AS number, i::numeric AS fine, i::float4 AS small,
            10::numeric ^ 300 * i AS huge, timestamp '2020-01-01' + i * interval '1 day' AS at, now() AS zoned,
            date '2020-01-01' + i AS day, ARRAY[i] AS list, int4multirange() AS pair, time '10:00' AS time,
            '{"a": 1}'::json AS js, '{"a": 1}'::jsonb AS jsb, 'x'::bytea AS bytes,
            'Bob'::public.mood AS mood, gen_random_uuid() AS u,
            '10.0.0.1'::inet AS address, int4range(i, i + 2) AS span, 'c'::char(9) AS padded, '1'::xml AS x
            FROM generate_series(0, 149) AS r(i)""")  # fmt: skip
        found, text, spec = proposed(tmp_path, engine, Origin(relation="t"))
        told = roles(spec)
        other = [c.name for c in found.columns if c.family == "other"]
        assert {*other} == {"zoned", "list", "pair", "time", "js", "jsb", "bytes", "address", "span", "x"}
        assert {told[name] for name in [*other, "nothing"]} == {"drop"}
        assert (told["n"], told["u"], told["flag"]) == ("identifier", "identifier", "sensitive")
        assert not re.search("Alice|Bob", text + json.dumps(found.to_dict()))
        assert isinstance(spec.columns["number"].hierarchy, Width)
        assert isinstance(spec.columns["at"].hierarchy, Date)
        assert runs(spec, engine)
