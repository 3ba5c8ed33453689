"""What is kept on the disk, and for whom."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from label_studio_backend.media.task_media import Access, MediaError
from pam_labeling.media import content_digest
from tests.label_studio_backend.media.asked import LEGACY, NOBODY, STRANGER, UPLOAD, guarded, sent


def age(directory, seconds):
    for path in directory.rglob("*.json"):
        os.utime(path, (time.time(), time.time() - seconds))


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
