"""The lattice in the engine: base frequencies, counted in one pass over the source and rolled up ever after.

`base` has one row per combination of quasi-identifiers, sensitive values (and persons) that occurs, with its count `n`
and, per quasi-identifier and level, the number of its label. A node is a GROUP BY over it; the source is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sqlanon import query
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.hierarchies import STAR
from sqlanon.measures import Rows, measured
from sqlanon.models import Verdict, every_class, every_table, judgement, needed, verdicts
from sqlanon.plan import Source
from sqlanon.query import Expression, Query, Step, column, fragment, fresh, named
from sqlanon.recoding.objectives import Counts, Domain, Floats, Marginal, Node

_RAW, _BASE = "sqlanon base frequencies", "sqlanon base"


@dataclass(frozen=True)
class Lattice:
    """The domains of the quasi-identifiers, and the base table that nodes are counted on."""

    engine: DuckDB
    source: Source
    domains: tuple[Domain, ...]
    records: int
    combinations: int
    check_sql: str
    judging_sql: str
    codes: tuple[tuple[str, ...], ...]

    def check(self, node: Node, detail: int) -> Counts:
        """Counts one node: records and classes that the models keep or suppress.

        Up to `detail` suppressed records, the suppressed records per column and label come along; beyond, None.
        """
        asked = f"WITH {self._node(node)}, allowed AS (SELECT {detail} AS allowed) {self.check_sql}"
        found = list(self.engine.arrays("count a transformation", asked).values())
        suppressed, certain, kept, classes, kept_squares, squares, holds = (
            int(np.ma.filled(column[:1], 0)[0]) for column in found[:7]
        )
        *codes, records, sure = found[7:]
        present = ~np.ma.getmaskarray(records)
        told = Counts(suppressed, kept, classes, kept_squares, squares, bool(holds), certain=certain)
        if suppressed > detail:
            return told
        unsure = present & ~np.ma.filled(sure, True).astype(bool)
        labels, certain_labels = (self._labels(node, codes, records, rows) for rows in (present, unsure))
        return replace(told, labels=labels, certain_labels=certain_labels)

    def _labels(self, node: Node, codes: Sequence[Any], records: Any, rows: Any) -> list[Floats]:
        """Records per label and column, from the suppressed classes in `rows`."""
        weights = np.ma.getdata(records)[rows]
        return [
            np.bincount(np.ma.getdata(code)[rows], weights, len(d.marginals[level].records)).astype(np.float64)
            for code, d, level in zip(codes, self.domains, node, strict=True)
        ]

    def verdicts(self, node: Node) -> tuple[Verdict, ...]:
        """What every model comes to on the classes that the node keeps."""
        (row,) = self.engine.run("judge a transformation", f"WITH {self._node(node)} {self.judging_sql}")
        return verdicts(self.source.spec.privacy, row)

    def _node(self, node: Node) -> str:
        """The step that gives the base table the node's labels under the names that the fixed part reads."""
        labels = ", ".join(self.codes[i][level] for i, level in enumerate(node))
        return f'node AS NOT MATERIALIZED (SELECT *, {labels} FROM "{_BASE}")'

    def labelled(self, i: int) -> str:
        """The working table of a quasi-identifier: `value`, `records` and per level below the last `label`, `code`."""
        return _domain(i)

    def close(self) -> None:
        """Drops the working tables."""
        shares = [_shares(name) for name in self.source.sensitive]
        self.engine.drop_temporary(_RAW, _BASE, *shares, *(_domain(i) for i in range(len(self.domains))))


def _domain(i: int) -> str:
    return f"sqlanon domain {i}"


def _shares(name: str) -> str:
    return f"sqlanon shares of {name}"


def build(engine: DuckDB, source: Source) -> Lattice:
    """Reads the source once and encodes it. Raises `SpecError` where it has no rows or a value no hierarchy knows."""
    spec, names = source.spec, source.quasi_identifiers
    grouped = tuple(dict.fromkeys([*names, *source.sensitive, *([spec.entity] if spec.entity else [])]))
    n = fresh("n", grouped)
    raw = source.step().then(
        "base",
        fragment(
            "select $g, count(*) as $n from source group by $g", g=[column(x) for x in grouped], n=query.identifier(n)
        ),
    )
    engine.temporary("read the source", _RAW, raw)
    counted = fragment("select cast(coalesce(sum($n), 0) as bigint) from $raw", n=column(n), raw=query.table(_RAW))
    ((records,),) = engine.run("count the records", counted)
    if records == 0:
        raise SpecError("the source has no rows; nothing can be released", where="source")
    domains = tuple(_encode(engine, source, i, name, n) for i, name in enumerate(names))
    _known_sensitive(engine, source)
    for name in source.sensitive:
        shares = fragment("select $s, cast(sum($n) as bigint) as $m from $raw group by $s",
                          s=column(name), n=column(n), m=query.identifier(n), raw=query.table(_RAW))  # fmt: skip
        engine.temporary("count the sensitive values", _shares(name), shares)
    keys = tuple(fresh(f"label {i}", grouped) for i in range(len(domains)))
    codes = _base(engine, source, domains, n)
    read = tuple(
        tuple(engine.sql(named(code, key)) for code in levels) for key, levels in zip(keys, codes, strict=True)
    )
    ((combinations,),) = engine.run("count the combinations", fragment("select count(*) from $b", b=query.table(_BASE)))
    return Lattice(engine, source, domains, int(records), int(combinations), *_questions(engine, source, keys, n), read)


