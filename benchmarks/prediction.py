"""Value prediction over drawn records with four fields: CPU and wall seconds and peak memory of whole processes.

    python benchmarks/prediction.py [--rows 10000000] [--runs 3]

Weights in whole kilograms repeat, so that few cells are left after counting; in tenths they hardly do. The baseline is
one window over the same Parquet file, in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table
from run import median, run

RECORDS = """COPY (SELECT CAST(random() * 60 AS INT) AS age, CAST(random() AS INT) AS sex,
    CAST(random() * 5 AS INT) AS race, CAST(150 + random() * 40 AS INT) AS height,
    CAST(40 + random() * 80 AS INT) AS kilograms,
    round(40 + random() * 80, 1) AS tenths FROM range({rows})) TO '{file}' (FORMAT parquet)"""
WINDOW = """
import duckdb, sys
near = "count(*) OVER (PARTITION BY age, sex, race, height ORDER BY v RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING)"
rows = f"SELECT {near} AS m FROM (SELECT *, CAST({sys.argv[2]} AS DECIMAL(38, 1)) AS v FROM '{sys.argv[1]}')"
with duckdb.connect() as c:
    print(c.execute(f"SELECT sum(m) FROM ({rows})").fetchone())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    table = Table("weights", "", "wall s", "CPU s", "peak MB", title=f"{given.rows:,} records, four fields, margin 5")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.parquet"
        duckdb.connect().execute("SELECT setseed(0.5)").execute(RECORDS.format(rows=given.rows, file=file))
        for column in ("kilograms", "tenths"):
            asked = ["predict", str(file), "--column", column, "--margin", "5", "--fields", "age,sex,race,height"]
            ours = [sys.executable, "-m", "sqlanon", *asked, "--json"]
            for what, command in (
                ("one set of fields", ours), ("all 16 subsets", [*ours, "--all-subsets"]),
                ("one window in SQL", [sys.executable, "-c", WINDOW, str(file), column]),
            ):  # fmt: skip
                taken = [run(command) for _ in range(given.runs)]
                figures = (f"{median(taken, 'wall'):.1f}", f"{median(taken, 'cpu'):.1f}")
                table.add_row(column, what, *figures, f"{median(taken, 'megabytes'):.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
