"""Learning from pairs: losses by hand and against transformers, the text tower against transformers."""

import math

import pytest
import torch
from transformers import SiglipConfig, SiglipModel

from vlm.config import SiglipVisionConfig
from vlm.training.contrastive import (
    SiglipTextModel,
    initial_logit_scale_and_bias,
    pair_logits,
    sigmoid_loss,
    softmax_loss,
)

PAIRS, TEXT_LENGTH, VOCABULARY = 3, 6, 30
SHAPE = {"hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIG = SiglipVisionConfig(**SHAPE, patch_size=4, image_size=12)


@pytest.fixture(scope="module")
def reference() -> SiglipModel:
    torch.manual_seed(0)
    text = SHAPE | {"vocab_size": VOCABULARY, "max_position_embeddings": TEXT_LENGTH, "projection_size": 16}
    vision = SHAPE | {"patch_size": 4, "image_size": 12}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    for parameter in model.parameters():  # biases and norms too, which begin as 0 and 1
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "input_ids": torch.randint(VOCABULARY, (PAIRS, TEXT_LENGTH), generator=generator),
        "pixel_values": torch.randn(PAIRS, 3, 12, 12, generator=generator),
    }


@torch.no_grad()
def test_the_text_tower_agrees_with_transformers(reference, batch):
    tower = SiglipTextModel(CONFIG, VOCABULARY, TEXT_LENGTH)
    tower.load_state_dict(reference.text_model.state_dict())
    expected = reference.text_model(batch["input_ids"]).pooler_output
    assert torch.allclose(tower(batch["input_ids"]), expected, atol=1e-5)


@torch.no_grad()
def test_logits_and_sigmoid_loss_agree_with_transformers(reference, batch):
    outputs = reference(**batch, return_loss=True)
    images, texts = (
        reference.vision_model(batch["pixel_values"]).pooler_output,
        reference.text_model(batch["input_ids"]).pooler_output,
    )
    logits = pair_logits(images, texts, reference.logit_scale, reference.logit_bias)
    assert torch.allclose(logits, outputs.logits_per_image, atol=1e-5)
    assert torch.allclose(sigmoid_loss(logits), outputs.loss, atol=1e-5)


def test_losses_of_two_pairs_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    sigmoid = sum(math.log(1 + math.exp(x)) for x in (-2, -1, 0, -3)) / 2
    rows = math.log(1 + math.exp(-3)) + math.log(1 + math.exp(-3))
    columns = math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-4))
    assert sigmoid_loss(logits).item() == pytest.approx(sigmoid, abs=1e-6)
    assert softmax_loss(logits).item() == pytest.approx((rows + columns) / 4, abs=1e-6)


def test_large_logits_give_finite_losses_and_gradients():
    logits = torch.tensor([[-500.0, 500.0], [500.0, -500.0]], requires_grad=True)
    for loss in (sigmoid_loss, softmax_loss):
        (gradient,) = torch.autograd.grad(loss(logits), logits)
        assert torch.isfinite(loss(logits)) and torch.isfinite(gradient).all()


def test_at_the_start_the_sigmoid_loss_is_small_though_nothing_matches():
    scale, bias = initial_logit_scale_and_bias()
    logits = pair_logits(torch.eye(4), torch.eye(4).roll(1, 0), scale, bias)
    assert scale.exp().item() == pytest.approx(10) and bias.item() == -10
    # Each picture's own text has logit -10, the one that it is confused with 0.
    assert sigmoid_loss(logits).item() == pytest.approx(10 + math.log(2), abs=1e-3)
