"""The transforms that a spec can name, and what does not fit together in a list of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlanon.recoding.microaggregation import Microaggregation
from sqlanon.recoding.perturbation import AdditiveNoise, Coding, MultiplicativeNoise, Pram, RankSwapping, Rounding
from sqlanon.recoding.transforms import Transform

TRANSFORMS: dict[str, type[Transform]] = {
    kind.name: kind
    for kind in (Rounding, Coding, Microaggregation, RankSwapping, Pram, AdditiveNoise, MultiplicativeNoise)
}

# Why a view can have no blanked cells, and no Anatomy; and what everybody must know who publishes one.
BLANKED_ANEW = "which value is blanked depends on all other records, and changes when others arrive"
DEALT_ANEW = "a view would deal its records anew when others arrive, and a person's groups could be intersected"
IDENTITY = (
    "Anatomy does not protect identity: the quasi-identifiers are published as they are, so everybody who knows a"
    " person can find the record and learn that the person is in the table. Only the sensitive value is hidden, among"
    " those of its group; correlations between quasi-identifiers and sensitive values can be learned from all groups"
    " together and used against a single one (deFinetti attack, Kifer 2009)."
)

PUBLISHED = ("quasi-identifier", "sensitive", "insensitive")

_Problem = tuple[tuple[str | int, ...], str, str | None, Iterable[str]]


def problems(transforms: Sequence[Transform], roles: Mapping[str, str | None]) -> Iterator[_Problem]:
    """What is wrong with the columns of transforms, by the roles of all columns; None is one that could not be read.

    Each is told with its place among the transforms, the word found and the words allowed.
    """
    published = [name for name, role in roles.items() if role in PUBLISHED]
    seen: dict[tuple[str, str], int] = {}
    for i, transform in enumerate(transforms):
        for j, name in enumerate(transform.touched):
            place = (i, "columns", j) if hasattr(transform, "columns") else (i, "column")
            role = roles.get(name)
            if name not in roles:
                yield place, "columns has no such column", name, published or roles
            elif role is not None and role not in PUBLISHED:
                told = f"only what is published can be transformed, and this column is {role}"
                yield place, told, name, published
            # The draws of a second one would be those of the first: swapping twice brings the values back.
            if (first := seen.setdefault((transform.name, name), i)) != i:
                yield place, f"transforms[{first}] is {transform.name} of this column already", name, ()
