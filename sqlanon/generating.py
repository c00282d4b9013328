"""SQL for a server that has plpython3u: `python -m sqlanon.generating` writes `sql/udfs.sql` and `sql/inside.sql`.

Each function holds all of its source, so that a DBA can read what will run and nothing need be installed beside the
server's own Python; only those that calculate with arrays need numpy there. They are pure: no state, no clock, no file.
Nothing that a reader of a release calls is made of them.
"""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlanon.engines.postgres import Postgres
from sqlanon.functions import FUNCTIONS, PLANNERS
from sqlanon.udfs import flat

_ROOM = "sqlanon.udfs."
_QUOTE = "$sqlanon$"
_TYPES = {"varchar": "text", "double": "double precision", "double[]": "double precision[]",
          "double[][]": "double precision[]"}  # fmt: skip


@dataclass(frozen=True)
class Declared:
    """A function as Postgres knows it; `rows` where it gives a table."""

    name: str
    takes: tuple[tuple[str, str], ...]
    gives: str
    call: Callable[..., Any]

    @property
    def signature(self) -> str:
        """What names the function in GRANT and DROP."""
        return f"sqlanon.{self.name}({', '.join(kind for _, kind in self.takes)})"

    @property
    def told(self) -> str:
        """The first sentence of what it does."""
        return " ".join((self.call.__doc__ or "").split("\n\n")[0].split())


_NAMES = {
    "sqlanon_uniform": ("key", "stream", "number"),
    "sqlanon_normal": ("key", "stream", "number"),
    "sqlanon_mdav": ("k", "points"),
    "sqlanon_mean": ("numbers",),
}
DISTANCE = Declared(
    "sqlanon_hierarchical_distance",
    (("counts", "bigint[]"), ("reference", "bigint[]"), ("parents", "bigint[]"), ("widths", "bigint[]")),
    "double precision", flat.hierarchical_distance,
)  # fmt: skip


def declared() -> Iterator[Declared]:
    """All functions that are generated: those of `sqlanon.functions`, a keyed one with its key first; a distance."""
    for function in FUNCTIONS:
        kinds = [_TYPES.get(kind, kind) for kind in (*(["varchar"] if function.keyed else []), *function.takes)]
        names = _NAMES[function.name]
        gives = _TYPES.get(function.gives, function.gives)
        yield Declared(function.name, tuple(zip(names, kinds, strict=True)), gives, function.one)
    for planner in PLANNERS:
        gives = f"TABLE ({', '.join(f'{name} bigint[]' for name in planner.gives)})"
        yield Declared(planner.name, planner.parameters, gives, planner.one)
    yield DISTANCE


# -- the source of a function ------------------------------------------------------------------------------------------


