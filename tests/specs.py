"""Random specs of every kind that there is, for properties: drawn by what annotations say, and kept where they load."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from sqlanon.annotations import keys_of
from sqlanon.errors import SpecError
from sqlanon.models import MODELS
from sqlanon.policies import Policy, Predicted
from sqlanon.presets import PRESETS
from sqlanon.publication import Publish
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.spec import Recoding, Spec, load
from sqlanon.statements.values import is_mapping, scalars

# Names and texts that a careless parser would trip over.
NAMES = (
    "age", "zip", "disease", "Weight", "with", "null", "TRUE", "select", "WITH (k = 5)", 'a"b', "x'; DROP TABLE t; --",
    "a.b", "日本", "new\nline", " lead", "order", "k", "tree", "$1", "$$", "/* c", "a b", "date", "\u00a0", "CREATE",
)  # fmt: skip
TEXTS = (
    "flu",
    "Flu",
    "it's",
    'a "b"',
    "*",
    "-- no",
    "$a$",
    "x\ny",
    " ",
    "NULL",
    "5",
    "é",
    "a;b",
    "(",
    "\\",
    "1e5",
    "yes",
)
NUMBERS = (1, 2, 3, 5, 12, 100)
SHARES = (0, 0.02, 0.1, 0.25, 0.5, 0.9, 1, 1e-05, 0.30000000000000004)

names = st.sampled_from(NAMES)
texts = st.one_of(st.sampled_from(TEXTS), st.text("abcXY '\"$;()-/*\n\\é", min_size=1, max_size=8))
paths = st.sampled_from(("a.csv", "sub/it's.csv", "/tmp/x y.csv", "s3://b/c.csv"))
sources = st.one_of(
    names.map(lambda name: {"table": name}),
    st.sampled_from(({"file": "data/p.csv"}, {"file": "p.txt", "delimiter": ";"}, {"file": "q.csv", "delimiter": "'"})),
    st.sampled_from((
        "SELECT * FROM t", "SELECT age, zip AS disease\nFROM t -- with (",
        "WITH a AS (SELECT 1 AS age) SELECT * FROM a",
        "SELECT 'WITH (k = 5)' AS zip, age FROM \"with\" WHERE (a) IN (1)", "SELECT age, zip FROM t;",
        "not sql 'at all",
        "/* c */ SELECT DISTINCT disease, t.age FROM t UNION SELECT 1, 2", "TABLE t", "VALUES (1)", "SELECT 1 WITH (2)",
    )).map(lambda query: {"query": query}),
)  # fmt: skip


@st.composite
def _trees(draw: st.DrawFn, depth: int = 2) -> Any:
    if not depth or draw(st.booleans()):
        return draw(st.lists(texts, min_size=1, max_size=3, unique=True))
    return draw(st.dictionaries(texts, st.one_of(st.none(), _trees(depth - 1)), min_size=1, max_size=3))


hierarchies = st.one_of(
    st.sampled_from(([5], [5, 10, 20], [0.5, 1, 2], [0.1], [1000000])).map(lambda w: {"width": w}),
    st.integers(1, 9).map(lambda n: {"mask": n}),
    st.sampled_from((["month"], ["day", "month", "year"], ["decade", "century"])).map(lambda w: {"date": w}),
    paths.map(lambda path: {"csv": path}),
    st.dictionaries(texts, st.one_of(st.none(), _trees()), min_size=1, max_size=3).map(lambda tree: {"tree": tree}),
    st.lists(texts, min_size=2, max_size=5, unique=True).map(lambda values: {"order": values}),
    st.lists(texts, min_size=4, max_size=9, unique=True).map(lambda v: {"order": {"values": v, "groups": [2, 4]}}),
)


@st.composite
def _columns(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    roles = ["quasi-identifier", "sensitive", "identifier"]
    more = ("quasi-identifier", "quasi-identifier", "sensitive", "insensitive", "drop", "identifier")
    roles = draw(st.permutations(roles + draw(st.lists(st.sampled_from(more), max_size=4))))
    for name, role in zip(draw(st.permutations(NAMES)), roles, strict=False):
        column: dict[str, Any] = {"role": role}
        if role in ("quasi-identifier", "sensitive") and draw(st.booleans()):
            column["hierarchy"] = draw(hierarchies)
        if role == "quasi-identifier":
            column |= draw(st.fixed_dictionaries({}, optional={"min": st.just(1), "max": st.just(1)}))
            column |= draw(st.fixed_dictionaries({}, optional={"weight": st.sampled_from((2, 0.5))}))
            column |= draw(st.sampled_from(({}, {}, {"represent": "bounds"}, {"represent": "range"})))
        if draw(st.booleans()):
            column["type"] = draw(st.sampled_from(("integer", "text", "date")))
        found[name] = column if len(column) > 1 or draw(st.booleans()) else role
    return found


def value(hint: Any, key: str, columns: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that an annotation allows; a key that is about columns gets the name of one."""
    either = get_args(hint) if NoneType in get_args(hint) else (hint,)
    options = []
    for one in either:
        for alone in scalars(one) or (one,):
            options.append(_value(alone, key, columns))
    return st.one_of(options)


