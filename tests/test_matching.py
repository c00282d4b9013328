"""Generalised matching: what released labels hold, and the attacks that put tables together, against the oracle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import oracle_attacks as oracle
import pytest
import test_vectors as vectors
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oracle import Rows
from server import remake
from test_attacks import HOSTILE, load
from tries import tries

from sqlanon import query
from sqlanon.attacks import Known, Outcome, attack
from sqlanon.attacks.composition import Composition
from sqlanon.attacks.kinds import Attack, Start
from sqlanon.attacks.matching import attribute, pairs, side
from sqlanon.attacks.outside import Journalist, Linkage, Membership
from sqlanon.attacks.relations import Relation, workings
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.hierarchies import Date, Hierarchy, Mask, Order, Tabled, Tree, Width
from sqlanon.models import exact

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


# -- a label holds exactly what its hierarchy maps to it ---------------------------------------------------------------


def matched(engine: Engine, hierarchy: Hierarchy | None) -> set[tuple[Any, Any]]:
    """The pairs (value, label) that the attack finds between the tables `people` and `released`."""
    rows = hierarchy.rows(Path()) if hierarchy else None
    with workings(engine) as work:
        people = side(work, Relation.of(engine, Origin(relation="people"), "people"), {"x": "x"}, labelled=False)
        released = side(work, Relation.of(engine, Origin(relation="released"), "released"), {"x": "x"}, labelled=True)
        of = attribute(work, "x", people, released, rows)
        if of.nature == "same":
            sql = "SELECT a.x, b.x FROM people a JOIN released b ON a.x IS NOT DISTINCT FROM b.x"
            return set(engine.run("match", sql))
        return set(engine.run("match", pairs(of, people, released)))


def labelled(engine: Engine, hierarchy: Hierarchy, level: int, family: str) -> dict[Any, str | None]:
    """Every value of `people` with the label that the hierarchy gives it, as sqlanon publishes it."""
    if hierarchy.rows(Path()) is not None:
        names = {row[0]: row[level] for row in hierarchy.rows(Path()) or ()}
        values = [v for (v,) in engine.run("read", "SELECT DISTINCT x FROM people")]
        found = {v: None if v is None else names[str(v)] for v in values}
    else:
        label = hierarchy.label(query.column("x"), level, family)
        asked = query.select([query.column("x"), query.named(label, "label")], "people")
        found = dict(engine.run("label", asked))
    remake(engine, "released", "(x VARCHAR)")
    fill(engine, "released", list(set(found.values())))
    return found


def fill(engine: Engine, name: str, values: Sequence[Any]) -> None:
    engine.run("fill", f"INSERT INTO {name} VALUES {', '.join(['(?)'] * len(values))}", values)


def people(engine: Engine, kind: str, values: Sequence[Any]) -> None:
    remake(engine, "people", f"(x {kind})")
    fill(engine, "people", list(dict.fromkeys(values)))


def assert_exact(engine: Engine, hierarchy: Hierarchy, level: int, family: str, *, known: bool = False) -> None:
    labels = labelled(engine, hierarchy, level, family)
    expected = {(v, label) for v in labels for label in labels.values() if label == "*" or labels[v] == label}
    assert matched(engine, hierarchy if known else None) == expected


NUMBERS = {
    "integer": ("BIGINT", st.integers(-1000, 1000) | st.sampled_from([9 * 10**18, -(10**18), 2**53 + 1])),
    "decimal": ("DECIMAL(18, 3)", st.decimals(-1000, 1000, places=3)),
    "float": ("DOUBLE", st.floats(-100, 100) | st.sampled_from([0.1, 0.3, 0.7, 1e300, float("inf"), 0.1 + 0.2])),
}


@pytest.mark.parametrize("family", NUMBERS)
@given(data=st.data())
@settings(SETTINGS, max_examples=tries(20))
def test_an_interval_holds_exactly_the_numbers_that_the_hierarchy_maps_to_it(
    engine: Engine, family: str, data: st.DataObject
) -> None:
    kind, values = NUMBERS[family]
    widths = tuple(map(Decimal, data.draw(st.sampled_from([("5", "10", "40"), ("0.1", "0.3", "3"), ("0.25", "1")]))))
    found = [None if v is None else v for v in data.draw(st.lists(values | st.none(), min_size=1, max_size=12))]
    people(engine, kind, found)
    hierarchy = Width(widths)
    assert_exact(engine, hierarchy, data.draw(st.integers(1, len(widths))), family)


@given(data=st.data())
@settings(SETTINGS, max_examples=tries(30))
def test_a_calendar_label_and_a_bin_of_days_hold_exactly_the_days_that_the_hierarchy_maps_to_them(
    engine: Engine, data: st.DataObject
) -> None:
    days = st.dates() | st.dates(date(1999, 11, 1), date(2021, 2, 1)) | st.sampled_from([date.min, date.max])
    kind, family = data.draw(st.sampled_from([("DATE", "date"), ("TIMESTAMP", "timestamp")]))
    found: list[Any] = data.draw(st.lists(days, min_size=1, max_size=12))
    if family == "timestamp":
        found = [datetime(d.year, d.month, d.day, 13, 5) for d in found]
    people(engine, kind, [*found, None])
    calendar = Date(("day", "month", "quarter", "year", "decade", "century"))
    hierarchy: Hierarchy = data.draw(st.sampled_from([calendar, Width((Decimal(7), Decimal(28)))]))
    assert_exact(engine, hierarchy, data.draw(st.integers(1, (hierarchy.height or 0) - 1)), family)


@given(data=st.data())
@settings(SETTINGS, max_examples=tries(30))
def test_a_mask_holds_exactly_the_texts_that_the_hierarchy_maps_to_it(engine: Engine, data: st.DataObject) -> None:
    kind, family = data.draw(st.sampled_from([("VARCHAR", "text"), ("BIGINT", "integer")]))
    texts = st.text("01a2é🦆 '%_", min_size=2, max_size=5) if family == "text" else st.integers(-150, 150)
    values: list[Any] = data.draw(st.lists(texts, min_size=1, max_size=12))
    values = [value for value in values if len(str(value)) > 1] or [10 if family == "integer" else "10"]
    people(engine, kind, [*values, None])
    assert_exact(engine, Mask(5), data.draw(st.integers(1, 4)), family)


def test_a_mask_of_one_character_is_taken_for_a_suppressed_record(engine: Engine) -> None:
    people(engine, "VARCHAR", ["7", "12"])
    remake(engine, "released", "AS SELECT '*' AS x UNION ALL SELECT '1*'")
    assert matched(engine, None) == {("7", "*"), ("12", "*"), ("12", "1*")}


LEAVES = ["a", "b", "c", "d", "e", "f", "*x", "[1, 2)", "2020"]


@st.composite
def tabled(draw: st.DrawFn) -> Hierarchy:
    if draw(st.booleans()):
        return Order(tuple(draw(st.permutations(LEAVES))))
    if draw(st.booleans()):
        return Tree({"A": {"AA": LEAVES[:2], "AB": LEAVES[2:4]}, "B": {"BA": LEAVES[4:8]}, "2020": None})
    names = draw(st.lists(st.sampled_from("ABCD"), min_size=len(LEAVES), max_size=len(LEAVES)))
    return Tabled(tuple((leaf, name, f"over {name}", "*") for leaf, name in zip(LEAVES, names, strict=True)))


@given(data=st.data())
@settings(SETTINGS, max_examples=tries(30))
def test_a_label_of_a_tree_a_file_or_an_order_holds_exactly_the_values_under_it(
    engine: Engine, data: st.DataObject
) -> None:
    hierarchy = data.draw(tabled())
    values = data.draw(st.lists(st.sampled_from([*LEAVES, None]), min_size=1, max_size=9))
    people(engine, "VARCHAR", values)
    height = len((hierarchy.rows(Path()) or ((),))[0]) - 1
    assert_exact(engine, hierarchy, data.draw(st.integers(0, height)), "text", known=True)


def test_a_column_of_many_levels_is_read_at_all_of_them(engine: Engine) -> None:
    people(engine, "VARCHAR", ["a", "b", "c", "d"])
    remake(engine, "released", "AS SELECT x FROM (VALUES ('a'), ('AB'), ('A'), ('*')) AS v (x)")
    tree = Tree({"A": {"AA": ["a", "b"], "AB": ["c", "d"]}})
    held = {"a": "a", "AB": "cd", "A": "abcd", "*": "abcd"}
    assert matched(engine, tree) == {(value, label) for label, values in held.items() for value in values}


@pytest.mark.parametrize(
    ("kind", "values", "form", "expected"),
    [
        ("INTEGER", [5, 20, 29, 30, None], "{'lower': 20, 'upper': 30}", {20, 29, 30}),
        ("INTEGER", [5, 20, 29, 30, None], "'{''lower'': 20, ''upper'': 30}'", {20, 29, 30}),
        ("DATE", [date(2020, 1, 1), date(2020, 2, 1), date(2020, 2, 2)],
         "{'lower': DATE '2020-01-01', 'upper': DATE '2020-02-01'}", {date(2020, 1, 1), date(2020, 2, 1)}),
        ("INTEGER", [19, 20, 29, 30], "'[20, 29]'", {20, 29}),
        ("DECIMAL(9, 2)", [Decimal("1.49"), Decimal("1.50"), Decimal("2.00")], "'[1.50, 2.00]'",
         {Decimal("1.50"), Decimal("2.00")}),
        ("DOUBLE", [0.1, 0.30000000000000004, 1e300], "'[0.1, 0.30000000000000004]'", {0.1, 0.30000000000000004}),
        ("BIGINT", [2**53, 2**53 + 1, 2**53 + 2], "'[9007199254740993, 9007199254740994]'", {2**53 + 1, 2**53 + 2}),
        ("DATE", [date(2020, 1, 31), date(2020, 2, 1), date(9999, 12, 31)], "'[2020-02-01, 9999-12-31]'",
         {date(2020, 2, 1), date(9999, 12, 31)}),
        ("TIMESTAMP", [datetime(2020, 1, 1, 12), datetime(2020, 1, 2), datetime(2020, 1, 2, 0, 0, 1)],
         "'[2020-01-01 12:00:00, 2020-01-02 00:00:00]'", {datetime(2020, 1, 1, 12), datetime(2020, 1, 2)}),
        ("TIMESTAMP", [datetime(2020, 1, 1, 12), datetime(2020, 1, 2), datetime(2020, 1, 2, 0, 0, 1)],
         "'[2020-01-01 12:00:00, 2020-01-02 00:00:00)'", {datetime(2020, 1, 1, 12)}),
        ("DATE", [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)],
         "'[2020-01-01 12:00:00, 2020-01-02 00:00:00]'", {date(2020, 1, 1), date(2020, 1, 2)}),
        ("INTEGER", [5, None], "{'lower': NULL::INT, 'upper': NULL::INT}", {5, None}),
        ("INTEGER", [5, 6], "{'lower': 5, 'upper': 5}", {5}),
        ("DOUBLE", [5.0, 6.5], "'5.0'", {5.0}),
        ("DECIMAL(9, 2)", [Decimal("5.00"), Decimal("6.50")], "'6.5'", {Decimal("6.50")}),
        ("DOUBLE", [float("inf"), 1.0], "'inf'", {float("inf")}),
        ("VARCHAR", ["true", "false"], "TRUE", {"true"}),
        ("TIMESTAMP", [datetime(2020, 1, 1, 12), datetime(2020, 1, 2)], "DATE '2020-01-01'",
         {datetime(2020, 1, 1, 12)}),
        ("TIMESTAMP", [datetime(2020, 1, 1, 12), datetime(2020, 1, 1, 13)], "'2020-01-01 12:00:00'",
         {datetime(2020, 1, 1, 12)}),
        ("DATE", [date(2020, 1, 1), date(2020, 1, 2)], "'2020-01-01 12:00:00'", {date(2020, 1, 1)}),
        ("BIGINT", [37], "37.0::DOUBLE", {37}),
        ("VARCHAR", ["37", "38"], "37::INTEGER", {"37"}),
    ],
)  # fmt: skip
def test_a_cell_holds_the_values_of_other_types_that_read_alike(
    engine: Engine, kind: str, values: list[Any], form: str, expected: set[Any]
) -> None:
    if engine.name == "postgres":
        if form.startswith("{"):
            pytest.skip("Postgres has no type for a range with named ends")
        form = form.replace("'inf'", "'Infinity'")  # each engine reads what it writes
    people(engine, kind, values)
    remake(engine, "released", f"AS SELECT {form} AS x")
    assert {value for value, _ in matched(engine, None)} == expected


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        ("INTEGER", ["[20, 30)", "young"], "1 labels of 'x' cannot be read"),
        ("DATE", ["2020", "spring"], "1 labels of 'x' cannot be read"),
        ("VARCHAR", ["[20, 30)"], "'x' holds intervals, and is text elsewhere"),
        ("VARCHAR", ["[20, 30)", "12***"], "'x' holds intervals, and is text elsewhere"),
    ],
)
def test_labels_that_cannot_be_read_are_counted_and_not_quoted(
    engine: Engine, kind: str, labels: list[str], words: str
) -> None:
    remake(engine, "people", f"AS SELECT NULL::{kind} AS x")
    remake(engine, "released", "(x VARCHAR)")
    fill(engine, "released", labels)
    with pytest.raises(SpecError, match=words) as caught:
        matched(engine, None)
    assert "young" not in str(caught.value) and "spring" not in str(caught.value)


# -- random releases ---------------------------------------------------------------------------------------------------

COUNTRIES = [
    ["de", "west", "eu", "*"],
    ["fr", "west", "eu", "*"],
    ["pl", "east", "eu", "*"],
    ["jp", "far", "asia", "*"],
]
DAYS = tuple(date(2020, 1, 30) + timedelta(days=n) for n in range(0, 200, 9))
FORMS: dict[str, tuple[tuple[Any, ...], dict[str, oracle.Label]]] = {
    "number": (tuple(range(-5, 25)), {"itself": oracle.itself, "5": oracle.width(5), "10": oracle.width(10)}),
    "text": (
        ("10", "11", "100", "101", "110", "2"), {"itself": oracle.itself, "1": oracle.mask(1), "2": oracle.mask(2)}
    ),
    "day": (DAYS, {"itself": oracle.itself, "month": oracle.month, "quarter": oracle.quarter, "year": oracle.year}),
    "leaf": (
        tuple(row[0] for row in COUNTRIES),
        {str(level): oracle.tabled(COUNTRIES, level) for level in range(3)},
    ),
}  # fmt: skip
TREES = {f"leaf {i}": Tabled(tuple(map(tuple, COUNTRIES))) for i in range(3)}


@dataclass(frozen=True)
class Case:
    """People, and one or more releases about some of them; `columns` are each release's quasi-identifiers."""

    people: Rows
    releases: list[Rows]
    columns: list[Mapping[str, oracle.Column]]


