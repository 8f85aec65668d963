"""Solutions of chapter 14, "How do you know that it is right?".

Shapes: B batch, N image tokens, S tokens, D hidden size, F width inside the MLP, A query heads, K key/value heads,
E head_dim, V vocabulary.
"""

import torch
from torch import Tensor, nn


def relative_error(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    """How far a result is from the reference's, in parts of the reference's size."""
    if ours.shape != theirs.shape:
        return float("inf")
    if is_real is not None:
        ours, theirs = ours[is_real], theirs[is_real]
    if ours.isnan().any():
        return float("inf")
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def first_departure(errors: dict[str, float], tolerance: float) -> str | None:
    """The first layer that is wrong."""
    return next((name for name, error in errors.items() if error > tolerance), None)


def finish_tower(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    """From the tower's last block to the vectors that leave it, [B, N, D] -> [B, N, D]."""
    return post_layernorm(hidden_states)  # the planted bug left it out


def project_image(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    """From the tower's vectors to those that stand among the words, [B, N, D of the tower] -> [B, N, D]."""
    return linear(hidden_states)  # not scaled: the planted bug divided by the root of D


def embed_words(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    """Tokens [B, S] -> vectors [B, S, D], at the size at which the language model reads them."""
    return embed_tokens(input_ids) * embed_tokens.embedding_dim**0.5  # once: the planted bug did it twice


def rms_norm(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Gemma's norm, [..., D] -> [..., D]."""
    states = hidden_states.float()
    states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)
    return (states * (1 + weight.float())).to(hidden_states.dtype)  # the planted bug had the weight alone


def turn(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys [B, A, S, E] by the angles of their positions."""
    first, second = states.chunk(2, dim=-1)  # the planted bug paired neighbours
    return states * cos + torch.cat([-second, first], dim=-1) * sin


def share_heads(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head its key/value head, [B, K, S, E] -> [B, K * num_groups, S, E]."""
    return states.repeat_interleave(num_groups, dim=1)  # the planted bug laid whole copies side by side


def gated_mlp(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    """Gemma's MLP, [B, S, D] -> [B, S, D]; the projections go to F and back."""
    gate = nn.functional.gelu(gate_proj(hidden_states), approximate="tanh")  # the planted bug had the exact GELU
    return down_proj(gate * up_proj(hidden_states))


def make_mask(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """The prefix-LM mask without a cache: 0 for "may look", the lowest number of `dtype` for "may not"."""
    length = token_type_ids.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]  # [1, S, S]
    visible = visible | (token_type_ids == 0)[:, None, :]  # everyone sees the prefix
    visible = visible & attention_mask[:, None, :].bool()  # last: padding has type 0 too, and would be seen again
    mask = torch.zeros(visible.shape, dtype=dtype)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
