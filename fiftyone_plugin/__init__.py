"""Masks, labels and captions on the regions that a FiftyOne dataset already has."""

from __future__ import annotations
