"""Solutions of chapter 14, "Comparing layer by layer".

Shapes: B batch, N image tokens, S tokens, D hidden size, F width inside the MLP, A query heads,
K key/value heads, E head_dim, V vocabulary size.
"""

import torch
from torch import Tensor, nn


def relative_error(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    """The error of a result, relative to the size of the reference."""
    if ours.shape != theirs.shape:
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    if ours.isnan().any():
        return float("inf")
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def first_mismatch(errors: dict[str, float], tolerance: float) -> str | None:
    """The first layer whose error is above the tolerance."""
    return next((name for name, error in errors.items() if error > tolerance), None)


def finish_tower(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    """From the output of the tower's last block to the output of the tower."""
    return post_layernorm(hidden_states)  # the planted bug omitted it


def project_image(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    """The projector: map the tower's output to the language model's width."""
    return linear(hidden_states)  # not scaled; the planted bug divided by √D


def embed_text(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    """Text embeddings, scaled as the language model's first layer expects them."""
    # Scaled once; the planted bug scaled twice.
    return embed_tokens(input_ids) * embed_tokens.embedding_dim**0.5


def rms_norm(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Gemma's RMSNorm."""
    states = hidden_states.float()
    states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)
    # The planted bug multiplied by the weight without the 1.
    return (states * (1 + weight.float())).to(hidden_states.dtype)


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE: rotate queries or keys by the angles of their positions."""
    first, second = states.chunk(2, dim=-1)  # the planted bug paired neighbors
    return states * cos + torch.cat([-second, first], dim=-1) * sin


def share_heads(states: Tensor, num_groups: int) -> Tensor:
    """Grouped-query attention: repeat each key/value head for the query heads that share it."""
    # Each head is repeated in place; the planted bug tiled all heads one after another.
    return states.repeat_interleave(num_groups, dim=1)


def gated_mlp(
    hidden_states: Tensor,
    gate_proj: nn.Linear,
    up_proj: nn.Linear,
    down_proj: nn.Linear,
) -> Tensor:
    """Gemma's gated MLP."""
    # The planted bug used the exact GELU.
    gate = nn.functional.gelu(gate_proj(hidden_states), approximate="tanh")
    return down_proj(gate * up_proj(hidden_states))


def make_mask(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """The prefix-LM mask without a cache, to be added to the attention scores."""
    length = token_type_ids.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]  # [1, S, S]
    visible = visible | (token_type_ids == 0)[:, None, :]  # every token attends to the prefix
    # Last: padding has type 0 too, so the line above makes it visible (the planted bug).
    visible = visible & attention_mask[:, None, :].bool()
    mask = torch.zeros(visible.shape, dtype=dtype)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
