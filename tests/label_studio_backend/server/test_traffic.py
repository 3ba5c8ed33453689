"""Replay the recorded traffic of a real Label Studio 1.23.2 that no other test uses."""

from __future__ import annotations

import json

import pytest

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.translation.predictions import PredictionError
from tests.label_studio_backend.conftest import FIXTURES
from tests.label_studio_backend.prediction_check import check_prediction


def recorded(name):
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


POSTS = [
    (f"{step}-{number}", post["json"])
    for step, posts in recorded("frontend_posts_interactive_annotating").items()
    for number, post in enumerate(posts)
]
FAULTS = recorded("ls_answer_to_frontend_by_backend_fault")


def replay(client, name):
    sent = recorded(name)
    assert sent["json"] is None
    return client.open(sent["path"], method=sent["method"], headers=sent["headers"])


def test_health_as_label_studio_asks_for_it(client):
    answer = replay(client, "health_get")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert answer.json["status"] == "UP"


def test_versions_as_label_studio_asks_for_them(client, backend):
    answer = replay(client, "versions_get")
    assert answer.status_code == 200
    assert answer.json["versions"] == [backend.model_version]
    assert isinstance(backend.model_version, str)


@pytest.mark.parametrize(
    "name", ["setup_image_brush", "setup_image_polygon", "setup_basic_auth", "setup_video"]
)
def test_setups_as_they_were_posted(client, traffic, name):
    sent = traffic(name)
    # Some were recorded with parameters of another backend, which are refused by name.
    if sent["extra_params"]:
        answer = client.post("/setup", json=sent)
        assert answer.status_code == 400
        assert 'no extra parameter "' in answer.json["error"]
    answer = client.post("/setup", json={**sent, "extra_params": None})
    if name == "setup_video":
        assert answer.status_code == 400
        assert "video, which is not supported yet" in answer.json["error"]
    else:
        assert answer.status_code == 200, answer.json
        assert set(answer.json) == {"model_version", "hints"}


@pytest.mark.parametrize(("_step", "post"), POSTS, ids=[step for step, _ in POSTS])
def test_what_the_editor_posts_is_answered_as_it_reads_answers(client, traffic, _step, post):
    """Label Studio adds task and config, and passes on the first result as `data`."""
    is_video = post["task"] == 5
    sent = traffic(
        "predict_interactive_video_rectangle" if is_video else "predict_interactive_kp_positive"
    )
    sent["tasks"][0]["id"] = post["task"]
    sent["params"]["context"] = post["context"]
    prompts = post["context"]["result"]
    answer = client.post("/predict", json=sent)
    if prompts and (
        is_video or all(one["value"].get("labels") == ["background"] for one in prompts)
    ):
        assert answer.status_code == 400
        assert ("video" if is_video else "Alt+click") in answer.status
        return
    assert answer.status_code == 200, answer.json
    [prediction] = answer.json["results"]
    [empty] = [FAULTS["empty_result"]["json"]["data"]]
    assert set(prediction) >= set(empty)
    assert isinstance(prediction["result"], list)
    assert bool(prediction["result"]) == bool(prompts)


@pytest.mark.parametrize("fault", ["bad_region", "bad_rle", "unknown_label"])
def test_what_label_studio_passed_on_unchecked_is_never_sent(traffic, fault):
    config = LabelingConfig.parse(traffic("predict_interactive_kp_positive")["label_config"])
    passed_on = FAULTS[fault]["json"]["data"]
    with pytest.raises(PredictionError):
        check_prediction(passed_on, config, (640, 960))


@pytest.mark.parametrize(
    "fault", sorted(set(FAULTS) - {"bad_region", "bad_rle", "unknown_label", "empty_result"})
)
def test_no_answer_of_ours_is_one_that_label_studio_reported_as_a_fault(client, traffic, fault):
    """Whatever is wrong, the answer is an object with results, or a status and its sentence."""
    answer = FAULTS[fault]["json"]
    assert "errors" in answer or not isinstance(answer["data"], dict)
    for change in ({}, {"tasks": []}, {"project": None}, {"label_config": "<View/>"}, {"tasks": 3}):
        ours = client.post("/predict", json=traffic("predict_interactive_kp_positive") | change)
        assert ours.content_type == "application/json"
        assert isinstance(ours.json, dict)
        if ours.status_code == 200:
            assert all(isinstance(one["result"], list) for one in ours.json["results"])
        else:
            # Where Label Studio wrote "BAD REQUEST" there is our sentence.
            assert ours.status_code == 400
            assert ours.status == f"400 {ours.json['error']}"


def results_of_videos():
    saved = [prediction["result"] for prediction in recorded("saved_predictions_video")]
    [answered] = recorded("response_video_track_caption_choices")["results"]
    submitted = recorded("frontend_submit_video_annotation")["json"]
    return [*saved, answered["result"], submitted["result"]]


@pytest.mark.parametrize("result", results_of_videos())
def test_tracks_of_videos_are_never_sent_and_refused_with_a_sentence(client, traffic, result):
    types = {one["type"] for one in result}
    assert "videorectangle" in types
    config = LabelingConfig.parse(traffic("predict_interactive_kp_positive")["label_config"])
    with pytest.raises(PredictionError):
        check_prediction({"result": result}, config, (640, 960))
    sent = traffic("predict_batch_video_2tasks")
    sent["tasks"][0]["annotations"] = [{"result": result}]
    answer = client.post("/predict", json=sent)
    assert answer.status_code == 400
    assert "video, which is not supported yet" in answer.json["error"]


def test_tracks_on_a_task_with_an_image_are_passed_over(client, traffic):
    sent = traffic("predict_next_task")
    setup = {"project": sent["project"], "schema": sent["label_config"]}
    client.post("/setup", json={**setup, "extra_params": {"points_per_side": 6, "label_fit": 0}})
    plain = client.post("/predict", json=sent).json["results"]
    sent["tasks"][0]["annotations"] = [{"result": result} for result in results_of_videos()]
    [prediction] = client.post("/predict", json=sent).json["results"]
    assert len(prediction["result"]) == len(plain[0]["result"]) > 0


def test_every_recording_is_read_by_a_test():
    tests = "".join(path.read_text("utf-8") for path in FIXTURES.parents[1].rglob("*.py"))
    for path in FIXTURES.glob("*.json"):
        assert path.stem in tests or path.stem.startswith("webhook_"), path.stem