@cache
def _module(name: str) -> dict[str, tuple[int, ast.stmt]]:
    """The top level of a module: what each name is defined or imported by, with its place."""
    file = importlib.import_module(name).__file__ or ""
    found: dict[str, tuple[int, ast.stmt]] = {}
    for place, node in enumerate(ast.parse(Path(file).read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = (place, type(node)(**{**vars(node), "names": [alias]}))
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = (place, _Plain().visit(node))
        elif isinstance(node, ast.Assign):
            found |= {name.id: (place, node) for name in node.targets if isinstance(name, ast.Name)}
    return found


class _Plain(ast.NodeTransformer):
    """Without docstrings and annotations; the fields of a class keep theirs, as text."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
            if one is not None:
                one.annotation = None
        return self._undocumented(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                field.annotation = ast.Constant(ast.unparse(field.annotation))
        return self._undocumented(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if isinstance(node.annotation, ast.Constant):  # a field of a class
            return node
        made = ast.Assign([node.target], node.value or ast.Constant(None))
        return ast.copy_location(made, node)

    def _undocumented(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


def _needed(module: str, name: str, found: dict[tuple[str, str], ast.stmt]) -> None:
    """Adds what a name of a module needs, what is needed by that, and so on."""
    if (module, name) in found or name not in _module(module):
        return
    _, node = _module(module)[name]
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_ROOM):
        _needed(str(node.module), node.names[0].name, found)
        return
    found[module, name] = node
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id != name:
            _needed(module, inner.id, found)


def source(call: Callable[..., Any]) -> str:
    """The Python that defines a function and all that it needs, imports first, in the order of their modules."""
    found: dict[tuple[str, str], ast.stmt] = {}
    _needed(call.__module__, call.__name__, found)
    imports = {ast.unparse(node) for node in found.values() if isinstance(node, ast.Import | ast.ImportFrom)}
    made = {key: node for key, node in found.items() if not isinstance(node, ast.Import | ast.ImportFrom)}
    names = [name for _, name in made]
    if len(set(names)) < len(names):
        raise ValueError(f"two modules define one name that {call.__name__} needs")
    modules = sorted({module for module, _ in made}, key=_depth)
    ordered = sorted(made, key=lambda key: (modules.index(key[0]), _module(key[0])[key[1]][0]))
    return "\n".join([*sorted(imports), *(ast.unparse(made[key]) for key in ordered)])


def _depth(module: str) -> tuple[int, str]:
    """How many rooms of ours a module stands on: what it needs comes before it."""
    below = [
        _depth(str(node.module))[0]
        for _, node in _module(module).values()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_ROOM)
    ]
    return max(below, default=-1) + 1, module


# -- as SQL ------------------------------------------------------------------------------------------------------------

_HEAD = """\
-- Functions of sqlanon that run in the server, beside the data. Made by `python -m sqlanon.generating` from udfs/; do
-- not change them here. Needs the language plpython3u, which a superuser makes (CREATE EXTENSION plpython3u), and to
-- make them needs a superuser too. All are pure. Nobody may call them until EXECUTE is granted; never to a reader of
-- releases, who could take noise off again if he had the key.
CREATE SCHEMA IF NOT EXISTS sqlanon;
"""


def statements(function: Declared) -> str:
    """The SQL that makes a function and takes it from everybody."""
    takes = ", ".join(f"{name} {kind}" for name, kind in function.takes)
    passed = ", ".join(name for name, _ in function.takes)
    source_ = source(function.call)
    if _QUOTE in source_:
        raise ValueError("the source holds the quote of its statement")
    kept = textwrap.indent(source_, "    ")
    return (
        f"CREATE OR REPLACE FUNCTION sqlanon.{function.name}({takes})\nRETURNS {function.gives}\n"
        "LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp\n"
        f'AS {_QUOTE}\nif "call" not in SD:\n{kept}\n    SD["call"] = {function.call.__name__}\n'
        f'return SD["call"]({passed})\n{_QUOTE};\n'
        f"REVOKE EXECUTE ON FUNCTION {function.signature} FROM PUBLIC;\n"
        f"COMMENT ON FUNCTION {function.signature} IS '{function.told.replace(chr(39), 2 * chr(39))}';\n"
    )


def script() -> str:
    """The whole of `sql/udfs.sql`."""
    return "\n".join([_HEAD, *map(statements, declared())])


# -- the whole job -----------------------------------------------------------------------------------------------------

_JOB = """\
-- The whole job from psql, where the server's Python can import sqlanon: CALL sqlanon.release('spec as YAML or JSON').
-- Made by `python -m sqlanon.generating`; do not change it here. All of it runs with no rights but the caller's. The
-- language is untrusted: grant EXECUTE to publishers only, and never let a view call it.
CREATE SCHEMA IF NOT EXISTS sqlanon;

{released}
-- No SET clause here: with one, a procedure could not begin a transaction, in which the source stays as it is. Within
-- a transaction of the caller's, that must be REPEATABLE READ.
{release}
{refreshed}
{plan}
{execute}
{run}"""
_PROCEDURE = """\
CREATE OR REPLACE PROCEDURE sqlanon.{name}(
  {what} text, INOUT result jsonb DEFAULT NULL, superuser boolean DEFAULT false)
LANGUAGE plpgsql SECURITY INVOKER
AS $sqlanon$
DECLARE
  path pg_catalog.text := pg_catalog.current_setting('search_path');
BEGIN
  IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'::pg_catalog.text THEN
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
  END IF;
  result := sqlanon.{does}({what}, path, superuser);
END
$sqlanon$;
REVOKE EXECUTE ON PROCEDURE sqlanon.{name}(text, jsonb, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE sqlanon.{name}(text, jsonb, boolean) IS
  '{told}';
"""
_PROCEDURES = (
    ("release", "spec", "released",
     "Publishes what a spec says if every model holds on what was made, else nothing; result is that of release --json."
     ),
    ("run", "statements", "execute",
     "Runs statements of sqlanon (CREATE ANONYMIZED ...) in a transaction of their own: all of them or none."),
)  # fmt: skip
_INSIDE = """\
CREATE OR REPLACE FUNCTION sqlanon.{name}({takes})
RETURNS jsonb
{how}
AS $sqlanon$
from sqlanon import serving
found = serving.{does}
if isinstance(found, serving.Failure):
    plpy.error(found.told, **found.more)
return found
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.{name}({types}) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.{name}({types}) IS
  '{told}';
"""
_ENTRANCES = (
    ("released", "spec text, path text, superuser boolean", "text, text, boolean",
     "release(plpy, spec, path, superuser=superuser)",
     "What sqlanon.release calls; path is the search path by which the relations of the spec are found."),
    ("refreshed", "name text, path text, superuser boolean", "text, text, boolean",
     "refresh(plpy, name, path, superuser=superuser)",
     "What sqlanon.refresh calls, within a transaction in which the source stays as it is."),
    ("plan", "\n  spec text, path text DEFAULT pg_catalog.current_setting('search_path')", "text, text",
     "plan(plpy, spec, path)",
     "What a spec would publish, as plan --json prints it. Changes nothing but working tables of the session."),
    ("execute", "\n  statements text, path text DEFAULT pg_catalog.current_setting('search_path'),"
     " superuser boolean DEFAULT false", "text, text, boolean", "execute(plpy, statements, path, superuser=superuser)",
     "Runs statements of sqlanon (CREATE ANONYMIZED ...), all or none; those that publish need REPEATABLE READ."),
)  # fmt: skip
_OF_A_SESSION = ("client_encoding", "default_transaction_isolation")


def job() -> str:
    """The whole of `sql/inside.sql`; the settings are those of every connection of ours."""
    kept = {name: value for name, value in Postgres.settings.items() if name not in _OF_A_SESSION}
    lists = {"search_path"}
    settings = "\n".join(f"SET {n} = {v if n in lists else repr(v)}" for n, v in kept.items())
    how = f"LANGUAGE plpython3u VOLATILE STRICT PARALLEL UNSAFE SECURITY INVOKER\n{settings}"
    made = {
        name: _INSIDE.format(name=name, takes=takes, types=types, does=does, told=told, how=how)
        for name, takes, types, does, told in _ENTRANCES
    }
    made |= {
        name: _PROCEDURE.format(name=name, what=what, does=does, told=told) for name, what, does, told in _PROCEDURES
    }
    return _JOB.format(**made)


def main() -> None:
    """Writes the files."""
    from sqlanon import sql

    for name, text in (("udfs.sql", script()), ("inside.sql", job())):
        (Path(sql.__file__).parent / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
