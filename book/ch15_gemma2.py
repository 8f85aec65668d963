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
# # What did PaliGemma 2 change? A new language model, as a diff
#
# In December 2024 Google published PaliGemma 2 (arXiv 2412.03555 {cite}`steiner2024paligemma`). The tower has the same form, the projector is still one linear layer (only its width follows the language model), the mask, the words and the boxes are the same. In {term}`Gemma`'s place stands a Gemma 2, in three sizes. So you can read the new model as a list of changes to the one that you have written. There
# are five: scores are kept within bounds; logits too; scores are divided by another root; each step of a block has a norm on its way out; every other layer looks through a window. None of them is hard, and each of them can be got wrong without an error message.
#
# At the end you will be able to
#
# - keep scores and logits within bounds, at the right place in the formula;
# - say by which number Gemma 2 divides its scores, and why you must not guess it;
# - put four norms into a block, though one of them has the name of another;
# - draw the mask of a layer with a window, prefix included;
# - load a PaliGemma 2 into the same classes, and prove that it equals the reference.
#
# It takes about 80 minutes, 45 of them for the exercises. There is no small PaliGemma 2 with trained weights. So you will try most of the changes on the Toybox, which was trained without them, and see what they do to a model that does not expect them.

# %% mystnb={"image": {"alt": "Four small panels. A line that bends into a limit at 50. Bars: how much each step of a block adds, and a dashed line at 1. Two grids: the mask of a full layer, and the same with a window, in which the lower rows are dark on the left."}, "figure": {"caption": "Three of the five changes. From left: scores bend into a limit (grey: without). What a step adds is normed on its way out: the sizes that the Toybox's attentions and MLPs add, in turn, and what a norm would make of them. A layer that sees everything, light where it may look; and one with a window of 4, which does not apply to the prefix.", "name": "fig-ch15-goal"}} tags=["hide-input"]
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from vlm import gemma, paligemma
from vlm.attention import soft_cap as finished_soft_cap
from vlm.attention_mask import limit_to_window as finished_window
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


def added_by_steps() -> dict[str, float]:
    """The mean size (root mean square) of what each step of each block adds, for a picture and a prompt."""
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


types = torch.tensor([[0] * 6 + [1] * 6])
full = make_prefix_lm_mask(torch.ones_like(types), types, torch.float32)  # [B, 1, S, T]
fig, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
scores = torch.linspace(-120, 120, 200)
axes[0].plot(scores, scores, color="#999999", linestyle="--", linewidth=1)
axes[0].plot(scores, finished_soft_cap(scores, 50.0), color="#0072B2")
axes[0].set(xlabel="score", ylabel="capped", ylim=(-60, 60))
sizes = added_by_steps()
axes[1].bar(range(len(sizes)), list(sizes.values()), color="#D55E00", label="as added")
axes[1].axhline(1, color="#0072B2", linestyle="--", label="normed")
axes[1].set(xlabel="step", ylabel="size")
axes[1].legend(fontsize=7)
for ax, mask in zip(axes[2:], (full, finished_window(full, types, 4))):
    ax.imshow(mask[0, 0] == 0, cmap="cividis", vmin=0, vmax=1)
    ax.set(xlabel="looked at", ylabel="looking", xticks=[0, 5, 10], yticks=[0, 5, 10])
plt.show()

# %% [markdown]
# ## Three sizes
#
# First, what did *not* change is worth a look: in what shape the models come.

# %%
print(f"{'model':16} layers  width   MLP    A   K   E  A*E  billions of parameters")
for name in NAMES:
    if name.endswith("-224"):
        text = published_config(name).text_config
        with torch.device("meta"):
            whole = paligemma.PaliGemmaForConditionalGeneration(published_config(name))
        count = sum(parameter.numel() for parameter in whole.parameters())
        print(
            f"{name[:-4]:16} {text.num_hidden_layers:4} {text.hidden_size:8} {text.intermediate_size:6}"
            f" {text.num_attention_heads:3} {text.num_key_value_heads:3} {text.head_dim:4}"
            f" {text.num_attention_heads * text.head_dim:5}  {count / 1e9:.2f}"
        )

