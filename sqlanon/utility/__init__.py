"""How useful a release still is: measured against its source.

The source's rows are read once and the release's rows once; every measure is then taken from the combinations that
occur, the classes, and what each published label covers (`covering`). Which records were suppressed is told by numbers
alone: those that the release lacks, and those that it holds with `*` in every quasi-identifier while others say more.
Definitions: each measure's docstring. What no measure here tells: whether the release protects anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.words import is_range
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Csv, Hierarchy, Order, Tree
from sqlanon.models import Model, k_of
from sqlanon.shown import Shown
from sqlanon.spec import Spec
from sqlanon.utility.compared import Compared, comparing
from sqlanon.utility.counting import QueryError, query_error
from sqlanon.utility.covering import Cover, Ints, Recoded, Represent
from sqlanon.utility.divergence import kl_divergence
from sqlanon.utility.losses import Classes, Labels, Losses, classes, losses
from sqlanon.utility.shifts import CorrelationShift, Shift, correlation_shift, distribution_shift

__all__ = ["Against", "Described", "Recoded", "Utility", "measure"]


@dataclass(frozen=True)
class Utility(Shown):
    """What a release kept of its source.

    `records` of the source, `released` ones, `suppressed` ones. `ambiguity`: the mean over all records of the number of
    combinations of values that their labels cover (Nergiz & Clifton 2007); a suppressed record could be anything.
    `kl_divergence` in bits, None where infinite. The others: their classes.
    """

    records: int
    released: int
    suppressed: int
    losses: Losses
    classes: Classes
    ambiguity: float | None
    kl_divergence: float | None
    query_error: QueryError | None
    distribution_shift: Mapping[str, Shift | None]
    correlation_shift: CorrelationShift

    def to_dict(self) -> dict[str, object]:
        """The `utility` of `check --against`, and of `plan` and `release` with `--utility`."""
        return {
            **self.losses.to_dict(),
            **self.classes.to_dict(),
            "suppressed": self.suppressed,
            "ambiguity": self.ambiguity,
            "kl_divergence": self.kl_divergence,
            "columns": {name: dict(vars(column)) for name, column in self.losses.columns.items()},
            "query_error": self.query_error.to_dict() if self.query_error else None,
            "distribution_shift": {n: s.to_dict() if s else None for n, s in self.distribution_shift.items()},
            "correlation_shift": self.correlation_shift.to_dict(),
        }


def measure(
    engine: Engine,
    released: Origin,
    source: Origin,
    *,
    columns: Sequence[Recoded],
    sensitive: Mapping[str, Hierarchy | None] | Sequence[str] = (),
    k: int | None = None,
    queries: int = 1000,
    seed: int = 1,
) -> Utility:
    """Holds a release against its source: `columns` are its quasi-identifiers, `sensitive` others, published unchanged.

    `sensitive` may give each column's hierarchy, of which `order` tells the order of its values. Raises `SpecError` for
    columns that are not there, values no hierarchy knows, labels that cover nothing, a source without rows; and
    `EngineError`.
    """
    for where, number in (("--queries", queries), ("seed", seed)):
        if number < 0:
            raise SpecError("this is a whole number, 0 or more", where=where, found=str(number))
    others = dict(sensitive) if isinstance(sensitive, Mapping) else dict.fromkeys(sensitive)
    others = {name: order for name, order in others.items() if name not in {c.name for c in columns}}
    with comparing(engine, released, source, columns, others) as found:
        return _measured(found, k, queries, seed)


def _measured(found: Compared, k: int | None, queries: int, seed: int) -> Utility:
    sizes, records, suppressed = found.sizes, found.records, found.suppressed
    invented = max(found.released - records, 0)
    squares = float((sizes.astype(np.float64) ** 2).sum())
    return Utility(
        records, found.released, suppressed,
        losses([labels_of(cover, found.published(i)) for i, cover in enumerate(found.covers)], suppressed),
        classes(squares, len(sizes), records=records, suppressed=suppressed, k=k, invented=invented),
        _ambiguity(found), kl_divergence(found), query_error(found, queries, seed),
        distribution_shift(found), correlation_shift(found),
    )  # fmt: skip


def labels_of(cover: Cover, published: Ints) -> Labels:
    """What losses need of a quasi-identifier, from its cover and the records per published label."""
    least, greatest = cover.ends()
    numbers = cover.values.numbers[~np.isnan(cover.values.numbers)]
    width = float(np.ptp(numbers)) if len(numbers) else 0.0
    spans = (greatest - least) / width if width > 0 else np.full(len(cover), np.nan)
    return Labels(
        cover.recoded.name, cover.recoded.weight, published.astype(np.float64), cover.leaves.astype(np.float64), spans,
        cover.mapped.astype(np.float64), cover.levels, cover.recoded.height, len(cover.values),
        cover.values.records.astype(np.float64),
    )  # fmt: skip


def _ambiguity(found: Compared) -> float | None:
    covered, everything = np.ones(len(found.sizes)), 1.0
    for cover, labels in zip(found.covers, found.classes, strict=True):
        covered = covered * cover.leaves[labels]
        everything *= len(cover.values)
    mean = (float(covered @ found.sizes) + everything * found.suppressed) / (
        float(found.sizes.sum()) + found.suppressed
    )
    return mean if np.isfinite(mean) else None


# -- a release that somebody else made ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Against:
    """What a relation is to be held against: its source, and what is known of how it was made."""

    source: Origin
    hierarchies: Mapping[str, Hierarchy] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    k: int | None = None
    queries: int = 1000

    def measure(
        self, engine: Engine, released: Origin, quasi_identifiers: Sequence[str], sensitive: Sequence[str]
    ) -> Utility:
        """The usefulness of a relation with these published columns. Raises as `measure` does."""
        before = [found.name for found in engine.columns(self.source)]
        after = {found.name: found for found in engine.columns(released)}
        columns = [self._recoded(name, how) for name, how in _represented(quasi_identifiers, before, after).items()]
        others = {name: self.hierarchies.get(name) for name in sensitive}
        return measure(engine, released, self.source, columns=columns, sensitive=others, k=self.k, queries=self.queries)

    def _recoded(self, name: str, represent: Represent) -> Recoded:
        hierarchy, weight = self.hierarchies.get(name), self.weights.get(name, 1.0)
        if hierarchy is None:
            return Recoded(name, represent=represent, weight=weight)
        return Recoded(name, hierarchy, hierarchy.rows(Path()), represent, weight)


def _represented(published: Sequence[str], before: Sequence[str], after: Mapping[str, Column]) -> dict[str, Represent]:
    """The source's quasi-identifiers behind the published columns: two of them may be the bounds of one."""
    found: dict[str, Represent] = {}
    for name in published:
        stem = name.removesuffix("_from").removesuffix("_to")
        if name in before:
            found[name] = "range" if name in after and is_range(after[name].type) else "label"
        elif stem in before and {f"{stem}_from", f"{stem}_to"} <= {*published}:
            found[stem] = "bounds"
        else:
            raise SpecError("the source has no such column", where="--against", found=name, allowed=before)
    return found


