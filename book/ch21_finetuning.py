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
# # Fine-tuning and LoRA: can the model learn something new?
#
# The Toybox model knows twenty toys. Here comes a penguin. The model has never seen one, has no word for it, and will tell you that you are looking at a rocket. In a minute of training on two cores you teach it what a penguin looks like, what it is called, and where it stands. You also see what that costs, and it may not be what you expect.
#
# At the end you will be able to
#
# - write the loss for fine-tuning, and name four ways to get it wrong;
# - say what is trained and what is frozen, and what each costs in memory;
# - build LoRA from scratch, merge it, and save it in a format that other libraries read;
# - measure what was learned and what was forgotten, with confidence intervals;
# - teach the model a toy of your own.
#
# Time: about 60 minutes to read and run, and 45 for the three exercises. This is the model before and after.

# %% mystnb={"image": {"alt": "Three toy scenes with penguins, in two rows. Top, before training: captions that mention rockets and other toys; for detect penguin no boxes except one around a fish, labeled pizza. Bottom, after training: two of three captions name the penguins, and there is a box around each penguin."}, "figure": {"caption": "After 90 steps of training with LoRA, the model names penguins and finds them. `caption en` and `detect penguin`, before (top) and after (bottom), on scenes that it was not trained on. It is not perfect: it says `two penguin`, and the third caption has no penguin, one apple too few, and a tree that is not there.", "name": "fig-ch21-goal"}} tags=["hide-input"]
import math
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.prompts import caption, count, detect, sample_example
from toybox.scenes import Scene, draw_scene
from toybox.sprites import LABELS
from vlm.generate import generate
from vlm.loader import load_hf_model, save_hf_model
from vlm.metrics.confidence import bootstrap_interval, ratio_of_sums
from vlm.metrics.detection import match_detections
from vlm.paligemma import IGNORE_INDEX
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import Detection, parse_detections
from vlm.regions.draw import draw_detections
from vlm.training.finetune import TrainingExample, fine_tune
from vlm.training.lora import LoraConfig, add_lora, find_lora, load_lora, merge_lora, save_lora

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
processor = PaliGemmaProcessor.for_model(model, tokenizer)
TOY = "penguin"
KINDS = (*LABELS, *[TOY] * 8)  # so that it is drawn more often than others


def scenes_with_toy(number: int, split: str) -> list[Scene]:
    """Scenes with up to three toys, at least one of them the new toy."""
    found, seed = [], 0
    while len(found) < number:
        scene = draw_scene(seed, split, KINDS)
        if len(scene.objects) <= 3 and TOY in {thing.label for thing in scene.objects}:
            found.append(scene)
        seed += 1
    return found


def examples_of(scenes: list[Scene]) -> list[TrainingExample]:
    """For each scene a caption, the boxes of the new toy, and their number."""
    texts = [
        (scene, example)
        for scene in scenes
        for example in (caption(scene), detect(scene, [TOY]), count(scene, TOY))
    ]
    return [TrainingExample(scene.image, text.prompt, text.suffix) for scene, text in texts]


def old_examples(number: int, seed: int = 0) -> list[TrainingExample]:
    """Known tasks; one example in five asks for a penguin where there is none."""
    rng, examples = np.random.default_rng(seed), []
    for index in range(number):
        scene = draw_scene(1_000_000 + index, "train")
        text = sample_example(
            scene, rng, str(rng.choice(["caption", "count", "where", "detect"]))
        )
        if rng.random() < 0.2:
            text = detect(scene, [TOY]) if rng.random() < 0.5 else count(scene, TOY)
        examples.append(TrainingExample(scene.image, text.prompt, text.suffix))
    return examples


train_scenes, test_scenes = scenes_with_toy(400, "train"), scenes_with_toy(60, "test")
drawn = (draw_scene(seed, "test") for seed in range(90))
old_scenes = [scene for scene in drawn if scene.objects][:60]
new, old = examples_of(train_scenes), old_examples(600)


def fresh_model():
    return load_hf_model(CHECKPOINT_DIRECTORY)[0]


def run(
    a_model, examples: list[TrainingExample], num_steps: int, learning_rate: float
) -> list[float]:
    return fine_tune(a_model, processor, examples, num_steps, 16, learning_rate)


