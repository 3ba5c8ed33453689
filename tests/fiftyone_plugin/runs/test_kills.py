"""Runs and undos whose process is killed: what they leave is whole, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fiftyone as fo

from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.records import list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import (
    CAPTION,
    add_samples,
    detections,
    full_detections,
    state,
)
from tests.fiftyone_plugin.conftest import documents

FIELD = "ground_truth"
LABELS = "ground_truth.detections"
ROOT = Path(__file__).parents[3]


def child(code, *arguments, **variables):
    """The code in a process of its own, with these variables of its environment."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "model")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT)


def write_captions(dataset, key, pause):
    """Write the captions that are missing, and print each sample."""
    with RunWriter(
        dataset,
        "boxes",
        operator="caption_regions",
        attributes=[Attribute("caption")],
        key=key,
        flush_regions=2,
    ) as writer:
        for sample in dataset.iter_samples():
            done = sample.to_dict()["boxes"]["detections"][0].get("caption") == "new"
            if not done:
                labels = sample.boxes.detections
                writer.write(sample.id, {label.id: {"caption": "new"} for label in labels})
            print(sample.id, flush=True)
            time.sleep(pause)


RUN = """
import sys
import fiftyone as fo
from tests.fiftyone_plugin.runs.test_kills import write_captions

write_captions(fo.load_dataset(sys.argv[1]), "captions", 0.05)
"""


def test_a_killed_run_is_consistent_goes_on_and_can_be_undone(new_dataset):
    dataset = add_samples(new_dataset(), 40, full_detections)
    dataset.persistent = True  # or the next process that connects deletes it
    dataset.add_sample_field("boxes.detections.caption", fo.StringField)
    with_old = dataset.first()
    with_old.boxes.detections[0]["caption"] = "old"
    with_old.save()
    before = documents(dataset)

    with child(RUN, dataset.name) as running:
        for _ in range(8):
            running.stdout.readline()
        os.kill(running.pid, signal.SIGKILL)

    written = dataset.count_values("boxes.detections.caption").get("new", 0)
    assert 0 < written < 80
    for sample in documents(dataset):  # all of a sample or nothing
        captions = {label.get("caption") for label in sample["boxes"]["detections"]}
        assert captions in ({"new"}, {None}, {"old", None})
    assert read_run(dataset, "captions").state == "interrupted"

    write_captions(dataset, "rest", 0)
    assert dataset.count_values("boxes.detections.caption") == {"new": 80}
    record = read_run(dataset, "rest")
    assert (record.state, record.counts.regions) == ("finished", 80 - written)

    undo_run(dataset, "rest")
    undo_run(dataset, "captions")
    assert documents(dataset) == before


UNDO = """
import os, signal, sys
import fiftyone as fo
from fiftyone_plugin.runs import undo

calls = 0
write = undo.write

def killed(*arguments):
    global calls
    calls += 1
    if calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*arguments)

undo._CHUNK = 5
undo.write = killed
undo.undo_run(fo.load_dataset(sys.argv[1]), sys.argv[2])
"""


def test_an_undo_that_was_killed_can_be_repeated(new_dataset):
    dataset = add_samples(new_dataset(), 20)
    dataset.persistent = True  # or the next process that connects deletes it
    before = state(dataset)
    with RunWriter(
        dataset, "boxes", operator="x", create=fo.Detections, attributes=[CAPTION], key="a"
    ) as writer:
        for sample in dataset:
            labels = {label.id: {"caption": "words"} for label in sample.boxes.detections}
            writer.write(sample.id, labels)
            writer.add_labels(sample.id, detections(1).detections)
    edited = dataset.first()
    edited.boxes.detections[0].caption = "mine"
    edited.save()
    with child(UNDO, dataset.name, "a") as undoing:
        undoing.communicate()
    assert undoing.returncode == -signal.SIGKILL
    assert dataset.count("boxes.detections") == 50
    assert read_run(dataset, "a").state == "undoing"
    undone = undo_run(dataset, "a").undone
    assert undone is not None
    assert (undone.restored, undone.removed, undone.kept) == (39, 20, 1)
    edited.reload()
    assert edited.boxes.detections[0].caption == "mine"
    edited.boxes.detections[0].clear_field("caption")
    edited.save()
    dataset._sample_collection.update_one(
        {"boxes.detections.caption": None}, {"$unset": {"boxes.detections.0.caption": ""}}
    )
    assert documents(dataset) == before[0]


# The operator, with the plugin as FiftyOne loads it from its folder
OPERATOR = """
import functools, sys
import fiftyone as fo
import fiftyone.operators as foo

caption = foo.get_operator("@pam-labeling/pam/caption_regions")
plans = sys.modules["fiftyone.plugins.orgs.pam_labeling.pam.operators.plans"]
plans.RunWriter = functools.partial(plans.RunWriter, flush_regions=1)
caption(fo.load_dataset(sys.argv[1]), field="ground_truth", progress=False)
"""


def test_a_run_whose_process_is_killed_is_resumed_and_undone(operator, scene_dataset, tmp_path):
    dataset = scene_dataset(*range(4))
    dataset.persistent = True
    (tmp_path / "pam").symlink_to(ROOT / "fiftyone_plugin")
    before = documents(dataset)
    with child(OPERATOR, dataset.name, FIFTYONE_PLUGINS_DIR=str(tmp_path)) as running:
        try:
            deadline = time.monotonic() + 180
            while not any(record.counts.regions for record in list_runs(dataset)):
                assert running.poll() is None, "the run ended before it wrote anything"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            running.kill()
            running.wait(30)
    (killed,) = list_runs(dataset)
    assert killed.state == "interrupted"
    dataset.reload()
    done = sum(
        text is not None for texts in dataset.values(f"{LABELS}.caption") for text in texts or ()
    )
    total = dataset.count(LABELS)
    assert 0 < done < total
    resumed = operator("caption_regions")(dataset, field=FIELD, only="missing")
    assert resumed["counts"]["regions"] == total - done
    assert all(all(texts) for texts in dataset.values(f"{LABELS}.caption"))
    operator("undo_run")(dataset, resumed["key"])
    operator("undo_run")(dataset, killed.key)
    assert documents(dataset) == before
