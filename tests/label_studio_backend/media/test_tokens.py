from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from label_studio_backend.media import tokens
from label_studio_backend.media.tokens import Credentials
from label_studio_backend.media.urls import MediaError
from tests.label_studio_backend.web import jwt, personal_access_token

LEGACY = 40 * "a"
LATER = float("inf")


class Refresher:
    def __init__(self, lifetime=300, delay=0.0):
        self.calls, self.lifetime, self.delay = 0, lifetime, delay

    def __call__(self, token, deadline):
        self.calls += 1
        time.sleep(self.delay)
        times = {"iat": 1000, "exp": 1000 + self.lifetime} if self.lifetime else {}
        return jwt(token_type="access", number=self.calls, **times)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 5000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(tokens, "time", clock)
    return clock


def test_a_legacy_token_is_sent_as_it_is():
    credentials = Credentials(f" {LEGACY}\n", Refresher())
    assert credentials.header(LATER) == f"Token {LEGACY}"
    assert credentials.header(LATER, refused=f"Token {LEGACY}") == f"Token {LEGACY}"


def test_an_access_token_is_a_bearer_token():
    access = jwt(token_type="access")
    assert Credentials(access, Refresher()).header(LATER) == f"Bearer {access}"


@pytest.mark.parametrize("token", ["a.b.c", "a.bm8=.c", "a.W10.c", "a.é.c".replace("é", "%%%")])
def test_what_only_looks_like_a_jwt_is_a_legacy_token(token):
    assert Credentials(token, Refresher()).header(LATER) == f"Token {token}"


def test_a_personal_access_token_buys_one_access_token():
    refresh = Refresher()
    credentials = Credentials(personal_access_token(), refresh)
    headers = {credentials.header(LATER) for _ in range(3)}
    assert headers == {f"Bearer {jwt(token_type='access', number=1, iat=1000, exp=1300)}"}
    assert refresh.calls == 1


@pytest.mark.parametrize(("lifetime", "good_for"), [(300, 270), (None, 270), (20, 10)])
def test_an_access_token_is_renewed_before_it_runs_out(clock, lifetime, good_for):
    refresh = Refresher(lifetime)
    credentials = Credentials(personal_access_token(), refresh)
    first = credentials.header(LATER)
    clock.now += good_for - 1
    assert credentials.header(LATER) == first
    clock.now += 2
    assert credentials.header(LATER) != first
    assert refresh.calls == 2


def test_a_refused_access_token_is_renewed(clock):
    refresh = Refresher()
    credentials = Credentials(personal_access_token(), refresh)
    first = credentials.header(LATER)
    clock.now += 100
    second = credentials.header(LATER, refused=first)
    assert second != first
    assert credentials.header(LATER) == credentials.header(LATER, refused=first) == second
    assert refresh.calls == 2


def test_a_brand_new_access_token_that_is_refused_is_not_renewed(clock):
    refresh = Refresher()
    credentials = Credentials(personal_access_token(), refresh)
    first = credentials.header(LATER)
    assert credentials.header(LATER, refused=first) == first
    assert refresh.calls == 1


def test_one_thread_refreshes_for_all():
    refresh = Refresher(delay=0.05)
    credentials = Credentials(personal_access_token(), refresh)
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return credentials.header(LATER)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert refresh.calls == 1


def test_threads_that_were_refused_at_once_refresh_once(clock):
    refresh = Refresher()
    credentials = Credentials(personal_access_token(), refresh)
    first = credentials.header(LATER)
    clock.now += 100
    with ThreadPoolExecutor(4) as pool:
        renewed = set(pool.map(lambda _: credentials.header(LATER, refused=first), range(4)))
    assert len(renewed - {first}) == len(renewed) == 1
    assert refresh.calls == 2


def test_a_failed_refresh_is_not_tried_again_at_once(clock):
    calls = []

    def refresh(token, deadline):
        calls.append(token)
        raise MediaError("revoked")

    credentials = Credentials(personal_access_token(), refresh)
    for _ in range(3):
        with pytest.raises(MediaError, match="revoked"):
            credentials.header(LATER)
    assert len(calls) == 1
    clock.now += 6
    with pytest.raises(MediaError, match="revoked"):
        credentials.header(LATER)
    assert len(calls) == 2


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\r\nHost: evil", "schlüssel"])
def test_what_cannot_be_a_token_is_refused_without_showing_it(token):
    with pytest.raises(MediaError, match="LABEL_STUDIO_API_KEY") as caught:
        Credentials(token, Refresher())
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("answer", ["", "a b", "x\r\nHost: evil"])
def test_an_answer_that_is_no_token_is_not_sent_on(answer):
    credentials = Credentials(personal_access_token(), lambda token, deadline: answer)
    with pytest.raises(MediaError, match="no access token"):
        credentials.header(LATER)


def test_credentials_do_not_show_their_token():
    assert LEGACY not in repr(Credentials(LEGACY, Refresher()))
    token = personal_access_token()
    assert token not in repr(Credentials(token, Refresher()))
