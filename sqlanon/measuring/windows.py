"""How many records are near a value, in SQL: one idea for models, attacks and predictions.

A histogram of values lies on a line (`margins.Line`); an exact window over it counts what is within reach of each
value. Ends are included, because neither values nor margins are binary fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from sqlanon.margins import Line
from sqlanon.query import Expression, fragment


def within(keys: Sequence[Expression], reach: Line, *, value: Expression, records: Expression) -> Expression:
    """The records of the row's set (the rows that share its `keys`) whose value is within reach of the row's own."""
    lower, upper = reach.frame
    return fragment(
        f"cast(sum($records) over (partition by $keys order by $value range between {lower} and {upper}) as bigint)",
        keys=list(keys), records=records, value=value, reach=reach.reach,
    )  # fmt: skip


def size(keys: Sequence[Expression], records: Expression) -> Expression:
    """The records of the row's set."""
    return fragment("cast(sum($records) over (partition by $keys) as bigint)", keys=list(keys), records=records)


def violates(
    near: Expression, whole: Expression, threshold: Fraction | Expression, *, above: bool = False
) -> Expression:
    """Whether `near` of the `whole` set is at least the threshold (`above`: more), in whole numbers and decimals.

    The threshold is one fraction, or a column of `decimal(20, 18)`.
    """
    compare, parts = ">" if above else ">=", {"near": near, "size": whole}
    if isinstance(threshold, Fraction):
        return fragment(
            f"cast($near as decimal(38, 0)) * $d {compare} cast($size as decimal(38, 0)) * $n",
            parts, d=threshold.denominator, n=threshold.numerator,
        )  # fmt: skip
    return fragment(f"cast($near as decimal(18, 0)) {compare} $t * cast($size as decimal(18, 0))", parts, t=threshold)
