"""Known images, each drawn once for all tests: drawing takes longer than most of them."""

from __future__ import annotations

from functools import cache

from pam_model.nano import known

known_scene = cache(known.known_scene)
known_flat_image = cache(known.known_flat_image)
