"""What partitions publish, read back by everything that reads releases: usefulness, attacks, checks, the register."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import oracle_utility as oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_utility import table
from tries import tries

import sqlanon
from sqlanon import life
from sqlanon.engines import Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import ModelNotMet
from sqlanon.spec import load
from sqlanon.utility import Described, Utility

SETTINGS = settings(
    deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
CLOSE: dict[str, Any] = {"rel": 1e-9, "abs": 1e-7}
Labels = tuple[Any, ...]

ORDER = ("low", "some", "half", "most", "all")
DOTTED = ("a", "a..b", "b", "b..c", "c", "..", "d,", "[1, 2]")
FRUIT = {"fruit": {"stone": ["cherry", "plum"], "pome": ["apple", "pear"]}, "root": ["beet"]}


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found, found.one_thread():
        yield found


# -- columns, and what each label holds by the words of the documentation ----------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A sort of column: its SQL type and values, how it becomes coarser, and a value's labels from 0 to the last."""

    type: str
    values: Sequence[Any]
    spec: Mapping[str, Any]
    path: Callable[[Any], Labels] = lambda value: (text(value), "*")
    order: tuple[str, ...] = ()

    @property
    def quantity(self) -> bool:
        return self.type != "VARCHAR" and not self.order and "mask" not in self.spec.get("hierarchy", {})

    @property
    def represent(self) -> str:
        return str(self.spec.get("represent", "label"))


def text(value: Any) -> str:
    """A value as DuckDB writes it."""
    if isinstance(value, float) and value == 0:
        return "0.0"
    if isinstance(value, float) and abs(value) in (1e300, 5e-324):
        return {1e300: "1e+300", -1e300: "-1e+300", 5e-324: "5e-324"}[value]
    return str(value)


def bins(*widths: int) -> Callable[[Any], Labels]:
    def path(value: int) -> Labels:
        return (str(value), *(f"[{value // w * w}, {value // w * w + w})" for w in widths), "*")

    return path


def fruit(value: str) -> Labels:
    above = {"cherry": ("stone", "fruit"), "plum": ("stone", "fruit"), "apple": ("pome", "fruit"),
             "pear": ("pome", "fruit"), "beet": ("beet", "root")}  # fmt: skip
    return (value, *above[value], "*")


def masked(value: str) -> Labels:
    return (value, *(value[: max(len(value) - n, 0)] + "*" * min(n, len(value)) for n in (1, 2)), "*")


def runs(order: Sequence[str], *sizes: int) -> Callable[[Any], Labels]:
    def name(place: int, size: int) -> str:
        run = order[place - place % size : place - place % size + size]
        return run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}"

    return lambda value: (str(value), *(name(order.index(str(value)), size) for size in sizes), "*")


KINDS = {
    "integer": Kind("BIGINT", [None, -3, 0, 1, 7, 8, 40, 2**53 + 1], {}),
    "decimal": Kind("DECIMAL(9, 2)", [None, *map(Decimal, ("-1.25", "0.00", "3.50", "1000.75"))], {}),
    "float": Kind("DOUBLE", [None, math.nan, math.inf, -math.inf, -0.5, 0.0, 0.1, 1e300, -1e300, 5e-324], {}),
    "date": Kind("DATE", [None, date(1969, 12, 31), date(2000, 2, 29), date(2024, 1, 1)], {}),
    "timestamp": Kind(
        "TIMESTAMP", [None, datetime(1999, 1, 1, 5), datetime(1999, 1, 1, 6, 0, 1, 5), datetime(2020, 5, 5)], {},
    ),
    "text": Kind("VARCHAR", [None, "", "*", "a", "b'\"", "[1, 2]", "a..b"], {}),
    "tree": Kind("VARCHAR", [None, "cherry", "plum", "apple", "pear", "beet"], {"hierarchy": {"tree": FRUIT}}, fruit),
    "order": Kind("VARCHAR", [None, *ORDER], {"hierarchy": {"order": [*ORDER]}}, runs(ORDER, 2, 4), ORDER),
    "dotted order": Kind("VARCHAR", [None, *DOTTED], {"hierarchy": {"order": {"values": [*DOTTED], "groups": [4]}}},
                         runs(DOTTED, 4), DOTTED),
    "order of numbers": Kind("INTEGER", [None, 3, 1, 2], {"hierarchy": {"order": ["3", "1", "2"]}},
                             runs(("3", "1", "2"), 2), ("3", "1", "2")),
    "mask": Kind("VARCHAR", [None, "", "12", "13", "123", "124", "2345"], {"hierarchy": {"mask": 3}}, masked),
    "width": Kind("INTEGER", [None, -7, -1, 0, 4, 5, 19, 20], {"hierarchy": {"width": [5, 10, 20]}}, bins(5, 10, 20)),
    "bounded width": Kind(
        "INTEGER", [None, -7, 0, 4, 5, 19], {"hierarchy": {"width": [5, 10]}, "represent": "bounds"}, bins(5, 10)
    ),
    "calendar": Kind("DATE", [None, date(2019, 12, 31), date(2020, 1, 1), date(2020, 2, 1)],
                     {"hierarchy": {"date": ["month", "year"]}},
                     lambda day: (str(day), f"{day:%Y-%m}", f"{day:%Y}", "*")),
}  # fmt: skip


