"""What the language model keeps of what it has read: the keys and values of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache


@dataclass(frozen=True)
class KeyValues:
    """The key/value cache of N regions; it is never written to.

    Attributes:
        layers: keys and values of each layer, each `(N, key/value heads, length, head width)`.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    @property
    def length(self) -> int:
        """Positions that are cached."""
        return self.layers[0][0].shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.layers)

    def select(self, rows: Tensor) -> KeyValues:
        """Keep these rows, in this order; a row may repeat."""
        return KeyValues(tuple((keys[rows], values[rows]) for keys, values in self.layers))

    def part(self, start: int, end: int) -> KeyValues:
        """The rows from `start` up to `end`; they share the memory of the whole."""
        return KeyValues(
            tuple((keys[start:end], values[start:end]) for keys, values in self.layers)
        )

    def cache(self) -> DynamicCache:
        """A cache for transformers that starts with a copy of these."""
        return DynamicCache(self.layers)

    @classmethod
    def of(cls, cache: DynamicCache) -> KeyValues:
        """What `cache` holds now."""
        return cls(tuple((keys, values) for keys, values, *_ in cache))

    @classmethod
    def concatenate(cls, parts: Sequence[KeyValues]) -> KeyValues:
        """The regions of several, one after the other.

        Raises:
            ValueError: no parts, or parts of different lengths.
        """
        if len({part.length for part in parts}) != 1:
            raise ValueError(f"parts of {[part.length for part in parts]} tokens cannot be joined")
        layers = zip(*(part.layers for part in parts), strict=True)
        return cls(
            tuple(
                (torch.cat([keys for keys, _ in layer]), torch.cat([values for _, values in layer]))
                for layer in layers
            )
        )