def _of_role(columns: dict[str, Any], *roles: str) -> list[str]:
    return [n for n, c in columns.items() if (c if isinstance(c, str) else c["role"]) in roles]


def _value(hint: Any, key: str, columns: dict[str, Any]) -> st.SearchStrategy[Any]:
    about = {"entity": "identifier", "guard": "insensitive", "key": "identifier"}
    if key in ("column", "deal", "entity", "guard", "threshold-column", "columns") and hint is str:
        return st.sampled_from(_of_role(columns, about.get(key, "sensitive")) or ["age"])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(value(get_args(hint)[0], key, columns), min_size=1, max_size=3)
    if is_mapping(hint):
        if key == "levels":
            return st.just(dict.fromkeys(_of_role(columns, "quasi-identifier"), 1))
        keys = st.sampled_from(_of_role(columns, "sensitive")) if key in ("predictions", "sensitivity") else texts
        return st.dictionaries(keys, value(get_args(hint)[1], "", columns), min_size=1, max_size=2)
    if hasattr(hint, "__dataclass_fields__"):
        return record(hint, columns)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: st.sampled_from(NUMBERS), float: st.sampled_from((*SHARES, *NUMBERS)), bool: st.booleans(),
        Decimal: st.sampled_from((*SHARES, *NUMBERS)), str: texts, NoneType: st.none(),
        date: st.just("2000-12-31"),
    }  # fmt: skip
    return plain[hint]


@st.composite
def record(draw: st.DrawFn, kind: Any, columns: dict[str, Any], less: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keys of a dataclass: all that are needed, and some of the others."""
    found = {}
    for key, (_, hint, _, default) in keys_of(kind).items():
        needed = repr(default).startswith("<dataclasses._MISSING") or key == "column"
        if key not in less and (needed or draw(st.integers(0, 3)) == 0):
            found[key] = draw(value(hint, key, columns))
    return found


@st.composite
def _one_of(draw: st.DrawFn, key: str, kinds: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(kinds)))
    return {key: name, **draw(record(kinds[name], columns))}


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, Any]:
    """A spec as its file has it, which need not load."""
    columns = draw(_columns())
    models = _one_of("model", MODELS, columns)
    presets = st.sampled_from(sorted(PRESETS)).map(lambda name: {"preset": name})
    found: dict[str, Any] = {
        "source": draw(sources), "columns": columns,
        "privacy": [{"model": "k-anonymity", "k": draw(st.sampled_from(NUMBERS))}, *draw(st.lists(models, max_size=3))],
        "entity": draw(value(str, "entity", columns)), "population": draw(sources),
        "recoding": draw(record(Recoding, columns)),
        "publish": {"name": draw(names), **draw(record(Publish, columns, ("name", "path", "owner", "expires")))},
        "transforms": draw(st.lists(_one_of("transform", TRANSFORMS, columns), min_size=1, max_size=2)),
        "policy": draw(record(Policy, columns)),
        "predictions": {n: draw(record(Predicted, columns)) for n in _of_role(columns, "sensitive")[:1]},
        "rules": ["IF 1 > 2 THEN block", "IF n('it''s') > 1 THEN block"][: draw(st.integers(1, 2))],
    }  # fmt: skip
    if draw(st.booleans()):
        found["privacy"].insert(draw(st.integers(0, len(found["privacy"]))), draw(presets))
    found["publish"] |= draw(st.sampled_from(({}, {"owner": "Own er"}, {"expires": "90d"}, {"expires": "1w"})))
    kept = draw(st.sets(st.sampled_from(sorted(set(found) - {"source", "columns", "privacy"})), max_size=5))
    return {key: one for key, one in found.items() if key in kept or key in ("source", "columns", "privacy")}


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """A random spec that loads: what does not fit together is left out, one thing after the other."""
    found = draw(mappings())
    while True:
        try:
            return load(found)
        except SpecError as error:
            found = _without(found, error)


def _without(found: dict[str, Any], error: SpecError) -> dict[str, Any]:
    """The same without what the error is about: a whole section, a model, or what is said of a column."""
    place = (error.where or "").partition("[")[0].partition(".")[0]
    if place == "privacy" and len(found["privacy"]) > 1:
        return {**found, "privacy": found["privacy"][:-1]}
    if place in found and place not in ("source", "columns", "privacy"):
        return {key: one for key, one in found.items() if key != place}
    if place == "columns" and any(isinstance(c, dict) and len(c) > 1 for c in found["columns"].values()):
        columns = {n: c if isinstance(c, str) else {"role": c["role"]} for n, c in found["columns"].items()}
        return {**found, "columns": columns}
    if place == "source":
        return {**found, "source": "t"}
    least = {"source": found["source"], "columns": {"age": "quasi-identifier", "s": "sensitive"}}
    return {**least, "privacy": [{"model": "k-anonymity", "k": 2}]}
