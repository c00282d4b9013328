"""What laws, guidance and papers ask for, as models: each preset with its source, its rounding and what it leaves open.

A preset is a start for a person who answers for a release, no certificate. Numbers that the sources give only as common
practice are told as such. `expand` gives the models as a spec writes them, once per sensitive column where they are
about one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlanon.errors import SpecError
from sqlanon.models import MODELS, Model

# Stands for the sensitive column in a preset's models: such a model is asked of every sensitive column.
EACH = "$sensitive"


@dataclass(frozen=True)
class Preset:
    """A named set of models. `bounds`: on which risks, as the sources state them; `sources`: where that is from;
    `notes`: rounding and choices; `leaves`: what it does not cover; `also`: what else its source asks to be done.
    `needs_sensitive`: whether it says nothing useful without a sensitive column.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    models: tuple[Mapping[str, Any], ...] = ()
    bounds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    needs_sensitive: bool = False

    @property
    def told(self) -> tuple[str, ...]:
        """What must be said wherever the preset is used: where it is from, how it was rounded."""
        return (*self.sources, *self.notes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "preset": self.name,
            "title": self.title,
            "sources": list(self.sources),
            "models": [dict(model) for model in self.models],
            "bounds": dict(self.bounds),
            "notes": list(self.notes),
            "also": list(self.also),
            "leaves": list(self.leaves),
        }


def _k(k: int) -> dict[str, Any]:
    return {"model": "k-anonymity", "k": k}


def _average(risk: float) -> dict[str, Any]:
    return {"model": "average-risk", "risk": risk}


_STRICT = "k = 12, since 1/12 is at most 0.09; the usual k = 11 gives 1/11 = 0.0909, above it by rounding"
_POPULATION = "against a population table the journalist's risk and a k-map may take the place of k"
_INFERENCE = "what a class betrays about its members' values (homogeneity, skewness): add l-diversity or t-closeness"

