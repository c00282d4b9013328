"""The report for the data protection officer: what was promised, measured and done, what it costs, and what it leaves.

    >>> with sqlanon.connect("duckdb:///clinic.duckdb") as engine:
    ...     found = sqlanon.report("patients_release", engine=engine)

Facts alone: `markdown` and `page` show them. No number in them is small and no value is that of a few: see `minimum`.
What cannot be told stands in `missing` with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlanon import query, register
from sqlanon.comparison import compare
from sqlanon.defaults import MINIMUM_CELL
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, ReleaseError, SpecError
from sqlanon.flow.model import FlowModel
from sqlanon.planning import Planned
from sqlanon.prediction import Target
from sqlanon.report import columns as held
from sqlanon.report import risks, searches
from sqlanon.report.counts import counted
from sqlanon.report.describing import flow_of, histories, repairs, sentences, told_columns
from sqlanon.report.limits import limits
from sqlanon.report.minimum import Cell
from sqlanon.report.proofs import models
from sqlanon.report.reproducing import reproduce
from sqlanon.report.standards import Measured, standards
from sqlanon.report.subjects import Subject, subject
from sqlanon.spec import Spec
from sqlanon.telling import Tell, silent

__all__ = ["Report", "report"]

Part = Any
T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What is told of one release, plan or relation; each part as `to_dict` has it, None where it is in `missing`."""

    title: str
    kind: str
    name: str | None
    version: int | None
    engine: str
    source: str
    made_at: str
    made_by: str | None
    sqlanon: str
    minimum_cell: int
    rounding: int
    holds: bool | None
    summary: Part
    models: Part
    columns: Part
    classes: Part = None
    risk: Part = None
    value_prediction: Part = None
    attacks: Part = None
    correlations: Part = None
    search: Part = None
    methods: Part = None
    fields: Part = None
    repairs: Part = None
    flow: Part = None
    history: Part = field(default_factory=list)
    limits: Part = field(default_factory=list)
    standards: Part = field(default_factory=list)
    reproduce: Part = None
    missing: Part = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def report(
    engine: Engine,
    what: str | Path | Spec | Origin,
    *,
    spec: Spec | None = None,
    quasi_identifiers: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    minimum_cell: int = MINIMUM_CELL,
    comparing: bool = False,
    flow: FlowModel | None = None,
    predict: Mapping[str, str | None] | None = None,
    planned: Planned | None = None,
    tell: Tell = silent,
) -> Report:
    """Gathers the facts about a release by its name, about a spec, or about a relation with `spec` or columns.

    `comparing`: plans every way of recoding too. `flow`: a data-flow model that is drawn. `predict`: columns with their
    margins. `planned`: the plan of the release, where it is still at hand, for its search. Changes nothing. Raises
    `SpecError`, `ModelNotMet` where a spec allows no release, `EngineError`, `ReleaseError`.
    """
    if minimum_cell < 1:
        raise SpecError(
            "the minimum cell is a number of records from 1", where="--minimum-cell", found=str(minimum_cell)
        )
    with engine.working(), subject(engine, what, spec, quasi_identifiers, sensitive, tell) as found:
        about = found if planned is None else replace(found, planned=planned)
        cell = Cell(minimum_cell, _records(about, minimum_cell))
        made = _Gathering(about, cell, tell, predict or {}).report()
    # These plan anew, and so work in a room of their own.
    by = about.spec
    if comparing and by is not None:
        ways = made.part("methods", lambda: searches.methods(compare(by, engine, tell=tell), _way(about), made.cell))
        made = made.with_(methods=ways)
    else:
        made.lacks("methods", "not asked for: --compare" if by else "no spec is known")
    if flow is not None:
        tell("assessing the flow", None)
        made = made.with_(flow=made.part("flow", lambda: flow_of(flow, engine, cell)))
    else:
        made.lacks("flow", "no data-flow model was given: --flow MODEL.yaml")
    return made.done()


def _way(about: Subject) -> str:
    recoding = about.spec.recoding if about.spec else None
    if recoding is None:
        return ""
    if recoding.method == "mondrian" and recoding.cuts == "relaxed":
        return "mondrian, relaxed"
    even = recoding.method == "hilbert" and (recoding.order, recoding.groups) == ("gray", "even")
    return "hilbert, plain SQL" if even else str(recoding.method)


def _records(about: Subject, persons: int) -> int:
    """So many records are of at least so many persons, in the source; round, since the most of one person is theirs."""
    entity = about.spec.entity if about.spec else None
    if entity is None or about.before is None or persons == 1:
        return persons
    item, who = about.engine.origin(about.before), about.engine.rendered(query.column(entity, "s"))
    counted = f"SELECT max(n) FROM (SELECT count(*) AS n FROM {item} AS s GROUP BY {who}) AS c"
    ((most,),) = about.engine.run("count the records of a person", query.Text(counted))
    steps: Iterator[int] = (times * int(10**power) for power in range(20) for times in (1, 2, 5))
    return persons * next(step for step in steps if step >= int(most or 1))


