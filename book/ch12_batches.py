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
# # How do you answer many questions at once? Batches
#
# To write one token, the machine fetches every weight of the model from memory, and uses each once. If four questions are open, it could use each four times, for nearly the same price. So questions are answered in batches. But questions have different lengths, and their answers too, and a batch is a rectangle. Everything that goes wrong with batches goes wrong in the corners that have to be filled.
#
# At the end you will be able to
#
# - pad a batch, and say why on the left;
# - give each token of each row its position, in the prompt and after it;
# - keep padding out of everybody's sight, also when it lies in the cache;
# - stop each row where it ends;
# - prove that a batch gives the answers that each row gives alone, and say what it costs and gains.
#
# It takes about 45 minutes. Here is a batch of four questions about one picture, with their answers.

# %% mystnb={"image": {"alt": "A grid of 4 rows and about 106 columns. Each row begins with 0 to 11 places of padding, then 64 of picture, then its prompt, all ending in the same column. Then come the answers: 8 tokens, 2, 27 and 2, and after each its end the rest of the row is empty."}, "figure": {"caption": "A batch as it is: four rows that end their prompts in the same column, and write side by side. The rows that have ended wait for the longest.", "name": "fig-ch12-goal"}} tags=["hide-input"]
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

KINDS = ("padding", "picture", "prompt", "answer", "after the end")
COLOURS = ("#555555", "#0072B2", "#56B4E9", "#E69F00", "#DDDDDD")
kinds = torch.full((4, S + new.shape[1]), 4)  # [B, T]
kinds[:, :S] = torch.where(batch["input_ids"] == config.image_token_index, 1, 2)
kinds[:, :S][batch["attention_mask"] == 0] = 0
kinds[:, S:][new != config.pad_token_id] = 3
fig, ax = plt.subplots(figsize=(8.4, 2.6), layout="constrained")
ax.pcolormesh(
    kinds, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=4.5, edgecolors="white", linewidth=0.2
)
ax.invert_yaxis()
ax.set_yticks([0.5, 1.5, 2.5, 3.5], ["caption", "count", "detect", "left"])
ax.set(xlabel="place in the row", ylabel="question")
handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS]
fig.legend(handles, KINDS, ncols=5, fontsize=8, loc="outside upper center")
plt.show()

# %% [markdown]
# ## Padding, in front
#
# The rows have 68, 74, 70 and 79 tokens. A tensor is a rectangle, so eleven places of the first row have to be filled with something. That something is the {term}`pad token <padding>`, and the {term}`attention_mask <attention mask>` says which places are real: 1 for real, 0 for padding.
#
# Where does the padding go? When you read a text you would put it at the end. Try that: the same four rows, padding on the right. Which token comes next is told by the scores at the last place of a row.

# %%
lengths = batch["attention_mask"].sum(-1)  # [B]
right_ids = torch.zeros_like(batch["input_ids"])
right_mask = torch.zeros_like(batch["attention_mask"])
for row, length in enumerate(lengths.tolist()):
    right_ids[row, :length] = batch["input_ids"][row, S - length :]
    right_mask[row, :length] = 1
logits = model(right_ids, batch["pixel_values"], right_mask).logits  # [B, S, V]


def tokens_of(scores: Tensor) -> list[str]:
    return tokenizer.convert_ids_to_tokens(scores.argmax(-1).tolist())


print("last column:    ", tokens_of(logits[:, -1]))
print("last real place:", tokens_of(logits[torch.arange(4), lengths - 1]))

# %% [markdown]
# The last column of the first three rows is padding, and what follows padding was never learned. The longest row alone is right. One can take the last real place of each row instead, as in the second line. But then the new token has to be written there too, at another column in each row, and the cache would have to be filled at another place in each row.
#
# With the padding on the left, all rows end in the same column. The next token of every row comes in the next column, for the prompt and ever after. The padding is a matter of the beginning, and the end is simple. The scores are the same:

# %%
left = model(batch["input_ids"], batch["pixel_values"], batch["attention_mask"]).logits[:, -1]
difference = (left - logits[torch.arange(4), lengths - 1]).abs().max()
print("left:           ", tokens_of(left))
print(f"differ by less than 1e-4: {bool(difference < 1e-4)}")

