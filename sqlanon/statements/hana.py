"""SAP HANA's form: `CREATE VIEW … WITH ANONYMIZATION (…)` and `REFRESH VIEW … ANONYMIZATION`.

What it says becomes a spec of a view, so that levels are of the whole table, as in HANA's usual recoding. Read are the
algorithms K-ANONYMITY and L-DIVERSITY (different values, of every sensitive column) with `k`, `l` and `loss` (the
share that may be suppressed), and of a column `is_quasi_identifier` with an embedded `hierarchy`, `min`, `max` and
`weight`, `is_sensitive`, and `is_sequence`. All else is refused by its name: nothing is left out in silence.

Decided 2026-11-26: the sequence column, by which HANA follows changes, is an identifier and the entity. It is not in
the release, where it would lead back to the source; and where it is not unique, k counts its different values. Other
columns of the SELECT are published as they are, as in HANA. Source: SAP HANA Cloud's tutorials on data anonymization.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from yaml.nodes import Node, ScalarNode

from sqlanon.errors import SpecError
from sqlanon.query import identifier, render
from sqlanon.spec import Spec
from sqlanon.statements.kinds import Declare
from sqlanon.statements.reading import Cursor, built
from sqlanon.statements.scanning import Token
from sqlanon.statements.selecting import outputs

_ALGORITHMS = ("K-ANONYMITY", "L-DIVERSITY")
_INSTEAD = {
    "DIFFERENTIAL_PRIVACY": "noise on single values promises nothing about persons here; use safepub(epsilon, delta)"
    " in CREATE ANONYMIZED, or the transform additive_noise",
    "epsilon": "safepub(epsilon, delta) in CREATE ANONYMIZED has one",
    "sensitivity": "the transform additive_noise in CREATE ANONYMIZED has a scale",
    "recoding": "a view recodes whole columns; CREATE ANONYMIZED TABLE … WITH (method = 'mondrian', …) recodes locally",
    "data_change_strategy": "a view computes its classes whenever it is read; a table is made anew by REFRESH",
    "function": "embed its rows in the hierarchy, or use CREATE ANONYMIZED with width, mask, date or csv",
    "view": "embed its rows in the hierarchy, or use CREATE ANONYMIZED with csv 'file'",
}
_INSTEAD["levels"] = _INSTEAD["schema"] = _INSTEAD["function"]
_COLUMN = ("is_sequence", "is_quasi_identifier", "is_sensitive", "hierarchy", "min", "max", "weight")


def _opening(cursor: Cursor) -> int | None:
    """Where WITH ANONYMIZATION ( stands; not where it is a common table expression of that name."""
    tokens, depth = cursor.piece.tokens, 0
    for here in range(cursor.here, cursor.end - 2):
        depth += 1 if tokens[here].sign("(") else -1 if tokens[here].sign(")") else 0
        named = tokens[here].is_("WITH") and tokens[here + 1].is_("ANONYMIZATION") and tokens[here + 2].sign("(")
        if named and not depth:
            after = tokens[here + 3 : here + 5]
            listed = len(after) == 2 and after[0].kind in ("word", "name") and after[1].sign(",", ")")
            return None if listed else here
    return None


def begins(cursor: Cursor) -> bool:
    """Whether a statement is `CREATE [OR REPLACE] VIEW … WITH ANONYMIZATION (…)`."""
    ahead = 3 if cursor.ahead().is_("OR") and cursor.ahead(2).is_("REPLACE") else 1
    return cursor.token.is_("CREATE") and cursor.ahead(ahead).is_("VIEW") and _opening(cursor) is not None


def refreshes(cursor: Cursor) -> bool:
    """Whether a statement is `REFRESH VIEW … ANONYMIZATION`."""
    last = cursor.piece.tokens[cursor.end - 1]
    return cursor.token.is_("REFRESH") and last.is_("ANONYMIZATION") and cursor.ahead().is_("VIEW")


def refreshed(cursor: Cursor) -> str:
    """The name of the view that is refreshed."""
    cursor.here += 2
    name, _ = cursor.name("the name of a view")
    cursor.need_word("ANONYMIZATION", what="REFRESH VIEW name ANONYMIZATION")
    return name


def create(cursor: Cursor, base: Path) -> Declare:
    """`CREATE [OR REPLACE] VIEW name [(column, …)] AS query WITH ANONYMIZATION (…)`."""
    cursor.take()
    replaced = cursor.word("OR") is not None
    cursor.here += 2 if replaced else 1
    before = cursor.here
    name, first = cursor.name("the name of a view")
    qualified = cursor.here - before > 1
    named = _names(cursor) if cursor.token.sign("(") else ()
    cursor.need_word("AS", what="AS and a SELECT are needed here")
    opening = _opening(cursor) or cursor.fail("a SELECT is needed between AS and WITH ANONYMIZATION")
    tokens = cursor.piece.tokens
    query, names = _query(cursor, cursor.piece.between(tokens[cursor.here - 1].end, tokens[opening].start), named)
    cursor.here = opening + 2
    keys: dict[str, Node] = {
        "source": _mapping(cursor, {"query": query}, first),
        "publish": _mapping(cursor, {"name": name, "as": "view"}, first),
    }
    spec = replace(built(Spec, keys | _anonymization(cursor, names), cursor), base=base)
    return Declare(cursor.text, cursor.at, spec, replaced, spec.source.query, spec.identifiers, True, qualified)


def _names(cursor: Cursor) -> tuple[str, ...]:
    """`(column, …)`."""
    found = []
    cursor.take()
    while True:
        found.append(cursor.fold(cursor.token))
        if cursor.take().kind not in ("word", "name"):
            cursor.here -= 1
            cursor.fail("the name of a column is needed here")
        if not cursor.sign(","):
            cursor.need(")", "the list of columns")
            return tuple(found)


def _query(cursor: Cursor, query: str, named: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The query, with its columns renamed where the list asks for that, and their names."""
    there = outputs(query, cursor.dialect)
    if named and there and len(named) != len(there):
        cursor.fail(f"the list names {len(named)} columns, and the SELECT has {len(there)}")
    if named and tuple(named) != there:
        listed = ", ".join(render(identifier(name), "duckdb") for name in named)
        return f"SELECT {listed} FROM (\n{query}\n) AS renamed ({listed})", named
    if not there or "" in there:
        cursor.fail("every column needs a name that can be read: no star, and AS name after an expression")
    return query, there


def _anonymization(cursor: Cursor, names: Sequence[str]) -> dict[str, Node]:
    """`(ALGORITHM '…' [PARAMETERS '…'] COLUMN name PARAMETERS '…' …)`, to the end of the statement."""
    first = cursor.need("(", "WITH ANONYMIZATION")
    cursor.need_word("ALGORITHM", what="WITH ANONYMIZATION begins with its algorithm")
    at = cursor.token
    algorithm = cursor.take().said.upper() if at.kind == "text" else cursor.fail("the algorithm is a text", at)
    if algorithm not in _ALGORITHMS:
        _refuse(cursor, algorithm, at, _ALGORITHMS)
    keys, given = ("k", "l", "loss") if algorithm == "L-DIVERSITY" else ("k", "loss"), cursor.token
    told = _parameters(cursor, keys) if cursor.word("PARAMETERS") else {}
    columns: dict[str, Node] = {}
    said: dict[str, dict[str, Any]] = {}
    while cursor.word("COLUMN"):
        at = cursor.token
        name, _ = cursor.name("COLUMN: a name")
        if name not in names or name in columns:
            problem = "this column is described twice" if name in columns else "the view has no such column"
            cursor.fail(problem, at, () if name in columns else names)
        cursor.need_word("PARAMETERS", what=f"COLUMN {name} needs its parameters")
        said[name] = _parameters(cursor, _COLUMN)
        columns[name] = _column(cursor, said[name], at)
    cursor.need(")", "WITH ANONYMIZATION")
    if cursor.more:
        cursor.fail("WITH ANONYMIZATION (…) ends the statement")
    other = cursor.mapping([(cursor.scalar("role", first), cursor.scalar("insensitive", first))], first)
    pairs = [(cursor.scalar(name, first), columns.get(name, other)) for name in names]
    sensitive = [name for name in names if said.get(name, {}).get("is_sensitive")]
    found = {"columns": cursor.mapping(pairs, first), "privacy": _models(cursor, algorithm, told, sensitive, given)}
    if "loss" in told:
        found["recoding"] = _mapping(cursor, {"suppression": told["loss"]}, given)
    sequences = [name for name in names if said.get(name, {}).get("is_sequence")]
    if len(sequences) > 1:
        _wrong(cursor, f"one column is_sequence, and not both {sequences[0]} and {sequences[1]}", first)
    if sequences:
        found["entity"] = cursor.scalar(sequences[0], first)
    return found


def _models(cursor: Cursor, algorithm: str, told: Mapping[str, Any], sensitive: Sequence[str], at: Token) -> Node:
    """k-anonymity, and the l-diversity of every sensitive column."""
    needed = "l" if algorithm == "L-DIVERSITY" else "k"
    if needed not in told:
        _wrong(cursor, f"{algorithm} needs the parameter {needed!r}", at)
    models = [{"model": "k-anonymity", "k": told["k"]}] if "k" in told else []
    if needed == "l":
        if not sensitive:
            _wrong(cursor, "L-DIVERSITY needs a column that is_sensitive", at)
        models += [{"model": "l-diversity", "column": name, "l": told["l"]} for name in sensitive]
    return cursor.sequence([_mapping(cursor, model, at) for model in models], at)


def _parameters(cursor: Cursor, allowed: Sequence[str]) -> dict[str, Any]:
    """The parameters in a text of JSON. What is in it is not quoted: the values of a hierarchy might be somebody's."""
    at = cursor.token
    if at.kind != "text":
        _wrong(cursor, "PARAMETERS are a text of JSON in single quotes", at)
    cursor.take()
    try:
        found = json.loads(at.said or "{}", object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno} column {error.colno} of it" if isinstance(error, json.JSONDecodeError) else ""
        _wrong(cursor, f"this text is no JSON that can be read{line}", at)
    if not isinstance(found, dict):
        _wrong(cursor, "PARAMETERS are a mapping, such as '{\"k\": 5}'", at)
    for key in found:
        if key not in allowed:
            _refuse(cursor, key, at, allowed)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _refuse(cursor: Cursor, word: str, at: Token, allowed: Sequence[str]) -> NoReturn:
    """What is not supported, by its name, with what to use instead."""
    told = f"; {_INSTEAD[word]}" if word in _INSTEAD else ""
    known = word if word.isprintable() else ascii(word)
    raise SpecError(f"{known} is not supported{told}", where=cursor.where(at), allowed=allowed)


def _wrong(cursor: Cursor, problem: str, at: Token, allowed: Sequence[str] = ()) -> NoReturn:
    """What is wrong within a text of JSON, which is not quoted."""
    raise SpecError(problem, where=cursor.where(at), allowed=allowed)


def _column(cursor: Cursor, told: Mapping[str, Any], at: Token) -> Node:
    """A column by its parameters: of exactly one kind, and with nothing that belongs to another kind."""
    roles = {"is_sequence": "identifier", "is_quasi_identifier": "quasi-identifier", "is_sensitive": "sensitive"}
    for key in roles:
        if key in told and not isinstance(told[key], bool):
            _wrong(cursor, f"{key} is true or false", at)
    given = [role for key, role in roles.items() if told.get(key)]
    if len(given) > 1:
        _wrong(cursor, "a column is one of is_sequence, is_quasi_identifier and is_sensitive", at)
    found: dict[str, Any] = {"role": given[0] if given else "insensitive"}
    found |= {key: told[key] for key in ("min", "max", "weight") if key in told}
    pairs = [(cursor.scalar(key, at), _plain(cursor, value, at)) for key, value in found.items()]
    if "hierarchy" in told:
        tree = cursor.mapping([(cursor.scalar("tree", at), _hierarchy(cursor, told["hierarchy"], at))], at)
        pairs.append((cursor.scalar("hierarchy", at), tree))
    elif given == ["quasi-identifier"]:
        _wrong(cursor, "a quasi-identifier needs its hierarchy here, as in HANA", at, ("hierarchy",))
    return cursor.mapping(pairs, at)


def _hierarchy(cursor: Cursor, told: Any, at: Token) -> Node:
    """`{"embedded": [[value, level 1, …], …]}` as a tree; above the last level is `*`, as in HANA."""
    if not isinstance(told, dict):
        _wrong(cursor, 'a hierarchy is a mapping, such as {"embedded": [["Paris", "France"]]}', at)
    for key in told:
        if key != "embedded":
            _refuse(cursor, key, at, ("embedded",))
    rows = told.get("embedded", [])
    good = isinstance(rows, list) and rows and all(isinstance(row, list) and row for row in rows)
    if not good or not all(isinstance(cell, str | int) and not isinstance(cell, bool) for row in rows for cell in row):
        _wrong(cursor, "embedded is a list of rows of texts: a value and what it becomes, level by level", at)
    rows = [[str(cell) for cell in row] for row in rows]
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        _wrong(cursor, "the rows of an embedded hierarchy are equally long", at)
    if len({row[0] for row in rows}) != len(rows):
        _wrong(cursor, "an embedded hierarchy names a value twice", at)
    if width > 1 and all(row[-1] == "*" for row in rows):
        rows = [row[:-1] for row in rows]
    return _tree(cursor, [row[::-1] for row in rows], at)


def _tree(cursor: Cursor, paths: list[list[str]], at: Token) -> Node:
    """Paths from the highest category to the value, as a tree."""
    below: dict[str, list[list[str]]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).append(rest)
    pairs: list[tuple[ScalarNode, Node]] = []
    for word, more in below.items():
        inner: Node = cursor.null(at)
        if len(more[0]) == 1:
            inner = cursor.sequence([cursor.scalar(leaf, at) for [leaf] in more], at)
        elif more[0]:
            inner = _tree(cursor, more, at)
        pairs.append((cursor.scalar(word, at), inner))
    return cursor.mapping(pairs, at)


def _mapping(cursor: Cursor, items: Mapping[str, Any], at: Token) -> Node:
    return cursor.mapping([(cursor.scalar(key, at), _plain(cursor, value, at)) for key, value in items.items()], at)


def _plain(cursor: Cursor, value: Any, at: Token) -> Node:
    """A value of JSON as a node; what does not fit its key is told by who reads it."""
    tags = {bool: "bool", int: "int", float: "float", str: "str"}
    if type(value) not in tags:
        return cursor.null(at)
    text = str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else repr(value)
    return cursor.scalar(text, at, tags[type(value)])
