"""Draw mutants, single changes of the code, from all places where it can be changed."""

from __future__ import annotations

import ast
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXCLUDED = ("model/pam_model/nano",)

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change of one expression.

    Attributes:
        path: the file's path, relative to the root.
        line, column: where the expression begins. Lines count from 1, columns from 0 in bytes.
        end_line, end_column: where the expression ends.
        statement: the first and last line of the statement around it, without its body.
        kind: the kind of change.
        before, after: the expression before and after the change.
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    statement: tuple[int, int]
    kind: str
    before: str
    after: str


def changed(node: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """The changes of one node: kind, expression, replacement."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            other = COMPARISONS[type(operator)]()
            yield "comparison", node, ast.Compare(node.left, [other], node.comparators)
        case ast.BinOp(op=operator) if type(operator) in ARITHMETIC:
            yield (
                "arithmetic",
                node,
                ast.BinOp(node.left, ARITHMETIC[type(operator)](), node.right),
            )
        case ast.BoolOp(op=operator):
            opposite = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "boolean", node, ast.BoolOp(opposite, node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield "boolean", node, node.operand
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition", node.test, ast.UnaryOp(ast.Not(), node.test)
        case ast.Constant(value=bool(value)):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield "constant", node, ast.Constant(value + 1)
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return value", value, ast.Constant(None)


def changeable(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.stmt]]:
    """All nodes that can be changed, each with its statement.

    Annotations, decorators, f-strings and blocks for type checkers are left out.
    """
    stack: list[tuple[ast.AST, ast.stmt]] = [(statement, statement) for statement in tree.body]
    while stack:
        node, statement = stack.pop()
        if isinstance(node, ast.stmt):
            statement = node
        # Python 3.10 and 3.11 do not tell the positions of an f-string's parts.
        if isinstance(node, ast.JoinedStr) or is_for_type_checkers(node):
            continue
        yield node, statement
        skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        skipped += getattr(node, "decorator_list", [])
        stack += [
            (child, statement) for child in ast.iter_child_nodes(node) if child not in skipped
        ]


def is_for_type_checkers(node: ast.AST) -> bool:
    """Whether the node is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def header(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement without the statements inside it."""
    inside = [
        child.lineno for child in ast.iter_child_nodes(statement) if isinstance(child, ast.stmt)
    ]
    end = statement.end_lineno or statement.lineno
    return statement.lineno, max(statement.lineno, min([end, *(line - 1 for line in inside)]))


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """All mutants of a file."""
    for node, statement in changeable(ast.parse(path.read_text(encoding="utf-8"))):
        for kind, old, new in changed(node):
            assert old.end_lineno is not None
            assert old.end_col_offset is not None
            yield Mutant(
                path.relative_to(root).as_posix(),
                *(old.lineno, old.col_offset, old.end_lineno, old.end_col_offset),
                header(statement),
                kind,
                ast.unparse(old),
                ast.unparse(new),
            )


def draw(root: Path, packages: list[str], count: int, seed: int) -> list[Mutant]:
    """Draw `count` mutants of the packages' code; the same code and seed give the same mutants."""
    excluded = [root / folder for folder in EXCLUDED]
    files = [
        path
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if not any(path.is_relative_to(folder) for folder in excluded)
    ]
    found = sorted(
        (mutant for path in files for mutant in mutants_of(path, root)),
        key=lambda mutant: (mutant.path, mutant.line, mutant.column, mutant.kind),
    )
    random.Random(seed).shuffle(found)  # noqa: S311 - no secret
    drawn: list[Mutant] = []
    for mutant in found:
        if len(drawn) == count:
            break
        if is_python(mutated((root / mutant.path).read_bytes(), mutant)):
            drawn.append(mutant)
    return drawn


def is_python(source: bytes) -> bool:
    """Whether the source can be compiled; a pattern of `match` allows few expressions."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """The source with the change; all other bytes stay."""
    lines = source.splitlines(keepends=True)
    start = sum(map(len, lines[: mutant.line - 1])) + mutant.column
    end = sum(map(len, lines[: mutant.end_line - 1])) + mutant.end_column
    # Parentheses keep the expression's meaning in any place.
    return source[:start] + f"({mutant.after})".encode() + source[end:]