@st.composite
def cases(draw: st.DrawFn, releases: int = 1, everybody: bool = False) -> Case:
    forms = draw(st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=3))
    names = [f"{form} {i}" for i, form in enumerate(forms)]
    small = {n: draw(st.lists(st.sampled_from(FORMS[n.split()[0]][0]), min_size=1, max_size=4)) for n in names}
    cells = [st.sampled_from([*small[name], None] if draw(st.booleans()) else small[name]) for name in names]
    rows = draw(st.lists(st.tuples(*cells, st.sampled_from(["u", "v", "w", None])), min_size=1, max_size=8))
    people = [dict(zip([*names, "s"], row, strict=True)) | {"id": i} for i, row in enumerate(rows)]
    made, columns = [], []
    for _ in range(releases):
        known = [name for name in names if releases == 1 or draw(st.booleans())] or names[:1]
        of = {}
        for name in known:
            domain, labels = FORMS[name.split()[0]]
            of[name] = oracle.Column((*domain, None), labels[draw(st.sampled_from(sorted(labels)))])
        chosen = people if everybody else [p for p in people if draw(st.booleans())] or people[:1]
        starred = draw(st.booleans())
        made.append([released(row, of, starred and draw(st.booleans())) for row in chosen])
        columns.append(of)
    return Case(people, made, columns)