_ALL = (
    Preset(
        "hipaa-expert",
        "HIPAA Expert Determination",
        (
            "45 CFR 164.514(b)(1): an expert finds that the risk is very small, and documents methods and results.",
            "The regulation has no number; a highest risk of 0.05 to 0.09, or an average of 0.05, is common practice.",
        ),
        (_k(12), _average(0.05), {"model": "l-diversity", "column": EACH, "kind": "distinct", "l": 2}),
        {"highest risk": 0.09, "average risk": 0.05},
        (_STRICT, "at least 2 different values per class of every sensitive column, against plain disclosure"),
        ("report sample and population uniqueness: sqlanon risk SOURCE --qi … --population-size N",),
        ("whether the expert's judgement is sound", "skewed classes: two values may be 99 to 1"),
    ),
    Preset(
        "hipaa-safe-harbor",
        "HIPAA Safe Harbor",
        ("45 CFR 164.514(b)(2): 18 kinds of identifiers are removed, and nobody knows a way to identify a person.",),
        notes=("a list of identifiers, no risk model: k-anonymity and the like belong to Expert Determination",),
        also=("check the list: sqlanon risk SOURCE --safe-harbor",),
        leaves=("actual knowledge, which no program can check", "risk: a table without the 18 may single people out"),
    ),
    Preset(
        "ema-0070",
        "EMA Policy 0070, clinical data publication",
        (
            "External guidance on EMA Policy 0070: either the three criteria of WP216, or a risk assessment.",
            "Its threshold for the highest risk in public releases is 0.09.",
        ),
        (_k(12),),
        {"highest risk": 0.09},
        (_STRICT, _POPULATION),
        ("state whether the risk is the prosecutor's or the journalist's",),
        (_INFERENCE, "the text of clinical reports"),
    ),
    Preset(
        "health-canada",
        "Health Canada, Public Release of Clinical Information",
        ("Guidance on Public Release of Clinical Information (PRCI): the threshold of EMA Policy 0070, 0.09.",),
        (_k(12),),
        {"highest risk": 0.09},
        (_STRICT, _POPULATION),
        ("state whether the risk is the prosecutor's or the journalist's",),
        (_INFERENCE, "the text of clinical reports"),
    ),
    Preset(
        "cms-11",
        "CMS cell size suppression",
        ("CMS cell size suppression policy: no cell of 1 to 10 is shown, the least is 11.",),
        (_k(11),),
        {"smallest cell": 11},
        ("PCORnet uses 11 too; PEDSnet and OMOP use 5",),
        ("published counts and totals need complementary suppression, so that no small cell can be computed",),
        ("tables of counts: this holds for records, not for sums and differences of cells", _INFERENCE),
    ),
    Preset(
        "internal-trusted",
        "Inside one organisation, to trusted people",
        ("Common practice after El Emam 2013: a highest risk of 0.33 and an average of 0.1.",),
        (_k(3), _average(0.1)),
        {"highest risk": 1 / 3, "average risk": 0.1},
        ("0.33 is 1/3 as its sources round it; strictly, 1/k at most 0.33 asks for k = 4",),
        ("access control, logging and training, on which such a threshold rests",),
        (_INFERENCE,),
    ),
    Preset(
        "contract",
        "To a recipient under contract",
        ("Common practice after El Emam 2013: a highest risk of 0.2 and an average of 0.1.",),
        (_k(5), _average(0.1)),
        {"highest risk": 0.2, "average risk": 0.1},
        (),
        ("a contract that forbids re-identification and passing on, with audits",),
        (_INFERENCE,),
    ),
    Preset(
        "public",
        "To everybody",
        ("Common practice after El Emam 2013: a highest risk of 0.05 and an average of 0.05.",),
        (_k(20), _average(0.05)),
        {"highest risk": 0.05, "average risk": 0.05},
        (),
        ("compare with every earlier release of the same people before publishing",),
        (_INFERENCE,),
    ),
    Preset(
        "gdpr-wp216",
        "GDPR: singling out, linkability, inference",
        (
            "Article 29 Working Party, Opinion 05/2014 (WP216): singling out, linkability and inference must all fail.",
            "The opinion gives no numbers; k, t and β here are choices that keep each criterion well away.",
        ),
        (_k(10), {"model": "t-closeness", "column": EACH, "distance": "equal", "t": 0.2}),
        {"smallest class": 10, "distance to the whole": 0.2},
        (
            "instead of t-closeness, enhanced β-likeness with β = 1 bounds inference per value:"
            " beta-likeness(column=…, kind=enhanced, beta=1)",
            "for ordered values t-closeness with the ordered distance is the finer measure",
        ),
        (
            "composition: check against every earlier release of the same people (linkability)",
            "report uniqueness: sqlanon risk SOURCE --qi … --population-size N",
        ),
        (
            "linkability, which no single table's model covers",
            "a model passed is no proof: WP216 then asks for a risk assessment",
        ),
        needs_sensitive=True,
    ),
    Preset(
        "dp-safepub",
        "Differential privacy by SafePub",
        ("Bild, Kuhn & Prasser 2018 (SafePub): truthful records with (ε, δ)-differential privacy.",),
        ({"model": "safepub", "epsilon": 1, "delta": 1e-06},),
        {"epsilon": 1, "delta": 1e-06},
        (
            "ε is one of 0.5, 1 or 2 as a rule; δ is at most 1 ÷ records, so below one in a million records",
            "k follows from ε and δ (74 here), and each record is sampled with probability 1 − e^−ε",
        ),
        (),
        ("a property of the way a release is made, which no check of a table can show",),
    ),
    Preset(
        "paper-khan",
        "θ-sensitive k-anonymity",
        ("Khan et al., Electronics 2020, 9(5) 716: μ = 0.6, swapping of records, noise only if nothing else helps.",),
        (_k(4), {"model": "theta-sensitivity", "column": EACH, "mu": 0.6, "k": 4}),
        {"smallest class": 4, "variance": 0.75},
        ("k = 4 as in the paper's tables; θ = μ (k² − 1) / 12 = 0.75", "noise is off: it makes a release untruthful"),
        (),
        (
            "θ is no order of diversity: from k = 5 on μ = 0.6 lets one value be up to 0.4 of a class",
            "differential privacy, which the paper claims and does not give",
        ),
        needs_sensitive=True,
    ),
    Preset(
        "paper-neumann",
        "Value prediction in data flows",
        ("Neumann, Grace, Burns & Surridge, J. Internet Services and Applications 10:1, 2019: margin and threshold.",),
        notes=("its model, value-prediction (margin, threshold matrix), is not there yet: this expands to none",),
        leaves=("everything, until its model is there",),
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}


@dataclass(frozen=True)
class Asked(Model):
    """A preset in the place of a model of the spec; `expanded` puts its models there."""

    preset: str


def expanded(models: Sequence[Model], sensitive: Sequence[str]) -> tuple[Model, ...]:
    """The models, each preset replaced by what it asks of these sensitive columns; nothing twice.

    Raises `SpecError` where a preset needs a sensitive column and there is none.
    """
    found: list[Model] = []
    for model in models:
        if not isinstance(model, Asked):
            found.append(model)
            continue
        for told in expand(model.preset, sensitive):
            made = MODELS[told["model"]](**{key: value for key, value in told.items() if key != "model"})
            found += [] if made in found else [made]
    return tuple(found)


def preset(name: str) -> Preset:
    """The preset of this name. Raises `SpecError` with the nearest name."""
    if name not in PRESETS:
        raise SpecError("there is no such preset", where="preset", found=name, allowed=PRESETS)
    return PRESETS[name]


def expand(name: str, sensitive: Sequence[str]) -> list[dict[str, Any]]:
    """The models of a preset as a spec writes them; those about a sensitive column once for each of `sensitive`.

    Raises `SpecError` for an unknown name, and where the preset needs a sensitive column and there is none.
    """
    found = preset(name)
    if found.needs_sensitive and not sensitive:
        raise SpecError(f"the preset {name} is about sensitive columns, and there is none", where="preset")
    models: list[dict[str, Any]] = []
    for model in found.models:
        columns = sensitive if model.get("column") == EACH else (None,)
        models += [dict(model) if column is None else {**model, "column": column} for column in columns]
    return models
