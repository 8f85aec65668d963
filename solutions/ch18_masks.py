"""Solutions of chapter 18, "Which pixels are it?".

Shapes: M masks, K codes of a mask, V codes in the codebook, D their width, S side of a decoded mask.
"""

import re

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Find the nearest code of each vector."""
    distances = (vectors[:, :, None] - codebook).square().sum(-1)  # [M, K, V], squared: the order is the same
    return distances.argmin(-1)


def straight_through(vectors: Tensor, chosen: Tensor) -> Tensor:
    """Replace vectors by their codes, and let the gradient pass as if nothing had been replaced."""
    return vectors + (chosen - vectors).detach()


def pull_together(vectors: Tensor, chosen: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
    """Compute the two losses that hold vectors and codes together."""
    codebook_loss = (chosen - vectors.detach()).square().mean()
    commitment_loss = commitment * (vectors - chosen.detach()).square().mean()
    return codebook_loss, commitment_loss


def read_mask(text: str) -> list[int] | None:
    """Read the sixteen codes of one thing."""
    digits = re.findall(r"<seg(\d*)>", text)
    if len(digits) != 16 or any(len(d) != 3 or int(d) > 127 for d in digits):
        return None
    return [int(d) for d in digits]


def paste_mask(values: Tensor, box: tuple[float, float, float, float], height: int, width: int) -> Tensor:
    """Lay a decoded mask into its box."""
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    size = (x_max - x_min, y_max - y_min)
    stretched = np.array(Image.fromarray(values.numpy()).resize(size, Image.Resampling.BILINEAR))
    mask = torch.zeros(height, width, dtype=torch.bool)  # [H, W]
    top, left, bottom, right = max(y_min, 0), max(x_min, 0), min(y_max, height), min(x_max, width)
    inside = torch.from_numpy(stretched) > 0
    mask[top:bottom, left:right] = inside[top - y_min : bottom - y_min, left - x_min : right - x_min]
    return mask
