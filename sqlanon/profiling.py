"""What a source looks like, in numbers, and the spec that these numbers propose: the work of `sqlanon init`.

Counted in the engine: values, distinct values, lengths, entropies, orders of magnitude, the shares of values that look
like an e-mail address and so on, and how many records a pair of columns singles out. No cell reaches Python, and none
stands in the proposal. It is a start for a person: what no name or content explains is taken to be known to others,
nothing is taken to be harmless, and every line says why it is as it is.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from itertools import combinations
from typing import Any, cast

import yaml

from sqlanon import query, spelling
from sqlanon.engines import Column, Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.patterns import DIRECT, PATTERNS, kind_of
from sqlanon.spec import FILE_ENDINGS
from sqlanon.spelling import Spelling
from sqlanon.telling import Tell, silent

EXACT_ROWS = 5_000_000  # beyond, distinct values and quantiles are estimates; shares and entropies those of a sample
MOST_CANDIDATES, KEPT_CANDIDATES = 15, 8  # with more quasi-identifiers no table is both safe and precise
K, SUPPRESSION = 5, 0.02
BINS = 13  # of the middle nine tenths of all numbers, in the finest level: ages come in bins of five years

_QUASI = ("age", "birth", "a postal code", "sex", "marital status", "race or ethnicity", "a country", "a place",
          "education", "an occupation")  # fmt: skip


@dataclass(frozen=True)
class ColumnProfile:
    """One column in numbers; of family `other`, only `nulls`.

    `type` is the engine's word without members, which may be values. `patterns`: the share of the values present that
    look like each. `spread`, `span`: a bin of the middle nine tenths and of all, `size`: the largest, as thirds of a
    power of ten (1 is 0, 2 is 1, 5 is 2, 10 is 3). `entropy` in nats. `as_text`: no number, though it looks like one.
    """

    name: str
    type: str
    family: str
    rows: int
    nulls: int
    distinct: int = 0
    length: int = 0
    entropy: float = 0.0
    patterns: Mapping[str, float] = field(default_factory=dict)
    spread: int | None = None
    span: int | None = None
    size: int | None = None
    as_text: bool = False

    @property
    def uniqueness(self) -> float:
        """Distinct values per value present: 1 where no value occurs twice."""
        return min(1.0, self.distinct / max(self.rows - self.nulls, 1))

    @property
    def unique(self) -> bool:
        return self.uniqueness >= (1 if self.rows <= EXACT_ROWS else 0.95)

    @property
    def many(self) -> bool:
        """Whether the values are too many to be categories."""
        return self.distinct > 50 and (self.uniqueness > 0.1 or self.distinct > 1000)

    @property
    def kind(self) -> str | None:
        return kind_of(self.name)


@dataclass(frozen=True)
class Profile:
    """A source in numbers. `pairs`: the share of records that are unique on two of the proposed quasi-identifiers (the
    eight that distinguish most). `persistent`: whether what is published in its engine stays.
    """

    origin: Origin
    rows: int
    columns: tuple[ColumnProfile, ...]
    pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    persistent: bool = False

    def to_dict(self) -> dict[str, Any]:
        columns = [{**asdict(c), "uniqueness": c.uniqueness, "name_says": c.kind} for c in self.columns]
        pairs = [{"columns": list(names), "unique": unique} for names, unique in self.pairs.items()]
        return {"source": str(self.origin), "rows": self.rows, "columns": columns, "pairs": pairs}


@dataclass(frozen=True)
class Advice:
    """What is proposed for a column, and why; `settings` are further keys of its line."""

    role: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def profile(engine: Engine, origin: Origin, *, tell: Tell = silent) -> Profile:
    """The numbers of a source, in three passes: all columns, how often their values occur, pairs of columns.

    Raises `SpecError` where the source is not there or has no rows, `EngineError` where the engine fails.
    """
    tell("reading the columns", None)
    origin, there = _read(engine, origin)
    item = f"{engine.origin(origin)} AS s"
    ((rows,),) = engine.run("count the records", f"SELECT count(*) FROM {item}")
    if rows == 0:
        raise SpecError("the source has no rows; nothing can be proposed", where="source")
    tell(f"counting {rows:,} records in {len(there)} columns", 0.1)
    facts = _facts(engine, item, there, rows)
    tell("counting how often values occur", 0.3)
    words = spelling.of(engine)
    if rows > EXACT_ROWS:
        item = words.sample(item, EXACT_ROWS / rows)
    scalar = [c for c in there if c.family != "other"]
    for start in range(0, len(scalar), words.columns_at_once):
        for name, (groups, occurrences) in _occurrences(
            engine, item, scalar[start : start + words.columns_at_once]
        ).items():
            seen = {"distinct": groups - (facts[name]["nulls"] > 0)}
            few = groups <= EXACT_ROWS // 10  # then the sample has them all
            facts[name] = {**seen, **facts[name], **(seen if few else {}), **occurrences}
    text = origin.text_columns if origin.file else ()
    columns = tuple(
        ColumnProfile(c.name, _head(c.type), c.family, rows, as_text=c.name in text, **facts[c.name]) for c in there
    )
    found = Profile(origin, rows, columns, persistent=engine.persistent)
    tell("counting whom pairs of columns single out", 0.7)
    advice = advise(found)
    quasi = [c for c in found.columns if advice[c.name].role == "quasi-identifier" and c.family != "other"]
    most = sorted(quasi, key=lambda c: -c.entropy)[:KEPT_CANDIDATES]
    return replace(found, pairs=_pairs(engine, item, [c.name for c in quasi if c in most]))


def _read(engine: Engine, origin: Origin) -> tuple[Origin, tuple[Column, ...]]:
    """The columns; postal codes that a file's reader took for numbers, and whose zeros it lost, are read as text."""
    there = engine.columns(origin)
    codes = {c.name for c in there if c.family == "integer" and kind_of(c.name) == "a postal code"}
    if origin.file is None or not codes:
        return origin, there
    read = replace(origin, text_columns=(*origin.text_columns, *sorted(codes)))
    again = engine.columns(read)
    return (read, again) if any(c.name in codes and c.family == "text" for c in again) else (origin, there)


