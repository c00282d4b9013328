"""House SQL: fragments, names and named steps, carried as trees until they are rendered.

The only importer of sqlglot, beside `translation`. Fragments are written in the SQL that DuckDB and Postgres share and
parsed once; `$part` in a fragment stands for an expression, a name or a list of them, set in by tree, never by text. A
`Query` is a chain of named steps; `render` prints it as one `WITH`, and refuses every node outside the closed
vocabulary below, because sqlglot passes on in silence what it cannot translate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache, reduce

import sqlglot
from sqlglot import exp

from sqlanon.errors import NotPortable
from sqlanon.translation import FLOAT_TEXT, copied, for_duckdb, for_postgres, nodes, short, written

Expression = exp.Expr
Part = Expression | str | int | float | bool | Decimal | None | Sequence["Part"]

# What the tests have shown to mean the same on every engine; anything else is refused by `render`.
VOCABULARY: frozenset[type] = frozenset(
    getattr(exp, name)
    for name in [
        "Select",
        "Subquery",
        "From",
        "Join",
        "Where",
        "Group",
        "Cube",
        "Grouping",
        "Having",
        "Order",
        "Ordered",
        "Limit",
        "Union",
        "With",
        "CTE",
        "Table",
        "TableAlias",
        "Alias",
        "Column",
        "Identifier",
        "Star",
        "Literal",
        "Boolean",
        "Null",
        "Var",
        "Paren",
        "Tuple",
        "Cast",
        "DataType",
        "DataTypeParam",
        "Interval",
        "And",
        "Or",
        "Not",
        "EQ",
        "NEQ",
        "LT",
        "LTE",
        "GT",
        "GTE",
        "Is",
        "In",
        "Like",
        "SplitPart",
        "Exists",
        "NullSafeEQ",
        "Nullif",
        "Between",
        "Neg",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Mod",
        "IntDiv",
        "BitwiseXor",
        "BitwiseAnd",
        "BitwiseLeftShift",
        "BitwiseRightShift",
        "MD5",
        "Case",
        "If",
        "Coalesce",
        "Count",
        "Distinct",
        "Explode",
        "Sum",
        "Min",
        "Max",
        "Filter",
        "Window",
        "WindowSpec",
        "RowNumber",
        "DenseRank",
        "Lead",
        "Lag",
        "ArrayAgg",
        "Array",
        "Explode",
        "Floor",
        "Ceil",
        "Abs",
        "Ln",
        "Exp",
        "Sqrt",
        "Greatest",
        "Least",
        "Length",
        "Left",
        "Right",
        "Repeat",
        "DPipe",
        "Extract",
        "Pad",
        "TimestampTrunc",
        "Rand",
        "Struct",
        "PropertyEQ",
    ]
)


# Functions that sqlglot does not know, and passes on by their name, which is the same on every engine.
FUNCTIONS = frozenset({"regexp_split_to_array", FLOAT_TEXT})


@dataclass(frozen=True)
class Text:
    """SQL of one engine, or of the user, that is passed on as it stands: the only way past the vocabulary.

    `postgres`: the same in Postgres's words, where those are others.
    """

    sql: str
    postgres: str = ""

    def of(self, dialect: str) -> str:
        """The text for one engine."""
        return self.postgres if self.postgres and dialect == "postgres" else self.sql


@dataclass(frozen=True)
class Step:
    """One named relation of a query, with the sentence that explains it."""

    name: str
    body: Expression | Text
    comment: str = ""
    inline: bool = False  # read where it is used, never kept: for steps as large as the source
    kept: bool = (
        False  # worked out by itself, however it is used: for few groups of many rows, which no engine foresees
    )


@dataclass(frozen=True)
class Query:
    """Named steps, each of which may read those before it; the last one is the answer."""

    steps: tuple[Step, ...]

    def then(
        self, name: str, body: Expression | Text, comment: str = "", *, inline: bool = False, kept: bool = False
    ) -> Query:
        return Query((*self.steps, Step(name, body, comment, inline, kept)))

    def join(self, other: Query) -> Query:
        """These steps, then those of `other` whose names are not there yet."""
        have = {step.name for step in self.steps}
        return Query((*self.steps, *(step for step in other.steps if step.name not in have)))


def version() -> str:
    """The version of sqlglot that renders."""
    from importlib import metadata

    return metadata.version("sqlglot")


def identifier(name: str) -> exp.Identifier:
    """A name as a quoted identifier, whatever it holds."""
    return exp.to_identifier(name, quoted=True)


def column(name: str, relation: str | None = None) -> Expression:
    """A column by its name, of a relation where two might have one of that name."""
    return exp.Column(this=identifier(name), table=identifier(relation) if relation else None)


def table(*path: str, alias: str | None = None) -> Expression:
    """A relation by its path: `table("main", "patients")`."""
    names = [identifier(part) for part in path]
    keys = ("this", "db", "catalog")
    node = exp.Table(**dict(zip(keys, reversed(names), strict=False)))
    return exp.alias_(node, identifier(alias), table=True) if alias else node


def literal(value: object) -> Expression:
    """A constant of the spec or the plan; data never becomes a literal except through a hierarchy."""
    if value is None:
        return exp.Null()
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float, Decimal)):
        number = exp.Literal.number(format(abs(value), "f") if isinstance(value, Decimal) else repr(abs(value)))
        return exp.Neg(this=number) if value < 0 else number
    return exp.Literal.string(str(value))


def named(expression: Expression, name: str) -> Expression:
    """`expression AS "name"`; a column that has the name already stands alone."""
    if isinstance(expression, exp.Column) and expression.name == name:
        return expression
    return exp.alias_(copied(expression), identifier(name), copy=False)


@lru_cache(maxsize=1024)
def _parsed(sql: str) -> Expression:
    return sqlglot.parse_one(sql, read="duckdb")


def _expression(part: Part) -> Expression | list[Expression]:
    if isinstance(part, exp.Expr):
        return copied(part)
    if isinstance(part, (list, tuple)):
        return [node for item in part for node in _flat(_expression(item))]
    return literal(part)


def _flat(node: Expression | list[Expression]) -> list[Expression]:
    return node if isinstance(node, list) else [node]


def fragment(sql: str, parts: Mapping[str, Part] | None = None, /, **more: Part) -> Expression:
    """House SQL with its `$parts` set in. A list stands where a list may stand (SELECT, GROUP BY, ORDER BY, IN)."""
    given = {**(parts or {}), **more}
    tree = copied(_parsed(sql))
    for place in list(tree.find_all(exp.Placeholder)):
        if place.name not in given:
            raise KeyError(f"fragment lacks the part ${place.name}")
        node = _expression(given[place.name])
        if isinstance(place.parent, exp.Table) and isinstance(node, exp.Table):
            alias = place.parent.args.get("alias")
            place.parent.replace(exp.alias_(node, alias.this, table=True) if alias else node)
        elif place is tree:
            return node if not isinstance(node, list) else node[0]
        elif isinstance(node, list):
            _splice(place, node)
        else:
            place.replace(_guarded(place, node))
    return tree


_WEAK = (exp.Binary, exp.Not, exp.Neg, exp.Case, exp.Between, exp.In)


def _guarded(place: Expression, node: Expression) -> Expression:
    """`node`, in parentheses where the operator above it could bind tighter."""
    if isinstance(node, _WEAK) and isinstance(place.parent, (exp.Binary, exp.Unary, exp.Is, exp.Between, exp.In)):
        return exp.Paren(this=node)
    return node


def _splice(place: Expression, nodes: list[Expression]) -> None:
    if isinstance(place.parent, exp.Ordered):
        how = {name: value for name, value in place.parent.args.items() if name != "this"}
        place, nodes = place.parent, [exp.Ordered(this=node, **how) for node in nodes]
    parent, key = place.parent, place.arg_key
    if parent is None or key is None or not isinstance(parent.args.get(key), list):
        raise ValueError(f"a list cannot stand at ${place.name or place.this.name}")
    items = parent.args[key]
    at = next(index for index, item in enumerate(items) if item is place)
    parent.set(key, [*items[:at], *nodes, *items[at + 1 :]])


def every(conditions: Iterable[Expression]) -> Expression:
    """All of them; true where there is none."""
    found = [_closed(condition) for condition in conditions]
    return exp.and_(*found, wrap=False, copy=False) if found else exp.Boolean(this=True)


def _closed(node: Expression) -> Expression:
    return exp.Paren(this=copied(node)) if isinstance(node, (exp.Or, exp.Case)) else copied(node)


def added(terms: Sequence[Expression]) -> Expression:
    """The sum of expressions; 0 where there is none."""
    found = [exp.Paren(this=copied(term)) if isinstance(term, _WEAK) else copied(term) for term in terms]
    return reduce(lambda left, right: exp.Add(this=left, expression=right), found) if found else literal(0)


def same(names: Iterable[str], left: str, right: str) -> Expression:
    """The null-safe join of two relations on `names`: a missing value equals a missing value, on every engine."""
    return every(exp.NullSafeEQ(this=column(name, left), expression=column(name, right)) for name in names)


def select(
    columns: Sequence[Expression],
    source: Expression | str,
    *,
    where: Expression | None = None,
    group: Sequence[Expression] = (),
) -> Expression:
    """`SELECT columns FROM source [WHERE …] [GROUP BY …]`."""
    tree = exp.Select().select(*map(copied, columns), copy=False)
    tree = tree.from_(table(source) if isinstance(source, str) else copied(source), copy=False)
    tree = tree.where(copied(where), copy=False) if where is not None else tree
    return tree.group_by(*map(copied, group), copy=False) if group else tree


def joined(tree: Expression, relation: str, on: Expression, side: str = "") -> Expression:
    """`tree [LEFT] JOIN relation ON …`."""
    if not isinstance(tree, exp.Select):
        raise TypeError("only a SELECT can be joined to")
    return copied(tree).join(table(relation), on=copied(on), join_type=side, copy=False)


def selecting(tree: Expression, columns: Sequence[Expression]) -> Expression:
    """`tree` with these columns in its SELECT list."""
    if not isinstance(tree, exp.Select):
        raise TypeError("only a SELECT has columns")
    return copied(tree).select(*map(copied, columns), append=False, copy=False)


def filtered(tree: Expression, conditions: Sequence[Expression]) -> Expression:
    """`tree WHERE all of the conditions`."""
    if not isinstance(tree, exp.Select):
        raise TypeError("only a SELECT can be filtered")
    return copied(tree).where(every(conditions), copy=False) if conditions else tree


def interval(lower: Expression, upper: Expression) -> Expression:
    """A half-open interval as the engine's own value with the fields `lower` and `upper`."""
    fields = [
        exp.PropertyEQ(this=identifier(name), expression=end) for name, end in (("lower", lower), ("upper", upper))
    ]
    return exp.Struct(expressions=fields)


