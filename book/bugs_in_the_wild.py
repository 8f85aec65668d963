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
# # Bugs found in the wild: masks, scaling, positions and weights
#
# Every bug on this page was once in code that people ran: in *transformers*, vLLM, and other projects that implement PaliGemma or its parts. Nearly all of them are planted into the Toybox here, and you see what they do to captions and boxes; two that concern batches are planted in chapter 12. In the projects where they were found, hardly any stopped with an error. We chose them because you, too, could have written them: most are among the mistakes that this course's graders detect.
#
# The numbers after a project's name are those of its issues and pull requests on GitHub, where you can read how each bug was found. We looked them up; where we only repeat what a thread says, the text says so.
#
# Time: about 10 minutes to read and run.

# %% mystnb={"image": {"alt": "Two columns of horizontal bars for fourteen entries: captions right and mean IoU of boxes. Right model: 1.00 and 0.90. Eps of LayerNorm, exact GELU, angles in bfloat16 and SiLU: 1.00 and 0.89 or 0.90. Padding visible: 0.33 and 0.85. Mask of 0 and 1 added: 0.57 and 0.88. RoPE on neighbors: 0.57 and 0. All others: 0, except 0.05 with tiled heads."}, "figure": {"caption": "Seven bugs ruin the boxes at once; the others hardly change them, and some leave the captions as they were too, so nobody notices. Left: the fraction of correct captions on 40 test scenes; right: the mean IoU of the boxes of one kind of toy per scene. All prompts are in one batch with a longer one, so every row has padding.", "name": "fig-bugs-cost"}} tags=["hide-input"]
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
images = [scene.image for scene in scenes]
labels = [scene.objects[0].label for scene in scenes]


# A longer prompt, so that all other rows are padded.
LONG = "answer en which is further left, the butterfly or the banana?"


def ask_all(
    which: PaliGemmaForConditionalGeneration, prompts: list[str], max_new_tokens: int
) -> list[str]:
    return generate(which, processor, [*prompts, LONG], [*images, image], max_new_tokens)[:-1]


def captions_right(which=model) -> float:
    texts = ask_all(which, ["caption en"] * 40, 26)
    return sum(text == caption(scene).suffix for text, scene in zip(texts, scenes)) / 40


def mean_iou(which=model) -> float:
    """The IoU of each toy of the wanted kind with its best box, or 0 if there is no box; the mean."""
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


def rotate_neighbors(states, cos, sin):
    rotated = torch.stack([-states[..., 1::2], states[..., ::2]], dim=-1).flatten(-2)
    return states * cos + rotated * sin


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
    "causal prefix": change_mask(lambda a, t, d: right_mask(a, torch.ones_like(t), d)),
    "heads tiled": patch.object(gemma, "repeat_kv", lambda x, n: x.repeat(1, n, 1, 1)),
    "RoPE on neighbors": patch.object(gemma, "apply_rotary_pos_emb", rotate_neighbors),
    "norm without 1 +": change_norm(plain_weight),
    "images / √D": change_features(D**-0.5),
    "text scaled twice": patch.object(
        gemma.GemmaModel, "embed", lambda self, ids: right_embed(self, ids) * D**0.5
    ),
}
costs = {}
for bug, planted in BUGS.items():
    with planted:
        costs[bug] = captions_right(), mean_iou()

fig, axes = plt.subplots(1, 2, figsize=(7.8, 4.4), layout="constrained", sharey=True)
for ax, values, label, color in (
    (axes[0], [cost[0] for cost in costs.values()], "captions right (fraction)", "#0072B2"),
    (axes[1], [cost[1] for cost in costs.values()], "mean IoU of boxes", "#D55E00"),
):
    bars = ax.barh(list(costs), values, color=color)
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    ax.set(xlabel=label, xlim=(0, 1.15))
axes[0].invert_yaxis()
axes[0].set_ylabel("bug")
plt.show()

# %% [markdown]
# The bars are means over forty scenes. Here is one scene, and you may change it. Take a bug from the middle of the figure above, *RoPE on neighbors*, and let the model generate a caption. Can you make a scene whose caption survives the bug, and one whose caption does not? Guess which: few toys or many, one kind or several?
#
# <div class="live-figure" data-figure="break-it" data-tasks="caption detect segment count">
# <p>This figure needs JavaScript. The bars above show what each bug costs on 40 scenes. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("break-it", tasks="caption detect segment count")

# %% [markdown]
# Both are easy to make, and a single additional toy can decide. So one image proves nothing, in either direction, and that is how bugs like these go unnoticed. Ask for boxes in the same scene: with this bug they go wrong long before the caption does. Then compare the bars of bugs that you cannot see in any answer, such as the exact GELU, with the bars of those that you can. For nearly all bugs the error begins at the merged embeddings or in layer 0. They differ in how long the bars are.
#
# ## Attention masks
#
# **A mask that hides nothing.** When PaliGemma came to *transformers*, in May 2024, its mask let every position attend to every other (pull requests 30918 and 30967). For inference that is right, as long as the input is only a prompt. For *training* it is a disaster that looks like success: each token of the answer sees the next one, which the model is supposed to predict. unsloth-zoo's pull request 963 (July 2026) describes the same leak for several models: the loss was 3.93 where the reference has 7.49. To see the leak clearly, train on answers that cannot be known: six words drawn at random from eight, whatever is in the image. The best that an honest model can do is to give each word probability ⅛, at a loss of ln 8 = 2.08 per word.

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


