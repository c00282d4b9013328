"""What the audit has to say of a DuckDB file, which has no users: whoever can open it reads all of it."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlanon import query, register
from sqlanon.auditing.rules import Finding, Level
from sqlanon.engines import Engine

_SOURCES = """
SELECT schema_name, table_name FROM duckdb_tables()
WHERE NOT internal AND NOT temporary AND database_name = current_database() AND schema_name <> 'sqlanon' ORDER BY ALL
"""


def judge(engine: Engine, file: Path | None, entries: Sequence[register.Entry]) -> Iterator[Finding]:
    """Raw tables beside releases, views that protect nobody from who opens the file, and files that all may open."""
    names = {e.name for e in entries if e.status == "published"}
    published = [e for e in entries if e.status == "published"]
    raw = [
        engine.rendered(query.table(str(schema), str(name)))
        for schema, name in engine.run("read the catalog", _SOURCES)
        if name not in names
    ]
    for entry in (e for e in published if e.kind == "view"):
        told = "whoever can open the file reads what this view hides; publish a file"
        yield Finding(
            "view-in-file", "note", engine.rendered(query.identifier(entry.name)), told, None, "D1, D5; leaks 27"
        )
    if raw and any(e.kind != "file" for e in published):
        told = (
            f"{len(raw)} tables that are no releases stand in the same file; give readers a file of the release alone"
        )
        yield Finding("raw-beside-release", "note", "the database", told, None, "D1, D8; leaks 27")
    if raw and file is not None:
        yield from _opened(file, raw)


def _opened(file: Path, raw: Sequence[str]) -> Iterator[Finding]:
    for path in (file, file.with_name(file.name + ".wal")):
        if path.exists() and (mode := path.stat().st_mode) & (stat.S_IRGRP | stat.S_IROTH):
            who = "everybody" if mode & stat.S_IROTH else "the group of its owner"
            told = f"{who} on this machine may read it, with {len(raw)} tables that are no releases"
            level: Level = "finding" if mode & stat.S_IROTH else "note"
            fix = f".shell chmod go-rwx {shlex.quote(str(path))}" if str(path).isprintable() else None
            yield Finding("open-file", level, str(path), told, fix, "D1; leaks 27")
