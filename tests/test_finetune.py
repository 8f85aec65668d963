"""A few steps of training: what may move moves, the loss falls, and the same seed gives the same run."""

import pytest
import torch

from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import draw_scene
from toybox.sprites import LABELS
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.training.finetune import TrainingExample, fine_tune, schedule
from vlm.training.lora import LoraConfig, add_lora

SCENES = [draw_scene(seed, "train", ("penguin", *LABELS[:2])) for seed in range(12)]
EXAMPLES = [TrainingExample(s.image, caption(s).prompt, caption(s).suffix) for s in SCENES]


def toybox():
    model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
    return model, PaliGemmaProcessor.for_model(model, tokenizer)


def train(num_steps: int, **options) -> tuple[list[float], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    model, processor = toybox()
    torch.manual_seed(0)
    add_lora(model, LoraConfig(rank=4))
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    losses = fine_tune(model, processor, EXAMPLES, num_steps, batch_size=4, **options)
    assert not model.training
    return losses, before, dict(model.named_parameters())


def test_the_loss_falls_and_only_what_requires_a_gradient_moves():
    losses, before, after = train(15, learning_rate=3e-3)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "lora_" in name}


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    first, again, other = (train(3, seed=seed)[0] for seed in (0, 0, 1))
    assert first == again != other


def test_every_example_comes_once_before_one_comes_twice():
    model, processor = toybox()
    seen = []

    def record(text, images, suffix):
        seen.extend(id(image) for image in images)
        return processor(text, images, suffix)

    add_lora(model, LoraConfig(rank=1))
    fine_tune(model, record, EXAMPLES, num_steps=6, batch_size=4)
    assert len(set(seen[:12])) == 12 and len(set(seen[12:])) == 12


def test_learning_rate_rises_over_a_tenth_and_falls_to_nearly_nothing():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == 1 and rates[55] == pytest.approx(0.5) and rates[99] < 0.001
    assert [schedule(step, 1) for step in range(1)] == [1.0]


def test_nothing_to_train_or_nothing_to_learn_from_is_an_error():
    model, processor = toybox()
    with pytest.raises(ValueError, match="0 examples"):
        fine_tune(model, processor, [], 1)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="0 parameters"):
        fine_tune(model, processor, EXAMPLES, 1)
