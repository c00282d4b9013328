"""Postgres's words in ours: what family a type belongs to, what can be done about an error."""

from __future__ import annotations

# By the names of base types as pg_type has them; enumerated types are texts, whatever they are called.
_FAMILIES = {
    "integer": "int2 int4 int8",
    "decimal": "numeric",
    "float": "float4 float8",
    "text": "text varchar bpchar name citext uuid",
    "boolean": "bool",
    "date": "date",
    "timestamp": "timestamp",
}
_FAMILY_OF = {word: family for family, words in _FAMILIES.items() for word in words.split()}


def family_of(name: str, kind: str) -> str:
    """Our word for a type by its name and kind (`typtype`) in the catalog; nested types and all else are `other`."""
    return "text" if kind == "e" else _FAMILY_OF.get(name, "other")


_HINTS = {
    "22P02": "a value does not fit the type that it was read as",
    "22003": "a number is out of the range of its type",
    "22012": "a division by zero",
    "23505": "somebody else published meanwhile; try again",
    "25006": "the server is read-only (a standby?); publish on the primary server",
    "2BP01": "other objects, such as a view, depend on what stands there; drop them first",
    "40001": "somebody else published meanwhile; try again",
    "40P01": "a deadlock with somebody else; try again",
    "42P16": "a view cannot stand on a file or a data frame, which is copied for this session; publish a table",
    "42501": "permission denied on a table, a schema or the register, or row-level security would hide rows",
    "53100": "the disk is full; nothing was published",
    "53200": "out of memory; lower work_mem or free some",
    "55P03": "somebody else holds a lock; try again",
    "57014": "the statement was cancelled or took longer than statement_timeout",
}


def hint(state: str | None) -> str:
    """What to do about an SQLSTATE; never the server's own words. None: there is no connection."""
    if state is None or state[:2] == "08" or state in ("57P01", "57P02", "57P03"):
        return "there is no connection to the server, or it was lost; nothing was published"
    return _HINTS.get(state, "")
