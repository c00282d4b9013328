"""What a release does not protect against, from what is promised and what is not, and how it is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlanon.models import MODELS
from sqlanon.report.subjects import Subject

_IDENTITY = {"k-anonymity", "k-map", "safepub", "population-uniqueness", "average-risk", "m-uniqueness"}
_VALUES = {
    name
    for name, model in MODELS.items()
    if name != "k-m-anonymity" and "column" in getattr(model, "__dataclass_fields__", {})
}
_CLOSE = {"t-closeness", "beta-likeness", "delta-disclosure"}


def limits(subject: Subject, attacks: list[dict[str, Any]] | None, composed: str | None) -> list[dict[str, str]]:
    """One title and text per limit, the gravest first."""
    found = [*_of_models(subject), *_of_attacks(attacks or []), *_of_form(subject), *_of_time(subject)]
    found += [("Several releases of one source", composed or _COMPOSITION)]
    found += [*_of_noise(subject), ("Knowledge from outside", _OUTSIDE), ("This report", _REPORT)]
    return [{"title": title, "text": text} for title, text in found]


_COMPOSITION = (
    "Whoever has another release about the same people can lay both on top of each other and learn more than either"
    " tells. Give one audience one release, or let `sqlanon ledger` measure them together."
)
_OUTSIDE = (
    "The figures are about the columns that were declared as known to others. Somebody who knows more of a person, such"
    " as a sensitive value, finds more."
)
_REPORT = (
    "It is a record of what was measured, and no certificate. Whether the risk is acceptable is for people to decide"
    " who know the recipients, the contract and the law."
)


def _names(subject: Subject) -> set[str]:
    return {one.model for one in subject.verdicts if one.holds}


def _of_models(subject: Subject) -> Iterator[tuple[str, str]]:
    promised = _names(subject)
    if subject.holds is None and subject.spec is not None:
        yield (
            "Not every promise was judged",
            "What the rows alone do not decide is neither kept nor broken: see the top.",
        )
    elif any(one.holds is None for one in subject.verdicts):
        yield (
            "Nothing was promised",
            "No model was asked to hold: the measures say how things are, and not that it is enough.",
        )
    if any(one.holds is False for one in subject.verdicts):
        yield "A model does not hold", "At least one promise is broken on the rows that were measured: see the models."
    if not promised & _IDENTITY:
        yield "Finding a person", (
            "No model bounds how small the group is in which a person stands: somebody who knows a few facts may find"
            " the record."
        )  # fmt: skip
    guarded = {one.column for one in subject.verdicts if one.holds and one.model in _VALUES}
    for name in subject.sensitive:
        if name not in guarded:
            yield f"The values of “{name}”", (
                "No model bounds what a group tells about this sensitive column: all people of a group may have the"
                " same value, which is then known of each of them."
            )  # fmt: skip
        elif not {one.model for one in subject.verdicts if one.holds and one.column == name} & _CLOSE:
            yield f"How likely a value of “{name}” is", (
                "The models ask for different values in each group, and do not ask that their shares be those of the"
                " whole table: a group may still make one value much more likely."
            )  # fmt: skip
    if "delta-presence" not in promised and "safepub" not in promised:
        yield "Whether somebody is in the data", (
            "No model hides that a person's record is in the source at all. Where being in it is a secret, such as a"
            " register of one disease, promise δ-presence or use SafePub."
        )  # fmt: skip
    if not any(one.model == "value-prediction" and one.holds for one in subject.verdicts) and subject.sensitive:
        yield "Predicting a value from similar people", (
            "A value can be told from those of similar people although every model holds; the predictions in this"
            " report say how well."
        )  # fmt: skip
    if subject.open:
        yield "Columns that are published as they are", (
            f"{', '.join(subject.open)}: taken to be known to no outsider and no secret. Whoever does know one of them"
            " finds people by it."
        )  # fmt: skip
    if not subject.persons:
        yield "Several records of one person", (
            "The models count records. If one person has several, a group of k records may be fewer than k people: name"
            " the `entity` in the spec."
        )  # fmt: skip
    else:
        yield "Models of values count records", (
            "Groups hold enough different persons, but shares of values are those of records, of which one person may"
            " have several."
        )  # fmt: skip


def _of_attacks(attacks: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    breached = sorted({one["attack"] for one in attacks if one["breached"]})
    if breached:
        yield "Attacks that succeed", (
            f"{', '.join(breached)}: at their usual settings these reach some records. The table of attacks says how"
            " many, and which model would stop each."
        )  # fmt: skip
    idle = sorted({one["attack"] for one in attacks if not one["ran"]})
    if idle:
        yield "Attacks that were not tried", (
            f"{', '.join(idle)}: each needs what was not given, such as a table with names or another release."
        )  # fmt: skip


def _of_form(subject: Subject) -> Iterator[tuple[str, str]]:
    kind = (
        subject.entry.kind
        if subject.entry
        else subject.spec.publish.as_
        if subject.spec and subject.spec.publish
        else None
    )
    if kind == "view":
        yield "A view is read again and again", (
            "It checks its models whenever it is read, so the promise holds each time; but whoever reads before and"
            " after a change sees the difference, and learns how many rows there are."
        )  # fmt: skip
    if kind in ("table", "materialized view") and subject.engine.name == "duckdb":
        yield "Who may open the database", (
            "DuckDB has no users: whoever opens the file reads the source too. For anybody else publish `as: file`."
        )  # fmt: skip
    if subject.engine.name != "duckdb":
        yield "The server's own numbers", (
            "Readers of a Postgres database see roughly how many rows its tables have and how often they change."
        )  # fmt: skip


def _of_time(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.kind == "release":
        yield "Versions", (
            "Who reads it before and after a refresh sees what came and went; a group that grew by one tells that one's"
            " value."
        )  # fmt: skip
    if subject.unchanged is False:
        yield (
            "The source has changed",
            "What is told of the source is how it is now, and not how it was at the release.",
        )


def _of_noise(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.noise:
        yield "Records of nobody", (
            "Some records are of nobody; their values are drawn from real records, also from some that were suppressed,"
            " and the sizes of groups count them."
        )  # fmt: skip
    if subject.swaps:
        yield "Exchanged values", "Some values stand beside others than their own: counts hold, single records do not."
    if subject.spec and subject.spec.transforms:
        yield "Changed values", (
            "Values were changed by chance before they were recoded. Several releases of a source that changed draw"
            " anew, and their average takes the noise away."
        )  # fmt: skip
    if subject.spec and subject.spec.recoding.method not in ("full-domain", "anatomy"):
        yield "How groups were chosen", (
            "Groups follow the data. Where the choice depends on sensitive values, somebody who knows the method may"
            " infer a little from it (minimality)."
        )  # fmt: skip
    if subject.spec and subject.spec.recoding.method == "anatomy":
        yield "Anatomy protects no identity", (
            "Quasi-identifiers are published as they are: whoever knows them finds the record, and only its sensitive"
            " value is hidden among those of its group."
        )  # fmt: skip
