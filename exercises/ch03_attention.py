"""Exercises of chapter 3, "How do patches look at each other?".

Grade them with: pytest exercises/test_ch03_attention.py

Shapes: B batch, N places (patches), D hidden size, F width of the MLP, A heads, E = D / A numbers in one head.
Where a class is asked for, write `__init__` and `forward`; its layers must have the names given, since trained weights
are loaded into them by name. `config` is a `vlm.config.SiglipVisionConfig`.
"""

from torch import Tensor, nn

from vlm import siglip
from vlm.config import SiglipVisionConfig


def split_heads(states: Tensor, num_heads: int) -> Tensor:
    """Give each head its own part of every vector: the first E numbers to head 0, the next E to head 1, and so on.

    Args:
        states: [B, N, D].
        num_heads: A; D is a multiple of it.

    Returns:
        [B, A, N, E].
    """
    raise NotImplementedError


def attend(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    """Let each place take a weighted mean of the values, with weights that say how well its query matches each key.

        weights = softmax(query @ key^T * scaling)        a row for each query, its sum is 1
        mixed   = weights @ value

    Args:
        query, key, value: [B, A, N, E].
        scaling: factor for the scores, before the softmax. (In a model it is 1 / sqrt(E). Here it is given.)

    Returns:
        mixed [B, A, N, E] and weights [B, A, N, N].

    Source: "Attention Is All You Need" (arXiv 1706.03762), section 3.2.1.
    """
    raise NotImplementedError


class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; every patch sees every other.

    Layers, each from D to D and with a bias: `q_proj`, `k_proj`, `v_proj`, `out_proj`. The scores are scaled by
    1 / sqrt(E). The heads' results are put side by side again before `out_proj`.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, D] -> the result [B, N, D], and the attention weights [B, A, N, N]."""
        raise NotImplementedError


class SiglipMLP(nn.Module):
    """Two linear layers around a GELU (its tanh approximation), applied to each patch alone.

    Layers, with a bias: `fc1` from D to F (`config.intermediate_size`), `fc2` from F to D.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        raise NotImplementedError


class SiglipEncoderLayer(nn.Module):
    """One pre-norm block: look around, then think; each adds to what is there.

        x = x + self_attn(layer_norm1(x))
        x = x + mlp(layer_norm2(x))

    Layers: `layer_norm1` and `layer_norm2` are LayerNorms over D with eps = `config.layer_norm_eps`; `self_attn` is a
    `siglip.SiglipAttention` or your own, which returns two things, its result and its weights; `mlp` is a
    `siglip.SiglipMLP` or your own.
    """

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        raise NotImplementedError


def hidden_states_of(tower: siglip.SiglipVisionModel, pixel_values: Tensor) -> list[Tensor]:
    """Run a whole tower, and keep what it has after each step.

    The parts are in `tower.vision_model`: `embeddings`, `encoder.layers` (a list of blocks), `post_layernorm`.

    Args:
        pixel_values: [B, C, H, W].

    Returns:
        A list of [B, N, D]: after the embeddings, after each block, and last the tower's output.
    """
    raise NotImplementedError
