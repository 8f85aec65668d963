"""The vision tower: patches in reading order, and outputs equal to the reference."""

import torch
from reference import make_reference, make_twin


@torch.inference_mode()
def test_tower_equals_the_reference():
    reference = make_reference()
    model = make_twin(reference)
    pixel_values = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    theirs = reference.model.vision_tower(pixel_values).last_hidden_state
    torch.testing.assert_close(model.vision_tower(pixel_values), theirs, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_patches_come_in_reading_order():
    embeddings = make_twin(make_reference()).vision_tower.vision_model.embeddings
    plain = embeddings(torch.zeros(1, 3, 28, 28))[0]
    image = torch.zeros(1, 3, 28, 28)
    image[:, :, :14, 14:] = 1  # the upper right of four patches
    changed = (embeddings(image)[0] - plain).abs().sum(-1) > 1e-6
    assert changed.tolist() == [False, True, False, False]
