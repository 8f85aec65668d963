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
# # Grouped-query attention: why do query heads share keys and values?
#
# Gemma's attention is the tower's, with three changes. Queries and keys are rotated by their positions; that was the last chapter. Some positions
# are masked, because a model that generates must not attend to tokens that it has yet to predict. And several query heads share one head of keys and
# values. This last change saves memory and time: fewer keys and values have to be stored for a long sequence (in the {term}`KV cache`), and fewer have to be read for each new token.
#
# At the end you will be able to
#
# - say which query head uses which key/value head, and why the wrong order goes unnoticed in PaliGemma 3B;
# - mask a position without producing a NaN, in float32 and in 16 bits;
# - compute how much memory the keys and values of a sequence take;
# - write `GemmaAttention` as in the package, and the block around it.
#
# Time: about 45 minutes to read and run, and 55 for the five exercises. Here are all 16 heads of the trained model at work, while it generates four boxes.

# %% mystnb={"image": {"alt": "A grid of 16 small attention maps, four layers by four heads. Rows are the 27 steps of an answer and one more for its last token, columns its tokens. Some maps are nearly empty; in others bright cells follow the diagonal, or form columns at the beginning of each box."}, "figure": {"caption": "Heads have different jobs: where each one attends among the answer's own tokens. Rows are the steps (query positions), columns the tokens (key positions); bright is a weight of 0.6 or more. Above each map: layer/head and the fraction of the weight that goes to the image. Empty maps belong to heads that attend to the image, or to the prompt, which is not drawn. Near the diagonal: layer 3 head 0 attends one token back, at times two, and layer 0 head 3 mostly two. Layer 0 head 2 and layer 3 head 1 stay on one token for several steps: the first edge of a box, or the `;` before it.", "name": "fig-ch08-goal"}} tags=["hide-input"]
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.attention import attention
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import GemmaConfig
from vlm.gemma import GemmaMLP, GemmaRMSNorm, apply_rotary_pos_emb, rotary_cos_sin
from vlm.generate import generate
from vlm.inside.recording import record_attention
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
N = model.config.vision_config.num_image_tokens
processor = PaliGemmaProcessor.for_model(model, tokenizer)
layers = model.language_model.model.layers
image, prompt = example_image(0), "detect cat ; bird"
[answer] = generate(model, processor, prompt, image)
S = processor([prompt], [image])["input_ids"].shape[1]  # image and prompt
inputs = processor([prompt], [image], suffix=[answer])
del inputs["labels"]
with record_attention(model.language_model) as recorded:
    expected = model(**inputs).logits
# each [A, steps, all]
attention_of_layer = [weights[0][0, :, S - 1 :] for weights in recorded.values()]

fig, axes = plt.subplots(4, 4, figsize=(7.6, 8), layout="constrained", sharex=True, sharey=True)
for layer, row in enumerate(axes):
    for head, ax in enumerate(row):
        weights = attention_of_layer[layer][head]  # [steps, all]
        drawn = ax.imshow(weights[:, S:], cmap="cividis", vmin=0, vmax=0.6)
        ax.set_title(f"{layer}/{head}: image {weights[:, :N].sum(-1).mean():.0%}", fontsize=9)
fig.supxlabel("key position (token of the answer)")
fig.supylabel("query position (step)")
fig.colorbar(drawn, ax=axes, label="attention weight", shrink=0.4)
plt.show()

# %% [markdown]
# ## Sharing key/value heads
#
# Each head of the tower has queries, keys and values of its own. Gemma has A query heads, but only K key/value heads, and each key/value head
# serves a group of A / K neighboring query heads. Our model has A = 4 and K = 2: query heads 0 and 1 use key/value head 0, and query heads 2 and 3 use key/value head 1. PaliGemma
# 3B goes all the way to K = 1 ({term}`multi-query attention`, MQA, arXiv 1911.02150 {cite}`shazeer2019fast`); PaliGemma 2 3B goes back to K = 4 with A = 8 ({term}`grouped-query attention`, GQA, arXiv 2305.13245 {cite}`ainslie2023gqa`).

