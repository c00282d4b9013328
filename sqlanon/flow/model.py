"""The file of a data-flow model: actors, stores, services, permissions, flows, and what is to be judged.

Nodes are actors (the data `subject` is one that need not be declared) and stores; a flow carries fields from one to
the other. What it does follows from its ends: subject to actor *collects*, actor to store *creates*, store to actor
*reads*, actor to actor *discloses*, store to store *anonymises* (each field F arrives as F.anon, or with another
`suffix`), and `delete` takes fields out of a store. Source: Neumann, Grace, Burns & Surridge 2019, section 2
(reference: models, 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from sqlanon.annotations import keep_limits, keys_of
from sqlanon.errors import SpecError
from sqlanon.policies import Policy, Predicted
from sqlanon.reading import Place, Problem, Reader, compose
from sqlanon.rules import NAMES, Known, Rule, parse, problems
from sqlanon.spec import Source

SUBJECT = "subject"
Action = Literal["collect", "create", "read", "disclose", "anon", "delete"]
Kind = Literal["identifier", "quasi-identifier", "sensitive", "insensitive"]

_NAMED = {"minLength": 1}


@dataclass(frozen=True)
class Store:
    """A data store and its schema."""

    fields: Annotated[Mapping[str, Kind], "Each field and its kind."]
    about: Annotated[str | None, "What it is for."] = None


@dataclass(frozen=True)
class Service:
    """What people can agree to: some actors, for some purposes."""

    actors: Annotated[tuple[str, ...] | None, "The actors that take part; else all."] = None
    purposes: Annotated[tuple[str, ...] | None, "The purposes of its flows; else any."] = None
    about: Annotated[str | None, "What it is for."] = None


@dataclass(frozen=True)
class Permission:
    """Who may read what: also outside of any flow."""

    actor: Annotated[str, "An actor.", _NAMED]
    store: Annotated[str, "A store.", _NAMED]
    fields: Annotated[tuple[str, ...] | None, "Fields of the store; else all."] = None


@dataclass(frozen=True)
class Flow:
    """One arrow of the diagram: some fields, from one node to another, in its turn."""

    fields: Annotated[tuple[str, ...], "What flows."]
    from_: Annotated[str | None, "Where from: subject, an actor or a store.", _NAMED] = None
    to: Annotated[str | None, "Where to: an actor or a store.", _NAMED] = None
    delete: Annotated[str | None, "The store out of which the fields are taken, instead of from and to.", _NAMED] = None
    by: Annotated[str | None, "The actor that anonymises or deletes.", _NAMED] = None
    order: Annotated[int | None, "Its turn; flows of one number come in any order."] = None
    name: Annotated[str | None, "What other flows call it.", _NAMED] = None
    after: Annotated[tuple[str, ...], "Names of flows that come before it."] = ()
    purpose: Annotated[str | None, "What for."] = None
    service: Annotated[str | None, "The service that it is part of."] = None
    suffix: Annotated[str, "What is put behind the names of anonymised fields.", {"pattern": r"\w+"}] = "anon"
    spec: Annotated[str | None, "The spec by which they are anonymised, seen from the folder of this file.", _NAMED] = (
        None
    )
    data: Annotated[Source | None, "Anonymised records at hand, instead of a spec."] = None
    original: Annotated[Source | None, "What these were before, for statistics."] = None

    def __post_init__(self) -> None:
        keep_limits(self)
        if not self.fields:
            raise ValueError("fields must not be empty")
        if self.order is None and not self.after:
            raise ValueError("a flow has an order, or comes after others")
        if self.delete is not None and (self.from_ or self.to):
            raise ValueError("delete has no from and no to")
        if self.delete is None and not (self.from_ and self.to):
            raise ValueError("a flow has a from and a to")
        if self.spec and self.data:
            raise ValueError("data stands instead of a spec")

    @property
    def ends(self) -> tuple[str, str]:
        """From and to."""
        return self.from_ or "", self.to or ""

    @property
    def arriving(self) -> tuple[str, ...]:
        """The anonymised fields."""
        return tuple(f"{name}.{self.suffix}" for name in self.fields)


@dataclass(frozen=True, kw_only=True)
class FlowModel:
    """Who gets which fields when, who may read what, what people agreed to, and what must not come out."""

    name: Annotated[str | None, "What the model is called.", _NAMED] = None
    actors: Annotated[tuple[str, ...], "Everybody who handles the data."]
    stores: Annotated[Mapping[str, Store], "Where the data lies."]
    services: Annotated[Mapping[str, Service], "What people can agree to."] = field(default_factory=dict)
    permissions: Annotated[tuple[Permission, ...], "Who may read what."] = ()
    flows: Annotated[tuple[Flow, ...], "What happens, in order."]
    predictions: Annotated[Mapping[str, Predicted], "When each sensitive field counts as predicted."] = field(
        default_factory=dict
    )
    policy: Annotated[Policy | None, "What people agreed to."] = None
    rules: Annotated[tuple[str, ...], "What stops the flow: IF … THEN block."] = ()
    base: Path = field(default=Path(), metadata={"outside": True})  # the folder of the file

    def __post_init__(self) -> None:
        first = next(self.contradictions(vars(self)), None)
        if first is not None:
            place, problem, found, allowed = first
            raise SpecError(problem, where=".".join(map(str, place)), found=found, allowed=allowed)

    @staticmethod
    def contradictions(parts: Mapping[str, Any]) -> Iterator[Problem]:
        """What does not fit together, as far as the parts could be read."""
        wanted = (("actors", tuple), ("stores", Mapping), ("flows", tuple))
        if all(isinstance(parts.get(name), kind) for name, kind in wanted):
            yield from _Checks(parts).problems()

    # -- what follows from the file ----------------------------------------------------------------------------------

    def action(self, flow: Flow) -> Action:
        """What a flow does."""
        return _action(flow, self.stores)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each field; where stores differ, the one that tells most."""
        return _kinds(self.stores)

    @property
    def anonymised(self) -> dict[str, tuple[Flow, ...]]:
        """The flows that anonymise, by their suffix."""
        found: dict[str, tuple[Flow, ...]] = {}
        for flow in self.flows:
            if self.action(flow) == "anon":
                found[flow.suffix] = (*found.get(flow.suffix, ()), flow)
        return found

    @property
    def known(self) -> Known:
        """What a rule of this model may name."""
        return _known(self.flows, self.stores, self.actors)

    @property
    def parsed(self) -> tuple[Rule, ...]:
        """The rules."""
        return tuple(parse(text, self.known) for text in self.rules)

    def before(self) -> list[set[int]]:
        """For each flow, the flows that come before it."""
        return _before(self.flows)


