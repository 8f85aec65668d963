# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How do patches look at each other? Attention and the SigLIP encoder
#
# A patch is 14 pixels wide. No patch holds a cat. To find one, patches must compare notes, and that is what the vision
# tower does: in each of its {term}`blocks <block>` (also called layers) every patch looks at all others, takes in what it can use, and thinks about it. In this
# chapter you build such a block from nothing, stack four of them, and arrive at the package's `SiglipVisionModel`.
#
# At the end you will be able to
#
# - compute {term}`attention` by hand for three places, and say what each of its four steps is for;
# - split vectors into heads and put them together again, without mixing places;
# - say what residual connections, LayerNorm and GELU do, and which of their details matter;
# - look into a trained tower, and see which head looks where.
#
# It takes about 60 minutes. Here is what we are after: one patch of a trained tower, and where it looks.

# %% mystnb={"image": {"alt": "Four rows of six small maps of the same scene, one row for each layer, one column for each head. A white square marks the looking patch, on a cat's face. Maps differ: some heads look at the neighbours, some at both cats, some at the background."}, "figure": {"caption": "Where the patch marked in white looks: each row is a layer, each column one of its six heads. No one told the heads what to do. Some stay near, some find the rest of the cat or the other cat, some look at the grass.", "name": "fig-ch03-goal"}} tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.attention import soft_cap
from vlm.config import SiglipVisionConfig
from vlm.image_processing import process_images
from vlm.inside.recording import record_attention
from vlm.loader import load_model
from vlm.regions.draw import draw_patch_values
from vlm.siglip import SiglipMLP, SiglipVisionEmbeddings

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model = load_model(CHECKPOINT_DIRECTORY)
tower, config = model.vision_tower, model.config.vision_config
image = example_image(0)
pixel_values = process_images([image], config.image_size)  # [B, C, H, W]
with record_attention(tower) as recorded:
    output = tower(pixel_values)  # [B, N, D]
attention_of_layer = [weights[0][0] for weights in recorded.values()]  # each [A, N, N]


def mark(ax, patch: int):
    """A white square around a patch."""
    y, x = divmod(patch, 8)
    ax.add_patch(plt.Rectangle((x * 14, y * 14), 14, 14, fill=False, edgecolor="white", lw=1.5))


LOOKING = 4 * 8 + 2  # row 4, column 2: in the face of the large cat
fig, axes = plt.subplots(4, 6, figsize=(7.4, 5.2), layout="constrained")
for layer, row in enumerate(axes):
    for head, ax in enumerate(row):
        draw_patch_values(image, attention_of_layer[layer][head, LOOKING], ax)
        mark(ax, LOOKING)
        if layer == 0:
            ax.set_title(f"head {head}", fontsize=9)
        if head == 0:
            ax.set_ylabel(f"layer {layer}", fontsize=9)
plt.show()

# %% [markdown]
# ## Looking is a weighted mean
#
# How can one vector take in what is in others? The simplest way is a mean: replace each vector by the mean of all. Then every
# patch knows something of the whole picture, but all know the same, and no one knows anything of its own. The next
# idea is a *weighted* mean, with weights that each patch chooses for itself: much from the patches that matter to it,
# little from the rest. The weights should be positive and sum to 1.
#
# Take three places with two numbers each, small enough to follow with a pencil.

# %%
x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])  # [N, D]
print("plain mean, the same for every place:", x.mean(0).tolist())

# %% [markdown]
# Who matters to whom? Let vectors that point the same way matter to each other. The scalar product measures that. It gives one
# score for each pair: row i, column j says how much place j matters to place i.

# %%
scores = x @ x.T  # [N, N]
print(scores)

# %% [markdown]
# To turn the scores into positive weights that sum to 1 in each row, take `exp` of each score and divide by the sum of the row. That is
# the {term}`softmax`. Check the first row by hand: the scores 1, 1, 0 become e, e, 1.

# %%
weights = scores.softmax(-1)  # [N, N]
e = math.e
by_hand = torch.tensor([e, e, 1]) / (2 * e + 1)
assert torch.allclose(weights[0], by_hand)
mixed = weights @ x  # [N, D]
print("weights of place 0:", [round(w, 3) for w in weights[0].tolist()])
print("what it becomes:   ", [round(v, 3) for v in mixed[0].tolist()])

