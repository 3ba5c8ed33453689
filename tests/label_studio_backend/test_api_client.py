from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from email.utils import formatdate

import httpx
import jwt
import pytest

from label_studio_backend.api_client import (
    AccessError,
    Api,
    LostAnswerError,
    RefusedError,
    StoppedError,
    UnreachableError,
)
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio, Fault
from tests.label_studio_backend.web import TLS

PROJECT = "api/projects/1/"


@pytest.fixture
def fake():
    with FakeLabelStudio(tasks=1) as fake:
        yield fake


@pytest.fixture
def told():
    return []


@pytest.fixture
def open_api(fake, told):
    apis = []

    def open_api(url=None, key=TOKEN, **options):
        apis.append(Api(url or fake.url, key, tell=told.append, **options))
        return apis[-1]

    yield open_api
    for api in apis:
        api.close()


def test_reads_json(open_api):
    assert open_api().get(PROJECT)["title"] == "Scenes"


def test_keeps_the_path_of_an_address(open_api, fake):
    with pytest.raises(RefusedError, match="404"):
        open_api(f"{fake.url}/below/").get(PROJECT)
    assert fake.requests[-1][1] == "/below/api/projects/1/"


@pytest.fixture
def hurry(monkeypatch):
    """Waiting takes a fiftieth of its time."""
    wait = Api.wait
    monkeypatch.setattr(Api, "wait", lambda api, seconds: wait(api, seconds / 50))


def test_waits_for_a_server_that_comes_back(open_api, fake, told, hurry):
    fake.faults += [Fault("GET", "/api/projects", 502), Fault("GET", "/api/projects", None)]
    assert open_api().get(PROJECT)["id"] == 1
    assert told[0] == "Label Studio cannot answer now (502); trying again in 1 s"
    assert "gave no answer" in told[1]


@pytest.fixture
def starting(fake, told, monkeypatch, hurry):
    """The server is not running yet; it is started when somebody first waits for it."""
    wait = Api.wait

    def start(api, seconds):
        if len(told) == 1:
            fake.start(fake.port)
        wait(api, seconds)

    fake.stop()
    monkeypatch.setattr(Api, "wait", start)


@pytest.mark.usefixtures("starting")
def test_waits_for_a_server_that_is_started(open_api, told):
    assert open_api().get(PROJECT)["id"] == 1
    assert "is not reachable" in told[0]


@pytest.fixture
def secure():
    """A Label Studio behind TLS, and its address with a name that its certificate has."""
    with FakeLabelStudio(tasks=1) as fake:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
        fake._server.socket = context.wrap_socket(fake._server.socket, server_side=True)
        yield fake, f"https://pictures.test:{fake.port}"