# %% [markdown]
# The two agree, and no row needs a search for its end. So a batch that writes is padded on the left.[^ch12-1]
#
# ## Each row counts for itself
#
# A {term}`position <position ids>` says how far a token stands from another (chapter 7), and distance is all that counts. So a whole row may be shifted. It may count its padding or not, it may start at 0 or 1. What may not be is that its prompt counts in one way and its answer in another. The package counts the real tokens, row by row, with a running sum over the mask; for a new token it does the same with the mask that has grown by one.
#
# [^ch12-1]: For training the side makes no difference, and many people pad on the right there.


# %% tags=["from:vlm.attention_mask.make_position_ids"]
def make_position_ids(attention_mask: Tensor, num_new: int) -> Tensor:
    """Count the real tokens from 1, row by row; padding gets 1, and the mask hides it anyway."""
    return attention_mask.cumsum(-1).clamp(min=1)[:, -num_new:]  # [B, S]


# %%
example = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
assert make_position_ids(example, 4).tolist() == [[1, 1, 1, 2], [1, 2, 3, 4]]
grown = torch.nn.functional.pad(example, (0, 1), value=1)
assert make_position_ids(grown, 1).tolist() == [[3], [5]]
print("two rows, one new token each:", make_position_ids(grown, 1).tolist())

# %% [markdown]
# Look at the shape: two rows, one token each, so [2, 1]. A list of two numbers makes [1, 2] just as easily, and with one row nobody would notice. Some code has it so: positions of shape [1, B]. What happens then, with two rows? The angles of position 3 and 5 meet one new token in each row.

# %%
cos, sin = gemma.rotary_cos_sin(torch.tensor([[3, 5]]), 32, 10_000.0, torch.float32)
states = torch.randn(2, 4, 1, 32)  # [B, A, 1, E]: one new token in each row
print(
    "it should be",
    list(states.shape),
    "and is",
    list(gemma.apply_rotary_pos_emb(states, cos, sin).shape),
)

# %% [markdown]
# Broadcasting makes two tokens of one in each row. The keys are doubled in the same way, so the cache takes in two where there is one, the scores have a column more than the mask, and their sum fails: the best that can happen. With a batch of one row the shapes are the same, so nobody who tests with one prompt sees it.
#
# ## Nobody looks at padding, not even later
#
# The prefix-LM mask of chapter 9 has the column of each pad dark, for all who look. When the model writes, its padding lies in the cache, and has keys and values like everything else. So the mask of a new token must still cover it. Here are the masks of the first row: 79 × 79 for the prompt, then one line for each new token, over all columns.

# %% mystnb={"image": {"alt": "Left, a square mask of 79 by 79: the first eleven columns dark in all rows, all else light. Right, a strip for a new token over 80 columns: the first eleven dark."}, "figure": {"caption": "The mask of the shortest row: for its prompt (left) and for its first new token (right). Light may be looked at. The eleven places of padding stay dark for ever.", "name": "fig-ch12-mask"}} tags=["hide-input"]
mask = batch["attention_mask"][:1]
prompt_mask = make_prefix_lm_mask(mask, torch.zeros_like(mask), torch.float32)[0, 0] == 0
grown = torch.nn.functional.pad(mask, (0, 1), value=1)
token_mask = (
    make_prefix_lm_mask(grown, torch.ones(1, 1, dtype=torch.long), torch.float32)[0, 0] == 0
)
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
axes[0].imshow(prompt_mask, cmap="cividis", vmin=0, vmax=1)
axes[0].set(xlabel="looked at", ylabel="looking")
axes[1].imshow(token_mask, cmap="cividis", vmin=0, vmax=1, aspect=8)
axes[1].set(xlabel="looked at", ylabel="new", yticks=[])
plt.show()

# %% [markdown]
# Set it yourself, and watch the small numbers beside the words: they are the position ids. With three pads, which position does the first answer token have? What changes in its row when two answer tokens are in the cache? And which cells does *padding visible* add?
#
# <div class="live-figure" data-figure="mask-lab" data-offers="padding answer cached rules" data-padding="3">
# <p>This figure needs JavaScript. The figure above shows the masks of one row. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("mask-lab", offers="padding answer cached rules", padding="3")

