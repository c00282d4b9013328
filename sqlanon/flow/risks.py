"""Risk transitions: where an actor who may not have a sensitive field could predict it from the anonymised ones it has.

For an actor A that may read F.anon but not F, in every state where it has F.anon: the observer's fields are the
anonymised quasi-identifiers that A has there, and the score is the number of violations that `prediction` counts for
them on the data at hand (reference: models, 3.1, 3.2). All subsets that A can come to have are scored, because the
count is not monotone: the worst is looked for, and not assumed to be the one with all fields.

The data at hand are the rows that a flow's spec would release, planned and recoded on the spot, or the records that
its `data` names. Where there are none, a risk transition has no score, which is unknown and never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlanon import blanking, planning, query, statistics
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.exploring import MOST_FIELDS, subsets, told
from sqlanon.flow.model import Flow, FlowModel
from sqlanon.flow.states import LIMIT, Knowledge, States, generate
from sqlanon.margins import margin, share
from sqlanon.policies import Policy, Table
from sqlanon.prediction import DEFAULT_THRESHOLD, Records, Risk, Target, Threshold, cells, records_of
from sqlanon.rules import Judged, Number
from sqlanon.spec import Source, Spec, load
from sqlanon.statistics import Change
from sqlanon.telling import Tell, silent

_DATA, _SAID = "sqlanon anonymised", "sqlanon policies"


@dataclass(frozen=True)
class Danger:
    """One risk transition: an actor, the sensitive field, the anonymised fields that it has, and where.

    `states` are those of the system in which it has just these; none where potential reads are built together. `risk`
    is None where no data are at hand.
    """

    actor: str
    field: str
    suffix: str
    fields: tuple[str, ...]
    states: tuple[int, ...]
    risk: Risk | None = None

    @property
    def violations(self) -> int | None:
        """The score."""
        return self.risk.violations if self.risk else None

    def to_dict(self) -> dict[str, Any]:
        risk = self.risk
        return {
            "actor": self.actor, "field": self.field, "anonymised": f"{self.field}.{self.suffix}",
            "fields": list(self.fields), "states": list(self.states), "violations": self.violations,
            "records": risk.records if risk else None, "highest": risk.highest if risk else None,
        }  # fmt: skip


@dataclass(frozen=True)
class Assessment:
    """What a model comes to: its states, what nobody agreed to, its risk transitions worst first, and its rules."""

    model: FlowModel
    states: States
    dangers: tuple[Danger, ...]
    utilities: Mapping[str, Change]
    rules: tuple[Judged, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether a rule blocks."""
        return any(rule.blocks for rule in self.rules)

    @property
    def worst(self) -> dict[tuple[str, str], Danger]:
        """Per actor and sensitive field, the subset of fields with most violations; of several, the smallest."""
        found: dict[tuple[str, str], Danger] = {}
        for danger in self.dangers:
            found.setdefault((danger.actor, f"{danger.field}.{danger.suffix}"), danger)
        return found

    def ask(self, function: str, words: Sequence[str]) -> Number:
        """What a rule asks; see `rules`."""
        if function == "policy_violations":
            return len(self.states.violations)
        if function in ("before", "after", "delta", "relative"):
            return self._statistic(function, words[0], words[1])
        if function not in ("violations", "share", "risk"):
            return None
        asked = [d for d in self.dangers if words[0] in (d.field, f"{d.field}.{d.suffix}")]
        asked = [d for d in asked if d.actor in (words[1:] or [d.actor])]
        scores: list[float] = []
        for danger in asked:
            risk = danger.risk
            if risk is None:
                return None
            share = risk.violations / risk.records if risk.records else 0.0
            scores.append({"violations": risk.violations, "share": share, "risk": risk.highest or 0.0}[function])
        return max(scores, default=0)

    def _statistic(self, function: str, statistic: str, word: str) -> Number:
        """Of several anonymised versions of a field, the one that changed most."""
        found = []
        for suffix, flows in self.model.anonymised.items():
            for name in dict.fromkeys(name for flow in flows for name in flow.fields):
                if word in (name, f"{name}.{suffix}"):
                    utility = self.utilities.get(suffix)
                    found.append(told(utility, function, statistic, name) if utility else None)
        numbers = [number for number in found if number is not None]
        return max(numbers, key=abs) if numbers and len(numbers) == len(found) else None

    def to_dict(self) -> dict[str, Any]:
        states = [
            {"state": i, "has": self.states.has(i), "could": self.states.could(i)}
            for i in range(len(self.states.states))
        ]
        return {
            "model": self.model.name, "states": states, "together": self.states.together,
            "transitions": [t.to_dict() for t in self.states.transitions],
            "policy_violations": len(self.states.violations), "risk_transitions": [d.to_dict() for d in self.dangers],
            "worst": [d.to_dict() for d in self.worst.values()],
            "utility": {suffix: utility.to_dict() for suffix, utility in self.utilities.items()},
            "rules": [rule.to_dict() for rule in self.rules], "blocked": self.blocked, "notes": list(self.states.notes),
        }  # fmt: skip