def released(row: Mapping[str, Any], columns: Mapping[str, oracle.Column], star: bool) -> dict[str, Any]:
    """A record of a release: labels as text, unless nothing was generalised."""
    cells = {name: "*" if star else column.label(row[name]) for name, column in columns.items()}
    return {**cells, "s": row["s"], "id": row["id"]}


def written(engine: Engine, drawn: Case) -> Case:
    """The tables `people` and `release 0`, …; the case as it is written: next to a star or a label, all is text."""
    case = labels_of(drawn)
    kinds = {"number": "BIGINT", "day": "DATE", "text": "VARCHAR", "leaf": "VARCHAR"}
    missing = {name: kinds[name.split()[0]] for of in case.columns for name in of} | {"s": "VARCHAR"}
    load(engine, "people", case.people, missing)
    for i, rows in enumerate(case.releases):
        load(engine, f"release {i}", rows, missing)
    return case


def labels_of(case: Case) -> Case:
    """The case with its cells as they are written."""
    releases, columns = [], []
    for rows, of in zip(case.releases, case.columns, strict=True):
        texts = {n for n in of if any(isinstance(row[n], str) for row in rows)}
        releases.append([{n: str(c) if n in texts and c is not None else c for n, c in row.items()} for row in rows])
        columns.append(
            {n: column._replace(label=as_text(column.label)) if n in texts else column for n, column in of.items()}
        )
    return Case(case.people, releases, columns)


