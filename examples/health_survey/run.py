"""The paper's experiment (its section 6) on a survey of our own: who can be predicted before and after anonymisation?

    python examples/health_survey/run.py [FOLDER]

For every subset of age, sex, race and height: how many weights can be predicted to 5 kg with a share of 90 %, on the
survey as it is, after k-anonymity with k = 2, after l-diversity beside it, and after a release that promises that
nobody can, and blanks what it must for that.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import sqlanon

HERE = Path(__file__).resolve().parent
FIELDS = ("age", "sex", "race", "height")
STEPS: dict[str, list[dict[str, Any]] | None] = {
    "as it is": None,
    "k = 2": [],
    "k = 2, l = 3": [{"model": "l-diversity", "column": "weight", "l": 3}],
    "k = 2, removal": [
        {"model": "value-prediction", "column": "weight", "margin": 5, "threshold": "0.9", "remove": "greedy"}
    ],
    "k = 2, t = 0.1": [{"model": "t-closeness", "column": "weight", "distance": "ordered", "t": 0.1}],
}
Found = Mapping[str, sqlanon.Explored | str]


def run(folder: Path) -> Found:
    """What each step comes to; the reason, where no release satisfies the models."""
    sys.path.insert(0, str(HERE))
    import make

    make.write(folder)
    shutil.copy(HERE / "spec.yaml", folder)
    found: dict[str, sqlanon.Explored | str] = {}
    with sqlanon.connect() as engine:
        for name, more in STEPS.items():
            try:
                relation = released(engine, folder, more)
            except sqlanon.ModelNotMet as error:
                found[name] = str(error)
            else:
                found[name] = sqlanon.predict(
                    relation, column="weight", fields=FIELDS, margin=5, threshold="0.9", all_subsets=True,
                    remove="greedy", engine=engine,
                )  # fmt: skip
    return found


def released(engine: sqlanon.DuckDB, folder: Path, more: list[dict[str, Any]] | None) -> Path | str:
    """The survey itself, or its release under k = 2 and some more models."""
    if more is None:
        return folder / "survey.csv"
    spec = yaml.safe_load((folder / "spec.yaml").read_text(encoding="utf-8"))
    spec |= {"source": str(folder / "survey.csv"), "privacy": [*spec["privacy"], *more]}
    return sqlanon.release(spec, engine).name


def table(found: Found) -> str:
    """Violations (and in brackets, the values that removal blanks) by subset and step, as a table in Markdown."""
    steps = {name: step for name, step in found.items() if isinstance(step, sqlanon.Explored)}
    subsets = sorted({row.risk.fields for step in steps.values() for row in step.subsets}, key=lambda f: (len(f), f))
    lines = [f"| fields | {' | '.join(steps)} |", f"| --- |{' --- |' * len(steps)}"]
    for fields in subsets:
        rows = [next(row for row in step.subsets if row.risk.fields == fields) for step in steps.values()]
        cells = [f"{row.risk.violations} ({row.removed})" for row in rows]
        lines.append(f"| {', '.join(fields) or 'nothing'} | {' | '.join(cells)} |")
    lines.append(f"| *records* | {' | '.join(str(step.rows) for step in steps.values())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        results = run(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
    print(table(results))
    for step, outcome in results.items():
        if isinstance(outcome, str):
            print(f"{step}: {outcome}")
        elif outcome.removal is not None:
            without = {cost.field: outcome.worst.violations - cost.last for cost in outcome.costs}
            print(f"{step}: without one field {without}; {outcome.removal.removed} values blanked leave no violation")
