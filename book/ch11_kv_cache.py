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
# # The KV cache: what need not be computed twice?
#
# To generate one token, the model processes everything that came before: 64 image tokens, the prompt, the answer so far. To generate the next one it processes all that again, plus one token more. Nearly all of this work was done a moment ago. In this chapter you find out which results can be kept, keep them, and measure what that saves in time and costs in memory.
#
# At the end you will be able to
#
# - say why the hidden states of earlier tokens don't change, and with which mask they would;
# - say what the cache stores, at which point of the computation, and how many bytes it takes;
# - write a `KVCache` that allocates all its memory before generation begins;
# - recognize a wrong position, an unrotated key and a stale cache by what the model says.
#
# Time: about 45 minutes to read and run, and 45 for the three exercises. Here is what you gain.

# %% mystnb={"image": {"alt": "Milliseconds per token over 300 tokens for three methods. Running the vision tower and the whole sequence again begins at the top and rises. Running the sequence again with the image features kept is lower and rises too. With a cache the line is low and nearly flat."}, "figure": {"caption": "With a cache, each token takes about the same time, however long the answer is. The methods of the upper two curves process the whole sequence again for each token, so the curves rise; the middle one at least reuses the image features. Measured on one long answer, on the machine that executed this page.", "name": "fig-ch11-goal"}} tags=["hide-input", "nbval-ignore-output"]
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


def greedy(
    step: Callable[[list[int]], Tensor], max_new_tokens: int
) -> tuple[list[int], list[float]]:
    """The tokens and the milliseconds each took; `step` computes the next logits."""
    tokens, times = [], []
    for _ in range(max_new_tokens):
        start = time.perf_counter()
        tokens.append(int(step(tokens)[0, -1].argmax()))
        times.append(1000 * (time.perf_counter() - start))
    return tokens, times


def run_sequence(tokens: list[int], **image: Tensor) -> Tensor:
    new_ids = torch.tensor([tokens], dtype=torch.long)
    ids = torch.cat([inputs["input_ids"], new_ids], dim=1)
    types = torch.tensor([[0] * S + [1] * len(tokens)])
    return model(ids, token_type_ids=types, **image).logits  # [1, S + new, V]


def recompute_all(tokens: list[int]) -> Tensor:
    return run_sequence(tokens, pixel_values=inputs["pixel_values"])


def recompute_sequence(tokens: list[int]) -> Tensor:
    return run_sequence(tokens, image_features=image_features)


cache = FinishedCache(config, 1, S + 300)


def compute_new_token(tokens: list[int]) -> Tensor:
    if not tokens:
        return model(**inputs, kv_cache=cache).logits
    return model(torch.tensor([tokens[-1:]]), kv_cache=cache).logits


def median_of_ten(times: list[float]) -> list[float]:
    return torch.tensor(times).unfold(0, 10, 10).median(-1).values.tolist()


fig, ax = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
for step, color, style, label in (
    (recompute_all, "#D55E00", "-", "tower and sequence again"),
    (recompute_sequence, "#CC79A7", "-.", "sequence again"),
    (compute_new_token, "#0072B2", "--", "with a cache"),
):
    _, times = greedy(step, 300)
    medians = median_of_ten(times)
    ax.plot(range(10, 301, 10), medians, color=color, linestyle=style, label=label)
ax.set(xlabel="tokens generated", ylabel="milliseconds per token", ylim=(0, None))
ax.legend(fontsize=9)
plt.show()

# %% [markdown]
# ## Which hidden states change when a token is added?
#
# The naive loop runs the model on the whole sequence at each step. Its answers are right, so it is the reference for this chapter. Run the model on the prompt with six tokens of the answer, and then with seven. Do the {term}`hidden states` of the tokens that are in both change? Guess first. In the vision tower the answer would be yes: there every patch attends to every other.


# %%
def last_hidden_states(tokens: list[int], make_mask=make_prefix_lm_mask) -> Tensor:
    """The last layer's output for prompt and answer, [S + len(tokens), D]."""
    new_ids = torch.tensor([tokens], dtype=torch.long)
    ids = torch.cat([inputs["input_ids"], new_ids], dim=1)
    types = torch.tensor([[0] * S + [1] * len(tokens)])
    mask = make_mask(torch.ones_like(ids), types, torch.float32)  # [1, 1, T, T]
    position_ids = torch.arange(1, ids.shape[1] + 1)[None]
    inputs_embeds = model.embed_inputs(ids, image_features)  # [1, T, D]
    return model.language_model.model(inputs_embeds, position_ids, mask)[0]


