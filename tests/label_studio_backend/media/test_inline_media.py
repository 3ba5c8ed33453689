from __future__ import annotations

import base64
import os

import pytest

from label_studio_backend.media.inline_media import find_local_file, image_text, read_data_uri
from label_studio_backend.media.urls import MediaError, Url

CONTENT = bytes(range(256))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "nothing"),
        ("", "an empty text"),
        (" \n", "an empty text"),
        (["/a.jpg", "/b.jpg"], "a list"),
        ({"url": "/a.jpg"}, "an object"),
        (7, "a number or truth value"),
        (1.5, "a number or truth value"),
        (True, "a number or truth value"),
    ],
)
def test_what_is_no_text_is_named(value, found):
    with pytest.raises(MediaError, match=f"the task has {found} where"):
        image_text(value)


def test_spaces_around_a_value_do_not_matter():
    assert image_text(" /data/upload/1/x.jpg\n") == "/data/upload/1/x.jpg"


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64," + base64.b64encode(CONTENT).decode(),
        "data:image/png;base64," + base64.b64encode(CONTENT).decode().rstrip("="),
        "data:image/png;base64," + base64.urlsafe_b64encode(CONTENT).decode(),
        "data:image/png;base64," + base64.encodebytes(CONTENT).decode(),
        "DATA:;charset=x;BASE64," + base64.b64encode(CONTENT).decode().replace("+", "%2B"),
        "data:image/png," + "".join(f"%{byte:02x}" for byte in CONTENT),
    ],
)
def test_a_data_uri_is_decoded(uri):
    assert read_data_uri(uri, 256).read() == CONTENT


def test_a_data_uri_may_be_percent_encoded_in_part_or_as_a_whole():
    letters = base64.urlsafe_b64encode(CONTENT).decode()
    for text in (
        ";base64," + letters,
        ";base64," + letters.replace("=", "%3d\r\n"),
        ";base64," + "".join(f"%{ord(letter):02X}" for letter in letters),
        "," + "".join(f"%{byte:02x}" for byte in CONTENT),
        "," + "".join(chr(byte) if 48 <= byte < 58 else f"%{byte:02X}" for byte in CONTENT),
    ):
        assert read_data_uri(f"data:image/png{text}", 10_000).read() == CONTENT


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,", "without content"),
        ("data:,", "without content"),
        ("data:image/png;base64,ab*d", "damaged"),
        ("data:image/png;base64,abcde", "damaged"),
        ("data:image/png;base64," + base64.b64encode(101 * b"x").decode(), "larger than 100 bytes"),
        ("data:image/png;base64," + 100_000 * "A", "larger than 100 bytes"),
        ("data:image/png," + 101 * "x", "larger than 100 bytes"),
        ("data:image/png," + 10_000 * "x", "larger than 100 bytes"),
    ],
)
def test_a_data_uri_that_is_damaged_or_too_large_is_refused(uri, complaint):
    with pytest.raises(MediaError, match=complaint):
        read_data_uri(uri, 100)


def local(name):
    return Url.parse(f"http://localhost:8080/data/local-files/?d={name}")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "files"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / "x.jpg").write_bytes(CONTENT)
    return root


@pytest.mark.parametrize(
    "name", ["a%20b/x.jpg", "a+b/x.jpg", "/a%20b/x.jpg", "a%20b/../a%20b/x.jpg"]
)
def test_a_local_file_is_read_below_its_folder(root, name):
    assert find_local_file(root, local(name), 256).read() == CONTENT


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/../secret.txt", "a%20b/../../secret.txt", "../missing.txt"]
)
def test_a_local_file_outside_of_the_folder_is_refused(root, name):
    with pytest.raises(MediaError, match="is outside"):
        find_local_file(root, local(name), 256)


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_followed(root):
    (root / "out.jpg").symlink_to("../secret.txt")
    (root / "in.jpg").symlink_to("a b/x.jpg")
    assert find_local_file(root, local("in.jpg"), 256).read() == CONTENT
    with pytest.raises(MediaError, match="is outside"):
        find_local_file(root, local("out.jpg"), 256)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "needs a URL like"),
        ("x%00.jpg", "needs a URL like"),
        ("missing.jpg", "is not in this backend's LABEL_STUDIO_LOCAL_FILES"),
        ("a%20b", "is not a regular file"),
        (300 * "x", "cannot be read"),
    ],
)
def test_a_local_file_that_cannot_be_read_is_named(root, name, complaint):
    with pytest.raises(MediaError, match=complaint):
        find_local_file(root, local(name), 256)


def test_links_that_lead_in_a_circle_are_no_local_file(root):
    (root / "a.jpg").symlink_to("b.jpg")
    (root / "b.jpg").symlink_to("a.jpg")
    with pytest.raises(MediaError, match="cannot be read"):
        find_local_file(root, local("a.jpg"), 256)


def test_a_pipe_is_no_local_file_and_does_not_block(root):
    os.mkfifo(root / "pipe.jpg")
    with pytest.raises(MediaError, match="is not a regular file"):
        find_local_file(root, local("pipe.jpg"), 256)


def test_what_takes_the_place_of_a_local_file_before_it_is_read_is_not_followed(root):
    path = root / "a b" / "x.jpg"
    file = find_local_file(root, local("a%20b/x.jpg"), 256)
    path.unlink()
    path.symlink_to(root.parent / "secret.txt")
    with pytest.raises(OSError, match="symbolic links"):
        file.read()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(FileNotFoundError, match="not a regular file"):
        file.read()


def test_a_local_file_that_grew_is_read_up_to_its_old_size(root):
    file = find_local_file(root, local("a%20b/x.jpg"), 256)
    (root / "a b" / "x.jpg").write_bytes(2 * CONTENT)
    assert file.read() == CONTENT


def test_a_local_file_that_is_too_large_is_refused(root):
    with pytest.raises(MediaError, match="larger than 255 bytes"):
        find_local_file(root, local("a%20b/x.jpg"), 255)