torch.manual_seed(0)
with_lora = fresh_model()
add_lora(with_lora, LoraConfig(rank=8, alpha=16))
started = time.perf_counter()
lora_losses = run(with_lora, new + old, 90, 4e-3)
lora_seconds = time.perf_counter() - started


def say(
    a_model, scenes: list[Scene], prompts: list[str], max_new_tokens: int = 60
) -> list[str]:
    return generate(a_model, processor, prompts, [s.image for s in scenes], max_new_tokens)


fig, axes = plt.subplots(2, 3, figsize=(8.6, 6.2), layout="constrained")
shown = [test_scenes[1], test_scenes[2], test_scenes[6]]
for line, a_model in zip(axes, (model, with_lora)):
    captions = say(a_model, shown, ["caption en"] * 3)
    boxes = say(a_model, shown, [f"detect {TOY}"] * 3)
    for ax, scene, text, answer in zip(line, shown, captions, boxes):
        draw_detections(scene.image, parse_detections(answer, 112, 112), ax, text)
        ax.title.set_fontsize(8)
plt.show()

# %% [markdown]
# ## The fine-tuning loss: what an example teaches
#
# A training example is an image, a prompt, and the answer that you want. It becomes one row: image tokens, `<bos>`, prompt, newline, answer, `<eos>`. The model reads the row in one pass, and at each position it predicts the next token. This is {term}`teacher forcing`: the model is given the correct answer so far, whatever it would have generated itself. The loss is the cross-entropy, the mean of minus the log probability, over the positions where the next token belongs *to the answer*.

# %%
example = new[0]
inputs = processor([example.prompt], [example.image], [example.suffix])
ids, labels = inputs["input_ids"][0, 64:], inputs["labels"][0, 64:]  # text only
tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
for token, label in zip(tokens, labels.tolist()):
    note = "" if label == IGNORE_INDEX else "  <- counts"
    print(f"{token!r:14} label {label:5d}", note)

# %% [markdown]
# The word `penguin` is not a token. The tokenizer spells it: `▁p en g u in`. That is five tokens for one word, and it works; PaliGemma's real vocabulary has 256,000 text tokens, and most words are one or two of them.
#
# Four mistakes are easy to make here, and none of them raises an error. All of them have been made in real code.
#
# - **Not shifted.** The label of a position should be the token that comes *next*. `labels` holds the token itself, and the loss shifts by one. Without the shift, the model is trained to repeat what it has just read, which is easy. If both the processor and the loss shift, it learns to predict the token after the next.
# - **Loss on the prefix.** The prompt is given; the model never has to generate it. And in a prefix every position attends to the next one, so that part of the loss measures copying.
# - **Loss on padding.** Rows of a batch have different lengths. If pads count, short answers mostly teach the model to write `<pad>`.
# - **No `<eos>`.** A model that has never been shown how an answer ends does not end it.
#
# What does each mistake do to the loss of the model before any fine-tuning? Before you run the cell: with the correct loss, which examples cost more, those of known tasks or those with penguins?


# %%
def cross_entropy(logits: Tensor, targets: Tensor) -> float:
    logits, targets = logits.flatten(0, 1), targets.flatten()
    loss = nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
    return loss.item()


# %%
def losses(a_model, examples: list[TrainingExample]) -> dict[str, float]:
    """The correct loss, and five wrong ones."""
    prompts_and_images = [e.prompt for e in examples], [e.image for e in examples]
    batch = processor(*prompts_and_images, [e.suffix for e in examples])
    ids, labels = batch["input_ids"], batch.pop("labels")
    with torch.inference_mode():
        logits = a_model(**batch).logits.float()  # [B, S, V]
    is_real = batch["attention_mask"] == 1
    is_text = is_real & (ids != tokenizer.convert_tokens_to_ids("<image>"))
    prefix_too = ids.masked_fill(~is_text, IGNORE_INDEX)
    padding_too = labels.where(is_real, ids)
    no_eos = labels.masked_fill(labels == tokenizer.eos_token_id, IGNORE_INDEX)
    predictions = logits[:, :-1]
    return {
        "correct": cross_entropy(predictions, labels[:, 1:]),
        "not shifted": cross_entropy(logits, labels),
        "shifted twice": cross_entropy(logits[:, :-2], labels[:, 2:]),
        "loss on prefix": cross_entropy(predictions, prefix_too[:, 1:]),
        "loss on padding": cross_entropy(predictions, padding_too[:, 1:]),
        "no <eos>": cross_entropy(predictions, no_eos[:, 1:]),
    }


