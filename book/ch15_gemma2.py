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
# # PaliGemma 2, as a diff: soft-capping, post-norms and a sliding window
#
# What changed in PaliGemma 2, which Google published in December 2024 (arXiv 2412.03555 {cite}`steiner2024paligemma`)? The vision tower has the same architecture, the projector is still one linear layer (only its width follows the language model), and the mask, the prompts and the location tokens are the same. The language model is new: a Gemma 2 in three sizes replaces the first {term}`Gemma`. So you can read the new model as a list of changes to the one that you have written. There are five:
#
# 1. attention scores are soft-capped;
# 2. logits are soft-capped too;
# 3. attention scores are divided by the root of a different number;
# 4. attention and MLP each get a norm on their output;
# 5. every other layer has a sliding window.
#
# None of them is hard, and each can be implemented wrongly without an error message.
#
# At the end you will be able to
#
# - soft-cap attention scores and logits at the right place in the formula;
# - say by which number Gemma 2 divides its scores, and why you must not guess it;
# - put the four norms of a block in their right places, although one has a misleading name;
# - draw the mask of a layer with a sliding window, prefix included;
# - load a PaliGemma 2 into the same classes, and check that it matches the reference.
#
# Time: about 80 minutes to read and run, and 45 for the five exercises. There is no small PaliGemma 2 with trained weights. So you will try most of the changes on the Toybox, which was trained without them, and see what they do to a model that does not expect them.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from figures.schematics.gemma2_diff import draw_gemma2_diff
from IPython.display import HTML
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm import gemma, paligemma
from vlm.attention_mask import make_prefix_lm_mask
from vlm.checkpoints.published import NAMES, published_config
from vlm.config import Gemma2Config, PaliGemmaConfig
from vlm.gemma import (
    GemmaAttention,
    GemmaDecoderLayer,
    GemmaForCausalLM,
    GemmaRMSNorm,
)
from vlm.gemma2 import LayerMasks
from vlm.generate import generate
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import box_iou, parse_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
layers = model.language_model.model.layers
drawn = (draw_scene(seed, "test") for seed in range(32))
scenes = [scene for scene in drawn if scene.objects][:24]


def added_by_sublayers() -> dict[str, float]:
    """The mean size (root mean square) of what each sublayer adds, for an image and a prompt."""
    sizes, hooks = {}, []

    def keep(name: str):
        def hook(_module, _arguments, output):
            added = output[0] if isinstance(output, tuple) else output
            sizes[name] = added.square().mean(-1).sqrt().mean().item()

        return hook

    for i, layer in enumerate(layers):
        hooks.append(layer.self_attn.register_forward_hook(keep(f"attention {i}")))
        hooks.append(layer.mlp.register_forward_hook(keep(f"MLP {i}")))
    model(**processor(["caption en"], [image]))
    for hook in hooks:
        hook.remove()
    return sizes


published = [published_config(f"{name}-3b-224") for name in ("paligemma", "paligemma2")]
drawing = draw_gemma2_diff(*(one.text_config for one in published))
HTML(
    drawing.html(
        "Everything that changes from Gemma to Gemma 2, in purple: two more norms, two "
        "soft caps, a window in every other layer, and more key/value heads. The scale "
        "of the attention scores, not drawn, is a number of its own."
    )
)

# %% [markdown]
# ## Three sizes: 3B, 10B and 28B
#
# Before the changes, look at the sizes of the models.

# %%
print("model            layers  width   MLP    A   K   E  A*E  billions of parameters")
for name in NAMES:
    if name.endswith("-224"):
        text = published_config(name).text_config
        with torch.device("meta"):
            whole = paligemma.PaliGemmaForConditionalGeneration(published_config(name))
        count = sum(parameter.numel() for parameter in whole.parameters())
        heads, kv_heads = text.num_attention_heads, text.num_key_value_heads
        print(
            f"{name[:-4]:16} {text.num_hidden_layers:4} {text.hidden_size:8}"
            f" {text.intermediate_size:6} {heads:3} {kv_heads:3} {text.head_dim:4}"
            f" {heads * text.head_dim:5}  {count / 1e9:.2f}"
        )

# %% [markdown]
# The package built these models on the {term}`meta device`, so they took no memory. Their parameter counts match the published ones exactly, and `tests/test_published.py` checks that they do. Look at the column A·E. In PaliGemma it equals the width D; in the new models it never does. If you wrote D where A·E belongs, your code works for PaliGemma and none of the others.