def as_text(label: oracle.Label) -> oracle.Label:
    return lambda value: None if label(value) is None else str(label(value))


def run(engine: Engine, case: Case, *attacks: Attack, who: bool = False, others: bool = False) -> tuple[Outcome, ...]:
    keys = list(case.columns[0])
    person = ("id", "id") if who else None
    known = {name: name for name in keys} if not others else {}
    return attack(
        engine, Origin(relation="release 0"), quasi_identifiers=keys, sensitive=["s"], attacks=attacks,
        hierarchies=TREES, external=Known(Origin(relation="people"), known, person),
        population=Known(Origin(relation="people"), known),
        others=[
            Known(Origin(relation=f"release {i}"), quasi_identifiers=tuple(of))
            for i, of in enumerate(case.columns) if i
        ],
    ).outcomes  # fmt: skip


@given(case=cases(), who=st.booleans(), k=st.integers(2, 5))
@settings(SETTINGS, max_examples=tries(40))
def test_linkage_finds_the_candidates_of_the_oracle(engine: Engine, case: Case, who: bool, k: int) -> None:
    case = written(engine, case)
    (outcome,) = run(engine, case, Linkage(k), who=who)
    columns, release = case.columns[0], case.releases[0]
    found = [oracle.candidates(release, person, columns) for person in case.people]
    sizes = [len(candidates) for candidates in found]
    rate = oracle.reidentified(release, case.people, columns, "id" if who else None)
    reached = outcome.reached
    assert reached is not None
    assert reached.worst == min((size for size in sizes if size), default=None)
    assert reached.records == sum(0 < size < k for size in sizes)
    assert reached.details["rate"] == pytest.approx(float(rate))
    assert reached.details["unique"] == sizes.count(1)
    assert reached.details["matched"] == len(sizes) - sizes.count(0)
    assert outcome.records == len(case.people)
    by = list(columns)
    near = {tuple(release[i][name] for name in by) for candidates in found if len(candidates) < k for i in candidates}
    assert reached.classes == len(near)
    assert not who or reached.details["rate_is"] == "exact"


