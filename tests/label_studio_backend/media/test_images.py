"""Decoded images and projects that are kept within limits."""

from __future__ import annotations

import pytest

from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import Access
from label_studio_backend.metrics import Metrics
from label_studio_backend.server import projects
from label_studio_backend.server.projects import Project, Projects
from pam_labeling import ImageError
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.conftest import drawn, png

SEEDS = tuple(HELD_OUT_SEED + number for number in range(3))


class Media:
    """The content of each address is what the address says."""

    def image(self, value, access, task_id):
        return png(value) if isinstance(value, int) else value


def images(max_bytes):
    return Images(Media(), Metrics(), max_bytes=max_bytes, max_pixels=10**7)


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


def test_the_project_set_up_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(projects, "_MAX_PROJECTS", 2)
    known = Projects()
    for key in ("a", "b", "a", "c"):
        known.remember(key, Project(hints=(key,)))
    assert [known.get(key).hints for key in "abc"] == [("a",), (), ("c",)]
