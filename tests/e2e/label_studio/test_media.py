"""Images as they come: rotated by EXIF, and behind tokens that expire."""

from __future__ import annotations

import pytest

from label_studio_backend.config.template import build_config
from tests.e2e.label_studio import servers
from tests.e2e.label_studio.api import Api, of_type
from tests.e2e.label_studio.conftest import basic_auth
from tests.e2e.label_studio.images import LABELS, DrawnImage, decode_brush
from tests.e2e.label_studio.pages import LabelingPage, screenshot

CONFIG = build_config(LABELS, texts=())


def test_a_photograph_on_its_side_is_clicked_and_answered_upright(connect, api, page):
    image = DrawnImage(8)
    heart = image.only("yellow", "heart")
    project, [task] = connect("EXIF", CONFIG, ("rotated.jpg", image.rotated_jpeg()))
    labeling = LabelingPage(page, project, task, image.size)
    labeling.switch_auto_annotation_on()
    labeling.choose("key-point")
    labeling.take("heart")
    labeling.click(*heart.middle)
    labeling.accept()
    screenshot(page, "exif")
    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    [saved] = of_type(annotation["result"], "brushlabels")
    assert (saved["original_width"], saved["original_height"]) == image.size
    assert heart.iou(decode_brush(saved)) > 0.8


@pytest.fixture
def personal(api, label_studio_url):
    """Access with a personal access token, while legacy tokens are switched off."""
    token = api.personal_access_token()
    refreshed = api.call("POST", "/api/token/refresh/", json={"refresh": token})
    bearer = Api(label_studio_url, f"Bearer {refreshed['access']}")
    bearer.allow_legacy_tokens(False)
    yield bearer, token
    bearer.allow_legacy_tokens(True)
    bearer.close()


def test_images_are_fetched_with_a_personal_access_token(personal, label_studio_url, tmp_path):
    api, token = personal
    image = DrawnImage(19)
    project = api.create_project("Personal", CONFIG, show_predictions=False)
    task = api.upload(project, "shapes.png", image.png())
    for backend in servers.serve("backend-personal", tmp_path, label_studio_url, token):
        api.connect(project, backend.url, **basic_auth(), extra_params={"points_per_side": 8})
        api.retrieve_predictions(project)
    [prediction] = api.predictions(task)
    masks = [decode_brush(one) for one in of_type(prediction["result"], "brushlabels")]
    assert max(image.only("yellow", "square").iou(mask) for mask in masks) > 0.8
