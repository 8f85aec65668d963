"""Solutions of chapter 18, "Segmentation masks as tokens".

Shapes: M masks, K mask tokens per mask, V codes in the codebook, D width of a code, S side of a
decoded mask.
"""

import re

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest code for each vector."""
    # Squared distances have the same order: [M, K, V].
    distances = (vectors[:, :, None] - codebook).square().sum(-1)
    return distances.argmin(-1)


def straight_through(vectors: Tensor, chosen: Tensor) -> Tensor:
    """Straight-through estimator: the values of the codes, the gradient to the vectors."""
    return vectors + (chosen - vectors).detach()


def vq_losses(vectors: Tensor, chosen: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
    """Codebook loss and commitment loss, which keep vectors and codes close together."""
    codebook_loss = (chosen - vectors.detach()).square().mean()
    commitment_loss = commitment * (vectors - chosen.detach()).square().mean()
    return codebook_loss, commitment_loss


def read_mask(text: str) -> list[int] | None:
    """Parse the sixteen mask tokens of one object."""
    digits = re.findall(r"<seg(\d*)>", text)
    if len(digits) != 16 or any(len(d) != 3 or int(d) > 127 for d in digits):
        return None
    return [int(d) for d in digits]


def paste_mask(
    values: Tensor,
    box: tuple[float, float, float, float],
    height: int,
    width: int,
) -> Tensor:
    """Paste a decoded mask into its box."""
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (x_max - x_min, y_max - y_min)  # PIL takes the width first
    resized = Image.fromarray(values.numpy()).resize(size, Image.Resampling.BILINEAR)
    inside = torch.from_numpy(np.array(resized)) > 0  # [height of the box, width of the box]
    mask = torch.zeros(height, width, dtype=torch.bool)  # [H, W]
    top, left = max(y_min, 0), max(x_min, 0)
    bottom, right = min(y_max, height), min(x_max, width)
    visible = inside[top - y_min : bottom - y_min, left - x_min : right - x_min]
    mask[top:bottom, left:right] = visible
    return mask
