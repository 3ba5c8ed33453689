from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pam_labeling.command_line import terminal
from pam_labeling.command_line.terminal import RunProgress, progress_bar, results_table, shown


def region(**changes) -> Any:
    entry = {
        "prompt": None,
        "box": [1, 2, 30, 40],
        "area": 5,
        "mask": {"size": [50, 50], "counts": ""},
        "label": "cat",
        "open_label": None,
        "scores": {"iou": 0.5, "object": 1.0, "label": None},
        "texts": {"label": "cat", "brief": "a cat"},
    }
    return {**entry, **changes}


def printed(**changes):
    image: Any = {
        "file": "a.png",
        "width": 50,
        "height": 50,
        "regions": [],
        "refusals": [],
        "note": None,
        "error": None,
        **changes,
    }
    console = Console(width=120)
    with console.capture() as captured:
        console.print(results_table([image]))
    return captured.get()


def test_a_region_is_a_line_with_its_words():
    text = printed(regions=[region()])
    for part in ("a.png", "cat", "0.50", "1 2 30 40", "a cat"):
        assert part in text


def test_the_score_is_the_labels_where_it_was_chosen_from_a_list():
    text = printed(regions=[region(scores={"iou": 0.5, "object": 1.0, "label": 0.87}, label=None)])
    assert "0.87" in text
    assert "—" in text


def test_refusals_failures_and_empty_images_are_told():
    assert "point inside" in printed(refusals=[{"reason": "point inside"}])
    assert "damaged" in printed(error="damaged")
    assert "nothing was found" in printed()


@pytest.mark.parametrize("text", ["[red]x[/]", "[/]", "a\\[b]"])
def test_markup_in_names_and_texts_is_shown_as_it_is(text):
    assert text in printed(regions=[region(label=text)])


def test_control_characters_are_not_obeyed():
    assert shown("a\x1b[2Jb\nc\rd") == "a\ufffd[2Jb\nc\ufffdd"


def test_one_image_needs_no_progress_bar():
    console = Console()
    assert progress_bar(console, 1).disable
    assert not progress_bar(console, 2).disable


def test_without_a_terminal_a_line_is_printed_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=100)
    with RunProgress(console, 1000) as progress:
        for number in range(21, 1001):  # 20 are done already
            now[0] += 61 if number == 30 else 0.5
            progress.reached(number)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "30 of 1,000 images in 0:01:06, about 1:45:54 left"
    assert lines[1].startswith("100 of 1,000 images in 0:01:40, about")
    assert lines[-1] == "1,000 of 1,000 images in 0:09:10, about 0:00:00 left"
    assert len(lines) <= 20
    console.file.truncate(0)
    with RunProgress(console, 1) as progress:
        progress.reached(1)
    assert not console.file.getvalue().strip("\0")


def test_the_models_own_words_stand_beside_a_label_that_says_something_else():
    assert "ring · yellow disc" in printed(regions=[region(label="ring", open_label="yellow disc")])
    assert "— · disc" in printed(regions=[region(label=None, open_label="disc")])
