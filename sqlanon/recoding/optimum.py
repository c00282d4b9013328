"""The optimal full-domain recoding of a source: searched in its lattice, with what it costs.

Changes nothing but working tables of its own connection, which its caller drops.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet
from sqlanon.hierarchies import Rows
from sqlanon.models import KAnonymity, LDiversity, k_of
from sqlanon.plan import Source
from sqlanon.query import column, fragment, table
from sqlanon.recoding.full_domain import Found, Search
from sqlanon.recoding.lattice import Lattice, build
from sqlanon.recoding.levels import at_levels
from sqlanon.recoding.objectives import Floats, Separable, objective
from sqlanon.recoding.outcome import Outcome, most_suppressed
from sqlanon.spec import Spec
from sqlanon.telling import Tell, silent
from sqlanon.utility.covering import amount, amount_of, floats, is_quantity
from sqlanon.utility.losses import Labels, classes, losses

# Below so many combinations in the base table, a transformation is counted faster by one thread.
_SMALL = 50_000


def optimum(engine: Engine, source: Source, tell: Tell = silent) -> Outcome:
    """The transformation that loses least of those that satisfy the models of the spec.

    Raises `ModelNotMet` where none does, or none was found within the time limit; `EngineError`.
    """
    lattice, spec = build(engine, source), source.spec
    found = _search(lattice, spec, tell)
    if found is None:
        raise _refused(lattice, spec)
    levels, counts = dict(zip(source.quasi_identifiers, found.node, strict=True)), found.counts
    told = f"stopped at the time limit; the optimum may be up to {found.gap:.1%} lower"
    recoded = at_levels(source, levels, starred=spec.recoding.suppressed == "star", counted=lattice.repeated)
    verdicts, utility = lattice.verdicts(found.node), _utility(lattice, source, found)
    lattice.drop()
    return Outcome(
        recoded, lattice.records, counts.suppressed, counts.kept_classes, verdicts, utility, search=found,
        notes=(told,) if found.gap else (),
    )  # fmt: skip


def _least(spec: Spec) -> int:
    """A number of records below which no class is kept: k persons have at least k records, l values too."""
    persons = [model.k for model in spec.privacy if isinstance(model, KAnonymity)]
    return max([1, *persons, *(int(model.l) for model in spec.privacy if isinstance(model, LDiversity))])


def _search(lattice: Lattice, spec: Spec, tell: Tell) -> Found | None:
    goal = objective(spec.recoding.loss or "loss", lattice.domains, lattice.records, _least(spec))
    limit = most_suppressed(spec, lattice.records)
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
    counts, limit = lattice.check(top, -1), most_suppressed(spec, lattice.records)
    told = (
        f"no transformation satisfies {'; '.join(map(str, spec.privacy))}: the most general one suppresses"
        f" {counts.suppressed} of {lattice.records} records, and the limit is {limit}"
    )
    k = next((m.k for m in spec.privacy if isinstance(m, KAnonymity)), 0)
    if k > lattice.records:
        told = f"k = {k} is larger than the table of {lattice.records} records"
    return ModelNotMet(f"{told}; nothing was published")


def _utility(lattice: Lattice, source: Source, found: Found) -> dict[str, float]:
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
    told: dict[str, Any] = losses(labels, counts.suppressed).to_dict() | sizes.to_dict()
    told[(source.spec.recoding.loss or "loss").replace("-", "_")] = found.value
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
