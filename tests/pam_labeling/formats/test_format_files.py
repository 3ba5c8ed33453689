"""Files and folders of all formats: names, full disks, what is in the way."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import pytest

from pam_labeling import formats
from pam_labeling.documents import EntryFile, entry_line
from pam_labeling.errors import InputError
from pam_labeling.formats import FORMATS, FormatError, format_of, write
from tests import hard_shapes
from tests.hard_shapes import HEADER, entry, region


def test_images_that_differ_only_in_their_ending_have_their_own_files(tmp_path):
    one, other = tmp_path / "a.png", tmp_path / "A.jpg"
    entries = [entry(one, [region(hard_shapes.pixel())]), entry(other, [])]
    report = write("yolo-box", tmp_path / "set", entries, HEADER)
    written = sorted(file.name for file in (tmp_path / "set" / "labels").iterdir())
    assert written == ["A.jpg.txt", "a.txt"]
    assert "1 image has" in report.notes[0]


def test_entries_for_one_image_are_one_image(tmp_path):
    file = tmp_path / "a.png"
    again = f"{tmp_path}/x/../a.png"
    entries = [
        entry(file, [region(hard_shapes.pixel(), "猫")]),
        entry(again, [region(hard_shapes.ring())]),
    ]
    report = write("coco", tmp_path / "a.coco.json", entries, HEADER)
    assert (report.images, report.regions) == (1, 2)
    assert report.notes == ("1 image there again: all regions are in one",)
    entries.append(entry(file, [], size=(9, 9)))
    with pytest.raises(FormatError, match="with different sizes"):
        write("coco", tmp_path / "a.coco.json", entries, HEADER)


def test_names_are_relative_to_the_deepest_common_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entries = [entry("../x/a.png", []), entry("../x/y/b.png", [])]
    report = write("coco", Path("a.coco.json"), entries, HEADER)
    assert report.root == tmp_path.parent / "x"
    images = json.loads(Path("a.coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.png", "y/b.png"]
    with pytest.raises(FormatError, match="is not in the folder"):
        write("coco", Path("a.coco.json"), entries, HEADER, root=tmp_path)


@pytest.fixture
def small_disk(monkeypatch):
    """No file grows beyond some bytes, from the moment on when the entries are kept."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    scan = formats.scan

    def scan_and_limit(*args):
        data = scan(*args)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
        return data

    monkeypatch.setattr(formats, "scan", scan_and_limit)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.usefixtures("small_disk")
def test_nothing_is_left_of_what_could_not_be_finished(tmp_path, entries, name):
    target = tmp_path / "out" / f"all{FORMATS[name].ending}"
    target.parent.mkdir()
    with pytest.raises(OSError, match="File too large") as caught:
        write(name, target, iter(entries), HEADER)
    assert caught.value.filename == str(target)
    assert list(target.parent.iterdir()) == []


def test_an_error_of_the_entries_is_theirs(tmp_path, entries):
    def broken():
        yield entries[0]
        raise ConnectionError("the server is gone")

    with pytest.raises(ConnectionError, match="the server is gone"):
        write("coco", tmp_path / "out.coco.json", broken(), HEADER)
    assert [file.name for file in tmp_path.iterdir()] == ["pics"]


def test_a_disk_that_is_full_before_all_is_read_is_told_with_the_name_of_the_file(
    tmp_path, entries
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write("coco", tmp_path / "out.coco.json", iter(entries), HEADER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "out.coco.json")
    assert [file.name for file in tmp_path.iterdir()] == ["pics"]


def test_a_file_of_entries_is_read_where_it_is(tmp_path, entries):
    lines = [entry_line(one) for one in entries]
    path = tmp_path / "part.jsonl"
    path.write_text("".join(lines) + lines[0][:50], encoding="utf-8")  # killed in a line
    assert list(EntryFile(path)) == entries
    write("json", tmp_path / "all.json", EntryFile(path), HEADER)
    assert path.exists()
    assert json.loads((tmp_path / "all.json").read_text("utf-8"))["images"] == entries
    path.write_text("{}\n{\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"part\.jsonl, line 2, is damaged"):
        list(EntryFile(path))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("x.json", "json"),
        ("x.COCO.json", "coco"),
        ("x.label-studio.json", "label-studio"),
        ("x.parquet", "parquet"),
        ("x.csv", "csv"),
        ("x.yolo-seg", "yolo-seg"),
        ("x.pam-data", "pam-data"),
    ],
)
def test_the_format_is_found_from_a_name(file, name):
    assert format_of(Path("some.folder") / file) == name


def test_an_unknown_ending_is_refused_with_those_there_are():
    with pytest.raises(FormatError, match=r"\.coco\.json.*\.csv.*not 'x\.xml'"):
        format_of(Path("x.xml"))


def test_destinations_in_the_way_are_told_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FormatError, match="is a folder: name a file"):
        formats.check_destination("coco", tmp_path)
    with pytest.raises(FormatError, match="is not empty"):
        formats.check_destination("voc", tmp_path)
    with pytest.raises(FormatError, match="is a file"):
        formats.check_destination("voc", tmp_path / "file")
    with pytest.raises(FormatError, match="must be one of coco"):
        formats.check_destination("xml", tmp_path / "file")
    (tmp_path / "empty").mkdir()
    formats.check_destination("voc", tmp_path / "empty")
    write("voc", tmp_path / "empty", [entry("a.png", [])], HEADER)
    written = {path.name for path in (tmp_path / "empty").iterdir()}
    assert written == {"Annotations", "ImageSets", "labelmap.txt"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_set_without_images_can_be_written(tmp_path, name):
    report = write(name, tmp_path / f"none{FORMATS[name].ending}", [], HEADER)
    assert (report.images, report.regions, report.notes) == (0, 0, ())


def test_the_example_of_the_page_runs(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[3] / "docs" / "formats.md"
    [example] = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs/formats.md", "exec"), {})
    assert capsys.readouterr().out == "1 ()\n"


def test_the_page_has_a_row_for_each_format():
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text("utf-8")
    for name, format_ in FORMATS.items():
        assert f"`{name}`" in page
        assert f"`{format_.ending}`" in page
