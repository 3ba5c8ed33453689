from __future__ import annotations

import os

import pytest

from pam_labeling.command_line.image_paths import find_images


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder `pics` with images, other files, and folders in it; it is the current one's."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "pics/b.jpg",
        "pics/a.PNG",
        "pics/g",
        "pics/notes.txt",
        "pics/._a.jpg",
        "pics/a.overlay.png",
        "pics/sub/k.png",
        "pics/sub/deep/er/m.webp",
        "pics/.cache/thumb.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "pics"


def found(*paths, recursive=False):
    return find_images(paths, recursive=recursive)


def test_a_folder_gives_its_images_by_name_and_what_it_passes_over(tree):
    result = found("pics")
    assert list(result.files) == ["pics/a.PNG", "pics/b.jpg"]
    assert result.notes == [
        "passed over hidden folders (1): pics/.cache",
        "passed over folders, which --recursive looks into (1): pics/sub",
        "passed over hidden files (1): pics/._a.jpg",
        "passed over overlays (1): pics/a.overlay.png",
        "passed over files that are not named like images (2): pics/g, pics/notes.txt",
    ]


def test_recursive_goes_as_deep_as_the_folders(tree):
    result = found("pics", recursive=True)
    assert list(result.files) == [
        "pics/a.PNG",
        "pics/b.jpg",
        "pics/sub/k.png",
        "pics/sub/deep/er/m.webp",
    ]


def test_a_named_file_is_taken_whatever_it_is_called_and_once(tree):
    assert list(found("pics/g", "pics/b.jpg", "pics").files) == [
        "pics/g",
        "pics/b.jpg",
        "pics/a.PNG",
    ]


def test_loops_of_links_end_and_broken_links_pipes_and_odd_names_are_told(tree):
    (tree / "sub" / "up").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree / "self.png").symlink_to("self.png")
    (tree / "gone.png").symlink_to("nowhere")
    os.mkfifo(tree / "pipe.png")
    (tree / os.fsdecode(b"odd\xff.png")).touch()
    result = found("pics", recursive=True)
    assert os.fsdecode(b"pics/odd\xff.png") in result.files
    assert len(result.files) == 5
    told = "\n".join(result.notes)
    assert "already (1): pics/sub/up" in told
    assert "links that lead nowhere (2): pics/gone.png, pics/self.png" in told
    assert "pipes, sockets and devices (1): pics/pipe.png" in told


def test_a_link_to_a_folder_is_followed(tree, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    assert "pics/link/x.png" in found("pics", recursive=True).files


def test_a_folder_that_cannot_be_read_fails_like_an_image(tree, monkeypatch):
    real = os.scandir

    def scandir(folder):
        if folder.endswith("sub"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    result = found("pics", recursive=True)
    assert list(result.files) == ["pics/a.PNG", "pics/b.jpg", "pics/sub"]
    assert result.unread == {"pics/sub": "the folder cannot be read (Permission denied)"}


def test_a_name_that_no_file_system_takes_is_left_to_the_reader():
    assert list(found("x" * 300, "a/" * 3000).files) == ["x" * 300, "a/" * 3000]


def test_of_many_only_the_first_are_named(tree):
    for number in range(12):
        (tree / f"{number:02}.txt").touch()
    (note,) = (note for note in found("pics").notes if "not named" in note)
    assert note.startswith("passed over files that are not named like images (14): pics/00.txt,")
    assert note.endswith("pics/09.txt and 4 more")