def assess(model: FlowModel, engine: Engine, *, limit: int = LIMIT, tell: Tell = silent) -> Assessment:
    """Generates the states, scores the risk transitions, and judges the rules.

    Raises `SpecError` where the model explodes or the data do not fit it, `ModelNotMet` where a flow's spec allows no
    release, `EngineError`.
    """
    tell("generating the states", None)
    states = generate(model, limit)
    dangers: list[Danger] = []
    utilities: dict[str, Change] = {}
    open_ = _dangers(model, states)
    for suffix, flows in model.anonymised.items():
        of = [danger for danger in open_ if danger.suffix == suffix]
        tell(f"scoring what can be predicted from {suffix}", None)
        with _at_hand(engine, model, flows[0], tell) as data:
            dangers += _scored(engine, model, data, of) if data else of
            utility = _utility(engine, flows, data) if data else None
        if utility:
            utilities[suffix] = utility
    dangers.sort(
        key=lambda d: (-1 if d.violations is None else -d.violations, len(d.fields), d.actor, d.field, d.fields)
    )
    made = Assessment(model, states, tuple(dangers), utilities)
    return replace(made, rules=tuple(rule.judge(made) for rule in model.parsed))


# -- where ------------------------------------------------------------------------------------------------------------


def _dangers(model: FlowModel, states: States) -> list[Danger]:
    """Every risk transition there can be, without scores."""
    kinds, found = model.kinds, dict[tuple[str, str, str, frozenset[str]], None]()
    for suffix, flows in model.anonymised.items():
        names = dict.fromkeys(name for flow in flows for name in flow.fields)
        sensitive = [name for name in names if kinds[name] == "sensitive"]
        quasi = [name for name in names if kinds[name] == "quasi-identifier"]
        for knowledge in sorted(states.knowledge, key=lambda k: (k.actor, sorted(k.must), sorted(k.may))):
            for name in sensitive:
                if f"{name}.{suffix}" in knowledge.may and not _entitled(states, knowledge, name):
                    for fields in _observed(knowledge, quasi, suffix):
                        found[knowledge.actor, name, suffix, frozenset(fields)] = None
    order = {name: i for i, name in enumerate(states.variables.fields)}
    where = _where(model, states)
    return [
        Danger(a, n, s, tuple(sorted(f, key=order.__getitem__)), tuple(where.get((a, n, s, f), ())))
        for a, n, s, f in found
    ]


def _entitled(states: States, knowledge: Knowledge, name: str) -> bool:
    """Whether the actor may read the field itself, or has been given it."""
    return name in states.variables.ever_readable(knowledge.actor) or name in knowledge.must


def _observed(knowledge: Knowledge, quasi: Sequence[str], suffix: str) -> Iterator[tuple[str, ...]]:
    """The sets of anonymised quasi-identifiers that the actor may have at this point, by their plain names."""
    must = tuple(name for name in quasi if f"{name}.{suffix}" in knowledge.must)
    may = [name for name in quasi if f"{name}.{suffix}" in knowledge.may and name not in must]
    if len(may) > MOST_FIELDS:
        raise SpecError(
            f"{knowledge.actor} may come to have any of {len(may)} anonymised quasi-identifiers; the subsets of more"
            f" than {MOST_FIELDS} are too many to score", where="permissions",
        )  # fmt: skip
    return ((*must, *more) for more in subsets(may))


def _where(model: FlowModel, states: States) -> dict[tuple[str, str, str, frozenset[str]], list[int]]:
    """The states in which each actor has a sensitive anonymised field, with just these quasi-identifiers."""
    kinds, v = model.kinds, states.variables
    found: dict[tuple[str, str, str, frozenset[str]], list[int]] = {}
    for number, (has, _) in enumerate(states.states):
        for actor in model.actors:
            names = set(v.names(v.part(actor, has)))
            for suffix, flows in model.anonymised.items():
                there = {n for flow in flows for n in flow.fields if f"{n}.{suffix}" in names}
                quasi = frozenset(n for n in there if kinds[n] == "quasi-identifier")
                for name in (n for n in there if kinds[n] == "sensitive" and n not in names):
                    found.setdefault((actor, name, suffix, quasi), []).append(number)
    return found


# -- the data at hand --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Data:
    """Anonymised records, the columns in which each field stands there, and the policy.

    `before` are the records as they were, `entity` the column that says in both whom a record is about.
    """

    records: Records
    columns: Mapping[str, tuple[str, ...]]
    policy: Policy | None
    before: Records | None
    entity: str | None = None


@contextmanager
def _at_hand(engine: Engine, model: FlowModel, flow: Flow, tell: Tell) -> Iterator[_Data | None]:
    with ExitStack() as stack:
        if flow.spec is not None:
            stack.callback(engine.drop_temporary, _DATA, _SAID)
            yield _planned(engine, model, load(model.base / flow.spec), tell)
        elif flow.data is not None:
            records = records_of(engine, _origin(flow.data, model.base), model.base)
            before = records_of(engine, _origin(flow.original, model.base)) if flow.original else None
            yield _Data(records, _columns(flow, records), model.policy, before)
        else:
            yield None


