"""Training batches ask what is true."""

from __future__ import annotations

import pytest
import torch

from pam_model.nano import render, texts
from pam_model.nano.scene import Random, sample_scenes
from pam_model.nano.texts import QUESTIONS, Facts
from pam_model.nano.train.batch import (
    REGIONS,
    _choose,
    _open_ground,
    _pick,
    of_slots,
    slot_counts,
)
from pam_model.tasks import END, after_region
from tests.nano.training import CPU, IMAGES, SIDE, batches

FACTS = 400


@pytest.fixture(scope="module")
def batch(tables):
    return batches(tables, seed=2)()


@pytest.fixture(scope="module")
def counts():
    return slot_counts(IMAGES)


@pytest.fixture(scope="module")
def sampled(tables):
    """Facts of many objects, and a text about each."""
    generator = torch.Generator().manual_seed(4)
    facts = {
        name: torch.randint(len(choices), (FACTS,), generator=generator)
        for name, choices in texts.FIELDS.items()
    }
    return facts, tables.sample(facts, Random(CPU, generator))


def test_every_text_asks_a_question_and_answers_it_rightly(sampled, tokenizer):
    facts, drawn = sampled
    asked = {after_region(question.text): question for question in QUESTIONS}
    seen = set()
    for row in range(FACTS):
        ids, answer = drawn.ids[row], drawn.supervised[row]
        start = int(answer.nonzero()[0])
        question = asked[tokenizer.decode(ids[:start].tolist())]
        text = tokenizer.decode(ids[answer].tolist())
        assert text.endswith(END)
        own = Facts(**{name: int(values[row]) for name, values in facts.items()})
        assert texts.is_right(text.removesuffix(END), question, own)
        seen.add(question)
    assert seen == set(QUESTIONS)


def test_all_wordings_are_used(sampled, tokenizer):
    _, drawn = sampled
    answers = [
        tokenizer.decode(ids[mask].tolist())
        for ids, mask in zip(drawn.ids, drawn.supervised, strict=True)
    ]
    for opening in ("This is a", "A ", "The subject is a", "这是一个", "一个", "图中有一个"):
        assert any(answer.startswith(opening) for answer in answers), opening


def test_padding_after_the_answer_is_id_0(sampled):
    _, drawn = sampled
    steps = torch.arange(drawn.ids.shape[1])
    last = (drawn.supervised * steps).amax(dim=1, keepdim=True)
    assert (drawn.ids[steps > last] == 0).all()
    assert (last < drawn.ids.shape[1]).all()


def test_slots_of_every_kind_are_as_many_as_prompts():
    for images in (8, 16, 128, 200):
        counts = slot_counts(images)
        assert sum(counts.values()) == images * REGIONS
        assert min(counts.values()) >= 1


def test_a_slot_takes_the_features_of_its_image():
    values = torch.arange(5)[:, None]
    assert of_slots(values, 3, 9).flatten().tolist() == [(3 + k) % 5 for k in range(9)]


def test_the_same_generator_gives_the_same_batch(tables, batch):
    again = batches(tables, seed=2)()
    assert torch.equal(again.images, batch.images)
    assert torch.equal(again.texts.ids, batch.texts.ids)
    assert torch.equal(again.points[1][0], batch.points[1][0])


def test_shapes_are_as_documented(batch, counts):
    total = IMAGES * REGIONS
    assert batch.images.shape == (IMAGES, 3, SIDE, SIDE)
    assert batch.truth.shape == (total, SIDE, SIDE)
    assert batch.masks.shape == (counts["mask"], 1, SIDE, SIDE)
    assert batch.things.shape == (IMAGES, SIDE // 16, SIDE // 16)
    assert all(facts.shape == batch.things.shape for facts in batch.cells.values())
    assert [points.shape[1] for points, _ in batch.points] == [1, 2, 3]
    assert sum(len(points) for points, _ in batch.points) == total - counts["mask"]
    assert batch.images.min() >= 0
    assert batch.images.max() <= 255


def areas_of(masks):
    """How much of each cell of 4 x 4 pixels masks `(N, S, S)` cover."""
    return torch.nn.functional.avg_pool2d(masks[:, None].float(), 4)[:, 0]


def covered(batch, slot, point):
    """How much of the cell that holds a point the slot's object covers."""
    x, y = (point / 4).long().clamp(0, SIDE // 4 - 1)
    return float(areas_of(batch.truth)[slot, y, x])


def test_points_on_the_object_are_on_it_and_those_beside_it_are_not(tables):
    on = beside = 0
    for seed in range(4):
        batch = batches(tables, seed=seed)()
        prompts = [prompt for run in batch.points for prompt in zip(*run, strict=True)]
        for slot, (points, labels) in enumerate(prompts):
            if not batch.is_object[slot]:
                continue
            for point, label in zip(points, labels, strict=True):
                if label == 1:
                    assert covered(batch, slot, point) > 0
                    on += 1
                elif label == 0:
                    assert covered(batch, slot, point) < 1
                    beside += 1
    assert on > 30
    assert beside >= 4


def test_empty_clicks_ask_for_no_object(batch, counts):
    first, end = counts["click"], counts["click"] + counts["empty"]
    assert counts["empty"] >= 2
    assert not batch.is_object[first:end].any()
    assert not batch.truth[first:end].any()
    assert (batch.points[0][1][first:end] == 1).all()


def test_empty_clicks_keep_away_from_objects():
    maps = torch.zeros(50, SIDE, SIDE, dtype=torch.uint8)
    maps[:, :, 40:] = 3
    maps[:, 60:70, 10:20] = 1
    random = Random(CPU, torch.Generator().manual_seed(0))
    for x, y in _pick(random, _open_ground(maps)).tolist():
        assert x < 40 - 7
        assert not (2 < x < 28 and 52 < y < 78)


def test_boxes_lie_about_their_objects(batch, counts):
    points, labels = batch.points[1]
    for index in range(counts["box"]):
        slot = counts["click"] + counts["empty"] + index
        rows, columns = torch.nonzero(areas_of(batch.truth)[slot] > 0.5, as_tuple=True)
        if not batch.is_object[slot] or not len(rows):
            continue
        tight = (
            torch.tensor([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]) * 4.0
        )
        sides = tight[1] - tight[0]
        assert labels[index].tolist() == [2, 3]
        assert ((points[index] - tight).abs() <= 0.27 * sides + 5).all()


def test_masks_hold_their_objects(batch, counts):
    own = batch.truth[-counts["mask"] :]
    assert batch.masks[:, 0][own].all()
    assert batch.masks.sum() < 4 * own.sum()


def test_prompts_ask_about_objects_that_are_there(batch, counts):
    asked = torch.ones(IMAGES * REGIONS, dtype=torch.bool)
    asked[counts["click"] : counts["click"] + counts["empty"]] = False
    assert batch.truth[asked].any(dim=2).any(dim=1).all()


def test_objects_asked_about_are_at_least_half_visible():
    scenes = sample_scenes(30, CPU, torch.Generator().manual_seed(0))
    visible = render.visible_fractions(scenes, render.index_maps(scenes, 64, 64))
    chosen = _choose(Random(CPU, torch.Generator().manual_seed(0)), scenes, visible)
    there = (visible >= 0.5) & scenes.present
    some = there.any(dim=1)
    assert some.sum() > 20
    assert there.gather(1, chosen)[some].all()
    enough = there.sum(dim=1) >= REGIONS
    for row in chosen[enough].tolist():
        assert len(set(row)) == REGIONS
