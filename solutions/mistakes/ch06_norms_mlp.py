"""Common mistakes in chapter 6, and other correct answers."""

import math

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch06_norms_mlp as solution
from vlm.config import GemmaConfig


@mistake(
    "root_mean_square",
    "You subtracted the mean, which gives the standard deviation, as in LayerNorm. Square the entries themselves.",
)
def standard_deviation(states: Tensor) -> Tensor:
    return states.std(-1, keepdim=True, correction=0)


@mistake(
    "root_mean_square",
    "You used std, which subtracts the mean and divides by D - 1. Square the entries, and take their mean.",
)
def standard_deviation_of_a_sample(states: Tensor) -> Tensor:
    return states.std(-1, keepdim=True)


@mistake("root_mean_square", "You summed the squares. Take their mean, so that the size does not grow with D.")
def euclidean_length(states: Tensor) -> Tensor:
    return states.norm(dim=-1, keepdim=True)


@mistake("root_mean_square", "You returned the mean of the squares. Take its square root.")
def mean_of_squares(states: Tensor) -> Tensor:
    return states.square().mean(-1, keepdim=True)


@mistake(
    "root_mean_square",
    "You averaged the absolute values. Square first, and take the square root of the mean at the end.",
)
def mean_of_sizes(states: Tensor) -> Tensor:
    return states.abs().mean(-1, keepdim=True)


@mistake(
    "root_mean_square",
    "You computed one number for everything. Each vector has its own: take the mean over the last axis only.",
)
def one_size_for_all(states: Tensor) -> Tensor:
    return states.square().mean().sqrt().expand(*states.shape[:-1], 1)


@mistake(
    "root_mean_square", "You dropped the last axis. Keep it with keepdim=True, so that one can divide by the result."
)
def axis_dropped(states: Tensor) -> Tensor:
    return states.square().mean(-1).sqrt()


@variant("root_mean_square")
def size_by_length(states: Tensor) -> Tensor:
    return torch.linalg.vector_norm(states, dim=-1, keepdim=True) / math.sqrt(states.shape[-1])


