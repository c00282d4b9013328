"""sqlanon anonymizes tables inside the database that holds them.

    >>> import sqlanon
    >>> spec = sqlanon.load("patients.yaml")
    >>> with sqlanon.connect("duckdb:///clinic.duckdb") as engine:
    ...     sqlanon.release(spec, engine)

Glossary, one word per idea. *Quasi-identifier*: a column that others may know. *Equivalence class*: the records that
share every published quasi-identifier. *Hierarchy*, *level*: how a value becomes coarser, step by step. *Node*: one
level per quasi-identifier. *Model*: a measure over a relation with a bound. *Verdict*: what a model came to. *Plan*:
the named queries that make the released rows. *Release*: what was published after its own measures were within
bounds. *Entity*: who a record is about. *Register*: the table of releases. *Observer*: somebody who has some fields of
a record. *Violation*: a record whose sensitive value an observer can predict as surely as its threshold, or surer.
*Risk transition*: a step in a data flow from which on an actor could do so.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlanon.attacks import Attack, Attacked, Known
    from sqlanon.auditing import Audited
    from sqlanon.check import Check
    from sqlanon.comparison import Comparison
    from sqlanon.engines import Origin, connect
    from sqlanon.engines.answers import Relation
    from sqlanon.engines.duckdb import DuckDB
    from sqlanon.errors import EngineError, ModelNotMet, NotPortable, ReleaseError, SpecError, SqlanonError
    from sqlanon.exploring import Explored
    from sqlanon.flow.risks import Assessment
    from sqlanon.hierarchies import Csv, Date, Hierarchy, Mask, Order, Tree, Width
    from sqlanon.ledger import Ledger
    from sqlanon.models import (
        AlphaKAnonymity,
        AverageRisk,
        BalancedPPlusSensitivity,
        BetaLikeness,
        DeltaDisclosure,
        DeltaPresence,
        EpsilonMAnonymity,
        ExtendedPSensitivity,
        KAnonymity,
        KEAnonymity,
        KMAnonymity,
        KMap,
        LDiversity,
        Model,
        MUniqueness,
        PAlphaSensitivity,
        PersonalisedPrivacy,
        PopulationUniqueness,
        PPlusSensitivity,
        PSensitivity,
        SafePub,
        SampleUniqueness,
        TCloseness,
        ThetaSensitivity,
        ValuePrediction,
        Verdict,
    )
    from sqlanon.planning import Planned
    from sqlanon.policies import Policy
    from sqlanon.recoding.microaggregation import Microaggregation
    from sqlanon.recoding.perturbation import AdditiveNoise, Coding, MultiplicativeNoise, Pram, RankSwapping, Rounding
    from sqlanon.recoding.transforms import Transform
    from sqlanon.refreshing import Refreshed
    from sqlanon.release import Release
    from sqlanon.report import Report
    from sqlanon.risk import Risk
    from sqlanon.safe_harbor import SafeHarbor
    from sqlanon.spec import Spec, load, schema
    from sqlanon.together import Together
    from sqlanon.utility import Utility
    from sqlanon.verbs import (
        anonymize,
        assess,
        attack,
        audit,
        check,
        compare,
        execute,
        ledger,
        plan,
        predict,
        refresh,
        release,
        report,
        risk,
        safe_harbor,
    )

    __version__: str

__all__ = [
    "AdditiveNoise", "AlphaKAnonymity", "Assessment", "Attack", "Attacked", "Audited", "AverageRisk",
    "BalancedPPlusSensitivity", "BetaLikeness", "Check", "Coding", "Comparison", "Csv", "Date", "DeltaDisclosure",
    "DeltaPresence", "DuckDB",
    "EngineError", "EpsilonMAnonymity", "Explored", "ExtendedPSensitivity", "Hierarchy", "KAnonymity", "KEAnonymity",
    "KMAnonymity", "KMap", "Known", "LDiversity", "Ledger", "MUniqueness", "Mask", "Microaggregation", "Model",
    "ModelNotMet",
    "MultiplicativeNoise", "NotPortable", "Order", "Origin", "PAlphaSensitivity", "PPlusSensitivity", "PSensitivity",
    "PersonalisedPrivacy", "Planned", "Policy", "PopulationUniqueness", "Pram", "RankSwapping",
    "Refreshed", "Relation", "Release", "ReleaseError", "Report", "Risk", "Rounding", "SafeHarbor", "SafePub",
    "SampleUniqueness", "Spec", "SpecError", "SqlanonError",
    "TCloseness", "ThetaSensitivity", "Together", "Transform", "Tree", "Utility",
    "ValuePrediction", "Verdict", "Width", "anonymize", "assess", "attack", "audit", "check", "compare", "connect",
    "execute", "ledger", "load",
    "plan", "predict", "refresh", "release", "report", "risk", "safe_harbor", "schema",
]  # fmt: skip


# Where the public names live. A room is entered when one of its names is asked for: a program that asks for little
# starts at once, and a server without DuckDB never looks for it. (The imports above say the same to type checkers.)
_ROOMS = {
    "sqlanon.attacks": "Attack Attacked Known",
    "sqlanon.auditing": "Audited",
    "sqlanon.check": "Check",
    "sqlanon.comparison": "Comparison",
    "sqlanon.engines": "Origin connect",
    "sqlanon.engines.answers": "Relation",
    "sqlanon.engines.duckdb": "DuckDB",
    "sqlanon.errors": "EngineError ModelNotMet NotPortable ReleaseError SpecError SqlanonError",
    "sqlanon.exploring": "Explored",
    "sqlanon.flow.risks": "Assessment",
    "sqlanon.hierarchies": "Csv Date Hierarchy Mask Order Tree Width",
    "sqlanon.ledger": "Ledger",
    "sqlanon.models": (
        "AlphaKAnonymity AverageRisk BalancedPPlusSensitivity BetaLikeness DeltaDisclosure DeltaPresence "
        "EpsilonMAnonymity ExtendedPSensitivity KAnonymity KEAnonymity KMAnonymity KMap LDiversity MUniqueness "
        "Model PAlphaSensitivity PPlusSensitivity PSensitivity PersonalisedPrivacy PopulationUniqueness SafePub "
        "SampleUniqueness TCloseness ThetaSensitivity ValuePrediction Verdict"
    ),
    "sqlanon.planning": "Planned",
    "sqlanon.policies": "Policy",
    "sqlanon.recoding.microaggregation": "Microaggregation",
    "sqlanon.recoding.perturbation": "AdditiveNoise Coding MultiplicativeNoise Pram RankSwapping Rounding",
    "sqlanon.recoding.transforms": "Transform",
    "sqlanon.refreshing": "Refreshed",
    "sqlanon.release": "Release",
    "sqlanon.report": "Report",
    "sqlanon.risk": "Risk",
    "sqlanon.safe_harbor": "SafeHarbor",
    "sqlanon.spec": "Spec load schema",
    "sqlanon.together": "Together",
    "sqlanon.utility": "Utility",
    "sqlanon.verbs": (
        "anonymize assess attack audit check compare execute ledger plan predict refresh release report risk "
        "safe_harbor"
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("sqlanon")
    elif name in _ROOM_OF:
        found = getattr(import_module(_ROOM_OF[name]), name)
    else:
        raise AttributeError(f"module 'sqlanon' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


class _House(ModuleType):
    """The package itself. Python puts a module that it has read on its package, under the module's name; `plan`,
    `check` and others are public functions too, and whoever says `sqlanon.plan` means the function.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _ROOM_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _House
