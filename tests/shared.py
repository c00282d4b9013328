"""Where the tests find the shared reference material, and the Adult data as a spec."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sqlanon.planning import Planned
from sqlanon.recoding.full_domain import Found

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SQLANON_SHARED") or ROOT.parent / "shared")
ADULT = SHARED / "data" / "adult"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"{SHARED} is absent; set SQLANON_SHARED to the folder with the vectors and Adult"
)


def read(name: str) -> Any:
    """A JSON file of the shared folder; an empty case list where the folder is absent, so that collection works."""
    file = SHARED / name
    return json.loads(file.read_text()) if file.exists() else {"cases": []}


def adult(quasi_identifiers: list[str], models: list[dict[str, Any]], **recoding: Any) -> dict[str, Any]:
    """A spec over Adult: the given quasi-identifiers with their hierarchies; occupation is sensitive if it is none."""
    names = [*quasi_identifiers, *(c for c in COLUMNS if c not in quasi_identifiers)]
    return {
        "source": {"file": str(ADULT / "adult.csv"), "delimiter": ";"},
        "columns": {name: _column(name, quasi_identifiers) for name in names},
        "privacy": models,
        "recoding": {"method": "full-domain", **recoding},
        "publish": {"name": "adult_release"},
    }


COLUMNS = (
    "sex",
    "age",
    "race",
    "marital-status",
    "education",
    "native-country",
    "workclass",
    "occupation",
    "salary-class",
)


def _column(name: str, quasi_identifiers: list[str]) -> Any:
    hierarchy = {"csv": str(ADULT / f"adult_hierarchy_{name}.csv")}
    if name in quasi_identifiers:
        return {"role": "quasi-identifier", "hierarchy": hierarchy}
    return {"role": "sensitive", "hierarchy": hierarchy} if name == "occupation" else "insensitive"


def search_of(planned: Planned) -> Found:
    """How the best transformation was found, of a plan that searched for one."""
    found = planned.outcome.search
    assert found is not None
    return found
