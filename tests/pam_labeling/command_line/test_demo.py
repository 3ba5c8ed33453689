from __future__ import annotations

import pytest
from PIL import Image
from typer.testing import CliRunner

from pam_labeling.command_line.cli import app


def test_the_demo_draws_files_and_annotates_them_with_the_commands_it_shows(opened, tmp_path):
    folder = tmp_path / "tour"
    result = CliRunner().invoke(app, ["demo", str(folder), "--model", "some/where"])
    assert result.exit_code == 0, result.output
    assert [settings.model for settings in opened] == ["some/where"] * 4
    assert result.stdout.count("$ pam-labeling annotate") == 4
    assert "--point next" in result.stdout
    assert "--language zh" in result.stdout
    overlays = sorted((folder / "overlays").iterdir())
    assert [file.name for file in overlays] == [f"scene-{n}.overlay.png" for n in range(1, 5)]
    assert str(folder / "overlays") in result.stdout.splitlines()[-1]
    with Image.open(folder / "scene-1.png") as scene:
        assert scene.mode == "RGB"


@pytest.mark.usefixtures("opened")
def test_a_folder_that_cannot_be_written_to_ends_with_4(tmp_path):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["demo", str(tmp_path / "file" / "tour")])
    assert result.exit_code == 4
    assert "cannot write the images" in result.stderr