def _head(kind: str) -> str:
    """The first words of a type: members of an ENUM are cell values, names of fields may be anything."""
    word = re.match(r"[A-Z_]+(\(\d+(, ?\d+)?\))?( [A-Z_]+)*", kind, re.IGNORECASE)
    return (word[0] if word else "other") + ("[]" if kind.endswith("]") else "")


def _at(engine: Engine, name: str) -> str:
    return engine.rendered(query.column(name, "s"))


def _facts(engine: Engine, item: str, there: Sequence[Column], rows: int) -> dict[str, dict[str, Any]]:
    """Missing values and magnitudes of all columns; in a large table, estimates of their distinct values too."""
    words = spelling.of(engine)
    asked = {c.name: _questions(words, _at(engine, c.name), c.family, rows <= EXACT_ROWS) for c in there}
    sql = ", ".join(question for questions in asked.values() for question in questions.values())
    (row,) = engine.run("profile the columns", f"SELECT {sql} FROM {item}")
    answers = iter(row)
    return {name: {key: next(answers) for key in questions} for name, questions in asked.items()}


def _questions(words: Spelling, x: str, family: str, exact: bool) -> dict[str, str]:
    asked = {"nulls": f"count(*) - count({x})"}
    if family != "other" and not exact:
        asked["distinct"] = words.distinct(x)
    if family in ("integer", "decimal", "float"):
        number = f"({words.double(x, family)})"
        part, only = f"{number} / {BINS}", f"FILTER (WHERE {spelling.finite(number)})"
        high, low = (words.quantile(part, at, only, exact=exact) for at in (0.95, 0.05))
        span, size = f"max({part}) {only} - min({part}) {only}", f"max(abs({number})) {only}"
        for key, number in (("spread", f"{high} - {low}"), ("span", span), ("size", size)):
            above = f"CASE WHEN {number} > 0 THEN {number} END"
            asked[key] = words.whole(f"round(3 * log10({above}))")
    return asked


def _occurrences(engine: Engine, item: str, columns: Sequence[Column]) -> dict[str, tuple[int, dict[str, Any]]]:
    """Per column the number of groups (a missing value is one), and what distinct values and their frequencies tell."""
    words = spelling.of(engine)
    # A row of a grouping set holds one column's value and no other's, so that one expression reads them all.
    word, digits = (
        ", ".join(words.text(query.column(c.name, "s"), family) for c in columns if c.family == family)
        or "NULL::VARCHAR"
        for family in ("text", "integer")
    )
    read = f"{words.trimmed(f'coalesce({word})')} AS word, coalesce({digits}) AS digits"
    counted, codes = _grouped(engine, item, [(c.name,) for c in columns], read)
    any_of = "|".join(f"({pattern})" for pattern in PATTERNS.values())
    each = " ".join(f"WHEN {words.is_all('word', p)} THEN {i}" for i, p in enumerate(PATTERNS.values()))
    present = "sum(x) FILTER (WHERE word IS NOT NULL)"
    shares = ", ".join(f"sum(x) FILTER (WHERE looks = {i}) / {present}" for i in range(len(PATTERNS)))
    entropy = "ln(sum(x)) - sum(x * ln(x)) / sum(x)"
    sql = (
        f"SELECT which, count(*), max(length(coalesce(word, digits))), {entropy}, {shares}"
        f" FROM (SELECT *, CAST(n AS DOUBLE PRECISION) AS x,"
        f" CASE WHEN NOT {words.is_all('word', any_of)} THEN NULL {each} END AS looks"
        f" FROM ({counted}) AS c) AS l GROUP BY which"
    )
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    for code, groups, length, nats, *looks in engine.run("count the values of the columns", sql):
        patterns = {name: share for name, share in zip(PATTERNS, looks, strict=True) if share}
        facts = {"length": length or 0, "entropy": round(max(0.0, nats), 9), "patterns": patterns}
        found[codes[code][0]] = groups, facts
    return found


