"""What a script is made of: the engine's own statements, untouched, and ours, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlanon.hierarchies import Hierarchy
from sqlanon.models import Model
from sqlanon.spec import Source, Spec
from sqlanon.statements.scanning import At

Form = Literal["text", "json", "sql"]


@dataclass(frozen=True)
class Ordinary:
    """The engine's own SQL, byte for byte, comments before it included, without the `;` that ends it.

    `at`: its first word. `begins`: the first character of `text`, from which the engine's own positions count.
    """

    text: str
    at: At
    begins: At


@dataclass(frozen=True)
class Declare:
    """`CREATE ANONYMIZED …`, or SAP HANA's `CREATE VIEW … WITH ANONYMIZATION` (`hana`).

    `replace`: OR REPLACE. `query`: the SELECT of its source, where it has one, whose columns are still to be followed
    to where they come from. `identifiers`: the columns that were declared to be identifiers, which may be of a table
    that the query reads. A spec without `publish` is one of EXPLAIN.
    """

    text: str
    at: At
    spec: Spec
    replace: bool = False
    query: str | None = None
    identifiers: tuple[str, ...] = ()
    hana: bool = False
    qualified: bool = False


@dataclass(frozen=True)
class Explain:
    """`EXPLAIN ANONYMIZATION`: the plan of a declaration; nothing is published."""

    text: str
    at: At
    declared: Declare
    form: Form = "text"


@dataclass(frozen=True)
class CheckOf:
    """`CHECK ANONYMIZATION OF …`: the measures of a relation, and whether models hold on it."""

    text: str
    at: At
    relation: Source
    quasi_identifiers: tuple[str, ...]
    sensitive: tuple[str, ...]
    models: tuple[Model, ...]
    hierarchies: Mapping[str, Hierarchy]
    population: Source | None = None


@dataclass(frozen=True)
class OfRelease:
    """A statement about a release by its name; `form`: what the statement says that the release is, if it says so."""

    text: str
    at: At
    name: str
    form: str | None = None


@dataclass(frozen=True)
class Refresh(OfRelease):
    """`REFRESH ANONYMIZED …`: a release anew from its source; `anew`: its levels are planned again too."""

    anew: bool = False


@dataclass(frozen=True)
class Verify(OfRelease):
    """`VERIFY ANONYMIZED …`: whether a release still keeps its promises."""


@dataclass(frozen=True)
class Withdraw(OfRelease):
    """`WITHDRAW ANONYMIZED …`: a release is taken away."""


@dataclass(frozen=True)
class Show:
    """`SHOW ANONYMIZED RELEASES`, or with a name `SHOW ANONYMIZATION OF …`."""

    text: str
    at: At
    name: str | None = None


Statement = Ordinary | Declare | Explain | CheckOf | Refresh | Verify | Withdraw | Show
