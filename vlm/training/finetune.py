"""Fine-tunes a PaliGemma on images, prompts and the answers that it should give."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import nn

from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.training.schedule import schedule


@dataclass(frozen=True)
class TrainingExample:
    """An image, a prompt, and the answer (`suffix`) that the model should give before it ends."""

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
    """Train the parameters that require a gradient, with AdamW and a loss on the suffix only.

    The examples are visited in random order, epoch after epoch. The learning rate warms up over the first tenth of
    the steps, then decays to 0.

    Trainable parameters should be float32. bfloat16 has 8 significant bits, so most updates at a small learning rate
    are rounded away (at 1e-5, 3 % of the Toybox's weights change in 20 steps, in float32 nearly all): a warning says
    so. float16 is refused, since AdamW's epsilon rounds to 0 in it. Frozen weights may have any dtype.

    Args:
        after_step: called after each step with its number, from 0, and its loss.

    Returns:
        The loss of each step.

    Raises:
        ValueError: no parameter requires a gradient, one that does is float16, or there are no examples.
        RuntimeError: a loss or a gradient is not finite. That step is not taken.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters or not examples:
        raise ValueError(f"{len(parameters)} parameters to train and {len(examples)} examples: both must be at least 1")
    check_dtypes(parameters)
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
        norm = nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
        if not (loss.isfinite() and norm.isfinite()):
            raise RuntimeError(
                f"step {step}: the loss is {loss.item():.3g} and the norm of its gradient {norm.item():.3g}. Both must "
                "be finite: load the model again, and train with a smaller learning rate, in float32"
            )
        optimizer.param_groups[0]["lr"] = learning_rate * schedule(step, num_steps, max(1, round(num_steps / 10)))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        after_step(step, losses[-1])
    model.eval()
    return losses


def check_dtypes(parameters: list[nn.Parameter]):
    """Refuse trainable parameters in float16, and warn about bfloat16."""
    dtypes = {parameter.dtype for parameter in parameters}
    if torch.float16 in dtypes:
        raise ValueError("float16 parameters cannot be trained with AdamW: load the model in float32, or add adapters")
    if torch.bfloat16 in dtypes:
        warnings.warn(
            "bfloat16 parameters lose most updates of a small learning rate to rounding: load the model in float32, or "
            "add adapters (add_lora), which are float32",
            stacklevel=3,
        )
