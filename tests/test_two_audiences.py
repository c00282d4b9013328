"""One table, two audiences: what a DBA declares in SQL, and what analysts then see with the tools that they have."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas
import psycopg
import pytest
from server import as_role, execute, fetch

import sqlanon
from sqlanon.cli import main

SECRET = "Meyer-4711"
ROWS = (
    f"SELECT 'P' || i AS patient, '{SECRET} ' || i AS name, 20 + i * 7 % 60 AS age,"
    " '1' || lpad(CAST(i % 40 AS varchar), 4, '0') AS zip,"
    " CASE i * 3 % 5 WHEN 0 THEN 'asthma' WHEN 1 THEN 'influenza' WHEN 2 THEN 'gastritis' WHEN 3 THEN 'stroke'"
    " ELSE 'epilepsy' END AS disease FROM generate_series({}, {}) AS s(i)"
)
ROLES = "identifiers = (patient, name), entity = patient, sensitive = (disease), method = 'full-domain'"
SCRIPT = f"""
-- What each audience may see of raw.stays; the DBA runs this whenever it changes.
CREATE OR REPLACE ANONYMIZED TABLE fine AS TABLE raw.stays WITH (
  k = 5, l_diversity(disease, 2), {ROLES}, suppression = 0.05,
  quasi_identifiers = (age width (5, 10, 20), zip mask 5), grant = (reader));
CREATE OR REPLACE ANONYMIZED TABLE coarse AS SELECT * FROM raw.stays AS s WHERE s.age < 80 WITH (
  k = 20, l_diversity(disease, 3, kind => 'entropy'), {ROLES},
  quasi_identifiers = (age width (5, 10, 20) min 3, zip mask 5 min 3), grant = (stranger));
"""


@pytest.fixture(scope="module")
def clinic(database: str) -> Iterator[str]:
    """A server with raw stays, that `publisher` alone may read; the URL is the superuser's."""
    execute(
        database,
        "REVOKE TEMP ON DATABASE test_two_audiences FROM PUBLIC",
        "GRANT CREATE, TEMP ON DATABASE test_two_audiences TO publisher",
        "CREATE SCHEMA raw AUTHORIZATION holder",
        f"CREATE TABLE raw.stays AS {ROWS.format(0, 799)}",
        "ALTER TABLE raw.stays OWNER TO holder",
        "GRANT USAGE ON SCHEMA raw TO publisher",
        "GRANT SELECT ON raw.stays TO publisher",
    )
    yield database
    execute(database, *(f"DROP OWNED BY {role} CASCADE" for role in ("publisher", "holder", "reader", "stranger")))


def psql(url: str, statement: str) -> subprocess.CompletedProcess[str]:
    """What psql says to an analyst."""
    found = shutil.which("psql")
    if found is None:
        pytest.skip("psql is not installed")
    return subprocess.run([found, url, "-AtXc", statement], capture_output=True, text=True, check=False)


