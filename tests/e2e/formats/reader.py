"""Read exported files with other programs, and write what they found as JSON.

The Python of their environment runs this file alone: it imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path


def rows(mask):
    """A mask as texts of 0 and 1, one for each row."""
    return ["".join("1" if pixel else "0" for pixel in row) for row in mask]


def by_ultralytics(folder, task):
    """Labels, boxes and outlines in pixels, as its data set for training has them."""
    from ultralytics.data import dataset, utils

    utils.check_font = lambda *_: None  # it would be downloaded
    data = utils.check_det_dataset(f"{folder}/data.yaml")
    found = {}
    read = dataset.YOLODataset(img_path=data["val"], data=data, task=task, augment=False)
    for label in read.get_labels():
        height, width = label["shape"]
        size = (width, height)
        corners = label["bboxes"] * (size * 2)
        found[str(Path(label["im_file"]).relative_to(data["val"]))] = {
            "labels": [data["names"][int(number)] for number in label["cls"].ravel()],
            "boxes": [
                [x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in corners.tolist()
            ],
            "outlines": [(outline * size).tolist() for outline in label["segments"]],
        }
    return found


def by_datumaro(path, name):
    """Labels, boxes, attributes and masks of a data set in one of datumaro's formats."""
    from datumaro import Dataset
    from datumaro.components.annotation import AnnotationType

    options = {"coordinate_mode": "voc-one-based"} if name.startswith("voc") else {}
    data = Dataset.import_from(path, name, **options)
    names = [one.name for one in data.categories()[AnnotationType.label]]
    found = {}
    for item in data:
        annotations = []
        for one in item.annotations:
            x, y, width, height = one.get_bbox()
            annotation = {"type": one.type.name, "label": names[one.label]}
            annotation["box"] = [x, y, x + width, y + height]
            annotation["attributes"] = {key: str(word) for key, word in one.attributes.items()}
            if one.type is AnnotationType.mask:
                annotation["mask"] = rows(one.image)
            annotations.append(annotation)
        found[item.id] = annotations
    return found


def by_label_studio(config, tasks):
    """The brushes by the name of each image's task; and COCO, as a project's export writes it."""
    from label_studio_sdk.converter import Converter, brush

    converter = Converter(Path(config).read_text(encoding="utf-8"), None, download_resources=False)
    brushes = {}
    for item in converter.iter_from_json_file(tasks):
        layers = brush.decode_from_annotation("mask", item["output"].get("mask", []))
        masks = [[name, rows(layer > 0)] for name, layer in layers.items()]
        brushes[item["input"]["image"]] = masks
    coco = {}
    if not any(brushes.values()):
        with tempfile.TemporaryDirectory() as folder:
            converter.convert_to_coco(tasks, folder, is_dir=False)
            coco = json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))
    return {"brushes": brushes, "coco": coco}


READERS = {
    "ultralytics": by_ultralytics,
    "datumaro": by_datumaro,
    "label-studio": by_label_studio,
}

if __name__ == "__main__":
    _, reader, answer, *arguments = sys.argv
    result = READERS[reader](*arguments)
    Path(answer).write_text(json.dumps(result), encoding="utf-8")
