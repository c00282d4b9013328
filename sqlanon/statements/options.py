"""The options of `WITH (…)`: columns by what they are, models, and every other key of a spec under its own name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from yaml.nodes import Node, ScalarNode

from sqlanon.annotations import keys_of
from sqlanon.hierarchies import HIERARCHIES
from sqlanon.models import MODELS
from sqlanon.presets import PRESETS
from sqlanon.publication import Publish
from sqlanon.spec import Column, Recoding, Related, Spec
from sqlanon.statements.reading import Cursor
from sqlanon.statements.scanning import Token
from sqlanon.statements.values import call, hierarchy, listed, number, pairs, source, spelled, value

# A list of columns by what they are called, and the role of each.
ROLES = {
    "identifiers": "identifier", "quasi_identifiers": "quasi-identifier", "sensitive": "sensitive",
    "insensitive": "insensitive", "dropped": "drop",
}  # fmt: skip
ROLE_WORDS = {spelled(role): role for role in ROLES.values()}


@dataclass(frozen=True)
class Option:
    """Where an option belongs in a spec: the section (none for the spec's own keys), the key, what it may hold."""

    section: str
    key: str
    hint: Any


@cache
def options(of: Any = Spec) -> dict[str, Option]:
    """The options by name: the keys of a spec (or of a related table), and those of its recoding and of publishing."""
    beside = {"source", "columns", "privacy", "recoding", "publish", "name", "relation"}
    found = {spelled(k): Option("", k, key.hint) for k, key in keys_of(of).items() if k not in beside}
    if of is Spec:
        for section, kind in (("recoding", Recoding), ("publish", Publish)):
            for k, key in keys_of(kind).items():
                if k not in ("name", "as"):
                    found[spelled(k)] = Option(section, k, key.hint)
    return found


@cache
def words(of: Any = Spec) -> tuple[str, ...]:
    """All words that an option may begin with."""
    return ("k", *ROLES, "columns", *options(of), "preset", *map(spelled, MODELS))


@dataclass
class Read:
    """The options of one statement, as nodes: columns, models, and the keys of each section."""

    columns: list[tuple[ScalarNode, Node]] = field(default_factory=list)
    privacy: list[Node] = field(default_factory=list)
    sections: dict[str, list[tuple[ScalarNode, Node]]] = field(default_factory=dict)
    seen: dict[str, Token] = field(default_factory=dict)  # options
    named: dict[str, Token] = field(default_factory=dict)  # columns
    ordered: bool = False  # whether the columns are given in the order of the release

    def once(self, cursor: Cursor, name: str, token: Token) -> None:
        """Refuses an option that was given before."""
        if name in self.seen:
            cursor.fail(f"{name} is given twice, first at {cursor.where(self.seen[name])}", token)
        self.seen[name] = token

    def section(self, name: str) -> list[tuple[ScalarNode, Node]]:
        """The keys and values of a section of the spec."""
        return self.sections.setdefault(name, [])

    def mapping(self, cursor: Cursor, first: Token, more: Mapping[str, Node] | None = None) -> dict[str, Node]:
        """The keys of the whole spec."""
        own = {key.value: node for key, node in self.sections.get("", ())}
        sections = {name: cursor.mapping(items, first) for name, items in self.sections.items() if name}
        columns, privacy = cursor.mapping(self.columns, first), cursor.sequence(self.privacy, first)
        return {**(more or {}), **own, "columns": columns, "privacy": privacy, **sections}


def read(cursor: Cursor, of: Any = Spec, before: Read | None = None) -> Read:
    """`(option, …)`, as far as its closing parenthesis; beside what was read `before`."""
    found = before or Read()
    opening = cursor.need("(", "WITH")
    while not cursor.sign(")"):
        if not cursor.more:
            cursor.fail("this parenthesis is not closed", opening)
        option(cursor, found, of)
        if not cursor.token.sign(")"):
            cursor.sign(",") or cursor.fail("a comma or a closing parenthesis is needed here", allowed=(",", ")"))
            if cursor.token.sign(")"):
                cursor.fail("an option is missing after the comma")
    return found


def option(cursor: Cursor, found: Read, of: Any = Spec) -> None:
    """One option, put with those that were found before."""
    token = cursor.token
    if token.kind not in ("word", "name"):
        cursor.fail("an option is needed here", allowed=words(of))
    name = token.said.lower()
    if name in options(of):
        found.once(cursor, name, cursor.take())
        known = options(of)[name]
        _equals(cursor, name)
        node = related(cursor) if name == "related" else value(cursor, known.hint, known.key)
        found.section(known.section).append((cursor.scalar(known.key, token), node))
    elif name in ROLES or name == "columns":
        found.once(cursor, name, cursor.take())
        _columns(cursor, found, name, token)
    elif name in ("k", "preset"):
        cursor.take()
        found.privacy.append(_short(cursor, name, token))
    elif name.replace("_", "-") in MODELS:
        if not cursor.ahead().sign("("):
            cursor.fail(f"a model is written {spelled(name)}(…)", cursor.ahead(), ("(",))
        found.privacy.append(call(cursor, MODELS, "model"))
    else:
        cursor.fail("there is no such option", allowed=words(of))


def _equals(cursor: Cursor, name: str) -> None:
    """The sign between an option and its value, which a value in parentheses can do without."""
    if not cursor.sign("=", "=>", ":=") and not cursor.token.sign("("):
        cursor.fail(f"{name} needs a value, after =", allowed=("=",))


def _short(cursor: Cursor, name: str, token: Token) -> Node:
    """`k = 5` is k-anonymity; `preset = 'contract'` stands for models."""
    _equals(cursor, name)
    closing = cursor.sign("(")
    if name == "k":
        if cursor.token.kind != "number":
            cursor.fail("k needs a whole number")
        items = {"model": cursor.scalar("k-anonymity", token), "k": number(cursor)}
    else:
        given = cursor.token
        if given.kind not in ("word", "text"):
            cursor.fail("preset needs the name of one", allowed=PRESETS)
        text = cursor.take().said
        items = {"preset": cursor.scalar(next((p for p in PRESETS if spelled(p) == spelled(text)), text), given)}
    if closing:
        cursor.need(")", name)
    return cursor.mapping([(cursor.scalar(key, token), node) for key, node in items.items()], token)


def _columns(cursor: Cursor, found: Read, name: str, token: Token) -> None:
    """A list of columns of one role; or of all columns, each with its role."""
    if "columns" in found.seen and len(found.seen.keys() & {*ROLES, "columns"}) > 1:
        cursor.fail("columns stands alone: it names every column with its role", token)
    found.ordered = name == "columns"
    _equals(cursor, name)
    role = ROLES.get(name)

    def one() -> tuple[ScalarNode, Node]:
        at = cursor.token
        column = _column(cursor, role, name)
        if column[0].value in found.named:
            cursor.fail(f"this column is named twice, first at {cursor.where(found.named[column[0].value])}", at)
        found.named[column[0].value] = at
        return column

    found.columns += pairs(cursor, name, one).value if cursor.token.sign("(") else [one()]


def _column(cursor: Cursor, role: str | None, of: str) -> tuple[ScalarNode, Node]:
    """`name [role] [hierarchy] [key value …]`."""
    name, at = cursor.name(f"{of}: the name of a column")
    keys, more = keys_of(Column), list[str]()
    found: dict[str, tuple[ScalarNode, Node]] = {}
    if role is not None:
        found["role"] = (cursor.scalar("role", at), cursor.scalar(role, at))
    while cursor.token.kind == "word":
        token = cursor.take()
        word = token.said.lower()
        if word in HIERARCHIES and "hierarchy" not in found:
            node, more = hierarchy(cursor, word, token)
            found["hierarchy"] = (cursor.scalar("hierarchy", token), node)
        elif word in more:
            _beside(cursor, found["hierarchy"][1], word, token)
            more.remove(word)
        elif role is None and word in ROLE_WORDS and "role" not in found:
            found["role"] = (cursor.scalar("role", token), cursor.scalar(ROLE_WORDS[word], token))
        elif word in keys and word not in ("role", "hierarchy", *found):
            cursor.sign("=", "=>", ":=")
            found[word] = (cursor.scalar(word, token), value(cursor, keys[word].hint, word))
        else:
            roles = ROLE_WORDS if role is None and "role" not in found else ()
            kinds = () if "hierarchy" in found else HIERARCHIES
            left = [key for key in keys if key not in ("role", "hierarchy", *found)]
            cursor.fail(f"{name}: this is nothing that can be said of a column here", token,
                        (*roles, *kinds, *more, *left))  # fmt: skip
    if "role" not in found:
        cursor.fail(f"{name} needs a role", at, ROLE_WORDS)
    return cursor.scalar(name, at), cursor.mapping(found.values(), at)


def _beside(cursor: Cursor, node: Node, key: str, token: Token) -> None:
    """A further key of a hierarchy, such as the groups of an order."""
    [(kind, content)] = node.value
    cursor.sign("=", "=>", ":=")
    hint = keys_of(HIERARCHIES[kind.value])[key].hint
    content.value.append((cursor.scalar(key, token), value(cursor, hint, key)))


def related(cursor: Cursor) -> Node:
    """`(name AS source WITH (option, …), …)`: the related tables; one may stand alone."""
    if not cursor.token.sign("("):
        return cursor.sequence([_related(cursor)], cursor.token)
    return listed(cursor, "related", lambda: _related(cursor))


def _related(cursor: Cursor) -> Node:
    name, first = cursor.name("related: the name of a release")
    cursor.need_word("AS", what="related: a table is written name AS TABLE source WITH (…)")
    where = source(cursor)
    cursor.need_word("WITH", what="related: a table is written name AS TABLE source WITH (…)")
    found = read(cursor, Related)
    keys = found.mapping(cursor, first, {"name": cursor.scalar(name, first), "source": where})
    return cursor.mapping([(cursor.scalar(key, first), node) for key, node in keys.items()], first)
