"""Working tables: the named statements of a piece of work, run as they come and kept in their order.

How many statements a partition takes depends on the data, so they cannot be one query. Each is a table by name and the
query that fills it; together they are a script that makes the same tables again when it is run by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlanon.engines import Engine
from sqlanon.functions import Planner, Rows
from sqlanon.query import Expression, Query, Text, identifier, table


@dataclass(frozen=True)
class Statement:
    """One table that was made (`create`), added to (`insert`) or dropped (`drop`).

    A statement without a query was filled from outside the database: by the function that `by` names.
    """

    kind: str
    name: str
    query: Query | Expression | Text | None = None
    comment: str = ""
    by: str = ""


@dataclass
class Work:
    """The working tables of one piece of work on one connection. All are temporary, seen by nobody else."""

    engine: Engine
    statements: list[Statement] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # where planners were run

    def make(self, name: str, what: Query | Expression | Text, comment: str) -> Expression:
        """A new table; its FROM item. `comment` says what it holds. Raises `EngineError`."""
        what = self._rendered(what)
        self.engine.temporary(comment, working_name(name), what)
        self._keep(Statement("create", name, what, comment))
        return relation(name)

    def _rendered(self, what: Query | Expression | Text) -> Query | Expression | Text:
        """A query as the text that is run and told; calls of our functions stay trees, which an engine may answer."""
        if isinstance(what, Text):
            return what
        text = self.engine.rendered(what)
        return what if "sqlanon_" in text.lower() else Text(text)

    def secret(self, name: str, key: str, comment: str) -> None:
        """A table of one row, the `key`, which no statement holds. Raises `EngineError`."""
        self._keep(Statement("create", name, self.engine.secret(comment, working_name(name), key), comment))

    def add(self, name: str, what: Query | Expression | Text, comment: str) -> None:
        """More rows for a table that is there. Raises `EngineError`."""
        what = self._rendered(what)
        self.engine.append(comment, working_name(name), what)
        self._keep(Statement("insert", name, what, comment))

    def call(
        self, name: str, planner: Planner, constants: Sequence[object], rows: Sequence[Rows], comment: str
    ) -> None:
        """A new table of what a planner gives, on the server or here. Raises `EngineError`."""
        done = self.engine.called(comment, working_name(name), planner, constants, rows)
        self._keep(Statement("create", name, done.query, comment, f"{planner.many.__module__}.{planner.many.__name__}"))
        if done.where and (told := f"{planner.told} were worked out {done.where}") not in self.told:
            self.told.append(told)

    def ask(self, what: Query | Expression | Text, comment: str) -> tuple[Any, ...]:
        """The one row of numbers that a query answers. Raises `EngineError`."""
        (row,) = self.engine.run(comment, what)
        return row

    def read(self, what: Query | Expression | Text, comment: str) -> dict[str, NDArray[Any]]:
        """The numbers that a query answers, an array per column; missing ones are not allowed."""
        found = self.engine.arrays(comment, what)
        return {name: np.ma.getdata(column) for name, column in found.items()}

    def script(self) -> str:
        """All statements so far, in their order: they make the same tables when they are run by themselves.

        Where a function filled a table, the script says which; there it does not run by itself.
        """
        said, there = list[str](), set[str]()
        for statement in self.statements:
            said.append(self._said(statement, again=statement.name in there))
            (there.discard if statement.kind == "drop" else there.add)(statement.name)
        return "\n".join(said)

    def _said(self, statement: Statement, *, again: bool) -> str:
        """A statement; `again`: its table is there already, and may be read to make the new one."""
        name = self.engine.rendered(identifier(working_name(statement.name)))
        if statement.kind == "drop":
            return f"DROP TABLE {name};"
        head = "".join(f"-- {line}\n" for line in statement.comment.splitlines())
        if statement.query is None:
            return f"{head}-- {name} is filled by {statement.by}"
        if statement.kind == "create":
            return head + self.engine.creating(working_name(statement.name), statement.query, again=again)
        return f"{head}INSERT INTO {name}\n{self.engine.rendered(statement.query)};"

    def drop(self, *names: str) -> None:
        """Takes working tables away that are no longer read."""
        self.engine.drop_temporary(*map(working_name, names))
        self.held = [name for name in self.held if name not in names]
        self.statements += [Statement("drop", name) for name in names]

    def close(self) -> None:
        """Drops all that is still there."""
        self.engine.drop_temporary(*map(working_name, self.held))
        self.held.clear()

    def _keep(self, statement: Statement) -> None:
        self.statements.append(statement)
        if statement.name not in self.held:
            self.held.append(statement.name)


def working_name(name: str) -> str:
    """The name of a working table in the database, out of the way of the user's own tables."""
    return f"sqlanon {name}"


def relation(name: str, alias: str | None = None) -> Expression:
    """A working table as a FROM item."""
    return table(working_name(name), alias=alias)
