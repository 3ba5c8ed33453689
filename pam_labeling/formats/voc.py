"""Write Pascal VOC's XML: a file for each image, with boxes.

Words and scores are attributes of an object, in the form that CVAT gave them. Pixels count from 1
in VOC, and the last one belongs to the box. Readers look for images in a list of them,
`ImageSets/Main/all.txt`, and some (datumaro, CVAT) for labels in `labelmap.txt`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from pam_labeling.documents import RegionEntry
from pam_labeling.formats.dataset import Dataset, Image, Tally, label_of
from pam_labeling.formats.tables import words_of

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_voc(data: Dataset, path: Path, tally: Tally) -> None:
    """Write `Annotations/NAME.xml` for each image, and the lists of images and of labels."""
    stems = []
    for image in data.images():
        stems.append(image.stem)
        tally.images += 1
        tally.regions += len(image.regions)
        target = path / "Annotations" / f"{image.stem}.xml"
        target.parent.mkdir(parents=True, exist_ok=True)
        root = _annotation(data, image)
        indent(root)
        ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    listing = path / "ImageSets" / "Main" / "all.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    # label:color_rgb:parts:actions, of which the labels are known.
    labels = "".join(f"{label}:::\n" for label in data.labels)
    (path / "labelmap.txt").write_text(labels, encoding="utf-8")


def _annotation(data: Dataset, image: Image) -> Element:
    root = Element("annotation")
    _add(root, "folder", data.root.name)
    _add(root, "filename", image.name)
    source = SubElement(root, "source")
    _add(source, "database", f"{data.header['model']} by pam-labeling {data.header['version']}")
    size = SubElement(root, "size")
    for name, value in (("width", image.size[0]), ("height", image.size[1]), ("depth", 3)):
        _add(size, name, str(value))
    _add(root, "segmented", "0")
    for region in image.regions:
        _add_object(root, region)
    return root


def _add_object(root: Element, region: RegionEntry) -> None:
    item = SubElement(root, "object")
    _add(item, "name", label_of(region))
    for name, value in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
        _add(item, name, value)
    x1, y1, x2, y2 = (round(edge) for edge in region["box"])
    corners = {"xmin": x1 + 1, "ymin": y1 + 1, "xmax": max(x2, x1 + 1), "ymax": max(y2, y1 + 1)}
    box = SubElement(item, "bndbox")
    for name, edge in corners.items():
        _add(box, name, str(edge))
    words = words_of(region)
    if words:
        attributes = SubElement(item, "attributes")
        for name, word in words.items():
            attribute = SubElement(attributes, "attribute")
            _add(attribute, "name", name)
            _add(attribute, "value", word if isinstance(word, str) else json.dumps(word))


def _add(parent: Element, name: str, text: str) -> None:
    # Characters that XML cannot hold are shown as missing.
    SubElement(parent, name).text = _NOT_XML.sub("\ufffd", text)
