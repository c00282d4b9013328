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
