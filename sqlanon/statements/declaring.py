"""Declarations: `CREATE ANONYMIZED …`, from its form and name to the last option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from yaml.nodes import Node

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError
from sqlanon.publication import Publish
from sqlanon.spec import Spec
from sqlanon.statements.kinds import Declare
from sqlanon.statements.options import read
from sqlanon.statements.reading import Cursor, built
from sqlanon.statements.scanning import Token
from sqlanon.statements.selecting import outputs
from sqlanon.statements.splitting import split
from sqlanon.statements.values import QUERIES, source

FORMS: tuple[str, ...] = get_args(keys_of(Publish)["as"].hint)
_KINDS = tuple(form.upper() for form in FORMS)


def create(cursor: Cursor, base: Path) -> Declare:
    """`CREATE [OR REPLACE] ANONYMIZED form name AS source WITH (…)`."""
    cursor.take()
    replaced = cursor.word("OR") is not None
    if replaced:
        cursor.take()
    cursor.take()
    first = cursor.token
    form = form_of(cursor) or cursor.fail("CREATE ANONYMIZED needs the form of the release", allowed=_KINDS)
    before = cursor.here
    name, at = cursor.name("the name of the release")
    qualified = cursor.here - before > 1
    if cursor.token.sign("("):
        cursor.fail("the columns of a release are named in its SELECT, and in WITH (…)")
    found = declared(cursor, {"name": cursor.scalar(name, at), "as": cursor.scalar(form, first)}, base)
    return replace(found, replace=replaced, qualified=qualified)


def form_of(cursor: Cursor) -> str | None:
    """TABLE, VIEW, MATERIALIZED VIEW or FILE."""
    if cursor.token.is_("MATERIALIZED") and cursor.ahead().is_("VIEW"):
        cursor.take()
        cursor.take()
        return "materialized view"
    token = cursor.word(*(kind for kind in _KINDS if " " not in kind))
    return token.said.lower() if token else None


def declared(cursor: Cursor, publish: dict[str, Node], base: Path) -> Declare:
    """`AS source WITH (…)`, to the end of the statement."""
    cursor.need_word("AS", what="AS and the source are needed here")
    opening = _options_at(cursor)
    first = cursor.token
    whole, query, cursor.end = cursor.end, None, opening
    node, query = _source(cursor)
    cursor.end = whole
    cursor.take()
    found = read(cursor)
    if publish:
        found.section("publish")[:0] = [(cursor.scalar(key, first), value) for key, value in publish.items()]
    if query is not None and not found.ordered:
        order = as_selected([key.value for key, _ in found.columns], outputs(query, cursor.dialect))
        found.columns.sort(key=lambda pair: order.index(pair[0].value))
    spec = replace(built(Spec, found.mapping(cursor, first, {"source": node}), cursor), base=base)
    return Declare(cursor.text, cursor.at, spec, query=spec.source.query, identifiers=spec.identifiers)


def _options_at(cursor: Cursor) -> int:
    """Where the WITH stands whose parentheses end the statement."""
    depth, tokens = 0, cursor.piece.tokens
    if cursor.end > cursor.here and tokens[cursor.end - 1].sign(")"):
        for here in range(cursor.end - 1, cursor.here, -1):
            depth += 1 if tokens[here].sign(")") else -1 if tokens[here].sign("(") else 0
            if not depth:
                if tokens[here - 1].is_("WITH") and here - 1 > cursor.here:
                    return _balanced(cursor, here - 1)
                break
    last = tokens[cursor.end - 1] if cursor.end > cursor.here else None
    cursor.fail("CREATE ANONYMIZED ends with WITH (option, …), which says what is to hold", last, ("WITH (",))


def _balanced(cursor: Cursor, end: int) -> int:
    """The end of a query, in which parentheses go together."""
    open_: list[Token] = []
    for token in cursor.piece.tokens[cursor.here : end]:
        if token.sign("("):
            open_.append(token)
        elif token.sign(")"):
            if not open_:
                cursor.fail("this parenthesis closes none", token)
            open_.pop()
    if open_:
        cursor.fail("this parenthesis is not closed", open_[-1])
    return end


def _source(cursor: Cursor) -> tuple[Node, str | None]:
    """The source of a declaration, and its query where it has one."""
    token = cursor.token
    alone = token.is_("TABLE") and _named_only(cursor)
    if token.is_("FILE", "QUERY") or alone:
        node = source(cursor)
        if cursor.more:
            cursor.fail("WITH (…) is needed here", allowed=("WITH",))
        query = node.value[0][1].value if token.is_("QUERY") else None
        return node, query
    if not token.is_(*QUERIES) and not token.sign("("):
        cursor.fail("a source is needed here", allowed=("TABLE name", "FILE 'path'", "QUERY 'text'", "SELECT", "WITH"))
    after = cursor.piece.tokens[cursor.here - 1].end
    text = cursor.piece.between(after, cursor.piece.tokens[cursor.end].start)
    node = cursor.mapping([(cursor.scalar("query", token), cursor.scalar(text, token))], token)
    cursor.here = cursor.end
    return node, text


def _named_only(cursor: Cursor) -> bool:
    """Whether nothing but a name follows TABLE; what does is a query."""
    rest = [cursor.ahead(i) for i in range(1, cursor.end - cursor.here)]
    return all(t.sign(".") if i % 2 else t.kind in ("word", "name", "text") for i, t in enumerate(rest)) and bool(rest)


def as_selected(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Columns in the order in which a query has them; those that it does not name stay behind."""
    place = {name: i for i, name in reversed(list(enumerate(names)))}
    return sorted(columns, key=lambda column: place.get(column, len(names)))


def query_of(text: str) -> str | None:
    """The query that is read where a text stands between AS and WITH (…); None where no query is."""
    try:
        pieces = list(split(f"AS\n{text}\nWITH ();"))
        if len(pieces) != 1:
            return None
        cursor = Cursor(pieces[0], "duckdb", 1)
        cursor.end = _options_at(cursor)
        return _source(cursor)[1]
    except SpecError:
        return None
