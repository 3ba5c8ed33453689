"""The real backend around the embedded model, a stand-in for Label Studio, and its traffic."""

from __future__ import annotations

import copy
import functools
import io
import json
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from label_studio_backend.media.task_media import TaskMedia
from label_studio_backend.predictor import Predictor
from label_studio_backend.server.app import create_app, create_server
from label_studio_backend.server.backend import Backend
from label_studio_backend.settings import ServerSettings
from pam_labeling import Settings
from pam_model.nano.world import HELD_OUT_SEED, render_scene
from tests.label_studio_backend.image_site import TOKEN, ImageSite

FIXTURES = Path(__file__).parent / "fixtures"
# A scene with an object where the captured clicks and boxes are.
SEED = HELD_OUT_SEED + 280


@functools.cache
def _traffic(name):
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def traffic():
    """The body of a captured request, or a captured answer, by the name of its file."""

    def read(name):
        captured = _traffic(name)
        body = captured.get("json", captured) if isinstance(captured, dict) else captured
        return copy.deepcopy(body)

    return read


@functools.cache
def drawn(seed=SEED):
    """A held-out scene of nano's world."""
    return render_scene(seed)


@functools.cache
def png(seed=SEED):
    """A held-out scene of nano's world as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(drawn(seed).image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def annotator():
    """The embedded model, shared by all tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Settings(model="nano").open_annotator() as opened:
        yield opened
    torch.set_num_threads(threads)


class Kept:
    """An annotator that outlives the backend that closes it."""

    def __init__(self, annotator):
        self._annotator = annotator

    def __getattr__(self, name):
        return getattr(self._annotator, name)

    def close(self):
        pass


@pytest.fixture
def label_studio(traffic):
    """A stand-in for Label Studio that has the images of the captured requests."""
    site = ImageSite()
    for path in (
        "/data/upload/1/314f5194-exp_small.jpg",
        "/data/upload/1/44183113-exp_small.jpg",
        "/data/upload/2/a36cbd91-exp_small.jpg",
        "/data/upload/2/2ca7375c-exp_small.jpg",
    ):
        site.images[path] = png()
    yield site
    site.close()


@pytest.fixture
def settings_for(label_studio, tmp_path):
    """Settings for the stand-in, with changes by name."""

    def make(**changes):
        values = {
            "label_studio_url": label_studio.url,
            "api_key": TOKEN,
            "media_cache_dir": tmp_path / "media",
            "port": 0,
            "predictions": 4,
        }
        return ServerSettings(**{**values, **changes})

    return make


@pytest.fixture
def open_backend(annotator, settings_for):
    """Backends around the embedded model, or around what `open_annotator` opens."""
    with ExitStack() as stack:

        def make(open_annotator=None, **changes):
            settings = settings_for(**changes)
            opener = open_annotator or (lambda: Kept(annotator))
            predictor = Predictor(
                opener,
                TaskMedia(settings),
                image_cache_bytes=settings.image_cache_bytes,
            )
            backend = stack.enter_context(closing(Backend(predictor, settings)))
            backend.settings = settings
            backend.load()
            if open_annotator is None:
                backend._loader.wait(30)
            return backend

        yield make


@pytest.fixture
def backend(open_backend):
    """A backend whose model is loaded."""
    return open_backend()


@pytest.fixture
def client_of():
    """A client that calls a backend's WSGI application without a network."""

    def make(backend):
        return create_app(backend, backend.settings).test_client()

    return make


@pytest.fixture
def client(client_of, backend):
    """A client of a backend whose model is loaded."""
    return client_of(backend)


@pytest.fixture
def serve():
    """Serves a backend with waitress on a free port, and returns the address."""
    with ExitStack() as stack:

        def start(backend):
            server = create_server(create_app(backend, backend.settings), backend.settings)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            stack.callback(_stop, server, thread)
            return f"http://127.0.0.1:{server.effective_port}"

        yield start


def _stop(server, thread):
    # In the thread of the loop, which ends when nothing is left to listen to. A loop that is awake
    # may close the trigger before it is pulled.
    with suppress(OSError):
        server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map))
    thread.join()
    server.task_dispatcher.shutdown()


def iou(one, other):
    """Intersection over union of two masks of one size."""
    return np.logical_and(one, other).sum() / np.logical_or(one, other).sum()
