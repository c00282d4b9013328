"""Whole processes, timed by the operating system: CPU and wall seconds and peak memory, beside a baseline.

    python benchmarks/run.py full-domain [--rows 1000000,10000000] [--runs 3]
    python benchmarks/run.py view-guard [--rows 10000000]
    python benchmarks/run.py risk [--rows 1000000]
    python benchmarks/run.py utility [--rows 1000000]
    python benchmarks/run.py report [--rows 10000000] [--runs 1]

`full-domain`: the optimum over Adult's 9 quasi-identifiers (12,960 transformations), k = 5, 2 % suppressed, the CSV
read included; the baseline is one GROUP BY of the same columns on the same file in a process of its own. `view-guard`:
reading a whole published view beside the GROUP BY of the same generalised columns, in turns in one process. `risk`:
the risks of eight quasi-identifiers, with 92 subsets and SUDA2, from the CSV, beside one GROUP BY of them. `utility`:
every measure of usefulness of a released file against its CSV source, 1,000 COUNT queries among them. `report`: the
whole report of a release table of 8 quasi-identifiers and a sensitive column, beside the commands that measure what
stands in it: verify, check against the source, risk before and after, attack, predict. Needs the shared folder
(SQLANON_SHARED).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ADULT = Path(os.environ.get("SQLANON_SHARED") or HERE.parents[1] / "shared") / "data" / "adult"
COLUMNS = (
    "sex", "age", "race", "marital-status", "education", "native-country", "workclass", "occupation", "salary-class",
)  # fmt: skip

GROUP_BY = """
import duckdb, sys
columns = ", ".join('"' + c + '"' for c in sys.argv[2].split(","))
with duckdb.connect() as c:
    classes = f"SELECT count(*) FROM read_csv('{sys.argv[1]}', delim=';') GROUP BY {columns}"
    print(c.execute(f"SELECT count(*) FROM ({classes})").fetchone())
