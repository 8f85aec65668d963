"""Exercises of chapter 6, "What happens to a single vector?".

Grade them with: pytest exercises/test_ch06_norms_mlp.py

Shapes: B batch, S places in the sequence, D hidden size, F width of the MLP.
Where a class is asked for, write `__init__` and `forward`; its parameters must have the names given, since trained
weights are loaded into them by name. `config` is a `vlm.config.GemmaConfig`.
"""

from torch import Tensor, nn

from vlm.config import GemmaConfig


def root_mean_square(states: Tensor) -> Tensor:
    """Say how large each vector is: the root of the mean of its squared numbers.

    For [3, 4, 0, 0] the mean of the squares is 25 / 4, and the answer 2.5.

    Args:
        states: [B, S, D].

    Returns:
        [B, S, 1], with the argument's dtype and device: the last axis stays, so that you can divide by the result.
    """
    raise NotImplementedError


class GemmaRMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each entry by 1 + weight.

        y = x / sqrt(mean(x^2) + eps) * (1 + weight)

    Everything is computed in float32, whatever the dtype of x. Only the result is cast to the dtype of x.
    Parameter: `weight` [D], which starts as zeros.

    Source: "Root Mean Square Layer Normalization" (arXiv 1910.07467), section 4.
    """

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D], same dtype."""
        raise NotImplementedError


class GemmaMLP(nn.Module):
    """GeGLU: one projection, through a GELU (its tanh approximation), opens or closes the gate for another.

        y = down_proj(gelu(gate_proj(x)) * up_proj(x))

    Layers, without biases: `gate_proj` and `up_proj` from D to F (`config.intermediate_size`), `down_proj` from F to D.

    Source: "GLU Variants Improve Transformer" (arXiv 2002.05202), section 2.
    """

    def __init__(self, config: GemmaConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        raise NotImplementedError


def fold_norm(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    """Move a norm's scale into the linear layer behind it.

    After a Gemma norm comes a linear layer without a bias. Scaling the entries of a vector and then multiplying by a
    matrix is the same as multiplying by another matrix. Make that matrix, so that for every vector x of D numbers

        linear(x * (1 + norm_weight))  =  folded @ x

    Args:
        norm_weight: [D], as it is stored in a checkpoint.
        linear_weight: [F, D], as nn.Linear stores it.

    Returns:
        [F, D].
    """
    raise NotImplementedError