# %% [markdown]
# ## Soft-capping attention scores
#
# In long training runs of large models, attention scores sometimes keep growing: a softmax that is nearly one-hot has hardly any gradient left, so nothing pulls the scores back. That is why Gemma 2 {term}`soft-caps the scores <softcap>` (arXiv 2408.00118 {cite}`gemma2024improving`, section 2). The function is a scaled tanh:
#
# $$\operatorname{softcap}(x) = c \tanh\frac{x}{c}$$
#
# By hand, for a cap of 50: tanh(0.02) is 0.019997, so a score of 1 becomes 0.99987. tanh(1) is 0.7616, so 50 becomes 38.08. tanh(10) is 1 to eight digits, so 500 becomes 50.


# %% tags=["from:vlm.attention.soft_cap"]
def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Map values smoothly into -cap..cap: small ones hardly change, large ones approach the cap."""
    return cap * torch.tanh(values / cap)


# %%
capped = soft_cap(torch.tensor([1.0, 50.0, 500.0]), 50.0)
print([round(value, 4) for value in capped.tolist()])
assert torch.allclose(capped, torch.tensor([0.99987, 38.0797, 50.0]), atol=1e-4)

# %% [markdown]
# Where does it belong? The scores are scaled, then capped, then the mask is added. What if you cap after the mask? Think first: a masked position has the lowest number that float32 can represent. What does the cap turn it into?

# %%
scores = torch.tensor([[4.0, 2.0, 9.0]])
mask = torch.tensor([[0.0, 0.0, torch.finfo(torch.float32).min]])  # the third is masked
for name, masked in (
    ("cap, then mask", soft_cap(scores, 5.0) + mask),
    ("mask, then cap", soft_cap(scores + mask, 5.0)),
):
    print(name, [round(weight, 4) for weight in masked.softmax(-1)[0].tolist()])

# %% [markdown]
# If you cap last, "never" becomes −5, a score like any other, and the masked position gets a weight, here 0.0002. That leaks the future, and a model learns to exploit such leaks. With the published cap of 50, the weight would be e⁻⁵⁰ next to a score of 0, which goes unnoticed until all other scores are near −50 too.
#
# Does the Toybox need such a cap? Guess how small a cap has to be before captions suffer. Here are all the scores that it computes for a caption, and what caps of different sizes cost.

# %% mystnb={"image": {"alt": "Left: histogram of the Toybox's attention scores, from minus 11 to 14, with a logarithmic count and a peak around 0. Right: fraction of correct captions and mean IoU over the cap from 1 to 50: both near their best from about 12 on, nothing left at 2."}, "figure": {"caption": "A cap of 50, as in Gemma 2, would change nothing visible in the Toybox: it turns its largest score, 13.9, into 13.6. Left: all attention scores of all heads of the language model for one caption. Right: what a cap costs a model that was trained without one (dotted: no cap).", "name": "fig-ch15-cap"}} tags=["hide-input"]


def quality() -> tuple[float, float]:
    """The fraction of correct captions, and the mean IoU of the first box, over the scenes."""
    images = [scene.image for scene in scenes]
    texts = generate(model, processor, ["caption en"] * len(scenes), images, 26)
    right = sum(text == caption(scene).suffix for text, scene in zip(texts, scenes))
    prompts = [f"detect {scene.objects[0].label}" for scene in scenes]
    ious = []
    for text, scene in zip(generate(model, processor, prompts, images, 8), scenes):
        found = parse_detections(text, 112, 112)
        boxes = [thing.box for thing in scene.objects if thing.label == scene.objects[0].label]
        ious.append(max(box_iou(found[0].box, box) for box in boxes) if found else 0.0)
    return right / len(scenes), sum(ious) / len(ious)


def all_scores() -> Tensor:
    """Every unmasked attention score that the language model computes for a caption."""
    kept, original = [], gemma.attention

    def listen(query, key, value, scaling, mask, softcap):
        scores = query @ key.transpose(-2, -1) * scaling
        kept.append(scores[(mask == 0).expand_as(scores)])
        return original(query, key, value, scaling, mask, softcap)

    gemma.attention = listen
    model(**processor(["caption en"], [image], suffix=["two birds and two cats on grass"]))
    gemma.attention = original
    return torch.cat(kept)


toybox_scores = all_scores()
caps = (1.0, 2.0, 4.0, 7.0, 12.0, 25.0, 50.0)
without_cap, with_caps = quality(), []
for cap in caps:
    for layer in layers:
        layer.self_attn.softcap = cap
    with_caps.append(quality())
for layer in layers:
    layer.self_attn.softcap = None
fig, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
axes[0].hist(toybox_scores, bins=80, color="#0072B2", log=True)
axes[0].set(xlabel="attention score", ylabel="count")
for values, name, color, marker in zip(
    zip(*with_caps), ("captions right", "mean IoU"), ("#0072B2", "#D55E00"), "os"
):
    axes[1].plot(caps, values, color=color, marker=marker, label=name)
for best, color in zip(without_cap, ("#0072B2", "#D55E00")):
    axes[1].axhline(best, color=color, linestyle=":", linewidth=1)
axes[1].set(xlabel="cap", ylabel="fraction or IoU", xscale="log", ylim=(0, 1.05))
axes[1].set_xticks(caps, [f"{cap:g}" for cap in caps])
axes[1].minorticks_off()
axes[1].legend(fontsize=8)
plt.show()
print(f"largest score {toybox_scores.abs().max():.1f}")

# %% [markdown]
# The attention layer is ready for a cap: `softcap` is an argument of the attention function that you know, and it is `None` in Gemma. A fused kernel {cite}`dao2022flashattention` must apply the cap inside, between scores and softmax, and not every kernel can. PyTorch's `scaled_dot_product_attention` cannot; FlashAttention has had a `softcap` argument since version 2.6, and FlexAttention takes the cap as a score modification. So *transformers*, which uses `scaled_dot_product_attention` by default, runs the language model of PaliGemma 2 with the written-out form ("eager") unless you choose a kernel that can cap.
#
# The logits are soft-capped as well, at 30. That preserves their order, so greedy answers don't change (in float32; in 16 bits, two large logits that were different may become equal). Probabilities do change. Here is what the cap does to the first token of a caption of the Toybox, and to the first location token of a box.


# %%
def final_logits(prompt: str) -> Tensor:
    return model(**processor([prompt], [image])).logits[0, -1]  # [V]


for prompt in ("caption en", "detect cat"):
    logits = final_logits(prompt)
    capped = soft_cap(logits, 30.0)
    assert logits.argmax() == capped.argmax()
    before, after = logits.softmax(-1).max(), capped.softmax(-1).max()
    print(
        f"{prompt}: largest logit {logits.max():.1f} -> {capped.max():.1f}, "
        f"its probability {before:.3f} -> {after:.3f}"
    )

# %% [markdown]
# A mistake here can survive for a long time, because the order stays the same. Of the *transformers* versions whose source we read, 4.47.1 and 4.51.3 apply this cap, 4.57.1 and 5.0.0 do not, and 5.23, the version that this book is checked with, applies it again. Google's own code, big_vision, applies it when it decodes but not when it trains. Greedy answers stayed the same throughout; if you sampled, read probabilities or fine-tuned, you had a different model. This package follows *transformers* 5.23 and the Gemma 2 paper.
#
# (The versions differ in one more way, for both generations: what a prompt without `token_type_ids` means. Up to 5.0 it was all prefix, so every token attended to every other; 5.23 treats it as plain causal text. In this package it is all prefix, since a prompt is a prefix and the models were trained that way. If you use the processor of *transformers*, you never notice: it always returns the types, and with them both programs do the same.)
#
# ## The attention scale: `query_pre_attn_scalar`
#
# Gemma divides its scores by √E, the root of {term}`a head's size <head_dim>`. Gemma 2 divides them by the root of a number of its own, `query_pre_attn_scalar`.

# %%
for name in NAMES:
    if name.endswith("-224") and name.startswith("paligemma2"):
        text = published_config(name).text_config
        scalar, head_dim = text.query_pre_attn_scalar, text.head_dim
        ratio = text.hidden_size / text.num_attention_heads
        print(f"{name[:-4]:15} scalar {scalar:3}   E {head_dim:3}   D / A {ratio:.0f}")

# %% [markdown]
# In the 3B and the 10B the number is E. In the 28B it is D / A, not E. No rule of thumb gets all three right; the config has the number, so read it from there. If you use 128 instead of 144, the scores come out 6 % too large. What would that do? The Toybox again, with its scores multiplied by a factor.

# %% mystnb={"image": {"alt": "Fraction of correct captions and mean IoU by a factor on all attention scores from 0.5 to 2, both highest between 1 and 1.06. Captions fall to 0 at a half and to 0.3 at 2, boxes to 0.4 and 0.8. A dashed line at 1.06."}, "figure": {"caption": "A wrong attention scale of 6 % is too small to see in an answer. The dashed line is that mistake, a factor of 1.06, made with the 28B's number. Scores that are too large hurt captions more than boxes. A parity test sees the mistake in layer 0.", "name": "fig-ch15-scale"}} tags=["hide-input"]
factors = (0.5, 0.7, 0.85, 1.0, 1.06, 1.2, 1.5, 2.0)
with_factor = []
for factor in factors:
    for layer in layers:
        layer.self_attn.scaling = factor * config.text_config.head_dim**-0.5
    with_factor.append(quality())
for layer in layers:
    layer.self_attn.scaling = config.text_config.head_dim**-0.5
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for values, name, color, marker in zip(
    zip(*with_factor), ("captions right", "mean IoU"), ("#0072B2", "#D55E00"), "os"
):
    ax.plot(factors, values, color=color, marker=marker, label=name)
ax.axvline((144 / 128) ** 0.5, color="black", linestyle="--", linewidth=1)
ax.text((144 / 128) ** 0.5 + 0.01, 0.05, "1.06", fontsize=9)
ax.set(xlabel="factor on all attention scores", ylabel="fraction or IoU", ylim=(0, 1.05))
ax.legend(fontsize=8)
plt.show()


# %% [markdown]
# The two changes give the new attention layer: the old one, with two numbers set differently.


# %% tags=["from:vlm.gemma2.Gemma2Attention"]
class Gemma2Attention(GemmaAttention):
    """Gemma's attention with another scale for the scores, which are then soft-capped."""

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.scaling = config.query_pre_attn_scalar**-0.5
        self.softcap = config.attn_logit_softcapping


