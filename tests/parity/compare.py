"""Our PAM against the authors' PAM: what both compute of the same weights and images.

`python -m tests.parity.compare [--golden-dir DIR]` prints the largest difference of each array.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from pam_model import PAM, GenerationOptions, ImageFeatures, Prompt, everything
from pam_model.checkpoints.sam2_names import to_transformers
from pam_model.network import PAMNetwork
from pam_model.tasks import after_region
from tests.model.sizes import small_config
from tests.parity.recipe import ByteTokenizer, draw, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

GOLDEN_DIR = Path(__file__).parent / "golden"
TOLERANCE = 1e-4
"""The authors' code against itself, with other attention kernels, differs by 2e-5."""


class Difference(NamedTuple):
    """An array of a case: the largest difference, and how many mask bits differ (or None)."""

    array: str
    largest: float
    bits: int | None = None


def golden_cases(folder: Path, kind: str) -> list[Path]:
    """The cases of a folder that are of a kind, "image" or "video".

    Raises:
        FileNotFoundError: there are none of any kind.
    """
    kinds = {path: json.loads(path.read_text()).get("types") for path in folder.glob("*.json")}
    if not {"image", "video"} & set(kinds.values()):
        raise FileNotFoundError(f"no golden cases (*.json with types: image or video) in {folder}")
    return sorted(path for path in kinds if kinds[path] == kind)


def compare(path: Path) -> list[Difference]:
    """Run one case through our PAM; `path` is its json, the arrays lie beside it."""
    case = json.loads(path.read_text())
    golden = np.load(path.with_suffix(".npz"))
    kept = ("pictures", "seed", "tie_word_embeddings", "recipe_added_constants")
    pam, features = _encoded(json.dumps({key: case[key] for key in kept}), path.parent)
    arrays = _run(pam, features, prompt_of(case, features.size), case)
    logits = arrays.pop("video_mask_logits")
    arrays["video_mask_logits_s8"] = logits[::8, ::8]
    differences = [
        Difference(name, float(np.abs(array.reshape(golden[name].shape) - golden[name]).max()))
        for name, array in arrays.items()
    ]
    bits = np.unpackbits(golden["video_mask_bits"])[: logits.size].reshape(logits.shape) == 1
    clear = np.abs(logits) > TOLERANCE
    wrong = int((((logits > 0) != bits) & clear).sum())
    return [*differences, Difference("video_mask_bits", float(wrong > 0), wrong)]


@cache
def _encoded(shared: str, folder: Path) -> tuple[PAM, ImageFeatures]:
    """The PAM and the encoded image of all cases that share these settings (as JSON)."""
    case = json.loads(shared)
    pam = tiny_pam(case, folder)
    return pam, pam.encode(image_of(case["pictures"][0], folder))


def tiny_pam(case: dict[str, Any], folder: Path = GOLDEN_DIR) -> PAM:
    """The small PAM of a case, with the weights that the recipe makes of their names."""
    tied = case["tie_word_embeddings"]
    network = PAMNetwork(small_config("golden", 512, tied=tied), ByteTokenizer())
    network.segmenter.sam2.load_state_dict(to_transformers(_weights(case, folder, "sam2")))
    published = _weights(case, folder, "pam")
    if tied:
        published["lm_head.weight"] = published["model.embed_tokens.weight"]
    for prefix, module in network.published_parts:
        names = module.state_dict()
        module.load_state_dict({name: published.pop(prefix + name) for name in names})
    assert not published, f"not one of ours: {sorted(published)}"
    return PAM(network, "tiny")


def _weights(case: dict[str, Any], folder: Path, part: str) -> dict[str, torch.Tensor]:
    shapes_file = folder / f"{part}_tiny_tensors.json"
    if not shapes_file.exists():
        shapes_file = GOLDEN_DIR / shapes_file.name
    shapes = json.loads(shapes_file.read_text())["tensors"]
    if case["tie_word_embeddings"]:
        shapes.pop("lm_head.weight", None)
    added = case["recipe_added_constants"]
    return {
        name: torch.from_numpy(fill(name, tuple(shape), case["seed"], added))
        for name, shape in shapes.items()
    }


