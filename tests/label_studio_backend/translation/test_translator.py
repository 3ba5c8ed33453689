"""From tasks to requests, without HTTP."""

from __future__ import annotations

import numpy as np
import pytest

from label_studio_backend.config.controls import ImageTag
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.errors import RequestError
from label_studio_backend.media.task_media import Access
from label_studio_backend.metrics import Metrics
from label_studio_backend.translation.drawn_regions import PromptDataError
from label_studio_backend.translation.predictions import PredictionError
from label_studio_backend.translation.translator import Translator, pages
from pam_labeling import Annotation, LoadedImage, Refusal, Scores

CONFIG = LabelingConfig.parse(
    """<View><Image name="image" value="$image"/>
    <BrushLabels name="brush" toName="image"><Label value="dog"/><Label value="cat"/></BrushLabels>
    <KeyPointLabels name="point" toName="image" smart="true">
      <Label value="dog"/><Label value="thing"/>
    </KeyPointLabels></View>"""
)
TASK = {"id": 7, "data": {"image": "/data/upload/1/a.png"}}
NOBODY = Access(None, None)


class OneImage:
    def get(self, value, access, task_id, name):
        assert (value, task_id, name) == ("/data/upload/1/a.png", 7, "task 7")
        return LoadedImage.from_pixels(np.zeros((40, 60, 3), np.uint8))


@pytest.fixture
def translator():
    return Translator(OneImage(), Metrics())


def click(label, x=50.0):
    value = {"x": x, "y": 50.0, "width": 0.5, "keypointlabels": [label]}
    return {
        "id": "a1b2c3d4e5",
        "from_name": "point",
        "to_name": "image",
        "type": "keypointlabels",
        "is_positive": True,
        "value": value,
    }


def test_a_label_that_was_chosen_and_can_stay_is_not_scored(translator):
    work = translator.click(TASK, [click("dog")], CONFIG, Options(), NOBODY)
    assert work.request.vocabulary is None
    assert work.regions[0].prompt.points.tolist() == [[30.0, 20.0]]


def test_a_chosen_label_that_the_answer_cannot_have_is_replaced_by_the_likeliest(translator):
    work = translator.click(TASK, [click("thing")], CONFIG, Options(), NOBODY)
    assert work.request.vocabulary.labels == ("dog", "cat")


def test_without_keep_label_pam_chooses_also_where_somebody_did(translator):
    work = translator.click(TASK, [click("dog")], CONFIG, Options(keep_label=False), NOBODY)
    assert work.request.vocabulary.labels == ("dog", "cat")


def test_prompts_of_a_tag_that_is_not_there_are_refused(translator):
    with pytest.raises(PromptDataError, match='Nothing in this request .* comes from "lost"'):
        translator.click(TASK, [click("dog") | {"from_name": "lost"}], CONFIG, Options(), NOBODY)


@pytest.mark.parametrize("prompts", [[3], [{}], [{"from_name": ["point"]}, None]])
def test_what_is_no_prompt_at_all_is_refused(translator, prompts):
    with pytest.raises(PromptDataError, match="Nothing in this request"):
        translator.click(TASK, prompts, CONFIG, Options(), NOBODY)


def test_what_the_sdk_refuses_for_this_config_is_not_sent(translator, monkeypatch):
    work = translator.click(TASK, [click("dog")], CONFIG, Options(), NOBODY)
    refusal = Refusal(work.request.prompts[0], "nothing there", Scores(0.1, 0.1))
    monkeypatch.setattr(LabelingConfig, "errors_of", lambda config, prediction: ["no such tag"])
    with pytest.raises(PredictionError, match="label_studio_sdk refuses .*: no such tag"):
        translator.prediction(work, Annotation((60, 40), (refusal,)), model_version="x")


@pytest.mark.parametrize(
    ("tag", "data", "found"),
    [
        (ImageTag("i", "$images[0].url"), {"images": [{"url": "x"}]}, ["x"]),
        (ImageTag("i", "$images"), {"images": ["x", "y"]}, ["x"]),
        (ImageTag("i", "$images", has_pages=True), {"images": ["x", "y"]}, ["x", "y"]),
        (ImageTag("i", "$images", has_pages=True), {"images": "x"}, ["x"]),
        (ImageTag("i", "https://a.org/x.png"), {}, ["https://a.org/x.png"]),
    ],
)
def test_an_image_has_the_pages_that_the_editor_shows(tag, data, found):
    assert pages({"data": data}, tag) == found


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"data": {"a": 1}}, 'the task has no "c" in its data'),
        ({"data": {"c": []}}, 'the task has an empty list where the image "i" is'),
        ({"id": 7}, r'task 7 has no data; .* as "\$c"'),
        ({"id": 7, "data": ["x"]}, r'task 7 has no data; .* as "\$c"'),
    ],
)
def test_a_task_without_the_image_is_refused(task, message):
    with pytest.raises(RequestError, match=message):
        pages(task, ImageTag("i", "$c", has_pages=True))
