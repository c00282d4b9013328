"""Models against attribute disclosure that compare a class with the whole table before suppression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.models.model import TOLERANCE, Model, exact, require


@dataclass(frozen=True)
class TCloseness(Model):
    """The sensitive values of every class are at most t away from those of the whole table.

    Measure: earth mover's distance, 0..1: `equal` (½ Σ|q − p|), `ordered` (neighbours in order are 1/(m−1) apart),
    `hierarchical` (height of the lowest common ancestor / H). Source: Li et al. 2007. The table is the one before
    suppression. Leaves: identity, without k. Raises `ValueError` for t outside [0, 1].
    """

    column: str
    t: float
    distance: Literal["equal", "ordered", "hierarchical"] = "equal"

    name: ClassVar[str] = "t-closeness"
    reads = frozenset({"table"})
    free = frozenset({"t"})

    def __post_init__(self) -> None:
        require(0 <= self.t <= 1, "t is a distance from 0 to 1")
        require(self.distance in ("equal", "ordered", "hierarchical"), "distance is equal, ordered or hierarchical")

    @property
    def requires(self) -> str | None:  # type: ignore[override]
        return {"equal": None, "ordered": "order", "hierarchical": "hierarchy"}[self.distance]

    def measures(self) -> Mapping[str, Measure]:
        return {"distance": measures.distance(self.column, self.distance)}

    def value(self) -> str:
        return "$distance"

    def holds(self) -> str:
        return f"$distance <= {self.t!r} + 1e-12"

    @property
    def bound(self) -> float:
        return self.t


@dataclass(frozen=True)
class BetaLikeness(Model):
    """No sensitive value gains more than beta in relative share: (q − p) / p ≤ beta; enhanced: ≤ min(beta, −ln p).

    Measure: the largest gain over the values present in the class. Source: Cao & Karras 2012, definitions 2 and 3.
    The table is the one before suppression. Where a value exceeds −ln p, no beta holds and the reported value is
    missing. Leaves: negative gain (absent values). Raises `ValueError` for beta not above 0.
    """

    column: str
    beta: float
    kind: Literal["basic", "enhanced"] = "basic"

    name: ClassVar[str] = "beta-likeness"
    reads = frozenset({"table"})
    free = frozenset({"beta"})

    def __post_init__(self) -> None:
        require(self.beta > 0, "beta is a number above 0")
        require(self.kind in ("basic", "enhanced"), "kind is basic or enhanced")

    def measures(self) -> Mapping[str, Measure]:
        found = {
            "gain": measures.gain(self.column),
            "above": measures.gains_above(self.column, exact(self.beta) + TOLERANCE),
        }
        return found if self.kind == "basic" else {**found, "beyond": measures.gain_beyond_log(self.column)}

    def value(self) -> str:
        return "$gain" if self.kind == "basic" else "case when $beyond = 0 then $gain end"

    def holds(self) -> str:
        return "$above = 0" if self.kind == "basic" else "$above = 0 and $beyond = 0"

    @property
    def bound(self) -> float:
        return self.beta


@dataclass(frozen=True)
class DeltaDisclosure(Model):
    """No sensitive value's share in a class differs from its share in the table by a factor of 2^delta or more.

    Measure: max |log₂(q / p)| over all values of the table, bits; infinite, and so never within a bound, where a value
    of the table does not occur in a class (tools that skip absent values measure something that is not monotone).
    Source: Brickell & Shmatikov 2008, definition 3, strict. The table is the one before suppression. Leaves: identity.
    Raises `ValueError` for delta not above 0.
    """

    column: str
    delta: float

    name: ClassVar[str] = "delta-disclosure"
    reads = frozenset({"table"})
    free = frozenset({"delta"})

    def __post_init__(self) -> None:
        require(self.delta > 0, "delta is a number above 0")

    def measures(self) -> Mapping[str, Measure]:
        return {"ratio": measures.log_ratio(self.column)}

    def value(self) -> str:
        return "$ratio"

    def holds(self) -> str:
        return f"$ratio < {self.delta!r} - 1e-12"

    @property
    def bound(self) -> float:
        return self.delta
