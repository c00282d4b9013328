"""Cell suppression: a record in too small a class keeps all its quasi-identifiers but one, and is not dropped.

*Measure*: records whose class, after the blanking, has k records or more. *Leaves*: a blank says that the record was
rare with its value; who knows the algorithm can rule out the values with which it would have been kept as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import SpecError
from sqlanon.query import Expression, Query, column, fragment, named
from sqlanon.recoding.transforms import Records

IN_VIEWS = False
REASON = "which value is blanked depends on all other records, and changes when others arrive"
_CELLS = "sqlanon cells"


@dataclass(frozen=True)
class Blanked:
    """The records after the blanking, how many got a blank, and how many are still in classes that are too small."""

    records: Records
    cells: int
    failing: int


def blank_cells(engine: Engine, records: Records, keys: Sequence[str], k: int) -> Blanked:
    """Blanks at most one of the `keys` of records in classes below k, in favour of the column that saves most records.

    Greedy: of all columns, the one with which most records of the failing classes come into classes of k is blanked in
    exactly these records; then the next, until no column saves any. Ties go to the earlier column. Missing values are
    values, so a blanked record also joins records that miss the value anyway. Works on combinations with counts; the
    table of combinations stays until `drop`. Raises `SpecError` for a column that is not there, `EngineError`.
    """
    for key in keys:
        if key not in records.columns:
            raise SpecError("there is no such column", where="cells", found=key, allowed=records.columns)
    labels = [named(column(key), f"key {i}") for i, key in enumerate(keys)]
    combined = fragment(
        "select $l, count(*) as records, cast(null as integer) as blanked from $t group by $g",
        l=labels, t=query.table(records.relation), g=[column(key) for key in keys],
    )  # fmt: skip
    engine.temporary("count the combinations", _CELLS, records.chain.then("combinations", combined))
    width = len(keys)
    while True:
        saved = [_saved(engine, width, i, k) for i in range(width)]
        best = max(range(width), key=lambda i: (saved[i], -i), default=0)
        if not saved or not saved[best]:
            break
        engine.temporary("blank cells", _CELLS, _chosen(width, best, k))
    sized = _sized(width, k).then(
        "totals",
        fragment(
            "select cast(coalesce(sum(records) filter (where blanked is not null), 0) as bigint),"
            " cast(coalesce(sum(records) filter (where failing), 0) as bigint) from sized"
        ),
    )
    ((cells, failing),) = engine.run("count the blanks", sized)
    return Blanked(_joined(records, keys), int(cells), int(failing))


def drop(engine: Engine) -> None:
    """Drops the working table."""
    engine.drop_temporary(_CELLS)


def _label(i: int) -> Expression:
    """A key as it would be published."""
    return fragment("case when blanked = $i then null else $key end", i=i, key=column(f"key {i}"))


def _sized(width: int, k: int) -> Query:
    """The combinations with their labels, and whether their class is too small and they have no blank yet."""
    labels = [named(_label(i), f"label {i}") for i in range(width)]
    labelled = fragment("select *, $l from $t", l=labels, t=query.table(_CELLS))
    sized = fragment(
        "select *, sum(records) over (partition by $l) < $k as failing from labelled",
        l=[column(f"label {i}") for i in range(width)], k=k,
    )  # fmt: skip
    return Query(()).then("labelled", labelled).then("sized", sized)


def _pooled(width: int, i: int, k: int) -> Query:
    """The failing combinations, and all that miss column i: would they make a class of k together?"""
    others = [column(f"label {j}") for j in range(width) if j != i] or [fragment("0")]
    pooled = fragment(
        "select *, sum(records) over (partition by $o) >= $k as enough from sized where failing or $x is null",
        o=others, k=k, x=column(f"label {i}"),
    )  # fmt: skip
    return _sized(width, k).then("pooled", pooled)


# A combination whose value is missing anyway has nothing to blank.
_SAVED = "failing and enough and blanked is null and $x is not null"


def _saved(engine: Engine, width: int, i: int, k: int) -> int:
    counted = fragment(
        f"select cast(coalesce(sum(records), 0) as bigint) from pooled where {_SAVED}", x=column(f"label {i}")
    )
    ((records,),) = engine.run("count what a blank saves", _pooled(width, i, k).then("saved", counted))
    return int(records)


def _chosen(width: int, i: int, k: int) -> Query:
    keys = [f"key {j}" for j in range(width)]
    chosen = fragment(f"select $k from pooled where {_SAVED}", k=[column(key) for key in keys], x=column(f"label {i}"))
    tree = fragment(
        "select $k, c.records, case when s.hit is null then c.blanked else $i end as blanked from $t as c"
        " left join marked as s on $same",
        k=[column(key, "c") for key in keys], i=i, t=query.table(_CELLS), same=query.same(keys, "c", "s"),
    )  # fmt: skip
    marked = fragment("select *, 1 as hit from saved")
    return _pooled(width, i, k).then("saved", chosen).then("marked", marked).then("cells", tree)


def _joined(records: Records, keys: Sequence[str]) -> Records:
    cells = []
    for label in (*records.columns, records.number):
        x = column(label, "r")
        if label in keys:
            x = named(fragment("case when c.blanked = $i then null else $x end", i=keys.index(label), x=x), label)
        cells.append(x)
    on = query.every(
        fragment("$x is not distinct from $y", x=column(key, "r"), y=column(f"key {i}", "c"))
        for i, key in enumerate(keys)
    )
    tree = fragment(
        "select $cells from $there as r left join $c as c on $on",
        cells=cells, there=query.table(records.relation), c=query.table(_CELLS), on=on,
    )  # fmt: skip
    return records.then("blanked", tree, "one value blanked where that keeps a record in a class of k")
