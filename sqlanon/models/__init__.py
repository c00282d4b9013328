"""The privacy models: each a measure over a relation, with a bound. Models are data; one planner compiles them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlanon.models.closeness import BetaLikeness, DeltaDisclosure, TCloseness
from sqlanon.models.diversity import AlphaKAnonymity, LDiversity
from sqlanon.models.identity import (
    AverageRisk,
    DeltaPresence,
    KAnonymity,
    KMAnonymity,
    KMap,
    MUniqueness,
    PopulationUniqueness,
    SampleUniqueness,
)
from sqlanon.models.mechanism import SafePub
from sqlanon.models.model import (
    TOLERANCE,
    Model,
    Verdict,
    column_of,
    estimated_verdict,
    every_class,
    every_table,
    exact,
    groupings,
    guard_of,
    histogram_of_sizes,
    judgement,
    needed,
    parts,
    verdict,
    verdicts,
)
from sqlanon.models.nearness import EpsilonMAnonymity, KEAnonymity, PersonalisedPrivacy
from sqlanon.models.prediction import ValuePrediction
from sqlanon.models.sensitivity import (
    BalancedPPlusSensitivity,
    ExtendedPSensitivity,
    PAlphaSensitivity,
    PPlusSensitivity,
    PSensitivity,
    ThetaSensitivity,
)

__all__ = [
    "MODELS", "TOLERANCE", "AlphaKAnonymity", "AverageRisk", "BalancedPPlusSensitivity", "BetaLikeness",
    "DeltaDisclosure", "DeltaPresence", "EpsilonMAnonymity", "ExtendedPSensitivity", "KAnonymity",
    "KEAnonymity", "KMAnonymity", "KMap", "LDiversity", "MUniqueness", "Model", "PAlphaSensitivity",
    "PPlusSensitivity", "PSensitivity", "PersonalisedPrivacy", "PopulationUniqueness", "SafePub",
    "SampleUniqueness", "TCloseness", "ThetaSensitivity", "ValuePrediction", "Verdict", "column_of", "complete",
    "estimated_verdict", "every_class", "every_table", "exact", "groupings", "guard_of", "histogram_of_sizes",
    "judgement", "k_of", "needed", "parts", "verdict", "verdicts",
]  # fmt: skip

MODELS: dict[str, type[Model]] = {
    model.name: model
    for model in (
        KAnonymity, KMap, KMAnonymity, AverageRisk, SampleUniqueness, MUniqueness, PopulationUniqueness, DeltaPresence,
        LDiversity, AlphaKAnonymity, PSensitivity, PPlusSensitivity, PAlphaSensitivity, ExtendedPSensitivity,
        BalancedPPlusSensitivity, ThetaSensitivity, KEAnonymity, EpsilonMAnonymity, PersonalisedPrivacy,
        ValuePrediction, TCloseness, BetaLikeness, DeltaDisclosure, SafePub,
    )
}  # fmt: skip


def k_of(models: Sequence[Model]) -> int | None:
    """The largest k that k-anonymity models ask for."""
    return max((model.k for model in models if isinstance(model, KAnonymity)), default=None)


def complete(models: Sequence[Model]) -> tuple[Model, ...]:
    """The models with what they take from each other: the k of θ is that of k-anonymity where it is not given.

    Raises `ValueError` where there is none to take.
    """
    k = k_of(models)
    found: list[Model] = []
    for model in models:
        if isinstance(model, ThetaSensitivity) and model.theta == "k" and model.k is None:
            if k is None:
                raise ValueError("theta-sensitivity needs k: give it one, or add k-anonymity, or take theta: n")
            model = replace(model, k=k)
        found.append(model)
    return tuple(found)
