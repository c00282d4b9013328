"""The spec: what is read, what is refused, and how well a refusal says where, what and what instead."""

from __future__ import annotations

import copy
from collections import OrderedDict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sqlanon.demo import SPEC as DEMO
from sqlanon.errors import SpecError
from sqlanon.hierarchies import HIERARCHIES, Csv, Date, Mask, Order, Tree, Width
from sqlanon.models import MODELS, AlphaKAnonymity, KAnonymity, LDiversity, TCloseness
from sqlanon.presets import PRESETS
from sqlanon.reading import parse_model
from sqlanon.spec import Column, Publish, Recoding, Source, Spec, load, schema

EXAMPLE = """\
# patients.yaml
source: patients
entity: patient_id
columns:
  patient_id: identifier
  name:       identifier
  age:        {role: quasi-identifier, hierarchy: {width: [5, 10, 20, 40]}}
  zip:        {role: quasi-identifier, hierarchy: {mask: 5}}
  country:    {role: quasi-identifier, hierarchy: {csv: hierarchies/country.csv}}
  admitted:   {role: quasi-identifier, hierarchy: {date: [month, quarter, year]}}
  disease:    {role: sensitive, hierarchy: {tree: {Heart: [stroke, attack], Lung: [asthma]}}}
  notes:      drop
  ward:       insensitive
privacy:
  - {model: k-anonymity, k: 5}
  - {model: l-diversity, column: disease, kind: entropy, l: 3}
  - {model: t-closeness, column: disease, distance: hierarchical, t: 0.2}
recoding: {method: full-domain, suppression: 0.02, loss: loss}
publish:  {name: patients_release, as: table, grant: [analyst], expires: 90d}
"""
SMALL = """\
source: t
columns:
  a: quasi-identifier
  s: sensitive
privacy:
  - {model: k-anonymity, k: 2}
"""
LEVELS = "recoding: {loss: loss, levels: {age: 1, zip: 1, country: 1, admitted: 1}}"


