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
# # Self-attention and the SigLIP vision encoder: how do patches exchange information?
#
# A patch is 14 pixels wide. No patch holds a whole cat. To find one, patches must exchange information, and that is what the vision
# tower does: in each of its {term}`blocks <block>` (also called layers) every patch attends to all patches, takes in what it can use, and processes it. In this
# chapter you build such a block from scratch, stack four of them, and arrive at the package's `SiglipVisionModel`.
#
# At the end you will be able to
#
# - compute {term}`attention` by hand for three positions, and say what each of its four steps is for;
# - split vectors into heads and put them together again, without mixing positions;
# - say what residual connections, LayerNorm and GELU do, and which of their details matter;
# - look into a trained tower, and see what each head attends to.
#
# Time: about 60 minutes to read and run, and 50 for the six exercises. Here is what we are after: one patch of a trained tower, and what it attends to.

# %% mystnb={"image": {"alt": "Four rows of six small maps of the same scene, one row for each layer, one column for each head. A white square marks the query patch, on a cat's face. The maps differ: some heads attend to the neighbors, some to both cats, some to the background."}, "figure": {"caption": "Heads specialize, although nothing in training tells them to: some attend to neighbors, some to the rest of the cat or to the other cat, some to the grass. The maps show the attention weights of the query patch marked in white; each row is a layer, each column one of its six heads.", "name": "fig-ch03-goal"}} tags=["hide-input"]
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


QUERY_PATCH = 4 * 8 + 2  # row 4, column 2: in the face of the large cat
fig, axes = plt.subplots(4, 6, figsize=(7.4, 5.2), layout="constrained")
for layer, row in enumerate(axes):
    for head, ax in enumerate(row):
        draw_patch_values(image, attention_of_layer[layer][head, QUERY_PATCH], ax)
        mark(ax, QUERY_PATCH)
        if layer == 0:
            ax.set_title(f"head {head}", fontsize=9)
        if head == 0:
            ax.set_ylabel(f"layer {layer}", fontsize=9)
plt.show()

# %% [markdown]
# ## Attention is a weighted mean
#
# How can one vector take in what is in others? The simplest way is a mean: replace each vector by the mean of all. Then every patch knows something of the whole image, but they all hold the same vector, and a patch's own information is gone. The next
# idea is a *weighted* mean, with weights that each patch chooses for itself: large for the patches that matter to it,
# small for the rest. The weights should be positive and sum to 1.
#
# Take three positions with two numbers each, small enough to follow with a pencil.

# %%
x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])  # [N, D]
print("plain mean, the same for every position:", x.mean(0).tolist())

# %% [markdown]
# Which positions matter to which? Let us say that vectors matter to each other if they point in the same direction. The {term}`dot product` measures that (and grows with their lengths). It gives one score for each pair: row i, column j says how much position j matters to position i.

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
print("weights of position 0:", [round(w, 3) for w in weights[0].tolist()])
print("weighted mean:        ", [round(v, 3) for v in mixed[0].tolist()])

# %% [markdown]
# One limitation remains. Each position uses the same vector to search, to be found, and to pass on information. But an ear may search for eyes,
# and what it needs to learn from them may be something else again. So each vector gets three roles, computed by three
# linear layers. The {term}`query` says what a position searches for. The {term}`key` says what it can be found by. The {term}`value` is what
# it passes on. Queries are compared with keys, and the result is a weighted sum of values.
#
# ## Scaled dot-product attention: scores, weights, weighted sum
#
# One detail is missing, and it is a number. The longer the vectors, the larger their dot products, just because there are more terms
# to add. If a query and a key have E random numbers each, independent, with mean 0 and standard deviation 1, then the sum of their E products has the standard deviation √E. What does that do to
# the softmax? Before you run the cell: which of the three rows will be closest to "all the weight on one position"?

# %%
torch.manual_seed(0)
for E in (4, 64, 1024):
    queries, keys = torch.randn(1000, E), torch.randn(64, E)
    scores = queries @ keys.T  # [1000, 64]
    plain = scores.softmax(-1).amax(-1)  # [1000]
    scaled = (scores / E**0.5).softmax(-1).amax(-1)  # [1000]
    print(
        f"E = {E:4}: largest of 64 weights {plain.mean():.2f}, "
        f"with scores divided by √E {scaled.mean():.2f} (mean of 1,000 queries)"
    )

