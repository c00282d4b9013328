"""Planners that the server runs where it has them, and that run beside the client where not: the same either way."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_postgresql.executors import NoopExecutor
from server import as_role, execute, fetch, python_of
from tries import tries

import sqlanon
from sqlanon import generating, query
from sqlanon.engines import Engine, answering
from sqlanon.engines.duckdb import DuckDB
from sqlanon.engines.postgres import Postgres
from sqlanon.functions import GROUPS, PLANNERS, RANKS, SWAPS, Planner, Rows
from sqlanon.spec import load

QUICK = settings(max_examples=tries(40), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
NASTY = '"; DROP TABLE x; --'
ON, BESIDE = "by sqlanon's functions on the server", "beside the client: "
FUNCTIONS = list(generating.declared())
Table = list[list[int]]


@pytest.fixture(scope="module")
def served(server: NoopExecutor, database: str) -> str:
    """A database with sqlanon's functions, which the publisher may call and the stranger may not; and a source."""
    python_of(server)
    execute(
        database,
        "CREATE EXTENSION plpython3u",
        generating.script(),
        "GRANT USAGE ON SCHEMA sqlanon TO publisher, stranger",
        *(f"GRANT EXECUTE ON FUNCTION {f.signature} TO publisher" for f in FUNCTIONS),
        "CREATE TABLE public.people (age int, zip text, ill text)",
        "INSERT INTO public.people SELECT 20 + i * 7 % 50, '47' || i * 13 % 90, 'abcdd'::char(5) FROM"
        " generate_series(1, 200) AS r (i)",
        "UPDATE public.people SET ill = substr('aaaabbcdef', 1 + age * 3 % 10, 1)",
        "GRANT SELECT ON public.people TO publisher, stranger",
    )
    return database


@pytest.fixture(scope="module")
def three(served: str) -> Iterator[dict[str, Engine]]:
    """The server with functions, the same without the right to call them, and the embedded engine."""
    with (
        DuckDB() as embedded,
        sqlanon.connect(as_role(served, "publisher")) as on_server,
        sqlanon.connect(as_role(served, "stranger")) as beside,
    ):
        yield {"on the server": on_server, "beside the client": beside, "embedded": embedded}


def given_by(
    engine: Engine, planner: Planner, constants: Sequence[object], *tables: tuple[Table, bool]
) -> Counter[Any]:
    """What a planner gives for tables of numbers, whose columns have names that could be mistaken."""
    rows = []
    for place, (cells, numbered) in enumerate(tables):
        width = len(cells[0]) if cells else 2
        columns = {NASTY[:1] * i + f"$n {i}": [row[i] for row in cells] for i in range(width)}
        order = {"at": list(range(1, len(cells) + 1))} if numbered else {}
        engine.numbers("fill", f"given {place}", {name: np.array(c, dtype=np.int64) for name, c in
                                                  {**columns, **order}.items()})  # fmt: skip
        by = ("at",) if numbered else tuple(columns)
        rows.append(Rows(query.table(f"given {place}"), tuple(columns), by, len(cells), numbered))
    done = engine.called("call it", NASTY, planner, constants, rows)
    assert (done.query is None) == (ON not in done.where)
    found = Counter(engine.run("read", query.select([query.column(name) for name in planner.gives], NASTY)))
    engine.drop_temporary(NASTY, *(f"given {place}" for place in range(len(tables))))
    return found


def same(
    three: Mapping[str, Engine], planner: Planner, constants: Sequence[object], *tables: tuple[Table, bool]
) -> None:
    told = [given_by(engine, planner, constants, *tables) for engine in three.values()]
    assert told[0] == told[1] == told[2]


# -- the same results --------------------------------------------------------------------------------------------------


def test_who_may_call_them_calls_them_and_nobody_else(three: Mapping[str, Engine]) -> None:
    assert [engine.can("functions") for name, engine in three.items() if name != "embedded"] == [True, False]