answer, _ = greedy(recompute_sequence, 27)
six, seven = last_hidden_states(answer[:6]), last_hidden_states(answer[:7])
change = (six - seven[:-1]).abs().max()
print(f"prefix-LM mask: they change by less than 1e-4: {change < 1e-4}")


def everything_visible(attention_mask, types, dtype) -> Tensor:
    return make_prefix_lm_mask(attention_mask, torch.zeros_like(types), dtype)


six, seven = (last_hidden_states(answer[:n], everything_visible) for n in (6, 7))
change = (six - seven[:-1]).abs().max()
print(f"everything visible: they change by up to {change:.1f}")

# %% [markdown]
# They don't change, and the mask is the reason. Only the token itself and later tokens attend to a token of the answer. So no hidden state at an earlier position, in any layer, can depend on it. With a mask that lets all positions attend to all others, every hidden state changes, and nothing could be kept. So the mask that hides the future in training is also what makes a cache possible. Within PaliGemma's prefix nothing is hidden, and nothing need be: the prefix is complete before the first token of the answer is generated.
#
# This has a price. The image tokens have attended to the prompt, so their keys and values are good for this prompt only. For another question about the same image, the language model must process the 64 image tokens again; only the work of the tower can be kept (`image_features`). A causal model can share the cache of a common beginning among many prompts, and process a long prompt in chunks. PaliGemma can do neither.
#
# ## What the cache stores: values, and keys after RoPE
#
# Earlier hidden states stay as they are. Must you keep them all? What does the new token need from the others? In each layer it computes a query, compares it with the *keys* of all tokens, and takes a weighted sum of their *values*. It needs nothing else of them: no query, no output of an MLP, no logits. So two tensors are kept in each layer, keys and values. Hence the name, {term}`KV cache`.
#
# And which keys, before or after the rotation? {term}`RoPE` rotates a key by its position (chapter 7), and the position does not change either. So the cache stores rotated keys.
#
# Write one step of attention with the old keys and values from a cache, and compare it with attention over the whole sequence. To get real inputs, the cell registers a {term}`hook` on a layer: a function that PyTorch calls with a module's input and output each time the module has run. This one records them.

# %%
layer = model.language_model.model.layers[1]
torch.manual_seed(0)
recorded = []
hook = layer.self_attn.register_forward_hook(
    lambda _module, args, output: recorded.append((args[0], output[0]))
)
last_hidden_states(answer[:7])
hook.remove()
# The input and the output of layer 1's attention, [1, T, D].
hidden_states, expected = recorded[0]
T = hidden_states.shape[1]
position_ids = torch.arange(1, T + 1)[None]


