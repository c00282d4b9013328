"""Personal policies: how sure of a value somebody may become before the person that it is about would object.

A policy turns what a person said (a preference, how sensitive each field is) into one threshold per record and field.
The words and the matrix are those of Neumann, Grace, Burns & Surridge (Journal of Internet Services and Applications
10:1, 2019), after Westin's three kinds of people. Of the six thresholds the text prints three: pragmatist 0.9, with a
sensitive field 0.7, fundamentalist 0.7. The others (unconcerned 0.95 and 0.9, fundamentalist with a sensitive field
0.5) are this house's, set so that each row and column falls; a file may give all six, and the system's clamp has the
last word. Where a record says nothing, `missing` decides: by default the paper's default, pragmatist and normal.

*Leaves*: a threshold speaks of one guess at one field; what several fields tell together is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from sqlanon import query
from sqlanon.annotations import keep_limits
from sqlanon.engines import Column, Origin
from sqlanon.errors import SpecError
from sqlanon.query import Expression, Query, Text, column, fragment
from sqlanon.reading import Problem, Reader, compose

Word = Literal["unconcerned", "pragmatist", "fundamentalist"]
Level = Literal["low", "medium", "high"]

WORDS: tuple[Word, ...] = ("unconcerned", "pragmatist", "fundamentalist")
NUMBERS = ("integer", "decimal", "float")
# What a word says on the scale from 0 (anybody may know) to 1 (nobody may).
LEVELS: dict[Level, Decimal] = {"low": Decimal(0), "medium": Decimal("0.5"), "high": Decimal(1)}

_SHARE = {"minimum": 0, "maximum": 1}
_NAMED = {"minLength": 1}
_TIME = {"pattern": r"[0-9]+(\.[0-9]+)?(w|d|h|min|s)", "examples": ["30d, 12h or 5min"]}
_NUMBER = re.compile(r"[-+]?[0-9.][0-9.eE+-]*")


@dataclass(frozen=True)
class Preference:
    """What kind of person the records are about. As text alone: the same word for all."""

    word: Annotated[Word | None, "The same for every record."] = None
    column: Annotated[str | None, "The column that holds each record's word.", _NAMED] = None

    def __post_init__(self) -> None:
        keep_limits(self)
        if (self.word is None) == (self.column is None):
            raise ValueError("a preference is one of word and column")

    @staticmethod
    def short_key(text: str) -> str:
        """Which key a text alone stands for."""
        return "word"


@dataclass(frozen=True)
class Sensitivity:
    """How sensitive a field is, in a word or from 0 to 1. As a scalar alone: the same for all."""

    word: Annotated[Level | None, "low, medium or high: 0, 0.5 or 1."] = None
    number: Annotated[Decimal | None, "From 0 to 1.", _SHARE] = None
    column: Annotated[str | None, "The column that holds each record's word or number.", _NAMED] = None

    short_keys: ClassVar[tuple[str, ...]] = ("word", "number")

    def __post_init__(self) -> None:
        keep_limits(self)
        if [self.word, self.number, self.column].count(None) != 2:
            raise ValueError("a sensitivity is one of word, number and column")

    @staticmethod
    def short_key(text: str) -> str:
        """Which key a scalar alone stands for."""
        return "number" if _NUMBER.fullmatch(text) else "word"

    @property
    def constant(self) -> Decimal | None:
        """The number that holds for all records, if it does."""
        return LEVELS[self.word] if self.word else self.number


@dataclass(frozen=True)
class Pair:
    """The thresholds of one preference."""

    normal: Annotated[Decimal, "For a normal field.", _SHARE]
    sensitive: Annotated[Decimal, "For a sensitive field.", _SHARE]

    def __post_init__(self) -> None:
        keep_limits(self)


@dataclass(frozen=True)
class Matrix:
    """Preference × normal or sensitive field: how likely a value may become known before that is a violation."""

    unconcerned: Annotated[Pair, "Of those who do not mind."] = Pair(Decimal("0.95"), Decimal("0.9"))
    pragmatist: Annotated[Pair, "Of those who weigh."] = Pair(Decimal("0.9"), Decimal("0.7"))
    fundamentalist: Annotated[Pair, "Of those who mind."] = Pair(Decimal("0.7"), Decimal("0.5"))


@dataclass(frozen=True)
class Clamp:
    """What the system allows whatever a person says."""

    min: Annotated[Decimal, "No threshold is below this.", _SHARE] = Decimal(0)
    max: Annotated[Decimal, "No threshold is above this.", _SHARE] = Decimal(1)

    def __post_init__(self) -> None:
        keep_limits(self)
        if self.min > self.max:
            raise ValueError(f"min must be at most max, which is {self.max}")

    def __call__(self, threshold: Decimal) -> Fraction:
        return Fraction(min(max(threshold, self.min), self.max))


@dataclass(frozen=True)
class Missing:
    """What counts where a record says nothing."""

    preference: Annotated[Word, "The preference."] = "pragmatist"
    sensitivity: Annotated[Level, "The sensitivity."] = "low"


@dataclass(frozen=True)
class Table:
    """Where the policies are, if not beside the records: one row per person."""

    key: Annotated[str, "The column that says whom a row is about; the records have one of the same name.", _NAMED]
    table: Annotated[str | None, "A table or a view.", _NAMED] = None
    file: Annotated[str | None, "A file, relative to the folder of this one.", _NAMED] = None

    def __post_init__(self) -> None:
        keep_limits(self)
        if (self.table is None) == (self.file is None):
            raise ValueError("a policy table is one of table and file")

    def origin(self, base: Path) -> Origin:
        """Where its rows are read."""
        return Origin(relation=self.table, file=base / self.file if self.file else None)


@dataclass(frozen=True)
class Policy:
    """What people agreed to: which services and actors, and how sure of each field somebody may become."""

    preference: Annotated[Preference, "unconcerned, pragmatist or fundamentalist."] = Preference("pragmatist")
    sensitivity: Annotated[Mapping[str, Sensitivity], "How sensitive each field is; others are normal."] = field(
        default_factory=dict
    )
    sensitive_from: Annotated[Decimal, "From which sensitivity on a field is sensitive.", _SHARE] = Decimal("0.5")
    thresholds: Annotated[Matrix, "The shares at which a guess becomes a violation."] = field(default_factory=Matrix)
    clamp: Annotated[Clamp, "The limits that the system sets to them."] = field(default_factory=Clamp)
    missing: Annotated[Missing, "What counts where a record says nothing."] = field(default_factory=Missing)
    table: Annotated[Table | None, "Where the policies are, if not beside the records."] = None
    services: Annotated[tuple[str, ...] | None, "The services agreed to; else all."] = None
    actors: Annotated[tuple[str, ...] | None, "The actors agreed to; else all."] = None

    def __post_init__(self) -> None:
        keep_limits(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that hold what each record's person said."""
        named = [self.preference.column, *(s.column for s in self.sensitivity.values())]
        return tuple(dict.fromkeys(name for name in named if name))

    def problems(self, columns: Mapping[str, object]) -> Iterator[Problem]:
        """What the policy names and the table lacks: fields, and columns unless a table of policies has them."""
        for name, said in self.sensitivity.items():
            if name not in columns:
                yield ("sensitivity", name), "there is no such column to be sensitive", name, columns
            elif self.table is None and said.column and said.column not in columns:
                yield ("sensitivity", name, "column"), "there is no such column", said.column, columns
        if self.table is not None:
            if self.table.key not in columns:
                yield ("table", "key"), "there is no such column", self.table.key, columns
        elif self.preference.column and self.preference.column not in columns:
            yield ("preference", "column"), "there is no such column", self.preference.column, columns

    def threshold(self, word: Word, sensitivity: Decimal) -> Fraction:
        """The threshold of one preference and sensitivity, within the clamp."""
        pair: Pair = getattr(self.thresholds, word)
        return self.clamp(pair.sensitive if sensitivity >= self.sensitive_from else pair.normal)

    def constant(self, of: str) -> Fraction | None:
        """The threshold of a field where it is the same for every record, else None."""
        said = self.sensitivity.get(of, Sensitivity("low"))
        if self.preference.word is None or said.constant is None:
            return None
        return self.threshold(self.preference.word, said.constant)

    def seen_from_here(self, base: Path) -> Policy:
        """The same, its file no longer named as seen from the folder of the policy's own."""
        at = self.table
        return replace(self, table=replace(at, file=str(base / at.file))) if at and at.file else self

    def to_dict(self) -> dict[str, Any]:
        """The thresholds in force, for reports."""
        found = {
            f.name: {kind: float(self.clamp(getattr(getattr(self.thresholds, f.name), kind))) for kind in _KINDS}
            for f in fields(Matrix)
        }
        return {"thresholds": found, "services": self.services, "actors": self.actors}