def image_of(source: dict[str, Any], folder: Path) -> npt.NDArray[np.uint8]:
    """An image of a case: drawn, or read from a file of the case's folder."""
    if "draw" in source:
        return draw(*source["draw"])
    with Image.open(folder / source["file"]) as image:
        return np.asarray(image.convert("RGB"))


def prompt_of(case: dict[str, Any], size: tuple[int, int]) -> Prompt:
    """The prompt of a case whose (first) image has `size` = (width, height)."""
    visual = case["visual_prompt"]
    if isinstance(visual, dict):
        (x, y), radius = visual["center"], visual["radius"]
        rows, columns = np.mgrid[: size[1], : size[0]]
        return Prompt.from_mask((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)
    if case["labels"] is None:
        return Prompt.from_box(visual)
    return Prompt.from_points(visual, [label == 1 for label in case["labels"]])


@torch.inference_mode()
def _run(
    pam: PAM, features: ImageFeatures, prompt: Prompt, case: dict[str, Any]
) -> dict[str, npt.NDArray[np.float32]]:
    """Every array of a case under its golden name, and the full-size mask logits."""
    network, language = pam.network, pam.network.language
    segments = pam.segment(features, [prompt])
    perceived = network.perceiver(segments.mask_tokens, segments.image_embed)
    question = case["task"].removeprefix("<image>\n")
    embeds = torch.cat(
        [
            language.prefix_rows(network.projector(perceived))[0],
            language.qwen2.model.embed_tokens(language.ids(after_region(question))),
        ]
    )
    rows: list[torch.Tensor] = []
    hook = language.qwen2.lm_head.register_forward_hook(
        lambda module, inputs, output: rows.append(output)
    )
    options = GenerationOptions(max_new_tokens=len(case["generated"]))
    everything.run(language.answer_in_steps(pam.prefill(segments), [[question]], options))
    hook.remove()
    resized = F.interpolate(segments.mask_logits[:, None], features.size[::-1], mode="bilinear")
    tensors = {
        "low_res_mask": segments.mask_logits,
        "object_score": torch.from_numpy(segments.object_scores),
        "obj_ptr": segments.object_pointers,
        "mask_tokens": segments.mask_tokens,
        "mid_image_embed_s8": segments.image_embed[:, :, ::8, ::8],
        "sem_tokens": perceived.semantic,
        "image_tokens_s16": perceived.image[:, ::16],
        "image_tokens_first8": perceived.image[:, :8],
        "inputs_embeds": embeds,
        "logits": torch.cat(rows),
        "video_mask_logits": resized[0, 0],
    }
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def assert_equal(differences: list[Difference]) -> None:
    """Assert that no array is further from the authors' than `TOLERANCE`, and no bit differs."""
    for difference in differences:
        if difference.bits is None:
            assert difference.largest <= TOLERANCE, difference
        else:
            assert difference.bits == 0, difference


def print_differences(kind: str, run: Callable[[Path], list[Difference]]) -> None:
    """Print the largest difference of each array of a folder's cases of a kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--golden-dir", type=Path, default=GOLDEN_DIR)
    columns = {path.stem: run(path) for path in golden_cases(parser.parse_args().golden_dir, kind)}
    table = Table(title="PAM: largest difference from the authors' code, float32")
    table.add_column("array")
    for name in columns:
        table.add_column(name, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(row[0].array, *(_cell(difference) for difference in row))
    Console(width=160).print(table)


def _cell(difference: Difference) -> str:
    if difference.bits is not None:
        return f"{difference.bits} differ"
    return f"{difference.largest:.1e}"


if __name__ == "__main__":
    print_differences("image", compare)
