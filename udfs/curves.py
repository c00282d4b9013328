"""Places on a Hilbert curve: near each other on the curve, near each other in every column.

*What is done*: each row's coordinates, whole numbers below 2**bits, become its rank on the curve through all cells.
Consecutive ranks are neighbouring cells: they differ by one in one column.
*Shapes*: `coordinates` [rows, columns] → ranks [rows], below 2**(bits · columns), which must be at most 62 bits.
*Source*: Skilling, "Programming the Hilbert curve", AIP Conference Proceedings 707, 2004 (axes to transpose).
*Raises*: ValueError where the rank has no room in 62 bits or a coordinate none in `bits`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def hilbert(coordinates: Ints, bits: int) -> Ints:
    """The rank of each row on the curve."""
    count = coordinates.shape[1]
    if bits < 1 or bits * count > 62:
        raise ValueError("a rank on the curve has at most 62 bits")
    if len(coordinates) and not (coordinates.min() >= 0 and coordinates.max() < 1 << bits):
        raise ValueError("a coordinate does not fit its bits")
    axes = _transposed([coordinates[:, i].copy() for i in range(count)], bits)
    rank = np.zeros(len(coordinates), dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        for axis in axes:
            rank = (rank << 1) | ((axis >> bit) & 1)
    return rank


def _transposed(axes: list[Ints], bits: int) -> list[Ints]:
    """The bits of the ranks, dealt out over the axes: the highest bit of each first."""
    for bit in range(bits - 1, 0, -1):
        below = (1 << bit) - 1
        for i in range(len(axes)):
            turned = (axes[i] >> bit) & 1 == 1
            swapped = np.where(turned, 0, (axes[0] ^ axes[i]) & below)
            axes[0] = np.where(turned, axes[0] ^ below, axes[0] ^ swapped)
            axes[i] = axes[i] ^ swapped if i else axes[i]
    for i in range(1, len(axes)):
        axes[i] = axes[i] ^ axes[i - 1]
    flip = np.zeros_like(axes[0])
    for bit in range(bits - 1, 0, -1):
        flip = np.where((axes[-1] >> bit) & 1 == 1, flip ^ ((1 << bit) - 1), flip)
    return [axis ^ flip for axis in axes]
