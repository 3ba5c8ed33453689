"""Decoded pictures and projects that are kept within limits."""

from __future__ import annotations

import pytest

from label_studio_backend import projects
from label_studio_backend.metrics import Metrics
from label_studio_backend.pictures import Pictures
from label_studio_backend.projects import Project, Projects
from label_studio_backend.task_media import Access
from pam_labeling import PictureError
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.conftest import drawn, png

SEEDS = tuple(HELD_OUT_SEED + number for number in range(3))


class Media:
    """The content of each address is what the address says."""

    def picture(self, value, access, task_id):
        return png(value) if isinstance(value, int) else value


def pictures(max_bytes):
    return Pictures(Media(), Metrics(), max_bytes=max_bytes, max_pixels=10**7)


def get(kept, value):
    return kept.get(value, Access(), 1, "task 1")


def test_the_picture_used_longest_ago_is_forgotten_within_the_limit():
    sizes = [drawn(seed).picture.nbytes for seed in SEEDS]
    kept = pictures(sum(sizes) - 1)
    one, two, _ = (get(kept, seed) for seed in (SEEDS[0], SEEDS[1], SEEDS[0]))
    assert get(kept, SEEDS[0]) is one
    get(kept, SEEDS[2])
    assert kept.nbytes <= sum(sizes) - 1
    assert get(kept, SEEDS[0]) is one
    assert get(kept, SEEDS[1]) is not two


def test_with_no_room_nothing_is_kept_and_everything_is_decoded():
    kept = pictures(0)
    assert get(kept, SEEDS[0]) is not get(kept, SEEDS[0])
    assert kept.nbytes == 0


def test_a_damaged_picture_is_told_by_the_tasks_name():
    with pytest.raises(PictureError, match="^task 1: "):
        get(pictures(100), b"no picture")


def test_the_project_set_up_longest_ago_is_forgotten(monkeypatch):
    monkeypatch.setattr(projects, "_MAX_PROJECTS", 2)
    known = Projects()
    for key in ("a", "b", "a", "c"):
        known.remember(key, Project(hints=(key,)))
    assert [known.get(key).hints for key in "abc"] == [("a",), (), ("c",)]
