from __future__ import annotations

import base64
import io
import logging
import os
import socket
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from PIL import Image

from label_studio_backend.media import task_media, tokens
from label_studio_backend.media.ssrf import RequestPolicy
from label_studio_backend.media.task_media import Access, MediaError, TaskMedia
from label_studio_backend.media.urls import Url
from label_studio_backend.settings import ServerSettings
from pam_labeling.errors import InputError
from pam_labeling.media import content_digest
from tests.label_studio_backend.web import TLS, Internet, jwt, personal_access_token, running

LEGACY = 20 * "ab"
STRANGER = 20 * "cd"
UPLOAD = "/data/upload/1/314f5194-small.jpg"
NOBODY = Access(None, None)


@pytest.fixture(scope="module")
def running_server():
    with running() as server:
        yield server


@pytest.fixture
def server(running_server):
    return running_server.reset()


@pytest.fixture(scope="module")
def other_running_server():
    with running() as server:
        yield server


@pytest.fixture
def other(other_running_server):
    other_running_server.reset().serve("/x.jpg", b"elsewhere")
    return other_running_server


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


class Media(TaskMedia):
    """Task media whose files are read at once."""

    def image(self, *args, **kwargs):
        return self.file(*args, **kwargs).read()


@pytest.fixture
def media():
    made = []

    def make(server=None, **settings):
        if server is not None:
            settings.setdefault("label_studio_url", server.url)
            settings.setdefault("api_key", LEGACY)
        if "media_cache_dir" not in settings:
            settings["media_cache_bytes"] = 0
        made.append(Media(ServerSettings(**settings)))
        return made[-1]

    yield make
    for media in made:
        media.close()


def guarded(server, path, body=b"image", header=f"Token {LEGACY}", refusal=401, **headers):
    """Serve a path to those who send the right header only."""

    def answer(request):
        right = request.headers.get("Authorization") == header
        request.answer(body if right else b"", status=200 if right else refusal, **headers)

    server.routes[path] = answer


def sent(server):
    return [request.headers.get("Authorization") for request in server.requests]


def age(directory, seconds):
    for path in directory.rglob("*.json"):
        os.utime(path, (time.time(), time.time() - seconds))


# --- what an image's value may be


@pytest.mark.parametrize(
    "path",
    [
        UPLOAD,
        "/data/local-files/?d=folder/x.jpg",
        "/storage-data/uploaded/?filepath=upload/1/x.jpg",
        "/static/samples/sample.jpg",
        "/tasks/1/resolve/?fileuri=czM6Ly9iL2s=",
        "/tasks/1/presign/?fileuri=czM6Ly9iL2s=",
        "/projects/2/resolve/?fileuri=czM6Ly9iL2s=",
        "/api/tasks/1/resolve/?fileuri=czM6Ly9iL2s=",
    ],
)
@pytest.mark.parametrize("prefix", ["", "/label-studio"])
@pytest.mark.parametrize("form", ["relative", "relative with prefix", "absolute"])
def test_label_studio_s_own_addresses_are_fetched_with_its_token(media, server, path, prefix, form):
    guarded(server, (prefix + path).partition("?")[0])
    value = {"relative": "", "relative with prefix": prefix, "absolute": server.url + prefix}[form]
    images = media(label_studio_url=f"{server.url}{prefix}/", api_key=LEGACY)
    assert images.image(value + path, NOBODY) == b"image"
    assert server.paths == [prefix + path]


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a b/ü.jpg", "gs://bucket/x.jpg", "azure-blob://container/x.jpg"]
)
def test_cloud_addresses_are_resolved_by_label_studio_for_the_task(media, server, uri):
    guarded(server, "/tasks/7/resolve/")
    assert media(server).image(uri, NOBODY, task_id=7) == b"image"
    name, _, value = server.paths[0].partition("?")[2].partition("=")
    assert name == "fileuri"
    assert base64.urlsafe_b64decode(value).decode() == uri


@pytest.mark.parametrize("task_id", [None, "7", True, -1, 1.5])
def test_cloud_addresses_need_a_task(media, server, task_id):
    with pytest.raises(MediaError, match="names no task"):
        media(server).image("s3://bucket/x.jpg", NOBODY, task_id)
    assert server.requests == []


