"""SAP HANA's form: `CREATE VIEW … WITH ANONYMIZATION (…)` and `REFRESH VIEW … ANONYMIZATION`."""

from __future__ import annotations

from pathlib import Path

from sqlanon.statements.kinds import Declare
from sqlanon.statements.reading import Cursor


def begins(cursor: Cursor) -> bool:
    """Whether a statement is `CREATE [OR REPLACE] VIEW … WITH ANONYMIZATION (…)`, to its end."""
    return False


def refreshes(cursor: Cursor) -> bool:
    """Whether a statement is `REFRESH VIEW … ANONYMIZATION`."""
    tokens = cursor.piece.tokens
    return tokens[0].is_("REFRESH") and tokens[-1].is_("ANONYMIZATION") and cursor.ahead().is_("VIEW")


def refreshed(cursor: Cursor) -> str:
    """The name of the view that is refreshed."""
    cursor.here += 2
    name, _ = cursor.name("the name of a view")
    cursor.need_word("ANONYMIZATION", what="REFRESH VIEW name ANONYMIZATION")
    return name


def create(cursor: Cursor, base: Path) -> Declare:
    """The declaration."""
    cursor.fail("SAP HANA's form is not there yet")
