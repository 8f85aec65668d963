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
# # Can it learn something new? Fine-tuning and LoRA
#
# The Toybox knows twenty toys. Here comes a penguin. It has never seen one, it has no word for it, and it will tell you that you are looking at a rocket. In a minute of training on two cores you teach it what a penguin is, what it is called, and where it stands. You will also see what that costs, and it may not be what you expect.
#
# At the end you will be able to
#
# - write the loss of a fine-tuning, and name four ways to get it wrong;
# - say what is trained and what is frozen, and what each costs in memory;
# - build LoRA from scratch, merge it, and save it so that other libraries read it;
# - measure what was learned and what was forgotten, with intervals;
# - teach the model a toy of your own.
#
# It takes about 60 minutes, and 45 for the exercises. This is the model before, and after.

# %% mystnb={"image": {"alt": "Three toy scenes with penguins in two rows. Above, before training: captions that speak of rockets and other toys; for detect penguin no boxes but one around a fish, called pizza. Below, after: two of three captions name the penguins, and there is a box around each penguin."}, "figure": {"caption": "`caption en` and `detect penguin`, before (top) and after 90 steps of training with LoRA (bottom), on scenes that were not in the training. It is not perfect: `two penguin`, and the third caption has no penguin, an apple too few, and a tree that is not there.", "name": "fig-ch21-goal"}} tags=["hide-input"]
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
KINDS = (*LABELS, *[TOY] * 8)  # so that it comes more often than others


def scenes_with_toy(number: int, split: str) -> list[Scene]:
    """Scenes with up to three toys, at least one of them a new one."""
    found, seed = [], 0
    while len(found) < number:
        scene = draw_scene(seed, split, KINDS)
        if len(scene.objects) <= 3 and TOY in {thing.label for thing in scene.objects}:
            found.append(scene)
        seed += 1
    return found


def examples_of(scenes: list[Scene]) -> list[TrainingExample]:
    """Of each scene a caption, the boxes of the new toy, and how many there are."""
    texts = [
        (scene, example)
        for scene in scenes
        for example in (caption(scene), detect(scene, [TOY]), count(scene, TOY))
    ]
    return [TrainingExample(scene.image, text.prompt, text.suffix) for scene, text in texts]


def old_examples(number: int, seed: int = 0) -> list[TrainingExample]:
    """What it can do already; one time in five, a penguin is asked for where there is none."""
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
# ## What an example teaches
#
# An example is a picture, a prompt, and the answer that you want. It becomes one row: image tokens, prompt, newline, answer, `<eos>`. The model reads the row in one pass, and at each place it foretells the next token. This is {term}`teacher forcing`: it is shown the right answer so far, whatever it would have said itself. The loss is the mean of the surprise, minus the log probability, over the places where a token *of the answer* comes next.

# %%
example = new[0]
inputs = processor([example.prompt], [example.image], [example.suffix])
ids, labels = inputs["input_ids"][0, 64:], inputs["labels"][0, 64:]  # after the image tokens
for token, label in zip(tokenizer.convert_ids_to_tokens(ids.tolist()), labels.tolist()):
    print(f"{token!r:14} label {label:5d}", "" if label == IGNORE_INDEX else "  <- counts")

# %% [markdown]
# The word `penguin` has no token. The tokenizer spells it: `▁p en g u in`. That is five tokens for one word, and it works; PaliGemma's real vocabulary has 256,000 pieces, and most words are one or two.
#
# Four mistakes are easy to make here, and none of them gives an error. You meet all of them in other people's code.
#
# - **Not shifted.** The label of a place is the token that comes *next*. `labels` holds the token itself, and the loss shifts by one. If nobody shifts, the model is trained to repeat what it has just read, which is easy. If both the processor and the loss shift, it learns to foretell the token after the next.
# - **The prefix scored.** The prompt is given, nobody asks the model to write it. And in a prefix every place sees the next one, so that part of the loss measures copying.
# - **Padding in the loss.** Rows of a batch have different lengths. If pads count, short answers are mostly lessons in writing `<pad>`.
# - **No `<eos>`.** A model that has never been shown how an answer ends does not end it.
#
# What does each do to the number, for the model as it is? Before you run it: which lessons have a small loss, rightly computed, and which a large one?