# %% [markdown]
# These are counts of models on the {term}`device <meta device>` `meta`, built by the package without memory. They are the published counts to the last parameter, and `tests/test_published.py` holds them to that. Look at the column A·E. In PaliGemma it was D, in none of the new ones it is. Whoever wrote D where A·E belongs has a model that fits PaliGemma and nothing else.
#
# ## A limit for scores
#
# In long trainings of large models, scores of attention sometimes grow and grow: a softmax that is sure of itself has hardly any gradient left, and nothing pulls it back. So Gemma 2 {term}`bends the scores into a range <softcap>` (arXiv 2408.00118 {cite}`gemma2024improving`, section 2). The function is tanh, stretched:
#
# $$\operatorname{softcap}(x) = c \tanh\frac{x}{c}$$
#
# By hand, for a cap of 50: tanh(0.02) is 0.019997, so a score of 1 becomes 0.99987. tanh(1) is 0.7616, so 50 becomes 38.08. tanh(10) is 1 to eight digits, so 500 becomes 50.


# %% tags=["from:vlm.attention.soft_cap"]
def soft_cap(values: Tensor, cap: float) -> Tensor:
    """Bend values smoothly into -cap..cap: small ones stay as they are, large ones approach the cap."""
    return cap * torch.tanh(values / cap)


# %%
capped = soft_cap(torch.tensor([1.0, 50.0, 500.0]), 50.0)
print([round(value, 4) for value in capped.tolist()])
assert torch.allclose(capped, torch.tensor([0.99987, 38.0797, 50.0]), atol=1e-4)

# %% [markdown]
# Where does it belong? The scores are scaled, then capped, then the mask is added. What if you cap after the mask? Think first: the mask is the lowest number that float32 has. What does the cap make of it?

# %%
scores = torch.tensor([[4.0, 2.0, 9.0]])
mask = torch.tensor(
    [[0.0, 0.0, torch.finfo(torch.float32).min]]
)  # the third may not be looked at
for name, masked in (
    ("cap, then mask", soft_cap(scores, 5.0) + mask),
    ("mask, then cap", soft_cap(scores + mask, 5.0)),
):
    print(name, [round(weight, 4) for weight in masked.softmax(-1)[0].tolist()])

# %% [markdown]
# Capped last, "never" becomes −5, a score like others, and what is forbidden gets a share, here 0.0002. That is a leak of the future, and training finds leaks. With the published cap of 50 it would be e⁻⁵⁰ beside a score of 0, which nobody notices until all other scores are near −50 too.
#
# Does the Toybox need such a limit? Here are all scores that it computes for a caption, and what caps of different sizes cost it.

# %% mystnb={"image": {"alt": "Left: histogram of the Toybox's scores, from minus 11 to 14, with a logarithmic count and a peak around 0. Right: captions right and mean IoU over the cap from 1 to 50: both near their best from about 12 on, nothing left at 2."}, "figure": {"caption": "Left: all scores of all heads of the language model, before the softmax, for a caption. Right: what a cap costs a model that was trained without one (dotted: no cap). The cap of Gemma 2, 50, changes nothing that one could see here: it makes 13.6 of the largest score, 13.9.", "name": "fig-ch15-cap"}} tags=["hide-input"]


def quality() -> tuple[float, float]:
    """Captions right, and the mean IoU of the first box, over the scenes."""
    pictures = [scene.image for scene in scenes]
    texts = generate(model, processor, ["caption en"] * len(scenes), pictures, 26)
    right = sum(text == caption(scene).suffix for text, scene in zip(texts, scenes))
    prompts = [f"detect {scene.objects[0].label}" for scene in scenes]
    ious = []
    for text, scene in zip(generate(model, processor, prompts, pictures, 8), scenes):
        found = parse_detections(text, 112, 112)
        boxes = [thing.box for thing in scene.objects if thing.label == scene.objects[0].label]
        ious.append(max(box_iou(found[0].box, box) for box in boxes) if found else 0.0)
    return right / len(scenes), sum(ious) / len(ious)


def all_scores() -> Tensor:
    """Every score that the language model computes for a caption, where the mask allows it."""
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
axes[0].set(xlabel="score", ylabel="how many")
for values, name, color, marker in zip(
    zip(*with_caps), ("captions right", "mean IoU"), ("#0072B2", "#D55E00"), "os"
):
    axes[1].plot(caps, values, color=color, marker=marker, label=name)
for best, color in zip(without_cap, ("#0072B2", "#D55E00")):
    axes[1].axhline(best, color=color, linestyle=":", linewidth=1)
axes[1].set(xlabel="cap", ylabel="of 1", xscale="log", ylim=(0, 1.05))
axes[1].set_xticks(caps, [f"{cap:g}" for cap in caps])
axes[1].minorticks_off()
axes[1].legend(fontsize=8)
plt.show()
print(f"largest score {toybox_scores.abs().max():.1f}")