def written(folder: Path, text: str, name: str = "patients.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str, text: str = EXAMPLE) -> str:
    assert text.count(old) == 1, f"{old!r} should stand in the text once"
    return text.replace(old, new)


def refused(spec: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(spec)
    assert caught.value.exit_status == 2
    return caught.value


def test_the_example_of_the_design_is_read_with_all_its_parts(tmp_path: Path) -> None:
    spec = load(written(tmp_path, EXAMPLE))
    assert spec.source == Source(table="patients")
    assert list(spec.columns) == ["patient_id", "name", "age", "zip", "country", "admitted", "disease", "notes", "ward"]
    assert spec.columns["age"].hierarchy == Width(tuple(map(Decimal, (5, 10, 20, 40))))
    assert spec.columns["zip"].hierarchy == Mask(5)
    assert spec.columns["country"].hierarchy == Csv("hierarchies/country.csv")
    assert spec.columns["admitted"].hierarchy == Date(("month", "quarter", "year"))
    assert spec.columns["disease"].hierarchy == Tree({"Heart": ["stroke", "attack"], "Lung": ["asthma"]})
    assert spec.privacy == (
        KAnonymity(5),
        LDiversity("disease", 3, "entropy"),
        TCloseness("disease", 0.2, "hierarchical"),
    )
    assert spec.recoding == Recoding("full-domain", 0.02, loss="loss")
    assert spec.publish == Publish("patients_release", grant=("analyst",), expires="90d")
    assert spec.publish.lifetime == timedelta(days=90)


def test_the_columns_of_a_spec_can_be_asked_for_by_what_they_are(tmp_path: Path) -> None:
    spec = load(written(tmp_path, EXAMPLE))
    assert spec.identifiers == ("patient_id", "name")
    assert spec.quasi_identifiers == ("age", "zip", "country", "admitted")
    assert spec.sensitive == ("disease",)
    assert spec.published == ("age", "zip", "country", "admitted", "disease", "ward")


def test_paths_are_seen_from_the_folder_of_the_file_and_addresses_stay(tmp_path: Path) -> None:
    spec = load(written(tmp_path, EXAMPLE))
    assert spec.base == tmp_path
    assert spec.resolve("data/x.csv") == str(tmp_path / "data" / "x.csv")
    assert spec.resolve("/data/x.csv") == "/data/x.csv"
    assert spec.resolve("s3://bucket/x.parquet") == "s3://bucket/x.parquet"


def test_a_mapping_reads_like_the_file_of_the_same_form(tmp_path: Path) -> None:
    mapping = yaml.safe_load(EXAMPLE)
    before = copy.deepcopy(mapping)
    spec = load(mapping)
    assert mapping == before
    assert spec.base == Path()
    assert Spec(**{**vars(load(written(tmp_path, EXAMPLE))), "base": Path()}) == spec


def test_a_mapping_may_hold_paths_decimals_tuples_and_ordered_dictionaries() -> None:
    columns = OrderedDict(b={"role": "quasi-identifier", "hierarchy": {"width": (Decimal("0.1"), 1)}}, a="drop")
    spec = load({"source": Path("x.csv"), "columns": columns, "privacy": ({"model": "k-anonymity", "k": 2},)})
    assert spec.source == Source(file="x.csv")
    assert list(spec.columns) == ["b", "a"]
    assert spec.columns["b"].hierarchy == Width((Decimal("0.1"), Decimal(1)))


def test_the_demo_is_read_and_accepted_by_the_schema(tmp_path: Path) -> None:
    assert load(written(tmp_path, DEMO)).source == Source(file="patients.csv")
    jsonschema.validate(yaml.safe_load(DEMO), schema())


def test_what_is_not_said_has_the_documented_value(tmp_path: Path) -> None:
    spec = load(written(tmp_path, SMALL))
    assert (spec.entity, spec.publish) == (None, None)
    assert spec.recoding == Recoding("hilbert", 0, "drop", None, None, 60)
    assert spec.columns["a"] == Column("quasi-identifier", None, "label", None, None, 1, None)
    release = load(written(tmp_path, SMALL + "publish: {name: r}\n")).publish
    assert release == Publish("r", "table", None, (), None)
    assert release.lifetime is None


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("patients", Source(table="patients")),
        ("clinic.patients", Source(table="clinic.patients")),
        ("patients.csv", Source(file="patients.csv")),
        ("data/Patients.CSV.gz", Source(file="data/Patients.CSV.gz")),
        ("s3://b/p.parquet", Source(file="s3://b/p.parquet")),
        ("{table: patients.csv}", Source(table="patients.csv")),
        ("{query: SELECT * FROM t WHERE a = 1}", Source(query="SELECT * FROM t WHERE a = 1")),
        ("{file: x.dat, delimiter: ';'}", Source(file="x.dat", delimiter=";")),
        ('{file: x.csv, delimiter: "\\t"}', Source(file="x.csv", delimiter="\t")),
    ],
)
def test_a_source_is_a_table_a_file_or_a_query(tmp_path: Path, text: str, source: Source) -> None:
    assert load(written(tmp_path, changed("source: t", f"source: {text}", SMALL))).source == source


@pytest.mark.parametrize(
    ("text", "hierarchy"),
    [
        ("width: 5", Width((Decimal(5),))),
        ("width: 0.1", Width((Decimal("0.1"),))),
        ("date: year", Date(("year",))),
        ("order: [low, middle, high]", Order(("low", "middle", "high"))),
        ("order: {values: [low, middle, high], groups: 2}", Order(("low", "middle", "high"), (2,))),
        ("order: [2020-01-01, 2020-01-02]", Order(("2020-01-01", "2020-01-02"))),
        ("tree: {A: [x], B: }", Tree({"A": ["x"], "B": None})),
    ],
)
def test_a_hierarchy_is_one_kind_with_its_content(tmp_path: Path, text: str, hierarchy: object) -> None:
    small = changed("a: quasi-identifier", f"a: {{role: quasi-identifier, hierarchy: {{{text}}}}}", SMALL)
    assert load(written(tmp_path, small)).columns["a"].hierarchy == hierarchy


