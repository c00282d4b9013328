"""The repository is as its tools want it: no complaint of the linter, one format, strict types."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_the_tools_have_nothing_to_say(command: str) -> None:
    tool, *words = command.split()
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it is in the test extra")
    ran = subprocess.run([sys.executable, "-m", tool, *words], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