_TELLING: tuple[Kind, ...] = ("identifier", "sensitive", "quasi-identifier", "insensitive")


def _kinds(stores: Mapping[str, Store]) -> dict[str, Kind]:
    found: dict[str, Kind] = {}
    for store in stores.values():
        for name, kind in store.fields.items():
            found[name] = min(kind, found.get(name, kind), key=_TELLING.index)
    return found


def _action(flow: Flow, stores: Mapping[str, Store]) -> Action:
    if flow.delete is not None:
        return "delete"
    one, two = (end in stores for end in flow.ends)
    if one:
        return "anon" if two else "read"
    return "create" if two else ("collect" if flow.from_ == SUBJECT else "disclose")


def _known(flows: Iterable[Flow], stores: Mapping[str, Store], actors: tuple[str, ...]) -> Known:
    kinds = _kinds(stores)
    pairs = {
        pair: None for flow in flows if _action(flow, stores) == "anon"
        for pair in zip(flow.fields, flow.arriving, strict=True)
    }  # fmt: skip
    fields = dict.fromkeys(name for pair in pairs for name in pair)
    predicted = dict.fromkeys(name for pair in pairs if kinds.get(pair[0]) == "sensitive" for name in pair)
    return Known(tuple(predicted), tuple(fields), actors, NAMES)