# %% tags=["hide-input"]
from figures.schematics.head_sharing import draw_head_sharing
from IPython.display import HTML

drawing = draw_head_sharing(8, {"MHA": 8, "GQA": 4, "MQA": 1})
HTML(
    drawing.html(
        "Fewer key/value heads make the cache smaller by the same factor. MHA is what "
        "the tower does, GQA what PaliGemma 2 3B does, MQA what PaliGemma 3B does. Lines "
        "join each query head to the key/value head that it uses."
    )
)

# %% [markdown]
# The naive way to compute it: give each query head a copy of its key/value head, and go on as before. Two functions of PyTorch make copies, and only one of them puts them in the right order. Before you
# run the cell: which one?

# %%
names = torch.tensor([10, 20])  # names of two key/value heads
print("repeat:           ", names.repeat(2).tolist())
print("repeat_interleave:", names.repeat_interleave(2).tolist())

# %% [markdown]
# Query heads 0 and 1 should both get the one named 10, so it is `repeat_interleave`. With K = 1 both functions give the same result. That is why code with the wrong one can run PaliGemma 3B, pass every test on it, and
# fail on the first model with K = 2. Ours has K = 2 for this reason.


# %% tags=["from:vlm.gemma.repeat_kv"]
def repeat_kv(states: Tensor, num_groups: int) -> Tensor:
    """Copy key/value heads for the query heads: [B, K, T, E] -> [B, A, T, E].

    Neighbors share: with K = 2 and A = 4, query heads 0 and 1 use key/value head 0, and
    query heads 2 and 3 use key/value head 1.
    """
    return states.repeat_interleave(num_groups, dim=1)


# %% [markdown]
# What does the wrong order do to the trained model?

# %%
from vlm import gemma

gemma.repeat_kv = lambda states, num_groups: states.repeat(1, num_groups, 1, 1)
print("repeat:           ", generate(model, processor, "caption en", image, 12)[0])
gemma.repeat_kv = repeat_kv
print("repeat_interleave:", generate(model, processor, "caption en", image, 12)[0])

# %% [markdown]
# Which heads get the wrong one? The right order is 0, 0, 1, 1, and `repeat` gives 0, 1, 0, 1: query heads 0 and 3 have the right key/value head in both. So half of the heads of each layer work as they should. Will half of an answer be right? Choose prompts, move the toys, and try to find a scene that survives.
#
# <div class="live-figure" data-figure="break-it" data-bugs="heads-tiled" data-tasks="caption detect count">
# <p>This figure needs JavaScript. The cell above makes the same mistake in Python. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", bugs="heads-tiled", tasks="caption detect count")

# %% [markdown]
# We found none: on 16 scenes, not one caption and not one list of boxes was left unchanged. The output projection (`o_proj`) sums the contributions of the heads, so two wrong heads of four spoil the sum at every position, and the next layer reads that sum. With K = 1 the two orders are the same, and all error bars in the figure would be 0: no input to PaliGemma 3B can reveal this bug.
#
# Do heads that share keys attend to the same tokens? Each has its own queries, so they need not. Compare the weights of all pairs of heads, over all steps of the answer.

# %%
for layer, weights in enumerate(attention_of_layer):
    rows = nn.functional.normalize(weights.flatten(1), dim=-1)  # [A, steps * all]
    similar = rows @ rows.T  # [A, A]
    sharing = (similar[0, 1] + similar[2, 3]) / 2
    others = similar[:2, 2:].mean()
    print(
        f"layer {layer}: cosine {sharing:.2f} between heads that share keys, "
        f"{others:.2f} between others"
    )