_KINDS = ("normal", "sensitive")


@dataclass(frozen=True)
class Nearness:
    """How near a guess counts as known. As a scalar alone: a number, or a time such as 30d."""

    number: Annotated[Decimal | None, "In the unit of the field; 0 for categories.", {"minimum": 0}] = None
    time: Annotated[str | None, "For dates and times.", _TIME] = None

    short_keys: ClassVar[tuple[str, ...]] = ("number", "time")

    def __post_init__(self) -> None:
        keep_limits(self)
        if (self.number is None) == (self.time is None):
            raise ValueError("a margin is one of number and time")

    @staticmethod
    def short_key(text: str) -> str:
        """Which key a scalar alone stands for."""
        return "number" if _NUMBER.fullmatch(text) else "time"

    def __str__(self) -> str:
        return self.time or str(self.number)


@dataclass(frozen=True)
class Predicted:
    """When a value of a sensitive field counts as predicted."""

    margin: Annotated[Nearness | None, "How near a guess counts as known; needed for numbers and times."] = None
    threshold: Annotated[Decimal | None, "The same for all; else the policy's, else 0.9.", _SHARE] = None
    above: Annotated[bool, "Only shares above the threshold are violations."] = False

    def __post_init__(self) -> None:
        keep_limits(self)


def load(file: Path) -> Policy:
    """The `policy` of a YAML file: of a spec, of a flow model, or alone. Raises `SpecError` with places."""
    root = compose(file, ("policy",))
    node = next((value for key, value in root.value if key.value == "policy"), None)
    if node is None:
        raise SpecError("the file has no policy", where=str(file), allowed=("policy",))
    return Reader(str(file), node).finish(Policy)


