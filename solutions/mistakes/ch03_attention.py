"""Mistakes people make in chapter 3, and other right answers."""

import math

import torch
from torch import Tensor, nn

from grader import mistake, variant
from solutions import ch03_attention as solution
from vlm.config import SiglipVisionConfig


@mistake("split_heads", "You reshaped without a transpose: a head gets the numbers of several places, mixed.")
def view_without_transpose(states: Tensor, num_heads: int) -> Tensor:
    batch, places, hidden_size = states.shape
    return states.reshape(batch, num_heads, places, hidden_size // num_heads)


@mistake("split_heads", "You gave head 0 every A-th number; it gets the first E in a row.")
def heads_interleaved(states: Tensor, num_heads: int) -> Tensor:
    return states.unflatten(-1, (-1, num_heads)).permute(0, 3, 1, 2)


@mistake("split_heads", "The axes of places and heads are not exchanged: attention would then mix heads, not places.")
def heads_behind_places(states: Tensor, num_heads: int) -> Tensor:
    return states.unflatten(-1, (num_heads, -1))


@variant("split_heads")
def split_by_chunks(states: Tensor, num_heads: int) -> Tensor:
    return torch.stack(states.chunk(num_heads, dim=-1), dim=1)


@variant("split_heads")
def split_by_view_and_permute(states: Tensor, num_heads: int) -> Tensor:
    batch, places, hidden_size = states.shape
    return states.view(batch, places, num_heads, hidden_size // num_heads).permute(0, 2, 1, 3)


@mistake("attend", "The scores are not scaled.")
def attend_unscaled(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, 1.0)


@mistake("attend", "You divided by the scaling; it is a factor already.")
def attend_scaled_the_other_way(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, 1 / scaling)


@mistake("attend", "Your softmax runs over the queries: each column sums to 1, where each row should.")
def attend_softmax_over_queries(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1) * scaling, dim=-2)
    return weights @ value, weights


@mistake("attend", "You scaled after the softmax: the weights of a row then no longer sum to 1.")
def attend_scaled_after_softmax(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1) * scaling
    return weights @ value, weights


@mistake("attend", "Queries and keys have changed places: row i must be what query i looks at.")
def attend_query_and_key_exchanged(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(key, query, value, scaling)


@mistake("attend", "exp overflows for large scores and gives nan: subtract the largest score of each row first.")
def attend_with_plain_exp(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    powers = (query @ key.transpose(-2, -1) * scaling).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


@mistake("attend", "You divided by the root of E yourself; the factor is given, as `scaling`.")
def attend_scaled_by_itself(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    return solution.attend(query, key, value, query.shape[-1] ** -0.5)


@variant("attend")
def attend_with_einsum(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
    scores = torch.einsum("bane,bame->banm", query * scaling, key)
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = powers / powers.sum(-1, keepdim=True)
    return torch.einsum("banm,bame->bane", weights, value), weights


class AttentionOf(solution.SiglipAttention):
    """The reference in small steps, so that a mistake can change one of them."""

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


@mistake("SiglipAttention", "You scaled by the whole width D; each score is a sum over the E numbers of one head.")
class AttentionScaledByWidth(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.scaling = config.hidden_size**-0.5


@mistake("SiglipAttention", "The scores are not scaled.")
class AttentionUnscaled(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.scaling = 1.0


@mistake("SiglipAttention", "The heads are split by a reshape without a transpose, so places are mixed.")
class AttentionSplitWithoutTranspose(AttentionOf):
    def split(self, states: Tensor) -> Tensor:
        return view_without_transpose.implementation(states, self.num_heads)


@mistake("SiglipAttention", "The heads are put together by a reshape without a transpose, so places are mixed.")
class AttentionMergedWithoutTranspose(AttentionOf):
    def merge(self, mixed: Tensor) -> Tensor:
        batch, heads, places, head_dim = mixed.shape
        return mixed.reshape(batch, places, heads * head_dim)


@mistake("SiglipAttention", "`out_proj` is not used: the heads' results are side by side and never mixed.")
class AttentionWithoutOutput(AttentionOf):
    def finish(self, merged: Tensor) -> Tensor:
        return merged


@mistake("SiglipAttention", "You left out the residual's place: the layer returns what it adds, the block adds it.")
class AttentionWithResidual(AttentionOf):
    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        result, weights = super().forward(hidden_states)
        return hidden_states + result, weights


@mistake("SiglipAttention", "The weights are missing: return the result and the weights.")
class AttentionWithoutWeights(AttentionOf):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states)[0]


@mistake("SiglipAttention", "It has no biases; SigLIP's projections have them (Gemma's do not).")
class AttentionWithoutBias(AttentionOf):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size, bias=False))


@mistake("SiglipAttention", "There is only one head: the vectors are not split.")
class AttentionWithOneHead(AttentionOf):
    def split(self, states: Tensor) -> Tensor:
        return states[:, None]


@variant("SiglipAttention")
class AttentionHeadByHead(solution.SiglipAttention):
    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        heads, shares = [], []
        for query, key, value in zip(*(layer(hidden_states).chunk(self.num_heads, dim=-1) for layer in projections)):
            shares.append(torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1))
            heads.append(shares[-1] @ value)
        return self.out_proj(torch.cat(heads, dim=-1)), torch.stack(shares, dim=1)


@mistake("SiglipMLP", "This is the exact GELU; SigLIP uses its tanh approximation. They differ by up to 0.0005.")
class MlpWithExactGelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(hidden_states)))


@mistake("SiglipMLP", "This is a ReLU; SigLIP uses a GELU.")
class MlpWithRelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.fc1(hidden_states).relu())


