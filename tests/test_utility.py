"""Usefulness as the engine and numpy measure it, against the oracle that goes record by record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import isfinite
from random import Random
from typing import Any

import oracle_utility as oracle
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made
from shared import adult, needs_shared, read
from test_vectors import vector
from tries import tries

import sqlanon
from sqlanon.engines import Engine, Origin
from sqlanon.hierarchies import Csv, Hierarchy, Suppress, Width
from sqlanon.utility import Recoded, Utility, compared, measure
from sqlanon.utility.counting import counted, draw, estimated
from sqlanon.utility.losses import classes

Row = dict[str, Any]
CLOSE = {"rel": 1e-9, "abs": 1e-7}
QUICK = settings(
    deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
BEFORE, AFTER = Origin(relation="before"), Origin(relation="after")


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def table(engine: Engine, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Origin:
    """A table of these rows."""
    made(engine, name, columns, [dict(zip(columns, row, strict=True)) for row in rows])
    return Origin(relation=name)


# -- random releases ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A column before anything is published of it: its values' labels per level, and its hierarchy."""

    name: str
    sql: str
    paths: Mapping[Any, tuple[Any, ...]]
    hierarchy: Hierarchy
    rows: tuple[tuple[str, ...], ...] | None = None
    represent: Any = "label"
    weight: int = 1

    @property
    def height(self) -> int:
        return len(next(iter(self.paths.values()))) - 1

    def column(self, present: set[Any], levels: Sequence[int]) -> oracle.Column:
        """What the oracle knows of it, where these values occur and labels stand at these levels."""
        domain = [value for value in self.paths if value in present or (self.rows and value is not None)]
        covers: dict[Any, frozenset[Any]] = {}
        found: dict[Any, int] = {}
        for level in sorted(levels, reverse=True):
            for value in domain:
                label = self.paths[value][level]
                covers[label] = frozenset(v for v in domain if self.paths[v][level] == label)
                found[label] = level
        covers[oracle.STAR], found[oracle.STAR] = frozenset(domain), self.height
        number = self.sql == "INTEGER"
        numbers = {value: Fraction(value) for value in domain if value is not None} if number else None
        return oracle.Column(self.name, domain, covers, covers, found, self.height, number, numbers, self.weight)


@dataclass(frozen=True)
class Example:
    """A source, what was published of each record, and the columns as the oracle and as sqlanon know them."""

    kinds: tuple[Kind, ...]
    columns: tuple[oracle.Column, ...]
    recoded: tuple[Recoded, ...]
    records: list[oracle.Record]
    sensitive: str

    def load(self, engine: Engine) -> None:
        """The tables `before` and `after`."""
        kinds = {kind.name: kind.sql for kind in self.kinds} | {"s": self.sensitive}
        table(engine, "before", kinds, [[row[name] for name in kinds] for row, _ in self.records])
        names: dict[str, str] = {}
        for kind in self.kinds:
            ends = (f"{kind.name}_from", f"{kind.name}_to") if kind.represent == "bounds" else (kind.name,)
            names |= dict.fromkeys(ends, "BIGINT" if kind.represent == "bounds" else "VARCHAR")
        rows = [self._cells(row) for _, row in self.records if row is not None]
        table(engine, "after", names | {"s": self.sensitive}, rows)

    def _cells(self, row: oracle.Row) -> list[Any]:
        cells: list[Any] = []
        for kind in self.kinds:
            label = row[kind.name]
            if kind.represent == "bounds":
                cells += (None, None) if label == oracle.STAR else label
            else:
                cells.append(label)
        return [*cells, row["s"]]


