"""Every error that the program can raise on purpose, found by reading its source.

What is looked for: calls of the error classes, `require(condition, sentence)`, `ValueError` (which the reader of specs
turns into a SpecError with its place), the problems that the checks of a spec yield, and those that readers note. A
sentence keeps its holes: `{name}` stands for what is put in.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlanon
from making.text import NOTE, cell, code, escaped, first_sentence, paragraphs, table
from sqlanon import errors

ROOT = Path(sqlanon.__file__).resolve().parent
CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, errors.SqlanonError)
}
MADE = {**dict.fromkeys(CLASSES), "Unfit": "SpecError", "ValueError": "SpecError", "TypeError": "SpecError"}
NOTED = {"note": 2, "_wrong": 0, "unfit": 2, "_problem": 0, "fail": 0}  # where the sentence stands among the arguments
HOLE = "…"


@dataclass(frozen=True, order=True)
class Told:
    """One error: the room that raises it, its kind, its sentence with holes."""

    room: str
    kind: str
    sentence: str
    line: int = 0


@cache
def rooms() -> tuple[tuple[str, ast.Module, str], ...]:
    """The modules of the program with their source."""
    return tuple(_rooms())


def _rooms() -> Iterator[tuple[str, ast.Module, str]]:
    for file in sorted(ROOT.rglob("*.py")):
        place = file.relative_to(ROOT)
        if place.parts[0] in ("udfs", "sql", "showing") or "__pycache__" in place.parts:
            continue
        text = file.read_text(encoding="utf-8")
        yield ".".join(place.with_suffix("").parts).removesuffix(".__init__"), ast.parse(text), text


class Sentences(ast.NodeVisitor):
    """The errors of one module."""

    def __init__(self, room: str, tree: ast.Module) -> None:
        self.room, self.found = room, list[Told]()
        self.known = dict(_assigned(tree.body))
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self.known = self.known, {**self.known, **dict(_assigned(node.body))}
        self.generic_visit(node)
        self.known = outer

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in MADE and self.room != "errors":
            place = 1 if name == "EngineError" else 0
            argument = node.args[place] if len(node.args) > place else None
            self._tell(MADE[name] or name, argument, node)
        elif name in ("require", "_require") and len(node.args) > 1:
            self._tell("SpecError", node.args[1], node)
        elif name in NOTED and len(node.args) > NOTED[name]:
            self._tell("SpecError", node.args[NOTED[name]], node)
        self.generic_visit(node)

    def visit_Yield(self, node: ast.Yield) -> None:
        """Problems are told as (place, sentence, found, allowed)."""
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) in (3, 4):
            first, second = node.value.elts[:2]
            sentences = second if isinstance(second, ast.Constant | ast.JoinedStr) else None
            if sentences is not None and isinstance(first, ast.Tuple | ast.Name | ast.BinOp):
                self._tell("SpecError", sentences, node)
        self.generic_visit(node)

    def _tell(self, kind: str, argument: ast.expr | None, node: ast.AST) -> None:
        for sentence in [] if argument is None else self.read(argument):
            words = re.sub(r"\{[^}]*\}|…", "", sentence).strip()
            if len(words) > 3 and words != "None" and not re.fullmatch(r"--[a-z-]+", words):
                self.found.append(Told(self.room, kind, " ".join(sentence.split()), getattr(node, "lineno", 0)))

    def read(self, node: ast.expr, depth: int = 0) -> list[str]:
        """What a text can be, with a hole for whatever is put in."""
        if depth > 6:
            return [HOLE]
        if isinstance(node, ast.Constant):
            return [str(node.value)]
        if isinstance(node, ast.JoinedStr):
            found = [""]
            for part in node.values:
                more = self.read(part, depth + 1) if isinstance(part, ast.Constant) else self._hole(part, depth)
                found = [left + right for left in found for right in more][:8]
            return found
        if isinstance(node, ast.IfExp):
            return [*self.read(node.body, depth + 1), *self.read(node.orelse, depth + 1)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [a + b for a in self.read(node.left, depth + 1) for b in self.read(node.right, depth + 1)][:8]
        if isinstance(node, ast.Name) and node.id in self.known:
            return [text for one in self.known[node.id] for text in self.read(one, depth + 1)][:8]
        return [HOLE]

    def _hole(self, node: ast.expr, depth: int) -> list[str]:
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        if isinstance(inner, ast.IfExp) and all(
            isinstance(one, ast.Constant | ast.JoinedStr) for one in (inner.body, inner.orelse)
        ):
            return self.read(inner, depth + 1)
        if isinstance(inner, ast.Name) and inner.id in self.known and depth < 3:
            texts = [text for one in self.known[inner.id] for text in self.read(one, depth + 1)]
            if texts and HOLE not in texts:
                return texts
        named = inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else "…"
        return ["{" + named + "}"]


def _assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, list[ast.expr]]]:
    """The names to which texts are assigned in a body and in the blocks within it, with every text."""
    found: dict[str, list[ast.expr]] = {}
    for node in _within(body):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Constant() | ast.JoinedStr() | ast.IfExp() | ast.BinOp()
            ):
                found.setdefault(name, []).append(node.value)
    return iter(found.items())


def _within(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            for name in ("body", "orelse", "finalbody"):
                yield from _within(getattr(node, name, ()))


@cache
def every() -> tuple[Told, ...]:
    """The errors of the whole program, each once, room by room."""
    found: dict[tuple[str, str, str], Told] = {}
    for room, tree, _ in rooms():
        for told in Sentences(room, tree).found:
            found.setdefault((told.room, told.kind, told.sentence), told)
    return tuple(found.values())


def pattern(sentence: str) -> re.Pattern[str]:
    """What a sentence with holes can look like when it is said."""
    parts = re.split(r"\{[^}]*\}|…", sentence)
    return re.compile(".*".join(re.escape(part) for part in parts), re.DOTALL)


STATUS = {
    "SqlanonError": "3", "SpecError": "2", "ModelNotMet": "1", "EngineError": "3", "ReleaseError": "3 (2 where the"
    " call was wrong)", "NotPortable": "3",
}  # fmt: skip


def page() -> str:
    """The page of errors."""
    kinds = [(f"`{name}`", STATUS.get(name, "2"), cell(escaped(first_sentence(kind.__doc__ or ""))))
             for name, kind in CLASSES.items()]  # fmt: skip
    parts = [
        f"# Errors\n\n{NOTE}Every failure is a sentence: what is wrong, where, what was found, what is allowed, and the"
        " nearest right word. No message holds a value of a cell; the engine's own words, which may, are shown with"
        " `--show-engine-errors` only. With `--json` an error is an object too: `error`, `message`, `exit_status`,"
        " `models`, and `rules` where rules block.\n\nThe sentences below are read from the source, room by room. `{…}`"
        " stands for what is put in: names of columns, files and models, counts, words of the spec. A"
        " `SpecError` about a"
        " spec begins with `file:line:column: path`.\n\n## Kinds\n\n",
        table(("error", "exit status", "means"), kinds),
        "\n",
    ]
    for name, kind in CLASSES.items():
        parts.append(f"### {name}\n\n{paragraphs(kind)}\n\n")
    parts.append("## Sentences\n\n")
    abouts = {room: first_sentence(ast.get_docstring(tree) or "") for room, tree, _ in rooms()}
    last = None
    rows: list[tuple[str, str]] = []
    for told in [*every(), Told("", "", "")]:
        if told.room != last and rows and last is not None:
            parts.append(f"### sqlanon.{last}\n\n{escaped(abouts[last])}\n\n{table(('sentence', 'kind'), rows)}\n")
            rows = []
        last = told.room
        rows.append((code(told.sentence), told.kind))
    return "".join(parts)
