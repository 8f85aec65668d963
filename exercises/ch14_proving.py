"""Exercises of chapter 14, "Comparing layer by layer".

Grade them with: pytest exercises/test_ch14_proving.py

You write the first two from scratch. The other eight are written, but each has one bug that was
once in code that people used. Find the bugs with the table in the chapter, and fix them here.
Call the modules that you are given: the table records only modules that are called.

Shapes: B batch, N image tokens, S tokens, D hidden size, F width inside the MLP, A query heads,
K key/value heads, E head_dim, V vocabulary size.
"""

import torch
from torch import Tensor, nn


def relative_error(ours: Tensor, theirs: Tensor, is_real: Tensor | None = None) -> float:
    """The error of a result, relative to the size of the reference.

    It is the largest absolute difference divided by the largest absolute value of `theirs`.
    Both are taken over all positions, or, if `is_real` is given, over the real tokens only.
    Return `float("inf")` if the shapes differ, or if `ours` has a NaN at a position that
    counts. `theirs` has no NaN.

    Example: ours [1, 2], theirs [1, 4] -> 2 / 4 = 0.5.

    Args:
        ours: the result to check, [B, S, ...].
        theirs: the reference's result, the same shape if ours is right.
        is_real: bool [B, S], False for padding; None: every position counts.
    """
    raise NotImplementedError


def first_mismatch(errors: dict[str, float], tolerance: float) -> str | None:
    """The first layer whose error is above the tolerance.

    Args:
        errors: the relative error of each layer, by name, in the order in which the layers ran.
        tolerance: the largest error that still counts as right.

    Returns:
        The layer's name; None if no error is above the tolerance.
    """
    raise NotImplementedError


def finish_tower(hidden_states: Tensor, post_layernorm: nn.LayerNorm) -> Tensor:
    """From the output of the tower's last block to the output of the tower.

    Args:
        hidden_states: [B, N, D].
        post_layernorm: the tower's final norm.

    Returns:
        [B, N, D].
    """
    return hidden_states


def project_image(hidden_states: Tensor, linear: nn.Linear) -> Tensor:
    """The projector: map the tower's output to the language model's width.

    Args:
        hidden_states: [B, N, hidden size of the tower].
        linear: the projector's linear layer.

    Returns:
        [B, N, D], as they are merged into the text embeddings.
    """
    image_features = linear(hidden_states)
    return image_features * image_features.shape[-1] ** -0.5


def embed_text(input_ids: Tensor, embed_tokens: nn.Embedding) -> Tensor:
    """Text embeddings, scaled as the language model's first layer expects them.

    Args:
        input_ids: [B, S].
        embed_tokens: the embedding matrix, [V, D]; it does not scale.

    Returns:
        [B, S, D].
    """
    embeddings = embed_tokens(input_ids) * embed_tokens.embedding_dim**0.5
    return embeddings * embeddings.shape[-1] ** 0.5


def rms_norm(hidden_states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Gemma's RMSNorm.

    Args:
        hidden_states: [..., D]; the result has its dtype.
        weight: the learned weight as it is stored in the checkpoint, [D].

    Returns:
        [..., D].
    """
    states = hidden_states.float()
    states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + eps)
    return (states * weight.float()).to(hidden_states.dtype)


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE: rotate queries or keys by the angles of their positions.

    Args:
        states: queries or keys, [B, A, S, E].
        cos: [B, 1, S, E]; entries i and i + E/2 both have the cosine of the angle of pair i.
        sin: likewise.

    Returns:
        [B, A, S, E].
    """
    rotated = torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)
    return states * cos + rotated * sin


def share_heads(states: Tensor, num_groups: int) -> Tensor:
    """Grouped-query attention: repeat each key/value head for the query heads that share it.

    Args:
        states: keys or values, [B, K, S, E].
        num_groups: the number of query heads that share a key/value head.

    Returns:
        [B, K * num_groups, S, E]; entry i along the heads is for query head i.
    """
    return states.repeat(1, num_groups, 1, 1)


def gated_mlp(
    hidden_states: Tensor,
    gate_proj: nn.Linear,
    up_proj: nn.Linear,
    down_proj: nn.Linear,
) -> Tensor:
    """Gemma's gated MLP.

    Args:
        hidden_states: [B, S, D].
        gate_proj: from D to F; its output goes through the activation function.
        up_proj: from D to F.
        down_proj: from F back to D.

    Returns:
        [B, S, D].
    """
    return down_proj(nn.functional.gelu(gate_proj(hidden_states)) * up_proj(hidden_states))


def make_mask(attention_mask: Tensor, token_type_ids: Tensor, dtype: torch.dtype) -> Tensor:
    """The prefix-LM mask without a cache, to be added to the attention scores.

    Prefix tokens are visible to all tokens, suffix tokens to themselves and to later ones,
    padding to none.

    Args:
        attention_mask: [B, S], 1 for a real token, 0 for padding.
        token_type_ids: [B, S], 0 for the prefix (image and prompt), 1 for the suffix (answer).

    Returns:
        [B, 1, S, S]: 0 where the query (row) may attend to the key (column), the lowest number
        of `dtype` elsewhere.
    """
    length = token_type_ids.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]  # [1, S, S]
    visible = visible & attention_mask[:, None, :].bool()  # no token attends to padding
    visible = visible | (token_type_ids == 0)[:, None, :]  # every token attends to the prefix
    mask = torch.zeros(visible.shape, dtype=dtype)
    return mask.masked_fill(~visible, torch.finfo(dtype).min)[:, None]
