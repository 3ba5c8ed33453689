"""The three parts of PAM as one module, with the parameter names of the published checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pam_model.language import LanguageModel, Tokenizer
from pam_model.perceiver import SemanticPerceiver, VisualProjector
from pam_model.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pam_model.config import PAMConfig


class PAMNetwork(nn.Module):
    """SAM 2.1, the Semantic Perceiver with its projectors, and Qwen2.5.

    Args:
        config: sizes.
        tokenizer: of the language model.
        attn_implementation: of the language model: "sdpa", "eager" or "flash_attention_2".
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

        SAM 2.1 is not among them: it is `segmenter.sam2`, under the names of transformers.
        """
        return (
            ("", self.language.qwen2),
            ("model.vision_resampler.", self.perceiver),
            ("model.", self.projector),
        )

    def cast(self, dtype: torch.dtype) -> PAMNetwork:
        """Hold the parameters as `dtype`, but those that place a prompt as float32.

        A bf16 prompt encoder would move points by pixels. Buffers (position codes, the language
        model's rotary frequencies, pixel means) stay as they are for the same reason.
        """
        precise = {id(parameter) for parameter in self._precise_parameters()}
        for parameter in self.parameters():
            if id(parameter) not in precise:
                parameter.data = parameter.data.to(dtype)
        return self

    def _precise_parameters(self) -> Iterator[nn.Parameter]:
        sam2 = self.segmenter.sam2
        yield from sam2.prompt_encoder.parameters()
        yield from sam2.mask_downsample.parameters()

    def visual_rows(self, mask_tokens: Tensor, image_embed: Tensor) -> Tensor:
        """Region features of a still picture -> rows `(N, rows, hidden)` for the language model.

        Args:
            mask_tokens: `(N, 2, C)` of the mask decoder.
            image_embed: `(N, C, h, w)` of the mask decoder.
        """
        rows: Tensor = self.projector(self.perceiver(mask_tokens, image_embed))
        return rows