def test_a_data_uri_needs_no_label_studio(media):
    assert media().image("data:image/png;base64,aGVsbG8=", NOBODY) == b"hello"


def test_a_data_uri_is_limited(media):
    with pytest.raises(MediaError, match="larger than 4 bytes"):
        media(media_max_bytes=4).image("data:image/png;base64,aGVsbG8=", NOBODY)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "the task has nothing"),
        ("", "the task has an empty text"),
        ([UPLOAD], "a list"),
        ({"url": UPLOAD}, "an object"),
        (3, "a number"),
        ("file:///etc/passwd", "not fetched from 'file' addresses"),
        ("FILE:///etc/passwd", "not fetched from 'file' addresses"),
        ("ftp://example.org/x.jpg", "not fetched from 'ftp' addresses"),
        ("/etc/passwd", "is not where Label Studio has images"),
        ("/home/me/x.jpg", "is not where Label Studio has images"),
        ("x.jpg", "is not the address of an image"),
        ("upload/1/x.jpg", "is not the address of an image"),
        ("../../etc/passwd", "is not the address of an image"),
        ("C:\\images\\x.jpg", "is not the address of an image"),
        ("\\\\nas\\x.jpg", "is not the address of an image"),
        ("/data/upload/../../etc/passwd", r"'\.\.' in its path"),
        ("/data/upload/%2e%2e/%2e%2e/api/users", r"'\.\.' in its path"),
        ("/data/upload/..%2f..%2fetc", r"'\.\.' in its path"),
        ("/data/upload/1/x\r\nHost: evil", "control characters"),
        ("/data\\upload", "backslashes"),
        ("//evil.example/data/upload/x.jpg", "is not where Label Studio has images"),
        ("/api/users/", "is not where Label Studio has images"),
        ("/api/projects/1/export", "is not where Label Studio has images"),
        ("/projects/1/file-proxy?url=aHR0cDovL2V2aWw=", "is not where Label Studio has images"),
        ("/tasks/1/resolve/../../api/users", r"'\.\.' in its path"),
    ],
)
def test_everything_else_is_refused_before_anything_is_asked_for(media, server, value, complaint):
    with pytest.raises(MediaError, match=complaint):
        media(server).image(value, NOBODY)
    assert server.requests == []


def test_the_bytes_of_an_image_with_exif_pass_through_unchanged(media, server, tmp_path):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2), "red").save(buffer, "JPEG", exif=exif)
    guarded(server, UPLOAD, buffer.getvalue())
    images = media(server, media_cache_dir=tmp_path)
    assert [images.image(UPLOAD, NOBODY) for _ in range(2)] == 2 * [buffer.getvalue()]


def test_local_files_are_read_from_the_disk_if_their_folder_is_set(media, server, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"on the disk")
    images = media(server, local_files_root=tmp_path)
    value = "/data/local-files/?d=x.jpg"
    assert images.image(value, NOBODY) == b"on the disk"
    assert images.image(server.url + value, NOBODY) == b"on the disk"
    with pytest.raises(MediaError, match="is outside"):
        images.image("/data/local-files/?d=../../etc/passwd", NOBODY)
    assert server.requests == []


# --- who is trusted


def test_without_any_label_studio_its_addresses_cannot_be_had(media):
    with pytest.raises(MediaError, match="set LABEL_STUDIO_URL"):
        media().image(UPLOAD, NOBODY)


def test_an_unknown_host_is_refused_before_it_is_looked_up(media, server, internet, other):
    internet.host("evil.example", other)
    with pytest.raises(MediaError, match=r"not fetched from http://evil\.example.*PAM_ALLOWED"):
        media(server).image("http://evil.example/x.jpg?secret", NOBODY)
    assert internet.asked == []


def test_the_host_of_label_studio_on_another_port_or_path_is_another_host(media, server, other):
    images = media(label_studio_url=f"{server.url}/label-studio", api_key=LEGACY)
    for url in (f"{other.url}/x.jpg", f"{server.url}/x.jpg", f"{server.url}/label-studio-2/x.jpg"):
        with pytest.raises(MediaError, match="are not fetched from"):
            images.image(url, NOBODY)
    assert server.requests == other.requests == []


