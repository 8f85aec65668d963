"""The training of the mask VQ-VAE: each loss pulls where it should, and what is written can be read."""

import pytest
import torch

from toybox import train_masks as training
from toybox.train_masks import TrainingMasks, autoencoder_loss, revive_codes, train_mask_vqvae, vqvae_losses
from vlm.regions.boxes import NUM_MASK_CODES
from vlm.regions.mask_vqvae import MaskDecoder, MaskEncoder, load_mask_decoder, load_mask_encoder, nearest_codes


@pytest.fixture
def parts() -> tuple[MaskEncoder, MaskDecoder]:
    torch.manual_seed(0)
    return MaskEncoder(), MaskDecoder()


@pytest.fixture(scope="module")
def masks() -> torch.Tensor:
    return next(iter(TrainingMasks(1)))[:8]


def gradients(loss: torch.Tensor, part: torch.nn.Module) -> list[bool]:
    part.zero_grad()
    loss.backward(retain_graph=True)
    return [parameter.grad is not None and bool(parameter.grad.any()) for parameter in part.parameters()]


def test_training_masks_are_shapes_that_touch_all_sides_of_their_square():
    first, second = TrainingMasks(2)
    assert first.shape == (training.MASKS_PER_STEP, 64, 64) and not torch.equal(first, second)
    assert first.min() == 0 and first.max() == 1
    assert 0.3 < first.mean() < 0.9
    near_the_top = first[:, :8].flatten(1).max(1).values  # a box is at most a pixel or two off
    assert (near_the_top > 0.5).float().mean() > 0.95


def test_each_loss_teaches_its_own_part(parts, masks):
    encoder, decoder = parts
    losses = vqvae_losses(masks, encoder, decoder, torch.zeros(NUM_MASK_CODES, dtype=torch.long))
    assert all(gradients(losses["reconstruction"], encoder))  # straight through the choice
    assert not any(gradients(losses["codebook"], encoder))
    assert all(gradients(losses["commitment"], encoder))
    [codebook, *layers] = gradients(losses["reconstruction"], decoder)
    assert not codebook and all(layers)
    [codebook, *layers] = gradients(losses["codebook"], decoder)
    assert codebook and not any(layers)
    assert not any(gradients(losses["commitment"], decoder))


def test_the_losses_are_measured_between_vectors_and_their_nearest_codes(parts, masks):
    encoder, decoder = parts
    uses = torch.zeros(NUM_MASK_CODES, dtype=torch.long)
    losses = vqvae_losses(masks, encoder, decoder, uses)
    vectors = encoder(masks)
    codes = nearest_codes(vectors, decoder.codebook)
    apart = (vectors - decoder.codebook[codes]).square().mean()
    torch.testing.assert_close(losses["codebook"], apart)
    torch.testing.assert_close(losses["commitment"], 0.25 * apart)
    torch.testing.assert_close(losses["reconstruction"], (decoder(codes) - (2 * masks - 1)).square().mean())
    assert uses.tolist() == torch.bincount(codes.flatten(), minlength=NUM_MASK_CODES).tolist()


def test_without_codes_masks_come_back_from_the_vectors_themselves(parts, masks):
    encoder, decoder = parts
    decoded = decoder.decode_vectors(encoder(masks))
    expected = (decoded - (2 * masks - 1)).square().mean()
    torch.testing.assert_close(autoencoder_loss(masks, encoder, decoder)["reconstruction"], expected)


def test_unused_codes_are_moved_onto_vectors_and_the_others_stay(parts, masks):
    encoder, decoder = parts
    before = decoder.codebook.detach().clone()
    uses = torch.ones(NUM_MASK_CODES, dtype=torch.long)
    uses[[3, 77]] = 0
    assert revive_codes(masks, encoder, decoder, uses) == 2
    moved = (decoder.codebook != before).any(-1).nonzero().flatten()
    assert moved.tolist() == [3, 77]
    vectors = encoder(masks).flatten(0, 1)
    assert all((vectors - decoder.codebook[code]).abs().sum(-1).min() < 1e-4 for code in (3, 77))


def test_a_short_training_lowers_the_loss_and_writes_what_can_be_loaded(tmp_path, monkeypatch, masks):
    monkeypatch.setattr(training, "MASKS_PER_STEP", 8)
    monkeypatch.setattr(training, "FREE", 0.5)
    monkeypatch.setattr(training, "WARMUP_STEPS", 1)
    path = tmp_path / "masks.safetensors"
    train_mask_vqvae(90, path)
    encoder, decoder = load_mask_encoder(path), load_mask_decoder(path)
    with torch.inference_mode():
        blank = (2 * masks - 1).square().mean()  # what an answer of 0 everywhere costs
        assert autoencoder_loss(masks, encoder, decoder)["reconstruction"] < 0.8 * blank
    assert decoder.codebook.std() < 0.9  # no longer the random one, but vectors of the encoder
