"""Which features tell regions apart: `python -m benchmarks.embeddings`.

All objects of held-out scenes that are at least half visible are embedded, by every choice of
features. A neighbour, the nearest of all other objects, is right if it has the same shape and
colour. Then duplicates are planted: the picture again, as a JPEG of four fifths of its size, and
objects cut out and pasted at random places of other pictures, where they stand out. A duplicate is
found if, of all objects, the one that it was made from is the nearest.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn.functional import normalize
from transformers import DynamicCache

from pam_model import PAM, Prompt, Question, RegionContexts, Task
from pam_model.embeddings import pooled
from pam_model.nano.known import LEAST_VISIBLE
from pam_model.nano.world import HELD_OUT_SEED, box_around, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    from torch import Tensor

    Pixels = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.bool_]

SEED = HELD_OUT_SEED + 60_000_000  # of scenes that were neither trained on nor used to choose
QUALITY, SIZE = 75, 0.8  # of the JPEGs
CONTRAST = 0.3  # between a pasted object and what is round it, as a distance in RGB of 0 to 1
MARGIN = 4  # pixels
TRIES, PLACES = 200, 20  # places to try in all, and in each picture
CHOSEN = "PAM.embed: finest map, decoder, before the label"


class Thing(NamedTuple):
    """An object of a picture.

    Attributes:
        source: the scene's seed, and the object's number in it.
        facts: shape and colour.
        mask: bool `(height, width)`.
    """

    source: tuple[int, int]
    facts: tuple[int, int]
    mask: Mask


class Embedded(NamedTuple):
    """Objects and their vectors, each `(N, dimensions)` of length 1, by the choice of features."""

    things: list[Thing]
    vectors: dict[str, npt.NDArray[np.float32]]


def drawn(seed: int) -> tuple[Pixels, list[Thing]]:
    """A scene and its objects."""
    scene = render_scene(seed)
    return scene.image, [
        Thing((seed, number), (one.facts.shape, one.facts.colour), one.mask)
        for number, one in enumerate(scene.objects)
        if one.visible >= LEAST_VISIBLE
    ]


def encoded_again(image: Pixels, things: list[Thing]) -> tuple[Pixels, list[Thing]]:
    """A smaller JPEG of a picture."""
    size = (round(image.shape[1] * SIZE), round(image.shape[0] * SIZE))
    file = io.BytesIO()
    Image.fromarray(image).resize(size).save(file, "JPEG", quality=QUALITY)
    small = [
        cv2.resize(one.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for one in things
    ]
    return np.asarray(Image.open(file)), [
        one._replace(mask=mask) for one, mask in zip(things, small, strict=True) if mask.any()
    ]


def pasted(image: Pixels, thing: Thing, rng: np.random.Generator) -> tuple[Pixels, Thing] | None:
    """An object at a random place of another scene where it stands out; None if there is none."""
    x1, y1, x2, y2 = map(int, box_around(thing.mask))
    # With a margin, which belongs to the other picture.
    shape = np.pad(thing.mask[y1:y2, x1:x2], MARGIN)
    cut = np.pad(image[y1:y2, x1:x2], ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    grown = cv2.dilate(shape.astype(np.uint8), np.ones((2 * MARGIN + 1,) * 2, np.uint8))
    around = (grown > 0) & ~shape
    colour = cut[shape].mean(axis=0) / 255
    for number in range(TRIES):
        if number % PLACES == 0:
            other = render_scene(SEED + 1_000_000 + int(rng.integers(1_000_000))).image.copy()
        free = (other.shape[0] - shape.shape[0], other.shape[1] - shape.shape[1])
        if min(free) < 0:
            continue
        top, left = (int(rng.integers(steps + 1)) for steps in free)
        there = np.s_[top : top + shape.shape[0], left : left + shape.shape[1]]
        far = np.linalg.norm(other[there][around] / 255 - colour, axis=-1)
        if np.quantile(far, 0.1) > CONTRAST:
            other[there][shape] = cut[shape]
            mask = np.zeros(other.shape[:2], np.bool_)
            mask[there] = shape
            return other, thing._replace(mask=mask)
    return None


@torch.inference_mode()
def choices(pam: PAM, image: Pixels, prompts: list[Prompt]) -> dict[str, Tensor]:
    """The vectors of an image's regions, by the choice of features."""
    features = pam.encode(image)
    segments = pam.segment(features, prompts)
    language, network, logits = pam.network.language, pam.network, segments.mask_logits
    perceived = network.perceiver(segments.mask_tokens, segments.image_embed)
    cache = DynamicCache(config=language.qwen2.config)
    rows = language.prefix_rows(network.projector(perceived))
    read = language.qwen2.model(inputs_embeds=rows, past_key_values=cache, use_cache=True)
    contexts = RegionContexts.of(cache)
    fine = pooled(features.maps.stride4, logits)
    encoder = pooled(features.maps.embedding, logits)
    tokens = perceived.semantic.float().mean(dim=1)
    label = language.states(contexts, Question(Task.LABEL).text).float()
    return {
        "SAM 2.1's finest map, under the mask": fine,
        "SAM 2.1's image embedding, under the mask": encoder,
        "mask decoder's image side, under the mask": pooled(segments.image_embed, logits),
        "mask token of the mask decoder": segments.mask_tokens[:, 1].float(),
        "Semantic Perceiver's tokens, mean": tokens,
        "language model after the region": read.last_hidden_state[:, -1].float(),
        "language model before the label": label,
        "image embedding, Perceiver's tokens": _joined(encoder, tokens),
        "image embedding, before the label": _joined(encoder, label),
        "finest map, before the label": _joined(fine, label),
        CHOSEN: torch.from_numpy(pam.embed(features, segments, contexts)),
    }


