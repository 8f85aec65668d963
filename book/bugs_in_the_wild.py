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
# # Bugs found in the wild
#
# Every bug on this page was once in code that people ran: in *transformers*, vLLM, and other projects that implement PaliGemma or its parts. Nearly all of them are planted into the Toybox here, and you see what it does to captions and boxes; two that concern batches are planted in chapter 12. In the code that they were in, hardly any stopped with an error. They were chosen because you, too, could have written them: most are among the mistakes that the graders of this course know.
#
# The numbers behind a project's name are those of its issues and pull requests on GitHub, where you can read how each was found. We looked them up; what a thread says is said as such.

# %% mystnb={"image": {"alt": "Two columns of horizontal bars for fourteen entries: captions right and mean IoU of boxes. Right model: 1.00 and 0.90. Eps of LayerNorm, exact GELU, angles in bfloat16 and SiLU: 1.00 and 0.89 or 0.90. Padding visible: 0.33 and 0.85. Mask of 0 and 1 added: 0.57 and 0.88. Neighbours turned: 0.57 and 0. All others: 0, but for 0.05 with tiled heads."}, "figure": {"caption": "What each bug costs on 40 test scenes: captions that are right, and the mean IoU of the boxes of one kind of thing in each scene. All questions stand in one batch with a longer one, so all have padding. Seven ruin the boxes at once. The others leave the boxes nearly as they were, and some of them the captions too: they stay unseen.", "name": "fig-bugs-cost"}} tags=["hide-input"]
import copy
from contextlib import nullcontext
from unittest.mock import patch

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file
from torch import nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.scenes import draw_scene
from toybox.train import initialize
from vlm import gemma, paligemma
from vlm.generate import generate
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import box_iou, parse_detections

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
D = config.text_config.hidden_size
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
drawn = (draw_scene(seed, "test") for seed in range(50))
scenes = [scene for scene in drawn if scene.objects][:40]
pictures = [scene.image for scene in scenes]
labels = [scene.objects[0].label for scene in scenes]


LONG = "answer en which is further left, the butterfly or the banana?"  # so that all others are padded


def ask_all(
    which: PaliGemmaForConditionalGeneration, prompts: list[str], max_new_tokens: int
) -> list[str]:
    return generate(which, processor, [*prompts, LONG], [*pictures, image], max_new_tokens)[:-1]


def captions_right(which=model) -> float:
    texts = ask_all(which, ["caption en"] * 40, 26)
    return sum(text == caption(scene).suffix for text, scene in zip(texts, scenes)) / 40


def mean_iou(which=model) -> float:
    """Of each thing of the kind that is asked for with the box nearest to it; 0 where there is none."""
    prompts = [f"detect {label}" for label in labels]
    texts = ask_all(which, prompts, 40)
    overlaps = []
    for text, scene, label in zip(texts, scenes, labels):
        found = parse_detections(text, 112, 112)
        for thing in scene.objects:
            if thing.label == label:
                overlaps.append(max((box_iou(box.box, thing.box) for box in found), default=0))
    return sum(overlaps) / len(overlaps)


right_mask, right_embed = paligemma.make_prefix_lm_mask, gemma.GemmaModel.embed
right_features = PaliGemmaForConditionalGeneration.get_image_features


def change_mask(function):
    return patch.object(paligemma, "make_prefix_lm_mask", function)


def change_features(factor: float):
    return patch.object(
        PaliGemmaForConditionalGeneration,
        "get_image_features",
        lambda self, pixels: right_features(self, pixels) * factor,
    )


def change_mlp(activation):
    return patch.object(
        gemma.GemmaMLP,
        "forward",
        lambda self, x: self.down_proj(activation(self.gate_proj(x)) * self.up_proj(x)),
    )


def change_norm(function):
    return patch.object(gemma.GemmaRMSNorm, "forward", function)


def inverted(attention_mask, types, dtype):
    visible = right_mask(attention_mask, types, dtype) == 0
    return torch.where(visible, torch.finfo(dtype).min, 0.0)


def zeros_and_ones(attention_mask, types, dtype):
    return (right_mask(attention_mask, types, dtype) == 0).to(dtype)


def all_prefix(attention_mask, types, dtype):
    return right_mask(attention_mask, torch.zeros_like(types), dtype)


def angles_in_bfloat16(position_ids, head_dim, theta, dtype):
    exponents = torch.arange(0, head_dim, 2).bfloat16() / head_dim
    angles = position_ids[:, None, :, None].bfloat16() * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def turn_neighbours(states, cos, sin):
    turned = torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)
    return states * cos + turned * sin


def plain_weight(self, states):
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.eps)
    return states * scale * self.weight


def layer_norm_with_larger_eps(self, states):
    return nn.functional.layer_norm(states, self.normalized_shape, self.weight, self.bias, 1e-5)


