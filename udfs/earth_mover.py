"""Earth mover's distances between the classes of a table and the table itself, many classes at a time.

*What is measured*: the least work that turns a class's distribution of a sensitive column, q, into the
table's, p, when moving a share of the records from one value to another costs the ground distance between
the two values. t-closeness bounds it: the largest distance of any class is at most t.
*Shapes*: `counts` [classes, values], the records of each class that hold each value; `reference` [values],
the records of the table that hold it; both over the same values in the same order. The result is [classes].
*Units*: shares of the class's records, weighted by ground distances of 0 to 1, so 0 (the same distribution)
to 1.
*Source*: Li, Li, Venkatasubramanian, "t-Closeness: Privacy Beyond k-Anonymity and l-Diversity", ICDE 2007.
*Raises*: ValueError where a distance would be without meaning (an empty class, shapes that do not fit, a
hierarchy without a single root); its message holds no value of the table.

Exactness: with n records in the class and N in the table, n * N * (q - p) is made of whole numbers, which
float64 holds exactly up to 2**53. All sums are taken over these and divided once, at the end, so that equal
distributions are at distance 0, and a class that lies exactly on a bound is not pushed over it by rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Nodes = npt.NDArray[np.int64]


def equal(counts: Counts, reference: Counts) -> Floats:
    """Distance when all values are equally far apart: 1/2 sum_i |q_i - p_i|, the variational distance."""
    differences, scale = _differences(counts, reference)
    return _sum_of_absolutes(differences) / (2 * scale)


def ordered(counts: Counts, reference: Counts) -> Floats:
    """Distance when values are as far apart as their ranks: 1/(m-1) sum_i |sum_{j<=i} (q_j - p_j)|.

    The values stand in their order along the axis, and all m of them count, also those that no record
    holds; with a single value there is nowhere to move to, and the distance is 0.
    """
    differences, scale = _differences(counts, reference)
    steps = max(len(reference) - 1, 1)
    return _sum_of_absolutes(np.cumsum(differences, axis=1)) / (steps * scale)


def hierarchical(counts: Counts, reference: Counts, parents: Sequence[Nodes]) -> Floats:
    """Distance when values are as far apart as the height of their lowest common ancestor over the tree's, H.

    `parents` holds one array per inner level, from the leaves up: `parents[h][node]` is the parent, at height
    h + 1, of a node at height h; nodes are numbered from 0, leaves as the values of `counts`, and the last
    array maps all to the root, 0. So H = len(parents).

    The paper sums cost(node) = height(node)/H * min(pos, neg) over the inner nodes, where pos and neg are the
    surplus and the lack among the node's children. As min(pos, neg) = (sum of |child's extra| - |node's
    extra|) / 2 and the root has no extra, the sum telescopes to 1/(2H) * sum of |extra| over all nodes but the
    root, which needs one sum per level.
    """
    differences, scale = _differences(counts, reference)
    _check_hierarchy(len(reference), parents)
    work = _sum_of_absolutes(differences)
    for level, above in pairwise(parents):
        differences = _sums_by_parent(differences, level, len(above))
        work = work + _sum_of_absolutes(differences)
    return work / (2 * len(parents) * scale)


def _differences(counts: Counts, reference: Counts) -> tuple[Floats, Floats]:
    """q - p of every class and value, in whole numbers, and per class the n * N that they are scaled by."""
    if counts.ndim != 2 or counts.shape[1:] != reference.shape:
        raise ValueError(f"counts {counts.shape} must be [classes, values], reference {reference.shape} [values]")
    # int64 products would wrap around silently on huge tables; float64 only rounds
    class_counts, table_counts = counts.astype(np.float64), reference.astype(np.float64)
    sizes, total = class_counts.sum(axis=1), table_counts.sum()
    if not (total > 0 and np.all(sizes > 0) and np.all(class_counts >= 0) and np.all(table_counts >= 0)):
        raise ValueError("every class and the reference must hold at least one record, and no count may be negative")
    return class_counts * total - table_counts * sizes[:, np.newaxis], sizes * total


def _sum_of_absolutes(block: Floats) -> Floats:
    sums: Floats = np.abs(block).sum(axis=1)
    return sums


def _sums_by_parent(block: Floats, level: Nodes, nodes: int) -> Floats:
    """The sums of the columns of `block` that share a parent; a node without children gets 0."""
    order = np.argsort(level, kind="stable")
    present, starts = np.unique(level[order], return_index=True)
    sums = np.zeros((len(block), nodes))
    sums[:, present] = np.add.reduceat(block[:, order], starts, axis=1)
    return sums


def _check_hierarchy(values: int, parents: Sequence[Nodes]) -> None:
    """Refuse levels that would drop or mix up values: the distance would come out too small, so too good."""
    if not parents:
        raise ValueError("a hierarchy needs at least one level, the root, above its values")
    widths = [len(level) for level in parents]
    if widths[0] != values:
        raise ValueError(f"the hierarchy has {widths[0]} leaves, the counts have {values} values")
    for height, (level, nodes) in enumerate(zip(parents, [*widths[1:], 1], strict=True), start=1):
        if np.any((level < 0) | (level >= nodes)):
            raise ValueError(f"a parent at height {height} of the hierarchy is not one of its {nodes} nodes there")
