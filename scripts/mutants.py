"""Measure the tests: change single places of the code, and see whether a test notices.

    OMP_NUM_THREADS=1 .venv/bin/python -m scripts.mutants --count 300 --json out/mutants.json

1. All tests run once and record which test executes which line (coverage with contexts).
2. `--count` mutants are drawn with `--seed` from all places where the code can be changed.
3. For each mutant, the fastest tests that execute its line run in processes of their own.

Only copies in a temporary folder are changed: the checkout stays as it is, even after a kill.
A mutant is `caught` if a test fails or takes far too long, `survived` if no test does, and
`not covered` if no test executes its line. `--root` names another checkout; `--data` keeps the
results of step 1, and reuses them the next time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
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
from xml.etree import ElementTree as ET

from coverage import CoverageData

from scripts.mutations import Mutant, draw, mutated

PACKAGES = ("model/pam_model", "pam_labeling", "label_studio_backend", "fiftyone_plugin")
LEFT_OUT_OF_COPIES = (".git", ".venv", ".venv-*", "__pycache__", "out", ".*_cache")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
# A process that imports these once, and forks for each mutant: torch alone takes seconds.
_LIBRARIES = [
    *("torch", "transformers", "sklearn", "pandas", "cv2", "eta.core.utils", "mongoengine"),
    *("label_studio_sdk.label_interface", "flask", "strawberry"),
]
# Plugins of pytest among the libraries: their assertions need no rewriting.
_NOT_REWRITTEN = "ignore::pytest.PytestAssertRewriteWarning"
_FORK_OPTIONS = (*PYTEST[3:], "-x", "--no-cov", "-W", _NOT_REWRITTEN)
_FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Result:
    """A mutant and its outcome: `caught`, `survived` or `not covered`."""

    mutant: Mutant
    outcome: str
    tests: tuple[str, ...]


def run_in(folder: Path, command: list[str], seconds: float | None = None) -> int | None:
    """Run a command in its own process group; return its exit code, or None if it was too slow."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    # The copy comes first, before the checkout that an editable installation points to.
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
        # This also ends servers and databases that a test started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_tests(folder: Path, tests: list[str], seconds: float) -> int | None:
    """Run pytest on some tests as `run_in` does, but in a fork that has the libraries already."""
    process = _FORKS.Process(target=_forked, args=(folder, [*_FORK_OPTIONS, *tests]))
    process.start()
    process.join(seconds)
    code = process.exitcode
    with contextlib.suppress(ProcessLookupError, TypeError):
        os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]  # it has one
    process.join()
    return code


def _forked(folder: Path, arguments: list[str]) -> None:
    os.setsid()
    os.chdir(folder)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    paths = (str(folder / "model"), str(folder))
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(paths)}
    sys.dont_write_bytecode = True
    sys.path[:0] = paths
    # The copy's own scripts, if tests import them.
    for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
        del sys.modules[name]
    import pytest  # noqa: PLC0415 - the parent does not need it

    # Not sys.exit: threads of a server that a test left running would keep the process alive.
    os._exit(pytest.main(arguments))


def copied(root: Path, folder: Path) -> Path:
    """Make a copy of the checkout, which may be changed."""
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
        if code not in (0, 1):
            raise SystemExit(f"the tests did not finish (exit code of pytest: {code})")
        if code == 1:
            print("tests that fail without any change are left out", file=sys.stderr)
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
    """The tests that executed each executed line; none for a line that an import executed."""
    return {
        str(line): sorted({context.partition("|")[0] for context in contexts} - {""})
        for line, contexts in recorded.contexts_by_lineno(file).items()
    }


def report_options(copy: Path) -> list[str]:
    """Options that make pytest write the report for `seconds_of_passed`."""
    return [f"--junit-xml={copy / 'report.xml'}", "-o", "junit_family=xunit1"]


