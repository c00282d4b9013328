"""SUDA2: which records are special uniques, and how special (Elliot, Manning & Ford 2002; Manning et al. 2008).

A record is a *sample unique* on a set of columns where no other record has its values there, and the set is a *minimal*
one (MSU) where it is unique on none of the set's proper subsets. The fewer columns single a record out, the likelier it
is unique in the population: each MSU of s of the ATT quasi-identifiers scores (ATT − s)!, and a record the sum of its
MSUs. DIS (Skinner & Elliot 2002) is the probability that a match with a unique record is right, here for the file and,
scaled as sdcMicro does it, for each score.

Level by level, one GROUP BY of the combinations per set of columns. A record that is unique on a set cannot share its
values on any larger one, so there it is neither a minimal unique nor anybody's match, and is left out. (The package
`suda` on the Python index counts non-minimal uniques; sdcMicro's default scores are others than Elliot's.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlanon import query
from sqlanon.combinations import CODED, Combinations
from sqlanon.errors import SpecError
from sqlanon.query import Expression, Query, Step, Text, column, fragment

MOST_SETS = 1000
MOST_COLUMNS = 20  # a record's scores add up to ATT! at most, which a bigint holds up to 20!
SIZE = 3
FRACTION = 0.01  # sdcMicro's, where nobody knows the population

_EARLY = 4


@dataclass(frozen=True)
class Score:
    """How many `records` have a score, and the DIS of each."""

    score: int
    records: int
    dis: float


@dataclass(frozen=True)
class Suda:
    """What SUDA2 found. `size`: the largest sets that were looked at; `fraction`: the share of the population that DIS
    takes the sample for, `assumed` where it is not known; `pairs`: classes of two records.

    `sets`: minimal sample uniques by their number of columns. `contributions`: the share of all scores that comes from
    MSUs with the column, the largest first. `above`: records whose DIS is at or above the threshold.
    """

    columns: int
    size: int
    fraction: float
    assumed: bool
    threshold: float
    uniques: int
    pairs: int
    dis: float
    sets: Mapping[int, int]
    scores: tuple[Score, ...]
    contributions: Mapping[str, float]
    above: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "fraction": self.fraction,
            "fraction_assumed": self.assumed,
            "threshold": self.threshold,
            "uniques": self.uniques,
            "pairs": self.pairs,
            "dis": self.dis,
            "minimal_uniques": {str(size): count for size, count in self.sets.items()},
            "scores": [{"score": s.score, "records": s.records, "dis": s.dis} for s in self.scores],
            "contributions": dict(self.contributions),
            "records_above": self.above,
        }


def suda_scores(
    found: Combinations,
    sizes: Mapping[int, int],
    *,
    size: int | None = None,
    fraction: float | None = None,
    threshold: float = 0.2,
) -> Suda:
    """Scores every combination; `sizes` is the histogram of all quasi-identifiers.

    `size`: the most columns of an MSU, up to all but one; by default `SIZE`. `fraction`: n / N, by default `FRACTION`,
    assumed. Raises `SpecError` for a size that there is no such number of columns for, or of too many sets.
    """
    columns = len(found.keys)
    if columns > MOST_COLUMNS:
        raise SpecError(f"SUDA takes up to {MOST_COLUMNS} quasi-identifiers", where="--suda", found=str(columns))
    most = min(SIZE, columns - 1) if size is None else size
    if not 1 <= most <= columns - 1:
        raise SpecError(
            "a minimal unique has one column or more, and not all of them", where="--suda-size", found=str(size)
        )
    if sum(math.comb(columns, width) for width in range(1, most + 1)) > MOST_SETS:
        raise SpecError(f"{columns} columns have more than {MOST_SETS:,} sets of up to {most}", where="--suda-size")
    uniques, pairs = sizes.get(1, 0), sizes.get(2, 0)
    taken = FRACTION if fraction is None else fraction
    with Levels(found, most) as levels:
        sets, contributions = levels.summary()
        counted = levels.histogram()
    dis = file_dis(uniques, pairs, taken)
    scores = {score: dis_of(score, counted, uniques, dis, columns) for score in counted}
    told = tuple(Score(score, counted[score], scores[score]) for score in sorted(counted))
    return Suda(
        columns, most, taken, fraction is None, threshold, uniques, pairs, dis, sets, told, contributions,
        sum(one.records for one in told if one.dis >= threshold),
    )  # fmt: skip


def file_dis(uniques: int, pairs: int, fraction: float) -> float:
    """Skinner & Elliot 2002: π n₁ / (π n₁ + 2 (1 − π) n₂), the share of unique matches that are right; 0 for none."""
    return fraction * uniques / (fraction * uniques + 2 * (1 - fraction) * pairs) if uniques else 0.0


def dis_of(score: int, scores: Mapping[int, int], uniques: int, dis: float, columns: int) -> float:
    """A record's DIS, scaled as in sdcMicro: 1 / (1 + (n₁ / DIS − n₁) / (s^Q Σ s^−Q)), Q = 1 + (8 − ATT) / 20."""
    if score == 0:
        return 0.0
    power = 1 + (8 - columns) / 20
    spread = math.fsum(records * (score / other) ** power for other, records in scores.items() if other)
    return 1 / (1 + (uniques / dis - uniques) / spread)


