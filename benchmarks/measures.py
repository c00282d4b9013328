"""Measuring a table: `sqlanon check` beside pyCANON's same measures and beside a plain GROUP BY, in one run.

    python3 -m venv .peers && .peers/bin/pip install pycanon==1.3.6 pyarrow
    python benchmarks/measures.py speed --peer .peers/bin/python [--rows 1000000,10000000] [--runs 3]
    python benchmarks/measures.py figures --peer .peers/bin/python > tests/data/pycanon_adult.json

`speed`: perturbed Adult, 5 quasi-identifiers, 2 sensitive columns; whole processes, reading the Parquet file included.
`figures`: what pyCANON says about Adult, which a test holds sqlanon's figures against. pyCANON (`--peer`: its
Python) lives in an environment of its own, since it needs an older pandas and scipy; without it, sqlanon alone is
timed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from run import ADULT, HERE, median, run

KEYS = ("sex", "age", "race", "education", "native-country")
SENSITIVE = ("occupation", "salary-class")
FIGURES = (
    (("sex", "race"), "occupation"), (("sex", "race"), "age"), (("sex", "marital-status", "workclass"), "occupation"),
    (("sex", "race", "education"), "salary-class"), (("race", "workclass"), "age"),
)  # fmt: skip

PYCANON = """
import json, sys
import pandas
from pycanon import anonymity as a
file, keys, sensitive = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
frame = pandas.read_parquet(file) if file.endswith(".parquet") else pandas.read_csv(file, sep=";")
told = {"k_anonymity": a.k_anonymity(frame, keys)}
for name in sensitive:
    told[name] = {
        measure: getattr(a, measure)(frame, keys, [name])
        for measure in ("l_diversity", "entropy_l_diversity", "recursive_c_l_diversity", "alpha_k_anonymity",
                        "basic_beta_likeness", "enhanced_beta_likeness", "t_closeness", "delta_disclosure")
    }
print(json.dumps(told, default=float))
"""

GROUP_BY = """
import duckdb, sys
for columns in sys.argv[2:]:
    listed = ", ".join('"' + c + '"' for c in columns.split(","))
    with duckdb.connect() as c:
        classes = f"SELECT count(*) AS n FROM '{sys.argv[1]}' GROUP BY {listed}"
        print(c.execute(f"SELECT count(*), max(n) FROM ({classes})").fetchone())
"""


def pycanon(peer: str, file: Path, keys: tuple[str, ...], sensitive: tuple[str, ...]) -> list[str]:
    return [peer, "-c", PYCANON, str(file), ",".join(keys), ",".join(sensitive)]


def figures(peer: str) -> None:
    told: list[dict[str, Any]] = []
    for keys, sensitive in FIGURES:
        found = json.loads(run(pycanon(peer, ADULT / "adult.csv", keys, (sensitive,))).output)
        told.append({"quasi_identifiers": keys, "sensitive": sensitive, "k": found["k_anonymity"], **found[sensitive]})
    print(json.dumps(told, indent=1))


def speed(rows: list[int], runs: int, peer: str | None, most: int, folder: Path, console: Console) -> None:
    table = Table(
        "rows", "", "wall s", "CPU s", "peak MB", title="Every measure of 5 quasi-identifiers, 2 sensitive columns"
    )
    for count in rows:
        file = folder / f"perturbed_{count}.parquet"
        run([sys.executable, str(HERE / "perturbed.py"), str(count), str(file)])
        hierarchy = f"occupation={ADULT / 'adult_hierarchy_occupation.csv'}"
        asked = [word for name in SENSITIVE for word in ("--sensitive", name)]
        ours = [
            sys.executable,
            "-m",
            "sqlanon",
            "check",
            str(file),
            "--qi",
            ",".join(KEYS),
            *asked,
            "--hierarchy",
            hierarchy,
        ]
        plain = [sys.executable, "-c", GROUP_BY, str(file), *(",".join((*KEYS, name)) for name in SENSITIVE)]
        commands = {"sqlanon check, 27 measures": ours, "two GROUP BYs of the same columns": plain}
        if peer and count <= most:
            commands["pyCANON, its 9 measures of each column"] = pycanon(peer, file, KEYS, SENSITIVE)
        for what, command in commands.items():
            taken = [run(command) for _ in range(1 if what.startswith("pyCANON") else runs)]
            numbers = (
                f"{median(taken, 'wall'):.2f}",
                f"{median(taken, 'cpu'):.2f}",
                f"{median(taken, 'megabytes'):.0f}",
            )
            table.add_row(f"{count:,}", what, *numbers)
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "figures"))
    parser.add_argument("--rows", default="1000000", help="sizes, separated by commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pycanon-up-to", type=int, default=1_000_000, help="the largest table that pyCANON is given")
    parser.add_argument("--peer", help="the Python of an environment with pyCANON")
    given = parser.parse_args()
    if given.what == "figures":
        figures(given.peer)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [int(count) for count in given.rows.split(",")]
        speed(rows, given.runs, given.peer, given.pycanon_up_to, Path(folder), Console(width=120))


if __name__ == "__main__":
    main()
