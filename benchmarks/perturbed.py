"""Adult, repeated and perturbed: each cell is drawn anew with probability 0.1 from its own column's values.

Plain copies of Adult are nearly free for everyone, because their classes merge at once; perturbed, a million rows hold
about 180,000 distinct combinations and ten million about 677,000. Deterministic.

    python benchmarks/perturbed.py 1000000 /tmp/p1m.csv
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

SHARED = Path(os.environ.get("SQLANON_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def write(rows: int, file: Path, seed: int = 7) -> None:
    """Writes `rows` perturbed records as CSV (`;`) or Parquet."""
    with (SHARED / "data" / "adult" / "adult.csv").open(newline="") as lines:
        header, *records = csv.reader(lines, delimiter=";")
    columns = list(zip(*records, strict=True))
    random, size = np.random.default_rng(seed), len(records)
    places = np.arange(rows) % size
    table = {}
    for name, values in zip(header, columns, strict=True):
        labels, codes = np.unique(np.array(values), return_inverse=True)
        drawn = codes[places]
        moved = random.random(rows) < 0.1
        drawn[moved] = codes[random.integers(0, size, int(moved.sum()))]
        table[name] = pa.DictionaryArray.from_arrays(pa.array(drawn), pa.array(labels))
    perturbed = pa.table(table)
    with duckdb.connect() as connection:
        connection.register("perturbed", perturbed)
        options = "FORMAT csv, DELIMITER ';', HEADER" if file.suffix == ".csv" else "FORMAT parquet"
        connection.execute(f"COPY perturbed TO '{file}' ({options})")


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
