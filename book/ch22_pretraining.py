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
# # Where did it come from? Pretraining from nothing
#
# Everything in this course ran on a model that could already see. Before, it was 2.7 million random numbers. Some hours on two cores lay between. This chapter opens the workshop. It begins with a short training from nothing, in which you watch the model find its first words. Then: what it is shown, in which order, with which loss, and what happens if you leave a part out.
#
# At the end you will be able to
#
# - say what a mixture of tasks is, what each task weighs in the loss, and why a training world is made wider than the test;
# - explain why the tower learns to look before it hears a word;
# - build soft targets for a ruler, a learning-rate schedule, and an update that moves all directions equally (Muon);
# - read an ablation and a loss curve, and know how far to believe them;
# - train a small PaliGemma from nothing.
#
# It takes about 50 minutes, and 40 for the exercises. The first cell trains a small PaliGemma from nothing, in about a minute: 80 steps in which its tower learns to look, 120 in which all of it learns to speak. So that so little is enough, its scenes are easy ones, with one or two toys on a ground that has a name. Here is what it says about three pictures on the way.

# %% mystnb={"image": {"alt": "Three lines of losses over 200 steps. The tower's falls in the first 80. From there on captions fall fast, and boxes slowly."}, "figure": {"caption": "A minute of training from nothing (mean over ten steps). At first there are no words. At step 80 the tower's loss gets the weight ½, which then falls to 0. From there on captions come fast, and boxes hardly at all.", "name": "fig-ch22-goal"}} tags=["hide-input"]
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
    """One or two toys on a ground that has a name: the first such scene from a place on."""
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
    print(f"after {step - SHORT.look_steps:3d} steps of speaking:")
    for text in texts:
        print(f"    {text or '(nothing)'}")
assert smooth("captions")[1][-1] < 0.4 * smooth("captions")[1][0]

# %% [markdown]
# First it writes nothing: every answer has an end, so to end is the safest guess. Then it finds the word that most captions begin with. Then the grammar: a toy, a ground. The ground comes first of what is seen, since it is most of the picture. Are the toys seen too, or guessed? Count, on 100 scenes that it was not trained on: how often is the ground right, and how many of the kinds of toys are named?

# %%
scenes = [draw_easy_scene(seed, "test") for seed in range(100)]
texts = []
for start in range(0, 100, 50):
    texts += captions_of(trainer, [scene.image for scene in scenes[start : start + 50]])
ground = np.mean([text.endswith(BACKGROUNDS[s.background]) for text, s in zip(texts, scenes)])
named, there, told = 0, 0, 0
for text, scene in zip(texts, scenes):
    words = text.replace(",", "").split()
    kinds = {thing.label for thing in scene.objects}
    said_kinds = {label for label in LABELS if label in words or plural(label) in words}
    named, there, told = (
        named + len(kinds & said_kinds),
        there + len(kinds),
        told + len(said_kinds),
    )
exact = np.mean([text == caption(scene).suffix for text, scene in zip(texts, scenes)])

# %% tags=["nbval-ignore-output"]
print(f"ground right {ground:.2f} (by chance {1 / 6:.2f})")
print(
    f"of the kinds that are there {named / there:.2f} are named; "
    f"of those named {named / told:.2f} are there"
)
print(f"whole captions right {exact:.2f}")
assert ground > 0.3

# %% [markdown]
# The ground is seen. The toys are guessed: name one of twenty kinds blindly, and you are right as often. So in this time it has learned what a caption looks like, and to look at the largest thing in the picture.
#
# The shipped model has been trained by the same code, for about a hundred times as many steps, each with four times as many scenes, and in a harder world. `toybox/checkpoint/provenance.json` has every run that its weights have been through, and how long each took.
#
# ## What it is shown
#
# A real model is trained on a billion images from the web with the text beside them. The Toybox draws its own: for each step 32 scenes that nobody has seen before, with the truth about them. So there is no epoch (one pass over all data), and a model that does well on new scenes does so because it has learned, not because it remembers.
#
# How wide must such a world be? The first Toybox had one to four upright toys of 26 to 56 pixels, always on one of six grounds. Its model was nearly perfect there, and helpless one step outside: on plain gray it named toys that were not there, and "is there a zebra?" it answered with `0`. What never varies in training, a network takes for granted. So whatever should not matter has to vary, which is called {term}`domain randomization` {cite}`tobin2017domain`. Half of today's grounds have no name. There are up to six toys, of 14 to 105 pixels, some tilted, half hidden, cut off or recolored; there are signs, blur, noise, and scenes with nothing in them.

