"""Records attention weights and hidden states of a running model, without a second implementation.

The attention modules return their weights with their result, and a layer returns the hidden states after it; a
forward hook is enough to keep them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vlm.gemma import GemmaAttention, GemmaDecoderLayer
from vlm.siglip import SiglipAttention, SiglipEncoderLayer


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """While the `with` block runs, keep the attention weights of every layer inside `model`.

    Example:

        with record_attention(model) as weights:
            model(**inputs)
        weights["vision_tower.vision_model.encoder.layers.0.self_attn"][0]  # [B, A, N, N]

    Yields:
        For each attention layer, by its name in `model`, a list with one tensor for each time the layer ran:
        [B, A, S, T] (S queries, T keys), rows sum to 1. Detached from the graph, on the model's device.
    """
    with _record(model, (GemmaAttention, SiglipAttention), lambda output: output[1]) as weights:
        yield weights


@contextmanager
def record_hidden_states(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """While the `with` block runs, keep what every layer of the tower and of the language model passes to the next.

    Example:

        with record_hidden_states(model) as states:
            model(**inputs)
        states["language_model.model.layers.0"][0]  # [B, S, D]

    Yields:
        For each layer, by its name in `model`, a list with one tensor for each time it ran: [B, S, D], before any norm.
        Detached from the graph, on the model's device.
    """
    with _record(model, (GemmaDecoderLayer, SiglipEncoderLayer), lambda output: output) as states:
        yield states


@contextmanager
def _record(
    model: nn.Module, kinds: tuple[type[nn.Module], ...], part: Callable[[object], Tensor]
) -> Iterator[dict[str, list[Tensor]]]:
    """Keep `part` of what each module of these kinds returns."""
    recorded: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, kinds):
            kept = recorded.setdefault(name, [])
            hook = module.register_forward_hook(
                lambda _module, _args, output, kept=kept: kept.append(part(output).detach())
            )
            hooks.append(hook)
    try:
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
