"""House SQL in Postgres's words, on the tree: what it would read otherwise than DuckDB, or could not run fast.

- Texts are compared and sorted by their bytes, whatever the collation of the database (DuckDB's own order).
- Names longer than 63 bytes are shortened here: Postgres would cut them off, so that two could become one.
- `IS NOT DISTINCT FROM` can be neither hashed nor merged, so a join on it compares each row with each. What follows
  from it and can be hashed is put beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast

import sqlglot
from sqlglot import exp

from sqlanon.errors import NotPortable

_LONGEST = 63
_Tree = TypeVar("_Tree", bound=exp.Expr)

# Our name for the text of a floating-point number, which engines write differently.
FLOAT_TEXT = "float_text"


def short(name: str) -> str:
    """A name of at most 63 bytes that no other long name has."""
    if len(name.encode()) <= _LONGEST:
        return name
    kept = name.encode()[:30].decode(errors="ignore")
    return f"{kept}…{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def for_postgres(body: exp.Expr) -> exp.Expr:
    """The same tree for Postgres. Raises `NotPortable` for what it has no type for."""
    whole = exp.Paren(this=copied(body))  # so that every node has a parent
    joins: list[exp.Expr] = []
    for node in reversed(list(nodes(whole))):  # what stands in a node is translated before it
        if isinstance(node, exp.Identifier):
            node.set("this", short(node.name))
        elif isinstance(node, exp.Cast):
            if node.is_type("varchar", "text"):
                _around(node, exp.Collate(expression=exp.to_identifier("C", quoted=True)))
        elif isinstance(node, exp.IntDiv):
            node.replace(_whole_division(node))
        elif isinstance(node, exp.Anonymous) and node.name == FLOAT_TEXT:
            node.replace(_float_text(node.expressions[0]))
        elif isinstance(node, exp.NullSafeEQ):
            joins.append(node)
        elif isinstance(node, exp.Struct):
            raise NotPortable("a range with the fields lower and upper is no type of Postgres; publish bounds")
    for joining in {id(top): top for top in map(_conjunction, joins)}.values():
        pairs = [part for part in _parts(joining) if isinstance(part, exp.NullSafeEQ)]
        if pairs and (isinstance(joining.parent, (exp.Join, exp.Where)) or joining.parent is whole):
            joining.replace(exp.And(this=_hashed(pairs), expression=joining.copy()))
    return cast(exp.Expr, whole.this)


def _around(node: exp.Expr, outer: exp.Expr) -> None:
    """Puts a node into another, which takes its place."""
    node.replace(outer)
    outer.set("this", node)


def _whole_division(node: exp.IntDiv) -> exp.Expr:
    """Of whole numbers, by the operator: the function DIV is one of `numeric`, and many times slower."""
    left, right = (exp.cast(side, "bigint", copy=False) for side in (node.this, node.expression))
    return exp.Paren(this=exp.Div(this=left, expression=right, typed=True, safe=False))


def nodes(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Every node of a tree in any order: a fraction of what sqlglot's own walk takes, which every statement would."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for found in node.args.values():
            if isinstance(found, exp.Expr):
                waiting.append(found)
            elif isinstance(found, list):
                waiting += [item for item in found if isinstance(item, exp.Expr)]


def written(tree: exp.Expr) -> str:
    """All that a tree says, in a text that no other tree has; what it costs is a small part of rendering it."""
    parts: list[str] = []
    _write(tree, parts)
    return " ".join(parts)


def _write(tree: exp.Expr, parts: list[str]) -> None:
    parts.append(type(tree).__name__)
    for name, value in tree.args.items():
        parts.append(name)
        if isinstance(value, exp.Expr):
            parts.append("(")
            _write(value, parts)
            parts.append(")")
        elif type(value) is list:
            parts.append("[")
            for item in value:
                if isinstance(item, exp.Expr):
                    _write(item, parts)
                    parts.append(",")
                else:
                    parts.append(repr(item))
            parts.append("]")
        else:
            parts.append(repr(value))
    if tree.comments or tree._type is not None:
        parts.append(repr((tree.comments, tree._type)))


def for_duckdb(body: exp.Expr) -> exp.Expr:
    """The same tree for DuckDB, which is what it is written in, but for the texts of floating-point numbers."""
    whole = exp.Paren(this=copied(body))
    for node in list(whole.find_all(exp.Anonymous)):
        if node.name == FLOAT_TEXT:
            node.replace(exp.cast(node.expressions[0].copy(), "varchar"))
    return cast(exp.Expr, whole.this)


def copied(tree: _Tree) -> _Tree:
    """The same as sqlglot's own `copy` in a third of its time, for every statement is set together from copies."""
    return cast(_Tree, _copied(tree, None, None, None))