def place(value: Any) -> Fraction | None:
    """A value as a number that can be compared; None for what is no finite number or time."""
    if isinstance(value, datetime):
        gone = value - datetime(1970, 1, 1)
        return Fraction(gone.days * 86400 + gone.seconds) + Fraction(gone.microseconds, 10**6)
    if isinstance(value, date):
        return Fraction((value - date(1970, 1, 1)).days * 86400)
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return None
    return Fraction(value)


def read(kind: Kind, end: str) -> Fraction | None:
    """The end of an interval as the number that it is."""
    if kind.type == "DATE":
        return place(date.fromisoformat(end))
    if kind.type == "TIMESTAMP":
        return place(datetime.fromisoformat(end))
    return place(float(end)) if kind.type == "DOUBLE" else Fraction(end)


def plain(value: Any) -> Any:
    """A value that equals itself: NaN by its name."""
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def covered(kind: Kind, label: Any, domain: Sequence[Any]) -> tuple[frozenset[Any], int | None]:
    """The values of the domain that a label holds, and the lowest level at which the hierarchy has it."""
    if label == oracle.STAR:
        return frozenset(domain), None
    if kind.represent != "label":
        return bounded(kind, label, domain)
    if label is None:
        return frozenset([None]), 0
    known = {value: kind.path(value) for value in domain if value is not None}
    for level in range(max(map(len, known.values())) - 1):
        at = frozenset(value for value, labels in known.items() if labels[level] == label)
        if at:
            return at | run(kind, label, domain), level
    return run(kind, label, domain) | interval(kind, label, domain), None


def run(kind: Kind, label: str, domain: Sequence[Any]) -> frozenset[Any]:
    """Everything from the first to the last value of an order, for every two that the label may name."""
    found: set[str] = set()
    for i, first in enumerate(kind.order):
        for j in range(i + 1, len(kind.order)):
            if label == f"{first}..{kind.order[j]}":
                found |= {*kind.order[i : j + 1]}
    return frozenset(value for value in domain if value is not None and str(value) in found)


def interval(kind: Kind, label: str, domain: Sequence[Any]) -> frozenset[Any]:
    """All from a to b, where the label is [a, b]."""
    ends = re.fullmatch(r"\[(.+), (.+)\]", label)
    if not ends or not kind.quantity or "hierarchy" in kind.spec:
        return frozenset()
    low, high = read(kind, ends[1]), read(kind, ends[2])
    assert low is not None and high is not None
    return frozenset(v for v in domain if (x := place(v)) is not None and low <= x <= high)


def bounded(kind: Kind, label: Any, domain: Sequence[Any]) -> tuple[frozenset[Any], int | None]:
    """The values between two bounds; the upper one is among them unless there is a hierarchy."""
    lower, upper = map(plain, label)
    if lower == upper:
        return frozenset([lower]), 0
    low, high = place(lower), place(upper)
    assert low is not None and high is not None
    half = "hierarchy" in kind.spec
    held = frozenset(
        v for v in domain if (x := place(v)) is not None and low <= x and (x < high if half else x <= high)
    )
    name = f"[{lower}, {upper})"
    levels = [kind.path(value).index(name) for value in held if half and name in kind.path(value)]
    return held, min(levels, default=None)