"""


@dataclass(frozen=True)
class Run:
    """One finished process."""

    wall: float
    cpu: float
    megabytes: float
    output: str


def run(command: list[str]) -> Run:
    """Runs a command to its end; the system's own accounting of that process. Raises if it failed."""
    with tempfile.TemporaryFile() as out:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode()
    if process.returncode:
        raise SystemExit(f"{command} failed with {process.returncode}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, text)


def write(rows: int, file: Path) -> None:
    """Perturbed Adult, made in a process of its own: a child starts with its parent's peak memory."""
    run([sys.executable, str(HERE / "perturbed.py"), str(rows), str(file)])


def median(runs: list[Run], field: str) -> float:
    return statistics.median(getattr(one, field) for one in runs)


def spec(source: Path, folder: Path, quasi_identifiers: tuple[str, ...], publish: dict[str, Any]) -> Path:
    """A spec over a perturbed Adult, written to a file."""

    def column(name: str) -> Any:
        if name not in quasi_identifiers:
            return "insensitive"
        return {"role": "quasi-identifier", "hierarchy": {"csv": str(ADULT / f"adult_hierarchy_{name}.csv")}}

    told = {
        "source": {"file": str(source), "delimiter": ";"} if source.suffix == ".csv" else source.name,
        "columns": {name: column(name) for name in COLUMNS},
        "privacy": [{"model": "k-anonymity", "k": 5}],
        "recoding": {"suppression": 0.02},
        "publish": publish,
    }
    file = folder / f"{source.stem}.yaml"
    file.write_text(yaml.safe_dump(told, sort_keys=False))
    return file


def full_domain(rows: list[int], runs: int, folder: Path, console: Console) -> None:
    table = Table(
        "data", "", "wall s", "CPU s", "peak MB", "checked", "loss", title="Optimal full-domain recoding, k = 5, 2 %"
    )
    sources = [("Adult", ADULT / "adult.csv")]
    for count in rows:
        file = folder / f"perturbed_{count}.csv"
        write(count, file)
        sources.append((f"{count:,} perturbed", file))
    for name, file in sources:
        wanted = spec(file, folder, COLUMNS, {"name": "bench"})
        ours = [run([sys.executable, "-m", "sqlanon", "plan", str(wanted), "--json"]) for _ in range(runs)]
        found = json.loads(ours[0].output)
        base = [run([sys.executable, "-c", GROUP_BY, str(file), ",".join(COLUMNS)]) for _ in range(runs)]
        loss = f"{found['utility']['loss']:.8f}"
        for what, taken, more in (
            ("sqlanon plan", ours, (str(found["nodes_checked"]), loss)),
            ("one GROUP BY", base, ("", "")),
        ):
            figures = (
                f"{median(taken, 'wall'):.2f}",
                f"{median(taken, 'cpu'):.2f}",
                f"{median(taken, 'megabytes'):.0f}",
            )
            table.add_row(name, what, *figures, *more)
    console.print(table)


def utility(rows: list[int], runs: int, folder: Path, console: Console) -> None:
    table = Table("data", "", "wall s", "CPU s", "peak MB", title="Usefulness of a release of 9 quasi-identifiers")
    sources = [("Adult", ADULT / "adult.csv")]
    for count in rows:
        file = folder / f"perturbed_{count}.csv"
        write(count, file)
        sources.append((f"{count:,} perturbed", file))
    for name, file in sources:
        released = folder / f"{file.stem}.parquet"
        made = spec(file, folder, COLUMNS, {"name": "bench", "as": "file", "path": str(released)})
        sqlanon = [sys.executable, "-m", "sqlanon"]
        run([*sqlanon, "release", str(made), "--json"])
        checking = [*sqlanon, "check", str(released), "--spec", str(made), "--against", str(file), "--delimiter", ";"]
        asked = {
            "check": [*sqlanon, "check", str(released), "--spec", str(made), "--json"],
            "check --against": [*checking, "--json"],
            "plan": [*sqlanon, "plan", str(made), "--json"],
            "plan --utility": [*sqlanon, "plan", str(made), "--utility", "--json"],
            "one GROUP BY": [sys.executable, "-c", GROUP_BY, str(file), ",".join(COLUMNS)],
        }
        for what, command in asked.items():
            taken = [run(command) for _ in range(runs)]
            told = (median(taken, "wall"), median(taken, "cpu"), median(taken, "megabytes"))
            table.add_row(name, what, f"{told[0]:.2f}", f"{told[1]:.2f}", f"{told[2]:.0f}")
    console.print(table)


def view_guard(rows: list[int], runs: int, folder: Path, console: Console) -> None:
    import duckdb

    title = "Reading guarded views beside the GROUP BY that their guards need, in turns"
    table = Table("rows", "", "wall s", "CPU s", "of the GROUP BY: wall", "CPU", title=title)
    for count in rows:
        file = folder / f"perturbed_{count}.parquet"
        write(count, file)
        database = folder / f"guard_{count}.duckdb"
        keys = tuple(name for name in COLUMNS if name != "occupation")
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"CREATE TABLE people AS FROM '{file}'")
        every = "SELECT count(*), " + ", ".join(f'max("{name}")' for name in COLUMNS)
        classes, bare = _publish(database, keys, "guarded", every)
        cells, _ = _publish(database, keys, "diverse", every)
        asked = {
            "GROUP BY class": (classes, None),
            "k-anonymous view, counted": ("SELECT count(*) FROM guarded", "GROUP BY class"),
            "every column without a guard": (bare, "GROUP BY class"),
            "k-anonymous view, every column": (f"{every} FROM guarded", "GROUP BY class"),
            "GROUP BY class and value": (cells, None),
            "l-diverse view, counted": ("SELECT count(*) FROM diverse", "GROUP BY class and value"),
            "l-diverse view, every column": (f"{every} FROM diverse", "GROUP BY class and value"),
        }
        with duckdb.connect(str(database), read_only=True) as connection:
            taken = _in_turns(connection, {name: sql for name, (sql, _) in asked.items()}, runs)
        for name, (_, beside) in asked.items():
            shares = [f"{mine / theirs:.2f}" for mine, theirs in zip(taken[name], taken[beside or name], strict=True)]
            table.add_row(f"{count:,}", name, *(f"{seconds:.2f}" for seconds in taken[name]), *shares)
    console.print(table)


def risk(rows: list[int], runs: int, folder: Path, console: Console) -> None:
    table = Table("rows", "", "wall s", "CPU s", "peak MB", title="Risks of 8 quasi-identifiers beside one GROUP BY")
    keys = ",".join(COLUMNS[:8])
    for count in rows:
        file = folder / f"perturbed_{count}.csv"
        write(count, file)
        asked = [sys.executable, "-m", "sqlanon", "risk", str(file), "--delimiter", ";", "--qi", keys, "--json"]
        sized = ["--population-size", str(20 * count)]
        for what, command in (
            ("one GROUP BY", [sys.executable, "-c", GROUP_BY, str(file), keys]),
            ("attackers and columns", [*asked, "--subsets", "0"]),
            ("and the population", [*asked, "--subsets", "0", *sized]),
            ("and 92 subsets", [*asked, *sized]),
            ("and SUDA2, sets up to 3", [*asked, *sized, "--suda"]),
            ("and SUDA2, sets up to 7", [*asked, *sized, "--suda", "--suda-size", "7"]),
        ):
            taken = [run(command) for _ in range(runs)]
            figures = [
                f"{median(taken, 'wall'):.2f}",
                f"{median(taken, 'cpu'):.2f}",
                f"{median(taken, 'megabytes'):.0f}",
            ]
            table.add_row(f"{count:,}", what, *figures)
    console.print(table)


