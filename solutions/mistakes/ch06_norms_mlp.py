"""Mistakes people make in chapter 6, and other right answers."""

import math

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch06_norms_mlp as solution
from vlm.config import GemmaConfig


@mistake("root_mean_square", "You subtracted the mean: that is the standard deviation, as LayerNorm has it.")
def standard_deviation(states: Tensor) -> Tensor:
    return states.std(-1, keepdim=True, correction=0)


@mistake("root_mean_square", "That is std: it subtracts the mean, and divides by one less than D.")
def standard_deviation_of_a_sample(states: Tensor) -> Tensor:
    return states.std(-1, keepdim=True)


@mistake("root_mean_square", "You summed the squares; it is their mean, so that long vectors do not count as larger.")
def euclidean_length(states: Tensor) -> Tensor:
    return states.norm(dim=-1, keepdim=True)


@mistake("root_mean_square", "The root is missing.")
def mean_of_squares(states: Tensor) -> Tensor:
    return states.square().mean(-1, keepdim=True)


@mistake("root_mean_square", "This is the mean of the sizes; square first, and take the root at the end.")
def mean_of_sizes(states: Tensor) -> Tensor:
    return states.abs().mean(-1, keepdim=True)


@mistake("root_mean_square", "One number for everything: each vector has a size of its own.")
def one_size_for_all(states: Tensor) -> Tensor:
    return states.square().mean().sqrt().expand(*states.shape[:-1], 1)


@mistake("root_mean_square", "The last axis is gone: with keepdim=True you can divide by the result.")
def axis_dropped(states: Tensor) -> Tensor:
    return states.square().mean(-1).sqrt()


@variant("root_mean_square")
def size_by_length(states: Tensor) -> Tensor:
    return torch.linalg.vector_norm(states, dim=-1, keepdim=True) / math.sqrt(states.shape[-1])


