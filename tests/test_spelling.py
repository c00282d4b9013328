"""What both engines spell in words of their own comes to the same, and to what Python says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from random import Random

import pytest
from server import made

import sqlanon
from sqlanon import query, spelling
from sqlanon.engines import Engine
from sqlanon.patterns import PATTERNS
from sqlanon.safe_harbor import _LOOKS, _LOOKS_WHOLE, _within

EVERY = {**PATTERNS, **_LOOKS, **_LOOKS_WHOLE}
_PARTS = (
    "0", "1", "9", "12", "34", "2020", "-03", "-14", ".", "/", ":", "-", "+", "(", ")", "[", "]", "@", "x.org",
    "www.", "https://", "a", "B", "é", "ß", "😀", "T", "Z", "\\", "$", "*", "#", "?", "::", "'", "{}", "|", "^", "_",
    "%", "00:1B:44", "10.0.0.1", "078-05-1120", "4111", "1111", "DE89", "3704", "f81d4fae-7dec", "SW1A", "1AA",
    "94110", "Q1", "+49", "415", "555", "0132", "\n", "\t", "\u00a0", "\u2003", "٣", " ",
)  # fmt: skip
_SEEDS = (
    "mary@example.org", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "078-05-1120", "DE89 3704 0044 0532 0130 00",
    "10.0.0.1", "2001:db8::1", "4111 1111 1111 1111", "+49 30 1234567", "https://x.org/a", "2020-03-14 10:00\nx",
    "14.03.20", "2020-03-14", "2020/1/2 T", "SW1A 1AA", "00:1B:44:11:3A:B7", "1HGCM82633A004352", "20200314",
    "2020-Q1", "1.03.2020 T\n",
)  # fmt: skip


def words(many: int) -> list[str]:
    """Texts of pieces that patterns are made of, and texts that are nearly of one; the same whenever it is called."""
    random, found = Random(7), set(_SEEDS)
    while len(found) < many:
        text = random.choice(_SEEDS) if random.random() < 0.5 else ""
        for _ in range(random.randint(1, 4)):
            at = random.randint(0, len(text))
            cut = random.choice([0, 0, 1])
            text = text[:at] + random.choice(_PARTS) + text[at + cut :]
        found.add(text)
    return sorted(found)


@pytest.fixture(scope="module")
def both(database: str) -> Iterator[tuple[Engine, Engine]]:
    """DuckDB and Postgres, each with the texts."""
    with sqlanon.connect() as there, sqlanon.connect(database, superuser=True) as here:
        for engine in (there, here):
            for start in range(0, 1500, 500):
                made(engine, f"words {start}", {"w": "VARCHAR"}, [{"w": w} for w in words(1500)[start : start + 500]])
        yield there, here


def told(engine: Engine, x: str) -> list[object]:
    """An expression over every text, in the order of the texts."""
    every = " UNION ALL ".join(f'SELECT w FROM "words {start}"' for start in range(0, 1500, 500))
    if engine.name == "postgres":
        every = every.replace('FROM "', 'FROM pg_temp."')
    return [value for _, value in engine.run("ask", f'SELECT w, {x} FROM ({every}) AS t ORDER BY w COLLATE "C"')]


@pytest.mark.parametrize("name", EVERY)
def test_a_pattern_finds_the_same_texts_everywhere(both: tuple[Engine, Engine], name: str) -> None:
    pattern = EVERY[name]
    texts, whole, within = sorted(words(1500)), re.compile(pattern, re.ASCII), re.compile(_within(pattern), re.ASCII)
    there, here = (told(e, spelling.of(e).is_all("w", pattern)) for e in both)
    assert here == there == [whole.fullmatch(text) is not None for text in texts]
    assert any(there), "some text is of this pattern"
    there, here = (told(e, spelling.of(e).holds("w", _within(pattern))) for e in both)
    assert here == there == [within.search(text) is not None for text in texts]


@pytest.mark.parametrize(("before", "pattern", "after"), [
    ("^", "[0-9]+", ""), ("", "[0-9]+(?:[.][0-9]+)?", ""), ("^|[^0-9]", "[0-9]{4}", "[^0-9]|$"),
])  # fmt: skip
def test_parts_of_texts_and_their_numbers_are_the_same_everywhere(
    both: tuple[Engine, Engine], before: str, pattern: str, after: str
) -> None:
    texts = [re.search(f"(?:{before})({pattern})(?:{after})", text) for text in sorted(words(1500))]
    there, here = (told(e, spelling.of(e).part("w", before, pattern, after)) for e in both)
    assert here == there == [found[1] if found else "" for found in texts]
    numbers = [told(e, spelling.of(e).number(spelling.of(e).part("w", before, pattern, after))) for e in both]
    assert numbers[0] == numbers[1] == [float(found[1]) if found else None for found in texts]


def test_texts_are_trimmed_and_shortened_alike(both: tuple[Engine, Engine]) -> None:
    there, here = (told(e, spelling.of(e).trimmed("w")) for e in both)
    assert there == here
    assert there != sorted(words(1500))
    there, here = (told(e, spelling.of(e).without("w", "^[0-9]+")) for e in both)
    assert there == here


@pytest.mark.parametrize("digits", ["9" * 308, "9" * 309, "9" * 400, "0" * 400 + "5", "1." + "3" * 400, ""])
def test_numbers_that_are_too_long_are_the_same_everywhere(both: tuple[Engine, Engine], digits: str) -> None:
    item = f"(SELECT CAST({query.constant(digits)} AS VARCHAR) AS w OFFSET 0) AS t"
    values = [engine.run("ask", f"SELECT {spelling.of(engine).number('w')} FROM {item}")[0][0] for engine in both]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    "value", ["1", "0", "-0.0", "1.5", "1e14", "1e15", "1e16", "nan", "inf", "-inf", "-12", "123456789012", "0.1"]
)
def test_numbers_have_the_same_texts_everywhere(both: tuple[Engine, Engine], value: str) -> None:
    number = query.fragment("cast($v as double)", v=value)
    texts = [engine.run("ask", f"SELECT {spelling.of(engine).text(number, 'float')}")[0][0] for engine in both]
    assert texts[0] == texts[1] == repr(float(value))


@pytest.mark.parametrize(("value", "is_finite"), [
    ("1e308", True), ("-1.7976931348623157e308", True), ("inf", False), ("-inf", False), ("nan", False),
])  # fmt: skip
def test_what_is_finite_is_the_same_everywhere(both: tuple[Engine, Engine], value: str, is_finite: bool) -> None:
    assert math.isfinite(float(value)) is is_finite
    for engine in both:
        number = f"CAST('{value}' AS DOUBLE PRECISION)"
        asked = f"SELECT {spelling.finite(number)}"
        assert engine.run("ask", asked) == [(is_finite,)]