# -- releases of random tables -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Rows, the sort of each quasi-identifier, k, and how it is released."""

    rows: list[tuple[Any, ...]]
    kinds: tuple[str, ...]
    k: int
    recoding: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"q{i}" for i in range(len(self.kinds)))

    def spec(self, publish: Mapping[str, Any] | None = None) -> dict[str, Any]:
        quasi = {
            name: {"role": "quasi-identifier", **KINDS[kind].spec}
            for name, kind in zip(self.names, self.kinds, strict=True)
        }
        return {
            "source": {"table": "people"}, "columns": {**quasi, "number": "insensitive"},
            "privacy": [{"model": "k-anonymity", "k": self.k}], "recoding": dict(self.recoding),
            "publish": dict(publish or {"name": "released"}),
        }  # fmt: skip

    def load(self, engine: DuckDB) -> None:
        types = {name: KINDS[kind].type for name, kind in zip(self.names, self.kinds, strict=True)}
        rows = [(*row, number) for number, row in enumerate(self.rows)]
        table(engine, "people", types | {"number": "INTEGER"}, rows)


@st.composite
def tables(
    draw: st.DrawFn, kinds: Sequence[str] = tuple(KINDS), methods: Sequence[str] = ("hilbert", "mondrian")
) -> Table:
    chosen = tuple(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)))
    cells = [st.sampled_from(draw(st.permutations(KINDS[kind].values))[: draw(st.integers(1, 6))]) for kind in chosen]
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=16))
    recoding = {"method": draw(st.sampled_from(methods)), "suppression": 1,
                "suppressed": draw(st.sampled_from(["drop", "star"]))}  # fmt: skip
    return Table(rows, chosen, draw(st.integers(1, 4)), recoding)


def released(engine: DuckDB, made: Table) -> list[oracle.Record]:
    """Every record of the source with what is published of it."""
    names = [
        f"[{name}_from, {name}_to]" if kind.represent == "bounds"
        else f"[{name}.lower, {name}.upper]" if kind.represent == "range" else name
        for name, kind in zip(made.names, (KINDS[k] for k in made.kinds), strict=True)
    ]  # fmt: skip
    rows = engine.run("read", f"SELECT number, {', '.join(names)} FROM released")
    found = {
        number: {
            name: tuple(map(plain, cell)) if KINDS[kind].represent != "label" else cell
            for name, kind, cell in zip(made.names, made.kinds, cells, strict=True)
        }
        for number, *cells in rows
    }
    for row in found.values():
        for name, cell in row.items():
            row[name] = oracle.STAR if cell == (None, None) else cell
    return [(dict(zip(made.names, map(plain, row), strict=True)), found.get(i)) for i, row in enumerate(made.rows)]


def columns_of(made: Table, records: Sequence[oracle.Record]) -> tuple[list[oracle.Column], set[str]]:
    """What the oracle knows of each quasi-identifier, and those with a label of which nobody knows the level."""
    columns, unknown = [], set[str]()
    kept = oracle.kept(records, [oracle.Column(n, (), {}, {}, {}, 1) for n in made.names])
    for name, kind in ((n, KINDS[k]) for n, k in zip(made.names, made.kinds, strict=True)):
        there = {row[name] for row, _ in records}
        tabled = kind.spec.get("hierarchy", {}).keys() & {"tree", "order"}
        listed = [v for v in map(plain, kind.values) if v in there or (tabled and v is not None)]
        number = {v: x for v in listed if kind.quantity and (x := place(v)) is not None}
        last = {"-inf": -1, "inf": 1, "nan": 2}
        domain = sorted(listed, key=lambda v: (v is not None, last.get(str(v), 0), number.get(v, 0)))
        height = len(kind.path(next(v for v in kind.values if v is not None))) - 1
        covers: dict[Any, frozenset[Any]] = {}
        levels: dict[Any, int] = {}
        for label in {row[name] for row in (r for _, r in records) if row is not None}:
            covers[label], level = covered(kind, label, domain)
            level = height if label == oracle.STAR else level
            if level is None and any(r is not None and r[name] == label for _, r in kept):
                unknown.add(name)
            levels[label] = 0 if level is None else level
        columns.append(
            oracle.Column(
                name, domain, covers, covers, levels, height, bool(kind.quantity or kind.order), number or None
            )
        )
    return columns, unknown


def near(value: Fraction | float | None) -> Any:
    return None if value is None else pytest.approx(float(value), **CLOSE)


def agree(found: Utility, made: Table, records: Sequence[oracle.Record]) -> None:
    """The measures that labels decide are the oracle's."""
    columns, unknown = columns_of(made, records)
    expected = oracle.totals(records, columns)
    told = found.to_dict()
    precision = expected.pop("precision")
    assert told["precision"] == (None if unknown else near(precision))
    assert {name: told[name] for name in expected} == pytest.approx(expected, **CLOSE)
    for column in columns:
        lost = oracle.losses(records, columns, column)
        assert found.losses.columns[column.name].ncp == near(lost["ncp"])
        assert found.losses.columns[column.name].domain_share == near(lost["domain_share"])
    assert found.suppressed == oracle.suppressed(records, columns)
    assert found.ambiguity == near(oracle.ambiguity(records, columns))
    assert found.kl_divergence == near(oracle.kl_divergence(records, columns))


