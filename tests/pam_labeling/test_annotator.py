from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pam_labeling.annotator import Annotator, Request
from pam_labeling.errors import BusyError, ClosedError, DeadlineError, ImageError
from pam_labeling.jobs import Priority
from pam_labeling.media import LoadedImage
from pam_model import Prompt, PromptError
from tests.pam_labeling.conftest import COLOURS, FakePAM, FakeSegments, draw

OBJECTS = (("red", 5, 6, 25, 20), ("blue", 30, 10, 60, 40))
RED_BOX, BLUE_BOX = (
    Prompt.from_box((5, 6, 25, 20)),
    Prompt.from_box((30, 10, 60, 40)),
)


def scene(*objects, **options):
    return LoadedImage.from_pixels(draw(*(objects or OBJECTS), **options))


def hold(annotator, model, ground="yellow"):
    """Keep the worker busy until `model.gate` opens."""
    model.gate.clear()
    model.entered.clear()
    image = scene(("red", 0, 1, 4, 4), ground=ground)
    future = annotator.submit(Request(image), priority=Priority.INTERACTIVE)
    assert model.entered.wait(20)
    return future


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt.from_box((5, 5, 5, 9)), "empty"),
        (Prompt.from_points([(200, 3)]), "outside"),
        (Prompt.from_points([(float("nan"), 3)]), "finite"),
        (Prompt.from_mask(np.zeros((48, 64))), "mask is empty"),
        (Prompt.from_mask(np.ones((4, 6))), "6 x 4"),
    ],
)
def test_a_senseless_prompt_is_refused_by_its_number_before_any_work(
    annotator, model, prompt, message
):
    with pytest.raises(PromptError, match=f"prompt 2: .*{message}"):
        annotator.annotate(Request(scene(), (RED_BOX, prompt)))
    assert not model.calls