# %% [markdown]
# One thing is still poor. A place looks for what it is itself, and gives what it is itself. But an ear may look for eyes,
# and what it should be told about the eyes may be something else again. So each vector gets three roles, made from it by three
# linear layers. The {term}`query` says what a place looks for. The {term}`key` says what it can be found by. The {term}`value` says what
# it gives. Queries are compared with keys, and values are mixed.
#
# ## Scores, shares, mixture
#
# A last detail, and it has a number. The longer the vectors, the larger their scalar products, just because there are more terms
# to add. If a query and a key have E random numbers each, independent, with mean 0 and standard deviation 1, then the sum of their E products has the standard deviation √E. What does that do to
# the softmax? Before you run the cell: which of the three rows will be closest to "all the weight on one place"?

# %%
torch.manual_seed(0)
for E in (4, 64, 1024):
    queries, keys = torch.randn(1000, E), torch.randn(64, E)
    scores = queries @ keys.T  # [1000, 64]
    plain, scaled = (
        scores.softmax(-1).amax(-1),
        (scores / E**0.5).softmax(-1).amax(-1),
    )  # [1000]
    print(
        f"E = {E:4}: largest of 64 weights {plain.mean():.2f}, "
        f"with scores divided by √E {scaled.mean():.2f} (mean of 1,000 queries)"
    )

# %% [markdown]
# Without the division, long vectors make each place look at one other and at nothing else, and the gradient of its weights is nearly zero: it could
# not learn to look elsewhere. Divided by √E, the weights stay soft whatever E is ("Attention Is All You Need", arXiv 1706.03762 {cite}`vaswani2017attention`,
# section 3.2.1). As the paper writes it, with the rows of $Q$ for the queries, those of $K$ for the keys and those of $V$ for the values:
#
# $$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\!\left(\frac{Q K^{\top}}{\sqrt{E}}\right) V$$
#
# The product $Q K^{\top}$ is the table of scores, a row for each query, and the softmax makes each row sum to 1.
#
# Now we have all of it. This is the package's function, the one that SigLIP and Gemma both call. It can do things we do not need
# yet. The mask is added to the scores, very negative where a look is forbidden, which matters when text is written. Then there may be fewer queries (Q) than places to look at (S); here both are N. `softcap` keeps scores within bounds; only PaliGemma 2 uses it. And the softmax runs in float32, because in 16 bits a sum of
# thousands of small weights would lose too much.


