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
# # What need not be computed twice? The KV cache
#
# To write one token, the model reads everything that came before: 64 image tokens, the prompt, the answer so far. To write the next one it reads all that again, and one token more. Nearly all of this work has been done a moment ago. In this chapter you find out what of it can be kept, keep it, and measure what that
# is worth, in time and in memory.
#
# At the end you will be able to
#
# - say why the vectors of earlier tokens may be kept, and which mask forbids it;
# - say what is kept, before or after which step, and how many bytes it takes;
# - write `KVCache` so that no memory is asked for while the model writes;
# - recognise a wrong position, an unturned key and a stale cache by what the model says.
#
# It takes about 45 minutes. Here is what you will have gained.

# %% mystnb={"image": {"alt": "Milliseconds per token over 300 tokens for three ways. Reading everything again begins at the top and rises. Reading the text again but not the picture is lower and rises too. With a cache the line is low and nearly flat."}, "figure": {"caption": "Time for each new token of one long answer, measured on the machine that executed this page. The upper two read everything again; the middle one has kept the picture's vectors at least. With a cache each token costs about the same.", "name": "fig-ch11-goal"}} tags=["hide-input", "nbval-ignore-output"]
import time
from collections.abc import Callable

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm import gemma
from vlm.attention import attention
from vlm.attention_mask import make_prefix_lm_mask
from vlm.config import GemmaConfig
from vlm.kv_cache import KVCache as FinishedCache
from vlm.loader import load_hf_model
from vlm.processor import PaliGemmaProcessor

torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
N = model.config.vision_config.num_image_tokens
processor = PaliGemmaProcessor.for_model(model, tokenizer)
image = example_image(0)
inputs = processor(["detect cat ; bird"], [image])
S = inputs["input_ids"].shape[1]
image_features = model.get_image_features(inputs["pixel_values"])  # [1, N, D]


def write(
    step: Callable[[list[int]], Tensor], max_new_tokens: int
) -> tuple[list[int], list[float]]:
    """The likeliest tokens, and the milliseconds that each took; `step` gives the scores of the next."""
    tokens, times = [], []
    for _ in range(max_new_tokens):
        start = time.perf_counter()
        tokens.append(int(step(tokens)[0, -1].argmax()))
        times.append(1000 * (time.perf_counter() - start))
    return tokens, times


def read_everything(tokens: list[int], **picture: Tensor) -> Tensor:
    ids = torch.cat([inputs["input_ids"], torch.tensor([tokens], dtype=torch.long)], dim=1)
    types = torch.tensor([[0] * S + [1] * len(tokens)])
    return model(ids, token_type_ids=types, **picture).logits  # [1, S + written, V]


def read_and_look(tokens: list[int]) -> Tensor:
    return read_everything(tokens, pixel_values=inputs["pixel_values"])


def read_only(tokens: list[int]) -> Tensor:
    return read_everything(tokens, image_features=image_features)


cache = FinishedCache(config, 1, S + 300)


def read_one(tokens: list[int]) -> Tensor:
    if not tokens:
        return model(**inputs, kv_cache=cache).logits
    return model(torch.tensor([tokens[-1:]]), kv_cache=cache).logits


def median_of_ten(times: list[float]) -> list[float]:
    return torch.tensor(times).unfold(0, 10, 10).median(-1).values.tolist()


fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for step, color, style, label in (
    (read_and_look, "#D55E00", "-", "look and read again"),
    (read_only, "#CC79A7", "-.", "read again"),
    (read_one, "#0072B2", "--", "with a cache"),
):
    _, times = write(step, 300)
    ax.plot(range(10, 301, 10), median_of_ten(times), color=color, linestyle=style, label=label)
ax.set(xlabel="tokens written", ylabel="milliseconds per token", ylim=(0, None))
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## What changes when a token is added?
#
# The naive loop calls the model with everything, each time. Nothing is wrong with it, and it is the reference for this chapter. Read the prompt with six tokens of the answer, and then with seven. Do the vectors of the tokens that are in both change? Guess first. In the tower the answer would be yes: there every patch sees every other.