@QUICK
@given(st.data(), st.sampled_from(["swap", "paper"]), st.sampled_from(["k", "n"]), st.booleans())
def test_swaps_and_noise_are_planned_alike(
    three: Mapping[str, Engine], data: st.DataObject, repair: str, of: str, noise: bool
) -> None:
    domain = data.draw(st.integers(1, 6))
    counted = st.dictionaries(st.integers(0, domain - 1), st.integers(1, 6), min_size=1)
    classes = data.draw(st.lists(counted, min_size=1, max_size=9))
    cells = [[number, v, n] for number, counts in enumerate(classes) for v, n in counts.items()]
    banned = data.draw(st.sets(st.tuples(st.integers(0, len(classes) - 1), st.integers(0, domain - 1)), max_size=3))
    constants = (
        repair,
        data.draw(st.integers(2, 5)),
        data.draw(st.sampled_from(["0.6", "9/10", "1"])),
        of,
        noise,
        domain,
    )
    same(three, SWAPS, constants, (cells, False), ([list(pair) for pair in banned], False))


@QUICK
@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_sequences_are_cut_alike(
    three: Mapping[str, Engine], data: st.DataObject, k: int, columns: int, by_person: bool
) -> None:
    places = st.lists(st.integers(0, 2**40), min_size=columns, max_size=columns)
    rows = data.draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1), places), min_size=1, max_size=20))
    cells = [[records, person, *of] for records, person, of in rows] + [[1, 1] + [0] * columns] * k
    weights, whole = tuple(range(1, columns + 1)), [i == 1 for i in range(columns)]
    same(three, GROUPS, (k, 2**40, weights, whole, by_person), (cells, True))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=20))
def test_points_are_ranked_alike(three: Mapping[str, Engine], points: list[tuple[int, int]]) -> None:
    same(three, RANKS, (4, 2), ([[i + 1, *point] for i, point in enumerate(points)], True))


