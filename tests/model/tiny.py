"""A PAM of other sizes than the published one, with random weights: fast, and says nothing true."""

from __future__ import annotations

import torch
from transformers import Qwen2Config

from pam_model import PAM
from pam_model.config import PAMConfig, PerceiverConfig, sam2_config
from pam_model.network import PAMNetwork
from tests.parity.recipe import ByteTokenizer

IMAGE_SIZE = (120, 90)  # width, height


class TextTokenizer(ByteTokenizer):
    """The byte tokenizer, with ids as characters, so that every answer is a text of its own."""

    def decode(self, token_ids: list[int], **options: object) -> str:
        """One character an id."""
        return "".join(chr(0x100 + number) for number in token_ids)


def tiny_config() -> PAMConfig:
    """An image of 128 pixels, 8 x 8 cells of 32 channels."""
    return PAMConfig(
        sam2=sam2_config(
            image_size=128,
            widths=(8, 16, 32, 64),
            heads=(1, 2, 4, 8),
            blocks=(1, 1, 2, 1),
            windows=(8, 4, 8, 4),
            global_blocks=(3,),
            width=32,
            decoder_heads=2,
            decoder_mlp=64,
            memory_width=16,
            memory_layers=1,
            memory_mlp=64,
            memory_fuser_mlp=64,
        ),
        language=Qwen2Config(
            vocab_size=320,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        ),
        perceiver=PerceiverConfig(num_heads=4, mlp_dim=64),
    )


def tiny_pam(seed: int = 0) -> PAM:
    """A PAM whose weights differ enough from each other that mixed-up regions show."""
    torch.manual_seed(seed)
    network = PAMNetwork(tiny_config(), TextTokenizer())
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.1)
    # A model that finds nothing would have only empty masks to compare.
    network.segmenter.sam2.mask_decoder.pred_obj_score_head.proj_out.bias.data.fill_(3.0)
    return PAM(network, "tiny")
