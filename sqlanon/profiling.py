"""What a source looks like, in numbers, and the spec that these numbers propose: the work of `sqlanon init`.

Counted in the engine: values, distinct values, lengths, entropies, orders of magnitude, the shares of values that look
like an e-mail address and the like, and how many records a pair of columns singles out. No cell reaches Python, and none
stands in the proposal. It is a start for a person: what no name or content explains is taken to be known to others,
nothing is taken to be harmless, and every line says why it is as it is.
"""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from itertools import combinations
from typing import Any, cast

import yaml

from sqlanon import query
from sqlanon.engines import Column, Origin
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.planning import Tell, silent
from sqlanon.spec import FILE_ENDINGS

EXACT_ROWS = 5_000_000  # beyond, distinct values are estimated, and all but counts comes from a sample of this size
MOST_CANDIDATES, KEPT_CANDIDATES = 15, 8  # with more quasi-identifiers no table is both safe and precise
K, SUPPRESSION = 5, 0.02

# What values look like, first match first: the pattern that all of a value must match. The first eight name a person.
PATTERNS: dict[str, str] = {
    "e-mail addresses": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "UUIDs": r"\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?",
    "social security numbers": r"\d{3}-\d{2}-\d{4}",
    "IBANs": r"[A-Z]{2}\d{2} ?([A-Z0-9]{4} ?){2,7}[A-Z0-9]{0,4}",
    "IPv4 addresses": r"(\d{1,3}\.){3}\d{1,3}",
    "IPv6 addresses": r"([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|[0-9a-fA-F:]*::[0-9a-fA-F:]+",
    "credit card numbers": r"[3-6]\d{3}([ -]?\d{4}){2}[ -]?\d{1,7}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}",
    "phone numbers": r"(\+|00)[1-9][0-9 ()/.-]{5,18}\d|\(?0[1-9]\d*[ )/][0-9 /-]{4,15}|0[1-9]\d{7,9}"
    r"|(1[ .-])?\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}",
    "URLs": r"((https?|ftp)://|www\.)\S+",
    "dates": r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?",
    "dates, day or month first": r"\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})([ T].*)?",
    "postal codes": r"\d{5}(-\d{4})?|\d{4} ?[A-Z]{2}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d",
}
_DIRECT = tuple(PATTERNS)[:8]

_PERSON = (
    "(?:patient(?:en|in)?|person(?:en)?|customer|kunden?|client|user|member|mitglied|subject|proband|employee|mitarbeiter"
    "|student|citizen|resident|insured|versicherten?|paciente|cliente|usuario|empleado|employe)s?"
)
_NUMBER = "(?:id|no|nr|num|number|nummer|numero|code|key|uuid|ref|identifier|identifiant)"