# %% [markdown]
# ## Post-norms: a norm on each sublayer's output
#
# In Gemma, the two sublayers of a block (attention and MLP) read normed vectors, and what they compute is added to the {term}`residual stream` as it is. Nothing limits the size of what is added. How large is it, compared with the residual stream itself?

# %% mystnb={"image": {"alt": "Sizes by layer over image and text positions together: the residual stream grows from 2.2 to 4.0; what attention and MLP add is between 0.8 and 2.1, different in each layer."}, "figure": {"caption": "In the Toybox, what attention and MLP add differs in size from layer to layer, because nothing in the formula limits it. Bars: the size of what the two sublayers add. Line: the size of the residual stream after each block.", "name": "fig-ch15-sizes"}} tags=["hide-input"]
after_block = []
hooks = [
    layer.register_forward_hook(
        lambda _module, _arguments, output: after_block.append(
            output.square().mean(-1).sqrt().mean().item()
        )
    )
    for layer in layers
]
sizes = added_by_sublayers()
for hook in hooks:
    hook.remove()
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
indices = range(len(layers))
ax.bar(
    [i - 0.2 for i in indices],
    [sizes[f"attention {i}"] for i in indices],
    0.38,
    color="#D55E00",
    label="attention adds",
)
ax.bar(
    [i + 0.2 for i in indices],
    [sizes[f"MLP {i}"] for i in indices],
    0.38,
    color="#E69F00",
    hatch="//",
    edgecolor="white",
    label="MLP adds",
)
ax.plot(
    indices, after_block, color="#0072B2", marker="o", label="residual stream after the block"
)
ax.set(xlabel="layer", ylabel="size (root mean square)", xticks=list(indices))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Gemma 2 norms the output of each sublayer before it is added. With a norm weight of 0 (Gemma's norms multiply by 1 + weight, chapter 6), each sublayer adds vectors of RMS 1, whatever its matrices are; the learned weight then sets the size. So a block has four norms. Their names are a trap. In Gemma, `post_attention_layernorm` is the norm *before the MLP*, which happens to come after the attention. In Gemma 2, the norm with this name is what it says, the norm on the attention's output, and the one before the MLP is called `pre_feedforward_layernorm`. The shapes are the same, so a loader that checks names and shapes cannot tell whether they are in the right places.


# %% tags=["from:vlm.gemma2.Gemma2DecoderLayer"]
class Gemma2DecoderLayer(GemmaDecoderLayer):
    """Four norms: one before and one after the attention, one before and one after the MLP.

    Beware of `post_attention_layernorm`: here it follows the attention, in Gemma it precedes the MLP.
    """

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx, Gemma2Attention)
        self.is_sliding = config.is_sliding(layer_idx)
        self.pre_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_feedforward_layernorm = GemmaRMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        masks: LayerMasks,
        kv_cache: KVCache | None = None,
    ) -> Tensor:
        """[B, S, D] -> [B, S, D]; the layer uses the mask for its kind."""
        mask = masks.sliding if self.is_sliding else masks.full  # [B, 1, S, T]
        attended, _ = self.self_attn(
            self.input_layernorm(hidden_states), cos, sin, mask, kv_cache
        )
        hidden_states = hidden_states + self.post_attention_layernorm(attended)
        gated = self.mlp(self.pre_feedforward_layernorm(hidden_states))
        return hidden_states + self.post_feedforward_layernorm(gated)


