"""`/setup`: what it sends and answers, and the clicks that follow."""

from __future__ import annotations

import re

import pytest

from label_studio_backend.server.bodies import SetupBody, predict_body
from tests.label_studio_backend.answers import (
    set_up,
)


def test_options_of_setup_are_used_by_the_clicks_of_that_project_only(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    set_up(client, sent, '{"language": "zh"}')
    caption = client.post("/predict", json=sent).json["results"][0]["result"][1]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])
    caption = client.post("/predict", json={**sent, "project": "9.9"}).json["results"][0]["result"][
        1
    ]
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])


def test_options_are_known_after_a_restart_without_a_setup(open_backend, client_of, traffic):
    sent = traffic("predict_interactive_kp_positive")
    set_up(client_of(open_backend()), sent, {"language": "zh"})
    again = client_of(open_backend())
    caption = again.post("/predict", json=sent).json["results"][0]["result"][1]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('value="object"', f'value="{"one " * 150}"'), 'The label "one one .* has more tokens'),
        (("<View>", '<View xmlns="http://www.w3.org/1999/xhtml">'), "has the namespace .* .xmlns"),
        (('value="$image"', 'value="$"'), "must name a key of task data"),
    ],
)
def test_setup_says_what_every_click_would_fail_of(client, traffic, change, said):
    sent = traffic("predict_interactive_kp_positive")
    sent["label_config"] = sent["label_config"].replace(*change)
    body = {"project": sent["project"], "schema": sent["label_config"]}
    answer = client.post("/setup", json=body)
    assert answer.status_code == 400
    assert re.search(said, answer.json["error"])


def test_setup_names_what_is_wrong_and_clicks_repeat_it(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    body = {"project": sent["project"], "schema": sent["label_config"]}
    for extra, named in (
        ({"langage": "zh"}, "langage"),
        ("[1]", "object"),
        ({"tasks": 3}, "tasks"),
    ):
        answer = client.post("/setup", json={**body, "extra_params": extra})
        assert answer.status_code == 400
        assert named in answer.json["error"]
        assert named in client.post("/predict", json=sent).json["error"]
    set_up(client, sent, {})
    assert client.post("/predict", json=sent).status_code == 200


def test_setup_refuses_a_config_that_cannot_work_and_logs_hints_once(client, traffic, caplog):
    sent = traffic("setup_image_polygon")
    body = {"project": "7.7", "schema": "<View><Text name='t' value='$t'/></View>"}
    answer = client.post("/setup", json=body)
    assert answer.status_code == 400
    assert "Image" in answer.json["error"]
    silent = sent["schema"].replace('smart="true"', 'smart="false"')
    for _ in range(3):
        answer = client.post("/setup", json={**body, "schema": silent})
        assert answer.status_code == 200
        assert any('smart="false"' in hint for hint in answer.json["hints"])
    assert caplog.text.count('RectangleLabels "rect" has smart="false"') == 1


def test_setup_brings_the_token_that_images_are_fetched_with(
    open_backend, client_of, label_studio, traffic
):
    client = client_of(open_backend(api_key=None))
    sent = traffic("predict_interactive_kp_positive")
    assert client.post("/predict", json=sent).status_code == 502
    body = {"project": sent["project"], "schema": sent["label_config"]}
    body |= {"hostname": label_studio.url, "access_token": "a-legacy-token"}
    assert client.post("/setup", json=body).status_code == 200
    assert client.post("/predict", json=sent).status_code == 200


def test_setup_and_an_empty_batch_need_no_http(backend, traffic):
    sent = traffic("setup_image_polygon")
    assert backend.setup(SetupBody(project="2.2", schema=sent["schema"]))["hints"] == ()
    assert backend.predict(predict_body([], sent["schema"]))["results"] == []
