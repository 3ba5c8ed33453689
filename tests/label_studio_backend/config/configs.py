"""Short configs."""

from __future__ import annotations

from label_studio_backend.config.labeling_config import LabelingConfig

IMAGE = '<Image name="image" value="$image"/>'


def config_of(tags: str) -> LabelingConfig:
    return LabelingConfig.parse(f"<View>{IMAGE}{tags}</View>")
