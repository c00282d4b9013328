"""What several releases of one source leave together, on both engines, against an oracle over rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from server import made, working_tables
from tries import tries

from sqlanon.composing import Seen, compose
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.together import Left, Together

NAME = "rel'; DROP TABLE x; --\n\"$s"
AGE, ILL = 'a"ge $s', "i'll\n"

Row = tuple[str, int | None, str | None, str | None]  # who, age, zip, ill
LEVELS = {
    "age": (str, lambda age: f"[{age // 10 * 10}, {age // 10 * 10 + 10})", lambda _: "*"),
    "zip": (str, lambda zip_: zip_[:-1] + "*", lambda _: "*"),
}


@dataclass(frozen=True)
class Made:
    """A release of full-domain levels; classes smaller than `k` are left out, or starred."""

    age: int
    zip: int
    k: int
    star: bool = False

    def cells(self, row: Row) -> tuple[str | None, ...]:
        parts = (("age", self.age, row[1]), ("zip", self.zip, row[2]))
        return tuple(
            "*" if level == 2 else None if value is None else LEVELS[name][level](value) for name, level, value in parts
        )

    def classes(self, rows: Sequence[Row]) -> dict[tuple[str | None, ...], list[Row]]:
        found = defaultdict(list)
        for row in rows:
            found[self.cells(row)].append(row)
        small = [cells for cells, inside in found.items() if len(inside) < self.k]
        gone = [row for cells in small for row in found.pop(cells)]
        if self.star and gone:
            found[("*", "*")] += gone
        return dict(found)


def oracle(rows: Sequence[Row], releases: Sequence[Made], persons: bool) -> Left:
    """Record by record, and set by set."""
    every = [release.classes(rows) for release in releases]
    where = []
    for row in rows:
        classed: list[tuple[str | None, ...] | None] = []
        for release, classes in zip(releases, every, strict=True):
            cells = release.cells(row)
            classed.append(cells if cells in classes else ("*", "*") if ("*", "*") in classes else None)
        where.append(tuple(classed))
    sharing: dict[Any, set[Any]] = defaultdict(set)
    for number, (row, own) in enumerate(zip(rows, where, strict=True)):
        sharing[own].add(row[0] if persons else number)
    targets = [(row, own) for row, own in zip(rows, where, strict=True) if sum(c is not None for c in own) >= 2]
    left = []
    for _, own in targets:
        sets = [{r[3] for r in classes[cells]} for cells, classes in zip(own, every, strict=True) if cells is not None]
        left.append((len(set.intersection(*sets)), len(set.union(*sets))))
    inside = [Counter(r[3] for r in members) for classes in every for members in classes.values()]
    return Left(
        ILL, len(targets), min((len(sharing[own]) for _, own in targets), default=None),
        values=min((n for n, _ in left if n), default=None), few=sum(n == 1 for n, _ in left),
        moved=sum(n == 0 for n, _ in left), signatures=sum(n < all_ for n, all_ in left),
        least=min(map(len, inside)), repeated=sum(max(counts.values()) > 1 for counts in inside),
    )  # fmt: skip


rows_of = st.lists(
    st.tuples(
        st.sampled_from("pqrstuvw"),
        st.none() | st.integers(20, 49), st.none() | st.sampled_from(["4700", "4701", "4710"]),
        st.none() | st.sampled_from(["flu", "hiv", "cold", "gout"]),
    ),
    min_size=1, max_size=14,
)  # fmt: skip
releases_of = st.lists(
    st.builds(Made, st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.booleans()), min_size=2, max_size=3
)


def stand(engine: Engine, rows: Sequence[Row], releases: Sequence[Made]) -> list[Seen]:
    """The source and its releases as tables."""
    source = [{"who": who, AGE: age, "zip": zip_, ILL: ill} for who, age, zip_, ill in rows]
    made(engine, "source", {"who": "VARCHAR", AGE: "INTEGER", "zip": "VARCHAR", ILL: "VARCHAR"}, source)
    seen = []
    for number, release in enumerate(releases):
        shown = [
            {AGE: cells[0], "zip": cells[1], ILL: row[3]}
            for cells, members in release.classes(rows).items() for row in members
        ]  # fmt: skip
        made(engine, f"{NAME} {number}", {AGE: "VARCHAR", "zip": "VARCHAR", ILL: "VARCHAR"}, shown)
        item = '"{}"'.format(f"{NAME} {number}".replace('"', '""'))
        seen.append(Seen(f"{NAME} {number}", Origin(query=f"SELECT * FROM {item}"), (AGE, "zip")))
    return seen


@given(rows_of, releases_of, st.booleans())
@settings(max_examples=tries(15), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_what_is_left_is_what_an_oracle_over_rows_says(
    either: Engine, rows: list[Row], releases: list[Made], persons: bool
) -> None:
    if not all(release.classes(rows) for release in releases):
        return
    seen = stand(either, rows, releases)
    try:
        (found,) = compose(
            either, Origin(query="SELECT * FROM source"), seen, sensitive=[ILL], entity="who" if persons else None
        )
    except SpecError:  # nothing to compare: only missing cells
        return
    assert found == oracle(rows, releases, persons)
    assert working_tables(either) == []


@given(rows_of, st.lists(st.sampled_from(["flu", "new", "hiv"]), min_size=14, max_size=14), st.integers(0, 2))
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_a_value_that_changed_hides_nothing_of_what_the_other_releases_tell(
    either: Engine, rows: list[Row], first: list[str], level: int
) -> None:
    """Three releases, the first of other values: the least of every set of releases is told, not of all alone."""
    releases = [Made(level, 2, 1), Made(1, 0, 1), Made(0, 1, 1)]
    before: list[Row] = [(*row[:3], ill) for row, ill in zip(rows, first, strict=False)]
    seen = stand(either, rows, releases)
    made(either, f"{NAME} 0", {AGE: "VARCHAR", "zip": "VARCHAR", ILL: "VARCHAR"},
         [{AGE: releases[0].cells(row)[0], "zip": "*", ILL: row[3]} for row in before])  # fmt: skip
    try:
        (found,) = compose(either, Origin(query="SELECT * FROM source"), seen, sensitive=[ILL])
    except SpecError:
        return
    classes = [releases[0].classes(before), *(one.classes(rows) for one in releases[1:])]
    every = []
    for row in rows:
        sets = [{r[3] for r in of[one.cells(row)]} for one, of in zip(releases, classes, strict=True)]
        every += [len(set.intersection(*some)) for n in (2, 3) for some in combinations(sets, n)]
    assert found.values is not None
    assert found.values <= min(n for n in every if n)


def table_of(engine: Engine, name: str, columns: str, *rows: str) -> Seen:
    """A table of texts; its quasi-identifiers are all columns but the last."""
    names = columns.split()
    made(engine, name, dict.fromkeys(names, "VARCHAR"), [dict(zip(names, row.split(), strict=True)) for row in rows])
    return Seen(name, Origin(query=f"SELECT * FROM {name}"), tuple(names[:-1]))


def test_the_worked_example_of_an_intersection_attack(either: Engine) -> None:
    table_of(either, "people", "e f s", "E1 F1 Flu", "E1 F2 Flu", "E2 F2 Cancer")
    one = table_of(either, "one", "e s", "E1 Flu", "E1 HIV", "E2 Cancer", "E2 Flu")
    two = table_of(either, "two", "f s", "F1 Asthma", "F1 Flu", "F2 Cancer", "F2 Flu")
    (left,) = compose(either, Origin(query="SELECT * FROM people"), [one, two], sensitive=["s"])
    assert (left.targets, left.values, left.few) == (3, 1, 2)  # v1 and v2 have flu; v3 has cancer or flu
    assert left.breaks(Together(values=2)) == ("1 values of s against 2",)
    assert left.breaks(Together(candidates=2)) == ("1 candidates against 2",)


@pytest.mark.parametrize(("joined", "m"), [("h2 cancer", 2), ("h2 gastritis", None)])
def test_the_worked_example_of_m_invariance(either: Engine, joined: str, m: int | None) -> None:
    """Xiao & Tao: p4 is gone, a counterfeit keeps p3's signature; beside p5, with gastritis, it is another one."""
    table_of(either, "people", "g h s", "g1 h1 flu", "g1 h1 hiv", "g2 h2 flu", "g0 h3 gastritis", "g0 h3 hiv")
    first = table_of(either, "first", "g s", "g1 flu", "g1 hiv", "g2 flu", "g2 cancer")
    second = table_of(either, "second", "h s", "h1 flu", "h1 hiv", "h2 flu", joined, "h3 gastritis", "h3 hiv")
    (left,) = compose(either, Origin(query="SELECT * FROM people"), [first, second], sensitive=["s"])
    assert (left.targets, left.least, left.repeated, left.signatures) == (3, 2, 0, 0 if m else 1)
    assert left.invariance == m
    assert (left.breaks(Together(invariance=2)) == ()) == (m == 2)
    assert left.breaks(Together(invariance=3))


def test_a_value_twice_in_a_class_is_no_m_invariance(either: Engine) -> None:
    table_of(either, "people", "g s", "g1 flu", "g1 flu", "g1 hiv")
    both = [table_of(either, name, "g s", "g1 flu", "g1 flu", "g1 hiv") for name in ("first", "second")]
    (left,) = compose(either, Origin(query="SELECT * FROM people"), both, sensitive=["s"])
    assert (left.signatures, left.repeated, left.invariance, left.values) == (0, 2, None, 2)


def test_one_release_alone_and_columns_that_are_not_there_are_refused(either: Engine) -> None:
    table_of(either, "people", "g s", "g1 flu")
    one = table_of(either, "one", "g s", "g1 flu")
    with pytest.raises(SpecError, match="two releases"):
        compose(either, Origin(query="SELECT * FROM people"), [one], sensitive=["s"])
    with pytest.raises(SpecError, match="no such column"):
        compose(either, one.origin, [one, table_of(either, "other", "f s", "f1 flu")], sensitive=["s"])


def test_bounds_are_numbers_from_two_on() -> None:
    with pytest.raises(ValueError, match="one of candidates"):
        Together()
    with pytest.raises(ValueError, match="at least 2"):
        Together(values=1)
