"""The examples run, and what they and their texts tell is so."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sqlanon
from sqlanon.showing import flows as showing

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    """The module `run.py` of an example."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_example_is_in_the_table_and_has_a_test() -> None:
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir() and (folder / "run.py").exists()}
    assert folders == {"controller", "designer", "gate", "health_survey"}
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in folders if f"]({name}/" not in text] == []


def test_a_controller_checks_live_data(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = example("controller").run(tmp_path)
    released, personal = found["released"], found["personal"]
    assert released.worst.fields == ("age", "sex", "zip")
    assert released.worst.violations > 0
    assert released.removal is not None and released.removal.after[-1].violations == 0
    assert personal.worst.violations > released.worst.violations
    assert personal.target.threshold.policy is not None
    showing.predicted(released)
    assert "Removal (greedy)" in capfd.readouterr().out


def test_a_designer_checks_a_design_on_sample_data(tmp_path: Path) -> None:
    found = example("designer").run(tmp_path)
    scores = {(d.actor, frozenset(d.fields)): d.violations for d in found.dangers}
    assert scores["researcher", frozenset(["age", "height"])] == 4
    assert scores["researcher", frozenset(["height"])] == 0
    assert scores["insurer", frozenset(["age"])] == 2
    assert {t.actor for t in found.states.violations} == {"insurer"}
    assert "researcher knows weight" in (tmp_path / "states.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(("telling", "status"), [(False, 0), (True, 1)])
def test_a_pipeline_stops_by_itself(
    telling: bool, status: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert example("gate").run(tmp_path, telling=telling) == status
    out = capfd.readouterr().out
    assert ("blocks: IF violations(weight) > 20" in out) is telling


def test_the_health_survey_tells_what_its_text_tells(tmp_path: Path) -> None:
    module = example("health_survey")
    found = module.run(tmp_path)
    text = (EXAMPLES / "health_survey" / "README.md").read_text(encoding="utf-8")
    assert module.table(found) in text, "the table of README.md is another"
    survey, anonymous, diverse = (found[name] for name in ("as it is", "k = 2", "k = 2, l = 3"))
    assert survey.rows == 1103
    assert survey.worst.violations > anonymous.worst.violations > 2 * diverse.worst.violations > 0
    without = {cost.field: anonymous.worst.violations - cost.last for cost in anonymous.costs}
    assert (
        f"{without['height']}, {without['age']}, {without['race']}, {without['sex']}: height and age tell most" in text
    )
    for step in (survey, anonymous, diverse):
        assert isinstance(step, sqlanon.Explored) and step.removal is not None
        assert all(risk.violations == 0 for risk in step.removal.after)
    promised = found["k = 2, removal"]
    assert (promised.rows, promised.worst.violations) == (anonymous.rows, 0)
    assert promised.missing == anonymous.removal.removed
    assert f"blanks {promised.missing} of its {promised.rows} weights" in text
    assert found["k = 2, t = 0.1"].startswith("no transformation satisfies")
