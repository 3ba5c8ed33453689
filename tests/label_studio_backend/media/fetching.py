"""Ways to call a downloader, and the policies that tests give it."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

from label_studio_backend.media.downloads import Permit, Validators
from label_studio_backend.media.files import Incoming
from label_studio_backend.media.urls import NetworkZone, Url

LIMIT = 100_000


def here(url, previous):
    return Permit(NetworkZone.PRIVATE)


def anywhere_public(url, previous):
    return Permit(NetworkZone.PUBLIC)


@dataclass
class Download:
    content: bytes
    validators: Validators | None


def get(downloader, url, permit=here, *, seconds=10.0, validators=None):
    incoming = Incoming(io.BytesIO())
    deadline = time.monotonic() + seconds
    found = downloader.get(Url.parse(url), permit, deadline, incoming, validators)
    return Download(incoming.in_memory().read(), found)
