"""The paths that Label Studio calls, over the WSGI application and over real HTTP."""

from __future__ import annotations

import base64
import json
import resource
import socket
import statistics
import threading
import time
from contextlib import ExitStack, suppress

import pytest
import requests

from label_studio_backend.server.app import create_app, create_server, reason_phrase
from pam_labeling.errors import UnavailableError
from tests.label_studio_backend.answers import until
from tests.label_studio_backend.conftest import FIXTURES

WEBHOOKS = sorted(path.stem for path in FIXTURES.glob("webhook_*.json"))
PREDICT = {"tasks": [], "label_config": "<View/>"}


def basic(user, password):
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_health_says_that_it_is_up_and_that_the_model_is_ready(client):
    answer = client.get("/health")
    assert answer.status == "200 OK"
    assert answer.json["status"] == "UP"
    assert (answer.json["state"], answer.json["model"]) == ("ready", "nano")
    assert client.get("/ready").status_code == 200


def test_versions_name_the_version_that_predictions_carry(client, backend, traffic):
    assert client.get("/versions").json["versions"] == [backend.model_version]
    answer = client.post("/setup", json=traffic("setup_basic_auth"))
    assert answer.json["model_version"] == backend.model_version


@pytest.mark.parametrize("name", WEBHOOKS)
def test_every_event_of_label_studio_is_taken(client, backend, traffic, name, caplog):
    body = traffic(name)
    answer = client.post("/webhook", json=body)
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
    counted = backend.metrics.registry.get_sample_value(
        "pam_webhook_events_total", {"action": body["action"]}
    )
    assert counted == 1


def test_an_unknown_event_is_ignored_and_its_name_makes_no_metric(client, backend):
    assert client.post("/webhook", json={"action": "X" * 1000}).status_code == 200
    assert client.post("/webhook", json={}).status_code == 200
    value = backend.metrics.registry.get_sample_value(
        "pam_webhook_events_total", {"action": "other"}
    )
    assert value == 2


def test_nothing_secret_of_an_event_is_logged(client, traffic, caplog):
    body = traffic("webhook_START_TRAINING")
    body["project"]["task_data_password"] = "h1dden"
    caplog.set_level("DEBUG")
    client.post("/webhook", json=body)
    assert "h1dden" not in caplog.text


def test_metrics_tell_requests_stages_queue_and_caches(client):
    client.get("/health")
    answer = client.get("/metrics")
    assert answer.content_type.startswith("text/plain")
    assert 'pam_requests_total{path="/health",status="200"} 1.0' in answer.text
    for name in ("pam_queue_length", "pam_feature_cache_hits", "pam_busy_total"):
        assert f"\n{name} " in answer.text
    assert "\npam_model_ready 1.0" in answer.text


def test_unknown_paths_and_methods_are_answered_in_json(client):
    missing = client.get("/nowhere")
    assert (missing.status_code, missing.json["error"]) == (404, "there is nothing at /nowhere")
    wrong = client.get("/predict")
    assert wrong.status_code == 405
    assert "not allowed" in wrong.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/predict", {"POST", "OPTIONS"}), ("POST", "/health", {"GET", "HEAD", "OPTIONS"})],
)
def test_a_wrong_method_is_told_which_are_allowed(client, method, path, allowed):
    answer = client.open(path, method=method)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b"\xff\xfe"])
def test_a_wrong_body_gets_a_sentence(client, path, body):
    answer = client.post(path, data=body)
    assert answer.status_code == 400
    assert answer.json["error"].startswith("the body is not")
    # Label Studio shows an admin the status line only.
    assert answer.status == f"400 {reason_phrase(answer.json['error'])}"


def test_a_body_over_the_limit_is_refused(open_backend, client_of):
    client = client_of(open_backend(max_body_bytes=1000))
    answer = client.post("/predict", data=b"x" * 1001)
    assert answer.status_code == 413
    assert answer.json["error"]