# %%
def last_vectors(tokens: list[int], mask_of: Callable = make_prefix_lm_mask) -> Tensor:
    """What the last layer makes of prompt and answer, [S + len(tokens), D]."""
    ids = torch.cat([inputs["input_ids"], torch.tensor([tokens], dtype=torch.long)], dim=1)
    types = torch.tensor([[0] * S + [1] * len(tokens)])
    mask = mask_of(torch.ones_like(ids), types, torch.float32)  # [1, 1, T, T]
    position_ids = torch.arange(1, ids.shape[1] + 1)[None]
    inputs_embeds = model.embed_inputs(ids, image_features)  # [1, T, D]
    return model.language_model.model(inputs_embeds, position_ids, mask)[0]


answer, _ = write(read_only, 27)
six, seven = last_vectors(answer[:6]), last_vectors(answer[:7])
print(f"prefix-LM mask: they change by less than 1e-4: {(six - seven[:-1]).abs().max() < 1e-4}")


def everyone_sees_everyone(attention_mask: Tensor, types: Tensor, dtype: torch.dtype) -> Tensor:
    return make_prefix_lm_mask(attention_mask, torch.zeros_like(types), dtype)


six, seven = (last_vectors(answer[:n], everyone_sees_everyone) for n in (6, 7))
print(f"all see all: they change by up to {(six - seven[:-1]).abs().max():.1f}")

# %% [markdown]
# They don't change, and the mask is the reason. A token of the answer is seen by later tokens only. So no vector of an earlier place, in any layer, can know that it has come. With a mask that lets all see all, every vector changes, and nothing could be kept. That is why models that write are masked the way they are, and why PaliGemma's
# prefix is complete before the first token of the answer is written.
#
# This has a price. The picture's tokens have seen the prompt, so their keys and values are good for this prompt only. Another question about the same picture must read the picture's 64 tokens again; only the tower's work can be kept (`image_features`). A causal model can keep a common beginning for many prompts, and read a long prompt piece by piece. PaliGemma can do neither.
#
# ## What is kept: keys that are turned already
#
# Earlier vectors stay as they are. Must you keep them all? Look at what the new token needs from the others. In each layer it makes a query, and compares it with the *keys* of all tokens, and mixes their *values*. It needs nothing else of them: no earlier query, no MLP, no logits. So two tensors in each layer are kept, keys and values. Hence the name, {term}`KV cache`.
#
# And in which state? The key is turned by its position (chapter 7), and its position does not change either. So it is kept turned.
#
# Write one step of attention with a cache for the old keys and values, and compare it with attention over everything. To get real inputs, the cell hangs a {term}`hook` on a layer: a function that PyTorch calls with a module's input and output each time the module has run. This one records them.

# %%
layer = model.language_model.model.layers[1]
torch.manual_seed(0)
kept = []
hook = layer.self_attn.register_forward_hook(
    lambda _module, args, output: kept.append((args[0], output[0]))
)
last_vectors(answer[:7])
hook.remove()
hidden_states, expected = kept[
    0
]  # [1, T, D], what goes into layer 1's attention and what comes out
T = hidden_states.shape[1]
position_ids = torch.arange(1, T + 1)[None]


