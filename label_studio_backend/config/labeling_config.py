"""Read Label Studio's labelling config: the images of a project, and the tags on them.

Whoever can edit the project writes the XML, so it is not trusted: its size is limited, and document
types, entities and processing instructions are refused. (Label Studio does not save configs with a
document type either.)
"""

from __future__ import annotations

import copy
import re
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, tostring

from cachetools import LRUCache, cached
from defusedxml import DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser
from label_studio_sdk._legacy.exceptions import LabelStudioXMLSyntaxErrorSentryIgnored
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_backend.config import task_tags
from label_studio_backend.config.controls import (
    BACKGROUND,
    Control,
    ImageTag,
    LabelingConfigError,
    ProjectLabel,
)
from label_studio_backend.config.task_values import VARIABLE, task_value
from label_studio_backend.config.visibility import attribute, conditions_of

MAX_BYTES = 4 * 1024 * 1024
"""Longer configs are refused; a taxonomy of 20,000 classes has about 1.5 MiB."""


MAX_CONTROLS = 10_000
"""The most tags on images; so many on as many images are checked in about 2 s."""

_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]*\?>")
# A tag, in lower case -> why no image is answered; the first one that the config has counts.
_WHY_NO_IMAGE = dict.fromkeys(
    ("video", "videorectangle"),
    "The labelling config shows only video, which is not supported yet; add an <Image>.",
) | {
    "image": (
        "No <Image> of the labelling config can be used: it needs a name and a "
        'value such as value="$image", or for pages valueList="$pages".'
    ),
}


@dataclass(frozen=True)
class LabelingConfig:
    """The parts of a labelling config that concern images.

    Attributes:
        xml: the text that was parsed.
        images: the `<Image>` tags, in the config's order.
        controls: the tags on these images, in the config's order.
        repeated: the names of tags inside `<Repeater>`, which `for_task` repeats.
        root: the tree of the XML; it must not be changed.
    """

    xml: str
    images: tuple[ImageTag, ...]
    controls: tuple[Control, ...]
    repeated: frozenset[str]
    root: Element = field(repr=False, compare=False)
    _interface: Any = field(repr=False, compare=False)  # a LabelInterface; its methods are untyped

    @classmethod
    def parse(cls, xml: object) -> LabelingConfig:
        """Read a config; equal texts are parsed once.

        Raises:
            LabelingConfigError: it is not text, too long or not XML; or it has a document type, a
                processing instruction, a name given twice, or no usable image.
        """
        if not isinstance(xml, str) or not xml.strip():
            raise LabelingConfigError("The labelling config is empty; it must be XML.")
        if len(xml) > MAX_BYTES:
            raise LabelingConfigError(
                f"The labelling config has {len(xml):,} characters; at most {MAX_BYTES:,} are read."
            )
        return _parse(xml)

    def control(self, name: str, to_name: object = None) -> Control | None:
        """The control of this name, on this image or else on its first one; or None."""
        named = self._grouped[1].get(name, ())
        return next((one for one in named if one.to_name == to_name), named[0] if named else None)

    def on(self, image: ImageTag) -> LabelingConfig:
        """The config of one image, without the others."""
        return replace(self, images=(image,), controls=tuple(self._grouped[0].get(image.name, ())))

    @cached_property
    def _grouped(self) -> tuple[Mapping[str, Sequence[Control]], Mapping[str, Sequence[Control]]]:
        """The controls by image, and by name."""
        by_image: dict[str, list[Control]] = defaultdict(list)
        by_name: dict[str, list[Control]] = defaultdict(list)
        for control in self.controls:
            by_image[control.to_name].append(control)
            by_name[control.name].append(control)
        return by_image, by_name

    def for_task(self, data: object) -> LabelingConfig:
        """The config, completed with what is repeated and the labels in one task's data.

        The tags in `<Repeater on="$pages">` are there once for each item of that list, with its
        number instead of "{{idx}}". Tags such as `<Labels value="$labels">` get the labels, choices
        or nodes of the taxonomy that the task lists under that key: `[{"value": "car", "alias":
        ..., "children": [...]}]`. Anything of another form is left out; the editor cannot show it
        either.

        Returns:
            This config itself if no tag takes anything from task data.

        Raises:
            LabelingConfigError: the config is too long with the task's labels.
            RequestError: it is too long with what is repeated, or the task lacks the list for it.
        """
        if self.repeated and isinstance(data, Mapping):
            unfolded = copy.deepcopy(self.root)
            task_tags.unfold(unfolded, data, MAX_BYTES)
            return self.parse(tostring(unfolded, encoding="unicode")).for_task(data)
        keys = {control.name: control.task_key for control in self.controls if control.task_key}
        if not keys or not isinstance(data, Mapping):
            return self
        root = copy.deepcopy(self.root)
        for element in root.iter():
            key = keys.get(element.get("name", ""))
            if key is not None:
                tag = "Label" if element.tag.lower().endswith("labels") else "Choice"
                with suppress(KeyError):
                    task_tags.add_labels(element, tag, task_value(key, data))
        return self.parse(tostring(root, encoding="unicode"))

    def errors_of(self, prediction: Mapping[str, Any]) -> list[str]:
        """The errors that label_studio_sdk finds in `{"result": [...], ...}`."""
        return list(self._interface.validate_prediction(prediction, return_errors=True))


