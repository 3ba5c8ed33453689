"""How lists fare with a model that words freely: `python -m benchmarks.label_wording`.

nano has one name for each object, so it cannot show what becomes of a label that is true, but not
the model's own word. Here a copy of its language model is trained until it words freely: mostly
"yellow ring", sometimes "striped yellow ring" or "small yellow ring", in 10 % a synonym ("hoop"),
in 3 % only "shape", and "ring" alone in 1 to 30 %, depending on the shape. Regions are read before
the training, by nano as it is; only the answers are trained. Nothing is saved.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from pam_labeling import Vocabulary
from pam_model import PAM, Question, RegionContexts, Task
from pam_model.nano.known import known_scene
from pam_model.nano.words import COLOURS, SHAPES, SIZES, TEXTURES
from pam_model.nano.world import HELD_OUT_SEED
from pam_model.tasks import after_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from pam_model.nano.texts import Facts

SYNONYMS = (
    *("disc", "block", "wedge", "sparkle", "honeycomb"),
    *("plus", "valentine", "hoop", "moon", "pointer"),
)
SYNONYM, GENERAL = 0.1, 0.03  # how often a synonym is said, and "shape"
PLAIN = (0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)  # and the shape's name alone
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
TEST_SEED = HELD_OUT_SEED + 20_000_000
BATCH, RATE = 32, 5e-4


@dataclass(frozen=True)
class Read:
    """Regions that the language model has read.

    Attributes:
        contexts: half-precision contexts of single regions.
        facts: what is true of each.
    """

    contexts: list[RegionContexts]
    facts: list[Facts]


def read(pam: PAM, seeds: range, title: str) -> Read:
    """Read the objects of scenes, each pointed at by a box."""
    found = Read([], [])
    for seed in track(seeds, title, console=Console(stderr=True)):
        image = known_scene(seed)
        if not image.objects:
            continue
        segments = pam.segment(pam.encode(image.image), [one.box for one in image.objects])
        contexts = pam.prefill(segments).split([1] * len(image.objects))
        found.contexts.extend(_cast(one, torch.float16) for one in contexts)
        found.facts.extend(one.drawn.facts for one in image.objects)
    return found


def _cast(contexts: RegionContexts, dtype: torch.dtype) -> RegionContexts:
    return RegionContexts(tuple((k.to(dtype), v.to(dtype)) for k, v in contexts.layers))


def wording(facts: Facts, rng: np.random.Generator) -> str:
    """One of the true names of an object, drawn as often as the model is to say it."""
    name, coloured = SHAPES[facts.shape].en, named(facts)
    rest = 1 - SYNONYM - GENERAL - PLAIN[facts.shape]
    choices = {
        SYNONYMS[facts.shape]: SYNONYM,
        "shape": GENERAL,
        name: PLAIN[facts.shape],
        coloured: 0.7 * rest,
        f"{TEXTURES[facts.texture].en} {coloured}": 0.15 * rest,
        f"{SIZES[facts.size].en} {coloured}": 0.15 * rest,
    }
    return str(rng.choice(list(choices), p=list(choices.values())))


def named(facts: Facts) -> str:
    """The favourite name of an object: "yellow ring"."""
    return f"{COLOURS[facts.colour].en} {SHAPES[facts.shape].en}"


def train(pam: PAM, regions: Read, steps: int, *, capitals: bool) -> None:
    """Train the language model to word the labels of regions freely."""
    rng, language = np.random.default_rng(0), pam.network.language
    model = language.qwen2.requires_grad_(True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    question = language.ids(after_region(Question(Task.LABEL).text))
    end = torch.tensor([language.end_id], device=pam.device)
    for step in track(range(steps), "training", console=Console(stderr=True)):
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 20)
            group["lr"] = RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))
        rows = rng.choice(len(regions.facts), BATCH, replace=False).tolist()
        words = [wording(regions.facts[row], rng) for row in rows]
        answers = [language.ids(text.capitalize() if capitals else text) for text in words]
        contexts = RegionContexts.concatenate([regions.contexts[row] for row in rows])
        loss = _loss(pam, _cast(contexts, pam.dtype), question, answers, end)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's, untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.requires_grad_(False)


def _loss(
    pam: PAM, contexts: RegionContexts, question: Tensor, answers: Sequence[Tensor], end: Tensor
) -> Tensor:
    """The cross-entropy of answers and their ends; what follows an end does not count."""
    ids = pad_sequence(
        [torch.cat([question, answer, end]) for answer in answers],
        True,
        pam.network.language.end_id,
    )  # [N, T]
    logits = pam.network.language.qwen2(
        input_ids=ids[:, :-1], past_key_values=contexts.cache(), use_cache=True
    ).logits[:, len(question) - 1 :]
    targets = ids[:, len(question) :].clone()  # [N, longest answer + 1]
    for row, answer in enumerate(answers):
        targets[row, len(answer) + 1 :] = -100
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def lists(
    facts: Facts, rng: np.random.Generator
) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """Lists to try on an object: the row of the table, the right label or None, the labels."""
    name = SHAPES[facts.shape].en
    others = [shape.en for shape in SHAPES if shape.en != name]
    rng.shuffle(others)
    colour, wrong = COLOURS[facts.colour].en, (facts.colour + int(rng.integers(1, 12))) % 12
    specific = f"{TEXTURES[facts.texture].en} {colour} {{}}"
    for length in (1, 3, 9):
        yield f"the plain name among {length}", name, (*others[: length - 1], name)
    yield "a synonym among 10", SYNONYMS[facts.shape], SYNONYMS
    yield '"shape" among 3', "shape", ("person", "shape", "car")
    more = (specific.format(others[0]), specific.format(others[1]), specific.format(name))
    yield '"striped yellow ring" among 3', more[-1], more
    for length in (1, 3, 9):
        yield f"no true name among {length}", None, tuple(others[:length])
    yield "another colour of its shape, alone", None, (f"{COLOURS[wrong].en} {name}",)


def table(pam: PAM, regions: Read) -> Table:
    """How often each list gives the right label, or none where none is true, by `label_fit`."""
    rng, right = np.random.default_rng(1), defaultdict(list)  # of booleans, one for each threshold
    favourites = 0
    for context, facts in zip(track(regions.contexts, "lists"), regions.facts, strict=True):
        contexts = _cast(context, pam.dtype)
        answer = pam.describe(contexts, [Question(Task.LABEL)])[0][0]
        favourites += answer.casefold() == named(facts)
        for row, label, labels in lists(facts, rng):
            vocabulary = Vocabulary(labels, label_fit=0)
            fits = pam.classify(contexts, vocabulary.spoken, score="fit")
            if answer[:1].isupper() and vocabulary.unsure(fits)[0]:  # as `Pipeline` does
                again = [form.capitalize() for form in vocabulary.spoken]
                fits = np.maximum(fits, pam.classify(contexts, again, score="fit"))
            (choice,) = vocabulary.choose(fits, [answer])
            hit = choice.label == label
            kept = [choice.score >= fit for fit in THRESHOLDS]
            right[row].append([hit and keep if label else not keep for keep in kept])
    found = Table("list", *(f"{fit:g}" for fit in THRESHOLDS), title_justify="left")
    share = 100 * favourites / len(regions.facts)
    found.title = (
        f"{len(regions.facts)} objects, % right by label_fit; the model's own answer is the "
        f"favourite name for {share:.0f} %"
    )
    for row, values in right.items():
        found.add_row(row, *(f"{100 * value:.0f}" for value in np.mean(values, axis=0)))
    return found


def main() -> None:
    """Train a copy of nano and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-scenes", type=int, default=700)
    parser.add_argument("--test-scenes", type=int, default=110)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--device")
    parser.add_argument(
        "--capitals", action="store_true", help="the model begins its answers with a capital"
    )
    chosen = parser.parse_args()
    torch.manual_seed(0)
    pam = PAM.from_pretrained("nano", device=chosen.device, dtype=torch.float32)
    training = read(pam, range(chosen.train_scenes), "reading")
    test = read(pam, range(TEST_SEED, TEST_SEED + chosen.test_scenes), "reading")
    train(pam, training, chosen.steps, capitals=chosen.capitals)
    Console().print(table(pam, test))


if __name__ == "__main__":
    main()