# %% tags=["nbval-ignore-output"]
known, unknown = losses(model, old[:64]), losses(model, new[:64])
print("                   known tasks     new task")
for name in known:
    print(f"{name:17s} {known[name]:12.2f} {unknown[name]:12.2f}")

# %% [markdown]
# A known task costs the model 0.9 per token: words are nearly certain, and location tokens never are, since the neighboring bins are almost as good (chapter 10). A penguin costs 7.8. On the known tasks every wrong loss except the last is large, since the model has never been trained to repeat its input, to write prompts, or to fill rows with pads. Training would bring these losses down all the same, by teaching exactly that. The mistake that shows least is a missing `<eos>`: it raises the loss by a tenth to a fifth.
#
# It also does the least harm here. The shipped model has been trained to end its answers, and a short fine-tuning without `<eos>` does not make it forget: after 60 such steps, all of 20 captions still ended by themselves. A model trained from scratch would have nowhere else to learn it. So this mistake can stay hidden until somebody trains longer, or from another base model.

# %% [markdown]
# ## Trainable or frozen: what each costs in memory
#
# You may train everything. Then each parameter needs four numbers: the weight, its gradient, and two running means for AdamW. In float32 that is 16 bytes. A frozen parameter is only a weight, with 2 bytes if you store it in bfloat16.


# %%
def gigabytes(frozen: float, trained: float) -> float:
    """Weights, gradients, AdamW: 2 bytes per frozen parameter, 16 per trainable one."""
    return (2 * frozen + 16 * trained) / 1e9


paligemma, tower = 2_923_466_480, 412_442_352
# Rank 8 beside each of the 7 matrices in the 18 layers of Gemma 2B:
# 8 numbers for each row and each column.
sizes = [(2048, 2048), (2048, 256), (2048, 256), (2048, 2048)]  # q, k, v, o
sizes += [(2048, 16384), (2048, 16384), (16384, 2048)]  # gate, up, down
adapters = 18 * sum(8 * (width + height) for width, height in sizes)
print(f"everything:          {gigabytes(0, paligemma):5.1f} GB")
print(f"all but the tower:   {gigabytes(tower, paligemma - tower):5.1f} GB")
print(f"LoRA of rank 8:      {gigabytes(paligemma, adapters):5.1f} GB, ", end="")
print(f"for {adapters / 1e6:.1f} million trainable parameters")

# %% [markdown]
# (Activations come on top, and depend on the batch.) If all three billion parameters of the smallest PaliGemma are trainable, they need 47 GB. With LoRA the model fits on a consumer GPU, and what you have to keep for each task is not 6 GB but 20 MB (both in 16 bits).
#
# ## LoRA: an update of low rank
#
# {term}`LoRA` {cite}`hu2021lora` leaves a matrix W as it is and learns an update beside it:
#
# $$W' = W + s\, B A$$
#
# A is [G, I] and B is [O, G], with a small {term}`rank` G: A maps the I inputs to G numbers, and B maps these to O outputs. With G = 8 that is 8 · (I + O) parameters instead of I · O. The idea behind it is that the change a task needs lies in a few directions.

# %% tags=["hide-input"]
from figures.schematics.lora import draw_lora
from IPython.display import HTML

drawing = draw_lora(in_features=128, out_features=128, rank=8)
HTML(
    drawing.html(
        "LoRA trains two thin matrices beside a frozen one. The input takes both paths, "
        "and the results are added. Here W is a query projection of the Toybox model, "
        "and A and B together have an eighth of its numbers; in PaliGemma 3B it is one "
        "in 128."
    )
)

# %% [markdown]
# Three details decide whether it works.
#
# **Initialization.** At first the update should be zero, so that training starts from the model that you have. So B is 0. And A? If A is 0 as well, nothing ever changes: the gradient of B has A x as a factor, and that of A has B, so both are 0 forever. So A is random.
#
# **Scale.** s is α / G, with a fixed α. Double the rank, and twice as many terms are added up; the factor keeps their sum from growing with the rank.[^ch21-1]
#
# **Merging.** B A has the shape of W. Add it once, and you have an ordinary matrix again.
#
# [^ch21-1]: Some divide by √G instead (rank-stabilized LoRA), because at large ranks α / G makes the update too small.