def _before(flows: tuple[Flow, ...]) -> list[set[int]]:
    place = {flow.name: i for i, flow in enumerate(flows) if flow.name}
    found = []
    for flow in flows:
        earlier = {
            i for i, other in enumerate(flows)
            if flow.order is not None and other.order is not None and other.order < flow.order
        }  # fmt: skip
        found.append(earlier | {place[name] for name in flow.after if name in place})
    return found


class _Checks:
    """Holds the parts of a model against each other."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = parts
        self.actors: tuple[str, ...] = parts["actors"]
        self.stores = {name: s for name, s in parts["stores"].items() if isinstance(s, Store)}
        self.flows = tuple(f for f in parts["flows"] if isinstance(f, Flow))
        self.services: Mapping[str, Service] = parts.get("services") or {}

    def problems(self) -> Iterator[Problem]:
        yield from self._nodes()
        if len(self.stores) < len(self.parts["stores"]) or len(self.flows) < len(self.parts["flows"]):
            return
        yield from self._permissions()
        shape = [problem for i, flow in enumerate(self.flows) for problem in self._flow(("flows", i), flow)]
        yield from shape
        yield from self._order()
        if not shape:
            yield from self._predictions()
            yield from self._rules()
        yield from self._policy()

    def _nodes(self) -> Iterator[Problem]:
        for i, actor in enumerate(self.actors):
            if actor in self.actors[:i] or actor in self.parts["stores"] or not actor.strip():
                yield ("actors", i), "every actor and store has a name of its own", actor, ()
        if SUBJECT in self.parts["stores"]:
            yield ("stores", SUBJECT), "subject is whom the data is about, and no store", SUBJECT, ()
        for name, service in self.services.items():
            for i, actor in enumerate(getattr(service, "actors", None) or ()):
                yield from self._one(("services", name, "actors", i), "actor", actor, self.actors)

    def _one(self, place: Place, what: str, word: str | None, allowed: Iterable[str]) -> Iterator[Problem]:
        if word is not None and word not in allowed:
            yield place, f"there is no such {what}", word, allowed

    def _fields(self, place: Place, names: Iterable[str], store: str) -> Iterator[Problem]:
        schema = self.stores[store].fields
        for i, name in enumerate(names):
            if name not in schema:
                yield (*place, i), f"the store {store!r} has no such field", name, schema

    def _permissions(self) -> Iterator[Problem]:
        for i, permission in enumerate(self.parts.get("permissions") or ()):
            if not isinstance(permission, Permission):
                continue
            place = ("permissions", i)
            yield from self._one((*place, "actor"), "actor", permission.actor, self.actors)
            yield from self._one((*place, "store"), "store", permission.store, self.stores)
            if permission.store in self.stores:
                yield from self._fields((*place, "fields"), permission.fields or (), permission.store)

    def _flow(self, place: Place, flow: Flow) -> Iterator[Problem]:
        nodes = (SUBJECT, *self.actors, *self.stores)
        ends = (("from", flow.from_, nodes), ("to", flow.to, nodes), ("delete", flow.delete, self.stores))
        wrong = [p for key, end, allowed in ends for p in self._one((*place, key), "actor or store", end, allowed)]
        wrong += self._one((*place, "by"), "actor", flow.by, self.actors)
        wrong += self._one((*place, "service"), "service", flow.service, self.services)
        yield from wrong
        if wrong:
            return
        action = _action(flow, self.stores)
        itself = flow.to is not None and flow.from_ == flow.to
        if itself or flow.to == SUBJECT or (flow.from_ == SUBJECT and action != "collect"):
            yield place, "a subject gives to an actor, and nothing flows from a node to itself", None, ()
            return
        yield from self._action(place, flow, action)

    def _action(self, place: Place, flow: Flow, action: Action) -> Iterator[Problem]:
        if (action in ("anon", "delete")) is not (flow.by is not None):
            needs = "needs by, the actor that does it" if flow.by is None else f"has no by: the actor is {flow.from_!r}"
            yield place, f"a flow that does {action} {needs}", flow.by, () if flow.by else self.actors
        if action != "anon" and (flow.spec or flow.data):
            yield place, "only a flow from store to store is anonymised by a spec", flow.spec, ()
        store = {"create": flow.to, "read": flow.from_, "anon": flow.from_, "delete": flow.delete}.get(action)
        if store is not None:
            yield from self._fields((*place, "fields"), flow.fields, store)
        else:
            known = _kinds(self.stores)
            for i, name in enumerate(flow.fields):
                yield from self._one((*place, "fields", i), "field in any store", name, known)
        if action == "anon" and flow.to is not None:
            schema = self.stores[flow.to].fields
            for i, (name, arriving) in enumerate(zip(flow.fields, flow.arriving, strict=True)):
                if arriving not in schema:
                    problem = f"the store {flow.to!r} has no field {arriving!r} for this one to arrive in"
                    yield (*place, "fields", i), problem, name, schema

    def _order(self) -> Iterator[Problem]:
        names = [flow.name for flow in self.flows if flow.name]
        for i, flow in enumerate(self.flows):
            if flow.name and names.count(flow.name) > 1:
                yield ("flows", i, "name"), "two flows have this name", flow.name, ()
            for j, name in enumerate(flow.after):
                yield from self._one(("flows", i, "after", j), "flow", name, names)
        try:
            TopologicalSorter(dict(enumerate(_before(self.flows)))).prepare()
        except CycleError as error:
            around = error.args[1]
            told = " after ".join(self.flows[i].name or f"flow {i + 1}" for i in reversed(around))
            at: Place = ("flows", next(i for i in around if self.flows[i].after), "after")
            yield at, f"a cycle in the order: {told}", None, ()

    def _predictions(self) -> Iterator[Problem]:
        kinds = _kinds(self.stores)
        anon = [flow for flow in self.flows if _action(flow, self.stores) == "anon"]
        plain = [name for flow in anon for name in flow.fields if kinds[name] == "sensitive"]
        for name in self.parts.get("predictions") or {}:
            if name not in plain:
                is_other = name in kinds and kinds[name] != "sensitive"
                what = f"this field is {kinds[name]}, not sensitive" if is_other else "no flow anonymises such a field"
                yield ("predictions", name), what, name, plain
        sources: dict[str, Flow] = {}
        for i, flow in enumerate(self.flows):
            if _action(flow, self.stores) == "anon":
                first = sources.setdefault(flow.suffix, flow)
                if (first.spec, first.data, first.original) != (flow.spec, flow.data, flow.original):
                    yield ("flows", i), "flows with one suffix share one spec or data; give this another suffix", \
                        flow.suffix, ()  # fmt: skip

    def _rules(self) -> Iterator[Problem]:
        known = _known(self.flows, self.stores, self.actors)
        yield from problems(self.parts.get("rules"), known)

    def _policy(self) -> Iterator[Problem]:
        policy = self.parts.get("policy")
        if not isinstance(policy, Policy):
            return
        for i, name in enumerate(policy.services or ()):
            yield from self._one(("policy", "services", i), "service", name, self.services)
        for i, name in enumerate(policy.actors or ()):
            yield from self._one(("policy", "actors", i), "actor", name, self.actors)
        for name in policy.sensitivity:
            yield from self._one(("policy", "sensitivity", name), "field in any store", name, _kinds(self.stores))


def load(file: str | Path | Mapping[str, Any]) -> FlowModel:
    """The model in a YAML file (or OPERANDO's XML, or a mapping). Raises `SpecError` with all problems and places."""
    if isinstance(file, Mapping):
        from sqlanon.reading import Representer

        return Reader("", Representer(sort_keys=False).represent_data(dict(file))).finish(FlowModel)
    path = Path(file)
    if path.suffix.lower() == ".xml":
        from sqlanon.flow.operando import read

        return replace(load(read(path)), base=path.parent)
    try:
        return replace(Reader(str(file), compose(path, keys_of(FlowModel))).finish(FlowModel), base=path.parent)
    except RecursionError:
        raise SpecError("this is nested too deeply", where=str(file)) from None
