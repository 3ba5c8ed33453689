"""What an image's value may be, and what is said when it cannot be had."""

from __future__ import annotations

import base64
import io
import logging
import socket
import time
import traceback

import pytest
from PIL import Image

from label_studio_backend.media.task_media import MediaError
from tests.label_studio_backend.media.asked import LEGACY, NOBODY, UPLOAD, guarded


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
