"""Exercises of chapter 14, "How do you know that it is right?".

Grade them with: pytest exercises/test_ch14_proving.py

The first two are yours to write. The other eight are written, and wrong: each has one bug, and each bug was once in
code that people ran. Find them with the table in the chapter, and mend them here. Call the modules that you are given:
the table hears only what modules say.

Shapes: B batch, N image tokens, S tokens, D hidden size, F width inside the MLP, A query heads, K key/value heads,
E head_dim, V vocabulary.
"""

import torch
from torch import Tensor, nn


def relative_error(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    """How far a result is from the reference's, in parts of the reference's size.

    It is the largest absolute difference, divided by the largest absolute value of `theirs`. Both are taken over all
    numbers, or, with `is_real`, over those at real tokens. A result that cannot be compared is infinitely far away:
    `float("inf")` if the shapes differ, or if there is a nan among the numbers of `ours` that count. `theirs` has none.

    Example: ours [1, 2], theirs [1, 4] -> 2 / 4 = 0.5.

    Args:
        ours, theirs: the same shape, [B, S, ...].
        is_real: bool [B, S]; None: every place counts.
    """
    raise NotImplementedError


def first_departure(errors: dict[str, float], tolerance: float) -> str | None:
    """The first layer that is wrong.

    Args:
        errors: the relative error of each layer, by its name, in the order in which the layers ran.
        tolerance: the largest error that still counts as right.

    Returns:
        The name; None if all are right.
    """
    raise NotImplementedError


def finish_tower(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    """From the tower's last block to the vectors that leave it, [B, N, D] -> [B, N, D]."""
    return hidden_states


def project_image(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    """From the tower's vectors to those that stand among the words, [B, N, D of the tower] -> [B, N, D]."""
    image_features = linear(hidden_states)
    return image_features * image_features.shape[-1] ** -0.5


def embed_words(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    """Tokens [B, S] -> vectors [B, S, D], at the size at which the language model reads them."""
    words = embed_tokens(input_ids) * embed_tokens.embedding_dim**0.5
    return words * words.shape[-1] ** 0.5


def rms_norm(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Gemma's norm, [..., D] -> [..., D]."""
    states = hidden_states.float()
    states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)
    return (states * weight.float()).to(hidden_states.dtype)


def turn(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys [B, A, S, E] by the angles of their positions.

    cos, sin: [B, 1, S, E]; entry i and entry i + E/2 have the angle of pair i.
    """
    turned = torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)
    return states * cos + turned * sin


def share_heads(states: Tensor, num_groups: int) -> Tensor:
    """Give each query head its key/value head, [B, K, S, E] -> [B, K * num_groups, S, E]."""
    return states.repeat(1, num_groups, 1, 1)


def gated_mlp(hidden_states: Tensor, gate_proj: nn.Linear, up_proj: nn.Linear, down_proj: nn.Linear) -> Tensor:
    """Gemma's MLP, [B, S, D] -> [B, S, D]; the projections go to F and back."""
    return down_proj(nn.functional.gelu(gate_proj(hidden_states)) * up_proj(hidden_states))


def make_mask(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """The prefix-LM mask without a cache: 0 for "may look", the lowest number of `dtype` for "may not".

    attention_mask: [B, S], 0 for padding. token_type_ids: [B, S], 1 for the answer. Returns [B, 1, S, S].
    """
    length = token_type_ids.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]  # [1, S, S]
    visible = visible & attention_mask[:, None, :].bool()  # nobody looks at padding
    visible = visible | (token_type_ids == 0)[:, None, :]  # everyone sees the prefix
    mask = torch.zeros(visible.shape, dtype=dtype)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