@settings(SETTINGS, max_examples=tries(60))
@given(tables())
def test_the_usefulness_of_a_partition_is_the_oracle_s_as_planned_and_as_read(engine: DuckDB, made: Table) -> None:
    made.load(engine)
    spec = load(made.spec())
    try:
        done = sqlanon.release(spec, engine, utility=True)
    except ModelNotMet:
        return
    records = released(engine, made)
    read_again = Described.by(spec)
    against = read_again.against(Origin(relation="people"), 0)
    found = against.measure(engine, Origin(relation="released"), read_again.quasi_identifiers, ())
    planned = done.planned.usefulness
    assert planned is not None
    agree(found, made, records)
    agree(planned, made, records)


READ = (
    "integer",
    "decimal",
    "float",
    "date",
    "timestamp",
    "tree",
    "order",
    "dotted order",
    "order of numbers",
    "width",
)


@settings(SETTINGS, max_examples=tries(40))
@given(tables(READ))
def test_linkage_finds_in_a_partition_exactly_the_records_that_can_be_a_person_s(engine: DuckDB, made: Table) -> None:
    made.load(engine)
    spec = load(made.spec())
    try:
        sqlanon.release(spec, engine)
    except ModelNotMet:
        return
    hierarchies = {name: column.hierarchy for name, column in spec.columns.items() if column.hierarchy}
    (outcome,) = sqlanon.attack(
        "released", engine=engine, external="people", hierarchies=hierarchies, attacks=["linkage(k=3)"],
        quasi_identifiers=made.names,
    ).outcomes  # fmt: skip
    records = released(engine, made)
    published = [row for _, row in records if row is not None]
    sizes = [sum(holds(made, row, person) for row in published) for person, _ in records]
    assert all(row is None or holds(made, row, person) for person, row in records), "the oracle loses nobody"
    assert outcome.reached is not None
    assert outcome.reached.details["matched"] == sum(size > 0 for size in sizes)
    assert outcome.reached.details["expected"] == near(sum((Fraction(1, size) for size in sizes if size), Fraction(0)))
    assert outcome.reached.records == sum(0 < size < 3 for size in sizes)


def holds(made: Table, row: oracle.Row, person: oracle.Row) -> bool:
    """Whether a published record can be about somebody with these values."""
    return all(
        person[name] in covered(KINDS[kind], row[name], [*map(plain, KINDS[kind].values)])[0]
        for name, kind in zip(made.names, made.kinds, strict=True)
    )


@pytest.mark.parametrize("method", ["hilbert", "mondrian"])
@pytest.mark.parametrize(
    "form", [{"as": "table"}, {"as": "file", "path": "r.parquet"}, {"as": "file", "path": "r.duckdb"}]
)
def test_a_partition_is_checked_verified_and_attacked_in_every_form(
    tmp_path: Any, method: str, form: dict[str, str]
) -> None:
    rows = [(None if n == 5 else n * 7 % 23, ORDER[n % 5]) for n in range(40)]
    made = Table(rows, ("integer", "order"), 3, {"method": method, "suppression": 0})
    with DuckDB() as own:
        made.load(own)
        path = {"path": str(tmp_path / form["path"])} if "path" in form else {}
        sqlanon.release(load(made.spec({"name": "released", **form, **path})), own)
        assert life.verify(own, path.get("path", "released")).holds
        found = sqlanon.attack(path.get("path", "released"), engine=own, attacks=["identity(k=3)"])
        assert (found.quasi_identifiers, found.breached) == (("q0", "q1"), False)


def test_a_run_is_not_taken_for_a_value_where_the_order_is_not_known(engine: DuckDB) -> None:
    table(engine, "people", {"x": "VARCHAR"}, [["low"], ["half"]])
    table(engine, "released", {"x": "VARCHAR"}, [["low..some"], ["half"]])
    with pytest.raises(sqlanon.SpecError, match="1 labels of 'x' look like runs of an order"):
        sqlanon.attack(Origin(relation="released"), engine=engine, quasi_identifiers=["x"], external="people",
                       attacks=["linkage"])  # fmt: skip