# %% [markdown]
# Without the division, long vectors put nearly all the weight on a single position, and the gradient of the weights is nearly zero: the model could
# not learn to attend elsewhere. After division by √E, the weights stay soft whatever E is ("Attention Is All You Need", arXiv 1706.03762 {cite}`vaswani2017attention`,
# section 3.2.1). Here are the four steps for one query:

# %% tags=["hide-input"]
from figures.schematics.attention_steps import draw_attention_steps
from IPython.display import HTML

drawing = draw_attention_steps([1, 2], [[2, 1], [0, 1], [-1, 0]], [[4, 0], [0, 4], [2, 2]])
HTML(
    drawing.html(
        "Attention for one query, with numbers that you can check by hand: a dot product "
        "with each key, divided by √E (E = 2), a softmax over the three scores, "
        "and the sum of the three values, each times its weight."
    )
)

# %% [markdown]
# As the paper writes it, with the queries as rows of $Q$, the keys as rows of $K$ and the values as rows of $V$:
#
# $$\operatorname{Attention}(Q, K, V) = \operatorname{softmax}\!\left(\frac{Q K^{\top}}{\sqrt{E}}\right) V$$
#
# The product $Q K^{\top}$ is the matrix of attention scores, with a row for each query, and the softmax makes each row sum to 1.
#
# Now we have all the pieces. This is the package's function, the one that SigLIP and Gemma both call. It has some features that we do not need yet. The mask is added to the scores, very negative where attention is not allowed; that matters for generating text. There may be fewer queries (Q) than keys (S); here both are N. `softcap` keeps the scores within bounds; only PaliGemma 2 uses it. And the softmax runs in float32, because in 16 bits a sum of
# thousands of small weights would lose too much precision.


# %% tags=["from:vlm.attention.attention"]
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    mask: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """For each query, average the values, weighted by how well their keys match it."""
    scores = query @ key.transpose(-2, -1) * scaling  # [B, A, Q, S]
    if softcap is not None:
        scores = soft_cap(scores, softcap)
    if mask is not None:
        scores = scores + mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return weights @ value, weights


# %%
mixed_again, _ = attention(x, x, x, scaling=1.0)
assert torch.allclose(mixed_again, mixed)  # our three positions, query = key = value

# %% [markdown]
# ## Multi-head attention
#
# A single weighted mean answers a single question. A patch may want to ask several at once: what is to my left, where is the rest of me, is there
# another one like me? So the queries, the keys and the values are split into A slices each, called {term}`heads <head>`, and each head computes its own attention with
# its own weights.[^ch03-1] Our tower has D = 192 and A = 6, so each head has E = 32 numbers.

# %% tags=["hide-input"]
from figures.schematics.heads import draw_heads
from IPython.display import HTML

drawing = draw_heads(config)
HTML(
    drawing.html(
        "Heads are slices of the same vectors: split D, move the heads before the "
        "positions, attend, and put everything back. Three positions are drawn; each "
        "shade is a head."
    )
)

# %% [markdown]
# Splitting takes a reshape and, once more, a transpose: for the matrix products the axis of heads has to come before the axis of positions, next to the batch. Here is what happens without the transpose. We number the elements so that you can recognize them: 0 to 3 at position 0, 10 to 13 at position 1, 20 to 23 at position 2.
#
# [^ch03-1]: Each head's slice is computed from the whole vector: the linear layers come before the split.

