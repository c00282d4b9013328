"""The distinct combinations of quasi-identifiers of a relation, counted once and coded as small whole numbers.

One pass over the records gives a working table with a row per combination that occurs and its number of records
(per combination and person where there is an entity); every measure of a subset of the columns is a small GROUP BY over
it. What reaches Python are histograms: class size → number of classes. Missing values are values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from sqlanon import query
from sqlanon.engines import Column, Engine, Origin
from sqlanon.engines.words import plainly
from sqlanon.errors import SpecError
from sqlanon.query import Expression, Query, column, fragment, fresh, named

_RAW, _POPULATION, CODED = "sqlanon combinations", "sqlanon population", "sqlanon coded combinations"
_NUMBERS = ("integer", "decimal", "float")


@dataclass(frozen=True)
class Matched:
    """A sample class by class beside its population: `histogram` maps F to (classes, records) of the sample there.

    `size` is N, `uniques` the classes of one record in the population, `missing` the sample classes that the
    population has fewer records of.
    """

    histogram: Mapping[int, tuple[int, int]]
    size: int
    uniques: int
    missing: int


class Combinations:
    """The combinations of one relation in working tables of the engine's connection; drop them with `close`.

    Reads the relation once. Raises `SpecError` for columns that are not there and for a relation without rows,
    `EngineError`.
    """

    def __init__(
        self, engine: Engine, origin: Origin, quasi_identifiers: Sequence[str], entity: str | None = None
    ) -> None:
        self.engine, self.keys, self.entity = engine, tuple(dict.fromkeys(quasi_identifiers)), entity
        self.columns = _checked(engine, origin, self.keys, entity)
        self._n = fresh("n", [*self.keys, entity or ""])
        self._count(origin)
        try:
            counted = fragment("select cast(coalesce(sum($n), 0) as bigint) from $raw", n=column(self._n), raw=_raw())
            ((self.records,),) = engine.run("count the records", counted)
            if self.records == 0:
                raise SpecError("the relation has no rows; there is no risk to measure", where="source")
            self._code()
            self.persons = self._persons() if entity else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Combinations:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drops the working tables."""
        self.engine.drop_temporary(_RAW, _POPULATION, CODED, *(_values(i) for i in range(len(self.keys) + 1)))

    def _count(self, origin: Origin) -> None:
        grouped = [*self.keys, *([self.entity] if self.entity else [])]
        what = fragment(
            "select $g, count(*) as $n from source group by $g",
            g=[column(name) for name in grouped], n=query.identifier(self._n),
        )  # fmt: skip
        self.engine.temporary(
            "read the relation", _RAW, _source(self.engine, origin, grouped, self.columns).then("counted", what)
        )

    def _code(self) -> None:
        """Numbers for values: groups of numbers are counted several times as fast as groups of texts."""
        coded = [*self.keys, *([self.entity] if self.entity else [])]
        tree = fragment("select $nothing from $raw as r", nothing=[], raw=_raw())
        for i, name in enumerate(coded):
            numbered = fragment(
                "select $x as value, cast(row_number() over () as integer) as code from $raw group by $x",
                x=column(name), raw=_raw(),
            )  # fmt: skip
            self.engine.temporary(f"number the values of {name}", _values(i), numbered)
            same = fragment("$x is not distinct from $v", x=column(name, "r"), v=column("value", _values(i)))
            tree = query.joined(tree, _values(i), same)
        selected = [named(column("code", _values(i)), label) for i, label in enumerate(self._labels(coded))]
        number = named(fragment("cast(row_number() over () as bigint)"), "id")
        self.engine.temporary(
            "number the combinations", CODED,
            query.selecting(tree, [number, *selected, named(column(self._n, "r"), "records")]),
        )  # fmt: skip

    def _persons(self) -> int:
        """How many persons there are; all records without one count as one."""
        people = query.table(_values(len(self.keys)))
        ((persons,),) = self.engine.run("count the persons", fragment("select count(*) from $p", p=people))
        return int(persons)

    def _labels(self, coded: Sequence[str]) -> list[str]:
        return [f"key {i}" if i < len(self.keys) else "person" for i, _ in enumerate(coded)]

    def key(self, name: str) -> Expression:
        """The coded column of a quasi-identifier."""
        return column(f"key {self.keys.index(name)}")

    @property
    def size(self) -> Expression:
        """The size of a class, as an aggregate over the coded combinations: records, or different persons.

        All records whose person is missing may be about one, so in a class they count as one person.
        """
        return fragment("count(distinct person)" if self.entity else "cast(sum(records) as bigint)")

    def histogram(self, names: Sequence[str]) -> dict[int, int]:
        """Class size → number of classes, where the classes are those of these columns. No pass over the records."""
        keys = [self.key(name) for name in names]
        classes = query.select([named(self.size, "size")], CODED, group=keys)
        asked = Query(()).then("classes", classes).then(
            "sizes", fragment("select size, count(*) from classes group by size order by size")
        )  # fmt: skip
        return {int(size): int(count) for size, count in self.engine.run("count the classes", asked)}

    def beside(self, population: Origin, *, where: str) -> Matched:
        """The classes beside those of a population table, joined null-safe. One pass over the population.

        The population counts persons where it has the entity's column too. Raises `SpecError` for columns that it
        does not have, or has of another type.
        """
        there = {found.name: found for found in self.engine.columns(population)}
        for name in self.keys:
            _comparable(self.columns[name], there, where)
        kinds = {name: {self.columns[name].family, there[name].family} for name in self.keys}
        mixed = {name for name, families in kinds.items() if len(families) > 1 and "float" in families}
        entity = self.entity if self.entity in there else None
        read = [*self.keys, *([entity] if entity else [])]
        size = "count(distinct $e) + max(case when $e is null then 1 else 0 end)" if entity else "count(*)"
        counted = fragment(
            f"select $k, cast({size} as bigint) as $n from source group by $k",
            k=[column(name) for name in self.keys], n=query.identifier(self._n), e=column(entity or ""),
        )  # fmt: skip
        source = _source(self.engine, population, read, there)
        self.engine.temporary("read the population", _POPULATION, source.then("counted", counted))
        return self._matched(mixed)

    def _matched(self, mixed: Set[str]) -> Matched:
        """`mixed`: the columns that hold floating point on one side alone, and are compared as such."""
        sample = fresh("sample", self.keys)
        f, whole = column(sample, "s"), column(self._n, "p")
        keys, alike = [column(name) for name in self.keys], [name for name in self.keys if name not in mixed]
        kinds = [fragment("cast($a as double) is not distinct from cast($b as double)", a=column(name, "s"),
                          b=column(name, "p")) for name in self.keys if name in mixed]  # fmt: skip
        persons = "count(*)" if self.entity else "cast(sum($n) as bigint)"
        classes = fragment(
            f"select $k, {persons} as $f from $raw group by $k",
            k=keys, n=column(self._n), f=query.identifier(sample), raw=_raw(),
        )  # fmt: skip
        tree = fragment(
            "select coalesce($whole, 0) as whole, $f as part from classes as s left join $population as p on $same",
            whole=whole, f=f, population=query.table(_POPULATION),
            same=query.every([query.same(alike, "s", "p"), *kinds]),
        )  # fmt: skip
        told = fragment(
            "select whole, count(*), cast(sum(part) as bigint), count(*) filter (where whole < part) from beside"
            " group by whole order by whole"
        )
        asked = Query(()).then("classes", classes).then("beside", tree).then("told", told)
        found = self.engine.run("compare with the population", asked)
        total = fragment(
            "select cast(coalesce(sum($n), 0) as bigint), count(*) filter (where $n = 1) from $p",
            n=column(self._n), p=query.table(_POPULATION),
        )  # fmt: skip
        ((size, uniques),) = self.engine.run("count the population", total)
        histogram = {int(whole): (int(classes), int(records)) for whole, classes, records, _ in found}
        return Matched(histogram, int(size), int(uniques), sum(int(fewer) for *_, fewer in found))