# %% mystnb={"image": {"alt": "Twelve small scenes in two rows: toys of very different sizes on stripes, checks, blurred colors, sand, night, water, sky and noise; some are hidden, cut off, tilted or recolored; two have signs."}, "figure": {"caption": "Twelve scenes of the training split. What they have in common is what the model may rely on: the toys' shapes.", "name": "fig-ch22-world"}} tags=["hide-input"]
fig, axes = plt.subplots(2, 6, figsize=(8.4, 2.9), layout="constrained")
for ax, seed in zip(axes.flat, (1, 8, 9, 12, 18, 36, 10, 27, 23, 24, 29, 33)):
    ax.imshow(draw_scene(seed, "train").image)
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Each scene gives several lessons over one pass of the tower: a caption, a short answer, boxes, and on every second scene masks. Together they are a {term}`mixture`. A batch is a rectangle, and a caption has 10 tokens where four masks have 90. So rows of like length go together in a *group* with a fixed length of its own, and a compiled model meets six shapes. What is in the groups, and how many tokens are there to write? Count in ten batches.

# %%
recipe = Recipe()
shipped = Trainer(recipe, Path("runs"), "cpu")  # nothing is trained with it
batches = make_batches(recipe, shipped)
rows_of, tokens_of = Counter(), Counter()
first_mark = shipped.first_location_id
mark_shares = []  # of each row of boxes, the fraction of its tokens that are marks
for step in range(recipe.look_steps, recipe.look_steps + 10):
    for name, rows in batches.make_batch(step).text.items():
        rows_of[name] += len(rows.labels)
        counts = rows.labels != IGNORE_INDEX
        tokens_of[name] += int(counts.sum())
        if name == "boxes":
            is_mark = (rows.labels >= first_mark) & (
                rows.labels < first_mark + NUM_LOCATION_BINS
            )
            mark_shares += (is_mark.sum(-1) / counts.sum(-1)).tolist()
print("             rows  length  tokens  of all  weight")
for name, number in rows_of.items():
    part = tokens_of[name] / tokens_of.total()
    print(
        f"{name:11s} {number:5d}  {GROUPS[name].text_length:6d}  {tokens_of[name]:6d}  {part:6.2f}"
        f"  {GROUPS[name].weight:6.2f}"
    )
apart = sum(number * GROUPS[name].text_length for name, number in rows_of.items())
together = rows_of.total() * max(group.text_length for group in GROUPS.values())
print(f"text positions in groups: {apart:,}; in rows of one length: {together:,}")

# %% [markdown]
# Most of the tokens to be learned are in boxes and masks. If the loss were the mean over tokens, the model would be mostly a mask writer that can also talk. So the mean is taken first over each row's tokens and then over the rows of a group: within it each *answer* counts alike, however long it is. That is what Google's training code does; *transformers* takes the mean over tokens, and chapter 21 did. Then the groups are added up, each with its weight. Nobody derived these weights: boxes are learned last, so they got the largest.
#
# A real mixture has another trouble. Its data sets have sizes of their own, one a thousand times as large as another. Drawn in proportion, the giant is all that the model sees. T5 {cite}`raffel2019exploring` describes two remedies that are still in use. *Limit* the size that counts. Or raise each share to the power 1 / temperature and divide by the sum again: at temperature 1 nothing changes, and the higher it is, the more alike they become.
#
# Details of the lessons decide what the model can do afterwards, more than the network does. A caption names kinds in alphabetical order, so that there is one right one. Of the questions "how many" and "is there", four in ten ask for something that is not there; without them the model would learn that the answer to "is there" is yes. And three in ten of *those* ask for something that is no toy, one of some 150 everyday words: a model that has often been told no says no to words that it has never met, too. ("Zebra" is kept for the test.) Boxes are listed from top to bottom. That was worth five points of precision and recall, against kind by kind, as the prompt names them. The first number written of a box is its top edge, so from top to bottom the model has only one decision to make at a time.
#
# ## First look, then speak
#
# In the first stage there are no words at all. A linear layer, thrown away afterwards, reads each patch's vector from the tower and says what covers it, and where that thing's edges are. A kind of toy is not enough of an answer: a red car and a blue car are two classes, and so are two words on signs. What this probe does not ask for, the tower has no reason to keep, and the language model could not find it later. Words are the hardest to see. With a sign in one scene of eight, the probe could not tell them apart after 2,900 steps. So in this stage every second image is a sheet full of signs. Google's tower came from SigLIP, trained on pairs of pictures and texts (chapter 4); this is the Toybox's cheap stand-in, which works because a drawn world knows all its answers.

