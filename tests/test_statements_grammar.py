"""The grammar of statements: every key of a spec has a spelling, nothing crashes it, it is written down."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_statements import EXAMPLE, ORDINARY, TINY
from test_statements_hana import K, L
from tries import tries
from yaml.nodes import MappingNode, Node, SequenceNode

from sqlanon import statements
from sqlanon.cli import main
from sqlanon.errors import SpecError
from sqlanon.models import MODELS
from sqlanon.spec import Column, schema
from sqlanon.statements import Declare, Explain, Ordinary, parse, spec_of, written
from sqlanon.statements.options import ROLE_WORDS, ROLES, Read, option, options
from sqlanon.statements.reading import Cursor
from sqlanon.statements.splitting import split
from sqlanon.statements.values import NAMES, spelled

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = schema()
MODEL_SHAPES, HIERARCHY_SHAPES, TRANSFORM_SHAPES = (
    SCHEMA["$defs"][name]["oneOf"] for name in ("model", "hierarchy", "transform")
)


# -- every key of a spec has a spelling --------------------------------------------------------------------------------


def alternatives(shape: dict[str, Any]) -> list[dict[str, Any]]:
    """The shapes that a shape may be."""
    return [one for inner in shape["anyOf"] for one in alternatives(inner)] if "anyOf" in shape else [shape]


def samples(shape: dict[str, Any], key: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Values of a shape of the JSON Schema in SQL, each with the keys that stand in it; one for every key at least."""
    for one in alternatives(shape):
        if "$ref" in one:
            yield from calls(TRANSFORM_SHAPES, "transform")
        elif "enum" in one:
            yield from ((f"'{word}'", ()) for word in one["enum"])
        elif one["type"] == "array":
            yield from ((f"({text})", keys) for text, keys in samples(one["items"], key))
        elif one["type"] == "object" and key == "related":
            yield from related(one)
        elif one["type"] == "object" and {"table", "file", "query"} <= one.get("properties", {}).keys():
            texts = {"table": "TABLE t", "file": "FILE 'f'", "query": "(SELECT 1)"}
            texts["delimiter"] = "FILE 'f' DELIMITER ';'"
            yield from ((texts[own], (own,)) for own in one["properties"])
        elif one["type"] == "object" and "properties" in one:
            for own, inner in one["properties"].items():
                yield from ((f"({spelled(own)} => {text})", (own, *keys)) for text, keys in samples(inner, own))
        elif one["type"] == "object":
            name = "x" if key in ("levels", "predictions", "sensitivity") else "'x'"
            inner = one["additionalProperties"]
            yield from ((f"({name} => {text})", ("x", *keys)) for text, keys in samples(inner, key))
        else:
            text = "x" if spelled(key).replace("_", "-") in NAMES else "'x'"
            yield {"integer": "3", "number": "0.5", "boolean": "true", "string": text, "null": "NULL"}[one["type"]], ()


