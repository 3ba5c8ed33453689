"""The tracker: objects together and alone, both directions, corrections, bounded memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pam_model import PAM, CheckpointError, ImageFeatures, Prompt, PromptError, Segments
from pam_model.tracking.memory import MemoryLimits
from pam_model.tracking.tracker import TrackedFrame, Tracker, TrackerState
from tests.model.tiny import IMAGE_SIZE, tiny_pam

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BOX = [Prompt.from_box((10, 10, 50, 40))]
CLICK = [Prompt.from_points([(80, 60)])]
FRAMES = 10
LONG = 40


@pytest.fixture(scope="module")
def pam() -> PAM:
    return tiny_pam(sizes="tracking")


@pytest.fixture(scope="module")
def tracker(pam: PAM) -> Tracker:
    return Tracker(pam)


@pytest.fixture(scope="module")
def clip(pam: PAM) -> list[ImageFeatures]:
    """Noise with a bright patch that moves to the right, and a dark one that stays."""
    width, height = IMAGE_SIZE
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, height, width, 3), dtype=np.uint8)
    for index, image in enumerate(noise):
        image[10:40, 10 + 4 * index : 50 + 4 * index] = 240
        image[50:80, 60:110] = (20, 60, 90)
    return pam.encode_batch(list(noise))


def track(
    tracker: Tracker,
    clip: Sequence[ImageFeatures],
    prompts: Mapping[int, Mapping[int, Sequence[Prompt]]],
    state: TrackerState | None = None,
    *,
    frames: Sequence[int] | None = None,
    reverse: bool = False,
) -> list[TrackedFrame]:
    """Every frame's result; by default of the whole clip."""
    state = TrackerState(len(clip)) if state is None else state
    numbers = range(len(clip)) if frames is None else frames
    pairs = ((number, clip[number]) for number in numbers)
    return list(tracker.track(state, pairs, prompts, reverse=reverse))


def regions_of(found: Sequence[TrackedFrame], object_id: int) -> Segments:
    """One object's region in each frame that has it."""
    return Segments.concatenate(
        [
            each.segments.select([each.object_ids.index(object_id)])
            for each in found
            if object_id in each.object_ids
        ]
    )


def difference(one: Segments, other: Segments) -> float:
    """The largest difference of logits, pointers and region features."""
    pairs = (
        (one.mask_logits, other.mask_logits),
        (one.object_pointers, other.object_pointers),
        (one.mask_tokens, other.mask_tokens),
        (one.image_embed, other.image_embed),
    )
    return max(float((ours - theirs).abs().max()) for ours, theirs in pairs)