# %% mystnb={"image": {"alt": "Loss over 80 steps. Both curves fall from above 10. With the right mask the loss stays at about 1.8. With the mask that hides nothing it keeps falling towards 0."}, "figure": {"caption": "With a mask that hides nothing the loss falls below what is possible, because the model copies the answer from its own input. Training on random answers; with the right mask the loss stops at the minimum (dashed: six words at ln 8, and an end token that is certain).", "name": "fig-bugs-leak"}} tags=["hide-input", "nbval-ignore-output"]
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
ax.text(1, floor * 0.93, "lowest possible loss", fontsize=8, va="top")
ax.set(xlabel="step", ylabel="loss")
ax.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
ax.minorticks_off()
ax.legend()
plt.show()
print(f"the lowest possible loss: {floor:.2f}")

# %% [markdown]
# A loss that is too good is a bug too. When such a model generates, there is no future to copy from, and copying is all it has learned.
#
# **An inverted mask.** The fix broke something else: in 4.41.2 the mask was passed on with 1 for "may attend", where the next function expected 0 for "may attend" and a large negative number for "masked". There it stopped with an error (issue 31171; fixed in 31207). As a workaround people inverted their own `attention_mask`, and the thread says what they got: "yes yes yes …" for every image. *Added as it is*, a mask of 0 and 1 masks nothing; it only gives the allowed positions a small advantage. Without padding every caption would survive that; here the padding spoils four in ten. With an *inverted* mask, each position attends to everything except what it should attend to.
#
# **Visible padding.** *transformers* 4.48 (issue 35855, fixed in 35859) first masked the padding and then unmasked the whole prefix again. Padding has token type 0, like the prefix. In the figure two captions in three go wrong, and boxes get slightly worse. In a batch without padding nothing is lost, so a test without padding cannot see this bug.
#
# **A causal prefix.** A language model library treats prompts as causal unless you tell it otherwise. PaliGemma's image tokens have learned to attend to the prompt, so this ruins the Toybox at once. In a large model it may cost only a few points. *transformers* 5.23 does it when it gets no `token_type_ids`; that is why its processor always returns them (pull request 40917).
#
# ## Scaling: √D, and the 1 in RMSNorm
#
# **Image features divided by √D.** vLLM 52667 (August 2026). Gemma's code once multiplied all of its inputs by √D, and PaliGemma's divided the image features by it first (*transformers* 37117 is a reader's question about exactly this). Then vLLM moved the multiplication to the text embeddings and left the division where it was. The thread reports a cosine similarity of 0.90 between the image vectors and the reference's.
#
# **Text embeddings scaled twice.** OpenTau 179 (April 2026): the code moved from Gemma 1, whose embedding layer does not scale, to Gemma 3, whose embedding layer does, and kept its own scaling.
#
# **A norm without the 1.** Gemma stores how far a norm's factor is from 1. Liger-Kernel 74 (August 2024) used Llama's norm instead; executorch 19901 (May 2026) forgot the 1 on one of its two loading paths.
#
# ## Inside a layer: activation, RoPE, heads
#
# **The wrong activation function.** Gemma's first implementations had the exact GELU (*transformers* 29402, gemma_pytorch 37); candle 3745 (July 2026) has SiLU in its quantized Gemma 3, and explains why it went unnoticed: the two functions are so similar that nothing overflows. In the figure, captions don't show it, and boxes hardly do.
#
# **RoPE angles in 16 bits.** *transformers* 29285 (February 2024): when a whole model runs in bfloat16, its RoPE angles are computed in bfloat16 too, unless the code prevents it. bfloat16 has 8 significant bits, so beyond 256 it cannot even represent every integer. Our prompts have 80 tokens, and the figure shows next to nothing. A PaliGemma at 448 pixels has 1,024 image tokens alone.
#
# **Pairs and groups.** Rotating pairs of neighbors instead of halves (AiDotNet 2074) leaves more than half of the captions right, since a caption depends little on positions, but no box. Tiling key/value heads instead of repeating them (jax-js 180) ruins both. This second bug cannot show in PaliGemma 3B, which has one key/value head.
#
# ## Weights that never arrive
#
# The names in a checkpoint change between releases. lerobot 2307 (October 2025) concerns a robot policy built on PaliGemma: one tensor, the embedding, was not loaded, because the file had it only under the name of the head. A line in the log said "Warning: Could not remap state dict keys", and training began. Here is the Toybox without its embedding, and without its tower.

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
# In Mistral 3 (*transformers* 43429, January 2026), a head that should be tied was not, because one of two configs did not say so, and it stayed random: "generates gibberish". Such a bug is noticed at once.
#
# ## Batches: positions and padding
#
# **Another row's positions.** unsloth 3795 (December 2025): each new token got the same position in all rows, although the rows had different numbers of pads on the left. The longest row came out right, and all shorter rows came out wrong.
#
# **Padding forgotten after the prompt.** unsloth 1066 (September 2024): from the second token on the mask was all ones, so the pads in the cache became visible. Batches gave other answers than single prompts, and it took half a year to find out why.
#
# Chapter 12 has figures of what the second bug does, and of a relative of the first: all rows get the positions of the shortest.
#
# ## What these bugs have in common
#
# They raise no error, the output is plausible, and the usual test cannot see the bug: one prompt, no padding, no answer, one key/value head, float32. Many were found by people who compared numbers with a reference, layer by layer. You can do that now. In the {doc}`capstone <capstone>` you do it with a model that is put together from your own parts.
