"""What standards and guidance ask for, beside what was measured here: an aid for an assessment, and no certificate.

Titles of clauses are those of the standards' tables of contents; what they ask is put in our own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlanon.report.subjects import Subject

Answer = tuple[str, str]

_HIGHEST = 0.09


@dataclass(frozen=True)
class Measured:
    """What the answers stand on: risks after, attacks, and what is promised."""

    subject: Subject
    after: dict[str, Any] | None
    attacks: list[dict[str, Any]]

    def names(self) -> list[str]:
        """The models that hold."""
        return [one.model for one in self.subject.verdicts if one.holds]

    def guarded(self) -> bool:
        """Whether a model holds for every sensitive column, and there is one."""
        of = {one.column for one in self.subject.verdicts if one.holds and one.column}
        return bool(self.subject.sensitive) and of >= {*self.subject.sensitive}

    def breached(self, *names: str) -> list[str]:
        """Those of these attacks that reach a record."""
        return [one["attack"] for one in self.attacks if one["attack"] in names and one["breached"]]


def standards(found: Measured) -> list[dict[str, str]]:
    """One entry per thing that is asked, with an answer and its evidence."""
    listed = [*_wp216(found), *_hipaa(found), *_iso(found), *_ema(found)]
    keys = ("standard", "section", "asks", "answer", "evidence")
    return [dict(zip(keys, one, strict=True)) for one in listed]


Told = tuple[str, str, str, str, str]


def _risk(found: Measured) -> tuple[float | None, str]:
    """The highest risk after, and how it is told."""
    if found.after is None:
        return None, "the risk was not measured"
    highest = found.after["prosecutor"]["highest"]
    if highest is None:
        return None, "the highest risk (prosecutor) is above 1 in the minimum cell"
    return highest, f"the highest risk (prosecutor) is {highest:.4g}"


def _wp216(found: Measured) -> Iterator[Told]:
    name = "WP29 Opinion 05/2014 (WP216)"
    _, told = _risk(found)
    unique = found.after["unique_share"] if found.after else None
    single: Answer = ("not shown", told)
    if unique == 0 and {"k-anonymity", "safepub"} & {*found.names()}:
        single = ("met", f"no published record is unique in the quasi-identifiers, and k-anonymity holds; {told}")
    elif unique is None and found.after is not None:
        single = ("not shown", f"some records are unique in the quasi-identifiers; {told}")
    elif unique == 0:
        single = ("partly", f"no published record is unique, but no k is promised; {told}")
    elif unique is not None:
        single = ("not shown", f"{unique:.2%} of the records are unique in the quasi-identifiers; {told}")
    yield name, "Singling out", "Nobody's record can be isolated.", *single
    yield (
        name,
        "Linkability",
        "Records about one person cannot be linked, here or with another data set.",
        "not shown",
        ("no model of a single table covers it: it takes the others (sqlanon ledger, attack --with, --external)"),
    )
    breached = found.breached(
        "homogeneity",
        "probabilistic-inference",
        "skewness",
        "known-distribution",
        "background-knowledge",
        "value-prediction",
        "categorical-similarity",
    )
    infer: Answer = ("not shown", "no model bounds what a group tells about each sensitive column")
    if not found.subject.sensitive:
        infer = ("not shown", "no sensitive column is declared")
    elif found.guarded():
        held = sorted({one.model for one in found.subject.verdicts if one.holds and one.column})
        infer = (
            "partly" if breached else "met",
            f"{', '.join(held)} hold for every sensitive column"
            + (
                f"; these attacks still reach records: {', '.join(sorted(set(breached)))}"
                if breached
                else "; no attack on values reaches a record at its usual setting"
            ),
        )
    yield name, "Inference", "No value can be deduced about a person with significant probability.", *infer


def _hipaa(found: Measured) -> Iterator[Told]:
    spec = found.subject.spec
    removed = (
        "identifiers that the spec declares are left out" if spec and spec.identifiers else "no identifier is declared"
    )
    yield (
        "HIPAA, 45 CFR 164.514(b)(2)",
        "Safe Harbor",
        "18 kinds of identifiers are removed, and nobody knows a way back.",
        "not shown",
        f"{removed}; the list itself is checked by sqlanon risk --safe-harbor, and what somebody knows by nobody",
    )
    highest, told = _risk(found)
    answer = "not shown" if highest is None else "partly"
    more = (
        " (at most 0.09, which is common practice; the regulation has no number)"
        if highest and highest <= _HIGHEST
        else ""
    )
    yield (
        "HIPAA, 45 CFR 164.514(b)(1)",
        "Expert determination",
        "An expert finds that the risk is very small, and documents it.",
        answer,
        f"{told}{more}; methods and results are in this report, the judgement is the expert's",
    )


def _iso(found: Measured) -> Iterator[Told]:
    name, spec = "ISO/IEC 27559:2022", found.subject.spec
    _, told = _risk(found)
    tried = [one for one in found.attacks if one["ran"]]
    yield (
        name,
        "6 Context assessment",
        "Threats, practices and motives of recipients, and possible harms.",
        "not shown",
        ("these are questions to people; no program measures them"),
    )
    roles = "every column has a declared role" if spec else "the columns were named by hand"
    who = "persons are counted" if found.subject.persons else "records are counted"
    yield (
        name,
        "7.2 Data features",
        "Data principals, types of data and of attributes.",
        "met" if spec else "partly",
        (f"{roles}; {who}"),
    )
    population = found.after is not None and found.after["journalist"] is not None
    yield (
        name,
        "7.3 Attack modelling",
        "Maximum or average risk, population or sample, privacy models.",
        ("met" if population and found.names() else "partly" if found.after else "not shown"),
        f"{told}; average and highest risk are told, {'also' if population else 'not'} against a population; models: "
        + (", ".join(sorted({*found.names()})) or "none"),
    )
    yield (
        name,
        "8.2 Assessing identifiability",
        "Identifiability is quantified, and tested by attacks.",
        ("met" if tried and found.after else "partly" if found.after else "not shown"),
        f"{len(tried)} attacks were run on the published rows",
    )
    yield (
        name,
        "8.3 Mitigation",
        "The data are transformed and evaluated again.",
        ("met" if found.subject.holds else "not shown"),
        "the models were measured on the rows after recoding"
        if found.subject.holds
        else "not every model was shown to hold",
    )
    entry = found.subject.entry
    yield (
        name,
        "9 De-identification governance",
        "Roles, procedures, monitoring, incidents.",
        "partly" if entry else ("not shown"),
        "a register of versions and an audit log are kept; roles and procedures are the organisation's"
        if entry
        else ("nothing is published yet, so that nothing is registered"),
    )


def _ema(found: Measured) -> Iterator[Told]:
    highest, told = _risk(found)
    population = found.after["journalist"] if found.after else None
    value, kind = highest, "prosecutor"
    if population and population["highest"] is not None:
        value, kind = population["highest"], "journalist"
        told = f"the highest risk ({kind}) is {value:.4g}"
    answer = "not shown" if value is None else "met" if value <= _HIGHEST else "not shown"
    yield (
        "EMA Policy 0070",
        "External guidance, chapter 3: anonymisation",
        "All three criteria of WP216, or a highest risk of re-identification of at most 0.09.",
        answer,
        f"{told}; 1/12 is the first below 0.09, and the text of reports is not covered",
    )