def test_numbers_stay_as_they_were_written(tmp_path: Path) -> None:
    more = "  - {model: l-diversity, column: s, l: 3}\n  - {model: t-closeness, column: s, t: 2e-1}\n"
    _, diversity, closeness = load(written(tmp_path, SMALL + more)).privacy
    assert repr(diversity) == "LDiversity(column='s', l=3, kind='distinct', c=None)"
    assert closeness == TCloseness("s", 0.2)


def test_keys_of_two_words_may_be_written_either_way(tmp_path: Path) -> None:
    for key in ("time-limit", "time_limit"):
        assert load(written(tmp_path, SMALL + f"recoding: {{{key}: 2.5}}\n")).recoding.time_limit == 2.5


def test_a_published_file_is_called_like_the_release_unless_a_path_is_given(tmp_path: Path) -> None:
    for text, path in (("", "r.parquet"), (", path: out/x.duckdb", "out/x.duckdb")):
        found = load(written(tmp_path, SMALL + f"publish: {{name: r, as: file{text}}}\n")).publish
        assert found == Publish("r", "file", path)


def test_anchors_and_merged_mappings_are_fine_and_own_keys_win(tmp_path: Path) -> None:
    text = """\
source: t
columns:
  a: &qi {role: quasi-identifier, hierarchy: {mask: 3}, weight: 2}
  b: *qi
  c: {<<: *qi, weight: 5}
privacy: [{model: k-anonymity, k: 2}]
"""
    columns = load(written(tmp_path, text)).columns
    assert columns["a"] == columns["b"] == Column("quasi-identifier", Mask(3), weight=2)
    assert columns["c"] == Column("quasi-identifier", Mask(3), weight=5)


def test_hostile_names_of_columns_are_only_names(tmp_path: Path) -> None:
    hostile = '"; DROP TABLE x; --'
    text = changed("  a: quasi-identifier", f"  '{hostile}': quasi-identifier\n  \"a\\n: b\": drop", SMALL)
    assert list(load(written(tmp_path, text)).columns) == [hostile, "a\n: b", "s"]
    error = refused(written(tmp_path, changed(": drop", ": dorp", text)))
    assert r':4:13: columns."a\n: b": ' in str(error)
    assert len(str(error).splitlines()) == 1


