"""Which statements are ours, and what each of them says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sqlanon.errors import SpecError
from sqlanon.models import Model
from sqlanon.presets import expanded
from sqlanon.spec import Column, Source, Spec
from sqlanon.statements import hana
from sqlanon.statements.declaring import create, declared, form_of
from sqlanon.statements.kinds import (
    CheckOf,
    Declare,
    Explain,
    Form,
    Ordinary,
    Refresh,
    Show,
    Statement,
    Verify,
    Withdraw,
)  # fmt: skip
from sqlanon.statements.options import ROLES, Read, option, read
from sqlanon.statements.reading import Cursor, built
from sqlanon.statements.scanning import At
from sqlanon.statements.splitting import Piece, split
from sqlanon.statements.values import source


def parse(text: str, dialect: str = "duckdb", *, base: Path | None = None) -> list[Statement]:
    """The statements of a script, in order; what is not ours is left as it is.

    `dialect`: duckdb or postgres, where bare names are in lower case. `base`: the folder from which files are seen.
    Raises `SpecError` with line, column, what was found and what is allowed.
    """
    try:
        return [statement(piece, dialect, base or Path()) for piece in split(text, dialect)]
    except RecursionError:
        raise SpecError("this is nested too deeply") from None


def spec_of(text: str, dialect: str = "duckdb", *, base: Path | None = None) -> Spec:
    """The spec of the one statement that a text holds, as `parse`."""
    found = parse(text, dialect, base=base)
    one = found[0].declared if len(found) == 1 and isinstance(found[0], Explain) else found[0] if found else None
    if len(found) != 1 or not isinstance(one, Declare):
        raise SpecError("a spec is one statement: CREATE ANONYMIZED …, or EXPLAIN ANONYMIZATION", where="1:1")
    return one.spec


def statement(piece: Piece, dialect: str, base: Path) -> Statement:
    """What one piece of a script says."""
    cursor = Cursor(piece, dialect)
    for begins, how in _OURS:
        if begins(cursor):
            return how(cursor, base)
    return Ordinary(piece.text, piece.at(piece.tokens[0].start), piece.at(piece.start))


def _begins(*words: str) -> Callable[[Cursor], bool]:
    return lambda cursor: all(cursor.ahead(i).is_(word) for i, word in enumerate(words))


def _begins_create(cursor: Cursor) -> bool:
    return _begins("CREATE", "ANONYMIZED")(cursor) or _begins("CREATE", "OR", "REPLACE", "ANONYMIZED")(cursor)


def _begins_show(cursor: Cursor) -> bool:
    """SHOW and DESCRIBE of a table that is called so are DuckDB's own."""
    words = _begins("SHOW", "ANONYMIZED")(cursor) or _begins("SHOW", "ANONYMIZATION")(cursor)
    return words and cursor.ahead(2).kind == "word"


def _one_name(verb: str) -> Callable[[Cursor], bool]:
    """`VERB ANONYMIZED …`, or `VERB name` and nothing else."""

    def begins(cursor: Cursor) -> bool:
        if not cursor.token.is_(verb):
            return False
        last = cursor.end - 1
        parts = [cursor.ahead(i) for i in range(1, last + 1)]
        dotted = all(p.sign(".") if i % 2 else p.kind in ("word", "name") for i, p in enumerate(parts))
        return cursor.ahead().is_("ANONYMIZED") or (bool(parts) and len(parts) % 2 == 1 and dotted)

    return begins


# -- what each statement says ------------------------------------------------------------------------------------------


def _explain(cursor: Cursor, base: Path) -> Explain:
    """`EXPLAIN ANONYMIZATION [(FORMAT JSON)] declaration`."""
    form: Form = "text"
    _skip(cursor, 2)
    if cursor.sign("("):
        cursor.need_word("FORMAT", what="EXPLAIN ANONYMIZATION has one option")
        form = _form(cursor)
        cursor.need(")", "FORMAT")
    if _begins_create(cursor):
        return Explain(*_whole(cursor), create(cursor, base), form)
    if cursor.token.is_("AS"):
        return Explain(*_whole(cursor), declared(cursor, {}, base), form)
    if hana.begins(cursor):
        return Explain(*_whole(cursor), hana.create(cursor, base), form)
    cursor.fail("EXPLAIN ANONYMIZATION needs a declaration", allowed=("CREATE ANONYMIZED", "CREATE VIEW", "AS"))


def _form(cursor: Cursor) -> Form:
    forms: dict[str, Form] = {form.upper(): form for form in get_args(Form)}
    return forms[cursor.need_word(*forms, what="there is no such format").said.upper()]