@pytest.fixture
def at_home(monkeypatch):
    """Every name means this machine."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda _, port, *more, **named: resolve("127.0.0.1", port)
    )


@pytest.mark.usefixtures("at_home")
def test_the_environments_certificates_are_trusted(open_api, secure, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "certificate.pem"))
    assert open_api(secure[1]).get(PROJECT)["id"] == 1


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("key", [TOKEN, "personal"])
def test_a_refused_certificate_is_named_at_once(open_api, secure, told, key):
    fake, url = secure
    api = open_api(url, personal_token() if key == "personal" else key)
    began = time.monotonic()
    with pytest.raises(AccessError, match=r"certificate was refused \(.*set REQUESTS_CA_BUNDLE"):
        api.once("api/predictions/", {"task": 1, "model_version": "v"})
    assert time.monotonic() - began < 5
    assert (told, fake.requests) == ([], [])


def test_a_server_without_tls_is_named_at_once(open_api, fake, told):
    with pytest.raises(AccessError, match="does not speak TLS .* begin with http://"):
        open_api(fake.url.replace("http:", "https:")).get(PROJECT)
    assert told == []


def test_a_tls_connection_that_breaks_off_is_tried_again(open_api, monkeypatch, told, hurry):
    def break_off(*_, **__):
        raise httpx.ConnectError("broke off") from ssl.SSLEOFError()

    api = open_api(patience=2)
    with monkeypatch.context() as broken:
        broken.setattr(api, "_send", break_off)
        with pytest.raises(UnreachableError):
            api.get(PROJECT)
    assert "is not reachable" in told[0]


@pytest.mark.parametrize("name", ["missing.pem", "key.pem"])
def test_a_bundle_without_certificates_is_named(monkeypatch, name):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / name))
    with pytest.raises(AccessError, match=f"REQUESTS_CA_BUNDLE names .*{name}"):
        Api("https://localhost:1", TOKEN)


def test_gives_up_when_patience_is_over(open_api, fake):
    fake.faults += [Fault("GET", "/api", 503)] * 5
    with pytest.raises(UnreachableError, match=r"at http://127.0.0.1:\d+ cannot answer now"):
        open_api(patience=0.5).get(PROJECT)


@pytest.mark.parametrize(
    "retry_after", [lambda: "10", lambda: formatdate(time.time() + 10, usegmt=True)]
)
def test_waits_as_long_as_it_is_asked_to(open_api, fake, told, monkeypatch, retry_after):
    waited = []
    monkeypatch.setattr(Api, "wait", lambda api, seconds: waited.append(seconds))
    fake.faults.append(Fault("GET", "/api", 429, headers={"Retry-After": retry_after()}))
    assert open_api().get(PROJECT)["id"] == 1
    assert len(waited) == 1
    assert 8 < waited[0] <= 10
    (sentence,) = told
    assert sentence.startswith("Label Studio asks for fewer requests (429); trying again in ")


def test_does_not_wait_longer_than_its_patience(open_api, fake):
    fake.faults.append(Fault("GET", "/api", 429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="fewer requests"):
        open_api(patience=10).get(PROJECT)
    assert time.monotonic() - began < 2


def test_an_unreadable_retry_after_counts_as_none(open_api, fake, told, hurry):
    fake.faults.append(Fault("GET", "/api", 503, headers={"Retry-After": "soon"}))
    assert open_api().get(PROJECT)["id"] == 1
    assert "in 1 s" in told[0]


def test_a_request_that_always_breaks_the_server_is_given_up(open_api, fake, hurry):
    fake.faults += [Fault("GET", "/api", 500, body=b"<html>")] * 4
    with pytest.raises(RefusedError, match="500: Internal Server Error"):
        open_api().get(PROJECT)


def test_stops_while_it_waits(open_api, fake):
    stop = threading.Event()
    stop.set()
    fake.faults.append(Fault("GET", "/api", 503))
    with pytest.raises(StoppedError):
        open_api(stop=stop).get(PROJECT)


@pytest.mark.parametrize(
    ("status", "saves"), [(502, True), (504, False), (500, True), (None, True)]
)
def test_a_write_without_answer_is_not_repeated(open_api, fake, status, saves):
    fake.faults.append(Fault("POST", "/api/predictions", status, saves=saves))
    with pytest.raises(LostAnswerError):
        open_api().once("api/predictions/", {"task": 1, "model_version": "v"})
    assert fake.asked("POST", "/api/predictions") == 1


def test_a_write_that_was_not_taken_is_repeated(open_api, fake):
    fake.faults.append(Fault("POST", "/api/predictions", 429, headers={"Retry-After": "0"}))
    open_api().once("api/predictions/", {"task": 1, "model_version": "v"})
    assert fake.versions(1) == ["v"]


@pytest.mark.usefixtures("starting")
def test_a_write_that_could_not_be_sent_is_repeated(open_api, fake):
    open_api().once("api/predictions/", {"task": 1, "model_version": "v"})
    assert fake.versions(1) == ["v"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("GET", "/api", 401), "does not accept the API key .401.: copy one from Account"),
        (Fault("GET", "/api", 403), "user may not do this .* .403."),
        (Fault("GET", "/api", 200, body=b"<html>"), "the answer of .* is not Label Studio.s"),
        (
            Fault("GET", "/api", 301, headers={"Location": "https://other.test/"}),
            "redirects to another address .301.: give the one that the browser shows",
        ),
    ],
)
def test_what_can_never_succeed_ends_with_advice(open_api, fake, fault, sentence):
    fake.faults.append(fault)
    with pytest.raises(AccessError, match=sentence):
        open_api().get(PROJECT)
    assert len(fake.requests) == 1


def test_a_refusal_has_the_servers_own_words(open_api, fake):
    fake.faults.append(Fault("GET", "/api", 400, body=b'{"validation_errors": {"score": ["bad"]}}'))
    with pytest.raises(RefusedError, match=r'400: \{"score": \["bad"\]\}') as caught:
        open_api().get(PROJECT)
    assert caught.value.status == 400


def test_a_long_refusal_is_cut(open_api, fake):
    fake.faults.append(Fault("GET", "/api", 400, body=b'{"detail": "%s"}' % (b"x" * 5000)))
    with pytest.raises(RefusedError) as caught:
        open_api().get(PROJECT)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "", "http://", "http://host:port"])
def test_refuses_what_is_no_address(url):
    with pytest.raises(AccessError, match="LABEL_STUDIO_URL. is not an address like"):
        Api(url, TOKEN)


def test_refuses_a_password_in_the_address():
    with pytest.raises(AccessError, match="no user name or password") as caught:
        Api("http://me:hush@localhost", TOKEN)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "abc def", "abc\nX-Evil: 1", "schlüssel"])
def test_refuses_what_is_no_key_without_showing_it(key):
    with pytest.raises(AccessError, match="the API key .* characters that no key has") as caught:
        Api("http://localhost:1", key)
    assert not key or key not in str(caught.value)


def personal_token(seconds=3600, kind="refresh"):
    claims = {"exp": int(time.time()) + seconds, "token_type": kind}
    return jwt.encode(claims, "k" * 32, algorithm="HS256")


def test_a_personal_access_token_is_exchanged(open_api, fake):
    access = personal_token(kind="access")
    fake.authorization = f"Bearer {access}"
    answer = b'{"access": "%s"}' % access.encode()
    fake.faults.append(Fault("POST", "/below/api/token/refresh/", 200, body=answer))
    with pytest.raises(RefusedError, match="404"):
        open_api(f"{fake.url}/below", personal_token()).get(PROJECT)


def test_an_expired_personal_access_token_is_named_as_such():
    token = personal_token(-5)
    with pytest.raises(AccessError, match="has expired: make a new one"):
        Api("http://localhost:1", token)


def test_a_revoked_personal_access_token_ends_with_advice(open_api, fake):
    body = b'{"detail": "Token is blacklisted"}'
    fake.faults.append(Fault("POST", "/api/token/refresh/", 401, body=body))
    with pytest.raises(AccessError, match="does not accept the API key"):
        open_api(key=personal_token()).get(PROJECT)


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"access": "a b"}'])
def test_an_answer_without_an_access_token_is_told(open_api, fake, answer):
    fake.faults.append(Fault("POST", "/api/token/refresh/", 200, body=answer))
    with pytest.raises(AccessError, match="no access token"):
        open_api(key=personal_token()).get(PROJECT)


def test_a_write_is_repeated_where_only_the_access_token_could_not_be_had(open_api, fake, hurry):
    access = personal_token(kind="access")
    fake.authorization = f"Bearer {access}"
    fake.faults.append(Fault("POST", "/api/token/refresh/", 503))
    fake.faults.append(
        Fault("POST", "/api/token/refresh/", 200, body=b'{"access": "%s"}' % access.encode())
    )
    open_api(key=personal_token()).once("api/predictions/", {"task": 1, "model_version": "v"})
    assert fake.versions(1) == ["v"]


def test_a_proxy_in_place_of_the_token_service_is_waited_for(open_api, fake, told, hurry):
    access = personal_token(kind="access")
    fake.authorization = f"Bearer {access}"
    fake.faults.append(Fault("POST", "/api/token/refresh/", 502, body=b"<html>Bad gateway"))
    fake.faults.append(
        Fault("POST", "/api/token/refresh/", 200, body=b'{"access": "%s"}' % access.encode())
    )
    assert open_api(key=personal_token()).get(PROJECT)["id"] == 1
    assert "is not reachable" in told[0]


def test_tokens_are_never_shown(open_api, fake, told, caplog, capfd, hurry):
    caplog.set_level(logging.DEBUG)
    fake.faults += [
        Fault("GET", "/api", 502),
        Fault("GET", "/api", 401, headers={"Set-Cookie": "sessionid=hush"}),
    ]
    with pytest.raises(AccessError) as caught:
        open_api().get(PROJECT)
    shown = [str(caught.value), *told, caplog.text, *capfd.readouterr()]
    assert not any(secret in text for text in shown for secret in (TOKEN, "hush"))
