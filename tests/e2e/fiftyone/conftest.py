"""One database, one App, one browser; a new dataset of nano scenes for every test."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.fiftyone import servers
from tests.e2e.fiftyone.pages import SECONDS, AppPage
from tests.e2e.label_studio.servers import chromium, free_port
from tests.fiftyone_plugin.conftest import Database, ground_truth, scene

_FAILED = pytest.StashKey[bool]()
_CHROMIUM_OPTIONS = (
    "--no-sandbox",  # which root cannot have, and a container does not need
    "--use-gl=angle",  # the App draws labels with WebGL
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Captions speak of colours: a grey that darkens leaves them as they are.
_COLOUR = "#444c5c"
_NO_ADVERTISEMENT = "localStorage['fiftyone-enterprise-tooltip-seen'] = 'true'"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session")
def environment():
    """A database of its own, and the plugin in FiftyOne's folder of plugins."""
    chromium()  # say that it is missing now rather than after a minute
    servers.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    database = Database()
    plugin = Path(os.environ["FIFTYONE_PLUGINS_DIR"]) / "pam-labeling"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(servers.ROOT / "fiftyone_plugin", plugin, ignore=ignored)
    # Two cores have a browser, a database and two servers to run.
    os.environ.update(OMP_NUM_THREADS="1", PAM_THREADS="1", PAM_MODEL="nano")
    os.environ["FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS"] = "true"
    yield
    database.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def app_url(environment):
    """`fiftyone app launch`, as on a server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ["app", "launch", "--remote", "--address", "127.0.0.1", "--port", str(port)]
    command = servers.Command("fiftyone-app", [*arguments, "--wait", "-1"], {})
    try:
        command.wait_until(lambda: servers.answers(f"{url}/fiftyone"), 120)
        yield url
    finally:
        command.stop()


@pytest.fixture(scope="session")
def worker(environment):
    """`fiftyone delegated launch`."""
    command = servers.Command("fiftyone-worker", ["delegated", "launch"], {})
    try:
        yield command
    finally:
        command.stop()


@pytest.fixture(scope="session")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=chromium(), args=_CHROMIUM_OPTIONS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser, request):
    """A new browser profile; what is seen of a failed test is kept."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(_NO_ADVERTISEMENT)
    context.set_default_timeout(60 * SECONDS)
    page = context.new_page()
    yield page
    if request.node.stash.get(_FAILED, False):
        page.screenshot(path=servers.ARTEFACTS / f"failed-{request.node.name}.png")
    context.close()


@pytest.fixture
def scenes(environment, tmp_path):
    """Makes datasets of held-out scenes with the true boxes, not masks, in `ground_truth`."""
    import fiftyone as fo

    made = []

    def make(name, *seeds):
        dataset = fo.Dataset(name, persistent=True)
        made.append(dataset)
        samples = []
        for seed in seeds:
            path = tmp_path / f"scene-{seed}.png"
            Image.fromarray(scene(seed).image).save(path)
            sample = fo.Sample(filepath=str(path))
            sample["ground_truth"] = fo.Detections(
                detections=ground_truth(scene(seed), masks=False)
            )
            samples.append(sample)
        dataset.add_samples(samples)
        dataset.compute_metadata()
        dataset.add_dynamic_sample_fields()
        fields = [{"path": "ground_truth", "fieldColor": _COLOUR}]
        colours = fo.ColorScheme(color_by="field", opacity=0.6, fields=fields)
        dataset.app_config.color_scheme = colours
        dataset.save()
        return dataset

    yield make
    for dataset in made:
        dataset.delete()


@pytest.fixture
def opened(page, app_url):
    """Opens a dataset in the App."""
    return lambda dataset: AppPage(page, app_url, dataset.name)


def eventually(dataset, condition, seconds=90):
    """Wait until other processes have written to the dataset what is expected."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        dataset.reload()
        if condition():
            return
        time.sleep(1)
    pytest.fail(f"not after {seconds} s: {dataset}")
