"""Read tensors from a checkpoint's untrusted files; no code in them is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pam_model.checkpoints.files import read_json
from pam_model.checkpoints.sam2_names import POSITION_MATRICES, to_transformers
from pam_model.errors import CheckpointError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Map the tensors of `model.safetensors`, whole or in shards, into memory.

    The disk is read when a tensor is used; no file is copied.

    Args:
        folder: holds `model.safetensors`, or `model.safetensors.index.json` and its shards.

    Raises:
        CheckpointError: neither is there, a file is damaged, or the index does not fit the shards
            or names a file outside the folder.
    """
    index = folder / _INDEX
    if (folder / _SINGLE).is_file():
        return _read_file(folder / _SINGLE)
    if not index.is_file():
        raise CheckpointError(
            f"{folder}: has neither {_SINGLE} nor {_INDEX}; weights are read from safetensors only"
        )
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise CheckpointError(f"{index}: weight_map must give a file name for each tensor")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        _check_shard(file, index)
        shard = _read_file(folder / file)
        tensors.update({name: shard[name] for name in shard if places.get(name) == file})
    lost = [name for name in places if name not in tensors]
    if lost:
        raise CheckpointError(f"{index}: {places[lost[0]]} does not hold {listed(lost)}")
    return tensors


def read_sam2(path: Path) -> dict[str, Tensor]:
    """Read the tensors of SAM 2.1, by transformers' names.

    Args:
        path: Meta's `.pt` file, or a Hugging Face folder with `model.safetensors`.

    Raises:
        CheckpointError: `path` is neither of the two, or is damaged.
    """
    if not path.is_dir():
        return to_transformers(_read_pt(path))
    tensors = read_tensors(path)
    # Both names are one matrix, and safetensors keeps only one of two tensors that share memory.
    present = [name for name in POSITION_MATRICES if name in tensors]
    if len(present) == 1:
        tensors.update(dict.fromkeys(POSITION_MATRICES, tensors[present[0]]))
    return tensors


def listed(names: list[str], limit: int = 20) -> str:
    """Name the first few, and count the rest."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def _check_shard(file: str, index: Path) -> None:
    # By the rules of POSIX and of Windows: an index may name C:\ or ..\ too.
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(file)
        if path.is_absolute() or path.drive or len(path.parts) != 1 or path.name != file:
            raise CheckpointError(f"{index}: {file!r} is not the name of a file beside it")
    if not file.endswith(".safetensors"):
        raise CheckpointError(f"{index}: {file!r} is not a .safetensors file")


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; is the download complete?") from error
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: damaged, or not safetensors ({error})") from error


def _read_pt(path: Path) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (pickle.UnpicklingError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not one of Meta's SAM 2.1 checkpoints ({error})"
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise CheckpointError(f"{path}: not Meta's checkpoint: it holds no tensors under 'model'")
    return state
