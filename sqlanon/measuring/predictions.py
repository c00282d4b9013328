"""How well the values of a class can be predicted: the steps of value prediction as a measure.

`places of s` is a histogram: class × place on the line × threshold, with the records that have a value. The observer of
all quasi-identifiers is measured per class; those of fewer of them by rolling the same histogram up over every subset
(CUBE), with the window in each. Definitions and source: `prediction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from sqlanon import query
from sqlanon.errors import SpecError
from sqlanon.margins import Kind, Line, Margin, line
from sqlanon.measures import Measure
from sqlanon.measuring import windows
from sqlanon.query import Expression, column, fragment, fresh, named, table

if TYPE_CHECKING:
    from sqlanon.measuring.chain import Chain

# 2 ** 12 windows over the records is what somebody may still want to wait for; Postgres rolls up no more.
MOST = 12

_Asked = tuple[Margin | None, Fraction | str, bool]


def predictable(chain: Chain, measure: Measure) -> str:
    """Per class, its violations (or its largest share)."""
    margin, threshold, above, what = cast(tuple[Margin | None, Fraction | str, bool, str], measure.arguments)
    asked = (margin, threshold, above)
    of, cells = measure.column or "", places(chain, measure.column or "", asked)
    near, size = column(chain.names["near"]), column(chain.names["class_records"])
    place, limit, counted = place_columns(of, chain.rows.keys)
    windowed = chain.step(
        f"near {cells}", "select $keys, $place, $limit, $counted, $near, $size from $c",
        "how many records of the class are near each value", place=place, limit=limit, counted=counted,
        near=named(windows.within(chain.keys, _reach(chain, of, margin), value=place, records=counted), near.name),
        size=named(windows.size(chain.keys, counted), size.name), c=table(cells),
    )  # fmt: skip
    sums = {
        "violations": "cast(sum(case when $counted > 0 and $bad then $counted else 0 end) as bigint)",
        "share": "coalesce(max(case when $counted > 0 then cast($near as double) / $size end), 0)",
    }
    bad = beyond(place, near, size, limit, asked)
    told = fragment(sums[what], counted=counted, bad=bad, near=near, size=size)
    return chain.step(
        f"{measure.name} of {of}", "select $keys, $told from $w group by $keys", f"the {what} of each class",
        told=named(told, chain.label(measure)), w=table(windowed),
    )  # fmt: skip


def places(chain: Chain, of: str, asked: _Asked) -> str:
    """`places of s`: class × place × threshold, with the records that have a value; its name."""
    margin, threshold, _ = asked
    reach, at = _reach(chain, of, margin), column(of)
    finite = fragment(reach.finite, x=at)
    value = fragment(f"case when $f then {reach.value} end", f=finite, x=at)
    limit = None
    if isinstance(threshold, str):
        limit = fragment("cast($t as decimal(20, 18))", t=_within_0_and_1(column(threshold)))
    per_record = limit is not None
    place, kept, counted = (node.name for node in place_columns(of, chain.rows.keys))
    source = chain.rows.relation if per_record else f"histogram of {of}"
    weight = chain.rows.weight if per_record else chain.names["class_count"]
    there = "sum(case when $x is null then 0 else $w end)"
    records = fragment(f"cast({there} as bigint)", x=at, w=column(weight) if weight else query.literal(1))
    columns = [named(value, place), named(limit or fragment("cast(null as decimal(20, 18))"), kept)]
    return chain.step(
        f"places of {of} within {margin or 0}" + (f" with {threshold}" if per_record else ""),
        "select $keys, $columns, $records from $rows group by $keys, $by",
        f"where the values of {of} lie", columns=columns, records=named(records, counted),
        rows=table(source), by=[value, *([limit] if limit else [])],
    )  # fmt: skip


def _within_0_and_1(threshold: Expression) -> Expression:
    return fragment("case when $t >= 0 and $t <= 1 then $t end", t=threshold)


def _reach(chain: Chain, of: str, margin: Margin | None) -> Line:
    reference = chain.references[of]
    return line(Kind(of, reference.type, reference.family), margin or Margin(Decimal(0)))


def place_columns(of: str, keys: Sequence[str]) -> tuple[Expression, Expression, Expression]:
    """The columns of `places of s`: the place, the threshold, the records with a value."""
    names = (f"place of {of}", f"threshold at the place of {of}", f"records at the place of {of}")
    return tuple(column(fresh(name, keys)) for name in names)  # type: ignore[return-value]


def beyond(place: Expression, near: Expression, size: Expression, limit: Expression, asked: _Asked) -> Expression:
    """Whether a place's records are violations: unless it is known that they are none."""
    _, threshold, above = asked
    known = windows.violates(near, size, limit if isinstance(threshold, str) else threshold, above=above)
    return fragment("($place is null or ($known) is not false)", place=place, known=known)


def observers(chain: Chain, measure: Measure) -> tuple[str, Line]:
    """Where `most_found` reads."""
    asked, many = cast(_Asked, measure.arguments), len(chain.rows.keys)
    if many > MOST:
        raise SpecError(
            f"the subsets of more than {MOST} quasi-identifiers are too many for value-prediction; observer: all looks"
            " at all of them together", where="privacy", found=str(many),
        )  # fmt: skip
    return places(chain, measure.column or "", asked), _reach(chain, measure.column or "", asked[0])


def most_found(
    measure: Measure, cells: str, keys: Sequence[str], reach: Line, match: Expression, kept: str
) -> Expression:
    """The violations of the observer, of any of the keys, who finds most among the kept classes; one number."""
    of, asked = measure.column or "", cast(_Asked, measure.arguments)
    place, limit, counted = (column(node.name, cells) for node in place_columns(of, keys))
    own = [column(key, cells) for key in keys]
    within = [column("g"), *(column(f"k{i}") for i in range(len(keys)))]
    bad = beyond(column("p"), column("near"), column("size"), column("t"), asked)
    return fragment(
        "(select coalesce(max(v), 0) from (select cast(sum(case when n > 0 and $bad then n else 0 end) as bigint) as v"
        " from (select g, p, t, n, $near as near, $size as size"
        " from (select grouping($keys) as g, $named, $place as p, $limit as t, cast(sum($counted) as bigint) as n"
        " from $cells where exists (select 1 from $kept where $match) group by $place, $limit, cube ($keys)) as rolled"
        ") as windowed group by g) as observers)",
        bad=bad, near=windows.within(within, reach, value=column("p"), records=column("n")),
        size=windows.size(within, column("n")), keys=own,
        named=[named(key, f"k{i}") for i, key in enumerate(own)], place=place, limit=limit, counted=counted,
        cells=table(cells), kept=table(kept), match=match,
    )  # fmt: skip
