"""Where a spec meets its source: the columns are looked up, the best transformation searched, the plan compiled.

Changes nothing but working tables of its own connection, which it drops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sqlanon.engines import Engine, Origin
from sqlanon.errors import ModelNotMet, SpecError
from sqlanon.hierarchies import Rows
from sqlanon.models import KAnonymity, LDiversity, SafePub, Verdict, exact
from sqlanon.plan import Plan, Source, compile_plan, resolve
from sqlanon.presets import PRESETS
from sqlanon.query import Query, Text, column, fragment, identifier, table
from sqlanon.recoding.full_domain import Found, Search
from sqlanon.recoding.lattice import Lattice, build
from sqlanon.recoding.objectives import Floats, Separable, objective
from sqlanon.spec import Source as Where
from sqlanon.spec import Spec
from sqlanon.utility import Recoded, Utility, k_of, measure
from sqlanon.utility.covering import amount, amount_of, floats, is_quantity
from sqlanon.utility.losses import Labels, classes, losses

# What is told while the work goes on: a sentence, and how far it is (0..1) where that is known.
Tell = Callable[[str, float | None], None]


# The working table that the records of a differentially private release are drawn into.
SAMPLE = "sqlanon sample"

# Below so many combinations in the base table, a transformation is counted faster by one thread.
_SMALL = 50_000


def silent(_: str, __: float | None) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Planned:
    """A plan with what it would publish: counts, verdicts of the planner, usefulness, and what the search cost."""

    plan: Plan
    found: Found
    engine: str
    rows_in: int
    suppressed: int
    classes: int
    verdicts: tuple[Verdict, ...]
    utility: dict[str, Any]
    seconds: float
    notes: tuple[str, ...] = ()
    usefulness: Utility | None = None

    @property
    def holds(self) -> bool:
        return all(v.holds for v in self.verdicts)

    @property
    def rows_out(self) -> int:
        return self.rows_in if self.plan.suppressed == "star" else self.rows_in - self.suppressed

    def sql(self, engine: Engine) -> str:
        """The statement that makes the release, as it runs; it can be reviewed and run by itself."""
        publish = self.plan.source.spec.publish
        name = engine.sql(identifier(publish.name)) if publish else ""
        kind = publish.as_ if publish else "file"
        head = [
            f"-- {publish.name if publish else 'a plan without a release'}: " + "; ".join(map(str, self.plan.models)),
            "-- levels: " + ", ".join(f"{column} {level}" for column, level in self.plan.levels.items()),
            f"-- {self.rows_out} of {self.rows_in} records in {self.classes} classes when this was planned",
        ]
        made = self.plan.query if kind == "view" else shuffled(self.plan, engine)
        statement = f"CREATE TABLE {name} AS\n" if kind == "table" else ""
        drawn = next((m for m in self.plan.models if isinstance(m, SafePub)), None)
        draw = ""
        if drawn:
            drawing = sample(self.plan.source.drawn_from, drawn).sql
            draw = f"CREATE TEMP TABLE {engine.sql(identifier(SAMPLE))} AS\n{drawing};\n"
        told = "\n".join(" ".join(line.splitlines()) for line in head)
        if kind == "view" and publish:
            return f"{told}\n{draw}{engine.view_statement([publish.name], made)};"
        return f"{told}\n{draw}{statement}{engine.sql(made)};"

    def to_dict(self) -> dict[str, Any]:
        publish = self.plan.source.spec.publish
        return {
            "release": publish.name if publish else None,
            "engine": self.engine,
            "method": self.plan.source.spec.recoding.method,
            "levels": dict(self.plan.levels),
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "suppressed": self.suppressed,
            "noise_rows": 0,
            "swaps": 0,
            "classes": self.classes,
            "utility": (self.usefulness.to_dict() if self.usefulness else {}) | self.utility,
            "models": [v.to_dict() for v in self.verdicts],
            "nodes": self.found.nodes,
            "nodes_checked": self.found.checked,
            "gap": self.found.gap,
            "seconds": round(self.seconds, 3),
            "fingerprint": self.plan.fingerprint,
            "notes": list(self.notes),
        }


def shuffled(plan: Plan, engine: Engine) -> Query:
    """The steps that fill a table or file, in the keyed order."""
    if plan.counted is None:
        return engine.shuffled(plan.query, plan.published)
    return engine.shuffled(plan.counted, plan.published, plan.number)


def source_of(spec: Spec, engine: Engine, frame: object | None = None) -> Source:
    """The spec held against its source. Raises `SpecError` for anything that was not declared, `EngineError`."""
    origin = engine.register(frame) if frame is not None else origin_of(spec)
    columns, item = engine.columns(origin), engine.origin(origin)
    _texts_of_floats(spec, engine, {found.name for found in columns if found.family == "float"})
    if spec.population is not None:
        people = _origin(spec, spec.population)
        return resolve(spec, origin, item, columns, engine.origin(people), engine.columns(people))
    source = resolve(spec, origin, item, columns)
    drawn = next((m for m in spec.privacy if isinstance(m, SafePub)), None)
    return replace(source, origin=_draw(engine, item, drawn), drawn_from=item) if drawn else source


def _texts_of_floats(spec: Spec, engine: Engine, floats: Set[str]) -> None:
    """Refuses, on an engine that writes 1.0 as 1, what reads floating-point numbers as texts. Raises `SpecError`."""
    if engine.can("texts of floats"):
        return
    for name in floats & spec.columns.keys():
        declared = spec.columns[name]
        starred = spec.recoding.suppressed == "star" and declared.role == "quasi-identifier"
        listed = declared.hierarchy is not None and declared.hierarchy.rows(Path(spec.base)) is not None
        if starred or listed:
            raise SpecError(
                f"floating-point numbers have no texts that are the same on every engine, as"
                f" {'a tabled hierarchy' if listed else 'suppressed: star'} needs them; cast the column to numeric in"
                " a `query:` or a view", where=f"columns.{name}",
            )  # fmt: skip


def _draw(engine: Engine, item: str, model: SafePub) -> str:
    """Draws each record with the mechanism's probability into a working table, once for plan and release."""
    engine.temporary("draw the sample", SAMPLE, sample(item, model))
    return engine.sql(table(SAMPLE))


