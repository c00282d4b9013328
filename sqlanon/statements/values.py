"""Values of options: what stands after a key, read as the annotation of that key wants it.

What a key may hold is said once, by the dataclasses of a spec, so that a new model, hierarchy or key needs no line
here. Texts stand in single quotes and names do not: which keys hold names is told by `NAMES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from datetime import date
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from yaml.nodes import MappingNode, Node, ScalarNode

from sqlanon.annotations import keys_of
from sqlanon.hierarchies import HIERARCHIES, Hierarchy
from sqlanon.models import MODELS, Model
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.recoding.transforms import Transform
from sqlanon.spec import Source
from sqlanon.statements.reading import Cursor
from sqlanon.statements.scanning import Token

# Keys whose text is the name of a column, a relation or a role: bare or in double quotes.
NAMES = frozenset(
    {"column", "columns", "deal", "entity", "grant", "guard", "key", "owner", "table", "threshold-column"}
)
# Keys that hold a mapping of columns.
BY_NAME = frozenset({"levels", "predictions", "sensitivity"})
_LASTING = re.compile(r"\s*([0-9]+)\s*(h|d|w|hours?|days?|weeks?)\s*", re.IGNORECASE)
QUERIES = ("SELECT", "WITH", "FROM", "VALUES", "TABLE")


def spelled(key: str) -> str:
    """A key of a spec as statements spell it."""
    return key.replace("-", "_")


def scalars(hint: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation, without nothing."""
    found = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)
    return tuple(one for one in found if one is not NoneType)


def is_mapping(hint: Any) -> bool:
    """Whether an annotation is one of keys and values."""
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def value(cursor: Cursor, hint: Any, key: str) -> Node:
    """The next value, as `key` wants it by its annotation."""
    first, either = cursor.token, scalars(hint)
    if NoneType in get_args(hint) and first.is_("NULL"):
        return cursor.null(cursor.take())
    hint = either[0]
    if hint is Model:
        return call(cursor, MODELS, "model")
    if hint is Transform:
        return call(cursor, TRANSFORMS, "transform")
    if hint is Source:
        return source(cursor)
    if is_dataclass(hint):
        return record(cursor, hint, key) if first.sign("(") else word(cursor, key, either)
    if is_mapping(hint):
        return mapping(cursor, get_args(hint)[1], key)
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if first.sign("("):
            return listed(cursor, key, lambda: value(cursor, inner, key))
        return value(cursor, inner, key)
    return word(cursor, key, either)


def listed(cursor: Cursor, key: str, item: Callable[[], Node]) -> Node:
    """`(item, …)`, perhaps of none."""
    first, found = cursor.need("(", key), []
    while not cursor.sign(")"):
        found.append(item())
        _separated(cursor, key)
    return cursor.sequence(found, first)


def _separated(cursor: Cursor, key: str) -> None:
    """A comma, or the closing parenthesis, which stays."""
    if not cursor.token.sign(")"):
        if not cursor.sign(","):
            cursor.fail(f"{key}: a comma or a closing parenthesis is needed here", allowed=(",", ")"))
        if cursor.token.sign(")"):
            cursor.fail(f"{key}: something is missing after the comma")


def record(cursor: Cursor, kind: Any, key: str) -> Node:
    """`(key => value, …)` of a dataclass."""
    keys = keys_of(kind)

    def one() -> tuple[ScalarNode, Node]:
        name = cursor.take()
        found = _key(cursor, name, keys, key)
        _arrow(cursor, spelled(found))
        return cursor.scalar(found, name), value(cursor, keys[found].hint, found)

    return pairs(cursor, key, one)


def pairs(cursor: Cursor, key: str, one: Callable[[], tuple[ScalarNode, Node]]) -> MappingNode:
    """`(key => value, …)`, each read by `one`."""
    first, found = cursor.need("(", key), list[tuple[ScalarNode, Node]]()
    while not cursor.sign(")"):
        found.append(one())
        _separated(cursor, key)
    return cursor.mapping(found, first)


def mapping(cursor: Cursor, hint: Any, key: str) -> Node:
    """`(name => value, …)`; where the value is in parentheses the arrow may be left out."""

    def one() -> tuple[ScalarNode, Node]:
        name = cursor.token
        if name.kind == "word" and key not in BY_NAME:
            cursor.fail(f"{key}: a text is needed here, in single quotes")
        text, _ = cursor.name(f"{key}: a name")
        if not cursor.sign("=>", ":=", "=") and not cursor.token.sign("(") and key != "levels":
            cursor.fail(f"{key}: an arrow and a value are needed here", allowed=("=>",))
        return cursor.scalar(text, name), value(cursor, hint, key if is_mapping(hint) else "")

    return pairs(cursor, key, one)


