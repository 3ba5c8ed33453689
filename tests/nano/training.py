"""A network small enough that a training step takes a fraction of a second."""

from __future__ import annotations

from functools import partial

import torch

from pam_model.nano.train.batch import make_batch
from pam_model.nano.train.loop import Trainer
from pam_model.nano.train.objective import Objective
from pam_model.nano.train.setup import (
    freeze_video_parts,
    fresh_network,
    interpolate_positions_linearly,
    skip_position_codes,
)
from tests.model.tiny import tiny_config

CPU = torch.device("cpu")
SIDE = 128
IMAGES = 8


def batches(tables, seed, side=SIDE):
    """A function that makes batches, always the same ones for a seed."""
    generator = torch.Generator().manual_seed(seed)
    return partial(make_batch, IMAGES, tables, CPU, generator=generator, side=side)


def tiny_network(tokenizer, seed=0):
    """The network of `tests.model.tiny`, with nano's tokenizer and fresh weights."""
    network = fresh_network(tiny_config(len(tokenizer)), tokenizer, seed)
    skip_position_codes(network)
    interpolate_positions_linearly(network)
    return network


def tiny_trainer(tokenizer, make):
    """A trainer of a tiny network; `make` makes its batches."""
    network = tiny_network(tokenizer)
    freeze_video_parts(network)
    return Trainer(Objective(network), make)