def _raw() -> Expression:
    return query.table(_RAW)


def _values(i: int) -> str:
    return f"sqlanon values {i}"


def _source(engine: Engine, origin: Origin, names: Sequence[str], columns: Mapping[str, Column]) -> Query:
    own = {name: engine.rendered(query.identifier(name)) for name in names}
    read = ", ".join(f"{plainly(f's.{own[name]}', columns[name])} AS {own[name]}" for name in names)
    return Query(()).then("source", query.Text(f"SELECT {read}\nFROM {engine.origin(origin)} AS s"), inline=True)


def _checked(engine: Engine, origin: Origin, keys: Sequence[str], entity: str | None) -> dict[str, Column]:
    columns = {found.name: found for found in engine.columns(origin)}
    for where, names in (("--qi", keys), ("--entity", [entity] if entity else [])):
        for name in names:
            if name not in columns:
                raise SpecError("the relation has no such column", where=where, found=name, allowed=columns)
    if not keys:
        raise SpecError("at least one quasi-identifier is needed", where="--qi", allowed=columns)
    if entity in keys:
        raise SpecError("who a record is about is no quasi-identifier", where="--entity", found=entity)
    return columns


def _comparable(one: Column, there: Mapping[str, Column], where: str) -> None:
    other = there.get(one.name)
    if other is None:
        raise SpecError("the population has no such column", where=where, found=one.name, allowed=there)
    alike = one.family == other.family if one.family != "other" else one.type == other.type
    if not alike and not (one.family in _NUMBERS and other.family in _NUMBERS):
        raise SpecError(
            f"the column {one.name} is {one.family} in the relation and {other.family} in the population",
            where=where,
        )  # fmt: skip