def widths(name: str, values: Sequence[int | None], represent: str) -> Kind:
    """Numbers in bins of 2 and 6, as labels or as bounds."""
    paths: dict[Any, tuple[Any, ...]] = {}
    for value in values:
        if value is None:
            paths[value] = (None, None, None, "*")
            continue
        bins = [(value // width * width, value // width * width + width) for width in (2, 6)]
        told = [(value, value), *bins] if represent == "bounds" else [str(value), *(f"[{a}, {b})" for a, b in bins)]
        paths[value] = (*told, "*")
    return Kind(name, "INTEGER", paths, Width((Decimal(2), Decimal(6))), represent=represent)


@st.composite
def kinds(draw: st.DrawFn, name: str) -> Kind:
    """A column: numbers in bins, categories or numbers with a table of labels, or nothing but its values."""
    shape = draw(st.sampled_from(["width", "bounds", "table", "numbers", "plain", "plain numbers"]))
    weight = draw(st.integers(1, 3))
    integers = sorted(draw(st.sets(st.integers(-7, 20), min_size=1, max_size=5)))
    missing = [None] if draw(st.booleans()) else []
    if shape in ("width", "bounds"):
        made = widths(
            name, integers if shape == "bounds" else [*missing, *integers], "label" if shape == "width" else shape
        )
        return replace(made, weight=weight)
    values: list[Any] = integers if "numbers" in shape else list("abcde"[: draw(st.integers(1, 5))])
    sql = "INTEGER" if "numbers" in shape else "VARCHAR"
    if shape.startswith("plain"):
        paths = {value: (None if value is None else str(value), "*") for value in [*missing, *values]}
        return Kind(name, sql, paths, Suppress(), weight=weight)
    height = draw(st.integers(1, 3))
    rows = {value: [str(value)] for value in values}
    for level in range(1, height):
        above: dict[str, str] = {}
        for row in rows.values():
            row.append(above.setdefault(row[-1], f"{level}:{draw(st.integers(0, 2))}"))
    tabled = tuple((*row, "*") for row in rows.values())
    paths = {value: (*row, "*") for value, row in rows.items()} | ({None: (None,) * height + ("*",)} if missing else {})
    ordered = {value: paths[value] for value in [*missing, *values]}
    return Kind(name, sql, ordered, Csv("unused"), tabled, weight=weight)


@st.composite
def examples(draw: st.DrawFn, *, full_domain: bool) -> Example:
    """A release with one level per column that is known, or one whose records have each their own levels."""
    made = tuple(draw(kinds(f"q{i}")) for i in range(draw(st.integers(1, 3))))
    sensitive = draw(st.sampled_from([["u", "v", None], [3, 5, 11, None]]))
    cells = [st.sampled_from([*kind.paths]) for kind in made] + [st.sampled_from(sensitive)]
    source = [
        dict(zip([*(kind.name for kind in made), "s"], row, strict=True))
        for row in draw(st.lists(st.tuples(*cells), min_size=1, max_size=12))
    ]
    levels = [draw(st.integers(0, kind.height)) for kind in made]
    published: list[Row | None] = []
    for row in source:
        chosen = levels if full_domain else [draw(st.integers(0, kind.height)) for kind in made]
        labels = {kind.name: kind.paths[row[kind.name]][level] for kind, level in zip(made, chosen, strict=True)}
        published.append({**labels, "s": row["s"]})
    stars = draw(st.booleans())
    published = _suppressed(draw, published, made, stars=stars, whole=full_domain)
    columns, recoded = [], []
    for kind, level in zip(made, levels, strict=True):
        allowed = {level, kind.height} if stars else {level}
        known = tuple(sorted(allowed)) if full_domain else None
        columns.append(kind.column({row[kind.name] for row in source}, known or range(kind.height + 1)))
        recoded.append(Recoded(kind.name, kind.hierarchy, kind.rows, kind.represent, kind.weight, known))
    records = list(zip(source, published, strict=True))
    return Example(made, tuple(columns), tuple(recoded), records, "INTEGER" if 3 in sensitive else "VARCHAR")


def _suppressed(
    draw: st.DrawFn, rows: list[Row | None], made: Sequence[Kind], *, stars: bool, whole: bool
) -> list[Row | None]:
    """Some of the published rows taken out, or starred; whole classes of them, or single ones."""
    keys = [tuple(row[kind.name] for kind in made) if whole else i for i, row in enumerate(rows) if row is not None]
    classes = sorted(set(keys), key=str)
    out = set(draw(st.lists(st.sampled_from(classes), max_size=len(classes))))
    if stars and whole and len(out) == len(classes):
        out.pop()  # a plan that stars every record is refused
    starred = {kind.name: "*" for kind in made}
    return [
        ({**row, **starred} if stars and row is not None else None) if key in out else row
        for key, row in zip(keys, rows, strict=True)
    ]


# -- everything against the oracle -------------------------------------------------------------------------------------


def near(value: Fraction | float | None) -> Any:
    """What a number is compared with; nothing is only like nothing."""
    return None if value is None else pytest.approx(float(value), **CLOSE)


def agree(found: Utility, example: Example, k: int) -> None:
    """Every number of the utility is the oracle's."""
    records, columns = example.records, example.columns
    released = sum(row is not None for _, row in records)
    told = found.to_dict()
    expected = oracle.totals(records, columns)
    assert {name: told[name] for name in expected} == pytest.approx(expected, **CLOSE)
    for column in columns:
        lost = {name: float(value) for name, value in oracle.losses(records, columns, column).items()}
        assert vars(found.losses.columns[column.name]) == pytest.approx(lost, **CLOSE), column.name
    assert told["ncp"] == {name: column.ncp for name, column in found.losses.columns.items()}
    assert (found.records, found.released) == (len(records), released)
    assert found.suppressed == oracle.suppressed(records, columns)
    assert told["discernibility"] == oracle.discernibility(records, columns)
    assert told["discernibility_baseline"] == len(records) * k
    size = float(oracle.average_class_size(records, columns))
    assert told["average_class_size"] == pytest.approx(size)
    assert told["normalized_average_class_size"] == pytest.approx(size / k)
    assert told["ambiguity"] == pytest.approx(float(oracle.ambiguity(records, columns)))
    assert told["kl_divergence"] == near(oracle.kl_divergence(records, columns))
    _shifts_agree(found, example)


def _shifts_agree(found: Utility, example: Example) -> None:
    records, columns = example.records, example.columns
    in_classes = oracle.kept(records, columns)
    for column in columns:
        shift = found.distribution_shift[column.name]
        if not in_classes:
            assert shift is None
            continue
        p = oracle.share([row[column.name] for row, _ in records], column.domain)
        q = oracle.spread(records, columns, column)
        far = oracle.earth_mover(p, q, column.domain) if column.ordered else None
        assert shift is not None
        assert (shift.total_variation, shift.earth_mover) == (near(oracle.total_variation(p, q)), near(far))
    published = [row["s"] for _, row in records if row is not None]
    if published:
        order = sorted({row["s"] for row, _ in records}, key=lambda value: (value is not None, value))
        p, q = oracle.share([row["s"] for row, _ in records], order), oracle.share(published, order)
        far = oracle.earth_mover(p, q, order) if example.sensitive == "INTEGER" else None
        shift = found.distribution_shift["s"]
        assert shift is not None
        assert (shift.total_variation, shift.earth_mover) == (near(oracle.total_variation(p, q)), near(far))
    told = {(*pair.columns, pair.measure): (pair.before, pair.after) for pair in found.correlation_shift.pairs}
    assert told == {key: (near(one), near(two)) for key, (one, two) in associations(example).items()}


def associations(example: Example) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Every pair of columns by every measure that suits it, before and after."""
    records, columns = example.records, {column.name: column for column in example.columns}
    rows = [[row for row, _ in records], [row for _, row in oracle.kept(records, example.columns) if row is not None]]

    def number(name: str, cell: Any, after: int) -> Fraction | None:
        if name not in columns:
            return None if cell is None else Fraction(cell)
        return oracle.middle(columns[name], cell) if after else (columns[name].numbers or {}).get(cell)

    def quantity(name: str) -> bool:
        return bool(columns[name].ordered) if name in columns else example.sensitive == "INTEGER"

    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for one, two in combinations([*columns, "s"], 2):
        cells = [[(row[one], row[two]) for row in some] for some in rows]
        numbers = [
            [(number(one, a, after), number(two, b, after)) for a, b in some] if quantity(one) and quantity(two) else []
            for after, some in enumerate(cells)
        ]
        if quantity(one) and quantity(two):
            for name, measured in (("pearson", oracle.pearson), ("spearman", oracle.spearman)):
                found[one, two, name] = (measured(numbers[0]), measured(numbers[1]))
        elif not quantity(one) and not quantity(two):
            found[one, two, "cramers_v"] = (oracle.cramers_v(cells[0]), oracle.cramers_v(cells[1]))
        else:
            a, b = (1, 0) if quantity(one) else (0, 1)
            name = (one, two)[b]
            pairs = [[(pair[a], number(name, pair[b], after)) for pair in some] for after, some in enumerate(cells)]
            found[one, two, "correlation_ratio"] = (
                oracle.correlation_ratio(pairs[0]), oracle.correlation_ratio(pairs[1])
            )  # fmt: skip
    return found


@settings(QUICK, max_examples=tries(30))
@given(examples(full_domain=True))
def test_every_measure_of_a_release_with_known_levels_is_the_oracles(engine: Engine, example: Example) -> None:
    example.load(engine)
    found = measure(engine, AFTER, BEFORE, columns=example.recoded, sensitive=["s"], k=2, queries=0)
    agree(found, example, 2)


@settings(QUICK, max_examples=tries(30))
@given(examples(full_domain=False))
def test_every_measure_of_a_release_that_mixes_levels_is_the_oracles(engine: Engine, example: Example) -> None:
    example.load(engine)
    found = measure(engine, AFTER, BEFORE, columns=example.recoded, sensitive=["s"], k=3, queries=0)
    agree(found, example, 3)


@settings(QUICK, max_examples=tries(15))
@given(examples(full_domain=False), st.integers(0, 99))
def test_count_queries_find_what_the_oracle_counts(engine: Engine, example: Example, seed: int) -> None:
    example.load(engine)
    with compared.comparing(engine, AFTER, BEFORE, example.recoded, {}) as found:
        asked = draw(found, 30, seed)
        wanted = [{i: one.wanted(i, found.covers[i].values) for i in one.columns} for one in asked]
        ((codes, records),) = found.combinations()
        counts = counted(codes, records, wanted)
        told = [estimated(found.covers, found.classes, found.sizes, one) for one in wanted]
    for one, mask, count, (overlap, uniform) in zip(asked, wanted, counts, told, strict=True):
        chosen = {
            example.columns[i].name: frozenset(
                value for value, there in zip(example.columns[i].domain, mask[i], strict=True) if there
            )
            for i in one.columns
        }
        expected = oracle.query(example.records, example.columns, chosen)
        assert (count, overlap) == expected[:2]
        assert uniform == pytest.approx(float(expected[2]))
        assert count > 0, "a query is drawn around a record"


@st.composite
def intervals(draw: st.DrawFn) -> tuple[list[oracle.Record], list[oracle.Column]]:
    """Two columns of numbers, each record's published as any interval around it, as partitions publish them."""
    values = st.tuples(st.integers(0, 9), st.integers(-3, 3))
    source = [dict(zip("ab", row, strict=True)) for row in draw(st.lists(values, min_size=1, max_size=10))]
    reach, records = st.integers(0, 4), list[oracle.Record]()
    for row in source:
        ends = {name: (row[name] - draw(reach), row[name] + draw(reach)) for name in "ab"}
        records.append((row, ends))
    columns = []
    for name in "ab":
        domain = sorted({row[name] for row in source})
        told = {row[name] for _, row in records if row is not None}
        covers = {(low, high): frozenset(v for v in domain if low <= v <= high) for low, high in told}
        numbers = {value: Fraction(value) for value in domain}
        columns.append(oracle.Column(name, domain, covers, covers, {}, 1, True, numbers))
    return records, columns


@settings(QUICK, max_examples=tries(20))
@given(intervals())
def test_overlapping_intervals_of_no_hierarchy_are_measured_too(
    engine: Engine, example: tuple[list[oracle.Record], list[oracle.Column]]
) -> None:
    records, columns = example
    table(engine, "before", {"a": "INTEGER", "b": "SMALLINT"}, [list(row.values()) for row, _ in records])
    ends = {f"{name}_{end}": "BIGINT" for name in "ab" for end in ("from", "to")}
    table(engine, "after", ends, [[*row["a"], *row["b"]] for _, row in records if row is not None])
    recoded = [Recoded(name, represent="bounds") for name in "ab"]
    found = measure(engine, AFTER, BEFORE, columns=recoded, queries=0)
    assert found.losses.gcp == near(sum(oracle.losses_of(records, columns, c, oracle.ncp) for c in columns) / 2)
    assert found.ambiguity == near(oracle.ambiguity(records, columns))
    assert found.kl_divergence == near(oracle.kl_divergence(records, columns))
    wide = any(low < high for _, row in records if row is not None for low, high in row.values())
    assert (found.losses.precision is None) is wide, "nobody knows the level of an interval that no hierarchy has"


# -- the worked vectors ------------------------------------------------------------------------------------------------


def as_tabled(engine: Engine, name: str, paths: Mapping[str, tuple[str, ...]]) -> Recoded:
    """A quasi-identifier with these lines as its hierarchy."""
    return Recoded(name, Csv("unused"), tuple((value, *above) for value, above in paths.items()))


def test_the_vector_of_quality_metrics_holds(engine: Engine) -> None:
    found = vector("quality-metrics")
    rows, expected = found["rows"], found["expected"]
    table(engine, "before", {"age": "INTEGER", "sex": "VARCHAR"}, [row[:2] for row in rows])
    table(engine, "after", {"age": "VARCHAR", "sex": "VARCHAR"}, [row[2:] for row in rows])
    ages = {str(age): (label, "*") for age, _, label, _ in rows}
    columns = [as_tabled(engine, "age", ages), as_tabled(engine, "sex", {"M": ("*",), "F": ("*",)})]
    told = measure(engine, AFTER, BEFORE, columns=columns, k=found["params"]["k"], queries=0)
    lost = told.losses.columns
    assert {name: column.domain_share for name, column in lost.items()} == near_all(expected["loss_domain_share"])
    assert {name: column.iloss for name, column in lost.items()} == near_all(expected["iloss_normalised"])
    assert {name: column.entropy for name, column in lost.items()} == near_all(expected["non_uniform_entropy_bits"])
    assert told.losses.gcp == near(expected["gcp_numeric_age_categorical_sex"])
    assert told.classes.discernibility == expected["discernibility"]
    assert told.classes.average_class_size == expected["AECS"]
    assert told.classes.normalized_average_class_size == expected["CAVG"]
    assert 1 - (told.losses.precision or 0) == expected["precision"], "the objective is what Sweeney's Prec lacks to 1"
    assert told.ambiguity == expected["ambiguity_avg"]
    assert told.kl_divergence == near(expected["kl_divergence_bits"])


def near_all(expected: Mapping[str, float]) -> Any:
    """A mapping of numbers to compare with."""
    return pytest.approx(dict(expected), **CLOSE)


def test_the_vectors_of_class_sizes_hold(engine: Engine) -> None:
    found = vector("theta-metrics")
    sizes, expected, k = [size for (size,) in found["rows"]], found["expected"], found["params"]["k"]
    table(engine, "before", {"q": "INTEGER"}, [[i] for i, size in enumerate(sizes) for _ in range(min(size, k))])
    table(engine, "after", {"q": "INTEGER"}, [[i] for i, size in enumerate(sizes) for _ in range(size)])
    told = measure(engine, AFTER, BEFORE, columns=[Recoded("q")], k=k, queries=0)
    assert told.classes.discernibility == expected["dcp"]
    assert told.classes.discernibility_baseline == expected["dcp_baseline_n_times_k"]
    assert told.classes.normalized_average_class_size == near(expected["cavg"])
    assert told.released - told.records == expected["noise"]
    assert told.suppressed == 0
    found = vector("theta-metrics-paper-example")
    ((records,),) = found["rows"]
    sizes = classes(0, 1, records=records, suppressed=0, k=found["params"]["k"])
    assert sizes.discernibility_baseline == found["expected"]["baseline"]


def test_the_vector_of_the_query_error_holds(engine: Engine) -> None:
    found = vector("query-error")
    expected = found["expected"]
    source = [(31, 14), (35, 14), (40, 14), (33, 16), (44, 14), (45, 14), (46, 14), (50, 14)]
    assert str(source) in found["note"]
    table(engine, "before", {"age": "INTEGER", "zip": "INTEGER"}, source)
    released = [(f"{low}-{high}", zip_) for low, high, zip_, count in found["rows"] for _ in range(count)]
    table(engine, "after", {"age": "VARCHAR", "zip": "INTEGER"}, released)
    ages = {str(age): ("30-40" if age <= 40 else "41-50", "*") for age in range(30, 51)}
    with compared.comparing(engine, AFTER, BEFORE, [as_tabled(engine, "age", ages), Recoded("zip")], {}) as held:
        wanted = {0: held.covers[0].values.numbers >= 35, 1: held.covers[1].values.numbers == 14}
        wanted[0] &= held.covers[0].values.numbers <= 45
        ((codes, records),) = held.combinations()
        (count,) = counted(codes, records, [wanted])
        overlap, uniform = estimated(held.covers, held.classes, held.sizes, wanted)
    assert (count, overlap) == (expected["count_original"], expected["count_overlap"])
    assert uniform == near(expected["count_uniform"])
    assert abs(overlap - count) / count == near(expected["error_overlap"])
    assert abs(uniform - count) / count == near(expected["error_uniform"])


# -- what the plan says of itself --------------------------------------------------------------------------------------

SHORT = ("loss", "precision", "gcp", "iloss", "entropy", "normalized_entropy", "discernibility",
         "discernibility_baseline", "average_class_size", "normalized_average_class_size")  # fmt: skip


def agree_with_the_plan(planned: sqlanon.Planned) -> None:
    """The short report of the search and the long one of the released rows are the same where they overlap."""
    told = planned.usefulness
    assert told is not None
    long = told.to_dict()
    assert {name: long[name] for name in SHORT} == near_all({name: planned.utility[name] for name in SHORT})
    assert long["ncp"] == near_all(planned.utility["ncp"])
    assert (told.records, told.suppressed) == (planned.rows_in, planned.suppressed)
    assert planned.to_dict()["utility"] == long | planned.utility


_RANDOM = Random(3)
VISITS = [
    tuple(_RANDOM.choice(values) for values in (
        [23, 27, 31, 35, 38, 52, None, 67], ["10115", "10117", "10245", None],
        [date(2024, 1, 5), date(2024, 2, 9), date(2025, 7, 1), None],
        [1200.5, 0.0, -0.0, 3e9, float("inf"), float("nan"), None, 99.99], [1, 2, 3, 7, None], ["*", "a"],
        ["flu", "cold", None, "gout"],
    ))
    for _ in range(80)
]  # fmt: skip


@pytest.mark.parametrize("suppressed", ["drop", "star"])
@pytest.mark.parametrize(
    ("levels", "represent"),
    [
        ((2, 5, 4, 2, 1, 0), "label"),
        ((2, 4, 3, 2, 2, 0), "bounds"),
        ((1, 4, 4, 2, 1, 1), "range"),
        ((3, 3, 3, 2, 0, 0), "label"),
        ((3, 4, 4, 1, 2, 0), "label"),
    ],
)
def test_the_short_report_of_a_plan_is_the_long_one_of_what_it_makes(
    engine: Engine, suppressed: str, represent: str, levels: tuple[int, ...]
) -> None:
    kinds = {
        "age": "INTEGER",
        "zip": "VARCHAR",
        "day": "DATE",
        "income": "DOUBLE",
        "room": "INTEGER",
        "code": "VARCHAR",
    }
    rows: list[tuple[Any, ...]] = VISITS
    if engine.name == "postgres":  # which has no type for a range with two ends, and texts of its own for floats
        represent = "bounds" if represent == "range" else represent
        if suppressed == "star":
            kinds["income"] = "DECIMAL(12, 2)"
            rows = [(*r[:3], None if r[3] is None or not isfinite(r[3]) else Decimal(str(r[3])), *r[4:]) for r in rows]
    table(engine, "visits", kinds | {"ill": "VARCHAR"}, rows)
    hierarchies: list[Any] = [
        {"width": [10, 40]}, {"mask": 5}, {"date": ["month", "quarter", "year"]}, {"width": [1000, 1000000]},
        {"tree": {"low": {"*": ["1", "2"], "b": ["3"]}, "high": {"c": ["7", "9"]}}}, None,
    ]  # fmt: skip
    columns: dict[str, Any] = {
        name: {"role": "quasi-identifier", "weight": 1 + i}
        | ({"hierarchy": made} if made else {})
        | ({"represent": represent} if made and not made.keys() & {"mask", "tree"} else {})
        for i, (name, made) in enumerate(zip(kinds, hierarchies, strict=True))
    }
    spec = {
        "source": "visits", "columns": columns | {"ill": "sensitive"}, "privacy": [{"model": "k-anonymity", "k": 2}],
        "recoding": {"suppression": 1, "suppressed": suppressed, "levels": dict(zip(kinds, levels, strict=True))},
    }  # fmt: skip
    planned = sqlanon.plan(spec, engine, utility=True)
    assert planned.suppressed not in (0, len(VISITS)), "the example is about some of the records"
    agree_with_the_plan(planned)


@needs_shared
def test_the_loss_of_adult_is_arx_s(engine: Engine) -> None:
    (case,) = [c for c in read("vectors/arx.json")["cases"] if c["id"] == "arx-005"]
    spec = adult(case["quasi_identifiers"], case["models"], suppression=case["suppression"],
                 levels=case["solution"]["levels"])  # fmt: skip
    planned = sqlanon.plan(spec, engine, utility=True)
    agree_with_the_plan(planned)
    told = planned.usefulness
    assert told is not None
    assert told.losses.loss == pytest.approx(case["solution"]["objective_value"], abs=1e-9)
    assert told.query_error is not None
    assert [part.kind["columns"] for part in told.query_error.by_dimensionality] == [1, 2, 3, 4, 5]
    assert sum(part.queries for part in told.query_error.by_selectivity) == 1000


def test_the_ways_of_recoding_side_by_side_are_the_same_on_postgres(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLANON_KEY", "the key of this test")
    kinds, random = {"age": "INTEGER", "zip": "VARCHAR", "ill": "VARCHAR"}, Random(5)
    rows = [(random.randint(20, 70), random.choice("abcde"), random.choice(["flu", "cold", None])) for _ in range(200)]
    spec = {
        "source": "visits", "columns": {"age": {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}},
        "zip": "quasi-identifier", "ill": "sensitive"}, "privacy": [{"model": "k-anonymity", "k": 5}],
        "recoding": {"suppression": 0.1},
    }  # fmt: skip
    found = []
    with sqlanon.connect() as duck, sqlanon.connect(database) as postgres:
        for one in (duck, postgres):
            table(one, "visits", kinds, rows)
            ways = sqlanon.compare(spec, one, sample=0).whole
            found.append([replace(way, seconds=None) for way in ways])
    assert [way.problem for way in found[0]] == [None] * 5
    for here, there in zip(*found, strict=True):
        assert (here.name, here.classes, here.suppressed) == (there.name, there.classes, there.suppressed)
        assert (here.gcp, here.loss) == (near(there.gcp), near(there.loss))