def test_a_stream_of_several_blocks_is_one_argument(
    three: Mapping[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqlanon.engines.planners._BLOCK", 7)
    cells = [[1 + i % 3, 1, i * i % 97, i * 31 % 101] for i in range(100)]
    same(three, GROUPS, (5, 100, (1, 3), [False, False], False), (cells, True))


def test_what_is_too_large_for_an_argument_is_streamed_to_the_client_which_is_told(
    three: Mapping[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, engine = [[1, 1, i * i % 97] for i in range(100)], three["on the server"]
    before = given_by(engine, GROUPS, (5, 100, (1,), [False], False), (cells, True))
    monkeypatch.setattr(answering, "_LARGEST", 100 * 3 * 8 - 1)
    assert given_by(engine, GROUPS, (5, 100, (1,), [False], False), (cells, True)) == before
    engine.numbers("fill", "given", {"id": range(1, 401), "x": range(400)})
    rows = Rows(query.table("given"), ("id", "x"), ("id",), 400, numbered=True)
    assert (
        engine.called("call it", "made", RANKS, (9, 1), [rows]).where
        == BESIDE + "there were too many rows for an argument"
    )
    engine.drop_temporary("given", "made")


# -- who called what ---------------------------------------------------------------------------------------------------

THETA = {"model": "theta-sensitivity", "column": "ill", "mu": 0.4, "repair": "swap", "noise": True}
SPEC: dict[str, Any] = {
    "source": "public.people",
    "columns": {"age": "quasi-identifier", "zip": "quasi-identifier", "ill": "sensitive"},
    "privacy": [{"model": "k-anonymity", "k": 4}, THETA], "recoding": {"suppression": 0.5, "order": "hilbert"},
    "publish": {"name": "healed"},
}  # fmt: skip
CALLS = "SELECT funcname::text, sum(calls)::int FROM pg_stat_user_functions WHERE schemaname = 'sqlanon' GROUP BY 1"


def calls(url: str) -> Counter[str]:
    return Counter(dict(fetch(url, CALLS)))


@pytest.fixture(scope="module")
def planned(served: str) -> dict[str, tuple[Any, Counter[str], dict[str, Any], str]]:
    """For who may call them and who may not: the plan, the calls that the server counted, its JSON and its SQL."""
    execute(served, "ALTER DATABASE test_called SET track_functions = 'all'")
    found = {}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("SQLANON_KEY", "so that ties are decided alike")
    for role in ("publisher", "stranger"):
        before = calls(served)
        with sqlanon.connect(as_role(served, role)) as engine:
            made = sqlanon.plan(load(SPEC), engine)
            told, text = json.loads(json.dumps(made.to_dict())), made.sql(engine)
        found[role] = made, calls(served) - before, told, text
    monkeypatch.undo()
    return found


def test_the_server_counts_the_calls_of_who_may_and_none_of_who_may_not(planned: Any) -> None:
    counted = planned["publisher"][1]
    assert all(counted[planner.name] >= 2 for planner in PLANNERS), "each once for the proof, and then for the plan"
    assert planned["stranger"][1] == Counter()


def test_a_plan_says_which_way_it_was_made_and_is_the_same_plan(planned: Any) -> None:
    ways = {"publisher": ON, "stranger": f"{BESIDE}this role has no EXECUTE on those of the server"}
    for role, where in ways.items():
        made, _, told, text = planned[role]
        for planner in PLANNERS:
            said = f"{planner.told} were worked out {where}"
            assert said in made.notes and said in told["notes"]
            assert (f"sqlanon.{planner.name}(" in text) == (role == "publisher")
        assert (" is filled by sqlanon.udfs.flat." in text) == (role == "stranger")
    with_, without = (
        {key: value for key, value in planned[role][2].items() if key not in ("notes", "seconds", "fingerprint")}
        for role in ways
    )
    assert with_ == without and with_["swaps"] > 0


def test_what_the_server_plans_is_in_the_script_which_runs_by_itself(served: str) -> None:
    spec = {**SPEC, "privacy": SPEC["privacy"][:1]}
    with sqlanon.connect(served, superuser=True) as engine:
        made = sqlanon.release(load(spec), engine)
        text = sqlanon.plan(load({**spec, "publish": {"name": "by_hand"}}), engine).sql(engine)
    assert "does not run by itself" not in text
    ran = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", served], input=text, capture_output=True,
                         text=True, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = [Counter(fetch(served, f"SELECT age, zip FROM releases.{name}")) for name in ("healed", "by_hand")]
    assert found[0] == found[1] and found[0].total() == made.to_dict()["rows_out"]


# -- why they are not called -------------------------------------------------------------------------------------------


def lack(url: str) -> str:
    with Postgres(url, superuser=True) as engine:
        assert engine.can("functions") == (ON in engine.where_functions_run)
        return engine.where_functions_run.partition(BESIDE)[2]


def test_why_the_functions_of_a_server_are_not_called_is_told(served: str, fresh: str) -> None:
    groups = next(f for f in FUNCTIONS if f.name == GROUPS.name)
    assert lack(served) == ""
    assert lack(fresh) == "the server has no such functions"
    execute(served, "REVOKE USAGE ON SCHEMA sqlanon FROM publisher")
    assert lack(as_role(served, "publisher")) == "this role has no EXECUTE on those of the server"
    execute(
        served, "GRANT USAGE ON SCHEMA sqlanon TO publisher", f"ALTER FUNCTION {groups.signature} OWNER TO stranger"
    )
    assert lack(served) == "those on the server are not a superuser's in plpython3u"
    execute(served, f"ALTER FUNCTION {groups.signature} OWNER TO postgres")
    wrong = generating.statements(groups).replace("found.rows + 1", "found.rows")
    execute(served, wrong)
    assert lack(served) == "those on the server do not come to the same"
    execute(served, generating.statements(groups).replace("import numpy as np", "import no_such_module as np"))
    assert lack(served) == "those on the server fail; is numpy there?"
    execute(served, f"DROP FUNCTION {groups.signature}")
    assert lack(served) == "the server has those of another version"
    execute(served, generating.statements(groups), f"GRANT EXECUTE ON FUNCTION {groups.signature} TO publisher")
    assert lack(as_role(served, "publisher")) == ""
