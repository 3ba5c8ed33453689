"""Commands on a project: their access to Label Studio, and their end at Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from label_studio_backend.api_client import Api
from pam_labeling.command_line.exit_codes import CommandError
from pam_labeling.command_line.terminal import shown

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import Console

    from label_studio_backend.settings import ServerSettings


def access_of(settings: ServerSettings, command: str) -> tuple[str, str]:
    """Label Studio's address and the API key for a command.

    Raises:
        CommandError: one of them is missing.
    """
    if settings.label_studio_url is None or settings.api_key is None:
        raise CommandError(
            f"{command} needs Label Studio's address and an API key: --label-studio-url and "
            "--api-key, or LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"
        )
    return settings.label_studio_url, settings.api_key


@contextmanager
def stoppable_api(
    access: tuple[str, str], patience: float, stop: threading.Event, console: Console
) -> Iterator[Api]:
    """Label Studio's API for a command that `stopping` ends; what it waits for is printed."""

    def tell(sentence: str) -> None:
        console.print(f"[yellow]{shown(sentence)}[/]")

    address, key = access
    with (
        stopping(stop, console),
        closing(Api(address, key, patience=patience, stop=stop, tell=tell)) as api,
    ):
        yield api


@contextmanager
def stopping(stop: threading.Event, console: Console) -> Iterator[None]:
    """Inside, the first Ctrl-C (or SIGTERM) sets `stop`, and the second interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()
        console.print("[yellow]stopping: what is finished is still written[/]")

    with signals(handle):
        yield


@contextmanager
def signals(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM call `handle`."""
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