def project(
    module: nn.Module, states: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries and keys, turned, and values."""
    cos, sin = gemma.rotary_cos_sin(positions, config.head_dim, config.rope_theta, states.dtype)
    query = gemma.apply_rotary_pos_emb(module.split_heads(module.q_proj(states)), cos, sin)
    key = gemma.apply_rotary_pos_emb(module.split_heads(module.k_proj(states)), cos, sin)
    return query, key, module.split_heads(module.v_proj(states))  # [1, A or K, S, E]


module = layer.self_attn
_, old_keys, old_values = project(module, hidden_states[:, :-1], position_ids[:, :-1])
query, key, value = project(module, hidden_states[:, -1:], position_ids[:, -1:])
keys = gemma.repeat_kv(torch.cat([old_keys, key], dim=2), module.num_groups)  # [1, A, T, E]
values = gemma.repeat_kv(torch.cat([old_values, value], dim=2), module.num_groups)
mixed, _ = attention(query, keys, values, module.scaling, torch.zeros(1, 1, 1, T))
output = module.o_proj(mixed.transpose(1, 2).flatten(2))  # [1, 1, D]
assert torch.allclose(output, expected[:, -1:], atol=1e-4)
print("one row of scores instead of", T, "and the same result")

# %% [markdown]
# How much work is that? Count tokens that go through the layers. The naive loop reads S, then S + 1, then S + 2 … The cache reads S, then 1, and 1, and 1.

# %% mystnb={"image": {"alt": "Tokens read in total over tokens written from 0 to 300. Without a cache the curve bends upwards to 66,000, with a cache it is a line that ends at 369."}, "figure": {"caption": "Tokens that went through the layers, in total. Without a cache the work grows with the square of the length.", "name": "fig-ch11-work"}} tags=["hide-input"]
written = torch.arange(1, 301)
without = written * S + written * (written - 1) // 2
with_cache = S + written - 1
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
ax.plot(written, without, color="#D55E00", label="everything again")
ax.plot(written, with_cache, color="#0072B2", linestyle="--", label="with a cache")
ax.set(xlabel="tokens written", ylabel="tokens read in total")
ax.legend()
plt.show()
print(
    f"for 300 tokens: {int(without[-1]):,} against {int(with_cache[-1]):,}, {without[-1] / with_cache[-1]:.0f} times as many"
)

# %% [markdown]
# The first figure does not show such a ratio, and you should know why. A pass over one token is not seventy times cheaper than a pass over seventy: each weight must be fetched from memory in both, and for one token it is used once. Reading a prompt is limited by arithmetic, writing {term}`by memory <memory bandwidth>`. And in so small a model each call of a function has a price of its own, whatever it computes (chapter 12 comes back to that).
#
# Count multiplications instead. The figure lets the model answer twice, with a cache and without one, and draws a dot for each token: the multiplications of the pass that predicted it. Guess three things before you ask for boxes: where the first dots of the two runs lie, how many times as many multiplications the second token needs without a cache, and whether your machine needs as many times as much *time*.
#
# <div class="live-figure" data-figure="attention-lab" data-view="cache" data-tasks="detect caption segment" data-prompt="detect bird ; cat">
# <p>This figure needs JavaScript. The figure above shows the number of tokens that are read, which grows in the same way. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("attention-lab", view="cache", tasks="detect caption segment", prompt="detect bird ; cat")

# %% [markdown]
# The first dots are one: both runs must read the prompt. After that a pass with a cache reads 1 token, and one without reads all of them, so the ratio is nearly the number of tokens in the sequence, and it grows with every token. (Nearly: the head is applied to the last position only, in both runs.) The ratio of the seconds is smaller, since a pass over one token is not limited by arithmetic. Ask for a caption next: the answer is shorter, so there is less to save, but its dots lie on the same two curves.
#
# This grid shows the scores that count at one step. Step 0 reads the prefix. Move the step.

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_scores(step: int = 6, prefix: int = 6):
    """The scores of one step, without and with a cache; step 0 reads the prefix."""
    total = prefix + step
    types = torch.tensor([[0] * prefix + [1] * step])
    allowed = make_prefix_lm_mask(torch.ones_like(types), types, torch.float32)[0, 0] == 0
    cached = allowed.clone()
    if step:
        cached[:-1] = False
    _fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), layout="constrained")
    for ax, grid, title in zip(axes, (allowed, cached), ("everything again", "with a cache")):
        ax.imshow(grid, cmap="cividis", vmin=0, vmax=1)
        ax.set(xlabel="key", ylabel="query", title=f"{title}: {int(grid.sum())}")
        ax.set_xticks(range(0, total, 2))
        ax.set_yticks(range(0, total, 2))
    plt.show()


HTML(
    filmstrip_html(
        show_scores,
        "Scores that count when one token of an answer is read: light cells. Left without a cache, where "
        "the dark ones are computed too and then masked; right with one, where there is only the last row.",
        start=[6, 1],
        step=range(13),
        prefix=[3, 6, 9],
    )
)

# %% [markdown]
# ## Room set aside once
#
# The drawer above is made anew at each step: `torch.cat` asks for room for all keys, copies the old ones, and writes the new one behind them. It is how many implementations do it, *transformers*' default cache among them. Over a whole answer the copies add up to the square of its length, and memory is torn into pieces.
#
# The other way: ask once for as much room as the longest answer needs, and write. What is returned is a *view* of the filled part, not a copy.


# %% tags=["from:vlm.kv_cache.KVCache"]
class KVCache:
    """Room for `max_length` tokens in each layer, set aside once and filled from the left."""

    def __init__(
        self,
        config: GemmaConfig,
        batch_size: int,
        max_length: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        shape = (batch_size, config.num_key_value_heads, max_length, config.head_dim)
        layers = range(config.num_hidden_layers)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in layers]
        self.max_length = max_length
        self.length = 0

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the new keys and values [B, K, new, E] of one layer behind the old ones."""
        batch_size, new = key.shape[0], key.shape[2]
        end = self.length + new
        keys, values = self.keys[layer_idx], self.values[layer_idx]  # [B, K, max_length, E]
        if batch_size != keys.shape[0]:
            raise ValueError(
                f"the cache was made for a batch of {keys.shape[0]} and got {batch_size} rows"
            )
        if end > self.max_length:
            raise ValueError(
                f"the cache holds {self.max_length} tokens: {self.length} are in it and {new} more do not fit; "
                "make it with a larger max_length"
            )
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, new: int):
        """Count the tokens that all layers have written."""
        self.length += new

    def reset(self):
        """Make the cache ready for other sequences."""
        self.length = 0


