"""A stand-in for PAM that really segments (areas of one colour) and answers from what it sees."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from pam_labeling.annotator import Annotator
from pam_labeling.settings import Settings
from pam_model import AutomaticMaskOptions, CroppedMask, GenerationOptions, Prompt, Task

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
}
EVERYTHING, GENERATION = AutomaticMaskOptions(), GenerationOptions()
CHINESE = {
    "red": "红色",
    "green": "绿色",
    "blue": "蓝色",
    "yellow": "黄色",
    "white": "白色",
    "other": "其他",
}


@dataclass(frozen=True, eq=False)
class FakeFeatures:
    pixels: np.ndarray

    @property
    def size(self):
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def nbytes(self):
        return self.pixels.nbytes


@dataclass(frozen=True, eq=False)
class FakeSegments:
    found: tuple  # of (mask, colour's name)
    object_scores: np.ndarray | None = None

    def __post_init__(self):
        if self.object_scores is None:
            scores = [4.0 if mask.any() else -4.0 for mask, _ in self.found]
            object.__setattr__(self, "object_scores", np.array(scores, np.float32))

    @property
    def iou_scores(self):
        return np.full(len(self.found), 0.9, dtype=np.float32)

    def cropped(self, index):
        return CroppedMask.from_mask(self.found[index][0])

    @staticmethod
    def concatenate(parts):
        return FakeSegments(
            tuple(found for part in parts for found in part.found),
            np.concatenate([part.object_scores for part in parts]),
        )

    def select(self, indices):
        indices = list(indices)
        return FakeSegments(tuple(self.found[i] for i in indices), self.object_scores[indices])

    def __len__(self):
        return len(self.found)


@dataclass(frozen=True, eq=False)
class FakeContexts:
    names: list  # of the colour of each region
    tokens = 10

    def __len__(self):
        return len(self.names)

    def select(self, rows):
        return FakeContexts([self.names[row] for row in rows])

    def split(self, counts):
        names = iter(self.names)
        return [FakeContexts([next(names) for _ in range(count)]) for count in counts]

    @staticmethod
    def concatenate(parts):
        return FakeContexts([name for part in parts for name in part.names])


class FakePAM:
    """Counts its calls; `gate` holds it up before encoding, `broken` colours make it fail."""

    name = "fake"
    tokens_per_pass = 320
    images_per_pass = 8
    image_tokens = 40
    region_tokens = 10

    def __init__(self):
        self.calls: Counter[str] = Counter()
        self.order = []
        self.passes = []  # of (what, how many)
        self.threads = set()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.broken = set()
        self.seconds_per_answer = 0.0
        self.fit = -0.1  # of the right label

    def prepare(self, pixels):
        return pixels

    def encode_batch(self, images):
        self._count("encode")
        self.passes.append(("encode", len(images)))
        names = [_name(pixels[0, 0]) for pixels in images]
        self.order += names
        self.entered.set()
        assert self.gate.wait(20)
        if self.broken.intersection(names):
            raise RuntimeError("the model broke")
        return [FakeFeatures(pixels) for pixels in images]

    def segment(self, features, prompts):
        self._count("segment")
        return FakeSegments(tuple(_segment(features.pixels, prompt) for prompt in prompts))

    def everything_in_steps(self, features, options=EVERYTHING):
        self._count("find_everything")
        yield
        found = []
        for name, colour in COLOURS.items():
            same = (features.pixels == colour).all(axis=2).astype(np.uint8)
            count, areas = cv2.connectedComponents(same)
            if name != "white":
                found += [(areas == index, name) for index in range(1, count)]
        return FakeSegments(tuple(found[: options.max_regions]))

    def prefill(self, segments):
        self._count("prefill")
        self.passes.append(("prefill", len(segments)))
        return FakeContexts([name for _, name in segments.found])

    def describe_in_steps(self, contexts, questions, options=GENERATION):
        self._count("describe")
        self.passes.append(("describe", len(contexts)))
        time.sleep(self.seconds_per_answer)
        if options.deadline is not None and time.monotonic() >= options.deadline:
            raise TimeoutError("the deadline passed")
        yield
        return [
            [_answer(name, *question) for question in asked]
            for name, asked in zip(contexts.names, questions, strict=True)
        ]

    def classify_in_steps(self, contexts, labels, *, language="en", score="log_likelihood"):
        assert score == "fit"
        self._count("classify")
        self.spellings = tuple(labels)
        yield
        names = [CHINESE[name] if language == "zh" else name for name in contexts.names]
        return np.array(
            [[self.fit if label == name else -8.0 for label in labels] for name in names],
            dtype=np.float32,
        )

    def embed(self, features, segments, contexts):
        self._count("embed")
        assert len(segments) == len(contexts)
        names = [*COLOURS]
        return np.eye(len(names), dtype=np.float32)[[names.index(n) for n in contexts.names]]

    def object_scores(self, features, points):
        found = [_segment(features.pixels, Prompt.from_points([point])) for point in points]
        return FakeSegments(tuple(found)).object_scores

    def _count(self, name):
        self.calls[name] += 1
        self.threads.add(threading.current_thread().name)


def _name(colour):
    return next((n for n, rgb in COLOURS.items() if tuple(colour) == rgb), "other")


def _segment(pixels, prompt):
    if prompt.mask is not None:
        y, x = np.argwhere(prompt.mask)[0]
        return prompt.mask, _name(pixels[y, x])
    if prompt.box is not None:
        x, y = (prompt.box[0] + prompt.box[2]) / 2, (prompt.box[1] + prompt.box[3]) / 2
    else:
        x, y = prompt.points[prompt.point_labels][0]
    row = min(int(y), pixels.shape[0] - 1)
    column = min(int(x), pixels.shape[1] - 1)
    name = _name(pixels[row, column])
    if name == "white":
        return np.zeros(pixels.shape[:2], dtype=bool), name
    same = (pixels == pixels[row, column]).all(axis=2).astype(np.uint8)
    _, areas = cv2.connectedComponents(same)
    return areas == areas[row, column], name


def _answer(name, task, language):
    word = name if language == "en" else CHINESE[name]
    if task is Task.LABEL:
        return f" {word} "
    if task is Task.DEFINITION:
        return f"{word}: something that is {word}"
    return f"{task.value} {word}"


def draw(*objects, size=(64, 48), ground="white"):
    """RGB pixels with rectangles `(colour's name, x1, y1, x2, y2)`."""
    pixels = np.empty((size[1], size[0], 3), dtype=np.uint8)
    pixels[:] = COLOURS[ground]
    for name, x1, y1, x2, y2 in objects:
        pixels[y1:y2, x1:x2] = COLOURS[name]
    return pixels


@pytest.fixture
def model():
    return FakePAM()


@pytest.fixture
def annotator(model):
    with Annotator(model) as annotator:
        yield annotator
        model.gate.set()


@pytest.fixture
def opened(monkeypatch, model):
    """The settings that models were opened with; every model is the stand-in."""
    opened = []

    def open_annotator(settings):
        opened.append(settings)
        return Annotator(model)

    monkeypatch.setattr(Settings, "open_annotator", open_annotator)
    return opened