def position(value: Expression, order: Sequence[str]) -> Expression:
    """The place of a value in a list of texts, 0 first; `value` itself where there is no list."""
    if not order:
        return value
    ifs = [exp.If(this=literal(text), true=literal(place)) for place, text in enumerate(order)]
    return exp.Case(this=fragment("cast($v as varchar)", v=value), ifs=ifs)


def text_of(value: Expression, family: str) -> Expression:
    """A value as text, the same on every engine: 1.0 is written as 1.0."""
    return fragment(f"{FLOAT_TEXT}($v)" if family == "float" else "cast($v as varchar)", v=value)


def fresh(name: str, taken: Iterable[str]) -> str:
    """`name`, with underscores until no column of the user's is called so (names compare without case)."""
    used = {word.lower() for word in taken}
    while name.lower() in used:
        name += "_"
    return name


def render(query: Query | Expression | Text, dialect: str, *, pretty: bool = True) -> str:
    """The SQL text of a query for one engine. Raises `NotPortable` for anything outside the vocabulary."""
    if type(query) is exp.Identifier:
        return _quoted(query.name, dialect)
    if not isinstance(query, Query):
        return _body(query, dialect, pretty)[0]
    *earlier, last = query.steps
    chain = ",\n".join(
        f"{_comment(step)}{_named(step, dialect)} AS {_how(step)}(\n{_indented(*_body(step.body, dialect, pretty))}\n)"
        for step in earlier
    )
    answer = f"{_comment(last)}{_body(last.body, dialect, pretty)[0]}"
    return f"WITH\n{chain}\n{answer}" if chain else answer


