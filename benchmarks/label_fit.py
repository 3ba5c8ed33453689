"""How well lists of labels are left alone where none fits: `python -m benchmarks.label_fit`.

Objects of held-out scenes and of flat images are labelled from lists with and without their name,
of 1, 3, 10 and 40 labels: "hard" lists hold the other shapes first, "mixed" ones are drawn at
random. Then boxes, clicks and masks are put where there is nothing, and on objects. Everything goes
through the annotator, with one threshold for all lists.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pam_labeling import (
    Annotator,
    LazyRequest,
    LoadedImage,
    Prompt,
    Refusal,
    Region,
    Request,
    Vocabulary,
)
from pam_labeling.vocabulary import LABEL_FIT
from pam_model import PAM, Question, Segments, Task
from pam_model.nano.known import known_flat_image, known_scene
from pam_model.nano.words import SHAPES
from pam_model.nano.world import HELD_OUT_SEED, render_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pam_model.nano.known import KnownImage
    from pam_model.nano.world import DrawnScene

LENGTHS = (1, 3, 10, 40)
SEED = HELD_OUT_SEED + 20_000_000  # neither trained on, nor used for the model card
# Common things that are never drawn.
NOUNS = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "bench", "bird", "cat", "dog", "horse"),
    *("sheep", "cow", "elephant", "backpack", "umbrella", "handbag", "tie", "suitcase", "kite"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "carrot", "pizza", "chair", "bed", "laptop", "keyboard", "clock"),
)
NAMES = tuple(shape.en for shape in SHAPES)
KINDS = ("box", "click", "mask")


@dataclass(frozen=True)
class Case:
    """A list that is tried on one object.

    Attributes:
        row: of the table.
        length: of the list.
        right: the label that is right, or None.
        vocabulary: the list.
    """

    row: str
    length: int
    right: str | None
    vocabulary: Vocabulary


def lists(shape: int, rng: np.random.Generator, label_fit: float) -> Iterator[Case]:
    """The lists for an object: with and without its name, hard and mixed, of each length."""
    name = NAMES[shape]
    others = [other for other in NAMES if other != name]
    hard = [*rng.permutation(others).tolist(), *rng.permutation(NOUNS).tolist()]
    mixed = rng.permutation([*others, *NOUNS]).tolist()
    for order in (hard, mixed):
        for length in LENGTHS:
            absent, present = tuple(order[:length]), (*order[: length - 1], name)
            yield Case("absent", length, None, Vocabulary(absent, label_fit=label_fit))
            yield Case("present", length, name, Vocabulary(present, label_fit=label_fit))
    for row, spell in SPELLINGS.items():
        labels = tuple(spell(other) for other in (*hard[:9], name))
        found = Vocabulary(labels, label_fit=label_fit)
        yield Case(f"present, {row}", 10, labels[-1], found)
        yield Case(f"absent, {row}", 10, None, Vocabulary(labels[:-1], label_fit=label_fit))
    right = SHAPES[shape].zh
    chinese = tuple(word.zh for word in SHAPES if word.zh != right)
    yield Case("absent, Chinese", 10, None, Vocabulary(chinese, label_fit=label_fit))
    yield Case("present, Chinese", 10, right, Vocabulary((*chinese, right), label_fit=label_fit))


def _plural(name: str) -> str:
    return name + ("es" if name.endswith(("s", "x")) else "s")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "article": lambda name: f"The {name}",
    "plural": _plural,
}


def label_table(
    annotator: Annotator, title: str, draw: Callable[[int], KnownImage], count: int, fit: float
) -> Table:
    """What becomes of the labels of known objects."""
    cases: dict[int, list[list[Case]]] = {}

    def request(seed: int) -> Request:
        rng, image = np.random.default_rng(seed), draw(seed)
        cases[seed] = [list(lists(one.drawn.facts.shape, rng, fit)) for one in image.objects]
        choices = {
            f"{index}/{number}": case.vocabulary
            for index, asked in enumerate(cases[seed])
            for number, case in enumerate(asked)
        }
        prompts = tuple(one.box for one in image.objects)
        return Request(LoadedImage.from_pixels(image.image), prompts, (), choices=choices)

    seeds = range(SEED, SEED + count)
    # An image without an object that is visible enough has no prompts: everything would be found.
    asked = [seed for seed in seeds if draw(seed).objects]
    right: dict[tuple[str, int], list[bool]] = defaultdict(list)
    requests = (LazyRequest(seed, partial(request, seed)) for seed in asked)
    outcomes = annotator.annotate_many(requests)
    for outcome in track(outcomes, title, len(asked), console=Console(stderr=True)):
        if outcome.annotation is None:
            raise outcome.error or RuntimeError("no annotation")
        for index, result in enumerate(outcome.annotation.results):
            for number, case in enumerate(cases[outcome.key][index]):
                label = None
                if isinstance(result, Region):
                    label = result.choices[f"{index}/{number}"].label
                right[case.row, case.length].append(label == case.right)
    return _table(title, right)


def _table(title: str, right: dict[tuple[str, int], list[bool]]) -> Table:
    objects = len(right["present", 1]) // 2
    table = Table(title=f"{title}: {objects} objects, % right", title_justify="left")
    table.add_column("the object's name in the list")
    for length in LENGTHS:
        table.add_column(f"{length} labels" if length > 1 else "1 label", justify="right")
    for row in dict.fromkeys(row for row, _ in right):
        found = [right.get((row, length)) for length in LENGTHS]
        table.add_row(row, *("" if one is None else f"{100 * np.mean(one):.1f}" for one in found))
    return table


def nothing_table(annotator: Annotator, count: int) -> Table:
    """How many prompts on nothing, and on objects, are answered by "no object"."""
    refused: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for seed in track(range(SEED, SEED + count), "nothing", console=Console(stderr=True)):
        image = known_scene(seed)
        objects = [(one.box, one.click, Prompt.from_mask(one.drawn.mask)) for one in image.objects]
        nothing = _on_nothing(render_scene(seed), np.random.default_rng(seed))
        prompts = tuple(prompt for three in (*nothing, *objects) for prompt in three)
        if not prompts:
            continue
        found = annotator.annotate(Request(LoadedImage.from_pixels(image.image), prompts, ()))
        for number, result in enumerate(found.results):
            empty = isinstance(result, Refusal) or not result.scores.sees_object
            refused[KINDS[number % 3], number >= 3 * len(nothing)].append(empty)
    table = Table("prompt", "on nothing", "prompts", "on an object", "prompts")
    table.title, table.title_justify = 'Answered by "no object", %', "left"
    for kind in KINDS:
        values = (refused[kind, False], refused[kind, True])
        cells = ((f"{100 * np.mean(some):.1f}", str(len(some))) for some in values)
        table.add_row(kind, *(cell for pair in cells for cell in pair))
    return table


def _on_nothing(
    scene: DrawnScene, rng: np.random.Generator
) -> tuple[tuple[Prompt, Prompt, Prompt], ...]:
    """A box, a click and a mask at one place without an object; () if there is none."""
    depth = cv2.distanceTransform(scene.ground.astype(np.uint8), cv2.DIST_C, 3)
    rows, columns = np.nonzero(depth >= 12)
    if not len(rows):
        return ()
    chosen = rng.integers(len(rows))
    x, y = columns[chosen] + 0.5, rows[chosen] + 0.5
    half = min(float(depth[rows[chosen], columns[chosen]]) - 4, 40.0)
    height, width = scene.ground.shape
    down, right = np.mgrid[:height, :width]
    box = (max(x - half, 0), max(y - half, 0), min(x + half, width), min(y + half, height))
    inside = (right + 0.5 - x) ** 2 + (down + 0.5 - y) ** 2 <= half**2
    return ((Prompt.from_box(box), Prompt.from_points([(x, y)]), Prompt.from_mask(inside)),)


def cost_table(pam: PAM) -> Table:
    """What the fit of lists costs, compared with log-likelihoods of the bare labels, in turns."""
    drawn = [known_scene(SEED + number) for number in range(8)]
    segments = Segments.concatenate(
        [
            pam.segment(pam.encode(image.image), [one.box for one in image.objects])
            for image in drawn
            if image.objects
        ]
    )
    contexts = pam.prefill(segments)
    table = Table(
        "labels", "fit of all spellings", "and the model's own label", title_justify="left"
    )
    table.title = f"Cost for {len(contexts)} regions: times that of log-likelihoods of the labels"
    for length in LENGTHS:
        labels = (*NAMES, *NOUNS)[:length]
        spoken = Vocabulary(labels).spoken
        ways: dict[str, Callable[[], object]] = {
            "before": partial(pam.classify, contexts, labels),
            "fit": partial(pam.classify, contexts, spoken, score="fit"),
            "own": partial(pam.describe, contexts, [Question(Task.LABEL)]),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(9):
            for way, do in ways.items():
                start = time.perf_counter()
                do()
                times[way].append(time.perf_counter() - start)
        before, fit, own = (statistics.median(times[way]) for way in ways)
        table.add_row(str(length), f"{fit / before:.2f}", f"{(fit + own) / before:.2f}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="nano")
    parser.add_argument("--scenes", type=int, default=230)
    parser.add_argument("--flat", type=int, default=60)
    parser.add_argument("--device")
    parser.add_argument("--label-fit", type=float, default=LABEL_FIT)
    chosen = parser.parse_args()
    console, fit = Console(), chosen.label_fit
    pam = PAM.from_pretrained(chosen.model, device=chosen.device)
    console.print(cost_table(pam))
    with Annotator(pam) as annotator:
        console.print(f"{chosen.model}, label_fit {fit:g}")
        console.print(label_table(annotator, "Scenes", known_scene, chosen.scenes, fit))
        console.print(label_table(annotator, "Flat images", known_flat_image, chosen.flat, fit))
        console.print(nothing_table(annotator, chosen.scenes))


if __name__ == "__main__":
    main()