# %% mystnb={"image": {"alt": "A toy scene with a sign, and beside it the same scene as an 8 by 8 grid: on each patch the name of the thing that covers an eighth of it or more, red car, apple or the word on the sign, or a dot."}, "figure": {"caption": "What the tower is asked in the first stage: for each patch the toy or sign that covers most of it, if it covers an eighth (69 classes); and (not shown) how far away the four edges of that toy or sign are.", "name": "fig-ch22-dense"}} tags=["hide-input"]
scene = draw_scene(18, "train")
classes, _ = patch_targets(scene)
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), layout="constrained")
axes[0].imshow(scene.image)
axes[1].imshow(
    scene.image.convert("L"), cmap="gray", vmin=-255, vmax=255, extent=(0, 112, 112, 0)
)
for place, kind in enumerate(classes):
    y, x = divmod(place, 8)
    text = "·" if kind == BACKGROUND_CLASS else CLASSES[kind].replace(" ", "\n")
    axes[1].text(14 * x + 7, 14 * y + 7, text, ha="center", va="center", fontsize=6)
for ax in axes:
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# In the second stage the whole model learns to speak, and the tower's question goes on beside it with a weight that falls to 0. An order from easy to hard is called a {term}`curriculum` {cite}`bengio2009curriculum`. There are two more in this training. The targets of the boxes sharpen (next section). And the world grew: the shipped weights began in the first Toybox, and went on from there in the wider one (`python -m toybox.train --start DIRECTORY`).
#
# ## A ruler is not a word list
#
# To a cross-entropy, `<loc0500>` in place of `<loc0501>` is as wrong as `cat` in place of `<loc0501>`. It does not know that the marks lie in a row. In a billion examples a model finds out. In some hundred thousand it helps to be told: give the neighbours of the right mark some of the probability, in the form of a bell. This is a {term}`soft target <soft target>`; the same idea without a ruler is called label smoothing {cite}`szegedy2015rethinking`.


# %% tags=["from:toybox.losses.soft_location_targets"]
def soft_location_targets(sigma: float) -> Tensor:
    """Row i: how much each bin counts as right when bin i is. A bell, rows sum to 1."""
    bins = torch.arange(NUM_LOCATION_BINS)
    return torch.softmax(-((bins[:, None] - bins[None, :]) ** 2) / (2 * sigma**2), dim=-1)


# %% [markdown]
# Why a softmax? A bell is e to the power of -d² / 2σ², where d is the distance from the right mark and σ the standard deviation, both in marks; divided by its sum it is a softmax of -d² / 2σ², also at the ends of the ruler, where half of it is missing.
#
# σ is 16 marks at the start and 4 at the end. What does it do to the least loss that is possible? A model that is perfect, and gives exactly the bell, has a loss of the bell's entropy: with σ = 4 that is 2.8 for each mark. (In natural logarithms, as every loss. Chapter 10 counted in bits: 2.8 / ln 2 = 4.0.) Check it by hand: the entropy of a bell is ln(σ √(2πe)). The loss of boxes is a mean over all tokens of a row, and the words among them can go to 0.

