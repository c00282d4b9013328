"""HIPAA Safe Harbor (45 CFR 164.514(b)(2)) as a checked list: the 18 kinds of identifiers, A to R, on any relation.

Looks at the names of the columns and, inside the engine, at their values: one GROUP BY per column, of which Python sees
numbers of records only. A detector sees what it has a pattern for; so an item is *found*, *not found*, or *cannot be
checked* where a column could hold it and no pattern tells. That nothing is found is no proof: the rule also asks that
nobody actually knows a way to identify a person, and `holds` is therefore False or None, never True. Safe Harbor says
nothing about risk: k-anonymity and the like belong to Expert Determination.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from sqlanon import query, spelling
from sqlanon.engines import Column, Engine, Origin
from sqlanon.patterns import PATTERNS, kind_of, named, words_of
from sqlanon.spelling import Spelling

Status = Literal["found", "not found", "cannot be checked"]

# The first three digits of the ZIP codes of areas of 20,000 people or fewer, by census. HHS lists those of 2000; those
# of 2010 are as commonly counted from the ZIP code tabulation areas. What either census has is taken for small.
_SMALL_AREAS = {
    2000: "036 059 063 102 203 556 692 790 821 823 830 831 878 879 884 890 893",
    2010: "036 059 102 203 205 369 556 692 821 823 878 879 884 893",
}
RESTRICTED_ZIP3: Mapping[int, frozenset[str]] = {
    census: frozenset(codes.split()) for census, codes in _SMALL_AREAS.items()
}

_OWN = {
    "MAC addresses": r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}",
    "vehicle identification numbers": r"[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{4}[0-9]{4}",
}
_LOOKS = {**{name: p for name, p in PATTERNS.items() if name not in ("postal codes", "UUIDs")}, **_OWN}
_LOOKS_WHOLE = {
    "UUIDs": PATTERNS["UUIDs"],
    "dates in eight digits": r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])",
    "months or quarters": r"\d{4}[-/. ]((0[1-9]|1[0-2])|Q[1-4])|\d{4}Q[1-4]|(0?[1-9]|1[0-2])[-/.]\d{4}",
}
_FILE = "sqlanon file"
_TEXT_LENGTH = 40  # a value with a space and more letters than this is taken for free text
_CALLED = named("names?|nom|nombre")
_MANY = 50  # values; with fewer, a text column holds categories


@dataclass(frozen=True)
class Rule:
    """One item of the list: its letter, what is removed, how the rule reads in our words, and what gives it away.

    `names`: of columns; `kinds`: what `patterns.kind_of` says of a name; `looks`: what values look like. `hidden`:
    where it could be without a pattern that tells: in free `text`, in texts that nobody can `read`, in `binary` values.
    """

    letter: str
    title: str
    text: str
    names: re.Pattern[str] | None = None
    kinds: tuple[str, ...] = ()
    looks: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ("text",)


RULES: tuple[Rule, ...] = (
    Rule("A", "names", "Names of the person and of relatives, employers and household members are removed.",
         named("contact_person|next_of_kin|guardian|physician|doctor|arzt", ""), ("a person's name",),
         hidden=("text", "read")),
    Rule("B", "geography below the state", "Nothing smaller than a state: no street, city, county or precinct. Of a ZIP"
         " code the first three digits may stay where more than 20,000 people live there; else they become 000.",
         named("city|town|ort|ville|commune|ciudad|county|district|precinct|ward_of_residence|neighbou?rhood|lat|lng|lon"
               "|geo|gps|coordinates|geohash|census_tract", "wohnort|stadt|gemeinde|municip|localidad|landkreis"
               "|latitud|longitud|breitengrad|langengrad"), ("an address",)),
    Rule("C", "dates and ages over 89", "Of dates about the person only the year stays. Ages over 89, and years that"
         " tell such an age, become one category of 90 or older.",
         looks=("dates", "dates, day or month first", "months or quarters", "dates in eight digits")),
    Rule("D", "telephone numbers", "Telephone numbers are removed.",
         named("tel|mobile|handy|cell|movil|portable|phones?", "tele[fp]h?on|phone_|_phone|telefono"),
         looks=("phone numbers",)),
    Rule("E", "fax numbers", "Fax numbers are removed; by its form one is found under D.", named("fax", "telefax")),
    Rule("F", "e-mail addresses", "E-mail addresses are removed.", named("e?_?mail|correo", "email|courriel"),
         looks=("e-mail addresses",)),
    Rule("G", "social security numbers", "Social security numbers are removed.",
         named("ssn|nin|nhs|svnr|nir|insee", "social_sec|sozialversich|securite_soc|seguridad_soc"),
         looks=("social security numbers",)),
    Rule("H", "medical record numbers", "Medical record numbers are removed.",
         named("mrn|chart_n(o|r|um|umber)?|patient(en|in)?_?(id|no|nr|num|number|nummer)|fallnummer|fall_?(id|nr)"
               "|case_?(id|no|number)|encounter_?id", "medical_record|krankenakte")),
    Rule("I", "health plan numbers", "Health plan beneficiary numbers are removed.",
         named("member_?(id|no|number)|policy_?(id|no|number)|subscriber_?(id|no|number)|beneficiary.*",
               "insurance_n|insurance_id|health_plan|krankenkasse|versicherungsn|versichertenn")),
    Rule("J", "account numbers", "Account numbers are removed.",
         named("iban|bic|accounts?|konto|account_?(id|no|number)", "kontonummer|account_n|credit_card|kreditkarte"),
         looks=("IBANs", "credit card numbers")),
    Rule("K", "certificates and licences", "Certificate and licence numbers are removed.",
         named("dea|npi|permit|certificate|dni|nie|nif|curp|licen[cs]e(_?(id|no|number))?",
               "passport|reisepass|passeport|pasaporte|fuhrerschein|drivers?_licen|ausweis")),
    Rule("L", "vehicles", "Vehicle identifiers and serial numbers, plates among them, are removed.",
         named("vin|plate|kfz|kennzeichen", "license_plate|licence_plate|vehicle|fahrgestell"),
         looks=("vehicle identification numbers",)),
    Rule("M", "devices", "Device identifiers and serial numbers are removed.",
         named("imei|imsi|udid|udi|mac|serial|devices?", "device_(id|serial|n)|serial_n|seriennummer|mac_addr"),
         looks=("MAC addresses",)),
    Rule("N", "web addresses", "Web addresses (URLs) are removed.", named("url|uri|website|homepage"), looks=("URLs",)),
    Rule("O", "IP addresses", "Addresses of the Internet protocol are removed.", named("ip|ip_?v?[46]", "ip_addr"),
         looks=("IPv4 addresses", "IPv6 addresses")),
    Rule("P", "biometrics", "Biometric identifiers are removed, finger and voice prints among them.",
         named("retina|iris|voice|dna|palm|gait", "finger_?print|biometr|voice_?print|genom|face_?(id|print|emb)"),
         hidden=("binary",)),
    Rule("Q", "photographs", "Full-face photographs and comparable images are removed.",
         named("photos?|fotos?|images?|bild|picture|portrait|selfie", "photograph"), hidden=("binary",)),
    Rule("R", "any other unique code", "Any other number, characteristic or code of one person is removed; a code for"
         " re-identification may stay if it is not derived from the person and its key is kept apart.",
         kinds=("an id", "a person's id", "an official number"), looks=("UUIDs",), hidden=("text", "binary")),
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """Why a column is listed under an item, and the number of its records that show it (None: not counted)."""

    column: str
    why: str
    records: int | None = None


@dataclass(frozen=True)
class Item:
    """What came of one rule."""

    letter: str
    title: str
    rule: str
    status: Status
    columns: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class SafeHarbor:
    """The list with what was found. `holds`: False where something was, else None: nobody can check what is known."""

    source: str
    rows: int
    items: tuple[Item, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool | None:
        return False if any(item.status == "found" for item in self.items) else None

    def to_dict(self) -> dict[str, Any]:
        items = [{**asdict(item), "columns": [asdict(found) for found in item.columns]} for item in self.items]
        return {
            "source": self.source,
            "rows": self.rows,
            "holds": self.holds,
            "census": sorted(RESTRICTED_ZIP3),
            "items": items,
            "notes": list(self.notes),
        }


@dataclass
class _Seen:
    """What one column was seen to hold, in numbers of records."""

    column: Column
    present: int = 0
    distinct: int = 0
    most: int = 0
    long: int = 0
    looks: dict[str, int] = field(default_factory=dict)
    postal: int = 0
    finer: int = 0
    restricted: int = 0
    dated: int = 0
    over: int = 0
    over_kinds: int = 0
    over_exact: int = 0
    born: int = 0

    @property
    def words(self) -> str:
        return words_of(self.column.name)

    @property
    def kind(self) -> str | None:
        return kind_of(self.column.name)

    @property
    def binary(self) -> bool:
        return self.column.type in ("BLOB", "bytea")

    @property
    def is_postal(self) -> bool:
        text = self.column.family == "text"
        return self.kind == "a postal code" or (text and 0 < self.present <= 1.25 * self.postal)

    @property
    def is_code(self) -> bool:
        """Whether what is called an id or a code could be a person's: the codes of few categories are not."""
        return not self.is_postal and (
            self.kind != "an id" or self.distinct > _MANY or 2 * self.distinct > self.present
        )


