"""Write results to stdout, and progress and messages to stderr."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from pam_labeling.documents import ImageEntry, RegionEntry

_LIMITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of `--label-fit`, to compare
_LINES = (1.0, 60.0)  # the least and most seconds between two lines of progress
_ROWS = 500  # of the table of results; the image that reaches it is still shown whole
_PIPE_WIDTH = 160  # characters, if stdout is not a terminal


def shown(text: str) -> str:
    """Text that the terminal shows literally, without markup and control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text))


def results_console() -> Console:
    """A console for results, on stdout."""
    # In a pipe rich would cut lines at 80 characters.
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def messages_console() -> Console:
    """A console for messages and progress, on stderr."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def progress_bar(console: Console, images: int) -> Progress:
    """A progress bar that counts images; none for a single one."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=images < 2,
        transient=True,
    )


class RunProgress:
    """Shows how many images of a run are done: a bar on a terminal, elsewhere a line now and then.

    Nothing is shown for a single image.

    Args:
        console: a console on stderr.
        images: the number of images of the run.
    """

    def __init__(self, console: Console, images: int) -> None:
        self._console = console
        self._images = images
        self._bar = progress_bar(console, images)
        self._lines = not console.is_terminal and images > 1
        self._bar.disable |= not console.is_terminal
        self._task = self._bar.add_task("annotating", total=images)
        self._first: int | None = None  # the number of the first image that this run did
        self._shown = 0
        self._began = self._line = time.monotonic()

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def reached(self, number: int) -> None:
        """Show that the images up to this one, counted from 1, are done."""
        self._bar.update(self._task, completed=number)
        if self._first is None:
            self._first = number
        now, tenth = time.monotonic(), number * 10 // self._images
        least, most = (now - self._line >= seconds for seconds in _LINES)
        due = number == self._images or most or (least and tenth > self._shown)
        if self._lines and due:
            self._shown, self._line = tenth, now
            seconds = now - self._began
            left = seconds / (number - self._first + 1) * (self._images - number)
            self._console.print(
                f"{number:,} of {self._images:,} images in {_duration(seconds)}, about "
                f"{_duration(left)} left"
            )


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


class Rows:
    """The first entries of a run, for the table at its end; of the others, only the number.

    Attributes:
        entries: enough entries for the rows of a table.
        more: how many images have no row.
    """

    def __init__(self) -> None:
        self.entries: list[ImageEntry] = []
        self.more = 0
        self._rows = 0

    def add(self, entry: ImageEntry) -> None:
        """Keep an entry, or count it."""
        if self._rows >= _ROWS:
            self.more += 1
            return
        self.entries.append(entry)
        self._rows += max(1, len(entry["regions"]) + len(entry["refusals"]))


def results_table(images: Iterable[ImageEntry]) -> Table:
    """A table with a row for each region, each refused prompt and each failed image."""
    table = Table(show_lines=False, pad_edge=False)
    for heading in ("image", "#", "label", "score", "box"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "#" else "left")
    table.add_column("text", overflow="fold", ratio=1)
    for image in images:
        file = shown(image["file"])
        if image["error"] is not None:
            table.add_row(file, "", "[red]failed[/]", "", "", f"[red]{shown(image['error'])}[/]")
            continue
        for number, region in enumerate(image["regions"], start=1):
            table.add_row(file, str(number), *_region_cells(region))
        for refusal in image["refusals"]:
            reason = f"[yellow]{shown(refusal['reason'])}[/]"
            table.add_row(file, "", "[yellow]nothing[/]", "", "", reason)
        if not image["regions"] and not image["refusals"]:
            table.add_row(file, "", "[yellow]nothing[/]", "", "", "[yellow]nothing was found[/]")
    return table


def label_fit_table(images: Iterable[ImageEntry]) -> Table:
    """A table with a row for each region, the best fits first, and what each limit keeps."""
    rows = [
        (region["scores"]["label"] or 0.0, shown(image["file"]), number, region)
        for image in images
        for number, region in enumerate(image["regions"], start=1)
    ]
    table = Table(show_lines=False, pad_edge=False, show_footer=True)
    for heading in ("image", "#", "box", "the model's own label", "your best label"):
        table.add_column(heading, overflow="fold")
    table.add_column("fit", "kept")
    for limit in _LIMITS:
        kept = sum(fit >= limit for fit, *_ in rows)
        table.add_column(f"{limit:g}", f"{kept}/{len(rows)}", justify="right")
    for fit, file, number, region in sorted(rows, key=lambda row: -row[0]):
        own, label = region["texts"].get("label", "nothing here"), region["label"] or "—"
        box = " ".join(str(side) for side in region["box"])
        marks = ("✓" if fit >= limit else "" for limit in _LIMITS)
        table.add_row(file, str(number), box, shown(own), shown(label), f"{fit:.3f}", *marks)
    return table


def _region_cells(region: RegionEntry) -> tuple[str, str, str, str]:
    """Label, score, box and texts. Without a score of the label, it is the IoU of the mask."""
    scores = region["scores"]
    score = scores["iou"] if scores["label"] is None else scores["label"]
    texts = (text for task, text in region["texts"].items() if task != "label")
    own = region["open_label"]
    return (
        shown((region["label"] or "—") + ("" if own is None else f" · {own}")),
        f"{score:.2f}",
        " ".join(str(side) for side in region["box"]),
        shown("\n".join(texts)),
    )
