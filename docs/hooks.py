"""Hands the generated reference pages to mkdocs, and the pages at the top of the repository; see docs/making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from making import pages  # mkdocs lets a hook import what stands beside it, while it loads it
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ROOT_PAGES = {"about/changelog.md": "CHANGELOG.md", "about/security.md": "SECURITY.md"}


def on_files(files: Files, *, config: Any) -> Files:
    """Adds what is made from the program, and what stands at the top of the repository."""
    found = dict(pages())
    for place, name in ROOT_PAGES.items():
        found[place] = (ROOT / name).read_text(encoding="utf-8")
    for place, content in found.items():
        files.append(File.generated(config, place, content=content))
    return files
