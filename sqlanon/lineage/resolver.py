"""How a query is resolved: names are looked up as the engine looks them up, or in every way that it might."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

from sqlglot import exp

from sqlanon.lineage.columns import NONE, Base, Bases, Catalogue, Output, Resolved, Unresolved, lowered, refuse
from sqlanon.lineage.constructs import EXPRESSIONS, FUNCTIONS, JOINS, NAMED, ORDERED, PLACES, WORDS
from sqlanon.lineage.reading import accounted, made_of, read
from sqlanon.lineage.scopes import Node, Rows, Scope, Source, here, only


def resolve(query: str, dialect: str, catalogue: Catalogue) -> Resolved:
    """The base columns of each output of one SELECT, as text of the dialect. Raises `Unresolved`."""
    resolver = _Resolver(dialect, catalogue)
    rows = resolver.text(query, ())
    spoken = {name: frozenset(bases) for name, bases in resolver.spoken.items()}
    return Resolved(rows.columns, frozenset(resolver.touched), tuple(resolver.equal), spoken)


class _Resolver:
    def __init__(self, dialect: str, catalogue: Catalogue) -> None:
        self.dialect, self.catalogue = dialect, catalogue
        self.touched: set[Base] = set()
        self.equal: list[Bases] = []
        self.spoken: dict[tuple[str, str], set[Base]] = {}
        self.said: set[str] = set()  # the names of columns that the text which is being read could mean
        self.depth = 0

    def text(self, text: str, home: tuple[str, ...]) -> Rows:
        """The columns of a query as text."""
        tree = read(text, self.dialect, self.catalogue.made)
        before, self.said = self.said, {self.folded(one.alias) for one in tree.find_all(exp.Alias)}
        try:
            rows = self.query(tree, Scope([], {}, home))
            accounted(text, self.dialect, tree, self.said, self.folded)
        except RecursionError:
            refuse("it is nested too deeply")
        self.said = before
        return rows

    # -- queries -------------------------------------------------------------------------------------------------------

    def query(self, node: Node, scope: Scope) -> Rows:
        """A SELECT, a set operation, or one in parentheses; of `scope`, what is seen from here."""
        if isinstance(node, exp.Select):
            return self.select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self.operation(node, scope)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            only(node, "Subquery")
            inner = self.with_names(node, scope)
            return self.arranged(node, self.query(node.this, inner), inner)
        if isinstance(node, exp.Values):
            return self.values(node, scope)
        refuse(type(node).__name__.upper())

    def with_names(self, node: Node, scope: Scope) -> Scope:
        """The scope with the common table expressions of a query."""
        found = node.args.get("with_")
        if found is None:
            return scope
        if found.args.get("recursive"):
            refuse("WITH RECURSIVE")
        only(found, "With")
        for one in found.expressions:
            only(one, "CTE")
            # Columns of an outer query are not seen from here: on no engine need it be clear which are meant.
            rows = self.query(one.this, Scope([], scope.named, scope.home))
            rows = self.renamed(rows, one.args["alias"])
            scope = replace(scope, named={**scope.named, self.folded(self.name(one.args["alias"].this)): rows})
        return scope

    def operation(self, node: exp.SetOperation, scope: Scope) -> Rows:
        if node.args.get("by_name"):
            refuse("UNION BY NAME")
        only(node, "SetOperation")
        inner = self.with_names(node, scope)
        left, right = self.query(node.left, inner), self.query(node.right, inner)
        if len(left.columns) != len(right.columns):
            refuse("a set operation of different numbers of columns")
        merge = isinstance(node, exp.Union)
        if not merge or node.args.get("distinct"):
            self.touched |= left.computed | right.computed
        if isinstance(node, exp.Intersect):
            for one, other in zip(left.columns, right.columns, strict=True):
                self.equate(one.computed, other.computed)
        columns = tuple(
            Output(
                one.name,
                one.computed | other.computed if merge else one.computed,
                one.bare if not merge or one.bare == other.bare else None,
            )
            for one, other in zip(left.columns, right.columns, strict=True)
        )
        return self.arranged(node, Rows(columns), inner)

    def arranged(self, node: Node, rows: Rows, scope: Scope) -> Rows:
        """ORDER BY and LIMIT of what is no SELECT of its own: they speak of its columns."""
        found = rows.ordered
        if node.args.get("order"):
            inner = replace(scope, sources=[Source((), rows)], outer=None)
            found = self.order(node.args["order"], inner) | rows.computed
            self.touched |= found
        self.limited(node, scope)
        return replace(rows, ordered=found)

    def limited(self, node: Node, scope: Scope) -> None:
        for key in ("limit", "offset"):
            if (part := node.args.get(key)) is not None:
                only(part, "Limit")
                self.touched |= self.expression(part.expression, scope)

    def values(self, node: exp.Values, scope: Scope) -> Rows:
        only(node, "Values")
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        if len({*map(len, rows)}) != 1:
            refuse("VALUES of different lengths")
        inner = Scope([], scope.named, scope.home)
        cells = [NONE.union(*(self.expression(cell, inner) for cell in column)) for column in zip(*rows, strict=True)]
        return Rows(tuple(Output(None, computed) for computed in cells))

    def select(self, node: exp.Select, outer: Scope) -> Rows:
        only(node, "Select")
        outer = self.with_names(node, outer)
        scope = Scope([], outer.named, outer.home, outer if outer.sources or outer.outer else None)
        if (start := node.args.get("from_")) is not None:
            self.item(start.this, scope)
        for join in node.args.get("joins") or ():
            self.join(join, scope)
        for one in node.args.get("windows") or ():
            ordered = one.args.get("order") is not None
            scope.windows[self.folded(self.name(one.this))] = self.window(one, scope), ordered
        outputs: list[Output] = []
        for one in node.expressions:
            for output in self.projected(one, scope):
                outputs.append(output)
                if isinstance(one, exp.Alias) and output.name is not None:
                    key = self.folded(output.name)
                    scope.aliases[key] = scope.aliases.get(key, NONE) | output.computed
        rows = Rows(tuple(outputs))
        if not outputs:
            refuse("a SELECT of nothing")
        return self.rest(node, scope, rows)

    def rest(self, node: exp.Select, scope: Scope, rows: Rows) -> Rows:
        """What a SELECT says beside its columns, all of which is touched."""
        for key in ("where", "having", "qualify"):
            if (part := node.args.get(key)) is not None:
                self.touched |= self.condition(part.this, scope)
        if (group := node.args.get("group")) is not None:
            only(group, "Group")
            self.touched |= self.listed(group, scope, rows)
        if (distinct := node.args.get("distinct")) is not None:
            on = distinct.args.get("on")
            self.touched |= rows.computed if on is None else self.listed(on, scope, rows)
        found = scope.ordered if not node.args.get("group") else NONE
        if (order := node.args.get("order")) is not None:
            found = self.order(order, scope) | (rows.computed if self.positions(order) else NONE)
            self.touched |= found
        self.limited(node, scope)
        return replace(rows, ordered=found)

    def positions(self, node: Node) -> bool:
        """Whether a list speaks of outputs by their places, or of all of them."""
        places = [one.this if isinstance(one, exp.Ordered) else one for one in node.iter_expressions()]
        flat = [part for one in places for part in (one.flatten() if isinstance(one, exp.Paren) else (one,))]
        return bool(node.args.get("all")) or any(isinstance(one, exp.Literal | exp.Columns | exp.Var) for one in flat)

    def listed(self, node: Node, scope: Scope, rows: Rows) -> Bases:
        """The columns of a GROUP BY or DISTINCT ON."""
        found = NONE.union(*(self.expression(one, scope) for one in node.iter_expressions()))
        return found | rows.computed if self.positions(node) else found

    def order(self, node: Node, scope: Scope) -> Bases:
        whole = [one for one in node.expressions if not isinstance(one.this, exp.Columns)]
        return NONE.union(*(self.expression(one, scope) for one in whole))

    # -- FROM ----------------------------------------------------------------------------------------------------------

    def item(self, node: Node, scope: Scope) -> None:
        """Adds a FROM item, and what is joined to it in the same parentheses."""
        if isinstance(node, exp.Table):
            self.add(self.table(node, scope), scope)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery) and not node.alias:
            only(node, "Subquery")
            self.item(node.this, scope)
        elif isinstance(node, exp.Subquery | exp.Values):
            if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
                refuse("a join in parentheses with an alias")
            # It sees nothing of the items beside it: which of them it would see differs between engines.
            rows = self.query(node, Scope([], scope.named, scope.home))
            alias = node.args.get("alias")
            path = (self.name(alias.this),) if alias and alias.this else ()
            self.add(Source(tuple(map(self.folded, path)), self.renamed(rows, alias)), scope)
        else:
            refuse(f"{type(node).__name__.upper()} in FROM")
        for join in node.args.get("joins") or ():
            self.join(join, scope)

    def add(self, source: Source, scope: Scope) -> None:
        """One more FROM item; in the query itself, its bare columns may be spoken of by its name."""
        scope.sources.append(source)
        self.said |= set(self.names([source]))
        for one in source.rows.columns if source.path and not scope.home else ():
            if one.bare is not None and one.name is not None:
                self.spoken.setdefault((lowered(source.path[-1]), lowered(one.name)), set()).add(one.bare)

    def table(self, node: exp.Table, scope: Scope) -> Source:
        if not isinstance(node.this, exp.Identifier):
            refuse(f"the table function {self.called(node.this)}")
        only(node, "Table")
        parts = tuple(self.name(part) for part in node.parts)
        alias = node.args.get("alias")
        if len(parts) == 1 and (rows := scope.named.get(self.folded(parts[0]))) is not None:
            path: tuple[str, ...] = parts
        else:
            path, rows = self.relation(parts, scope.home)
        if alias is not None:
            path = (self.name(alias.this),)
        return Source(tuple(map(self.folded, path)), self.renamed(rows, alias))

    def relation(self, parts: tuple[str, ...], home: tuple[str, ...]) -> tuple[tuple[str, ...], Rows]:
        found = self.catalogue.relation(parts, home)
        if found is None:
            refuse(f"there is no table or view {'.'.join(parts)!r}")
        if found.definition is None:
            of = {name: made_of(name, found, self.dialect, self.folded) for name in found.columns}
            bases = {name: frozenset(Base(found.path, one) for one in columns) for name, columns in of.items()}
            return found.path, Rows(tuple(Output(name, bases[name], Base(found.path, name)) for name in bases))
        self.depth += 1
        if self.depth > 50:
            refuse("views are nested too deeply")
        try:
            rows = self.text(found.definition, found.path)
        except Unresolved as error:
            reason = error.problem.rpartition(": ")[2]
            refuse(f"the view {'.'.join(found.path[-2:])!r} is made by {reason}")
        self.depth -= 1
        if len(rows.columns) != len(found.columns):
            refuse(f"the view {'.'.join(found.path[-2:])!r} has other columns than its definition")
        columns = (replace(one, name=name) for one, name in zip(rows.columns, found.columns, strict=True))
        return found.path, replace(rows, columns=tuple(columns))

    def renamed(self, rows: Rows, alias: Node | None) -> Rows:
        """The same under the names of `AS alias (a, b)`."""
        names = [self.name(one) for one in alias.args.get("columns") or ()] if alias is not None else []
        if len(names) > len(rows.columns):
            refuse("an alias with more columns than there are")
        columns = [replace(one, name=name) for one, name in zip(rows.columns, names, strict=False)]
        return replace(rows, columns=(*columns, *rows.columns[len(names) :]))

    def join(self, node: exp.Join, scope: Scope) -> None:
        only(node, "Join")
        kind, method = node.kind.upper(), node.method.upper()
        if kind not in JOINS or method not in ("", "NATURAL"):
            refuse(f"{method or kind} JOIN")
        left = list(scope.sources)
        self.item(node.this, scope)
        right = scope.sources[len(left) :]
        using = [self.folded(self.name(one)) for one in node.args.get("using") or ()]
        if method == "NATURAL":
            using = [n for n in self.names(left) if n in set(self.names(right))]
        for name in using:
            sides = [self.columns_of(part, name) for part in (left, right)]
            if not all(sides):
                refuse(f"there is no column {name!r} to join by")
            self.equate(*(NONE.union(*(one.computed for one in found)) for found in sides))
            self.touched |= NONE.union(*(one.computed for found in sides for one in found))
        hidden = frozenset(using)
        scope.sources = [*left, *(replace(one, hidden=one.hidden | hidden) for one in right)]
        if (on := node.args.get("on")) is not None:
            self.touched |= self.condition(on, scope)
        if kind in ("SEMI", "ANTI"):
            scope.sources = left

    def names(self, sources: Iterable[Source]) -> list[str]:
        return [self.folded(one.name) for source in sources for one in source.rows.columns if one.name is not None]

    def columns_of(self, sources: Iterable[Source], name: str) -> list[Output]:
        """Those that a name can mean. DuckDB calls the second of two `name` in a sub-query `name_1`, and so on."""
        found: list[Output] = []
        for source in sources:
            names = self.names([source])
            twins = len(set(names)) < len(names)
            found += [
                one
                for one in source.rows.columns
                if one.name is not None
                and (self.folded(one.name) == name or (twins and _numbered(name, self.folded(one.name))))
            ]
        return found

    # -- columns -------------------------------------------------------------------------------------------------------

    def projected(self, node: Node, scope: Scope) -> Iterator[Output]:
        """The outputs of one item of a SELECT list."""
        star = node if isinstance(node, exp.Star) else node.this if isinstance(node, exp.Column) else None
        if isinstance(star, exp.Star):
            sources = scope.sources
            if isinstance(node, exp.Column):
                sources = [one for one in sources if self.is_called(one, self.qualifiers(node))]
                if len(sources) != 1:
                    refuse(f"the row {node.sql(self.dialect)}")
            yield from self.expanded(star, sources, scope, merged=star is node)
            return
        inner = node.this if isinstance(node, exp.Alias) else node
        column, bare = self.found(inner, scope) if isinstance(inner, exp.Column) else (None, None)
        computed = self.expression(inner, scope) if column is None else column
        named = isinstance(node, exp.Alias | exp.Column)
        yield Output(self.name(node.args["alias"] if isinstance(node, exp.Alias) else node.this) if named else None,
                     computed, bare)  # fmt: skip

    def expanded(self, star: exp.Star, sources: list[Source], scope: Scope, *, merged: bool) -> Iterator[Output]:
        """The columns of `*` or `t.*`; USING leaves the second of two out of `*`, and the first stands for both."""
        only(star, "Star")
        left_out = {self.folded(self.name(one)) for one in star.args.get("except_") or ()}
        replaced = {self.folded(one.alias): one for one in star.args.get("replace") or ()}
        given = {self.folded(one.this.name): one.alias for one in star.args.get("rename") or ()}
        everything = self.names(sources)
        if unknown := (left_out | replaced.keys() | given.keys()) - set(everything):
            refuse(f"* has no column {min(unknown)!r}")
        for source in sources:
            for one in source.rows.columns:
                key = self.folded(one.name) if one.name is not None else None
                if key is None or key not in source.hidden | left_out or (not merged and key not in left_out):
                    if key in replaced:
                        yield Output(one.name, self.expression(replaced[key].this, scope))
                    else:
                        twins = self.columns_of(sources, key) if key and merged and self.is_merged(key, sources) else []
                        computed = one.computed.union(*(twin.computed for twin in twins))
                        yield Output(given.get(key or "", one.name), computed, one.bare)

    def is_merged(self, key: str, sources: Iterable[Source]) -> bool:
        return any(key in source.hidden for source in sources)

    def qualifiers(self, node: exp.Column) -> tuple[str, ...]:
        return tuple(self.folded(self.name(part)) for part in node.parts[:-1])

    def is_called(self, source: Source, qualifiers: tuple[str, ...]) -> bool:
        return source.path[-len(qualifiers) :] == qualifiers

    def found(self, node: exp.Column, scope: Scope) -> tuple[Bases, Base | None]:
        """All that a column's name can mean, and the one base column if it can be no other."""
        if isinstance(node.this, exp.Star):
            refuse(f"the whole row {node.sql(self.dialect)!r}")
        qualifiers, name = self.qualifiers(node), self.folded(self.name(node.this))
        known = self.meant(qualifiers, name, scope)
        if not known:
            refuse(f"{node.sql(self.dialect)!r} is no column of a table or view that the query names")
        bare = {one.bare for one in known}
        return NONE.union(*(one.computed for one in known)), bare.pop() if len(bare) == 1 else None

    def meant(self, qualifiers: tuple[str, ...], name: str, scope: Scope) -> list[Output]:
        if not qualifiers:
            inner = self.columns_of(scope.sources, name)
            if name in scope.aliases:
                inner.append(Output(name, scope.aliases[name]))
            elif not inner and any(one.name is None for source in scope.sources for one in source.rows.columns):
                refuse(f"{name!r} may be an expression without a name")
            elif not inner and any(self.is_called(source, (name,)) for source in scope.sources):
                refuse(f"the whole row {name!r}")
        else:
            sources = [one for one in scope.sources if self.is_called(one, qualifiers)]
            inner = self.columns_of(sources, name)
            # a.b is a field of the column a, where there is one; so are a.b.c and a.b.c.d.
            if self.columns_of(scope.sources, qualifiers[0]) or qualifiers[0] in scope.aliases:
                refuse(f"the field {'.'.join((*qualifiers, name))!r}")
            if len(qualifiers) > 1 and any(self.is_called(one, qualifiers[:1]) for one in scope.sources):
                refuse(f"the field {'.'.join((*qualifiers, name))!r}")
            if sources and not inner:
                return []
        if inner or scope.outer is None:
            return inner
        return self.meant(qualifiers, name, scope.outer)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def condition(self, node: Node, scope: Scope) -> Bases:
        """What a condition touches; columns that it compares for being equal are equal in what it leaves."""
        for one in here(node):
            unlike = isinstance(one, exp.NEQ | exp.NullSafeNEQ) and not self.alone(one, node)
            if isinstance(one, exp.Binary) and (unlike or isinstance(one, exp.EQ | exp.NullSafeEQ | exp.Like)):
                self.equate(self.expression(one.left, scope), self.expression(one.right, scope))
            elif isinstance(one, exp.In):
                members = [*one.expressions, *filter(None, [one.args.get("query")])]
                for member in members:
                    self.equate(self.expression(one.this, scope), self.inner(member, scope))
        return self.expression(node, scope)

    def alone(self, node: Node, condition: Node) -> bool:
        """Whether a part of a condition is asked for as it is, so that it is not NOT, IS FALSE, = false, … of it."""
        while node is not condition and isinstance(node.parent, exp.And | exp.Or | exp.Paren):
            node = node.parent
        return node is condition

    def inner(self, node: Node, scope: Scope) -> Bases:
        """What a member of an IN list is computed from, without what decides which rows it has."""
        if not isinstance(node, exp.Query):
            return self.expression(node, scope)
        return self.query(node, scope).computed

    def equate(self, left: Bases, right: Bases) -> None:
        self.equal += [frozenset(pair) for pair in product(left, right) if pair[0] != pair[1]]

    def expression(self, node: Node, scope: Scope) -> Bases:
        """The base columns that a value is computed from."""
        if isinstance(node, exp.Column):
            return self.found(node, scope)[0]
        if isinstance(node, exp.Subquery | exp.Query):
            return self.scalar(node, scope)
        if isinstance(node, exp.Exists):
            return self.scalar(node.this, scope)
        if isinstance(node, exp.Window):
            return self.window(node, scope)
        if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
            return NONE
        self.allowed(node)
        found = NONE.union(*(self.expression(one, scope) for one in node.iter_expressions()))
        return found | scope.ordered if type(node).__name__ in ORDERED else found

    def allowed(self, node: Node) -> None:
        """Refuses what is not known to depend on its parts alone."""
        kind = type(node).__name__
        if isinstance(node, exp.Anonymous):
            called = node.name.lower()
            if called not in NAMED[self.dialect]:
                refuse(f"the function {called} is not known to depend on its arguments alone")
        elif isinstance(node, exp.DataType):
            if node.this in (exp.DType.USERDEFINED, exp.DType.UNKNOWN) or "ENUM" in str(node.this):
                refuse(f"the type {node.sql(self.dialect)}")
        elif kind in PLACES:
            refuse(f"{self.called(node)} without an ORDER BY of its own tells where the rows happen to lie")
        elif kind not in EXPRESSIONS and kind not in FUNCTIONS and kind not in ORDERED:
            if isinstance(node, exp.Func) and kind not in WORDS:
                refuse(f"the function {self.called(node)} is not known to depend on its arguments alone")
            refuse(WORDS.get(kind, kind.upper()))

    def called(self, node: Node) -> str:
        """What a function is called."""
        if isinstance(node, exp.Anonymous):
            return node.name.lower()
        said = node.sql(self.dialect).partition("(")[0].lower()
        return said if said.isidentifier() else type(node).__name__.lower()

    def scalar(self, node: Node, scope: Scope) -> Bases:
        """A sub-query as a value: which row it takes is part of it, so all that it touches is."""
        before, self.touched = self.touched, set()
        rows = self.query(node, scope)
        mine, self.touched = self.touched, before | self.touched
        return rows.computed | mine

    def window(self, node: exp.Window, scope: Scope) -> Bases:
        """A window function, or a named window; what it partitions and orders by is part of its value."""
        only(node, "Window")
        order, spec = node.args.get("order"), node.args.get("spec")
        parts = [
            *(node.args.get("partition_by") or ()),
            *(order.expressions if order else ()),
            *([spec] if spec else []),
        ]
        found = NONE.union(*(self.expression(one, scope) for one in parts))
        ordered = order is not None
        if (alias := node.args.get("alias")) is not None:
            known = scope.windows.get(self.folded(self.name(alias)))
            if known is None:
                refuse(f"there is no window {alias.name!r}")
            found, ordered = found | known[0], ordered or known[1]
        call = node.this
        while isinstance(call, exp.IgnoreNulls | exp.RespectNulls):
            call = call.this
        if isinstance(call, exp.Identifier):  # WINDOW w AS (…)
            return found
        if type(call).__name__ not in PLACES or not ordered:
            return found | self.expression(call, scope)
        return found.union(*(self.expression(one, scope) for one in call.iter_expressions()))

    # -- names ---------------------------------------------------------------------------------------------------------

    def name(self, node: Node) -> str:
        """A name as it is compared: as written on DuckDB, and as folded by Postgres where it is not quoted."""
        if isinstance(node, exp.Column):
            node = node.this
        quoted = isinstance(node, exp.Identifier) and node.args.get("quoted")
        return node.name if quoted or self.dialect != "postgres" else lowered(node.name)

    def folded(self, name: str) -> str:
        """A name by which another spelling is the same: letters of both cases are one on DuckDB."""
        return name if self.dialect == "postgres" else lowered(name)


def _numbered(name: str, known: str) -> bool:
    return re.fullmatch(rf"{re.escape(known)}(_[0-9]+)+", name) is not None
