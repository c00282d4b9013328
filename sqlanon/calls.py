"""Calls of our own functions in a query, for an engine that has to answer them before it runs the query.

A call's arguments are constants of the spec and columns of one relation, which stands in a FROM clause of the same
SELECT. An answer stands in the place of its call as a subquery, so that nothing else in the query changes.
"""

from __future__ import annotations

from sqlglot import exp

from sqlanon.errors import NotPortable
from sqlanon.query import Expression, Text

_PREFIX = "sqlanon_"


def found(body: Expression | Text) -> list[Expression]:
    """The calls in the body of a step; they are nodes of it."""
    if isinstance(body, Text):
        return []
    return [node for node in body.find_all(exp.Anonymous) if node.name.lower().startswith(_PREFIX)]


def function_of(call: Expression) -> str:
    """The name of the function that is called."""
    return call.name.lower()


def arguments(call: Expression) -> list[Expression]:
    """What it is called with."""
    return list(call.expressions)


def constant(argument: Expression) -> str | int | None:
    """The value of a constant argument; None for what is read from a relation."""
    if isinstance(argument, exp.Literal):
        return str(argument.this) if argument.is_string else int(argument.this)
    return None


def reads(body: Expression | Text, name: str) -> bool:
    """Whether a step reads the one of this name; of a text, whether it could."""
    if isinstance(body, Text):
        return name in body.sql or name in body.postgres
    return any(node.name == name for node in body.find_all(exp.Table))


def relation(call: Expression) -> exp.Table:
    """The FROM item whose columns the arguments are. Raises `NotPortable` where there is none, or more than one."""
    select = call.find_ancestor(exp.Select)
    items = [part.this for kind in (exp.From, exp.Join) for part in (_own(select, kind) if select else [])]
    used = {node.table for node in call.find_all(exp.Column)}
    named = [item for item in items if item.alias_or_name in used or (used == {""} and len(items) == 1)]
    if len(named) != 1 or len(used) != 1 or not isinstance(named[0], exp.Table):
        raise NotPortable("a function of sqlanon is called with the columns of one relation")
    return named[0]


def _own(select: exp.Select, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The FROM clause or the joins of a SELECT itself, not of one inside it."""
    return [node for node in select.find_all(kind) if node.parent is select]


def through(item: exp.Table, path: Expression) -> str:
    """Lets a FROM item read another relation, under the name that it has; that name."""
    alias = item.alias_or_name
    item.replace(exp.alias_(path.copy(), exp.to_identifier(alias, quoted=True), table=True))
    return alias


def answer(call: Expression, by: Expression) -> None:
    """Puts an expression in the place of a call."""
    call.replace(exp.Paren(this=by) if isinstance(by, exp.Select) else by)


def on_server(call: Expression, first: list[Expression]) -> None:
    """Lets a call be one of the server's own function in the schema `sqlanon`, with more arguments before its own."""
    call.replace(exp.Anonymous(this=f"sqlanon.{function_of(call)}", expressions=[*first, *call.expressions]))