# %% tags=["nbval-ignore-output"]
def losses(a_model, examples: list[TrainingExample]) -> dict[str, float]:
    batch = processor(
        [e.prompt for e in examples], [e.image for e in examples], [e.suffix for e in examples]
    )
    labels = batch.pop("labels")
    with torch.inference_mode():
        logits = a_model(**batch).logits.float()  # [B, S, V]

    def cross_entropy(predictions: Tensor, targets: Tensor) -> float:
        return nn.functional.cross_entropy(
            predictions.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX
        ).item()

    ids = batch["input_ids"]
    is_word = (batch["attention_mask"] == 1) & (
        ids != tokenizer.convert_tokens_to_ids("<image>")
    )
    prefix_too = ids.masked_fill(~is_word, IGNORE_INDEX)
    padding_too = labels.where(batch["attention_mask"] == 1, ids)
    no_eos = labels.masked_fill(labels == tokenizer.eos_token_id, IGNORE_INDEX)
    return {
        "right": cross_entropy(logits[:, :-1], labels[:, 1:]),
        "not shifted": cross_entropy(logits, labels),
        "shifted twice": cross_entropy(logits[:, :-2], labels[:, 2:]),
        "prefix scored": cross_entropy(logits[:, :-1], prefix_too[:, 1:]),
        "padding scored": cross_entropy(logits[:, :-1], padding_too[:, 1:]),
        "<eos> not scored": cross_entropy(logits[:, :-1], no_eos[:, 1:]),
    }


known, unknown = losses(model, old[:64]), losses(model, new[:64])
print("                   old lessons   new lessons")
for name in known:
    print(f"{name:17s} {known[name]:11.2f} {unknown[name]:13.2f}")

# %% [markdown]
# The old lessons cost the model 0.9 per token: its words are nearly certain, and its marks of boxes never are, since the neighbours are as good (chapter 10). A penguin costs 7.8. On the old lessons every wrong loss but the last is large, since the model has never been taught to repeat its input, to write prompts or to fill rows with pads. Training would bring these down all the same, by teaching just that. The one that shows least is a missing `<eos>`: a tenth to a fifth more.
#
# It also does least, here. The shipped model has been taught to end its answers, and a short fine-tuning without `<eos>` does not make it forget: after 60 steps of it all of 20 captions still ended by themselves. A model that starts from nothing has nobody else to learn it from. So this mistake can sleep in a program until somebody trains longer, or from another base.

# %% [markdown]
# ## What moves, and what it costs
#
# You may train everything. AdamW keeps two more numbers for each parameter, and there is the gradient: with the weight itself four numbers, 16 bytes in float32, for each parameter that moves. What is frozen costs only itself, and in 2 bytes if you store it in bfloat16.


# %%
def gigabytes(frozen: float, trained: float) -> float:
    """Of weights, gradients and optimizer: 2 bytes for a frozen parameter, 16 for a moving one."""
    return (2 * frozen + 16 * trained) / 1e9


paligemma, tower = 2_923_466_480, 412_442_352
# Rank 8 beside each of the 7 matrices of Gemma 2B's 18 layers:
# 8 numbers for each row and each column.
sizes = [
    (2048, 2048),
    (2048, 256),
    (2048, 256),
    (2048, 2048),
    (2048, 16384),
    (2048, 16384),
    (16384, 2048),
]
adapters = 18 * sum(8 * (wide + high) for wide, high in sizes)
print(f"everything:          {gigabytes(0, paligemma):5.1f} GB")
print(f"all but the tower:   {gigabytes(tower, paligemma - tower):5.1f} GB")
print(
    f"LoRA of rank 8:      {gigabytes(paligemma, adapters):5.1f} GB, "
    f"for {adapters / 1e6:.1f} million numbers"
)

# %% [markdown]
# (Activations come on top, and depend on the batch.) With everything moving, PaliGemma's smallest needs a machine with 47 GB for three billion numbers. With the last line it fits on a consumer's card, and what you have to keep of each task is not 6 GB but 20 MB (both in 16 bits).
#
# ## A change of low rank
#
# {term}`LoRA` {cite}`hu2021lora` leaves a matrix W as it is and learns a change beside it:
#
# $$W' = W + s\, B A$$
#
# A has few rows, its {term}`rank` G, and B few columns. A of `[G, I]` takes the I numbers that come in down to G, and B of `[O, G]` makes O of them. With G = 8 that is 8 · (I + O) numbers instead of I · O. The idea behind it: what a task changes in a model can be said in few directions.
#
# Three details decide whether it works.
#
# **The start.** The change should be nothing at first, so that training starts from the model that you have. So B is 0. And A? If A is 0 as well, then nothing ever moves. The gradient of B is a product with A x, and that of A a product with B: both are 0, for ever. So A is random.
#
# **The scale.** s is α / G, with a fixed α. Double the rank, and twice as many terms are added up; the factor keeps their sum from growing with the rank.[^ch21-1]
#
# **The end.** B A has the shape of W. Add it, once, and you have an ordinary matrix again.
#
# [^ch21-1]: Some divide by √G instead, because α / G makes it smaller than it need be.