def _origin(source: Source, base: Path) -> Origin:
    file = base / source.file if source.file else None
    return Origin(relation=source.table, file=file, query=source.query, delimiter=source.delimiter)


def _columns(flow: Flow, records: Records) -> dict[str, tuple[str, ...]]:
    """Each field stands in a column of its name, or of that with the suffix."""
    return {
        name: ((arriving if arriving in records.columns else name),)
        for name, arriving in zip(flow.fields, flow.arriving, strict=True)
    }


def _planned(engine: Engine, model: FlowModel, spec: Spec, tell: Tell) -> _Data:
    """The rows that a spec would release, in a working table, with the entity beside them where it names one."""
    plan = planning.make(spec, engine, tell=tell).plan
    blanking.stage(engine, plan, _DATA)
    records = records_of(engine, Origin(relation=_DATA), model.base)
    columns: dict[str, tuple[str, ...]] = {}
    for name, declared in spec.columns.items():
        both = (f"{name}_from", f"{name}_to")
        columns[name] = both if declared.represent == "bounds" else (name,)
    policy = model.policy or spec.policy
    if model.policy is None and spec.policy is not None:
        records = replace(records, base=spec.base)
    before = records_of(engine, planning.origin_of(spec))
    return _Data(records, columns, policy, before, spec.entity)


def _reached(engine: Engine, data: _Data, policy: Policy) -> Policy:
    """A policy whose words the anonymised rows can be given: from their own columns, or over the entity."""
    records, before = data.records, data.before
    if policy.table is not None or all(name in records.columns for name in policy.columns):
        return policy
    if data.entity is None or before is None:
        lost = next(name for name in policy.columns if name not in records.columns)
        raise SpecError(
            "the policy's column is not published, and without an entity nobody can tell whose row is whose;"
            " name an entity, or publish the column", where="policy", found=lost, allowed=records.columns,
        )  # fmt: skip
    names = [query.column(name, before.relation) for name in (data.entity, *policy.columns) if name in before.columns]
    tree = query.select(names, before.relation, group=names)
    engine.temporary("read what each person said", _SAID, before.query.then("said", tree))
    return replace(policy, table=Table(data.entity, table=_SAID))


# -- scores ------------------------------------------------------------------------------------------------------------


def _scored(engine: Engine, model: FlowModel, data: _Data, dangers: Sequence[Danger]) -> Iterator[Danger]:
    """The risk transitions with their scores: one counting of the records per sensitive field."""
    for name in dict.fromkeys(danger.field for danger in dangers):
        of = [danger for danger in dangers if danger.field == name]
        fields = dict.fromkeys(field for danger in of for field in danger.fields)
        at = {field: _there(data, field) for field in fields}
        (column,) = _there(data, name)
        target = _target(engine, model, data, name, column)
        known: dict[tuple[str, ...], Risk] = {}
        with cells(engine, data.records, [c for columns in at.values() for c in columns], target) as counted:
            for danger in of:
                if danger.fields not in known:
                    known[danger.fields] = counted.risk([c for field in danger.fields for c in at[field]])
                yield replace(danger, risk=known[danger.fields])


def _there(data: _Data, field: str) -> tuple[str, ...]:
    columns = data.columns.get(field, ())
    for column in columns or (field,):
        if column not in data.records.columns:
            raise SpecError(
                "the anonymised records have no column for this field", where="flows", found=field,
                allowed=data.records.columns,
            )  # fmt: skip
    return columns


def _target(engine: Engine, model: FlowModel, data: _Data, name: str, column: str) -> Target:
    said = model.predictions.get(name)
    near = margin(str(said.margin)) if said and said.margin else None
    above = said.above if said else False
    if said and said.threshold is not None:
        return Target(column, near, Threshold(share(said.threshold), above=above))
    constant = data.policy.constant(name) if data.policy else DEFAULT_THRESHOLD
    if constant is not None or data.policy is None:
        return Target(column, near, Threshold(constant, above=above))
    sensitivity = {column: data.policy.sensitivity[name]} if name in data.policy.sensitivity else {}
    policy = _reached(engine, data, replace(data.policy, sensitivity=sensitivity))
    return Target(column, near, Threshold(policy=policy, above=above))


def _utility(engine: Engine, flows: Sequence[Flow], data: _Data) -> Change | None:
    """The statistics of the fields that are numbers before and after."""
    if data.before is None:
        return None
    names = list(dict.fromkeys(name for flow in flows for name in flow.fields))
    single = {name: data.columns[name][0] for name in names if len(data.columns.get(name, ())) == 1}
    renamed = _renamed(data.records, {column: name for name, column in single.items()})
    there = [name for name in single if name in data.before.columns and name in renamed.columns]
    return statistics.compare(engine, data.before, renamed, there)


def _renamed(records: Records, names: Mapping[str, str]) -> Records:
    """The records with their columns under the plain names of the fields."""
    there = {column: name for column, name in names.items() if column in records.columns}
    columns = [query.named(query.column(c, records.relation), name) for c, name in there.items()]
    steps = records.query.then("plainly named", query.select(columns, records.relation))
    return Records(steps, "plainly named", {name: records.columns[c] for c, name in there.items()})