# %% [markdown]
# Why is `advance` a call of its own? Because every layer writes at the same place. If `update` moved the place on, layer 1 would write behind layer 0. So `GemmaModel` calls `advance` once, after its last layer.
#
# By hand: one layer, one head, two numbers.

# %%
tiny = KVCache(GemmaConfig(4, 4, 1, 1, 1, 8, head_dim=2), batch_size=1, max_length=3)
tiny.update(0, torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.zeros(1, 1, 2, 2))
tiny.advance(2)
keys, _ = tiny.update(0, torch.tensor([[[[5.0, 6.0]]]]), torch.zeros(1, 1, 1, 2))
assert keys.tolist() == [[[[1, 2], [3, 4], [5, 6]]]]
tiny.advance(1)
try:
    tiny.update(0, torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
except ValueError as error:
    print(error)

# %% [markdown]
# How much memory is asked for can be counted, and unlike seconds it is the same on every machine. The grader of your exercises has a counter. Let both kinds of cache take in the 300 tokens of a long answer.

# %% mystnb={"image": {"alt": "Megabytes asked for over tokens written. Concatenation rises ever faster, to 129. Room set aside once is a flat line below 1."}, "figure": {"caption": "Memory asked for while 300 tokens are written, added up (what is freed in between is not taken off). Room for all of them at once is less than one.", "name": "fig-ch11-memory"}} tags=["hide-input"]
from grader.allocations import AllocationCounter


class Concatenated:
    """The drawer that is made anew at each step."""

    def __init__(self, *_):
        self.kept = {}

    def update(self, layer_idx: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if layer_idx in self.kept:
            key = torch.cat([self.kept[layer_idx][0], key], dim=2)
            value = torch.cat([self.kept[layer_idx][1], value], dim=2)
        self.kept[layer_idx] = key, value
        return key, value

    def advance(self, new: int):
        pass


def megabytes_asked(cache_class: type) -> list[float]:
    """After each token, from the prompt on."""
    asked = []
    with AllocationCounter() as counter:
        cache = cache_class(config, 1, S + 300)
    states = torch.zeros(1, config.num_key_value_heads, S, config.head_dim)
    for _ in range(301):
        with counter:
            for layer_idx in range(config.num_hidden_layers):
                cache.update(layer_idx, states, states)
        cache.advance(states.shape[2])
        asked.append(counter.bytes / 2**20)
        states = states[:, :, :1]
    return asked


asked = {cls.__name__: megabytes_asked(cls) for cls in (Concatenated, KVCache)}
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
ax.plot(asked["Concatenated"], color="#D55E00", label="concatenated")
ax.plot(asked["KVCache"], color="#0072B2", linestyle="--", label="set aside once")
ax.set(xlabel="tokens written", ylabel="MB asked for in total")
ax.legend()
plt.show()
print({name: f"{values[-1]:.1f} MB" for name, values in asked.items()})

# %% [markdown]
# The room itself: two tensors, times layers, times K heads, times E numbers, times 4 bytes, for each token. For the Toybox 2 · 4 · 2 · 32 · 4 = 2,048 bytes a token. For PaliGemma 3B in bfloat16 2 · 18 · 1 · 256 · 2 = 18,432 bytes, so a picture of 256 tokens takes 4.7 MB. With eight heads instead of one it would be 37.7 MB: now you see what chapter 8 was about.
#
# ## Prefill and decode
#
# The first pass reads picture and prompt, all at once, and fills the cache: {term}`prefill`. Each pass after it reads one token: {term}`decode`. The tower looks once.

# %%
cache = KVCache(config, 1, S + 27)
input_ids, pixel_values, tokens = inputs["input_ids"], inputs["pixel_values"], []
for _ in range(27):
    logits = model(input_ids, pixel_values, kv_cache=cache).logits  # [1, S or 1, V]
    tokens.append(int(logits[0, -1].argmax()))
    input_ids, pixel_values = torch.tensor([tokens[-1:]]), None
assert tokens == answer
print(processor.decode(tokens))

# %% [markdown]
# The same 27 tokens as the naive loop wrote. Where do the positions of the new tokens come from? From the attention mask: it covers the cached tokens too, so the model can count (`make_position_ids`, chapter 12). If you give none, as here, the model makes one of ones, over the cache and the new token. And `token_type_ids`, which say that a token belongs to the answer, are all 1 as soon as something is in the cache.
#
# *transformers* must agree as well.

# %%
from transformers import PaliGemmaForConditionalGeneration as Reference
from transformers import logging

logging.disable_progress_bar()
reference = Reference.from_pretrained(CHECKPOINT_DIRECTORY, attn_implementation="eager").eval()
theirs = reference.generate(
    **inputs,
    token_type_ids=torch.zeros_like(inputs["input_ids"]),
    max_new_tokens=27,
    do_sample=False,
)
assert theirs[0, S:].tolist() == answer
print("27 tokens, equal")

# %% [markdown]
# What is in the drawer? Here are the values of one head after the answer has been written. Each column is a token.

# %% mystnb={"image": {"alt": "A heat map, 32 rows by 96 columns: values of a head by token. The 64 image tokens look alike within stretches, the prompt's tokens are paler, and the answer's change from column to column."}, "figure": {"caption": "Values in the cache, layer 3, head 0: one column for each token, lines between picture, prompt and answer. Neighbouring patches have much in common, for whole stretches. Neighbouring tokens of the answer, marks and names in turn, have little.", "name": "fig-ch11-values"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 3), layout="constrained")
layer_values = cache.values[3][0, 0, : cache.length]  # [T, E]
limit = layer_values.abs().quantile(0.98).item()
mesh = ax.imshow(layer_values.T, cmap="cividis", aspect="auto", vmin=-limit, vmax=limit)
for edge in (N, S):
    ax.axvline(edge - 0.5, color="#D55E00", linewidth=1.5)
ax.set(xlabel="token: picture, prompt, answer", ylabel="entry of the vector")
fig.colorbar(mesh, label="value")
plt.show()

# %% [markdown]
# ## Four ways to be wrong
#
# A wrong cache seldom crashes. Here are four mistakes. Ask each for a caption first, and look at the boxes after that.
#
# - *Position reset*: each new token is told that it stands at place 1.
# - *One place early*: the first new token gets the position of the prompt's last one. It is the classic error by one.
# - *Keys not turned*: the keys are put away before they are turned, and only new ones are turned.
# - *Stale cache*: the cache of another question, about another picture, was not emptied.


# %%
def answer_with(
    prompt: str, position: Callable | None = None, cache: KVCache | None = None, image=image
) -> str:
    """Greedy decoding; `position(length of the prompt, step)` may lie about where a token stands."""
    inputs = processor([prompt], [image])
    input_ids, pixel_values = inputs["input_ids"], inputs["pixel_values"]
    length, tokens, cache = input_ids.shape[1], [], cache or KVCache(config, 1, 300)
    while len(tokens) < 30 and tokens[-1:] != [model.config.eos_token_id]:
        position_ids = None
        if position and tokens:
            position_ids = torch.tensor([[position(length, len(tokens))]])
        types = torch.full_like(input_ids, 1 if tokens else 0)
        output = model(
            input_ids,
            pixel_values,
            token_type_ids=types,
            position_ids=position_ids,
            kv_cache=cache,
        )
        tokens.append(int(output.logits[0, -1].argmax()))
        input_ids, pixel_values = torch.tensor([tokens[-1:]]), None
    return processor.decode(tokens)


def forward_with_unturned_keys(self, hidden_states, cos, sin, mask, kv_cache=None):
    query = gemma.apply_rotary_pos_emb(self.split_heads(self.q_proj(hidden_states)), cos, sin)
    key, value = (
        self.split_heads(self.k_proj(hidden_states)),
        self.split_heads(self.v_proj(hidden_states)),
    )
    new = key.shape[2]
    key, value = kv_cache.update(self.layer_idx, key, value)
    turned = gemma.apply_rotary_pos_emb(key[:, :, -new:], cos, sin)
    key = torch.cat([key[:, :, :-new], turned], dim=2)
    key, value = gemma.repeat_kv(key, self.num_groups), gemma.repeat_kv(value, self.num_groups)
    mixed, weights = attention(query, key, value, self.scaling, mask)
    return self.o_proj(mixed.transpose(1, 2).flatten(2)), weights


def wrong_answer(prompt: str, mistake: str) -> str:
    if mistake == "position reset":
        return answer_with(prompt, position=lambda length, step: 1)
    if mistake == "one place early":
        return answer_with(prompt, position=lambda length, step: length + step - 1)
    if mistake == "stale cache":
        used = KVCache(config, 1, 300)
        answer_with("caption en", cache=used, image=example_image(1))
        return answer_with(prompt, cache=used)
    original = gemma.GemmaAttention.forward
    if mistake == "keys not turned":
        gemma.GemmaAttention.forward = forward_with_unturned_keys
    text = answer_with(prompt)
    gemma.GemmaAttention.forward = original
    return text


MISTAKES = ("none", "position reset", "one place early", "keys not turned", "stale cache")
for mistake in MISTAKES:
    print(f"{mistake:16} {wrong_answer('caption en', mistake)}")

# %% [markdown]
# Wrong positions leave this caption as it was: chapter 7 has shown that a caption needs little order. Unturned keys miscount. The stale cache describes the *other* picture, fluently.

# %% mystnb={"image": {"alt": "Five pictures of the scene. No mistake: boxes on two cats and two birds. Position reset: no box. One place early: one cat is without a box, the others are a little off. Keys not turned: no box. Stale cache: one cat is without a box, and the other three boxes are off."}, "figure": {"caption": "\"detect cat ; bird\" with each mistake. Where nothing is drawn, the answer has no four marks in a row. The error by one is the dangerous one: one cat is lost, and it passes for a slightly worse model.", "name": "fig-ch11-mistakes"}} tags=["hide-input"]
from vlm.regions.boxes import parse_detections
from vlm.regions.draw import draw_detections

fig, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for ax, mistake in zip(axes, MISTAKES):
    text = wrong_answer("detect cat ; bird", mistake)
    draw_detections(image, parse_detections(text, 112, 112), ax, mistake)
plt.show()

# %% [markdown]
# A test finds them all at once: cached and uncached decoding must give the same logits at every step, for two prompts one after the other. That is what the package's tests do, and what the grader does with yours.
#
# One thing that the real ones do differently. A server with many users cannot set aside the longest answer for each. vLLM keeps the cache in pages, like an operating system does with memory (PagedAttention, arXiv 2309.06180 {cite}`kwon2023efficient`). The idea is the same: no key is computed twice.
#
# ## Exercises
#
# Open `exercises/ch11_kv_cache.py`, write what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch11_kv_cache.py
# ```
#
# ### `KVCache` (3 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Which of the five numbers in the shape grows with time? How many of its places are filled? Keep that count.
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# `tensor[layer_idx, :, :, begin:end] = key` writes in place. The same slice from 0 to `end`, read, is a view.
# ```
# ```{admonition} Hint 3: when it is full
# :class: dropdown
# Look at `end` before you write. Python cuts a slice that goes too far.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch11_kv_cache.py
# :pyobject: KVCache
# ```
# ````
#
# ### `attend` (2 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Without the cache it would be chapter 8's attention. Where exactly, in its lines, do the old keys and values come in: before or after the turn, before or after the copies for the groups?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Turn the new queries and keys by `position_ids`. Give the turned keys and the values to `cache.update`. Use what it returns.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch11_kv_cache.py
# :pyobject: attend
# ```
# ````
#
# ### `generate_cached` (3 points, 15 minutes)
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# What does the model get in the first pass, and what in each further one? And how many passes do you need for n tokens?
# ```
# ```{admonition} Hint 2: shapes
# :class: dropdown
# The scores of the next token are those at the last place, `logits[:, -1]`, [B, V]. What the model reads next must be [B, 1].
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch11_kv_cache.py
# :pyobject: generate_cached
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch11_kv_cache")

# %% [markdown]
# ## Summary
#
# With a mask that never lets a token see a later one, earlier vectors do not change, so their keys and values can be kept: turned already, before they are copied for the groups. The work for an answer then grows with its length and not with the square of it. Room is asked for once. A wrong position, an unturned key or a stale cache spoils answers without an
# error, and a comparison with uncached decoding finds it.
#
# The model now answers one question as fast as it can. A processor that fetches all weights for one token could serve more rows with the same weights. That is next.