def _encode(engine: DuckDB, source: Source, i: int, name: str, n: str) -> Domain:
    """One table per quasi-identifier: its values, the number of each value's label per level, and the marginals."""
    height, family, declared = source.height(name), source.family(name), source.spec.columns[name]
    counted = fragment(
        "select $x as value, cast(sum($n) as bigint) as records from $raw group by $x",
        x=column(name), n=column(n), raw=query.table(_RAW),
    )  # fmt: skip
    steps = Query((Step("seen", counted),))
    leaf = fragment("cast(value as varchar)")
    labels: list[Expression] = []
    if name in source.rows:
        columns = ["leaf", *(f"label {level}" for level in range(1, height))]
        steps = steps.join(Query((query.values("hierarchy", columns, (row[:height] for row in source.rows[name])),)))
        labels = [column(label) for label in columns[1:]]
        joined = (
            fragment(
                "select value, records, leaf, $labels from seen left join hierarchy on $v = leaf", labels=labels, v=leaf
            )
            if labels
            else fragment("select value, records, leaf from seen left join hierarchy on $v = leaf", v=leaf)
        )
        unknown = (
            Query(steps.steps)
            .then("labelled", joined)
            .then(
                "unknown",
                fragment(
                    "select count(*), coalesce(cast(sum(records) as bigint), 0) from labelled"
                    " where leaf is null and value is not null"
                ),
            )
        )
        ((values, rows),) = engine.run(f"look up the values of {name}", unknown)
        if values:
            raise SpecError(
                f"{values} value{'s' * (values > 1)} in {rows} row{'s' * (rows > 1)} are not in the hierarchy;"
                f" list them with: SELECT DISTINCT {engine.sql(column(name))} FROM the source", where=f"columns.{name}",
            )  # fmt: skip
    else:
        hierarchy = source.hierarchy(name)
        # Published as bounds, values without an interval have no bounds, like missing ones, and share their class.
        shown = "$x" if declared.represent == "label" else "nullif($x, '*')"
        made = [
            named(fragment(shown, x=hierarchy.label(column("value"), level, family)), f"label {level}")
            for level in range(1, height)
        ]
        joined = (
            fragment("select value, records, $m from seen", m=made)
            if made
            else fragment("select value, records from seen")
        )
        labels = [column(f"label {level}") for level in range(1, height)]
    steps = steps.then("labelled", joined)
    ranks = [named(fragment("cast(dense_rank() over (order by $x nulls first) - 1 as integer)", x=x), f"code {level}")
             for level, x in enumerate([column("value"), *labels])]  # fmt: skip
    kept = [column("value"), column("records"), *labels, *ranks]
    steps = steps.then("encoded", query.select(kept, "labelled"))
    engine.temporary(f"encode {name}", _domain(i), steps)
    marginals, leaves = _marginals(engine, source, i, name, height)
    lowest, highest = declared.min or 0, height if declared.max is None else declared.max
    forced = source.spec.recoding.levels
    if forced is not None:
        lowest = highest = forced[name]
    return Domain(name, marginals, leaves, lowest, highest, declared.weight)


def _marginals(engine: DuckDB, source: Source, i: int, name: str, height: int) -> tuple[tuple[Marginal, ...], int]:
    """Per level and label: records, and leaves covered: lines of a tabled hierarchy, else values of the source."""
    table = query.table(_domain(i))
    tabled = source.rows.get(name)
    found: list[Marginal] = []
    leaves = 0
    for level in range(height):
        label = fragment("cast($x as varchar)", x=column(f"label {level}" if level else "value"))
        rows = engine.run(
            f"count the labels of {name}",
            fragment("select $c, min($l), cast(sum(records) as bigint), count(*) from $t group by $c order by $c",
                     c=column(f"code {level}"), l=label, t=table),
        )  # fmt: skip
        records = np.array([float(r) for _, _, r, _ in rows])
        covered = [float(values) for *_, values in rows]
        missing = [at for at, (_, text, _, _) in enumerate(rows) if text is None]
        if tabled is not None:
            lines: dict[str, int] = {}
            for row in tabled:
                lines[row[level]] = lines.get(row[level], 0) + 1
            covered = [float(lines.get(text, 1)) for _, text, _, _ in rows]
        if level == 0:
            leaves = (len(tabled) + len(missing)) if tabled is not None else len(rows)
        covered = [float(leaves) if text == STAR else c for c, (_, text, _, _) in zip(covered, rows, strict=True)]
        found.append(Marginal(records, np.array(covered)))
    everything = Marginal(np.array([found[0].records.sum()]), np.array([float(leaves)]))
    return (*found, everything), leaves


