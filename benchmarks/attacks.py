"""Attacking a table: every attack on classes beside a plain GROUP BY of the same columns, and linkage.

    python benchmarks/attacks.py [--rows 1000000] [--runs 3]

Perturbed Adult as a table in memory, 5 quasi-identifiers, 2 sensitive columns; medians of wall and CPU seconds within
the process. `linkage`: a full-domain release (starred records included) with as many people as it has records.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table
from run import ADULT, write

import sqlanon
from sqlanon.engines.duckdb import DuckDB
from sqlanon.hierarchies import Csv

KEYS = ("sex", "age", "race", "marital-status", "education")
SENSITIVE = ("occupation", "salary-class")
LEVELS = {"sex": 0, "age": 1, "race": 0, "marital-status": 1, "education": 1}


def timed(what: Callable[[], object], runs: int) -> tuple[str, str]:
    """The medians of wall and CPU seconds."""
    taken = []
    for _ in range(runs):
        wall, cpu = time.monotonic(), time.process_time()
        what()
        taken.append((time.monotonic() - wall, time.process_time() - cpu))
    walls, cpus = zip(*taken, strict=True)
    return f"{statistics.median(walls):.2f}", f"{statistics.median(cpus):.2f}"


def hierarchies(names: tuple[str, ...]) -> dict[str, Csv]:
    return {name: Csv(str(ADULT / f"adult_hierarchy_{name}.csv")) for name in names}


def published(engine: DuckDB) -> None:
    """The table `released`: a fifth of the records at most with * in every quasi-identifier."""
    columns = {
        name: {"role": "quasi-identifier", "hierarchy": {"csv": str(ADULT / f"adult_hierarchy_{name}.csv")}}
        for name in KEYS
    }
    rest = dict.fromkeys(("native-country", "workclass", "salary-class"), "insensitive")
    spec = {
        "source": {"table": "people"}, "columns": {**columns, **rest, "occupation": "sensitive"},
        "privacy": [{"model": "k-anonymity", "k": 5}], "publish": {"name": "released"},
        "recoding": {"levels": LEVELS, "suppression": 0.2, "suppressed": "star"},
    }  # fmt: skip
    sqlanon.release(spec, engine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    listed = ", ".join(f'"{name}"' for name in KEYS)
    table = Table("what", "wall s", "CPU s", title=f"{given.rows:,} records")
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "people.parquet"
        write(given.rows, file)
        connection.execute(f"CREATE TABLE people AS FROM '{file}'")
        engine = DuckDB(connection=connection)
        published(engine)

        def grouped(columns: str) -> Callable[[], object]:
            sql = f"SELECT count(*) FROM (SELECT count(*) FROM people GROUP BY {columns})"
            return lambda: connection.execute(sql).fetchall()

        def classes() -> object:
            known = hierarchies(SENSITIVE)
            return sqlanon.attack(
                "people", quasi_identifiers=KEYS, sensitive=SENSITIVE, hierarchies=known, engine=engine
            )

        def linked() -> object:
            known = hierarchies(KEYS)
            return sqlanon.attack("released", external="people", attacks=["linkage"], hierarchies=known, engine=engine)

        table.add_row("GROUP BY the quasi-identifiers", *timed(grouped(listed), given.runs))
        table.add_row("GROUP BY them and occupation", *timed(grouped(f'{listed}, "occupation"'), given.runs))
        table.add_row("every attack on classes", *timed(classes, given.runs))
        table.add_row("linkage with as many people", *timed(linked, given.runs))
    Console().print(table)


if __name__ == "__main__":
    main()
