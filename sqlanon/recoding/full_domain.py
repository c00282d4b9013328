"""The optimal full-domain transformation: one level per quasi-identifier, the same for every record.

Best-first branch and bound over boxes of the lattice; the lattice itself is never enumerated. A box is a pair of nodes
(lowest, highest levels) and stands for all between. The box with the least bound is taken; then either

- its lowest node is *refuted*: it lies below a node that must suppress more than the limit, as must every more specific
  one (what is certain follows from the models' monotonicity), or below a feasible one whose certain suppression alone
  makes everything below it too costly (no record is cheaper to suppress in a more specific node). The box is then split
  into disjoint boxes that leave out all that the witness refutes; or
- a node on a chain from the lowest node upwards is counted in the engine, nearest the unknown border between
  infeasible and feasible (Flash, Kohlmayer et al. 2012; OLA, El Emam et al. 2009).

When the least bound is not below the best value found, that value is the optimum. Ties are broken towards the lower sum
of levels, then towards the lower levels in the spec's column order.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sqlanon.recoding.objectives import Counts, Domain, Floats, Node, Objective, OfClasses, Separable

# Values within this share of each other count as equal, so that rounding never decides between two nodes.
_SAME = 1e-12

# How sure (in log records) the forecast must be that a node is infeasible before it is counted in place of a lower one.
_MARGIN = 0.0

Check = Callable[[Node], Counts]
Progress = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Found:
    """The best transformation that was found, what it costs, and how sure that is.

    `gap` is how far below `value` an unseen transformation could still lie, as a share of `value`; 0 when proven.
    `nodes` is the size of the lattice, `checked` how many nodes the engine counted; `seen` are those, `lowest` and
    `highest` the ends of the lattice.
    """

    node: Node
    value: float
    counts: Counts
    nodes: int
    checked: int
    gap: float
    seen: Mapping[Node, Seen] = field(default_factory=dict)
    lowest: Node = ()
    highest: Node = ()


@dataclass(frozen=True)
class Seen:
    """What counting a node came to: whether it may be published, records it suppresses, its cost where it may.

    `refutes`: whether every more specific node must suppress too much as well; `carries`: whether every more general
    one may be published too.
    """

    holds: bool
    suppressed: int
    value: float | None
    refutes: bool
    carries: bool


@dataclass
class Search:
    """One search. `check` counts a node in the engine; a feasible node's counts tell its suppressed labels.

    `monotone`: whether every node above a feasible one is feasible, at this suppression limit.
    """

    domains: Sequence[Domain]
    objective: Objective
    limit: int
    monotone: bool
    check: Check
    time_limit: float = 60.0
    progress: Progress | None = None
    counted: dict[Node, Counts] = field(default_factory=dict)
    values: dict[Node, float] = field(default_factory=dict)
    best: tuple[float, int, Node] | None = None
    expired: bool = False

    def __post_init__(self) -> None:
        width = len(self.domains)
        self._infeasible: NDArray[np.int64] = np.empty((0, width), dtype=np.int64)
        self._feasible: NDArray[np.int64] = np.empty((0, width), dtype=np.int64)
        self._penalties: Floats = np.empty((0, width))
        self._counted: NDArray[np.int64] = np.empty((0, width), dtype=np.int64)
        self._above: Floats = np.empty(0)
        self._forecast = _Forecast(self.domains, self.limit)
        self._deadline = float("inf")

    def run(self) -> Found | None:
        """The optimum, or the best node at the time limit; None where no node is feasible."""
        lowest = tuple(d.lowest for d in self.domains)
        highest = tuple(d.highest for d in self.domains)
        self._deadline = time.monotonic() + self.time_limit
        self._descend(lowest, highest)
        heap: list[tuple[float, int, Node, Node]] = [(self._bound(lowest), sum(lowest), lowest, highest)]
        while heap:
            bound, _, low, high = heapq.heappop(heap)
            if self.progress:
                self.progress(len(self.counted), bound, self.best[0] if self.best else float("inf"))
            if self._beaten(bound, low):
                if self._beaten(bound, None):
                    break
                continue
            if self._late():
                self.expired = True
                return self._result(bound)
            tightened = self._bound(low)
            if tightened > bound * (1 + _SAME):
                heapq.heappush(heap, (tightened, sum(low), low, high))
                continue
            witness = self._witness(low)
            if witness is None:
                self._count(self._next(low, high))
                heapq.heappush(heap, (self._bound(low), sum(low), low, high))
                continue
            for lower, upper in _without(low, high, witness):
                heapq.heappush(heap, (self._bound(lower), sum(lower), lower, upper))
        return self._result(None)

    def _late(self) -> bool:
        return time.monotonic() > self._deadline

    def _result(self, bound: float | None) -> Found | None:
        if self.best is None:
            return None
        value, _, node = self.best
        nodes = 1
        for domain in self.domains:
            nodes *= domain.highest - domain.lowest + 1
        gap = 0.0 if bound is None or value <= 0 else max(0.0, (value - bound) / value)
        ends = (tuple(d.lowest for d in self.domains), tuple(d.highest for d in self.domains))
        seen = {one: self._seen(one, counts) for one, counts in self.counted.items()}
        return Found(node, value, self.counted[node], nodes, len(self.counted), gap, seen, *ends)

    def _seen(self, node: Node, counts: Counts) -> Seen:
        holds, refutes = self._holds(counts), self._certain(counts) > self.limit
        return Seen(holds, counts.suppressed, self.values.get(node), refutes, holds and self.monotone)

    def _beaten(self, bound: float, node: Node | None) -> bool:
        """Whether nothing at or above `bound` (and, on a tie, at or above `node`) can be better than the best."""
        if self.best is None:
            return False
        value, height, best = self.best
        if bound > value * (1 + _SAME):
            return True
        return node is not None and bound >= value * (1 - _SAME) and (sum(node), node) >= (height, best)

    def _bound(self, node: Node) -> float:
        """The least that a node or anything above it can cost."""
        least = self.objective.bound(node)
        if isinstance(self.objective, OfClasses):
            below = self._above[(self._counted <= np.array(node)).all(axis=1)]
            least = max(least, float(below.max())) if below.size else least
        return least

    def _descend(self, lowest: Node, highest: Node) -> None:
        """A first value to beat: from the top, lower whichever column saves most, while the node stays feasible.

        The most general node is counted even at the time limit: it is feasible where any is, for monotone models.
        """
        node, blocked = highest, set[int]()
        if not self._count(node):
            return
        while len(blocked) < len(node) and not self._late():
            steps = [
                (self.objective.bound(lower), i, lower)
                for i in range(len(node))
                if i not in blocked and node[i] > lowest[i]
                for lower in [(*node[:i], node[i] - 1, *node[i + 1 :])]
            ]
            if not steps:
                return
            _, column, lower = min(steps)
            if self._count(lower):
                node = lower
            else:
                blocked.add(column)

    def _count(self, node: Node) -> bool:
        """Counts a node (once) and keeps what follows from it; whether it is feasible."""
        if node in self.counted:
            return self._holds(self.counted[node])
        counts = self.counted[node] = self.check(node)
        self._forecast.learn(node, self._certain(counts))
        row = np.array([node], dtype=np.int64)
        if isinstance(self.objective, OfClasses):
            self._counted = np.vstack([self._counted, row])
            self._above = np.append(self._above, self.objective.above(counts))
        if self._certain(counts) > self.limit:
            self._infeasible = np.vstack([self._infeasible, row])
        if not self._holds(counts):
            return False
        self._feasible = np.vstack([self._feasible, row])
        value = self.values[node] = self._value(node, counts)
        mine = (value, sum(node), node)
        if self.best is None or value < self.best[0] * (1 - _SAME) or (
            value <= self.best[0] * (1 + _SAME) and mine[1:] < self.best[1:]
        ):  # fmt: skip
            self.best = mine
        return True

    def _value(self, node: Node, counts: Counts) -> float:
        if isinstance(self.objective, OfClasses):
            return self.objective.value(counts)
        own, certain = (
            np.zeros(len(node)) if labels is None or not counts.suppressed else self.objective.penalties(node, labels)
            for labels in (counts.labels, counts.certain_labels)
        )
        self._penalties = np.vstack([self._penalties, certain])
        return self.objective.with_penalties(node, own)

    def _certain(self, counts: Counts) -> int:
        """What a node and all below it must suppress; a node without that knowledge speaks for monotone models."""
        if counts.certain is not None:
            return counts.certain
        return counts.suppressed if self.monotone else 0

    def _holds(self, counts: Counts) -> bool:
        return counts.suppressed <= self.limit and counts.table_models_hold and counts.kept_classes > 0

    def _witness(self, low: Node) -> Node | None:
        """A counted node that refutes `low` and everything between the two; `low` itself where it was counted."""
        above = np.flatnonzero((self._infeasible >= np.array(low)).all(axis=1))
        if above.size:
            return _widest(self._infeasible[above])
        costly = self._costly(low)
        if costly.size:
            return _widest(self._feasible[costly])
        return low if low in self.counted else None

    def _costly(self, low: Node) -> NDArray[np.int64]:
        """The feasible nodes above `low` whose suppressed records alone make `low` no better than the best."""
        if self.best is None or not isinstance(self.objective, Separable):
            return np.empty(0, dtype=np.int64)
        above = np.flatnonzero((self._feasible >= np.array(low)).all(axis=1))
        costs = [self.objective.with_penalties(low, self._penalties[i]) for i in above]
        return np.array([i for i, cost in zip(above, costs, strict=True) if self._beaten(cost, low)], dtype=np.int64)

    def _next(self, low: Node, high: Node) -> Node:
        """The node to count for an undecided box: as general as it is still expected to be infeasible.

        What it refutes if it is, is the box between `low` and itself, so each step upwards takes the column that adds
        most to that box for the least expected loss of suppression. No column is raised further than could still win.
        """
        if self._known_feasible(low):
            return low
        ceiling = [self._ceiling(low, high[i], i) for i in range(len(low))]
        node, expected = low, self._forecast.of(low)
        threshold = math.log1p(self.limit) + _MARGIN
        while True:
            steps = []
            for i in range(len(node)):
                upper = (*node[:i], node[i] + 1, *node[i + 1 :])
                if (
                    node[i] < ceiling[i]
                    and (value := self._forecast.of(upper)) > threshold
                    and not self._known_feasible(upper)
                ):
                    width = node[i] - low[i] + 1
                    steps.append((math.log1p(1 / width) / max(expected - value, 1e-3), -i, value, upper))
            if not steps:
                # A node that was counted before and refuted nothing would teach nothing again.
                return low if node in self.counted else node
            *_, expected, node = max(steps)

    def _ceiling(self, low: Node, highest: int, i: int) -> int:
        level = low[i]
        while level < highest:
            upper = (*low[:i], level + 1, *low[i + 1 :])
            if self._beaten(self.objective.bound(upper), upper):
                break
            level += 1
        return level

    def _known_feasible(self, node: Node) -> bool:
        counts = self.counted.get(node)
        if counts is not None or not self.monotone:
            return counts is not None and self._holds(counts)
        return bool((self._feasible <= np.array(node)).all(axis=1).any())


class _Forecast:
    """How many records a node will suppress: log(1 + suppressed) as a linear function of what its columns tell.

    A column at a level tells its entropy; the weights are a ridge regression over the nodes counted so far. It only
    orders the work: whatever it says, nothing is refuted but by a count.
    """

    def __init__(self, domains: Sequence[Domain], limit: int) -> None:
        self._limit = math.log1p(limit)
        self._entropy = [[_entropy(marginal.records) for marginal in d.marginals] for d in domains]
        width = len(domains) + 1
        self._prior = np.full(width, 0.7)
        self._prior[0] = 0.0
        self._gram = np.diag([1e-6, *[2.0] * (width - 1)])
        self._moment = self._gram @ self._prior
        self._weights = self._prior

    def of(self, node: Node) -> float:
        return float(self._told(node) @ self._weights)

    def learn(self, node: Node, suppressed: int) -> None:
        told, seen = self._told(node), math.log1p(suppressed)
        # The border is what matters: nodes far from the limit weigh little.
        weight = math.exp(-(((seen - self._limit) / 2.5) ** 2)) + 0.02
        self._gram += weight * np.outer(told, told)
        self._moment += weight * told * seen
        self._weights = np.linalg.solve(self._gram, self._moment)

    def _told(self, node: Node) -> Floats:
        return np.array([1.0, *(self._entropy[i][level] for i, level in enumerate(node))])


def _entropy(records: Floats) -> float:
    shares = records[records > 0] / records.sum()
    return float(-np.sum(shares * np.log(shares)))


def _widest(nodes: NDArray[np.int64]) -> Node:
    """The node that refutes most: the highest sum of levels, then the order of levels."""
    best = max(tuple(int(level) for level in row) for row in nodes[nodes.sum(axis=1) == nodes.sum(axis=1).max()])
    return best


def _without(low: Node, high: Node, witness: Node) -> list[tuple[Node, Node]]:
    """Disjoint boxes that hold every node between `low` and `high` except those at or below `witness`."""
    boxes, ceiling = [], list(high)
    for i, level in enumerate(witness):
        if level < high[i]:
            lower = (*low[:i], max(low[i], level + 1), *low[i + 1 :])
            boxes.append((lower, tuple(ceiling)))
        ceiling[i] = min(high[i], level)
    return boxes
