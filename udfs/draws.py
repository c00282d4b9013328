"""Keyed draws: random numbers that only who has the key can foresee, and that are the same on every engine.

*What it is*: a draw depends on the key, the name of its stream and the number of the record, and on nothing else: no
state, no order, no thread. blake2b (RFC 7693, keyed) gives 64 bytes per eight records, 52 bits per draw.
*Units*: `uniform` lies strictly between 0 and 1; `normal` has mean 0 and standard deviation 1.
*Leaves*: no mechanism of differential privacy: floating-point noise lets its input be told from its last bits (Mironov
2012), and whoever has the key takes it off again. A draw belongs into a table, once; never into a view.
*Raises*: ValueError for an empty key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LANES = 8  # draws per hash
_UNIT = 2.0**-52
_STANDARD = NormalDist()


@lru_cache(maxsize=64)
def _hasher(key: str, stream: str) -> Any:
    """The hash of a stream, to be continued with the number of a block; keys of any length are brought to 64 bytes."""
    if not key:
        raise ValueError("draws need a key")
    secret = hashlib.blake2b(key.encode(), digest_size=64, person=b"sqlanon key").digest()
    name = stream.encode()
    return hashlib.blake2b(len(name).to_bytes(8, "little") + name, key=secret, digest_size=64, person=b"sqlanon draws")


def _block(key: str, stream: str, block: int) -> bytes:
    hasher = _hasher(key, stream).copy()
    hasher.update(block.to_bytes(8, "little", signed=True))
    digest: bytes = hasher.digest()
    return digest


def uniform(key: str, stream: str, number: int) -> float:
    """A draw between 0 and 1 for one record of a stream."""
    block, lane = divmod(number, _LANES)
    bits = int.from_bytes(_block(key, stream, block)[8 * lane : 8 * lane + 8], "little")
    return ((bits >> 12) + 0.5) * _UNIT


def normal(key: str, stream: str, number: int) -> float:
    """A draw from the standard normal distribution, by the inverse of its distribution function (Wichura 1988)."""
    return _STANDARD.inv_cdf(uniform(key, stream, number))


def uniforms(key: str, streams: Sequence[str] | npt.NDArray[np.object_], numbers: Ints) -> Floats:
    """`uniform` of many records at once."""
    found = np.empty(len(numbers), dtype=np.float64)
    names = np.asarray(streams, dtype=object)
    for stream in sorted(set(names.tolist())):
        here = np.flatnonzero(names == stream)
        blocks, at = np.unique(numbers[here] // _LANES, return_inverse=True)
        digests = b"".join(_block(key, stream, block) for block in blocks.tolist())
        bits = np.frombuffer(digests, dtype="<u8").reshape(-1, _LANES)[at, numbers[here] % _LANES]
        found[here] = ((bits >> np.uint64(12)) + 0.5) * _UNIT
    return found


def normals(key: str, streams: Sequence[str] | npt.NDArray[np.object_], numbers: Ints) -> Floats:
    """`normal` of many records at once."""
    return np.array([_STANDARD.inv_cdf(u) for u in uniforms(key, streams, numbers).tolist()], dtype=np.float64)
