"""Results show themselves in a notebook: a verdict first, tables and bars, and no name is ever more than text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_example import NASTY

import sqlanon
from sqlanon import life
from sqlanon.comparison import Comparison, Way
from sqlanon.engines import Engine
from sqlanon.showing import notebooks
from sqlanon.showing.notebooks import Bar
from sqlanon.shown import Shown

AGE, SECRET = f"age {NASTY}", 'secret" onload="alert(1)'
SPEC = {
    "source": "people",
    "columns": {
        AGE: {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}},
        SECRET: "sensitive",
        "n": "insensitive",
    },
    "privacy": [{"model": "k-anonymity", "k": 3}],
    "publish": {"name": "made"},
}


HARMLESS = {"div", "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "bdi", "svg", "rect"}

WAYS = (Way("mondrian", {}, gcp=0.25, classes=7, suppressed=0, seconds=0.1), Way("hilbert", {}, problem=f"no {NASTY}"))
COMPARED = Comparison("made", "duckdb", 0, (), 120, WAYS)


class Read(HTMLParser):
    """The elements and the text of what is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def shown(result: Any) -> Read:
    """What a notebook would make of it: it asks for this method by name."""
    return Read(result._repr_html_())


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with sqlanon.connect() as made:
        columns = {AGE: "CAST(20 + i % 40 AS INTEGER)", SECRET: "chr(CAST(97 + i % 4 AS INTEGER))", "n": "i % 7"}
        quoted = ", ".join('{} AS "{}"'.format(value, name.replace('"', '""')) for name, value in columns.items())
        made.run("make a table", f"CREATE TABLE people AS SELECT {quoted} FROM range(120) AS r(i)")
        yield made


@pytest.fixture(scope="module")
def results(engine: Engine) -> dict[str, Any]:
    spec = sqlanon.load(SPEC)
    planned, made = sqlanon.plan(spec, engine, utility=True), sqlanon.release(spec, engine)
    said: dict[str, Any] = {"quasi_identifiers": [AGE], "engine": engine}
    columns = {"column": "n", "fields": [AGE], "margin": 1, "threshold": 0.5, "all_subsets": True}
    return {
        "planned": planned, "made": made, "utility": planned.usefulness, "verified": life.verify(engine, "made"),
        "refreshed": sqlanon.refresh("made", engine),
        "kept": sqlanon.check("people", models=["k-anonymity(k=3)"], **said),
        "broken": sqlanon.check("people", models=["k-anonymity(k=4)", "k-anonymity(k=2)"], **said),
        "unjudged": sqlanon.check("people", sensitive=[SECRET], **said), "risk": sqlanon.risk("people", **said),
        "attacked": sqlanon.attack("people", sensitive=[SECRET], **said), "compared": COMPARED,
        "explored": sqlanon.predict("people", engine=engine, rules=["IF violations(n) >= 0 THEN block"], **columns),
    }  # fmt: skip


def test_what_a_notebook_shows_runs_nothing_and_loads_nothing(results: dict[str, Any]) -> None:
    for name, result in results.items():
        read = shown(result)
        assert {tag for tag, _ in read.elements} <= HARMLESS, name
        assert not [attrs for _, attrs in read.elements if {"src", "href", "id"} & set(attrs)]
        assert not [attrs for _, attrs in read.elements if any(key.startswith("on") for key in attrs)]


def test_a_hostile_name_is_shown_as_it_is(results: dict[str, Any]) -> None:
    for name in ("planned", "made", "utility", "risk", "explored", "unjudged", "compared"):
        assert NASTY in shown(results[name]).said, name
    assert 'secret" onload="alert(1)' in shown(results["attacked"]).said


def test_the_verdict_comes_first_and_in_words(results: dict[str, Any]) -> None:
    begun = {name: " ".join(shown(result).said.split())[:90] for name, result in results.items()}
    assert begun["planned"].startswith("Plan of made ✓ The promise holds. Nothing was published.")
    assert begun["made"].startswith("made, version 1 ✓ The promise holds. Published as table")
    assert begun["refreshed"].startswith("made, version 2 ✓ The promise holds.")
    assert begun["verified"].startswith("made, version 1, measured again ✓ The promise holds.")
    assert begun["kept"].startswith("people ✓ The promise holds.")
    assert begun["broken"].startswith("people ✗ 1 of 2 promises are not kept.")
    assert begun["unjudged"].startswith("people – Nothing was judged.")
    assert "– Risks are told, not judged." in begun["risk"]
    assert "✗ A rule blocks." in begun["explored"]


@pytest.mark.parametrize(
    ("holds", "verdict"),
    [((), None), ((None,), None), ((True,), True), ((True, None), True), ((True, False), False), ((1,), False)],
)
def test_nothing_holds_that_was_not_judged(holds: tuple[Any, ...], verdict: bool | None) -> None:
    assert notebooks._verdict([{"holds": one} for one in holds])[0] is verdict


def test_an_audit_says_that_what_was_not_seen_may_hold_something(tmp_path: Path) -> None:
    with sqlanon.connect(f"duckdb:///{tmp_path / 'a.duckdb'}") as engine:
        assert "No finding. What was not seen may hold one." in shown(sqlanon.audit(engine)).said


@pytest.mark.parametrize(("value", "width"), [(None, 0), (-1.0, 0), (0.25, 25), (7.0, 100), (float("nan"), 0)])
def test_a_bar_is_never_longer_than_its_place(value: float | None, width: float) -> None:
    assert Bar(value, "").width == width


def test_a_long_table_says_how_much_more_there_is() -> None:
    table = notebooks._table("many", "one", [(str(i),) for i in range(50)])
    assert (len(table.rows), table.more) == (notebooks.MOST_ROWS, 30)


def test_everything_that_shows_itself_has_a_picture() -> None:
    kinds, found = [Shown], []
    while kinds:
        kinds = [kind for parent in kinds for kind in parent.__subclasses__()]
        found += kinds
    assert len(found) >= 11
    assert [kind for kind in found if notebooks.sheet.dispatch(kind) is notebooks.sheet.dispatch(object)] == []
    with pytest.raises(TypeError, match="a str has no picture"):
        notebooks.html("x")


def test_a_release_that_has_expired_is_no_tick(results: dict[str, Any]) -> None:
    verified = results["verified"]
    old = replace(verified, entry=replace(verified.entry, expires_at=datetime(2020, 1, 2)))
    found = notebooks.sheet(old)
    assert found.holds is False and "has expired" in found.said and notebooks.sheet(verified).holds is True


def test_an_empty_relation_is_shown_and_holds_nothing() -> None:
    with sqlanon.connect() as engine:
        engine.run("make it", "CREATE TABLE nobody (age INTEGER, disease VARCHAR)")
        found = sqlanon.check("nobody", engine=engine, quasi_identifiers=["age"], models=["k-anonymity(k=2)"])
        assert found.holds is False and "The promise is not kept." in found._repr_html_()
