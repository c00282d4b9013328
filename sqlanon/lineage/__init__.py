"""Where each column of an analyst's SELECT comes from: the base columns that it is computed from.

A name is looked up as the engine looks it up, and where more than one thing could be meant, all of them are taken: what
is told may be too much, never too little. What is not on the lists of `constructs` is refused by its name, as is what
cannot be resolved. Columns that a condition makes equal are told too: who publishes one publishes the other.

It tells what a value is computed from. It does not tell what can be concluded from which rows are there, or in which
order they lie: what WHERE, JOIN, GROUP BY, ORDER BY and the like look at stands in `touched`, for every output alike.
"""

from __future__ import annotations

from sqlanon.lineage.columns import Base, Bases, Catalogue, Output, Relation, Resolved, Unresolved
from sqlanon.lineage.resolver import resolve

__all__ = ["Base", "Bases", "Catalogue", "Output", "Relation", "Resolved", "Unresolved", "resolve"]
