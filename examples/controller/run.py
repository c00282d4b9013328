"""A data controller checks live data: whose weight can be told from what was released, and what would stop that?

    python examples/controller/run.py [FOLDER]

The patients and their release lie in one database. The release is measured as it stands there, at one threshold for
all; the table behind it, at the threshold of each person's own preference. Nothing is changed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import sqlanon
from sqlanon import demo

HERE = Path(__file__).resolve().parent
PATIENTS = """CREATE OR REPLACE TABLE patients AS
SELECT patient_id, age, sex, zip, weight_kg,
       CASE WHEN hash(patient_id) % 10 < 2 THEN 'fundamentalist' WHEN hash(patient_id) % 10 < 8 THEN 'pragmatist'
            ELSE 'unconcerned' END AS preference
FROM read_csv(?, types = {'zip': 'VARCHAR'}) WHERE admitted < DATE '2023-07-01'"""


def run(folder: Path) -> dict[str, sqlanon.Explored]:
    """What can be predicted from the release, and from the table for each person's own threshold."""
    demo.write(folder)
    with sqlanon.connect(f"duckdb:///{folder / 'clinic.duckdb'}") as engine:
        engine.run("make the live table", PATIENTS, [str(folder / "patients.csv")])
        made = sqlanon.release(HERE / "spec.yaml", engine)
        fields = {"column": "weight_kg", "fields": ["age", "sex", "zip"], "margin": 2, "engine": engine}
        return {
            "released": sqlanon.predict(made.name, **fields, threshold="0.5", all_subsets=True, remove="greedy"),
            "personal": sqlanon.predict("patients", **fields, policy=HERE / "spec.yaml"),
        }


if __name__ == "__main__":
    from sqlanon.showing import flows

    with tempfile.TemporaryDirectory() as temporary:
        for name, found in run(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)).items():
            print(f"\n== {name}")
            flows.predicted(found)
