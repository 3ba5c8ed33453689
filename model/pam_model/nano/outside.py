"""Tell images that are not of nano's drawn world, such as photographs, by their embedding.

nano answers about any image, and its answers about photographs mean nothing. The mean embedding of
an image lies near those of drawn scenes and flat images, or far away from them.

    python -m pam_model.nano.outside FILE   # measure drawn images again, after nano was trained
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pam_model.nano.flat import draw_flat_image
from pam_model.nano.world import render_scene
from pam_model.pam import PAM
from pam_model.segments import ImageFeatures

FAR = 2.0
"""The distance from which an image is outside: about 1 is usual in the drawn world."""
_FILE = Path(__file__).parent / "drawn_world.safetensors"
_SEEDS = range(1000, 1400)  # of training scenes
_RIDGE = 0.01  # of the mean variance, so that directions without any do not decide


def is_outside(features: ImageFeatures) -> bool:
    """Whether an image is none of nano's drawn world."""
    return distance(features) > FAR


def distance(features: ImageFeatures) -> float:
    """How far an image's mean embedding is from those of drawn images: Mahalanobis, squared.

    It is divided by the number of channels.
    """
    mean, whiten = _drawn_world()
    return float(((whiten @ (_pooled(features) - mean)) ** 2).mean())


def measure_drawn_world(pam: PAM) -> dict[str, Tensor]:
    """The mean `(C,)` of drawn images, and the matrix `(C, C)` that whitens their differences."""
    drawn = [render_scene(seed).image for seed in _SEEDS]
    drawn += [draw_flat_image(seed).image for seed in _SEEDS[:60]]
    pooled = torch.stack([_pooled(pam.encode(image)) for image in drawn])  # [N, C]
    spread = torch.cov(pooled.T)  # [C, C]
    ridge = _RIDGE * spread.diagonal().mean() * torch.eye(len(spread))
    whiten = torch.linalg.inv(torch.linalg.cholesky(spread + ridge))
    return {"mean": pooled.mean(dim=0), "whiten": whiten.contiguous()}


def _pooled(features: ImageFeatures) -> Tensor:
    """The mean embedding `(C,)`, float32 on the CPU."""
    return features.maps.embedding[0].float().mean(dim=(1, 2)).cpu()


@cache
def _drawn_world() -> tuple[Tensor, Tensor]:
    world = load_file(_FILE)
    return world["mean"], world["whiten"]


if __name__ == "__main__":
    save_file(measure_drawn_world(PAM.from_pretrained("nano", dtype=torch.float32)), sys.argv[1])
