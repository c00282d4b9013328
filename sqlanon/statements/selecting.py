"""What a query calls its columns, as far as its own words tell: for their order, and for HANA's column list."""

from __future__ import annotations

from sqlanon.errors import SpecError
from sqlanon.statements.scanning import Token, tokens

_ENDS = (
    "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT",
    "INTERSECT", "FOR", "USING", "INTO",
)  # fmt: skip


def outputs(query: str, dialect: str) -> tuple[str, ...]:
    """The names of the columns of a query's first SELECT; empty ones where its words do not tell.

    No names at all where it has a star, or no SELECT that stands alone.
    """
    try:
        found = list(tokens(query, dialect))
    except SpecError:  # whoever runs the query will say so
        return ()
    start = next((i for i, token in _outside(found) if token.is_("SELECT")), None)
    if start is None:
        return ()
    items: list[list[Token]] = [[]]
    for i, token in _outside(found[start + 1 :]):
        if token.is_(*_ENDS) and not _is_field(found, start + 1 + i):
            break
        if token.sign(","):
            items.append([])
        else:
            items[-1].append(token)
    items[0] = _undistinguished(items[0])
    if any(item and item[-1].sign("*") for item in items):
        return ()
    return tuple(_name(item, dialect) for item in items)


def _outside(found: list[Token]) -> list[tuple[int, Token]]:
    """The tokens that stand in no parentheses, brackets or braces; of these, only the closing ones."""
    depth, outside = 0, []
    for i, token in enumerate(found):
        if token.sign("(", "[", "{"):
            depth += 1
        elif token.sign(")", "]", "}"):
            depth -= 1
        if depth <= 0 or (depth == 1 and token.sign("(", "[", "{")):
            outside.append((i, token))
    return outside


def _undistinguished(item: list[Token]) -> list[Token]:
    """The first output without DISTINCT [ON (…)] before it."""
    if item and item[0].is_("DISTINCT", "ALL"):
        return item[4:] if item[1:2] and item[1].is_("ON") else item[1:]
    return item


def _is_field(found: list[Token], i: int) -> bool:
    """Whether a word is the name of a column after a dot, or after AS; or a part of IS DISTINCT FROM."""
    return i > 0 and (found[i - 1].sign(".") or found[i - 1].is_("AS", "DISTINCT"))


def _name(item: list[Token], dialect: str) -> str:
    """The name of one output: after AS, or of a bare column; empty where neither tells."""
    if not item or item[-1].kind not in ("word", "name"):
        return ""
    last, before = item[-1], item[:-1]
    bare = all(t.sign(".") if i % 2 else t.kind in ("word", "name") for i, t in enumerate(item)) and len(item) % 2
    if bare or before[-1].is_("AS"):
        return last.said.lower() if dialect == "postgres" and last.kind == "word" else last.said
    return ""