def calls(shapes: list[dict[str, Any]], kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every model or transform with all its parameters, and once with each value that each of them may have."""
    for shape in shapes:
        if kind not in shape["properties"]:
            continue
        name = shape["properties"][kind]["const"]
        shapes_of = {key: inner for key, inner in shape["properties"].items() if key != kind and "_" not in key}
        own = {key: list(samples(inner, key)) for key, inner in shapes_of.items()}
        for key, values in own.items():
            for text, keys in values:
                rest = [f", {spelled(k)} => {v[0][0]}" for k, v in own.items() if k != key]
                yield f"{spelled(name)}({spelled(key)} => {text}{''.join(rest)})", (kind, *own, *keys)


def related(shape: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for own, inner in shape["properties"].items():
        if own not in ("name", "source", "columns", "privacy"):
            for text, keys in samples(inner, own):
                yield f"r AS TABLE t WITH ({spelled(own)} = {text})", ("name", "source", "columns", own, *keys)


def nodes(text: str) -> Read:
    [piece] = split(text)
    cursor, found = Cursor(piece, "duckdb"), Read()
    option(cursor, found)
    assert not cursor.more, text
    return found


def keys_in(node: Node) -> set[str]:
    if isinstance(node, MappingNode):
        return {key.value for key, _ in node.value} | {k for _, inner in node.value for k in keys_in(inner)}
    return {k for inner in node.value for k in keys_in(inner)} if isinstance(node, SequenceNode) else set()


def options_of_the_schema() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The section, the key and the shape of every option of a spec that has a name of its own."""
    for key, shape in SCHEMA["properties"].items():
        if key in ("recoding", "publish"):
            section = next(one for one in alternatives(shape) if "properties" in one)
            yield from ((key, own, s) for own, s in section["properties"].items() if own not in ("name", "as"))
        elif key not in ("source", "columns", "privacy"):
            yield "", key, shape


def test_every_key_of_the_schema_has_a_spelling() -> None:
    told = set()
    for section, key, shape in options_of_the_schema():
        for text, keys in samples(shape, key):
            found = nodes(f"{spelled(key)} = {text}")
            [(name, node)] = found.sections[section]
            assert spelled(name.value) == spelled(key)
            assert {spelled(k) for k in keys} <= {spelled(k) for k in keys_in(node)}, text
            told.add(spelled(key))
    assert told == set(options())


def test_every_model_with_every_parameter_has_a_spelling() -> None:
    told = set()
    for text, keys in calls(MODEL_SHAPES, "model"):
        [node] = nodes(text).privacy
        assert set(keys) <= keys_in(node), text
        told.add({k.value: v.value for k, v in node.value}["model"])
    assert told == set(MODELS)
    assert [shape for shape in MODEL_SHAPES if "preset" in shape["properties"]]
    assert keys_in(nodes("preset = 'contract'").privacy[0]) == {"preset"}


def test_everything_that_can_be_said_of_a_column_has_a_spelling() -> None:
    either = alternatives(SCHEMA["properties"]["columns"]["additionalProperties"])
    column = next(one for one in either if "properties" in one)
    texts: dict[str, list[tuple[str, tuple[str, ...]]]] = {
        "role": [(word, ()) for word in ROLE_WORDS],
        "hierarchy": list(hierarchies()),
    }
    assert set(ROLE_WORDS.values()) == set(column["properties"]["role"]["enum"]) == set(ROLES.values())
    for key, shape in column["properties"].items():
        for text, keys in texts.get(key) or samples(shape, key):
            said = text if key == "role" else f"sensitive {text if key == 'hierarchy' else f'{key} {text}'}"
            [(name, node)] = nodes(f"columns = (x {said})").columns
            assert name.value == "x"
            assert {"role", key, *keys} <= keys_in(node), said


def hierarchies() -> Iterator[tuple[str, tuple[str, ...]]]:
    contents = {
        "width": ["5", "(5, 10)"], "mask": ["5"], "date": ["month", "(month, year)", "('month')"], "csv": ["'f.csv'"],
        "tree": ["('a', 'b' ('c', 'd' ('e')), 'f' NULL)"], "order": ["('a', 'b')", "('a', 'b') groups (2, 4)"],
    }  # fmt: skip
    for shape in HIERARCHY_SHAPES:
        [(kind, inner)] = shape["properties"].items()
        own: dict[str, Any] = next((one["properties"] for one in alternatives(inner) if "properties" in one), {})
        yield from ((f"{kind} {text}", (kind,)) for text in contents[kind])
        assert all(any(key in text for text in contents[kind]) for key in list(own)[1:])


# -- nothing crashes it ------------------------------------------------------------------------------------------------

SEEDS = (
    EXAMPLE,
    TINY.format(", policy = (preference => pragmatist, sensitivity (s => 0.5)), rules = ('IF 1 > 2 THEN block')"),
    TINY.format(", levels = (a => 1), transforms = (rounding(s, 5), coding(s, top => DATE '2000-01-01'))"),
    'CREATE ANONYMIZED VIEW "v" AS WITH w AS (SELECT $$x;$$ AS a) SELECT * FROM w WITH (columns = (a quasi_identifier '
    "tree ('x' ('y', 'z'), 'w') max 1 represent label weight .5), k_anonymity(k => 3), preset = 'contract')",
    K, L, "CHECK ANONYMIZATION OF t QUASI_IDENTIFIERS (a, b mask 3) SENSITIVE (s) WITH (k = 3)", "VERIFY ANONYMIZED r",
    "EXPLAIN ANONYMIZATION (FORMAT JSON) AS FILE 'x.csv' DELIMITER ';' WITH (k = 2, quasi_identifiers = (a))",
    "SHOW ANONYMIZED RELEASES; REFRESH VIEW v ANONYMIZATION; WITHDRAW a.b; REFRESH ANONYMIZED r ANEW",
)  # fmt: skip
BITS = (
    "'", '"', "$$", "$a$", "(", ")", ",", ";", "--", "/*", "*/", "=", "=>", "{", "}", "[", "\\", "E'", "\n", "\0", "é",
    "😀", " WITH ", " WITH ANONYMIZATION (", " AS ", " NULL ", " k = 5", "5", "-", ".", "1e999", "0x",
    "CREATE ANONYMIZED ", "ANONYMIZED", " TABLE ", "TRUE", "\u00a0", "\ud800",
)  # fmt: skip


def mutated(rng: random.Random) -> str:
    """A statement with a few pieces cut, doubled, moved, or put in."""
    text = rng.choice(SEEDS)
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.randrange(len(text) + 1) for _ in "ab")
        b = min(b, a + rng.choice((1, 3, 20, 200)))
        how = rng.randrange(4)
        piece = rng.choice(BITS) if how < 2 else text[a:b] if how == 2 else ""
        text = text[:a] + piece + text[a if how in (0, 2) else b :]
    return text