def _grouped(
    engine: Engine, item: str, sets: Sequence[tuple[str, ...]], read: str
) -> tuple[str, dict[int, tuple[str, ...]]]:
    """A query of the combinations of each set with their numbers of records `n`; the set that each `which` means."""
    names = list(dict.fromkeys(name for columns in sets for name in columns))
    grouped = ", ".join(f"({', '.join(_at(engine, name) for name in columns)})" for columns in sets)
    which = f"grouping({', '.join(_at(engine, name) for name in names)})"
    # `grouping` has a bit per column, the first one highest, set where the column is not in the set.
    codes = {sum((name not in columns) << at for at, name in enumerate(reversed(names))): columns for columns in sets}
    return f"SELECT {which} AS which, count(*) AS n, {read} FROM {item} GROUP BY GROUPING SETS ({grouped})", codes


def _pairs(engine: Engine, item: str, names: Sequence[str]) -> dict[tuple[str, str], float]:
    if len(names) < 2:
        return {}
    counted, codes = _grouped(engine, item, list(combinations(names, 2)), "NULL AS nothing")
    single, every = (f"CAST({n} AS DOUBLE PRECISION)" for n in ("count(*) FILTER (WHERE n = 1)", "sum(n)"))
    sql = f"SELECT which, {single} / {every} FROM ({counted}) AS c GROUP BY which"
    unique = {codes[code]: share for code, share in engine.run("count pairs of values", sql)}
    return {pair: unique.get(pair, 0.0) for pair in combinations(names, 2)}


def advise(found: Profile) -> dict[str, Advice]:
    """What is proposed for every column: at least one quasi-identifier, and no more than `MOST_CANDIDATES`."""
    advice = {c.name: _judged(c) for c in found.columns}
    quasi = [c for c in found.columns if advice[c.name].role == "quasi-identifier"]
    quasi.sort(key=lambda c: -c.entropy)
    plain = [c for c in quasi if c.family in ("text", "boolean") and not (c.kind or c.patterns)]
    if plain and plain[0].entropy and len(quasi) > 1 and all(a.role != "sensitive" for a in advice.values()):
        bits = plain[0].entropy / math.log(2)
        why = f"a guess: no name tells a secret, and of the unknown categories this has most entropy, {bits:.1f} bits"
        advice[plain[0].name] = Advice("sensitive", why)
        quasi.remove(plain[0])
    if len(quasi) > MOST_CANDIDATES:
        why = (
            f"others may know {len(quasi)} columns, too many to protect; the {KEPT_CANDIDATES} that tell most are kept"
        )
        advice |= {c.name: Advice("drop", why) for c in quasi[KEPT_CANDIDATES:]}
    if not quasi:  # a release needs one
        last = ("drop", "identifier", "sensitive")
        least = min(found.columns, key=lambda c: (c.family == "other", last.index(advice[c.name].role), c.distinct))
        why = "nothing else is left: always *, for a release that only counts"
        advice[least.name] = Advice("quasi-identifier", why, {"min": 1})
    return advice


def _judged(c: ColumnProfile) -> Advice:
    """What the type, content and name of one column propose."""
    if c.family == "other":
        return Advice("drop", f"no hierarchy makes values of type {c.type} safe")
    if c.rows == c.nulls:
        return Advice("drop", "it has no values")
    return _named(c) or _known(c)