# %%
def project(module: nn.Module, states: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
    """Rotated queries, rotated keys, and values, [1, A or K, S, E]."""
    cos, sin = gemma.rotary_cos_sin(
        positions, config.head_dim, config.rope_theta, torch.float32
    )
    projections = (module.q_proj, module.k_proj, module.v_proj)
    query, key, value = (module.split_heads(proj(states)) for proj in projections)
    query = gemma.apply_rotary_pos_emb(query, cos, sin)
    key = gemma.apply_rotary_pos_emb(key, cos, sin)
    return query, key, value


module = layer.self_attn
_, old_keys, old_values = project(module, hidden_states[:, :-1], position_ids[:, :-1])
query, key, value = project(module, hidden_states[:, -1:], position_ids[:, -1:])
# [1, A, T, E]
keys = gemma.repeat_kv(torch.cat([old_keys, key], dim=2), module.num_groups)
values = gemma.repeat_kv(torch.cat([old_values, value], dim=2), module.num_groups)
mixed, _ = attention(query, keys, values, module.scaling, torch.zeros(1, 1, 1, T))
output = module.o_proj(mixed.transpose(1, 2).flatten(2))  # [1, 1, D]
assert torch.allclose(output, expected[:, -1:], atol=1e-4)
print("one query instead of", T, "and the same result")

# %% [markdown]
# How much work does that save? Count the tokens that go through the layers. The naive loop processes S, then S + 1, then S + 2 … With a cache it is S, then 1, and 1, and 1.

# %% mystnb={"image": {"alt": "Tokens processed in total over tokens generated from 0 to 300. Without a cache the curve bends upward to 66,000, with a cache it is a line that ends at 369."}, "figure": {"caption": "Without a cache, the number of tokens that go through the layers grows with the square of the answer's length; with a cache, it grows linearly.", "name": "fig-ch11-work"}} tags=["hide-input"]
generated = torch.arange(1, 301)
without = generated * S + generated * (generated - 1) // 2
with_cache = S + generated - 1
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
ax.plot(generated, without, color="#D55E00", label="without a cache")
ax.plot(generated, with_cache, color="#0072B2", linestyle="--", label="with a cache")
ax.set(xlabel="tokens generated", ylabel="tokens processed in total")
ax.legend()
plt.show()
print(f"for 300 tokens: {int(without[-1]):,} against {int(with_cache[-1]):,},")
print(f"{without[-1] / with_cache[-1]:.0f} times as many")

# %% [markdown]
# The first figure does not show such a ratio, and you should know why. A pass over one token is not seventy times cheaper than a pass over seventy: both must fetch each weight from memory, and the pass over one token uses it only once. In a large model, a pass over a prompt is {term}`compute-bound`, and a pass over one token is limited by {term}`memory bandwidth`. And in a model as small as ours, the {term}`overhead` of each operation counts, whatever it computes (chapter 12 comes back to that).
#
# Count multiplications instead. In the figure, the model answers twice, with a cache and without one. Each dot is a token, and its height is the number of multiplications in the pass that predicted it. Guess three things before you ask for boxes: Where do the first dots of the two runs lie? By what factor does the second token need more multiplications without a cache? And does it need more *time* by the same factor?
#
# <div class="live-figure" data-figure="attention-lab" data-view="cache" data-tasks="detect caption segment" data-prompt="detect bird ; cat">
# <p>This figure needs JavaScript. The figure above shows the number of tokens that are processed, which grows in the same way. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show(
    "attention-lab",
    view="cache",
    tasks="detect caption segment",
    prompt="detect bird ; cat",
)

# %% [markdown]
# The first dots coincide: both runs must process the prompt. After that, a pass with a cache processes 1 token, and one without processes all of them, so the ratio is nearly the number of tokens in the sequence, and it grows with every token. (Nearly: the head is applied to the last position only, in both runs.) The ratio of the times is smaller, since a pass over one token is not limited by arithmetic. Ask for a caption next: the answer is shorter, so there is less to save, but its dots lie on the same two curves.
#
# The next grid shows the attention scores that are used at one step, without a cache and with one. Step 0 processes the prefix. Move the step: which part of the left grid is new?

# %% tags=["hide-input", "nbval-ignore-output"]
from figures.filmstrip import filmstrip_html
from IPython.display import HTML


def show_scores(step: int = 6, prefix: int = 6):
    """The scores of one step, without and with a cache; step 0 is the prefix."""
    total = prefix + step
    types = torch.tensor([[0] * prefix + [1] * step])
    mask = make_prefix_lm_mask(torch.ones_like(types), types, torch.float32)
    allowed = mask[0, 0] == 0
    cached = allowed.clone()
    if step:
        cached[:-1] = False
    _fig, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), layout="constrained")
    titles = ("without a cache", "with a cache")
    for ax, grid, title in zip(axes, (allowed, cached), titles):
        ax.imshow(grid, cmap="cividis", vmin=0, vmax=1)
        ax.set(
            xlabel="key position", ylabel="query position", title=f"{title}: {int(grid.sum())}"
        )
        ax.set_xticks(range(0, total, 2))
        ax.set_yticks(range(0, total, 2))
    plt.show()


HTML(
    filmstrip_html(
        show_scores,
        "With a cache (right), each step of an answer computes only the last row of scores. "
        "Light cells are the scores that are used. Without a cache (left), the dark ones are "
        "computed too, and then masked.",
        start=[6, 1],
        step=range(13),
        prefix=[3, 6, 9],
    )
)

# %% [markdown]
# ## Preallocated memory instead of concatenation
#
# The code above builds its keys and values again at each step: `torch.cat` allocates a new tensor, copies the old keys, and appends the new one. Many implementations do that, the default cache of *transformers* among them. Over a whole answer the copying grows with the square of its length, and the memory fragments.
#
# The other way: allocate memory for the longest answer once, and write into it. `update` returns a *view* of the filled part, not a copy.