def test_images_are_read_from_paths_and_bytes(annotator, tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(draw(*OBJECTS)).save(path)
    for source in (path, str(path), path.read_bytes()):
        assert len(annotator.annotate(Request(source)).regions) == 2
    with pytest.raises(ImageError, match="no such file"):
        annotator.annotate(Request(tmp_path / "missing.png"))


def test_an_image_over_the_limit_is_refused(model, tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(draw()).save(path)
    with Annotator(model, max_pixels=100) as annotator, pytest.raises(ImageError, match="large"):
        annotator.annotate(Request(path))


def test_a_full_queue_answers_busy(model):
    with Annotator(model, queue_size=1) as annotator:
        hold(annotator, model)
        waiting = annotator.submit(Request(scene()))
        with pytest.raises(BusyError):
            annotator.annotate(Request(scene()))
        model.gate.set()
        assert len(waiting.result(20).regions) == 2


def test_interactive_requests_overtake_batches(annotator, model):
    hold(annotator, model)
    batch = annotator.submit(Request(scene(ground="green")), priority=Priority.BATCH)
    click = annotator.submit(Request(scene(ground="blue")))
    model.gate.set()
    batch.result(20)
    click.result(20)
    assert model.order == ["yellow", "blue", "green"]


def test_a_click_gets_in_between_the_regions_of_one_large_request(model):
    objects = [("red", x, y, x + 3, y + 3) for x in range(1, 60, 6) for y in range(1, 45, 6)]
    model.seconds_per_answer = 0.05
    with Annotator(model, regions_per_step=2) as annotator:
        large = annotator.submit(Request(scene(*objects)), priority=Priority.BATCH)
        while model.calls["describe"] == 0:
            time.sleep(0.005)
        annotator.annotate(Request(scene(), (RED_BOX,)))
        assert not large.done()
        model.seconds_per_answer = 0.0
        assert len(large.result(20).regions) == 80


def test_a_deadline_ends_the_wait_in_the_queue(annotator, model):
    hold(annotator, model)
    begin = time.monotonic()
    with pytest.raises(DeadlineError):
        annotator.annotate(Request(scene()), timeout=0.1)
    assert time.monotonic() - begin < 5
    model.gate.set()
    annotator.annotate(Request(scene(ground="green")))
    assert model.order == ["yellow", "green"]


def test_a_deadline_reaches_the_model_at_work(annotator, model):
    model.seconds_per_answer = 0.3
    future = annotator.submit(Request(scene()), timeout=0.2)
    assert isinstance(future.exception(20), DeadlineError)


def test_a_cancelled_request_is_skipped(annotator, model):
    hold(annotator, model)
    future = annotator.submit(Request(scene(ground="green")))
    assert future.cancel()
    model.gate.set()
    annotator.annotate(Request(scene(ground="blue")))
    assert model.order == ["yellow", "blue"]
    with pytest.raises(CancelledError):
        future.result()


def test_a_request_is_cancelled_at_work_between_two_steps(annotator, model):
    future = hold(annotator, model)
    assert future.cancel()
    model.gate.set()
    annotator.annotate(Request(scene()))
    assert model.calls["find_everything"] == 1


def test_an_interrupted_wait_cancels_the_work(annotator, model, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    hold(annotator, model)
    with monkeypatch.context() as patch:
        patch.setattr("pam_labeling.annotator.futures.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            annotator.annotate(Request(scene(ground="green")))
    model.gate.set()
    annotator.annotate(Request(scene(ground="blue")))
    assert model.order == ["yellow", "blue"]


def test_scores_that_are_not_numbers_fail_that_request(annotator, model, monkeypatch):
    monkeypatch.setattr(FakeSegments, "iou_scores", np.array([np.nan, 0.5]))
    with pytest.raises(ArithmeticError, match="not finite"):
        annotator.annotate(Request(scene()))


def test_errors_of_the_model_reach_the_caller_and_the_worker_lives_on(annotator, model):
    model.broken.add("green")
    with pytest.raises(RuntimeError, match="the model broke"):
        annotator.annotate(Request(scene(ground="green")))
    assert len(annotator.annotate(Request(scene())).regions) == 2
    assert model.threads == {"pam-annotator"}


def test_a_bad_image_of_a_batch_spoils_no_other(annotator, model, tmp_path):
    model.broken.add("green")
    requests = [
        Request(scene()),
        Request(tmp_path / "missing.png"),
        Request(scene(ground="green")),
        Request(scene(), (Prompt.from_points([(999, 1)]),)),
        Request(scene(ground="yellow")),
    ]
    outcomes = list(annotator.annotate_many(requests))
    assert [outcome.request for outcome in outcomes] == requests
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [type(None), ImageError, RuntimeError, PromptError, type(None)]
    assert [outcome.annotation is not None for outcome in outcomes] == [
        True,
        False,
        False,
        False,
        True,
    ]


def test_a_batch_longer_than_the_queue_is_done_wholly_and_lazily(model):
    read = []

    def requests():
        for index in range(60):
            read.append(index)
            yield Request(scene(("red", 0, 0, 2 + index, 4)), (Prompt.from_points([(1, 1)]),))

    with Annotator(model, queue_size=1) as annotator:
        for index, outcome in enumerate(annotator.annotate_many(requests())):
            assert outcome.annotation is not None
            assert outcome.annotation.regions[0].box == (0, 0, 2 + index, 4)
            assert len(read) <= index + 34


def test_leaving_a_batch_early_cancels_what_is_queued(annotator, model):
    outcomes = annotator.annotate_many(
        Request(scene(("red", 0, 0, 2 + index // 48, 1 + index % 48))) for index in range(300)
    )
    next(outcomes)
    outcomes.close()
    annotator.annotate(Request(scene()))
    assert len(model.order) <= 40


def test_a_deadline_in_a_batch_is_that_images_own(annotator, model):
    model.seconds_per_answer = 0.3
    requests = [Request(scene()), Request(scene(), questions=())]
    slow, fast = annotator.annotate_many(requests, timeout=0.2)
    assert isinstance(slow.error, DeadlineError)
    assert fast.error is None or isinstance(fast.error, DeadlineError)


def test_closing_fails_what_is_left_and_refuses_what_comes(model):
    annotator = Annotator(model)
    first = hold(annotator, model)
    waiting = annotator.submit(Request(scene()))
    closing = threading.Thread(target=annotator.close)
    closing.start()
    assert isinstance(waiting.exception(20), ClosedError)
    model.gate.set()
    closing.join(20)
    assert isinstance(first.exception(20), ClosedError)
    with pytest.raises(ClosedError):
        annotator.annotate(Request(scene()))
    assert annotator.statistics.cached_bytes == 0
    annotator.close()


UNCLOSED = """
import threading
import numpy as np
import torch
from pam_labeling.annotator import Annotator, Request
from pam_labeling.media import LoadedImage
from tests.pam_labeling.conftest import FakePAM

begun = threading.Event()

class Slow(FakePAM):
    def encode_batch(self, images):
        begun.set()
        torch.ones(2_000, 2_000) @ torch.ones(2_000, 2_000)  # without Python's lock
        return super().encode_batch(images)

torch.set_num_threads(1)
annotator = Annotator(Slow())
annotator.submit(Request(LoadedImage.from_pixels(np.zeros((8, 8, 3), np.uint8))))
begun.wait()
"""


def test_a_program_may_end_while_its_annotator_is_at_work():
    """Python aborts, as "terminate called without an active exception", if torch still runs."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", UNCLOSED], check=True, env=environment, timeout=120)


def test_a_callback_may_close_the_annotator(model):
    annotator = Annotator(model)
    closed = threading.Event()

    def close(_):
        annotator.close()
        closed.set()

    annotator.submit(Request(scene())).add_done_callback(close)
    assert closed.wait(20)


def test_many_threads_never_mix_their_images():
    """16 threads, 10 images each, small cache: every mask and word belongs to its own image."""
    model: Any = FakePAM()
    names = [name for name in COLOURS if name != "white"]

    def work(thread):
        for turn in range(10):
            name = names[(thread + turn) % len(names)]
            x, y = thread * 3, turn * 4
            image = scene((name, x, y, x + 5, y + 5), size=(80, 60))
            request = Request(image, (Prompt.from_points([(x + 1, y + 1)]),))
            priority = Priority.BATCH if turn % 3 == 0 else Priority.INTERACTIVE
            (region,) = annotator.annotate(request, priority=priority, timeout=60).regions
            assert region.box == (x, y, x + 5, y + 5)
            assert region.label == name
        return True

    with Annotator(model, cache_bytes=100_000) as annotator, ThreadPoolExecutor(16) as threads:
        assert all(threads.map(work, range(16)))
    assert model.threads == {"pam-annotator"}


def test_limits_below_their_range_are_refused(model):
    for limits in ({"regions_per_step": 0}, {"queue_size": 0}, {"cache_bytes": -1}):
        with pytest.raises(ValueError, match="must be"):
            Annotator(model, **limits)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_an_endless_timeout_is_none(annotator, timeout):
    assert annotator.annotate(Request(scene(), (RED_BOX,)), timeout=timeout).regions


def test_a_click_gets_in_while_everything_is_looked_for():
    class Patient(FakePAM):
        def everything_in_steps(self, features, options=None):
            looking.set()
            assert clicked.wait(20)
            yield  # a click that came meanwhile goes first
            assert done == ["click"]
            return (yield from super().everything_in_steps(features))

    looking, clicked, done = threading.Event(), threading.Event(), []
    with Annotator(Patient()) as annotator:
        batch = annotator.submit(Request(scene()), priority=Priority.BATCH)
        batch.add_done_callback(lambda _: done.append("everything"))
        assert looking.wait(20)
        click = annotator.submit(Request(scene(ground="green"), prompts=(RED_BOX,)))
        click.add_done_callback(lambda _: done.append("click"))
        clicked.set()
        assert len(batch.result(20).regions) == 2
    assert done == ["click", "everything"]
