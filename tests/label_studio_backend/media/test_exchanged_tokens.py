"""Personal access tokens, which are exchanged before they are used."""

from __future__ import annotations

import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from label_studio_backend.media import task_media, tokens
from label_studio_backend.media.task_media import Access, MediaError
from tests.label_studio_backend.media.asked import LEGACY, NOBODY, UPLOAD, guarded
from tests.label_studio_backend.web import jwt, personal_access_token


class TokenServer:
    """Makes a server give access tokens for a personal one, and want the newest for an upload."""

    def __init__(self, server, personal):
        self.personal, self.number, self.delay = personal, 0, 0.0
        server.routes["/api/token/refresh/"] = self.refresh
        server.routes[UPLOAD] = self.image

    @property
    def access(self):
        return jwt(token_type="access", number=self.number, iat=1000, exp=1300)

    def refresh(self, request):
        time.sleep(self.delay)
        if self.personal.encode() not in request.body:
            return request.answer_json({"detail": "Token is invalid"}, 401)
        self.number += 1
        return request.answer_json({"access": self.access})

    def image(self, request):
        right = request.headers.get("Authorization") == f"Bearer {self.access}"
        request.answer(b"image", status=200 if right else 401)


def test_a_personal_access_token_is_exchanged_once(media, server):
    tokens = TokenServer(server, personal_access_token())
    images = media(server, api_key=personal_access_token())
    assert [images.image(UPLOAD, NOBODY) for _ in range(3)] == 3 * [b"image"]
    assert tokens.number == 1
    assert server.requests[0].command == "POST"
    assert server.requests[0].headers.get("Authorization") is None


def test_a_personal_access_token_is_exchanged_below_the_prefix(media, server):
    TokenServer(server, personal_access_token())
    server.routes = {f"/ls{path}": route for path, route in server.routes.items()}
    images = media(label_studio_url=f"{server.url}/ls", api_key=personal_access_token())
    assert images.image(UPLOAD, NOBODY) == b"image"


def test_an_access_token_that_is_refused_is_renewed_and_the_image_fetched(
    media, server, monkeypatch
):
    monkeypatch.setattr(tokens, "_YOUNG", 0.0)
    service = TokenServer(server, personal_access_token())
    images = media(server, api_key=personal_access_token())
    images.image(UPLOAD, NOBODY)
    service.number += 10  # Label Studio has forgotten the token
    assert images.image(UPLOAD, NOBODY) == b"image"
    assert server.paths.count("/api/token/refresh/") == 2


def test_an_image_that_stays_refused_is_not_asked_for_for_ever(media, server):
    TokenServer(server, personal_access_token())
    guarded(server, UPLOAD, header="never")
    with pytest.raises(MediaError, match="the token is not accepted"):
        media(server, api_key=personal_access_token()).image(UPLOAD, NOBODY)
    assert server.paths == ["/api/token/refresh/", UPLOAD]


def test_many_images_at_once_refresh_once(media, server):
    service = TokenServer(server, personal_access_token())
    service.delay = 0.1
    images = media(server, api_key=personal_access_token())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: images.image(f"{UPLOAD}?{n}", NOBODY), range(8)))
    assert service.number == 1


def test_a_revoked_personal_access_token_is_named(media, server):
    TokenServer(server, "another one")
    with pytest.raises(MediaError, match="run out or was revoked; make another one"):
        media(server, api_key=personal_access_token()).image(UPLOAD, NOBODY)


def test_a_label_studio_that_fails_to_refresh_is_named(media, server):
    server.serve("/api/token/refresh/", b"", status=502)
    with pytest.raises(MediaError, match="502"):
        media(server, api_key=personal_access_token()).image(UPLOAD, NOBODY)


def test_an_answer_without_an_access_token_is_named(media, server):
    server.routes["/api/token/refresh/"] = lambda request: request.answer_json({})
    with pytest.raises(MediaError, match="no access token"):
        media(server, api_key=personal_access_token()).image(UPLOAD, NOBODY)


def test_legacy_tokens_that_are_switched_off_are_named(media, server):
    guarded(server, UPLOAD, header="never")
    with pytest.raises(MediaError, match="legacy tokens may be switched off") as caught:
        media(server).image(UPLOAD, NOBODY)
    assert LEGACY not in "".join(traceback.format_exception(caught.value))
    assert len(server.requests) == 1


def test_tokens_of_strangers_do_not_pile_up(media, server, monkeypatch):
    monkeypatch.setattr(task_media, "_MAX_CREDENTIALS", 2)
    guarded(server, UPLOAD, header="Token t0")
    images = media(server, api_key=None)
    for number in (1, 2, 3):
        with pytest.raises(MediaError, match="401"):
            images.image(UPLOAD, Access(server.url, f"t{number}"))
    assert images.image(UPLOAD, Access(server.url, "t0")) == b"image"
    assert len(images._credentials) == 2