# old text, new text, line and column, path, words of the problem, found, suggestion
WRONG = [
    ("source: patients", "sorce: patients", "2:1", "sorce", "no such key", "sorce", "source"),
    ("source: patients", "source: 2020", "2:9", "source", "needs text, not a whole number", "2020", '"2020"'),
    ("source: patients", "source: ''", "2:9", "source", "must not be empty", "", None),
    ("source: patients", "source: {qery: SELECT 1}", "2:10", "source.qery", "no such key", "qery", "query"),
    ("source: patients", "source: {table: a, query: b}", "2:9", "source", "one of table, file and query", None, None),
    ("source: patients", "source: data/x.xls", "2:9", "source", "end in one of .csv", "data/x.xls", None),
    ("source: patients", "source: {table: a, delimiter: x}", "2:31", "source.delimiter", "a file only", "x", None),
    ("source: patients", "source: {file: a, delimiter: xy}", "2:30", "source.delimiter", "must be like ;", "xy", None),
    ("entity: patient_id", "entity: patientid", "3:9", "entity", "no such identifier", "patientid", "patient_id"),
    ("entity: patient_id", "entity: ward", "3:9", "entity", "of role identifier", "ward", None),
    ("  name:  ", "  2020:  ", "6:3", "columns.2020", "write it in quotes", "2020", '"2020"'),
    ("  name:  ", "  yes:  ", "6:3", "columns.yes", "write it in quotes", "yes", '"yes"'),
    ("  name:  ", "  patient_id:  ", "6:3", "columns.patient_id", "twice, first in line 5", "patient_id", None),
    ("  name:  ", "  '':  ", "6:13", 'columns.""', "a column needs a name", None, None),
    ("notes:      drop", "notes: dropp", "12:10", "columns.notes", "not a word", "dropp", "drop"),
    ("notes:      drop", "notes: {rolle: drop}", "12:11", "columns.notes.rolle", "no such key", "rolle", "role"),
    (", k: 5", ", k: 5, '': 1", "15:32", 'privacy[0].""', "no such key", "", None),
    ("notes:      drop", "notes: {}", "12:10", "columns.notes", "'role' is missing", None, None),
    ("notes:      drop", "notes:", "12:9", "columns.notes", "not nothing", None, None),
    ("notes:      drop", "notes: [drop]", "12:10", "columns.notes", "needs a mapping, not a list", None, None),
    ("{width: [5,", "{widht: [5,", "7:52", "columns.age.hierarchy.widht", "no such hierarchy", "widht", "width"),
    ("{width: [5,", "{width: [3,", "7:59", "columns.age.hierarchy.width", "no multiple of 3", None, None),
    ("{width: [5,", "{width: ['5',", "7:60", "columns.age.hierarchy.width[0]", "a number, not text", "5", None),
    ("{width: [5,", "{width: [.nan,", "7:60", "columns.age.hierarchy.width[0]", "finite", ".nan", None),
    ("{width: [5, 10, 20, 40]}", "{width: {}}", "7:59", "columns.age.hierarchy.width", "needs a list", None, None),
    ("{mask: 5}", "mask", "8:51", "columns.zip.hierarchy", "one kind with its content", "mask", "mask"),
    ("{mask: 5}", "{mask: 5, date: day}", "8:51", "columns.zip.hierarchy", "one kind", None, None),
    ("{mask: 5}", "{mask: 0}", "8:58", "columns.zip.hierarchy.mask", "from 1 to 100", "0", None),
    ("{mask: 5}", "{mask: on}", "8:58", "columns.zip.hierarchy.mask", "not true or false", "on", None),
    ("{mask: 5}", "{order: {value: [a, b]}}", "8:60", "columns.zip.hierarchy.order.value", "no such key",
     "value", "values"),
    ("{mask: 5}", "{order: [1, b]}", "8:60", "columns.zip.hierarchy.order[0]", "in quotes", "1", '"1"'),
    ("{mask: 5}}", "{mask: 5}, max: 6}", "8:67", "columns.zip.max", "at most 5", "6", None),
    ("{mask: 5}}", "{mask: 5}, min: -1}", "8:67", "columns.zip.min", "at least 0", "-1", None),
    ("{mask: 5}}", "{mask: 5}, min: 3, max: 2}", "8:67", "columns.zip.min", "at most max", "3", None),
    ("{mask: 5}}", "{mask: 5}, weight: 0}", "8:70", "columns.zip.weight", "greater than 0", "0", None),
    ("{mask: 5}}", "{mask: 5}, type: txt}", "8:68", "columns.zip.type", "not a word", "txt", "text"),
    ("{mask: 5}}", "{mask: 5}, represent: range}", "8:73", "columns.zip.represent", "width or date", "range", None),
    ("ward:       insensitive", "ward: {role: drop, max: 1}", "13:27", "columns.ward.max", "this is drop", "1", None),
    ("ward:       insensitive", "ward: {role: drop, hierarchy: {mask: 2}}", "13:33", "columns.ward.hierarchy",
     "belongs to", None, None),
    ("asthma", "yes", "11:84", "columns.disease.hierarchy.tree.Lung[0]", "write it in quotes", "yes", '"yes"'),
    ("asthma", "~", "11:84", "columns.disease.hierarchy.tree.Lung[0]", "not nothing", "~", '"~"'),
    ("Lung", "1", "11:77", "columns.disease.hierarchy.tree.1", "write it in quotes", "1", '"1"'),
    ("model: k-anonymity", "modle: k-anonymity", "15:5", "privacy[0]", "'model' is missing", "modle", "model"),
    ("model: k-anonymity", "model: k-anonimity", "15:13", "privacy[0].model", "no such model", "k-anonimity",
     "k-anonymity"),
    ("model: k-anonymity", "model: K-Anonymity", "15:13", "privacy[0].model", "no such model", "K-Anonymity",
     "k-anonymity"),
    ("{model: k-anonymity, k: 5}", "k-anonymity", "15:5", "privacy[0]", "needs a mapping such as", "k-anonymity", None),
    ("{model: k-anonymity, k: 5}", "{model: k-anonymity}", "15:5", "privacy[0]", "'k' is missing", None, None),
    (", k: 5", ", k: true", "15:29", "privacy[0].k", "not true or false", "true", None),
    (", k: 5", ", k: '5'", "15:29", "privacy[0].k", "not text", "5", None),
    (", k: 5", ", k: 5.0", "15:29", "privacy[0].k", "not a decimal number", "5.0", None),
    (", k: 5", ", k: 0", "15:29", "privacy[0].k", "k must be at least 1", "0", None),
    (", k: 5", ", k:", "15:28", "privacy[0].k", "not nothing", None, None),
    (", k: 5", ", k: [5]", "15:29", "privacy[0].k", "not a list", None, None),
    (", k: 5", ", K: 5", "15:26", "privacy[0].K", "no such key", "K", "k"),
    ("l: 3", "l: .inf", "16:61", "privacy[1].l", "finite", ".inf", None),
    ("l: 3", "l: 1e999", "16:61", "privacy[1].l", "finite", "1e999", None),
    ("l: 3", "l: three", "16:61", "privacy[1].l", "needs a number", "three", None),
    ("kind: entropy", "kind: entropie", "16:49", "privacy[1].kind", "not a word", "entropie", "entropy"),
    ("kind: entropy", "kind: recursive", "16:5", "privacy[1]", "needs c", None, None),
    ("disease, kind", "desease, kind", "16:34", "privacy[1].column", "no such sensitive", "desease", "disease"),
    ("disease, kind", "ward, kind", "16:34", "privacy[1].column", "this is insensitive", "ward", None),
    ("t: 0.2", "t: 2", "17:70", "privacy[2].t", "from 0 to 1", "2", None),
    ("distance: hierarchical", "distance: ordred", "17:53", "privacy[2].distance", "not a word", "ordred", "ordered"),
    ("{tree: {Heart: [stroke, attack], Lung: [asthma]}}", "{mask: 2}", "17:53", "privacy[2].distance",
     "kind tree or csv at column 'disease'", "hierarchical", None),
    ("t-closeness, column: disease, distance: hierarchical, t: 0.2", "k-anonymity, k: 5", "17:5", "privacy[2]",
     "the same as privacy[0]", None, None),
    ("method: full-domain", "method: fulldomain", "18:20", "recoding.method", "not a word", "fulldomain",
     "full-domain"),
    ("suppression: 0.02", "suppression: 1.5", "18:46", "recoding.suppression", "at most 1", "1.5", None),
    ("suppression: 0.02", "suppression: 2%", "18:46", "recoding.suppression", "a number, not text", "2%", None),
    ("suppression: 0.02", "supression: 0.02", "18:33", "recoding.supression", "no such key", "supression",
     "suppression"),
    ("suppression: 0.02", "time-limit: 0", "18:45", "recoding.time-limit", "greater than 0", "0", None),
    ("suppression: 0.02", "time-limit: 1, time_limit: 2", "18:48", "recoding.time_limit", "two spellings", "time_limit",
     None),
    ("loss: loss", "levels: {}", "18:60", "recoding.levels", "'age' is missing", None, None),
    ("name: patients_release", "name: ' '", "19:18", "publish.name", "must not be empty", " ", None),
    ("name: patients_release, ", "", "19:11", "publish", "'name' is missing", None, None),
    ("as: table", "as: tabel", "19:40", "publish.as", "not a word", "tabel", "table"),
    ("as: table", "as: table, path: x.parquet", "19:53", "publish.path", "as: file only", "x.parquet", None),
    ("as: table", "as: file, path: x.csv", "19:52", "publish.path", "must be like NAME.parquet", "x.csv", None),
    ("expires: 90d", "expires: 90 days", "19:74", "publish.expires", "must be like 90d, 12h or 4w", "90 days", None),
    ("expires: 90d", "expires: 2030-01-01", "19:74", "publish.expires", "must be like", "2030-01-01", None),
    ("grant: [analyst]", "grant: [1]", "19:55", "publish.grant[0]", "write it in quotes", "1", '"1"'),
    ("grant: [analyst]", "grants: [analyst]", "19:47", "publish.grants", "no such key", "grants", "grant"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "path", "problem", "found", "suggestion"), WRONG)
