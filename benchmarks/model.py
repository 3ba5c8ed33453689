"""Measure PAM's speed, and what batching saves: `python -m benchmarks.model [--model nano]`.

Both sides of a ratio are measured in turns in one run, so that noise of the machine affects both.
`--random PAM-3B` measures a published size with random weights: nothing is downloaded, and every
answer has the full length. Absolute times mean something on an idle GPU only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import Qwen2Config

from pam_labeling import Vocabulary
from pam_model import PAM, GenerationOptions, Prompt, Question, Task, decoding
from pam_model.checkpoints.checkpoint import load_tokenizer
from pam_model.checkpoints.hub import NANO
from pam_model.checkpoints.parameters import parameters_on_meta
from pam_model.config import PAMConfig, sam2_config
from pam_model.nano.world import HELD_OUT_SEED, render_scene
from pam_model.network import PAMNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

LABELS = [f"label {number}" for number in range(200)]
REGIONS = 16
TASKS = [Question(task) for task in Task]
_QWEN = {  # hidden width, MLP width, layers and heads of the published sizes; 2 key/value heads
    "PAM-1.5B": (1536, 8960, 28, 12),
    "PAM-3B": (2048, 11008, 36, 16),
}


def random_pam(size: str, device: torch.device, dtype: torch.dtype) -> PAM:
    """A PAM of a published size with random weights, and nano's tokenizer."""
    hidden, mlp, layers, heads = _QWEN[size]
    config = Qwen2Config(
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    tokenizer: Any = load_tokenizer(NANO, config.vocab_size)
    with parameters_on_meta():
        network = PAMNetwork(PAMConfig(sam2_config(), config), tokenizer)
    network.language.end_id = config.vocab_size - 1  # random weights hardly ever choose it
    fresh: dict[nn.Parameter, nn.Parameter] = {}  # by the old ones, so that tied ones stay tied
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter not in fresh:
                values = torch.randn(parameter.shape, device=device, dtype=dtype) * 0.02
                fresh[parameter] = nn.Parameter(values)
            setattr(module, name, fresh[parameter])
    segmenter = network.segmenter.to(device)
    segmenter.sam2.prompt_encoder.float()
    segmenter.sam2.mask_downsample.float()
    return PAM(network.to(device), f"{size} (random weights)")


class Clock:
    """Median seconds of calls that are measured in turns."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self._device = device
        self._repeats = repeats

    def measure(self, *calls: Callable[[], object]) -> list[float]:
        """The median seconds of each of `calls`, after one call each to warm up."""
        seconds: list[list[float]] = [[] for _ in calls]
        for repeat in range(self._repeats + 1):
            for call, own in zip(calls, seconds, strict=True):
                self._wait()
                start = time.perf_counter()
                call()
                self._wait()
                if repeat:
                    own.append(time.perf_counter() - start)
        return [statistics.median(own) for own in seconds]

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def absolute(pam: PAM, clock: Clock) -> dict[str, float]:
    """The seconds that a person waits for each step, on one image of 1024 x 768 pixels."""
    image = np.asarray(_scene())
    features = pam.encode(image)
    click = [Prompt.from_points([(400, 300)])]
    words = [Question(Task.LABEL), Question(Task.BRIEF)]
    segments = pam.segment(features, click)
    options = GenerationOptions(max_new_tokens=32)
    names = ("encode", "click on a known image", "label and brief caption", "200 labels")
    contexts = pam.prefill(segments)
    seconds = clock.measure(
        lambda: pam.encode(image),
        lambda: pam.segment(features, click).masks(),
        lambda: pam.describe(pam.prefill(segments), words, options),
        lambda: pam.classify(contexts, LABELS),
    )
    return dict(zip(names, seconds, strict=True))


def ratios(pam: PAM, clock: Clock) -> dict[str, float]:
    """How many times faster one call is than the calls that it replaces."""
    image = np.asarray(_scene())
    features = pam.encode(image)
    steps = np.linspace(0.1, 0.9, 4)
    clicks = [Prompt.from_points([(1024 * x, 768 * y)]) for x in steps for y in steps]
    assert len(clicks) == REGIONS
    options = GenerationOptions(max_new_tokens=32)

    def words(prompts: list[Prompt], questions: list[Question], encode: bool = False) -> object:
        seen = pam.encode(image) if encode else features
        return pam.describe(pam.prefill(pam.segment(seen, prompts)), questions, options)

    brief = [Question(Task.BRIEF)]
    together, apart, again = clock.measure(
        lambda: words(clicks, brief),
        lambda: [words([click], brief) for click in clicks],
        lambda: [words([click], brief, encode=True) for click in clicks],
    )
    four, one, each = clock.measure(
        lambda: words(clicks[:1], TASKS),
        lambda: words(clicks[:1], brief),
        lambda: [words(clicks[:1], [task]) for task in TASKS],
    )
    contexts = pam.prefill(pam.segment(features, clicks[:1]))
    answer = [Question(Task.LABEL), Question(Task.BRIEF)]
    recorded, growing = clock.measure(
        lambda: pam.describe(contexts, answer, options),
        lambda: _without_graphs(lambda: pam.describe(contexts, answer, options)),
    )
    packed, single = clock.measure(
        lambda: pam.classify(contexts, LABELS[:50]),
        lambda: [pam.classify(contexts, [label]) for label in LABELS[:50]],
    )
    vocabulary = Vocabulary(tuple(LABELS[:10]))
    label = GenerationOptions(max_new_tokens=6)
    ranked, fit, own = clock.measure(
        lambda: pam.classify(contexts, vocabulary.labels),
        lambda: pam.classify(contexts, vocabulary.spoken, score="fit"),
        lambda: pam.describe(contexts, [Question(Task.LABEL)], label),
    )
    return {
        "16 regions in one call, against 16 calls": apart / together,
        "16 regions in one call, against 16 calls that encode the image again": again / together,
        "4 tasks in one call, against 4 calls": each / four,
        "4 tasks in one call, in units of 1 task": four / one,
        "50 labels in one call, against 50 calls": single / packed,
        "2 answers with a recorded step (on CUDA), against 2 without": growing / recorded,
        "fit of 10 labels in all spellings, in units of ranking them": fit / ranked,
        "the same with the model's own label of 6 tokens": (fit + own) / ranked,
    }


def _without_graphs(call: Callable[[], object]) -> None:
    most, decoding.MOST_FIXED_ROWS = decoding.MOST_FIXED_ROWS, 0
    try:
        call()
    finally:
        decoding.MOST_FIXED_ROWS = most


def _scene() -> Image.Image:
    return Image.fromarray(render_scene(HELD_OUT_SEED).image).resize((1024, 768))


def main() -> None:
    """Measure, print two tables, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="a checkpoint, as for PAM.from_pretrained")
    parser.add_argument("--random", choices=sorted(_QWEN), help="a size, with random weights")
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None, help="write the numbers here")
    options = parser.parse_args()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = getattr(torch, options.dtype) if options.dtype else None
    if options.random:
        pam = random_pam(options.random, device, dtype or torch.bfloat16)
    else:
        pam = PAM.from_pretrained(options.model, device=device, dtype=dtype)
    clock = Clock(device, options.repeats)
    seconds, faster = absolute(pam, clock), ratios(pam, clock)
    place = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"{device} x {torch.get_num_threads()}"
    )
    console = Console(width=110)
    table = Table("what", "ms", title=f"{pam.name}, {pam.dtype}, {place}")
    for name, value in seconds.items():
        table.add_row(name, f"{1000 * value:.1f}")
    console.print(table)
    table = Table("what", "times", title="ratios within this run")
    for name, value in faster.items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    if options.json:
        numbers = {"model": pam.name, "device": place, "seconds": seconds, "ratios": faster}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
