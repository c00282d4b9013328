"""A rich report in the shape of `Report.to_dict()`, invented throughout, and an empty, a failing and a hostile one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "data" / "report.json"
PARTS = (
    "risk", "value_prediction", "attacks", "correlations", "search", "methods", "fields", "repairs", "flow", "history",
    "classes",
)  # fmt: skip


def example() -> dict[str, Any]:
    """A release with everything that a report can say."""
    told: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return told


def failing() -> dict[str, Any]:
    """A release of which two promises do not hold, and not much more is known."""
    told = empty() | {"kind": "release", "holds": False, "models": example()["models"]}
    for model, value in zip(told["models"], (3, None), strict=False):
        model |= {"value": value, "holds": False, "margin": -2.0, "classes_violating": 12, "rows_violating": 40}
    return told


def empty() -> dict[str, Any]:
    """A table of which nearly nothing could be measured, and nothing was asked to hold."""
    told = example() | {"kind": "relation", "name": None, "version": None, "made_by": None, "holds": None}
    told |= dict.fromkeys(PARTS) | {"models": [], "columns": [], "limits": [], "standards": [], "reproduce": None}
    nothing = dict.fromkeys(("rows_in", "rows_out", "suppressed", "classes"), 0)
    unknown = dict.fromkeys(("suppressed_share", "entity", "levels", "noise_rows", "swaps", "source_state"))
    told["summary"] |= nothing | unknown | {"sentences": ["There are no records."], "utility": {}}
    return told | {"missing": [{"part": part, "why": "there are no records"} for part in PARTS]}


NASTY = "</script><script>alert(1)</script>"
NAMES = (
    NASTY, "<img src=x onerror=alert(1)>", '"; DROP TABLE x; --', "it's \"quoted\"", "two\nlines\tand a tab", "x" * 300,
    "שם המטופל", "abc\u202egpj.exe", "${7*7}", "{{7*7}}", "datum.value", "javascript:alert(1)", "]]>", "<!--",
    "\\u003c", "名前", "\x00\x1b[31m", "\u2028", "' + alert(1) + '",
)  # fmt: skip
_OURS = ("kind", "state", "answer", "svg", "made_at", "at", "sqlanon", "model", "name")


def hostile() -> dict[str, Any]:
    """Sixty columns whose names and values are attacks on the page, in every place that text can come from."""
    told = _poisoned(example())
    names = [NAMES[i] if i < len(NAMES) else f"column_{i}" for i in range(60)]
    base = example()["columns"][4]
    told["columns"] = [
        base | {"name": name, "how": name, "examples": [{"before": name, "after": name}],
                "distribution": base["distribution"] | {"labels": [*NAMES[:5], name]} if i < len(NAMES) else None}
        for i, name in enumerate(names)
    ]  # fmt: skip
    far = [[((i * j) % 21) / 10 - 1 for j in range(60)] for i in range(60)]
    told["correlations"] |= {"columns": names, "before": far, "after": far}
    return told


def _poisoned(told: Any, key: str = "") -> Any:
    """The same with an attack in the place of every text that a source, a spec or a person could have written."""
    if isinstance(told, dict):
        return {name: _poisoned(value, name) for name, value in told.items()}
    if isinstance(told, list):
        return [_poisoned(one, key) for one in told]
    return NASTY if isinstance(told, str) and key not in _OURS else told