# %% tags=["from:vlm.training.lora.LoraLinear"]
class LoraLinear(nn.Module):
    """A frozen linear layer and a change of low rank: x W^T + scaling * x A^T B^T."""

    def __init__(self, base: nn.Linear, config: LoraConfig):
        super().__init__()
        self.base = base
        self.scaling = config.scaling
        device = base.weight.device  # not its dtype: in float32 small steps are not lost
        self.lora_A = nn.Parameter(
            torch.empty(config.rank, base.in_features, device=device)
        )  # [G, I]
        self.lora_B = nn.Parameter(
            torch.zeros(base.out_features, config.rank, device=device)
        )  # [O, G]
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as torch fills a linear layer

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        change = states.float() @ self.lora_A.T @ self.lora_B.T  # [..., O]
        return self.base(states) + (self.scaling * change).to(states.dtype)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The frozen layer with the change added to its weights: the same function."""
        self.base.weight += self.scaling * self.lora_B @ self.lora_A  # [O, I]
        return self.base


# %%
torch.manual_seed(0)
layer = LoraLinear(nn.Linear(6, 4).requires_grad_(False), LoraConfig(rank=2, alpha=4))
x = torch.randn(5, 6)
assert torch.equal(layer(x), layer.base(x))  # at first nothing changes

layer(x).square().sum().backward()
print(
    "first step:  gradient of A is 0:",
    not layer.lora_A.grad.any(),
    "  of B:",
    not layer.lora_B.grad.any(),
)
with torch.no_grad():
    layer.lora_A.zero_()  # the mistake: both 0
layer.zero_grad()
layer(x).square().sum().backward()
print(
    "both at 0:   gradient of A is 0:",
    not layer.lora_A.grad.any(),
    "  of B:",
    not layer.lora_B.grad.any(),
)

with torch.no_grad():
    nn.init.normal_(layer.lora_A)
    nn.init.normal_(layer.lora_B)
before = layer(x).detach()
merged = layer.merge()
assert torch.allclose(merged(x), before, atol=1e-5)
print(
    "after merging, the adapter still in place:",
    bool(torch.allclose(layer(x), before, atol=1e-5)),
)

# %% [markdown]
# The last line is one more mistake that gives no error. After merging the change is *in* the matrix. If the adapter stays beside it, it is added a second time; and if somebody merges again, a third. The package takes the adapter out as it merges, so there is nothing left to merge twice.
#
# ## Teach it
#
# Three runs of 90 steps with 16 examples in each. First, LoRA of rank 8 on the language model alone (you have seen it at the top of the page; the tower has never seen a penguin and stays as it is). Second, everything moves. Third, everything moves, and the lessons are only about penguins. In the first two, a third of the lessons are old ones. Which of the three will describe penguins best?

# %%
everything, only_new = fresh_model(), fresh_model()
full_losses = run(everything, new + old, 90, 5e-4)
only_losses = run(only_new, new, 90, 5e-4)
trained = sum(p.numel() for p in with_lora.parameters() if p.requires_grad)
total = sum(p.numel() for p in everything.parameters())
print(f"LoRA trains {trained:,} numbers, the others {total:,}")

# %% tags=["nbval-ignore-output"]
print(f"the run with LoRA took {lora_seconds:.0f} seconds here")
assert lora_seconds < 300

# %% mystnb={"image": {"alt": "Loss over 90 steps for three runs. All fall steeply in the first 40 steps. The two runs in which everything moves end near 0.4, LoRA near 0.7."}, "figure": {"caption": "The losses of the three runs (mean over ten steps). LoRA ends with twice the loss of the others. What was learned, and what was lost, a training loss does not say: read on.", "name": "fig-ch21-losses"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
for values, label, color, style in (
    (lora_losses, "LoRA", "#0072B2", "-"),
    (full_losses, "everything", "#D55E00", "-."),
    (only_losses, "everything, only new lessons", "#009E73", "--"),
):
    smooth = np.array(values).reshape(-1, 10).mean(1)
    ax.plot(np.arange(5, 90, 10), smooth, color=color, linestyle=style, label=label)
ax.set(xlabel="step", ylabel="loss on the suffix", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# Now measure, on scenes that nobody trained on: the new task on 60 scenes with penguins, the old ones on 60 scenes without. And one more number: asked for penguins where there are none, how often does it draw one?


# %%
def rows_of(a_model) -> dict[str, np.ndarray]:
    """For each measure a row [right, of] for each scene."""
    kinds = [scene.objects[0].label for scene in old_scenes]

    def captions(scenes):
        texts = say(a_model, scenes, ["caption en"] * len(scenes))
        return np.array(
            [[text == caption(s).suffix, 1] for text, s in zip(texts, scenes)], float
        )

    def boxes(scenes, labels):
        rows = []
        texts = say(a_model, scenes, [f"detect {label}" for label in labels])
        for text, scene, label in zip(texts, scenes, labels):
            truths = [Detection(t.label, t.box) for t in scene.objects if t.label == label]
            counts = match_detections(parse_detections(text, 112, 112), truths)
            rows.append([len(counts.ious), counts.predicted, counts.actual])
        return np.array(rows, float)

    new_boxes, old_boxes = boxes(test_scenes, [TOY] * 60), boxes(old_scenes, kinds)
    invented = boxes(old_scenes, [TOY] * 60)
    ones = np.ones((60, 1))
    return {
        "new: captions": captions(test_scenes),
        "new: penguins found": new_boxes[:, [0, 2]],
        "new: boxes right": new_boxes[:, [0, 1]],
        "old: captions": captions(old_scenes),
        "old: toys found": old_boxes[:, [0, 2]],
        "old: boxes right": old_boxes[:, [0, 1]],
        "no penguin drawn": np.hstack([(invented[:, 1:2] == 0), ones]),
    }


def safe_ratio(rows: np.ndarray) -> float:
    """0 where nothing was drawn at all, so that silence is no precision."""
    return ratio_of_sums(rows) if rows[:, 1].sum() else 0.0


models = {"before": model, "LoRA": with_lora, "everything": everything, "only new": only_new}
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
value = {name: {m: safe_ratio(rows) for m, rows in r.items()} for name, r in results.items()}
assert value["before"]["new: captions"] == 0 and value["LoRA"]["new: captions"] > 0.3
assert (
    min(value[name]["new: penguins found"] for name in ("LoRA", "everything", "only new"))
    > 0.75
)
assert value["only new"]["old: toys found"] < 0.5 < value["LoRA"]["old: toys found"]

# %% mystnb={"image": {"alt": "Grouped bars for before, LoRA, everything and only new on five measures. New captions and penguins found rise from 0 to high values in all three. Old captions and old toys found stay high for LoRA and everything, and collapse for only new. No penguin drawn where none is: 0.67 before, 0.97, 0.98 and 0.90 after."}, "figure": {"caption": "What was learned and what was forgotten. All three runs learn the penguin. The one that saw only penguins has forgotten that there is anything else.", "name": "fig-ch21-forgetting"}} tags=["hide-input"]
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
        ("everything", "#D55E00", "//"),
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
ax.set(ylabel="part right", ylim=(0, 1.05), xlabel="measure")
ax.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.16), fontsize=8)
plt.show()

# %% [markdown]
# All three have learned it. Nine penguins in ten are found, and more than half of the captions are right in every letter, where a penguin is five tokens and is seen beside up to two other toys. The intervals of the three overlap; on 60 scenes you cannot say which learned best (chapter 20 says how you would find out). LoRA gets there with 3 % of the numbers.
#
# What differs is what is lost. With a third of old lessons in the mixture, captions of old scenes fall by about ten points, and old toys are nearly all found. Without them they are gone. Here is what that model says when you ask it for the first toy of three old scenes:

# %% tags=["nbval-ignore-output"]
for scene in old_scenes[:3]:
    kind = scene.objects[0].label
    [text] = say(only_new, [scene], [f"detect {kind}"])
    print(f"detect {kind}:", text)

# %% [markdown]
# It still finds the dog and the trees, and calls them penguins, or something like it: in its lessons a box was always followed by that word. This is {term}`catastrophic forgetting <catastrophic forgetting>` {cite}`mccloskey1989catastrophic`. Nothing in the loss said that the old answers should stay, and the shortest way to the new ones went through them. LoRA does not protect you from it. A run of it with only new lessons (150 steps, not shown here) found
# no old toy at all by its name. What protects is to mix old lessons in, or to stop early, or to add a term that holds weights near where they were {cite}`kirkpatrick2016overcoming`.
#
# Look at the last row too. Before, the model drew no penguin anywhere, rightly or not: it was trained to say no to every word that names no toy. A fine-tuning has to teach it the word and leave it its no. For that the mixture has lessons where the right answer is nothing. The run without them draws penguins in nine of ten scenes that have none.
#
# ## Keep it, and give it to others
#
# What LoRA has learned is a few matrices beside a model that everybody has, an {term}`adapter`. Save them alone, in the form of the library *peft*. Or merge, and save a whole model in the published format, which *transformers* opens.


# %% tags=["nbval-ignore-output"]
from peft import PeftModel
from transformers import PaliGemmaForConditionalGeneration as ReferenceModel
from transformers.utils import logging

logging.set_verbosity_error()
warnings.filterwarnings("ignore", ".is_gradient_checkpointing")  # peft asks for an old name
logging.disable_progress_bar()
batch = processor(["caption en"] * 2, [scene.image for scene in test_scenes[:2]])
batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])  # transformers wants them said
with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
    adapter, whole = Path(folder, "adapter"), Path(folder, "whole")
    save_lora(with_lora, adapter)
    print(f"the adapter: {sum(f.stat().st_size for f in adapter.iterdir()) / 1e3:.0f} kB")
    ours = with_lora(**batch).logits

    again = fresh_model()
    load_lora(again, adapter)
    assert torch.equal(again(**batch).logits, ours)

    theirs = PeftModel.from_pretrained(
        ReferenceModel.from_pretrained(CHECKPOINT_DIRECTORY), adapter
    )
    print(f"peft differs by        {(theirs(**batch).logits - ours).abs().max():.0e} at most")

    num_adapters = len(find_lora(again))
    merge_lora(again)
    save_hf_model(again, whole)
    print(f"the whole model: {(whole / 'model.safetensors').stat().st_size / 1e6:.1f} MB")
    merged = ReferenceModel.from_pretrained(whole)
    print(f"transformers differs by {(merged(**batch).logits - ours).abs().max():.0e} at most")
    assert (theirs(**batch).logits - ours).abs().max() < 1e-3
    assert (merged(**batch).logits - ours).abs().max() < 1e-3
print(num_adapters, "adapters merged")

# %% [markdown]
# ## Your turn
#
# Draw something, cut it out, and save it as a PNG with a transparent background. Unfold the first cell of this chapter, put these lines in place of `TOY = "penguin"`, and run everything again. The tower stays as it is here; if your toy looks like none of the twenty, try adapters in the tower as well: `add_lora(model, config, part="", layers=(*LANGUAGE_MODEL_LAYERS, "out_proj", "fc1", "fc2"))`, with `LANGUAGE_MODEL_LAYERS` from `vlm.training.lora`.
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
# Google's *pt* checkpoints are made to be fine-tuned, and their report does it with everything moving, on some forty tasks, with the same settings for most: a learning rate around 10⁻⁵ (ours is fifty times as large, for a model a thousandth the size), a few epochs, and no old lessons, since what the base model could do before is not asked of it afterwards {cite}`beyer2024paligemma`. LoRA is what people do at home. Its usual places are the seven matrices of each layer, as here. `save_lora` writes the names that *peft* gives to transformers' modules, so
# an adapter that you train with this code on Google's weights can be loaded there, and the other way round; tests do that on small random models, the first for both generations. What is missing here is dropout, and keeping the frozen weights in 4 bits, which is called QLoRA.
#
# ## Exercises
#
# Open `exercises/ch21_finetuning.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch21_finetuning.py
# ```
#
# ### `make_labels` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# Two conditions have to hold for a place to count: it is suffix, and it is real.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# The last place's logits have no label, and the first place's label has no logits.
# ```
# ```{admonition} Hint 2: which functions
# :class: dropdown
# `log_softmax(-1)`, then `gather(-1, labels[..., None])`. gather refuses -100: put any legal number there first, and leave these places out of the mean.
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
# ```{admonition} Hint 1: shapes
# :class: dropdown
# `states` is [..., I]. `states @ A.T` is [..., G], and times `B.T` it is [..., O].
# ```
# ```{admonition} Hint 2: merging
# :class: dropdown
# After merging, `forward` must not add the change again. Keep a note of whether it has been done.
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
# An example is a row, and the loss is the mean surprise over the tokens of its answer: shifted by one, prefix and pads left out, `<eos>` kept. What moves costs 16 bytes a number, what is frozen 2. LoRA learns a change B A of low rank beside each frozen matrix; B starts at 0 and A does not; α / G keeps its size; merged once, it is gone. In a minute the model learned a toy, from 400 pictures. Without old lessons it forgot the other twenty, with LoRA and without.
#
# The model that you changed was trained from nothing once. The last chapter of this part shows how.
