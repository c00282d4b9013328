"""What annotations say of the keys of a file: `Annotated[type, "description", {limits}]` on the fields of a dataclass.

Limits are written in the words of JSON Schema; here are their sentences and tests.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache
from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("must be at least {}", operator.ge),
    "maximum": ("must be at most {}", operator.le),
    "exclusiveMinimum": ("must be greater than {}", operator.gt),
    "exclusiveMaximum": ("must be less than {}", operator.lt),
    "minLength": ("must not be empty", lambda text, least: len(text.strip()) >= least),
    "pattern": ("must be like {}", lambda text, pattern: re.fullmatch(pattern, text) is not None),
}


class Key(NamedTuple):
    """One key of a mapping in the file, which is one field of a dataclass."""

    name: str
    hint: Any
    about: dict[str, Any]
    default: Any


def keys_of(kind: Any) -> dict[str, Key]:
    """The keys of a dataclass by their name in the file, from its fields and annotations."""
    return _derived(kind)


@cache
def _derived(kind: Any) -> dict[str, Key]:
    hints, found = get_type_hints(kind, include_extras=True), {}
    for f in fields(kind):
        if f.metadata.get("outside"):  # set by `load`, not by the file
            continue
        hint, about = hints[f.name], {}
        if get_origin(hint) is Annotated:
            text, *limits = hint.__metadata__
            hint, about = hint.__origin__, {"description": text, **(limits[0] if limits else {})}
        default = f.default if f.default_factory is MISSING else None
        found[f.name.strip("_").replace("_", "-")] = Key(f.name, hint, about, default)
    return found


def keep_limits(of: Any) -> None:
    """Raise ValueError where a value is beyond the limits in its annotation."""
    for key, (name, _, about, _) in keys_of(type(of)).items():
        value = getattr(of, name)
        for word, (sentence, within) in _LIMITS.items():
            if value is not None and word in about and not within(value, about[word]):
                raise ValueError(f"{key} {sentence.format(about.get('examples', [about[word]])[0])}")
