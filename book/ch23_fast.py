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
# # Fast inference: where does the time for one token go?
#
# The model that you have built is written to be read. It is not slow next to *transformers*, but neither comes near what the machine can do. In this chapter you find out what the machine can do, and approach it in five steps, each with its gain measured. Up to rounding, the logits stay the same until the last step, which quantizes the weights; a test in the package compares the two models.
#
# At the end you will be able to
#
# - compute an upper limit on a machine's tokens per second before you run anything;
# - separate memory-bandwidth time from per-operation overhead;
# - write grouped-query attention that copies no key;
# - say what `torch.compile` does, what breaks its graph, and what makes it compile again;
# - quantize weights to 8-bit integers, and measure what that costs.
#
# Time: about 50 minutes to read and run, and 65 for the six exercises. This is what the steps gain on the Toybox model.

# %% mystnb={"image": {"alt": "Bars of tokens per second for four ways to generate the same answer. Without a cache it is by far the slowest; then come the model of the chapters with its KV cache, the model with fewer and larger calls, and the compiled one, which is the fastest."}, "figure": {"caption": "A cache, fewer calls and compilation each make decoding faster. Tokens per second for one answer, measured on the machine that executed this page. All bars generate the same tokens. (The last one needs a C++ compiler. Without one it is left out.)", "name": "fig-ch23-goal"}} tags=["hide-input", "nbval-ignore-output"]
import dataclasses
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import matplotlib.pyplot as plt
import torch
from benchmark.models import middle_config
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from toybox import CHECKPOINT_DIRECTORY
from toybox.examples import example_image
from vlm.attention import attention
from vlm.checkpoints.devices import has_compiler
from vlm.checkpoints.published import published_config
from vlm.fast.paligemma import FastPaliGemma
from vlm.gemma import (
    GemmaDecoderLayer,
    apply_rotary_pos_emb,
    repeat_kv,
)
from vlm.generate import generate_tokens
from vlm.kv_cache import KVCache
from vlm.loader import load_hf_model, load_model
from vlm.processor import PaliGemmaProcessor

MakeLinear = Callable[[Tensor], nn.Module]  # weight matrix -> a linear layer; step 5 has three
torch.set_grad_enabled(False)  # nothing is trained in this chapter

model, tokenizer = load_hf_model(CHECKPOINT_DIRECTORY)
config = model.config.text_config
processor = PaliGemmaProcessor.for_model(model, tokenizer)
inputs = processor(["detect cat ; bird"], [example_image(0)])
S = inputs["input_ids"].shape[1]
LENGTH = 60


def endless() -> nn.Module:
    """The Toybox model, except that it never stops: no token is <eos>."""
    loaded = load_model(CHECKPOINT_DIRECTORY)
    loaded.config = dataclasses.replace(loaded.config, eos_token_id=-1)
    return loaded


def write(writer: nn.Module) -> tuple[list[int], float]:
    """Generate LENGTH tokens; also return the median of the seconds per token."""
    tokens, times = [], []
    for token in generate_tokens(writer, inputs, LENGTH):
        tokens.append(int(token))
        times.append(time.perf_counter())
    return tokens, median(b - a for a, b in itertools.pairwise(times))


def write_without_cache(writer: nn.Module) -> tuple[list[int], float]:
    """The same without a cache: each token computes the whole sequence again."""
    tokens, times = [], [time.perf_counter()]
    for _ in range(LENGTH):
        ids = torch.cat([inputs["input_ids"], torch.tensor([tokens], dtype=torch.long)], dim=1)
        types = torch.tensor([[0] * S + [1] * len(tokens)])
        logits = writer(ids, inputs["pixel_values"], token_type_ids=types).logits
        tokens.append(int(logits[0, -1].argmax()))
        times.append(time.perf_counter())
    return tokens, median(b - a for a, b in itertools.pairwise(times))


readable = endless()
measured = {"no cache": write_without_cache(readable), "KV cache": write(readable)}
measured["fewer, larger calls"] = write(FastPaliGemma(endless()))
if has_compiler("cpu"):
    compiled = FastPaliGemma(endless(), compile=True)
    write(compiled)  # compiles
    measured["compiled"] = write(compiled)
fig, ax = plt.subplots(figsize=(6.8, 2.5), layout="constrained")
ax.barh(
    list(measured)[::-1],
    [1 / seconds for _, seconds in measured.values()][::-1],
    color="#0072B2",
)
ax.set(xlabel="tokens per second", ylabel="")
plt.show()
assert all(tokens == measured["KV cache"][0] for tokens, _ in measured.values())

# %% [markdown]
# ## Memory bandwidth: the limit on tokens per second
#
# To generate one token, every weight of the language model is used once: multiplied by one activation, and added to a sum. So every weight has to travel from memory to the processor once per token. For a single row, the upper limit on tokens per second is therefore the {term}`memory bandwidth <memory bandwidth>` divided by the bytes of the weights. Chapter 16 plotted this limit for real machines. Compute it for three models: the Toybox model; a *middle* one, whose weights are large enough to matter and small enough not to keep you waiting; and the 3B.

# %% tags=["hide-input"]
from figures.schematics.roofline import draw_roofline
from IPython.display import HTML

