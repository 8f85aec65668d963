"""Exercises of chapter 6, "RMSNorm and the gated MLP".

Grade: pytest exercises/test_ch06_norms_mlp.py

Shapes: B batch, S sequence length, D hidden size, F intermediate size of the MLP.
For a class, write `__init__` and `forward`. Its parameters must have the given names, since
trained weights are loaded by name. `config` is a `vlm.config.GemmaConfig`.
"""

from torch import Tensor, nn

from vlm.config import GemmaConfig


def root_mean_square(states: Tensor) -> Tensor:
    """Compute the size of each vector as its root mean square (RMS).

    The RMS is the square root of the mean of the squared entries. For [3, 4, 0, 0], the mean of
    the squares is 25 / 4, and the RMS is 2.5.

    Args:
        states: [B, S, D], vectors of D entries.

    Returns:
        [B, S, 1], with the dtype and device of `states`. The last axis stays, so that `states`
        can be divided by the result.
    """
    raise NotImplementedError


class GemmaRMSNorm(nn.Module):
    """Divide each vector by its root mean square, then scale each entry by 1 + weight.

        y = x / sqrt(mean(x^2) + eps) * (1 + weight)

    The mean is over the last axis. Compute everything in float32, whatever the dtype of x, and
    cast only the final result to the dtype of x.

    Parameter: `weight` [D], initialized to zeros.

    Source: "Root Mean Square Layer Normalization" (arXiv 1910.07467), section 4. The 1 + weight
    is Gemma's.
    """

    def __init__(self, hidden_size: int, eps: float):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D], same dtype."""
        raise NotImplementedError


class GemmaMLP(nn.Module):
    """GeGLU, an MLP with a gate: the GELU of one projection multiplies another projection.

        y = down_proj(gelu(gate_proj(x)) * up_proj(x))

    Use the tanh approximation of the GELU.

    Layers, all without a bias: `gate_proj` and `up_proj` from D (`config.hidden_size`) to F
    (`config.intermediate_size`), and `down_proj` from F to D.

    Source: "GLU Variants Improve Transformer" (arXiv 2002.05202), section 2.
    """

    def __init__(self, config: GemmaConfig):
        super().__init__()
        raise NotImplementedError

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        raise NotImplementedError


def fold_norm(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    """Fold the scale of a norm into the weight matrix of the linear layer that follows it.

    In Gemma, each norm is followed by linear layers without biases. To scale the entries of a
    vector and then multiply by a matrix is the same as to multiply by another matrix. Compute
    that matrix, so that for every vector x of D entries

        linear(x * (1 + norm_weight)) = folded @ x

    Args:
        norm_weight: [D], the parameter of the norm as stored in a checkpoint (the scale is 1 +
            norm_weight).
        linear_weight: [F, D], the weight as nn.Linear stores it.

    Returns:
        The folded matrix, [F, D].
    """
    raise NotImplementedError
