"""SQL as a face of the spec: what is read, what is left alone, what is refused and where, and that nothing is lost."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from specs import specs
from tries import tries

import sqlanon
from sqlanon import statements
from sqlanon.demo import SPEC as DEMO
from sqlanon.engines import Engine
from sqlanon.errors import SpecError, SqlanonError
from sqlanon.hierarchies import Csv, Date, Order, Tree
from sqlanon.models import KAnonymity, LDiversity
from sqlanon.spec import Column, Source, Spec, load, read
from sqlanon.statements import Declare, Ordinary, parse, spec_of, written
from sqlanon.statements.filing import file_of
from sqlanon.statements.scanning import At

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = """\
CREATE OR REPLACE ANONYMIZED TABLE research.patients AS
SELECT p.id, age, zip, country, disease
FROM patients AS p JOIN places USING (place) -- WITH (k = 1)
WHERE note <> 'WITH (k = 2)'
WITH (
  k = 5, l_diversity(disease, 3, kind => 'entropy'), t_closeness(disease, 0.2),
  quasi_identifiers = (age width (5, 10, 20), zip mask 5, country tree 'file.csv'),
  sensitive = (disease), identifiers = (id),
  method = 'hilbert', suppression = 0.02, grant = (analyst), expires = '90 days'
);
"""
TINY = "CREATE ANONYMIZED TABLE r AS TABLE t WITH (k = 2, quasi_identifiers = (a), sensitive = (s){})"


def one(text: str, dialect: str = "duckdb") -> Any:
    [found] = parse(text, dialect)
    return found


def refused(text: str, dialect: str = "duckdb") -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(text, dialect)
    return caught.value


def alike(one: Spec, other: Spec) -> bool:
    """The same, and the columns in the same order."""
    return one == other and list(one.columns) == list(other.columns)


# -- what is read ------------------------------------------------------------------------------------------------------


def test_the_statement_of_the_issue_is_the_spec_that_it_says() -> None:
    found = one(EXAMPLE)
    assert isinstance(found, Declare)
    assert found.replace
    assert not found.hana
    assert found.at == At(1, 1)
    assert found.query == "\n".join(EXAMPLE.splitlines()[1:4])
    assert found.identifiers == ("id",)
    assert found.spec == load({
        "source": {"query": found.query},
        "columns": {
            "id": "identifier", "age": {"role": "quasi-identifier", "hierarchy": {"width": [5, 10, 20]}},
            "zip": {"role": "quasi-identifier", "hierarchy": {"mask": 5}},
            "country": {"role": "quasi-identifier", "hierarchy": {"csv": "file.csv"}}, "disease": "sensitive",
        },
        "privacy": [
            {"model": "k-anonymity", "k": 5}, {"model": "l-diversity", "column": "disease", "l": 3, "kind": "entropy"},
            {"model": "t-closeness", "column": "disease", "t": 0.2},
        ],
        "recoding": {"method": "hilbert", "suppression": 0.02},
        "publish": {"name": "research.patients", "as": "table", "grant": ["analyst"], "expires": "90d"},
    })  # fmt: skip


def test_columns_stand_as_the_select_has_them_and_else_as_they_are_named() -> None:
    assert list(one(EXAMPLE).spec.columns) == ["id", "age", "zip", "country", "disease"]
    assert list(spec_of(TINY.format("")).columns) == ["a", "s"]
    mixed = "CREATE ANONYMIZED TABLE r AS SELECT s, a FROM t WITH (k = 2, {})"
    assert list(spec_of(mixed.format("quasi_identifiers = (a), sensitive = (s)")).columns) == ["s", "a"]
    assert list(spec_of(mixed.format("columns = (a quasi_identifier, s sensitive)")).columns) == ["a", "s"]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("TABLE t", Source(table="t")),
        ('TABLE "My Schema".t', Source(table="My Schema.t")),
        ("FILE 'p.csv'", Source(file="p.csv")),
        ("FILE 'p.txt' DELIMITER ';'", Source(file="p.txt", delimiter=";")),
        ("QUERY 'SELECT ''x'' AS a, 1 AS s'", Source(query="SELECT 'x' AS a, 1 AS s")),
        ("QUERY $q$SELECT 1;$q$", Source(query="SELECT 1;")),
        ("TABLE t UNION TABLE u", Source(query="TABLE t UNION TABLE u")),
        ("WITH w AS (SELECT 1) SELECT * FROM w", Source(query="WITH w AS (SELECT 1) SELECT * FROM w")),
        ("(SELECT 1) UNION (SELECT 2)", Source(query="(SELECT 1) UNION (SELECT 2)")),
        ("FROM t SELECT a", Source(query="FROM t SELECT a")),
        ("SELECT 1 FETCH FIRST 5 ROWS WITH TIES", Source(query="SELECT 1 FETCH FIRST 5 ROWS WITH TIES")),
        ("/* c */ SELECT 1 -- x", Source(query="/* c */ SELECT 1 -- x")),
    ],
)
def test_a_source_is_a_table_a_file_or_a_query_as_it_stands(text: str, source: Source) -> None:
    assert spec_of(f"EXPLAIN ANONYMIZATION AS {text}\nWITH (k = 2, quasi_identifiers = (a))").source == source


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("identifiers = id, entity = id", {"entity": "id"}),
        ("levels = (a => 1)", {"recoding": {"levels": {"a": 1}}}),
        ("levels = (a 1)", {"recoding": {"levels": {"a": 1}}}),
        ("method = full_domain, loss = 'average_class_size'", {"recoding": {"loss": "average-class-size"}}),
        ("expires = INTERVAL '4 weeks'", {"publish": {"name": "r", "expires": "4w"}}),
        ("expires = '1 Day'", {"publish": {"name": "r", "expires": "1d"}}),
        ("grant = (x, \"Y y\")", {"publish": {"name": "r", "grant": ["x", "Y y"]}}),
        ("ledger (candidates => 3)", {"publish": {"name": "r", "ledger": {"candidates": 3}}}),
        ("population = 'census.csv', k_map(3)", {"population": "census.csv"}),
        ("population = (SELECT a FROM c), k_map(3)", {"population": {"query": "SELECT a FROM c"}}),
        ("population = census, k_map(3)", {"population": "census"}),
        ("transforms = (rounding(s, 10), coding(s, top => 90))",
         {"transforms": [{"transform": "rounding", "column": "s", "base": 10},
                         {"transform": "coding", "column": "s", "top": 90}]}),
        ("transforms = (coding(s, top => DATE '2000-12-31'))",
         {"transforms": [{"transform": "coding", "column": "s", "top": "2000-12-31"}]}),
        ("policy = (preference => pragmatist, sensitivity (s => high), clamp (min => .5, max = 1))",
         {"policy": {"preference": "pragmatist", "sensitivity": {"s": "high"}, "clamp": {"min": 0.5, "max": 1}}}),
        ("predictions = (s (margin => '30d', threshold => 0.8))",
         {"predictions": {"s": {"margin": "30d", "threshold": 0.8}}}),
        ("rules = ('IF 1 > 2 THEN block')", {"rules": ["IF 1 > 2 THEN block"]}),
        ("time_limit = 1_0", {"recoding": {"time-limit": 10}}),
        ("suppression = -0.0", {}),
    ],
)  # fmt: skip
def test_every_option_says_what_its_key_says(text: str, more: dict[str, Any]) -> None:
    privacy = [{"model": "k-anonymity", "k": 2}] + ([{"model": "k-map", "k": 3}] if "k_map" in text else [])
    own = {"id": "identifier"} if "entity" in text else {}
    plain = {"source": "t", "columns": {"a": "quasi-identifier", "s": "sensitive", **own}, "privacy": privacy}
    assert spec_of(TINY.format(", " + text)) == load({**plain, "publish": {"name": "r"}, **more})


def test_related_tables_are_declared_with_their_own_options() -> None:
    found = spec_of("""
        CREATE ANONYMIZED TABLE r AS TABLE persons WITH (
          k = 3, identifiers = (id), quasi_identifiers = (age), entity = id,
          related = (visits_r AS TABLE visits WITH (key = pid, identifiers (pid), quasi_identifiers (day),
                                                    sensitive (s), l_diversity(s, 2), levels (day => 1)),
                     tests_r AS FILE 'tests.csv' WITH (columns = (id identifier, lab quasi_identifier))))""")
    assert [(one.name, one.key, list(one.columns)) for one in found.related] == [
        ("visits_r", "pid", ["pid", "day", "s"]), ("tests_r", None, ["id", "lab"]),
    ]  # fmt: skip
    assert found.related[0].privacy == (LDiversity("s", 2),)
    assert found.related[1].source == Source(file="tests.csv")
    assert alike(spec_of(written(found)), found)


def test_bare_names_are_folded_as_the_engine_folds_them_and_quoted_ones_are_not() -> None:
    text = 'CREATE ANONYMIZED TABLE R AS TABLE Ward.T WITH (k = 2, quasi_identifiers = (Age, "Zip"))'
    duckdb, postgres = spec_of(text), spec_of(text, "postgres")
    assert (duckdb.publish and duckdb.publish.name, duckdb.source.table, *duckdb.columns) == (
        "R",
        "Ward.T",
        "Age",
        "Zip",
    )
    assert (postgres.publish and postgres.publish.name, postgres.source.table, *postgres.columns) == (
        "r", "ward.t", "age", "Zip",
    )  # fmt: skip


def test_the_other_statements_are_read() -> None:
    script = """
        EXPLAIN ANONYMIZATION (FORMAT JSON) CREATE ANONYMIZED VIEW v AS TABLE t WITH (k = 2, quasi_identifiers = (a));
        CHECK ANONYMIZATION OF s.t QUASI_IDENTIFIERS (a width 5, b) SENSITIVE (d) WITH (k = 5, l_diversity(d, 2));
        CHECK ANONYMIZATION OF (SELECT 1 AS a) QUASI_IDENTIFIERS (a);
        REFRESH ANONYMIZED TABLE s.r; REFRESH ANONYMIZED r ANEW; REFRESH r; REFRESH VIEW "V" ANONYMIZATION;
        VERIFY ANONYMIZED VIEW v; VERIFY "v"; WITHDRAW ANONYMIZED FILE f; WITHDRAW a.b;
        SHOW ANONYMIZED RELEASES; SHOW ANONYMIZATION OF a.b"""
    found = parse(script)
    explain, check, other, *rest = found
    assert isinstance(explain, statements.Explain)
    assert (explain.form, explain.declared.spec.publish and explain.declared.spec.publish.as_) == ("json", "view")
    assert isinstance(check, statements.CheckOf)
    assert (check.relation, check.quasi_identifiers, check.sensitive) == (Source(table="s.t"), ("a", "b"), ("d",))
    assert check.models == (KAnonymity(5), LDiversity("d", 2))
    assert list(check.hierarchies) == ["a"]
    assert isinstance(other, statements.CheckOf)
    assert (other.relation, other.models) == (Source(query="SELECT 1 AS a"), ())
    told = [(type(s).__name__, getattr(s, "name", ""), getattr(s, "anew", None)) for s in rest]
    assert told == [
        ("Refresh", "s.r", False), ("Refresh", "r", True), ("Refresh", "r", False), ("Refresh", "V", False),
        ("Verify", "v", None), ("Verify", "v", None), ("Withdraw", "f", None), ("Withdraw", "a.b", None),
        ("Show", None, None), ("Show", "a.b", None),
    ]  # fmt: skip
    assert [getattr(s, "form", None) for s in rest] == [
        "table", None, None, "view", "view", None, "file", None, None, None,
    ]  # fmt: skip
    assert [s.at.line for s in found] == [2, 3, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7]


# -- what is not ours --------------------------------------------------------------------------------------------------

ORDINARY = (
    "SELECT 1", "FROM anonymized", "SHOW anonymized", "SHOW anonymization", "DESCRIBE anonymized", "SHOW ALL",
    "REFRESH MATERIALIZED VIEW v", "REFRESH MATERIALIZED VIEW CONCURRENTLY anonymized WITH NO DATA",
    "EXPLAIN SELECT 1", "EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1", "EXPLAIN ANALYZE SELECT * FROM anonymization",
    "CREATE VIEW v AS WITH anonymization (a) AS (SELECT 1) SELECT (a) FROM anonymization",
    "CREATE VIEW v AS WITH anonymization(a, b) AS (SELECT 1, 2) SELECT (a)", "CREATE TABLE anonymized (k INT)",
    "CREATE TABLE t (a INT) WITH (fillfactor = 70)", "CREATE VIEW anonymized AS SELECT 1 WITH LOCAL CHECK OPTION",
    "SELECT 'CREATE ANONYMIZED TABLE x AS TABLE y WITH (k = 1)'", 'SELECT 1 AS "CREATE ANONYMIZED TABLE x; y"',
    "SELECT $$; CREATE ANONYMIZED TABLE x $$", "SELECT $a$ $$ ; $b$ $a$", r"SELECT E'\'; WITHDRAW x; --'",
    "SELECT 1 /* ; CREATE ANONYMIZED TABLE /* ; */ WITHDRAW x; */ + 1", "-- WITHDRAW x;\nSELECT 1 -- ; VERIFY x",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$",
    "CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a > 1 THEN 2 END; END",
    "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'",
    "CREATE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); END",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO u VALUES (1); INSERT INTO u VALUES (2))",
    "DO $$ BEGIN PERFORM 1; END $$", "CALL f('a;b')", "EXECUTE s('a;b', 1)", "PREPARE s AS SELECT $1 + a$b FROM c",
    "SELECT {'a;': [1, 2]}, x -> 'y' ->> 'z', '{}'::json #>> '{a}', a @> b, c ? 'd'", "PIVOT t ON y USING sum(z)",
    "COPY t TO 'x;y.csv' (DELIMITER ';')", "ATTACH 'x;.db' AS y", "SET x = 'a;b'", "PRAGMA table_info('t;u')",
    "SELECT U&'d\\0061;' UESCAPE '!'", "SELECT B'01', X'1F', N'ab;c', 1_000, 0x1F, .5, 5., 1e-3, 1..2",
    "SELECT '{# ; #}', {# comment", "MERGE INTO t USING u ON (a = b) WHEN MATCHED THEN DELETE", "VACUUM", "CHECKPOINT",
    "SECURITY LABEL FOR anon ON ROLE x IS 'MASKED;'", "COMMENT ON TABLE t IS 'a;b'", "LISTEN withdraw", "VALUES (1)",
    "GRANT SELECT ON anonymized TO verify", "SELECT verify FROM withdraw", "CREATE ROLE refresh", "\\d foo",
    "create macro verify(a) as a + 1", "SUMMARIZE anonymized", "LOAD verify", "INSTALL refresh", "SELECT 1 WHERE 1=1",
    "CREATE TABLE t AS SELECT 1 AS a WITH NO DATA", "\u00a0SELECT '\u00a0;'", "SELECT 'é;😀' AS ü",
    "VERIFY x y", "WITHDRAW x.y z", "REFRESH x y", "CHECK x", "EXPLAIN CHECK ANONYMIZATION",
)  # fmt: skip


@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_not_ours_is_left_byte_for_byte(text: str, dialect: str) -> None:
    [found] = parse(f"\n {text} ;\n".replace("x ;", "x\n;"), dialect)
    assert isinstance(found, Ordinary)
    assert found.text == text


def test_a_script_of_all_of_it_is_split_where_its_statements_end() -> None:
    script = "\n;\n".join([*ORDINARY, TINY.format("")])
    found = parse(script)
    assert [s.text for s in found[:-1]] == list(ORDINARY)
    assert isinstance(found[-1], Declare)


def test_places_count_lines_and_characters_of_the_script() -> None:
    script = "SELECT 1;\n\n-- why\n  SELECT 'é\n';  SELECT 2 ; VERIFY r;"
    first, second, third, fourth = parse(script)
    assert [str(s.at) for s in (first, second, third, fourth)] == ["1:1", "4:3", "5:5", "5:16"]
    assert isinstance(second, Ordinary)
    assert (second.text, str(second.begins)) == ("-- why\n  SELECT 'é\n'", "3:1")


def test_statements_end_where_duckdb_ends_them() -> None:
    duckdb = pytest.importorskip("duckdb")
    known = [text for text in ORDINARY if _reads(duckdb, text)]
    script = ";\n".join(known)
    theirs = [s.query.strip().rstrip(";").rstrip() for s in duckdb.extract_statements(script)]
    assert [s.text for s in parse(script)] == theirs
    assert len(known) > 25


def _reads(duckdb: Any, text: str) -> bool:
    try:
        return len(duckdb.extract_statements(text)) == 1 and "--" not in text and "\u00a0" not in text
    except duckdb.Error:
        return False


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marked", "problem", "suggestion"),
    [
        ('CREATE ANONYMIZED ¦TABEL x', "form of the release", "TABLE"),
        ('CREATE ANONYMIZED TABLE x¦', "AS and the source", None),
        ('CREATE ANONYMIZED TABLE AS¦', "AS and the source", None),
        ('CREATE ANONYMIZED TABLE x ¦(a) AS SELECT 1', "named in its SELECT", None),
        ('CREATE ANONYMIZED TABLE x AS TABLE ¦t', "ends with WITH", None),
        ('CREATE ANONYMIZED TABLE x AS TABLE t WITH (k = 2) ¦x', "ends with WITH", None),
        ('CREATE ANONYMIZED TABLE x AS ¦SELEC 1 WITH (k = 2)', "a source is needed", "SELECT"),
        ('CREATE ANONYMIZED TABLE x AS WITH (k = 2¦)', "", None),
        (TINY.format(',¦'), "missing after the comma", None),
        (TINY.format(' ¦method = hilbert'), "a comma or a closing", None),
        (TINY.format(', ¦metod = hilbert'), "no such option", "method"),
        (TINY.format(", k = ¦'3'"), "k needs a whole number", None),
        (TINY.format(', k = ¦3.5'), "needs a whole number", None),
        (TINY.format(', k_anonymity ¦= 3'), "a model is written k_anonymity", None),
        (TINY.format(", l_diversity(s, 3, ¦kid => 'entropy')"), "no such key", "kind"),
        (TINY.format(", l_diversity(s, 3, kind => ¦'entropi')"), "not a word for this", "entropy"),
        (TINY.format(', l_diversity(s, 3, ¦l => 4)'), "l is given twice", None),
        (TINY.format(", l_diversity(kind => 'entropy', ¦s)"), "every value needs its key", None),
        (TINY.format(", l_diversity(s, 3, 'distinct', 2, ¦5)"), "no more parameters", None),
        (TINY.format(', ¦l_diversity(s)'), "needs l", None),
        (TINY.format(', l_diversity(¦z, 3)'), "no such sensitive column", None),
        (TINY.format(', l_diversity(s, ¦true)'), "needs a number", None),
        (TINY.format(", preset = ¦'contrat'"), "no such preset", "contract"),
        (TINY.format(', insensitive = (b ¦widht 5)'), "nothing that can be said", "width"),
        (TINY.format(', insensitive = (b ¦width 5)'), "hierarchy belongs to", None),
        (TINY.format(', dropped = (¦a)'), "named twice, first at 1:72", None),
        (TINY.format(', ¦sensitive = (b)'), "given twice, first at 1:76", None),
        (TINY.format(', ¦columns = (b drop)'), "columns stands alone", None),
        (TINY.format(', path = ¦x'), "in single quotes, as 'x'", None),
        (TINY.format(", path = ¦E'x'"), "plain quotes", None),
        (TINY.format(', expires = ¦90'), "90 days", None),
        (TINY.format(", expires = ¦'90 fortnights'"), "must be like", None),
        (TINY.format(', ¦noise = 3'), "no such option", None),
        (TINY.format(', levels = ¦(b => 1)'), "no such quasi-identifier", None),
        (TINY.format(', transforms = (¦rounding(a))'), "needs base", None),
        (TINY.format(', transforms = (¦roundin(a, 1))'), "no such transform", "rounding"),
        (TINY.format(', policy = (¦preferense => x)'), "no such key", "preference"),
        ('CREATE ANONYMIZED TABLE r AS TABLE t WITH (k = 2, quasi_identifiers = (a tree (¦b)))', "single quotes", None),
        ("CREATE ANONYMIZED TABLE r AS TABLE t WITH (columns = (a ¦quasi_identifer))", "be said", "quasi_identifier"),
        ('CREATE ANONYMIZED TABLE r AS TABLE t WITH (columns = (¦a width 5))', "needs a role", None),
        ('CREATE ANONYMIZED TABLE r AS ¦TABLE t WITH (quasi_identifiers = (a))', "at least one model", None),
        ('SELECT 1;\n  VERIFY ANONYMIZED TABLE r ¦now', "could end here", None),
        ('SHOW ANONYMIZED ¦RELEASE', "SHOW ANONYMIZED RELEASES", "RELEASES"),
        ('EXPLAIN ANONYMIZATION (FORMAT ¦YAML) AS TABLE t', "no such format", None),
        ('EXPLAIN ANONYMIZATION ¦SELECT 1', "needs a declaration", None),
        ('CHECK ANONYMIZATION ¦t', "CHECK ANONYMIZATION OF", None),
        ('CHECK ANONYMIZATION OF t WITH (¦method = hilbert)', "no such option", None),
        ('CHECK ANONYMIZATION OF ¦t WITH (identifiers = (a))', "quasi-identifiers and sensitive", None),
        ("SELECT ¦'open", "no closing '", None),
        ('SELECT\n ¦"open', 'no closing "', None),
        ('SELECT ¦$a$ x $b$', "no closing $a$", None),
        ('SELECT ¦/* /* */', "no closing */", None),
    ],
)  # fmt: skip
def test_a_refusal_says_where_what_was_found_and_what_is_meant(
    marked: str, problem: str, suggestion: str | None
) -> None:
    before, _, after = marked.partition("¦")
    where = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    error = refused(before + after)
    assert re.match(rf"{where}(:|$)", error.where or ""), str(error)
    assert problem in str(error), str(error)
    assert error.suggestion == suggestion or suggestion is None, str(error)


def test_all_problems_of_a_statement_are_told_at_once_each_with_its_place() -> None:
    error = refused(TINY.format(",\n l_diversity(s, 3, kind => 'x'),\n t_closeness(s, 0.2, distance => 'far')"))
    first, second = str(error).split("\n")
    assert first.startswith("2:28: l_diversity.kind: not a word for this; found 'x'")
    assert second.startswith("3:34: t_closeness.distance: not a word for this; found 'far'")


def test_endless_nesting_is_refused() -> None:
    deep = "tree " + "('a' " * 5000 + ")" * 5000
    assert "deeply" in str(
        refused(f"CREATE ANONYMIZED TABLE r AS TABLE t WITH (k = 2, quasi_identifiers = (a {deep}))")
    )


def test_more_than_one_statement_is_no_spec() -> None:
    for text in ("", "SELECT 1", TINY.format("") + ";" + TINY.format(""), "VERIFY r"):
        with pytest.raises(SpecError, match="one statement"):
            spec_of(text)


# -- both ways without loss --------------------------------------------------------------------------------------------


@settings(max_examples=tries(120), deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.sampled_from(["duckdb", "postgres"]))
def test_what_is_written_is_read_as_the_same_spec(spec: Spec, dialect: str) -> None:
    text = written(spec)
    assert alike(spec_of(text, dialect), spec), text
    assert written(spec_of(text, dialect)) == text
    file = file_of(spec)
    assert alike(read(file, "spec.yaml"), spec), file


def test_a_query_stands_as_it_is_where_it_can_and_as_a_text_where_it_cannot() -> None:
    block = PLANNED.format("publish: {name: r}")
    assert "AS\nSELECT id, age, place, ill, pay\nFROM stays WHERE id > 0 -- all\nWITH (\n" in written(read(block, "s"))
    for query in ("SELECT 1;", "SELECT (1", "SELECT 'open", "1 + 1", "SELECT 1) FROM (t"):
        spec = replace(spec_of(TINY.format("")), source=Source(query=query))
        assert f"QUERY '{query.replace(chr(39), chr(39) * 2)}'\n" in written(spec)
        assert spec_of(written(spec)) == spec


def test_what_a_release_alone_remembers_has_no_spelling() -> None:
    spec = spec_of(TINY.format(""))
    kept = replace(spec, columns={**spec.columns, "a": Column("quasi-identifier", Csv("x", (("a", "*"),)))})
    for write in (written, file_of):
        with pytest.raises(SpecError, match="no spelling"):
            write(kept)


def examples() -> Iterator[tuple[str, str]]:
    """Every spec that a file of the repository shows: its name, and its text."""
    files = [*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md", *ROOT.glob("tests/*.py")]
    yield "the demo", DEMO
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        found = [text]
        if file.suffix != ".yaml":
            fence = r"```yaml[^\n]*\n(.*?)```" if file.suffix == ".md" else r'"""\\?\n?(.*?)"""'
            found = re.findall(fence, text, re.DOTALL)
        for i, block in enumerate(found):
            if "columns:" in block and "privacy:" in block and "source:" in block:
                yield f"{file.relative_to(ROOT)} {i}", block


def test_every_spec_of_the_repository_has_its_twin_in_sql() -> None:
    told = 0
    for name, text in examples():
        try:
            spec = read(text, name)
        except SpecError:  # a test's text that is to be refused, or that has parts to be filled in
            assert name.startswith(("tests/", "README.md")), name
            continue
        twin = written(spec)
        assert alike(spec_of(twin), spec), f"{name}\n{twin}"
        assert alike(read(file_of(spec), name), spec), name
        told += 1
    assert told >= 12, told


def cells(column: Column) -> tuple[str, ...]:
    """A few values that a column can hold, as its hierarchy and its limits have them."""
    hierarchy = column.hierarchy
    if isinstance(hierarchy, Tree):
        return tuple(row[0] for row in hierarchy.rows(Path()))[:4]
    if isinstance(hierarchy, Order):
        return tuple(hierarchy.values)[:4]
    if isinstance(hierarchy, Date):
        return ("2020-01-05", "2020-02-06", "2021-03-07")
    if isinstance(hierarchy, Csv):
        return ("a", "b")
    return ("50", "51", "61", "62") if column.role in ("quasi-identifier", "insensitive") else tuple("567891")


def filled(spec: Spec, source: Source, engine: Engine, folder: Path) -> None:
    """Makes a source with the columns of a spec, where it is looked for."""
    pools, draw = {name: cells(column) for name, column in spec.columns.items()}, random.Random(7)
    lone = set(spec.identifiers)
    made = [[str(i) if name in lone else draw.choice(pool) for name, pool in pools.items()] for i in range(60)]
    text = "\n".join([",".join(pools), *map(",".join, made)])
    file = folder / (source.file or "source.csv")
    file.write_text(text, encoding="utf-8")
    for column in spec.columns.values():
        if isinstance(column.hierarchy, Csv):
            (folder / column.hierarchy.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / column.hierarchy.path).write_text("a;A\nb;A\n", encoding="utf-8")
    if source.table is not None:
        schema, _, name = source.table.rpartition(".")
        engine.run("make", f"CREATE SCHEMA IF NOT EXISTS {schema or 'main'}")
        engine.run("make", f"CREATE TABLE {schema or 'main'}.{name} AS FROM '{file}'")


def told(spec: Spec, engine: Engine) -> tuple[Any, str]:
    """The plan of a spec and its SQL, or why there is none."""
    try:
        plan = sqlanon.plan(spec, engine)
    except SqlanonError as error:
        return str(error), ""
    return {**plan.to_dict(), "search_seconds": 0, "seconds": 0}, plan.sql(engine)


def test_every_spec_of_the_repository_and_its_twin_have_the_same_plan_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLANON_KEY", "the key by which ties are drawn")
    planned = 0
    for name, text in examples():
        if not name.startswith("tests/"):
            spec = read(text, name)
            with sqlanon.connect() as engine:
                for table in spec.tables:
                    filled(table, table.source, engine, tmp_path)
                one, other = (told(replace(s, base=tmp_path), engine) for s in (spec, spec_of(written(spec))))
            assert json.dumps(one) == json.dumps(other), name
            planned += isinstance(one[0], dict)
    assert planned >= 10, planned


@pytest.mark.parametrize(
    "more",
    [
        "publish: {name: r, as: view, expires: 12h}\nrecoding: {suppression: 0.2}",
        "publish: {name: r}\nrecoding: {method: mondrian, suppressed: star}\n"
        "rules: ['IF delta(mean, pay) > 9 THEN block']",
    ],
)
def test_a_twin_has_the_same_plan_to_the_byte(more: str) -> None:
    spec = read(PLANNED.format(more), "spec")
    with sqlanon.connect() as engine:
        engine.run("make", MADE)
        plans = [sqlanon.plan(one, engine) for one in (spec, spec_of(written(spec)))]
        told = [{**plan.to_dict(), "search_seconds": 0, "seconds": 0} for plan in plans]
        assert told[0] == told[1]
        assert plans[0].sql(engine) == plans[1].sql(engine)
        assert told[0]["fingerprint"]


PLANNED = """\
source:
  query: |
    SELECT id, age, place, ill, pay
    FROM stays WHERE id > 0 -- all
columns:
  id: identifier
  age: {{role: quasi-identifier, hierarchy: {{width: [5, 10, 50]}}, weight: 2}}
  place: {{role: quasi-identifier, hierarchy: {{tree: {{North: [a, b], South: [c, d]}}}}}}
  ill: sensitive
  pay: insensitive
entity: id
privacy: [{{model: k-anonymity, k: 3}}, {{model: l-diversity, column: ill, l: 2}}]
{}
"""
MADE = """CREATE TABLE stays AS SELECT i AS id, 20 + i % 30 AS age, ['a', 'b', 'c', 'd'][1 + i % 4] AS place,
  'i' || (i % 3) AS ill, 1000 + i AS pay FROM generate_series(1, 60) AS s(i)"""
