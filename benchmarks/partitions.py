"""Partitions measured: what they lose on Adult, and what they take as the table grows.

    python benchmarks/partitions.py quality
    python benchmarks/partitions.py scale [--data adult|distinct] [--rows 100000,1000000] [--k 10] [--memory 2GB]

`quality`: the global certainty penalty of Adult with 7 quasi-identifiers, every attribute as ordinal in the order of
its hierarchy, for k = 2, 5, 10, 25, 50, beside the figures of the reference (models.md, section 5.2) and the optimal
full-domain recoding with at most 5 % suppressed (a suppressed cell costs 1). `scale`: 8 quasi-identifiers of perturbed
Adult (`perturbed.py`: many records agree) or of people of whom no two agree (`distinct.py`), read from Parquet,
partitioned, labelled and written to a table, each in a process of its own; CPU and wall seconds and peak memory by the
operating system's accounting. Needs the shared folder (SQLANON_SHARED) for Adult.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distinct
from rich.console import Console
from rich.table import Table
from run import ADULT, HERE, run

import sqlanon
from sqlanon.engines.duckdb import DuckDB
from sqlanon.hierarchies import Csv, Order
from sqlanon.planning import source_of
from sqlanon.recoding import hilbert, lines, mondrian
from sqlanon.recoding.covers import Published, publish
from sqlanon.recoding.lines import Dimension
from sqlanon.recoding.partition import Encoded, encode

SEVEN = ("age", "education", "marital-status", "native-country", "race", "sex", "workclass")
EIGHT = (*SEVEN, "occupation")
KS = (2, 5, 10, 25, 50)

METHODS: dict[str, Callable[[Encoded, int], None]] = {
    "Mondrian strict": mondrian.strict,
    "Mondrian relaxed": mondrian.relaxed,
    "Gray order, even groups": lambda e, k: hilbert.hilbert(e, k, order="gray", groups="even"),
    "Gray order, best groups": lambda e, k: hilbert.hilbert(e, k, order="gray"),
    "Hilbert order, best groups": lambda e, k: hilbert.hilbert(e, k, order="hilbert"),
    "order of splits, even groups": lambda e, k: hilbert.hilbert(e, k, groups="even"),
    "order of splits, best groups": hilbert.hilbert,
}
MEASURED = ("Mondrian strict", "Gray order, best groups", "order of splits, best groups")
REFERENCE = {
    "full domain, at most 5 % suppressed": (0.124, 0.191, 0.251, 0.349, 0.414),
    "Mondrian strict": (0.0076, 0.0259, 0.0475, 0.0899, 0.142),
    "Mondrian relaxed": (0.0138, 0.0475, 0.0804, 0.127, 0.190),
    "Gray order, even groups": (0.0086, 0.0250, 0.0437, 0.0815, 0.122),
    "Gray order, best groups": (0.0061, 0.0198, 0.0364, 0.0695, 0.106),
    "Hilbert order, best groups": (0.0059, 0.0192, 0.0350, 0.0670, 0.102),
}


def ordinal(name: str) -> Dimension:
    """A column of Adult with its values in the order of its hierarchy, ages from the first to the last that occurs."""
    rows = lines.together(Csv(str(ADULT / f"adult_hierarchy_{name}.csv")).rows(Path()))
    order = Order(tuple(row[0] for row in rows if name != "age" or 17 <= int(row[0]) <= 90))
    return Dimension(name, "text", order, order.rows(Path()))


def spec(source: Any, names: tuple[str, ...], others: tuple[str, ...], **recoding: Any) -> dict[str, Any]:
    """A spec over Adult; what is no quasi-identifier is published as it is."""
    hierarchies = {name: {"csv": str(ADULT / f"adult_hierarchy_{name}.csv")} for name in names}
    quasi = {name: {"role": "quasi-identifier", "hierarchy": hierarchies[name]} for name in names}
    return {
        "source": source,
        "columns": {**quasi, **dict.fromkeys(others, "insensitive")},
        "privacy": [{"model": "k-anonymity", "k": recoding.pop("k", 2)}],
        "recoding": recoding,
        "publish": {"name": "bench"},
    }


def people(file: str) -> sqlanon.Spec:
    """A spec over `distinct.py`: a mask, orders and, for all else, the values as they are."""
    hierarchies: dict[str, Any] = {
        "postcode": {"mask": 5},
        "country": {"order": [f"Country {number}" for number in range(40)]},
        "occupation": {"order": [f"Occupation {number}" for number in range(14)]},
    }
    columns: dict[str, Any] = {
        name: {"role": "quasi-identifier", **({"hierarchy": hierarchies[name]} if name in hierarchies else {})}
        for name in distinct.COLUMNS
    }
    return sqlanon.load({
        "source": file, "columns": {**columns, "illness": "insensitive"},
        "privacy": [{"model": "k-anonymity", "k": 2}], "publish": {"name": "bench"},
    })  # fmt: skip


def adult(names: tuple[str, ...], **recoding: Any) -> sqlanon.Spec:
    others = tuple(name for name in (*EIGHT, "salary-class") if name not in names)
    return sqlanon.load(spec({"file": str(ADULT / "adult.csv"), "delimiter": ";"}, names, others, **recoding))


def full_domain(engine: DuckDB, k: int) -> float:
    """The penalty of the optimal full-domain recoding, by the widths of its labels in the order of the hierarchy."""
    planned = sqlanon.plan(adult(SEVEN, k=k, suppression=0.05), engine)
    engine.temporary("make the release", "bench release", planned.plan.query)
    total = float(planned.suppressed * len(SEVEN))
    for name in SEVEN:
        level = planned.plan.levels[name]
        rows = lines.together(Csv(str(ADULT / f"adult_hierarchy_{name}.csv")).rows(Path()))
        known = [row for row in rows if name != "age" or 17 <= int(row[0]) <= 90]
        places: dict[str, list[int]] = {}
        for place, row in enumerate(known):
            places.setdefault(row[level], []).append(place)
        counted = f'SELECT "{name}"::VARCHAR, count(*) FROM "bench release" GROUP BY ALL'
        for label, records in engine.run("count the labels", counted):
            total += records * (max(places[label]) - min(places[label])) / (len(known) - 1)
    return total / (planned.rows_in * len(SEVEN))


def quality(console: Console) -> None:
    table = Table("GCP, Adult, 7 quasi-identifiers", *(f"k = {k}" for k in KS))

    def told(name: str, found: list[float]) -> None:
        table.add_row(name, *(f"{gcp:.4f}" for gcp in found))
        if name in REFERENCE:
            table.add_row("  the reference's", *(f"{gcp:.4f}" for gcp in REFERENCE[name]), style="dim")

    with sqlanon.connect() as engine:
        told("full domain, at most 5 % suppressed", [full_domain(engine, k) for k in KS])
        encoded = encode(engine, source_of(adult(SEVEN), engine), "key", dimensions=[ordinal(name) for name in SEVEN])
        for name, method in METHODS.items():
            told(name, [partitioned(encoded, method, k).gcp for k in KS])
        encoded.close()
    console.print(table)


def partitioned(encoded: Encoded, method: Callable[[Encoded, int], None], k: int) -> Published:
    method(encoded, k)
    return publish(encoded)


def one(data: str, method: str, file: Path, k: int, memory: str) -> None:
    """One run, in this process: prints the combinations, the classes and the penalty."""
    with sqlanon.connect() as engine:
        if memory:
            engine.connection.execute(f"SET memory_limit = '{memory}'")
        if data == "distinct":
            encoded = encode(engine, source_of(people(str(file)), engine), "key")
        else:
            found = sqlanon.load(spec(str(file), EIGHT, ("salary-class",)))
            encoded = encode(engine, source_of(found, engine), "key", dimensions=[ordinal(name) for name in EIGHT])
        published = partitioned(encoded, METHODS[method], k)
        engine.temporary("write the records", "bench recoded", published.recoded())
        print(f"{encoded.combinations:,} {published.classes:,} {published.gcp:.5f}")


def scale(data: str, rows: list[int], methods: list[str], k: int, memory: str, folder: Path) -> Table:
    named = {"adult": "perturbed Adult", "distinct": "people of whom no two agree"}[data]
    title = f"Partitions of {named}, 8 quasi-identifiers, k = {k}" + (f", within {memory}" if memory else "")
    table = Table("rows", "method", "combinations", "classes", "wall s", "CPU s", "peak MB", "GCP", title=title)
    for count in rows:
        file = folder / f"{data}_{count}.parquet"
        # In a process of its own: a child starts with its parent's peak memory.
        maker = {"adult": "perturbed.py", "distinct": "distinct.py"}[data]
        run([sys.executable, str(HERE / maker), str(count), str(file)])
        for method in methods:
            found = run([sys.executable, __file__, "one", "--data", data, "--methods", method, "--file", str(file),
                         "--k", str(k), "--memory", memory])  # fmt: skip
            combinations, classes, gcp = found.output.split()
            figures = (f"{found.wall:.1f}", f"{found.cpu:.1f}", f"{found.megabytes:.0f}")
            table.add_row(f"{count:,}", method, combinations, classes, *figures, gcp)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("quality", "scale", "one"))
    parser.add_argument("--data", default="adult", choices=("adult", "distinct"))
    parser.add_argument("--rows", default="100000,1000000,10000000", help="sizes, separated by commas")
    parser.add_argument("--methods", default=",".join(MEASURED), help="separated by commas")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--memory", default="", help="the engine's memory limit, such as 2GB")
    parser.add_argument("--file", type=Path)
    given = parser.parse_args()
    console, methods = Console(width=130), [name for name in METHODS if name in given.methods]
    if given.what == "quality":
        quality(console)
    elif given.what == "one":
        one(given.data, given.methods, given.file, given.k, given.memory)
    else:
        rows = [int(count) for count in given.rows.split(",")]
        with tempfile.TemporaryDirectory() as folder:
            console.print(scale(given.data, rows, methods, given.k, given.memory, Path(folder)))


if __name__ == "__main__":
    main()