def sample(item: str, model: SafePub) -> Text:
    """The query that draws the sample."""
    return Text(f"SELECT * FROM {item} AS s WHERE random() < {model.sampling!r}")


def origin_of(spec: Spec) -> Origin:
    """Where the spec says that the rows are, seen from the folder of its file."""
    return _origin(spec, spec.source)


def _origin(spec: Spec, source: Where) -> Origin:
    text = tuple(name for name, column in spec.columns.items() if column.type == "text")
    file = Path(spec.resolve(source.file)) if source.file else None
    return Origin(relation=source.table, file=file, query=source.query, delimiter=source.delimiter, text_columns=text)


def make(spec: Spec, engine: Engine, *, frame: object | None = None, tell: Tell = silent) -> Planned:
    """The best plan for a spec. Raises `SpecError`, `EngineError`, `ModelNotMet` where no transformation will do."""
    started = time.monotonic()
    tell("reading the source", None)
    source = source_of(spec, engine, frame)
    with engine.working():
        lattice = build(engine, source)
        found = _search(lattice, spec, tell)
        if found is None:
            raise _refused(lattice, spec)
        return _planned(lattice, source, found, time.monotonic() - started)


def _limit(spec: Spec, records: int) -> int:
    """The suppression limit in whole records, rounded down from the share that was written."""
    return math.floor(exact(spec.recoding.suppression) * records)


def _least(spec: Spec) -> int:
    """A number of records below which no class is kept: k persons have at least k records, l values too."""
    persons = [model.k for model in spec.privacy if isinstance(model, KAnonymity)]
    return max([1, *persons, *(int(model.l) for model in spec.privacy if isinstance(model, LDiversity))])


def _search(lattice: Lattice, spec: Spec, tell: Tell) -> Found | None:
    goal = objective(spec.recoding.loss, lattice.domains, lattice.records, _least(spec))
    limit = _limit(spec, lattice.records)
    progress = {"closed": 0.0}

    def report(checked: int, bound: float, best: float) -> None:
        if math.isfinite(best) and best > 0:
            progress["closed"] = max(progress["closed"], min(bound / best, 1.0))
        tell(f"searching the best transformation ({checked} checked)", progress["closed"])

    search = Search(
        lattice.domains,
        goal,
        limit,
        all(model.monotone_with_suppression or (model.monotone and limit == 0) for model in spec.privacy),
        partial(lattice.check, detail=limit if isinstance(goal, Separable) else -1),
        spec.recoding.time_limit,
        report,
    )
    with lattice.engine.one_thread() if lattice.combinations < _SMALL else nullcontext():
        found = search.run()
    if found is None and search.expired:
        raise ModelNotMet("no transformation that satisfies the models was found within the time limit; raise it")
    return found


def _refused(lattice: Lattice, spec: Spec) -> ModelNotMet:
    """Why nothing can be published: what the most general transformation still comes to."""
    top = tuple(domain.highest for domain in lattice.domains)
    counts, limit = lattice.check(top, -1), _limit(spec, lattice.records)
    told = (
        f"no transformation satisfies {'; '.join(map(str, spec.privacy))}: the most general one suppresses"
        f" {counts.suppressed} of {lattice.records} records, and the limit is {limit}"
    )
    k = next((m.k for m in spec.privacy if isinstance(m, KAnonymity)), 0)
    if k > lattice.records:
        told = f"k = {k} is larger than the table of {lattice.records} records"
    return ModelNotMet(f"{told}; nothing was published")


def _planned(lattice: Lattice, source: Source, found: Found, seconds: float) -> Planned:
    spec = source.spec
    levels = dict(zip(source.quasi_identifiers, found.node, strict=True))
    compiled = compile_plan(source, levels, spec.recoding.suppressed, repeated=lattice.repeated)
    notes = tuple(f"preset {name}: {told}" for name in spec.presets for told in PRESETS[name].told)
    notes += (f"stopped at the time limit; the optimum may be up to {found.gap:.1%} lower",) if found.gap else ()
    return Planned(
        compiled, found, lattice.engine.name, lattice.records, found.counts.suppressed, found.counts.kept_classes,
        lattice.verdicts(found.node), _utility(lattice, source, found), seconds, notes,
    )  # fmt: skip


