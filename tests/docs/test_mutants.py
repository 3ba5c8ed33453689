"""`scripts/mutants.py`: changes copies of a small project, and sees what its tests notice."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import mutations

ROOT = Path(mutations.__file__).parents[1]
CODE = """\
LIMIT = 3


def untested(number):
    return not number


def unchecked(number):
    return abs(number)
"""
TESTS = """\
import small


def test_limit():
    assert small.LIMIT == len("123")
    small.unchecked(0)
"""
CONFIG = """\
[tool.coverage.run]
source_pkgs = ["small"]
[tool.pytest.ini_options]
pythonpath = ["."]
"""
NOTHING_TO_CHANGE = """\
if TYPE_CHECKING:
    a = 1
@cache(1)
def f(x: Literal[1]) -> Literal[2]:
    f"{x + 1}"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "small").mkdir()
    (root / "small" / "__init__.py").write_text(CODE)
    (root / "test_small.py").write_text(TESTS)
    (root / "pyproject.toml").write_text(CONFIG)
    return root


@pytest.fixture(scope="module")
def results(project):
    written = project / "out" / "mutants.json"
    command = [sys.executable, "-m", "scripts.mutants", "--root", project, "--packages", "small"]
    command += ["--json", written, "--processes", "1", "--libraries"]
    # Other plugins take seconds to import, in each of the processes.
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_cov.plugin"}
    environment = {**os.environ, **plugins}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(written.read_text()), done.stdout


def outcomes(results, line):
    return {each["outcome"] for each in results if each["mutant"]["line"] == line}


def test_each_mutant_has_the_outcome_that_its_tests_deserve(results):
    found, _ = results
    assert outcomes(found, 1) == {"caught"}  # run by the import; the module's tests know it
    assert outcomes(found, 5) == {"not covered"}
    assert outcomes(found, 9) == {"survived"}


def test_the_table_counts_them_and_shows_the_survivors(results):
    found, printed = results
    survived = sum(each["outcome"] == "survived" for each in found)
    [total] = [line.split() for line in printed.splitlines() if line.startswith("all")]
    assert int(total[2]) == survived
    assert "small/__init__.py:9: abs(number)  ->  None" in printed


def test_the_checkout_is_as_it_was(results, project):
    assert (project / "small" / "__init__.py").read_text() == CODE


def test_draws_are_repeatable_and_python():
    drawn = mutations.draw(ROOT, ["pam_labeling/command_line"], 40, seed=1)
    assert drawn == mutations.draw(ROOT, ["pam_labeling/command_line"], 40, seed=1)
    assert drawn != mutations.draw(ROOT, ["pam_labeling/command_line"], 40, seed=2)
    for mutant in drawn:
        source = (ROOT / mutant.path).read_bytes()
        changed = mutations.mutated(source, mutant)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_annotations_and_blocks_for_type_checkers_are_left_alone(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(NOTHING_TO_CHANGE)
    assert list(mutations.mutants_of(path, tmp_path)) == []