# %% [markdown]
# Heads that share keys are more similar in every layer, but in most layers they are far from equal. In the figure at the beginning, look at layer 2: head 0 attends to the third edge of each box, head 1 to the token three before the one that is being generated.
#
# ## Masking: the additive attention mask
#
# To mask a position is to give it an attention weight of 0. You cannot set weights to 0 after the softmax, because then the others would no longer sum to 1. So you do it before: if a score is
# far below all others, the softmax gives it a weight of 0. A {term}`mask` is added to the scores: 0 where a query may attend, a very negative number where it may not.

# %%
scores = torch.tensor([[1.0, 2.0, 3.0]])
may_attend = torch.tensor([[True, True, False]])
first_idea = scores + may_attend  # add 1 where it may attend
mask = torch.zeros(1, 3).masked_fill(~may_attend, -1e9)
print("0 and 1 added:", [round(w, 2) for w in first_idea.softmax(-1)[0].tolist()])
print("0 and -1e9:   ", [round(w, 2) for w in (scores + mask).softmax(-1)[0].tolist()])
e = math.e
assert torch.allclose(
    (scores + mask).softmax(-1), torch.tensor([[1 / (1 + e), e / (1 + e), 0]])
)

# %% [markdown]
# Adding 0 and 1 masks nothing. The mistake looks right on the page, because on paper one draws a mask with zeros and ones.
#
# How negative is negative enough? A round number like −1e9 works in float32. In float16 the largest number is 65,504, and −1e9 becomes minus infinity. That still masks, except in a row that
# may attend to nothing, such as that of a padding token: there all scores are minus infinity, and the softmax computes 0 / 0.

# %%
nowhere = torch.full((1, 3), -1e9).half()
broken = (scores.half() + nowhere).float().softmax(-1)
print("float16, -1e9:             ", broken[0].tolist())
lowest = torch.full((1, 3), torch.finfo(torch.float16).min).half()
kept = (scores.half() + lowest).float().softmax(-1)
print("float16, its lowest number:", [round(w, 2) for w in kept[0].tolist()])

# %% [markdown]
# A single NaN is enough to ruin a row: if the vector of one padding token is NaN, so is every vector that attends to it, even with weight 0, because 0 times NaN is NaN. So the package takes the lowest finite number of the dtype: then such a row
# gets equal weights, which do no harm. This does not solve everything: in float16 the lowest number and a score of −20 add up to minus infinity. That cannot happen in float32 or bfloat16, whose lowest number has such a large magnitude that adding a score does not change it; and PaliGemma's mask has no such row, as you will see. What the mask should allow is the subject of the next chapter. Here we take the one you saw in chapter 1.
#
# The softmax itself runs in float32, whatever dtype the model runs in, and the weights are cast back. In PyTorch that takes one argument.[^ch08-1]
#
# ## Gemma's attention layer
#
# Here is the whole layer, as in the package. Besides the mask, it differs from the tower's in six points: no biases; projections of two sizes; RoPE; the cache, which chapter 11 explains (without one, T is S); the copies of keys and values; and `softcap`, a limit on the attention scores, which only PaliGemma 2 has (chapter 15).
#
# [^ch08-1]: On a CPU, PyTorch's softmax computes in float32 internally anyway, so no grader that runs there can tell whether you asked for it.


