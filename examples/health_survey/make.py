"""Makes the survey: 1,103 adults with age, sex, race, height and weight, from means and deviations of our own.

The paper takes 10 % of the anthropometry of NHANES 2007-2010, which are not here. These people are drawn from what
such a survey of adults is like: ages 20 to 80 in equal shares; five groups of race; heights of 175.9 ± 7.6 cm (men)
and 162.1 ± 7.1 cm (women); a body mass index around 28.5 ± 6, skewed to the right, which with the height gives the
weight. No group differs from another in anything but size, so whatever is learnt from race here is learnt from
chance.
"""

from __future__ import annotations

import random
from pathlib import Path

PEOPLE = 1103
RACES = {"white": 46, "mexican": 18, "black": 18, "hispanic": 12, "other": 6}
HEIGHT = {"male": (175.9, 7.6), "female": (162.1, 7.1)}  # centimetres: mean, deviation


def write(folder: Path, seed: int = 2019) -> Path:
    """The survey as a file in the folder."""
    draw, lines = random.Random(seed), ["age,sex,race,height,weight"]
    for _ in range(PEOPLE):
        sex = draw.choice(list(HEIGHT))
        (race,) = draw.choices(list(RACES), list(RACES.values()))
        height = draw.gauss(*HEIGHT[sex])
        mass_index = 18 + draw.gammavariate(3.1, 3.4)
        lines.append(f"{draw.randint(20, 80)},{sex},{race},{height:.1f},{mass_index * (height / 100) ** 2:.1f}")
    file = folder / "survey.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