# Every request brings its project's config, and a server has few projects at a time. In memory, a
# config is some 15 times as long as its text.
@cached(LRUCache(MAX_BYTES, getsizeof=lambda config: len(config.xml)), lock=threading.Lock())
def _parse(xml: str) -> LabelingConfig:
    root = read_tree(xml)
    try:
        interface = LabelInterface(_DECLARATION.sub("", xml))  # lxml refuses a declaration in a str
    except (LabelStudioXMLSyntaxErrorSentryIgnored, ValueError) as error:
        raise LabelingConfigError(
            f"Label Studio's SDK cannot read the labelling config: {error}"
        ) from error
    for tag in interface.controls or ():
        if tag.dynamic_value:  # its list may have more labels than can be read from a task
            tag.set_labels([])
    _check_tags(root)
    if (fault := task_tags.fault(root)) is not None:
        raise LabelingConfigError(fault)
    images = tuple(_images(root.iter()))
    if not images:
        raise LabelingConfigError(_why_no_image(root))
    names = {image.name for image in images}
    controls = tuple(islice(_controls(root, names), MAX_CONTROLS + 1))
    if len(controls) > MAX_CONTROLS:
        raise LabelingConfigError(
            f"The labelling config has more than {MAX_CONTROLS:,} tags on images; a tag on several "
            "images counts for each of them."
        )
    repeated = task_tags.repeated_names(root)
    return LabelingConfig(xml, images, controls, repeated, root, interface)


def read_tree(xml: str) -> Element:
    """The tree of a config's XML.

    Raises:
        LabelingConfigError: it is not well-formed, or has a document type or a processing
            instruction.
    """
    # Its default target builds a tree of Python's slow elements.
    parser = DefusedXMLParser(target=TreeBuilder(), forbid_dtd=True)
    parser.parser.ProcessingInstructionHandler = _refuse_instruction
    try:
        parser.feed(_DECLARATION.sub("", xml))
        tree: Element = parser.close()
    except DTDForbidden as error:
        raise LabelingConfigError(
            "The labelling config has a document type (<!DOCTYPE ...>); remove it: "
            "entities are not expanded."
        ) from error
    except (ParseError, UnicodeEncodeError) as error:
        raise LabelingConfigError(f"The labelling config is not valid XML: {error}.") from error
    return tree


def _refuse_instruction(target: str, _: str) -> NoReturn:
    raise LabelingConfigError(
        f"The labelling config has a processing instruction (<?{target} ...?>); remove it."
    )


