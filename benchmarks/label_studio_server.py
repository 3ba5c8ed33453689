"""Measure the time of Label Studio's protocol: `python benchmarks/label_studio_server.py`.

Every click is answered twice, in turns, so that noise of the machine affects both sides: through
HTTP (the request that Label Studio posts, waitress, reading the image and the prompt, the model,
masks as run lengths, the check), and by calling the annotator directly with the same prompt. Both
get the same images, known or new to the model, from a server on the same machine.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.predictor import open_predictor
from label_studio_backend.server.app import create_app, create_server
from label_studio_backend.server.backend import Backend
from label_studio_backend.settings import ServerSettings
from pam_labeling import LoadedImage, Prompt, Request, Settings, read_image
from pam_model.nano.world import HELD_OUT_SEED, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="object"/><Label value="other"/></BrushLabels>
<KeyPointLabels name="point" toName="image" smart="true">
  <Label value="object"/><Label value="other"/>
</KeyPointLabels>{texts}</View>"""
TEXTS = '<TextArea name="caption" toName="image" perRegion="true"/>'
# Label Studio sends the regions that a task already has with every click.
EARLIER = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 20_000}}


@dataclass(frozen=True)
class Scene:
    """An image file and a place to click."""

    path: str
    content: bytes
    point: tuple[float, float]
    size: tuple[int, int]


def scenes(count: int, side: int, first: int) -> Iterator[Scene]:
    """Held-out scenes, scaled so that the longer side has `side` pixels."""
    for number in range(first, first + count):
        drawn = render_scene(HELD_OUT_SEED + number)
        image = Image.fromarray(drawn.image)
        scale = side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        item = max(drawn.objects, key=lambda item: int(item.mask.sum()))
        rows, columns = item.mask.nonzero()
        middle = len(rows) // 2
        point = (columns[middle] + 0.5) * scale, (rows[middle] + 0.5) * scale
        file = io.BytesIO()
        image.resize(size).save(file, "JPEG", quality=92)
        yield Scene(f"/data/upload/1/{number}.jpg", file.getvalue(), point, size)


def click(scene: Scene, config: str, earlier: int) -> dict[str, Any]:
    """The body that Label Studio posts for a click."""
    x, y = (100 * at / side for at, side in zip(scene.point, scene.size, strict=True))
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": ["object"]}
    prompt = {
        "id": "a",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": scene.size[0],
        "original_height": scene.size[1],
        "image_rotation": 0,
        "is_positive": True,
        "value": value,
    }
    task = {
        "id": 1,
        "data": {"image": scene.path},
        "annotations": [{"result": [EARLIER] * earlier}],
    }
    params = {"login": None, "password": None, "context": {"result": [prompt]}}
    return {"tasks": [task], "project": "1.1", "label_config": config, "params": params}


class Images(ThreadingHTTPServer):
    """Serves image files as Label Studio does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Images

    def do_GET(self) -> None:
        content = self.server.files.get(self.path, b"")
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Bench:
    """A backend behind HTTP, and its annotator."""

    def __init__(self, stack: ExitStack, model: str, texts: bool, earlier: int) -> None:
        self.site = Images()
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        stack.callback(self.site.shutdown)
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = ServerSettings(
            label_studio_url=f"http://127.0.0.1:{self.site.server_port}",
            media_cache_dir=cache,
            port=0,
        )
        chosen = Settings.from_environment(model=model)
        backend = stack.enter_context(closing(Backend(open_predictor(chosen, settings), settings)))
        backend.load()
        while backend.health()["state"] == "loading":
            time.sleep(0.05)
        server: Any = create_server(create_app(backend, settings), settings)
        threading.Thread(target=server.run, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.effective_port}/predict"
        self.direct = stack.enter_context(chosen.open_annotator())
        self.config = CONFIG.format(texts=TEXTS if texts else "")
        self.questions = map_outputs(LabelingConfig.parse(self.config), Options()).questions
        self.earlier = earlier
        self.session = stack.enter_context(requests.Session())

    def http(self, scene: Scene) -> float:
        """The seconds of a click through HTTP, from sending the body to receiving the answer."""
        body = json.dumps(click(scene, self.config, self.earlier)).encode()
        start = time.perf_counter()
        answer = self.session.post(self.url, data=body, timeout=600)
        seconds = time.perf_counter() - start
        answer.raise_for_status()
        return seconds

    def model(self, scene: Scene, image: LoadedImage) -> float:
        """The seconds of the annotator for the same click on an image decoded before."""
        prompt = Prompt.from_points([scene.point], [True])
        request = Request(image, (prompt,), questions=self.questions)
        start = time.perf_counter()
        self.direct.annotate(request)
        return time.perf_counter() - start

    def both(self, scene: Scene, clicks: int) -> list[tuple[float, float]]:
        """The seconds of clicks on one image, in turns by HTTP and by the annotator."""
        self.site.files[scene.path] = scene.content
        image = read_image(scene.content)
        return [(self.http(scene), self.model(scene, image)) for _ in range(clicks)]


def percentile(values: list[float], share: int) -> float:
    """The value below which `share` per cent of the values are."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def add(table: Table, name: str, times: list[tuple[float, float]]) -> dict[str, float]:
    """Add a row, in milliseconds; return it by column."""
    http, model = (list(column) for column in zip(*times, strict=True))
    over = [one - other for one, other in times]
    row = {
        f"{what} {mark}": 1000 * percentile(values, share)
        for what, values in (("http", http), ("model", model), ("overhead", over))
        for mark, share in (("p50", 50), ("p95", 95))
    }
    table.add_row(name, str(len(times)), *(f"{value:.1f}" for value in row.values()))
    return row


def machine() -> str:
    """A description of the machine and the versions."""
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return (
        f"{where or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--clicks", type=int, default=100, help="on a known image, and on new ones")
    parser.add_argument("--side", type=int, default=1024, help="longer side of the images")
    parser.add_argument("--earlier", type=int, default=5, help="masks that the task already has")
    parser.add_argument("--no-texts", action="store_true", help="masks without captions")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args()
    table = Table(title=f"Milliseconds a click, {options.model}: {machine()}")
    for column in ("clicks on", "N", "HTTP p50", "p95", "model p50", "p95", "overhead p50", "p95"):
        table.add_column(column, justify="right")
    rows = {}
    with ExitStack() as stack:
        bench = Bench(stack, options.model, not options.no_texts, options.earlier)
        [warm, known] = scenes(2, options.side, 0)
        bench.both(warm, 2)
        bench.both(known, 1)
        rows["known image"] = add(table, "a known image", bench.both(known, options.clicks))
        new = [
            times
            for scene in scenes(options.clicks, options.side, 2)
            for times in bench.both(scene, 1)
        ]
        rows["new images"] = add(table, "new images", new)
    Console(width=120).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
