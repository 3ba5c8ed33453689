"""What Label Studio posts, and what anybody may post instead."""

from __future__ import annotations

import json
import time

import pytest

from label_studio_backend.errors import RequestError
from label_studio_backend.server.bodies import predict_body, read_event, read_predict, read_setup


def raw(body):
    return json.dumps(body).encode()


def test_a_click_leaves_annotations_drafts_and_predictions_unread(traffic):
    body = read_predict(raw(traffic("predict_interactive_kp_two_pos_one_neg_alt")))
    assert [set(task) for task in body.tasks] == [{"id", "data"}]
    assert [prompt["type"] for prompt in body.prompts] == ["keypointlabels"] * 3
    assert body.prompts[2]["is_positive"] is False


def test_a_batch_keeps_the_tasks_whole(traffic):
    sent = traffic("predict_batch_image_brush_2tasks")
    body = read_predict(raw(sent))
    assert body.tasks == sent["tasks"]
    assert body.prompts is None
    assert body.project == sent["project"]


def test_after_submit_there_are_no_prompts(traffic):
    assert read_predict(raw(traffic("predict_interactive_empty_context_on_submit"))).prompts == []


def test_setup_takes_an_object_a_text_or_nothing_as_extra_parameters(traffic):
    sent = traffic("setup_image_brush")
    for extra in ({"preset": "large"}, '{"preset": "large"}', None):
        assert read_setup(raw({**sent, "extra_params": extra})).extra_params == extra


def test_the_token_is_not_shown(traffic):
    sent = {**traffic("setup_image_brush"), "access_token": "t0ken"}
    assert "t0ken" not in repr(read_setup(raw(sent)))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `tasks`"),
        (b'{"tasks": {}, "label_config": ""}', r"Expected `array`, got `object` - at `\$.tasks`"),
        (b'{"tasks": [1], "label_config": ""}', r"at `\$.tasks\[0\]`"),
        (b'{"tasks": []}', "missing required field `label_config`"),
        (b'{"tasks": [], "label_config": "", "params": 3}', r"at `\$.params`"),
        (
            b'{"tasks": [], "label_config": "", "params": {"context": {"result": 3}}}',
            r"Expected `array`, got `int`",
        ),
        (
            b'{"label_config": "", "tasks": [{"data": {"x": '
            + b"[" * 10**5
            + b"]" * 10**5
            + b"}}]}",
            "nested too deeply",
        ),
    ],
)
def test_another_body_is_refused_with_a_sentence(body, message):
    with pytest.raises(RequestError, match=message) as caught:
        read_predict(body)
    assert caught.value.status == 400


def test_a_task_without_data_spoils_no_other():
    tasks = [{"id": 1}, {"id": 2, "data": None}, {"id": 3, "data": []}, {"id": 4, "data": {}}]
    assert read_predict(raw({"tasks": tasks, "label_config": ""})).tasks == tasks
    click = {"tasks": tasks, "label_config": "", "params": {"context": {"result": [1]}}}
    found = [task["data"] for task in read_predict(raw(click)).tasks]
    assert found == [None, None, [], {}]


def test_an_event_is_read_by_its_action(traffic):
    assert read_event(raw(traffic("webhook_START_TRAINING"))) == "START_TRAINING"
    assert read_event(b"{}") == ""


def test_data_that_the_official_sdk_read_is_checked_the_same_way(traffic):
    sent = traffic("predict_interactive_kp_positive")
    context = sent["params"]["context"]
    body = predict_body(sent["tasks"], sent["label_config"], sent["project"], context)
    assert body.prompts == context["result"]
    assert predict_body([], "<View/>").prompts is None
    with pytest.raises(RequestError, match=r"Expected `object`, got `int` - at `\$.tasks\[0\]`"):
        predict_body([3], "<View/>")


def test_earlier_run_lengths_cost_a_click_next_to_nothing(traffic):
    sent = traffic("predict_interactive_kp_positive")
    mask = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 100_000}}
    sent["tasks"][0]["annotations"] = [{"result": [mask] * 20}]
    body = raw(sent)
    assert len(body) > 15e6

    def seconds(read):
        start = time.perf_counter()
        read(body)
        return time.perf_counter() - start

    ours = min(seconds(read_predict) for _ in range(3))
    assert ours < seconds(json.loads) / 4
