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
# # Batched generation: how do you answer many questions at once?
#
# To generate one token, the machine fetches every weight of the language model from memory, and uses it once. If four questions are waiting, it could use each weight four times, at nearly the same cost. So questions are answered in batches, for more {term}`throughput`. But questions have different lengths, and so have their answers, and a batch is a rectangle. Most of what goes wrong with batches goes wrong in the corners that have to be filled.
#
# At the end you will be able to
#
# - pad a batch, and say why on the left;
# - give each token of each row its position, in the prompt and after it;
# - keep all tokens from attending to padding, even when the padding is in the cache;
# - end each row at its own `<eos>`;
# - check that a batch gives the answers that each row gives alone, and say what a batch gains and wastes.
#
# Time: about 45 minutes to read and run, and 50 for the five exercises. Here is a batch of four questions about one image, with their answers.

# %% mystnb={"image": {"alt": "A grid of 4 rows and about 106 columns. Each row begins with 0 to 11 pads, then come 64 image tokens and the prompt, and all prompts end in the same column. Then come the answers: 8 tokens, 2, 27 and 2, and after the end of each answer the rest of the row is empty."}, "figure": {"caption": "A batch is a rectangle: the four prompts end in the same column, the four answers are generated side by side, and rows that have ended wait for the longest. One row for each question, one column for each position.", "name": "fig-ch12-goal"}} tags=["hide-input"]
import time
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from PIL import Image
from torch import Tensor
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from toybox.questions import make_questions
from toybox.scenes import draw_scene
from vlm import gemma
from vlm.attention_mask import make_prefix_lm_mask
from vlm.generate import check_length, check_sampling, check_scores, choose_token
from vlm.generate import generate_tokens as finished_generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model
from vlm.paligemma import PaliGemmaForConditionalGeneration
from vlm.processor import PaliGemmaProcessor
from vlm.regions.boxes import parse_detections
from vlm.regions.draw import draw_detections

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
PROMPTS = [
    "caption en",
    "answer en how many cats are there?",
    "detect cat ; bird",
    "answer en which is further left, the cat or the bird?",
]
batch = processor(PROMPTS, [image] * 4)
S = batch["input_ids"].shape[1]
new = torch.stack(list(finished_generate_tokens(model, batch, 40)), dim=1)  # [B, new]

KINDS = ("padding", "image", "prompt", "answer", "after the end")
COLORS = ("#555555", "#0072B2", "#56B4E9", "#E69F00", "#DDDDDD")
kinds = torch.full((4, S + new.shape[1]), 4)  # [B, T]
kinds[:, :S] = torch.where(batch["input_ids"] == config.image_token_index, 1, 2)
kinds[:, :S][batch["attention_mask"] == 0] = 0
kinds[:, S:][new != config.pad_token_id] = 3
fig, ax = plt.subplots(figsize=(8.4, 2.6), layout="constrained")
ax.pcolormesh(
    kinds,
    cmap=ListedColormap(COLORS),
    vmin=-0.5,
    vmax=4.5,
    edgecolors="white",
    linewidth=0.2,
)
ax.invert_yaxis()
ax.set_yticks([0.5, 1.5, 2.5, 3.5], ["caption", "count", "detect", "left"])
ax.set(xlabel="column", ylabel="question")
handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in COLORS]
fig.legend(handles, KINDS, ncols=5, fontsize=8, loc="outside upper center")
plt.show()

# %% [markdown]
# ## Left padding
#
# The rows have 68, 74, 70 and 79 tokens. A tensor is a rectangle, so eleven positions of the first row have to be filled with something. They get the {term}`pad token <padding>`, and the {term}`attention_mask <attention mask>` says which tokens are real: 1 for real, 0 for padding.
#
# On which side does the padding go? The end of the row seems natural. Try that: the same four rows, padded on the right. The logits at the last position of a row predict its next token.

# %%
lengths = batch["attention_mask"].sum(-1)  # [B]
right_ids = torch.zeros_like(batch["input_ids"])
right_mask = torch.zeros_like(batch["attention_mask"])
for row, length in enumerate(lengths.tolist()):
    right_ids[row, :length] = batch["input_ids"][row, S - length :]
    right_mask[row, :length] = 1
logits = model(right_ids, batch["pixel_values"], right_mask).logits  # [B, S, V]


def tokens_of(logits: Tensor) -> list[str]:
    return tokenizer.convert_ids_to_tokens(logits.argmax(-1).tolist())