# %% mystnb={"image": {"alt": "Three curves over location marks 440 to 560: a wide bell of sigma 16, a narrow bell of sigma 4, both centred on 500, and a single bar of height 1 at 500, cut off at 0.12."}, "figure": {"caption": "What counts as right when mark 500 is: at the start of the second stage, at its end, and with one right mark (whose bar goes up to 1).", "name": "fig-ch22-soft"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.6, 2.9), layout="constrained")
for sigma, color, style in ((16, "#0072B2", "-"), (4, "#D55E00", "--")):
    ax.plot(
        soft_location_targets(sigma)[500], color=color, linestyle=style, label=f"sigma {sigma}"
    )
ax.vlines(500, 0, 1, color="black", linestyle=":", label="one right mark")
ax.set(xlim=(440, 560), ylim=(0, 0.12), xlabel="location mark", ylabel="part of the target")
ax.legend()
plt.show()

# %%
targets = soft_location_targets(4.0)
entropy = -(targets[500] * targets[500].log()).nan_to_num().sum().item()
by_hand = math.log(4 * math.sqrt(2 * math.pi * math.e))
print(f"entropy of the bell: {entropy:.3f}, by hand {by_hand:.3f}")
assert abs(entropy - by_hand) < 1e-3
share = np.mean(mark_shares)
print(
    f"{share:.2f} of a row of boxes are marks: its loss cannot be below {share * entropy:.1f}"
)
assert torch.allclose(targets.sum(-1), torch.ones(NUM_LOCATION_BINS))
# At the edge half of the bell (and the middle) carries everything.
print(
    f"the right mark gets {targets[500, 500]:.3f} in the middle "
    f"and {targets[0, 0]:.3f} at the edge"
)
assert 1.7 < targets[0, 0] / targets[500, 500] < 2


# %% tags=["from:toybox.losses.suffix_loss"]
def suffix_loss(
    logits: Tensor, labels: Tensor, first_location_id: int, location_targets: Tensor
) -> Tensor:
    """Cross-entropy over the suffix: the mean over each row's tokens, then over the rows."""
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
# A trap lies behind it. Soft targets teach the model to *write* neighbours. It then *reads* what it has written. The scenes have whole pixels, which fall on 113 of the 1,024 marks; the other 911 it had never read. The first Toybox found 19 % of the toys: fed with the true marks it was one pixel off, left to itself it lost its way after two of them. Moving each edge by up to half a pixel in training, and 1,500 steps more, took it to 91 %.
#
# ## How fast, and in which direction?
#
# The learning rate of each stage follows a {term}`schedule <learning-rate schedule>`. It rises over 200 steps and falls along half a cosine {cite}`loshchilov2016sgdr`. It rises because {term}`AdamW` {cite}`loshchilov2017decoupled` divides by a running mean of the gradient's size, which is not worth much in the first steps. It falls because at the end the model should stop jumping around the place that it has found: boxes become good late, when the steps get small.
#
# And the direction of a step? AdamW divides each number of a gradient by its own running size: it treats a matrix as a bag of numbers. But a matrix maps vectors to vectors, and its gradient is the sum of a few strong directions and many weak ones, as its *singular values* say. {term}`Muon` {cite}`jordan2024muon` makes all singular values of an update equal, so that each direction moves by as much; the weak ones, its authors suspect, are the rare things that a model would otherwise learn last. That needs no decomposition. With X = U S Vᵀ, the product X Xᵀ X is U S³ Vᵀ: an odd polynomial of a matrix acts on its singular values alone. Five rounds of a well-chosen one (a *Newton–Schulz iteration*) bring all but the very smallest near 1.


# %%
def orthogonalize(matrix: Tensor) -> Tensor:
    """The same directions, singular values about 1: [O, I] -> [O, I]."""
    x = matrix / matrix.norm()  # no singular value is above 1
    for _ in range(5):
        square = x @ x.T  # [O, O]
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


# By hand, on a matrix whose singular values we know: each number goes through the polynomial.
values = torch.tensor([3.0, 1.0, 0.1])
by_hand = values / values.norm()
for _ in range(5):
    by_hand = 3.4445 * by_hand - 4.7750 * by_hand**3 + 2.0315 * by_hand**5
assert torch.allclose(orthogonalize(values.diag()).diag(), by_hand, atol=1e-5)
print("3, 1 and 0.1 become", [round(value, 2) for value in by_hand.tolist()])

