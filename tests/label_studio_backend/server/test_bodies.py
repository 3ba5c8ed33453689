"""Bodies of requests: those of Label Studio, and hostile ones."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from label_studio_backend.errors import RequestError
from label_studio_backend.server import bodies as module
from label_studio_backend.server.bodies import (
    predict_body,
    read_event,
    read_predict,
    read_setup,
    read_task,
)
from tests.label_studio_backend.test_json_pieces import plain


def raw(body):
    return json.dumps(body).encode()


def tasks_of(body):
    """The tasks as `Backend` reads them."""
    return [plain(read_task(task)) for task in body.tasks]


def read(content):
    """A body and all its tasks."""
    body = read_predict(content)
    return body, tasks_of(body)


def test_the_prompts_of_a_click_are_read(traffic):
    body = read_predict(raw(traffic("predict_interactive_kp_two_pos_one_neg_alt")))
    assert [prompt["type"] for prompt in body.prompts] == ["keypointlabels"] * 3
    assert body.prompts[2]["is_positive"] is False


def test_a_batch_keeps_the_tasks_whole(traffic):
    sent = traffic("predict_batch_image_brush_2tasks")
    body = read_predict(raw(sent))
    assert tasks_of(body) == sent["tasks"]
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
        (b'{"tasks": []}', "missing required field `label_config`"),
        (b'{"tasks": [], "label_config": "", "params": 3}', r"at `\$.params`"),
        (
            b'{"tasks": [], "label_config": "", "params": {"context": {"result": 3}}}',
            r"Expected `array`, got `int`",
        ),
    ],
)
def test_another_body_is_refused_with_a_sentence(body, message):
    with pytest.raises(RequestError, match=message):
        read(body)


def test_a_task_without_data_spoils_no_other():
    tasks = [{"id": 1}, {"id": 2, "data": None}, {"id": 3, "data": []}, {"id": 4, "data": {}}]
    assert read(raw({"tasks": tasks, "label_config": ""}))[1] == tasks
    click = {"tasks": tasks, "label_config": "", "params": {"context": {"result": [1]}}}
    found = [task.get("data") for task in read(raw(click))[1]]
    assert [data or None for data in found] == [None] * 4


def test_an_event_is_read_by_its_action(traffic):
    assert read_event(raw(traffic("webhook_START_TRAINING"))) == "START_TRAINING"
    assert read_event(b"{}") == ""


def test_data_that_the_official_sdk_read_is_checked_the_same_way(traffic):
    sent = traffic("predict_interactive_kp_positive")
    context = sent["params"]["context"]
    body = predict_body(sent["tasks"], sent["label_config"], sent["project"], context)
    assert body.prompts == context["result"]
    assert predict_body([], "<View/>").prompts is None
    with pytest.raises(RequestError, match="no JSON object"):
        tasks_of(predict_body([3], "<View/>"))


def test_earlier_run_lengths_cost_a_click_next_to_nothing(traffic):
    sent = traffic("predict_interactive_kp_positive")
    mask = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 100_000}}
    sent["tasks"][0]["annotations"] = [{"result": [mask] * 20}]
    body = raw(sent)
    assert len(body) > 15e6

    def seconds(reads):
        start = time.thread_time()
        reads(body)
        return time.thread_time() - start

    def click(content):
        [task] = read_predict(content).tasks
        return read_task(task)["id"], read_task(task)["data"]

    ours = min(seconds(click) for _ in range(3))
    assert ours < seconds(json.loads) / 4


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1,2",
        '{"a":1,"b":"',
        "[1,2]]",
        "[1,2]}",
        "[1,,2]",
        "{1,2,3,4,5}",
        "[1,2],[3,4]",
        "x" * 50,
        '{"a":[1,2,3,4,5,6,7],"b":1,"a":[3,4,5,6',
    ],
)
@pytest.mark.parametrize("around", ["{}", '{{"tasks":[{{"data":{}}}],"label_config":""}}'])
def test_a_body_that_is_not_json_is_refused_wherever_it_breaks(text, around):
    with pytest.raises(RequestError, match=r"^the (body|task cannot be read: it) is n"):
        read(around.format(text).encode())


@pytest.mark.parametrize(
    "body",
    [
        3,
        {"tasks": 3, "label_config": ""},
        {"tasks": [], "label_config": 3},
        {"tasks": [], "label_config": "", "params": {"context": 3}},
        {"tasks": [], "label_config": "", "params": [1]},
        {"tasks": [], "label_config": "", "project": [[1]]},
        {"tasks": [], "label_config": "", "project": True},
    ],
)
def test_another_form_is_refused(body):
    with pytest.raises(RequestError, match="not what Label Studio posts"):
        read(raw(body))


def test_too_many_tasks_are_refused_before_a_list_of_them_is_made():
    body = b'{"tasks":[' + b"{}," * module.MOST_TASKS + b'{}],"label_config":""}'
    with pytest.raises(RequestError, match=r"more than 10,000 items .*10,000 tasks; choose fewer"):
        read_predict(body)
    assert len(read_predict(body.replace(b"{},", b"", 1)).tasks) == module.MOST_TASKS
    body = b'{"tasks":[' + b"{}," * 20_000_000 + b'{}],"label_config":""}'
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(RequestError, match="choose fewer"):
        read_predict(body)
    assert time.perf_counter() - start < 1  # it takes a millisecond
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_what_is_too_much_is_called_what_it_is():
    many = {str(number): "x" * 4 for number in range(10_001)}
    for body in (many, {"action": many}):
        with pytest.raises(
            RequestError, match="has more than 10,000 items in a list or obj"
        ) as told:
            read_event(raw(body))
        assert "tasks" not in str(told.value)


@pytest.mark.parametrize("name", ["project", "hostname", "access_token"])
def test_texts_that_are_kept_for_a_project_are_short(name):
    sent = {"project": "1.1", "schema": "<View/>", name: "x" * 8192}
    assert getattr(read_setup(raw(sent)), name) == "x" * 8192
    with pytest.raises(RequestError, match=rf"length <= 8192 - at `\$.{name}`"):
        read_setup(raw({**sent, name: "x" * 8193}))
    if name == "project":
        with pytest.raises(RequestError, match="length <= 8192"):
            read_predict(raw({"tasks": [], "label_config": "", "project": "x" * 8193}))


def test_the_annotations_of_a_click_may_be_long_and_are_not_decoded():
    task = b'{"id":1,"data":{"image":"x"},"annotations":[' + b"x" * (3 << 20) + b"]}"
    [click] = read_predict(b'{"tasks":[' + task + b'],"label_config":""}').tasks
    found = read_task(click)
    assert (found["id"], found["data"]) == (1, {"image": "x"})
    with pytest.raises(RequestError, match="not JSON"):
        list(found["annotations"])


@pytest.mark.parametrize("bad", ["3", "null", '"{}"', "[]", "{1}", '{"a":NaN}', "{,}", "x"])
def test_a_task_that_is_no_object_spoils_no_other(bad):
    body = f'{{"tasks":[{{"id":1}},{bad}, {{"id":2}}],"label_config":""}}'
    tasks = read_predict(body.encode()).tasks
    assert [read_task(tasks[0]), read_task(tasks[2])] == [{"id": 1}, {"id": 2}]
    with pytest.raises(RequestError, match=r"^the task cannot be read: it is no"):
        read_task(tasks[1])


@pytest.mark.parametrize(
    "value",
    [
        "x" * 30_000_000,  # an image as a data URI
        [2**64 - 1] * 100_000,
        {"": ["\u0000", "😀", 1e-300]},
    ],
)
def test_what_task_data_may_hold_is_read_whole_and_soon(value):
    sent = {"tasks": [{"data": value}], "label_config": ""}
    body = raw(sent)
    start = time.perf_counter()
    assert read(body)[1] == sent["tasks"]
    assert time.perf_counter() - start < 5  # it takes a tenth of a second


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 2_000 + b"]" * 2_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[1," * 200_000 + b"1" + b"]" * 200_000, "nested too deeply"),
        (b'"\xed\xa0\x80"', "not JSON"),
        (rb'"\ud800"', "not JSON"),
    ],
)
@pytest.mark.parametrize("params", [b"null", b'{"context":{"result":[]}}'])
def test_hostile_bodies_are_refused_with_a_sentence(data, said, params):
    start = time.thread_time()
    with pytest.raises(RequestError, match=said):
        read(b'{"tasks":[{"data":' + data + b'}],"label_config":"","params":' + params + b"}")
    assert time.thread_time() - start < 1
