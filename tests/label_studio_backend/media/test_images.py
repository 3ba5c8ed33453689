"""Decoded images and projects that are kept within limits."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from label_studio_backend.media import files, inline_media
from label_studio_backend.media import images as image_cache
from label_studio_backend.media.files import MediaFile
from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import Access, MediaError, TaskMedia
from label_studio_backend.metrics import Metrics
from label_studio_backend.server import projects
from label_studio_backend.server.projects import Project, Projects
from label_studio_backend.settings import ServerSettings
from pam_labeling import ImageError, media
from pam_labeling.errors import BusyError
from pam_labeling.media import content_digest
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.conftest import drawn, png
from tests.label_studio_backend.web import running
from tests.pam_labeling.encoded import encode

SEEDS = tuple(HELD_OUT_SEED + number for number in range(3))


class Media:
    """The content of each address is what the address says."""

    def file(self, value, access, task_id):
        content = png(value) if isinstance(value, int) else value
        return MediaFile(content_digest(content).hexdigest(), content, len(content))


def images(max_bytes, media=None):
    return Images(media or Media(), Metrics(), max_bytes=max_bytes, max_pixels=10**7)


def get(kept, value):
    return kept.get(value, Access(), 1, "task 1")


def test_the_image_used_longest_ago_is_forgotten_within_the_limit():
    sizes = [drawn(seed).image.nbytes for seed in SEEDS]
    kept = images(sum(sizes) - 1)
    one, two, _ = (get(kept, seed) for seed in (SEEDS[0], SEEDS[1], SEEDS[0]))
    assert get(kept, SEEDS[0]) is one
    get(kept, SEEDS[2])
    assert kept.nbytes <= sum(sizes) - 1
    assert get(kept, SEEDS[0]) is one
    assert get(kept, SEEDS[1]) is not two


def test_with_no_room_nothing_is_kept_and_everything_is_decoded():
    kept = images(0)
    assert get(kept, SEEDS[0]) is not get(kept, SEEDS[0])
    assert kept.nbytes == 0


def test_a_damaged_image_is_told_by_the_tasks_name():
    with pytest.raises(ImageError, match="^task 1: "):
        get(images(100), b"no image")


def test_grey_of_12_bits_is_decoded_in_the_range_that_is_set():
    content = encode(Image.fromarray(np.array([[0, 100, 4095]], np.uint16)), "PNG")
    found = get(images(100), content)
    assert found.pixels[0, :, 0].tolist() == [0, 6, 255]
    assert "4,095 is shown as white" in found.note
    own = Images(Media(), Metrics(), max_bytes=0, max_pixels=10, grey_range=(0, 200))
    assert get(own, content).pixels[0, :, 0].tolist() == [0, 128, 255]


UPLOAD = "/data/upload/1/x.png"


@pytest.fixture
def site(tmp_path):
    """A server with an image, and task media that keep its file in a folder."""
    with running() as server:
        server.serve(UPLOAD, png())
        settings = ServerSettings(label_studio_url=server.url, media_cache_dir=tmp_path / "cache")
        task_media = TaskMedia(settings)
        yield server, task_media
        task_media.close()


@pytest.fixture
def effort(monkeypatch):
    """How often the content of a file was read, hashed and decoded."""
    counts = Counter()

    def count(module, name, what):
        function = getattr(module, name)

        def counted(*args, **kwargs):
            counts[what] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    class Digest:
        def __init__(self, content=b""):
            self._digest = content_digest()
            self.hexdigest = self._digest.hexdigest
            self.update(content)

        def update(self, chunk):
            counts["bytes hashed"] += len(chunk)
            self._digest.update(chunk)

    count(MediaFile, "read", "read")
    count(image_cache, "read_image", "decoded")
    for module in (files, inline_media, media):
        monkeypatch.setattr(module, "content_digest", Digest)
    return counts


def test_a_warm_click_reads_and_hashes_nothing(site, effort):
    server, task_media = site
    kept = images(10**8, task_media)
    first = get(kept, UPLOAD)
    assert first.key == content_digest(png()).hexdigest()
    once = {"read": 1, "bytes hashed": len(png()), "decoded": 1}
    assert effort == once
    assert get(kept, UPLOAD) is first
    assert effort == once
    assert len(server.requests) == 1


def test_a_warm_click_on_a_local_file_reads_and_hashes_no_content(tmp_path, effort):
    (tmp_path / "x.png").write_bytes(png())
    settings = ServerSettings(
        label_studio_url="http://localhost:1", local_files_root=tmp_path, media_cache_bytes=0
    )
    kept = images(10**8, TaskMedia(settings))
    value = "/data/local-files/?d=x.png"
    first = get(kept, value)
    assert get(kept, value) is first
    assert (effort["read"], effort["decoded"]) == (1, 1)
    (tmp_path / "x.png").write_bytes(png(SEEDS[0]))
    assert get(kept, value) is not first


def test_threads_that_want_the_same_cold_image_share_one_decoding(monkeypatch, effort):
    go, begun = threading.Event(), threading.Event()
    decode = image_cache.read_image

    def slow(*args, **kwargs):
        begun.set()
        assert go.wait(30)
        return decode(*args, **kwargs)

    monkeypatch.setattr(image_cache, "read_image", slow)
    kept = images(10**8)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(get, kept, SEEDS[0])
        assert begun.wait(30)
        second = pool.submit(get, kept, SEEDS[0])
        go.set()
        assert first.result() is second.result()
    assert (effort["read"], effort["decoded"]) == (1, 1)


def test_a_file_of_an_earlier_run_is_hashed_once_more(site, effort):
    get(images(10**8, site[1]), UPLOAD)
    effort.clear()
    get(images(10**8, site[1]), UPLOAD)
    assert effort == {"read": 1, "bytes hashed": len(png()), "decoded": 1}


def test_a_file_that_was_removed_or_damaged_before_it_is_read_is_fetched_again(site, tmp_path):
    server, task_media = site
    found = get(images(0, task_media), UPLOAD)
    [path] = tmp_path.rglob("*.media")
    path.write_bytes(bytes(len(png())))
    assert get(images(0, task_media), UPLOAD).key == found.key
    assert len(server.requests) == 2


def test_a_file_that_is_always_gone_is_told(site, monkeypatch):
    def gone(file):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(MediaFile, "read", gone)
    with pytest.raises(MediaError, match="^task 1: its file cannot be read .No such file"):
        get(images(0, site[1]), UPLOAD)


def test_the_project_set_up_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(projects, "_MAX_CHARACTERS", 2 * len(repr(Project(hints=("a" * 99,)))))
    known = Projects()
    for key in ("a", "b", "a", "c"):
        known.remember(key, Project(hints=(key * 99,)))
    assert [known.get(key).hints for key in "abc"] == [("a" * 99,), (), ("c" * 99,)]


def test_images_in_work_have_a_limit_in_bytes_and_make_room_when_they_are_done(monkeypatch):
    monkeypatch.setattr(image_cache, "_IN_WORK", 1)
    monkeypatch.setattr(image_cache, "_PATIENCE", 0.05)
    kept = images(0)
    in_work = [get(kept, SEEDS[0])]
    with pytest.raises(BusyError, match="fill the memory"):
        get(kept, SEEDS[1])
    monkeypatch.setattr(image_cache, "_PATIENCE", 30.0)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(get, kept, SEEDS[1])
        in_work.clear()
        assert waiting.result(30).size


def test_kept_images_take_no_room_from_those_in_work(monkeypatch):
    monkeypatch.setattr(image_cache, "_IN_WORK", 1)
    monkeypatch.setattr(image_cache, "_PATIENCE", 0.05)
    kept = images(sum(drawn(seed).image.nbytes for seed in SEEDS))
    for seed in SEEDS:
        get(kept, seed)
    with pytest.raises(ImageError):
        get(kept, b"no image")
    assert get(kept, SEEDS[0]).size
