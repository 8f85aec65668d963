"""A few steps of training: what may move moves, the loss falls, and the same seed gives the same run."""

import pytest
import torch

import vlm.paligemma
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption
from toybox.scenes import draw_scene
from toybox.sprites import LABELS
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.training.finetune import TrainingExample, fine_tune
from vlm.training.lora import LoraConfig, add_lora
from vlm.training.schedule import schedule

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


def test_each_step_has_its_learning_rate(monkeypatch):
    rates = []

    def record(optimizer):
        rates.append(optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    train(11, learning_rate=2.0)
    assert rates == [2.0 * schedule(step, 11, 1) for step in range(11)]


def test_a_long_gradient_is_clipped():
    # So short a gradient is lost in AdamW's epsilon; without clipping its length would not matter.
    _, before, after = train(2, max_gradient_norm=1e-13)
    assert all(torch.allclose(before[name], after[name], rtol=0, atol=1e-7) for name in before)


def moved_fraction(dtype: torch.dtype) -> float:
    model, processor = toybox()
    model.to(dtype)
    before = [parameter.clone() for parameter in model.parameters()]
    fine_tune(model, processor, EXAMPLES, 3, batch_size=4, learning_rate=1e-5)
    moved = sum((old != new).sum().item() for old, new in zip(before, model.parameters()))
    return moved / sum(old.numel() for old in before)


def test_bfloat16_parameters_swallow_small_updates_and_that_is_a_warning():
    with pytest.warns(UserWarning, match="bfloat16 parameters lose most updates") as warned:
        assert moved_fraction(torch.bfloat16) < 0.1
    assert warned[0].filename == __file__  # where fine_tune was called
    assert moved_fraction(torch.float32) > 0.99


def test_float16_parameters_are_refused_but_not_beside_adapters():
    model, processor = toybox()
    model.half()
    with pytest.raises(ValueError, match="float16 parameters cannot be trained"):
        fine_tune(model, processor, EXAMPLES, 1)
    add_lora(model, LoraConfig(rank=2))
    assert fine_tune(model, processor, EXAMPLES, 1, batch_size=2)[0] < 5


def test_a_loss_that_is_not_finite_ends_the_training_before_the_step():
    model, processor = toybox()
    weights = []
    with pytest.raises(RuntimeError, match=r"step 1: the loss is (nan|inf) .* smaller learning rate, in float32"):
        fine_tune(
            model,
            processor,
            EXAMPLES,
            5,
            batch_size=4,
            learning_rate=1e6,
            after_step=lambda step, loss: weights.extend(parameter.clone() for parameter in model.parameters()),
        )
    assert all(torch.equal(old, new) for old, new in zip(weights, model.parameters(), strict=True))


def test_an_infinite_loss_ends_the_training_though_its_gradient_is_finite(monkeypatch):
    model, processor = toybox()
    monkeypatch.setattr(vlm.paligemma, "next_token_loss", lambda logits, labels: logits.float().mean() + torch.inf)
    with pytest.raises(RuntimeError, match=r"step 0: the loss is inf and the norm of its gradient \d"):
        fine_tune(model, processor, EXAMPLES, 1, batch_size=2)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_ends_the_training_before_the_step(value):
    model, processor = toybox()
    before = [parameter.clone() for parameter in model.parameters()]
    model.multi_modal_projector.linear.bias.register_hook(lambda gradient: gradient * value)
    with pytest.raises(RuntimeError, match=r"step 0: the loss is 0\.\d+ and the norm of its gradient (nan|inf)"):
        fine_tune(model, processor, EXAMPLES, 1, batch_size=2)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters()))


def test_nothing_to_train_or_nothing_to_learn_from_is_an_error():
    model, processor = toybox()
    with pytest.raises(ValueError, match="0 examples"):
        fine_tune(model, processor, [], 1)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="0 parameters"):
        fine_tune(model, processor, EXAMPLES, 1)
