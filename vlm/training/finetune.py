"""Trains a PaliGemma further on pictures with prompts and the answers that one wants. Shapes: B batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import nn

from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor


@dataclass(frozen=True)
class TrainingExample:
    """After this picture and this prompt the model should write `suffix` and end."""

    image: Image.Image
    prompt: str
    suffix: str


def fine_tune(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    examples: Sequence[TrainingExample],
    num_steps: int,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    max_gradient_norm: float = 1.0,
    seed: int = 0,
    after_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train what requires a gradient, by the loss on the suffix alone.

    The examples are gone through in random order, again and again. The learning rate rises over the first tenth of the
    steps and falls to 0 along half a cosine.

    Args:
        after_step: called with the number of the step, from 0, and its loss.

    Returns:
        The loss of each step.

    Raises:
        ValueError: nothing requires a gradient, or there are no examples.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters or not examples:
        raise ValueError(f"{len(parameters)} parameters to train and {len(examples)} examples: both must be at least 1")
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    losses = []
    model.train()
    for step in range(num_steps):
        if len(order) < batch_size:
            order += torch.randperm(len(examples), generator=generator).tolist()
        batch, order = [examples[index] for index in order[:batch_size]], order[batch_size:]
        inputs = processor([e.prompt for e in batch], [e.image for e in batch], [e.suffix for e in batch])
        loss = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).loss
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
        optimizer.param_groups[0]["lr"] = learning_rate * schedule(step, num_steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        after_step(step, losses[-1])
    model.eval()
    return losses


def schedule(step: int, num_steps: int) -> float:
    """The part of the learning rate in a step: up over the first tenth, then down along half a cosine, to 0."""
    warmup = max(1, round(num_steps / 10))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (num_steps - warmup)))