@dataclass(frozen=True)
class _Checked:
    """What a CHECK says, as its nodes are read."""

    relation: Source
    columns: Mapping[str, Column]
    privacy: tuple[Model, ...] = ()
    population: Source | None = None


def _check(cursor: Cursor, base: Path) -> CheckOf:
    """`CHECK ANONYMIZATION OF source [QUASI_IDENTIFIERS (…)] [SENSITIVE (…)] [WITH (option, …)]`."""
    _skip(cursor, 2)
    cursor.need_word("OF", what="CHECK ANONYMIZATION OF a table or a query")
    first, found = cursor.token, Read()
    relation = source(cursor)
    while cursor.token.is_("QUASI_IDENTIFIERS", "SENSITIVE"):
        option(cursor, found, _Checked)
    if cursor.word("WITH"):
        read(cursor, _Checked, found)
    _end(cursor, *(() if found.privacy else ("WITH",)))
    told = built(_Checked, found.mapping(cursor, first, {"relation": relation}), cursor)
    roles = {role: tuple(n for n, c in told.columns.items() if c.role == role) for role in ROLES.values()}
    wrong = next((n for role in ("identifier", "insensitive", "drop") for n in roles[role]), None)
    if wrong is not None:
        cursor.fail("a check is about quasi-identifiers and sensitive columns alone", first)
    keys, sensitive = roles["quasi-identifier"], roles["sensitive"]
    kept = {name: column.hierarchy for name, column in told.columns.items() if column.hierarchy}
    return CheckOf(*_whole(cursor), told.relation, keys, sensitive, expanded(told.privacy, sensitive), kept,
                   told.population)  # fmt: skip


def _release(cursor: Cursor) -> tuple[str, str | None]:
    """`VERB [ANONYMIZED [form]] name`: the name, and the form that is said."""
    verb, form = cursor.take().said.upper(), None
    if cursor.word("ANONYMIZED") and cursor.ahead().kind in ("word", "name", "text"):
        form = form_of(cursor)
    name, _ = cursor.name(f"{verb}: the name of a release")
    return name, form


def _refresh(cursor: Cursor, base: Path) -> Refresh:
    """`REFRESH [ANONYMIZED [form]] name [ANEW]`, and HANA's `REFRESH VIEW name ANONYMIZATION`."""
    hanas = _begins("REFRESH", "VIEW")(cursor)
    name, form = (hana.refreshed(cursor), "view") if hanas else _release(cursor)
    anew = not hanas and cursor.word("ANEW") is not None
    _end(cursor, *(() if anew or hanas else ("ANEW",)))
    return Refresh(*_whole(cursor), name, form, anew)


def _verify(cursor: Cursor, base: Path) -> Verify:
    name, form = _release(cursor)
    _end(cursor)
    return Verify(*_whole(cursor), name, form)


def _withdraw(cursor: Cursor, base: Path) -> Withdraw:
    name, form = _release(cursor)
    _end(cursor)
    return Withdraw(*_whole(cursor), name, form)


def _show(cursor: Cursor, base: Path) -> Show:
    """`SHOW ANONYMIZED RELEASES`, `SHOW ANONYMIZATION OF name`."""
    name = None
    cursor.take()
    if cursor.word("ANONYMIZED"):
        cursor.need_word("RELEASES", what="SHOW ANONYMIZED RELEASES, or SHOW ANONYMIZATION OF a release")
    else:
        cursor.take()
        cursor.need_word("OF", what="SHOW ANONYMIZATION OF a release, or SHOW ANONYMIZED RELEASES")
        name, _ = cursor.name("the name of a release")
    _end(cursor)
    return Show(*_whole(cursor), name)


def _skip(cursor: Cursor, many: int) -> None:
    cursor.here += many


def _end(cursor: Cursor, *allowed: str) -> None:
    if cursor.more:
        cursor.fail("the statement could end here", allowed=allowed)


def _whole(cursor: Cursor) -> tuple[str, At]:
    return cursor.text, cursor.at


_OURS: tuple[tuple[Callable[[Cursor], bool], Callable[[Cursor, Path], Statement]], ...] = (
    (_begins_create, create),
    (hana.begins, hana.create),
    (_begins("EXPLAIN", "ANONYMIZATION"), _explain),
    (_begins("CHECK", "ANONYMIZATION"), _check),
    (hana.refreshes, _refresh),
    (_one_name("REFRESH"), _refresh),
    (_one_name("VERIFY"), _verify),
    (_one_name("WITHDRAW"), _withdraw),
    (_begins_show, _show),
)