# %% [markdown]
# The layer needs one word for it: `softcap` is an argument of the attention that you know, and `None` in Gemma. Fast kernels of attention {cite}`dao2022flashattention` know no tanh in their middle; PyTorch's fused `scaled_dot_product_attention` does not, for example. So a PaliGemma 2 runs the written-out form in *transformers* too, unless somebody brings a kernel that can.
#
# The logits get a limit as well, of 30. It keeps their order, so greedy answers don't change (in float32; in 16 bits two large logits that were different may become the same). Probabilities do. Here the Toybox says its first word, and one of its marks.


# %%
def final_logits(prompt: str) -> Tensor:
    return model(**processor([prompt], [image])).logits[0, -1]  # [V]


for prompt in ("caption en", "detect cat"):
    logits = final_logits(prompt)
    plain, capped = logits.softmax(-1), soft_cap(logits, 30.0).softmax(-1)
    assert logits.argmax() == soft_cap(logits, 30.0).argmax()
    print(
        f"{prompt}: largest logit {logits.max():.1f} -> {soft_cap(logits, 30.0).max():.1f}, "
        f"its probability {plain.max():.3f} -> {capped.max():.3f}"
    )

# %% [markdown]
# That the order stays is why a mistake here lives long. *transformers* has applied this cap in 4.47 to 4.51, not in 4.52 to 5.0, and again in 5.23, the version that this book is checked with. Google's own code, big_vision, applies it when it decodes and not when it trains. Greedy captions and boxes were the same all the time; whoever sampled, or looked at probabilities, or fine-tuned, had another model. This package follows *transformers* 5.23, and Gemma 2's paper.
#
# (While we speak of versions, there is one other thing in which they differ, and it concerns both generations: what a prompt without `token_type_ids` means. Until 5.0 it was all prefix, each token seeing each; 5.23 reads it as plain text, causally. Here it is all prefix, since a prompt is a prefix and the models were trained so. With a processor you never notice: that of *transformers* always gives the types, and with them both programs do the same.)
#
# ## Another root
#
# Scores were divided by √E, the root of {term}`a head's size <head_dim>`. Gemma 2 divides by the root of a number of its own, `query_pre_attn_scalar`.

# %%
for name in NAMES:
    if name.endswith("-224") and name.startswith("paligemma2"):
        text = published_config(name).text_config
        share = text.hidden_size / text.num_attention_heads
        print(
            f"{name[:-4]:15} scalar {text.query_pre_attn_scalar:3}   E {text.head_dim:3}   D / A {share:.0f}"
        )

# %% [markdown]
# In the 3B and the 10B it is E. In the 28B it is D / A, and not E. No rule of thumb gets all three; the config has the number, so read it. If you take 128 in place of 144, scores come out 6 % too large. What would that do? The Toybox again, with its scores multiplied by a factor.

# %% mystnb={"image": {"alt": "Captions right and mean IoU by a factor on all scores from 0.5 to 2, both highest between 1 and 1.06. Captions fall to 0 at a half and to 0.3 at 2, boxes to 0.4 and 0.8. A dashed line at 1.06."}, "figure": {"caption": "A wrong scale of the scores. The dashed line is the mistake with the 28B's number, a factor of 1.06: too small to see in an answer. Scores that are too large hurt captions more than boxes. A parity test sees it in the first layer.", "name": "fig-ch15-scale"}} tags=["hide-input"]
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
ax.set(xlabel="factor on all scores", ylabel="of 1", ylim=(0, 1.05))
ax.legend(fontsize=8)
plt.show()


# %% [markdown]
# Both changes together are the new attention. It is the old one, with two numbers set differently.


# %% tags=["from:vlm.gemma2.Gemma2Attention"]
class Gemma2Attention(GemmaAttention):
    """Gemma's attention with its scores divided by another root, and soft-capped."""

    def __init__(self, config: Gemma2Config, layer_idx: int):
        super().__init__(config, layer_idx)
        self.scaling = config.query_pre_attn_scalar**-0.5
        self.softcap = config.attn_logit_softcapping


# %% [markdown]
# ## Norms on the way out
#
# In Gemma, a step reads normed vectors, and what it makes is added as it is. Nothing bounds what is added. How large is it, beside what is there?