print("last column:    ", tokens_of(logits[:, -1]))
print("last real token:", tokens_of(logits[torch.arange(4), lengths - 1]))

# %% [markdown]
# In the first three rows the last column is padding, and the model was never trained to predict what follows padding. Only the longest row is right. You can take the last real token of each row instead (second line). But then the new token belongs in a different column in each row, and so do its keys and values in the cache.
#
# With the padding on the left, all rows end in the same column. The next token of every row goes to the next column, at every step. Only the beginnings of the rows differ. The logits are the same:

# %%
outputs = model(batch["input_ids"], batch["pixel_values"], batch["attention_mask"])
left = outputs.logits[:, -1]
difference = (left - logits[torch.arange(4), lengths - 1]).abs().max()
print("left padding:   ", tokens_of(left))
print(f"differ by less than 1e-4: {bool(difference < 1e-4)}")

# %% [markdown]
# The two agree, and you don't have to search for the end of any row. So batches are padded on the left for generation.[^ch12-1]
#
# ## Position ids: each row counts its own tokens
#
# {term}`Position ids <position ids>` say how far apart two tokens are (chapter 7), and distances are all that counts. So you may shift a whole row: count its padding or not, start at 0 or at 1. But prompt and answer must use the same counting. The package counts the real tokens of each row, with a cumulative sum over the mask; for a new token it does the same with the mask that has grown by one column.

# %% tags=["hide-input"]
from figures.schematics.padding import draw_padding
from IPython.display import HTML

drawing = draw_padding([["<bos>", "ocr", "\\n"], ["<bos>", "\\n"]])
HTML(
    drawing.html(
        "Padded on the left, all rows continue in the same column; padded on the right, "
        "each row continues in a column of its own. Position ids count real tokens "
        "alone, so both give a token the same id. (The image tokens, which come first, "
        "are left out.)"
    )
)

# %% [markdown]
# [^ch12-1]: For training the side makes no difference if mask and positions fit it, and padding on the right is common.


# %% tags=["from:vlm.attention_mask.make_position_ids"]
def make_position_ids(attention_mask: Tensor, num_new: int) -> Tensor:
    """Count the real tokens of each row from 1; left padding gets 1."""
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # [B, S]


# %%
example = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
assert make_position_ids(example, 4).tolist() == [[1, 1, 1, 2], [1, 2, 3, 4]]
grown = torch.nn.functional.pad(example, (0, 1), value=1)
assert make_position_ids(grown, 1).tolist() == [[3], [5]]
print("two rows, one new token each:", make_position_ids(grown, 1).tolist())

# %% [markdown]
# Look at the shape: two rows, one token each, so [2, 1]. A list of two numbers becomes [1, 2] just as easily, and with a single row you would not notice. Some public code does that: positions of shape [1, B]. What happens then, with two rows? RoPE gets angles for two positions, 3 and 5, but each row has only one new token.

# %%
cos, sin = gemma.rotary_cos_sin(torch.tensor([[3, 5]]), 32, 10_000.0, torch.float32)
states = torch.randn(2, 4, 1, 32)  # [B, A, 1, E]: one new token in each row
rotated = gemma.apply_rotary_pos_emb(states, cos, sin)
print("it should be", list(states.shape), "and is", list(rotated.shape))

# %% [markdown]
# {term}`Broadcasting` makes two tokens out of the one in each row. The keys are doubled in the same way, so the cache gets two keys instead of one, the scores have one column more than the mask, and adding the two raises an error: the best that can happen. With a batch of one row the shapes are right, so if you test with one prompt, you don't see it.
#
# ## Masking the padding, in the cache too
#
# The prefix-LM mask of chapter 9 masks the column of each pad, for every query. During generation the padding is in the cache, and has keys and values like everything else. So the mask of a new token must still cover it. Here are the masks of the first row: 79 × 79 for the prompt, then one row for each new token, over all columns.