@given(
    case=cases(everybody=True), k=st.integers(2, 5), bounds=st.sampled_from([(0, 0.5), (0.25, 0.75), (0.5, 1), (0, 1)])
)
@settings(SETTINGS, max_examples=tries(30))
def test_a_population_tells_of_membership_what_the_oracle_says(
    engine: Engine, case: Case, k: int, bounds: tuple[float, float]
) -> None:
    half = [row for row in case.releases[0] if row["id"] % 2 == 0]
    case = written(engine, Case(case.people, [half], case.columns))
    half, columns = case.releases[0], case.columns[0]
    journalist, membership = run(engine, case, Journalist(k), Membership(*bounds))
    sizes = oracle.population_of(half, case.people, columns)
    low = [n for n, f in sizes.values() if f < k]
    assert journalist.reached is not None and membership.reached is not None
    assert journalist.reached.worst == min(f for _, f in sizes.values())
    assert (journalist.reached.classes, journalist.reached.records) == (len(low), sum(low))
    shares = [oracle.presence(sizes, person, columns) for person in case.people]
    least, most = map(exact, bounds)
    assert membership.reached.records == sum(not least <= share <= most for share in shares)
    assert membership.reached.worst == pytest.approx(float(max(shares)))
    assert membership.reached.least == pytest.approx(float(min(shares)))
    assert membership.records == len(case.people)
    assert membership.breached is any(not least <= share <= most for share in shares)