def _check_tags(root: Element) -> None:
    """Refuse tags of a namespace, and names given twice."""
    seen: set[str] = set()
    for element in root.iter():
        if element.tag.startswith("{"):  # as the parser writes them: "{namespace}tag"
            namespace, _, tag = element.tag[1:].partition("}")
            raise LabelingConfigError(
                f'<{tag}> of the labelling config has the namespace "{namespace}" (xmlns), so '
                "Label Studio does not know it; remove the namespace."
            )
        name = element.get("name")
        if name and name in seen:
            raise LabelingConfigError(
                f'Two tags of the labelling config are called "{name}"; names must differ.'
            )
        seen.add(name or "")


def _images(elements: Iterable[Element]) -> Iterator[ImageTag]:
    for element in elements:
        if element.tag.lower() != "image":
            continue
        name, pages = element.get("name"), attribute(element.attrib, "valueList")
        value = pages or attribute(element.attrib, "value")
        if name and value:
            if value.startswith("$") and not VARIABLE.match(value):
                raise LabelingConfigError(
                    f'The value of {element.tag} "{name}" must name a key of task data in ASCII '
                    f'letters, digits and "_", as value="$image" does, not "{value}".'
                )
            yield ImageTag(name, value, has_pages=pages is not None)


def _why_no_image(root: Element) -> str:
    tags = {element.tag.lower() for element in root.iter()}
    return next(
        (reason for tag, reason in _WHY_NO_IMAGE.items() if tag in tags),
        "The labelling config shows no image; "
        'add a tag such as <Image name="image" value="$image"/>.',
    )


def _controls(root: Element, images: Collection[str]) -> Iterator[Control]:
    """The tags on images; a tag on several is there once for each."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in root.iter():
        targets = dict.fromkeys(part.strip() for part in element.get("toName", "").split(","))
        on = [target for target in targets if target in images]
        if element.get("name") and on:
            control = _control(element, parents)
            yield from (replace(control, to_name=target) for target in on)


def _control(element: Element, parents: Mapping[Element, Element]) -> Control:
    kind = element.tag.lower()
    # In the reversed part, the first of equal paths comes last, and stays.
    nodes = list(_nodes(element)) if kind == "taxonomy" else []
    # The tag of its labels; None if it has none.
    listed = "Label" if kind.endswith("labels") else "Choice" if kind == "choices" else None
    value = attribute(element.attrib, "value") or ""
    takes_list = listed is not None or kind == "taxonomy"
    per_region = (attribute(element.attrib, "perRegion") or "").lower() == "true"
    return Control(
        name=element.attrib["name"],
        tag=element.tag,
        type=kind,
        to_name="",
        labels=_labels(element, listed) if listed else (),
        nodes=MappingProxyType(dict([*nodes, *reversed(nodes)])),
        smart=(attribute(element.attrib, "smart") or "").lower() != "false",
        per_region=per_region,
        conditions=conditions_of(element, parents, per_region=per_region),
        attributes=MappingProxyType(dict(element.attrib)),
        task_key=value if takes_list and "$" in value else None,
    )


def _labels(element: Element, tag: str) -> tuple[ProjectLabel, ...]:
    labels = [label for child in element.iter(tag) if (label := _label(child))]
    # In the reversed part, the first of equal labels comes last, and stays.
    return tuple({label.value: label for label in [*labels, *reversed(labels)]}.values())


def _label(element: Element) -> ProjectLabel | None:
    # An empty value (Label Studio's "no label") cannot be scored.
    spelled = [text for text in (element.get("value"), element.get("alias")) if text]
    if not spelled or not spelled[-1].strip():
        return None
    listed = (attribute(element.attrib, "predicted_values") or "").split(",")
    phrases = [text.strip() for text in listed if text.strip()]
    phrases = phrases or [" ".join(text.split()) for text in spelled if text.strip()]
    background = element.tag == "Label" and any(is_background(text) for text in spelled)
    return ProjectLabel(spelled[-1], tuple(dict.fromkeys(phrases)), background)


def is_background(label: str) -> bool:
    """Whether a label's text means "not this object"."""
    return label.strip().lower() in BACKGROUND


def _nodes(
    element: Element, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for child in element:
        label = _label(child) if child.tag == "Choice" else None
        path = (*above, label.value) if label else above
        if label:
            yield path, label.phrases
        yield from _nodes(child, path)