# %% tags=["from:vlm.kv_cache.KVCache"]
class KVCache:
    """Keys and values of `max_length` tokens per layer, in preallocated buffers."""

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
        """Append the new keys and values [B, K, new, E] of one layer."""
        batch_size, new = key.shape[0], key.shape[2]
        end = self.length + new
        # [B, K, max_length, E]
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        if batch_size != keys.shape[0]:
            raise ValueError(
                f"the cache was made for a batch of {keys.shape[0]}: got {batch_size} rows"
            )
        if end > self.max_length:
            raise ValueError(
                f"the cache holds {self.max_length} tokens: {self.length} are in it and "
                f"{new} more do not fit; make it with a larger max_length"
            )
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, new: int):
        """Add the new tokens to the length, once all layers have written them."""
        self.length += new

    def reset(self):
        """Empty the cache, so that other sequences can use it."""
        self.length = 0


# %% [markdown]
# Why is `advance` a separate call? Because all layers write to the same slots, each in its own tensors. If `update` increased the length, layer 1 would write its keys after the slots that layer 0 used. So `GemmaModel` calls `advance` once, after its last layer.
#
# By hand: one layer, one head, keys of two numbers.

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
# Allocated memory can be counted, and unlike time it is the same on every machine. The grader of your exercises has a counter. Let both kinds of cache store the 300 tokens of a long answer.

# %% mystnb={"image": {"alt": "Mebibytes allocated over tokens generated. Concatenation rises ever faster, to 129. The preallocated cache is a flat line below 1."}, "figure": {"caption": "Concatenation allocates more and more memory while 300 tokens are generated; a preallocated cache needs less than 1 MiB for all of them. The curves add up all allocations; memory that is freed in between is not subtracted.", "name": "fig-ch11-memory"}} tags=["hide-input"]
from grader.allocations import AllocationCounter


class Concatenated:
    """A cache that is allocated again at each step."""

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


def mebibytes_allocated(cache_class: type) -> list[float]:
    """The total after each token, from the prompt on."""
    allocated = []
    with AllocationCounter() as counter:
        cache = cache_class(config, 1, S + 300)
    states = torch.zeros(1, config.num_key_value_heads, S, config.head_dim)
    for _ in range(301):
        with counter:
            for layer_idx in range(config.num_hidden_layers):
                cache.update(layer_idx, states, states)
        cache.advance(states.shape[2])
        allocated.append(counter.bytes / 2**20)
        states = states[:, :, :1]
    return allocated


allocated = {cls.__name__: mebibytes_allocated(cls) for cls in (Concatenated, KVCache)}
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
ax.plot(allocated["Concatenated"], color="#D55E00", label="concatenated")
ax.plot(allocated["KVCache"], color="#0072B2", linestyle="--", label="preallocated")
ax.set(xlabel="tokens generated", ylabel="MiB allocated in total")
ax.legend()
plt.show()
print({name: f"{values[-1]:.1f} MiB" for name, values in allocated.items()})

# %% [markdown]
# The cache itself takes, for each token: two tensors, times layers, times K heads, times E numbers, times the bytes of a number. For the Toybox that is 2 · 4 · 2 · 32 · 4 = 2,048 bytes. For PaliGemma 3B in bfloat16 it is 2 · 18 · 1 · 256 · 2 = 18,432 bytes, so an image of 256 tokens takes 4.7 MB. With eight key/value heads instead of one it would be 37.7 MB: that is what chapter 8 was about.
#
# The dtype must be that of the model. `KVCache` makes float32 tensors unless you give it a dtype, which is right for the Toybox. For a bfloat16 model write `dtype=model.dtype`; otherwise bfloat16 queries meet float32 keys, and the first pass raises an error.
#
# ## Prefill and decode
#
# The first pass processes image and prompt, all at once, and fills the cache: {term}`prefill`. Each later pass processes one token: {term}`decode`. The vision tower runs once.

# %% tags=["hide-input"]
from figures.schematics.cache_steps import draw_cache_steps
from IPython.display import HTML

