from __future__ import annotations

from types import SimpleNamespace

import pytest

from pam_labeling.cache import DeviceCache


def features(nbytes):
    return SimpleNamespace(nbytes=nbytes)


def test_the_least_recently_used_is_forgotten_first():
    cache = DeviceCache(30)
    for key in "abc":
        cache.put(key, features(10))
    cache.get("a")
    cache.put("d", features(10))
    assert cache.get("b") is None
    assert all(cache.get(key) is not None for key in "acd")


def test_the_limit_of_bytes_is_never_exceeded():
    cache = DeviceCache(25)
    for key, nbytes in enumerate([10, 10, 20, 5, 1, 25, 3]):
        cache.put(str(key), features(nbytes))
        assert cache.nbytes <= 25
    assert len(cache) == 1
    assert cache.nbytes == 3


def test_what_exceeds_the_limit_alone_is_not_kept_and_drives_nothing_out():
    cache = DeviceCache(10)
    cache.put("small", features(10))
    cache.put("large", features(11))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_putting_a_key_again_replaces_it():
    cache = DeviceCache(20)
    cache.put("a", features(15))
    replacement = features(5)
    cache.put("a", replacement)
    assert cache.get("a") is replacement
    assert cache.nbytes == 5


def test_hits_and_misses_are_counted():
    cache = DeviceCache(10)
    cache.get("a")
    cache.put("a", features(1))
    cache.get("a")
    assert (cache.hits, cache.misses) == (1, 1)
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match="0 bytes or more"):
        DeviceCache(-1)