# The step that holds the policies of a table of their own.
TABLE = "policy table"


def said(policy: Policy, item: str, columns: Mapping[str, Column]) -> Query:
    """The step `policy table`: what each person said. `item` is its FROM item, `columns` are its columns.

    Raises `SpecError` for a column that the policy table lacks.
    """
    key = policy.table.key if policy.table else ""
    for name in (key, *policy.columns):
        if name not in columns:
            raise SpecError("the policy table has no such column", where="policy", found=name, allowed=columns)
    listed = ", ".join(f"p.{query.identifier(name).sql('duckdb')}" for name in dict.fromkeys((key, *policy.columns)))
    return Query(()).then(TABLE, Text(f"SELECT {listed}\nFROM {item} AS p"), "what each person said")


def beside(policy: Policy, records: str) -> Expression:
    """The condition that joins records to the policy table; a missing key belongs to nobody and finds nobody's row."""
    key = policy.table.key if policy.table else ""
    return fragment("$a = $b", a=column(key, records), b=column(key, TABLE))


def threshold(policy: Policy, of: str, relation: str, families: Mapping[str, str]) -> Expression:
    """The threshold of a field per record, `decimal(20, 18)`, in SQL; missing where a record's words are unknown.

    `relation` is the step that has the columns of `families`, which hold what was said: the records or the policy
    table. Raises `SpecError` for a type that cannot hold it.
    """
    sensitive = _sensitive(policy, of, relation, families)
    word = _word(policy, relation, families)
    cases = [
        fragment(
            "case when $w then case when $s is true then cast($a as decimal(20, 18))"
            " when $s is false then cast($b as decimal(20, 18)) end end",
            w=fragment("$p = $word", p=word, word=name), s=sensitive,
            a=_literal(policy.clamp(getattr(policy.thresholds, name).sensitive)),
            b=_literal(policy.clamp(getattr(policy.thresholds, name).normal)),
        )
        for name in WORDS
    ]  # fmt: skip
    return fragment("coalesce($a, $b, $c)", a=cases[0], b=cases[1], c=cases[2])


def _literal(threshold: Fraction) -> Expression:
    return query.literal(Decimal(threshold.numerator) / Decimal(threshold.denominator))


def _word(policy: Policy, relation: str, families: Mapping[str, str]) -> Expression:
    name = policy.preference.column
    if name is None:
        return query.literal(policy.preference.word)
    if families[name] != "text":
        raise SpecError("a preference is a word", where="policy.preference", found=families[name], allowed=("text",))
    return fragment("coalesce(cast($p as varchar), $d)", p=column(name, relation), d=policy.missing.preference)


def _sensitive(policy: Policy, of: str, relation: str, families: Mapping[str, str]) -> Expression:
    """Whether the field is sensitive to a record's person; missing where the word or number says nothing known."""
    given = policy.sensitivity.get(of, Sensitivity("low"))
    if given.constant is not None:
        return query.literal(given.constant >= policy.sensitive_from)
    name = given.column or ""
    at, missing = column(name, relation), LEVELS[policy.missing.sensitivity] >= policy.sensitive_from
    if families[name] == "text":
        whens = " ".join(
            f"when '{level}' then {str(number >= policy.sensitive_from).lower()}" for level, number in LEVELS.items()
        )
        return fragment(f"case coalesce(cast($s as varchar), $d) {whens} end", s=at, d=policy.missing.sensitivity)
    if families[name] not in NUMBERS:
        raise SpecError(
            "a sensitivity is a word or a number from 0 to 1", where=f"policy.sensitivity.{of}", found=families[name],
            allowed=("text", *NUMBERS),
        )  # fmt: skip
    sql = "case when $s is null then $d when $s >= 0 and $s <= 1 then $s >= $f end"
    return fragment(sql, s=at, d=missing, f=policy.sensitive_from)
