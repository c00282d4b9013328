"""An invented hospital, so that a newcomer sees the whole way from table to release without own data.

The table has what makes real tables hard: a skewed population, correlated columns, several stays per
person, missing values and a few people whom age and country of birth alone give away. Nobody in it exists.

The bytes are the same on every machine and Python version, so that results can be quoted and compared:
all chance comes from `Random.random()`, the one generator whose sequence Python promises to keep, and all
arithmetic after it is on integers.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

SPEC = """\
# What may leave the hospital, and under which conditions. Every column of the source is named here:
# a column that nobody thought about stops the plan instead of slipping through.

source: patients.csv            # one row per hospital stay; paths are relative to this file
entity: patient_id              # one person may have several stays; k counts persons, not rows

columns:
  # Identifiers name a person by themselves. They are never published.
  patient_id: identifier
  name:       identifier

  # Quasi-identifiers are known to neighbours and colleagues; together they give a person away.
  # A hierarchy says how a value may become coarser, step by step.
  age:        {role: quasi-identifier, hierarchy: {width: [5, 10, 20, 40]}}              # 37 → 35-39 → 30-39 → …
  sex:        {role: quasi-identifier}                                                   # published as it is
  zip:        {role: quasi-identifier, hierarchy: {mask: 5}}                             # 10437 → 1043* → 104** → …
  country:    {role: quasi-identifier, hierarchy: {csv: hierarchies/country.csv}}        # of birth → region → continent
  admitted:   {role: quasi-identifier, hierarchy: {date: [month, quarter, year]}}        # day → month → quarter → year

  # Sensitive columns hold what nobody should learn about a person. The tree says which values mean nearly
  # the same: a class with four kinds of cancer has four diseases, and yet betrays that it is cancer.
  disease:
    role: sensitive
    hierarchy:
      tree:
        Circulatory: [heart failure, heart attack, stroke]
        Respiratory: [asthma, bronchitis, influenza, pneumonia]
        Cancer: [breast cancer, colon cancer, leukemia, lung cancer, prostate cancer]
        Digestive: [appendicitis, gallstones, gastritis]
        Injury: [arm fracture, concussion, hip fracture]
        Mind and nerves: [dementia, depression, epilepsy]
        Metabolic: [diabetes type 1, diabetes type 2, thyroid disorder]

  ward:       drop              # follows from the disease: "Oncology" would betray what the models below protect
  notes:      drop              # free text contains names, and no hierarchy makes it safe
  weight_kg:  insensitive       # published as it is: taken here to be known to no outsider, and no secret

privacy:
  # Everybody looks like at least 4 other persons: same values in all quasi-identifiers.
  - {model: k-anonymity, k: 5}
  # Within each class the diseases are as uncertain as among at least 3 equally frequent ones.
  - {model: l-diversity, column: disease, kind: entropy, l: 3}
  # The diseases of each class resemble those of the whole table: knowing the class teaches little.
  - {model: t-closeness, column: disease, distance: hierarchical, t: 0.3}

# One level per column for the whole table; at most 2 % of the rows may be left out to keep the rest precise.
recoding: {method: full-domain, suppression: 0.02, loss: loss}

