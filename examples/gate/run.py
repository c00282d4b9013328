"""A pipeline that stops by itself: the nightly export goes out only if no rule blocks it.

    python examples/gate/run.py [FOLDER] && echo "the export may go out"

The same as `sqlanon flow model.yaml --gate`: exit status 1 tells that a rule blocks, with its numbers. The table of
tonight is coarse enough; that of tomorrow has people whose heights give their weights away.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path

from sqlanon.cli import main

HERE = Path(__file__).resolve().parent


def write(folder: Path, *, telling: bool) -> Path:
    """The model, the spec and the people of one night; `telling` heights leave a weight little room."""
    for name in ("model.yaml", "spec.yaml"):
        shutil.copy(HERE / name, folder)
    draw, lines = random.Random(7), ["id,age,height,weight"]
    for i in range(600):
        height = draw.randint(150, 195)
        weight = (height - 100) + draw.gauss(0, 2 if telling else 14)
        lines.append(f"{i},{draw.randint(20, 80)},{height},{weight:.1f}")
    (folder / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "model.yaml"


def run(folder: Path, *, telling: bool = False) -> int:
    """The exit status of the gate."""
    return main(["flow", str(write(folder, telling=telling)), "--gate"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(run(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)))
