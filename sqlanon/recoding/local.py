"""Local recoding from the source to what is published: a partition, repaired for the models, and covered.

The rooms behind it: `lines` (values in places), `partition` (combinations and classes), `mondrian` and `hilbert` (the
partitions), `diverse` (dealing values out), `repair` (any model), `covers` (what is published), `records` (the way
back).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlanon.engines import Engine, require
from sqlanon.models import Model
from sqlanon.plan import Source
from sqlanon.recoding import mondrian
from sqlanon.recoding.covers import Published, publish
from sqlanon.recoding.diverse import diverse
from sqlanon.recoding.hilbert import Groups, Order, hilbert
from sqlanon.recoding.lines import Dimension
from sqlanon.recoding.partition import Encoded, encode
from sqlanon.recoding.repair import Repaired, repair, smallest


@dataclass(frozen=True)
class Way:
    """How a table is partitioned.

    `method`: strict or relaxed Mondrian, or groups along a curve; `order` and `groups` belong to the curve. `dealt`: a
    sensitive column whose values are dealt out along the curve in place of the groups.
    """

    method: Literal["strict", "relaxed", "hilbert"] = "hilbert"
    order: Order | None = None
    groups: Groups = "best"
    dealt: str | None = None

    def __post_init__(self) -> None:
        if self.dealt is not None and self.method != "hilbert":
            raise ValueError("values are dealt out along a curve: dealt belongs to method hilbert")


@dataclass(frozen=True)
class Made:
    """A partition that is ready: what is published, and what the repair came to. `close` drops the working tables."""

    published: Published
    repaired: Repaired

    def close(self) -> None:
        """Drops the working tables; then `published.recoded()` reads nothing any more."""
        self.published.encoded.close()


def make(
    engine: Engine,
    source: Source,
    way: Way,
    key: str,
    *,
    models: Sequence[Model] = (),
    limit: int = 0,
    dimensions: Sequence[Dimension] = (),
) -> Made:
    """Partitions a source so that every class satisfies the models, but for classes of `limit` records at most.

    `models` stand for those of the spec where they are given, `dimensions` for its quasi-identifiers. `key` decides, in
    secret, between records that are alike. Raises `SpecError`, `EngineError`, and `ModelNotMet` where nothing will do.
    """
    require(engine, "partition", "a partition")
    wanted = tuple(models) or source.spec.privacy
    encoded = encode(engine, source, key, dimensions=dimensions, beside=[way.dealt] if way.dealt else [])
    try:
        # Where the models ask for more than there is, it is the repair that refuses, with the numbers.
        _partition(encoded, way, min(smallest(wanted), encoded.persons), wanted)
        done = repair(encoded, wanted, limit=limit, boxes=way.method == "strict")
        return Made(publish(encoded), done)
    except BaseException:
        encoded.close()
        raise


def _partition(encoded: Encoded, way: Way, k: int, models: Sequence[Model]) -> None:
    if way.dealt is not None:
        diverse(encoded, k, way.dealt, models, order=way.order)
    elif way.method == "hilbert":
        hilbert(encoded, k, order=way.order, groups=way.groups)
    else:
        {"strict": mondrian.strict, "relaxed": mondrian.relaxed}[way.method](encoded, k)