def test_an_allowed_host_gets_no_token_and_may_be_private_if_named_exactly(media, server, other):
    images = media(server, allowed_hosts=(f"127.0.0.1:{other.port}",))
    assert images.image(f"{other.url}/x.jpg", Access(other.url, STRANGER)) == b"elsewhere"
    assert sent(other) == [None]


def test_a_host_that_a_wildcard_allows_must_be_public(media, internet, other):
    internet.host("public.example.org", other)
    internet.names["inside.example.org"] = ["10.0.0.1"]
    images = media(allowed_hosts=("*.example.org",))
    assert images.image("http://public.example.org/x.jpg", NOBODY) == b"elsewhere"
    with pytest.raises(MediaError, match="a private address"):
        images.image("http://inside.example.org/x.jpg", NOBODY)


def test_the_token_goes_only_to_addresses_of_images(media, server):
    server.serve("/other.jpg")
    assert media(server).image(f"{server.url}/other.jpg", NOBODY) == b"image"
    assert sent(server) == [None]


def test_the_administrator_s_token_is_not_sent_to_the_host_that_a_request_names(
    media, server, other
):
    guarded(server, UPLOAD)
    images = media(server)
    assert images.image(UPLOAD, Access(other.url, STRANGER)) == b"image"
    assert sent(server) == [f"Token {LEGACY}"]
    assert other.requests == []


def test_a_token_without_an_address_is_refused_because_it_has_nowhere_to_go():
    with pytest.raises(MediaError, match="set the address too"):
        TaskMedia(ServerSettings(api_key=LEGACY))