def test_no_mutated_statement_crashes_or_is_taken_for_another() -> None:
    rng = random.Random(20261126)
    read = 0
    for _ in range(tries(6000)):
        text = mutated(rng)
        dialect = rng.choice(("duckdb", "postgres"))
        try:
            found = parse(text, dialect)
        except SpecError:
            continue
        for one in found:
            assert one.text in text
            begins_like(one)
            if isinstance(one, Declare | Explain):
                spec = (one.declared if isinstance(one, Explain) else one).spec
                assert spec_of(written(spec)) == spec
                read += 1
    assert read > tries(6000) // 50


def begins_like(one: statements.Statement) -> None:
    """Whether a statement is what its first words say."""
    words = [t.said.upper() if t.kind == "word" else "" for piece in split(one.text) for t in piece.tokens[:6]]
    kinds = {
        "CREATE": Declare, "EXPLAIN": Explain, "CHECK": statements.CheckOf, "REFRESH": statements.Refresh,
        "VERIFY": statements.Verify, "WITHDRAW": statements.Withdraw, "SHOW": statements.Show,
    }  # fmt: skip
    if isinstance(one, Ordinary):
        assert words[:2] != ["CREATE", "ANONYMIZED"]
        assert words[:4] != ["CREATE", "OR", "REPLACE", "ANONYMIZED"]
        assert words[:2] not in (["EXPLAIN", "ANONYMIZATION"], ["CHECK", "ANONYMIZATION"])
    else:
        assert isinstance(one, kinds[words[0]])


HOSTILE = (
    "x'; DROP TABLE patients; --", 'x"; DROP TABLE patients; --', "$$; DROP TABLE patients; $$", "/*", "*/", "--",
    ") WITH (k = 1)", "WITH (k = 1)", "a\nb", "'", '"', "''", '""', "\\", "{x}", "$1", ";", "CREATE ANONYMIZED TABLE y",
)  # fmt: skip


@settings(max_examples=tries(300), deadline=None)
@given(
    st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=12).filter(lambda t: t.strip() and "\0" not in t)),
    st.sampled_from(["duckdb", "postgres"]),
)
def test_whatever_a_literal_or_a_name_holds_reaches_the_spec_as_data_alone(told: str, dialect: str) -> None:
    text, name = "'" + told.replace("'", "''") + "'", '"' + told.replace('"', '""') + '"'
    script = f"""SELECT {text};
        CREATE ANONYMIZED TABLE {name} AS TABLE {name} WITH (k = 2, identifiers = (id), sensitive = ({name}),
          quasi_identifiers = (q tree ({text} ({text}))), grant = {name},
          alpha_k_anonymity({name}, 0.5, values => {text}));
        SELECT {name}"""
    first, second, third = parse(script, dialect)
    assert isinstance(first, Ordinary)
    assert first.text == f"SELECT {text}"
    assert isinstance(third, Ordinary)
    assert third.text == f"SELECT {name}"
    assert isinstance(second, Declare)
    spec = second.spec
    assert spec.publish
    assert (spec.source.table, spec.publish.name, spec.publish.grant) == (told, told, (told,))
    assert list(spec.columns) == ["id", told, "q"]
    assert spec.columns["q"] == Column("quasi-identifier", spec.columns["q"].hierarchy)
    assert getattr(spec.columns["q"].hierarchy, "tree", None) == {told: [told]}
    assert getattr(spec.privacy[1], "values", None) == (told,)


