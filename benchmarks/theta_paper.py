"""The experiment of Khan et al., "θ-Sensitive k-Anonymity" (Electronics 9(5):716, 2020), done again.

    python benchmarks/theta_paper.py [--out docs] [--k 2,4,...,20] [--rows 160150]

Adult bootstrapped to 160,150 records (a bootstrap, because no public table of that size is known), with a synthesised
zip; sensitive column occupation, μ = 0.6, k = 2, 4, …, 20. Writes theta_paper.json, theta_paper.md and theta_paper.svg.

| method | what it is |
| --- | --- |
| plain | classes of k in the order of the quasi-identifiers, whatever their sensitive values |
| paper | Algorithm 1 on them, its printed defects put right, with noise |
| swap | the repair with a two-way check on them, with noise where no exchange helps |
| round-robin | θ-RR in the database: blocks of the order, dealt by descending frequency; failing blocks are united |
| packed | blocks dealt by udfs/theta_packing.py; noise, in one block, only where nothing works without |
| p+ | p⁺-sensitive k-anonymity, p = 3: classes grow in the order until they have k records and 3 categories |

Needs the shared folder (SQLANON_SHARED) and the extra `benchmark`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sqlanon.engines.duckdb import DuckDB
from sqlanon.models import ThetaSensitivity
from sqlanon.planning import source_of
from sqlanon.query import Text
from sqlanon.recoding.exchanges import Exchange
from sqlanon.recoding.partition import Encoded
from sqlanon.recoding.working import Work
from sqlanon.spec import load as read_spec
from sqlanon.udfs import flat
from sqlanon.udfs import theta as t
from sqlanon.udfs.theta import Theta, exact
from sqlanon.udfs.theta_packing import Packed, pack
from sqlanon.udfs.theta_plans import Histogram

Ints = np.ndarray[Any, np.dtype[np.int64]]
ADULT = Path(os.environ.get("SQLANON_SHARED") or Path(__file__).resolve().parents[2] / "shared") / "data" / "adult"
KEYS = ("age", "zip", "education", "marital-status", "race", "sex", "native-country")
SENSITIVE = "occupation"
MU = "0.6"
SEED = 716
BITS = 8


# -- the data -------------------------------------------------------------------------------------------------------


def hierarchy(name: str) -> list[list[str]]:
    with (ADULT / f"adult_hierarchy_{name}.csv").open(newline="") as lines:
        return [row for row in csv.reader(lines, delimiter=";") if row]


@dataclass(frozen=True)
class Data:
    """The records as numbers: each quasi-identifier's place in its order, the sensitive value and its category."""

    keys: Ints
    domains: Ints
    values: Ints
    categories: Ints


