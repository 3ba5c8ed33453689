"""Make the inputs of the golden cases: weights from names, images from integers.

The authors' code ran on exactly these, so that only its results are stored.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping


def fill(
    name: str, shape: tuple[int, ...], seed: int, added: Mapping[str, float]
) -> npt.NDArray[np.float32]:
    """The float32 tensor called `name` in the published checkpoint (or in Meta's)."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()) + 1000003 * seed))
    value = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("positional_encoding_gaussian_matrix"):
        pass
    elif len(shape) >= 2:
        value *= np.float32(1.0 / np.sqrt(np.prod(shape[1:], dtype=np.int64)))
    elif name.endswith(".weight"):  # every one-dimensional weight belongs to a norm
        value = np.float32(1) + np.float32(0.1) * value
    else:
        value *= np.float32(0.1)
    return value + np.float32(added.get(name, 0.0))


def draw(height: int, width: int, phase: int) -> npt.NDArray[np.uint8]:
    """A hashed texture with a disc and a bar that move with `phase`: `(height, width, 3)`."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    noise = ((x * 73856093) ^ (y * 19349663)) % 61
    image = np.stack(
        [
            (x * 255 // width + noise) % 256,
            (y * 255 // height + noise) % 256,
            ((x + y) * 2 + noise) % 256,
        ],
        axis=-1,
    )
    centre, radius = (width // 3 + 6 * phase, height // 2), height // 5
    disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2
    columns = (x >= 2 * width // 3) & (x < 2 * width // 3 + width // 8)
    bar = columns & (y >= height // 6 + 2 * phase) & (y < 5 * height // 6)
    image[disc] = np.stack([220 - noise, 40 + noise, 30 + noise // 2], axis=-1)[disc]
    image[bar] = np.stack([30 + noise, 60 + noise, 200 - noise], axis=-1)[bar]
    return image.astype(np.uint8)


class ByteTokenizer:
    """The stand-in tokenizer of the golden cases: UTF-8 bytes as ids, two ids of markup."""

    MARKUP: Mapping[str, int] = {"<|im_start|>": 300, "<|im_end|>": 301}

    def encode(self, text: str, **options: Any) -> list[int]:
        """The ids of `text`."""
        ids: list[int] = []
        while text:
            for word, number in self.MARKUP.items():
                if text.startswith(word):
                    ids.append(number)
                    text = text[len(word) :]
                    break
            else:
                ids += text[0].encode()
                text = text[1:]
        return ids

    def decode(self, token_ids: list[int], **options: Any) -> str:
        """The ids as words, one each, so that nothing is lost."""
        return " ".join(str(number) for number in token_ids)

    def convert_tokens_to_ids(self, tokens: str) -> int:
        """The id of a word of markup."""
        return self.MARKUP[tokens]
