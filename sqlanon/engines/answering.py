"""Our own functions on Postgres: by the server where sqlanon's functions are in it, else beside the client.

Beside the client, the arguments of a call are read once (different numbers of records by COPY, lists of points through
a cursor of the server's), the function is run here, and its answers are copied into a working table, which stands in
the place of the call. Either way the results are the same, and so are they on DuckDB.

The key is sent as data into a working table of one row, or stays here: no statement, parameter, setting or log has it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from sqlanon import calls, query
from sqlanon.engines import Called, Engine
from sqlanon.engines.planners import beside
from sqlanon.engines.relations import Relations
from sqlanon.functions import FUNCTIONS, PLANNERS, Function, Planner, Rows
from sqlanon.query import Expression, Query, Step, Text, column, fragment
from sqlanon.udfs import draws, microaggregation

_KEY = "sqlanon key of the functions"
_FUNCTIONS = {function.name: function for function in FUNCTIONS}
_TYPES = {"double": "double precision", "varchar": "text", "double[]": "double precision[]",
          "double[][]": "double precision[]"}  # fmt: skip
What = Query | Expression | Text | str


class Answering(Relations):
    """What a connection does with calls of our functions; how it asks the server is the business of `Postgres`."""

    _key: str | None = None
    _answers = 0
    _made: list[str]
    _tables: dict[str, str]  # the working tables of steps, by the steps' names

    @abstractmethod
    def tried(self, text: str) -> list[tuple[Any, ...]] | None:
        """The rows that a statement gives; None, with nothing spoilt, where it fails."""

    @abstractmethod
    def arrays(self, step: str, what: What) -> Mapping[str, Any]:
        """The same as one array per column."""

    @abstractmethod
    def fetched(self, step: str, what: Query) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one after the other, of which only some are here at a time."""

    @abstractmethod
    def temporary(self, step: str, name: str, what: Query | Expression | Text) -> None:
        """Makes a working table."""

    @abstractmethod
    def load(self, step: str, name: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Makes a working table of arrays."""

    @abstractmethod
    def filled(self, step: str, name: str, declared: Mapping[str, str], rows: Iterator[Sequence[object]]) -> None:
        """Makes a working table of rows, with columns of these types."""

    @abstractmethod
    def indexed(self, step: str, name: str, by: str) -> None:
        """An index on a column of a working table, no two of whose values are the same."""

    @property
    def functions_on_server(self) -> bool:
        """Whether sqlanon's functions are called on the server."""
        return not self._lack

    @cached_property
    def _lack(self) -> str:
        """Why sqlanon's functions are not called on the server; nothing where they are.

        They get the key and counts of the source, so that only what was made by somebody who could do anything there
        anyway is called; and only what comes to what ours come to here.
        """
        named = list(_signatures())
        sql = (
            "SELECT count(*), count(*) FILTER (WHERE l.lanname = 'plpython3u' AND r.rolsuper), count(*) FILTER (WHERE"
            " has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE'))"
            " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang JOIN pg_roles AS r ON r.oid = p.proowner"
            " JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'sqlanon'"
            " AND p.proname || '(' || oidvectortypes(p.proargtypes) || ')' = ANY(?::text[])"
        )
        ((there, trusted, granted),) = self.run("look for the functions", sql, [named])
        if there < len(named):
            return "the server has those of another version" if there else "the server has no such functions"
        if trusted < there:
            return "those on the server are not a superuser's in plpython3u"
        if granted < there:
            return "this role has no EXECUTE on those of the server"
        return self._unlike()

    def _unlike(self) -> str:
        """How the functions on the server differ from ours, in an example of each; nothing where they do not."""
        for text, expected in _examples():
            if (found := self.tried(text)) != [expected]:
                return "those on the server " + ("fail; is numpy there?" if found is None else _UNLIKE)
        return ""

    @property
    def _where(self) -> str:
        """Who works out our own functions."""
        return f"beside the client: {self._lack}" if self._lack else "by sqlanon's functions on the server"

    @property
    def where_functions_run(self) -> str:
        """Who draws, and groups near records."""
        return f"draws and groups of near records were worked out {self._where}"

    def called(
        self, step: str, name: str, planner: Planner, constants: Sequence[object], rows: Sequence[Rows]
    ) -> Called:
        """A working table of the rows that a planner gives. Raises `EngineError`.

        On the server its relations are read there, and nothing of them comes here; it holds them in memory several
        times, so what is larger than an argument should be streams past the planner here.
        """
        if self._lack or any(8 * len(one.columns) * one.many > _LARGEST for one in rows):
            beside(cast(Engine, self), step, name, planner, constants, rows)
            return Called(self._where if self._lack else f"beside the client: {_TOO_LARGE}")
        given = ", ".join(self.own(column) for column in planner.gives)
        lists = ", ".join(f"a.{self.own(column)}" for column in planner.gives)
        call = _call(planner, constants, [self._packed(one) for one in rows])
        made = Text(f"SELECT u.*\nFROM {call} AS a,\n  unnest({lists}) AS u ({given})")
        self.temporary(step, name, made)
        return Called(self._where, made)

    def _packed(self, rows: Rows) -> str:
        """The rows as bytes, eight per number, in their order."""
        numbers = " || ".join(f"int8send({self.own(column)}::bigint)" for column in rows.columns)
        by = ", ".join(map(self.own, rows.by))
        read = self.rendered(rows.relation)
        return f"(SELECT coalesce(string_agg({numbers}, ''::bytea ORDER BY {by}), ''::bytea) FROM {read})"

    @contextmanager
    def functions(self, key: str, *, vectorised: bool | None = None) -> Iterator[None]:
        """Our own functions in the queries that are run inside; all that this made is gone at the end."""
        self._key, self._made = key, []
        try:
            if self.functions_on_server:
                self._made.append(_KEY)
                self.filled("set the key", _KEY, {"key": "text"}, iter([(key,)]))
            yield
        finally:
            self._key = None
            self.drop_temporary(*self._made)

    def answered(self, step: str, what: What) -> What:
        """What is to be run with the answers in the place of the calls; their tables are made."""
        if self._key is None or not isinstance(what, Query | Expression):
            return what
        if isinstance(what, Expression):
            return self.answered(step, Query((Step("answer", what),))) if calls.found(what) else what
        self._tables, done = {}, list[Step]()
        for place, one in enumerate(what.steps):
            if calls.found(one.body) and not isinstance(one.body, Text):
                done = self._kept_for(step, done, [other.body for other in what.steps[place:]])
                one = replace(one, body=self._with_answers(step, one.body, done))
                if place < len(what.steps) - 1:  # answered once, however often the next steps read it
                    one = self._kept(step, [*done, one])
            done.append(one)
        return Query(tuple(done))

    def _kept_for(self, step: str, done: Sequence[Step], later: Sequence[Expression | Text]) -> list[Step]:
        """The steps so far, with working tables for those that later ones read."""
        found: list[Step] = []
        for one in done:
            read = one.name not in self._tables and any(calls.reads(body, one.name) for body in later)
            found.append(self._kept(step, [*found, one]) if read else one)
        return found

    def _kept(self, step: str, steps: Sequence[Step]) -> Step:
        """The last of some steps, read from a working table that is made of it."""
        name, last = self._new("step"), steps[-1]
        self.temporary(step, name, Query(tuple(steps)))
        self._tables[last.name] = name
        return replace(last, body=query.select([fragment("*")], name), inline=True)

    def _new(self, word: str) -> str:
        self._answers += 1
        self._made.append(f"sqlanon {word} {self._answers}")
        return self._made[-1]

    def _with_answers(self, step: str, body: Expression, done: Sequence[Step]) -> Expression:
        body = body.copy()
        for call in calls.found(body):
            function = _FUNCTIONS[calls.function_of(call)]
            if self.functions_on_server:
                key = fragment("(select key from $k)", k=query.table(_KEY))
                calls.on_server(call, [key] * function.keyed)
            elif function.many is not None:
                calls.answer(call, self._drawn(step, function, call, done))
            else:
                calls.answer(call, self._by_row(step, function, call))
        return body

    def _drawn(self, step: str, function: Function, call: Expression, done: Sequence[Step]) -> Expression:
        """Answers for different numbers, which the last argument is; the others are constants."""
        assert function.many is not None
        *first, number = calls.arguments(call)
        alone = calls.constant(number)
        if isinstance(alone, int):
            numbers = np.array([alone], dtype=np.int64)
        else:
            asked = fragment("select distinct cast($n as bigint) as number from $t where $n is not null", n=number,
                             t=calls.relation(call))  # fmt: skip
            numbers = np.ma.getdata(self.arrays(step, Query((*done, Step("asked", asked))))["number"])
        given = [np.full(len(numbers), calls.constant(one), dtype=object) for one in first]
        answers = function.many(*[self._key] * function.keyed, *given, numbers)
        name = self._new("answers")
        self.load(step, name, [{_ASKED: numbers, _ANSWER: answers}])
        self.indexed(step, name, _ASKED)
        return fragment("select $a from $t as a where $n = $x", a=column(_ANSWER, "a"), t=query.table(name),
                        n=column(_ASKED, "a"), x=fragment("cast($n as bigint)", n=number))  # fmt: skip

    def _by_row(self, step: str, function: Function, call: Expression) -> Expression:
        """Answers row by row of a working table, which knows its rows by where they lie."""
        item = calls.relation(call)
        table, name = self._tables.get(item.name, item.name), self._new("answers")
        arguments = calls.arguments(call)
        read = [query.named(column(one.name) if calls.constant(one) is None else one, f"argument {i}")
                for i, one in enumerate(arguments)]  # fmt: skip
        asked = query.select([query.named(fragment("cast(ctid as varchar)"), _ASKED), *read], table)
        call_it = partial(function.one, *[self._key] * function.keyed)
        answers = [
            (place, None if any(value is None for value in given) else call_it(*given))
            for place, *given in self.fetched(step, Query((Step("asked", asked),)))
        ]
        self.filled(step, name, {_ASKED: "tid", _ANSWER: _type(function.gives)}, iter(answers))
        self.indexed(step, name, _ASKED)
        alias = calls.through(item, query.table(table))
        return fragment("select $a from $t as a where $p = $x", a=column(_ANSWER, "a"), t=query.table(name),
                        p=column(_ASKED, "a"), x=column("ctid", alias))  # fmt: skip


_POINTS = [[0.0, 1.0], [5.0, 2.0], [0.0, 1.5], [5.0, 2.5], [9.0, 0.5]]
_PROBE = (
    "SELECT sqlanon.sqlanon_uniform('no key', 'probe', 7), sqlanon.sqlanon_normal('no key', 'probe', 7),"
    f" sqlanon.sqlanon_mdav(2, ARRAY{_POINTS}::float8[]), sqlanon.sqlanon_mean(ARRAY[0.1, 0.2, 0.3]::float8[])"
)
_PROBED = (
    draws.uniform("no key", "probe", 7), draws.normal("no key", "probe", 7), microaggregation.mdav(2, _POINTS),
    microaggregation.mean([0.1, 0.2, 0.3]),
)  # fmt: skip

# What each planner is tried with before the first call: its constants, and the rows of its relations.
_EXAMPLES: dict[str, tuple[tuple[object, ...], tuple[list[list[int]], ...]]] = {
    "sqlanon_swaps": (("swap", 2, "3/5", "k", True, 3), ([[0, 0, 2], [1, 1, 1], [1, 2, 1]], [[0, 1]])),
    "sqlanon_groups": ((2, 9, [1, 2], [False, True], False), ([[1, 1, 0, 0], [2, 1, 4, 1], [3, 1, 5, 1]],)),
    "sqlanon_ranks": ((3, 2), ([[1, 0, 5], [2, 7, 3]],)),
}
# Bytes of a relation that is given to a function of the server, which needs some six times as much memory.
_LARGEST = 1 << 27
_UNLIKE = "do not come to the same"
_TOO_LARGE = "there were too many rows for an argument"


def _examples() -> Iterator[tuple[str, tuple[object, ...]]]:
    """Statements that call the functions, each with the row to which it must come."""
    yield _PROBE, _PROBED
    for planner in PLANNERS:
        constants, relations = _EXAMPLES[planner.name]
        literals = [f"'\\x{np.array(rows, dtype='>i8').tobytes().hex()}'::bytea" for rows in relations]
        streams = ([np.array(rows, dtype=np.int64)] for rows in relations)
        expected = tuple(column.tolist() for column in planner.many(*constants, *streams))
        yield f"SELECT a.* FROM {_call(planner, constants, literals)} AS a", expected


def _signatures() -> Iterator[str]:
    for function in FUNCTIONS:
        yield f"{function.name}({', '.join(['text'] * function.keyed + [*map(_type, function.takes)])})"
    for planner in PLANNERS:
        yield f"{planner.name}({', '.join(kind for _, kind in planner.parameters)})"


def _call(planner: Planner, constants: Sequence[object], relations: Sequence[str]) -> str:
    """The call of a planner as a FROM item."""
    given = [f"{_literal(value)}::{kind}" for value, (_, kind) in zip(constants, planner.takes, strict=True)]
    return f"sqlanon.{planner.name}({', '.join([*given, *relations])})"


def _literal(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return query.constant(f"{{{','.join(map(_literal, value))}}}")
    return str(value).lower() if isinstance(value, bool) else query.constant(value)


_ASKED, _ANSWER = "sqlanon asked", "sqlanon answer"


def _type(word: str) -> str:
    return _TYPES.get(word, word)
