"""The models in words for everybody: what a promise means, what it protects against and what not, and its paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlanon.models import Model, Verdict

_IDENTITY = "finding a person's record among the others by what is publicly known of them"
_VALUE = "learning a person's sensitive value from the group that the person is in, without knowing the record"
_NO_VALUE = "learning sensitive values: a group may share one"
_NO_IDENTITY = "finding the record itself, unless k-anonymity is promised too"


@dataclass(frozen=True)
class Words:
    """What a model says. `meaning` is a sentence with `{…}` for its parameters and `{column}`."""

    meaning: str
    protects: str
    leaves: str
    paper: str


_WORDS = {
    "k-anonymity": Words(
        "Every published record looks like at least {others} others in all columns that outsiders may know.", _IDENTITY,
        _NO_VALUE, "Samarati & Sweeney 1998; Sweeney 2002",
    ),
    "k-map": Words(
        "Every published record fits at least {k} people of the whole population.",
        "finding the person of a record, for somebody who does not know who is in the data",
        f"{_NO_VALUE}; an attacker who knows that a person is in the data", "Sweeney 2002",
    ),
    "k-m-anonymity": Words(
        "Whoever knows up to {m} of a person's items in {column} finds at least {k} records.",
        "finding a person's record by a few known items", "an attacker who knows more items, or which ones are absent",
        "Terrovitis, Mamoulis & Kalnis 2008",
    ),
    "average-risk": Words(
        "A guess at which record belongs to a person is right with a probability of {risk} at most, on average.",
        "matching many people at once", "single small groups, where others are large", "El Emam 2013",
    ),
    "sample-uniqueness": Words(
        "At most a share of {share} of the records is alone in its group.", _IDENTITY,
        "groups of two or a few records", "Skinner & Elliot 2002",
    ),
    "m-uniqueness": Words(
        "At most a share of {share} of the records is in groups of fewer than {m}.", _IDENTITY,
        "the records within that share", "Skinner & Elliot 2002; El Emam 2013",
    ),
    "population-uniqueness": Words(
        "An estimated share of {share} of the population at most is unique in the columns that outsiders may know.",
        "finding a person who is like nobody else in the population", "it is an estimate, and no guarantee",
        "Zayatz 1991; Hoshino 2001; Dankar et al. 2012",
    ),
    "delta-presence": Words(
        "Who is in the population is in the data with a probability from {minimum} to {maximum}.",
        "learning that a person is in the data at all", "learning sensitive values of those who are",
        "Nergiz, Atzori & Clifton 2007",
    ),
    "l-diversity": Words(
        "In every group, {column} is at least as uncertain as among {l} values.", _VALUE,
        f"values that mean nearly the same, and groups that are unlike the whole; {_NO_IDENTITY}",
        "Machanavajjhala et al. 2007",
    ),
    "alpha-k-anonymity": Words(
        "In no group does one value of {column} make up more than a share of {alpha}.", _VALUE,
        f"a share that is high against the whole table; {_NO_IDENTITY}", "Wong et al. 2006",
    ),
    "p-sensitivity": Words(
        "Every group has at least {p} different values of {column}.",
        "groups in which everybody has the same sensitive value",
        f"values that mean the same, or that nearly everybody of a group has; {_NO_IDENTITY}", "Truta & Vinay 2006",
    ),
    "p-plus-sensitivity": Words(
        "Every group has values of {column} from at least {p} categories.",
        "groups whose sensitive values all mean the same", f"how the records are spread over them; {_NO_IDENTITY}",
        "Sun et al. 2008",
    ),
    "p-alpha-sensitivity": Words(
        "Every group has at least {p} values of {column} that weigh at least {alpha} together.",
        "groups of few, very sensitive values", f"many values of one harmless category; {_NO_IDENTITY}",
        "Sun et al. 2011",
    ),
    "extended-p-sensitivity": Words(
        "Every group has at least {p} values of {column}, also where the protected categories are told.",
        "groups whose sensitive values all lie in one protected category", f"how frequent they are; {_NO_IDENTITY}",
        "Campan, Truta & Cooper 2010",
    ),
    "balanced-p-plus-sensitivity": Words(
        "Every group has values of {column} from at least {p} categories, about equally many of each.",
        "groups in which one category of values prevails", f"which values they are; {_NO_IDENTITY}",
        "Anjum et al. 2018",
    ),
    "theta-sensitivity": Words(
        "In every group the values of {column} are spread enough that none is expected.", _VALUE,
        f"the spread is no order of diversity: a more even group can have less of it; {_NO_IDENTITY}",
        "Khan et al. 2020",
    ),
    "k-e-anonymity": Words(
        "In every group the values of {column} are at least {e} apart from least to greatest.",
        "learning a number nearly, where all numbers of a group are close together",
        f"values that crowd together within the span; {_NO_IDENTITY}", "Zhang et al. 2007",
    ),
    "epsilon-m-anonymity": Words(
        "In no group are more than one in {m} of the values of {column} near any one value.",
        "learning a number nearly, where many numbers of a group are close together",
        f"what lies just beyond the nearness; {_NO_IDENTITY}", "Li, Tao & Xiao 2008",
    ),
    "personalised-privacy": Words(
        "Nobody's {column} can be told to be within what the person wants guarded, with more than {breach}.",
        "learning what each person wants to keep to themselves", "knowledge from outside", "Xiao & Tao 2006",
    ),
    "value-prediction": Words(
        "Nobody's {column} can be predicted from the published columns as surely as the threshold.",
        "predicting a person's value from those of people who look alike",
        "who a record is about; values that are rare in a group; it counts records, not persons",
        "Neumann, Grace, Burns & Surridge 2019",
    ),
    "t-closeness": Words(
        "The values of {column} in every group are like those in the whole table, within a distance of {t}.",
        "learning more of a person from the group than from the table as a whole", _NO_IDENTITY, "Li et al. 2007",
    ),
    "beta-likeness": Words(
        "No value of {column} is more than {beta} times as frequent again in a group as in the whole table.",
        "gaining confidence that a person has a value", f"that a value is absent; {_NO_IDENTITY}",
        "Cao & Karras 2012",
    ),
    "delta-disclosure": Words(
        "In every group, every value of {column} is as frequent as in the whole table, within {delta} powers of 2.",
        "gaining or losing confidence that a person has a value", _NO_IDENTITY, "Brickell & Shmatikov 2008",
    ),
    "safepub": Words(
        "Whether any one record was in the source hardly changes what is published (ε = {epsilon}, δ = {delta}).",
        "learning whether a person was in the source", "people with several records, and releases that are repeated",
        "Bild, Kuhn & Prasser 2018",
    ),
}  # fmt: skip

_MEASURED = "This was measured; nothing was asked to hold: {label}."


def meaning_of(model: Model, found: Verdict, *, persons: bool = False) -> Words:
    """A model's words with its parameters, as a verdict tells them; `persons`: k counts these."""
    words = _WORDS[model.name]
    column = f"“{found.column}”" if found.column else ""
    if found.holds is None:
        label = f"{model.name} of {column}" if column else model.name
        return Words(_MEASURED.format(label=label), words.protects, words.leaves, words.paper)
    given: dict[str, Any] = {key: value for key, value in found.parameters.items() if not isinstance(value, list)}
    given |= {"column": column, "others": _others(given.get("k"))}
    meaning = words.meaning.replace("{others} others", "those of {others} other persons") if persons else words.meaning
    return Words(meaning.format_map(_Known(given)), words.protects, words.leaves, words.paper)


