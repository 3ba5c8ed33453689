"""The repository as a zip on the web, as FiftyOne downloads plugins and sources of models."""

from __future__ import annotations

import functools
import http.server
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import fiftyone_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = Path(fiftyone_plugin.__file__).parent


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def repository(folder: Path) -> Iterator[str]:
    """The address of a zip of the repository, packed as GitHub packs it, while it is served."""
    with zipfile.ZipFile(folder / "pam-labeling.zip", "w") as archive:
        archive.writestr("pam-labeling-main/README.md", "# pam-labeling\n")
        for path in sorted(PLUGIN.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, Path("pam-labeling-main") / path.relative_to(PLUGIN.parent))
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/pam-labeling.zip"
        server.shutdown()