publish: {name: patients_release, as: table}
"""

COLUMNS = (
    "patient_id", "name", "age", "sex", "zip", "country", "admitted", "ward", "disease", "weight_kg", "notes",
)  # fmt: skip

FIRST_DAY, LAST_DAY = date(2023, 1, 1), date(2025, 12, 31)
WEEKDAYS = (12, 11, 11, 10, 9, 6, 5)  # weights, Monday first: planned stays begin early in the week
MONTHS = (13, 13, 12, 10, 9, 9, 8, 8, 9, 10, 11, 11)  # weights, January first: winters are busy


class Country(NamedTuple):
    """A country of birth, where it lies, and how many of 10,000 patients come from it."""

    name: str
    region: str
    continent: str
    weight: int


COUNTRIES = (
    Country("Germany", "Western Europe", "Europe", 8930),
    Country("Poland", "Eastern Europe", "Europe", 260),
    Country("Turkey", "Western Asia", "Asia", 190),
    Country("Romania", "Eastern Europe", "Europe", 110),
    Country("Ukraine", "Eastern Europe", "Europe", 90),
    Country("Italy", "Southern Europe", "Europe", 65),
    Country("Russia", "Eastern Europe", "Europe", 60),
    Country("Syria", "Western Asia", "Asia", 55),
    Country("Greece", "Southern Europe", "Europe", 40),
    Country("Croatia", "Southern Europe", "Europe", 36),
    Country("Austria", "Western Europe", "Europe", 30),
    Country("Spain", "Southern Europe", "Europe", 24),
    Country("France", "Western Europe", "Europe", 22),
    Country("Netherlands", "Western Europe", "Europe", 18),
    Country("Switzerland", "Western Europe", "Europe", 12),
    Country("Afghanistan", "Southern Asia", "Asia", 12),
    Country("Iraq", "Western Asia", "Asia", 10),
    Country("Vietnam", "Southeastern Asia", "Asia", 9),
    Country("India", "Southern Asia", "Asia", 8),
    Country("Nigeria", "Western Africa", "Africa", 6),
    Country("Morocco", "Northern Africa", "Africa", 5),
    Country("United States", "Northern America", "America", 4),
    Country("Brazil", "South America", "America", 3),
    Country("New Zealand", "Australasia", "Oceania", 1),
)

# Age, sex, country of birth: unique in any town, so only suppression or a very coarse level hides them.
RARE = ((97, "F", "New Zealand"), (96, "M", "Brazil"), (97, "M", "Nigeria"), (94, "F", "Vietnam"), (0, "F", "Morocco"))

# The first two digits of a zip code: the share of people born here and of people born abroad who live there.
DISTRICTS = {"10": (20, 50), "12": (17, 38), "13": (14, 5), "14": (12, 2), "15": (11, 2), "16": (10, 1), "17": (8, 1),
             "39": (8, 1)}  # fmt: skip
ZIPS_PER_DISTRICT = 15


class Disease(NamedTuple):
    """A disease, the ward that treats it, and whom it strikes.

    `by_age` weighs it at 0-17, 18-39, 40-64 and from 65 years; `women` is the percentage of women among the ill.
    The categories stand in the spec only: what the file declares is what the models see.
    """

    name: str
    ward: str
    by_age: tuple[int, int, int, int]
    women: int = 50


DISEASES = (
    Disease("heart failure", "Cardiology", (4, 4, 6, 10)),
    Disease("heart attack", "Cardiology", (0, 3, 8, 7), women=34),
    Disease("stroke", "Neurology", (3, 4, 6, 8), women=48),
    Disease("asthma", "Pulmonology", (11, 6, 4, 2)),
    Disease("bronchitis", "Pulmonology", (6, 5, 5, 5), women=46),
    Disease("influenza", "Internal medicine", (6, 5, 4, 5)),
    Disease("pneumonia", "Pulmonology", (4, 4, 5, 6), women=45),
    Disease("breast cancer", "Oncology", (0, 4, 6, 4), women=99),
    Disease("colon cancer", "Oncology", (2, 3, 4, 5), women=45),
    Disease("leukemia", "Oncology", (7, 4, 3, 3), women=45),
    Disease("lung cancer", "Oncology", (0, 3, 4, 4), women=40),
    Disease("prostate cancer", "Oncology", (0, 0, 3, 5), women=0),
    Disease("appendicitis", "Surgery", (7, 6, 3, 2), women=46),
    Disease("gallstones", "Surgery", (3, 5, 6, 4), women=66),
    Disease("gastritis", "Internal medicine", (5, 5, 5, 5), women=52),
    Disease("arm fracture", "Surgery", (7, 6, 5, 4), women=44),
    Disease("concussion", "Neurology", (5, 5, 3, 3), women=42),
    Disease("hip fracture", "Surgery", (1, 2, 3, 6), women=70),
    Disease("dementia", "Geriatrics", (0, 0, 2, 9), women=60),
    Disease("depression", "Psychiatry", (7, 8, 7, 5), women=63),
    Disease("epilepsy", "Neurology", (5, 4, 3, 3), women=47),
    Disease("diabetes type 1", "Internal medicine", (6, 5, 3, 3), women=46),
    Disease("diabetes type 2", "Internal medicine", (4, 5, 8, 8), women=44),
    Disease("thyroid disorder", "Internal medicine", (4, 6, 5, 4), women=78),
)

FIRST_NAMES = {
    "F": "Alice Anna Clara Elif Emma Frieda Greta Ida Johanna Lena Maria Marta Mila Nora Olga Paula Rosa Sofia Vera",
    "M": "Adam Anton Ben Carl David Emil Felix Georg Hugo Ivan Jonas Karim Leo Max Oskar Paul Robert Tom Viktor",
}
LAST_NAMES = """Albrecht Arnold Bauer Becker Berger Brandt Demir Fischer Fuchs Graf Haas Hartmann Hoffmann Jansen Kaya
Keller Koch Kowalski Krause Lang Lehmann Lorenz Meyer Moser Neumann Novak Otto Peters Popa Richter Rossi Sauer Schmidt
Schulz Simon Stein Vogel Wagner Weber Winter"""

NOTES = (
    "{name} arrived by ambulance, relatives informed.",
    "Planned stay. {name} asked for a quiet room.",
    "Spoke with {name} about the results; calls the family doctor next week.",
    "{name} was referred by the family doctor.",
    "{name} feels better, discharge discussed.",
    "Diet and exercise explained to {name}, leaflet handed over.",
)


class Wheel(Generic[T]):
    """A wheel of fortune: values drawn with integer weights, from one `random()` each."""

    def __init__(self, weighted: Iterable[tuple[T, int]]) -> None:
        pairs = [(value, weight) for value, weight in weighted if weight]
        self.values = [value for value, _ in pairs]
        self.bounds = list(accumulate(weight for _, weight in pairs))

    def spin(self, rng: Random) -> T:
        """One value; the more weight it has, the likelier."""
        return self.values[bisect_right(self.bounds, below(rng, self.bounds[-1]))]


def below(rng: Random, n: int) -> int:
    """A whole number from 0 to n - 1. `randrange` may change between Python versions; this does not."""
    return int(rng.random() * n)


def pick(rng: Random, values: Sequence[T]) -> T:
    """One of the values, all equally likely."""
    return values[below(rng, len(values))]


def bell(rng: Random, low: int, high: int) -> int:
    """A whole number from low to high, most often in the middle."""
    return low + (below(rng, high - low + 1) + below(rng, high - low + 1)) // 2


def draw_age(rng: Random, abroad: bool) -> int:
    """Children, adults and, most of all, the old; people who were born abroad are younger."""
    kind = below(rng, 100)
    if kind < 12:
        return below(rng, 18)
    return bell(rng, 16, 66) if kind < (80 if abroad else 48) else bell(rng, 50, 97)


def draw_weight(rng: Random, age: int, sex: str) -> str:
    """Kilograms to the half kilogram. Each stay weighs anew: a constant would link the stays of a person."""
    grown = (168 if sex == "M" else 140) - max(0, age - 70) // 3  # all in half kilograms
    usual = 12 + age * (grown - 12) // 18 if age < 18 else grown
    halves = usual * bell(rng, 70, 134) // 100
    return f"{halves // 2}.{halves % 2 * 5}"


def wheel_of_days() -> Wheel[str]:
    """The days of admission as ISO text."""
    days = (FIRST_DAY + timedelta(n) for n in range((LAST_DAY - FIRST_DAY).days + 1))
    return Wheel((day.isoformat(), WEEKDAYS[day.weekday()] * MONTHS[day.month - 1]) for day in days)


def wheels_of_zips(rng: Random) -> tuple[Wheel[str], Wheel[str]]:
    """The homes of people born here and abroad: in each district a few zip codes hold most people (Zipf)."""
    homes = []
    for district, shares in DISTRICTS.items():
        for rank in range(1, ZIPS_PER_DISTRICT + 1):
            code = f"{district}{rank * 7 % ZIPS_PER_DISTRICT * 60 + 100 + below(rng, 60):03d}"
            homes.append((code, [share * 1000 // rank for share in shares]))
    return Wheel((code, here) for code, (here, _) in homes), Wheel((code, abroad) for code, (_, abroad) in homes)


def wheel_of_diseases(band: int, sex: str) -> Wheel[Disease]:
    """What strikes women or men of one age band."""
    return Wheel((d, d.by_age[band] * (d.women if sex == "F" else 100 - d.women)) for d in DISEASES)


def stays(patients: int, rng: Random) -> Iterator[tuple[str, ...]]:
    """The rows, person by person, in the order of COLUMNS."""
    days, countries = wheel_of_days(), Wheel((c.name, c.weight) for c in COUNTRIES)
    zips_here, zips_abroad = wheels_of_zips(rng)
    diseases = {(band, sex): wheel_of_diseases(band, sex) for band in range(4) for sex in "FM"}
    how_many = Wheel(((1, 78), (2, 14), (3, 5), (4, 3)))
    first_names, last_names = {sex: names.split() for sex, names in FIRST_NAMES.items()}, LAST_NAMES.split()
    rare = {below(rng, patients): person for person in RARE}

    for number in range(patients):
        country = countries.spin(rng)
        age, sex = draw_age(rng, country != COUNTRIES[0].name), "F" if below(rng, 100) < 52 else "M"
        age, sex, country = rare.get(number, (age, sex, country))
        home = (zips_here if country == COUNTRIES[0].name else zips_abroad).spin(rng)
        name = f"{pick(rng, first_names[sex])} {pick(rng, last_names)}"
        if number not in rare and below(rng, 200) == 0:
            country = ""
        falls_ill = diseases[(age >= 18) + (age >= 40) + (age >= 65), sex]
        disease = falls_ill.spin(rng)
        for stay, day in enumerate(sorted({days.spin(rng) for _ in range(how_many.spin(rng))})):
            if stay and below(rng, 10) < 3:  # most people come back with what they had
                disease = falls_ill.spin(rng)
            weight = draw_weight(rng, age, sex) if below(rng, 100) else ""
            notes = pick(rng, NOTES).format(name=name)
            yield (f"P{number + 1:06d}", name, str(age), sex, home, country, day, disease.ward, disease.name, weight,
                   notes)  # fmt: skip


def write(directory: Path, *, patients: int = 20_000, seed: int = 2020) -> Path:
    """Write patients.csv, hierarchies/country.csv and patients.yaml into `directory`, and return the spec's path.

    The directory is created where it is missing; files of these names are replaced. Rows stand in order of
    admission, as a hospital would export them. With the default number of patients the spec can be satisfied.
    """
    (directory / "hierarchies").mkdir(parents=True, exist_ok=True)
    rows = sorted(stays(patients, Random(seed)), key=lambda row: (row[COLUMNS.index("admitted")], row[0]))
    with (directory / "patients.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
    lines = (f"{c.name};{c.region};{c.continent};*\n" for c in COUNTRIES)
    (directory / "hierarchies" / "country.csv").write_text("".join(lines), encoding="utf-8", newline="\n")
    spec = directory / "patients.yaml"
    spec.write_text(SPEC, encoding="utf-8", newline="\n")
    return spec
