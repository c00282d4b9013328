"""Check and release on PostgreSQL beside the GROUP BY of the same columns, and beside DuckDB, in one run.

    python benchmarks/postgres.py [--rows 3000000] [--runs 3] [--db postgresql://me@/mine]

Perturbed Adult; six quasi-identifiers at given levels, occupation sensitive, k = 5 and 3-diversity. The baseline is the
plain GROUP BY of these seven columns, in a session as the server sets it up. The runs take turns. Without `--db` a
private server is started from the machine's programs, with its own defaults; with it,
the schema `benchmark` and the releases in it are dropped at the end. Needs the shared folder (SQLANON_SHARED).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from perturbed import SHARED, write
from rich.console import Console
from rich.table import Table

import sqlanon
from sqlanon.engines import Engine

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from server import started

KEYS = ("sex", "age", "race", "marital-status", "education", "native-country")
SENSITIVE = "occupation"
LEVELS = {"sex": 0, "age": 2, "race": 1, "marital-status": 1, "education": 2, "native-country": 1}
MODELS = ["k-anonymity(k=5)", f"l-diversity(column={SENSITIVE}, l=3)"]


def spec(source: str) -> dict[str, Any]:
    """Full-domain recoding at the given levels: nothing is searched."""
    tables = {name: SHARED / "data" / "adult" / f"adult_hierarchy_{name}.csv" for name in KEYS}
    columns: dict[str, Any] = {
        name: {"role": "quasi-identifier", "hierarchy": {"csv": str(file)}} for name, file in tables.items()
    }
    return {
        "source": source,
        "columns": {**columns, SENSITIVE: "sensitive", "workclass": "drop", "salary-class": "drop"},
        "privacy": [{"model": "k-anonymity", "k": 5}, {"model": "l-diversity", "column": SENSITIVE, "l": 3}],
        "recoding": {"method": "full-domain", "levels": LEVELS, "suppression": 0.05},
        "publish": {"name": "benchmark_release"},
    }


def group_by(source: str) -> str:
    """The baseline: how many combinations there are."""
    columns = ", ".join(f'"{name}"' for name in (*KEYS, SENSITIVE))
    return f"SELECT count(*) FROM (SELECT count(*) FROM {source} GROUP BY {columns}) AS g"


@contextmanager
def loaded(url: str, rows: int) -> Iterator[tuple[str, str]]:
    """The same rows in a table of the server and of a DuckDB database: what each engine calls the source."""
    with tempfile.TemporaryDirectory() as folder:
        parquet, csv, file = (Path(folder) / name for name in ("rows.parquet", "rows.csv", "rows.duckdb"))
        write(rows, parquet)
        with duckdb.connect(str(file)) as here:
            here.execute(f"CREATE TABLE adult AS SELECT * REPLACE (age::INTEGER AS age) FROM '{parquet}'")
            here.execute(f"COPY adult TO '{csv}' (HEADER false)")
            names = [name for (name,) in here.execute("SELECT column_name FROM (DESCRIBE adult)").fetchall()]
        declared = ", ".join(f'"{name}" {"integer" if name == "age" else "text"}' for name in names)
        with psycopg.connect(url, autocommit=True) as there:
            there.execute("DROP SCHEMA IF EXISTS benchmark CASCADE")
            there.execute("CREATE SCHEMA benchmark")
            there.execute(f"CREATE TABLE benchmark.adult ({declared})".encode())
            with there.cursor().copy("COPY benchmark.adult FROM STDIN (FORMAT csv)") as copy, csv.open("rb") as lines:
                while block := lines.read(1 << 20):
                    copy.write(block)
            there.execute("VACUUM ANALYZE benchmark.adult")
            yield "benchmark.adult", str(file)
            there.execute("DROP SCHEMA benchmark CASCADE")


def timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def work(engine: Engine, source: str) -> dict[str, Callable[[], object]]:
    """What is timed on an engine."""

    def released() -> None:
        sqlanon.release(spec(source), engine)

    def checked(models: list[str], sensitive: list[str]) -> Callable[[], object]:
        return lambda: sqlanon.check(source, quasi_identifiers=KEYS, sensitive=sensitive, models=models, engine=engine)

    return {
        "GROUP BY": lambda: engine.run("group", group_by(source)),
        "check of k": checked(MODELS[:1], []),
        "check of k and l": checked(MODELS, [SENSITIVE]),
        "release with k and l": released,
    }


def measured(url: str, rows: int, runs: int) -> dict[str, dict[str, float]]:
    """Seconds by engine and work, the median of the runs."""
    with (
        loaded(url, rows) as (table, file),
        sqlanon.connect(url, superuser=True) as there,
        psycopg.connect(url, autocommit=True) as plain,
        sqlanon.connect(f"duckdb:///{file}") as here,
    ):
        works = {"postgres": work(there, table), "duckdb": work(here, "adult")}
        works["postgres"]["GROUP BY"] = lambda: plain.execute(group_by(table).encode()).fetchall()
        times: dict[str, dict[str, list[float]]] = {engine: {name: [] for name in works[engine]} for engine in works}
        for _ in range(runs):
            for engine, of in works.items():
                for name, call in of.items():
                    times[engine][name].append(timed(call))
        for engine in (there, here):
            sqlanon.life.withdraw(engine, "benchmark_release")
    return {e: {name: statistics.median(found) for name, found in of.items()} for e, of in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--db")
    chosen = parser.parse_args()
    if chosen.db:
        found = measured(chosen.db, chosen.rows, chosen.runs)
    else:
        with started(options="") as url:
            found = measured(url, chosen.rows, chosen.runs)
    table = Table(title=f"{chosen.rows:,} records, seconds (and times the GROUP BY on the same engine)")
    for heading in ("", *found):
        table.add_column(heading, justify="right" if heading else "left")
    for name in found["postgres"]:
        cells = [f"{of[name]:.2f} ({of[name] / of['GROUP BY']:.1f}×)" for of in found.values()]
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