drawing = draw_cache_steps(model.config, prompt_length=4)
HTML(
    drawing.html(
        "With a cache, a decoding step computes one position (orange) and reads the "
        "others (green). The prefill is the only pass with many queries. Numbers in the "
        "cells are positions; the prompt has 4 tokens."
    )
)

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
# These are the same 27 tokens as those of the naive loop. Where do the positions of the new tokens come from? From the attention mask: it covers the cached tokens too, so the model can count the tokens (`make_position_ids`, chapter 12). If you give no mask, as here, the model assumes a mask of all ones, over the cache and the new token. And if you give no `token_type_ids`, which say that a token belongs to the answer, they are all 1 as soon as something is in the cache.
#
# *transformers* must agree as well.

# %%
from transformers import PaliGemmaForConditionalGeneration as Reference
from transformers import logging

logging.disable_progress_bar()
reference = Reference.from_pretrained(CHECKPOINT_DIRECTORY, attn_implementation="eager")
reference.eval()
theirs = reference.generate(
    **inputs,
    token_type_ids=torch.zeros_like(inputs["input_ids"]),
    max_new_tokens=27,
    do_sample=False,
)
assert theirs[0, S:].tolist() == answer
print("the same 27 tokens")

# %% [markdown]
# What is in the cache? Here are the values of one head after the answer. Each column is a token.

# %% mystnb={"image": {"alt": "A heat map, 32 rows by 96 columns: the values of one head by token. Runs of neighboring image tokens look alike, the prompt's tokens are paler, and the answer's change from column to column."}, "figure": {"caption": "Neighboring patches have similar values over whole runs of columns; neighboring tokens of the answer, where location tokens and labels alternate, do not. Values in the cache, layer 3, head 0: one column for each token, lines between image, prompt and answer.", "name": "fig-ch11-values"}} tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7.6, 3), layout="constrained")
layer_values = cache.values[3][0, 0, : cache.length]  # [T, E]
limit = layer_values.abs().quantile(0.98).item()
mesh = ax.imshow(layer_values.T, cmap="cividis", aspect="auto", vmin=-limit, vmax=limit)
for edge in (N, S):
    ax.axvline(edge - 0.5, color="#D55E00", linewidth=1.5)
ax.set(xlabel="token: image, prompt, answer", ylabel="entry of the vector")
fig.colorbar(mesh, label="value")
plt.show()

# %% [markdown]
# ## Four cache bugs
#
# A wrong cache seldom crashes. Here are four bugs. First ask for a caption with each of them, and then for boxes.
#
# - *Position reset*: each new token gets position 1.
# - *Off by one*: the first new token gets the position of the prompt's last token, the next one is one too early as well, and so on. It is the classic {term}`off-by-one error`.
# - *Keys not rotated*: keys are stored before they are rotated, and in each pass only the new ones are rotated.
# - *Stale cache*: the cache still contains another question, about another image.


# %%
def answer_with(prompt: str, position=None, cache=None, image=image) -> str:
    """Greedy decoding; `position(prompt length, step)` gives a new token's position."""
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


# %%
def forward_with_unrotated_keys(self, hidden_states, cos, sin, mask, kv_cache=None):
    projections = (self.q_proj, self.k_proj, self.v_proj)
    query, key, value = (self.split_heads(proj(hidden_states)) for proj in projections)
    query = gemma.apply_rotary_pos_emb(query, cos, sin)
    new = key.shape[2]
    key, value = kv_cache.update(self.layer_idx, key, value)
    rotated = gemma.apply_rotary_pos_emb(key[:, :, -new:], cos, sin)
    key = torch.cat([key[:, :, :-new], rotated], dim=2)
    key = gemma.repeat_kv(key, self.num_groups)
    value = gemma.repeat_kv(value, self.num_groups)
    mixed, weights = attention(query, key, value, self.scaling, mask)
    return self.o_proj(mixed.transpose(1, 2).flatten(2)), weights


# %%
def wrong_answer(prompt: str, mistake: str) -> str:
    if mistake == "position reset":
        return answer_with(prompt, position=lambda length, step: 1)
    if mistake == "off by one":
        return answer_with(prompt, position=lambda length, step: length + step - 1)
    if mistake == "stale cache":
        used = KVCache(config, 1, 300)
        answer_with("caption en", cache=used, image=example_image(1))
        return answer_with(prompt, cache=used)
    original = gemma.GemmaAttention.forward
    if mistake == "keys not rotated":
        gemma.GemmaAttention.forward = forward_with_unrotated_keys
    text = answer_with(prompt)
    gemma.GemmaAttention.forward = original
    return text


