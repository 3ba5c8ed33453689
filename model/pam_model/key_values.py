"""What the language model keeps of the regions that it has read: keys and values of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from transformers import DynamicCache


@dataclass(frozen=True, eq=False)
class RegionContexts:
    """N regions as the language model has read them; questions and labels share the reading.

    It is their key/value cache, and is never written to.

    Attributes:
        layers: keys and values of each layer, each `(N, key/value heads, tokens, head width)`.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    @property
    def tokens(self) -> int:
        """Tokens that were read of each region; only contexts with as many can be joined."""
        return self.layers[0][0].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def select(self, indices: Sequence[int]) -> RegionContexts:
        """The regions with these indices, in this order; a region may repeat."""
        device = self.layers[0][0].device
        rows = torch.tensor(list(indices), dtype=torch.long, device=device)
        return RegionContexts(tuple((keys[rows], values[rows]) for keys, values in self.layers))

    def split(self, counts: Sequence[int]) -> list[RegionContexts]:
        """Cut into parts of so many regions each, which share the memory of the whole."""
        bounds = pairwise([0, *accumulate(counts)])
        return [
            RegionContexts(
                tuple((keys[start:end], values[start:end]) for keys, values in self.layers)
            )
            for start, end in bounds
        ]

    @classmethod
    def concatenate(cls, parts: Sequence[RegionContexts]) -> RegionContexts:
        """The regions of several, one after the other.

        Raises:
            ValueError: no parts, or parts with different numbers of tokens.
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
        """What `cache` of transformers holds now."""
        return cls(tuple((keys, values) for keys, values, *_ in cache))

    def cache(self) -> DynamicCache:
        """A cache for transformers that starts with a copy of these."""
        return DynamicCache(self.layers)
