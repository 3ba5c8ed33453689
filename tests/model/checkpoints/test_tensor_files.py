from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pam_model.checkpoints.files import read_json
from pam_model.checkpoints.tensor_files import listed, read_sam2, read_tensors
from pam_model.errors import CheckpointError


def write_index(folder, places):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_tensors_are_mapped_and_not_copied(tmp_path):
    save_file({"a": torch.arange(6.0).view(2, 3)}, tmp_path / "model.safetensors")
    assert torch.equal(read_tensors(tmp_path)["a"], torch.arange(6.0).view(2, 3))
    if sys.platform == "linux":
        big = torch.zeros(16, 1024, 1024)
        save_file({"big": big}, tmp_path / "model.safetensors")
        statm = Path("/proc/self/statm")
        resident = int(statm.read_text().split()[1])
        tensors = read_tensors(tmp_path)
        pages = int(statm.read_text().split()[1]) - resident
        assert pages * 4096 < tensors["big"].nbytes / 4


@pytest.mark.parametrize(
    "file",
    [
        "../secret.safetensors",
        "/etc/secret.safetensors",
        "sub/secret.safetensors",
        "..\\secret.safetensors",
        "C:\\secret.safetensors",
        "C:secret.safetensors",
        "./model.safetensors",
        "..",
        "",
    ],
)
def test_an_index_cannot_name_a_file_elsewhere(tmp_path, file):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "secret.safetensors")
    write_index(folder, {"a": file})
    with pytest.raises(CheckpointError, match="is not (the name of a file|a .safetensors)"):
        read_tensors(folder)


def test_a_shard_is_never_a_pickle(tmp_path):
    write_index(tmp_path, {"a": "pytorch_model.bin"})
    with pytest.raises(CheckpointError, match=r"'pytorch_model.bin' is not a .safetensors file"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("places", [None, [], {"a": 1}])
def test_an_index_without_file_names_is_refused(tmp_path, places):
    write_index(tmp_path, places)
    with pytest.raises(CheckpointError, match="weight_map must give a file name"):
        read_tensors(tmp_path)


def test_a_shard_that_is_not_there_is_named(tmp_path):
    write_index(tmp_path, {"a": "model-00001-of-00001.safetensors"})
    with pytest.raises(CheckpointError, match=r"00001-of-00001.safetensors: no such file"):
        read_tensors(tmp_path)


def test_a_tensor_that_the_shard_lacks_is_named(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")
    write_index(tmp_path, {"a": "one.safetensors", "b": "one.safetensors"})
    with pytest.raises(CheckpointError, match=r"one.safetensors does not hold b"):
        read_tensors(tmp_path)


def test_a_tensor_comes_from_the_shard_that_the_index_names(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "one.safetensors")
    save_file({"a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "two.safetensors")
    write_index(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    assert {name: tensor.item() for name, tensor in read_tensors(tmp_path).items()} == {
        "a": 0.0,
        "b": 1.0,
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"not safetensors", b"\xff" * 64, (10**12).to_bytes(8, "little") + b"{}"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged"):
        read_tensors(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged"):
        read_tensors(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(CheckpointError, match="weights are read from safetensors only"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_no_object_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config.json: (not readable as JSON|holds list)"):
        read_json(tmp_path / "config.json")


class _Command:
    """The content of a harmful pickle: a call that is made while it is read."""

    def __reduce__(self):
        return print, ("a pickle has been run",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"model": {"a": torch.zeros(1)}, "more": _Command()}, tmp_path / "sam2.1_bad.pt")
    with pytest.raises(CheckpointError, match=r"sam2.1_bad.pt: damaged, or not one of Meta's"):
        read_sam2(tmp_path / "sam2.1_bad.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(_Command()))
    with pytest.raises(CheckpointError, match=r"old.pt: damaged"):
        read_sam2(tmp_path / "old.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1], {"model": [1]}, {"model": {"a": 1}}, {"weights": {}}])
def test_a_pt_file_without_tensors_under_model_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "sam.pt")
    with pytest.raises(CheckpointError, match="holds no tensors under 'model'"):
        read_sam2(tmp_path / "sam.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02."])
def test_a_damaged_pt_file_is_named(tmp_path, content):
    (tmp_path / "sam.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"sam.pt: damaged"):
        read_sam2(tmp_path / "sam.pt")


def test_a_pt_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"sam.pt: no such file"):
        read_sam2(tmp_path / "sam.pt")


def test_long_lists_are_cut():
    assert listed([str(number) for number in range(23)], limit=3) == "0, 1, 2 and 20 more"
    assert listed(["a"]) == "a"