# What was rendered, by a digest of dialect, layout and tree: searches and repairs ask the same question many times.
_RENDERED: dict[bytes, tuple[str, bool]] = {}
_MOST_RENDERED = 2048


def _body(body: Expression | Text, dialect: str, pretty: bool) -> tuple[str, bool]:
    """The text, and whether each of its lines may be moved: none is the middle of a literal or a name."""
    if isinstance(body, Text):
        return body.of(dialect), False
    key = hashlib.blake2b(f"{dialect} {pretty} {written(body)}".encode(), digest_size=32).digest()
    found = _RENDERED.get(key)
    if found is None:
        if len(_RENDERED) >= _MOST_RENDERED:
            _RENDERED.clear()
        found = _RENDERED[key] = _rendered(body, dialect, pretty)
    return found


def _rendered(body: Expression, dialect: str, pretty: bool) -> tuple[str, bool]:
    floats, movable = False, True
    for node in nodes(body):
        kind = type(node)
        if kind is exp.Anonymous:
            floats = floats or node.name == FLOAT_TEXT
        if kind not in VOCABULARY and not _portable_function(node):
            raise NotPortable(f"{type(node).__name__} is outside the SQL that every engine is proved to read alike")
        if kind is exp.BitwiseXor and any(isinstance(side, exp.Binary) for side in node.iter_expressions()):
            raise NotPortable("Postgres reads `a # b >> c` from the left: an operand of xor stands in parentheses")
        if kind in (exp.Literal, exp.Identifier) and "\n" in node.name:
            movable = False
    tree = for_postgres(body) if dialect == "postgres" else for_duckdb(body) if floats else body
    # Nothing of the vocabulary is rewritten in place, so no copy is needed (a test holds it to that).
    return tree.sql(dialect, pretty=pretty, identify=True, max_text_width=100, copy=False), movable


