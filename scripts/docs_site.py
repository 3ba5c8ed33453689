"""A hook of MkDocs that gives the site the repository's own pages, under the same paths.

A link therefore works on the site as in the repository. `PAGES` are the pages; `OTHER_FILES` are
the images and examples that the pages show or link to.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "*.md",
    "docs/**/*.md",
    "docker/README.md",
    "examples/README.md",
    "fiftyone_plugin/README.md",
    "model/**/README.md",
    "pam_labeling/fonts/README.md",
)
OTHER_FILES = (
    "CITATION.cff",
    "LICENSE",
    "docs/*.png",
    "docs/*.svg",
    "examples/*.py",
    "fiftyone_plugin/assets/*",
    "pam_labeling/fonts/LICENSE*",
    "pam_labeling/schemas/*.json",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files below `docs` by those of the repository."""
    own = [file for file in files if file.generated_by is not None]
    chosen = sorted({path for pattern in (*PAGES, *OTHER_FILES) for path in ROOT.glob(pattern)})
    names = [path.relative_to(ROOT).as_posix() for path in chosen]
    return Files(
        [*own, *(File.generated(config, name, abs_src_path=str(ROOT / name)) for name in names)]
    )
