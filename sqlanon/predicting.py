"""What a spec says of predictions and rules: what they may name, and what does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlanon.models import ValuePrediction
from sqlanon.models.prediction import POLICY
from sqlanon.policies import Policy, Predicted
from sqlanon.reading import Problem
from sqlanon.rules import FUNCTIONS, NAMES, Known

_PUBLISHED = ("quasi-identifier", "sensitive", "insensitive")


def scored(predictions: Mapping[str, Predicted], policy: Policy | None) -> tuple[ValuePrediction, ...]:
    """The `predictions` of a spec as models that are measured, and not promised."""
    default = None if policy is None else POLICY
    return tuple(
        ValuePrediction(name, margin=None if said.margin is None else str(said.margin), above=said.above,
                        threshold=default if said.threshold is None else said.threshold)
        for name, said in predictions.items()
    )  # fmt: skip


def known(parts: Mapping[str, Any]) -> Known:
    """What a rule of a spec may name, as far as the parts of the spec could be read."""
    columns, privacy, predictions = (parts.get(name) for name in ("columns", "privacy", "predictions"))
    promised = (*(privacy if isinstance(privacy, tuple) else ()), *(parts.get("blanked") or ()))
    models = [m for m in promised if isinstance(m, ValuePrediction)]
    named = predictions if isinstance(predictions, Mapping) else ()
    roles = {n: getattr(c, "role", None) for n, c in (columns if isinstance(columns, Mapping) else {}).items()}
    fields = tuple(name for name, role in roles.items() if role in _PUBLISHED)
    functions = tuple(name for name in FUNCTIONS if name != "policy_violations")
    return Known(tuple(dict.fromkeys([*named, *(m.column for m in models)])), fields, (), NAMES, functions)


def ingredients(parts: Mapping[str, Any], i: int, model: ValuePrediction) -> Iterator[Problem]:
    """What value-prediction needs: thresholds, and a release that is made when its cells are blanked."""
    columns = parts.get("columns") or {}
    if model.threshold == POLICY and parts.get("policy") is None:
        yield ("privacy", i, "threshold"), "needs `policy:`, what the persons agreed to", POLICY, ("0.9", "2/3")
    if model.threshold_column is not None and model.threshold_column not in columns:
        yield ("privacy", i, "threshold_column"), "columns has no such column", model.threshold_column, columns
    if getattr(parts.get("publish"), "live", False) and (model.guard or model.remove):
        what = "blank what can be predicted" if model.remove else "ask what each person agreed to"
        told = f"value-prediction: a view cannot {what} when it is read; publish a table or a file"
        yield ("publish", "as"), told, "view", ("table", "file")
    if model.remove and getattr(parts.get("recoding"), "suppressed", None) == "star":
        yield ("recoding", "suppressed"), "where cells are blanked, suppressed records are dropped", "star", ("drop",)