BUGS = {
    "none": nullcontext(),
    "LayerNorm eps 1e-5": patch.object(nn.LayerNorm, "forward", layer_norm_with_larger_eps),
    "exact GELU": change_mlp(nn.functional.gelu),
    "angles in bfloat16": patch.object(gemma, "rotary_cos_sin", angles_in_bfloat16),
    "SiLU": change_mlp(nn.functional.silu),
    "padding visible": change_mask(lambda a, t, d: right_mask(torch.ones_like(a), t, d)),
    "mask of 0 and 1 added": change_mask(zeros_and_ones),
    "mask inverted": change_mask(inverted),
    "causal prompt": change_mask(lambda a, t, d: right_mask(a, torch.ones_like(t), d)),
    "heads tiled": patch.object(gemma, "repeat_kv", lambda x, n: x.repeat(1, n, 1, 1)),
    "neighbours turned": patch.object(gemma, "apply_rotary_pos_emb", turn_neighbours),
    "norm without 1 +": change_norm(plain_weight),
    "pictures / √D": change_features(D**-0.5),
    "words scaled twice": patch.object(
        gemma.GemmaModel, "embed", lambda self, ids: right_embed(self, ids) * D**0.5
    ),
}
costs = {}
for bug, planted in BUGS.items():
    with planted:
        costs[bug] = captions_right(), mean_iou()

fig, axes = plt.subplots(1, 2, figsize=(7.8, 4.4), layout="constrained", sharey=True)
for ax, values, label, color in (
    (axes[0], [cost[0] for cost in costs.values()], "captions right", "#0072B2"),
    (axes[1], [cost[1] for cost in costs.values()], "mean IoU of boxes", "#D55E00"),
):
    bars = ax.barh(list(costs), values, color=color)
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    ax.set(xlabel=label, xlim=(0, 1.15))
axes[0].invert_yaxis()
axes[0].set_ylabel("bug")
plt.show()

# %% [markdown]
# Forty scenes give a mean. Here is one scene, and you may change it. Take a bug from the middle of the figure above, *RoPE on neighbors*, and let the model write a caption. Can you make a scene whose caption survives the bug, and one whose caption does not? Guess which: few toys or many, one kind or several?
#
# <div class="live-figure" data-figure="break-it" data-tasks="caption detect segment count">
# <p>This figure needs JavaScript. The bars above count what each bug costs on 40 scenes. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", tasks="caption detect segment count")

# %% [markdown]
# Both are easy to make, and one toy more can decide. So one picture proves nothing, in either direction, and that is how bugs like these get through. Ask for boxes in the same scene: with this bug they go wrong long before the caption does. And compare the bars of bugs that you cannot see in any answer, such as the exact GELU, with those of the ones that you can. Nearly all begin at the merged embeddings or in layer 0. What tells them apart is how long the bars are.
#
# ## Masks
#
# **A mask that hides nothing.** When PaliGemma came to *transformers*, in May 2024, its mask let everyone see everything (pull requests 30918 and 30967). For answering that is right, as long as only a prompt goes in. For *training* it is a disaster that looks like success: each token of the answer sees the next one, which it is to predict. unsloth-zoo's pull request 963 (July 2026) describes the same for several models: the loss came out at 3.93 where the reference has
# 7.49. To see it clearly, train on answers that
# nobody can know: six words drawn by chance from eight, whatever is in the picture. The best that an honest model can do is to give each word ⅛, at a loss of ln 8 = 2.08 for each.


# %%
WORDS = ["cat", "dog", "bird", "fish", "car", "boat", "tree", "house"]


