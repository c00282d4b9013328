"""The labelled transition system of a data-flow model: what each actor has come to know, and could, step by step.

A state is two bits per actor and field: *has* (has identified) and *could* (can identify: it lies in a store that the
actor may read). Semantics (reference: models, 3.1, ours where the paper is silent):

    collect(a, F)        has[a, F]
    create(a, F, s)      F lies in s, so that could[b, f] for all who may read f there
    read(a, F, s)        has[a, F], for what lies there; nothing else is needed, so that a missing permission shows
    disclose(a→b, F)     has[b, F]
    anon(a, F, s→s')     F.anon lies in s', for what lies in s
    delete(a, F, s)      F no longer lies in s; could stays where another store still grants it, has is never revoked

Flows run in their order; those of one number interleave. From every state, each actor may also read what it could and
has not: a *potential read* of one field. States with equal bits are one state, whatever led there.

Potential reads by many actors of many fields come in astronomically many combinations. Where they are too many, the
states are built `together`: the flows as they are, and beside each of their states, one potential read per actor of
all that it could have read by then. Nothing that an actor can come to know is lost by that, because potential reads
only ever add, hinder no flow and are each actor's own: `Knowledge` holds for each actor what it must have and what it
may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlanon.defaults import STATES
from sqlanon.errors import SpecError
from sqlanon.flow.model import Action, Flow, FlowModel

# Beyond so many states, potential reads are built together; beyond so many states of the flows alone, nothing is built.
LIMIT = STATES
_EDGES = 12  # times the limit: how many transitions are kept


@dataclass(frozen=True)
class Transition:
    """One step: who does what with which fields, where, as part of which flow, and why that was not agreed to.

    `place` is the store, the receiver of what is disclosed, or for `anon` the store of arrival. `flow` is the number of
    the flow in the file, None for a potential read.
    """

    source: int
    target: int
    action: Action
    actor: str
    fields: tuple[str, ...]
    place: str | None = None
    flow: int | None = None
    violations: tuple[str, ...] = ()

    @property
    def potential(self) -> bool:
        """Whether no flow asks for it."""
        return self.flow is None

    def to_dict(self) -> dict[str, Any]:
        return {
            "from": self.source, "to": self.target, "action": self.action, "actor": self.actor,
            "fields": list(self.fields), "place": self.place, "flow": None if self.flow is None else self.flow + 1,
            "potential": self.potential, "violations": list(self.violations),
        }  # fmt: skip


@dataclass(frozen=True)
class Knowledge:
    """What an actor must have at some point of the flows, and what it may have read besides."""

    actor: str
    must: frozenset[str]
    may: frozenset[str]


@dataclass(frozen=True)
class States:
    """The system: states as (has, could), first the one in which nobody has anything; transitions; what was noted."""

    variables: Variables
    states: tuple[tuple[int, int], ...]
    transitions: tuple[Transition, ...]
    knowledge: frozenset[Knowledge]
    together: bool
    notes: tuple[str, ...]

    def has(self, state: int) -> dict[str, list[str]]:
        """Per actor, the fields that it has in a state."""
        return self.variables.by_actor(self.states[state][0])

    def could(self, state: int) -> dict[str, list[str]]:
        """Per actor, the fields that it could identify in a state."""
        return self.variables.by_actor(self.states[state][1])

    @property
    def violations(self) -> tuple[Transition, ...]:
        """The transitions that nobody agreed to."""
        return tuple(t for t in self.transitions if t.violations)


class Variables:
    """Actors, stores and fields as the bits of whole numbers."""

    def __init__(self, model: FlowModel) -> None:
        self.actors, self.stores = model.actors, tuple(model.stores)
        names = [name for store in model.stores.values() for name in store.fields]
        names += [name for flow in model.flows for name in flow.fields]
        self.fields = tuple(dict.fromkeys(names))
        self._field = {name: i for i, name in enumerate(self.fields)}
        self._actor = {name: i * len(self.fields) for i, name in enumerate(self.actors)}
        self._store = {name: i * len(self.fields) for i, name in enumerate(self.stores)}
        self._readers = self._permitted(model)
        self._known: dict[int, int] = {0: 0}

    def _permitted(self, model: FlowModel) -> dict[int, int]:
        """For each field of each store, the bits of those who may read it."""
        found: dict[int, int] = {}
        for permission in model.permissions:
            for name in permission.fields or model.stores[permission.store].fields:
                at = self._store[permission.store] + self._field[name]
                found[at] = found.get(at, 0) | self.of(permission.actor, [name])
        return found

    def of(self, actor: str, fields: Iterable[str]) -> int:
        """The bits of an actor's fields."""
        return sum(1 << (self._actor[actor] + self._field[name]) for name in set(fields))

    def lying(self, store: str, fields: Iterable[str]) -> int:
        """The bits of fields in a store."""
        return sum(1 << (self._store[store] + self._field[name]) for name in set(fields))

    def could(self, contents: int) -> int:
        """Who could identify what, when this lies in the stores."""
        if contents not in self._known:
            self._known[contents] = 0
            for at in _bits(contents):
                self._known[contents] |= self._readers.get(at, 0)
        return self._known[contents]

    def readable(self, actor: str, store: str) -> frozenset[str]:
        """The fields that an actor may read in a store."""
        start, of = self._store[store], self._actor[actor]
        return frozenset(name for name, i in self._field.items() if self._readers.get(start + i, 0) >> (of + i) & 1)

    def ever_readable(self, actor: str) -> frozenset[str]:
        """The fields that an actor may read in any store."""
        return frozenset(name for store in self.stores for name in self.readable(actor, store))

    def part(self, actor: str, bits: int) -> int:
        """The fields of one actor, as bits from 0."""
        return bits >> self._actor[actor] & (1 << len(self.fields)) - 1

    def names(self, part: int) -> tuple[str, ...]:
        """The fields of such a part."""
        return tuple(self.fields[i] for i in _bits(part))

    def by_actor(self, bits: int) -> dict[str, list[str]]:
        """Per actor, its fields; actors without any are left out."""
        found = {actor: list(self.names(self.part(actor, bits))) for actor in self.actors}
        return {actor: names for actor, names in found.items() if names}


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


