"""How likely it is that somebody finds a person in a table, and which columns make it so.

Notation of El Emam 2013: f records (persons, where there is an entity) share a record's quasi-identifiers in the
sample, F in the population. The *prosecutor* knows that the person is in the sample: a record's risk is 1 / f. The
*journalist* does not: 1 / F. The *marketer* matches everybody and counts what is right: the mean of 1 / F. Ra is the
share of the records whose risk is above the threshold, Rb the highest risk, Rc the average.

One pass over the relation counts the combinations of the quasi-identifiers (one more over the population, where it is
a table); everything else is counted from these, and Python sees histograms only. What none of this measures: what
somebody learns about a person without finding a record (`check`), and attackers who know more than these columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import combinations
from typing import Any

from sqlanon.combinations import Combinations, Matched
from sqlanon.engines import Engine, Origin
from sqlanon.errors import SpecError
from sqlanon.models import exact
from sqlanon.portable import one_spelling
from sqlanon.shown import Shown
from sqlanon.suda import Suda, suda_scores
from sqlanon.uniqueness import ESTIMATORS, dankar, expected_records_below, expected_risk

MOST_SUBSETS = 1000

_TABLE = "the population table"
_ESTIMATED = "an estimate from the population's size: F given f is negative binomial (Franconi & Polettini 2004)"


@dataclass(frozen=True)
class Scenario:
    """One attacker. `above` is Ra, the share of the records (`records` of them) whose risk is above the threshold;
    `highest` Rb; `average` Rc; `method` where the class sizes are from. Of an estimate all four are expectations.
    """

    above: float
    highest: float
    average: float
    records: int
    method: str


@dataclass(frozen=True)
class Estimate:
    """Population uniques after one estimator, None where it has no answer, and their share of the population.

    `model`: the estimator that Dankar's rule took.
    """

    estimator: str
    uniques: float | None
    share: float | None
    model: str | None = None


@dataclass(frozen=True)
class Population:
    """`size` is N, `fraction` n / N. Where the population is a table its `uniques` are counted, and so are the
    `sample_uniques`, the records of the sample that are unique in the population; else both are None.
    """

    size: int
    fraction: float
    estimates: tuple[Estimate, ...]
    uniques: int | None = None
    sample_uniques: int | None = None


@dataclass(frozen=True)
class Subset:
    """What some of the quasi-identifiers alone tell apart.

    `distinction`: combinations ÷ records, which is the average risk too; `separation`: the share of the pairs of
    records that differ (None for one record); `uniques`: records that nobody shares the combination with (Motwani &
    Xu 2007).
    """

    columns: tuple[str, ...]
    combinations: int
    distinction: float
    separation: float | None
    uniques: int
    average_risk: float
    above: float


@dataclass(frozen=True)
class Cost:
    """By how much the average risk, the share of records above the threshold, and the records that are unique fall
    when one column is left out of all the quasi-identifiers.
    """

    column: str
    average_risk: float
    above: float
    uniques: int


@dataclass(frozen=True)
class Risk(Shown):
    """What was measured. `units` are records, or persons, of whom each counts once in each class; `size` is their n,
    `persons` how many different ones there are (None for records).

    Never a promise: None stands where there is nothing to tell, and no number here has been held against a bound.
    """

    source: str
    rows: int
    units: str
    persons: int | None
    size: int
    classes: int
    quasi_identifiers: tuple[str, ...]
    threshold: float
    prosecutor: Scenario
    journalist: Scenario | None
    marketer: float | None
    uniques: int
    population: Population | None
    subsets: tuple[Subset, ...] = ()
    costs: tuple[Cost, ...] = ()
    suda: Suda | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "rows": self.rows,
            "units": self.units,
            "persons": self.persons,
            "size": self.size,
            "classes": self.classes,
            "quasi_identifiers": list(self.quasi_identifiers),
            "threshold": self.threshold,
            "prosecutor": asdict(self.prosecutor),
            "journalist": self.journalist and asdict(self.journalist),
            "marketer": self.journalist and {"average": self.marketer, "method": self.journalist.method},
            "sample_uniques": {"records": self.uniques, "share": self.uniques / self.size},
            "population": self.population and _listed(asdict(self.population)),
            "subsets": [_listed(asdict(subset)) for subset in self.subsets],
            "columns": [asdict(cost) for cost in self.costs],
            "suda": self.suda and self.suda.to_dict(),
            "notes": list(self.notes),
        }


def _listed(found: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def risk(
    engine: Engine,
    origin: Origin,
    *,
    quasi_identifiers: Sequence[str],
    entity: str | None = None,
    population: Origin | None = None,
    population_size: int | None = None,
    threshold: float = 0.2,
    subsets: int | None = 3,
    suda: bool = False,
    suda_size: int | None = None,
) -> Risk:
    """Measures the risks of a relation: one pass over it, one over the population where that is a table.

    `threshold`: above which risk a record is at risk. `population`: a table of everybody, with the quasi-identifiers'
    columns; `population_size`: how many they are, where there is no table. `subsets`: up to how many columns the
    subsets have (None or 0: none). `suda`: scores special uniques by sets of up to `suda_size` columns (3, where there
    are more than 3), one GROUP BY of the combinations per set.
    Raises `SpecError` for names that are not there, a threshold outside (0, 1], too many subsets, a relation without
    rows, and a population that is smaller than the sample, as a whole or in one class; `EngineError`.
    """
    names = tuple(dict.fromkeys(quasi_identifiers))
    _checked(names, threshold, population, population_size, subsets, suda, entity)
    if entity:
        one_spelling(entity, engine.columns(origin), "--entity")
    with Combinations(engine, origin, names, entity) as found:
        sizes = found.histogram(names)
        matched = found.beside(population, where="--population") if population else None
        if matched and matched.missing:
            raise SpecError(
                f"{matched.missing:,} of {sum(sizes.values()):,} classes have fewer records in the population than in"
                " the sample, so the sample is not of this population", where="--population",
            )  # fmt: skip
        measured = _measured(found, sizes, matched, population_size, threshold)
        whole = measured.population.fraction if measured.population else None
        return replace(
            measured,
            source=str(origin),
            notes=tuple(_notes(found, measured, population, engine)),
            subsets=_subsets(found, sizes, min(subsets or 0, len(names)), threshold),
            costs=_costs(found, sizes, threshold),
            suda=suda_scores(found, sizes, size=suda_size, fraction=whole, threshold=threshold) if suda else None,
        )


def _checked(
    names: Sequence[str],
    threshold: float,
    population: Origin | None,
    population_size: int | None,
    subsets: int | None,
    suda: bool,
    entity: str | None,
) -> None:
    if not 0 < threshold <= 1:
        raise SpecError("a threshold is a risk above 0 and at most 1", where="--threshold", found=str(threshold))
    if population is not None and population_size is not None:
        raise SpecError("either the population's table or its size, not both", where="--population-size")
    if (subsets or 0) < 0:
        raise SpecError("a number of columns is not negative", where="--subsets", found=str(subsets))
    if number_of_subsets(len(names), subsets or 0) > MOST_SUBSETS:
        raise SpecError(
            f"{len(names)} quasi-identifiers have more than {MOST_SUBSETS:,} subsets of up to {subsets} columns",
            where="--subsets", found=str(subsets),
        )  # fmt: skip
    if suda and entity:
        raise SpecError("SUDA scores records, so it needs a relation with one record per person", where="--entity")
    if suda and len(names) < 2:
        raise SpecError("SUDA needs two quasi-identifiers or more", where="--suda")


def number_of_subsets(columns: int, most: int) -> int:
    """How many subsets of 1 … `most` of so many columns there are."""
    return sum(math.comb(columns, size) for size in range(1, min(most, columns) + 1))


def _notes(found: Combinations, measured: Risk, population: Origin | None, engine: Engine) -> Iterable[str]:
    if found.entity:
        yield "persons are counted: one counts once in each class that has records of theirs"
    if found.entity and population is not None and found.entity not in {c.name for c in engine.columns(population)}:
        yield f"the population has no column {found.entity}: its records are counted, not its persons"
    if measured.journalist and measured.journalist.method == _ESTIMATED and measured.population:
        yield "the journalist's and the marketer's risks are expectations of a model, not measures"
        rule = next(one for one in measured.population.estimates if one.estimator == "dankar")
        if rule.uniques is not None:
            alone = min(rule.uniques * measured.population.fraction, measured.uniques)
            yield f"by Dankar's rule {alone:,.0f} of the sample are unique in the population; there the risk is 1"
        if measured.persons and measured.persons != measured.size:
            times = measured.size / measured.persons
            yield f"a person is in {times:.2f} classes on average, and so the population is taken to be"


# -- the three attackers -----------------------------------------------------------------------------------------------


def _measured(
    found: Combinations,
    sizes: Mapping[int, int],
    matched: Matched | None,
    population_size: int | None,
    threshold: float,
) -> Risk:
    n, uniques = _records(sizes), sizes.get(1, 0)
    population, journalist = None, None
    if matched:
        population = _population(sizes, matched.size, matched.size, matched)
        journalist = journalist_of(matched, n, threshold)
    elif population_size is not None:
        population = _sized(sizes, population_size, found.persons or n)
        journalist = _estimated(sizes, population.fraction, threshold)
    return Risk(
        source="",
        rows=found.records,
        units="persons" if found.entity else "records",
        persons=found.persons,
        size=n,
        classes=sum(sizes.values()),
        quasi_identifiers=found.keys,
        threshold=threshold,
        prosecutor=prosecutor_of(sizes, threshold),
        journalist=journalist,
        marketer=float(marketer_of(matched, n)) if matched else (journalist.average if journalist else None),
        uniques=uniques,
        population=population,
    )


def _records(sizes: Mapping[int, int]) -> int:
    return sum(size * count for size, count in sizes.items())


def _safe_size(threshold: float) -> int:
    """The least class size whose risk is not above the threshold, which is the number that a person wrote."""
    limit = exact(threshold)
    return -(-limit.denominator // limit.numerator)


def _at_risk(sizes: Iterable[tuple[int, int]], threshold: float) -> int:
    """Records in (class size, records) pairs whose 1 / size is above the threshold."""
    safe = _safe_size(threshold)
    return sum(records for size, records in sizes if size < safe)


def prosecutor_of(sizes: Mapping[int, int], threshold: float) -> Scenario:
    """The prosecutor's risks, from how many classes have which size."""
    n = _records(sizes)
    above = _at_risk(((size, size * count) for size, count in sizes.items()), threshold)
    return Scenario(above / n, 1 / min(sizes), sum(sizes.values()) / n, above, "the sample")


