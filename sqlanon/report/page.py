"""A report as one HTML file: the Markdown in a plain page."""

from __future__ import annotations

from html import escape

from sqlanon.report import Report
from sqlanon.report.markdown import markdown


def html(found: Report) -> str:
    """The whole report as one page that needs nothing from outside."""
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(found.title)}</title></head>'
    return f"{head}<body><pre>{escape(markdown(found))}</pre></body></html>\n"