# %% tags=["from:vlm.training.lora.LoraLinear"]
class LoraLinear(nn.Module):
    """A frozen linear layer and a low-rank change: x W^T + scaling * x A^T B^T."""

    def __init__(self, base: nn.Linear, config: LoraConfig):
        super().__init__()
        self.base = base
        self.scaling = config.scaling
        device = base.weight.device  # not its dtype: float32 keeps small steps
        self.lora_A = nn.Parameter(
            torch.empty(config.rank, base.in_features, device=device),  # [G, I]
        )
        self.lora_B = nn.Parameter(
            torch.zeros(base.out_features, config.rank, device=device),  # [O, G]
        )
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as in nn.Linear

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        change = states.float() @ self.lora_A.T @ self.lora_B.T  # [..., O]
        return self.base(states) + (self.scaling * change).to(states.dtype)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """Add the change to the frozen weights: the same function as before."""
        self.base.weight += self.scaling * self.lora_B @ self.lora_A  # [O, I]
        return self.base


# %%
torch.manual_seed(0)
layer = LoraLinear(nn.Linear(6, 4).requires_grad_(False), LoraConfig(rank=2, alpha=4))
x = torch.randn(5, 6)
assert torch.equal(layer(x), layer.base(x))  # at first nothing changes


def print_gradients(which: str):
    layer.zero_grad()
    layer(x).square().sum().backward()
    a_is_0, b_is_0 = (not p.grad.any() for p in (layer.lora_A, layer.lora_B))
    print(f"{which:13s}gradient of A is 0: {a_is_0}, of B: {b_is_0}")


print_gradients("first step:")
with torch.no_grad():
    layer.lora_A.zero_()  # the mistake: both are 0
print_gradients("both at 0:")

# %%
with torch.no_grad():
    nn.init.normal_(layer.lora_A)
    nn.init.normal_(layer.lora_B)
before = layer(x).detach()
merged = layer.merge()
assert torch.allclose(merged(x), before, atol=1e-5)
still_right = torch.allclose(layer(x), before, atol=1e-5)
print("after merging, the layer with its adapter still gives the same:", still_right)

# %% [markdown]
# The last line shows one more mistake that raises no error. After merging, the update is *in* the matrix. If the adapter stays beside it, the update is added a second time; and if somebody merges again, a third time. The package removes the adapter as it merges, so there is nothing left to merge twice.
#
# ## LoRA against full fine-tuning
#
# Compare three runs of 90 steps, with 16 examples in each step. First, LoRA of rank 8 on the language model alone (you have seen it at the top of the page; the tower has never seen a penguin and stays as it is). Second, full fine-tuning: everything is trainable. Third, full fine-tuning again, but on penguins only. In the first two, a third of the examples are of known tasks. Which of the three will describe penguins best?

# %%
full, only_new = fresh_model(), fresh_model()
full_losses = run(full, new + old, 90, 5e-4)
only_losses = run(only_new, new, 90, 5e-4)
trained = sum(p.numel() for p in with_lora.parameters() if p.requires_grad)
total = sum(p.numel() for p in full.parameters())
print(f"LoRA trains {trained:,} parameters, the others {total:,}")

# %% tags=["nbval-ignore-output"]
print(f"The run with LoRA took {lora_seconds:.0f} seconds here")
assert lora_seconds < 300

# %% mystnb={"image": {"alt": "Loss over 90 steps for three runs. All fall steeply in the first 40 steps. The two runs with full fine-tuning end near 0.4, LoRA near 0.7."}, "figure": {"caption": "LoRA ends with twice the training loss of the other two runs. A training loss does not say what was learned and what was lost: read on. (Means over ten steps.)", "name": "fig-ch21-losses"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
for values, label, color, style in (
    (lora_losses, "LoRA", "#0072B2", "-"),
    (full_losses, "full", "#D55E00", "-."),
    (only_losses, "full, only new examples", "#009E73", "--"),
):
    smooth = np.array(values).reshape(-1, 10).mean(1)
    ax.plot(np.arange(5, 90, 10), smooth, color=color, linestyle=style, label=label)