@mistake("SiglipMLP", "This is the sigmoid approximation of the GELU; SigLIP uses the one with tanh.")
class MlpWithQuickGelu(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        inner = self.fc1(hidden_states)
        return self.fc2(inner * torch.sigmoid(1.702 * inner))


@mistake("SiglipMLP", "There is nothing between the two layers: two linear layers in a row are one.")
class MlpWithoutActivation(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.fc2(self.fc1(hidden_states))


@mistake("SiglipMLP", "You added the residual here; the block adds it.")
class MlpWithResidual(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + super().forward(hidden_states)


@variant("SiglipMLP")
class MlpByFormula(solution.SiglipMLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        x = self.fc1(hidden_states)
        return self.fc2(0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


@mistake("SiglipEncoderLayer", "You normalise after adding (post-norm); SigLIP normalises before (pre-norm).")
class LayerPostNorm(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = self.layer_norm1(hidden_states + self.self_attn(hidden_states)[0])
        return self.layer_norm2(hidden_states + self.mlp(hidden_states))


@mistake("SiglipEncoderLayer", "Nothing is added to what was there: both residual connections are missing.")
class LayerWithoutResiduals(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.mlp(self.layer_norm2(self.self_attn(self.layer_norm1(hidden_states))[0]))


@mistake(
    "SiglipEncoderLayer", "The second residual connection starts from the block's input; it starts from the first sum."
)
class LayerSecondResidualFromInput(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        middle = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm2(middle))


@mistake("SiglipEncoderLayer", "What is added to is the normalised input; the residual keeps the input as it is.")
class LayerResidualFromNormed(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        normed = self.layer_norm1(hidden_states)
        hidden_states = normed + self.self_attn(normed)[0]
        normed = self.layer_norm2(hidden_states)
        return normed + self.mlp(normed)


@mistake("SiglipEncoderLayer", "You use one norm twice; the block has two, with weights of their own.")
class LayerWithOneNorm(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        hidden_states = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm1(hidden_states))


@mistake("SiglipEncoderLayer", "The LayerNorms have PyTorch's eps, 1e-5; it must be config.layer_norm_eps, 1e-6.")
class LayerWithDefaultEps(solution.SiglipEncoderLayer):
    def __init__(self, config: SiglipVisionConfig):
        super().__init__(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size)


@mistake(
    "SiglipEncoderLayer", "Attention and MLP run side by side on the same input; the MLP comes after the attention."
)
class LayerParallel(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        looked = self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + looked + self.mlp(self.layer_norm2(hidden_states))


@mistake("SiglipEncoderLayer", "self_attn returned a tensor, and [0] took the first picture of the batch from it.")
class LayerWithTheFirstPicture(solution.SiglipEncoderLayer):
    def forward(self, hidden_states: Tensor) -> Tensor:
        looked, _ = self.self_attn(self.layer_norm1(hidden_states))
        hidden_states = hidden_states + looked[0]
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


@variant("SiglipEncoderLayer")
class LayerByHand(solution.SiglipEncoderLayer):
    def normalise(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias

    def forward(self, hidden_states: Tensor) -> Tensor:
        x = hidden_states.clone()
        x += self.self_attn(self.normalise(x, self.layer_norm1))[0]
        x += self.mlp(self.normalise(x, self.layer_norm2))
        return x


@mistake("hidden_states_of", "The last LayerNorm is missing: the tower's output is not what the last block gives.")
def states_without_final_norm(tower, pixel_values: Tensor) -> list[Tensor]:
    states = solution.hidden_states_of(tower, pixel_values)
    return [*states[:-1], states[-2]]


@mistake("hidden_states_of", "The last LayerNorm is applied after each block; it comes once, at the end.")
def states_normed_at_each_step(tower, pixel_values: Tensor) -> list[Tensor]:
    model = tower.vision_model
    states = [model.embeddings(pixel_values)]
    for layer in model.encoder.layers:
        states.append(model.post_layernorm(layer(states[-1])))
    return [*states, states[-1]]


@mistake("hidden_states_of", "Every block gets the embeddings; each gets what the block before it made.")
def states_all_from_the_embeddings(tower, pixel_values: Tensor) -> list[Tensor]:
    model = tower.vision_model
    embedded = model.embeddings(pixel_values)
    states = [embedded, *(layer(embedded) for layer in model.encoder.layers)]
    return [*states, model.post_layernorm(states[-1])]


@mistake("hidden_states_of", "What the embeddings give is missing from the list.")
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
