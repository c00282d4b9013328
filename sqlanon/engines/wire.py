"""Postgres's rows as arrays: columns of fixed width straight from its binary COPY, all others cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_NUMPY = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float4": ">f4", "float8": ">f8", "bool": "?"}
FIXED = frozenset(_NUMPY)
_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_DECLARED = {"i": "int8", "u": "int8", "f": "float8", "b": "bool"}
_HEADER, _TRAILER = 19, 2  # bytes before the first and after the last row
_FILL: dict[str, object] = {"i": 0, "f": 0.0, "b": False}


def fixed(data: bytearray, kinds: Sequence[str]) -> list[Array] | None:
    """The columns of a binary COPY whose types all have a fixed width; None where a value is missing."""
    fields: list[Any] = [("fields", ">i2")]
    for i, kind in enumerate(kinds):
        fields += [(f"length {i}", ">i4"), (f"value {i}", _NUMPY[kind])]
    row, size = np.dtype(fields), len(data) - _HEADER - _TRAILER
    if size % row.itemsize:
        return None
    rows = np.frombuffer(data, dtype=row, offset=_HEADER, count=size // row.itemsize)
    widths = [np.dtype(_NUMPY[kind]).itemsize for kind in kinds]
    if not all((rows[f"length {i}"] == width).all() for i, width in enumerate(widths)):
        return None
    return [rows[f"value {i}"].astype(np.dtype(_NUMPY[kind]).newbyteorder("=")) for i, kind in enumerate(kinds)]


def packed(cells: Sequence[Array]) -> bytes | None:
    """Columns as a binary COPY; None where a type has no fixed width, or a value is missing."""
    kinds = [_DECLARED.get(column.dtype.kind) for column in cells]
    if any(kind is None for kind in kinds) or any(np.ma.is_masked(column) for column in cells):
        return None
    fields: list[Any] = [("fields", ">i2")]
    for i, kind in enumerate(kinds):
        fields += [(f"length {i}", ">i4"), (f"value {i}", _NUMPY[str(kind)])]
    rows = np.empty(len(cells[0]), dtype=np.dtype(fields))
    rows["fields"] = len(cells)
    for i, (column, kind) in enumerate(zip(cells, kinds, strict=True)):
        rows[f"length {i}"], rows[f"value {i}"] = np.dtype(_NUMPY[str(kind)]).itemsize, np.ma.getdata(column)
    return _SIGNATURE + bytes(8) + rows.tobytes() + b"\xff\xff"


def listed(rows: Sequence[tuple[Any, ...]], kinds: Sequence[str]) -> list[Array]:
    """The columns of fetched rows, masked where a value is missing."""
    found: list[Array] = []
    for i, kind in enumerate(kinds):
        cells, dtype = [row[i] for row in rows], np.dtype(_NUMPY.get(kind, "O")).newbyteorder("=")
        gone = np.array([cell is None for cell in cells], dtype=bool)
        filled = np.array([_FILL.get(dtype.kind) if cell is None else cell for cell in cells], dtype=dtype)
        found.append(np.ma.masked_array(filled, gone) if gone.any() else filled)
    return found


def declared(cells: Array) -> str:
    """The type of a column that holds an array."""
    return _DECLARED.get(cells.dtype.kind, "text")
