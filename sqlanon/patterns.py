"""What values and names of columns look like: the patterns by which identifiers and what others know are recognised.

Patterns are RE2's and Python's alike, so that contents can be matched in the engine. A pattern recognises; it proves
nothing: an unknown name or an unusual form is not seen.
"""

from __future__ import annotations

import re
import unicodedata

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
DIRECT = tuple(PATTERNS)[:8]

_PERSON = (
    "(?:patient(?:en|in)?|person(?:en)?|customer|kunden?|client|user|member|mitglied|subject|proband|employee|mitarbeiter"
    "|student|citizen|resident|insured|versicherten?|paciente|cliente|usuario|empleado|employe)s?"
)
_NUMBER = "(?:id|no|nr|num|number|nummer|numero|code|key|uuid|ref|identifier|identifiant)"

# What names of columns say, first match first, in English, German, French and Spanish: whole words, and parts of words.
_NAMES = (
    ("a person's id", f"^{_PERSON}$|^{_PERSON}_?{_NUMBER}$|^{_NUMBER}_?{_PERSON}$", "personennummer"),
    ("an official number", "ssn|mrn|nin|nhs|svnr|nir|dni|nie|nif|curp|insee", "passport|reisepass|passeport|pasaporte|"
     "medical_record|sozialversich|securite_soc|seguridad_soc|social_sec|krankenkasse|insurance_n|versicherungsn"),
    ("a contact or account", "e?_?mail|correo|tel|mobile|handy|fax|iban|bic|ip|mac|imei|login|url|website",
     "email|courriel|tele[fp]h?on|phone|movil|kontonummer|account_n|credit_card|kreditkarte|ip_addr|license_plate"),
    ("free text", "notes?|notas?|notiz|notizen|memo|remarks?|text|description|observaciones",
     "comment|kommentar|bemerkung|remarque|freitext|narrative|beschreibung|anamnes"),
    ("age", "age|ages|alter|edad", "altersgruppe|lebensalter"),
    ("birth", "dob|yob|born", "birth(?!_?name)|geburt(?!sname)|naissance|nacimiento"),
    ("secret", "icd.*|cie10|cim10|hiv|aids|illness|conditions?|befund|wages?|lohn|paie|revenus?|sueldo|drugs?|debt|drg",
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
    ("a person's name", rf"^names?(_?\d|_(first|last|full))?$|^(nom|nombre)s?$|initials|(birth|first|last|full|sur|user"
     rf"|given|family|middle|maiden|nick|{_PERSON})_?names?",
     "vorname|nachname|familienn|geburtsn|nom_de_f|prenom|apellido|forename"),
    ("an id", f"{_NUMBER}$|ids?|uuid|guid|uid|pid|key|code|index|aktenzeichen", ""),
)  # fmt: skip


def named(words: str, parts: str = "") -> re.Pattern[str]:
    """Finds names that have one of `words` whole, or one of `parts` anywhere; for what `words_of` gives."""
    return re.compile(rf"(?:^|_)(?:{words})(?:_|$)" + (f"|{parts}" if parts else ""))


_KINDS = [(kind, named(words, part)) for kind, words, part in _NAMES]


def words_of(name: str) -> str:
    """A column's name as plain words with `_` between; accents do not matter, capitals within may begin a word."""
    letters = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name.replace("ß", "ss")))
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", letters)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def kind_of(name: str) -> str | None:
    """What a column of this name holds, or None; case and accents do not matter, capitals within may begin a word."""
    words = words_of(name)
    return next((kind for kind, pattern in _KINDS if pattern.search(words)), None)
