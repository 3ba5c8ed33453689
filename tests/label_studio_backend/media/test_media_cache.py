from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from label_studio_backend.media import media_cache
from label_studio_backend.media.downloads import Validators
from label_studio_backend.media.media_cache import MediaCache, entry_key
from pam_labeling.media import content_digest

KEY = entry_key("a")
NOTHING = Validators()


def files(directory, suffix=""):
    return [path for path in directory.rglob(f"*{suffix}") if path.is_file()]


def put(cache, key, content, validators=NOTHING):
    with cache.incoming() as incoming:
        middle = len(content) // 2
        incoming.write(content[:middle])
        incoming.write(content[middle:])
        return cache.keep(key, incoming, validators)


def test_keys_of_different_parts_differ_and_tell_nothing():
    keys = {entry_key(*parts) for parts in [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ()]}
    assert len(keys) == 5
    assert all(len(key) == 40 for key in keys)
    assert "token" not in entry_key("token")


def test_what_was_put_is_got_also_by_another_cache_of_the_folder(tmp_path):
    put(MediaCache(tmp_path, 1000), KEY, b"content\n\0", Validators('"tag"', "Mon"))
    entry = MediaCache(tmp_path, 1000).get(KEY)
    assert entry is not None
    assert (entry.file.read(), entry.validators) == (b"content\n\0", Validators('"tag"', "Mon"))
    assert entry.file.key == content_digest(b"content\n\0").hexdigest()
    assert 0 <= entry.age < 5


def test_nothing_is_got_where_nothing_was_put(tmp_path):
    assert MediaCache(tmp_path / "not there", 1000).get(KEY) is None


def test_the_age_counts_from_the_last_confirmation(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"x")
    [path] = files(tmp_path, ".json")
    os.utime(path, (time.time(), time.time() - 100))
    assert 100 <= cache.get(KEY).age < 105
    assert 100 <= cache.get(KEY).age < 105  # using it does not make it younger
    cache.confirm(KEY)
    assert cache.get(KEY).age < 5


def test_a_file_from_the_future_counts_as_old(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"x")
    os.utime(files(tmp_path, ".json")[0], (time.time(), time.time() + 1000))
    assert cache.get(KEY).age == float("inf")


def test_confirming_what_was_removed_in_the_meantime_is_fine(tmp_path):
    MediaCache(tmp_path, 1000).confirm(KEY)


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored[:-1],
        lambda stored: stored + b"x",
        lambda stored: b"",
        lambda stored: b"garbage",
    ],
)
def test_a_file_of_another_size_is_not_given_out(tmp_path, caplog, damage):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"content of the image")
    [path] = files(tmp_path, ".media")
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert "damaged" in caplog.text
    put(cache, KEY, b"content of the image")
    assert cache.get(KEY).file.read() == b"content of the image"


def test_a_damaged_file_of_the_right_size_is_removed_when_it_is_read(tmp_path, caplog):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"content of the image")
    [path] = files(tmp_path, ".media")
    path.write_bytes(b"content of the imagf")
    with pytest.raises(FileNotFoundError):
        cache.get(KEY).file.read()
    assert cache.get(KEY) is None
    assert "damaged" in caplog.text


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    cache = MediaCache(tmp_path / "cache", 1000)
    put(cache, KEY, b"secret")
    [path] = files(tmp_path / "cache", ".media")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        cache.get(KEY).file.read()


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"garbage",
        b"[]",
        b'{"content": "../../../etc/passwd", "size": 1, "validators": {}}',
        b'{"content": "%s", "size": "x", "validators": {}}' % (32 * b"a"),
    ],
)
def test_a_damaged_or_forged_sidecar_counts_as_none(tmp_path, caplog, forged):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"x")
    [path] = files(tmp_path, ".json")
    path.write_bytes(forged)
    assert cache.get(KEY) is None
    assert "damaged" in caplog.text
    put(cache, KEY, b"x")
    assert cache.get(KEY).file.read() == b"x"


