"""PAM in FiftyOne's model zoo: registered from a zip as people do, loaded, its form."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import fiftyone as fo
import fiftyone.zoo as foz
import pytest

from fiftyone_plugin import zoo
from fiftyone_plugin.models import AnnotatorPool, settings_of
from fiftyone_plugin.zoo import load_model
from fiftyone_plugin.zoo.model import CHECKPOINTS
from tests.fiftyone_plugin.served import PLUGIN, repository

LOADED = "fiftyone.plugins.orgs.pam_labeling.pam.models"
NAMES = ["pam-1.5b", "pam-3b", "pam-nano"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The repository on the web, registered as a source of models."""
    with repository(tmp_path_factory.mktemp("web")) as url:
        foz.register_zoo_model_source(url)
        yield url
        foz.delete_zoo_model_source(url)


def test_a_source_is_found_inside_a_repository(source):
    assert foz.list_zoo_models(source=source) == NAMES


def test_only_the_folder_of_the_source_is_copied(source):
    (folder,) = Path(fo.config.model_zoo_dir).rglob("manifest.json")
    assert {path.name for path in folder.parent.iterdir()} >= {"__init__.py", "manifest.json"}
    assert not (folder.parent / "labels.py").exists()
    assert not (folder.parent.parent / "labels.py").exists()


def test_the_zoo_loads_applies_and_forgets_a_model(source, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    assert not foz.is_zoo_model_downloaded("pam-nano")
    model = foz.load_zoo_model("pam-nano", texts=["label"])
    assert foz.is_zoo_model_downloaded("pam-nano")
    note = json.loads(Path(foz.find_zoo_model("pam-nano")).read_text())
    assert note["checkpoint"] == "nano"
    assert (Path(note["folder"]) / "config.json").is_file()
    dataset.apply_model(model, label_field="pam", prompt_field="ground_truth")
    assert dataset.count("pam.detections") == dataset.count("ground_truth.detections")
    foz.delete_zoo_model("pam-nano")
    assert not foz.is_zoo_model_downloaded("pam-nano")
    assert (Path(note["folder"]) / "config.json").is_file()


def test_the_models_of_the_manifest_are_those_of_the_source():
    manifest = json.loads((PLUGIN / "zoo" / "manifest.json").read_text())
    assert {model["base_name"] for model in manifest["models"]} == set(CHECKPOINTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ["label"]}, 'no option "text". Did you mean "texts"'),
        ({"texts": ["caption"]}, '"detailed", not one with "caption"'),
        ({"language": "de"}, '"en" or "zh", not "de"'),
        ({"classes": ["a", "a"]}, "'a' is in the list twice"),
        ({"classes": ["a"], "label_fit": 2}, "from 0 to 1"),
        ({"device": "abacus"}, "device must be a text such as"),
        ({"points_per_side": 0}, "points_per_side"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load_model("pam-nano", "", **options)


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="The model must be one of pam-nano, .*, not pam-7b"):
        load_model("pam-7b", "")
    with pytest.raises(ValueError, match="not pam-7b"):
        zoo.download_model("pam-7b", str(tmp_path / "note"))


def test_a_large_model_is_downloaded_by_its_own_name(monkeypatch, tmp_path):
    asked = []
    hub = importlib.import_module("pam_model.checkpoints.hub")
    monkeypatch.setattr(hub, "download", lambda name: asked.append(name) or tmp_path)
    zoo.download_model("pam-3b", str(tmp_path / "pam-3b.json"))
    assert asked == ["PAM-3B"]
    note = json.loads((tmp_path / "pam-3b.json").read_text())
    assert note == {"checkpoint": "PAM-3B", "folder": str(tmp_path)}


def test_a_missing_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.delitem(sys.modules, "fiftyone_plugin.zoo.model")
    monkeypatch.setitem(sys.modules, "pam_labeling", None)
    with pytest.raises(ImportError, match=r"pam-labeling.*pip install \."):
        load_model("pam-nano", "")


def test_a_missing_package_of_others_keeps_its_name(monkeypatch):
    monkeypatch.delitem(sys.modules, "fiftyone_plugin.zoo.model")
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ModuleNotFoundError, match="pydantic"):
        load_model("pam-nano", "")


def test_the_form_offers_the_fields_with_prompts(source, scene_dataset):
    dataset = scene_dataset(0)
    dataset.set_values("class", [fo.Classification(label="x")])
    form = foz.get_zoo_model("pam-nano").resolve_input(SimpleNamespace(view=dataset.view()))
    properties = form.type.properties
    assert list(properties) == ["prompt_field", "texts", "language", "classes", "device"]
    assert properties["prompt_field"].type.values == ["ground_truth"]
    assert not form.invalid


def test_the_form_offers_fields_of_frames(new_dataset):
    dataset = new_dataset()
    dataset.media_type = "video"
    dataset.add_frame_field("found", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    form = zoo.resolve_input("pam-nano", SimpleNamespace(view=dataset.view()))
    assert form.type.properties["prompt_field"].type.values == ["frames.found"]


def test_the_form_says_that_the_package_is_missing(monkeypatch, scene_dataset):
    monkeypatch.setitem(sys.modules, "fiftyone_plugin.zoo.model", None)
    form = zoo.resolve_input("pam-nano", SimpleNamespace(view=scene_dataset(0).view()))
    assert form.invalid
    assert "pip install" in form.type.properties["missing"].view.label


def test_what_the_form_gives_loads_the_model(source, scene_dataset):
    dataset = scene_dataset(0)
    params = {
        "prompt_field": "ground_truth",
        "texts": ["label"],
        "language": "en",
        "classes": [],
        "device": None,
    }
    foz.get_zoo_model("pam-nano").parse_parameters(SimpleNamespace(), params)
    assert params == {"prompt_field": "ground_truth", "texts": ["label"], "language": "en"}
    model = foz.load_zoo_model("pam-nano", **params)
    dataset.apply_model(model, label_field="pam", skip_failures=False)
    assert dataset.count("pam.detections") == dataset.count("ground_truth.detections")


@pytest.fixture
def pools(monkeypatch):
    """A pool of annotators that keeps none, of the package or of the plugin that FiftyOne loads."""

    def replace(module):
        pool = AnnotatorPool(idle_seconds=0)
        if module == "fiftyone_plugin.models":
            monkeypatch.delitem(sys.modules, LOADED, raising=False)
            monkeypatch.setattr("fiftyone_plugin.models.POOL", pool)
        else:
            loaded = SimpleNamespace(POOL=pool, settings_of=settings_of)
            monkeypatch.setitem(sys.modules, module, loaded)
        return pool

    return replace


@pytest.mark.parametrize("module", ["fiftyone_plugin.models", LOADED])
def test_a_model_is_held_while_it_is_applied_with_those_of_the_operators(pools, module):
    pool = pools(module)
    model = load_model("pam-nano", "", texts=["label"])
    assert len(pool) == 0
    with model:
        assert len(pool) == 1
    assert len(pool) == 0