def _portable_function(node: Expression) -> bool:
    """A call of a function of one name on every engine, or of one of our own, which have one source (functions.py)."""
    name = node.name.lower()
    return type(node) is exp.Anonymous and (name in FUNCTIONS or name.removeprefix("sqlanon.").startswith("sqlanon_"))


def _named(step: Step, dialect: str) -> str:
    return _quoted(step.name, dialect)


def _quoted(name: str, dialect: str) -> str:
    own = (short(name) if dialect == "postgres" else name).replace('"', '""')
    return f'"{own}"'


def _how(step: Step) -> str:
    return "NOT MATERIALIZED " if step.inline else "MATERIALIZED " if step.kept else ""


def _comment(step: Step) -> str:
    return "".join(f"-- {line}\n" for line in step.comment.splitlines())


def _indented(sql: str, movable: bool) -> str:
    """Two spaces before every line, where lines may be moved."""
    return "\n".join(f"  {line}" for line in sql.split("\n")) if movable else sql


def values(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], comment: str = "") -> Step:
    """A small constant relation (a hierarchy, a list of categories) as a step; values are quoted as text literals."""
    cells = [tuple(row) for row in rows]
    body = ",\n  ".join(f"({', '.join(map(constant, row))})" for row in cells)
    names = ", ".join(identifier(label).sql("duckdb") for label in columns)
    own = [identifier(short(label)).sql("postgres") for label in columns]
    ordered = ", ".join(
        f'{label} COLLATE "C" AS {label}' if any(isinstance(row[i], str) for row in cells) else label
        for i, label in enumerate(own)
    )
    text = Text(
        f"SELECT * FROM (VALUES\n  {body}\n) AS v ({names})",
        postgres=f"SELECT {ordered} FROM (VALUES\n  {body}\n) AS v ({', '.join(own)})",
    )
    return Step(name, text, comment)


def constant(cell: object) -> str:
    """A cell of a hierarchy as the text of a literal."""
    if cell is None:
        return "NULL"
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return repr(cell)
    text = str(cell).replace("'", "''")
    return f"'{text}'"