def train_on_chance(mask, steps: int = 80) -> list[float]:
    """The losses of a copy of the model, trained with one of the masks."""
    generator = torch.Generator().manual_seed(0)
    student = copy.deepcopy(model).train()
    student.vision_tower.requires_grad_(False)
    optimizer = torch.optim.AdamW(student.language_model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        drawn = torch.randint(8, (16, 6), generator=generator).tolist()
        answers = [" ".join(WORDS[i] for i in row) for row in drawn]
        batch = processor(["caption en"] * 16, [image] * 16, suffix=answers)
        with change_mask(mask):
            loss = student(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# %% mystnb={"image": {"alt": "Loss over 80 steps. Both curves fall from above 10. With the right mask the loss stays at about 1.8. With the mask that hides nothing it falls on towards 0."}, "figure": {"caption": "Training on answers drawn by chance. With the right mask the loss stops where it must (dashed: six words at ln 8, and an end that is certain). With the mask that hides nothing it goes on falling: the model reads the answer off.", "name": "fig-bugs-leak"}} tags=["hide-input", "nbval-ignore-output"]
fig, ax = plt.subplots(figsize=(6.6, 3), layout="constrained")
for name, mask, color, style in (
    ("right mask", right_mask, "#0072B2", "-"),
    ("hides nothing", all_prefix, "#D55E00", "-."),
):
    losses = train_on_chance(mask)
    ax.semilogy(losses, color=color, linestyle=style, label=name)
    print(f"{name:14} mean of the last ten losses: {sum(losses[-10:]) / 10:.2f}")
floor = 6 / 7 * torch.log(torch.tensor(8.0)).item()
ax.axhline(floor, color="black", linestyle="--", linewidth=1)
ax.text(1, floor * 0.93, "the least that is possible", fontsize=8, va="top")
ax.set(xlabel="step", ylabel="loss")
ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
ax.minorticks_off()
ax.legend()
plt.show()
print(f"the least that is possible: {floor:.2f}")

# %% [markdown]
# A loss that is too good is a bug too. When such a model writes, there is no future to read from, and it has learned nothing else.
#
# **A mask the wrong way round.** The repair broke something else: in 4.41.2 the mask was handed on with 1 for "may look", where the next function wanted 0 for "may look" and a large negative number for "may not". There it stopped with an error (issue 31171; repaired in 31207). People helped themselves by inverting their own `attention_mask`, and the thread tells what they got: "yes yes yes …" for every picture. *Added as it is*, a mask of 0 and 1 forbids nothing,
# it only favours a little; without padding captions would survive it whole, here it is padding that spoils four of ten. *Inverted*, everything may be looked at but what should be.
#
# **Padding that is seen.** *transformers* 4.48 (issue 35855, repaired in 35859) hid the padding first, and then showed the whole prefix again. Padding has type 0, like the prefix. In the figure two captions of three go wrong, and boxes lose a little. In a batch without padding nothing is lost, and that is where the models were tried.
#
# **A causal prompt.** A language model's library reads prompts causally unless it is told otherwise. PaliGemma's image tokens have learned to see the prompt, so this ruins the Toybox at once. In a large model it may cost only some points. *transformers* 5.23 does it when it gets no `token_type_ids`, which its processor therefore always returns (pull request 40917).
#
# ## Sizes
#
# **Pictures divided by √D.** vLLM 52667 (August 2026). Gemma's code once multiplied everything that came in by √D, and PaliGemma's divided its pictures by it first (*transformers* 37117 is a reader's question about exactly this). Then vLLM moved the multiplication to the words, and left the division where it was. The thread reports image vectors with a cosine of 0.90 to the reference's.
#
# **Words multiplied twice.** OpenTau 179 (April 2026): from Gemma 1, whose embedding does not scale, to Gemma 3, whose embedding does, with a scaling by hand in between.
#
# **A norm without its 1.** Gemma stores how far a norm's factor is from 1. Liger-Kernel 74 (August 2024) had Llama's norm in its place; executorch 19901 (May 2026) forgot the 1 on one of two paths of loading.
#
# ## The inside of a layer
#
# **The wrong activation.** Gemma's first implementations had the exact GELU (*transformers* 29402, gemma_pytorch 37); candle 3745 (July 2026) has SiLU in its quantized Gemma 3, and says why nobody saw it: the two curves are so alike that nothing overflows. Look at the figure: captions don't show it, boxes hardly.
#
# **Angles in 16 bits.** *transformers* 29285 (February 2024): when a whole model runs in bfloat16, so do the positions' angles, unless somebody prevents it. bfloat16 has 8 bits for the digits, so beyond 256 not even all whole numbers exist. Our prompts have 80 tokens, and the figure shows next to nothing. A PaliGemma at 448 pixels has 1,024 image tokens alone.
#
# **Pairs and groups.** Turning neighbours instead of halves (AiDotNet 2074) leaves more than half of the captions right, which need little order, and no box. Tiling heads instead of repeating them (jax-js 180) ruins both. The second cannot show in PaliGemma 3B, which has one key/value head.
#
# ## Weights that never arrive
#
# A checkpoint's names change between releases. lerobot 2307 (October 2025) is a robot's policy on top of PaliGemma: one tensor, the embedding, did not find its place, because the file had it only under the name of the head. A line in the log said "Warning: Could not remap state dict keys", and the training began. Here is the Toybox without its embedding, and without its tower.

# %%
torch.manual_seed(0)
weights = load_file(CHECKPOINT_DIRECTORY / "model.safetensors")
for lost in ("embed_tokens", "vision_tower"):
    incomplete = PaliGemmaForConditionalGeneration(config).eval()
    initialize(incomplete)
    kept = {name: tensor for name, tensor in weights.items() if lost not in name}
    incomplete.load_state_dict(kept, strict=False)
    [text] = generate(incomplete, processor, "caption en", image, max_new_tokens=8)
    print(f"without {lost}: {text!r}")

# %% [markdown]
# And Mistral 3 (*transformers* 43429, January 2026): a head that should be tied was not, since one of two configs did not say so, and it stayed random: "generates gibberish". That one was seen at once.
#
# ## Batches
#
# **Positions of another row.** unsloth 3795 (December 2025): each new token got one position for all rows, though the rows had different numbers of pads in front. The longest row came out right, all others did not.
#
# **Padding forgotten after the prompt.** unsloth 1066 (2024, repaired 2025): from the second token on the mask was a plain 1, so the pads in the cache could be seen. Batches gave other answers than single prompts, and the thread took half a year.
#
# Chapter 12 has pictures of what the second does, and of a relative of the first: all rows get the positions of the shortest.
#
# ## What they have in common
#
# No error, a plausible output, and a test that could not see it: one prompt, no padding, no answer, one key/value head, float32. Most were found by somebody who compared numbers with a reference, layer by layer. You can do that now.
