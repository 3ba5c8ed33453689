"""Write and read the layout of PAM's training data, JSON lines of one region and one answer.

    image-obj-label/NAME/NAME_box_obj_label_en.jsonl        labels
    image-obj-label/NAME/NAME_box_obj_label_exp_en.jsonl    labels with their definitions
    image-obj-caption/NAME/NAME_box_obj_briefCap_en.jsonl   short captions
    image-obj-caption/NAME/NAME_box_obj_detailCap_en.jsonl  detailed captions

`boxNpoint` instead of `box`: the regions have points; `ch` instead of `en`: Chinese. Boxes are
`[x, y, width, height]` in pixels. No mask is stored: the trainer's segmenter makes it of the
prompt. A region that was found without a prompt, or with a mask or a turned box, has its box.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pam_labeling.documents import ImageEntry, RegionEntry
from pam_labeling.errors import FormatError
from pam_labeling.formats.dataset import Dataset, Tally
from pam_model.tasks import LANGUAGES, Language, Question, Task, split_definition

_PLACES = {
    Task.LABEL: ("image-obj-label", "label"),
    Task.DEFINITION: ("image-obj-label", "label_exp"),
    Task.BRIEF: ("image-obj-caption", "briefCap"),
    Task.DETAILED: ("image-obj-caption", "detailCap"),
}
_SHORT = {"en": "en", "zh": "ch"}
_IMAGE = "<image>\n"
_QUESTIONS = {
    Question(task, language).text: Question(task, language)
    for task in Task
    for language in LANGUAGES
}


@dataclass(frozen=True)
class Line:
    """A region and one answer about it.

    Attributes:
        image: the path of the image, as it is written.
        box: `(x1, y1, x2, y2)` in pixels, or None.
        points: `(x, y, is_positive)` in pixels.
        question: what was asked, in which language.
        answer: the text.
    """

    image: str
    box: tuple[float, float, float, float] | None
    points: tuple[tuple[float, float, bool], ...]
    question: Question
    answer: str


def write_pam_data(data: Dataset, path: Path, tally: Tally) -> None:
    """Write the folders; a region without label and texts has no line."""
    language: Language = "zh" if data.header["language"] == "zh" else "en"
    set_name = data.options.name
    turned = 0
    with ExitStack() as files:
        streams: dict[Path, IO[str]] = {}
        for image in data.images():
            tally.images += 1
            for region in image.regions:
                answers = _answers(region)
                tally.regions += bool(answers)
                tally.left_out += not answers
                box, points, is_exact = _prompt(region)
                turned += bool(answers) and not is_exact
                for task, answer in answers.items():
                    folder, name = _PLACES[task]
                    kind = "boxNpoint" if points else "box"
                    file = path / folder / set_name
                    file /= f"{set_name}_{kind}_obj_{name}_{_SHORT[language]}.jsonl"
                    if file not in streams:
                        file.parent.mkdir(parents=True, exist_ok=True)
                        streams[file] = files.enter_context(file.open("x", encoding="utf-8"))
                    line = Line(image.name, box, points, Question(task, language), answer)
                    streams[file].write(_written(line) + "\n")
    if turned:
        tally.notes.append(
            f"{turned} regions have their box as the prompt: PAM's data have neither masks nor "
            "turned boxes as prompts"
        )


def read_lines(path: Path) -> Iterator[Line]:
    """Read a file of lines about images.

    Raises:
        FormatError: a line is about a film, has an unknown question, or is damaged.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _read(json.loads(line))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                told = f"there is no {error}" if isinstance(error, KeyError) else str(error)
                raise FormatError(f"{path}, line {number}: {told}") from error


