"""The files around the code: workflows, forms, citation, version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pam_labeling.version import VERSION

ROOT = Path(__file__).parents[2]
CHECKER = Path(sys.executable).parent / "check-jsonschema"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"


def read(path):
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", [WORKFLOW]),
        ("custom.github-workflows-require-timeout", [WORKFLOW]),
        ("vendor.github-issue-forms", [FORMS / "bug.yml", FORMS / "feature.yml"]),
        ("vendor.github-issue-config", [FORMS / "config.yml"]),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_follow_their_schemas(schema, paths):
    done = subprocess.run(
        [CHECKER, "--builtin-schema", schema, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_python_of_the_classifiers_is_tested():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    assert read(WORKFLOW)["jobs"]["everything"]["strategy"]["matrix"]["python"] == classified


def test_the_workflow_runs_files_that_are_there():
    steps = [step for job in read(WORKFLOW)["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    named = re.findall(r"(?:\.ci|scripts|tests)/[\w./]+", commands)
    assert ".ci/run" in named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_one_version_everywhere():
    assert read(ROOT / "CITATION.cff")["version"] == VERSION
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^]]*)\]", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == VERSION


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_the_pages_at_the_root_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http|#|mailto:)([^)#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []
