"""Solutions of chapter 10, "Which word comes next?".

Shapes: B batch, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def token_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Turn scores into probabilities, at some temperature."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return torch.softmax(logits / temperature, dim=-1)


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens that together reach top_p, and share the probability among them."""
    ordered, order = probabilities.sort(dim=-1, descending=True)  # [B, V]
    mass_before = ordered.cumsum(-1) - ordered  # [B, V]: 0 for the likeliest, which is so always kept
    ordered = ordered.masked_fill(mass_before >= top_p, 0)
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered)  # back in the vocabulary's order
    return kept / kept.sum(-1, keepdim=True)


def draw_tokens(probabilities: Tensor, draws: Tensor) -> Tensor:
    """Choose a token for each row by a random number."""
    right_ends = probabilities.cumsum(-1)  # [B, V]
    chosen = (right_ends <= draws[:, None]).sum(-1)  # [B]: so many tokens lie wholly to the left
    places = torch.arange(probabilities.shape[-1])
    last = places.masked_fill(probabilities == 0, 0).amax(-1)  # [B]: the last one that has a width
    return chosen.minimum(last)


def generate_greedy(
    next_logits: Callable[[list[int]], Tensor], input_ids: list[int], max_new_tokens: int, eos_token_id: int
) -> list[int]:
    """Write the likeliest tokens, until the model says `<eos>` or there are `max_new_tokens`."""
    written = []
    while len(written) < max_new_tokens:
        token = int(next_logits([*input_ids, *written]).argmax())
        if token == eos_token_id:
            break
        written.append(token)
    return written
