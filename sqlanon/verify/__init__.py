"""The verifier: measures a published relation on its own rows, from the definitions, sharing no code with the planner.

It reads back one number per class and sensitive value (never a row), and computes every model over these histograms
with numpy: dense where the planner is sparse, cumulative where it is closed. A release is judged by these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sqlanon import query
from sqlanon.engines import Engine, Origin
from sqlanon.errors import ReleaseError
from sqlanon.models import Model, Verdict, column_of, estimated_verdict, guard_of, verdict
from sqlanon.verify.evidence import Evidence, Guards, Histogram, Ints, Places, Published, Sets
from sqlanon.verify.judges import DETAILS, JUDGES, PLACED, WHOLE, WHOLE_ROWS

__all__ = ["COUNTED", "Measured", "Published", "counted", "verify"]

COUNTED = "sqlanon published rows"


@dataclass(frozen=True)
class Measured:
    """What was read back: records, classes, the classes' sizes in records and in persons, and the verdicts."""

    rows: int
    classes: int
    sizes: Ints
    verdicts: tuple[Verdict, ...]

    @property
    def holds(self) -> bool:
        return all(v.holds for v in self.verdicts)


def counted(engine: Engine, published: Published, columns: Sequence[str], number: str) -> Published:
    """The same published rows from a working table that holds equal ones once, with their number, in one pass.

    For where most are known to be equal, and no entity is beside them.
    """
    listed = _list(engine, columns)
    once = f"SELECT {listed}, count(*) AS {engine.rendered(query.identifier(number))} FROM {published.item} AS p"
    engine.temporary("count the published rows", COUNTED, query.Text(f"{once} GROUP BY {listed}"))
    return replace(published, item=engine.rendered(query.table(COUNTED)), number=number)


def verify(engine: Engine, published: Published, models: Sequence[Model]) -> Measured:
    """Every model's verdict on a published relation. Raises `EngineError`; nothing holds on an empty relation."""
    people = _people(engine, published) if published.population else None
    histograms = {
        name: _histogram(engine, published, name)
        for name in dict.fromkeys(column_of(m) for m in models if m.requires != "set" and type(m) not in PLACED)
        if name
    }
    counted = next(iter(histograms.values()), None)
    records, persons = _sizes(engine, published) if published.entity or counted is None else (counted.sizes,) * 2
    verdicts = []
    for model in models:
        name, guard = column_of(model) or "", guard_of(model)
        evidence = Evidence(
            records, persons, histograms.get(name), published, name, people,
            _guards(engine, published, guard) if guard and type(model) not in PLACED else None,
            _sets(engine, published, name) if model.requires == "set" else (),
            _places(engine, published, name, guard) if type(model) in PLACED else None,
        )  # fmt: skip
        verdicts.append(_verdict(model, evidence))
    return Measured(int(records.sum()), len(records), records, tuple(verdicts))


def _verdict(model: Model, evidence: Evidence) -> Verdict:
    sizes, total = evidence.records, int(evidence.records.sum())
    if model.estimated:
        found, counts = np.unique(evidence.persons, return_counts=True)
        return estimated_verdict(model, dict(zip(found.tolist(), counts.tolist(), strict=True)), total)
    values, holds = JUDGES[type(model)](model, evidence)
    details = DETAILS[type(model)](model, evidence) if type(model) in DETAILS and len(sizes) else {}
    if len(values) == 0:
        return verdict(model, None, 0, 0, empty=len(sizes) == 0)
    worst = float((np.min if model.worst == "min" else np.max)(values)) if np.isfinite(values).all() else None
    if len(holds) == len(sizes) and model.scope == "class":
        broken, whole = ~holds, WHOLE.get(type(model), _always)(model, evidence)
        rows = max(int(sizes[broken].sum()), WHOLE_ROWS[type(model)](model, evidence) if type(model) in PLACED else 0)
        return verdict(model, worst, max(int(broken.sum()), 0 if whole else 1), rows, details=details)
    failed = not holds.all()
    return verdict(model, worst, len(sizes) * failed, total * failed, details=details)


def _always(_: Model, __: Evidence) -> bool:
    return True


# -- reading back ------------------------------------------------------------------------------------------------------


def _list(engine: Engine, names: Sequence[str]) -> str:
    """Columns of the relation `p`, always by that name: a column may be called like anything here."""
    return ", ".join(engine.rendered(query.column(name, "p")) for name in names)


def _records(engine: Engine, published: Published) -> str:
    """The number of records in a group of rows."""
    return f"sum({_list(engine, [published.number])})::BIGINT" if published.number else "count(*)::BIGINT"


def _sizes(engine: Engine, published: Published) -> tuple[Ints, Ints]:
    """Records and persons per class, in the order of the classes' numbers in the histograms."""
    keys, persons = _list(engine, published.keys), _records(engine, published)
    if published.entity:
        # Records whose entity is missing may all be about one person, so together they count as one.
        who = _list(engine, [published.entity])
        persons = f"count(DISTINCT {who}) + (count(*) > count({who}))::INTEGER"
    sql = (
        f"SELECT {_records(engine, published)} AS records, ({persons})::BIGINT AS persons FROM {published.item} AS p"
        f" GROUP BY {keys} ORDER BY {keys}"
    )
    found = engine.arrays("read back the classes", sql)
    return found["records"].astype(np.int64), found["persons"].astype(np.int64)


