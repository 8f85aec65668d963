"""Solutions of chapter 3, "Self-attention and the SigLIP vision encoder".

Shapes: B batch, N positions (patches), D hidden size, F intermediate size of the MLP, A heads,
E = D / A head dimension.
"""

import torch
from torch import Tensor, nn

from vlm import siglip
from vlm.config import SiglipVisionConfig


def split_heads(states: Tensor, num_heads: int) -> Tensor:
    """Give each head its slice of every vector: the first E entries to head 0, and so on."""
    return states.unflatten(-1, (num_heads, -1)).transpose(1, 2)  # [B, N, A, E] -> [B, A, N, E]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
) -> tuple[Tensor, Tensor]:
    """Compute scaled dot-product attention: for each query, a weighted sum of the values."""
    scores = query @ key.transpose(-2, -1) * scaling  # [B, A, N, N]
    weights = torch.softmax(scores, dim=-1)  # [B, A, N, N]
    return weights @ value, weights


class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; every patch attends to every patch."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        query = split_heads(self.q_proj(hidden_states), self.num_heads)  # [B, A, N, E]
        key = split_heads(self.k_proj(hidden_states), self.num_heads)  # [B, A, N, E]
        value = split_heads(self.v_proj(hidden_states), self.num_heads)  # [B, A, N, E]
        # [B, A, N, E], [B, A, N, N]
        mixed, weights = attend(query, key, value, query.shape[-1] ** -0.5)
        merged = mixed.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out_proj(merged), weights  # [B, N, D], [B, A, N, N]


class SiglipMLP(nn.Module):
    """Two linear layers with a tanh-approximated GELU between them, on each patch alone."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.fc1(hidden_states), approximate="tanh")  # [B, N, F]
        return self.fc2(inner)  # [B, N, D]


class SiglipEncoderLayer(nn.Module):
    """Pre-norm transformer block: attention, then MLP, each with a residual connection."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = siglip.SiglipAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = siglip.SiglipMLP(config)

    def forward(self, hidden_states: Tensor) -> Tensor:
        attended, _ = self.self_attn(self.layer_norm1(hidden_states))  # [B, N, D]
        hidden_states = hidden_states + attended
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


def hidden_states_of(tower: siglip.SiglipVisionModel, pixel_values: Tensor) -> list[Tensor]:
    """Run a vision tower, and return its hidden states after every step."""
    model = tower.vision_model
    states = [model.embeddings(pixel_values)]  # [B, N, D]
    for layer in model.encoder.layers:
        states.append(layer(states[-1]))
    return [*states, model.post_layernorm(states[-1])]
