"""Masks of images: crop the part inside a box to 64 x 64, and paste it back.

Shapes: H W height and width of the image, S side of a cropped mask (64), M masks, K codes of a mask.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from vlm.regions.boxes import Box, Detection
from vlm.regions.mask_vqvae import MASK_SIZE, MaskDecoder, MaskEncoder, nearest_codes


def crop_mask(mask: np.ndarray, box: Box) -> np.ndarray:
    """Crop a mask to a box and resize it to a square: [H, W], 0 or 1 -> float32 [S, S], 0..1.

    The box is rounded to whole pixels and clipped to the image. Bilinear, with antialiasing.

    Args:
        box: (y_min, x_min, y_max, x_max) in pixels.

    Raises:
        ValueError: if the box lies outside the image.
    """
    y_min, x_min, y_max, x_max = _whole_pixels(box, *mask.shape)
    window = Image.fromarray(mask[y_min:y_max, x_min:x_max].astype(np.float32))
    return np.asarray(window.resize((MASK_SIZE, MASK_SIZE), Image.Resampling.BILINEAR))


def paste_mask(values: np.ndarray, box: Box, height: int, width: int) -> np.ndarray:
    """Stretch a decoded mask over its box: float [S, S], positive inside -> bool [H, W].

    The order matters: the numbers are first stretched and then compared with 0, so edges come out smooth.

    Args:
        box: (y_min, x_min, y_max, x_max) in pixels; rounded to whole pixels.

    Raises:
        ValueError: if the box lies outside the image.

    Source: big_vision, evaluators/proj/paligemma/transfers/segmentation.py.
    """
    y_min, x_min, y_max, x_max = _whole_pixels(box, height, width)
    stretched = Image.fromarray(values.astype(np.float32)).resize(
        (x_max - x_min, y_max - y_min), Image.Resampling.BILINEAR
    )
    mask = np.zeros((height, width), dtype=bool)  # [H, W]
    mask[y_min:y_max, x_min:x_max] = np.asarray(stretched) > 0
    return mask


@torch.inference_mode()
def encode_masks(
    masks: Sequence[np.ndarray], boxes: Sequence[Box], encoder: MaskEncoder, decoder: MaskDecoder
) -> list[tuple[int, ...]]:
    """Masks [H, W], each with the box around it -> the 16 codes of each."""
    if not masks:
        return []
    crops = np.stack([crop_mask(mask, box) for mask, box in zip(masks, boxes, strict=True)])  # [M, S, S]
    codes = nearest_codes(encoder(torch.from_numpy(crops)), decoder.codebook)  # [M, K]
    return [tuple(row) for row in codes.tolist()]


@torch.inference_mode()
def decode_masks(
    detections: Sequence[Detection], decoder: MaskDecoder, height: int, width: int
) -> list[np.ndarray | None]:
    """The masks of an answer to "segment …": for each detection bool [H, W], or None if it has no codes.

    Args:
        detections: from `parse_detections`, boxes in pixels of the image.
        height: the image's height in pixels.
        width: the image's width in pixels.
    """
    masks: list[np.ndarray | None] = []
    for detection in detections:
        if detection.mask_codes is None:
            masks.append(None)
            continue
        [values] = decoder(torch.tensor([detection.mask_codes]))  # [S, S]
        masks.append(paste_mask(values.numpy(), detection.box, height, width))
    return masks


def _whole_pixels(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """The box in whole pixels, at least one wide and high, clipped to the image."""
    y_min, x_min, y_max, x_max = (round(edge) for edge in box)
    y_min, x_min = max(y_min, 0), max(x_min, 0)
    y_max, x_max = min(max(y_max, y_min + 1), height), min(max(x_max, x_min + 1), width)
    if y_max <= y_min or x_max <= x_min:
        raise ValueError(f"box {box} lies outside the image of {height} x {width} pixels")
    return y_min, x_min, y_max, x_max
