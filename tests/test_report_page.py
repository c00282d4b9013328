"""The page of a report: what it says, what it never says, and that it is harmless whatever a table holds."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import report_example
from report_example import NASTY, empty, example, failing, hostile

from sqlanon.models import MODELS
from sqlanon.report import charts, flows, lattices, page
from sqlanon.report.words import count, legible, number, share, shortened, signed


class Read(HTMLParser):
    """What a browser would make of a page: elements, texts, scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag in ("script", "style") else self._inside

    def handle_data(self, data: str) -> None:
        self.texts.append((self._inside, data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def said(self) -> str:
        """Everything that is read, without the scripts."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made = {"example": example(), "failing": failing(), "empty": empty(), "hostile": hostile()}
    return {name: page.html(facts) for name, facts in made.items()}


def test_the_vendored_scripts_are_those_of_the_manifest_and_of_the_altair_that_makes_the_charts() -> None:
    import altair
    from altair.vegalite.v6.display import VEGA_VERSION

    room = resources.files("sqlanon.report") / "vega"
    files = {one["package"]: one for one in json.loads((room / "manifest.json").read_text())["files"]}
    for one in files.values():
        text = (room / one["file"]).read_bytes()
        assert hashlib.sha256(text).hexdigest() == one["sha256"], one["file"]
        assert b"sourceMappingURL" not in text and b"</script" not in text.lower() and b"\r" not in text
    assert f"v{files['vega-lite']['version']}" == altair.SCHEMA_VERSION
    assert files["vega"]["version"].split(".")[0] == VEGA_VERSION.split(".")[0]
    assert "Redistribution and use in source and binary forms" in (room / "LICENCES.txt").read_text()


def test_a_page_takes_a_report_or_what_it_tells_of_itself(pages: dict[str, str]) -> None:
    class Report:
        def to_dict(self) -> dict[str, Any]:
            return example()

    assert page.html(Report()) == pages["example"]


def test_a_page_is_one_file_that_asks_nobody_for_anything(pages: dict[str, str]) -> None:
    for text in pages.values():
        assert len(text.encode()) < 3_000_000
        read = Read(text)
        for tag, attrs in read.elements:
            loaded = attrs.get("src") or (attrs.get("href") if tag != "a" else None)
            assert not loaded or loaded.startswith("data:"), (tag, loaded)
            assert tag != "a" or str(attrs["href"]).startswith("#")
    hosts = set(re.findall(r"https?://([\w.-]+)", "".join(pages.values())))
    assert hosts <= {"www.w3.org", "vega.github.io", "github.com"}, "names of formats and one in an error message"


def test_only_the_scripts_of_the_page_may_run(pages: dict[str, str]) -> None:
    for text in pages.values():
        read = Read(text)
        policy = next(str(m["content"]) for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules["img-src"] == "data:" and "unsafe" not in policy and "http" not in policy
        bodies = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digests = {f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies}
        assert digests == set(rules["script-src"].split())


def test_no_name_and_no_value_becomes_an_element_or_an_attribute(pages: dict[str, str]) -> None:
    kind, attack = Read(pages["example"]), Read(pages["hostile"])
    assert len(attack.all("script")) == len(kind.all("script"))
    assert len(attack.all("img")) == len(kind.all("img")) == 1
    assert not [attrs for _, attrs in attack.elements if any(name.startswith("on") for name in attrs)]
    assert NASTY in attack.said
    for name in report_example.NAMES:
        assert " ".join(legible(name).split()) in attack.said, "whatever a column is called, its name can be read"
    specs = json.loads(next(text for tag, text in attack.texts if tag == "script"))
    assert "alert(1)" in json.dumps(specs) and "</script" not in pages["hostile"].partition('id="specs">')[2][:200_000]


def test_a_picture_that_holds_a_script_is_an_image_in_which_none_runs() -> None:
    flow = example()["flow"] | {
        "svg": "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
    }
    read = Read(page.html(empty() | {"flow": flow}))
    assert str(read.all("img")[0]["src"]).startswith("data:image/svg+xml;base64,")
    assert len(read.all("script")) == len(Read(page.html(empty())).all("script"))


def test_the_first_thing_said_is_the_verdict_in_plain_words(pages: dict[str, str]) -> None:
    assert "All 3 promises hold. This was measured on the very rows" in Read(pages["example"]).said
    assert "2 of 3 promises do not hold. Do not hand these rows over." in Read(pages["failing"]).said
    assert "Nothing was judged." in Read(pages["empty"]).said


def _of(holds: object, *models: tuple[object, object]) -> str:
    told = [{"model": "k-anonymity", "holds": held, "value": value, "bound": 5} for held, value in models]
    return page.verdict({"holds": holds, "kind": "release", "models": told}).state


def test_nothing_holds_but_what_was_judged_measured_and_finite() -> None:
    assert _of(True, (True, 5)) == _of(True, (True, 7), (True, None)) == "holds"
    assert _of(None, (None, 5)) == _of(True) == _of(None) == "unknown"
    assert _of(True, (True, 7), (None, 5)) == "unknown", "one promise that nobody judged is no promise that holds"
    for worse in ((False, 5), (True, math.nan), (True, math.inf), (False, None), ("yes", 5)):
        assert _of(True, (True, 7), worse) == "fails"
    assert _of(False, (True, 7)) == _of("True", (True, 7)) == _of(1, (True, 7)) == "fails"


def test_what_nobody_promised_is_neither_kept_nor_broken_and_what_is_not_known_is_no_small_number() -> None:
    told = empty() | {
        "models": [model | {"holds": None, "bound": None, "margin": None} for model in example()["models"]]
    }
    told["summary"] |= {"rows_in": None, "suppressed": None}
    said = Read(page.html(told)).said
    assert "Nothing was judged." in said and said.count("not judged") == 6
    assert (
        "does not hold" not in said.replace("A promise that does not hold would be bad", "") and " holds " not in said
    )
    assert "records before" not in said and "left out" not in said.partition("Promised")[0]


def test_what_more_is_better_of_is_known_for_every_model() -> None:
    assert set(MODELS) >= page.AT_LEAST
    known = {"k-anonymity": True, "t-closeness": False, "average-risk": False, "l-diversity": True}
    assert {name: page.upwards({"model": name}) for name in known} == known


@pytest.mark.parametrize(("value", "bound"), [(None, 5), (math.nan, 5), (3, math.inf), (-1, 5), (True, 5)])
def test_a_gauge_is_drawn_of_numbers_only(value: object, bound: object) -> None:
    assert page.gauge({"model": "k-anonymity", "value": value, "bound": bound}) is None


def test_a_gauge_shows_both_ends_even_at_nought() -> None:
    assert page.gauge({"model": "t-closeness", "value": 0, "bound": 0}) is not None
    drawn = page.gauge({"model": "k-anonymity", "value": 7, "bound": 5})
    assert drawn is not None and 0 < drawn["bound"] < drawn["value"] < 100 and drawn["upwards"] is True


def test_what_was_not_measured_is_said_with_its_reason_and_leaves_no_empty_section(pages: dict[str, str]) -> None:
    read = Read(pages["empty"])
    ids = {attrs.get("id") for attrs in read.all("section")}
    assert ids == {"verdict", "missing", "sign-off", None}
    assert "Attacks that were tried : not measured: there are no records" in read.said
    assert not [attrs for attrs in read.all("div") if "data-chart" in attrs]
    assert len(pages["empty"]) < 60_000, "no chart, so nothing that draws one"


def test_every_section_begins_with_what_one_sees_and_what_would_be_bad(pages: dict[str, str]) -> None:
    titles = {section.title: section.lead for section in page.SECTIONS}
    assert all(re.search(r"bad|wrong|somebody has to answer", lead) for lead in titles.values())
    said = Read(pages["example"]).said
    assert all(title in said and lead in said for title, lead in titles.items())


def test_every_chart_has_words_and_its_numbers_in_a_table(pages: dict[str, str]) -> None:
    read = Read(pages["example"])
    drawn = [attrs for attrs in read.all("div") if "data-chart" in attrs]
    assert len(drawn) == len(page._drawn(example())) == 14
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)
    said = read.said
    for told in ("1,210", "14.28 %", "3.67 %", "0.444", "1,403", "2.06 %", "2,560"):
        assert told in said, f"{told} is drawn in a chart and stands in no table"


def test_headings_are_in_order_tables_have_captions_and_links_lead_somewhere(pages: dict[str, str]) -> None:
    for text in pages.values():
        read = Read(text)
        levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
        assert len(read.all("caption")) == len(read.all("table"))
        assert all(attrs.get("scope") in ("col", "row") for attrs in read.all("th"))
        ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
        assert len(ids) == len(set(ids)) and {str(a["href"])[1:] for a in read.all("a")} <= set(ids)
        assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in read.elements}


def test_a_hidden_count_is_written_as_fewer_than_and_never_drawn() -> None:
    told = example() | {"rounding": 20}
    read = Read(page.html(told))
    assert "fewer than 20" in read.said and "fewer than 5 " not in read.said.replace("counts fewer than 5 records", "")
    drawn = charts.distribution(told["columns"][0], 0)
    assert drawn is not None and '"before": null' in json.dumps(drawn.spec)


def test_a_number_that_is_none_is_never_drawn() -> None:
    told = example()
    told["classes"]["bins"][1]["records"] = told["columns"][0]["distribution"]["after"][3] = math.nan
    told["risk"]["after"]["prosecutor"]["average"] = told["attacks"][2]["share"] = math.inf
    told["search"]["nodes"][7]["loss"] = told["correlations"]["after"][0][1] = -math.inf
    for chart in page._drawn(told).values():
        json.dumps(chart.spec, allow_nan=False)


def test_a_large_lattice_is_drawn_by_what_was_counted_with_the_chosen_one() -> None:
    nodes = [
        {"levels": [i, j], "sum": i + j, "state": "implied" if j % 3 else "holds", "chosen": (i, j) == (20, 21)}
        for i in range(40) for j in range(40)
    ]  # fmt: skip
    shown = lattices.nodes_shown({"nodes": nodes})
    assert len(shown) == lattices.MOST_NODES and sum(node["chosen"] for node in shown) == 1
    assert {node["mark"] for node in shown} == {"holds", "lowest", "chosen"}


def test_the_frontier_is_what_holds_while_nothing_a_level_below_it_does() -> None:
    nodes = [
        {"levels": [i, j], "sum": i + j, "state": "holds" if i * j >= 4 else "fails", "chosen": (i, j) == (2, 2)}
        for i in range(5) for j in range(5)
    ]  # fmt: skip
    marks = {tuple(node["levels"]): node["mark"] for node in lattices.nodes_shown({"nodes": nodes})}
    assert {levels for levels, mark in marks.items() if mark == "lowest"} == {(1, 4), (4, 1)}
    assert marks[2, 2] == "chosen" and marks[2, 3] == "holds" and marks[1, 3] == "fails"


def test_a_large_flow_is_told_by_its_different_steps_and_a_small_one_is_drawn() -> None:
    small = example()["flow"] | {"svg": None}
    assert flows.picture(example()["flow"]) is None, "there is a picture already"
    drawn = flows.picture(small)
    assert drawn is not None and "university" in json.dumps(drawn.spec)
    risky = [{"from": "s0", "to": "s1", "label": "reads", "risk": i % 2 == 0} for i in range(1000)]
    large = small | {"states": small["states"] * 20, "transitions": [*small["transitions"], *risky]}
    assert flows.picture(large) is None
    assert flows.steps(large)[0] == flows.Step("reads", 1000, 500)
    assert "risk in 500" in Read(page.html(empty() | {"flow": large})).said


def test_numbers_are_written_so_that_no_small_one_looks_like_none() -> None:
    assert [share(x) for x in (0, 0.00001, 0.1234, 0.99999, 1, None, math.nan)] == [
        "0 %", "< 0.01 %", "12.34 %", "> 99.99 %", "100 %", "–", "–"]  # fmt: skip
    assert [number(x) for x in (None, math.inf, 0.21875, 1234567, "9/10", [1, 2.5], True)] == [
        "–", "–", "0.2188", "1,234,567", "9/10", "1, 2.5", "True"]  # fmt: skip
    assert [count(None, 5), count(0, 5), signed(0.5), signed(-2), signed(0)] == ["fewer than 5", "0", "+0.5", "−2", "0"]


def test_text_from_outside_is_legible_and_turns_nothing_around() -> None:
    assert legible("a\u202eb\nc\x1b") == "a\\u202eb\\nc\\x1b"
    assert legible("می\u200cخواهم") == "می\u200cخواهم", "an invisible joiner is how this word is spelt"
    assert len(shortened("x" * 300)) <= 40 and shortened("age") == "age"


BROWSER = Path("/usr/bin/chromium")
browser_only = pytest.mark.skipif(not BROWSER.exists(), reason="there is no /usr/bin/chromium here")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=str(BROWSER), args=FLAGS)
        yield made
        made.close()


class Opened:
    """A page in the browser, with whatever it complained of and asked for."""

    def __init__(
        self, browser: Any, file: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
            reduced_motion="reduce", java_script_enabled=scripts,
        )  # fmt: skip
        self.tab, self.complaints, self.asked = self.context.new_page(), [], []
        self.tab.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(file.as_uri())
        if scripts:
            self.tab.wait_for_selector("html[data-charts]", state="attached")
        else:
            self.tab.wait_for_load_state()

    def is_quiet(self, file: Path) -> bool:
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith("data:")] == [file.as_uri()]
        return True


@pytest.fixture(scope="module")
def files(pages: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    room = tmp_path_factory.mktemp("pages")
    for name, text in pages.items():
        (room / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: room / f"{name}.html" for name in pages}


@pytest.fixture(scope="module")
def desk(browser: Any, files: dict[str, Path]) -> Iterator[Opened]:
    opened = Opened(browser, files["example"])
    yield opened
    opened.context.close()


DRAWN = """[...document.querySelectorAll('[data-chart]')].map(
    (place) => [place.dataset.chart, place.querySelectorAll('svg path, svg rect, svg line').length])"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CONTRAST = (Path(__file__).parent / "data" / "contrast.js").read_text(encoding="utf-8")


@browser_only
@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [
        ("example", 1280, False),
        ("example", 390, True),
        ("hostile", 390, False),
        ("empty", 1280, True),
        ("failing", 390, True),
    ],
)
def test_a_page_draws_every_chart_and_is_quiet(
    browser: Any, files: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    opened = Opened(browser, files[name], width=width, dark=dark)
    try:
        assert opened.is_quiet(files[name])
        assert [chart for chart, marks in opened.tab.evaluate(DRAWN) if marks < 3] == []
        assert opened.tab.evaluate("document.querySelectorAll('.failed').length") == 0
        assert opened.tab.evaluate(WIDER) <= 0, "nothing is wider than the window"
        opened.tab.click("#unfold")
        assert opened.tab.evaluate(WIDER) <= 0, "not even what is folded"
    finally:
        opened.context.close()


@browser_only
@pytest.mark.parametrize("dark", [False, True])
def test_every_text_stands_out_from_what_is_behind_it(desk: Opened, dark: bool) -> None:
    desk.tab.emulate_media(color_scheme="dark" if dark else "light")
    desk.tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
    low = desk.tab.evaluate(CONTRAST)
    desk.tab.emulate_media(color_scheme="light")
    assert low == []


@browser_only
def test_every_button_does_what_it_says(desk: Opened) -> None:
    tab, root = desk.tab, "document.documentElement"
    colour = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(colour)
    tab.click("#theme")
    assert tab.evaluate(colour) != before and tab.get_attribute("#theme", "aria-pressed") == "true"
    tab.click("#theme")
    assert tab.evaluate(colour) == before and tab.evaluate(f"{root}.dataset.theme") == "light"
    tab.evaluate("document.querySelectorAll('main details').forEach((part) => { part.open = false })")
    tab.click("#unfold")
    assert tab.evaluate("document.querySelectorAll('main details:not([open])').length") == 0
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for button in tab.query_selector_all("[data-copy]"):
        button.click()
        wanted = tab.evaluate("(id) => document.getElementById(id).textContent", button.get_attribute("data-copy"))
        tab.wait_for_selector("#status:text-is('Copied to the clipboard')", state="attached")
        assert tab.evaluate("navigator.clipboard.readText()") == wanted
    tab.evaluate("window.print = () => { window.printed = true }")
    tab.click("#print")
    assert tab.evaluate("window.printed") is True
    tab.click("#unfold")
    assert tab.evaluate("document.querySelectorAll('main details[open]').length") == 0


@browser_only
def test_the_keyboard_reaches_everything_and_shows_where_it_is(desk: Opened) -> None:
    tab = desk.tab
    tab.evaluate("document.querySelectorAll('main details').forEach((part) => { part.open = true })")
    wanted = tab.evaluate(
        "[...document.querySelectorAll('a[href], button, summary, [tabindex=\"0\"]')].filter("
        "(one) => one.checkVisibility()).length"
    )
    tab.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    tab.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    seen = []
    for _ in range(wanted):
        tab.keyboard.press("Tab")
        seen.append(tab.evaluate(
            "(() => { const one = document.activeElement; const all = [...document.querySelectorAll('*')];"
            " return [all.indexOf(one), getComputedStyle(one).outlineStyle] })()"
        ))  # fmt: skip
    places = [place for place, _ in seen]
    assert places == sorted(set(places)), "in the order of the page, each once"
    assert {style for _, style in seen} == {"solid"}
    assert tab.evaluate("document.querySelector('.skip').hash") == "#main"


@browser_only
def test_on_paper_everything_is_open_and_light_and_no_button_is_left(desk: Opened) -> None:
    tab = desk.tab
    tab.evaluate("document.querySelectorAll('main details').forEach((part) => { part.open = false })")
    tab.emulate_media(media="print", color_scheme="dark")
    try:
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        folded = "[...document.querySelectorAll('main :is(table, pre)')].filter((one) => !one.getClientRects().length)"
        assert tab.evaluate(f"{folded}.length") == 0
        assert (
            tab.evaluate("[...document.querySelectorAll('button')].filter((one) => one.checkVisibility()).length") == 0
        )
        assert tab.pdf(prefer_css_page_size=True)[:5] == b"%PDF-"
    finally:
        tab.emulate_media(media="screen", color_scheme="light")


@browser_only
def test_without_scripts_the_tables_say_everything(browser: Any, files: dict[str, Path]) -> None:
    opened = Opened(browser, files["example"], width=390, scripts=False)
    try:
        assert "All 3 promises hold." in opened.tab.inner_text("#verdict")
        assert (
            opened.tab.is_visible(".unseen")
            and not opened.tab.is_visible(".chart")
            and not opened.tab.is_visible("button")
        )
        opened.tab.click("#classes summary")
        assert "2,560" in opened.tab.inner_text("#classes")
        assert opened.complaints == []
    finally:
        opened.context.close()


def test_a_page_of_very_many_measures_leaves_out_sql_and_says_so() -> None:
    told = example()
    long = told["models"][0] | {"sql": "SELECT 1 -- " + "x" * 20_000}
    text = page.html(told | {"models": [long] * 300})
    assert len(text.encode()) < 3_000_000
    assert text.count("too much SQL for one page") > 200 and text.count("x" * 20_000) > 20
    assert "too much SQL" not in page.html(told)


def test_what_has_expired_or_was_replaced_is_not_told_as_if_all_were_well() -> None:
    told = example()
    told["summary"] |= {"expired": True, "notes": ["the release has expired, on 2020-01-02"]}
    assert page.verdict(told).state == "fails"
    assert "The release has expired, on 2020-01-02." in Read(page.html(told)).said