def test_a_refusal_says_where_what_was_found_and_what_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, at: str, path: str, problem: str,
    found: str | None, suggestion: str | None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    error = refused(written(Path(), changed(old, new)))
    assert error.where == f"patients.yaml:{at}: {path}"
    assert problem in str(error).splitlines()[0]
    assert (error.found, error.suggestion) == (found, suggestion)
    assert str(error).startswith(f"{error.where}: ")
    assert suggestion is None or f"did you mean {suggestion!r}?" in str(error)


@pytest.mark.parametrize(
    ("levels", "at", "problem"),
    [
        ("zip: 6", "18:46", "from 0 to 5"),
        ("zip: -1", "18:46", "from 0 to 5"),
        ("zap: 1", "18:46", "no such quasi-identifier column; found 'zap'"),
        ("ward: 1", "18:47", "this is insensitive"),
        ("zip: 1.0", "18:46", "needs a whole number"),
    ],
)
def test_forced_levels_are_those_of_the_quasi_identifiers(tmp_path: Path, levels: str, at: str, problem: str) -> None:
    right = changed("recoding: {method: full-domain, suppression: 0.02, loss: loss}", LEVELS)
    assert load(written(tmp_path, right)).recoding.levels == {"age": 1, "zip": 1, "country": 1, "admitted": 1}
    lines = str(refused(written(tmp_path, changed("zip: 1", levels, right)))).splitlines()
    assert any(f":{at}: recoding.levels." in line and problem in line for line in lines)


