"""How much is left of each value: losses per quasi-identifier, from the numbers of its labels alone.

Every mean is over all cells of the source; a suppressed record (one that the release lacks, or holds with `*` in every
quasi-identifier) costs as much as there is to lose. 0 is nothing lost. What these measures do not tell: whether values
that belong together stayed together; see the classes, the queries and the shifts for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """The published labels of one quasi-identifier, one element each, suppressed records left out.

    `published`: records. `leaves`: values covered, of `domain` in all. `spans`: greatest − least number covered, as a
    share of the column's range; NaN where it is not numbers. `mapped`: records of the source whose value the hierarchy
    maps to the label. `levels` of `height`; NaN where unknown. `occurring`: records of the source per value.
    """

    name: str
    weight: float
    published: Floats
    leaves: Floats
    spans: Floats
    mapped: Floats
    levels: Floats
    height: int
    domain: int
    occurring: Floats


@dataclass(frozen=True)
class ColumnLoss:
    """What one quasi-identifier lost; all but `entropy` (bits, summed over the records) are means from 0 to 1.

    `ncp`: normalised certainty penalty (Xu et al. 2006): the span of the label's numbers ÷ the column's range; for
    categories leaves ÷ domain, 0 for one leaf. `iloss`: (leaves − 1) ÷ (domain − 1) (Xiao & Tao 2006). `domain_share`:
    leaves ÷ domain, ARX's granularity before it is scaled, at least 1 ÷ domain. `precision`: level ÷ height; Sweeney's
    Prec (2002) is 1 minus it; None where a label's level is unknown. `entropy`: non-uniform entropy (Gionis & Tassa
    2009), Σ log2(records mapped to the label ÷ records of the value), computed per level so that it is monotone;
    `normalized_entropy`: the same ÷ its value for a column that is `*` throughout.
    """

    ncp: float
    iloss: float
    domain_share: float
    precision: float | None
    entropy: float
    normalized_entropy: float


@dataclass(frozen=True)
class Losses:
    """What all quasi-identifiers lost. `columns` by name; `weights` in the same order."""

    columns: dict[str, ColumnLoss]
    weights: tuple[float, ...]

    @property
    def gcp(self) -> float:
        """Global certainty penalty: the mean NCP over all cells (Ghinita et al. 2007); columns count alike."""
        return math.fsum(column.ncp for column in self.columns.values()) / len(self.columns)

    @property
    def iloss(self) -> float:
        """The weighted mean of the columns' ILoss."""
        return self._mean([column.iloss for column in self.columns.values()])

    @property
    def loss(self) -> float:
        """ARX's loss: the weighted geometric mean of 1 + ILoss over the columns, minus 1; what `plan` keeps small."""
        return math.expm1(self._mean([math.log1p(column.iloss) for column in self.columns.values()]))

    @property
    def precision(self) -> float | None:
        """The weighted mean of level ÷ height, as ARX's objective of that name: Sweeney's Prec is 1 minus it."""
        found = [column.precision for column in self.columns.values()]
        known = [share for share in found if share is not None]
        return self._mean(known) if len(known) == len(found) else None

    @property
    def entropy(self) -> float:
        """Non-uniform entropy in bits, the weighted sum of the columns', as the objective of that name."""
        return self._sum([column.entropy for column in self.columns.values()])

    @property
    def normalized_entropy(self) -> float:
        """The weighted mean of the columns' normalised entropy."""
        return self._mean([column.normalized_entropy for column in self.columns.values()])

    def _sum(self, numbers: Sequence[float]) -> float:
        return math.fsum(weight * number for weight, number in zip(self.weights, numbers, strict=True))

    def _mean(self, numbers: Sequence[float]) -> float:
        return self._sum(numbers) / math.fsum(self.weights)

    def to_dict(self) -> dict[str, object]:
        """The totals, and `ncp` per column."""
        return {
            "loss": self.loss, "precision": self.precision, "gcp": self.gcp, "iloss": self.iloss,
            "entropy": self.entropy, "normalized_entropy": self.normalized_entropy,
            "ncp": {name: column.ncp for name, column in self.columns.items()},
        }  # fmt: skip


def losses(columns: Sequence[Labels], suppressed: int) -> Losses:
    """The losses of all quasi-identifiers, where so many records were suppressed."""
    return Losses({labels.name: _lost(labels, suppressed) for labels in columns}, tuple(c.weight for c in columns))


def penalties(labels: Labels) -> Floats:
    """The NCP of each label."""
    share = np.where(labels.leaves > 1, labels.leaves / labels.domain, 0.0)
    narrow = (labels.leaves > 1) & (labels.leaves < labels.domain) & ~np.isnan(labels.spans)
    return np.where(narrow, labels.spans, share)


def _lost(labels: Labels, suppressed: int) -> ColumnLoss:
    records = float(labels.published.sum()) + suppressed

    def mean(cost: Floats) -> float:
        return float(math.fsum([*(cost * labels.published), suppressed]) / records)

    levels = labels.levels / max(labels.height, 1)
    bits, most = _bits(labels, suppressed, records)
    return ColumnLoss(
        mean(penalties(labels)), mean((labels.leaves - 1) / max(labels.domain - 1, 1)),
        mean(labels.leaves / labels.domain), None if np.isnan(levels).any() else mean(levels),
        bits, min(bits / most, 1.0) if most > 0 else 0.0,
    )  # fmt: skip


def _bits(labels: Labels, suppressed: int, records: float) -> tuple[float, float]:
    """The bits that were lost, and the most that there are: Σ log2 n(label) − Σ log2 n(value) over all records.

    Which value a published record had need not be known: Σ log2 n(value) is the same however they were published.
    """
    whole = float(labels.occurring.sum())
    everything = math.log2(whole)
    labelled = math.fsum([*(labels.published * np.log2(np.maximum(labels.mapped, 1))), suppressed * everything])
    held = labels.occurring[labels.occurring > 0]
    own = math.fsum(held * np.log2(held))
    # With invented records among them, a record's share counts.
    return max(whole / records * labelled - own, 0.0), whole * everything - own


# -- classes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """What the sizes of the classes tell.

    `discernibility`: Σ |E|², and all records of the source once per suppressed one (Bayardo & Agrawal 2005); its
    `baseline` is n·k. `average_class_size`: records ÷ classes, where suppressed records together are one more class;
    `normalized_average_class_size`: the same ÷ k, C_AVG (LeFevre et al. 2006). None where there is no k.
    """

    discernibility: float
    discernibility_baseline: float | None
    average_class_size: float
    normalized_average_class_size: float | None

    def to_dict(self) -> dict[str, object]:
        """These numbers under their names."""
        return dict(vars(self))


def classes(squares: float, kept: int, *, records: int, suppressed: int, k: int | None, invented: int = 0) -> Classes:
    """The measures of `kept` classes whose squared sizes sum to `squares`; `invented` records are in no source."""
    size = (records + invented) / max(kept + (suppressed > 0), 1)
    return Classes(
        float(squares) + float(records) * suppressed, float(records * k) if k else None, size, size / k if k else None
    )
