from __future__ import annotations

import pytest

from pam_labeling.command_line.exit_codes import CommandError
from pam_labeling.command_line.request_options import (
    PromptOptions,
    QuestionOptions,
    build_request,
    described,
    parse_labels,
)
from pam_labeling.settings import Settings


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("ring, cross", ["ring", "cross"]),
        ('ring,"cup, red",x', ["ring", "cup, red", "x"]),
        ('ring, "cup, red"', ["ring", "cup, red"]),
        ('6" pipe,"a ""b"""', ['6" pipe', 'a "b"']),
        ('"@"home,x', None),
        ('"@home",x', ["@home", "x"]),
        ("a,,b", ["a", "", "b"]),
        ('ring,"cup', None),
        ("a\nb", None),
    ],
)
def test_labels_are_separated_by_commas_outside_of_quotes(text, labels):
    if labels is not None:
        assert parse_labels(text) == labels
        return
    with pytest.raises(CommandError, match='--labels must be like A,B,"C, D", not '):
        parse_labels(text)


@pytest.mark.parametrize(
    "content", [b"cup, red\nring\n", b"\xef\xbb\xbfcup, red\r\n\r\n  ring  \r\n", b"cup, red\nring"]
)
def test_a_file_has_a_label_in_each_line(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    assert parse_labels(f"@{path}") == ["cup, red", "ring"]


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "names.txt").write_text("ring\n")
    for text, message in (
        ("@", "--labels @: cannot be read"),
        ("@gone.txt", "cannot be read (No such file or directory)"),
        ("@" + "x" * 300, "cannot be read (File name too long)"),
        ("@latin.txt", "--labels @latin.txt: the file is not UTF-8 text"),
        ("names.txt", "--labels names.txt is a file: write --labels @names.txt to read it"),
    ):
        with pytest.raises(CommandError) as caught:
            parse_labels(text)
        assert message in str(caught.value)


def test_an_empty_file_is_an_empty_list(tmp_path):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(CommandError, match="the label list is empty"):
        build_request(PromptOptions(), QuestionOptions(labels=f"@{tmp_path / 'empty.txt'}"))


def test_equal_options_are_described_equally_however_they_are_written():
    def of(where, what, **settings):
        return described(build_request(where, what), Settings(**settings), what.language)

    one = of(PromptOptions(boxes=["1,2,3,4"]), QuestionOptions(labels="a,b"))
    same = QuestionOptions(labels="a, b", tasks="brief", label_fit=0.05)
    assert one == of(PromptOptions(boxes=[" 1, 2,3.0,4"]), same)
    others = {
        "--box, --point and --mask": of(PromptOptions(boxes=["1,2,3,5"]), same),
        "--label-fit": of(
            PromptOptions(boxes=["1,2,3,4"]), QuestionOptions(labels="a,b", label_fit=0)
        ),
        "--max-new-tokens": of(
            PromptOptions(boxes=["1,2,3,4"]), QuestionOptions(labels="a,b", max_new_tokens=3)
        ),
        "--sam2": of(PromptOptions(boxes=["1,2,3,4"]), same, sam2="elsewhere"),
    }
    for name, other in others.items():
        assert [key for key in one if one[key] != other[key]] == [name]
