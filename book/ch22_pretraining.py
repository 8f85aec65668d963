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
# # Pretraining from scratch: where did the Toybox model come from?
#
# Everything in this course ran on a model that could already see. It began as 2.7 million random numbers, and some hours of training on two cores made it what it is. This chapter shows how. It begins with a short training from scratch, in which you watch the model find its first words. Then you see what it is trained on, in which order, with which loss, and what happens if you leave one part out.
#
# At the end you will be able to
#
# - say what a data mixture is, how the tasks are weighted in the loss, and why a training world should be wider than the test;
# - explain why the vision tower is trained before the first word;
# - build soft targets for location tokens, a learning-rate schedule, and an update that moves all directions equally (Muon);
# - read an ablation and a loss curve, and know how far to believe them;
# - pretrain a small PaliGemma from scratch.
#
# Time: about 50 minutes to read and run, and 40 for the four exercises. The first cell trains a small PaliGemma from scratch, in about a minute: 80 steps for the tower alone, then 120 in which the whole model learns to generate text. Since so little training has to be enough, its scenes are easy, with one or two toys on a ground that has a name. The next cell shows what the model says about three images on the way.

# %% mystnb={"image": {"alt": "Three lines of losses over 200 steps. The tower's falls in the first 80. From there on that of captions falls fast, and that of boxes slowly."}, "figure": {"caption": "In a minute of training from scratch, the model learns captions fast, and boxes hardly at all. Losses, means over ten steps. Up to step 80 (gray line) there is no text. From there on, the weight of the tower's loss falls from ½ to 0.", "name": "fig-ch22-goal"}} tags=["hide-input"]
import json
import math
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor
from toybox import MASK_VQVAE_FILE
from toybox.batches import BACKGROUND_CLASS, CLASSES, GROUPS, TrainingBatches, patch_targets
from toybox.examples import example_image
from toybox.prompts import caption
from toybox.recipe import Recipe
from toybox.scenes import BACKGROUNDS, Scene, draw_scene
from toybox.sprites import LABELS, plural
from toybox.train import Trainer
from vlm.generate import generate
from vlm.paligemma import IGNORE_INDEX
from vlm.regions.boxes import NUM_LOCATION_BINS
from vlm.regions.mask_vqvae import load_mask_decoder, load_mask_encoder

SHORT = Recipe(
    scenes_per_step=8,
    look_steps=80,
    speak_steps=120,
    warmup_steps=15,
    speak_learning_rate=3e-3,
)
mask_encoder, mask_decoder = (
    load_mask_encoder(MASK_VQVAE_FILE),
    load_mask_decoder(MASK_VQVAE_FILE),
)


def make_batches(recipe: Recipe, trainer: Trainer) -> TrainingBatches:
    return TrainingBatches(recipe, trainer.processor, mask_encoder, mask_decoder, first_step=0)


def draw_easy_scene(seed: int, split: str) -> Scene:
    """The first of 100 scenes with one or two toys on a ground that has a name."""
    candidates = (draw_scene(100 * seed + index, split) for index in range(100))
    return next(s for s in candidates if s.background and 1 <= len(s.objects) <= 2)


def captions_of(trainer: Trainer, images: list) -> list[str]:
    trainer.model.eval()
    texts = generate(trainer.model, trainer.processor, ["caption en"] * len(images), images, 26)
    trainer.model.train()
    return texts


trainer = Trainer(SHORT, Path("runs"), "cpu")  # random weights
short_batches = make_batches(SHORT, trainer)
lines, said = [], {}
started = time.perf_counter()
for step in range(SHORT.total_steps):
    with patch("toybox.batches.draw_scene", draw_easy_scene):
        batch = short_batches.make_batch(step)
    batch.text = {name: batch.text[name] for name in ("captions", "boxes") if batch.text}
    losses = trainer.train_step(batch)
    lines.append({name: float(loss) for name, loss in losses.items()})
    if step + 1 in (100, 120, 160, 200):
        said[step + 1] = captions_of(trainer, [example_image(i) for i in (0, 1, 4)])
minutes = (time.perf_counter() - started) / 60


