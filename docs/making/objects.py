"""The objects that `--json` prints: described in shapes.yaml, which a test compares with what the commands say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from making.text import NOTE, cell, code, table

FILE = Path(__file__).with_name("shapes.yaml")
POINTS = re.compile(r"(.*?)-> (\w+)$")


@cache
def described() -> dict[str, Any]:
    """The file, read."""
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def paths(keys: Mapping[str, str]) -> Iterator[str]:
    """The paths that keys describe, with those of the shapes that they point at."""
    for key in keys:
        found = POINTS.match(key)
        if not found:
            yield key
            continue
        for below in paths(described()["shapes"][found[2]]["keys"]):
            yield found[1] + below


def pattern(path: str) -> re.Pattern[str]:
    """What a described path looks like in an object; `*` stands for one key or one list of values."""
    return re.compile(re.escape(path.removesuffix("[]")).replace(r"\*", r"[^\0]+?") + r"(\[\])*")


def _rows(keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, told in keys.items():
        found = POINTS.match(key)
        if found:
            yield code((found[1] or "*").rstrip(".")), f"{cell(told)}: [{found[2]}](#{found[2]})"
        else:
            yield code(key), cell(str(told))


def page() -> str:
    """The page of JSON objects."""
    found = described()
    parts = [
        f"# JSON\n\n{NOTE}Every command prints one object with `--json`, equal to what `.to_dict()` of the"
        " Python result"
        " gives. A path such as `models[].value` is the key `value` of each item of the list `models`; `*` is a"
        " name that"
        " depends on the data. New keys may come; none goes or changes its meaning within a major version.\n\n"
    ]
    for name, keys in found["commands"].items():
        title = f"sqlanon {name}" if name != "error" else "An error"
        parts.append(f"## {title}\n\n")
        told = keys.get("see")
        parts.append(f"{told}.\n\n" if told else table(("key", "is"), _rows(keys)) + "\n")
    for name, shape in found["shapes"].items():
        parts.append(f"## {name}\n\n{shape['about']}\n\n{table(('key', 'is'), _rows(shape['keys']))}\n")
    return "".join(parts)
