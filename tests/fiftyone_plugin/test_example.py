"""`examples/fiftyone_run.py` runs as it stands."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo

from examples import fiftyone_run
from tests.fiftyone_plugin.served import PLUGIN


def test_the_example_captions_boxes_and_undoes_it(tmp_path, capsys):
    installed = Path(fo.config.plugins_dir) / "example"
    installed.parent.mkdir(parents=True, exist_ok=True)
    installed.symlink_to(PLUGIN, target_is_directory=True)
    try:
        captions = fiftyone_run.run(tmp_path)
    finally:
        installed.unlink()
    assert len(captions) == 25
    assert all(captions)
    assert "25 regions captioned" in capsys.readouterr().out
    assert not fo.dataset_exists("pam-example")