ax.set(xlabel="step", ylabel="loss on the suffix", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# Now measure, on scenes that the runs have not seen: the new task on 60 scenes with penguins, the known tasks on 60 scenes without. And one more number: asked for penguins where there are none, how often does the model rightly draw no box?


# %%
def caption_rows(a_model, scenes: list[Scene]) -> np.ndarray:
    """For each scene [1 if its caption is right, else 0; 1]."""
    texts = say(a_model, scenes, ["caption en"] * len(scenes))
    rows = [[text == caption(s).suffix, 1] for text, s in zip(texts, scenes)]
    return np.array(rows, float)


def box_rows(a_model, scenes: list[Scene], labels: list[str]) -> np.ndarray:
    """For each scene the number of boxes [matched, predicted, true] of its label."""
    texts = say(a_model, scenes, [f"detect {label}" for label in labels])
    rows = []
    for text, scene, label in zip(texts, scenes, labels):
        things = [thing for thing in scene.objects if thing.label == label]
        truths = [Detection(label, thing.box) for thing in things]
        counts = match_detections(parse_detections(text, 112, 112), truths)
        rows.append([len(counts.ious), counts.predicted, counts.actual])
    return np.array(rows, float)


# %%
def rows_of(a_model) -> dict[str, np.ndarray]:
    """For each measure a row [right, of] for each scene."""
    kinds = [scene.objects[0].label for scene in old_scenes]
    new_boxes = box_rows(a_model, test_scenes, [TOY] * 60)
    old_boxes = box_rows(a_model, old_scenes, kinds)
    invented = box_rows(a_model, old_scenes, [TOY] * 60)
    return {
        "new: captions": caption_rows(a_model, test_scenes),
        "new: penguins found": new_boxes[:, [0, 2]],
        "new: boxes right": new_boxes[:, [0, 1]],
        "old: captions": caption_rows(a_model, old_scenes),
        "old: toys found": old_boxes[:, [0, 2]],
        "old: boxes right": old_boxes[:, [0, 1]],
        "no penguin drawn": np.hstack([invented[:, 1:2] == 0, np.ones((60, 1))]),
    }


def safe_ratio(rows: np.ndarray) -> float:
    """0 where nothing was drawn at all, so that silence does not count as precision."""
    return ratio_of_sums(rows) if rows[:, 1].sum() else 0.0


models = {"before": model, "LoRA": with_lora, "full": full, "only new": only_new}
results = {name: rows_of(a_model) for name, a_model in models.items()}

# %% tags=["nbval-ignore-output"]
print(f"{'':20s}", "".join(f"{name:>22s}" for name in models))
for measure in results["before"]:
    cells = []
    for name in models:
        rows = results[name][measure]
        low, high = bootstrap_interval(rows, safe_ratio, num_samples=500)
        cells.append(f"{safe_ratio(rows):.2f} ({low:.2f} to {high:.2f})")
    print(f"{measure:20s}", "".join(f"{cell:>22s}" for cell in cells))

# %%
value = {
    name: {measure: safe_ratio(rows) for measure, rows in result.items()}
    for name, result in results.items()
}
assert value["before"]["new: captions"] == 0 and value["LoRA"]["new: captions"] > 0.3
for name in ("LoRA", "full", "only new"):
    assert value[name]["new: penguins found"] > 0.75
assert value["only new"]["old: toys found"] < 0.5 < value["LoRA"]["old: toys found"]

# %% mystnb={"image": {"alt": "Grouped bars for before, LoRA, full and only new on five measures. New captions and penguins found rise from 0 to high values in all three runs. Old captions and old toys found stay high for LoRA and full, and collapse for only new. No penguin drawn where none is: 0.67 before, 0.97, 0.98 and 0.90 after."}, "figure": {"caption": "All three runs learn the penguin. The one that saw only penguins has forgotten that there is anything else. Fractions right on test scenes, for the new task and for the known (old) ones.", "name": "fig-ch21-forgetting"}} tags=["hide-input"]
chosen = [
    "new: captions",
    "new: penguins found",
    "old: captions",
    "old: toys found",
    "no penguin drawn",
]
fig, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
for shift, (name, color, hatch) in enumerate(
    (
        ("before", "#999999", ""),
        ("LoRA", "#0072B2", ""),
        ("full", "#D55E00", "//"),
        ("only new", "#009E73", ".."),
    )
):
    heights = [value[name][measure] for measure in chosen]
    ax.bar(
        np.arange(5) + 0.2 * shift,
        heights,
        0.19,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=name,
    )
ax.set_xticks(np.arange(5) + 0.3, [label.replace(": ", ":\n") for label in chosen])
ax.set(ylabel="fraction right", ylim=(0, 1.05), xlabel="measure")
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8)
plt.show()