def test_forced_levels_stay_within_the_least_and_highest_level_of_their_column(tmp_path: Path) -> None:
    right = changed("recoding: {method: full-domain, suppression: 0.02, loss: loss}", LEVELS)
    error = refused(written(tmp_path, changed("{mask: 5}", "{mask: 5}, min: 2, max: 4", right)))
    assert error.where is not None and error.where.endswith(":18:46: recoding.levels.zip")
    assert "from 2 to 4" in str(error)


def test_all_problems_are_told_at_once_first_line_first(tmp_path: Path) -> None:
    text = changed("entity: patient_id", "entity: patientid")
    text = changed("{mask: 5}", "{mask: 0}", changed("l: 3", "l: 0", changed("as: table", "as: tabel", text)))
    error = refused(written(tmp_path, text))
    places = [line.split("patients.yaml:")[1].split(":")[0] for line in str(error).splitlines()]
    assert places == ["3", "8", "16", "19"]
    assert (error.found, error.suggestion) == ("patientid", "patient_id")


def test_a_column_that_could_not_be_read_is_no_reason_for_further_complaints(tmp_path: Path) -> None:
    error = refused(written(tmp_path, changed("role: sensitive", "role: sensitiv")))
    assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "at", "problem"),
    [
        ("", "1:1", "the file is empty"),
        ("# nothing\n", "1:1", "the file is empty"),
        ("- a\n- b\n", "1:1", "a spec is a mapping, not a list"),
        ("source: [a\n", "2:1", "this is not YAML"),
        ("source: a\n\tcolumns: b\n", "2:1", "indent with spaces"),
        ("source: *nowhere\n", "1:9", "undefined alias"),
        ("source: !!python/object/apply:os.system ['true']\n", "1:9", "tags have no place"),
        ("source: !!int x\n", "1:9", "tags and zero bytes have no place"),
        ('source: "a\\0b"\n', "1:9", "zero bytes have no place"),
        ('"a\\0b": c\n', "1:1", "zero bytes have no place"),
        ("? [a, b]\n: c\n", "1:3", "needs text as a key, not a list"),
        ("source: &a [*a]\n", "1:9", "holds itself"),
        ("<<: 5\n", "1:5", "this is not YAML"),
        ("source: a\n---\nsource: b\n", "2:1", "this is not YAML"),
        ("source: t\ncolumns: {}\nprivacy: []\n", "2:10", "at least one column must be a quasi-identifier"),
        ("source: t\ncolumns: {a: quasi-identifier}\nprivacy: []\n", "3:10", "at least one model is needed"),
        ("source: t\ncolumns: {a: quasi-identifier}\nprivacy:\n", "3:9", "needs a list, not nothing"),
        ("source: t\ncolumns: [a]\nprivacy: []\n", "2:10", "needs a mapping, not a list"),
        ("source: t\ncolumns: {a: drop}\n", "1:1", "the key 'privacy' is missing"),
    ],
)
def test_a_file_that_holds_no_spec_is_refused_with_a_place(tmp_path: Path, text: str, at: str, problem: str) -> None:
    lines = str(refused(written(tmp_path, text))).splitlines()
    assert any(line.startswith(f"{tmp_path}/patients.yaml:{at}: ") and problem in line for line in lines)


