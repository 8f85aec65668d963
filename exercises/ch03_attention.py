"""Exercises of chapter 3, "Self-attention and the SigLIP vision encoder".

Grade: pytest exercises/test_ch03_attention.py

Shapes: B batch, N positions (patches), D hidden size, F intermediate size of the MLP, A heads,
E = D / A head dimension.
For a class, write `__init__` and `forward`. Its layers must have the given names, since trained
weights are loaded by name. `config` is a `vlm.config.SiglipVisionConfig`.
"""

from torch import Tensor, nn

from vlm import siglip
from vlm.config import SiglipVisionConfig


def split_heads(states: Tensor, num_heads: int) -> Tensor:
    """Give each head its slice of every vector: the first E entries to head 0, and so on.

    Head 1 gets the next E entries, and the last head the last E; E = D / A.

    Args:
        states: [B, N, D].
        num_heads: A; D is a multiple of it.

    Returns:
        [B, A, N, E].
    """
    raise NotImplementedError


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """Compute scaled dot-product attention: for each query, a weighted sum of the values.

        weights = softmax(query @ key^T * scaling)    one row for each query; each row sums to 1
        result  = weights @ value

    Scores may be in the hundreds: the result must stay finite.

    Args:
        query, key, value: [B, A, N, E].
        scaling: multiplies the scores before the softmax. (A model uses 1 / sqrt(E); here it is
            an argument.)

    Returns:
        The result [B, A, N, E] and the weights [B, A, N, N].

    Source: "Attention Is All You Need" (arXiv 1706.03762), section 3.2.1.
    """
    raise NotImplementedError


class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; every patch attends to every patch.

    Layers: `q_proj`, `k_proj`, `v_proj`, `out_proj`, linear layers from D to D with a bias.
    The attention scores are scaled by 1 / sqrt(E). The results of the heads are concatenated,
    head 0 first, and go through `out_proj`.

    D is `config.hidden_size`, A is `config.num_attention_heads`, and E = D / A.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, D] -> the result [B, N, D] and the attention weights [B, A, N, N]."""
        raise NotImplementedError


class SiglipMLP(nn.Module):
    """Two linear layers with a tanh-approximated GELU between them, on each patch alone.

    Layers, both with a bias: `fc1` from D (`config.hidden_size`) to F
    (`config.intermediate_size`), and `fc2` from F to D.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        raise NotImplementedError


class SiglipEncoderLayer(nn.Module):
    """Pre-norm transformer block: attention, then MLP, each with a residual connection.

        x = x + self_attn(layer_norm1(x))
        x = x + mlp(layer_norm2(x))

    Layers: `layer_norm1` and `layer_norm2` are LayerNorms over D (`config.hidden_size`) with
    eps = `config.layer_norm_eps`. `self_attn` is a `siglip.SiglipAttention` or your own; it
    returns two tensors, its result and its weights. `mlp` is a `siglip.SiglipMLP` or your own.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        raise NotImplementedError


def hidden_states_of(tower: siglip.SiglipVisionModel, pixel_values: Tensor) -> list[Tensor]:
    """Run a vision tower, and return its hidden states after every step.

    The submodules are in `tower.vision_model`: `embeddings`, `encoder.layers` (the blocks), and
    `post_layernorm`.

    Args:
        tower: the vision tower.
        pixel_values: [B, C, H, W].

    Returns:
        A list of tensors [B, N, D]: the embeddings, then the hidden states after each block,
        and last the output of the tower, after `post_layernorm`.
    """
    raise NotImplementedError
