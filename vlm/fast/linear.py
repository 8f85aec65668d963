"""Three ways to store and multiply by a weight matrix. For one token, the cost is that of reading the matrix.

Shapes: R rows (tokens), I inputs, O outputs.
"""

import torch
from torch import Tensor, nn


class PlainLinear(nn.Module):
    """The matrix as in the checkpoint, row by row."""

    def __init__(self, weight: Tensor, num_rows: int):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)  # [O, I]

    def forward(self, hidden_states: Tensor) -> Tensor:
        return nn.functional.linear(hidden_states, self.weight)  # [R, O]


class PackedLinear(nn.Module):
    """The matrix packed once, in the order in which the CPU's library reads it (oneDNN; MKL in float32).

    Otherwise the library packs it at each call with more than one row, and in bfloat16 with one row too. In float32
    the layout is for `num_rows` rows; calls with other numbers of rows read the plain matrix, which is kept too.
    torch.compile uses these operators, but they are not part of torch's stable API.
    """

    def __init__(self, weight: Tensor, num_rows: int):
        super().__init__()
        weight = weight.detach().contiguous()
        self.is_float32, self.num_rows = weight.dtype == torch.float32, num_rows
        if self.is_float32:
            self.weight, self.packed = weight, torch.ops.mkl._mkl_reorder_linear_weight(weight, num_rows)
        else:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, num_rows)

    def forward(self, hidden_states: Tensor) -> Tensor:
        if self.is_float32:
            return torch.ops.mkl._mkl_linear(hidden_states, self.packed, self.weight, None, self.num_rows)  # [R, O]
        return torch.ops.mkldnn._linear_pointwise(hidden_states, self.packed, None, "none", [], "")  # [R, O]


class Int8Linear(nn.Module):
    """Each row of the matrix, and each token's vector, as int8 and a scale.

    A quarter of float32's bytes. Symmetric: the largest magnitude of a row becomes 127. The products are accumulated
    in 32-bit integers, exactly; all error comes from the two roundings. Source: LLM.int8() (arXiv 2208.07339), section
    3.1, without the outliers of 3.2.
    """

    def __init__(self, weight: Tensor, num_rows: int):
        super().__init__()
        weight, scale = quantize_rows(weight.detach())
        self.register_buffer("weight", weight)  # int8 [O, I]
        self.register_buffer("scale", scale[:, 0])  # float32 [O]

    def forward(self, hidden_states: Tensor) -> Tensor:
        rounded, scale = quantize_rows(hidden_states)  # int8 [R, I], float32 [R, 1]
        products = torch._int_mm(rounded, self.weight.t())  # int32 [R, O]
        return (products * scale * self.scale).to(hidden_states.dtype)  # [R, O]


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """[R, I] -> int8 [R, I] and each row's scale [R, 1]: values = int8 * scale."""
    values = values.float()
    # The clamp avoids a division by 0: a row of zeros stays a row of zeros.
    scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (values / scale).round().to(torch.int8), scale


LINEARS = {"plain": PlainLinear, "packed": PackedLinear, "int8": Int8Linear}