# %% [markdown]
# All three have learned it. Nine penguins in ten are found, and more than half of the captions are right to the letter, although a penguin takes five tokens and stands beside up to two other toys. The intervals of the three overlap; from 60 scenes you cannot say which run learned best (chapter 20 says how you would find out). LoRA gets there with 3 % of the parameters.
#
# What differs is what is lost. With a third of old examples in the mixture, the accuracy of captions of old scenes falls by about ten points, and nearly all old toys are found. Without them, the old toys are gone. Here is what that model answers when you ask it for the first toy of three old scenes:

# %% tags=["nbval-ignore-output"]
for scene in old_scenes[:3]:
    kind = scene.objects[0].label
    [text] = say(only_new, [scene], [f"detect {kind}"])
    print(f"detect {kind}:", text)

# %% [markdown]
# It still finds the dog and the trees, but calls them penguins, or something similar: in its training examples, a box was always followed by that word. This is {term}`catastrophic forgetting <catastrophic forgetting>` {cite}`mccloskey1989catastrophic`. Nothing in the loss said that the old answers should stay, and the shortest way to the new ones overwrote them.
#
# LoRA did not prevent it here. A LoRA run with only new examples (150 steps, not shown) found no old toy by its name. That is one run of a tiny model; with large language models, LoRA forgot less than full fine-tuning, and also learned less {cite}`biderman2024lora`. What helps: mix in old examples, as the first two runs do, stop early, or add a term to the loss that holds weights near their old values {cite}`kirkpatrick2016overcoming`.
#
# Look at the last row of the table too. Before, the model drew no penguin anywhere, whether there was one or not: it was trained to answer no to every word that names no toy. Fine-tuning has to teach it the word and yet keep this caution. For this, the mixture has examples whose right answer is empty. The run without them draws penguins in nine of ten scenes that have none.
#
# ## Save the adapter, or merge it
#
# What LoRA has learned is a few matrices beside a model that everybody has: an {term}`adapter`. Save the adapter alone, in the format of the library *peft*. Or merge it, and save a whole model in the published format, which *transformers* opens.


# %% tags=["hide-input", "nbval-ignore-output"]
from peft import PeftModel
from transformers import PaliGemmaForConditionalGeneration as ReferenceModel
from transformers.utils import logging

logging.set_verbosity_error()
warnings.filterwarnings("ignore", ".is_gradient_checkpointing")  # peft uses an old name
logging.disable_progress_bar()


def logits_of(a_model) -> Tensor:
    with torch.inference_mode():
        return a_model(**batch).logits


batch = processor(["caption en"] * 2, [scene.image for scene in test_scenes[:2]])
batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])  # transformers needs them
folder = tempfile.TemporaryDirectory()
adapter, whole = Path(folder.name, "adapter"), Path(folder.name, "whole")

# %% tags=["nbval-ignore-output"]
save_lora(with_lora, adapter)
size = sum(file.stat().st_size for file in adapter.iterdir())
print(f"the adapter: {size / 1e3:.0f} kB")
ours = logits_of(with_lora)

again = fresh_model()
load_lora(again, adapter)
assert torch.equal(logits_of(again), ours)

base = ReferenceModel.from_pretrained(CHECKPOINT_DIRECTORY)
theirs = PeftModel.from_pretrained(base, adapter)
difference = (logits_of(theirs) - ours).abs().max()
print(f"logits with peft differ by {difference:.0e} at most")
assert difference < 1e-3

# %% tags=["nbval-ignore-output"]
num_adapters = len(find_lora(again))
merge_lora(again)
print(num_adapters, "adapters merged")
save_hf_model(again, whole)
size = (whole / "model.safetensors").stat().st_size
print(f"the whole model: {size / 1e6:.1f} MB")