def _others(k: object) -> object:
    return k - 1 if isinstance(k, int) else "k − 1"


class _Known(dict[str, Any]):
    """Parameters that are left out as they are not set."""

    def __missing__(self, key: str) -> str:
        return "the bound"


# -- attacks -----------------------------------------------------------------------------------------------------------

_ATTACKS = {
    "identity": "A person is looked up by what is known of them, and few records are left.",
    "homogeneity": "Everybody in the person's group has the same sensitive value.",
    "categorical-similarity": "The sensitive values of the group differ, and all mean nearly the same.",
    "sensitive-variance": "The sensitive values of the group are uneven, so that one of them is likely.",
    "skewness": "A value is much more frequent in the group than in the table as a whole.",
    "background-knowledge": "Who can rule out some values for the person learns the one that is left.",
    "known-distribution": "Who knows how frequent values are in all learns from how they differ in the group.",
    "probabilistic-inference": "One value makes up so much of the group that a guess is good.",
    "value-prediction": "A number is guessed nearly from those of the people who look alike.",
    "linkage": "A table with names is joined on the columns that both have.",
    "journalist": "Somebody who does not know who is in the data looks for a person of the population.",
    "membership": "Whether a person of the population is in the data at all is guessed.",
    "composition": "Two releases of the same people are laid on top of each other.",
    "minimality": "That no more was generalised than needed tells what the finer version would have betrayed.",
    "definetti": "A machine learns from all groups together which value goes with which person.",
}


def attack_in_words(name: str) -> str:
    """What somebody does in a known attack, in a sentence."""
    return _ATTACKS.get(name, name)
