"""Files and data frames for Postgres: what arrives is what DuckDB reads, exactly, or nothing does."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest
from server import fetch, working_tables

import sqlanon
from sqlanon.engines import Engine, Origin
from sqlanon.errors import EngineError, SpecError

HOSTILE = ('"; DROP TABLE x; --', "it's $s\n{new} line", "Äpfel")


@pytest.fixture(scope="module")
def engine(database: str) -> Iterator[Engine]:
    with sqlanon.connect(database, superuser=True) as found:
        yield found


def rows(engine: Engine, origin: Origin) -> list[tuple[Any, ...]]:
    return engine.run("look", f"SELECT * FROM {engine.origin(origin)} AS s")


VALUES: dict[str, list[Any]] = {
    "whole": [1, -(2**63), None],
    "double": [0.1, math.inf, None],
    "text": ["it's\ta \\N \\.\n", "", None],
    "flag": [True, False, None],
    "day": [dt.date(2020, 2, 29), dt.date(1, 1, 1), None],
    "at": [dt.datetime(2020, 2, 29, 23, 59, 59, 999999), dt.datetime(1, 1, 1), None],
    "amount": [Decimal("1.50"), Decimal("-99999999.99"), None],
}


def arrow() -> pyarrow.Table:
    return pyarrow.table({name: pyarrow.array(values) for name, values in VALUES.items()})


@pytest.mark.parametrize("kind", ["arrow", "polars", "pandas"])
def test_a_frame_arrives_as_it_is_and_goes_back_as_its_kind(engine: Engine, kind: str) -> None:
    frames = {"arrow": arrow, "polars": lambda: polars.from_arrow(arrow()), "pandas": lambda: arrow().to_pandas(
        types_mapper=pandas.ArrowDtype)}  # fmt: skip
    frame = frames[kind]()
    origin = engine.register(frame)
    assert sorted(rows(engine, origin), key=str) == sorted(zip(*VALUES.values(), strict=True), key=str)
    families = [column.family for column in engine.columns(origin)]
    assert families == ["integer", "float", "text", "boolean", "date", "timestamp", "decimal"]
    back = engine.frame(origin.relation or "", frame)
    assert type(back) is type(frame)
    assert list(back.column_names if kind == "arrow" else back.columns) == list(VALUES)
    assert len(back) == 3


def test_every_frame_has_a_copy_of_its_own_that_ends_with_the_connection(fresh: str) -> None:
    with sqlanon.connect(fresh) as engine:
        one, two = (engine.register(pandas.DataFrame({"a": [n]})) for n in (1, 2))
        assert (rows(engine, one), rows(engine, two)) == ([(1,)], [(2,)])
        assert fetch(fresh, "SELECT count(*) FROM pg_class WHERE relname LIKE 'sqlanon copy%'") == [(2,)]
    assert fetch(fresh, "SELECT count(*) FROM pg_class WHERE relname LIKE 'sqlanon copy%'") == [(0,)]


def test_names_of_columns_are_names(engine: Engine) -> None:
    frame = pandas.DataFrame({name: [i] for i, name in enumerate(HOSTILE)})
    origin = engine.register(frame)
    assert engine.names(engine.origin(origin)) == HOSTILE
    assert tuple(engine.frame(origin.relation or "", frame).columns) == HOSTILE


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[1], [2]], "a type that Postgres has no like of"),
        ([numpy.uint64(2**64 - 1)], "a type that Postgres has no like of"),
        ([{"secret": 1}], "a type that Postgres has no like of"),
        ([numpy.datetime64("2020-01-01T00:00:00.000000001")], "times of nanoseconds"),
    ],
)
def test_a_type_that_would_not_arrive_exactly_is_refused(engine: Engine, values: list[Any], told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        engine.register(pandas.DataFrame({"x": values}))
    assert "secret" not in str(caught.value)


def test_a_text_that_the_server_cannot_hold_is_an_error_without_the_text(engine: Engine) -> None:
    with pytest.raises(EngineError) as caught:
        engine.register(pandas.DataFrame({"x": ["secret\0"]}))
    assert "secret" not in str(caught.value)


def test_a_file_is_copied_once_and_again_when_it_changes(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("plz;age\n01067;3\n")
    origin = Origin(file=file, delimiter=";", text_columns=("plz",))
    assert rows(engine, origin) == [("01067", 3)]
    assert engine.origin(origin) == engine.origin(origin)
    before = engine.origin(origin)
    file.write_text("plz;age\n01067;3\n99999;4\n")
    assert sorted(rows(engine, origin)) == [("01067", 3), ("99999", 4)]
    assert engine.origin(origin) != before


def test_a_copy_that_a_rollback_took_away_is_made_again(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("age\n3\n")
    with suppress(ZeroDivisionError), engine.transaction():
        assert rows(engine, Origin(file=file)) == [(3,)]
        raise ZeroDivisionError
    assert rows(engine, Origin(file=file)) == [(3,)]


@pytest.mark.parametrize("name", ["nobody.csv", "people.xyz"])
def test_a_file_that_is_not_there_or_not_readable_is_told_as_by_duckdb(
    engine: Engine, tmp_path: Path, name: str
) -> None:
    (tmp_path / "people.xyz").write_text("a\n1\n")
    with pytest.raises(SpecError, match=r"no such file|no reader"):
        engine.columns(Origin(file=tmp_path / name))


def test_a_file_is_released_on_postgres_as_on_duckdb(fresh: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("age,ill\n" + "".join(f"{20 + i % 37},{'flu' if i % 3 else 'gout'}\n" for i in range(200)))
    spec = {
        "source": {"file": str(file)}, "columns": {"age": {"role": "quasi-identifier", "hierarchy": {"width": [5, 20]}},
        "ill": "sensitive"}, "privacy": [{"model": "k-anonymity", "k": 20}], "publish": {"name": "shown"},
        "recoding": {"method": "full-domain"},
    }  # fmt: skip
    found = []
    for url in (None, fresh):
        with sqlanon.connect(url, superuser=True) as engine:
            sqlanon.release(spec, engine)
            found.append(sorted(engine.run("look", f"SELECT age, ill FROM {engine.schema}.shown")))
            assert not [name for name in working_tables(engine) if "copy" not in name]
    assert found[0] == found[1]
    assert len(found[0]) == 200


def test_a_view_of_a_file_is_refused_with_a_reason(fresh: str, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("age\n" + "3\n" * 9)
    spec = {
        "source": {"file": str(file)}, "columns": {"age": "quasi-identifier"}, "recoding": {"method": "full-domain"},
        "privacy": [{"model": "k-anonymity", "k": 2}], "publish": {"name": "shown", "as": "view"},
    }  # fmt: skip
    with sqlanon.connect(fresh, superuser=True) as engine:
        with pytest.raises(SpecError, match="a view cannot read a file"):
            sqlanon.release(spec, engine)
        assert engine.kind_of("shown") is None
