"""Solutions of chapter 10, "Sampling from logits with temperature and top-p".

Shapes: B batch, V vocabulary size.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def token_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Convert logits to probabilities at a given temperature."""
    if temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return torch.softmax(logits / temperature, dim=-1)


def filter_top_p(probabilities: Tensor, top_p: float) -> Tensor:
    """Keep the most likely tokens whose probabilities add up to top_p, and renormalize."""
    ordered, order = probabilities.sort(dim=-1, descending=True)  # [B, V]
    # [B, V]: 0 for the most likely token, so it is always kept
    mass_before = ordered.cumsum(-1) - ordered
    ordered = ordered.masked_fill(mass_before >= top_p, 0)
    # back in the order of the vocabulary
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered)
    return kept / kept.sum(-1, keepdim=True)


def draw_tokens(probabilities: Tensor, draws: Tensor) -> Tensor:
    """Choose a token for each row by a uniform random number (inverse transform sampling)."""
    right_ends = probabilities.cumsum(-1)  # [B, V]
    chosen = (right_ends <= draws[:, None]).sum(-1)  # [B]: number of tokens to the left
    token_ids = torch.arange(probabilities.shape[-1])  # [V]
    # [B]: the last token whose probability is not 0
    last = token_ids.masked_fill(probabilities == 0, 0).amax(-1)
    return chosen.minimum(last)


def generate_greedy(
    next_logits: Callable[[list[int]], Tensor],
    input_ids: list[int],
    max_new_tokens: int,
    eos_token_id: int,
) -> list[int]:
    """Generate the most likely tokens, until `<eos>` or until there are `max_new_tokens`."""
    new_tokens = []
    while len(new_tokens) < max_new_tokens:
        token = int(next_logits([*input_ids, *new_tokens]).argmax())
        if token == eos_token_id:
            break
        new_tokens.append(token)
    return new_tokens
