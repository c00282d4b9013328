"""Presets: that each says where it is from, and expands to models that a spec would accept."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from sqlanon.errors import SpecError
from sqlanon.models import MODELS
from sqlanon.presets import EACH, PRESETS, expand, preset
from sqlanon.reading import parse_model
from sqlanon.uniqueness import safepub_k

NAMES = {"hipaa-expert", "hipaa-safe-harbor", "ema-0070", "health-canada", "cms-11", "internal-trusted", "contract",
         "public", "gdpr-wp216", "dp-safepub", "paper-khan", "paper-neumann"}  # fmt: skip
# Models of the catalogue and their parameters; those that are there are read by the spec itself below.
CATALOGUE = {
    "k-anonymity": {"k"},
    "average-risk": {"risk"},
    "l-diversity": {"column", "l", "kind"},
    "t-closeness": {"column", "t", "distance"},
    "beta-likeness": {"column", "beta", "kind"},
    "theta-sensitivity": {"column", "mu", "k"},
    "safepub": {"epsilon", "delta"},
}


def test_the_presets_are_those_of_the_reference() -> None:
    assert set(PRESETS) == NAMES
    assert all(found.name == name for name, found in PRESETS.items())


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_preset_tells_its_source_and_what_it_leaves_open(name: str) -> None:
    found = PRESETS[name]
    assert found.sources
    assert found.leaves
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_preset_expands_to_models_of_the_catalogue_once_per_sensitive_column(name: str) -> None:
    models = expand(name, ["disease", "income"])
    for model in models:
        words = dict(model)
        known = CATALOGUE[words.pop("model")]
        assert set(words) == known
        assert words.get("column") in (None, "disease", "income")
    once = [model for model in PRESETS[name].models if model.get("column") != EACH]
    assert len(models) == 2 * len(PRESETS[name].models) - len(once)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_models_that_are_there_are_read_as_a_spec_reads_them(name: str) -> None:
    for model in expand(name, ["disease"]):
        words = dict(model)
        kind = words.pop("model")
        if kind in MODELS:
            parse_model(f"{kind}({', '.join(f'{key}={value}' for key, value in words.items())})")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_k_of_a_preset_keeps_the_highest_risk_that_it_states(name: str) -> None:
    highest = PRESETS[name].bounds.get("highest risk")
    if highest is None:
        return
    (k,) = (model["k"] for model in expand(name, ["disease"]) if model["model"] == "k-anonymity")
    bound = Fraction(1, 3) if name == "internal-trusted" else Fraction(repr(highest))
    assert Fraction(1, k) <= bound
    assert Fraction(1, k - 1) > bound, "a smaller k would do"
    if name != "internal-trusted":
        return
    assert any("k = 4" in note for note in PRESETS[name].notes), "the rounding of 0.33 is told"


def test_the_notes_of_safepub_tell_its_k() -> None:
    (model,) = expand("dp-safepub", [])
    assert any(f"({safepub_k(model['epsilon'], model['delta'])} here)" in note for note in PRESETS["dp-safepub"].notes)


def test_without_sensitive_columns_the_models_about_them_are_left_out_or_the_preset_refused() -> None:
    assert [model["model"] for model in expand("hipaa-expert", [])] == ["k-anonymity", "average-risk"]
    for name in ("gdpr-wp216", "paper-khan"):
        with pytest.raises(SpecError, match="is about sensitive columns"):
            expand(name, [])


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        preset("hipaa-expret")
    assert (caught.value.found, caught.value.suggestion) == ("hipaa-expret", "hipaa-expert")


def test_expanding_does_not_change_the_preset() -> None:
    expand("hipaa-expert", ["a"])[2]["column"] = "b"
    assert expand("hipaa-expert", ["a"])[2]["column"] == "a"
