"""SQL text as tokens, each with its place, by the rules that DuckDB and Postgres share.

Only what decides where a statement ends and what stands in it is told apart: words, quoted names, texts (`'…'`, `E'…'`,
`$tag$…$tag$`), numbers and single signs. Comments, which nest, and white space are between tokens. The rules are those
of Postgres's scanner, which DuckDB has kept; a property test holds the ends of statements to DuckDB's own.

Decided 2026-11-26: no tokenizer of sqlglot. It makes one token of a whole command (`CALL f('a;b')`, in Postgres also
`SHOW` and `EXECUTE`), and takes `{# … #}` for a comment, so that a statement could end within a text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from sqlanon.errors import SpecError

SPACES = " \t\r\n\f\v"
Kind = Literal["word", "name", "text", "escaped", "number", "sign"]


@dataclass(frozen=True)
class At:
    """A place in a script: line and column, in characters, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True)
class Token:
    """A piece of a script: what it is, what it says, and where it begins and ends.

    `kind`: a bare `word`, a quoted `name`, a `text`, an `escaped` text (`E'…'`, whose escapes are left alone), a
    `number`, a `sign`. `said`: the word, name or text without its quotes.
    """

    kind: Kind
    said: str
    start: int
    end: int

    def __str__(self) -> str:
        return self.said

    def is_(self, *words: str) -> bool:
        """Whether it is one of these words, in whatever case; never true of a quoted name or a text."""
        return self.kind == "word" and self.said.upper() in words

    def sign(self, *signs: str) -> bool:
        """Whether it is one of these signs."""
        return self.kind == "sign" and self.said in signs


class Places:
    """The lines and columns of a text."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def at(self, offset: int) -> At:
        """The place of a character."""
        line = bisect_left(self._ends, offset)
        return At(line + 1, offset - (self._ends[line - 1] if line else -1))


_WIDE = "\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff"


def _pattern(spaces: str, letters: str) -> re.Pattern[str]:
    return re.compile(
        rf"""
        (?P<space>   [ \t\r\n\f\v{spaces}]+ )
      | (?P<line>    --[^\r\n]* )
      | (?P<block>   /\* )
      | (?P<escaped> [eE]'[^'\\]*(?: (?: \\. | '' )[^'\\]* )*' )
      | (?P<text>    '[^']*(?: ''[^']* )*' )
      | (?P<name>    "[^"]*(?: ""[^"]* )*" )
      | (?P<dollar>  \$(?: [{letters}][{letters}0-9]* )?\$ )
      | (?P<word>    [{letters}][{letters}0-9$]* )
      | (?P<number>  (?: [0-9][0-9_]*(?: \.(?!\.)[0-9_]* )? | \.[0-9][0-9_]* )(?: [eE][+-]?[0-9]+ )? )
      | (?P<open>    [eE]?' | " )
      | (?P<sign>    => | := | :: | . )
        """,
        re.VERBOSE | re.DOTALL,
    )


# DuckDB reads wide spaces as spaces where they stand outside quotes; in Postgres they are letters.
_ALL_LETTERS = r"A-Za-z_\x80-\U0010ffff"
_NARROW_LETTERS = (
    r"A-Za-z_\x80-\x9f\u00a1-\u167f\u1681-\u1fff\u200c-\u202e\u2030-\u205e\u2060-\u2fff\u3001-\ufefe\uff00-\U0010ffff"
)
_PATTERNS = {"duckdb": _pattern(_WIDE, _NARROW_LETTERS), "postgres": _pattern("", _ALL_LETTERS)}
_COMMENT = re.compile(r"/\*|\*/")


def tokens(text: str, dialect: str = "duckdb") -> Iterator[Token]:
    """The tokens of a script, in order. Raises `SpecError` where a text, a quoted name or a comment has no end."""
    pattern, here, most = _PATTERNS[dialect], 0, len(text)
    while here < most:
        found = pattern.match(text, here)
        if found is None:  # nothing: the last alternative is any character
            raise AssertionError
        kind, end = str(found.lastgroup), found.end()
        if kind == "block":
            end = _past_comment(text, here)
        elif kind == "dollar":
            end = _past_dollars(text, here, found.group())
            yield Token("text", text[here + len(found.group()) : end - len(found.group())], here, end)
        elif kind == "open":
            what = "this quoted name" if found.group() == '"' else "this text"
            _endless(text, here, f"{what} has no closing {found.group()[-1]}")
        elif kind not in ("space", "line"):
            yield _token(kind, found.group(), here, end)
        here = end


def _token(kind: str, raw: str, start: int, end: int) -> Token:
    if kind == "text":
        return Token("text", raw[1:-1].replace("''", "'"), start, end)
    if kind == "name":
        return Token("name", raw[1:-1].replace('""', '"'), start, end)
    if kind == "escaped":
        return Token("escaped", raw[2:-1], start, end)
    if kind == "word":
        return Token("word", raw, start, end)
    return Token("number" if kind == "number" else "sign", raw, start, end)


def _past_comment(text: str, start: int) -> int:
    """Where the comment that begins here ends; comments nest."""
    depth, here = 1, start + 2
    while depth:
        found = _COMMENT.search(text, here)
        if found is None:
            _endless(text, start, "this comment has no closing */")
        depth += 1 if found.group() == "/*" else -1
        here = found.end()
    return here


def _past_dollars(text: str, start: int, tag: str) -> int:
    found = text.find(tag, start + len(tag))
    if found < 0:
        _endless(text, start, f"this text has no closing {tag}")
    return found + len(tag)


def _endless(text: str, start: int, problem: str) -> NoReturn:
    raise SpecError(problem, where=str(Places(text).at(start)))