def framed(url: str, statement: str) -> Any:
    """The same as a frame of pandas."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement.encode())
        return pandas.DataFrame(cursor.fetchall(), columns=[one.name for one in cursor.description or ()])


def test_two_audiences_read_their_own_release_of_one_table_and_nothing_more(clinic: str, tmp_path: Path) -> None:
    script = tmp_path / "releases.sql"
    script.write_text(SCRIPT, encoding="utf-8")
    assert main(["sql", str(script), "--db", as_role(clinic, "publisher"), "--single-transaction"]) == 0
    researcher, press = as_role(clinic, "reader"), as_role(clinic, "stranger")

    fine, coarse = framed(researcher, "SELECT * FROM releases.fine"), framed(press, "SELECT * FROM releases.coarse")
    assert sorted(fine.columns) == sorted(coarse.columns) == ["age", "disease", "zip"]
    assert len(coarse.groupby(["age", "zip"])) < len(fine.groupby(["age", "zip"]))
    assert fine.groupby(["age", "zip"]).size().min() >= 5
    assert coarse.groupby(["age", "zip"]).size().min() >= 20
    for frame in (fine, coarse):
        assert not frame.map(lambda cell: SECRET in str(cell) or str(cell).startswith("P")).any(axis=None)
    assert psql(researcher, "SELECT count(*) FROM releases.fine").stdout.strip() == str(len(fine))

    away = "permission denied"
    for url, theirs, other in ((researcher, "fine", "coarse"), (press, "coarse", "fine")):
        assert fetch(url, f"SELECT count(*) > 0 FROM releases.{theirs}") == [(True,)]
        for statement in (f"SELECT * FROM releases.{other}", "SELECT * FROM raw.stays", "SELECT * FROM sqlanon.release",
                          f"DELETE FROM releases.{theirs}", f"DROP TABLE releases.{theirs}",
                          "CREATE TABLE releases.mine (a int)", "CREATE TEMP TABLE mine (a int)"):  # fmt: skip
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                execute(url, statement)
        assert away in psql(url, "SELECT name FROM raw.stays").stderr
        assert fetch(url, "SELECT count(*) FROM pg_stats WHERE tablename IN ('stays', 'release')") == [(0,)]
        with sqlanon.connect(url) as engine:  # our own tools give an analyst no more than his role has
            assert len(engine.sql(f"SELECT * FROM releases.{theirs}")) > 0
            for mine in (f"CREATE ANONYMIZED TABLE more AS TABLE raw.stays WITH (k = 2, {ROLES}, quasi_identifiers"
                         " = (age, zip))", f"REFRESH ANONYMIZED {theirs}", f"WITHDRAW ANONYMIZED {theirs}",
                         "EXPLAIN ANONYMIZATION AS SELECT age, zip FROM raw.stays WITH (k = 2, quasi_identifiers"
                         " = (age, zip))"):  # fmt: skip
                with pytest.raises(sqlanon.SqlanonError) as caught:
                    engine.sql(mine)
                assert SECRET not in str(caught.value)
    assert main(["audit", clinic, "--json"]) in (0, 1)


def test_what_is_refreshed_is_read_by_those_who_may_as_before(clinic: str) -> None:
    researcher, press = as_role(clinic, "reader"), as_role(clinic, "stranger")
    before = fetch(researcher, "SELECT count(*) FROM releases.fine")
    execute(clinic, f"INSERT INTO raw.stays {ROWS.format(800, 1199)}")
    listed = "SELECT name, version FROM sqlanon.release WHERE status = 'published' ORDER BY name"
    asked = "REFRESH ANONYMIZED fine; REFRESH ANONYMIZED coarse; VERIFY ANONYMIZED fine; VERIFY ANONYMIZED coarse"
    assert main(["sql", "-c", asked, "--db", as_role(clinic, "publisher")]) == 0
    assert fetch(clinic, listed) == [("coarse", 2), ("fine", 2)]
    assert fetch(researcher, "SELECT count(*) FROM releases.fine") > before
    assert fetch(press, "SELECT count(*) > 0 FROM releases.coarse") == [(True,)]
    for url, other in ((researcher, "coarse"), (press, "fine")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(url, f"SELECT * FROM releases.{other}")


def test_on_duckdb_each_audience_gets_a_file_with_its_release_and_nothing_else(tmp_path: Path) -> None:
    script = tmp_path / "releases.sql"
    options = {"fine": "k = 5, suppression = 0.05, quasi_identifiers = (age width (5, 10, 20), zip mask 5)",
               "coarse": "k = 20, quasi_identifiers = (age width (5, 10, 20) min 3, zip mask 5 min 3)"}  # fmt: skip
    made = "".join(
        f"CREATE ANONYMIZED FILE {name} AS TABLE stays WITH ({said}, {ROLES}, path = '{name}.duckdb');\n"
        for name, said in options.items()
    )
    script.write_text(f"CREATE TABLE stays AS {ROWS.format(0, 799)};\n{made}", encoding="utf-8")
    assert main(["sql", str(script), "--db", f"duckdb:///{tmp_path}/clinic.duckdb"]) == 0
    classes = {}
    for name in options:
        with duckdb.connect(str(tmp_path / f"{name}.duckdb"), read_only=True) as connection:
            there = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()
            assert there == [(name,)]
            found = connection.sql(f"SELECT age, zip, count(*) AS n FROM {name} GROUP BY ALL").df()
        classes[name] = len(found)
        assert found["n"].min() >= {"fine": 5, "coarse": 20}[name]
        assert SECRET.encode() not in (tmp_path / f"{name}.duckdb").read_bytes()
    assert classes["coarse"] < classes["fine"]