def _named(c: ColumnProfile) -> Advice | None:
    """What names a person, may hold names, or is a secret; None for other columns."""
    text, number = c.family == "text", c.family in ("text", "integer", "decimal")
    direct = {pattern: share for pattern, share in c.patterns.items() if pattern in (*DIRECT, "URLs")}
    if sum(direct.values()) >= 0.05:
        looks = max(direct, key=lambda pattern: direct[pattern])
        role = "identifier" if looks in DIRECT and direct[looks] >= 0.8 else "drop"
        return Advice(role, f"{direct[looks]:.0%} of the values look like {looks}")
    if number and c.kind in ("an official number", "a contact or account", "a person's id"):
        return Advice("identifier", f"{c.kind}, by its name")
    numbered = number and c.kind == "an id" and (c.many or c.uniqueness > 0.05)
    if numbered or (text and c.kind in ("a person's name", "an address")):
        return Advice("identifier", f"{c.kind}, by its name; {_distinct(c)}")
    if text and c.kind == "free text":
        return Advice("drop", "free text, by its name, which may name persons; no hierarchy makes it safe")
    if c.unique and c.distinct >= 20 and c.family in ("text", "integer") and c.kind not in (*_QUASI, "secret"):
        return Advice("identifier", f"no value occurs twice: each of {c.distinct:,} points at one record")
    if c.kind != "secret" or c.family in ("date", "timestamp"):
        return None
    if text and c.many and c.uniqueness > 0.5:
        return Advice("drop", f"a secret, by its name, but {_distinct(c)}: as free text it may name persons")
    return Advice("sensitive", f"a secret, by its name; {_distinct(c)}")


def _known(c: ColumnProfile) -> Advice:
    """A quasi-identifier with the hierarchy that its type and content allow, or drop where none would help."""
    why = f"{f'{c.kind}, which others know' if c.kind in _QUASI else 'others may know it'}; {_distinct(c)}"
    hierarchy: dict[str, Any] = {}
    postal, dated = (c.patterns.get(pattern, 0) >= 0.8 for pattern in ("postal codes", "dates"))
    if c.family in ("date", "timestamp"):
        hierarchy = {"date": ["month", "quarter", "year", "decade"]}
    elif c.family in ("text", "integer") and (postal or dated or c.kind == "a postal code"):
        looks = "".join(f", {share:.0%} look like {pattern}" for pattern, share in c.patterns.items() if share >= 0.8)
        why, hierarchy = why + looks, {"mask": min(max(c.length, 1), 30 if dated else 10)}
    elif c.family == "text" and c.many and (c.kind not in _QUASI or c.uniqueness > 0.5):
        return Advice("drop", f"{_distinct(c)}: free text, or codes for which no hierarchy is known")
    elif widths := _widths(c):
        hierarchy = {"width": widths}
    read = {"type": "text"} if c.as_text else {}
    why = why if hierarchy else f"{why}, published or *"
    return Advice("quasi-identifier", why, {**({"hierarchy": hierarchy} if hierarchy else {}), **read})


def _distinct(c: ColumnProfile) -> str:
    return f"{c.distinct:,} value{'s' * (c.distinct != 1)}"


