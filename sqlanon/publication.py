"""Under which name, in which form, whose and for whom something is published: a part of the spec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from sqlanon.annotations import keep_limits
from sqlanon.together import Together

_NAMED = {"minLength": 1}
_LASTING = {"pattern": "^[1-9][0-9]{0,4}[hdw]$", "examples": ["90d, 12h or 4w"]}
_RELEASE_FILE = {
    "pattern": r"^(?:[^\n]*[/\\])?[^/\\\n]+\.(parquet|duckdb)$",
    "examples": ["NAME.parquet or NAME.duckdb"],
}


@dataclass(frozen=True)
class Publish:
    """Under which name, in which form and for whom the result is published."""

    name: Annotated[str, "The name of the release.", _NAMED]
    as_: Annotated[
        Literal["table", "view", "materialized view", "file"],
        "The form of the release; a materialized view is for Postgres.",
    ] = "table"
    path: Annotated[str | None, "The file, relative to the folder of the spec; else NAME.parquet.", _RELEASE_FILE] = (
        None
    )
    grant: Annotated[tuple[str, ...], "The roles that may read it."] = ()
    owner: Annotated[
        str | None,
        "Postgres: the role that owns it, which may not log in and reads the source and nothing else; else "
        "sqlanon_owner, where that is there and whoever publishes is a member of it.",
        _NAMED,
    ] = None
    ledger: Annotated[Together | None, "What all releases of the source for one audience must leave together."] = None
    expires: Annotated[str | None, "Hours, days or weeks after which it is withdrawn.", _LASTING] = None

    def __post_init__(self) -> None:
        keep_limits(self)
        if self.path is not None and self.as_ != "file":
            raise ValueError("path belongs to as: file only")
        if self.as_ == "file" and self.path is None:
            if re.search(r"[/\\]", self.name):
                raise ValueError("name holds a slash, so that path is needed")
            object.__setattr__(self, "path", f"{self.name}.parquet")

    @property
    def live(self) -> bool:
        """Whether it is made by a statement that computes the classes again when it is run again."""
        return self.as_ in ("view", "materialized view")

    @property
    def lifetime(self) -> timedelta | None:
        """The time after which the release expires."""
        hours = {"h": 1, "d": 24, "w": 168}
        return timedelta(hours=int(self.expires[:-1]) * hours[self.expires[-1]]) if self.expires else None