def safe_harbor(engine: Engine, origin: Origin, *, today: date | None = None) -> SafeHarbor:
    """Checks a relation against the 18 items; one GROUP BY per column. `today` decides which years of birth tell an age
    over 89. Raises `SpecError` where the relation is not there, `EngineError`.
    """
    columns = engine.columns(origin)
    born = (today or date.today()).year - 90
    with _read_once(engine, origin) as item:
        ((rows,),) = engine.run("count the records", f"SELECT count(*) FROM {item}")
        seen = [_look(engine, item, found, born) for found in columns]
    items = tuple(_judged(rule, seen) for rule in RULES)
    census = " and ".join(map(str, sorted(RESTRICTED_ZIP3)))
    notes = (
        "That nobody has actual knowledge of a way to identify a person cannot be checked; a person must say so.",
        f"Small areas by ZIP code are those of the censuses of {census}; a newer list goes before.",
        "Names and patterns recognise what they know; an unusual form, or a name in a text, is not seen.",
    )
    return SafeHarbor(str(origin), int(rows), items, notes)


@contextmanager
def _read_once(engine: Engine, origin: Origin) -> Iterator[str]:
    """The relation as a FROM item; a text file is parsed once, not for every column."""
    if origin.file is None or origin.file.suffix == ".parquet":
        yield f"{engine.origin(origin)} AS s"
        return
    try:
        engine.temporary("read the file", _FILE, query.Text(f"SELECT * FROM {engine.origin(origin)}"))
        yield f"{engine.rendered(query.table(_FILE))} AS s"
    finally:
        engine.drop_temporary(_FILE)


