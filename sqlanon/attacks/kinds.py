"""What all attacks share: an attack is data, with its parameters, its measure, its paper, and what counters it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal

from sqlanon.models import Model


@dataclass(frozen=True)
class Start:
    """Where a breach starts: at least one class (or record) is breached exactly where `parameter relation value`."""

    parameter: str
    relation: Literal["<", "<=", ">", ">="]
    value: float


@dataclass(frozen=True)
class Facts:
    """What a counter may depend on. `largest_share`: of a category in the whole table; `height`: of the hierarchy."""

    largest_share: Fraction | None = None
    height: int | None = None


NO_FACTS = Facts()


@dataclass(frozen=True)
class Reached:
    """What an attack came to: the worst value, and how many records and classes of how many it breached.

    `records_in` and `classes_in` are None where they are those of the relation. `least`: a second worst value.
    """

    worst: float | None
    classes: int
    records: int
    records_in: int | None = None
    classes_in: int | None = None
    least: float | None = None
    facts: Facts = NO_FACTS
    details: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def require(condition: bool, sentence: str) -> None:
    """Raises `ValueError` with the sentence unless the condition is met; the sentence begins with the parameter."""
    if not condition:
        raise ValueError(sentence)


def below(bound: Fraction) -> Decimal:
    """A number of six digits that is below a bound above 0, and near it."""
    value = Decimal(bound.numerator) / Decimal(bound.denominator)
    digits = Decimal(1).scaleb(value.adjusted() - 5)
    rounded = value.quantize(digits, ROUND_FLOOR)
    return (rounded if Fraction(rounded) < bound else rounded - digits).normalize()


def at_least(part: str, share: Fraction, whole: str) -> str:
    """`part / whole ≥ share` in whole numbers, as house SQL; wide enough for any share that can be written."""
    return (
        f"cast({part} as decimal(38, 0)) * {share.denominator} >= cast({whole} as decimal(38, 0)) * {share.numerator}"
    )


_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def word(name: str) -> str:
    """A name as a parameter is written: as it is, or in quotes."""
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in _WORDS:
        return name
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in name) + '"'


class Attack(Model):
    """What all attacks share. Subclasses are frozen dataclasses; their fields are the attack's parameters.

    `needs`: sensitive, hierarchy, external, population or others. `paper`: where the attack is described.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    paper: ClassVar[str]

    def countered_by(self, facts: Facts = NO_FACTS) -> str | None:
        """A model with a bound that stops the attack at these parameters; None where no bound of one does."""
        raise NotImplementedError

    def starts(self, reached: Reached) -> tuple[Start, ...]:
        """Where the breach starts, from the worst value that was reached; nothing where nothing can breach."""
        start = None if reached.worst is None else self.start(reached.worst)
        return (start,) if start else ()

    def start(self, worst: float) -> Start | None:
        """The same for an attack of one worst value."""
        return None

    @property
    def bound(self) -> float:
        raise NotImplementedError


class ClassAttack(Attack):
    """An attack that each class resists or not by itself."""

    def breached(self) -> str:
        """The condition under which a class is breached, in house SQL over its measures."""
        raise NotImplementedError

    def holds(self) -> str:
        # Unknown is not unbreached: only what is known to be false stands.
        return f"({self.breached()}) is false"


class SensitiveAttack(ClassAttack):
    """An attack on one sensitive column; without `column`, on every one of the relation."""

    needs: ClassVar[tuple[str, ...]] = ("sensitive",)
    column: str | None

    @property
    def of(self) -> str:
        """The sensitive column, once it is known."""
        if self.column is None:
            raise ValueError("the attack needs a sensitive column")
        return self.column

    @property
    def about(self) -> str:
        """The parameter `column` of a counter, as `parse_model` reads it."""
        return f"column={word(self.of)}"


class Undecidable(Attack):
    """An attack on how a release was made, which its table alone cannot tell. `sentence`: what to do about it."""

    sentence: ClassVar[str]

    def countered_by(self, facts: Facts = NO_FACTS) -> None:
        return None