def test_the_request_s_token_is_used_for_the_configured_host_if_the_request_names_it(media, server):
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    images = media(server, api_key=None)
    assert images.image(UPLOAD, Access(f"{server.url}/", STRANGER)) == b"image"
    with pytest.raises(MediaError, match="set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        images.image(UPLOAD, Access("http://label-studio.example", STRANGER))
    assert sent(server) == [f"Token {STRANGER}", None]


def test_the_name_that_label_studio_has_for_itself_leads_to_the_configured_address(media, server):
    guarded(server, f"/ls{UPLOAD}")
    images = media(label_studio_url=f"{server.url}/ls", api_key=LEGACY)
    access = Access("https://labels.example.org/outside", None)
    url = f"https://labels.example.org/outside{UPLOAD}"
    assert images.image(url, access) == b"image"
    assert images.image(url.replace("https", "http"), access) == b"image"
    with pytest.raises(MediaError, match="are not fetched from"):
        images.image(f"https://labels.example.org:8443/outside{UPLOAD}", access)
    with pytest.raises(MediaError, match="are not fetched from"):
        images.image(f"https://labels.example.org{UPLOAD}", access)


def test_a_request_cannot_rename_an_allowed_host_to_label_studio(media, server, internet, other):
    internet.host("images.example.org", other)
    other.serve(UPLOAD, b"elsewhere")
    images = media(server, allowed_hosts=("images.example.org",))
    access = Access("http://images.example.org", None)
    assert images.image(f"http://images.example.org{UPLOAD}", access) == b"elsewhere"
    assert server.requests == []


def test_http_and_https_of_the_configured_host_are_the_same(media, server, internet):
    internet.host("labels.example.org", server)
    guarded(server, UPLOAD)
    images = media(label_studio_url="http://labels.example.org", api_key=LEGACY)
    assert images.image(f"https://labels.example.org{UPLOAD}", NOBODY) == b"image"


def test_without_a_configured_one_the_public_label_studio_of_the_request_is_asked(
    media, server, internet
):
    internet.host("labels.example.org", server)
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    access = Access("http://labels.example.org", STRANGER)
    assert media().image(UPLOAD, access) == b"image"


def test_without_a_configured_one_a_private_label_studio_is_refused(media, server):
    with pytest.raises(MediaError, match="LABEL_STUDIO_URL if this is the Label Studio"):
        media().image(UPLOAD, Access(server.url, STRANGER))
    assert server.requests == []


def test_a_private_label_studio_of_the_request_may_be_an_allowed_host(media, server):
    guarded(server, UPLOAD, header=f"Token {STRANGER}")
    images = media(allowed_hosts=(f"127.0.0.1:{server.port}",))
    assert images.image(UPLOAD, Access(server.url, STRANGER)) == b"image"


@pytest.mark.parametrize("host", ["labels.example.org", "file:///", "http://a:b@labels.example"])
def test_a_malformed_host_of_a_request_is_named_where_it_is_needed(media, server, host):
    with pytest.raises(MediaError, match="the host name that Label Studio sent"):
        media().image(UPLOAD, Access(host, STRANGER))
    guarded(server, UPLOAD)
    assert media(server).image(UPLOAD, Access(host, STRANGER)) == b"image"


@pytest.mark.parametrize("url", ["labels.example.org", "ftp://labels.example.org", "http://a:b@c"])
def test_a_malformed_setting_is_named(url):
    with pytest.raises(InputError, match="LABEL_STUDIO_URL"):
        TaskMedia(ServerSettings(label_studio_url=url))
    with pytest.raises(MediaError, match="allowed host"):
        TaskMedia(ServerSettings(allowed_hosts=("*",)))


def test_the_environment_s_certificates_are_trusted(media, server, internet, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(TLS / "certificate.pem"))
    internet.names["pictures.test"] = ["127.0.0.1"]
    with running(tls=True) as secure:
        guarded(secure, UPLOAD)
        images = media(label_studio_url=f"https://pictures.test:{secure.port}", api_key=LEGACY)
        assert images.image(UPLOAD, NOBODY) == b"image"


def test_missing_certificates_are_named(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/not/there.pem")
    with pytest.raises(MediaError, match="REQUESTS_CA_BUNDLE names /not/there.pem"):
        TaskMedia(ServerSettings())


def test_settings_and_access_do_not_show_tokens():
    settings = ServerSettings(label_studio_url="http://a.example", api_key=LEGACY)
    assert LEGACY not in repr(settings) + repr(Access("http://a.example", LEGACY))


# --- redirects


def test_label_studio_s_presigned_links_are_followed_without_the_token(
    media, server, internet, other
):
    internet.host("bucket.s3.example", other)
    other.serve("/x.jpg", b"from the cloud")
    server.redirect("/tasks/7/resolve/", "http://bucket.s3.example/x.jpg?X-Amz-Signature=1", 303)
    assert media(server).image("s3://bucket/x.jpg", NOBODY, 7) == b"from the cloud"
    assert (sent(server), sent(other)) == ([f"Token {LEGACY}"], [None])


def test_label_studio_does_not_redirect_to_private_addresses(media, server, internet, other):
    internet.names["inside.example"] = ["127.0.0.1"]
    images = media(server)
    for location in (f"{other.url}/x.jpg", f"http://inside.example:{other.port}/x.jpg"):
        server.redirect("/tasks/7/resolve/", location, 303)
        with pytest.raises(MediaError, match="a loopback address"):
            images.image("s3://bucket/x.jpg", NOBODY, 7)
    server.redirect("/tasks/7/resolve/", "http://169.254.169.254/latest/meta-data/", 303)
    with pytest.raises(MediaError, match="a cloud metadata address"):
        images.image("s3://bucket/x.jpg", NOBODY, 7)
    assert other.requests == []


def test_label_studio_may_redirect_to_an_allowed_private_storage(media, server, other):
    server.redirect("/tasks/7/resolve/", f"{other.url}/x.jpg", 303)
    images = media(server, allowed_hosts=(f"127.0.0.1:{other.port}",))
    assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"elsewhere"
    assert sent(other) == [None]


def test_a_redirect_within_label_studio_keeps_the_token(media, server):
    server.redirect(UPLOAD, "/storage-data/uploaded/?filepath=x")
    guarded(server, "/storage-data/uploaded/")
    assert media(server).image(UPLOAD, NOBODY) == b"image"


def test_an_allowed_host_redirects_only_to_allowed_hosts(media, internet, other):
    internet.host("images.example.org", other)
    internet.host("public.example", other, "93.184.215.15")
    other.redirect("/y.jpg", "http://public.example/x.jpg")
    with pytest.raises(MediaError, match=r"not fetched from http://public\.example"):
        media(allowed_hosts=("images.example.org",)).image(
            "http://images.example.org/y.jpg", NOBODY
        )
    images = media(allowed_hosts=("images.example.org", "public.example"))
    assert images.image("http://images.example.org/y.jpg", NOBODY) == b"elsewhere"


def test_an_allowed_host_does_not_redirect_into_label_studio_with_its_token(media, server, other):
    guarded(server, UPLOAD)
    other.redirect("/y.jpg", server.url + UPLOAD)
    with pytest.raises(MediaError, match="401"):
        media(server, allowed_hosts=(f"127.0.0.1:{other.port}",)).image(
            f"{other.url}/y.jpg", NOBODY
        )
    assert sent(server) == [None]


def test_a_redirect_to_the_login_page_is_about_the_token(media, server):
    server.redirect(UPLOAD, f"/user/login/?next={UPLOAD}")
    with pytest.raises(MediaError, match="wants a login: set LABEL_STUDIO_API_KEY"):
        media(server).image(UPLOAD, NOBODY)


def permit(images, url, previous, access=NOBODY):
    policy = RequestPolicy(images._site(access), images._allowed, Url.parse(previous))
    return policy.permit(Url.parse(url), policy.start, float("inf"))


def test_a_redirect_from_https_to_http_is_for_allowed_hosts_only(media):
    images = media(
        label_studio_url="https://labels.example.org",
        api_key=LEGACY,
        allowed_hosts=("minio.example.org",),
    )
    upload = f"https://labels.example.org{UPLOAD}"
    with pytest.raises(MediaError, match="from https to http"):
        permit(images, "http://bucket.example/x", upload)
    with pytest.raises(MediaError, match="from https to http"):
        permit(images, f"http://labels.example.org{UPLOAD}", upload)
    assert permit(images, "http://minio.example.org/x", upload).authorization is None
    assert permit(images, upload, upload).authorization == f"Token {LEGACY}"


def test_a_redirect_from_http_to_https_of_label_studio_keeps_the_token(media):
    images = media(label_studio_url="http://labels.example.org", api_key=LEGACY)
    https, http = (f"{scheme}://labels.example.org{UPLOAD}" for scheme in ("https", "http"))
    assert permit(images, https, http).authorization == f"Token {LEGACY}"
    assert permit(images, https.replace("org", "org:8443"), http).authorization is None


# --- tokens


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


# --- what is kept


def test_an_upload_is_fetched_once_also_after_a_restart(media, server, tmp_path):
    guarded(server, UPLOAD)
    for _ in range(2):
        images = media(server, media_cache_dir=tmp_path)
        assert [images.image(UPLOAD, NOBODY) for _ in range(2)] == 2 * [b"image"]
    age(tmp_path, 3600)
    assert media(server, media_cache_dir=tmp_path).image(UPLOAD, NOBODY) == b"image"
    assert len(server.requests) == 1


def test_an_upload_is_asked_for_again_after_a_day(media, server, tmp_path):
    guarded(server, UPLOAD)
    images = media(server, media_cache_dir=tmp_path)
    images.image(UPLOAD, NOBODY)
    age(tmp_path, 25 * 3600)
    images.image(UPLOAD, NOBODY)
    assert len(server.requests) == 2


def test_without_a_folder_or_room_nothing_is_kept(media, server, tmp_path):
    guarded(server, UPLOAD)
    for images in (media(server), media(server, media_cache_dir=tmp_path, media_cache_bytes=0)):
        images.image(UPLOAD, NOBODY)
        images.image(UPLOAD, NOBODY)
    assert len(server.requests) == 4
    assert list(tmp_path.iterdir()) == []


def test_another_token_has_to_ask_label_studio_itself(media, server, tmp_path):
    guarded(server, UPLOAD)
    images = media(server, api_key=None, media_cache_dir=tmp_path)
    assert images.image(UPLOAD, Access(server.url, LEGACY)) == b"image"
    for access in (Access(server.url, STRANGER), Access(server.url, None), NOBODY):
        with pytest.raises(MediaError, match="401"):
            images.image(UPLOAD, access)
    assert images.image(UPLOAD, Access(server.url, LEGACY)) == b"image"
    assert len(server.requests) == 4


def test_another_label_studio_has_its_own_files(media, server, other, tmp_path):
    guarded(server, UPLOAD, b"of one")
    guarded(other, UPLOAD, b"of the other")
    assert media(server, media_cache_dir=tmp_path).image(UPLOAD, NOBODY) == b"of one"
    assert media(other, media_cache_dir=tmp_path).image(UPLOAD, NOBODY) == b"of the other"


def test_a_host_that_is_no_longer_allowed_is_not_answered_from_the_cache(media, other, tmp_path):
    allowed = media(allowed_hosts=(f"127.0.0.1:{other.port}",), media_cache_dir=tmp_path)
    assert allowed.image(f"{other.url}/x.jpg", NOBODY) == b"elsewhere"
    with pytest.raises(MediaError, match="are not fetched from"):
        media(media_cache_dir=tmp_path).image(f"{other.url}/x.jpg", NOBODY)


def test_a_cloud_file_is_kept_under_its_own_name_not_the_link_s(
    media, server, internet, other, tmp_path
):
    internet.host("bucket.s3.example", other)
    numbers = iter(range(10))

    def resolve(request):
        link = f"http://bucket.s3.example/x.jpg?X-Amz-Signature={next(numbers)}"
        request.answer(status=303, Location=link)

    server.routes["/tasks/7/resolve/"] = resolve
    images = media(server, media_cache_dir=tmp_path)
    for _ in range(3):
        assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"elsewhere"
    assert len(server.requests) == len(other.requests) == 1


def test_an_old_file_is_kept_on_if_its_etag_is_still_right(
    media, server, internet, other, tmp_path
):
    internet.host("bucket.s3.example", other)
    server.redirect("/tasks/7/resolve/", "http://bucket.s3.example/x.jpg", 303)

    def answer(request):
        same = request.headers.get("If-None-Match") == '"1"'
        request.answer(b"" if same else b"cloud", status=304 if same else 200, ETag='"1"')

    other.routes["/x.jpg"] = answer
    images = media(server, media_cache_dir=tmp_path)
    for _ in range(2):
        assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"cloud"
        age(tmp_path, 1000)
    assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"cloud"
    assert images.image("s3://bucket/x.jpg", NOBODY, 7) == b"cloud"  # confirmed just now
    assert [r.headers.get("If-None-Match") for r in other.requests] == [None, '"1"', '"1"']
    assert sent(server) == 3 * [f"Token {LEGACY}"]


def test_a_changed_file_replaces_the_old_one(media, other, tmp_path):
    images = media(allowed_hosts=(f"127.0.0.1:{other.port}",), media_cache_dir=tmp_path)
    images.image(f"{other.url}/x.jpg", NOBODY)
    age(tmp_path, 1000)
    other.serve("/x.jpg", b"new")
    assert [images.image(f"{other.url}/x.jpg", NOBODY) for _ in range(2)] == 2 * [b"new"]


def test_an_old_file_is_not_given_out_when_the_right_to_it_is_gone(media, server, tmp_path):
    guarded(server, UPLOAD)
    images = media(server, media_cache_dir=tmp_path)
    images.image(UPLOAD, NOBODY)
    age(tmp_path, 25 * 3600)
    guarded(server, UPLOAD, header="never", refusal=403)
    with pytest.raises(MediaError, match="may not see it"):
        images.image(UPLOAD, NOBODY)


class FullDisk:
    """A file that takes only so many bytes."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, chunk):
        self._room -= len(chunk)
        if self._room < 0:
            raise OSError(28, "No space left on device")
        return self._file.write(chunk)


@pytest.mark.parametrize("room", [0, 100_000, 300_000])
def test_a_full_disk_is_told_and_the_image_answered_from_memory(
    media, server, tmp_path, monkeypatch, caplog, room
):
    content = os.urandom(300_000)  # the sidecar does not fit, when the content does
    guarded(server, UPLOAD, content)
    temporary = tempfile.NamedTemporaryFile
    rest = [room, 0]

    @contextmanager
    def full(**kwargs):
        with temporary(**kwargs) as file:
            yield FullDisk(file, rest.pop(0))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    file = media(server, media_cache_dir=tmp_path).file(UPLOAD, NOBODY)
    assert (file.source, file.read()) == (content, content)
    assert "the media cache cannot be written: [Errno 28] No space left" in caplog.text
    assert not list(tmp_path.rglob("*.unfinished")) + list(tmp_path.rglob("*.json"))


def test_a_file_is_handed_over_as_a_path(media, server, tmp_path):
    guarded(server, UPLOAD)
    images = media(server, media_cache_dir=tmp_path)
    for _ in range(2):
        file = images.file(UPLOAD, NOBODY)
        assert file.source.read_bytes() == b"image"
        assert (file.key, file.size) == (content_digest(b"image").hexdigest(), 5)


def test_neither_addresses_nor_tokens_are_on_the_disk(media, server, tmp_path):
    guarded(server, UPLOAD)
    media(server, media_cache_dir=tmp_path).image(UPLOAD, NOBODY)
    paths = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(paths) == 2
    stored = b"".join(str(path).encode() + path.read_bytes() for path in paths)
    assert not any(text.encode() in stored for text in (LEGACY, "small.jpg", "127.0.0.1"))


def test_an_image_that_many_ask_for_at_once_is_fetched_once(media, server):
    def slow(request):
        time.sleep(0.1)
        request.answer(b"image")

    server.routes[UPLOAD] = slow
    images = media(server)
    barrier = threading.Barrier(6)

    def ask(_):
        barrier.wait()
        return images.image(UPLOAD, NOBODY)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == 6 * [b"image"]
    assert len(server.requests) == 1


def test_those_who_wait_for_another_s_fetch_get_its_failure(media, server):
    def slow(request):
        time.sleep(0.1)
        request.answer(status=404)

    server.routes[UPLOAD] = slow
    images = media(server)
    barrier = threading.Barrier(3)

    def ask(_):
        barrier.wait()
        with pytest.raises(MediaError, match="there is no such file"):
            images.image(UPLOAD, NOBODY)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(ask, range(3)))
    assert len(server.requests) == 1


def test_those_with_other_rights_do_not_wait_for_it(media, server):
    guarded(server, UPLOAD)
    images = media(server, api_key=None)

    def ask(token):
        try:
            return images.image(UPLOAD, Access(server.url, token))
        except MediaError:
            return None

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, [LEGACY, STRANGER, LEGACY, STRANGER])) == 2 * [b"image", None]


# --- limits and messages


def test_an_image_that_takes_too_long_is_given_up(media, server):
    def drip(request):
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.02)

    server.routes[UPLOAD] = drip
    started = time.monotonic()
    with pytest.raises(MediaError, match="PAM_MEDIA_TIMEOUT"):
        media(server, media_timeout=0.2).image(UPLOAD, NOBODY)
    assert time.monotonic() - started < 2


def test_an_image_that_is_too_large_is_refused(media, server):
    guarded(server, UPLOAD, 101 * b"x")
    with pytest.raises(MediaError, match="PAM_MEDIA_MAX_BYTES"):
        media(server, media_max_bytes=100).image(UPLOAD, NOBODY)


def test_messages_and_the_log_hold_neither_token_nor_presigned_link(
    media, server, internet, other, caplog
):
    caplog.set_level(logging.DEBUG)
    signature = 3 * "signature"
    internet.host("bucket.s3.example", other)
    link = f"http://bucket.s3.example/gone.jpg?X-Amz-Signature={signature}"
    server.redirect("/tasks/7/resolve/", link, 303)
    with pytest.raises(
        MediaError, match=r"bucket\.s3\.example/gone\.jpg\?… answered 404"
    ) as caught:
        media(server).image("s3://bucket/x.jpg", NOBODY, 7)
    assert signature in other.paths[0]
    text = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert signature not in text
    assert LEGACY not in text


def test_a_label_studio_that_is_not_running_is_named(media):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(MediaError, match=f"{url} cannot be reached"):
        media(label_studio_url=url).image(UPLOAD, NOBODY)
