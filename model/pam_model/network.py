"""The three parts of PAM as one module, with the parameter names of the published checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pam_model.config import PAMConfig
from pam_model.language import LanguageModel, Tokenizer
from pam_model.perceiver import SemanticPerceiver, VisualProjector
from pam_model.segmenter import Segmenter

PRECISE_SAM2 = ("prompt_encoder.", "mask_downsample.")
"""Parts of SAM 2.1 that place a prompt. They stay in float32: bf16 would move points by pixels."""


class PAMNetwork(nn.Module):
    """SAM 2.1, the Semantic Perceiver with its projectors, and Qwen2.5.

    Args:
        config: the sizes of the model.
        tokenizer: the language model's tokenizer.
        attn_implementation: the language model's attention: "sdpa", "eager" or "flash_attention_2".
    """

    def __init__(
        self, config: PAMConfig, tokenizer: Tokenizer, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__()
        self.config = config
        self.segmenter = Segmenter(config)
        self.perceiver = SemanticPerceiver(config)
        self.projector = VisualProjector(config)
        self.language = LanguageModel(config, tokenizer, attn_implementation=attn_implementation)

    @property
    def published_parts(self) -> tuple[tuple[str, nn.Module], ...]:
        """(prefix, module) pairs whose state dicts together are the published PAM checkpoint.

        SAM 2.1 is not among them: it is `segmenter.sam2`, and has transformers' names.
        """
        return (
            ("", self.language.qwen2),
            ("model.vision_resampler.", self.perceiver),
            ("model.", self.projector),
        )

    def cast(self, dtype: torch.dtype) -> PAMNetwork:
        """Convert the parameters to `dtype`, except those of `PRECISE_SAM2`.

        Buffers (position codes, rotary frequencies, pixel means) keep their dtype for the same
        reason.
        """
        for name, parameter in self.named_parameters():
            if not name.removeprefix("segmenter.sam2.").startswith(PRECISE_SAM2):
                parameter.data = parameter.data.to(dtype)
        return self

    def visual_rows(self, mask_tokens: Tensor, image_embed: Tensor) -> Tensor:
        """Turn N regions' features into rows for the language model, `(N, rows, hidden)`.

        Args:
            mask_tokens: the mask decoder's tokens, `(N, 2, C)`.
            image_embed: the mask decoder's image side, `(N, C, h, w)`.
        """
        rows: Tensor = self.projector(self.perceiver(mask_tokens, image_embed))
        return rows

    def clip_rows(self, mask_tokens: Tensor, image_embed: Tensor) -> Tensor:
        """Turn one object's features in F frames into rows, `(1, rows, hidden)`.

        The first frame has as many rows as a still image, each later one a quarter of its image
        rows, and each frame ends with a row of its own: 5168 rows for 16 frames of PAM-3B.

        Args:
            mask_tokens: the mask decoder's tokens, `(F, 2, C)`.
            image_embed: the mask decoder's image side, `(F, C, h, w)`.
        """
        first = self.perceiver(mask_tokens[:1], image_embed[:1])
        later = self.perceiver(mask_tokens[1:], image_embed[1:], later_frame=True)
        parts = [self.projector(frames, in_clip=True).flatten(0, 1) for frames in (first, later)]
        return torch.cat(parts)[None]