def journalist_of(matched: Matched, n: int, threshold: float) -> Scenario:
    """The journalist's risks for n records: Rc is the larger of classes ÷ ΣF and the mean of 1 / F (El Emam 2013)."""
    pairs = matched.histogram
    above = _at_risk(((whole, records) for whole, (_, records) in pairs.items()), threshold)
    everybody = sum(whole * classes for whole, (classes, _) in pairs.items())
    average = max(Fraction(sum(classes for classes, _ in pairs.values()), everybody), marketer_of(matched, n))
    return Scenario(above / n, 1 / min(pairs), float(average), above, _TABLE)


def marketer_of(matched: Matched, n: int) -> Fraction:
    """The mean of 1 / F over the records of the sample."""
    return sum((Fraction(records, whole * n) for whole, (_, records) in matched.histogram.items()), Fraction(0))


def _estimated(sizes: Mapping[int, int], fraction: float, threshold: float) -> Scenario:
    """What is expected where only the population's size is known.

    Ra: the expected share of records with a risk above the threshold. Rb: of the smallest population class that half a
    record or more is expected to be in. Rc: the expected average.
    """
    n = _records(sizes)
    above = expected_records_below(sizes, fraction, _safe_size(threshold))
    average = math.fsum(expected_risk(size, fraction) * size * count for size, count in sizes.items()) / n
    low, high = 1, 2
    while expected_records_below(sizes, fraction, high) < 0.5:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if expected_records_below(sizes, fraction, middle) >= 0.5 else (middle, high)
    return Scenario(above / n, 1 / low, average, round(above), _ESTIMATED)