def test_a_file_of_data_named_by_mistake_is_not_quoted(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "name,disease\nAlice Meyer,asthma\n", "data.csv"))
    assert "a spec is a mapping, not text" in str(error)
    assert not any(word in str(error) for word in ("Alice", "Meyer", "asthma", "name,"))


def test_a_few_aliases_cannot_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 1,000,000 values" in str(refused(written(tmp_path, "\n".join(lines))))


def test_endless_nesting_and_endless_numbers_are_refused(tmp_path: Path) -> None:
    assert "nested too deeply" in str(refused(written(tmp_path, "[" * 9000)))
    assert "thousands of digits" in str(refused(written(tmp_path, changed(", k: 5", f", k: {'9' * 5000}"))))


def test_a_missing_file_is_told_with_the_nearest_name_in_its_folder(tmp_path: Path) -> None:
    written(tmp_path, EXAMPLE)
    error = refused(tmp_path / "pateints.yaml")
    assert error.suggestion == "patients.yaml"
    assert "there is no such file" in str(error)
    assert refused(tmp_path / "nowhere" / "x.yaml").suggestion is None


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(refused(tmp_path))
    assert "cannot be read" in str(refused("x" * 5000))
    assert "cannot be read" in str(refused("x\0"))
    (tmp_path / "x.yaml").write_bytes(b"source: \xff\xfe\n")
    assert "no text in UTF-8" in str(refused(tmp_path / "x.yaml"))


def test_the_text_of_a_spec_is_not_taken_for_a_path_over_many_lines() -> None:
    assert len(str(refused(SMALL)).splitlines()) == 1


def test_a_mapping_is_refused_with_the_path_alone() -> None:
    mapping = yaml.safe_load(EXAMPLE)
    mapping["columns"]["zip"]["hierarchy"] = {"maks": 5}
    error = refused(mapping)
    assert (error.where, error.found, error.suggestion) == ("columns.zip.hierarchy.maks", "maks", "mask")
    assert "dicts; found 'object'" in str(refused({**mapping, "source": object()}))
    assert "write it in quotes" in str(refused({**mapping, 1: 2}))
    assert "finite" in str(refused(yaml.safe_load(changed(", t: 0.2", ", t: .nan"))))


def test_a_spec_made_in_python_is_held_to_the_same_rules() -> None:
    columns = {"a": Column("quasi-identifier"), "s": Column("sensitive")}
    with pytest.raises(SpecError, match=r"privacy\[0\].column: columns has no such sensitive column; found 'x'"):
        Spec(source=Source("t"), columns=columns, privacy=(LDiversity("x", 2),))
    with pytest.raises(ValueError, match="suppression must be at most 1"):
        Recoding(suppression=2)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("k-anonymity(k=5)", KAnonymity(5)),
        ("  k-anonymity ( k = 5 ) ", KAnonymity(5)),
        ("l-diversity(column=s, l=3)", LDiversity("s", 3)),
        ('l-diversity(column="a=b, (c)", l=1.5, kind=entropy)', LDiversity("a=b, (c)", 1.5, "entropy")),
        ("l-diversity(column='; DROP TABLE x; --', l=3)", LDiversity("; DROP TABLE x; --", 3)),
        ('l-diversity(column="2020", l=3)', LDiversity("2020", 3)),
        (
            'alpha-k-anonymity(column=s, alpha=0.5, values=[a, "b, c"])',
            AlphaKAnonymity("s", 0.5, values=("a", "b, c")),
        ),
        ("alpha-k-anonymity(column=s, alpha=5e-1, values=a)", AlphaKAnonymity("s", 0.5, values=("a",))),
    ],
)
def test_a_model_is_read_from_the_command_line(text: str, model: object) -> None:
    assert parse_model(text) == model