def test_objects_of_one_batch_are_tracked_as_if_alone(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    together = track(tracker, clip, {0: {1: BOX, 2: CLICK}, 2: {3: CLICK}})
    assert [each.object_ids for each in together[:4]] == [(1, 2), (1, 2), (3, 1, 2), (1, 2, 3)]
    for object_id, frame, prompts in ((1, 0, BOX), (2, 0, CLICK), (3, 2, CLICK)):
        alone = track(tracker, clip, {frame: {object_id: prompts}})
        theirs, ours = regions_of(alone, object_id), regions_of(together, object_id)
        assert len(theirs) == len(ours) == FRAMES - frame
        assert difference(theirs, ours) < 1e-4
    assert difference(regions_of(together, 1), regions_of(together, 2)) > 0.1


def test_a_frame_depends_on_the_frames_before_it(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    all_frames = track(tracker, clip, {0: {1: BOX}})
    without_second = track(tracker, clip, {0: {1: BOX}}, frames=[0, 2])
    assert difference(all_frames[2].segments, without_second[1].segments) > 1e-3


def test_backwards_is_forwards_through_the_reversed_clip(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    backwards = track(tracker, clip, {3: {1: BOX}}, frames=[3, 2, 1, 0], reverse=True)
    state = TrackerState(len(clip))
    forwards = track(tracker, clip[3::-1], {0: {1: BOX}}, state)
    assert [each.frame for each in backwards] == [3, 2, 1, 0]
    assert difference(regions_of(backwards, 1), regions_of(forwards, 1)) < 1e-5


def test_each_direction_finds_the_same_whichever_comes_first(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    ways = (([4, 5, 6], False), ([2, 1, 0], True))
    results: list[dict[int, Segments]] = []
    for order in (ways, ways[::-1]):
        state = TrackerState(len(clip))
        tracker.prompt(state, 3, clip[3], {1: BOX})
        found = [
            each
            for frames, reverse in order
            for each in track(tracker, clip, {}, state, frames=frames, reverse=reverse)
        ]
        results.append({each.frame: each.segments for each in found})
    assert sorted(results[0]) == [0, 1, 2, 4, 5, 6]
    assert all(difference(results[0][frame], results[1][frame]) == 0 for frame in results[0])


def test_an_object_begins_at_its_first_prompted_frame(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    state = TrackerState(len(clip))
    tracker.prompt(state, 3, clip[3], {1: BOX})
    found = track(tracker, clip, {}, state, frames=range(6))
    # In frame 3 it has the answer that `prompt` gave.
    assert [each.object_ids for each in found] == [(), (), (), (), (1,), (1,)]
    assert len(found[0].segments) == 0


def test_a_correction_begins_with_the_mask_and_the_memory_of_its_frame(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    state = TrackerState(len(clip))
    before = track(tracker, clip, {0: {1: BOX}}, state, frames=range(5))[-1].segments
    beside = [Prompt.from_points([(90, 70)], [False])]
    other = {1: -before.mask_logits[0]}
    from_other = tracker.prompt(state, 4, clip[4], {1: beside}, other).segments
    state = TrackerState(len(clip))
    track(tracker, clip, {0: {1: BOX}}, state, frames=range(5))
    corrected = tracker.prompt(state, 4, clip[4], {1: beside}).segments
    fresh = tracker.prompt(TrackerState(), 4, clip[4], {1: CLICK}).segments
    assert difference(corrected, before) > 1e-3
    assert difference(corrected, from_other) > 1e-3
    assert difference(corrected, fresh) > 1e-3
    assert list(state.objects[1].prompted) == [0, 4]
    after = tracker.step(state, 5, clip[5]).segments
    uncorrected = track(tracker, clip, {0: {1: BOX}}, frames=range(6))[-1].segments
    assert difference(after, uncorrected) > 1e-3


def test_a_prompted_frame_is_corrected_without_other_frames(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    more = [*BOX, Prompt.from_points([(60, 45)], [False])]
    answers = []
    for others in ({}, {2: {1: BOX}}):
        state = TrackerState(len(clip))
        for frame, prompts in others.items():
            tracker.prompt(state, frame, clip[frame], prompts)
        first = tracker.prompt(state, 0, clip[0], {1: BOX}).segments
        answers.append(tracker.prompt(state, 0, clip[0], {1: more}).segments)
        assert difference(first, answers[-1]) > 1e-3
    assert difference(*answers) == 0


def test_points_beside_an_object_cannot_be_all_that_shows_it(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    state = TrackerState(len(clip))
    with pytest.raises(PromptError, match="object 7: all points are beside"):
        tracker.prompt(state, 0, clip[0], {1: BOX, 7: [Prompt.from_points([(5, 5)], [False])]})
    assert not state.objects


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param([], id="nothing"),
        pytest.param([*BOX, *BOX], id="two boxes"),
        pytest.param([Prompt.from_mask(np.ones(IMAGE_SIZE[::-1])), *CLICK], id="mask and click"),
    ],
)
def test_prompts_that_contradict_each_other_are_refused(
    tracker: Tracker, clip: list[ImageFeatures], prompts: list[Prompt]
) -> None:
    with pytest.raises(PromptError, match="object 1: an object takes one mask, or any points"):
        tracker.prompt(TrackerState(), 0, clip[0], {1: prompts})


def test_several_prompts_of_an_object_are_one(tracker: Tracker, clip: list[ImageFeatures]) -> None:
    separate = [Prompt.from_points([(30, 20)]), *BOX, Prompt.from_points([(80, 60)], [False])]
    joined = [Prompt.from_box((10, 10, 50, 40), points=[(30, 20), (80, 60)], labels=[True, False])]
    one, other = (
        tracker.prompt(TrackerState(), 0, clip[0], {1: prompts}).segments
        for prompts in (separate, joined)
    )
    assert difference(one, other) == 0


def test_a_mask_is_its_own_answer_and_is_tracked(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    mask = np.zeros(IMAGE_SIZE[::-1], np.bool_)
    mask[10:40, 10:50] = True
    found = track(tracker, clip, {0: {1: [Prompt.from_mask(mask)]}}, frames=range(3))
    other = track(tracker, clip, {0: {1: [Prompt.from_mask(~mask)]}}, frames=range(3))
    assert np.array_equal(found[0].segments.mask(0), mask)
    assert difference(found[1].segments, other[1].segments) > 1e-3


def test_a_removed_object_leaves_nothing_and_does_not_change_the_others(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    state = TrackerState(len(clip))
    found = []
    frames = enumerate(clip)
    for each in tracker.track(state, frames, {0: {1: BOX, 2: CLICK}}):
        found.append(each)
        if each.frame == 3:
            held = state.nbytes
            state.remove(2)
            assert state.nbytes == held / 2
    assert [each.object_ids for each in found[3:5]] == [(1, 2), (1,)]
    alone = track(tracker, clip, {0: {1: BOX}})
    assert difference(regions_of(found, 1), regions_of(alone, 1)) < 1e-4


def test_memory_does_not_grow_with_the_clip(tracker: Tracker, clip: list[ImageFeatures]) -> None:
    state = TrackerState(LONG)
    frames = ((number, clip[number % FRAMES]) for number in range(LONG))
    held = [state.nbytes for _ in tracker.track(state, frames, {0: {1: BOX, 2: CLICK}})]
    assert held[15] < held[16] == held[-1]
    for memory in state.objects.values():
        assert list(memory.prompted) == [0]
        assert list(memory.tracked) == list(range(LONG - 7, LONG))
        assert list(memory.pointers) == list(range(LONG - 16, LONG))
    # Nothing that is kept holds the memory of a whole batch alive.
    storages = {
        part.untyped_storage().data_ptr(): part.untyped_storage().nbytes()
        for memory in state.objects.values()
        for kept in (*memory.prompted.values(), *memory.tracked.values())
        for part in (kept.map, kept.mask_logits)
    }
    pointers = sum(
        kept.nbytes
        for memory in state.objects.values()
        for kept in (*memory.pointers.values(), memory.prompted[0].pointer)
    )
    assert sum(storages.values()) + pointers == state.nbytes


def test_prompted_frames_are_bounded_and_the_first_stays(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    state = TrackerState(len(clip), MemoryLimits(prompted=3))
    for frame in (2, 0, 4, 6):
        tracker.prompt(state, frame, clip[frame], {1: BOX})
    assert list(state.objects[1].prompted) == [2, 4, 6]


def test_a_reader_is_closed_when_the_caller_leaves(
    tracker: Tracker, clip: list[ImageFeatures]
) -> None:
    read: list[int] = []
    closed = threading.Event()

    def reader() -> Iterator[tuple[int, ImageFeatures]]:
        try:
            for number, features in enumerate(clip):
                read.append(number)
                yield number, features
        finally:
            closed.set()

    threads = threading.active_count()
    source = reader()
    results = tracker.track(TrackerState(len(clip)), source, {0: {1: BOX}})
    next(results)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert read == [0, 1]
    assert closed.is_set()
    assert threading.active_count() == threads


def test_a_model_of_bfloat16_tracks(clip: list[ImageFeatures]) -> None:
    pam = tiny_pam(sizes="tracking")
    pam.network.cast(torch.bfloat16)
    halved = [
        ImageFeatures(each.size, type(each.maps)(*(part.bfloat16() for part in each.maps)))
        for each in clip[:4]
    ]
    state = TrackerState(4)
    found = track(Tracker(pam), halved, {0: {1: BOX, 2: CLICK}}, state)
    memory = state.objects[1].at(3)
    assert memory is not None
    assert memory.map.dtype == memory.pointer.dtype == torch.bfloat16
    tracked = [each.segments.mask_logits for each in found]
    assert all(bool(logits.isfinite().all()) for logits in tracked)


def test_a_model_of_still_images_says_that_it_cannot_track() -> None:
    pam = tiny_pam(sizes="tracking")
    pam.network.segmenter.sam2.memory_temporal_positional_encoding.data.zero_()
    with pytest.raises(CheckpointError, match=r"tiny cannot track: its memory was never trained"):
        Tracker(pam)