def test_basic_auth_guards_everything_but_webhook_and_ready(open_backend, client_of, traffic):
    client = client_of(open_backend(basic_auth_user="me", basic_auth_pass="pässword"))
    setup = traffic("setup_basic_auth")
    for path in ("/health", "/versions", "/metrics"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=basic("me", "pässword")).status_code == 200
    assert client.post("/setup", json=setup).status_code == 401
    assert client.post("/setup", json=setup, headers=basic("me", "pässword")).status_code == 200
    assert client.post("/predict", json=PREDICT).status_code == 401
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200
    assert client.get("/ready").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        basic("me", "wrong"),
        basic("you", "password"),
        basic("", ""),
        {"Authorization": "Bearer password"},
        {"Authorization": "Basic !!!"},
    ],
)
def test_wrong_credentials_are_refused(open_backend, client_of, headers):
    client = client_of(open_backend(basic_auth_user="me", basic_auth_pass="password"))
    answer = client.get("/health", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_an_unexpected_error_says_its_kind_and_is_logged_without_the_body(
    client, backend, monkeypatch, caplog
):
    def fail(body):
        raise ZeroDivisionError("s3cret")

    monkeypatch.setattr(backend, "predict", fail)
    answer = client.post("/predict", json={**PREDICT, "project": "b0dy"})
    assert answer.status == "500 ZeroDivisionError: see the backend's log"
    assert "s3cret" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    assert "b0dy" not in caplog.text


def test_reason_phrases_are_one_line_of_ascii():
    assert reason_phrase("käse\n und\tbrot ") == "k?se und brot"
    assert len(reason_phrase("x" * 5000)) == 400


def test_the_sentence_arrives_over_the_wire_as_label_studio_reads_it(backend, serve, traffic):
    url = serve(backend)
    body = {**traffic("setup_basic_auth"), "extra_params": {"lnguage": "zh"}}
    answer = requests.post(f"{url}/setup", json=body, timeout=30)
    with pytest.raises(requests.HTTPError, match='There is no extra parameter "lnguage"'):
        answer.raise_for_status()


def milliseconds(url, path, body=None):
    start = time.perf_counter()
    answer = requests.request("POST" if body else "GET", url + path, json=body, timeout=30)
    elapsed = time.perf_counter() - start
    assert answer.status_code == 200
    return 1000 * elapsed


def is_quick(times):
    """Whether 9 of 10 answers came within 300 ms."""
    return statistics.quantiles(times, n=10, method="inclusive")[-1] < 300


def test_health_and_setup_answer_within_300_ms_while_the_model_loads(open_backend, serve, traffic):
    go = threading.Event()
    backend = open_backend(open_annotator=lambda: go.wait(60) and Stuck(), loading_seconds=0.01)
    url = serve(backend)
    try:
        setup = traffic("setup_basic_auth")
        assert requests.get(f"{url}/health", timeout=30).json()["state"] == "loading"
        assert requests.get(f"{url}/ready", timeout=30).status_code == 503
        assert is_quick(milliseconds(url, "/health") for _ in range(15))
        assert is_quick(milliseconds(url, "/setup", setup) for _ in range(15))
        sent = traffic("predict_interactive_kp_positive")
        answer = requests.post(f"{url}/predict", json=sent, timeout=30)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "still loading" in answer.reason
    finally:
        go.set()


def test_a_model_that_cannot_be_loaded_is_told_where_an_admin_sees_it(
    open_backend, client_of, traffic
):
    def fail():
        raise ValueError("PAM-7B is no checkpoint")

    backend = open_backend(open_annotator=fail)
    until(lambda: backend.health()["state"] == "failed")
    client = client_of(backend)
    health = client.get("/health")
    assert (health.status_code, health.json["status"]) == (200, "DOWN")
    assert "PAM-7B is no checkpoint" in health.json["error"]
    assert client.get("/ready").status_code == 503
    # Label Studio keeps the status line of /setup as the state of the connected model.
    setup = client.post("/setup", json=traffic("setup_basic_auth"))
    assert setup.status == "503 the model cannot be loaded: PAM-7B is no checkpoint"


class Stuck:
    """An annotator whose work ends when it is told to."""

    model_name = "stuck"

    def __init__(self):
        self.go = threading.Event()
        self.at_work = threading.Semaphore(0)

    def annotate(self, request, **_):
        self.at_work.release()
        self.go.wait(60)
        raise UnavailableError("told to end")

    def close(self):
        self.go.set()


def test_health_answers_and_surplus_clicks_are_busy_while_all_predictions_are_taken(
    open_backend, serve, traffic
):
    stuck = Stuck()
    backend = open_backend(open_annotator=lambda: stuck, predictions=2, busy_seconds=0.2)
    url = serve(backend)
    sent = traffic("predict_interactive_kp_positive")

    def click():
        requests.post(f"{url}/predict", json=sent, timeout=60)

    clicks = [threading.Thread(target=click) for _ in range(6)]
    for one in clicks:
        one.start()
        assert stuck.at_work.acquire(timeout=30)
    try:
        flood = [threading.Thread(target=click) for _ in range(20)]
        for one in flood:
            one.start()
        assert is_quick(milliseconds(url, "/health") for _ in range(15))
        for one in flood:
            one.join()
        answer = requests.post(f"{url}/predict", json=sent, timeout=30)
        assert answer.status_code == 503
        assert answer.reason.startswith("busy: 6 clicks are being worked on")
        assert int(answer.headers["Retry-After"]) > 0
        submitted = traffic("predict_interactive_empty_context_on_submit")
        after_submit = requests.post(f"{url}/predict", json=submitted, timeout=30)
        assert after_submit.json() == {"results": [{"result": []}]}
    finally:
        stuck.go.set()
        for one in clicks:
            one.join()
    assert backend.metrics.registry.get_sample_value("pam_busy_total") == 21


def test_health_answers_within_300_ms_while_the_model_works(backend, serve, traffic):
    url = serve(backend)
    sent = traffic("predict_interactive_kp_positive")
    stop = threading.Event()

    def click():
        while not stop.is_set():
            requests.post(f"{url}/predict", json=sent, timeout=60)

    clicks = threading.Thread(target=click)
    clicks.start()
    try:
        milliseconds(url, "/health")
        assert is_quick(milliseconds(url, "/health") for _ in range(30))
    finally:
        stop.set()
        clicks.join()


def test_a_body_of_many_megabytes_does_not_keep_health_waiting(backend, serve, traffic):
    url = serve(backend)
    sent = traffic("predict_interactive_empty_context_on_submit")
    mask = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 100_000}}
    sent["tasks"][0]["annotations"] = [{"result": [mask] * 10}]
    body = json.dumps(sent).encode()
    posts = threading.Thread(
        target=lambda: [requests.post(f"{url}/predict", data=body, timeout=60) for _ in range(5)]
    )
    posts.start()
    assert is_quick(milliseconds(url, "/health") for _ in range(20))
    posts.join()