def _known_sensitive(engine: DuckDB, source: Source) -> None:
    """Every sensitive value must be in the hierarchy or order that a distance compares it by."""
    for name, reference in source.references(_RAW).items():
        known = reference.order or (tuple(row[0] for row in source.rows[name]) if reference.tree else ())
        if not known:
            continue
        leaf = fresh("leaf", source.spec.columns)
        values = query.values("known", [leaf], ((value,) for value in known))
        steps = Query((values,)).then("unknown", fragment(
            "select count(distinct $s) from $raw left join known on cast($s as varchar) = $leaf"
            " where $leaf is null and $s is not null",
            leaf=column(leaf), s=column(name), raw=query.table(_RAW),
        ))  # fmt: skip
        ((unknown,),) = engine.run(f"look up the values of {name}", steps)
        if unknown:
            raise SpecError(
                f"{unknown} value{'s' * (unknown > 1)} of the source are not in the hierarchy", where=f"columns.{name}"
            )


def _base(engine: DuckDB, source: Source, domains: Sequence[Domain], n: str) -> tuple[tuple[Expression, ...], ...]:
    """The base table: label numbers of every level that the search may use; how each level's number is read from it."""
    spec = source.spec
    carried = tuple(dict.fromkeys([*source.sensitive, *([spec.entity] if spec.entity else []), n]))
    selected = [column(name, "r") for name in carried]
    tree = fragment("select $nothing from $raw as r", nothing=[], raw=query.table(_RAW))
    codes: list[tuple[Expression, ...]] = []
    for i, domain in enumerate(domains):
        on = fragment("$v is not distinct from $d", v=column(domain.name, "r"), d=column("value", _domain(i)))
        tree = query.joined(tree, _domain(i), on)
        read: list[Expression] = []
        for level in range(domain.height + 1):
            if level == domain.height or not domain.lowest <= level <= domain.highest:
                read.append(query.literal(0))
                continue
            label = fresh(f"label {i} at {level}", carried)
            selected.append(named(column(f"code {level}", _domain(i)), label))
            read.append(column(label))
        codes.append(tuple(read))
    engine.temporary("encode the source", _BASE, query.selecting(tree, selected))
    engine.drop_temporary(_RAW)
    return tuple(codes)


def _questions(engine: DuckDB, source: Source, keys: tuple[str, ...], n: str) -> tuple[str, str]:
    """The fixed parts of the two questions about a node, over the steps `node` and `allowed` that differ."""
    models = source.spec.privacy
    references = {name: replace(r, relation=_shares(name)) for name, r in source.references("", n).items()}
    chain = measured(Rows("node", keys, entity=source.spec.entity, weight=n), needed(models), references)
    records = chain.columns["class_records"]
    closed = [model for model in models if model.monotone_with_suppression]
    held = [named(fragment("($all) is true", all=query.every(every_class(some, chain))), name)
            for name, some in (("held", models), ("sure", closed))]  # fmt: skip
    steps = source.trees().join(chain.query).then("judged", fragment("select *, $held from measured", held=held))
    steps = steps.then("kept", fragment("select * from judged where held"))
    # A class that fails a monotone model holds, at every more specific transformation, a class that fails it.
    one_each = all(model.monotone for model in models)
    totals = fragment(
        "select cast(coalesce(sum($r) filter (where not held), 0) as bigint) as suppressed,"
        " cast(coalesce(sum($r) filter (where not sure), 0) as bigint)"
        f" + {'count(*) filter (where sure and not held)' if one_each else 0} as certain,"
        " count(*) filter (where held) as kept, count(*) as present,"
        " cast(coalesce(sum($r * $r) filter (where held), 0) as bigint) as kept_squares,"
        " cast(sum($r * $r) as bigint) as squares, cast($tables as integer) as tables_hold from judged",
        r=records, tables=query.every(every_table(models, chain, "kept")),
    )  # fmt: skip
    labels = [column(key) for key in keys]
    failing = fragment(
        "select $k, $r, sure, allowed from judged cross join allowed where not held", k=labels, r=records
    )
    answer = fragment(
        "select suppressed, certain, kept, present, kept_squares, squares, tables_hold, $k, $r, sure"
        " from totals left join failing on suppressed <= allowed", k=labels, r=records,
    )  # fmt: skip
    checking = steps.then("totals", totals).then("failing", failing).then("answer", answer)
    judging = steps.then("answer", judgement(models, chain, "kept"))
    check, judge = (
        f"SELECT * FROM ({query.render(chain, engine.dialect, pretty=False)}) AS answer"
        for chain in (checking, judging)
    )
    return check, judge
