"""The measures are 1 for a model that knows everything, and each falls when its own answers do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pam_model.nano import evaluate, measure, texts, words
from pam_model.nano.world import HELD_OUT_SEED
from pam_model.tasks import Question, Task
from tests.nano.drawn import known_flat_image, known_scene
from tests.nano.oracle import Oracle

SCENES = 8


@pytest.fixture(scope="module")
def scenes():
    return [known_scene(HELD_OUT_SEED + number) for number in range(SCENES)]


@pytest.fixture(scope="module")
def flat():
    return [known_flat_image(HELD_OUT_SEED + number) for number in range(SCENES)]


def values(measures):
    return {row.name: row.value for row in measures}


def of_scenes(oracle):
    return values(measure.scene_measures(measure.ask(oracle, oracle.images)))


def below_1(measures):
    return {name for name, value in measures.items() if value < 1}


def test_who_knows_everything_gets_1_everywhere(scenes, flat):
    found = measure.scene_measures(measure.ask(Oracle(scenes), scenes))
    found += measure.flat_measures(measure.ask(Oracle(flat), flat, measure.FLAT_QUESTIONS))
    assert {row.value for row in found} == {1.0}
    assert len(values(found)) == len(found) == 26


def test_every_measure_counts_what_it_was_taken_of(scenes):
    answers = measure.ask(Oracle(scenes), iter(scenes))
    objects = sum(len(image.objects) for image in scenes)
    empty = sum(image.empty_click is not None for image in scenes)
    for row in measure.scene_measures(answers):
        assert row.objects == (empty if row.name == "empty click refused" else objects)


def test_the_aims_are_those_that_were_set(scenes):
    answers = measure.ask(Oracle(scenes), scenes)
    rows = [*measure.scene_measures(answers), *measure.flat_measures(answers)]
    aims = {row.name: row.aim for row in rows if row.aim is not None}
    for language in ("en", "zh"):
        assert aims.pop(f"label, from a box ({language})") == 0.96
        assert aims.pop(f"label, from a click ({language})") == 0.96
        assert aims.pop(f"classify, of 20 names ({language})") == 0.97
        assert aims.pop(f"brief ({language})") == 0.94
        assert aims.pop(f"detailed ({language})") == 0.8
        assert aims.pop(f"flat: label, from a box ({language})") == 0.98
    assert aims == {
        "box IoU": 0.95,
        "click IoU": 0.93,
        "empty click refused": 0.95,
        "flat: box IoU": 0.95,
    }


def test_a_mask_that_misses_half_its_object_halves_the_iou(scenes):
    oracle = Oracle(scenes)
    oracle.shrink = True
    found = of_scenes(oracle)
    assert found["box IoU"] == pytest.approx(0.5, abs=0.02)
    assert below_1(found) == {"box IoU"}


def test_taking_the_ground_for_an_object_shows_in_empty_clicks(scenes):
    oracle = Oracle(scenes)
    oracle.gullible = True
    assert of_scenes(oracle)["empty click refused"] == 0


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_wrong_answer_shows_in_its_own_measure_alone(scenes, task, language):
    asked = Question(task, language)

    def lie(question, facts):
        other = facts._replace(shape=(facts.shape + 1) % len(words.SHAPES))
        return texts.answer(other, question) if question == asked else None

    lowered = {
        Task.LABEL: {f"label, from a box ({language})", f"label, from a click ({language})"},
    }.get(task, {f"{task.value} ({language})"})
    found = of_scenes(Oracle(scenes, lie))
    assert below_1(found) == lowered
    assert all(found[name] == 0 for name in lowered)


def test_a_shape_that_is_taken_for_another_is_reported(scenes):
    shape = scenes[0].objects[0].drawn.facts.shape
    name = words.SHAPES[shape].en

    def lie(question, facts):
        return "blob" if facts.shape == shape and question == Question(Task.LABEL) else None

    reports = {r.group: r for r in measure.by_shape(measure.ask(Oracle(scenes, lie), scenes))}
    count = sum(thing.drawn.facts.shape == shape for known in scenes for thing in known.objects)
    mistaken = reports.pop(name)
    assert mistaken.objects == count
    assert mistaken.label_right == 0
    assert mistaken.taken_for == {"blob": count}
    others = [report for report in reports.values() if report.objects]
    assert others
    assert all(report.label_right == 1 and not report.taken_for for report in others)


def test_captions_are_split_by_fact(scenes):
    def lie(question, facts):
        if question != Question(Task.DETAILED):
            return None
        return texts.answer(facts._replace(ground=(facts.ground + 1) % 5), question)

    found = values(measure.by_fact(measure.ask(Oracle(scenes, lie), scenes)))
    assert below_1(found) == {"ground in detailed (en)"}
    assert found["ground in detailed (en)"] == 0


def test_labels_are_split_by_circumstance(scenes):
    rows = measure.by_circumstance(measure.ask(Oracle(scenes), scenes))
    total = sum(len(image.objects) for image in scenes)
    for prefix in ("texture", "size", "ground"):
        assert sum(row.objects for row in rows if row.group.startswith(prefix)) == total
    assert sum(row.objects for row in rows if row.group in ("whole", "partly hidden")) == total
    assert {row.label_right for row in rows if row.objects} == {1.0}


def test_a_colour_that_is_named_wrongly_shows_on_flat_images(flat):
    def lie(question, facts):
        if question != Question(Task.BRIEF):
            return None
        return texts.answer(facts._replace(colour=(facts.colour + 1) % 12), question)

    answers = measure.ask(Oracle(flat, lie), flat, measure.FLAT_QUESTIONS)
    assert below_1(values(measure.flat_measures(answers))) == {"flat: colour, in brief (en)"}


def test_iou_of_masks():
    mask = np.zeros((4, 4), np.bool_)
    assert measure.mask_iou(mask, mask) == 1
    half, whole = mask.copy(), mask.copy()
    half[0, :2] = whole[0] = True
    assert measure.mask_iou(half, whole) == 0.5
    assert measure.mask_iou(mask, whole) == 0


@pytest.fixture
def oracle_for_the_command(monkeypatch):
    """The command measures an oracle that knows the images that it draws."""
    oracle = Oracle([])

    def remembered(draw):
        def draw_and_learn(seed):
            image = draw(seed)
            oracle.images.append(image)
            oracle.objects += image.objects
            return image

        return draw_and_learn

    monkeypatch.setattr(evaluate, "known_scene", remembered(known_scene))
    monkeypatch.setattr(evaluate, "known_flat_image", remembered(known_flat_image))
    monkeypatch.setattr(evaluate.PAM, "from_pretrained", lambda name, device: oracle)
    return oracle


def test_the_command_prints_values_beside_aims(oracle_for_the_command, capsys):
    evaluate.main(["--scenes", "3", "--flat", "2"])
    printed = capsys.readouterr().out
    assert "oracle on cpu: 3 scenes, 2 flat images" in printed
    row = next(line for line in printed.splitlines() if "classify, of 20 names (en)" in line)
    assert "100.0 %" in row
    assert "97.0 %" in row
    assert "by shape" not in printed


def test_the_command_prints_what_is_taken_for_what(oracle_for_the_command, capsys):
    oracle_for_the_command.lie = lambda question, facts: "[red]blob"  # nor is markup obeyed
    evaluate.main(["--scenes", "2", "--flat", "2", "--by-shape"])
    printed = capsys.readouterr().out
    assert "Scenes, by shape" in printed
    assert "'[red]blob'" in printed


def test_the_command_writes_all_numbers(oracle_for_the_command, capsys, tmp_path):
    evaluate.main(["--scenes", "3", "--flat", "2", "--json", str(tmp_path / "report.json")])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["scenes"], report["flat_images"]) == (3, 2)
    assert all(row["value"] == 1 for row in report["measures"])
    shapes = report["groups"]["Scenes, by shape"]
    assert [row["group"] for row in shapes] == [word.en for word in words.SHAPES]
    for row in shapes:
        assert row["box_iou"] == (1 if row["objects"] else None)
    assert len(report["facts"]) == 12


@pytest.mark.parametrize("count", ["0", "-3"])
def test_the_command_refuses_to_measure_nothing(count, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--scenes", count])
    assert "must be 1 or more" in capsys.readouterr().err