def _key(cursor: Cursor, name: Token, keys: Mapping[str, Any], of: str) -> str:
    """The key that a token names."""
    given = name.said.lower() if name.kind == "word" else name.said
    for key in keys:
        if given in (key, spelled(key)):
            return key
    cursor.fail(f"{of} has no such key", name, [spelled(key) for key in keys])


def _arrow(cursor: Cursor, key: str) -> None:
    """The sign between a key and its value, which a value in parentheses can do without."""
    if not cursor.sign("=>", ":=", "=") and not cursor.token.sign("("):
        cursor.fail(f"{key} needs an arrow and a value", allowed=("=>",))


def word(cursor: Cursor, key: str, hints: tuple[Any, ...]) -> Node:
    """A text, number, true or false, or one of some words. What does not fit is told by who reads the node."""
    first = cursor.token
    if key == "expires":
        return _lasting(cursor)
    if first.sign("-", "+") or first.kind == "number":
        return number(cursor)
    if first.is_("TRUE", "FALSE") and str not in hints:
        return cursor.scalar(cursor.take().said.lower(), first, "bool")
    if first.is_("DATE") and date in hints and cursor.ahead().kind == "text":
        cursor.take()
        first = cursor.token
    allowed = [text for hint in hints for text in words_of(hint)]
    if first.kind == "text":
        cursor.take()
        return cursor.scalar(_same(first.said, allowed), first)
    if first.kind == "escaped":
        cursor.fail(f"{key}: write this text in plain quotes, in which a backslash is only a backslash", first)
    if first.kind not in ("word", "name"):
        cursor.fail(f"{key} needs a value here", allowed=map(spelled, allowed))
    if key in NAMES and not allowed:
        text, _ = cursor.name(key)
        return cursor.scalar(text, first)
    if not allowed and not (key == "levels" and str in hints):
        quoted = "'" + shown_text(cursor.take().said) + "'"
        if str in hints:
            cursor.fail(f"{key} is a text: write it in single quotes, as {quoted}", first)
        cursor.fail(f"{key} needs {'true or false' if bool in hints else 'a number'} here", first)
    cursor.take()
    return cursor.scalar(_same(first.said.lower(), allowed), first)


def shown_text(text: str) -> str:
    """A text within quotes."""
    return text.replace("'", "''")


def words_of(hint: Any) -> tuple[str, ...]:
    """The words that an annotation allows, of itself or of what a text alone stands for."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    if is_dataclass(hint):
        shorts = getattr(hint, "short_keys", None) or (hint.short_key(""),) if hasattr(hint, "short_key") else ()
        keys = keys_of(hint)
        return tuple(text for short in shorts for one in scalars(keys[short].hint) for text in words_of(one))
    return ()


def _same(text: str, allowed: list[str]) -> str:
    """The allowed word that is meant, whose hyphens or spaces may be underscores."""
    return next((w for w in allowed if re.sub("[- ]", "_", w) == re.sub("[- ]", "_", text.lower())), text)


def number(cursor: Cursor) -> Node:
    """A number, with its sign."""
    first = cursor.take()
    negative = first.sign("-")
    digits = cursor.take() if first.kind == "sign" else first
    if digits.kind != "number":
        cursor.fail("a number is needed here", digits)
    text = digits.said.replace("_", "").lower()
    if re.fullmatch("[0-9]+", text):
        return cursor.scalar(("-" if negative else "") + (text.lstrip("0") or "0"), first, "int")
    whole, point, rest = text.partition(".")
    text = f"{whole or '0'}{point}{'0' + rest if point and not rest[:1].isdigit() else rest}"
    return cursor.scalar(("-" if negative else "") + text, first, "float")


def _lasting(cursor: Cursor) -> Node:
    """`'90 days'`, as INTERVAL or not: the spec's `90d`."""
    cursor.word("INTERVAL")
    first = cursor.token
    if first.kind != "text":
        cursor.fail("expires needs a text such as '90 days', '12 hours' or '4 weeks'")
    found = _LASTING.fullmatch(cursor.take().said)
    return cursor.scalar(f"{int(found[1])}{found[2][0].lower()}" if found else first.said, first)


def call(cursor: Cursor, kinds: Mapping[str, Any], key: str) -> Node:
    """`name(value, …, key => value, …)`: a model or a transform; values without a key come first, in their order."""
    first = cursor.take()
    name = _named(cursor, first, kinds, key)
    keys = keys_of(kinds[name])
    found: list[tuple[ScalarNode, Node]] = [(cursor.scalar(key, first), cursor.scalar(name, first))]
    waiting, named = list(keys), False
    said = spelled(name)
    cursor.need("(", said)
    while not cursor.sign(")"):
        at = cursor.token
        if at.kind in ("word", "name") and cursor.ahead().sign("=>", ":=", "="):
            cursor.take()
            known, named = _key(cursor, at, keys, said), True
            cursor.take()
        elif named:
            cursor.fail(f"{said}: after a value with its key, every value needs its key", allowed=map(spelled, waiting))
        elif not waiting:
            cursor.fail(f"{said} has no more parameters than {len(keys)}")
        else:
            known = waiting[0]
        if known not in waiting:
            cursor.fail(f"{said}: {spelled(known)} is given twice", at)
        waiting.remove(known)
        found.append((cursor.scalar(known, at), value(cursor, keys[known].hint, known)))
        _separated(cursor, said)
    missing = [spelled(k) for k in waiting if keys[k].default is MISSING]
    if missing:
        cursor.fail(f"{said} needs {', '.join(missing)}", first)
    return cursor.mapping(found, first)


