"""SQL as a second face of the spec: scripts in which declarations of releases stand among the engine's own statements.

`parse` splits a script and reads what is ours; `spec_of` reads one declaration, `written` writes one: both ways
without loss. Text becomes data here, and nothing is run.
"""

from __future__ import annotations

from sqlanon.statements.filing import file_of
from sqlanon.statements.grammar import parse, spec_of
from sqlanon.statements.kinds import (
    CheckOf,
    Declare,
    Explain,
    Form,
    OfRelease,
    Ordinary,
    Refresh,
    Show,
    Statement,
    Verify,
    Withdraw,
)  # fmt: skip
from sqlanon.statements.scanning import At
from sqlanon.statements.wording import Words, calls, ebnf, keywords
from sqlanon.statements.writing import written

__all__ = [
    "At", "CheckOf", "Declare", "Explain", "Form", "OfRelease", "Ordinary", "Refresh", "Show", "Statement", "Verify",
    "Withdraw", "Words", "calls", "ebnf", "file_of", "keywords", "parse", "spec_of", "written",
]  # fmt: skip
