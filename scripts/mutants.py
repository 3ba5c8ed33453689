#!/usr/bin/env python3
"""Change single places of the code and see whether the tests notice: a measure of the tests.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/mutants.py --count 300 --json out/mutants.json

1. All tests run once and record which test executes which line (coverage with contexts).
2. `--count` mutants are drawn with `--seed` from all places where the code can be changed.
3. For each mutant, the fastest tests that execute its line run, in processes of their own.

Only copies are changed, in a temporary folder: the checkout stays as it is, even after a kill.
A mutant is `caught` when a test fails or takes far too long, `survived` when none does, and
`not covered` when no test executes its line. `--root` names another checkout; `--data` keeps what
step 1 found, and reuses it the next time.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from coverage import CoverageData

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("model/pam_model", "pam_labeling", "label_studio_backend", "fiftyone_plugin")
EXCLUDED = ("model/pam_model/nano",)
LEFT_OUT_OF_COPIES = (".git", ".venv", ".venv-label-studio", "__pycache__", "out", ".*_cache")
TESTS_PER_MUTANT = 5
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")

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
        path: of the file, relative to the root.
        line, column: where the expression begins. Lines count from 1, columns from 0 in bytes.
        end_line, end_column: where it ends.
        statement: the first and last line of the statement around it, without its body.
        kind: what sort of change it is.
        before, after: the expression.
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


@dataclass(frozen=True)
class Result:
    """What the tests made of a mutant: `caught`, `survived` or `not covered`."""

    mutant: Mutant
    outcome: str
    tests: tuple[str, ...]


def changed(node: ast.AST) -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """The changes of one node: kind, expression, what replaces it."""
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
    """All nodes of code that runs, each with its statement.

    Annotations, decorators, f-strings and blocks for type checkers are left out.
    """
    stack: list[tuple[ast.AST, ast.stmt]] = [(statement, statement) for statement in tree.body]
    while stack:
        node, statement = stack.pop()
        if isinstance(node, ast.stmt):
            statement = node
        # Python 3.10 and 3.11 do not say where the parts of an f-string are.
        if isinstance(node, ast.JoinedStr) or is_for_type_checkers(node):
            continue
        yield node, statement
        skipped = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        skipped += getattr(node, "decorator_list", [])
        stack += [
            (child, statement) for child in ast.iter_child_nodes(node) if child not in skipped
        ]


def is_for_type_checkers(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
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
    """`count` mutants of the packages' code, the same for the same code and seed."""
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
    """Whether the source can be compiled: a pattern of `match` takes few expressions."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """The file with the change in it; all other characters stay."""
    lines = source.splitlines(keepends=True)
    start = sum(map(len, lines[: mutant.line - 1])) + mutant.column
    end = sum(map(len, lines[: mutant.end_line - 1])) + mutant.end_column
    # In parentheses, the expression means the same wherever it stands.
    return source[:start] + f"({mutant.after})".encode() + source[end:]


def run_in(folder: Path, command: list[str], seconds: float | None = None) -> int | None:
    """Run a command in a group of its own; its exit code, or None if it took too long."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    # The copy comes first wherever an editable installation would lead.
    environment["PYTHONPATH"] = os.pathsep.join((str(folder / "model"), str(folder)))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Servers and databases that a test started go with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def copied(root: Path, folder: Path) -> Path:
    """A copy of the checkout that may be changed."""
    return Path(
        shutil.copytree(
            root, folder, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT_OF_COPIES)
        )
    )


