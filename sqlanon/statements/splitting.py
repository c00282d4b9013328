"""A script into its statements: pieces between `;`, with their tokens and places.

A `;` ends a statement unless it stands in parentheses, or in the BEGIN … END of a function that is written in SQL
(`CREATE FUNCTION … BEGIN ATOMIC …; END`); so psql has it. Bodies between dollars are texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlanon.statements.scanning import SPACES, At, Places, Token, tokens


@dataclass(frozen=True)
class Piece:
    """One statement of a script: its text, with the comments around it, and its tokens.

    The offsets of tokens count in the script; `start` is that of `text`.
    """

    text: str
    start: int
    tokens: tuple[Token, ...]
    places: Places

    def at(self, offset: int) -> At:
        """The place of a character of the script."""
        return self.places.at(offset)

    def between(self, start: int, end: int) -> str:
        """A part of the script, without white space around it."""
        return self.text[start - self.start : end - self.start].strip(SPACES)


def split(script: str, dialect: str = "duckdb") -> Iterator[Piece]:
    """The statements of a script. Raises `SpecError` where a text, a quoted name or a comment has no end."""
    places, start, found = Places(script), 0, list[Token]()
    for token in tokens(script, dialect):
        if token.sign(";") and not _open(found):
            if found:
                yield _piece(script, start, token.start, found, places)
            start, found = token.end, []
        else:
            found.append(token)
    if found:
        yield _piece(script, start, len(script), found, places)


def _piece(script: str, start: int, end: int, found: Sequence[Token], places: Places) -> Piece:
    text = script[start:end]
    return Piece(text.strip(SPACES), start + len(text) - len(text.lstrip(SPACES)), tuple(found), places)


def _open(found: Sequence[Token]) -> bool:
    """Whether a statement of these tokens goes on after a `;`."""
    depth, blocks, function = 0, 0, _function(found)
    for token, after in zip(found, (*found[1:], None), strict=False):
        if token.sign("("):
            depth += 1
        elif token.sign(")"):
            depth = max(0, depth - 1)
        elif function and not depth:
            begins = token.is_("BEGIN") and after is not None and after.is_("ATOMIC")
            if begins or (blocks and token.is_("CASE")):
                blocks += 1
            elif token.is_("END"):
                blocks = max(0, blocks - 1)
    return depth > 0 or blocks > 0


def _function(found: Sequence[Token]) -> bool:
    words = [token.said.upper() if token.kind == "word" else "" for token in found[:4]]
    rest = words[3:] if words[1:3] == ["OR", "REPLACE"] else words[1:]
    return words[:1] == ["CREATE"] and rest[:1] in (["FUNCTION"], ["PROCEDURE"])