# %% tags=["from:vlm.gemma.GemmaAttention"]
class GemmaAttention(nn.Module):
    """Grouped-query attention with RoPE: A query heads share K key/value heads."""

    def __init__(self, config: GemmaConfig, layer_idx: int):
        super().__init__()
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = config.head_dim**-0.5
        self.softcap = None  # Gemma 2 has one
        query_size = config.num_attention_heads * config.head_dim
        key_value_size = config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, query_size, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, key_value_size, bias=False)
        self.o_proj = nn.Linear(query_size, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        kv_cache: KVCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """[B, S, D] -> ([B, S, D], attention weights [B, A, S, T])."""
        query = apply_rotary_pos_emb(
            self.split_heads(self.q_proj(hidden_states)), cos, sin
        )  # [B, A, S, E]
        key = apply_rotary_pos_emb(
            self.split_heads(self.k_proj(hidden_states)), cos, sin
        )  # [B, K, S, E]
        value = self.split_heads(self.v_proj(hidden_states))  # [B, K, S, E]
        if kv_cache is not None:
            key, value = kv_cache.update(self.layer_idx, key, value)  # [B, K, T, E]
        # [B, A, T, E]
        key, value = repeat_kv(key, self.num_groups), repeat_kv(value, self.num_groups)
        # [B, A, S, E], [B, A, S, T]
        mixed, weights = attention(query, key, value, self.scaling, mask, self.softcap)
        mixed = mixed.transpose(1, 2).flatten(2)  # [B, S, A * E]
        return self.o_proj(mixed), weights

    def split_heads(self, states: Tensor) -> Tensor:
        # [B, heads, S, E]
        return states.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


# %% [markdown]
# One thing is easily taken for granted: that A heads of E entries make D. In our tower they do (6 · 32 = 192), in PaliGemma 3B too (8 · 256 = 2,048). In PaliGemma 2 3B they do not: 8 · 256 = 2,048, but D = 2,304. So E is a separate field of the config, {term}`head_dim`, and
# the scaling is 1/√E (except in PaliGemma 2 28B, which divides by another root: chapter 15). In our language model 4 · 32 = 128 = D, so code that computes E as D / A would work here. The exercise uses other sizes.
#
# The block around it has two norms, the attention, the MLP and two residual connections. You know all of its parts.


# %% tags=["from:vlm.gemma.GemmaDecoderLayer"]
class GemmaDecoderLayer(nn.Module):
    """Pre-norm block: attention, then gated MLP, each with a residual connection."""

    def __init__(
        self,
        config: GemmaConfig,
        layer_idx: int,
        attention_class: type[GemmaAttention] = GemmaAttention,
    ):
        super().__init__()
        self.input_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = attention_class(config, layer_idx)
        self.post_attention_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = GemmaMLP(config)

    def forward(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        kv_cache: KVCache | None = None,
    ) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        normed = self.input_layernorm(hidden_states)
        hidden_states = hidden_states + self.self_attn(normed, cos, sin, mask, kv_cache)[0]
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


# %% [markdown]
# The name `post_attention_layernorm` is a trap. It is not a norm on the output of the attention. It is the norm *before* the MLP, named after what precedes it. (PaliGemma 2 also has a norm on the output of the
# attention, and that one bears the name there. Chapter 15 comes back to it.)
#
# Check the block against *transformers*, with trained weights and a real mask.

# %%
from transformers import GemmaConfig as ReferenceConfig
from transformers.models.gemma.modeling_gemma import GemmaDecoderLayer as ReferenceLayer

total = inputs["input_ids"].shape[1]
hidden_states = torch.randn(
    1, total, config.hidden_size, generator=torch.Generator().manual_seed(0)
)
cos, sin = rotary_cos_sin(
    torch.arange(1, total + 1)[None], config.head_dim, config.rope_theta, torch.float32
)
attention_mask, token_type_ids = inputs["attention_mask"], inputs["token_type_ids"]
mask = make_prefix_lm_mask(attention_mask, token_type_ids, torch.float32)

# %%
ours = GemmaDecoderLayer(config, layer_idx=2)
reference = ReferenceLayer(
    ReferenceConfig(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        hidden_activation="gelu_pytorch_tanh",
        attn_implementation="eager",
    ),
    layer_idx=2,
).eval()
for block in (ours, reference):
    block.load_state_dict(layers[2].state_dict())
result = ours(hidden_states, cos, sin, mask)
theirs = reference(
    hidden_states, attention_mask=mask, position_embeddings=(cos[:, 0], sin[:, 0])
)
difference = (result - theirs).abs().max().item()
print("largest difference below 1e-4:", difference < 1e-4)
assert difference < 1e-4

# %% [markdown]
# How many of the 16 heads does an answer need? In the figure, ask for a caption, then choose a position, which is a patch of the image or a token. The large image and the small maps show where it attends; below each token of the answer you see the token that its position predicts. Then knock heads out, with the × on a map or the button below. A head that is knocked out adds nothing to its layer. Guess first: how many of the 16 heads change the caption when they alone are knocked out? And are they the ones with the brightest maps?
#
# <div class="live-figure" data-figure="attention-lab" data-view="heads" data-tasks="caption detect count">
# <p>This figure needs JavaScript. The figure at the beginning of this chapter shows the attention of all heads for one answer. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="heads", tasks="caption detect count")

# %% [markdown]
# Most heads can be removed, one at a time, and the caption stays the same. A few cannot: without them the model says something else entirely. The maps do not tell you which: a bright map says where a head reads, not whether anything later needs what it has read. (Note the ones that matter. In chapter 9 you can see what they read.) Now knock out several of the harmless ones together. The answer soon breaks: a layer that can spare any one of its heads may not be able to spare two.

# %% [markdown]
# ## What sharing saves: the size of the KV cache
#
# With fewer key/value heads, the matrices for keys and values become smaller, but they were never the largest. What counts is what has to be *kept*, in the KV cache. To generate the next token the model needs the keys and
# values of all tokens so far, so it reads all of them for every token it generates. Memory, and the time to read it, grow with K, not with A.
#
# By hand, for PaliGemma 3B in bfloat16: 2 (keys and values) · 18 layers · 1 head · 256 entries · 2 bytes = 18,432 bytes per token. With eight key/value heads it would be eight times that. How much is it for an image of 896 × 896 pixels, with its 4,096 tokens, and 128 tokens of text?

# %%
tokens = 4096 + 128
per_token = 2 * 18 * 1 * 256 * 2
megabytes = per_token * tokens / 1e6
print(f"{per_token:,} bytes per token, {megabytes:.0f} MB for {tokens:,} tokens")
print(f"with eight key/value heads: {8 * megabytes:.0f} MB")
assert per_token == 18_432

# %% mystnb={"image": {"alt": "Grouped bars for PaliGemma 3B, PaliGemma 2 3B, 10B and 28B: megabytes of keys and values for 4,224 tokens. With one key/value head per query head they would need 623 to 3,183 megabytes; as published 78 to 1,592; with a single one 78 to 182."}, "figure": {"caption": "Sharing keeps the KV cache small. Memory for the keys and values of one sequence of 4,224 tokens in bfloat16: with one key/value head per query head, as published, and with a single one. Weights are not counted.", "name": "fig-ch08-bytes"}} tags=["hide-input"]
published = {  # layers, A, K, E
    "PaliGemma\n3B": (18, 8, 1, 256),
    "PaliGemma 2\n3B": (26, 8, 4, 256),
    "PaliGemma 2\n10B": (42, 16, 8, 256),
    "PaliGemma 2\n28B": (46, 32, 16, 128),
}
fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for shift, (label, color, hatch, heads) in enumerate(
    (
        ("one per query head (K = A)", "#D55E00", "", lambda a, k: a),
        ("as published", "#0072B2", "//", lambda a, k: k),
        ("a single one (K = 1)", "#009E73", "..", lambda a, k: 1),
    )
):
    megabytes = [
        2 * n * heads(a, k) * e * 2 * tokens / 1e6 for n, a, k, e in published.values()
    ]
    bars = ax.bar(
        [x + 0.27 * (shift - 1) for x in range(4)],
        megabytes,
        width=0.25,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=label,
    )
    ax.bar_label(bars, [f"{m:,.0f}" for m in megabytes], fontsize=7)
ax.set_xticks(range(4), published)
ax.set(ylabel="KV cache per row (MB)")
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# If the copies were kept, they would undo what sharing saves. They are not: the cache holds K heads, and the copies exist only while one layer computes. Even these can be avoided, if the groups of query heads get an axis of their own and keys and values are broadcast along it; fast
# kernels need no copies either. We keep them, because they keep the code close to the idea.
#
# Is a model with a single key/value head as good? The paper on grouped-query attention {cite}`ainslie2023gqa` measured it for T5 XXL (A = 64) on summarization, translation and question answering: K = 1 loses a little and can be unstable to train; K = 8 is nearly as good as K = A, and nearly as fast as K = 1.
#
# ## Exercises
#
# Open `exercises/ch08_gqa.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch08_gqa.py
# ```
#
# ### `repeat_kv` (1 point, 5 minutes)
#
# Give each query head a copy of its key/value head.
#
# ```{literalinclude} ../exercises/ch08_gqa.py
# :pyobject: repeat_kv
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Try both functions on a tensor of two numbers first. Which axis holds the heads?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch08_gqa.py
# :pyobject: repeat_kv
# ```
# ````
#
# ### `additive_mask` (1 point, 10 minutes)
#
# Turn a boolean mask into one that is added to the scores. There is more than one right answer: the grader adds your mask to scores and checks the weights that a softmax makes of them.
#
# ```{literalinclude} ../exercises/ch08_gqa.py
# :pyobject: additive_mask
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which number is negative enough for float32, and still a number in float16?
# ```
# ```{admonition} Hint 2: which function
# :class: dropdown
# `torch.finfo(dtype).min` is the lowest number of a dtype. `masked_fill` fills where its mask is True: is that where a query may attend?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch08_gqa.py
# :pyobject: additive_mask
# ```
# ````
#
# ### `attend` (2 points, 10 minutes)
#
# Compute attention with a mask, with the softmax in float32.
#
# ```{literalinclude} ../exercises/ch08_gqa.py
# :pyobject: attend
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# It is the attention of chapter 3 with one addition and two casts. Where does the addition belong: before the softmax or after it?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `torch.softmax(scores, dim=-1, dtype=torch.float32)` computes in float32. Cast its result back with `.to(query.dtype)`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch08_gqa.py
# :pyobject: attend
# ```
# ````
#
# ### `GemmaAttention` (3 points, 25 minutes)
#
# Write the whole attention layer, from the four projections to the output.
#
# ```{literalinclude} ../exercises/ch08_gqa.py
# :pyobject: GemmaAttention
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Write down the shape of each projection's output, then its shape after the heads are split. Which ones are rotated? When are keys and values copied?
# ```
# ```{admonition} Hint 2: which tensors
# :class: dropdown
# Queries are [B, A, S, E], keys and values [B, K, S, E]. `states.unflatten(-1, (-1, E)).transpose(1, 2)` splits all three.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# After the attention: `mixed.transpose(1, 2).flatten(2)` is [B, S, A * E], and that is what `o_proj` takes.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch08_gqa.py
# :pyobject: GemmaAttention
# ```
# ````
#
# ### `cache_bytes` (1 point, 5 minutes)
#
# Compute the size of the KV cache of a batch, in bytes.
#
# ```{literalinclude} ../exercises/ch08_gqa.py
# :pyobject: cache_bytes
# ```
#
# ```{admonition} Hint
# :class: dropdown
# The calculation by hand above was for one row and one token. By what else do you have to multiply?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch08_gqa.py
# :pyobject: cache_bytes
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch08_gqa")

# %% [markdown]
# ## Summary
#
# The A query heads share K key/value heads, and neighboring query heads use the same one. So the KV cache is smaller, and less is read for each new token. A position is masked by adding a very negative number to its score, and that number must be finite in the dtype of the model. The softmax runs
# in float32. Together with the norms and the MLP this is Gemma's block, and four such blocks are the core of our language model.
#
# So far it could be any language model. In the next chapter it gets an image: image tokens and text become one sequence.
