"""What planners cost in the server and beside the client, on the same rows: CPU, wall time, memory of both processes.

    python benchmarks/called.py [--rows 1000000] [--k 5]

A private server is started from the machine's programs; it needs plpython3u and numpy. The rows are random: seven
quasi-identifiers, so that nearly every row is a combination of its own, and a sensitive value of twenty, some of them
far more frequent than others. Measured are the cheapest groups of k along the order, and exchanges with noise for θ on
them. Both ways must come to the same groups and the same plan, else the run ends with an error.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from server import as_role, execute, python_of, running

import sqlanon
from sqlanon import generating
from sqlanon.models import ThetaSensitivity
from sqlanon.planning import source_of
from sqlanon.recoding import exchanges, hilbert
from sqlanon.recoding.partition import encode
from sqlanon.spec import load

SERVER = "-F -c synchronous_commit=off -c autovacuum=off -c jit=off -c shared_buffers=256MB"
WIDE = (90, 100, 16, 7, 50, 400, 2)
ROLES = {"holder": "on the server", "stranger": "beside the client"}


def table(url: str, rows: int) -> None:
    columns = ", ".join(f"(random() * {wide - 1})::int AS q{i}" for i, wide in enumerate(WIDE))
    execute(
        url,
        "CREATE EXTENSION IF NOT EXISTS plpython3u", generating.script(), "SELECT setseed(0.5)",
        *(f"CREATE ROLE {role} LOGIN" for role in ROLES), f"GRANT USAGE ON SCHEMA sqlanon TO {', '.join(ROLES)}",
        *(f"GRANT EXECUTE ON FUNCTION {f.signature} TO holder" for f in generating.declared()),
        f"CREATE TABLE people AS SELECT {columns}, floor(20 * random() ^ 2)::int AS s FROM generate_series(1, {rows})",
        f"GRANT SELECT ON people TO {', '.join(ROLES)}",
    )  # fmt: skip


def of_process(pid: int) -> tuple[float, int]:
    """CPU seconds, and the most memory in MB that it had."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    most = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return (int(ticks[11]) + int(ticks[12])) / 100, int(most.split()[1]) // 1024


def measured(backend: int, do: Callable[[], object]) -> dict[str, Any]:
    Path(f"/proc/{backend}/clear_refs").write_text("5")  # the most memory is that from here on; root may do that
    before, start = of_process(backend)[0], (time.process_time(), time.monotonic())
    do()
    cpu, most = of_process(backend)
    return {
        "client CPU": round(time.process_time() - start[0], 2), "server CPU": round(cpu - before, 2),
        "wall": round(time.monotonic() - start[1], 2),
        "client MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "server MB": most,
    }  # fmt: skip


def one_way(url: str, k: int) -> dict[str, Any]:
    model = ThetaSensitivity("s", mu=0.6, k=k, repair="swap", noise=True)
    roles = {**{f"q{i}": "quasi-identifier" for i in range(len(WIDE))}, "s": "sensitive"}
    spec = load({"source": "public.people", "columns": roles, "privacy": [{"model": "k-anonymity", "k": k}]})
    with sqlanon.connect(url) as engine:
        ((backend,),) = engine.run("look", "SELECT pg_backend_pid()")
        encoded = encode(engine, source_of(spec, engine), "key", beside=["s"])
        hilbert.arrange(encoded, k, "gray")
        before = {"combinations": encoded.combinations, "server MB before": of_process(backend)[1]}
        groups = measured(backend, lambda: hilbert.best(encoded, k))
        digest = 'SELECT sum(hashtextextended(p::text, 0)), count(*) FROM pg_temp."sqlanon pieces" AS p'
        same = engine.run("look", digest)
        found = exchanges.Exchange(encoded, model, "key")
        swaps = measured(backend, found.plan)
        planned = engine.run("look", digest.replace("pieces", "plan"))
        return {
            **before, "groups": groups, "swaps": swaps, "done": str(found.done()), "told": encoded.work.told,
            "same": str((same, planned)),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.url:
        print(json.dumps(one_way(asked.url, asked.k)))
        return
    with running(SERVER) as folder:
        python_of(SimpleNamespace(host=str(folder), port=5432))  # type: ignore[arg-type]
        url = f"postgresql://postgres@/postgres?host={folder}&port=5432"
        table(url, asked.rows)
        found = {}
        for role, way in ROLES.items():  # each in a process of its own, whose memory is its own
            again = [sys.executable, __file__, "--url", as_role(url, role), "--k", str(asked.k)]
            ran = subprocess.run(again, capture_output=True, text=True, check=True)
            found[way] = json.loads(ran.stdout)
            print(way, json.dumps(found[way], indent=1), flush=True)
        if len({one["same"] for one in found.values()}) > 1:
            raise SystemExit("the two ways did not come to the same")


if __name__ == "__main__":
    main()
