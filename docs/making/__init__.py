"""The reference pages, made from the program when the documentation is built, so that none can go stale.

Nothing here is committed as text: the command line is read from its parser, the spec from its schema, the catalogue of
models from their docstrings, the errors from the source. `pages()` gives every page; `docs/hooks.py` hands them to
mkdocs, and tests/test_documentation.py looks in them for every command, option, key, model and error.
"""

from __future__ import annotations

from functools import cache

from making import catalogue, commands, errors, objects, python, specs, sql


@cache
def pages() -> dict[str, str]:
    """Every generated page: its place under `docs/`, and its Markdown."""
    return {
        "reference/cli.md": commands.page(),
        "reference/spec.md": specs.page(),
        "reference/flow-models.md": specs.flow_page(),
        "reference/models.md": catalogue.models(),
        "reference/attacks.md": catalogue.attacks(),
        "reference/hierarchies.md": catalogue.hierarchies(),
        "reference/transforms.md": catalogue.transforms(),
        "reference/presets.md": catalogue.presets(),
        "reference/rules.md": catalogue.rules(),
        "reference/audit-rules.md": catalogue.audit_rules(),
        "reference/json.md": objects.page(),
        "reference/errors.md": errors.page(),
        "reference/python.md": python.page(),
        "reference/sql.md": sql.page(),
    }