# What names of columns say, first match first, in English, German, French and Spanish: whole words, and parts of words.
_NAMES: tuple[tuple[str, str, str], ...] = (
    ("a person's id", f"^{_PERSON}$|^{_PERSON}_?{_NUMBER}$|^{_NUMBER}_?{_PERSON}$", ""),
    ("an official number", "ssn|mrn|nin|nhs|svnr|nir|dni|nie|nif|curp|insee", "passport|reisepass|passeport|pasaporte|"
     "medical_record|sozialversich|securite_soc|seguridad_soc|social_sec|krankenkasse|insurance_n|versicherungsn"),
    ("a contact or account", "e?_?mail|correo|tel|mobile|handy|fax|iban|bic|ip|mac|imei|login|url|website",
     "email|courriel|tele[fp]h?on|phone|movil|kontonummer|account_n|credit_card|kreditkarte|ip_addr|license_plate"),
    ("free text", "notes?|notas?|notiz|notizen|memo|remarks?|text|description|observaciones",
     "comment|kommentar|bemerkung|remarque|freitext|narrative|beschreibung|anamnes"),
    ("age", "age|ages|alter|edad", "altersgruppe|lebensalter"),
    ("birth", "dob|yob|born", "birth(?!_?name)|geburt(?!sname)|naissance|nacimiento"),
    ("secret", "icd.*|cie10|cim10|hiv|aids|illness|condition|befund|wages?|lohn|paie|revenus?|sueldo|drugs?|debt|drg",
     "diagnos|disease|krankheit|maladie|enfermedad|symptom|medi[ck]a[mt]|treatment|behandlung|traitement|tratamiento|"
     "therap|allerg|disabilit|behinderung|handicap|discapacidad|income|einkommen|salar|salaire|gehalt|ingreso|earning|"
     "religio|konfession|politic|orientation|criminal|credit_score"),
    ("a postal code", "zip|plz|cp", "zip_?code|post_?code|postal|postleitzahl"),
    ("sex", "sexe?|sexo|genre|genero", "gender|geschlecht"),
    ("marital status", "married|spouse", "marital|familienstand|civil_status|etat_civil|estado_civil|situation_famil"),
    ("race or ethnicity", "race|rasse|raza|ethnie|etnia", "ethni|hautfarbe"),
    ("a country", "land|nation|staat|pays|pais", "country|nationalit|nacionalidad|staatsang|herkunftsland"),
    ("a place", "city|town|ort|ville|commune|ciudad|state|region|county|district|provinc.*|bundesland|departement",
     "wohnort|stadt|gemeinde|municip|localidad|landkreis"),
    ("education", "degree|school|diplome|etudes|estudios", "educa[tc]|bildung|abschluss"),
    ("an occupation", "job|work|metier|emploi|trabajo", "occupation|profes|ocupacion|beruf|workclass|tatigkeit"),
    ("an address", "rue|calle|house_n.*", "address|adresse|anschrift|direccion|domicilio|street|strasse|hausnummer"),
    ("a person's name", r"^names?(_?\d|_(first|last|full))?$|^(nom|nombre)s?$|initials|(birth|first|last|full|sur|user|given|"
     rf"family|middle|maiden|nick|{_PERSON})_?names?", "vorname|nachname|familienn|geburtsn|nom_de_f|prenom|apellido|forename"),
    ("an id", f"{_NUMBER}$|ids?|uuid|guid|uid|pid|key|code|index|aktenzeichen", ""),
)  # fmt: skip
_KINDS = tuple(
    (kind, re.compile(rf"(?:^|_)(?:{words})(?:_|$)" + (f"|{part}" if part else ""))) for kind, words, part in _NAMES
)
_QUASI = ("age", "birth", "a postal code", "sex", "marital status", "race or ethnicity", "a country", "a place",
          "education", "an occupation")  # fmt: skip


@dataclass(frozen=True)
class ColumnProfile:
    """One column in numbers; of family `other`, only `nulls`.

    `type` is the engine's word without members, which may be values. `patterns`: the share of the values present that
    look like each. `spread`, `span`: a twelfth of the middle nine tenths and of all, `size`: the largest, as thirds of
    a power of ten (1 is 0, 2 is 1, 5 is 2, 10 is 3). `entropy` in nats. `as_text`: not a number, as the reader thought.
    """

    name: str
    type: str
    family: str
    rows: int
    nulls: int
    distinct: int = 0
    length: int = 0
    entropy: float = 0.0
    patterns: Mapping[str, float] = field(default_factory=dict)
    spread: int | None = None
    span: int | None = None
    size: int | None = None
    as_text: bool = False

    @property
    def values(self) -> int:
        """Records in which the column is not missing."""
        return self.rows - self.nulls

    @property
    def uniqueness(self) -> float:
        """Distinct values per value present: 1 where no value occurs twice."""
        return min(1.0, self.distinct / self.values) if self.values else 0.0

    @property
    def unique(self) -> bool:
        return self.uniqueness >= (1 if self.rows <= EXACT_ROWS else 0.95)

    @property
    def many(self) -> bool:
        """Whether values are too many to be categories."""
        return self.distinct > 50 and (self.uniqueness > 0.1 or self.distinct > 1000)

    @property
    def kind(self) -> str | None:
        return kind_of(self.name)


@dataclass(frozen=True)
class Pair:
    """Two proposed quasi-identifiers, and the share of records that are unique on both together."""

    columns: tuple[str, str]
    unique: float


