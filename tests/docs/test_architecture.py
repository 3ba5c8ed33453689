"""`docs/architecture.md` names files and functions that there are, and its drawing is true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:\w+/)+[\w.-]*)", PAGE)))
NAMES = sorted(set(re.findall(r"`((?:\w+/)+\w+\.py):([\w.]+)`", PAGE)))
WAYS = re.findall(r"^## (The path .+)\n\n((?:(?:\d\.|   ).+\n)+)", PAGE, flags=re.MULTILINE)


def defined(path):
    """The definitions of a module: functions, classes and names, and methods of classes."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [child for child in node.body if isinstance(child, ast.FunctionDef)]
            names |= {f"{node.name}.{child.name}" for child in members}
    return names


@pytest.mark.parametrize("path", PATHS)
def test_files_are_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_functions_and_classes_are_there(path, name):
    assert name in defined(ROOT / path)


def test_four_paths_name_what_they_pass_through():
    assert len(WAYS) == 4
    for title, steps in WAYS:
        assert 5 <= len(re.findall(r"^\d\.", steps, flags=re.MULTILINE)) <= 10, title
        assert len(re.findall(r"`[\w/]+\.py:[\w.]+`", steps)) >= 5, title


def test_the_drawing_is_that_of_the_code():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw_architecture.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