drawing = draw_roofline(989e12, 3.35e12, {"decode, 1 row": 1, "prefill, 268 tokens": 268})
HTML(
    drawing.html(
        "The roofline of an H100, once more: left of the dashed line, memory bandwidth "
        "is the limit; right of it, arithmetic. A decoding step for one row is far to "
        "the left. Each step of this chapter either moves the point to the right or brings "
        "it nearer to the roof."
    )
)


# %%
def weights_read(text) -> int:
    """Weights read per token: the language model's matrices; the tied head once."""
    query = text.num_attention_heads * text.head_dim
    key = text.num_key_value_heads * text.head_dim
    layer = text.hidden_size * (2 * query + 2 * key + 3 * text.intermediate_size)
    return text.num_hidden_layers * layer + text.vocab_size * text.hidden_size


SIZES = {  # bytes per weight: 4 in float32, 2 in bfloat16
    "toybox": (config, 4),
    "middle": (middle_config().text_config, 4),
    "3b": (published_config("paligemma-3b-224").text_config, 2),
}
megabytes = {}
for name, (text, bytes_per_weight) in SIZES.items():
    megabytes[name] = weights_read(text) * bytes_per_weight / 1e6
    print(f"{name:8s}{megabytes[name]:8.1f} MB per token")
# By hand, for the middle model: 8 layers of 512 x (2 x 512 + 2 x 64 + 3 x 2048),
# and a head of 32,000 x 512.
assert megabytes["middle"] == (8 * 512 * (1024 + 128 + 6144) + 32000 * 512) * 4 / 1e6


