"""The data between the stages of PAM: an image's features and segmented regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from pam_model.cropped_mask import CroppedMask
from pam_model.errors import InputError
from pam_model.segmenter import DecoderOutput, FeatureMaps

Mask = npt.NDArray[np.bool_]
ImageInput = npt.NDArray[np.uint8] | Image.Image


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image resized for the encoder, on the CPU.

    Attributes:
        size: (width, height) of the upright image in pixels.
        pixels: uint8 `(side, side, 3)`, RGB, resized to the encoder's square.
    """

    size: tuple[int, int]
    pixels: npt.NDArray[np.uint8]

    @classmethod
    def from_image(cls, image: ImageInput, side: int) -> PreparedImage:
        """Resize an upright RGB image; uint8 `(height, width, 3)` or a Pillow image.

        Raises:
            InputError: not an RGB image.
        """
        if not isinstance(image, Image.Image):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise InputError(
                    f"an image is uint8 (height, width, 3), not {image.dtype} {image.shape}"
                )
            image = Image.fromarray(image)
        elif image.mode != "RGB":
            image = image.convert("RGB")
        return cls(image.size, np.asarray(image.resize((side, side))))


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """The features of an encoded image, for any number of prompts.

    Attributes:
        size: (width, height) of the upright image in pixels.
        maps: the encoder's feature maps of this image.
    """

    size: tuple[int, int]
    maps: FeatureMaps

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(part.nbytes for part in self.maps)


@dataclass(frozen=True, eq=False)
class Segments:
    """N segmented regions, of one image or of several.

    Attributes:
        sizes: (width, height) in pixels of each region's upright image.
        iou_scores: float32 `(N,)`, the predicted IoU of each mask with the true one, 0 to 1.
        object_scores: float32 `(N,)` logits; at 0 or less there is no object.
        mask_logits: float32 tensor `(N, 4 h, 4 w)` over the whole (squashed) image.
        mask_tokens: `(N, 2, C)`, region features that the Perceiver reads.
        image_embed: `(N, C, h, w)`, region features that the Perceiver reads.
        object_pointers: `(N, C)`, for tracking.
        given: the mask of each region that was prompted with one, or None.
    """

    sizes: tuple[tuple[int, int], ...]
    iou_scores: npt.NDArray[np.float32]
    object_scores: npt.NDArray[np.float32]
    mask_logits: Tensor
    mask_tokens: Tensor
    image_embed: Tensor
    object_pointers: Tensor
    given: tuple[CroppedMask | None, ...]

    @classmethod
    def of(
        cls, size: tuple[int, int], found: DecoderOutput, given: Sequence[CroppedMask | None]
    ) -> Segments:
        """The mask decoder's answers to N prompts of one image.

        Args:
            size: (width, height) in pixels of the upright image.
            found: the answers.
            given: the mask of each prompt that is one, or None.
        """
        return cls(
            sizes=(size,) * len(given),
            iou_scores=found.iou_scores[:, 0].cpu().numpy(),
            object_scores=found.object_scores.cpu().numpy(),
            mask_logits=found.mask_logits[:, 0],
            mask_tokens=found.mask_tokens,
            image_embed=found.image_embed,
            object_pointers=found.object_pointers,
            given=tuple(given),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        held = (self.mask_logits, self.mask_tokens, self.image_embed, self.object_pointers)
        return sum(part.nbytes for part in held)

    def mask(self, index: int) -> Mask:
        """The mask of one region, bool `(height, width)` of its image.

        A region that was prompted with a mask has exactly that mask.
        """
        given = self.given[index]
        if given is not None:
            return given.mask
        width, height = self.sizes[index]
        logits = F.interpolate(
            self.mask_logits[index][None, None], size=(height, width), mode="bilinear"
        )
        mask: Mask = (logits[0, 0] > 0).cpu().numpy()
        return mask

    def cropped(self, index: int) -> CroppedMask:
        """The mask of one region, stored as its crop to save memory."""
        given = self.given[index]
        return given if given is not None else CroppedMask.from_mask(self.mask(index))

    def masks(self) -> list[Mask]:
        """The mask of every region, each bool `(height, width)` of its image."""
        return [self.mask(index) for index in range(len(self))]

    def select(self, indices: Sequence[int]) -> Segments:
        """The regions with these indices, in this order."""
        chosen = np.array(indices, dtype=np.int64)
        rows = torch.from_numpy(chosen).to(self.mask_logits.device)
        return Segments(
            sizes=tuple(self.sizes[index] for index in indices),
            iou_scores=self.iou_scores[chosen],
            object_scores=self.object_scores[chosen],
            mask_logits=self.mask_logits[rows],
            mask_tokens=self.mask_tokens[rows],
            image_embed=self.image_embed[rows],
            object_pointers=self.object_pointers[rows],
            given=tuple(self.given[index] for index in indices),
        )

    @staticmethod
    def concatenate(parts: Sequence[Segments]) -> Segments:
        """The regions of all parts, in order, for one batch of the language model.

        Raises:
            ValueError: there are no parts.
        """
        if not parts:
            raise ValueError("nothing to concatenate")
        return Segments(
            sizes=tuple(size for part in parts for size in part.sizes),
            iou_scores=np.concatenate([part.iou_scores for part in parts]),
            object_scores=np.concatenate([part.object_scores for part in parts]),
            mask_logits=torch.cat([part.mask_logits for part in parts]),
            mask_tokens=torch.cat([part.mask_tokens for part in parts]),
            image_embed=torch.cat([part.image_embed for part in parts]),
            object_pointers=torch.cat([part.object_pointers for part in parts]),
            given=tuple(mask for part in parts for mask in part.given),
        )