def smooth(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses, the mean over ten steps."""
    kept = [(step, line[name]) for step, line in enumerate(lines) if name in line]
    steps, values = (np.array(column).reshape(-1, 10).mean(1) for column in zip(*kept))
    return steps, values / (GROUPS[name].weight if name in GROUPS else 1)


fig, ax = plt.subplots(figsize=(7, 3.1), layout="constrained")
for name, label, color, style in (
    ("dense", "tower", "#009E73", ":"),
    ("captions", "captions", "#0072B2", "-"),
    ("boxes", "boxes", "#D55E00", "--"),
):
    ax.plot(*smooth(name), color=color, linestyle=style, label=label)
ax.axvline(SHORT.look_steps, color="gray", linewidth=1)
ax.set(xlabel="step", ylabel="loss", ylim=(0, 9))
ax.legend()
plt.show()

# %% tags=["nbval-ignore-output"]
print(f"{minutes:.1f} minutes here")
for step, texts in said.items():
    print(f"after {step - SHORT.look_steps:3d} steps with text:")
    for text in texts:
        print(f"    {text or '(nothing)'}")
first_loss, *_, last_loss = smooth("captions")[1]
assert last_loss < 0.4 * first_loss

# %% [markdown]
# At first it writes nothing: every answer has an end, so to end is the safest guess. Then it finds the word that most captions begin with. Then the grammar: a toy, a ground. The first thing it sees in an image is the ground, which fills most of it. Are the toys seen too, or guessed? Count, on 100 scenes that it was not trained on: how often is the ground right, and how many of the kinds of toys are named?

# %%
scenes = [draw_easy_scene(seed, "test") for seed in range(100)]
texts = []
for start in range(0, 100, 50):
    texts += captions_of(trainer, [s.image for s in scenes[start : start + 50]])
named, there, told = 0, 0, 0
for text, scene in zip(texts, scenes):
    words = text.replace(",", "").split()
    kinds = {thing.label for thing in scene.objects}
    said_kinds = {label for label in LABELS if label in words or plural(label) in words}
    named += len(kinds & said_kinds)
    there += len(kinds)
    told += len(said_kinds)
grounds = [BACKGROUNDS[scene.background] for scene in scenes]
ground = np.mean([text.endswith(name) for text, name in zip(texts, grounds)])
exact = np.mean([text == caption(s).suffix for text, s in zip(texts, scenes)])

# %% tags=["nbval-ignore-output"]
print(f"ground right {ground:.2f} (by chance {1 / 6:.2f})")
print(f"of the kinds that are there, {named / there:.2f} are named")
print(f"of the kinds that are named, {named / told:.2f} are there")
print(f"whole captions right {exact:.2f}")
assert ground > 0.3

# %% [markdown]
# The ground is seen. The toys are guessed: if you named one of the twenty kinds blindly, you would be right as often. So in this time the model has learned what a caption looks like and how to use the largest thing in the image.
#
# The shipped model was trained by the same code, for more than a hundred times as many steps, each with four times as many scenes, and in a harder world. `toybox/checkpoint/provenance.json` lists every run that its weights have been through, and how long each took.
#
# ## Training data: domain randomization and a mixture of tasks
#
# A real model is trained on a billion images from the web with the text beside them. The Toybox draws its own: for each step 32 new scenes, with their ground truth. So there are no epochs (passes over all data), and a model that does well on new scenes does so because it has learned, not because it has memorized.
#
# How wide must such a world be? The first Toybox had one to four upright toys of 26 to 56 pixels, always on one of six grounds. Its model was nearly perfect there, and helpless one step outside: on plain gray it named toys that were not there, and it answered "is there a zebra?" with `0`. What never varies in training, a network takes for granted. So whatever should not matter has to vary, which is called {term}`domain randomization` {cite}`tobin2017domain`. Half of today's grounds have no name. There are up to six toys, of 14 to 105 pixels, some tilted, half hidden, cut off or recolored; there are signs, blur, noise, and scenes with nothing in them.

# %% mystnb={"image": {"alt": "Twelve small scenes in two rows: toys of very different sizes on stripes, checks, blurred colors, sand, night, water, sky and noise; some are hidden, cut off, tilted or recolored; two have signs."}, "figure": {"caption": "What all scenes have in common is what the model may rely on: the toys' shapes. Twelve scenes of the training split.", "name": "fig-ch22-world"}} tags=["hide-input"]
fig, axes = plt.subplots(2, 6, figsize=(8.4, 2.9), layout="constrained")
for ax, seed in zip(axes.flat, (1, 8, 9, 12, 18, 36, 10, 27, 23, 24, 29, 33)):
    ax.imshow(draw_scene(seed, "train").image)
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Each scene gives several training examples for one pass of the tower: a caption, a short answer, boxes, and on every second scene masks. Together the tasks form a {term}`mixture`. A batch is a rectangle, but a caption has 10 tokens where four masks have 90. So rows of similar length form a *group* with a fixed length of its own, and a compiled model meets only six shapes. What is in the groups, and how many tokens are there to predict? Count in ten batches.

# %%
recipe = Recipe()
shipped = Trainer(recipe, Path("runs"), "cpu")  # makes batches, trains nothing
batches = make_batches(recipe, shipped)
rows_of, tokens_of = Counter(), Counter()
location_shares = []  # of each row of boxes, the fraction of location tokens
for step in range(recipe.look_steps, recipe.look_steps + 10):
    for name, rows in batches.make_batch(step).text.items():
        counts = rows.labels != IGNORE_INDEX
        rows_of[name] += len(rows.labels)
        tokens_of[name] += int(counts.sum())
        if name == "boxes":
            bins = rows.labels - shipped.first_location_id
            is_location = (bins >= 0) & (bins < NUM_LOCATION_BINS)
            location_shares += (is_location.sum(-1) / counts.sum(-1)).tolist()

# %%
print("             rows  length  tokens  of all  weight")
for name, number in rows_of.items():
    group, fraction = GROUPS[name], tokens_of[name] / tokens_of.total()
    print(f"{name:11s} {number:5d}  {group.text_length:6d}", end="")
    print(f"  {tokens_of[name]:6d}  {fraction:6.2f}  {group.weight:6.2f}")
apart = sum(number * GROUPS[name].text_length for name, number in rows_of.items())
together = rows_of.total() * max(group.text_length for group in GROUPS.values())
print(f"text positions in groups: {apart:,}; in rows of one length: {together:,}")

# %% [markdown]
# Most of the tokens to predict are in boxes and masks. If the loss were the mean over tokens, the model would be mostly a mask writer that can also talk. So the mean is taken first over each row's tokens and then over the rows of a group: within a group each *answer* counts the same, however long it is. Google's training code does this; *transformers* takes the mean over tokens, and so did chapter 21. Then the groups' losses are added up, each with its weight. The weights are not derived from anything: boxes are learned last, so they got the largest.
#
# A real mixture has another problem. Its data sets have different sizes, some a thousand times as large as others. If they are sampled in proportion to size, the model sees hardly anything but the largest. T5 {cite}`raffel2019exploring` describes two remedies that are still in use. *Limit* the size that counts. Or raise each share to the power 1 / temperature and normalize again: at temperature 1 nothing changes, and the higher it is, the more alike the shares become.
#
# Details of the training examples decide what the model can do afterwards, more than the network does. A caption names kinds in alphabetical order, so that only one caption is right. Of the questions "how many" and "is there", four in ten ask for something that is not there; without them, the model would learn that the answer to "is there" is yes. And three in ten of *those* ask for something that is no toy, one of some 150 everyday words: a model that has often had to say no also says no to words that it has never met. ("Zebra" is kept for the test.) Boxes are listed from top to bottom. Compared with listing them kind by kind, as the prompt names them, that was worth five points of precision and recall. The first number of a box is its top edge, so when boxes go from top to bottom, the model has only one decision to make at a time.
#
# ## Curriculum: the tower first, then text
#
# In the first stage there is no text at all. A linear probe, thrown away afterwards, reads each patch's vector from the tower and predicts what covers the patch, and where that thing's edges are. It has to name more than the kind of toy: a red car and a blue car are two classes, and so are two words on signs. The tower has no reason to keep what this probe does not ask for, and the language model could not recover it later. Words are the hardest to see. With a sign in one scene of eight, the probe could not tell them apart after 2,900 steps. So in this stage every second image is a sheet full of signs. Google's tower came from SigLIP, trained on pairs of images and texts (chapter 4); this stage is the Toybox's cheap substitute, which works because a drawn world knows all its answers.

# %% tags=["hide-input"]
from figures.schematics.stages import draw_stages
from IPython.display import HTML
from toybox.recipe import Recipe

recipe = Recipe()
drawing = draw_stages(recipe.look_steps, recipe.speak_steps, recipe.scenes_per_step)
HTML(
    drawing.html(
        "Both models first learn to see, then to answer. Google takes a tower and a "
        "language model that are already trained, and adds two stages of joint "
        "training; the Toybox begins with random weights. Blue: stages in which the "
        "tower is trained alone."
    )
)

# %% mystnb={"image": {"alt": "A toy scene with a sign, and beside it the same scene as an 8 by 8 grid: on each patch the name of the thing that covers an eighth of it or more (red car, apple, or the word on the sign), or a dot."}, "figure": {"caption": "In the first stage the tower learns to say, for each patch, which toy or sign covers most of it, if it covers an eighth (69 classes). Not shown: how far away the four edges of that toy or sign are.", "name": "fig-ch22-dense"}} tags=["hide-input"]
scene = draw_scene(18, "train")
classes, _ = patch_targets(scene)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
axes[0].imshow(scene.image)
axes[1].imshow(
    scene.image.convert("L"), cmap="gray", vmin=-255, vmax=255, extent=(0, 112, 112, 0)
)
for patch_index, kind in enumerate(classes):
    y, x = divmod(patch_index, 8)
    text = "·" if kind == BACKGROUND_CLASS else CLASSES[kind].replace(" ", "\n")
    axes[1].text(14 * x + 7, 14 * y + 7, text, ha="center", va="center", fontsize=6)
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# In the second stage the whole model learns to generate text, and the probe's loss continues beside it with a weight that falls to 0. An order from easy to hard is called a {term}`curriculum` {cite}`bengio2009curriculum`. There are two more in this training. The targets of the boxes get sharper (next section). And the world grew: the shipped weights began in the first Toybox, and went on from there in the wider one (`python -m toybox.train --start DIRECTORY`).
#
# ## Soft targets: location bins have neighbors
#
# To a cross-entropy, `<loc0500>` in place of `<loc0501>` is as wrong as `cat` in place of `<loc0501>`. It does not know that the location tokens are bins in a row. From a billion examples, a model finds that out. With some hundred thousand, it helps to tell it: give the neighbors of the right bin some of the probability, in the form of a bell (a Gaussian). This is a {term}`soft target <soft target>`; the same idea for classes without an order is called label smoothing {cite}`szegedy2015rethinking`.


# %% tags=["from:toybox.losses.soft_location_targets"]
def soft_location_targets(sigma: float) -> Tensor:
    """Row i: how much each bin counts as right when bin i is. A bell, rows sum to 1."""
    bins = torch.arange(NUM_LOCATION_BINS)
    return torch.softmax(
        -((bins[:, None] - bins[None, :]) ** 2) / (2 * sigma**2),
        dim=-1,
    )


# %% [markdown]
# Why a softmax? A bell is e to the power of -d² / 2σ², where d is the distance from the right bin and σ the standard deviation, both in bins; divided by its sum, it is a softmax of -d² / 2σ². That is true at the first and the last bin as well, where half of the bell is missing.
#
# σ is 16 bins at the start and 4 at the end. How does σ change the lowest possible loss? A perfect model, whose output is exactly the bell, has a loss equal to the bell's entropy: with σ = 4 that is 2.8 per location token. (In natural logarithms, like every loss here. Chapter 10 counted in bits: 2.8 / ln 2 = 4.0.) Check it by hand: the entropy of a bell is ln(σ √(2πe)). The loss for boxes is a mean over all tokens of a row, and the words among them can go to 0.

# %% mystnb={"image": {"alt": "Three curves over location bins 440 to 560: a wide bell of sigma 16, a narrow bell of sigma 4, both centered on 500, and a single bar of height 1 at 500, cut off at 0.12."}, "figure": {"caption": "The target for a location token gets sharper during training. If bin 500 is right: the soft target at the start of the second stage (sigma 16), at its end (sigma 4), and a one-hot target (whose bar goes up to 1).", "name": "fig-ch22-soft"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.6, 2.9), layout="constrained")
for sigma, color, style in ((16, "#0072B2", "-"), (4, "#D55E00", "--")):
    bell = soft_location_targets(sigma)[500]
    ax.plot(bell, color=color, linestyle=style, label=f"sigma {sigma}")
ax.vlines(500, 0, 1, color="black", linestyle=":", label="one-hot")
ax.set(xlim=(440, 560), ylim=(0, 0.12), xlabel="location bin", ylabel="target probability")
ax.legend()
plt.show()

# %%
targets = soft_location_targets(4.0)
entropy = -(targets[500] * targets[500].log()).nan_to_num().sum().item()
by_hand = math.log(4 * math.sqrt(2 * math.pi * math.e))
print(f"entropy of the bell: {entropy:.3f}, by hand {by_hand:.3f}")
assert abs(entropy - by_hand) < 1e-3
share = np.mean(location_shares)
print(f"{share:.2f} of a row of boxes are location tokens:", end=" ")
print(f"its loss cannot be below {share * entropy:.1f}")
assert torch.allclose(targets.sum(-1), torch.ones(NUM_LOCATION_BINS))
# At the edge, half of the bell (with its middle) has all of the probability.
print(f"the right bin gets {targets[500, 500]:.3f} in the middle", end=" ")
print(f"and {targets[0, 0]:.3f} at the edge")
assert 1.7 < targets[0, 0] / targets[500, 500] < 2


# %% tags=["from:toybox.losses.suffix_loss"]
def suffix_loss(
    logits: Tensor, labels: Tensor, first_location_id: int, location_targets: Tensor
) -> Tensor:
    """Cross-entropy of the suffix: mean over each row's tokens, then over rows."""
    log_probabilities = logits[:, :-1].float().log_softmax(-1)  # [R, T-1, V]
    labels = labels[:, 1:]
    counts = labels != IGNORE_INDEX
    row_weights = counts / counts.sum(-1, keepdim=True) / len(labels)  # [R, T-1], sum 1
    bins = labels - first_location_id
    is_location = (bins >= 0) & (bins < NUM_LOCATION_BINS)
    is_word = counts & ~is_location

    word_terms = log_probabilities[is_word].gather(-1, labels[is_word][:, None])[:, 0]
    location_logs = log_probabilities[is_location][
        :, first_location_id : first_location_id + NUM_LOCATION_BINS
    ]
    location_terms = (location_logs * location_targets[bins[is_location]]).sum(-1)
    return (
        -(word_terms * row_weights[is_word]).sum()
        - (location_terms * row_weights[is_location]).sum()
    )


# %% [markdown]
# Soft targets contain a trap. They teach the model to *generate* neighboring bins, and then it *reads* what it has generated. (A model that has only read true tokens in training, and then has to continue its own, suffers from *exposure bias*.) The boxes of the scenes have whole pixels, which fall on 113 of the 1,024 bins; the model had never read the other 911. The first Toybox model found 19 % of the toys: given the true location tokens, it was one pixel off; left to itself, it lost its way after two of them. Moving each edge by up to half a pixel in training, for 1,500 more steps, took it to 91 %.
#
# ## Learning-rate schedule and Muon
#
# How fast should the weights move? The learning rate of each stage follows a {term}`schedule <learning-rate schedule>`. It rises over 200 steps and falls along half a cosine {cite}`loshchilov2016sgdr`. It rises because {term}`AdamW` {cite}`loshchilov2017decoupled` divides by a running estimate of the gradient's size, which is unreliable in the first steps. It falls because at the end the model should stop jumping around the minimum that it has found: boxes become good late, when the steps get small.
#
# And in which direction? AdamW divides each number of a gradient by its own running size: it treats a matrix as a bag of numbers. But a matrix maps vectors to vectors, and its gradient is the sum of a few strong directions and many weak ones, as its *singular values* show. {term}`Muon` {cite}`jordan2024muon` makes all singular values of an update nearly equal, so that it moves all directions by the same amount; the weak ones, its authors suspect, are the rare things that a model would otherwise learn last. That needs no singular value decomposition. With X = U S Vᵀ, the product X Xᵀ X is U S³ Vᵀ: an odd polynomial of a matrix changes its singular values alone. Five rounds of a well-chosen one (a *Newton–Schulz iteration*) bring all but the very smallest near 1.


# %%
def orthogonalize(matrix: Tensor) -> Tensor:
    """The same directions, singular values about 1: [O, I] -> [O, I]."""
    x = matrix / matrix.norm()  # no singular value is above 1
    for _ in range(5):
        square = x @ x.T  # [O, O]
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


# By hand, for known singular values: each goes through the polynomial.
values = torch.tensor([3.0, 1.0, 0.1])
by_hand = values / values.norm()
for _ in range(5):
    by_hand = 3.4445 * by_hand - 4.7750 * by_hand**3 + 2.0315 * by_hand**5
assert torch.allclose(orthogonalize(values.diag()).diag(), by_hand, atol=1e-5)
print("3, 1 and 0.1 become", [round(value, 2) for value in by_hand.tolist()])

# %% [markdown]
# Is it what PyTorch's Muon does? Compare one step, for a matrix of the model that the first cell trained.

# %%
matrix = trainer.model.language_model.model.layers[1].mlp.down_proj.weight
losses = trainer.compute_losses(batch, progress=1.0)
sum(losses.values()).backward()
moved = torch.nn.Parameter(torch.zeros_like(matrix))
moved.grad = matrix.grad
muon = torch.optim.Muon([moved], lr=1, weight_decay=0, adjust_lr_fn="match_rms_adamw")
muon.step()
ours = -0.2 * max(matrix.shape) ** 0.5 * orthogonalize(matrix.grad)
agrees = torch.cosine_similarity(moved.flatten(), ours.flatten(), dim=0)
assert agrees > 0.98  # not 1: PyTorch computes it in bfloat16
for optimizer in trainer.optimizers:
    groups = optimizer.param_groups
    number = sum(parameter.numel() for group in groups for parameter in group["params"])
    print(f"{type(optimizer).__name__:6s} updates {number:9,} parameters")

# %% mystnb={"image": {"alt": "Left: the learning rate over 26,000 steps: a fast rise to 0.002 and a cosine fall until step 6,000, then again to 0.0015 and down until 26,000. Right: 128 singular values, the largest first, on a logarithmic axis. Those of the gradient fall steeply, to a ten thousandth. Those of AdamW's step fall to a tenth at once. Those of Muon's step stay near 1 for two thirds of the directions."}, "figure": {"caption": "Muon moves nearly all directions equally, AdamW does not. Left: the learning rate of the full recipe, two stages with a warm-up each. Right: singular values of one matrix's gradient, and of the first step that each optimizer computes from it, relative to the largest. Even with Muon, directions that are a thousand times weaker than the strongest stay behind.", "name": "fig-ch22-rate"}} tags=["hide-input"]
rates = []
for step in range(0, recipe.total_steps, 20):
    shipped.step = step
    shipped.set_learning_rate()
    rates.append(shipped.groups()[0]["lr"])
fig, axes = plt.subplots(1, 2, figsize=(8.4, 2.9), layout="constrained")
axes[0].plot(range(0, recipe.total_steps, 20), rates, color="#0072B2")
axes[0].axvline(recipe.look_steps, color="gray", linestyle=":")
axes[0].text(recipe.look_steps + 400, 0.0021, "stage 2")
axes[0].text(recipe.look_steps - 400, 0.0021, "stage 1", ha="right")
axes[0].set(xlabel="step", ylabel="learning rate", ylim=(0, 0.0023))
for update, label, color, style in (
    (matrix.grad, "gradient", "#009E73", ":"),
    (matrix.grad.sign(), "AdamW", "#D55E00", "--"),  # each number divided by its own size
    (moved.detach(), "Muon", "#0072B2", "-"),
):
    values = torch.linalg.svdvals(update)
    axes[1].semilogy(values / values[0], color=color, linestyle=style, label=label)
axes[1].set(xlabel="direction, strongest first", ylabel="singular value", ylim=(1e-4, 2))
axes[1].legend()
plt.show()
assert (
    abs(rates[(recipe.warmup_steps + recipe.look_steps) // 2 // 20] - 0.5 * 2e-3 * 1.02) < 2e-5
)  # halfway down the first cosine

# %% [markdown]
# Muon is for matrices. Embeddings, biases, norms and the patch filters stay with AdamW. Muon's step is scaled by 0.2 √max(O, I), which gives it the size of AdamW's (0.2, as a root mean square), so that one learning rate and one weight decay serve both {cite}`liu2025muon`. A Muon step takes longer, and is worth it: in a trial of the first stage, 350 steps with both optimizers ended at a loss of 0.80, and 400 steps with AdamW alone, in the same time, at 1.04 (one run each).
#
# ## Ablations: what each part is worth
#
# Leave one thing out, keep everything else, and see what changes: that is an *ablation*. Here are four short runs in the first, narrower Toybox, with AdamW alone, each with 1,000 steps of the second stage and 12 scenes a step (a twentieth of the scenes that the first Toybox model saw). All but one start with the same tower, trained for 1,500 steps; all see the same examples in the same order (`tools/ablations.py`, about an hour). One has the full recipe. One has one-hot targets for the location tokens. One has a *causal* mask: image and prompt attend only to what comes before them, as in most language models. One starts with a random tower. (Error bars show the uncertainty from the choice of scenes; each run was made once.)
#
# Before you look: the prompt comes after the image. What can image positions do with the question if they attend to it, and what can they not do under a causal mask? Which task should suffer: captions, counts, or "is there a cat?"

# %% mystnb={"image": {"alt": "Grouped bars with error bars for four runs on three measures. Captions right: 0.42, 0.41, 0.38 and, without the pretrained tower, 0.24. Is there a ...: 0.93, 0.96, causal mask 0.45, no pretrained tower 0.50. How many: 0.56, 0.66, 0.49, 0.49."}, "figure": {"caption": "With a causal mask or a random tower, a short run does not learn \"is there a ...?\". Four runs that differ in one thing each, on 300 validation scenes, with 95 % confidence intervals (normal approximation). By chance, half of the answers to \"is there a ...?\" are right; a model that always says 0 gets 46 % of \"how many ...?\".", "name": "fig-ch22-ablations"}} tags=["hide-input"]
ablations = json.loads(Path("data/ablations.json").read_text(encoding="utf-8"))
MEASURES = {
    "captions right": "caption",
    "is there a ...?": "presence",
    "how many ...?": "count",
}
NAMES = {"all of it": "full recipe", "one right mark": "one-hot targets"}
LOOKS = (("#0072B2", ""), ("#D55E00", "//"), ("#009E73", ".."), ("#CC79A7", "xx"))
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for shift, ((name, one), (color, hatch)) in enumerate(zip(ablations["runs"].items(), LOOKS)):
    heights = np.array([one["final"][f"{task} exact_match"] for task in MEASURES.values()])
    spread = 1.96 * np.sqrt(heights * (1 - heights) / 300)
    positions = np.arange(len(MEASURES)) + 0.2 * shift
    ax.bar(
        positions,
        heights,
        0.19,
        yerr=spread,
        capsize=3,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=NAMES.get(name, name),
    )
ax.set_xticks(np.arange(len(MEASURES)) + 0.3, list(MEASURES))
ax.set(ylabel="fraction right, of 300", ylim=(0, 1.05), xlabel="task")
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8)
plt.show()

# %% [markdown]
# The causal mask leaves captions nearly as they are: the words of the answer see the whole image in any case, and in the tower the patches have already attended to each other. But asked whether there is a cat, the model is at chance after 1,000 steps, where the prefix mask has 93 %. A likely reason: under the prefix mask, each patch can compare itself with the question; under the causal one, the few positions of the question must carry everything that they might need of 64 patches, and the model has not learned that yet. (It may learn it later. A short run shows what is *easy* to learn.)
#
# Without a pretrained tower, captions fall from 42 to 24 %, and "is there a ...?" is at chance as well. This tower has to learn in 1,000 steps what the others began to learn 1,500 steps before, and the language model has nothing to read until it has.
#
# And soft targets? The run with one-hot targets counts better, and we have no explanation for that. About boxes, for which soft targets are made, these runs say nothing: none of the four models finds more than a few yet. An ablation that is too short for its question gives a number all the same, and the number means nothing.
#
# So test boxes alone (in the first Toybox again). Take its trained tower, and freeze it. Projector and language model begin with random weights and get only one kind of example: `detect cat`, for scenes with one cat, with one box as the answer. That needs only 600 steps. Run each variant from three seeds (`tools/ablate_soft_targets.py`, half an hour). Guess first: what will differ more, the two kinds of targets or the seeds?

# %% mystnb={"image": {"alt": "Six lines of the fraction of boxes found over 600 steps. With soft targets they end at 0.94, 0.88 and 0.32, with one-hot targets at 0.80, 0.32 and 0.11."}, "figure": {"caption": "In each of the three pairs, soft targets are ahead from step 200 on. Boxes found (IoU at least 0.5, 300 validation scenes) while a language model learns boxes and nothing else. Lines of one color have the same initial weights and the same examples.", "name": "fig-ch22-bell"}} tags=["hide-input"]
bells = json.loads(Path("data/soft_targets.json").read_text(encoding="utf-8"))
SEED_COLORS = ("#0072B2", "#D55E00", "#009E73")
fig, ax = plt.subplots(figsize=(6.8, 3.3), layout="constrained")
for one in bells["runs"]:
    is_bell = one["variant"] == "bell"
    ax.plot(
        [0] + [line["step"] for line in one["lines"]],
        [0] + [line["found"] for line in one["lines"]],
        color=SEED_COLORS[one["seed"]],
        linestyle="-" if is_bell else ":",
        marker="o" if is_bell else "x",
        label=f"{'soft' if is_bell else 'one-hot'}, seed {one['seed']}",
    )
ax.set(xlabel="step", ylabel="fraction of boxes found", ylim=(0, 1))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The seeds differ more than the two kinds of targets do. With soft targets, the worst seed ends at 32 %, the best at 94. Had you run each kind once, with different seeds, you could have found anything. But compare within a pair, where everything else is equal: 94 against 80, 32 against 11, 88 against 32. Soft targets win all three, from step 200 on. If there were no difference, three wins of three would have a chance of one in eight, so this is a hint and no proof; what makes it believable is the size of the effect, and that the reason was known before the run.

# %% [markdown]
# ## Loss curves: in which order it learned
#
# The shipped model's training kept no losses, so the same recipe was run once more from the same seed, on another processor, and its log was kept. From step 5,281 on, checkpoints of the run were kept too, and each was evaluated on 300 validation scenes (`tools/training_record.py`).
#
# Before you look: with soft targets, the loss of a location token cannot go below the bell's entropy. You have computed it for σ = 4. While the bell narrows from 16 to 4, this lower bound falls. How much of the fall of the boxes' loss is learning?

# %% mystnb={"image": {"alt": "Four panels over the 12,000 steps. The tower's loss falls from 1.2 to 0.1 in the first 4,000. Captions and answers fall from 1.8 to a few hundredths, masks of one thing from 3.4 to 0.8. The loss of boxes falls from 5.2 to 3.1 in 1,300 steps and then slowly to 2.2, parallel to its lower bound, which goes from 2.4 to 1.6. Evaluation: is there a ...? is right from the first checkpoint on; boxes found rise from 0.46 to 0.98, captions right from 0.58 to 0.98, the IoU of the boxes from 0.66 to 0.88, that of masks from 0.38 to 0.76."}, "figure": {"caption": "Boxes are found more and more often, while their loss above its lower bound hardly moves. A whole training: losses (means over 200 steps), and what its checkpoints could do.", "name": "fig-ch22-run"}} tags=["hide-input"]
training = json.loads(Path("data/training.json").read_text(encoding="utf-8"))
run = Recipe(**training["provenance"]["recipe"])


def progress_at(steps: np.ndarray) -> np.ndarray:
    """How much of the second stage is done, 0 to 1."""
    return np.clip((steps - run.look_steps) / run.speak_steps, 0, 1)


def log_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and unweighted losses of the whole run, means of 4 log lines (200 steps)."""
    kept = [(line["step"], line[name]) for line in training["lines"] if name in line]
    kept = kept[: len(kept) // 4 * 4]
    steps, values = (np.array(column).reshape(-1, 4).mean(1) for column in zip(*kept))
    if name in GROUPS:
        return steps, values / GROUPS[name].weight
    progress = progress_at(steps)  # of the probe's loss, whose weight falls to 0
    is_kept = progress < 0.9
    weights = np.where(progress > 0, run.dense_weight * (1 - progress), 1)
    return steps[is_kept], values[is_kept] / weights[is_kept]


fig, ((ax_look, ax_speak), (ax_boxes, ax_asked)) = plt.subplots(
    2, 2, figsize=(8.4, 6), layout="constrained"
)
ax_look.plot(*log_of("dense"), color="#009E73", linestyle=":")
ax_look.axvline(run.look_steps, color="gray", linewidth=1)
ax_look.set(title="stage 1: patches and edges", yscale="log")
for name, label, color, style in (
    ("captions", "captions", "#0072B2", "-"),
    ("answers", "answers", "#56B4E9", "--"),
    ("mask", "masks of one thing", "#CC79A7", "-."),
):
    ax_speak.plot(*log_of(name), color=color, linestyle=style, label=label)
ax_speak.set(title="stage 2: words and masks", yscale="log")

start, end = run.location_sigma
steps, boxes = log_of("boxes")
sigmas = start * (end / start) ** progress_at(steps)
least = share * np.log(sigmas * math.sqrt(2 * math.pi * math.e))
ax_boxes.plot(steps, boxes, color="#D55E00", linestyle="--", label="boxes")
ax_boxes.plot(steps, least, color="black", linewidth=1, label="lower bound (entropy)")
ax_boxes.set(title="stage 2: boxes", ylim=(0, None))

ASKED = (
    ("presence", "exact_match", "is there ...? right", "#000000", "x"),
    ("detect", "recall", "boxes found", "#D55E00", "s"),
    ("caption", "exact_match", "captions right", "#0072B2", "o"),
    ("ocr", "exact_match", "signs read", "#56B4E9", "D"),
    ("detect", "mean_box_iou", "IoU of found boxes", "#E69F00", "^"),
    ("segment", "mean_mask_iou", "IoU of masks", "#CC79A7", "v"),
)
for task, measure, label, color, marker in ASKED:
    ax_asked.plot(
        [state["step"] for state in training["states"]],
        [state[task][measure] for state in training["states"]],
        color=color,
        marker=marker,
        markersize=4,
        label=label,
    )
ax_asked.set(title="on 300 validation scenes", ylim=(0, 1.03))
ax_asked.locator_params(axis="x", nbins=5)
for ax, ylabel in (
    (ax_look, "loss"),
    (ax_speak, "loss"),
    (ax_boxes, "loss"),
    (ax_asked, "score"),
):
    ax.set(xlabel="step", ylabel=ylabel)
for ax in (ax_speak, ax_boxes, ax_asked):
    ax.legend(fontsize=8)
plt.show()

# %%
print("boxes' loss    all   bound   above it")
for fraction in (0.02, 0.17, 0.5, 0.99):  # of the second stage
    index = int(np.argmin(abs(progress_at(steps) - fraction)))
    above = boxes[index] - least[index]
    print(f"step {steps[index]:6.0f}", end="  ")
    print(f"{boxes[index]:5.2f}   {least[index]:5.2f}      {above:5.2f}")
print("\n" + " " * 14 + "  ".join(label for _, _, label, _, _ in ASKED))
states = training["states"]
some = [states[i] for i in np.linspace(0, len(states) - 1, 4).astype(int)]
for state in (*some, training["shipped"] | {"step": 0}):
    name = f"step {state['step']:6d}" if state["step"] else "shipped    "
    cells = [f"{state[task][m]:{len(label)}.2f}" for task, m, label, _, _ in ASKED]
    print(f"{name}   {'  '.join(cells)}")

# %% [markdown]
# Words come first. When the first of these checkpoints was kept, after 1,281 steps of the second stage, 99 % of the answers to "is there a ...?" were right, and less than half of the boxes were found. The boxes catch up and overtake the captions, in which a single wrong word spoils the whole. The fit of the boxes improves to the very end; and so do the masks, which are placed inside the boxes. At the end the second run is within half a point of the first (the last row of the table): the weights are not the same, since another processor adds in another order, but the scores are.
#
# And the loss of boxes? From step 5,325 on it falls by 0.85, and 0.67 of that is its lower bound. The part above the bound goes from 0.75 to 0.57, and fluctuates by about as much. Had you looked at the curve alone, you would have said that after a sixth of the second stage the boxes learn nothing more, while the fraction found goes from 46 to 98 %. A narrower bell asks for a sharper answer, and the model keeps up with it. So look at what a model can do, and not at its loss alone.
#
# ## What the real model does
#
# PaliGemma's training has three stages after the parts have been trained separately {cite}`beyer2024paligemma`. First come a billion examples at 224 pixels, with everything trainable and a slow warm-up for the tower; then a shorter stage at 448 and at 896 pixels, in which tasks that need high resolution (text in images, boxes, masks) get more weight and longer answers. The third stage is fine-tuning. Its mixture has captions in many languages, questions and answers that other models wrote, and boxes and masks that detectors drew. Its location tokens have one-hot targets. The first stage took some three days on 256 TPU chips, the two at higher resolution about one day more. The rest is the same: the prefix mask, the loss on the answer alone, the mean over each answer first, boxes as tokens, and tasks that only the prompt tells apart.
#
# ## Exercises
#
# Open `exercises/ch22_pretraining.py`, fill in what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch22_pretraining.py
# ```
#
# ### `soft_targets` (2 points, 10 minutes)
#
# Make soft targets: a bell around the right bin, whose probabilities sum to 1.
#
# ```{literalinclude} ../exercises/ch22_pretraining.py
# :pyobject: soft_targets
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Square the distance of each bin from the right one and divide by 2 sigma². Take e to the minus that, and divide by the sum.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: soft_targets
# ```
# ````
#
# ### `learning_rate` (1 point, 10 minutes)
#
# Compute the learning rate of a step: a linear warm-up, then half a cosine.
#
# ```{literalinclude} ../exercises/ch22_pretraining.py
# :pyobject: learning_rate
# ```
#
# ```{admonition} Hint
# :class: dropdown
# The last step of the warm-up reaches the peak. Half a cosine runs from cos(0) = 1 to cos(π) = -1: shift and halve it.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: learning_rate
# ```
# ````
#
# ### `sampling_weights` (2 points, 10 minutes)
#
# Compute how often each of several data sets is sampled.
#
# ```{literalinclude} ../exercises/ch22_pretraining.py
# :pyobject: sampling_weights
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Three steps: limit the sizes, take the power 1 / temperature, divide by the sum. The order matters.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: sampling_weights
# ```
# ````
#
# ### `mean_over_answers` (2 points, 10 minutes)
#
# Compute a loss in which each answer counts the same, however long it is.
#
# ```{literalinclude} ../exercises/ch22_pretraining.py
# :pyobject: mean_over_answers
# ```
#
# ```{admonition} Hint
# :class: dropdown
# First take the mean of each row, over the tokens that count; then the mean over the rows that have any.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: mean_over_answers
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch22_pretraining")

# %% [markdown]
# ## Summary
#
# The mixture of training examples makes the model, and how an example is posed can matter more than how the network is built. The loss takes the mean over each answer first, or long answers dominate. The tower is trained before the model generates text. A near bin is better than a far one, and soft targets say so; but what the model learns to generate it must also learn to read. The learning rate rises, then falls to the end of the budget; Muon moves all directions of a matrix equally. Words come first, then boxes, and last how well the boxes fit: if you stop early, you may think that the model cannot do what it has not learned yet.
#
# You have now built a PaliGemma, checked it against the reference, run it, looked into it, measured it, fine-tuned it, and made one from scratch. The capstone of this part is {doc}`yours to choose <project>`.