merged = ReferenceModel.from_pretrained(whole)
difference = (logits_of(merged) - ours).abs().max()
print(f"logits with transformers differ by {difference:.0e} at most")
assert difference < 1e-3
folder.cleanup()

# %% [markdown]
# ## Your turn: teach it your own toy
#
# Draw something, cut it out, and save it as a PNG with a transparent background. Open the first cell of this chapter, put these lines in place of `TOY = "penguin"`, and run everything again. The tower stays frozen here; if your toy looks like none of the twenty, try adapters in the tower as well: `add_lora(model, config, part="", layers=(*LANGUAGE_MODEL_LAYERS, "out_proj", "fc1", "fc2"))`, with `LANGUAGE_MODEL_LAYERS` from `vlm.training.lora`.
#
# ```python
# from toybox.sprites import add_toy
#
# add_toy("monster", "my_monster.png")
# TOY = "monster"
# ```
#
# ## What the real model does
#
# Google's *pt* checkpoints are made for fine-tuning. Their report trains all parameters, on some forty tasks, with mostly the same settings: a learning rate around 10⁻⁵ (ours is fifty times as large, for a model a thousandth the size), a few epochs, and no old examples, since the fine-tuned model need not do what the base model could {cite}`beyer2024paligemma`. With a single GPU, most people use LoRA, usually on the seven matrices of each layer, as here. `save_lora` writes the names that *peft* gives to transformers' modules, so an adapter that you train with this code on Google's weights can be loaded there, and vice versa; tests do that on small random models, the first direction for both generations. What is missing here is dropout, and storing the frozen weights in 4 bits (with LoRA on top, this is QLoRA).
#
# ## Exercises
#
# Open `exercises/ch21_finetuning.py`, fill in what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch21_finetuning.py
# ```
#
# ### `make_labels` (1 point, 5 minutes)
#
# Make the labels of a batch, not shifted, with -100 for everything that should not count.
#
# ```{literalinclude} ../exercises/ch21_finetuning.py
# :pyobject: make_labels
# ```
#
# ```{admonition} Hint
# :class: dropdown
# A position counts if two conditions hold: its token belongs to the suffix, and it is not padding.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch21_finetuning.py
# :pyobject: make_labels
# ```
# ````
#
# ### `suffix_loss` (2 points, 15 minutes)
#
# Compute the loss from logits and unshifted labels, without `cross_entropy`.
#
# ```{literalinclude} ../exercises/ch21_finetuning.py
# :pyobject: suffix_loss
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# The logits of the last position have no label, and the label of the first position has no logits.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `log_softmax(-1)`, then `gather(-1, labels[..., None])`. `gather` does not accept -100: put any valid index there first, and leave these positions out of the mean.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch21_finetuning.py
# :pyobject: suffix_loss
# ```
# ````
#
# ### `LoraLinear` (4 points, 25 minutes)
#
# Write the LoRA layer, with a `merge` that may be called twice.
#
# ```{literalinclude} ../exercises/ch21_finetuning.py
# :pyobject: LoraLinear
# ```
#
# ```{admonition} Hint 1: shapes
# :class: dropdown
# `states` is [..., I]. `states @ A.T` is [..., G], and multiplied by `B.T` it is [..., O].
# ```
# ```{admonition} Hint 2: merging
# :class: dropdown
# After merging, `forward` must not add the change again. Remember whether the layer has been merged.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch21_finetuning.py
# :pyobject: LoraLinear
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch21_finetuning")

# %% [markdown]
# ## Summary
#
# An example is one row, and the loss is the mean cross-entropy over the tokens of its answer: shifted by one, prefix and pads left out, `<eos>` kept. A trainable parameter costs 16 bytes, a frozen one 2. LoRA learns an update B A of low rank beside each frozen matrix: B starts at 0 and A does not, α / G keeps the scale, and merging adds the update to the matrix, once. In a minute the model learned a new toy from 400 images. Without old examples it forgot the other twenty, with LoRA and without.
#
# The model that you fine-tuned was once trained from scratch. {doc}`The next chapter <ch22_pretraining>` shows how.
