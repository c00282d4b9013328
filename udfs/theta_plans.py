"""Plans that lift the classes of a partition to θ: exchanges between classes, and noise.

A plan is made from the histogram of a partition, records per class and sensitive value, and applied by the database
(recoding/exchanges.py); no record is ever seen here. Classes are numbered from 0 in the order of their
quasi-identifiers, so that a near number is a near class; values from 0 in the order of their key, which breaks all
ties.

*Source*: Khan et al., Electronics 9(5):716, 2020, Algorithm 1 (`plan_paper`); `plan_swap` is the two-way-checked local
repair in its place. *Leaves*: an exchange makes the published record untrue (or widens the classes, where whole records
are exchanged), and noise makes records of nobody; both depend on the sensitive values, so who knows the algorithm
learns a little from their traces (minimality). The paper's "implies ε-differential privacy" is not so: nothing here is
random noise. *Raises*: ValueError for a histogram that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import numpy.typing as npt

from sqlanon.udfs.theta import Theta, least_noise

Ints = npt.NDArray[np.int64]
Pairs = AbstractSet[tuple[int, int]]
Exchange = tuple[int, int, int, int]

_WORD = 64  # bits of a class's summary: one per value, the last one shared by the rest


def _rows(rows: Iterable[Sequence[int]], width: int) -> Ints:
    found = list(rows)
    return np.array(found, dtype=np.int64).reshape(len(found), width)


@dataclass(frozen=True)
class Histogram:
    """Records per class and value, sparse: `counts[i]` records of class `classes[i]` hold the value `values[i]`.

    `domain`: how many values there are, those that no class holds included. Raises ValueError where a number is out of
    range, a count is not positive, a pair occurs twice, or a class between the first and the last is empty.
    """

    classes: Ints
    values: Ints
    counts: Ints
    domain: int

    def __post_init__(self) -> None:
        for name in ("classes", "values", "counts"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int64))
        shapes = {self.classes.shape, self.values.shape, self.counts.shape}
        if len(shapes) > 1 or self.classes.ndim != 1:
            raise ValueError("classes, values and counts are of one length")
        if self.classes.size and (self.classes.min() < 0 or self.values.min() < 0 or self.values.max() >= self.domain):
            raise ValueError("classes and values are numbered from 0, and the values are fewer than the domain")
        if np.any(self.counts <= 0):
            raise ValueError("counts are positive")
        order = np.lexsort((self.values, self.classes))
        for name in ("classes", "values", "counts"):
            object.__setattr__(self, name, getattr(self, name)[order])
        if np.any((np.diff(self.classes) == 0) & (np.diff(self.values) == 0)):
            raise ValueError("a class and a value occur together once")
        if self.classes.size and (self.classes[0] != 0 or np.any(np.diff(self.classes) > 1)):
            raise ValueError("every class holds at least one record")

    @property
    def size(self) -> int:
        """How many classes."""
        return int(self.classes[-1]) + 1 if self.classes.size else 0

    @property
    def totals(self) -> Ints:
        """Records per value."""
        return np.bincount(self.values, self.counts, self.domain).astype(np.int64)

    @property
    def sizes(self) -> Ints:
        """Records per class."""
        return np.bincount(self.classes, self.counts, self.size).astype(np.int64)

    def per_class(self) -> list[dict[int, int]]:
        """The value counts of each class."""
        pairs = zip(self.values.tolist(), self.counts.tolist(), strict=True)
        _, entries = np.unique(self.classes, return_counts=True)
        return [dict(islice(pairs, int(many))) for many in entries]

    def below(self, theta: Theta) -> list[int]:
        """The classes that miss θ."""
        return [number for number, counts in enumerate(self.per_class()) if not theta.met(counts.values())]


@dataclass(frozen=True)
class Plan:
    """What is to be done to a partition, in whole numbers.

    `exchanges` [swaps, 4]: a record with (class, value) for one with (other class, other value), in the order in which
    they were found. `noise` [·, 3]: (class, value, records). `unmet`: the classes that still miss θ, about which
    neither exchanges nor noise can do anything.
    """

    exchanges: Ints = field(default_factory=lambda: _rows([], 4))
    noise: Ints = field(default_factory=lambda: _rows([], 3))
    unmet: tuple[int, ...] = ()

    @property
    def swaps(self) -> int:
        return len(self.exchanges)

    @property
    def noise_records(self) -> int:
        return int(self.noise[:, 2].sum())

    def moves(self) -> tuple[Ints, Ints]:
        """The net of all exchanges: what leaves and what arrives, both as (class, value, records).

        No pair is on both sides, so no record is touched that the outcome does not need touched. Per class as much
        arrives as leaves, and per value too: the sensitive values of the whole table stay what they are.
        """
        c, a, b, v = self.exchanges.T
        pairs = np.concatenate([np.stack(p, axis=1) for p in ((c, a), (b, v), (c, v), (b, a))])
        signs = np.repeat([-1, 1], 2 * len(c))
        unique, at = np.unique(pairs, axis=0, return_inverse=True)
        net = np.bincount(at.ravel(), signs, len(unique)).astype(np.int64)
        changed = np.column_stack([unique, net]) if len(unique) else _rows([], 3)
        leaving, arriving = changed[net < 0], changed[net > 0]
        leaving[:, 2] *= -1
        return leaving, arriving

    def outcome(self, histogram: Histogram) -> Histogram:
        """The histogram after the plan. Raises ValueError where it takes what is not there."""
        leaving, arriving = self.moves()
        old = np.column_stack([histogram.classes, histogram.values, histogram.counts])
        classes, values, counts = np.concatenate([old, arriving, self.noise, leaving * np.array([1, 1, -1])]).T
        codes, at = np.unique(classes * histogram.domain + values, return_inverse=True)
        summed = np.bincount(at, counts, len(codes)).astype(np.int64)
        if np.any(summed < 0):
            raise ValueError("the plan takes records that the classes do not have")
        kept = codes[summed > 0]
        return Histogram(kept // histogram.domain, kept % histogram.domain, summed[summed > 0], histogram.domain)


class _Classes:
    """The classes while a plan is made.

    `bits` sums up which values a class holds, to look for a donor among many at once: the most frequent values have a
    bit each, the others share the last one. What the bits say of a value with a bit is exact; the shared bit only says
    that a class may hold such values, so whatever is found by bits is looked at again.
    """

    def __init__(self, histogram: Histogram, theta: Theta) -> None:
        self.theta = theta
        self.counts = histogram.per_class()
        self.size = histogram.size
        totals = histogram.totals
        self.frequent = np.argsort(-totals, kind="stable")
        own = _WORD if histogram.domain <= _WORD else _WORD - 1
        self.bit = np.full(histogram.domain, 1 << (_WORD - 1), dtype=np.uint64)
        self.bit[self.frequent[:own]] = np.uint64(1) << np.arange(min(own, histogram.domain), dtype=np.uint64)
        self.shared = np.uint64(0 if own == _WORD else 1 << (_WORD - 1))
        starts = np.flatnonzero(np.diff(histogram.classes, prepend=-1))
        bits = self.bit[histogram.values]
        self.bits = np.bitwise_or.reduceat(bits, starts) if len(starts) else bits
        margins = [theta.margin(counts.values()) for counts in self.counts]
        self.met = np.array([margin >= 0 for margin in margins], dtype=bool)
        self.above = np.array([margin > 0 for margin in margins], dtype=bool)
        self.touched = np.zeros(self.size, dtype=np.int64)  # after how many exchanges a class last changed
        self.exchanges: list[Exchange] = []
        self.noise: list[tuple[int, int, int]] = []

    def repeats(self, number: int) -> int:
        """Records of a class beyond the first of each value."""
        counts = self.counts[number]
        return sum(counts.values()) - len(counts)

    def repeated(self, number: int) -> list[int]:
        """The values that a class holds more than once, most frequent first, then by key."""
        return sorted((v for v, n in self.counts[number].items() if n > 1), key=lambda v: (-self.counts[number][v], v))

    def offered(self, donor: int, to: int, preferred: Mapping[int, int]) -> int | None:
        """The donor's most frequent value that the other class lacks (the paper's backCheck)."""
        has, lacks = self.counts[donor], self.counts[to]
        absent = (v for v in has if v not in lacks)
        return min(absent, key=lambda v: (-has[v], preferred.get(v, len(preferred)), v), default=None)

    def exchange(self, number: int, value: int, donor: int, other: int) -> None:
        self.exchanges.append((number, value, donor, other))
        self.touched[[number, donor]] = len(self.exchanges)
        for place, gone, come in ((number, value, other), (donor, other, value)):
            counts = self.counts[place]
            counts[come] = counts.get(come, 0) + 1
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
                if self.bit[gone] != self.shared:
                    self.bits[place] &= ~self.bit[gone]
            self.bits[place] |= self.bit[come]
            self._judge(place)

    def _judge(self, number: int) -> None:
        margin = self.theta.margin(self.counts[number].values())
        self.met[number], self.above[number] = margin >= 0, margin > 0

    def new_to(self, number: int, at: slice | Ints) -> npt.NDArray[np.bool_]:
        """Which classes may hold a value that this one lacks."""
        found: npt.NDArray[np.bool_] = (self.bits[at] & (~self.bits[number] | self.shared)) != 0
        return found

    def lacking(self, value: int, at: slice | Ints) -> npt.NDArray[np.bool_]:
        """Which classes may lack a value."""
        bit = self.bit[value]
        found: npt.NDArray[np.bool_] = (self.bits[at] & (bit & ~self.shared)) == 0
        return found

    def add_noise(self, number: int, implausible: Pairs) -> None:
        """The fewest tuples that lift a class to θ, with the most frequent values that it lacks; else none."""
        counts = self.counts[number]
        absent = (int(v) for v in self.frequent if int(v) not in counts and (number, int(v)) not in implausible)
        values = list(islice(absent, self.theta.k + sum(counts.values())))
        needed = least_noise(tuple(counts.values()), self.theta, len(values))
        for value in values[: needed or 0]:
            counts[value] = 1
            self.bits[number] |= self.bit[value]
            self.noise.append((number, value, 1))
        self._judge(number)

    def plan(self) -> Plan:
        unmet = tuple(np.flatnonzero(~self.met).tolist())
        return Plan(_rows(self.exchanges, 4), _rows(self.noise, 3), unmet=unmet)


# -- Algorithm 1 ----------------------------------------------------------------------------------------------------


def plan_paper(
    histogram: Histogram,
    theta: Theta,
    *,
    noise: bool = True,
    preference: Sequence[int] = (),
    implausible: Pairs = frozenset(),
) -> Plan:
    """Algorithm 1 of the paper, with what its printed form leaves out or contradicts put right.

    Each class below θ, in order, gives its most frequent value to the first later class above θ that has a value it
    lacks, and gets that one (most frequent first; among equally frequent ones those in `preference`, in that order,
    then by key); the last class asks the one before it, and only here both values must be new to the other side. Where
    there is no donor, noise. Against the printed lines: V is compared, not a count; one loop over the classes without
    inner increments; the last class is recognised before its neighbour is taken; every later class is a donor, not only
    the next; a class is tried until it holds; V of the donor is brought up to date. A donor may be pushed below θ,
    which its own turn repairs. Every class meets θ at the end, or is `unmet`: the domain (or `noise`) did not allow
    more.
    """
    classes = _Classes(histogram, theta)
    preferred = {value: place for place, value in enumerate(preference)}
    for number in range(classes.size):
        while not classes.met[number]:
            value = next(iter(classes.repeated(number)), None)
            found = _paper_donor(classes, number, value, preferred) if value is not None else None
            if value is None or found is None:
                break
            classes.exchange(number, value, *found)
        if noise and not classes.met[number]:
            classes.add_noise(number, implausible)
    return classes.plan()


def _paper_donor(classes: _Classes, number: int, value: int, preferred: Mapping[int, int]) -> tuple[int, int] | None:
    """The donor and the value that it gives."""
    last = classes.size - 1
    if number == last:
        allowed = last > 0 and value not in classes.counts[last - 1]
        donors: Iterable[int] = [last - 1] if allowed else []
    else:
        donors = _ahead(classes, number)
    for donor in donors:
        other = classes.offered(donor, number, preferred)
        if other is not None:
            return donor, other
    return None


def _ahead(classes: _Classes, number: int) -> Iterator[int]:
    """The later classes above θ that may hold a value that this one lacks, nearest first."""
    start, width = number + 1, _WORD
    while start < classes.size:
        at = slice(start, start + width)
        for offset in np.flatnonzero(classes.above[at] & classes.new_to(number, at)).tolist():
            yield start + offset
        start, width = start + width, width * 4


# -- the repair with a two-way check ------------------------------------------------------------------------------


def plan_swap(
    histogram: Histogram,
    theta: Theta,
    *,
    window: int | None = None,
    noise: bool = False,
    implausible: Pairs = frozenset(),
) -> Plan:
    """Local repair: a class gives a repeated value to the nearest class that lacks it, for a value that it lacks
    itself.

    `window`: how many classes on either side are asked; None asks all. The class's most frequent values go first (θ
    alone would rather keep them, see `theta`), and the donor gives what it holds most often.

    V falls nowhere: the class gains by Lemma B; the donor keeps its frequencies if it gave a single value, and gains by
    Lemma B if it gave a repeated one. So a class that meets θ goes on doing so. It ends: the repeats of all classes, D
    = Σ (n − d), fall with every exchange, by one or by two. Classes without a donor are asked again after the others,
    until a round changes nothing; then noise, where it is allowed; what is left is `unmet`.
    """
    classes = _Classes(histogram, theta)
    waiting = dict.fromkeys(np.flatnonzero(~classes.met).tolist(), -1)
    before = -1
    while waiting and before != len(classes.exchanges):
        before = len(classes.exchanges)
        for number, since in waiting.items():
            waiting[number] = _repair(classes, number, classes.size if window is None else window, since)
        waiting = {number: since for number, since in waiting.items() if not classes.met[number]}
    for number in waiting if noise else ():
        classes.add_noise(number, implausible)
    return classes.plan()


def _repair(classes: _Classes, number: int, window: int, since: int) -> int:
    """Exchanges until the class meets θ or nobody within the window can help; after how many exchanges that was.

    `since`: nobody could help after so many exchanges, so unless the class has changed only those that have can.
    """
    while not classes.met[number]:
        since = -1 if classes.touched[number] > since else since
        asked = ((value, _nearest(classes, number, value, window, since)) for value in classes.repeated(number))
        value, found = next((pair for pair in asked if pair[1]), (0, None))
        if found is None:
            break
        donor, other = found
        repeats = classes.repeats(number) + classes.repeats(donor)
        classes.exchange(number, value, donor, other)
        if classes.repeats(number) + classes.repeats(donor) >= repeats:
            raise AssertionError("an exchange did not lower the repeats, so that the repair might not end")
    return len(classes.exchanges)


def _nearest(classes: _Classes, number: int, value: int, window: int, since: int) -> tuple[int, int] | None:
    """The nearest class that lacks `value` and holds one that this class lacks, and that one; the crossCheck."""
    for some in _rings(classes, number, window, since):
        usable = some[classes.new_to(number, some) & classes.lacking(value, some)]
        for donor in usable[np.argsort(np.abs(usable - number), kind="stable")].tolist():
            other = classes.offered(donor, number, {}) if value not in classes.counts[donor] else None
            if other is not None:
                return donor, other
    return None


def _rings(classes: _Classes, number: int, window: int, since: int) -> Iterator[Ints]:
    """The classes within the window, in rings around this one; at once, if only those that changed since are asked."""
    if since >= 0:
        changed = np.flatnonzero(classes.touched > since)
        yield changed[(np.abs(changed - number) <= window) & (changed != number)]
        return
    inner, outer = 0, min(_WORD, window)
    while inner < outer:
        yield np.concatenate(
            [
                np.arange(max(number - outer, 0), max(number - inner, 0)),
                np.arange(number + inner + 1, min(number + outer + 1, classes.size)),
            ]
        )
        inner, outer = outer, min(outer * 4, window)