# %% mystnb={"image": {"alt": "Left, a square mask of 79 by 79: the first eleven columns are dark in all rows, all else is light. Right, a strip for a new token over 80 columns: the first eleven are dark."}, "figure": {"caption": "The eleven pads are masked in every pass: in the mask of the prompt (left) and in that of the first new token (right). This is the shortest row of the batch; light means that the query (row) may attend to the key (column).", "name": "fig-ch12-mask"}} tags=["hide-input"]
mask = batch["attention_mask"][:1]
prompt_mask = make_prefix_lm_mask(mask, torch.zeros_like(mask), torch.float32)
grown = torch.nn.functional.pad(mask, (0, 1), value=1)
new_type = torch.ones(1, 1, dtype=torch.long)
token_mask = make_prefix_lm_mask(grown, new_type, torch.float32)
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
axes[0].imshow(prompt_mask[0, 0] == 0, cmap="cividis", vmin=0, vmax=1)
axes[0].set(xlabel="key position", ylabel="query position")
axes[1].imshow(token_mask[0, 0] == 0, cmap="cividis", vmin=0, vmax=1, aspect=8)
axes[1].set(xlabel="key position", ylabel="new token", yticks=[])
plt.show()

# %% [markdown]
# Set the padding yourself, and watch the small numbers beside the tokens: they are the position ids. With three pads, which position does the first answer token have? What changes when two answer tokens are in the cache? And which cells does *padding visible* add?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="padding answer cached rules" data-padding="3">
# <p>This figure needs JavaScript. The figure above shows the masks of one row. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="padding answer cached rules", padding="3")

# %% [markdown]
# The pads shift every column, but no position id: each row counts its own real tokens, so the first answer token has position 9 with any number of pads. With the cache there are fewer rows, and the columns of the pads stay masked in each of them, however long the answer becomes. These columns are what *padding visible* adds. If you forget to mask them for the new tokens alone, the prompt is still processed correctly: the first token of the answer is right, and the rest need not be.
#
# And the *rows* of the padding? It does not matter what a pad attends to, but it must attend to something. Suppose that masked scores are minus infinity, and that a pad may attend to nothing at all, as with a causal mask and padding on the left. Softmax divides by the sum of all exponentials, and the sum is 0.

# %%
scores = torch.tensor([[0.5, 1.0, 2.0]])
print("nothing visible, minus infinity:", (scores - torch.inf).softmax(-1).tolist())
lowest = torch.finfo(torch.float32).min
weights = scores.masked_fill(torch.ones(1, 3, dtype=torch.bool), lowest).softmax(-1)
print("nothing visible, lowest number: ", [[round(w, 2) for w in weights[0].tolist()]])

# %% [markdown]
# The pad's own vector is NaN now. No real token attends to it: its weight is 0 in every other row. Is the NaN contained? Decide before you run the cell.

# %%
# A real token, which gives the pad before it no weight.
weights = torch.tensor([[0.0, 0.6, 0.4]])
# The pad's value is computed from its vector, so it is NaN too.
values = torch.tensor([[torch.nan], [1.0], [2.0]])
print("0.6 · 1 + 0.4 · 2 should be 1.4, and is", (weights @ values).item())

# %% [markdown]
# No. 0 times NaN is NaN, and one layer later so is the whole row. That is why the package uses the lowest finite number and not minus infinity: a row in which everything is masked then gives all positions the same weight, which is nonsense, but finite, and no real token attends to it. (As in chapter 8: in float16 the lowest number and a score of −20 still add up to minus infinity, but not in float32 or bfloat16. The exercise below goes further, and asks for weights of 0 in such a row, which is safe in every dtype.) The prefix-LM mask has no such row anyway: padding has token type 0, so it attends to the prefix.
#
# ## Each row ends with its own `<eos>`
#
# The answers have 8, 2, 27 and 2 tokens, `<eos>` included. The batch goes on until the last row has ended. What happens to the others meanwhile? They are still computed, since the batch is a rectangle, but their new tokens are thrown away and replaced by the pad token. Here is the whole loop.


# %% tags=["from:vlm.generate.generate_tokens"]
@torch.inference_mode()
def generate_tokens(
    model: PaliGemmaForConditionalGeneration,
    inputs: dict[str, Tensor],
    max_new_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> Iterator[Tensor]:
    """Yield one token for each row, [B], until all rows have ended or hit the limit."""
    device, config = model.device, model.config
    input_ids, attention_mask = (
        inputs["input_ids"].to(device),
        inputs["attention_mask"].to(device),
    )
    batch_size, prompt_length = input_ids.shape
    kv_cache = KVCache(
        config.text_config,
        batch_size,
        prompt_length + max_new_tokens,
        model.dtype,
        device,
    )
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    eos_token_ids = torch.tensor(config.eos_token_id, device=device)  # one or several
    ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    pixel_values = inputs["pixel_values"].to(device)
    for _ in range(max_new_tokens):
        outputs = model(
            input_ids, pixel_values, attention_mask, kv_cache=kv_cache, logits_to_keep=1
        )
        if pixel_values is not None:  # a NaN weight shows in the first logits
            check_scores(outputs.logits, model)
        # [B]
        token = choose_token(outputs.logits[:, -1], temperature, top_p, generator)
        token = token.masked_fill(ended, config.pad_token_id)
        ended |= torch.isin(token, eos_token_ids)
        yield token
        if ended.all():
            return
        # The image is in the cache from now on, and the mask grows to [B, T + 1].
        input_ids, pixel_values = token[:, None], None
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)