def _named(cursor: Cursor, token: Token, kinds: Mapping[str, Any], what: str) -> str:
    given = token.said.lower() if token.kind == "word" else token.said
    for name in kinds:
        if given in (name, spelled(name)):
            return name
    cursor.fail(f"there is no such {what}", token, map(spelled, kinds))


def source(cursor: Cursor) -> Node:
    """`TABLE name`, `FILE 'path' [DELIMITER ';']`, `QUERY '…'`, `(SELECT …)`; a name or a path alone."""
    first = cursor.token
    if cursor.word("FILE"):
        return _file(cursor, first)
    if cursor.word("QUERY"):
        return _pair(cursor, "query", cursor.token, _text(cursor, "QUERY"))
    if first.sign("("):
        return _pair(cursor, "query", first, enclosed(cursor))
    if first.kind == "text":
        cursor.take()
        return cursor.scalar(first.said, first)
    if first.is_("TABLE") and cursor.ahead().kind in ("word", "name", "text"):
        cursor.take()
    name, at = cursor.name("a table, FILE 'path', or a query in parentheses")
    return _pair(cursor, "table", at, name)


def _file(cursor: Cursor, first: Token) -> Node:
    at = cursor.token
    items = [(cursor.scalar("file", at), cursor.scalar(_text(cursor, "FILE"), at))]
    if cursor.word("DELIMITER"):
        at = cursor.token
        items.append((cursor.scalar("delimiter", at), cursor.scalar(_text(cursor, "DELIMITER"), at)))
    return cursor.mapping(items, first)


def _pair(cursor: Cursor, key: str, token: Token, text: str) -> Node:
    return cursor.mapping([(cursor.scalar(key, token), cursor.scalar(text, token))], token)


def _text(cursor: Cursor, what: str) -> str:
    if cursor.token.kind != "text":
        cursor.fail(f"{what} needs a text in single quotes")
    return cursor.take().said


def enclosed(cursor: Cursor) -> str:
    """What stands in parentheses, as it is written."""
    opening, depth = cursor.take(), 1
    while depth:
        if not cursor.more:
            cursor.fail("this parenthesis is not closed", opening)
        token = cursor.take()
        depth += 1 if token.sign("(") else -1 if token.sign(")") else 0
    return cursor.piece.between(opening.end, token.start)


def hierarchy(cursor: Cursor, kind: str, at: Token) -> tuple[Node, list[str]]:
    """The content of a hierarchy after its kind; and the further keys that may follow."""
    kinds: Mapping[str, type[Hierarchy]] = HIERARCHIES
    first, *more = keys_of(kinds[kind])
    if kind == "tree":
        node = tree(cursor)
        return cursor.mapping([(cursor.scalar("csv" if isinstance(node, ScalarNode) else "tree", at), node)], at), []
    inner = value(cursor, keys_of(kinds[kind])[first].hint, first)
    if more:
        inner = cursor.mapping([(cursor.scalar(first, at), inner)], at)
    return cursor.mapping([(cursor.scalar(kind, at), inner)], at), more


def tree(cursor: Cursor, depth: int = 0) -> Node:
    """`('category' ('value', …), …)`, or the file of one."""
    first = cursor.token
    if depth == 0 and first.kind == "text":
        cursor.take()
        return cursor.scalar(first.said, first)
    cursor.need("(", "tree")
    found: list[tuple[ScalarNode, Node | None]] = []
    while not cursor.sign(")"):
        at = cursor.token
        if at.kind != "text":
            cursor.fail("tree: a value or a category is a text in single quotes")
        cursor.take()
        cursor.sign("=>")
        inner: Node | None = tree(cursor, depth + 1) if cursor.token.sign("(") else None
        if inner is None and cursor.token.is_("NULL"):
            inner = cursor.null(cursor.take())
        found.append((cursor.scalar(at.said, at), inner))
        _separated(cursor, "tree")
    if depth and all(inner is None for _, inner in found):
        return cursor.sequence([leaf for leaf, _ in found], first)
    return cursor.mapping([(key, inner or cursor.null(first)) for key, inner in found], first)
