"""People of whom hardly two agree on eight quasi-identifiers: the hardest table for a partition.

Ages, wages and hours are skewed and hang together; 10,000 postcodes, 40 countries and 14 occupations are more and less
frequent; birthdays are to the day. Of ten million rows, all but a few thousand are combinations of their own, so
nothing is gained by counting equal records. Drawn from hashes of the row's number: deterministic.

    python benchmarks/distinct.py 1000000 /tmp/d1m.parquet
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

COLUMNS = ("born", "sex", "postcode", "country", "education", "occupation", "wage", "hours")

DRAWN = """
CREATE MACRO drawn(i, what) AS (hash(what || i) >> 11) / 9007199254740992.0;
COPY (
  SELECT date '2007-12-31' - cast(floor(32000 * age * (0.4 + 0.6 * drawn(i, 'born'))) AS integer) AS born,
    CASE WHEN drawn(i, 'sex') < 0.51 THEN 'Female' ELSE 'Male' END AS sex,
    lpad(cast(cast(floor(10000 * power(drawn(i, 'postcode'), 2)) AS integer) AS varchar), 5, '0') AS postcode,
    'Country ' || cast(floor(40 * power(drawn(i, 'country'), 4)) AS integer) AS country,
    cast(floor(least(15, 16 * power(schooling, 0.7))) AS integer) AS education,
    'Occupation ' || cast(floor(14 * (0.5 * schooling + 0.5 * drawn(i, 'occupation'))) AS integer) AS occupation,
    cast(floor(12000 * exp(1.5 * schooling + age + 0.5 * drawn(i, 'wage'))) AS integer) AS wage,
    cast(floor(20 + 40 * power(drawn(i, 'hours'), 0.5)) AS integer) AS hours,
    CASE WHEN drawn(i, 'illness') < 0.1 THEN 'ill' ELSE 'well' END AS illness
  FROM (SELECT range AS i, drawn(range, 'age') AS age, drawn(range, 'schooling') AS schooling FROM range({rows}))
) TO '{file}' (FORMAT parquet)
"""


def write(rows: int, file: Path) -> None:
    """Writes `rows` records as Parquet."""
    with duckdb.connect() as connection:
        connection.execute(DRAWN.format(rows=rows, file=file))


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