# %% [markdown]
# It is a *generator*: each time it is asked for more, it runs one step, and yields one token for each row. That is how you can show an answer while it is being generated. `generate` collects the steps and decodes them into texts.


# %% tags=["from:vlm.generate.generate"]
def generate(
    model: PaliGemmaForConditionalGeneration,
    processor: PaliGemmaProcessor,
    text: str | Sequence[str],
    images: Image.Image | Sequence[Image.Image],
    max_new_tokens: int = 100,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int | None = None,
) -> list[str]:
    """Answer one prompt for each image, as a batch."""
    check_sampling(max_new_tokens, temperature, top_p, seed)
    inputs = processor(text, images)
    check_length(inputs["input_ids"], max_new_tokens, model)
    steps = list(
        generate_tokens(model, inputs, max_new_tokens, temperature, top_p, seed),
    )
    return [processor.decode(row) for row in torch.stack(steps, dim=1)]  # rows [B, new]


# %% [markdown]
# `check_sampling` is from chapter 10. `check_length` raises an error if the prompt and its answer are longer than the model was made for. `check_scores` raises one if any of the first logits is NaN or infinite: for NaN, `argmax` would silently return an index.
#
# Now the test of everything above: four prompts together, and each alone.

# %%
together = generate(model, processor, PROMPTS, [image] * 4)
alone = [generate(model, processor, prompt, image)[0] for prompt in PROMPTS]
assert together == alone
for prompt, text in zip(PROMPTS, together):
    print(f"{prompt}\n    {text}")

# %% [markdown]
# Now the bugs. Each is one line in the loop. Before you look at the figure: which of them can you not see in a batch of one row? It shows what each does to the boxes of the third row, which has nine pads.
#
# - *Columns counted*: the positions of the prompt count real tokens, those of new tokens count columns.
# - *First row's positions*: all rows continue with the positions of the first one.
# - *Padding forgotten*: from the first new token on, the mask is all ones, so new tokens attend to the padding in the cache.
# - *Stops with the first*: the loop ends when one row has ended.


# %%
def boxes_with(mistake: str) -> str:
    """The answer of the third row."""
    input_ids, pixel_values = batch["input_ids"], batch["pixel_values"]
    attention_mask, steps = batch["attention_mask"], []
    cache = KVCache(config.text_config, 4, S + 40)
    ended = torch.zeros(4, dtype=torch.bool)
    for step in range(40):
        positions = None
        if step and mistake == "columns counted":
            positions = torch.full((4, 1), S + step)
        if step and mistake == "first row's positions":
            positions = attention_mask[:1].sum(-1, keepdim=True).expand(4, 1)
        if step and mistake == "padding forgotten":
            attention_mask = torch.ones_like(attention_mask)
        inputs = (input_ids, pixel_values, attention_mask)
        output = model(*inputs, position_ids=positions, kv_cache=cache)
        token = output.logits[:, -1].argmax(-1).masked_fill(ended, config.pad_token_id)
        ended |= token == config.eos_token_id
        steps.append(token)
        if ended.all() or (mistake == "stops with the first" and ended.any()):
            break
        input_ids, pixel_values = token[:, None], None
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
    return processor.decode(torch.stack(steps, dim=1)[2])


# %% mystnb={"image": {"alt": "Five copies of the scene with two cats and two birds. No bug: four good boxes. Columns counted, first row's positions, and padding forgotten: fewer boxes, in wrong places. Stops with the first: no box."}, "figure": {"caption": "Each bug spoils the boxes of \"detect cat ; bird\", the third row of the batch. In a batch of one row, or of rows of one length, you would not see the first three bugs.", "name": "fig-ch12-mistakes"}} tags=["hide-input"]
fig, axes = plt.subplots(1, 5, figsize=(11.5, 2.6), layout="constrained")
MISTAKES = (
    "none",
    "columns counted",
    "first row's positions",
    "padding forgotten",
    "stops with the first",
)
for ax, mistake in zip(axes, MISTAKES):
    found = parse_detections(boxes_with(mistake), 112, 112)
    draw_detections(image, found, ax, mistake)
