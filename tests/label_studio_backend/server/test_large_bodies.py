from __future__ import annotations

import gc
import io
import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_backend.errors import RequestError
from label_studio_backend.server import large_bodies as module
from label_studio_backend.server.bodies import read_predict
from label_studio_backend.server.large_bodies import decode_in_pieces, read_any_predict, received

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(['"', "\\", '\\"', "a,b", "[{", "}]", '\\\\",[', ""]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=40,
)


@pytest.fixture
def small_pieces(monkeypatch):
    """Every body is large, and pieces are as small as they can be."""
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(module, "_CLICK", 0)
    monkeypatch.setattr(module, "_BLOCK", 17)
    monkeypatch.setattr(module, "_PIECE", 7)


def read(raw):
    return read_any_predict(io.BytesIO(raw), len(raw))


@settings(deadline=None, max_examples=300)
@given(VALUES, st.integers(1, 40), st.booleans(), st.booleans())
def test_pieces_make_what_the_whole_makes(value, size, ascii_only, indented):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=2 if indented else None).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_PIECE", size)
        assert decode_in_pieces(text) == msgspec.json.decode(text)


@settings(deadline=None, max_examples=300)
@given(VALUES, st.integers(1, 40), st.data())
def test_a_damaged_text_is_refused_or_read_but_never_breaks_anything(value, size, data):
    text = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + 1] = data.draw(st.sampled_from([b"", b"}", b"]", b'"', b",", b"[", b"\xff"]))
        if not text:
            return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_PIECE", size)
        try:
            decode_in_pieces(bytes(text))
        except RequestError:
            with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
                msgspec.json.decode(bytes(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,2",
        '{"a":1,"b":"',
        "[1,2]]",
        "[1,2]}",
        "[1,,2]",
        "{1,2,3,4,5}",
        "[1,2],[3,4]",
        "x" * 50,
        "[" * 500 + "1,2,3,4",
        '{"a":[1,2,3,4,5,6,7],"b":1,"a":[3,4,5,6',
    ],
)
def test_what_is_not_json_is_said(small_pieces, text):
    with pytest.raises(RequestError, match=r"^the body is (not JSON|nested)"):
        read(text.encode())


@pytest.mark.parametrize(
    "name",
    [
        "predict_interactive_kp_two_pos_one_neg_alt",
        "predict_interactive_video_second_object",
        "predict_interactive_empty_context_on_submit",
        "predict_batch_image_brush_2tasks",
        "predict_batch_video_2tasks",
        "predict_interactive_null_context",
    ],
)
def test_captured_requests_are_read_as_before(traffic, name, small_pieces):
    raw = json.dumps(traffic(name)).encode()
    assert read(raw) == read_predict(raw)


@pytest.mark.parametrize(
    "body",
    [
        [],
        3,
        {},
        {"tasks": 3, "label_config": ""},
        {"tasks": [3], "label_config": "", "params": {"context": {"result": []}}},
        {"tasks": [], "label_config": 3},
        {"tasks": [], "label_config": "", "params": {"context": 3}},
        {"tasks": [], "label_config": "", "params": [1]},
        {"tasks": [], "label_config": "", "project": [[1]]},
        {"tasks": [], "label_config": "", "project": True},
    ],
)
def test_another_form_is_refused_as_before(body, small_pieces):
    raw = json.dumps(body).encode()
    for reads in (read_predict, read):
        with pytest.raises(RequestError, match="not what Label Studio posts"):
            reads(raw)


def batch(rle):
    result = {"type": "brushlabels", "value": {"format": "rle", "rle": rle}}
    task = {"id": 1, "data": {}, "annotations": [{"result": [result]}, 3], "drafts": None}
    return json.dumps({"tasks": [task], "label_config": ""}).encode()


def run_lengths(body):
    return body.tasks[0]["annotations"][0]["result"][0]["value"]["rle"]


@pytest.mark.parametrize("large", [True, False])
def test_run_lengths_of_batches_become_bytes(large, request):
    if large:
        request.getfixturevalue("small_pieces")
    assert run_lengths(read(batch([17, 200] * 50))) == bytes([17, 200] * 50)


@pytest.mark.parametrize("rle", [[], [256], ["a"], "text", None, [-1], [[1]]])
def test_run_lengths_that_are_none_stay_as_they_are(rle):
    assert run_lengths(read(batch(rle))) == rle


def test_a_click_drops_what_it_does_not_need_however_large(monkeypatch):
    sent = json.loads(batch([17, 200] * 500))
    sent["params"] = {"context": {"result": [{"id": "a"}]}}
    raw = json.dumps(sent).encode()
    for limit in (0, 10**9):
        monkeypatch.setattr(module, "LARGE", 0)
        monkeypatch.setattr(module, "_CLICK", limit)
        body = read(raw)
        assert body.tasks == [{"id": 1, "data": {}}]
        assert body.prompts == [{"id": "a"}]


@pytest.mark.parametrize("large", [True, False])
def test_while_a_large_body_is_worked_on_the_cycle_collector_rests(large, monkeypatch):
    raw = batch([17, 200])
    monkeypatch.setattr(module, "LARGE", len(raw) if large else len(raw) + 1)
    with received(io.BytesIO(raw), len(raw)) as body:
        tasks = body.tasks
        assert len(tasks) == 1
        assert gc.isenabled() != large
    assert gc.isenabled()
    assert not tasks


def test_the_cycle_collector_goes_on_after_a_body_that_is_refused(small_pieces):
    with pytest.raises(RequestError), received(io.BytesIO(b"["), 1):
        raise AssertionError
    assert gc.isenabled()


@pytest.mark.parametrize(
    "value",
    [
        "x" * 30_000_000,  # an image as a data URI
        [2**64 - 1] * 100_000,
        {"": ["\u0000", "😀", 1e-300]},
    ],
)
def test_what_task_data_may_hold_is_read_whole_and_soon(value, monkeypatch):
    monkeypatch.setattr(module, "_CLICK", 0)
    sent = {"tasks": [{"data": value}], "label_config": " " * module.LARGE}
    raw = json.dumps(sent).encode()
    start = time.perf_counter()
    assert read(raw).tasks == sent["tasks"]
    assert time.perf_counter() - start < 5  # it takes a quarter of a second


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "not JSON: .*recursion"),
        (b"[1," * 200_000 + b"1" + b"]" * 200_000, "nested too deeply"),
        (b'"\xed\xa0\x80"', "not JSON"),
        (rb'"\ud800"', "not JSON"),
    ],
)
def test_hostile_bodies_are_refused_with_a_sentence(data, said, monkeypatch):
    monkeypatch.setattr(module, "_CLICK", 0)
    raw = b'{"tasks":[{"data":' + data + b'}],"label_config":""}' + b" " * module.LARGE
    with pytest.raises(RequestError, match=said) as caught:
        read(raw)
    assert caught.value.status == 400