# %% tags=["from:vlm.attention.attention"]
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Each query takes a weighted mean of the values; its weights say how well it matches each key."""
    scores = query @ key.transpose(-2, -1) * scaling  # [B, A, Q, S]
    if softcap is not None:
        scores = soft_cap(scores, softcap)
    if mask is not None:
        scores = scores + mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights @ value, weights


# %%
mixed_again, _ = attention(x, x, x, scaling=1.0)
assert torch.allclose(mixed_again, mixed)  # our three places, with query = key = value

# %% [markdown]
# ## Heads
#
# One weighted mean is one question. A patch may want to ask several at once: what is to my left, where is the rest of me, is there
# another one like me? So the queries, the keys and the values are cut into A parts each, called {term}`heads <head>`, and each part does its own attention with
# its own weights.[^ch03-1] Our tower has D = 192 and A = 6, so each head has E = 32 numbers.
#
# Cutting is a reshape and, once more, a transpose: for the matrix products the heads have to stand where the batch stands,
# in front of the places. Here is what happens without it. We give the numbers names: 0 to 3 at place 0, 10 to 13 at place 1, 20 to 23 at place 2.
#
# [^ch03-1]: Every head's part is made from the whole vector: the linear layers come before the cut.

# %%
states = torch.tensor([[[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]])  # [B, N, D]
wrong = states.reshape(1, 2, 3, 2)  # [B, A, N, E], it claims
right = states.reshape(1, 3, 2, 2).transpose(1, 2)  # [B, N, A, E] -> [B, A, N, E]
print("wrong, head 0:", wrong[0, 0].tolist())
print("right, head 0:", right[0, 0].tolist())
assert right[0, 0].tolist() == [[0, 1], [10, 11], [20, 21]]  # the first half of each place

# %% [markdown]
# The wrong one has the right shape. Its head 0 takes the two halves of place 0 for two places, and place 2 never appears in it.
#
# After the attention the heads' results are put side by side again, and a last linear layer mixes them. This is the layer as the
# package has it. It returns its weights too, so that we can draw them.


# %% tags=["from:vlm.siglip.SiglipAttention"]
class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; every patch sees every other."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.scaling = config.head_dim**-0.5
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """[B, N, D] -> ([B, N, D], attention weights [B, A, N, N])."""
        query = self.split_heads(self.q_proj(hidden_states))
        key = self.split_heads(self.k_proj(hidden_states))
        value = self.split_heads(self.v_proj(hidden_states))
        mixed, weights = attention(
            query, key, value, self.scaling
        )  # [B, A, N, E], [B, A, N, N]
        mixed = mixed.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out_proj(mixed), weights

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, A, N, E]


# %% [markdown]
# Each head of the trained tower has found something of its own to do. One way to put a number to it: how far away, on average, is what
# a head looks at?

# %% mystnb={"image": {"alt": "Dots for six heads in each of four layers. In the first layer they lie around the dashed line of an even look, at about four patches; in the later layers between two and nearly four."}, "figure": {"caption": "Mean distance, in patches, between a place and what its head looks at, over all 64 places of our picture. The dashed line is a head that looks everywhere alike. In the first layer the heads look about as far as an even look would (which need not be even); later they look closer by.", "name": "fig-ch03-distance"}} tags=["hide-input"]
y, x_ = torch.arange(64) // 8, torch.arange(64) % 8
distance = ((y[:, None] - y) ** 2 + (x_[:, None] - x_) ** 2).sqrt()  # [N, N]
fig, ax = plt.subplots(figsize=(5.2, 3), layout="constrained")
for layer, weights in enumerate(attention_of_layer):
    means = (weights * distance).sum(-1).mean(-1)  # [A]
    ax.scatter([layer] * len(means), means, color="#0072B2")
ax.axhline(distance.mean(), color="#D55E00", linestyle="--")
ax.set(xlabel="layer", ylabel="mean distance (patches)", xticks=range(4), ylim=(0, None))
plt.show()

# %% [markdown]
# A patch on a toy and a patch of ground ask for different things. Choose a patch on a cat's face in the figure, then step away from it with the arrow keys, one patch at a time. Before you do: where will the 24 maps change most, inside the face, in the grass, or at the edge between the two?
#
# <div class="live-figure" data-figure="attention-lab" data-view="tower">
# <p>This figure needs JavaScript. The figure at the beginning of this chapter shows the same maps for one patch. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="tower")

# %% [markdown]
# At the edge. A query is made from what the patch holds, so two neighboring patches of grass ask nearly the same question, and their maps look alike although the patches are in different places. Two patches of one face differ a little more, and with the step from fur to grass most maps change at once. Choose the other cat next: which heads go from one cat to the other, and which stay close by? Then open “Change the scene” and move the toys: the maps follow the toys, not the places.

# %% [markdown]
# ## Thinking
#
# Attention carries numbers from place to place, but it only ever takes weighted means of them. To make something new of what was
# gathered, each place goes through a small network on its own: a linear layer to more numbers, a bend, a linear layer back. The
# bend is what matters. Two linear layers in a row are one linear layer.
#
# SigLIP's bend is the {term}`GELU` {cite}`hendrycks2016gaussian`: x times the probability that a number drawn from the standard normal distribution is below x. It lets large
# numbers through, stops very negative ones, and is smooth between. There are two formulas in use: the exact one, and an older
# approximation with tanh. SigLIP and Gemma were trained with the approximation.

# %% mystnb={"image": {"alt": "Left: the GELU, close to zero for negative x, close to x for positive x. Right: the difference between the two formulas, a wave of at most half a thousandth."}, "figure": {"caption": "Left: the GELU. Right: exact minus tanh. You cannot see the difference in the left picture, but a model that was trained with one and run with the other gives other numbers.", "name": "fig-ch03-gelu"}} tags=["hide-input"]
values = torch.linspace(-4, 4, 400)
exact = nn.functional.gelu(values)
approximate = nn.functional.gelu(values, approximate="tanh")
fig, axes = plt.subplots(1, 2, figsize=(7.2, 2.6), layout="constrained")
axes[0].plot(values, approximate, color="#0072B2")
axes[0].set(xlabel="x", ylabel="GELU(x)")
axes[1].plot(values, exact - approximate, color="#D55E00")
axes[1].set(xlabel="x", ylabel="exact − tanh")
plt.show()

# %%
mlp = tower.vision_model.encoder.layers[0].mlp
inside = torch.randn(1000, config.hidden_size, generator=torch.Generator().manual_seed(0))
with_exact = mlp.fc2(nn.functional.gelu(mlp.fc1(inside)))
print(
    f"largest difference in the trained layer's output: {(mlp(inside) - with_exact).abs().max():.4f}"
)

# %% [markdown]
# That is small, and it is the kind of mistake that no picture shows. It is why a from-scratch model has to be compared with a
# reference, number by number, and why your exercises are.
#
# ## The block
#
# A block is both steps, looking and thinking, in a frame that makes many of them trainable. The frame has two parts.
#
# The {term}`residual connection` {cite}`he2015deep`: each step does not replace the vector, it adds to it. What a patch knew is still there, and the
# step need only learn what to add. And the gradient has a way straight down through the sums.
#
# {term}`LayerNorm` {cite}`ba2016layer`: before each step a vector's numbers are shifted and scaled to mean 0 and variance 1, and then to a learned scale and
# shift. So a step sees numbers of a known size, however much has been added up. The norm stands *before* the step and not on the
# sum ({term}`pre-norm` {cite}`xiong2020layer`); the sum itself is left alone. With $\mu$ and $\sigma^2$ for mean and variance of a vector's D entries, and $\gamma$ and $\beta$ for the scale and shift that are learned, entry by entry:
#
# $$\operatorname{LayerNorm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta$$
#
# ($\odot$ multiplies entry by entry.) The small $\epsilon$, `eps`, is there so that it never divides by zero: 1e-6
# in SigLIP, where PyTorch's default is 1e-5.


# %% tags=["from:vlm.siglip.SiglipEncoderLayer"]
class SiglipEncoderLayer(nn.Module):
    """One pre-norm block: look around, then think; each adds to what is there."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = SiglipAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SiglipMLP(config)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        hidden_states = hidden_states + self.self_attn(self.layer_norm1(hidden_states))[0]
        return hidden_states + self.mlp(self.layer_norm2(hidden_states))


