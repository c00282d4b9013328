"""Rules that stop a release or a data flow by themselves.

    IF violations(weight) > 20 OR abs(delta(mean, weight)) > 0.5 THEN block

    rule        IF condition THEN block
    condition   and-ed conditions joined by OR; AND before OR; NOT; parentheses
    comparison  number (> | >= | < | <= | = | !=) number
    number      digits | function(…) | - number | number (+ | - | * | /) number | (number)

Words are read without case; a field with unusual characters stands in double quotes. `FUNCTIONS` lists what can be
asked. A rule is parsed and checked against the fields there are before anything is measured. A number that is not there
(nothing at hand to score, no value left, a division by nothing) is unknown, and a condition that it could decide is
unknown too; an unknown condition blocks, because nobody may call it safe. Source: the rules of Neumann, Grace, Burns &
Surridge 2019 (reference: models, 3.5), whose `utilityThreshold < acceptableLimit` is `delta` and `relative` here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

from sqlanon.errors import SpecError

Number = float | int | None
Kind = Literal["number", "condition"]

# What can be asked: the kinds of the arguments; those in brackets may be left out.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "violations": ("predicted", "[actor]"),  # the most that any observer comes to
    "share": ("predicted", "[actor]"),  # the same as a share of the records with a value
    "risk": ("predicted", "[actor]"),  # the surest prediction of one record
    "removed": ("predicted",),  # the values that removal blanks
    "before": ("statistic", "field"),
    "after": ("statistic", "field"),
    "delta": ("statistic", "field"),  # after less before
    "relative": ("statistic", "field"),  # the same by what was before
    "policy_violations": (),  # transitions that occur though nobody agreed to them
    "abs": ("number",),
}


STATISTICS = (
    "n", "min", "max", "sum", "sumsq", "mean", "geometric_mean", "quadratic_mean", "variance", "population_variance",
    "std", "skewness", "kurtosis",
)  # fmt: skip
PERCENTILES = tuple(map(Fraction, (5, 25, 50, 75, 95)))


def percentile_name(percent: Fraction) -> str:
    """`median`, `p25`, `p97.5`."""
    return "median" if percent == 50 else f"p{float(percent):g}"


# What `describe` tells of a field without being asked for other percentiles.
NAMES = (*STATISTICS, *map(percentile_name, PERCENTILES))


@dataclass(frozen=True)
class Known:
    """What a rule may name: fields that are predicted, all fields, actors, statistics."""

    predicted: tuple[str, ...]
    fields: tuple[str, ...]
    actors: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    functions: tuple[str, ...] = tuple(FUNCTIONS)

    def words(self, kind: str) -> tuple[str, ...]:
        """The words that may stand for an argument."""
        return {"predicted": self.predicted, "field": self.fields, "actor": self.actors, "statistic": self.statistics}[
            kind.strip("[]")
        ]


class Facts(Protocol):
    """Who answers what a rule asks; None where there is no number."""

    def ask(self, function: str, words: Sequence[str]) -> Number:
        """The number that a function of these words comes to."""


# -- the rule as a tree ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Node:
    """A part of a rule: a literal number, a function of words or numbers, or an operator over parts."""

    word: str
    at: int
    parts: tuple[Node, ...] = ()
    words: tuple[str, ...] = ()
    number: float | int | None = None

    @property
    def kind(self) -> Kind:
        conditions = ("and", "or", "not", *_COMPARISONS)
        return "condition" if self.word in conditions else "number"

    def all(self) -> Iterator[Node]:
        """This part and all below it."""
        yield self
        for part in self.parts:
            yield from part.all()

    def of(self, kind: str) -> list[str]:
        """Its own words of a kind."""
        kinds = FUNCTIONS.get(self.word, ())
        return [word for word, own in zip(self.words, kinds, strict=False) if own.strip("[]") == kind]

    def __str__(self) -> str:
        return f"{self.word}({', '.join(self.words)})"


@dataclass(frozen=True)
class Rule:
    """A rule that was parsed and checked."""

    text: str
    condition: Node

    def asked(self, kind: str) -> list[str]:
        """The words of a kind that the rule asks about."""
        return [word for node in self.condition.all() for word in node.of(kind)]

    def judge(self, facts: Facts) -> Judged:
        """What the rule comes to; what is unknown blocks."""
        asked: dict[str, Number] = {}
        found = _truth(self.condition, facts, asked)
        return Judged(self.text, found is not False, found is None, asked)


@dataclass(frozen=True)
class Judged:
    """Whether a rule blocks, whether only because something is unknown, and the numbers that it asked for."""

    rule: str
    blocks: bool
    unknown: bool
    numbers: dict[str, Number]

    def to_dict(self) -> dict[str, Any]:
        return {"rule": self.rule, "blocks": self.blocks, "unknown": self.unknown, "numbers": self.numbers}

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} = {'unknown' if n is None else f'{n:g}'}" for name, n in self.numbers.items())
        return f"{self.rule}: {numbers}" if numbers else self.rule


# -- parsing -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\W\d][\w.\-]*)|(?P<sign>>=|<=|!=|<>|==|[-+*/()<>=,]))'
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
_SUMS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_SAME = {"==": "=", "<>": "!="}
_DEEPEST, _LONGEST = 50, 2000


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str, known: Known, where: str | None = None) -> Rule:
    """A rule from its text. Raises `SpecError`, which names the place and the word."""
    return _Parser(text, known, where).rule()


def problems(rules: object, known: Known) -> Iterator[tuple[tuple[str | int, ...], str, str | None, Iterable[str]]]:
    """What is wrong in the `rules` of a file: where, what, the word found, the words allowed."""
    for i, text in enumerate(rules if isinstance(rules, tuple) else ()):
        try:
            if isinstance(text, str):
                parse(text, known)
        except SpecError as error:
            yield ("rules", i), f"{error.where}: {error.problem}", error.found, error.allowed


class _Parser:
    def __init__(self, text: str, known: Known, where: str | None) -> None:
        self.text, self.known, self.where = text, known, where
        if len(text) > _LONGEST:
            raise self._wrong(f"a rule has at most {_LONGEST} characters", _LONGEST)
        self.tokens, self.next, self.depth = list(self._tokens()), 0, 0

    def _tokens(self) -> Iterable[_Token]:
        at = 0
        while self.text[at:].strip():
            found = _TOKEN.match(self.text, at)
            if found is None:
                start = at + len(self.text[at:]) - len(self.text[at:].lstrip())
                raise self._wrong("this has no place in a rule", start + 1, self.text[start])
            kind = found.lastgroup or ""
            yield _Token(kind, _SAME.get(found[kind], found[kind]), found.start(kind) + 1)
            at = found.end()
        yield _Token("end", "the end", len(self.text) + 1)

    def _wrong(self, problem: str, at: int, found: str | None = None, allowed: Iterable[str] = ()) -> SpecError:
        place = f"rule, character {max(at, 1)}"
        return SpecError(problem, where=f"{self.where}: {place}" if self.where else place, found=found, allowed=allowed)

    @property
    def here(self) -> _Token:
        return self.tokens[self.next]

    def _is(self, *words: str) -> bool:
        return self.here.kind in ("word", "sign") and self.here.text.lower() in words

    def _take(self, *words: str) -> _Token:
        if words and not self._is(*words):
            raise self._wrong("another word is needed here", self.here.at, self.here.text, [w.upper() for w in words])
        self.next += 1
        return self.tokens[self.next - 1]

    def rule(self) -> Rule:
        self._take("if")
        condition = self._needs(self._or(), "condition")
        self._take("then")
        self._take("block")
        if self.here.kind != "end":
            raise self._wrong("a rule ends with block", self.here.at, self.here.text)
        return Rule(" ".join(self.text.split()), condition)

    def _needs(self, node: Node, kind: Kind) -> Node:
        if node.kind != kind:
            what = "a comparison such as violations(weight) > 20" if kind == "condition" else "a number"
            raise self._wrong(f"this needs {what}, and is a {node.kind}", node.at)
        return node

    def _chain(self, below: Callable[[], Node], words: Iterable[str], kind: Kind) -> Node:
        left = below()
        while self._is(*words):
            sign = self._take()
            right = self._needs(below(), kind)
            left = Node(sign.text.lower(), sign.at, (self._needs(left, kind), right))
        return left

    def _or(self) -> Node:
        return self._chain(self._and, ["or"], "condition")

    def _and(self) -> Node:
        return self._chain(self._not, ["and"], "condition")

    def _not(self) -> Node:
        if self._is("not"):
            sign = self._take()
            return Node("not", sign.at, (self._needs(self._nested(self._not), "condition"),))
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._sum()
        if not self._is(*_COMPARISONS):
            return left
        sign = self._take()
        return Node(sign.text, sign.at, (self._needs(left, "number"), self._needs(self._sum(), "number")))

    def _sum(self) -> Node:
        return self._chain(self._product, ["+", "-"], "number")

    def _product(self) -> Node:
        return self._chain(self._atom, ["*", "/"], "number")

    def _nested(self, below: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._wrong("this is nested too deeply", self.here.at)
        found = below()
        self.depth -= 1
        return found

    def _atom(self) -> Node:
        token = self.here
        if self._is("-"):
            self._take()
            return Node("negative", token.at, (self._needs(self._nested(self._atom), "number"),))
        if self._is("("):
            self._take()
            found = self._nested(self._or)
            self._take(")")
            return found
        if token.kind == "number":
            self._take()
            if not math.isfinite(float(token.text)):
                raise self._wrong("this number is too large", token.at)
            return Node("number", token.at, number=int(token.text) if token.text.isdigit() else float(token.text))
        if token.kind == "word" and token.text.lower() in self.known.functions:
            return self._call()
        raise self._wrong("a number or a function is needed here", token.at, token.text, self.known.functions)

    def _call(self) -> Node:
        name = self._take()
        function = name.text.lower()
        kinds = FUNCTIONS[function]
        self._take("(")
        if kinds == ("number",):
            inner = self._needs(self._nested(self._sum), "number")
            self._take(")")
            return Node(function, name.at, (inner,))
        words: list[str] = []
        while not self._is(")"):
            if words:
                self._take(",")
            if len(words) == len(kinds):
                raise self._wrong(f"{function} takes {', '.join(kinds) or 'nothing'}", self.here.at, self.here.text)
            words.append(self._word(kinds[len(words)]))
        if len(words) < sum("[" not in kind for kind in kinds):
            raise self._wrong(f"{function} takes {', '.join(kinds)}", self.here.at, self.here.text)
        self._take(")")
        return Node(function, name.at, words=tuple(words))

    def _word(self, kind: str) -> str:
        token = self._take()
        word = re.sub(r"\\(.)", r"\1", token.text) if token.kind == "quoted" else token.text
        allowed = self.known.words(kind)
        if kind == "statistic":
            word = word.lower()
        if token.kind not in ("word", "quoted") or word not in allowed:
            what = {"predicted": "sensitive field that is scored"}.get(kind, kind.strip("[]"))
            raise self._wrong(f"there is no such {what}", token.at, word, allowed)
        return word


# -- judging -----------------------------------------------------------------------------------------------------------


def _truth(node: Node, facts: Facts, asked: dict[str, Number]) -> bool | None:
    """True, false, or None where that is unknown. All parts are looked at, so that all numbers are told."""
    if node.word in _COMPARISONS:
        one, two = (_number(part, facts, asked) for part in node.parts)
        return None if one is None or two is None else _COMPARISONS[node.word](one, two)
    found = [_truth(part, facts, asked) for part in node.parts]
    if node.word == "not":
        return None if found[0] is None else not found[0]
    decides = node.word == "or"
    if decides in found:
        return decides
    return None if None in found else not decides


def _number(node: Node, facts: Facts, asked: dict[str, Number]) -> Number:
    if node.word == "number":
        return node.number
    if node.parts:
        parts = [_number(part, facts, asked) for part in node.parts]
        return _finite(_worked(node.word, [part for part in parts if part is not None])) if None not in parts else None
    if str(node) not in asked:
        asked[str(node)] = _finite(facts.ask(node.word, node.words))
    return asked[str(node)]


def _worked(word: str, parts: Sequence[float | int]) -> Number:
    if word in ("negative", "abs"):
        return -parts[0] if word == "negative" else abs(parts[0])
    return None if word == "/" and parts[1] == 0 else _SUMS[word](*parts)


def _finite(number: Number) -> Number:
    return number if number is not None and math.isfinite(number) else None