@dataclass(frozen=True)
class Profile:
    """A source in numbers. `persistent`: whether what is published in its engine stays."""

    origin: Origin
    rows: int
    columns: tuple[ColumnProfile, ...]
    pairs: tuple[Pair, ...] = ()
    persistent: bool = False

    def to_dict(self) -> dict[str, Any]:
        columns = [{**asdict(c), "uniqueness": c.uniqueness, "name_says": c.kind} for c in self.columns]
        return {
            "source": str(self.origin),
            "rows": self.rows,
            "columns": columns,
            "pairs": [asdict(p) for p in self.pairs],
        }


@dataclass(frozen=True)
class Advice:
    """What is proposed for a column, and why; `settings` are further keys of its line."""

    role: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def kind_of(name: str) -> str | None:
    """What a column of this name holds: the first of `_NAMES` that its words match, whatever their case and accents."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", re.sub(r"[\u0300-\u036f]", "", letters))
    words = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    return next((kind for kind, pattern in _KINDS if pattern.search(words)), None)


# -- counting ----------------------------------------------------------------------------------------------------------


def profile(engine: DuckDB, origin: Origin, *, tell: Tell = silent) -> Profile:
    """The numbers of a source, in three passes: all columns, how often their values occur, pairs of columns.

    Raises `SpecError` where the source is not there or has no rows, `EngineError` where the engine fails.
    """
    tell("reading the columns", None)
    origin, there = _read(engine, origin)
    item = f"{engine.origin(origin)} AS s"
    ((rows,),) = engine.run("count the records", f"SELECT count(*) FROM {item}")
    if rows == 0:
        raise SpecError("the source has no rows; nothing can be proposed", where="source")
    tell(f"counting {rows:,} records in {len(there)} columns", 0.1)
    facts = _facts(engine, item, there, rows)
    if rows > EXACT_ROWS:
        item += f" TABLESAMPLE bernoulli({100 * EXACT_ROWS / rows:.6f}%)"
    tell("counting how often values occur", 0.4)
    scalar = [c for c in there if c.family != "other"]
    for start in range(0, len(scalar), 50):  # the engine numbers up to 64 columns
        for name, occurrences in _occurrences(engine, item, scalar[start : start + 50]).items():
            groups = occurrences.pop("groups") - (facts[name]["nulls"] > 0)
            facts[name] = {"distinct": groups} | facts[name] | occurrences
    columns = tuple(
        ColumnProfile(c.name, _head(c.type), c.family, rows, as_text=c.name in origin.text_columns, **facts[c.name])
        for c in there
    )
    found = Profile(origin, rows, columns, persistent=engine.persistent)
    tell("counting whom pairs of columns single out", 0.7)
    return replace(found, pairs=_pairs(engine, item, _candidates(found, advise(found))))


def _read(engine: DuckDB, origin: Origin) -> tuple[Origin, tuple[Column, ...]]:
    """The columns; postal codes that a text file's reader took for numbers, and whose zeros it lost, are read as text."""
    there = engine.columns(origin)
    codes = tuple(c.name for c in there if c.family == "integer" and kind_of(c.name) == "a postal code")
    if origin.file is not None and codes:
        origin = replace(origin, text_columns=(*origin.text_columns, *codes))
        there = engine.columns(origin)
    return origin, there


def _head(kind: str) -> str:
    """The first words of a type: members of an ENUM are cell values, names of fields may be anything."""
    word = re.match(r"[A-Z_]+(\(\d+(, ?\d+)?\))?( [A-Z_]+)*", kind)
    return (word[0] if word else "other") + ("[]" if kind.endswith("]") else "")


def _facts(engine: DuckDB, item: str, there: Sequence[Column], rows: int) -> dict[str, dict[str, Any]]:
    """Missing values and magnitudes of all columns; in a large table, estimates of their distinct values too."""
    asked = {c.name: _questions(_at(engine, c.name), c.family, rows) for c in there}
    sql = ", ".join(question for questions in asked.values() for question in questions.values())
    (row,) = engine.run("profile the columns", f"SELECT {sql} FROM {item}")
    answers = iter(row)
    return {name: {key: next(answers) for key in questions} for name, questions in asked.items()}


def _at(engine: DuckDB, name: str) -> str:
    return engine.sql(query.column(name, "s"))