class NormOf(solution.GemmaRMSNorm):
    """The reference in small steps, so that a mistake can override one of them."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalize(hidden_states.float(), self.eps)
        return self.scale(normed).to(hidden_states.dtype)

    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps)

    def scale(self, normed: Tensor) -> Tensor:
        return normed * (1 + self.weight.float())


@mistake(
    "GemmaRMSNorm", "You multiplied by `weight`. Gemma stores how far the scale is from 1: multiply by 1 + weight."
)
class NormWithPlainWeight(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed * self.weight


@mistake(
    "GemmaRMSNorm",
    "Your weight starts as ones, so the initial scale is 2. Initialize it to zeros: the scale is 1 + weight.",
)
class NormThatStartsWithOnes(NormOf):
    def __init__(self, hidden_size: int, eps: float):
        super().__init__(hidden_size, eps)
        nn.init.ones_(self.weight)


@mistake("GemmaRMSNorm", "You did not use the weight. Multiply by 1 + weight.")
class NormWithoutWeight(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed


@mistake("GemmaRMSNorm", "You added the weight. Multiply by 1 + weight.")
class NormWithWeightAdded(NormOf):
    def scale(self, normed: Tensor) -> Tensor:
        return normed + self.weight


@mistake("GemmaRMSNorm", "You subtracted the mean, as LayerNorm does. RMSNorm only divides.")
class NormWithMeanSubtracted(NormOf):
    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return super().normalize(states - states.mean(-1, keepdim=True), eps)


@mistake("GemmaRMSNorm", "You cast before the multiplication by 1 + weight, as Llama does. Gemma casts after it.")
class NormCastBeforeTheMultiplication(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalize(hidden_states.float(), self.eps).to(hidden_states.dtype)
        return normed * (1 + self.weight).to(hidden_states.dtype)


@mistake("GemmaRMSNorm", "You cast to the dtype of x before scaling, and again after it. Cast once, at the end.")
class NormCastTwice(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = solution.GemmaRMSNorm(self.weight.shape[0], self.eps)(hidden_states)  # its weight is 0
        return (normed * (1 + self.weight)).to(hidden_states.dtype)


@mistake(
    "GemmaRMSNorm",
    "You computed in the dtype of the input. In bfloat16, the squares lose most of their digits: use float32.",
)
class NormInTheDtypeOfTheInput(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.normalize(hidden_states, self.eps)
        return normed * (1 + self.weight.to(hidden_states.dtype))


@mistake("GemmaRMSNorm", "Your result is float32. Cast it to the dtype of the input.")
class NormInFloat32(NormOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.scale(self.normalize(hidden_states.float(), self.eps))


@mistake("GemmaRMSNorm", "Your eps is always 1e-5. Use the argument `eps`.")
class NormWithAnotherEps(NormOf):
    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return super().normalize(states, 1e-5)


@mistake(
    "GemmaRMSNorm", "You left out eps. Without it, a vector of zeros becomes nan, and small vectors become too large."
)
class NormWithoutEps(NormOf):
    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return super().normalize(states, 0.0)


@mistake("GemmaRMSNorm", "You added eps outside the square root. Add it inside, to the mean.")
class NormWithEpsOutsideTheRoot(NormOf):
    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return states / (states.square().mean(-1, keepdim=True).sqrt() + eps)


@mistake("GemmaRMSNorm", "You divided by the length, the root of the sum of squares. Divide by the root of their mean.")
class NormByLength(NormOf):
    def normalize(self, states: Tensor, eps: float) -> Tensor:
        return states * torch.rsqrt(states.square().sum(-1, keepdim=True) + eps)


@variant("GemmaRMSNorm")
class NormByDivision(solution.GemmaRMSNorm):
    def forward(self, hidden_states: Tensor) -> Tensor:
        x = hidden_states.to(torch.float32)
        x = x / torch.sqrt((x * x).sum(-1, keepdim=True) / x.shape[-1] + self.eps)
        return (x + x * self.weight).type_as(hidden_states)


@mistake("GemmaMLP", "You used SiLU (x times sigmoid), as in Llama. Gemma's gate uses a GELU.")
class MlpWithSilu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.silu(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "You used the exact GELU. Gemma was trained with the tanh approximation.")
class MlpWithExactGelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.gelu(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "You used a ReLU. Gemma's gate uses a GELU.")
class MlpWithRelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states).relu() * self.up_proj(hidden_states))


@mistake("GemmaMLP", "You used a sigmoid, the gate of the original GLU. Gemma's gate uses a GELU.")
class MlpWithSigmoid(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states).sigmoid() * self.up_proj(hidden_states))


@mistake("GemmaMLP", "You swapped gate and up. Apply the GELU to gate_proj(x).")
class MlpWithGateAndUpSwapped(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.up_proj(hidden_states), approximate="tanh")
        return self.down_proj(gate * self.gate_proj(hidden_states))


@mistake("GemmaMLP", "You added gate and up. Multiply them.")
class MlpWithGateAdded(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate = nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh")
        return self.down_proj(gate + self.up_proj(hidden_states))


@mistake("GemmaMLP", "You applied the GELU to the product. Apply it only to gate_proj(x).")
class MlpWithGeluOverTheProduct(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        product = self.gate_proj(hidden_states) * self.up_proj(hidden_states)
        return self.down_proj(nn.functional.gelu(product, approximate="tanh"))


@mistake("GemmaMLP", "The GELU is missing. Apply it to gate_proj(x), before the product.")
class MlpWithoutGelu(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(hidden_states) * self.up_proj(hidden_states))


@mistake("GemmaMLP", "You did not use up_proj, so this is an ordinary MLP without a gate. Multiply by up_proj(x).")
class MlpWithoutUp(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.down_proj(nn.functional.gelu(self.gate_proj(hidden_states), approximate="tanh"))


@mistake("GemmaMLP", "You applied the GELU to both projections. Apply it only to gate_proj(x).")
class MlpWithGeluOverBoth(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        gate, up = self.gate_proj(hidden_states), self.up_proj(hidden_states)
        gelu = nn.functional.gelu
        return self.down_proj(gelu(gate, approximate="tanh") * gelu(up, approximate="tanh"))


@mistake("GemmaMLP", "You added the residual connection here. Return only the output of down_proj; the block adds it.")
class MlpWithResidual(solution.GemmaMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + super().forward(hidden_states)


@mistake("GemmaMLP", "Your layers have biases. Gemma's have none: pass bias=False.")
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


@mistake("fold_norm", "You multiplied by norm_weight itself. The scale is 1 + norm_weight.")
def fold_plain_weight(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight * norm_weight


@mistake("fold_norm", "You computed 1 + norm_weight * matrix. The 1 belongs to the scale: (1 + norm_weight) * matrix.")
def fold_one_outside(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return 1 + linear_weight * norm_weight


@mistake("fold_norm", "You divided by the scale. Folding applies it: multiply.")
def fold_by_division(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight / (1 + norm_weight)


@mistake("fold_norm", "You scaled the rows. Entry d of a vector meets column d of the matrix: scale the columns.")
def fold_into_rows(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight * (1 + norm_weight)[:, None]


@mistake("fold_norm", "Your result is transposed. nn.Linear stores [outputs, inputs].")
def fold_transposed(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return solution.fold_norm(norm_weight, linear_weight).T


@variant("fold_norm")
def fold_by_matrix_product(norm_weight: Tensor, linear_weight: Tensor) -> Tensor:
    return linear_weight @ torch.diag(1 + norm_weight)
