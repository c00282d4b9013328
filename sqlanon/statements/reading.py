"""Tokens of one statement, read from left to right; what is read becomes nodes, as those of a YAML file are.

A statement says what a spec says, so it is read into the same nodes, which bear its lines and columns, and the room
that reads specs does the rest: types, limits, contradictions, and the nearest right word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sqlanon.errors import SpecError
from sqlanon.reading import NULL, Place, Reader, path_text
from sqlanon.statements.scanning import At, Token
from sqlanon.statements.splitting import Piece

_TAG = "tag:yaml.org,2002:"
_END = Token("sign", "", -1, -1)


class Cursor:
    """A place among the tokens of a statement. `dialect`: how bare names are folded."""

    def __init__(self, piece: Piece, dialect: str, start: int = 0, end: int | None = None) -> None:
        self.piece, self.dialect, self.here = piece, dialect, start
        self.end = len(piece.tokens) if end is None else end

    @property
    def token(self) -> Token:
        """The next token; at the end, an empty sign."""
        return self.piece.tokens[self.here] if self.here < self.end else _END

    @property
    def text(self) -> str:
        """The statement, without the comments before it."""
        piece = self.piece
        return piece.text[piece.tokens[0].start - piece.start :]

    @property
    def at(self) -> At:
        """Where the statement begins."""
        return self.piece.at(self.piece.tokens[0].start)

    @property
    def more(self) -> bool:
        """Whether there is another token."""
        return self.here < self.end

    def ahead(self, by: int = 1) -> Token:
        """A token after the next."""
        return self.piece.tokens[self.here + by] if self.here + by < self.end else _END

    def take(self) -> Token:
        """The next token, past which the cursor goes."""
        token = self.token
        self.here += 1
        return token

    def word(self, *words: str) -> Token | None:
        """The next token, if it is one of these words."""
        return self.take() if self.token.is_(*words) else None

    def sign(self, *signs: str) -> Token | None:
        """The next token, if it is one of these signs."""
        return self.take() if self.token.sign(*signs) else None

    def need(self, sign: str, after: str) -> Token:
        """The next token, which must be this sign."""
        return self.sign(sign) or self.fail(f"{after} needs {sign!r} here", allowed=(sign,))

    def need_word(self, *words: str, what: str) -> Token:
        """The next token, which must be one of these words."""
        return self.word(*words) or self.fail(what, allowed=words)

    def fail(self, problem: str, token: Token | None = None, allowed: Iterable[str] = ()) -> NoReturn:
        """Raises `SpecError` at a token, or at the next one."""
        token = self.token if token is None else token
        found = shown(self.raw(token)) if token is not _END else "the end of the statement"
        raise SpecError(problem, where=self.where(token), found=found, allowed=allowed)

    def raw(self, token: Token) -> str:
        """A token as it is written."""
        start = self.piece.start
        return self.piece.text[token.start - start : token.end - start]

    def where(self, token: Token) -> str:
        """Line and column of a token; for the end, of what comes last."""
        if token is _END:
            last = self.piece.tokens[self.end - 1] if self.end else None
            return str(self.piece.at(last.end if last else self.piece.start))
        return str(self.piece.at(token.start))

    def fold(self, token: Token) -> str:
        """A name as the engine knows it: Postgres reads bare names in lower case."""
        return token.said.lower() if self.dialect == "postgres" and token.kind == "word" else token.said

    def name(self, what: str) -> tuple[str, Token]:
        """A name, perhaps with those of its schema and database before it, and its first token."""
        first = self.token
        if first.kind not in ("word", "name", "text"):
            self.fail(f"{what} is needed here")
        parts = [self.fold(self.take())]
        while first.kind != "text" and self.token.sign(".") and self.ahead().kind in ("word", "name"):
            self.take()
            parts.append(self.fold(self.take()))
        return ".".join(parts), first

    def mark(self, token: Token) -> yaml.Mark:
        """The place of a token, as nodes bear it."""
        at = self.piece.at(token.start if token is not _END else self.piece.tokens[self.end - 1].end)
        return yaml.Mark("", token.start, at.line - 1, at.column - 1, None, 0)

    def scalar(self, value: str, token: Token, tag: str = "str") -> ScalarNode:
        """A node of one value, which stands at a token."""
        mark = self.mark(token)
        return ScalarNode(_TAG + tag, value, mark, mark)

    def null(self, token: Token) -> ScalarNode:
        """A node of no value."""
        return ScalarNode(NULL, "null", self.mark(token), None)

    def mapping(self, items: Iterable[tuple[ScalarNode, Node]], token: Token) -> MappingNode:
        """A node of keys and values."""
        mark = self.mark(token)
        return MappingNode(_TAG + "map", list(items), mark, mark)

    def sequence(self, items: Iterable[Node], token: Token) -> SequenceNode:
        """A node of several values."""
        mark = self.mark(token)
        return SequenceNode(_TAG + "seq", list(items), mark, mark)


def shown(text: str) -> str:
    """A piece of a statement as messages quote it: one line, not too long."""
    line = re.sub(r"\s+", " ", text)
    return line if len(line) <= 60 else line[:59] + "…"


class Placed(Reader):
    """Reads the nodes of a statement; its problems are told by line and column, in the words of the statement."""

    def where(self, node: Node, place: Place) -> str | None:
        mark = node.start_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark else ""
        return ": ".join(filter(None, (at, said(place, self.root)))) or None


def said(place: Place, root: Node) -> str:
    """A place of a spec in the words of a statement: models by their name, without the sections of the file."""
    first, *rest = place or ("",)
    if first == "privacy" and rest[1:] == ["preset"]:
        return "preset"
    if first == "privacy" and rest:
        return path_text((_called(root, "privacy", rest[0]), *rest[1:]))
    if first == "related" and rest:
        inner = _at(root, place[:2])
        return " in ".join(filter(None, (said(tuple(rest[1:]), inner), _called(root, "related", rest[0]))))
    if first in ("columns", "recoding", "publish"):
        return path_text(tuple(rest))
    return path_text(place)


def _at(node: Node, place: Sequence[str | int]) -> Node:
    for part in place:
        if isinstance(node, MappingNode):
            node = next((value for key, value in node.value if key.value == part), node)
        elif isinstance(node, SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return node


def _called(root: Node, key: str, index: str | int) -> str:
    """What a model or a related table is called."""
    node = _at(root, (key, index))
    named = {k.value: v.value for k, v in node.value} if isinstance(node, MappingNode) else {}
    found = named.get("model", named.get("preset", named.get("name", "")))
    return str(found).replace("-", "_") if key == "privacy" else str(found)


def built(kind: type[Any], items: Mapping[str, Node], cursor: Cursor) -> Any:
    """What nodes come to, as an instance of a dataclass; one `SpecError` with all problems, first line first."""
    first = cursor.piece.tokens[0]
    pairs = [(cursor.scalar(key, first), node) for key, node in items.items()]
    return Placed("", cursor.mapping(pairs, first)).finish(kind)