def test_ordinary_statements_are_left_alone_whatever_stands_between_them() -> None:
    rng = random.Random(7)
    between = (";", "\n;\n", " ; ; -- c ; WITHDRAW x\n", "; /* ; VERIFY r; /* ; */ */ ", ";\t")
    for _ in range(tries(400)):
        chosen = [rng.choice([t for t in ORDINARY if "--" not in t and "*/" not in t]) for _ in range(4)]
        script = "".join(text + rng.choice(between) for text in chosen)
        found = parse(script, rng.choice(("duckdb", "postgres")))
        assert all(isinstance(one, Ordinary) for one in found)
        assert [one.text.rpartition("*/ ")[2].rpartition("WITHDRAW x\n")[2] for one in found] == chosen


# -- it is written down ------------------------------------------------------------------------------------------------


def test_the_reference_shows_the_grammar_that_the_parser_knows() -> None:
    text = (ROOT / "docs/reference/statements.md").read_text(encoding="utf-8")
    assert f"```ebnf\n{statements.ebnf()}```" in text, "put in what statements.ebnf() gives"
    assert "\n".join(statements.calls()) in text


def test_the_statements_of_the_reference_and_the_readme_are_read() -> None:
    told = 0
    for file in ("docs/reference/statements.md", "README.md"):
        text = (ROOT / file).read_text(encoding="utf-8")
        for block in text.split("```sql\n")[1:]:
            found = parse(block.partition("```")[0])
            told += sum(not isinstance(one, Ordinary) for one in found)
    assert told >= 8


def test_completion_knows_what_the_parser_knows() -> None:
    known = statements.keywords()
    assert set(known.options) == {"k", "preset", "columns", *ROLES, *options()}
    assert known.models["l_diversity"] == ("column", "l", "kind", "c")
    for start in known.starts:
        with pytest.raises(SpecError):
            parse(f"{start} (")


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_spec_and_a_statement_are_converted_both_ways(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sql, file, again = tmp_path / "r.sql", tmp_path / "r.yaml", tmp_path / "again.sql"
    sql.write_text(TINY.format(", suppression = 0.1"), encoding="utf-8")
    assert main(["spec", str(sql), "--from-sql", "-o", str(file)]) == 0
    assert main(["spec", str(file), "--to-sql", "-o", str(again)]) == 0
    assert spec_of(again.read_text(encoding="utf-8")) == spec_of(sql.read_text(encoding="utf-8"))
    capfd.readouterr()
    assert main(["spec", str(file), "--to-sql"]) == 0
    assert capfd.readouterr().out == again.read_text(encoding="utf-8")
    assert main(["spec", str(file), "--to-sql", "--json"]) == 0
    assert '{"sql": "CREATE ANONYMIZED TABLE r' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["x.sql"], "say --to-sql"), (["x.sql", "--to-sql", "--from-sql"], "say --to-sql"),
        (["nowhere.sql", "--from-sql"], "cannot be read"), (["bytes.sql", "--from-sql"], "no text in UTF-8"),
        (["x.sql", "--from-sql"], "1:25: AS and the source"), (["x.sql", "--to-sql"], "1:1: a spec is a mapping"),
        (["good.sql", "--from-sql", "-o", "no/such/file"], "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_says_why(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.sql").write_text("CREATE ANONYMIZED VIEW y", encoding="utf-8")
    (tmp_path / "good.sql").write_text(TINY.format(""), encoding="utf-8")
    (tmp_path / "bytes.sql").write_bytes(b"\xff\xfe")
    assert main(["spec", *arguments]) == 2
    assert told in capfd.readouterr().err