class Levels:
    """A working table per set of up to `most` columns: the combinations (by `id`) for which it is a minimal unique.

    Drop them with `close`. Raises `EngineError`.
    """

    def __init__(self, found: Combinations, most: int) -> None:
        self.found, self.engine, self.columns = found, found.engine, len(found.keys)
        self.counts: dict[tuple[int, ...], int] = {}
        ((self.combinations,),) = self.engine.run(
            "count the combinations", fragment("select count(*) from $c", c=query.table(CODED))
        )
        try:
            for width in range(1, most + 1):
                for places in combinations(range(self.columns), width):
                    self._find(places)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Levels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.engine.drop_temporary(*map(_table, self.counts))

    def _find(self, places: tuple[int, ...]) -> None:
        smaller = [inner for inner in self.counts if self.counts[inner] and set(inner) < set(places)]
        told = " UNION ALL ".join(f'SELECT id FROM "{_table(inner)}"' for inner in smaller)
        steps = Query((Step("told", Text(told), inline=True),) if told else ())
        keys, unknown = [column(f"key {i}") for i in places], "not exists (select 1 from told where told.id = c.id)"
        # Where many are told of already, to leave them out first saves more than it costs.
        early = sum(self.counts[inner] for inner in smaller) * _EARLY > self.combinations
        left = f"select * from $coded as c where {unknown}" if early else "select * from $coded"
        steps = steps.then("rest", fragment(left, coded=query.table(CODED)), inline=True)
        alone = "select min(id) as id from rest group by $keys having sum(records) = 1"
        steps = steps.then("alone", fragment(alone, keys=keys), inline=True)
        late = f"select id from alone as c where {unknown}" if told and not early else "select id from alone"
        self.engine.temporary("find minimal uniques", _table(places), steps.then("minimal", fragment(late)))
        ((count,),) = self.engine.run("count minimal uniques", f'SELECT count(*) FROM "{_table(places)}"')
        self.counts[places] = int(count)

    def _score(self, places: tuple[int, ...]) -> int:
        return math.factorial(self.columns - len(places))

    def summary(self) -> tuple[dict[int, int], dict[str, float]]:
        """MSUs by their number of columns, and each column's share of all scores."""
        sets: dict[int, int] = {}
        of = dict.fromkeys(self.found.keys, 0)
        for places, count in self.counts.items():
            sets[len(places)] = sets.get(len(places), 0) + count
            for place in places:
                of[self.found.keys[place]] += count * self._score(places)
        whole = sum(count * self._score(places) for places, count in self.counts.items())
        shares = {name: score / whole if whole else 0.0 for name, score in of.items()}
        return sets, dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))

    def scored(self) -> Query:
        """A relation of `id` (of the coded combinations) and `score`, for the combinations that have an MSU."""
        found = [places for places, count in self.counts.items() if count]
        parts = {f"t{i}": _at(places) for i, places in enumerate(found)}
        each = " union all ".join(
            f"select id, {self._score(places)} as score from $t{i}" for i, places in enumerate(found)
        )
        scores = fragment(each, parts) if found else fragment("select 0 as id, 0 as score from $c where false",
                                                              c=query.table(CODED))  # fmt: skip
        summed = fragment("select id, cast(sum(score) as bigint) as score from each group by id")
        return Query(()).then("each", scores).then("scored", summed)

    def histogram(self) -> dict[int, int]:
        """Score → number of records; 0 for those without an MSU."""
        sizes = fragment("select score, count(*) from scored group by score order by score")
        rows = self.engine.run("count the scores", self.scored().then("counted", sizes))
        found = {int(score): int(records) for score, records in rows}
        rest = self.found.records - sum(found.values())
        return {0: rest, **found} if rest else found


def _table(places: tuple[int, ...]) -> str:
    return "sqlanon minimal uniques " + " ".join(map(str, places))


def _at(places: tuple[int, ...]) -> Expression:
    return query.table(_table(places))
