"""Batches through the annotator: keys, lazy requests, joined passes, a throughput gate, a soak."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pam_labeling.annotator import Annotator, LazyRequest, Request
from pam_labeling.errors import ClosedError, DeadlineError, ImageError
from pam_labeling.jobs import Priority
from pam_labeling.media import LoadedImage, read_image
from pam_labeling.regions import Region
from pam_labeling.vocabulary import Vocabulary
from pam_model import Prompt, Question, Task
from tests.pam_labeling.conftest import COLOURS, FakePAM, draw

NAMES = [name for name in COLOURS if name != "white"]


def scene(number, *, size=(80, 60)):
    """An image of its own for each number, and a click on its only object."""
    name, x, y = NAMES[number % len(NAMES)], number % 70, number // 70
    image = LoadedImage.from_pixels(draw((name, x, y, x + 5, y + 5), size=size))
    return Request(image, (Prompt.from_points([(x + 1, y + 1)]),), key=number)


def assert_own(request, annotation):
    """The answer is that of the request's own image."""
    number = request.key
    (region,) = annotation.regions
    assert region.box[:2] == (number % 70, number // 70)
    assert region.label == NAMES[number % len(NAMES)]


def test_outcomes_come_in_order_with_the_keys_of_their_requests(annotator):
    outcomes = list(annotator.annotate_many(scene(number) for number in range(50)))
    assert [outcome.key for outcome in outcomes] == list(range(50))
    for outcome in outcomes:
        assert_own(outcome.request, outcome.annotation)


@pytest.mark.parametrize("count", [0, 3, 50])
def test_requests_that_break_off_do_so_after_their_outcomes(annotator, count):
    def requests():
        yield from map(scene, range(count))
        raise OSError("the list of images is gone")

    outcomes = annotator.annotate_many(requests())
    for number in range(count):
        outcome = next(outcomes)
        assert outcome.key == number
        assert_own(outcome.request, outcome.annotation)
    with pytest.raises(OSError, match="the list of images is gone"):
        next(outcomes)


def test_a_loop_that_is_left_early_leaves_the_requests_to_their_owner(annotator):
    requests = map(scene, range(100))
    for _ in annotator.annotate_many(requests):
        break
    assert next(requests).key < 40


def test_lazy_requests_are_made_by_readers_and_their_errors_are_their_own(annotator):
    threads = set()

    def make(number):
        threads.add(threading.current_thread().name)
        if number == 3:
            raise ImageError("image 3 could not be fetched")
        return scene(number)

    lazy = [LazyRequest(number, lambda n=number: make(n)) for number in range(6)]
    outcomes = list(annotator.annotate_many(lazy))
    assert [outcome.key for outcome in outcomes] == list(range(6))
    failed = outcomes.pop(3)
    assert failed.request is None
    assert "could not be fetched" in str(failed.error)
    for outcome in outcomes:
        assert_own(outcome.request, outcome.annotation)
    assert all(name.startswith("pam-reader") for name in threads)


def test_images_are_read_while_the_model_works(model, tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        Image.fromarray(draw(("red", number, 0, number + 5, 5))).save(path)
    all_read, read = threading.Event(), []

    def reads(source, **options):
        image = read_image(source, **options)
        read.append(source)
        if len(read) == len(paths):
            all_read.set()
        return image

    monkeypatch.setattr("pam_labeling.annotator.read_image", reads)
    model.gate.clear()
    with Annotator(model) as annotator, ThreadPoolExecutor(1) as threads:
        batch = annotator.annotate_many(Request(path, key=path) for path in paths)
        outcomes = threads.submit(list, batch)
        assert model.entered.wait(20)
        assert all_read.wait(20), "while the model is at its first image"
        model.gate.set()
        assert [outcome.key for outcome in outcomes.result(20)] == paths


def test_large_images_are_read_a_few_ahead_only(model, monkeypatch):
    """Each reader may hold one image more than the limit, which is two images here."""
    monkeypatch.setattr("pam_labeling.annotator._BYTES_AHEAD", 2 * 80 * 60 * 3)
    made = []

    def make(number):
        made.append(number)
        return scene(number)

    model.gate.clear()
    with Annotator(model, cache_bytes=0) as annotator, ThreadPoolExecutor(1) as threads:
        readers = annotator._readers[Priority.BATCH]._max_workers
        lazy = [LazyRequest(number, lambda n=number: make(n)) for number in range(40)]
        outcomes = threads.submit(list, annotator.annotate_many(lazy))
        assert model.entered.wait(20)
        time.sleep(0.3)
        assert len(made) <= 2 + readers
        model.gate.set()
        for outcome in outcomes.result(20):
            assert_own(outcome.request, outcome.annotation)
    assert sorted(made) == list(range(40))


def test_equal_steps_of_a_batch_share_their_passes(model):
    model.gate.clear()
    with Annotator(model) as annotator:
        held = annotator.submit(scene(99), priority=Priority.BATCH)
        assert model.entered.wait(20)
        requests = [scene(number) for number in range(8)]
        futures = [annotator.submit(request, priority=Priority.BATCH) for request in requests]
        model.gate.set()
        for request, future in zip(requests, futures, strict=True):
            assert_own(request, future.result(20))
        held.result(20)
    assert ("encode", 8) in model.passes
    assert ("prefill", 8) in model.passes or ("prefill", 9) in model.passes
    assert model.calls["describe"] <= 2


def test_on_a_cpu_a_click_waits_for_one_image_of_a_pass(model):
    """There a pass of several images is no faster, and nobody waits for the whole of it."""
    model.images_per_pass = 1
    model.gate.clear()
    with Annotator(model) as annotator:
        batch = [annotator.submit(scene(n), priority=Priority.BATCH) for n in (1, 2, 3, 4)]
        assert model.entered.wait(20)
        click = annotator.submit(Request(LoadedImage.from_pixels(draw(ground="yellow")), ()))
        model.gate.set()
        click.result(20)
        for future in batch:
            future.result(20)
    assert model.order.index("yellow") == 1
    assert {count for what, count in model.passes if what == "encode"} == {1}


def test_questions_of_joined_regions_stay_their_own(model):
    model.gate.clear()
    questions = [(Question(Task.LABEL),), (Question(Task.BRIEF, "zh"), Question(Task.LABEL)), ()]
    lists = [None, None, Vocabulary(("blue", "red"))]
    with Annotator(model) as annotator:
        futures = []
        for number in range(9):
            one = scene(0)
            request = Request(one.image, one.prompts, questions[number % 3], lists[number % 3])
            futures.append(annotator.submit(request, priority=Priority.BATCH))
        model.gate.set()
        for number, future in enumerate(futures):
            (region,) = future.result(20).regions
            assert set(region.texts) == set(questions[number % 3])
            assert region.label == "red"
    assert model.calls["encode"] == 1, "one image that several ask about is encoded once"


def test_a_broken_image_spoils_no_other_of_its_pass(model):
    broken = Request(LoadedImage.from_pixels(draw(("red", 9, 9, 20, 20), ground="green")), key=-1)
    model.broken.add("green")
    requests = [scene(1), scene(2), broken, scene(3)]
    with Annotator(model) as annotator:
        outcomes = {outcome.key: outcome for outcome in annotator.annotate_many(requests)}
    assert isinstance(outcomes.pop(-1).error, RuntimeError)
    for outcome in outcomes.values():
        assert_own(outcome.request, outcome.annotation)


def test_a_closed_annotator_fails_each_request_of_a_batch(model):
    annotator = Annotator(model)
    annotator.close()
    outcomes = list(annotator.annotate_many([scene(0), scene(1)]))
    assert all(isinstance(outcome.error, ClosedError) for outcome in outcomes)


def test_a_request_that_is_made_too_late_is_not_made(model):
    made = []
    with Annotator(model) as annotator:
        lazy = LazyRequest(0, lambda: made.append(1) or scene(0))
        (outcome,) = annotator.annotate_many([lazy], timeout=-1.0)
    assert isinstance(outcome.error, DeadlineError)
    assert made == []


def test_a_stream_gives_each_region_as_it_is_found(model):
    objects = [("red", x, y, x + 3, y + 3) for x in range(1, 60, 6) for y in range(1, 45, 6)]
    model.seconds_per_answer = 0.01
    with Annotator(model, regions_per_step=4) as annotator:
        job = annotator.stream(Request(LoadedImage.from_pixels(draw(*objects))))
        first = next(iter(job))
        assert isinstance(first, Region)
        assert not job.future.done()
        rest = list(job)
        assert len(rest) == 79
        assert job.result(20).results == (first, *rest)


def test_a_stream_that_is_left_early_is_cancelled(model):
    objects = [("red", x, y, x + 3, y + 3) for x in range(1, 60, 6) for y in range(1, 45, 6)]
    with Annotator(model, regions_per_step=1) as annotator:
        job = annotator.stream(Request(LoadedImage.from_pixels(draw(*objects))))
        next(iter(job))
        job.cancel()
        annotator.annotate(scene(1))
        assert model.calls["describe"] < 80


def test_joining_pays():
    """A gate: a model with a price for each call, joined against one by one, in one run."""

    class Priced(FakePAM):
        def describe_in_steps(self, contexts, questions, options=None):
            time.sleep(0.02)
            return (yield from super().describe_in_steps(contexts, questions))

    def seconds(answer):
        begin = time.perf_counter()
        with Annotator(Priced()) as annotator:
            answer(annotator)
        return time.perf_counter() - begin

    requests = [scene(number) for number in range(48)]
    alone = seconds(
        lambda a: [a.annotate(request, priority=Priority.BATCH) for request in requests]
    )
    joined = seconds(lambda a: list(a.annotate_many(requests)))
    assert alone / joined > 2


def test_soak_of_clicks_watched_work_and_batches():
    """8 threads for some seconds: nothing is lost, doubled or mixed up, and clicks hardly wait."""
    until, batch_size = time.monotonic() + 4.0, 40
    answered: Counter[tuple[str, int, int]] = Counter()

    class Counting(FakePAM):
        """Counts the steps of watched work and batches; `describe` takes a while."""

        steps = 0

        def encode_batch(self, images):
            self.steps += 1
            return super().encode_batch(images)

        def describe_in_steps(self, contexts, questions, options=None):
            for _ in range(3):
                self.steps += 1
                time.sleep(0.002)
                yield
            return (yield from super().describe_in_steps(contexts, questions))

    model: Any = Counting()
    numbers = np.random.default_rng(7)

    def click(thread):
        turn = 0
        while time.monotonic() < until:
            request = scene(int(numbers.integers(0, 2000)))
            assert_own(request, annotator.annotate(request, timeout=20))
            answered["click", thread, turn] += 1
            turn += 1
            time.sleep(0.01)

    def watch(thread):
        turn = 0
        while time.monotonic() < until:
            request = scene(2100 + thread)
            job = annotator.stream(request)
            if turn % 5 == 4:
                job.cancel()
            else:
                assert len(list(job)) == 1
                assert_own(request, job.result(20))
            answered["watched", thread, turn] += 1
            turn += 1

    def batch(thread):
        turn = 0
        while time.monotonic() < until:
            requests = [scene(batch_size * thread + index) for index in range(batch_size)]
            for request, outcome in zip(requests, annotator.annotate_many(requests), strict=True):
                assert outcome.request is request
                assert_own(request, outcome.annotation)
                answered["batch", thread, turn * batch_size + request.key] += 1
            turn += 1

    with Annotator(model, cache_bytes=200_000) as annotator, ThreadPoolExecutor(8) as threads:
        kinds = [click, click, watch, watch, batch, batch, batch, batch]
        for done in [threads.submit(kind, number) for number, kind in enumerate(kinds)]:
            done.result(60)
        assert annotator.statistics.waiting == 0
    assert model.threads == {"pam-annotator"}
    assert set(answered.values()) == {1}, "answered once each"
    by_kind = Counter(kind for kind, _, _ in answered)
    assert by_kind["click"] > 30
    assert by_kind["watched"] > 30
    assert by_kind["batch"] >= 2 * batch_size


def test_a_click_waits_for_at_most_one_step_of_others(model):
    """With batches always at work, the click's own steps follow one another."""
    log: list[str] = []

    class Logging(FakePAM):
        def encode_batch(self, images):
            log.extend({_whose(pixels) for pixels in images})
            return super().encode_batch(images)

        def segment(self, features, prompts):
            log.append(_whose(features.pixels))
            return super().segment(features, prompts)

        def describe_in_steps(self, contexts, questions, options=None):
            for _ in range(4):
                log.append("click" if "yellow" in contexts.names else "batch")
                if len(log) > 10 and not clicked:
                    clicked.append(annotator.submit(click))
                    log.append("clicked")
                yield
            return (yield from super().describe_in_steps(contexts, questions))

    def _whose(pixels):
        return "click" if (pixels == COLOURS["yellow"]).all(axis=2).any() else "batch"

    pixels = draw(("yellow", 1, 1, 9, 9))
    click = Request(LoadedImage.from_pixels(pixels), (Prompt.from_points([(2, 2)]),))
    clicked: list[Any] = []
    with Annotator(Logging()) as annotator:
        requests = [scene(number) for number in range(64) if NAMES[number % 4] != "yellow"]
        assert all(outcome.error is None for outcome in annotator.annotate_many(requests))
        assert clicked[0].result(20).regions[0].label == "yellow"
    since = log[log.index("clicked") + 1 :]
    assert since[:6] == ["click"] * 6, (
        "it begins when the step at work ends; nobody gets in between"
    )


@pytest.mark.parametrize("count", [0, 1])
def test_short_batches(annotator, count):
    assert len(list(annotator.annotate_many([scene(0)] * count))) == count


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_whatever_a_request_raises_ends_that_request_alone(annotator, kind):
    def make():
        raise kind

    requests = [scene(0), LazyRequest(1, make), scene(2)]
    first, bad, last = annotator.annotate_many(requests)
    assert_own(first.request, first.annotation)
    assert_own(last.request, last.annotation)
    assert isinstance(bad.error, MemoryError if kind is MemoryError else RuntimeError)