# %%
vector = torch.tensor([1.0, 2.0, 3.0, 6.0])
by_hand = (vector - 3) / (
    3.5 + 1e-6
) ** 0.5  # the mean is 3, the variance (4 + 1 + 0 + 9) / 4 = 3.5
assert torch.allclose(nn.functional.layer_norm(vector, (4,), eps=1e-6), by_hand)
print([round(v, 3) for v in by_hand.tolist()])

# %% [markdown]
# ## The tower
#
# Embeddings, blocks, and one more LayerNorm at the end, because the sums were never normalised. That is the whole tower.


# %% tags=["from:vlm.siglip.SiglipEncoder"]
class SiglipEncoder(nn.Module):
    """The stack of blocks."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.layers = nn.ModuleList(
            SiglipEncoderLayer(config) for _ in range(config.num_hidden_layers)
        )

    def forward(self, hidden_states: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        return hidden_states


# %% tags=["from:vlm.siglip.SiglipVisionTransformer"]
class SiglipVisionTransformer(nn.Module):
    """Embeddings, blocks, and a last LayerNorm."""

    def __init__(self, config: SiglipVisionConfig):
        super().__init__()
        self.embeddings = SiglipVisionEmbeddings(config)
        self.encoder = SiglipEncoder(config)
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.post_layernorm(self.encoder(self.embeddings(pixel_values)))


# %% [markdown]
# Check it with the trained weights: against the shipped tower, and against the tower in *transformers*.

# %%
from transformers import SiglipVisionConfig as ReferenceConfig
from transformers import SiglipVisionModel as Reference

ours = SiglipVisionTransformer(config)
ours.load_state_dict(tower.vision_model.state_dict())
assert torch.equal(ours(pixel_values), output)

reference = Reference(
    ReferenceConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        vision_use_head=False,
    )
)
lacking, surplus = reference.load_state_dict(tower.vision_model.state_dict(), strict=False)
print("weights that found no place:", surplus, " weights that were not given:", lacking)
difference = (reference.eval()(pixel_values).last_hidden_state - output).abs().max().item()
print("largest difference below 1e-4:", difference < 1e-4)
assert difference < 1e-4 and not surplus

# %% [markdown]
# What does each block add to what the patches know? Take the patch in the cat's face once more, and ask after each block which
# patches have become like it. Before you look: what will change more from block to block, the other cat or the grass?

# %% mystnb={"image": {"alt": "Five maps of the scene: after the embeddings and after each of four blocks. Both cats are bright in all of them. The grass is half similar at first and dark at the end."}, "figure": {"caption": "Similarity to the patch marked in white, from the embeddings to the last block. The other cat is similar from the start, by its colour, and stays so. What changes is the rest: with each block the grass moves further away.", "name": "fig-ch03-depth"}} tags=["hide-input"]
states = [ours.embeddings(pixel_values)]
for block in ours.encoder.layers:
    states.append(block(states[-1]))
fig, axes = plt.subplots(1, 5, figsize=(7.6, 2.2), layout="constrained")
for depth, (ax, state) in enumerate(zip(axes, states)):
    similarity = torch.cosine_similarity(state[0], state[0, LOOKING], dim=-1)  # [N]
    layer = draw_patch_values(image, similarity.clamp(min=0), ax, vmax=1)
    mark(ax, LOOKING)
    ax.set_title("embeddings" if depth == 0 else f"block {depth - 1}", fontsize=9)
fig.colorbar(layer, ax=axes, label="cosine similarity", shrink=0.8)
plt.show()

# %% [markdown]
# That was one patch of one scene. In the figure below you choose both. Take a patch inside a toy, and compare the first two rows of the table, those of its own kind and of the other toys. Where will the gap between them open: at the embeddings, little by little in the blocks, or at the end? And will the similarity to other toys fall from block to block, or can it rise?
#
# <div class="live-figure" data-figure="similarity">
# <p>This figure needs JavaScript. The figure above shows the maps for one patch. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("similarity")

# %% [markdown]
# It can rise. In the first block each patch takes in something of the whole image, and what all have taken in makes all of them more alike, other toys included. In most scenes it is the row of the patch's own kind that rises further, from block to block. The gap opens at the end. A linear map can make directions small that all patches share, and the projector does; what is left is what tells them apart. So a high cosine in the middle of a network does not say that the network can't tell two things apart. Now choose a patch of ground that touches a toy, and one far from all toys. Both show nothing but ground, and still their maps differ: the layers have told the first what is beside it.
#
# The package wraps this class once more, as `SiglipVisionModel`, only so that the names of its weights are those of the published checkpoints. The published tower (So400m: its shape was optimised {cite}`alabdulmohsin2023getting`, its size is
# 400 million weights) is the same code with other numbers: 27 blocks, 16 heads of 72 numbers, D = 1,152. Everything you saw
# here was learned from toys, in the two hours that trained the whole model. How a tower can learn to look from pictures and texts of the web, without boxes
# or labels, is the next chapter's question.
#
# ## Exercises
#
# Open `exercises/ch03_attention.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch03_attention.py
# ```
#
# ### `split_heads` (1 point, 5 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which axis has to be cut in two? Which two axes have to change places afterwards?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `unflatten(-1, (A, E))` cuts the last axis. Then the shape is [B, N, A, E], and you want [B, A, N, E].
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: split_heads
# ```
# ````
#
# ### `attend` (2 points, 10 minutes)
#
# The finished functions of PyTorch and of the package refuse to work here. `softmax` is allowed.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Four steps: scores, scaling, softmax, mixture. For each, write down the shape. Over which axis do the weights of one query sum to 1?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `key.transpose(-2, -1)` is [B, A, E, N]. A product of `query` with it is [B, A, N, N]: row i is query i.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: attend
# ```
# ````
#
# ### `SiglipAttention` (2 points, 15 minutes)
#
# The layer. You may use your two functions. Its four linear layers must have the names given in the file, because trained weights
# are loaded into them.
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three projections, three splits, one attention, one merge, one projection. What is E, and so the scaling?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Merging is splitting backwards: first exchange the axes of heads and places, then join heads and numbers.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: SiglipAttention
# ```
# ````
#
# ### `SiglipMLP` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# `nn.functional.gelu` has an argument `approximate`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: SiglipMLP
# ```
# ````
#
# ### `SiglipEncoderLayer` (2 points, 10 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Two sums. What is added in each, and to what? The second starts from the result of the first.
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# `nn.LayerNorm` has an eps of its own if you do not give it one. The grader tries inputs so small that it shows.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: SiglipEncoderLayer
# ```
# ````
#
# ### `hidden_states_of` (1 point, 5 minutes)
#
# The list that the last figure was drawn from, with the tower's output at its end.
#
# ```{admonition} Hint
# :class: dropdown
# One item for the embeddings, one for each block, one for the last LayerNorm. Each block takes the item before it.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch03_attention.py
# :pyobject: hidden_states_of
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch03_attention")

# %% [markdown]
# ## Summary
#
# Attention is a weighted mean. Queries and keys give scores, divided by √E so that the softmax stays soft; the softmax makes weights of
# them, and the weights mix the values. Heads do this side by side on parts of the vectors. A block adds to each vector
# what it gathered by looking, then what it made of it by thinking, each time from a normalised copy. Four blocks on our embeddings
# are a {term}`vision tower`, and 27 larger ones are Google's.
#
# Nothing in this chapter said what the tower should look *for*. In the next one it learns that, from pairs of pictures and texts.