matrix = trainer.model.language_model.model.layers[1].mlp.down_proj.weight  # of the first cell
losses = trainer.compute_losses(batch, progress=1.0)
sum(losses.values()).backward()
moved = torch.nn.Parameter(torch.zeros_like(matrix))
moved.grad = matrix.grad
torch.optim.Muon([moved], lr=1, weight_decay=0, adjust_lr_fn="match_rms_adamw").step()
ours = -0.2 * max(matrix.shape) ** 0.5 * orthogonalize(matrix.grad)
agrees = torch.cosine_similarity(moved.flatten(), ours.flatten(), dim=0)  # torch's has 16 bits
assert agrees > 0.98
for optimizer in trainer.optimizers:
    numbers = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    print(f"{type(optimizer).__name__:6s} moves {numbers:9,} numbers")

# %% mystnb={"image": {"alt": "Left: the learning rate over 12,000 steps: a fast rise to 0.002 and a cosine fall until step 4,000, then again to 0.0015 and down until 12,000. Right: 128 singular values, the largest first, on a logarithmic axis. Those of the gradient fall steeply, to a ten thousandth. Those of AdamW's step fall to a tenth at once. Those of Muon's step stay near 1 for two thirds of the directions."}, "figure": {"caption": "Left: the learning rate of the shipped model's training. Two stages, two warm-ups. Right: singular values of one matrix's gradient, and of the first step that each optimizer makes of it, relative to their largest. Muon moves nearly all directions alike; those that are a thousand times weaker than the strongest stay behind.", "name": "fig-ch22-rate"}} tags=["hide-input"]
rates = []
for step in range(0, recipe.total_steps, 20):
    shipped.step = step
    shipped.set_learning_rate()
    rates.append(shipped.groups()[0]["lr"])
fig, axes = plt.subplots(1, 2, figsize=(8.4, 2.9), layout="constrained")
axes[0].plot(range(0, recipe.total_steps, 20), rates, color="#0072B2")
axes[0].axvline(recipe.look_steps, color="gray", linestyle=":")
axes[0].text(recipe.look_steps + 200, 0.002, "speaks")
axes[0].text(recipe.look_steps - 2100, 0.002, "looks")
axes[0].set(xlabel="step", ylabel="learning rate", ylim=(0, 0.0023))
for update, label, color, style in (
    (matrix.grad, "gradient", "#009E73", ":"),
    (matrix.grad.sign(), "AdamW", "#D55E00", "--"),  # each number divided by its own size
    (moved.detach(), "Muon", "#0072B2", "-"),
):
    values = torch.linalg.svdvals(update)
    axes[1].semilogy(values / values[0], color=color, linestyle=style, label=label)