# %% [markdown]
# Check it: multiply the last matrix of each sublayer by 8. In Gemma's block, what is added becomes eight times as large. In Gemma 2's block nothing changes, because the norm divides by 8 again.

# %%
small = Gemma2Config(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=12,
    vocab_size=128,
    query_pre_attn_scalar=7,
    attn_logit_softcapping=2.0,
    final_logit_softcapping=3.0,
    sliding_window=3,
)

# %%
torch.manual_seed(0)
states = torch.randn(1, 5, 32)
no_rotation = (torch.ones(1, 1, 5, 12), torch.zeros(1, 1, 5, 12))  # cos, sin
for block, open_mask in (
    (GemmaDecoderLayer(small, 1), torch.zeros(1, 1, 5, 5)),
    (Gemma2DecoderLayer(small, 1), LayerMasks(*torch.zeros(2, 1, 1, 5, 5))),
):
    before = block(states, *no_rotation, open_mask)
    block.self_attn.o_proj.weight.mul_(8)
    block.mlp.down_proj.weight.mul_(8)
    change = (block(states, *no_rotation, open_mask) - before).abs().max()
    print(f"{type(block).__name__:18} changes by {change:.3f}")

# %% [markdown]
# ## A sliding window in every other layer
#
# Layers 0, 2, 4 … of Gemma 2 use {term}`sliding-window attention <sliding window>` {cite}`beltagy2020longformer`: each token attends to the last 4,096 tokens only, itself included. The layers in between attend to everything. In a text of 8,192 tokens, a layer with a window needs three quarters of the scores that a full layer needs, and it could keep half of the keys. (This package keeps all of them and masks. *transformers* keeps only those in the window.)
#
# For a PaliGemma 2 with 256 or 1,024 image tokens the window makes no difference as long as prompt and answer are short: no token is 4,096 positions away. At 896 pixels there are 4,096 image tokens, and there it does. Which rule wins for the image: that the prefix attends to itself in full, or the window? In *transformers* 5.23 the prefix wins. Each of its tokens attends to every other, and only the tokens of the answer are limited to the window. This package does the same. big_vision, in which Google trained PaliGemma 2, has no window at all. So at 896 pixels, and only there, answer tokens attend to slightly less in *transformers* and in this package than they did in training. In half of the layers, an answer token that is fed back into the model cannot attend to the first patches; it loses one patch for each token of prompt and answer, up to and including itself.


