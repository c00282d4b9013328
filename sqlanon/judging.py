"""One release in the making: its rows are staged and judged, its line in the register and its comments are written.

What is judged is what is published: the rows that were made are measured by the verifier, which shares no code with
the planner. Where persons are counted, and for a view, a working copy is judged that carries the entity, and a digest
proves that the published rows are the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlanon import blanking, gates, query, register
from sqlanon.composing import Seen
from sqlanon.engines import Engine, Origin, Owner
from sqlanon.errors import ModelNotMet, ReleaseError
from sqlanon.hierarchies import Order
from sqlanon.ledger import gate
from sqlanon.models import Verdict, k_of
from sqlanon.plan import Plan
from sqlanon.planning import Planned, shuffled
from sqlanon.publication import Publish
from sqlanon.query import Query
from sqlanon.remembering import keep
from sqlanon.spec import Spec
from sqlanon.telling import Tell
from sqlanon.verify import COUNTED, Measured, Published, counted, verify

_STAGED, _AGAIN = blanking.STAGED, "sqlanon base frequencies again"


class Starred(Exception):
    """The class of starred records broke a model; the release is made again without it."""


@dataclass(frozen=True)
class Terms:
    """What a release stands on beside its plan: whose it is, who reads it, and what its source was when it was read.

    `types` are those of the source's columns, by table where there are several; `action` is what the audit log tells:
    released or refreshed; `whole` is the spec as it was given, with all tables and with roles of base columns.
    """

    owner: Owner
    grants: tuple[str, ...] = ()
    source: str = ""
    state: str | None = None
    types: Mapping[str, Any] = field(default_factory=dict)
    action: str = "released"
    whole: Spec | None = None


@dataclass(frozen=True)
class Job:
    """One release in the making."""

    spec: Spec
    publish: Publish
    engine: Engine
    planned: Planned
    tell: Tell
    terms: Terms

    @property
    def plan(self) -> Plan:
        return self.planned.plan

    @property
    def separate(self) -> bool:
        """Whether the judged rows need something beside them that is not published."""
        source = self.plan.source
        return bool(source.carried or source.blanked or source.spec.rules) or self.publish.live

    def stage(self) -> None:
        """A working copy of the released rows with what is needed beside them."""
        if self.separate:
            self.tell("staging", None)
            if blanking.stage(self.engine, self.plan) != self.planned.blanked:
                raise ReleaseError("the source has changed since it was planned; nothing was published")

    def clear(self) -> None:
        """Drops the working copy."""
        if self.separate:
            self.engine.drop_temporary(_STAGED)

    def rows(self) -> Query:
        """The steps that fill what is published, in the keyed order."""
        if not self.separate:
            return shuffled(self.plan, self.engine)
        columns = [query.column(name) for name in self.plan.published]
        made = Query(()).then("released", query.select(columns, _STAGED))
        return self.engine.shuffled(made, self.plan.published)

    def judge(self, item: str) -> Measured:
        """The verifier's measures of what was made; raises `ModelNotMet` unless every model holds on it."""
        self.tell("verifying the published rows", None)
        judged = self.engine.rendered(query.table(_STAGED)) if self.separate else item
        rows = self._published(judged)
        if self.once:
            rows = counted(self.engine, rows, self.plan.published, self.plan.number)
        measured = verify(self.engine, rows, self.plan.models)
        measured = replace(measured, verdicts=blanking.told(measured.verdicts, self.planned.blanked))
        if not measured.holds:
            if self.plan.suppressed == "star":
                raise Starred
            raise ModelNotMet(_broken(measured.verdicts), measured.verdicts)
        if self.plan.suppressed != "star":
            _agree(self.planned.verdicts, measured.verdicts)
        if blocking := [rule for rule in gates.judge(self.engine, self.plan, self.planned.blanked) if rule.blocks]:
            told = "; ".join(map(str, blocking))
            raise ModelNotMet(f"a rule blocks the release ({told}); nothing was published", measured.verdicts, blocking)
        keys, made = tuple(self.plan.keys), {**self.made(), "linked": self.planned.outcome.linked is not None}
        seen = Seen(self.publish.name, Origin(query=f"SELECT * FROM {item}"), keys, frozenset(self._closed()))
        gate(self.engine, self.spec, seen, made, self.terms.source, self.terms.grants, self._as_planned)
        if self.separate and self._digest(judged) != self._digest(item):
            raise ReleaseError("the published rows are not the ones that were judged; nothing was published")
        return measured

    @property
    def once(self) -> bool:
        """Whether the published rows are read back but once, equal ones together: most are known to be equal."""
        return self.plan.counted is not None and not self.separate

    def _as_planned(self) -> bool:
        """Whether the source is as it was read: rows that were counted when they were planned are not read again."""
        counted = self.plan.recoded.counted
        if counted is None or not self.once:
            return True
        self.engine.temporary("read the source again", _AGAIN, counted.filled)
        items = (self.engine.rendered(query.table(name)) for name in (counted.table, _AGAIN))
        before, now = (self.engine.digest(item, self.plan.source.spec.published, counted.number) for item in items)
        self.engine.drop_temporary(_AGAIN)
        return before == now

    def _digest(self, item: str) -> str:
        if self.once:
            return self.engine.digest(self.engine.rendered(query.table(COUNTED)), self.plan.published, self.plan.number)
        return self.engine.digest(item, self.plan.published)

    def _published(self, item: str) -> Published:
        """What the verifier needs to know of the released rows; nothing of how they were computed."""
        source = self.plan.source
        columns = source.spec.columns
        arranged = {n: columns[n].hierarchy for n in source.sensitive}
        orders = {n: hierarchy.values for n, hierarchy in arranged.items() if isinstance(hierarchy, Order)}
        trees = {n: rows for n, rows in source.rows.items() if n in source.sensitive}
        people = self.plan.population
        population = f"({self.engine.rendered(people)})" if people else None
        return Published(item, self.plan.keys, self.spec.entity, source.reference, orders, trees, population)

    def entry(self, measured: Measured, location: str, item: str) -> register.Entry:
        """The line for the register: facts, with the number of suppressed records made coarse."""
        planned, engine = self.planned, self.engine
        k = k_of(self.plan.models) or 0
        versions = {"sqlanon": register.version(), engine.name: engine.version, "sqlglot": query.version()}
        facts = [planned.plan.fingerprint, json.dumps(versions, sort_keys=True)]
        made, lifetime = register.now(), self.publish.lifetime
        return register.Entry(
            name=self.publish.name, version=register.next_version(engine, self.publish.name), status="published",
            kind=self.publish.as_, location=location,
            fingerprint="sha256:" + hashlib.sha256("\n".join(facts).encode()).hexdigest(),
            versions=json.dumps(versions), rows_out=measured.rows,
            suppressed_at_most=register.coarse(planned.suppressed, k), classes=measured.classes,
            quasi_identifiers=json.dumps(self.plan.keys), counted="persons" if self.spec.entity else "records",
            promises=json.dumps([v.to_dict() for v in measured.verdicts]),
            utility=json.dumps({name: float(f"{planned.utility[name]:.3g}") for name in self._kept_measures()}),
            digest=self._digest(item), recheck=self._recheck(), released_at=made, released_by=engine.user,
            expires_at=made + lifetime if lifetime else None, made=json.dumps(self.made()),
            owner=(self.terms.owner.role or engine.user) if engine.can("grant") else "", source=self.terms.source,
            grants=json.dumps(self.terms.grants), source_state=self.terms.state or "", spec=self._kept(),
        )  # fmt: skip

    def _kept(self) -> str:
        """The spec with what a refresh needs; nothing where the source is gone with the process."""
        whole = self.terms.whole or self.spec
        as_given = not whole.related and whole.columns.keys() == self.spec.columns.keys()
        kept = (whole, self.plan.levels if as_given else None)
        return keep(*kept, self.terms.types) if self.terms.source else ""

    def made(self) -> dict[str, Any]:
        """What was done to the values beside recoding, as far as a reader may know it: never a key."""
        outcome, k = self.planned.outcome, k_of(self.plan.models) or 0
        told: dict[str, Any] = {
            "transforms": [transform.to_dict() for transform in self.spec.transforms],
            "noise_rows": outcome.noise, "swaps": outcome.swaps,
            "cells_blanked_at_most": register.coarse(outcome.cells, k) if outcome.cells else 0,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}

    def _kept_measures(self) -> list[str]:
        """The totals that the register keeps, which anybody who reads the release may know."""
        named = ("loss", "precision", "gcp", self.spec.recoding.loss or "gcp", "discernibility", "average_class_size",
                 "normalized_average_class_size")  # fmt: skip
        return [name for name in dict.fromkeys(n.replace("-", "_") for n in named) if name in self.planned.utility]

    def _recheck(self) -> str:
        """What `verify` needs later, as far as a reader may know it: a file tells nothing of its source."""
        closed = {"closed": self._closed()} if self._closed() else {}
        if self.publish.as_ == "file":
            return json.dumps(closed)
        needed = self._published("")
        told: dict[str, Any] = {
            # What was drawn is drawn no more: comparisons with it then stand as judged.
            "reference": None if self.plan.source.working else needed.reference, "orders": needed.orders,
            "trees": needed.trees, "population": needed.population, **closed,
        }  # fmt: skip
        if self.publish.live:
            told |= {"staged": self.engine.rendered(self.plan.staged), "entity": self.spec.entity}
        return json.dumps(told)

    def _closed(self) -> list[str]:
        """The quasi-identifiers whose published bounds are both in what they hold: a partition's, of no hierarchy."""
        columns = self.plan.source.spec.columns
        names = self.plan.source.quasi_identifiers if self.plan.levels is None else ()
        return [n for n in names if columns[n].represent != "label" and columns[n].hierarchy is None]

    def _recoded(self, name: str) -> tuple[str, ...]:
        """How a quasi-identifier was recoded."""
        source, hierarchy = self.plan.source, self.plan.source.spec.columns[name].hierarchy
        blanks = ["missing in some records, to keep them: one value of a record at most"] * bool(
            self.planned.outcome.cells
        )
        if self.plan.levels is not None:
            level = f"level {self.plan.levels[name]} of {source.height(name)}"
            return (f"{source.hierarchy(name).name} hierarchy", level, *blanks)
        if self.planned.outcome.linked:
            return ("as it is",)
        kind = f"{hierarchy.name} hierarchy" if hierarchy else "without a hierarchy"
        return (kind, "local recoding: what covers the values of its class", *blanks)

    def comments(self, rows: int) -> dict[str, str]:
        """What was done to each published column of a release of so many rows, for its readers."""
        source = self.plan.source
        told: dict[str, str] = {}
        for name, declared in source.spec.columns.items():
            words = [transform.told for transform in source.spec.transforms if name in transform.touched]
            labels = self.plan.recoded.keys.get(name, (name,))
            if declared.role == "quasi-identifier":
                words = ["quasi-identifier", *words, *self._recoded(name)]
            elif words:
                words = [declared.role, *words]
            if words:
                told |= {label: ", ".join(words) for label in labels if label in self.plan.published}
        plain = {name: column.role for name, column in source.spec.columns.items() if name not in told}
        told |= {name: f"{plain[name]}, published as it is" for name in plain if name in self.plan.published}
        return {name: text + self._left_out(rows) for name, text in told.items()}

    def _left_out(self, rows: int) -> str:
        """The share of suppressed records: of coarse numbers, so that it tells no more than the register does."""
        most = register.coarse(self.planned.suppressed, k_of(self.plan.models) or 0)
        if not most:
            return ""
        share = -(-100 * most // (rows + most * (self.plan.suppressed != "star")))
        return (
            f"; at most {min(share, 100)}% of the records {'are *' if self.plan.suppressed == 'star' else 'left out'}"
        )


def _broken(verdicts: tuple[Verdict, ...]) -> str:
    broken = [v for v in verdicts if not v.holds]
    told = "; ".join(
        f"{v.model}{f' of {v.column}' if v.column else ''}: {_number(v.value)} against {_number(v.bound)},"
        f" {v.classes_violating} classes, {v.rows_violating} records"
        for v in broken
    )
    return f"the made release does not hold ({told}); nothing was published"


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"


def _agree(planned: tuple[Verdict, ...], measured: tuple[Verdict, ...]) -> None:
    """Planner and verifier must come to the same numbers in their two ways; if not, one is wrong."""
    for theirs, ours in zip(planned, measured, strict=True):
        numbers = [math.nan if v.value is None else v.value for v in (theirs, ours)]
        missing = [math.isnan(number) for number in numbers]
        if missing != [True, True] and not math.isclose(*numbers, rel_tol=1e-9, abs_tol=1e-9):
            raise ReleaseError(
                f"planner and verifier disagree on {ours.model}: {_number(theirs.value)} and {_number(ours.value)}"
                " (has the source changed meanwhile?); nothing was published"
            )