# -- the flows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Point:
    """A state with what led there: the stores' contents, the flows that ran, what anybody could have read so far."""

    has: int = 0
    contents: int = 0
    done: int = 0
    ever: int = 0


@dataclass
class _Build:
    """States and transitions as they are found."""

    variables: Variables
    limit: int
    numbers: dict[tuple[int, int], int] = field(default_factory=dict)
    transitions: dict[Transition, None] = field(default_factory=dict)

    def state(self, has: int, could: int) -> int:
        return self.numbers.setdefault((has, could), len(self.numbers))

    @property
    def full(self) -> bool:
        return len(self.numbers) > self.limit or len(self.transitions) > self.limit * _EDGES


class _TooMany(Exception):
    """There are more states than the limit."""


class Generator:
    """Generates the states of one model."""

    def __init__(self, model: FlowModel, limit: int = LIMIT) -> None:
        self.model, self.limit, self.variables = model, limit, Variables(model)
        self.before = [sum(1 << i for i in earlier) for earlier in model.before()]
        self.judge = _Judge(model)
        self.missing: dict[int, set[str]] = {}

    def generate(self) -> States:
        """Every potential read by itself if that is possible, else together. Raises `SpecError` beyond the limit."""
        points = self._points()
        build = _Build(self.variables, self.limit)
        try:
            self._each(build)
            together, notes = False, self._notes()
        except _TooMany:
            build, together = _Build(self.variables, self.limit), True
            self._together(build, points)
            many = f"more than {self.limit} states: the potential reads of each actor are shown together"
            notes = (*self._notes(), many)
        return States(
            self.variables, tuple(build.numbers), tuple(build.transitions), self._knowledge(points), together, notes
        )

    def _notes(self) -> tuple[str, ...]:
        return tuple(
            f"flow {number + 1}: nothing may have put {', '.join(sorted(names))} there by then; then that does not flow"
            for number, names in sorted(self.missing.items())
        )

    def _points(self) -> dict[_Point, None]:
        """All points of the flows alone, in the order in which they are found."""
        found: dict[_Point, None] = {_Point(): None}
        waiting = deque(found)
        while waiting:
            point = waiting.popleft()
            for _, after, _ in self._next(point):
                if after not in found:
                    found[after] = None
                    waiting.append(after)
            if len(found) > self.limit:
                raise SpecError(
                    f"the flows alone come to more than {self.limit} states, because many share one place in the order;"
                    " give them numbers of their own, or raise --limit", where="flows",
                )  # fmt: skip
        return found

    def _next(self, point: _Point) -> Iterator[tuple[int, _Point, tuple[str, ...]]]:
        """The flows that can run now, what they lead to, and the fields that really flow."""
        for number, flow in enumerate(self.model.flows):
            if not point.done >> number & 1 and self.before[number] & ~point.done == 0:
                has, contents, moved = self._run(number, flow, point)
                ever = point.ever | has | self.variables.could(contents)
                yield number, _Point(has, contents, point.done | 1 << number, ever), moved

    def _run(self, number: int, flow: Flow, point: _Point) -> tuple[int, int, tuple[str, ...]]:
        v, action, (one, two) = self.variables, self.model.action(flow), flow.ends
        source = flow.delete or (one if action in ("read", "anon") else None)
        there = tuple(f for f in flow.fields if source is None or point.contents & v.lying(source, [f]))
        if len(there) < len(flow.fields):
            self.missing.setdefault(number, set()).update(set(flow.fields) - set(there))
        if action in ("collect", "disclose", "read"):
            return point.has | v.of(two, there), point.contents, there
        if action == "delete":
            return point.has, point.contents & ~v.lying(source or "", there), there
        arriving = tuple(f"{f}.{flow.suffix}" for f in there) if action == "anon" else there
        return point.has, point.contents | v.lying(two, arriving), arriving

    # -- the two ways to add potential reads

    def _each(self, build: _Build) -> None:
        """Potential reads one field at a time, from every state, in every order."""
        start = _Point()
        seen, waiting = {start}, deque([start])
        build.state(0, 0)
        while waiting:
            point = waiting.popleft()
            here = build.state(point.has, self.variables.could(point.contents))
            for after in [*self._designed(build, here, point), *self._read(build, here, point)]:
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
            if build.full or len(seen) > 4 * self.limit:
                raise _TooMany

    def _designed(self, build: _Build, here: int, point: _Point) -> Iterator[_Point]:
        for number, after, moved in self._next(point):
            there = build.state(after.has, self.variables.could(after.contents))
            if moved:
                build.transitions[self._label(here, there, number, moved)] = None
            yield _Point(after.has, after.contents, after.done)

    def _read(self, build: _Build, here: int, point: _Point) -> Iterator[_Point]:
        v, could = self.variables, self.variables.could(point.contents)
        pending = could & ~point.has
        if pending.bit_count() >= self.limit.bit_length():
            raise _TooMany  # each of them by itself doubles the states
        for actor in self.model.actors:
            for name in v.names(v.part(actor, pending)):
                after = _Point(point.has | v.of(actor, [name]), point.contents, point.done)
                self._potential(build, here, build.state(after.has, could), actor, (name,), point.contents)
                yield after

    def _together(self, build: _Build, points: Iterable[_Point]) -> None:
        """The flows' own states, and beside each what every actor could have read by then, all at once."""
        v = self.variables
        for point in points:
            here = build.state(point.has, v.could(point.contents))
            for number, after, moved in self._next(point):
                if moved:
                    there = build.state(after.has, v.could(after.contents))
                    build.transitions[self._label(here, there, number, moved)] = None
            for actor in self.model.actors:
                names = v.names(v.part(actor, point.ever & ~point.has))
                if names:
                    there = build.state(point.has | v.of(actor, names), v.could(point.contents))
                    self._potential(build, here, there, actor, names, point.contents)

    # -- labels

    def _label(self, here: int, there: int, number: int, moved: tuple[str, ...]) -> Transition:
        flow = self.model.flows[number]
        action, (one, two) = self.model.action(flow), flow.ends
        actor = {"collect": two, "read": two, "create": one, "disclose": one}.get(action, flow.by or "")
        place = {"read": one, "collect": None, "delete": flow.delete}.get(action, two)
        return Transition(here, there, action, actor, moved, place, number, self.judge.flow(number, moved))

    def _potential(
        self, build: _Build, here: int, there: int, actor: str, names: tuple[str, ...], contents: int
    ) -> None:
        places = [s for s in self.model.stores if self._grants(actor, s, names, contents)]
        place = places[0] if len(places) == 1 else None
        told = Transition(here, there, "read", actor, names, place, None, self.judge.reader(actor))
        build.transitions[told] = None

    def _grants(self, actor: str, store: str, names: Sequence[str], contents: int) -> bool:
        readable = self.variables.readable(actor, store)
        return any(name in readable and contents & self.variables.lying(store, [name]) for name in names)

    def _knowledge(self, points: Iterable[_Point]) -> frozenset[Knowledge]:
        v, found = self.variables, set()
        for has, ever in {(point.has, point.ever) for point in points}:
            for actor in self.model.actors:
                must, may = v.part(actor, has), v.part(actor, ever)
                found.add((actor, must, may))
        return frozenset(Knowledge(a, frozenset(v.names(must)), frozenset(v.names(may))) for a, must, may in found)