@pytest.mark.parametrize(
    ("text", "problem", "found", "suggestion"),
    [
        ("", "written NAME(KEY=VALUE", "", None),
        ("k-anonymity(k=5", "written NAME(KEY=VALUE", "k-anonymity(k=5", "k-anonymity"),
        ("k-anonimity(k=5)", "no such model", "k-anonimity", "k-anonymity"),
        ("K-anonymity(k=5)", "no such model", "K-anonymity", "k-anonymity"),
        ("k-anonymity", "the key 'k' is missing", None, None),
        ("k-anonymity()", "the key 'k' is missing", None, None),
        ("k-anonymity(5)", "written KEY=VALUE", "5", None),
        ("k-anonymity(k=)", "written KEY=VALUE", "k=", "k"),
        ("k-anonymity(k=[[)", "written KEY=VALUE", "k=[[", None),
        ("k-anonymity(k=5, k=6)", "given twice", "k", None),
        ("k-anonymity(k=true)", "k: needs a whole number", "true", None),
        ('k-anonymity(k="5")', "k: needs a whole number, not text", "5", None),
        ("k-anonymity(k=0)", "k must be at least 1", "0", None),
        ("t-closeness(column=s, t=.nan)", "finite", ".nan", None),
        ("l-diversity(colum=s, l=3)", "colum: there is no such key", "colum", "column"),
        ("l-diversity(column=2020, l=3)", "write it in quotes", "2020", '"2020"'),
        ("l-diversity(column=s, l=3, kind=entropie)", "kind: not a word for this", "entropie", "entropy"),
    ],
)
def test_a_wrong_model_on_the_command_line_is_refused_as_well_as_in_a_file(
    text: str, problem: str, found: str | None, suggestion: str | None
) -> None:
    with pytest.raises(SpecError) as caught:
        parse_model(text)
    assert caught.value.exit_status == 2
    assert problem in str(caught.value)
    assert (caught.value.found, caught.value.suggestion) == (found, suggestion)


def every_object(shape: Any) -> list[dict[str, Any]]:
    found = [shape] if isinstance(shape, dict) and "properties" in shape else []
    inner = shape.values() if isinstance(shape, dict) else shape if isinstance(shape, list) else ()
    return found + [deeper for below in inner for deeper in every_object(below)]


def test_the_schema_is_a_schema_that_describes_every_key_and_closes_every_object() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    objects = every_object(schema())
    assert len(objects) >= len(MODELS) + len(HIERARCHIES) + 5
    for shape in objects:
        assert shape["additionalProperties"] is False
        assert all(described.get("description") for described in shape["properties"].values())


def test_the_schema_knows_every_model_and_every_hierarchy() -> None:
    defined = schema()["$defs"]
    *models, preset = defined["model"]["oneOf"]
    assert {m["properties"]["model"]["const"] for m in models} == set(MODELS)
    assert preset["properties"]["preset"]["enum"] == list(PRESETS)
    assert {key for h in defined["hierarchy"]["oneOf"] for key in h["properties"]} == set(HIERARCHIES)


def test_the_schema_accepts_what_is_read() -> None:
    for text in (EXAMPLE, SMALL, SMALL + "recoding: {time_limit: 3}\n", SMALL + "publish: {name: r, as: file}\n"):
        jsonschema.validate(yaml.safe_load(text), schema())


SEEN_BY_THE_SCHEMA = [
    row for row in WRONG if row[4] in ("no such key", "not a word", "no such model", "no such hierarchy")
]


@pytest.mark.parametrize(("old", "new"), [row[:2] for row in SEEN_BY_THE_SCHEMA])
def test_the_schema_refuses_typing_errors_too(old: str, new: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(changed(old, new)), schema())
