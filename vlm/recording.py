"""Looks inside a running model: keeps the attention weights of every layer, without a second implementation.

The attention modules return their weights next to their result; a forward hook is all it takes to keep them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vlm.gemma import GemmaAttention
from vlm.siglip import SiglipAttention


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """While the `with` block runs, keep the attention weights of every layer inside `model`.

    Example:

        with record_attention(model) as weights:
            model(**inputs)
        weights["vision_tower.vision_model.encoder.layers.0.self_attn"][0]  # [B, A, N, N]

    Yields:
        For each attention layer, by its name in `model`, a list with one tensor for each time the layer ran:
        [B, A, Q, S], rows sum to 1. Detached from the graph, on the model's device.
    """
    weights: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, (GemmaAttention, SiglipAttention)):
            kept = weights.setdefault(name, [])
            hook = module.register_forward_hook(
                lambda _module, _args, output, kept=kept: kept.append(output[1].detach())
            )
            hooks.append(hook)
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()