def test_who_opens_connections_and_sends_nothing_keeps_nobody_out(backend, serve, monkeypatch):
    monkeypatch.setattr("label_studio_backend.server.app._CONNECTIONS", 20)
    url = serve(backend)
    host, port = url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            for _ in range(60)
        ]
        for one in silent[30:]:
            one.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 9\r\n")
        for _ in range(5):
            assert requests.get(f"{url}/health", timeout=5).status_code == 200
        assert silent[0].recv(1) == b""  # closed, because it is the oldest


def test_connections_leave_half_of_the_files_to_images(backend, monkeypatch):
    made = []
    monkeypatch.setattr("waitress.create_server", lambda *_, **given: made.append(given))
    for files in (64, resource.RLIM_INFINITY, 10**6):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
        create_server(create_app(backend, backend.settings), backend.settings)
    assert [given["connection_limit"] for given in made] == [32, 1500, 1500]


def test_a_body_without_the_password_is_not_read(open_backend, serve):
    url = serve(open_backend(basic_auth_user="me", basic_auth_pass="secret"))
    host, port = url.removeprefix("http://").split(":")
    for more in ("", "Expect: 100-continue\r\n", "Authorization: Basic bWU6d3Jvbmc=\r\n"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST /predict HTTP/1.1\r\nContent-Length: 100000000\r\n{more}\r\n"
            connection.sendall(head.encode())
            answer = b"".join(iter(lambda: connection.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"www-authenticate: basic" in answer.lower()
    body = {"tasks": [], "label_config": "<View/>"}
    answer = requests.post(f"{url}/predict", json=body, auth=("me", "secret"), timeout=10)
    assert "shows no image" in answer.json()["error"]
    assert requests.post(f"{url}/webhook", json={"action": "X"}, timeout=10).status_code == 200


def talk(url, *parts):
    """What the server answers to bytes on the wire, until it closes the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        with suppress(OSError):  # it may hang up before all is sent
            for part in parts:
                connection.sendall(part)
        answer = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(10_000):
                answer += part
    return answer.decode()


POST = b"POST /predict HTTP/1.1\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = b'{"tasks":[],"label_config":"<View/>"}'


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)], "400 The labelling config"),
        ([CHUNKED, *[b"3e8\r\n" + b"a" * 1000 + b"\r\n"] * 300], "413 "),
        ([CHUNKED, b"zz\r\nabc\r\n0\r\n\r\n"], "400 Bad Request"),
        ([CHUNKED, b"-5\r\nabc\r\n0\r\n\r\n"], "400 Bad Request"),
        ([POST + b"Transfer-Encoding: gzip\r\n\r\n"], "501 "),
        ([POST + b"Expect: 100-continue\r\nContent-Length: 37\r\n\r\n", BODY], "100 Continue"),
        ([POST + b"Content-Length: -1\r\n\r\n"], "400 Bad Request"),
        ([POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"], "400 Bad Request"),
        ([POST + b"Content-Length: 99999999999\r\n\r\n"], "413 "),
        ([POST + b"X: " + b"a" * 400_000 + b"\r\n\r\n"], "431 "),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], "400 Bad Request"),
    ],
)
def test_requests_of_any_form_are_answered(open_backend, serve, parts, said):
    url = serve(open_backend(max_body_bytes=100_000))
    answer = talk(url, *parts)
    assert answer.partition(" ")[2].startswith(said)
    assert requests.get(f"{url}/health", timeout=10).status_code == 200
