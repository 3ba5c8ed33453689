from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from label_studio_backend.media.downloads import Validators
from label_studio_backend.media.media_cache import MediaCache, cache_key

KEY = cache_key("a")
NOTHING = Validators()


def files(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def test_keys_of_different_parts_differ_and_tell_nothing():
    keys = {cache_key(*parts) for parts in [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ()]}
    assert len(keys) == 5
    assert all(len(key) == 40 for key in keys)
    assert "token" not in cache_key("token")


def test_what_was_put_is_got_also_by_another_cache_of_the_folder(tmp_path):
    MediaCache(tmp_path, 1000).put(KEY, b"content\n\0", Validators('"tag"', "Mon"))
    entry = MediaCache(tmp_path, 1000).get(KEY)
    assert entry is not None
    assert (entry.content, entry.validators) == (b"content\n\0", Validators('"tag"', "Mon"))
    assert 0 <= entry.age < 5


def test_nothing_is_got_where_nothing_was_put(tmp_path):
    assert MediaCache(tmp_path / "not there", 1000).get(KEY) is None


def test_the_age_counts_from_the_last_confirmation(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    cache.put(KEY, b"x", NOTHING)
    [path] = files(tmp_path)
    os.utime(path, (time.time(), time.time() - 100))
    assert 100 <= cache.get(KEY).age < 105
    assert 100 <= cache.get(KEY).age < 105  # using it does not make it younger
    cache.confirm(KEY)
    assert cache.get(KEY).age < 5


def test_a_file_from_the_future_counts_as_old(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    cache.put(KEY, b"x", NOTHING)
    os.utime(files(tmp_path)[0], (time.time(), time.time() + 1000))
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
        lambda stored: stored[:50] + bytes([stored[50] ^ 1]) + stored[51:],
    ],
)
def test_a_damaged_file_is_removed(tmp_path, caplog, damage):
    cache = MediaCache(tmp_path, 1000)
    cache.put(KEY, b"content of the image", NOTHING)
    [path] = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert files(tmp_path) == []
    assert "damaged" in caplog.text


def test_the_files_used_longest_ago_go_first_and_the_limit_holds(tmp_path):
    cache = MediaCache(tmp_path, 10_000)
    keys = [cache_key(str(number)) for number in range(40)]
    cache.put(keys[0], 900 * b"x", NOTHING)
    for number, key in enumerate(keys[1:], 1):
        cache.put(key, 900 * b"x", NOTHING)
        path = cache._path(key)
        os.utime(path, (time.time() - 1000 + number, time.time()))
        assert cache.get(keys[0]) is not None  # used all the time
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10_000
    kept = [key for key in keys if cache.get(key)]
    assert kept[0] == keys[0]
    assert kept[1:] == keys[-len(kept) + 1 :]
    assert 8 <= len(kept) <= 10


def test_the_files_of_an_earlier_run_count(tmp_path):
    old = MediaCache(tmp_path, 100_000)
    for number in range(20):
        old.put(cache_key(str(number)), 900 * b"x", NOTHING)
    MediaCache(tmp_path, 5000).put(KEY, 900 * b"x", NOTHING)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 5000


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path):
    cache = MediaCache(tmp_path, 100)
    cache.put(KEY, 200 * b"x", NOTHING)
    assert cache.get(KEY) is None


def test_an_unfinished_file_is_not_read_and_removed_when_it_was_abandoned(tmp_path):
    cache = MediaCache(tmp_path, 1000)
    cache.put(KEY, b"x", NOTHING)
    unfinished = files(tmp_path)[0].parent / "abc.unfinished"
    unfinished.write_bytes(b"half a")
    other = unfinished.with_name("notes.txt")
    other.write_text("not the cache's")
    MediaCache(tmp_path, 1000).put(cache_key("b"), b"x", NOTHING)
    assert unfinished.exists()
    os.utime(unfinished, (0, time.time() - 7200))
    MediaCache(tmp_path, 1000).put(cache_key("c"), b"x", NOTHING)
    assert not unfinished.exists()
    assert other.exists()


def _die_while_writing(directory):
    def write_half(self, data):
        os.write(self.fileno(), data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    class Half:
        def __init__(self, handle, mode):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def fileno(self):
            return self.handle

        write = write_half

    os.fdopen = Half
    MediaCache(directory, 10_000).put(KEY, 1000 * b"new", NOTHING)


def test_a_crash_in_the_middle_of_a_write_leaves_the_old_file(tmp_path):
    cache = MediaCache(tmp_path, 10_000)
    cache.put(KEY, b"old", NOTHING)
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_writing, args=[tmp_path]
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert any(path.suffix == ".unfinished" for path in files(tmp_path))
    assert cache.get(KEY).content == b"old"


def test_a_failed_write_leaves_nothing_and_is_logged(tmp_path, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("label_studio_backend.media.media_cache.Path.replace", full)
    MediaCache(tmp_path, 1000).put(KEY, b"x", NOTHING)
    assert files(tmp_path) == []
    assert "No space left" in caplog.text


def test_a_folder_that_cannot_be_used_is_logged_and_keeps_nothing(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = MediaCache(tmp_path / "file", 1000)
    cache.put(KEY, b"x", NOTHING)
    assert cache.get(KEY) is None
    assert "cannot be written" in caplog.text
    assert "cannot be read" in caplog.text


def test_a_file_that_cannot_be_removed_is_logged(tmp_path, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise PermissionError("no")

    cache = MediaCache(tmp_path, 1000)
    cache.put(KEY, b"x", NOTHING)
    files(tmp_path)[0].write_bytes(b"damaged")
    monkeypatch.setattr("label_studio_backend.media.media_cache.Path.unlink", refuse)
    assert cache.get(KEY) is None
    assert "cannot be removed" in caplog.text


def test_only_this_user_can_read_the_files(tmp_path):
    cache = MediaCache(tmp_path / "cache", 1000)
    cache.put(KEY, b"x", NOTHING)
    [path] = files(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_several_threads_and_caches_on_one_folder_never_see_half_a_file(tmp_path):
    caches = [MediaCache(tmp_path, 60_000) for _ in range(2)]
    keys = [cache_key(str(number)) for number in range(20)]

    def work(number):
        cache, key = caches[number % 2], keys[number % 20]
        cache.put(key, bytes([number % 20]) * 5000, NOTHING)
        entry = cache.get(key)
        assert entry is None or entry.content == bytes([number % 20]) * 5000

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(200)))
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 66_000
