"""DuckDB's words in ours: what family a type belongs to, what can be done about an error."""

from __future__ import annotations

import re

from sqlanon.engines import Column

_FAMILIES = {
    "integer": "TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT",
    "decimal": "DECIMAL",
    "float": "FLOAT DOUBLE",
    "text": "VARCHAR ENUM UUID",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS",
}
_FAMILY_OF = {word: family for family, words in _FAMILIES.items() for word in words.split()}


def family_of(kind: str) -> str:
    """Our word for a type in DuckDB's words; nested types and those with a time zone are `other`."""
    if kind.endswith("]") or "TIME ZONE" in kind:
        return "other"
    word = re.match(r"[A-Z_]+", kind)
    return _FAMILY_OF.get(word[0], "other") if word else "other"


_RANGE = re.compile(r'STRUCT\("?lower"? .*, "?upper"? ')


def is_range(kind: str) -> bool:
    """Whether a type is the engine's own range: a value with two ends."""
    return _RANGE.match(kind) is not None


_IN_PARQUET = {
    "HUGEINT": "DECIMAL(38, 0)",
    "UHUGEINT": "DECIMAL(38, 0)",
    "TIMESTAMP_S": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIME WITH TIME ZONE": "VARCHAR",
    "BIT": "VARCHAR",
    "BIGNUM": "VARCHAR",
}


def in_parquet(kind: str) -> str | None:
    """The type whose values Parquet keeps as they are, where it does not keep `kind` itself (a HUGEINT is rounded)."""
    word, lists = re.fullmatch(r"(.*?)((?:\[\d*\])*)", kind, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{_IN_PARQUET[word]}{lists}" if word in _IN_PARQUET else None


def plainly(read: str, found: Column) -> str:
    """A column as its values are read by people: what looks different is different, whatever the engine compares."""
    if found.family in ("text", "float", "other"):  # a list of texts has a collation, too
        return f'CAST({read} AS VARCHAR) COLLATE "C"'
    if found.type == "numeric":  # of Postgres, where 1.5 and 1.50 are equal, and are told apart as text
        return f"trim_scale({read})"
    return read


def hint(text: str) -> str:
    """What to do, where the engine's words tell; never the words themselves."""
    if "lock" in text and "PID" in text:
        holder = re.search(r"PID (\d+)", text)
        who = f" (PID {holder[1]})" if holder else ""
        return f"the file is locked by another process{who}; close it there and try again"
    if "No space left" in text or "Could not write" in text or "write failed" in text.lower():
        return "the disk is full; nothing was published"
    if "Conversion Error" in text or "Could not convert" in text:
        return (
            "a value does not fit the type that was read from the first rows; give the column `type: text` in the spec"
        )
    if "Permission denied" in text:
        return "permission denied"
    if "Out of Memory" in text:
        return "out of memory; raise memory_limit or free some"
    return ""