def report(rows: list[int], runs: int, folder: Path, console: Console) -> None:
    table = Table("rows", "", "wall s", "CPU s", "peak MB", title="A report beside the measures that it tells")
    keys = tuple(name for name in COLUMNS if name != "occupation")
    for count in rows:
        file, database = folder / f"perturbed_{count}.parquet", folder / f"report_{count}.duckdb"
        write(count, file)
        run([sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1]).execute("
             "f\"CREATE TABLE people AS FROM '{sys.argv[2]}'\")", str(database), str(file)])  # fmt: skip
        made = spec(Path("people"), folder, keys, {"name": "released"})
        told = yaml.safe_load(made.read_text())
        told["columns"]["occupation"] = "sensitive"
        told["privacy"].append({"model": "l-diversity", "column": "occupation", "kind": "entropy", "l": 2})
        made.write_text(yaml.safe_dump(told, sort_keys=False))
        sqlanon, db = [sys.executable, "-m", "sqlanon"], ["--db", f"duckdb:///{database}", "--json"]
        run([*sqlanon, "release", str(made), *db])
        told_ = {
            "verify": ["verify", "released"],
            "check --against": ["check", "released", "--spec", str(made), "--against", "people", "--queries", "0"],
            "risk of the source": ["risk", "people", "--qi", ",".join(keys), "--subsets", "0"],
            "risk of the release": ["risk", "released", "--qi", ",".join(keys), "--subsets", "0"],
            "attack": ["attack", "released"],
            "predict from the source": ["predict", "people", "--column", "occupation", "--fields", ",".join(keys)],
            "predict from the release": ["predict", "released", "--column", "occupation", "--fields", ",".join(keys)],
        }
        measured = {what: [run([*sqlanon, *words, *db]) for _ in range(runs)] for what, words in told_.items()}
        whole = [run([*sqlanon, "report", "released", *db]) for _ in range(runs)]
        for what, taken in (*measured.items(), ("report", whole)):
            figures = (median(taken, "wall"), median(taken, "cpu"), median(taken, "megabytes"))
            table.add_row(f"{count:,}", what, f"{figures[0]:.1f}", f"{figures[1]:.1f}", f"{figures[2]:.0f}")
        together = sum(median(taken, "cpu") for taken in measured.values())
        table.add_row(f"{count:,}", "the measures together", "", f"{together:.1f}", "")
    console.print(table)


def _publish(database: Path, keys: tuple[str, ...], name: str, read: str) -> tuple[str, str]:
    """A view at the levels of the optimum; without its guard, the GROUP BY that it needs, and a read of its rows."""
    import sqlanon
    from sqlanon.query import Query, Step, Text

    models = [{"model": "k-anonymity", "k": 5}, {"model": "l-diversity", "column": "occupation", "l": 3}]
    hierarchies = {c: {"csv": str(ADULT / f"adult_hierarchy_{c}.csv")} for c in keys}
    told = {
        "source": {"table": "people"},
        "columns": {
            c: {"role": "quasi-identifier", "hierarchy": hierarchies[c]} if c in keys else "sensitive" for c in COLUMNS
        },
        "privacy": models[: 1 + (name == "diverse")],
        "recoding": {"suppression": 1, "levels": {**dict.fromkeys(keys, 0), "age": 3, "education": 1}},
        "publish": {"name": name, "as": "view"},
    }
    with sqlanon.connect(f"duckdb:///{database}") as engine:
        steps = sqlanon.release(told, engine).planned.plan.judged.query.steps
        names = [step.name for step in steps]

        def upto(last: str, answer: str) -> str:
            return engine.rendered(Query((*steps[: names.index(last) + 1], Step("answer", Text(answer)))))

        grouped = "histogram of occupation" if name == "diverse" else "classes"
        counted = "class_count" if name == "diverse" else "class_records"
        return (
            upto(grouped, f'SELECT count(*), sum({counted}) FROM "{grouped}"'),
            upto("recoded", f"{read} FROM recoded"),
        )


def _in_turns(connection: Any, asked: dict[str, str], runs: int) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds per question, medians; one after the other in every run, so that noise meets all alike."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for _ in range(runs + 1):
        for name, sql in asked.items():
            started, before = time.monotonic(), time.process_time()
            connection.execute(sql).fetchall()
            taken[name].append((time.monotonic() - started, time.process_time() - before))
    return {
        name: (statistics.median(wall for wall, _ in found[1:]), statistics.median(cpu for _, cpu in found[1:]))
        for name, found in taken.items()
    }


JOBS = {"full-domain": full_domain, "view-guard": view_guard, "risk": risk, "utility": utility, "report": report}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=JOBS)
    parser.add_argument("--rows", default="1000000,10000000", help="sizes, separated by commas")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    rows = [int(count) for count in given.rows.split(",") if count]
    with tempfile.TemporaryDirectory() as folder:
        job = JOBS[given.what]
        job(rows, given.runs, Path(folder), Console(width=120))


if __name__ == "__main__":
    main()