@dataclass
class _Gathering:
    """The parts of one report as they come in; what cannot be had is written down."""

    about: Subject
    cell: Cell
    tell: Tell
    asked: Mapping[str, str | None]
    missing: list[dict[str, str]] = field(default_factory=list)
    made: Report | None = None

    def lacks(self, part: str, why: str) -> None:
        """Says why a part is not there."""
        self.missing.append({"part": part, "why": why})

    def part(self, name: str, get: Callable[[], T | None], otherwise: str = "there is nothing to tell") -> T | None:
        """A part, or None with its reason."""
        try:
            found = get()
        except (SpecError, ReleaseError, EngineError) as error:
            self.lacks(name, str(getattr(error, "problem", error)).split("\n")[0])
            return None
        if found is None:
            self.lacks(name, otherwise)
        return found

    def with_(self, **parts: Part) -> _Gathering:
        """The same with more parts."""
        assert self.made is not None
        return replace(self, made=replace(self.made, **parts))

    def done(self) -> Report:
        """The report."""
        assert self.made is not None
        return replace(self.made, missing=self.missing)

    def report(self) -> _Gathering:
        """Measures what there is to measure, each relation as few times as can be."""
        about, cell, engine = self.about, self.cell, self.about.engine
        self.tell("holding it against its source", None)
        shown = None if about.before is None or not about.recoded else self.part(
            "columns: distributions", lambda: held.compared(about, cell))  # fmt: skip
        if about.before is None:
            for part in ("columns: distributions", "correlations", "risk before"):
                self.lacks(part, about.unread)
        rows = self._rows(shown)
        if rows[0] is not None and rows[2] is not None:
            self.cell = cell = cell.knowing(rows[0], rows[1], rows[2])
        self.tell("measuring the risks", None)
        after = self.part("risk", self._after)
        before, found = self._before(), self._scenarios(after)
        attacks = self.part("attacks", lambda: self._attacks())
        predicted, fields_ = self._predictions(after.classes if after else 0)
        scenario = {
            "threshold": risks.THRESHOLD, "units": after.units if after else "records",
            "before": before.scenarios if before else None, "after": found,
            "note": _RECORDS if found and after and about.persons and after.units == "records" else None,
        }  # fmt: skip
        classes = self.part("classes", lambda: risks.classes(after, cell) if after else None, "too few records")
        search = self.part("search", self._search, "nothing was searched: classes follow the data, or levels are given")
        evidence = Measured(about, found, attacks or [])
        entry = about.entry
        columns = {**(shown.columns if shown else {}), **self._alone(shown)}
        for name, why in (shown.why if shown else {}).items():
            self.lacks(f"distribution of {name}", why)
        self.made = Report(
            title=about.title, kind=about.kind, name=about.name, version=entry.version if entry else None,
            engine=f"{engine.name} {engine.version}", source=_source(about),
            made_by=entry.released_by if entry else None,
            made_at=(entry.released_at if entry else datetime.now(UTC)).isoformat(timespec="seconds"),
            sqlanon=register.version(), minimum_cell=cell.persons, rounding=cell.records, holds=about.holds,
            summary=self._summary(rows, after, found, shown), models=models(about, cell),
            columns=told_columns(about, columns),
            classes=classes, risk=scenario, value_prediction=predicted, attacks=attacks,
            correlations=shown.correlations if shown else None, search=search, fields=fields_,
            repairs=repairs(about, rows, cell), history=histories(about),
            limits=limits(about, attacks, _beside(about)), standards=standards(evidence), reproduce=reproduce(about),
        )  # fmt: skip
        return self

    def _alone(self, shown: held.Shown | None) -> dict[str, dict[str, Any]]:
        """The columns that were not held against the source together, each by itself."""
        about, cell = self.about, self.cell
        names = about.open if shown else (*about.keys, *about.sensitive, *about.open)
        if about.persons and about.before is None:
            self.lacks("distributions", "without the source nobody can tell how many persons have a value")
            return {}
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            self.tell(f"counting the values of {name}", None)
            source = about.before if name in about.open else None
            told = self.part(f"distribution of {name}", partial(counted, about, name, source, cell))
            if told and told["distribution"] is None:
                self.lacks(f"distribution of {name}", held.FEW)
            found |= {name: told} if told else {}
        return found

    def _after(self) -> risks.Sizes:
        about = self.about
        found = risks.sizes(about.engine, about.rows, about.keys, about.entity, about.population, self.cell)
        k = _persons(about)
        return found if k is None else found.with_persons(k, self.cell)

    def _scenarios(self, after: risks.Sizes | None) -> dict[str, Any] | None:
        """The risks of the published rows; None where records were counted and nobody knows of how many persons."""
        if after is None or not self.about.persons or after.units == "persons":
            return after.scenarios if after else None
        if _persons(self.about) is None:
            self.lacks("risk after", "no published column tells persons apart, and no k of persons was verified")
            return None
        told, k = after.scenarios, _persons(self.about) or 0
        # Classes of enough records may be of few persons, unless no class is.
        sure = {} if k * risks.THRESHOLD >= 1 else {"at_risk_share": None}
        alone = {} if k > 1 else {"unique_share": None}
        return {**told, **alone, "prosecutor": {**told["prosecutor"], **sure}}

    def _before(self) -> risks.Sizes | None:
        from sqlanon.planning import population_of

        about = self.about
        if about.before is None or about.spec is None:
            return None
        spec, origin, engine = about.spec, about.before, about.engine
        return self.part("risk before", lambda: risks.sizes(
            engine, origin, spec.quasi_identifiers, spec.entity, population_of(spec), self.cell))  # fmt: skip

    def _attacks(self) -> list[dict[str, Any]]:
        self.tell("attacking", None)
        return risks.attacks(self.about, self.cell, risks.targets(self.about, self.asked) if self.asked else [])

    def _predictions(self, classes: int) -> tuple[list[dict[str, Any]] | None, dict[str, Any] | None]:
        self.tell("predicting", None)
        wanted: list[Target] = risks.targets(self.about, self.asked)
        if not wanted:
            why = "the sensitive column stands in a second table, by groups" if self.about.apart else (
                "no sensitive column is declared")  # fmt: skip
            self.lacks("value_prediction", why)
            self.lacks("fields", why)
            return None, None
        told = risks.predictions(self.about, wanted, self.cell, self.missing)
        explored = self.part("fields", lambda: risks.fields(self.about, wanted[0], self.cell, classes))
        return told or None, explored

    def _search(self) -> dict[str, Any] | None:
        if self.about.planned is None:
            raise SpecError(
                "the register does not keep how the levels were searched; report the spec to see it"
                if self.about.kind == "release" else "a relation by itself does not tell how it was made"
            )  # fmt: skip
        return searches.lattice(self.about.planned, self.cell)

    def _rows(self, shown: held.Shown | None) -> tuple[int | None, int, int | None]:
        """Records of the source, of the release, and those that were left out, exactly; for sums only."""
        planned = self.about.planned
        if planned is not None:
            return planned.rows_in, planned.rows_out, planned.suppressed
        if shown is not None and self.about.unchanged is not False:
            return shown.rows_in, shown.rows_out, shown.suppressed
        return None, self.about.records or 0, None

    def _summary(
        self,
        rows: tuple[int | None, int, int | None],
        after: risks.Sizes | None,
        risk: dict[str, Any] | None,
        shown: held.Shown | None,
    ) -> dict[str, Any]:
        about, cell = self.about, self.cell
        came, left, lost = rows
        told = {
            "counted": came is not None, "rows_in": cell.count(came), "rows_out": cell.count(left),
            "suppressed": cell.count(lost),
            "suppressed_share": cell.share(lost, came), "entity": about.spec.entity if about.spec else None,
            "classes": after.classes if after else None,
            "method": about.spec.recoding.method if about.spec else None,
            "levels": dict(about.levels) if about.levels is not None else None,
            "noise_rows": cell.count(about.noise), "swaps": cell.count(about.swaps),
            "utility": shown.utility if shown else {},
            "fingerprint": about.entry.fingerprint if about.entry else about.planned and about.planned.plan.fingerprint,
            "source_state": {True: "unchanged", False: "changed", None: "unknown"}[about.unchanged]
            if about.entry else None,
            "notes": list(about.notes), "expired": bool(about.entry and about.entry.expired),
        }  # fmt: skip
        return {"sentences": sentences(about, told, risk, cell), **told}


_RECORDS = (
    "after: records are counted, since no published column tells persons apart; the highest risk is that of the persons"
    " in the smallest group, as it was verified"
)


def _persons(about: Subject) -> int | None:
    """The fewest persons of a class, where a k of persons was verified; None otherwise."""
    k = [one.value for one in about.verdicts if one.model == "k-anonymity" and one.holds and one.value is not None]
    return int(min(k)) if about.persons and k else None


def _beside(about: Subject) -> str | None:
    """What is known of other releases of the same source; None where there are none."""
    entry = about.entry
    if entry is None or not entry.source:
        return None
    others = sorted({
        one.name for one in register.entries(about.engine)
        if one.status == "published" and one.source == entry.source and one.name != entry.name
    })  # fmt: skip
    if not others:
        return None
    return (
        f"{len(others)} other release{'s' * (len(others) > 1)} of the same source stand in this database. Whoever has"
        " several can lay them on top of each other: `sqlanon ledger` measures what they tell together."
    )


def _source(about: Subject) -> str:
    if about.spec is None:
        return str(about.name)
    source = about.spec.source
    return source.table or (Path(source.file).name if source.file else "a query")
