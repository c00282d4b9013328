"""SAP HANA's statements: its published tutorial's run as they are on a table of the same shape; the rest says why not.

The statements are those of SAP-samples/hana-cloud-learning, "Tutorial 3" and "Tutorial 4" on data anonymization, with
as many rows of the hierarchies as the test's own data need (all rows, where they are made by a rule).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from server import execute, fetch

import sqlanon
from sqlanon.engines import Engine
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Tree
from sqlanon.models import KAnonymity, LDiversity
from sqlanon.spec import Column, Spec
from sqlanon.statements import Declare, Explain, Ordinary, Refresh, parse, spec_of, written

ZIPS = [[f"{zone}{n}0{last}", f"{zone}{n}xx"] for zone in "567" for n in "012" for last in "45678"]
YEARS = [
    [str(year), f"{start}-{start + 4}", wide]
    for start, wide in ((1986, "1986-1995"), (1991, "1986-1995"), (1996, "1996-2005"), (2001, "1996-2005"),
                        (2006, ">2006"), (2011, ">2006"), (2016, ">2006"))
    for year in range(start, start + 5)
]  # fmt: skip
K = f"""CREATE VIEW "SALARYANON" ("id", "start_year", "gender", "zipcode", "salary")
AS SELECT "id", "start_year", "gender", "zipcode", "salary" FROM "ANON_SAMPLE"
WITH ANONYMIZATION (ALGORITHM 'K-ANONYMITY' PARAMETERS '{{"k": 8}}'
COLUMN "id" PARAMETERS '{{"is_sequence":true}}'
COLUMN "gender" PARAMETERS '{{"is_quasi_identifier":true,"hierarchy":{{"embedded":[["f"],["m"]]}}}}'
COLUMN "zipcode" PARAMETERS '{{"is_quasi_identifier":true,"hierarchy":{{"embedded":{json.dumps(ZIPS)}}}}}'
COLUMN "start_year" PARAMETERS '{{"is_quasi_identifier":true,"hierarchy":{{"embedded":{json.dumps(YEARS)}}}}}')"""
REFRESH = 'REFRESH VIEW "SALARYANON" ANONYMIZATION'
L = """CREATE VIEW PERSONALDATA_L_ANON (ID, GENDER, LOCATION, AGE)
AS SELECT ID, GENDER, CITY AS LOCATION, AGE
FROM PERSONALDATA
WITH ANONYMIZATION (ALGORITHM 'L-DIVERSITY'
  PARAMETERS '{"k": 2, "l": 2}'
  COLUMN ID PARAMETERS '{"is_sequence": true}'
  COLUMN GENDER PARAMETERS '{"is_quasi_identifier":true, "hierarchy":{"embedded": [["f"], ["m"]]}}'
  COLUMN LOCATION PARAMETERS '{"is_quasi_identifier":true, "hierarchy":{"embedded": [["Berlin", "Germany"],
["Paris", "France"], ["Munich", "Germany"], ["Nice", "France"]]}}'
  COLUMN AGE PARAMETERS '{"is_sensitive":true}')"""
PEOPLE = """CREATE TABLE PERSONALDATA AS SELECT i AS ID, 'n' || i AS NAME,
  CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END AS GENDER,
  CASE i % 4 WHEN 0 THEN 'Berlin' WHEN 1 THEN 'Paris' WHEN 2 THEN 'Munich' ELSE 'Nice' END AS CITY,
  CAST(24 + i % 5 AS VARCHAR) AS AGE FROM generate_series(1, 8) AS s(i)"""
SAMPLE = """CREATE TABLE "ANON_SAMPLE" AS SELECT i AS "id", 1986 + (i * 7) % 30 AS "start_year",
  CASE WHEN i % 3 = 0 THEN 'f' ELSE 'm' END AS "gender",
  (5 + i % 3) * 1000 + (i % 2) * 100 + 4 + i % 5 AS "zipcode", 1000 * i AS "salary"
  FROM generate_series(1, 400) AS s(i)"""


def declared(text: str, dialect: str = "duckdb") -> Declare:
    [found] = parse(text, dialect)
    assert isinstance(found, Declare)
    return found


def test_k_anonymity_with_embedded_hierarchies_is_the_spec_of_a_view() -> None:
    found = declared(K)
    spec = found.spec
    assert found.hana
    assert (spec.publish and (spec.publish.name, spec.publish.as_)) == ("SALARYANON", "view")
    assert spec.privacy == (KAnonymity(8),)
    assert spec.entity == "id"
    assert {name: column.role for name, column in spec.columns.items()} == {
        "id": "identifier", "start_year": "quasi-identifier", "gender": "quasi-identifier",
        "zipcode": "quasi-identifier", "salary": "insensitive",
    }  # fmt: skip
    assert list(spec.columns) == ["id", "start_year", "gender", "zipcode", "salary"]
    years = spec.columns["start_year"].hierarchy
    assert isinstance(years, Tree)
    assert {row[0]: row[1:] for row in years.rows(spec.base)} == {row[0]: (*row[1:], "*") for row in YEARS}
    assert spec.columns["gender"].hierarchy == Tree({"f": None, "m": None})
    assert spec_of(written(spec)) == spec


def test_l_diversity_is_asked_of_every_sensitive_column() -> None:
    found = declared(L).spec
    assert found.privacy == (KAnonymity(2), LDiversity("AGE", 2))
    assert (found.source.query or "").startswith("SELECT ID, GENDER, CITY AS LOCATION, AGE")
    assert list(declared(L, "postgres").spec.columns) == ["id", "gender", "location", "age"]


def counted(spec: Spec) -> str:
    """The classes of a release with their sizes."""
    keys = ", ".join('"{}"'.format(key.replace('"', '""')) for key in spec.quasi_identifiers)
    return f'SELECT {keys}, count(*) FROM "{spec.publish.name if spec.publish else ""}" GROUP BY {keys}'


def test_the_tutorials_statements_run_unchanged_on_a_table_of_the_same_shape(
    either: Engine, request: pytest.FixtureRequest
) -> None:
    if either.dialect == "postgres":
        url = request.getfixturevalue("database")
        execute(url, PEOPLE, SAMPLE)
    else:
        either.run("test", PEOPLE)
        either.run("test", SAMPLE)

    def found(sql: str) -> list[tuple[Any, ...]]:
        return (
            fetch(f"{url}&options=-csearch_path%3Dreleases", sql)
            if either.dialect == "postgres"
            else either.run("test", sql)
        )

    for text, least, rows in ((K, 8, 400), (L, 2, 8)):
        spec = declared(text, either.dialect).spec
        sqlanon.release(spec, either)
        sizes = [row[-1] for row in found(counted(spec))]
        assert min(sizes) >= least
        assert sum(sizes) == rows
    ages = found("SELECT count(DISTINCT AGE) FROM PERSONALDATA_L_ANON GROUP BY GENDER, LOCATION")
    assert min(n for (n,) in ages) >= 2


def test_the_view_is_refreshed_and_explained_in_hanas_words() -> None:
    script = f"{K};\n{REFRESH};\nEXPLAIN ANONYMIZATION {L};\nSELECT * FROM SALARYANON"
    create, refresh, explain, select = parse(script)
    assert isinstance(create, Declare)
    assert refresh == Refresh(REFRESH, refresh.at, "SALARYANON", form="view")
    assert isinstance(explain, Explain)
    assert explain.declared.hana
    assert isinstance(select, Ordinary)


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        ('"is_sensitive":true', '"is_sensitive":true', Column("sensitive")),
        ('"is_sensitive":true', '"is_quasi_identifier":true,"hierarchy":{"embedded":[["a","b","*"],["c","b","*"]]}',
         Column("quasi-identifier", Tree({"b": ["a", "c"]}))),
        ('"is_sensitive":true',
         '"is_quasi_identifier":true,"min":1,"max":2,"weight":0.5,"hierarchy":{"embedded":[[1,"b"],[2,"b"]]}',
         Column("quasi-identifier", Tree({"b": ["1", "2"]}), min=1, max=2, weight=0.5)),
    ],
)  # fmt: skip
def test_the_parameters_of_a_column_are_those_of_the_spec(old: str, new: str, column: Column) -> None:
    text = L.replace(old, new).replace("'L-DIVERSITY'", "'K-ANONYMITY'").replace(', "l": 2', ', "loss": 0.25')
    found = declared(text).spec
    assert found.columns["AGE"] == column
    assert found.recoding.suppression == 0.25


def test_a_list_of_columns_renames_what_the_select_gives() -> None:
    text = L.replace("CITY AS LOCATION", "CITY").replace("(ID, GENDER", '(ID, "Ge""nder"')
    text = text.replace("COLUMN GENDER", 'COLUMN "Ge""nder"')
    found = declared(text).spec
    assert list(found.columns) == ["ID", 'Ge"nder', "LOCATION", "AGE"]
    assert (found.source.query or "").startswith(
        'SELECT "ID", "Ge""nder", "LOCATION", "AGE" FROM (\nSELECT ID, GENDER,'
    )
    with sqlanon.connect() as engine:
        engine.run("test", PEOPLE)
        sqlanon.release(found, engine)
        assert engine.run("test", counted(found))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("'L-DIVERSITY'", "'DIFFERENTIAL_PRIVACY'", "DIFFERENTIAL_PRIVACY is not supported.*safepub"),
        ("'L-DIVERSITY'", "'M-DIVERSITY'", "M-DIVERSITY is not supported"),
        ('"l": 2', '"l": 2, "recoding": "multi_dimensional_relaxed"', "recoding is not supported.*mondrian"),
        ('"l": 2', '"l": 2, "data_change_strategy": "static"', "data_change_strategy is not supported"),
        ('"l": 2', '"l": "two"', "needs a number"),
        ('"l": 2', '"l": 2, "L": 3', "L is not supported"),
        (', "l": 2', "", "needs the parameter 'l'"),
        ('"k": 2, ', '"k": 2, "k": 3, ', "no JSON"),
        ('{"k": 2, "l": 2}', "[2]", "a mapping"),
        ('{"k": 2, "l": 2}', '{"k": 2,', "no JSON"),
        ('{"k": 2, "l": 2}', '{"k": NaN}', "no JSON"),
        ('"is_sensitive":true', '"is_sensitive":true, "epsilon": 0.5', "epsilon is not supported.*safepub"),
        ('"is_sensitive":true', '"is_sensitive":"yes"', "true or false"),
        ('"is_sensitive":true', '"is_sensitive":true,"is_sequence":true', "is one of"),
        ('"is_sensitive":true', '"is_sensitive":true,"min":1', "min belongs to a quasi-identifier"),
        ('"is_sensitive":true', '"is_sensitive":false', "L-DIVERSITY needs a column"),
        (', "hierarchy":{"embedded": [["f"], ["m"]]}', "", "needs its hierarchy"),
        ('{"embedded": [["f"], ["m"]]}', '{"schema":"S", "function":"F", "levels":4}', "schema is not supported; emb"),
        ('{"embedded": [["f"], ["m"]]}', '{"view": "v"}', "view is not supported; embed"),
        ('{"embedded": [["f"], ["m"]]}', '{"embedded": []}', "a list of rows"),
        ('{"embedded": [["f"], ["m"]]}', '{"embedded": [["f"], ["m", "x"]]}', "equally long"),
        ('{"embedded": [["f"], ["m"]]}', '{"embedded": [["f"], ["f"]]}', "a value twice"),
        ('{"embedded": [["f"], ["m"]]}', '{"embedded": [["f", "a", "b"], ["m", "a", "c"]]}', None),
        ('"is_quasi_identifier":true, "hierarchy":{"embedded": [["f"], ["m"]]}', '"is_sequence":true',
         "one column is_sequence, and not both"),
        ("COLUMN AGE", "COLUMN NAME", "the view has no such column"),
        ("COLUMN AGE", "COLUMN ID", "described twice"),
        ("AGE)\nAS", "AGE, X)\nAS", "names 5 columns, and the SELECT has 4"),
        ("(ID, GENDER, LOCATION, AGE)\nAS SELECT ID, GENDER, CITY AS LOCATION, AGE", "AS SELECT *", "no star"),
        ("(ID, GENDER, LOCATION, AGE)\nAS SELECT ID,", "AS SELECT ID + 1,", "AS name after an expression"),
        ("'{\"is_sensitive\":true}')", "'{\"is_sensitive\":true}' NOISE)", "needs '\\)' here"),
        ("'{\"is_sensitive\":true}')", "'{\"is_sensitive\":true}') READ ONLY", "ends the statement"),
        ("ALGORITHM 'L-DIVERSITY'", "ALGORITHM L_DIVERSITY", "the algorithm is a text"),
        ("ALGORITHM 'L-DIVERSITY'", "COLUMN X PARAMETERS '{}'", "begins with its algorithm"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_its_name(old: str, new: str, problem: str | None) -> None:
    assert old in L
    text = L.replace(old, new)
    if problem is None:  # what nests otherwise than a tree is told by the levels themselves
        with sqlanon.connect() as engine:
            engine.run("test", PEOPLE)
            with pytest.raises(SpecError, match="must nest"):
                sqlanon.plan(declared(text).spec, engine)
        return
    with pytest.raises(SpecError, match=problem) as caught:
        parse(text)
    assert (caught.value.where or "")[:1].isdigit()
    assert "Berlin" not in str(caught.value)
