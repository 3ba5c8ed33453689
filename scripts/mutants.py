"""Change single places of the code and see whether the tests notice: a measure of the tests.

    OMP_NUM_THREADS=1 .venv/bin/python -m scripts.mutants --count 300 --json out/mutants.json

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
import contextlib
import json
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
LEFT_OUT_OF_COPIES = (".git", ".venv", ".venv-label-studio", "__pycache__", "out", ".*_cache")
TESTS_PER_MUTANT = 5
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class Result:
    """What the tests made of a mutant: `caught`, `survived` or `not covered`."""

    mutant: Mutant
    outcome: str
    tests: tuple[str, ...]


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
        if code not in (0, 1):
            raise SystemExit(f"the tests did not run to their end (pytest: {code})")
        if code == 1:
            print("some tests fail without any change: they are left out", file=sys.stderr)
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
        if not tests:
            return set()
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
