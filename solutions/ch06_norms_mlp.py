"""Solutions of chapter 6, "What happens to a single vector?".

Shapes: B batch, S places in the sequence, D hidden size, F width of the MLP.
"""

import torch
from torch import Tensor, nn

from vlm.config import GemmaConfig


def root_mean_square(states: Tensor) -> Tensor:
    """Say how large each vector is: the root of the mean of its squared numbers."""
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
    """GeGLU: one projection, through a GELU (its tanh approximation), opens or closes the gate for another."""

    def __init__(self, config: GemmaConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh")  # [B, S, F]
        return self.down_proj(gate * self.up_proj(hidden_states))  # [B, S, D]


def fold_norm(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    """Move a norm's scale into the linear layer behind it."""
    return linear_weight * (1 + norm_weight)  # [F, D]: column d gets the scale of entry d