def _widths(c: ColumnProfile) -> list[int | float]:
    """Up to four nested widths, beginning with about `BINS` where most values lie; none where none helps."""
    first = c.span if c.spread is None else c.spread
    if first is None or c.span is None or c.size is None:
        return []
    if c.family == "integer" and (c.span < 0 or c.kind == "an id"):  # grades, or codes whose order means nothing
        return []
    if not -18 <= first <= 36 or c.size // 3 + max(0, -(first // 3)) > 18:  # beyond what bins have exact bounds for
        return []
    first = max(first, 1) if c.family == "integer" else first
    narrow = Decimal((1, 2, 5)[first % 3]).scaleb(first // 3)
    factors = (1, 2, 10, 100) if c.span - first >= 3 else (1, 2, 4, 8)
    widths = [narrow * factor for factor in factors if factor == 1 or narrow * factor < BINS * 10 ** (c.span / 3)]
    return [int(w) if w == w.to_integral_value() else float(w) for w in widths]


def propose(found: Profile, *, source_text: str, name: str) -> str:
    """The text of a spec that runs. `source_text`: the source as the spec's file sees it; `name`: its short name.

    Raises `SpecError` for a file that the spec could not read without a delimiter.
    """
    advice = advise(found)
    entity = _entity(found, advice)
    sample = "" if found.rows <= EXACT_ROWS else f", in part estimated from a sample of {EXACT_ROWS:,}"
    persons = f"{entity.distinct:,} persons in {found.rows:,} records; k counts persons" if entity else ""
    columns, models = [], [(f"  - {_flow(m)}" if m else "", why) for m, why in _privacy(found, advice, entity)]
    for column, a in advice.items():
        unique = max((share for pair, share in found.pairs.items() if column in pair), default=0)
        why = f"{a.why}; a pair with it singles out {unique:.1%} of the records" if unique >= 0.001 else a.why
        entry = _entry(column, {"role": a.role, **a.settings} if a.settings else a.role)
        columns.append((textwrap.indent(entry, "  "), why))
    release = re.sub(r"\W+", "_", name).strip("_") or "source"
    return "\n".join([
        f"# Proposed from the numbers of {found.rows:,} records{sample}. A start, not a judgement: read every line.",
        "# Nothing is taken to be harmless; what no outsider can know and is no secret may become `insensitive`.", "",
        _entry("source", _source(found.origin, source_text)),
        *([f"{_entry('entity', entity.name)}  # {persons}"] if entity else []), "",
        "columns:", *_commented(columns), "",
        "privacy:", *_commented(models), "",
        f"# Classes of records that lie near each other; up to {SUPPRESSION:.0%} of the records may be left out.",
        "# method: full-domain gives one level per column; sqlanon plan --compare sets the ways side by side.",
        _entry("recoding", {"suppression": SUPPRESSION}), "",
        _entry("publish", {"name": f"{release}_release", "as": "table" if found.persistent else "file"}), "",
    ])  # fmt: skip


def _entity(found: Profile, advice: Mapping[str, Advice]) -> ColumnProfile | None:
    """The identifier of a person that some records share and none lacks."""
    likely = {"a person's id": 0, "an official number": 1, "an id": 2}
    there = [c for c in found.columns if advice[c.name].role == "identifier" and not c.nulls and not c.unique]
    there = [c for c in there if c.kind in likely and (c.kind != "an id" or c.name.lower() in ("id", "pid"))]
    return min(there, key=lambda c: likely[str(c.kind)], default=None)


def _privacy(
    found: Profile, advice: Mapping[str, Advice], entity: ColumnProfile | None
) -> list[tuple[dict[str, Any], str]]:
    """The models and why: none asks for more than the whole table has, so that some transformation will do."""
    most, who = (entity.distinct, "persons") if entity else (found.rows, "records")
    k = min(K, most)
    why = f"everybody looks like at least {K - 1} other {who}" if k == K else f"there are no more than {most} {who}"
    models: list[tuple[dict[str, Any], str]] = [({"model": "k-anonymity", "k": k}, why)]
    for c in found.columns:
        if advice[c.name].role == "sensitive":
            # Half of what the table has above 1: the nearer to all of it, the less but the class of everybody will do.
            table = math.exp(c.entropy)
            share = math.floor(min(2.0, (1 + table) / 2) * 10 + 1e-9) / 10
            model = {"model": "l-diversity", "column": c.name, "kind": "entropy", "l": 2 if share == 2 else share}
            why = f"as uncertain as {share:g} equally frequent values; the whole table is as {table:,.1f}"
            same = "no model for one sensitive column: nearly all of its values are the same"
            models.append((model, why) if share > 1 else ({}, same))
    return models


def _source(origin: Origin, text: str) -> Any:
    """The source as a spec says it: text, where text alone says enough."""
    ending = text.lower().endswith(FILE_ENDINGS)
    if origin.query is not None:
        return {"query": origin.query}
    if origin.file is None:
        return {"table": text} if ending or "/" in text else text
    if origin.delimiter is not None:
        return {"file": text, "delimiter": origin.delimiter}
    if not ending:
        found = origin.file.suffix
        raise SpecError("a file with this ending needs a delimiter", where="source", found=found, allowed=FILE_ENDINGS)
    return text


class _Writer(yaml.SafeDumper):
    """Safe YAML in which all but plain words is in quotes, whatever a reader would make of it without."""

    def text(self, text: str) -> yaml.ScalarNode:
        plain = re.fullmatch(r"[./]{0,3}[A-Za-z_][A-Za-z0-9_]*([-./]+[A-Za-z0-9_]+)*", text)
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Writer.add_representer(str, _Writer.text)
_LONG: Any = {"width": math.inf, "allow_unicode": True}


def _flow(value: Any) -> str:
    """A value on one line."""
    return cast(str, yaml.dump(value, Dumper=_Writer, default_flow_style=True, sort_keys=False, **_LONG)).strip()


def _entry(key: str, value: Any) -> str:
    """`key: value`; in the form `? key`, on two lines, where the key is long or has line breaks."""
    node = cast(yaml.MappingNode, yaml.compose(_flow({key: value})))
    node.flow_style = False
    return cast(str, yaml.serialize(node, **_LONG)).rstrip("\n")


def _commented(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Lines with their reasons beside them, aligned as far as they are short."""
    width = max((len(text) for text, _ in lines if len(text) <= 80), default=0)
    return [f"{text.ljust(width) if text else ''}  # {why}" for text, why in lines]
