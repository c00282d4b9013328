"""What a way of recoding came to: the steps that recode every record, and the numbers that a plan tells of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlanon.models import Verdict, exact
from sqlanon.plan import Recoded
from sqlanon.query import Expression
from sqlanon.recoding.full_domain import Found
from sqlanon.spec import Spec


@dataclass(frozen=True)
class Linked:
    """The second relation of an Anatomy, a row per group and sensitive value: the names of its three columns.

    `group` stands in the first relation too, once per record; `records` says how many of the group have the value.
    """

    group: str
    sensitive: str
    records: str


@dataclass(frozen=True)
class Outcome:
    """A recoding that is ready to be published.

    `rows`: records of the source, of which `suppressed` are in classes that fail; `classes` that are kept, with their
    `verdicts` and their `utility` by name. `failing`: the classes that fail, where they were looked up already.
    `search`: how the best of many was found. `noise`: records of nobody; `swaps`: exchanges of records between classes;
    `cells`: records with one value blanked, and `whole` the same without blanks. `linked`: the second relation of an
    Anatomy.
    """

    recoded: Recoded
    rows: int
    suppressed: int
    classes: int
    verdicts: tuple[Verdict, ...]
    utility: Mapping[str, float]
    failing: Expression | None = None
    search: Found | None = None
    noise: int = 0
    cells: int = 0
    whole: Outcome | None = None
    linked: Linked | None = None
    swaps: int = 0
    notes: tuple[str, ...] = ()


def most_suppressed(spec: Spec, records: int) -> int:
    """The suppression limit in whole records, rounded down from the share that was written."""
    return math.floor(exact(spec.recoding.suppression) * records)
