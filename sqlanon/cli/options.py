"""What the commands share: the application, its options, and how a source is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlanon.engines import Engine, Origin

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Anonymize tables inside the database that holds them: declare, plan, release, verify.",
    epilog="Exit status: 0 done and all models hold, 1 a model does not hold (nothing published), 2 spec or usage,"
    " 3 the engine failed.",
)


Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="duckdb:///path.duckdb or postgresql://user@host/database; default: DuckDB in memory.",
    ),
]


Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, and nothing else there.")]


ShowErrors = Annotated[
    bool, typer.Option("--show-engine-errors", help="Show the engine's own words, which may quote cell values.")
]


SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a YAML file.")]


Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A table or view of the database, or a file.")]


TimeLimit = Annotated[float | None, typer.Option("--time-limit", min=0.001, help="Seconds for the search.")]


Population = Annotated[
    str | None, typer.Option("--population", help="The table or file that the records are from: for k-map, presence.")
]


Usefulness = Annotated[
    bool, typer.Option("--utility", help="Measure the whole usefulness: query errors, shifts, divergence and more.")
]


Delimiter = Annotated[str | None, typer.Option("--delimiter", help="What separates the values of a CSV source.")]


Hierarchies = Annotated[
    list[str], typer.Option("--hierarchy", metavar="COLUMN=FILE", help="A column's hierarchy (csv); repeatable.")
]


_IS_CSV = re.compile(r"\.[ct]sv(\.gz|\.zst)?$")


Superuser = Annotated[
    bool, typer.Option("--superuser", help="Postgres: go on although whoever works here is a superuser.")
]


def origin_named(source: str, delimiter: str | None) -> Origin:
    """A file where it looks like one, or where a delimiter is given; files of other kinds than CSV have none."""
    from sqlanon.engines import Origin
    from sqlanon.spec import FILE_ENDINGS

    known = source.lower().endswith(FILE_ENDINGS)
    own = None if known and not _IS_CSV.search(source.lower()) else delimiter
    return Origin(file=Path(source), delimiter=own) if known or delimiter is not None else Origin(relation=source)


def equal(text: str) -> tuple[str, str]:
    """`a=b` as two names; a name alone stands for both."""
    left, equal, right = text.partition("=")
    return left, right if equal else left


def split(words: list[str], source: str | Origin, engine: Engine) -> list[str]:
    """`a,b` as two names, unless a column of the source is called just so."""
    if not any("," in word for word in words):
        return words
    origin = origin_named(source, None) if isinstance(source, str) else source
    return names(words, [column.name for column in engine.columns(origin)])


def names(words: list[str], known: list[str]) -> list[str]:
    """`a,b` as two names, unless a column is called just so."""
    found = [[word] if word in known else [part.strip() for part in word.split(",")] for word in words]
    return [name for names in found for name in names]


def separated(source: str, delimiter: str | None) -> str | None:
    """The delimiter is for text files; a population may be a table."""
    return delimiter if source.lower().endswith((".csv", ".tsv", ".txt")) else None