# %% [markdown]
# The pads shift every column, and no position id: each row counts its own real tokens. The cache takes rows away, and the columns of the pads stay masked in every row that is left, however long the answer becomes. Forget that for the new tokens alone, and the prompt is still read correctly: the first token of the answer is right, and the rest need not be.
#
# And the *rows* of padding? What a pad sees is of no importance, but it must see something. Suppose a mask with minus infinity, and a pad that sees nothing at all, as in a causal mask with padding on the left. Softmax divides by the sum of all exponentials, and the sum is 0.

# %%
scores = torch.tensor([[0.5, 1.0, 2.0]])
print("nothing visible, minus infinity:", (scores - torch.inf).softmax(-1).tolist())
lowest = torch.finfo(torch.float32).min
weights = scores.masked_fill(torch.ones(1, 3, dtype=torch.bool), lowest).softmax(-1)
print("nothing visible, lowest number: ", [[round(w, 2) for w in weights[0].tolist()]])

# %% [markdown]
# The pad's own vector is nan now. Nobody looks at it: its weight is 0 for everyone else. Is it contained? Decide before you run the cell.

# %%
weights = torch.tensor(
    [[0.0, 0.6, 0.4]]
)  # a real token, which gives the pad in front no weight
values = torch.tensor([[torch.nan], [1.0], [2.0]])  # the pad's value comes from its vector
print("0.6 · 1 + 0.4 · 2 should be 1.4, and is", (weights @ values).item())

# %% [markdown]
# No. 0 times nan is nan, and one layer later the whole row is. That is why the package takes the lowest number and not minus infinity: then a row that sees nothing gives everything some weight, which is nonsense, but finite, and nobody looks. (The package adds the mask. In float16 the lowest number and a score below −16 add up to minus infinity after all; in float32 and bfloat16 they cannot. The exercise below goes further, and wants weights of 0 in such a row, which is safe in every dtype.) In the prefix-LM mask there is no such row anyway: padding has type 0, and sees the prefix.
#
# ## Each row ends for itself
#
# The answers have 8, 2, 27 and 2 tokens, `<eos>` included. The batch goes on until the last row has ended. What do the others do meanwhile? They are computed, there is no way around it in a rectangle, and their result is thrown away: they get the pad token. Here is the whole loop.


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
    """Yield the next token of every row, [B], until each row has ended with `<eos>` or the limit is reached."""
    device, config = model.device, model.config
    input_ids, attention_mask = (
        inputs["input_ids"].to(device),
        inputs["attention_mask"].to(device),
    )
    batch_size, prompt_length = input_ids.shape
    kv_cache = KVCache(
        config.text_config, batch_size, prompt_length + max_new_tokens, model.dtype, device
    )
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    eos_token_ids = torch.tensor(config.eos_token_id, device=device)  # one or several
    ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    pixel_values = inputs["pixel_values"].to(device)
    for _ in range(max_new_tokens):
        outputs = model(
            input_ids, pixel_values, attention_mask, kv_cache=kv_cache, logits_to_keep=1
        )
        if pixel_values is not None:  # a weight that is NaN shows in the first logits
            check_scores(outputs.logits, model)
        token = choose_token(outputs.logits[:, -1], temperature, top_p, generator)  # [B]
        token = token.masked_fill(ended, config.pad_token_id)
        ended |= torch.isin(token, eos_token_ids)
        yield token
        if ended.all():
            return
        input_ids, pixel_values = token[:, None], None  # the image is in the cache from now on
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)  # [B, T + 1]


# %% [markdown]
# It is a *generator*: each time somebody asks, it makes one more step, and yields one token for each row. That is how an answer can be shown while it is written. `generate` collects the steps and makes texts of them.


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
    steps = list(generate_tokens(model, inputs, max_new_tokens, temperature, top_p, seed))
    return [processor.decode(row) for row in torch.stack(steps, dim=1)]  # rows [B, new]