def record_coverage(root: Path, data: Path, tests: list[str], processes: int) -> None:
    """Run the tests once; write which test executes which line, and how long each takes."""
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copy = copied(root, Path(temporary, "copy"))
        spread = ["-n", str(processes), "--dist", "loadfile"] if processes > 1 else []
        command = [*PYTEST, *spread, *tests]
        command += ["--cov", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
        code = run_in(copy, [*command, *report_options(copy)])
        if code != 0:
            raise SystemExit(f"the tests must pass before mutants mean anything (pytest: {code})")
        recorded = CoverageData(str(copy / ".coverage"))
        recorded.read()
        lines = {
            Path(file).relative_to(copy).as_posix(): tests_by_line(recorded, file)
            for file in recorded.measured_files()
            if Path(file).is_relative_to(copy)
        }
        times = seconds_of_passed(copy)
    (data / "lines.json").write_text(json.dumps(lines), encoding="utf-8")
    (data / "times.json").write_text(json.dumps(times), encoding="utf-8")


def tests_by_line(recorded: CoverageData, file: str) -> dict[str, list[str]]:
    """For each executed line the tests that executed it; none, if it was executed by an import."""
    return {
        str(line): sorted({context.partition("|")[0] for context in contexts} - {""})
        for line, contexts in recorded.contexts_by_lineno(file).items()
    }


def report_options(copy: Path) -> list[str]:
    """Let pytest write what `seconds_of_passed` reads."""
    return [f"--junit-xml={copy / 'report.xml'}", "-o", "junit_family=xunit1"]


def seconds_of_passed(copy: Path) -> dict[str, float]:
    """Seconds of each test that passed, by its id."""
    return {
        f"{case.get('file')}::{case.get('name')}": float(case.get("time", 0))
        for case in ET.parse(copy / "report.xml").iter("testcase")  # noqa: S314 - pytest wrote it
        if not any(child.tag in ("failure", "error", "skipped") for child in case)
    }


class Copies:
    """Copies of the checkout, each lent to one mutant at a time."""

    def __init__(self, root: Path, folder: Path, count: int) -> None:
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(count):
            self._free.put(copied(root, folder / str(number)))

    def passing(self, tests: list[str]) -> set[str]:
        """Those of the tests that pass where nothing is changed."""
        copy = self._free.get()
        try:
            # The ids go through a file: a command line has a limit.
            (copy / "tests.txt").write_text("\n".join(tests), encoding="utf-8")
            code = run_in(copy, [*PYTEST, "--no-cov", "@tests.txt", *report_options(copy)])
            if code not in (0, 1):
                raise SystemExit(f"the chosen tests cannot be run by themselves (pytest: {code})")
            return set(seconds_of_passed(copy))
        finally:
            self._free.put(copy)

    def test(self, mutant: Mutant, tests: list[str], seconds: float) -> bool:
        """Whether one of the tests fails or hangs on the mutant."""
        copy = self._free.get()
        path = copy / mutant.path
        original = path.read_bytes()
        try:
            path.write_bytes(mutated(original, mutant))
            return run_in(copy, [*PYTEST, "-x", "--no-cov", *tests], seconds) != 0
        finally:
            path.write_bytes(original)
            self._free.put(copy)


def tests_of(
    mutant: Mutant, lines: dict[str, dict[str, list[str]]], times: dict[str, float]
) -> list[str]:
    """The fastest tests that execute the mutant's statement.

    Where only imports execute it (a constant of a module), the fastest tests of its file.
    """
    covered = lines.get(mutant.path, {})
    first, last = mutant.statement
    executed = [str(line) for line in range(first, last + 1) if str(line) in covered]
    named = {test for line in executed for test in covered[line]}
    if executed and not named:
        named = {test for tests in covered.values() for test in tests}
    return sorted(named & times.keys(), key=lambda test: (times[test], test))[:TESTS_PER_MUTANT]


def judge(root: Path, data: Path, drawn: list[Mutant], processes: int) -> list[Result]:
    """Run the tests of each mutant."""
    lines = json.loads((data / "lines.json").read_text(encoding="utf-8"))
    times = json.loads((data / "times.json").read_text(encoding="utf-8"))
    chosen = {mutant: tests_of(mutant, lines, times) for mutant in drawn}
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copies = Copies(root, Path(temporary), processes)
        passing = copies.passing(sorted({test for tests in chosen.values() for test in tests}))

        def one(mutant: Mutant) -> Result:
            tests = [test for test in chosen[mutant] if test in passing]
            outcome = "not covered"
            if tests:
                # Generous: Python starts, torch is imported, and the machine may be busy.
                seconds = 60 + 5 * sum(times[test] for test in tests)
                outcome = "caught" if copies.test(mutant, tests, seconds) else "survived"
            print(f"{outcome:11} {mutant.path}:{mutant.line} {mutant.kind}", file=sys.stderr)
            return Result(mutant, outcome, tuple(tests))

        with ThreadPoolExecutor(processes) as pool:
            return list(pool.map(one, drawn))


def table(results: list[Result]) -> str:
    """How many mutants of each kind were caught, survived or were not covered."""
    outcomes = ("caught", "survived", "not covered")
    counts = Counter((result.mutant.kind, result.outcome) for result in results)
    rows = [f"{'':14}" + "".join(f"{outcome:>13}" for outcome in outcomes)]
    for kind in [*sorted({result.mutant.kind for result in results}), "all"]:
        numbers = [
            sum(n for (k, o), n in counts.items() if o == outcome and kind in (k, "all"))
            for outcome in outcomes
        ]
        rows.append(f"{kind:14}" + "".join(f"{number:13}" for number in numbers))
    survivors = [result.mutant for result in results if result.outcome == "survived"]
    rows += [f"survived: {m.path}:{m.line}: {m.before}  ->  {m.after}" for m in survivors]
    return "\n".join(rows)


def main() -> None:
    """Draw, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES))
    parser.add_argument("--tests", nargs="+", default=[], help="default: pytest's `testpaths`")
    parser.add_argument("--data", type=Path, help="keep what step 1 found here, or reuse it")
    parser.add_argument("--json", type=Path, help="write all results here")
    chosen = parser.parse_args()
    root = chosen.root.resolve()
    drawn = draw(root, chosen.packages, chosen.count, chosen.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        data = chosen.data or Path(temporary)
        if not (data / "lines.json").exists():
            record_coverage(root, data, chosen.tests, chosen.processes)
        results = judge(root, data, drawn, chosen.processes)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        content = [asdict(result) for result in results]
        chosen.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
