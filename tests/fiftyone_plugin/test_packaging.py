"""The plugin's folder as FiftyOne finds, downloads and loads it: alone, under another name."""

from __future__ import annotations

import ast
import logging
import re
import shutil
import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.plugins as fop
import pytest
from fiftyone.plugins.context import PluginContext
from packaging.requirements import Requirement

from fiftyone_plugin.zoo import model
from pam_labeling.version import VERSION
from tests.fiftyone_plugin.served import PLUGIN, repository

NAME = "@pam-labeling/pam"
MODULE = "fiftyone.plugins.orgs.pam_labeling.pam"


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """The folder alone, copied somewhere and registered by FiftyOne's own code."""
    folder = tmp_path / "pam"
    shutil.copytree(PLUGIN, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in of_the_plugin():
        monkeypatch.delitem(sys.modules, name)  # another test's copy, which it gets back
    context = PluginContext(fop.get_plugin(plugin_dir=str(folder)))
    context.register_all()
    yield context
    for name in of_the_plugin():
        del sys.modules[name]


def of_the_plugin():
    return [name for name in sys.modules if name == MODULE or name.startswith(f"{MODULE}.")]


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    # A folder of its own: other tests have the plugin in the usual one.
    monkeypatch.setattr(fo.config, "plugins_dir", str(tmp_path / "plugins"))
    with repository(tmp_path) as url:
        return fop.download_plugin(url)


def test_fiftyone_registers_all_operators_and_panels(loaded):
    assert loaded.errors == []
    registered = [instance.name for instance in loaded.instances]
    assert sorted(registered) == sorted(loaded.plugin_definition.operators)


def test_operators_have_the_plugins_name(loaded):
    assert f"{NAME}/caption_regions" in [instance.uri for instance in loaded.instances]


def test_the_plugin_runs_its_own_files_only(loaded, tmp_path):
    modules = [sys.modules[name] for name in of_the_plugin()]
    assert len(modules) > 5
    assert all(Path(module.__file__).is_relative_to(tmp_path) for module in modules)


def test_the_zoo_shares_the_models_of_the_plugin_that_is_loaded(loaded):
    assert model._models() is sys.modules[f"{MODULE}.models"]


def test_only_the_zoo_source_names_the_package():
    # It is downloaded without the rest of the plugin; anywhere else it would mix two copies.
    for path in PLUGIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [getattr(node, "module", None) or ""]
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            named = isinstance(node, ast.Import | ast.ImportFrom) and any(
                name.partition(".")[0] == "fiftyone_plugin" for name in names
            )
            assert not named or path.parent.name == "zoo"


def test_version_and_licence_are_those_of_the_package():
    definition = fop.get_plugin(plugin_dir=str(PLUGIN))
    assert (definition.name, definition.version) == (NAME, VERSION)
    assert definition.license == "Apache-2.0"
    assert definition.has_py
    assert definition.js_bundle == "assets/review_keys.js"
    assert definition.has_js


def test_it_is_compatible_with_this_fiftyone(downloaded):
    fop.ensure_plugin_compatibility(NAME, error_level=0)


def test_a_repositorys_zip_is_a_download(downloaded):
    (folder,) = downloaded.values()
    assert list(downloaded) == [NAME]
    assert NAME in fop.list_downloaded_plugins()
    assert fop.get_plugin(NAME).directory == folder
    assert Path(folder).is_relative_to(fo.config.plugins_dir)


def test_a_download_is_the_plugins_folder_alone(downloaded):
    (folder,) = downloaded.values()
    wanted = {"__init__.py", "fiftyone.yml", "requirements.txt", "README.md", "operators", "zoo"}
    names = {path.name for path in Path(folder).iterdir()}
    assert wanted <= names
    assert not names & {"pam_labeling", "tests", "pam-labeling-main"}


def test_the_requirements_are_satisfied_here(downloaded, caplog):
    with caplog.at_level(logging.WARNING):
        fop.ensure_plugin_requirements(NAME, error_level=0)
    assert caplog.messages == []


def test_requirements_are_pam_labeling_and_pin_nothing_else(downloaded):
    requirements = [Requirement(line) for line in fop.load_plugin_requirements(NAME)]
    assert [requirement.name for requirement in requirements] == ["pam-labeling"]
    assert requirements[0].specifier.contains(VERSION)
    assert not re.search("==|<", str(requirements[0]))
