"""`examples/label_studio_project.py` against a real Label Studio."""

from __future__ import annotations

from examples import label_studio_project
from pam_model.nano.words import SHAPES
from tests.e2e.label_studio import servers


def test_the_example_makes_pre_annotates_and_exports_a_project(
    label_studio_url, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio_url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", servers.TOKEN)
    monkeypatch.setenv("PAM_MEDIA_CACHE_DIR", str(tmp_path / "media"))
    tasks = label_studio_project.run(tmp_path / "scenes")
    assert len(tasks) == 4
    shapes = {shape.en for shape in SHAPES}
    for task in tasks:
        [prediction] = task["predictions"]
        labels = {
            label
            for result in prediction["result"]
            for label in result["value"].get("brushlabels", [])
        }
        assert labels
        assert labels <= shapes