@given(case=cases(releases=2) | cases(releases=3), m=st.integers(2, 3))
@settings(SETTINGS, max_examples=tries(30))
def test_composition_leaves_the_values_of_the_oracle(engine: Engine, case: Case, m: int) -> None:
    case = written(engine, case)
    refused = None
    try:
        cells, targets = run(engine, case, Composition("s", m), Composition("s", m, "targets"), others=True)
    except SpecError as error:
        refused = str(error)
    if refused is not None:
        assert is_right_to_refuse(case, refused)
        return
    assert cells.reached is not None and targets.reached is not None
    left = oracle.composed(case.releases, case.columns, "s")
    breached = {combination[0] for combination, values in left.items() if 0 < len(values) < m}
    by = list(case.columns[0])
    assert cells.reached.worst == min((len(values) for values in left.values() if values), default=None)
    assert cells.reached.details["combinations"] == len(left)
    assert cells.reached.classes == len(breached)
    assert cells.reached.records == sum(tuple(row[name] for name in by) in breached for row in case.releases[0])
    sets = [oracle.allowed(case.releases, case.columns, person, "s") for person in case.people]
    assert targets.reached.records == sum(0 < len(values) < m for values in sets if values is not None)
    assert targets.reached.details["matched"] == sum(values is not None for values in sets)
    assert targets.reached.details["learnt"] == sum(len(values) == 1 for values in sets if values is not None)


def is_right_to_refuse(case: Case, error: str) -> bool:
    """Releases that share no quasi-identifier, or texts of which none is in both, are refused and not called safe."""
    names = [set(of) for of in case.columns]
    apart = any(not one & other for i, one in enumerate(names) for other in names[i + 1 :])
    return apart if "no quasi-identifier is known" in error else "no value of 'text" in error


# -- the worked vectors ------------------------------------------------------------------------------------------------


def test_composition_discloses_the_victims_of_the_vector(engine: Engine) -> None:
    """The vector's two groupings as two quasi-identifiers, each of which one release generalises away."""
    found = vectors.vector("attack-composition")
    groups = [dict(re.findall(r"'(\w+)': (\[[^\]]*\])", half)) for half in found["note"].split("release 2:")]
    for name, columns, group in (("first", ("a", "b"), groups[0]), ("second", ("b", "a"), groups[1])):
        cells = [(key, "*", value) for key, told in group.items() for value in re.findall(r"\w+", told)]
        load(engine, name, [dict(zip((*columns, "s"), row, strict=True)) for row in cells])
    load(engine, "victims", [dict(zip(("who", "a", "b"), row, strict=True)) for row in found["rows"]])
    least = found["params"]["min_candidates"]
    cells, targets = attack(
        engine, Origin(relation="first"), quasi_identifiers=["a", "b"], sensitive=["s"],
        attacks=[Composition("s", least), Composition("s", least, "targets")],
        others=[Known(Origin(relation="second"))], external=Known(Origin(relation="victims")),
    ).outcomes  # fmt: skip
    assert cells.reached is not None and targets.reached is not None
    assert targets.reached.records == len(found["expected"]["disclosed"]) == 2
    assert targets.reached.worst == min(map(len, found["expected"]["candidate_sets"].values()))
    assert cells.reached.details == {"combinations": 4, "combinations_breached": 3}  # E2 with F1 leaves Flu, too