plt.show()

# %% [markdown]
# ## Throughput: what a batch gains, and what it wastes
#
# How much faster is a batch of n rows than n rows one after another? Prefill and decode are not alike, so measure them separately: how many prompts are processed per second, with their images, and how many tokens are generated per second. Which of the two will gain more?

# %% mystnb={"image": {"alt": "Throughput relative to batch size 1, over batch sizes 1 to 64 on a logarithmic axis. The line for decode rises steeply to the end. The line for prefill stays far below it."}, "figure": {"caption": "Decode gains several times as much from a batch as prefill, whose curve flattens first. Throughput by batch size, relative to one row at a time, measured on the machine that executed this page (two processor cores).", "name": "fig-ch12-throughput"}} tags=["hide-input", "nbval-ignore-output"]
SIZES = (1, 2, 4, 8, 16, 32, 64)
images = [draw_scene(seed, "test").image for seed in range(64)]


def rates(size: int) -> tuple[float, float]:
    """Prompts per second in prefill, tokens per second in decode: the best of 5."""
    inputs = processor(["detect cat ; bird"] * size, images[:size])
    token, best = torch.full((size, 1), 800), [float("inf")] * 2
    for _ in range(5):
        cache = KVCache(config.text_config, size, 100)
        times = [time.perf_counter()]
        model(**inputs, kv_cache=cache, logits_to_keep=1)
        times.append(time.perf_counter())
        for _ in range(10):
            model(token, kv_cache=cache)
        times.append(time.perf_counter())
        best = [min(old, new) for old, new in zip(best, np.diff(times).tolist())]
    return size / best[0], 10 * size / best[1]


prefill, decode = zip(*(rates(size) for size in SIZES))
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.plot(
    SIZES,
    [rate / decode[0] for rate in decode],
    color="#0072B2",
    marker="o",
    label="decode",
)
ax.plot(
    SIZES,
    [rate / prefill[0] for rate in prefill],
    color="#D55E00",
    linestyle="--",
    marker="s",
    label="prefill",
)
ax.set_xscale("log", base=2)
ax.set_xticks(SIZES, SIZES)
ax.set(xlabel="batch size", ylabel="throughput relative to one row", ylim=(0, None))
ax.legend()
plt.show()
for name, found in (("prefill", prefill), ("decode", decode)):
    print(name, [round(rate / found[0], 1) for rate in found])

# %% [markdown]
# A prompt has some seventy tokens, and its image 64 patches, so each weight that is fetched is used that often even for one row: prefill is soon {term}`compute-bound`, and more rows are more arithmetic.[^ch12-2] Decode uses each weight once per row. There, more rows are nearly free, until decode is compute-bound too. Where that point lies depends on the machine: a GPU can do several hundred multiplications in the time in which it fetches one number, so there it lies at hundreds of rows.
#
# And the waste: pads are computed like all other tokens. How many pads there are depends on which rows share a batch. Take 386 questions of all kinds, in random order or sorted by length.
#
# [^ch12-2]: What prefill gains is what one row alone leaves unused: part of the two cores, and the {term}`overhead` of each operation, which is large in so small a model.

# %% mystnb={"image": {"alt": "Bars of the percentage of padding by batch size, 2 to 64. In random order it grows from 2.4 to 9.8 percent; sorted by length it stays below 2 percent."}, "figure": {"caption": "Sorting by length removes nearly all of the padding. The bars are the pads in percent of all tokens, by batch size.", "name": "fig-ch12-waste"}} tags=["hide-input"]
asked = make_questions([draw_scene(seed, "test") for seed in range(64)])
questions = [question.prompt for task in asked.values() for question in task]
order = np.random.default_rng(0).permutation(len(questions))
all_lengths = [len(processor.encode_prefix(questions[i])) for i in order]


def percent_padding(lengths: list[int], size: int) -> float:
    total = sum(
        max(lengths[i : i + size]) * len(lengths[i : i + size])
        for i in range(0, len(lengths), size)
    )
    return 100 * (total - sum(lengths)) / total


sizes = [2, 4, 8, 16, 32, 64]
_fig, ax = plt.subplots(figsize=(6.4, 2.9), layout="constrained")
for shift, name, lengths, color in (
    (-0.2, "random order", all_lengths, "#D55E00"),
    (0.2, "sorted by length", sorted(all_lengths), "#0072B2"),
):
    heights = [percent_padding(lengths, size) for size in sizes]
    positions = [i + shift for i in range(len(sizes))]
    bars = ax.bar(positions, heights, 0.4, color=color, label=name)
    ax.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=7)
