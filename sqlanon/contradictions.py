"""What does not fit together in a spec where values are changed, blanked, or parted from their records.

Each problem is told with its place, what is wrong, the word found and the words allowed. The parts of a spec may be
unread or wrong here; what cannot be judged then is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlanon.errors import SpecError
from sqlanon.models import (
    KAnonymity,
    LDiversity,
    Model,
    SafePub,
    ThetaSensitivity,
    ValuePrediction,
    guard_of,
    k_of,
)
from sqlanon.recoding.catalogue import BLANKED_ANEW, DEALT_ANEW, IDENTITY, problems
from sqlanon.recoding.transforms import Transform

_Problem = tuple[tuple[str | int, ...], str, str | None, Iterable[str]]


def contradictions(parts: Mapping[str, Any], models: Sequence[Any], columns: Mapping[str, Any]) -> Iterator[_Problem]:
    """What is wrong with transforms, cell suppression and Anatomy, among the other parts of a spec."""
    recoding = parts.get("recoding")
    yield from _transformed(parts, models, {name: getattr(column, "role", None) for name, column in columns.items()})
    if getattr(recoding, "suppressed", None) == "cell":
        yield from _blanked(parts, models)
    if getattr(recoding, "method", None) == "anatomy":
        yield from _parted(parts, models, columns)


def private(parts: Mapping[str, Any], i: int, models: Sequence[Any], columns: Mapping[str, Any]) -> Iterator[_Problem]:
    """What would break the proof of (ε,δ)-differential privacy: whatever is decided by looking at the data."""
    recoding, place = parts.get("recoding"), ("privacy", i)
    read = recoding is None or hasattr(recoding, "levels")
    if read and getattr(recoding, "levels", None) is None:
        yield place, "safepub needs recoding.levels: levels that are fixed without looking at the data", None, ()
    if read and (getattr(recoding, "suppression", 0) != 1 or getattr(recoding, "suppressed", "drop") != "drop"):
        yield place, "safepub needs recoding: {suppression: 1, suppressed: drop}", None, ()
    if parts.get("entity") is not None:
        yield place, "safepub protects single records, so no entity can be named", None, ()
    if other := next((m for m in models if not isinstance(m, SafePub | KAnonymity)), None):
        yield place, "safepub stands with k-anonymity only: other models decide by the data", other.name, ()
    if published := next((n for n, c in columns.items() if c.role in ("sensitive", "insensitive")), None):
        yield ("columns", published), "with safepub, every published column is a quasi-identifier", published, ()


def beside(parts: Mapping[str, Any], related: Sequence[Any], alone: Callable[[Any], object]) -> Iterator[_Problem]:
    """What related tables need of the others, and what they cannot be released with; `alone` reads one as a spec."""
    entity, privacy, recoding, publish = (parts.get(name) for name in ("entity", "privacy", "recoding", "publish"))
    models = [model for model in privacy if isinstance(model, Model)] if isinstance(privacy, tuple) else None
    if entity is None:
        yield ("related",), "related tables need `entity:`, the identifier of the persons", None, ()
    if models is not None and not k_of(models):
        yield ("privacy",), "related tables need k-anonymity: k counts persons by all their records", None, ()
    if publish is not None and _form(parts) != "table":
        yield ("publish", "as"), "related tables are published as tables", _form(parts), ("table",)
    if getattr(publish, "ledger", None) is not None:
        yield ("publish", "ledger"), "this is not there yet for related tables", None, ()
    if getattr(recoding, "suppressed", "drop") != "drop":
        yield ("recoding", "suppressed"), "persons of related tables are left out whole", None, ("drop",)
    for key in ("population", "transforms", "policy", "predictions", "rules"):
        if parts.get(key):
            yield (key,), "this is not there yet for related tables", None, ()
    names = [getattr(publish, "name", None), *(getattr(one, "name", None) for one in related)]
    for i, one in enumerate(related):
        found = [m for m in (*getattr(one, "privacy", ()), *(models or ())) if isinstance(m, Model)]
        alien = next((m for m in found if m.reads & {"population", "guard"} or m.requires == "set"), None)
        private = next((m for m in found if isinstance(m, SafePub | ValuePrediction)), None)
        if (other := alien or private) is not None:
            yield ("related", i), f"{other.name} is not there yet for related tables", None, ()
        elif hasattr(one, "name") and one.name in names[: i + 1]:
            yield ("related", i, "name"), "two tables cannot have one name", one.name, ()
        elif hasattr(one, "name") and isinstance(entity, str) and recoding is not None and models is not None:
            try:
                alone(one)
            except SpecError as error:
                yield ("related", i), str(error), None, ()


def repairs(method: str, recoding: Any, models: Sequence[Any]) -> Iterator[_Problem]:
    """What a partition is to do for θ, where there is none, or more than it can do at once."""
    wanted = [(i, m) for i, m in enumerate(models) if isinstance(m, ThetaSensitivity) and m.repair != "merge"]
    for i, model in wanted:
        if method == "full-domain":
            told = "records change their classes in a partition only, in a table or a file: method hilbert or mondrian"
            yield ("privacy", i, "repair"), told, model.repair, ("merge",)
        elif model.repair == "round-robin" and method == "mondrian":
            yield ("privacy", i, "repair"), "values are dealt out along the curve of method hilbert", model.repair, ()
    if len(wanted) > 1:
        yield ("privacy", wanted[1][0], "repair"), "one model at most may move records", wanted[1][1].repair, ("merge",)
    if wanted and recoding.deal is not None:
        yield ("recoding", "deal"), "theta-sensitivity asks for another repair already", recoding.deal, ()


def nobody(models: Sequence[Any]) -> Iterator[_Problem]:
    """Noise where persons are counted: exchanges may take a person from a class, and nobody would stand for it."""
    for i, model in enumerate(models):
        if isinstance(model, ThetaSensitivity) and model.noise:
            told = "with an entity, a record of nobody would count as a person; leave out noise, or the entity"
            yield ("privacy", i, "noise"), told, None, ()


def _form(parts: Mapping[str, Any]) -> str | None:
    """As what is published, where that could be read; a materialized view is as restricted as a view."""
    publish = parts.get("publish")
    return "view" if getattr(publish, "live", False) else getattr(publish, "as_", None)


def _transformed(parts: Mapping[str, Any], models: Sequence[Any], roles: Mapping[str, Any]) -> Iterator[_Problem]:
    """What transforms cannot change, and where those that look at other records, or draw, cannot be."""
    found = parts.get("transforms")
    known = {i: t for i, t in enumerate(found if isinstance(found, tuple) else ()) if isinstance(t, Transform)}
    for (i, *rest), told, word, allowed in problems(list(known.values()), roles):
        yield ("transforms", list(known)[int(i)], *rest), told, word, allowed
    guards = {guard_of(model) for model in models if isinstance(model, Model)}
    for i, transform in known.items():
        if guarding := next((name for name in transform.touched if name in guards), None):
            yield ("transforms", i), "what a person wants to be guarded by cannot be changed", guarding, ()
        if transform.in_views:
            continue
        if _form(parts) == "view":
            told = f"{transform.name} cannot stand in a view: {transform.reason}; publish a table or a file"
            yield ("publish", "as"), told, "view", ("table", "file")
        if any(isinstance(model, SafePub) for model in models):
            told = "safepub is proved for transforms of one value alone; this one depends on other records or draws"
            yield ("transforms", i), told, transform.name, ()
        shared = next((name for name in transform.touched if roles.get(name) == "quasi-identifier"), None)
        if shared is not None and parts.get("population") is not None:
            yield ("transforms", i), "the population table cannot be changed alike, so it matches no more", shared, ()


def _blanked(parts: Mapping[str, Any], models: Sequence[Any]) -> Iterator[_Problem]:
    """What a blanked cell cannot be judged by, and where it cannot be."""
    if _form(parts) == "view":
        told = f"cells cannot be blanked in a view: {BLANKED_ANEW}"
        yield ("recoding", "suppressed"), told, "cell", ("drop",)
    for model in models:
        if not isinstance(model, Model):
            continue
        moves = (isinstance(model, ThetaSensitivity) and model.repair != "merge") or bool(
            getattr(model, "remove", None)
        )
        if "population" in model.reads or model.requires == "set" or moves:
            told = (
                "records that are changed in another way are not blanked too"
                if moves
                else f"{model.name} cannot be judged with blanked cells"
            )
            yield ("recoding", "suppressed"), told, "cell", ("drop", "star")
            return


def _parted(parts: Mapping[str, Any], models: Sequence[Any], columns: Mapping[str, Any]) -> Iterator[_Problem]:
    """What Anatomy cannot promise, and what it has no use for."""
    about = list(dict.fromkeys(model.column for model in models if isinstance(model, LDiversity)))
    for i, model in enumerate(models):
        if isinstance(model, Model) and getattr(model, "column", None) is None:
            yield ("privacy", i), f"method anatomy cannot hold it. {IDENTITY}", model.name, ("l-diversity",)
        elif isinstance(model, Model) and not isinstance(model, LDiversity):
            yield ("privacy", i), "method anatomy promises l-diversity alone", model.name, ("l-diversity",)
        elif isinstance(model, LDiversity) and (model.l < 2 or model.column != about[0]):
            told = "l must be at least 2 for method anatomy" if model.l < 2 else "anatomy hides one column alone"
            yield ("privacy", i), told, None, ()
    if not about and all(isinstance(model, Model) for model in models):
        yield ("recoding", "method"), "anatomy needs an l-diversity model: its column and its l", "anatomy", ()
    for name, column in columns.items():
        if getattr(column, "role", None) == "sensitive" and about and name not in about:
            yield ("columns", name), "method anatomy hides one sensitive column; drop the others", name, ()
        for key, unset in (("min", None), ("represent", "label")):
            if getattr(column, key, unset) != unset:
                yield ("columns", name, key), "method anatomy publishes quasi-identifiers as they are", None, ()
    if _form(parts) == "view":
        yield ("publish", "as"), f"method anatomy cannot be a view: {DEALT_ANEW}", "view", ("table",)
    elif _form(parts) == "file":
        yield (
            ("publish", "as"),
            "method anatomy publishes two tables, and no file",
            "file",
            ("table",),
        )
    for key in ("rules", "predictions"):
        if parts.get(key):
            yield (key,), f"{key} are about one relation, and method anatomy publishes two", None, ()
    for key in ("entity", "population"):
        if parts.get(key) is not None:
            yield (key,), f"method anatomy counts the records of one table alone; leave {key} out", None, ()
    recoding = parts["recoding"]
    for key, usual in (("suppression", 0), ("suppressed", "drop")):
        if getattr(recoding, key) != usual:
            yield ("recoding", key), "method anatomy leaves no record out", None, ()