axes[1].set(xlabel="direction, the strongest first", ylabel="singular value", ylim=(1e-4, 2))
axes[1].legend()
plt.show()
assert (
    abs(rates[(recipe.warmup_steps + recipe.look_steps) // 2 // 20] - 0.5 * 2e-3 * 1.02) < 2e-5
)  # halfway down the first cosine

# %% [markdown]
# Muon is for matrices. Embeddings, biases, norms and the filters of the patches stay with AdamW. Its step is scaled by 0.2 √max(O, I), which gives it the size of AdamW's (0.2, as a root mean square), so that one learning rate and one weight decay serve both {cite}`liu2025muon`. A Muon step takes longer, and is worth it: in a trial of the first stage, 350 steps with both left a loss of 0.80, and 400 steps with AdamW alone, in the same time, 1.04 (one run each).
#
# ## What each part is worth
#
# Leave one thing out, keep all else, and look what happens: that is an *ablation*. Here are four short runs in the first, narrower Toybox, with AdamW alone, each of 1,000 steps of speaking with 12 scenes (a twentieth of the scenes that its model saw). All but one begin with the same tower, which has looked for 1,500 steps; all see the same lessons in the same order (`tools/ablations.py`, about an hour). One has the whole recipe. One has a single right mark for each edge. One has a *causal* mask: picture and prompt see only what stands before them, as in a usual language model. One begins with a random tower. (Error bars are for the choice of scenes; each was run once.)
#
# Before you look: the prompt comes after the picture. What can the picture's places do with the question when they see it, and what can they not do under a causal mask? Which task should suffer: captions, counts, or "is there a cat?"

# %% mystnb={"image": {"alt": "Grouped bars with error bars for four runs on three measures. Captions right: 0.42, 0.41, 0.38 and, without the pretrained tower, 0.24. Is there a ...: 0.93, 0.96, causal mask 0.45, no pretrained tower 0.50. How many: 0.56, 0.66, 0.49, 0.49."}, "figure": {"caption": "Four short runs that differ in one thing each, on 300 validation scenes, with 95 % intervals by the formula for shares. Of \"is there a ...?\" half is right by chance, and of \"how many ...?\" 46 % if one always says 0.", "name": "fig-ch22-ablations"}} tags=["hide-input"]
ablations = json.loads(Path("data/ablations.json").read_text(encoding="utf-8"))
MEASURES = {
    "captions right": "caption",
    "is there a ...?": "presence",
    "how many ...?": "count",
}
LOOKS = (("#0072B2", ""), ("#D55E00", "//"), ("#009E73", ".."), ("#CC79A7", "xx"))
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
for shift, ((name, one), (color, hatch)) in enumerate(zip(ablations["runs"].items(), LOOKS)):
    heights = np.array([one["final"][f"{task} exact_match"] for task in MEASURES.values()])
    spread = 1.96 * np.sqrt(heights * (1 - heights) / 300)
    places = np.arange(len(MEASURES)) + 0.2 * shift
    ax.bar(
        places,
        heights,
        0.19,
        yerr=spread,
        capsize=3,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=name,
    )
ax.set_xticks(np.arange(len(MEASURES)) + 0.3, list(MEASURES))
ax.set(ylabel="right, of 300", ylim=(0, 1.05), xlabel="task")
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8)
plt.show()

# %% [markdown]
# The causal mask leaves captions nearly as they are: the words of the answer see the whole picture in any case, and the tower has let the patches look at each other before. But asked whether there is a cat, it is at chance after 1,000 steps, where the prefix mask has 93 %. A likely reason: under the full view each patch can compare itself with the question while it is read; under the causal one, the question has to carry everything that it might need of 64 patches through its own few places, and has not learned it yet. (It may learn it later. A short run shows what is *easy* to learn.)
#
# Without a pretrained tower captions fall from 42 to 24 %, and the question is at chance as well. This tower has to learn in 1,000 steps what the others began to learn 1,500 steps before, and the language model has nothing to read until it has.
#
# And soft targets? The run with one right mark counts better, for which nobody has a reason. Of boxes, for which they were made, these runs say nothing: none of the four has found more than a few yet. An ablation that is too short for the thing that it asks about gives a number all the same, and the number means nothing.

# So ask about boxes alone (in the first Toybox again). Take its tower, and leave it as it is. Projector and language model begin with random weights and get one kind of lesson: `detect cat`, for scenes with one cat, is answered by one box. That needs 600 steps. And run each variant from three seeds (`tools/ablate_soft_targets.py`, half an hour). Guess first: what will differ more, bell and mark, or the seeds?

# %% mystnb={"image": {"alt": "Six lines of the part of boxes found over 600 steps. With the bell they end at 0.94, 0.88 and 0.32, with one right mark at 0.80, 0.32 and 0.11."}, "figure": {"caption": "Boxes found (IoU at least 0.5, 300 validation scenes) while a language model learns boxes and nothing else. Lines of one colour have the same first weights and the same lessons. In each of the three pairs the bell is ahead from step 200 on.", "name": "fig-ch22-bell"}} tags=["hide-input"]
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
        label=f"{one['variant']}, seed {one['seed']}",
    )
ax.set(xlabel="step", ylabel="boxes found, of 300", ylim=(0, 1))
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The seeds differ more than the two targets do. With the bell, the worst seed ends at 32 %, the best at 94. Had you run each once, with different seeds, you could have found anything. But compare within a pair, where all else is equal: 94 against 80, 32 against 11, 88 against 32. The bell wins all three, from step 200 on. Three wins of three have a chance of one in eight if there were no difference, so this is a hint and no proof; what makes it believable is the size, and that the reason was there before the run.