def _sized(sizes: Mapping[int, int], size: int, sampled: int) -> Population:
    """`sampled` of a population of `size` are in the sample, and as many classes of a person here as there."""
    if size < sampled:
        raise SpecError(
            f"the population ({size:,}) is smaller than the sample ({sampled:,})", where="--population-size"
        )  # fmt: skip
    return _population(sizes, size, round(Fraction(_records(sizes) * size, sampled)), None)


def _population(sizes: Mapping[int, int], size: int, counted: int, matched: Matched | None) -> Population:
    """All estimators, and what a table of the population says itself. `counted`: N as the classes count."""
    estimates = []
    for name, estimator in ESTIMATORS.items():
        rule = dankar(sizes, counted) if name == "dankar" else None
        uniques = rule.estimate if rule else estimator(sizes, counted)
        told = None if math.isnan(uniques) else uniques
        share = None if told is None else told / counted
        estimates.append(Estimate(name, told, share, rule.model if rule and told is not None else None))
    _, alone = matched.histogram.get(1, (0, 0)) if matched else (0, 0)
    own = (matched.uniques, alone) if matched else (None, None)
    return Population(size, _records(sizes) / counted, tuple(estimates), *own)


# -- columns -----------------------------------------------------------------------------------------------------------


def _subset(columns: Sequence[str], sizes: Mapping[int, int], threshold: float) -> Subset:
    n, classes = _records(sizes), sum(sizes.values())
    together = sum(count * size * (size - 1) for size, count in sizes.items())
    separation = float(1 - Fraction(together, n * (n - 1))) if n > 1 else None
    above = _at_risk(((size, size * count) for size, count in sizes.items()), threshold) / n
    return Subset(tuple(columns), classes, classes / n, separation, sizes.get(1, 0), classes / n, above)


def _subsets(found: Combinations, sizes: Mapping[int, int], most: int, threshold: float) -> tuple[Subset, ...]:
    """Every subset of up to `most` columns, the one that tells most apart first; one GROUP BY of combinations each."""
    made = []
    for size in range(1, most + 1):
        for columns in combinations(found.keys, size):
            classes = sizes if columns == found.keys else found.histogram(columns)
            made.append(_subset(columns, classes, threshold))
    return tuple(sorted(made, key=lambda s: (-s.distinction, -(s.separation or 0), len(s.columns), s.columns)))


def _costs(found: Combinations, sizes: Mapping[int, int], threshold: float) -> tuple[Cost, ...]:
    """What each column costs, the dearest first; one GROUP BY of combinations each."""
    whole, made = _subset(found.keys, sizes, threshold), []
    for name in found.keys:
        rest = [other for other in found.keys if other != name]
        without = _subset(rest, found.histogram(rest), threshold)
        fallen = whole.average_risk - without.average_risk, whole.above - without.above
        made.append(Cost(name, *fallen, whole.uniques - without.uniques))
    return tuple(sorted(made, key=lambda cost: (-cost.average_risk, -cost.uniques, cost.column)))