class _Judge:
    """Why a transition is not what was permitted and agreed to."""

    def __init__(self, model: FlowModel) -> None:
        self.model = model
        self.permitted: Mapping[tuple[str, str], frozenset[str]] = {
            (p.actor, p.store): frozenset(
                name for q in model.permissions if (q.actor, q.store) == (p.actor, p.store)
                for name in q.fields or model.stores[q.store].fields
            )
            for p in model.permissions
        }  # fmt: skip

    def flow(self, number: int, moved: tuple[str, ...]) -> tuple[str, ...]:
        """The reasons against a flow."""
        flow = self.model.flows[number]
        action, (one, two) = self.model.action(flow), flow.ends
        told = []
        if action == "read":
            lacking = [name for name in moved if name not in self.permitted.get((two, one), ())]
            told += [f"{two} may not read {', '.join(lacking)} in {one}"] if lacking else []
        policy, service = self.model.policy, self.model.services.get(flow.service or "")
        if policy is not None and policy.services is not None and flow.service not in policy.services:
            told.append(f"nobody agreed to the service {flow.service}" if flow.service else "it is part of no service")
        involved = [end for end in (one, two, flow.by) if end in self.model.actors]
        if service is not None:
            if service.actors is not None:
                told += [f"{a} has no part in {flow.service}" for a in involved if a not in service.actors]
            if service.purposes is not None and flow.purpose not in service.purposes:
                told.append(f"{flow.purpose or 'no purpose'} is no purpose of {flow.service}")
        return (*told, *(reason for actor in dict.fromkeys(involved) for reason in self.reader(actor)))

    def reader(self, actor: str | None) -> tuple[str, ...]:
        """The reasons against an actor."""
        policy = self.model.policy
        agreed = policy is None or policy.actors is None or actor in policy.actors
        return () if agreed else (f"nobody agreed to {actor}",)


def generate(model: FlowModel, limit: int = LIMIT) -> States:
    """The states of a model. Raises `SpecError` where the flows alone come to more than the limit."""
    return Generator(model, limit).generate()