# %% mystnb={"image": {"alt": "Sizes by layer for image and text places together: the vectors grow from 2.2 to 4.0; what attention and MLP add lies between 0.8 and 2.1, different in each layer."}, "figure": {"caption": "The Toybox: size of the vectors behind each block (line), and of what its two steps add (bars). Nothing in the formula keeps these sizes together.", "name": "fig-ch15-sizes"}} tags=["hide-input"]
behind = []
hooks = [
    layer.register_forward_hook(
        lambda _module, _arguments, output: behind.append(
            output.square().mean(-1).sqrt().mean().item()
        )
    )
    for layer in layers
]
sizes = added_by_steps()
for hook in hooks:
    hook.remove()
fig, ax = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
places = range(len(layers))
ax.bar(
    [i - 0.2 for i in places],
    [sizes[f"attention {i}"] for i in places],
    0.38,
    color="#D55E00",
    label="attention adds",
)
ax.bar(
    [i + 0.2 for i in places],
    [sizes[f"MLP {i}"] for i in places],
    0.38,
    color="#E69F00",
    hatch="//",
    edgecolor="white",
    label="MLP adds",
)
ax.plot(places, behind, color="#0072B2", marker="o", label="the vectors behind the block")
ax.set(xlabel="layer", ylabel="size (root mean square)", xticks=list(places))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Gemma 2 norms what a step has made before it is added. With a weight of 0 (Gemma's norms multiply by 1 + weight, chapter 6) each step adds vectors of size 1, whatever its matrices are; the weight then decides how much. So a block has four norms. Their names are a trap. In Gemma, `post_attention_layernorm` is the norm *before the MLP*: it comes after the attention, in the order of things. In Gemma 2 the norm of this
# name is what it says, on the way out of the attention, and the one before the MLP is called `pre_feedforward_layernorm`. Shapes are the same. A loader that only looks at names and shapes can't see it if you put them in the wrong place.


# %% tags=["from:vlm.gemma2.Gemma2DecoderLayer"]
class Gemma2DecoderLayer(GemmaDecoderLayer):
    """Four norms: each of the two steps has one on its way in, and one on its way out.

    `post_attention_layernorm` changes its place with respect to Gemma: there it stands before the MLP.
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
        """[B, S, D] -> [B, S, D]; the layer takes the mask of its kind."""
        mask = masks.sliding if self.is_sliding else masks.full  # [B, 1, S, T]
        attended, _ = self.self_attn(
            self.input_layernorm(hidden_states), cos, sin, mask, kv_cache
        )
        hidden_states = hidden_states + self.post_attention_layernorm(attended)
        gated = self.mlp(self.pre_feedforward_layernorm(hidden_states))
        return hidden_states + self.post_feedforward_layernorm(gated)


# %% [markdown]
# Check it: multiply the last matrix of each step by 8. In Gemma's block what is added becomes eight times as large. In this one nothing happens, since the norm divides by 8 again.

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
torch.manual_seed(0)
states, no_turn = torch.randn(1, 5, 32), (torch.ones(1, 1, 5, 12), torch.zeros(1, 1, 5, 12))
for block, open_mask in (
    (GemmaDecoderLayer(small, 1), torch.zeros(1, 1, 5, 5)),
    (Gemma2DecoderLayer(small, 1), LayerMasks(*torch.zeros(2, 1, 1, 5, 5))),
):
    before = block(states, *no_turn, open_mask)
    block.self_attn.o_proj.weight.mul_(8)
    block.mlp.down_proj.weight.mul_(8)
    change = (block(states, *no_turn, open_mask) - before).abs().max()
    print(f"{type(block).__name__:18} changes by {change:.3f}")

# %% [markdown]
# ## A window in every other layer
#
# Layers 0, 2, 4 … of Gemma 2 {term}`look back only 4,096 tokens <sliding window>` {cite}`beltagy2020longformer`, the token itself included; the layers between them look back all the way. In a text of 8,192 tokens those layers need three quarters of the scores that a full layer needs, and could keep half of the keys. (This package keeps all of them, and masks. *transformers* keeps only the window's.)
#
# For a PaliGemma 2 with 256 image tokens, or 1,024, it does not matter: nothing is further away than 4,096. With 896 pixels there are 4,096 image tokens, and now it does. Which rule wins for the picture: that the prefix sees itself in full, or the window? In *transformers* 5.23 the prefix wins. Each of its tokens sees every other,
# and only the tokens of the answer look back through the window. This package does the same. big_vision, in which Google trained PaliGemma 2, has no window at all. So with 896 pixels, and only there, both *transformers* and this package look at a little less than the model did in training: each token of an answer, once it is read, loses the first patches in half of the layers: as many as there are tokens of prompt and answer up to it.


# %% tags=["from:vlm.attention_mask.limit_to_window"]
def limit_to_window(mask: Tensor, token_type_ids: Tensor, sliding_window: int) -> Tensor:
    """Let the suffix look back only as far as the window, which counts the token itself."""
    num_new, num_all = mask.shape[-2:]
    keys = torch.arange(num_all, device=mask.device)  # [T]
    queries = keys[-num_new:, None]  # [S, 1]
    is_suffix = token_type_ids.cumsum(-1)[:, None, :, None] > 0  # [B, 1, S, 1]
    return mask.masked_fill(
        (keys <= queries - sliding_window) & is_suffix, torch.finfo(mask.dtype).min
    )


# %%
types = torch.tensor([[0, 0, 0, 1, 1]])  # three of prefix, two of suffix
mask = limit_to_window(
    make_prefix_lm_mask(torch.ones_like(types), types, torch.float32), types, 2
)
print((mask[0, 0] == 0).int())
assert (mask[0, 0] == 0).int().tolist() == [[1, 1, 1, 0, 0]] * 3 + [
    [0, 0, 1, 1, 0],
    [0, 0, 0, 1, 1],
]

# %% [markdown]
# The first answer token sees one token of the prefix, the second none.[^ch15-1]
#
# The mask lab has a window too. Before you move it: in the rows of the image and the prompt, how many cells does a window of 3 take away? And from which window on does the last answer token attend to the whole image?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="image answer cached window" data-padding="0" data-window="3">
# <p>This figure needs JavaScript. The cell above prints the mask of one row. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="image answer cached window", padding="0", window="3")

# %% [markdown]
# None: the window holds for the answer alone. The last token needs a window as long as the whole sequence, and each further token of the answer one more. That is what the long form of the rule says: not a fixed part of the image is out of sight, but a part that grows while the model writes.
#
# So a picture that lies further back than the window is out of sight in half of the layers. In the others it is not, and what they find there is carried on in the vectors. Is that enough? Before you look: the Toybox has 64 image tokens in front of a prompt of four tokens, `<bos>` and the newline included. From which window on will it be blind in layers 0 and 2? (The first token of the answer is said by the last one of the prompt, which is prefix, and sees everything. The j-th after it sees the prompt, the j answer tokens so far and itself, and then the picture, if the window is long enough.)
#
# [^ch15-1]: The running sum over the types makes a suffix of everything from the first answer token on, padding behind it included.

# %% mystnb={"image": {"alt": "Captions right and mean IoU by window from 2 to 128. Both are at their best from 64 on and fall as the window becomes shorter, to about a quarter at 2."}, "figure": {"caption": "The Toybox with a window in layers 0 and 2 while it writes (its first token sees everything). It was trained without one. At 96 everything is within the window.", "name": "fig-ch15-window"}} tags=["hide-input"]


class WithWindow(nn.Module):
    """A layer whose mask is limited to a window."""

    def __init__(self, layer: GemmaDecoderLayer, window: int):
        super().__init__()
        self.layer, self.window = layer, window

    def forward(self, hidden_states, cos, sin, mask, kv_cache=None):
        # What is read alone, behind a cache, is of the suffix.
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
ax.set(xlabel="window (tokens)", ylabel="of 1", xscale="log", ylim=(0, 1.05))
ax.set_xticks(windows, windows)
ax.minorticks_off()
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Down to 64 nothing is lost: only the patches at the top of the picture are out of sight. At 32, with 27 of its 64 patches at most, one caption in five goes wrong. With 8 only three tokens of an answer see any of it, three patches at most. With 4 and less layers 0 and 2 see nothing of it while they write: the prompt of four tokens fills the window. A fifth of the captions are still right then, since layers 1 and 3 see the picture.
#
# ## All of it
#
# The rest is a frame: the new blocks in the old model, two masks in place of one, and the limit for the logits.


# %% tags=["from:vlm.gemma2.Gemma2ForCausalLM"]
class Gemma2ForCausalLM(GemmaForCausalLM):
    """Gemma 2 with its head, whose logits are soft-capped."""

    def __init__(self, config: Gemma2Config):
        super().__init__(config, Gemma2DecoderLayer)

    def make_layer_masks(self, mask: Tensor, token_type_ids: Tensor) -> LayerMasks:
        """The prefix-LM mask [B, 1, S, T] for the layers that attend to everything, and one limited to the window."""
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
        """As Gemma's; the logits lie between minus and plus `final_logit_softcapping`, in the same order."""
        logits = super().forward(inputs_embeds, position_ids, masks, kv_cache, logits_to_keep)
        cap = self.model.config.final_logit_softcapping
        return logits if cap is None else soft_cap(logits, cap)


# %% [markdown]
# (`LayerMasks` is a named tuple of two masks, `full` and `sliding`. `config.is_sliding(i)` is true for even i, and `PaliGemmaForConditionalGeneration.forward` calls `make_layer_masks`.) You have read the whole of PaliGemma 2. Now the proof: a small one with random weights, in *transformers* and here, in a batch with padding, with an answer. Its window of 3 is shorter than its 4 image tokens, its caps are so low that they bend, and its scalar is not its head's size. With a window of 4,096, a cap of 50 and a scalar that is the head's size, most of the mistakes of this chapter would change nothing.

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
twin.load_state_dict(
    {canonical_name(name): tensor for name, tensor in reference.state_dict().items()}
)

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
print(f"in bounds: {bool(difference <= 1e-5)}")
assert difference <= 1e-5

# %% [markdown]
# `make parity` prints this for both generations, all five layouts, three dtypes, and four ways of reading (one row, a padded batch, with an answer, with a cache): 120 comparisons. In 16 bits the two programs agree to the last bit, as long as *transformers* is told to write its attention out ("eager").
#
# Which of the five changes could you have forgotten, and what would have noticed?

# %%
from unittest.mock import patch

expected = reference(**inputs).logits[real]
attentions = [layer.self_attn for layer in twin.language_model.model.layers]
blocks = twin.language_model.model.layers
forgotten = {
    "nothing": [],
    "cap on the scores": [patch.object(a, "softcap", None) for a in attentions],
    "cap on the logits": [patch("vlm.gemma2.soft_cap", lambda logits, cap: logits)],
    "scalar (head_dim instead)": [patch.object(a, "scaling", 12**-0.5) for a in attentions],
    "window": [patch.object(block, "is_sliding", False) for block in blocks],
    "window in the other layers": [
        patch.object(block, "is_sliding", not block.is_sliding) for block in blocks
    ],
    "norms on the way out": [
        patch.object(getattr(block, name), "forward", lambda states: states)
        for block in blocks
        for name in ("post_attention_layernorm", "post_feedforward_layernorm")
    ],
}
for name, changes in forgotten.items():
    for change in changes:
        change.start()
    logits = twin(**inputs).logits[real]
    for change in changes:
        change.stop()
    same = (logits.argmax(-1) == expected.argmax(-1)).float().mean()
    print(
        f"{name:27} logits off by {(logits - expected).abs().max():.3f}, {same:.0%} of the likeliest tokens the same"
    )

# %% [markdown]
# The cap on the logits changes no token, as promised.
#
# ## Exercises
#
# Open `exercises/ch15_gemma2.py`. Grade yourself below, or in a terminal:
#
# ```text
# pytest exercises/test_ch15_gemma2.py
# ```
#
# ### `soft_cap` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Divide, bend, multiply. The formula stands in the stub.
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
# ```{admonition} Hint
# :class: dropdown
# The factor, not what is divided by: 1/16 for 256.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# What are the two things that are added in each half? Only one of them has passed a norm on its way out.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Two conditions are joined by "or", and what comes of it by "and" with what was there. Which ones?
# ```
# ```{admonition} Hint 2: whose column
# :class: dropdown
# The new tokens are the last S of T columns, so the first of them stands in column T − S. `torch.arange(T)[-S:, None]` are their columns, one for each row of the mask.
# ```
# ```{admonition} Hint 3: almost the line
# :class: dropdown
# Near is `columns > own_column - window`. A window of 1 leaves only the token itself.
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
# PaliGemma 2 is PaliGemma with another language model. Scores are divided by the root of a number from the config, bent into −50 … 50, and masked last. Each step of a block is normed on its way in and on its way out. Every other layer sees the last 4,096 tokens, but the prefix sees itself in full. Logits are bent into −30 … 30, which changes
# probabilities and no greedy answer. None of these mistakes stops with an error; a test against the reference, with a config that is made to be nasty, finds all of them.
#
# You now have every line of both models. What remains is to run one that was trained by Google, on the machine that you have.