# %% tags=["nbval-ignore-output"]
def measure_bandwidth(num_bytes: int) -> float:
    """Gigabytes per second at which float32 matrices are multiplied by a vector."""
    shape = (4096, 1024)
    matrices = [torch.randn(shape) for _ in range(num_bytes // (4096 * 1024 * 4))]
    vector, times = torch.randn(1, 1024), []
    for _ in range(9):
        start = time.perf_counter()
        for matrix in matrices:
            nn.functional.linear(vector, matrix)
        times.append(time.perf_counter() - start)
    return sum(m.nbytes for m in matrices) / median(times) / 1e9


bandwidth = measure_bandwidth(400_000_000)
print(f"this machine reads {bandwidth:.0f} GB/s")
for name, amount in megabytes.items():
    print(f"{name:8s} at most {1000 * bandwidth / amount:8.0f} tokens per second")

# %% [markdown]
# For the Toybox model the limit is absurd: thousands of tokens per second, and the first figure shows far fewer.[^ch23-1] Where does its time go? Into *overhead*. Each operation of PyTorch (a matrix product, a slice, a sum) costs some microseconds in Python and in PyTorch's dispatcher before it computes anything. Count the operations: `TorchDispatchMode` sees every one that reaches PyTorch's core.
#
# [^ch23-1]: Its weights even fit into the processor's cache, so the true limit is higher still.


# %%
class Operations(TorchDispatchMode):
    """Counts the operations within a `with` block."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.__name__.partition(".")[0]] += 1
        return function(*args, **(kwargs or {}))


def operations_of_a_token(writer: nn.Module) -> Counter:
    cache = KVCache(config, 1, S + 2)
    attention_mask = inputs["attention_mask"]
    prompt = (inputs["input_ids"], inputs["pixel_values"], attention_mask)
    writer(*prompt, kv_cache=cache, logits_to_keep=1)
    attention_mask = torch.ones(1, S + 1, dtype=torch.long)
    with Operations() as operations:
        token = torch.tensor([[7]])
        writer(token, None, attention_mask, kv_cache=cache, logits_to_keep=1)
    return operations.counts


# %%
before = operations_of_a_token(endless())
after = operations_of_a_token(FastPaliGemma(endless()))
print(f"operations per token: {before.total()} readable, {after.total()} fast")
for name in ("mm", "view", "slice", "clone", "mul", "add"):
    print(f"    {name:6s} {before[name]:4d} {after[name]:4d}")
assert after.total() < 0.8 * before.total()

# %% [markdown]
# So a token has two costs. *Overhead* is paid per operation, whatever its size. *Memory traffic* is paid per byte of weights. The Toybox model is overhead-bound, the 3B is memory-bound, and the middle model pays for both. Each of the following steps lowers one of the two costs. Before you measure a gain, say which of the two it can come from.
#
# ## Step 1: Compute only the logits that you need
#
# During prefill the model could compute logits for every position. You need only those of the last one. For the 3B with 268 tokens, that is the difference between multiplying 268 rows and one row by a [257,216 × 2,048] matrix; and it avoids 138 MB of bfloat16 logits that nobody reads. You have had the argument for this since chapter 9: `logits_to_keep=1`. What does it save on the Toybox model, whose vocabulary has 1,921 tokens? Guess, then measure.


# %% tags=["nbval-ignore-output"]
def milliseconds(call: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


for keep, which in ((0, "logits of all positions"), (1, "of the last position")):
    duration = milliseconds(partial(model, **inputs, logits_to_keep=keep))
    print(f"{which}: {duration:.1f} ms")

# %% [markdown]
# ## Step 2: A preallocated KV cache, one tensor per layer
#
# The {term}`KV cache` has been preallocated since chapter 11. Two details matter here. First, its keys are *one tensor per layer*, and so are its values. If all layers shared one large tensor, a compiler that sees a write into part of it would have to prove that the rest is untouched; for the compiled step of the Toybox model we measured 0.50 ms with a shared tensor and 0.36 ms without. Second, attention reads only the filled part of the buffer. Many fast implementations read the whole buffer, with a mask, because then no shape ever changes. But then a token of a short answer costs as much as one of the longest answer that the buffer could hold.

# %% mystnb={"image": {"alt": "Milliseconds per token against the allocated length of the cache, from 200 to 6,000 slots. The line for reading only the filled part is flat. The line for reading the whole buffer with a mask rises."}, "figure": {"caption": "If attention reads only the filled part, unused cache slots cost no time. Attention of one layer of the middle model for one token, with 200 slots filled, in caches of growing allocated length.", "name": "fig-ch23-room"}} tags=["hide-input", "nbval-ignore-output"]
text = middle_config().text_config
attend = nn.functional.scaled_dot_product_attention
rows = torch.randn(1, 1, text.num_attention_heads, text.head_dim)  # [B, K, G, E]
lengths = [200, 400, 800, 1600, 3200, 6000]
lines = {"filled part only": [], "whole buffer, masked": []}
for length in lengths:
    keys, values = torch.randn(2, 1, 1, length, text.head_dim)  # [B, K, length, E]
    mask = torch.zeros(1, 1, 1, length)
    mask[..., 200:] = float("-inf")
    filled = keys[:, :, :200], values[:, :, :200]
    lines["filled part only"].append(milliseconds(partial(attend, rows, *filled), 50))
    lines["whole buffer, masked"].append(
        milliseconds(partial(attend, rows, keys, values, attn_mask=mask), 50)
    )
fig, ax = plt.subplots(figsize=(6.6, 2.8), layout="constrained")
for (label, times), color, style in zip(lines.items(), ("#0072B2", "#D55E00"), ("-", "--")):
    ax.plot(lengths, times, color=color, linestyle=style, marker="o", label=label)
ax.set(xlabel="allocated cache length (slots)", ylabel="milliseconds", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# ## Step 3: Fewer and larger calls, grouped heads, flash attention
#
# The query, key and value projections are three products with the same vector. Stack their weight matrices, and one product gives all three. Do the same for gate and up in the MLP. The arithmetic does not change, and each layer needs three fewer calls.
#
# Attention itself is more interesting. In chapter 8, `repeat_kv` copied each key for every query head that uses it. For the 3B, that makes eight copies of a layer's keys and values, in every layer and for every token, which undoes what sharing has saved. But look at the shapes. G query heads that share a key/value head are G queries against the same keys, and a matrix of queries has *rows*. So turn the heads into rows, and no key is copied.

# %%
layer = endless().language_model.model.layers[1].self_attn
torch.manual_seed(0)
A, K, E = config.num_attention_heads, config.num_key_value_heads, config.head_dim
G, T = A // K, 20
query = torch.randn(1, A, 3, E)  # [B, A, S, E]
key, value = torch.randn(2, 1, K, T, E)  # [B, K, T, E] each
keys_copied, values_copied = repeat_kv(key, G), repeat_kv(value, G)  # [B, A, T, E]
copied, _ = attention(query, keys_copied, values_copied, E**-0.5)  # [B, A, S, E]

# Query heads 0 to G-1 share key/value head 0: their rows go one under the other.
rows = query.reshape(1, K, G * 3, E)
mixed, _ = attention(rows, key, value, E**-0.5)  # [B, K, G * S, E]
assert torch.allclose(mixed.reshape(1, A, 3, E), copied, atol=1e-6)
print(f"{A} query heads, {K} key/value heads:", end=" ")
print(f"{list(query.shape)} becomes {list(rows.shape)}")

# %% [markdown]
# PyTorch's `scaled_dot_product_attention` (SDPA) does scores, mask, softmax and weighted sum in one fused call. Its flash attention kernel never writes the full matrix of scores to memory {cite}`dao2022flashattention`. SDPA does not return the attention weights, which is why the chapters do not use it: there would be nothing to look at.
#
# `FastDecoderLayer` puts all of this together. It takes over the weights of a `GemmaDecoderLayer`, and its attention has five steps:
#
# 1. One product with the stacked matrix gives queries, keys and values.
# 2. RoPE rotates queries and keys in one call.
# 3. `index_copy_` writes the new keys and values into the cache.
# 4. Query heads that share a key/value head become rows, and SDPA compares them with the filled part of the cache.
# 5. The heads go back side by side, and `o_proj` follows.
#
# Open the cell to read the code.


# %% tags=["from:vlm.fast.gemma.FastDecoderLayer", "hide-input"]
class FastDecoderLayer(nn.Module):
    """One block of Gemma. It takes over the weights of `layer`."""

    def __init__(self, layer: GemmaDecoderLayer, make_linear: MakeLinear):
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.head_dim, self.num_groups = attention.head_dim, attention.num_groups
        self.num_heads = attention.q_proj.out_features // attention.head_dim
        self.num_key_value_heads = self.num_heads // self.num_groups
        self.scaling, self.softcap = attention.scaling, attention.softcap
        self.norms = nn.ModuleDict(
            {name: part for name, part in layer.named_children() if name.endswith("norm")}
        )
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        # [(A + 2K) E, D]
        self.qkv_proj = make_linear(torch.cat([part.weight for part in projections]))
        self.o_proj = make_linear(attention.o_proj.weight)
        # [2 F, D]
        self.gate_up_proj = make_linear(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        self.down_proj = make_linear(mlp.down_proj.weight)

    def forward(self, hidden_states: Tensor, *context) -> Tensor:
        """[B, S, D] -> [B, S, D]."""
        hidden_states = hidden_states + self.attend(
            self.norms["input_layernorm"](hidden_states), *context
        )
        return hidden_states + self.gate(self.norms["post_attention_layernorm"](hidden_states))

    def attend(
        self,
        hidden_states: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor | None,
        keys: Tensor,
        values: Tensor,
        slots: Tensor,
        length: int,
    ) -> Tensor:
        """Attention over what the cache holds, after the new tokens are in it.

        keys, values: the cache of this layer, [B, K, max_length, E]; written at `slots` [S],
        read up to `length`. mask: [B, 1, S, T], or None.
        """
        batch_size, num_new, _ = hidden_states.shape
        heads, shared = self.num_heads, self.num_key_value_heads
        # projected: [B, S, A + 2K, E]; rotated (RoPE): [B, S, A + K, E]
        projected = self.project(self.qkv_proj, hidden_states).unflatten(
            -1, (-1, self.head_dim)
        )
        rotated = apply_rotary_pos_emb(projected[:, :, : heads + shared], cos, sin)
        query, key = (
            rotated[:, :, :heads].transpose(1, 2),
            rotated[:, :, heads:].transpose(1, 2),
        )
        keys.index_copy_(2, slots, key)
        values.index_copy_(2, slots, projected[:, :, heads + shared :].transpose(1, 2))

        # [B, K, G S, E]
        rows = query.reshape(batch_size, shared, self.num_groups * num_new, self.head_dim)
        if mask is not None:
            mask = mask.repeat(1, 1, self.num_groups, 1)  # [B, 1, G S, T]
        known = keys[:, :, :length], values[:, :, :length]  # [B, K, T, E]
        if self.softcap is None:
            mixed = nn.functional.scaled_dot_product_attention(
                rows, *known, attn_mask=mask, scale=self.scaling
            )
        else:  # SDPA has no softcap
            mixed, _ = attention(rows, *known, self.scaling, mask, self.softcap)
        # [B, S, A E]
        mixed = (
            mixed.reshape(batch_size, heads, num_new, self.head_dim).transpose(1, 2).flatten(2)
        )
        return self.project(self.o_proj, mixed)

    def gate(self, hidden_states: Tensor) -> Tensor:
        """The MLP."""
        # [B, S, F] each
        gate, up = self.project(self.gate_up_proj, hidden_states).chunk(2, dim=-1)
        return self.project(self.down_proj, nn.functional.gelu(gate, approximate="tanh") * up)

    def project(self, linear: nn.Module, hidden_states: Tensor) -> Tensor:
        """[B, S, inputs] -> [B, S, outputs], by a linear layer that takes rows."""
        return linear(hidden_states.flatten(0, 1)).unflatten(0, hidden_states.shape[:2])


# %% [markdown]
# The block writes keys with `index_copy_`, at indices that are *data*, held in a tensor. With a slice, `keys[:, :, 75:76] = key`, the number 75 would be part of the program. For the Python interpreter that makes no difference; for the compiler of the next step it does. (`length`, up to which the block reads the cache, is such a number too, but the compiler is told that it may change.)
#
# Does the fast model give the same numbers? Run a prompt, and then one token, through both models.

# %%
largest = 0.0
slow, quick = endless(), FastPaliGemma(endless())
caches = [KVCache(config, 1, S + 1) for _ in range(2)]
attention_mask = inputs["attention_mask"]
for ids, images in (
    (inputs["input_ids"], inputs["pixel_values"]),
    (torch.tensor([[7]]), None),
):
    expected, found = (
        writer(ids, images, attention_mask, kv_cache=cache, logits_to_keep=1).logits
        for writer, cache in zip((slow, quick), caches)
    )
    largest = max(largest, (found - expected).abs().max().item())
    attention_mask = torch.ones(1, S + 1, dtype=torch.long)
print(f"logits differ by less than 1e-4: {largest < 1e-4}")
assert largest < 1e-4

# %% [markdown]
# ## Step 4: `torch.compile`, one program per step
#
# After step 3 a token still takes hundreds of operations. `torch.compile` traces the Python code once, records which operations happen on which tensors (a *graph*), and makes one program of them {cite}`ansel2024pytorch2`. In this program, the nine small operations of a norm are one loop. On the next call it checks whether its assumptions still hold (its *guards*: shapes, strides, dtypes, object identities); if so, it runs the program.
#
# Tracing has a limit. Where Python needs a *value* from inside a tensor to decide what to do next, the graph ends, because a trace has no values. That is a {term}`graph break`. Here are two ways to choose a token; count their graph breaks.


# %%
def with_branch(logits: Tensor, ended: Tensor) -> Tensor:
    token = logits.argmax(-1)
    if ended.all():  # which branch? It depends on the values
        return torch.zeros_like(token)
    return token.masked_fill(ended, 0)


def without_branch(logits: Tensor, ended: Tensor) -> Tensor:
    return logits.argmax(-1).masked_fill(ended, 0)


example = (torch.randn(2, 5), torch.tensor([True, False]))  # logits, ended
for choose in (with_branch, without_branch):
    torch._dynamo.reset()
    found = torch._dynamo.explain(choose)(*example)
    breaks, graphs = found.graph_break_count, found.graph_count
    print(f"{choose.__name__:14s} graph breaks: {breaks}, graphs: {graphs}")
torch._dynamo.reset()

# %% [markdown]
# Guards have a trap of their own: whenever one fails, the code is compiled again. Compiling the middle model's step took eleven seconds; if that happened for each new length of the cache, it would never pay. So the compiler is told from the start that sizes may change (`dynamic=True`). That was not enough. The position ids were the last column of `attention_mask.cumsum(-1)`, and a column of a matrix has the matrix's width in its *stride*. One more position, another stride, and everything was compiled again. The remedy was to copy that column, one number per row. A test in the package counts the compilations: one, whatever the length.
#
# What stays outside the compiled program? Prefill (it happens once, and its shape is new each time), and the choice of the token. The compiled step of the Toybox model is the last bar of the first figure.
#
# ## Step 5: Fewer bytes, with packed weights and int8 quantization
#
# For large models, all of this saves almost nothing: they are memory-bound. There are two remedies.
#
# *Packed weights.* A matrix library does not read a matrix row by row. It reads tiles that fit its registers. So it copies the matrix into that order before it multiplies, at every call, unless you have packed the matrix once beforehand. For one row in float32 it skips the copy. With several rows, or in bfloat16, packing matters. On our machine, a product with a [16,384 × 2,048] matrix took
#
# | rows | dtype | plain | packed |
# | --- | --- | ---: | ---: |
# | 8 | float32 | 13.1 ms | 5.9 ms |
# | 1 | bfloat16 | 3.5 ms | 2.7 ms |
#
# The class for this is `PackedLinear` (`vlm/fast/linear.py`).
#
# *{term}`Quantization <quantization>`.* A bfloat16 weight has 16 bits. Give it 8: an integer from -127 to 127, and one *scale* for each row of the matrix. Why one for each row? The largest magnitude sets the scale. With one scale for the whole matrix, a single large weight would leave only a few levels for all the others, and round many of them to 0. With a scale per row, it harms only its own row.


# %% tags=["from:vlm.fast.linear.quantize_rows"]
def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """[R, I] -> int8 [R, I] and each row's scale [R, 1]: values = int8 * scale."""
    values = values.float()
    # The clamp avoids a division by 0: a row of zeros stays a row of zeros.
    scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12) / 127
    return (values / scale).round().to(torch.int8), scale


# %% [markdown]
# And the vector that the matrix multiplies? If it stays in floating point, each weight must be converted back before it is used. But processors can multiply 8-bit integers by 8-bit integers and add them up exactly in 32 bits, and a register holds four times as many of them as float32 numbers. So the vector is quantized too, with a scale of its own. By hand first, for a row of two weights.

# %%
rounded, scale = quantize_rows(torch.tensor([[2.54, -1.0]]))
assert rounded.tolist() == [[127, -50]] and abs(scale.item() - 0.02) < 1e-6
print(f"2.54 and -1.00 are {rounded.tolist()[0]} times {scale.item():.2f}")


# %% tags=["from:vlm.fast.linear.Int8Linear"]
class Int8Linear(nn.Module):
    """Each row of the matrix, and each token's vector, as int8 and a scale."""

    def __init__(self, weight: Tensor, num_rows: int):
        super().__init__()
        weight, scale = quantize_rows(weight.detach())
        self.register_buffer("weight", weight)  # int8 [O, I]
        self.register_buffer("scale", scale[:, 0])  # float32 [O]

    def forward(self, hidden_states: Tensor) -> Tensor:
        rounded, scale = quantize_rows(hidden_states)  # int8 [R, I], float32 [R, 1]
        products = torch._int_mm(rounded, self.weight.t())  # int32 [R, O]
        return (products * scale * self.scale).to(hidden_states.dtype)  # [R, O]


# %% [markdown]
# Now quantize the Toybox model's own matrices, and multiply them by the vectors of a real prompt. How large is the error of the products? Compare one scale per row with one scale for the whole matrix.

# %% mystnb={"image": {"alt": "Relative error in percent of the products, for seven kinds of matrices and the head of the Toybox model. With a scale per row 0.6 to 0.9, for down 1.7. With one scale per matrix 0.7 to 1.1, for down 1.8."}, "figure": {"caption": "A scale per row removes a sixth of the quantization error, but hardly any for `down`. Bars: error of the 8-bit products relative to their size, mean over the layers of the Toybox model, for a real prompt. The scales cost four bytes a row.", "name": "fig-ch23-int8"}} tags=["hide-input"]
seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
observed = endless()
for name, module in observed.language_model.named_modules():
    if isinstance(module, nn.Linear):
        kind = name.split(".")[-1].removesuffix("_proj")
        module.register_forward_hook(
            lambda part, args, _output, kind=kind: seen.setdefault(kind, []).append(
                (part.weight.detach(), args[0].flatten(0, -2))
            )
        )
observed(**inputs)
errors = {"one scale per row": {}, "one scale per matrix": {}}
for kind, calls in seen.items():
    both = [[], []]
    for weight, states in calls:
        exact = states @ weight.t()
        vectors, their_scale = quantize_rows(states)
        step = weight.abs().max() / 127  # one scale for the whole matrix
        whole = (vectors.float() @ (weight / step).round().t()) * their_scale * step
        for found, collected in zip((Int8Linear(weight, 1)(states), whole), both):
            collected.append(((found - exact).norm() / exact.norm()).item())
    for label, collected in zip(errors, both):
        errors[label][kind] = 100 * sum(collected) / len(collected)
fig, ax = plt.subplots(figsize=(7, 2.9), layout="constrained")
places = torch.arange(len(seen))
for shift, (label, by_kind), color, hatch in zip(
    (0, 0.4), errors.items(), ("#0072B2", "#D55E00"), ("", "//")
):
    ax.bar(
        places + shift,
        by_kind.values(),
        0.38,
        color=color,
        hatch=hatch,
        edgecolor="white",
        label=label,
    )
ax.set_xticks(places + 0.2, list(seen))
ax.set(xlabel="matrix", ylabel="relative error (%)")
ax.legend()
plt.show()

# %% [markdown]
# In the Toybox model no row of a matrix is much larger than the others, so a scale per row gains only a sixth. For `down`, both errors are large. There it is the *vector* that is hard to quantize: with the exact vector the error is 0.5 %, with the exact matrix 1.6 %. A few gates are wide open beside many that are nearly closed, so a few large numbers set the scale.
#
# Nearly one percent of error in every product of every layer: what does the model answer now? The only honest test is the whole evaluation. `python -m toybox.evaluate --fast int8` ran it again on the 1,000 test scenes.

# %%
path = Path("data/int8_evaluation.json")
int8 = json.loads(path.read_text(encoding="utf-8"))["tasks"]
path = CHECKPOINT_DIRECTORY / "evaluation.json"
float32 = json.loads(path.read_text(encoding="utf-8"))["tasks"]
print(f"{'':24s}float32    int8")
for task, measures in float32.items():
    for name, value in measures.items():
        if name != "questions":
            print(f"{task + ' ' + name:24s}{value:7.3f} {int8[task][name]:7.3f}")
            assert abs(value - int8[task][name]) < 0.01

# %% [markdown]
# Some answers change, some of them for the better: the differences are noise, a third of a point at most. A large model is less tolerant. Some of its vectors have a few entries up to twenty times as large as the rest, and a vector has only one scale; LLM.int8() {cite}`dettmers2022llmint8` computes those entries in 16 bits.
#
# How few bits are enough? The figure below quantizes the weights in your browser, with one scale per row as above, and asks the model again. (The vectors stay in floating point. The page's own weights have 7 bits, −63 to 63, so the model that you have been playing with is already quantized.) Guess first. With each bit removed, by which factor do the errors of the logits grow? At how many bits will the caption change, and at how many a box? And what does one scale per matrix cost: a tenth of a bit, one bit, or three?
#
# <div class="live-figure" data-figure="eight-bits" data-prompt="caption en">
# <p>This figure needs JavaScript. The table above compares 8 bits with float32. In JupyterLab, run the next cell.</p>
# </div>

# %% tags=["skip-execution", "nbval-ignore-output", "remove-cell"]
from live.jupyter import show

show("eight-bits", prompt="caption en")

# %% [markdown]
# Each bit removed doubles the distance between two levels. So it doubles the rounding error, and the errors of the logits roughly follow. The answer does not change gradually: it stays the same until an error is as large as the lead of the best token over the second best. That lead is large for most words of a caption, and small for a location token, whose neighbors are almost as good. So boxes begin to move by a bin at bit widths that leave every word unchanged. But a bin is only a ninth of a pixel, so judge a box by its IoU. One scale per matrix costs about one bit in our model, whose rows have similar sizes. In a model with a few large rows it costs more.
#
# ## Benchmark: all steps, compared with transformers
#
# `make bench` times all of this, each implementation in its own process, alternating with *transformers* (`benchmark`). "Readable" is the model of the chapters, "fast" has step 3, "packed" and "int8" have steps 3 and 5, and "compiled" has steps 3 and 4. (All of them have steps 1 and 2.) These are our numbers, on two cores: medians of seven runs (three for the 3B), and ratios of neighboring runs, so that other load on the machine affects both sides alike.

# %% mystnb={"image": {"alt": "Three panels of bars, tokens per second. Toybox: transformers 491, readable 778, fast 1,020, compiled 1,547. Middle: transformers 89, readable 101, compiled 124, int8 234. The 3B in bfloat16: transformers 3.0, packed 4.6, int8 8.3."}, "figure": {"caption": "The Toybox model gains most from fewer operations, the 3B from fewer bytes. Tokens per second for one row, by `make bench`. The dashed line is the limit that the weights set in the panel's dtype; int8, which reads a quarter or half of the bytes, may pass it.", "name": "fig-ch23-bench"}} tags=["hide-input"]
benchmark = json.loads(Path("data/bench.json").read_text(encoding="utf-8"))
fig, axes = plt.subplots(3, 1, figsize=(7, 7), layout="constrained", height_ratios=(6, 7, 3))
for ax, (name, report) in zip(axes, benchmark["models"].items()):
    table = report["batches"]["1"]
    sides = list(table)[::-1]
    ax.barh(
        sides,
        [table[side]["decode"] for side in sides],
        color=["#999999" if "transformers" in side else "#0072B2" for side in sides],
    )
    if name != "toybox":
        ax.axvline(report["limit"]["tokens_per_second"], color="#D55E00", linestyle="--")
    ax.set(title=f"{name}, {report['dtype']}", xlabel="tokens per second")
plt.show()

# %%
print(f"{'':66s}{'measured':>9s}{'target':>8s}")
for bar in benchmark["bars"]:
    name = f"{bar['model']}: {bar['says']}"
    print(f"{name:66s}{bar['figure']:9.2f}{bar['least']:8.2f}")

# %% [markdown]
# (The *targets* are those that we set ourselves before we began. The limit is measured for each model with as many bytes of matrices in its dtype, by the faster of the plain and the packed product: 53 GB/s for the Toybox model, whose weights fit into the processor's cache, 41 for the middle model, 23 for the 3B in bfloat16.)
#
# The same run as a table, again for one row. Prefill reads the image and 12 text tokens. "×" compares with *transformers*; it is the median of the ratios of single runs, so it can differ a little from the ratio of the two medians.
#
# | model | implementation | decode (tokens/s) | × | prefill (ms) | × |
# | --- | --- | ---: | ---: | ---: | ---: |
# | Toybox, float32 | transformers | 491 | 1.00 | 11.7 | 1.00 |
# | | transformers, static cache, compiled | 614 | 1.23 | 9.1 | 1.21 |
# | | readable | 778 | 1.59 | 10.0 | 1.16 |
# | | fast | 1,020 | 2.10 | 9.6 | 1.25 |
# | | compiled | 1,547 | 3.11 | 9.5 | 1.21 |
# | | int8, compiled | 1,820 | 3.68 | 10.1 | 1.19 |
# | middle, float32 | transformers | 89 | 1.00 | 153 | 1.00 |
# | | transformers, static cache, compiled | 100 | 1.10 | 122 | 1.26 |
# | | readable | 101 | 1.11 | 151 | 1.01 |
# | | fast | 110 | 1.21 | 134 | 1.12 |
# | | packed | 111 | 1.21 | 145 | 1.03 |
# | | compiled | 124 | 1.44 | 135 | 1.09 |
# | | int8 | 234 | 2.68 | 131 | 1.23 |
# | 3B, bfloat16 | transformers | 3.0 | 1.00 | 8,841 | 1.00 |
# | | packed | 4.6 | 1.50 | 8,491 | 1.04 |
# | | int8 | 8.3 | 2.63 | 4,002 | 2.20 |
#
# Read it by what bounds each model.
#
# **Overhead-bound: the Toybox model.** With fewer calls it is 1.3 times as fast as the readable model, as one compiled program twice as fast. Even when *transformers* is compiled with a static cache, as its documentation recommends, our compiled model is 2.5 times as fast.
#
# **Memory-bound: the 3B.** Int8 reads half of the bytes and is 1.8 times as fast as packed bfloat16, which in turn reaches the measured limit. But that limit is low: bfloat16 weights arrive at 23 GB/s, float32 weights at 31, because this processor spends its time converting bfloat16. And speed costs memory: the peak is 11.2 GB with packed weights and 8.8 GB with int8, against 6.3 GB for *transformers*, since the file's pages and the new weights are in memory at the same time. We have no result for compiled *transformers*: after six minutes it had not generated a token.
#
# **Both: the middle model.** Here we miss two targets: 1.44 times *transformers* instead of 1.6, and 0.56 of the limit instead of 0.75. In prefill, compiled *transformers* is ahead of us. Where does the time go? In a profile in which a token took 7.5 ms, matrix products took 6.3, attention 0.4, and guards 0.15. So the products take the time. Read as matrices of 32 MB, the 185 MB take 4.6 ms; in the model they are 32 matrices of 1 to 8 MB and the head, and the two threads that share each matrix must synchronize after it. Moreover, the limit itself is high here: this processor has 260 MB of cache, so weights that are read again and again arrive faster than from memory. Relative to memory (31 GB/s), we reach 0.74. We also tried three things without gain: threads that wait without sleeping, threads bound to cores, and larger pieces of work per thread.
#
# **Batches.** Latency is the time for one token of one row, throughput the number of tokens per second over all rows. On the middle model, eight rows have 4.4 times the throughput of one, because all rows share each read of the weights; it is not 8 times, since each row has its own arithmetic. And unused cache slots cost nothing.
#
# **Compute-bound: prefill.** All positions share one read of the weights, so what remains is arithmetic. Fewer operations and packed weights gain little, and int8 gains most on the 3B, where 8-bit products are faster. The difference matters: with packed weights, prefill of the 3B takes 8.5 seconds, as long as generating 39 tokens; with int8 it takes 4.0.
#
# ## Not covered: GPUs, speculative decoding, serving
#
# *A GPU.* We had none, so nothing about GPUs is measured here. The steps are the same, but the proportions differ: launching an operation costs about as much as here, while memory is thirty times as fast or more. So even a 3B can spend as much time on launches as on weights. The remedy there is to record the compiled step once and replay it as a whole (a CUDA graph). That needs fixed addresses and shapes, so the cache is read whole, or in one of a few lengths.
#
# *Speculative decoding* {cite}`leviathan2022fast`: a small model proposes some tokens, and the large one reads them in one pass and keeps those that it would have generated itself. We have not tried it. Our guess is that it would gain little for boxes and masks, which a small model can hardly predict.
#
# *Serving many users at once.* With eight rows, each weight is read once for eight tokens. A server goes further: rows join and leave the batch at any time, and their caches are kept in pages {cite}`kwon2023efficient`. That is the subject of whole projects; the next chapter says which.
#
# ## Exercises
#
# Open `exercises/ch23_fast.py`, fill in what is missing, and grade it, below or in a terminal:
#
# ```text
# pytest exercises/test_ch23_fast.py
# ```
#
# ### `tokens_per_second_limit` (1 point, 10 minutes)
#
# Compute the memory-bandwidth limit of a machine for a given model.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: tokens_per_second_limit
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Write down the shapes of the seven matrices of a layer, and of the head. Which dimensions are num_key_value_heads · head_dim?
# ```
# ```{admonition} Another hint
# :class: dropdown
# The seconds per token are the number of weights · bytes_per_weight / (gigabytes_per_second · 10⁹). The limit is 1 over that. The head counts once, outside the layers.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: tokens_per_second_limit
# ```
# ````
#
# ### `attend_grouped` (2 points, 15 minutes)
#
# Write grouped-query attention without copying keys or values.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: attend_grouped
# ```
#
# ```{admonition} Hint
# :class: dropdown
# In [B, A, S, E], query heads that share a key/value head are adjacent, so one `reshape` makes them rows of one matrix. The way back is a `reshape` too.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The rows are now all tokens of one head, then all tokens of the next. The mask must match: `mask.repeat(1, 1, G, 1)`, not `repeat_interleave`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: attend_grouped
# ```
# ````
#
# ### `StaticCache` (2 points, 10 minutes)
#
# Write a preallocated KV cache whose write positions are data.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: StaticCache
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Make one tensor per layer, in a list comprehension. `[x] * n` would be the same tensor n times.
# ```
# ```{admonition} Another hint
# :class: dropdown
# `index_copy_(2, slots, key)`, with the underscore, writes to all these slots at once, in place. A slice `[:, :, :length]` is a view and costs nothing.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: StaticCache
# ```
# ````
#
# ### `next_token` (2 points, 10 minutes)
#
# Choose the next token of each row without a graph break.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: next_token
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Do not branch on whether a row has ended. Compute the token for all rows, and choose between it and the pad token with `masked_fill` or `torch.where`.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Mask with `ended` as it was before this step. Then update it: a row has ended if it had ended before, or if its token is `<eos>`.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: next_token
# ```
# ````
#
# ### `quantize_rows` (2 points, 10 minutes)
#
# Quantize a matrix to int8, with one scale per row.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: quantize_rows
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Take `abs()`, then `amax` along the last axis with `keepdim=True`, and divide by 127 for the scale.
# ```
# ```{admonition} Another hint
# :class: dropdown
# Round before `.to(torch.int8)`, which only truncates. For a row of zeros, `clamp(min=...)` the largest magnitude before you divide.
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: quantize_rows
# ```
# ````
#
# ### `int8_linear` (2 points, 10 minutes)
#
# Multiply by a matrix in int8.
#
# ```{literalinclude} ../exercises/ch23_fast.py
# :pyobject: int8_linear
# ```
#
# ```{admonition} Hint
# :class: dropdown
# Quantize both with `quantize_rows`. Multiply them as int32 (or as float32, which is exact here); int8 would overflow.
# ```
# ```{admonition} Another hint
# :class: dropdown
# The scales of the tokens are [R, 1], which broadcasts as it is. Those of the matrix are [O, 1]: transpose them to [1, O].
# ```
# ````{admonition} Solution
# :class: dropdown
# ```{literalinclude} ../solutions/ch23_fast.py
# :pyobject: int8_linear
# ```
# ````

# %% tags=["nbval-ignore-output"]
from grader import grade_chapter

grade_chapter("ch23_fast")

# %% [markdown]
# ## Summary
#
# A token has two costs: overhead per operation, and memory traffic per byte of weights. The second sets a limit that you can compute before you run anything. Small models are overhead-bound: make fewer and larger calls, and finally one compiled program. Large models are memory-bound: pack the weights in the order in which they are read, or quantize them. Query heads that share a key/value head become rows. The cache is written at indices that are data, and read only as far as it is filled. A compiler breaks the graph where Python needs a value, and compiles again when a guard fails. Int8 costs about one percent of error in each product; only the evaluation tells whether that matters.
#
# One machine has a limit. {doc}`The next chapter <ch24_distributed>` uses more than one.
