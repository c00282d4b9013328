"""Several tables about the same persons, released together: classes of persons by all their records, and their numbers.

Whoever knows a person may know records of his in every table. Two persons are therefore in one class if their
quasi-identifiers are published alike in all tables together: the same records, as often, in each. k counts the persons
of such a class; persons whose class is smaller are left out of every table; each table's other models hold in every
such class and combination of its own quasi-identifiers, which is what is known of a person and of one of his records.

Levels begin where each table by itself needs them, and are raised one at a time, the one that then leaves out fewest
persons first, until all models hold within the suppression that was allowed. This is no search for the best levels.

The records of a person are linked by a number in the place of his identifier: dense, in the order of a hash with a key
that is drawn for this release and forgotten.

*Leaves*: what is known of a person beside quasi-identifiers. Since his records are linked, whoever recognises one by a
sensitive or insensitive value reads the others; only what is a quasi-identifier is protected against that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import ModelNotMet, ReleaseError, SpecError
from sqlanon.models import Verdict, k_of
from sqlanon.plan import Source, compile_plan
from sqlanon.planning import Planned, make_from, source_of
from sqlanon.query import Query, Text
from sqlanon.recoding.levels import at_levels
from sqlanon.recoding.outcome import most_suppressed
from sqlanon.spec import Spec
from sqlanon.telling import Tell
from sqlanon.verify import Measured, Published, verify

_PERSONS, _NUMBERS, _KEY = "sqlanon persons", "sqlanon numbers", "sqlanon key of the persons"


@dataclass(frozen=True)
class Table:
    """One of the tables: its plan, which recodes and suppresses nothing by itself, and where its rows are now."""

    planned: Planned
    item: str

    @property
    def source(self) -> Source:
        return self.planned.plan.source

    @property
    def entity(self) -> str:
        """The column of the persons."""
        return self.source.spec.entity or ""

    @property
    def keys(self) -> tuple[str, ...]:
        return self.planned.plan.keys


@dataclass(frozen=True)
class Persons:
    """How many persons there are, in how many classes of k or more, and how many are in a smaller one."""

    number: int
    classes: int
    small: int


def related(spec: Spec, engine: Engine, tell: Tell) -> tuple[list[Table], Persons]:
    """The tables of a spec at levels at which all models hold once small classes are left out.

    Call it in the transaction that publishes: all tables are then read as they were at one moment. Raises `SpecError`,
    `ModelNotMet`, `EngineError`.
    """
    tables, fixed = [], [one.recoding.levels is not None for one in spec.tables]
    for i, one in enumerate(spec.tables):
        tell(f"planning {one.publish.name if one.publish else i}", None)
        planned = make_from(source_of(one, engine), engine)
        tables.append(_at(engine, i, planned, planned.plan.levels or {}))
    _of_somebody(engine, tables)
    k = k_of(spec.privacy) or 1
    while True:
        tell("putting persons into classes", None)
        found = classes(engine, tables, k)
        allowed = most_suppressed(spec, found.number)
        made = judged(engine, tables, k) if found.small <= allowed else []
        broken = [v for one in made for v in one.verdicts if not v.holds]
        if found.small <= allowed and found.small < found.number and not broken:
            return tables, found
        raised = _raised(engine, tables, fixed, k)
        if raised is None:
            raise ModelNotMet(_told(found, allowed, k, broken), broken)
        tables = raised


def _told(found: Persons, allowed: int, k: int, broken: Sequence[Verdict]) -> str:
    if broken:
        return f"{broken[0].model} does not hold on the persons' records in all tables; nothing was published"
    return (
        f"at the highest levels {found.small} of {found.number} persons are in classes of fewer than {k} by their"
        f" records in all tables, and {allowed} may be left out; nothing was published"
    )


def _at(engine: Engine, i: int, planned: Planned, levels: Mapping[str, int]) -> Table:
    """A working table of all records at some levels, with the persons beside them."""
    source, name = planned.plan.source, f"sqlanon related {i}"
    plan = compile_plan(source, at_levels(source, levels), "drop")
    listed = [query.column(name) for name in _columns(plan.published, source)]
    rows = plan.recoded.steps.then("rows", query.select(listed, "recoded"))
    engine.temporary("recode the records", name, rows)
    made = replace(planned.outcome, recoded=plan.recoded, utility={})
    return Table(replace(planned, plan=plan, outcome=made), engine.rendered(query.table(name)))


def _columns(published: Sequence[str], source: Source) -> list[str]:
    return list(dict.fromkeys([*published, *source.carried]))


def _of_somebody(engine: Engine, tables: Sequence[Table]) -> None:
    """Refuses records of nobody, or of somebody whom the first table does not know. Raises `ReleaseError`."""
    known = _person(engine, tables[0], "f")
    first = f"SELECT {known} FROM {tables[0].item} AS f WHERE {known} IS NOT NULL"
    for table in tables:
        who = _person(engine, table, "t")
        sql = f"SELECT count(*) FROM {table.item} AS t WHERE {who} IS NULL OR {who} NOT IN ({first})"
        ((alone,),) = engine.run("look for records of nobody", sql)
        if alone:
            name = table.source.spec.publish.name if table.source.spec.publish else ""
            told = f"{alone} records of {name!r} are about nobody whom the first table knows; nothing was published"
            raise ReleaseError(told, exit_status=2)


def _person(engine: Engine, table: Table, alias: str) -> str:
    return f"CAST({engine.rendered(query.column(table.entity, alias))} AS VARCHAR)"


def _list(engine: Engine, names: Sequence[str], alias: str = "t") -> str:
    return ", ".join(engine.rendered(query.column(name, alias)) for name in names)


def classes(engine: Engine, tables: Sequence[Table], k: int) -> Persons:
    """Fills the working table of persons: the class of each, by all that is published of them, and its size."""
    steps, told, often = [], [], "CAST(code AS VARCHAR) || 'x' || CAST(n AS VARCHAR)"
    for i, table in enumerate(tables):
        who = _person(engine, table, "t")
        steps.append(
            f"c{i} AS (SELECT {who} AS person, dense_rank() OVER (ORDER BY {_list(engine, table.keys)}) AS code"
            f" FROM {table.item} AS t), n{i} AS (SELECT person, code, count(*) AS n FROM c{i} GROUP BY person, code),"
            f" s{i} AS (SELECT person, string_agg({often}, ',' ORDER BY code) AS told FROM n{i} GROUP BY person)"
        )
        told.append(f"coalesce(s{i}.told, '') AS told{i}")
    joins = " ".join(f"LEFT JOIN s{i} ON s{i}.person = s0.person" for i in range(1, len(tables)))
    names = ", ".join(f"told{i}" for i in range(len(tables)))
    same = " AND ".join(f"a.told{i} = b.told{i}" for i in range(len(tables)))
    sql = (
        f"WITH {', '.join(steps)}, known AS (SELECT s0.person, {', '.join(told)} FROM s0 {joins}), alike AS (SELECT"
        f" {names}, count(*) AS size, row_number() OVER (ORDER BY {names}) AS class FROM known GROUP BY {names})"
        f" SELECT a.person, b.class, b.size FROM known AS a JOIN alike AS b ON {same}"
    )
    engine.temporary("put persons into classes", _PERSONS, Text(sql))
    large = f"CASE WHEN size >= {int(k)} THEN class END"
    counted = f"SELECT count(*), count(DISTINCT {large}), count(*) - count({large}) FROM {_persons(engine)}"
    ((number, several, small),) = engine.run("count the classes of persons", counted)
    return Persons(int(number), int(several), int(small))


def _persons(engine: Engine) -> str:
    return engine.rendered(query.table(_PERSONS))


def judged(engine: Engine, tables: Sequence[Table], k: int) -> list[Measured]:
    """What each table's models come to, in each class of persons and combination of its own quasi-identifiers.

    Persons whose class is smaller than k are left out, as they will be.
    """
    found = []
    for table in tables:
        names = _columns(table.planned.plan.published, table.source)
        number = query.fresh("class", names)
        item = (
            f"(SELECT p.class AS {engine.rendered(query.identifier(number))}, {_list(engine, names)}"
            f" FROM {table.item} AS t"
            f" JOIN {_persons(engine)} AS p ON p.person = {_person(engine, table, 't')} WHERE p.size >= {int(k)})"
        )
        published = _published(table, item, (number, *table.keys))
        found.append(verify(engine, published, table.planned.plan.models))
    return found


def _published(table: Table, item: str, keys: tuple[str, ...]) -> Published:
    source = table.source
    orders = {n: r.order for n, r in source.references("").items() if r.order}
    trees = {n: rows for n, rows in source.rows.items() if n in source.sensitive}
    return Published(item, keys, table.entity, source.reference, orders, trees)


def _raised(engine: Engine, tables: Sequence[Table], fixed: Sequence[bool], k: int) -> list[Table] | None:
    """The tables with one level raised: the one that leaves fewest persons in small classes; None at the top."""
    best: tuple[int, float, int, str] | None = None
    for i, table in enumerate(tables):
        levels = dict(table.planned.plan.levels or {})
        for name, level in levels.items() if not fixed[i] else ():
            height = _highest(table.source, name)
            if level >= height:
                continue
            tried = _at(engine, i, table.planned, {**levels, name: level + 1})
            small = classes(engine, [*tables[:i], tried, *tables[i + 1 :]], k).small
            best = min(filter(None, (best, (small, (level + 1) / height, i, name))))
        _at(engine, i, table.planned, levels)
    if best is None:
        return None
    _, _, i, name = best
    levels = dict(tables[i].planned.plan.levels or {})
    return [*tables[:i], _at(engine, i, tables[i].planned, {**levels, name: levels[name] + 1}), *tables[i + 1 :]]


def _highest(source: Source, name: str) -> int:
    declared = source.spec.columns[name].max
    return source.height(name) if declared is None else declared


def number(engine: Engine, key: str, k: int) -> None:
    """Gives the persons of large enough classes their numbers, in the order of a hash with a key."""
    engine.secret("set the key of the persons", _KEY, key)
    hashed = engine.hashed("k.key || ':' || p.person")
    engine.temporary(
        "number the persons", _NUMBERS,
        Text(f"SELECT p.person, row_number() OVER (ORDER BY {hashed}, p.person) AS number FROM {_persons(engine)} AS p"
             f" CROSS JOIN {engine.rendered(query.table(_KEY))} AS k WHERE p.size >= {int(k)}"),
    )  # fmt: skip
    engine.drop_temporary(_KEY)


def rows(engine: Engine, table: Table) -> Query:
    """The steps that fill what is published of a table: the number of the person, and its columns."""
    entity, names = engine.rendered(query.identifier(table.entity)), table.planned.plan.published
    listed = f"n.number AS {entity}, {_list(engine, names)}"
    sql = (
        f"SELECT {listed} FROM {table.item} AS t JOIN {engine.rendered(query.table(_NUMBERS))} AS n"
        f" ON n.person = {_person(engine, table, 't')}"
    )
    return Query(()).then("released", Text(sql), "with a number in the place of the person")


def numbered(table: Table, item: str) -> Table:
    """A table as it is published at `item`, with the number of the person among its columns."""
    planned = table.planned
    if table.entity.lower() in {name.lower() for name in planned.plan.published}:
        told = "a published column has the name of the persons' identifier"
        raise SpecError(told, where="columns", found=table.entity)
    return Table(replace(planned, plan=replace(planned.plan, published=(table.entity, *planned.plan.published))), item)


def done(table: Table, found: Measured) -> Planned:
    """The plan of a table with what was published of it."""
    left_out = table.planned.rows_in - found.rows
    outcome = replace(table.planned.outcome, suppressed=left_out, classes=found.classes, verdicts=found.verdicts)
    return replace(table.planned, outcome=outcome)
