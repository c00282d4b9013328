"""How measures are computed: the named steps that end in `measured`, one row per equivalence class."""

from __future__ import annotations

from sqlanon.measuring.arrangement import arrange
from sqlanon.measuring.chain import Measured, Rows, count, measured
from sqlanon.measuring.reference import Reference

__all__ = ["Measured", "Reference", "Rows", "arrange", "count", "measured"]
