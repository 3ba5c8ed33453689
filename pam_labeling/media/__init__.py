"""Image files of common formats, read into the form that PAM needs: upright 8-bit RGB."""

from pam_labeling.media.formats import FORMATS, SUFFIXES
from pam_labeling.media.grey import AUTO, GreyRange, parse_range
from pam_labeling.media.loaded_image import FROM_MEMORY, LoadedImage, content_digest
from pam_labeling.media.reading import (
    MAX_PIXELS,
    MAX_SIDE,
    count_pages,
    read_image,
    read_mask,
)

__all__ = [
    "AUTO",
    "FORMATS",
    "FROM_MEMORY",
    "MAX_PIXELS",
    "MAX_SIDE",
    "SUFFIXES",
    "GreyRange",
    "LoadedImage",
    "content_digest",
    "count_pages",
    "parse_range",
    "read_image",
    "read_mask",
]
