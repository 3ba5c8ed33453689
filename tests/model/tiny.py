"""A PAM of other sizes than the published one, with random weights: fast, and says nothing true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pam_model import PAM
from pam_model.network import PAMNetwork
from tests.model.sizes import small_config
from tests.parity.recipe import ByteTokenizer

if TYPE_CHECKING:
    from pam_model.config import PAMConfig

IMAGE_SIZE = (120, 90)  # width, height


class TextTokenizer(ByteTokenizer):
    """The byte tokenizer, with ids as characters, so that every answer is a text of its own."""

    def decode(self, token_ids: list[int], **options: object) -> str:
        """One character an id."""
        return "".join(chr(0x100 + number) for number in token_ids)


def tiny_config(vocabulary: int = 320, sizes: str = "tiny") -> PAMConfig:
    """An image of 128 pixels, 8 x 8 cells of 32 channels."""
    return small_config(sizes, vocabulary)


def tiny_pam(seed: int = 0, sizes: str = "tiny") -> PAM:
    """A PAM whose weights differ enough from each other that mixed-up regions show."""
    torch.manual_seed(seed)
    network = PAMNetwork(tiny_config(sizes=sizes), TextTokenizer())
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    # A model that finds nothing would have only empty masks to compare.
    network.segmenter.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(3.0)
    return PAM(network, "tiny")