def _questions(x: str, family: str, rows: int) -> dict[str, str]:
    asked = {"nulls": f"count(*) - count({x})"}
    if rows > EXACT_ROWS and family != "other":
        asked["distinct"] = f"approx_count_distinct({x})"
    if family in ("integer", "decimal", "float"):
        part, only = f"CAST({x} AS DOUBLE) / 12", f"FILTER (WHERE isfinite(CAST({x} AS DOUBLE)))"
        quantile = "quantile_cont" if rows <= EXACT_ROWS else "approx_quantile"
        high, low = (f"{quantile}({part}, {share}) {only}" for share in (0.95, 0.05))
        asked["spread"] = _magnitude(f"{high} - {low}")
        asked["span"] = _magnitude(f"max({part}) {only} - min({part}) {only}")
        asked["size"] = _magnitude(f"max(abs({part})) {only} * 12")
    return asked


def _magnitude(number: str) -> str:
    return f"TRY_CAST(round(3 * log10(CASE WHEN {number} > 0 THEN {number} END)) AS INTEGER)"


def _occurrences(engine: DuckDB, item: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """What can be said of each column's distinct values and their frequencies; a pattern is tried once per distinct value."""
    # A row of a grouping set holds one column's value and no other's, so that one expression reads all of them.
    text, digits = (
        ", ".join(
            [
                "CAST(NULL AS VARCHAR)",
                *(f"CAST({_at(engine, c.name)} AS VARCHAR)" for c in columns if c.family == family),
            ]
        )
        for family in ("text", "integer")
    )
    read = f"trim(coalesce({text}, NULL)) AS word, coalesce({digits}, NULL) AS digits"
    counted, codes = _grouped(engine, item, [(c.name,) for c in columns], read)
    which = " ".join(
        f"WHEN regexp_full_match(word, '{pattern}') THEN {i}" for i, pattern in enumerate(PATTERNS.values())
    )
    spared = f"WHEN NOT regexp_full_match(word, '{'|'.join(f'({p})' for p in PATTERNS.values())}') THEN NULL"
    shares = (
        f"sum(n) FILTER (WHERE looks = {i}) / sum(n) FILTER (WHERE word IS NOT NULL)" for i in range(len(PATTERNS))
    )
    sql = (
        "SELECT which, count(*), max(length(coalesce(word, digits))), ln(sum(n)) - sum(n * ln(n)) / sum(n),"
        f" {', '.join(shares)} FROM (SELECT *, CASE {spared} {which} END AS looks FROM ({counted})) GROUP BY which"
    )
    found: dict[str, dict[str, Any]] = {}
    for code, groups, length, entropy, *looks in engine.run("count the values of the columns", sql):
        patterns = {name: share for name, share in zip(PATTERNS, looks, strict=True) if share}
        found[codes[code][0]] = {
            "groups": groups,
            "length": length or 0,
            "entropy": max(0.0, entropy),
            "patterns": patterns,
        }
    return found


def _grouped(
    engine: DuckDB, item: str, sets: Sequence[tuple[str, ...]], read: str
) -> tuple[str, dict[int, tuple[str, ...]]]:
    """The combinations of each set of columns that occur and their numbers of records `n`; which number `which` means which set."""
    names = list(dict.fromkeys(name for columns in sets for name in columns))
    grouped = ", ".join(f"({', '.join(_at(engine, name) for name in columns)})" for columns in sets)
    # `grouping` has a bit per column, the first one highest, set where the column is not in the set.
    codes = {sum((name not in columns) << at for at, name in enumerate(reversed(names))): columns for columns in sets}
    which = f"grouping({', '.join(_at(engine, name) for name in names)})"
    return f"SELECT {which} AS which, count(*) AS n, {read} FROM {item} GROUP BY GROUPING SETS ({grouped})", codes


def _pairs(engine: DuckDB, item: str, names: Sequence[str]) -> tuple[Pair, ...]:
    """For each pair of columns, the share of records that are unique on it."""
    pairs = list(combinations(names, 2))
    if not pairs:
        return ()
    counted, codes = _grouped(engine, item, pairs, "NULL")
    sql = f"SELECT which, coalesce(sum(n) FILTER (WHERE n = 1), 0) / sum(n) FROM ({counted}) GROUP BY which"
    unique = {codes[code]: share for code, share in engine.run("count pairs of values", sql)}
    return tuple(Pair(pair, unique[pair]) for pair in pairs)


# -- judging -----------------------------------------------------------------------------------------------------------


def advise(found: Profile) -> dict[str, Advice]:
    """What is proposed for every column: at least one quasi-identifier, and no more than `MOST_CANDIDATES`."""
    advice = {c.name: _judged(c) for c in found.columns}
    quasi = [c for c in found.columns if advice[c.name].role == "quasi-identifier"]
    quasi.sort(key=lambda c: -c.entropy)
    secret = any(a.role == "sensitive" for a in advice.values())
    guess = next(
        (c for c in quasi if c.kind is None and c.family in ("text", "boolean") and not advice[c.name].settings), None
    )
    if not secret and guess and guess.entropy and len(quasi) > 1:
        bits = guess.entropy / math.log(2)
        why = f"a guess: no name tells what is secret, and of the unknown categories this has most entropy, {bits:.1f} bits"
        advice[guess.name] = Advice("sensitive", why)
        quasi.remove(guess)
    if len(quasi) > MOST_CANDIDATES:
        why = f"one of {len(quasi)} columns that others may know, too many; the {KEPT_CANDIDATES} that distinguish most are kept"
        advice |= {c.name: Advice("drop", why) for c in quasi[KEPT_CANDIDATES:]}
    if not quasi:  # a release needs one
        last = ("drop", "identifier", "sensitive")
        least = min(found.columns, key=lambda c: (c.family == "other", last.index(advice[c.name].role), c.distinct))
        advice[least.name] = Advice(
            "quasi-identifier", "nothing else is left: always *, for a release that only counts", {"min": 1}
        )
    return advice


def _candidates(found: Profile, advice: Mapping[str, Advice]) -> list[str]:
    """The proposed quasi-identifiers that distinguish most, in the order of the source."""
    quasi = [c for c in found.columns if advice[c.name].role == "quasi-identifier" and c.family != "other"]
    most = sorted(quasi, key=lambda c: -c.entropy)[:KEPT_CANDIDATES]
    return [c.name for c in quasi if c in most]


def _judged(c: ColumnProfile) -> Advice:
    """What the type, content and name of one column propose."""
    if c.family == "other":
        return Advice("drop", f"no hierarchy makes values of type {c.type} safe")
    if not c.values:
        return Advice("drop", "it has no values")
    return _direct(c) or _secret(c) or _known(c)


def _direct(c: ColumnProfile) -> Advice | None:
    """An identifier, or what may hold one; None for other columns."""
    direct = {p: share for p, share in c.patterns.items() if p in (*_DIRECT, "URLs")}
    looks = max(direct, key=lambda p: direct[p], default="")
    if sum(direct.values()) >= 0.05:
        known = looks in _DIRECT and direct[looks] >= 0.8
        return Advice("identifier" if known else "drop", f"{direct[looks]:.0%} of the values look like {looks}")
    number, many = c.family in ("text", "integer", "decimal"), c.many or c.uniqueness > 0.05
    if number and c.kind in ("an official number", "a contact or account", "a person's id"):
        return Advice("identifier", f"{c.kind}, by its name")
    if (c.family == "text" and c.kind in ("a person's name", "an address")) or (number and many and c.kind == "an id"):
        return Advice("identifier", f"{c.kind}, by its name; {_distinct(c)}")
    if c.family == "text" and c.kind == "free text":
        return Advice("drop", "free text, by its name, which may name persons; no hierarchy makes it safe")
    if c.unique and c.values >= 20 and c.family in ("text", "integer") and c.kind not in (*_QUASI, "secret"):
        return Advice("identifier", f"no value occurs twice: each of {c.distinct:,} points at one record")
    return None


def _secret(c: ColumnProfile) -> Advice | None:
    if c.kind != "secret" or c.family in ("date", "timestamp"):
        return None
    if c.family == "text" and c.many and c.uniqueness > 0.5:
        return Advice("drop", f"secret, by its name, but {_distinct(c)}: as free text it may name persons")
    return Advice("sensitive", f"nobody should learn it, by its name; {_distinct(c)}")


def _known(c: ColumnProfile) -> Advice:
    """A quasi-identifier with the hierarchy that its type and content allow, or drop where none would help."""
    told = f"{c.kind}, which others know" if c.kind in _QUASI else "others may know it"
    why, role = f"{told}; {_distinct(c)}", "quasi-identifier"
    if c.family in ("date", "timestamp"):
        return Advice(role, why, {"hierarchy": {"date": ["month", "quarter", "year", "decade"]}})
    for pattern, most in (("postal codes", 10), ("dates", 30)) if c.family == "text" else ():
        if c.patterns.get(pattern, 0) >= 0.8 or (pattern, c.kind) == ("postal codes", "a postal code"):
            why += f"; {c.patterns.get(pattern, 0):.0%} look like {pattern}"
            read = {"type": "text"} if c.as_text else {}
            return Advice(role, why, {"hierarchy": {"mask": min(max(c.length, 1), most)}, **read})
    if c.family == "integer" and c.kind == "a postal code":
        return Advice(role, why, {"hierarchy": {"mask": max(c.length, 1)}})
    if c.family == "text" and c.many and (c.kind not in _QUASI or c.uniqueness > 0.5):
        return Advice("drop", f"{_distinct(c)}: free text, or codes for which no hierarchy is known")
    widths = _widths(c) if c.family != "boolean" and c.kind != "an id" else []
    return Advice(role, why, {"hierarchy": {"width": widths}}) if widths else Advice(role, f"{why}, published or *")


def _distinct(c: ColumnProfile) -> str:
    return f"{c.distinct:,} value{'s' * (c.distinct != 1)}"


def _widths(c: ColumnProfile) -> list[int | float]:
    """Up to four nested widths, of which the first is about a twelfth of where most values lie; none where none helps."""
    first = c.span if c.spread is None else c.spread
    if first is None or c.span is None or c.size is None or (c.family == "integer" and c.span < 0):
        return []
    if not -18 <= first <= 36 or c.size > 78:
        return []  # bins have exact bounds as decimals of 28 digits before the point and 10 behind it
    first = max(first, 1) if c.family == "integer" else first
    narrow = Decimal((1, 2, 5)[first % 3]).scaleb(first // 3)
    factors = (1, 2, 10, 100) if c.span - first >= 3 else (1, 2, 4, 8)
    widths = [narrow * factor for factor in factors if factor == 1 or narrow * factor < 12 * 10 ** (c.span / 3)]
    return [int(w) if w == w.to_integral_value() else float(w) for w in widths]


# -- writing -----------------------------------------------------------------------------------------------------------


def propose(found: Profile, *, source_text: str, name: str) -> str:
    """The text of a spec that runs. `source_text`: the source as the spec's file sees it; `name`: what to call it in short.

    Raises `SpecError` for a file that the spec could not read without a delimiter.
    """
    advice = advise(found)
    entity = _entity(found, advice)
    sample = "" if found.rows <= EXACT_ROWS else f", shares from a sample of {EXACT_ROWS:,}"
    lines = [
        f"# Proposed from the numbers of {found.rows:,} records{sample}. A start, not a judgement: read every line.",
        "# Nothing is taken to be harmless; what no outsider can know and is no secret may become `insensitive`.",
        "",
        _entry("source", _source(found.origin, source_text)),
    ]
    if entity:
        lines.append(
            f"{_entry('entity', entity.name)}  # {entity.distinct:,} persons in {found.rows:,} records; k counts persons"
        )
    columns = [(textwrap.indent(_line(column, a), "  "), _reason(found, column, a)) for column, a in advice.items()]
    models = [(f"  - {_flow(model)}" if model else "  #", why) for model, why in _privacy(found, advice, entity)]
    return "\n".join([
        *lines, "", "columns:", *_commented(columns), "", "privacy:", *_commented(models), "",
        f"# One level per column for the whole table; up to {SUPPRESSION:.0%} of the records are left out to keep it fine.",
        _entry("recoding", {"method": "full-domain", "suppression": SUPPRESSION, "loss": "loss"}), "",
        _entry("publish", {"name": f"{_word(name)}_release", "as": "table" if found.persistent else "file"}), "",
    ])  # fmt: skip


def _line(column: str, advice: Advice) -> str:
    return _entry(column, {"role": advice.role, **advice.settings} if advice.settings else advice.role)


def _reason(found: Profile, column: str, advice: Advice) -> str:
    unique, other = max(
        ((pair.unique, pair) for pair in found.pairs if column in pair.columns), key=lambda p: p[0], default=(0, None)
    )
    return (
        f"{advice.why}; with another column, {unique:.1%} of the records are unique"
        if other and unique >= 0.001
        else advice.why
    )


def _entity(found: Profile, advice: Mapping[str, Advice]) -> ColumnProfile | None:
    """The identifier of a person that some records share and none lacks."""
    likely = {"a person's id": 0, "an official number": 1, "an id": 2}
    there = [
        c for c in found.columns
        if advice[c.name].role == "identifier" and c.kind in likely and not c.nulls and not c.unique
        and (c.kind != "an id" or c.name.lower() in ("id", "pid"))
    ]  # fmt: skip
    return min(there, key=lambda c: likely[str(c.kind)], default=None)


def _privacy(
    found: Profile, advice: Mapping[str, Advice], entity: ColumnProfile | None
) -> list[tuple[dict[str, Any] | None, str]]:
    """The models and their reasons: none asks for more than the whole table has, so that some transformation will do."""
    most, who = (entity.distinct, "persons") if entity else (found.rows, "records")
    k = min(K, most)
    why = (
        f"everybody looks like at least {k - 1} others, of {most:,} {who}"
        if k == K
        else f"there are no more than {most} {who}"
    )
    models: list[tuple[dict[str, Any] | None, str]] = [({"model": "k-anonymity", "k": k}, why)]
    for c in (c for c in found.columns if advice[c.name].role == "sensitive"):
        # Four fifths of what the table has above 1: with all of it, only the class of everybody would do.
        whole = math.exp(c.entropy)
        share = math.floor(min(2.0, 1 + 0.8 * (whole - 1)) * 10 + 1e-9) / 10
        if share > 1:
            why = f"as uncertain as {share:g} equally frequent values; those of the whole table are as {whole:,.1f}"
            model = {
                "model": "l-diversity",
                "column": c.name,
                "kind": "entropy",
                "l": int(share) if share == 2 else share,
            }
            models.append((model, why))
        else:
            models.append((None, "no model for one sensitive column: nearly all of its values are the same"))
    return models


def _source(origin: Origin, text: str) -> Any:
    """The source as a spec says it: text, where text alone says enough."""
    file = "/" in text or text.lower().endswith(FILE_ENDINGS)
    if origin.query is not None:
        return {"query": origin.query}
    if origin.file is None:
        return {"table": text} if file else text
    if origin.delimiter is not None:
        return {"file": text, "delimiter": origin.delimiter}
    if not text.lower().endswith(FILE_ENDINGS):
        raise SpecError(
            "a file with this ending needs a delimiter", where="source", found=origin.file.suffix, allowed=FILE_ENDINGS
        )
    return text


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "source"


class _Writer(yaml.SafeDumper):
    """Safe YAML in which all but plain words is in quotes, whatever a reader would make of it without."""

    def text(self, text: str) -> yaml.ScalarNode:
        plain = re.fullmatch(r"[./]{0,3}[A-Za-z_][A-Za-z0-9_]*([-./]+[A-Za-z0-9_]+)*", text)
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Writer.add_representer(str, _Writer.text)
_LONG: Any = {"width": math.inf, "allow_unicode": True}


def _flow(value: Any) -> str:
    """A value on one line."""
    return cast(str, yaml.dump(value, Dumper=_Writer, default_flow_style=True, sort_keys=False, **_LONG)).strip()


def _entry(key: str, value: Any) -> str:
    """`key: value`; in the form `? key`, on two lines, where the key is long or has line breaks."""
    node = cast(yaml.MappingNode, yaml.compose(_flow({key: value})))
    node.flow_style = False
    return cast(str, yaml.serialize(node, **_LONG)).rstrip("\n")


def _commented(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Lines with their reasons beside them, aligned as far as they are short."""
    kept = list(lines)
    width = max((len(text) for text, _ in kept if len(text) <= 80), default=0)
    return [f"{text.ljust(width)}  # {why}" for text, why in kept]