def _histogram(engine: Engine, published: Published, name: str) -> Histogram:
    """The counts of one sensitive column. Values that the reference lacks get table count 0."""
    value, keys = _list(engine, [name]), [_list(engine, [key]) for key in published.keys]
    step = f"read back the values of {name}"
    # Counted first and numbered after: together they would sort every record.
    numbered = (
        f"WITH cells AS MATERIALIZED (SELECT {', '.join(f'{key} AS k{i}' for i, key in enumerate(keys))}, {value} AS v,"
        f" {_records(engine, published)} AS n FROM {published.item} AS p GROUP BY {', '.join(keys)}, {value})"
        f" SELECT dense_rank() OVER (ORDER BY {', '.join(f'k{i}' for i in range(len(keys)))}) - 1 AS class,"
        " dense_rank() OVER (ORDER BY v NULLS FIRST) - 1 AS number, n AS counted FROM cells"
    )
    cells = engine.arrays(step, numbered)
    known = (
        f"WITH here AS (SELECT {value} AS v, count(*)::BIGINT AS n, 0 AS published FROM {published.reference} AS p"
        f" GROUP BY {value} UNION ALL SELECT DISTINCT {value}, 0::BIGINT, 1 FROM {published.item} AS p)"
        " SELECT min(v::VARCHAR) AS label, sum(n)::BIGINT AS n, max(published) AS published FROM here"
        " GROUP BY v ORDER BY v NULLS FIRST"
    )
    rows = engine.run(step, known)
    # The place among the published values becomes the place among all of them.
    places = np.array([place for place, (_, _, found) in enumerate(rows) if found], dtype=np.int64)
    classes, values, counts = (cells[key].astype(np.int64) for key in ("class", "number", "counted"))
    if len(places) != int(values.max(initial=-1)) + 1:
        raise ReleaseError(f"the published values of {name} cannot be told apart as the source's are; nothing holds")
    table = np.array([n for _, n, _ in rows], dtype=np.int64)
    return Histogram(classes, places[values], counts, table, tuple(v for v, _, _ in rows))


def _people(engine: Engine, published: Published) -> tuple[Ints, int]:
    """Population records that share each class's quasi-identifiers, in the order of the classes; how many classes."""
    keys = _list(engine, published.keys)
    own = ", ".join(f"{engine.rendered(query.column(key, 'p'))} AS k{i}" for i, key in enumerate(published.keys))
    names = [f"k{i}" for i in range(len(published.keys))]
    same = " AND ".join(f"c.{name} IS NOT DISTINCT FROM q.{name}" for name in names)
    sql = (
        f"WITH c AS (SELECT {own} FROM {published.item} AS p GROUP BY {keys}),"
        f" q AS (SELECT {own}, count(*)::BIGINT AS n FROM {published.population} AS p GROUP BY {keys})"
        " SELECT coalesce(q.n, 0)::BIGINT AS people, (SELECT count(*) FROM q) AS everywhere"
        f" FROM c LEFT JOIN q ON {same}"
        f" ORDER BY {', '.join(f'c.{name}' for name in names)}"
    )
    found = engine.arrays("read back the population", sql)
    everywhere = int(found["everywhere"][0]) if len(found["everywhere"]) else 0
    return found["people"].astype(np.int64), everywhere


def _guards(engine: Engine, published: Published, guard: str) -> Guards:
    """How many records of each class have each guarding node."""
    keys, node = _list(engine, published.keys), _list(engine, [guard])
    sql = (
        f"SELECT dense_rank() OVER (ORDER BY {keys}) - 1 AS class, {node}::VARCHAR AS guard"
        f" FROM {published.item} AS p GROUP BY {keys}, {node}"
    )
    return tuple((int(number), label) for number, label in engine.run("read back the guarding nodes", sql))


def _sets(engine: Engine, published: Published, name: str) -> Sets:
    """The different values of a set-valued column, with their records."""
    value = _list(engine, [name])
    sql = f"SELECT {value} AS v, {_records(engine, published)} AS n FROM {published.item} AS p GROUP BY {value}"
    return tuple((v, int(n)) for v, n in engine.run(f"read back the values of {name}", sql))


def _places(engine: Engine, published: Published, name: str, guard: str | None) -> Places:
    """How many records of each class have each value under each threshold; every quasi-identifier numbered apart."""
    value, keys = _list(engine, [name]), [_list(engine, [key]) for key in published.keys]
    limit = _list(engine, [guard]) if guard else "CAST(NULL AS VARCHAR)"
    listed = ", ".join(f"dense_rank() OVER (ORDER BY {key}) - 1 AS k{i}" for i, key in enumerate(keys))
    counted = (
        f"SELECT {listed}, dense_rank() OVER (ORDER BY {', '.join(keys)}) - 1 AS class, {value} AS v, {limit} AS t,"
        f" dense_rank() OVER (ORDER BY {value}) - 1 AS number, dense_rank() OVER (ORDER BY {limit}) - 1 AS kind,"
        f" {_records(engine, published)} AS n FROM {published.item} AS p GROUP BY {', '.join(keys)}, {value}, {limit}"
    )
    step = f"read back what {name} is near"
    ints = [*(f"k{i}" for i in range(len(keys))), "class", "number", "kind", "n"]
    found = engine.arrays(step, f"SELECT {', '.join(ints)} FROM ({counted}) AS c ORDER BY class, number, kind")
    told = {key: numbers.astype(np.int64) for key, numbers in found.items()}
    # One text per place: values that are equal may be printed in several ways, as 0.0 and -0.0 are.
    texts = "SELECT min({}::VARCHAR) AS label, {} AS place FROM ({}) AS c GROUP BY place ORDER BY place"
    labels, limits = (
        tuple(label for label, _ in engine.run(step, texts.format(of, place, counted)))
        for of, place in (("v", "number"), ("t", "kind"))
    )
    (kind,) = engine.columns(Origin(query=f"SELECT {value} AS v FROM {published.item} AS p"))
    codes = np.stack([told[f"k{i}"] for i in range(len(keys))])
    return Places(codes, told["class"], told["number"], told["kind"], told["n"], labels, limits, kind.family)
