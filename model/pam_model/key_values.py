"""The language model's key/value cache of the regions that it has read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers import DynamicCache


@dataclass(frozen=True, eq=False)
class RegionContexts:
    """The key/value cache of N regions; all questions and labels share it. It is never written to.

    Attributes:
        layers: the keys and values of each layer, each `(N, key/value heads, tokens, head width)`.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    @property
    def tokens(self) -> int:
        """The number of tokens read of each region; only contexts of equal length can be joined."""
        return self.layers[0][0].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def select(self, indices: Sequence[int]) -> RegionContexts:
        """The regions with these indices, in this order; a region may repeat."""
        rows = torch.tensor(list(indices), dtype=torch.long, device=self.layers[0][0].device)
        return RegionContexts(tuple((keys[rows], values[rows]) for keys, values in self.layers))

    def split(self, counts: Sequence[int]) -> list[RegionContexts]:
        """Cut into parts of these numbers of regions; the parts share the memory of the whole."""
        bounds = pairwise([0, *accumulate(counts)])
        return [
            RegionContexts(
                tuple((keys[start:end], values[start:end]) for keys, values in self.layers)
            )
            for start, end in bounds
        ]

    @classmethod
    def concatenate(cls, parts: Sequence[RegionContexts]) -> RegionContexts:
        """The regions of all parts, in order.

        Raises:
            ValueError: there are no parts, or their numbers of tokens differ.
        """
        if len({part.tokens for part in parts}) != 1:
            raise ValueError(f"parts of {[part.tokens for part in parts]} tokens cannot be joined")
        layers = zip(*(part.layers for part in parts), strict=True)
        return cls(
            tuple(
                (torch.cat([keys for keys, _ in layer]), torch.cat([values for _, values in layer]))
                for layer in layers
            )
        )

    @classmethod
    def of(cls, cache: DynamicCache) -> RegionContexts:
        """The present content of `cache`, a cache of transformers."""
        return cls(tuple((keys, values) for keys, values, *_ in cache))

    def cache(self) -> DynamicCache:
        """A cache for transformers that starts with a copy of these keys and values."""
        return DynamicCache(self.layers)