# -- what a column holds -----------------------------------------------------------------------------------------------


def _look(engine: Engine, item: str, found: Column, born: int) -> _Seen:
    """One GROUP BY of a column's values, of which only numbers of records leave the engine."""
    seen = _Seen(found)
    value = engine.rendered(query.column(found.name, "s"))
    if seen.binary:
        ((seen.present,),) = engine.run(f"look at {found.name}", f"SELECT count({value}) FROM {item}")
        return seen
    words = spelling.of(engine)
    asked = _questions(words, found, born)
    # A value of stars only is a suppressed one.
    text = words.trimmed(words.text(query.column(found.name, "s"), found.family))
    grouped = (
        f"SELECT {text} AS word, {_finer_than_year(found, value)} AS dated, count(*) AS n"
        f" FROM {item} WHERE {value} IS NOT NULL GROUP BY 1, 2"
    )
    # A number has lost the zeros that its ZIP code began with.
    digits = words.part("word", "^", "[0-9]+")
    padded = f"lpad({digits}, CAST(greatest(3, length({digits})) AS INTEGER), '0')"
    any_of = "|".join(_within(pattern) for pattern in _LOOKS.values())
    number = words.number(words.part("word", "", "[0-9]+(?:[.][0-9]+)?"))
    looked = (
        f"SELECT *, {words.holds('word', any_of)} AS alike,"
        f" {padded if found.family == 'integer' else digits} AS digits, {number} AS number"
        f" FROM ({grouped}) AS g WHERE word <> '' AND NOT {words.is_all('word', '[*]+')}"
    )
    (row,) = engine.run(f"look at {found.name}", f"SELECT {', '.join(asked.values())} FROM ({looked}) AS l")
    for name, number in zip(asked, row, strict=True):
        if name in _LOOKS or name in _LOOKS_WHOLE:
            seen.looks[name] = int(number)
        else:
            setattr(seen, name, int(number))
    return seen


def _questions(words: Spelling, found: Column, born: int) -> dict[str, str]:
    def records(condition: str) -> str:
        return f"CAST(coalesce(sum(n) FILTER (WHERE {condition}), 0) AS BIGINT)"

    small = ", ".join(query.constant(zip3) for zip3 in sorted(frozenset().union(*RESTRICTED_ZIP3.values())))
    coarse = words.is_all(f"digits || {words.without('word', '^[0-9]+')}", "[0-9]{0,3}[*xX#?-]*")
    year = words.number(words.part("word", "^|[^0-9]", "[0-9]{4}", "[^0-9]|$"))
    asked = {
        "present": records("true"),
        "distinct": "count(*)",
        "most": "coalesce(max(n), 0)",
        "long": records(f"length(word) > {_TEXT_LENGTH} AND position(' ' in word) > 0"),
        "postal": records(words.is_all("word", PATTERNS["postal codes"])),
        "finer": records(f"NOT {coarse}"),
        "restricted": records(f"left(digits, 3) IN ({small})"),
        "dated": records("dated"),
        "over": records("number > 89"),
        "over_kinds": "count(*) FILTER (WHERE number > 89)",
        "over_exact": "count(*) FILTER (WHERE number = 90)",
        "born": records(f"{year} BETWEEN 1000 AND {born}"),
    }
    if found.family in ("text", "integer"):
        asked |= {name: records(words.is_all("word", pattern)) for name, pattern in _LOOKS_WHOLE.items()}
    if found.family == "text" or (found.family == "other" and not _timed(found)):
        asked |= {name: records(f"alike AND {words.holds('word', _within(p))}") for name, p in _LOOKS.items()}
    return asked


