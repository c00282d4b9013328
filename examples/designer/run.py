"""A system designer checks a design on sample data: which steps would tell too much, and did anybody agree to them?

    python examples/designer/run.py [FOLDER]

The sample is the paper's table 3. The states are drawn into FOLDER/states.svg, if the extra `pictures` is installed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlanon
from sqlanon import pictures
from sqlanon.flow.risks import Assessment

HERE = Path(__file__).resolve().parent


def run(folder: Path) -> Assessment:
    """What the design comes to; the states as a picture in the folder."""
    found = sqlanon.assess(HERE / "model.yaml", limit=pictures.MOST_STATES)
    pictures.states(found, folder / "states.svg")
    return found


if __name__ == "__main__":
    from sqlanon.showing import flows

    with tempfile.TemporaryDirectory() as temporary:
        flows.flow(run(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)))
