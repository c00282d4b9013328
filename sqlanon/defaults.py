"""Numbers that stand where nothing else is asked for, and are told in help texts."""

from __future__ import annotations

# Records of the sample that ways of recoding are compared on.
SAMPLE_ROWS = 20_000

# Of fewer records or persons, a report tells nothing.
MINIMUM_CELL = 5

# The most states of a data flow.
STATES = 5_000