class NormOf(solution.GemmaRMSNorm):
    """The reference in small steps, so that a mistake can change one of them."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalise(hidden_states.float(), self.eps)
        return self.scale(normed).to(hidden_states.dtype)

    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps)

    def scale(self, normed: Tensor) -> Tensor:
        return normed * (1 + self.weight.float())


@mistake("GemmaRMSNorm", "This is RMSNorm without the 1 + weight: Gemma stores how far the scale is from one.")
class NormWithPlainWeight(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed * self.weight


@mistake("GemmaRMSNorm", "The weight starts as ones, so the norm starts with a scale of 2; the scale is 1 + weight.")
class NormThatStartsWithOnes(NormOf):
    def __init__(self, hidden_size: int, eps: float):
        super().__init__(hidden_size, eps)
        nn.init.ones_(self.weight)


@mistake("GemmaRMSNorm", "The weight is not used.")
class NormWithoutWeight(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed


@mistake("GemmaRMSNorm", "The weight is added; it scales: times 1 + weight.")
class NormWithWeightAdded(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed + self.weight


@mistake("GemmaRMSNorm", "You subtracted the mean: that is LayerNorm. RMSNorm only divides.")
class NormWithMeanSubtracted(NormOf):
    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return super().normalise(states - states.mean(-1, keepdim=True), eps)


@mistake("GemmaRMSNorm", "You cast before the multiplication by 1 + weight. Gemma casts after it (Llama before).")
class NormCastBeforeTheMultiplication(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalise(hidden_states.float(), self.eps).to(hidden_states.dtype)
        return normed * (1 + self.weight).to(hidden_states.dtype)


@mistake("GemmaRMSNorm", "You cast to the dtype of x before the scale, and again after it. Cast once, at the end.")
class NormCastTwice(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = solution.GemmaRMSNorm(self.weight.shape[0], self.eps)(hidden_states)  # its weight is 0
        return (normed * (1 + self.weight)).to(hidden_states.dtype)


@mistake("GemmaRMSNorm", "Everything runs in the dtype of the input; in bfloat16 the squares lose most digits.")
class NormInTheDtypeOfTheInput(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalise(hidden_states, self.eps)
        return normed * (1 + self.weight.to(hidden_states.dtype))


@mistake("GemmaRMSNorm", "The result stays in float32; cast it to the dtype of the input.")
class NormInFloat32(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.scale(self.normalise(hidden_states.float(), self.eps))


@mistake("GemmaRMSNorm", "eps is fixed at 1e-5; take the one that is given.")
class NormWithAnotherEps(NormOf):
    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return super().normalise(states, 1e-5)


@mistake("GemmaRMSNorm", "There is no eps: a vector of zeros becomes nan, and small vectors come out too large.")
class NormWithoutEps(NormOf):
    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return super().normalise(states, 0.0)


@mistake("GemmaRMSNorm", "eps is added to the root; it stands under the root, beside the mean.")
class NormWithEpsOutsideTheRoot(NormOf):
    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return states / (states.square().mean(-1, keepdim=True).sqrt() + eps)


@mistake("GemmaRMSNorm", "You divided by the length, the root of the sum; it is the root of the mean.")
class NormByLength(NormOf):
    def normalise(self, states: Tensor, eps: float) -> Tensor:
        return states * torch.rsqrt(states.square().sum(-1, keepdim=True) + eps)


@variant("GemmaRMSNorm")
class NormByDivision(solution.GemmaRMSNorm):
    def forward(self, hidden_states: Tensor) -> Tensor:
        x = hidden_states.to(torch.float32)
        x = x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + self.eps)
        return (x + x * self.weight).type_as(hidden_states)


@mistake("GemmaMLP", "This is SiLU (x times sigmoid), as in Llama; Gemma's gate is a GELU.")
class MlpWithSilu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.silu(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "This is the exact GELU; Gemma was trained with the tanh approximation.")
class MlpWithExactGelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.gelu(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "This is a ReLU; Gemma's gate is a GELU.")
class MlpWithRelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states).relu() * self.up_proj(hidden_states))


@mistake("GemmaMLP", "This is a sigmoid, the gate of the first GLU; Gemma's gate is a GELU.")
class MlpWithSigmoid(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states).sigmoid() * self.up_proj(hidden_states))


@mistake("GemmaMLP", "Gate and up are exchanged: the GELU goes over gate_proj.")
class MlpWithGateAndUpExchanged(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.up_proj(hidden_states), approximate="tanh")
        return self.down_proj(gate * self.gate_proj(hidden_states))


@mistake("GemmaMLP", "Gate and up are added; the gate is multiplied.")
class MlpWithGateAdded(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh")
        return self.down_proj(gate + self.up_proj(hidden_states))


@mistake("GemmaMLP", "The GELU goes over the product; it goes over gate_proj alone.")
class MlpWithGeluOverTheProduct(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        product = self.gate_proj(hidden_states) * self.up_proj(hidden_states)
        return self.down_proj(nn.functional.gelu(product, approximate="tanh"))


@mistake("GemmaMLP", "The GELU is missing: without a bend a gate is only a product of two linear layers.")
class MlpWithoutGelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "up_proj is not used: this is an ordinary MLP, and nothing is gated.")
class MlpWithoutUp(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh"))


@mistake("GemmaMLP", "Both projections go through the GELU; only gate_proj does.")
class MlpWithGeluOverBoth(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate, up = self.gate_proj(hidden_states), self.up_proj(hidden_states)
        bend = nn.functional.gelu
        return self.down_proj(bend(gate, approximate="tanh") * bend(up, approximate="tanh"))


@mistake("GemmaMLP", "You added the residual here; the block adds it.")
class MlpWithResidual(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + super().forward(hidden_states)


@mistake("GemmaMLP", "The layers have biases; Gemma's have none.")
class MlpWithBias(solution.GemmaMLP):
    def __init__(self, config: GemmaConfig):
        super().__init__(config)
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size)


@variant("GemmaMLP")
class MlpByFormula(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = hidden_states @ self.gate_proj.weight.T
        gate = gate * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        return torch.einsum("bsf,df->bsd", gate * self.up_proj(hidden_states), self.down_proj.weight)


@mistake("fold_norm", "The weight itself was multiplied in; the scale is 1 + weight.")
def fold_plain_weight(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight * norm_weight


@mistake("fold_norm", "You computed 1 + weight * matrix: the 1 belongs to the scale, (1 + weight) * matrix.")
def fold_one_outside(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return 1 + linear_weight * norm_weight


@mistake("fold_norm", "You divided; folding must do what the norm did, not undo it.")
def fold_by_division(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight / (1 + norm_weight)


@mistake("fold_norm", "You scaled the rows; entry d of the vector meets column d of the matrix.")
def fold_into_rows(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight * (1 + norm_weight)[:, None]


@mistake("fold_norm", "The result is transposed; nn.Linear stores [outputs, inputs].")
def fold_transposed(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return solution.fold_norm(norm_weight, linear_weight).T


@variant("fold_norm")
def fold_by_matrix_product(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight @ torch.diag(1 + norm_weight)