@dataclass(frozen=True)
class Described:
    """What is known of a relation that is to be measured: by a spec, by what was asked for, or by both.

    `quasi_identifiers` are its own columns; `hierarchies` of its source's columns name files as seen from here. `texts`
    are columns that a file shows as texts, whatever they look like.
    """

    quasi_identifiers: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    hierarchies: Mapping[str, Hierarchy] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    k: int | None = None
    texts: tuple[str, ...] = ()

    @staticmethod
    def by(spec: Spec) -> Described:
        """What a spec tells of the relation that it makes."""
        columns, published = spec.columns, list[str]()
        for name in spec.quasi_identifiers:
            bounds = columns[name].represent == "bounds"
            published += [f"{name}_from", f"{name}_to"] if bounds else [name]
        hierarchies = {name: _seen_from_here(spec, c.hierarchy) for name, c in columns.items() if c.hierarchy}
        # Only categories tell how far sensitive values are apart.
        apart = {n: h for n, h in hierarchies.items() if n not in spec.sensitive or isinstance(h, Csv | Tree | Order)}
        weights, texts = {n: c.weight for n, c in columns.items()}, [n for n, c in columns.items() if c.type == "text"]
        return Described(tuple(published), spec.sensitive, apart, weights, k_of(spec.privacy), tuple(texts))

    def and_given(
        self, quasi_identifiers: Sequence[str], sensitive: Sequence[str], hierarchies: Mapping[str, Hierarchy],
        models: Sequence[Model],
    ) -> Described:  # fmt: skip
        """The same, where what was given by hand counts first."""
        return replace(
            self, quasi_identifiers=tuple(quasi_identifiers) or self.quasi_identifiers,
            sensitive=tuple(sensitive) or self.sensitive, hierarchies={**self.hierarchies, **hierarchies},
            k=k_of(models) or self.k,
        )  # fmt: skip

    def read(self, engine: Engine, origin: Origin) -> Origin:
        """The same rows, with those of its columns as texts that are known to be."""
        if origin.file is None or not self.texts:
            return origin
        there = {found.name for found in engine.columns(origin)}
        return replace(origin, text_columns=tuple(name for name in self.texts if name in there))

    def against(self, source: Origin, queries: int) -> Against:
        """The source to hold the relation against."""
        return Against(source, self.hierarchies, self.weights, self.k, queries)


def _seen_from_here(spec: Spec, hierarchy: Hierarchy) -> Hierarchy:
    return Csv(spec.resolve(hierarchy.path)) if isinstance(hierarchy, Csv) else hierarchy