# %% [markdown]
# `check_sampling` is chapter 10's. `check_length` refuses a prompt that is, with its answer, longer than the model was made for. `check_scores` stops if a nan is among the first scores: `argmax` would name a token all the same.
#
# The proof of everything above: four together, and each alone.

# %%
together = generate(model, processor, PROMPTS, [image] * 4)
alone = [generate(model, processor, prompt, image)[0] for prompt in PROMPTS]
assert together == alone
for prompt, text in zip(PROMPTS, together):
    print(f"{prompt}\n    {text}")

# %% [markdown]
# Now the mistakes. Each is one line in the loop. The figure has the boxes of the third row, which has nine places of padding, with each of them.
#
# - *Columns counted*: the prompt's positions count real tokens, those of new tokens count columns.
# - *First row's positions*: all rows go on where the first one goes on.
# - *Padding forgotten*: from the first new token on the mask is all ones, so the padding in the cache is seen.
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
        output = model(
            input_ids, pixel_values, attention_mask, position_ids=positions, kv_cache=cache
        )
        token = output.logits[:, -1].argmax(-1).masked_fill(ended, config.pad_token_id)
        ended |= token == config.eos_token_id
        steps.append(token)
        if ended.all() or (mistake == "stops with the first" and ended.any()):
            break
        input_ids, pixel_values = token[:, None], None
        attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
    return processor.decode(torch.stack(steps, dim=1)[2])


# %% mystnb={"image": {"alt": "Five pictures of the scene with two cats and two birds. No mistake: four good boxes. Columns counted, first row's positions, and padding forgotten: fewer boxes, in wrong places. Stops with the first: no box."}, "figure": {"caption": "\"detect cat ; bird\", third row of the batch, with each mistake. In a batch of one, or of rows of one length, none of the first three can be seen.", "name": "fig-ch12-mistakes"}} tags=["hide-input"]
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
# ## What it gains, and what is wasted
#
# What does a batch of n rows gain over n rows one after another? Reading and writing are not alike, so measure them apart: how many prompts a second are read, with their pictures, and how many tokens a second are written. Which of the two will gain?

# %% mystnb={"image": {"alt": "Rows per second relative to batch size 1, over batch sizes 1 to 64 on a logarithmic axis. The line for writing rises steeply to the end. The line for reading stays far below it."}, "figure": {"caption": "Gain by batch size, over one row at a time, measured on the machine that executed this page (two processor cores). Writing gains several times as much as reading, whose curve flattens first.", "name": "fig-ch12-throughput"}} tags=["hide-input", "nbval-ignore-output"]
SIZES = (1, 2, 4, 8, 16, 32, 64)
pictures = [draw_scene(seed, "test").image for seed in range(64)]


def rates(size: int) -> tuple[float, float]:
    """Prompts read per second, and tokens written per second: the best of five runs."""
    inputs = processor(["detect cat ; bird"] * size, pictures[:size])
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


reading, writing = zip(*(rates(size) for size in SIZES))
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.plot(SIZES, [r / writing[0] for r in writing], color="#0072B2", marker="o", label="writing")
ax.plot(
    SIZES,
    [r / reading[0] for r in reading],
    color="#D55E00",
    linestyle="--",
    marker="s",
    label="reading",
)
ax.set_xscale("log", base=2)
ax.set_xticks(SIZES, SIZES)
ax.set(xlabel="batch size", ylabel="times as fast as one row at a time", ylim=(0, None))
ax.legend()
plt.show()
for name, found in (("reading", reading), ("writing", writing)):
    print(name, [round(rate / found[0], 1) for rate in found])

# %% [markdown]
# A prompt has some seventy tokens, and its picture 64 patches, so each weight that is fetched is used that often even for one row: reading is soon limited by arithmetic, and more rows are more arithmetic.[^ch12-2] Writing uses each weight once per row. There more rows are nearly free, until arithmetic is the limit here too. Where that point lies depends on the machine: a graphics card can do several hundred multiplications in the time in which it fetches one number, and there it lies at hundreds of rows.
#
# And waste: places of padding are computed like all others. How many are there? It depends on who sits in a batch with whom. Take 386 questions of all kinds, in the order in which they came, or sorted by length.
#
# [^ch12-2]: What it gains is what one row alone leaves unused: two cores, and the time that each call costs whatever it does. In so small a model that is much.

