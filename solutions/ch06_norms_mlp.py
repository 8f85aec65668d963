"""Solutions of chapter 6, "RMSNorm and the gated MLP".

Shapes: B batch, S sequence length, D hidden size, F intermediate size of the MLP.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig


def root_mean_square(states: Tensor) -> Tensor:
    """Compute the size of each vector as its root mean square (RMS)."""
    return states.square().mean(-1, keepdim=True).sqrt()  # [B, S, 1]


class GemmaRMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each entry by 1 + weight."""

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, hidden_states: Tensor) -> Tensor:
        states = hidden_states.float()
        states = states * torch.rsqrt(states.square().mean(-1, keepdim=True) + self.eps)
        return (states * (1 + self.weight.float())).to(hidden_states.dtype)


class GemmaMLP(nn.Module):
    """GeGLU, an MLP with a gate: the GELU of one projection multiplies another projection."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = self.gate_proj(hidden_states)  # [B, S, F]
        gate = nn.functional.gelu(gate, approximate="tanh")
        return self.down_proj(gate * self.up_proj(hidden_states))  # [B, S, D]


def fold_norm(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    """Fold the scale of a norm into the weight matrix of the linear layer that follows it."""
    return linear_weight * (1 + norm_weight)  # [F, D]: column d gets the scale of entry d
