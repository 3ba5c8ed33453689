"""The plugin's README: its examples run as they stand, and it names what there is."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import fiftyone as fo
import fiftyone.plugins as fop
import fiftyone.zoo as foz
import pytest

from fiftyone_plugin.zoo import model as zoo
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.served import PLUGIN, repository

README = (PLUGIN / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The names that all examples define, run one after the other as a reader would."""
    folder = tmp_path_factory.mktemp("readme")
    installed = Path(fo.config.plugins_dir) / "readme"
    installed.parent.mkdir(parents=True, exist_ok=True)
    installed.symlink_to(PLUGIN, target_is_directory=True)
    with repository(folder) as source, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        namespace = {"source": source}
        try:
            for number, example in enumerate(EXAMPLES, start=1):
                exec(compile(example, f"README.md, example {number}", "exec"), namespace)
            yield namespace
        finally:
            installed.unlink()
            foz.delete_zoo_model_source(source)
            namespace["dataset"].delete()
            shutil.rmtree(folder / "pam-try")


def test_captions_are_on_the_regions_that_were_there(executed):
    dataset = executed["dataset"]
    found = dataset.values("ground_truth.detections.caption", unwind=True)
    assert len(found) == 25
    assert all(found)
    assert set(dataset.values("ground_truth.detections.label", unwind=True)) == {"thing"}


def test_what_the_examples_print_is_true(executed):
    assert 'print(run["counts"]["regions"])  # 25' in EXAMPLES[0]
    said = re.search(r"caption\)  # (.+)", EXAMPLES[0])
    assert executed["dataset"].first().ground_truth.detections[0].caption == said[1]


def test_a_view_limits_what_is_described(executed):
    dataset, run = executed["dataset"], executed["run"]
    assert 0 < run["counts"]["regions"] < 25
    assert executed["rest"]["counts"]["regions"] == 25 - run["counts"]["regions"]
    assert all(dataset.values("ground_truth.detections.story", unwind=True))


def test_the_class_list_is_that_of_nanos_world(executed):
    assert set(executed["shapes"]) == {shape.en for shape in SHAPES}


def test_masks_classes_and_new_regions_are_there(executed):
    dataset = executed["dataset"]
    assert all(label.mask is not None for label in dataset.first().ground_truth.detections)
    chosen = set(dataset.values("ground_truth.detections.pam_label", unwind=True))
    assert chosen <= set(executed["shapes"])
    assert dataset.load_saved_view("suspects").count("ground_truth.detections") == 25
    assert dataset.count("everything.detections") > 0


def test_the_run_in_chinese_is_undone(executed):
    dataset = executed["dataset"]
    assert dataset.get_field("ground_truth.detections.caption_zh") is None
    states = {run["key"]: run["state"] for run in executed["list_runs"](dataset)}
    assert states[executed["chinese"]["key"]] == "undone"
    row = executed["row"]
    assert row["first"]["caption_en"].isascii()
    assert row["second"]["caption_zh"]
    assert not row["second"]["caption_zh"].isascii()


def test_the_searches_find_what_they_say(executed):
    captions = executed["red"].values("ground_truth.detections.caption", unwind=True)
    assert captions
    assert all("red" in caption for caption in captions)
    assert 0 < len(executed["dotted"]) < len(executed["dataset"])
    assert executed["whole_word"].count("ground_truth.detections") > 0
    assert len(executed["rejected"]) == 0


def test_the_zoo_answers_each_prompt(executed):
    dataset = executed["dataset"]
    prompts = dataset.values("ground_truth.detections.id", unwind=True)
    assert dataset.values("pam.detections.prompt_id", unwind=True) == prompts
    assert dataset.get_field("pam.detections.caption") is not None


def test_every_operator_and_panel_is_in_the_table():
    section = README.partition("## Operators")[2].partition("\n## ")[0]
    for name in fop.get_plugin(plugin_dir=str(PLUGIN)).operators:
        assert f"`{name}`" in section


def test_every_model_and_option_of_the_zoo_is_named():
    names = [*zoo.CHECKPOINTS, *zoo.ATTRIBUTES.values(), *zoo.PamConfig.model_fields]
    assert [name for name in names if f"`{name}`" not in README and name != "checkpoint"] == []


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", README):
        assert (PLUGIN / target).exists()
