"""Common mistakes in chapter 3, and other correct answers."""

import math

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch03_attention as solution
from vlm.config import SiglipVisionConfig


@mistake(
    "split_heads",
    "You reshaped straight to [B, A, N, E], which mixes entries of different positions. Split the last axis, then "
    "transpose.",
)
def view_without_transpose(states: Tensor, num_heads: int) -> Tensor:
    batch, length, hidden_size = states.shape
    return states.reshape(batch, num_heads, length, hidden_size // num_heads)


@mistake("split_heads", "You gave head 0 every A-th entry. It gets the first E consecutive entries.")
def heads_interleaved(states: Tensor, num_heads: int) -> Tensor:
    return states.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


@mistake(
    "split_heads",
    "The axes of positions and heads are not swapped, so attention would run over heads instead of positions. "
    "Transpose them.",
)
def heads_after_positions(states: Tensor, num_heads: int) -> Tensor:
    return states.unflatten(-1, (num_heads, -1))


@variant("split_heads")
def split_by_chunks(states: Tensor, num_heads: int) -> Tensor:
    return torch.stack(states.chunk(num_heads, dim=-1), dim=1)


@variant("split_heads")
def split_by_view_and_permute(states: Tensor, num_heads: int) -> Tensor:
    batch, length, hidden_size = states.shape
    return states.view(batch, length, num_heads, hidden_size // num_heads).permute(0, 2, 1, 3)


@mistake("attend", "Your scores are not scaled. Multiply them by `scaling` before the softmax.")
def attend_unscaled(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, 1.0)


@mistake("attend", "You divided by `scaling`. It is a factor: multiply by it.")
def attend_scaled_the_other_way(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, 1 / scaling)


@mistake(
    "attend",
    "Your softmax runs over the queries: each column sums to 1. Take it over the keys, dim=-1, so that each row does.",
)
def attend_softmax_over_queries(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1) * scaling, dim=-2)
    return weights @ value, weights


@mistake(
    "attend", "You scaled after the softmax, so the weights of a row no longer sum to 1. Scale the scores before it."
)
def attend_scaled_after_softmax(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1) * scaling
    return weights @ value, weights


@mistake("attend", "You swapped queries and keys. Row i must hold the weights of query i: query @ key^T.")
def attend_query_and_key_swapped(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(key, query, value, scaling)


@mistake(
    "attend",
    "Your exp overflows for large scores and gives nan. Use softmax, or subtract the largest score of each row first.",
)
def attend_with_plain_exp(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    powers = (query @ key.transpose(-2, -1) * scaling).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


@mistake("attend", "You scaled by 1 / sqrt(E). Multiply by the argument `scaling` instead.")
def attend_scaled_by_itself(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, query.shape[-1] ** -0.5)


@variant("attend")
def attend_with_einsum(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("bane,bame->banm", query * scaling, key)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return torch.einsum("banm,bame->bane", weights, value), weights


class AttentionOf(solution.SiglipAttention):
    """The reference in small steps, so that a mistake can override one of them."""

    bias = True

    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.scaling = config.head_dim**-0.5

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = (self.split(layer(hidden_states)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        mixed, weights = solution.attend(query, key, value, self.scaling)
        return self.finish(self.merge(mixed)), weights

    def split(self, states: Tensor) -> Tensor:
        return solution.split_heads(states, self.num_heads)

    def merge(self, mixed: Tensor) -> Tensor:
        return mixed.transpose(1, 2).flatten(2)

    def finish(self, merged: Tensor) -> Tensor:
        return self.out_proj(merged)


@mistake(
    "SiglipAttention",
    "You scaled by 1 / sqrt(D). Each score is a sum over the E entries of one head: scale by 1 / sqrt(E).",
)
class AttentionScaledByWidth(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.scaling = config.hidden_size**-0.5


@mistake("SiglipAttention", "Your scores are not scaled. Multiply them by 1 / sqrt(E).")
class AttentionUnscaled(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.scaling = 1.0


@mistake(
    "SiglipAttention",
    "You split the heads with a reshape alone, which mixes positions. Split the last axis, then transpose.",
)
class AttentionSplitWithoutTranspose(AttentionOf):
    def split(self, states: Tensor) -> Tensor:
        return view_without_transpose.implementation(states, self.num_heads)


@mistake(
    "SiglipAttention",
    "You merged the heads with a reshape alone, which mixes positions. Transpose heads and positions first.",
)
class AttentionMergedWithoutTranspose(AttentionOf):
    def merge(self, mixed: Tensor) -> Tensor:
        batch, heads, length, head_dim = mixed.shape
        return mixed.reshape(batch, length, heads * head_dim)


@mistake(
    "SiglipAttention",
    "`out_proj` is not used, so the results of the heads are never combined. Apply it after concatenating them.",
)
class AttentionWithoutOutput(AttentionOf):
    def finish(self, merged: Tensor) -> Tensor:
        return merged


@mistake(
    "SiglipAttention",
    "You added the residual connection here. Return only the result of the attention; the block adds it to its input.",
)
class AttentionWithResidual(AttentionOf):
    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        result, weights = super().forward(hidden_states)
        return hidden_states + result, weights


@mistake("SiglipAttention", "You return only the result. Return the result and the attention weights.")
class AttentionWithoutWeights(AttentionOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states)[0]


@mistake("SiglipAttention", "Your layers have no biases. SigLIP's projections have them (Gemma's do not).")
class AttentionWithoutBias(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size, bias=False))


@mistake("SiglipAttention", "You use a single head. Split the vectors into config.num_attention_heads heads.")
class AttentionWithOneHead(AttentionOf):
    def split(self, states: Tensor) -> Tensor:
        return states[:, None]


@variant("SiglipAttention")
class AttentionHeadByHead(solution.SiglipAttention):
    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        heads, weights = [], []
        for query, key, value in zip(*(layer(hidden_states).chunk(self.num_heads, dim=-1) for layer in projections)):
            weights.append(torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1))
            heads.append(weights[-1] @ value)
        return self.out_proj(torch.cat(heads, dim=-1)), torch.stack(weights, dim=1)


@mistake("SiglipMLP", "You used the exact GELU. SigLIP uses its tanh approximation; they differ by up to 0.0005.")
class MlpWithExactGelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(hidden_states)))


@mistake("SiglipMLP", "You used a ReLU. SigLIP uses a GELU.")
class MlpWithRelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.fc1(hidden_states).relu())


@mistake("SiglipMLP", "You used the sigmoid approximation of the GELU. SigLIP uses the tanh approximation.")
class MlpWithQuickGelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        inner = self.fc1(hidden_states)
        return self.fc2(inner * torch.sigmoid(1.702 * inner))


@mistake(
    "SiglipMLP",
    "There is no nonlinearity between the two layers, so together they are one linear layer. Apply a GELU after `fc1`.",
)
class MlpWithoutActivation(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.fc1(hidden_states))


@mistake("SiglipMLP", "You added the residual connection here. Return only the output of `fc2`; the block adds it.")
class MlpWithResidual(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + super().forward(hidden_states)


@variant("SiglipMLP")
class MlpByFormula(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        x = self.fc1(hidden_states)
        return self.fc2(0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


@mistake(
    "SiglipEncoderLayer",
    "You normalize after each addition (post-norm). SigLIP normalizes the input of attention and MLP (pre-norm).",
)
class LayerPostNorm(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.layer_norm1(hidden_states + self.self_attn(hidden_states)[0])
        return self.layer_norm2(hidden_states + self.mlp(hidden_states))


@mistake("SiglipEncoderLayer", "Both residual connections are missing. Add the results of attention and MLP to x.")
class LayerWithoutResiduals(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.mlp(self.layer_norm2(self.self_attn(self.layer_norm1(hidden_states))[0]))


@mistake(
    "SiglipEncoderLayer",
    "Your second residual connection starts from the input of the block. It starts from the result of the first "
    "addition.",
)
class LayerSecondResidualFromInput(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        middle = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm2(middle))


@mistake("SiglipEncoderLayer", "You added to the normalized input. A residual connection adds to the input itself.")
class LayerResidualFromNormed(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.layer_norm1(hidden_states)
        hidden_states = normed + self.self_attn(normed)[0]
        normed = self.layer_norm2(hidden_states)
        return normed + self.mlp(normed)


@mistake("SiglipEncoderLayer", "You used `layer_norm1` twice. The block has two norms with their own weights.")
class LayerWithOneNorm(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm1(hidden_states))


@mistake(
    "SiglipEncoderLayer",
    "Your LayerNorms have PyTorch's default eps, 1e-5. Pass eps=config.layer_norm_eps, which is 1e-6.",
)
class LayerWithDefaultEps(solution.SiglipEncoderLayer):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size)


@mistake(
    "SiglipEncoderLayer",
    "You ran attention and MLP in parallel on the same input. The MLP takes the result of the first addition.",
)
class LayerParallel(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        attended = self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + attended + self.mlp(self.layer_norm2(hidden_states))


@mistake(
    "SiglipEncoderLayer",
    "You indexed a tensor with [0] and got the first image of the batch. `self_attn` returns two tensors: unpack them.",
)
class LayerWithTheFirstImage(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        attended, _ = self.self_attn(self.layer_norm1(hidden_states))
        hidden_states = hidden_states + attended[0]
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


@variant("SiglipEncoderLayer")
class LayerByHand(solution.SiglipEncoderLayer):
    def normalize(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        centered = x - x.mean(-1, keepdim=True)
        return centered / (centered.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        x = hidden_states.clone()
        x += self.self_attn(self.normalize(x, self.layer_norm1))[0]
        x += self.mlp(self.normalize(x, self.layer_norm2))
        return x


@mistake(
    "hidden_states_of",
    "The last item is the output of the last block. Apply `post_layernorm` to it: that is the output of the tower.",
)
def states_without_final_norm(tower, pixel_values: Tensor) -> list[Tensor]:
    states = solution.hidden_states_of(tower, pixel_values)
    return [*states[:-1], states[-2]]


@mistake("hidden_states_of", "You applied `post_layernorm` after each block. Apply it once, at the end.")
def states_normed_at_each_step(tower, pixel_values: Tensor) -> list[Tensor]:
    model = tower.vision_model
    states = [model.embeddings(pixel_values)]
    for layer in model.encoder.layers:
        states.append(model.post_layernorm(layer(states[-1])))
    return [*states, states[-1]]


@mistake("hidden_states_of", "Each of your blocks takes the embeddings. It takes the output of the block before it.")
def states_all_from_the_embeddings(tower, pixel_values: Tensor) -> list[Tensor]:
    model = tower.vision_model
    embedded = model.embeddings(pixel_values)
    states = [embedded, *(layer(embedded) for layer in model.encoder.layers)]
    return [*states, model.post_layernorm(states[-1])]


@mistake("hidden_states_of", "The output of `embeddings` is missing. It is the first item of the list.")
def states_without_embeddings(tower, pixel_values: Tensor) -> list[Tensor]:
    return solution.hidden_states_of(tower, pixel_values)[1:]


@variant("hidden_states_of")
def states_by_hooks(tower, pixel_values: Tensor) -> list[Tensor]:
    model, states = tower.vision_model, []
    parts = [model.embeddings, *model.encoder.layers, model.post_layernorm]
    handles = [part.register_forward_hook(lambda _, __, output: states.append(output)) for part in parts]
    tower(pixel_values)
    for handle in handles:
        handle.remove()
    return states