def _joined(*parts: Tensor) -> Tensor:
    return torch.cat([normalize(part) for part in parts], dim=1)


def embedded(pam: PAM, pictures: Iterable[tuple[Pixels, list[Thing]]], *, boxes: bool) -> Embedded:
    """The vectors of all objects of pictures."""
    things: list[Thing] = []
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for image, found in pictures:
        if not found:
            continue
        prompts = [
            Prompt.from_box(box_around(one.mask)) if boxes else Prompt.from_mask(one.mask)
            for one in found
        ]
        things += found
        for name, vectors in choices(pam, image, prompts).items():
            parts[name].append(normalize(vectors).cpu())
    return Embedded(things, {name: torch.cat(each).numpy() for name, each in parts.items()})


def right_neighbours(objects: Embedded, name: str) -> list[float]:
    """How often the nearest other object has the same shape, colour, and both, in per cent.

    Objects that are the only ones of their shape and colour are left out.
    """
    facts = np.array([one.facts for one in objects.things])
    same = facts[:, None] == facts[None]  # [N, N, 2]
    near = objects.vectors[name] @ objects.vectors[name].T
    np.fill_diagonal(near, -2)
    counted = same.all(axis=2).sum(axis=1) > 1
    nearest = same[np.arange(len(facts)), near.argmax(axis=1)][counted]  # [counted, 2]
    return [100 * float(found.mean()) for found in (*nearest.T, nearest.all(axis=1))]


def found_duplicates(objects: Embedded, copies: Embedded, name: str) -> float:
    """How often the nearest object is the one from which a copy was made, in per cent."""
    nearest = (copies.vectors[name] @ objects.vectors[name].T).argmax(axis=1)
    found = [
        objects.things[index].source == copy.source
        for index, copy in zip(nearest, copies.things, strict=True)
    ]
    return 100 * float(np.mean(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--copied", type=int, default=100, help="scenes with planted duplicates")
    parser.add_argument("--boxes", action="store_true", help="prompt with boxes, not masks")
    chosen = parser.parse_args()
    pam = PAM.from_pretrained(chosen.model, device=chosen.device)
    stderr, rng = Console(stderr=True), np.random.default_rng(0)
    pictures = [drawn(SEED + n) for n in track(range(chosen.scenes), "drawing", console=stderr)]
    pastes = []
    for image, things in track(pictures[: chosen.copied], "pasting", console=stderr):
        found = pasted(image, things[rng.integers(len(things))], rng) if things else None
        pastes += [] if found is None else [(found[0], [found[1]])]
    again = [encoded_again(*picture) for picture in pictures[: chosen.copied]]
    objects, jpegs, moved = (
        embedded(pam, track(some, "embedding", console=stderr), boxes=chosen.boxes)
        for some in (pictures, again, pastes)
    )
    console = Console()
    prompts = "boxes" if chosen.boxes else "masks"
    console.print(
        f"{chosen.model}: {len(objects.things)} objects by their {prompts}, "
        f"{len(jpegs.things)} in JPEGs, {len(moved.things)} pasted. Per cent right"
    )
    table = Table("features", *(
        "dimensions", "neighbour's shape", "colour", "both", "JPEG first", "pasted first"
    ))  # fmt: skip
    for name, vectors in objects.vectors.items():
        right = right_neighbours(objects, name)
        first = [found_duplicates(objects, copies, name) for copies in (jpegs, moved)]
        table.add_row(name, str(vectors.shape[1]), *(f"{each:.1f}" for each in (*right, *first)))
    console.print(table)


if __name__ == "__main__":
    main()