def read_pam_data(folder: Path) -> list[ImageEntry]:
    """Read the lines about images in a folder as entries; lines of one prompt are one region.

    The entries have neither sizes nor masks, which the lines do not have either. Boxes are those of
    the prompts, or those around the positive points.

    Raises:
        FormatError: see `read_lines`.
    """
    images: dict[str, dict[object, RegionEntry]] = {}
    for file in sorted(folder.glob("image-*/**/*.jsonl")):
        for line in read_lines(file):
            regions = images.setdefault(line.image, {})
            region = regions.setdefault((line.box, line.points), _region(line))
            task, answer = line.question.task, line.answer
            if task is Task.DEFINITION:
                own = f"{region['label']}: "  # its line came first, if it has one
                if answer.startswith(own):
                    answer = answer.removeprefix(own)
                else:
                    label, answer = split_definition(answer)
                    region["label"] = region["label"] or label or None
            if task is Task.LABEL:
                region["label"] = answer
            region["texts"][task.value] = answer
    return [
        {
            "file": file,
            "width": None,
            "height": None,
            "regions": list(regions.values()),
            "refusals": [],
            "note": None,
            "error": None,
        }
        for file, regions in images.items()
    ]


def _answers(region: RegionEntry) -> dict[Task, str]:
    """The answers about a region; the label is the one it has, which a person may have chosen."""
    texts = {Task(key): text for key, text in region["texts"].items()}
    label = region["label"] or texts.get(Task.LABEL)
    if label:
        texts[Task.LABEL] = label
    definition = texts.get(Task.DEFINITION)
    if definition and label:
        texts[Task.DEFINITION] = f"{label}: {definition}"
    return {task: text for task, text in texts.items() if text}


_Box = tuple[float, float, float, float]
_Points = tuple[tuple[float, float, bool], ...]


def _prompt(region: RegionEntry) -> tuple[_Box | None, _Points, bool]:
    """Box and points of a region's prompt, and whether they are all of it."""
    x1, y1, x2, y2 = region["box"]
    prompt = region["prompt"]
    if prompt is None or prompt["mask"] is not None or prompt["angle"]:
        return (x1, y1, x2, y2), (), prompt is None
    points = tuple((x, y, bool(positive)) for x, y, positive in prompt["points"])
    return None if prompt["box"] is None else tuple(prompt["box"]), points, True


def _written(line: Line) -> str:
    box = None
    if line.box is not None:
        x1, y1, x2, y2 = line.box
        box = [x1, y1, x2 - x1, y2 - y1]
    content = {
        "type": "image",
        "image": line.image,
        "bbox": box,
        # A trainer refuses a list without points.
        "points": [[x, y] for x, y, _ in line.points] or None,
        "labels": [int(positive) for *_, positive in line.points] or None,
        "conversations": [
            {"from": "human", "value": _IMAGE + line.question.text},
            {"from": "gpt", "value": line.answer},
        ],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _read(content: dict[str, Any]) -> Line:
    if content["type"] != "image":
        raise ValueError("it is about a film, which cannot be read here")
    image = content["image"]
    if isinstance(image, list):
        (image,) = image
    asked, answered = (turn["value"] for turn in content["conversations"])
    question = _QUESTIONS.get(asked.removeprefix(_IMAGE))
    if question is None:
        raise ValueError(f"this is not a question of PAM's: {asked!r}")
    box = None
    if content["bbox"] is not None:
        x, y, width, height = (float(number) for number in content["bbox"])
        box = (x, y, x + width, y + height)
    pairs = zip(content["points"] or (), content["labels"] or (), strict=True)
    points = tuple((float(x), float(y), bool(label)) for (x, y), label in pairs)
    if box is None and not points:
        raise ValueError("there is neither a box nor a point")
    return Line(str(image), box, points, question, str(answered))


def _region(line: Line) -> RegionEntry:
    inside = [point for point in line.points if point[2]] or line.points
    box = line.box
    if box is None:
        xs, ys = [x for x, *_ in inside], [y for _, y, _ in inside]
        box = (min(xs), min(ys), max(xs), max(ys))
    x1, y1, x2, y2 = box
    return {
        "prompt": {
            "points": list(line.points),
            "box": None if line.box is None else list(line.box),
            "angle": 0.0,
            "mask": None,
        },
        "box": [x1, y1, x2, y2],
        "area": (x2 - x1) * (y2 - y1),
        "mask": None,
        "label": None,
        "open_label": None,
        "scores": {},
        "texts": {},
    }