def test_the_population_of_the_vector_is_a_k_map(engine: Engine) -> None:
    found = vectors.vector("k-map")
    load(engine, "sample", [{"q": row[0]} for row in found["rows"]])
    people = [{"q": name} for name, count in re.findall(r"(\w) x(\d)", found["note"]) for _ in range(int(count))]
    load(engine, "people", people)
    k = found["expected"]["k_map"]
    enough, more = attack(
        engine, Origin(relation="sample"), quasi_identifiers=["q"], attacks=[Journalist(k), Journalist(k + 1)],
        population=Known(Origin(relation="people")),
    ).outcomes  # fmt: skip
    assert (enough.breached, more.breached) == (False, True)
    assert enough.reached is not None and enough.reached.worst == k


def test_the_presence_of_the_vector_is_within_its_bounds_and_no_closer_ones(engine: Engine) -> None:
    found = vectors.vector("delta-presence")
    load(engine, "people", [{"q": q} for q, _ in found["rows"]])
    load(engine, "sample", [{"q": q} for q, there in found["rows"] if there])
    least, most = found["expected"]["min"], found["expected"]["max"]
    bounds = [(least, most), (0.1, most), (least, 0.49)]
    outcomes = attack(
        engine, Origin(relation="sample"), quasi_identifiers=["q"], attacks=[Membership(*pair) for pair in bounds],
        population=Known(Origin(relation="people")),
    ).outcomes  # fmt: skip
    assert [outcome.breached for outcome in outcomes] == [False, True, True]
    assert [outcome.to_dict()["records_breached"] for outcome in outcomes] == [0, 3, 4]
    assert outcomes[0].starts == (Start("dmax", "<", most), Start("dmin", ">", least))


@pytest.mark.parametrize("name", [HOSTILE, "a0", "id", "l", "r", "more", "n", "p0", "v", "$c", 'a"b', "a\nb"])
def test_columns_of_any_name_are_matched(engine: Engine, name: str) -> None:
    rows = [{name: "[0, 10)", "s": "u"}, {name: "[0, 10)", "s": "v"}, {name: "[10, 20)", "s": "w"}]
    load(engine, "first", rows)
    load(engine, "people", [{name: 5, "who": 1}, {name: 12, "who": 2}, {name: None, "who": 3}])
    linkage, composition = attack(
        engine, Origin(relation="first"), quasi_identifiers=[name], sensitive=["s"],
        attacks=[Linkage(), Composition("s", through="targets")], external=Known(Origin(relation="people")),
        others=[Known(Origin(relation="first"))],
    ).outcomes  # fmt: skip
    assert linkage.to_dict()["details"]["rate"] == pytest.approx((1 / 2 + 1) / 3)
    assert composition.to_dict()["records_breached"] == 1


def test_values_of_other_types_are_composed_as_they_read(engine: Engine) -> None:
    load(engine, "first", [{"q": 1, "s": 5}, {"q": 1, "s": 6}])
    load(engine, "second", [{"q": 1, "s": "5"}, {"q": 1, "s": "x"}])
    (outcome,) = attack(
        engine, Origin(relation="first"), quasi_identifiers=["q"], sensitive=["s"], attacks=[Composition("s")],
        others=[Known(Origin(relation="second"))],
    ).outcomes  # fmt: skip
    assert outcome.reached is not None and outcome.reached.worst == 1


def test_nobody_matched_is_told(engine: Engine) -> None:
    load(engine, "first", [{"q": 1}])
    load(engine, "people", [{"q": 2}])
    (outcome,) = attack(
        engine, Origin(relation="first"), quasi_identifiers=["q"], attacks=[Linkage()],
        external=Known(Origin(relation="people")),
    ).outcomes  # fmt: skip
    assert outcome.to_dict()["notes"] == ["no record can be anybody's of the external table"]
    assert outcome.starts == ()