def _utility(lattice: Lattice, source: Source, found: Found) -> dict[str, Any]:
    """The usefulness of a transformation, as far as the search knows it (reference: models, section 5.1).

    Suppressed records count; the objective in use stands under its name.
    """
    counts, records = found.counts, lattice.records
    suppressed = lattice.check(found.node, records).labels if counts.suppressed else None
    labels = [
        _labels(lattice, source, i, level, suppressed[i] if suppressed else None) for i, level in enumerate(found.node)
    ]
    sizes = classes(
        counts.kept_squares,
        counts.kept_classes,
        records=records,
        suppressed=counts.suppressed,
        k=k_of(source.spec.privacy),
    )
    told = losses(labels, counts.suppressed).to_dict() | sizes.to_dict()
    told[source.spec.recoding.loss.replace("-", "_")] = found.value
    return {name: value for name, value in told.items() if value is not None}


def _labels(lattice: Lattice, source: Source, i: int, level: int, suppressed: Floats | None) -> Labels:
    """What the marginals tell of a quasi-identifier's labels at a level."""
    domain = lattice.domains[i]
    marginal = domain.marginals[level]
    published = marginal.records if suppressed is None else marginal.records - suppressed
    levels = np.full(len(published), float(level))
    return Labels(
        domain.name, domain.weight, published, marginal.leaves, _spans(lattice, source, i, level), marginal.records,
        levels, domain.height, domain.leaves, domain.marginals[0].records,
    )  # fmt: skip


def _spans(lattice: Lattice, source: Source, i: int, level: int) -> Floats:
    """Per label, the span of the numbers that it covers as a share of the column's range; NaN where they are none."""
    domain, name = lattice.domains[i], lattice.domains[i].name
    hierarchy, family, rows = source.hierarchy(name), source.family(name), source.rows.get(name)
    unknown = np.full(len(domain.marginals[level].records), np.nan)
    if not is_quantity(hierarchy, family) or not 0 < level < domain.height:
        return unknown
    asked = fragment(
        "select min($n) as least, max($n) as greatest from $t group by $c order by $c",
        n=amount(column("value"), family), t=table(lattice.labelled(i)), c=column(f"code {level}"),
    )  # fmt: skip
    found = lattice.engine.arrays(f"read the labels of {name}", asked)
    ends = everything = np.stack([floats(found["least"]), floats(found["greatest"])], axis=1)
    if rows is not None:
        # A line that the source lacks is under its label too.
        known, labels = _ends(rows, level, family), {amount_of(row[0], family): row[level] for row in rows}
        ends = np.array([known.get(labels.get(least, ""), (np.nan, np.nan)) for least in ends[:, 0].tolist()])
        everything = np.array([*known.values()])
    numbers = everything[~np.isnan(everything)]
    width = float(np.ptp(numbers)) if len(numbers) else 0.0
    return (ends[:, 1] - ends[:, 0]) / width if width > 0 else unknown


def _ends(rows: Rows, level: int, family: str) -> dict[str, tuple[float, float]]:
    """The least and the greatest number under each label of a tabled hierarchy that has numbers under it."""
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        if (number := amount_of(row[0], family)) is not None:
            least, greatest = found.get(row[level], (number, number))
            found[row[level]] = (min(least, number), max(greatest, number))
    return found


def with_usefulness(planned: Planned, engine: Engine, tell: Tell = silent) -> Planned:
    """The same plan with its whole usefulness: what it would publish, held against the source. Reads both once.

    Raises `EngineError`, and `SpecError` where the source has changed meanwhile.
    """
    tell("measuring the usefulness", None)
    plan, source = planned.plan, planned.plan.source
    columns = []
    for name, level in plan.levels.items():
        declared, height = source.spec.columns[name], source.height(name)
        levels = (level, height) if plan.suppressed == "star" and level < height else (level,)
        columns.append(
            Recoded(name, source.hierarchy(name), source.rows.get(name), declared.represent, declared.weight, levels)
        )
    found = measure(
        engine, Origin(query=engine.sql(plan.query)), Origin(query=f"SELECT * FROM {source.origin}"), columns=columns,
        sensitive={name: source.spec.columns[name].hierarchy for name in source.spec.sensitive}, k=k_of(plan.models),
    )  # fmt: skip
    return replace(planned, usefulness=found)


def drop_instead(planned: Planned) -> Planned:
    """The same plan with suppressed records dropped, for where the starred class does not satisfy a model."""
    before = planned.plan
    compiled = compile_plan(before.source, before.levels, "drop", repeated=before.equal is not None)
    note = "the class of starred records does not satisfy every model, so they were dropped"
    return replace(planned, plan=compiled, notes=(*planned.notes, note))