def _copied(tree: exp.Expr, parent: exp.Expr | None, key: str | None, at: int | None) -> exp.Expr:
    made = type(tree).__new__(type(tree))
    made.parent, made.arg_key, made.index, made._hash = parent, key, at, None
    made.comments = list(tree.comments) if tree.comments is not None else None
    made._type = tree._type if tree._type is None else copied(tree._type)
    made._meta = dict(tree._meta) if tree._meta is not None else None  # places in the text: whole numbers
    args: dict[str, Any] = {}
    made.args = args
    for name, value in tree.args.items():
        if isinstance(value, exp.Expr):
            args[name] = _copied(value, made, name, None)
        elif type(value) is list:
            args[name] = [_copied(v, made, name, i) if isinstance(v, exp.Expr) else v for i, v in enumerate(value)]
        else:
            args[name] = value
    return made


def _float_text(value: exp.Expr) -> exp.Expr:
    """A floating-point number as DuckDB and Python write it: 1.0, 1e+16, nan, inf.

    Postgres writes 1, 1e+15, NaN and Infinity. Where the shortest digits are not unique (from 9 · 10^15 on, and in
    numbers of single precision), the last of them may be another than DuckDB's.
    """
    return cast(exp.Expr, _FLOAT_TEXT.transform(lambda n: value.copy() if isinstance(n, exp.Placeholder) else n))


def _conjunction(node: exp.Expr) -> exp.Expr:
    """The whole of the AND that a comparison is a part of."""
    while isinstance(node.parent, (exp.And, exp.Paren)) and node.parent.parent is not None:
        node = node.parent
    return node


def _parts(node: exp.Expr) -> list[exp.Expr]:
    inner = node.unnest()
    return [*_parts(inner.left), *_parts(inner.right)] if isinstance(inner, exp.And) else [inner]


def _hashed(pairs: Sequence[exp.Expr]) -> exp.Expr:
    """The hashes of both sides are equal, each side read in the type that the two have in common.

    CASE finds that type; its condition is a constant, so that it is gone before anything runs.
    """
    sides = []
    for taken in (True, False):
        common = [
            exp.Case(ifs=[exp.If(this=exp.Boolean(this=taken), true=pair.this.copy())], default=pair.expression.copy())
            for pair in pairs
        ]
        row = exp.Anonymous(this="ROW", expressions=common)
        sides.append(exp.Anonymous(this="hash_record_extended", expressions=[row, exp.Literal.number(0)]))
    return exp.EQ(this=sides[0], expression=sides[1])


_FLOAT_TEXT = for_postgres(sqlglot.parse_one(
    """CASE WHEN ? = CAST('NaN' AS double precision) THEN 'nan' WHEN ? = CAST('Infinity' AS double precision) THEN 'inf'
    WHEN ? = CAST('-Infinity' AS double precision) THEN '-inf'
    WHEN NOT CAST(? AS text) LIKE '%e%'
    THEN CAST(? AS text) || CASE WHEN CAST(? AS text) LIKE '%.%' THEN '' ELSE '.0' END
    WHEN ABS(?) >= 1 AND ABS(?) < 1e16 THEN CAST(CAST(CAST(? AS text) AS numeric) AS text)
    || CASE WHEN CAST(CAST(CAST(? AS text) AS numeric) AS text) LIKE '%.%' THEN '' ELSE '.0' END
    ELSE CAST(? AS text) END""",
    read="postgres",
))  # fmt: skip