# %% [markdown]
# ## In which order it learned
#
# The shipped model's training kept no losses, so the same recipe was run once more from the same seed, on another processor, and its log was kept. From step 5,281 on, states of the run were put aside too, and each was asked about 300 validation scenes (`tools/training_record.py`).
#
# Before you look: the bell of a mark leaves a rest in the loss that no model can take away. You have computed it for σ = 4. While the bell narrows from 16 to 4, the rest falls. How much of the fall of the boxes' loss is learning?

# %% mystnb={"image": {"alt": "Four panels over the 12,000 steps. The tower's loss falls from 1.2 to 0.1 in the first 4,000. Captions and answers fall from 1.8 to a few hundredths, masks of one thing from 3.4 to 0.8. The loss of boxes falls from 5.2 to 3.1 in 1,300 steps and then slowly to 2.2, side by side with the bells' own part, which goes from 2.4 to 1.6. What is asked: is there a ...? is right from the first state on; boxes found rise from 0.46 to 0.98, captions right from 0.58 to 0.98, the IoU of the boxes from 0.66 to 0.88, that of masks from 0.38 to 0.76."}, "figure": {"caption": "A whole training: losses (means over 200 steps), and what its states could do. Boxes are found more and more often, while what is left of their loss above the bells' own part hardly moves.", "name": "fig-ch22-run"}} tags=["hide-input"]
training = json.loads(Path("data/training.json").read_text(encoding="utf-8"))
run = Recipe(**training["provenance"]["recipe"])


def progress_at(steps: np.ndarray) -> np.ndarray:
    """How much of the second stage is done, 0 to 1."""
    return np.clip((steps - run.look_steps) / run.speak_steps, 0, 1)


