"""Keyed draws: the same whatever the engine does, distributed as they should be, and unknown without the key."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import EngineError, NotPortable
from sqlanon.query import fragment, render
from sqlanon.udfs import draws

numbers = st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 40), max_size=30)


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


def test_a_draw_is_a_piece_of_a_keyed_hash_and_never_changes() -> None:
    secret = hashlib.blake2b(b"the key", digest_size=64, person=b"sqlanon key").digest()
    message = (5).to_bytes(8, "little") + b"noise" + (2).to_bytes(8, "little", signed=True)
    digest = hashlib.blake2b(message, key=secret, digest_size=64, person=b"sqlanon draws").digest()
    bits = int.from_bytes(digest[8:16], "little") >> 12  # record 17 is the second of the third eight
    assert draws.uniform("the key", "noise", 17) == (bits + 0.5) / 2**52
    assert draws.normal("the key", "noise", 17) == NormalDist().inv_cdf((bits + 0.5) / 2**52)


@given(numbers, st.lists(st.sampled_from(["", "a", "b", "Ünï"]), min_size=30, max_size=30))
def test_many_draws_are_the_same_as_one_by_one(found: list[int], streams: list[str]) -> None:
    named = streams[: len(found)]
    for one, many in ((draws.uniform, draws.uniforms), (draws.normal, draws.normals)):
        together = many("key", named, np.array(found, dtype=np.int64))
        assert together.tolist() == [one("key", s, n) for s, n in zip(named, found, strict=True)]


def test_draws_are_uniform_and_those_of_other_keys_and_streams_have_nothing_to_do_with_them() -> None:
    n = 20000
    found = [
        draws.uniforms(key, [stream] * n, np.arange(n))
        for key, stream in (("a", "x"), ("b", "x"), ("a", "y"), ("a" * 200, "x"), ("a" * 201, "x"))
    ]
    for u in found:
        assert u.min() > 0 and u.max() < 1
        gap = np.abs(np.sort(u) - (np.arange(n) + 0.5) / n).max()
        assert gap < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov at 0.001
    assert np.abs(np.corrcoef(found) - np.eye(len(found))).max() < 0.03
    normal = draws.normals("a", ["x"] * n, np.arange(n))
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03


def test_streams_cannot_be_taken_for_one_another() -> None:
    assert draws.uniform("k", "ab", 1) != draws.uniform("k", "a", 1) != draws.uniform("ka", "b", 1)


def test_a_draw_needs_a_key() -> None:
    with pytest.raises(ValueError, match="need a key"):
        draws.uniform("", "s", 1)


@pytest.mark.parametrize("vectorised", [True, False])
@pytest.mark.parametrize("threads", [1, 4])
def test_the_database_draws_the_same_however_it_calls(engine: DuckDB, vectorised: bool, threads: int) -> None:
    engine.run("set", f"SET threads = {threads}")
    with engine.functions("key", vectorised=vectorised):
        found = engine.run(
            "draw",
            "SELECT i, sqlanon_uniform('s' || i % 3, i), sqlanon_normal('n', i) FROM range(5000) t(i) ORDER BY i",
        )
    assert found == [(i, draws.uniform("key", f"s{i % 3}", i), draws.normal("key", "n", i)) for i in range(5000)]


def test_the_functions_are_gone_when_their_key_is(engine: DuckDB) -> None:
    with engine.functions("key"):
        pass
    with pytest.raises(EngineError):
        engine.run("draw", "SELECT sqlanon_uniform('s', 1)")


def test_the_functions_are_gone_after_a_failure_and_the_key_is_in_no_message(engine: DuckDB) -> None:
    with pytest.raises(EngineError) as caught, engine.functions("s3cret"):
        engine.run("group", "SELECT sqlanon_mdav(0, [[1.0]])")
    assert "s3cret" not in str(caught.value) + caught.value.engine_text
    with pytest.raises(EngineError):
        engine.run("group", "SELECT sqlanon_mdav(2, [[1.0]])")


def test_a_failed_transaction_leaves_no_function_behind_and_none_missing(engine: DuckDB) -> None:
    for key in ("one", "two"):
        with pytest.raises(EngineError), engine.transaction(), engine.functions(key):
            engine.run("group", "SELECT sqlanon_mdav(0, [[1.0]])")
        with pytest.raises(EngineError):
            engine.run("draw", "SELECT sqlanon_uniform('s', 1)")
        with engine.transaction(), engine.functions(key):
            assert engine.run("draw", "SELECT sqlanon_uniform('s', 1)") == [(draws.uniform(key, "s", 1),)]


def test_house_sql_calls_our_own_functions_and_no_others() -> None:
    assert "sqlanon_uniform" in render(fragment("select sqlanon_uniform('s', n) from t"), "duckdb").lower()
    with pytest.raises(NotPortable):
        render(fragment("select read_text('/etc/passwd')"), "duckdb")
    with pytest.raises(NotPortable):
        render(fragment("select nosqlanon_uniform('s', n) from t"), "duckdb")


def test_numbers_from_outside_become_a_working_table(engine: DuckDB) -> None:
    engine.numbers("load", 'a "plan"', {"x": np.arange(3), "y;--": np.array([0.5, -1.5, 2.0])})
    assert engine.run("read", 'SELECT * FROM "a ""plan""" ORDER BY x') == [(0, 0.5), (1, -1.5), (2, 2.0)]
    engine.numbers("load", 'a "plan"', {"x": np.empty(0, dtype=np.int64)})
    assert engine.run("read", 'SELECT count(*) FROM "a ""plan"""') == [(0,)]