ax.set_xticks(range(len(sizes)), sizes)
ax.set(xlabel="batch size", ylabel="padding in percent")
ax.margins(y=0.12)
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Ten percent is little, because 64 tokens of each row are image tokens. The other waste is larger: rows that have ended and wait. In the batch of the first figure, 27 steps of four rows have room for 108 tokens, and only 39 are part of an answer. Sorting does not help there, since you don't know in advance how long an answer will be. Servers therefore do not wait: when a row ends, the next question takes its place in the running batch ({term}`continuous batching`, from Orca {cite}`yu2022orca`; vLLM does it too). The course stays with rectangles.
#
# *transformers* does what this chapter does: it pads on the left, counts positions by the mask in `generate`, and gives pad tokens to rows that have ended. Only if you call its model *without* `generate` do its positions count all columns. For left-padded rows that shifts all positions of a row by the same amount, which is harmless.
#
# ## Exercises
#
# Open `exercises/ch12_batches.py`, complete the functions, and grade them, below or in a terminal:
#
# ```text
# pytest exercises/test_ch12_batches.py
# ```
#
# ### `pad_left` (1 point, 5 minutes)
#
# Pad rows of different lengths on the left, and make their mask.
#
# ```{literalinclude} ../exercises/ch12_batches.py
# :pyobject: pad_left
# ```
#
# ```{admonition} Hint
# :class: dropdown
# `[0] * 3 + [1] * 2` is a list of five numbers. How many pads does a row need?
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch12_batches.py
# :pyobject: pad_left
# ```
# ````
#
# ### `count_positions` (2 points, 10 minutes)
#
# Compute the position ids of the new tokens.
#
# ```{literalinclude} ../exercises/ch12_batches.py
# :pyobject: count_positions
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# A token's position is the number of real tokens up to and including it. A cumulative sum over zeros and ones counts the ones.
# ```
# ```{admonition} Hint 2: which columns
# :class: dropdown
# First compute positions for all T columns, then return the last `num_new` of them.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch12_batches.py
# :pyobject: count_positions
# ```
# ````
#
# ### `last_real_logits` (1 point, 10 minutes)
#
# Pick the logits at each row's last real token.
#
# ```{literalinclude} ../exercises/ch12_batches.py
# :pyobject: last_real_logits
# ```
#
# ```{admonition} Hint
# :class: dropdown
# For each row you want the largest column index at which the mask is 1. `logits[rows, columns]` with two lists of indices picks one position from each row.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch12_batches.py
# :pyobject: last_real_logits
# ```
# ````
#
# ### `masked_softmax` (2 points, 10 minutes)
#
# Write a masked softmax that never produces NaN.
#
# ```{literalinclude} ../exercises/ch12_batches.py
# :pyobject: masked_softmax
# ```
#
# ```{admonition} Hint
# :class: dropdown
# There are two steps. Before the softmax, mask with a number that exists in float16 too (`torch.finfo(scores.dtype).min`). After it, correct the weights of a row in which nothing is visible.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch12_batches.py
# :pyobject: masked_softmax
# ```
# ````
#
# ### `generate_batch` (3 points, 15 minutes)
#
# Write the greedy loop for a batch.
#
# ```{literalinclude} ../exercises/ch12_batches.py
# :pyobject: generate_batch
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# What must you keep from step to step? The ids, the mask, and which rows have ended.
# ```
# ```{admonition} Hint 2: the order
# :class: dropdown
# Get the logits; take the largest; replace the tokens of rows that *had* ended by padding; then note which rows end now.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch12_batches.py
# :pyobject: generate_batch
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch12_batches")

# %% [markdown]
# ## Summary
#
# A batch is a rectangle, and padding fills its corners: on the left, so that all rows generate in the same column. Each row counts its own real tokens, in the prompt and after it. No real token ever attends to padding, and no row of scores may be minus infinity throughout, or NaN spreads. Each row ends with its own `<eos>`. With greedy decoding a batch must give the same texts as its rows give alone, unless two logits are so close that rounding decides. It raises the throughput of decode a lot, and that of prefill far less.
#
# Your model now answers whole batches. Its weights came from a loader that we have not looked at yet, and few parts of a model fail as silently as a loader. That is next.
