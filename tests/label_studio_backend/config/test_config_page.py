"""The page about configs names what the code knows."""

from __future__ import annotations

import re
from pathlib import Path

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.lint import ATTRIBUTES, LintReport, check_config
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.config.tag_attributes import CHOICE_NAMES, TEXT_NAMES

PAGE = (Path(__file__).parents[3] / "docs" / "label-studio-config.md").read_text(encoding="utf-8")


def test_its_config_works():
    (xml,) = re.findall(r"```xml\n(<View>.*?</View>)\n```", PAGE, flags=re.DOTALL)
    config = LabelingConfig.parse(xml)
    assert check_config(config, Options()) == LintReport()
    assert map_outputs(config, Options()).shape.name == "mask"


def test_its_options_can_be_read():
    (given,) = re.findall(r"```json\n(.*?)\n```", PAGE, flags=re.DOTALL)
    assert Options.read(given) != Options()


def test_every_option_has_a_row():
    table = PAGE.split("## Options")[1]
    rows = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert rows == list(Options.model_fields)


def test_every_attribute_and_every_naming_rule_is_told():
    words = [*ATTRIBUTES, *CHOICE_NAMES, *(word for _, words in TEXT_NAMES for word in words)]
    assert [word for word in words if f"`{word}`" not in PAGE] == []
