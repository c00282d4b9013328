"""Rules of a spec, judged on the rows that would be published, before they are.

    rules:
      - IF violations(weight) > 20 OR abs(delta(mean, weight)) > 0.5 THEN block
    predictions:
      weight: {margin: 5, threshold: 0.9}

`violations`, `share` and `risk` are those of the observer who finds most, whichever of the published quasi-identifiers
it knows; what counts as predicted is said in `predictions`, or by the models `value-prediction`. `removed` are the
cells that such a model blanked. `before` are the records of the source, `after` those to be published. See `rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlanon import statistics
from sqlanon.blanking import STAGED, Blanked, target
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.exploring import subsets, told
from sqlanon.margins import NUMERIC
from sqlanon.models import ValuePrediction
from sqlanon.plan import Plan
from sqlanon.prediction import Records, Risk, cells, records_of
from sqlanon.rules import Judged, Number
from sqlanon.statistics import Change


@dataclass(frozen=True)
class Facts:
    """What rules ask about a working copy of the rows to be published."""

    engine: Engine
    plan: Plan
    blanked: tuple[Blanked, ...]
    relation: str = STAGED

    def ask(self, function: str, words: Sequence[str]) -> Number:
        """The number that a function comes to; None where there is none."""
        if function == "removed":
            return sum(one.removed for one in self.blanked if one.model.column == words[0])
        if function in ("violations", "share", "risk"):
            return self._predicted(function, words[0])
        return told(self._change, function, *words)

    def _predicted(self, function: str, of: str) -> Number:
        source = self.plan.source
        found = [self._worst(m) for m in source.predicted if m.column == of]
        numbers: list[float] = []
        for risk in (risk for risks in found for risk in risks):
            share = risk.violations / risk.records if risk.records else 0.0
            numbers.append({"violations": risk.violations, "share": share, "risk": risk.highest or 0.0}[function])
        return max(numbers, default=None)

    def _worst(self, model: ValuePrediction) -> list[Risk]:
        keys = self.plan.keys
        with cells(self.engine, self._after, keys, target(model)) as counted:
            return [counted.risk(fields) for fields in (subsets(keys) if model.observer == "any" else [keys])]

    @cached_property
    def _after(self) -> Records:
        return records_of(self.engine, Origin(relation=self.relation))

    @cached_property
    def _change(self) -> Change:
        source = self.plan.source
        before = Records(source.step(), "source", source.columns)
        fields = dict.fromkeys(word for rule in source.spec.parsed for word in rule.asked("field"))
        for name in fields:
            if source.family(name) not in NUMERIC:
                raise SpecError(
                    f"a rule asks for a statistic of {name!r}, which is {source.columns[name].type}", where="rules",
                    found=name, allowed=[n for n in source.spec.published if source.family(n) in NUMERIC],
                )  # fmt: skip
        return statistics.compare(self.engine, before, self._after, list(fields))


def judge(engine: Engine, plan: Plan, blanked: tuple[Blanked, ...], relation: str = STAGED) -> tuple[Judged, ...]:
    """What each rule of the spec comes to on a working copy. Raises `SpecError`, `EngineError`."""
    rules = plan.source.spec.parsed
    facts = Facts(engine, plan, blanked, relation)
    return tuple(rule.judge(facts) for rule in rules)