# %% tags=["from:vlm.attention_mask.limit_to_window"]
def limit_to_window(mask: Tensor, token_type_ids: Tensor, sliding_window: int) -> Tensor:
    """Limit how far back the suffix attends; the window includes the token itself."""
    num_new, num_all = mask.shape[-2:]
    keys = torch.arange(num_all, device=mask.device)  # [T]
    queries = keys[-num_new:, None]  # [S, 1]
    is_suffix = token_type_ids.cumsum(-1)[:, None, :, None] > 0  # [B, 1, S, 1]
    return mask.masked_fill(
        (keys <= queries - sliding_window) & is_suffix, torch.finfo(mask.dtype).min
    )


# %%
types = torch.tensor([[0, 0, 0, 1, 1]])  # three tokens of prefix, two of suffix
full = make_prefix_lm_mask(torch.ones_like(types), types, torch.float32)
visible = (limit_to_window(full, types, 2)[0, 0] == 0).int()
print(visible)
assert visible.tolist() == [[1, 1, 1, 0, 0]] * 3 + [[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]

# %% [markdown]
# With a window of 2, the first answer token attends to one token of the prefix, the second to none.[^ch15-1]
#
# The mask lab has a window too. Before you move it: in the rows of the image and the prompt, how many cells does a window of 3 mask? And how long must the window be for the last answer token to attend to the whole image?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="image answer cached window" data-padding="0" data-window="3">
# <p>This figure needs JavaScript. The cell above prints the mask of one row. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="image answer cached window", padding="0", window="3")

# %% [markdown]
# None: the window limits only the answer. The last token needs a window as long as the whole sequence, and each further token of the answer needs one more. So the masked part of the image is not fixed: it grows while the model generates.
#
# In half of the layers, then, an answer token cannot attend to image tokens further back than the window. The other layers can, and what they find is passed on in the residual stream. Is that enough? Before you look: the Toybox has 64 image tokens, followed by a prompt of four tokens, `<bos>` and the newline included. At which window can layers 0 and 2 no longer attend to the image at all? (The last token of the prompt predicts the first token of the answer; it belongs to the prefix and attends to everything. The position that predicts the next token after j answer tokens attends to those j tokens, itself included, and to the four tokens of the prompt. Of a window W, this leaves W − 4 − j for the image.)
#
# [^ch15-1]: The cumulative sum over the types makes everything from the first answer token on part of the suffix, including padding after it.

# %% mystnb={"image": {"alt": "Fraction of correct captions and mean IoU by window from 2 to 128. Both are at their best from 64 on and fall as the window becomes shorter, to about a quarter at 2."}, "figure": {"caption": "The Toybox gets worse once the window is too short for the image. Windows in layers 0 and 2 during generation (the first token is predicted with full attention); the model was trained without one. At 96 everything is within the window.", "name": "fig-ch15-window"}} tags=["hide-input"]


class WithWindow(nn.Module):
    """A layer whose mask is limited to a window."""

    def __init__(self, layer: GemmaDecoderLayer, window: int):
        super().__init__()
        self.layer, self.window = layer, window

    def forward(self, hidden_states, cos, sin, mask, kv_cache=None):
        # A single new token, after a cache, belongs to the suffix.
        is_suffix = torch.full(hidden_states.shape[:2], int(hidden_states.shape[1] == 1))
        mask = limit_to_window(mask, is_suffix, self.window)
        return self.layer(hidden_states, cos, sin, mask, kv_cache)


windows = (2, 4, 8, 16, 32, 64, 96, 128)
with_windows = []
originals = list(layers)
for window in windows:
    for i in (0, 2):
        layers[i] = WithWindow(originals[i], window)
    with_windows.append(quality())
for i in (0, 2):
    layers[i] = originals[i]
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for values, name, color, marker in zip(
    zip(*with_windows), ("captions right", "mean IoU"), ("#0072B2", "#D55E00"), "os"
):
    ax.plot(windows, values, color=color, marker=marker, label=name)
ax.set(xlabel="window (tokens)", ylabel="fraction or IoU", xscale="log", ylim=(0, 1.05))
ax.set_xticks(windows, windows)
ax.minorticks_off()
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Down to 64 nothing is lost: only patches at the top of the image are outside the window. At 32, which leaves at most 27 of the 64 patches, one caption in five goes wrong. At 8, only three positions of an answer attend to the image at all, and to three patches at most. From 5 down, layers 0 and 2 attend to no patch during generation: the new token and the four tokens of the prompt fill the window. At 4 and 2, a fifth of the captions are still right, since layers 1 and 3 attend to the image.
#
# ## The whole model, and parity with the reference
#
# The rest puts the pieces together: the new blocks in the old model, two masks instead of one, and the cap on the logits.


# %% tags=["from:vlm.gemma2.Gemma2ForCausalLM"]
class Gemma2ForCausalLM(GemmaForCausalLM):
    """Gemma 2 with its head, whose logits are soft-capped."""

    def __init__(self, config: Gemma2Config):
        super().__init__(config, Gemma2DecoderLayer)

    def make_layer_masks(self, mask: Tensor, token_type_ids: Tensor) -> LayerMasks:
        """The prefix-LM mask [B, 1, S, T] for layers without a window, and one limited to the window for the others."""
        sliding_window = self.model.config.sliding_window
        sliding = (
            mask
            if sliding_window is None
            else limit_to_window(mask, token_type_ids, sliding_window)
        )
        return LayerMasks(mask, sliding)

    def forward(
        self,
        inputs_embeds: Tensor,
        position_ids: Tensor,
        masks: LayerMasks,
        kv_cache: KVCache | None = None,
        logits_to_keep: int = 0,
    ) -> Tensor:
        """As in Gemma; the logits are then soft-capped by `final_logit_softcapping`, which keeps their order."""
        logits = super().forward(inputs_embeds, position_ids, masks, kv_cache, logits_to_keep)
        cap = self.model.config.final_logit_softcapping
        return logits if cap is None else soft_cap(logits, cap)


# %% [markdown]
# (`LayerMasks` is a named tuple of two masks, `full` and `sliding`. `config.is_sliding(i)` is true for even i, and `PaliGemmaForConditionalGeneration.forward` calls `make_layer_masks`.) You have now read all of PaliGemma 2. Next, the comparison with the reference: a small model with random weights, in *transformers* and in this package, on a batch with padding and answers. Its window of 3 is shorter than its 4 image tokens, its caps are low enough to matter, and its scalar differs from its head's size. With a window of 4,096, a cap of 50 and a scalar equal to the head's size, most of the mistakes in this chapter would change nothing.

# %%
from transformers import PaliGemmaConfig as ReferenceConfig
from transformers import PaliGemmaForConditionalGeneration as ReferenceModel
from vlm.checkpoints.layouts import canonical_name
from vlm.config import SiglipVisionConfig

tower = SiglipVisionConfig(24, 40, 2, 3, patch_size=14, image_size=28)
tiny = PaliGemmaConfig(tower, small, image_token_index=95)
reference = ReferenceModel(ReferenceConfig(**tiny.to_dict())).eval()
generator = torch.Generator().manual_seed(0)
# Norms and biases too: ones and zeros would hide mistakes.
for parameter in reference.parameters():
    spread = parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.3
    parameter.copy_(spread * torch.randn(parameter.shape, generator=generator))
twin = paligemma.PaliGemmaForConditionalGeneration(tiny).eval()
weights = reference.state_dict()
twin.load_state_dict({canonical_name(name): weights[name] for name in weights})

# %%
inputs = {
    "input_ids": torch.tensor(
        [[95, 95, 95, 95, 2, 11, 12, 13, 14, 15], [0, 0, 95, 95, 95, 95, 2, 21, 22, 23]]
    ),
    "attention_mask": torch.tensor([[1] * 10, [0, 0] + [1] * 8]),
    "token_type_ids": torch.tensor([[0] * 7 + [1] * 3] * 2),
    "pixel_values": torch.randn(2, 3, 28, 28, generator=generator),
}
real = inputs["attention_mask"].bool()
difference = (twin(**inputs).logits - reference(**inputs).logits)[real].abs().max()
print(f"largest difference below 1e-5: {bool(difference <= 1e-5)}")
assert difference <= 1e-5

# %% [markdown]
# `make parity` makes this comparison for both generations, all five layouts, three dtypes and four kinds of input (one row, a padded batch, with an answer, with a cache): 120 comparisons. In 16 bits the two programs agree to the last bit, as long as *transformers* uses written-out attention ("eager").
#
# Which of the five changes could you have forgotten without noticing? Guess which mistake changes no argmax token.

# %%
from unittest.mock import patch

blocks = twin.language_model.model.layers
attentions = [block.self_attn for block in blocks]
forgotten = {
    "nothing": [],
    "cap on the scores": [patch.object(a, "softcap", None) for a in attentions],
    "cap on the logits": [patch("vlm.gemma2.soft_cap", lambda logits, cap: logits)],
    "scalar (head_dim instead)": [
        patch.object(a, "scaling", small.head_dim**-0.5) for a in attentions
    ],
    "window": [patch.object(block, "is_sliding", False) for block in blocks],
    "window in the other layers": [
        patch.object(block, "is_sliding", not block.is_sliding) for block in blocks
    ],
    "norms on the outputs": [
        patch.object(getattr(block, name), "forward", lambda states: states)
        for block in blocks
        for name in ("post_attention_layernorm", "post_feedforward_layernorm")
    ],
}

# %%
expected = reference(**inputs).logits[real]
for name, changes in forgotten.items():
    for change in changes:
        change.start()
    logits = twin(**inputs).logits[real]
    for change in changes:
        change.stop()
    same = (logits.argmax(-1) == expected.argmax(-1)).float().mean()
    error = (logits - expected).abs().max()
    print(f"{name:27} logits off by {error:.3f}, {same:.0%} of argmax tokens the same")

# %% [markdown]
# It is the forgotten cap on the logits: no argmax token changes, but the logits do. Only a comparison of numbers finds it.
#
# ## Exercises
#
# Open `exercises/ch15_gemma2.py`, replace each `raise NotImplementedError` with your code, and grade it with the cell below or in a terminal:
#
# ```text
# pytest exercises/test_ch15_gemma2.py
# ```
#
# ### `soft_cap` (1 point, 5 minutes)
#
# Cap values smoothly.
#
# ```{literalinclude} ../exercises/ch15_gemma2.py
# :pyobject: soft_cap
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Divide, apply tanh, multiply. The formula is above.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch15_gemma2.py
# :pyobject: soft_cap
# ```
# ````
#
# ### `attend` (2 points, 10 minutes)
#
# Write attention with soft-capped scores and a mask.
#
# ```{literalinclude} ../exercises/ch15_gemma2.py
# :pyobject: attend
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Three things happen to a score before the softmax. In which order? What must the cap never touch?
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# `soft_cap(query @ key.transpose(-2, -1) * scaling, cap) + mask`
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch15_gemma2.py
# :pyobject: attend
# ```
# ````
#
# ### `attention_scaling` (1 point, 5 minutes)
#
# Compute the factor of the attention scores from the config.
#
# ```{literalinclude} ../exercises/ch15_gemma2.py
# :pyobject: attention_scaling
# ```
#
# ```{admonition} Hint
# :class: dropdown
# The factor, not the divisor: 1/16 for 256.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch15_gemma2.py
# :pyobject: attention_scaling
# ```
# ````
#
# ### `run_block` (2 points, 10 minutes)
#
# Run a Gemma 2 block, given its two sublayers and its four norms.
#
# ```{literalinclude} ../exercises/ch15_gemma2.py
# :pyobject: run_block
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Each half of the block adds two things. Which are they? Only one of them has passed through an output norm.
# ```
# ```{admonition} Hint 2: almost the line
# :class: dropdown
# The first half: `hidden_states + norms["post_attention_layernorm"](attention(norms["input_layernorm"](hidden_states)))`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch15_gemma2.py
# :pyobject: run_block
# ```
# ````
#
# ### `limit_to_window` (3 points, 15 minutes)
#
# Limit the suffix rows of a boolean mask to a sliding window.
#
# ```{literalinclude} ../exercises/ch15_gemma2.py
# :pyobject: limit_to_window
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Combine two conditions with "or", and the result with the given mask by "and". Which two conditions?
# ```
# ```{admonition} Hint 2: whose column
# :class: dropdown
# The new tokens are the last S of T columns, so the first of them is in column T − S. `torch.arange(T)[-S:, None]` has their columns, one for each row of the mask.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# A key is in the window if `columns > own_column - window`. A window of 1 leaves only the token itself.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch15_gemma2.py
# :pyobject: limit_to_window
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch15_gemma2")

# %% [markdown]
# ## Summary
#
# PaliGemma 2 is PaliGemma with another language model. Attention scores are divided by the root of a number from the config, soft-capped at 50, and masked last. Each sublayer has a norm on its input and one on its output. Every other layer attends to the last 4,096 tokens only, except that the prefix attends to itself in full. Logits are soft-capped at 30, which changes probabilities but no greedy answer. None of these mistakes stops with an error; a test against the reference finds all of them if its config makes every change matter.
#
# You now have every line of both models. What remains is to run one that Google trained, on the machine that you have: {doc}`chapter 16 <ch16_real_thing>`.