def test_equal_files_are_kept_once(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    for key in (KEY, entry_key("b")):
        put(cache, key, b"x")
    assert cache.get(KEY).file == cache.get(entry_key("b")).file
    assert len(files(tmp_path, ".media")) == 1


def test_the_files_used_longest_ago_go_first_and_the_limit_holds(tmp_path):
    cache = MediaCache(tmp_path, 10_000)
    keys = [entry_key(str(number)) for number in range(40)]
    put(cache, keys[0], 800 * b"x")
    for number, key in enumerate(keys[1:], 1):
        content = put(cache, key, b"%03d" % number + 800 * b"x").source
        for path in (cache._path(key, ".json"), content):
            os.utime(path, (time.time() - 1000 + number, time.time()))
        assert cache.get(keys[0]) is not None  # used all the time
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000
    kept = [key for key in keys if cache._path(key, ".json").exists() and cache.get(key)]
    assert kept[0] == keys[0]
    assert kept[1:] == keys[-len(kept) + 1 :]
    assert 8 <= len(kept) <= 10


def test_the_files_of_an_earlier_run_count(tmp_path):
    old = MediaCache(tmp_path, 100_000)
    for number in range(20):
        put(old, entry_key(str(number)), b"%03d" % number + 900 * b"x")
    put(MediaCache(tmp_path, 5000), KEY, 900 * b"x")
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 5000


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path):
    cache = MediaCache(tmp_path, 100)
    assert put(cache, KEY, 200 * b"x").read() == 200 * b"x"
    assert cache.get(KEY) is None
    assert files(tmp_path) == []


def test_an_unfinished_file_is_not_read_and_removed_when_it_was_abandoned(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    put(cache, KEY, b"x")
    unfinished = files(tmp_path)[0].parent / "abc.unfinished"
    unfinished.write_bytes(b"half a")
    other = unfinished.with_name("notes.txt")
    other.write_text("not the cache's")
    put(MediaCache(tmp_path, 1000), entry_key("b"), b"x")
    assert unfinished.exists()
    os.utime(unfinished, (0, time.time() - 7200))
    put(MediaCache(tmp_path, 1000), entry_key("c"), b"x")
    assert not unfinished.exists()
    assert other.exists()


def _die(directory, moment):
    """Kill this process while it writes the content, or before it writes the sidecar."""

    def kill(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    cache = MediaCache(directory, 10_000)
    with cache.incoming() as incoming:
        incoming.write(1000 * b"new")
        if moment == "content":
            incoming.file.flush()
            kill()
        move = media_cache._move
        media_cache._move = lambda *args: (move(*args), kill())
        cache.keep(KEY, incoming, NOTHING)


@pytest.mark.parametrize("moment", ["content", "moved"])
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file(tmp_path, moment):
    cache = MediaCache(tmp_path, 10_000)
    put(cache, KEY, b"old")
    process = multiprocessing.get_context("spawn").Process(target=_die, args=[tmp_path, moment])
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    new = content_digest(1000 * b"new").hexdigest()
    assert cache._path(new, ".media").exists() == (moment == "moved")
    assert len(files(tmp_path, ".unfinished")) == (moment == "content")
    assert cache.get(KEY).file.read() == b"old"
    assert put(cache, KEY, 1000 * b"new") == replace(cache.get(KEY).file, verified=True)


@pytest.mark.parametrize("method", ["mkdir", "replace"])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, method):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"label_studio_backend.media.media_cache.Path.{method}", full)
    with pytest.raises(OSError, match="No space left"):
        put(MediaCache(tmp_path, 1000), KEY, b"x")
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_used_is_logged_and_keeps_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = MediaCache(tmp_path / "file", 1000)
    with pytest.raises(OSError, match="Not a directory"):
        put(cache, KEY, b"x")
    assert cache.get(KEY) is None
    assert "cannot be read" in caplog.text


def test_a_file_that_cannot_be_removed_is_logged(tmp_path, monkeypatch, caplog):
    remove = Path.unlink

    def refuse(path, **options):
        if path.suffix == ".media":
            raise PermissionError("no")
        remove(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    for number in range(3):
        put(MediaCache(tmp_path, 1000), entry_key(str(number)), b"%d" % number + 500 * b"x")
    assert "cannot be removed" in caplog.text


def test_only_this_user_can_read_the_files(tmp_path):
    cache = MediaCache(tmp_path / "cache", 1000)
    put(cache, KEY, b"x")
    for path in files(tmp_path):
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0


def test_several_threads_and_caches_on_one_folder_never_see_half_a_file(tmp_path):
    caches = [MediaCache(tmp_path, 60_000) for _ in range(2)]
    keys = [entry_key(str(number)) for number in range(20)]

    def work(number):
        cache, key = caches[number % 2], keys[number % 20]
        put(cache, key, bytes([number % 20]) * 5000)
        entry = cache.get(key)
        with suppress(FileNotFoundError):  # evicted just now
            assert entry is None or entry.file.read() == bytes([number % 20]) * 5000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(100)))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 66_000
