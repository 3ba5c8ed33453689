"""The examples of the pages run unchanged, and their links work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pam_labeling.command_line.cli import app
from pam_labeling.command_line.demo import write_scenes
from pam_labeling.command_line.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "docker" / "README.md", ROOT / "examples" / "README.md"]
COMMAND_LINE = (DOCS / "command-line.md").read_text(encoding="utf-8")
COMMANDS = re.findall(
    r"^pam-labeling (annotate out/demo/scene\S+ .*?)\s*(?:#.*)?$", COMMAND_LINE, re.MULTILINE
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with the images that the pages speak of."""
    folder = tmp_path_factory.mktemp("pages")
    write_scenes(folder / "out" / "demo")
    return folder


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_example_from_python_prints_a_region(drawn, monkeypatch, capsys):
    monkeypatch.chdir(drawn)
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "docs/python.md", "exec"), {})
    assert "a medium yellow plain circle" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_with_boxes_and_points_find_what_they_say(drawn, monkeypatch, command):
    monkeypatch.chdir(drawn)
    code = app(shlex.split(command), standalone_mode=False)
    assert ExitCode(code or 0) is ExitCode.OK


def test_the_exit_codes_are_those_of_the_program():
    section = COMMAND_LINE.partition("## Exit codes")[2]
    assert re.findall(r"^\| (\d+) \|", section, re.MULTILINE) == [
        str(code.value) for code in ExitCode
    ]


def test_there_are_commands_to_run():
    assert len(COMMANDS) == 3