MISTAKES = ("none", "position reset", "off by one", "keys not rotated", "stale cache")
for mistake in MISTAKES:
    print(f"{mistake:17} {wrong_answer('caption en', mistake)}")

# %% [markdown]
# Wrong positions leave this caption as it was: as chapter 7 showed, a caption depends little on positions. With unrotated keys the model miscounts. With the stale cache it describes the *other* image, fluently.

# %% mystnb={"image": {"alt": "Five copies of the scene. No bug: boxes on two cats and two birds. Position reset: no box. Off by one: one cat is without a box, the others are a little off. Keys not rotated: no box. Stale cache: one cat is without a box, and the other three boxes are off."}, "figure": {"caption": "The off-by-one error is the dangerous one: one cat is lost, and the model seems only a little worse. The answers to \"detect cat ; bird\" with each bug; where nothing is drawn, the answer has no four location tokens in a row.", "name": "fig-ch11-mistakes"}} tags=["hide-input"]
from vlm.regions.boxes import parse_detections
from vlm.regions.draw import draw_detections

fig, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for ax, mistake in zip(axes, MISTAKES):
    text = wrong_answer("detect cat ; bird", mistake)
    draw_detections(image, parse_detections(text, 112, 112), ax, mistake)
plt.show()

# %% [markdown]
# One test finds them all: cached and uncached decoding must give the same logits at every step, up to rounding, for two prompts one after the other. The package's tests do that, and the grader does it with your code.
#
# Real servers do one thing differently. A server with many users cannot reserve memory for the longest possible answer to each. vLLM keeps the cache in pages, as an operating system does with memory (PagedAttention {cite}`kwon2023efficient`). The idea is the same: no key is computed twice.
#
# ## Exercises
#
# Open `exercises/ch11_kv_cache.py`, write the missing parts, and grade them, below or in a terminal:
#
# ```text
# pytest exercises/test_ch11_kv_cache.py
# ```
#
# ### `KVCache` (3 points, 15 minutes)
#
# Write the cache, with all memory allocated in `__init__`.
#
# ```{literalinclude} ../exercises/ch11_kv_cache.py
# :pyobject: KVCache
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Along which of the five dimensions of the shape does the cache fill up? How many of its slots are filled? Keep that count.
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# `tensor[layer_idx, :, :, begin:end] = key` writes in place. `tensor[layer_idx, :, :, :end]` is a view.
# ```
# ```{admonition} Hint 3: when it is full
# :class: dropdown
# Check `end` before you write. Python shortens a slice that goes too far.
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
# Compute the attention of new tokens to cached and new ones.
#
# ```{literalinclude} ../exercises/ch11_kv_cache.py
# :pyobject: attend
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# Without the cache it would be chapter 8's attention. Where exactly, in its lines, do the old keys and values come in: before or after the rotation, before or after `repeat_kv`?
# ```
# ```{admonition} Hint 2: which step
# :class: dropdown
# Rotate the new queries and keys by `position_ids`. Give the rotated keys and the values to `cache.update`. Use what it returns.
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
# Write the greedy loop with a cache: one pass over the prompt, then one token a pass.
#
# ```{literalinclude} ../exercises/ch11_kv_cache.py
# :pyobject: generate_cached
# ```
#
# ```{admonition} Hint 1: what to think about
# :class: dropdown
# What is the model's input in the first pass, and what in each later one? And how many passes do you need for n tokens?
# ```
# ```{admonition} Hint 2: shapes
# :class: dropdown
# The logits of the next token are those at the last position, `logits[:, -1]`, [B, V]. The next input must be [B, 1].
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
# Because no token attends to later tokens of the answer, earlier hidden states do not change, and their keys and values can be kept: keys after the rotation, and both before `repeat_kv`. For a whole answer, the work of projections and MLPs then grows linearly with the length; attention over the cache still grows with its square. The cache is allocated once. A wrong position, an unrotated key or a stale cache spoils answers without an error, and a comparison with uncached decoding finds it.
#
# The model now answers one question without doing any work twice. But it fetches all its weights for a single token, and could use them for several rows at once. That is what the next chapter does, with batches.
