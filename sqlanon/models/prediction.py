"""Value prediction: nobody who knows a person's quasi-identifiers can be surer of the value than the person allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from sqlanon import measures
from sqlanon.errors import SpecError
from sqlanon.margins import Margin, margin, share
from sqlanon.measures import Measure
from sqlanon.models.model import Model, require

# The paper's default threshold: of a pragmatist, for a normal field.
DEFAULT_THRESHOLD = "0.9"
# The word that takes each record's threshold from the spec's policy.
POLICY = "policy"


@dataclass(frozen=True)
class ValuePrediction(Model):
    """No record's sensitive value can be predicted, within the margin, as surely as the record's threshold, or surer.

    Measure: violations, records. A record's share is m / |S|: S are the records with the same quasi-identifiers and a
    value, m those of S within `margin` of its own (a number, a time such as 30d; 0 for categories), itself included; it
    is a violation where m / |S| ≥ threshold (`above`: >), compared exactly. `threshold` is one share ("2/3" may be
    said), or `policy`, each person's own; `threshold_column` is a column that holds them. With `observer: any` (the
    default), this holds whichever of the quasi-identifiers somebody knows: all subsets are counted, because fewer can
    bring more violations; with `all`, of those who know all. `value` is the most violations in a class, or, where that
    is more, those that an observer of fewer columns finds; the bound is 0; `details` tells the surest share of a class.
    With `remove`, the cells that can be predicted are blanked when a release is made; see `blanking`. Source: Neumann,
    Grace, Burns & Surridge 2019 (reference: models, 3). Leaves: who the record is about; values that are rare in S; a
    value that was blanked was easy to predict. Raises `ValueError` for a margin or threshold that is none.
    """

    column: str
    margin: Annotated[Decimal | str | None, "How near a guess counts as known; needed for numbers and times."] = None
    threshold: Annotated[Decimal | str | None, "A share from 0 to 1, or policy; 0.9 if nothing is said."] = None
    threshold_column: Annotated[str | None, "The column that holds each record's threshold, instead."] = None
    above: Annotated[bool, "Only shares above the threshold are violations."] = False
    observer: Annotated[
        Literal["any", "all"], "Whoever knows any of the quasi-identifiers, or only those who know all."
    ] = "any"
    remove: Annotated[
        Literal["greedy", "minimum", "iteration"] | None, "Blank the cells that can be predicted, in this way."
    ] = None
    seed: Annotated[int, "Of what iteration draws at random."] = 0

    name: ClassVar[str] = "value-prediction"
    # (a,x,70), (a,x,70), (a,y,70), (a,y,100): whoever knows less finds more; and two classes without may unite to some.
    monotone = False
    free = frozenset({"threshold"})

    def __post_init__(self) -> None:
        for key, read in (("margin", margin), ("threshold", share)):
            given = getattr(self, key)
            try:
                if given is not None and given != POLICY:
                    read(given)
            except SpecError as error:
                raise ValueError(error.problem.removeprefix("a ")) from None
            object.__setattr__(self, key, None if given is None else str(given))
        require(
            self.threshold is None or self.threshold_column is None, "threshold_column stands instead of a threshold"
        )
        require(self.remove == "iteration" or self.seed == 0, "seed is for remove: iteration")

    @property
    def guard(self) -> str | None:
        """The column in which each record's threshold stands beside it; see `thresholds`."""
        if self.threshold_column is not None:
            return f"threshold of {self.column} by {self.threshold_column}"
        return f"threshold of {self.column}" if self.threshold == POLICY else None

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"guard"}) if self.guard else frozenset()

    @property
    def reach(self) -> Margin | None:
        """The margin as such; None where nothing was said."""
        return None if self.margin is None else margin(self.margin)

    @property
    def limit(self) -> Fraction | str:
        """The threshold of all records, or the column that holds each one's."""
        return self.guard or share(self.threshold or DEFAULT_THRESHOLD)

    def measures(self) -> Mapping[str, Measure]:
        of, asked = self.column, (self.reach, self.limit, self.above)
        found = {what: measures.predictable(of, *asked, what) for what in ("violations", "share")}
        return found | ({"others": measures.predictable_by_any(of, *asked)} if self.observer == "any" else {})

    def value(self) -> str:
        return "greatest($violations, $others)" if self.observer == "any" else "$violations"

    def holds(self) -> str:
        return "$violations = 0"

    def whole(self) -> str | None:
        return "coalesce(max($others), 0) = 0" if self.observer == "any" else None

    def whole_rows(self) -> str:
        return "coalesce(max($others), 0)" if self.observer == "any" else "0"

    def details(self) -> Mapping[str, tuple[str, Literal["min", "max"]]]:
        return {"highest_share": ("$share", "max")}

    @property
    def bound(self) -> float:
        return 0

    @property
    def parameters(self) -> dict[str, object]:
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "column"}
        given["threshold"] = self.threshold or (None if self.threshold_column else DEFAULT_THRESHOLD)
        told = {key: v for key, v in given.items() if v not in (None, False) and (key, v) != ("seed", 0)}
        return {key: _number(v) for key, v in told.items()}

    def __str__(self) -> str:
        words = [f"{key}={value}" for key, value in {"column": self.column, **self.parameters}.items()]
        return f"{self.name}({', '.join(words)})"


def _number(said: Any) -> object:
    """A number as a number, a word as a word."""
    try:
        found = Decimal(said) if isinstance(said, str) else None
    except ArithmeticError:
        return said
    if found is None or not found.is_finite() or Decimal(repr(float(found))) != found:
        return said
    return int(found) if found == found.to_integral_value() else float(found)