def seconds_of_passed(copy: Path) -> dict[str, float]:
    """The seconds that each passed test took, by its id."""
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
        """The tests that pass without any change."""
        if not tests:
            return set()
        copy = self._free.get()
        try:
            # The ids are in a file, because the length of a command line is limited.
            (copy / "tests.txt").write_text("\n".join(tests), encoding="utf-8")
            code = run_in(copy, [*PYTEST, "--no-cov", "@tests.txt", *report_options(copy)])
            if code not in (0, 1):
                raise SystemExit(
                    f"the chosen tests do not run on their own (exit code of pytest: {code})"
                )
            return set(seconds_of_passed(copy))
        finally:
            self._free.put(copy)

    def check(self, tests: list[str]) -> None:
        """Refuse to go on if tests fail without any change: each mutant would seem caught."""
        copy = self._free.get()
        try:
            if tests and (code := run_tests(copy, tests, 600)) != 0:
                raise SystemExit(f"unchanged code does not pass {tests} (pytest: {code})")
        finally:
            self._free.put(copy)

    def test(self, mutant: Mutant, tests: list[str], seconds: float) -> bool:
        """Whether one of the tests fails or hangs on the mutant."""
        copy = self._free.get()
        path = copy / mutant.path
        original = path.read_bytes()
        try:
            path.write_bytes(mutated(original, mutant))
            return run_tests(copy, tests, seconds) != 0
        finally:
            path.write_bytes(original)
            self._free.put(copy)


def tests_of(
    mutant: Mutant, lines: dict[str, dict[str, list[str]]], times: dict[str, float], count: int
) -> list[str]:
    """The fastest tests, at most `count`, that execute the mutant's statement.

    If only imports execute it (a constant of a module), the fastest tests of its file.
    """
    covered = lines.get(mutant.path, {})
    first, last = mutant.statement
    executed = [str(line) for line in range(first, last + 1) if str(line) in covered]
    named = {test for line in executed for test in covered[line]}
    if executed and not named:
        named = {test for tests in covered.values() for test in tests}
    return sorted(named & times.keys(), key=lambda test: (times[test], test))[:count]


def judge(root: Path, data: Path, drawn: list[Mutant], count: int, processes: int) -> list[Result]:
    """Run `count` tests of each mutant, in so many processes at a time."""
    lines = json.loads((data / "lines.json").read_text(encoding="utf-8"))
    times = json.loads((data / "times.json").read_text(encoding="utf-8"))
    chosen = {mutant: tests_of(mutant, lines, times, count) for mutant in drawn}
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        copies = Copies(root, Path(temporary), processes)
        passing = copies.passing(sorted({test for tests in chosen.values() for test in tests}))

        copies.check(sorted(passing)[:1])

        def one(mutant: Mutant) -> Result:
            tests = [test for test in chosen[mutant] if test in passing]
            outcome = "not covered"
            if tests:
                # A generous limit: Python starts, torch is imported, and the machine may be busy.
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
    """Draw mutants, run their tests, report the outcomes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tests-per-mutant", type=int, default=15)
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES))
    parser.add_argument(
        "--libraries", nargs="*", default=_LIBRARIES, help="import these once, not for each mutant"
    )
    parser.add_argument("--tests", nargs="+", default=[], help="default: pytest's `testpaths`")
    parser.add_argument("--data", type=Path, help="keep the results of step 1 here, or reuse them")
    parser.add_argument("--json", type=Path, help="write all results here")
    chosen = parser.parse_args()
    _FORKS.set_forkserver_preload([*chosen.libraries, "pytest"])
    root = chosen.root.resolve()
    drawn = draw(root, chosen.packages, chosen.count, chosen.seed)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        data = chosen.data or Path(temporary)
        if not (data / "lines.json").exists():
            record_coverage(root, data, chosen.tests, chosen.processes)
        results = judge(root, data, drawn, chosen.tests_per_mutant, chosen.processes)
    if chosen.json is not None:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        content = [asdict(result) for result in results]
        chosen.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
