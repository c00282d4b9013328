"""What a full-domain transformation costs, and what it must cost at least.

Two kinds. *Separable* objectives (`loss`, `precision`, `entropy`, `height`) add a cost per record and column, so the
columns' marginal counts alone give a bound that no suppression can undercut: a suppressed record never costs less than
its generalization. *Class* objectives (`discernibility`, `average-class-size`) depend on the classes, which only unite
under generalization, so every transformation that was counted bounds all above it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Node = tuple[int, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Marginal:
    """One column at one level: per label the number of records and the number of leaves that it covers."""

    records: Floats
    leaves: Floats


@dataclass(frozen=True)
class Domain:
    """A quasi-identifier: a marginal per level from 0 to the last, the number of leaves D, its range, its weight."""

    name: str
    marginals: tuple[Marginal, ...]
    leaves: int
    lowest: int
    highest: int
    weight: float = 1.0

    @property
    def height(self) -> int:
        return len(self.marginals) - 1


@dataclass(frozen=True)
class Counts:
    """What the engine counted for one transformation; kept classes satisfy every model.

    `certain` is a number of records that this transformation and every more specific one must suppress. `labels` and
    `certain_labels`: per column, the suppressed records with each label, and those of them that are certain; None
    where there are more than were asked for.
    """

    suppressed: int
    kept_classes: int
    classes: int
    kept_squares: int
    squares: int
    table_models_hold: bool = True
    labels: list[Floats] | None = None
    certain: int | None = None
    certain_labels: list[Floats] | None = None


class Separable:
    """Mean cost per record and column; `extra` is what suppression adds to a record with a label, never below 0."""

    def __init__(self, kind: str, domains: Sequence[Domain], records: int) -> None:
        self.kind, self.domains, self.records = kind, domains, records
        self.weights = np.array([domain.weight for domain in domains])
        costs = [[self._cost(domain, level) for level in range(domain.height + 1)] for domain in domains]
        self.extra: list[list[Floats]] = [[extra for _, extra in levels] for levels in costs]
        self.total = [
            [float(cost @ domain.marginals[level].records) for level, (cost, _) in enumerate(levels)]
            for domain, levels in zip(domains, costs, strict=True)
        ]

    def _cost(self, domain: Domain, level: int) -> tuple[Floats, Floats]:
        """Per label: what a record with it costs, and what its suppression would add."""
        marginal, height = domain.marginals[level], max(domain.height, 1)
        if self.kind == "loss":
            least = 1 / domain.leaves
            share = marginal.leaves / domain.leaves
            cost = (share - least) / (1 - least) if domain.leaves > 1 else np.zeros_like(share)
            return cost, 1 - cost
        if self.kind == "precision":
            cost = np.full_like(marginal.records, level / height)
            return cost, 1 - cost
        if self.kind == "height":
            cost = np.full_like(marginal.records, float(level))
            return cost, domain.height - cost
        return self._bits(domain, level)

    def _bits(self, domain: Domain, level: int) -> tuple[Floats, Floats]:
        """Non-uniform entropy in bits; summed over a column it is Σ n(g) log n(g) − Σ n(v) log n(v)."""
        records = domain.marginals[level].records
        leaf = domain.marginals[0].records
        own = float(np.sum(leaf * np.log2(np.maximum(leaf, 1)))) / max(self.records, 1)
        bits = np.log2(np.maximum(records, 1))
        return bits - own, math.log2(max(self.records, 1)) - bits

    def bound(self, node: Node) -> float:
        """What the transformation costs at least: its cost without suppression, from the marginals alone."""
        return self._combined([self.total[i][level] for i, level in enumerate(node)])

    def penalties(self, node: Node, suppressed: Sequence[Floats]) -> Floats:
        """Per column, what suppression adds, given the number of suppressed records per label."""
        return np.array([float(self.extra[i][level] @ suppressed[i]) for i, level in enumerate(node)])

    def with_penalties(self, node: Node, penalties: Floats) -> float:
        return self._combined([self.total[i][level] + penalties[i] for i, level in enumerate(node)])

    def _combined(self, totals: Sequence[float]) -> float:
        means = np.maximum(np.array(totals) / self.records, 0)
        if self.kind == "loss":
            return float(np.exp(np.sum(np.log1p(means) * self.weights) / self.weights.sum()) - 1)
        if self.kind == "precision":
            return float(np.sum(means * self.weights) / self.weights.sum())
        return float(np.sum(means * self.weights)) * (self.records if self.kind == "entropy" else 1)


class OfClasses:
    """Discernibility (Σ |E|² of kept classes, n a suppressed record) or average class size (n ÷ published classes).

    `least`: a number of records below which no class is kept.
    """

    def __init__(self, kind: str, domains: Sequence[Domain], records: int, least: int = 1) -> None:
        self.kind, self.domains, self.records, self.least = kind, domains, records, least

    def bound(self, node: Node) -> float:
        """No more classes than combinations of labels; fewest squares where all classes are of one size."""
        labels = (
            int(np.count_nonzero(d.marginals[level].records)) for d, level in zip(self.domains, node, strict=True)
        )
        most = min(math.prod(labels), self.records)
        return self.records**2 / most if self.kind == "discernibility" else self.records / most

    def above(self, counts: Counts) -> float:
        """What a transformation that was counted, and every more general one, costs at least.

        A class above is a union of classes here. One that is kept there holds a class that is kept here, or nothing but
        records suppressed here, at least `least` of them; and a suppressed one takes up at least one of either.
        """
        suppressed, least = counts.suppressed, self.least
        if self.kind == "discernibility":
            return float(counts.kept_squares + max(counts.squares - counts.kept_squares, suppressed * least))
        return self.records / min(counts.classes, counts.kept_classes + -(-suppressed // least))

    def value(self, counts: Counts) -> float:
        if self.kind == "discernibility":
            return float(counts.kept_squares + self.records * counts.suppressed)
        return self.records / (counts.kept_classes + (counts.suppressed > 0))


Objective = Separable | OfClasses
OBJECTIVES = ("loss", "average-class-size", "discernibility", "precision", "entropy", "height")


def objective(kind: str, domains: Sequence[Domain], records: int, least: int = 1) -> Objective:
    """The objective of that name (the spec's `recoding.loss`); no class of fewer than `least` records is ever kept."""
    of_classes = kind in ("discernibility", "average-class-size")
    return OfClasses(kind, domains, records, least) if of_classes else Separable(kind, domains, records)
