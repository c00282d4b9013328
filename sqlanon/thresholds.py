"""Each record's own threshold, beside the record: from a policy or a column, for the model `value-prediction`.

The threshold is one more column of what is read, under the name that the model asks for; it is never published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sqlanon import policies, query
from sqlanon.engines import Column, Engine
from sqlanon.errors import SpecError
from sqlanon.models import Model, ValuePrediction
from sqlanon.models.prediction import POLICY
from sqlanon.plan import Source, check_column
from sqlanon.policies import Policy
from sqlanon.prediction import Records, Target, Threshold, per_record
from sqlanon.query import Query, Text, column, fragment, named, table

# Wide enough for any share that can be said, and what the windows compare with.
_TYPE = "DECIMAL(20,18)"


def asked(models: Sequence[Model]) -> list[ValuePrediction]:
    """The models that read a threshold of each record, one per column that holds it."""
    found = {m.guard: m for m in models if isinstance(m, ValuePrediction) and m.guard}
    return list(found.values())


def beside(
    engine: Engine, item: str, columns: Mapping[str, Column], models: Sequence[Model], policy: Policy | None,
    base: Path = Path(),
) -> tuple[str, dict[str, Column]]:  # fmt: skip
    """The FROM item with the thresholds beside its columns, and these columns.

    Raises `SpecError` where a threshold is missing, unknown or outside 0 to 1 for a record that has a value.
    """
    found = dict(columns)
    for model in asked(models):
        name = model.guard or ""
        if name in columns:
            raise SpecError("a column has the name that the thresholds get", where="columns", found=name)
        records = Records(Query(()).then("source", Text(f"SELECT * FROM {item} AS s")), "source", columns, base)
        given = _threshold(model, policy)
        steps, on, limit = per_record(engine, records, Target(model.column, model.reach, given))
        kept = [column(own, "source") for own in found]
        if limit is None:
            raise AssertionError("a threshold per record is an expression")
        tree = query.select([*kept, named(limit, name)], "source")
        tree = query.joined(tree, policies.TABLE, on, "left") if on is not None else tree
        made = records.query.join(steps).then("with thresholds", tree)
        _known(engine, made, model, policy)
        item, found[name] = f"({engine.rendered(made)})", Column(name, _TYPE, "decimal")
        columns = found
    return item, found


def with_predictions(engine: Engine, source: Source, promised: tuple[Model, ...]) -> Source:
    """The source with the thresholds of what is promised beside its records, and the models that blank their cells."""
    spec = source.spec
    every = (*promised, *spec.scored)
    item, columns = beside(engine, source.origin, source.columns, every, spec.policy, spec.base)
    found = [model for model in promised if isinstance(model, ValuePrediction)]
    for model in (*found, *spec.scored):
        check_column(model, columns, {})
    blanked = tuple(model for model in found if model.remove)
    return replace(source, origin=item, columns=columns, blanked=blanked, promised=promised)


def _threshold(model: ValuePrediction, policy: Policy | None) -> Threshold:
    if model.threshold != POLICY:
        return Threshold(column=model.threshold_column)
    if policy is None:
        raise SpecError("threshold: policy needs a policy, and only a spec has one", where=str(model),
                        allowed=("threshold=0.9", "threshold_column=…"))  # fmt: skip
    said = {model.column: policy.sensitivity[model.column]} if model.column in policy.sensitivity else {}
    return Threshold(policy=replace(policy, sensitivity=said))


def _known(engine: Engine, made: Query, model: ValuePrediction, policy: Policy | None) -> None:
    unknown = fragment(
        "select count(*) from $t where $v is not null and $limit is null", t=table("with thresholds"),
        v=column(model.column), limit=column(model.guard or ""),
    )  # fmt: skip
    ((without,),) = engine.run("read the thresholds", made.then("unknown", unknown))
    if without:
        by_policy = model.threshold == POLICY
        what = "a word or number that the policy does not know" if by_policy else (
            "a threshold that is missing or outside 0 to 1"
        )  # fmt: skip
        raise SpecError(f"{without} records have {what}", where="policy" if by_policy else "privacy", found=str(model))
