from __future__ import annotations

import pytest
from typer.testing import CliRunner

from label_studio_backend.commands import app
from label_studio_backend.config.template import build_config
from pam_model import Task

DOG_AND_CAT = ("--label", "Dog", "--label", "Cat")


def run(*arguments):
    return CliRunner().invoke(app, ["label-config", *arguments])


def test_the_config_is_printed_and_nothing_else():
    done = run(*DOG_AND_CAT)
    assert done.exit_code == 0
    assert done.stdout == build_config(["Dog", "Cat"])


def test_every_option_reaches_the_config(tmp_path):
    done = run(
        *(
            "--label",
            "猫",
            "--language",
            "zh",
            "--geometry",
            "polygon",
            "--tasks",
            "label, detailed",
        ),
        *("--data-key", "photo", "--output", str(tmp_path / "config.xml")),
    )
    assert done.exit_code == 0
    assert done.stdout == ""
    assert (tmp_path / "config.xml").read_text(encoding="utf-8") == build_config(
        ["猫"],
        language="zh",
        geometry="polygon",
        texts=[Task.LABEL, Task.DETAILED],
        data_key="photo",
    )


def test_texts_can_be_left_out():
    assert "TextArea" not in run(*DOG_AND_CAT, "--tasks", "").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--label", "background"), "Alt+click"),
        ((*DOG_AND_CAT, "--geometry", "cube"), "brush, polygon, rectangle, ellipse"),
        ((*DOG_AND_CAT, "--language", "xx"), "en, zh"),
        ((*DOG_AND_CAT, "--tasks", "brief,poem"), "poem"),
    ],
)
def test_what_cannot_be_is_a_usage_error_with_a_sentence(arguments, said):
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_file_that_cannot_be_written_has_its_own_exit_code(tmp_path):
    done = run(*DOG_AND_CAT, "--output", str(tmp_path / "missing" / "config.xml"))
    assert done.exit_code == 4
    assert "cannot write" in done.stderr
