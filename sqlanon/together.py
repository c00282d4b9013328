"""What several releases of one source may tell together: the bounds that a spec sets, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from sqlanon.annotations import keep_limits


@dataclass(frozen=True)
class Together:
    """What whoever has all releases of a source for one audience must not fall below; at least one bound is given."""

    candidates: Annotated[
        int | None, "At least so many records (persons, with an entity) share all classes of a person.", {"minimum": 2}
    ] = None
    values: Annotated[
        int | None, "At least so many values of each sensitive column are left for a person.", {"minimum": 2}
    ] = None
    invariance: Annotated[
        int | None, "m-invariance: so many values per class, each once, the same in all releases of a person.",
        {"minimum": 2},
    ] = None  # fmt: skip

    def __post_init__(self) -> None:
        keep_limits(self)
        if self.bounds == {}:
            raise ValueError("one of candidates, values and invariance is needed")

    @property
    def bounds(self) -> Mapping[str, int]:
        """The bounds that are given."""
        return {name: bound for name, bound in asdict(self).items() if bound is not None}


@dataclass(frozen=True)
class Left:
    """What several releases leave, all together, of one sensitive column (None: of none) to a person who is in them.

    `targets`: records of the source that are in at least two of the releases. `candidates`: the least number of records
    (or persons) that share all classes of a target. `values`: the least number of values that all releases allow a
    target; None where no target has any. `few`: how many targets have one value left. `moved`: targets whose
    releases allow no common value, since theirs has changed. `signatures`: targets whose classes in two releases have
    not the same values. `least`: the least number of values of a class of a release; `repeated`: the classes, of all
    releases, in which a value is in more than one record.
    """

    column: str | None
    targets: int
    candidates: int | None
    values: int | None = None
    few: int = 0
    moved: int = 0
    signatures: int = 0
    least: int | None = None
    repeated: int = 0

    @property
    def invariance(self) -> int | None:
        """The greatest m for which the releases are m-invariant for their targets; None for none."""
        return None if self.signatures or self.repeated else self.least

    def breaks(self, wanted: Together) -> tuple[str, ...]:
        """The bounds that are not kept, as sentences without cells. Where there is no target, nothing is broken."""
        broken = []
        of = f" of {self.column}" if self.column else ""
        if wanted.candidates and self.targets and (self.candidates or 0) < wanted.candidates:
            broken.append(f"{self.candidates} candidates against {wanted.candidates}")
        if wanted.values and self.column and self.values is not None and self.values < wanted.values:
            broken.append(f"{self.values} values{of} against {wanted.values}")
        if wanted.invariance and self.column and self.targets and (self.invariance or 0) < wanted.invariance:
            told = f"{self.signatures} records have other values{of} in another release"
            more = f"{self.repeated} classes repeat one, the least class has {self.least}"
            broken.append(f"no m-invariance({wanted.invariance}): {told}, {more}")
        return tuple(broken)

    def with_(self, other: Left) -> Left:
        """The worse of the two in every respect but the number of targets."""
        values = [n for n in (self.values, other.values) if n is not None]
        return replace(
            self, values=min(values, default=None), few=max(self.few, other.few),
            signatures=max(self.signatures, other.signatures),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "invariance": self.invariance}