# %% mystnb={"image": {"alt": "Bars of the share of padding by batch size 2 to 64. In random order it grows from 2.4 to 9.8 percent; sorted by length it stays below 2 percent."}, "figure": {"caption": "Padding, in percent of all places, by batch size. Sorting by length removes nearly all of it.", "name": "fig-ch12-waste"}} tags=["hide-input"]
asked = make_questions([draw_scene(seed, "test") for seed in range(64)])
questions = [question.prompt for task in asked.values() for question in task]
order = np.random.default_rng(0).permutation(len(questions))
all_lengths = [len(processor.encode_prefix(questions[i])) for i in order]


def percent_padding(lengths: list[int], size: int) -> float:
    places = sum(
        max(lengths[i : i + size]) * len(lengths[i : i + size])
        for i in range(0, len(lengths), size)
    )
    return 100 * (places - sum(lengths)) / places


sizes = [2, 4, 8, 16, 32, 64]
_fig, ax = plt.subplots(figsize=(6.4, 2.9), layout="constrained")
for shift, name, lengths, color in (
    (-0.2, "as they came", all_lengths, "#D55E00"),
    (0.2, "sorted by length", sorted(all_lengths), "#0072B2"),
):
    heights = [percent_padding(lengths, size) for size in sizes]
    bars = ax.bar([i + shift for i in range(len(sizes))], heights, 0.4, color=color, label=name)
    ax.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=7)
ax.set_xticks(range(len(sizes)), sizes)
ax.set(xlabel="batch size", ylabel="padding in percent")
ax.margins(y=0.12)
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Ten percent is little, because 64 places of each row are picture. The other waste is larger: rows that have ended and wait. In the batch of the first figure, 27 steps of four rows are 108 places, of which 39 have a token in them. Sorting does not help there, since nobody knows how long an answer will be. Servers therefore do not wait: when a row ends, the next question takes its place in the running batch ({term}`continuous batching`, Orca {cite}`yu2022orca`; vLLM does it too). The course stays with rectangles.
#
# *transformers* does what this chapter does: it pads on the left, counts positions by the mask in `generate`, and gives pad tokens to rows that have ended. Only when you call its model *without* `generate`, its positions count all columns. For left-padded rows that is a shift, as you know, and harmless.
#
# ## Exercises
#
# Open `exercises/ch12_batches.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch12_batches.py
# ```
#
# ### `pad_left` (1 point, 5 minutes)
#
# ```{admonition} Hint
# :class: dropdown
# `[0] * 3 + [1] * 2` is a list of five. How many pads does a row need?
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# A token's position is the number of real tokens up to it. A running sum over zeros and ones counts the ones.
# ```
# ```{admonition} Hint 2: which columns
# :class: dropdown
# Make positions for all T columns first, and cut off the last `num_new`.
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
# ```{admonition} Hint
# :class: dropdown
# For each row you want the largest column number at which the mask is 1. `logits[rows, columns]` with two lists of numbers picks one place from each row.
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
# ```{admonition} Hint
# :class: dropdown
# Two steps: hide before softmax, with a number that float16 has too (`torch.finfo(scores.dtype).min`), and look afterwards at what a row of which nothing is visible has got.
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
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# What has to be remembered from step to step? The ids, the mask, and which rows have ended.
# ```
# ```{admonition} Hint 2: the order
# :class: dropdown
# Ask; take the largest; overwrite the tokens of rows that *had* ended with padding; then note which rows end now.
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
# A batch is a rectangle, and its corners are filled with padding: in front, so that all rows write in the same column. Each row counts its own real tokens, before and after its prompt's end. Padding is dark for everyone and for ever, and no row may see nothing, or nan spreads. Each row ends for itself. Together and alone must give the same texts. A batch gains much where tokens are written, and far less where prompts are read.
#
# Your model now answers whole batches. Its weights were put in place by a loader that we have not looked at yet, and few parts of a model fail as silently as a loader. That is next.