def log_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and losses of the whole run without their weights, means of 4 log lines (200 steps)."""
    kept = [(line["step"], line[name]) for line in training["lines"] if name in line]
    kept = kept[: len(kept) // 4 * 4]
    steps, values = (np.array(column).reshape(-1, 4).mean(1) for column in zip(*kept))
    if name in GROUPS:
        return steps, values / GROUPS[name].weight
    progress = progress_at(steps)  # of the tower's question, whose weight falls to 0
    heard = progress < 0.9
    weights = np.where(progress > 0, run.dense_weight * (1 - progress), 1)
    return steps[heard], values[heard] / weights[heard]


fig, ((ax_look, ax_speak), (ax_boxes, ax_asked)) = plt.subplots(
    2, 2, figsize=(8.4, 6), layout="constrained"
)
ax_look.plot(*log_of("dense"), color="#009E73", linestyle=":")
ax_look.axvline(run.look_steps, color="gray", linewidth=1)
ax_look.set(title="looks: patches and edges", yscale="log")
for name, label, color, style in (
    ("captions", "captions", "#0072B2", "-"),
    ("answers", "answers", "#56B4E9", "--"),
    ("mask", "masks of one thing", "#CC79A7", "-."),
):
    ax_speak.plot(*log_of(name), color=color, linestyle=style, label=label)
ax_speak.set(title="speaks: words and masks", yscale="log")

start, end = run.location_sigma
steps, boxes = log_of("boxes")
sigmas = start * (end / start) ** progress_at(steps)
least = share * np.log(sigmas * math.sqrt(2 * math.pi * math.e))
ax_boxes.plot(steps, boxes, color="#D55E00", linestyle="--", label="boxes")
ax_boxes.plot(steps, least, color="black", linewidth=1, label="the bells' own part")
ax_boxes.set(title="speaks: boxes", ylim=(0, None))

ASKED = (
    ("presence", "exact_match", "is there ...? right", "#000000", "x"),
    ("detect", "recall", "boxes found", "#D55E00", "s"),
    ("caption", "exact_match", "captions right", "#0072B2", "o"),
    ("ocr", "exact_match", "signs read", "#56B4E9", "D"),
    ("detect", "mean_box_iou", "IoU of the found", "#E69F00", "^"),
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
ax_asked.set(title="asked about 300 scenes", ylim=(0, 1.03))
ax_asked.locator_params(axis="x", nbins=5)
for ax, ylabel in (
    (ax_look, "loss"),
    (ax_speak, "loss"),
    (ax_boxes, "loss"),
    (ax_asked, "of 1"),
):
    ax.set(xlabel="step", ylabel=ylabel)
for ax in (ax_speak, ax_boxes, ax_asked):
    ax.legend(fontsize=8)
plt.show()

# %%
print("boxes' loss    all   bells   above them")
for part in (0.02, 0.17, 0.5, 0.99):  # of the second stage
    place = int(np.argmin(abs(progress_at(steps) - part)))
    above = boxes[place] - least[place]
    print(
        f"step {steps[place]:6.0f}  {boxes[place]:5.2f}   {least[place]:5.2f}        {above:5.2f}"
    )
print("\n" + " " * 14 + "  ".join(label for _, _, label, _, _ in ASKED))
states = training["states"]
some = np.linspace(0, len(states) - 1, 4).astype(int)
for state in (*(states[index] for index in some), training["shipped"] | {"step": 0}):
    row = "  ".join(
        f"{state[task][measure]:{len(label)}.2f}" for task, measure, label, _, _ in ASKED
    )
    name = f"step {state['step']:6d}" if state["step"] else "shipped    "
    print(f"{name}   {row}")

# %% [markdown]
# Words come first. When the first of these states was kept, after 1,281 steps of speaking, 99 % of the answers to "is there a ...?" were right, and not half of the boxes were found. The boxes catch up, and overtake the captions, of which a single wrong word spoils the whole. What grows to the very end is how well they fit; and a mask, which is laid into a box, waits for it. At the end the second run is where the first was, to half a point (the last row of the table): not the same weights, since another processor adds in another order, but the same marks.
#
# And the loss of boxes? From step 5,325 on it falls by 0.85, and 0.67 of that is the bells' own part. What is above it goes from 0.75 to 0.57, and jumps about by as much. Had you looked at the curve alone, you would have said that after a sixth of the second stage the boxes learn nothing more, while those found go from 46 to 98 %. A narrower bell asks for a sharper answer, and the model keeps up with it. So look at what a model can do, and not at its loss alone.
#
# ## What the real model does
#
# PaliGemma's training has three stages after the parts have been trained apart {cite}`beyer2024paligemma`. A billion examples at 224 pixels, with everything moving and a slow start for the tower; then shorter stages at 448 and 896 pixels, in which tasks that need sharp eyes (text in pictures, boxes, masks) get more weight and longer answers. Then you fine-tune. Its mixture is of captions in many languages, questions and answers that other models wrote, boxes and masks that detectors drew. Its location tokens have one right mark. Its first stage took some three days on 256 TPU chips, the two at higher resolution about one day more. What is the same: the prefix mask, the loss on the answer
# alone, the mean over each answer first, boxes as words, and that the tasks are told apart by nothing but the prompt.
#
# ## Exercises
#
# Open `exercises/ch22_pretraining.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch22_pretraining.py
# ```
#
# ### `soft_targets` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# The distance of each place from the right one, squared; divide by 2 sigma²; e to the minus that; divide by the sum.
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
# ```{admonition} Hint
# :class: dropdown
# In the last step of the warm-up the peak is reached. Half a cosine runs from cos(0) = 1 to cos(π) = -1: shift and halve it.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: learning_rate
# ```
# ````
#
# ### `mixture` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Three steps: limit, take the power 1 / temperature, divide by the sum. The order matters.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: mixture
# ```
# ````
#
# ### `answers_alike` (2 points, 10 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# First a mean along each row, of the tokens that count; then a mean of the rows that have any.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch22_pretraining.py
# :pyobject: answers_alike
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch22_pretraining")

# %% [markdown]
# ## Summary
#
# A mixture of lessons makes the model, and how a lesson is put can matter more than how the network is built. The mean is taken over each answer first, or long answers rule. The tower looks before the model speaks. On a ruler, near is better than far, and soft targets say so; but what the model learns to write it must also learn to read. The learning rate rises, and falls as long as the budget lasts; Muon moves all directions of a matrix alike. Words come first, then boxes, and last how well they fit: whoever stops early takes a model that is not finished for one that cannot.
#
# You have now built a PaliGemma, proved it, run it, looked into it, measured it, changed it, and made one from nothing. The capstone of this part is {doc}`yours to choose <project>`.