def _timed(found: Column) -> bool:
    return "TIME" in found.type.upper()


def _finer_than_year(found: Column, value: str) -> str:
    """Dates of which every one is a first of January are taken for years."""
    if found.family in ("date", "timestamp") or found.type.upper().startswith("TIMESTAMP"):
        return f"isfinite({value}) AND {value} <> date_trunc('year', {value})"
    return "false"


def _within(pattern: str) -> str:
    """The pattern as a part of a text, between what is no letter and no digit."""
    return f"(^|[^A-Za-z0-9])({pattern})($|[^A-Za-z0-9])"


# -- what it comes to --------------------------------------------------------------------------------------------------


def _judged(rule: Rule, seen: Sequence[_Seen]) -> Item:
    found = tuple(evidence for one in seen for evidence in _evidence(rule, one))
    if found:
        return Item(rule.letter, rule.title, rule.text, "found", found)
    hidden = tuple(evidence for one in seen for evidence in _hiding(rule, one))
    return Item(rule.letter, rule.title, rule.text, "cannot be checked" if hidden else "not found", hidden)


def _evidence(rule: Rule, seen: _Seen) -> Iterable[Evidence]:
    """Why the column falls under the rule; a column without values falls under none."""
    name = seen.column.name
    if not seen.present:
        return
    if (rule.names and rule.names.search(seen.words)) or (seen.kind in rule.kinds and seen.is_code):
        yield Evidence(name, "by its name", seen.present)
    for looks in rule.looks:
        # Eight digits are also a number: they are dates where nearly all of the values could be some.
        if seen.looks.get(looks, 0) > (0.8 * seen.present if looks == "dates in eight digits" else 0):
            yield Evidence(name, f"values like {looks}", seen.looks[looks])
    if rule.letter == "B" and seen.is_postal:
        yield from _postal(seen)
    elif rule.letter == "C":
        yield from _dated(seen)
    elif rule.letter == "R" and _unique(seen):
        yield Evidence(name, "no value occurs twice", seen.present)


def _postal(seen: _Seen) -> Iterable[Evidence]:
    if seen.finer:
        yield Evidence(seen.column.name, "postal codes of more than three digits", seen.finer)
    if seen.restricted:
        yield Evidence(seen.column.name, "areas of 20,000 people or fewer that are not 000", seen.restricted)


def _dated(seen: _Seen) -> Iterable[Evidence]:
    if seen.dated:
        yield Evidence(seen.column.name, "dates finer than a year", seen.dated)
    if seen.kind == "age" and (seen.over_kinds > 1 or seen.over_kinds > seen.over_exact):
        yield Evidence(seen.column.name, "ages over 89 that are not one category of 90 or older", seen.over)
    if seen.kind == "birth" and seen.born:
        yield Evidence(seen.column.name, "years of birth that tell an age over 89", seen.born)


def _unique(seen: _Seen) -> bool:
    codes = seen.column.family in ("text", "integer") and not seen.is_postal
    return codes and seen.present >= 20 and seen.most == 1


def _hiding(rule: Rule, seen: _Seen) -> Iterable[Evidence]:
    """Columns that could hold the item, though nothing tells that they do."""
    name, family = seen.column.name, seen.column.family
    if not seen.present:
        return
    if seen.binary:
        if "binary" in rule.hidden:
            yield Evidence(name, "binary values, which nobody read", seen.present)
    elif "text" in rule.hidden and (seen.long or (family == "text" and seen.kind == "free text")):
        yield Evidence(name, "free text, in which only patterns were looked for", seen.long or seen.present)
    elif "text" in rule.hidden and family == "other" and not _timed(seen.column):
        yield Evidence(name, "nested values, in which only patterns were looked for", seen.present)
    elif "read" in rule.hidden and family == "text" and seen.kind is None:
        if _CALLED.search(seen.words):
            yield Evidence(name, "called a name, and nothing tells whose", seen.present)
        elif seen.distinct > _MANY:
            yield Evidence(name, "many different texts under a name that does not tell what they are", seen.present)
