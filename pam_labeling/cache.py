"""A cache of image features that forgets what was used longest ago."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pam_model import ImageFeatures


class FeatureCache:
    """Image features by the image's content key, within a limit of bytes.

    It is not thread-safe: the annotator's worker alone uses it.

    Attributes:
        max_bytes: the limit; 0 keeps nothing.
        nbytes: what is kept now.
        hits: how often features were found.
        misses: how often they were not.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"the cache limit is a number of bytes from 0, not {max_bytes}")
        self.max_bytes = max_bytes
        self.nbytes = 0
        self.hits = 0
        self.misses = 0
        self._features: OrderedDict[str, ImageFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._features)

    def get(self, key: str) -> ImageFeatures | None:
        """The features kept for `key`, which become the most recently used, or None."""
        features = self._features.get(key)
        if features is None:
            self.misses += 1
            return None
        self.hits += 1
        self._features.move_to_end(key)
        return features

    def put(self, key: str, features: ImageFeatures) -> None:
        """Keep features, and forget the least recently used ones that no longer fit.

        Features larger than the whole limit are not kept.
        """
        self._forget(key)
        if features.nbytes > self.max_bytes:
            return
        while self.nbytes + features.nbytes > self.max_bytes:
            self._forget(next(iter(self._features)))
        self._features[key] = features
        self.nbytes += features.nbytes

    def clear(self) -> None:
        """Forget everything."""
        self._features.clear()
        self.nbytes = 0

    def _forget(self, key: str) -> None:
        features = self._features.pop(key, None)
        if features is not None:
            self.nbytes -= features.nbytes
