"""Masks cut out of pictures and laid back. Pictures are not square, so that a swap of x and y shows."""

import numpy as np
import pytest
import torch

from toybox import MASK_VQVAE_FILE
from toybox.scenes import IMAGE_SIZE, draw_scene
from vlm.metrics.masks import mask_iou
from vlm.regions.boxes import Detection
from vlm.regions.mask_vqvae import MASK_SIZE, load_mask_decoder, load_mask_encoder
from vlm.regions.segmentation import crop_mask, decode_masks, encode_masks, paste_mask

HEIGHT, WIDTH = 40, 60


def test_a_crop_holds_what_is_in_the_box_and_nothing_else():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:40] = True  # fills the left half of the box
    mask[0:5, 0:5] = True  # another thing
    crop = crop_mask(mask, (10, 30, 20, 50))
    assert crop.shape == (MASK_SIZE, MASK_SIZE) and crop.dtype == np.float32
    assert crop[:, :30].min() == 1 and crop[:, 34:].max() == 0


def test_a_pasted_mask_fills_its_box_and_nothing_else():
    values = -np.ones((MASK_SIZE, MASK_SIZE))
    values[: MASK_SIZE // 2] = 1  # the upper half
    mask = paste_mask(values, (10, 30, 20, 50), HEIGHT, WIDTH)
    assert mask.shape == (HEIGHT, WIDTH) and mask.dtype == bool
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:15, 30:50] = True
    assert (mask == expected).all()


def test_boxes_are_rounded_and_cut_at_the_picture():
    values = np.ones((MASK_SIZE, MASK_SIZE))
    assert paste_mask(values, (9.6, 29.6, 20.4, 50.4), HEIGHT, WIDTH).sum() == 10 * 20
    assert paste_mask(values, (30, 50, 90, 90), HEIGHT, WIDTH).sum() == 10 * 10
    assert paste_mask(values, (5.1, 5.1, 5.2, 5.2), HEIGHT, WIDTH).sum() == 1


@pytest.mark.parametrize("box", [(45, 0, 50, 10), (0, 60, 10, 70)])
def test_a_box_outside_the_picture_is_refused(box):
    with pytest.raises(ValueError, match="outside the image of 40 x 60"):
        paste_mask(np.ones((MASK_SIZE, MASK_SIZE)), box, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="outside the image of 40 x 60"):
        crop_mask(np.ones((HEIGHT, WIDTH), bool), box)


@pytest.fixture(scope="module")
def encoder():
    return load_mask_encoder(MASK_VQVAE_FILE)


@pytest.fixture(scope="module")
def decoder():
    return load_mask_decoder(MASK_VQVAE_FILE)


def test_masks_of_the_test_split_survive_as_sixteen_codes(encoder, decoder):
    ious = []
    for seed in range(60):
        scene = draw_scene(seed, "test")
        masks, boxes = [scene.mask(i) for i in range(len(scene.objects))], [thing.box for thing in scene.objects]
        codes = encode_masks(masks, boxes, encoder, decoder)
        detections = [Detection("toy", box, row) for box, row in zip(boxes, codes, strict=True)]
        back = decode_masks(detections, decoder, IMAGE_SIZE, IMAGE_SIZE)
        ious += [mask_iou(a, b) for a, b in zip(masks, back, strict=True)]
    assert len(ious) > 100
    assert np.mean(ious) >= 0.90


def test_the_weights_are_small_and_say_how_they_were_made():
    from safetensors import safe_open

    assert MASK_VQVAE_FILE.stat().st_size < 4.2e6
    with safe_open(MASK_VQVAE_FILE, framework="pt") as file:
        assert {"format", "made"} <= set(file.metadata())


def test_a_detection_without_codes_has_no_mask(decoder):
    with_mask = Detection("cat", (0, 0, 20, 20), tuple(range(16)))
    without = Detection("dog", (0, 0, 20, 20))
    first, second = decode_masks([without, with_mask], decoder, HEIGHT, WIDTH)
    assert first is None and second.shape == (HEIGHT, WIDTH)
    assert decode_masks([], decoder, HEIGHT, WIDTH) == []


def test_no_masks_have_no_codes(encoder, decoder):
    assert encode_masks([], [], encoder, decoder) == []


def test_decoding_needs_no_gradient(decoder):
    [mask] = decode_masks([Detection("cat", (0, 0, 20, 20), (5,) * 16)], decoder, HEIGHT, WIDTH)
    assert isinstance(mask, np.ndarray) and not torch.is_tensor(mask)