# %%
states = torch.tensor([[[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]])  # [B, N, D]
wrong = states.reshape(1, 2, 3, 2)  # supposedly [B, A, N, E]
right = states.reshape(1, 3, 2, 2).transpose(1, 2)  # [B, N, A, E] -> [B, A, N, E]
print("wrong, head 0:", wrong[0, 0].tolist())
print("right, head 0:", right[0, 0].tolist())
assert right[0, 0].tolist() == [[0, 1], [10, 11], [20, 21]]  # first half of each

# %% [markdown]
# The wrong result has the right shape. Its head 0 treats the two halves of position 0 as two positions, and position 2 never appears in it.
#
# After the attention, the outputs of the heads are concatenated, and a last linear layer mixes them. This is the layer as in the
# package. It returns its weights too, so that we can draw them.


# %% tags=["from:vlm.siglip.SiglipAttention"]
class SiglipAttention(nn.Module):
    """Multi-head self-attention over the patches; each patch attends to all patches."""

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
        # [B, A, N, E], [B, A, N, N]
        mixed, weights = attention(query, key, value, self.scaling)
        mixed = mixed.transpose(1, 2).flatten(2)  # [B, N, D]
        return self.out_proj(mixed), weights

    def split_heads(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, A, N, E]


# %% [markdown]
# The heads of the trained tower differ in what they do. One way to measure this: how far away, on average, are the patches that
# a head attends to?

# %% mystnb={"image": {"alt": "Dots for six heads in each of four layers. In layer 0 they lie around the dashed line of uniform attention, at about four patches; in the later layers between two and nearly four."}, "figure": {"caption": "Later layers attend more locally. Each dot is the mean attention distance of one head: the distance, in patches, between query and key, weighted by attention and averaged over all 64 queries of our image. The dashed line is the distance of uniform attention. In layer 0 the heads are near that line (which does not mean that their attention is uniform); later they are below it.", "name": "fig-ch03-distance"}} tags=["hide-input"]
y, x_ = torch.arange(64) // 8, torch.arange(64) % 8
distance = ((y[:, None] - y) ** 2 + (x_[:, None] - x_) ** 2).sqrt()  # [N, N]
fig, ax = plt.subplots(figsize=(5.2, 3), layout="constrained")
for layer, weights in enumerate(attention_of_layer):
    means = (weights * distance).sum(-1).mean(-1)  # [A]
    ax.scatter([layer] * len(means), means, color="#0072B2")
ax.axhline(distance.mean(), color="#D55E00", linestyle="--")
ax.set(
    xlabel="layer", ylabel="mean attention distance (patches)", xticks=range(4), ylim=(0, None)
)
plt.show()

# %% [markdown]
# A patch on a toy and a patch of ground ask for different things. Choose a patch on a cat's face in the figure, then move the query with the arrow keys, one patch at a time. Before you do: where will the 24 maps change most, inside the face, in the grass, or at the edge between the two?
#
# <div class="live-figure" data-figure="attention-lab" data-view="tower">
# <p>This figure needs JavaScript. The figure at the beginning of this chapter shows the same maps for one patch. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="tower")

# %% [markdown]
# At the edge. A query is computed from the content of the patch, so two neighboring patches of grass ask nearly the same question, and their maps look alike although the patches are in different places. Two patches of one face differ a little more; when the query steps from fur to grass, most maps change at once. Choose the other cat next: which heads attend from one cat to the other, and which stay near the query? Then open “Change the scene” and move the toys: the maps follow the toys, not the positions.
#
# ## The MLP and its nonlinearity, GELU
#
# Attention moves information between positions, but it only ever takes weighted means of the values. To make something new of what was
# gathered, each position goes through a small network of its own, the {term}`MLP` (or feed-forward network): a linear layer to a larger width, a {term}`nonlinearity`, a linear layer back. The
# nonlinearity is essential: without it, two linear layers in a row amount to a single linear layer.
#
# SigLIP's nonlinearity is the {term}`GELU` {cite}`hendrycks2016gaussian`: x times the probability that a number drawn from the standard normal distribution is below x. It passes large
# positive numbers, suppresses very negative ones, and is smooth in between. Two formulas are in use: the exact one, and an
# approximation with tanh; both are in the same 2016 paper. SigLIP and Gemma were trained with the approximation.

# %% mystnb={"image": {"alt": "Left: the GELU, close to zero for negative x, close to x for positive x. Right: the difference between the two formulas, a wave of at most 0.0005."}, "figure": {"caption": "The two formulas for the GELU differ by at most 0.0005, far too little to see on the left. Still, a model that was trained with one and runs with the other computes different numbers. Left: the GELU. Right: the exact formula minus the one with tanh.", "name": "fig-ch03-gelu"}} tags=["hide-input"]
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
generator = torch.Generator().manual_seed(0)
inputs = torch.randn(1000, config.hidden_size, generator=generator)
with_exact = mlp.fc2(nn.functional.gelu(mlp.fc1(inputs)))
difference = (mlp(inputs) - with_exact).abs().max()
print(f"largest difference in the trained MLP's output: {difference:.4f}")

# %% [markdown]
# That is small, and you would not notice such a mistake in any answer. This is why a from-scratch model, like your exercises, has to be compared with a reference, number by number.
#
# ## The transformer block: residual connections and LayerNorm
#
# A block is both steps, attention and MLP, in a frame that makes a deep stack of them trainable. The frame has two parts.
#
# The {term}`residual connection` {cite}`he2015deep`: a step does not replace the vector, it adds to it. What a patch knew is still there, and the
# step only has to learn what to add. And the gradient has a direct path down through the sums. The running sum at each position, from the first block to the last, is called the {term}`residual stream`.
#
# {term}`LayerNorm` {cite}`ba2016layer`: before each step, a vector's numbers are shifted and scaled to mean 0 and variance 1, then multiplied by a learned scale and shifted by a learned
# bias. So the input of a step has a known size, however much has been added up. The norm comes *before* the step and applies to its input alone ({term}`pre-norm` {cite}`xiong2020layer`); the sum itself is not normalized. With $\mu$ and $\sigma^2$ for the mean and variance of a vector's D entries, and $\gamma$ and $\beta$ for the learned scale and bias, entry by entry:
#
# $$\operatorname{LayerNorm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta$$
#
# ($\odot$ multiplies entry by entry.) The small $\epsilon$, `eps`, prevents a division by zero: it is 1e-6 in SigLIP, while PyTorch's default is 1e-5. The drawing shows where all parts of a block go.

# %% tags=["hide-input"]
from figures.schematics.block import draw_block
from IPython.display import HTML

drawing = draw_block(config)
HTML(
    drawing.html(
        "The residual stream is the straight line; attention and MLP read it through a "
        "norm, and add to it. Attention is the only step in which positions exchange "
        "information."
    )
)


# %% tags=["from:vlm.siglip.SiglipEncoderLayer"]
class SiglipEncoderLayer(nn.Module):
    """Pre-norm block: attention, then MLP, each with a residual connection."""

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
# The mean is 3, the variance is (4 + 1 + 0 + 9) / 4 = 3.5.
by_hand = (vector - 3) / (3.5 + 1e-6) ** 0.5
assert torch.allclose(nn.functional.layer_norm(vector, (4,), eps=1e-6), by_hand)
print([round(v, 3) for v in by_hand.tolist()])

# %% [markdown]
# ## The vision tower: the whole SigLIP encoder
#
# Embeddings, blocks, and one more LayerNorm at the end, because the residual stream was never normalized. That is the whole tower.


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
    """Embeddings, blocks, and a final LayerNorm."""

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
weights = tower.vision_model.state_dict()
missing, unexpected = reference.load_state_dict(weights, strict=False)
print("unexpected keys:", unexpected, " missing keys:", missing)
reference_output = reference.eval()(pixel_values).last_hidden_state
difference = (reference_output - output).abs().max().item()
print("largest difference below 1e-4:", difference < 1e-4)
assert difference < 1e-4 and not unexpected

# %% [markdown]
# What does each block add to what the patches know? Take the patch in the cat's face once more, and ask after each block which patches are similar to it. Before you look: which similarity will change more from block to block, that of the other cat or that of the grass?

# %% mystnb={"image": {"alt": "Five maps of the scene: after the embeddings and after each of four blocks. Both cats are bright in all of them. The grass is moderately bright at first and dark at the end."}, "figure": {"caption": "With each block the grass becomes less similar to the cat. The maps show the cosine similarity to the patch marked in white, from the embeddings to the last block. The other cat is similar from the start, because of its color, and stays so.", "name": "fig-ch03-depth"}} tags=["hide-input"]
states = [ours.embeddings(pixel_values)]
for block in ours.encoder.layers:
    states.append(block(states[-1]))
fig, axes = plt.subplots(1, 5, figsize=(7.6, 2.2), layout="constrained")
for depth, (ax, state) in enumerate(zip(axes, states)):
    similarity = torch.cosine_similarity(state[0], state[0, QUERY_PATCH], dim=-1)  # [N]
    layer = draw_patch_values(image, similarity.clamp(min=0), ax, vmax=1)
    mark(ax, QUERY_PATCH)
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
# It can rise. In the first block each patch takes in something of the whole image, and this shared content makes all patches more alike, other toys included. In most scenes it is the row of the patch's own kind that rises further, from block to block. The gap opens at the end. A linear map can shrink the directions that all patches share, and the projector does; what remains is what tells the patches apart. So a high cosine similarity in the middle of a network does not mean that the network cannot distinguish two things. Now choose a patch of ground that touches a toy, and one far from all toys. Both show nothing but ground, and still their maps differ: attention has told the first what is beside it.
#
# The package wraps this class once more, as `SiglipVisionModel`, only so that its weights have the same names as in the published checkpoints. The published tower (So400m, "shape-optimized" {cite}`alabdulmohsin2023getting`, with about 400 million weights) is the same code with other sizes: 27 blocks, 16 heads of 72 numbers, D = 1,152.
#
# Everything you saw here was learned from toys, in the two hours that trained the whole model. The maps are so clean because the tower was also trained to name what is under each patch; Google's tower had no such labels. How a tower can learn from images and texts of the web, without boxes
# or labels, is the next chapter's question.
#
# ## Exercises
#
# Open `exercises/ch03_attention.py`, write what is missing, and grade it here or in a terminal:
#
# ```text
# pytest exercises/test_ch03_attention.py
# ```
#
# ### `split_heads` (1 point, 5 minutes)
#
# Give each head its slice of every vector, as in the section on multi-head attention.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: split_heads
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which axis has to be split in two? Which two axes have to be swapped afterward?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `unflatten(-1, (A, E))` splits the last axis. Then the shape is [B, N, A, E], and you want [B, A, N, E].
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
# Compute scaled dot-product attention, step by step. The ready-made functions of PyTorch and of the package raise an error here; `softmax` is allowed.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: attend
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Four steps: scores, scaling, softmax, weighted sum. For each, write down the shape. Over which axis do the weights of one query sum to 1?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `key.transpose(-2, -1)` is [B, A, E, N]. The product of `query` with it is [B, A, N, N]: row i is query i.
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
# Build the layer. You may use your two functions. Its four linear layers must have the names given in the file, because trained weights
# are loaded into them.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: SiglipAttention
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three projections, three splits, one attention, one merge of the heads, one projection. What is E, and so the scaling?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Merging the heads is splitting in reverse: first swap the axes of heads and positions, then join heads and numbers.
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
# Build the MLP, with the GELU that SigLIP was trained with.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: SiglipMLP
# ```
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
# Build the block from the two layers before, with its norms and residual connections.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: SiglipEncoderLayer
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Two sums. What is added in each, and to what? The second starts from the result of the first.
# ```
# ```{admonition} Hint 2: a detail
# :class: dropdown
# `nn.LayerNorm` uses a default eps if you do not pass one. The grader tries inputs so small that the difference shows.
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
# Return the list of {term}`hidden states <hidden state>` from which the last figure was drawn, with the tower's output at its end.
#
# ```{literalinclude} ../exercises/ch03_attention.py
# :pyobject: hidden_states_of
# ```
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
# Attention is a weighted mean of values. Queries and keys give scores, divided by √E so that the softmax stays soft; the softmax turns them into
# weights. Heads do this in parallel on slices of the vectors. A transformer block adds two things to the residual stream: the
# output of the attention, then the output of the MLP, each computed from a normalized copy. Patch embeddings, four blocks and a last LayerNorm make up our {term}`vision tower`; Google's has 27 larger blocks.
#
# Nothing in this chapter said what the tower should pay attention *to*. In the next chapter it learns that, from pairs of images and texts.
