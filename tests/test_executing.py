"""Scripts of SQL with statements of sqlanon in them, on the one engine and the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import test_statements_hana as hana

import sqlanon
from sqlanon import statements
from sqlanon.engines import Engine
from sqlanon.errors import EngineError, ModelNotMet, SpecError, SqlanonError
from sqlanon.executing import Done, execute
from sqlanon.executing import sql as run

SECRET = "Meyer-4711"
FILL = (
    "CREATE TABLE patients (id integer, name varchar(40), age integer, zip varchar(9), disease varchar(90));"
    f"INSERT INTO patients SELECT i, '{SECRET} ' || i, 20 + i % 40, '100' || i % 4, 'd' || i % 3"
    " FROM generate_series(1, 120) AS s(i)"
)
ROLES = "identifiers = (id, name), quasi_identifiers = (age width (10, 20, 40), zip mask 4), sensitive = (disease)"
WITH = f"WITH (k = 3, l_diversity(disease, 2), {ROLES}, method = 'full-domain')"
MADE = f"CREATE ANONYMIZED TABLE shared AS TABLE patients {WITH}"
UNMET = f"CREATE OR REPLACE ANONYMIZED TABLE shared AS TABLE patients WITH (k = 500, {ROLES}, method = 'full-domain')"


@pytest.fixture
def clinic(either: Engine) -> Iterator[Engine]:
    """An engine with a table of patients, and no release."""
    run(either, FILL)
    yield either
    if either.opened:
        either.statement("ROLLBACK")
    for kind, name in (("VIEW", "shared"), ("TABLE", "shared"), ("TABLE", "other")):
        if either.kind_of(name) == kind.lower():
            either.drop([either.schema, name], kind.lower())
    if either.kind_of("release", "sqlanon"):
        either.run("clean", "DROP TABLE sqlanon.release")
        either.run("clean", "DROP TABLE sqlanon.audit_log")
    either.statement("DROP TABLE IF EXISTS patients")


def at(engine: Engine, name: str) -> str:
    """A release as an analyst names it."""
    return f"{engine.schema}.{name}"


def count(engine: Engine, item: str) -> int:
    found = run(engine, f"SELECT count(*) FROM {item}")
    assert isinstance(found, sqlanon.Relation)
    return int(found.rows[0][0])


# -- what statements come to -------------------------------------------------------------------------------------------


def test_the_engines_own_sql_gives_its_rows_as_they_are(clinic: Engine) -> None:
    found = clinic.sql('SELECT id AS "a b", name, age / 2.0 AS half FROM patients WHERE id < 3 ORDER BY id -- two;')
    assert found.columns == ["a b", "name", "half"]
    assert found.fetchall() == [(1, f"{SECRET} 1", found.rows[0][2]), (2, f"{SECRET} 2", 11)]
    assert found.to_dict()["rows"][0][:2] == [1, f"{SECRET} 1"]
    assert list(found.df()["a b"]) == list(found.pl()["a b"]) == found.arrow()["a b"].to_pylist() == [1, 2]
    assert clinic.sql("UPDATE patients SET age = 1 WHERE id < 4") == 3
    assert clinic.sql("CREATE TABLE other (a integer)") is None
    assert clinic.sql("SELECT a FROM other").fetchall() == []
    assert clinic.sql("") is None
    clinic.sql("DROP TABLE other")


def test_a_notebook_shows_the_first_rows_and_nothing_of_theirs_is_html(clinic: Engine) -> None:
    found = clinic.sql("SELECT '<script>' AS \"<b>\", CAST(NULL AS integer) AS n FROM patients")
    html = found._repr_html_()
    assert "<script>" not in html and "<b>" not in html and "NULL" in html
    assert html.count("<tr>") == 21 and "(120 rows, of which 20 are shown)" in html
    assert repr(found).count("<script>") == 20
    hostile = repr(clinic.sql("SELECT '\x1b[2J' || name AS \"a\nb\" FROM patients WHERE id = 1"))
    assert hostile.splitlines()[0].startswith("a\\nb ") and "\\x1b[2J" in hostile and "\x1b" not in hostile


def test_a_notebook_shows_what_the_register_says_and_nothing_of_it_is_html(clinic: Engine) -> None:
    clinic.sql('ALTER TABLE patients RENAME COLUMN disease TO "<img>"')
    made = MADE.replace("disease", '"<img>"').replace("TABLE shared", 'TABLE "<b>"')
    clinic.sql(made)
    for text, told in ((f"EXPLAIN ANONYMIZATION (FORMAT SQL) {made}", "&lt;img&gt;"),
                       ("SHOW ANONYMIZED RELEASES", "<td>&lt;b&gt;</td>"),
                       ('SHOW ANONYMIZATION OF "<b>"', "TABLE &quot;&lt;b&gt;&quot; AS")):  # fmt: skip
        html = clinic.sql(text)._repr_html_()
        assert told in html and "<img>" not in html and "<b>" not in html
    clinic.sql('WITHDRAW "<b>"')


def test_a_release_lives_in_statements(clinic: Engine) -> None:
    made = clinic.sql(MADE)
    assert isinstance(made, sqlanon.Release)
    assert (made.entry.version, count(clinic, at(clinic, "shared"))) == (1, made.to_dict()["rows_out"])
    with pytest.raises(SpecError, match="1:1: there is a release of this name; CREATE OR REPLACE"):
        clinic.sql(MADE)
    again = clinic.sql(MADE.replace("CREATE", "CREATE OR REPLACE"))
    assert again.entry.version == 2
    assert clinic.sql("REFRESH ANONYMIZED shared").to_dict()["previous_version"] == 2
    for wrong in (
        "REFRESH VIEW shared ANONYMIZATION",
        "VERIFY ANONYMIZED VIEW shared",
        "WITHDRAW ANONYMIZED FILE shared",
    ):
        with pytest.raises(SpecError, match=r"1:1: shared is not released in this form; .*allowed: table"):
            clinic.sql(wrong)
    assert clinic.sql(f"REFRESH ANONYMIZED TABLE {clinic.schema}.shared").to_dict()["previous_version"] == 3
    assert clinic.sql("VERIFY ANONYMIZED shared").holds
    listed = clinic.sql("SHOW ANONYMIZED RELEASES").to_dict()["releases"]
    assert [(one["name"], one["version"], one["status"]) for one in listed][:2] == [
        ("shared", 4, "published"), ("shared", 3, "superseded"),
    ]  # fmt: skip
    shown = clinic.sql("SHOW ANONYMIZATION OF shared").to_dict()
    assert shown["releases"] == listed
    assert statements.spec_of(shown["declaration"], clinic.dialect).columns == made.planned.plan.source.spec.columns
    measured = clinic.sql("CHECK ANONYMIZATION OF shared")
    assert (measured.holds, measured.rows) == (None, 120)
    clinic.sql("WITHDRAW ANONYMIZED shared")
    assert clinic.kind_of("shared") is None
    with pytest.raises(SqlanonError, match="2:3: there is no release 'shared'"):
        clinic.sql("SELECT 1;\n  REFRESH ANONYMIZED shared")


def test_a_statement_plans_what_its_spec_plans_to_the_byte(clinic: Engine) -> None:
    spec = {
        "source": "patients",
        "columns": {
            "id": "identifier", "name": "identifier",
            "age": {"role": "quasi-identifier", "hierarchy": {"width": [10, 20, 40]}},
            "zip": {"role": "quasi-identifier", "hierarchy": {"mask": 4}}, "disease": "sensitive",
        },
        "privacy": [{"model": "k-anonymity", "k": 3}, {"model": "l-diversity", "column": "disease", "l": 2}],
        "recoding": {"method": "full-domain"}, "publish": {"name": "shared"},
    }  # fmt: skip
    planned = sqlanon.plan(spec, clinic)
    found = clinic.sql(f"EXPLAIN ANONYMIZATION {MADE}")
    assert {**found.to_dict(), "seconds": 0} == {**planned.to_dict(), "seconds": 0}
    with clinic.working():
        text = sqlanon.plan(spec, clinic).sql(clinic)
    assert clinic.sql(f"EXPLAIN ANONYMIZATION (FORMAT sql) {MADE}").text == text
    assert clinic.kind_of("shared") is None


def test_a_release_stands_in_the_schema_of_releases_and_in_no_other(clinic: Engine) -> None:
    with pytest.raises(SpecError, match="a schema of their own; leave this one out; found 'research'"):
        clinic.sql(MADE.replace("shared", "research.shared"))
    assert clinic.sql(MADE.replace("shared", at(clinic, "shared"))).entry.name == "shared"
    assert statements.written(statements.spec_of(MADE.replace("shared", '"a.b"'))).splitlines()[0].endswith('"a.b" AS')


def test_columns_may_be_named_in_letters_of_another_case_but_only_once(clinic: Engine) -> None:
    loud = MADE.replace("method", "levels = (AGE 1, ZIP 1), entity = ID, transforms = (pram(DISEASE, 0.9)), method")
    for name in ("id", "age", "zip", "disease"):
        loud = loud.replace(f"({name}", f"({name.upper()}").replace(f", {name} ", f", {name.upper()} ")
    if clinic.name == "postgres":
        assert statements.spec_of(loud, "postgres") == statements.spec_of(loud.lower(), "postgres")
        return
    planned = clinic.sql(f"EXPLAIN ANONYMIZATION {loud}")
    assert [*planned.plan.source.spec.columns] == ["id", "name", "age", "zip", "disease"]
    for twice in ("dropped = (ID)", "insensitive = (Id)"):
        with pytest.raises(SpecError, match="named twice: letters of both cases are one here"):
            clinic.sql(MADE.replace("method", f"{twice}, method"))
    with pytest.raises(SpecError, match="named twice: letters of both cases are one here"):
        clinic.sql(MADE.replace("(id, name)", "(ID, name, Id)"))


def test_roles_of_base_columns_are_those_of_the_outputs_and_a_refresh_knows_them_again(clinic: Engine) -> None:
    select = "SELECT p.name, age AS years, age / 10 AS decade, disease AS illness FROM patients AS p WHERE p.id > 10"
    roles = "identifiers = (p.name), quasi_identifiers = (age width (10, 20, 40)), sensitive = (disease)"
    made = clinic.sql(
        f"CREATE ANONYMIZED TABLE shared AS {select} WITH (k = 3, l_diversity(disease, 2), {roles},"
        " method = 'full-domain')"
    )
    assert clinic.sql(f"SELECT * FROM {at(clinic, 'shared')}").columns == ["years", "decade", "illness"]
    assert [model["column"] for model in made.to_dict()["models"]] == [None, "illness"]
    assert clinic.sql("REFRESH ANONYMIZED shared").entry.version == 2
    assert clinic.sql(f"SELECT * FROM {at(clinic, 'shared')}").columns == ["years", "decade", "illness"]


SLIPS = [
    "SELECT name AS n, age FROM patients WITH (k = 2, identifiers = (name), quasi_identifiers = (age),"
    " insensitive = (n))",
    "SELECT name AS n, age FROM patients WITH (k = 2, identifiers = (name), quasi_identifiers = (age, n))",
    "SELECT upper(name) AS n, age FROM patients WITH (k = 2, identifiers = (name), quasi_identifiers = (age))",
    "SELECT age, age + 1 AS older FROM patients WITH (k = 2, quasi_identifiers = (age), insensitive = (older))",
    "SELECT age, disease AS d FROM patients WITH (k = 2, quasi_identifiers = (age), sensitive = (disease),"
    " insensitive = (d))",
    "SELECT age, random() AS d FROM patients WITH (k = 2, quasi_identifiers = (age), insensitive = (d))",
    "SELECT age, zip FROM patients WITH (k = 2, quasi_identifiers = (age))",
]  # fmt: skip


@pytest.mark.parametrize("slip", SLIPS)
def test_what_slips_through_under_another_name_is_refused_and_nothing_is_published(clinic: Engine, slip: str) -> None:
    with pytest.raises(SpecError, match=r"2:1: .*(comes from|cannot be told|does not name)"):
        clinic.sql(f"SELECT 1;\nCREATE ANONYMIZED TABLE shared AS {slip}")
    assert clinic.kind_of("shared") is None


def test_hanas_tutorial_is_typed_as_it_is_published(clinic: Engine) -> None:
    clinic.sql(f"{hana.SAMPLE};{hana.PEOPLE}")
    done = ran(clinic, f'{hana.K};\n{hana.REFRESH};\n{hana.L};\nVERIFY ANONYMIZED "SALARYANON"')
    assert [one.kind for one in done] == ["released", "refreshed", "released", "verified"], done[-1].failed
    clinic.sql("SET search_path = releases, public" if clinic.name == "postgres" else "SELECT 1")
    sizes = clinic.sql('SELECT count(*) FROM "SALARYANON" GROUP BY "start_year", "gender", "zipcode"')
    assert (min(n for (n,) in sizes) >= 8, sum(n for (n,) in sizes)) == (True, 400)
    diverse = clinic.sql("SELECT count(DISTINCT AGE) FROM PERSONALDATA_L_ANON GROUP BY GENDER, LOCATION")
    assert min(n for (n,) in diverse) >= 2
    l_view = statements.parse(hana.L, clinic.dialect)[0]
    assert isinstance(l_view, statements.Declare) and l_view.spec.publish is not None
    for name in ("SALARYANON", l_view.spec.publish.name):
        clinic.sql(f'WITHDRAW ANONYMIZED "{name}"')
    clinic.sql('SELECT 1; DROP TABLE "ANON_SAMPLE"; DROP TABLE PERSONALDATA')
    clinic.sql("SET search_path = public" if clinic.name == "postgres" else "SELECT 1")


# -- where it went wrong -----------------------------------------------------------------------------------------------


def test_an_error_begins_with_line_and_column_and_holds_no_cell(clinic: Engine) -> None:
    wrong = {
        "SELECT 1;\n\n -- more\n  SELECT age,\n    nix FROM patients": "5:5: run the statement: the engine failed",
        f"SELECT 1;\n SELECT CAST('{SECRET}' AS integer)": "2:",
        "SELECT 1;\n SELECT CAST(name AS integer) FROM patients": "2:",
        "SELEC 1": "1:1: run the statement",
        f"SELECT 1;\n{MADE.replace('k = 3', 'k = 0')}": "2:",
        "SELECT 1;\n  VERIFY ANONYMIZED nobody": "2:3: ",
    }
    for script, told in wrong.items():
        with pytest.raises(SqlanonError) as caught:
            clinic.sql(script)
        assert str(caught.value).startswith(told), str(caught.value)
        assert SECRET not in str(caught.value)
    with pytest.raises(EngineError) as failed:
        clinic.sql(f"SELECT CAST('{SECRET}' AS integer)")
    assert SECRET in failed.value.engine_text


def test_a_script_is_read_before_anything_of_it_is_run(clinic: Engine) -> None:
    with pytest.raises(SpecError, match="2:"):
        clinic.sql("DELETE FROM patients;\nCREATE ANONYMIZED TABLE shared AS TABLE patients WITH (k = 3, nonsense = 4)")
    assert count(clinic, "patients") == 120


def ran(engine: Engine, script: str, **how: Any) -> list[Done]:
    return list(execute(engine, script, **how))


def test_a_script_stops_at_its_first_error_or_goes_on_when_told_to(clinic: Engine) -> None:
    script = f"SELECT 1 AS a; {UNMET}; SELECT nix; DELETE FROM patients WHERE id = 1"
    done = ran(clinic, script)
    assert [one.kind for one in done] == ["rows", "failed"]
    assert isinstance(done[-1].failed, ModelNotMet)
    assert done[-1].to_dict()["exit_status"] == 1
    assert count(clinic, "patients") == 120
    assert [(one.kind, one.exit_status) for one in ran(clinic, script, keep_going=True)] == [
        ("rows", 0), ("failed", 1), ("failed", 3), ("changed", 0),
    ]  # fmt: skip
    assert count(clinic, "patients") == 119


def test_a_check_that_does_not_hold_stops_a_script(clinic: Engine) -> None:
    checked = "CHECK ANONYMIZATION OF patients WITH (k = 2, quasi_identifiers = (name))"
    done = ran(clinic, f"{checked}; DELETE FROM patients")
    assert [(one.kind, one.exit_status) for one in done] == [("check", 1)]
    assert count(clinic, "patients") == 120


# -- transactions ------------------------------------------------------------------------------------------------------


def test_of_a_script_in_one_transaction_all_stays_or_nothing(clinic: Engine) -> None:
    script = f"DELETE FROM patients WHERE id > 100; {MADE}; CREATE TABLE other (a integer)"
    done = ran(clinic, f"{script}; {UNMET}", single_transaction=True)
    assert [one.kind for one in done] == ["changed", "released", "done", "failed"]
    assert (count(clinic, "patients"), clinic.kind_of("shared"), clinic.opened) == (120, None, "")
    assert sqlanon.life.register.entries(clinic) == []
    done = ran(clinic, script, single_transaction=True)
    assert [one.exit_status for one in done] == [0, 0, 0]
    assert (count(clinic, "patients"), count(clinic, at(clinic, "shared"))) == (100, 100)
    with pytest.raises(SpecError, match="leave --keep-going out"):
        ran(clinic, script, single_transaction=True, keep_going=True)
    clinic.sql("DROP TABLE other")


ENDS = ["BEGIN", "commit", "/* x */ ROLLBACK -- y", "START TRANSACTION", "END", "ABORT", "/* /* */ */ COMMIT",
        "-- x\rCOMMIT", "/* ' */ COMMIT -- '", "PREPARE /* */ TRANSACTION 'x'"]  # fmt: skip


@pytest.mark.parametrize("word", ENDS)
def test_a_script_in_one_transaction_does_not_end_it_itself(clinic: Engine, word: str) -> None:
    with pytest.raises(SpecError, match=r"1:.*may not begin or end one"):
        ran(clinic, f"DELETE FROM patients; {word}; SELECT nix", single_transaction=True)
    assert count(clinic, "patients") == 120


@pytest.mark.parametrize("before", ["", "/* /* ' */ */ ", "-- /* '\n", "-- x\r", "/* -- */ "])
def test_a_transaction_is_known_to_be_open_whatever_comments_stand_before_the_word(clinic: Engine, before: str) -> None:
    clinic.sql(f"{before}BEGIN -- '")
    assert clinic.opened == "open"
    clinic.sql(f"{before}ROLLBACK /* BEGIN */")
    assert not clinic.opened


def test_a_release_is_a_part_of_the_transaction_that_is_open(clinic: Engine) -> None:
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ" if clinic.name == "postgres" else "BEGIN"
    clinic.sql(f"{begin}; DELETE FROM patients WHERE id > 100; {MADE}")
    assert (clinic.opened, count(clinic, at(clinic, "shared"))) == ("open", 100)
    clinic.sql("ROLLBACK")
    assert (clinic.opened, clinic.kind_of("shared"), count(clinic, "patients")) == ("", None, 120)
    clinic.sql(f"{begin}; DELETE FROM patients WHERE id > 100; {MADE}; COMMIT")
    assert (count(clinic, at(clinic, "shared")), count(clinic, "patients")) == (100, 100)
    with pytest.raises(ModelNotMet, match="the open transaction was rolled back"):
        clinic.sql(f"{begin}; DELETE FROM patients; ROLLBACK; {begin}; DELETE FROM patients WHERE id > 90; {UNMET}")
    assert (clinic.opened, count(clinic, at(clinic, "shared")), count(clinic, "patients")) == ("", 100, 100)


def test_on_a_server_a_transaction_in_which_the_source_could_change_is_refused(clinic: Engine) -> None:
    if clinic.name != "postgres":
        pytest.skip("DuckDB has one level of isolation")
    with pytest.raises(SpecError, match="REPEATABLE READ"):
        clinic.sql(f"BEGIN; {MADE}")
    assert (clinic.opened, clinic.kind_of("shared")) == ("", None)
    with pytest.raises(EngineError):
        clinic.sql("BEGIN; SELECT nix")
    assert clinic.opened == "failed"
    with pytest.raises(SpecError, match="ROLLBACK ends it"):
        clinic.sql(MADE)
    clinic.sql("ROLLBACK")
    assert clinic.sql("SELECT 1 AS a").fetchall() == [(1,)]


def test_a_file_is_outside_of_transactions_and_refused_there_before_anything_is_run(
    clinic: Engine, tmp_path: Path
) -> None:
    if clinic.name != "duckdb":
        pytest.skip("a server writes no files")
    file = f"CREATE ANONYMIZED FILE shared AS TABLE patients WITH (k = 3, {ROLES}, path = '{tmp_path}/shared.parquet')"
    with pytest.raises(SpecError, match="1:24: a released file is outside of transactions"):
        ran(clinic, f"DELETE FROM patients;  {file}", single_transaction=True)
    with pytest.raises(SpecError, match="outside of transactions"):
        clinic.sql(f"BEGIN; {file}")
    assert (count(clinic, "patients"), list(tmp_path.iterdir())) == (120, [])
    assert clinic.opened == ""
    clinic.sql(file)
    assert [path.name for path in tmp_path.iterdir()] == ["shared.parquet"]


# -- the session -------------------------------------------------------------------------------------------------------


def test_on_a_server_ordinary_sql_runs_in_the_analysts_session_and_ours_in_our_own(clinic: Engine) -> None:
    if clinic.name != "postgres":
        pytest.skip("DuckDB has no settings of ours")
    clinic.sql("CREATE SCHEMA more; CREATE TABLE more.solo (a integer); SET search_path = more, public")
    assert clinic.sql("SELECT count(*) FROM solo").rows == ((0,),)
    assert clinic.sql("SHOW search_path").rows == (("more, public",),)
    assert clinic.sql("SHOW enable_sort").rows == (("on",),)
    assert clinic.run("ask", "SHOW search_path") == [("pg_catalog, pg_temp",)]
    assert clinic.run("ask", "SHOW enable_sort") == [("off",)]
    clinic.sql("BEGIN; SET search_path = public; ROLLBACK")
    assert clinic.sql("SHOW search_path").rows == (("more, public",),)
    clinic.sql("SET search_path = public; DROP SCHEMA more CASCADE")


def test_functions_of_the_analysts_path_are_not_called_in_the_place_of_the_servers(
    clinic: Engine, request: pytest.FixtureRequest
) -> None:
    if clinic.name != "postgres":
        pytest.skip("DuckDB's catalogue is asked by its own functions")
    trap = (
        "CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''x''; END'"
    )
    clinic.sql(f"CREATE SCHEMA trap; {trap}; SET search_path = trap, pg_catalog, public")
    assert clinic.sql("SELECT 1 AS a").rows == ((1,),)
    assert clinic.run("ask", "SHOW search_path") == [("pg_catalog, pg_temp",)]
    clinic.sql("SET search_path = public; DROP SCHEMA trap CASCADE")


def test_more_than_one_statement_in_one_is_refused(clinic: Engine) -> None:
    with pytest.raises(SqlanonError):
        clinic.statement("DELETE FROM patients; COMMIT")
    assert count(clinic, "patients") == 120


def test_on_a_server_copy_from_the_client_is_refused_and_the_session_goes_on(clinic: Engine) -> None:
    if clinic.name != "postgres":
        pytest.skip("DuckDB copies files")
    for text in ("COPY patients FROM STDIN", "-- x\n/* a /* b */ c */ copy patients to stdout (format csv)"):
        with pytest.raises(SpecError, match="speaks to a client"):
            clinic.sql(text)
    assert clinic.sql("SELECT 'COPY x FROM STDIN' AS a").rows == (("COPY x FROM STDIN",),)


# -- hostile names and literals ----------------------------------------------------------------------------------------

HOSTILE = [
    "x'; DROP TABLE patients; --", 'x"; DROP TABLE patients; --\n$s', "$$; DROP TABLE patients; $$ %s ?",
    "k = 2) ; DROP TABLE patients /* ; */ \\'{}[`",
]  # fmt: skip


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_or_literal_is_data_in_all_that_is_run(clinic: Engine, name: str) -> None:
    own, text = quoted(name), literal(name)
    clinic.sql(
        f"ALTER TABLE patients RENAME COLUMN zip TO {own}; UPDATE patients SET disease = {text} WHERE id % 3 = 0"
    )
    tree = f"tree ({literal(name + '!')} ({text}, 'd1'), 'others' ('d2', {literal(name + ' ')}))"
    how, age = "method = 'full-domain'", "age width (20, 40)"
    scripts = [
        f"CREATE ANONYMIZED TABLE shared AS TABLE patients WITH (k = 2, {how}, identifiers = (id, name),"
        f" quasi_identifiers = ({age}, {own}), sensitive = (disease)); VERIFY ANONYMIZED shared",
        "WITHDRAW ANONYMIZED shared",
        f"CREATE ANONYMIZED TABLE {own} AS SELECT age AS {own}, disease AS d FROM patients WHERE disease <> {text}"
        f" WITH (k = 2, {how}, quasi_identifiers = ({own} width (20, 40)), sensitive = (d))",
        f"SHOW ANONYMIZATION OF {own}; WITHDRAW ANONYMIZED {own}",
        f"EXPLAIN ANONYMIZATION AS SELECT age, disease FROM patients"
        f" WITH (k = 2, {how}, quasi_identifiers = ({age}, disease {tree}))",
        f"CHECK ANONYMIZATION OF patients WITH (quasi_identifiers = (age, {own}), sensitive = (disease))",
        f"VERIFY ANONYMIZED {own}",
        f"CHECK ANONYMIZATION OF {own} WITH (quasi_identifiers = ({own}))",
        f"CREATE ANONYMIZED TABLE shared AS TABLE {own} WITH (k = 2, quasi_identifiers = (age))",
        f"CREATE ANONYMIZED TABLE shared AS SELECT age FROM {own} WITH (k = 2, quasi_identifiers = (age))",
    ]
    outcomes = []
    for script in scripts:
        try:
            outcomes += [one.kind for one in ran(clinic, script)]
        except SpecError:
            outcomes.append("refused")
        assert count(clinic, "patients") == 120, script
    assert outcomes[:8] == ["released", "verified", "withdrawn", "released", "releases", "withdrawn", "plan", "check"]
    assert {*outcomes[8:]} == {"failed"}
    assert clinic.opened == ""