def data(rows: int) -> Data:
    """Bootstrapped Adult; zips from 800 areas of uneven size, independent of everything else."""
    with (ADULT / "adult.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines, delimiter=";"))
    random = np.random.default_rng(SEED)
    drawn = random.integers(0, len(table), rows)
    areas = random.dirichlet(np.full(800, 0.7))
    columns, domains = [], []
    for name in KEYS:
        if name == "zip":
            codes, domain = random.choice(800, rows, p=areas), 800
        else:
            labels = [row[0] for row in hierarchy(name)]
            labels = sorted(labels, key=int) if name == "age" else labels
            places = {label: place for place, label in enumerate(labels)}
            codes, domain = np.array([places[row[name]] for row in table])[drawn], len(labels)
        columns.append(codes)
        domains.append(domain)
    leaves = hierarchy(SENSITIVE)
    leaf = {row[0]: place for place, row in enumerate(sorted(leaves))}
    groups = sorted({row[1] for row in leaves})
    category = {leaf[row[0]]: groups.index(row[1]) for row in leaves}
    values = np.array([leaf[row[SENSITIVE]] for row in table])[drawn]
    return Data(np.column_stack(columns), np.array(domains), values, np.array([category[v] for v in values.tolist()]))


def load(engine: DuckDB, found: Data) -> None:
    """A table `people` in the Gray order of the scaled quasi-identifiers, `place` from 0."""
    columns = {f"q{i}": np.ascontiguousarray(found.keys[:, i]) for i in range(len(KEYS))}
    columns |= {"s": found.values, "category": found.categories, "id": np.arange(1, len(found.values) + 1)}
    engine.numbers("load", "raw", columns)
    scaled = [f"(q{i} * {2**BITS - 1} // {max(1, d - 1)})" for i, d in enumerate(found.domains.tolist())]
    bits = [
        f"((({x} >> {b}) & 1) << {b * len(scaled) + len(scaled) - 1 - i})"
        for i, x in enumerate(scaled)
        for b in range(BITS)
    ]
    key = " + ".join(bits)
    for shift in (1, 2, 4, 8, 16, 32):
        key = f"(SELECT xor(x, x >> {shift}) FROM (SELECT {key} AS x))"
    engine.run("order", f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT *, {key} AS gray FROM raw")
    engine.run(
        "order",
        "CREATE OR REPLACE TEMP TABLE people AS SELECT * EXCLUDE gray,"
        " row_number() OVER (ORDER BY gray, id) - 1 AS place FROM keyed",
    )


# -- the methods: each leaves a table `made` (id, grp, s, q…) and says what it did ----------------------------------

COLUMNS = ("id", "s", "category", *(f"q{i}" for i in range(len(KEYS))), "place")


@dataclass
class Done:
    """What a method did: exchanges, noise as (class, value) rows, blocks, seconds; `note` where it cannot be done."""

    swaps: int = 0
    noise: Ints = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    blocks: int | None = None
    seconds: float = 0.0
    note: str = ""


def plain(engine: DuckDB, k: int, n: int) -> Done:
    """⌊n/k⌋ classes whose sizes differ by at most one."""
    engine.run("deal", f"CREATE OR REPLACE TEMP TABLE made AS SELECT *, place * {n // k} // {n} AS grp FROM people")
    return Done()


def exchanged(engine: DuckDB, k: int, n: int, repair: Literal["paper", "swap"]) -> Done:
    """Exchanges and noise as a release makes them, on the classes of `plain`: each record is a combination."""
    plain(engine, k, n)
    model = ThetaSensitivity("s", mu=float(MU), k=k, repair=repair, noise=True)
    roles = {name: "quasi-identifier" if name.startswith("q") else "drop" for name in COLUMNS} | {"s": "sensitive"}
    spec = read_spec({"source": "people", "columns": roles, "privacy": [{"model": "k-anonymity", "k": k}]})
    source, work = source_of(spec, engine), Work(engine)
    work.secret("key", "the key of the experiment", "the secret key of the ties")
    work.make("combinations", Text('SELECT place + 1 AS id, 1 AS records, s AS "beside 0" FROM made'), "the records")
    work.make("pieces", Text("SELECT place + 1 AS id, grp AS class, 0 AS first, 1 AS records FROM made"), "the classes")
    exchange = Exchange(Encoded(work, source, (), ("s",), (), 0, (), n, n, n), model, "")
    exchange.plan()
    done = exchange.done()
    exchange.move()
    noise = engine.run("read", NOISY)
    engine.run("exchange", EXCHANGED)
    work.close()
    unmet = f"{done.unmet} classes miss θ: the values do not suffice" if done.unmet else ""
    return Done(done.swaps, np.array(noise, dtype=np.int64).reshape(-1, 2), note=unmet)


NOISY = f"""
SELECT n.class, v.value FROM "sqlanon plan" AS p JOIN "sqlanon numbers of classes" AS n ON n.number = p.class
JOIN "sqlanon numbers of values" AS v ON v.number = p.value WHERE p.action = {flat.NOISE} ORDER BY ALL
"""
EXCHANGED = """
CREATE OR REPLACE TEMP TABLE made AS
SELECT m.* REPLACE (p.class AS grp) FROM made AS m JOIN "sqlanon pieces" AS p ON p.id = m.place + 1
"""


def paper(engine: DuckDB, k: int, n: int) -> Done:
    return exchanged(engine, k, n, "paper")


def swap(engine: DuckDB, k: int, n: int) -> Done:
    return exchanged(engine, k, n, "swap")


ROUND_ROBIN = """
CREATE OR REPLACE TEMP TABLE made AS
WITH c AS (SELECT p.*, b.blk, count(*) OVER (PARTITION BY blk, s) AS f, count(*) OVER (PARTITION BY blk) AS n
           FROM people AS p JOIN blocks AS b USING (place)),
     d AS (SELECT *, (row_number() OVER (PARTITION BY blk ORDER BY f DESC, s, place) - 1) % (n // {k}) AS nth FROM c)
SELECT * EXCLUDE (f, n, nth), dense_rank() OVER (ORDER BY blk, nth) - 1 AS grp FROM d
"""
FAILING = """
WITH f AS (SELECT {of} AS blk, grp, s, count(*) AS f FROM made GROUP BY ALL),
     r AS (SELECT *, row_number() OVER (PARTITION BY grp ORDER BY f DESC, s) AS x FROM f),
     v AS (SELECT blk, grp, sum(f) AS n, sum(f * x) AS s1, sum(f * x * x) AS s2 FROM r GROUP BY ALL)
SELECT DISTINCT blk FROM v WHERE 12 * (n * s2 - s1 * s1) * 5 < 3 * ({k} * {k} - 1) * n * n ORDER BY blk
"""


def united(edges: list[int], failing: Sequence[int]) -> list[int]:
    """The borders of blocks after each failing one has taken in neighbours, until it is twice as large or more."""
    gone: set[int] = set()
    last = len(edges) - 1
    for block in failing:
        low, high = block, block + 1
        if low in gone or high in gone:
            continue  # a neighbour took it in
        wanted = 2 * (edges[high] - edges[low])
        while edges[high] - edges[low] < wanted and (high < last or low > 0):
            gone.add(high if high < last else low)
            low, high = (low, high + 1) if high < last else (low - 1, high)
    return [edge for place, edge in enumerate(edges) if place not in gone or place in (0, last)]


def blocks_of(k: int, n: int, classes: int) -> list[int]:
    """The borders of blocks of so many classes of k; the last takes the rest."""
    edges = list(range(0, n - classes * k + 1, classes * k)) or [0]
    return [*edges, n]


def cut(engine: DuckDB, edges: list[int]) -> None:
    """The block of every place."""
    block = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    engine.numbers("cut", "blocks", {"place": np.arange(len(block)), "blk": block})


def round_robin(engine: DuckDB, k: int, n: int) -> Done:
    edges = blocks_of(k, n, 4)
    while True:
        cut(engine, edges)
        engine.run("deal", ROUND_ROBIN.format(k=k))
        failing = [blk for (blk,) in engine.run("judge", FAILING.format(of="blk", k=k))]
        if not failing:
            return Done(blocks=len(edges) - 1)
        if len(edges) == 2:
            return Done(blocks=1, note="evenly dealt classes miss θ even in one block")
        edges = united(edges, failing)


def packed(engine: DuckDB, k: int, n: int) -> Done:
    theta, edges = Theta(k, exact(MU)), blocks_of(k, n, 4)
    totals = dict(engine.run("count", "SELECT s, count(*) FROM people GROUP BY s"))
    counts = np.array([totals.get(v, 0) for v in range(max(totals) + 1)])
    if pack(counts.tolist(), theta) is None:
        found = pack(counts.tolist(), theta, noise=True)
        if found is None:
            return Done(blocks=1, note="no packing found")
        deal_packed(engine, [0, n], [found.histogram])
        return Done(noise=found.noise[:, :2], blocks=1)
    order = np.array([s for (s,) in engine.run("read", "SELECT s FROM people ORDER BY place")])
    known: dict[tuple[int, int], Packed | None] = {}
    while True:
        for a, b in pairwise(edges):
            if (a, b) not in known:
                known[a, b] = pack(np.bincount(order[a:b], minlength=len(counts)).tolist(), theta)
        dealt = [known[a, b] for a, b in pairwise(edges)]
        failing = [number for number, block in enumerate(dealt) if block is None]
        if not failing:
            deal_packed(engine, edges, [block.histogram for block in dealt if block is not None])
            return Done(blocks=len(dealt))
        edges = united(edges, failing)


def deal_packed(engine: DuckDB, edges: list[int], dealt: Sequence[Histogram]) -> None:
    """Deals out the records of each block and value, in their order, to the classes that are to have them."""
    slots, before = [], 0
    for block, histogram in enumerate(dealt):
        order = np.lexsort((histogram.classes, histogram.values))
        value = np.repeat(histogram.values[order], histogram.counts[order])
        group = np.repeat(histogram.classes[order], histogram.counts[order]) + before
        first = np.flatnonzero(np.diff(value, prepend=-1))
        nth = np.arange(len(value)) - np.repeat(first, np.diff(np.append(first, len(value)))) + 1
        slots.append(np.column_stack([np.full(len(value), block), value, nth, group]))
        before += histogram.size
    rows = np.concatenate(slots)
    engine.numbers(
        "plan", "slots", {x: np.ascontiguousarray(rows[:, i]) for i, x in enumerate(("b", "v", "nth", "grp"))}
    )
    cut(engine, edges)
    engine.run(
        "deal",
        "CREATE OR REPLACE TEMP TABLE made AS WITH p AS (SELECT p.*, b.blk, row_number() OVER (PARTITION BY b.blk, p.s"
        " ORDER BY p.place) AS nth FROM people AS p JOIN blocks AS b USING (place))"
        " SELECT p.* EXCLUDE (nth), l.grp FROM p JOIN slots AS l ON l.b = p.blk AND l.v = p.s AND l.nth = p.nth",
    )


def p_plus(engine: DuckDB, k: int, n: int, p: int = 3) -> Done:
    found = engine.run("read", "SELECT category FROM people ORDER BY place")
    groups, number, size, seen = np.zeros(n, dtype=np.int64), 0, 0, set[int]()
    for place, (category,) in enumerate(found):
        groups[place] = number
        size, seen = size + 1, seen | {category}
        if size >= k and len(seen) >= p:
            number, size, seen = number + 1, 0, set()
    groups[groups == number] = max(number - 1, 0)  # what is left over joins the last class
    engine.numbers("deal", "dealt", {"place": np.arange(n), "grp": groups})
    engine.run("deal", "CREATE OR REPLACE TEMP TABLE made AS SELECT * FROM people JOIN dealt USING (place)")
    return Done()


METHODS: dict[str, Callable[[DuckDB, int, int], Done]] = {
    "plain": plain, "paper": paper, "swap": swap, "round-robin": round_robin, "packed": packed, "p+": p_plus,
}  # fmt: skip


# -- what came out --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Queries:
    """Conjunctions of ranges, by the number of the quasi-identifier, and how many records meet each."""

    ranges: list[dict[int, tuple[int, int]]]
    counts: Ints


def queries(found: Data, many: int = 1000) -> Queries:
    """Random queries over two to four quasi-identifiers, ranges as long as a drawn selectivity asks for; none empty."""
    random, records = np.random.default_rng(SEED + 1), boxes_of(found.keys, found.keys)
    ranges, counts = [], []
    while len(counts) < many:
        share, asked = float(np.exp(random.uniform(np.log(0.002), np.log(0.4)))), int(random.integers(2, 5))
        query = {}
        for key in random.choice(len(KEYS), asked, replace=False).tolist():
            length = max(1, round(float(found.domains[key]) * share ** (1 / asked)))
            start = int(random.integers(0, found.domains[key] - length + 1))
            query[key] = (start, start + length - 1)
        count = len(within(records, query))
        if count:
            ranges.append(query)
            counts.append(count)
    return Queries(ranges, np.array(counts))


Boxes = list[tuple[Any, Any]]


def boxes_of(low: Ints, high: Ints) -> Boxes:
    """The least and greatest place of each box, column by column, in few bytes."""
    return [(np.ascontiguousarray(a, dtype=np.int16), np.ascontiguousarray(b, dtype=np.int16))
            for a, b in zip(low.T, high.T, strict=True)]  # fmt: skip


def within(boxes: Boxes, ranges: dict[int, tuple[int, int]]) -> Ints:
    """Which boxes have a part of all the ranges."""
    there = None
    for key, (a, b) in ranges.items():
        low, high = boxes[key] if there is None else (ends[there] for ends in boxes[key])
        met = np.flatnonzero((low <= b) & (high >= a))
        there = met if there is None else there[met]
    return there if there is not None else np.arange(len(boxes[0][0]))


def errors(boxes: Boxes, sizes: Ints, asked: Queries) -> tuple[Any, Any]:
    """|estimate − truth| / truth of each query: overlapping classes counted whole (the paper), and by their share."""
    whole, part = [], []
    for ranges, truth in zip(asked.ranges, asked.counts.tolist(), strict=True):
        there = within(boxes, ranges)
        share = sizes[there].astype(np.float64)
        for key, (a, b) in ranges.items():
            low, high = (ends[there] for ends in boxes[key])
            share *= (np.minimum(high, b) - np.maximum(low, a) + 1) / (high - low + 1)
        whole.append(abs(int(sizes[there].sum()) - truth) / truth)
        part.append(abs(float(share.sum()) - truth) / truth)
    return np.array(whole), np.array(part)


SELECTIVITIES = (0.0, 0.005, 0.02, 0.05, 0.1, 1.0)


def measured(engine: DuckDB, k: int, done: Done, found: Data, asked: Queries) -> dict[str, Any]:
    """The figures of a finished method; the records are counted again here, whatever the method says."""
    n = len(found.values)
    ((rows, ids, same),) = engine.run(
        "check",
        "SELECT count(*), count(DISTINCT m.id), count(*) FILTER (WHERE m.s = p.s) FROM made m JOIN people p USING (id)",
    )
    if not rows == ids == same == n:
        raise SystemExit("records were lost or changed")
    ends = ", ".join(f"min(q{i}), max(q{i})" for i in range(len(KEYS)))
    boxes = np.array(engine.run("read", f"SELECT {ends} FROM made GROUP BY grp ORDER BY grp"))
    histogram = {
        (int(g), int(s)): int(c) for g, s, c in engine.run("read", "SELECT grp, s, count(*) FROM made GROUP BY ALL")
    }
    for group, value in done.noise.tolist():
        if (group, value) in histogram:
            raise SystemExit("noise with a value that its class has")
        histogram[group, value] = 1
    g, s, c = (np.array(x) for x in zip(*((g, s, c) for (g, s), c in histogram.items()), strict=True))
    classes, theta = Histogram(g, s, c, int(found.values.max()) + 1), Theta(k, exact(MU))
    sizes = classes.sizes
    low, high = boxes[:, 0::2], boxes[:, 1::2]
    whole, part = errors(boxes_of(low, high), sizes, asked)
    spans = (high - low) / np.maximum(found.domains - 1, 1)
    shares = asked.counts / n
    per = [(a, b, (shares >= a) & (shares < b)) for a, b in pairwise(SELECTIVITIES)]
    return {
        "classes": classes.size, "least": int(sizes.min()), "violating": len(classes.below(theta)),
        "dcp": t.discernibility(sizes.tolist()), "excess": t.discernibility(sizes.tolist()) - n * k,
        "c_avg": float(t.average_class_size(sizes.tolist(), k)), "noise": len(done.noise), "swaps": done.swaps,
        "confidence": max(max(x.values()) / sum(x.values()) for x in classes.per_class()),
        "distinct": min(map(len, classes.per_class())),
        "gcp": float((spans * sizes[:, None]).sum() / sizes.sum() / len(KEYS)),
        "blocks": done.blocks, "seconds": round(done.seconds, 2), "note": done.note,
        "error": {"overlap": float(whole.mean()), "overlap_median": float(np.median(whole)),
                  "uniform": float(part.mean()), "uniform_median": float(np.median(part))},
        "by_selectivity": [{"from": a, "to": b, "queries": int(at.sum()), "overlap": float(np.median(whole[at])),
                            "uniform": float(np.median(part[at]))} for a, b, at in per if at.any()],
    }  # fmt: skip


def experiment(rows: int, ks: Sequence[int], keep: Callable[[dict[str, Any]], None]) -> None:
    """All figures; those of each k are kept as soon as they are there."""
    found = data(rows)
    asked = queries(found)
    totals = np.bincount(found.values).tolist()
    result: dict[str, Any] = {"rows": rows, "mu": MU, "values": totals, "keys": KEYS, "k": {}}
    with DuckDB() as engine:
        load(engine, found)
        for k in ks:
            theta = Theta(k, exact(MU))
            promised = t.implied(k, theta)
            row: dict[str, Any] = {
                "floor": t.least_discernibility(rows, k) - rows * k,
                "floor_with_noise": t.least_discernibility(rows, k, noise=True) - rows * k,
                "noise_bound": t.noise_lower_bound(totals, theta),
                "implied": promised and {"confidence": float(promised.confidence), "distinct": promised.distinct},
                "methods": {},
            }
            for name, method in METHODS.items():
                started = time.process_time()
                done = method(engine, k, rows)
                done.seconds = time.process_time() - started
                row["methods"][name] = one = measured(engine, k, done, found, asked)
                print(
                    k,
                    name,
                    {x: one[x] for x in ("violating", "excess", "noise", "swaps", "seconds", "note")},
                    flush=True,
                )
            result["k"][k] = row
            keep(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs")
    parser.add_argument("--rows", type=int, default=160150)
    parser.add_argument("--k", default=",".join(map(str, range(2, 21, 2))))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "theta_paper.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"rows": None, "k": {}}

    def keep(result: dict[str, Any]) -> None:
        """Writes the figures; those of other k, if they are of the same table, stay."""
        others = before["k"] if before["rows"] == asked.rows else {}
        by_k = others | {str(k): row for k, row in result["k"].items()}
        whole = result | {"k": {k: by_k[k] for k in sorted(by_k, key=int)}}
        file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    experiment(asked.rows, [int(k) for k in asked.k.split(",")], keep)
    from theta_report import write  # matplotlib is asked for only where there is something to plot

    write(json.loads(file.read_text(encoding="utf-8")), asked.out)


if __name__ == "__main__":
    main()
