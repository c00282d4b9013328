"""Differential privacy as a release mechanism: a promise about how the release is made, not about its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from sqlanon import measures
from sqlanon.measures import Measure
from sqlanon.models.model import Model, require


@dataclass(frozen=True)
class SafePub(Model):
    """The release is (ε,δ)-differentially private: sampled, generalised without looking, small classes suppressed.

    Each record is drawn with probability β = 1 − e^−ε; the levels are fixed in the spec; classes of fewer than k drawn
    records are suppressed, k being the least for which δ(k) ≤ delta. Measure: class size against k. Source: Bild, Kuhn
    & Prasser 2018 (SafePub). All published columns must be quasi-identifiers, since whatever is published is what is
    protected. The draw uses the engine's own random numbers. Leaves: groups of records about one person (so no entity
    may be named), repeated releases (each spends ε anew), what the publisher tells about the run. Raises `ValueError`
    for epsilon outside (0, 10], delta outside (0, 1).
    """

    epsilon: float
    delta: float

    name: ClassVar[str] = "safepub"
    monotone_with_suppression = True
    worst: ClassVar[Literal["min", "max"]] = "min"
    free = frozenset({"epsilon", "delta"})
    in_views: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(0 < self.epsilon <= 10, "epsilon is a number above 0 and at most 10")
        require(0 < self.delta < 1, "delta is a probability above 0 and below 1")

    @cached_property
    def k(self) -> int:
        """The least class size."""
        from sqlanon.uniqueness import safepub_k

        return safepub_k(self.epsilon, self.delta)

    @property
    def sampling(self) -> float:
        """The probability with which each record is drawn, β."""
        from sqlanon.uniqueness import safepub_beta

        return safepub_beta(self.epsilon)

    def measures(self) -> Mapping[str, Measure]:
        return {"size": measures.class_size()}

    def value(self) -> str:
        return "$size"

    def holds(self) -> str:
        return f"$size >= {self.k}"

    def implied(self) -> Mapping[str, float]:
        return {"sampling": self.sampling, "k": self.k}

    @property
    def bound(self) -> float:
        return self.k
