"""Parse the prompts of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pam_labeling.errors import ImageError, PromptError
from pam_labeling.media import MAX_PIXELS, MAX_SIDE, read_mask
from pam_labeling.regions import Prompt

NEXT = "next"
_LARGEST = (MAX_SIDE, MAX_SIDE)  # width and height of an image in pixels
_SIGNS = {"+": True, "-": False}


def parse_prompts(
    boxes: Iterable[str],
    points: Iterable[str],
    masks: Sequence[str],
    *,
    max_pixels: int = MAX_PIXELS,
) -> tuple[Prompt, ...]:
    """The prompts of `--box`, `--point` and `--mask`, in this order.

    Args:
        boxes: `x1,y1,x2,y2` in pixels; each makes a region.
        points: `x,y` in pixels, or `x,y,-` for a point beside the object. They belong to one
            region; the word `next` begins another.
        masks: image files, see `read_mask`; each makes a region.
        max_pixels: the largest mask that is read, as width x height.

    Raises:
        PromptError: a value has another form, or can be right in no image; the message quotes it.
    """
    drawn = [_mask(file, max_pixels) for file in masks]
    # Masks fit images of their own size only; without one, any image may be meant.
    size = next((prompt.cropped.size for prompt in drawn if prompt.cropped is not None), _LARGEST)
    given = [
        *(
            (f"--box {box}", Prompt.from_box(_numbers("--box", box, "x1,y1,x2,y2", 4)))
            for box in boxes
        ),
        *((f"--point {' '.join(group)}", _clicks(group)) for group in _groups(points)),
        *((f"--mask {file}", prompt) for file, prompt in zip(masks, drawn, strict=True)),
    ]
    return tuple(_checked(prompt, text, size) for text, prompt in given)


def _checked(prompt: Prompt, text: str, size: tuple[int, int]) -> Prompt:
    try:
        prompt.check(size)
    except PromptError as error:
        raise PromptError(f"{text} fits no image: {error}") from error
    return prompt


def _mask(file: str, max_pixels: int) -> Prompt:
    try:
        return Prompt.from_mask(read_mask(file, max_pixels=max_pixels))
    except ImageError as error:
        raise PromptError(f"--mask {error}") from error


def _groups(points: Iterable[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for point in points:
        if point.strip() == NEXT:
            groups.append([])
        else:
            groups[-1].append(point)
    if groups == [[]]:
        return []
    if [] in groups:
        raise PromptError(f"--point {NEXT} must be between the points of two regions")
    return groups


def _clicks(texts: Sequence[str]) -> Prompt:
    points, labels = [], []
    for text in texts:
        place, comma, sign = text.strip().rpartition(",")
        # Without a sign, the part after the last comma is y.
        signed = bool(comma) and sign.strip() in _SIGNS
        points.append(_numbers("--point", place if signed else text, "x,y or x,y,-", 2, shown=text))
        labels.append(_SIGNS[sign.strip()] if signed else True)
    return Prompt.from_points(points, labels)


def _numbers(
    option: str, text: str, form: str, count: int, *, shown: str | None = None
) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []  # refused below, as too few numbers are
    if len(values) != count:
        raise PromptError(f"{option} must be {form} in pixels, not {shown or text!r}")
    return values
