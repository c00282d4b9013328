"""A query's text as a tree, once it is sure that the tree holds what the text says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise, zip_longest

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlanon.lineage.columns import Relation, lowered, refuse
from sqlanon.lineage.scopes import Node

_TEXTS = {"STRING", "NATIONAL_STRING", "RAW_STRING", "HEREDOC_STRING", "UNICODE_STRING", "BYTE_STRING"}


def read(text: str, dialect: str, made: Collection[str]) -> Node:
    """The tree of one statement; `made` are functions of users, which are refused: what they read does not stand here.

    Raises `Unresolved`.
    """
    try:
        _own_functions(text, dialect, {name.lower() for name in made})
        trees = sqlglot.parse(text, read=dialect)
    except (SqlglotError, RecursionError):
        refuse("it cannot be read")
    if len(trees) != 1 or trees[0] is None:
        refuse("it is not one SELECT")
    return trees[0]


def _own_functions(text: str, dialect: str, made: set[str]) -> None:
    for token, after in pairwise(sqlglot.tokenize(text, read=dialect)) if made else ():
        if after.text == "(" and token.text.lower() in made:
            refuse(f"the function {token.text.lower()} is one of this database's own")


def accounted(text: str, dialect: str, tree: Node, names: Iterable[str], folded: Callable[[str], str]) -> None:
    """Refuses a text in which the name of a column stands more often than in its tree: a parser may drop one.

    In `date_trunc(zip, day)` it takes the column zip for the word of a unit; a column may be called like a function
    without parentheses, such as current_date. Raises `Unresolved`.
    """
    tokens = sqlglot.tokenize(text, read=dialect)
    written = Counter(
        folded(token.text)
        for token, after in zip_longest(tokens, tokens[1:])
        if token.token_type.name not in _TEXTS and (after is None or after.text != "(")
    )
    known = Counter(folded(node.name) for node in tree.find_all(exp.Identifier))
    known.update(lowered(node.sql(dialect)) for node in tree.find_all(exp.DataType))
    for name in sorted(names):
        if written[name] > known[name]:
            refuse(f"it is not clear whether {name!r} is a column everywhere")


def made_of(column: str, table: Relation, dialect: str, folded: Callable[[str], str]) -> set[str]:
    """A column of a table and, where it is generated, those that it is made of: all whose names its expression has."""
    known, found, left = {folded(name): name for name in table.columns}, set[str](), [column]
    while left:
        found.add(name := left.pop())
        tokens = sqlglot.tokenize(table.generated.get(name, ""), read=dialect)
        left += {known[word] for word in (folded(token.text) for token in tokens) if word in known} - found
    return found
